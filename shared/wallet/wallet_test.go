package wallet_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"grantline/shared/wallet"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func lot(order string, amount int64) wallet.Lot {
	return wallet.Lot{OrderID: order, Kind: wallet.Paid, Granted: amount}
}

func TestARefundOfWhatWasSpentIsADebtThatLaterCreditsPay(t *testing.T) {
	w := wallet.Wallet{}.Credit(lot("a", 100))
	w.Lots[0].Remaining = 20 // 80 spent
	w = w.TakeBack("a", 100)
	if got := w.Balance(now); got != -80 || len(w.Lots) != 0 {
		t.Fatalf("after the refund the balance is %d with %d lots, want -80 with none", got, len(w.Lots))
	}
	w = w.Credit(lot("b", 50))
	if got := w.Balance(now); got != -30 || len(w.Lots) != 0 {
		t.Fatalf("after 50 more it is %d with %d lots, want -30 with none", got, len(w.Lots))
	}
	w = w.Credit(lot("c", 100))
	if got := w.Balance(now); got != 70 || w.Lots[0].Remaining != 70 || w.Debt != 0 {
		t.Fatalf("after 100 more it is %d (%+v), want 70", got, w)
	}
}

func TestTakingBackLeavesOtherLotsAlone(t *testing.T) {
	w := wallet.Wallet{}.Credit(lot("a", 100)).Credit(lot("b", 100)).TakeBack("a", 40)
	if got := w.Balance(now); got != 160 || w.Lots[0].Remaining != 60 || w.Lots[1].Remaining != 100 {
		t.Fatalf("got %d (%+v), want 60 and 100", got, w)
	}
	if w = w.TakeBack("a", 60); len(w.Lots) != 1 || w.Debt != 0 {
		t.Fatalf("got %+v, want the other lot alone and no debt", w)
	}
}

func TestAnExpiredLotDoesNotCount(t *testing.T) {
	end := now.Add(time.Hour)
	l := lot("a", 100)
	l.ExpiresAt = &end
	w := wallet.Wallet{}.Credit(l)
	if got := w.Balance(now); got != 100 {
		t.Errorf("before its end the balance is %d, want 100", got)
	}
	if got := w.Balance(end); got != 0 {
		t.Errorf("at its end the balance is %d, want 0", got)
	}
}

func TestACreditDoesNotChangeTheWalletItCameFrom(t *testing.T) {
	before := wallet.Wallet{}.Credit(lot("a", 1))
	before.Lots = slices.Grow(before.Lots, 4)
	one, other := before.Credit(lot("b", 1)), before.Credit(lot("c", 1))
	_ = before.TakeBack("a", 1)
	if len(before.Lots) != 1 || before.Lots[0].Remaining != 1 || one.Lots[1].OrderID != "b" || other.Lots[1].OrderID != "c" {
		t.Errorf("it became %+v", before)
	}
}

// invented is a wallet as credits, spending and refunds leave one.
func invented(dice *rand.Rand) (wallet.Wallet, []wallet.Lot) {
	var w wallet.Wallet
	var orders []wallet.Lot
	for n := range 1 + dice.IntN(5) {
		l := lot(fmt.Sprint("order-", n), 1+dice.Int64N(200))
		l.Test = dice.IntN(2) == 0
		orders = append(orders, l)
		w = w.Credit(l)
		for i := range w.Lots { // some is spent
			w.Lots[i].Remaining -= dice.Int64N(w.Lots[i].Remaining + 1)
		}
		w.Lots = slices.DeleteFunc(w.Lots, func(l wallet.Lot) bool { return l.Remaining == 0 })
		if dice.IntN(3) == 0 {
			w = w.TakeBack(orders[n].OrderID, dice.Int64N(orders[n].Granted+1))
		}
	}
	return w, orders
}

func TestGivingBackUndoesTakingBack(t *testing.T) {
	dice := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		w, orders := invented(dice)
		l := orders[dice.IntN(len(orders))]
		amount := dice.Int64N(l.Granted + 1)
		taken := w.TakeBack(l.OrderID, amount)
		if got, want := taken.Balance(now), w.Balance(now)-amount; got != want {
			t.Fatalf("%+v less %d of %s: got a balance of %d, want %d", w, amount, l.OrderID, got, want)
		}
		given := taken.GiveBack(l, amount)
		if got, want := given.Balance(now), w.Balance(now); got != want {
			t.Fatalf("%+v less and plus %d of %s: got a balance of %d, want %d", w, amount, l.OrderID, got, want)
		}
		seen := map[string]bool{}
		for _, is := range given.Lots {
			at := slices.IndexFunc(orders, func(o wallet.Lot) bool { return o.OrderID == is.OrderID })
			if is.Remaining <= 0 || is.Remaining > orders[at].Granted || is.Granted != orders[at].Granted || is.Test != orders[at].Test || seen[is.OrderID] {
				t.Fatalf("%+v less and plus %d of %s: got lots %+v, want one for each order, of what it granted at most", w, amount, l.OrderID, given.Lots)
			}
			seen[is.OrderID] = true
		}
		if given.Debt < 0 {
			t.Fatalf("got a debt of %d", given.Debt)
		}
	}
}

func TestWhatIsGivenBackPaysTheDebtFirst(t *testing.T) {
	w := wallet.Wallet{Lots: []wallet.Lot{}, Debt: 70}
	if w = w.GiveBack(lot("a", 100), 50); w.Debt != 20 || len(w.Lots) != 0 {
		t.Errorf("50 given back to a debt of 70: got %+v, want a debt of 20 and no lot", w)
	}
	if w = w.GiveBack(lot("a", 100), 50); w.Debt != 0 || len(w.Lots) != 1 || w.Lots[0].Remaining != 30 || w.Lots[0].Granted != 100 {
		t.Errorf("50 more: got %+v, want a lot of 30 and no debt", w)
	}
	before := w
	before.Lots = slices.Clone(w.Lots)
	if w.GiveBack(lot("a", 100), 70); w.Lots[0] != before.Lots[0] {
		t.Errorf("the wallet that it came from became %+v", w)
	}
	if w = w.GiveBack(lot("a", 100), 70); len(w.Lots) != 1 || w.Lots[0].Remaining != 100 {
		t.Errorf("70 more: got %+v, want the whole lot", w)
	}
}
