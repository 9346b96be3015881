package apple_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// The sale of the valid token, from which each case below differs in what it says.
func premium() purchase.Sale {
	return purchase.Sale{
		Store:       "apple",
		App:         "com.example.app",
		Line:        "2000000812345678",
		Order:       "2000000912345678",
		SKU:         "com.example.premium.monthly",
		State:       purchase.Paid,
		PurchasedAt: time.Date(2026, 1, 15, 11, 55, 0, 0, time.UTC),
		Until:       time.Date(2026, 2, 15, 11, 55, 0, 0, time.UTC),
		AsOf:        signedAt,
		Quantity:    1,
		WillRenew:   true,
		Account:     "7e3fb204-2ec1-4c1c-8d6e-0e7b9a6f1c11",
		Currency:    "KRW",
		Price:       4900,
	}
}

func look(t *testing.T, payload string) (purchase.Sale, error) {
	t.Helper()
	a := genuine(t)
	store := apple.NewStore(apple.StoreConfig{Verifier: newVerifier(t, a.certs[root])})
	news, err := store.Look(t.Context(), purchase.Proof{Store: "apple", Evidence: a.sign(payload)})
	if err != nil {
		return purchase.Sale{}, err
	}
	return news.Sales[0], nil
}

func TestApplesWordBecomesASale(t *testing.T) {
	const (
		subscription = `"type":"Auto-Renewable Subscription"`
		expires      = `"expiresDate":1771156500000,`
		price        = `"price":4900000,"currency":"KRW"`
		token        = `"appAccountToken":"7E3FB204-2EC1-4C1C-8D6E-0E7B9A6F1C11",`
	)
	edit := func(pairs ...string) string {
		out := payload
		for i := 0; i < len(pairs); i += 2 {
			out = swap(t, out, pairs[i], pairs[i+1])
		}
		return out
	}
	oneOff := func(s *purchase.Sale) { s.Until, s.WillRenew = time.Time{}, false }
	for _, c := range []struct {
		name    string
		payload string
		differs func(*purchase.Sale)
	}{
		{"a renewal", payload, func(*purchase.Sale) {}},
		{"in the sandbox", edit(`"Production"`, `"Sandbox"`), func(s *purchase.Sale) { s.Test = true }},
		{"family shared", edit(`"PURCHASED"`, `"FAMILY_SHARED"`), func(s *purchase.Sale) { s.Family, s.Price, s.Currency = true, 0, "" }},
		{"no ownership said", edit(`"inAppOwnershipType":"PURCHASED",`, ""), func(*purchase.Sale) {}},
		{"no account", edit(token, ""), func(s *purchase.Sale) { s.Account = "" }},
		{"expired", edit(expires, `"expiresDate":1768478459999,`), func(s *purchase.Sale) {
			s.Until, s.WillRenew = time.UnixMilli(1768478459999).UTC(), false
		}},
		{"expires now", edit(expires, `"expiresDate":1768478460000,`), func(s *purchase.Sale) {
			s.Until, s.WillRenew = now, false
		}},
		{"refunded", edit(expires, expires+`"revocationDate":1768478300000,"revocationReason":1,`), func(s *purchase.Sale) {
			s.State, s.WillRenew = purchase.Refunded, false
		}},
		{"refunded in part", edit(expires, expires+`"revocationDate":1768478300000,"revocationType":"REFUND_PRORATED","revocationPercentage":40000,`), func(s *purchase.Sale) {
			s.State, s.WillRenew = purchase.Refunded, false
		}},
		{"revoked without a date", edit(expires, expires+`"revocationType":"FAMILY_REVOKE",`), func(s *purchase.Sale) {
			s.State, s.WillRenew = purchase.Refunded, false
		}},
		{"refunded, then upgraded", edit(expires, expires+`"revocationDate":1768478300000,"isUpgraded":true,`), func(s *purchase.Sale) {
			s.State, s.WillRenew = purchase.Refunded, false
		}},
		{"not upgraded", edit(expires, expires+`"isUpgraded":false,`), func(*purchase.Sale) {}},
		{"consumable, five", edit(subscription, `"type":"Consumable"`, expires, "", `"quantity":1`, `"quantity":5`), func(s *purchase.Sale) {
			oneOff(s)
			s.Quantity = 5
		}},
		{"no quantity said", edit(subscription, `"type":"Consumable"`, expires, "", `"quantity":1,`, ""), oneOff},
		{"quantity 0", edit(subscription, `"type":"Consumable"`, expires, "", `"quantity":1,`, `"quantity":0,`), oneOff},
		{"for good", edit(subscription, `"type":"Non-Consumable"`, expires, ""), oneOff},
		{"a rental", edit(subscription, `"type":"Non-Renewing Subscription"`, expires, ""), oneOff},
		{"dollars", edit(price, `"price":9990,"currency":"USD"`), func(s *purchase.Sale) { s.Price, s.Currency = 999, "USD" }},
		{"dinars", edit(price, `"price":1234,"currency":"KWD"`), func(s *purchase.Sale) { s.Price, s.Currency = 1234, "KWD" }},
		{"for free", edit(price, `"price":0,"currency":"USD"`), func(s *purchase.Sale) { s.Price, s.Currency = 0, "USD" }},
		{"half a cent", edit(price, `"price":9995,"currency":"USD"`), func(s *purchase.Sale) { s.Price, s.Currency = 0, "" }},
		{"half a won", edit(price, `"price":4900500,"currency":"KRW"`), func(s *purchase.Sale) { s.Price, s.Currency = 0, "" }},
		{"unknown currency", edit(price, `"price":9990,"currency":"QQQ"`), func(s *purchase.Sale) { s.Price, s.Currency = 0, "" }},
		{"no currency", edit(price, `"price":9990`), func(s *purchase.Sale) { s.Price, s.Currency = 0, "" }},
		{"no price", edit(price, `"currency":"KRW"`), func(s *purchase.Sale) { s.Price, s.Currency = 0, "" }},
		{"a broken price", edit(price, `"price":4900000.25,"currency":"KRW"`), func(s *purchase.Sale) { s.Price, s.Currency = 0, "" }},
		{"a negative price", edit(price, `"price":-9990,"currency":"USD"`), func(s *purchase.Sale) { s.Price, s.Currency = 0, "" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := premium()
			c.differs(&want)
			got, err := look(t, c.payload)
			if err != nil {
				t.Fatalf("error %v, want none", err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("sale (-want +got):\n%s", diff)
			}
		})
	}
}

// Genuine, and yet not to be understood: neither paid nor invalid.
func TestUnknownWordsNeitherGrantNorRefuse(t *testing.T) {
	for name, text := range map[string]string{
		"unknown type":                swap(t, payload, `"Auto-Renewable Subscription"`, `"Lease"`),
		"no type":                     swap(t, payload, `"type":"Auto-Renewable Subscription",`, ""),
		"unknown ownership":           swap(t, payload, `"PURCHASED"`, `"GIFTED"`),
		"subscription without an end": swap(t, payload, `"expiresDate":1771156500000,`, ""),
		"no purchase date":            swap(t, payload, `"purchaseDate":1768478100000,`, ""),
		"negative quantity":           swap(t, payload, `"quantity":1`, `"quantity":-1`),
		"unknown type, revoked":       swap(t, swap(t, payload, `"Auto-Renewable Subscription"`, `"Lease"`), `"quantity":1`, `"quantity":1,"revocationDate":1768478300000`),
	} {
		got, err := look(t, text)
		if !errors.Is(err, fault.Unavailable) || !errors.Is(err, apple.ErrWord) {
			t.Errorf("%s: error %v, want %v because of %q", name, err, fault.Unavailable, apple.ErrWord)
		}
		if got != (purchase.Sale{}) {
			t.Errorf("%s: sale %+v, want none", name, got)
		}
	}
}

func TestUpgradedTransactionGaveUpItsPlace(t *testing.T) {
	got, err := look(t, swap(t, payload, `"quantity":1`, `"quantity":1,"isUpgraded":true`))
	if err != nil || got.State != purchase.Replaced {
		t.Errorf("got %s, %v, want %s", got.State, err, purchase.Replaced)
	}
}

func TestForgedTransactionIsNoSale(t *testing.T) {
	a := genuine(t)
	store := apple.NewStore(apple.StoreConfig{Verifier: newVerifier(t, a.certs[root])})
	forged := newAuthority(t).sign(payload)
	got, err := store.Look(t.Context(), purchase.Proof{Store: "apple", Evidence: forged})
	if !errors.Is(err, fault.Invalid) || fault.Code(err) != "invalid_purchase" {
		t.Errorf("error %v, want %v, invalid_purchase", err, fault.Invalid)
	}
	if len(got.Sales) != 0 {
		t.Errorf("sales %+v, want none", got.Sales)
	}
	_, err = store.Look(t.Context(), purchase.Proof{Store: "apple", Evidence: "junk"})
	if !errors.Is(err, fault.Malformed) {
		t.Errorf("junk: error %v, want %v", err, fault.Malformed)
	}
}

// Looking again changes nothing and says the same.
func TestLookingTwiceSaysTheSame(t *testing.T) {
	a := genuine(t)
	store := apple.NewStore(apple.StoreConfig{Verifier: newVerifier(t, a.certs[root])})
	proof := purchase.Proof{Store: "apple", Evidence: a.sign(payload)}
	first, err := store.Look(t.Context(), proof)
	if err != nil {
		t.Fatal(err)
	}
	second, err := store.Look(t.Context(), proof)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
}

func TestErrorsOfTheStoreShowNothingOfTheCustomer(t *testing.T) {
	for _, text := range []string{
		swap(t, payload, `"PURCHASED"`, `"GIFTED"`),
		swap(t, payload, `"com.example.app"`, `"com.example.other"`),
		swap(t, payload, `"expiresDate":1771156500000`, `"expiresDate":"x"`),
	} {
		_, err := look(t, text)
		if err == nil {
			t.Fatal("no error")
		}
		for _, private := range []string{"2000000912345678", "7E3FB204", "7e3fb204", "com.example", "GIFTED"} {
			if strings.Contains(err.Error(), private) {
				t.Errorf("error %q shows %q", err, private)
			}
		}
	}
}
