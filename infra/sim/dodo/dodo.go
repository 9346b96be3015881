// Package dodo plays Dodo Payments: on-demand subscriptions, charges on them, refunds, the
// page on which a customer approves, and webhooks. The one idea: nothing here is asked
// twice without being done twice. There is no idempotency, a charge answers before it is
// decided, and who lost the answer has to look for it in a list that lags behind. Where the
// real one's ways are not known there is a switch. Begin at New; see Simulator.Control for
// what can be made to happen.
package dodo

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"grantline/infra/sim/stage"
)

// Options are those of every provider.
type Options = stage.Options

// The endpoints by the names under which they can be made to fail.
const (
	Create        = "create"
	GetMandate    = "get-subscription"
	Patch         = "patch"
	Charge        = "charge"
	UpdateMethod  = "update-payment-method"
	List          = "list"
	Get           = "get"
	LineItems     = "line-items"
	Refunding     = "refund"
	GetRefund     = "get-refund"
	ListRefunds   = "list-refunds"
	ListDisputes  = "list-disputes"
	elsewhere     = "elsewhere"
	rateRemaining = "X-RateLimit-Remaining"
)

// Simulator is an http.Handler whose paths are those of test.dodopayments.com, and of the
// page that a payment link opens.
type Simulator struct {
	stage    *stage.Stage
	mux      *http.ServeMux
	key      string
	business string
	brand    string

	declines stage.Script[Decline]
	busy     stage.Script[Busy]

	mu            sync.Mutex
	settings      Settings
	secrets       []secret // of webhooks; the last one is the current one
	next          string   // secret that the next rotation brings
	products      map[string]Product
	customers     map[string]customer // by e-mail address
	subscriptions map[string]*subscription
	payments      map[string]*payment
	refunds       map[string]*refund
	ordered       []*payment           // in the order in which they were made
	agreements    []*subscription      // likewise
	refunded      []*refund            // likewise
	pages         []*approval          // likewise
	links         map[string]*approval // by token
	calls         []time.Time          // that were let through in the last minute
}

// New opens a simulator of an empty business under random keys.
func New(o Options) *Simulator {
	s := &Simulator{
		stage: stage.New("dodo",
			[]string{Charge, Create, GetMandate, Patch, UpdateMethod, List, Get, LineItems, Refunding, GetRefund, ListRefunds, ListDisputes, elsewhere},
			refusal("INTERNAL_SERVER_ERROR", ""), o),
		mux:           http.NewServeMux(),
		settings:      atStart(),
		products:      map[string]Product{},
		customers:     map[string]customer{},
		subscriptions: map[string]*subscription{},
		payments:      map[string]*payment{},
		refunds:       map[string]*refund{},
		links:         map[string]*approval{},
	}
	s.key, s.business, s.brand = s.stage.Text(16, stage.Alphanumeric)+"."+s.stage.Text(48, stage.Alphanumeric), s.id("bus"), s.id("brnd")
	s.secrets, s.next = []secret{{value: s.newSecret()}}, s.newSecret()
	s.stage.Sends(sender)
	s.stage.Brief(List, ListRefunds, ListDisputes)
	s.handle("POST /subscriptions", Create, s.create)
	s.handle("GET /subscriptions/{subscription}", GetMandate, s.getSubscription)
	s.handle("PATCH /subscriptions/{subscription}", Patch, s.patch)
	s.handle("POST /subscriptions/{subscription}/charge", Charge, s.charge)
	s.handle("POST /subscriptions/{subscription}/update-payment-method", UpdateMethod, s.updateMethod)
	s.handle("GET /payments", List, s.list)
	s.handle("GET /payments/{payment}", Get, s.get)
	s.handle("GET /payments/{payment}/line-items", LineItems, s.lineItems)
	s.handle("POST /refunds", Refunding, s.refund)
	s.handle("GET /refunds", ListRefunds, s.listRefunds)
	s.handle("GET /disputes", ListDisputes, s.listDisputes)
	s.handle("GET /refunds/{refund}", GetRefund, s.getRefund)
	s.handle("/", elsewhere, func(*query) stage.Answer { return refusal("NOT_FOUND", "no such endpoint") })
	s.mux.HandleFunc("GET /checkout/{link}", s.showPage)
	s.mux.HandleFunc("POST /checkout/{link}", s.answerPage)
	return s
}

// Key is the API key of the business.
func (s *Simulator) Key() string { return s.key }

// Secrets are what webhooks may be signed with: the current secret, and already the one
// that the next rotation brings, so that a program need not be started anew for it. The
// first is the current one.
func (s *Simulator) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []string{s.secrets[len(s.secrets)-1].value, s.next}
}

// Effects is the log of what was done, oldest first.
func (s *Simulator) Effects() []stage.Effect { return s.stage.Effects(0) }

// Deliveries is the log of webhooks, oldest first.
func (s *Simulator) Deliveries() []stage.Delivery { return s.stage.Deliveries(0) }

// Fault makes the next calls go wrong.
func (s *Simulator) Fault(f stage.Fault) error { return s.stage.Script(f) }

// Webhook decides what becomes of the next webhooks.
func (s *Simulator) Webhook(f stage.Fate) error { return s.stage.ScriptWebhook(f) }

// Recover sends again what was dropped or given up, and says how many webhooks that were.
func (s *Simulator) Recover() int { return s.stage.Recover() }

// SetUnkind sets the percentage of calls and webhooks that go wrong of themselves.
func (s *Simulator) SetUnkind(percent int) error { return s.stage.SetUnkind(percent) }

// Close lets go of every call that hangs, and ends what was to happen later.
func (s *Simulator) Close() { s.stage.Close() }

// ServeHTTP answers as Dodo Payments would.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// id draws an identifier in the shape of the real one's.
func (s *Simulator) id(kind string) string { return kind + "_" + s.stage.Text(21, stage.Alphanumeric) }

func (s *Simulator) newSecret() string {
	return "whsec_" + base64.StdEncoding.EncodeToString(s.stage.Bytes(32))
}

// query is one call on its way through.
type query struct {
	*http.Request
	body  []byte
	pause func()
}

// handle puts what all calls have in common before act: key, rate.
func (s *Simulator) handle(pattern, endpoint string, act func(*query) stage.Answer) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, stage.MaxBody))
		q := &query{Request: r, body: body}
		s.stage.Serve(w, r, s.call(q, endpoint), func(pause func()) stage.Answer {
			q.pause = pause
			if !s.authentic(r) {
				return refusal("UNAUTHORIZED", "")
			}
			remaining, ok := s.admit(endpoint)
			var answer stage.Answer
			switch {
			case !ok:
				answer = refusal("TOO_MANY_REQUESTS", "")
			case err != nil:
				answer = refusal("INVALID_REQUEST_BODY", "too large")
			default:
				answer = act(q)
			}
			if remaining >= 0 {
				answer.Header = http.Header{http.CanonicalHeaderKey(rateRemaining): {strconv.Itoa(remaining)}}
			}
			return answer
		})
	})
}

func (s *Simulator) authentic(r *http.Request) bool {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare([]byte(key), []byte(s.key)) == 1
}

// call names the request by whatever it holds, right or wrong.
func (s *Simulator) call(q *query, endpoint string) stage.Call {
	var body struct {
		PaymentID string         `json:"payment_id"`
		ProductID string         `json:"product_id"`
		Metadata  map[string]any `json:"metadata"`
	}
	_ = json.Unmarshal(q.body, &body) // what cannot be read has no name
	order := orderOf(body.Metadata)
	s.mu.Lock()
	if p := s.payments[q.PathValue("payment")+body.PaymentID]; p != nil && order == "" {
		order = orderOf(p.metadata)
	}
	s.mu.Unlock()
	return stage.Call{
		Endpoint: endpoint, Order: order,
		IDs: slices.DeleteFunc([]string{
			q.PathValue("subscription"), q.PathValue("payment"), q.PathValue("refund"), q.URL.Query().Get("subscription_id"),
			body.PaymentID, body.ProductID, order,
		}, func(id string) bool { return id == "" }),
	}
}

// orderOf is our own name of a payment, "" if its metadata has none.
func orderOf(metadata map[string]any) string {
	order, _ := metadata["order_id"].(string)
	return order
}

// admit counts a call, and says how many more there may be in this minute, -1 where there
// is no limit, and whether this one may be. A call that is refused does not count.
func (s *Simulator) admit(endpoint string) (remaining int, ok bool) {
	if _, busy := s.busy.Take(func(b Busy) bool { return fits(b.Endpoint, endpoint) }); busy {
		return 0, false
	}
	now := s.stage.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = slices.DeleteFunc(s.calls, func(at time.Time) bool { return !at.After(now.Add(-time.Minute)) })
	second := 0
	for _, at := range s.calls {
		if at.After(now.Add(-time.Second)) {
			second++
		}
	}
	perMinute, perSecond := *s.settings.PerMinute, *s.settings.PerSecond
	if perMinute > 0 && len(s.calls) >= perMinute || perSecond > 0 && second >= perSecond {
		return max(perMinute-len(s.calls), 0), false
	}
	s.calls = append(s.calls, now)
	if perMinute == 0 {
		return -1, true
	}
	return perMinute - len(s.calls), true
}

// decode reads the body as a JSON object, if it says that it is one. Fields that are not
// asked for are ignored; their names have one spelling.
func (q *query) decode(into any) bool {
	media, _, err := mime.ParseMediaType(q.Header.Get("Content-Type"))
	if err != nil || media != "application/json" || !utf8.Valid(q.body) {
		return false
	}
	body := bytes.TrimSpace(q.body)
	return len(body) > 0 && body[0] == '{' && json.Unmarshal(body, into) == nil
}

// fits says whether a filter, empty for any, lets a value through.
func fits(filter, value string) bool { return filter == "" || filter == value }

func ptr[T any](v T) *T { return &v }
