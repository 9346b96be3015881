package billing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/reminder"
	"grantline/shared/table"
)

// Courier tells a customer of an attempt that is coming, by whatever reaches it. An error
// means that it may not have been told; telling twice is allowed.
type Courier interface {
	Tell(ctx context.Context, r reminder.Reminder) error
}

// remind writes down that the customer was told of the attempt that is coming, which waits
// for it, and leaves the telling to whoever delivers. A mandate is looked at first, so that
// a customer who has to mend it hears of that too.
func (b *Biller) remind(ctx context.Context, scope table.Scope, s read) error {
	gateway, err := b.gateway(scope, s.Gateway)
	if err != nil {
		return err
	}
	var held *hold
	if mandates, ok := gateway.(Mandates); ok && !s.OnHold {
		if held, err = b.held(ctx, scope, mandates, s); err != nil {
			// An attempt looks once more before it is made.
			b.Log.WarnContext(ctx, "mandate not looked at before a reminder", "subscription", s.ID, "error", err)
		}
	}
	return b.again(ctx, func() error {
		s, err := b.get(ctx, scope, s.ID)
		now := b.Clock.Now()
		if err != nil || s.Step != StepRemind || s.WakeAt.After(now) {
			return err
		}
		if s.lapsed(now) {
			// The attempt will not be made any more, so nobody is told of it.
			return b.commit(ctx, scope, s, s.wake(StepCharge, now, now), nil)
		}
		c, err := customer.Read(ctx, b.Tables, scope, s.Customer)
		if err != nil {
			return err
		}
		at := s.NextDueAt
		c.Tell(event.Event{
			Type: event.DunningReminder, At: now, SubscriptionID: s.ID, PlanID: s.Plan, Period: &s.Period, Attempt: s.Attempt,
			Amount: s.Terms.Price.Units, Currency: s.Terms.Price.Currency, DeclineCode: s.LastCode, NextAttemptAt: &at,
		})
		e := errand{
			ID: fmt.Sprintf("tell-%s-%d-%d", s.ID, s.Period, s.Attempt), Kind: errandTell, Gateway: s.Gateway, Subscription: s.ID,
			Period: s.Period, Attempt: s.Attempt, WakeAt: now,
		}
		// One that was told of before, and did not arrive, lies there still.
		_, item, err := b.errandAt(ctx, scope, e.ID)
		if err != nil {
			return err
		}
		told, err := e.put(item, scope, b.Shards)
		if err != nil {
			return err
		}
		return b.commit(ctx, scope, s, held.on(s.reminded(now), now), c, told)
	})
}

// tellAgain is how long to wait before a reminder that may not have arrived is sent again.
const tellAgain = 10 * time.Minute

// Deliver tells the customer what an errand of the deliver lane is about. A nil error lets
// the message go.
func (b *Biller) Deliver(ctx context.Context, scope table.Scope, id string) error {
	id, ok := errandOf(id)
	if !ok {
		return fmt.Errorf("billing: %q is nothing to deliver", id)
	}
	e, item, err := b.errandAt(ctx, scope, id)
	if err != nil || item.Revision == 0 || e.Kind != errandTell || e.WakeAt.After(b.Clock.Now()) {
		return err
	}
	done := func() error { return lost(b.Tables.Commit(ctx, table.Removed(item))) }
	s, err := b.get(ctx, scope, e.Subscription)
	if errors.Is(err, fault.NotFound) {
		return done()
	}
	if err != nil {
		return err
	}
	if s.Period != e.Period || s.Attempt != e.Attempt || s.Reminded != e.Attempt || !s.chargeable() || !s.NextDueAt.After(b.Clock.Now()) {
		return done() // it would not be true any more
	}
	c, err := customer.Read(ctx, b.Tables, scope, s.Customer)
	if err != nil {
		return err
	}
	link, err := b.page(ctx, scope, s.Subscription)
	if err != nil {
		return err
	}
	p := c.Profile
	err = b.Courier.Tell(ctx, reminder.Reminder{
		ID: e.ID, Scope: scope, SubscriptionID: s.ID, PlanName: s.Terms.Name, CustomerID: p.ID, Amount: s.Terms.Price,
		NextAttemptAt: s.NextDueAt, Zone: s.Terms.Zone, Period: s.Period, Attempt: s.Attempt, DeclineCode: s.LastCode, Link: link,
		Email: p.Email, Phone: p.Phone, Name: p.Name, Locale: p.Locale,
	})
	if err != nil {
		b.Log.WarnContext(ctx, "reminder not delivered", "subscription", s.ID, "try", e.Tries+1, "error", err)
		return b.later(ctx, scope, e, item, tellAgain)
	}
	return done()
}

// page is where the customer mends or approves the mandate, "" if there is none.
func (b *Biller) page(ctx context.Context, scope table.Scope, s Subscription) (string, error) {
	if len(s.Opening) == 0 || s.AskedAt.IsZero() {
		return "", nil
	}
	link, err := b.Sealer.Open(ctx, s.Opening, sealedFor("page", scope.Key(s.ID)))
	if err != nil {
		return "", fmt.Errorf("billing: page of subscription %s: %w", s.ID, err)
	}
	return string(link), nil
}
