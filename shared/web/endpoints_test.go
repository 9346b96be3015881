package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/delivery"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// receiver is the company's servers: what was posted to them, and what they answer.
type receiver struct {
	status  int
	arrived []string
	header  []http.Header
}

func (r *receiver) RoundTrip(q *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	r.arrived, r.header = append(r.arrived, string(body)), append(r.header, q.Header)
	return &http.Response{StatusCode: r.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
}

func newEndpoints(w *world) *delivery.Registry {
	return &delivery.Registry{
		Tables: w.tables, Sealer: newSealer(), Clock: w.clock, Courier: delivery.Courier{By: &receiver{status: http.StatusNoContent}},
	}
}

// publisher is what works beside the API.
func (w *world) publisher() (*delivery.Publisher, *receiver) {
	r := &receiver{status: http.StatusOK}
	return &delivery.Publisher{
		Tables: w.tables, Registry: w.api.Endpoints, Courier: delivery.Courier{By: r}, Clock: w.clock, Log: slog.New(slog.DiscardHandler),
		Lease: 2 * time.Minute,
	}, r
}

// hand is a queue that works at once.
type hand func(delivery.Wake) error

func (h hand) Send(_ context.Context, _ string, messages []delivery.Wake) (int, error) {
	for i, m := range messages {
		if err := h(m); err != nil {
			return i, err
		}
	}
	return len(messages), nil
}

func (w *world) publish(p *delivery.Publisher) {
	w.Helper()
	fanout := &delivery.Fanout{
		Tables: w.tables, Clock: w.clock, Log: p.Log, Scopes: []table.Scope{table.Default},
		Queue: hand(func(m delivery.Wake) error { return p.Work(w.Context(), m) }),
	}
	if _, err := fanout.Tick(w.Context()); err != nil {
		w.Fatal(err)
	}
}

func TestAnEndpointIsMadeShownChangedAndRemoved(t *testing.T) {
	w := newWorld(t)
	made := w.expect(201, "", "POST", "/v1/endpoints", server(""),
		`{"url":"https://shop.example.com/in","types":["wallet.*"],"description":"The shop"}`)
	endpoint := made.body["endpoint"].(map[string]any)
	path := "/v1/endpoints/" + endpoint["id"].(string)
	if secret, _ := made.body["secret"].(string); !strings.HasPrefix(secret, "whsec_") || endpoint["state"] != "active" || endpoint["format"] != "standard" {
		t.Errorf("got %s, want an active endpoint and its secret", made.text)
	}
	again := w.expect(200, "", "POST", "/v1/endpoints", server(""),
		`{"url":"https://shop.example.com/in","types":["wallet.*"],"description":"The shop"}`)
	if again.body["secret"] != nil || again.body["endpoint"].(map[string]any)["id"] != endpoint["id"] {
		t.Errorf("again: got %s, want the same without its secret", again.text)
	}
	w.expect(409, "endpoint_exists", "POST", "/v1/endpoints", server(""), `{"url":"https://shop.example.com/in"}`)
	w.expect(422, "address_not_public", "POST", "/v1/endpoints", server(""), `{"url":"https://169.254.169.254/"}`)
	w.expect(400, "invalid_request", "POST", "/v1/endpoints", server(""), `{"url":"http://shop.example.com/"}`)
	w.expect(400, "invalid_request", "POST", "/v1/endpoints", server(""), `{"url":"https://shop.example.com/","after":"yesterday"}`)
	for _, a := range []answer{w.expect(200, "", "GET", path, server(""), ""), w.expect(200, "", "GET", "/v1/endpoints", server(""), "")} {
		if strings.Contains(a.text, "whsec_") || !strings.Contains(a.text, "https://shop.example.com/in") {
			t.Errorf("got %s, want the endpoint without its secret", a.text)
		}
	}
	changed := w.expect(200, "", "PUT", path, server(""), `{"state":"disabled","types":[]}`)
	if e := changed.body["endpoint"].(map[string]any); e["state"] != "disabled" || e["description"] != "The shop" || fmt.Sprint(e["types"]) != "[]" {
		t.Errorf("got %s, want it disabled, and its description as it was", changed.text)
	}
	rotated := w.expect(200, "", "POST", path+"/rotate", server(""), "")
	if rotated.body["secret"] == made.body["secret"] || rotated.body["secret"] == nil {
		t.Errorf("got %s, want another secret", rotated.text)
	}
	w.expect(400, "invalid_request", "POST", path+"/rotate", server(""), `{"authorization":"Bearer 0123456789abcdef"}`)
	tested := w.expect(200, "", "POST", path+"/test", server(""), "")
	if tested.body["taken"] != true || tested.body["status"] != 204.0 {
		t.Errorf("got %s, want 204", tested.text)
	}
	w.expect(405, "method_not_allowed", "POST", path, server(""), "")
	w.expect(405, "method_not_allowed", "GET", path+"/replay", server(""), "")
	w.expect(200, "", "DELETE", path, server(""), "")
	for _, gone := range [][2]string{{"GET", ""}, {"PUT", ""}, {"DELETE", ""}, {"POST", "/rotate"}, {"POST", "/test"}, {"GET", "/failures"}, {"POST", "/redrive"}} {
		w.expect(404, "endpoint_not_found", gone[0], path+gone[1], server(""), "{}")
	}
	w.expect(404, "endpoint_not_found", "POST", path+"/replay", server(""), `{"customerId":"minji","after":0}`)
	for _, none := range []string{"/v1/endpoints/", "/v1/endpointsshop", "/v1/endpoints/shop/", "/v1/endpoints/shop/nothing", "/v1/endpoints/a%23b"} {
		w.expect(404, "no_route", "GET", none, server(""), "")
	}
}

func TestEndpointsAreTheServersAlone(t *testing.T) {
	w := newWorld(t)
	w.expect(201, "", "POST", "/v1/endpoints", server(""), `{"id":"shop","url":"https://shop.example.com/"}`)
	was := w.tables.Items(table.Endpoints)
	for _, route := range [][2]string{
		{"GET", ""},
		{"POST", ""},
		{"GET", "/shop"},
		{"PUT", "/shop"},
		{"DELETE", "/shop"},
		{"POST", "/shop/rotate"},
		{"POST", "/shop/test"},
		{"GET", "/shop/failures"},
		{"POST", "/shop/redrive"},
		{"POST", "/shop/replay"},
	} {
		body := `{"url":"https://other.example.com/","customerId":"minji","after":0}`
		w.expect(401, "unauthenticated", route[0], "/v1/endpoints"+route[1], nil, body)
		w.expect(403, "secret_key_required", route[0], "/v1/endpoints"+route[1], app("minji"), body)
		w.expect(403, "secret_key_required", route[0], "/v1/endpoints"+route[1], w.user("minji"), body)
		w.expect(403, "another_customer", route[0], "/v1/endpoints"+route[1], server("minji"), body)
	}
	var left []table.Item
	for _, item := range w.tables.Items(table.Endpoints) {
		if !strings.Contains(item.Key.Partition, "#audit#") {
			left = append(left, item)
		}
	}
	was = slices.DeleteFunc(was, func(i table.Item) bool { return strings.Contains(i.Key.Partition, "#audit#") })
	if diff := cmp.Diff(was, left); diff != "" {
		t.Errorf("the endpoints are others (-want +got):\n%s", diff)
	}
}

func TestAnEventIsToldAsTheAPIShowsIt(t *testing.T) {
	w := newWorld(t)
	w.expect(201, "", "POST", "/v1/endpoints", server(""), `{"id":"shop","url":"https://shop.example.com/"}`)
	w.expect(200, "", "POST", me+"/wallet/gems/credit", server("minji"), `{"amount":10,"reference":"one","reason":"test"}`)
	p, r := w.publisher()
	w.publish(p)
	shown := w.expect(200, "", "GET", me+"/events", server("minji"), "").body["events"].([]any)
	if len(r.arrived) == 0 || len(r.arrived) != len(shown) {
		t.Fatalf("got %d told, want the %d events", len(r.arrived), len(shown))
	}
	for i, body := range r.arrived {
		var told struct{ Data map[string]any }
		if err := json.Unmarshal([]byte(body), &told); err != nil {
			t.Fatal(err)
		}
		if told.Data["customerId"] != "minji" || told.Data["project"] != "default" || told.Data["environment"] != "production" {
			t.Errorf("got %s, want whose it is", body)
		}
		for _, more := range []string{"customerId", "project", "environment"} {
			delete(told.Data, more)
		}
		if got, want := text(t, told.Data), text(t, shown[i]); got != want {
			t.Errorf("told %s\nshown %s", got, want)
		}
	}
	w.expect(200, "", "POST", "/v1/endpoints/shop/replay", server(""), `{"customerId":"minji","after":0}`)
	w.publish(p)
	if len(r.arrived) != 2*len(shown) || r.header[0].Get("Webhook-Id") != r.header[len(shown)].Get("Webhook-Id") {
		t.Errorf("replayed: got %d told, want each again under the same id", len(r.arrived))
	}
	w.expect(422, "no_such_event", "POST", "/v1/endpoints/shop/replay", server(""), `{"customerId":"minji","after":99}`)
	w.expect(404, "customer_not_found", "POST", "/v1/endpoints/shop/replay", server(""), `{"customerId":"jisoo","after":0}`)
}

func TestDeadLettersAreListedAndToldAgain(t *testing.T) {
	w := newWorld(t)
	w.expect(201, "", "POST", "/v1/endpoints", server(""), `{"id":"shop","url":"https://shop.example.com/"}`)
	w.expect(200, "", "POST", me+"/wallet/gems/credit", server("minji"), `{"amount":10,"reference":"one","reason":"test"}`)
	p, r := w.publisher()
	r.status = http.StatusBadGateway
	for range 200 {
		w.publish(p)
		w.clock.advance(30 * time.Minute)
	}
	failures := w.expect(200, "", "GET", "/v1/endpoints/shop/failures", server(""), "").body["failures"].([]any)
	if len(failures) != 1 || failures[0].(map[string]any)["customerId"] != "minji" || failures[0].(map[string]any)["status"] != 502.0 {
		t.Fatalf("got %v, want minji's events and 502", failures)
	}
	w.expect(400, "invalid_request", "GET", "/v1/endpoints/shop/failures", server(""), "", "after=nonsense")
	r.status, r.arrived = http.StatusOK, nil
	done := w.expect(200, "", "POST", "/v1/endpoints/shop/redrive", server(""), "")
	if done.body["redriven"] != 1.0 || done.body["more"] != false {
		t.Errorf("got %s, want one and no more", done.text)
	}
	w.publish(p)
	if len(r.arrived) == 0 {
		t.Errorf("nothing was told again")
	}
	if left := w.expect(200, "", "GET", "/v1/endpoints/shop/failures", server(""), ""); len(left.body["failures"].([]any)) != 0 {
		t.Errorf("got %s, want none left", left.text)
	}
}

// endpointRoutes are all routes of endpoints, each as it succeeds.
var endpointRoutes = map[string]struct{ method, path, body string }{
	"list":     {"GET", "/v1/endpoints", ""},
	"create":   {"POST", "/v1/endpoints", `{"url":"https://other.example.com/"}`},
	"get":      {"GET", "/v1/endpoints/shop", ""},
	"change":   {"PUT", "/v1/endpoints/shop", `{"description":"The shop"}`},
	"remove":   {"DELETE", "/v1/endpoints/shop", ""},
	"rotate":   {"POST", "/v1/endpoints/shop/rotate", "{}"},
	"test":     {"POST", "/v1/endpoints/shop/test", "{}"},
	"failures": {"GET", "/v1/endpoints/shop/failures", ""},
	"redrive":  {"POST", "/v1/endpoints/shop/redrive", "{}"},
	"replay":   {"POST", "/v1/endpoints/shop/replay", `{"customerId":"minji","after":0}`},
}

func TestEndpointsOutOfReachAreNobodysFault(t *testing.T) {
	for name, c := range endpointRoutes {
		w := newWorld(t)
		w.minji()
		w.tables.Fail = func(memory.Op) (bool, error) { return false, outage() }
		w.expect(503, "store_unavailable", c.method, c.path, server(""), c.body)
		w.tables.Fail = nil
		if a := w.ask(c.method, c.path, server(""), c.body); a.status >= 300 {
			t.Errorf("%s once they are there again: got %d %s, want success", name, a.status, a.text)
		}
	}
}

// During a deploy the older version meets what the newer one wrote.
func TestEndpointsOfANewerVersionAreABugAndNotACallers(t *testing.T) {
	for _, c := range endpointRoutes {
		w := newWorld(t)
		w.minji()
		for _, item := range w.tables.Items(table.Endpoints) {
			item.Schema = 99
			if err := w.tables.Commit(t.Context(), table.Replaced(item)); err != nil {
				t.Fatal(err)
			}
		}
		w.expect(500, "internal_error", c.method, c.path, server(""), c.body)
	}
}

func TestAnEndpointsCallerNamesNoCustomerThatCannotBe(t *testing.T) {
	for _, c := range endpointRoutes {
		w := newWorld(t)
		w.minji()
		w.expect(400, "invalid_customer_id", c.method, c.path, server(" "+"x\u0000"), c.body)
	}
	w := newWorld(t)
	w.minji()
	w.expect(422, "address_not_public", "PUT", "/v1/endpoints/shop", server(""), `{"url":"https://10.0.0.1/"}`)
}
