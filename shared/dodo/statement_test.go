package dodo_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/dodo"
	"grantline/shared/fault"
)

// all reads a statement to its end.
func all(t *testing.T, g *dodo.Gateway, from, to time.Time) (entries []billing.Entry, pages int) {
	t.Helper()
	for after := ""; ; pages++ {
		some, next, err := g.Statement(t.Context(), from, to, after)
		if err != nil || pages > 100 {
			t.Fatalf("page %q: got %v after %d pages, want no error and an end", after, err, pages)
		}
		entries = append(entries, some...)
		if after = next; after == "" {
			return entries, pages + 1
		}
	}
}

func TestStatementIsWhatWasTakenAndGivenBack(t *testing.T) {
	at := func(clock string) has { return has{"created_at": "2026-01-31T" + clock + "Z"} }
	with := func(change has, more has) has {
		for k, v := range more {
			change[k] = v
		}
		return change
	}
	s, url, transports := open(t,
		paid("pay_early", at("11:59:59.999999")),
		paid("pay_first", at("12:00:00")),
		paid("pay_failed", with(at("12:01:00"), has{"status": "failed"})),
		paid("pay_open", with(at("12:01:00"), has{"status": nil, "total_amount": nil})),
		paid("pay_mandate", with(at("12:02:00"), has{"total_amount": 0})),
		paid("pay_other", with(at("12:03:00"), has{"metadata": has{}, "currency": "KRW", "total_amount": 5000})),
		paid("pay_strange", with(at("12:03:30"), has{"metadata": has{"order_id": "no id of ours"}})),
		paid("pay_last", at("12:59:59.999999")),
		paid("pay_late", at("13:00:00")),
	)
	s.refunds = []has{
		{"refund_id": "ref_1", "payment_id": "pay_early", "status": "succeeded", "amount": 100, "currency": "USD", "is_partial": true, "created_at": "2026-01-31T12:30:00Z"},
		{"refund_id": "ref_2", "payment_id": "pay_first", "status": "succeeded", "amount": nil, "currency": nil, "is_partial": false, "created_at": "2026-01-31T12:31:00Z"},
		{"refund_id": "ref_3", "payment_id": "pay_first", "status": "pending", "amount": 1, "currency": "USD", "created_at": "2026-01-31T12:32:00Z"},
		{"refund_id": "ref_4", "payment_id": "pay_first", "status": "succeeded", "amount": 1, "currency": "USD", "created_at": "2026-01-31T13:00:00Z"},
	}
	var l log
	g := gateway(t, url, transports["own"], &l)
	got, pages := all(t, g, noon, noon.Add(time.Hour))
	wanted := []billing.Entry{
		{OrderID: order, Payment: "pay_first", At: noon, Currency: "USD", Taken: 1188},
		{Payment: "pay_other", At: noon.Add(3 * time.Minute), Currency: "KRW", Taken: 5000},
		{Payment: "pay_strange", At: noon.Add(3*time.Minute + 30*time.Second), Currency: "USD", Taken: 1188},
		{OrderID: order, Payment: "pay_last", At: noon.Add(time.Hour - time.Microsecond), Currency: "USD", Taken: 1188},
		{OrderID: order, Payment: "pay_early", At: noon.Add(30 * time.Minute), Currency: "USD", Returned: 100},
		{OrderID: order, Payment: "pay_first", At: noon.Add(31 * time.Minute), Currency: "USD", Returned: 1188},
	}
	if diff := cmp.Diff(wanted, got); diff != "" || pages != 2 {
		t.Errorf("got %d pages, want 2; want -, got +\n%s", pages, diff)
	}
	silent(t, &l)
}

func TestStatementHasEveryPage(t *testing.T) {
	for _, size := range []int{0, 10} {
		var payments []has
		for i := range 230 {
			payments = append(payments, paid(fmt.Sprintf("pay_%d", i), nil))
		}
		s, url, transports := open(t, payments...)
		s.size = size
		for i := range 45 {
			s.refunds = append(s.refunds, has{
				"refund_id": fmt.Sprintf("ref_%d", i), "payment_id": "pay_7", "status": "succeeded", "amount": 1, "currency": "USD", "created_at": "2026-01-31T12:30:00Z",
			})
		}
		g := gateway(t, url, transports["own"], &log{})
		got, _ := all(t, g, noon, noon.Add(time.Hour))
		taken, returned := map[string]bool{}, int64(0)
		for _, e := range got {
			if e.Taken > 0 {
				taken[e.Payment] = true
			}
			returned += e.Returned
		}
		if len(taken) != 230 || returned != 45 || len(got) != 275 {
			t.Errorf("pages of %d: got %d payments and %d given back in %d entries, want 230, 45 and 275", size, len(taken), returned, len(got))
		}
	}
}

func TestStatementThatCannotBeReadIsUnavailable(t *testing.T) {
	for name, c := range map[string]struct {
		after, text string
		status      int
	}{
		"limit":            {"", `{"code":"TOO_MANY_REQUESTS"}`, 429},
		"key":              {"", `{"code":"UNAUTHORIZED"}`, 401},
		"no list":          {"", `{}`, 200},
		"no date":          {"", `{"items":[{"payment_id":"pay_1"}]}`, 200},
		"no amount":        {"", `{"items":[{"payment_id":"pay_1","status":"succeeded","currency":"USD","created_at":"2026-01-31T12:00:00Z"}]}`, 200},
		"no currency":      {"", `{"items":[{"payment_id":"pay_1","status":"succeeded","total_amount":1,"created_at":"2026-01-31T12:00:00Z"}]}`, 200},
		"no payment":       {"", `{"items":[{"status":"succeeded","total_amount":1,"currency":"USD","created_at":"2026-01-31T12:00:00Z"}]}`, 200},
		"refund of none":   {"refunds:0", `{"items":[{"status":"succeeded","created_at":"2026-01-31T12:00:00Z"}]}`, 200},
		"payment not had":  {"refunds:0", `{"items":[{"status":"succeeded","payment_id":"pay_1","created_at":"2026-01-31T12:00:00Z"}]}`, 200},
		"a page of others": {"elsewhere:0", `{"items":[]}`, 200},
		"a page below 0":   {"refunds:-1", `{"items":[]}`, 200},
		"a page far away":  {"payments:2000", `{"items":[]}`, 200},
		"no page":          {"payments", `{"items":[]}`, 200},
	} {
		var l log
		g := gateway(t, "https://dodo.example", says{c.status, c.text}, &l)
		entries, next, err := g.Statement(t.Context(), noon, noon.Add(time.Hour), c.after)
		if !errors.Is(err, fault.Unavailable) || entries != nil || next != "" {
			t.Errorf("%s: got %v, %q, %v, want fault.Unavailable alone", name, entries, next, err)
		}
		silent(t, &l, fmt.Sprint(err))
	}
}
