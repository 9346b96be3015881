package play

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// The states of a price change (PriceChangeState) and of the consent to a price step-up
// (ConsentState).
const (
	riseWithConsent = "PRICE_INCREASE"
	riseOutstanding = "OUTSTANDING"
	riseConfirmed   = "CONFIRMED"
	riseApplied     = "APPLIED"
	riseCanceled    = "CANCELED"
	stepPending     = "PENDING"
	stepConfirmed   = "CONFIRMED"
	stepCompleted   = "COMPLETED"
)

// Cancel has the customer turn auto-renew off, or with by=developer the Console.
func (s *Simulator) Cancel(c Cancellation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(c.PurchaseToken, active, inGrace, onHold, paused)
	switch {
	case err != nil:
		return err
	case !slices.Contains([]string{"", byUser, byDeveloper, bySystem}, c.By):
		return fmt.Errorf("by %q: user, developer or system", c.By)
	case p.subscription.items[0].plan.prepaid:
		return errors.New("purchaseToken: a prepaid plan has nothing to cancel")
	}
	s.stop(p, or(c.By, byUser), c.By == byDeveloper)
	return nil
}

// Cancellation turns auto-renew off.
type Cancellation struct {
	PurchaseToken string `json:"purchaseToken"`
	By            string `json:"by,omitempty"` // user, developer or system; "" is user
}

// Restart has the customer restore a subscription before its end, in Google Play.
func (s *Simulator) Restart(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(h.PurchaseToken, canceled, active)
	if err != nil {
		return err
	}
	l := p.subscription
	scheduled := slices.ContainsFunc(l.items, func(it *item) bool { return it.lastCharge })
	if l.state == active && !scheduled || l.cancelled.forced {
		return errors.New("purchaseToken: not cancelled, or not by the customer")
	}
	l.state, l.cancelled = active, cancellation{}
	for _, it := range l.items {
		it.autoRenew, it.lastCharge = it.replacedBy == nil, false
	}
	s.record("restarted", p, p.base)
	s.tellSubscription(p, typeRestarted)
	return nil
}

// Renew takes the money of the next period now.
func (s *Simulator) Renew(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(h.PurchaseToken, active, inGrace, onHold)
	if err != nil {
		return err
	}
	if !p.subscription.renews() {
		return errors.New("purchaseToken: it does not renew")
	}
	s.pay(p)
	return nil
}

// pay renews: in grace as if nothing had been, from hold with a new billing date.
func (s *Simulator) pay(p *purchase) {
	if p.subscription.state == onHold {
		s.renew(p, s.stage.Now(), typeRecovered)
		return
	}
	s.renew(p, p.subscription.due, typeRenewed)
}

// FailBilling has renewals fail from now on.
func (s *Simulator) FailBilling(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(h.PurchaseToken, active, paused)
	if err != nil {
		return err
	}
	if !p.subscription.renews() {
		return errors.New("purchaseToken: it does not renew")
	}
	p.subscription.failing = true
	return nil
}

// RecoverBilling has the means of payment work again. What failed is paid now.
func (s *Simulator) RecoverBilling(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(h.PurchaseToken, active, inGrace, onHold, paused)
	if err != nil {
		return err
	}
	l := p.subscription
	l.failing = false
	if l.state == inGrace || l.state == onHold || l.silent {
		s.pay(p)
	}
	return nil
}

// Pausing is until when a subscription rests.
type Pausing struct {
	PurchaseToken string `json:"purchaseToken"`
	For           string `json:"for,omitempty"` // P1W to P3M; "" is P1M
}

// Pause has the customer pause a subscription from the end of its period on.
func (s *Simulator) Pause(w Pausing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(w.PurchaseToken, active)
	if err != nil {
		return err
	}
	rest, err := parsePeriod(or(w.For, "P1M"))
	if err != nil {
		return err
	}
	if !p.subscription.renews() {
		return errors.New("purchaseToken: it does not renew")
	}
	p.subscription.pause = &rest
	s.tellSubscription(p, typePauseScheduleChanged)
	return nil
}

// Resume ends a pause, or calls one off that has not begun.
func (s *Simulator) Resume(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(h.PurchaseToken, active, paused)
	if err != nil {
		return err
	}
	l := p.subscription
	switch {
	case l.state == paused:
		s.unpause(p)
	case l.pause == nil:
		return errors.New("purchaseToken: no pause is set")
	default:
		l.pause = nil
		s.tellSubscription(p, typePauseScheduleChanged)
	}
	return nil
}

// Rise is a new price of a subscription.
type Rise struct {
	PurchaseToken string `json:"purchaseToken"`
	Price         int64  `json:"price"`          // in the smallest unit
	Mode          string `json:"mode,omitempty"` // PRICE_INCREASE (""), OPT_OUT_PRICE_INCREASE, PRICE_DECREASE
}

// ChangePrice announces another price from the next renewal on. A customer who has to agree
// and does not loses the subscription then.
func (s *Simulator) ChangePrice(r Rise) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(r.PurchaseToken, active, inGrace)
	if err != nil {
		return err
	}
	mode := or(r.Mode, riseWithConsent)
	if r.Price <= 0 || !slices.Contains([]string{riseWithConsent, "OPT_OUT_PRICE_INCREASE", "PRICE_DECREASE"}, mode) {
		return errors.New("price: more than 0; mode: PRICE_INCREASE, OPT_OUT_PRICE_INCREASE or PRICE_DECREASE")
	}
	it := p.subscription.items[0]
	it.rise = &rise{to: money{r.Price, it.price.currency}, mode: mode, state: riseOutstanding}
	if mode == "PRICE_DECREASE" {
		it.rise.state = riseConfirmed
	}
	s.tellSubscription(p, typePriceChangeUpdated)
	return nil
}

// Consent is a customer's answer to a price.
type Consent struct {
	PurchaseToken string `json:"purchaseToken"`
	Withdrawn     bool   `json:"withdrawn,omitempty"` // the developer takes the new price back
}

// AcceptPrice has the customer agree to a price change, or the developer take it back.
func (s *Simulator) AcceptPrice(c Consent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(c.PurchaseToken, active, inGrace)
	if err != nil {
		return err
	}
	it := p.subscription.items[0]
	if it.rise == nil || it.rise.state != riseOutstanding {
		return errors.New("purchaseToken: no price waits for an answer")
	}
	it.rise.state = riseConfirmed
	if c.Withdrawn {
		it.rise.state, it.rise.to = riseCanceled, it.price
	}
	s.tellSubscription(p, typePriceChangeUpdated)
	if !c.Withdrawn && *s.settings.Deprecated {
		s.tellSubscription(p, typePriceChangeConfirmed)
	}
	return nil
}

// StepUp announces a price that needs the customer's consent by the next renewal.
func (s *Simulator) StepUp(r Rise) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(r.PurchaseToken, active, inGrace)
	if err != nil {
		return err
	}
	if r.Price <= 0 || r.Mode != "" {
		return errors.New("price: more than 0, and no mode")
	}
	it := p.subscription.items[0]
	it.step = &step{to: money{r.Price, it.price.currency}, state: stepPending, deadline: p.subscription.due}
	s.tellSubscription(p, typePriceStepUp)
	return nil
}

// AcceptStepUp has the customer agree.
func (s *Simulator) AcceptStepUp(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.running(h.PurchaseToken, active, inGrace)
	if err != nil {
		return err
	}
	it := p.subscription.items[0]
	if it.step == nil || it.step.state != stepPending {
		return errors.New("purchaseToken: no price waits for consent")
	}
	it.step.state = stepConfirmed
	s.tellSubscription(p, typePriceStepUp)
	return nil
}

// Word is a state that the API shall say.
type Word struct {
	PurchaseToken string `json:"purchaseToken"`
	State         string `json:"state,omitempty"` // such as SUBSCRIPTION_STATE_FROZEN; "" is the true one again
}

// Say has the API say another state of a subscription than it has, such as one that nobody
// knows yet.
func (s *Simulator) Say(w Word) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.purchaseOf(w.PurchaseToken)
	if err != nil {
		return err
	}
	if p.subscription == nil {
		return errors.New("purchaseToken: of no subscription")
	}
	p.subscription.override = w.State
	return nil
}

// acknowledgeSubscription takes external account ids only of what was bought again out of
// the app.
func (s *Simulator) acknowledgeSubscription(q *query) stage.Answer {
	var in acknowledgement
	if !q.decode(&in) {
		return malformed.answer()
	}
	find := func() (*purchase, *apiError) {
		p, refused := s.lookUp(q, true)
		switch {
		case refused != nil:
			return nil, refused
		case !slices.ContainsFunc(p.subscription.items, func(it *item) bool { return it.product.id == q.given[0] }):
			return nil, otherProduct
		case in.External != nil && p.subscription.expired == nil:
			return nil, invalid("externalAccountIds", "External account ids can be set for resubscription purchases only.")
		case in.External != nil && (len(in.External.Account) > mostID || len(in.External.Profile) > mostID):
			return nil, invalid("externalAccountIds", "An external account id is too long.")
		}
		return p, nil
	}
	return s.alone(q, find, func(p *purchase) *apiError {
		refused := s.acknowledgeLine(p)
		if refused == nil && in.External != nil {
			p.account, p.profile = in.External.Account, in.External.Profile
		}
		return refused
	})
}

func (s *Simulator) acknowledgeLine(p *purchase) *apiError {
	switch p.subscription.state {
	case pendingPayment, pendingCanceled:
		return wrongState
	case expired:
		return ended
	}
	s.acknowledged(p)
	p.subscription.expired = nil
	return nil
}

// edit finds the subscription of a call that changes it: one that has not ended.
func (s *Simulator) edit(q *query) (*purchase, *apiError) {
	p, refused := s.lookUp(q, true)
	if refused != nil {
		return nil, refused
	}
	switch p.subscription.state {
	case expired:
		return nil, ended
	case pendingPayment, pendingCanceled:
		return nil, wrongState
	}
	return p, nil
}

func (s *Simulator) cancelSubscription(q *query) stage.Answer {
	var in struct {
		Context struct {
			Type string `json:"cancellationType"`
		} `json:"cancellationContext"`
	}
	const restorable, final = "USER_REQUESTED_STOP_RENEWALS", "DEVELOPER_REQUESTED_STOP_PAYMENTS"
	if !q.decode(&in) || in.Context.Type != restorable && in.Context.Type != final {
		return invalid("cancellationContext", "Invalid cancellation type.").answer()
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	p, refused := s.edit(q)
	if refused != nil {
		return refused.answer()
	}
	if p.subscription.state != canceled {
		by := byUser
		if in.Context.Type == final {
			by = byDeveloper
		}
		s.stop(p, by, in.Context.Type == final)
	}
	return stage.JSON(http.StatusOK, struct{}{})
}

// How far a subscription can be deferred by one call.
const (
	leastDeferral = 24 * time.Hour
	mostDeferral  = 365 * 24 * time.Hour
)

func (s *Simulator) deferSubscription(q *query) stage.Answer {
	var in struct {
		Context struct {
			By       string `json:"deferDuration"`
			ETag     string `json:"etag"`
			OnlyLook bool   `json:"validateOnly"`
		} `json:"deferralContext"`
	}
	if json.Unmarshal(q.body, &in) != nil {
		return malformed.answer()
	}
	seconds, ok := strings.CutSuffix(in.Context.By, "s")
	n, err := strconv.ParseInt(seconds, 10, 32)
	by := time.Duration(n) * time.Second
	if !ok || err != nil || by < leastDeferral || by > mostDeferral {
		return invalid("deferDuration", "The deferral is to be from one day to one year.").answer()
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	p, refused := s.edit(q)
	if refused != nil {
		return refused.answer()
	}
	l := p.subscription
	if l.state != active || !l.renews() {
		return wrongState.answer()
	}
	if in.Context.ETag != s.standing(p).ETag {
		return concurrent.answer()
	}
	var details []map[string]string
	for _, it := range l.items {
		to := it.expires.Add(by)
		details = append(details, map[string]string{"productId": it.product.id, "expiryTime": s.instant(to)})
		if !in.Context.OnlyLook {
			it.expires = to
		}
	}
	if !in.Context.OnlyLook {
		l.due = l.due.Add(by)
		s.record("deferred", p, p.base)
		s.wake(p, l.due)
		s.tellSubscription(p, typeDeferred)
	}
	return stage.JSON(http.StatusOK, map[string]any{"itemExpiryTimeDetails": details})
}
