package dodo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/dodo"
	"grantline/shared/fault"
	"grantline/shared/money"
)

func TestChargeIsOneRequestThatCarriesItsOrder(t *testing.T) {
	s, url, transports := open(t)
	var l log
	g := gateway(t, url+"/", transports["own"], &l)
	got := g.Charge(t.Context(), order, card, body(t, g))
	wanted := billing.Outcome{Result: billing.Accepted, Payment: billing.Payment{Key: "pay_1"}}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("Charge: want -, got +\n%s", diff)
	}
	requests, effects := s.seen()
	if diff := cmp.Diff([]string{"POST /subscriptions/" + mandate + "/charge"}, requests); diff != "" || effects != 1 {
		t.Errorf("got %d effects, want 1; requests: want -, got +\n%s", effects, diff)
	}
	if diff := cmp.Diff(string(body(t, g)), s.bodies[0]); diff != "" {
		t.Errorf("body: want -, got +\n%s", diff)
	}
	if !strings.Contains(l.String(), order) {
		t.Errorf("got the log %s, want the order in it", l.String())
	}
	silent(t, &l)
}

// Dodo does what it is asked to as often as it is asked to, and that is what is said.
func TestChargesAreNotRepeatable(t *testing.T) {
	s, url, transports := open(t)
	g := gateway(t, url, transports["own"], &log{})
	if g.Repeats() {
		t.Errorf("Repeats: got true, want false")
	}
	for range 2 {
		g.Charge(t.Context(), order, card, body(t, g))
	}
	if _, effects := s.seen(); effects != 2 {
		t.Errorf("got %d charges of two sends, want 2", effects)
	}
}

func TestEveryCodeOfAChargeHasItsOutcome(t *testing.T) {
	refused := func(class billing.Class) billing.Outcome {
		return billing.Outcome{Result: billing.Refused, Class: class}
	}
	var (
		unclear = billing.Outcome{Result: billing.Unclear}
		ours    = billing.Outcome{Result: billing.NotMade, Misconfigured: true}
		busy    = billing.Outcome{Result: billing.NotMade, Busy: true}
		pending = billing.Outcome{Result: billing.NotMade, Again: 10 * time.Minute}
	)
	// Which status a code comes with is not documented: any that decides will do.
	for code, wanted := range map[string]billing.Outcome{
		"PREVIOUS_PAYMENT_PENDING":                      pending,
		"SUBSCRIPTION_INACTIVE":                         refused(billing.Passing),
		"SUBSCRIPTION_EXPIRED":                          refused(billing.Hard),
		"SUBSCRIPTION_PAYMENT_RETRY_LIMIT_EXCEEDED":     refused(billing.Hard),
		"CHARGE_NOT_ALLOWED_FOR_SCHEDULED_CANCELLATION": refused(billing.Hard),
		"SUBSCRIPTION_NOT_ON_DEMAND":                    ours,
		"INVALID_REQUEST_BODY":                          ours,
		"REQUEST_AMOUNT_BELOW_MINIMUM":                  ours,
		"TOTAL_PAYMENT_AMOUNT_BELOW_MINIMUM_AMOUNT":     ours,
		"UNSUPPORTED_CURRENCY":                          ours,
		"UNSUPPORTED_PAYMENT_CURRENCY":                  ours,
		"MERCHANT_NOT_LIVE":                             ours,
		"UNAUTHORIZED":                                  ours,
		"NOT_FOUND":                                     ours,
		"TOO_MANY_REQUESTS":                             busy,
		"INTERNAL_SERVER_ERROR":                         unclear,
	} {
		for _, status := range []int{400, 401, 403, 404, 409, 410, 422} {
			asked(t, status, code, wanted)
		}
		for _, status := range []int{202, 302, 307, 408, 500, 502, 503, 504, 599} {
			asked(t, status, code, unclear)
		}
		asked(t, 429, code, busy)
	}
	for _, code := range []string{"A_CODE_OF_TOMORROW", "", "PAYMENT_ALREADY_REFUNDED"} {
		for status, wanted := range map[int]billing.Outcome{
			400: unclear, 401: ours, 402: unclear, 403: ours, 404: ours, 405: unclear, 408: unclear, 409: unclear, 410: unclear, 413: unclear,
			422: ours, 425: unclear, 429: busy, 499: unclear, 500: unclear, 503: unclear,
		} {
			if code == "PAYMENT_ALREADY_REFUNDED" && status != 429 {
				wanted = unclear // it is no answer to a charge
			}
			asked(t, status, code, wanted)
		}
	}
}

// asked makes one charge whose answer is a status and a code.
func asked(t *testing.T, status int, code string, wanted billing.Outcome) {
	t.Helper()
	var l log
	g := gateway(t, "https://dodo.example", says{status, fmt.Sprintf(`{"code":%q,"message":"message of dodo"}`, code)}, &l)
	got := g.Charge(t.Context(), order, card, body(t, g))
	wanted.Code = code
	if status < 300 {
		wanted.Code = got.Code
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("%d %s: want -, got +\n%s", status, code, diff)
	}
	if got.Misconfigured != strings.Contains(l.String(), "dodo refused us") {
		t.Errorf("%d %s: got the log %s, want an alarm: %v", status, code, l.String(), got.Misconfigured)
	}
	silent(t, &l)
}

func TestAnswerThatNamesNoPaymentIsUnclear(t *testing.T) {
	for _, text := range []string{
		"", "<html>", "null", "[]", `"pay_1"`, "{", "{}", `{"payment_id":null}`, `{"payment_id":7}`, `{"payment_id":""}`, `{"payment_id":"../pay"}`,
		`{"PAYMENT_ID":"pay_1"}`, "{\"payment_id\":\"pay\xff\"}", `{"payment_id":"` + strings.Repeat("p", 101) + `"}`,
	} {
		var l log
		g := gateway(t, "https://dodo.example", says{200, text}, &l)
		got := g.Charge(t.Context(), order, card, body(t, g))
		if diff := cmp.Diff(billing.Outcome{Result: billing.Unclear}, got); diff != "" || !l.alarmed() {
			t.Errorf("%q: got the log %s, want an alarm; want -, got +\n%s", text, l.String(), diff)
		}
	}
}

func TestBodyOfAnotherOrderIsNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		order string
		card  billing.Card
		body  string
	}{
		"another order":   {"gl_another", card, ""},
		"no mandate":      {order, billing.Card{}, ""},
		"a path":          {order, billing.Card{BillingKey: "../payments"}, ""},
		"no JSON":         {order, card, "{"},
		"no metadata":     {order, card, `{"product_price":999,"product_currency":"USD"}`},
		"no amount":       {order, card, `{"product_currency":"USD","metadata":{"order_id":"` + order + `"}}`},
		"no currency":     {order, card, `{"product_price":999,"metadata":{"order_id":"` + order + `"}}`},
		"an id too short": {"gl", card, `{"product_price":999,"product_currency":"USD","metadata":{"order_id":"gl"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			s, url, transports := open(t)
			var l log
			g := gateway(t, url, transports["own"], &l)
			if c.body == "" {
				c.body = string(body(t, g))
			}
			got := g.Charge(t.Context(), c.order, c.card, []byte(c.body))
			if diff := cmp.Diff(billing.Outcome{Result: billing.NotMade, Misconfigured: true}, got); diff != "" || !l.alarmed() {
				t.Errorf("got the log %s; want -, got +\n%s", l.String(), diff)
			}
			if requests, _ := s.seen(); len(requests) != 0 {
				t.Errorf("got %q, want no request", requests)
			}
		})
	}
}

func TestComposeIsTheSameBytes(t *testing.T) {
	g := gateway(t, "https://dodo.example", says{}, &log{})
	full := request
	full.Name, full.Email, full.Customer, full.CustomerKey, full.TaxFree, full.Attempt, full.FeesIncluded = "프리미엄", email, "Alex Payer", "key", 9, 3, true
	for wanted, r := range map[string]billing.Request{
		`{"product_price":999,"product_currency":"USD","product_description":"Premium, a month","adaptive_currency_fees_inclusive":false,"metadata":{"order_id":"gl_7f3k2m9q4t5w8x1z"}}`:        request,
		`{"product_price":999,"product_currency":"USD","product_description":"프리미엄","adaptive_currency_fees_inclusive":true,"metadata":{"order_id":"gl_7f3k2m9q4t5w8x1z","retry_attempt":"2"}}`: full,
	} {
		for range 3 {
			got, err := g.Compose(r)
			if err != nil || string(got) != wanted {
				t.Errorf("Compose(%+v): got %s, %v, want %s", r, got, err, wanted)
			}
		}
	}
}

func TestComposeNamesTheFieldAtFault(t *testing.T) {
	g := gateway(t, "https://dodo.example", says{}, &log{})
	for field, changes := range map[string][]func(*billing.Request){
		"orderId": {
			func(r *billing.Request) { r.OrderID = "" }, func(r *billing.Request) { r.OrderID = "short" },
			func(r *billing.Request) { r.OrderID = strings.Repeat("a", 65) }, func(r *billing.Request) { r.OrderID = "gl_with=sign" },
			func(r *billing.Request) { r.OrderID = "gl_line\n" },
		},
		"currency": {
			func(r *billing.Request) { r.Amount.Currency = "" }, func(r *billing.Request) { r.Amount.Currency = "usd" },
			func(r *billing.Request) { r.Amount.Currency = "USDT" }, func(r *billing.Request) { r.Amount.Currency = "USD\n" },
		},
		"amount": {func(r *billing.Request) { r.Amount.Units = 0 }, func(r *billing.Request) { r.Amount.Units = -1 }},
		"orderName": {
			func(r *billing.Request) { r.Name = "" }, func(r *billing.Request) { r.Name = " " },
			func(r *billing.Request) { r.Name = strings.Repeat("가", 101) }, func(r *billing.Request) { r.Name = "a\xff" },
		},
	} {
		for i, change := range changes {
			r := request
			change(&r)
			got, err := g.Compose(r)
			if !errors.Is(err, fault.Invalid) || fault.Code(err) != "invalid_charge" || !strings.Contains(fmt.Sprint(err), field+" should be") || got != nil {
				t.Errorf("%s, change %d: got %q, %v, want fault.Invalid that names the field", field, i, got, err)
			}
		}
	}
	got, err := g.Compose(billing.Request{OrderID: strings.Repeat("Z", 64), Amount: money.Of(1<<53, "KRW"), Name: strings.Repeat("가", 100)})
	if err != nil || !json.Valid(got) {
		t.Errorf("the most: got %s, %v, want a body", got, err)
	}
}

func TestKeyIsRenewedOnceWhenRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		fresh  string
		err    error
		accept string
		want   billing.Result
		asked  int
	}{
		{"rotated", newKey, nil, newKey, billing.Accepted, 2},
		{"rotated, and refused too", newKey, nil, "another", billing.NotMade, 2},
		{"the same", apiKey, nil, newKey, billing.NotMade, 1},
		{"not to be had", "", errors.New("vault says " + newKey), newKey, billing.NotMade, 1},
		{"good as it is", newKey, nil, apiKey, billing.Accepted, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, freshly := 0, 0
			url, transports := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				if r.Header.Get("Authorization") != "Bearer "+c.accept {
					w.WriteHeader(http.StatusUnauthorized)
					fmt.Fprint(w, `{"code":"UNAUTHORIZED","message":"message of dodo"}`)
					return
				}
				fmt.Fprint(w, `{"payment_id":"pay_1"}`)
			}))
			var l log
			g := gateway(t, url, transports["own"], &l, func(config *dodo.Config) {
				config.Key = func(_ context.Context, fresh bool) (string, error) {
					if !fresh {
						return apiKey, nil
					}
					freshly++
					return c.fresh, c.err
				}
			})
			got := g.Charge(t.Context(), order, card, body(t, g))
			if got.Result != c.want || got.Misconfigured != (c.want == billing.NotMade) || asked != c.asked || freshly > 1 {
				t.Errorf("got %+v after %d requests and %d looks at the key, want %s after %d and at most 1", got, asked, freshly, c.want, c.asked)
			}
			silent(t, &l)
		})
	}
}

func TestNothingIsSentWithoutAKey(t *testing.T) {
	for name, source := range map[string]func(context.Context, bool) (string, error){
		"outage":    func(context.Context, bool) (string, error) { return "", errors.New("vault says " + apiKey) },
		"empty":     func(context.Context, bool) (string, error) { return "", nil },
		"with line": func(context.Context, bool) (string, error) { return apiKey + "\n", nil },
	} {
		t.Run(name, func(t *testing.T) {
			s, url, transports := open(t, paid("pay_1", nil))
			var l log
			g := gateway(t, url, transports["own"], &l, func(c *dodo.Config) { c.Key = source })
			for _, m := range methods {
				got, err := m.do(t.Context(), t, g)
				if wanted := map[string]string{"Charge": "not_made", "Refund": "not_made"}[m.name]; got != wanted && got != m.lost {
					t.Errorf("%s: got %s, want %s", m.name, got, m.lost)
				}
				silent(t, &l, fmt.Sprint(err))
			}
			if requests, _ := s.seen(); len(requests) != 0 {
				t.Errorf("got %q, want no request", requests)
			}
		})
	}
}
