package wallet_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/wallet"
)

// life is a wallet to which anything happens, beside a plain account of what should be there.
type life struct {
	testing.TB
	dice    *rand.Rand
	now     time.Time
	w       wallet.Wallet
	entries []wallet.Entry
	want    int64 // the balance, by adding up what was asked for

	orders []wallet.Lot
	taken  map[string]int64 // of each order
	spends []spent
}

type spent struct {
	entry wallet.Entry
	done  int64
}

// step checks what must hold after each change, and takes it.
func (l *life) step(w wallet.Wallet, e wallet.Entry, moved int64) {
	l.Helper()
	l.want += moved
	sum := -e.Debt
	for _, p := range e.Parts {
		sum += p.Amount
		if p.Amount == 0 || p.Lot.Remaining != 0 {
			l.Fatalf("%+v has the part %+v, want one that moves something, with a lot as it was granted", e, p)
		}
	}
	if e.Amount != moved || sum != moved || e.Balance != l.want || w.Booked() != l.want {
		l.Fatalf("%+v of parts that sum to %d made %+v, want an amount of %d and a balance of %d", e, sum, w, moved, l.want)
	}
	names := map[string]bool{}
	for _, lot := range w.Lots {
		name := fmt.Sprint(lot.OrderID, " ", lot.N)
		if lot.Remaining <= 0 || lot.Remaining > lot.Granted || names[name] {
			l.Fatalf("%+v made %+v, want each lot once, with something left and no more than it was granted", e, w.Lots)
		}
		names[name] = true
	}
	if w.Debt < 0 {
		l.Fatalf("%+v made a debt of %d", e, w.Debt)
	}
	l.w, l.entries = w, append(l.entries, e)
}

func (l *life) happen() {
	l.Helper()
	before, err := json.Marshal(l.w)
	if err != nil {
		l.Fatal(err)
	}
	was := l.w
	defer func() {
		if after, err := json.Marshal(was); err != nil || string(after) != string(before) {
			l.Fatalf("the wallet that it happened to became %s, %v, want it as it was, %s", after, err, before)
		}
	}()
	amount := 1 + l.dice.Int64N(120)
	switch l.dice.IntN(9) {
	case 0, 1:
		o := wallet.Lot{OrderID: fmt.Sprint("o", len(l.orders)), Kind: wallet.Paid, Granted: amount, CameAt: l.now, Test: l.dice.IntN(4) == 0}
		if l.dice.IntN(2) == 0 {
			o.Kind = wallet.Free
			end := l.now.Add(time.Duration(l.dice.IntN(5)) * time.Hour)
			o.ExpiresAt = &end
		}
		if l.dice.IntN(3) == 0 {
			o.CameAt = time.Time{}
		}
		if l.dice.IntN(20) == 0 && len(l.orders) > 0 {
			o.OrderID = l.orders[0].OrderID
		}
		l.orders = append(l.orders, o)
		w, e := l.w.Credit(o)
		l.step(w, e, amount)
	case 2, 3:
		l.spend(amount)
	case 4:
		if len(l.spends) > 0 {
			l.unspend(&l.spends[l.dice.IntN(len(l.spends))], amount)
		}
	case 5:
		if len(l.orders) > 0 {
			o := l.orders[l.dice.IntN(len(l.orders))]
			if amount = min(amount, o.Granted-l.taken[o.OrderID]); amount > 0 {
				l.taken[o.OrderID] += amount
				w, e := l.w.TakeBack(o.OrderID, amount)
				l.step(w, e, -amount)
			}
		}
	case 6:
		if len(l.orders) > 0 {
			o := l.orders[l.dice.IntN(len(l.orders))]
			if amount = min(amount, l.taken[o.OrderID]); amount > 0 {
				l.taken[o.OrderID] -= amount
				w, e := l.w.GiveBack(o, amount)
				l.step(w, e, amount)
			}
		}
	case 7:
		l.now = l.now.Add(time.Duration(l.dice.IntN(60)) * time.Minute)
		left := l.w.Balance(l.now)
		if w, e, any := l.w.Expire(l.now); any {
			l.step(w, e, left-l.want)
		} else if left != l.want {
			l.Fatalf("nothing is over in %+v, but of %d booked %d may be spent", l.w, l.want, left)
		}
	case 8:
		l.merge()
	}
}

func (l *life) spend(amount int64) {
	l.Helper()
	w, e, err := l.w.Spend(amount, l.now)
	may := l.w.Balance(l.now)
	switch {
	case may < 0 && fault.Code(err) == "wallet_in_debt", may >= 0 && may < amount && fault.Code(err) == "insufficient_balance":
		if diff := cmp.Diff(l.w, w); diff != "" {
			l.Fatalf("a spend that was refused changed the wallet (-was +is):\n%s", diff)
		}
	case may >= amount && err == nil:
		l.step(w, e, -amount)
		l.spends = append(l.spends, spent{entry: e})
	default:
		l.Fatalf("spending %d of %d: got %v", amount, may, err)
	}
}

func (l *life) unspend(s *spent, amount int64) {
	l.Helper()
	left := -s.entry.Amount - s.done
	w, e, err := l.w.Unspend(s.entry.Parts, s.done, amount)
	if amount > left {
		if fault.Code(err) != "refund_exceeds_spend" {
			l.Fatalf("giving back %d of %d: got %v, want refund_exceeds_spend", amount, left, err)
		}
		return
	}
	if err != nil {
		l.Fatalf("giving back %d of %d: %v", amount, left, err)
	}
	s.done += amount
	l.step(w, e, amount)
}

// merge takes in another wallet, that has orders, a debt and spends of its own.
func (l *life) merge() {
	l.Helper()
	var o wallet.Wallet
	name := fmt.Sprint("o", l.dice.IntN(40)) // perhaps one that is there
	o, _ = o.Credit(wallet.Lot{OrderID: name, Kind: wallet.Free, Granted: 50, CameAt: l.now})
	o, e, err := o.Spend(30, l.now)
	if err != nil {
		l.Fatal(err)
	}
	l.spends = append(l.spends, spent{entry: e})
	o, _ = o.TakeBack("refunded", l.dice.Int64N(40))
	comes := o.Booked()
	from, to, out, in := o.Move(l.w)
	if out.Amount != -comes || len(from.Lots) > 0 || from.Debt != 0 {
		l.Fatalf("moving %+v left %+v by %+v, want nothing", o, from, out)
	}
	l.step(to, in, comes)
}

func TestWhateverHappensTheBalanceIsTheLedger(t *testing.T) {
	for seed := range uint64(400) {
		l := &life{TB: t, dice: rand.New(rand.NewPCG(seed, 8)), now: now, taken: map[string]int64{}}
		for range 150 {
			l.happen()
		}
		if diff := cmp.Diff(l.w, wallet.Replay(l.entries)); diff != "" {
			t.Fatalf("seed %d: the ledger makes another wallet (-is +replayed):\n%s", seed, diff)
		}
		// So does a ledger that was kept and read again.
		text, err := json.Marshal(l.entries)
		if err != nil {
			t.Fatal(err)
		}
		var read []wallet.Entry
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(l.w, wallet.Replay(read)); diff != "" {
			t.Fatalf("seed %d: the ledger as kept makes another wallet (-is +replayed):\n%s", seed, diff)
		}
	}
}

// All that was spent can come back, whatever happened between, and then nothing is missing.
func TestWhatIsSpentAndGivenBackIsAllThereAgain(t *testing.T) {
	for seed := range uint64(300) {
		l := &life{TB: t, dice: rand.New(rand.NewPCG(seed, 9)), now: now, taken: map[string]int64{}}
		for range 60 {
			l.happen()
		}
		for n := range l.spends {
			if left := -l.spends[n].entry.Amount - l.spends[n].done; left > 0 {
				l.unspend(&l.spends[n], left)
			}
		}
		w, e, any := l.w.Expire(l.now)
		if any {
			l.step(w, e, e.Amount)
		}
		if balance := l.w.Balance(l.now); balance > 0 {
			w, e, err := l.w.Spend(balance, l.now)
			if err != nil {
				t.Fatalf("seed %d: spending all of %d: %v", seed, balance, err)
			}
			l.step(w, e, -balance)
			if got := l.w.Balance(l.now); got != 0 {
				t.Fatalf("seed %d: after all was spent %d is left", seed, got)
			}
		}
	}
}

func TestGivingBackUndoesTakingBack(t *testing.T) {
	for seed := range uint64(500) {
		l := &life{TB: t, dice: rand.New(rand.NewPCG(seed, 10)), now: now, taken: map[string]int64{}}
		for range 30 {
			l.happen()
		}
		o := wallet.Lot{OrderID: "last", Kind: wallet.Paid, Granted: 100, CameAt: l.now}
		w, e := l.w.Credit(o)
		l.step(w, e, 100)
		l.orders = append(l.orders, o)
		before := l.w.Balance(l.now)
		amount := l.dice.Int64N(101)
		w, e = l.w.TakeBack("last", amount)
		l.step(w, e, -amount)
		w, e = l.w.GiveBack(o, amount)
		l.step(w, e, amount)
		if got := l.w.Balance(l.now); got != before {
			t.Fatalf("seed %d: %d taken back and given back: got a balance of %d, want %d as before", seed, amount, got, before)
		}
	}
}
