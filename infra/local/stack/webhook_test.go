package stack_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"grantline/infra/local/stack"
	"grantline/infra/sim/dodo"
	"grantline/infra/sim/stage"
)

// chargeAtDodo makes a mandate, has it approved, and charges it under an orderId.
func chargeAtDodo(t *testing.T, s *stack.Stack, order string) {
	t.Helper()
	env := s.Sim().Env()
	ask := func(path string, body any) map[string]any {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), "POST", env["DODO_API_URL"]+path, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+env["DODO_API_KEY"])
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		var out map[string]any
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: got %d %v, %v; want 200", path, res.StatusCode, out, err)
		}
		return out
	}
	made := ask("/subscriptions", map[string]any{
		"product_id": "prod_1", "quantity": 1, "billing": map[string]any{"country": "US"}, "payment_link": true,
		"customer": map[string]any{"email": order + "@example.com"}, "on_demand": map[string]any{"mandate_only": true},
	})
	mandate, _ := made["subscription_id"].(string)
	if err := s.Sim().Dodo.Approve(dodo.Approval{SubscriptionID: mandate}); err != nil {
		t.Fatal(err)
	}
	ask("/subscriptions/"+mandate+"/charge", map[string]any{"product_price": 2500, "metadata": map[string]any{"order_id": order}})
}

// about are the attempts to deliver what is told of an order.
func about(s *stack.Stack, order string) (list []stage.Delivery) {
	for _, d := range s.Sim().Dodo.Deliveries() {
		if d.OrderID == order {
			list = append(list, d)
		}
	}
	return list
}

func TestWebhooksComeThroughTheAPIAtTheirOwnInstants(t *testing.T) {
	s := running(t)
	if err := s.Sim().Dodo.Webhook(stage.Fate{How: stage.Delay, Delay: stage.Duration(3 * time.Hour), Type: "payment.succeeded", OrderID: "order-late"}); err != nil {
		t.Fatal(err)
	}
	chargeAtDodo(t, s, "order-late")
	charged := s.Now()
	advance(t, s, "24h")
	got := map[string]stage.Delivery{}
	for _, d := range about(s, "order-late") {
		if d.Status != 0 {
			got[d.Type] = d
		}
	}
	for kind, after := range map[string]time.Duration{"payment.processing": 0, "payment.succeeded": 3*time.Hour + 3*time.Second} {
		d := got[kind]
		if off := d.At.Sub(charged.Add(after)).Abs(); d.Status != http.StatusOK || off > 30*time.Minute {
			t.Errorf("%s: got %d at %v, want that the API was asked and answered at about %v", kind, d.Status, d.At, charged.Add(after))
		}
	}
}

func TestWebhooksComeWithoutTheClockBeingMoved(t *testing.T) {
	s := running(t)
	chargeAtDodo(t, s, "order-now")
	eventually(t, "the news that the charge succeeded", func() bool {
		for _, d := range about(s, "order-now") {
			if d.Type == "payment.succeeded" && d.Status == http.StatusOK {
				return true
			}
		}
		return false
	})
}
