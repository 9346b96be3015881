package dodo

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"grantline/infra/sim/stage"
)

// newPayment makes a payment that is not yet begun. The caller holds mu.
func (s *Simulator) newPayment(sub *subscription, price int64, currency string, metadata map[string]any) *payment {
	now := s.stage.Now()
	p := &payment{
		id: s.id("pay"), subscription: sub, price: price, currency: currency, metadata: metadata,
		tax: (price*int64(*s.settings.TaxPercent) + 50) / 100, card: sub.card, method: sub.method,
		created: now, updated: now, shown: now.Add(time.Duration(*s.settings.ListLag)),
	}
	s.payments[p.id] = p
	s.ordered = append(s.ordered, p)
	return p
}

// charge takes money on a mandate, each time that it is asked to. What becomes of it is
// decided later.
func (s *Simulator) charge(q *query) stage.Answer {
	var in struct {
		Price       json.RawMessage            `json:"product_price"`
		Currency    *string                    `json:"product_currency"`
		Description *string                    `json:"product_description"`
		Metadata    map[string]json.RawMessage `json:"metadata"`
	}
	if !q.decode(&in) {
		return refusal("INVALID_REQUEST_BODY", "no JSON object of the documented form")
	}
	if absent(in.Price) {
		return refusal("INVALID_REQUEST_BODY", "product_price is missing")
	}
	price, ok := whole(in.Price)
	if !ok || price < 0 {
		return refusal("INVALID_REQUEST_BODY", "product_price is a whole number")
	}
	metadata, wrong := checkMetadata(in.Metadata)
	if wrong != "" {
		return refusal("INVALID_REQUEST_BODY", wrong)
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions[q.PathValue("subscription")]
	if code := s.chargeable(sub); code != "" {
		return refusal(code, "")
	}
	currency := sub.currency
	if in.Currency != nil {
		currency = *in.Currency
	}
	switch {
	case !knownCurrency(currency):
		return refusal("UNSUPPORTED_CURRENCY", "")
	case price < minimum:
		return refusal("TOTAL_PAYMENT_AMOUNT_BELOW_MINIMUM_AMOUNT", "")
	}
	// That the customer has a page open on which to change the card is no open payment.
	if sub.open != nil && !sub.open.terminal() {
		answer := refusal("PREVIOUS_PAYMENT_PENDING", "")
		answer.Status = *s.settings.PendingStatus
		return answer
	}
	if in.Metadata == nil {
		metadata = maps.Clone(sub.metadata)
	}
	p := s.newPayment(sub, price, currency, metadata)
	s.begin(p)
	return stage.JSON(http.StatusOK, object{"payment_id": p.id})
}

// chargeable says with which code a charge is refused, "" if it is not.
func (s *Simulator) chargeable(sub *subscription) string {
	switch {
	case sub == nil:
		return "NOT_FOUND"
	case sub.status == Expired:
		return "SUBSCRIPTION_EXPIRED"
	case !sub.onDemand:
		return "SUBSCRIPTION_NOT_ON_DEMAND"
	case sub.status != Active:
		return "SUBSCRIPTION_INACTIVE"
	case sub.endsAtNext:
		return "CHARGE_NOT_ALLOWED_FOR_SCHEDULED_CANCELLATION"
	default:
		return ""
	}
}

// begin has a payment processed, and decided after a while. The outcome is settled now, so
// that a script applies to charges in the order in which they are made.
func (s *Simulator) begin(p *payment) {
	p.status, p.subscription.open = processing, p
	if *s.settings.FirstStatus == "null" {
		p.status = ""
	}
	code := s.decline(p)
	s.tellPayment(p, "payment.processing")
	s.stage.Later(s.stage.Now().Add(time.Duration(*s.settings.SettleAfter)), func(context.Context) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.settle(p, code)
	})
}

// decline says with which code a payment will fail, "" if it will not: by a control, else by
// the card, else by the amount's last two digits.
func (s *Simulator) decline(p *payment) string {
	if d, ok := s.declines.Take(func(d Decline) bool {
		return fits(d.SubscriptionID, p.subscription.id) && fits(d.OrderID, orderOf(p.metadata))
	}); ok {
		return d.Code
	}
	if meaning := cards[p.card]; p.approves && meaning.approval != "" {
		return meaning.approval
	} else if !p.approves && meaning.charge != "" {
		return meaning.charge
	}
	return magic[p.price%100]
}

// settle decides a payment. The caller holds mu.
func (s *Simulator) settle(p *payment, code string) {
	if p.terminal() {
		return
	}
	now := s.stage.Now()
	sub := p.subscription
	p.updated = now
	effect := stage.Effect{
		Kind: "charged", OrderID: orderOf(p.metadata), Amount: p.total(), Tax: p.tax, Currency: p.currency,
		PaymentKey: p.id, SubscriptionID: sub.id, SKU: sub.product, Origin: p.origin,
	}
	if code != "" {
		p.status, p.code = failed, code
		effect.Kind, effect.Code = "declined", code
		if p.total() > 0 {
			s.stage.Record(effect)
		}
		s.tellPayment(p, "payment.failed")
		switch {
		case p.approves && sub.status == Pending:
			s.end(sub, Failed, "")
		case sub.status == Active && !p.updates && *s.settings.OnHoldAfterFailedCharge:
			s.hold(sub, "")
		}
		return
	}
	p.status = succeeded
	if p.total() > 0 {
		s.stage.Record(effect)
	}
	s.tellPayment(p, "payment.succeeded")
	if p.approves && sub.status == Pending {
		sub.status, sub.previous, sub.next = Active, now, now.AddDate(0, 1, 0)
		s.record(sub, "mandateActive", "")
		s.tell(sub, "subscription.active")
		if p.total() > 0 {
			s.tell(sub, "subscription.renewed")
		}
	}
}

// get looks a payment up.
func (s *Simulator) get(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.payments[q.PathValue("payment")]
	if p == nil {
		return refusal("NOT_FOUND", "no such payment")
	}
	return stage.JSON(http.StatusOK, s.full(p))
}

// lineItems says what of a payment can be refunded by which name.
func (s *Simulator) lineItems(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.payments[q.PathValue("payment")]
	if p == nil {
		return refusal("NOT_FOUND", "no such payment")
	}
	return stage.JSON(http.StatusOK, object{"currency": p.currency, "items": []object{{
		"amount": p.total(), "items_id": p.subscription.product, "refundable_amount": p.total() - p.returned(), "tax": p.tax,
		"description": nil, "name": p.subscription.product,
	}}})
}
