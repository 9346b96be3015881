package wallet

import (
	"fmt"
	"slices"
)

// change is a wallet while an entry is being made.
type change struct {
	wallet Wallet
	entry  Entry
}

func (w Wallet) begin(kind EntryKind) *change {
	return &change{Wallet{slices.Clone(w.Lots), w.Debt}, Entry{Kind: kind}}
}

// end is the wallet as it is afterwards, and the entry that says so.
func (c *change) end() (Wallet, Entry) {
	w := c.wallet
	w.Lots = slices.DeleteFunc(w.Lots, func(l Lot) bool { return l.Remaining == 0 })
	if len(w.Lots) == 0 {
		w.Lots = nil
	}
	c.entry.Balance = w.Booked()
	return w, c.entry
}

// part adds to a lot, or takes from it where amount is below zero. A lot that is not there
// comes to be, where its turn is.
func (c *change) part(l Lot, amount int64) {
	if amount == 0 {
		return
	}
	l.Remaining = 0
	at := slices.IndexFunc(c.wallet.Lots, l.is)
	if at < 0 {
		at = len(c.wallet.Lots)
		later := func(o Lot) bool { return o.CameAt.After(l.CameAt) }
		if next := slices.IndexFunc(c.wallet.Lots, later); next >= 0 && !l.CameAt.IsZero() {
			at = next
		}
		c.wallet.Lots = slices.Insert(c.wallet.Lots, at, l)
	}
	c.wallet.Lots[at].Remaining += amount
	c.entry.Parts = append(c.entry.Parts, Part{l, amount})
	c.entry.Amount += amount
}

// put gives amount back to a lot. What has no room there, since something else came back to
// it before, is a lot of its own.
func (c *change) put(l Lot, amount int64) {
	counts(amount)
	room := l.Granted
	if at := slices.IndexFunc(c.wallet.Lots, l.is); at >= 0 {
		room = c.wallet.Lots[at].Granted - c.wallet.Lots[at].Remaining
	}
	back := min(amount, max(room, 0))
	c.part(l, back)
	if amount -= back; amount > 0 {
		if c.wallet.has(l) {
			l = c.apart(l)
		}
		l.Granted = amount
		c.part(l, amount)
	}
}

// apart is a lot under a name that no other has.
func (c *change) apart(l Lot) Lot {
	for c.wallet.has(l) {
		l.N++
	}
	return l
}

func (w Wallet) has(l Lot) bool { return slices.ContainsFunc(w.Lots, l.is) }

// pay pays the debt, as far as amount goes, and returns how much that was.
func (c *change) pay(amount int64) int64 {
	counts(amount)
	paid := min(c.wallet.Debt, amount)
	c.owe(-paid)
	return paid
}

func (c *change) owe(amount int64) {
	c.wallet.Debt += amount
	c.entry.Debt += amount
	c.entry.Amount -= amount
}

// most is what one change can move. No wallet that fits into an item has so many lots that
// their sum would come near to what an int64 holds.
const most int64 = 1e15

// counts refuses what is no amount: nothing that took or gave less than nothing may ever be
// written down.
func counts(amount int64) {
	if amount < 0 || amount > most {
		panic(fmt.Sprintf("wallet: bug in the caller: %d is no amount", amount))
	}
}
