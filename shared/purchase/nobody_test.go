package purchase_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

func TestASaleThatNobodyClaimedIsKeptAsNobodys(t *testing.T) {
	t.Parallel()
	s, _ := newFollowedShop(t)
	sale := sold("1", premium)
	sale.Account = "an-account-of-nobody"
	s.told(sale)
	o, r := s.order("1"), s.line("1")
	if o.State != purchase.OrderUnclaimed || o.Customer != "" || r.Owner != "" || !r.CheckAt.IsZero() {
		t.Errorf("got order %s of %q in a line of %q to be looked at %v, want nobody's, and never", o.State, o.Customer, r.Owner, r.CheckAt)
	}
	if got := len(s.tables.Items(table.Customers)); got != 0 {
		t.Errorf("customers: got %d items, want none", got)
	}
}

func TestTheFirstClaimHasEverythingThatItsLineHolds(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	s.told(renewed("1", 0))
	s.clock.move(40 * 24 * time.Hour)
	s.told(renewed("1", 1))
	s.told(refunded(renewed("1", 2), time.Minute, 0))
	f.offer("proof", purchase.News{Sales: []purchase.Sale{renewed("1", 0)}})
	if got := s.granted(ann, "proof").Order.ID; got != "apple_1-0" {
		t.Errorf("the claim's order: got %s, want the one that was claimed", got)
	}
	me := s.customer(ann).Ref
	for id, want := range map[string]purchase.OrderState{"1-0": purchase.OrderGranted, "1-1": purchase.OrderGranted, "1-2": purchase.OrderRefunded} {
		if o := s.order(id); o.State != want || (o.Customer == me) != (want == purchase.OrderGranted) {
			t.Errorf("order %s: got %s of %q, want %s", id, o.State, o.Customer, want)
		}
	}
	if got := s.source(ann, "1"); got.OrderID != "apple_1-1" || !got.Until.Equal(renewed("1", 1).Until) || got.WillRenew {
		t.Errorf("source: got %+v, want what the second month gives, and no renewal after the third was refunded", got)
	}
	if got := s.events(ann); !slices.Equal(got, []event.Type{event.PurchaseGranted, event.PurchaseRenewed}) {
		t.Errorf("events: got %v, want granted and renewed", got)
	}
	_, err := s.claim(ben, "proof")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	s.granted(ann, "proof")
	if got := len(s.events(ann)); got != 2 {
		t.Errorf("events after the claim came again: got %d, want 2", got)
	}
}

func TestTheFirstClaimHasTwoYearsOfMonths(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	for n := range 24 {
		s.told(renewed("1", n))
	}
	newest := renewed("1", 23)
	s.at(newest.PurchasedAt.Add(time.Hour))
	f.offer("proof", purchase.News{Sales: []purchase.Sale{newest}})
	s.granted(ann, "proof")
	me := s.customer(ann).Ref
	for n := range 24 {
		if o := s.order(fmt.Sprintf("1-%d", n)); o.State != purchase.OrderGranted || o.Customer != me {
			t.Errorf("month %d: got %s of %q, want it granted", n, o.State, o.Customer)
		}
	}
	if got := s.events(ann); len(got) != 24 || got[0] != event.PurchaseGranted || got[23] != event.PurchaseRenewed {
		t.Errorf("events: got %v, want granted and 23 times renewed", got)
	}
	if got := s.line("1"); len(got.Terms) != 4 || got.Terms[0].Order != "apple_1-23" {
		t.Errorf("line: got %d terms from %s, want the last 4", len(got.Terms), got.Terms[0].Order)
	}
}

func TestWhatTheCatalogForgotLongAgoKeepsNobodyFromALine(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	s.told(renamed(renewed("1", 0), "com.example.forgotten"))
	for n := 1; n < 6; n++ {
		s.told(renewed("1", n))
	}
	newest := renewed("1", 5)
	s.at(newest.PurchasedAt.Add(time.Hour))
	f.offer("proof", purchase.News{Sales: []purchase.Sale{newest}})
	s.granted(ann, "proof")
	if got, want := len(s.events(ann)), 5; got != want {
		t.Errorf("events: got %d, want %d", got, want)
	}
	if got := s.order("1-0").State; got != purchase.OrderUnclaimed {
		t.Errorf("the order of what the catalog forgot: got %s, want unclaimed", got)
	}
}

func TestARefundBeforeTheClaimMakesTheClaimInvalid(t *testing.T) {
	t.Parallel()
	for _, sku := range []string{gems, premium, adFree} {
		for _, first := range []bool{true, false} { // the notice of the sale itself
			s, f := newFollowedShop(t)
			if first {
				s.told(sold("1", sku))
			}
			s.told(refunded(sold("1", sku), time.Second, 0))
			f.offer("stale", purchase.News{Sales: []purchase.Sale{sold("1", sku)}})
			for range 2 {
				_, err := s.claim(ann, "stale")
				wantFault(t, err, fault.Invalid, "invalid_purchase")
			}
			if s.customer(ann).Exists() || s.order("1").Customer != "" || s.line("1").Owner != "" {
				t.Errorf("%s: the claim left a trace of its customer", sku)
			}
			// Undone, it is to be had again.
			s.told(later(sold("1", sku), time.Minute))
			if got := s.order("1"); got.State != purchase.OrderUnclaimed || got.Returned != 0 || !got.RefundedAt.IsZero() {
				t.Errorf("%s after the refund was undone: got %s, returned %d, want unclaimed", sku, got.State, got.Returned)
			}
			s.granted(ann, "stale")
			if want := map[bool]int64{true: 100}[sku == gems]; s.balance(ann) != want {
				t.Errorf("%s: got a balance of %d, want %d", sku, s.balance(ann), want)
			}
		}
	}
}

func TestANoticeIsGrantedAtOnceToTheCustomerWhomItsAccountNames(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	ids, err := s.Customers.Identity.StoreIDs(t.Context(), s.scope, ann)
	if err != nil {
		t.Fatal(err)
	}
	sale := sold("1", gems)
	sale.Account = ids.AppAccountToken
	s.told(sale) // ann does not exist yet
	if got := s.order("1"); got.State != purchase.OrderUnclaimed {
		t.Errorf("before its customer exists: got %s, want unclaimed", got.State)
	}
	s.store.put("other", sold("9", adFree))
	s.granted(ann, "other")
	second := sold("2", gems)
	second.Account = ids.AppAccountToken
	s.told(second)
	s.told(second)
	s.told(sale)
	if got := s.balance(ann); got != 200 {
		t.Errorf("balance: got %d, want both notices granted", got)
	}
	f.offer("second", purchase.News{Sales: []purchase.Sale{second}})
	_, err = s.claim(ben, "second")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	before := s.order("2")
	s.clock.move(time.Hour)
	for range 2 {
		if got := s.granted(ann, "second").Order; got != before {
			t.Errorf("claim of what was granted: got %+v, want %+v", got, before)
		}
	}
	if got := s.balance(ann); got != 200 || len(s.events(ann)) != 3 {
		t.Errorf("got a balance of %d and events %v, want 200 and three", got, s.events(ann))
	}
}

// Whose the line is counts for more than what the account says of a later sale.
func TestANoticeOfAnOwnedLineIsItsOwnersWhateverItsAccountSays(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	f.offer("anns", purchase.News{Sales: []purchase.Sale{renewed("1", 0)}})
	s.granted(ann, "anns")
	bens := sold("9", gems)
	bens.Account = "bens-account"
	s.store.put("bens", bens)
	s.granted(ben, "bens")
	next := renewed("1", 1)
	next.Account = "bens-account"
	s.clock.move(32 * 24 * time.Hour)
	s.told(next)
	if o := s.order("1-1"); o.Customer != s.customer(ann).Ref || s.allowed(ben, "premium") || !s.allowed(ann, "premium") {
		t.Errorf("the renewal went to %q, want to the line's owner", o.Customer)
	}
	// And an account that was nobody's is its owner's from then on.
	unknown := renewed("1", 2)
	unknown.Account = "new-account"
	s.told(unknown)
	more := sold("more", gems)
	more.Account = "new-account"
	s.told(more)
	if got := s.balance(ann); got != 100 {
		t.Errorf("balance: got %d, want what came with the account of the line's owner", got)
	}
}

func TestAConsumableIsGrantedOnceWhateverRaces(t *testing.T) {
	t.Parallel()
	again := func(t *testing.T, do func() error) { // as a client or the queue would
		for range 60 {
			if err := do(); !fault.Retryable(err) {
				if err != nil {
					t.Errorf("got %v, want it taken over", err)
				}
				return
			}
		}
		t.Error("out of reach sixty times")
	}
	t.Run("fifty claims and fifty notices", func(t *testing.T) {
		t.Parallel()
		s, f := newFollowedShop(t)
		f.offer("proof", purchase.News{Sales: []purchase.Sale{sold("1", gems)}})
		var group sync.WaitGroup
		for n := range 50 {
			group.Go(func() { again(t, func() error { _, err := s.claim(ann, "proof"); return err }) })
			group.Go(func() {
				again(t, func() error {
					_, err := s.tell(purchase.News{Sales: []purchase.Sale{later(sold("1", gems), time.Duration(n))}})
					return err
				})
			})
		}
		group.Wait()
		if got := s.balance(ann); got != 100 || len(s.events(ann)) != 1 {
			t.Errorf("got a balance of %d and events %v, want 100 and one", got, s.events(ann))
		}
	})
	t.Run("a claim and a notice", func(t *testing.T) {
		t.Parallel()
		for range 100 {
			s, f := newFollowedShop(t)
			s.store.put("before", sold("0", adFree))
			s.granted(ann, "before")
			sale := sold("1", gems)
			ids, err := s.Customers.Identity.StoreIDs(t.Context(), s.scope, ann)
			if err != nil {
				t.Fatal(err)
			}
			sale.Account = ids.AppAccountToken
			f.offer("proof", purchase.News{Sales: []purchase.Sale{sale}})
			var group sync.WaitGroup
			group.Go(func() { again(t, func() error { _, err := s.claim(ann, "proof"); return err }) })
			group.Go(func() {
				again(t, func() error { _, err := s.tell(purchase.News{Sales: []purchase.Sale{sale}}); return err })
			})
			group.Wait()
			if got := s.balance(ann); got != 100 || len(s.events(ann)) != 2 {
				t.Fatalf("got a balance of %d and events %v, want 100 and two", got, s.events(ann))
			}
		}
	})
	t.Run("two customers and a notice", func(t *testing.T) {
		t.Parallel()
		for range 100 {
			s, f := newFollowedShop(t)
			f.offer("proof", purchase.News{Sales: []purchase.Sale{sold("1", gems)}})
			var errs [2]error
			var group sync.WaitGroup
			for n, who := range []string{ann, ben} {
				group.Go(func() { _, errs[n] = s.claim(who, "proof") })
			}
			group.Go(func() {
				again(t, func() error {
					_, err := s.tell(purchase.News{Sales: []purchase.Sale{later(sold("1", gems), 1)}})
					return err
				})
			})
			group.Wait()
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Fatalf("got %v and %v, want one owner", errs[0], errs[1])
			}
			wantFault(t, errors.Join(errs[0], errs[1]), fault.Conflict, "owned_by_another_customer")
			if got := s.balance(ann) + s.balance(ben); got != 100 {
				t.Fatalf("balances: got %d together, want 100", got)
			}
		}
	})
}

func TestANoticeBeyondTheDaysTestsStaysUnclaimed(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	test := func(n int) purchase.Sale {
		sale := sold(fmt.Sprint(n), gems)
		sale.Test, sale.Account = true, "an-account"
		return sale
	}
	f.offer("0", purchase.News{Sales: []purchase.Sale{test(0)}})
	s.granted(ann, "0") // binds the account
	for n := range 4 {
		s.told(test(n))
		s.told(test(n)) // what was granted is no new one
	}
	for n, want := range []purchase.OrderState{purchase.OrderGranted, purchase.OrderGranted, purchase.OrderGranted, purchase.OrderUnclaimed} {
		if got := s.order(fmt.Sprint(n)).State; got != want {
			t.Errorf("test purchase %d: got %s, want %s", n, got, want)
		}
	}
	f.offer("3", purchase.News{Sales: []purchase.Sale{test(3)}})
	_, err := s.claim(ann, "3")
	wantFault(t, err, fault.Denied, "test_purchases_refused")
	if got := s.balance(ann); got != 300 {
		t.Errorf("balance: got %d, want 300", got)
	}
	// Refunds of what was granted are heard on such a day as well, and so is real money.
	s.told(refunded(test(0), time.Second, 0))
	real := sold("real", gems)
	real.Account = "an-account"
	s.told(real)
	if got := s.balance(ann); got != 300 {
		t.Errorf("balance after a refund and a purchase: got %d, want 300", got)
	}
	s.clock.move(24 * time.Hour)
	s.granted(ann, "3")
	if got := s.balance(ann); got != 400 {
		t.Errorf("balance on the next day: got %d, want 400", got)
	}
	// A refunded one takes no place among the day's.
	s.told(refunded(test(5), 0, 0))
	s.told(test(6))
	s.told(test(7))
	if got := s.order("7").State; got != purchase.OrderGranted {
		t.Errorf("the third of the day: got %s, want granted", got)
	}
}

func TestAProductThatTheCatalogForgotIsNobodysLoss(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	full := s.Catalog
	s.Catalog = groups(t)
	rent := sold("1", rental) // not among groups
	f.offer("proof", purchase.News{Sales: []purchase.Sale{rent}})
	_, err := s.claim(ann, "proof")
	wantFault(t, err, fault.Unavailable, "product_not_configured")
	s.empty()
	s.told(rent)
	if got := s.order("1").State; got != purchase.OrderUnclaimed {
		t.Errorf("the notice's: got %s, want unclaimed", got)
	}
	_, err = s.claim(ann, "proof")
	wantFault(t, err, fault.Unavailable, "product_not_configured")

	f.offer("line", purchase.News{Sales: []purchase.Sale{renewed("2", 0)}})
	s.granted(ann, "line")
	forgotten := renewed("2", 1)
	forgotten.SKU = rental
	_, err = s.tell(purchase.News{Sales: []purchase.Sale{forgotten}})
	wantFault(t, err, fault.Unavailable, "product_not_configured")
	if got := s.source(ann, "2").OrderID; got != "apple_2-0" {
		t.Errorf("source: got %s, want what was there", got)
	}

	s.Catalog = full
	s.granted(ann, "proof")
	if got := s.order("1"); got.Entitlement != "movie_rental" || got.Until.IsZero() || !s.allowed(ann, "movie_rental") {
		t.Errorf("once it is configured: got %+v, want the rental granted", got)
	}
	// The catalog may forget it again: what was granted is refunded all the same.
	s.Catalog = groups(t)
	s.told(refunded(rent, time.Second, 0))
	if s.allowed(ann, "movie_rental") {
		t.Error("refunded: want the rental over")
	}
}

// A store's later words of a line are held to the same as its first.
func TestWhatIsNotPaidIsNeverGrantedWhereverItStandsInTheNews(t *testing.T) {
	t.Parallel()
	for _, state := range []purchase.SaleState{purchase.Pending, purchase.Failed, "unheard of"} {
		s, f := newFollowedShop(t)
		second := renewed("1", 1)
		second.State = state
		f.offer("proof", purchase.News{Sales: []purchase.Sale{renewed("1", 0), second}})
		_, err := s.claim(ann, "proof")
		if state == "unheard of" {
			if err == nil || errors.Is(err, fault.Invalid) {
				t.Errorf("a new word: got %v, want a bug", err)
			}
			s.empty()
			continue
		}
		if err != nil {
			t.Errorf("%s: got %v, want the other granted", state, err)
		}
		if got := len(s.tables.Items(table.Orders)); got != 1 || s.line("1").Terms[0].Order != "apple_1-0" {
			t.Errorf("%s: got %d orders, want the paid one alone", state, got)
		}
	}
	// A notice of what is not paid yet is applied, and leaves nothing.
	for _, state := range []purchase.SaleState{purchase.Pending, purchase.Failed} {
		s, _ := newFollowedShop(t)
		sale := renewed("1", 0)
		sale.State = state
		s.told(sale)
		s.empty()
	}
}

func TestNewsOfTwoLinesOrOfOneSaleTwiceAreABugOfTheStore(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	other := renewed("1", 1)
	other.Store = "play"
	for _, second := range []purchase.Sale{renewed("2", 0), renewed("1", 0), other} {
		f.offer("proof", purchase.News{Sales: []purchase.Sale{renewed("1", 0), second}})
		if _, err := s.claim(ann, "proof"); err == nil || errors.Is(err, fault.Invalid) {
			t.Errorf("with %s of %s: got %v, want a bug", second.Order, second.Store, err)
		}
	}
	s.empty()
}

func TestWhatIsNotVirtualCurrencyIsTakenBackWhole(t *testing.T) {
	t.Parallel()
	for sku, what := range map[string]string{premium: "premium", adFree: "ad_free", rental: "movie_rental"} {
		s, f := newFollowedShop(t)
		f.offer("proof", purchase.News{Sales: []purchase.Sale{sold("1", sku)}})
		s.granted(ann, "proof")
		s.told(refunded(sold("1", sku), time.Second, 40_000))
		if o := s.order("1"); o.State != purchase.OrderRefunded || s.allowed(ann, what) {
			t.Errorf("%s, refunded in part: got %s and access %t, want it over", sku, o.State, s.allowed(ann, what))
		}
	}
}

func TestANoticeThatNobodyBelievesChangesNothingAndIsLetGo(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	if ok, err := s.LookAgain(t.Context(), s.scope, "apple", "forged"); ok || err != nil {
		t.Errorf("forged: got %t, %v, want it let go", ok, err)
	}
	if ok, err := s.tell(purchase.News{}); ok || err != nil {
		t.Errorf("about no sale: got %t, %v, want it let go", ok, err)
	}
	f.down = fault.New(fault.Unavailable, "store_unavailable", "The store did not answer.")
	s.scope.Project = "other"
	_, err := s.LookAgain(t.Context(), s.scope, "apple", "any")
	wantFault(t, err, fault.Unavailable, "store_not_configured")
	s.scope = table.Default
	if _, err = s.LookAgain(t.Context(), s.scope, "appsintoss", "any"); err == nil || fault.Retryable(err) {
		t.Errorf("a store that sends no notices: got %v, want a bug", err)
	}
	s.empty()
}

func TestTheSameNameForAnotherPurchaseIsRefused(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	f.offer("proof", purchase.News{Sales: []purchase.Sale{sold("1", premium)}})
	s.granted(ann, "proof")
	before := s.ending("1")
	test, elsewhere := later(sold("1", premium), time.Hour), later(sold("1", premium), time.Hour)
	test.Test, elsewhere.Line = true, "another"
	for _, sale := range []purchase.Sale{test, elsewhere} {
		_, err := s.tell(purchase.News{Sales: []purchase.Sale{sale}})
		wantFault(t, err, fault.Invalid, "invalid_purchase")
	}
	if d := cmp.Diff(before, s.ending("1")); d != "" {
		t.Errorf("it changed our book:\n%s", d)
	}
}
