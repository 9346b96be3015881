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

	"grantline/shared/abuse"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

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
	// Into is our own id of whom this one was merged into: there is nothing else here then,
	// but its events.
	Into string `json:"into,omitempty"`
	// Merged are our own ids of all who were merged into this one, and of its other ids.
	Merged []string `json:"merged,omitempty"`
	// Logged says that the events have all of the sources; those from before there was a log
	// have not.
	Logged bool `json:"logged,omitempty"`
	// Relayed is the number of the last event that was handed on.
	Relayed int64 `json:"relayed,omitempty"`
	// Twice are the entitlements that two providers were last seen taking money for.
	Twice []string `json:"twice,omitempty"`
}

// Customer is one customer as read, and what is to be written about it.
type Customer struct {
	Ref     string // "cus_…", ours
	Profile Profile

	scope    table.Scope
	cause    *event.Cause // why whatever is told happens
	head     head
	was      []entitlement.Source // as the log has them
	conduct  abuse.History
	moved    []Movement            // what the next event has to say of wallets
	items    map[string]table.Item // as read, by sort key
	wallets  map[string]wallet.Wallet
	unlogged map[string]wallet.Entry // what the ledger of a wallet begins with that has none yet
	touched  map[string]bool         // wallets that changed
	profiled bool                    // the profile changed
	headed   bool                    // the head changed
	judged   bool                    // the conduct changed
	events   []Record
	besides  []table.Write // of the customer's, in the same Commit
	aliases  []alias
}

type alias struct {
	kind, value string
	item        table.Item // as read, if it is there
}

const (
	schema      = 1
	headSort    = "#head"
	profileSort = "#profile"
	conductSort = "#conduct"
	walletSort  = "#wallet#"
	eventSort   = "event#"
	aliasSort   = "alias"
)

// take takes over one item of the customer's partition.
func (c *Customer) take(item table.Item) error {
	c.items[item.Key.Sort] = item
	switch sort := item.Key.Sort; {
	case sort == headSort:
		return decode(item, &c.head)
	case sort == profileSort:
		return decode(item, &c.Profile)
	case sort == conductSort:
		return decode(item, &c.conduct)
	case strings.HasPrefix(sort, walletSort):
		var w kept
		err := decode(item, &w)
		currency := strings.TrimPrefix(sort, walletSort)
		c.wallets[currency] = w.Wallet
		if !w.Logged && err == nil {
			c.unlogged[currency] = w.Carry()
		}
		return err
	}
	return nil
}

// kept is a wallet as it is stored.
type kept struct {
	wallet.Wallet
	// Logged says that the ledger has all of it; one from before there was a ledger has not.
	Logged bool `json:"logged,omitempty"`
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

// SetWallet replaces one currency's wallet by what an entry of its ledger made of it. The
// next event that is told has the entry.
func (c *Customer) SetWallet(currency string, w wallet.Wallet, e wallet.Entry) {
	if carry, ok := c.unlogged[currency]; ok {
		delete(c.unlogged, currency)
		c.log(currency, carry)
	}
	c.wallets[currency], c.touched[currency] = w, true
	c.log(currency, e)
}

func (c *Customer) log(currency string, e wallet.Entry) {
	if e.Amount != 0 || e.Debt != 0 || len(e.Parts) > 0 {
		c.moved = append(c.moved, Movement{currency, e})
	}
}

// ExpireLots takes away what is left of a currency's lots whose time is over, and tells of it.
func (c *Customer) ExpireLots(currency string, now time.Time) {
	w, e, any := c.wallets[currency].Expire(now)
	if !any {
		return
	}
	c.SetWallet(currency, w, e)
	balance := w.Balance(now)
	c.Tell(event.Event{Type: event.WalletExpired, At: now, WalletCurrency: currency, Credited: e.Amount, Balance: &balance})
}

// Conduct is what is known of the customer's refunds and what a person said of them.
func (c *Customer) Conduct() abuse.History { return c.conduct }

// SetConduct replaces it.
func (c *Customer) SetConduct(h abuse.History) { c.conduct, c.judged = h, true }

// Is says whether our own id is the customer's, or that of one who was merged into it.
func (c *Customer) Is(ref string) bool {
	return ref == c.Ref || slices.Contains(c.head.Merged, ref)
}

// SetProfile replaces the profile, but for the company's first id.
func (c *Customer) SetProfile(p Profile) {
	p.ID, p.Others = c.Profile.ID, c.Profile.Others
	c.Profile, c.profiled = p, true
}

// Tell adds an event and gives it its number.
func (c *Customer) Tell(e event.Event) {
	c.headed = true
	c.head.Sequence++
	e.Sequence = c.head.Sequence
	if e.Cause == nil {
		e.Cause = c.cause
	}
	c.events = append(c.events, Record{Event: e, Changes: Changes{Wallet: c.moved}})
	c.moved = nil
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
	if err != nil || !c.Is(ref) {
		return nil, err
	}
	c.headed = true // whoever binds it at the same time writes the same head
	return []table.Write{table.Removed(item)}, nil
}

// Writes is what changed, each with the condition that nobody else changed it. What no event
// was told of is told of by one more, at now.
func (c *Customer) Writes(now time.Time) ([]table.Write, error) {
	c.complete(now)
	var writes []table.Write
	var failed error
	put := func(sort string, value any) {
		data, err := marshal(value)
		failed = errors.Join(failed, err)
		item := c.items[sort] // its revision and its entry, if there is one
		item.Key = table.Key{Table: table.Customers, Partition: c.scope.Key(c.Ref), Sort: sort}
		item.Schema, item.Data = schema, data
		if sort == headSort {
			item.Index = c.outbox(item.Index, now)
		}
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
	if c.judged {
		put(conductSort, c.conduct)
	}
	for _, currency := range slices.Sorted(maps.Keys(c.touched)) {
		put(walletSort+currency, kept{c.wallets[currency], true})
	}
	for _, e := range c.events {
		put(eventKey(e.Sequence), e)
	}
	for _, a := range c.aliases {
		data, err := marshal(map[string]string{"customer": c.Ref})
		failed = errors.Join(failed, err)
		item := a.item
		item.Key, item.Schema, item.Data = aliasKey(c.scope, a.kind, a.value), schema, data
		writes = append(writes, table.Put(item))
	}
	return append(writes, c.besides...), failed
}

// complete gives the last event what changed of the sources and wallets since they were read,
// and tells of what follows from that.
func (c *Customer) complete(now time.Time) {
	if changed := changesOf(c.was, c.head.Sources); len(changed.Sources)+len(changed.Gone) > 0 {
		c.headed, c.head.Logged = true, true
		if len(c.events) == 0 {
			c.Tell(event.Event{Type: event.EntitlementUpdated, At: now, Entitlement: changed.entitlement(), OrderID: changed.order()})
		}
		why := len(c.events) - 1 // what follows from the change is not why
		twice := entitlement.PaidTwice(c.head.Sources, now)
		for _, t := range twice {
			if !slices.Contains(c.head.Twice, t.Entitlement) {
				e := event.Event{
					Type: event.EntitlementPaidTwice, At: now, Entitlement: t.Entitlement,
					OrderID: t.Latest.OrderID, OtherOrderID: t.Other.OrderID, Test: t.Latest.Test,
				}
				if t.Latest.Kind == entitlement.KindPurchase {
					e.Store, e.ProductID = t.Latest.Provider, t.Latest.ProductID
				} else {
					e.SubscriptionID, e.PlanID = t.Latest.Ref, t.Latest.ProductID
				}
				c.Tell(e)
			}
		}
		c.head.Twice = nil
		for _, t := range twice {
			c.head.Twice = append(c.head.Twice, t.Entitlement)
		}
		c.events[why].Changes.Sources, c.events[why].Changes.Gone = changed.Sources, changed.Gone
		c.was = slices.Clone(c.head.Sources)
	}
	if len(c.moved) == 0 {
		return
	}
	if len(c.events) == 0 {
		c.Tell(event.Event{Type: event.EntitlementUpdated, At: now})
		return
	}
	last := &c.events[len(c.events)-1]
	last.Changes.Wallet = append(last.Changes.Wallet, c.moved...)
	c.moved = nil
}

func marshal(value any) ([]byte, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("customer: bug: %w", err)
	}
	return data, nil
}
