package toss_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/toss"
)

// wantPayment is what is kept of testdata/payment.json.
var wantPayment = billing.Payment{
	Key:         "xMljweGQBN5OWRapdA8dPbZN9zYl7X8o1zEqZKLPbmD70vk4",
	Transaction: "748038ECC457E11C9532BB4A7B7D02E1",
	Card:        "53275010****222*",
	Issuer:      "24",
	Approval:    "00000000",
	ReceiptURL:  "https://dashboard.example.com/receipt?transactionId=tviva20260131131000X5IR1",
	ApprovedAt:  time.Date(2026, 1, 31, 4, 10, 40, 0, time.UTC),
	Amount:      4900,
	Currency:    "KRW",
	VAT:         445,
}

func TestChargeIsOneRequestUnderTheOrdersKey(t *testing.T) {
	s, url, transports := open(t)
	var l log
	g := gateway(t, url+"/toss/", transports["own"], &l)
	got := g.Charge(t.Context(), order, card, body(t, g))
	want := billing.Outcome{Result: billing.Taken, Payment: wantPayment}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Charge: want -, got +\n%s", diff)
	}
	requests, _, charged := s.seen()
	wantRequests := []string{"POST /toss/v1/billing/Z_t5vOvQxrj4499PeiJcjen28+V2RyqgYTwN44Rdzk0= " + order}
	if diff := cmp.Diff(wantRequests, requests); diff != "" || charged != 1 {
		t.Errorf("got %d charges, want 1; requests: want -, got +\n%s", charged, diff)
	}
	if !strings.Contains(l.String(), `"trace":"trace-7"`) || !strings.Contains(l.String(), order) {
		t.Errorf("got the log %s, want trace and order in it", l.String())
	}
	silent(t, &l)
}

func TestBillingKeyIsEscapedOnce(t *testing.T) {
	s, url, transports := open(t)
	g := gateway(t, url, transports["own"], &log{})
	g.Charge(t.Context(), order, billing.Card{BillingKey: "a/b?c%2F=#..", CustomerKey: customerKey}, body(t, g))
	requests, _, _ := s.seen()
	if diff := cmp.Diff([]string{"POST /v1/billing/a%2Fb%3Fc%252F=%23.. " + order}, requests); diff != "" {
		t.Errorf("requests: want -, got +\n%s", diff)
	}
}

func TestEveryCodeHasItsOutcome(t *testing.T) {
	file, err := os.Open("testdata/codes.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		field := strings.Fields(lines.Text())
		if len(field) == 0 || field[0] == "#" {
			continue
		}
		if len(field) != 5 {
			t.Fatalf("got %d fields in %q, want 5", len(field), lines.Text())
		}
		rows++
		status, err := strconv.Atoi(field[0])
		if err != nil {
			t.Fatal(err)
		}
		want := billing.Outcome{
			Result: billing.Result(field[2]), Code: field[1], Class: billing.Class(strings.Trim(field[3], "-")),
			Final: field[4] == "final", Misconfigured: field[4] == "misconfigured", Busy: field[4] == "busy",
		}
		if status == http.StatusOK {
			want.Code = "" // no answer to a charge has one with a 200
		}
		var l log
		g := gateway(t, "https://toss.example", says{status: status, body: fmt.Sprintf(`{"code":%q,"message":"message of toss"}`, field[1])}, &l)
		got := g.Charge(t.Context(), order, card, body(t, g))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d %s: want -, got +\n%s", status, field[1], diff)
		}
		if got.Misconfigured != strings.Contains(l.String(), "toss refused us") {
			t.Errorf("%d %s: got the log %s, want an alarm: %v", status, field[1], l.String(), got.Misconfigured)
		}
		silent(t, &l)
	}
	if rows < 60 {
		t.Errorf("got %d rows, want the whole table", rows)
	}
}

func TestAnswerThatIsNotJSONIsUnclear(t *testing.T) {
	texts := []string{"", "<html>502</html>", "null", "[]", `"DONE"`, "{", `{"code":7}`, `{"code":"not a code"}`, `{"code":null}`, "{\"code\":\"A\xff\"}", `{"CODE":"REJECT_CARD_PAYMENT"}`}
	for _, text := range texts {
		for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 409, 500, 502, 503, 504} {
			g := gateway(t, "https://toss.example", says{status: status, body: text}, &log{})
			got := g.Charge(t.Context(), order, card, body(t, g))
			if diff := cmp.Diff(billing.Outcome{Result: billing.Unclear}, got); diff != "" {
				t.Errorf("%d %q: want -, got +\n%s", status, text, diff)
			}
		}
	}
}

func TestOnlyThePaymentThatWasAskedForIsTaken(t *testing.T) {
	for name, spoil := range map[string]map[string]any{
		"another order":     {"orderId": "gl_other"},
		"no order":          {"orderId": nil},
		"another amount":    {"totalAmount": 50000},
		"amount as text":    {"totalAmount": "4900"},
		"amount fraction":   {"totalAmount": 4900.5},
		"amount null":       {"totalAmount": nil},
		"another currency":  {"currency": "USD"},
		"no currency":       {"currency": nil},
		"another type":      {"type": "NORMAL"},
		"in progress":       {"status": "IN_PROGRESS"},
		"aborted":           {"status": "ABORTED"},
		"cancelled at once": {"status": "CANCELED"},
		"new status":        {"status": "DONE_SOON"},
		"lower case":        {"status": "done"},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			g := gateway(t, "https://toss.example", says{status: 200, body: payment(t, spoil)}, &l)
			got := g.Charge(t.Context(), order, card, body(t, g))
			if diff := cmp.Diff(billing.Outcome{Result: billing.Unclear}, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			if !strings.Contains(l.String(), `"level":"ERROR"`) {
				t.Errorf("got the log %s, want an error", l.String())
			}
			silent(t, &l)
		})
	}
}

func TestWhatDoesNotDecideMaySpoil(t *testing.T) {
	p := payment(t, map[string]any{
		"card": "gone", "receipt": 7, "approvedAt": "yesterday", "vat": "445", "paymentKey": nil,
		"lastTransactionKey": strings.Repeat("k", 2000), "failure": []int{}, "cancels": "?",
	})
	g := gateway(t, "https://toss.example", says{status: 200, body: p}, &log{})
	got := g.Charge(t.Context(), order, card, body(t, g))
	want := billing.Outcome{Result: billing.Taken, Payment: billing.Payment{Amount: 4900, Currency: "KRW"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

func TestWholeCardNumberIsNotKept(t *testing.T) {
	p := payment(t, map[string]any{"card": map[string]any{"number": "5327501000002220", "issuerCode": "24"}})
	g := gateway(t, "https://toss.example", says{status: 200, body: p}, &log{})
	if got := g.Charge(t.Context(), order, card, body(t, g)).Payment.Card; got != "" {
		t.Errorf("got the card number %q, want none", got)
	}
}

func TestBodyOfAnotherOrderIsNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		order string
		card  billing.Card
		body  string
	}{
		"another order":   {"gl_another", card, ""},
		"no billing key":  {order, billing.Card{}, ""},
		"dots for a key":  {order, billing.Card{BillingKey: ".."}, ""},
		"no JSON":         {order, card, "{"},
		"no amount":       {order, card, `{"orderId":"` + order + `"}`},
		"an id too short": {"gl", card, `{"orderId":"gl","amount":4900}`},
	} {
		t.Run(name, func(t *testing.T) {
			s, url, transports := open(t)
			g := gateway(t, url, transports["own"], &log{})
			if c.body == "" {
				c.body = string(body(t, g))
			}
			got := g.Charge(t.Context(), c.order, c.card, []byte(c.body))
			if diff := cmp.Diff(billing.Outcome{Result: billing.NotMade, Misconfigured: true}, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			if requests, _, _ := s.seen(); len(requests) != 0 {
				t.Errorf("got %q, want no request", requests)
			}
		})
	}
}

func TestComposeIsTheSameBytes(t *testing.T) {
	g := gateway(t, "https://toss.example", says{}, &log{})
	full := request
	full.Name, full.Email, full.Customer, full.TaxFree = "스트리밍 서비스 구독", "customer@email.com", "박토스", 900
	for want, r := range map[string]billing.Request{
		`{"customerKey":"aENcQAtPdYbTjGhtQnNVj-_=.@","amount":4900,"orderId":"gl_7f3k2m9q4t5w8x1z","orderName":"Premium, a month","taxFreeAmount":0}`: request,
		`{"customerKey":"aENcQAtPdYbTjGhtQnNVj-_=.@","amount":4900,"orderId":"gl_7f3k2m9q4t5w8x1z","orderName":"스트리밍 서비스 구독",` +
			`"customerEmail":"customer@email.com","customerName":"박토스","taxFreeAmount":900}`: full,
	} {
		for range 3 {
			got, err := g.Compose(r)
			if err != nil || string(got) != want {
				t.Errorf("Compose(%+v): got %s, %v, want %s", r, got, err, want)
			}
		}
	}
}

func TestComposeNamesTheFieldAtFault(t *testing.T) {
	g := gateway(t, "https://toss.example", says{}, &log{})
	for field, changes := range map[string][]func(*billing.Request){
		"orderId": {
			func(r *billing.Request) { r.OrderID = "" }, func(r *billing.Request) { r.OrderID = "short" },
			func(r *billing.Request) { r.OrderID = strings.Repeat("a", 65) }, func(r *billing.Request) { r.OrderID = "gl_with=sign" },
			func(r *billing.Request) { r.OrderID = "gl_line\n" },
		},
		"customerKey": {
			func(r *billing.Request) { r.CustomerKey = "a" }, func(r *billing.Request) { r.CustomerKey = strings.Repeat("a", 301) },
			func(r *billing.Request) { r.CustomerKey = "누구" },
		},
		"currency": {func(r *billing.Request) { r.Amount = money.Of(4900, "USD") }},
		"amount": {
			func(r *billing.Request) { r.Amount.Units = 99 }, func(r *billing.Request) { r.Amount.Units = 0 },
			func(r *billing.Request) { r.Amount.Units = -4900 },
		},
		"taxFreeAmount": {func(r *billing.Request) { r.TaxFree = -1 }, func(r *billing.Request) { r.TaxFree = 4901 }},
		"orderName": {
			func(r *billing.Request) { r.Name = "" }, func(r *billing.Request) { r.Name = " " },
			func(r *billing.Request) { r.Name = strings.Repeat("가", 101) }, func(r *billing.Request) { r.Name = "a\xff" },
		},
		"customerEmail": {
			func(r *billing.Request) { r.Email = "nobody" }, func(r *billing.Request) { r.Email = "a b@c.de" },
			func(r *billing.Request) { r.Email = strings.Repeat("a", 60) + "@" + strings.Repeat("b", 37) + ".kr" },
			func(r *billing.Request) { r.Email = strings.Repeat("a", 65) + "@b.kr" },
			// Toss may refuse what a customer may write into its profile.
			func(r *billing.Request) { r.Email = "a..b@c.de" }, func(r *billing.Request) { r.Email = ".a@c.de" },
			func(r *billing.Request) { r.Email = "a.@c.de" }, func(r *billing.Request) { r.Email = "a@b@c.de" },
			func(r *billing.Request) { r.Email = "a@c" }, func(r *billing.Request) { r.Email = "a@-c.de" },
			func(r *billing.Request) { r.Email = "a@c..de" }, func(r *billing.Request) { r.Email = "a@[127.0.0.1]" },
			func(r *billing.Request) { r.Email = `"a"@c.de` }, func(r *billing.Request) { r.Email = "누구@c.de" },
			func(r *billing.Request) { r.Email = "a@누구.de" }, func(r *billing.Request) { r.Email = "a@c.de\n" },
		},
		"customerName": {func(r *billing.Request) { r.Customer = strings.Repeat("a", 101) }, func(r *billing.Request) { r.Customer = "a\x00" }, func(r *billing.Request) { r.Customer = "a😀" }, func(r *billing.Request) { r.Customer = "<b>" }},
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
	for name, r := range map[string]billing.Request{
		"the least": {OrderID: "gl-_09", CustomerKey: "ab", Amount: money.Of(100, "KRW"), TaxFree: 100, Name: "a"},
		"the most": {
			OrderID: strings.Repeat("Z", 64), CustomerKey: strings.Repeat("z", 300), Amount: money.Of(1<<53, "KRW"),
			Name: strings.Repeat("가", 100), Email: strings.Repeat("a", 64) + "@" + strings.Repeat("b", 32) + ".kr", Customer: strings.Repeat("나", 100),
		},
	} {
		got, err := g.Compose(r)
		if err != nil || !json.Valid(got) {
			t.Errorf("%s: got %s, %v, want a body", name, got, err)
		}
	}
}

func TestSecretKeyIsRenewedOnceWhenRefused(t *testing.T) {
	refusal := `{"code":"UNAUTHORIZED_KEY","message":"message of toss"}`
	for _, c := range []struct {
		name   string
		fresh  string
		err    error
		accept string
		want   billing.Result
		asked  int
	}{
		{"rotated", newSecret, nil, newSecret, billing.Taken, 2},
		{"rotated, and refused too", newSecret, nil, "another", billing.NotMade, 2},
		{"the same", secretKey, nil, newSecret, billing.NotMade, 1},
		{"not to be had", "", errors.New("vault says " + newSecret), newSecret, billing.NotMade, 1},
		{"good as it is", newSecret, nil, secretKey, billing.Taken, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			url, transports := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				if user, password, ok := r.BasicAuth(); !ok || user != c.accept || password != "" {
					w.WriteHeader(http.StatusUnauthorized)
					fmt.Fprint(w, refusal)
					return
				}
				fmt.Fprint(w, payment(t, nil))
			}))
			var l log
			freshly := 0
			g := gateway(t, url, transports["own"], &l, func(config *toss.Config) {
				config.SecretKey = func(_ context.Context, fresh bool) (string, error) {
					if !fresh {
						return secretKey, nil
					}
					freshly++
					return c.fresh, c.err
				}
			})
			got := g.Charge(t.Context(), order, card, body(t, g))
			if got.Result != c.want || got.Misconfigured != (c.want == billing.NotMade) || asked != c.asked || freshly > 1 {
				t.Errorf("got %+v after %d requests and %d looks at the secret, want %s after %d and at most 1", got, asked, freshly, c.want, c.asked)
			}
			silent(t, &l)
		})
	}
}

func TestRefusalForAnotherReasonIsNotRepeated(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
	}{
		{401, `{"code":"A_CODE_OF_TOMORROW"}`},
		{401, ``},
		{400, `{"code":"UNAUTHORIZED_KEY"}`},
		{403, `{"code":"INCORRECT_BASIC_AUTH_FORMAT"}`},
	} {
		asked := 0
		url, transports := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		g := gateway(t, url, transports["own"], &log{}, rotated)
		if got := g.Charge(t.Context(), order, card, body(t, g)); asked != 1 || got.Result == billing.Taken {
			t.Errorf("%d %s: got %+v after %d requests, want one", c.status, c.body, got, asked)
		}
	}
}

func TestNothingIsSentWithoutASecretKey(t *testing.T) {
	for name, source := range map[string]func(context.Context, bool) (string, error){
		"outage":    func(context.Context, bool) (string, error) { return "", errors.New("vault says " + secretKey) },
		"empty":     func(context.Context, bool) (string, error) { return "", nil },
		"with line": func(context.Context, bool) (string, error) { return secretKey + "\n", nil },
	} {
		t.Run(name, func(t *testing.T) {
			s, url, transports := open(t)
			var l log
			g := gateway(t, url, transports["own"], &l, func(c *toss.Config) { c.SecretKey = source })
			if got := g.Charge(t.Context(), order, card, body(t, g)); got.Result != billing.NotMade {
				t.Errorf("Charge: got %+v, want %s", got, billing.NotMade)
			}
			if got := g.Find(t.Context(), order, billing.Want{Amount: amount}); got.Result != billing.Unclear {
				t.Errorf("Find: got %+v, want %s", got, billing.Unclear)
			}
			_, err := g.Issue(t.Context(), registration)
			if !errors.Is(err, fault.Unavailable) {
				t.Errorf("Issue: got %v, want fault.Unavailable", err)
			}
			if requests, _, _ := s.seen(); len(requests) != 0 {
				t.Errorf("got %q, want no request", requests)
			}
			silent(t, &l, fmt.Sprint(err))
		})
	}
}

// seenRequest is a transport that keeps what was asked of it.
type seenRequest struct {
	says
	key, body string
}

func (s *seenRequest) RoundTrip(req *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(req.Body)
	s.key, s.body = req.Header.Get("Idempotency-Key"), string(text)
	if err != nil {
		return nil, err
	}
	return s.says.RoundTrip(req)
}

// Toss repeats a refusal for 15 days, also one for a mistake of ours that was mended.
func TestEachRoundHasItsOwnKeyAndTheSameBytes(t *testing.T) {
	s := &seenRequest{says: says{status: 200, body: payment(t, nil)}}
	g := gateway(t, "https://toss.example", s, &log{})
	first := string(body(t, g))
	for round, key := range []string{order, order + "_round1", order + "_round2"} {
		r := request
		r.Round = round
		letter, err := g.Compose(r)
		if err != nil {
			t.Fatal(err)
		}
		if o := g.Charge(t.Context(), order, card, letter); o.Result != billing.Taken || s.key != key || s.body != first {
			t.Errorf("round %d: got %s under %q with %s, want it taken under %q with %s", round, o.Result, s.key, s.body, key, first)
		}
	}
	for _, spoiled := range []string{"\n" + first, order + "\n" + first, order + "_round0\n" + first, order + "_roundx\n" + first, "gl_other_round1\n" + first, order + "_round1\n"} {
		s.key = ""
		if o := g.Charge(t.Context(), order, card, []byte(spoiled)); o.Result != billing.NotMade || s.key != "" {
			t.Errorf("%q: got %s, sent under %q; want nothing sent", spoiled, o.Result, s.key)
		}
	}
}
