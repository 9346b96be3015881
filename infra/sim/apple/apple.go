// Package apple plays the App Store: it sells products, lets subscriptions live on the
// clock, signs transactions the way Apple signs them, answers the App Store Server API,
// sends notifications and says whether its certificates still hold. The one idea:
// everything it signs hangs on a certificate chain in Apple's shape whose root was made up
// at start, so that the code under test verifies for real, against another anchor. Begin
// at New, or at NewAuthority where only signatures are wanted.
package apple

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"grantline/infra/sim/stage"
)

// Options are those of every provider.
type Options = stage.Options

// The endpoints by the names under which they can be made to fail.
const (
	Transaction      = "transaction"
	Finish           = "finish"
	History          = "history"
	Statuses         = "statuses"
	Order            = "order"
	RefundHistory    = "refund-history"
	ExtendOne        = "extend"
	ExtendAll        = "extend-all"
	ExtendStatus     = "extend-status"
	Consumption      = "consumption"
	AccountToken     = "account-token"
	AppTransaction   = "app-transaction"
	Notifications    = "notifications"
	TestNotification = "test-notification"
	TestStatus       = "test-status"
	OCSP             = "ocsp"
	elsewhere        = "elsewhere"
)

// BundleID is the app that everything is sold in unless told otherwise.
const BundleID = "com.example.app"

// The environments that the App Store signs for.
const (
	Production = "Production"
	Sandbox    = "Sandbox"
)

// The chain is valid for as long as anybody moves a clock. A real leaf is renewed after
// two years, which the simulator does not act out.
var (
	validFrom  = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Simulator is an http.Handler whose paths are those of api.storekit.apple.com, and below
// /sandbox those of api.storekit-sandbox.apple.com.
type Simulator struct {
	stage     *stage.Stage
	mux       *http.ServeMux
	authority *Authority
	impostor  *Authority // signs what is forged
	apiKey    *ecdsa.PrivateKey
	keyID     string
	issuerID  string
	appID     string

	failures stage.Script[Failure]
	busy     stage.Script[Busy]

	mu            sync.Mutex
	settings      Settings
	next          int64            // the last number that an id was made of
	changes       int64            // how often a sale was made or changed
	asked         map[string]hour  // calls by endpoint and environment
	sold          map[string]*sale // by transactionId
	lines         map[string]*line // by originalTransactionId
	customers     map[string]*customer
	withdrawn     map[string]bool // products that are not for sale any more
	notifications []*notification // oldest first
	jobs          map[string]*job // extensions of all, by environment and requestIdentifier
	pulled        [2]time.Time    // when leaf and intermediate were revoked; zero is not
	answering     string          // how the responder answers; "" is that all is well
}

// New opens an App Store without customers.
func New(o Options) *Simulator {
	s := &Simulator{
		mux:       http.NewServeMux(),
		settings:  Settings{Released: ptr(true), Renews: ptr(false), RetryBadRequest: ptr(false), PerHour: ptr(0), SandboxPath: sender.Path, ExtendAfter: ptr(stage.Duration(time.Hour))},
		asked:     map[string]hour{},
		sold:      map[string]*sale{},
		lines:     map[string]*line{},
		customers: map[string]*customer{},
		withdrawn: map[string]bool{},
		jobs:      map[string]*job{},
	}
	names := []string{}
	for _, e := range endpoints {
		names = append(names, e.name)
	}
	s.stage = stage.New("apple", append(names, OCSP, elsewhere), internalError.answer(), o)
	s.stage.Sends(sender)
	// What is asked each day does not hang of itself.
	s.stage.Brief(Notifications, Statuses, Transaction, OCSP)
	s.authority = must(NewAuthority(s.stage, validFrom, validUntil, responders(o.Base)...))
	s.impostor = must(NewAuthority(s.stage, validFrom, validUntil, responders(o.Base)...))
	s.apiKey = must(newKey(s.stage, elliptic.P256()))
	s.keyID = s.stage.Text(10, stage.Capitals)
	s.issuerID = s.stage.UUID()
	s.appID = "6" + s.stage.Text(9, stage.Digits)
	s.next = must(strconv.ParseInt("1"+s.stage.Text(8, stage.Digits), 10, 64))
	for _, e := range endpoints {
		for prefix, environment := range map[string]string{"": Production, "/sandbox": Sandbox} {
			for _, pattern := range e.patterns {
				method, path, _ := strings.Cut(pattern, " ")
				s.mux.HandleFunc(method+" "+prefix+path, s.handler(e, environment))
			}
		}
	}
	for prefix, environment := range map[string]string{"": Production, "/sandbox": Sandbox} {
		s.mux.HandleFunc("PUT "+prefix+"/inApps/v1/transactions/{first}/{second}", s.putTransaction(environment))
	}
	s.serveOCSP()
	s.mux.HandleFunc("/", s.handler(nowhere, ""))
	return s
}

// Authority signs what is genuine.
func (s *Simulator) Authority() *Authority { return s.authority }

// Credentials are what a developer has from App Store Connect.
type Credentials struct {
	IssuerID, KeyID string
	PrivateKey      []byte // the In-App Purchase key as a PKCS #8 PEM block
	AppID           string // the app's Apple id, a number
}

// Credentials gives the one In-App Purchase key that the API takes.
func (s *Simulator) Credentials() Credentials {
	der := must(x509.MarshalPKCS8PrivateKey(s.apiKey))
	return Credentials{
		IssuerID: s.issuerID, KeyID: s.keyID, AppID: s.appID,
		PrivateKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}
}

// Effects is the log of what was done, oldest first.
func (s *Simulator) Effects() []stage.Effect { return s.stage.Effects(0) }

// Deliveries is the log of attempts to deliver a notification, oldest first.
func (s *Simulator) Deliveries() []stage.Delivery { return s.stage.Deliveries(0) }

// Fault makes the next calls go wrong.
func (s *Simulator) Fault(f stage.Fault) error { return s.stage.Script(f) }

// ScriptWebhook decides what becomes of the next notifications.
func (s *Simulator) ScriptWebhook(f stage.Fate) error { return s.stage.ScriptWebhook(f) }

// SetUnkind sets the percentage of calls that go wrong of themselves.
func (s *Simulator) SetUnkind(percent int) error { return s.stage.SetUnkind(percent) }

// Close lets go of every call that hangs.
func (s *Simulator) Close() { s.stage.Close() }

// ServeHTTP answers as the App Store Server API would.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// endpoint is one of the API's.
type endpoint struct {
	name     string
	patterns []string // method and path; what names the thing asked about is {id}
	rate     int      // calls a second in production, for each app (identifying rate limits)
	act      func(*Simulator, *query) stage.Answer
}

// endpoints are those of the App Store Server API 1.21 but retention messaging.
var endpoints = []endpoint{
	{Transaction, []string{"GET /inApps/v1/transactions/{id}"}, 50, (*Simulator).transactionInfo},
	{Finish, []string{"POST /inApps/v1/transactions/{id}/finish"}, 50, (*Simulator).finish},
	{History, []string{"GET /inApps/v1/history/{id}", "GET /inApps/v2/history/{id}"}, 50, (*Simulator).history},
	{Statuses, []string{"GET /inApps/v1/subscriptions/{id}"}, 50, (*Simulator).statuses},
	{Order, []string{"GET /inApps/v1/lookup/{id}"}, 10, (*Simulator).order},
	{RefundHistory, []string{"GET /inApps/v2/refund/lookup/{id}"}, 10, (*Simulator).refunds},
	{ExtendOne, []string{"PUT /inApps/v1/subscriptions/extend/{id}"}, 20, (*Simulator).extendOne},
	{ExtendAll, []string{"POST /inApps/v1/subscriptions/extend/mass"}, 1, (*Simulator).extendAll},
	{ExtendStatus, []string{"GET /inApps/v1/subscriptions/extend/mass/{product}/{id}"}, 20, (*Simulator).extendStatus},
	{Consumption, []string{"PUT /inApps/v2/transactions/consumption/{id}"}, 50, (*Simulator).consume},
	{AccountToken, nil, 20, nil}, // see putTransaction
	{AppTransaction, []string{"GET /inApps/v1/transactions/appTransactions/{id}"}, 50, (*Simulator).appTransaction},
	{Notifications, []string{"POST /inApps/v1/notifications/history"}, 50, (*Simulator).notificationHistory},
	{TestNotification, []string{"POST /inApps/v1/notifications/test"}, 1, (*Simulator).requestTest},
	{TestStatus, []string{"GET /inApps/v1/notifications/test/{id}"}, 1, (*Simulator).testStatus},
}

// nowhere is what the API does not have.
var nowhere = endpoint{name: elsewhere, act: func(*Simulator, *query) stage.Answer {
	return stage.Answer{Status: http.StatusNotFound}
}}

// putTransaction tells two endpoints apart whose patterns would clash.
func (s *Simulator) putTransaction(environment string) http.HandlerFunc {
	consumption := s.handler(endpoint{name: Consumption, rate: 50, act: (*Simulator).consumeV1}, environment)
	token := s.handler(endpoint{name: AccountToken, rate: 20, act: (*Simulator).setAccountToken}, environment)
	other := s.handler(nowhere, environment)
	return func(w http.ResponseWriter, r *http.Request) {
		first, second := r.PathValue("first"), r.PathValue("second")
		switch {
		case first == "consumption":
			r.SetPathValue("id", second)
			consumption(w, r)
		case second == "appAccountToken":
			r.SetPathValue("id", first)
			token(w, r)
		default:
			other(w, r)
		}
	}
}

// query is one call on its way through.
type query struct {
	*http.Request

	environment string
	id          string
	body        []byte
	pause       func()
}

func (s *Simulator) handler(e endpoint, environment string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, stage.MaxBody))
		if err != nil {
			stage.Write(w, badRequest.answer())
			return
		}
		id := r.PathValue("id")
		call := stage.Call{Endpoint: e.name, IDs: []string{id, environment}, Order: id}
		s.stage.Serve(w, r, call, func(pause func()) stage.Answer {
			if refused, ok := s.admit(r, e, environment, id); !ok {
				return refused
			}
			return e.act(s, &query{r, environment, id, body, pause})
		})
	}
}

// admit lets a call in, or gives the answer that refuses it.
func (s *Simulator) admit(r *http.Request, e endpoint, environment, id string) (stage.Answer, bool) {
	if !s.authentic(r.Header.Get("Authorization")) {
		return unauthenticated, false
	}
	s.mu.Lock()
	released := *s.settings.Released
	s.mu.Unlock()
	if environment == Production && !released {
		return unauthenticated, false
	}
	if again, ok := s.tooMany(e, environment); ok {
		return later(again), false
	}
	failure, ok := s.failures.Take(func(f Failure) bool {
		return (f.TransactionID == "" || f.TransactionID == id) && (f.Endpoint == "" || f.Endpoint == e.name)
	})
	if ok {
		return failure.answer(s.stage.Now()), false
	}
	return stage.Answer{}, true
}

// must is for what can fail only by a bug in this package.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("apple: %v", err))
	}
	return v
}

func ptr[T any](v T) *T { return &v }
