package billing_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

var paidOrder = billing.OrderID(scope, "sub-1", 0, 1)

// refunding is ten days after a sign-up; what is given back from then on meets these fates,
// the last of them for ever.
func refunding(t *testing.T, plan string, fates ...fate) *world {
	t.Helper()
	w := active(t, plan)
	w.gateway.refund = func(nth int) fate {
		if len(fates) == 0 {
			return fate{}
		}
		return fates[min(nth, len(fates))-1]
	}
	return w
}

func (w *world) wantReturned(want ...int64) {
	w.Helper()
	var got []int64
	for _, m := range w.gateway.returned {
		got = append(got, m.amount)
	}
	if !slices.Equal(got, want) {
		w.Errorf("given back at the gateway: got %v, want %v", got, want)
	}
}

func TestAWholeRefundOfTheRunningPeriodTakesItsAccessAndTheAgreementStands(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly")
	c, r, err := w.refund(paidOrder, "r-1", 0)
	if err != nil || r.State != billing.RefundDone || r.Amount != 4900 || c.Refunded != 4900 || c.State != billing.Paid {
		t.Errorf("got %s of %d, order %s with %d back, %v; want all 4900", r.State, r.Amount, c.State, c.Refunded, err)
	}
	w.wantAccess(false)
	w.wantState(billing.StateActive)
	w.wantReturned(4900)
	w.sound("sub-1")
	w.until(due.Add(time.Hour))
	w.wantAccess(true)
	w.wantHas(event.ChargeRefunded, 1)
	w.finished()
	w.sound("sub-1")
}

// Whoever wrote down that a renewal was paid may die before the subscription hears of it. Money
// that goes back meanwhile must not leave the access that the late word would give.
func TestARefundBeforeThePaymentWasHeardOfTakesItsAccessAllTheSame(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly")
	renewal := billing.OrderID(scope, "sub-1", 1, 1)
	w.until(due.Add(-time.Second))
	w.clock.set(due)
	dead := false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if dead = dead || op.Method == "Commit" && op.Touches(table.Customers); dead {
			return false, broken()
		}
		return false, nil
	}
	err := w.work("sub-1")
	w.tables.Fail = nil
	if err == nil || w.found(renewal).State != billing.Paid || w.subscription("sub-1").Period != 1 {
		t.Fatalf("got %v, order %s: want it paid, and its subscription without a word of that", err, w.found(renewal).State)
	}
	if _, r, err := w.refund(renewal, "r-1", 0); err != nil || r.State != billing.RefundDone {
		t.Fatalf("got %s, %v, want the money given back", r.State, err)
	}
	w.wantAccess(false)
	w.until(due.Add(time.Hour))
	w.wantAccess(false)
	w.wantReturned(4900)
	w.wantHas(event.SubscriptionRenewed, 1)
	w.finished()
	w.sound("sub-1")
}

// The same after a cancellation at once: what the end would have given back is given back already,
// and neither waits for the other.
func TestARefundOfAPaymentThatNobodyHeardOfEndsThoughTheSubscriptionHasEnded(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly")
	renewal := billing.OrderID(scope, "sub-1", 1, 1)
	w.until(due.Add(-time.Second))
	w.clock.set(due)
	dead := false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if dead = dead || op.Method == "Commit" && op.Touches(table.Customers); dead {
			return false, broken()
		}
		return false, nil
	}
	err := w.work("sub-1")
	w.tables.Fail = nil
	if err == nil || w.found(renewal).State != billing.Paid {
		t.Fatalf("got %v, order %s: want it paid, and its subscription without a word of that", err, w.found(renewal).State)
	}
	if _, err := w.biller.Cancel(t.Context(), scope, "sub-1", true); err != nil {
		t.Fatal(err)
	}
	if _, r, err := w.refund(renewal, "r-1", 0); err != nil || r.State != billing.RefundDone {
		t.Errorf("got %s, %v, want the money given back and written down", r.State, err)
	}
	w.until(due.Add(days(4)))
	w.wantReturned(4900)
	w.wantAccess(false)
	w.wantState(billing.StateCancelled)
	w.finished()
	w.sound("sub-1")
}

func TestPartsAreGivenBackUntilNothingIsLeft(t *testing.T) {
	t.Parallel()
	w := refunding(t, "taxed")
	for n, c := range []struct{ ask, amount, taxFree int64 }{{1000, 1000, 300}, {3333, 3333, 1000}, {0, 5667, 1701}} {
		w.wantAccess(true)
		_, r, err := w.refund(paidOrder, fmt.Sprint("r-", n), c.ask)
		if err != nil || r.State != billing.RefundDone || r.Amount != c.amount {
			t.Fatalf("part %d: got %s of %d, %v, want %d", n, r.State, r.Amount, err, c.amount)
		}
	}
	w.wantAccess(false)
	w.wantReturned(1000, 3333, 5667)
	lefts := []int64{10000, 9000, 5667}
	for n, r := range w.gateway.refundCalls {
		if r.Left != lefts[n] || r.Whole != (n == 2) || r.OrderID != paidOrder || r.Payment != "pay_"+paidOrder || r.Amount != krw(w.gateway.returned[n].amount) {
			t.Errorf("part %d: sent %+v, want %d left", n, r, lefts[n])
		}
	}
	_, _, err := w.refund(paidOrder, "r-4", 0)
	wantFault(t, err, fault.Invalid, "already_refunded")
	_, _, err = w.refund(paidOrder, "r-5", 1)
	wantFault(t, err, fault.Invalid, "already_refunded")
	w.wantHas(event.ChargeRefunded, 3)
	w.finished()
	w.sound("sub-1")
}

// The share of a part that was free of tax is rounded down, and the last has what is left.
func TestTheTaxFreePartIsGivenBackInShares(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly")
	w.rewrite(paidOrder, func(c *billing.Charge) { c.Payment.TaxFree = 1000 })
	for n, want := range []struct{ ask, taxFree int64 }{{1633, 333}, {1633, 333}, {0, 334}} {
		_, r, err := w.refund(paidOrder, fmt.Sprint("r-", n), want.ask)
		if err != nil || r.TaxFree != want.taxFree || w.gateway.refundCalls[n].TaxFree != want.taxFree {
			t.Errorf("part %d: got %d free of tax, %v, want %d", n, r.TaxFree, err, want.taxFree)
		}
	}
}

func TestWhatCannotBeRefundedIsRefusedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly")
	_, _, err := w.refund(paidOrder, "r-1", 4901)
	wantFault(t, err, fault.Invalid, "refund_exceeds_payment")
	_, _, err = w.refund("gl_none", "r-1", 0)
	wantFault(t, err, fault.NotFound, "order_not_found")
	for _, a := range []billing.RefundAsk{
		{OrderID: paidOrder, Amount: -1, Reason: "x", Reference: "r"},
		{OrderID: paidOrder, Reference: "r"},
		{OrderID: paidOrder, Reason: "x"},
		{OrderID: paidOrder, Reason: "a\nb", Reference: "r"},
		{OrderID: paidOrder, Reason: "x", Reference: strings.Repeat("r", 101)},
		{OrderID: paidOrder, Reason: strings.Repeat("x", 201), Reference: "r"},
	} {
		_, _, err := w.biller.Refund(t.Context(), scope, a)
		wantFault(t, err, fault.Malformed, "invalid_request")
	}
	w.gateway.fate = once(fate{drop: true})
	w.until(due.Add(time.Minute))
	_, _, err = w.refund(billing.OrderID(scope, "sub-1", 1, 1), "r-1", 0)
	wantFault(t, err, fault.Conflict, "not_paid")
	if got := len(w.gateway.refundCalls); got != 0 {
		t.Errorf("asked of the gateway: got %d, want nothing", got)
	}
	_, _, err = w.refund(paidOrder, "part", 1000)
	must(t, err)
	_, _, err = w.refund(paidOrder, "r-1", 3901)
	wantFault(t, err, fault.Invalid, "refund_exceeds_payment")
	w.rewrite(paidOrder, func(c *billing.Charge) { c.Payment.Currency = "JPY" })
	_, _, err = w.refund(paidOrder, "r-1", 100)
	wantFault(t, err, fault.Invalid, "refund_in_part_impossible")
	w.rewrite(paidOrder, func(c *billing.Charge) { c.Kind = "purchase" })
	_, _, err = w.refund(paidOrder, "r-1", 100)
	wantFault(t, err, fault.Invalid, "not_refundable")
}

func TestTheSameReferenceIsTheSameRefund(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly")
	for range 2 {
		if _, r, err := w.refund(paidOrder, "r-1", 1000); err != nil || r.State != billing.RefundDone || r.Amount != 1000 {
			t.Errorf("got %s of %d, %v, want one of 1000 done", r.State, r.Amount, err)
		}
	}
	_, _, err := w.refund(paidOrder, "r-1", 999)
	wantFault(t, err, fault.Conflict, "reference_used")
	_, _, err = w.biller.Refund(t.Context(), scope, billing.RefundAsk{OrderID: paidOrder, Amount: 1000, Reason: "another", Reference: "r-1"})
	wantFault(t, err, fault.Conflict, "reference_used")
	w.wantReturned(1000)
	w.sound("sub-1")
}

func TestARefundComesToItsEndHoweverTheGatewayBehaves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fates  []fate
		state  billing.RefundState
		first  billing.RefundState // as it is answered
		within time.Duration
		sends  int
		alarm  bool
	}{
		"request lost":               {[]fate{{drop: true}, {}}, billing.RefundDone, billing.RefundUnknown, 5 * time.Minute, 2, false},
		"answer lost":                {[]fate{{lose: true}, {}}, billing.RefundDone, billing.RefundUnknown, 5 * time.Minute, 2, false},
		"killed before the answer":   {[]fate{{kill: true}, {}}, billing.RefundDone, billing.RefundSending, 5 * time.Minute, 2, false},
		"answer lost thrice":         {[]fate{{lose: true}, {lose: true}, {lose: true}, {}}, billing.RefundDone, billing.RefundUnknown, 7 * time.Hour, 4, false},
		"busy":                       {[]fate{{busy: true}, {busy: true}, {}}, billing.RefundDone, billing.RefundSending, 10 * time.Minute, 3, false},
		"our key":                    {[]fate{{ours: true}, {}}, billing.RefundDone, billing.RefundSending, 20 * time.Minute, 2, true},
		"refused":                    {[]fate{{decline: "NOT_CANCELABLE"}}, billing.RefundRefused, billing.RefundRefused, time.Second, 1, false},
		"refused, its answer lost":   {[]fate{{decline: "NOT_CANCELABLE", lose: true}, {}}, billing.RefundRefused, billing.RefundUnknown, 5 * time.Minute, 2, false},
		"lost, then busy, then done": {[]fate{{lose: true}, {busy: true}, {}}, billing.RefundDone, billing.RefundUnknown, 10 * time.Minute, 3, false},
		"silent for two days":        {[]fate{{drop: true}}, billing.RefundUnknown, billing.RefundUnknown, days(2), 8, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := refunding(t, "monthly", c.fates...)
			_, r, err := w.refund(paidOrder, "r-1", 0)
			if r.State != c.first {
				t.Errorf("answered: got %s, %v, want %s", r.State, err, c.first)
			}
			if c.first == billing.RefundRefused {
				wantFault(t, err, fault.Invalid, "refund_refused")
			} else {
				must(t, err)
				_, _, err = w.refund(paidOrder, "r-2", 100)
				wantFault(t, err, fault.Unavailable, "refund_in_progress")
				w.wantAccess(true)
			}
			w.until(asked.Add(c.within))
			if got := w.found(paidOrder).Refunds[0]; got.State != c.state {
				t.Errorf("%v later: got %s, want %s", c.within, got.State, c.state)
			}
			if got := len(w.gateway.refundCalls); got > c.sends {
				t.Errorf("sends: got %d, want %d at most", got, c.sends)
			}
			for _, call := range w.gateway.refundCalls {
				if call != w.gateway.refundCalls[0] {
					t.Errorf("sent %+v, want the same as at first", call)
				}
			}
			if got := w.alarmed(); got != c.alarm {
				t.Errorf("alarm: got %v, want %v", got, c.alarm)
			}
			done := c.state == billing.RefundDone
			w.wantAccess(!done)
			if w.wantHas(event.ChargeRefunded, map[bool]int{true: 1}[done]); c.state != billing.RefundUnknown {
				w.until(w.clock.Now().Add(time.Hour))
				w.finished()
				w.sound("sub-1")
			}
		})
	}
}

// The first send has given the money back, the key is not known any more, and the second is
// refused since less is left: what the first has done is found.
func TestARefusalAfterALostAnswerIsHeldAgainstTheBooks(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]fate{"done": {lose: true}, "done by one that was killed": {kill: true}, "not done": {drop: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := !first.drop
			w := refunding(t, "monthly", first, fate{refuse: "NOT_MATCHES_REFUNDABLE_AMOUNT"})
			_, _, err := w.refund(paidOrder, "r-1", 1000)
			must(t, err)
			w.until(asked.Add(5 * time.Minute))
			want := map[bool]billing.RefundState{true: billing.RefundDone, false: billing.RefundRefused}[done]
			if got := w.found(paidOrder).Refunds[0]; got.State != want {
				t.Errorf("got %s, want %s", got.State, want)
			}
			w.finished()
			w.sound("sub-1")
		})
	}
}

func TestARefundMayBeInterruptedAnywhereAndIsMadeOnce(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"done": {}, "answer lost": {lose: true}, "request lost": {drop: true}, "busy": {busy: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broke(t, func() *world { return refunding(t, "monthly", f, fate{}) }, func(w *world) {
				_, _, _ = w.refund(paidOrder, "r-1", 0)
			}, func(w *world) {
				w.until(asked.Add(days(1)))
				_, _, err := w.refund(paidOrder, "r-1", 0)
				must(t, err)
				w.until(asked.Add(days(2)))
				if _, r, err := w.refund(paidOrder, "r-1", 0); err != nil || r.State != billing.RefundDone {
					t.Errorf("got %s, %v, want it done", r.State, err)
				}
				w.wantReturned(4900)
				w.wantHas(event.ChargeRefunded, 1)
				w.finished()
				w.sound("sub-1")
			})
		})
	}
}

// Two that are asked for at once: of one reference they are one; of two, one may have to ask
// again, and never is more given back than was paid.
func TestRefundsAskedForAtOnceNeverExceedThePayment(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"done": {}, "answer lost": {lose: true}, "busy": {busy: true}, "refused": {decline: "X"}} {
		for _, second := range []string{"r-1", "r-2"} {
			t.Run(name+", "+second, func(t *testing.T) {
				t.Parallel()
				ask := func(reference string) func(w *world) {
					return func(w *world) {
						_, _, _ = w.biller.Refund(t.Context(), scope, billing.RefundAsk{OrderID: paidOrder, Amount: 3000, Reason: "asked", Reference: reference})
					}
				}
				met(t, func() *world { return refunding(t, "monthly", f, fate{}) }, ask("r-1"), ask(second), func(w *world) {
					w.until(asked.Add(days(1)))
					if got := len(w.gateway.returned); got > 1 || got < 1 && f.decline == "" {
						t.Errorf("given back: got %d times, want once", got)
					}
					w.finished()
					w.sound("sub-1")
				})
			})
		}
	}
}

// The queue is at it while another message for the same comes.
func TestARefundIsTendedByOneAtATime(t *testing.T) {
	t.Parallel()
	tend := func(w *world) { _ = w.biller.Work(t.Context(), scope, "errand:order-"+paidOrder) }
	met(t, func() *world {
		w := refunding(t, "monthly", fate{drop: true}, fate{})
		_, _, err := w.refund(paidOrder, "r-1", 1000)
		must(t, err)
		w.clock.set(asked.Add(2 * time.Minute))
		return w
	}, tend, tend, func(w *world) {
		if got := len(w.gateway.refundCalls); got != 2 {
			t.Errorf("sends: got %d, want 2", got)
		}
		w.until(asked.Add(time.Hour))
		w.wantReturned(1000)
		w.finished()
		w.sound("sub-1")
	})
}

// Whoever was sure of nothing comes back after another has written that it is done.
func TestAnAnswerToARefundThatComesTooLateChangesNothing(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly")
	w.gateway.refund = func(nth int) fate { return fate{lose: nth == 2} } // the first to arrive is the second's
	inside := false
	w.gateway.before = func() {
		if !inside {
			inside = true
			w.clock.set(w.clock.Now().Add(lease))
			must(t, w.biller.Work(t.Context(), scope, "errand:order-"+paidOrder))
		}
	}
	_, r, err := w.refund(paidOrder, "r-1", 0)
	if w.gateway.before = nil; err != nil || r.State != billing.RefundDone {
		t.Errorf("got %s, %v, want done", r.State, err)
	}
	w.until(asked.Add(days(1)))
	w.wantHas(event.ChargeRefunded, 1)
	w.wantReturned(4900)
	w.finished()
	w.sound("sub-1")
}

func TestOnlyARefundOfTheRunningPeriodTakesAccess(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly")
	w.until(due.Add(days(1)))
	_, _, err := w.refund(paidOrder, "r-1", 0)
	must(t, err)
	w.wantAccess(true)
	_, err = w.demand("order-1", 500)
	must(t, err)
	_, _, err = w.refund("order-1", "r-1", 0)
	must(t, err)
	w.wantAccess(true)
	_, _, err = w.refund(billing.OrderID(scope, "sub-1", 1, 1), "r-1", 4899)
	must(t, err)
	w.wantAccess(true)
	_, _, err = w.refund(billing.OrderID(scope, "sub-1", 1, 1), "r-2", 1)
	must(t, err)
	w.wantAccess(false)
	w.until(due.Add(days(4)))
	w.finished()
	w.sound("sub-1")
}

// Grace is for who has paid: a period whose money was given back gives none.
func TestNoGraceFollowsOnAPeriodThatWasGivenBack(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly")
	_, _, err := w.refund(paidOrder, "r-1", 0)
	must(t, err)
	w.gateway.fate = declining(map[string]string{"1.1": "A"})
	w.until(due.Add(time.Hour))
	w.wantState(billing.StatePastDue)
	w.wantAccess(false)
	w.until(due.Add(days(4)))
	w.wantAccess(true)
	w.sound("sub-1")
}

func (w *world) hear(h billing.Hint) bool {
	w.Helper()
	var known bool
	must(w, w.invoke(func(ctx context.Context) (err error) {
		known, err = w.biller.LookAgain(ctx, scope, h)
		return err
	}))
	return known
}

func TestWhatWasGivenBackAtTheConsoleIsAdopted(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly")
	hint := billing.Hint{Order: paidOrder, Payment: "pay_" + paidOrder, Returned: true}
	w.gateway.returnedOf["pay_"+paidOrder] = 900
	for range 2 {
		if !w.hear(hint) {
			t.Error("the order is not known")
		}
	}
	w.wantHas(event.ChargeRefunded, 1)
	w.wantAccess(true)
	w.gateway.returnedOf["pay_"+paidOrder] = 4900
	w.hear(hint)
	w.wantHas(event.ChargeRefunded, 2)
	w.wantAccess(false)
	if o := w.found(paidOrder); o.Refunded != 4900 || o.Refunds[1].Amount != 4000 || o.Refunds[1].State != billing.RefundDone {
		t.Errorf("got %d back by %+v, want 900 and 4000", o.Refunded, o.Refunds)
	}
	w.sound("sub-1")
}

// A dispute that was lost takes the access; one that is won after all gives it again, and of what
// we gave back ourselves nothing.
func TestADisputeThatIsWonAfterAllGivesBackWhatItTook(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly")
	_, _, err := w.refund(paidOrder, "r-1", 1000)
	must(t, err)
	hint := billing.Hint{Order: paidOrder, Payment: "pay_" + paidOrder, Returned: true, Disputed: true}
	w.gateway.returnedOf["pay_"+paidOrder] = 4900
	for range 2 {
		w.hear(hint)
	}
	w.wantHas(event.ChargeRefunded, 2)
	w.wantAccess(false)
	w.gateway.returnedOf["pay_"+paidOrder] = 1000
	lookedAt := hint
	lookedAt.Disputed = false
	w.hear(lookedAt) // whatever else is told is no reason
	w.wantHas(event.ChargeRestored, 0)
	for range 2 {
		w.hear(hint)
	}
	w.wantHas(event.ChargeRestored, 1)
	w.wantAccess(true)
	o := w.found(paidOrder)
	if o.Refunded != 1000 || o.Refunds[0].State != billing.RefundDone || o.Refunds[1].State != billing.RefundRefused {
		t.Errorf("got %d back by %+v, want our own refund alone", o.Refunded, o.Refunds)
	}
	w.gateway.returnedOf["pay_"+paidOrder] = 0 // what we gave back does not come back
	w.hear(hint)
	w.wantHas(event.ChargeRestored, 1)
	w.gateway.returnedOf["pay_"+paidOrder] = 4900
	w.hear(hint)
	w.wantAccess(false)
	w.sound("sub-1")
}

// While a refund of ours is under way, what the gateway says was given back may be it.
func TestARefundOfOursIsNotAdoptedAsAnothers(t *testing.T) {
	t.Parallel()
	w := refunding(t, "monthly", fate{lose: true}, fate{})
	_, _, err := w.refund(paidOrder, "r-1", 1000)
	must(t, err)
	w.hear(billing.Hint{Order: paidOrder, Payment: "pay_" + paidOrder, Returned: true})
	w.wantHas(event.ChargeRefunded, 0)
	w.until(asked.Add(time.Hour))
	w.wantHas(event.ChargeRefunded, 1)
	w.sound("sub-1")
}

func TestASecondPaymentOfAnOrderIsGivenBackAndCountsForNothing(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"done": {}, "answer lost": {lose: true}, "request lost": {drop: true}, "busy": {busy: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := refunding(t, "monthly", f, fate{})
			w.gateway.strays[paidOrder] = billing.Payment{Key: "stray", Amount: 4900, Currency: "KRW", ApprovedAt: asked}
			for range 3 {
				w.hear(billing.Hint{Order: paidOrder, Payment: "stray"})
			}
			w.until(asked.Add(time.Hour))
			w.wantReturned(4900)
			if got := w.gateway.returnedOf["stray"]; got != 4900 || !w.alarmed() {
				t.Errorf("of the second: got %d back, alarm %v, want 4900 and a person told", got, w.alarmed())
			}
			if o := w.found(paidOrder); o.Refunded != 0 || o.Refunds[0].Stray != "stray" {
				t.Errorf("order: got %d refunded, want nothing of its own", o.Refunded)
			}
			w.wantHas(event.ChargeRefunded, 0)
			w.wantAccess(true)
			if _, r, err := w.refund(paidOrder, "r-1", 0); err != nil || r.Amount != 4900 {
				t.Errorf("its own money: got %d, %v, want 4900", r.Amount, err)
			}
			w.finished()
			w.sound("sub-1")
		})
	}
}

// A part of it is being given back when it turns out that all has to be.
func TestAPaymentAfterTheEndIsGivenBackThoughAPartOfItIs(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	order := billing.OrderID(scope, "sub-1", 1, 1)
	w.gateway.refund = func(nth int) fate { return fate{lose: nth == 1} }
	w.gateway.fate = once(fate{lose: true})
	w.until(due.Add(time.Second))
	_, err := w.cancel(true)
	must(t, err)
	w.rewrite(order, func(c *billing.Charge) {
		p := w.gateway.payments[order].outcome.Payment
		c.State, c.Payment, c.Sealed, c.SettledAt = billing.Paid, &p, nil, due
	})
	_, _, err = w.refund(order, "r-1", 1000)
	must(t, err)
	w.until(due.Add(days(1)))
	w.wantReturned(1000, 3900)
	w.ending()
}
