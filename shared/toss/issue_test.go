package toss_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

var registration = billing.Registration{Key: "reg_2f81c0", AuthKey: authKey, CustomerKey: customerKey}

func slogTo(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

func TestIssueGivesTheBillingKey(t *testing.T) {
	s, url, transports := open(t)
	var l log
	g := gateway(t, url, transports["own"], &l)
	got, err := g.Issue(t.Context(), registration)
	want := billing.Card{BillingKey: "key-0=", CustomerKey: customerKey, Number: "53275010****222*", Issuer: "24"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("got the error %v; want -, got +\n%s", err, diff)
	}
	requests, _, _ := s.seen()
	if diff := cmp.Diff([]string{"POST /v1/billing/authorizations/issue reg_2f81c0"}, requests); diff != "" {
		t.Errorf("requests: want -, got +\n%s", diff)
	}
	if want := fmt.Sprintf(`{"authKey":%q,"customerKey":%q}`, authKey, customerKey); s.bodies[0] != want {
		t.Errorf("got the body %s, want %s", s.bodies[0], want)
	}
	if strings.Contains(l.String(), "key-0") {
		t.Errorf("got the log %s, want no billing key in it", l.String())
	}
	silent(t, &l)
}

func TestIssueTellsRefusalFromOutage(t *testing.T) {
	code := func(c string) string { return fmt.Sprintf(`{"code":%q,"message":"message of toss"}`, c) }
	type row struct {
		status int
		body   string
		want   error
		alarm  bool
	}
	var rows []row
	for _, c := range []string{
		"INVALID_CARD_NUMBER", "INVALID_CARD_EXPIRATION", "INVALID_CARD_PASSWORD", "INVALID_CARD_IDENTITY", "INVALID_CARD_OF_TOMORROW",
		"INVALID_CARD_LOST_OR_STOLEN", "INVALID_STOPPED_CARD", "INVALID_REJECT_CARD", "INVALID_BIRTH_DAY_FORMAT", "NOT_SUPPORTED_CARD_TYPE",
		"NOT_REGISTERED_CARD_COMPANY", "EXCEED_MAX_AUTH_COUNT", "REJECT_CARD_COMPANY", "FAILED_BILL_KEY_AUTH_CREATION",
		"INVALID_BILLING_AUTH", "INVALID_BILL_KEY_REQUEST", "NOT_MATCHES_CUSTOMER_KEY", "INVALID_CUSTOMER_KEY", "INVALID_REQUEST", "FDS_ERROR",
	} {
		rows = append(rows,
			row{400, code(c), fault.Invalid, false}, row{403, code(c), fault.Invalid, false},
			row{409, code(c), fault.Unavailable, false}, row{429, code(c), fault.Unavailable, false}, row{500, code(c), fault.Unavailable, false})
	}
	for _, c := range []string{"UNAUTHORIZED_KEY", "INVALID_API_KEY", "INCORRECT_BASIC_AUTH_FORMAT", "FORBIDDEN_REQUEST", "NOT_SUPPORTED_METHOD", "INVALID_IDEMPOTENCY_KEY"} {
		rows = append(rows, row{400, code(c), fault.Unavailable, true}, row{403, code(c), fault.Unavailable, true})
	}
	rows = append(
		rows,
		row{401, code("UNAUTHORIZED_KEY"), fault.Unavailable, true},
		row{409, code("IDEMPOTENT_REQUEST_PROCESSING"), fault.Unavailable, false},
		row{429, `slow down`, fault.Unavailable, false},
		row{500, code("COMMON_ERROR"), fault.Unavailable, false},
		row{400, code("COMMON_ERROR"), fault.Unavailable, false},
		row{400, code("MAINTAINED_METHOD"), fault.Unavailable, false},
		row{400, code("A_CODE_OF_TOMORROW"), fault.Unavailable, false},
		row{400, `<html>`, fault.Unavailable, false},
		row{302, ``, fault.Unavailable, false},
		row{200, ``, fault.Unavailable, false},
		row{200, `{}`, fault.Unavailable, false},
		row{200, fmt.Sprintf(`{"billingKey":"","customerKey":%q}`, customerKey), fault.Unavailable, false},
		row{200, fmt.Sprintf(`{"billingKey":"..","customerKey":%q}`, customerKey), fault.Unavailable, false},
		row{200, fmt.Sprintf(`{"billingKey":%q,"customerKey":%q}`, strings.Repeat("k", 201), customerKey), fault.Unavailable, false},
		row{200, `{"billingKey":"key-of-another","customerKey":"another"}`, fault.Invalid, false},
	)
	for _, c := range rows {
		var l log
		g := gateway(t, "https://toss.example", says{status: c.status, body: c.body}, &l)
		card, err := g.Issue(t.Context(), registration)
		wantCode := map[error]string{fault.Invalid: "payment_method_refused", fault.Unavailable: "gateway_unavailable"}[c.want]
		if !errors.Is(err, c.want) || fault.Code(err) != wantCode || card != (billing.Card{}) {
			t.Errorf("%d %s: got %+v, %v, want %v with code %s", c.status, c.body, card, err, c.want, wantCode)
		}
		if alarm := strings.Contains(l.String(), `"level":"ERROR"`); alarm != c.alarm {
			t.Errorf("%d %s: got the log %s, want an alarm: %v", c.status, c.body, l.String(), c.alarm)
		}
		silent(t, &l, fmt.Sprint(err))
		if strings.Contains(fmt.Sprint(err, l.String()), "key-of-another") {
			t.Errorf("%d %s: got the billing key in %v or the log, want it nowhere", c.status, c.body, err)
		}
	}
}

func TestRegistrationThatCannotBeIsNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*billing.Registration)
		want  error
	}{
		"no authKey":          {func(r *billing.Registration) { r.AuthKey = "" }, fault.Invalid},
		"authKey too long":    {func(r *billing.Registration) { r.AuthKey = strings.Repeat("a", 301) }, fault.Invalid},
		"authKey with line":   {func(r *billing.Registration) { r.AuthKey = "a\nb" }, fault.Invalid},
		"customerKey short":   {func(r *billing.Registration) { r.CustomerKey = "a" }, fault.Invalid},
		"customerKey strange": {func(r *billing.Registration) { r.CustomerKey = "a/b" }, fault.Invalid},
		"no key of ours":      {func(r *billing.Registration) { r.Key = "" }, fault.Unavailable},
		"key too long":        {func(r *billing.Registration) { r.Key = strings.Repeat("a", 301) }, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s, url, transports := open(t)
			g := gateway(t, url, transports["own"], &log{})
			r := registration
			c.spoil(&r)
			if _, err := g.Issue(t.Context(), r); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if requests, _, _ := s.seen(); len(requests) != 0 {
				t.Errorf("got %q, want no request", requests)
			}
		})
	}
}

func TestIssueRenewsTheSecretKeyToo(t *testing.T) {
	asked := 0
	url, transports := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if user, _, _ := r.BasicAuth(); user != newSecret {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"code":"UNAUTHORIZED_KEY"}`)
			return
		}
		fmt.Fprintf(w, `{"billingKey":"key","customerKey":%q}`, customerKey)
	}))
	g := gateway(t, url, transports["own"], &log{}, rotated)
	if card, err := g.Issue(t.Context(), registration); err != nil || card.BillingKey != "key" || asked != 2 {
		t.Errorf("got %+v, %v after %d requests, want the key after 2", card, err, asked)
	}
}
