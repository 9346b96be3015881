package billing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"grantline/shared/clock"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// MandateHeld is the code of an attempt that was not made since its mandate was on hold.
const MandateHeld = "MANDATE_ON_HOLD"

// awaitMending goes on once the customer has given a mandate on hold another means of
// payment, and with what is due in the meantime.
func (b *Biller) awaitMending(ctx context.Context, scope table.Scope, s read, m Mandate) error {
	now := b.Clock.Now()
	next := s.Subscription
	switch m.State {
	case MandateActive:
		if s.changed(m) {
			return b.mended(ctx, scope, s.ID, m)
		}
	case MandateEnded:
		return b.mandateEnded(ctx, scope, s.ID)
	case MandateOnHold:
		next.OnHold = true
	case MandatePending:
	}
	if next = next.awaiting(now); s.State != StatePastDue && now.Sub(s.AskedAt) > askedFor {
		next = next.sleep()
	}
	return lost(b.commit(ctx, scope, s, next, nil))
}

// changed says whether a mandate that can be charged has another means of payment than the
// one that is known. One that was on hold has been mended, with whatever it has.
func (s Subscription) changed(m Mandate) bool {
	return m.State == MandateActive && (s.OnHold || m.Method != "" && m.Method != s.Method)
}

// awaiting is a subscription whose customer has the page of another means of payment. What
// is due in the meantime comes at its time.
func (s Subscription) awaiting(now time.Time) Subscription {
	next := s.wake(StepAwait, now.Add(pollAfter(now.Sub(s.AskedAt))), now)
	if s.State != StatePastDue {
		return next
	}
	if remind := s.NextDueAt.Add(-remindBefore); next.WakeAt.After(remind) {
		return s.wake(StepRemind, remind, now)
	}
	return next
}

// mended is told when the mandate can be charged again, by whatever means it has now.
func (b *Biller) mended(ctx context.Context, scope table.Scope, id string, m Mandate) error {
	return b.again(ctx, func() error {
		s, err := b.get(ctx, scope, id)
		if err != nil || s.State == StateCancelled || !s.changed(m) {
			return err
		}
		now := b.Clock.Now()
		next := s.recarded(now)
		next.Method, next.Opening, next.AskedAt = m.Method, nil, time.Time{}
		e := event.Event{Type: event.PaymentMethodChanged}
		if !next.NextDueAt.IsZero() && next.State == StatePastDue {
			e.NextAttemptAt = &next.NextDueAt
		}
		return b.tell(ctx, scope, s, next, e)
	})
}

// mandateEnded takes a mandate's end for its customer's cancellation: what is paid for is
// used up, and nothing more is charged.
func (b *Biller) mandateEnded(ctx context.Context, scope table.Scope, id string) error {
	return b.again(ctx, func() error {
		s, err := b.get(ctx, scope, id)
		if err != nil || s.State == StateCancelled || s.Ending {
			return err
		}
		now := b.Clock.Now()
		next := s.cancelled(false, now.Add(b.Lease), now)
		next.Spent = true
		e := event.Event{Type: event.SubscriptionCancelled}
		if next.Ending {
			e = event.Event{Type: event.SubscriptionEnding, ExpiresAt: &next.PaidUntil}
		}
		return b.tell(ctx, scope, s, next, e)
	})
}

// hold is what a look at a mandate before an attempt found: that it is on hold, and the page
// on which it is mended.
type hold struct {
	page []byte // sealed, nil if there is none
}

// on is a subscription whose mandate is on hold, if it is.
func (h *hold) on(s Subscription, now time.Time) Subscription {
	if h == nil {
		return s
	}
	s.OnHold, s.AskedAt = true, now
	if h.page != nil {
		s.Opening = h.page
	}
	return s
}

// held looks at a mandate, and has the gateway make the page on which it is mended if it is
// on hold; nil if it is not.
func (b *Biller) held(ctx context.Context, scope table.Scope, g Mandates, s read) (*hold, error) {
	m, err := b.look(ctx, scope, g, s.Subscription)
	if err != nil || m.State != MandateOnHold {
		return nil, err
	}
	page, err := b.mend(ctx, scope, g, s.Subscription, s.ReturnURL)
	if err != nil {
		b.Log.WarnContext(ctx, "no page for a mandate on hold", "subscription", s.ID, "error", err)
		return &hold{}, nil
	}
	return &hold{page}, nil
}

// mend has the gateway make the page on which a mandate is mended, sealed.
func (b *Biller) mend(ctx context.Context, scope table.Scope, g Mandates, s Subscription, returnURL string) ([]byte, error) {
	mandate, err := b.card(ctx, scope, s)
	if err != nil {
		return nil, err
	}
	calling, cancel := clock.LeaveRoom(ctx, answerMargin)
	defer cancel()
	link, err := g.Mend(calling, string(mandate), returnURL)
	if err != nil {
		return nil, err
	}
	return b.Sealer.Seal(ctx, []byte(link), sealedFor("page", scope.Key(s.ID)))
}

// ready looks at a mandate before a retry. One that is on hold is not charged: the attempt
// is passed over, its customer is told, and the next one looks again.
func (b *Biller) ready(ctx context.Context, scope table.Scope, g Mandates, s read) (bool, error) {
	now := b.Clock.Now()
	m, err := b.look(ctx, scope, g, s.Subscription)
	if err != nil {
		b.Log.WarnContext(ctx, "mandate not looked at before an attempt", "subscription", s.ID, "error", err)
		return false, lost(b.commit(ctx, scope, s, s.wake(StepCharge, now.Add(5*time.Minute), now), nil))
	}
	switch m.State {
	case MandateActive:
		if !s.changed(m) {
			return true, nil
		}
		next := s.unblamed() // another means of payment: with the next message, and nothing is known against it
		next.Cards++         // whatever is under way is of the one before
		next.OnHold, next.Method, next.Opening, next.AskedAt = false, m.Method, nil, time.Time{}
		return false, lost(b.tell(ctx, scope, s, next.wake(StepCharge, now, now), event.Event{Type: event.PaymentMethodChanged, NextAttemptAt: &next.NextDueAt}))
	case MandateEnded:
		return false, b.mandateEnded(ctx, scope, s.ID)
	case MandatePending, MandateOnHold:
	}
	// Whoever else has this message may have claimed the attempt before the mandate went on hold.
	// One that is open is settled first, and one that is not there is written down as not made,
	// so that nobody can claim it behind what follows.
	charge, item, err := b.unclaimedAttempt(ctx, scope, s.Subscription, MandateHeld)
	if err != nil {
		return false, err
	}
	if charge.State != Void {
		return false, b.overtaken(ctx, scope, s, charge)
	}
	held := &hold{}
	if !s.OnHold || len(s.Opening) == 0 {
		if page, err := b.mend(ctx, scope, g, s.Subscription, s.ReturnURL); err == nil {
			held.page = page
		} else {
			b.Log.WarnContext(ctx, "no page for a mandate on hold", "subscription", s.ID, "error", err)
		}
	}
	next, told := held.on(s.Subscription, now).declined(MandateHeld, Passing, now)
	e := event.Event{Type: told, Attempt: s.Attempt, Period: &s.Period, DeclineCode: MandateHeld}
	switch {
	case next.Step == StepRemind:
		next = next.awaiting(now)
	case next.State == StateUnpaid:
		next.Passed = s.Attempt
	}
	if told == event.ChargeDeclined {
		e.Type, e.NextAttemptAt = event.PaymentMethodRequired, &next.NextDueAt
	}
	return false, lost(b.tell(ctx, scope, s, next, e, table.Put(item)))
}

// unclaimedAttempt is the order of the attempt that is due, with the item to be written: void,
// for that reason, where nobody has claimed it, and as it is where somebody has.
func (b *Biller) unclaimedAttempt(ctx context.Context, scope table.Scope, s Subscription, code string) (Charge, table.Item, error) {
	void := s.attempting(scope).void(code)
	was, err := b.Tables.Get(ctx, orderKey(scope, void.ID))
	if err != nil && !errors.Is(err, fault.NotFound) {
		return Charge{}, was, fmt.Errorf("billing: order: %w", err)
	}
	if err == nil {
		charge, err := DecodeCharge(was)
		if err != nil || charge.State != Void {
			return charge, was, err
		}
		void = charge.void(cmp.Or(code, charge.Code)) // a refund of what turned up for it may be under way
	}
	item, err := void.item(was, scope)
	return void, item, err
}
