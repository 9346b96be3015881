package dodo

import (
	"maps"
	"strconv"
	"time"
)

// The states of a subscription (Dodo Payments, SubscriptionStatus).
const (
	Pending   = "pending"
	Active    = "active"
	OnHold    = "on_hold"
	Paused    = "paused"
	Cancelled = "cancelled"
	Failed    = "failed"
	Expired   = "expired"
)

// Some states of a payment (Dodo Payments, IntentStatus). The empty one is null.
const (
	processing     = "processing"
	succeeded      = "succeeded"
	failed         = "failed"
	requiresMethod = "requires_payment_method"
)

// subscription is an agreement with a customer; on demand it is a mandate.
type subscription struct {
	id, status, product, currency string
	onDemand, endsAtNext          bool
	quantity, price               int64 // price before tax
	metadata                      map[string]any
	customer                      customer
	billing                       billing
	returnURL, method, card       string
	created, next, previous       time.Time
	ended, paused                 *time.Time
	open                          *payment // the last one begun
}

// customer is whom a subscription is with, as the real one shows them everywhere.
type customer struct {
	ID       string         `json:"customer_id"`
	Email    string         `json:"email"`
	Name     string         `json:"name"`
	Metadata map[string]any `json:"metadata"`
	Phone    *string        `json:"phone_number"`
}

type billing struct {
	Country string  `json:"country"`
	City    *string `json:"city"`
	State   *string `json:"state"`
	Street  *string `json:"street"`
	Zip     *string `json:"zipcode"`
}

// payment is one taking of money, or an approval that takes none.
type payment struct {
	id, status, code   string
	subscription       *subscription
	price, tax         int64
	currency           string
	metadata           map[string]any
	card, method, link string
	created, updated   time.Time
	shown              time.Time // in lists from then on
	approves           bool      // of the mandate: it is made with it
	updates            bool      // of the means of payment
	hidden             bool      // never in lists
	origin             string
	refunds            []*refund
	disputes           []*dispute
}

// dispute is what the payer's bank says of a payment.
type dispute struct {
	id, status string // dispute_opened, …
	amount     int64
	at         time.Time
}

// disputeWords are what becomes of a dispute, by its notices (Dodo Payments, DisputeStatus).
var disputeWords = []string{"opened", "challenged", "won", "lost", "accepted", "cancelled", "expired"}

// disputeStage is the one that all are at; the others come before and after it.
const disputeStage = "dispute"

// shownDispute is a dispute as its notices and its payment show it; it has no metadata.
func (s *Simulator) shownDispute(p *payment, d *dispute) object {
	return object{
		"amount": strconv.FormatInt(d.amount, 10), "business_id": s.business, "created_at": instant(d.at), "currency": p.currency,
		"dispute_id": d.id, "dispute_stage": disputeStage, "dispute_status": d.status, "payment_id": p.id, "remarks": nil,
	}
}

func (p *payment) total() int64 { return p.price + p.tax }

func (p *payment) terminal() bool {
	return p.status == succeeded || p.status == failed || p.status == "cancelled"
}

// returned is the money given back, or about to be.
func (p *payment) returned() (amount int64) {
	for _, r := range p.refunds {
		if r.status != failed {
			amount += r.amount
		}
	}
	return amount
}

// refund is money of a payment given back.
type refund struct {
	id, status, reason string
	payment            *payment
	amount             int64
	metadata           map[string]any
	created            time.Time
	origin             string
}

// object is an answer's JSON object. Times are RFC 3339 in UTC with microseconds.
type object map[string]any

const timeFormat = "2006-01-02T15:04:05.000000Z"

func instant(t time.Time) string { return t.UTC().Format(timeFormat) }

func optional(t *time.Time) any {
	if t == nil {
		return nil
	}
	return instant(*t)
}

// text is null for "".
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// last is the last four digits of a card, null for what is none.
func last(card string) any {
	if len(card) != 16 {
		return nil
	}
	return card[12:]
}

func kindOf(card string) (method, network any) {
	switch {
	case len(card) != 16:
		return "upi_collect", nil
	case card[0] == '5':
		return "card", "MASTERCARD"
	default:
		return "card", "VISA"
	}
}

// show is the subscription as GET answers it.
func (s *Simulator) show(sub *subscription) object {
	return object{
		"addons": []any{}, "billing": sub.billing, "brand_id": s.brand,
		"cancel_at_next_billing_date": sub.endsAtNext, "created_at": instant(sub.created),
		"credit_entitlement_cart": []any{}, "currency": sub.currency, "customer": sub.customer,
		"metadata": maps.Clone(sub.metadata), "meter_credit_entitlement_cart": []any{}, "meters": []any{},
		"next_billing_date": instant(sub.next), "on_demand": sub.onDemand,
		"payment_frequency_count": 1, "payment_frequency_interval": "Month",
		"previous_billing_date": instant(sub.previous), "product_id": sub.product, "quantity": sub.quantity,
		"recurring_pre_tax_amount": sub.price, "status": sub.status, "subscription_id": sub.id,
		"subscription_period_count": 20, "subscription_period_interval": "Year", "tax_inclusive": false,
		"trial_period_days": 0, "cancelled_at": optional(sub.ended), "paused_at": optional(sub.paused),
		"payment_method_id": text(sub.method), "expires_at": nil, "discount_id": nil, "tax_id": nil,
		"added_without_a_version": object{"kind": "simulated"},
	}
}

// item is the payment as a list shows it: what both answers have, and no error.
func (s *Simulator) item(p *payment) object {
	o := object{
		"brand_id": s.brand, "created_at": instant(p.created), "currency": p.currency, "customer": p.subscription.customer,
		"digital_products_delivered": false, "metadata": maps.Clone(p.metadata), "payment_id": p.id,
		"payment_provider": "dodo", "total_amount": p.total(), "status": text(p.status),
		"subscription_id": p.subscription.id, "card_last_four": last(p.card), "card_network": nil,
		"payment_method": nil, "payment_method_type": nil, "refund_status": refundStatus(p),
		"invoice_id": nil, "invoice_url": nil,
	}
	if p.card != "" {
		o["payment_method"], o["card_network"] = kindOf(p.card)
		o["payment_method_type"] = o["payment_method"]
	}
	return o
}

// full is the payment as GET answers it.
func (s *Simulator) full(p *payment) object {
	o := s.item(p)
	refunds := []any{}
	for _, r := range p.refunds {
		refunds = append(refunds, s.listed(r))
	}
	disputes := []any{}
	for _, d := range p.disputes {
		disputes = append(disputes, s.shownDispute(p, d))
	}
	maps.Copy(o, object{
		"billing": p.subscription.billing, "business_id": s.business, "disputes": disputes,
		"is_update_payment_method": p.updates, "refunds": refunds, "retry_attempt": 0,
		"settlement_amount": p.total(), "settlement_currency": p.currency, "settlement_tax": p.tax, "tax": p.tax,
		"error_code": text(p.code), "error_message": nil, "updated_at": instant(p.updated),
		"payment_link": text(p.link), "payment_method_id": text(p.method), "product_cart": nil,
		"card_issuing_country": nil, "checkout_session_id": nil, "discount_id": nil,
		"added_without_a_version": object{"kind": "simulated"},
	})
	if p.code != "" {
		o["error_message"] = "The payment failed. See the code."
	}
	return o
}

func refundStatus(p *payment) any {
	var amount int64
	for _, r := range p.refunds {
		if r.status == succeeded {
			amount += r.amount
		}
	}
	switch amount {
	case 0:
		return nil
	case p.total():
		return "full"
	default:
		return "partial"
	}
}

// listed is the refund as its payment shows it: without metadata.
func (s *Simulator) listed(r *refund) object {
	return object{
		"business_id": s.business, "created_at": instant(r.created), "is_partial": r.amount < r.payment.total(),
		"payment_id": r.payment.id, "refund_id": r.id, "status": r.status, "amount": r.amount,
		"currency": r.payment.currency, "reason": text(r.reason),
	}
}

// refundObject is the refund as GET answers it.
func (s *Simulator) refundObject(r *refund) object {
	o := s.listed(r)
	maps.Copy(o, object{"brand_id": s.brand, "customer": r.payment.subscription.customer, "metadata": maps.Clone(r.metadata)})
	return o
}
