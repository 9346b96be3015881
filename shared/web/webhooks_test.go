package web_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/table"
	"grantline/shared/web"
)

// webhookPaths are those that the template routes to the functions with webhooks.
var webhookPaths = regexp.MustCompile(`^/webhooks/(apple|play|appsintoss|toss|dodo)(/.*)?$`)

func isWebhook(path string) bool { return webhookPaths.MatchString(path) }

// outbox is the queue that webhooks send to.
type outbox struct {
	err    error
	hints  []notice.Hint
	groups []string
}

func (o *outbox) Send(ctx context.Context, group string, messages []notice.Hint) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	o.hints, o.groups = append(o.hints, messages...), append(o.groups, group)
	return len(messages), nil
}

const genuine = "signed-by-dodo"

// newWebhooks are those of the App Store, as it is, and of two gateways, one of which
// signs, as far as a test need know, and one does not.
func newWebhooks(o *outbox, c clock.Clock, log *slog.Logger) map[string]*web.Webhooks {
	toss := func(_ context.Context, h http.Header, body []byte) (notice.Hint, error) {
		if !strings.HasPrefix(string(body), "{") {
			return notice.Hint{}, fault.New(fault.Malformed, "invalid_webhook", "The body should be one JSON object.")
		}
		hint := notice.Hint{ID: h.Get("Id"), Type: "PAYMENT_STATUS_CHANGED", Payment: "key-1"}
		if strings.Contains(string(body), "orderId") {
			hint.Order = "gl_1"
		}
		return hint, nil
	}
	dodo := func(_ context.Context, h http.Header, body []byte) (notice.Hint, error) {
		switch h.Get("Webhook-Signature") {
		case genuine:
			if string(body) == "[]" {
				return notice.Hint{}, fault.New(fault.Malformed, "notice_unreadable", "The notice is not a JSON object.")
			}
			return notice.Hint{Signed: true, ID: h.Get("Webhook-Id"), Type: "payment.succeeded", Payment: string(body)}, nil
		case "no-secrets":
			return notice.Hint{}, fault.New(fault.Unavailable, "notice_unverifiable", "The notice cannot be verified now; send it again.")
		}
		return notice.Hint{}, fault.New(fault.Unauthenticated, "signature_invalid", "The notice does not have a valid signature of Dodo Payments.")
	}
	verifier := newVerifier(c, apple.RevocationSoft, apple.Production, apple.Sandbox)
	fromApple := func(ctx context.Context, _ http.Header, body []byte) (notice.Hint, error) {
		return verifier.ReadHint(ctx, body)
	}
	scopes := func(read web.Webhook) map[table.Scope]web.Webhook {
		return map[table.Scope]web.Webhook{
			table.Default: read, {Project: "default", Environment: "sandbox"}: read, {Project: "other", Environment: "production"}: read,
		}
	}
	return map[string]*web.Webhooks{
		"apple": {Provider: "apple", Scopes: map[table.Scope]web.Webhook{table.Default: fromApple}, Queue: o, Clock: c, Log: log},
		"toss":  {Provider: "toss", Scopes: scopes(toss), Queue: o, Clock: c, Log: log},
		"dodo":  {Provider: "dodo", Scopes: scopes(dodo), Queue: o, Clock: c, Log: log},
	}
}

var signed = header{"Webhook-Id": "msg_1", "Webhook-Signature": genuine}

func TestEveryDocumentedWebhookIsServed(t *testing.T) {
	for _, o := range theDocument(t).webhooks() {
		w := newWorld(t)
		path := atHome(o.path)
		if strings.Contains(path, "/apple") || strings.Contains(path, "/play") || strings.Contains(path, "/appsintoss") {
			continue // see TestWhatAppleSignedIsTaken, TestWhatGooglePlayPushesIsAnsweredAsDocumented, TestWhatAppsInTossSendsIsAnsweredAsDocumented
		}
		toss := strings.Contains(path, "/toss")
		w.expect(200, "", "POST", path, signed, `{"orderId":"gl_1"}`)
		w.expect(413, "body_too_large", "POST", path, signed, strings.Repeat("{", web.MostBytes+1))
		if toss {
			w.expect(400, "invalid_webhook", "POST", path, nil, "nonsense")
		} else {
			w.expect(400, "notice_unreadable", "POST", path, signed, "[]")
			w.expect(401, "signature_invalid", "POST", path, nil, "{}")
			w.expect(503, "notice_unverifiable", "POST", path, header{"Webhook-Signature": "no-secrets"}, "{}")
		}
		w.webhooks["toss"].Scopes, w.webhooks["dodo"].Scopes = nil, nil
		w.expect(404, "no_route", "POST", path, signed, `{"orderId":"gl_1"}`)

		w = newWorld(t)
		w.notices.err = fault.New(fault.Unavailable, "queue_unavailable", "The queue cannot be reached now.")
		a := w.expect(503, "unavailable", "POST", path, signed, `{"orderId":"gl_1"}`)
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s: got no Retry-After while the queue is down, want one", o.id)
		}
		w.nothingWritten("webhooks")
	}
}

func TestAWebhookIsOneMessageInItsScope(t *testing.T) {
	for path, scope := range map[string]table.Scope{
		"":                    table.Default,
		"/default":            table.Default,
		"/default/production": table.Default,
		"/default/sandbox":    {Project: "default", Environment: "sandbox"},
		"/other":              {Project: "other", Environment: "production"},
	} {
		w := newWorld(t)
		w.expect(200, "", "POST", "/webhooks/dodo"+path, signed, "pay_1")
		want := []notice.Hint{{
			Project: scope.Project, Environment: scope.Environment, Provider: "dodo", ID: "msg_1", Type: "payment.succeeded",
			At: start, Signed: true, Payment: "pay_1",
		}}
		if d := cmp.Diff(want, w.notices.hints); d != "" {
			t.Errorf("%q: got (+) and want (-) differ:\n%s", path, d)
		}
		if d := cmp.Diff([]string{"dodo#" + scope.Project + "#" + scope.Environment}, w.notices.groups); d != "" {
			t.Errorf("%q: groups: got (+) and want (-) differ:\n%s", path, d)
		}
		w.nothingWritten("a webhook")
	}
}

func TestNoOtherProjectHasAWebhook(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{
		"/", "/default/", "/default/production/", "/default/production/x", "/default/test", "/default/Sandbox", "/other/sandbox", "/nobody",
		"/DEFAULT", "/%64efault", "/default production", "//", "//production", "/default//production", "/../dodo", "/" + strings.Repeat("a", 33),
	} {
		for _, method := range []string{"POST", "GET"} {
			for _, provider := range []string{"toss", "dodo"} {
				w.expect(404, "no_route", method, "/webhooks/"+provider+path, signed, `{"orderId":"gl_1"}`)
			}
		}
	}
	for _, path := range []string{"/", "/webhooks/tossed", "/webhooks/dodo"} { // what no route brings here
		r := httptest.NewRequest("POST", "http://127.0.0.1"+path, strings.NewReader(`{"orderId":"gl_1"}`))
		rw := httptest.NewRecorder()
		if w.webhooks["toss"].ServeHTTP(rw, r); rw.Code != 404 {
			t.Errorf("POST %s to the webhooks of toss: got %d, want 404", path, rw.Code)
		}
	}
	if len(w.notices.hints) != 0 {
		t.Errorf("messages: got %d, want none", len(w.notices.hints))
	}
}

func TestAWebhookIsAPOSTAndNotForBrowsers(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/webhooks/toss", "/webhooks/dodo", "/webhooks/dodo/default/sandbox"} {
		for _, method := range []string{"GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "post", "X"} {
			a := w.ask(method, path, signed, `{"orderId":"gl_1"}`)
			if a.status != 405 || a.header.Get("Allow") != "POST" {
				t.Errorf("%s %s: got %d with Allow %q, want 405 with POST", method, path, a.status, a.header.Get("Allow"))
			}
		}
		for name := range w.ask("POST", path, signed, `{"orderId":"gl_1"}`).header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("POST %s: got the header %s, want none for browsers", path, name)
			}
		}
	}
	if got := len(w.notices.hints); got != 3 {
		t.Errorf("messages: got %d, want the three of the POSTs", got)
	}
}

func TestAForgedWebhookChangesNothingAndIsNotRepeated(t *testing.T) {
	w := newWorld(t)
	for _, signature := range []string{"", "v1,", genuine + " "} {
		a := w.expect(401, "signature_invalid", "POST", "/webhooks/dodo", header{"Webhook-Id": "msg_1", "Webhook-Signature": signature}, "{}")
		if a.body["retryable"] != false {
			t.Errorf("retryable: got %v, want false", a.body["retryable"])
		}
	}
	w.notices.err = errors.New("down")
	w.expect(401, "signature_invalid", "POST", "/webhooks/dodo", nil, "{}")
	if len(w.notices.hints) != 0 {
		t.Errorf("messages: got %d, want none", len(w.notices.hints))
	}
	w.nothingWritten("forged webhooks")
}

func TestAQueueThatTakesNothingIsAnOutage(t *testing.T) {
	for _, err := range []error{outage(), errors.New("no host named SECRET"), context.DeadlineExceeded} {
		w := newWorld(t)
		w.notices.err = err
		a := w.expect(503, "unavailable", "POST", "/webhooks/dodo", signed, "pay_1")
		if strings.Contains(a.text, "SECRET") || a.body["retryable"] != true {
			t.Errorf("answer: got %s, want it to be retryable and to tell no cause", a.text)
		}
	}
}

func TestAnUnsignedHintThatNamesNoOrderIsAnsweredAndForgotten(t *testing.T) {
	w := newWorld(t)
	w.expect(200, "", "POST", "/webhooks/toss", nil, `{"eventType":"BILLING_DELETED"}`)
	if len(w.notices.hints) != 0 {
		t.Errorf("messages: got %d, want none", len(w.notices.hints))
	}
	w.expect(200, "", "POST", "/webhooks/toss", nil, `{"orderId":"gl_1"}`)
	if len(w.notices.hints) != 1 || w.notices.hints[0].Signed {
		t.Errorf("messages: got %+v, want one, unsigned", w.notices.hints)
	}
}

func TestWhatASenderWroteStaysSmallInTheQueueAndOutOfLogs(t *testing.T) {
	w := newWorld(t)
	w.expect(200, "", "POST", "/webhooks/dodo", signed, w.keep(strings.Repeat("personal ", 10_000)))
	w.expect(400, "invalid_webhook", "POST", "/webhooks/toss", nil, w.keep("personal and unreadable"))
	if got := w.notices.hints[0].Payment; got != "" {
		t.Errorf("payment: got %d bytes that are no id, want none", len(got))
	}
}

// Pub/Sub repeats for days what is answered 413, and its own notices are never that large.
func TestABodyThatIsTooLargeIsHandedOnCutWhereItWouldBeRepeated(t *testing.T) {
	w := newWorld(t)
	var got int
	w.webhooks["dodo"].Scopes[table.Default] = func(_ context.Context, _ http.Header, body []byte) (notice.Hint, error) {
		got = len(body)
		return notice.Hint{Signed: true, ID: "1", Type: "unreadable"}, nil
	}
	w.expect(413, "body_too_large", "POST", "/webhooks/dodo", nil, strings.Repeat(" ", web.MostBytes+1))
	w.webhooks["dodo"].Cuts = true
	for _, length := range []int{web.MostBytes - 1, web.MostBytes, web.MostBytes + 1, 2 * web.MostBytes} {
		w.expect(200, "", "POST", "/webhooks/dodo", nil, strings.Repeat(" ", length))
		if want := min(length, web.MostBytes+1); got != want {
			t.Errorf("%d bytes: got %d in the reader, want %d", length, got, want)
		}
	}
}
