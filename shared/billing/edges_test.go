package billing_test

import (
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// An attempt that could not be made until the very instant at which the next period is due
// is not made any more: that period is.
func TestAtTheInstantOfTheNextPeriodTheOneBeforeIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("weekly"))
	weekly := at("2026-03-17T12:00:00+09:00")
	w.until(weekly.Add(-time.Minute))
	w.clock.set(weekly.Add(days(7)))
	for range 3 {
		must(t, w.work("sub-1"))
	}
	if sent := w.gateway.sent(); len(sent) != 2 {
		t.Fatalf("charges sent: got %d, want 2", len(sent))
	}
	if period, _ := attemptOf("sub-1", w.gateway.sent()[1].order); period != 2 {
		t.Errorf("charged: got period %d, want 2", period)
	}
	w.until(weekly.Add(days(8)))
	w.sound("sub-1")
}

// What a subscription went through in one period is forgotten with the next.
func TestARevivedSubscriptionIsAsAnyOtherOnceItIsPaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	script := declining(map[string]string{"1.1": "!X", "2.1": "A"})
	w.gateway.fate = func(c call) fate {
		if c.order == "order-1" {
			return fate{}
		}
		return script(c)
	}
	w.subscribe(signUp("monthly"))
	w.until(due.Add(days(1)))
	_, _, err := w.recard("new")
	must(t, err)
	_, err = w.demand("order-1", 100) // nothing is known against the new card
	must(t, err)
	w.wantHas(event.ChargePaid, 1)
	next := at("2026-05-10T12:00:00+09:00")
	w.until(next.Add(time.Hour))
	w.wantState(billing.StatePastDue)
	w.wantAccess(true) // of grace
	_, _, err = w.recard("newer")
	must(t, err)
	w.wantState(billing.StateActive)
	w.wantCards("1", "1", "2", "2", "2", "3")
	w.until(next.Add(days(5)))
	w.sound("sub-1")
}

func TestADeclineAfterACancellationEndsItAtOnce(t *testing.T) {
	t.Parallel()
	for _, recarded := range []bool{false, true} {
		w := renewal(t, "monthly")
		w.gateway.lookup = true
		w.gateway.fate = once(fate{decline: "A", lose: true})
		w.until(due.Add(time.Minute))
		_, err := w.cancel(false)
		must(t, err)
		w.wantAccess(true)
		if recarded {
			_, _, err := w.recard("new")
			must(t, err)
		}
		w.until(due.Add(5 * time.Minute))
		w.wantState(billing.StateCancelled)
		w.wantAccess(false)
		w.wantHas(event.DunningReminder, 0)
		w.ending()
	}
}

func TestACustomersTurnIsGivenBackWithTheOutcome(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"paid": {}, "declined": {decline: "B"}} {
		w := newWorld(t, noon)
		for _, id := range []string{"sub-1", "sub-2"} {
			r := signUp("monthly")
			r.ID, r.Card.AuthKey = id, secret+id
			w.subscribe(r)
		}
		w.gateway.fate = func(call) fate { return fate{decline: "A"} }
		w.until(due.Add(days(3) - time.Minute))
		w.gateway.fate = func(call) fate { return f }
		w.clock.set(due.Add(days(3)))
		sends := len(w.gateway.sent())
		must(t, w.work("sub-1"))
		must(t, w.work("sub-2"))
		if got := len(w.gateway.sent()) - sends; got != 2 {
			t.Errorf("%s: got %d retries one after the other, want both without a wait", name, got)
		}
	}
}

// Another worker has closed the attempt, and the subscription waits for its customer.
func TestAWorkerThatComesLateWakesNobodyWhoWaitsForTheCustomer(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	w.gateway.fate = declining(map[string]string{"1.1": "!X"})
	w.clock.set(due)
	waiting := due.Add(days(1))
	inside := false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if !inside && op.Method == "Commit" && op.Touches(table.Orders) {
			inside = true
			must(t, w.biller.Work(t.Context(), scope, "sub-1"))
			w.change("sub-1", func(s *billing.Subscription) { s.OnHold, s.Step, s.WakeAt = true, billing.StepAwait, waiting })
		}
		return true, nil
	}
	_ = w.work("sub-1")
	w.tables.Fail = nil
	if s := w.subscription("sub-1"); s.State != billing.StateUnpaid || s.Step != billing.StepAwait || !s.WakeAt.Equal(waiting) {
		t.Errorf("got %s with step %q at %v, want unpaid and waiting still", s.State, s.Step, s.WakeAt)
	}
}

// An order has two things to be looked at for: the nearer one is not put off by the other.
func TestARefundOfAChargeOnDemandDoesNotWaitForItsVerification(t *testing.T) {
	t.Parallel()
	w := refunding(t, "usage", fate{lose: true}, fate{})
	_, err := w.demand("order-1", 700)
	must(t, err)
	_, _, err = w.refund("order-1", "r-1", 0)
	must(t, err)
	w.until(asked.Add(5 * time.Minute))
	if r := w.found("order-1").Refunds[0]; r.State != billing.RefundDone {
		t.Errorf("five minutes later: got %s, want done", r.State)
	}
	w.until(asked.Add(days(2)))
	if w.gateway.finds != 1 {
		t.Errorf("verified: got %d look-ups, want 1", w.gateway.finds)
	}
	w.finished()
	w.sound("sub-1")
}
