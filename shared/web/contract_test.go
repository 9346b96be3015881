package web_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"grantline/shared/purchase"
)

// atHome gives a path of the document with real ids in it.
func atHome(path string) string {
	return strings.NewReplacer("{customerId}", "minji", "{subscriptionId}", "sub-1", "{orderId}", "appsintoss_order-1", "{currency}", "gems",
		"{entitlement}", "premium", "{endpointId}", "shop", "{reference}", "ticket-1",
		"{project}", "default", "{environment}", "production").Replace(path)
}

// fit gives the path on which an example of a request works, once minji has what it needs.
func (o operation) fit(example string) string {
	switch {
	case o.id == "refundOrder":
		return strings.Replace(o.path, "{orderId}", paidOrder, 1)
	case o.id == "changePaymentMethod" && strings.HasPrefix(example, "dodo"):
		return strings.Replace(o.path, "{subscriptionId}", "sub-2", 1)
	}
	return atHome(o.path)
}

// by is a server's key, confined to a customer where the route lets it be.
func (o operation) by(id string) header {
	if strings.HasPrefix(o.path, "/v1/endpoints") {
		return server("")
	}
	return server(id)
}

// contextual says whether a body is refused for the record that it is sent to, where the
// document cannot know.
func (o operation) contextual(example string, body any) bool {
	fields, _ := body.(map[string]any)
	if bundle, named := fields["bundleId"]; o.id == "signOffer" {
		return named && bundle != appBundle
	}
	_, card := fields["toss"]
	return o.id == "changePaymentMethod" && card == strings.HasPrefix(example, "dodo")
}

func TestEveryDocumentedRouteIsServed(t *testing.T) {
	d := theDocument(t)
	if len(d.operations()) < 9 {
		t.Fatalf("got %d operations in the document, want 9 or more", len(d.operations()))
	}
	for _, o := range d.operations() {
		w := newWorld(t)
		want := 401
		if security, _ := o.node["security"].([]any); len(security) == 0 {
			want = 200
		}
		if a := w.ask(o.method, atHome(o.path), nil, ""); a.status != want {
			t.Errorf("%s without credentials: got %d, want %d", o.id, a.status, want)
		}
	}
}

func TestWhatIsNotDocumentedIsNotServed(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{
		"/", "", "/v1", "/v1/", "/v1/purchases/", "/v1/purchases/1", "/V1/purchases", "/v1/customers", "/v1/customers/", "/v1/subscriptions/",
		"/v1/orders", "/v1/orders/", "/v2/purchases", "/api/iap", "/api/iap/fulfill/", "/healthz/", "/_local/health", "/_local/keys", "/webhooks", "/webhooks/",
		"/v1/products/", "/v1/products/gems_100", "/metrics", "/debug/pprof/", "//v1/purchases", "/v1//purchases",
		"/v1/subscriptions/sub-1/cancel/", "/v1/subscriptions/sub-1/refund", "/v1/subscriptions/a/b/cancel", "/v1/subscriptions//cancel",
		"/v1/subscriptions/cancel/cancel", "/v1/subscriptions/cancel", "/v1/subscriptions/sub-1/Cancel",
		"/v1/subscriptions/status", "/v1/subscriptions/sub-1/", "/v1/subscriptions/a/b", "/v1/subscriptions/sub%201",
	} {
		for _, method := range []string{"GET", "POST"} {
			if theDocument(t).find(path) != "" {
				a := w.ask(method, path, server("minji"), "{}")
				if a.status != 404 && a.status != 405 {
					t.Errorf("%s %q: got %d, want 404 or 405", method, path, a.status)
				}
				continue
			}
			w.expect(404, "no_route", method, path, server("minji"), "{}")
		}
	}
	w.nothingWritten("requests for what is not there")
}

func TestTheClaimsFunctionServesClaimsAlone(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/healthz", me, "/", "/v1/purchases/"} {
		r := httptest.NewRequest("GET", "http://127.0.0.1"+path, nil)
		rw := httptest.NewRecorder()
		w.claims.ServeHTTP(rw, r)
		if rw.Code != 404 || !strings.Contains(rw.Body.String(), "no_route") {
			t.Errorf("GET %s: got %d %s, want 404 no_route", path, rw.Code, rw.Body)
		}
	}
}

func TestEveryRouteOfTheTemplateIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`Path: "?(/[^ "}]*)`).FindAllStringSubmatch(string(text), -1)
	if len(paths) == 0 {
		t.Fatal("got no route in template.yaml, want some")
	}
	for _, p := range paths {
		if p[1] == "/{proxy+" {
			continue // what the API function finds by itself
		}
		if theDocument(t).find(p[1]) == "" {
			t.Errorf("got no path %s in docs/openapi.yaml, want what template.yaml routes", p[1])
		}
	}
}

func TestEveryEventTypeIsDocumented(t *testing.T) {
	source, err := os.ReadFile("../event/event.go")
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, m := range regexp.MustCompile(`= "([a-z_]+\.[a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		types = append(types, m[1])
	}
	if len(types) < 18 {
		t.Fatalf("got %d types of events, want 18 or more", len(types))
	}
	enum, _, ok := theDocument(t).at("components", "schemas", "Event", "properties", "type", "enum")
	if !ok {
		t.Fatal("the document has no types of events")
	}
	var documented []string
	for _, name := range enum.([]any) {
		documented = append(documented, name.(string))
	}
	slices.Sort(types)
	slices.Sort(documented)
	if diff := cmp.Diff(types, documented); diff != "" {
		t.Errorf("types of events (-code +document):\n%s", diff)
	}
}

func TestEveryExampleFitsItsSchema(t *testing.T) {
	d := theDocument(t)
	checked := 0
	fit := func(where string, steps ...string) {
		_, pointer, ok := d.at(append(steps, "schema")...)
		if !ok {
			t.Errorf("%s has no schema", where)
			return
		}
		s, err := d.schema(pointer)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			return
		}
		all := d.examples(t, steps...)
		if len(all) == 0 {
			t.Errorf("%s has no example", where)
		}
		for name, e := range all {
			checked++
			if err := s.Validate(e); err != nil {
				t.Errorf("%s, example %s: %v", where, name, err)
			}
		}
	}
	for _, o := range d.everything() {
		method := strings.ToLower(o.method)
		if _, ok := o.node["requestBody"]; ok {
			fit(o.id+" request", "paths", o.path, method, "requestBody", "content", "application/json")
		}
		for status := range o.node["responses"].(map[string]any) {
			content, _, ok := d.at("paths", o.path, method, "responses", status, "content")
			if !ok && status == "204" {
				continue
			}
			for kind := range content.(map[string]any) {
				fit(o.id+" "+status, "paths", o.path, method, "responses", status, "content", kind)
			}
		}
	}
	if checked < 60 {
		t.Errorf("got %d examples, want 60 or more", checked)
	}
}

// shelves makes every store know what the examples claim.
func (w *world) shelves(t testing.TB) {
	for _, e := range theDocument(t).examples(t, "paths", "/api/iap/fulfill", "post", "requestBody", "content", "application/json") {
		id := e.(map[string]any)["orderId"].(string)
		w.shops["appsintoss"].sell(id, purchase.Sale{Order: id, SKU: "gems-100"})
	}
	for _, id := range []string{"x", "status", "apple", "dodo"} { // spoil writes them everywhere
		w.shops["appsintoss"].sell(id, purchase.Sale{Order: id, SKU: "gems-100"})
	}
	for name, e := range theDocument(t).examples(t, "paths", "/v1/purchases", "post", "requestBody", "content", "application/json") {
		claim := e.(map[string]any)
		of := claim[claim["store"].(string)].(map[string]any)
		for _, field := range []string{"signedTransaction", "receipt", "purchaseToken", "orderId"} {
			if evidence, ok := of[field].(string); ok {
				sku := map[string]string{"apple": "com.example.adfree", "play": "gems_100"}[claim["store"].(string)]
				if asked, ok := of["sku"].(string); ok {
					sku = asked
				}
				w.shops[claim["store"].(string)].sell(evidence, purchase.Sale{Order: "order-of-" + name, SKU: sku})
			}
		}
	}
}

// requests gives every request example of the document with its operation.
func requests(t testing.TB) (all []struct {
	operation
	name string
	body any
},
) {
	t.Helper()
	d := theDocument(t)
	for _, o := range d.operations() {
		if _, ok := o.node["requestBody"]; !ok {
			continue
		}
		of := d.examples(t, "paths", o.path, strings.ToLower(o.method), "requestBody", "content", "application/json")
		for _, name := range slices.Sorted(maps.Keys(of)) {
			all = append(all, struct {
				operation
				name string
				body any
			}{o, name, of[name]})
		}
	}
	return all
}

func (o operation) requestSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	d := theDocument(t)
	_, pointer, _ := d.at("paths", o.path, strings.ToLower(o.method), "requestBody", "content", "application/json", "schema")
	s, err := d.schema(pointer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func text(t testing.TB, body any) string {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// whose is the customer whom a body may name without contradiction.
func whose(body any) string {
	if named, ok := body.(map[string]any)["customerId"].(string); ok {
		return named
	}
	return "minji"
}

func TestEveryExampleOfARequestIsAccepted(t *testing.T) {
	for _, r := range requests(t) {
		w := newWorld(t)
		w.shelves(t)
		w.minji()
		path := r.fit(r.name)
		if a := w.ask(r.method, path, server(""), "nonsense"); a.status != 400 {
			t.Errorf("%s with nonsense: got %d, want 400", r.id, a.status)
		}
		if a := w.ask(r.method, path, r.by(whose(r.body)), text(t, r.body)); a.status != 200 && a.status != 201 {
			t.Errorf("%s, example %s: got %d %s, want 200 or 201", r.id, r.name, a.status, a.text)
		}
	}
}

// spoil calls with every variant of a JSON value in which one place is missing or changed.
func spoil(root any, with func(what string, spoiled any)) {
	replacements := []any{
		nil, true, json.Number("0"), json.Number("-1.5"), "", " ", "x", "한글", "a/events", "a b", strings.Repeat("x", 600),
		[]any{},
		map[string]any{},
		[]any{"x"},
		"\x00", "status", "apple", "dodo",
	}
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		for _, r := range replacements {
			set(r)
			with(fmt.Sprintf("%s = %.20q", path, fmt.Sprint(r)), root)
		}
		set(v)
		object, ok := v.(map[string]any)
		if !ok {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			was := object[name]
			delete(object, name)
			with(path+" without "+name, root)
			object[name] = was
			walk(path+"."+name, was, func(v any) { object[name] = v })
		}
		object["unheardOf"] = "x"
		with(path+" with another field", root)
		delete(object, "unheardOf")
	}
	walk("$", root, func(v any) { root = v })
}

func TestWhatTheDocumentRefusesIsRefused(t *testing.T) {
	var refused, accepted int
	for _, r := range requests(t) {
		schema := r.requestSchema(t)
		spoil(copied(t, r.body), func(what string, spoiled any) {
			w := newWorld(t)
			w.shelves(t)
			if r.path != atHome(r.path) {
				w.minji()
			}
			was := w.state()
			a := w.ask(r.method, r.fit(r.name), r.by("minji"), text(t, spoiled))
			wrong := schema.Validate(copied(t, spoiled))
			switch {
			case wrong != nil && (a.status < 400 || a.status >= 500):
				t.Errorf("%s %s, %s: got %d though the document refuses it: %v\n%s", r.id, r.name, what, a.status, wrong, text(t, spoiled))
			case wrong == nil && strings.Contains(text(t, spoiled), `\u0000`):
				if a.status != 400 {
					t.Errorf("%s %s, %s: got %d for a NUL, want 400", r.id, r.name, what, a.status)
				}
			case wrong != nil:
				refused++
				w.nothingChanged(was, fmt.Sprintf("%s %s, %s", r.id, r.name, what))
			case r.contextual(r.name, spoiled):
				if a.status != 400 {
					t.Errorf("%s %s, %s: got %d for another gateway's field, want 400", r.id, r.name, what, a.status)
				}
			case a.status == 400 && a.code() != "invalid_purchase":
				t.Errorf("%s %s, %s: got 400 %s though the document accepts it\n%s", r.id, r.name, what, a.text, text(t, spoiled))
			default:
				accepted++
			}
		})
	}
	if refused < 500 || accepted < 50 {
		t.Errorf("got %d refused and %d accepted variants, want 500 and 50 or more", refused, accepted)
	}
}

func copied(t testing.TB, v any) any {
	t.Helper()
	c, err := jsonschema.UnmarshalJSON(strings.NewReader(text(t, v)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
