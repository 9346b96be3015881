package billing_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// asking is a customer, and a company, of many words.
type asking struct {
	t      *testing.T
	words  int
	orders []string  // on demand
	over   time.Time // when a cancellation at once was answered first
	fierce bool
}

// answered checks that an answer is one that somebody may get.
func (a *asking) answered(what string, err error) {
	for _, kind := range []error{nil, fault.Unavailable, fault.Conflict, fault.Invalid, fault.NotFound} {
		if errors.Is(err, kind) {
			return
		}
	}
	a.t.Errorf("%s: got %v, want an answer", what, err)
}

func (a *asking) act(w *world, dice *rand.Rand) {
	ctx := a.t.Context()
	a.words++
	switch n := dice.IntN(100); {
	case n < 15:
		_, err := w.biller.Cancel(ctx, scope, "sub-1", false)
		a.answered("cancel", err)
		if dice.IntN(4) == 0 {
			return // and means it
		}
		_, err = w.biller.Resume(ctx, scope, "sub-1")
		a.answered("resume", err)
	case n < 20 && a.fierce:
		_, err := w.biller.Cancel(ctx, scope, "sub-1", true)
		if a.answered("cancel at once", err); err == nil && a.over.IsZero() {
			a.over = w.clock.Now()
		}
	case n < 35:
		_, err := w.biller.ChangePlan(ctx, scope, "sub-1", []string{"weekly", "biweekly", "other-entitlement", "strict"}[dice.IntN(4)])
		a.answered("plan", err)
	case n < 55:
		card := &billing.NewCard{AuthKey: fmt.Sprint(secret, dice.IntN(6)), CustomerKey: "key-of-person-1"}
		_, _, _, err := w.biller.ChangeMethod(ctx, scope, "sub-1", card, "")
		a.answered("card", err)
	case n < 75:
		if len(a.orders) == 0 || dice.IntN(2) == 0 {
			a.orders = append(a.orders, fmt.Sprintf("order-%d", len(a.orders)))
		}
		of := dice.IntN(len(a.orders))
		_, err := w.biller.Demand(ctx, scope, "sub-1", billing.Demand{OrderID: a.orders[of], Amount: krw(int64(100 + of)), Description: "usage"})
		a.answered("demand", err)
	case n < 95:
		all := w.orders()
		if len(all) == 0 {
			return
		}
		ask := billing.RefundAsk{OrderID: all[dice.IntN(len(all))].ID, Reason: "asked", Reference: fmt.Sprint("r-", dice.IntN(4))}
		if dice.IntN(3) > 0 {
			ask.Amount = int64(1 + dice.IntN(3000))
		}
		_, _, err := w.biller.Refund(ctx, scope, ask)
		a.answered("refund", err)
	default:
		if taken := w.gateway.taken(); len(taken) > 0 {
			order := taken[dice.IntN(len(taken))].order
			_, err := w.biller.LookAgain(ctx, scope, billing.Hint{Order: order, Payment: "pay_" + order, Returned: true})
			a.answered("notice", err)
		}
	}
}

// Whatever is asked for at whatever moment while everything goes wrong: money is taken once
// and told, never more given back than was paid, nothing kept of what was taken after an
// end, no card forgotten that is in use, and everything comes to its end.
func TestWhateverIsAskedForThroughBadMonthsTheMoneyIsRight(t *testing.T) {
	t.Parallel()
	words := 0
	for seed := range uint64(60) {
		a := &asking{t: t, fierce: seed%3 == 0}
		w := badMonths(t, seed, a.act)
		w.tables.Fail = nil
		w.sound("sub-1")
		w.finished()
		for _, m := range w.gateway.taken() {
			o := w.found(m.order)
			if back := w.gateway.returnedOf["pay_"+m.order]; o.State != billing.Paid && back != m.amount || back > m.amount {
				t.Errorf("order %s is %s: %d taken and %d given back, want it paid or all back", m.order, o.State, m.amount, back)
			}
		}
		if !a.over.IsZero() {
			w.wantState(billing.StateCancelled)
			if kept := w.kept(a.over); kept != 0 {
				t.Errorf("cancelled at once at %v: %d taken after it and kept, want none", a.over, kept)
			}
		}
		if s := w.subscription("sub-1"); s.State == billing.StateCancelled {
			if got, want := len(w.gateway.forgotten), len(w.gateway.cards); got < want {
				t.Errorf("cards forgotten: got %d, want all %d", got, want)
			}
		}
		if words += a.words; t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	if words < 1000 {
		t.Errorf("words: got %d, want many", words)
	}
}
