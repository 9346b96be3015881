package functions_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"grantline/shared/aws/apigw"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/setting"
	"grantline/shared/billing"
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
	} {
		var e events.APIGatewayV2HTTPRequest
		event(t, name, &e)
		var got string
		handler := apigw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Method + " " + r.URL.Path }), setting.Logger())
		if _, err := handler(t.Context(), e); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	var e events.SQSEvent
	event(t, "charge.json", &e)
	var got billing.Due
	handler := queue.Handler(func(_ context.Context, due billing.Due) error {
		got = due
		return nil
	}, queue.Options{})
	response, err := handler(t.Context(), e)
	if want := (billing.Due{Project: "default", Environment: "production", Subscription: "sub-minji"}); err != nil || len(response.BatchItemFailures) > 0 || got != want {
		t.Errorf("charge.json is %+v (%v, %v), want %+v", got, response, err, want)
	}
}
