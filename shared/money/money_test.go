package money_test

import (
	"math"
	"testing"

	"grantline/shared/money"
)

func TestMilliunitsBecomeSmallestUnitsExactlyOrNotAtAll(t *testing.T) {
	for _, c := range []struct {
		milli    int64
		currency string
		want     money.Amount
		ok       bool
	}{
		{4_900_000, "KRW", money.Of(4900, "KRW"), true},
		{9_990, "USD", money.Of(999, "USD"), true},
		{1_234, "KWD", money.Of(1234, "KWD"), true},
		{0, "JPY", money.Of(0, "JPY"), true},
		{9_995, "USD", money.Amount{}, false},
		{500, "KRW", money.Amount{}, false},
		{-9_990, "USD", money.Amount{}, false},
		{9_990, "usd", money.Amount{}, false},
		{9_990, "", money.Amount{}, false},
		{math.MaxInt64, "USD", money.Amount{}, false},
	} {
		got, ok := money.FromMilli(c.milli, c.currency)
		if got != c.want || ok != c.ok {
			t.Errorf("FromMilli(%d, %q) = %v, %v; want %v, %v", c.milli, c.currency, got, ok, c.want, c.ok)
		}
	}
}

func TestOnlyPositiveAmountsOfKnownCurrenciesAreValid(t *testing.T) {
	for a, want := range map[money.Amount]bool{
		money.Of(1, "KRW"): true, money.Of(0, "KRW"): false, money.Of(-1, "KRW"): false,
		money.Of(1, "krw"): false, money.Of(1, ""): false, money.Of(1, "XXX"): false,
	} {
		if got := a.Valid() == nil; got != want {
			t.Errorf("%v valid = %v, want %v", a, got, want)
		}
	}
}
