package play_test

import (
	"fmt"
	"testing"
)

// A price is exact, or is not said.
func TestMoneyOfGooglesIsExactOrNotSaid(t *testing.T) {
	for _, c := range []struct {
		name, total string
		price       int64
		currency    string
	}{
		{"won", `{"currencyCode":"KRW","units":"4900"}`, 4900, "KRW"},
		{"yen, said in full", `{"currencyCode":"JPY","units":"500","nanos":0}`, 500, "JPY"},
		{"dollars", `{"currencyCode":"USD","units":"9","nanos":990000000}`, 999, "USD"},
		{"whole dollars", `{"currencyCode":"USD","units":"10"}`, 1000, "USD"},
		{"cents alone", `{"currencyCode":"USD","nanos":10000000}`, 1, "USD"},
		{"dinars", `{"currencyCode":"KWD","units":"1","nanos":234000000}`, 1234, "KWD"},
		{"one fils", `{"currencyCode":"KWD","nanos":1000000}`, 1, "KWD"},
		{"nothing", `{"currencyCode":"USD"}`, 0, "USD"},
		{"the most", `{"currencyCode":"KRW","units":"1000000000000000"}`, 1_000_000_000_000_000, "KRW"},
		{"more than the most", `{"currencyCode":"KRW","units":"1000000000000001"}`, 0, ""},
		{"as many as can be written", `{"currencyCode":"KRW","units":"9223372036854775807"}`, 0, ""},
		{"too many cents", `{"currencyCode":"USD","units":"1000000000000000"}`, 0, ""},
		{"half a won", `{"currencyCode":"KRW","units":"4900","nanos":500000000}`, 0, ""},
		{"half a cent", `{"currencyCode":"USD","units":"9","nanos":995000000}`, 0, ""},
		{"less than a thousandth", `{"currencyCode":"KWD","units":"1","nanos":234000001}`, 0, ""},
		{"a nano", `{"currencyCode":"KRW","units":"4900","nanos":1}`, 0, ""},
		{"negative", `{"currencyCode":"USD","units":"-9"}`, 0, ""},
		{"negative nanos", `{"currencyCode":"USD","units":"9","nanos":-990000000}`, 0, ""},
		{"more nanos than a unit has", `{"currencyCode":"USD","units":"9","nanos":1000000000}`, 0, ""},
		{"a currency that we do not know", `{"currencyCode":"QQQ","units":"9"}`, 0, ""},
		{"lower case", `{"currencyCode":"usd","units":"9"}`, 0, ""},
		{"no currency", `{"units":"9"}`, 0, ""},
		{"no money", `null`, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			s.sells(shopProduct)
			s.orders[shopOrder] = fmt.Sprintf(`{"state":"PROCESSED","total":{"currencyCode":"EUR","units":"1"},"lineItems":[{"productId":"gems_100","total":%s}]}`, c.total)
			news, err := s.look(t, "gems_100")
			if err != nil {
				t.Fatalf("error %v, want none", err)
			}
			if got := news.Sales[0]; got.Price != c.price || got.Currency != c.currency {
				t.Errorf("got %d %s, want %d %s", got.Price, got.Currency, c.price, c.currency)
			}
		})
	}
}
