package dodo_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/dodo"
	"grantline/shared/money"
)

// What must never be seen in a log or an error.
const (
	apiKey  = "test.5f8a1c0e7b3d"
	newKey  = "test.9d2e6a4c11f0"
	mandate = "sub_Zt5vOvQxrj4499PeiJc"
	payLink = "https://pay.example/checkout/aB3dE5"
	email   = "payer@company.example"
)

const order = "gl_7f3k2m9q4t5w8x1z"

var (
	card    = billing.Card{BillingKey: mandate}
	amount  = money.Of(999, "USD")
	request = billing.Request{OrderID: order, Amount: amount, Name: "Premium, a month"}
	noon    = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	want    = billing.Want{Amount: amount, Card: card, Since: noon}
	giving  = billing.Refunding{
		Key: "refund-of-7f3k-1", OrderID: order, Payment: "pay_1", Amount: money.Of(1188, "USD"), Left: 1188,
		Reason: "asked for by the customer", Since: noon,
	}
	invitation = billing.Invitation{
		Subscription: "subscription-1", OrderID: order, Price: amount, Product: "prod_usd", Name: "Premium, a month",
		Customer:  billing.Payer{Email: email, Name: "Alex Payer", Phone: "+1 555 0100"},
		Address:   billing.Address{Country: "US", City: "San Francisco", State: "CA", Street: "1 Market St", Zip: "94105"},
		ReturnURL: "https://company.example/done?x=1",
	}
)

// log collects what is logged, as text.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *log) alarmed() bool { return strings.Contains(l.String(), `"level":"ERROR"`) }

// silent fails the test if any of what is secret or personal was logged or is in the texts.
func silent(t *testing.T, l *log, texts ...string) {
	t.Helper()
	for _, text := range append(texts, l.String()) {
		for _, secret := range []string{apiKey, newKey, mandate, payLink, email, "Alex", "Market St", "555 0100", "company.example", "message of dodo", "127.0.0.1"} {
			if strings.Contains(text, secret) {
				t.Errorf("got %q in %q, want it nowhere", secret, text)
			}
		}
	}
}

// gateway is a Gateway that asks url through transport.
func gateway(t testing.TB, url string, transport http.RoundTripper, l io.Writer, change ...func(*dodo.Config)) *dodo.Gateway {
	t.Helper()
	config := dodo.Config{
		URL:       url,
		Key:       func(context.Context, bool) (string, error) { return apiKey, nil },
		Timeout:   time.Minute,
		Log:       slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Transport: transport,
	}
	for _, c := range change {
		c(&config)
	}
	g, err := dodo.New(config)
	if err != nil {
		t.Fatalf("New: got %v, want no error", err)
	}
	return g
}

// body composes the charge that all tests send.
func body(t testing.TB, g *dodo.Gateway) []byte {
	t.Helper()
	b, err := g.Compose(request)
	if err != nil {
		t.Fatalf("Compose: got %v, want no error", err)
	}
	return b
}

// says is a transport that always gets the same answer, without a network.
type says struct {
	status int
	body   string
}

func (s says) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: s.status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: req,
		Body: io.NopCloser(strings.NewReader(s.body)),
	}, nil
}

// has is a JSON object.
type has map[string]any

// paid is Dodo's payment of the order, as GET shows it, changed member by member.
func paid(key string, change has) has {
	p := has{
		"payment_id": key, "business_id": "bus_1", "brand_id": "brnd_1", "created_at": "2026-01-31T12:00:05Z", "currency": "USD",
		"customer": has{"customer_id": "cus_1", "email": email, "name": "Alex Payer"}, "billing": has{"country": "US", "street": "1 Market St"},
		"metadata": has{"order_id": order}, "total_amount": 1188, "tax": 189, "refunds": []has{}, "disputes": []has{}, "retry_attempt": 0,
		"is_update_payment_method": false, "payment_provider": "stripe", "status": "succeeded", "subscription_id": mandate,
		"error_code": nil, "error_message": nil, "card_last_four": "4242", "card_network": "VISA", "invoice_url": "https://dodo.example/invoice/1",
		"product_cart": nil, "a_member_of_tomorrow": has{"x": 1},
	}
	maps.Copy(p, change)
	return p
}

// kept is what is kept of paid.
func kept(key string) billing.Payment {
	return billing.Payment{
		Key: key, Mandate: mandate, Card: "****4242", Issuer: "VISA", ReceiptURL: "https://dodo.example/invoice/1",
		ApprovedAt: noon.Add(5 * time.Second), Amount: 1188, Currency: "USD", VAT: 189,
	}
}

// shop is Dodo as far as its client needs it: it does everything that it is asked to, as
// often as it is asked to, and it can be told to fail before or after it did so.
type shop struct {
	t *testing.T

	mu       sync.Mutex
	requests []string // method and path with query, in order of arrival
	bodies   []string
	froms    []string // the other end of each request's connection
	payments []has
	refunds  []has
	disputes []has
	mandates map[string]has
	effects  int // charges, refunds, mandates, pages and ends that were made
	size     int // of a page at most, 0 for what is asked for
	fail     *failure
	arrived  chan struct{} // gets a value when a request is about to hang
}

// failure happens once, to a request that begins so.
type failure struct {
	on   string
	done bool   // after the work was done, instead of before
	how  string // hang, reset, garbage, half, or a status
}

// hows are all the ways to fail.
var hows = []string{"hang", "reset", "garbage", "half", "307", "408", "409", "500", "502", "503"}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	line := r.Method + " " + r.URL.RequestURI()
	s.requests = append(s.requests, line)
	s.bodies = append(s.bodies, string(text))
	s.froms = append(s.froms, r.RemoteAddr)
	for name := range r.Header {
		if strings.Contains(strings.ToLower(name), "idempotency") {
			s.t.Errorf("%s: got the header %s, want none", line, name)
		}
	}
	if got := r.Header.Get("Authorization"); got != "Bearer "+apiKey {
		s.t.Errorf("%s: got another Authorization than the bearer's", line)
	}
	var fail *failure
	if s.fail != nil && strings.HasPrefix(line, s.fail.on) {
		fail, s.fail = s.fail, nil
	}
	status, answer := http.StatusInternalServerError, any(has{"code": "INTERNAL_SERVER_ERROR", "message": "message of dodo"})
	if fail == nil || fail.done {
		status, answer = s.work(r, text)
	}
	s.mu.Unlock()

	encoded, err := json.Marshal(answer)
	if err != nil {
		s.t.Errorf("answer: %v", err)
	}
	if fail != nil {
		s.spoil(w, r, fail.how, encoded)
		return
	}
	w.WriteHeader(status)
	w.Write(encoded)
}

// spoil answers as a failure wants it.
func (s *shop) spoil(w http.ResponseWriter, r *http.Request, how string, encoded []byte) {
	switch how {
	case "hang":
		s.arrived <- struct{}{}
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // and not an empty 200
	case "reset":
		cut(s.t, w)
	case "garbage":
		fmt.Fprint(w, "<html>message of dodo</html>")
	case "half":
		w.Header().Set("Content-Length", strconv.Itoa(len(encoded)))
		w.Write(encoded[:len(encoded)/2])
		if err := http.NewResponseController(w).Flush(); err != nil {
			s.t.Errorf("flush: %v", err)
		}
		panic(http.ErrAbortHandler)
	default:
		status, err := strconv.Atoi(how)
		if err != nil {
			s.t.Errorf("no such failure: %s", how)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		fmt.Fprint(w, `{"code":"A_CODE_OF_TOMORROW","message":"message of dodo"}`)
	}
}

// work does what a request asks for. s.mu is held.
func (s *shop) work(r *http.Request, text []byte) (int, any) {
	var in has
	_ = json.Unmarshal(text, &in)
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	missing := has{"code": "NOT_FOUND", "message": "message of dodo"}
	switch {
	case r.Method == "POST" && len(part) == 1 && part[0] == "subscriptions":
		s.effects++
		id := fmt.Sprintf("sub_new_%d", s.effects)
		s.mandates[id] = has{"subscription_id": id, "status": "pending", "on_demand": true, "product_id": in["product_id"]}
		return 200, has{"subscription_id": id, "payment_link": payLink, "metadata": in["metadata"], "customer": in["customer"]}
	case r.Method == "POST" && len(part) == 3 && part[2] == "charge":
		s.effects++
		key := fmt.Sprintf("pay_%d", len(s.payments)+1)
		s.payments = append(s.payments, paid(key, has{"metadata": in["metadata"], "subscription_id": part[1]}))
		return 200, has{"payment_id": key}
	case r.Method == "POST" && len(part) == 3:
		s.effects++
		return 200, has{"payment_id": "pay_x", "payment_link": payLink}
	case r.Method == "PATCH":
		s.effects++
		maps.Copy(s.mandates[part[1]], in)
		return 200, s.mandates[part[1]]
	case r.Method == "POST" && part[0] == "refunds":
		s.effects++
		return 200, s.giveBack(in)
	case len(part) == 1:
		return 200, has{"items": s.list(r, map[string][]has{"payments": s.payments, "refunds": s.refunds, "disputes": s.disputes}[part[0]])}
	case part[0] == "payments":
		for _, p := range s.payments {
			if p["payment_id"] == part[1] {
				return 200, p
			}
		}
	case part[0] == "refunds":
		for _, each := range s.refunds {
			if each["refund_id"] == part[1] {
				return 200, each
			}
		}
	case s.mandates[part[1]] != nil:
		return 200, s.mandates[part[1]]
	}
	return 404, missing
}

// giveBack makes a refund; its payment shows it without the metadata. s.mu is held.
func (s *shop) giveBack(in has) has {
	for _, p := range s.payments {
		if p["payment_id"] != in["payment_id"] {
			continue
		}
		given := p["total_amount"]
		if items, ok := in["items"].([]any); ok {
			given = items[0].(map[string]any)["amount"]
		}
		each := has{
			"refund_id": fmt.Sprintf("ref_%d", len(s.refunds)+1), "payment_id": in["payment_id"], "status": "succeeded", "amount": given,
			"currency": p["currency"], "created_at": "2026-01-31T13:00:00Z", "is_partial": in["items"] != nil,
		}
		p["refunds"] = append(p["refunds"].([]has), maps.Clone(each))
		each["metadata"] = in["metadata"]
		s.refunds = append(s.refunds, each)
		return each
	}
	return has{"code": "NOT_FOUND"}
}

// list is a page of what a query asks for, oldest first. s.mu is held.
func (s *shop) list(r *http.Request, all []has) []has {
	q := r.URL.Query()
	found := []has{}
	for _, each := range all {
		at, err := time.Parse(time.RFC3339, each["created_at"].(string))
		gte, _ := time.Parse(time.RFC3339, q.Get("created_at_gte"))
		lte, _ := time.Parse(time.RFC3339, q.Get("created_at_lte"))
		if err != nil || at.Before(gte) || !lte.IsZero() && at.After(lte) || q.Get("subscription_id") != "" && q.Get("subscription_id") != each["subscription_id"] {
			continue
		}
		item := maps.Clone(each)
		for _, alone := range []string{"error_code", "error_message", "refunds", "is_update_payment_method", "tax"} {
			delete(item, alone)
		}
		if each["refund_id"] != nil {
			delete(item, "metadata")
		}
		found = append(found, item)
	}
	number, _ := strconv.Atoi(q.Get("page_number"))
	size, _ := strconv.Atoi(q.Get("page_size"))
	if s.size > 0 {
		size = min(size, s.size)
	}
	from := min(number*size, len(found))
	return found[from:min(from+size, len(found))]
}

// seen is what arrived, and how often something was done.
func (s *shop) seen() (requests []string, effects int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests), s.effects
}

func (s *shop) failNext(f failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = &f
}

// cut resets the connection of a request.
func cut(t *testing.T, w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Errorf("hijack: %v", err)
		return
	}
	if tcp, ok := conn.(*tls.Conn).NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
}

// open serves a shop with one active mandate and the payments given, and gives its address
// and the two transports that a gateway may have: the own one, and one that keeps
// connections.
func open(t *testing.T, payments ...has) (s *shop, url string, transports map[string]http.RoundTripper) {
	t.Helper()
	s = &shop{
		t: t, arrived: make(chan struct{}, 1), payments: payments,
		mandates: map[string]has{mandate: {"subscription_id": mandate, "status": "active", "on_demand": true, "product_id": "prod_usd"}},
	}
	url, transports = serve(t, s)
	return s, url, transports
}

func serve(t *testing.T, h http.Handler) (string, map[string]http.RoundTripper) {
	t.Helper()
	server := httptest.NewTLSServer(h)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(server.Close)
	keeping := server.Client().Transport.(*http.Transport)
	own := dodo.OwnTransport()
	own.TLSClientConfig.RootCAs = keeping.TLSClientConfig.RootCAs
	return server.URL, map[string]http.RoundTripper{"own": own, "kept": keeping}
}
