package play

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// The states of a subscription (SubscriptionState, after SUBSCRIPTION_STATE_).
const (
	pendingPayment  = "PENDING"
	active          = "ACTIVE"
	paused          = "PAUSED"
	inGrace         = "IN_GRACE_PERIOD"
	onHold          = "ON_HOLD"
	canceled        = "CANCELED"
	expired         = "EXPIRED"
	pendingCanceled = "PENDING_PURCHASE_CANCELED"
)

// How long a failing renewal may last (Subscription lifecycle): grace and hold together,
// and the day that there is without grace, of which nobody is told.
const (
	graceDays  = 7
	failedDays = 60
	silentDay  = 24 * time.Hour
)

// Who ended a subscription (CanceledStateContext).
const (
	byUser        = "user"
	bySystem      = "system"
	byDeveloper   = "developer"
	byReplacement = "replacement"
)

// subscription is one that Google charges for: all its items are charged together.
type subscription struct {
	state string
	items []*item
	began time.Time // zero while pending
	due   time.Time // the end of what is paid

	once      bool    // the customer cancels at once
	trial     *period // of the first time, free
	failing   bool    // the means of payment
	grace     int     // in days
	hold      int     // in days
	silent    bool    // it failed, and nobody is told
	declined  *order  // the renewal that failed
	renewals  int
	pause     *period // from the next end of a period on
	resumes   time.Time
	cancelled cancellation

	change  *change   // how it came from another one
	next    *purchase // that came from it
	expired *purchase // bought again out of the app; gone once it is acknowledged

	override string // by control: the state that the API says
	turn     int    // counts changes of when something happens next
}

type cancellation struct {
	by     string
	at     time.Time
	forced bool // cannot be restored by the customer
}

// item is a product of a subscription.
type item struct {
	pick

	price     money
	offer     string
	phase     string // freeTrial, basePrice, introductoryPrice or prorationPeriod
	base      string // of its order ids
	charges   int    // orders so far
	expires   time.Time
	order     *order // the latest that succeeded
	autoRenew bool

	committed  int // payments that are still owed
	lastCharge bool
	rise       *rise
	step       *step
	replacedBy *item // at the end of the period
	removed    bool  // at the end of the period
	replaces   *replacement
}

// rise is a change of the price.
type rise struct {
	to    money
	mode  string
	state string
}

// step is a price that needs consent in some regions.
type step struct {
	to       money
	state    string
	deadline time.Time
}

type replacement struct {
	of   pick
	mode string
	at   time.Time
}

func (s *Simulator) newSubscription(p *purchase, b Purchase) *subscription {
	l := &subscription{grace: graceDays, once: b.Renews != nil && !*b.Renews}
	if b.GraceDays != nil {
		l.grace = *b.GraceDays
	}
	l.hold = failedDays - l.grace
	if b.HoldDays != nil {
		l.hold = *b.HoldDays
	}
	if b.Trial != "" {
		l.trial = ptr(must(parsePeriod(b.Trial)))
	}
	for i, k := range p.picks {
		it := newItem(k)
		it.base, it.offer = p.base, b.Offer
		if i > 0 {
			it.base, it.offer = s.newOrderID(), ""
		}
		l.items = append(l.items, it)
	}
	return l
}

func newItem(k pick) *item {
	return &item{pick: k, price: k.plan.price, phase: "basePrice", autoRenew: !k.plan.prepaid, committed: k.plan.committed}
}

// renews says whether it goes on at the end of its period.
func (l *subscription) renews() bool {
	return slices.ContainsFunc(l.items, func(it *item) bool { return it.autoRenew && !it.removed && it.replacedBy == nil })
}

// until is the end of a period of an item that begins at from.
func (p *purchase) until(it *item, from time.Time) time.Time {
	if p.test {
		return from.Add(it.plan.period.tested())
	}
	return it.plan.period.after(from)
}

// start begins a subscription whose first money has come.
func (s *Simulator) start(p *purchase) {
	l := p.subscription
	now := s.stage.Now()
	l.began, l.state = now, active
	if l.change != nil {
		s.follow(p)
	} else {
		for _, it := range l.items {
			if s.firstPeriod(p, it, now); it == l.items[0] {
				l.due = it.expires
			}
		}
	}
	for _, it := range l.items {
		if it.order != nil && it.order.purchase == p {
			s.recordMoney("purchased", p, it.order.id, it.order.total())
		}
	}
	s.wake(p, l.due)
	s.tellSubscription(p, typePurchased)
	if l.change != nil {
		s.supersede(l.change.old, p)
	}
	if l.once && l.renews() {
		s.stop(p, byUser, false)
	}
}

// firstPeriod charges an item for the first time.
func (s *Simulator) firstPeriod(p *purchase, it *item, from time.Time) {
	if p.subscription.trial != nil && it == p.subscription.items[0] {
		it.phase, it.expires = "freeTrial", p.subscription.trial.after(from)
		if p.test {
			it.expires = from.Add(testDeadline)
		}
		s.charge(p, it, from, it.expires, money{0, it.price.currency})
		return
	}
	until := p.until(it, from)
	s.charge(p, it, from, until, it.price)
}

// charge takes money for an item and notes what it is for.
func (s *Simulator) charge(p *purchase, it *item, from, until time.Time, amount money) {
	o := s.itemOrder(p, it)
	o.lines = []orderLine{{pick: it.pick, total: amount, from: from, until: until, phase: it.phase, offer: it.offer}}
	s.paid(o)
	it.order, it.expires = o, until
	it.charges++
	if it.committed > 0 {
		it.committed--
	}
}

// wake has a subscription looked at, at an instant; what was set before is off.
func (s *Simulator) wake(p *purchase, at time.Time) {
	l := p.subscription
	l.turn++
	turn := l.turn
	if l.state == active && !l.silent {
		at = at.Add(time.Duration(*s.settings.RenewLag))
	}
	s.stage.Later(at, func(context.Context) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.turn == turn {
			s.look(p)
		}
	})
}

// look does what is due.
func (s *Simulator) look(p *purchase) {
	switch l := p.subscription; {
	case l.state == inGrace || l.silent:
		s.toHold(p)
	case l.state == onHold:
		s.stop(p, bySystem, false)
	case l.state == paused:
		s.unpause(p)
	case l.state == active || l.state == canceled:
		s.endOfPeriod(p)
	}
}

func (s *Simulator) endOfPeriod(p *purchase) {
	l := p.subscription
	refused := slices.ContainsFunc(l.items, func(it *item) bool {
		return it.rise != nil && it.rise.mode == riseWithConsent && it.rise.state == riseOutstanding || it.step != nil && it.step.state == stepPending ||
			it.lastCharge && it.committed == 0
	})
	switch {
	case !l.renews():
		s.expire(p)
	case l.pause != nil:
		l.resumes = l.pause.after(s.stage.Now())
		if p.test {
			l.resumes = s.stage.Now().Add(l.pause.tested())
		}
		l.pause, l.state = nil, paused
		s.record("paused", p, p.base)
		s.tellSubscription(p, typePaused)
		s.wake(p, l.resumes)
	case refused || p.test && l.renewals >= testRenewals:
		s.stop(p, bySystem, false)
		s.expire(p)
	case l.failing:
		s.fail(p)
	default:
		s.renew(p, l.due, typeRenewed)
	}
}

// renew takes the money of another period, which begins at from.
func (s *Simulator) renew(p *purchase, from time.Time, kind int) {
	l := p.subscription
	kept := l.items[:0:0]
	for _, it := range l.items {
		switch {
		case it.removed:
			continue
		case it.replacedBy != nil:
			continue
		case !it.autoRenew:
			kept = append(kept, it) // it ended, the others go on
			continue
		}
		kept = append(kept, it)
		it.apply()
		it.phase = "basePrice"
		s.charge(p, it, from, p.until(it, from), it.price)
		s.recordMoney("renewed", p, it.order.id, it.order.total())
		l.due = it.expires
	}
	l.items = kept
	l.renewals++
	l.state, l.silent, l.declined, l.resumes = active, false, nil, time.Time{}
	s.wake(p, l.due)
	s.tellSubscription(p, kind)
}

// apply gives an item the price that was announced.
func (it *item) apply() {
	if it.rise != nil && it.rise.state != riseApplied {
		it.rise.state, it.price = riseApplied, it.rise.to
	}
	if it.step != nil && it.step.state == stepConfirmed {
		it.step.state, it.price = stepCompleted, it.step.to
	}
}

// fail is a renewal without money.
func (s *Simulator) fail(p *purchase) {
	l := p.subscription
	s.decline(p)
	ends := l.due.Add(silentDay)
	switch {
	case p.test:
		ends = l.due.Add(testGrace)
	case l.grace > 0:
		ends = l.due.AddDate(0, 0, l.grace)
	}
	if l.silent = l.grace == 0; !l.silent {
		l.state = inGrace
	}
	if !l.silent || !*s.settings.SilentPast {
		for _, it := range l.items {
			if it.autoRenew {
				it.expires = ends
			}
		}
	}
	s.wake(p, ends)
	if !l.silent {
		s.tellSubscription(p, typeInGrace)
	}
}

// decline leaves the order of a renewal open: that of the first item that renews.
func (s *Simulator) decline(p *purchase) {
	l := p.subscription
	first := slices.IndexFunc(l.items, func(it *item) bool { return it.autoRenew && !it.removed && it.replacedBy == nil })
	l.declined = s.itemOrder(p, l.items[first])
	s.record("billingFailed", p, l.declined.id)
}

// toHold suspends a subscription until there is money.
func (s *Simulator) toHold(p *purchase) {
	l := p.subscription
	now := s.stage.Now()
	l.state, l.silent, l.resumes = onHold, false, time.Time{}
	for _, it := range l.items {
		it.cut(now)
	}
	ends := now.AddDate(0, 0, l.hold)
	if p.test {
		ends = now.Add(testHold)
	}
	s.record("onHold", p, p.base)
	s.wake(p, ends)
	s.tellSubscription(p, typeOnHold)
}

// cut has an item end at an instant at the latest.
func (it *item) cut(at time.Time) {
	if it.expires.After(at) {
		it.expires = at
	}
}

func (s *Simulator) unpause(p *purchase) {
	if p.subscription.failing {
		s.decline(p)
		s.toHold(p)
		return
	}
	s.renew(p, s.stage.Now(), typeRecovered)
}

// stop turns auto-renew off. What cannot be used any more ends with that.
func (s *Simulator) stop(p *purchase, by string, forced bool) {
	l := p.subscription
	if by == byUser || by == byDeveloper && !forced {
		bound := false
		for _, it := range l.items {
			if it.committed > 0 {
				it.lastCharge, bound = true, true
			}
		}
		if bound {
			s.record("cancellationScheduled", p, p.base)
			s.tellSubscription(p, typeCancellationScheduled)
			return
		}
	}
	for _, it := range l.items {
		it.autoRenew = false
	}
	was := l.state
	l.state, l.silent, l.pause, l.cancelled = canceled, false, nil, cancellation{by, s.stage.Now(), forced}
	s.record("cancelled", p, p.base)
	s.tellSubscription(p, typeCanceled)
	if was == onHold || was == paused {
		s.expire(p)
	}
}

// expire ends a subscription.
func (s *Simulator) expire(p *purchase) {
	s.finish(p, p.subscription.cancelled.by)
	s.record("expired", p, p.base)
	s.tellSubscription(p, typeExpired)
}

// finish leaves nothing of a subscription, without a word.
func (s *Simulator) finish(p *purchase, by string) {
	l := p.subscription
	now := s.stage.Now()
	if l.declined != nil {
		l.declined.cancel(now)
	}
	l.state, l.silent, l.pause, l.failing, l.resumes = expired, false, nil, false, time.Time{}
	if l.cancelled.by != by {
		l.cancelled = cancellation{by: by, at: now, forced: true}
	}
	for _, it := range l.items {
		it.cut(now)
		it.autoRenew = false
	}
	p.over = now
	l.turn++ // nothing is due any more
}

// running finds a subscription in one of some states, for a control.
func (s *Simulator) running(name string, among ...string) (*purchase, error) {
	p, err := s.purchaseOf(name)
	if err != nil {
		return nil, err
	}
	if p.subscription == nil {
		return nil, fmt.Errorf("purchaseToken %q: of no subscription", name)
	}
	if !slices.Contains(among, p.subscription.state) {
		return nil, fmt.Errorf("purchaseToken: not possible while it is %s", p.subscription.state)
	}
	return p, nil
}
