package dodo

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
	"unicode/utf8"

	"grantline/infra/sim/stage"
)

// refund gives money of a payment back, each time that it is asked to.
func (s *Simulator) refund(q *query) stage.Answer {
	var in struct {
		PaymentID string                     `json:"payment_id"`
		Reason    string                     `json:"reason"`
		Metadata  map[string]json.RawMessage `json:"metadata"`
		Items     []struct {
			ID           string          `json:"item_id"`
			Amount       json.RawMessage `json:"amount"`
			TaxInclusive *bool           `json:"tax_inclusive"`
		} `json:"items"`
	}
	if !q.decode(&in) || in.PaymentID == "" {
		return refusal("INVALID_REQUEST_BODY", "payment_id is missing")
	}
	if utf8.RuneCountInString(in.Reason) > 3000 {
		return refusal("INVALID_REQUEST_BODY", "reason is of at most 3000 characters")
	}
	metadata, wrong := checkMetadata(in.Metadata)
	if wrong != "" {
		return refusal("INVALID_REQUEST_BODY", wrong)
	}
	if len(in.Items) > 1 {
		return refusal("INVALID_REQUEST_BODY", "a payment of a subscription has one item")
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.payments[in.PaymentID]
	if p == nil {
		return refusal("NOT_FOUND", "no such payment")
	}
	amount := p.total() - p.returned()
	for _, item := range in.Items {
		if item.ID != p.subscription.product {
			return refusal("INVALID_REQUEST_BODY", "item_id is no item of this payment")
		}
		if absent(item.Amount) {
			continue
		}
		asked, ok := whole(item.Amount)
		if !ok || asked < 1 {
			return refusal("INVALID_REQUEST_BODY", "amount is a whole number above 0")
		}
		amount = asked
		if item.TaxInclusive != nil && !*item.TaxInclusive && p.price > 0 {
			amount += asked * p.tax / p.price // and the tax on it
		}
	}
	r, code := s.giveBack(p, amount, in.Reason, metadata, "")
	if code != "" {
		return refusal(code, "")
	}
	return stage.JSON(http.StatusOK, s.refundObject(r))
}

// giveBack makes a refund, or says why there can be none.
func (s *Simulator) giveBack(p *payment, amount int64, reason string, metadata map[string]any, origin string) (*refund, string) {
	now := s.stage.Now()
	left := p.total() - p.returned()
	switch {
	case p.status != succeeded || p.total() == 0:
		return nil, "PAYMENT_NOT_SUCCEEDED"
	case left == 0:
		return nil, "PAYMENT_ALREADY_REFUNDED"
	case amount > left:
		return nil, "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT"
	case now.After(p.created.Add(time.Duration(*s.settings.RefundWindow))):
		return nil, "REFUND_WINDOW_EXPIRED"
	}
	r := &refund{
		id: s.id("ref"), status: *s.settings.RefundStatus, reason: reason, payment: p, amount: amount,
		metadata: metadata, created: now, origin: origin,
	}
	s.refunds[r.id] = r
	s.refunded = append(s.refunded, r)
	p.refunds, p.updated = append(p.refunds, r), now
	switch r.status {
	case succeeded, failed:
		s.decided(r)
	default:
		s.stage.Later(now.Add(time.Duration(*s.settings.RefundAfter)), func(context.Context) {
			s.mu.Lock()
			defer s.mu.Unlock()
			r.status = succeeded
			s.decided(r)
		})
	}
	return r, ""
}

// decided notes what became of a refund.
func (s *Simulator) decided(r *refund) {
	p := r.payment
	kind := map[string]string{succeeded: "refunded", failed: "refundFailed"}[r.status]
	s.stage.Record(stage.Effect{
		Kind: kind, OrderID: orderOf(p.metadata), Amount: r.amount, Currency: p.currency, PaymentKey: p.id,
		SubscriptionID: p.subscription.id, SKU: p.subscription.product, RefundID: r.id, Origin: r.origin,
	})
	s.send("refund."+r.status, orderOf(p.metadata), "Refund", func() object { return s.refundObject(r) })
}

// getRefund looks a refund up.
func (s *Simulator) getRefund(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.refunds[q.PathValue("refund")]
	if r == nil {
		return refusal("NOT_FOUND", "no such refund")
	}
	return stage.JSON(http.StatusOK, s.refundObject(r))
}
