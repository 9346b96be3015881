package bench_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	simulated "grantline/infra/sim/play"
	"grantline/shared/aws/dynamo"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/dbtest/local"
	"grantline/shared/notice"
	"grantline/shared/play"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// playStore hands the API's requests to a simulator, and counts them.
type playStore struct {
	*simulated.Simulator

	calls int
}

func (p *playStore) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/token") {
		p.calls++
	}
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody // which a server always has
	}
	answer := httptest.NewRecorder()
	p.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// playShop is Google Play with everything of ours that has to do with it, on real tables.
type playShop struct {
	testing.TB
	now   *movable
	meter *units
	sim   *playStore
	book  *purchase.Book
	desk  *notice.Desk
}

// LookAgain is what the function notices does.
func (s *playShop) LookAgain(ctx context.Context, h notice.Hint) (bool, error) {
	return s.book.LookAgain(ctx, h.Scope(), h.Provider, h.Evidence)
}

func newPlayShop(t *testing.T) *playShop {
	t.Helper()
	// Far from today: DynamoDB Local takes away by its own clock what has expired.
	s := &playShop{TB: t, now: &movable{time.Date(2040, 1, 31, 4, 10, 0, 0, time.UTC)}, meter: &units{}}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	client, prefix := local.Open(t)
	s.meter.Tables = dynamo.New(client, prefix, dynamo.WithMeter(func(operation string, of table.Table, read, write, index float64) {
		if operation == "Query" {
			read, index = max(0.5, read+index), 0 // as AWS counts; see minute
		}
		s.meter.count(operation, of, read, write, index)
	}))
	s.sim = &playStore{Simulator: simulated.New(simulated.Options{
		Now: s.now.Now, Base: "https://oauth2.googleapis.com",
		At: func(string, time.Time, func(context.Context)) {}, // nothing happens of itself
	})}
	t.Cleanup(s.sim.Close)
	api, err := play.NewAPI(play.APIConfig{
		URL: play.APIURL, Clock: s.now, Log: log, Transport: s.sim,
		Credentials: func(context.Context, bool) (string, error) { return string(s.sim.Credentials()), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	goods, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	store := play.NewStore(play.StoreConfig{API: api, Packages: []string{simulated.Package}, Catalog: goods, Clock: s.now, Log: log})
	s.book = &purchase.Book{
		Tables: s.meter, Catalog: goods, Stores: map[string]purchase.Store{play.Name: store}, Clock: s.now, Log: log,
		Customers: customer.Directory{Tables: s.meter, Identity: customer.Identity{
			Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
		}},
	}
	s.desk = &notice.Desk{Tables: s.meter, Clock: s.now, Log: log, Look: map[string]notice.Looker{play.Name: s}}
	return s
}

func (s *playShop) buy(product string) simulated.Bought {
	s.Helper()
	b, err := s.sim.Buy(simulated.Purchase{ProductID: product})
	if err != nil {
		s.Fatal(err)
	}
	return b
}

func (s *playShop) claim(b simulated.Bought) func() error {
	return func() error {
		_, err := s.book.Claim(s.Context(), table.Default, "minji", purchase.Proof{Store: play.Name, Evidence: b.PurchaseToken})
		return err
	}
}

// told is a notification about a subscription, as the function play-webhook hands it on.
func (s *playShop) told(id string, number int, b simulated.Bought) func() error {
	n := play.Notification{Package: simulated.Package, At: s.now.at, Kind: play.KindSubscription, Type: number, Token: b.PurchaseToken}
	h := notice.Hint{
		Provider: play.Name, Project: table.Default.Project, Environment: table.Default.Environment, ID: id, Type: n.Name(), At: s.now.at,
		Signed: true, Line: play.TokenID(b.PurchaseToken), Evidence: n.Evidence(),
	}
	return func() error { return s.desk.Receive(s.Context(), h.Tidy()) }
}

func (s *playShop) cost(what string, want costs, act func() error) {
	s.Helper()
	s.meter.reset()
	s.sim.calls = 0
	if err := act(); err != nil {
		s.Fatalf("%s: %v", what, err)
	}
	got := costs{s.meter.write, s.meter.index, s.meter.read, s.sim.calls}
	s.Logf("%s: %+v, the largest item has %d bytes", what, got, s.meter.largest)
	if got != want {
		s.Errorf("%s cost %+v, want %+v", what, got, want)
	}
}

// A claim asks for the purchase and its order and acknowledges it; where the app does not say
// what it bought, a subscription is looked for among products first.
func TestWhatGooglePlayTellsAndIsAskedCostsWhatTheReadmeSays(t *testing.T) {
	s := newPlayShop(t)
	review := func() error {
		_, err := s.book.Review(t.Context(), table.Default, play.Name, 500)
		return err
	}
	s.cost("an idle review", costs{read: 4}, review)
	s.cost("the first claim of a customer, gems", costs{write: 17, index: 6, read: 2.5, calls: 3}, s.claim(s.buy("gems_100")))
	s.cost("more gems", costs{write: 11, index: 4, read: 3, calls: 3}, s.claim(s.buy("gems_100")))
	month := s.buy("premium:monthly")
	s.cost("a subscription", costs{write: 12, index: 4, read: 3, calls: 4}, s.claim(month))
	s.cost("the same again", costs{read: 3, calls: 3}, s.claim(month))

	s.now.at = s.now.at.AddDate(0, 0, 20)
	if err := s.sim.Renew(simulated.Held{PurchaseToken: month.PurchaseToken}); err != nil {
		t.Fatal(err)
	}
	renewal := s.told("renewed", play.SubscriptionRenewed, month)
	s.cost("the notice of a renewal", costs{write: 12, index: 4, read: 2, calls: 2}, renewal)
	s.cost("the same notice again", costs{write: 1}, renewal)
	year, err := s.sim.Replace(simulated.Change{PurchaseToken: month.PurchaseToken, ProductID: "premium:yearly"})
	if err != nil {
		t.Fatal(err)
	}
	s.cost("an upgrade, claimed", costs{write: 21, index: 6, read: 7, calls: 4}, s.claim(year))
	s.now.at = s.now.at.AddDate(0, 0, 14)
	s.cost("a review of three lines", costs{write: 14, index: 12, read: 24, calls: 6}, review)
}
