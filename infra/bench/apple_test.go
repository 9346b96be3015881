package bench_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	simulated "grantline/infra/sim/apple"
	"grantline/shared/apple"
	"grantline/shared/aws/dynamo"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/dbtest/local"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// appStore hands the API's requests to a simulator, and counts them.
type appStore struct {
	*simulated.Simulator

	calls int
}

func (a *appStore) RoundTrip(r *http.Request) (*http.Response, error) {
	a.calls++
	if "https://"+r.URL.Host == apple.APISandboxURL {
		r = r.Clone(r.Context())
		r.URL.Path = "/sandbox" + r.URL.Path
	}
	answer := httptest.NewRecorder()
	a.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// shop is the App Store with everything of ours that has to do with it, on real tables.
type shop struct {
	testing.TB
	now   *movable
	meter *units
	apple *appStore
	store *apple.Store
	book  *purchase.Book
	desk  *notice.Desk
	known *apple.RevocationBook
	api   *apple.API
}

// LookAgain is what the function notices does.
func (s *shop) LookAgain(ctx context.Context, h notice.Hint) (bool, error) {
	return s.book.LookAgain(ctx, h.Scope(), h.Provider, h.Evidence)
}

// nowhere takes no message.
type nowhere struct{}

func (nowhere) Send(context.Context, string, []notice.Hint) (int, error) {
	return 0, errors.New("there is nothing to send")
}

func newShop(t *testing.T) *shop {
	t.Helper()
	// Far from today: DynamoDB Local takes away by its own clock what has expired.
	s := &shop{TB: t, now: &movable{time.Date(2040, 1, 31, 4, 10, 0, 0, time.UTC)}, meter: &units{}}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	client, prefix := local.Open(t)
	s.meter.Tables = dynamo.New(client, prefix, dynamo.WithMeter(s.count))
	s.apple = &appStore{Simulator: simulated.New(simulated.Options{
		Now: s.now.Now, Webhooks: "http://127.0.0.1:9", Base: "http://127.0.0.1:9",
		At: func(string, time.Time, func(context.Context)) {}, // nothing happens of itself
	})}
	t.Cleanup(s.apple.Close)
	mine := s.apple.Credentials()
	appID, err := strconv.ParseInt(mine.AppID, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	roots := []*x509.Certificate{s.apple.Authority().Certificate(simulated.Root)}
	s.known = &apple.RevocationBook{Tables: s.meter, Roots: roots, Clock: s.now, Log: log, HTTP: &http.Client{Transport: s.apple}}
	verifier, err := apple.NewVerifier(apple.Config{
		Roots: roots, BundleIDs: []string{simulated.BundleID}, AppID: appID, Clock: s.now,
		Environments: []apple.Environment{apple.Production, apple.Sandbox}, Revocation: apple.RevocationSoft, Revocations: s.known,
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.api, err = apple.NewAPI(apple.APIConfig{
		URL: apple.APIURL, SandboxURL: apple.APISandboxURL, IssuerID: mine.IssuerID, KeyID: mine.KeyID, Clock: s.now, Log: log,
		PrivateKey: func(context.Context, bool) (string, error) { return string(mine.PrivateKey), nil }, Transport: s.apple,
	}); err != nil {
		t.Fatal(err)
	}
	goods, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	s.store = apple.NewStore(apple.StoreConfig{Verifier: verifier, API: s.api})
	s.book = &purchase.Book{
		Tables: s.meter, Catalog: goods, Stores: map[string]purchase.Store{apple.Name: s.store}, Clock: s.now, Log: log,
		Customers: customer.Directory{Tables: s.meter, Identity: customer.Identity{
			Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
		}},
	}
	s.desk = &notice.Desk{Tables: s.meter, Clock: s.now, Log: log, Look: map[string]notice.Looker{apple.Name: s}}
	return s
}

// count keeps the read units of an index with the others, and counts a query that finds
// nothing as AWS does; see minute.
func (s *shop) count(operation string, of table.Table, read, write, index float64) {
	if operation == "Query" {
		read, index = max(0.5, read+index), 0
	}
	s.meter.count(operation, of, read, write, index)
}

func (s *shop) must(b simulated.Bought, err error) simulated.Bought {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	return b
}

func (s *shop) claim(who, signed string) error {
	_, err := s.book.Claim(s.Context(), table.Default, who, purchase.Proof{Store: apple.Name, Evidence: signed})
	return err
}

// hint is the newest notification, as the function apple-webhook hands it on.
func (s *shop) hint() notice.Hint {
	s.Helper()
	ask := apple.HistoryAsk{Start: s.now.at.Add(-time.Hour), End: s.now.at.Add(time.Minute)}
	p, err := s.api.NotificationHistory(s.Context(), apple.Place{Environment: apple.Production, BundleID: simulated.BundleID}, ask, "")
	if err != nil || len(p.Sent) == 0 {
		s.Fatalf("got %d notifications, %v", len(p.Sent), err)
	}
	body, err := json.Marshal(map[string]string{"signedPayload": p.Sent[len(p.Sent)-1].SignedPayload})
	if err != nil {
		s.Fatal(err)
	}
	h, err := s.store.Verifier.ReadHint(s.Context(), body)
	if err != nil {
		s.Fatal(err)
	}
	h.Provider, h.Project, h.Environment, h.At = apple.Name, table.Default.Project, table.Default.Environment, s.now.at
	return h.Tidy()
}

// costs are counted for one act: units of the tables, and requests to the App Store. In a
// transaction DynamoDB Local counts what is written into an index twice.
type costs struct {
	write, index, read float64
	calls              int
}

func (s *shop) cost(what string, want costs, act func() error) {
	s.Helper()
	s.meter.reset()
	s.apple.calls = 0
	if err := act(); err != nil {
		s.Fatalf("%s: %v", what, err)
	}
	got := costs{s.meter.write, s.meter.index, s.meter.read, s.apple.calls}
	s.Logf("%s: %+v, the largest item has %d bytes", what, got, s.meter.largest)
	if got != want {
		s.Errorf("%s cost %+v, want %+v", what, got, want)
	}
}

func TestWhatTheAppStoreTellsAndIsAskedCostsWhatTheReadmeSays(t *testing.T) {
	s := newShop(t)
	jobs := func() error {
		_, err := s.known.Refresh(t.Context())
		for _, environment := range []string{"production", "sandbox"} {
			_, failed := s.book.Review(t.Context(), table.Scope{Project: table.Default.Project, Environment: environment}, apple.Name, 500)
			err = errors.Join(err, failed)
		}
		missed := &notice.Missed{Tables: s.meter, Queue: nowhere{}, Clock: s.now, Log: slog.New(slog.DiscardHandler)}
		for _, h := range s.store.Histories(slog.New(slog.DiscardHandler)) {
			_, failed := missed.Catch(t.Context(), table.Default, apple.Name, h)
			err = errors.Join(err, failed)
		}
		return err
	}
	s.cost("the first sweep of all", costs{write: 2, read: 10.5, calls: 2}, jobs)
	s.cost("an idle sweep", costs{read: 10.5}, jobs)

	gems := s.must(s.apple.Buy(simulated.Purchase{ProductID: "com.example.gems100"}))
	s.cost("the first claim under a chain of certificates, of a new customer", costs{write: 19, index: 3, read: 2, calls: 1}, func() error { return s.claim("hana", gems.SignedTransaction) })
	gems = s.must(s.apple.Buy(simulated.Purchase{ProductID: "com.example.gems100"}))
	s.cost("the first claim of a customer, gems", costs{write: 16, index: 2, read: 1.5, calls: 1}, func() error { return s.claim("minji", gems.SignedTransaction) })
	gems = s.must(s.apple.Buy(simulated.Purchase{ProductID: "com.example.gems100"}))
	s.cost("more gems", costs{write: 10, read: 2, calls: 1}, func() error { return s.claim("minji", gems.SignedTransaction) })
	month := s.must(s.apple.Subscribe(simulated.Purchase{}))
	s.cost("a subscription", costs{write: 8, index: 2, read: 2, calls: 2}, func() error { return s.claim("minji", month.SignedTransaction) })
	s.cost("the same again", costs{read: 2}, func() error { return s.claim("minji", month.SignedTransaction) })

	s.now.at = s.now.at.Add(time.Hour)
	s.must(s.apple.Renew(simulated.Held{TransactionID: month.TransactionID}))
	renewal := s.hint()
	s.cost("the notice of a renewal", costs{write: 10, index: 4, read: 2, calls: 2}, func() error { return s.desk.Receive(t.Context(), renewal) })
	s.cost("the same notice again", costs{write: 1}, func() error { return s.desk.Receive(t.Context(), renewal) })

	s.now.at = s.now.at.Add(time.Hour)
	if err := s.apple.Refund(simulated.Refund{TransactionID: gems.TransactionID}); err != nil {
		t.Fatal(err)
	}
	refund := s.hint()
	s.cost("the notice of a refund", costs{write: 14, read: 4, calls: 1}, func() error { return s.desk.Receive(t.Context(), refund) })

	s.now.at = s.now.at.Add(70 * 24 * time.Hour)
	s.cost("a sweep with one line to review and two histories to read", costs{write: 9, index: 6, read: 16, calls: 6}, jobs)
}
