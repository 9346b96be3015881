package purchase_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// store answers from what was put on its counter, by evidence.
type store struct {
	mu    sync.Mutex
	sales map[string]purchase.Sale
	down  error // instead of any answer
	looks int
}

func (s *store) Look(_ context.Context, p purchase.Proof) (purchase.News, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	if s.down != nil {
		return purchase.News{}, s.down
	}
	sale, ok := s.sales[p.Evidence]
	if !ok {
		return purchase.News{}, fault.New(fault.Invalid, "invalid_purchase", "This was not signed by the store.")
	}
	return purchase.News{Sales: []purchase.Sale{sale}}, nil
}

func (s *store) put(evidence string, sale purchase.Sale) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sales[evidence] = sale
}

// byOrder is a store whose evidence is the order's id, as at Apps-in-Toss.
type byOrder struct{ *store }

func (byOrder) OrderOf(p purchase.Proof) (string, bool) { return p.Evidence, p.Evidence != "" }

type stopped struct {
	mu sync.Mutex
	at time.Time
}

func (c *stopped) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *stopped) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func (c *stopped) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// shop is a book with everything around it.
type shop struct {
	testing.TB
	*purchase.Book
	tables *memory.Tables
	store  *store
	clock  *stopped
	scope  table.Scope
}

var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

const (
	ann = "ann@example.com"
	ben = "ben"
)

var embedded = sync.OnceValues(catalog.Embedded)

func newShop(t testing.TB) *shop {
	t.Helper()
	c, err := embedded()
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{
		TB: t, tables: memory.New(), clock: &stopped{at: noon}, scope: table.Default,
		store: &store{sales: map[string]purchase.Sale{}},
	}
	s.Book = &purchase.Book{
		Tables: s.tables, Catalog: c, Clock: s.clock, TestsPerDay: 3, Log: slog.New(slog.DiscardHandler),
		Stores: map[string]purchase.Store{"apple": s.store, "appsintoss": byOrder{s.store}},
		Customers: customer.Directory{Tables: s.tables, Identity: customer.Identity{
			Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
		}},
	}
	return s
}

const (
	premium = "com.example.premium.monthly"
	adFree  = "com.example.adfree"
	gems    = "com.example.gems100"
	rental  = "com.example.rental7d"
)

func sold(order, sku string) purchase.Sale {
	s := purchase.Sale{
		Store: "apple", Line: order, Order: order, SKU: sku, State: purchase.Paid, PurchasedAt: noon.Add(-time.Minute),
		AsOf: noon.Add(-time.Minute), Quantity: 1, Currency: "KRW", Price: 4900,
	}
	if sku == premium {
		s.Until = noon.AddDate(0, 1, 0)
	}
	return s
}

func (s *shop) claim(who, evidence string) (purchase.Claimed, error) {
	return s.Claim(s.Context(), s.scope, who, purchase.Proof{Store: "apple", Evidence: evidence})
}

func (s *shop) granted(who, evidence string) purchase.Claimed {
	s.Helper()
	c, err := s.claim(who, evidence)
	if err != nil || c.Order.State != purchase.OrderGranted {
		s.Fatalf("claim of %s by %s: got %s, %v, want granted", evidence, who, c.Order.State, err)
	}
	return c
}

func (s *shop) customer(who string) *customer.Customer {
	s.Helper()
	c, err := s.Customers.Named(s.Context(), s.scope, who)
	if err != nil {
		s.Fatal(err)
	}
	return c
}

func (s *shop) allowed(who, what string) bool {
	s.Helper()
	for _, e := range s.customer(who).Entitlements(s.clock.Now()) {
		if e.ID == what {
			return e.Active
		}
	}
	return false
}

func (s *shop) balance(who string) int64 {
	s.Helper()
	return s.customer(who).Wallets()["gems"].Balance(s.clock.Now())
}

// events reads what a customer was told, which has no gaps.
func (s *shop) events(who string) []event.Type {
	s.Helper()
	c := s.customer(who)
	all, err := customer.Events(s.Context(), s.tables, s.scope, c.Ref, 0, 1000)
	if err != nil {
		s.Fatal(err)
	}
	var kinds []event.Type
	for n, e := range all {
		if e.Sequence != int64(n+1) {
			s.Fatalf("event %d of %s: got sequence %d, want no gaps", n+1, who, e.Sequence)
		}
		kinds = append(kinds, e.Type)
	}
	if c.Sequence() != int64(len(all)) {
		s.Errorf("head of %s: got sequence %d, want %d as there are events", who, c.Sequence(), len(all))
	}
	return kinds
}

func (s *shop) empty() {
	s.Helper()
	for _, name := range table.Names {
		if got := len(s.tables.Items(name)); got != 0 {
			s.Errorf("%s: got %d items, want nothing written", name, got)
		}
	}
}

func wantFault(t testing.TB, err, kind error, code string) {
	t.Helper()
	if !errors.Is(err, kind) || fault.Code(err) != code {
		t.Errorf("got error %v, want %v with code %s", err, kind, code)
	}
}

func broken() error {
	return fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
}
