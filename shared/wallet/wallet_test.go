package wallet_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/wallet"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func lot(order string, amount int64) wallet.Lot {
	return wallet.Lot{OrderID: order, Kind: wallet.Paid, Granted: amount}
}

func ending(order string, amount int64, end time.Time) wallet.Lot {
	l := lot(order, amount)
	l.ExpiresAt = &end
	return l
}

// journey is a wallet on its way, with its ledger.
type journey struct {
	testing.TB
	w       wallet.Wallet
	entries []wallet.Entry
}

func (j *journey) took(w wallet.Wallet, e wallet.Entry) wallet.Entry {
	j.Helper()
	j.w, j.entries = w, append(j.entries, e)
	return e
}

func (j *journey) credit(lots ...wallet.Lot) {
	j.Helper()
	for _, l := range lots {
		j.took(j.w.Credit(l))
	}
}

func (j *journey) spend(amount int64) wallet.Entry {
	j.Helper()
	w, e, err := j.w.Spend(amount, now)
	if err != nil {
		j.Fatalf("spending %d of %+v: %v", amount, j.w, err)
	}
	return j.took(w, e)
}

func (j *journey) unspend(e wallet.Entry, done, amount int64) wallet.Entry {
	j.Helper()
	w, back, err := j.w.Unspend(e.Parts, done, amount)
	if err != nil {
		j.Fatalf("giving back %d of %+v: %v", amount, e, err)
	}
	return j.took(w, back)
}

// holds insists on a debt and on lots, each with what is left of it.
func (j *journey) holds(debt int64, lots ...any) {
	j.Helper()
	got := []any{}
	for _, l := range j.w.Lots {
		got = append(got, l.OrderID, int(l.Remaining))
	}
	if lots == nil {
		lots = []any{}
	}
	if diff := cmp.Diff(lots, got); diff != "" || j.w.Debt != debt {
		j.Errorf("got a debt of %d, want %d, and lots (-want +got):\n%s", j.w.Debt, debt, diff)
	}
	if diff := cmp.Diff(j.w, wallet.Replay(j.entries)); diff != "" {
		j.Errorf("the ledger makes another wallet (-is +replayed):\n%s", diff)
	}
}

func TestARefundOfWhatWasSpentIsADebtThatLaterCreditsPay(t *testing.T) {
	j := &journey{TB: t}
	j.credit(lot("a", 100))
	j.spend(80)
	j.took(j.w.TakeBack("a", 100))
	j.holds(80)
	if got := j.w.Balance(now); got != -80 {
		t.Errorf("after the refund the balance is %d, want -80", got)
	}
	if _, _, err := j.w.Spend(1, now); fault.Code(err) != "wallet_in_debt" || !errors.Is(err, fault.Invalid) {
		t.Errorf("spending while in debt: got %v, want wallet_in_debt", err)
	}
	j.credit(lot("b", 50))
	j.holds(30)
	j.credit(lot("c", 100))
	j.holds(0, "c", 70)
}

func TestTakingBackLeavesOtherLotsAlone(t *testing.T) {
	j := &journey{TB: t}
	j.credit(lot("a", 100), lot("b", 100))
	j.took(j.w.TakeBack("a", 40))
	j.holds(0, "a", 60, "b", 100)
	j.took(j.w.TakeBack("a", 60))
	j.holds(0, "b", 100)
}

func TestAnExpiredLotDoesNotCountAndIsTakenAway(t *testing.T) {
	end := now.Add(time.Hour)
	j := &journey{TB: t}
	j.credit(ending("a", 100, end), lot("b", 5))
	if got := j.w.Balance(now); got != 105 {
		t.Errorf("before its end the balance is %d, want 105", got)
	}
	if got := j.w.Balance(end); got != 5 {
		t.Errorf("at its end the balance is %d, want 5", got)
	}
	if got := j.w.Booked(); got != 105 {
		t.Errorf("what is booked is %d, want 105 until it is", got)
	}
	if _, _, err := j.w.Spend(6, end); fault.Code(err) != "insufficient_balance" {
		t.Errorf("spending more than is left at its end: got %v, want insufficient_balance", err)
	}
	if w, e, any := j.w.Expire(end.Add(-1)); any || len(e.Parts) > 0 || len(w.Lots) != 2 {
		t.Errorf("a moment before: got %+v, %+v, %t, want nothing to happen", w, e, any)
	}
	w, e, any := j.w.Expire(end)
	if j.took(w, e); !any || e.Amount != -100 || e.Balance != 5 {
		t.Errorf("at its end: got %+v, %t, want an entry of -100 with 5 left", e, any)
	}
	j.holds(0, "b", 5)
}

func TestWhatEndsSoonestIsSpentFirstAndThenWhatCameFirst(t *testing.T) {
	j := &journey{TB: t}
	j.credit(lot("first", 10), lot("second", 10), ending("late", 10, now.Add(2*time.Hour)), ending("soon", 10, now.Add(time.Hour)), ending("over", 10, now))
	e := j.spend(25)
	got := map[string]int64{}
	for _, p := range e.Parts {
		got[p.Lot.OrderID] = p.Amount
	}
	if diff := cmp.Diff(map[string]int64{"soon": -10, "late": -10, "first": -5}, got); diff != "" {
		t.Errorf("what was taken (-want +got):\n%s", diff)
	}
	j.holds(0, "first", 5, "second", 10, "over", 10)
}

func TestNothingIsSpentThatIsNotThere(t *testing.T) {
	w, _ := wallet.Wallet{}.Credit(lot("a", 10))
	for amount, want := range map[int64]string{11: "insufficient_balance", 1 << 62: "insufficient_balance", 0: "invalid_request", -1: "invalid_request", -1 << 63: "invalid_request"} {
		if after, e, err := w.Spend(amount, now); fault.Code(err) != want || cmp.Diff(w, after) != "" || len(e.Parts) > 0 {
			t.Errorf("spending %d of 10: got %+v, %+v, %v, want %s and nothing else", amount, after, e, err, want)
		}
	}
	if _, _, err := (wallet.Wallet{}).Spend(1, now); fault.Code(err) != "insufficient_balance" {
		t.Errorf("spending of nothing: got %v, want insufficient_balance", err)
	}
}

func TestASpendIsGivenBackInPartsToTheUnit(t *testing.T) {
	j := &journey{TB: t}
	j.credit(lot("a", 10), lot("b", 10), lot("c", 10))
	e := j.spend(25)
	j.holds(0, "c", 5)
	j.unspend(e, 0, 3) // of c, which was taken from last
	j.holds(0, "c", 8)
	j.unspend(e, 3, 4) // two more of c, two of b
	j.holds(0, "c", 10, "b", 2)
	for _, amount := range []int64{19, 1 << 62} {
		if _, _, err := j.w.Unspend(e.Parts, 7, amount); fault.Code(err) != "refund_exceeds_spend" {
			t.Errorf("giving back %d of the 18 that are left: got %v, want refund_exceeds_spend", amount, err)
		}
	}
	for _, amount := range []int64{0, -1, -1 << 63} {
		if _, _, err := j.w.Unspend(e.Parts, 7, amount); !errors.Is(err, fault.Malformed) {
			t.Errorf("giving back %d: got %v, want it refused as malformed", amount, err)
		}
	}
	if _, _, err := j.w.Unspend(e.Parts, -5, 30); fault.Code(err) != "refund_exceeds_spend" {
		t.Errorf("giving back more than was spent: got %v, want refund_exceeds_spend", err)
	}
	j.unspend(e, 7, 18)
	j.holds(0, "c", 10, "b", 10, "a", 10)
	if _, _, err := j.w.Unspend(e.Parts, 25, 1); fault.Code(err) != "refund_exceeds_spend" {
		t.Errorf("giving back of a spend of which nothing is left: got %v, want refund_exceeds_spend", err)
	}
}

func TestWhatComesBackHasItsTurnAgain(t *testing.T) {
	j := &journey{TB: t}
	for n, name := range []string{"a", "b", "c"} {
		l := lot(name, 10)
		l.CameAt = now.Add(time.Duration(n) * time.Minute)
		j.credit(l)
	}
	first, second := j.spend(10), j.spend(10)
	j.unspend(second, 0, 10)
	j.unspend(first, 0, 10)
	j.holds(0, "a", 10, "b", 10, "c", 10)
}

func TestARefundOfASpendPaysTheDebtFirst(t *testing.T) {
	j := &journey{TB: t}
	j.credit(lot("a", 10), lot("b", 10))
	e := j.spend(20)
	j.took(j.w.TakeBack("b", 4))
	if back := j.unspend(e, 0, 6); back.Amount != 6 || back.Debt != -4 {
		t.Errorf("giving back 6 with a debt of 4: got %+v, want an amount of 6, 4 of it for the debt", back)
	}
	j.holds(0, "b", 2) // the first 4 of b's have paid
	j.unspend(e, 6, 14)
	j.holds(0, "b", 6, "a", 10)

	// What has paid comes back to no lot: of twenty the last twelve.
	j = &journey{TB: t}
	j.credit(lot("a", 10), lot("b", 10))
	e = j.spend(20)
	j.took(j.w.TakeBack("b", 12))
	j.unspend(e, 0, 15)
	j.holds(0, "a", 3)
	j.unspend(e, 15, 5)
	j.holds(0, "a", 8)
}

// A refunded order's lot is not there, and somebody else's paid its debt: what comes back
// then is exact, but in no lot more than it was granted.
func TestWhatHasNoRoomInItsLotIsALotOfItsOwn(t *testing.T) {
	j := &journey{TB: t}
	j.credit(lot("a", 100))
	e := j.spend(80)
	j.took(j.w.TakeBack("a", 100))
	j.credit(lot("b", 100))
	j.holds(0, "b", 20)
	j.took(j.w.GiveBack(lot("a", 100), 100))
	j.holds(0, "b", 20, "a", 100)
	j.unspend(e, 0, 80)
	j.holds(0, "b", 20, "a", 100, "a", 80)
	for _, l := range j.w.Lots {
		if l.Remaining > l.Granted {
			t.Errorf("got a lot with %d of %d granted", l.Remaining, l.Granted)
		}
	}
	j.took(j.w.TakeBack("a", 100)) // both are of the order
	j.holds(0, "b", 20, "a", 80)
	j.took(j.w.GiveBack(lot("a", 100), 100))
	j.spend(200)
	j.holds(0)
}

func TestAnOrderCreditedTwiceHasTwoLots(t *testing.T) {
	j := &journey{TB: t}
	j.credit(lot("a", 10), lot("a", 10))
	j.holds(0, "a", 10, "a", 10)
	j.took(j.w.TakeBack("a", 15))
	j.holds(0, "a", 5)
	j.spend(5)
	j.holds(0)
}

func TestTwoWalletsBecomeOneWithAllThatEachHeld(t *testing.T) {
	j, other := &journey{TB: t}, &journey{TB: t}
	early, late := lot("early", 10), lot("late", 10)
	early.CameAt, late.CameAt = now, now.Add(time.Hour)
	j.credit(late, ending("credit_welcome", 10, now.Add(time.Hour)))
	other.credit(early, ending("credit_welcome", 10, now.Add(2*time.Hour)), lot("x", 7))
	other.spend(10)
	other.took(other.w.TakeBack("x", 7))
	other.w.Debt += 3
	before := other.w
	from, to, out, in := other.w.Move(j.w)
	if len(from.Lots) != 0 || from.Debt != 0 || out.Amount != -in.Amount || in.Amount != before.Booked() || out.Balance != 0 {
		t.Errorf("got %+v left, entries %+v and %+v, want nothing left and the same taken as given, %d", from, out, in, before.Booked())
	}
	j.took(to, in)
	j.holds(3, "early", 10, "late", 10, "credit_welcome", 10)
	if e := j.spend(5); !e.Parts[0].Lot.ExpiresAt.Equal(now.Add(time.Hour)) {
		t.Errorf("spent of %+v, want of the lot that ends first", e.Parts)
	}
}

func TestLotsOfOneNameStayTwoWhenTwoBecomeOne(t *testing.T) {
	j, other := &journey{TB: t}, &journey{TB: t}
	j.credit(ending("credit_welcome", 10, now.Add(2*time.Hour)))
	other.credit(ending("credit_welcome", 10, now.Add(time.Hour)))
	_, to, _, in := other.w.Move(j.w)
	j.took(to, in)
	j.holds(0, "credit_welcome", 10, "credit_welcome", 10)
	e := j.spend(15)
	j.holds(0, "credit_welcome", 5)
	j.unspend(e, 0, 15)
	j.holds(0, "credit_welcome", 10, "credit_welcome", 10)
	w, _, _ := j.w.Expire(now.Add(time.Hour))
	if got := w.Balance(now); got != 10 {
		t.Errorf("after the end of the first the balance is %d, want 10", got)
	}
}

func TestALedgerThatBeginsLateBeginsWithAllThatWasThere(t *testing.T) {
	w := wallet.Wallet{Lots: []wallet.Lot{lot("a", 10), lot("b", 20)}, Debt: 5}
	w.Lots[0].Remaining, w.Lots[1].Remaining = 4, 20
	e := w.Carry()
	if diff := cmp.Diff(w, wallet.Replay([]wallet.Entry{e})); diff != "" || e.Kind != wallet.CarriedOver || e.Amount != 19 || e.Balance != 19 {
		t.Errorf("got %+v, which makes another wallet (-is +replayed):\n%s", e, diff)
	}
}

func TestWhatIsGivenBackPaysTheDebtFirst(t *testing.T) {
	j := &journey{TB: t}
	j.credit(lot("a", 100))
	j.spend(100)
	j.took(j.w.TakeBack("a", 100))
	j.credit(lot("b", 30))
	j.took(j.w.GiveBack(lot("a", 100), 50))
	j.holds(20)
	j.took(j.w.GiveBack(lot("a", 100), 50))
	j.holds(0, "a", 30)
}

func TestNoAmountIsBelowNothing(t *testing.T) {
	w, _ := wallet.Wallet{}.Credit(lot("a", 10))
	for name, act := range map[string]func(){
		"a credit":                 func() { w.Credit(lot("b", -1)) },
		"a credit without measure": func() { w.Credit(lot("b", 1<<62)) },
		"what is taken back":       func() { w.TakeBack("a", -1) },
		"what is given back":       func() { w.GiveBack(lot("a", 10), -1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of no amount: got it taken, want a panic", name)
				}
			}()
			act()
		}()
	}
}
