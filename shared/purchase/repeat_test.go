package purchase_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// deed is something that happens to the book, and what was there before.
type deed struct {
	before func(s *shop, f *followed)
	act    func(s *shop, f *followed) error
}

func deeds() map[string]deed {
	spend := func(s *shop, left int64) {
		c := s.customer(ann)
		w := c.Wallets()["gems"]
		w.Lots[0].Remaining = left
		c.SetWallet("gems", w, wallet.Entry{})
		writes, err := c.Writes(noon)
		if err == nil {
			err = s.tables.Commit(s.Context(), writes...)
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	claim := func(evidence string) func(*shop, *followed) error {
		return func(s *shop, _ *followed) error { _, err := s.claim(ann, evidence); return err }
	}
	tell := func(news purchase.News) func(*shop, *followed) error {
		return func(s *shop, _ *followed) error { _, err := s.tell(news); return err }
	}
	month := func(s *shop, f *followed) { s.owned(f, "1"); s.clock.move(10 * 24 * time.Hour) }
	hundred := func(s *shop, f *followed) {
		f.offer("gems", of(sold("gems", gems)))
		s.granted(ann, "gems")
		spend(s, 30)
	}
	returned := func(s *shop, f *followed) { hundred(s, f); s.told(refunded(sold("gems", gems), time.Minute, 0)) }
	up := later(renewed("1", 0), time.Hour)
	up.State = purchase.Replaced
	higher := renewed("1", 0)
	higher.Order, higher.SKU, higher.PurchasedAt, higher.AsOf, higher.Until = "higher", pro, noon.Add(time.Hour), up.AsOf, noon.AddDate(1, 0, 0)
	accounted := renewed("2", 0)
	accounted.Account = "an-account"
	return map[string]deed{
		"claim of what nobody had": {
			func(s *shop, f *followed) {
				s.told(renewed("1", 0))
				s.told(renewed("1", 1))
				f.offer("proof", of(renewed("1", 0)))
			},
			claim("proof"),
		},
		"claim of gems that a notice told of": {
			func(s *shop, f *followed) {
				s.told(refunded(sold("gems", gems), time.Minute, 40_000))
				f.offer("proof", of(sold("gems", gems)))
			},
			claim("proof"),
		},
		"claim that binds an account": {func(_ *shop, f *followed) { f.offer("proof", of(accounted)) }, claim("proof")},
		"notice that nobody claimed":  {func(*shop, *followed) {}, tell(of(renewed("1", 0)))},
		"notice that renews":          {month, tell(of(renewed("1", 1)))},
		"notice of grace": {month, tell(purchase.News{Sales: []purchase.Sale{renewed("1", 0)}, Standing: purchase.Standing{
			AsOf: noon.AddDate(0, 1, 0), WillRenew: true, Retrying: true, GraceUntil: noon.AddDate(0, 1, 16),
		}})},
		"refund":                 {month, tell(of(refunded(renewed("1", 0), time.Hour, 0)))},
		"refund of gems spent":   {hundred, tell(of(refunded(sold("gems", gems), time.Minute, 0)))},
		"refund of half":         {hundred, tell(of(refunded(sold("gems", gems), time.Minute, 50_000)))},
		"reversal":               {returned, tell(of(later(sold("gems", gems), time.Hour)))},
		"upgrade":                {month, tell(of(higher, up))},
		"claim of the newer one": {func(s *shop, f *followed) { month(s, f); f.offer("proof", of(higher, up)) }, claim("proof")},
		"review": {
			func(s *shop, f *followed) {
				month(s, f)
				s.at(noon.AddDate(0, 1, 1))
				f.lines["1"] = of(later(renewed("1", 0), 40*24*time.Hour), renewed("1", 1))
			},
			func(s *shop, _ *followed) error {
				next, err := s.Review(s.Context(), s.scope, "apple", 10)
				fail := s.tables.Fail
				s.tables.Fail = nil
				defer func() { s.tables.Fail = fail }()
				if err == nil && s.source(ann, "1").OrderID != "apple_1-1" { // put off
					s.at(next)
					err = fault.New(fault.Unavailable, "again", "Once more.")
				}
				return err
			},
		},
	}
}

// whole is everything that the deeds leave, but for when we heard and look again.
func (s *shop) whole() ending {
	s.Helper()
	e := ending{Balance: s.balance(ann), Debt: s.customer(ann).Wallets()["gems"].Debt, Sources: s.customer(ann).Sources(), Orders: s.orders()}
	if items := s.tables.Items(table.Purchases); len(items) == 1 {
		e.Line = s.line(items[0].Key.Partition[len(s.scope.Key("apple", "")):])
		e.Line.CheckAt = time.Time{}
	}
	return e
}

func prepared(t testing.TB, d deed) (*shop, *followed) {
	s, f := newFollowedShop(t)
	s.Catalog = groups(t)
	d.before(s, f)
	return s, f
}

func TestWhateverOperationFailsARepeatEndsAsIfNothingHad(t *testing.T) {
	t.Parallel()
	for name, d := range deeds() {
		s, f := prepared(t, d)
		if err := d.act(s, f); err != nil {
			t.Fatalf("%s: got %v, want success", name, err)
		}
		want, events := s.whole(), s.events(ann)
		for _, done := range []bool{false, true} {
			for k := 1; ; k++ {
				s, f := prepared(t, d)
				n, write := 0, false
				s.tables.Fail = func(op memory.Op) (bool, error) {
					if n++; n == k {
						write = op.Method == "Commit" // which is looked at again
						return done, broken()
					}
					return true, nil
				}
				err := d.act(s, f)
				s.tables.Fail = nil
				if n < k {
					if k < 3 {
						t.Errorf("%s: made %d operations, want several", name, n)
					}
					break
				}
				if name != "review" && !fault.Retryable(err) && !(write && err == nil) {
					t.Errorf("%s, operation %d failing: got %v, want an outage", name, k, err)
				}
				for try := 0; err != nil && try < 5; try++ {
					err = d.act(s, f)
				}
				if err != nil {
					t.Errorf("%s, operation %d failed (done %t): repeated it gives %v", name, k, done, err)
				}
				if diff := cmp.Diff(want, s.whole()); diff != "" {
					t.Errorf("%s, operation %d failed (done %t): without a failure (-) and with it (+) differ:\n%s", name, k, done, diff)
				}
				if diff := cmp.Diff(events, s.events(ann)); diff != "" {
					t.Errorf("%s, operation %d failed (done %t): events without a failure (-) and with it (+) differ:\n%s", name, k, done, diff)
				}
			}
		}
	}
}

// Another writer is there first, once, at each item that a deed writes.
func TestWhoeverElseWritesMeanwhileIsNotOverwritten(t *testing.T) {
	t.Parallel()
	for name, d := range deeds() {
		s, f := prepared(t, d)
		if err := d.act(s, f); err != nil {
			t.Fatalf("%s: got %v, want success", name, err)
		}
		want := s.whole()
		for k := 0; ; k++ {
			s, f := prepared(t, d)
			most, met := 0, false
			rival := false
			s.tables.Fail = func(op memory.Op) (bool, error) {
				if op.Method != "Commit" || rival || met {
					return false, nil
				}
				var there []table.Item
				rival = true
				for _, w := range op.Writes {
					if item, err := s.tables.Get(s.Context(), w.Item.Key); err == nil {
						there = append(there, item)
					}
				}
				if most = len(there); k < most {
					met = true
					if err := s.tables.Commit(s.Context(), table.Replaced(there[k])); err != nil {
						t.Error(err)
					}
				}
				rival = false
				return false, nil
			}
			err := d.act(s, f)
			s.tables.Fail = nil
			if err != nil {
				t.Errorf("%s, a rival at item %d: got %v, want it begun anew", name, k, err)
			}
			if diff := cmp.Diff(want, s.whole()); diff != "" {
				t.Errorf("%s, a rival at item %d: alone (-) and beside it (+) differ:\n%s", name, k, diff)
			}
			if !met {
				break
			}
		}
	}
}

// Every write that is overtaken means that another one succeeded; but a customer to whom
// that happens without end is told to come again.
func TestABookThatIsAlwaysOvertakenIsBusy(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	sale := s.owned(f, "1")
	rival := false
	s.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method != "Commit" || rival {
			return false, nil
		}
		rival = true
		defer func() { rival = false }()
		item, err := s.tables.Get(s.Context(), table.Key{Table: table.Purchases, Partition: s.scope.Key("apple", "1")})
		if err == nil {
			err = s.tables.Commit(s.Context(), table.Replaced(item))
		}
		return false, err
	}
	_, err := s.tell(of(refunded(sale, time.Hour, 0)))
	wantFault(t, err, fault.Unavailable, "busy")
	s.tables.Fail = nil
	if got := s.order("1-0").State; got != purchase.OrderGranted {
		t.Errorf("order: got %s, want nothing done", got)
	}
}

func TestAReversalGivesBackOnceWhatWasSpentMeanwhile(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	d := deeds()["reversal"]
	s.Catalog = groups(t)
	d.before(s, f)
	if got := s.balance(ann); got != -70 {
		t.Fatalf("after the refund: got a balance of %d, want -70", got)
	}
	for range 3 {
		if err := d.act(s, f); err != nil {
			t.Fatal(err)
		}
		if got := s.balance(ann); got != 30 {
			t.Errorf("after the reversal: got a balance of %d, want 30", got)
		}
	}
	s.told(refunded(sold("gems", gems), time.Minute, 0)) // the refund's notice, late
	if _, err := s.claim(ann, "gems"); err != nil || s.balance(ann) != 30 {
		t.Errorf("after the older words: got %v and a balance of %d, want 30", err, s.balance(ann))
	}
	if got := fmt.Sprint(s.events(ann)); got != "[purchase.granted purchase.refunded purchase.restored]" {
		t.Errorf("events: got %s, want granted, refunded and restored", got)
	}
}
