package billing_test

import (
	"encoding/json"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// remade is a renewal that counts as not made, a payment that turned up for it all the same, and the
// fate of the order made again. Its notice may be lost.
func remade(t *testing.T, again fate, lost bool) (*abroad, *transfer) {
	t.Helper()
	w := renewing(t, "usd")
	w.compares = true
	w.dodo.fate = func(c call) fate {
		switch {
		case attemptName(c.order) != "1.1":
			return fate{}
		case c.of == 1:
			return fate{ours: true}
		}
		return again
	}
	w.until(renews.Add(2 * time.Minute))
	o := w.order(1, 1)
	if o.State != billing.Void {
		t.Fatalf("got the order %s, want it void", o.State)
	}
	w.dodo.mu.Lock()
	defer w.dodo.mu.Unlock()
	p := w.dodo.pay(w.dodo.mandates[0], o.ID, 999, 0)
	if !lost {
		w.dodo.tell(p.decided, billing.Hint{Order: o.ID, Payment: p.key})
	}
	return w, p
}

// console gives a payment back whole, without a notice.
func (w *abroad) console(p *transfer, at time.Time) {
	w.dodo.mu.Lock()
	defer w.dodo.mu.Unlock()
	w.dodo.repaid = append(w.dodo.repaid, &repayment{key: "console", payment: p.key, order: p.order, amount: p.amount, at: at, decided: at})
}

// The answer to the order made again is lost, and a look-up finds both payments.
func TestAPaymentThatIsBeingGivenBackDoesNotPayTheOrderMadeAgain(t *testing.T) {
	t.Parallel()
	for name, given := range map[string]func(w *abroad, p *transfer){
		"by us":                            func(*abroad, *transfer) {},
		"at the console, before we saw it": func(w *abroad, p *transfer) { w.console(p, p.decided) },
		"at the console, without a word": func(w *abroad, p *transfer) {
			w.console(p, p.decided)
			w.dodo.post = silent
			w.dodo.find = func(int) bool { return w.clock.Now().Before(renews.Add(2 * time.Hour)) } // by then both are listed
		},
		"at the console, before ours went through": func(w *abroad, p *transfer) {
			w.dodo.refund = func(int) fate { return fate{busy: true} }
			w.until(renews.Add(4 * time.Minute))
			w.console(p, w.clock.Now())
			w.dodo.refund = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := remade(t, fate{lose: true}, name == "at the console, without a word")
			given(w, p)
			w.until(renews.Add(days(3)))
			w.wantKept("0.1", "1.1")
			w.wantAccess(true)
			w.sound()
		})
	}
}

// The order made again is declined for good, and the answer is lost: what is being given back does
// not hide that.
func TestADeclineBehindAPaymentThatIsBeingGivenBackIsSeen(t *testing.T) {
	t.Parallel()
	w, _ := remade(t, fate{lose: true, decline: "STOLEN_CARD", class: billing.Hard}, false)
	w.until(renews.Add(days(8)))
	if o := w.order(1, 1); o.State != billing.Declined || o.Class != billing.Hard {
		t.Errorf("got the order %s with %s %s, want it declined for good", o.State, o.Code, o.Class)
	}
	for _, c := range w.dodo.sent() {
		if attemptName(c.order) == "1.2" {
			t.Errorf("a card that was refused for good was charged again at %s", c.at)
		}
	}
	w.wantKept("0.1")
}

// A gateway that has one payment of an order answers with it when the order is made again.
func TestTheAnswerToAnOrderMadeAgainMayBeWhatIsBeingGivenBack(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	w.gateway.fate = func(c call) fate { return fate{busy: attemptName(c.order) == "1.1" && c.of == 1} }
	w.until(due.Add(10 * time.Second))
	o := w.order(1, 1)
	if o.State != billing.Void {
		t.Fatalf("got the order %s, want it void", o.State)
	}
	item, err := w.tables.Get(t.Context(), table.Key{Table: table.Orders, Partition: scope.Key(o.ID)})
	must(t, err)
	o.Refunds = append(o.Refunds, billing.Refund{
		Reference: "gl_stray", Amount: 4900, Left: 4900, Stray: "pay_" + o.ID, Currency: "KRW", State: billing.RefundDone, AskedAt: due, DoneAt: due,
	})
	item.Data, err = json.Marshal(o)
	must(t, err)
	must(t, w.tables.Commit(t.Context(), table.Put(item)))
	w.until(due.Add(10 * time.Minute))
	if o = w.order(1, 1); o.Sends < 2 || o.State == billing.Paid {
		t.Errorf("got the order %s after %d sends, want it unpaid by what was given back", o.State, o.Sends)
	}
}

// rewritten is an order as somebody else wrote it.
func (w *abroad) rewritten(id string, by func(*billing.Charge)) {
	w.Helper()
	item, err := w.tables.Get(w.Context(), table.Key{Table: table.Orders, Partition: scope.Key(id)})
	must(w, err)
	o := w.found(id)
	by(&o)
	item.Data, err = json.Marshal(o)
	must(w, err)
	must(w, w.tables.Commit(w.Context(), table.Put(item)))
}

// Two look at an order at once. One closes it as not made, and has what turns up given back, between
// the other's look and what it writes.
func TestWhoLooksLateDoesNotPayAnOrderByWhatIsBeingGivenBack(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.fate, w.dodo.post = of("1.1", fate{fail: true}), silent
	w.until(renews.Add(2 * time.Minute))
	o := w.order(1, 1)
	if o.State != billing.Unknown {
		t.Fatalf("got the order %s, want it unknown", o.State)
	}
	w.dodo.mu.Lock()
	p := w.dodo.pay(w.dodo.mandates[0], o.ID, 999, 0)
	w.dodo.mu.Unlock()
	w.clock.set(w.clock.Now().Add(time.Minute))
	look := func() {
		_, err := w.biller.LookAgain(t.Context(), scope, billing.Hint{Order: o.ID, Payment: p.key})
		must(t, err)
	}
	met := false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if !met && op.Method == "Commit" && op.Touches(table.Orders) {
			met = true
			w.rewritten(o.ID, func(c *billing.Charge) { c.State, c.Code = billing.Void, billing.NoPaymentFound })
			look()
		}
		return false, nil
	}
	look()
	w.tables.Fail = nil
	o = w.order(1, 1)
	if !met || len(o.Refunds) != 1 || o.Refunds[0].Stray != p.key {
		t.Fatalf("got the refunds %v, want that of %s", o.Refunds, p.key)
	}
	if o.State == billing.Paid {
		t.Error("got the order paid by what is being given back")
	}
}

// Whoever gave a sign-up up died between its order and its subscription. Then its page is paid, and
// its approval comes after the notice of the payment.
func TestAnApprovalDoesNotForgetWhatItsVoidOrderGivesBack(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.compares = true
	w.dodo.post = func(h billing.Hint, _ int) []time.Duration {
		if h.Subscription != "" {
			return []time.Duration{20 * time.Minute}
		}
		return []time.Duration{0}
	}
	w.asked(invitation("usd", false))
	w.until(noon.Add(time.Minute))
	id := w.charges("sub-1")[0].ID
	w.rewritten(id, func(c *billing.Charge) { c.State, c.Code = billing.Void, "mandate_not_approved" })
	w.dodo.approve()
	w.until(noon.Add(days(3)))
	if o := w.found(id); o.State == billing.Paid || len(o.Refunds) != 1 {
		t.Errorf("got the order %s with the refunds %v, want it unpaid by what was given back", o.State, o.Refunds)
	}
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
