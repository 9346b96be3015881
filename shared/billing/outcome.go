package billing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// close writes the outcome of a charge into its order, and then what follows from it.
func (b *Biller) close(ctx context.Context, scope table.Scope, s read, c *customer.Customer, charge Charge, item table.Item, o Outcome) error {
	b.noted(ctx, scope, charge.Gateway, o)
	if charge.settled() {
		return b.finish(ctx, scope, s, c, charge, item)
	}
	now := b.Clock.Now()
	next := s.wake(StepResolve, charge.nextLook(now), now)
	if charge.State == Void {
		if next = s.onward(now); next.Step == StepCharge {
			next = s.wake(StepCharge, now.Add(pauseAfter(o)), now)
		}
		if o.Misconfigured && o.Code != "" {
			next.Round++ // once it is mended, what was refused must not be repeated
		}
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
	charge, spent := ours, false
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
		if spent = ours.State == Paid && charge.spent(ours.key()); spent {
			return nil
		}
		charge = charge.settledAs(ours)
		return overtaken
	})
	if err != nil {
		return err
	}
	if spent {
		return nil // somebody else found it under the void order and has it given back
	}
	if ours.State == Paid && charge.State != Paid {
		if err := b.giveBack(ctx, scope, charge.ID, *ours.Payment, "The order had been closed without a payment."); err != nil {
			return err
		}
	}
	return b.settle(ctx, scope, charge, s, c)
}

// pauseAfter a charge that was not made, before it is made again.
func pauseAfter(o Outcome) time.Duration { return pauseOf(o.Misconfigured, o.Again) }

func pauseOf(misconfigured bool, again time.Duration) time.Duration {
	switch {
	case again > 0:
		return again
	case misconfigured:
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
		charged := s.charged(charge)
		next, told := charged.declined(charge.Code, charge.Class, now)
		switch {
		case charge.State == Paid:
			next, told = s.paid(now)
		case s.replaced(charge):
			next, told = s.outdated(next, told, now)
		case s.Method != "" && charged.Method != s.Method:
			changed := event.Event{Type: event.PaymentMethodChanged, At: now, SubscriptionID: s.ID, PlanID: s.Plan, Entitlement: s.Terms.Entitlement}
			if next.State == StatePastDue {
				changed.NextAttemptAt = &next.NextDueAt
			}
			of.Tell(changed)
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
		of.Retried(s.ID)
		of.Replace(next.source(charge.ID))
		of.Tell(e)
		return b.commit(ctx, scope, s, next, of)
	})
}

// rest ends the work on a subscription that had ended before its last order did. What was
// taken all the same is given back: whoever cancelled at once has no use of it.
func (b *Biller) rest(ctx context.Context, scope table.Scope, s read, charge Charge) error {
	if charge.State == Paid {
		if err := b.giveBack(ctx, scope, charge.ID, Payment{}, "The subscription had been cancelled."); err != nil {
			return err
		}
	}
	if s.Step != StepResolve {
		return nil // it waits for nothing, or for another means of payment
	}
	return b.commit(ctx, scope, s, s.onward(b.Clock.Now()), nil)
}

// finishAgreement ends a subscription whose last paid period is over.
func (b *Biller) finishAgreement(ctx context.Context, scope table.Scope, id string) error {
	return b.again(ctx, func() error {
		s, err := b.get(ctx, scope, id)
		now := b.Clock.Now()
		if err != nil || s.Step != StepEnd || s.WakeAt.After(now) {
			return err
		}
		if !s.Ending {
			return b.commit(ctx, scope, s, s.onward(now), nil)
		}
		return b.tell(ctx, scope, s, s.end(), event.Event{Type: event.SubscriptionCancelled})
	})
}

// tell commits a subscription together with what it gives now and an event, of which the
// kind and what is special about it are given.
func (b *Biller) tell(ctx context.Context, scope table.Scope, was read, next Subscription, e event.Event, more ...table.Write) error {
	c, err := customer.Read(ctx, b.Tables, scope, was.Customer)
	if err != nil {
		return err
	}
	return b.tellOf(ctx, scope, c, was, next, e, more...)
}

// tellOf is tell of a customer who was read already.
func (b *Biller) tellOf(ctx context.Context, scope table.Scope, c *customer.Customer, was read, next Subscription, e event.Event, more ...table.Write) error {
	e.At, e.SubscriptionID, e.Entitlement = b.Clock.Now(), next.ID, next.Terms.Entitlement
	if e.PlanID == "" {
		e.PlanID = next.Plan
	}
	c.Replace(next.source(sourceOrder(c, was.Subscription)))
	c.Tell(e)
	return b.commit(ctx, scope, was, next, c, more...)
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
		return b.goOn(ctx, scope, s)
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
		return b.goOn(ctx, scope, s)
	case charge.Lease.After(now):
		return b.commit(ctx, scope, s, s.wake(StepResolve, charge.Lease, now), nil)
	}
	found, err := b.seek(ctx, scope, gateway, charge, s.CustomerKey)
	if err != nil {
		return err
	}
	found = s.weighed(charge, found, now)
	next, verdict := charge.resolve(found, s.due(now) && s.wants(charge), gateway.Repeats(), now)
	switch verdict {
	case Close:
		if err := b.close(ctx, scope, s, nil, next, item, found); err != nil {
			return err
		}
		return b.strays(ctx, scope, charge.ID, found)
	case Resend:
		return b.resend(ctx, gateway, scope, s, next, item)
	case Wait:
	}
	if now.Sub(charge.SentAt) > 24*time.Hour {
		b.alarm(ctx, "outcome still unknown", "order", charge.ID, "gateway", charge.Gateway)
	}
	orderItem, err := next.item(item, scope)
	if err != nil {
		return err
	}
	return b.commit(ctx, scope, s, s.wake(StepResolve, next.nextLook(now), now), nil, table.Put(orderItem))
}

// goOn does what is next where it turned out that no attempt is under way. It is done at
// once: whoever could put a cancellation and its taking back between each two steps would
// have the one to charge and the one to end put off for ever.
func (b *Biller) goOn(ctx context.Context, scope table.Scope, s read) error {
	if err := b.commit(ctx, scope, s, s.onward(b.Clock.Now()), nil); err != nil {
		return err
	}
	fresh, err := b.get(ctx, scope, s.ID)
	if err != nil {
		return err
	}
	return b.step(ctx, scope, fresh)
}

// seek looks for an order that is open. A gateway that is asked by the order's id needs no
// card for it.
func (b *Biller) seek(ctx context.Context, scope table.Scope, g Gateway, c Charge, customerKey string) (Outcome, error) {
	var l letter
	if _, ok := g.(Mandates); ok {
		var err error
		if l, err = b.unseal(ctx, scope, c); err != nil {
			return Outcome{}, err
		}
	}
	return b.find(ctx, g, c, l, customerKey), nil
}

// strays has the payments given back that were made for an order beside its own.
func (b *Biller) strays(ctx context.Context, scope table.Scope, id string, found Outcome) error {
	for _, p := range found.Others {
		if err := b.giveBack(ctx, scope, id, p, "A second payment was made for this order."); err != nil {
			return err
		}
	}
	return nil
}

// resend sends the same body under the same order once more, and once more reads the
// subscription after the claim.
func (b *Biller) resend(ctx context.Context, g Gateway, scope table.Scope, s read, charge Charge, item table.Item) error {
	l, err := b.unseal(ctx, scope, charge)
	if err != nil {
		return err
	}
	now := b.Clock.Now()
	var turn []table.Write
	if charge.Attempt > 1 {
		c, err := customer.Read(ctx, b.Tables, scope, s.Customer)
		if err != nil {
			return err
		}
		if until, other := c.Retrying(s.ID, now); other {
			return lost(b.commit(ctx, scope, s, s.wake(StepResolve, minOf(until, now.Add(time.Minute)), now), nil))
		}
		if turn, err = b.turn(s.Subscription, c); err != nil {
			return err
		}
	}
	charge = charge.sending(now, b.Lease)
	if item, err = b.put(ctx, scope, charge, item, turn...); err != nil {
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
