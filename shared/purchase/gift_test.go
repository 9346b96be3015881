package purchase_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/wallet"
)

func newGiftShop(t testing.TB) (*shop, *followed) {
	s, f := newFollowedShop(t)
	s.Catalog = groups(t)
	s.store.put("gems", sold("gems", gems))
	return s, f
}

// given is a gift that must be granted.
func (s *shop) given(who, to, evidence string) purchase.Claimed {
	s.Helper()
	c, err := s.gift(who, to, evidence)
	if err != nil || c.Order.State != purchase.OrderGranted {
		s.Fatalf("gift of %s from %s to %s: got %s, %v, want granted", evidence, who, to, c.Order.State, err)
	}
	return c
}

func TestAGiftIsGrantedToWhomItIsForAndBothAreTold(t *testing.T) {
	t.Parallel()
	s, _ := newGiftShop(t)
	c := s.given(ann, ben, "gems")
	a, b := s.customer(ann), s.customer(ben)
	if c.Customer.Ref != a.Ref {
		t.Errorf("answer: got customer %s, want who claimed it", c.Customer.Profile.ID)
	}
	if s.balance(ann) != 0 || s.balance(ben) != 100 {
		t.Errorf("got %d gems for ann and %d for ben, want 0 and 100", s.balance(ann), s.balance(ben))
	}
	if o := s.order("gems"); o.Customer != b.Ref || o.Giver != a.Ref {
		t.Errorf("order: got customer %s and giver %s, want ben and ann", o.Customer, o.Giver)
	}
	if l := s.line("gems"); l.Owner != b.Ref || l.Giver != a.Ref {
		t.Errorf("line: got owner %s and giver %s, want ben and ann", l.Owner, l.Giver)
	}
	if e := s.last(ben, event.PurchaseGranted); e.Other != a.Ref || e.ToOther || e.Credited != 100 || e.Amount != 0 {
		t.Errorf("ben was told %+v, want 100 from ann and none of the money", e)
	}
	if e := s.last(ann, event.GiftSent); e.Other != b.Ref || !e.ToOther || e.OrderID != "apple_gems" || e.Amount != 4900 || e.Currency != "KRW" {
		t.Errorf("ann was told %+v, want that it went to ben, and the money", e)
	}
	s.wantReplayed(ann, ben)
	s.wantRebuilt()
}

// Each event's balance is the ledger's: what ended is booked before what comes.
func TestWhatEndedIsBookedBeforeWhatComes(t *testing.T) {
	t.Parallel()
	s, _ := newGiftShop(t)
	c := s.customer(ann)
	end := s.clock.Now().Add(time.Hour)
	w, e := c.Wallets()["gems"].Credit(wallet.Lot{OrderID: "credit_x", Kind: wallet.Free, Granted: 50, ExpiresAt: &end})
	c.SetWallet("gems", w, e)
	c.Tell(event.Event{Type: event.WalletCredited, At: s.clock.Now()})
	writes, err := c.Writes(s.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.tables.Commit(t.Context(), writes...); err != nil {
		t.Fatal(err)
	}
	s.clock.move(2 * time.Hour)
	s.granted(ann, "gems")
	if got := s.events(ann); !slices.Equal(got, []event.Type{event.WalletCredited, event.WalletExpired, event.PurchaseGranted}) {
		t.Errorf("got events %v, want the end before what was bought", got)
	}
	if got := s.last(ann, event.PurchaseGranted); got.Balance == nil || *got.Balance != 100 {
		t.Errorf("got %+v, want a balance of 100", got)
	}
	s.wantReplayed(ann)
}

func TestTheRefundOfAGiftGoesBackTheSameWay(t *testing.T) {
	t.Parallel()
	s, _ := newGiftShop(t)
	s.given(ann, ben, "gems")
	s.spend(ben, 80)
	s.told(refunded(sold("gems", gems), time.Hour, 0))
	if s.balance(ben) != -80 || s.balance(ann) != 0 {
		t.Errorf("refunded: got %d for ben and %d for ann, want -80 and 0", s.balance(ben), s.balance(ann))
	}
	if a, b := s.customer(ann).Conduct(), s.customer(ben).Conduct(); a.Count != 1 || a.Refunds[0].Spent != 80 || a.Returned["KRW"] != 4900 || b.Count != 0 {
		t.Errorf("conduct: got %+v for ann and %+v for ben, want one refund, ann's", a, b)
	}
	if e := s.last(ann, event.GiftReturned); e.Other != s.customer(ben).Ref || !e.ToOther || e.OrderID != "apple_gems" {
		t.Errorf("ann was told %+v, want that it came back from ben", e)
	}
	s.last(ben, event.PurchaseRefunded)
	s.told(later(sold("gems", gems), 2*time.Hour))
	if s.balance(ben) != 20 || s.balance(ann) != 0 || s.customer(ann).Conduct().Count != 0 {
		t.Errorf("reversed: got %d for ben, %d for ann and %d refunds, want 20, 0 and none", s.balance(ben), s.balance(ann), s.customer(ann).Conduct().Count)
	}
	s.last(ben, event.PurchaseRestored)
	if got := s.count(ann, event.GiftSent); got != 2 {
		t.Errorf("ann was told of %d gifts, want it told again", got)
	}
	if e := s.last(ann, event.GiftSent); e.Amount != 0 {
		t.Errorf("told again: got an amount of %d, want the money told once", e.Amount)
	}
	s.wantReplayed(ann, ben)
	s.wantRebuilt()
}

func TestAGiftIsAnsweredAgainToBothAndGoesNowhereElse(t *testing.T) {
	t.Parallel()
	for _, reads := range []bool{false, true} {
		s, f, r := newReadingShop(t)
		s.Catalog, s.Restore = groups(t), purchase.Transfer
		sale := sold("badge", adFree)
		sale.Account = s.tokenOf(ann)
		f.offer("badge", of(sale))
		if reads {
			r.signed["badge"] = sale
		}
		s.given(ann, ben, "badge")
		before := s.everything()
		for name, again := range map[string]func() (purchase.Claimed, error){
			"the buyer's gift":        func() (purchase.Claimed, error) { return s.gift(ann, ben, "badge") },
			"the buyer's claim":       func() (purchase.Claimed, error) { return s.claim(ann, "badge") },
			"the recipient's claim":   func() (purchase.Claimed, error) { return s.claim(ben, "badge") },
			"the recipient to itself": func() (purchase.Claimed, error) { return s.gift(ben, ben, "badge") },
		} {
			if c, err := again(); err != nil || c.Order.ID != "apple_badge" || c.Order.Customer != s.customer(ben).Ref {
				t.Errorf("%s again (read %t): got %+v, %v, want the same order", name, reads, c.Order, err)
			}
		}
		for _, who := range []string{ann, ben} {
			_, err := s.gift(who, cat, "badge")
			wantFault(t, err, fault.Conflict, "already_granted")
		}
		_, err := s.claim(cat, "badge")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		_, err = s.gift(cat, ben, "badge")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		if diff := cmp.Diff(before, s.everything()); diff != "" {
			t.Errorf("claims again: got something written (-before +after):\n%s", diff)
		}
	}
}

func TestWhatWasGrantedIsNoGiftAnyMore(t *testing.T) {
	t.Parallel()
	s, _ := newGiftShop(t)
	s.granted(ann, "gems")
	_, err := s.gift(ann, ben, "gems")
	wantFault(t, err, fault.Conflict, "already_granted")
	// By a notice, to whom the store names.
	s.customerKnown(ann)
	sale := sold("named", gems)
	sale.Account = s.tokenOf(ann)
	s.store.put("named", sale)
	s.told(sale)
	_, err = s.gift(ann, ben, "named")
	wantFault(t, err, fault.Conflict, "already_granted")
	if s.balance(ann) != 200 || s.balance(ben) != 0 {
		t.Errorf("got %d for ann and %d for ben, want 200 and 0", s.balance(ann), s.balance(ben))
	}
}

func (s *shop) customerKnown(who string) {
	s.Helper()
	s.store.put("badge-"+who, sold("badge-"+who, adFree))
	s.granted(who, "badge-"+who)
}

func TestOnlyWhoMayClaimItCanGiveItAway(t *testing.T) {
	t.Parallel()
	s, _ := newGiftShop(t)
	for name, account := range map[string]string{"ann": s.tokenOf(ann), "ben": s.tokenOf(ben)} {
		sale := sold(name, gems)
		sale.Account = account
		s.store.put(name, sale)
	}
	s.customerKnown(ben)
	_, err := s.gift(cat, ben, "ann")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	_, err = s.gift(ann, ben, "ben") // his already
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	s.given(ann, ben, "ann")
	unknown := sold("unknown", gems)
	unknown.Account = "an-account"
	s.store.put("unknown", unknown)
	s.given(ann, ben, "unknown")
	// The name that the store was given is the buyer's from now on, not the recipient's.
	second := sold("second", gems)
	second.Account = "an-account"
	s.store.put("second", second)
	_, err = s.claim(ben, "second")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	s.granted(ann, "second")
	if s.balance(ann) != 100 || s.balance(ben) != 200 {
		t.Errorf("got %d for ann and %d for ben, want 100 and 200", s.balance(ann), s.balance(ben))
	}
}

func TestASubscriptionCannotBeGivenAway(t *testing.T) {
	t.Parallel()
	s, f := newGiftShop(t)
	f.offer("1", of(renewed("1", 0)))
	before := s.everything()
	_, err := s.gift(ann, ben, "1")
	wantFault(t, err, fault.Invalid, "not_giftable")
	if diff := cmp.Diff(before, s.everything()); diff != "" {
		t.Errorf("got something written (-before +after):\n%s", diff)
	}
	k := newTokens(t)
	k.sell("tok-1", waiting(month(basic, "o1", 1)))
	k.later()
	_, err = k.Claim(t.Context(), k.scope, ann, purchase.Proof{Store: "play", Evidence: "tok-1", GiftTo: ben})
	wantFault(t, err, fault.Invalid, "not_giftable")
}

func TestAGiftToOneselfIsAPlainClaim(t *testing.T) {
	t.Parallel()
	s, _ := newGiftShop(t)
	s.merge(ann, "ann-phone")
	s.given(ann, "ann-phone", "gems")
	if o := s.order("gems"); o.Giver != "" || s.balance(ann) != 100 || s.count(ann, event.GiftSent) != 0 {
		t.Errorf("got giver %q, balance %d and events %v, want a plain claim", o.Giver, s.balance(ann), s.events(ann))
	}
	_, err := s.gift(ann, "\x00", "gems")
	wantFault(t, err, fault.Malformed, "invalid_customer_id")
}

func TestAGiftThatWaitsForItsMoneyIsTheRecipientsOncePaid(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", waiting(once(coins, "o1")))
	k.later()
	c, err := k.Claim(t.Context(), k.scope, ann, purchase.Proof{Store: "play", Evidence: "tok-1", GiftTo: ben})
	if err != nil || c.Order.State != purchase.OrderPending {
		t.Fatalf("gift: got %+v, %v, want it pending", c.Order, err)
	}
	k.pay("tok-1")
	k.heard("tok-1")
	if k.balance(ben) != 100 || k.balance(ann) != 0 || k.playOrder("o1").Giver != k.customer(ann).Ref {
		t.Errorf("paid: got %d for ben, %d for ann and giver %q, want it ann's gift to ben", k.balance(ben), k.balance(ann), k.playOrder("o1").Giver)
	}
	k.last(ann, event.GiftSent)
	k.reviewed()
	k.wantTold("tok-1", 0, 1)
	k.granted(ann, "tok-1")
	k.granted(ben, "tok-1")
}

func TestMergesOfGiverAndRecipientAreFollowed(t *testing.T) {
	t.Parallel()
	s, _ := newGiftShop(t)
	s.given(ann, ben, "gems")
	s.merge(cat, ben)
	s.merge("dan", ann)
	s.told(refunded(sold("gems", gems), time.Hour, 0))
	if s.balance(cat) != 0 || s.customer("dan").Conduct().Count != 1 || s.count("dan", event.GiftReturned) != 1 {
		t.Errorf("got %d for cat, and dan was told %v, want it back from cat, to dan", s.balance(cat), s.events("dan"))
	}
}

func TestGiverAndRecipientWhoBecomeOneAreToldOnce(t *testing.T) {
	t.Parallel()
	s, _ := newGiftShop(t)
	s.given(ann, ben, "gems")
	s.merge(ben, ann)
	s.told(refunded(sold("gems", gems), time.Hour, 0))
	if s.balance(ben) != 0 || s.customer(ben).Conduct().Count != 1 || s.count(ben, event.GiftReturned) != 0 || s.count(ben, event.PurchaseRefunded) != 1 {
		t.Errorf("got a balance of %d and events %v, want one refund", s.balance(ben), s.events(ben))
	}
}

func TestEachFailureOfAGiftEndsAsIfNoneHadBeen(t *testing.T) {
	t.Parallel()
	s, _ := newGiftShop(t)
	s.given(ann, ben, "gems")
	want := s.everything()
	for _, done := range []bool{false, true} {
		for _, lasting := range []bool{false, true} {
			for k := 1; ; k++ {
				s, _ := newGiftShop(t)
				ops := s.failing(k, done, lasting)
				_, err := s.gift(ann, ben, "gems")
				s.tables.Fail = nil
				if *ops < k {
					break
				}
				if err != nil && !fault.Retryable(err) {
					t.Errorf("operation %d failing: got %v, want an outage", k, err)
				}
				s.given(ann, ben, "gems")
				if diff := cmp.Diff(want, s.everything()); diff != "" {
					t.Errorf("operation %d failed (done %t, lasting %t): without (-) and with it (+) differ:\n%s", k, done, lasting, diff)
				}
			}
		}
	}
}

func TestTwoGiftsOfOneThingAreOne(t *testing.T) {
	t.Parallel()
	s, _ := newGiftShop(t)
	s.meanwhile(func() { s.given(ann, cat, "gems") })
	_, err := s.gift(ann, ben, "gems")
	wantFault(t, err, fault.Conflict, "already_granted")
	if s.balance(ben) != 0 || s.balance(cat) != 100 {
		t.Errorf("got %d for ben and %d for cat, want it cat's", s.balance(ben), s.balance(cat))
	}
	s, _ = newGiftShop(t)
	s.meanwhile(func() { s.granted(ann, "gems") })
	_, err = s.gift(ann, ben, "gems")
	wantFault(t, err, fault.Conflict, "already_granted")
}

func TestWhatIsNoGiftIsKeptAsBefore(t *testing.T) {
	t.Parallel()
	s, _ := newGiftShop(t)
	s.granted(ann, "gems")
	for _, item := range s.everything() {
		for _, member := range []string{`"giver"`, `"shared"`, `"moves"`} {
			if strings.Contains(string(item.Data), member) {
				t.Errorf("%v: got %s in %s, want nothing of it", item.Key, member, item.Data)
			}
		}
	}
}
