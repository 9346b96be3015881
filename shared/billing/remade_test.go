package billing_test

import (
	"encoding/json"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// A payment that turned up for an order which counted as not made is being given back. The order
// is made again, and the answer to that is lost: the look-up finds both.
func TestAPaymentThatIsBeingGivenBackDoesNotPayTheOrderMadeAgain(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.compares = true
	w.dodo.fate = func(c call) fate {
		if attemptName(c.order) != "1.1" {
			return fate{}
		}
		if c.of == 1 {
			return fate{ours: true}
		}
		return fate{lose: c.of == 2}
	}
	w.until(renews.Add(2 * time.Minute))
	o := w.order(1, 1)
	if o.State != billing.Void {
		t.Fatalf("got the order %s, want it void", o.State)
	}
	w.dodo.mu.Lock()
	p := w.dodo.pay(w.dodo.mandates[0], o.ID, 999, 0)
	w.dodo.tell(p.decided, billing.Hint{Order: o.ID, Payment: p.key})
	w.dodo.mu.Unlock()
	w.until(renews.Add(days(3)))
	w.wantKept("0.1", "1.1")
	w.wantAccess(true)
	w.sound()
}

// A charge on demand is made again, while money that turned up for it before is written down as to
// be given back.
func TestADemandMadeAgainKeepsTheRefundThatCameBetween(t *testing.T) {
	t.Parallel()
	w := active(t, "monthly", fate{busy: true}, fate{})
	_, err := w.demand("order-1", 700)
	must(t, err)
	if o := w.found("order-1"); o.State != billing.Void {
		t.Fatalf("got the order %s, want it void", o.State)
	}
	key := table.Key{Table: table.Orders, Partition: scope.Key("order-1")}
	met := false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if met || op.Method != "Commit" || !op.Touches(table.Orders) {
			return false, nil
		}
		met = true
		item, err := w.tables.Get(t.Context(), key)
		must(t, err)
		o := w.found("order-1")
		o.Refunds = append(o.Refunds, billing.Refund{
			Reference: "gl_stray", Amount: 700, Left: 700, Stray: "pay_stray", Currency: "KRW", State: billing.RefundUnknown, Unsure: true,
			AskedAt: w.clock.Now(), LookAt: w.clock.Now().Add(time.Hour),
		})
		item.Data, err = json.Marshal(o)
		must(t, err)
		must(t, w.tables.Commit(t.Context(), table.Put(item)))
		return false, nil
	}
	w.until(asked.Add(20 * time.Minute))
	if !met {
		t.Fatal("the order was not written while it was made again")
	}
	if o := w.found("order-1"); len(o.Refunds) != 1 {
		t.Errorf("got the order %s with the refunds %v, want the one under way", o.State, o.Refunds)
	}
}
