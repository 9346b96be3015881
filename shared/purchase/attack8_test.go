package purchase_test

import (
	"testing"
	"time"

	"grantline/shared/customer"
	"grantline/shared/memory"
	"grantline/shared/purchase"
)

// anonymous is an id that somebody had before it was known who that is.
const anonymous = "anon_1"

// happenings are what may happen to people who become one, each with what it makes of the gems of
// all of them.
var happenings = map[string]struct {
	gems int64
	do   func(s *shop) error
}{
	"a claim by the anonymous id": {100, func(s *shop) error { _, err := s.claim(anonymous, "g1"); return err }},
	"a claim by the name":         {100, func(s *shop) error { _, err := s.claim(ann, "g2"); return err }},
	"a gift to the anonymous id":  {100, func(s *shop) error { _, err := s.gift(ann, anonymous, "g3"); return err }},
	"a gift from it":              {100, func(s *shop) error { _, err := s.gift(anonymous, ann, "g4"); return err }},
	"a gift from another":         {100, func(s *shop) error { _, err := s.gift(ben, anonymous, "g5"); return err }},
	"a refund":                    {-100, func(s *shop) error { return s.returns("bought") }},
	"a gift's refund":             {-100, func(s *shop) error { return s.returns("given") }},
	"a spend": {-30, func(s *shop) error {
		_, _, err := s.Customers.Spend(s.Context(), s.scope, anonymous, customer.SpendAsk{Currency: "gems", Amount: 30, Reference: "new"}, s.clock)
		return err
	}},
	"a spend given back": {20, func(s *shop) error {
		ask := customer.UnspendAsk{Currency: "gems", Amount: 20, Spend: "old", Reference: "back"}
		_, _, _, err := s.Customers.Unspend(s.Context(), s.scope, anonymous, ask, s.clock)
		return err
	}},
	"a credit": {7, func(s *shop) error {
		ask := customer.CreditAsk{Currency: "gems", Amount: 7, Reference: "sorry", Reason: "The app was down."}
		_, _, err := s.Customers.Credit(s.Context(), s.scope, anonymous, ask, s.clock)
		return err
	}},
	"signing in":      {0, func(s *shop) error { return s.joins(customer.Alias{ID: ann, Other: anonymous, Unclaimed: true}) }},
	"the other way":   {0, func(s *shop) error { return s.joins(customer.Alias{ID: anonymous, Other: ann}) }},
	"another's name":  {0, func(s *shop) error { return s.joins(customer.Alias{ID: ben, Other: anonymous}) }},
	"another signing": {0, func(s *shop) error { return s.joins(customer.Alias{ID: ben, Other: anonymous, Unclaimed: true}) }},
}

func (s *shop) joins(a customer.Alias) error {
	_, err := s.Customers.Join(s.Context(), s.scope, a, s.clock)
	return err
}

func (s *shop) returns(order string) error {
	_, err := s.tell(purchase.News{Sales: []purchase.Sale{refunded(sold(order, gems), time.Hour, 0)}})
	return err
}

// together is what all of them have, each once.
func (s *shop) together() (sum int64) {
	seen := map[string]bool{}
	for _, who := range []string{ann, ben, anonymous} {
		if c := s.customer(who); !seen[c.Ref] {
			seen[c.Ref] = true
			sum += c.Wallets()["gems"].Balance(s.clock.Now())
		}
	}
	return sum
}

// Whoever becomes whom while something is claimed, given, refunded or spent: nothing of it is lost,
// and nothing is there twice.
func TestWhateverHappensWhileSomebodyBecomesAnotherHappensOnce(t *testing.T) {
	t.Parallel()
	for a, outer := range happenings {
		for b, inner := range happenings {
			for k := 1; a != b; k++ {
				s, _ := newGiftShop(t)
				for _, o := range []string{"bought", "given", "g1", "g2", "g3", "g4", "g5"} {
					s.store.put(o, sold(o, gems))
				}
				s.granted(anonymous, "bought")
				s.given(ben, anonymous, "given")
				ask := customer.SpendAsk{Currency: "gems", Amount: 50, Reference: "old"}
				if _, _, err := s.Customers.Spend(t.Context(), s.scope, anonymous, ask, s.clock); err != nil {
					t.Fatal(err)
				}
				want, ops, in := s.together(), 0, error(nil)
				s.tables.Fail = func(memory.Op) (bool, error) {
					if ops++; ops == k {
						middle := s.tables.Fail
						s.tables.Fail = nil
						in = inner.do(s)
						s.tables.Fail = middle
					}
					return true, nil
				}
				out := outer.do(s)
				s.tables.Fail = nil
				if out == nil {
					want += outer.gems
				}
				if ops >= k && in == nil {
					want += inner.gems
				}
				if got := s.together(); got != want {
					t.Errorf("%s (%v), and before its operation %d %s (%v): got %d gems, want %d", a, out, k, b, in, got, want)
				}
				if again := outer.do(s); out == nil && again == nil && s.together() != want {
					t.Errorf("%s again, %s before operation %d of the first: got %d gems, want %d", a, b, k, s.together(), want)
				}
				s.wantReplayed(ann, ben, anonymous)
				if ops < k {
					break
				}
			}
		}
	}
}
