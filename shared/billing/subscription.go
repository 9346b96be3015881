package billing

import (
	"fmt"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/money"
	"grantline/shared/schedule"
)

// State is how an agreement stands.
type State string

// The states.
const (
	StatePending   State = "pending"   // its first charge is not settled yet
	StateActive    State = "active"    // paid
	StatePastDue   State = "past_due"  // declined, and attempts remain
	StateUnpaid    State = "unpaid"    // automatic attempts are over; a new card revives it
	StateCancelled State = "cancelled" // over
)

// Step is what a subscription's next wake-up is for.
type Step string

// The steps. A subscription without one sleeps for good.
const (
	StepNone     Step = ""
	StepRegister Step = "register" // turn the authKey into a billing key
	StepAwait    Step = "await"    // look whether the customer has approved or mended the mandate
	StepCharge   Step = "charge"   // make the next attempt
	StepRemind   Step = "remind"   // tell the customer that an attempt is coming
	StepResolve  Step = "resolve"  // find out what became of the attempt
	StepEnd      Step = "end"      // the last paid period is over
)

// Terms are what was agreed at the sign-up; a later change of the plan does not move them.
type Terms struct {
	Entitlement  string       `json:"entitlement,omitempty"`
	Name         string       `json:"name"`
	Price        money.Amount `json:"price,omitzero"`
	TaxFree      int64        `json:"taxFree,omitempty"`
	Product      string       `json:"product,omitempty"` // the gateway's name of it
	FeesIncluded bool         `json:"feesIncluded,omitempty"`
	// OnDemand has no price and no dates: it is charged when the company asks.
	OnDemand                bool           `json:"onDemand,omitempty"`
	Cycle                   schedule.Cycle `json:"cycle,omitzero"`
	Zone                    string         `json:"zone"`
	Grace                   bool           `json:"grace,omitempty"`
	RepeatInsufficientFunds bool           `json:"repeatInsufficientFunds,omitempty"`
	AfterLastAttempt        catalog.End    `json:"afterLastAttempt"`
}

func termsOf(p catalog.Plan) Terms {
	return Terms{
		Entitlement: p.Entitlement, Name: p.Name, Price: p.Price, TaxFree: p.TaxFree, Product: p.Product, FeesIncluded: p.FeesIncluded, OnDemand: p.OnDemand,
		Cycle: p.Cycle, Zone: p.Zone, Grace: p.Grace, RepeatInsufficientFunds: p.RepeatInsufficientFunds,
		AfterLastAttempt: p.AfterLastAttempt,
	}
}

// Planned is the plan that takes over with the next period.
type Planned struct {
	Plan  string `json:"plan"`
	Terms Terms  `json:"terms"`
}

// LastPaid is the attempt that was paid last. It is written as one short text, for each
// subscription is read and written within one unit, a kilobyte.
type LastPaid struct {
	Period  int
	Attempt int
	At      time.Time // when we knew of it, to the second
}

// Subscription is an agreement that we charge for. Its methods are pure.
type Subscription struct {
	ID       string   `json:"id"`
	Customer string   `json:"customer"` // our id
	Gateway  string   `json:"gateway"`
	Plan     string   `json:"plan"`
	Terms    Terms    `json:"terms"`
	Next     *Planned `json:"next,omitempty"`
	// Request is a hash of what was asked at the creation, without the authKey: the same id
	// with another one is a conflict.
	Request string `json:"request"`
	State   State  `json:"state"`
	// Anchor is the instant to which all dates go back: of the sign-up, of a mandate's
	// approval, or of the period with which another cycle began. It is the start of period
	// Base.
	Anchor  time.Time `json:"anchor"`
	Base    int       `json:"base,omitempty"`
	Period  int       `json:"period"`  // the one to be paid next, from 0
	Attempt int       `json:"attempt"` // the one to be made next, from 1
	// NextDueAt is the instant of that attempt, zero if there will be none.
	NextDueAt time.Time `json:"nextDueAt,omitzero"`
	PaidUntil time.Time `json:"paidUntil,omitzero"`
	LastPaid  *LastPaid `json:"lastPaid,omitempty"`
	LastCode  string    `json:"lastCode,omitempty"` // of the decline before, if it says something about the card
	Reminded  int       `json:"reminded,omitempty"` // the attempt that the customer was told of
	Step      Step      `json:"step,omitempty"`
	WakeAt    time.Time `json:"wakeAt,omitzero"`
	Tries     int       `json:"tries,omitempty"` // of the registration, so far
	Round     int       `json:"round,omitempty"` // of the attempt to be made: Request.Round

	// Ending is the customer's word that the paid period is the last.
	Ending bool `json:"ending,omitempty"`
	// Hastened says that a new card has brought an attempt of this period forward already.
	Hastened bool `json:"hastened,omitempty"`
	// Passed is the period's last attempt where it was not made, since the mandate was on hold.
	Passed int `json:"passed,omitempty"`
	// Cards counts the means of payment that came after the first. An attempt under way was
	// made with an older one than that, if its order says so.
	Cards int `json:"cards,omitempty"`
	// Waits says that the entitlement has ended with a decline, and money comes first.
	Waits bool `json:"waits,omitempty"`
	// Returned says that the money of the running period was given back.
	Returned bool `json:"returned,omitempty"`
	// Spent says that the card was refused for good, so that nothing is charged to it.
	Spent bool `json:"spent,omitempty"`

	CustomerKey string `json:"customerKey,omitempty"`
	// Proofs are the authKeys that were exchanged for a card, hashed, the newest last: one that
	// comes again, from a page that is opened again, brings no old card back.
	Proofs []string `json:"proofs,omitempty"`
	// Opening is sealed: the authKey to be exchanged, or the page on which the customer
	// approves or mends a mandate. It is gone once it was used.
	Opening    []byte `json:"-"`
	BillingKey []byte `json:"-"`              // sealed; the mandate where the gateway has those
	Card       string `json:"card,omitempty"` // masked
	Issuer     string `json:"issuer,omitempty"`

	// Mandate marks the mandate, to tell its payments by when it is forgotten.
	Mandate string `json:"mandate,omitempty"`
	// OnHold says that the gateway charges the mandate no more until the customer mends it.
	OnHold    bool      `json:"onHold,omitempty"`
	Method    string    `json:"method,omitempty"` // behind the mandate, when it was last looked at or declined
	ReturnURL string    `json:"returnUrl,omitempty"`
	AskedAt   time.Time `json:"askedAt,omitzero"` // since when the customer has the page
	// FirstCharge says that the mandate's approval takes the money of period 0.
	FirstCharge bool `json:"firstCharge,omitempty"`
	// Inviting is until when somebody may be asking for the page.
	Inviting time.Time `json:"inviting,omitzero"`
	// Refusal is set where no means of payment was to be had; the id may then be used again.
	Refusal string `json:"refusal,omitempty"`
}

// calendar never fails on a subscription that was made by newSubscription.
func (s Subscription) calendar() schedule.Schedule {
	c, err := schedule.New(s.Anchor, s.Terms.Zone, s.Terms.Cycle)
	if err != nil {
		panic(fmt.Sprintf("billing: subscription %s has a calendar that cannot be: %v", s.ID, err))
	}
	return c
}

// dueOf is the instant at which a period is due.
func (s Subscription) dueOf(period int) time.Time { return s.calendar().Due(period - s.Base) }

// attemptOf is the instant of an attempt, false if there is none.
func (s Subscription) attemptOf(period, attempt int) (time.Time, bool) {
	return s.calendar().Attempt(period-s.Base, attempt)
}

// ended says that no attempt will be made of itself any more.
func (s Subscription) ended() bool {
	switch s.State {
	case StateUnpaid, StateCancelled:
		return true
	case StatePending, StateActive, StatePastDue:
	}
	return false
}

// chargeable says whether an attempt may be made at all.
func (s Subscription) chargeable() bool {
	return !s.ended() && !s.Ending && !s.Terms.OnDemand && len(s.BillingKey) > 0
}

// lapsed says that the next period is due already, so that this one is not asked for any
// more: two periods are never charged at once.
func (s Subscription) lapsed(now time.Time) bool {
	return !now.Before(s.dueOf(s.Period + 1))
}

// due says whether the attempt may be made at now.
func (s Subscription) due(now time.Time) bool {
	return s.chargeable() && !s.NextDueAt.IsZero() && !now.Before(s.NextDueAt) && !s.lapsed(now) &&
		(s.Attempt == 1 || s.Reminded == s.Attempt)
}

// skew is how far apart the clocks of two functions may be, and more.
const skew = time.Minute

// mayBeOpen says that an attempt may be under way: claimed, and not known to be settled.
func (s Subscription) mayBeOpen(now time.Time) bool {
	return s.Step == StepResolve || s.onThePage() && s.FirstCharge ||
		s.Step == StepCharge && len(s.BillingKey) > 0 && !now.Add(skew).Before(s.NextDueAt)
}

// onThePage says that the customer may be approving the mandate at this moment.
func (s Subscription) onThePage() bool {
	return s.State == StatePending && s.Step == StepAwait && len(s.BillingKey) > 0
}

// wake sets what is next, and never an instant that is gone: the due index is read by a
// cursor, and nothing may be put in behind it.
func (s Subscription) wake(step Step, at, now time.Time) Subscription {
	if at.Before(now) {
		at = now
	}
	s.Step, s.WakeAt = step, at
	return s
}

func (s Subscription) sleep() Subscription {
	s.Step, s.WakeAt, s.NextDueAt = StepNone, time.Time{}, time.Time{}
	return s
}

// onward is what is next when no attempt is under way.
func (s Subscription) onward(now time.Time) Subscription {
	switch {
	case s.ended(), s.Terms.OnDemand && !s.Ending:
		return s.sleep()
	case s.Ending:
		return s.wake(StepEnd, s.PaidUntil, now)
	}
	return s.wake(StepCharge, s.NextDueAt, now)
}

// paid is the subscription after the money of its period was taken.
func (s Subscription) paid(now time.Time) (Subscription, event.Type) {
	kind := event.SubscriptionRenewed
	switch {
	case s.PaidUntil.IsZero():
		kind = event.SubscriptionActivated
	case s.State == StatePastDue:
		kind = event.SubscriptionRecovered
	}
	s.LastPaid = &LastPaid{s.Period, s.Attempt, now.Truncate(time.Second)}
	s = s.next(now)
	s.State, s.PaidUntil = StateActive, s.NextDueAt
	s.Waits, s.Returned = false, false
	return s.onward(now), kind
}

// next goes on to the period after.
func (s Subscription) next(now time.Time) Subscription {
	s = s.unblamed()
	s.OnHold = false // it may have been mended without a word; its first attempt tells
	s.Period, s.Attempt, s.Reminded, s.Hastened, s.Passed, s.Round = s.Period+1, 1, 0, false, 0, 0
	s.NextDueAt = s.dueOf(s.Period)
	return s.wake(StepCharge, s.NextDueAt, now)
}

// turned is the subscription on the plan that takes over with the period that is due now.
// Another cycle or zone begins its own calendar with it.
func (s Subscription) turned() Subscription {
	next := s.Next.Terms
	if next.Cycle != s.Terms.Cycle || next.Zone != s.Terms.Zone {
		s.Anchor, s.Base = s.NextDueAt, s.Period
	}
	s.Plan, s.Terms, s.Next = s.Next.Plan, next, nil
	return s
}

// turns says that another plan takes over before the next charge is made. A first attempt
// that is still to be made is of a period that has just begun, or of the first of all.
func (s Subscription) turns() bool {
	return s.Next != nil && s.Attempt == 1 && !s.ended()
}

// remindBefore is how long before an attempt the customer is told of it: a full day, and
// what a wake-up may be late by.
const remindBefore = 24*time.Hour + 2*time.Minute

// insufficientFunds are the codes that say that the account was empty and nothing else.
var insufficientFunds = map[string]bool{"INSUFFICIENT_FUNDS": true}

// ofMandate are the codes that say nothing about a card, and yet are the customer's to mend.
var ofMandate = map[string]bool{MandateHeld: true, "SUBSCRIPTION_INACTIVE": true}

// declined is the subscription after a definite decline of its attempt (the safe retry
// policy: never after a hard decline, never after the same decline twice, at most four
// attempts, none once the next period is due).
func (s Subscription) declined(code string, class Class, now time.Time) (Subscription, event.Type) {
	same := code != "" && code == s.LastCode && class == Soft && !(s.Terms.RepeatInsufficientFunds && insufficientFunds[code])
	if class != Passing {
		s.LastCode = code
	}
	// What says nothing about card or mandate, such as a gateway's outage, takes nothing away.
	s.Waits = s.Waits || !s.Terms.Grace && (class != Passing || ofMandate[code])
	s.Spent = class == Hard
	if class != Hard && !same && !s.Ending {
		if next, ok := s.retried(now); ok {
			next.State = StatePastDue
			return next, event.ChargeDeclined
		}
	}
	if ofMandate[code] { // only a look tells that it is mended
		s.OnHold, s.AskedAt = true, now
	}
	return s.over(now)
}

// replaced says that another means of payment had taken the place of the one that an attempt
// was declined of, while it was under way. What is passing is no card's.
func (s Subscription) replaced(c Charge) bool {
	return s.Cards > c.Cards && (c.Method == "" || c.Method != s.Method || c.Class == Passing)
}

// charged is the subscription with the means of payment that an attempt was declined of. Where
// that is another than the one that is known, of which the gateway's word did not arrive, what is
// known against the one before says nothing of it.
func (s Subscription) charged(c Charge) Subscription {
	if c.Method == "" || c.Method == s.Method || c.Class == Passing && s.Method != "" || s.replaced(c) {
		return s
	}
	if s.Method != "" {
		s = s.unblamed()
		s.Opening, s.AskedAt = nil, time.Time{} // its page has been used
	}
	s.Method = c.Method
	return s
}

// outdated is the subscription after a decline, by which it would be next, of a card that
// another had replaced while the attempt was under way: what is open is tried on that one.
func (s Subscription) outdated(next Subscription, told event.Type, now time.Time) (Subscription, event.Type) {
	if next.State == StatePastDue {
		return next.retaken(now), event.ChargeDeclined
	}
	taken := s.sleep()
	taken.State = StateUnpaid
	if taken = taken.retaken(now); next.State == StateUnpaid || taken.Hastened && !s.Hastened {
		return taken, event.ChargeDeclined
	}
	return next, told
}

// retried has its next attempt at that one's own date, if there is one to come.
func (s Subscription) retried(now time.Time) (Subscription, bool) {
	for attempt := s.Attempt + 1; ; attempt++ {
		at, ok := s.attemptOf(s.Period, attempt)
		if !ok {
			return s, false
		}
		if at.After(now) { // one that is late by more than the pause after it is passed over
			s.Attempt, s.NextDueAt, s.Round = attempt, at, 0
			return s.wake(StepRemind, at.Add(-remindBefore), now), true
		}
	}
}

// over is the subscription after its last automatic attempt.
func (s Subscription) over(now time.Time) (Subscription, event.Type) {
	if s = s.sleep(); s.Ending || s.Terms.AfterLastAttempt == catalog.Cancelled {
		return s.end(), event.SubscriptionCancelled
	}
	s.State = StateUnpaid
	if s.OnHold {
		s = s.wake(StepAwait, now.Add(pollAfter(now.Sub(s.AskedAt))), now)
	}
	return s, event.SubscriptionUnpaid
}

// end is the subscription after all.
func (s Subscription) end() Subscription {
	s = s.sleep()
	s.State, s.Ending, s.Next, s.OnHold, s.Opening = StateCancelled, false, nil, false, nil
	return s
}

// reminded is the subscription after its customer was told of the attempt.
func (s Subscription) reminded(now time.Time) Subscription {
	s.Reminded = s.Attempt
	return s.wake(StepCharge, s.NextDueAt, now)
}

// recarded is the subscription with another means of payment. An open period is tried once
// on it before its next attempt would have come; that one counts, and those after it keep
// their dates.
func (s Subscription) recarded(now time.Time) Subscription {
	s.Cards++
	return s.retaken(now)
}

// unblamed is the subscription with nothing known against what it is charged to next.
// Access that a decline has ended does not come back by that: it waits for the money.
func (s Subscription) unblamed() Subscription {
	s.LastCode = ""
	return s
}

// retaken is what is open tried on another means of payment than before.
func (s Subscription) retaken(now time.Time) Subscription {
	s = s.unblamed()
	s.Spent, s.OnHold = false, false
	if s.Ending || s.Terms.OnDemand {
		return s
	}
	switch s.State {
	case StatePastDue:
		if s.mayBeOpen(now) {
			return s // it has its turn after that one
		}
		if s.lapsed(now) {
			return s.wake(StepCharge, now, now)
		}
		if !s.Hastened && s.Attempt > 1 { // the first of a period is never made before it is due
			return s.hastened(now)
		}
		if s.Step == StepAwait {
			return s.wake(StepRemind, s.NextDueAt.Add(-remindBefore), now)
		}
	case StateUnpaid:
		return s.revived(now)
	case StatePending, StateActive, StateCancelled:
	}
	return s
}

// hastened makes the next attempt now. The customer, who has just given a card, needs no
// reminder of it.
func (s Subscription) hastened(now time.Time) Subscription {
	s.NextDueAt, s.Reminded, s.Hastened, s.Passed = now, s.Attempt, true, 0
	return s.wake(StepCharge, now, now)
}

// revived is an unpaid subscription that a new card brings back: by the next attempt of its
// open period where one remains, else with the period that runs, or the next one. Whatever
// it is, access waits for the money.
func (s Subscription) revived(now time.Time) Subscription {
	s.State, s.Waits = StatePastDue, true
	if s.lapsed(now) {
		for s.lapsed(now) {
			s = s.next(now)
		}
		return s
	}
	if s.Passed == s.Attempt {
		return s.hastened(now)
	}
	if _, ok := s.attemptOf(s.Period, s.Attempt+1); ok && !s.Hastened {
		s.Attempt, s.Round = s.Attempt+1, 0
		return s.hastened(now)
	}
	if next, ok := s.retried(now); ok {
		return next
	}
	return s.next(now)
}

// cancelled is the subscription after its customer's word. until is when whoever may have
// claimed the attempt unseen can no longer be at it. A paid period is used up unless atOnce;
// what is not paid for ends now.
func (s Subscription) cancelled(atOnce bool, until, now time.Time) Subscription {
	if s.State == StateCancelled {
		return s
	}
	open := s.mayBeOpen(now)
	if s.Step == StepResolve {
		until = s.WakeAt
	}
	s.Next = nil
	if s.State == StateActive && !atOnce && !s.PaidUntil.IsZero() && (open || s.PaidUntil.After(now)) {
		s.Ending = true
		if open {
			return s.wake(StepResolve, until, now)
		}
		return s.onward(now)
	}
	s = s.end()
	if open {
		return s.wake(StepResolve, until, now)
	}
	return s
}

// resumed takes the customer's word back.
func (s Subscription) resumed(now time.Time) Subscription {
	if s.Ending && s.State != StateCancelled {
		s.Ending = false
		if s.Step == StepEnd {
			return s.onward(now)
		}
	}
	return s
}

// source is what the subscription gives its customer.
func (s Subscription) source(orderID string) entitlement.Source {
	e := entitlement.Source{
		Kind: "subscription", Provider: s.Gateway, Ref: s.ID, Entitlement: s.Terms.Entitlement, ProductID: s.Plan,
		OrderID: orderID, Until: s.PaidUntil,
	}
	switch s.State {
	case StateActive:
		// A renewal that is due and not yet declined ends nothing.
		e.State, e.WillRenew = entitlement.Active, !s.Ending
		e.Open = !s.Ending || s.Step == StepResolve
		if s.Returned {
			e.State, e.Open = entitlement.Ended, false
		}
	case StatePastDue:
		e.State, e.WillRenew = entitlement.OnHold, true
		if !s.PaidUntil.IsZero() && !s.Waits && !s.Returned {
			e.State, e.Open = entitlement.Grace, true
		}
	case StatePending:
		e.State = entitlement.OnHold
	case StateUnpaid, StateCancelled:
		e.State = entitlement.Ended
	}
	return e
}
