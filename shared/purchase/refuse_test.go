package purchase_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/customer"

	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

func TestWhatIsNotPaidWritesNothing(t *testing.T) {
	t.Parallel()
	sale := func(change func(*purchase.Sale)) purchase.Sale {
		s := sold("1", premium)
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		sale purchase.Sale
		kind error
		code string
	}{
		"failed":          {sale(func(s *purchase.Sale) { s.State = purchase.Failed }), fault.Invalid, "invalid_purchase"},
		"refunded":        {sale(func(s *purchase.Sale) { s.State = purchase.Refunded }), fault.Invalid, "invalid_purchase"},
		"unknown product": {sale(func(s *purchase.Sale) { s.SKU = "com.example.forgotten" }), fault.Unavailable, "product_not_configured"},
		"a new word":      {sale(func(s *purchase.Sale) { s.State = "" }), nil, ""},
	} {
		s := newShop(t)
		s.store.put("proof", c.sale)
		_, err := s.claim(ann, "proof")
		if c.kind != nil {
			wantFault(t, err, c.kind, c.code)
		}
		if err == nil {
			t.Errorf("%s: got no error", name)
		}
		if name != "refunded" {
			s.empty()
			continue
		}
		// Written down as nobody's, so that a proof from before the refund is worth nothing.
		if c := s.customer(ann); c.Exists() || len(s.tables.Items(table.Orders)) != 1 {
			t.Errorf("refunded: got customer %t and %d orders, want the order alone", c.Exists(), len(s.tables.Items(table.Orders)))
		}
		s.store.put("proof", sold("1", premium))
		_, err = s.claim(ben, "proof")
		wantFault(t, err, fault.Invalid, "invalid_purchase")
	}
	s := newShop(t)
	_, err := s.claim(ann, "forged")
	wantFault(t, err, fault.Invalid, "invalid_purchase")
	s.store.down = fault.New(fault.Unavailable, "store_unavailable", "The store did not answer.")
	_, err = s.claim(ann, "proof")
	wantFault(t, err, fault.Unavailable, "store_unavailable")
	_, err = s.Claim(t.Context(), s.scope, ann, purchase.Proof{Store: "play", Evidence: "x"})
	wantFault(t, err, fault.Unavailable, "store_not_configured")
	_, err = s.Claim(t.Context(), s.scope, ann, purchase.Proof{Store: "steam", Evidence: "x"})
	wantFault(t, err, fault.Malformed, "unknown_store")
	s.empty()
}

func TestAPendingSaleWritesNothingAndIsGrantedOncePaid(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	sale := sold("1", premium)
	sale.State = purchase.Pending
	s.store.put("proof", sale)
	c, err := s.claim(ann, "proof")
	if err != nil || c.Order.State != purchase.OrderPending || c.Order.ID != "apple_1" {
		t.Errorf("got %+v, %v, want apple_1 pending", c.Order, err)
	}
	s.empty()
	sale.State = purchase.Paid
	s.store.put("proof", sale)
	s.granted(ann, "proof")
}

func TestARefundTakesBackOnce(t *testing.T) {
	t.Parallel()
	for sku, what := range map[string]string{premium: "premium", adFree: "ad_free", gems: ""} {
		s := newShop(t)
		s.store.put("proof", sold("1", sku))
		s.granted(ann, "proof")
		sale := sold("1", sku)
		sale.State, sale.AsOf = purchase.Refunded, noon
		s.store.put("proof", sale)
		for range 3 {
			_, err := s.claim(ann, "proof")
			wantFault(t, err, fault.Invalid, "invalid_purchase")
		}
		if what != "" && s.allowed(ann, what) {
			t.Errorf("%s: still gives %s", sku, what)
		}
		if got := s.balance(ann); got != 0 {
			t.Errorf("%s: got a balance of %d, want 0", sku, got)
		}
		if got := s.events(ann); !slices.Equal(got, []event.Type{event.PurchaseGranted, event.PurchaseRefunded}) {
			t.Errorf("%s: got events %v, want granted and refunded once", sku, got)
		}
		s.store.put("proof", sold("1", sku)) // an older proof, from before the refund
		_, err := s.claim(ann, "proof")
		wantFault(t, err, fault.Invalid, "invalid_purchase")
	}
}

func TestARefundOfWhatWasSpentIsADebtThatLaterPurchasesPay(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.store.put("proof", sold("1", gems))
	s.granted(ann, "proof")
	c := s.customer(ann)
	c.SetWallet("gems", wallet.Wallet{Lots: []wallet.Lot{{OrderID: "apple_1", Kind: wallet.Paid, Granted: 100, Remaining: 30}}}, wallet.Entry{})
	writes, err := c.Writes(noon)
	if err == nil {
		err = s.tables.Commit(t.Context(), writes...)
	}
	if err != nil {
		t.Fatal(err)
	}
	sale := sold("1", gems)
	sale.State = purchase.Refunded
	s.store.put("proof", sale)
	for range 2 {
		_, _ = s.claim(ann, "proof")
		if got := s.balance(ann); got != -70 {
			t.Errorf("after the refund: got %d, want -70", got)
		}
	}
	s.store.put("more", sold("2", gems))
	s.granted(ann, "more")
	if got := s.balance(ann); got != 30 {
		t.Errorf("after the next purchase: got %d, want 30", got)
	}
}

func TestAnyOperationOfARefundMayFailAndItIsTakenBackOnce(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		for k := 1; k <= 4; k++ {
			s := newShop(t)
			s.store.put("proof", sold("1", gems))
			s.granted(ann, "proof")
			sale := sold("1", gems)
			sale.State = purchase.Refunded
			s.store.put("proof", sale)
			n := 0
			s.tables.Fail = func(memory.Op) (bool, error) {
				if n++; n == k {
					return done, broken()
				}
				return true, nil
			}
			_, _ = s.claim(ann, "proof")
			s.tables.Fail = nil
			_, err := s.claim(ann, "proof")
			wantFault(t, err, fault.Invalid, "invalid_purchase")
			if got := s.balance(ann); got != 0 || len(s.events(ann)) != 2 {
				t.Errorf("operation %d failing, done %v: got %d gems and events %v, want 0 and two", k, done, got, s.events(ann))
			}
		}
	}
}

func TestAnotherCustomersPurchaseIsRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.store.put("proof", sold("1", premium))
	s.granted(ann, "proof")
	_, err := s.claim(ben, "proof")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	renewal := sold("2", premium)
	renewal.Line = "1"
	s.store.put("renewal", renewal)
	_, err = s.claim(ben, "renewal")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	elsewhere := sold("1", premium) // the same order, by another name of its line
	elsewhere.Line = "another"
	s.store.put("elsewhere", elsewhere)
	_, err = s.claim(ben, "elsewhere")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	if s.customer(ben).Exists() || s.allowed(ben, "premium") {
		t.Error("the refused customer got something")
	}
	s.granted(ann, "renewal")
}

func TestAnotherProjectsCustomersHoldNothingFromThisOnesStores(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.store.put("1", sold("1", gems))
	s.scope = table.Scope{Project: "other", Environment: "production"}
	_, err := s.claim(ann, "1")
	wantFault(t, err, fault.Unavailable, "store_not_configured")
	s.empty()
}

func TestAnAccountThatIsAnotherCustomersIsRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	first := sold("1", gems)
	first.Account = "an-account" // unknown: binds by the first claim
	s.store.put("first", first)
	s.granted(ann, "first")
	second := sold("2", gems)
	second.Account = "an-account"
	s.store.put("second", second)
	_, err := s.claim(ben, "second")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	s.granted(ann, "second")

	derived, err := s.Customers.Identity.StoreIDs(t.Context(), s.scope, ann)
	if err != nil {
		t.Fatal(err)
	}
	third := sold("3", gems)
	third.Account = derived.AppAccountToken
	s.store.put("third", third)
	_, err = s.claim(ben, "third")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	s.granted(ann, "third")
}

// The token of a customer who does not exist yet is that customer's all the same, and
// nobody who comes with it locks its customer out.
func TestATokenThatSomebodyElseBoundLocksNobodyOut(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	derived, err := s.Customers.Identity.StoreIDs(t.Context(), s.scope, ben)
	if err != nil {
		t.Fatal(err)
	}
	sale := sold("1", gems)
	sale.Account = derived.AppAccountToken
	s.store.put("proof", sale)
	_, err = s.claim(ann, "proof")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	s.store.put("bens", sold("2", gems))
	s.granted(ben, "bens")
	if got := s.balance(ben); got != 100 {
		t.Errorf("balance of the other: got %d, want 100", got)
	}
	// Its name is its own again, for it is derived from its id.
	again := sold("3", gems)
	again.Account = derived.AppAccountToken
	s.store.put("again", again)
	s.granted(ben, "again")
	for kind, id := range map[string]string{"apple": derived.AppAccountToken, "play": derived.ObfuscatedAccountID} {
		if got, err := customer.Bound(t.Context(), s.tables, s.scope, kind, id); err != nil || got != s.customer(ben).Ref {
			t.Errorf("whose id at %s: got %s, %v, want %s", kind, got, err, s.customer(ben).Ref)
		}
	}
}

func TestABoughtAgainLineGivesAccessAgain(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.store.put("9", sold("9", adFree))
	s.granted(ann, "9")
	refunded := sold("9", adFree)
	refunded.State = purchase.Refunded
	s.store.put("9", refunded)
	_, err := s.claim(ann, "9")
	wantFault(t, err, fault.Invalid, "invalid_purchase")
	again := sold("1", adFree)
	again.Line = "9"
	s.store.put("1", again)
	s.granted(ann, "1")
	if !s.allowed(ann, "ad_free") {
		t.Error("bought again after a refund: want access")
	}
}

// The orderId of Apps-in-Toss is all that it takes to claim, so no error may carry it into
// a log, whichever operation fails.
func TestNoErrorShowsAProof(t *testing.T) {
	t.Parallel()
	for k := 1; ; k++ {
		s := newShop(t)
		sale := sold("ord-secret", "ad-free")
		sale.Store = "appsintoss"
		s.store.put("ord-secret", sale)
		n := 0
		s.tables.Fail = func(op memory.Op) (bool, error) {
			if n++; n >= k && (n == k || op.Method == "Commit") {
				return false, broken()
			}
			return true, nil
		}
		_, err := s.Claim(t.Context(), s.scope, ann, purchase.Proof{Store: "appsintoss", Evidence: "ord-secret"})
		if n < k {
			if k < 4 {
				t.Errorf("a claim made %d operations, want several", n)
			}
			return
		}
		if err == nil || strings.Contains(err.Error(), "ord-secret") {
			t.Errorf("operation %d failing: got %v, want an error without the proof", k, err)
		}
	}
}

func TestAKnownOrderIsAnsweredWhileTheStoreIsDown(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	sale := sold("ord-1", "ad-free")
	sale.Store = "appsintoss"
	s.store.put("ord-1", sale)
	proof := purchase.Proof{Store: "appsintoss", Evidence: "ord-1"}
	first, err := s.Claim(t.Context(), s.scope, ann, proof)
	if err != nil {
		t.Fatal(err)
	}
	s.store.down = fault.New(fault.Unavailable, "store_unavailable", "The store did not answer.")
	again, err := s.Claim(t.Context(), s.scope, ann, proof)
	if err != nil || again.Order != first.Order || s.store.looks != 1 {
		t.Errorf("while down: got %+v, %v after %d looks, want the same order and no look", again.Order, err, s.store.looks)
	}
	_, err = s.Claim(t.Context(), s.scope, ben, proof)
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	_, err = s.Claim(t.Context(), s.scope, ann, purchase.Proof{Store: "appsintoss", Evidence: "ord-2"})
	wantFault(t, err, fault.Unavailable, "store_unavailable")
}

// Renewals, repeats and refunds of older ones, seen in any order, leave the same record
// and the same access.
func TestSalesOfALineInAnyOrderLeaveTheSameRecord(t *testing.T) {
	t.Parallel()
	var sales []purchase.Sale
	for n := range 6 {
		s := sold(fmt.Sprint("t", n), premium)
		s.Line, s.PurchasedAt, s.Until = "line", noon.AddDate(0, n, 0), noon.AddDate(0, n+1, 0)
		s.AsOf, s.WillRenew = noon.AddDate(0, n, 0).Add(time.Minute), n%2 == 0
		sales = append(sales, s)
	}
	same := sold("t9", premium) // ends with the last one
	same.Line, same.Until, same.AsOf = "line", sales[5].Until, sales[5].AsOf.Add(-time.Hour)
	sales = append(sales, same)
	dice := rand.New(rand.NewPCG(3, 4))
	var want purchase.Record
	var source entitlement.Source
	for round := range 300 {
		s := newShop(t)
		order := dice.Perm(len(sales))
		for _, n := range order {
			s.store.put(fmt.Sprint(n), sales[n])
			s.granted(ann, fmt.Sprint(n))
			if dice.IntN(3) == 0 {
				s.granted(ann, fmt.Sprint(n))
			}
		}
		items := s.tables.Items(table.Purchases)
		var got purchase.Record
		if err := json.Unmarshal(items[0].Data, &got); err != nil || len(items) != 1 {
			t.Fatalf("got %d records, %v, want one", len(items), err)
		}
		if round == 0 {
			want, source = got, s.customer(ann).Sources()[0]
			if !source.Until.Equal(sales[5].Until) || source.WillRenew != sales[5].WillRenew || len(got.Terms) != 4 {
				t.Fatalf("record: got %+v, want what the last sale says", got)
			}
		}
		if !cmp.Equal(got, want) || s.customer(ann).Sources()[0] != source {
			t.Fatalf("in order %v: got %+v, want %+v", order, got, want)
		}
		granted := 0
		for _, kind := range s.events(ann) {
			if kind == event.PurchaseGranted || kind == event.PurchaseRenewed {
				granted++
			}
		}
		if granted != len(sales) {
			t.Fatalf("events of a grant: got %d, want one for each of %d", granted, len(sales))
		}
	}
}

func TestARefundOfAnOlderRenewalLeavesTheLineAlone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.store.put("1", sold("1", premium))
	later := sold("2", premium)
	later.Line, later.Until = "1", noon.AddDate(0, 2, 0)
	s.store.put("2", later)
	s.granted(ann, "1")
	s.granted(ann, "2")
	refunded := sold("1", premium)
	refunded.State = purchase.Refunded
	s.store.put("1", refunded)
	_, err := s.claim(ann, "1")
	wantFault(t, err, fault.Invalid, "invalid_purchase")
	if !s.allowed(ann, "premium") {
		t.Error("the refund of an older renewal ended what a later one gives")
	}
	later.State = purchase.Refunded
	s.store.put("2", later)
	_, err = s.claim(ann, "2")
	wantFault(t, err, fault.Invalid, "invalid_purchase")
	if s.allowed(ann, "premium") {
		t.Error("the refund of the last one left access")
	}
}
