package billing_test

import (
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/money"
)

// A gateway repeats a refusal under its key for 15 days: once our mistake is mended, the
// charge must not be refused by what was kept.
func TestAMistakeThatWasMendedIsNotRepeatedFromMemory(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	mended := due.Add(3 * time.Hour)
	w.gateway.stores = true
	w.gateway.fate = func(c call) fate { return fate{ours: c.at.Before(mended)} }
	w.until(due.Add(24 * time.Hour))
	if s := w.subscription("sub-1"); s.State != billing.StateActive || s.Period != 2 || s.Round != 0 {
		t.Errorf("got %s in period %d, round %d; want it paid once it was mended", s.State, s.Period, s.Round)
	}
	w.sound("sub-1")
}

func TestAMistakeThatWasMendedIsNotRepeatedOnDemand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	mended := noon.Add(3 * time.Hour)
	w.gateway.stores = true
	w.gateway.fate = func(c call) fate { return fate{ours: c.at.Before(mended)} }
	if _, err := w.biller.Demand(t.Context(), scope, "sub-1", billing.Demand{OrderID: "extra-1", Amount: money.Of(1000, "KRW")}); err != nil {
		t.Fatal(err)
	}
	w.until(noon.Add(24 * time.Hour))
	for _, c := range w.charges("sub-1") {
		if c.ID == "extra-1" && (c.State != billing.Paid || c.Round < 2) {
			t.Errorf("got %s in round %d, want it paid once it was mended", c.State, c.Round)
		}
	}
	paid := 0
	for _, m := range w.gateway.taken() {
		if strings.HasPrefix(m.order, "extra") {
			paid++
		}
	}
	if paid != 1 {
		t.Errorf("got %d payments, want 1", paid)
	}
}

func TestAMistakeThatWasMendedIsNotRepeatedToARefund(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	mended := noon.Add(3 * time.Hour)
	w.gateway.stores = true
	w.gateway.refund = func(int) fate { return fate{ours: w.clock.Now().Before(mended)} }
	order := billing.OrderID(scope, "sub-1", 0, 1)
	if _, r, err := w.biller.Refund(t.Context(), scope, billing.RefundAsk{OrderID: order, Reason: "asked for", Reference: "r-1"}); err != nil || r.State != billing.RefundSending {
		t.Fatalf("got %s, %v, want it to be made later", r.State, err)
	}
	w.until(noon.Add(24 * time.Hour))
	c := w.charges("sub-1")[0]
	if c.Refunds[0].State != billing.RefundDone || c.Refunds[0].Round < 2 || len(w.gateway.returned) != 1 {
		t.Errorf("got %s in round %d, given back %v; want it done once, when it was mended", c.Refunds[0].State, c.Refunds[0].Round, w.gateway.returned)
	}
}
