package catalog_test

import (
	"strings"
	"testing"
	"time"

	"grantline/shared/catalog"
)

func TestTheSampleCatalogSellsWhatTheContractPromises(t *testing.T) {
	c, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ store, sku, entitlement, currency string }{
		{"apple", "com.example.premium.monthly", "premium", ""},
		{"play", "premium:monthly", "premium", ""},
		{"appsintoss", "premium-1month", "premium", ""},
		{"apple", "com.example.adfree", "ad_free", ""},
		{"play", "ad_free", "ad_free", ""},
		{"appsintoss", "ad-free", "ad_free", ""},
		{"apple", "com.example.gems100", "", "gems"},
		{"play", "gems_100", "", "gems"},
		{"appsintoss", "gems-100", "", "gems"},
		{"apple", "com.example.rental7d", "movie_rental", ""},
	} {
		p, ok := c.BySKU(want.store, want.sku)
		if !ok || p.Entitlement != want.entitlement || p.Currency != want.currency {
			t.Errorf("%s %s grants %q and %q (found %v), want %q and %q", want.store, want.sku, p.Entitlement, p.Currency, ok, want.entitlement, want.currency)
		}
		if p.Currency != "" && p.Amount != 100 {
			t.Errorf("%s %s grants %d gems, want 100", want.store, want.sku, p.Amount)
		}
	}
	for id, units := range map[string]int64{"premium-weekly": 1900, "premium-biweekly": 2900, "premium-monthly": 4900, "premium-quarterly": 12900, "premium-yearly": 49000} {
		p, ok := c.Plan(id)
		if !ok || p.Price.Units != units || p.Price.Currency != "KRW" || p.Zone != "Asia/Seoul" || p.Entitlement != "premium" || !p.Grace {
			t.Errorf("plan %s is %+v (found %v), want %d KRW for premium in Asia/Seoul with grace", id, p, ok, units)
		}
	}
	if _, ok := c.BySKU("play", "com.example.adfree"); ok {
		t.Error("a name of the App Store is sold at Play")
	}
}

func TestARentalRunsFromThePurchase(t *testing.T) {
	bought := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	c, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	p, _ := c.BySKU("apple", "com.example.rental7d")
	if got, want := p.Until(bought), bought.AddDate(0, 0, 7); !got.Equal(want) {
		t.Errorf("it ends %v, want %v", got, want)
	}
	p, _ = c.BySKU("apple", "com.example.adfree")
	if got := p.Until(bought); !got.IsZero() {
		t.Errorf("what is bought for ever ends %v", got)
	}
}

// One valid catalog, spoiled in one way a row.
func TestACatalogThatCannotBeSoldFromIsRefused(t *testing.T) {
	const valid = `{"products":[{"id":"a","kind":"consumable","currency":"gems","amount":100,"stores":{"apple":"x"}}],
		"plans":[{"id":"p","gateway":"toss","entitlement":"premium","name":"Premium","price":{"units":4900,"currency":"KRW"},"cycle":"1 months","after_last_attempt":"unpaid"}]}`
	if _, err := catalog.Parse([]byte(valid)); err != nil {
		t.Fatalf("the valid one is refused: %v", err)
	}
	for _, c := range []struct{ old, spoiled, says string }{
		{`"amount":100`, `"amount":0`, "does not go with"},
		{`"amount":100`, `"amount":100,"entitlement":"premium"`, "does not go with"},
		{`"kind":"consumable"`, `"kind":"consumeable"`, "does not go with"},
		{`"kind":"consumable"`, `"kind":"non_renewing"`, "does not go with"},
		{`"id":"a"`, `"id":""`, "id should be"},
		{`"apple":"x"`, `"aple":"x"`, "no name at store"},
		{`"apple":"x"`, `"apple":"x","unknown":{}`, "cannot unmarshal"},
		{`"products":[`, `"products":[{"id":"b","kind":"consumable","currency":"gems","amount":1,"stores":{"apple":"x"}},`, "already"},
		{`"products":[`, `"products":[{"id":"a","kind":"consumable","currency":"gems","amount":1,"stores":{}},`, "comes twice"},
		{`"units":4900`, `"units":0`, "positive"},
		{`"units":4900`, `"units":99`, "100 KRW"},
		{`"units":4900`, `"units":49.5`, "cannot unmarshal"},
		{`"currency":"KRW"`, `"currency":"USD"`, "100 KRW"},
		{`"gateway":"toss"`, `"gateway":"stripe"`, "no gateway"},
		{`"1 months"`, `"1 moons"`, "no cycle"},
		{`"cycle"`, `"zone":"Asia/Nowhere","cycle"`, "no IANA zone"},
		{`"cycle"`, `"tax_free":4901,"cycle"`, "part of the price"},
		{`"cycle"`, `"colour":"red","cycle"`, "unknown field"},
		{`"name":"Premium"`, `"name":""`, "1 to 100"},
		{`"name":"Premium"`, `"name":"` + strings.Repeat("가", 101) + `"`, "1 to 100"},
		{`"entitlement":"premium"`, `"entitlement":""`, "opens no"},
		{`"after_last_attempt":"unpaid"`, `"after_last_attempt":""`, "after_last_attempt"},
		{`"plans":[`, `"plans":[` + valid[strings.Index(valid, `{"id":"p"`):len(valid)-2] + `,`, "comes twice"},
		{`]}`, `]} {}`, "follows"},
	} {
		at := strings.LastIndex(valid, c.old)
		_, err := catalog.Parse([]byte(valid[:at] + c.spoiled + valid[at+len(c.old):]))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s for %s: %v, want an error with %q", c.spoiled, c.old, err, c.says)
		}
	}
}
