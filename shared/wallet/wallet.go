// Package wallet is virtual currency: lots, each from one order, and a ledger of all that
// moved them. The balance is what is left of the lots less the debt, and always the sum of
// the ledger. What was refunded after it was spent is a debt, which later credits pay first.
// Everything here is pure: each change gives the wallet as it is afterwards and the entry
// that says so, and the entries alone make the wallet again (Replay).
package wallet

import (
	"slices"
	"time"

	"grantline/shared/fault"
)

// Kind of a lot, which accounts keep apart.
type Kind string

// The kinds.
const (
	Paid Kind = "paid"
	Free Kind = "free"
)

// Lot is what is left of one order's currency.
type Lot struct {
	OrderID string `json:"orderId"`
	// N tells lots of one order apart. It is 0 but for what had no room in the lot that it
	// came back to, and for a lot whose name its customer had already when two became one.
	N         int        `json:"n,omitempty"`
	Kind      Kind       `json:"kind"`
	Granted   int64      `json:"granted"`   // what the lot holds at most
	Remaining int64      `json:"remaining"` // above zero
	ExpiresAt *time.Time `json:"expiresAt"`
	CameAt    time.Time  `json:"cameAt,omitzero"` // for its turn when something comes back to it; zero: the last
	Test      bool       `json:"test,omitempty"`
}

// over says whether the lot's time is over at now.
func (l Lot) over(now time.Time) bool { return l.ExpiresAt != nil && !now.Before(*l.ExpiresAt) }

func (l Lot) is(o Lot) bool { return l.OrderID == o.OrderID && l.N == o.N }

// Wallet is one customer's holding of one currency. The zero Wallet is empty.
type Wallet struct {
	Lots []Lot `json:"lots"` // in the order they came; only those with something left
	Debt int64 `json:"debt,omitempty"`
}

// EntryKind says what moved.
type EntryKind string

// The kinds of an entry.
const (
	Credited    EntryKind = "credit"
	Spent       EntryKind = "spend"
	Unspent     EntryKind = "spend_refund"
	TakenBack   EntryKind = "take_back"
	GivenBack   EntryKind = "give_back"
	Expired     EntryKind = "expire"
	MovedIn     EntryKind = "move_in"  // from a customer who was merged into this one
	MovedOut    EntryKind = "move_out" // to the customer whom this one was merged into
	CarriedOver EntryKind = "carry"    // what was there when the ledger began
)

// Entry is one line of the ledger. Amount is the sum of its parts less what it did to the
// debt: what the balance moved by.
type Entry struct {
	Kind    EntryKind `json:"kind"`
	Amount  int64     `json:"amount"`          // below zero where it took
	Balance int64     `json:"balance"`         // the sum of all entries up to this one
	Parts   []Part    `json:"parts,omitempty"` // what it did to lots
	Debt    int64     `json:"debt,omitempty"`  // what it did to the debt: above zero where that grew
}

// Part is what an entry did to one lot. Lot is as it was first granted, with nothing
// remaining, so that the lot can be there again.
type Part struct {
	Lot    Lot   `json:"lot"`
	Amount int64 `json:"amount"` // below zero where it took
}

// MostAmount bounds what is spent, given back or credited at once by who asks for it.
const MostAmount int64 = 1e12

// MostLots is from how many open lots on the company gives no more of its own: a wallet, and
// the entry of a spend that empties it, are one item each.
const MostLots = 500

// Balance is what may be spent at now; below zero while in debt.
func (w Wallet) Balance(now time.Time) int64 {
	sum := -w.Debt
	for _, l := range w.Lots {
		if !l.over(now) {
			sum += l.Remaining
		}
	}
	return sum
}

// Booked is what the entries of the ledger come to: the balance, and what is left of lots
// whose time is over until Expire books that.
func (w Wallet) Booked() int64 {
	sum := -w.Debt
	for _, l := range w.Lots {
		sum += l.Remaining
	}
	return sum
}

// Credit adds a lot, paying the debt first. An order credits once: whether it already
// did is for the order's own record to say.
func (w Wallet) Credit(l Lot) (Wallet, Entry) {
	c := w.begin(Credited)
	c.part(c.apart(l), l.Granted-c.pay(l.Granted))
	return c.end()
}

// GiveBack undoes a TakeBack of amount of an order's lot: it pays the debt first, and
// what is left is in the lot again.
func (w Wallet) GiveBack(l Lot, amount int64) (Wallet, Entry) {
	c := w.begin(GivenBack)
	c.put(l, amount-c.pay(amount))
	return c.end()
}

// TakeBack removes amount of an order's currency: first what is left of its lots; the
// rest was spent, or ran out of time, and becomes debt.
func (w Wallet) TakeBack(orderID string, amount int64) (Wallet, Entry) {
	c := w.begin(TakenBack)
	counts(amount)
	for _, l := range w.Lots {
		if l.OrderID == orderID {
			taken := min(l.Remaining, amount)
			c.part(l, -taken)
			amount -= taken
		}
	}
	c.owe(amount)
	return c.end()
}

// Spend takes amount from the lots: those that are over soonest first, and of the others
// the first that came. Errors: fault.Malformed unless amount is above zero; fault.Invalid
// where there is not enough, wallet_in_debt or insufficient_balance.
func (w Wallet) Spend(amount int64, now time.Time) (Wallet, Entry, error) {
	switch balance := w.Balance(now); {
	case amount <= 0:
		return w, Entry{}, fault.New(fault.Malformed, "invalid_request", "amount should be above zero.")
	case balance < 0:
		return w, Entry{}, fault.New(fault.Invalid, "wallet_in_debt", "Nothing can be spent until the debt is paid.")
	case amount > balance:
		return w, Entry{}, fault.New(fault.Invalid, "insufficient_balance", "There is not enough to spend.")
	}
	lots := slices.DeleteFunc(slices.Clone(w.Lots), func(l Lot) bool { return l.over(now) })
	slices.SortStableFunc(lots, sooner)
	c := w.begin(Spent)
	for _, l := range lots {
		taken := min(l.Remaining, amount)
		c.part(l, -taken)
		amount -= taken
	}
	next, e := c.end()
	return next, e, nil
}

// sooner orders lots by their end; never is the last.
func sooner(a, b Lot) int {
	switch {
	case a.ExpiresAt == nil && b.ExpiresAt == nil:
		return 0
	case a.ExpiresAt == nil:
		return 1
	case b.ExpiresAt == nil:
		return -1
	}
	return a.ExpiresAt.Compare(*b.ExpiresAt)
}

// Unspend gives back amount of a spend, of which done was given back before: it pays the
// debt first, and the rest goes back to the lots it came from, to those that were taken
// from last first. A lot whose time is over is there again, and over. Errors:
// fault.Malformed unless amount is above zero; fault.Invalid, refund_exceeds_spend, where
// less than amount is left of the spend.
func (w Wallet) Unspend(spent []Part, done, amount int64) (Wallet, Entry, error) {
	left := -done
	for _, p := range spent {
		left -= p.Amount
	}
	switch {
	case amount <= 0:
		return w, Entry{}, fault.New(fault.Malformed, "invalid_request", "amount should be above zero.")
	case done < 0 || amount > left:
		return w, Entry{}, fault.New(fault.Invalid, "refund_exceeds_spend", "Less than that is left of the spend.")
	}
	c := w.begin(Unspent)
	paid := c.pay(amount)
	// Of the spend's units, the last first, those before skip are given back already, or
	// have paid the debt.
	skip, amount := done+paid, amount-paid
	for _, p := range slices.Backward(spent) {
		skipped := min(skip, -p.Amount)
		back := min(amount, -p.Amount-skipped)
		c.put(p.Lot, back)
		skip, amount = skip-skipped, amount-back
	}
	next, e := c.end()
	return next, e, nil
}

// Expire takes away what is left of lots whose time is over; false if there are none.
func (w Wallet) Expire(now time.Time) (Wallet, Entry, bool) {
	c := w.begin(Expired)
	for _, l := range w.Lots {
		if l.over(now) {
			c.part(l, -l.Remaining)
		}
	}
	if len(c.entry.Parts) == 0 {
		return w, Entry{}, false
	}
	next, e := c.end()
	return next, e, true
}

// Move empties a wallet into another: the entry that empties it, and the one that fills
// the other. A debt on either side stays beside the lots of the other, for lots are of
// orders that may be refunded, each for itself.
func (w Wallet) Move(into Wallet) (from, to Wallet, out, in Entry) {
	leaves, comes := w.begin(MovedOut), into.begin(MovedIn)
	leaves.owe(-w.Debt)
	comes.owe(w.Debt)
	for _, l := range w.Lots {
		leaves.part(l, -l.Remaining)
		comes.part(comes.apart(l), l.Remaining)
	}
	from, out = leaves.end()
	to, in = comes.end()
	return from, to, out, in
}

// Carry is the entry that makes the wallet out of nothing: the ledger of one that is older
// than its ledger begins with it.
func (w Wallet) Carry() Entry {
	_, _, _, in := w.Move(Wallet{})
	in.Kind = CarriedOver
	return in
}

// Replay is the wallet that entries, in order, make out of nothing.
func Replay(entries []Entry) Wallet {
	var w Wallet
	for _, e := range entries {
		w = w.After(e)
	}
	return w
}

// After is the wallet after one more entry.
func (w Wallet) After(e Entry) Wallet {
	c := w.begin(e.Kind)
	c.owe(e.Debt)
	for _, p := range e.Parts {
		c.part(p.Lot, p.Amount)
	}
	next, _ := c.end()
	return next
}
