package toss_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

func TestForgetDeletesTheBillingKey(t *testing.T) {
	s, url, transports := open(t)
	var l log
	g := gateway(t, url+"/toss", transports["own"], &l)
	for i := range 2 {
		if err := g.Forget(t.Context(), card); err != nil {
			t.Errorf("call %d: got %v, want no error", i, err)
		}
	}
	requests, _, _ := s.seen()
	want := "DELETE /toss/v1/billing/Z_t5vOvQxrj4499PeiJcjen28+V2RyqgYTwN44Rdzk0= "
	if diff := cmp.Diff([]string{want, want}, requests); diff != "" || !s.deleted || s.bodies[0] != "" {
		t.Errorf("got the body %q and deleted %v, want none and true; requests: want -, got +\n%s", s.bodies[0], s.deleted, diff)
	}
	silent(t, &l)
}

func TestForgetTellsGoneFromOutage(t *testing.T) {
	type row struct {
		status int
		code   string
		gone   bool
		alarm  bool
	}
	rows := []row{
		{200, "", true, false},
		{404, "NOT_FOUND_BILLING", true, false},
		{401, "UNAUTHORIZED_KEY", false, true},
		{409, "IDEMPOTENT_REQUEST_PROCESSING", false, false},
		{429, "TOO_MANY_REQUESTS", false, false},
		{404, "NOT_FOUND", false, false},
		{404, "", false, false},
		{302, "", false, false},
		{204, "", false, false},
	}
	for _, code := range []string{"ALREADY_REMOVED_BILLING_KEY", "BILLING_KEY_NOT_FOUND", "INVALID_BILL_KEY_REQUEST", "NOT_FOUND_BILLING"} {
		rows = append(rows, row{400, code, true, false}, row{403, code, true, false}, row{401, code, false, false},
			row{409, code, false, false}, row{429, code, false, false}, row{500, code, false, false}, row{302, code, false, false})
	}
	for _, code := range []string{"INVALID_API_KEY", "INCORRECT_BASIC_AUTH_FORMAT", "FORBIDDEN_REQUEST", "INVALID_REQUEST"} {
		rows = append(rows, row{400, code, false, true}, row{403, code, false, true}, row{500, code, false, false})
	}
	for _, code := range []string{"COMMON_ERROR", "PROVIDER_ERROR", "FAILED_DB_PROCESSING", "A_CODE_OF_TOMORROW", "INVALID_STOPPED_CARD"} {
		rows = append(rows, row{400, code, false, false}, row{500, code, false, false})
	}
	for _, c := range rows {
		body := ""
		if c.code != "" {
			body = fmt.Sprintf(`{"code":%q,"message":"message of toss"}`, c.code)
		}
		var l log
		g := gateway(t, "https://toss.example", says{status: c.status, body: body}, &l)
		err := g.Forget(t.Context(), card)
		if c.gone != (err == nil) || err != nil && (!errors.Is(err, fault.Unavailable) || fault.Code(err) != "gateway_unavailable") {
			t.Errorf("%d %s: got %v, want it forgotten: %v", c.status, c.code, err, c.gone)
		}
		if alarm := strings.Contains(l.String(), `"level":"ERROR"`); alarm != c.alarm {
			t.Errorf("%d %s: got the log %s, want an alarm: %v", c.status, c.code, l.String(), c.alarm)
		}
		silent(t, &l, fmt.Sprint(err))
	}
}

func TestForgetMayBeRepeatedAfterEveryFailure(t *testing.T) {
	for _, transport := range []string{"own", "kept"} {
		for _, done := range []bool{false, true} {
			for _, how := range []string{"hang", "reset", "500"} {
				t.Run(fmt.Sprintf("%s done=%v %s", transport, done, how), func(t *testing.T) {
					s, url, transports := open(t)
					var l log
					g := gateway(t, url, transports[transport], &l)
					g.FindRefund(t.Context(), refunding)
					s.failNext(failure{done: done, how: how})
					err := interrupted(t, s, how, func(ctx context.Context) error { return g.Forget(ctx, card) })
					if !errors.Is(err, fault.Unavailable) {
						t.Errorf("failed: got %v, want fault.Unavailable", err)
					}
					if requests, _, _ := s.seen(); len(requests) != 2 {
						t.Errorf("failed: got %q, want one request behind the first", requests)
					}
					if again := g.Forget(t.Context(), card); again != nil || !s.deleted {
						t.Errorf("the same again: got %v and deleted %v, want no error and true", again, s.deleted)
					}
					silent(t, &l, fmt.Sprint(err))
				})
			}
		}
	}
}

func TestForgetOfNoBillingKeyIsNotSent(t *testing.T) {
	for _, key := range []string{"", ".", "..", "a b", "a\n", strings.Repeat("k", 201)} {
		s, url, transports := open(t)
		g := gateway(t, url, transports["own"], &log{})
		if err := g.Forget(t.Context(), billing.Card{BillingKey: key}); !errors.Is(err, fault.Unavailable) {
			t.Errorf("%q: got %v, want fault.Unavailable", key, err)
		}
		if requests, _, _ := s.seen(); len(requests) != 0 {
			t.Errorf("%q: got %q, want no request", key, requests)
		}
	}
}
