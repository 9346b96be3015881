package purchase

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Bounds of a look at what is known already.
const (
	lookedJustNow   = 10 * time.Minute
	lookAgainWithin = 4 * time.Second
	shownLater      = 24 * time.Hour // when a store is asked again for what it does not show
)

// knownToNobody refuses an order that the store does not show to the user of a proof, though
// it does to who asks for nobody: that is another user's.
func (b *Book) knownToNobody(ctx context.Context, store Store, p Proof) error {
	if p.UserKey == "" {
		return nil
	}
	p.UserKey = ""
	looking, cancel := clock.LeaveRoom(ctx, answerMargin)
	defer cancel()
	_, err := store.Look(looking, p)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if err == nil {
		err = invalid("The store does not know this purchase.")
	}
	return err
}

// heardOf is what a notice told of and nobody came for, for a store that tells of what it does
// not show to who asks; false if there is no such order.
func (b *Book) heardOf(ctx context.Context, scope table.Scope, id string) (News, bool, error) {
	item, err := b.Tables.Get(ctx, orderKey(scope, id))
	if errors.Is(err, fault.NotFound) {
		return News{}, false, nil
	}
	if err != nil {
		return News{}, false, fmt.Errorf("purchase: order: %w", err)
	}
	o, err := DecodeOrder(item)
	if err != nil || o.State != OrderUnclaimed || o.Replaced {
		return News{}, false, err
	}
	// Events are of subscriptions alone; what is bought once the store shows.
	if p, listed := b.Catalog.BySKU(o.Store, o.SKU); listed && p.Kind != catalog.Subscription {
		return News{}, false, nil
	}
	return News{Again: b.Clock.Now().Add(shownLater), Sales: []Sale{{
		Store: o.Store, Line: o.Line, Part: o.Part, Order: strings.TrimPrefix(o.ID, o.Store+"_"), SKU: o.SKU, State: Paid,
		PurchasedAt: o.PurchasedAt, Until: o.Until, AsOf: o.AsOf, Quantity: o.Quantity, Test: o.Test, Family: o.Family,
	}}}, true, nil
}

// known answers from our own book: what was granted to this customer stays granted
// whatever the store can say at the moment. A word newer than the book's is news; a zero
// asOf is none.
func (b *Book) known(ctx context.Context, scope table.Scope, by claim, orderID string, asOf time.Time) (Claimed, bool, error) {
	item, err := b.Tables.Get(ctx, orderKey(scope, orderID))
	if errors.Is(err, fault.NotFound) {
		return Claimed{}, false, nil
	}
	if err != nil {
		return Claimed{}, false, fmt.Errorf("purchase: order: %w", err)
	}
	order, err := DecodeOrder(item)
	if err != nil || order.Customer == "" {
		return Claimed{}, false, err
	}
	c, err := b.Customers.Named(ctx, scope, by.customer)
	if err != nil {
		return Claimed{}, false, err
	}
	to, err := b.giftee(ctx, scope, c, by)
	if err != nil {
		return Claimed{}, false, err
	}
	switch {
	case c.Is(order.Customer) || c.Is(order.Giver):
		if to != nil && (order.Giver == "" || !to.Is(order.Customer)) {
			return Claimed{}, false, alreadyGranted()
		}
	case to != nil:
		return Claimed{}, false, ownedByAnother()
	default:
		if has, err := b.shares(ctx, scope, c, by, order); !has || err != nil {
			return Claimed{}, false, err
		}
	}
	return Claimed{Order: order, Customer: c}, order.State == OrderGranted && !order.Replaced && !asOf.After(order.AsOf), nil
}

// knownLine is known for a store whose evidence names a line, or another name of one.
func (b *Book) knownLine(ctx context.Context, scope table.Scope, by claim, store, line string) (Claimed, bool, error) {
	for range 2 {
		item, err := b.Tables.Get(ctx, recordKey(scope, store, line))
		if errors.Is(err, fault.NotFound) {
			return Claimed{}, false, nil
		}
		if err != nil {
			return Claimed{}, false, fmt.Errorf("purchase: line: %w", err)
		}
		r, err := decodeRecord(item)
		if err != nil {
			return Claimed{}, false, err
		}
		if r.Root != "" {
			line = r.Root
			continue
		}
		if r.Owner == "" || len(r.Terms) == 0 {
			return Claimed{}, false, nil
		}
		return b.knownOf(ctx, scope, by, r)
	}
	return Claimed{}, false, nil
}
