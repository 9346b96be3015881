package apple

import (
	"errors"
	"fmt"

	"grantline/infra/sim/stage"
)

// change notes an effect that moved no money.
func (s *Simulator) change(kind string, t *sale) {
	s.stage.Record(stage.Effect{
		Kind: kind, OrderID: t.TransactionID, TransactionID: t.TransactionID, SKU: t.ProductID, Environment: t.Environment,
		SubscriptionID: t.subscription(),
	})
}

// AutoRenew is whether a subscription shall renew.
type AutoRenew struct {
	TransactionID string `json:"transactionId"`
	On            bool   `json:"on"`
}

// SetAutoRenew has the customer turn it on or off. Off in billing retry, which nobody waits
// for any more, ends the subscription.
func (s *Simulator) SetAutoRenew(a AutoRenew) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.running(a.TransactionID, active, inGrace, inRetry)
	if err != nil {
		return err
	}
	if l.autoRenew == a.On {
		return fmt.Errorf("transactionId %q: auto-renew is so already", a.TransactionID)
	}
	s.switchRenewal(l, a.On)
	if !a.On && l.status == inRetry {
		s.expire(l, "VOLUNTARY", byCustomer)
	}
	return nil
}

func (s *Simulator) switchRenewal(l *line, on bool) {
	l.autoRenew = on
	kind, subtype := "autoRenewOff", "AUTO_RENEW_DISABLED"
	if on {
		kind, subtype = "autoRenewOn", "AUTO_RENEW_ENABLED"
	}
	s.change(kind, l.last())
	for _, m := range l.household() {
		s.tell(m.last(), "DID_CHANGE_RENEWAL_STATUS", subtype)
	}
}

// Switch is to another product of the group.
type Switch struct {
	TransactionID string `json:"transactionId"`
	ProductID     string `json:"productId"`
	Price         int64  `json:"price,omitempty"`  // in thousandths of the currency; 0 is as before
	Period        string `json:"period,omitempty"` // "" is as before
}

// product is what a subscription is switched to.
func (w Switch) product(l *line) (product, error) {
	to := product{w.ProductID, w.Price, l.next.period}
	if to.id == "" {
		return to, errors.New("productId: to which product")
	}
	if to.price == 0 {
		to.price = l.last().Price
	}
	if w.Period != "" {
		var err error
		if to.period, err = parsePeriod(w.Period); err != nil {
			return to, err
		}
	}
	return to, nil
}

// Upgrade switches now: the old transaction is marked isUpgraded, a new period begins.
func (s *Simulator) Upgrade(w Switch) (Bought, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.running(w.TransactionID, active, inGrace)
	if err != nil {
		return Bought{}, err
	}
	to, err := w.product(l)
	if err != nil {
		return Bought{}, err
	}
	return s.upgrade(l, to, "DID_CHANGE_RENEWAL_PREF")
}

func (s *Simulator) upgrade(l *line, to product, kind string) (Bought, error) {
	if to.id == l.last().ProductID {
		return Bought{}, fmt.Errorf("productId %q is what the customer has", to.id)
	}
	for _, m := range l.household() {
		m.last().IsUpgraded = true
		s.touch(m.last())
	}
	now := s.stage.Now()
	l.next, l.increase = to, nil
	if !l.autoRenew { // to buy is to agree
		l.autoRenew = true
	}
	s.follow(l, "PURCHASE", now, to.period.after(now), "upgraded", kind, "UPGRADE")
	return s.bought(l.last()), nil
}

// Downgrade switches at the next renewal; to what the customer has, it calls one off.
func (s *Simulator) Downgrade(w Switch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.running(w.TransactionID, active, inGrace)
	if err != nil {
		return err
	}
	to, err := w.product(l)
	if err != nil {
		return err
	}
	l.next = to
	subtype := "DOWNGRADE"
	if to.id == l.last().ProductID {
		subtype = ""
	}
	for _, m := range l.household() {
		s.tell(m.last(), "DID_CHANGE_RENEWAL_PREF", subtype)
	}
	return nil
}

// Resubscribe has the customer buy again what ended, or another product of the group.
func (s *Simulator) Resubscribe(w Switch) (Bought, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.running(w.TransactionID, expired, revoked)
	if err != nil {
		return Bought{}, err
	}
	w.ProductID = or(w.ProductID, l.last().ProductID)
	to, err := w.product(l)
	if err != nil {
		return Bought{}, err
	}
	now := s.stage.Now()
	l.rejoin(now)
	l.members = nil // a family is invited anew
	l.next, l.autoRenew, l.increase, l.offer = to, true, nil, nil
	s.follow(l, "PURCHASE", now, to.period.after(now), "purchased", "SUBSCRIBED", "RESUBSCRIBE")
	return s.bought(l.last()), nil
}

// Rise is a new price of a subscription.
type Rise struct {
	TransactionID string `json:"transactionId"`
	Price         int64  `json:"price"` // in thousandths of the currency
	// Consent says that the customer has to agree; nil is true. Without, they are told.
	Consent *bool `json:"consent,omitempty"`
}

// RaisePrice announces a new price from the next renewal on. A customer who has to agree
// and does not loses the subscription then.
func (s *Simulator) RaisePrice(r Rise) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.running(r.TransactionID, active, inGrace)
	if err != nil {
		return err
	}
	if r.Price <= 0 {
		return errors.New("price: more than 0, in thousandths of the currency")
	}
	l.increase = &increase{price: r.Price}
	if r.Consent != nil && !*r.Consent {
		l.increase.told = 1
	}
	s.tellIncrease(l)
	return nil
}

// AcceptPrice has the customer agree.
func (s *Simulator) AcceptPrice(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.running(h.TransactionID, active, inGrace)
	if err != nil {
		return err
	}
	if l.increase == nil || l.increase.told == 1 {
		return fmt.Errorf("transactionId %q: no price waits for an answer", h.TransactionID)
	}
	l.increase.told = 1
	s.tellIncrease(l)
	return nil
}

func (s *Simulator) tellIncrease(l *line) {
	s.tell(l.last(), "PRICE_INCREASE", []string{"PENDING", "ACCEPTED"}[l.increase.told])
}

// Redemption is of an offer by who is subscribed.
type Redemption struct {
	TransactionID     string `json:"transactionId"`
	OfferType         int    `json:"offerType,omitempty"` // 0 is 3, an offer code
	OfferIdentifier   string `json:"offerIdentifier"`
	OfferDiscountType string `json:"offerDiscountType,omitempty"` // "" is PAY_AS_YOU_GO
	Subtype           string `json:"subtype,omitempty"`           // UPGRADE (now), DOWNGRADE (then), or "" to stay
	ProductID         string `json:"productId,omitempty"`         // of another product, for both
	Price             int64  `json:"price,omitempty"`             // in thousandths of the currency; 0 is as before
	Period            string `json:"period,omitempty"`            // "" is as before
}

// Redeem applies an offer to a subscription: at the next renewal, or with an upgrade now.
func (s *Simulator) Redeem(r Redemption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.running(r.TransactionID)
	if err != nil {
		return err
	}
	if r.OfferIdentifier == "" {
		return errors.New("offerIdentifier: which offer")
	}
	if r.OfferType == 0 {
		r.OfferType = 3
	}
	w := Switch{r.TransactionID, or(r.ProductID, l.last().ProductID), r.Price, r.Period}
	to, err := w.product(l)
	if err != nil {
		return err
	}
	given := &offer{kind: r.OfferType, identifier: r.OfferIdentifier, discount: or(r.OfferDiscountType, "PAY_AS_YOU_GO"), period: or(r.Period, "P1M")}
	switch r.Subtype {
	case "UPGRADE":
		l.offer = given
		if _, err := s.upgrade(l, to, "OFFER_REDEEMED"); err != nil {
			l.offer = nil
			return err
		}
		return nil
	case "", "DOWNGRADE":
		l.offer, l.next = given, to
		s.tell(l.last(), "OFFER_REDEEMED", r.Subtype)
		return nil
	}
	return fmt.Errorf("subtype %q: UPGRADE, DOWNGRADE or none", r.Subtype)
}

// Withdrawal takes a product off sale.
type Withdrawal struct {
	ProductID string `json:"productId"`
}

// Withdraw has subscriptions of a product end when they would renew.
func (s *Simulator) Withdraw(w Withdrawal) error {
	if w.ProductID == "" {
		return errors.New("productId: which product")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withdrawn[w.ProductID] = true
	return nil
}
