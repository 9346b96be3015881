package sweep_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/sweep"
	"grantline/shared/table"
)

var start = time.Date(2026, 11, 20, 2, 14, 7, 0, time.UTC)

// stopped is a clock that stands until it is moved.
type stopped struct{ at time.Time }

func (c *stopped) Now() time.Time { return c.at }

func (c *stopped) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// historiesOf are those of a deployment that sells at the App Store alone.
func historiesOf(store *apple.Store) map[string][]notice.History {
	return map[string][]notice.History{apple.Name: store.Histories(slog.New(slog.DiscardHandler))}
}

// done is a job that says when it is to be done again.
func done(next time.Time) sweep.Job {
	return func(context.Context) (time.Time, error) { return next, nil }
}

func TestASweepIdlesUntilTheFirstJobIsDue(t *testing.T) {
	in := func(d time.Duration) time.Time { return start.Add(d) }
	for name, c := range map[string]struct {
		jobs []sweep.Job
		want time.Time
	}{
		"no jobs":              {nil, in(24 * time.Hour)},
		"nothing to come":      {[]sweep.Job{done(time.Time{})}, in(24 * time.Hour)},
		"the first":            {[]sweep.Job{done(in(time.Hour)), done(in(2 * time.Hour)), done(time.Time{})}, in(time.Hour)},
		"the last":             {[]sweep.Job{done(time.Time{}), done(in(2 * time.Hour)), done(in(time.Hour))}, in(time.Hour)},
		"one that is due":      {[]sweep.Job{done(in(time.Hour)), done(start)}, start},
		"one in a week":        {[]sweep.Job{done(in(7 * 24 * time.Hour))}, in(24 * time.Hour)},
		"one that was due":     {[]sweep.Job{done(in(-time.Hour)), done(in(time.Hour))}, in(-time.Hour)},
		"one within the day":   {[]sweep.Job{done(in(24*time.Hour - 1))}, in(24*time.Hour - 1)},
		"several at that time": {[]sweep.Job{done(in(time.Hour)), done(in(time.Hour))}, in(time.Hour)},
	} {
		got, err := sweep.Run(t.Context(), &stopped{start}, c.jobs)
		if err != nil || got.IdleUntil == nil || !got.IdleUntil.Equal(c.want) {
			t.Errorf("%s: got %v, %v, want idle until %v", name, got.IdleUntil, err, c.want)
		}
	}
}

// A job that fails keeps no other from being done, and nobody idles over it.
func TestASweepDoesEveryJobWhateverBecomesOfTheOthers(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	var order []string
	ran := func(name string, err error) sweep.Job {
		return func(context.Context) (time.Time, error) {
			order = append(order, name)
			return start.Add(time.Hour), err
		}
	}
	got, err := sweep.Run(t.Context(), &stopped{start}, []sweep.Job{ran("a", nil), ran("b", first), ran("c", nil), ran("d", second), ran("e", nil)})
	if !errors.Is(err, first) || !errors.Is(err, second) {
		t.Errorf("got error %v, want both", err)
	}
	if got.IdleUntil != nil {
		t.Errorf("got idle until %v beside a failure, want nobody to rely on it", got.IdleUntil)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "e"}, order); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

// books are a gateway's, whose statements are empty.
type books struct {
	billing.Gateway
	name string
	all  *[]string // whose days were asked for, in turn
	down bool
}

func (g books) Statement(_ context.Context, from, _ time.Time, _ string) ([]billing.Entry, string, error) {
	*g.all = append(*g.all, g.name+" "+from.Add(time.Hour).Format(time.DateOnly))
	if g.down {
		return nil, "", fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.")
	}
	return nil, "", nil
}

func newBiller(c *stopped, asked *[]string, down ...string) *billing.Biller {
	b := &billing.Biller{Tables: memory.New(), Clock: c, Log: slog.New(slog.DiscardHandler), Shards: 1, Gateways: billing.Gateways{}}
	for _, scope := range []table.Scope{table.Default, {Project: "default", Environment: "sandbox"}} {
		for _, name := range []string{"toss", "dodo"} {
			is := scope.Environment + " " + name
			b.Gateways[billing.GatewayName{Scope: scope, Gateway: name}] = books{name: is, all: asked, down: slices.Contains(down, is)}
		}
	}
	return b
}

// What was missed while nobody swept is made up for, one account after another.
func TestEveryDayThatIsOverIsCompared(t *testing.T) {
	var asked []string
	c := &stopped{start}
	b := newBiller(c, &asked)
	if next, err := sweep.Compare(t.Context(), b); err != nil || !next.Equal(time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)) || len(asked) != 0 {
		t.Errorf("before yesterday's books can be had: got next %v, %v, and %v, want nothing asked before 03:00", next, err, asked)
	}
	c.at = start.Add(time.Hour)
	if _, err := sweep.Compare(t.Context(), b); err != nil || len(asked) != 4 {
		t.Fatalf("got %v and %v, want yesterday of four accounts", err, asked)
	}
	asked, c.at = nil, start.AddDate(0, 0, 3)
	next, err := sweep.Compare(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, account := range []string{"production dodo", "production toss", "sandbox dodo", "sandbox toss"} {
		for _, day := range []string{"2026-11-20", "2026-11-21"} { // at 02:14 yesterday's is not to be had yet
			want = append(want, account+" "+day)
		}
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
	if ready := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC); !next.Equal(ready) {
		t.Errorf("next: got %v, want %v", next, ready)
	}
}

func TestAnAccountThatCannotBeComparedHoldsUpNoOther(t *testing.T) {
	var asked []string
	c := &stopped{start.Add(time.Hour)}
	b := newBiller(c, &asked, "production dodo", "sandbox dodo")
	next, err := sweep.Compare(t.Context(), b)
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want fault.Unavailable", err)
	}
	for _, account := range []string{"production toss 2026-11-19", "sandbox toss 2026-11-19"} {
		if !slices.Contains(asked, account) {
			t.Errorf("days: got %v, want %s among them", asked, account)
		}
	}
	if ready := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC); !next.Equal(ready) {
		t.Errorf("next: got %v, want %v, when those that answered are ready", next, ready)
	}
	if next, err := sweep.Compare(t.Context(), &billing.Biller{Clock: c}); err != nil || !next.IsZero() {
		t.Errorf("without a gateway: got %v, %v, want nothing to do", next, err)
	}
}

// shop is a store whose subscriptions go on for another month whenever it is asked.
type shop struct {
	clock *stopped
	asked []string
}

func (s *shop) sale(line string) purchase.Sale {
	return purchase.Sale{
		Store: apple.Name, Line: line, Order: line, SKU: "com.example.premium.monthly", State: purchase.Paid, PurchasedAt: start, Quantity: 1,
		AsOf: s.clock.at, Until: s.clock.at.AddDate(0, 1, 0), WillRenew: true,
	}
}

func (s *shop) Look(_ context.Context, p purchase.Proof) (purchase.News, error) {
	return purchase.News{Sales: []purchase.Sale{s.sale(p.Evidence)}}, nil
}

func (s *shop) Hear(context.Context, string) (purchase.News, error) { return purchase.News{}, nil }

func (s *shop) Follow(_ context.Context, l purchase.Line) (purchase.News, bool, error) {
	s.asked = append(s.asked, l.Line)
	return purchase.News{Sales: []purchase.Sale{s.sale(l.Line)}}, true, nil
}

func (s *shop) Report(context.Context, purchase.Sale, purchase.Usage) error { return nil }

// server answers the App Store Server API: nothing failed to arrive.
type server struct{ asked []string }

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, r.URL.Host+r.URL.Path)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"notificationHistory":[],"hasMore":false}`)),
	}, nil
}

// nowhere is a queue that takes nothing.
type nowhere struct{}

func (nowhere) Send(context.Context, string, []notice.Hint) (int, error) { return 0, nil }

func newStore(t *testing.T, c *stopped, answers http.RoundTripper) *apple.Store {
	t.Helper()
	roots, err := apple.Roots()
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := apple.NewVerifier(apple.Config{
		Roots: roots, BundleIDs: []string{"com.example.app", "com.example.second"}, AppID: 1234567890, Clock: c, Revocation: apple.RevocationSoft,
		Environments: []apple.Environment{apple.Production, apple.Sandbox}, Revocations: &apple.RevocationBook{Tables: memory.New(), Roots: roots, Clock: c},
	})
	if err != nil {
		t.Fatal(err)
	}
	if answers == nil {
		return apple.NewStore(apple.StoreConfig{Verifier: verifier})
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	api, err := apple.NewAPI(apple.APIConfig{
		URL: "https://production.example", SandboxURL: "https://sandbox.example", IssuerID: "57246542-96fe-1a63-e053-0824d011072a", KeyID: "2X9R4HXF34",
		PrivateKey: func(context.Context, bool) (string, error) { return text, nil }, Clock: c, Log: slog.New(slog.DiscardHandler), Transport: answers,
	})
	if err != nil {
		t.Fatal(err)
	}
	return apple.NewStore(apple.StoreConfig{Verifier: verifier, API: api})
}

func newBook(t *testing.T, tables *memory.Tables, c *stopped, s purchase.Store) *purchase.Book {
	t.Helper()
	goods, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return &purchase.Book{
		Tables: tables, Catalog: goods, Clock: c, Log: slog.New(slog.DiscardHandler), Stores: map[string]purchase.Store{apple.Name: s},
		Customers: customer.Directory{Tables: tables, Identity: customer.Identity{
			Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
		}},
	}
}

// Lines of both environments are asked about in one sweep, and what could not be delivered
// about each app in either is fetched.
func TestBothEnvironmentsAreRepaired(t *testing.T) {
	c, tables, answers := &stopped{start}, memory.New(), &server{}
	s := &shop{clock: c}
	book := newBook(t, tables, c, s)
	for _, environment := range []string{"production", "sandbox"} {
		scope := table.Scope{Project: "default", Environment: environment}
		if _, err := book.Claim(t.Context(), scope, "minji", purchase.Proof{Store: apple.Name, Evidence: environment}); err != nil {
			t.Fatal(err)
		}
	}
	missed := &notice.Missed{Tables: tables, Queue: nowhere{}, Clock: c, Log: slog.New(slog.DiscardHandler)}
	jobs := sweep.Repairs(book, historiesOf(newStore(t, c, answers)), missed)

	c.at = start.AddDate(0, 1, 0).Add(time.Hour)
	got, err := sweep.Run(t.Context(), c, jobs)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"production", "sandbox"}, s.asked); diff != "" {
		t.Errorf("lines asked about (-want +got):\n%s", diff)
	}
	const path = "/inApps/v1/notifications/history"
	if diff := cmp.Diff([]string{"production.example" + path, "production.example" + path, "sandbox.example" + path, "sandbox.example" + path}, answers.asked); diff != "" {
		t.Errorf("histories asked for (-want +got):\n%s", diff)
	}
	// The histories are read again each night; until then nothing is to do.
	if night := time.Date(2026, 12, 21, 3, 0, 0, 0, time.UTC); got.IdleUntil == nil || !got.IdleUntil.Equal(night) {
		t.Errorf("got idle until %v, want %v", got.IdleUntil, night)
	}
	for _, history := range []string{"Production#com.example.app", "Production#com.example.second", "Sandbox#com.example.app", "Sandbox#com.example.second"} {
		key := table.Key{Table: table.Notices, Partition: table.Default.Key("progress", "apple#"+history)}
		if _, err := tables.Get(t.Context(), key); err != nil {
			t.Errorf("progress of %s: got %v, want it kept in the default scope", history, err)
		}
	}
	// Again at once, nobody is asked.
	s.asked, answers.asked = nil, nil
	if _, err := sweep.Run(t.Context(), c, jobs); err != nil || len(s.asked)+len(answers.asked) != 0 {
		t.Errorf("again: got %v, and %v and %v asked, want nobody", err, s.asked, answers.asked)
	}
}

func TestWithoutAnAPIThereIsNothingToRepair(t *testing.T) {
	c := &stopped{start}
	if jobs := sweep.Repairs(newBook(t, memory.New(), c, &shop{clock: c}), nil, &notice.Missed{}); len(jobs) != 0 {
		t.Errorf("got %d jobs, want none, for there is nobody to ask", len(jobs))
	}
}

// What one run cannot do it leaves, and is due at once.
func TestALineTooManyForOneSweepIsLeftToTheNext(t *testing.T) {
	c, tables := &stopped{start}, memory.New()
	s := &shop{clock: c}
	book := newBook(t, tables, c, s)
	const most = sweep.MostInARun
	for n := range most + 1 {
		name := "line-" + strconv.Itoa(n)
		if _, err := book.Claim(t.Context(), table.Default, name, purchase.Proof{Store: apple.Name, Evidence: name}); err != nil {
			t.Fatal(err)
		}
	}
	missed := &notice.Missed{Tables: tables, Queue: nowhere{}, Clock: c, Log: slog.New(slog.DiscardHandler)}
	jobs := sweep.Repairs(book, historiesOf(newStore(t, c, &server{})), missed)
	c.at = start.AddDate(0, 1, 1)
	for sweeps, want := range []int{most, most + 1, most + 1} {
		got, err := sweep.Run(t.Context(), c, jobs)
		if err != nil || got.IdleUntil == nil {
			t.Fatal(err)
		}
		if len(s.asked) != want {
			t.Errorf("after sweep %d: got %d lines asked about, want %d", sweeps+1, len(s.asked), want)
		}
		if more := !got.IdleUntil.After(c.at); more != (sweeps == 0) {
			t.Errorf("sweep %d at %v: got idle until %v, want it due at once only while a line is left", sweeps+1, c.at, got.IdleUntil)
		}
	}
	slices.Sort(s.asked)
	if got := len(slices.Compact(s.asked)); got != most+1 {
		t.Errorf("got %d lines asked about, want each of %d", got, most+1)
	}
}
