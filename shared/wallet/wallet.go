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
	OrderID   string     `json:"orderId"`
	Kind      Kind       `json:"kind"`
	Granted   int64      `json:"granted"`
	Remaining int64      `json:"remaining"`
	ExpiresAt *time.Time `json:"expiresAt"`
	Test      bool       `json:"test,omitempty"`
}

// over says whether the lot's time is over at now.
func (l Lot) over(now time.Time) bool { return l.ExpiresAt != nil && !now.Before(*l.ExpiresAt) }

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

// Entry is one line of the ledger. Amount is the sum of its parts and of what it did to the
// debt: what the balance moved by.
type Entry struct {
	Kind   EntryKind `json:"kind"`
	Amount int64     `json:"amount"`          // below zero where it took
	Parts  []Part    `json:"parts,omitempty"` // what it did to lots
	Debt   int64     `json:"debt,omitempty"`  // what it did to the debt: above zero where that grew
}

// Part is what an entry did to one lot. Lot is as it was first granted, with nothing
// remaining, so that the lot can be there again.
type Part struct {
	Lot    Lot   `json:"lot"`
	Amount int64 `json:"amount"` // below zero where it took
}

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

// Credit adds a lot, paying the debt first. An order credits once: whether it already
// did is for the order's own record to say.
func (w Wallet) Credit(l Lot) (Wallet, Entry) { return w.give(Credited, l, l.Granted) }

// GiveBack undoes a TakeBack of amount of an order's lot: it pays the debt first, and
// what is left is in the lot again.
func (w Wallet) GiveBack(l Lot, amount int64) (Wallet, Entry) { return w.give(GivenBack, l, amount) }

func (w Wallet) give(kind EntryKind, l Lot, amount int64) (Wallet, Entry) {
	paid := min(w.Debt, amount)
	return w.apply(Entry{Kind: kind, Parts: []Part{{l, amount - paid}}, Debt: -paid})
}

// TakeBack removes amount of an order's currency: first what is left of its lot; the
// rest was spent and becomes debt.
func (w Wallet) TakeBack(orderID string, amount int64) (Wallet, Entry) {
	e := Entry{Kind: TakenBack}
	for _, l := range w.Lots {
		if l.OrderID == orderID {
			taken := min(l.Remaining, amount)
			e.Parts = append(e.Parts, Part{l, -taken})
			amount -= taken
		}
	}
	e.Debt = amount
	return w.apply(e)
}

// Spend takes amount from the lots: those that are over soonest first, and of the others
// the first that came. Errors: fault.Invalid where there is not enough, wallet_in_debt or
// insufficient_balance.
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
	e := Entry{Kind: Spent}
	for _, l := range lots {
		taken := min(l.Remaining, amount)
		if amount -= taken; taken > 0 {
			e.Parts = append(e.Parts, Part{l, -taken})
		}
	}
	next, e := w.apply(e)
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
// from last first. A lot whose time is over is there again, and over.
func (w Wallet) Unspend(spent []Part, done, amount int64) (Wallet, Entry) {
	paid := min(w.Debt, amount)
	e := Entry{Kind: Unspent, Debt: -paid}
	amount -= paid
	for _, p := range slices.Backward(spent) {
		passed := min(done, -p.Amount)
		back := min(amount, -p.Amount-passed)
		done, amount = done-passed, amount-back
		if back > 0 {
			e.Parts = append(e.Parts, Part{p.Lot, back})
		}
	}
	return w.apply(e)
}

// Expire takes away what is left of lots whose time is over; false if there are none.
func (w Wallet) Expire(now time.Time) (Wallet, Entry, bool) {
	e := Entry{Kind: Expired}
	for _, l := range w.Lots {
		if l.over(now) {
			e.Parts = append(e.Parts, Part{l, -l.Remaining})
		}
	}
	if len(e.Parts) == 0 {
		return w, e, false
	}
	next, e := w.apply(e)
	return next, e, true
}

// Move empties a wallet into another: the entry that empties it, and the one that fills
// the other. A debt on either side stays beside the lots of the other, for lots are of
// orders that may be refunded, each for itself.
func (w Wallet) Move(into Wallet) (from, to Wallet, out, in Entry) {
	out, in = Entry{Kind: MovedOut, Debt: -w.Debt}, Entry{Kind: MovedIn, Debt: w.Debt}
	for _, l := range w.Lots {
		out.Parts, in.Parts = append(out.Parts, Part{l, -l.Remaining}), append(in.Parts, Part{l, l.Remaining})
	}
	from, out = w.apply(out)
	to, in = into.apply(in)
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

// apply makes an entry's change, and completes the entry.
func (w Wallet) apply(e Entry) (Wallet, Entry) {
	next := Wallet{Lots: slices.Clone(w.Lots), Debt: w.Debt + e.Debt}
	e.Amount = -e.Debt
	parts := make([]Part, 0, len(e.Parts))
	for _, p := range e.Parts {
		if p.Amount == 0 {
			continue
		}
		at := slices.IndexFunc(next.Lots, func(l Lot) bool { return l.OrderID == p.Lot.OrderID })
		if at < 0 {
			next.Lots = append(next.Lots, p.Lot)
			at = len(next.Lots) - 1
			next.Lots[at].Remaining = 0
		}
		next.Lots[at].Remaining += p.Amount
		p.Lot.Remaining = 0
		parts = append(parts, p)
		e.Amount += p.Amount
	}
	e.Parts = parts
	next.Lots = slices.DeleteFunc(next.Lots, func(l Lot) bool { return l.Remaining == 0 })
	if len(next.Lots) == 0 {
		next.Lots = nil
	}
	return next, e
}

// After is the wallet after one more entry.
func (w Wallet) After(e Entry) Wallet {
	next, _ := w.apply(e)
	return next
}
