// Package money is amounts: integers of a currency's smallest unit, never mixed.
package money

import (
	"fmt"
	"math"
)

// Amount is so many of the smallest unit of a currency: 4900 KRW is 4,900 won, 999 USD
// is 9.99 dollars.
type Amount struct {
	Units    int64  `json:"units"`
	Currency string `json:"currency"` // ISO 4217, upper case
}

// Of makes an amount.
func Of(units int64, currency string) Amount { return Amount{units, currency} }

// Valid returns an error unless the amount is positive and of a currency known here.
func (a Amount) Valid() error {
	if _, ok := exponents[a.Currency]; !ok {
		return fmt.Errorf("money: %q is not a currency that we know", a.Currency)
	}
	if a.Units <= 0 {
		return fmt.Errorf("money: an amount is positive, not %d", a.Units)
	}
	return nil
}

// String shows the amount in units of the smallest kind: "4900 KRW".
func (a Amount) String() string { return fmt.Sprintf("%d %s", a.Units, a.Currency) }

// FromMilli turns thousandths of a currency's main unit, as Apple states prices, into
// its smallest unit. It is false for an unknown currency, a negative amount, and one
// that is not a whole number of smallest units.
func FromMilli(milli int64, currency string) (Amount, bool) {
	exponent, ok := exponents[currency]
	if !ok || milli < 0 {
		return Amount{}, false
	}
	scale := int64(math.Pow10(exponent))
	if milli > math.MaxInt64/scale || milli*scale%1000 != 0 {
		return Amount{}, false
	}
	return Amount{milli * scale / 1000, currency}, true
}

// exponents says how many decimals a currency has (ISO 4217). It lists what the stores
// and gateways charge in; a currency not listed is refused, not guessed.
var exponents = map[string]int{
	"AED": 2, "ARS": 2, "AUD": 2, "BDT": 2, "BGN": 2, "BHD": 3, "BOB": 2, "BRL": 2, "CAD": 2, "CHF": 2, "CLP": 0, "CNY": 2,
	"COP": 2, "CRC": 2, "CZK": 2, "DKK": 2, "DZD": 2, "EGP": 2, "EUR": 2, "GBP": 2, "GEL": 2, "GHS": 2, "HKD": 2, "HUF": 2,
	"IDR": 2, "ILS": 2, "INR": 2, "IQD": 3, "ISK": 0, "JOD": 3, "JPY": 0, "KES": 2, "KRW": 0, "KWD": 3, "KZT": 2, "LBP": 2,
	"LKR": 2, "MAD": 2, "MMK": 2, "MOP": 2, "MXN": 2, "MYR": 2, "NGN": 2, "NOK": 2, "NZD": 2, "OMR": 3, "PEN": 2, "PHP": 2,
	"PKR": 2, "PLN": 2, "PYG": 0, "QAR": 2, "RON": 2, "RSD": 2, "RUB": 2, "SAR": 2, "SEK": 2, "SGD": 2, "THB": 2, "TND": 3,
	"TRY": 2, "TWD": 2, "TZS": 2, "UAH": 2, "UGX": 0, "USD": 2, "UYU": 2, "VND": 0, "XAF": 0, "XOF": 0, "ZAR": 2,
}
