package billing

import (
	"context"
	"errors"
	"time"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Cancel ends a subscription with its paid period, or at once, and is the same when it is
// asked for again. A charge that is under way cannot be called back: if it takes money, a
// subscription that ends with its period has one more, and one that ended at once has the
// money given back. It returns fault.NotFound if there is none.
func (b *Biller) Cancel(ctx context.Context, scope table.Scope, id string, atOnce bool) (Subscription, error) {
	return b.decide(ctx, scope, id, func(s read) (Subscription, *event.Event, error) {
		now := b.Clock.Now()
		next := s.cancelled(atOnce, now.Add(b.Lease), now)
		switch {
		case s.State == StateCancelled, s.Ending && next.Ending:
			return s.Subscription, nil, nil
		case next.Ending:
			return next, &event.Event{Type: event.SubscriptionEnding, ExpiresAt: &next.PaidUntil}, nil
		}
		return next, &event.Event{Type: event.SubscriptionCancelled}, nil
	})
}

// Resume takes back a cancellation whose period is not over. It returns fault.Conflict
// when the subscription is over or waits for another card.
func (b *Biller) Resume(ctx context.Context, scope table.Scope, id string) (Subscription, error) {
	return b.decide(ctx, scope, id, func(s read) (Subscription, *event.Event, error) {
		switch {
		case s.State == StateCancelled:
			return s.Subscription, nil, fault.New(fault.Conflict, "subscription_cancelled", "The subscription is over; the customer has to sign up again.")
		case s.State == StateUnpaid:
			return s.Subscription, nil, fault.New(fault.Conflict, "payment_method_needed", "The subscription is unpaid; another means of payment revives it.")
		case !s.Ending:
			return s.Subscription, nil, nil
		}
		return s.resumed(b.Clock.Now()), &event.Event{Type: event.SubscriptionResumed, ExpiresAt: s.paidUntil()}, nil
	})
}

// ChangePlan has another plan take over with the next period; the running one, and an
// attempt that is under way, stay as they are. It returns fault.Invalid for a plan that
// cannot take over and fault.Conflict when nothing is left to be taken over.
func (b *Biller) ChangePlan(ctx context.Context, scope table.Scope, id, planID string) (Subscription, error) {
	plan, ok := b.Catalog.Plan(planID)
	return b.decide(ctx, scope, id, func(s read) (Subscription, *event.Event, error) {
		terms := termsOf(plan)
		switch {
		case !ok || plan.Gateway != s.Gateway || plan.OnDemand || s.Terms.OnDemand:
			return s.Subscription, nil, fault.New(fault.Invalid, "unknown_plan", "There is no plan %q that could follow on this one.", planID)
		case s.State != StateActive && s.State != StatePastDue, s.Ending:
			return s.Subscription, nil, fault.New(fault.Conflict, "no_next_period", "The subscription has no next period.")
		}
		next := s.Subscription
		if next.Next = (&Planned{Plan: planID, Terms: terms}); planID == s.Plan && terms == s.Terms {
			next.Next = nil // all stays as it is
		}
		switch {
		case next.Next == nil && s.Next == nil, next.Next != nil && s.Next != nil && *next.Next == *s.Next:
			return s.Subscription, nil, nil
		}
		return next, &event.Event{Type: event.SubscriptionPlanned, PlanID: planID, ExpiresAt: s.paidUntil()}, nil
	})
}

// paidUntil is the end of what was paid for as an event says it, nil where nothing was.
func (s Subscription) paidUntil() *time.Time {
	if s.PaidUntil.IsZero() {
		return nil
	}
	until := s.PaidUntil.UTC()
	return &until
}

// decide changes a subscription by a decision over what is written now; one without an
// event changes nothing.
func (b *Biller) decide(ctx context.Context, scope table.Scope, id string, how func(s read) (Subscription, *event.Event, error)) (Subscription, error) {
	var result Subscription
	err := b.again(ctx, func() error {
		s, err := b.get(ctx, scope, id)
		if errors.Is(err, fault.NotFound) {
			return notFound()
		}
		if err != nil {
			return err
		}
		next, told, err := how(s)
		if result = next; err != nil || told == nil {
			return err
		}
		return b.tell(ctx, scope, s, next, *told)
	})
	return result, err
}
