package reminder_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/reminder"
)

var now = time.Date(2026, 12, 24, 1, 48, 49, 0, time.UTC)

func secret(letter string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 24)))
}

// receiver is the company's server. It knows one secret and keeps what came.
type receiver struct {
	t      *testing.T
	url    string
	knows  string
	answer int
	bodies [][]byte
	header http.Header
}

func newReceiver(t *testing.T, knows string) *receiver {
	t.Helper()
	r := &receiver{t: t, knows: knows, answer: http.StatusNoContent}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil || q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("got %s of %q (%v), want POST of JSON", q.Method, q.Header.Get("Content-Type"), err)
	}
	r.bodies, r.header = append(r.bodies, body), q.Header
	verifier, err := standardwebhooks.NewWebhook(r.knows)
	if err != nil {
		r.t.Error(err)
		return
	}
	if verifier.VerifyIgnoringTimestamp(body, q.Header) != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Location", r.url+"/elsewhere")
	w.WriteHeader(r.answer)
}

// webhook has secrets; the second, if there is one, is had when a fresh one is asked for.
func (r *receiver) webhook(cached string, fresh ...string) *reminder.Webhook {
	return &reminder.Webhook{URL: r.url + "/hook", Clock: clock.Fixed(now), Secrets: func(_ context.Context, again bool) (string, error) {
		if again && len(fresh) > 0 {
			return fresh[0], nil
		}
		return cached, nil
	}}
}

func tell(t *testing.T, w *reminder.Webhook, r reminder.Reminder) error {
	t.Helper()
	if !w.Reaches(r) || w.Name() != "webhook" {
		t.Errorf("%s reaches the company: %v, want webhook and true", w.Name(), w.Reaches(r))
	}
	return w.Tell(t.Context(), r, compose(t, r))
}

func TestTheCompanyIsToldWithASignature(t *testing.T) {
	server := newReceiver(t, secret("a"))
	if err := tell(t, server.webhook(secret("a")), due()); err != nil || len(server.bodies) != 1 {
		t.Fatalf("told %d times with error %v, want once", len(server.bodies), err)
	}
	if got, want := server.header.Get("webhook-id"), "rem_1"; got != want {
		t.Errorf("webhook-id is %q, want %q", got, want)
	}
	if got, want := server.header.Get("webhook-timestamp"), strconv.FormatInt(now.Unix(), 10); got != want {
		t.Errorf("webhook-timestamp is %q, want our clock's %q", got, want)
	}
	var got map[string]any
	if err := json.Unmarshal(server.bodies[0], &got); err != nil {
		t.Fatal(err)
	}
	m := compose(t, due())
	want := map[string]any{
		"type": "dunning.reminder", "timestamp": "2026-12-24T01:48:49Z",
		"data": map[string]any{
			"project": "default", "environment": "production", "subscriptionId": "minji-premium", "customerId": "minji", "planName": "프리미엄 월간",
			"amount": 4900.0, "currency": "KRW", "nextAttemptAt": "2026-12-25T01:48:49Z", "zone": "Asia/Seoul", "period": 1.0, "attempt": 2.0,
			"declineCode": "REJECT_CARD_PAYMENT", "link": "https://app.example.com/card?s=minji-premium",
			"message": map[string]any{"locale": "ko", "subject": m.Subject, "text": m.Text, "html": m.HTML, "short": m.Short},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	for _, personal := range []string{"minji@example.com", "+821012345678"} {
		if strings.Contains(string(server.bodies[0]), personal) {
			t.Errorf("the body holds %s, which the company has already", personal)
		}
	}
}

func TestASecretIsRotatedWithoutADeploy(t *testing.T) {
	for name, c := range map[string]struct {
		cached, fresh string
		requests      int
		fails         bool
	}{
		"both signed while both are given":    {secret("a") + ", " + secret("b"), "", 1, false},
		"fetched again after a 401":           {secret("a"), secret("b"), 2, false},
		"the same again is not tried again":   {secret("a"), secret("a"), 1, true},
		"another that is as wrong, once only": {secret("a"), secret("c"), 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := newReceiver(t, secret("b"))
			err := tell(t, server.webhook(c.cached, c.fresh), due())
			if (err != nil) != c.fails || c.fails && !errors.Is(err, fault.Unavailable) || len(server.bodies) != c.requests {
				t.Errorf("%d requests with error %v, want %d and fault.Unavailable: %v", len(server.bodies), err, c.requests, c.fails)
			}
		})
	}
}

func TestAnyAnswerButSuccessIsAnOutageAndNoRedirectIsFollowed(t *testing.T) {
	for _, status := range []int{http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest, http.StatusGone, http.StatusInternalServerError} {
		server := newReceiver(t, secret("a"))
		server.answer = status
		err := tell(t, server.webhook(secret("a")), due())
		if !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), strconv.Itoa(status)) || len(server.bodies) != 1 {
			t.Errorf("%d: %d requests with error %v, want one and fault.Unavailable with the status", status, len(server.bodies), err)
		}
	}
}

func TestABadSecretSendsNothingAndIsNotShown(t *testing.T) {
	for name, bad := range map[string]string{
		"short":    "whsec_" + base64.StdEncoding.EncodeToString([]byte("hunter2-hunter2-hunter2")),
		"no text":  "whsec_hunter2!",
		"empty":    "",
		"half bad": secret("a") + ",hunter2",
		"too many": strings.Repeat(secret("a")+",", 4) + secret("a"),
	} {
		server := newReceiver(t, secret("a"))
		err := tell(t, server.webhook(bad), due())
		if !errors.Is(err, fault.Unavailable) || len(server.bodies) > 0 || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "YWFh") {
			t.Errorf("%s: %d requests with error %v, want none, and no secret in the error", name, len(server.bodies), err)
		}
	}
}

func TestWhatIsOutOfReachIsNotNamedByItsAddress(t *testing.T) {
	server := newReceiver(t, secret("a"))
	w := server.webhook(secret("a"))
	w.URL = "http://127.0.0.1:1/hook/of-the-receivers-secret"
	if err := tell(t, w, due()); !errors.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "receivers-secret") {
		t.Errorf("got %v, want fault.Unavailable without the address", err)
	}
	outage := fault.New(fault.Unavailable, "secret_unavailable", "A secret cannot be had.")
	w = &reminder.Webhook{URL: server.url, Clock: clock.Fixed(now), Secrets: func(context.Context, bool) (string, error) { return "", outage }}
	if err := tell(t, w, due()); !errors.Is(err, fault.Unavailable) || len(server.bodies) > 0 {
		t.Errorf("without a secret: %d requests with error %v, want none and fault.Unavailable", len(server.bodies), err)
	}
}
