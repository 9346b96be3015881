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

// Codes of attempts that were not made for the mandate's sake.
const (
	MandateHeld = "MANDATE_ON_HOLD"
	MandateOver = "MANDATE_ENDED"
)

const (
	// askedFor is how long a page waits for its customer.
	askedFor = 14 * 24 * time.Hour
	// invitedWithin is how long a sign-up may be without a page before it is given up.
	invitedWithin = time.Hour
)

// pollAfter is how long to wait before a mandate is looked at again, that long after its
// customer was given the page: the gateway's notice may be lost, and the pace is shared
// with charges.
func pollAfter(since time.Duration) time.Duration {
	switch {
	case since < 30*time.Minute:
		return 5 * time.Minute
	case since < 6*time.Hour:
		return 30 * time.Minute
	case since < 48*time.Hour:
		return 4 * time.Hour
	}
	return 12 * time.Hour
}

// invite has the gateway make a page. Two requests never make two pages that anybody sees:
// one at a time may ask, and only a link that was written down is given out.
func (b *Biller) invite(ctx context.Context, scope table.Scope, g Mandates, s read, existed bool, m NewMandate) (Created, error) {
	busy := fault.New(fault.Unavailable, "busy", "This subscription is being asked for; ask again.")
	if existed {
		switch {
		case len(s.BillingKey) > 0 || s.State != StatePending:
			return b.invited(ctx, scope, s.Subscription)
		case s.Inviting.After(b.Clock.Now()):
			return Created{}, busy
		}
		next := s.Subscription
		next.Inviting = b.Clock.Now().Add(b.Lease)
		if err := b.commit(ctx, scope, s, next, nil); err != nil {
			return Created{}, errors.Join(busy, err)
		}
		var err error
		if s, err = b.get(ctx, scope, s.ID); err != nil {
			return Created{}, err
		}
	}
	invitation := Invitation{
		Subscription: s.ID, Price: s.Terms.Price, Product: s.Terms.Product, Name: s.Terms.Name,
		Customer: m.Payer, Address: m.Address, ReturnURL: m.ReturnURL,
	}
	if s.FirstCharge {
		invitation.OrderID = OrderID(scope, s.ID, 0, 1)
	}
	calling, cancel := clock.LeaveRoom(ctx, answerMargin)
	made, err := g.Invite(calling, invitation)
	cancel()
	if errors.Is(err, fault.Invalid) {
		return Created{}, b.withdraw(ctx, scope, s, err)
	}
	if err != nil {
		next := s.Subscription
		next.Inviting = time.Time{} // whatever it made, nobody will see it
		if failed := b.commit(ctx, scope, s, next, nil); failed != nil {
			b.Log.WarnContext(ctx, "invitation not let go of", "subscription", s.ID, "error", failed)
		}
		return Created{}, err
	}
	next, writes, err := b.awaiting(ctx, scope, s.Subscription, made)
	if err != nil {
		return Created{}, err
	}
	if err := b.commit(ctx, scope, s, next, nil, writes...); err != nil {
		return Created{}, errors.Join(busy, err)
	}
	return Created{Subscription: next, Link: made.Link}, nil
}

// awaiting is the subscription with a mandate that its customer is to approve, and the
// order of the charge that comes with the approval.
func (b *Biller) awaiting(ctx context.Context, scope table.Scope, s Subscription, made Invited) (Subscription, []table.Write, error) {
	now := b.Clock.Now()
	var err error
	if s.BillingKey, err = b.Sealer.Seal(ctx, []byte(made.Mandate), sealedFor("billing-key", scope.Key(s.ID))); err != nil {
		return s, nil, fmt.Errorf("billing: sealing: %w", err)
	}
	if s.Opening, err = b.Sealer.Seal(ctx, []byte(made.Link), sealedFor("page", scope.Key(s.ID))); err != nil {
		return s, nil, fmt.Errorf("billing: sealing: %w", err)
	}
	s.Inviting, s.AskedAt = time.Time{}, now
	s = s.wake(StepAwait, now.Add(pollAfter(0)), now)
	if !s.FirstCharge {
		return s, nil, nil
	}
	c := Charge{
		ID: OrderID(scope, s.ID, 0, 1), Kind: ChargeKind, Customer: s.Customer, Gateway: s.Gateway, Subscription: s.ID, Plan: s.Plan,
		Attempt: 1, State: Sending, Amount: s.Terms.Price.Units, Currency: s.Terms.Price.Currency, DueAt: now, SentAt: now, LastSentAt: now, Sends: 1,
	}
	if c.Sealed, err = b.Sealer.Seal(ctx, joined([]byte(made.Mandate), nil), sealedFor("charge", scope.Key(c.ID))); err != nil {
		return s, nil, fmt.Errorf("billing: sealing: %w", err)
	}
	was, err := b.Tables.Get(ctx, orderKey(scope, c.ID)) // of a sign-up under this id that came to nothing
	if err != nil && !errors.Is(err, fault.NotFound) {
		return s, nil, fmt.Errorf("billing: order: %w", err)
	}
	item, err := c.item(was, scope)
	return s, []table.Write{table.Put(item)}, err
}

// invited is the answer to who asks again.
func (b *Biller) invited(ctx context.Context, scope table.Scope, s Subscription) (Created, error) {
	created := Created{Subscription: s, Existed: true}
	if s.State != StatePending {
		return created, nil
	}
	var err error
	created.Link, err = b.page(ctx, scope, s)
	return created, err
}

// await looks whether the customer has approved the mandate, or mended it.
func (b *Biller) await(ctx context.Context, scope table.Scope, s read) error {
	now := b.Clock.Now()
	gateway, err := b.gateway(scope, s.Gateway)
	if err != nil {
		return err
	}
	g, ok := gateway.(Mandates)
	if !ok {
		return fmt.Errorf("billing: gateway %s has no mandates", s.Gateway)
	}
	if len(s.BillingKey) == 0 {
		if now.Sub(s.Anchor) > invitedWithin && !s.Inviting.After(now) {
			return lost(b.refuse(ctx, scope, s, "invitation_unanswered"))
		}
		return lost(b.commit(ctx, scope, s, s.wake(StepAwait, now.Add(10*time.Minute), now), nil))
	}
	m, err := b.look(ctx, scope, g, s.Subscription)
	if err != nil {
		b.Log.WarnContext(ctx, "mandate not looked at", "subscription", s.ID, "error", err)
		m.State = ""
	}
	if s.State == StatePending {
		return b.awaitApproval(ctx, scope, g, s, m)
	}
	return b.awaitMending(ctx, scope, s, m)
}

// look asks the gateway how a subscription's mandate stands.
func (b *Biller) look(ctx context.Context, scope table.Scope, g Mandates, s Subscription) (Mandate, error) {
	mandate, err := b.card(ctx, scope, s)
	if err != nil {
		return Mandate{}, err
	}
	calling, cancel := clock.LeaveRoom(ctx, answerMargin)
	defer cancel()
	return g.Look(calling, string(mandate))
}

func (b *Biller) awaitApproval(ctx context.Context, scope table.Scope, g Mandates, s read, m Mandate) error {
	now := b.Clock.Now()
	switch m.State {
	case MandateActive:
		return b.approve(ctx, scope, s, m)
	case MandateEnded:
		return b.disapprove(ctx, scope, g, s, "mandate_refused")
	case MandatePending, MandateOnHold:
	}
	since := now.Sub(s.AskedAt)
	if since > askedFor && m.State != "" {
		return b.disapprove(ctx, scope, g, s, "mandate_not_approved")
	}
	return lost(b.commit(ctx, scope, s, s.wake(StepAwait, now.Add(pollAfter(since)), now), nil))
}

// approve begins the agreement: its anchor is this instant. Either the approval has taken
// the money of period 0, or that is due now.
func (b *Biller) approve(ctx context.Context, scope table.Scope, s read, m Mandate) error {
	now := b.Clock.Now()
	next := s.Subscription
	next.Anchor, next.Method, next.Opening, next.AskedAt = now, m.Method, nil, time.Time{}
	switch {
	case next.Terms.OnDemand:
		next = next.sleep()
		next.State = StateActive
		return lost(b.tell(ctx, scope, s, next, event.Event{Type: event.SubscriptionActivated}))
	case next.FirstCharge:
		item, err := b.Tables.Get(ctx, orderKey(scope, OrderID(scope, s.ID, 0, 1)))
		if err != nil {
			return fmt.Errorf("billing: order: %w", err)
		}
		c, err := DecodeCharge(item)
		if err != nil {
			return err
		}
		c.SentAt, c.LastSentAt, c.AbsentSince = now, now, time.Time{}
		order, err := c.item(item, scope)
		if err != nil {
			return err
		}
		next.NextDueAt = next.dueOf(0)
		if err := b.commit(ctx, scope, s, next.wake(StepResolve, now, now), nil, table.Put(order)); err != nil {
			return lost(err)
		}
	default:
		next.NextDueAt = next.dueOf(0)
		if err := b.commit(ctx, scope, s, next.wake(StepCharge, now, now), nil); err != nil {
			return lost(err)
		}
	}
	fresh, err := b.get(ctx, scope, s.ID)
	if err != nil {
		return err
	}
	return b.step(ctx, scope, fresh)
}

// disapprove ends a sign-up whose mandate was never approved. Money that its page took all
// the same is given back.
func (b *Biller) disapprove(ctx context.Context, scope table.Scope, g Mandates, s read, why string) error {
	if s.FirstCharge {
		id := OrderID(scope, s.ID, 0, 1)
		c, err := b.order(ctx, scope, id)
		if err != nil {
			return err
		}
		found := Outcome{Result: Absent}
		if c.open() {
			if found, err = b.seek(ctx, scope, g, c, ""); err != nil {
				return err
			}
		}
		now := b.Clock.Now()
		switch found.Result {
		case Unclear, NotMade, Accepted:
			return lost(b.commit(ctx, scope, s, s.wake(StepAwait, now.Add(10*time.Minute), now), nil))
		case Taken, Refused, Absent:
		}
		if _, err := b.rewrite(ctx, scope, id, func(c Charge, now time.Time) (change, bool, error) {
			if !c.open() {
				return change{Charge: c}, false, nil
			}
			if found.Result == Taken {
				return change{Charge: c.after(found, now)}, true, nil
			}
			return change{Charge: c.void(why)}, true, nil
		}); err != nil {
			return err
		}
		if found.Result == Taken {
			if err := b.giveBack(ctx, scope, id, Payment{}, "The subscription never began."); err != nil {
				return err
			}
		}
	}
	return lost(b.refuse(ctx, scope, s, why))
}

// awaitMending goes on once the customer has given a mandate on hold another means of
// payment, and with what is due in the meantime.
func (b *Biller) awaitMending(ctx context.Context, scope table.Scope, s read, m Mandate) error {
	now := b.Clock.Now()
	switch m.State {
	case MandateActive:
		return b.mended(ctx, scope, s, m)
	case MandateEnded:
		return b.mandateEnded(ctx, scope, s)
	case MandatePending, MandateOnHold:
	}
	next := s.wake(StepAwait, now.Add(pollAfter(now.Sub(s.AskedAt))), now)
	switch {
	case s.State == StatePastDue:
		if remind := s.NextDueAt.Add(-remindBefore); next.WakeAt.After(remind) {
			next = s.wake(StepRemind, remind, now)
		}
	case now.Sub(s.AskedAt) > askedFor:
		next = s.sleep()
	}
	return lost(b.commit(ctx, scope, s, next, nil))
}

// mended is told when the mandate can be charged again, by whatever means it has now.
func (b *Biller) mended(ctx context.Context, scope table.Scope, s read, m Mandate) error {
	next := s.recarded(b.Clock.Now())
	next.Method, next.Opening, next.AskedAt = m.Method, nil, time.Time{}
	if next.State == StateUnpaid || next.Step == StepAwait {
		next = next.onward(b.Clock.Now())
	}
	e := event.Event{Type: event.PaymentMethodChanged}
	if !next.NextDueAt.IsZero() && next.State == StatePastDue {
		e.NextAttemptAt = &next.NextDueAt
	}
	return lost(b.tell(ctx, scope, s, next, e))
}

// mandateEnded takes a mandate's end for its customer's cancellation: what is paid for is
// used up, and nothing more is charged.
func (b *Biller) mandateEnded(ctx context.Context, scope table.Scope, s read) error {
	now := b.Clock.Now()
	next := s.cancelled(false, now.Add(b.Lease), now)
	next.Spent = true
	e := event.Event{Type: event.SubscriptionCancelled}
	if next.Ending {
		e = event.Event{Type: event.SubscriptionEnding, ExpiresAt: &next.PaidUntil}
	}
	return lost(b.tell(ctx, scope, s, next, e))
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
		if !s.OnHold && (m.Method == s.Method || m.Method == "") {
			return true, nil
		}
		next := s.Subscription // another means of payment: with the next message, and nothing is known against it
		next.OnHold, next.Method, next.LastCode, next.Opening, next.AskedAt = false, m.Method, "", nil, time.Time{}
		return false, lost(b.commit(ctx, scope, s, next.wake(StepCharge, now, now), nil))
	case MandateEnded:
		return false, b.mandateEnded(ctx, scope, s)
	case MandatePending, MandateOnHold:
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
	if next.Step == StepRemind {
		next = next.wake(StepAwait, minOf(next.WakeAt, now.Add(pollAfter(0))), now)
	}
	if told == event.ChargeDeclined {
		e.Type, e.NextAttemptAt = event.PaymentMethodRequired, &next.NextDueAt
	}
	return false, lost(b.tell(ctx, scope, s, next, e))
}

// noticed is what a gateway's word about a mandate leads to: a look, whatever it said.
func (b *Biller) noticed(ctx context.Context, scope table.Scope, id string) (bool, error) {
	s, err := b.get(ctx, scope, id)
	if errors.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	gateway, err := b.gateway(scope, s.Gateway)
	if err != nil {
		return false, err
	}
	g, ok := gateway.(Mandates)
	if !ok || len(s.BillingKey) == 0 || s.State == StateCancelled {
		return false, nil
	}
	m, err := b.look(ctx, scope, g, s.Subscription)
	if err != nil {
		return false, err
	}
	switch {
	case s.State == StatePending:
		if s.Step != StepAwait {
			return false, nil
		}
		return true, b.awaitApproval(ctx, scope, g, s, m)
	case m.State == MandateActive && (s.OnHold || m.Method != "" && m.Method != s.Method):
		return true, b.mended(ctx, scope, s, m)
	case m.State == MandateEnded && !s.Ending:
		return true, b.mandateEnded(ctx, scope, s)
	}
	return false, nil
}

// owner is the customer of a subscription.
func (b *Biller) owner(ctx context.Context, scope table.Scope, s Subscription) (*customer.Customer, error) {
	return customer.Read(ctx, b.Tables, scope, s.Customer)
}
