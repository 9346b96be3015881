package toss_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

var (
	day     = time.Date(2026, 1, 31, 15, 0, 0, 0, time.UTC) // midnight in Korea
	nextDay = day.AddDate(0, 0, 1)
)

// transaction is a row of Toss's list, spoiled member by member.
func transaction(key, status string, amount any, at time.Time, spoil map[string]any) map[string]any {
	row := map[string]any{
		"mId": "example-shop", "transactionKey": key, "paymentKey": paymentKey, "orderId": order, "method": "카드",
		"customerKey": customerKey, "useEscrow": false, "receiptUrl": "https://dashboard.example.com/receipt?transactionId=x",
		"status": status, "transactionAt": at.In(time.FixedZone("", 9*60*60)).Format(time.RFC3339), "currency": "KRW", "amount": amount,
	}
	maps.Copy(row, spoil)
	return row
}

// listed is rows as an answer.
func listed(t testing.TB, rows ...map[string]any) string {
	t.Helper()
	text, err := json.Marshal(append([]map[string]any{}, rows...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// entry is what becomes of a transaction of the one payment.
func entry(at time.Time, taken, returned int64) billing.Entry {
	return billing.Entry{OrderID: order, Payment: paymentKey, At: at, Currency: "KRW", Taken: taken, Returned: returned}
}

func TestStatementShowsWhatMovedAndWhichWay(t *testing.T) {
	at := day.Add(time.Hour)
	var l log
	g := gateway(t, "https://toss.example", says{status: 200, body: listed(t,
		transaction("A", "DONE", 4900, at, nil),
		transaction("B", "PARTIAL_CANCELED", 1900, at, nil),
		transaction("C", "PARTIAL_CANCELED", -1000, at, nil),
		transaction("D", "CANCELED", 2000, at, nil),
		transaction("E", "DONE", 4900, at, map[string]any{"orderId": nil}),
		transaction("F", "DONE", 4900, at, map[string]any{"orderId": "of=another=shop"}),
		transaction("G", "WAITING_FOR_DEPOSIT", 700, at, nil),
		transaction("H", "READY", 700, at, nil),
		transaction("I", "IN_PROGRESS", 700, at, nil),
		transaction("J", "ABORTED", 700, at, nil),
		transaction("K", "EXPIRED", 700, at, nil),
		transaction("L", "DONE", 726.24, at, map[string]any{"currency": "USD"}),
		transaction("M", "DONE", 100, at, map[string]any{"method": nil, "new": true, "receiptUrl": 7}),
	)}, &l)
	got, next, err := g.Statement(t.Context(), day, nextDay, "")
	noOrder, foreign := entry(at, 4900, 0), entry(at, 4900, 0)
	noOrder.OrderID, foreign.OrderID = "", "of=another=shop"
	want := []billing.Entry{entry(at, 4900, 0), entry(at, 0, 1900), entry(at, 0, 1000), entry(at, 0, 2000), noOrder, foreign, entry(at, 100, 0)}
	if diff := cmp.Diff(want, got); diff != "" || next != "" || err != nil {
		t.Errorf("got the next %q and %v, want none; want -, got +\n%s", next, err, diff)
	}
	if strings.Contains(l.String(), `"level":"ERROR"`) || strings.Contains(l.String(), customerKey) {
		t.Errorf("got the log %s, want no error and no customer in it", l.String())
	}
	silent(t, &l)
}

func TestStatementHasExactEnds(t *testing.T) {
	second := time.Second
	for _, c := range []struct {
		name       string
		from, to   time.Time
		start, end string
		want       []time.Duration // of the rows, from day
	}{
		{"a day", day, nextDay, "2026-02-01T00:00:00", "2026-02-02T00:00:00", []time.Duration{0, second, 24*time.Hour - second}},
		{"within seconds", day.Add(1), day.Add(second + 1), "2026-02-01T00:00:00", "2026-02-01T00:00:02", []time.Duration{second}},
		{"another zone", day.In(time.FixedZone("", -5*60*60)), day.Add(second), "2026-02-01T00:00:00", "2026-02-01T00:00:01", []time.Duration{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, url, transports := open(t)
			for i, at := range []time.Duration{-second, 0, second, 24*time.Hour - second, 24 * time.Hour} {
				s.rows = append(s.rows, transaction(fmt.Sprint("T", i), "DONE", 4900, day.Add(at), nil))
			}
			var asked string
			g := gateway(t, url, spy{transports["own"], func(r *http.Request) { asked = r.URL.RawQuery }}, &log{})
			got, next, err := g.Statement(t.Context(), c.from, c.to, "")
			var want []billing.Entry
			for _, at := range c.want {
				want = append(want, entry(day.Add(at), 4900, 0))
			}
			if diff := cmp.Diff(want, got); diff != "" || next != "" || err != nil {
				t.Errorf("got the next %q and %v, want none; want -, got +\n%s", next, err, diff)
			}
			wantQuery := "endDate=" + strings.ReplaceAll(c.end, ":", "%3A") + "&limit=500&startDate=" + strings.ReplaceAll(c.start, ":", "%3A")
			if asked != wantQuery {
				t.Errorf("got the query %s, want %s", asked, wantQuery)
			}
			requests, _, _ := s.seen()
			if diff := cmp.Diff([]string{"GET /v1/transactions "}, requests); diff != "" {
				t.Errorf("requests: want -, got +\n%s", diff)
			}
		})
	}
}

// spy shows each request before it goes on.
type spy struct {
	to   http.RoundTripper
	look func(*http.Request)
}

func (s spy) RoundTrip(r *http.Request) (*http.Response, error) {
	s.look(r)
	return s.to.RoundTrip(r)
}

func TestStatementGoesOnUntilItsEnd(t *testing.T) {
	for _, count := range []int{0, 1, 499, 500, 501, 1000, 1203} {
		s, url, transports := open(t)
		var want []billing.Entry
		for i := range count {
			at := day.Add(time.Duration(i) * time.Second)
			s.rows = append(s.rows, transaction(fmt.Sprintf("T%d", i), "DONE", i+1, at, nil))
			want = append(want, entry(at, int64(i+1), 0))
		}
		g := gateway(t, url, transports["own"], &log{})
		var got []billing.Entry
		pages, after := 0, ""
		for {
			entries, next, err := g.Statement(t.Context(), day, nextDay, after)
			if err != nil {
				t.Fatalf("%d rows, page %d: got %v, want no error", count, pages, err)
			}
			got = append(got, entries...)
			if pages++; next == "" || pages > 10 {
				break
			}
			after = next
		}
		if diff := cmp.Diff(want, got); diff != "" || pages != count/500+1 {
			t.Errorf("%d rows: got %d pages, want %d; want -, got +\n%s", count, pages, count/500+1, diff)
		}
	}
}

func TestStatementThatCannotBeReadInFullIsAnOutage(t *testing.T) {
	row := func(status string, amount any, spoil map[string]any) string {
		return listed(t, transaction("A", "DONE", 4900, day, nil), transaction("B", status, amount, day, spoil))
	}
	full := make([]map[string]any, 500)
	for i := range full {
		full[i] = transaction("SAME", "DONE", 1, day, nil)
	}
	endless := listed(t, full...)
	full[499] = transaction("", "DONE", 1, day, nil)
	for name, c := range map[string]struct {
		status int
		body   string
		alarm  bool
	}{
		"no JSON":              {200, "<html>", false},
		"nothing":              {200, "", false},
		"null":                 {200, "null", false},
		"an object":            {200, "{}", false},
		"a list of numbers":    {200, "[1]", false},
		"a list of null":       {200, "[null]", false},
		"not UTF-8":            {200, "[{\"a\":\"\xff\"}]", false},
		"cut":                  {200, row("DONE", 1, nil)[:200], false},
		"no amount":            {200, row("DONE", nil, nil), false},
		"no whole amount":      {200, row("DONE", 1.5, nil), false},
		"amount as text":       {200, row("DONE", "1", nil), false},
		"taken less than none": {200, row("DONE", -1, nil), false},
		"taken nothing":        {200, row("DONE", 0, nil), false},
		"returned nothing":     {200, row("CANCELED", 0, nil), false},
		"no time":              {200, row("DONE", 1, map[string]any{"transactionAt": nil}), false},
		"a time without zone":  {200, row("DONE", 1, map[string]any{"transactionAt": "2026-02-01T00:00:00"}), false},
		"no payment":           {200, row("CANCELED", 1, map[string]any{"paymentKey": nil}), false},
		"no currency":          {200, row("DONE", 1, map[string]any{"currency": nil}), false},
		"no state":             {200, row("", 1, map[string]any{"status": nil}), false},
		"a state of no kind":   {200, row("done <b>", 1, nil), false},
		"leads nowhere":        {200, listed(t, full...), false},
		"leads to itself":      {200, endless, false},
		"wrong secret":         {401, `{"code":"UNAUTHORIZED_KEY","message":"message of toss"}`, true},
		"wrong page":           {400, `{"code":"INVALID_TRANSACTION_KEY","message":"message of toss"}`, false},
		"too many":             {429, `{}`, false},
		"down":                 {503, `{"code":"COMMON_ERROR","message":"message of toss"}`, false},
		"not here":             {404, `[]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			g := gateway(t, "https://toss.example", says{status: c.status, body: c.body}, &l)
			got, next, err := g.Statement(t.Context(), day, nextDay, "SAME")
			if !errors.Is(err, fault.Unavailable) || fault.Code(err) != "gateway_unavailable" || got != nil || next != "" {
				t.Errorf("got %v, %q, %v, want fault.Unavailable alone", got, next, err)
			}
			if alarm := strings.Contains(l.String(), `"level":"ERROR"`); alarm != c.alarm {
				t.Errorf("got the log %s, want an alarm: %v", l.String(), c.alarm)
			}
			silent(t, &l, fmt.Sprint(err))
		})
	}
}

func TestTransactionInANewStateIsLeftOutWithAnAlarm(t *testing.T) {
	var l log
	g := gateway(t, "https://toss.example", says{status: 200, body: listed(t,
		transaction("A", "PAUSED", 700, day, nil), transaction("B", "DONE", 4900, day, nil))}, &l)
	got, _, err := g.Statement(t.Context(), day, nextDay, "")
	if diff := cmp.Diff([]billing.Entry{entry(day, 4900, 0)}, got); diff != "" || err != nil {
		t.Errorf("got %v, want no error; want -, got +\n%s", err, diff)
	}
	if !strings.Contains(l.String(), `"level":"ERROR"`) || !strings.Contains(l.String(), "PAUSED") {
		t.Errorf("got the log %s, want an error that names the state", l.String())
	}
}

func TestStatementOfNoTimeIsEmpty(t *testing.T) {
	s, url, transports := open(t)
	g := gateway(t, url, transports["own"], &log{})
	for _, to := range []time.Time{day, day.Add(-time.Hour)} {
		if got, next, err := g.Statement(t.Context(), day, to, ""); got != nil || next != "" || err != nil {
			t.Errorf("got %v, %q, %v, want nothing", got, next, err)
		}
	}
	if requests, _, _ := s.seen(); len(requests) != 0 {
		t.Errorf("got %q, want no request", requests)
	}
}

func TestStatementAfterEveryFailureIsAnOutage(t *testing.T) {
	for _, how := range []string{"hang", "reset", "500"} {
		t.Run(how, func(t *testing.T) {
			s, url, transports := open(t)
			var l log
			g := gateway(t, url, transports["own"], &l)
			s.failNext(failure{how: how})
			err := interrupted(t, s, how, func(ctx context.Context) error {
				_, _, err := g.Statement(ctx, day, nextDay, "")
				return err
			})
			if !errors.Is(err, fault.Unavailable) {
				t.Errorf("got %v, want fault.Unavailable", err)
			}
			if requests, _, _ := s.seen(); len(requests) != 1 {
				t.Errorf("got %q, want one request", requests)
			}
			silent(t, &l, fmt.Sprint(err))
		})
	}
}
