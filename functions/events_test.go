package functions_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"grantline/shared/apple"
	"grantline/shared/aws/apigw"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/setting"
	"grantline/shared/billing"
	"grantline/shared/clock"
	"grantline/shared/dodo"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/toss"
)

func event(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("../infra/events/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func TestTheSampleEventsAreWhatTheFunctionsRead(t *testing.T) {
	for name, want := range map[string]string{
		"verify-fulfill.json": "POST /api/iap/fulfill", "api-customer.json": "GET /v1/customers/minji",
		"toss-webhook.json": "POST /webhooks/toss", "dodo-webhook.json": "POST /webhooks/dodo",
		"apple-webhook.json": "POST /webhooks/apple",
	} {
		var e events.APIGatewayV2HTTPRequest
		event(t, name, &e)
		var got string
		handler := apigw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Method + " " + r.URL.Path }), setting.Logger())
		if _, err := handler(t.Context(), e); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	for name, subscription := range map[string]string{"charge.json": "sub-minji", "deliver.json": "errand:tell-sub-minji-1-2"} {
		var e events.SQSEvent
		event(t, name, &e)
		var got billing.Due
		handler := queue.Handler(func(_ context.Context, due billing.Due) error {
			got = due
			return nil
		}, queue.Options{})
		response, err := handler(t.Context(), e)
		if want := (billing.Due{Project: "default", Environment: "production", Subscription: subscription}); err != nil || len(response.BatchItemFailures) > 0 || got != want {
			t.Errorf("%s is %+v (%v, %v), want %+v", name, got, response, err, want)
		}
	}
	var notices events.SQSEvent
	event(t, "notices.json", &notices)
	var hint notice.Hint
	response, err := queue.Handler(func(_ context.Context, h notice.Hint) error {
		hint = h
		return nil
	}, queue.Options{})(t.Context(), notices)
	if want := fromDodo(t); err != nil || len(response.BatchItemFailures) > 0 || hint != want {
		t.Errorf("notices.json is %+v (%v, %v), want what dodo-webhook.json says: %+v", hint, response, err, want)
	}
}

// fromDodo is the hint of dodo-webhook.json, verified with the secret of env.json at the
// instant when it was signed.
func fromDodo(t *testing.T) notice.Hint {
	t.Helper()
	var env struct{ Parameters map[string]string }
	event(t, "env.json", &env)
	var e events.APIGatewayV2HTTPRequest
	event(t, "dodo-webhook.json", &e)
	verifier, err := dodo.NewVerifier(func(context.Context, bool) (string, error) { return env.Parameters["DODO_WEBHOOK_SECRETS"], nil })
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	for name, value := range e.Headers {
		header.Set(name, value)
	}
	at := time.UnixMilli(e.RequestContext.TimeEpoch).UTC()
	h, err := verifier.Verify(t.Context(), header, []byte(e.Body), at)
	if err != nil {
		t.Fatalf("dodo-webhook.json: got %v, want it to verify when it was sent", err)
	}
	return notice.Hint{
		Project: "default", Environment: "production", Provider: "dodo", ID: h.ID, Type: h.Type, At: at, Signed: true,
		Payment: h.Payment, Mandate: h.Mandate, Order: h.OrderID, Subscription: h.Subscription,
	}
}

func TestTheSampleOfTossIsAHintAtAnOrder(t *testing.T) {
	var e events.APIGatewayV2HTTPRequest
	event(t, "toss-webhook.json", &e)
	h, err := toss.ReadHint(http.Header{"Tosspayments-Webhook-Transmission-Id": {e.Headers["tosspayments-webhook-transmission-id"]}}, []byte(e.Body))
	if want := (toss.Hint{ID: "transmission-sample", Type: "PAYMENT_STATUS_CHANGED", OrderID: "gl_sample", Payment: "sample-payment"}); err != nil || h != want {
		t.Errorf("toss-webhook.json is %+v (%v), want %+v", h, err, want)
	}
}

// The sample of the App Store is signed under a root of its own, and verifies under no other.
func TestTheSampleOfTheAppStoreIsARenewal(t *testing.T) {
	var e events.APIGatewayV2HTTPRequest
	event(t, "apple-webhook.json", &e)
	var body struct{ SignedPayload string }
	if err := json.Unmarshal([]byte(e.Body), &body); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(body.SignedPayload, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ X5C [][]byte }
	if err := json.Unmarshal(text, &header); err != nil || len(header.X5C) != 3 {
		t.Fatalf("got %d certificates, %v, want three", len(header.X5C), err)
	}
	root, err := x509.ParseCertificate(header.X5C[2])
	if err != nil {
		t.Fatal(err)
	}
	trusted := func(roots []*x509.Certificate) *apple.Verifier {
		v, err := apple.NewVerifier(apple.Config{
			Roots: roots, BundleIDs: []string{"com.example.app"}, AppID: 6446000001, Environments: []apple.Environment{apple.Production},
			Clock: clock.System(), Revocation: apple.RevocationSoft, Revocations: nobodyKnows{},
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	h, err := trusted([]*x509.Certificate{root}).ReadHint(t.Context(), []byte(e.Body))
	if want := (notice.Hint{
		Signed: true, ID: "00000000-0000-4000-8000-000000000001", Type: "DID_RENEW", Order: "apple_2000000000000002",
		Line: "2000000000000001", Evidence: body.SignedPayload,
	}); err != nil || h != want {
		t.Errorf("apple-webhook.json is %+v (%v), want %+v", h, err, want)
	}
	roots, err := apple.Roots()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trusted(roots).ReadHint(t.Context(), []byte(e.Body)); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("got %v under Apple's roots, want fault.Unauthenticated", err)
	}
}

// nobodyKnows which chains were revoked.
type nobodyKnows struct{}

func (nobodyKnows) Standing(context.Context, apple.Chain) (apple.Standing, error) {
	return apple.Standing{State: apple.StandingUnknown}, nil
}
