package dodo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/dodo"
	"grantline/infra/sim/stage"
	"grantline/infra/sim/stage/stagetest"
)

// shop is a simulator on a clock that stands still, and where its webhooks go.
type shop struct {
	*dodo.Simulator

	t      *testing.T
	clock  *stagetest.Clock
	hooks  *stagetest.Receiver
	server *httptest.Server
	client *http.Client
}

// newShop makes one without limits of rate; a test that is about them sets them.
func newShop(t *testing.T, options dodo.Options) *shop {
	t.Helper()
	s := &shop{t: t, clock: stagetest.NewClock()}
	s.hooks = stagetest.NewReceiver(t, s.clock)
	options.Now, options.At, options.Webhooks = s.clock.Now, s.clock.At, s.hooks.URL
	s.Simulator = dodo.New(options)
	s.server = httptest.NewServer(s.Simulator)
	s.client = &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		s.Close()
		s.server.Close()
	})
	none := 0
	s.must(s.Set(dodo.Settings{PerMinute: &none, PerSecond: &none}))
	return s
}

// reply is an answer, read.
type reply struct {
	status int
	code   string
	body   map[string]any
	raw    string
	header http.Header
}

func (r reply) text(name string) string {
	text, _ := r.body[name].(string)
	return text
}

// send makes a call; header is name, value, name, value ….
func (s *shop) send(ctx context.Context, method, path string, body any, header ...string) (reply, error) {
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		text, _ = json.Marshal(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, s.server.URL+path, bytes.NewReader(text))
	if err != nil {
		return reply{}, err
	}
	r.Header.Set("Authorization", "Bearer "+s.Key())
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := s.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, err
	}
	out := reply{status: response.StatusCode, raw: string(answer), header: response.Header}
	_ = json.Unmarshal(answer, &out.body) // not every answer is JSON
	out.code, _ = out.body["code"].(string)
	return out, nil
}

// call is send that must be answered.
func (s *shop) call(method, path string, body any, header ...string) reply {
	s.t.Helper()
	got, err := s.send(s.t.Context(), method, path, body, header...)
	if err != nil {
		s.t.Fatalf("%s %s: got %v, want an answer", method, path, err)
	}
	return got
}

func (s *shop) want(what string, got reply, status int, code string) {
	s.t.Helper()
	if got.status != status || got.code != code {
		s.t.Errorf("%s: got %d %q, want %d %q", what, got.status, got.code, status, code)
	}
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("control: got %v, want it done", err)
	}
}

// kinds are the effects so far, in short.
func (s *shop) kinds() (kinds []string) {
	for _, e := range s.Effects() {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func (s *shop) wantEffects(what string, want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.kinds()); diff != "" {
		s.t.Errorf("%s: effects differ (-want +got):\n%s", what, diff)
	}
}

// types are the types of the webhooks that came.
func (s *shop) types() (types []string) {
	for _, a := range s.hooks.Arrivals() {
		kind, _ := a.Body["type"].(string)
		types = append(types, kind)
	}
	return types
}

func (s *shop) wantTypes(what string, want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.types()); diff != "" {
		s.t.Errorf("%s: webhooks differ (-want +got):\n%s", what, diff)
	}
}

type fields = map[string]any

// creation is the body of a subscription that is in order.
func creation() fields {
	return fields{
		"product_id": "prod_1", "quantity": 1, "payment_link": true, "return_url": "https://app.example.com/done?a=b",
		"billing":  fields{"country": "US", "city": "SF", "state": "CA", "street": "1 Market St", "zipcode": "94105"},
		"customer": fields{"email": "park@example.com", "name": "Park"},
		"metadata": fields{"order_id": "sign-up-1"}, "on_demand": fields{"mandate_only": true},
	}
}

// active gives a mandate that can be charged.
func (s *shop) active() string {
	s.t.Helper()
	made := s.call("POST", "/subscriptions", creation())
	s.want("create", made, 200, "")
	id := made.text("subscription_id")
	s.must(s.Approve(dodo.Approval{SubscriptionID: id}))
	s.clock.Advance(0)
	return id
}

// charge charges a mandate under an orderId and gives the payment_id.
func (s *shop) charge(mandate, order string, price int64) string {
	s.t.Helper()
	got := s.call("POST", "/subscriptions/"+mandate+"/charge", fields{"product_price": price, "metadata": fields{"order_id": order}})
	s.want("charge", got, 200, "")
	if diff := cmp.Diff(1, len(got.body)); diff != "" {
		s.t.Errorf("charge: got %s, want payment_id alone", got.raw)
	}
	return got.text("payment_id")
}

func (s *shop) status(path string) string {
	s.t.Helper()
	return s.call("GET", path, nil).text("status")
}

func TestBadKeyIsRefused(t *testing.T) {
	s := newShop(t, dodo.Options{})
	for _, header := range []string{"", "Bearer", "Bearer wrong", "Basic " + s.Key(), s.Key()} {
		s.want(header, s.call("GET", "/payments", nil, "Authorization", header), 401, "UNAUTHORIZED")
	}
	s.want("right", s.call("GET", "/payments", nil, "Authorization", "bearer "+s.Key()), 200, "")
	s.want("no such path", s.call("GET", "/nothing", nil), 404, "NOT_FOUND")
}

func TestSubscriptionRefusesWhatDodoRefuses(t *testing.T) {
	s := newShop(t, dodo.Options{})
	spoil := func(name string, value any) fields {
		body := creation()
		body[name] = value
		if value == nil {
			delete(body, name)
		}
		return body
	}
	for _, c := range []struct {
		name string
		body any
		code string
	}{
		{"no JSON", "{", "INVALID_REQUEST_BODY"},
		{"array", "[]", "INVALID_REQUEST_BODY"},
		{"no product", spoil("product_id", nil), "INVALID_REQUEST_BODY"},
		{"no quantity", spoil("quantity", nil), "INVALID_REQUEST_BODY"},
		{"quantity 0", spoil("quantity", 0), "INVALID_REQUEST_BODY"},
		{"no billing", spoil("billing", nil), "INVALID_REQUEST_BODY"},
		{"country in words", spoil("billing", fields{"country": "Korea"}), "INVALID_REQUEST_BODY"},
		{"country not served", spoil("billing", fields{"country": "KP"}), "UNSUPPORTED_COUNTRY"},
		{"no customer", spoil("customer", nil), "INVALID_REQUEST_BODY"},
		{"customer without e-mail", spoil("customer", fields{"name": "Park"}), "INVALID_REQUEST_BODY"},
		{"relative return_url", spoil("return_url", "/done"), "INVALID_REQUEST_BODY"},
		{"no mandate_only", spoil("on_demand", fields{}), "INVALID_REQUEST_BODY"},
		{"price with a fraction", spoil("on_demand", fields{"mandate_only": false, "product_price": 9.5}), "INVALID_REQUEST_BODY"},
		{"price in quotes", spoil("on_demand", fields{"mandate_only": false, "product_price": "950"}), "INVALID_REQUEST_BODY"},
		{"price too low", spoil("on_demand", fields{"mandate_only": false, "product_price": 49}), "TOTAL_PAYMENT_AMOUNT_BELOW_MINIMUM_AMOUNT"},
		{"unknown currency", spoil("on_demand", fields{"mandate_only": true, "product_currency": "XXX"}), "UNSUPPORTED_CURRENCY"},
		{"add-ons", spoil("addons", []any{fields{"addon_id": "a"}}), "ADDONS_NOT_ALLOWED_FOR_ON_DEMAND"},
		{"discount", spoil("discount_code", "TEN"), "DISCOUNT_NOT_AVAILABLE_FOR_ON_DEMAND"},
		{"long metadata key", spoil("metadata", fields{strings.Repeat("k", 41): "v"}), "INVALID_REQUEST_BODY"},
		{"metadata key with a space", spoil("metadata", fields{"a b": "v"}), "INVALID_REQUEST_BODY"},
		{"long metadata value", spoil("metadata", fields{"k": strings.Repeat("v", 501)}), "INVALID_REQUEST_BODY"},
		{"metadata of objects", spoil("metadata", fields{"k": fields{}}), "INVALID_REQUEST_BODY"},
		{"51 pairs", spoil("metadata", pairs(51)), "INVALID_REQUEST_BODY"},
	} {
		s.want(c.name, s.call("POST", "/subscriptions", c.body), 422, c.code)
	}
	s.want("not as JSON", s.call("POST", "/subscriptions", creation(), "Content-Type", "text/plain"), 422, "INVALID_REQUEST_BODY")
	s.want("unknown customer", s.call("POST", "/subscriptions", spoil("customer", fields{"customer_id": "cus_x"})), 404, "NOT_FOUND")
	no := false
	s.must(s.Set(dodo.Settings{Enabled: &no}))
	s.want("not enabled", s.call("POST", "/subscriptions", creation()), 403, "ON_DEMAND_SUBSCRIPTIONS_NOT_ENABLED")
	yes := true
	s.must(s.Set(dodo.Settings{Enabled: &yes}))
	s.want("50 pairs", s.call("POST", "/subscriptions", spoil("metadata", pairs(50))), 200, "")
	s.wantEffects("refused but one", "mandateCreated")
}

func pairs(n int) fields {
	out := fields{}
	for i := range n {
		out["key-"+strings.Repeat("k", i/26)+string(rune('a'+i%26))] = "v"
	}
	return out
}

func TestMandateIsApprovedOnThePageOfItsLink(t *testing.T) {
	s := newShop(t, dodo.Options{})
	made := s.call("POST", "/subscriptions", creation())
	link := strings.TrimPrefix(made.text("payment_link"), s.server.URL)
	id := made.text("subscription_id")
	if got := s.status("/subscriptions/" + id); got != dodo.Pending {
		t.Errorf("before: got %s, want pending", got)
	}
	page := s.call("GET", link, nil)
	if page.status != 200 || !strings.Contains(page.raw, "Approve") || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
		t.Errorf("page: got %d %q, want one with a button", page.status, page.raw)
	}
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	s.want("neither", s.call("POST", link, "answer=perhaps", form...), 400, "")
	pressed := s.call("POST", link, "answer=approve", form...)
	want := "https://app.example.com/done?a=b&status=active&subscription_id=" + id
	if got := pressed.header.Get("Location"); pressed.status != 303 || got != want {
		t.Errorf("button: got %d to %q, want 303 to %q", pressed.status, got, want)
	}
	s.want("again", s.call("POST", link, "answer=approve", form...), 409, "")
	s.want("another's", s.call("GET", "/checkout/x", nil), 404, "")
	got := s.call("GET", "/subscriptions/"+id, nil)
	if got.text("status") != dodo.Active || got.body["on_demand"] != true || got.text("payment_method_id") == "" {
		t.Errorf("after: got %s, want it active, on demand, with a means of payment", got.raw)
	}
	s.clock.Advance(0)
	s.wantEffects("approved", "mandateCreated", "mandateActive")
	s.wantTypes("approved", "payment.succeeded", "subscription.active")
	if page := s.call("GET", link, nil); strings.Contains(page.raw, "<button") {
		t.Errorf("page afterwards: got %q, want no button", page.raw)
	}
}

func TestCustomerWhoDeclinesOnThePageFailsTheMandate(t *testing.T) {
	for _, form := range []string{"answer=decline", "answer=approve&card=4000000000000002", "answer=approve&card=failure@upi"} {
		s := newShop(t, dodo.Options{})
		made := s.call("POST", "/subscriptions", creation())
		link := strings.TrimPrefix(made.text("payment_link"), s.server.URL)
		s.call("POST", link, form, "Content-Type", "application/x-www-form-urlencoded")
		if got := s.status("/subscriptions/" + made.text("subscription_id")); got != dodo.Failed {
			t.Errorf("%s: got %s, want failed", form, got)
		}
		s.clock.Advance(0)
		s.wantEffects(form, "mandateCreated", "mandateFailed")
		s.wantTypes(form, "payment.failed", "subscription.failed")
	}
}

func TestApprovalMayTakeTheFirstCharge(t *testing.T) {
	for code, want := range map[string][]string{
		"":                   {"mandateCreated", "charged", "mandateActive"},
		"INSUFFICIENT_FUNDS": {"mandateCreated", "declined", "mandateFailed"},
	} {
		s := newShop(t, dodo.Options{})
		body := creation()
		body["on_demand"] = fields{"mandate_only": false, "product_price": 1000, "product_currency": "EUR"}
		made := s.call("POST", "/subscriptions", body)
		if code != "" {
			s.must(s.Decline(dodo.Decline{Code: code}))
		}
		s.must(s.Approve(dodo.Approval{OrderID: "sign-up-1"}))
		if got := s.status("/payments/" + made.text("payment_id")); got != "processing" {
			t.Errorf("at once: got %s, want processing", got)
		}
		s.clock.Advance(3 * time.Second)
		s.wantEffects("decided", want...)
		effect := s.Effects()[1]
		if effect.Amount != 1100 || effect.Tax != 100 || effect.Currency != "EUR" || effect.OrderID != "sign-up-1" || effect.PaymentKey != made.text("payment_id") {
			t.Errorf("got %+v, want 11 EUR with a tax of 1 for sign-up-1", effect)
		}
	}
}

func TestCustomersMayApproveOfThemselves(t *testing.T) {
	s := newShop(t, dodo.Options{})
	after := stage.Duration(time.Minute)
	s.must(s.Set(dodo.Settings{ApproveAfter: &after}))
	id := s.call("POST", "/subscriptions", creation()).text("subscription_id")
	s.clock.Advance(59 * time.Second)
	if got := s.status("/subscriptions/" + id); got != dodo.Pending {
		t.Errorf("before: got %s, want pending", got)
	}
	s.clock.Advance(time.Second)
	if got := s.status("/subscriptions/" + id); got != dodo.Active {
		t.Errorf("after: got %s, want active", got)
	}
}

func TestMandateIsFoundByWhatIsKnownOfIt(t *testing.T) {
	s := newShop(t, dodo.Options{})
	body := creation()
	body["metadata"] = fields{"grantline_subscription": "s1", "number": 7}
	id := s.call("POST", "/subscriptions", body).text("subscription_id")
	for _, by := range []dodo.Approval{{Email: "nobody@example.com"}, {Metadata: "s2"}, {SubscriptionID: "x"}, {OrderID: "x"}, {Metadata: "s1", Card: "1"}, {Metadata: "s1", Code: "no code"}} {
		if err := s.Approve(by); err == nil {
			t.Errorf("%+v: got nil, want an error", by)
		}
	}
	s.must(s.Approve(dodo.Approval{Metadata: "s1"}))
	got := s.call("GET", "/subscriptions/"+id, nil)
	if diff := cmp.Diff(fields{"grantline_subscription": "s1", "number": 7.0}, got.body["metadata"]); got.text("status") != dodo.Active || diff != "" {
		t.Errorf("got %s, want it active and its metadata as given:\n%s", got.text("status"), diff)
	}
	s.want("unknown", s.call("GET", "/subscriptions/x", nil), 404, "NOT_FOUND")
}
