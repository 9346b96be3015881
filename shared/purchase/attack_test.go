package purchase_test

import (
	"fmt"
	"testing"
	"time"

	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/wallet"
)

// tokenOf is the appAccountToken that is derived from a customer's id.
func (s *shop) tokenOf(who string) string {
	s.Helper()
	ids, err := s.Customers.Identity.StoreIDs(s.Context(), s.scope, who)
	if err != nil {
		s.Fatal(err)
	}
	return ids.AppAccountToken
}

// The company's server may hand out the token of a customer who was never here. What is
// bought with it is that customer's, whoever comes with it first.
func TestNobodyGetsWhatIsBoughtWithTheTokenOfACustomerToBe(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	token := s.tokenOf(ben)
	bait := sold("1", gems)
	bait.Account = token
	f.offer("bait", purchase.News{Sales: []purchase.Sale{bait}})
	_, err := s.claim(ann, "bait")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")

	bens := sold("2", gems)
	bens.Account = token
	s.told(bens) // Apple is faster than ben's app
	if got := s.balance(ann); got != 0 {
		t.Errorf("balance of who used another's token: got %d, want 0", got)
	}
	f.offer("bens", purchase.News{Sales: []purchase.Sale{bens}})
	s.granted(ben, "bens")
	s.granted(ben, "bait")
	if got := s.balance(ben); got != 200 {
		t.Errorf("balance of whom the token names: got %d, want 200", got)
	}
	_, err = s.claim(ann, "bens")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
}

// Even a name that somebody else is kept under, from before, is its customer's own.
func TestACustomersOwnTokenIsItsOwnWhoeverIsKeptUnderIt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	thief := s.customer(ann)
	thief.Bind("apple", s.tokenOf(ben))
	writes, err := thief.Writes(noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.tables.Commit(t.Context(), writes...); err != nil {
		t.Fatal(err)
	}
	sale := sold("1", gems)
	sale.Account = s.tokenOf(ben)
	s.store.put("bens", sale)
	s.granted(ben, "bens")
	if got, err := customer.Bound(t.Context(), s.tables, s.scope, "apple", s.tokenOf(ben)); err != nil || got != s.customer(ben).Ref {
		t.Errorf("whose token: got %s, %v, want its customer's", got, err)
	}
}

// A refund that is heard first, and reversed, is no way around the day's bound.
func TestReversedRefundsOfTestsCountAmongTheDays(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	s.store.put("first", sold("first", adFree))
	s.granted(ann, "first")
	for n := range 9 {
		sale := sold(fmt.Sprint(n), gems)
		sale.Test, sale.Account = true, s.tokenOf(ann)
		s.told(refunded(sale, 0, 0))
		s.told(later(sale, time.Second))
		f.offer(fmt.Sprint(n), purchase.News{Sales: []purchase.Sale{later(sale, time.Second)}})
	}
	if got := s.balance(ann); got != 300 {
		t.Errorf("balance after nine refunds that were reversed: got %d, want 300 of the three that a day may have", got)
	}
	_, err := s.claim(ann, "8")
	wantFault(t, err, fault.Denied, "test_purchases_refused")
}

// Lines of which the sale that was asked about gave way to another are counted as well.
func TestAnUpgradeIsNoWayAroundTheDaysTests(t *testing.T) {
	t.Parallel()
	s, _ := newFollowedShop(t)
	s.store.put("first", sold("first", adFree))
	s.granted(ann, "first")
	granted := 0
	for n := range 9 {
		line := fmt.Sprint("line", n)
		old, is := renewed(line, 0), renewed(line, 1)
		for _, sale := range []*purchase.Sale{&old, &is} {
			sale.Test, sale.Account = true, s.tokenOf(ann)
		}
		is.PurchasedAt, is.Until = old.PurchasedAt.Add(time.Hour), noon.AddDate(0, 1, 0)
		old.State = purchase.Replaced
		s.told(old, is)
		if s.order(line+"-1").State == purchase.OrderGranted {
			granted++
		}
	}
	if granted != 3 {
		t.Errorf("subscriptions without money: got %d granted in a day, want 3", granted)
	}
}

// Who buys, spends, has its money back and that undone, in whole and in parts, over and
// over, ends with what was paid for less what was spent.
func TestRefundsInLoopsMakeNoGems(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	sale := sold("1", gems)
	f.offer("1", purchase.News{Sales: []purchase.Sale{sale}})
	s.granted(ann, "1")
	c := s.customer(ann) // who spent 60
	c.SetWallet("gems", wallet.Wallet{Lots: []wallet.Lot{{OrderID: "apple_1", Kind: wallet.Paid, Granted: 100, Remaining: 40}}}, wallet.Entry{})
	writes, err := c.Writes(noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.tables.Commit(t.Context(), writes...); err != nil {
		t.Fatal(err)
	}
	at := time.Duration(0)
	for _, part := range []int{0, 33_333, 50_001, 99_999, 1, 100_000, 33_333, 0} {
		at += time.Second
		s.told(refunded(sale, at, part))
		s.told(refunded(sale, at, part))
		at += time.Second
		s.told(later(sale, at))
		s.told(refunded(sale, at-time.Second, part)) // old
		if got := s.balance(ann); got != 40 {
			t.Fatalf("after a refund of %d and its reversal: got %d, want 40", part, got)
		}
	}
}
