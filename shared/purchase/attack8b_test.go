package purchase_test

import (
	"fmt"
	"testing"
	"time"

	"grantline/shared/customer"
	"grantline/shared/memory"
	"grantline/shared/purchase"
)

const anonymous = "anon_1"

// acts are what may happen to two who become one, each such that it changes the gems by so many.
var attack8Acts = map[string]struct {
	gems int64
	do   func(s *shop) error
}{
	"claim by the anonymous id": {100, func(s *shop) error { _, err := s.claim(anonymous, "g1"); return err }},
	"claim by the name":         {100, func(s *shop) error { _, err := s.claim(ann, "g2"); return err }},
	"gift to the anonymous id":  {100, func(s *shop) error { _, err := s.gift(ann, anonymous, "g3"); return err }},
	"gift from the anonymous":   {100, func(s *shop) error { _, err := s.gift(anonymous, ann, "g4"); return err }},
	"gift from another":         {100, func(s *shop) error { _, err := s.gift(ben, anonymous, "g5"); return err }},
	"refund": {-100, func(s *shop) error {
		_, err := s.tell(purchase.News{Sales: []purchase.Sale{refunded(sold("g0", gems), time.Hour, 0)}})
		return err
	}},
	"refund of a gift": {-100, func(s *shop) error {
		_, err := s.tell(purchase.News{Sales: []purchase.Sale{refunded(sold("g9", gems), time.Hour, 0)}})
		return err
	}},
	"spend": {-30, func(s *shop) error {
		_, _, err := s.Customers.Spend(s.Context(), s.scope, anonymous, customer.SpendAsk{Currency: "gems", Amount: 30, Reference: "r"}, s.clock)
		return err
	}},
	"give back": {20, func(s *shop) error {
		_, _, _, err := s.Customers.Unspend(s.Context(), s.scope, anonymous, customer.UnspendAsk{Currency: "gems", Amount: 20, Spend: "old", Reference: "u"}, s.clock)
		return err
	}},
	"credit": {7, func(s *shop) error {
		_, _, err := s.Customers.Credit(s.Context(), s.scope, anonymous, customer.CreditAsk{Currency: "gems", Amount: 7, Reference: "c", Reason: "r"}, s.clock)
		return err
	}},
	"join": {0, func(s *shop) error {
		_, err := s.Customers.Join(s.Context(), s.scope, customer.Alias{ID: ann, Other: anonymous, Unclaimed: true}, s.clock)
		return err
	}},
	"join the other way": {0, func(s *shop) error {
		_, err := s.Customers.Join(s.Context(), s.scope, customer.Alias{ID: anonymous, Other: ann}, s.clock)
		return err
	}},
	"join with another": {0, func(s *shop) error {
		_, err := s.Customers.Join(s.Context(), s.scope, customer.Alias{ID: ben, Other: anonymous}, s.clock)
		return err
	}},
	"erase": {0, func(s *shop) error { return s.Customers.Erase(s.Context(), s.scope, anonymous, s.clock) }},
}

func attack8Shop(t *testing.T) *shop {
	s, _ := newGiftShop(t)
	for _, o := range []string{"g0", "g1", "g2", "g3", "g4", "g5", "g9"} {
		s.store.put(o, sold(o, gems))
	}
	s.granted(anonymous, "g0")
	s.given(ben, anonymous, "g9")
	if _, _, err := s.Customers.Spend(t.Context(), s.scope, anonymous, customer.SpendAsk{Currency: "gems", Amount: 50, Reference: "old"}, s.clock); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shop) attack8Total() int64 {
	seen, sum := map[string]bool{}, int64(0)
	for _, who := range []string{ann, ben, anonymous} {
		if c := s.customer(who); !seen[c.Ref] {
			seen[c.Ref] = true
			sum += c.Wallets()["gems"].Balance(s.clock.Now())
		}
	}
	return sum
}

func TestWhatComesInTheMiddleOfAnythingIsNeitherLostNorDoubled(t *testing.T) {
	t.Parallel()
	for a, outer := range attack8Acts {
		for b, inner := range attack8Acts {
			if a == b {
				continue
			}
			for k := 1; k < 60; k++ {
				s := attack8Shop(t)
				before := s.attack8Total()
				n, done := 0, false
				var in error
				s.tables.Fail = func(op memory.Op) (bool, error) {
					if n++; n == k && !done {
						done = true
						was := s.tables.Fail
						s.tables.Fail = nil
						in = inner.do(s)
						s.tables.Fail = was
					}
					return true, nil
				}
				out := outer.do(s)
				s.tables.Fail = nil
				want := before
				if out == nil {
					want += outer.gems
				}
				if in == nil && done {
					want += inner.gems
				}
				if got := s.attack8Total(); got != want {
					t.Errorf("%s (%v) with %s (%v) before operation %d: got %d gems, want %d", a, out, b, in, k, got, want)
				}
				// Again, nothing changes but what had not happened.
				total := s.attack8Total()
				again := outer.do(s)
				if out == nil && again == nil && s.attack8Total() != total {
					t.Errorf("%s with %s before operation %d, again: got %d gems, want %d", a, b, k, s.attack8Total(), total)
				}
				if out != nil && again == nil {
					fmt.Println("first failed", a, out, "with", b, in, k)
				}
				s.wantReplayed(ann, ben, anonymous)
				s.wantRebuilt()
				if !done {
					break
				}
			}
		}
	}
}
