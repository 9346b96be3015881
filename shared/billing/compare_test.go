package billing_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
)

var account = billing.GatewayName{Scope: scope, Gateway: "toss"}

// compareUntil holds each day that is over against the gateway's books.
func (w *world) compareUntil() {
	w.Helper()
	for {
		var next time.Time
		err := w.invoke(func(ctx context.Context) (err error) {
			next, err = w.biller.Compare(ctx, account)
			return err
		})
		if err != nil {
			w.Fatalf("Compare: got %v", err)
		}
		if next.After(w.clock.Now()) {
			return
		}
	}
}

// booked is a world with a subscription that was paid yesterday, and the comparison due.
func booked(t *testing.T) (*world, string) {
	t.Helper()
	w := newWorld(t, noon)
	s := w.subscribe(signUp("monthly"))
	w.until(noon.Add(40 * time.Hour))
	return w, billing.OrderID(scope, s.ID, 0, 1)
}

func (w *world) alarms() int { return strings.Count(w.logs.String(), "alarm=true") }

func TestADayThatAgreesChangesNothing(t *testing.T) {
	t.Parallel()
	w, _ := booked(t)
	before := w.kinds()
	w.compareUntil()
	if w.alarms() != 0 || len(w.kinds()) != len(before) || len(w.gateway.refundCalls) != 0 {
		t.Errorf("got %d alarms, events %v, refunds %v; want none of them", w.alarms(), w.kinds(), w.gateway.refundCalls)
	}
	next, err := w.biller.Compare(t.Context(), account)
	if want := noon.Truncate(24 * time.Hour).Add(51 * time.Hour); err != nil || !next.Equal(want) {
		t.Errorf("the next day: got %v, %v, want %v", next, err, want)
	}
	w.sound("sub-1")
}

func TestASecondSuccessOfAnOrderIsGivenBackOnce(t *testing.T) {
	t.Parallel()
	w, order := booked(t)
	w.gateway.strays[order] = billing.Payment{Key: "pay_second", Amount: 4900, Currency: "KRW", ApprovedAt: noon.Add(time.Minute)}
	w.compareUntil()
	w.until(w.clock.Now().Add(24 * time.Hour))
	w.compareUntil()
	w.until(w.clock.Now().Add(24 * time.Hour))
	if got := w.gateway.returned; len(got) != 1 || got[0].order != "pay_second" || got[0].amount != 4900 {
		t.Errorf("given back: got %v, want the second payment once", got)
	}
	if w.alarms() == 0 {
		t.Error("nobody was told")
	}
	if s := w.subscription("sub-1"); s.State != billing.StateActive || s.Returned {
		t.Errorf("subscription: got %s, want it untouched", s.State)
	}
	w.wantAccess(true)
	w.sound("sub-1")
}

func TestMoneyUnderAnOrderThatWasClosedWithoutIsGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.fate = declining(map[string]string{"0.1": "REJECT_CARD_PAYMENT"})
	w.subscribe(signUp("monthly"))
	order := billing.OrderID(scope, "sub-1", 0, 1)
	w.gateway.payments[order] = answer{outcome: billing.Outcome{Result: billing.Taken, Payment: billing.Payment{
		Key: "pay_late", Amount: 4900, Currency: "KRW", ApprovedAt: noon.Add(time.Hour),
	}}}
	w.until(noon.Add(40 * time.Hour))
	w.compareUntil()
	w.until(w.clock.Now().Add(time.Hour))
	if got := w.gateway.returned; len(got) != 1 || got[0].order != "pay_late" {
		t.Errorf("given back: got %v, want the late payment", got)
	}
	if c := w.charges("sub-1")[0]; c.State != billing.Declined || c.Refunded != 0 {
		t.Errorf("order: got %s with %d refunded, want it declined as it was", c.State, c.Refunded)
	}
}

func TestARefundInTheConsoleIsWrittenDown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		amount int64
		access bool
	}{"part": {1000, true}, "whole": {4900, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, order := booked(t)
			payment := w.gateway.payments[order].outcome.Payment.Key
			w.gateway.returnedOf[payment] = c.amount
			w.gateway.returned = append(w.gateway.returned, movement{payment, c.amount, noon.Add(time.Hour)})
			w.compareUntil()
			charge := w.charges("sub-1")[0]
			if charge.Refunded != c.amount || len(charge.Refunds) != 1 || charge.Refunds[0].State != billing.RefundDone {
				t.Errorf("order: got %d refunded by %+v, want %d", charge.Refunded, charge.Refunds, c.amount)
			}
			kinds := w.kinds()
			if kinds[len(kinds)-1] != event.ChargeRefunded {
				t.Errorf("events: got %v, want the refund told", kinds)
			}
			w.wantAccess(c.access)
			w.until(w.clock.Now().Add(24 * time.Hour))
			w.compareUntil()
			if n := len(w.charges("sub-1")[0].Refunds); n != 1 || len(w.gateway.refundCalls) != 0 {
				t.Errorf("got %d refunds and %d calls later, want the one that was found", n, len(w.gateway.refundCalls))
			}
		})
	}
}

func TestWhatTheGatewayDoesNotKnowIsForAPersonAndEndsNoAccess(t *testing.T) {
	t.Parallel()
	w, order := booked(t)
	delete(w.gateway.payments, order)
	w.gateway.effects = nil
	w.compareUntil()
	if w.alarms() != 1 {
		t.Errorf("got %d alarms, want one:\n%s", w.alarms(), w.logs)
	}
	w.wantAccess(true)
}

func TestAnOpenOrderIsSettledByTheComparison(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.fate = func(c call) fate { return fate{lose: true} }
	w.subscribe(signUp("monthly"))
	w.change("sub-1", func(s *billing.Subscription) { s.WakeAt = noon.Add(days(30)) }) // as if its wake-up were lost
	w.clock.set(noon.Add(40 * time.Hour))
	w.compareUntil()
	if s := w.subscription("sub-1"); s.State != billing.StateActive {
		t.Errorf("got %s, want what the gateway's books say", s.State)
	}
	w.sound("sub-1")
}

func TestForeignPaymentsAreNobodysBusiness(t *testing.T) {
	t.Parallel()
	w, _ := booked(t)
	w.gateway.strays["a-shirt-of-their-shop"] = billing.Payment{Key: "pay_shirt", Amount: 1000, Currency: "KRW", ApprovedAt: noon}
	w.gateway.strays["x"] = billing.Payment{Key: "pay_x", Amount: 1000, Currency: "KRW", ApprovedAt: noon}
	w.compareUntil()
	if w.alarms() != 0 {
		t.Errorf("got alarms:\n%s", w.logs)
	}
	w.clock.set(w.clock.Now().Add(24 * time.Hour))
	w.gateway.strays["gl_nobody"] = billing.Payment{Key: "pay_ours", Amount: 1000, Currency: "KRW", ApprovedAt: noon.Add(24 * time.Hour)}
	w.compareUntil()
	if w.alarms() != 1 || len(w.gateway.refundCalls) != 0 {
		t.Errorf("an order of ours that we do not have: got %d alarms and %d refunds, want a person alone", w.alarms(), len(w.gateway.refundCalls))
	}
}

func TestAfterDaysWithoutAComparisonEachOfThemIsCompared(t *testing.T) {
	t.Parallel()
	w, order := booked(t)
	w.compareUntil()
	w.gateway.strays[order] = billing.Payment{Key: "pay_second", Amount: 4900, Currency: "KRW", ApprovedAt: noon.Add(24 * time.Hour)}
	w.clock.set(w.clock.Now().Add(days(5)))
	w.compareUntil()
	w.until(w.clock.Now().Add(24 * time.Hour))
	if got := w.gateway.returned; len(got) != 1 {
		t.Errorf("given back: got %v, want the second payment, of the first of those days", got)
	}
	w.sound("sub-1")
}

func TestADayBeginsAnewAfterAnOutage(t *testing.T) {
	t.Parallel()
	w, order := booked(t)
	w.gateway.strays[order] = billing.Payment{Key: "pay_second", Amount: 4900, Currency: "KRW", ApprovedAt: noon.Add(time.Minute)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if next, err := w.biller.Compare(ctx, account); !errors.Is(err, fault.Unavailable) || next.After(w.clock.Now()) {
		t.Errorf("got %v, %v, want an outage and the same day again", next, err)
	}
	// Each operation of the tables fails once, before and after its effect.
	for _, after := range []bool{false, true} {
		for k := 1; k < 40; k++ {
			n := 0
			w.tables.Fail = func(memory.Op) (bool, error) {
				if n++; n == k {
					return after, broken()
				}
				return true, nil
			}
			_, _ = w.biller.Compare(t.Context(), account)
		}
	}
	w.tables.Fail = nil
	w.compareUntil()
	w.until(w.clock.Now().Add(24 * time.Hour))
	if got := w.gateway.returned; len(got) != 1 {
		t.Errorf("given back: got %v, want the second payment once", got)
	}
	w.sound("sub-1")
}
