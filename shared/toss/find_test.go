package toss_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/money"
)

func TestFindSaysWhatBecameOfAnOrder(t *testing.T) {
	failure := func(code any) map[string]any {
		return map[string]any{"status": "ABORTED", "approvedAt": nil, "failure": map[string]any{"code": code, "message": "message of toss"}}
	}
	unclear := billing.Outcome{Result: billing.Unclear}
	refused := func(code string, class billing.Class) billing.Outcome {
		return billing.Outcome{Result: billing.Refused, Code: code, Class: class}
	}
	taken := billing.Outcome{Result: billing.Taken, Payment: wantPayment}
	returned := func(all int64) billing.Outcome {
		o := taken
		o.Payment.Returned = all
		return o
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   billing.Outcome
		alarm  bool
	}{
		{"done", 200, payment(t, nil), taken, false},
		{"given back", 200, payment(t, map[string]any{"status": "CANCELED", "balanceAmount": 0}), returned(amount.Units), false},
		{"partly given back", 200, payment(t, map[string]any{"status": "PARTIAL_CANCELED", "balanceAmount": 1}), returned(amount.Units - 1), false},
		{"aborted, soft", 200, payment(t, failure("REJECT_CARD_PAYMENT")), refused("REJECT_CARD_PAYMENT", billing.Soft), false},
		{"aborted, passing", 200, payment(t, failure("NOT_AVAILABLE_BANK")), refused("NOT_AVAILABLE_BANK", billing.Passing), false},
		{"aborted, hard", 200, payment(t, failure("INVALID_STOPPED_CARD")), refused("INVALID_STOPPED_CARD", billing.Hard), false},
		{"aborted, ours", 200, payment(t, failure("INVALID_REQUEST")), refused("INVALID_REQUEST", billing.Soft), false},
		{"aborted, unknown", 200, payment(t, failure("A_CODE_OF_TOMORROW")), refused("A_CODE_OF_TOMORROW", billing.Soft), false},
		{"aborted, provider", 200, payment(t, failure("PROVIDER_ERROR")), refused("PROVIDER_ERROR", billing.Soft), false},
		{"aborted, no code", 200, payment(t, failure("no code <at all>")), refused("", billing.Soft), false},
		{"aborted, no failure", 200, payment(t, map[string]any{"status": "ABORTED", "failure": nil}), refused("", billing.Soft), false},
		{"expired", 200, payment(t, map[string]any{"status": "EXPIRED"}), refused("", billing.Soft), false},
		{"ready", 200, payment(t, map[string]any{"status": "READY"}), unclear, false},
		{"in progress", 200, payment(t, map[string]any{"status": "IN_PROGRESS"}), unclear, false},
		{"waiting", 200, payment(t, map[string]any{"status": "WAITING_FOR_DEPOSIT"}), unclear, false},
		{"new word", 200, payment(t, map[string]any{"status": "PAUSED"}), unclear, false},
		{"no status", 200, payment(t, map[string]any{"status": nil}), unclear, false},
		{"another amount", 200, payment(t, map[string]any{"totalAmount": 50000}), unclear, true},
		{"another type", 200, payment(t, map[string]any{"type": "NORMAL"}), unclear, true},
		{"another currency", 200, payment(t, map[string]any{"currency": "USD"}), unclear, true},
		{"another order", 200, payment(t, map[string]any{"orderId": "gl_other"}), unclear, true},
		{"aborted, another amount", 200, payment(t, map[string]any{"status": "ABORTED", "totalAmount": 1}), unclear, true},
		{"no payment", 404, `{"code":"NOT_FOUND_PAYMENT"}`, billing.Outcome{Result: billing.Absent, Code: "NOT_FOUND_PAYMENT"}, false},
		{"no payment, 400", 400, `{"code":"NOT_FOUND_PAYMENT"}`, billing.Outcome{Result: billing.Unclear, Code: "NOT_FOUND_PAYMENT"}, false},
		{"404 of somebody", 404, `{"code":"NOT_FOUND"}`, billing.Outcome{Result: billing.Unclear, Code: "NOT_FOUND"}, false},
		{"404 of a proxy", 404, `not here`, unclear, false},
		{"wrong secret", 401, `{"code":"UNAUTHORIZED_KEY"}`, billing.Outcome{Result: billing.Unclear, Code: "UNAUTHORIZED_KEY"}, false},
		{"too many", 429, `{}`, unclear, false},
		{"down", 503, `{"code":"COMMON_ERROR"}`, billing.Outcome{Result: billing.Unclear, Code: "COMMON_ERROR"}, false},
		{"garbage", 200, `<html>`, unclear, true},
		{"nothing", 200, ``, unclear, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l log
			g := gateway(t, "https://toss.example", says{status: c.status, body: c.body}, &l)
			got := g.Find(t.Context(), order, billing.Want{Amount: amount})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			if alarm := strings.Contains(l.String(), `"level":"ERROR"`); alarm != c.alarm {
				t.Errorf("got the log %s, want an alarm: %v", l.String(), c.alarm)
			}
			silent(t, &l)
		})
	}
}

func TestFindAsksForTheOrderAlone(t *testing.T) {
	s, url, transports := open(t)
	g := gateway(t, url+"/toss", transports["own"], &log{})
	g.Find(t.Context(), order, billing.Want{Amount: amount})
	requests, _, _ := s.seen()
	if diff := cmp.Diff([]string{"GET /toss/v1/payments/orders/" + order + " "}, requests); diff != "" {
		t.Errorf("requests: want -, got +\n%s", diff)
	}
	for _, id := range []string{"", "../../x", "a", strings.Repeat("a", 65)} {
		if got := g.Find(t.Context(), id, billing.Want{Amount: amount}); got.Result != billing.Unclear {
			t.Errorf("Find(%q): got %+v, want %s", id, got, billing.Unclear)
		}
	}
	if requests, _, _ := s.seen(); len(requests) != 1 {
		t.Errorf("got %q, want no request for what is no order of ours", requests)
	}
}

func TestFindInAnotherCurrencyIsUnclear(t *testing.T) {
	g := gateway(t, "https://toss.example", says{status: 200, body: payment(t, map[string]any{"currency": "USD"})}, &log{})
	if got := g.Find(t.Context(), order, billing.Want{Amount: money.Of(4900, "USD")}); got.Result != billing.Unclear {
		t.Errorf("got %+v, want %s", got, billing.Unclear)
	}
}
