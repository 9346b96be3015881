package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
	"grantline/shared/web"
)

const (
	publicKey = "pk_test_Zq8vN3xW5rT1yB7c"
	secretKey = "sk_test_Lm4kJ9hG2fD6sA0p"
)

var start = time.Date(2026, 11, 20, 2, 14, 7, 0, time.UTC)

// world is a deployment in memory: both functions' handlers over the same tables, with
// stores, a gateway and an identity provider that behave, and a clock that stands.
type world struct {
	testing.TB
	tables   *memory.Tables
	clock    *movable
	logs     *record
	provider *provider
	gateway  *gateway
	mandates *mandates
	shops    map[string]*shop
	public   *keyring
	secret   *keyring
	tossApp  *keyring // of the webhooks of Apps-in-Toss
	callers  *web.Callers
	api      *web.API
	claims   *web.Claims
	counter  *counter                 // of what Google Play sells
	webhooks map[string]*web.Webhooks // by provider
	notices  *outbox                  // where they send to
	healthy  error
	answers  bytes.Buffer // every body that was sent back
	secrets  []string     // what no log and no answer may hold
}

func newWorld(t testing.TB) *world {
	t.Helper()
	goods, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	clock := &movable{at: start}
	w := &world{
		TB: t, tables: memory.New(), clock: clock, logs: &record{}, provider: newProvider(), gateway: newGateway(clock),
		mandates: newMandates(clock),
		shops: map[string]*shop{
			"apple": {name: "apple", shape: jws}, "play": {name: "play", shape: anything}, "appsintoss": {name: "appsintoss", shape: orderIDs},
		},
		public: &keyring{text: "default/production=" + hashed(publicKey)},
		secret: &keyring{text: "default/production=" + hashed(secretKey)},
	}
	log := slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.callers = &web.Callers{
		PublicKeys: w.public.get, SecretKeys: w.secret.get, PublicKeyCustomers: true,
		Tokens: &web.Tokens{
			Issuer: issuer, Audience: audience, KeysURL: "http://127.0.0.1/keys",
			Client: &http.Client{Transport: w.provider}, Clock: clock, Log: log,
		},
	}
	customers := customer.Directory{Tables: w.tables, Identity: customer.Identity{
		Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
	}}
	w.api = &web.API{
		Callers: w.callers, Tables: w.tables, Customers: customers, Clock: clock, Log: log,
		Health: func(context.Context) error { return w.healthy },
		Biller: &billing.Biller{
			Tables: w.tables, Customers: customers, Catalog: goods, Sealer: newSealer(), Clock: clock, Log: log, Shards: 2,
			Lease: 2 * time.Minute,
			Gateways: billing.Gateways{
				{Scope: table.Default, Gateway: "toss"}: w.gateway, {Scope: table.Default, Gateway: "dodo"}: w.mandates,
			},
		},
	}
	w.api.Endpoints = newEndpoints(w)
	w.claims = &web.Claims{Callers: w.callers, Clock: clock, Log: log, Book: &purchase.Book{
		Tables: w.tables, Customers: customers, Catalog: goods, Clock: clock, TestsPerDay: 3,
		Stores: map[string]purchase.Store{"apple": w.shops["apple"], "play": w.shops["play"], "appsintoss": ordersShop{w.shops["appsintoss"]}},
	}}
	w.claims.Offers = web.Offers{Signer: newSigner(clock), BundleIDs: []string{appBundle}}
	w.counter = &counter{sells: onSale()}
	w.claims.Shelves = map[string]web.Shelf{"play": web.ShelfOf(w.counter.Products)}
	w.notices = &outbox{}
	w.webhooks = newWebhooks(w.notices, clock, log)
	w.webhooks["play"] = newPlayWebhook(w)
	w.webhooks["appsintoss"] = newAppsInTossWebhook(w)
	t.Cleanup(w.nothingSecretGotOut)
	return w
}

// ServeHTTP finds the function as the template's routes do.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/purchases" || r.URL.Path == "/api/iap/fulfill" || r.URL.Path == "/v1/apple/offers" || r.URL.Path == "/v1/products" {
		w.claims.ServeHTTP(rw, r)
		return
	}
	if isWebhook(r.URL.Path) {
		w.webhooks[strings.Split(r.URL.Path, "/")[2]].ServeHTTP(rw, r)
		return
	}
	w.api.ServeHTTP(rw, r)
}

// header is what goes with a request, by name.
type header map[string]string

// answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any // nil if it is no JSON object
}

func (a answer) code() string {
	code, _ := a.body["code"].(string)
	return code
}

// ask sends a request whose path is decoded already, as API Gateway hands it over, and
// holds the answer against the document.
func (w *world) ask(method, path string, h header, body string, query ...string) answer {
	w.Helper()
	r := (&http.Request{
		Method: method, URL: &url.URL{Path: path, RawQuery: strings.Join(query, "&")}, Header: http.Header{}, Host: "127.0.0.1",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}).WithContext(w.Context())
	for name, value := range h {
		r.Header.Set(name, value)
	}
	rw := httptest.NewRecorder()
	w.ServeHTTP(rw, r)
	a := answer{status: rw.Code, header: rw.Result().Header, text: rw.Body.String()}
	_ = json.Unmarshal(rw.Body.Bytes(), &a.body)
	w.answers.WriteString(a.text)
	theDocument(w).check(w, method, path, a)
	return a
}

// expect asks and insists on a status and, of a problem, its code.
func (w *world) expect(status int, code, method, path string, h header, body string, query ...string) answer {
	w.Helper()
	a := w.ask(method, path, h, body, query...)
	if a.status != status || a.code() != code {
		w.Errorf("%s %s: got %d %q, want %d %q: %s", method, path, a.status, a.code(), status, code, a.text)
	}
	return a
}

// keep notes what must never be seen.
func (w *world) keep(secret string) string {
	w.secrets = append(w.secrets, secret)
	return secret
}

func (w *world) nothingSecretGotOut() {
	logs := w.logs.String()
	for _, s := range append(w.secrets, publicKey, secretKey, "billing-key-of-", "mandate-of-") {
		if strings.Contains(logs, s) {
			w.Errorf("a log holds the secret %.40q", s)
		}
		if strings.Contains(w.answers.String(), s) {
			w.Errorf("an answer holds the secret %.40q", s)
		}
	}
	// Who a customer is belongs in no log; the tests' people have these names.
	for _, personal := range []string{"minji", "Minji", "jisoo", "sora", "hana", "juno", "mina", "yuna", "김민지", "1234-5678", "example.com", "pages.example", "Portland"} {
		if strings.Contains(logs, personal) {
			w.Errorf("a log tells of %q: %s", personal, logs)
		}
	}
}

// written counts the items in all tables, but for what was tried with a secret key: that is
// kept, though it was refused.
func (w *world) written() int { return len(w.state()) }

// state is every item in all tables, but for the journal.
func (w *world) state() map[table.Key]table.Item {
	all := map[table.Key]table.Item{}
	for _, name := range table.Names {
		for _, item := range w.tables.Items(name) {
			if !strings.Contains(item.Key.Partition, "#audit#") {
				all[item.Key] = item
			}
		}
	}
	return all
}

// nothingChanged insists that the tables are as they were.
func (w *world) nothingChanged(was map[table.Key]table.Item, after string) {
	w.Helper()
	is := w.state()
	if reflect.DeepEqual(was, is) {
		return // quickly, for it is asked thousands of times
	}
	if diff := cmp.Diff(was, is); diff != "" {
		w.Errorf("after %s the tables are others (-want +got):\n%s", after, diff)
	}
}

func (w *world) nothingWritten(after string) {
	w.Helper()
	if n := w.written(); n != 0 {
		w.Errorf("after %s: got %d items in the tables, want none", after, n)
	}
}

func app(customerID string) header {
	h := header{"Authorization": "Bearer " + publicKey}
	if customerID != "" {
		h["X-Customer-Id"] = customerID
	}
	return h
}

func server(customerID string) header {
	h := header{"Authorization": "Bearer " + secretKey}
	if customerID != "" {
		h["X-Customer-Id"] = customerID
	}
	return h
}

func (w *world) user(customerID string) header {
	return header{"Authorization": "Bearer " + w.keep(w.provider.token(customerID, w.clock.Now()))}
}

// movable is a clock that stands until it is moved.
type movable struct {
	mu sync.Mutex
	at time.Time
}

func (m *movable) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *movable) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (m *movable) advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = m.at.Add(d)
}

// record is a log that a test can read.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// keyring is a secret with keys that can be rotated or be out of reach.
type keyring struct {
	text  string
	next  string // given once a fresh copy is asked for, "" for the same
	err   error
	asked int
	fresh int
}

func (k *keyring) get(_ context.Context, fresh bool) (string, error) {
	k.asked++
	if fresh {
		k.fresh++
		if k.next != "" {
			k.text = k.next
		}
	}
	return k.text, k.err
}

var errOutage = errors.New("no route to host")

func outage() error {
	return fault.New(fault.Unavailable, "store_unavailable", "The store did not answer; ask again.").Because(errOutage)
}
