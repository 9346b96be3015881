package toss_test

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
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/money"
	"grantline/shared/toss"
)

// What must never be seen in a log or an error.
const (
	secretKey  = "test_sk_5f8a1c0e7b"
	newSecret  = "test_sk_9d2e6a4c11"
	billingKey = "Z_t5vOvQxrj4499PeiJcjen28+V2RyqgYTwN44Rdzk0="
	authKey    = "bln_e_Bx1kq0NyLzP3a"
)

const (
	order       = "gl_7f3k2m9q4t5w8x1z"
	paymentKey  = "xMljweGQBN5OWRapdA8dPbZN9zYl7X8o1zEqZKLPbmD70vk4"
	customerKey = "aENcQAtPdYbTjGhtQnNVj-_=.@"
)

var (
	card   = billing.Card{BillingKey: billingKey, CustomerKey: customerKey, Number: "53275010****222*", Issuer: "24"}
	amount = money.Of(4900, "KRW")
	// refunding gives back some of the one payment.
	refunding = billing.Refunding{
		Key: "ref_51d0", OrderID: order, Payment: paymentKey, Amount: money.Of(1900, "KRW"), Left: 4900,
		Reason: "reason of a customer", Since: time.Date(2026, 2, 1, 3, 0, 0, 5e8, time.UTC),
	}
	request = billing.Request{OrderID: order, CustomerKey: customerKey, Amount: amount, Name: "Premium, a month"}
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

// silent fails the test if any of what is secret was logged or is in the texts.
func silent(t *testing.T, l *log, texts ...string) {
	t.Helper()
	for _, text := range append(texts, l.String()) {
		for _, secret := range []string{secretKey, newSecret, billingKey, "Z_t5vOvQxrj4499PeiJcjen28", authKey, "ps_Z61JOxRQVEA0PMknv7Nr0W0X9bAq", "customer@email.com", "message of toss", refunding.Reason} {
			if strings.Contains(text, secret) {
				t.Errorf("got %q in %q, want it nowhere", secret, text)
			}
		}
	}
}

// gateway is a Gateway that asks url through transport.
func gateway(t testing.TB, url string, transport http.RoundTripper, l io.Writer, change ...func(*toss.Config)) *toss.Gateway {
	t.Helper()
	config := toss.Config{
		URL:       url,
		SecretKey: func(context.Context, bool) (string, error) { return secretKey, nil },
		Timeout:   time.Minute,
		Log:       slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Transport: transport,
	}
	for _, c := range change {
		c(&config)
	}
	g, err := toss.New(config)
	if err != nil {
		t.Fatalf("New: got %v, want no error", err)
	}
	return g
}

// body composes the charge that all tests send.
func body(t testing.TB, g *toss.Gateway) []byte {
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
	header http.Header
}

func (s says) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: s.status, ProtoMajor: 1, ProtoMinor: 1, Header: s.header, Request: req,
		Body: io.NopCloser(strings.NewReader(s.body)),
	}, nil
}

// payment is Toss's payment of the order, spoiled member by member.
func payment(t testing.TB, spoil map[string]any) string {
	t.Helper()
	text, err := os.ReadFile("testdata/payment.json")
	if err != nil {
		t.Fatal(err)
	}
	var p map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&p); err != nil {
		t.Fatal(err)
	}
	maps.Copy(p, spoil)
	text, err = json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// shop is Toss as far as it is needed here: it executes a key once and repeats its first
// answer, it keeps the lock of a refund, and it can be told to fail before or after it did
// what it was asked for.
type shop struct {
	t *testing.T

	mu       sync.Mutex
	requests []string          // method, path and key, in order of arrival
	froms    []string          // the other end of each request's connection
	bodies   []string          // as they arrived
	answers  map[string]string // by key
	charged  int               // how often money was taken
	cancels  []any             // what was given back of the one payment
	left     int64             // of it
	deleted  bool              // the billing key
	rows     []any             // transactions
	fail     *failure
	arrived  chan struct{} // gets a value when a request is about to hang
}

// failure happens once.
type failure struct {
	done bool   // after the work was done, instead of before
	how  string // hang, reset or 500
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	key := r.Header.Get("Idempotency-Key")
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.EscapedPath()+" "+key)
	s.froms = append(s.froms, r.RemoteAddr)
	s.bodies = append(s.bodies, string(text))
	fail := s.fail
	s.fail = nil
	answer := ""
	if fail == nil || fail.done {
		answer = s.work(r, key, text)
	}
	s.mu.Unlock()

	if fail != nil {
		switch fail.how {
		case "hang":
			s.arrived <- struct{}{}
			<-r.Context().Done()
			panic(http.ErrAbortHandler) // and not an empty 200
		case "reset":
			cut(s.t, w)
		default:
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"code":"FAILED_INTERNAL_SYSTEM_PROCESSING","message":"message of toss"}`)
		}
		return
	}
	if answer == "" {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code":"NOT_FOUND_PAYMENT","message":"message of toss"}`)
		return
	}
	w.Header().Set("X-Tosspayments-Trace-Id", "trace-7")
	if strings.HasPrefix(answer, `{"code":`) {
		w.WriteHeader(http.StatusBadRequest)
	}
	if answer != nothing {
		fmt.Fprint(w, answer)
	}
}

// nothing is the answer that has no body.
const nothing = "nothing"

// work executes a request, once for each key. s.mu is held.
func (s *shop) work(r *http.Request, key string, body []byte) string {
	switch {
	case r.Method == http.MethodDelete && s.deleted:
		return `{"code":"ALREADY_REMOVED_BILLING_KEY","message":"message of toss"}`
	case r.Method == http.MethodDelete:
		s.deleted = true
		return nothing
	case r.Method == http.MethodGet && r.URL.Path == "/v1/transactions":
		return s.list(r.URL.Query())
	case r.Method == http.MethodGet && r.URL.Path == "/v1/payments/"+paymentKey:
		return s.payment()
	case r.Method == http.MethodGet:
		return s.answers[strings.TrimPrefix(r.URL.Path, "/v1/payments/orders/")]
	case s.answers[key] != "":
	case strings.HasSuffix(r.URL.Path, "/issue"):
		s.answers[key] = fmt.Sprintf(`{"billingKey":%q,"customerKey":%q,"card":{"number":"53275010****222*","issuerCode":"24"}}`,
			fmt.Sprintf("key-%d=", len(s.answers)), customerKey)
	case strings.HasSuffix(r.URL.Path, "/cancel"):
		s.answers[key] = s.giveBack(body)
	default:
		s.charged++
		s.answers[key] = payment(s.t, map[string]any{"orderId": key})
	}
	return s.answers[key]
}

// giveBack cancels some of the one payment.
func (s *shop) giveBack(body []byte) string {
	var in struct{ CancelAmount, RefundableAmount int64 }
	if err := json.Unmarshal(body, &in); err != nil || in.RefundableAmount != s.left {
		return `{"code":"NOT_MATCHES_REFUNDABLE_AMOUNT","message":"message of toss"}`
	}
	s.left -= in.CancelAmount
	s.cancels = append(s.cancels, cancelled(in.CancelAmount, s.left, fmt.Sprintf("CANCEL%d", len(s.cancels)), refunding.Since))
	return s.payment()
}

// payment is the one payment as it stands.
func (s *shop) payment() string {
	spoil := map[string]any{"balanceAmount": s.left}
	if len(s.cancels) > 0 {
		last := s.cancels[len(s.cancels)-1].(map[string]any)
		spoil["cancels"], spoil["status"], spoil["lastTransactionKey"] = s.cancels, "PARTIAL_CANCELED", last["transactionKey"]
	}
	return payment(s.t, spoil)
}

// cancelled is a cancel as Toss shows it.
func cancelled(amount, left int64, transaction string, at time.Time) map[string]any {
	return map[string]any{
		"transactionKey": transaction, "cancelReason": refunding.Reason, "cancelAmount": amount, "refundableAmount": left,
		"canceledAt": at.In(time.FixedZone("", 9*60*60)).Format(time.RFC3339), "cancelStatus": "DONE", "cancelRequestId": nil,
	}
}

// list is a page of transactions.
func (s *shop) list(query url.Values) string {
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil {
		s.t.Errorf("got the limit %q, want a number", query.Get("limit"))
	}
	rows := s.rows
	if after := query.Get("startingAfter"); after != "" {
		i := slices.IndexFunc(rows, func(row any) bool { return row.(map[string]any)["transactionKey"] == after })
		if i < 0 {
			return `{"code":"INVALID_TRANSACTION_KEY","message":"message of toss"}`
		}
		rows = rows[i+1:]
	}
	text, err := json.Marshal(rows[:min(limit, len(rows))])
	if err != nil {
		s.t.Error(err)
	}
	return string(text)
}

// seen is what arrived.
func (s *shop) seen() (requests, froms []string, charged int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...), append([]string(nil), s.froms...), s.charged
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

// open serves a shop, and gives its address and the two transports that a gateway may
// have: the own one, and one that keeps connections.
func open(t *testing.T) (s *shop, url string, transports map[string]http.RoundTripper) {
	t.Helper()
	s = &shop{t: t, answers: map[string]string{}, left: amount.Units, rows: []any{}, arrived: make(chan struct{}, 1)}
	url, transports = serve(t, s)
	return s, url, transports
}

func serve(t *testing.T, h http.Handler) (string, map[string]http.RoundTripper) {
	t.Helper()
	server := httptest.NewTLSServer(h)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(server.Close)
	kept := server.Client().Transport.(*http.Transport)
	own := toss.OwnTransport()
	own.TLSClientConfig.RootCAs = kept.TLSClientConfig.RootCAs
	return server.URL, map[string]http.RoundTripper{"own": own, "kept": kept}
}
