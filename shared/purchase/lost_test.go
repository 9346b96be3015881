package purchase_test

import (
	"testing"
	"time"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
)

// lost has the answers of so many commits get lost; done says whether they happened.
func (s *shop) lost(times int, done bool) {
	s.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" && times > 0 {
			times--
			return done, broken()
		}
		return true, nil
	}
}

func TestAGrantWhoseAnswerWasLostIsAnsweredAsGranted(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{true, false} {
		s := newShop(t)
		s.store.put("gems", sold("gems", gems))
		s.lost(2, done)
		c := s.granted(ann, "gems")
		s.tables.Fail = nil
		if c.Customer.Wallets()["gems"].Balance(noon) != 100 || s.balance(ann) != 100 || len(s.events(ann)) != 1 {
			t.Errorf("done %t: got a balance of %d and events %v, want it granted once", done, s.balance(ann), s.events(ann))
		}
	}
}

func TestTablesThatNeverAnswerEndAClaimSoon(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.store.put("gems", sold("gems", gems))
	commits := 0
	s.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method != "Commit" {
			return true, nil
		}
		commits++
		return false, broken()
	}
	_, err := s.claim(ann, "gems")
	wantFault(t, err, fault.Unavailable, "tables_unavailable")
	if commits != 3 {
		t.Errorf("got %d writes, want it looked at again twice", commits)
	}
	// Whatever else fails is not looked at again.
	reads := 0
	s.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method != "GetAll" {
			return true, nil
		}
		reads++
		return false, broken()
	}
	_, err = s.claim(ann, "gems")
	wantFault(t, err, fault.Unavailable, "tables_unavailable")
	if reads != 1 {
		t.Errorf("got %d reads, want one", reads)
	}
}

func TestTheStoreIsToldAtOnceThoughTheAnswerWasLost(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{true, false} {
		k := newTokens(t)
		k.sell("tok-1", ticket{items: []item{once(coins, "o1")}})
		k.lost(1, done)
		k.granted(ann, "tok-1")
		k.tables.Fail = nil
		k.wantTold("tok-1", 0, 1)
	}
}

func TestATransferAndAGiftWhoseAnswerWasLostAreDoneOnce(t *testing.T) {
	t.Parallel()
	s, _ := restoring(t, purchase.Transfer)
	s.lost(1, true)
	s.granted(ben, "1")
	s.tables.Fail = nil
	if got := s.line("1").Moves; len(got) != 1 || s.count(ben, event.PurchaseTransferred) != 1 {
		t.Errorf("got %d moves and ben was told %v, want one", len(got), s.events(ben))
	}
	s, _ = newGiftShop(t)
	s.lost(1, true)
	s.given(ann, ben, "gems")
	s.tables.Fail = nil
	if s.balance(ben) != 100 || s.count(ann, event.GiftSent) != 1 {
		t.Errorf("got a balance of %d and ann was told %v, want one gift", s.balance(ben), s.events(ann))
	}
}

func TestWhatIsToldSaysWhyItHappened(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	s.owned(f, "1")
	want := func(kind event.Type, want event.Cause) {
		t.Helper()
		if got := s.last(ann, kind).Cause; got == nil || *got != want {
			t.Errorf("%s: got cause %+v, want %+v", kind, got, want)
		}
	}
	want(event.PurchaseGranted, event.Cause{Kind: event.ByClaim})
	s.told(renewed("1", 1))
	want(event.PurchaseRenewed, event.Cause{Kind: event.ByNotice, Provider: "apple"})
	named := event.Cause{Kind: event.ByNotice, Provider: "apple", ID: "notice-7"}
	word := f.hang(of(refunded(renewed("1", 1), time.Hour, 0)))
	if _, err := s.LookAgain(event.Because(t.Context(), named), s.scope, "apple", word); err != nil {
		t.Fatal(err)
	}
	want(event.PurchaseRefunded, named)
	f.lines["1"] = of(renewed("1", 2))
	s.at(s.line("1").CheckAt)
	if _, err := s.Review(event.Because(t.Context(), event.Cause{Kind: event.BySchedule}), s.scope, "apple", 10); err != nil {
		t.Fatal(err)
	}
	want(event.PurchaseRenewed, event.Cause{Kind: event.ByReview, Provider: "apple"})
	asked := event.Cause{Kind: event.ByRequest, Actor: "key_12345678"}
	s.store.put("2", sold("2", adFree))
	if _, err := s.Claim(event.Because(t.Context(), asked), s.scope, ann, purchase.Proof{Store: "apple", Evidence: "2"}); err != nil {
		t.Fatal(err)
	}
	want(event.PurchaseGranted, asked)
}
