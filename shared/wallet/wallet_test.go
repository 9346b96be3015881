package wallet_test

import (
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
