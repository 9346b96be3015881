package billing_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/table"
)

const tell = "errand:tell-sub-1-1-2"

// pastDue stops where the reminder of the second attempt is written and not delivered.
func pastDue(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, noon)
	w.gateway.fate = declining(map[string]string{"1.1": "A"})
	w.subscribe(signUp("monthly"))
	w.until(due.Add(days(2) - 3*time.Minute))
	w.clock.set(due.Add(days(2) - 2*time.Minute))
	must(t, w.work("sub-1"))
	w.wantHas(event.DunningReminder, 1)
	return w
}

func (w *world) tells(id string) error { return w.biller.Deliver(w.Context(), scope, id) }

func TestAReminderIsDeliveredOnceWhateverMessagesCome(t *testing.T) {
	t.Parallel()
	w := pastDue(t)
	for range 3 {
		must(t, w.tells(tell))
	}
	must(t, w.tells("errand:tell-sub-1-1-3"))
	must(t, w.tells("errand:tell-none-1-2"))
	if err := w.tells("sub-1"); err == nil {
		t.Error("a message that is none of this lane's was let go")
	}
	w.until(due.Add(days(4)))
	if got := len(w.courier.told); got != 1 {
		t.Errorf("told: got %d times, want once", got)
	}
	w.finished()
	w.sound("sub-1")
}

func TestAReminderThatDoesNotArriveIsSentAgainWhileItIsTrue(t *testing.T) {
	t.Parallel()
	for fails, want := range map[int]int{1: 1, 5: 1, 100: 1, 1000: 0} {
		t.Run(fmt.Sprint(fails), func(t *testing.T) {
			t.Parallel()
			w := pastDue(t)
			w.courier.fail = func(nth int) bool { return nth <= fails }
			w.until(due.Add(days(3) - time.Minute))
			if got := len(w.courier.told); got != want {
				t.Errorf("told: got %d times, want %d", got, want)
			}
			if w.courier.nth > 200 {
				t.Errorf("tries: got %d, want one in ten minutes", w.courier.nth)
			}
			w.until(due.Add(days(3) + time.Hour))
			w.wantState(billing.StateActive) // for the attempt requires the event, not its delivery
			w.finished()
			w.sound("sub-1")
		})
	}
}

func TestNobodyIsToldWhatIsNotTrueAnyMore(t *testing.T) {
	t.Parallel()
	for name, word := range map[string]func(w *world){
		"cancelled":  func(w *world) { _, err := w.cancel(true); must(w, err) },
		"a new card": func(w *world) { _, _, err := w.recard("new"); must(w, err) },
		"refused by one": func(w *world) {
			w.gateway.fate = declining(map[string]string{"1.2": "!X"})
			_, _, err := w.recard("new")
			must(w, err)
		},
		"declined again": func(w *world) {
			w.gateway.fate = declining(map[string]string{"1.2": "B"})
			_, _, err := w.recard("new")
			must(w, err)
		},
		"made already": func(w *world) { w.clock.set(due.Add(days(3))) },
		"gone":         func(w *world) { w.remove("sub-1") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := pastDue(t)
			word(w)
			must(t, w.tells(tell))
			if got := w.courier.nth; got != 0 {
				t.Errorf("told: got %d times, want never", got)
			}
			if slices.ContainsFunc(w.tables.Items(table.Subscriptions), func(i table.Item) bool {
				return i.Key.Partition == scope.Key("errand", "tell-sub-1-1-2")
			}) {
				t.Error("it waits to be told all the same")
			}
		})
	}
}

// remove takes a subscription away behind everybody's back.
func (w *world) remove(id string) {
	w.Helper()
	for _, item := range w.tables.Items(table.Subscriptions) {
		if item.Key.Partition == scope.Key(id) {
			must(w, w.tables.Commit(w.Context(), table.Removed(item)))
		}
	}
}

// The plan gives no grace; still, what says nothing about the card takes nothing away.
func TestAGatewaysOutageTakesNoAccess(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{
		"nothing arrives":      {drop: true},
		"hours of maintenance": {decline: "MAINTAINED_METHOD", class: billing.Passing},
		"our configuration":    {ours: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "strict")
			up := due.Add(days(3) - time.Hour)
			w.gateway.fate = func(call) fate {
				if w.clock.Now().Before(up) {
					return f
				}
				return fate{}
			}
			for _, after := range []time.Duration{time.Minute, time.Hour, days(1), 50 * time.Hour, days(3) - time.Minute} {
				w.until(due.Add(after))
				w.wantAccess(true)
			}
			w.until(due.Add(days(4)))
			w.wantState(billing.StateActive)
			w.wantAccess(true)
			w.sound("sub-1")
		})
	}
}

func TestWithoutGraceADeclineTakesAccessUntilItIsPaid(t *testing.T) {
	t.Parallel()
	w := renewal(t, "strict")
	w.gateway.fate = declining(map[string]string{"1.1": "A"})
	w.until(due.Add(time.Hour))
	w.wantState(billing.StatePastDue)
	w.wantAccess(false)
	w.until(due.Add(days(4)))
	w.wantState(billing.StateActive)
	w.wantAccess(true)
	w.sound("sub-1")
}
