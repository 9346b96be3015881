package dodo_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/dodo"
	"grantline/infra/sim/stage"
)

// paid gives a payment of 25 dollars and a tax of 2.50.
func (s *shop) paid() string {
	s.t.Helper()
	payment := s.charge(s.active(), "order-1", 2500)
	s.clock.Advance(time.Minute)
	return payment
}

func TestRefundIsOfAnItemOrOfAll(t *testing.T) {
	s := newShop(t, dodo.Options{})
	payment := s.paid()
	items := s.call("GET", "/payments/"+payment+"/line-items", nil).body["items"].([]any)[0].(fields)
	if items["items_id"] != "prod_1" || items["refundable_amount"] != 2750.0 {
		t.Errorf("line items: got %v, want all of prod_1 refundable", items)
	}
	item := func(id string, more fields) fields {
		one := fields{"item_id": id}
		for name, value := range more {
			one[name] = value
		}
		return fields{"payment_id": payment, "items": []any{one}, "metadata": fields{"reference": "r1"}, "reason": "late"}
	}
	s.want("another item", s.call("POST", "/refunds", item("prod_2", fields{"amount": 100})), 422, "INVALID_REQUEST_BODY")
	s.want("more than paid", s.call("POST", "/refunds", item("prod_1", fields{"amount": 2751})), 422, "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT")
	s.want("0", s.call("POST", "/refunds", item("prod_1", fields{"amount": 0})), 422, "INVALID_REQUEST_BODY")
	s.want("long reason", s.call("POST", "/refunds", fields{"payment_id": payment, "reason": strings.Repeat("r", 3001)}), 422, "INVALID_REQUEST_BODY")
	s.want("no payment", s.call("POST", "/refunds", fields{}), 422, "INVALID_REQUEST_BODY")
	s.want("unknown payment", s.call("POST", "/refunds", fields{"payment_id": "x"}), 404, "NOT_FOUND")

	part := s.call("POST", "/refunds", item("prod_1", fields{"amount": 1000}))
	s.want("part", part, 200, "")
	if part.body["is_partial"] != true || part.text("status") != "succeeded" || part.body["metadata"].(fields)["reference"] != "r1" {
		t.Errorf("part: got %s, want a partial one that succeeded", part.raw)
	}
	s.want("before tax", s.call("POST", "/refunds", item("prod_1", fields{"amount": 100, "tax_inclusive": false})), 200, "")
	got := s.call("GET", "/payments/"+payment, nil)
	if got.text("refund_status") != "partial" || len(got.body["refunds"].([]any)) != 2 {
		t.Errorf("payment: got %s, want two refunds", got.raw)
	}
	if _, ok := got.body["refunds"].([]any)[0].(fields)["metadata"]; ok {
		t.Error("payment: got metadata of a refund, want it only at the refund itself")
	}
	s.want("the rest", s.call("POST", "/refunds", fields{"payment_id": payment}), 200, "")
	s.want("again", s.call("POST", "/refunds", fields{"payment_id": payment}), 409, "PAYMENT_ALREADY_REFUNDED")
	if got := s.call("GET", "/payments/"+payment, nil).text("refund_status"); got != "full" {
		t.Errorf("payment: got %s, want full", got)
	}
	var amounts []int64
	for _, e := range s.Effects()[3:] {
		amounts = append(amounts, e.Amount)
	}
	if diff := cmp.Diff([]int64{1000, 110, 1640}, amounts); diff != "" {
		t.Errorf("refunds differ (-want +got):\n%s", diff)
	}
	s.clock.Advance(time.Minute)
	var listed []any
	for page := range 2 {
		got := s.call("GET", "/refunds?status=succeeded&page_size=2&created_at_gte=2026-03-01T00:00:00Z&page_number="+strconv.Itoa(page), nil)
		for _, each := range got.body["items"].([]any) {
			listed = append(listed, each.(fields)["amount"])
		}
	}
	if diff := cmp.Diff([]any{1640.0, 110.0, 1000.0}, listed); diff != "" {
		t.Errorf("list differs (-want +got):\n%s", diff)
	}
	s.want("bad page", s.call("GET", "/refunds?page_size=101", nil), 422, "INVALID_QUERY_PARAMS")
	s.want("unknown refund", s.call("GET", "/refunds/x", nil), 404, "NOT_FOUND")
}

func TestRefundMayTakeItsTimeOrFail(t *testing.T) {
	for status, want := range map[string][]string{"pending": {"refunded"}, "review": {"refunded"}, "failed": {"refundFailed"}} {
		s := newShop(t, dodo.Options{})
		payment := s.paid()
		before := len(s.Effects())
		s.must(s.Set(dodo.Settings{RefundStatus: &status}))
		made := s.call("POST", "/refunds", fields{"payment_id": payment})
		if made.text("status") != status {
			t.Errorf("got %s, want %s", made.text("status"), status)
		}
		if status != "failed" {
			s.want(status, s.call("POST", "/refunds", fields{"payment_id": payment}), 409, "PAYMENT_ALREADY_REFUNDED")
		}
		s.clock.Advance(time.Hour)
		if diff := cmp.Diff(want, s.kinds()[before:]); diff != "" {
			t.Errorf("%s: effects differ (-want +got):\n%s", status, diff)
		}
		types := s.types()
		if got := types[len(types)-1]; !strings.HasPrefix(got, "refund.") {
			t.Errorf("%s: got %s, want the news of it", status, got)
		}
	}
}

func TestRefundHasItsWindowAndItsPayment(t *testing.T) {
	s := newShop(t, dodo.Options{})
	id := s.active()
	open := s.charge(id, "order-1", 2500)
	s.want("open", s.call("POST", "/refunds", fields{"payment_id": open}), 409, "PAYMENT_NOT_SUCCEEDED")
	s.clock.Advance(90*24*time.Hour + time.Second)
	s.want("late", s.call("POST", "/refunds", fields{"payment_id": open}), 409, "REFUND_WINDOW_EXPIRED")
	window := stage.Duration(100 * 24 * time.Hour)
	s.must(s.Set(dodo.Settings{RefundWindow: &window}))
	s.want("with a longer window", s.call("POST", "/refunds", fields{"payment_id": open}), 200, "")
}

func TestSubscriptionCanBeEnded(t *testing.T) {
	s := newShop(t, dodo.Options{})
	id := s.active()
	s.want("another status", s.call("PATCH", "/subscriptions/"+id, fields{"status": "active"}), 422, "INVALID_REQUEST_BODY")
	s.want("pause", s.call("PATCH", "/subscriptions/"+id, fields{"pause": true}), 200, "")
	s.want("charge while paused", s.call("POST", "/subscriptions/"+id+"/charge", fields{"product_price": 100}), 409, "SUBSCRIPTION_INACTIVE")
	s.want("resume", s.call("PATCH", "/subscriptions/"+id, fields{"pause": false, "metadata": fields{"a": "b"}}), 200, "")
	got := s.call("PATCH", "/subscriptions/"+id, fields{"status": "cancelled"})
	if got.text("status") != dodo.Cancelled || got.text("cancelled_at") == "" {
		t.Errorf("got %s, want it cancelled", got.raw)
	}
	s.want("again", s.call("PATCH", "/subscriptions/"+id, fields{"status": "cancelled"}), 200, "")
	s.want("something else", s.call("PATCH", "/subscriptions/"+id, fields{"pause": true}), 409, "SUBSCRIPTION_INACTIVE")
	s.want("another card", s.call("POST", "/subscriptions/"+id+"/update-payment-method", fields{"type": "new"}), 409, "SUBSCRIPTION_INACTIVE")
	s.want("unknown", s.call("PATCH", "/subscriptions/x", fields{"status": "cancelled"}), 404, "NOT_FOUND")
	s.clock.Advance(0)
	s.wantEffects("ended", "mandateCreated", "mandateActive", "mandateCancelled")
	s.wantTypes("ended", "payment.succeeded", "subscription.active", "subscription.paused", "subscription.unpaused", "subscription.cancelled")

	later := s.active()
	s.call("PATCH", "/subscriptions/"+later, fields{"cancel_at_next_billing_date": true})
	s.clock.Advance(32 * 24 * time.Hour)
	if got := s.status("/subscriptions/" + later); got != dodo.Cancelled {
		t.Errorf("at the end of the period: got %s, want cancelled", got)
	}
}
