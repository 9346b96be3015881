package purchase_test

import (
	"slices"
	"testing"
	"time"

	"grantline/shared/entitlement"
	"grantline/shared/purchase"
)

func TestOfTwoWordsOfOneInstantTheOneThatTakesAwayCounts(t *testing.T) {
	t.Parallel()
	paid := renewed("1", 0)
	replaced := paid
	replaced.State = purchase.Replaced
	returned := refunded(paid, 0, 0)
	for name, c := range map[string]struct{ less, more purchase.Sale }{
		"paid and replaced":     {paid, replaced},
		"paid and refunded":     {paid, returned},
		"replaced and refunded": {replaced, returned},
	} {
		for _, words := range [][]purchase.Sale{{c.less, c.more}, {c.more, c.less}, {c.more, c.less, c.more}} {
			s, f := newFollowedShop(t)
			f.offer("before", of(later(paid, -time.Hour)))
			s.granted(ann, "before")
			for _, w := range words {
				s.told(w)
			}
			o := s.order("1-0")
			if o.Replaced != (c.more.State == purchase.Replaced) || (o.State == purchase.OrderRefunded) != (c.more.State == purchase.Refunded) {
				t.Errorf("%s: got %s, replaced %t, want it %s", name, o.State, o.Replaced, c.more.State)
			}
		}
	}
}

func TestAnOlderWordChangesNothing(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	sale := s.owned(f, "1")
	for _, old := range []purchase.Sale{
		refunded(sale, -time.Second, 0),
		func() purchase.Sale { o := later(sale, -time.Second); o.State = purchase.Replaced; return o }(),
		func() purchase.Sale { o := later(sale, -time.Second); o.Until = o.Until.AddDate(1, 0, 0); return o }(),
	} {
		before := s.ending("1")
		s.told(old)
		if after := s.ending("1"); after.Orders[0] != before.Orders[0] || after.Sources[0] != before.Sources[0] {
			t.Errorf("%s of before: got %+v, want %+v", old.State, after.Orders[0], before.Orders[0])
		}
	}
}

// A store that does not say when a subscription ends does not make it endless by saying so
// again.
func TestAWordWithoutAnEndLeavesTheEndThatIsKnown(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	endless := sold("1", premium)
	endless.Until = time.Time{}
	f.offer("1", of(endless))
	s.granted(ann, "1")
	s.told(later(endless, time.Hour))
	if got, want := s.order("1").Until, noon.Add(purchase.ReviewWithin); !got.Equal(want) || !s.source(ann, "1").Until.Equal(want) {
		t.Errorf("got %v and a source until %v, want %v", got, s.source(ann, "1").Until, want)
	}
	if got := s.line("1"); !got.CheckAt.IsZero() || got.Terms[0].Renewing {
		t.Errorf("line: got %+v, want it not to be looked at, for the store says no end", got)
	}
}

func TestARefundSaidAgainIsOfWhenItWasFirstHeard(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	sale := s.owned(f, "1")
	s.told(refunded(sale, time.Hour, 0))
	first := s.order("1-0").RefundedAt
	s.clock.move(time.Hour)
	s.told(refunded(sale, 2*time.Hour, 0))
	if got := s.order("1-0"); !first.Equal(noon) || !got.RefundedAt.Equal(first) || len(s.events(ann)) != 2 {
		t.Errorf("got refunded at %v and events %v, want %v and one refund", got.RefundedAt, s.events(ann), noon)
	}
}

// The store tells of an upgrade by what was bought. What it replaced may reach further,
// and nobody says of it that it gave way.
func TestALaterTermTakesThePlaceOfOneThatReachesFurther(t *testing.T) {
	t.Parallel()
	long := renewed("1", 0)
	long.SKU, long.Until = yearly, noon.AddDate(1, 0, 0)
	short := renewed("1", 1)
	for name, c := range map[string]struct {
		change func(*purchase.Sale)
		counts string
	}{
		"in the midst of it":                {func(*purchase.Sale) {}, "apple_1-1"},
		"taken back":                        {func(s *purchase.Sale) { *s = refunded(*s, time.Hour, 0) }, "apple_1-1"},
		"bought at the same instant":        {func(s *purchase.Sale) { s.PurchasedAt = long.PurchasedAt }, "apple_1-0"},
		"bought and ending with it":         {func(s *purchase.Sale) { s.PurchasedAt, s.Until = long.PurchasedAt, long.Until }, "apple_1-1"},
		"earlier":                           {func(s *purchase.Sale) { s.PurchasedAt = long.PurchasedAt.Add(-time.Second) }, "apple_1-0"},
		"within the last day, not paid any": {func(s *purchase.Sale) { s.PurchasedAt = long.Until.Add(-25 * time.Hour); *s = refunded(*s, 0, 0) }, "apple_1-0"},
		"a moment before, not paid any": {func(s *purchase.Sale) {
			s.PurchasedAt = long.Until.Add(-25*time.Hour - time.Second)
			*s = refunded(*s, 0, 0)
		}, "apple_1-1"},
		"without an end": {func(s *purchase.Sale) { s.Until = time.Time{}; *s = refunded(*s, 0, 0) }, "apple_1-0"},
	} {
		next := short
		c.change(&next)
		for _, turn := range [][]purchase.Sale{{long, next}, {next, long}} {
			s, f := newFollowedShop(t)
			s.Catalog = groups(t)
			f.offer("mine", of(sold("x", gems)))
			s.granted(ann, "mine")
			ids, err := s.Customers.Identity.StoreIDs(t.Context(), s.scope, ann)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range turn {
				w.Account = ids.AppAccountToken
				s.told(w)
			}
			if got := s.source(ann, "1"); got.OrderID != c.counts {
				t.Errorf("%s: got %s, %s, want %s to count", name, got.OrderID, got.State, c.counts)
			}
		}
	}
}

func TestWithoutAStandingTheNewestSaleSaysWhetherItRenews(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	s.owned(f, "1")
	next := renewed("1", 1)
	next.WillRenew = false
	s.told(next)
	if s.source(ann, "1").WillRenew {
		t.Error("got that it will renew, want what the newest sale says")
	}
	s.told(later(renewed("1", 0), 60*24*time.Hour)) // an older sale, by a newer word
	if got := s.source(ann, "1"); !got.WillRenew || got.OrderID != "apple_1-1" {
		t.Errorf("got %+v, want the second month, to renew", got)
	}
	s.stands(purchase.Standing{AsOf: noon.AddDate(0, 1, 1)}, next)
	if s.source(ann, "1").WillRenew {
		t.Error("got that it will renew, want what the standing says")
	}
	s.stands(purchase.Standing{AsOf: noon.AddDate(0, 1, 1), WillRenew: true}, next)
	s.stands(purchase.Standing{AsOf: noon.AddDate(0, 1, 0), WillRenew: true}, next)
	if s.source(ann, "1").WillRenew {
		t.Error("got that it will renew, want the newest standing to count")
	}
	if got := s.source(ann, "1").State; got != entitlement.Active {
		t.Errorf("got %s, want active", got)
	}
	undated := renewed("2", 0)
	undated.PurchasedAt = time.Time{}
	f.offer("undated", of(undated))
	s.granted(ann, "undated")
	if !s.source(ann, "2").WillRenew {
		t.Error("got that it will not renew, want what the sale says, for there is no standing")
	}
	// One of the very instant of the purchase is about it, one from before is not.
	third := renewed("1", 2)
	for at, want := range map[time.Duration]bool{-1: true, 0: false} {
		s, f := newFollowedShop(t)
		s.owned(f, "1")
		s.stands(purchase.Standing{AsOf: third.PurchasedAt.Add(at)}, third)
		if got := s.source(ann, "1").WillRenew; got != want {
			t.Errorf("a standing %v after the purchase: got will renew %t, want %t", at, got, want)
		}
	}
}

func TestALineOfNobodyKeepsTwoYearsOfMonths(t *testing.T) {
	t.Parallel()
	s, _ := newFollowedShop(t)
	for n := range 30 {
		s.told(renewed("1", (n*7)%30))
	}
	terms := s.line("1").Terms
	if got, first, last := len(terms), terms[0].Order, terms[len(terms)-1].Order; got != 24 || first != "apple_1-29" || last != "apple_1-6" {
		t.Errorf("got %d terms from %s to %s, want the last 24 of 30", got, first, last)
	}
}

func TestALineKeepsTheLatestTerms(t *testing.T) {
	t.Parallel()
	for _, turn := range [][]int{{0, 1, 2, 3, 4, 5}, {5, 4, 3, 2, 1, 0}, {1, 0, 5, 2, 4, 3}} {
		s, f := newFollowedShop(t)
		s.Catalog = groups(t)
		for i, n := range turn {
			sale := renewed("1", n)
			if n < 2 {
				sale.SKU, sale.Until = yearly, sale.PurchasedAt.AddDate(2, 0, 0)
			}
			if i == 0 {
				f.offer("first", of(sale))
				s.granted(ann, "first")
			}
			s.told(sale)
		}
		var got []string
		for _, term := range s.line("1").Terms {
			got = append(got, term.Order)
		}
		if want := []string{"apple_1-5", "apple_1-4", "apple_1-3", "apple_1-2"}; !slices.Equal(got, want) {
			t.Errorf("heard as %v: got terms %v, want %v", turn, got, want)
		}
	}
}

// Of two standings of one instant, heard in either order, the one that promises less counts.
func TestOfTwoStandingsOfOneInstantTheLesserCounts(t *testing.T) {
	t.Parallel()
	at := noon.AddDate(0, 0, 1)
	on := purchase.Standing{AsOf: at, WillRenew: true}
	retrying := purchase.Standing{AsOf: at, WillRenew: true, Retrying: true}
	grace := purchase.Standing{AsOf: at, WillRenew: true, Retrying: true, GraceUntil: noon.AddDate(0, 2, 0)}
	for name, c := range map[string]struct{ counts, not purchase.Standing }{
		"one that does not renew":     {purchase.Standing{AsOf: at}, on},
		"one that is retried":         {retrying, on},
		"the shorter grace":           {retrying, grace},
		"the one of the greater name": {purchase.Standing{AsOf: at, WillRenew: true, Next: yearly}, on},
	} {
		for _, both := range [][]purchase.Standing{{c.counts, c.not}, {c.not, c.counts}} {
			s, f := newFollowedShop(t)
			s.owned(f, "1")
			sale := sold("1", premium)
			for n, standing := range both {
				s.stands(standing, later(sale, time.Duration(n)*time.Second))
			}
			if got := s.line("1").Standing; got != c.counts {
				t.Errorf("%s: got %+v, want %+v", name, got, c.counts)
			}
		}
	}
}

// What the catalog no longer has, and another took the place of, keeps nobody from that.
func TestAReplacedSaleThatTheCatalogForgotBlocksNothing(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	old := renamed(renewed("line", 0), "com.example.forgotten")
	old.State = purchase.Replaced
	s.told(old)
	f.offer("new", of(renewed("line", 1)))
	s.granted(ann, "new")
	if got := s.order("line-0").State; got != purchase.OrderUnclaimed {
		t.Errorf("the forgotten one: got %s, want it left unclaimed", got)
	}
}
