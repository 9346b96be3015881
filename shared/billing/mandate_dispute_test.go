package billing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/table"
)

// seize is a dispute of a payment that was lost, of which no notice came in.
func (w *abroad) seize(id string, payment *transfer) {
	w.dodo.disputes = append(w.dodo.disputes, billing.Dispute{ID: id, Payment: payment.key, Opened: w.clock.Now(), Lost: true})
	w.dodo.repaid = append(w.dodo.repaid, &repayment{payment: payment.key, order: payment.order, amount: payment.amount, decided: w.clock.Now(), seized: true})
}

// win has the bank give everything again.
func (w *abroad) win() {
	for i := range w.dodo.disputes {
		w.dodo.disputes[i].Lost = false
	}
	for _, r := range w.dodo.repaid {
		r.failed = r.seized
	}
}

// compareAll holds every day that is over against the books, and gives how often the gateway was
// asked for an order.
func (w *abroad) compareAll() (asked int) {
	w.Helper()
	before := w.dodo.asked["order of"]
	for {
		var next time.Time
		must(w, w.invoke(func(ctx context.Context) (err error) {
			next, err = w.biller.Compare(ctx, dollarAccount)
			return err
		}))
		if next.After(w.clock.Now()) {
			return w.dodo.asked["order of"] - before
		}
	}
}

func (w *abroad) wantRefunded(want int64) {
	w.Helper()
	if got := w.found(paidOrder); got.Refunded != want {
		w.Errorf("got %d given back by %+v, want %d", got.Refunded, got.Refunds, want)
	}
}

// Both words come weeks after the payment, and neither notice gets through.
func TestTheComparisonLearnsHowADisputeEnded(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	w.until(noon.Add(days(20)))
	w.compareAll()
	w.seize("dsp_1", w.dodo.transfers[0])
	w.until(noon.Add(days(21)))
	if asked := w.compareAll(); asked != 1 {
		t.Errorf("lost: got %d questions, want 1", asked)
	}
	w.wantRefunded(999)
	w.wantAccess(false)
	w.wantHas(event.ChargeRefunded, 1)

	w.win()
	w.until(noon.Add(days(25)))
	if asked := w.compareAll(); asked != 1 {
		t.Errorf("won after all: got %d questions in four days, want 1", asked)
	}
	w.wantRefunded(0)
	w.wantAccess(true)
	w.wantHas(event.ChargeRestored, 1)

	w.until(noon.Add(days(28)))
	if asked := w.compareAll(); asked != 0 || w.alarms() != 0 {
		t.Errorf("nothing new: got %d questions and %d alarms, want none", asked, w.alarms())
	}
}

func TestADisputeThatWasHeardOfIsWrittenOnce(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	payment := w.dodo.transfers[0]
	w.seize("dsp_1", payment)
	w.toldOf(func(h *notice.Hint) { h.Type, h.Payment = "dispute.lost", payment.key })
	w.wantRefunded(999)
	w.until(noon.Add(days(3)))
	w.compareAll()
	w.wantRefunded(999)
	w.wantHas(event.ChargeRefunded, 1)
}

// A shop sells by other ways under the same account; and no day waits for what was opened so long
// ago that it is decided for good.
func TestDisputesOfOthersAreAskedForOnce(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	for n := range 10 {
		w.dodo.disputes = append(w.dodo.disputes, billing.Dispute{ID: fmt.Sprintf("dsp_%d", n), Payment: "pay_of_their_shop", Opened: w.clock.Now(), Lost: true})
	}
	w.dodo.disputes = append(w.dodo.disputes, billing.Dispute{ID: "dsp_old", Payment: "pay_old", Opened: noon.Add(-days(181)), Lost: true})
	w.until(noon.Add(days(2)))
	if asked := w.compareAll(); asked != 10 {
		t.Errorf("got %d questions, want one for each of the ten", asked)
	}
	w.until(noon.Add(days(4)))
	if asked := w.compareAll(); asked != 0 || w.alarms() != 0 {
		t.Errorf("later: got %d questions and %d alarms, want none", asked, w.alarms())
	}
}

func TestADisputeThatCannotBeLookedAtIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	w.seize("dsp_1", w.dodo.transfers[0])
	w.until(noon.Add(40 * time.Hour))
	w.dodo.find = func(int) bool { return true }
	for range 3 {
		if next, err := w.biller.Compare(t.Context(), dollarAccount); next.After(w.clock.Now()) {
			t.Errorf("got %v, %v, want the same day again", next, err)
		}
	}
	w.wantRefunded(0)
	w.dodo.find = nil
	w.compareAll()
	w.wantRefunded(999)
}

// While a refund of ours is under way, what the bank took may be it.
func TestADisputeWaitsForARefundThatIsUnderWay(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	w.until(noon.Add(39 * time.Hour))
	w.dodo.slow = 6 * time.Hour
	r, err := w.refund(billing.RefundAsk{OrderID: paidOrder, Amount: 100, Reason: "asked", Reference: "r-1"})
	must(t, err)
	if r.State != billing.RefundUnknown {
		t.Fatalf("got %s, want the refund under way", r.State)
	}
	payment := w.dodo.transfers[0]
	w.seize("dsp_1", payment)
	w.dodo.repaid[len(w.dodo.repaid)-1].amount -= 100
	w.compareAll()
	w.wantRefunded(0)
	w.until(noon.Add(days(3)))
	w.compareAll()
	w.wantRefunded(999)
	w.wantAccess(false)
}

// The notice of money that was given back at the console is lost, and the bank takes the rest on the
// same day: both are adopted at one look, and the bank's part alone comes back.
func TestADisputeThatIsWonRestoresItsPartOfWhatOneLookAdopted(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	w.until(noon.Add(days(20)))
	w.compareAll()
	payment := w.dodo.transfers[0]
	w.dodo.repaid = append(w.dodo.repaid, &repayment{payment: payment.key, order: payment.order, amount: 948, decided: w.clock.Now()})
	w.seize("dsp_1", payment)
	w.dodo.repaid[len(w.dodo.repaid)-1].amount = 51
	dispute := func(word string) {
		w.toldOf(func(h *notice.Hint) { h.Type, h.Payment = "dispute."+word, payment.key })
	}
	dispute("lost")
	w.wantRefunded(999)
	w.wantAccess(false)

	w.win()
	dispute("won")
	w.wantRefunded(948)
	w.wantAccess(true)
	w.wantHas(event.ChargeRestored, 1)
	w.until(noon.Add(days(25)))
	w.compareAll()
	w.wantRefunded(948)
	w.wantHas(event.ChargeRefunded, 1)
	w.wantHas(event.ChargeRestored, 1)
}

// What the gateway said of the payment is from before a refund of ours, which is over when the bank's
// part is to come back: it is looked at again.
func TestADisputeThatIsWonBesideARefundIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	payment := w.dodo.transfers[0]
	back := func(amount int64) {
		w.dodo.repaid = append(w.dodo.repaid, &repayment{payment: payment.key, order: payment.order, amount: amount, decided: w.clock.Now()})
	}
	back(400)
	w.seize("dsp_1", payment)
	w.dodo.repaid[len(w.dodo.repaid)-1].amount = 100
	h := billing.Hint{Order: paidOrder, Payment: payment.key, Gateway: "dodo", Returned: true, Disputed: true}
	_, err := w.biller.LookAgain(t.Context(), scope, h)
	must(t, err)
	w.wantRefunded(500)

	w.win()
	w.dodo.find = func(int) bool {
		item, err := w.tables.Get(t.Context(), table.Key{Table: table.Orders, Partition: scope.Key(paidOrder)})
		must(t, err)
		o := w.found(paidOrder)
		o.Refunded += 200
		o.Refunds = append(o.Refunds, billing.Refund{Reference: "r-1", Amount: 200, Left: 499, Reason: "asked", State: billing.RefundDone})
		item.Data, err = json.Marshal(o)
		must(t, err)
		must(t, w.tables.Commit(t.Context(), table.Put(item)))
		return false
	}
	if _, err := w.biller.LookAgain(t.Context(), scope, h); !isFault(err, fault.Unavailable) {
		t.Errorf("got %v, want an outage, so that it comes again", err)
	}
	w.wantRefunded(700)
	w.dodo.find = nil
	back(200)
	_, err = w.biller.LookAgain(t.Context(), scope, h)
	must(t, err)
	w.wantRefunded(600)
}
