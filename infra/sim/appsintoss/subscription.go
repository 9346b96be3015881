package appsintoss

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The states of a subscription (web-framework, getSubscriptionInfo).
const (
	active   = "ACTIVE"
	expired  = "EXPIRED"
	inGrace  = "IN_GRACE_PERIOD"
	onHold   = "ON_HOLD"
	isPaused = "PAUSED"
	revoked  = "REVOKED"
)

// Why a subscription's webhook is sent (Apps-in-Toss, changeReason).
const (
	created      = "CREATED"
	renewed      = "RENEWED"
	recovered    = "RECOVERED"
	restarted    = "RESTARTED"
	enteredGrace = "ENTERED_GRACE_PERIOD"
	wentOnHold   = "ON_HOLD"
	paused       = "PAUSED"
	renewalOn    = "AUTO_RENEW_ENABLED"
	renewalOff   = "AUTO_RENEW_DISABLED"
	extended     = "EXTENDED"
	hasExpired   = "EXPIRED"
	wasRevoked   = "REVOKED"
)

var reasons = []string{
	created, renewed, recovered, restarted, enteredGrace, wentOnHold, paused, renewalOn, renewalOff, extended, hasExpired, wasRevoked,
}

// How long a renewal without money is let be, where its purchase says nothing.
const (
	graceDays = 7
	holdDays  = 30
)

// line is a subscription. The last one of its orders counts.
type line struct {
	id, sku, cycle string
	orders         []*order
	since          time.Time

	status    string
	anchor    time.Time // the periods are counted from here
	periods   int
	expires   time.Time // the end of the period
	autoRenew bool
	failing   bool // the means of payment
	grace     int  // in days
	hold      int  // in days
	graceEnds time.Time
	pause     int // in days, from the end of the period on; 0 is none

	told *standing // what the last webhook said
	turn int       // counts changes of when something happens next
}

func (l *line) last() *order { return l.orders[len(l.orders)-1] }

func (l *line) ended() bool { return l.status == expired || l.status == revoked }

// accessible is whether the customer may use it now.
func (l *line) accessible() bool { return l.status == active || l.status == inGrace }

// newLine begins a subscription. The caller holds mu.
func (s *Simulator) newLine(o *order, p Purchase, product Product) *line {
	l := &line{id: s.stage.UUID(), sku: o.sku, cycle: product.Cycle, orders: []*order{o}, autoRenew: true, grace: graceDays, hold: holdDays, since: s.stage.Now()}
	if p.Renews != nil {
		l.autoRenew = *p.Renews
	}
	if p.GraceDays != nil {
		l.grace = *p.GraceDays
	}
	if p.HoldDays != nil {
		l.hold = *p.HoldDays
	}
	s.begin(l, l.since)
	return l
}

// begin has a new period run, counted from at.
func (s *Simulator) begin(l *line, at time.Time) {
	l.anchor, l.periods = at, 1
	s.run(l)
}

// run has the period run that l.periods says.
func (s *Simulator) run(l *line) {
	l.status, l.failing, l.graceEnds = active, false, time.Time{}
	l.expires = ends(l.cycle, l.anchor, l.periods)
	s.wake(l, l.expires)
}

// wake has a subscription looked at, at an instant; what was set before is off.
func (s *Simulator) wake(l *line, at time.Time) {
	l.turn++
	turn := l.turn
	s.stage.Later(at, func(context.Context) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.turn == turn {
			s.due(l)
		}
	})
}

// due does what is due.
func (s *Simulator) due(l *line) {
	switch l.status {
	case active:
		s.endOfPeriod(l)
	case inGrace:
		s.holdLine(l)
	case onHold:
		s.expire(l)
	case isPaused:
		s.recover(l)
	}
}

func (s *Simulator) endOfPeriod(l *line) {
	switch {
	case !l.autoRenew:
		s.expire(l)
	case l.pause > 0:
		l.status = isPaused
		s.record("paused", l.last())
		s.wake(l, l.expires.AddDate(0, 0, l.pause))
		l.pause = 0
		s.tell(l, paused)
	case l.failing && l.grace > 0:
		l.status, l.graceEnds = inGrace, l.expires.AddDate(0, 0, l.grace)
		s.record("graceEntered", l.last())
		s.wake(l, l.graceEnds)
		s.tell(l, enteredGrace)
	case l.failing:
		s.holdLine(l)
	default:
		s.renew(l)
	}
}

func (s *Simulator) holdLine(l *line) {
	l.status, l.graceEnds = onHold, time.Time{}
	s.record("onHold", l.last())
	s.wake(l, s.stage.Now().AddDate(0, 0, l.hold))
	s.tell(l, wentOnHold)
}

func (s *Simulator) expire(l *line) {
	l.status, l.autoRenew, l.failing, l.graceEnds = expired, false, false, time.Time{}
	l.turn++ // nothing is due any more
	s.record("expired", l.last())
	s.tell(l, hasExpired)
}

// renew takes the money of the next period.
func (s *Simulator) renew(l *line) {
	l.periods++
	s.run(l)
	s.takeAgain(l, "renewed")
	s.tell(l, renewed)
}

// recover takes the money that failed, or that a pause held back. In grace the period goes
// on that it failed for; later a new one begins.
func (s *Simulator) recover(l *line) {
	if l.status == inGrace {
		l.periods++
		s.run(l)
	} else {
		s.begin(l, s.stage.Now())
	}
	s.takeAgain(l, "recovered")
	s.tell(l, recovered)
}

// takeAgain takes money under the same orderId or a new one; nobody knows which.
func (s *Simulator) takeAgain(l *line, kind string) {
	if *s.settings.RenewalOrder == newOrderID {
		old := l.last()
		o := must(s.newOrder(order{app: old.app, sku: old.sku, userKey: old.userKey, price: old.price})) // its id is new
		o.status, o.determined, o.line, o.done = *s.settings.AfterGrant, s.stage.Now(), l, true
		l.orders = append(l.orders, o)
	}
	s.pay(l.last(), kind)
}

// revoke takes a subscription away at once.
func (s *Simulator) revoke(l *line, reason string, refund bool) error {
	if l.ended() {
		return fmt.Errorf("order %q: the subscription has ended", l.last().id)
	}
	l.status, l.autoRenew, l.failing, l.graceEnds, l.expires = revoked, false, false, time.Time{}, s.stage.Now()
	l.turn++
	s.record("revoked", l.last())
	if refund {
		s.move(l.last(), Refunded, reason)
	}
	s.tell(l, wasRevoked)
	return nil
}

// Held names a subscription by any of its orders.
type Held struct {
	OrderID string `json:"orderId"`
}

// lineOf finds a subscription that is in one of some states. The caller holds mu.
func (s *Simulator) lineOf(orderID string, among ...string) (*line, error) {
	o, err := s.orderOf(orderID)
	switch {
	case err != nil:
		return nil, err
	case o.line == nil:
		return nil, fmt.Errorf("order %q is of no subscription", orderID)
	case !slices.Contains(among, o.line.status):
		return nil, fmt.Errorf("order %q: not possible for a subscription that is %s", orderID, o.line.status)
	}
	return o.line, nil
}

// change does something to a subscription that is in one of some states.
func (s *Simulator) change(orderID string, do func(*line) error, among ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.lineOf(orderID, among...)
	if err != nil {
		return err
	}
	return do(l)
}

// Renew takes the money of the next period now.
func (s *Simulator) Renew(h Held) error {
	return s.change(h.OrderID, func(l *line) error {
		s.renew(l)
		return nil
	}, active)
}

// FailBilling has renewals fail from now on: grace, hold, the end.
func (s *Simulator) FailBilling(h Held) error {
	return s.change(h.OrderID, func(l *line) error {
		l.failing = true
		return nil
	}, active)
}

// RecoverBilling has them work again; what failed is paid at once.
func (s *Simulator) RecoverBilling(h Held) error {
	return s.change(h.OrderID, func(l *line) error {
		if l.status == active {
			l.failing = false
			return nil
		}
		s.recover(l)
		return nil
	}, active, inGrace, onHold)
}

// AutoRenew is whether a subscription shall renew.
type AutoRenew struct {
	OrderID string `json:"orderId"`
	On      bool   `json:"on"`
}

// SetAutoRenew has the customer cancel, or turn renewal on again. On hold or paused, to
// cancel is to end it.
func (s *Simulator) SetAutoRenew(a AutoRenew) error {
	return s.change(a.OrderID, func(l *line) error {
		if l.autoRenew == a.On {
			return fmt.Errorf("order %q: auto-renew is so already", a.OrderID)
		}
		l.autoRenew = a.On
		kind, reason := "autoRenewOff", renewalOff
		if a.On {
			kind, reason = "autoRenewOn", renewalOn
		}
		s.record(kind, l.last())
		s.tell(l, reason)
		if !a.On && !l.accessible() {
			s.expire(l)
		}
		return nil
	}, active, inGrace, onHold, isPaused)
}

// Restart is of a subscription that was cancelled.
type Restart struct {
	OrderID   string `json:"orderId"`
	AutoRenew *bool  `json:"autoRenew,omitempty"` // false stays off, which has been seen; nil is true
}

// Restart has the customer take a cancelled subscription up again before its end.
func (s *Simulator) Restart(r Restart) error {
	return s.change(r.OrderID, func(l *line) error {
		if l.autoRenew {
			return fmt.Errorf("order %q: the subscription is not cancelled", r.OrderID)
		}
		l.autoRenew = r.AutoRenew == nil || *r.AutoRenew
		s.record("restarted", l.last())
		s.tell(l, restarted)
		return nil
	}, active, inGrace)
}

// Days is a number of days of a subscription.
type Days struct {
	OrderID string `json:"orderId"`
	Days    int    `json:"days,omitempty"` // 0 is 30
}

func (d Days) count() (int, error) {
	if d.Days < 0 || d.Days > 365 {
		return 0, errors.New("days: from 1 to 365")
	}
	if d.Days == 0 {
		return 30, nil
	}
	return d.Days, nil
}

// Pause has the customer pause a subscription from the end of its period on.
func (s *Simulator) Pause(d Days) error {
	days, err := d.count()
	if err != nil {
		return err
	}
	return s.change(d.OrderID, func(l *line) error {
		l.pause = days
		return nil
	}, active)
}

// Resume ends a pause now, or calls off one that has not begun.
func (s *Simulator) Resume(h Held) error {
	return s.change(h.OrderID, func(l *line) error {
		switch {
		case l.status == isPaused:
			s.recover(l)
		case l.pause == 0:
			return fmt.Errorf("order %q: no pause is to come", h.OrderID)
		}
		l.pause = 0
		return nil
	}, active, isPaused)
}

// Extend gives a subscription more days, for nothing.
func (s *Simulator) Extend(d Days) error {
	days, err := d.count()
	if err != nil {
		return err
	}
	return s.change(d.OrderID, func(l *line) error {
		l.expires = l.expires.AddDate(0, 0, days)
		l.anchor, l.periods = l.expires, 0 // the next period begins there
		s.wake(l, l.expires)
		s.record("extended", l.last())
		s.tell(l, extended)
		return nil
	}, active)
}

// Revocation takes a subscription away at once.
type Revocation struct {
	OrderID string `json:"orderId"`
	Reason  string `json:"reason,omitempty"`
	Refund  *bool  `json:"refund,omitempty"` // gives the money of the last order back; nil is true
}

// Revoke takes a subscription away at once.
func (s *Simulator) Revoke(r Revocation) error {
	return s.change(r.OrderID, func(l *line) error {
		return s.revoke(l, r.Reason, r.Refund == nil || *r.Refund)
	}, active, inGrace, onHold, isPaused)
}

// Switch is to another subscription.
type Switch struct {
	OrderID string `json:"orderId"`
	SKU     string `json:"sku"`
}

// Switch buys another subscription for the same user. As has been seen, both are active
// then: the old one is cancelled and runs to its end.
func (s *Simulator) Switch(w Switch) (Bought, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.lineOf(w.OrderID, active, inGrace)
	if err != nil {
		return Bought{}, err
	}
	product := s.productOf(w.SKU)
	if product == nil || product.Type != Subscription || w.SKU == l.sku {
		return Bought{}, fmt.Errorf("sku %q: another subscription of the catalogue", w.SKU)
	}
	old := l.last()
	bought, err := s.buy(Purchase{SKU: w.SKU, UserKey: old.userKey, App: old.app, GraceDays: &l.grace, HoldDays: &l.hold}, *product)
	if err != nil {
		return Bought{}, err
	}
	if l.autoRenew {
		l.autoRenew = false
		s.record("autoRenewOff", old)
		s.tell(l, renewalOff)
	}
	return bought, nil
}

// Info is a subscription as getSubscriptionInfo shows it.
type Info struct {
	CatalogID     string  `json:"catalogId"`
	Status        string  `json:"status"`
	ExpiresAt     *string `json:"expiresAt"`
	IsAutoRenew   bool    `json:"isAutoRenew"`
	GraceExpires  *string `json:"gracePeriodExpiresAt"`
	IsAccessible  bool    `json:"isAccessible"`
	UnknownToCome string  `json:"addedWithoutAVersion"`
}

// SubscriptionInfo is what getSubscriptionInfo answers; it is empty until the subscription
// is provisioned.
type SubscriptionInfo struct {
	Subscription *Info `json:"subscription,omitempty"`
}

// Info is getSubscriptionInfo.
func (s *Simulator) Info(h Held) (SubscriptionInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.orderOf(h.OrderID)
	switch {
	case err != nil:
		return SubscriptionInfo{}, err
	case o.line == nil:
		return SubscriptionInfo{}, fmt.Errorf("order %q is of no subscription", h.OrderID)
	case s.stage.Now().Before(o.line.since.Add(time.Duration(*s.settings.InfoLag))):
		return SubscriptionInfo{}, nil
	}
	l := o.line
	info := &Info{CatalogID: l.sku, Status: l.status, IsAutoRenew: l.autoRenew, IsAccessible: l.accessible(), UnknownToCome: "simulated"}
	if *s.settings.NullExpiry == never || *s.settings.NullExpiry == atCreation && l.told != nil && l.told.reason != created {
		info.ExpiresAt = ptr(s.format(l.expires))
	}
	if l.status == inGrace {
		info.GraceExpires = ptr(s.format(l.graceEnds))
	}
	return SubscriptionInfo{info}, nil
}
