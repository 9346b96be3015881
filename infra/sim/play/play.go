// Package play plays Google Play: it sells products, lets subscriptions live on the clock,
// takes back what nobody acknowledges, answers the Play Developer API, and pushes real-time
// developer notifications as Pub/Sub does. The one idea: a purchase token stands for what
// the store knows at this instant; a notification says only that it is time to look, comes
// again until it is taken, and may come twice, late or out of order. Begin at New.
package play

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"grantline/infra/sim/stage"
)

// Options are those of every provider. Base is a must where credentials are asked for: they
// name the token endpoint.
type Options = stage.Options

// The endpoints by the names under which they can be made to fail.
const (
	Product                 = "product"    // productsv2
	ProductV1               = "product-v1" // products
	AcknowledgeProduct      = "acknowledge-product"
	ConsumeProduct          = "consume"
	Subscription            = "subscription" // subscriptionsv2
	AcknowledgeSubscription = "acknowledge-subscription"
	RevokeSubscription      = "revoke"
	CancelSubscription      = "cancel"
	DeferSubscription       = "defer"
	Voided                  = "voided"
	Order                   = "order"
	Orders                  = "orders" // batchGet
	RefundOrder             = "refund"
	ReviewRefund            = "review-refund"
	OneTimeProducts         = "one-time-products"
	Subscriptions           = "subscriptions"
	OneTimeOffers           = "one-time-offers"
	SubscriptionOffers      = "subscription-offers"
	Token                   = "token" // of OAuth
	Keys                    = "keys"  // of push tokens
	elsewhere               = "elsewhere"
)

// Package is the app that everything is sold in unless told otherwise.
const Package = "com.example.app"

// Simulator is an http.Handler whose paths are those of androidpublisher.googleapis.com,
// with the token endpoint at /token and the keys of push tokens at /oauth2/v3/certs.
type Simulator struct {
	stage   *stage.Stage
	account account

	failures stage.Script[Failure]
	busy     stage.Script[Busy]
	garbled  stage.Script[Garble]

	mu        sync.Mutex
	settings  Settings
	grants    map[string]time.Time // access tokens, and when they end
	asked     map[string]count     // calls by quota bucket
	apps      map[string]bool      // packages that the account knows
	catalogue []*product
	sold      map[string]*purchase // by token
	orders    map[string]*order    // by order id
	voided    []*voidedRow         // in the order in which they are recorded
	reviews   map[string]*review   // by pendingRefundToken
	published []*message           // oldest first
	messages  int64                // the last number that a messageId was made of
	signers   signers
}

// New opens a Play store without customers.
func New(o Options) *Simulator {
	s := &Simulator{
		settings: initial(), grants: map[string]time.Time{}, asked: map[string]count{}, apps: map[string]bool{Package: true},
		catalogue: sample(), sold: map[string]*purchase{}, orders: map[string]*order{}, reviews: map[string]*review{},
	}
	names := []string{}
	for _, e := range endpoints {
		names = append(names, e.name)
	}
	s.stage = stage.New("play", append(names, Token, Keys, elsewhere), backendError.answer(), o)
	s.stage.Sends(sender)
	// What is asked each day does not hang of itself.
	s.stage.Brief(Voided, Subscription, Product, Order, Orders, Token, Keys)
	s.account = s.newAccount()
	s.signers = s.newSigners()
	s.messages = must(strconv.ParseInt("1"+s.stage.Text(10, stage.Digits), 10, 64))
	return s
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

// endpoint is one of the API's, below applications/{packageName}/.
type endpoint struct {
	name   string
	method string
	path   string // {} is a part that the call gives
	bucket string // of the quota
	act    func(s *Simulator, q *query) stage.Answer
}

// The buckets of the quota, which are independent of each other (Android Publisher quotas).
const (
	subscriptionReads = "subscriptions"
	subscriptionEdits = "subscription updates"
	oneTime           = "one-time purchases"
	orderCalls        = "orders"
	voidedCalls       = "voided purchases"
	publishing        = "publishing"
)

var endpoints = []endpoint{
	{Product, "GET", "purchases/productsv2/tokens/{}", oneTime, (*Simulator).productV2},
	{ProductV1, "GET", "purchases/products/{}/tokens/{}", oneTime, (*Simulator).productV1},
	{AcknowledgeProduct, "POST", "purchases/products/{}/tokens/{}:acknowledge", oneTime, (*Simulator).acknowledgeProduct},
	{ConsumeProduct, "POST", "purchases/products/{}/tokens/{}:consume", oneTime, (*Simulator).consumeProduct},
	{Subscription, "GET", "purchases/subscriptionsv2/tokens/{}", subscriptionReads, (*Simulator).subscriptionV2},
	{AcknowledgeSubscription, "POST", "purchases/subscriptions/{}/tokens/{}:acknowledge", subscriptionReads, (*Simulator).acknowledgeSubscription},
	{RevokeSubscription, "POST", "purchases/subscriptionsv2/tokens/{}:revoke", subscriptionEdits, (*Simulator).revokeSubscription},
	{CancelSubscription, "POST", "purchases/subscriptionsv2/tokens/{}:cancel", subscriptionEdits, (*Simulator).cancelSubscription},
	{DeferSubscription, "POST", "purchases/subscriptionsv2/tokens/{}:defer", subscriptionEdits, (*Simulator).deferSubscription},
	{Voided, "GET", "purchases/voidedpurchases", voidedCalls, (*Simulator).listVoided},
	{Order, "GET", "orders/{}", orderCalls, (*Simulator).getOrder},
	{Orders, "GET", "orders:batchGet", orderCalls, (*Simulator).getOrders},
	{RefundOrder, "POST", "orders/{}:refund", orderCalls, (*Simulator).refundOrder},
	{ReviewRefund, "POST", "orders/{}:reviewrefund", orderCalls, (*Simulator).reviewRefund},
	{OneTimeProducts, "GET", "oneTimeProducts", publishing, (*Simulator).listOneTimeProducts},
	{OneTimeOffers, "GET", "oneTimeProducts/{}/purchaseOptions/{}/offers", publishing, (*Simulator).listOneTimeOffers},
	{Subscriptions, "GET", "subscriptions", publishing, (*Simulator).listSubscriptions},
	{SubscriptionOffers, "GET", "subscriptions/{}/basePlans/{}/offers", publishing, (*Simulator).listSubscriptionOffers},
}

// query is a call of the API.
type query struct {
	*http.Request

	app   string
	given []string // the parts of the path that the endpoint leaves open
	body  []byte
	pause func()
}

// token is the purchase token of a call, the last part of its path.
func (q *query) token() string { return q.given[len(q.given)-1] }

// root is what the paths of the API begin with.
const root = "/androidpublisher/v3/applications/"

// ServeHTTP answers as Google would.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, stage.MaxBody))
	if err != nil {
		stage.Write(w, invalid("body", "The request body is too large or broke off.").answer())
		return
	}
	path := r.URL.EscapedPath()
	switch path {
	case "/token":
		s.stage.Serve(w, r, stage.Call{Endpoint: Token}, func(pause func()) stage.Answer {
			pause()
			return s.grant(r, body)
		})
		return
	case "/oauth2/v3/certs":
		s.stage.Serve(w, r, stage.Call{Endpoint: Keys}, func(pause func()) stage.Answer {
			pause()
			return s.serveKeys(r)
		})
		return
	}
	e, app, given := route(r.Method, path)
	call := stage.Call{Endpoint: e.name, IDs: append([]string{app}, given...)}
	if e.bucket == orderCalls && len(given) > 0 {
		call.Order = given[0]
	}
	s.stage.Serve(w, r, call, func(pause func()) stage.Answer {
		q := &query{Request: r, app: app, given: given, body: body, pause: pause}
		if refused := s.admit(e, q); refused != nil {
			return refused.answer()
		}
		if e.act == nil {
			return stage.Answer{Status: http.StatusNotFound, ContentType: "text/html; charset=UTF-8", Body: []byte("<!DOCTYPE html>\n<title>Error 404 (Not Found)!!1</title>\n")}
		}
		answer := e.act(s, q)
		garble, ok := s.garbled.Take(func(g Garble) bool { return answer.Status == http.StatusOK && g.fits(e, q) })
		if ok {
			return garble.spoil(answer)
		}
		return answer
	})
}

// route finds the endpoint of a path, whose parts are escaped one by one.
func route(method, path string) (endpoint, string, []string) {
	nowhere := endpoint{name: elsewhere}
	rest, ok := strings.CutPrefix(path, root)
	if !ok {
		return nowhere, "", nil
	}
	escaped, rest, _ := strings.Cut(rest, "/")
	app, err := url.PathUnescape(escaped)
	if err != nil {
		return nowhere, "", nil
	}
	parts := strings.Split(rest, "/")
	for _, e := range endpoints {
		if given, ok := e.match(method, parts); ok {
			return e, app, given
		}
	}
	return nowhere, app, nil
}

// match says whether a path is the endpoint's, and gives the parts that it leaves open.
func (e endpoint) match(method string, parts []string) (given []string, ok bool) {
	pattern := strings.Split(e.path, "/")
	if e.method != method || len(pattern) != len(parts) {
		return nil, false
	}
	for i, want := range pattern {
		verb, open := strings.CutPrefix(want, "{}")
		if !open {
			if parts[i] != want {
				return nil, false
			}
			continue
		}
		escaped, ok := strings.CutSuffix(parts[i], verb)
		text, err := url.PathUnescape(escaped)
		if !ok || err != nil {
			return nil, false
		}
		given = append(given, text)
	}
	return given, true
}

// admit lets a call in, or gives what refuses it.
func (s *Simulator) admit(e endpoint, q *query) *apiError {
	if refused := s.authenticate(q.Header.Get("Authorization")); refused != nil {
		return refused
	}
	if f, ok := s.failures.Take(func(f Failure) bool { return f.fits(e, q) }); ok {
		return f.refusal()
	}
	if refused := s.overQuota(e); refused != nil {
		return refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.act != nil && !s.apps[q.app] {
		return notFound("packageName", "No application was found for the given package name.")
	}
	return nil
}

// must is for what can fail only by a bug in this package.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("play: %v", err))
	}
	return v
}

func ptr[T any](v T) *T { return &v }

func or[T comparable](a, b T) T {
	var zero T
	if a == zero {
		return b
	}
	return a
}
