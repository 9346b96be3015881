package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"grantline/shared/aws/apigw"
	"grantline/shared/clock"
	"grantline/shared/dodo"
	"grantline/shared/notice"
	"grantline/shared/table"
	"grantline/shared/web"
)

var now = time.Date(2026, 11, 20, 2, 14, 7, 0, time.UTC)

var (
	current = "whsec_" + base64.StdEncoding.EncodeToString([]byte("the secret that signs now, 1"))
	retired = "whsec_" + base64.StdEncoding.EncodeToString([]byte("the secret that signed, 2222"))
	foreign = "whsec_" + base64.StdEncoding.EncodeToString([]byte("the secret of somebody else!"))
)

const body = `{"business_id":"bus_1","type":"payment.succeeded","timestamp":"2026-11-20T02:14:06Z",` +
	`"data":{"payload_type":"Payment","payment_id":"pay_1","subscription_id":"sub_1","status":"succeeded","metadata":{"order_id":"gl_1"}}}`

// door is the function with another queue and other secrets.
type door struct {
	testing.TB
	log     strings.Builder
	hints   []notice.Hint
	secrets func(fresh bool) (string, error)
	handler func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error)
}

func (d *door) Send(_ context.Context, _ string, hints []notice.Hint) (int, error) {
	d.hints = append(d.hints, hints...)
	return len(hints), nil
}

func newDoor(t testing.TB, secrets ...string) *door {
	t.Helper()
	d := &door{TB: t, secrets: func(bool) (string, error) { return strings.Join(secrets, ","), nil }}
	verifier, err := dodo.NewVerifier(func(_ context.Context, fresh bool) (string, error) { return d.secrets(fresh) })
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d.handler = apigw.Handler(&web.Webhooks{
		Provider: "dodo", Scopes: map[table.Scope]web.Webhook{table.Default: reader(verifier, clock.Fixed(now))}, Queue: d,
		Clock: clock.Fixed(now), Log: log,
	}, log)
	return d
}

// post sends what was signed with a secret at an instant, as API Gateway hands it over.
func (d *door) post(secret, body string, at time.Time, encoded bool) int {
	d.Helper()
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		d.Fatal(err)
	}
	signature, err := hook.Sign("msg_1", at, []byte(body))
	if err != nil {
		d.Fatal(err)
	}
	e := events.APIGatewayV2HTTPRequest{
		RawPath: "/webhooks/dodo", Body: body, IsBase64Encoded: encoded,
		Headers: map[string]string{"webhook-id": "msg_1", "webhook-timestamp": fmt.Sprint(at.Unix()), "webhook-signature": signature},
	}
	if encoded {
		e.Body = base64.StdEncoding.EncodeToString([]byte(body))
	}
	e.RequestContext.HTTP.Method = "POST"
	response, err := d.handler(d.Context(), e)
	if err != nil {
		d.Fatal(err)
	}
	for _, private := range []string{body, strings.TrimPrefix(secret, "whsec_"), signature} {
		if private != "" && strings.Contains(d.log.String()+response.Body, private) {
			d.Errorf("a log or an answer holds %.40q", private)
		}
	}
	return response.StatusCode
}

func TestAGenuineWebhookIsHandedOnAsAHint(t *testing.T) {
	for _, encoded := range []bool{false, true} {
		d := newDoor(t, current)
		if got := d.post(current, body, now, encoded); got != 200 {
			t.Fatalf("status: got %d, want 200 (base64: %t)", got, encoded)
		}
		want := []notice.Hint{{
			Project: "default", Environment: "production", Provider: "dodo", ID: "msg_1", Type: "payment.succeeded", At: now, Signed: true,
			Payment: "pay_1", Mandate: "sub_1", Order: "gl_1",
		}}
		if diff := cmp.Diff(want, d.hints); diff != "" {
			t.Errorf("hints: got (+) and want (-) differ:\n%s", diff)
		}
	}
}

func TestBothSecretsServeDuringARotation(t *testing.T) {
	d := newDoor(t, current, retired)
	for _, secret := range []string{current, retired} {
		if got := d.post(secret, body, now, false); got != 200 {
			t.Errorf("status with a secret of two: got %d, want 200", got)
		}
	}
	if got := d.post(foreign, body, now, false); got != 401 || len(d.hints) != 2 {
		t.Errorf("with a third: got %d and %d messages, want 401 and the two", got, len(d.hints))
	}
}

func TestARotationNeedsNoDeploy(t *testing.T) {
	d := newDoor(t)
	d.secrets = func(fresh bool) (string, error) {
		if fresh {
			return current, nil
		}
		return retired, nil
	}
	if got := d.post(current, body, now, false); got != 200 {
		t.Errorf("status once the secret has changed: got %d, want 200", got)
	}
}

func TestWhatDoesNotVerifyIs401AndChangesNothing(t *testing.T) {
	d := newDoor(t, current)
	for what, got := range map[string]int{
		"forged":         d.post(foreign, body, now, false),
		"old":            d.post(current, body, now.Add(-6*time.Minute), false),
		"from tomorrow":  d.post(current, body, now.Add(24*time.Hour), false),
		"forged, base64": d.post(foreign, body, now, true),
	} {
		if got != 401 {
			t.Errorf("%s: got %d, want 401", what, got)
		}
	}
	if len(d.hints) != 0 {
		t.Errorf("messages: got %d, want none", len(d.hints))
	}
}

func TestNoSecretsToBeHadIsAnOutageAndNotAForgery(t *testing.T) {
	d := newDoor(t)
	d.secrets = func(bool) (string, error) { return "", errors.New("down") }
	if got := d.post(current, body, now, false); got != 503 {
		t.Errorf("without secrets: got %d, want 503", got)
	}
	for _, unfit := range []string{"", "whsec_", "whsec_c2hvcnQ="} {
		if got := newDoor(t, unfit).post(current, body, now, false); got != 503 {
			t.Errorf("with the secret %q: got %d, want 503", unfit, got)
		}
	}
}

func TestAGenuineWebhookThatNobodyUnderstandsIsKeptAndTaken(t *testing.T) {
	d := newDoor(t, current)
	for _, text := range []string{"", "no JSON", "[]", `{"type":"entitlement_grant.created"}`, `{"type":7,"data":"x"}`, `{"type":"` + strings.Repeat("a", 1000) + `"}`} {
		d.hints = nil
		if got := d.post(current, text, now, false); got != 200 || len(d.hints) != 1 || !d.hints[0].Signed || d.hints[0].ID != "msg_1" {
			t.Errorf("%.40q: got %d and %+v, want 200 and one signed hint", text, got, d.hints)
		}
	}
}

func TestAHugeWebhookIsRefusedUnread(t *testing.T) {
	d := newDoor(t, current)
	if got := d.post(current, `{"a":"`+strings.Repeat("a", web.MostBytes)+`"}`, now, false); got != 413 || len(d.hints) != 0 {
		t.Errorf("got %d and %d messages, want 413 and none", got, len(d.hints))
	}
}
