package apple

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The states of a subscription by Apple's numbers (status). Revoked is never kept: it is
// that of a subscription whose last transaction is.
const (
	active  = 1
	expired = 2
	inRetry = 3
	inGrace = 4
	revoked = 5
)

// Why a subscription ended, by Apple's numbers (expirationIntent).
const (
	byCustomer   = 1
	byBilling    = 2
	byPrice      = 3
	notAvailable = 4
)

// How long Apple lets a failing renewal be: at most so many days of grace (App Store
// Connect), and sixty days of retries.
const (
	graceDays     = 16
	mostGraceDays = 28
	retryDays     = 60
)

// renewal is the transactionReason of what the customer did not buy anew.
const renewal = "RENEWAL"

// product is what a subscription renews as.
type product struct {
	id     string
	price  int64
	period period
}

// line is a subscription: all transactions with one originalTransactionId. A member of a
// family has a line of their own that goes as the owner's does.
type line struct {
	original string
	customer *customer
	owner    *line // nil unless it came by Family Sharing from a line
	members  []*line
	sales    []*sale // oldest first; the last one counts

	status    int // never revoked
	next      product
	autoRenew bool
	grace     int  // in days
	failing   bool // the means of payment
	graceEnds time.Time
	intent    int
	increase  *increase
	offer     *offer // of the next renewal
	since     time.Time

	turn     int // counts changes of when something happens next
	extended []extension
}

// increase is a new price from the next renewal on.
type increase struct {
	price int64
	told  int // priceIncreaseStatus
}

type offer struct {
	kind                 int
	identifier, discount string
	period               string
}

// extension is one that was granted.
type extension struct {
	at      time.Time
	request string
	ends    int64
}

func (l *line) last() *sale { return l.sales[len(l.sales)-1] }

// lead is the line whose customer pays.
func (l *line) lead() *line {
	if l.owner != nil {
		return l.owner
	}
	return l
}

// household is the line and those of the family that still share it.
func (l *line) household() []*line {
	all := []*line{l}
	for _, m := range l.members {
		if !m.last().revoked() {
			all = append(all, m)
		}
	}
	return all
}

// standing is the status by Apple's numbers.
func (l *line) standing() int {
	if l.last().revoked() {
		return revoked
	}
	return l.status
}

func (l *line) ends() time.Time { return time.UnixMilli(l.last().ExpiresDate).UTC() }

// subscribe begins a subscription, or takes up again one that ended. The caller holds mu.
func (s *Simulator) subscribe(p Purchase, who *customer) (Bought, error) {
	t := s.payload(p, s.at(p))
	next := product{t.ProductID, t.Price, must(parsePeriod(p.Period))}
	autoRenew := *s.settings.Renews
	if p.Renews != nil {
		autoRenew = *p.Renews
	}
	subtype := "INITIAL_BUY"
	l := who.lineIn(t.SubscriptionGroup)
	switch {
	case l == nil || t.family():
		l = &line{original: t.OriginalTransactionID, customer: who, since: s.at(p)}
		s.lines[l.original] = l
	case l.standing() != expired && l.standing() != revoked:
		return Bought{}, fmt.Errorf("customer %q has a subscription of this group: upgrade or downgrade transactionId %s", who.name, l.original)
	default:
		subtype = "RESUBSCRIBE"
		t.OriginalTransactionID, t.OriginalPurchaseDate = l.original, l.sales[0].PurchaseDate
		l.rejoin(s.at(p))
	}
	l.next, l.autoRenew, l.grace, l.offer, l.increase = next, autoRenew, graceDays, nil, nil
	if p.GraceDays != nil {
		l.grace = *p.GraceDays
	}
	made := s.enter(&sale{transaction: t, customer: who, line: l, order: p.Order})
	s.begin(l)
	s.record("purchased", made)
	s.tell(made, "SUBSCRIBED", subtype)
	return s.bought(made), nil
}

// rejoin forgets where a line began, if it has lapsed for long
// (recentSubscriptionStartDate ignores lapses of less than 60 days).
func (l *line) rejoin(at time.Time) {
	if at.Sub(l.ends()) >= 60*24*time.Hour {
		l.since = at
	}
}

// lineIn is the customer's own subscription of a group, or nil.
func (c *customer) lineIn(group string) *line {
	for _, t := range c.sales {
		if t.line != nil && t.SubscriptionGroup == group && !t.family() {
			return t.line
		}
	}
	return nil
}

// begin has the last transaction run.
func (s *Simulator) begin(l *line) {
	for _, m := range l.household() {
		m.status, m.failing, m.intent, m.graceEnds = active, false, 0, time.Time{}
	}
	s.wake(l, l.ends())
}

// wake has a line looked at, at an instant; what was set before is off.
func (s *Simulator) wake(l *line, at time.Time) {
	l.turn++
	turn := l.turn
	if l.owner != nil {
		return // it goes as its owner's
	}
	s.stage.Later(at, func(context.Context) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.turn == turn {
			s.look(l)
		}
	})
}

// look does what is due.
func (s *Simulator) look(l *line) {
	if l.last().revoked() {
		return // Apple says no more about it
	}
	switch l.status {
	case active:
		s.endOfPeriod(l)
	case inGrace:
		s.endOfGrace(l)
	case inRetry:
		s.expire(l, "BILLING_RETRY", byBilling)
	}
}

func (s *Simulator) endOfPeriod(l *line) {
	switch {
	case !l.autoRenew:
		s.expire(l, "VOLUNTARY", byCustomer)
	case s.withdrawn[l.next.id]:
		s.expire(l, "PRODUCT_NOT_FOR_SALE", notAvailable)
	case l.increase != nil && l.increase.told == 0:
		s.expire(l, "PRICE_INCREASE", byPrice)
	case l.failing:
		s.fail(l)
	default:
		s.renew(l, l.ends(), l.next.period.after(l.ends()), "")
	}
}

// renew takes the money of another period.
func (s *Simulator) renew(l *line, from, until time.Time, subtype string) *sale {
	if l.increase != nil {
		l.next.price, l.increase = l.increase.price, nil
	}
	s.follow(l, renewal, from, until, "renewed", "DID_RENEW", subtype)
	return l.last()
}

// follow puts a new transaction after the last one, for the whole household.
func (s *Simulator) follow(l *line, reason string, from, until time.Time, effect, kind, subtype string) {
	household := l.household()
	for _, m := range household {
		old := m.last()
		t := old.transaction
		t.TransactionID = s.newID(t.Environment)
		t.WebOrderLineItemID, t.ProductID, t.Price = t.TransactionID+"1", l.next.id, l.next.price
		t.PurchaseDate, t.ExpiresDate, t.TransactionReason = from.UnixMilli(), until.UnixMilli(), reason
		t.RevocationDate, t.RevocationReason, t.RevocationType, t.RevocationPercentage = 0, nil, "", 0
		t.IsUpgraded, t.OfferType, t.OfferIdentifier, t.OfferDiscountType, t.OfferPeriod = false, 0, "", "", ""
		if o := l.offer; o != nil {
			t.OfferType, t.OfferIdentifier, t.OfferDiscountType, t.OfferPeriod = o.kind, o.identifier, o.discount, o.period
		}
		s.enter(&sale{transaction: t, customer: m.customer, line: m})
	}
	l.offer = nil
	s.begin(l)
	for _, m := range household {
		if m.owner == nil {
			s.record(effect, m.last())
		}
		s.tell(m.last(), kind, subtype)
	}
}

// fail is a renewal without money.
func (s *Simulator) fail(l *line) {
	subtype := ""
	if l.grace > 0 {
		subtype = "GRACE_PERIOD"
	}
	s.change("billingFailed", l.last())
	for _, m := range l.household() {
		m.status, m.intent = inRetry, byBilling
		if l.grace > 0 {
			m.status, m.graceEnds = inGrace, l.ends().AddDate(0, 0, l.grace)
		}
		s.tell(m.last(), "DID_FAIL_TO_RENEW", subtype)
	}
	if l.status == inGrace {
		s.wake(l, l.graceEnds)
		return
	}
	s.wake(l, l.ends().AddDate(0, 0, retryDays))
}

func (s *Simulator) endOfGrace(l *line) {
	if !l.autoRenew {
		s.expire(l, "VOLUNTARY", byCustomer)
		return
	}
	for _, m := range l.household() {
		m.status, m.graceEnds = inRetry, time.Time{}
		s.tell(m.last(), "GRACE_PERIOD_EXPIRED", "")
	}
	s.wake(l, l.ends().AddDate(0, 0, retryDays))
}

// expire ends a subscription; it can be bought again.
func (s *Simulator) expire(l *line, subtype string, intent int) {
	l.autoRenew, l.increase, l.offer = false, nil, nil
	s.change("expired", l.last())
	for _, m := range l.household() {
		m.status, m.intent, m.failing, m.graceEnds = expired, intent, false, time.Time{}
		s.tell(m.last(), "EXPIRED", subtype)
	}
	l.turn++ // nothing is due any more
}

// lineOf finds the subscription of a transaction for a control: that of who pays.
func (s *Simulator) lineOf(id string) (*line, error) {
	t, err := s.saleOf(id)
	if err != nil {
		return nil, err
	}
	if t.line == nil {
		return nil, fmt.Errorf("transactionId %q is of no auto-renewable subscription", id)
	}
	return t.line.lead(), nil
}

// running finds a subscription that has not ended.
func (s *Simulator) running(id string, among ...int) (*line, error) {
	l, err := s.lineOf(id)
	if err != nil {
		return nil, err
	}
	if len(among) == 0 {
		among = []int{active}
	}
	if !slices.Contains(among, l.standing()) {
		return nil, fmt.Errorf("transactionId %q: not possible for a subscription of status %d (1 active, 2 expired, 3 billing retry, 4 grace, 5 revoked)", id, l.standing())
	}
	return l, nil
}

// Held names a subscription by any of its transactions.
type Held struct {
	TransactionID string `json:"transactionId"`
}

// Renew takes the money of the next period now, or of the one that failed.
func (s *Simulator) Renew(h Held) (Bought, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.running(h.TransactionID, active, inGrace, inRetry)
	if err != nil {
		return Bought{}, err
	}
	if l.status != active {
		return s.bought(s.pay(l)), nil
	}
	return s.bought(s.renew(l, s.stage.Now(), l.next.period.after(l.ends()), "")), nil
}

// pay ends a failing of the means of payment: in grace as if nothing had been, else from
// now on.
func (s *Simulator) pay(l *line) *sale {
	now := s.stage.Now()
	until := l.next.period.after(now)
	if l.status == inGrace {
		until = l.next.period.after(l.ends())
	}
	return s.renew(l, now, until, "BILLING_RECOVERY")
}

// FailBilling has renewals fail from now on.
func (s *Simulator) FailBilling(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.running(h.TransactionID)
	if err != nil {
		return err
	}
	if !l.autoRenew {
		return errors.New("it does not renew: auto-renew on=true, or buy with renews=true")
	}
	l.failing = true
	return nil
}

// RecoverBilling has the customer's means of payment work again. What failed is paid now.
func (s *Simulator) RecoverBilling(h Held) (Bought, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.running(h.TransactionID, active, inGrace, inRetry)
	if err != nil {
		return Bought{}, err
	}
	l.failing = false
	if l.status == active {
		return s.bought(l.last()), nil
	}
	return s.bought(s.pay(l)), nil
}
