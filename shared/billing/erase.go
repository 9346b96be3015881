package billing

import (
	"context"
	"errors"

	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// ChargeUnderWay is the code of what has to wait for the outcome of a charge.
const ChargeUnderWay = "charge_under_way"

// Erase ends a subscription at once and forgets what it holds of its customer: how the company
// and the gateway call it, its card, where it comes back to, and what was asked for at its
// sign-up. Terms, dates and charges stay. The exact body of a charge that is under way has to
// be kept for a resend, so that erasing waits for it. Done again it changes nothing. Errors:
// fault.Conflict, charge_under_way, where the subscription has ended and the rest has to be
// asked for again; fault.Unavailable.
func (b *Biller) Erase(ctx context.Context, scope table.Scope, id string) error {
	was, err := b.get(ctx, scope, id)
	if errors.Is(err, fault.NotFound) {
		return nil // it never came to be
	}
	if err != nil {
		return err
	}
	if was.State != StateCancelled {
		if _, err := b.Cancel(ctx, scope, id, true); err != nil {
			return err
		}
	}
	if err := b.quiet(ctx, scope, id); err != nil {
		return err
	}
	// Nothing sent with it is open any more, so that nothing has to be waited for.
	if err := b.hasten(ctx, scope, was.Subscription); err != nil {
		return err
	}
	return b.again(ctx, func() error {
		s, err := b.get(ctx, scope, id)
		if err != nil {
			return err
		}
		next := s.Subscription
		next.Request, next.CustomerKey, next.Proofs, next.Card, next.Issuer, next.ReturnURL, next.Opening = "", "", nil, "", "", "", nil
		if s.Request+s.CustomerKey+s.Card+s.Issuer+s.ReturnURL == "" && len(s.Proofs)+len(s.Opening) == 0 {
			return nil
		}
		c, err := customer.Read(ctx, b.Tables, scope, s.Customer)
		if err != nil {
			return err
		}
		released, err := b.release(ctx, scope, s, c)
		if err != nil {
			return err
		}
		if len(released) == 0 {
			c = nil // nothing of it changed
		}
		return b.commit(ctx, scope, s, next, c, released...)
	})
}

// quiet says that nothing of a subscription that has ended is under way: no step of its own,
// no card that is still being registered, and no order whose body may be sent again.
func (b *Biller) quiet(ctx context.Context, scope table.Scope, id string) error {
	wait := fault.New(fault.Conflict, ChargeUnderWay, "A charge of subscription %s is under way, whose outcome has to be known first; ask again later.", id)
	s, err := b.get(ctx, scope, id)
	if err != nil {
		return err
	}
	_, unclaimed, err := b.errandAt(ctx, scope, recardPrefix+"unclaimed-"+id)
	if err != nil {
		return err
	}
	if s.Step != StepNone || unclaimed.Revision > 0 {
		return wait
	}
	charges, err := b.Charges(ctx, scope, s.Subscription)
	if err != nil {
		return err
	}
	for _, c := range charges {
		if c.open() || c.OnDemand && c.State == Void {
			return wait
		}
	}
	return nil
}

// hasten has the means of payment that a subscription had until now be forgotten at its
// gateway at once. One that it had before is forgotten within three days as it is.
func (b *Biller) hasten(ctx context.Context, scope table.Scope, was Subscription) error {
	if len(was.BillingKey) == 0 {
		return nil
	}
	e, item, err := b.errandAt(ctx, scope, partingID(scope, was))
	if err != nil || item.Revision == 0 || !e.WakeAt.After(b.Clock.Now()) {
		return err
	}
	e.WakeAt = b.Clock.Now()
	write, err := e.put(item, scope, b.Shards)
	if err != nil {
		return err
	}
	return lost(b.Tables.Commit(ctx, write))
}
