package billing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"grantline/shared/fault"
	"grantline/shared/schedule"
	"grantline/shared/table"
)

// Get reads a subscription. It returns fault.NotFound if there is none.
func (b *Biller) Get(ctx context.Context, scope table.Scope, id string) (Subscription, error) {
	if !ValidID(id) {
		return Subscription{}, notFound()
	}
	s, err := b.get(ctx, scope, id)
	if errors.Is(err, fault.NotFound) {
		return Subscription{}, notFound()
	}
	return s.Subscription, err
}

// Held reads several subscriptions at once, in the order of their ids; those that are not
// there are left out.
func (b *Biller) Held(ctx context.Context, scope table.Scope, ids []string) ([]Subscription, error) {
	var held []Subscription
	for len(ids) > 0 {
		n := min(len(ids), 1000)
		keys := make([]table.Key, n)
		for i, id := range ids[:n] {
			keys[i] = key(scope, id)
		}
		ids = ids[n:]
		items, err := b.Tables.GetAll(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("billing: subscriptions: %w", err)
		}
		for _, item := range items {
			s, err := decodeSubscription(item)
			if err != nil {
				return nil, err
			}
			held = append(held, s)
		}
	}
	return held, nil
}

func notFound() error {
	return fault.New(fault.NotFound, "subscription_not_found", "There is no such subscription.")
}

// Charges lists every attempt of a subscription and every charge on demand, oldest first.
// The orders of periods are found by their ids, which follow from period and attempt, so
// that no list has to be kept; those on demand by an index, which may be a moment behind.
func (b *Biller) Charges(ctx context.Context, scope table.Scope, s Subscription) ([]Charge, error) {
	var keys []table.Key
	if !s.Terms.OnDemand {
		for period := 0; period <= s.Period; period++ {
			for attempt := 1; attempt <= s.mostAttempts(period); attempt++ {
				keys = append(keys, orderKey(scope, OrderID(scope, s.ID, period, attempt)))
			}
		}
	}
	for after := ""; ; {
		found, err := b.Tables.Query(ctx, table.Query{
			Table: table.Orders, Indexed: true, Partition: scope.Key(s.ID), Limit: 1000, After: after,
		})
		if err != nil {
			return nil, fmt.Errorf("billing: orders on demand: %w", err)
		}
		for _, item := range found.Items {
			keys = append(keys, item.Key)
		}
		if after = found.Next; after == "" {
			break
		}
	}
	var charges []Charge
	for len(keys) > 0 {
		n := min(len(keys), 1000)
		items, err := b.Tables.GetAll(ctx, keys[:n])
		if err != nil {
			return nil, fmt.Errorf("billing: orders: %w", err)
		}
		for _, item := range items {
			c, err := DecodeCharge(item)
			if err != nil {
				return nil, err
			}
			charges = append(charges, c)
		}
		keys = keys[n:]
	}
	slices.SortStableFunc(charges, func(a, b Charge) int {
		if a.OnDemand || b.OnDemand {
			return a.DueAt.Compare(b.DueAt)
		}
		return cmp.Or(cmp.Compare(a.Period, b.Period), cmp.Compare(a.Attempt, b.Attempt))
	})
	return charges, nil
}

// mostAttempts that a period can have had.
func (s Subscription) mostAttempts(period int) int {
	if period < s.Base {
		return schedule.MostAttempts // by a calendar that is gone
	}
	most := 1
	for attempt := 2; ; attempt++ {
		if _, ok := s.attemptOf(period, attempt); !ok {
			return most
		}
		most = attempt
	}
}
