package toss_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/stage"
	"grantline/infra/sim/stage/stagetest"
	"grantline/infra/sim/toss"
)

// statement reads rows as "orderId status amount".
func (s *shop) statement(query string) (rows []string, keys []string) {
	s.t.Helper()
	got := s.call("GET", "/v1/transactions?"+query, nil)
	s.want(query, got, 200, "")
	var list []map[string]any
	if err := json.Unmarshal([]byte(got.raw), &list); err != nil {
		s.t.Fatalf("%s: got %s, want a list", query, got.raw)
	}
	for _, row := range list {
		rows = append(rows, fmt.Sprint(row["orderId"], " ", row["status"], " ", row["amount"]))
		keys = append(keys, row["transactionKey"].(string))
	}
	return rows, keys
}

const firstOfMarch = "startDate=2026-03-01T00:00:00&endDate=2026-03-01T23:59:59.999"

// busyDay charges twice and cancels, at noon of the first of March in Korea.
func busyDay(t *testing.T) *shop {
	t.Helper()
	s := newShop(t, toss.Options{})
	key := s.issued(customer)
	s.now.Add(3 * 3600)
	s.call("POST", "/v1/billing/"+key, order("order-1", 9900))
	s.now.Add(60)
	paid := s.call("POST", "/v1/billing/"+key, order("order-2", 4900)).body["paymentKey"].(string)
	s.call("POST", "/v1/billing/"+key, order("order-3", 1401)) // declined
	s.now.Add(60)
	s.want("part", s.call("POST", "/v1/payments/"+paid+"/cancel", map[string]any{"cancelReason": "r", "cancelAmount": 900}), 200, "")
	s.now.Add(60)
	s.want("rest", s.call("POST", "/v1/payments/"+paid+"/cancel", map[string]any{"cancelReason": "r"}), 200, "")
	return s
}

func TestStatementHasARowForEachApprovalAndEachCancel(t *testing.T) {
	s := busyDay(t)
	if rows, _ := s.statement(firstOfMarch); len(rows) != 0 {
		t.Errorf("a moment later: got %v, want nothing yet", rows)
	}
	s.now.Add(600)
	want := []string{"order-1 DONE 9900", "order-2 DONE 4900", "order-2 PARTIAL_CANCELED -900", "order-2 PARTIAL_CANCELED -4000"}
	rows, keys := s.statement(firstOfMarch)
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
	positive := "positive"
	s.must(s.Set(toss.Settings{CancelRows: &positive}))
	if rows, _ := s.statement(firstOfMarch + "&startingAfter=" + keys[1]); !cmp.Equal(rows, []string{"order-2 PARTIAL_CANCELED 900", "order-2 PARTIAL_CANCELED 4000"}) {
		t.Errorf("positive, second page: got %v, want both cancels", rows)
	}
	var one []map[string]any
	got := s.call("GET", "/v1/transactions?"+firstOfMarch+"&limit=1", nil)
	if err := json.Unmarshal([]byte(got.raw), &one); err != nil || len(one) != 1 {
		t.Fatalf("limit: got %s, want one", got.raw)
	}
	for name, want := range map[string]any{
		"transactionAt": "2026-03-01T12:00:00+09:00", "currency": "KRW", "method": "카드", "customerKey": customer, "useEscrow": false,
	} {
		if one[0][name] != want {
			t.Errorf("%s: got %v, want %v", name, one[0][name], want)
		}
	}
	found := s.call("GET", "/v1/payments/orders/order-2", nil).body
	if found["lastTransactionKey"] != keys[3] || found["paymentKey"] == keys[1] {
		t.Errorf("got %v, want the last row's key as lastTransactionKey", found["lastTransactionKey"])
	}
	if live := s.call("GET", "/v1/transactions?"+firstOfMarch, nil, "Authorization", basic(s.LiveSecretKey()+":")); live.raw != "[]" {
		t.Errorf("the live shop: got %s, want none", live.raw)
	}
}

func TestStatementIsOfKoreanDays(t *testing.T) {
	s := busyDay(t)
	s.now.Add(600)
	for period, want := range map[string]int{
		"2026-03-01T12:00:00 2026-03-01T12:00:00":     1, // both ends included
		"2026-03-01T12:00:01 2026-03-01T12:02:59":     2,
		"2026-03-01T03:00:00 2026-03-01T03:59:00":     0, // it is no UTC
		"2026-03-01T12:00:00.000 2026-03-01T12:01:00": 2,
	} {
		from, to, _ := strings.Cut(period, " ")
		rows, _ := s.statement(url.Values{"startDate": {from}, "endDate": {to}}.Encode())
		if len(rows) != want {
			t.Errorf("%s: got %v, want %d", period, rows, want)
		}
	}
	for query, code := range map[string]string{
		"": "INVALID_REQUEST", "startDate=2026-03-01T00:00:00": "INVALID_REQUEST", "startDate=2026-03-01&endDate=2026-03-02": "INVALID_REQUEST",
		"startDate=2026-03-02T00:00:00&endDate=2026-03-01T00:00:00":                 "INVALID_REQUEST",
		"startDate=2026-03-01T00:00:00%2B09:00&endDate=2026-03-02T00:00:00%2B09:00": "INVALID_REQUEST",
		firstOfMarch + "&limit=0": "INVALID_REQUEST", firstOfMarch + "&limit=5001": "INVALID_REQUEST",
		firstOfMarch + "&startingAfter=x": "INVALID_TRANSACTION_KEY",
	} {
		s.want(query, s.call("GET", "/v1/transactions?"+query, nil), 400, code)
	}
}

func TestConsoleDoesWhatNobodyAskedFor(t *testing.T) {
	s := newShop(t, toss.Options{})
	key := s.issued(customer)
	first := s.call("POST", "/v1/billing/"+key, order("order-1", 9900)).body["paymentKey"]
	second, err := s.Take(toss.Foreign{OrderID: "order-1", Amount: 9900, CustomerKey: customer})
	s.must(err)
	unknown, err := s.Take(toss.Foreign{OrderID: "order-x", Amount: 500})
	s.must(err)
	for path, want := range map[string]any{"orders/order-1": first, second: second, "orders/order-x": unknown} {
		if got := s.call("GET", "/v1/payments/"+path, nil).body["paymentKey"]; got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	for _, by := range []toss.Return{{}, {OrderID: "order-y"}, {OrderID: "order-x", Amount: 501}, {OrderID: "order-x", Amount: -1}} {
		if _, err := s.Return(by); err == nil {
			t.Errorf("%+v: got nil, want an error", by)
		}
	}
	for _, by := range []toss.Return{{OrderID: "order-1", Amount: 900}, {PaymentKey: second}} {
		_, err := s.Return(by)
		s.must(err)
	}
	for _, f := range []toss.Foreign{{OrderID: "o", Amount: 500}, {OrderID: "order-z", Amount: 99}} {
		if _, err := s.Take(f); err == nil {
			t.Errorf("%+v: got nil, want an error", f)
		}
	}
	s.wantEffects("foreign", "issued", "charged", "charged", "charged", "cancelled", "cancelled")
	for _, e := range s.Effects()[2:] {
		if e.Origin != "control" {
			t.Errorf("%s %s: got origin %q, want control", e.Kind, e.OrderID, e.Origin)
		}
	}
	s.now.Add(600)
	rows, _ := s.statement("startDate=2026-03-01T00:00:00&endDate=2026-03-01T23:59:59")
	want := []string{"order-1 DONE 9900", "order-1 DONE 9900", "order-x DONE 500", "order-1 PARTIAL_CANCELED -900", "order-1 CANCELED -9900"}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
}

func TestCancelCanBeRefused(t *testing.T) {
	s := newShop(t, toss.Options{})
	paid := s.call("POST", "/v1/billing/"+s.issued(customer), order("order-1", 9900)).body["paymentKey"].(string)
	s.must(s.RefuseCancel(toss.CancelRefusal{Code: "EXCEED_MAX_REFUND_DUE", OrderID: "order-2"}))
	s.must(s.RefuseCancel(toss.CancelRefusal{Code: "REFUND_REJECTED", OrderID: "order-1"}))
	if err := s.RefuseCancel(toss.CancelRefusal{Code: "NEVER_HEARD_OF"}); err == nil {
		t.Error("unknown code: got nil, want an error")
	}
	body := map[string]any{"cancelReason": "r", "taxFreeAmount": 1}
	s.want("more tax-free than there is", s.call("POST", "/v1/payments/"+paid+"/cancel", body), 400, "INVALID_REQUEST")
	delete(body, "taxFreeAmount")
	s.want("scripted", s.call("POST", "/v1/payments/"+paid+"/cancel", body, "Idempotency-Key", "k"), 400, "REFUND_REJECTED")
	s.want("same key", s.call("POST", "/v1/payments/"+paid+"/cancel", body, "Idempotency-Key", "k"), 400, "REFUND_REJECTED")
	s.want("another key", s.call("POST", "/v1/payments/"+paid+"/cancel", body, "Idempotency-Key", "k2"), 200, "")
	s.want("same other key", s.call("POST", "/v1/payments/"+paid+"/cancel", body, "Idempotency-Key", "k2"), 200, "")
	s.wantEffects("once", "issued", "charged", "cancelled")
}

func TestWebhooksAreOfCancelsAndDeletedKeysAlone(t *testing.T) {
	clock := stagetest.NewClock()
	hooks := stagetest.NewReceiver(t, clock)
	s := newShop(t, toss.Options{Now: clock.Now, At: clock.At, Webhooks: hooks.URL})
	hooks.Answer(204) // which is not 200
	key := s.issued(customer)
	paid := s.call("POST", "/v1/billing/"+key, order("order-1", 9900)).body["paymentKey"].(string)
	clock.Advance(time.Hour)
	if got := len(hooks.Arrivals()); got != 0 {
		t.Fatalf("after a charge: got %d webhooks, want none", got)
	}
	s.call("POST", "/v1/payments/"+paid+"/cancel", map[string]any{"cancelReason": "r", "cancelAmount": 900})
	clock.Advance(5 * 24 * time.Hour)
	var minutes []int
	ids := map[string]bool{}
	for i, a := range hooks.Arrivals() {
		minutes = append(minutes, int(a.At.Sub(hooks.Arrivals()[0].At)/time.Minute))
		ids[a.Header.Get("tosspayments-webhook-transmission-id")] = true
		if got := a.Header.Get("tosspayments-webhook-retried-count"); got != strconv.Itoa(i) {
			t.Errorf("attempt %d: got a count of %s", i, got)
		}
		data, _ := a.Body["data"].(map[string]any)
		if a.Path != "/webhooks/toss" || a.Body["eventType"] != "PAYMENT_STATUS_CHANGED" || data["status"] != "PARTIAL_CANCELED" || data["orderId"] != "order-1" {
			t.Errorf("attempt %d: got %s %v, want the cancelled payment", i, a.Path, a.Body)
		}
		if a.Header.Get("tosspayments-webhook-transmission-time") == "" || a.Header.Get("tosspayments-webhook-signature") != "" {
			t.Errorf("attempt %d: got %v, want a time and no signature", i, a.Header)
		}
	}
	if diff := cmp.Diff([]int{0, 1, 5, 21, 85, 341, 1365, 5461}, minutes); diff != "" || len(ids) != 1 {
		t.Errorf("%d ids; attempts differ (-want +got):\n%s", len(ids), diff)
	}
	hooks.Answer(200)
	before := len(hooks.Arrivals())
	s.call("DELETE", "/v1/billing/"+key, nil)
	other := s.issued("other-customer")
	if _, err := s.DeleteKey(toss.DeleteKey{BillingKey: other}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Return(toss.Return{OrderID: "order-1"})
	s.must(err)
	clock.Advance(time.Hour)
	var events []string
	for _, a := range hooks.Arrivals()[before:] {
		data, _ := a.Body["data"].(map[string]any)
		events = append(events, fmt.Sprint(a.Body["eventType"], " ", data["billingKey"] == key, " ", data["billingKey"] == other))
	}
	want := []string{"BILLING_DELETED true false", "BILLING_DELETED false true", "PAYMENT_STATUS_CHANGED false false"}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
	if got := len(s.Deliveries()); got != 8+3 {
		t.Errorf("got %d deliveries in the log, want eight attempts of one and three more", got)
	}
	s.must(s.Webhook(stage.Fate{How: stage.Drop}))
}
