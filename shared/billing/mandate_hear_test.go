package billing_test

import (
	"context"
	"testing"

	"grantline/shared/billing"
	"grantline/shared/notice"
)

// toldOf has a notice of the gateway come in, and gives how often the gateway was asked for an order.
func (w *abroad) toldOf(change func(*notice.Hint)) (known bool, asked int) {
	w.Helper()
	before := w.dodo.asked["order of"]
	must(w, w.invoke(func(ctx context.Context) (err error) {
		known, err = billing.Notices{Biller: w.biller}.LookAgain(ctx, heard(change))
		return err
	}))
	return known, w.dodo.asked["order of"] - before
}

// The notice of a refund that was made in the console has no metadata of ours.
func TestAConsoleRefundThatNamesItsPaymentAloneIsWrittenDown(t *testing.T) {
	w := subscribed(t, "usd")
	payment := w.dodo.transfers[0]
	w.dodo.repaid = append(w.dodo.repaid, &repayment{payment: payment.key, order: payment.order, amount: 100, at: w.clock.Now(), decided: w.clock.Now()})
	if known, asked := w.toldOf(func(h *notice.Hint) { h.Type, h.Payment = "payment.succeeded", payment.key }); known || asked != 0 {
		t.Errorf("a payment without an order: got known %t, asked %d times, want neither", known, asked)
	}
	if known, asked := w.toldOf(func(h *notice.Hint) { h.Type, h.Payment = "refund.succeeded", "pay_of_their_shop" }); known || asked != 1 {
		t.Errorf("a payment that is not ours: got known %t, asked %d times, want asked once", known, asked)
	}
	for range 2 {
		if known, asked := w.toldOf(func(h *notice.Hint) { h.Type, h.Payment = "refund.succeeded", payment.key }); !known || asked != 1 {
			t.Errorf("the refund: got known %t, asked %d times, want it known for one question", known, asked)
		}
	}
	if got := w.found(payment.order); got.Refunded != 100 || len(got.Refunds) != 1 {
		t.Errorf("got %d given back by %+v, want 100", got.Refunded, got.Refunds)
	}
}
