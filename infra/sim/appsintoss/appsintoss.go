// Package appsintoss plays Apps-in-Toss: the partner API, where the state of an order is
// asked for over mutual TLS; what the Toss app does on a customer's phone, from the payment
// to the end of the grant; subscriptions that live on the clock, and their webhook. The one
// idea: the money is taken before anybody hears of it, and what becomes of it is told by
// three voices that may lag, contradict each other or fall silent; the log of effects alone
// says what happened. The certificate is the mini-app: whoever holds one sees the orders of
// its own and of no other. Begin at New; package client drives a phone.
package appsintoss

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"grantline/infra/sim/stage"
)

// Options are those of every provider.
type Options = stage.Options

// OrderStatus is the endpoint that can be made to fail.
const OrderStatus = "order-status"

const elsewhere = "elsewhere"

// OwnApp is the mini-app of the certificate that Credentials gives.
const OwnApp = "grantline-sample"

// seoul is the zone that a time without one is in.
var seoul = time.FixedZone("KST", 9*60*60)

// Simulator is an http.Handler whose paths are those of apps-in-toss-api.toss.im. It must
// be served with TLSConfig; without a client certificate it answers 403.
type Simulator struct {
	stage *stage.Stage
	mux   *http.ServeMux
	trust authority

	secret string // of webhooks

	answers  stage.Script[FailedAnswer]
	refusals stage.Script[FailedPurchase]

	mu       sync.Mutex
	orders   map[string]*order
	products []Product
	settings Settings
	sent     int64             // webhooks
	counted  map[string]window // by mini-app
	issued   []issued          // certificates, oldest first
	install  func(Credentials) error
}

// New opens a simulator without orders, under a certificate authority of its own.
func New(o Options) *Simulator {
	s := &Simulator{
		stage:    stage.New("appsintoss", []string{OrderStatus, elsewhere}, stage.JSON(http.StatusInternalServerError, failure("INTERNAL_ERROR", "500", nil)), o),
		mux:      http.NewServeMux(),
		orders:   map[string]*order{},
		counted:  map[string]window{},
		products: catalogue(),
		settings: atStart(),
	}
	s.stage.Sends(sender)
	s.stage.Brief(OrderStatus) // granted orders are asked about each day
	s.trust = newAuthority(s.stage)
	s.secret = s.stage.Text(40, stage.Alphanumeric)
	s.handle("POST /api-partner/v1/apps-in-toss/order/get-order-status", OrderStatus, s.orderStatus)
	s.handle("/", elsewhere, func(query) stage.Answer {
		return stage.JSON(http.StatusNotFound, failure("FAIL", "404", nil))
	})
	return s
}

// Effects is the log of what was done, oldest first.
func (s *Simulator) Effects() []stage.Effect { return s.stage.Effects(0) }

// Deliveries is the log of attempts to deliver a webhook, oldest first.
func (s *Simulator) Deliveries() []stage.Delivery { return s.stage.Deliveries(0) }

// ScriptWebhook decides what becomes of the next webhooks.
func (s *Simulator) ScriptWebhook(f stage.Fate) error { return s.stage.ScriptWebhook(f) }

// Fault makes the next calls go wrong.
func (s *Simulator) Fault(f stage.Fault) error { return s.stage.Script(f) }

// SetUnkind sets the percentage of calls that go wrong of themselves.
func (s *Simulator) SetUnkind(percent int) error { return s.stage.SetUnkind(percent) }

// Close lets go of every call that hangs.
func (s *Simulator) Close() { s.stage.Close() }

// ServeHTTP answers as Apps-in-Toss would.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// query is one call of a mini-app.
type query struct {
	*http.Request
	app   string
	body  []byte
	pause func()
}

func (s *Simulator) handle(pattern, endpoint string, act func(query) stage.Answer) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		app := s.appOf(r)
		if app == "" {
			stage.Write(w, stage.JSON(http.StatusForbidden, failure("FAIL", "403", nil)))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, stage.MaxBody))
		var named struct{ OrderID string }
		_ = json.Unmarshal(body, &named) // what cannot be read has no name
		call := stage.Call{Endpoint: endpoint, IDs: []string{named.OrderID}, Order: named.OrderID}
		s.stage.Serve(w, r, call, func(pause func()) stage.Answer {
			if err != nil {
				return stage.JSON(http.StatusBadRequest, failure("FAIL", "400", nil))
			}
			return act(query{r, app, body, pause})
		})
	})
}

// envelope is how every answer is wrapped.
type envelope struct {
	ResultType string   `json:"resultType"`
	Success    *state   `json:"success"`
	Error      *problem `json:"error,omitempty"`
}

type state struct {
	OrderID            string `json:"orderId"`
	SKU                string `json:"sku,omitempty"`
	Status             string `json:"status"`
	StatusDeterminedAt string `json:"statusDeterminedAt,omitempty"`
	Reason             string `json:"reason,omitempty"`
	Added              string `json:"addedWithoutAVersion"`
}

type problem struct {
	ErrorType int            `json:"errorType"`
	ErrorCode string         `json:"errorCode"`
	Reason    string         `json:"reason"`
	Data      map[string]any `json:"data"`
	Title     *string        `json:"title"`
}

func failure(resultType, code string, data map[string]any) envelope {
	if data == nil {
		data = map[string]any{}
	}
	return envelope{ResultType: resultType, Error: &problem{ErrorCode: code, Reason: "요청을 처리할 수 없습니다.", Data: data}}
}

// orderStatus says how an order stands. A failure is 200 too; only a field that cannot be
// read is 400.
func (s *Simulator) orderStatus(q query) stage.Answer {
	var body map[string]json.RawMessage
	var id string
	if json.Unmarshal(q.body, &body) != nil || json.Unmarshal(body["orderId"], &id) != nil ||
		id == "" || utf8.RuneCountInString(id) > 100 {
		return stage.JSON(http.StatusBadRequest, failure("FAIL", "400", nil))
	}
	userKey := q.Header.Get("X-Toss-User-Key")
	q.pause()
	if answer, ok := s.answers.Take(func(f FailedAnswer) bool { return f.OrderID == "" || f.OrderID == id }); ok {
		return stage.JSON(http.StatusOK, answer.envelope())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overRate(q.app) {
		return stage.JSON(http.StatusOK, tooMany(int(60-s.stage.Now().Unix()%60)))
	}
	if *s.settings.RequireUserKey && userKey == "" {
		return stage.JSON(http.StatusBadRequest, failure("FAIL", "400", nil))
	}
	out := state{OrderID: id, Status: NotFound, Added: "simulated"}
	known := s.orders[id]
	switch {
	case known == nil, known.line != nil && !*s.settings.SubscriptionOrders:
	case userKey != "" && known.userKey != "" && userKey != known.userKey:
		if *s.settings.UserKeyMismatch != NotFound {
			return stage.JSON(http.StatusOK, failure("FAIL", "4003", nil))
		}
	case known.app != q.app:
		out.Status = MiniAppMismatch
	default:
		s.turn(known)
		out.Status, out.Reason = known.status, known.reason
		if out.Status != NotFound && out.Status != MiniAppMismatch && out.Status != Broken {
			out.SKU = known.sku
			out.StatusDeterminedAt = s.format(known.determined)
		}
	}
	return stage.JSON(http.StatusOK, envelope{ResultType: "SUCCESS", Success: &out})
}

// The ways to write a time: documents show one without zone and describe one with.
const (
	Zoneless = "zoneless"
	Zoned    = "zoned"
	UTC      = "utc"
)

func (s *Simulator) format(at time.Time) string { return write(at, *s.settings.TimeFormat) }

func write(at time.Time, form string) string {
	switch form {
	case Zoned:
		return at.In(seoul).Format("2006-01-02T15:04:05-07:00")
	case UTC:
		return at.UTC().Format("2006-01-02T15:04:05Z")
	}
	return at.In(seoul).Format("2006-01-02T15:04:05")
}

// window counts the calls of one minute.
type window struct {
	minute int64
	calls  int
}

func (s *Simulator) overRate(app string) bool {
	minute := s.stage.Now().Unix() / 60
	w := s.counted[app]
	if w.minute != minute {
		w = window{minute: minute}
	}
	w.calls++
	s.counted[app] = w
	return *s.settings.PerMinute > 0 && w.calls > *s.settings.PerMinute
}

func tooMany(retryAfterSeconds int) envelope {
	return failure("FAIL", strconv.Itoa(rateCode), map[string]any{"retryAfterSeconds": retryAfterSeconds})
}

// rateCode is the errorCode of more calls than allowed.
const rateCode = 4095

func ptr[T any](v T) *T { return &v }
