// Package toss plays Toss Payments: billing keys, charges on them, look-ups, cancels, the
// statement of transactions, webhooks, and the idempotency store in front of it all. The one idea: it is as strict as the real one
// where that is known, and where it is not known there is a switch, so that a client must
// do right under either answer. Begin at New; see Simulator.Control for what can be made
// to happen.
package toss

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"grantline/infra/sim/stage"
)

// Options are those of every provider.
type Options = stage.Options

// The endpoints by the names under which they can be made to fail.
const (
	Issue     = "issue"
	Charge    = "charge"
	Delete    = "delete"
	Get       = "get"
	GetOrder  = "get-order"
	Cancel    = "cancel"
	Statement = "transactions"
	elsewhere = "elsewhere"
)

// seoul is the zone of every time stamp; Korea has no daylight saving time.
var seoul = time.FixedZone("KST", 9*60*60)

// Simulator is an http.Handler whose paths are those of api.tosspayments.com.
type Simulator struct {
	stage *stage.Stage
	mux   *http.ServeMux
	test  *shop
	live  *shop

	declines   stage.Script[Decline]
	rejections stage.Script[Rejection]
	limited    stage.Script[RateLimit]
	refusals   stage.Script[CancelRefusal]

	mu       sync.Mutex
	settings Settings
	answered map[tuple]*record
	counted  map[string]window
}

// shop is what belongs to one secret key.
type shop struct {
	secret, client string
	mID            string
	live           bool
	keys           map[string]*billingKey
	spent          map[string]bool // authKeys
	orders         map[string]*order
	payments       map[string]*Payment
	rows           []row // in the order in which they happened
}

// New opens a simulator with a test shop and a live shop, both empty, under random keys.
func New(o Options) *Simulator {
	s := &Simulator{
		stage: stage.New("toss", []string{Charge, Issue, Delete, Get, GetOrder, Cancel, Statement, elsewhere},
			refusal("FAILED_INTERNAL_SYSTEM_PROCESSING", 0, false), o),
		mux:      http.NewServeMux(),
		answered: map[tuple]*record{},
		counted:  map[string]window{},
		settings: Settings{
			DeclinedLookup: ptr("404"), Store5xx: ptr(false), DeclinedOrderReuse: ptr(true), ApprovalLag: ptr(stage.Duration(0)),
			PerMinute: ptr(0), TransactionLag: ptr(stage.Duration(10 * time.Minute)), CancelRows: ptr("negative"),
		},
	}
	s.stage.Sends(sender)
	s.test, s.live = s.newShop("test"), s.newShop("live")
	s.live.live = true
	s.stage.Brief(Statement)
	s.handle("POST /v1/billing/authorizations/issue", Issue, s.issue)
	s.handle("POST /v1/billing/{billingKey}", Charge, s.charge)
	s.handle("DELETE /v1/billing/{billingKey}", Delete, s.remove)
	s.handle("GET /v1/payments/{paymentKey}", Get, s.get)
	s.handle("GET /v1/payments/orders/{orderId}", GetOrder, s.getOrder)
	s.handle("POST /v1/payments/{paymentKey}/cancel", Cancel, s.cancel)
	s.handle("GET /v1/transactions", Statement, s.transactions)
	s.handle("/", elsewhere, func(q *query) stage.Answer { return q.refuse("NOT_FOUND") })
	return s
}

func (s *Simulator) newShop(mode string) *shop {
	return &shop{
		secret:   mode + "_sk_" + s.stage.Text(32, stage.Alphanumeric),
		client:   mode + "_ck_" + s.stage.Text(32, stage.Alphanumeric),
		mID:      "sim" + strings.ToLower(s.stage.Text(10, stage.Alphanumeric)),
		keys:     map[string]*billingKey{},
		spent:    map[string]bool{},
		orders:   map[string]*order{},
		payments: map[string]*Payment{},
	}
}

// SecretKey is the key of the test shop, test_sk_….
func (s *Simulator) SecretKey() string { return s.test.secret }

// LiveSecretKey is the key of the live shop, live_sk_…: what test keys alone may do is
// refused or ignored there.
func (s *Simulator) LiveSecretKey() string { return s.live.secret }

// ClientKey is the test shop's key for browsers, which the server API refuses.
func (s *Simulator) ClientKey() string { return s.test.client }

// Effects is the log of what was done, oldest first.
func (s *Simulator) Effects() []stage.Effect { return s.stage.Effects(0) }

// Deliveries is the log of webhooks, oldest first.
func (s *Simulator) Deliveries() []stage.Delivery { return s.stage.Deliveries(0) }

// Webhook decides what becomes of the next webhooks.
func (s *Simulator) Webhook(f stage.Fate) error { return s.stage.ScriptWebhook(f) }

// Fault makes the next calls go wrong.
func (s *Simulator) Fault(f stage.Fault) error { return s.stage.Script(f) }

// SetUnkind sets the percentage of calls that go wrong of themselves.
func (s *Simulator) SetUnkind(percent int) error { return s.stage.SetUnkind(percent) }

// Close lets go of every call that hangs.
func (s *Simulator) Close() { s.stage.Close() }

// ServeHTTP answers as Toss Payments would.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// query is one call on its way through.
type query struct {
	*http.Request
	shop    *shop
	body    []byte
	pause   func()
	english bool
}

func (q *query) refuse(code string) stage.Answer { return refusal(code, 0, q.english) }

// handle puts what all calls have in common before act: key, rate, idempotency, test code.
func (s *Simulator) handle(pattern, endpoint string, act func(*query) stage.Answer) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, stage.MaxBody))
		q := &query{Request: r, body: body, english: strings.HasPrefix(r.Header.Get("Accept-Language"), "en")}
		s.stage.Serve(w, r, q.call(endpoint), func(pause func()) stage.Answer {
			q.pause = pause
			trace := strings.ToLower(s.stage.Text(32, "0123456789abcdef"))
			var answer stage.Answer
			var original, code string
			if q.shop, code = s.authenticate(r.Header.Get("Authorization")); code != "" {
				answer = q.refuse(code)
			} else if s.overRate(endpoint) {
				answer = q.refuse("TOO_MANY_REQUESTS")
			} else if err != nil {
				answer = q.refuse("INVALID_REQUEST")
			} else if r.Method == http.MethodPost {
				answer, original = s.once(q, trace, func() stage.Answer { return s.tested(q, act) })
			} else {
				answer = s.tested(q, act)
			}
			if original != "" {
				trace += ", " + original
			}
			answer.Header = http.Header{"X-Tosspayments-Trace-Id": {trace}}
			return answer
		})
	})
}

// call names the request by whatever it holds, right or wrong.
func (q *query) call(endpoint string) stage.Call {
	var body struct{ OrderID, CustomerKey, AuthKey string }
	_ = json.Unmarshal(q.body, &body) // what cannot be read has no name
	return stage.Call{
		Endpoint: endpoint,
		IDs: slices.DeleteFunc([]string{
			q.PathValue("billingKey"), q.PathValue("paymentKey"), q.PathValue("orderId"),
			body.OrderID, body.CustomerKey, body.AuthKey,
		}, func(id string) bool { return id == "" }),
		Order: body.OrderID + q.PathValue("orderId"),
	}
}

// authenticate finds the shop of a Basic credential, or says with which code it fails:
// the secret key is the user, the password is empty, the colon is a must.
func (s *Simulator) authenticate(header string) (*shop, string) {
	scheme, credential, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") || credential == "" {
		return nil, "UNAUTHORIZED_KEY"
	}
	decoded, err := base64.StdEncoding.DecodeString(credential)
	if err != nil {
		return nil, "INCORRECT_BASIC_AUTH_FORMAT"
	}
	key, password, colon := strings.Cut(string(decoded), ":")
	if !colon {
		return nil, "INCORRECT_BASIC_AUTH_FORMAT"
	}
	for _, shop := range []*shop{s.test, s.live} {
		if key == shop.secret && password == "" {
			return shop, ""
		}
		if key == shop.client {
			return nil, "INVALID_API_KEY"
		}
	}
	return nil, "UNAUTHORIZED_KEY"
}

// tested obeys TossPayments-Test-Code, which comes before any look at the parameters and
// means nothing in a live shop.
func (s *Simulator) tested(q *query, act func(*query) stage.Answer) stage.Answer {
	code := q.Header.Get("TossPayments-Test-Code")
	if code == "" || q.shop.live {
		return act(q)
	}
	if _, known := codes[code]; !known {
		return q.refuse("INVALID_TEST_CODE")
	}
	return q.refuse(code)
}

// window counts the calls of one minute.
type window struct {
	minute int64
	calls  int
}

// overRate counts a call and says whether it is one too many.
func (s *Simulator) overRate(endpoint string) bool {
	if _, ok := s.limited.Take(func(l RateLimit) bool { return l.Endpoint == "" || l.Endpoint == endpoint }); ok {
		return true
	}
	minute := s.stage.Now().Unix() / 60
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.counted[endpoint]
	if w.minute != minute {
		w = window{minute: minute}
	}
	w.calls++
	s.counted[endpoint] = w
	limit := *s.settings.PerMinute
	return limit > 0 && w.calls > limit
}

func ptr[T any](v T) *T { return &v }
