package billing_test

import (
	"testing"
	"time"

	"grantline/shared/billing"
)

func TestAFirstChargeOnThePageIsThePaymentOfPeriod0(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{time.Minute, 15 * time.Minute, 5 * time.Hour, days(3)} {
		for name, post := range map[string]func(billing.Hint, int) []time.Duration{"noticed": nil, "polled": silent} {
			t.Run(name+" after "+after.String(), func(t *testing.T) {
				t.Parallel()
				w := newAbroad(t, noon)
				w.dodo.post = post
				w.asked(invitation("usd", false))
				w.until(noon.Add(after))
				w.dodo.approve()
				w.until(noon.Add(after + 13*time.Hour))
				w.wantState(billing.StateActive)
				w.wantKept("0.1")
				w.wantAccess(true)
				w.sound()
			})
		}
	}
}
