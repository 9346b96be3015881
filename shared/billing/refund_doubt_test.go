package billing_test

import (
	"testing"
	"time"

	"grantline/shared/billing"
)

// A gateway that repeats its own failure under its key is asked under another once the look-ups
// surely find nothing, within hours, and gives back once whether or not the first had an effect,
// even one that shows after all look-ups.
func TestARefundWhoseFailureIsRepeatedForEverIsMadeUnderAnotherKey(t *testing.T) {
	t.Parallel()
	broken := fate{fail: true, stored: true}
	for name, c := range map[string]struct {
		fates []fate
		late  bool // the first has its effect just before the other key
	}{
		"without effect":         {[]fate{broken, {}}, false},
		"with effect":            {[]fate{{fail: true, stored: true, effect: true}, {}}, false},
		"not repeated":           {[]fate{{fail: true}, {}}, false},
		"twice":                  {[]fate{broken, broken, {}}, false},
		"and the answer lost":    {[]fate{broken, {lose: true}, {}}, false},
		"lost, then repeated":    {[]fate{{lose: true}, broken, {}}, false},
		"again and again":        {[]fate{broken, broken, broken, broken, broken, broken, broken, broken, {}}, false},
		"with an effect so late": {[]fate{broken, {}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := refunding(t, "monthly", c.fates...)
			_, _, err := w.refund(paidOrder, "r-1", 1000)
			must(t, err)
			if c.late {
				w.until(asked.Add(59 * time.Minute))
				w.gateway.giveBack(w.gateway.refundCalls[0], fate{})
				delete(w.gateway.refunds, w.gateway.refundCalls[0].Key)
				w.gateway.before = func() { // and no look shows it before the other key is refused
					w.gateway.backs[lockOf(w.gateway.refundCalls[0])] = len(w.gateway.refundCalls) > 1
				}
			}
			if w.until(asked.Add(8 * time.Hour)); len(c.fates) > 3 {
				w.until(asked.Add(days(6))) // from the second day on it is tried once a day
			}
			w.wantReturned(1000)
			if got := w.found(paidOrder); got.Refunds[0].State != billing.RefundDone || got.Refunded != 1000 || len(got.Refunds) != 1 {
				t.Errorf("got %d given back by %+v, want 1000 by the one that was asked for", got.Refunded, got.Refunds)
			}
			w.finished()
			w.sound("sub-1")
		})
	}
}

// What was said to be given back while a refund of ours was under way is looked at once that is
// over, whichever of the two it was: nobody says it again.
func TestWhatWasPassedOverForARefundOfOursIsAdoptedAfterIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate  fate
		early bool // at the console, before ours is asked for
		want  int64
	}{
		"ours is refused, since there is less": {fate{drop: true}, true, 900},
		"ours went first":                      {fate{lose: true}, false, 1900},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := refunding(t, "monthly", c.fate, fate{})
			if c.early {
				w.gateway.returnedOf["pay_"+paidOrder] += 900
			}
			_, _, err := w.refund(paidOrder, "r-1", 1000)
			must(t, err)
			if !c.early {
				w.gateway.returnedOf["pay_"+paidOrder] += 900
			}
			w.hear(billing.Hint{Order: paidOrder, Payment: "pay_" + paidOrder, Returned: true})
			if got := w.found(paidOrder).Refunded; got != 0 {
				t.Errorf("while ours is under way: got %d written as given back, want 0", got)
			}
			w.until(asked.Add(time.Hour))
			if got := w.found(paidOrder); got.Refunded != c.want || len(got.Refunds) != 2 {
				t.Errorf("got %d given back by %+v, want %d", got.Refunded, got.Refunds, c.want)
			}
			w.finished()
			w.sound("sub-1")
		})
	}
}
