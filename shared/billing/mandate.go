package billing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
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
	holder, err := b.owner(ctx, scope, s.Subscription)
	if err != nil {
		return Created{}, err
	}
	invitation := Invitation{
		Subscription: s.ID, Price: s.Terms.Price, Product: s.Terms.Product, Name: s.Terms.Name, FeesIncluded: s.Terms.FeesIncluded,
		Customer: m.of(holder.Profile), Address: m.Address, ReturnURL: m.ReturnURL,
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

// pageSettles is for how long after an approval a failed payment is taken for one that the
// customer made on the page before the one that passed, which the list does not show yet.
const pageSettles = time.Hour

// weighed is what a look-up says, with what is known of a charge that was made on the
// page: a customer may fail there before it pays, and the payment of a page that nobody
// used stays open for ever.
func (s Subscription) weighed(c Charge, o Outcome, now time.Time) Outcome {
	switch {
	case !s.FirstCharge || c.OnDemand || c.Period != 0 || c.Attempt != 1:
	case o.Result == Refused && s.State == StatePending && now.Sub(c.SentAt) < pageSettles,
		o.Result == Accepted && s.State == StateCancelled && now.Sub(c.LastSentAt) >= quietUnrepeated:
		return Outcome{Result: Absent}
	}
	return o
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
	s.Inviting, s.AskedAt, s.Mandate = time.Time{}, now, mandateMark(made.Mandate)
	s = s.wake(StepAwait, now.Add(pollAfter(0)), now)
	if !s.FirstCharge {
		return s, nil, nil
	}
	was, err := b.Tables.Get(ctx, orderKey(scope, OrderID(scope, s.ID, 0, 1))) // of a sign-up under this id that came to nothing
	if err != nil && !errors.Is(err, fault.NotFound) {
		return s, nil, fmt.Errorf("billing: order: %w", err)
	}
	c, err := b.opened(ctx, scope, s, []byte(made.Mandate), now)
	if err != nil {
		return s, nil, err
	}
	item, err := c.item(was, scope)
	return s, []table.Write{table.Put(item)}, err
}

// opened is the order of the charge that comes with the approval of a mandate.
func (b *Biller) opened(ctx context.Context, scope table.Scope, s Subscription, mandate []byte, at time.Time) (Charge, error) {
	c := Charge{
		ID: OrderID(scope, s.ID, 0, 1), Kind: ChargeKind, Customer: s.Customer, Gateway: s.Gateway, Subscription: s.ID, Plan: s.Plan,
		Attempt: 1, State: Sending, Amount: s.Terms.Price.Units, Currency: s.Terms.Price.Currency, DueAt: at, SentAt: at, LastSentAt: at, Sends: 1,
	}
	var err error
	if c.Sealed, err = b.Sealer.Seal(ctx, joined(mandate, nil), sealedFor("charge", scope.Key(c.ID))); err != nil {
		return c, fmt.Errorf("billing: sealing: %w", err)
	}
	return c, nil
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
		if errors.Is(err, fault.NotFound) && now.Sub(s.AskedAt) > askedFor {
			m.State = MandateEnded // an address or a key of ours that is wrong for so long is noticed
		}
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
		if c.State == Void { // its sign-up was being given up
			mandate, err := b.card(ctx, scope, s.Subscription)
			if err != nil {
				return err
			}
			// One that was not sent yet is let go of: the payment is the order's own again.
			refunds := slices.DeleteFunc(slices.Clone(c.Refunds), func(r Refund) bool { return r.open() && r.Sends == 0 })
			if c, err = b.opened(ctx, scope, s.Subscription, mandate, s.AskedAt); err != nil {
				return err
			}
			c.Refunds = refunds
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
		case Unclear, NotMade:
			return lost(b.commit(ctx, scope, s, s.wake(StepAwait, now.Add(10*time.Minute), now), nil))
		case Taken, Refused, Absent, Accepted: // one that is open waits for the page, which is closed now
		}
		if c, err = b.rewrite(ctx, scope, id, func(c Charge, now time.Time) (change, bool, error) {
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
		if c.State == Paid {
			if err := b.giveBack(ctx, scope, id, Payment{}, "The subscription never began."); err != nil {
				return err
			}
		}
		if err := b.strays(ctx, scope, id, found); err != nil {
			return err
		}
	}
	return lost(b.refuse(ctx, scope, s, why))
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
	case s.changed(m):
		return true, b.mended(ctx, scope, s.ID, m)
	case m.State == MandateEnded:
		return true, b.mandateEnded(ctx, scope, s.ID)
	}
	return false, nil
}

// owner is the customer of a subscription.
func (b *Biller) owner(ctx context.Context, scope table.Scope, s Subscription) (*customer.Customer, error) {
	return customer.Read(ctx, b.Tables, scope, s.Customer)
}
