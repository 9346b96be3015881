package main

import (
	"context"
	"errors"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/table"
)

// looker does for a notice what its subscription's wake-up would do.
type looker struct{ *billing.Biller }

// LookAgain finds the subscription that a notice is about, and does what is due of it.
func (l looker) LookAgain(ctx context.Context, h notice.Hint) (bool, error) {
	id := h.Subscription
	if h.Order != "" {
		item, err := l.Tables.Get(ctx, table.Key{Table: table.Orders, Partition: h.Scope().Key(h.Order)})
		if err != nil && !errors.Is(err, fault.NotFound) {
			return false, err
		}
		if charge, unreadable := billing.DecodeCharge(item); err == nil && unreadable == nil && charge.Kind == billing.ChargeKind {
			id = charge.Subscription
		}
	}
	if id == "" {
		return false, nil
	}
	if _, err := l.Get(ctx, h.Scope(), id); err != nil {
		if errors.Is(err, fault.NotFound) {
			err = nil
		}
		return false, err
	}
	return true, l.Work(ctx, h.Scope(), id)
}
