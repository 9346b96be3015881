package revenuecat_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/event"
	"grantline/shared/money"
	"grantline/shared/protocols/revenuecat"
)

func priceOf(t *testing.T, telling revenuecat.Telling, amount money.Amount) (price, inPurchased *json.Number) {
	t.Helper()
	telling.Event.Amount, telling.Event.Currency = amount.Units, amount.Currency
	body, ok, err := revenuecat.Compose(telling)
	if err != nil || !ok {
		t.Fatalf("%v: got %t, %v; want a body", amount, ok, err)
	}
	var got struct {
		Event struct {
			Price       *json.Number `json:"price"`
			InPurchased *json.Number `json:"price_in_purchased_currency"`
		} `json:"event"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%v: got %s, want JSON: %v", amount, body, err)
	}
	return got.Event.Price, got.Event.InPurchased
}

func TestPricesAreInMainUnitsAndInDollarsOnlyIfPaidInDollars(t *testing.T) {
	telling := samples()[0].of
	for amount, want := range map[money.Amount][2]string{
		money.Of(999, "USD"):                   {"9.99", "9.99"},
		money.Of(1000, "USD"):                  {"10", "10"},
		money.Of(1, "USD"):                     {"0.01", "0.01"},
		money.Of(110, "USD"):                   {"1.1", "1.1"},
		money.Of(0, "USD"):                     {"0", "0"},
		money.Of(0, "KRW"):                     {"0", "0"},
		money.Of(4900, "KRW"):                  {"null", "4900"},
		money.Of(1234, "KWD"):                  {"null", "1.234"},
		money.Of(799, "EUR"):                   {"null", "7.99"},
		money.Of(9_000_000_000_000_000, "USD"): {"90000000000000", "90000000000000"},
		money.Of(8_999_999_999_999_999, "USD"): {"89999999999999.99", "89999999999999.99"},
		money.Of(5, "XXX"):                     {"null", "null"}, // how many decimals it has nobody knows
	} {
		price, in := priceOf(t, telling, amount)
		if text(price) != want[0] || text(in) != want[1] {
			t.Errorf("%v: got %s and %s, want %s and %s", amount, text(price), text(in), want[0], want[1])
		}
	}
}

func text(n *json.Number) string {
	if n == nil {
		return "null"
	}
	return n.String()
}

func TestNoUnitIsLostOfAnyAmount(t *testing.T) {
	telling := samples()[0].of
	random := rand.New(rand.NewPCG(1, 2))
	for range 5_000 {
		units := random.Int64N(9_000_000_000_000_000)
		if random.IntN(2) == 0 {
			units = random.Int64N(100_000_000)
		}
		for currency, one := range map[string]int64{"KRW": 1, "USD": 100, "KWD": 1000} {
			_, got := priceOf(t, telling, money.Of(units, currency))
			exact, ok := new(big.Rat).SetString(text(got))
			if want := big.NewRat(units, one); !ok || exact.Cmp(want) != 0 {
				t.Fatalf("%d %s: got %s, want %s", units, currency, text(got), want.FloatString(3))
			}
			// What a consumer makes of it that reads numbers as doubles, as most do; beyond, doubles end.
			read, err := got.Float64()
			if back := math.Round(read * float64(one)); err != nil || units <= 1<<51 && back != float64(units) {
				t.Fatalf("%d %s: a double reads %s as %v, which is %v units", units, currency, text(got), read, back)
			}
		}
	}
}

func TestAPartOfARefundGivesBackItsPartOfThePrice(t *testing.T) {
	for _, c := range []struct {
		price, credited, back int64
		want                  string
	}{
		{199, 100, 25, "-0.5"},
		{199, 100, 100, "-1.99"},
		{199, 100, 500, "-1.99"},
		{1, 3, 1, "0"},
		{1, 3, 2, "-0.01"},
		{9_000_000_000_000_000, 9_000_000_000_000_000, 8_999_999_999_999_999, "-89999999999999.99"},
	} {
		telling := named(t, "purchase.refunded.gems")
		telling.Order.Price, telling.Order.Credited, telling.Event.Credited = c.price, c.credited, -c.back
		body, _, err := revenuecat.Compose(telling)
		if err != nil {
			t.Fatal(err)
		}
		price, _ := decoded(t, "refund", body)["price"].(json.Number)
		if price.String() != c.want {
			t.Errorf("%d of %d for %d: got %s, want %s", c.back, c.credited, c.price, price, c.want)
		}
	}
}

func named(t *testing.T, name string) revenuecat.Telling {
	t.Helper()
	for _, s := range samples() {
		if s.name == name {
			return s.of
		}
	}
	t.Fatalf("no sample %q", name)
	return revenuecat.Telling{}
}

// Whatever lies in the tables, what goes out is JSON with the documented types: an event of
// another version, an order of another event, ids with quotes and bytes that are no UTF-8.
func TestWhateverAnEventHoldsTheBodyIsJSONOfTheDocumentedTypes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	all, types := samples(), append(typesInSource(t), "of.tomorrow", "")
	strings := []string{"", "a", `"`, "\\", "\x00", "\xff\xfe", "</script>", "김", "$RCAnonymousID:x", "GPA.1..2", "..", "apple_", "USD", "gems"}
	times := []time.Time{{}, start, month, time.Unix(1<<40, 0), time.Unix(-1<<40, 0)}
	numbers := []int64{0, 1, -1, 999, math.MaxInt64, math.MinInt64}
	word := func() string { return strings[random.IntN(len(strings))] }
	count := func() int64 { return numbers[random.IntN(len(numbers))] }
	instant := func() time.Time { return times[random.IntN(len(times))] }
	for range 20_000 {
		of := all[random.IntN(len(all))].of
		other := all[random.IntN(len(all))].of
		of.Event.Type = types[random.IntN(len(types))]
		of.Event.At, of.Event.Amount, of.Event.Credited = instant(), count(), count()
		of.Event.Entitlement, of.Event.Store, of.Event.OrderID, of.Event.Currency = word(), word(), word(), word()
		of.Event.WalletCurrency, of.Event.ToOther, of.Other, of.Grace = word(), random.IntN(2) == 0, word(), random.IntN(2) == 0
		of.CustomerID, of.ID = "c"+word(), "e"+word()
		of.OtherIDs, of.Entitlements = []string{word(), word()}, []string{word()}
		of.Kind = []catalog.Kind{"", catalog.Subscription, catalog.Consumable, "of tomorrow"}[random.IntN(4)]
		if of.Order = other.Order; of.Order != nil {
			of.Order.Price, of.Order.Credited, of.Order.Until, of.Order.ID, of.Order.Line = count(), count(), instant(), word(), word()
		}
		if of.Charge = other.Charge; of.Charge != nil {
			of.Charge.Amount, of.Charge.Refunded, of.Charge.Payment = count(), count(), nil
		}
		if random.IntN(2) == 0 {
			of.Event.Period, of.Event.ExpiresAt, of.Event.Cause = nil, nil, nil
		}
		_, known := map[event.Type]bool{"of.tomorrow": true, "": true}[of.Event.Type]
		body, ok, err := revenuecat.Compose(of)
		more, failed := revenuecat.Also(of)
		if err != nil || failed != nil || ok != (body != nil) || known && (ok || more != nil) {
			t.Fatalf("%+v: got %s, %t, %v and %s, %v; want bodies of what is known", of, body, ok, err, more, failed)
		}
		if ok {
			more = append(more, body)
		}
		for _, body := range more {
			got := decoded(t, string(of.Event.Type), body)
			kind, _ := got["type"].(string)
			must, _ := schema(kind)
			for field, want := range must {
				if value, there := got[field]; !there || !fits(value, want) && value != nil && value != "" {
					t.Fatalf("%s: %s is %v, want %s, in %s", of.Event.Type, field, value, want, body)
				}
			}
		}
	}
}
