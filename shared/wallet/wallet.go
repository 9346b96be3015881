// Package wallet is virtual currency: lots, each from one order, and a balance that is
// always their sum less the debt. What was refunded after it was spent is a debt, which
// later credits pay first. Everything here is pure.
package wallet

import (
	"slices"
	"time"
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

// Wallet is one customer's holding of one currency. The zero Wallet is empty.
type Wallet struct {
	Lots []Lot `json:"lots"` // oldest first; only those with something left
	Debt int64 `json:"debt,omitempty"`
}

// Balance is what may be spent at now; below zero while in debt.
func (w Wallet) Balance(now time.Time) int64 {
	sum := -w.Debt
	for _, l := range w.Lots {
		if l.ExpiresAt == nil || now.Before(*l.ExpiresAt) {
			sum += l.Remaining
		}
	}
	return sum
}

// Credit adds a lot, paying the debt first. An order credits once: whether it already
// did is for the order's own record to say.
func (w Wallet) Credit(l Lot) Wallet {
	paid := min(w.Debt, l.Granted)
	l.Remaining = l.Granted - paid
	next := Wallet{Lots: slices.Clone(w.Lots), Debt: w.Debt - paid}
	if l.Remaining > 0 {
		next.Lots = append(next.Lots, l)
	}
	return next
}

// TakeBack removes amount of an order's currency: first what is left of its lot; the
// rest was spent and becomes debt.
func (w Wallet) TakeBack(orderID string, amount int64) Wallet {
	next := Wallet{Debt: w.Debt}
	for _, l := range w.Lots {
		if l.OrderID == orderID {
			taken := min(l.Remaining, amount)
			l.Remaining -= taken
			amount -= taken
		}
		if l.Remaining > 0 {
			next.Lots = append(next.Lots, l)
		}
	}
	next.Debt += amount
	return next
}

// GiveBack undoes a TakeBack of amount of an order's lot: it pays the debt first, and
// what is left is in the lot again.
func (w Wallet) GiveBack(l Lot, amount int64) Wallet {
	paid := min(w.Debt, amount)
	next := Wallet{Lots: slices.Clone(w.Lots), Debt: w.Debt - paid}
	if amount -= paid; amount == 0 {
		return next
	}
	for i := range next.Lots {
		if next.Lots[i].OrderID == l.OrderID {
			next.Lots[i].Remaining += amount
			return next
		}
	}
	l.Remaining = amount
	next.Lots = append(next.Lots, l)
	return next
}
