package billing_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
)

func broken() error {
	return fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
}

// A story has everything that a subscription can meet in two months: its sign-up, a
// renewal whose answer is lost and looked up, one that is declined, reminded of and
// recovered, and one that just passes.
const storyEnd = "2026-06-11T12:00:00+09:00"

func story(t testing.TB, more func(*world)) *world {
	w := newWorld(t, noon)
	w.gateway.fate = func(c call) fate {
		switch period, attempt := attemptOf("sub-1", c.order); {
		case period == 1 && c.of == 1:
			return fate{drop: true}
		case period == 2 && attempt == 1:
			return fate{decline: "REJECT_CARD_PAYMENT"}
		}
		return fate{}
	}
	if more != nil {
		more(w)
	}
	w.subscribe(signUp("monthly"))
	w.until(at(storyEnd))
	return w
}

func (w *world) wantStory() {
	w.Helper()
	var orders []string
	for _, m := range w.gateway.taken() {
		period, attempt := attemptOf("sub-1", m.order)
		orders = append(orders, fmt.Sprintf("%d.%d", period, attempt))
	}
	if want := []string{"0.1", "1.1", "2.2", "3.1"}; !slices.Equal(orders, want) {
		w.Errorf("payments: got %v, want %v", orders, want)
	}
	want := []event.Type{
		event.SubscriptionCreated, event.SubscriptionActivated, event.SubscriptionRenewed, event.ChargeDeclined,
		event.DunningReminder, event.SubscriptionRecovered, event.SubscriptionRenewed,
	}
	if got := w.kinds(); !slices.Equal(got, want) {
		w.Errorf("events:\n got %v\nwant %v", got, want)
	}
	if len(w.gateway.cards) != 1 {
		w.Errorf("cards issued: got %d, want 1", len(w.gateway.cards))
	}
	w.wantState(billing.StateActive)
	w.sound("sub-1")
}

// failing makes the k-th operation on the tables fail, done or not.
func failing(k int, done bool) func(*world) {
	n := 0
	return func(w *world) {
		w.tables.Fail = func(memory.Op) (bool, error) {
			if n++; n == k {
				return done, broken()
			}
			return true, nil
		}
	}
}

// operations counts those of an undisturbed story, and says which of them write: to a
// read it is the same whether it was done.
func operations(t *testing.T) (n int, writes []int) {
	story(t, func(w *world) {
		w.tables.Fail = func(op memory.Op) (bool, error) {
			if n++; op.Method == "Commit" {
				writes = append(writes, n)
			}
			return true, nil
		}
	}).wantStory()
	if n < 100 || len(writes) < 25 {
		t.Fatalf("the story has %d operations, %d of them writes; want all of them counted", n, len(writes))
	}
	return n, writes
}

// {nothing done, done} × every operation of the story.
func TestAnyOperationOnTheTablesMayFailAndMoneyIsTakenOnce(t *testing.T) {
	t.Parallel()
	all, writes := operations(t)
	for k := 1; k <= all; k++ {
		for _, done := range []bool{false, true} {
			if done && !slices.Contains(writes, k) {
				continue
			}
			w := story(t, failing(k, done))
			w.tables.Fail = nil
			if w.wantStory(); t.Failed() {
				t.Fatalf("with operation %d of %d failing, done %v", k, all, done)
			}
		}
	}
}

// A function that is killed does nothing more in that invocation. Killed before an
// operation is killed after the one before it, and a read leaves nothing behind.
func TestAnyInvocationMayBeKilledAfterAnyWrite(t *testing.T) {
	t.Parallel()
	_, writes := operations(t)
	for _, k := range writes {
		n := 0
		w := story(t, func(w *world) {
			w.tables.Fail = func(memory.Op) (bool, error) {
				if n++; n == k {
					w.gateway.mu.Lock()
					defer w.gateway.mu.Unlock()
					w.gateway.kill()
					return true, broken()
				}
				return true, nil
			}
		})
		w.tables.Fail = nil
		if w.wantStory(); t.Failed() {
			t.Fatalf("killed after operation %d", k)
		}
	}
}

// {before, after} × {no answer, time is up} × every charge call of the story.
func TestAnyCallToTheGatewayMayBeLostAndMoneyIsTakenOnce(t *testing.T) {
	t.Parallel()
	calls := len(story(t, nil).gateway.sent())
	for name, f := range map[string]fate{
		"request lost":                  {drop: true},
		"answer lost":                   {lose: true},
		"killed before the request":     {drop: true, kill: true},
		"killed before the answer":      {kill: true},
		"error without effect":          {fail: true},
		"error after the effect":        {fail: true, effect: true},
		"kept error after effect":       {fail: true, effect: true, stored: true},
		"late by 3 minutes":             {late: 3 * time.Minute},
		"late by 3 hours":               {late: 3 * time.Hour},
		"too many requests":             {busy: true},
		"our key refused":               {ours: true},
		"our key refused and we killed": {ours: true, kill: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for k := 1; k <= calls; k++ {
				w := story(t, func(w *world) {
					script := w.gateway.fate
					w.gateway.fate = func(c call) fate {
						is := script(c)
						if c.nth == k {
							// The script's decline stands, if the request arrives.
							f := f
							if f.decline, f.class = is.decline, is.class; is.decline != "" {
								f.fail, f.effect, f.late = false, false, 0
							}
							return f
						}
						return is
					}
				})
				w.wantStory()
				if t.Failed() {
					t.Fatalf("with call %d of %d", k, calls)
				}
			}
		})
	}
}

func TestAnyRegistrationCallMayBeLostAndOneCardIsIssued(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		w := story(t, func(w *world) {
			w.gateway.issue = func(nth int) (bool, bool, bool) { return false, nth <= 2 && !lost, nth <= 2 && lost }
		})
		w.wantStory()
	}
}

// Everything goes wrong at random, for weeks: every table operation, gateway call and
// hand-over may fail either way, and other deliveries come in between at any moment.
func TestMoneyIsTakenOnceThroughBadMonths(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		w := badMonths(t, seed, nil)
		w.sound("sub-1")
		s := w.subscription("sub-1")
		taken := len(w.gateway.taken())
		if s.State == billing.StateActive && taken != s.Period {
			t.Errorf("got %d payments for %d periods, want one for each", taken, s.Period)
		}
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

// badMonths has act, if it is given, come in at random instants, within others too.
func badMonths(t testing.TB, seed uint64, act func(w *world, dice *rand.Rand)) *world {
	start := noon.Add(time.Duration(seed%720) * time.Hour)
	w := newWorld(t, start)
	dice := rand.New(rand.NewPCG(seed, 7))
	w.rand = dice
	// One operation in so many goes wrong, from hardly any to a very bad day.
	often := []int{200, 50, 20, 8}[seed%4]
	bad, inside := true, false
	w.tables.Fail = func(memory.Op) (bool, error) {
		if bad && !inside && dice.IntN(often*2) == 0 {
			// Another delivery meets this one, which may have stood still past its lease.
			if inside = true; dice.IntN(3) == 0 {
				w.clock.set(w.clock.Now().Add(time.Duration(dice.IntN(5)) * time.Minute))
			}
			for range dice.IntN(3) {
				w.meanwhile++
				_ = w.biller.Work(w.Context(), scope, "sub-1")
			}
			if act != nil && dice.IntN(6) == 0 {
				w.meanwhile++
				act(w, dice)
			}
			inside = false
		}
		if bad && dice.IntN(often) == 0 {
			if dice.IntN(4) == 0 {
				w.gateway.mu.Lock()
				defer w.gateway.mu.Unlock()
				w.gateway.kill()
			}
			return dice.IntN(2) == 0, broken()
		}
		return true, nil
	}
	w.queue.take = func(n int) (int, error) {
		if bad && n > 0 && dice.IntN(often) == 0 {
			return dice.IntN(n), broken()
		}
		return n, nil
	}
	w.gateway.lookup = seed%3 == 0
	w.gateway.find = func(int) bool { return bad && dice.IntN(4) == 0 }
	w.gateway.forget = func(int) bool { return bad && dice.IntN(4) == 0 }
	w.gateway.refund = func(int) fate {
		if !bad || dice.IntN(2) == 0 {
			return fate{}
		}
		return []fate{{drop: true}, {lose: true}, {kill: true}, {busy: true}, {ours: true}, {decline: "NOT_CANCELABLE"}}[dice.IntN(6)]
	}
	w.gateway.issue = func(int) (bool, bool, bool) { return false, bad && dice.IntN(4) == 0, bad && dice.IntN(4) == 0 }
	w.gateway.fate = func(c call) fate {
		fates := []fate{
			{drop: true},
			{lose: true},
			{kill: true},
			{drop: true, kill: true},
			{fail: true},
			{fail: true, effect: true},
			{fail: true, stored: true},
			{fail: true, effect: true, stored: true},
			{late: 5 * time.Minute},
			{late: 3 * time.Hour},
			{busy: true},
			{ours: true},
			{odd: "PROVIDER_ERROR"},
			{decline: "A"},
			{decline: "B"},
			{decline: "B", lose: true},
			{decline: "C", class: billing.Passing},
			{decline: "X", class: billing.Hard},
			{decline: "X", class: billing.Hard, lose: true},
		}
		if act == nil {
			fates = fates[:len(fates)-2] // nobody would bring another card
		}
		if !bad || dice.IntN(2) == 0 {
			return fate{}
		}
		return fates[dice.IntN(len(fates))]
	}
	for try := 0; ; try++ {
		err := w.invoke(func(ctx context.Context) error {
			_, err := w.biller.Subscribe(ctx, scope, signUp("weekly"))
			return err
		})
		if err == nil {
			break
		}
		if try == 50 {
			t.Fatalf("seed %d: Subscribe: got %v fifty times", seed, err)
		}
	}
	for end := start.Add(days(45)); act != nil && w.clock.Now().Before(end); {
		w.until(w.clock.Now().Add(time.Duration(1+dice.IntN(60*48)) * time.Minute))
		act(w, dice)
	}
	w.until(start.Add(days(45)))
	bad = false // and then a few quiet days, without which nothing could be settled
	w.until(start.Add(days(56)))
	return w
}
