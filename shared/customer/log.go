package customer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// Record is an event as it is kept: what others are told, and what it changed. The records
// of a customer alone make its sources and wallets again (State).
type Record struct {
	event.Event
	Changes Changes `json:"changes,omitzero"`
}

// Changes are what an event, or what was written with it, changed.
type Changes struct {
	Sources []entitlement.Source `json:"sources,omitempty"` // as they are since
	Gone    []entitlement.Source `json:"gone,omitempty"`    // by their names alone
	Wallet  []Movement           `json:"wallet,omitempty"`  // in order
}

// Movement is an entry of a currency's ledger.
type Movement struct {
	Currency string       `json:"currency"`
	Entry    wallet.Entry `json:"entry"`
}

// changesOf is what makes one list of sources the other.
func changesOf(was, is []entitlement.Source) Changes {
	var c Changes
	for _, s := range is {
		if !slices.ContainsFunc(was, func(o entitlement.Source) bool { return equal(o, s) }) {
			c.Sources = append(c.Sources, s)
		}
	}
	for _, s := range was {
		if !slices.ContainsFunc(is, same(s)) {
			c.Gone = append(c.Gone, entitlement.Source{Kind: s.Kind, Provider: s.Provider, Ref: s.Ref, Entitlement: s.Entitlement})
		}
	}
	return c
}

// equal says whether two sources say the same, wherever their clocks hang.
func equal(a, b entitlement.Source) bool {
	if !a.Until.Equal(b.Until) {
		return false
	}
	a.Until, b.Until = time.Time{}, time.Time{}
	return a == b
}

func (c Changes) entitlement() string {
	for _, s := range slices.Concat(c.Sources, c.Gone) {
		if s.Entitlement != "" {
			return s.Entitlement
		}
	}
	return ""
}

func (c Changes) order() string {
	for _, s := range c.Sources {
		if s.OrderID != "" {
			return s.OrderID
		}
	}
	return ""
}

// State is what a customer's records come to.
type State struct {
	Sequence int64
	Sources  []entitlement.Source     // in the order of their names
	Wallets  map[string]wallet.Wallet // those with anything in them
}

// After is the state after one more record.
func (s State) After(r Record) State {
	next := State{Sequence: r.Sequence, Sources: slices.Clone(s.Sources), Wallets: map[string]wallet.Wallet{}}
	for currency, w := range s.Wallets {
		next.Wallets[currency] = w
	}
	for _, gone := range r.Changes.Gone {
		next.Sources = slices.DeleteFunc(next.Sources, same(gone))
	}
	for _, is := range r.Changes.Sources {
		next.Sources = append(slices.DeleteFunc(next.Sources, same(is)), is)
	}
	slices.SortFunc(next.Sources, byName)
	for _, m := range r.Changes.Wallet {
		w := next.Wallets[m.Currency].After(m.Entry)
		if next.Wallets[m.Currency] = w; len(w.Lots) == 0 && w.Debt == 0 {
			delete(next.Wallets, m.Currency)
		}
	}
	return next
}

func byName(a, b entitlement.Source) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Entitlement, b.Entitlement))
}

// State is what the customer's own records say now, for comparison with what they come to.
func (c *Customer) State() State {
	s := State{Sequence: c.head.Sequence, Sources: slices.Clone(c.head.Sources), Wallets: map[string]wallet.Wallet{}}
	slices.SortFunc(s.Sources, byName)
	for currency, w := range c.wallets {
		if len(w.Lots) > 0 || w.Debt != 0 {
			s.Wallets[currency] = w
		}
	}
	return s
}

func eventKey(sequence int64) string { return fmt.Sprintf("%s%012d", eventSort, sequence) }

// Log reads up to limit records after a number, in order.
func Log(ctx context.Context, tables table.Tables, scope table.Scope, ref string, after int64, limit int) ([]Record, error) {
	records := []Record{}
	q := table.Query{Table: table.Customers, Partition: scope.Key(ref), From: eventKey(after + 1), To: eventSort + "~"}
	for range mostPages {
		q.Limit = limit - len(records)
		page, err := tables.Query(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("customer: events: %w", err)
		}
		for _, item := range page.Items {
			var r Record
			if err := decode(item, &r); err != nil {
				return nil, err
			}
			records = append(records, r)
		}
		if q.After = page.Next; q.After == "" || len(records) >= limit {
			break
		}
	}
	return records, nil
}

// Events reads up to limit events after a number, in order.
func Events(ctx context.Context, tables table.Tables, scope table.Scope, ref string, after int64, limit int) ([]event.Event, error) {
	records, err := Log(ctx, tables, scope, ref, after, limit)
	if err != nil {
		return nil, err
	}
	events := make([]event.Event, len(records))
	for i, r := range records {
		events[i] = r.Event
	}
	return events, nil
}
