package purchase_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// crash is what a caller never comes back from: it is no error that anybody handles.
type crash struct{}

// crashing claims, and dies where something panics.
func (k *tokens) crashing(who, token string) (died bool) {
	k.Helper()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case crash:
			died = true
		default:
			panic(r)
		}
	}()
	_, _ = k.claim(who, token)
	return false
}

// delivered are the kinds of a purchase, and how each is told of.
var delivered = map[string]struct {
	items                  func() []item
	acknowledged, consumed int
}{
	"subscription": {func() []item { return []item{month(basic, "o1", 1)} }, 1, 0},
	"badge":        {func() []item { return []item{once(badge, "o1")} }, 1, 0},
	"coins":        {func() []item { return []item{once(coins, "o1")} }, 0, 1},
	"film":         {func() []item { return []item{once(film, "o1")} }, 0, 1},
	"two of coins": {func() []item { return []item{once(coins, "o1"), once(film, "o1")} }, 0, 2},
	"mixed":        {func() []item { return []item{once(badge, "o1"), once(coins, "o1")} }, 1, 1},
}

func TestADeliveryIsToldToTheStoreOnceWhereNothingFails(t *testing.T) {
	t.Parallel()
	for name, c := range delivered {
		for _, way := range []string{"claim", "notice", "repeated", "unclaimed at first"} {
			k := newTokens(t)
			k.known(ann)
			k.market.told = nil
			sold := ticket{items: c.items()}
			if way == "notice" {
				sold.account = k.account(ann)
			}
			k.sell("tok-1", sold)
			switch way {
			case "claim":
				k.granted(ann, "tok-1")
			case "notice":
				k.heard("tok-1")
			case "repeated":
				for range 3 {
					k.granted(ann, "tok-1")
					k.heard("tok-1")
				}
			case "unclaimed at first":
				k.heard("tok-1")
				k.wantTold("tok-1", 0, 0)
				k.granted(ann, "tok-1")
			}
			k.wantTold("tok-1", c.acknowledged, c.consumed)
			h, _ := k.token("tok-1")
			if h.Acknowledge || len(h.Consume) != 0 || !h.By.IsZero() || !h.Due.IsZero() || h.Tries != 0 || h.Settled.IsZero() {
				t.Errorf("%s by %s: got %+v, want nothing owed", name, way, h)
			}
			k.untilDone(noon.Add(5 * 24 * time.Hour))
			k.heard("tok-1")
			k.wantTold("tok-1", c.acknowledged, c.consumed)
			if k.market.refused != 0 || k.alarms() != 0 {
				t.Errorf("%s by %s: got %d refusals and %d alarms, want none", name, way, k.market.refused, k.alarms())
			}
			for _, d := range k.market.told {
				if want := (purchase.Token{ID: tokenID("tok-1"), Secret: "tok-1", Kind: kindOfToken}); d.Token != want || d.Part == "" {
					t.Errorf("%s: told %+v, want it by %+v and one of its parts", name, d, want)
				}
			}
		}
	}
}

// A crash or a failure at each operation of the tables and each call of the store, before it
// has its effect or after, ends in a store that was told, well before it gives money back.
func TestAnythingMayFailAndTheStoreIsToldInTime(t *testing.T) {
	t.Parallel()
	for name, c := range delivered {
		for _, how := range []string{"fails", "fails after its effect", "crashes before it", "crashes after its effect"} {
			for n := 1; n < 60; n++ {
				k := newTokens(t)
				k.sell("tok-1", ticket{items: c.items()})
				ops, dying, lostAnswer := 0, false, false
				after, crashes := strings.HasSuffix(how, "effect"), strings.HasPrefix(how, "crashes")
				// strike counts an operation, and says whether it fails; it may never come back.
				strike := func() bool {
					if ops++; dying || crashes && !after && ops == n {
						panic(crash{})
					}
					dying = crashes && ops == n // with whatever comes next
					return !crashes && ops == n
				}
				k.tables.Fail = func(memory.Op) (bool, error) {
					if strike() {
						return after, broken()
					}
					return true, nil
				}
				lost := false
				k.market.before = func(call, _ string) error {
					if lost = strike(); lost && !after {
						return outage
					}
					lostAnswer = lostAnswer || call == "acknowledge" && ops == n && after
					return nil
				}
				k.market.after = func(string, string) error {
					if lost {
						return outage
					}
					return nil
				}
				died := k.crashing(ann, "tok-1")
				k.tables.Fail = nil
				k.market.up()
				if ops < n {
					break
				}
				if h, ok := k.find(tokenID("tok-1")); ok && h.Owner != "" {
					k.untilDone(noon.Add(4 * time.Hour)) // nobody comes again
				} else {
					k.granted(ann, "tok-1")
				}
				a, consumed := k.market.toldOf("tok-1")
				if a == 0 && consumed > 0 && k.market.tickets["tok-1"].acknowledged {
					a = c.acknowledged // to consume a part acknowledges all
				}
				if a != c.acknowledged || consumed != c.consumed {
					t.Errorf("%s, operation %d %s (died %t, answer lost %t): got %d and %d told, want %d and %d",
						name, n, how, died, lostAnswer, a, consumed, c.acknowledged, c.consumed)
				}
				if needless := k.market.refused; needless > 0 && !lostAnswer {
					t.Errorf("%s, operation %d %s: got %d needless calls, want none", name, n, how, needless)
				}
				if h, _ := k.token("tok-1"); h.Acknowledge || len(h.Consume) != 0 {
					t.Errorf("%s, operation %d %s: got %+v, want nothing owed", name, n, how, h)
				}
			}
		}
	}
}

func TestWhatIsOwedIsWrittenWithTheGrant(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(badge, "o1")}})
	k.market.down("acknowledge")
	var grants [][]table.Key
	k.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" && op.Touches(table.Orders) {
			grants = append(grants, op.Keys)
			for _, w := range op.Writes {
				if w.Item.Key.Table == table.Purchases && !strings.Contains(string(w.Item.Data), `"acknowledge":true`) {
					t.Errorf("got line %s written with the grant, want what the store is owed in it", w.Item.Data)
				}
			}
		}
		return true, nil
	}
	k.granted(ann, "tok-1")
	k.tables.Fail = nil
	tables := map[table.Table]bool{}
	for _, key := range grants[0] {
		tables[key.Table] = true
	}
	if len(grants) != 1 || !tables[table.Orders] || !tables[table.Purchases] || !tables[table.Customers] {
		t.Errorf("got the grants %v, want one of the order, its line and its customer", grants)
	}
	if got := k.record("tok-1"); !got.CheckAt.Equal(k.clock.Now().Add(2 * time.Minute)) {
		t.Errorf("next look: got %v, want two minutes after %v", got.CheckAt, k.clock.Now())
	}
}

func TestAStoreThatSaysAcknowledgedIsToldNothing(t *testing.T) {
	t.Parallel()
	for name, c := range delivered {
		k := newTokens(t)
		done := ticket{items: c.items(), acknowledged: true}
		for i := range done.items {
			done.items[i].unconsumed = false
		}
		k.sell("tok-1", done)
		k.granted(ann, "tok-1")
		k.untilDone(noon.Add(24 * time.Hour))
		k.wantTold("tok-1", 0, 0)
		if k.market.refused != 0 {
			t.Errorf("%s: got %d needless calls, want none", name, k.market.refused)
		}
	}
}

// An app may acknowledge what is still to be consumed, and consume by itself.
func TestWhatTheAppDidIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(badge, "o1"), once(coins, "o1")}, acknowledged: true})
	k.granted(ann, "tok-1")
	k.wantTold("tok-1", 0, 1)
	k.sell("tok-2", ticket{items: []item{once(coins, "o2")}})
	k.market.down("acknowledge")
	k.granted(ann, "tok-2")
	k.market.up()
	k.market.change("tok-2", func(t *ticket) { t.acknowledged, t.items[0].unconsumed = true, false })
	k.untilDone(noon.Add(3 * time.Hour))
	k.wantTold("tok-2", 0, 0)
	if k.market.refused != 0 {
		t.Errorf("needless calls: got %d, want none", k.market.refused)
	}
	// Of a token that is over too.
	k.market.told = nil
	k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
	k.market.down("acknowledge")
	k.granted(ann, "tok-old")
	k.upgrade("tok-new")
	k.granted(ann, "tok-new")
	k.market.up()
	k.market.change("tok-old", func(t *ticket) { t.acknowledged = true })
	k.untilDone(k.clock.Now().Add(3 * time.Hour))
	k.wantTold("tok-old", 0, 0)
	k.wantTold("tok-new", 1, 0)
	// Consumed but not acknowledged is no state that it should stay in.
	used := ticket{items: []item{once(coins, "o3")}}
	used.items[0].unconsumed = false
	k.sell("tok-3", used)
	k.granted(ann, "tok-3")
	k.wantTold("tok-3", 1, 0)
}

func TestWhatFailsIsToldAgainLaterAndLater(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(badge, "o1")}})
	k.market.down("acknowledge")
	k.granted(ann, "tok-1")
	for n, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60, 60} {
		h, _ := k.token("tok-1")
		if !h.Due.Equal(k.clock.Now().Add(want*time.Minute)) || h.Tries != n+1 || !h.Acknowledge {
			t.Errorf("after %d failures: got %+v at %v, want it due in %d minutes", n+1, h, k.clock.Now(), want)
		}
		if got := k.record("tok-1").CheckAt; !got.Equal(h.Due) {
			t.Errorf("next look: got %v, want %v", got, h.Due)
		}
		k.at(h.Due.Add(-2 * time.Second))
		asked := len(k.market.asked)
		k.reviewed()
		if len(k.market.asked) != asked {
			t.Errorf("after %d failures: asked before it was due", n+1)
		}
		k.at(h.Due.Add(-time.Second))
		k.reviewed()
	}
	for range 200 { // for months
		h, _ := k.token("tok-1")
		if wait := h.Due.Sub(k.clock.Now()); wait != time.Hour {
			t.Fatalf("after %d failures: got a wait of %v, want an hour", h.Tries, wait)
		}
		k.at(h.Due.Add(-time.Second))
		k.reviewed()
	}
	k.market.up()
	k.clock.move(time.Hour)
	k.reviewed()
	k.wantTold("tok-1", 1, 0)
	if h, _ := k.token("tok-1"); h.Tries != 0 || !h.Due.IsZero() || h.Alarmed || !h.By.IsZero() {
		t.Errorf("token: got %+v, want all of it forgotten", h)
	}
}

// While the store cannot be asked it may still be told.
func TestTheStoreIsToldThoughItCannotBeAsked(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(badge, "o1")}})
	k.market.down("acknowledge")
	k.granted(ann, "tok-1")
	k.market.down("follow")
	k.clock.move(time.Hour)
	k.reviewed()
	k.wantTold("tok-1", 1, 0)
}

func TestARefusedAcknowledgementIsLookedInto(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *ticket)
		state  purchase.OrderState
	}{
		"refunded":  {func(t *ticket) { t.items[0].refunded = true }, purchase.OrderRefunded},
		"cancelled": {func(t *ticket) { t.state = isCancelled }, purchase.OrderRefunded},
		"by the app": {func(t *ticket) {
			t.acknowledged, t.items[0].unconsumed = true, false
		}, purchase.OrderGranted},
	} {
		k := newTokens(t)
		k.sell("tok-1", ticket{items: []item{once(coins, "o1")}})
		k.market.before = func(call, _ string) error {
			if call == "acknowledge" {
				k.market.before = nil
				k.market.change("tok-1", c.change) // in the meantime
			}
			return nil
		}
		k.granted(ann, "tok-1")
		if k.market.refused != 1 {
			t.Fatalf("%s: got %d refusals, want one", name, k.market.refused)
		}
		asked := len(k.market.asked)
		k.untilDone(noon.Add(48 * time.Hour))
		if got := len(k.market.asked) - asked; got != 1 || k.market.refused != 1 {
			t.Errorf("%s: got %d questions and %d refusals, want one look and no other try", name, got, k.market.refused)
		}
		if got := k.playOrder("o1").State; got != c.state {
			t.Errorf("%s: got the order %s, want %s", name, got, c.state)
		}
		k.wantTold("tok-1", 0, 0)
		if h, _ := k.token("tok-1"); h.Acknowledge || len(h.Consume) != 0 {
			t.Errorf("%s: got %+v, want nothing owed", name, h)
		}
	}
}

// Whatever a store answers about one line, it stops no other.
func TestAStoreThatCannotBeToldOfOneLineIsToldOfTheOthers(t *testing.T) {
	t.Parallel()
	for _, kind := range []error{fault.Invalid, fault.NotFound, fault.Malformed, fault.Denied, fault.Unavailable} {
		k := newTokens(t)
		k.market.down("acknowledge")
		for n := range 12 {
			token := fmt.Sprint("tok-", n)
			k.sell(token, ticket{items: []item{once(badge, fmt.Sprint("o", n))}})
			k.granted(ann, token)
		}
		k.market.before = func(call, token string) error {
			if call == "acknowledge" && token == "tok-5" {
				return fault.New(kind, "refused_by_store", "Not this one.")
			}
			return nil
		}
		k.clock.move(time.Hour)
		k.reviewed()
		for n := range 12 {
			if n != 5 {
				k.wantTold(fmt.Sprint("tok-", n), 1, 0)
			}
		}
		if h, _ := k.token("tok-5"); !h.Acknowledge || h.Tries != 2 {
			t.Errorf("%v: got %+v, want it still owed", kind, h)
		}
	}
}

func TestAPersonIsToldOnceThatMoneyGoesBackSoon(t *testing.T) {
	t.Parallel()
	for _, claimed := range []bool{true, false} {
		k := newTokens(t)
		k.sell("tok-1", ticket{items: []item{once(badge, "o1")}})
		by := k.clock.Now().Add(72 * time.Hour)
		k.market.down("acknowledge")
		if claimed {
			k.granted(ann, "tok-1")
		} else {
			k.heard("tok-1")
		}
		k.untilDone(by.Add(-25 * time.Hour))
		if got := k.alarms(); got != 0 {
			t.Errorf("claimed %t: got %d alarms more than a day before, want none", claimed, got)
		}
		k.untilDone(by.Add(-22 * time.Hour))
		if got := k.alarms(); got != 1 {
			t.Errorf("claimed %t: got %d alarms within a day, want one", claimed, got)
		}
		k.untilDone(by.Add(48 * time.Hour))
		if got := k.alarms(); got != 1 {
			t.Errorf("claimed %t: got %d alarms, want one for all", claimed, got)
		}
		k.market.up()
		k.granted(ann, "tok-1")
		k.untilDone(by.Add(50 * time.Hour))
		k.wantTold("tok-1", 1, 0)
	}
}

// What is only to be made buyable again costs nobody money.
func TestNobodyIsAlarmedWhereNoMoneyGoesBack(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(coins, "o1")}, acknowledged: true})
	k.market.down("acknowledge")
	k.granted(ann, "tok-1")
	k.untilDone(noon.Add(5 * 24 * time.Hour))
	if got := k.alarms(); got != 0 {
		t.Errorf("alarms: got %d, want none", got)
	}
	k.market.up()
	k.untilDone(noon.Add(6 * 24 * time.Hour))
	k.wantTold("tok-1", 0, 1)
}

// What is not in three days but in minutes is told of at once.
func TestALicenseTestersUnclaimedPurchaseIsAlarmedAtOnce(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(badge, "o1")}, by: k.clock.Now().Add(3 * time.Minute), test: true})
	k.heard("tok-1")
	k.reviewed()
	k.reviewed()
	if got := k.alarms(); got != 1 {
		t.Errorf("alarms: got %d, want one", got)
	}
}

func TestARefundEndsWhatIsOwed(t *testing.T) {
	t.Parallel()
	for _, items := range [][]item{{month(basic, "o1", 1)}, {once(coins, "o1")}} {
		k := newTokens(t)
		k.sell("tok-1", ticket{items: items})
		k.market.down("acknowledge")
		k.granted(ann, "tok-1")
		k.market.up()
		k.market.change("tok-1", func(t *ticket) { t.items[0].refunded = true })
		k.heard("tok-1")
		if h, _ := k.token("tok-1"); h.Acknowledge || len(h.Consume) != 0 || !h.Due.IsZero() || !h.By.IsZero() {
			t.Errorf("token: got %+v, want nothing owed", h)
		}
		k.untilDone(noon.Add(4 * 24 * time.Hour))
		k.wantTold("tok-1", 0, 0)
		if k.market.refused != 0 || k.alarms() != 0 {
			t.Errorf("got %d refusals and %d alarms, want none", k.market.refused, k.alarms())
		}
	}
}

// A word may have been asked for before the store was told, and come after.
func TestAWordFromBeforeTheAcknowledgementOwesNothing(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(coins, "o1"), once(badge, "o2")}})
	k.granted(ann, "tok-1")
	for _, ago := range []time.Duration{time.Second, 0} {
		old := ticket{items: []item{once(coins, "o1"), once(badge, "o2")}, by: noon.Add(72 * time.Hour)}
		h, _ := k.token("tok-1")
		k.market.words["word"] = old.news("tok-1", h.Settled.Add(-ago))
		k.heard("word")
		k.wantTold("tok-1", 1, 1)
		if h, _ := k.token("tok-1"); h.Acknowledge || len(h.Consume) != 0 || !h.Due.IsZero() {
			t.Errorf("word from %v before: got %+v, want nothing owed", ago, h)
		}
	}
	// One from afterwards knows better: the store was told and did not keep it.
	k.market.change("tok-1", func(t *ticket) { t.acknowledged = false; t.items[0].unconsumed = true })
	k.heard("tok-1")
	k.wantTold("tok-1", 2, 2)
}

// A failure puts a duty off; a later word that says the same does not make it newer.
func TestAWordDoesNotPutOffWhatIsOwed(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(badge, "o1")}})
	k.market.down("acknowledge")
	k.granted(ann, "tok-1")
	was, _ := k.token("tok-1")
	k.clock.move(time.Minute)
	k.heard("tok-1")
	if got, _ := k.token("tok-1"); !got.Due.Equal(was.Due) || got.Tries != was.Tries {
		t.Errorf("token: got %+v, want it due as before, %+v", got, was)
	}
	k.wantTold("tok-1", 0, 0)
}

func TestWhatIsConsumedInPartIsFinished(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(coins, "o1"), once(film, "o1")}})
	calls := 0
	k.market.before = func(call, _ string) error {
		if call == "acknowledge" {
			if calls++; calls == 2 {
				return outage
			}
		}
		return nil
	}
	k.granted(ann, "tok-1")
	if h, _ := k.token("tok-1"); !slices.Equal(h.Consume, []string{"film"}) || h.Tries != 1 {
		t.Errorf("token: got %+v, want the second part owed", h)
	}
	k.untilDone(noon.Add(time.Hour))
	k.wantTold("tok-1", 0, 2)
	if calls != 3 || k.market.refused != 0 {
		t.Errorf("calls: got %d with %d refusals, want three and none", calls, k.market.refused)
	}
}

// Some of a request's time is kept for writing down that the store was told.
func TestTheStoreIsToldWithinTheTimeThereIs(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(badge, "o1")}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	all, _ := ctx.Deadline()
	k.Stores["play"] = timed{k.market, func(ctx context.Context) {
		if got, ok := ctx.Deadline(); !ok || !got.Equal(all.Add(-2*time.Second)) {
			t.Errorf("telling ends %v before the request does, want 2 s", all.Sub(got))
		}
	}}
	if _, err := k.Claim(ctx, k.scope, ann, purchase.Proof{Store: "play", Evidence: "tok-1"}); err != nil {
		t.Fatal(err)
	}
	k.wantTold("tok-1", 1, 0)
}

// timed looks at the time that there is to tell the store.
type timed struct {
	*market
	within func(ctx context.Context)
}

func (s timed) Acknowledge(ctx context.Context, d purchase.Delivery) error {
	s.within(ctx)
	return s.market.Acknowledge(ctx, d)
}

// What other writes come between is no failure, unless there is no end of them.
func TestOtherWritesDoNotKeepFromWritingDownThatTheStoreWasTold(t *testing.T) {
	t.Parallel()
	for conflicts, told := range map[int]bool{5: true, 1000: false} {
		k := newTokens(t)
		k.sell("tok-1", ticket{items: []item{once(badge, "o1")}})
		tries := 0
		k.tables.Fail = func(op memory.Op) (bool, error) {
			if op.Method == "Commit" && !op.Touches(table.Orders) {
				if tries++; tries <= conflicts {
					return false, &table.Conflict{}
				}
			}
			return true, nil
		}
		k.granted(ann, "tok-1")
		k.tables.Fail = nil
		if h, _ := k.token("tok-1"); h.Acknowledge == told || tries > 60 {
			t.Errorf("%d conflicts: got %+v after %d tries, want it written %t", conflicts, h, tries, told)
		}
		k.untilDone(noon.Add(time.Hour))
		k.wantTold("tok-1", 1, 0)
	}
}

// A store acknowledges nothing that was consumed.
func TestWhatIsConsumedIsAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(coins, "o1"), once(badge, "o1")}})
	k.granted(ann, "tok-1")
	if got := k.market.told; len(got) != 2 || got[0].Consume || !got[1].Consume {
		t.Errorf("told: got %d deliveries, want one acknowledged, and then one consumed", len(got))
	}
}
