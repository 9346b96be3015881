// Package customer is who owns purchases, subscriptions and wallets. Everything that
// answers "what may this customer use" lies in one partition: the head with what each
// source gives now, the profile, and a wallet for each currency. Whoever changes a
// source changes the head in the same transaction, and tells of it by an event that
// gets the head's next number.
package customer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// Profile is the personal side of a customer; it is kept nowhere else.
type Profile struct {
	ID     string `json:"id"` // the company's first id for the customer
	Email  string `json:"email,omitempty"`
	Phone  string `json:"phone,omitempty"`
	Name   string `json:"name,omitempty"`
	Locale string `json:"locale,omitempty"`
}

// Valid says whether the profile can be kept and be put into a charge.
func (p Profile) Valid() error {
	for name, f := range map[string]struct {
		text string
		most int
	}{"email": {p.Email, 100}, "phone": {p.Phone, 32}, "name": {p.Name, 100}, "locale": {p.Locale, 35}} {
		bad := func(r rune) bool { return !unicode.IsPrint(r) }
		if len([]rune(f.text)) > f.most || !utf8.ValidString(f.text) || strings.ContainsFunc(f.text, bad) {
			return fault.New(fault.Malformed, "invalid_request", "%s should be at most %d printable characters.", name, f.most)
		}
	}
	if at := strings.LastIndexByte(p.Email, '@'); p.Email != "" && (at < 1 || at == len(p.Email)-1 || strings.ContainsAny(p.Email, " ,;<>")) {
		return fault.New(fault.Malformed, "invalid_request", "email should be one address.")
	}
	return nil
}

type head struct {
	Sequence int64                `json:"sequence"` // of the last event
	Sources  []entitlement.Source `json:"sources"`
	// Tests counts the purchases without money that were granted on one day (UTC).
	Tests struct {
		Day   string `json:"day,omitempty"`
		Count int    `json:"count,omitempty"`
	} `json:"tests,omitzero"`
	// Retry is the subscription whose declined charge is being tried again.
	Retry struct {
		Subscription string    `json:"subscription,omitempty"`
		Until        time.Time `json:"until,omitzero"`
	} `json:"retry,omitzero"`
}

// Customer is one customer as read, and what is to be written about it.
type Customer struct {
	Ref     string // "cus_…", ours
	Profile Profile

	scope    table.Scope
	head     head
	items    map[string]table.Item // as read, by sort key
	wallets  map[string]wallet.Wallet
	touched  map[string]bool // wallets that changed
	profiled bool            // the profile changed
	headed   bool            // the head changed
	events   []event.Event
	aliases  []alias
}

type alias struct {
	kind, value string
	item        table.Item // as read, if it is there
}

// Directory finds customers.
type Directory struct {
	Tables   table.Tables
	Identity Identity
}

const (
	schema      = 1
	headSort    = "#head"
	profileSort = "#profile"
	walletSort  = "#wallet#"
	eventSort   = "event#"
	aliasSort   = "alias"
)

// Named reads the customer whom the company calls id. One that does not exist yet is
// returned all the same, empty; it comes to be with the first Writes.
func (d Directory) Named(ctx context.Context, scope table.Scope, id string) (*Customer, error) {
	if err := ValidID(id); err != nil {
		return nil, err
	}
	ref, err := d.Identity.Ref(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	c, err := Read(ctx, d.Tables, scope, ref)
	if errors.Is(err, fault.NotFound) {
		ids, err := d.Identity.StoreIDs(ctx, scope, id)
		if err != nil {
			return nil, err
		}
		c = &Customer{
			Ref: ref, Profile: Profile{ID: id}, scope: scope, profiled: true, headed: true,
			items: map[string]table.Item{}, wallets: map[string]wallet.Wallet{}, touched: map[string]bool{},
			aliases: []alias{{kind: "apple", value: ids.AppAccountToken}, {kind: "play", value: ids.ObfuscatedAccountID}},
		}
		return c, d.reclaim(ctx, c)
	}
	return c, err
}

// reclaim finds which of a new customer's own names somebody else came with before it
// was here. They are derived from its id, so it takes them back.
func (d Directory) reclaim(ctx context.Context, c *Customer) error {
	var keys []table.Key
	for _, a := range c.aliases {
		keys = append(keys, aliasKey(c.scope, a.kind, a.value))
	}
	taken, err := d.Tables.GetAll(ctx, keys)
	if err != nil {
		return fmt.Errorf("customer: aliases: %w", err)
	}
	for _, item := range taken {
		c.aliases[slices.Index(keys, item.Key)].item = item
	}
	return nil
}

// Read reads the customer with our own id. It returns fault.NotFound if there is none.
func Read(ctx context.Context, tables table.Tables, scope table.Scope, ref string) (*Customer, error) {
	page, err := tables.Query(ctx, table.Query{Table: table.Customers, Partition: scope.Key(ref), From: "#", To: "#~", Limit: 200})
	if err != nil {
		return nil, fmt.Errorf("customer: reading: %w", err)
	}
	c := &Customer{Ref: ref, scope: scope, items: map[string]table.Item{}, wallets: map[string]wallet.Wallet{}, touched: map[string]bool{}}
	for _, item := range page.Items {
		c.items[item.Key.Sort] = item
		var err error
		switch sort := item.Key.Sort; {
		case sort == headSort:
			err = decode(item, &c.head)
		case sort == profileSort:
			err = decode(item, &c.Profile)
		case strings.HasPrefix(sort, walletSort):
			var w wallet.Wallet
			err = decode(item, &w)
			c.wallets[strings.TrimPrefix(sort, walletSort)] = w
		}
		if err != nil {
			return nil, err
		}
	}
	if _, ok := c.items[headSort]; !ok {
		return nil, fault.New(fault.NotFound, "customer_not_found", "There is no such customer.")
	}
	return c, nil
}

func decode(item table.Item, into any) error {
	if item.Schema > schema {
		return fmt.Errorf("customer: item of schema %d, newer than this code's %d", item.Schema, schema)
	}
	if err := json.Unmarshal(item.Data, into); err != nil {
		return fmt.Errorf("customer: item %s: %w", item.Key.Sort, err)
	}
	return nil
}

// Exists says whether the customer was ever written.
func (c *Customer) Exists() bool { return c.items[headSort].Revision > 0 }

// Sequence is the number of the last event.
func (c *Customer) Sequence() int64 { return c.head.Sequence }

// Sources is what each purchase and subscription gives.
func (c *Customer) Sources() []entitlement.Source { return slices.Clone(c.head.Sources) }

// Entitlements is what the customer may use at now.
func (c *Customer) Entitlements(now time.Time) []entitlement.Entitlement {
	return entitlement.Of(c.Sources(), now)
}

// Wallets is what the customer holds, by currency.
func (c *Customer) Wallets() map[string]wallet.Wallet {
	return maps.Clone(c.wallets)
}

// Set records what a source gives now, in place of what it gave before.
func (c *Customer) Set(s entitlement.Source) {
	c.headed = true
	if at := slices.IndexFunc(c.head.Sources, same(s)); at >= 0 {
		c.head.Sources[at] = s
		return
	}
	c.head.Sources = append(c.head.Sources, s)
}

// Replace records what a purchase or subscription gives now, in place of all that it gave
// before, whatever that was called.
func (c *Customer) Replace(s entitlement.Source) {
	before := func(o entitlement.Source) bool {
		return o.Kind == s.Kind && o.Provider == s.Provider && o.Ref == s.Ref && o.Entitlement != s.Entitlement
	}
	c.head.Sources = slices.DeleteFunc(c.head.Sources, before)
	c.Set(s)
}

// Retrying says whether a retry of another subscription of the customer's may be under
// way, and until when.
func (c *Customer) Retrying(subscription string, now time.Time) (until time.Time, other bool) {
	r := c.head.Retry
	return r.Until, r.Subscription != "" && r.Subscription != subscription && r.Until.After(now)
}

// Retry takes the customer's one turn for a retry.
func (c *Customer) Retry(subscription string, until time.Time) {
	c.headed = true
	c.head.Retry.Subscription, c.head.Retry.Until = subscription, until
}

// Retried gives the turn back, if the subscription has it.
func (c *Customer) Retried(subscription string) {
	if c.head.Retry.Subscription == subscription {
		c.Retry("", time.Time{})
	}
}

// Drop forgets a source that never gave anything.
func (c *Customer) Drop(s entitlement.Source) {
	c.headed = true
	c.head.Sources = slices.DeleteFunc(c.head.Sources, same(s))
}

func same(s entitlement.Source) func(entitlement.Source) bool {
	return func(o entitlement.Source) bool {
		return o.Kind == s.Kind && o.Provider == s.Provider && o.Ref == s.Ref && o.Entitlement == s.Entitlement
	}
}

// CountTest counts one more purchase without money on now's day, and returns how many
// there are with it.
func (c *Customer) CountTest(now time.Time) int {
	c.headed = true
	if day := now.UTC().Format(time.DateOnly); c.head.Tests.Day != day {
		c.head.Tests.Day, c.head.Tests.Count = day, 0
	}
	c.head.Tests.Count++
	return c.head.Tests.Count
}

// SetWallet replaces one currency's wallet.
func (c *Customer) SetWallet(currency string, w wallet.Wallet) {
	c.wallets[currency], c.touched[currency] = w, true
}

// SetProfile replaces the profile, but for the company's first id.
func (c *Customer) SetProfile(p Profile) {
	p.ID = c.Profile.ID
	c.Profile, c.profiled = p, true
}

// Tell adds an event and gives it its number.
func (c *Customer) Tell(e event.Event) {
	c.headed = true
	c.head.Sequence++
	e.Sequence = c.head.Sequence
	c.events = append(c.events, e)
}

// Bind makes a store's or gateway's name for the customer point to it, unless it is
// bound by the coming into being already.
func (c *Customer) Bind(kind, value string) {
	same := func(a alias) bool { return a.kind == kind && a.value == value }
	if !slices.ContainsFunc(c.aliases, same) {
		c.aliases = append(c.aliases, alias{kind: kind, value: value})
	}
}

// Unbind is the write that takes back a Bind, none if the name is not this customer's.
// It belongs into one Commit with the customer's own writes.
func (c *Customer) Unbind(ctx context.Context, tables table.Tables, kind, value string) ([]table.Write, error) {
	item, ref, err := bound(ctx, tables, c.scope, kind, value)
	if err != nil || ref != c.Ref {
		return nil, err
	}
	c.headed = true // whoever binds it at the same time writes the same head
	return []table.Write{table.Removed(item)}, nil
}

// Bound finds our id of the customer whom a store or gateway knows by value, "" if
// nobody is.
func Bound(ctx context.Context, tables table.Tables, scope table.Scope, kind, value string) (string, error) {
	_, ref, err := bound(ctx, tables, scope, kind, value)
	return ref, err
}

func bound(ctx context.Context, tables table.Tables, scope table.Scope, kind, value string) (table.Item, string, error) {
	item, err := tables.Get(ctx, aliasKey(scope, kind, value))
	if errors.Is(err, fault.NotFound) {
		return table.Item{}, "", nil
	}
	if err != nil {
		return table.Item{}, "", fmt.Errorf("customer: alias: %w", err)
	}
	var to struct {
		Customer string `json:"customer"`
	}
	err = decode(item, &to)
	return item, to.Customer, err
}

func aliasKey(scope table.Scope, kind, value string) table.Key {
	return table.Key{Table: table.Customers, Partition: scope.Key("alias", kind, value), Sort: aliasSort}
}

// Writes is what changed, each with the condition that nobody else changed it.
func (c *Customer) Writes() ([]table.Write, error) {
	var writes []table.Write
	var failed error
	put := func(sort string, value any) {
		data, err := json.Marshal(value)
		failed = errors.Join(failed, err)
		item := c.items[sort] // its revision, if there is one
		item.Key = table.Key{Table: table.Customers, Partition: c.scope.Key(c.Ref), Sort: sort}
		item.Schema, item.Data = schema, data
		writes = append(writes, table.Put(item))
	}
	if c.headed {
		if c.head.Sources == nil {
			c.head.Sources = []entitlement.Source{}
		}
		put(headSort, c.head)
	}
	if c.profiled {
		put(profileSort, c.Profile)
	}
	for _, currency := range slices.Sorted(maps.Keys(c.touched)) {
		put(walletSort+currency, c.wallets[currency])
	}
	for _, e := range c.events {
		put(eventKey(e.Sequence), e)
	}
	for _, a := range c.aliases {
		data, err := json.Marshal(map[string]string{"customer": c.Ref})
		failed = errors.Join(failed, err)
		item := a.item
		item.Key, item.Schema, item.Data = aliasKey(c.scope, a.kind, a.value), schema, data
		writes = append(writes, table.Put(item))
	}
	return writes, failed
}

func eventKey(sequence int64) string { return fmt.Sprintf("%s%012d", eventSort, sequence) }

// Events reads up to limit events after a number, in order.
func Events(ctx context.Context, tables table.Tables, scope table.Scope, ref string, after int64, limit int) ([]event.Event, error) {
	page, err := tables.Query(ctx, table.Query{
		Table: table.Customers, Partition: scope.Key(ref), Limit: limit,
		From: eventKey(after + 1), To: eventSort + "~",
	})
	if err != nil {
		return nil, fmt.Errorf("customer: events: %w", err)
	}
	events := make([]event.Event, len(page.Items))
	for i, item := range page.Items {
		if err := decode(item, &events[i]); err != nil {
			return nil, err
		}
	}
	return events, nil
}
