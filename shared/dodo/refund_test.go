package dodo_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/money"
)

// part is giving, of an amount less than the whole.
func part(key string, units, left int64) billing.Refunding {
	r := giving
	r.Key, r.Amount, r.Left = key, money.Of(units, "USD"), left
	return r
}

func TestRefundIsSentOnceAndFoundByItsKey(t *testing.T) {
	for _, c := range []struct {
		name  string
		r     billing.Refunding
		cart  any
		items string
		looks []string
	}{
		{"whole", giving, nil, ``, []string{"GET /payments/pay_1"}},
		{"part, the payment names the product", part("k1", 500, 1188), []has{{"product_id": "prod_eur", "quantity": 1}}, `"items":[{"item_id":"prod_eur","amount":500,"tax_inclusive":true}],`, []string{"GET /payments/pay_1"}},
		{"part, the mandate does", part("k1", 500, 999), nil, `"items":[{"item_id":"prod_usd","amount":500,"tax_inclusive":true}],`, []string{"GET /payments/pay_1", "GET /subscriptions/" + mandate}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, url, transports := open(t, paid("pay_1", has{"product_cart": c.cart}))
			var l log
			g := gateway(t, url, transports["own"], &l)
			if got := g.FindRefund(t.Context(), c.r); got.Result != billing.Absent {
				t.Errorf("before: got %+v, want %s", got, billing.Absent)
			}
			before, _ := s.seen()
			wanted := billing.Refunded{Result: billing.Taken, Transaction: "ref_1"}
			if diff := cmp.Diff(wanted, g.Refund(t.Context(), c.r)); diff != "" {
				t.Errorf("Refund: want -, got +\n%s", diff)
			}
			requests, effects := s.seen()
			if diff := cmp.Diff(append(c.looks, "POST /refunds"), requests[len(before):]); diff != "" || effects != 1 {
				t.Errorf("got %d effects, want 1; requests: want -, got +\n%s", effects, diff)
			}
			sent := `{"payment_id":"pay_1",` + c.items + `"reason":"asked for by the customer","metadata":{"order_id":"` + order + `","refund_key":"` + c.r.Key + `"}}`
			if diff := cmp.Diff(sent, s.bodies[len(s.bodies)-1]); diff != "" {
				t.Errorf("body: want -, got +\n%s", diff)
			}
			if diff := cmp.Diff(wanted, g.FindRefund(t.Context(), c.r)); diff != "" {
				t.Errorf("FindRefund: want -, got +\n%s", diff)
			}
			if diff := cmp.Diff(wanted, g.Refund(t.Context(), c.r)); diff != "" {
				t.Errorf("Refund again: want -, got +\n%s", diff)
			}
			if _, effects := s.seen(); effects != 1 {
				t.Errorf("again: got %d effects, want still 1", effects)
			}
			if other := part("another", 500, 688); g.FindRefund(t.Context(), other).Result != billing.Absent {
				t.Errorf("another refund: want %s", billing.Absent)
			}
			silent(t, &l)
		})
	}
}

func TestNoMoreIsGivenBackThanIsLeft(t *testing.T) {
	before := func(status string, units any) has {
		return paid("pay_1", has{"refunds": []has{{
			"refund_id": "ref_0", "status": status, "amount": units, "is_partial": true, "created_at": "2026-01-31T11:00:00Z", "metadata": has{},
		}}})
	}
	whole := before("succeeded", nil)
	whole["refunds"].([]has)[0]["is_partial"] = false
	for _, c := range []struct {
		name    string
		payment has
		r       billing.Refunding
		want    billing.Refunded
		alarm   bool
	}{
		{"all was given back", whole, giving, billing.Refunded{Result: billing.Refused, Code: "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT"}, false},
		{"too much was", before("succeeded", 700), part("k", 500, 500), billing.Refunded{Result: billing.Refused, Code: "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT"}, false},
		{"some was, we did not know", before("succeeded", 100), part("k", 500, 1188), billing.Refunded{Result: billing.Refused}, true},
		{"some is under way", before("pending", 700), part("k", 500, 500), billing.Refunded{Result: billing.Refused, Code: "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT"}, false},
		{"some failed", before("failed", 700), part("k", 500, 1188), billing.Refunded{Result: billing.Taken, Transaction: "ref_1"}, false},
		{"some was, we know", before("succeeded", 100), part("k", 500, 1088), billing.Refunded{Result: billing.Taken, Transaction: "ref_1"}, false},
		{"more than was paid", paid("pay_1", nil), part("k", 1189, 1189), billing.Refunded{Result: billing.Refused, Code: "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT"}, false},
		{"not to be added up", before("succeeded", nil), part("k", 500, 500), billing.Refunded{Result: billing.NotMade}, true},
		{"less than nothing was", before("succeeded", -700), part("k", 500, 500), billing.Refunded{Result: billing.NotMade}, true},
		{"another order's", paid("pay_1", has{"metadata": has{"order_id": "gl_another"}}), giving, billing.Refunded{Result: billing.NotMade, Misconfigured: true}, true},
		{"another currency", paid("pay_1", has{"currency": "EUR"}), giving, billing.Refunded{Result: billing.NotMade, Misconfigured: true}, true},
		{"not paid", paid("pay_1", has{"status": "failed"}), giving, billing.Refunded{Result: billing.NotMade, Misconfigured: true}, true},
		{"unknown", paid("pay_2", nil), giving, billing.Refunded{Result: billing.NotMade, Code: "NOT_FOUND", Misconfigured: true}, true},
		{"refunds unreadable", paid("pay_1", has{"refunds": nil}), giving, billing.Refunded{Result: billing.NotMade}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, url, transports := open(t, c.payment)
			var l log
			g := gateway(t, url, transports["own"], &l)
			if diff := cmp.Diff(c.want, g.Refund(t.Context(), c.r)); diff != "" || l.alarmed() != c.alarm {
				t.Errorf("got the log %s, want an alarm: %v; want -, got +\n%s", l.String(), c.alarm, diff)
			}
			if _, effects := s.seen(); effects > 0 && c.want.Result != billing.Taken {
				t.Errorf("got %d refunds, want none", effects)
			}
			silent(t, &l)
		})
	}
}

func TestEveryCodeOfARefundHasItsOutcome(t *testing.T) {
	table := map[billing.Refunded][]string{
		{Result: billing.Refused}: {
			"PAYMENT_ALREADY_REFUNDED", "PAYMENT_HAS_BEEN_REFUNDED", "NOTHING_TO_REFUND", "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT", "REFUND_WINDOW_EXPIRED",
			"PAYMENT_NOT_SUCCEEDED", "UNSUCCESSFUL_PAYMENT_ID", "PARTIAL_REFUND_NOT_ALLOWED", "ZERO_AMOUNT_PAYMENT_REFUND_NOT_ALLOWED",
			"LINE_ITEM_FULLY_REFUNDED", "LINE_ITEM_PRORATED", "LINE_ITEM_REFUND_AMOUNT_TOO_HIGH", "LINE_ITEM_REFUND_AMOUNT_TOO_LOW",
		},
		{Result: billing.NotMade, Misconfigured: true}: {
			"UNAUTHORIZED", "NOT_FOUND", "INVALID_REQUEST_BODY", "MERCHANT_NOT_LIVE", "LINE_ITEM_NOT_FOUND", "DUPLICATE_LINE_ITEMS_IN_REQUEST",
		},
		{Result: billing.NotMade, Again: 10 * time.Minute}: {"EXISTING_REFUND_REQUEST_PROCESSING"},
		{Result: billing.NotMade, Busy: true}:              {"TOO_MANY_REQUESTS"},
		{Result: billing.Unclear}:                          {"A_CODE_OF_TOMORROW", "SUBSCRIPTION_INACTIVE", "SUBSCRIPTION_EXPIRED", "INTERNAL_SERVER_ERROR"},
	}
	for wanted, codes := range table {
		for _, code := range codes {
			for status, outcome := range map[int]billing.Refunded{400: wanted, 409: wanted, 500: {Result: billing.Unclear}, 302: {Result: billing.Unclear}, 408: {Result: billing.Unclear}} {
				outcome.Code = code
				if diff := cmp.Diff(outcome, answered(t, status, fmt.Sprintf(`{"code":%q,"message":"message of dodo"}`, code))); diff != "" {
					t.Errorf("%d %s: want -, got +\n%s", status, code, diff)
				}
			}
		}
	}
}

func TestRefundIsWhatItsStatusSays(t *testing.T) {
	for text, wanted := range map[string]billing.Refunded{
		`{"payment_id":"pay_1","refund_id":"ref_7","status":"succeeded"}`: {Result: billing.Taken, Transaction: "ref_7"},
		`{"payment_id":"pay_1","refund_id":"ref_7","status":"pending"}`:   {Result: billing.Accepted, Transaction: "ref_7"},
		`{"payment_id":"pay_1","refund_id":"ref_7","status":"review"}`:    {Result: billing.Accepted, Transaction: "ref_7"},
		`{"payment_id":"pay_1","refund_id":"ref_7","status":"failed"}`:    {Result: billing.Refused, Transaction: "ref_7"},
		`{"payment_id":"pay_1","refund_id":"ref_7","status":"tomorrow"}`:  {Result: billing.Unclear, Transaction: "ref_7"},
		`{"payment_id":"pay_1","refund_id":"ref_7"}`:                      {Result: billing.Unclear, Transaction: "ref_7"},
		`{"payment_id":"pay_2","refund_id":"ref_7","status":"succeeded"}`: {Result: billing.Unclear},
		`{"payment_id":"pay_1","status":"succeeded"}`:                     {Result: billing.Unclear},
		`{}`:     {Result: billing.Unclear},
		`<html>`: {Result: billing.Unclear},
	} {
		if diff := cmp.Diff(wanted, answered(t, 200, text)); diff != "" {
			t.Errorf("%s: want -, got +\n%s", text, diff)
		}
	}
}

// answered makes a refund whose POST gets an answer.
func answered(t *testing.T, status int, text string) billing.Refunded {
	t.Helper()
	looked, err := json.Marshal(paid("pay_1", nil))
	if err != nil {
		t.Fatal(err)
	}
	var l log
	g := gateway(t, "https://dodo.example", byMethod{"GET": {200, string(looked)}, "POST": {status, text}}, &l)
	got := g.Refund(t.Context(), giving)
	silent(t, &l)
	return got
}

func TestRefundWithoutMetadataIsFoundByAmountAndTime(t *testing.T) {
	listed := func(change has) has {
		each := has{"refund_id": "ref_1", "payment_id": "pay_1", "status": "succeeded", "amount": 1188, "is_partial": false, "created_at": "2026-01-31T13:00:00Z"}
		for k, v := range change {
			each[k] = v
		}
		return each
	}
	for _, c := range []struct {
		name    string
		refunds []has
		want    billing.Result
	}{
		{"the same", []has{listed(nil)}, billing.Taken},
		{"all, no amount", []has{listed(has{"amount": nil})}, billing.Taken},
		{"some, no amount", []has{listed(has{"amount": nil, "is_partial": true})}, billing.Absent},
		{"another amount", []has{listed(has{"amount": 1187})}, billing.Absent},
		{"from before", []has{listed(has{"created_at": "2026-01-31T11:49:59Z"})}, billing.Absent},
		{"by a clock that is behind", []has{listed(has{"created_at": "2026-01-31T11:50:00Z"})}, billing.Taken},
		{"our key", []has{listed(has{"amount": 1, "metadata": has{"refund_key": giving.Key}})}, billing.Taken},
		{"another key", []has{listed(has{"metadata": has{"refund_key": "another"}})}, billing.Absent},
		{"somebody's", []has{listed(has{"metadata": has{}})}, billing.Absent},
		{"failed", []has{listed(has{"status": "failed"})}, billing.Refused},
		{"failed, then not", []has{listed(has{"status": "failed"}), listed(has{"refund_id": "ref_2", "status": "pending"})}, billing.Accepted},
		{"a new status", []has{listed(has{"status": "tomorrow"})}, billing.Unclear},
		{"no id", []has{listed(has{"refund_id": nil})}, billing.Unclear},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, url, transports := open(t, paid("pay_1", has{"refunds": c.refunds}))
			g := gateway(t, url, transports["own"], &log{})
			if got := g.FindRefund(t.Context(), giving); got.Result != c.want {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}

func TestRefundThatIsNotOursIsNotSent(t *testing.T) {
	s, url, transports := open(t, paid("pay_1", nil))
	var l log
	g := gateway(t, url, transports["own"], &l)
	for name, change := range map[string]func(*billing.Refunding){
		"order": func(r *billing.Refunding) { r.OrderID = "" }, "payment": func(r *billing.Refunding) { r.Payment = "../x" },
		"key": func(r *billing.Refunding) { r.Key = "" }, "long key": func(r *billing.Refunding) { r.Key = strings.Repeat("k", 301) },
		"amount": func(r *billing.Refunding) { r.Amount.Units = 0 }, "currency": func(r *billing.Refunding) { r.Amount.Currency = "" },
		"left": func(r *billing.Refunding) { r.Left = 1 }, "reason": func(r *billing.Refunding) { r.Reason = " " },
		"long reason": func(r *billing.Refunding) { r.Reason = strings.Repeat("r", 201) },
	} {
		r := giving
		change(&r)
		if got := g.Refund(t.Context(), r); got.Result != billing.NotMade || !got.Misconfigured {
			t.Errorf("%s: got %+v, want %s, misconfigured", name, got, billing.NotMade)
		}
	}
	if got := g.FindRefund(t.Context(), billing.Refunding{}); got.Result != billing.Unclear {
		t.Errorf("FindRefund of nothing: got %+v, want %s", got, billing.Unclear)
	}
	if requests, _ := s.seen(); len(requests) != 0 || !l.alarmed() {
		t.Errorf("got %q and the log %s, want no request and an error", requests, l.String())
	}
}
