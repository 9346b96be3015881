package purchase_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

func waiting(i item) ticket { return ticket{state: isPending, items: []item{i}} }

// pay takes the money of what was pending.
func (k *tokens) pay(token string) {
	now := k.clock.Now()
	k.market.change(token, func(t *ticket) { t.state, t.paidAt, t.by = isPaid, now, now.Add(72*time.Hour) })
}

func TestAPendingPurchaseGoesOncePaidToWhoeverClaimedIt(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"notice", "review", "claim"} {
		for _, exists := range []bool{true, false} {
			k := newTokens(t)
			want := "film"
			if exists {
				k.known(ann)
				want = "badge film"
			}
			k.sell("tok-1", waiting(once(film, "o1")))
			k.pending(ann, "tok-1")
			if !k.customer(ann).Exists() {
				t.Errorf("%s: the customer who claimed does not exist, want it written", way)
			}
			if got := k.record("tok-1"); got.Owner != k.customer(ann).Ref || len(got.Terms) != 0 {
				t.Errorf("%s: got line %+v, want ann's, without any sale", way, got)
			}
			k.wantTold("tok-1", 0, 0)
			k.clock.move(20 * time.Hour)
			k.pay("tok-1")
			switch way {
			case "notice":
				k.heard("tok-1")
			case "review":
				k.reviewed()
			case "claim":
				k.granted(ann, "tok-1")
			}
			k.wantGives(ann, want)
			k.wantTold("tok-1", 0, 1)
			if h, _ := k.token("tok-1"); h.Pending || h.Secret != "tok-1" || h.Kind != kindOfToken {
				t.Errorf("%s: got token %+v, want it paid, and what to ask by", way, h)
			}
			_, err := k.claim(ben, "tok-1")
			wantFault(t, err, fault.Conflict, "owned_by_another_customer")
			if got := k.events(ann); got[len(got)-1] != event.PurchaseGranted {
				t.Errorf("%s: got events %v, want a grant", way, got)
			}
		}
	}
}

func TestAPendingClaimIsNobodyElses(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", waiting(once(coins, "o1")))
	k.pending(ann, "tok-1")
	was := k.snapshot()
	for range 2 {
		_, err := k.claim(ben, "tok-1")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	}
	if k.snapshot() != was {
		t.Error("got something written for the second customer, want nothing")
	}
	k.pay("tok-1")
	_, err := k.claim(ben, "tok-1")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	k.heard("tok-1")
	if got := k.balance(ann); got != 100 {
		t.Errorf("balance of ann: got %d, want 100", got)
	}
}

// The account says whose it is before anybody claims it.
func TestAPendingClaimOfWhatIsBoundToAnotherIsRefused(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.known(ann)
	pending := waiting(once(coins, "o1"))
	pending.account = k.account(ann)
	k.sell("tok-1", pending)
	was := k.snapshot()
	_, err := k.claim(ben, "tok-1")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	if k.snapshot() != was {
		t.Error("got something written, want nothing")
	}
}

func TestAPendingPurchaseThatNobodyClaimedWritesNothing(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", waiting(once(coins, "o1")))
	k.heard("tok-1")
	k.market.change("tok-1", func(t *ticket) { t.state = isCancelled })
	k.heard("tok-1")
	k.empty()
	_, err := k.claim(ann, "tok-1")
	wantFault(t, err, fault.Invalid, "invalid_purchase")
	k.empty()
}

func TestAPendingClaimThatComesTwiceIsWrittenOnce(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", waiting(once(coins, "o1")))
	commits := 0
	k.Tables = watching{k.tables, func() { commits++ }}
	for range 3 {
		k.pending(ann, "tok-1")
		k.heard("tok-1")
	}
	if commits != 1 {
		t.Errorf("commits: got %d, want one", commits)
	}
	if got := len(k.events(ann)); got != 0 {
		t.Errorf("events: got %d, want none", got)
	}
}

func TestACancelledPendingPurchaseIsForgotten(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"notice", "review", "claim"} {
		k := newTokens(t)
		k.sell("tok-1", waiting(once(coins, "o1")))
		k.pending(ann, "tok-1")
		k.clock.move(7 * time.Hour)
		k.market.change("tok-1", func(t *ticket) { t.state = isCancelled })
		switch way {
		case "notice":
			k.heard("tok-1")
		case "review":
			k.reviewed()
		case "claim":
			_, err := k.claim(ann, "tok-1")
			wantFault(t, err, fault.Invalid, "invalid_purchase")
		}
		asked := len(k.market.asked)
		if r := k.record("tok-1"); len(r.Tokens) != 0 || !r.CheckAt.IsZero() {
			t.Errorf("%s: got line %+v, want no token and no look at it", way, r)
		}
		k.clock.move(100 * 24 * time.Hour)
		if next := k.reviewed(); !next.IsZero() || len(k.market.asked) != asked {
			t.Errorf("%s: got %d questions and the next due %v, want none", way, len(k.market.asked)-asked, next)
		}
		if got := k.balance(ann); got != 0 || len(k.events(ann)) != 0 || len(k.tables.Items(table.Orders)) != 0 {
			t.Errorf("%s: got %d gems, %v and %d orders, want nothing granted", way, got, k.events(ann), len(k.tables.Items(table.Orders)))
		}
		k.wantTold("tok-1", 0, 0)
	}
}

// Cash payments take days. It is asked about again and again, not too often, whatever the
// store says meanwhile.
func TestWhatIsPendingIsAskedAboutUntilItIsDecided(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(*tokens){
		"pending": func(*tokens) {},
		"outage":  func(k *tokens) { k.market.down("follow") },
		"404":     func(k *tokens) { k.market.change("tok-1", func(t *ticket) { t.lost = errGone }) },
	} {
		k := newTokens(t)
		k.sell("tok-1", waiting(once(coins, "o1")))
		k.pending(ann, "tok-1")
		fails(k)
		reviews := k.untilDone(noon.Add(5 * 24 * time.Hour))
		if reviews < 15 || name == "pending" && reviews > 25 {
			t.Errorf("%s: got %d reviews in five days, want one each six hours", name, reviews)
		}
		if got := k.alarms(); got != 0 {
			t.Errorf("%s: got %d alarms, want none of what only waits", name, got)
		}
		k.market.up()
		k.market.change("tok-1", func(t *ticket) { t.lost = nil })
		k.pay("tok-1")
		k.untilDone(noon.Add(5*24*time.Hour + 7*time.Hour))
		if got := k.balance(ann); got != 100 {
			t.Errorf("%s: got a balance of %d, want 100", name, got)
		}
		k.wantTold("tok-1", 0, 1)
	}
}

// An upgrade that waits is asked about before the token that counts, which would be over by
// its own word.
func TestAPendingUpgradeIsAskedAboutBeforeTheOldToken(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
	k.granted(ann, "tok-old")
	k.sell("tok-new", ticket{older: "tok-old", state: isPending, items: []item{month(higher, "", 2)}})
	k.pending(ann, "tok-new")
	k.clock.move(7 * time.Hour)
	k.market.asked = nil
	k.reviewed()
	if want := []string{"tok-new", "tok-old"}; !slices.Equal(k.market.asked, want) {
		t.Errorf("asked about %v, want %v", k.market.asked, want)
	}
	k.oneAtATime(ann)
	k.clock.move(7 * time.Hour)
	k.upgrade("tok-new")
	k.reviewed()
	k.wantGives(ann, "pro")
}

// A purchase in an order that was granted and of which the store then says that it was never
// paid, was given back.
func TestAnOrderThatWasGrantedAndThenFailsIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"notice", "review", "claim"} {
		k := newTokens(t)
		k.sell("tok-1", ticket{items: []item{once(coins, "o1"), once(badge, "o2")}, again: time.Hour})
		k.granted(ann, "tok-1")
		k.market.change("tok-1", func(t *ticket) { t.state = isCancelled })
		for range 2 {
			switch way {
			case "notice":
				k.heard("tok-1")
			case "review":
				k.clock.move(2 * time.Hour)
				k.reviewed()
			case "claim":
				_, err := k.claim(ann, "tok-1")
				wantFault(t, err, fault.Invalid, "invalid_purchase")
			}
		}
		if got := k.balance(ann); got != 0 || k.playOrder("o1").State != purchase.OrderRefunded || k.playOrder("o2").State != purchase.OrderRefunded {
			t.Errorf("%s: got %d gems, %+v and %+v, want both taken back", way, got, k.playOrder("o1"), k.playOrder("o2"))
		}
		k.wantGives(ann, "")
		if got := k.events(ann); len(got) != 4 {
			t.Errorf("%s: got events %v, want two grants and two refunds", way, got)
		}
	}
}

func TestAnyOperationOfAPendingClaimMayFailAndItIsWrittenOnce(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		for n := 1; ; n++ {
			k := newTokens(t)
			k.sell("tok-1", waiting(once(coins, "o1")))
			ops, write := 0, false
			k.tables.Fail = func(op memory.Op) (bool, error) {
				if ops++; ops == n {
					write = op.Method == "Commit" // which is looked at again
					return done, broken()
				}
				return true, nil
			}
			_, err := k.claim(ann, "tok-1")
			k.tables.Fail = nil
			if ops < n {
				break
			}
			if !errors.Is(err, fault.Unavailable) && !(write && err == nil) || err != nil && strings.Contains(err.Error(), "tok-") {
				t.Errorf("operation %d failing, done %t: got %v, want an outage without the token", n, done, err)
			}
			k.pending(ann, "tok-1")
			_, err = k.claim(ben, "tok-1")
			wantFault(t, err, fault.Conflict, "owned_by_another_customer")
			k.pay("tok-1")
			k.heard("tok-1")
			if got := k.balance(ann); got != 100 {
				t.Errorf("operation %d failing, done %t: got a balance of %d, want 100", n, done, got)
			}
		}
	}
}
