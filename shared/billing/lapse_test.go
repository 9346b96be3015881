package billing_test

import (
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
)

// A mandate was on hold when an outage of ours began, and was mended in it without a word. The
// first attempt of the period after tells how it is now.
func TestAHoldDoesNotOutliveALapsedPeriod(t *testing.T) {
	t.Parallel()
	for method, changes := range map[string]int{"pm_1": 0, "pm_2": 1} {
		for _, code := range []string{"", "!EXPIRED_CARD"} {
			w := renewing(t, "usd")
			w.dodo.holds, w.dodo.post = true, silent
			w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS", "2.1": code, "2.2": code})
			w.until(thirdDay.Add(-5 * time.Hour)) // known to be on hold
			w.dodo.mended(method)
			w.dodo.holds = false
			w.clock.set(renews.AddDate(0, 1, 0).Add(time.Hour)) // an outage of ours
			w.until(renews.AddDate(0, 1, 0).Add(days(20)))
			if got := len(w.dodo.sent()); got != 2 { // 1.1 and 2.1
				t.Errorf("%s %q: got %d charges, want 2", method, code, got)
			}
			if code == "" {
				w.wantState(billing.StateActive)
				if _, err := w.tryDemand("usage-march", 5000); err != nil {
					t.Errorf("%s: a demand after the paid period: got %v", method, err)
				}
			} else if got := w.has(event.PaymentMethodChanged); got != changes {
				t.Errorf("%s: got %d changes told, want %d", method, got, changes)
			}
		}
	}
}

// The outage ends too late for a second attempt of the period, and the mandate is on hold still: it
// is looked at until it is mended, with or without a word.
func TestAMandateThatIsStillOnHoldAfterALapseIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"pm_1", "pm_2"} {
		for _, told := range []bool{false, true} {
			w := renewing(t, "usd")
			w.dodo.holds, w.dodo.post = true, silent
			w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS"})
			w.until(thirdDay.Add(-5 * time.Hour)) // known to be on hold
			w.clock.set(renews.AddDate(0, 1, 0).Add(days(20)))
			w.until(renews.AddDate(0, 1, 0).Add(days(21)))
			w.wantState(billing.StateUnpaid)
			if told {
				w.dodo.post = nil
			}
			w.dodo.holds = false
			w.dodo.mended(method)
			w.until(renews.AddDate(0, 1, 0).Add(days(24)))
			if s := w.subscription("sub-1"); s.State != billing.StateActive {
				t.Errorf("%s, told %v: got %s with %q next, want it active", method, told, s.State, s.Step)
			}
		}
	}
}
