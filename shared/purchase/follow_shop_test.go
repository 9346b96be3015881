package purchase_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/entitlement"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// followed is a store that tells of its sales and can be asked about them later.
type followed struct {
	*store
	claims  map[string]purchase.News // what Look finds, by evidence
	notices map[string]purchase.News // what Hear finds, by evidence
	lines   map[string]purchase.News // what Follow finds, by line
	mute    bool                     // it cannot be asked at all
	silent  error                    // instead of an answer to Follow
	refusal error                    // of a report

	asked    []purchase.Line
	reported []purchase.Usage
}

func (f *followed) Look(ctx context.Context, p purchase.Proof) (purchase.News, error) {
	f.mu.Lock()
	news, ok := f.claims[p.Evidence]
	f.mu.Unlock()
	if ok && f.down == nil {
		return news, nil
	}
	return f.store.Look(ctx, p)
}

func (f *followed) Hear(_ context.Context, evidence string) (purchase.News, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	news, ok := f.notices[evidence]
	if !ok {
		return purchase.News{}, fault.New(fault.Invalid, "invalid_notice", "This was not signed by the store.")
	}
	return news, nil
}

func (f *followed) Follow(_ context.Context, l purchase.Line) (purchase.News, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, l)
	news, ok := f.lines[l.Line]
	switch {
	case f.mute:
		return purchase.News{}, false, nil
	case f.silent != nil:
		return purchase.News{}, true, f.silent
	case !ok:
		return purchase.News{}, true, fault.New(fault.NotFound, "invalid_purchase", "The store does not know this.")
	}
	return news, true, nil
}

func (f *followed) Report(_ context.Context, _ purchase.Sale, u purchase.Usage) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refusal == nil {
		f.reported = append(f.reported, u)
	}
	return f.refusal
}

// reading is one whose evidence is a word by itself.
type reading struct {
	*followed
	signed map[string]purchase.Sale
}

func (r reading) Read(_ context.Context, p purchase.Proof) (purchase.Sale, bool, error) {
	sale, ok := r.signed[p.Evidence]
	return sale, ok, nil
}

// follow makes the shop's App Store one that is followed.
func (s *shop) follow() *followed {
	f := &followed{
		store: s.store, claims: map[string]purchase.News{}, notices: map[string]purchase.News{}, lines: map[string]purchase.News{},
	}
	s.Stores["apple"] = f
	return f
}

func newFollowedShop(t testing.TB) (*shop, *followed) {
	s := newShop(t)
	return s, s.follow()
}

const (
	yearly = "com.example.premium.yearly"
	pro    = "com.example.pro"
)

// groups is a catalog in which a line can change its product and what it opens.
func groups(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Parse([]byte(`{"plans": [], "products": [
		{"id": "monthly", "kind": "subscription", "entitlement": "premium", "stores": {"apple": "` + premium + `"}},
		{"id": "yearly", "kind": "subscription", "entitlement": "premium", "stores": {"apple": "` + yearly + `"}},
		{"id": "pro", "kind": "subscription", "entitlement": "pro", "stores": {"apple": "` + pro + `"}},
		{"id": "ad_free", "kind": "non_consumable", "entitlement": "ad_free", "stores": {"apple": "` + adFree + `"}},
		{"id": "gems_100", "kind": "consumable", "currency": "gems", "amount": 100, "stores": {"apple": "` + gems + `"}}
	]}`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tell sends the book a notice that brings news.
func (s *shop) tell(news purchase.News) (bool, error) {
	f := s.Stores["apple"].(interface{ hang(purchase.News) string })
	return s.LookAgain(s.Context(), s.scope, "apple", f.hang(news))
}

// hang makes evidence of news.
func (f *followed) hang(news purchase.News) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	evidence := fmt.Sprint("notice-", len(f.notices))
	f.notices[evidence] = news
	return evidence
}

// told is a tell that must be taken over.
func (s *shop) told(sales ...purchase.Sale) {
	s.Helper()
	if ok, err := s.tell(purchase.News{Sales: sales}); !ok || err != nil {
		s.Fatalf("notice of %s: got %t, %v, want it applied", sales[0].Order, ok, err)
	}
}

// stands is a told with how the line goes on.
func (s *shop) stands(standing purchase.Standing, sales ...purchase.Sale) {
	s.Helper()
	if ok, err := s.tell(purchase.News{Sales: sales, Standing: standing}); !ok || err != nil {
		s.Fatalf("notice of %s: got %t, %v, want it applied", sales[0].Order, ok, err)
	}
}

// order reads an order of the App Store.
func (s *shop) order(id string) purchase.Order {
	s.Helper()
	item, err := s.tables.Get(s.Context(), table.Key{Table: table.Orders, Partition: s.scope.Key("apple_" + id)})
	if err != nil {
		s.Fatal(err)
	}
	o, err := purchase.DecodeOrder(item)
	if err != nil {
		s.Fatal(err)
	}
	return o
}

// orders are all that there are, without the instants at which we happened to hear.
func (s *shop) orders() []purchase.Order {
	s.Helper()
	var all []purchase.Order
	for _, item := range s.tables.Items(table.Orders) {
		o, err := purchase.DecodeOrder(item)
		if err != nil {
			s.Fatal(err)
		}
		o.GrantedAt, o.RefundedAt = time.Time{}, time.Time{}
		all = append(all, o)
	}
	return all
}

// line reads a line of the App Store, and checks its entry in the index.
func (s *shop) line(name string) purchase.Record {
	s.Helper()
	item, err := s.tables.Get(s.Context(), table.Key{Table: table.Purchases, Partition: s.scope.Key("apple", name)})
	if err != nil {
		s.Fatal(err)
	}
	var r purchase.Record
	if err := json.Unmarshal(item.Data, &r); err != nil || item.Schema != 2 {
		s.Fatalf("line %s: got schema %d, %v, want 2", name, item.Schema, err)
	}
	switch {
	case item.Index == nil && !r.CheckAt.IsZero(), item.Index != nil && !strings.HasPrefix(item.Index.Sort, r.CheckAt.UTC().Format(time.RFC3339)+"#"):
		s.Errorf("line %s: got index entry %v, want one for %v", name, item.Index, r.CheckAt)
	}
	return r
}

func (s *shop) at(when time.Time) {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	s.clock.at = when
}

// source is what a line gives, the zero one if nothing.
func (s *shop) source(who, line string) entitlement.Source {
	s.Helper()
	for _, src := range s.customer(who).Sources() {
		if src.Ref == line {
			return src
		}
	}
	return entitlement.Source{}
}

// renewed is the nth month of a line.
func renewed(line string, n int) purchase.Sale {
	s := sold(fmt.Sprint(line, "-", n), premium)
	s.Line, s.PurchasedAt, s.Until = line, noon.AddDate(0, n, 0), noon.AddDate(0, n+1, 0)
	s.AsOf = s.PurchasedAt.Add(time.Minute)
	s.WillRenew = true
	return s
}

// refunded is a later word about a sale.
func refunded(s purchase.Sale, after time.Duration, returned int) purchase.Sale {
	s.State, s.Returned, s.AsOf, s.WillRenew = purchase.Refunded, returned, s.AsOf.Add(after), false
	return s
}

// later is the same word, said again later.
func later(s purchase.Sale, after time.Duration) purchase.Sale {
	s.AsOf = s.AsOf.Add(after)
	return s
}

// offer is what Look finds for an evidence.
func (f *followed) offer(evidence string, news purchase.News) {
	f.mu.Lock()
	defer f.mu.Unlock()
	news.Sales = slices.Clone(news.Sales)
	f.claims[evidence] = news
}

// hooked is one at which something happens while it is asked.
type hooked struct {
	*followed
	meanwhile func()
}

func (h hooked) Follow(ctx context.Context, l purchase.Line) (purchase.News, bool, error) {
	h.meanwhile()
	return h.followed.Follow(ctx, l)
}
