package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/table"
	"grantline/shared/web"
)

// fails makes the webhooks of dodo fail with an error, and gives the answer.
func (w *world) fails(err error) (*httptest.ResponseRecorder, web.Problem) {
	w.Helper()
	w.webhooks["dodo"].Scopes = map[table.Scope]web.Webhook{
		table.Default: func(context.Context, http.Header, []byte) (notice.Hint, error) { return notice.Hint{}, err },
	}
	rw := httptest.NewRecorder()
	w.ServeHTTP(rw, httptest.NewRequestWithContext(w.Context(), "POST", "/webhooks/dodo", strings.NewReader("{}")))
	var p web.Problem
	if err := json.Unmarshal(rw.Body.Bytes(), &p); err != nil {
		w.Errorf("got %s, want a problem: %v", rw.Body, err)
	}
	return rw, p
}

// An error is of the kind that its outermost fault says, whose words alone are shown; but
// with an outage anywhere within nothing was proven false.
func TestAProblemIsOfTheKindOfItsErrorAndShowsNoCause(t *testing.T) {
	invalid := fault.New(fault.Invalid, "invalid_thing", "The thing is not valid.")
	down := fault.New(fault.Unavailable, "thing_unavailable", "The thing cannot be had now.")
	missing := fault.New(fault.NotFound, "thing_not_found", "There is no such thing.")
	secret := errors.New("SECRET")
	problem := func(status int, code, detail string) web.Problem {
		return web.Problem{
			Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Retryable: status >= 500,
		}
	}
	const ours = "Something went wrong on our side."
	for name, c := range map[string]struct {
		err  error
		want web.Problem
	}{
		"a fault":                       {invalid, problem(422, "invalid_thing", "The thing is not valid.")},
		"a fault, wrapped":              {fmt.Errorf("SECRET: %w", invalid), problem(422, "invalid_thing", "The thing is not valid.")},
		"with a cause":                  {invalid.Because(secret), problem(422, "invalid_thing", "The thing is not valid.")},
		"because of another kind":       {invalid.Because(missing), problem(422, "invalid_thing", "The thing is not valid.")},
		"and the other way round":       {missing.Because(invalid), problem(404, "thing_not_found", "There is no such thing.")},
		"an outage":                     {down, problem(503, "thing_unavailable", "The thing cannot be had now.")},
		"an outage because of a denial": {down.Because(invalid), problem(503, "thing_unavailable", "The thing cannot be had now.")},
		"a denial because of an outage": {invalid.Because(down), problem(503, "unavailable", "")},
		"a denial and an outage":        {errors.Join(invalid, down), problem(503, "unavailable", "")},
		"an outage without words":       {fmt.Errorf("SECRET: %w", fault.Unavailable), problem(503, "unavailable", "")},
		"malformed without words":       {fmt.Errorf("SECRET: %w", fault.Malformed), problem(400, "invalid_request", "")},
		"nobody, without words":         {fmt.Errorf("SECRET: %w", fault.Unauthenticated), problem(401, "unauthenticated", "")},
		"denied without words":          {fmt.Errorf("SECRET: %w", fault.Denied), problem(403, "forbidden", "")},
		"absent without words":          {fmt.Errorf("SECRET: %w", fault.NotFound), problem(404, "not_found", "")},
		"conflict without words":        {&table.Conflict{}, problem(409, "conflict", "")},
		"invalid without words":         {fmt.Errorf("SECRET: %w", fault.Invalid), problem(422, "invalid", "")},
		"of no kind":                    {secret, problem(500, "internal_error", ours)},
		"of a kind that nobody knows":   {fault.New(secret, "code", "Detail."), problem(500, "internal_error", ours)},
	} {
		w := newWorld(t)
		rw, got := w.fails(c.err)
		if diff := cmp.Diff(c.want, got); diff != "" || rw.Code != c.want.Status {
			t.Errorf("%s: got status %d and problem (-want +got):\n%s", name, rw.Code, diff)
		}
		if strings.Contains(rw.Body.String(), "SECRET") {
			t.Errorf("%s: got %s, which shows a cause", name, rw.Body)
		}
		if got := rw.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s: got content type %s, want that of a problem", name, got)
		}
		if got, want := rw.Header().Get("Retry-After") != "", c.want.Status == 503; got != want {
			t.Errorf("%s: got Retry-After %t, want %t", name, got, want)
		}
		if got, want := rw.Header().Get("WWW-Authenticate") != "", c.want.Status == 401; got != want {
			t.Errorf("%s: got WWW-Authenticate %t, want %t", name, got, want)
		}
		level := map[bool]string{true: `"level":"ERROR"`, false: `"level":"INFO"`}[c.want.Status >= 500]
		if !strings.Contains(w.logs.String(), level) {
			t.Errorf("%s: got log %s, want it at %s", name, w.logs, level)
		}
	}
}

// queue is one whose answer a test gives.
type queue func(ctx context.Context, messages []notice.Hint) (int, error)

func (q queue) Send(ctx context.Context, _ string, messages []notice.Hint) (int, error) {
	return q(ctx, messages)
}

// A provider that was answered 200 sends no more: what the queue did not say to have is
// not taken.
func TestAQueueThatSaysNothingHasNothing(t *testing.T) {
	for _, taken := range []int{0, 2, -1} {
		w := newWorld(t)
		w.webhooks["dodo"].Queue = queue(func(context.Context, []notice.Hint) (int, error) { return taken, nil })
		w.expect(503, "unavailable", "POST", "/webhooks/dodo", signed, "pay_1")
	}
}

func TestAWebhookIsAnsweredBeforeItsProviderGivesUp(t *testing.T) {
	w := newWorld(t)
	asked := 0
	bounded := func(ctx context.Context) {
		asked++
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > 10*time.Second {
			t.Error("got no bound on its time, want one within 10 s")
		}
	}
	w.webhooks["toss"].Scopes[table.Default] = func(ctx context.Context, _ http.Header, _ []byte) (notice.Hint, error) {
		bounded(ctx)
		return notice.Hint{ID: "1", Order: "gl_1"}, nil
	}
	w.webhooks["toss"].Queue = queue(func(ctx context.Context, m []notice.Hint) (int, error) {
		bounded(ctx)
		return len(m), nil
	})
	a := w.expect(200, "", "POST", "/webhooks/toss", nil, "{}")
	if asked != 2 {
		t.Errorf("got %d steps, want reading and sending", asked)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "application/json"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestAWebhookOfAMebibyteIsRead(t *testing.T) {
	w := newWorld(t)
	full := `{"orderId":"gl_1"}`
	full += strings.Repeat(" ", web.MostBytes-len(full))
	w.expect(200, "", "POST", "/webhooks/toss", nil, full)
	w.expect(413, "body_too_large", "POST", "/webhooks/toss", nil, full+" ")
	if len(w.notices.hints) != 1 {
		t.Errorf("messages: got %d, want the one of the first", len(w.notices.hints))
	}
}

// Only what the address says counts, whatever a reader made of it.
func TestAHintIsOfTheAddressThatItCameTo(t *testing.T) {
	w := newWorld(t)
	w.webhooks["dodo"].Scopes[table.Default] = func(context.Context, http.Header, []byte) (notice.Hint, error) {
		return notice.Hint{Provider: "apple", Project: "other", Environment: "sandbox", At: start.Add(-time.Hour), Signed: true, ID: "1", Type: "a.type"}, nil
	}
	w.expect(200, "", "POST", "/webhooks/dodo", signed, "{}")
	want := []notice.Hint{{Provider: "dodo", Project: "default", Environment: "production", At: start, Signed: true, ID: "1", Type: "a.type"}}
	if diff := cmp.Diff(want, w.notices.hints); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// An order is looked up where the key's environment has it.
func TestAnOrderOfAnotherEnvironmentIsNotThere(t *testing.T) {
	w := newWorld(t)
	const sandboxKey = "sk_test_Vb7nC5xZ2aS9dF4g"
	w.secret.text += "," + "default/sandbox=" + hashed(w.keep(sandboxKey))
	w.order(purchase.Order{ID: "apple_1", Store: "apple", SKU: monthly, State: purchase.OrderUnclaimed, Quantity: 1, Price: 4900, PriceIn: "KRW"})
	w.expect(200, "", "GET", "/v1/orders/apple_1", server(""), "")
	sandbox := header{"Authorization": "Bearer " + sandboxKey}
	w.expect(404, "order_not_found", "GET", "/v1/orders/apple_1", sandbox, "")
}

func TestAnOrdersIdIsAtMost200Printables(t *testing.T) {
	w := newWorld(t)
	id := "apple_" + strings.Repeat("1", 194)
	w.order(purchase.Order{ID: id, Store: "apple", SKU: monthly, State: purchase.OrderUnclaimed, Quantity: 1})
	w.expect(200, "", "GET", "/v1/orders/"+id, server(""), "")
	w.expect(404, "no_route", "GET", "/v1/orders/"+id+"1", server(""), "")
	w.expect(404, "no_route", "GET", "/v1/orders/"+id[:199]+" ", server(""), "")
}

// Times are shown in UTC, however they were written down.
func TestAnOrdersTimesAreUTC(t *testing.T) {
	w := newWorld(t)
	seoul := time.FixedZone("", 9*60*60)
	w.order(purchase.Order{
		ID: "apple_1", Store: "apple", SKU: monthly, State: purchase.OrderUnclaimed, Quantity: 1, Test: true,
		PurchasedAt: start.In(seoul), Until: start.Add(time.Hour).In(seoul),
	})
	order := w.expect(200, "", "GET", "/v1/orders/apple_1", server(""), "").body["order"].(map[string]any)
	want := map[string]any{
		"id": "apple_1", "store": "apple", "productId": monthly, "state": "unclaimed", "quantity": 1.0, "refunded": 0.0, "test": true,
		"purchasedAt": "2026-11-20T02:14:07Z", "expiresAt": "2026-11-20T03:14:07Z",
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// A project's name begins behind a slash and nowhere else, whatever a router brings here.
func TestAProjectsNameIsNoPartOfTheProviders(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/webhooks/dododefault", "/webhooks/dododefault/production", "/webhooks/dodo_default", "/webhooks/dodo%2Fdefault"} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader("pay_1"))
		r.URL.Path = path
		r.Header.Set("Webhook-Signature", genuine)
		rw := httptest.NewRecorder()
		if w.webhooks["dodo"].ServeHTTP(rw, r); rw.Code != 404 || len(w.notices.hints) != 0 {
			t.Errorf("POST %s: got %d and %d messages, want 404 and none", path, rw.Code, len(w.notices.hints))
		}
	}
}
