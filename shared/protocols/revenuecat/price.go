package revenuecat

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"grantline/shared/event"
	"grantline/shared/money"
)

// How an event moved money.
type movement int

const (
	none     movement = iota // it moved none: the price is 0
	taken                    // from the customer
	returned                 // to the customer: the price is below zero
)

// priced writes the price of what an event moved, null where nobody says it.
func (t Telling) priced(l *lifecycle, moved movement) {
	units, currency := t.amount(moved)
	l.Currency = known(currency)
	if moved == none {
		zero := json.Number("0") // in every currency
		l.Price, l.PriceInPurchased = &zero, &zero
		return
	}
	number, ok := major(units, currency)
	if !ok {
		return
	}
	l.PriceInPurchased = &number
	if currency == "USD" || units.Sign() == 0 {
		l.Price = &number
	}
}

// amount is what an event moved, in the smallest unit of the currency, below zero where it
// went to the customer; "" where nobody says it.
func (t Telling) amount(moved movement) (*big.Int, string) {
	units, currency := t.Event.Amount, t.Event.Currency
	switch {
	case currency != "":
	case t.Order != nil && t.Order.PriceIn != "":
		units, currency = t.Order.Price, t.Order.PriceIn
	case t.Charge != nil:
		units, currency = t.Charge.Amount, t.Charge.Currency
	}
	amount := big.NewInt(units)
	if e := t.Event; e.Type == event.PurchaseRefunded || e.Type == event.PurchaseRestored {
		amount = t.share(amount)
	}
	if moved == returned {
		amount.Neg(amount)
	}
	return amount, currency
}

// share is the part of a price that goes with the part of the virtual currency that the
// event moved, rounded to the smallest unit; all of it where there is none, since nothing
// else is refunded in part.
func (t Telling) share(price *big.Int) *big.Int {
	if t.Order == nil || t.Order.Credited <= 0 || t.Event.Credited == 0 {
		return price
	}
	all := big.NewInt(t.Order.Credited)
	part := new(big.Int).Abs(big.NewInt(t.Event.Credited))
	if part.Cmp(all) >= 0 {
		return price
	}
	// The nearest is the floor of (2·price·part + all) / (2·all).
	two := big.NewInt(2)
	n := part.Mul(part, price)
	n.Mul(n, two).Add(n, all)
	return n.Div(n, all.Mul(all, two))
}

// major writes an amount in the currency's main unit, as an exact decimal: 999 USD is 9.99,
// 4900 KRW is 4900. It is false for a currency that is not known here.
func major(units *big.Int, currency string) (json.Number, bool) {
	// A thousand thousandths are one of the main unit: how many smallest units that is.
	one, ok := money.FromMilli(1000, currency)
	if !ok {
		return "", false
	}
	sign := ""
	if units.Sign() < 0 {
		sign = "-"
	}
	whole, rest := new(big.Int).QuoRem(new(big.Int).Abs(units), big.NewInt(one.Units), new(big.Int))
	number := sign + whole.String()
	if decimals := len(fmt.Sprint(one.Units)) - 1; rest.Sign() != 0 {
		number += "." + strings.TrimRight(fmt.Sprintf("%0*d", decimals, rest), "0")
	}
	return json.Number(number), true
}
