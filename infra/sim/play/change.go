package play

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// change is how a subscription came from another one, to whose token it is linked.
type change struct {
	old  *purchase
	mode string // a replacement mode, or one of the two below
}

// How one token follows another, beside the modes of a replacement.
const (
	byTopUp       = "top-up"
	byResubscribe = "resubscribe"
)

// The modes of a replacement (ReplacementMode).
const (
	withTimeProration = "WITH_TIME_PRORATION"
	proratedPrice     = "CHARGE_PRORATED_PRICE"
	withoutProration  = "WITHOUT_PRORATION"
	fullPrice         = "CHARGE_FULL_PRICE"
	deferred          = "DEFERRED"
)

var modes = []string{withTimeProration, proratedPrice, withoutProration, fullPrice, deferred}

// Change is to another product or plan, under a new token.
type Change struct {
	PurchaseToken string `json:"purchaseToken"`
	ProductID     string `json:"productId"`         // premium:yearly
	Mode          string `json:"mode,omitempty"`    // "" is CHARGE_FULL_PRICE
	Pending       bool   `json:"pending,omitempty"` // the customer pays later
	Account       string `json:"account,omitempty"` // "" is as before
	Profile       string `json:"profile,omitempty"`
}

// Replace has the customer switch to another plan, at once or at the end of the period.
// The new token is linked to the old one, which is at its end with that.
func (s *Simulator) Replace(c Change) (Bought, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.running(c.PurchaseToken, active, canceled, inGrace)
	switch {
	case err != nil:
		return Bought{}, err
	case !slices.Contains(modes, or(c.Mode, fullPrice)):
		return Bought{}, fmt.Errorf("mode %q: %s", c.Mode, strings.Join(modes, ", "))
	case !old.acknowledged:
		return Bought{}, errors.New("purchaseToken: Google lets nobody change a subscription that is not acknowledged")
	case c.Mode == deferred && c.Pending:
		return Bought{}, errors.New("pending: a deferred replacement takes no money yet")
	}
	return s.succeed(old, c, or(c.Mode, fullPrice))
}

// succeed makes a purchase that is linked to an older one.
func (s *Simulator) succeed(old *purchase, c Change, mode string) (Bought, error) {
	picks, err := s.basket(c.ProductID, nil)
	if err != nil {
		return Bought{}, err
	}
	if !picks[0].product.subscription {
		return Bought{}, fmt.Errorf("productId %q is no subscription", c.ProductID)
	}
	p := s.newPurchase(picks)
	p.app, p.region, p.test = old.app, old.region, old.test
	p.account, p.profile = or(c.Account, old.account), or(c.Profile, old.profile)
	l := old.subscription
	p.subscription = s.newSubscription(p, Purchase{GraceDays: &l.grace, HoldDays: &l.hold})
	p.subscription.change = &change{old, mode}
	s.enter(p, c.Pending)
	return p.bought(), nil
}

// follow has a subscription take over from the one before.
func (s *Simulator) follow(p *purchase) {
	l, c := p.subscription, p.subscription.change
	old, now := c.old.subscription, s.stage.Now()
	it, before := l.items[0], old.items[0]
	left := max(0, before.expires.Sub(now))
	if slices.Contains(modes, c.mode) {
		it.replaces = &replacement{before.pick, c.mode, now}
	}
	free, until := money{0, it.price.currency}, before.expires
	switch c.mode {
	case deferred:
		// What is paid goes on under the new token; the new item is nobody's before its start.
		stays := *before
		stays.replacedBy, stays.autoRenew, stays.rise, stays.step, stays.lastCharge = it, false, nil, nil, false
		it.expires = p.until(it, before.expires)
		l.items = append([]*item{&stays}, l.items...)
		l.due = before.expires
		return
	case byTopUp:
		until = p.until(it, before.expires)
		s.charge(p, it, now, until, it.price)
	case withTimeProration:
		it.phase, until = "prorationPeriod", now.Add(worth(left, before.perDay(), it.perDay()))
		s.charge(p, it, now, until, free)
	case proratedPrice:
		it.phase = "prorationPeriod"
		days := max(0, it.perDay()-before.perDay()) * float64(left) / float64(24*time.Hour)
		s.charge(p, it, now, until, money{int64(days), it.price.currency})
	case withoutProration:
		it.phase = "prorationPeriod"
		s.charge(p, it, now, until, free)
	case fullPrice:
		until = p.until(it, now).Add(worth(left, before.perDay(), it.perDay()))
		s.charge(p, it, now, until, it.price)
	default: // bought again before its end
		until = p.until(it, now)
		s.charge(p, it, now, until, it.price)
	}
	for _, more := range l.items[1:] {
		s.charge(p, more, now, until, more.price)
	}
	l.due = until
}

// perDay is what a day of an item costs, in the smallest unit.
func (it *item) perDay() float64 {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return float64(it.price.amount) / (it.plan.period.after(from).Sub(from).Hours() / 24)
}

// worth is how long what is left of one price lasts at another.
func worth(left time.Duration, before, after float64) time.Duration {
	if after <= 0 {
		return left
	}
	return time.Duration(float64(left) * before / after).Truncate(time.Second)
}

// supersede ends the subscription that another one was made of.
func (s *Simulator) supersede(old, by *purchase) {
	if old.dead() {
		return
	}
	old.subscription.next = by
	s.finish(old, byReplacement)
	s.record("replaced", old, old.base)
	s.tellSubscription(old, typeExpired)
}

// TopUp has the customer pay a prepaid plan for longer, under a new token.
func (s *Simulator) TopUp(c Change) (Bought, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.running(c.PurchaseToken, active)
	if err != nil {
		return Bought{}, err
	}
	first := old.picks[0]
	if !first.plan.prepaid {
		return Bought{}, errors.New("purchaseToken: of no prepaid plan")
	}
	c.ProductID = or(c.ProductID, first.product.id+":"+first.plan.id)
	return s.succeed(old, c, byTopUp)
}

// Again is a subscription that is bought again.
type Again struct {
	PurchaseToken string `json:"purchaseToken"`
	ProductID     string `json:"productId,omitempty"` // "" is as before
	// OutOfApp has the customer do so in the subscriptions of Google Play: the new token is
	// linked to nothing and says nobody's account until it is acknowledged.
	OutOfApp bool   `json:"outOfApp,omitempty"`
	Account  string `json:"account,omitempty"` // "" is as before; in the app only
	Profile  string `json:"profile,omitempty"`
}

// Resubscribe has the customer buy again what was cancelled or has expired, under a new
// token. It is linked where the old one had not lapsed.
func (s *Simulator) Resubscribe(a Again) (Bought, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.running(a.PurchaseToken, canceled, expired)
	if err != nil {
		return Bought{}, err
	}
	lapsed := old.subscription.state == expired
	first := old.picks[0]
	c := Change{ProductID: or(a.ProductID, first.product.id+":"+first.plan.id), Account: a.Account, Profile: a.Profile}
	switch {
	case a.OutOfApp && !lapsed:
		return Bought{}, errors.New("outOfApp: before its end it is restored, under the same token: restart")
	case !lapsed:
		return s.succeed(old, c, byResubscribe)
	}
	picks, err := s.basket(c.ProductID, nil)
	if err != nil {
		return Bought{}, err
	}
	p := s.newPurchase(picks)
	p.app, p.region, p.test = old.app, old.region, old.test
	l := old.subscription
	p.subscription = s.newSubscription(p, Purchase{GraceDays: &l.grace, HoldDays: &l.hold})
	if a.OutOfApp {
		p.subscription.expired = old
	} else {
		p.account, p.profile = or(c.Account, old.account), or(c.Profile, old.profile)
	}
	s.enter(p, false)
	return p.bought(), nil
}

// Bundle is a change of a subscription's add-ons, under the same token.
type Bundle struct {
	PurchaseToken string `json:"purchaseToken"`
	Add           string `json:"add,omitempty"`    // extra:monthly, or several
	Remove        string `json:"remove,omitempty"` // productIds; they stay until the end of the period
}

// SetItems adds items to a subscription at once, or has some end with the period.
func (s *Simulator) SetItems(b Bundle) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(b.PurchaseToken, active)
	if err != nil {
		return err
	}
	l := p.subscription
	if l.items[0].plan.prepaid || b.Add == "" && b.Remove == "" {
		return errors.New("add, remove: which items of an auto-renewing subscription")
	}
	var added []pick
	if b.Add != "" {
		if added, err = s.basket(b.Add, nil); err != nil {
			return err
		}
	}
	gone := []*item{}
	for id := range strings.SplitSeq(b.Remove, ",") {
		i := slices.IndexFunc(l.items, func(it *item) bool { return it.product.id == id && !it.removed })
		switch {
		case id == "":
		case i < 0:
			return fmt.Errorf("remove %q is no item", id)
		default:
			gone = append(gone, l.items[i])
		}
	}
	for _, k := range added {
		if !k.product.subscription || k.plan.prepaid || slices.ContainsFunc(l.items, func(it *item) bool { return it.product == k.product }) {
			return fmt.Errorf("add %q: another subscription that renews, which it has not yet", k.product.id)
		}
	}
	if len(l.items)+len(added) > mostItems {
		return fmt.Errorf("add: %d items at most", mostItems)
	}
	now := s.stage.Now()
	for _, k := range added {
		it := newItem(k)
		it.base, it.phase = s.newOrderID(), "prorationPeriod"
		part := money{int64(it.perDay() * l.due.Sub(now).Hours() / 24), it.price.currency}
		s.charge(p, it, now, l.due, part)
		s.recordMoney("purchased", p, it.order.id, part)
		l.items = append(l.items, it)
	}
	for _, it := range gone {
		it.removed = true
	}
	s.tellSubscription(p, typeItemsChanged)
	return nil
}
