package purchase_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/abuse"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// wordOf is any word of a line of months, by how old it is.
func wordOf(dice *rand.Rand, line string, tick int) purchase.News {
	s := renewed(line, dice.IntN(5))
	s.SKU = []string{premium, yearly, pro}[dice.IntN(3)]
	s.AsOf = noon.Add(time.Duration(tick) * time.Hour)
	switch dice.IntN(8) {
	case 0:
		s.State = purchase.Refunded
	case 1:
		s.State = purchase.Replaced
	case 2:
		s.Until = s.Until.AddDate(0, 0, dice.IntN(40))
	}
	news := of(s)
	if dice.IntN(3) == 0 {
		news.Standing = purchase.Standing{AsOf: s.AsOf, WillRenew: dice.IntN(2) == 0, Retrying: dice.IntN(2) == 0}
		if news.Standing.Retrying && dice.IntN(2) == 0 {
			news.Standing.GraceUntil = s.AsOf.AddDate(0, 0, 16)
		}
	}
	return news
}

func TestOwnerAndSharersStayInStepWhateverIsSaid(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds(t)) {
		dice := rand.New(rand.NewPCG(seed, 8))
		s, f := newFollowedShop(t)
		s.Catalog = groups(t)
		people := []string{ann, ben, cat, "dan", "eve"}
		policies := []purchase.RestorePolicy{purchase.Share, purchase.Share, purchase.Transfer, purchase.TransferIfInactive, purchase.Keep}
		for tick := range 40 {
			s.clock.move(time.Duration(dice.IntN(72)) * time.Hour)
			s.Restore = policies[dice.IntN(len(policies))]
			news := wordOf(dice, "1", dice.IntN(tick+1))
			switch dice.IntN(3) {
			case 0:
				f.offer("proof", news)
				if _, err := s.claim(people[dice.IntN(len(people))], "proof"); err != nil && !errors.Is(err, fault.Invalid) && !errors.Is(err, fault.Conflict) {
					t.Fatalf("seed %d: claim: %v", seed, err)
				}
			default:
				if ok, err := s.tell(news); !ok || err != nil {
					// The store may call an order what it cannot be, and then it is not heard.
					if !errors.Is(err, fault.Invalid) {
						t.Fatalf("seed %d: notice: %t, %v", seed, ok, err)
					}
				}
			}
			s.wantOneHolder("1", people)
		}
		s.wantReplayed(people...)
		s.wantRebuilt()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// wantOneHolder says that the owner of a line has it as its own, those who share it the same
// as a family's, and nobody else has it.
func (s *shop) wantOneHolder(line string, people []string) {
	s.Helper()
	r, ok := s.lineIfAny(line)
	if !ok {
		return
	}
	var own entitlement.Source
	for _, who := range people {
		if s.customer(who).Is(r.Owner) {
			own = s.source(who, line)
		}
	}
	for _, who := range people {
		c := s.customer(who)
		want, shares := entitlement.Source{}, false
		for _, ref := range r.Shared {
			shares = shares || c.Is(ref)
		}
		switch {
		case c.Is(r.Owner):
			want = own
			if own.OrderID != "" && own.Family {
				s.Errorf("owner %s: got a source that is a family's", who)
			}
		case shares:
			want = own
			want.Family = true
		}
		if diff := cmp.Diff(want, s.source(who, line)); diff != "" {
			s.Errorf("%s (-want +got):\n%s", who, diff)
		}
	}
	for _, o := range s.orders() {
		if o.Customer == "" || r.Owner == "" {
			continue
		}
		known := false
		for _, t := range r.Terms {
			known = known || t.Order == o.ID
		}
		if known && o.Customer != r.Owner {
			s.Errorf("order %s: got customer %s, want the owner of its line", o.ID, o.Customer)
		}
	}
}

func (s *shop) lineIfAny(line string) (purchase.Record, bool) {
	for _, item := range s.everything() {
		if item.Key.Partition == s.scope.Key("apple", line) {
			return s.line(line), true
		}
	}
	return purchase.Record{}, false
}

func TestCurrencyOverAllCustomersIsWhatWasGrantedLessWhatWasTakenBackAndSpent(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds(t)) {
		dice := rand.New(rand.NewPCG(seed, 9))
		s, _ := newFollowedShop(t)
		s.Catalog, s.Restore, s.Abuse = groups(t), purchase.RestorePolicies[dice.IntN(4)], abuse.Policy{abuse.RefuseConsumables: 60 + dice.IntN(40)}
		people := []string{ann, ben, cat, "dan"}
		spent := int64(0)
		for tick := range 50 {
			s.clock.move(time.Minute)
			who, other := people[dice.IntN(4)], people[dice.IntN(4)]
			sale := sold(fmt.Sprint("gems-", dice.IntN(6)), gems)
			sale.Quantity = 1 + int(sale.Order[5]-'0')%2
			sale.AsOf = s.clock.Now()
			var err error
			switch what := dice.IntN(12); {
			case what < 3:
				s.store.put("proof", sale)
				_, err = s.claim(who, "proof")
			case what < 5:
				s.store.put("proof", sale)
				_, err = s.gift(who, other, "proof")
			case what < 8:
				if dice.IntN(2) == 0 {
					sale.State, sale.Returned = purchase.Refunded, dice.IntN(100_001)
				}
				_, err = s.tell(of(sale))
			case what < 11:
				if b := s.balance(who); b > 0 {
					n := 1 + dice.Int64N(b)
					s.spend(who, n)
					spent += n
				}
			case tick == 30:
				s.merge(who, other)
			}
			if err != nil && !errors.Is(err, fault.Invalid) && !errors.Is(err, fault.Conflict) && !errors.Is(err, fault.Denied) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			granted, sum := int64(0), int64(0)
			for _, o := range s.orders() {
				granted += o.Credited - o.TakenBack
			}
			met := map[string]bool{}
			for _, p := range people {
				if c := s.customer(p); !met[c.Ref] {
					met[c.Ref] = true
					sum += s.balance(p)
				}
			}
			if sum != granted-spent {
				t.Fatalf("seed %d, tick %d: got %d in all wallets, want %d granted less %d spent", seed, tick, sum, granted, spent)
			}
		}
		s.wantSheets(people)
		s.wantReplayed(people...)
		s.wantRebuilt()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// wantSheets says that what is known of refunds is what the orders say, on the sheet of who paid.
func (s *shop) wantSheets(people []string) {
	s.Helper()
	for _, who := range people {
		c := s.customer(who)
		want := map[string]int64{}
		for _, o := range s.orders() {
			payer := o.Giver
			if payer == "" {
				payer = o.Customer
			}
			if c.Is(payer) && o.Returned > 0 {
				want[o.ID] = o.Price * int64(o.Returned) / 100_000
			}
		}
		got := map[string]int64{}
		for _, r := range c.Conduct().Refunds {
			got[r.OrderID] = r.Amount
		}
		if diff := cmp.Diff(want, got); diff != "" {
			s.Errorf("refunds of %s (-want +got):\n%s", who, diff)
		}
		if flagged, cleared := s.count(who, event.CustomerFlagged), s.count(who, event.CustomerCleared); cleared > flagged {
			s.Errorf("%s: got flagged %d times and cleared %d times", who, flagged, cleared)
		}
	}
}
