package dodo_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/money"
)

// declined is a decline, made briefly.
func declined(code string, class billing.Class) billing.Outcome {
	return billing.Outcome{Result: billing.Refused, Code: code, Class: class}
}

// of is a decline by a means of payment that Dodo names.
func of(method string, o billing.Outcome) billing.Outcome {
	o.Method = method
	return o
}

func accepted(key string) billing.Outcome {
	return billing.Outcome{Result: billing.Accepted, Payment: billing.Payment{Key: key}}
}

func taken(key string, others ...billing.Payment) billing.Outcome {
	return billing.Outcome{Result: billing.Taken, Payment: kept(key), Others: others}
}

var unclear = billing.Outcome{Result: billing.Unclear}

func TestFindSaysWhatBecameOfAPayment(t *testing.T) {
	euro := taken("pay_1")
	euro.Payment.Currency, euro.Payment.Amount = "EUR", 7
	less := taken("pay_1")
	less.Payment.Amount = 998
	for _, c := range []struct {
		name   string
		change has
		want   billing.Outcome
		alarm  bool
	}{
		{"succeeded", nil, taken("pay_1"), false},
		{"given back", has{"refund_status": "full"}, taken("pay_1"), false},
		{"in another currency", has{"currency": "EUR", "total_amount": 7}, euro, false},
		{"less than asked for", has{"total_amount": 998}, less, false},
		{"without an amount", has{"total_amount": nil}, unclear, true},
		{"of nothing", has{"total_amount": 0}, unclear, true},
		{"an amount as text", has{"total_amount": "1188"}, unclear, true},
		{"without a currency", has{"currency": nil}, unclear, true},
		{"failed", has{"status": "failed", "error_code": "INSUFFICIENT_FUNDS"}, declined("INSUFFICIENT_FUNDS", billing.Soft), false},
		{"failed, of a means that it names", has{"status": "failed", "error_code": "INSUFFICIENT_FUNDS", "payment_method_id": "pm_7"}, of("pm_7", declined("INSUFFICIENT_FUNDS", billing.Soft)), false},
		{"failed, small letters", has{"status": "failed", "error_code": "do_not_honor"}, declined("DO_NOT_HONOR", billing.Hard), false},
		{"failed for our own fault", has{"status": "failed", "error_code": "INVALID_AMOUNT"}, declined("INVALID_AMOUNT", billing.Passing), true},
		{"failed, a new code", has{"status": "failed", "error_code": "A_CODE_OF_TOMORROW"}, declined("A_CODE_OF_TOMORROW", billing.Hard), true},
		{"failed, no code", has{"status": "failed"}, declined("", billing.Hard), true},
		{"failed, what is no code", has{"status": "failed", "error_code": "no code <at> all"}, declined("", billing.Hard), true},
		{"cancelled", has{"status": "cancelled", "error_code": "CUSTOMER_CANCELLED"}, declined("CUSTOMER_CANCELLED", billing.Hard), false},
		{"processing", has{"status": "processing"}, accepted("pay_1"), false},
		{"no status", has{"status": nil}, accepted("pay_1"), false},
		{"customer", has{"status": "requires_customer_action"}, accepted("pay_1"), false},
		{"merchant", has{"status": "requires_merchant_action"}, accepted("pay_1"), false},
		{"method", has{"status": "requires_payment_method"}, accepted("pay_1"), false},
		{"confirmation", has{"status": "requires_confirmation"}, accepted("pay_1"), false},
		{"capture", has{"status": "requires_capture"}, accepted("pay_1"), false},
		{"partly", has{"status": "partially_captured"}, accepted("pay_1"), false},
		{"partly, and more", has{"status": "partially_captured_and_capturable"}, accepted("pay_1"), false},
		{"a new status", has{"status": "settled"}, unclear, true},
		{"capital letters", has{"status": "SUCCEEDED"}, unclear, true},
	} {
		for _, by := range []string{"", "pay_1"} {
			t.Run(c.name+" "+by, func(t *testing.T) {
				_, url, transports := open(t, paid("pay_1", c.change))
				var l log
				g := gateway(t, url, transports["own"], &l)
				w := want
				w.Payment = by
				got := g.Find(t.Context(), order, w)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("want -, got +\n%s", diff)
				}
				if l.alarmed() != c.alarm {
					t.Errorf("got the log %s, want an alarm: %v", l.String(), c.alarm)
				}
				if c.name == "less than asked for" && !strings.Contains(l.String(), `"level":"WARN"`) {
					t.Errorf("got the log %s, want a warning", l.String())
				}
				silent(t, &l)
			})
		}
	}
}

// Six codes are hard by Dodo's own word; the others are our reading of its table.
func TestEveryDeclineHasItsClass(t *testing.T) {
	for class, codes := range map[billing.Class]string{
		billing.Hard: `DO_NOT_HONOR STOLEN_CARD LOST_CARD PICKUP_CARD FRAUDULENT AUTHENTICATION_FAILURE EXPIRED_CARD INCORRECT_NUMBER
			INVALID_CARD_NUMBER INVALID_ACCOUNT INVALID_CARD_OWNER INCORRECT_CVC INVALID_CVC INVALID_EXPIRY_YEAR INVALID_PIN INVALID_UPI_ID
			LIVE_MODE_TEST_CARD MANDATE_INVALID MANDATE_REQUIRED REVOCATION_OF_AUTHORIZATION TRANSACTION_NOT_ALLOWED PAYMENT_METHOD_UNSUPPORTED
			PROVIDER_UNSUPPORTED AUTHENTICATION_REQUIRED CUSTOMER_CANCELLED`,
		billing.Soft: `INSUFFICIENT_FUNDS PROCESSING_ERROR NETWORK_ERROR NETWORK_TIMEOUT GENERIC_DECLINE ISSUER_UNAVAILABLE TRY_AGAIN_LATER
			ORDER_CREATION_FAILED AUTHENTICATION_TIMEOUT REENTER_TRANSACTION UNKNOWN_ERROR LIMIT_EXCEEDED CARD_NOT_ACTIVATED CARD_DECLINED
			TRANSACTION_NOT_APPROVED PAYMENT_METHOD_PROVIDER_DECLINED CARD_VELOCITY_EXCEEDED`,
		billing.Passing: `INVALID_REQUEST INVALID_AMOUNT MANDATE_REQUIRED_SYSTEM`,
	} {
		for _, code := range strings.Fields(codes) {
			for _, written := range []string{code, strings.ToLower(code)} {
				text := fmt.Sprintf(`{"payment_id":"pay_1","status":"failed","error_code":%q,"subscription_id":%q,"metadata":{"order_id":%q}}`, written, mandate, order)
				var l log
				g := gateway(t, "https://dodo.example", says{200, text}, &l)
				w := want
				w.Payment = "pay_1"
				if diff := cmp.Diff(declined(code, class), g.Find(t.Context(), order, w)); diff != "" || l.alarmed() != (class == billing.Passing) {
					t.Errorf("%s: got the log %s; want -, got +\n%s", written, l.String(), diff)
				}
			}
		}
	}
}

func TestFindTellsTheOrdersPaymentsFromAllOthers(t *testing.T) {
	at := func(clock string) string { return "2026-01-31T" + clock + "Z" }
	later := kept("pay_2")
	later.ApprovedAt = noon.Add(time.Hour)
	update := has{"is_update_payment_method": true}
	for _, c := range []struct {
		name     string
		payments []has
		want     billing.Outcome
		alarm    bool
	}{
		{"none", nil, billing.Outcome{Result: billing.Absent}, false},
		{"of another order", []has{paid("pay_1", has{"metadata": has{"order_id": "gl_another"}})}, billing.Outcome{Result: billing.Absent}, false},
		{"without metadata", []has{paid("pay_1", has{"metadata": has{}})}, billing.Outcome{Result: billing.Absent}, false},
		{"of another mandate", []has{paid("pay_1", has{"subscription_id": "sub_other"})}, billing.Outcome{Result: billing.Absent}, false},
		{"long before", []has{paid("pay_1", has{"created_at": at("11:49:59")})}, billing.Outcome{Result: billing.Absent}, false},
		{"by a clock that is behind", []has{paid("pay_1", has{"created_at": at("11:50:00")})}, func() billing.Outcome {
			o := taken("pay_1")
			o.Payment.ApprovedAt = noon.Add(-10 * time.Minute)
			return o
		}(), false},
		{"a new card", []has{paid("pay_1", update)}, billing.Outcome{Result: billing.Absent}, false},
		{"a new card beside it", []has{paid("pay_1", nil), paid("pay_2", update)}, taken("pay_1"), false},
		{"failed before", []has{paid("pay_0", has{"status": "failed", "error_code": "LOST_CARD"}), paid("pay_1", nil)}, taken("pay_1"), false},
		{"failed after", []has{paid("pay_1", nil), paid("pay_9", has{"status": "failed", "error_code": "LOST_CARD"})}, taken("pay_1"), false},
		{"open beside failed", []has{paid("pay_1", has{"status": "failed"}), paid("pay_2", has{"status": "processing"})}, accepted("pay_2"), true},
		{"failed twice", []has{
			paid("pay_2", has{"status": "failed", "error_code": "LOST_CARD", "created_at": at("13:00:00")}),
			paid("pay_1", has{"status": "failed", "error_code": "INSUFFICIENT_FUNDS"}),
		}, declined("LOST_CARD", billing.Hard), false},
		{"twice", []has{paid("pay_1", nil), paid("pay_2", has{"created_at": at("13:00:00")})}, taken("pay_1", later), true},
		{"twice, the later first", []has{paid("pay_2", has{"created_at": at("13:00:00")}), paid("pay_1", nil)}, taken("pay_1", later), true},
		{"twice in one second", []has{paid("pay_3", nil), paid("pay_1", nil)}, taken("pay_1", kept("pay_3")), true},
		{"open beside taken", []has{paid("pay_1", nil), paid("pay_2", has{"status": "processing"})}, taken("pay_1"), true},
		{"strange beside open", []has{paid("pay_1", has{"status": "settled"}), paid("pay_2", has{"status": "processing"})}, unclear, true},
		{"metadata unreadable", []has{paid("pay_1", has{"metadata": nil})}, unclear, true},
		{"id unreadable", []has{paid("pay_1", has{"payment_id": "../1", "metadata": has{}})}, unclear, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, url, transports := open(t, c.payments...)
			var l log
			g := gateway(t, url, transports["own"], &l)
			if diff := cmp.Diff(c.want, g.Find(t.Context(), order, want)); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			if l.alarmed() != c.alarm {
				t.Errorf("got the log %s, want an alarm: %v", l.String(), c.alarm)
			}
			silent(t, &l)
		})
	}
}

// What is being given back does not hide what else became of its order.
func TestFindPassesOverWhatIsBeingGivenBack(t *testing.T) {
	refused := has{"status": "failed", "error_code": "LOST_CARD"}
	for name, c := range map[string]struct {
		payments []has
		want     billing.Result
	}{
		"alone":             {[]has{paid("pay_1", nil)}, billing.Absent},
		"before a decline":  {[]has{paid("pay_1", nil), paid("pay_2", refused)}, billing.Refused},
		"before another":    {[]has{paid("pay_1", nil), paid("pay_2", nil)}, billing.Taken},
		"before what waits": {[]has{paid("pay_1", nil), paid("pay_2", has{"status": "processing"})}, billing.Accepted},
	} {
		_, url, transports := open(t, c.payments...)
		w := want
		w.Passed = []string{"pay_1"}
		got := gateway(t, url, transports["own"], &log{}).Find(t.Context(), order, w)
		if got.Result != c.want || got.Payment.Key == "pay_1" || len(got.Others) > 0 {
			t.Errorf("%s: got %s with %q and %v, want %s", name, got.Result, got.Payment.Key, got.Others, c.want)
		}
	}
}

func TestPaymentOfAnotherOrderIsNotTakenForThisOne(t *testing.T) {
	for name, change := range map[string]has{
		"order": {"metadata": has{"order_id": "gl_another"}}, "metadata": {"metadata": nil}, "mandate": {"subscription_id": "sub_other"},
		"no mandate": {"subscription_id": nil}, "a new card": {"is_update_payment_method": true}, "payment": {"payment_id": "pay_2"},
	} {
		expected, alarmed := unclear, name != "payment"
		if name == "a new card" { // it copies the metadata of the mandate's first order, and is none of the order's
			expected, alarmed = billing.Outcome{Result: billing.Absent}, false
		}
		p := paid("pay_1", change)
		text := fmt.Sprintf(`{"payment_id":%q,"status":"succeeded","total_amount":1188,"currency":"USD","subscription_id":%s,"metadata":%s,"is_update_payment_method":%v}`,
			p["payment_id"], quoted(p["subscription_id"]), quoted(p["metadata"]), p["is_update_payment_method"])
		var l log
		g := gateway(t, "https://dodo.example", says{200, text}, &l)
		w := want
		w.Payment = "pay_1"
		if diff := cmp.Diff(expected, g.Find(t.Context(), order, w)); diff != "" || l.alarmed() != alarmed {
			t.Errorf("%s: got the log %s; want -, got +\n%s", name, l.String(), diff)
		}
		silent(t, &l)
	}
}

func quoted(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case has:
		return fmt.Sprintf(`{"order_id":%q}`, v["order_id"])
	default:
		return fmt.Sprintf("%q", v)
	}
}

func TestFindReadsEveryPage(t *testing.T) {
	crowd := func(n int) (all []has) {
		for i := range n {
			all = append(all, paid(fmt.Sprintf("pay_a%d", i), has{"metadata": has{"order_id": "gl_another"}}))
		}
		return all
	}
	for _, c := range []struct {
		name  string
		n     int // payments of other orders, before it
		size  int // of a page, whatever is asked for
		there bool
		want  billing.Result
		pages int
	}{
		{"a page that is not full", 99, 0, true, billing.Taken, 2},
		{"two pages", 100, 0, true, billing.Taken, 2},
		{"nothing on three", 250, 0, false, billing.Absent, 4},
		{"pages of ten", 35, 10, true, billing.Taken, 4},
		{"nothing on pages of ten", 40, 10, false, billing.Absent, 5},
		{"more than is read", 2000, 0, true, billing.Unclear, 20},
		{"pages of ten, more than is read", 250, 10, true, billing.Unclear, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := crowd(c.n)
			if c.there {
				all = append(all, paid("pay_1", nil))
			}
			s, address, transports := open(t, all...)
			s.size = c.size
			g := gateway(t, address, transports["own"], &log{})
			if got := g.Find(t.Context(), order, want); got.Result != c.want {
				t.Errorf("got %+v, want %s", got, c.want)
			}
			requests, _ := s.seen()
			if n := count(requests, "GET /payments?"); n != c.pages {
				t.Errorf("got %d pages, want %d", n, c.pages)
			}
			u, err := url.Parse(strings.TrimPrefix(requests[0], "GET "))
			wanted := url.Values{"subscription_id": {mandate}, "created_at_gte": {"2026-01-31T11:50:00Z"}, "page_size": {"100"}, "page_number": {"0"}}
			if diff := cmp.Diff(wanted, u.Query()); err != nil || diff != "" {
				t.Errorf("first page: %v; want -, got +\n%s", err, diff)
			}
		})
	}
}

func TestTooManyPaymentsOfAnOrderAreForAPerson(t *testing.T) {
	var all []has
	for i := range 21 {
		all = append(all, paid(fmt.Sprintf("pay_%d", i), nil))
	}
	s, address, transports := open(t, all...)
	g := gateway(t, address, transports["own"], &log{})
	got := g.Find(t.Context(), order, want)
	if requests, _ := s.seen(); got.Result != billing.Unclear || len(requests) != 1 {
		t.Errorf("got %+v after %d requests, want %s after one", got, len(requests), billing.Unclear)
	}
}

func TestOnlyDodosListMakesAPaymentAbsent(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		code   string
	}{
		{404, `{"code":"NOT_FOUND"}`, "NOT_FOUND"},
		{401, `{"code":"UNAUTHORIZED"}`, "UNAUTHORIZED"},
		{429, `{"code":"TOO_MANY_REQUESTS"}`, "TOO_MANY_REQUESTS"},
		{500, `{"items":[]}`, ""},
		{302, `{"items":[]}`, ""},
		{200, `{}`, ""},
		{200, `[]`, ""},
		{200, `{"items":null}`, ""},
		{200, `{"items":{}}`, ""},
		{200, `{"items":[null]}`, ""},
		{200, `{"items":[7]}`, ""},
		{200, `{"items":[{}]}`, ""},
		{200, `{"ITEMS":[]}`, ""},
		{200, `<html>`, ""},
		{200, ``, ""},
	} {
		g := gateway(t, "https://dodo.example", says{c.status, c.body}, &log{})
		if diff := cmp.Diff(billing.Outcome{Result: billing.Unclear, Code: c.code}, g.Find(t.Context(), order, want)); diff != "" {
			t.Errorf("%d %s: want -, got +\n%s", c.status, c.body, diff)
		}
	}
	g := gateway(t, "https://dodo.example", says{200, `{"items":[]}`}, &log{})
	if got := g.Find(t.Context(), order, want); got.Result != billing.Absent {
		t.Errorf("an empty list: got %+v, want %s", got, billing.Absent)
	}
}

func TestNothingIsLookedUpWithoutAnOrderAndAMandate(t *testing.T) {
	s, address, transports := open(t, paid("pay_1", nil))
	g := gateway(t, address, transports["own"], &log{})
	for _, id := range []string{"", "../../x", "a", strings.Repeat("a", 65)} {
		if got := g.Find(t.Context(), id, want); got.Result != billing.Unclear {
			t.Errorf("Find(%q): got %+v, want %s", id, got, billing.Unclear)
		}
	}
	for _, w := range []billing.Want{{Amount: amount}, {Amount: amount, Card: card, Payment: "../x"}, {Card: billing.Card{BillingKey: "a b"}}} {
		if got := g.Find(t.Context(), order, w); got.Result != billing.Unclear {
			t.Errorf("Find(%+v): got %+v, want %s", w, got, billing.Unclear)
		}
	}
	if requests, _ := s.seen(); len(requests) != 0 {
		t.Errorf("got %q, want no request", requests)
	}
}

func TestWhatDoesNotDecideMaySpoil(t *testing.T) {
	_, address, transports := open(t, paid("pay_1", has{
		"tax": "189", "card_last_four": "4242424242424242", "card_network": 7, "invoice_url": strings.Repeat("u", 3000), "created_at": "2026-01-31T12:00:05+00:00",
		"refunds": "?", "updated_at": "yesterday",
	}))
	g := gateway(t, address, transports["own"], &log{})
	wanted := billing.Outcome{Result: billing.Taken, Payment: billing.Payment{Key: "pay_1", Mandate: mandate, Amount: 1188, Currency: "USD", ApprovedAt: noon.Add(5 * time.Second)}}
	w := want
	w.Amount = money.Of(999, "KRW")
	if diff := cmp.Diff(wanted, g.Find(t.Context(), order, w)); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}
