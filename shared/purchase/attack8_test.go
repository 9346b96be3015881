package purchase_test

import (
	"fmt"
	"testing"
	"time"

	"grantline/shared/customer"
	"grantline/shared/purchase"
)

func TestAttack8RefusedConsumablesComeByAnAnonymousID(t *testing.T) {
	s, _ := newFollowedShop(t)
	s.Catalog, s.Abuse = groups(t), strict
	s.bought(ann, "a", "b", "c", "d")
	s.spend(ann, 400)
	for _, o := range []string{"a", "b", "c", "d"} {
		s.told(refunded(sold(o, gems), time.Hour, 0))
	}
	fmt.Println("ann:", s.balance(ann), s.customer(ann).Conduct().Measures)
	s.store.put("e", sold("e", gems))
	_, err := s.claim(ann, "e")
	fmt.Println("ann claims:", err)
	c, err := s.claim("anon_9", "e")
	fmt.Println("anon_9 claims:", c.Order.State, err)
	_, err = s.Customers.Join(s.Context(), s.scope, customer.Alias{ID: ann, Other: "anon_9", Unclaimed: true}, s.clock)
	fmt.Println("joined:", err, s.balance(ann), s.customer(ann).Conduct().Measures)
}

func TestAttack8ATransferPutsTheRefundOnAnother(t *testing.T) {
	s, _ := newFollowedShop(t)
	s.Catalog, s.Restore = groups(t), purchase.Transfer
	s.store.put("badge", sold("badge", adFree))
	s.granted(ann, "badge")
	s.granted(ben, "badge")
	s.told(refunded(sold("badge", adFree), time.Hour, 0))
	fmt.Printf("ann %+v\nben %+v\n", s.customer(ann).Conduct(), s.customer(ben).Conduct())
}

func TestAttack8AGiftReturnedPutsItsRecipientInDebtAndBlocks(t *testing.T) {
	s, _ := newGiftShop(t)
	s.Abuse = strict
	s.given(ann, ben, "gems")
	s.spend(ben, 80)
	s.told(refunded(sold("gems", gems), time.Hour, 0))
	b := s.customer(ben)
	a := b.Conduct().Assess(strict, b.Debts(), s.clock.Now())
	fmt.Printf("ben %d %+v\n", s.balance(ben), a)
}

func TestAttack8JoinedSheetsAreNotJudged(t *testing.T) {
	s, _ := newFollowedShop(t)
	s.Catalog, s.Abuse = groups(t), strict
	s.bought("anon_1", "a")
	s.spend("anon_1", 100)
	s.told(refunded(sold("a", gems), time.Hour, 0))
	s.bought(ann, "b")
	s.spend(ann, 100)
	s.told(refunded(sold("b", gems), time.Hour, 0))
	x, y := s.customer(ann), s.customer("anon_1")
	fmt.Println("before", x.Conduct().Measures, y.Conduct().Measures, x.Conduct().Assess(strict, x.Debts(), s.clock.Now()).Score)
	s.merge(ann, "anon_1")
	x = s.customer(ann)
	a := x.Conduct().Assess(strict, x.Debts(), s.clock.Now())
	fmt.Println("after: in force", x.Conduct().Measures, "assessed", a.Measures, a.Score)
}
