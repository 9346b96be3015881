package billing_test

import (
	"context"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/money"
)

func (w *abroad) tryDemand(id string, amount int64) (c billing.Charge, err error) {
	err = w.invoke(func(ctx context.Context) error {
		c, err = w.biller.Demand(ctx, scope, "sub-1", billing.Demand{OrderID: id, Amount: money.Of(amount, "USD"), Description: "Usage"})
		return err
	})
	return c, err
}

func (w *abroad) demand(id string, amount int64) billing.Charge {
	w.Helper()
	c, err := w.tryDemand(id, amount)
	if err != nil {
		w.Fatalf("Demand %s: got %v", id, err)
	}
	return c
}

func (w *abroad) demanded(id string) billing.Charge {
	w.Helper()
	for _, c := range w.orders() {
		if c.ID == id {
			return c
		}
	}
	w.Fatalf("there is no order %s", id)
	return billing.Charge{}
}

// metered is an agreement on demand.
func metered(t testing.TB) *abroad {
	t.Helper()
	w := newAbroad(t, noon)
	w.asked(invitation("usage", true))
	w.dodo.approve()
	w.until(noon.Add(time.Hour))
	return w
}

func TestAChargeOnDemandIsTakenOnceHoweverOftenItIsAskedFor(t *testing.T) {
	t.Parallel()
	w := metered(t)
	for range 3 {
		if c := w.demand("usage-march", 12345); c.State != billing.Sending {
			t.Errorf("got %s, want it sending: the gateway has accepted it and no more", c.State)
		}
	}
	_, err := w.tryDemand("usage-march", 12346)
	wantFault(t, err, fault.Conflict, "order_exists")
	w.until(noon.Add(2 * time.Hour))
	if c := w.demand("usage-march", 12345); c.State != billing.Paid {
		t.Errorf("later: got %s, want paid", c.State)
	}
	w.wantKept("usage-march")
	if got := w.has(event.ChargePaid); got != 1 {
		t.Errorf("events: got %d payments told, want 1", got)
	}
	w.until(noon.Add(days(3)))
	if w.alarmed() {
		t.Error("an alarm was raised, want none for what is in the gateway's books")
	}
	w.sound()
}

func TestAChargeOnDemandWithoutAnAnswerIsNeverSentAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate  fate
		state billing.ChargeState
	}{
		"the request is lost": {fate{drop: true}, billing.Declined}, "the answer is lost": {fate{lose: true}, billing.Paid},
		"500, nothing done": {fate{fail: true}, billing.Declined}, "500, and done": {fate{fail: true, effect: true}, billing.Paid},
		"killed": {fate{kill: true}, billing.Paid}, "killed before": {fate{kill: true, drop: true}, billing.Declined},
		"hours later": {fate{late: 7 * time.Hour}, billing.Paid}, "declined": {fate{decline: "CARD_DECLINED"}, billing.Declined},
	} {
		for when, post := range map[string]func(billing.Hint, int) []time.Duration{"noticed": nil, "polled": silent} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				w := metered(t)
				w.dodo.post = post
				w.dodo.fate = func(call) fate { return c.fate }
				_, _ = w.tryDemand("usage-march", 5000)
				w.until(noon.Add(28 * time.Hour))
				if o := w.demanded("usage-march"); o.State != c.state {
					t.Errorf("got %s %s, want %s", o.State, o.Code, c.state)
				}
				if got := len(w.dodo.sent()); got != 1 {
					t.Errorf("charges: got %d, want 1", got)
				}
				w.wantState(billing.StateActive)
				w.until(noon.Add(days(4)))
				w.sound()
			})
		}
	}
}

func TestAChargeOnDemandThatIsRefusedForNowIsMadeWithin30Hours(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"429": {busy: true}, pending: {odd: pending}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := metered(t)
			w.dodo.fate = func(c call) fate {
				if c.at.Before(noon.Add(29 * time.Hour)) {
					return f
				}
				return fate{}
			}
			w.demand("usage-march", 5000)
			w.until(noon.Add(31 * time.Hour))
			w.wantKept("usage-march")
			// And what cannot be made in that time is given up, for good.
			w.dodo.fate = func(call) fate { return f }
			w.demand("usage-april", 5000)
			w.until(noon.Add(days(3)))
			if o := w.demanded("usage-april"); o.State != billing.Declined || o.Code != billing.NotMadeInTime {
				t.Errorf("given up: got %s %s, want declined with %s", o.State, o.Code, billing.NotMadeInTime)
			}
			w.sound()
		})
	}
}

func TestAnEffectLongAfterADemandWasClosedIsGivenBack(t *testing.T) {
	t.Parallel()
	for name, post := range map[string]func(billing.Hint, int) []time.Duration{"noticed": nil, "compared": silent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := metered(t)
			w.compares = true
			w.dodo.post = post
			w.dodo.fate = func(call) fate { return fate{late: 40 * time.Hour} }
			w.demand("usage-march", 5000)
			w.until(noon.Add(days(5)))
			w.wantKept()
			if got := len(w.dodo.taken()); got != 1 || !w.alarmed() {
				t.Errorf("payments: got %d, alarmed %v; want 1 that is given back, and an alarm", got, w.alarmed())
			}
			w.sound()
		})
	}
}

func TestOnHoldNothingIsChargedOnDemandOnceItIsKnown(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.holds = true
	w.dodo.fate = of("1.1", fate{decline: "CARD_DECLINED"})
	w.until(renews.Add(days(2) + time.Hour)) // the reminder has found it out
	_, err := w.tryDemand("usage-march", 5000)
	wantFault(t, err, fault.Conflict, "payment_method_needed")
	w.dodo.mended("pm_2")
	w.until(renews.Add(days(2) + 2*time.Hour))
	w.demand("usage-march", 5000)
	w.until(renews.Add(days(3)))
	w.wantKept("0.1", "1.2", "usage-march")
	w.sound()
}

func (w *abroad) refund(a billing.RefundAsk) (r billing.Refund, err error) {
	err = w.invoke(func(ctx context.Context) error {
		_, r, err = w.biller.Refund(ctx, scope, a)
		return err
	})
	return r, err
}

// {nothing done, done} × {no answer, an error, killed, not yet decided}: money is given
// back once, though the gateway would do it twice.
func TestARefundIsMadeOnceThoughTheGatewayWouldMakeItTwice(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{
		"answered": {}, "request lost": {drop: true}, "answer lost": {lose: true}, "error, nothing done": {fail: true}, "error, and done": {fail: true, effect: true},
		"killed": {kill: true}, "too many requests": {busy: true}, "hours later": {late: 5 * time.Hour},
		"killed, and hours later": {kill: true, late: 5 * time.Hour},
	} {
		for _, slow := range []time.Duration{0, 3 * time.Hour} {
			for amount, want := range map[int64]int64{0: 1098, 400: 400} { // the whole has the tax with it
				t.Run(name+" "+slow.String(), func(t *testing.T) {
					t.Parallel()
					w := subscribed(t, "usd")
					w.dodo.slow = slow
					w.dodo.refund = func(nth int) fate {
						if nth == 1 {
							return f
						}
						return fate{}
					}
					ask := billing.RefundAsk{OrderID: w.order(0, 1).ID, Amount: amount, Reason: "asked for", Reference: "ref-1"}
					for range 3 {
						_, _ = w.refund(ask)
					}
					w.until(noon.Add(days(3)))
					r, err := w.refund(ask)
					if err != nil || r.State != billing.RefundDone {
						t.Errorf("refund: got %s %s, %v; want it done", r.State, r.Code, err)
					}
					w.dodo.mu.Lock()
					got := w.dodo.returned(w.order(0, 1).Payment.Key)
					w.dodo.mu.Unlock()
					if got != want {
						t.Errorf("given back: got %d, want %d", got, want)
					}
					if got := w.has(event.ChargeRefunded); got != 1 {
						t.Errorf("refunds told: got %d, want 1", got)
					}
					w.wantAccess(amount != 0)
					w.sound()
				})
			}
		}
	}
}

func TestARefundThatTheGatewayWillNotMakeIsRefused(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	w.dodo.refund = func(int) fate { return fate{decline: "REFUND_WINDOW_EXPIRED"} }
	_, err := w.refund(billing.RefundAsk{OrderID: w.order(0, 1).ID, Reason: "asked for", Reference: "ref-1"})
	wantFault(t, err, fault.Invalid, "refund_refused")
	w.wantKept("0.1")
	w.wantAccess(true)
	w.sound()
}

func TestMoneyGivenBackInTheGatewaysConsoleIsWrittenDown(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	o := w.order(0, 1)
	w.dodo.mu.Lock()
	w.dodo.repaid = append(w.dodo.repaid, &repayment{key: "console", payment: o.Payment.Key, order: o.ID, amount: 1098, at: w.clock.Now(), decided: w.clock.Now()})
	w.dodo.tell(w.clock.Now(), billing.Hint{Order: o.ID, Payment: o.Payment.Key, Returned: true})
	w.dodo.mu.Unlock()
	w.until(noon.Add(3 * time.Hour))
	if o := w.order(0, 1); o.Refunded != o.Amount {
		t.Errorf("given back: got %d, want all of %d", o.Refunded, o.Amount)
	}
	w.wantAccess(false)
	w.sound()
}
