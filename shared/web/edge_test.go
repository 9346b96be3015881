package web_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// TestMain insists, where all tests ran, that they met every answer of the document: what
// nobody has seen is not known to be so.
func TestMain(m *testing.M) {
	status := m.Run()
	all := true
	for _, name := range []string{"test.run", "test.skip", "test.fuzz", "test.bench", "test.list"} {
		all = all && flag.Lookup(name).Value.String() == ""
	}
	if status == 0 && all {
		if missing := unseen(); len(missing) > 0 {
			fmt.Printf("FAIL: no test has met these answers of docs/openapi.yaml: %s\n", strings.Join(missing, ", "))
			status = 1
		}
	}
	os.Exit(status)
}

func unseen() []string {
	d, err := load()
	if err != nil {
		return []string{err.Error()}
	}
	var missing []string
	for _, o := range d.everything() {
		for _, status := range slices.Sorted(maps.Keys(o.node["responses"].(map[string]any))) {
			if status != "default" && !d.observed[o.id+" "+status] {
				missing = append(missing, o.id+" "+status)
			}
		}
	}
	return missing
}

func TestEveryRouteAnswersPreflight(t *testing.T) {
	w := newWorld(t)
	for _, o := range theDocument(t).operations() {
		a := w.ask("OPTIONS", atHome(o.path), header{
			"Origin": "https://mini.apps.example", "Access-Control-Request-Method": o.method,
			"Access-Control-Request-Headers": "authorization,content-type,x-customer-id,x-toss-user-key",
		}, "")
		if a.status != 204 || a.text != "" {
			t.Errorf("%s: got %d %q, want 204 without a body", o.id, a.status, a.text)
		}
		if got := a.header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("%s: got Access-Control-Allow-Origin %q, want *", o.id, got)
		}
		if got := a.header.Get("Access-Control-Allow-Credentials"); got != "" {
			t.Errorf("%s: got Access-Control-Allow-Credentials %q, want none: no cookie is used", o.id, got)
		}
		methods := strings.Split(a.header.Get("Access-Control-Allow-Methods"), ", ")
		if !slices.Contains(methods, o.method) {
			t.Errorf("%s: got Access-Control-Allow-Methods %q, want %s among them", o.id, methods, o.method)
		}
		allowed := strings.Split(strings.ToLower(a.header.Get("Access-Control-Allow-Headers")), ", ")
		for _, name := range []string{"authorization", "content-type", "x-customer-id", "x-toss-user-key"} {
			if !slices.Contains(allowed, name) {
				t.Errorf("%s: got Access-Control-Allow-Headers %q, want %s among them", o.id, allowed, name)
			}
		}
	}
	w.nothingWritten("preflights")
}

func TestEveryAnswerMayBeReadByAnyOriginAndKeptByNoCache(t *testing.T) {
	w := newWorld(t)
	w.minji()
	w.shops["appsintoss"].down = true
	for _, a := range []answer{
		w.expect(200, "", "GET", me, server(""), ""),
		w.expect(401, "unauthenticated", "GET", me, nil, ""),
		w.expect(403, "another_customer", "GET", me, w.user("jisoo"), ""),
		w.expect(404, "no_route", "GET", "/nowhere", nil, ""),
		w.expect(404, "order_not_found", "GET", "/v1/orders/none", server(""), ""),
		w.expect(405, "method_not_allowed", "DELETE", "/v1/purchases", nil, ""),
		w.expect(400, "invalid_request", "POST", "/v1/purchases", server("minji"), "["),
		w.expect(503, "store_unavailable", "POST", "/v1/purchases", server("minji"), `{"store":"appsintoss","appsintoss":{"orderId":"x"}}`),
		w.expect(503, "", "POST", "/api/iap/fulfill", server("minji"), `{"orderId":"x"}`),
		w.expect(401, "", "POST", "/api/iap/fulfill", nil, `{"orderId":"x"}`),
	} {
		got := map[string]string{}
		for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Cache-Control", "X-Content-Type-Options"} {
			got[name] = a.header.Get(name)
		}
		want := map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After", "Cache-Control": "no-store",
			"X-Content-Type-Options": "nosniff",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d %s (-want +got):\n%s", a.status, a.text, diff)
		}
	}
}

func TestAnotherMethodIsToldWhichAreTaken(t *testing.T) {
	for path, allow := range map[string]string{
		"/v1/purchases": "POST", "/api/iap/fulfill": "POST", me: "DELETE, GET, PUT", me + "/events": "GET", "/v1/subscriptions": "POST",
		"/v1/subscriptions/sub-1": "GET", "/v1/orders/gl_1": "GET", "/healthz": "GET",
		columns["cancel"].path: "POST", columns["resume"].path: "POST", columns["card"].path: "POST", columns["plan"].path: "POST",
		columns["charge"].path: "POST", columns["refund"].path: "POST",
	} {
		w := newWorld(t)
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "TRACE", "CONNECT", "get", "X"} {
			if slices.Contains(strings.Split(allow, ", "), method) {
				continue
			}
			a := w.ask(method, path, server("minji"), "{}")
			if a.status != 405 || a.header.Get("Allow") != allow {
				t.Errorf("%s %s: got %d with Allow %q, want 405 with %q", method, path, a.status, a.header.Get("Allow"), allow)
			}
		}
		w.nothingWritten("other methods on " + path)
	}
}

func TestAMiniAppsUserKeyGoesAlong(t *testing.T) {
	w := newWorld(t)
	shop := w.shops["appsintoss"]
	shop.sell("order-1", purchase.Sale{Order: "order-1", SKU: "gems-100"})
	h := server("minji")
	h["X-Toss-User-Key"] = w.keep("443731104-of-a-user")
	w.expect(200, "", "POST", "/api/iap/fulfill", h, `{"orderId":"order-1"}`)
	w.expect(422, "invalid_purchase", "POST", "/v1/purchases", h, `{"store":"appsintoss","appsintoss":{"orderId":"order-2"}}`)
	if diff := cmp.Diff([]string{"443731104-of-a-user", "443731104-of-a-user"}, shop.keys); diff != "" {
		t.Errorf("user keys (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"a b", "a,b", "a\x01", strings.Repeat("1", 201), "키"} {
		h["X-Toss-User-Key"] = bad
		w.expect(400, "invalid_request", "POST", "/v1/purchases", h, `{"store":"appsintoss","appsintoss":{"orderId":"order-1"}}`)
	}
	if len(shop.keys) != 2 {
		t.Errorf("got %d calls to the store, want none for a user key that cannot be one", len(shop.keys))
	}
}

func TestWhatIsNotConfiguredIsNobodysFault(t *testing.T) {
	w := newWorld(t)
	delete(w.claims.Book.Stores, "play")
	w.expect(503, "store_not_configured", "POST", "/v1/purchases", server("minji"), `{"store":"play","play":{"purchaseToken":"token-1"}}`)
	w.api.Biller.Gateways = billing.Gateways{}
	w.expect(503, "gateway_not_configured", "POST", "/v1/subscriptions", server("minji"), columns["start"].body)
	w.nothingWritten("requests for what is not configured")
}

func TestOurOwnMistakesShowNothing(t *testing.T) {
	for column, c := range columns {
		if column == "health" || column == "offer" {
			continue
		}
		w := newWorld(t)
		w.minji()
		// A newer version of the code has written items that this one cannot read.
		for _, name := range table.Names {
			for _, item := range w.tables.Items(name) {
				item.Schema = 99
				if err := w.tables.Commit(t.Context(), table.Replaced(item)); err != nil {
					t.Fatal(err)
				}
			}
		}
		a := w.ask(c.method, c.path, server("minji"), c.body)
		if a.status != 500 || strings.Contains(a.text, "schema") {
			t.Errorf("%s: got %d %s, want 500 and nothing about it", column, a.status, a.text)
		}
		if !strings.Contains(w.logs.String(), "schema 99") {
			t.Errorf("%s: got the log %s, want the cause in it", column, w.logs)
		}
	}
}

func TestARequestEndsInTimeToBeAnswered(t *testing.T) {
	w := newWorld(t)
	asked := false
	w.claims.Book.Stores["apple"] = deadlined(func(left bool) { asked = left })
	w.expect(503, "store_unavailable", "POST", "/v1/purchases", server("minji"), `{"store":"apple","apple":{"signedTransaction":"a.b.c"}}`)
	if !asked {
		t.Error("got a store that is asked without a bound on its time, want one")
	}
}
