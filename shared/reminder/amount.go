package reminder

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"grantline/shared/money"
)

var errAmount = errors.New("reminder: the amount should be positive and of a known currency")

// readable writes an amount as a customer reads it: "4,900원" or "KRW 4,900", "$9.99".
// Only the dollar of the United States is written with a sign, since others use it too.
func readable(a money.Amount, locale string) (string, error) {
	// A thousand thousandths are one of the main unit: how many smallest units that is.
	one, known := money.FromMilli(1000, a.Currency)
	if !known || a.Valid() != nil {
		return "", errAmount
	}
	number := grouped(a.Units / one.Units)
	if decimals := len(strconv.FormatInt(one.Units, 10)) - 1; decimals > 0 {
		number += fmt.Sprintf(".%0*d", decimals, a.Units%one.Units)
	}
	switch {
	case a.Currency == "KRW" && locale == "ko":
		return number + "원", nil
	case a.Currency == "USD":
		return "$" + number, nil
	}
	return a.Currency + " " + number, nil
}

// grouped writes a number with a comma before each three digits.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
