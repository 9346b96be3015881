package billing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// close writes the outcome of a charge into its order, and then what follows from it.
func (b *Biller) close(ctx context.Context, scope table.Scope, s read, c *customer.Customer, charge Charge, item table.Item, o Outcome) error {
	if charge.settled() {
		return b.finish(ctx, scope, s, c, charge, item)
	}
	now := b.Clock.Now()
	next := s.wake(StepResolve, charge.nextLook(now), now)
	if charge.State == Void {
		next = s.wake(StepCharge, now.Add(pauseAfter(o)), now)
		if s.ended() {
			next = s.sleep()
		}
	}
	if o.Misconfigured {
		b.Log.ErrorContext(ctx, "gateway refuses our configuration", "alarm", true, "gateway", charge.Gateway, "code", o.Code)
	}
	orderItem, err := charge.item(item, scope)
	if err != nil {
		return err
	}
	err = b.commit(ctx, scope, s, next, nil, table.Put(orderItem))
	if errors.As(err, new(*table.Conflict)) {
		return b.reread(ctx, scope, orderItem.Key)
	}
	return err
}

// finish writes a final outcome into its order and advances the subscription. Whoever
// else wrote into the order meanwhile, the gateway's word ends it, unless it had ended.
func (b *Biller) finish(ctx context.Context, scope table.Scope, s read, c *customer.Customer, ours Charge, item table.Item) error {
	charge := ours
	err := b.again(ctx, func() error {
		_, err := b.put(ctx, scope, charge, item)
		if !errors.As(err, new(*table.Conflict)) {
			return err
		}
		overtaken := err
		if item, err = b.Tables.Get(ctx, orderKey(scope, ours.ID)); err != nil {
			return fmt.Errorf("billing: order: %w", err)
		}
		s, c = read{}, nil
		if charge, err = DecodeCharge(item); err != nil || charge.settled() {
			return err
		}
		charge = charge.settledAs(ours)
		return overtaken
	})
	if err != nil {
		return err
	}
	if ours.State == Paid && charge.State != Paid {
		b.Log.ErrorContext(ctx, "money taken under an order that was closed without", "alarm", true, "order", charge.ID)
	}
	return b.settle(ctx, scope, charge, s, c)
}

// pauseAfter a charge that was not made, before it is made again.
func pauseAfter(o Outcome) time.Duration {
	if o.Misconfigured {
		return 10 * time.Minute
	}
	return time.Minute
}

// reread goes on from what is written now, after somebody else wrote first.
func (b *Biller) reread(ctx context.Context, scope table.Scope, order table.Key) error {
	item, err := b.Tables.Get(ctx, order)
	if err != nil {
		return fmt.Errorf("billing: order: %w", err)
	}
	charge, err := DecodeCharge(item)
	if err != nil {
		return err
	}
	if charge.settled() {
		return b.settle(ctx, scope, charge, read{}, nil)
	}
	return fault.New(fault.Unavailable, "busy", "Order %s is being worked on.", charge.ID)
}

// answerMargin is what is kept of an invocation's time for writing down an answer.
const answerMargin = 4 * time.Second

// settle advances the subscription by an outcome that is written down already, once: if
// the subscription has gone on from that attempt, there is nothing left to do.
func (b *Biller) settle(ctx context.Context, scope table.Scope, charge Charge, s read, c *customer.Customer) error {
	return b.again(ctx, func() error {
		var err error
		if c == nil {
			if s, err = b.get(ctx, scope, charge.Subscription); err != nil {
				return err
			}
			if c, err = customer.Read(ctx, b.Tables, scope, charge.Customer); err != nil {
				return err
			}
		}
		of := c
		c = nil // what was read serves one try
		if s.Period != charge.Period || s.Attempt != charge.Attempt {
			return nil
		}
		if s.ended() {
			return b.rest(ctx, scope, s, charge)
		}
		now := b.Clock.Now()
		next, told := s.declined(charge.Code, charge.Class, now)
		if charge.State == Paid {
			next, told = s.paid(now)
		}
		e := event.Event{
			Type: told, At: now, OrderID: charge.ID, SubscriptionID: s.ID, PlanID: s.Plan, Entitlement: s.Terms.Entitlement,
			Period: &charge.Period, Attempt: charge.Attempt, Amount: charge.Amount, Currency: charge.Currency,
		}
		if charge.State == Paid {
			e.ExpiresAt = &next.PaidUntil
		} else {
			e.DeclineCode = charge.Code
			if !next.NextDueAt.IsZero() {
				e.NextAttemptAt = &next.NextDueAt
			}
		}
		of.Set(next.source(charge.ID))
		of.Tell(e)
		return b.commit(ctx, scope, s, next, of)
	})
}

// rest ends the work on a subscription that had ended before its last order did. What was
// taken all the same is in the order, and for a person to give back.
func (b *Biller) rest(ctx context.Context, scope table.Scope, s read, charge Charge) error {
	if charge.State == Paid {
		b.Log.ErrorContext(ctx, "money taken for a subscription that had ended", "alarm", true, "order", charge.ID, "subscription", s.ID)
	}
	if s.Step == StepNone {
		return nil
	}
	return b.commit(ctx, scope, s, s.sleep(), nil)
}

// resolve finds out what became of an attempt whose outcome is not known.
func (b *Biller) resolve(ctx context.Context, scope table.Scope, s read) error {
	gateway, err := b.gateway(scope, s.Gateway)
	if err != nil {
		return err
	}
	now := b.Clock.Now()
	item, err := b.Tables.Get(ctx, orderKey(scope, OrderID(scope, s.ID, s.Period, s.Attempt)))
	if errors.Is(err, fault.NotFound) {
		return b.commit(ctx, scope, s, s.wake(StepCharge, s.NextDueAt, now), nil)
	}
	if err != nil {
		return fmt.Errorf("billing: order: %w", err)
	}
	charge, err := DecodeCharge(item)
	if err != nil {
		return err
	}
	switch {
	case charge.settled():
		return b.settle(ctx, scope, charge, read{}, nil)
	case charge.State == Void:
		return b.commit(ctx, scope, s, s.wake(StepCharge, s.NextDueAt, now), nil)
	case charge.Lease.After(now):
		return b.commit(ctx, scope, s, s.wake(StepResolve, charge.Lease, now), nil)
	}
	calling, cancel := clock.LeaveRoom(ctx, answerMargin)
	found := gateway.Find(calling, charge.ID, Want{Amount: s.Terms.Price})
	cancel()
	b.Log.InfoContext(ctx, "charge looked up", "order", charge.ID, "subscription", s.ID, "result", found.Result, "code", found.Code)
	next, verdict := charge.resolve(found, s.due(now) && s.wants(charge), now)
	switch verdict {
	case Close:
		return b.close(ctx, scope, s, nil, next, item, found)
	case Resend:
		return b.resend(ctx, gateway, scope, s, next, item)
	case Wait:
	}
	if now.Sub(charge.SentAt) > 24*time.Hour {
		b.Log.ErrorContext(ctx, "outcome still unknown", "alarm", true, "order", charge.ID, "gateway", charge.Gateway)
	}
	orderItem, err := next.item(item, scope)
	if err != nil {
		return err
	}
	return b.commit(ctx, scope, s, s.wake(StepResolve, next.nextLook(now), now), nil, table.Put(orderItem))
}

// resend sends the same body under the same order once more, and once more reads the
// subscription after the claim.
func (b *Biller) resend(ctx context.Context, g Gateway, scope table.Scope, s read, charge Charge, item table.Item) error {
	l, err := b.unseal(ctx, scope, charge)
	if err != nil {
		return err
	}
	charge = charge.sending(b.Clock.Now(), b.Lease)
	if item, err = b.put(ctx, scope, charge, item); err != nil {
		return err
	}
	fresh, err := b.get(ctx, scope, s.ID)
	if err != nil {
		return err
	}
	if !fresh.due(b.Clock.Now()) || !fresh.wants(charge) {
		orderItem, err := charge.waiting().item(item, scope)
		if err != nil {
			return err
		}
		return b.commit(ctx, scope, fresh, fresh.wake(StepResolve, charge.nextLook(b.Clock.Now()), b.Clock.Now()), nil, table.Put(orderItem))
	}
	return b.send(ctx, g, scope, fresh, nil, charge, item, l)
}
