package billing_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// erase asks each hour until a subscription's customer is forgotten.
func (w *world) erase(id string) {
	w.Helper()
	for range 24 * 4 {
		err := w.biller.Erase(w.Context(), scope, id)
		if err == nil {
			return
		}
		if fault.Code(err) != billing.ChargeUnderWay && !errors.Is(err, fault.Unavailable) {
			w.Fatalf("erasing: got %v, want it done, or an outcome waited for", err)
		}
		w.until(w.clock.Now().Add(time.Hour))
	}
	w.Fatal("erasing is not done after four days")
}

// forgot insists that nothing which names the customer or may be charged is left.
func (w *world) forgot() {
	w.Helper()
	w.until(w.clock.Now().Add(5 * time.Minute)) // for its errands
	for _, name := range []table.Table{table.Subscriptions, table.Orders, table.Customers} {
		for _, item := range w.tables.Items(name) {
			if text := string(item.Data) + item.Key.Partition; strings.Contains(text, "key-of-person-1") {
				w.Errorf("the customerKey is still in %v: %s", item.Key, item.Data)
			}
			if len(item.Sealed) > 0 {
				w.Errorf("something sealed is still in %v", item.Key)
			}
		}
	}
	s := w.subscription("sub-1")
	if s.State != billing.StateCancelled || s.Request+s.CustomerKey+s.Card+s.Issuer != "" || len(s.Proofs) > 0 {
		w.Errorf("got %+v, want it cancelled, and nothing of its customer", s)
	}
}

func TestErasingAtAnyTimeEndsAndForgetsEverything(t *testing.T) {
	for hours := 0; hours < 24*62; hours += 37 {
		w := newWorld(t, noon)
		w.gateway.fate = func(c call) fate {
			switch period, attempt := attemptOf("sub-1", c.order); {
			case period == 1 && c.of == 1:
				return fate{drop: true}
			case period == 2 && attempt == 1:
				return fate{decline: "REJECT_CARD_PAYMENT"}
			}
			return fate{}
		}
		w.subscribe(signUp("monthly"))
		w.until(noon.Add(time.Duration(hours)*time.Hour + time.Second))
		w.erase("sub-1")
		paid := len(w.gateway.taken())
		w.forgot()
		w.erase("sub-1") // again it changes nothing
		w.until(w.clock.Now().Add(40 * 24 * time.Hour))
		if got := len(w.gateway.taken()); got != paid {
			t.Errorf("erased after %d hours: got %d payments, want the %d of before", hours, got, paid)
		}
		if t.Failed() {
			t.Fatalf("erased after %d hours", hours)
		}
	}
}

func TestErasingThatFailsAnywhereIsDoneByAskingAgain(t *testing.T) {
	for n := 1; ; n++ {
		reached := 0
		for _, done := range []bool{false, true} {
			w := newWorld(t, noon)
			w.subscribe(signUp("monthly"))
			w.until(noon.Add(48 * time.Hour))
			count := 0
			w.tables.Fail = func(memory.Op) (bool, error) {
				if count++; count == n {
					return done, broken()
				}
				return false, nil
			}
			err := w.biller.Erase(t.Context(), scope, "sub-1")
			reached = max(reached, count)
			w.tables.Fail = nil
			if err != nil && !errors.Is(err, fault.Unavailable) && fault.Code(err) != billing.ChargeUnderWay {
				t.Errorf("operation %d, done %t: got %v, want an outage", n, done, err)
			}
			w.erase("sub-1")
			w.until(w.clock.Now().Add(73 * time.Hour)) // a card that nobody could hasten is forgotten then
			w.forgot()
		}
		if reached < n {
			return
		}
	}
}

func TestNothingIsErasedOfWhatNeverCameToBe(t *testing.T) {
	w := newWorld(t, noon)
	if err := w.biller.Erase(t.Context(), scope, "sub-none"); err != nil {
		t.Errorf("got %v, want nothing", err)
	}
}

// recardUnder asks for another card, under a customerKey of the app's.
func (w *world) recardUnder(authKey, customerKey string) error {
	_, _, _, err := w.biller.ChangeMethod(w.Context(), scope, "sub-1", &billing.NewCard{AuthKey: authKey, CustomerKey: customerKey}, "")
	return err
}

func TestErasingForgetsACustomerKeyThatAnotherTookThePlaceOf(t *testing.T) {
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	w.until(noon.Add(time.Hour))
	if err := w.recardUnder("another", "key-of-person-1-too"); err != nil {
		t.Fatal(err)
	}
	w.erase("sub-1")
	w.until(w.clock.Now().Add(73 * time.Hour)) // when the first card is forgotten
	w.forgot()
}

func TestACardThatComesAfterErasingLeavesNothing(t *testing.T) {
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	w.until(noon.Add(time.Hour))
	erased := false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Get" && strings.Contains(op.Keys[0].Partition, "recard-") && !erased {
			erased = true
			w.erase("sub-1")
		}
		return false, nil
	}
	_ = w.recardUnder("another", "key-of-person-1") // whether it came to anything or not
	w.tables.Fail = nil
	if !erased {
		t.Fatal("nothing was erased while the card was changed")
	}
	w.until(w.clock.Now().Add(73 * time.Hour))
	w.forgot()
}

func TestARefusedCardLetsGoOfNoCustomerKeyThatAnotherIsRegisteredUnder(t *testing.T) {
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	w.until(noon.Add(time.Hour))
	w.gateway.issue = func(nth int) (refused, dropped, lost bool) { return nth == 3, nth == 2, false }
	if err := w.recardUnder("first", "key-of-person-1-too"); err != nil { // it is left to the queue
		t.Fatal(err)
	}
	if err := w.recardUnder("second", "key-of-person-1-too"); !errors.Is(err, fault.Invalid) {
		t.Fatalf("got %v, want the second card refused", err)
	}
	w.until(noon.Add(2 * time.Hour))
	s := w.subscription("sub-1")
	ref, err := customer.Bound(t.Context(), w.tables, scope, "toss", "key-of-person-1-too")
	if err != nil || s.CustomerKey != "key-of-person-1-too" || ref != s.Customer {
		t.Errorf("the card is registered under %q, which is bound to %q, %v, want its customer %s", s.CustomerKey, ref, err, s.Customer)
	}
}
