package toss_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/stage"
	"grantline/infra/sim/toss"
)

const customer = "0a9f3c1e-8d2b-4f6a-9b7c-5e4d3c2b1a09"

// shop is a simulator on a server, a clock and a client.
type shop struct {
	*toss.Simulator
	t      *testing.T
	server *httptest.Server
	client *http.Client
	now    atomic.Int64 // seconds since 1970
}

func newShop(t *testing.T, options toss.Options) *shop {
	s := &shop{t: t}
	s.now.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Unix())
	if options.Now == nil {
		options.Now = func() time.Time { return time.Unix(s.now.Load(), 0) }
	}
	s.Simulator = toss.New(options)
	s.server = httptest.NewServer(s.Simulator)
	// A transport that keeps connections repeats a POST with a key of itself.
	s.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(func() {
		s.Close()
		s.server.Close()
	})
	return s
}

// reply is an answer, read.
type reply struct {
	status int
	code   string
	body   map[string]any
	raw    string
	trace  string
}

func basic(credential string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credential))
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
	r.Header.Set("Authorization", basic(s.SecretKey()+":"))
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
	out := reply{status: response.StatusCode, raw: string(answer), trace: response.Header.Get("x-tosspayments-trace-id")}
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

// want checks status and code.
func (s *shop) want(what string, got reply, status int, code string) {
	s.t.Helper()
	if got.status != status || got.code != code {
		s.t.Errorf("%s: got %d %q, want %d %q", what, got.status, got.code, status, code)
	}
}

var authKeys atomic.Int64

// issued gives a billing key of a customer.
func (s *shop) issued(customerKey string) string {
	s.t.Helper()
	got := s.call("POST", "/v1/billing/authorizations/issue", map[string]any{
		"authKey": fmt.Sprint("auth-", authKeys.Add(1)), "customerKey": customerKey,
	})
	s.want("issue", got, 200, "")
	return got.body["billingKey"].(string)
}

// order is the body of a charge that is in order.
func order(id string, amount int64) map[string]any {
	return map[string]any{"customerKey": customer, "amount": amount, "orderId": id, "orderName": "프리미엄"}
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

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("control: got %v, want it done", err)
	}
}

func TestBadCredentialIsRefusedWithTheCodeOfToss(t *testing.T) {
	s := newShop(t, toss.Options{})
	for _, c := range []struct {
		name, header string
		status       int
		code         string
	}{
		{"none", "", 401, "UNAUTHORIZED_KEY"},
		{"bearer", "Bearer " + s.SecretKey(), 401, "UNAUTHORIZED_KEY"},
		{"wrong key", basic("test_sk_wrong:"), 401, "UNAUTHORIZED_KEY"},
		{"byte order mark", basic("\ufeff" + s.SecretKey() + ":"), 401, "UNAUTHORIZED_KEY"},
		{"password", basic(s.SecretKey() + ":x"), 401, "UNAUTHORIZED_KEY"},
		{"no colon", basic(s.SecretKey()), 403, "INCORRECT_BASIC_AUTH_FORMAT"},
		{"not base64", "Basic " + s.SecretKey() + ":", 403, "INCORRECT_BASIC_AUTH_FORMAT"},
		{"key for browsers", basic(s.ClientKey() + ":"), 400, "INVALID_API_KEY"},
		{"right", basic(s.SecretKey() + ":"), 404, "NOT_FOUND_PAYMENT"},
		{"right, other case", strings.Replace(basic(s.SecretKey()+":"), "Basic", "basic", 1), 404, "NOT_FOUND_PAYMENT"},
		{"live", basic(s.LiveSecretKey() + ":"), 404, "NOT_FOUND_PAYMENT"},
	} {
		s.want(c.name, s.call("GET", "/v1/payments/nothing", nil, "Authorization", c.header), c.status, c.code)
	}
}

func TestKeysAreMadeUpAtEveryStart(t *testing.T) {
	if one, two := toss.New(toss.Options{}).SecretKey(), toss.New(toss.Options{}).SecretKey(); one == two {
		t.Errorf("got %q twice, want two keys", one)
	}
	if one, two := toss.New(toss.Options{Seed: 4}).SecretKey(), toss.New(toss.Options{Seed: 4}).SecretKey(); one != two {
		t.Errorf("seeded: got %q and %q, want the same", one, two)
	}
	if got := toss.New(toss.Options{}).SecretKey(); !strings.HasPrefix(got, "test_sk_") {
		t.Errorf("got %q, want test_sk_…", got)
	}
}

func TestAuthKeyIssuesOneBillingKey(t *testing.T) {
	s := newShop(t, toss.Options{})
	body := map[string]any{"authKey": "once", "customerKey": customer}
	first := s.call("POST", "/v1/billing/authorizations/issue", body, "Idempotency-Key", "k1")
	s.want("first", first, 200, "")
	if got := first.body["customerKey"]; got != customer {
		t.Errorf("customerKey: got %v, want %s", got, customer)
	}
	if got := first.body["method"]; got != "카드" {
		t.Errorf("method: got %v, want 카드", got)
	}
	again := s.call("POST", "/v1/billing/authorizations/issue", body, "Idempotency-Key", "k1")
	if again.raw != first.raw {
		t.Errorf("same key: got %s, want the first answer", again.raw)
	}
	s.want("another key", s.call("POST", "/v1/billing/authorizations/issue", body, "Idempotency-Key", "k2"), 400, "INVALID_BILL_KEY_REQUEST")
	s.wantEffects("once", "issued")
}

func TestIssueRefusesWhatTossRefuses(t *testing.T) {
	s := newShop(t, toss.Options{})
	for _, c := range []struct {
		name   string
		body   any
		status int
		code   string
	}{
		{"no JSON", "authKey=x", 400, "INVALID_REQUEST"},
		{"array", "[]", 400, "INVALID_REQUEST"},
		{"null", "null", 400, "INVALID_REQUEST"},
		{"no authKey", map[string]any{"customerKey": customer}, 400, "INVALID_REQUEST"},
		{"empty authKey", map[string]any{"authKey": "", "customerKey": customer}, 400, "INVALID_REQUEST"},
		{"long authKey", map[string]any{"authKey": strings.Repeat("a", 301), "customerKey": customer}, 400, "INVALID_REQUEST"},
		{"wrong spelling", map[string]any{"authkey": "a", "customerKey": customer}, 400, "INVALID_REQUEST"},
		{"no customerKey", map[string]any{"authKey": "a"}, 400, "INVALID_REQUEST"},
		{"one character", map[string]any{"authKey": "a", "customerKey": "c"}, 400, "INVALID_CUSTOMER_KEY"},
		{"forbidden character", map[string]any{"authKey": "a", "customerKey": "c/d"}, 400, "INVALID_CUSTOMER_KEY"},
		{"301 characters", map[string]any{"authKey": "a", "customerKey": strings.Repeat("c", 301)}, 500, "FAILED_DB_PROCESSING"},
		{"longest", map[string]any{"authKey": strings.Repeat("a", 300), "customerKey": strings.Repeat("c", 300)}, 200, ""},
		{"all characters", map[string]any{"authKey": "b", "customerKey": "aZ09-_=.@"}, 200, ""},
	} {
		s.want(c.name, s.call("POST", "/v1/billing/authorizations/issue", c.body), c.status, c.code)
	}
	s.must(s.RejectIssue(toss.Rejection{Code: "INVALID_CARD_NUMBER", CustomerKey: "somebody-else"}))
	s.must(s.RejectIssue(toss.Rejection{Code: "REJECT_CARD_COMPANY", CustomerKey: customer}))
	body := map[string]any{"authKey": "c", "customerKey": customer}
	s.want("rejected", s.call("POST", "/v1/billing/authorizations/issue", body), 403, "REJECT_CARD_COMPANY")
	s.want("and then not", s.call("POST", "/v1/billing/authorizations/issue", body), 200, "")
	s.wantEffects("issue", "issued", "issued", "refused", "issued")
}

// seedFields are the fields of the Payment that the tutorial of Toss shows.
const seedFields = `mId lastTransactionKey paymentKey orderId orderName taxExemptionAmount status requestedAt approvedAt useEscrow
	cultureExpense card virtualAccount transfer mobilePhone giftCertificate cashReceipt cashReceipts discount cancels secret type
	easyPay country failure isPartialCancelable receipt checkout transactionKey currency totalAmount balanceAmount suppliedAmount
	vat taxFreeAmount method version`

func TestChargeTakesTheMoneyAndShowsThePayment(t *testing.T) {
	s := newShop(t, toss.Options{})
	got := s.call("POST", "/v1/billing/"+s.issued(customer), order("order-1", 50000))
	s.want("charge", got, 200, "")
	for _, name := range strings.Fields(seedFields) {
		if _, ok := got.body[name]; !ok {
			t.Errorf("payment: got no field %s, want every field of the tutorial", name)
		}
	}
	for name, want := range map[string]any{
		"orderId": "order-1", "status": "DONE", "type": "BILLING", "method": "카드", "currency": "KRW",
		"totalAmount": 50000.0, "balanceAmount": 50000.0, "suppliedAmount": 45455.0, "vat": 4545.0,
		"requestedAt": "2026-03-01T09:00:00+09:00", "approvedAt": "2026-03-01T09:00:00+09:00", "failure": nil, "cancels": nil,
	} {
		if got.body[name] != want {
			t.Errorf("%s: got %v, want %v", name, got.body[name], want)
		}
	}
	if _, ok := got.body["addedWithoutAVersion"]; !ok {
		t.Error("payment: got no field that nobody documents, want one")
	}
	for _, path := range []string{"/v1/payments/" + got.body["paymentKey"].(string), "/v1/payments/orders/order-1"} {
		if found := s.call("GET", path, nil); found.raw != got.raw {
			t.Errorf("GET %s: got %s, want the answer of the charge", path, found.raw)
		}
	}
	want := stage.Effect{
		Sequence: 2, At: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Kind: "charged", OrderID: "order-1",
		Amount: 50000, Currency: "KRW", PaymentKey: got.body["paymentKey"].(string), CustomerKey: customer,
	}
	effect := s.Effects()[1]
	effect.BillingKey = ""
	if diff := cmp.Diff(want, effect); diff != "" {
		t.Errorf("effect differs (-want +got):\n%s", diff)
	}
	s.want("the live shop", s.call("GET", "/v1/payments/orders/order-1", nil, "Authorization", basic(s.LiveSecretKey()+":")), 404, "NOT_FOUND_PAYMENT")
}

func TestApprovalMayLag(t *testing.T) {
	s := newShop(t, toss.Options{})
	lag := stage.Duration(40 * time.Second)
	s.must(s.Set(toss.Settings{ApprovalLag: &lag}))
	got := s.call("POST", "/v1/billing/"+s.issued(customer), order("order-1", 4900))
	if got, want := fmt.Sprint(got.body["requestedAt"], " ", got.body["approvedAt"]), "2026-03-01T09:00:00+09:00 2026-03-01T09:00:40+09:00"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestChargeRefusesWhatTossRefuses(t *testing.T) {
	s := newShop(t, toss.Options{})
	key := s.issued(customer)
	spoil := func(name string, value any) map[string]any {
		body := order("order-bad", 4900)
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
		{"no JSON", "{", "INVALID_REQUEST"},
		{"no amount", spoil("amount", nil), "INVALID_REQUEST"},
		{"amount in quotes", spoil("amount", "4900"), "INVALID_REQUEST"},
		{"fraction", spoil("amount", 4900.5), "INVALID_REQUEST"},
		{"exponent", strings.Replace(`{"customerKey":"C","amount":49e2,"orderId":"order-bad","orderName":"n"}`, "C", customer, 1), "INVALID_REQUEST"},
		{"more than int64", strings.Replace(`{"customerKey":"C","amount":92233720368547758080,"orderId":"order-bad","orderName":"n"}`, "C", customer, 1), "INVALID_REQUEST"},
		{"99 won", spoil("amount", 99), "BELOW_MINIMUM_AMOUNT"},
		{"negative", spoil("amount", -4900), "BELOW_MINIMUM_AMOUNT"},
		{"no orderId", spoil("orderId", nil), "INVALID_REQUEST"},
		{"orderId in other case", map[string]any{"customerKey": customer, "amount": 4900, "orderID": "order-bad", "orderName": "n"}, "INVALID_REQUEST"},
		{"short orderId", spoil("orderId", "12345"), "INVALID_ORDER_ID"},
		{"long orderId", spoil("orderId", strings.Repeat("o", 65)), "INVALID_ORDER_ID"},
		{"orderId with a dot", spoil("orderId", "order.1"), "INVALID_ORDER_ID"},
		{"no orderName", spoil("orderName", nil), "INVALID_REQUEST"},
		{"long orderName", spoil("orderName", strings.Repeat("이", 101)), "INVALID_REQUEST"},
		{"no customerKey", spoil("customerKey", nil), "INVALID_REQUEST"},
		{"another customer", spoil("customerKey", "another-customer"), "NOT_MATCHES_CUSTOMER_KEY"},
		{"impossible customerKey", spoil("customerKey", "a b"), "INVALID_CUSTOMER_KEY"},
		{"bad e-mail", spoil("customerEmail", "nobody"), "INVALID_EMAIL"},
		{"long customerName", spoil("customerName", strings.Repeat("n", 101)), "INVALID_REQUEST"},
		{"too much tax-free", spoil("taxFreeAmount", 4901), "INVALID_REQUEST"},
	} {
		s.want(c.name, s.call("POST", "/v1/billing/"+key, c.body), 400, c.code)
	}
	s.want("not as JSON", s.call("POST", "/v1/billing/"+key, order("order-bad", 4900), "Content-Type", "text/plain"), 400, "INVALID_REQUEST")
	s.want("unknown billing key", s.call("POST", "/v1/billing/nothing", order("order-bad", 4900)), 400, "INVALID_BILL_KEY_REQUEST")
	s.want("unknown path", s.call("POST", "/v1/billing", order("order-bad", 4900)), 404, "NOT_FOUND")
	s.wantEffects("refused", "issued")

	longest := order(strings.Repeat("o", 64), 100)
	longest["orderName"], longest["unknown"] = strings.Repeat("이", 100), true
	longest["customerEmail"], longest["taxFreeAmount"] = "park@example.com", 0
	s.want("just within", s.call("POST", "/v1/billing/"+key, longest), 200, "")
	s.want("escaped billing key", s.call("POST", "/v1/billing/"+strings.ReplaceAll(key, "=", "%3D"), order("order-2", 4900)), 200, "")
}

func TestMessagesFollowTheLanguageAndTheCodeDoesNot(t *testing.T) {
	s := newShop(t, toss.Options{})
	korean := s.call("GET", "/v1/payments/nothing", nil)
	english := s.call("GET", "/v1/payments/nothing", nil, "Accept-Language", "en-US")
	if korean.code != english.code || korean.body["message"] == english.body["message"] {
		t.Errorf("got %s and %s, want one code and two messages", korean.raw, english.raw)
	}
}

func TestBillingKeyCanBeDeletedOnce(t *testing.T) {
	s := newShop(t, toss.Options{})
	key := s.issued(customer)
	got := s.call("DELETE", "/v1/billing/"+key, nil)
	s.want("delete", got, 200, "")
	if got.raw != "" {
		t.Errorf("delete: got %q, want an empty body", got.raw)
	}
	s.want("charge", s.call("POST", "/v1/billing/"+key, order("order-1", 4900)), 400, "ALREADY_REMOVED_BILLING_KEY")
	s.want("again", s.call("DELETE", "/v1/billing/"+key, nil), 400, "ALREADY_REMOVED_BILLING_KEY")
	s.want("unknown", s.call("DELETE", "/v1/billing/nothing", nil), 404, "NOT_FOUND_BILLING")
	s.issued("other-customer")
	if n, err := s.DeleteKey(toss.DeleteKey{CustomerKey: "other-customer"}); n != 1 || err != nil {
		t.Errorf("control: got %d, %v; want 1 deleted", n, err)
	}
	s.wantEffects("deleted", "issued", "keyDeleted", "issued", "keyDeleted")
}
