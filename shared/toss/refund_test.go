package toss_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/money"
	"grantline/shared/toss"
)

// half is the one cancel that refunding is.
func half() map[string]any { return cancelled(1900, 3000, "CANCEL0", refunding.Since) }

// after is the payment after some cancels, spoiled member by member.
func after(t testing.TB, left int64, spoil map[string]any, cancels ...map[string]any) string {
	t.Helper()
	p := map[string]any{"status": "PARTIAL_CANCELED", "balanceAmount": left, "cancels": cancels}
	if len(cancels) > 0 {
		p["lastTransactionKey"] = cancels[len(cancels)-1]["transactionKey"]
	}
	for name, value := range spoil {
		p[name] = value
	}
	return payment(t, p)
}

// but is a cancel with one member changed.
func but(c map[string]any, name string, value any) map[string]any {
	c[name] = value
	return c
}

func TestRefundIsOneRequestUnderItsKey(t *testing.T) {
	s, url, transports := open(t)
	var l log
	g := gateway(t, url, transports["own"], &l)
	got := g.Refund(t.Context(), refunding)
	if diff := cmp.Diff(billing.Refunded{Result: billing.Taken, Transaction: "CANCEL0"}, got); diff != "" {
		t.Errorf("Refund: want -, got +\n%s", diff)
	}
	requests, _, _ := s.seen()
	if diff := cmp.Diff([]string{"POST /v1/payments/" + paymentKey + "/cancel ref_51d0"}, requests); diff != "" {
		t.Errorf("requests: want -, got +\n%s", diff)
	}
	if want := `{"cancelReason":"reason of a customer","cancelAmount":1900,"refundableAmount":4900}`; s.bodies[0] != want {
		t.Errorf("got the body %s, want %s", s.bodies[0], want)
	}
	if !strings.Contains(l.String(), `"trace":"trace-7"`) || !strings.Contains(l.String(), order) {
		t.Errorf("got the log %s, want trace and order in it", l.String())
	}
	silent(t, &l)
}

func TestWholePaymentIsGivenBackWithItsAmount(t *testing.T) {
	s, url, transports := open(t)
	g := gateway(t, url, transports["own"], &log{})
	whole := refunding
	whole.Amount = amount
	if got := g.Refund(t.Context(), whole); got.Result != billing.Taken {
		t.Errorf("got %+v, want %s", got, billing.Taken)
	}
	if want := `{"cancelReason":"reason of a customer","cancelAmount":4900,"refundableAmount":4900}`; s.bodies[0] != want || s.left != 0 {
		t.Errorf("got the body %s and %d left, want %s and none", s.bodies[0], s.left, want)
	}
}

func TestEveryCodeHasItsRefund(t *testing.T) {
	file, err := os.Open("testdata/refunds.txt")
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
		if len(field) != 4 {
			t.Fatalf("got %d fields in %q, want 4", len(field), lines.Text())
		}
		rows++
		status, err := strconv.Atoi(field[0])
		if err != nil {
			t.Fatal(err)
		}
		want := billing.Refunded{Result: billing.Result(field[2]), Code: field[1], Misconfigured: field[3] == "misconfigured", Busy: field[3] == "busy", Final: field[3] == "final"}
		var l log
		g := gateway(t, "https://toss.example", says{status: status, body: fmt.Sprintf(`{"code":%q,"message":"message of toss"}`, field[1])}, &l)
		got := g.Refund(t.Context(), refunding)
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

func TestOnlyTheRefundThatWasAskedForIsTaken(t *testing.T) {
	for name, body := range map[string]string{
		"another order":      after(t, 3000, map[string]any{"orderId": "gl_other"}, half()),
		"another payment":    after(t, 3000, map[string]any{"paymentKey": "another"}, half()),
		"another currency":   after(t, 3000, map[string]any{"currency": "USD"}, half()),
		"another type":       after(t, 3000, map[string]any{"type": "NORMAL"}, half()),
		"nothing given back": payment(t, nil),
		"too much":           after(t, 0, nil, cancelled(4900, 0, "C", refunding.Since)),
		"balance only":       after(t, 3000, nil),
		"no cancels":         after(t, 3000, map[string]any{"cancels": nil}),
		"no balance":         after(t, 3000, map[string]any{"balanceAmount": nil}, half()),
		"balance as text":    after(t, 3000, map[string]any{"balanceAmount": "3000"}, half()),
		"another amount":     after(t, 3000, nil, cancelled(1000, 3900, "A", refunding.Since), cancelled(900, 3000, "B", refunding.Since)),
		"another step":       after(t, 3000, nil, cancelled(1900, 2999, "A", refunding.Since)),
		"cancels as text":    after(t, 3000, map[string]any{"cancels": "1900"}),
		"cancels of numbers": after(t, 3000, map[string]any{"cancels": []int{1900}}),
		"cancel unreadable":  after(t, 3000, nil, half(), but(half(), "cancelAmount", 0.5)),
		"cancel negative":    after(t, 3000, nil, half(), but(half(), "cancelAmount", -1)),
		"cancel still open":  after(t, 3000, nil, but(half(), "cancelStatus", "IN_PROGRESS")),
		"cancel given up":    after(t, 3000, nil, but(half(), "cancelStatus", "ABORTED")),
		"two, none of it last": after(t, 3000, map[string]any{"lastTransactionKey": "X"},
			but(half(), "refundableAmount", nil), but(half(), "refundableAmount", nil)),
		"no JSON": "<html>",
		"nothing": "",
		"null":    "null",
		"a list":  "[]",
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			g := gateway(t, "https://toss.example", says{status: 200, body: body}, &l)
			if diff := cmp.Diff(billing.Refunded{Result: billing.Unclear}, g.Refund(t.Context(), refunding)); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			if !strings.Contains(l.String(), `"level":"ERROR"`) {
				t.Errorf("got the log %s, want an error", l.String())
			}
			silent(t, &l)
		})
	}
}

func TestRefundIsTakenWhateverElseTheAnswerShows(t *testing.T) {
	early := refunding.Since.Add(-time.Hour)
	for name, body := range map[string]string{
		"status as ever":       after(t, 3000, map[string]any{"status": "DONE"}, half()),
		"a clock behind":       after(t, 3000, nil, cancelled(1900, 3000, "CANCEL0", early)),
		"no time":              after(t, 3000, nil, but(half(), "canceledAt", nil)),
		"no cancel status":     after(t, 3000, nil, but(half(), "cancelStatus", nil)),
		"one of before":        after(t, 3000, map[string]any{"totalAmount": 6800}, cancelled(1900, 4900, "A", early), half()),
		"what is left unsaid":  after(t, 3000, nil, but(half(), "refundableAmount", nil)),
		"two, and it is last":  after(t, 3000, nil, but(cancelled(1900, 0, "A", early), "refundableAmount", nil), but(half(), "refundableAmount", nil)),
		"the order turned":     after(t, 3000, nil, half(), cancelled(1900, 4900, "A", early)),
		"unknown members more": after(t, 3000, map[string]any{"new": []int{1}}, but(half(), "new", "x")),
	} {
		t.Run(name, func(t *testing.T) {
			g := gateway(t, "https://toss.example", says{status: 200, body: body}, &log{})
			if diff := cmp.Diff(billing.Refunded{Result: billing.Taken, Transaction: "CANCEL0"}, g.Refund(t.Context(), refunding)); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
		})
	}
}

func TestRefundThatNobodyCanAskForIsNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*billing.Refunding)
		found bool // is nothing to the look-up
	}{
		"no key":              {func(r *billing.Refunding) { r.Key = "" }, true},
		"key too long":        {func(r *billing.Refunding) { r.Key = strings.Repeat("k", 301) }, true},
		"key with a line":     {func(r *billing.Refunding) { r.Key = "a\nb" }, true},
		"no reason":           {func(r *billing.Refunding) { r.Reason = " " }, true},
		"reason too long":     {func(r *billing.Refunding) { r.Reason = strings.Repeat("가", 201) }, true},
		"reason with a line":  {func(r *billing.Refunding) { r.Reason = "a\nb" }, true},
		"reason not in UTF-8": {func(r *billing.Refunding) { r.Reason = "a\xff" }, true},
		"no order":            {func(r *billing.Refunding) { r.OrderID = "" }, false},
		"no payment":          {func(r *billing.Refunding) { r.Payment = "" }, false},
		"dots for a payment":  {func(r *billing.Refunding) { r.Payment = ".." }, false},
		"payment too long":    {func(r *billing.Refunding) { r.Payment = strings.Repeat("p", 201) }, false},
		"another currency":    {func(r *billing.Refunding) { r.Amount.Currency = "USD" }, false},
		"nothing":             {func(r *billing.Refunding) { r.Amount.Units = 0 }, false},
		"less than nothing":   {func(r *billing.Refunding) { r.Amount.Units = -1 }, false},
		"more than is left":   {func(r *billing.Refunding) { r.Left = 1899 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, url, transports := open(t)
			var l log
			g := gateway(t, url, transports["own"], &l)
			r := refunding
			c.spoil(&r)
			if diff := cmp.Diff(billing.Refunded{Result: billing.NotMade, Misconfigured: true}, g.Refund(t.Context(), r)); diff != "" {
				t.Errorf("Refund: want -, got +\n%s", diff)
			}
			requests := 0
			if want := (billing.Refunded{Result: billing.Absent}); c.found {
				requests = 1
				if diff := cmp.Diff(want, g.FindRefund(t.Context(), r)); diff != "" {
					t.Errorf("FindRefund: want -, got +\n%s", diff)
				}
			} else if diff := cmp.Diff(billing.Refunded{Result: billing.Unclear}, g.FindRefund(t.Context(), r)); diff != "" {
				t.Errorf("FindRefund: want -, got +\n%s", diff)
			}
			if got, _, _ := s.seen(); len(got) != requests {
				t.Errorf("got %q, want %d requests", got, requests)
			}
			silent(t, &l)
		})
	}
}

func TestTwoRefundsOfTheSameBalanceAreOne(t *testing.T) {
	s, url, transports := open(t)
	g := gateway(t, url, transports["own"], &log{})
	other := refunding
	other.Key = "ref_another"
	first, second, again := g.Refund(t.Context(), refunding), g.Refund(t.Context(), other), g.Refund(t.Context(), refunding)
	if want := (billing.Refunded{Result: billing.Refused, Code: "NOT_MATCHES_REFUNDABLE_AMOUNT"}); second != want {
		t.Errorf("another key: got %+v, want %+v", second, want)
	}
	if first.Result != billing.Taken || again != first || s.left != 3000 {
		t.Errorf("got %+v, then %+v, and %d left, want the same twice and 3000", first, again, s.left)
	}
}

func TestRefundGivesTheMoneyBackOnce(t *testing.T) {
	for _, transport := range []string{"own", "kept"} {
		for _, used := range []bool{false, true} {
			for _, done := range []bool{false, true} {
				for _, how := range []string{"hang", "reset", "500"} {
					t.Run(fmt.Sprintf("%s used=%v done=%v %s", transport, used, done, how), func(t *testing.T) {
						s, url, transports := open(t)
						var l log
						g := gateway(t, url, transports[transport], &l)
						if used {
							g.FindRefund(t.Context(), refunding)
						}
						before, _, _ := s.seen()

						s.failNext(failure{done: done, how: how})
						got := interrupted(t, s, how, func(ctx context.Context) billing.Refunded { return g.Refund(ctx, refunding) })
						if got.Result != billing.Unclear {
							t.Errorf("failed refund: got %+v, want %s", got, billing.Unclear)
						}
						if requests, _, _ := s.seen(); len(requests) != len(before)+1 {
							t.Errorf("failed refund: got the requests %q, want one more than %q", requests, before)
						}
						looked := g.FindRefund(t.Context(), refunding)
						if want := map[bool]billing.Result{false: billing.Absent, true: billing.Taken}[done]; looked.Result != want {
							t.Errorf("FindRefund: got %+v, want %s", looked, want)
						}
						again := g.Refund(t.Context(), refunding)
						if diff := cmp.Diff(billing.Refunded{Result: billing.Taken, Transaction: "CANCEL0"}, again); diff != "" {
							t.Errorf("the same again: want -, got +\n%s", diff)
						}
						if s.left != 3000 || len(s.cancels) != 1 {
							t.Errorf("in the end: got %d cancels and %d left, want 1 and 3000", len(s.cancels), s.left)
						}
						silent(t, &l)
					})
				}
			}
		}
	}
}

func TestFindRefundSaysWhatBecameOfIt(t *testing.T) {
	since := refunding.Since
	old, future := since.Add(-time.Hour), since.Add(time.Hour)
	unsaid := func(c map[string]any) map[string]any { return but(c, "refundableAmount", nil) }
	taken := billing.Refunded{Result: billing.Taken, Transaction: "CANCEL0"}
	absent, unclear := billing.Refunded{Result: billing.Absent}, billing.Refunded{Result: billing.Unclear}
	whole := map[string]any{"totalAmount": 6800}
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   billing.Refunded
		alarm  bool
	}{
		{"untouched", 200, payment(t, nil), absent, false},
		{"given back", 200, after(t, 3000, nil, half()), taken, false},
		{"given back, in the second before", 200, after(t, 3000, nil, cancelled(1900, 3000, "CANCEL0", since.Add(-500*time.Millisecond))), taken, false},
		{"given back, clock behind", 200, after(t, 3000, nil, cancelled(1900, 3000, "CANCEL0", since.Add(-30*time.Second))), taken, false},
		{"given back, when unsaid", 200, after(t, 3000, nil, but(half(), "canceledAt", "soon")), taken, false},
		{"given back, and more after", 200, after(t, 2000, nil, half(), cancelled(1000, 2000, "B", future)), taken, false},
		{"given back, and the same after", 200, after(t, 1100, nil, half(), cancelled(1900, 1100, "B", future)), taken, false},
		{"given back, and all after", 200, after(t, 0, nil, half(), cancelled(3000, 0, "B", future)), taken, false},
		{"the same before", 200, after(t, 4900, whole, cancelled(1900, 4900, "A", old)), absent, false},
		{"the same just before", 200, after(t, 4900, whole, cancelled(1900, 4900, "A", since.Add(-time.Second))), absent, false},
		{"the same before and then it", 200, after(t, 3000, whole, cancelled(1900, 4900, "A", old), half()), taken, false},
		{"another went first", 200, after(t, 3900, nil, cancelled(1000, 3900, "A", future)), absent, false},
		{"another went first, then the same", 200, after(t, 2000, nil, cancelled(1000, 3900, "A", future), cancelled(1900, 2000, "B", future)), absent, false},
		{"the same in two", 200, after(t, 3000, nil, cancelled(1000, 3900, "A", future), cancelled(900, 3000, "B", future)), absent, false},
		{"the very one, before we asked", 200, after(t, 3000, nil, cancelled(1900, 3000, "A", old)), absent, false},
		{"the very one, before we asked, and more after", 200, after(t, 1000, nil, cancelled(1900, 3000, "A", old), cancelled(2000, 1000, "B", future)), absent, false},
		{"the very one, before we asked, and not all is shown", 200, after(t, 1000, nil, cancelled(1900, 3000, "A", old)), unclear, false},
		{"the very one, before we asked, and as much left", 200, after(t, 4900, nil, cancelled(1900, 3000, "A", old)), unclear, false},
		{"the very one, before we asked, still open", 200, after(t, 3000, nil, but(cancelled(1900, 3000, "A", old), "cancelStatus", "IN_PROGRESS")), unclear, false},
		{"still open", 200, after(t, 3000, nil, but(half(), "cancelStatus", "IN_PROGRESS")), unclear, false},
		{"given up", 200, after(t, 4900, nil, but(half(), "cancelStatus", "ABORTED")), unclear, false},
		{"less, and nothing shows it", 200, after(t, 3000, nil), unclear, false},
		{"less, and not all shows it", 200, after(t, 3000, nil, cancelled(1000, 3900, "A", future)), unclear, false},
		{"cancelled, but as much left", 200, after(t, 4900, nil, half()), unclear, false},
		{"more left than we know", 200, payment(t, map[string]any{"totalAmount": 5900, "balanceAmount": 5900}), absent, false},
		{"left unsaid", 200, after(t, 3000, nil, unsaid(half())), taken, false},
		{"left unsaid, before", 200, after(t, 4900, whole, unsaid(cancelled(1900, 0, "A", since.Add(-time.Second)))), absent, false},
		{"left unsaid, before and it", 200, after(t, 3000, whole, unsaid(cancelled(1900, 0, "A", old)), unsaid(half())), taken, false},
		{"left unsaid, twice", 200, after(t, 1100, nil, unsaid(half()), unsaid(cancelled(1900, 0, "B", future))), unclear, false},
		{"left unsaid, when unsaid", 200, after(t, 3000, nil, but(unsaid(half()), "canceledAt", nil)), unclear, false},
		{"another order", 200, after(t, 3000, map[string]any{"orderId": "gl_other"}, half()), unclear, true},
		{"another payment", 200, after(t, 3000, map[string]any{"paymentKey": "other"}, half()), unclear, true},
		{"another currency", 200, after(t, 3000, map[string]any{"currency": "USD"}, half()), unclear, true},
		{"another type", 200, after(t, 3000, map[string]any{"type": "NORMAL"}, half()), unclear, true},
		{"no balance", 200, payment(t, map[string]any{"balanceAmount": nil}), unclear, true},
		{"balance below nothing", 200, payment(t, map[string]any{"balanceAmount": -1}), unclear, true},
		{"no total", 200, payment(t, map[string]any{"totalAmount": nil}), unclear, true},
		{"cancels unreadable", 200, payment(t, map[string]any{"cancels": map[string]any{}}), unclear, true},
		{"cancel unreadable", 200, after(t, 3000, nil, half(), map[string]any{}), unclear, true},
		{"garbage", 200, `<html>`, unclear, true},
		{"nothing", 200, ``, unclear, true},
		{"another shop", 404, `{"code":"NOT_FOUND_PAYMENT"}`, billing.Refunded{Result: billing.Unclear, Code: "NOT_FOUND_PAYMENT"}, true},
		{"404 of a proxy", 404, `not here`, unclear, false},
		{"wrong secret", 401, `{"code":"UNAUTHORIZED_KEY"}`, billing.Refunded{Result: billing.Unclear, Code: "UNAUTHORIZED_KEY"}, false},
		{"too many", 429, `{}`, unclear, false},
		{"down", 503, `{"code":"COMMON_ERROR"}`, billing.Refunded{Result: billing.Unclear, Code: "COMMON_ERROR"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l log
			g := gateway(t, "https://toss.example", says{status: c.status, body: c.body}, &l)
			if diff := cmp.Diff(c.want, g.FindRefund(t.Context(), refunding)); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			if alarm := strings.Contains(l.String(), `"level":"ERROR"`); alarm != c.alarm {
				t.Errorf("got the log %s, want an alarm: %v", l.String(), c.alarm)
			}
			silent(t, &l)
		})
	}
}

func TestFindRefundAfterEveryFailureIsUnclear(t *testing.T) {
	for _, how := range []string{"hang", "reset", "500"} {
		t.Run(how, func(t *testing.T) {
			s, url, transports := open(t)
			g := gateway(t, url, transports["own"], &log{})
			s.failNext(failure{how: how})
			got := interrupted(t, s, how, func(ctx context.Context) billing.Refunded { return g.FindRefund(ctx, refunding) })
			if got.Result != billing.Unclear {
				t.Errorf("got %+v, want %s", got, billing.Unclear)
			}
			requests, _, _ := s.seen()
			if diff := cmp.Diff([]string{"GET /v1/payments/" + paymentKey + " "}, requests); diff != "" {
				t.Errorf("requests: want -, got +\n%s", diff)
			}
		})
	}
}

func TestNothingIsGivenBackWithoutASecretKey(t *testing.T) {
	s, url, transports := open(t)
	var l log
	g := gateway(t, url, transports["own"], &l, func(c *toss.Config) {
		c.SecretKey = func(context.Context, bool) (string, error) { return "", errors.New("vault says " + secretKey) }
	})
	if got := g.Refund(t.Context(), refunding); got != (billing.Refunded{Result: billing.NotMade}) {
		t.Errorf("Refund: got %+v, want %s", got, billing.NotMade)
	}
	if got := g.FindRefund(t.Context(), refunding); got.Result != billing.Unclear {
		t.Errorf("FindRefund: got %+v, want %s", got, billing.Unclear)
	}
	forgotten := g.Forget(t.Context(), card)
	_, _, listed := g.Statement(t.Context(), refunding.Since, refunding.Since.Add(time.Hour), "")
	if forgotten == nil || listed == nil {
		t.Errorf("got %v and %v, want an error each", forgotten, listed)
	}
	if requests, _, _ := s.seen(); len(requests) != 0 {
		t.Errorf("got %q, want no request", requests)
	}
	silent(t, &l, fmt.Sprint(forgotten, listed))
}

func TestGatewayRepeats(t *testing.T) {
	if !gateway(t, "https://toss.example", says{}, &log{}).Repeats() {
		t.Error("got false, want true: Toss has idempotency keys")
	}
}

func TestFindLooksAtTheAmountAlone(t *testing.T) {
	g := gateway(t, "https://toss.example", says{status: 200, body: after(t, 3000, map[string]any{"vat": 445}, half())}, &log{})
	got := g.Find(t.Context(), order, billing.Want{Amount: amount, Card: card, Payment: "another", Since: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)})
	want := wantPayment
	want.Transaction = "CANCEL0"
	want.Returned = 1900
	if diff := cmp.Diff(billing.Outcome{Result: billing.Taken, Payment: want}, got); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	if got := g.Find(t.Context(), order, billing.Want{Amount: money.Of(1, "KRW")}); got.Result != billing.Unclear {
		t.Errorf("another amount: got %+v, want %s", got, billing.Unclear)
	}
}
