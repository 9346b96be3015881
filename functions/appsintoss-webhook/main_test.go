package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	sim "grantline/infra/sim/appsintoss"
	"grantline/infra/sim/stage/stagetest"
	"grantline/shared/appsintoss"
	"grantline/shared/aws/apigw"
	"grantline/shared/clock"
	"grantline/shared/notice"
	"grantline/shared/table"
	"grantline/shared/web"
)

// door is the function with another queue, behind what stands for API Gateway: it joins a
// header that comes twice and hands a body over as base64.
type door struct {
	testing.TB
	mu     sync.Mutex
	hints  []notice.Hint
	log    bytes.Buffer
	secret string
}

func (d *door) Send(_ context.Context, _ string, hints []notice.Hint) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hints = append(d.hints, hints...)
	return len(hints), nil
}

func (d *door) taken() []notice.Hint {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.hints
	d.hints = nil
	return taken
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	log := slog.New(slog.NewTextHandler(&d.log, nil))
	inside := &appsintoss.Door{Secret: func(context.Context, bool) (string, error) { return d.secret, nil }, Log: log}
	handler := apigw.Handler(&web.Webhooks{
		Provider: "appsintoss", Scopes: map[table.Scope]web.Webhook{table.Default: inside.ReadHint}, Cuts: true, Queue: d,
		Clock: clock.System(), Log: log,
	}, log)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.Error(err)
	}
	e := events.APIGatewayV2HTTPRequest{RawPath: r.URL.Path, Body: base64.StdEncoding.EncodeToString(body), IsBase64Encoded: true, Headers: map[string]string{}}
	for name, values := range r.Header {
		e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	e.RequestContext.HTTP.Method = r.Method
	response, err := handler(r.Context(), e)
	if err != nil {
		d.Error(err)
	}
	w.WriteHeader(response.StatusCode)
	_, _ = io.WriteString(w, response.Body)
}

func TestWhatTossSendsIsTakenAndWhatOthersSendIsNot(t *testing.T) {
	d := &door{TB: t}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	now := stagetest.NewClock()
	toss := sim.New(sim.Options{Now: now.Now, At: now.At, Webhooks: server.URL})
	d.secret = toss.WebhookSecret()

	if status, err := toss.Register(t.Context()); err != nil || status != 200 {
		t.Errorf("the console's check: got %d, %v, want 200", status, err)
	}
	if got := d.taken(); len(got) != 1 || got[0].Type != "registration" || got[0].Names() {
		t.Errorf("the console's check: got %+v, want a hint that names nothing", got)
	}

	bought, err := toss.Purchase(sim.Purchase{SKU: "premium-1month"})
	if err != nil || bought.OrderID == "" {
		t.Fatalf("got %+v, %v, want a subscription", bought, err)
	}
	now.Advance(0)
	got := d.taken()
	if len(got) != 1 || !got[0].Signed || got[0].Type != "subscription.created" || got[0].Line != bought.OrderID || got[0].Order != "appsintoss_"+bought.OrderID {
		t.Fatalf("a subscription: got %+v, want one hint of it", got)
	}
	e, err := appsintoss.ParseEvent([]byte(got[0].Evidence))
	if err != nil || !e.AccessGranted || e.Status != "ACTIVE" || !e.ExpiresAt.After(now.Now()) {
		t.Errorf("its evidence: got %+v, %v, want access until it ends", e, err)
	}

	for _, how := range []string{"none", "empty", "wrong", "short", "long", "case", "bare", "token", "digest", "base64", "pair"} {
		status, err := toss.Forge(t.Context(), sim.Forgery{How: how, OrderID: bought.OrderID, ChangeReason: "REVOKED"})
		if err != nil || status != 401 {
			t.Errorf("forged, %s: got %d, %v, want 401", how, status, err)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/webhooks/appsintoss", strings.NewReader(got[0].Evidence))
	if err != nil {
		t.Fatal(err)
	}
	request.Header["Authorization"] = []string{"Basic " + d.secret, "Basic " + d.secret}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if response.Body.Close(); response.StatusCode != 401 {
		t.Errorf("with two headers: got %d, want 401", response.StatusCode)
	}
	if got := d.taken(); len(got) != 0 {
		t.Errorf("forged: got %d messages, want none", len(got))
	}
	if log := d.log.String(); strings.Contains(log, d.secret) || strings.Contains(log, bought.OrderID) {
		t.Errorf("got the log %s, want nothing secret in it", log)
	}
}
