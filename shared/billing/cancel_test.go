package billing_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// ending finishes what is under way and checks that a subscription is over: nothing is
// charged to it any more, its cards are forgotten, nothing is left to be done.
func (w *world) ending() {
	w.Helper()
	w.until(w.clock.Now().Add(days(6)))
	sends := len(w.gateway.sent())
	w.until(w.clock.Now().Add(days(70)))
	if got := len(w.gateway.sent()); got != sends {
		w.Errorf("charges sent after the end: got %d, want none", got-sends)
	}
	w.wantState(billing.StateCancelled)
	w.wantAccess(false)
	w.wantHas(event.SubscriptionCancelled, 1)
	if got, want := len(w.gateway.forgotten), len(w.gateway.cards); got != want || want == 0 && w.gateway.issues < 100 {
		w.Errorf("cards forgotten: got %d, want all %d", got, want)
	}
	w.finished()
	w.sound("sub-1")
}

func TestCancellingEndsASubscriptionInAnyState(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate  func(call) fate
		issue bool      // the card's registration goes unanswered for long
		when  time.Time // the word comes
		used  time.Time // until when a paid period is used up
		taken int
		kept  int64
	}{
		"before its card is registered":     {issue: true, when: noon.Add(30 * time.Second)},
		"first charge lost":                 {fate: func(c call) fate { return fate{drop: c.of == 1} }, when: noon.Add(time.Second)},
		"first charge's answer lost":        {fate: func(c call) fate { return fate{lose: c.of == 1} }, when: noon.Add(time.Second), taken: 1},
		"first charge paid hours later":     {fate: func(call) fate { return fate{late: 3 * time.Hour} }, when: noon.Add(time.Hour), taken: 1},
		"first charge declined":             {fate: declining(map[string]string{"0.1": "A"}), when: noon.Add(time.Hour)},
		"active":                            {when: noon.Add(days(10)), used: due, taken: 1, kept: 4900},
		"active, a second before it is due": {when: due.Add(-time.Second), used: due.Add(2 * time.Minute), taken: 1, kept: 4900},
		"past due":                          {fate: declining(allDeclined), when: due.Add(time.Hour), taken: 1, kept: 4900},
		"past due and reminded":             {fate: declining(allDeclined), when: due.Add(days(2) + time.Hour), taken: 1, kept: 4900},
		"past due, a retry lost":            {fate: scripted(map[string]fate{"1.1": {decline: "A"}, "1.2": {drop: true}}), when: due.Add(days(3) + time.Minute), taken: 1, kept: 4900},
		"past due, a retry's answer lost":   {fate: scripted(map[string]fate{"1.1": {decline: "A"}, "1.2": {lose: true}}), when: due.Add(days(3) + time.Minute), taken: 2, kept: 4900},
		"unpaid":                            {fate: declining(map[string]string{"1.1": "!X"}), when: due.Add(days(5)), taken: 1, kept: 4900},
	} {
		for _, atOnce := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, at once %v", name, atOnce), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, noon)
				w.gateway.fate = c.fate
				w.gateway.issue = func(int) (bool, bool, bool) { return false, c.issue, false }
				w.subscribe(signUp("monthly"))
				w.until(c.when)
				for range 2 {
					s, err := w.cancel(atOnce)
					must(t, err)
					if s.Ending != (!atOnce && !c.used.IsZero()) || s.State == billing.StateCancelled == s.Ending {
						t.Errorf("answer: got %s, ending %v, want the period used up: %v", s.State, s.Ending, !c.used.IsZero())
					}
				}
				if !atOnce && !c.used.IsZero() {
					w.wantAccess(true)
					w.wantHas(event.SubscriptionEnding, 1)
					if got := w.holds(); got.WillRenew {
						t.Error("it is said to renew")
					}
					if c.used.Equal(due) {
						w.until(c.used.Add(-time.Second))
						w.wantAccess(true)
					}
					w.until(c.used.Add(lease + 2*time.Minute))
					w.wantState(billing.StateCancelled)
				}
				w.wantAccess(false)
				w.ending()
				if got := len(w.gateway.taken()); got != c.taken {
					t.Errorf("payments: got %d, want %d", got, c.taken)
				}
				if got := w.kept(noon.Add(-time.Hour)); got != c.kept {
					t.Errorf("money kept: got %d, want %d", got, c.kept)
				}
			})
		}
	}
}

// The word and the renewal meet at each of their operations, either within the other.
func TestACancellationThatMeetsTheChargeIsTold(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{
		"paid": {}, "declined": {decline: "A"}, "declined for good": {decline: "X", class: billing.Hard}, "answer lost": {lose: true},
		"request lost": {drop: true}, "busy": {busy: true}, "paid an hour later": {late: time.Hour}, "killed": {kill: true},
	} {
		for _, atOnce := range []bool{false, true} {
			for _, within := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, at once %v, the charge within %v", name, atOnce, within), func(t *testing.T) {
					t.Parallel()
					var answer billing.Subscription
					work := func(w *world) { _ = w.work("sub-1") }
					word := func(w *world) {
						var err error
						answer, err = w.biller.Cancel(t.Context(), scope, "sub-1", atOnce)
						must(t, err)
					}
					first, second := work, word
					if within {
						first, second = word, work
					}
					met(t, func() *world {
						w := renewal(t, "monthly")
						w.gateway.fate = once(f)
						w.clock.set(due)
						return w
					}, first, second, func(w *world) {
						w.until(due.Add(days(1)))
						taken := len(w.gateway.taken()) - 1
						kept := w.kept(due.Add(-time.Hour))
						s := w.subscription("sub-1")
						switch {
						case taken > 1:
							t.Errorf("payments of the renewal: got %d, want one at most", taken)
						case atOnce && answer.Period == 1 && kept != 0:
							t.Errorf("kept of the renewal: got %d, want it given back", kept)
						case atOnce && answer.Period == 2 && kept != 4900:
							t.Errorf("kept of a renewal that was over before the word: got %d, want it all", kept)
						case !atOnce && s.State == billing.StateActive && (kept != 4900 || !s.Ending):
							t.Errorf("active with %d kept, ending %v; want the renewal paid and the last", kept, s.Ending)
						case !atOnce && s.State == billing.StateCancelled && kept != 0:
							t.Errorf("cancelled with %d kept, want what was paid for used up", kept)
						}
						w.until(due.Add(days(31)))
						w.ending()
					})
				})
			}
		}
	}
}

// What is not sent before the word was written is never sent after it: between the two
// there is no moment at which neither sees the other.
func TestNothingIsSentOnceACancellationWasAnswered(t *testing.T) {
	t.Parallel()
	for _, atOnce := range []bool{false, true} {
		met(t, func() *world {
			w := renewal(t, "monthly")
			w.gateway.fate = once(fate{drop: true})
			w.clock.set(due)
			return w
		}, func(w *world) { _ = w.work("sub-1") }, func(w *world) {
			sends := len(w.gateway.sent())
			_, err := w.biller.Cancel(t.Context(), scope, "sub-1", atOnce)
			must(t, err)
			w.gateway.fate = func(c call) fate {
				if c.nth > sends+1 { // the one that has passed its last look may be on its way
					t.Errorf("send %d after the word, want none", c.nth)
				}
				return fate{drop: true}
			}
		}, func(w *world) {
			w.until(due.Add(days(4)))
			if o := w.orders(); len(o) == 2 && w.order(1, 1).State != billing.Void {
				t.Errorf("the order: got %s, want void", w.order(1, 1).State)
			}
			w.gateway.fate = nil
			w.ending()
		})
	}
}

// A worker that had read the subscription before the word claims the attempt after it, and
// is killed before it looks again: its order does not stay open for ever.
func TestAClaimThatIsLeftBehindTheWordIsSettled(t *testing.T) {
	t.Parallel()
	for _, atOnce := range []bool{false, true} {
		w := renewal(t, "monthly")
		w.clock.set(due)
		claimed := false
		w.tables.Fail = func(op memory.Op) (bool, error) {
			if claimed || op.Method != "Commit" || !op.Touches(table.Orders) {
				return true, nil
			}
			claimed = true
			_, err := w.biller.Cancel(t.Context(), scope, "sub-1", atOnce)
			must(t, err)
			must(t, w.biller.Work(t.Context(), scope, "sub-1")) // which sees no claim yet
			w.gateway.mu.Lock()
			defer w.gateway.mu.Unlock()
			w.gateway.kill()
			return true, broken()
		}
		_ = w.work("sub-1")
		w.tables.Fail = nil
		w.until(due.Add(days(1)))
		if o := w.order(1, 1); o.State != billing.Void || len(o.Sealed) > 0 {
			t.Errorf("at once %v: got %s with %d bytes kept, want void and none", atOnce, o.State, len(o.Sealed))
		}
		w.ending()
	}
}

func TestACancellationAtOnceAfterOneAtThePeriodsEndEndsIt(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	_, err := w.cancel(false)
	must(t, err)
	s, err := w.cancel(true)
	must(t, err)
	if s.State != billing.StateCancelled {
		t.Errorf("got %s, want cancelled", s.State)
	}
	if s, err = w.cancel(false); err != nil || s.State != billing.StateCancelled {
		t.Errorf("once more: got %s, %v, want it cancelled still", s.State, err)
	}
	w.wantAccess(false)
	w.ending()
}

// The gateway has issued a card, and nobody has heard of it when the word comes.
func TestACardThatWasIssuedUnheardIsForgottenWithItsSubscription(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		w := newWorld(t, noon)
		w.gateway.issue = func(nth int) (bool, bool, bool) { return false, !lost && nth == 1, lost && nth == 1 }
		w.subscribe(signUp("monthly"))
		_, err := w.cancel(true)
		must(t, err)
		w.ending()
		if got := len(w.gateway.sent()); got != 0 {
			t.Errorf("charges sent: got %d, want none", got)
		}
	}
}

func TestWhatIsNotThereCannotBeChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	_, err := w.cancel(true)
	wantFault(t, err, fault.NotFound, "subscription_not_found")
	_, err = w.resume()
	wantFault(t, err, fault.NotFound, "subscription_not_found")
	_, err = w.plan("weekly")
	wantFault(t, err, fault.NotFound, "subscription_not_found")
	_, _, err = w.recard("new")
	wantFault(t, err, fault.NotFound, "subscription_not_found")
	_, err = w.demand("order-1", 100)
	wantFault(t, err, fault.NotFound, "subscription_not_found")
	_, _, err = w.refund("order-1", "r", 0)
	wantFault(t, err, fault.NotFound, "order_not_found")
}

// Each word is one transaction, which may be lost or its answer may.
func TestAWordThatFailsIsAskedAgainAndCountsOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ask  func(w *world) error
		kind event.Type
	}{
		"cancel at once":     {func(w *world) error { _, err := w.cancel(true); return err }, event.SubscriptionCancelled},
		"cancel at the end":  {func(w *world) error { _, err := w.cancel(false); return err }, event.SubscriptionEnding},
		"change the plan":    {func(w *world) error { _, err := w.plan("quarterly"); return err }, event.SubscriptionPlanned},
		"change the card":    {func(w *world) error { _, _, err := w.recard("new"); return err }, event.PaymentMethodChanged},
		"resume":             {func(w *world) error { _, err := w.resume(); return err }, event.SubscriptionResumed},
		"charge on demand":   {func(w *world) error { _, err := w.demand("order-1", 700); return err }, event.ChargePaid},
		"refund a whole one": {func(w *world) error { _, _, err := w.refund(billing.OrderID(scope, "sub-1", 0, 1), "r", 0); return err }, event.ChargeRefunded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broke(t, func() *world {
				w := renewal(t, "monthly")
				if name == "resume" {
					_, err := w.cancel(false)
					must(t, err)
				}
				return w
			}, func(w *world) { _ = c.ask(w) }, func(w *world) {
				must(t, c.ask(w))
				w.clock.set(w.clock.Now().Add(lease))
				w.until(due.Add(days(5)))
				w.wantHas(c.kind, 1)
				w.sound("sub-1")
			})
		})
	}
}

func TestResumingTakesACancellationBackWhileItsPeriodLasts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	w.until(noon.Add(days(10)))
	if s, err := w.resume(); err != nil || s.State != billing.StateActive {
		t.Errorf("of one that goes on: got %s, %v, want it unchanged", s.State, err)
	}
	w.wantHas(event.SubscriptionResumed, 0)
	_, err := w.cancel(false)
	must(t, err)
	for range 2 {
		s, err := w.resume()
		if err != nil || s.Ending || s.State != billing.StateActive {
			t.Errorf("got %s, ending %v, %v, want it to go on", s.State, s.Ending, err)
		}
	}
	w.wantHas(event.SubscriptionResumed, 1)
	if !w.holds().WillRenew {
		t.Error("it is not said to renew")
	}
	w.until(due.Add(days(40)))
	w.wantSent("2026-03-10T03:00:00Z", "2026-04-10T03:00:00Z", "2026-05-10T03:00:00Z")
	w.sound("sub-1")
	_, err = w.cancel(true)
	must(t, err)
	_, err = w.resume()
	wantFault(t, err, fault.Conflict, "subscription_cancelled")

	w = dunned(t, "monthly", map[string]string{"1.1": "!X"})
	_, err = w.resume()
	wantFault(t, err, fault.Conflict, "payment_method_needed")
}

func TestResumingThatMeetsTheEndIsOneOrTheOther(t *testing.T) {
	t.Parallel()
	for _, within := range []bool{false, true} {
		var answer error
		work := func(w *world) { _ = w.work("sub-1") }
		word := func(w *world) { _, answer = w.biller.Resume(t.Context(), scope, "sub-1") }
		first, second := work, word
		if within {
			first, second = word, work
		}
		met(t, func() *world {
			w := renewal(t, "monthly")
			_, err := w.cancel(false)
			must(t, err)
			w.clock.set(due)
			return w
		}, first, second, func(w *world) {
			w.until(due.Add(days(1)))
			taken := len(w.gateway.taken())
			if answer == nil {
				w.wantState(billing.StateActive)
			} else {
				wantFault(t, answer, fault.Conflict, "subscription_cancelled")
				w.wantState(billing.StateCancelled)
			}
			if want := map[bool]int{true: 2, false: 1}[answer == nil]; taken != want {
				t.Errorf("resumed with %v: got %d payments, want %d", answer, taken, want)
			}
			w.sound("sub-1")
		})
	}
}

// The attempt was under way when both words came.
func TestResumingWhileAnAttemptIsUnderWayLeavesItAsItIs(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"lost": {drop: true}, "answer lost": {lose: true}, "busy": {busy: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			w.gateway.fate = once(f)
			w.until(due.Add(30 * time.Second))
			_, err := w.cancel(false)
			must(t, err)
			w.wantAccess(true)
			_, err = w.resume()
			must(t, err)
			w.until(due.Add(days(1)))
			w.wantState(billing.StateActive)
			if got := len(w.gateway.taken()); got != 2 {
				t.Errorf("payments: got %d, want 2", got)
			}
			if got := w.kinds(); slices.Contains(got, event.ChargeDeclined) {
				t.Errorf("events: got %v, want no decline", got)
			}
			w.sound("sub-1")
		})
	}
}
