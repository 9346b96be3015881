package apple_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/apple"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// facts are the members of an object that Apple signs, without its date.
type facts map[string]any

func milli(t time.Time) int64 { return t.UnixMilli() }

// watch stands until it is set.
type watch struct {
	mu sync.Mutex
	at time.Time
}

func (c *watch) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *watch) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (c *watch) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// till is what the App Store knows of one app, and the API that tells it.
type till struct {
	testing.TB
	*watch
	a *authority

	mu           sync.Mutex
	count        int
	transactions map[string]facts // by id
	renewals     map[string]facts // by line
	statuses     map[string]int   // by line
	pages        map[string]string
	// instead answers in place of the API where it gives something.
	instead func(r *http.Request, body string) (*http.Response, error)
	seen    []string // requests: the method, the host's first word, the app and the path
	bodies  []string
}

const (
	monthlySKU = "com.example.premium.monthly"
	yearlySKU  = "com.example.premium.yearly"
	basicSKU   = "com.example.basic.yearly"
	gemsSKU    = "com.example.gems100"
	adFreeSKU  = "com.example.adfree"
	rentalSKU  = "com.example.rental7d"
)

func newTill(t testing.TB) *till {
	return &till{
		TB: t, watch: &watch{at: signedAt}, a: genuine(t), transactions: map[string]facts{}, renewals: map[string]facts{}, statuses: map[string]int{}, pages: map[string]string{},
	}
}

// sell makes a transaction that was bought now and returns its id; line is "" for a new one.
func (c *till) sell(line, sku string, kind apple.ProductType, changes facts) string {
	c.count++
	id := fmt.Sprintf("20000000%04d", c.count)
	if line == "" {
		line = id
	}
	t := facts{
		"transactionId": id, "originalTransactionId": line, "bundleId": "com.example.app", "productId": sku, "type": kind,
		"purchaseDate": milli(c.Now()), "originalPurchaseDate": milli(c.Now()), "quantity": 1, "inAppOwnershipType": "PURCHASED",
		"environment": "Production", "storefront": "KOR", "price": 4_900_000, "currency": "KRW",
	}
	maps.Copy(t, changes)
	c.transactions[id] = t
	return id
}

// subscribe sells a period that ends at an instant, and means to renew it.
func (c *till) subscribe(line, sku string, end time.Time) string {
	id := c.sell(line, sku, apple.AutoRenewable, facts{"expiresDate": milli(end), "subscriptionGroupIdentifier": "21500001"})
	line = c.transactions[id]["originalTransactionId"].(string)
	c.renewals[line] = facts{
		"originalTransactionId": line, "productId": sku, "autoRenewProductId": sku, "autoRenewStatus": 1, "environment": "Production",
		"renewalDate": milli(end), "isInBillingRetryPeriod": false,
	}
	c.statuses[line] = apple.StatusActive
	return id
}

// change makes a subscription's renewal info and status say something else.
func (c *till) change(id string, status int, changes facts) {
	line := c.lineOf(id)
	c.statuses[line] = status
	maps.Copy(c.renewals[line], changes)
}

func (c *till) lineOf(id string) string {
	line, _ := c.transactions[id]["originalTransactionId"].(string)
	return line
}

func (c *till) revoke(id string, more facts) {
	maps.Copy(c.transactions[id], facts{"revocationDate": milli(c.Now()), "revocationReason": 0, "revocationType": "REFUND_FULL"})
	maps.Copy(c.transactions[id], more)
}

func (c *till) unrevoke(id string) {
	for _, name := range []string{"revocationDate", "revocationReason", "revocationType", "revocationPercentage"} {
		delete(c.transactions[id], name)
	}
}

func (c *till) signed(f facts) string { return c.signedBy(c.a, f) }

// forged is signed by somebody with a chain of Apple's shape.
func (c *till) forged(f facts) string { return c.signedBy(newAuthority(c), f) }

func (c *till) signedBy(a *authority, f facts) string {
	dated := maps.Clone(f)
	dated["signedDate"] = milli(c.Now())
	text, err := json.Marshal(dated)
	if err != nil {
		c.Fatal(err)
	}
	return a.sign(string(text))
}

// proof is a transaction as it is now, signed.
func (c *till) proof(id string) string { return c.signed(c.transactions[id]) }

// notify signs a notification about a transaction as it is now.
func (c *till) notify(name, id string, more facts) string {
	data := facts{
		"environment": c.transactions[id]["environment"], "appAppleId": 1234567890, "bundleId": c.transactions[id]["bundleId"],
		"signedTransactionInfo": c.proof(id),
	}
	if line := c.lineOf(id); c.renewals[line] != nil {
		data["signedRenewalInfo"], data["status"] = c.signed(c.renewals[line]), c.statuses[line]
	}
	maps.Copy(data, more)
	return c.notice(name, facts{"data": data})
}

// notice signs a notification around its source.
func (c *till) notice(name string, source facts) string {
	c.count++
	kind, sub, _ := strings.Cut(name, ".")
	n := facts{"notificationType": kind, "notificationUUID": fmt.Sprintf("00000000-0000-4000-8000-%012d", c.count), "version": "2.0"}
	if sub != "" {
		n["subtype"] = sub
	}
	maps.Copy(n, source)
	return c.signed(n)
}

// RoundTrip is the App Store Server API of both environments.
func (c *till) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body := ""
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(text)
	}
	c.seen = append(c.seen, r.Method+" "+strings.SplitN(r.URL.Host, ".", 2)[0]+" "+c.askedFor(r)+" "+r.URL.RequestURI())
	c.bodies = append(c.bodies, body)
	if c.instead != nil {
		if res, err := c.instead(r, body); res != nil || err != nil {
			return res, err
		}
	}
	words := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	last := words[len(words)-1]
	switch {
	case strings.HasPrefix(r.URL.Path, "/inApps/v1/transactions/"):
		t := c.transactions[last]
		if t == nil || !c.here(r, t) {
			return apiSays(http.StatusNotFound, `{"errorCode":4040010}`), nil
		}
		return apiSays(http.StatusOK, `{"signedTransactionInfo":"`+c.signed(t)+`"}`), nil
	case strings.HasPrefix(r.URL.Path, "/inApps/v1/subscriptions/"):
		return c.subscriptions(r, last), nil
	case strings.HasPrefix(r.URL.Path, "/inApps/v2/transactions/consumption/"):
		return apiSays(http.StatusAccepted, ""), nil
	case r.URL.Path == "/inApps/v1/notifications/history":
		return apiSays(http.StatusOK, c.pages[r.URL.Query().Get("paginationToken")]), nil
	}
	return apiSays(http.StatusNotFound, ""), nil
}

// here says whether a transaction is of the app and environment that are asked about.
func (c *till) here(r *http.Request, t facts) bool {
	return strings.HasPrefix(r.URL.Host, strings.ToLower(fmt.Sprint(t["environment"]))) && t["bundleId"] == c.askedFor(r)
}

// askedFor is the app that the bearer token names.
func (c *till) askedFor(r *http.Request) string {
	var claims struct{ Bid string }
	if words := strings.Split(r.Header.Get("Authorization"), "."); len(words) == 3 {
		text, err := base64.RawURLEncoding.DecodeString(words[1])
		if err != nil || json.Unmarshal(text, &claims) != nil {
			c.Errorf("the bearer token cannot be read: %v", err)
		}
	}
	return claims.Bid
}

// subscriptions lists how the lines of a customer stand: here, all that there are.
func (c *till) subscriptions(r *http.Request, id string) *http.Response {
	var last []facts
	environment := ""
	for line, renewal := range c.renewals {
		newest := ""
		for other, t := range c.transactions {
			if t["originalTransactionId"] == line && other > newest {
				newest = other
			}
		}
		if !c.here(r, c.transactions[newest]) {
			continue
		}
		environment = fmt.Sprint(c.transactions[newest]["environment"])
		last = append(last, facts{
			"originalTransactionId": line, "status": c.statuses[line], "signedTransactionInfo": c.proof(newest), "signedRenewalInfo": c.signed(renewal),
		})
	}
	if c.renewals[id] == nil {
		return apiSays(http.StatusNotFound, `{"errorCode":4040005}`)
	}
	text, err := json.Marshal(facts{
		"environment": environment, "bundleId": c.askedFor(r), "appAppleId": 1234567890,
		"data": []facts{{"subscriptionGroupIdentifier": "21500001", "lastTransactions": last}},
	})
	if err != nil {
		c.Fatal(err)
	}
	return apiSays(http.StatusOK, string(text))
}

func apiSays(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// requests are those since the last call.
func (c *till) requests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen, c.bodies = nil, nil
	return seen
}

// tillKey is an In-App Purchase key.
var tillKey = sync.OnceValue(func() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
})

// api is an API that asks the till.
func (c *till) api(attempt time.Duration) *apple.API {
	key := tillKey()
	api, err := apple.NewAPI(apple.APIConfig{
		URL: "https://production.example", SandboxURL: "https://sandbox.example", IssuerID: "57246542-96fe-1a63-e053-0824d011072a", KeyID: "2X9R4HXF34",
		PrivateKey: func(context.Context, bool) (string, error) { return key, nil },
		Attempt:    attempt, Clock: c.watch, Log: slog.New(slog.DiscardHandler), Transport: c,
	})
	if err != nil {
		c.Fatal(err)
	}
	return api
}

// world is a book that sells through the App Store alone.
type world struct {
	*till
	*purchase.Book
	tables *memory.Tables
	store  *apple.Store
	log    *bytes.Buffer
}

const worldCatalog = `{"products":[
	{"id":"monthly","kind":"subscription","entitlement":"premium","stores":{"apple":"com.example.premium.monthly"}},
	{"id":"yearly","kind":"subscription","entitlement":"premium","stores":{"apple":"com.example.premium.yearly"}},
	{"id":"basic","kind":"subscription","entitlement":"basic","stores":{"apple":"com.example.basic.yearly"}},
	{"id":"ad_free","kind":"non_consumable","entitlement":"ad_free","stores":{"apple":"com.example.adfree"}},
	{"id":"gems","kind":"consumable","currency":"gems","amount":100,"stores":{"apple":"com.example.gems100"}},
	{"id":"rental","kind":"non_renewing","entitlement":"movie_rental","days":7,"stores":{"apple":"com.example.rental7d"}}],"plans":[]}`

// newWorld opens it, with an API or without.
func newWorld(t testing.TB, able bool, changes ...func(*apple.Config)) *world {
	t.Helper()
	goods, err := catalog.Parse([]byte(worldCatalog))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{till: newTill(t), tables: memory.New(), log: &bytes.Buffer{}}
	c := config(w.a.certs[root])
	c.Clock = w.watch
	for _, change := range changes {
		change(&c)
	}
	verifier, err := apple.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	stores := apple.StoreConfig{Verifier: verifier, ReportUsage: true}
	if able {
		stores.API = w.api(time.Minute)
	}
	w.store = apple.NewStore(stores)
	w.Book = &purchase.Book{
		Tables: w.tables, Catalog: goods, Stores: map[string]purchase.Store{apple.Name: w.store}, Clock: w.watch,
		Log: slog.New(slog.NewTextHandler(w.log, nil)), TestsPerDay: 3,
		Customers: customer.Directory{Tables: w.tables, Identity: customer.Identity{
			Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
		}},
	}
	return w
}

func (w *world) claim(who, evidence string) (purchase.Claimed, error) {
	return w.Claim(w.Context(), table.Default, who, purchase.Proof{Store: apple.Name, Evidence: evidence})
}

// granted claims and must be granted.
func (w *world) granted(who, id string) {
	w.Helper()
	c, err := w.claim(who, w.proof(id))
	if err != nil || c.Order.State != purchase.OrderGranted {
		w.Fatalf("claim of %s by %s: got %s, %v, want granted", id, who, c.Order.State, err)
	}
}

// hear brings a notification a second after it was signed.
func (w *world) hear(evidence string) bool {
	w.Helper()
	w.set(w.Now().Add(time.Second))
	applied, err := w.LookAgain(w.Context(), table.Default, apple.Name, evidence)
	if err != nil {
		w.Fatalf("hearing a notification: got error %v, want none", err)
	}
	return applied
}

func (w *world) customer(who string) *customer.Customer {
	w.Helper()
	c, err := w.Customers.Named(w.Context(), table.Default, who)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// order is what our book has of a transaction, the zero one if nothing.
func (w *world) order(id string) purchase.Order {
	w.Helper()
	for _, item := range w.tables.Items(table.Orders) {
		o, err := purchase.DecodeOrder(item)
		if err != nil {
			w.Fatal(err)
		}
		if o.ID == purchase.OrderID(apple.Name, id) {
			return o
		}
	}
	return purchase.Order{}
}

// record is what our book has of a line, the zero one if nothing.
func (w *world) record(line string) purchase.Record {
	w.Helper()
	item, err := w.tables.Get(w.Context(), table.Key{Table: table.Purchases, Partition: table.Default.Key(apple.Name, line)})
	if err != nil {
		return purchase.Record{}
	}
	var r purchase.Record
	if err := json.Unmarshal(item.Data, &r); err != nil {
		w.Fatal(err)
	}
	return r
}

// told is what a customer was told after an event.
func (w *world) told(who string, after int64) []event.Type {
	w.Helper()
	all, err := customer.Events(w.Context(), w.tables, table.Default, w.customer(who).Ref, after, 1000)
	if err != nil {
		w.Fatal(err)
	}
	var types []event.Type
	for _, e := range all {
		types = append(types, e.Type)
	}
	return types
}

// entitled is what a customer has of an entitlement.
func (w *world) entitled(who, what string) entitlement.Entitlement {
	w.Helper()
	for _, e := range w.customer(who).Entitlements(w.Now()) {
		if e.ID == what {
			return e
		}
	}
	return entitlement.Entitlement{}
}

func (w *world) balance(who string) int64 {
	w.Helper()
	return w.customer(who).Wallets()["gems"].Balance(w.Now())
}

// silence is a transport that never answers.
func silence(r *http.Request, _ string) (*http.Response, error) {
	<-r.Context().Done()
	return nil, errors.New("no answer")
}

// factsText writes facts as JSON.
func factsText(t testing.TB, f facts) string {
	t.Helper()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
