package purchase_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

func TestAClaimGrantsOnceAndTheSameAgainGivesTheSameOrder(t *testing.T) {
	t.Parallel()
	for sku, entitlement := range map[string]string{premium: "premium", adFree: "ad_free", rental: "movie_rental", gems: ""} {
		s := newShop(t)
		s.store.put("proof", sold("1", sku))
		first := s.granted(ann, "proof")
		s.clock.move(time.Hour)
		again := s.granted(ann, "proof")
		if again.Order != first.Order {
			t.Errorf("%s again: got %+v, want %+v", sku, again.Order, first.Order)
		}
		if entitlement != "" && !s.allowed(ann, entitlement) {
			t.Errorf("%s gives no %s", sku, entitlement)
		}
		if want := map[bool]int64{true: 100}[sku == gems]; s.balance(ann) != want {
			t.Errorf("%s: got a balance of %d, want %d", sku, s.balance(ann), want)
		}
		if got := s.events(ann); !slices.Equal(got, []event.Type{event.PurchaseGranted}) {
			t.Errorf("%s: got events %v, want one grant", sku, got)
		}
	}
}

func TestWhatIsSoldEndsWhenItShould(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.store.put("premium", sold("1", premium))
	s.store.put("rental", sold("2", rental))
	s.store.put("adfree", sold("3", adFree))
	endless := sold("4", premium)
	endless.Until = time.Time{} // the store did not say
	s.store.put("endless", endless)
	for _, c := range []struct {
		evidence string
		want     time.Time
	}{
		{"premium", noon.AddDate(0, 1, 0)},
		{"rental", noon.Add(-time.Minute).AddDate(0, 0, 7)},
		{"adfree", time.Time{}},
		{"endless", noon.Add(purchase.ReviewWithin)},
	} {
		if got := s.granted(ann, c.evidence).Order.Until; !got.Equal(c.want) {
			t.Errorf("%s ends %v, want %v", c.evidence, got, c.want)
		}
	}
	s.clock.move(7 * 24 * time.Hour)
	if s.allowed(ann, "movie_rental") || !s.allowed(ann, "ad_free") || !s.allowed(ann, "premium") {
		t.Error("a week later: want the rental over and the others not")
	}
	s.clock.move(70 * 24 * time.Hour)
	if s.allowed(ann, "premium") || !s.allowed(ann, "ad_free") {
		t.Error("in May: want premium over and ad_free not")
	}
}

func TestAConsumableIsCreditedByQuantity(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	sale := sold("1", gems)
	sale.Quantity = 7
	s.store.put("seven", sale)
	if got := s.granted(ann, "seven").Order.Credited; got != 700 || s.balance(ann) != 700 {
		t.Errorf("got %d credited and a balance of %d, want 700", got, s.balance(ann))
	}
}

func TestFiftyClaimsAtOnceGrantOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.store.put("proof", sold("1", gems))
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if c, err := s.claim(ann, "proof"); err != nil || c.Order.ID != "apple_1" || c.Order.State != purchase.OrderGranted {
				t.Errorf("got %s %s, %v, want apple_1 granted", c.Order.ID, c.Order.State, err)
			}
		})
	}
	group.Wait()
	if got := s.balance(ann); got != 100 {
		t.Errorf("balance: got %d, want 100", got)
	}
	if got := s.events(ann); len(got) != 1 {
		t.Errorf("events: got %v, want one", got)
	}
}

func TestTwoCustomersAtOnceMakeOneOwner(t *testing.T) {
	t.Parallel()
	for round := range 200 {
		s := newShop(t)
		s.store.put("proof", sold("1", gems))
		var errs [2]error
		var start, group sync.WaitGroup
		start.Add(1)
		for n, who := range []string{ann, ben} {
			group.Go(func() { start.Wait(); _, errs[n] = s.claim(who, "proof") })
		}
		start.Done()
		group.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: got %v and %v, want one owner", round, errs[0], errs[1])
		}
		wantFault(t, errors.Join(errs[0], errs[1]), fault.Conflict, "owned_by_another_customer")
		if got := s.balance(ann) + s.balance(ben); got != 100 {
			t.Fatalf("round %d: balances: got %d together, want 100", round, got)
		}
	}
}

func TestTwentyOrdersOfOneCustomerAtOnceAreAllThere(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var group sync.WaitGroup
	for n := range 20 {
		evidence := fmt.Sprint("proof-", n)
		s.store.put(evidence, sold(fmt.Sprint(n), []string{gems, adFree}[n%2]))
		group.Go(func() {
			for try := range 5 {
				_, err := s.claim(ann, evidence)
				if err == nil || !fault.Retryable(err) || try == 4 {
					if err != nil {
						t.Errorf("%s: got %v, want granted", evidence, err)
					}
					return
				}
			}
		})
	}
	group.Wait()
	if got := s.balance(ann); got != 1000 {
		t.Errorf("balance: got %d, want 1000", got)
	}
	if got := len(s.events(ann)); got != 20 {
		t.Errorf("events: got %d, want 20", got)
	}
	if got := len(s.customer(ann).Sources()); got != 10 {
		t.Errorf("sources: got %d, want 10", got)
	}
}

// {nothing done, done} × every operation of a claim.
func TestAnyOperationOfAClaimMayFailAndItGrantsOnce(t *testing.T) {
	t.Parallel()
	for sku, sources := range map[string]int{gems: 0, premium: 1} {
		for _, done := range []bool{false, true} {
			for k := 1; ; k++ {
				s := newShop(t)
				sale := sold("1", sku)
				sale.Account = "an-account"
				s.store.put("proof", sale)
				n, write := 0, false
				s.tables.Fail = func(op memory.Op) (bool, error) {
					if n++; n == k {
						write = op.Method == "Commit" // which is looked at again
						return done, broken()
					}
					return true, nil
				}
				_, err := s.claim(ann, "proof")
				s.tables.Fail = nil
				if n < k {
					break
				}
				if write && err != nil || !write && !fault.Retryable(err) {
					t.Errorf("operation %d failing: got %v, want an outage, and none of a write", k, err)
				}
				s.granted(ann, "proof")
				if got, want := s.balance(ann), int64(100*(1-sources)); got != want || len(s.events(ann)) != 1 || len(s.customer(ann).Sources()) != sources {
					t.Errorf("operation %d failing, done %v: got balance %d, events %v, want %d and one", k, done, got, s.events(ann), want)
				}
			}
		}
	}
}

func TestAClaimCostsTwoRoundTripsAndOneTransaction(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.store.put("first", sold("0", adFree))
	s.granted(ann, "first")
	var did []string
	s.tables.Fail = func(op memory.Op) (bool, error) {
		did = append(did, fmt.Sprint(op.Method, " ", len(op.Keys)))
		return true, nil
	}
	s.store.put("gems", sold("1", gems))
	s.granted(ann, "gems")
	s.store.put("premium", sold("2", premium))
	s.granted(ann, "premium")
	s.granted(ann, "premium")
	s.tables.Fail = nil
	// Head, event, order, line, and a wallet where there is one.
	want := []string{"Query 0", "GetAll 2", "Commit 5", "Query 0", "GetAll 2", "Commit 4", "Query 0", "GetAll 2"}
	if !slices.Equal(did, want) {
		t.Errorf("operations: got %v, want %v", did, want)
	}
}

func TestTestPurchasesAreMarkedAndCappedADay(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for n := range 5 {
		sale := sold(fmt.Sprint(n), gems)
		sale.Test = true
		s.store.put(fmt.Sprint(n), sale)
	}
	for n := range 3 {
		if !s.granted(ann, fmt.Sprint(n)).Order.Test {
			t.Error("an order without money is not marked")
		}
	}
	_, err := s.claim(ann, "3")
	wantFault(t, err, fault.Denied, "test_purchases_refused")
	s.granted(ann, "2") // what was granted is no new one
	s.granted(ben, "4") // and the cap is each customer's own
	s.clock.move(12 * time.Hour)
	s.granted(ann, "3")
	if got := s.balance(ann); got != 400 {
		t.Errorf("balance: got %d, want 400", got)
	}
	for _, l := range s.customer(ann).Wallets()["gems"].Lots {
		if !l.Test {
			t.Errorf("lot of %s is not marked", l.OrderID)
		}
	}

	s = newShop(t)
	s.scope = table.Scope{Project: "default", Environment: "sandbox"}
	for n := range 10 {
		sale := sold(fmt.Sprint(n), gems)
		sale.Test = true
		s.store.put(fmt.Sprint(n), sale)
		s.granted(ann, fmt.Sprint(n)) // a sandbox has no cap
	}
}
