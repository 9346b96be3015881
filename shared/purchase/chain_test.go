package purchase_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// oneAtATime says so when a customer may use none or both of two at any commit.
func (k *tokens) oneAtATime(who string) {
	k.Helper()
	k.Tables = watching{k.tables, func() {
		if got := k.gives(who); got != "premium" && got != "pro" {
			k.Errorf("after a commit: got %q, want premium or pro", got)
		}
	}}
}

func (k *tokens) upgrade(token string) {
	k.Helper()
	k.market.change("tok-old", func(t *ticket) { t.state = isReplaced; t.items[0].renews = false })
	k.later()
	k.sell(token, ticket{older: "tok-old", items: []item{month(higher, "new", 2)}})
}

func TestAnUpgradeTakesThePlaceOfTheOldTokenInOneCommit(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"claim", "notice", "notice of the old one first", "both"} {
		k := newTokens(t)
		k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
		k.granted(ann, "tok-old")
		k.oneAtATime(ann)
		k.upgrade("tok-new")
		switch way {
		case "claim":
			k.granted(ann, "tok-new")
		case "notice":
			k.heard("tok-new")
		case "notice of the old one first":
			// The market says that it is over before it is heard what took its place.
			k.market.change("tok-old", func(t *ticket) { t.state, t.items[0].renews = isPaid, true })
			k.heard("tok-old")
			k.heard("tok-new")
		case "both":
			k.heard("tok-new")
			k.granted(ann, "tok-new")
			k.heard("tok-old")
			k.heard("tok-new")
		}
		k.wantGives(ann, "pro")
		r := k.record("tok-new")
		if r.Line != tokenID("tok-old") || len(r.Tokens) != 2 || r.Tokens[0].ID != tokenID("tok-new") || r.Tokens[0].Over || !r.Tokens[1].Over {
			t.Errorf("%s: got line %+v, want that of the old token, the new one in front and the old one over", way, r)
		}
		if o := k.playOrder("old"); !o.Replaced || o.State != purchase.OrderGranted {
			t.Errorf("%s: got the old order %+v, want it replaced", way, o)
		}
		want := []event.Type{event.PurchaseGranted, event.PurchaseChanged}
		if way == "both" {
			want = append(want, event.EntitlementUpdated) // the old one says when it ended
		}
		if got := k.events(ann); !slices.Equal(got, want) {
			t.Errorf("%s: got events %v, want %v", way, got, want)
		}
		k.wantTold("tok-old", 1, 0)
		k.wantTold("tok-new", 1, 0)
	}
}

// The old token may be asked about after the new one was, and written down before it.
func TestWhatTheOldTokenSaysLastCountsNoMoreOnceANewOneTookItsPlace(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, time.Minute} { // the market's clock
		k := newTokens(t)
		k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
		k.granted(ann, "tok-old")
		k.later()
		k.sell("tok-new", ticket{older: "tok-old", items: []item{month(basic, "new", 2)}, paidAt: k.clock.Now().Add(ahead)})
		once := false
		k.market.after = func(_, token string) error {
			if token == "tok-new" && !once {
				once = true
				k.later()
				k.market.change("tok-old", func(t *ticket) { t.state, t.items[0].renews = isReplaced, false })
				k.heard("tok-old")
			}
			return nil
		}
		k.heard("tok-new")
		if got := k.sources(ann)["basic"]; len(k.sources(ann)) != 1 || got.OrderID != "play_new" || !got.WillRenew || got.State != "active" {
			t.Errorf("market ahead by %v: got %+v, want the new order's, which renews", ahead, got)
		}
		k.market.change("tok-new", func(t *ticket) { t.items[0].renews = false })
		k.heard("tok-new")
		if got := k.sources(ann)["basic"]; got.WillRenew {
			t.Errorf("market ahead by %v: got %+v, want that it renews no more", ahead, got)
		}
	}
}

func TestTheSameProductBoughtWithANewTokenIsARenewal(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
	k.granted(ann, "tok-old")
	k.later()
	k.sell("tok-new", ticket{older: "tok-old", items: []item{month(basic, "new", 2)}})
	k.granted(ann, "tok-new")
	k.wantGives(ann, "premium")
	if got := k.sources(ann)["basic"]; len(k.sources(ann)) != 1 || got.OrderID != "play_new" || !got.Until.Equal(noon.AddDate(0, 2, 0)) {
		t.Errorf("source: got %+v, want the new order's alone", got)
	}
	if got := k.events(ann); !slices.Equal(got, []event.Type{event.PurchaseGranted, event.PurchaseRenewed}) {
		t.Errorf("events: got %v, want granted and renewed", got)
	}
}

func TestAChainOfThreeWithAnUnknownMiddleIsOneLine(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{month(basic, "o1", 1)}})
	k.granted(ann, "tok-1")
	k.oneAtATime(ann)
	k.sell("tok-2", ticket{older: "tok-1", state: isReplaced, items: []item{month(basic, "o2", 1)}})
	k.sell("tok-3", ticket{older: "tok-2", items: []item{month(higher, "o3", 2)}})
	k.granted(ann, "tok-3")
	k.wantGives(ann, "pro")
	for _, token := range []string{"tok-1", "tok-2", "tok-3"} {
		if got := k.record(token).Line; got != tokenID("tok-1") {
			t.Errorf("line of %s: got %s, want the oldest's", token, got)
		}
	}
	_, err := k.claim(ben, "tok-2")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	_, err = k.claim(ann, "tok-2")
	wantFault(t, err, fault.Invalid, "superseded_purchase")
	k.wantGives(ann, "pro")
	k.granted(ann, "tok-3")
}

func TestAChainThatBreaksAtWhatTheStoreForgotIsALineAllTheSame(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]error{
		"404": fault.New(fault.NotFound, "not_in_store", "Never."), "410": errGone, "400": fault.New(fault.Invalid, "refused_by_store", "No."),
	} {
		k := newTokens(t)
		k.sell("tok-2", ticket{lost: lost})
		k.sell("tok-3", ticket{older: "tok-2", items: []item{month(higher, "o3", 2)}})
		k.granted(ann, "tok-3")
		k.wantGives(ann, "pro")
		if got := k.record("tok-3").Line; got != tokenID("tok-2") {
			t.Errorf("%s: got line %s, want that of the oldest known", name, got)
		}
		// What comes back is older than what the line holds.
		k.sell("tok-2", ticket{items: []item{month(basic, "o2", 1)}})
		k.heard("tok-2")
		k.wantGives(ann, "pro")
		if o := k.playOrder("o2"); !o.Replaced {
			t.Errorf("%s: got the forgotten order %+v, want it replaced", name, o)
		}
	}
}

func TestAChainWhoseMiddleIsOutOfReachIsNotDecided(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{month(basic, "o1", 1)}})
	k.granted(ann, "tok-1")
	k.sell("tok-2", ticket{older: "tok-1", state: isReplaced, items: []item{month(basic, "o2", 1)}})
	k.sell("tok-3", ticket{older: "tok-2", items: []item{month(higher, "o3", 2)}})
	k.market.before = func(_, token string) error {
		if token == "tok-2" {
			return outage
		}
		return nil
	}
	was := k.snapshot()
	_, err := k.claim(ben, "tok-3")
	wantFault(t, err, fault.Unavailable, "store_unavailable")
	if ok, err := k.LookAgain(t.Context(), k.scope, "play", "tok-3"); ok || !errors.Is(err, fault.Unavailable) {
		t.Errorf("notice: got %t, %v, want it to come again", ok, err)
	}
	if k.snapshot() != was {
		t.Error("got something written, want nothing")
	}
	k.market.up()
	_, err = k.claim(ben, "tok-3")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	k.granted(ann, "tok-3")
	k.wantGives(ann, "pro")
}

// The tables are asked about each token of a chain, and their silence is no answer.
func TestAChainIsNotDecidedWhileTheTablesAreSilent(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-2", ticket{older: "tok-1", items: []item{month(basic, "o2", 1)}})
	k.sell("tok-1", ticket{state: isReplaced, items: []item{month(basic, "o1", 1)}})
	k.Tables = deaf{Tables: k.tables}
	_, err := k.claim(ann, "tok-2")
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want an outage", err)
	}
	k.Tables = k.tables
	k.granted(ann, "tok-2")
}

func TestACycleOfTokensEnds(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]string{"itself": "tok-1", "another": "tok-2"} {
		k := newTokens(t)
		k.sell("tok-2", ticket{older: "tok-1", state: isReplaced, items: []item{month(basic, "o2", 1)}})
		k.sell("tok-1", ticket{older: next, items: []item{month(higher, "o1", 1)}})
		k.granted(ann, "tok-1")
		k.wantGives(ann, "pro")
		if got := len(k.market.asked); got > 3 {
			t.Errorf("%s: got %d questions, want each token asked once", name, got)
		}
		k.heard("tok-1")
		k.granted(ann, "tok-1")
		k.wantGives(ann, "pro")
		if k.heard("tok-2"); name == "itself" {
			continue
		}
		k.wantGives(ann, "pro")
		k.market.change("tok-1", func(t *ticket) { t.items[0] = month(higher, "o1..0", 2) })
		k.heard("tok-1")
		k.at(noon.AddDate(0, 1, 1))
		k.wantGives(ann, "pro")
	}
}

func TestAChainLongerThanTheBoundIsWalkedNoFurther(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	for n := range 40 {
		ticket := ticket{state: isReplaced, items: []item{month(basic, fmt.Sprint("o", n), 1)}}
		if n > 0 {
			ticket.older = fmt.Sprint("tok-", n-1)
		}
		k.sell(fmt.Sprint("tok-", n), ticket)
	}
	k.market.change("tok-39", func(t *ticket) { t.state = isPaid })
	k.granted(ann, "tok-39")
	if got := len(k.market.asked); got != 11 {
		t.Errorf("questions: got %d, want the token and ten before it", got)
	}
	if got := k.record("tok-39"); got.Line != tokenID("tok-29") || len(got.Tokens) != 1 {
		t.Errorf("line: got %+v, want that of the tenth before", got)
	}
	k.granted(ann, "tok-39")
	if got := len(k.market.asked); got != 12 {
		t.Errorf("questions of the same claim again: got %d, want one", got-11)
	}
}

// What a line remembers of its chain is bounded, and what it forgot is over.
func TestALineRemembersTheLatestOfItsTokens(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	for n := range 14 {
		ticket := ticket{items: []item{month(basic, fmt.Sprint("o", n), n+1)}}
		if n > 0 {
			ticket.older = fmt.Sprint("tok-", n-1)
		}
		token := fmt.Sprint("tok-", n)
		k.sell(token, ticket)
		k.granted(ann, token)
		k.wantGives(ann, "premium")
	}
	r := k.record("tok-13")
	if len(r.Tokens) != 8 || r.Tokens[0].ID != tokenID("tok-13") || r.Tokens[7].ID != tokenID("tok-6") {
		t.Errorf("tokens: got %d, want the latest eight", len(r.Tokens))
	}
	was := k.sources(ann)["basic"]
	_, err := k.claim(ann, "tok-0")
	wantFault(t, err, fault.Invalid, "superseded_purchase")
	if got := k.sources(ann)["basic"]; got != was {
		t.Errorf("source after a forgotten token came: got %+v, want %+v", got, was)
	}
	k.heard("tok-13")
	if got := k.sources(ann)["basic"]; got.OrderID != was.OrderID || !got.WillRenew {
		t.Errorf("source: got %+v, want %+v", got, was)
	}
	for n := range 14 {
		k.wantTold(fmt.Sprint("tok-", n), 1, 0)
	}
}

func TestATokenThatTookThePlaceOfAnotherCustomersIsRefused(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"known", "by the account of the old one", "through an unknown middle"} {
		k := newTokens(t)
		k.known(ann)
		k.known(ben)
		k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}, account: k.account(ben)})
		if way != "by the account of the old one" {
			k.granted(ben, "tok-old")
		}
		older := "tok-old"
		if way == "through an unknown middle" {
			k.sell("tok-mid", ticket{older: older, state: isReplaced, items: []item{month(basic, "mid", 1)}})
			older = "tok-mid"
		}
		k.sell("tok-new", ticket{older: older, items: []item{month(higher, "new", 1)}})
		was := k.snapshot()
		for range 2 {
			_, err := k.claim(ann, "tok-new")
			wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		}
		if k.snapshot() != was {
			t.Errorf("%s: got something written, want nothing", way)
		}
		k.wantTold("tok-new", 0, 0)
		k.granted(ben, "tok-new")
		k.wantGives(ben, "badge pro")
		k.wantGives(ann, "badge")
	}
}

func TestAPendingUpgradeKeepsTheOldProductUntilItIsPaid(t *testing.T) {
	t.Parallel()
	for _, paid := range []bool{true, false} {
		for _, claimed := range []bool{true, false} {
			k := newTokens(t)
			k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
			k.granted(ann, "tok-old")
			k.oneAtATime(ann)
			k.sell("tok-new", ticket{older: "tok-old", state: isPending, items: []item{month(higher, "", 2)}})
			if claimed {
				k.pending(ann, "tok-new")
			} else {
				k.heard("tok-new")
			}
			k.heard("tok-old")
			k.heard("tok-new")
			k.wantGives(ann, "premium")
			if h, _ := k.token("tok-old"); h.Over {
				t.Error("the old token is over while the new one is not paid")
			}
			if !paid {
				k.market.change("tok-new", func(t *ticket) { t.state = isCancelled })
				k.heard("tok-new")
				k.heard("tok-old")
				k.wantGives(ann, "premium")
				if r := k.record("tok-old"); len(r.Tokens) != 1 || r.Tokens[0].Over {
					t.Errorf("tokens: got %+v, want the old one alone", r.Tokens)
				}
				if got := k.sources(ann)["basic"]; !got.WillRenew || !got.Until.Equal(noon.AddDate(0, 1, 0)) {
					t.Errorf("source: got %+v, want the old product as it was", got)
				}
				continue
			}
			k.upgrade("tok-new")
			k.heard("tok-new")
			k.wantGives(ann, "pro")
		}
	}
}

// The upgrade may be heard of before the token that it is to take the place of.
func TestAPendingUpgradeOfATokenThatNobodyHeardOfKeepsIt(t *testing.T) {
	t.Parallel()
	for _, cancelled := range []bool{true, false} {
		k := newTokens(t)
		k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
		k.sell("tok-new", ticket{older: "tok-old", state: isPending, items: []item{month(higher, "", 2)}})
		k.pending(ann, "tok-new")
		if cancelled {
			k.market.change("tok-new", func(t *ticket) { t.state = isCancelled })
			k.heard("tok-new")
		}
		k.granted(ann, "tok-old")
		k.wantGives(ann, "premium")
		if h, _ := k.token("tok-old"); h.Over {
			t.Error("the old token is over, though nothing took its place")
		}
		next := "tok-new"
		if cancelled {
			next = "tok-next"
		}
		k.upgrade(next)
		k.heard(next)
		k.wantGives(ann, "pro")
		k.heard("tok-old")
		k.wantGives(ann, "pro")
	}
}

// What a pending upgrade took the place of is over once something takes the place of that.
func TestAnUpgradeOfWhatWasNeverHeardToBePaidEndsWhatWasBeforeIt(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{month(basic, "o1", 1)}})
	k.granted(ann, "tok-1")
	k.sell("tok-2", ticket{older: "tok-1", state: isPending, items: []item{month(basic, "", 2)}})
	k.pending(ann, "tok-2")
	k.sell("tok-3", ticket{older: "tok-2", items: []item{month(higher, "o3", 2)}})
	k.heard("tok-3")
	k.wantGives(ann, "pro")
	for _, token := range []string{"tok-1", "tok-2"} {
		if h, ok := k.token(token); !ok || !h.Over || h.Pending {
			t.Errorf("%s: got %+v, want it over", token, h)
		}
	}
}

func TestAReplacementThatWaitsKeepsTheOldProductUntilItsEnd(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-old", ticket{items: []item{month(higher, "old", 1)}})
	k.granted(ann, "tok-old")
	k.oneAtATime(ann)
	k.market.change("tok-old", func(t *ticket) { t.state = isReplaced })
	k.later()
	was := month(higher, "new", 1)
	was.renews, was.next = false, "basic"
	k.sell("tok-new", ticket{older: "tok-old", items: []item{was, {part: "basic", sku: basic, until: noon.AddDate(0, 1, 0), renews: true}}})
	k.granted(ann, "tok-new")
	k.wantGives(ann, "pro")
	end := noon.AddDate(0, 1, 0)
	k.at(end.Add(-time.Hour))
	k.heard("tok-old")
	k.heard("tok-new")
	k.wantGives(ann, "pro")
	if got := k.sources(ann)["higher"]; !got.Until.Equal(end) || got.Next != "basic" {
		t.Errorf("source: got %+v, want the old product until its end, and what comes then", got)
	}
	k.at(end.Add(time.Minute))
	k.Tables = k.tables
	k.market.change("tok-new", func(t *ticket) { t.items = []item{month(basic, "new..0", 2)} })
	k.heard("tok-new")
	k.wantGives(ann, "premium")
}

// A replacement that waits may show the old product by the old token alone.
func TestAReplacementThatWaitsKeepsWhatTheOldTokenSold(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-old", ticket{items: []item{month(higher, "old", 1), month(extra, "old-extra", 1)}})
	k.granted(ann, "tok-old")
	was := month(higher, "", 1)
	was.renews, was.next = false, "basic"
	k.sell("tok-new", ticket{older: "tok-old", items: []item{was, month(basic, "new", 2)}})
	k.granted(ann, "tok-new")
	k.wantGives(ann, "premium pro") // the add-on is not kept
	k.heard("tok-old")              // by its own word it is paid until its end
	k.wantGives(ann, "premium pro")
	k.at(noon.AddDate(0, 1, 0).Add(time.Minute))
	k.wantGives(ann, "premium")
	k.market.change("tok-new", func(t *ticket) { t.items = t.items[1:] })
	k.heard("tok-new")
	if o := k.playOrder("old"); !o.Replaced {
		t.Errorf("the old order: got %+v, want it replaced once nothing keeps it", o)
	}
}

func TestEachTopUpIsOwedAndAcknowledged(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.market.down("acknowledge")
	for n := range 3 {
		ticket := ticket{items: []item{month(basic, fmt.Sprint("o", n), n+1)}}
		ticket.items[0].renews = false
		if n > 0 {
			ticket.older = fmt.Sprint("tok-", n-1)
		}
		k.sell(fmt.Sprint("tok-", n), ticket)
		k.granted(ann, fmt.Sprint("tok-", n))
	}
	for n := range 3 {
		if h, _ := k.token(fmt.Sprint("tok-", n)); !h.Acknowledge || h.Over != (n < 2) {
			t.Errorf("top-up %d: got %+v, want it owed", n, h)
		}
	}
	k.market.up()
	k.untilDone(noon.Add(3 * time.Hour))
	for n := range 3 {
		k.wantTold(fmt.Sprint("tok-", n), 1, 0)
	}
	if got := k.sources(ann)["basic"].Until; !got.Equal(noon.AddDate(0, 3, 0)) {
		t.Errorf("until: got %v, want the last top-up's", got)
	}
}

// However many there are, none is forgotten that the store is still to be told of.
func TestAnOwedTokenIsNeverForgotten(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.market.down("acknowledge")
	const most = 12
	for n := range most {
		ticket := ticket{items: []item{month(basic, fmt.Sprint("o", n), n+1)}}
		if n > 0 {
			ticket.older = fmt.Sprint("tok-", n-1)
		}
		k.sell(fmt.Sprint("tok-", n), ticket)
		k.granted(ann, fmt.Sprint("tok-", n))
		if n == 2 {
			upgrade := waiting(month(higher, "", 30))
			upgrade.older = "tok-2"
			k.sell("tok-pending", upgrade)
			k.pending(ann, "tok-pending")
		}
	}
	if h, ok := k.token("tok-pending"); !ok || !h.Pending || len(k.record("tok-0").Tokens) != most+1 {
		t.Errorf("tokens: got %d, want all %d that are owed, and the pending one", len(k.record("tok-0").Tokens), most)
	}
	k.market.up()
	k.untilDone(noon.Add(3 * time.Hour))
	for n := range most {
		k.wantTold(fmt.Sprint("tok-", n), 1, 0)
	}
	if k.market.refused != 0 {
		t.Errorf("refusals: got %d, want none", k.market.refused)
	}
}

func TestAResubscriptionOutsideTheAppIsWhosTheExpiredOneWas(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		k := newTokens(t)
		k.known(ann)
		k.known(ben)
		k.sell("tok-old", ticket{state: isExpired, items: []item{month(basic, "old", 1)}, account: k.account(ann), acknowledged: true})
		k.at(noon.AddDate(0, 1, 1))
		if known {
			k.heard("tok-old")
		}
		k.sell("tok-new", ticket{older: "tok-old", outside: k.account(ann), items: []item{month(basic, "new", 3)}})
		_, err := k.claim(ben, "tok-new")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		k.heard("tok-new")
		k.wantGives(ann, "badge premium")
		if len(k.market.told) != 1 || k.market.told[0].Account != k.account(ann) || k.market.told[0].Part != "basic" {
			t.Errorf("known %t: got %+v told, want one acknowledgement with the account", known, k.market.told)
		}
	}
}

// What was said once of an account outlives the store's saying it.
func TestTheAccountOfAResubscriptionIsKeptUntilItIsAcknowledged(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.known(ann)
	k.sell("tok-new", ticket{outside: k.account(ann), items: []item{month(basic, "new", 1)}})
	k.market.down("acknowledge")
	k.heard("tok-new")
	name := k.account(ann)
	k.market.change("tok-new", func(t *ticket) { t.outside = "" })
	k.market.up()
	k.untilDone(noon.Add(3 * time.Hour))
	if len(k.market.told) != 1 || k.market.told[0].Account != name {
		t.Errorf("told: got %+v, want one acknowledgement with the account", k.market.told)
	}
}

func TestALateNoticeOfAnOldTokenGivesNothing(t *testing.T) {
	t.Parallel()
	for _, state := range []ticketState{isPaid, isExpired, isReplaced} {
		k := newTokens(t)
		k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
		k.granted(ann, "tok-old")
		k.upgrade("tok-new")
		k.granted(ann, "tok-new")
		k.market.change("tok-old", func(t *ticket) {
			t.state = state
			t.items = append(t.items, month(extra, "late", 3)) // of which nobody knew
			t.items[0] = month(basic, "old..0", 3)
		})
		k.oneAtATime(ann)
		k.heard("tok-old")
		_, err := k.claim(ann, "tok-old")
		wantFault(t, err, fault.Invalid, "superseded_purchase")
		k.wantGives(ann, "pro")
		for _, id := range []string{"old..0", "late"} {
			if o := k.playOrder(id); !o.Replaced {
				t.Errorf("state %d, order %s: got %+v, want it replaced", state, id, o)
			}
		}
		if got := k.record("tok-new").Parts; slices.ContainsFunc(got, func(p purchase.Part) bool { return p.Name == "extra" }) {
			t.Errorf("parts: got %+v, want no standing from a token that is over", got)
		}
	}
}

// A word of the old token must not put off what is to be asked about the new one.
func TestALateNoticeOfAnOldTokenLeavesTheNextLookAlone(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}, again: 13 * 24 * time.Hour})
	k.granted(ann, "tok-old")
	k.upgrade("tok-new")
	k.market.change("tok-new", func(t *ticket) { t.again = 13 * 24 * time.Hour })
	k.granted(ann, "tok-new")
	was := k.record("tok-new")
	k.heard("tok-old")
	if got := k.record("tok-new"); !got.Again.Equal(was.Again) || !got.CheckAt.Equal(was.CheckAt) || was.Again.IsZero() {
		t.Errorf("next look: got %v and %v, want %v and %v", got.Again, got.CheckAt, was.Again, was.CheckAt)
	}
}

func TestAnOldTokenThatIsHeardAfterTheNewOneGivesNothing(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"claim", "notice"} {
		k := newTokens(t)
		k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
		k.sell("tok-new", ticket{older: "tok-old", items: []item{month(higher, "new", 2)}})
		k.granted(ann, "tok-new")
		k.oneAtATime(ann)
		if way == "claim" {
			_, err := k.claim(ann, "tok-old")
			wantFault(t, err, fault.Invalid, "superseded_purchase")
		} else {
			k.heard("tok-old")
		}
		k.wantGives(ann, "pro")
		if o := k.playOrder("old"); !o.Replaced {
			t.Errorf("%s: got the old order %+v, want it replaced", way, o)
		}
		_, err := k.claim(ben, "tok-old")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		// It was delivered by what took its place, and its money goes back all the same unless
		// the store is told.
		k.untilDone(noon.Add(time.Hour))
		k.wantTold("tok-old", 1, 0)
	}
}

func TestALineThatNobodyClaimedIsHadFromAnyOfItsTokens(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
	k.heard("tok-old")
	k.upgrade("tok-new")
	k.heard("tok-new")
	if o := k.playOrder("old"); !o.Replaced || o.State != purchase.OrderUnclaimed {
		t.Errorf("old order: got %+v, want it replaced and unclaimed", o)
	}
	k.granted(ann, "tok-new")
	k.wantGives(ann, "pro")
	if got := k.events(ann); !slices.Equal(got, []event.Type{event.PurchaseGranted}) {
		t.Errorf("events: got %v, want one grant", got)
	}
	_, err := k.claim(ben, "tok-old")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	if o := k.playOrder("old"); o.Customer != k.customer(ann).Ref {
		t.Errorf("old order: got it of %q, want ann's", o.Customer)
	}
}

// What the line holds beside the token that is claimed gave way to nothing.
func TestTheFirstClaimOfATokenHasItsRenewals(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", bundle(1, 3))
	k.heard("tok-1")
	k.at(noon.AddDate(0, 1, 0))
	k.market.change("tok-1", func(t *ticket) { t.items = []item{month(basic, "o-basic..0", 2)} })
	k.granted(ann, "tok-1")
	k.wantGives(ann, "extra premium")
	for _, id := range []string{"o-basic", "o-basic..0", "o-extra"} {
		if o := k.playOrder(id); o.Replaced || o.Customer != k.customer(ann).Ref {
			t.Errorf("order %s: got %+v, want it ann's and not replaced", id, o)
		}
	}
}
