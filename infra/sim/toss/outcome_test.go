package toss_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"grantline/infra/sim/stage"
	"grantline/infra/sim/toss"
)

func TestSameKeyGivesTheFirstAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		amount int64
		status int
		code   string
	}{
		{"an approval", 4900, 200, ""},
		{"a decline", 1401, 403, "REJECT_CARD_PAYMENT"},
		{"a refusal of fields", 99, 400, "BELOW_MINIMUM_AMOUNT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t, toss.Options{})
			path := "/v1/billing/" + s.issued(customer)
			first := s.call("POST", path, order("order-1", c.amount), "Idempotency-Key", "k")
			s.want("first", first, c.status, c.code)
			effects := len(s.Effects())
			// Another body under the same key is the same request to Toss.
			again := s.call("POST", path, order("order-2", 9900), "Idempotency-Key", "k")
			if again.raw != first.raw || again.status != first.status {
				t.Errorf("again: got %d %s, want the first answer", again.status, again.raw)
			}
			if !strings.HasSuffix(again.trace, ", "+first.trace) {
				t.Errorf("trace: got %q, want a new one and %q", again.trace, first.trace)
			}
			if got := len(s.Effects()); got != effects {
				t.Errorf("again: got %d effects, want %d", got, effects)
			}
		})
	}
}

func TestIdempotencyKeyCountsForOneTupleAnd15Days(t *testing.T) {
	s := newShop(t, toss.Options{})
	one, two := s.issued(customer), s.issued(customer)
	send := func(key, id string) reply {
		return s.call("POST", "/v1/billing/"+key, order(id, 4900), "Idempotency-Key", "k")
	}
	s.want("first", send(one, "order-1"), 200, "")
	s.want("another billing key", send(two, "order-2"), 200, "")
	s.want("another spelling of the path", send(strings.ReplaceAll(one, "=", "%3D"), "order-3"), 200, "")
	s.wantEffects("tuples", "issued", "issued", "charged", "charged", "charged")

	s.now.Add(15*24*3600 - 1)
	if got := send(one, "order-4").body["orderId"]; got != "order-1" {
		t.Errorf("within 15 days: got %v, want order-1", got)
	}
	s.now.Add(1)
	if got := send(one, "order-5").body["orderId"]; got != "order-5" {
		t.Errorf("after 15 days: got %v, want a charge of its own", got)
	}

	s.want("300 characters", s.call("POST", "/v1/billing/"+one, order("order-6", 4900), "Idempotency-Key", strings.Repeat("k", 300)), 200, "")
	s.want("301 characters", s.call("POST", "/v1/billing/"+one, order("order-7", 4900), "Idempotency-Key", strings.Repeat("k", 301)), 400, "INVALID_IDEMPOTENCY_KEY")
}

func TestRepeatInFlightIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		keys   [2]string
		status int
		code   string
	}{
		{"same key", [2]string{"k", "k"}, 409, "IDEMPOTENT_REQUEST_PROCESSING"},
		{"another key, same order", [2]string{"k1", "k2"}, 403, "FORBIDDEN_CONSECUTIVE_REQUEST"},
		{"no key, same order", [2]string{}, 403, "FORBIDDEN_CONSECUTIVE_REQUEST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t, toss.Options{})
			path := "/v1/billing/" + s.issued(customer)
			s.must(s.Fault(stage.Fault{Endpoint: toss.Charge, Delay: stage.Duration(90 * time.Second), Count: 2}))
			replies := make(chan reply, 2)
			for _, key := range c.keys {
				go func() {
					got, err := s.send(t.Context(), "POST", path, order("order-1", 4900), "Idempotency-Key", key)
					if err != nil {
						t.Errorf("got %v, want an answer", err)
					}
					replies <- got
				}()
			}
			s.want("the later one", <-replies, c.status, c.code)
			s.want("look-up meanwhile", s.call("GET", "/v1/payments/orders/order-1", nil), 404, "NOT_FOUND_PAYMENT")
			s.Close() // ends the delay
			s.want("the earlier one", <-replies, 200, "")
			s.want("look-up afterwards", s.call("GET", "/v1/payments/orders/order-1", nil), 200, "")
			s.wantEffects("once", "issued", "charged")
		})
	}
}

func TestLostAnswerTellsNothingAndTheLogTellsAll(t *testing.T) {
	for _, when := range []string{stage.Before, stage.After} {
		for _, how := range []string{stage.Hang, stage.Reset, stage.Error} {
			for _, endpoint := range []string{toss.Charge, toss.Issue, toss.Cancel} {
				t.Run(when+" "+how+" "+endpoint, func(t *testing.T) {
					s := newShop(t, toss.Options{HangLimit: time.Millisecond})
					key := s.issued(customer)
					path, body, effect := "/v1/billing/"+key, any(order("order-1", 4900)), "charged"
					switch endpoint {
					case toss.Issue:
						path, body, effect = "/v1/billing/authorizations/issue", map[string]any{"authKey": "a", "customerKey": customer}, "issued"
					case toss.Cancel:
						paid := s.call("POST", path, order("order-0", 4900))
						path, body, effect = "/v1/payments/"+paid.body["paymentKey"].(string)+"/cancel", map[string]any{"cancelReason": "r"}, "cancelled"
					}
					before := s.kinds()
					s.must(s.Fault(stage.Fault{Endpoint: endpoint, When: when, How: how}))

					got, err := s.send(t.Context(), "POST", path, body, "Idempotency-Key", "k")
					if how == stage.Error {
						if err != nil || got.status != 500 {
							t.Errorf("got %d, %v; want 500", got.status, err)
						}
					} else if err == nil {
						t.Errorf("got %d, want no answer", got.status)
					}
					want := before
					if when == stage.After {
						want = append(before, effect)
					}
					s.wantEffects("after the fault", want...)

					s.want("again", s.call("POST", path, body, "Idempotency-Key", "k"), 200, "")
					s.wantEffects("after the repeat", append(before, effect)...)
				})
			}
		}
	}
}

func TestHangEndsWhenTheCallerGivesUp(t *testing.T) {
	s := newShop(t, toss.Options{HangLimit: time.Hour})
	path := "/v1/billing/" + s.issued(customer)
	s.must(s.Fault(stage.Fault{Endpoint: toss.Charge, When: stage.After, How: stage.Hang}))
	ctx, giveUp := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := s.send(ctx, "POST", path, order("order-1", 4900))
		failed <- err
	}()
	for len(s.Effects()) < 2 {
		select {
		case err := <-failed:
			t.Fatalf("got %v, want the call to hang", err)
		case <-time.After(time.Millisecond):
		}
	}
	giveUp()
	if err := <-failed; err == nil {
		t.Error("got an answer, want none")
	}
	closed := make(chan struct{})
	go func() {
		s.server.Close() // waits for its handlers
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		s.Close()
		t.Error("the call still hangs a minute after its caller gave up, want it dropped")
	}
}

func TestFaultIsForOneEndpointAndOneID(t *testing.T) {
	s := newShop(t, toss.Options{})
	path := "/v1/billing/" + s.issued(customer)
	s.must(s.Fault(stage.Fault{Endpoint: toss.Charge, ID: "order-2", When: stage.Before, How: stage.Error, Count: 2}))
	s.want("another order", s.call("POST", path, order("order-1", 4900)), 200, "")
	s.want("another endpoint", s.call("GET", "/v1/payments/orders/order-2", nil), 404, "NOT_FOUND_PAYMENT")
	for range 2 {
		s.want("this order", s.call("POST", path, order("order-2", 4900)), 500, "FAILED_INTERNAL_SYSTEM_PROCESSING")
	}
	s.want("used up", s.call("POST", path, order("order-2", 4900)), 200, "")
	for _, bad := range []stage.Fault{
		{},
		{Endpoint: "charges", When: stage.After, How: stage.Hang},
		{When: "during", How: stage.Hang},
		{When: stage.After, How: "502"},
		{Delay: stage.Duration(91 * time.Second)},
		{Delay: stage.Duration(-1)},
	} {
		if err := s.Fault(bad); err == nil {
			t.Errorf("fault %+v: got nil, want it refused", bad)
		}
	}
}

func TestUnkindnessComesFromTheSeed(t *testing.T) {
	pattern := func(options toss.Options) (failed string) {
		options.HangLimit = time.Millisecond
		s := newShop(t, options)
		for range 60 {
			got, err := s.send(t.Context(), "GET", "/v1/payments/nothing", nil)
			switch {
			case err != nil:
				failed += "x"
			case got.status == 500:
				failed += "5"
			default:
				failed += "."
			}
		}
		return failed
	}
	if got, want := pattern(toss.Options{Seed: 1}), strings.Repeat(".", 60); got != want {
		t.Errorf("0 %%: got %s, want %s", got, want)
	}
	half := pattern(toss.Options{Seed: 1, Unkind: 50})
	if !strings.Contains(half, ".") || !strings.Contains(half, "x") || !strings.Contains(half, "5") {
		t.Errorf("50 %%: got %s, want all kinds of outcomes", half)
	}
	if again := pattern(toss.Options{Seed: 1, Unkind: 50}); again != half {
		t.Errorf("same seed: got %s, want %s", again, half)
	}
	if got := pattern(toss.Options{Unkind: 100}); strings.Contains(got, ".") {
		t.Errorf("100 %%: got %s, want no call to go well", got)
	}
}

func TestMagicAmounts(t *testing.T) {
	s := newShop(t, toss.Options{HangLimit: time.Millisecond})
	path := "/v1/billing/" + s.issued(customer)
	s.want("401", s.call("POST", path, order("order-401", 5401)), 403, "REJECT_CARD_PAYMENT")
	s.want("402", s.call("POST", path, order("order-402", 5402)), 400, "INVALID_STOPPED_CARD")
	s.want("500", s.call("POST", path, order("order-500", 5500)), 500, "FAILED_INTERNAL_SYSTEM_PROCESSING")
	s.want("500 is no payment", s.call("GET", "/v1/payments/orders/order-500", nil), 404, "NOT_FOUND_PAYMENT")
	s.wantEffects("declined", "issued", "declined", "declined")
	if got, err := s.send(t.Context(), "POST", path, order("order-503", 5503), "Idempotency-Key", "k"); err == nil {
		t.Errorf("503: got %d, want no answer", got.status)
	}
	s.wantEffects("503", "issued", "declined", "declined", "charged")
	s.want("503 again", s.call("POST", path, order("order-503", 5503), "Idempotency-Key", "k"), 200, "")
	s.want("503 found", s.call("GET", "/v1/payments/orders/order-503", nil), 200, "")
}

func TestScriptedDeclines(t *testing.T) {
	s := newShop(t, toss.Options{})
	path := "/v1/billing/" + s.issued(customer)
	s.must(s.Decline(toss.Decline{Code: "INVALID_CARD_EXPIRATION", OrderID: "order-2"}))
	s.must(s.Decline(toss.Decline{Code: "EXCEED_MAX_AMOUNT", CustomerKey: "somebody-else"}))
	s.want("another order", s.call("POST", path, order("order-1", 4900)), 200, "")
	s.want("this order", s.call("POST", path, order("order-2", 4900)), 400, "INVALID_CARD_EXPIRATION")
	s.must(s.Decline(toss.Decline{Code: "NEVER_HEARD_OF", Status: 418, CustomerKey: customer, Count: 2}))
	s.want("unknown code", s.call("POST", path, order("order-3", 4900)), 418, "NEVER_HEARD_OF")
	s.want("unknown code", s.call("POST", path, order("order-4", 4900)), 418, "NEVER_HEARD_OF")
	s.must(s.Decline(toss.Decline{Code: "PROVIDER_ERROR", Paid: true}))
	s.want("paid all the same", s.call("POST", path, order("order-5", 4900)), 400, "PROVIDER_ERROR")
	s.want("found", s.call("GET", "/v1/payments/orders/order-5", nil), 200, "")
	s.wantEffects("declines", "issued", "charged", "declined", "declined", "declined", "charged")
	for _, bad := range []toss.Decline{{}, {Code: "NEVER_HEARD_OF"}, {Code: "REJECT_CARD_PAYMENT", Status: 200}} {
		if err := s.Decline(bad); err == nil {
			t.Errorf("decline %+v: got nil, want it refused", bad)
		}
	}
}

func TestOrderIDIsChargedOnce(t *testing.T) {
	s := newShop(t, toss.Options{})
	path := "/v1/billing/" + s.issued(customer)
	s.want("first", s.call("POST", path, order("order-1", 4900), "Idempotency-Key", "k1"), 200, "")
	s.want("another key", s.call("POST", path, order("order-1", 4900), "Idempotency-Key", "k2"), 400, "DUPLICATED_ORDER_ID")
	s.want("no key", s.call("POST", path, order("order-1", 4900)), 400, "DUPLICATED_ORDER_ID")
	s.want("declined", s.call("POST", path, order("order-2", 5401)), 403, "REJECT_CARD_PAYMENT")
	s.want("declined, again", s.call("POST", path, order("order-2", 4900)), 200, "")

	no := false
	s.must(s.Set(toss.Settings{DeclinedOrderReuse: &no}))
	s.want("declined", s.call("POST", path, order("order-3", 5401)), 403, "REJECT_CARD_PAYMENT")
	s.want("declined, again, by the switch", s.call("POST", path, order("order-3", 4900)), 400, "DUPLICATED_ORDER_ID")
}

func TestSwitchesForWhatNobodyKnows(t *testing.T) {
	s := newShop(t, toss.Options{})
	path := "/v1/billing/" + s.issued(customer)
	s.want("declined", s.call("POST", path, order("order-1", 5401)), 403, "REJECT_CARD_PAYMENT")
	s.want("look-up", s.call("GET", "/v1/payments/orders/order-1", nil), 404, "NOT_FOUND_PAYMENT")
	aborted := "aborted"
	s.must(s.Set(toss.Settings{DeclinedLookup: &aborted}))
	got := s.call("GET", "/v1/payments/orders/order-1", nil)
	if failure, _ := got.body["failure"].(map[string]any); got.body["status"] != "ABORTED" || failure["code"] != "REJECT_CARD_PAYMENT" {
		t.Errorf("look-up: got %s, want ABORTED with its failure", got.raw)
	}
	if got.body["approvedAt"] != nil {
		t.Errorf("approvedAt: got %v, want null", got.body["approvedAt"])
	}

	fail := func() {
		s.must(s.Decline(toss.Decline{Code: "FAILED_CARD_COMPANY_RESPONSE"}))
	}
	fail()
	s.want("5xx", s.call("POST", path, order("order-2", 4900), "Idempotency-Key", "k2"), 500, "FAILED_CARD_COMPANY_RESPONSE")
	s.want("5xx, again", s.call("POST", path, order("order-2", 4900), "Idempotency-Key", "k2"), 200, "")
	yes := true
	s.must(s.Set(toss.Settings{Store5xx: &yes}))
	fail()
	s.want("5xx", s.call("POST", path, order("order-3", 4900), "Idempotency-Key", "k3"), 500, "FAILED_CARD_COMPANY_RESPONSE")
	s.want("5xx, again, by the switch", s.call("POST", path, order("order-3", 4900), "Idempotency-Key", "k3"), 500, "FAILED_CARD_COMPANY_RESPONSE")

	odd := "500"
	if err := s.Set(toss.Settings{DeclinedLookup: &odd}); err == nil {
		t.Error("declinedLookup 500: got nil, want it refused")
	}
}

func TestRateLimitIs429AndChangesNothing(t *testing.T) {
	s := newShop(t, toss.Options{})
	path := "/v1/billing/" + s.issued(customer)
	s.must(s.LimitRate(toss.RateLimit{Endpoint: toss.Charge, Count: 1}))
	s.want("look-up", s.call("GET", "/v1/payments/nothing", nil), 404, "NOT_FOUND_PAYMENT")
	s.want("charge", s.call("POST", path, order("order-1", 4900), "Idempotency-Key", "k"), 429, "TOO_MANY_REQUESTS")
	s.want("charge again", s.call("POST", path, order("order-1", 4900), "Idempotency-Key", "k"), 200, "")

	two := 2
	s.now.Add(60)
	s.must(s.LimitRate(toss.RateLimit{PerMinute: &two}))
	for i, want := range []int{404, 404, 429, 429} {
		if got := s.call("GET", "/v1/payments/nothing", nil).status; got != want {
			t.Errorf("call %d of the minute: got %d, want %d", i+1, got, want)
		}
	}
	s.now.Add(60)
	s.want("next minute", s.call("GET", "/v1/payments/nothing", nil), 404, "NOT_FOUND_PAYMENT")
	if err := s.LimitRate(toss.RateLimit{}); err == nil {
		t.Error("no limit at all: got nil, want it refused")
	}
}

func TestTestCodeIsForTestShops(t *testing.T) {
	s := newShop(t, toss.Options{})
	const header = "TossPayments-Test-Code"
	s.want("before any check", s.call("POST", "/v1/billing/nothing", "not even JSON", header, "REJECT_CARD_PAYMENT"), 403, "REJECT_CARD_PAYMENT")
	s.want("in flight", s.call("POST", "/v1/billing/nothing", "{}", header, "IDEMPOTENT_REQUEST_PROCESSING"), 409, "IDEMPOTENT_REQUEST_PROCESSING")
	s.want("unknown", s.call("POST", "/v1/billing/nothing", "{}", header, "NEVER_HEARD_OF"), 400, "INVALID_TEST_CODE")
	s.want("live shop", s.call("POST", "/v1/billing/nothing", order("order-1", 4900), header, "REJECT_CARD_PAYMENT",
		"Authorization", basic(s.LiveSecretKey()+":")), 400, "INVALID_BILL_KEY_REQUEST")
}

func TestCancelGivesBackWhatIsLeft(t *testing.T) {
	s := newShop(t, toss.Options{})
	path := "/v1/billing/" + s.issued(customer)
	pay := func(id string) string {
		return "/v1/payments/" + s.call("POST", path, order(id, 11000)).body["paymentKey"].(string) + "/cancel"
	}
	whole, part := pay("order-1"), pay("order-2")
	body := func(fields ...any) map[string]any {
		out := map[string]any{"cancelReason": "asked for"}
		for i := 0; i < len(fields); i += 2 {
			out[fields[i].(string)] = fields[i+1]
		}
		return out
	}
	state := func(got reply) []any {
		return []any{got.body["status"], got.body["balanceAmount"], got.body["vat"]}
	}
	check := func(what string, got reply, want ...any) {
		t.Helper()
		s.want(what, got, 200, "")
		for i, value := range state(got) {
			if value != want[i] {
				t.Errorf("%s: got %v, want %v", what, state(got), want)
				return
			}
		}
	}
	s.want("no reason", s.call("POST", whole, map[string]any{}), 400, "INVALID_REQUEST")
	s.want("long reason", s.call("POST", whole, map[string]any{"cancelReason": strings.Repeat("r", 201)}), 400, "INVALID_REQUEST")
	s.want("negative", s.call("POST", whole, body("cancelAmount", -1)), 400, "INVALID_REQUEST")
	s.want("more than there is", s.call("POST", whole, body("cancelAmount", 11001)), 403, "NOT_CANCELABLE_AMOUNT")
	s.want("another balance", s.call("POST", whole, body("cancelAmount", 1000, "refundableAmount", 10000)), 400, "NOT_MATCHES_REFUNDABLE_AMOUNT")
	check("whole", s.call("POST", whole, body("refundableAmount", 11000)), "CANCELED", 0.0, 0.0)
	s.want("whole, again", s.call("POST", whole, body()), 400, "ALREADY_CANCELED_PAYMENT")
	check("part", s.call("POST", part, body("cancelAmount", 5500, "refundableAmount", 11000)), "PARTIAL_CANCELED", 5500.0, 500.0)
	check("the rest", s.call("POST", part, body()), "PARTIAL_CANCELED", 0.0, 0.0)
	s.want("the rest, again", s.call("POST", part, body()), 403, "NOT_CANCELABLE_AMOUNT")
	s.want("unknown", s.call("POST", "/v1/payments/nothing/cancel", body()), 404, "NOT_FOUND_PAYMENT")
	s.want("cancelled orderId", s.call("POST", path, order("order-1", 11000)), 400, "DUPLICATED_ORDER_ID")
	var returned int64
	for _, e := range s.Effects() {
		if e.Kind == "cancelled" {
			returned += e.Amount
		}
	}
	if returned != 22000 {
		t.Errorf("given back: got %d, want 22000", returned)
	}
}
