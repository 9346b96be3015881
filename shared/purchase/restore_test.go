package purchase_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// restoring is a shop of a policy where ann has the first month of line 1.
func restoring(t testing.TB, policy purchase.RestorePolicy) (*shop, *followed) {
	s, f := newFollowedShop(t)
	s.Catalog, s.Restore = groups(t), policy
	s.owned(f, "1")
	return s, f
}

func TestAPurchaseStaysItsOwnersUnlessThePolicySaysOtherwise(t *testing.T) {
	t.Parallel()
	for _, policy := range []purchase.RestorePolicy{"", purchase.Keep, purchase.TransferIfInactive} {
		s, _ := restoring(t, policy)
		before := s.everything()
		_, err := s.claim(ben, "1")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		if diff := cmp.Diff(before, s.everything()); diff != "" {
			t.Errorf("%q: got something written (-before +after):\n%s", policy, diff)
		}
	}
}

func TestATransferMakesTheLineAndItsOrdersTheClaimants(t *testing.T) {
	t.Parallel()
	s, f := restoring(t, purchase.Transfer)
	s.told(renewed("1", 1))
	was := s.source(ann, "1")
	c := s.granted(ben, "1")
	a, b := s.customer(ann), s.customer(ben)
	if c.Customer.Ref != b.Ref || c.Order.Customer != b.Ref {
		t.Errorf("answer: got customer %s and an order of %s, want ben %s", c.Customer.Ref, c.Order.Customer, b.Ref)
	}
	if diff := cmp.Diff(was, s.source(ben, "1")); diff != "" || len(a.Sources()) != 0 {
		t.Errorf("sources: ann has %v, and ben's differ from ann's of before:\n%s", a.Sources(), diff)
	}
	for _, id := range []string{"1-0", "1-1"} {
		if got := s.order(id).Customer; got != b.Ref {
			t.Errorf("order %s: got customer %s, want ben", id, got)
		}
	}
	line := s.line("1")
	if want := []purchase.Move{{From: a.Ref, To: b.Ref, At: noon}}; line.Owner != b.Ref || !slices.Equal(line.Moves, want) {
		t.Errorf("line: got owner %s, moves %v, want ben, %v", line.Owner, line.Moves, want)
	}
	if e := s.last(ann, event.PurchaseTransferred); e.Other != b.Ref || !e.ToOther || e.OrderID != "apple_1-1" || e.Entitlement != "premium" {
		t.Errorf("ann was told %+v, want that it went to ben", e)
	}
	if e := s.last(ben, event.PurchaseTransferred); e.Other != a.Ref || e.ToOther || e.ExpiresAt == nil || !e.ExpiresAt.Equal(was.Until) {
		t.Errorf("ben was told %+v, want that it came from ann", e)
	}
	if got := s.events(ben); len(got) != 1 {
		t.Errorf("ben was told %v, want one thing", got)
	}
	// Everything later is ben's: renewals, refunds, reviews, and orders that the line forgot.
	told := len(s.events(ann))
	for n := 2; n < 8; n++ {
		s.told(renewed("1", n))
	}
	s.told(refunded(renewed("1", 7), time.Hour, 0))
	s.told(refunded(renewed("1", 0), 300*24*time.Hour, 0))
	if got := s.count(ben, event.PurchaseRenewed); got != 6 || s.count(ben, event.PurchaseRefunded) != 2 {
		t.Errorf("ben was told %v, want six renewals and two refunds", s.events(ben))
	}
	if got := s.order("1-0").Customer; got != b.Ref {
		t.Errorf("an order that was refunded later: got customer %s, want ben", got)
	}
	f.lines["1"] = of(renewed("1", 8))
	s.at(s.line("1").CheckAt)
	s.reviewed(10, renewed("1", 8).Until.Add(time.Hour))
	if got := s.source(ben, "1"); got.OrderID != "apple_1-8" || len(s.events(ann)) != told {
		t.Errorf("after a review: ben has %v and ann was told %d things, want the review's word and no more than %d", got, len(s.events(ann)), told)
	}
	s.wantReplayed(ann, ben)
	s.wantRebuilt()
}

func TestAnOrderThatTheLineHadForgottenFollowsIt(t *testing.T) {
	t.Parallel()
	s, _ := restoring(t, purchase.Transfer)
	for n := 1; n < 8; n++ {
		s.told(renewed("1", n))
	}
	s.granted(ben, "1")
	if got := s.order("1-1").Customer; got != s.customer(ann).Ref {
		t.Fatalf("before there is news of it: got customer %s, want ann still", got)
	}
	s.told(refunded(renewed("1", 1), 300*24*time.Hour, 0))
	if got := s.order("1-1").Customer; got != s.customer(ben).Ref || s.count(ben, event.PurchaseRefunded) != 1 {
		t.Errorf("refunded: got customer %s, and ben was told %v, want it ben's", got, s.events(ben))
	}
	s.wantRebuilt()
}

func TestWhatWasTransferredIsAnsweredAgainAndNotToItsFormerOwner(t *testing.T) {
	t.Parallel()
	s, _ := restoring(t, purchase.Transfer)
	s.granted(ben, "1")
	before := s.everything()
	s.granted(ben, "1")
	s.Restore = purchase.Keep
	s.granted(ben, "1")
	_, err := s.claim(ann, "1")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	if diff := cmp.Diff(before, s.everything()); diff != "" {
		t.Errorf("claims again: got something written (-before +after):\n%s", diff)
	}
}

func TestALineIsTransferredTwiceAYearAtMost(t *testing.T) {
	t.Parallel()
	s, _ := restoring(t, purchase.Transfer)
	s.granted(ben, "1")
	s.granted(ann, "1") // back
	_, err := s.claim(cat, "1")
	wantFault(t, err, fault.Conflict, "too_many_transfers")
	s.clock.move(365*24*time.Hour - time.Second)
	_, err = s.claim(cat, "1")
	wantFault(t, err, fault.Conflict, "too_many_transfers")
	s.clock.move(time.Second)
	s.granted(cat, "1")
	for n := range 10 {
		s.clock.move(366 * 24 * time.Hour)
		s.granted([]string{ann, ben}[n%2], "1")
	}
	if got := s.line("1").Moves; len(got) != 8 || got[7].To != s.customer(ben).Ref {
		t.Errorf("moves: got %d, the last %v, want the latest 8", len(got), got[len(got)-1])
	}
}

func TestATransferOfWhatIsInactiveWaitsForItsEnd(t *testing.T) {
	t.Parallel()
	s, f := restoring(t, purchase.TransferIfInactive)
	s.at(renewed("1", 0).Until.Add(-time.Second))
	_, err := s.claim(ben, "1")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	s.at(renewed("1", 0).Until)
	// By what the store says now, not by what is known.
	f.offer("renewed", of(renewed("1", 0), renewed("1", 1)))
	_, err = s.claim(ben, "renewed")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	s.granted(ben, "1")
	s.told(renewed("1", 1))
	if !s.allowed(ben, "premium") || s.allowed(ann, "premium") {
		t.Errorf("renewed since: got premium for ben %t and ann %t, want it ben's", s.allowed(ben, "premium"), s.allowed(ann, "premium"))
	}
}

func TestOnlyWhatOpensEntitlementsIsTransferredOrShared(t *testing.T) {
	t.Parallel()
	for _, policy := range purchase.RestorePolicies {
		s, _ := newFollowedShop(t)
		s.Catalog, s.Restore = groups(t), policy
		s.store.put("gems", sold("gems", gems))
		s.granted(ann, "gems")
		_, err := s.claim(ben, "gems")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		if s.balance(ann) != 100 || s.balance(ben) != 0 {
			t.Errorf("%s: got %d and %d gems, want them ann's", policy, s.balance(ann), s.balance(ben))
		}
		s.store.put("once", sold("once", adFree))
		s.granted(ann, "once")
		if _, err = s.claim(ben, "once"); (err == nil) != (policy == purchase.Transfer || policy == purchase.Share) {
			t.Errorf("%s: claim of what is kept for ever: got %v", policy, err)
		}
	}
}

func TestWhatTheStoreSaysIsSomebodysIsNeverTransferred(t *testing.T) {
	t.Parallel()
	for _, policy := range []purchase.RestorePolicy{purchase.Transfer, purchase.Share} {
		s, f := restoring(t, policy)
		for name, account := range map[string]string{"derived": s.tokenOf(ann), "bound": "an-account", "of one never here": s.tokenOf("dan")} {
			sale := renewed(name, 0)
			if account != s.tokenOf("dan") {
				sale.Account = account
			}
			f.offer(name, of(sale))
			s.granted(ann, name)
			sale.Account = account
			f.offer(name, of(later(sale, time.Second)))
			_, err := s.claim(ben, name)
			wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		}
		own := renewed("bens", 0)
		f.offer("bens", of(own))
		s.granted(ann, "bens")
		own.Account = s.tokenOf(ben)
		f.offer("bens", of(later(own, time.Second)))
		s.granted(ben, "bens")
	}
}

func TestWhatIsRefundedOrReplacedIsNotTransferredAndItsOwnerHearsOfIt(t *testing.T) {
	t.Parallel()
	for state, code := range map[purchase.SaleState]string{purchase.Refunded: "invalid_purchase", purchase.Replaced: "superseded_purchase"} {
		s, f := restoring(t, purchase.Transfer)
		sale := later(renewed("1", 0), time.Hour)
		sale.State = state
		f.offer("1", of(sale))
		_, err := s.claim(ben, "1")
		wantFault(t, err, fault.Invalid, code)
		if s.allowed(ann, "premium") || len(s.customer(ben).Sources()) != 0 || s.line("1").Owner != s.customer(ann).Ref {
			t.Errorf("%s: got premium for ann %t, ben has %v, want neither", state, s.allowed(ann, "premium"), s.customer(ben).Sources())
		}
	}
}

func TestWhatIsStillToBePaidIsNotTransferred(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.Restore = purchase.Transfer
	k.sell("tok-1", waiting(once(badge, "o1")))
	k.pending(ann, "tok-1")
	_, err := k.claim(ben, "tok-1")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
}

func TestAChainIsTransferredWithAllOfItsTokens(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.Restore = purchase.Transfer
	k.sell("tok-1", bundle(1, 0))
	k.granted(ann, "tok-1")
	before := k.sources(ann)
	k.granted(ben, "tok-1")
	if diff := cmp.Diff(before, k.sources(ben)); diff != "" || len(k.sources(ann)) != 0 || len(before) < 2 {
		t.Errorf("parts: ann has %v; hers of before (-) and ben's (+):\n%s", k.sources(ann), diff)
	}
	if got := k.count(ben, event.PurchaseTransferred); got != len(before) {
		t.Errorf("ben was told of %d transfers, want %d, one of each part", got, len(before))
	}
	if got := k.playOrder("o-extra").Customer; got != k.customer(ben).Ref {
		t.Errorf("order of an add-on: got customer %s, want ben", got)
	}
}

func TestWhatTakesThePlaceOfATransferredTokenIsItsNewOwners(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"claim", "notice"} {
		k := newTokens(t)
		k.Restore = purchase.Transfer
		k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
		k.granted(ann, "tok-old")
		k.granted(ben, "tok-old")
		k.upgrade("tok-new")
		k.Restore = purchase.Keep
		if by == "notice" {
			k.heard("tok-new")
		} else {
			_, err := k.claim(ann, "tok-new")
			wantFault(t, err, fault.Conflict, "owned_by_another_customer")
			k.granted(ben, "tok-new")
		}
		k.wantGives(ben, "pro")
		k.wantGives(ann, "")
	}
}

func TestEachFailureOfATransferEndsAsIfNoneHadBeen(t *testing.T) {
	t.Parallel()
	for _, policy := range []purchase.RestorePolicy{purchase.Transfer, purchase.Share} {
		s, _ := restoring(t, policy)
		s.granted(ben, "1")
		want := s.everything()
		for _, done := range []bool{false, true} {
			for _, lasting := range []bool{false, true} {
				for k := 1; ; k++ {
					s, _ := restoring(t, policy)
					ops := s.failing(k, done, lasting)
					_, err := s.claim(ben, "1")
					s.tables.Fail = nil
					if *ops < k {
						break
					}
					if err != nil && !fault.Retryable(err) {
						t.Errorf("%s, operation %d failing: got %v, want an outage", policy, k, err)
					}
					s.granted(ben, "1")
					if diff := cmp.Diff(want, s.everything()); diff != "" {
						t.Errorf("%s, operation %d failed (done %t, lasting %t): without (-) and with it (+) differ:\n%s", policy, k, done, lasting, diff)
					}
				}
			}
		}
	}
}

func TestTwoClaimsInEachOthersMiddleLeaveOneOwner(t *testing.T) {
	t.Parallel()
	s, _ := restoring(t, purchase.Transfer)
	s.meanwhile(func() { s.granted(cat, "1") })
	s.granted(ben, "1")
	if got := s.line("1"); got.Owner != s.customer(ben).Ref || len(got.Moves) != 2 || len(s.customer(cat).Sources()) != 0 {
		t.Errorf("got %+v, and cat has %v, want it ben's after cat", got, s.customer(cat).Sources())
	}
	// A renewal in the middle is not lost, nor is it the former owner's.
	s, _ = restoring(t, purchase.Transfer)
	s.meanwhile(func() { s.told(renewed("1", 1)) })
	s.granted(ben, "1")
	if got := s.source(ben, "1").OrderID; got != "apple_1-1" || len(s.customer(ann).Sources()) != 0 {
		t.Errorf("got %s for ben and %v for ann, want the renewal ben's", got, s.customer(ann).Sources())
	}
	s, _ = restoring(t, purchase.Transfer)
	s.meanwhile(func() { s.granted(ben, "1") })
	s.told(renewed("1", 1))
	if got := s.source(ben, "1").OrderID; got != "apple_1-1" || len(s.customer(ann).Sources()) != 0 {
		t.Errorf("a notice around a transfer: got %s for ben and %v for ann, want the renewal ben's", got, s.customer(ann).Sources())
	}
}

func TestMergedCustomersAreFollowed(t *testing.T) {
	t.Parallel()
	s, _ := restoring(t, purchase.Transfer)
	s.merge(cat, ann)
	before := len(s.line("1").Moves)
	s.granted(cat, "1") // hers
	if got := len(s.line("1").Moves); got != before {
		t.Errorf("claim of one's own: got %d moves, want %d", got, before)
	}
	s.granted(ben, "1")
	s.told(renewed("1", 1))
	if got := s.source(ben, "1").OrderID; got != "apple_1-1" || len(s.customer(cat).Sources()) != 0 {
		t.Errorf("got %s for ben and %v for cat, want it gone over", got, s.customer(cat).Sources())
	}
	s.wantReplayed(ben, cat)
	s.wantRebuilt()
}

func TestUpToFiveOthersShareAPurchase(t *testing.T) {
	t.Parallel()
	s, _ := restoring(t, purchase.Share)
	owner := s.source(ann, "1")
	for n := range 5 {
		who := fmt.Sprint("member-", n)
		s.granted(who, "1")
		want := owner
		want.Family = true
		if diff := cmp.Diff(want, s.source(who, "1")); diff != "" {
			t.Errorf("source of %s (-want +got):\n%s", who, diff)
		}
		if e := s.last(who, event.PurchaseShared); e.Other != s.customer(ann).Ref || e.ToOther {
			t.Errorf("%s was told %+v, want that ann shares", who, e)
		}
		if e := s.last(ann, event.PurchaseShared); e.Other != s.customer(who).Ref || !e.ToOther {
			t.Errorf("ann was told %+v, want that %s shares", e, who)
		}
	}
	_, err := s.claim(ben, "1")
	wantFault(t, err, fault.Conflict, "too_many_shares")
	before := s.everything()
	c := s.granted("member-2", "1")
	if c.Customer.Profile.ID != "member-2" || c.Order.Customer != s.customer(ann).Ref {
		t.Errorf("claim again: got customer %s, want the claimant", c.Customer.Profile.ID)
	}
	if diff := cmp.Diff(before, s.everything()); diff != "" {
		t.Errorf("claim again: got something written (-before +after):\n%s", diff)
	}
	for _, policy := range purchase.RestorePolicies { // who shares goes on so, and takes nothing away
		s.Restore = policy
		s.granted("member-3", "1")
		if got := s.line("1").Owner; got != s.customer(ann).Ref {
			t.Errorf("%s: got owner %s, want ann still", policy, got)
		}
	}
	if got := s.source(ann, "1"); got != owner {
		t.Errorf("ann has %v, want %v as before", got, owner)
	}
	s.wantReplayed(ann, "member-0", "member-4")
	s.wantRebuilt()
}

// step is that those who share have what the owner has, but for Family.
func (s *shop) inStep(owner string, others ...string) {
	s.Helper()
	for _, who := range others {
		want := s.customer(owner).Sources()
		for i := range want {
			want[i].Family = true
		}
		got := s.customer(who).Sources()
		byRef := func(a, b entitlement.Source) int { return strings.Compare(a.Ref, b.Ref) }
		slices.SortFunc(want, byRef)
		slices.SortFunc(got, byRef)
		if diff := cmp.Diff(want, got); diff != "" {
			s.Errorf("at %v: %s (-) and %s (+) are out of step:\n%s", s.clock.Now(), owner, who, diff)
		}
	}
}

func TestWhoSharesHearsEveryLaterWord(t *testing.T) {
	t.Parallel()
	s, _ := restoring(t, purchase.Share)
	s.granted(ben, "1")
	s.granted(cat, "1")
	words := []purchase.News{
		of(renewed("1", 1)),
		{Sales: []purchase.Sale{renewed("1", 1)}, Standing: purchase.Standing{
			AsOf: noon.AddDate(0, 2, 0), WillRenew: true, Retrying: true, GraceUntil: noon.AddDate(0, 2, 16),
		}},
		of(renewed("1", 2)),
		of(refunded(renewed("1", 2), time.Hour, 0)),
		of(later(renewed("1", 2), 2*time.Hour)),
	}
	for n, news := range words {
		told := len(s.events(ben))
		if ok, err := s.tell(news); !ok || err != nil {
			t.Fatalf("word %d: got %t, %v", n, ok, err)
		}
		s.inStep(ann, ben, cat)
		if len(s.events(ben)) != told+1 || s.last(ben, event.EntitlementUpdated).Entitlement != "premium" {
			t.Errorf("word %d: ben was told %v, want one more, of the entitlement", n, s.events(ben))
		}
	}
	if got := s.customer(ben).Conduct(); got.Count != 0 {
		t.Errorf("conduct of ben: got %d refunds, want none for what another paid", got.Count)
	}
	s.wantReplayed(ann, ben, cat)
	s.wantRebuilt()
	// One who shares becomes one with the owner, and one with another who shares.
	s.merge(ann, ben)
	s.told(renewed("1", 3))
	if got := s.source(ann, "1"); got.Family || got.OrderID != "apple_1-3" {
		t.Errorf("ann and ben are one: got %v, want ann's own", got)
	}
	s.inStep(ann, cat)
}

func TestWhoSharesAChainFollowsItsUpgrade(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.Restore = purchase.Share
	k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
	k.granted(ann, "tok-old")
	k.granted(ben, "tok-old")
	k.wantGives(ben, "premium")
	k.upgrade("tok-new")
	k.heard("tok-new")
	k.wantGives(ann, "pro")
	k.wantGives(ben, "pro")
	k.inStep(ann, ben)
	k.wantReplayed(ann, ben)
	k.wantRebuilt()
}

func TestTwoWhoShareAtOnceBothDo(t *testing.T) {
	t.Parallel()
	s, _ := restoring(t, purchase.Share)
	for n := range 4 {
		s.granted(fmt.Sprint("member-", n), "1")
	}
	s.meanwhile(func() { s.granted(cat, "1") })
	_, err := s.claim(ben, "1")
	wantFault(t, err, fault.Conflict, "too_many_shares")
	s.inStep(ann, cat, "member-0")
	if !errors.Is(err, fault.Conflict) || len(s.line("1").Shared) != 5 {
		t.Errorf("got %d who share, want five", len(s.line("1").Shared))
	}
}
