package customer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// Directory finds customers.
type Directory struct {
	Tables   table.Tables
	Identity Identity
}

// Named reads the customer whom the company calls id, by whichever of its ids. One that does
// not exist yet is returned all the same, empty; it comes to be with the first Writes.
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
		return d.fresh(ctx, scope, ref, id)
	}
	if err == nil && c.Profile.ID == "" {
		// It was erased, and whoever asks says who it is: with whatever is written next, it is
		// kept again.
		c.Profile.ID, c.profiled = id, true
	}
	return c, err
}

// fresh is a customer who was never here.
func (d Directory) fresh(ctx context.Context, scope table.Scope, ref, id string) (*Customer, error) {
	ids, err := d.Identity.StoreIDs(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	c := blank(ctx, scope, ref)
	c.Profile, c.profiled, c.headed, c.head.Logged = Profile{ID: id}, true, true, true
	c.aliases = []alias{{kind: "apple", value: ids.AppAccountToken}, {kind: "play", value: ids.ObfuscatedAccountID}}
	return c, d.reclaim(ctx, c)
}

func blank(ctx context.Context, scope table.Scope, ref string) *Customer {
	return &Customer{
		Ref: ref, scope: scope, cause: event.CauseOf(ctx), items: map[string]table.Item{}, wallets: map[string]wallet.Wallet{}, unlogged: map[string]wallet.Entry{}, touched: map[string]bool{},
	}
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

// mostHops bounds how often customers who were merged are followed. Who is merged points to
// whom that was at the time, so that there may be as many as were ever merged.
const mostHops = mostMerged + 1

// Read reads the customer with our own id, or whom that one was merged into. It returns
// fault.NotFound if there is none.
func Read(ctx context.Context, tables table.Tables, scope table.Scope, ref string) (*Customer, error) {
	for range mostHops {
		c, err := readOne(ctx, tables, scope, ref)
		if err != nil || c.head.Into == "" {
			return c, err
		}
		ref = c.head.Into
	}
	return nil, fmt.Errorf("customer: bug: more than %d customers were merged one into another", mostHops)
}

// mostPages bounds what is read of one customer at once, a page of which has 1 MB at most.
const mostPages = 50

// readOne reads a customer, whether it was merged into another or not.
func readOne(ctx context.Context, tables table.Tables, scope table.Scope, ref string) (*Customer, error) {
	c := blank(ctx, scope, ref)
	q := table.Query{Table: table.Customers, Partition: scope.Key(ref), From: "#", To: "#~", Limit: 200}
	for range mostPages {
		page, err := tables.Query(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("customer: reading: %w", err)
		}
		for _, item := range page.Items {
			if err := c.take(item); err != nil {
				return nil, err
			}
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if q.After != "" {
		return nil, errors.New("customer: a customer with more wallets than anybody has")
	}
	if _, ok := c.items[headSort]; !ok {
		return nil, fault.New(fault.NotFound, "customer_not_found", "There is no such customer.")
	}
	c.was = slices.Clone(c.head.Sources)
	if !c.head.Logged {
		c.was = []entitlement.Source{} // the log begins with all that is there
	}
	return c, nil
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

// Merged are our own ids of those who were merged into the customer, and of its other ids:
// what was derived from one of them still stands.
func (c *Customer) Merged() []string { return slices.Clone(c.head.Merged) }
