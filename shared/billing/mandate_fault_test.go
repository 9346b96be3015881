package billing_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/memory"
	"grantline/shared/money"
)

// Everything goes wrong at random, for weeks, with a gateway that would do all of it twice:
// every operation on the tables, every call and every notice may fail either way, be late,
// doubled or lost, and the customer mends, asks and leaves as it likes.
func TestMoneyIsKeptOncePerPeriodThroughBadMonthsWithMandates(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		w := badMonthsAbroad(t, seed)
		w.sound()
		s := w.subscription("sub-1")
		if s.State == billing.StateActive && !s.Ending && !w.allowed() {
			t.Errorf("got an active subscription without access, paid until %v at %v", s.PaidUntil, w.clock.Now())
		}
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func badMonthsAbroad(t testing.TB, seed uint64) *abroad {
	start := noon.Add(time.Duration(seed%720) * time.Hour)
	w := newAbroad(t, start)
	dice := rand.New(rand.NewPCG(seed, 11))
	w.rand, w.compares = dice, true
	bad := true
	w.chaos(dice, []int{200, 50, 20, 8}[seed%4], &bad)
	w.dodo.holds, w.dodo.ends = seed%2 == 0, seed%5 == 0
	w.dodo.settles, w.dodo.slow = []time.Duration{0, 5 * time.Second, 20 * time.Minute}[seed%3], []time.Duration{0, time.Hour}[seed%2]
	r := invitation("usd-weekly", seed%3 == 0)
	page, approved := "", start.Add(time.Duration(dice.IntN(70))*time.Hour)
	for n, step := 0, 6*time.Hour; n < 4*45; n++ {
		s, err := w.biller.Get(t.Context(), scope, r.ID)
		if err != nil || s.State == billing.StatePending && s.Step == billing.StepAwait && len(s.BillingKey) == 0 || s.Refusal != "" {
			if created, err := w.ask(r); err == nil && created.Link != "" { // until there is a page
				page = created.Link
			}
		}
		if now := w.clock.Now(); now.After(approved) && len(w.dodo.mandates) > 0 {
			switch m := w.dodo.newest(); {
			case m.open && m.page != page: // nobody has seen it
			case m.open && dice.IntN(4) == 0 && w.dodo.ends:
				w.dodo.fail("DO_NOT_HONOR")
			case m.open:
				w.dodo.approve([]string{"CARD_DECLINED", "INSUFFICIENT_FUNDS"}[:dice.IntN(3)]...)
			case m.state == billing.MandateOnHold && dice.IntN(8) == 0, m.state == billing.MandateActive && dice.IntN(40) == 0:
				w.dodo.mended(fmt.Sprintf("pm_new_%d", n))
			case dice.IntN(20) == 0:
				d := billing.Demand{OrderID: fmt.Sprintf("demand-%d", n), Amount: money.Of(500, "USD")}
				_ = w.invoke(func(ctx context.Context) error { _, err := w.biller.Demand(ctx, scope, r.ID, d); return err })
			case dice.IntN(40) == 0:
				_ = w.invoke(func(ctx context.Context) error {
					_, _, _, err := w.biller.ChangeMethod(ctx, scope, r.ID, nil, "")
					return err
				})
			case dice.IntN(60) == 0:
				a := billing.RefundAsk{OrderID: fmt.Sprintf("demand-%d", dice.IntN(n+1)), Reason: "asked for", Reference: "r"}
				_ = w.invoke(func(ctx context.Context) error { _, _, err := w.biller.Refund(ctx, scope, a); return err })
			case seed%7 == 6 && dice.IntN(100) == 0:
				_ = w.invoke(func(ctx context.Context) error {
					_, err := w.biller.Cancel(ctx, scope, r.ID, dice.IntN(2) == 0)
					return err
				})
			}
		}
		w.until(w.clock.Now().Add(step))
	}
	bad = false // and then quiet days, without which nothing could be settled
	if m := w.dodo.newest(); m.state == billing.MandateOnHold {
		w.dodo.mended("pm_last")
	}
	w.until(w.clock.Now().Add(days(14)))
	return w
}

// Every operation on the tables between the invitation and the activation may fail.
func TestAnyOperationOfASignUpMayFailAndMoneyIsTakenOnce(t *testing.T) {
	t.Parallel()
	signUp := func(fail func(*abroad)) *abroad {
		w := newAbroad(t, noon)
		if fail != nil {
			fail(w)
		}
		for try := 0; ; try++ {
			err := w.invoke(func(ctx context.Context) error {
				_, err := w.biller.Subscribe(ctx, scope, invitation("usd", false))
				return err
			})
			if err == nil {
				break
			}
			if try == 5 {
				t.Fatalf("Subscribe: got %v", err)
			}
			w.until(w.clock.Now().Add(3 * time.Minute))
		}
		w.dodo.approve("CARD_DECLINED")
		w.until(noon.Add(days(2)))
		return w
	}
	all := 0
	signUp(func(w *abroad) { w.tables.Fail = func(memory.Op) (bool, error) { all++; return true, nil } }).sound()
	for k := 1; k <= all; k++ {
		for _, done := range []bool{false, true} {
			w := signUp(func(w *abroad) { failing(k, done)(w.world) })
			w.tables.Fail = nil
			w.wantState(billing.StateActive)
			w.wantKept("0.1")
			if w.sound(); t.Failed() {
				t.Fatalf("with operation %d of %d failing, done %v", k, all, done)
			}
		}
	}
}

// A sign-up is given up, and at any point of it something fails: what its page took before
// or takes after is given back, or is the first period's.
func TestAnyOperationOfGivingUpASignUpMayFail(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(*abroad){
		"paid before": func(w *abroad) {
			w.dodo.post = silent
			w.until(noon.Add(time.Minute))
			w.dodo.approve()
			w.clock.set(noon.Add(2 * time.Minute))
			w.dodo.set(func(m *mandate) { m.state = billing.MandateEnded })
		},
		"paid at that moment": func(w *abroad) { w.until(noon.Add(14 * 24 * time.Hour)) },
	} {
		giveUp := func(fail func(memory.Op) (bool, error)) *abroad {
			w := newAbroad(t, noon)
			w.dodo.settles = 0
			w.asked(invitation("usd", false))
			act(w)
			w.tables.Fail = fail
			for calls := w.dodo.count("find"); w.dodo.count("find") == calls && w.clock.Now().Before(noon.Add(days(16))); {
				w.tables.Fail = nil
				next := w.subscription("sub-1").WakeAt
				if w.tables.Fail = fail; !next.After(w.clock.Now()) {
					next = w.clock.Now().Add(time.Minute)
				}
				w.until(next)
			}
			w.dodo.approve() // if it still can be
			w.until(w.clock.Now().Add(days(5)))
			w.tables.Fail = nil
			return w
		}
		all := 0
		giveUp(func(memory.Op) (bool, error) { all++; return true, nil })
		for k := 1; k <= all; k++ {
			for _, done := range []bool{false, true} {
				n := 0
				w := giveUp(func(memory.Op) (bool, error) {
					if n++; n == k {
						return done, broken()
					}
					return true, nil
				})
				want := 0
				if w.subscription("sub-1").State == billing.StateActive {
					want = 1
				}
				if got := len(w.dodo.kept()); got != want || len(w.dodo.sent()) > 0 {
					t.Errorf("kept %d payments of a subscription that is %s, and sent %d charges", got, w.subscription("sub-1").State, len(w.dodo.sent()))
				}
				if w.sound(); t.Failed() {
					t.Fatalf("%s, with operation %d of %d failing, done %v", name, k, all, done)
				}
			}
		}
	}
}

// chaos lets one operation in so many go wrong while it is bad.
func (w *abroad) chaos(dice *rand.Rand, often int, bad *bool) {
	inside := false
	w.tables.Fail = func(memory.Op) (bool, error) {
		if *bad && !inside && dice.IntN(often*2) == 0 {
			if inside = true; dice.IntN(3) == 0 {
				w.clock.set(w.clock.Now().Add(time.Duration(dice.IntN(5)) * time.Minute))
			}
			for range dice.IntN(3) {
				w.meanwhile++
				if dice.IntN(3) == 0 {
					_, _ = w.biller.LookAgain(w.Context(), scope, billing.Hint{Subscription: "sub-1"})
				} else {
					_ = w.biller.Work(w.Context(), scope, "sub-1")
				}
			}
			inside = false
		}
		if *bad && dice.IntN(often) == 0 {
			if dice.IntN(4) == 0 {
				w.dodo.kill()
			}
			return dice.IntN(2) == 0, broken()
		}
		return true, nil
	}
	w.queue.take = func(n int) (int, error) {
		if *bad && n > 0 && dice.IntN(often) == 0 {
			return dice.IntN(n), broken()
		}
		return n, nil
	}
	ill := func(int) fate {
		all := []fate{{drop: true}, {lose: true}, {fail: true}, {fail: true, effect: true}, {kill: true}}
		if !*bad || dice.IntN(4) > 0 {
			return fate{}
		}
		return all[dice.IntN(len(all))]
	}
	w.dodo.invite, w.dodo.look, w.dodo.mend, w.dodo.revoke, w.dodo.refund = ill, ill, ill, ill, ill
	w.dodo.find = func(int) bool { return *bad && dice.IntN(4) == 0 }
	w.dodo.fate = func(call) fate {
		all := []fate{
			{drop: true},
			{lose: true},
			{kill: true},
			{drop: true, kill: true},
			{fail: true},
			{fail: true, effect: true},
			{late: 5 * time.Minute},
			{late: 3 * time.Hour},
			{late: 19 * time.Hour},
			{late: 40 * time.Hour},
			{busy: true},
			{ours: true},
			{odd: pending},
			{decline: "A"},
			{decline: "B"},
			{decline: "B", lose: true},
			{decline: "C", class: billing.Passing},
			{decline: "D", class: billing.Hard},
		}
		if !*bad || dice.IntN(2) == 0 {
			return fate{}
		}
		return all[dice.IntN(len(all))]
	}
	w.dodo.post = func(billing.Hint, int) []time.Duration {
		if !*bad {
			return []time.Duration{0}
		}
		return [][]time.Duration{{0}, {}, {0, time.Second}, {3 * time.Hour}, {0, 26 * time.Hour}, {time.Minute, 0}}[dice.IntN(6)]
	}
	if often > 20 {
		return
	}
	w.dodo.lag = 10 * time.Minute
}
