package web_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"grantline/shared/apple"
	"grantline/shared/purchase"
	"grantline/shared/web"
)

// realApple makes the App Store of a world what it is without an In-App Purchase key.
func (w *world) realApple() {
	w.claims.Book.Stores["apple"] = apple.NewStore(apple.StoreConfig{Verifier: newVerifier(w.clock, apple.RevocationSoft, apple.Production, apple.Sandbox)})
}

func claimOf(signed string) string {
	return `{"store":"apple","apple":{"signedTransaction":"` + signed + `"}}`
}

func receiptOf(receipt string) string {
	return `{"store":"apple","apple":{"receipt":"` + receipt + `"}}`
}

// oldReceipt is a transactionReceipt as StoreKit once gave it.
func oldReceipt(info string) string {
	info = base64.StdEncoding.EncodeToString([]byte(info))
	return base64.StdEncoding.EncodeToString([]byte(`{ "signature" = "A"; "purchase-info" = "` + info + `"; "pod" = "100"; }`))
}

func TestAClaimSaysWhatItRestsOn(t *testing.T) {
	s := theAppStore()
	for asks, checked := range map[bool]string{false: "signed_data", true: "app_store"} {
		w := newWorld(t)
		w.realApple()
		w.claims.AsksApple = asks
		signed := w.keep(s.sign(transaction()))
		for range 2 { // the second is answered by our book
			a := w.expect(200, "", "POST", "/v1/purchases", server("minji"), claimOf(signed))
			if a.body["checked"] != checked || a.body["finish"] != true {
				t.Errorf("asks %t: got %s, want checked %s, and to finish", asks, a.text, checked)
			}
		}
	}
	w := newWorld(t)
	w.shelves(t)
	for _, claim := range []string{`{"store":"play","play":{"purchaseToken":"hgkpfnmbcdlaioejbnafolgd.AO-J1OwXv2cYyS0lRk7qYw"}}`, `{"store":"appsintoss","appsintoss":{"orderId":"x"}}`} {
		if a := w.expect(200, "", "POST", "/v1/purchases", server("minji"), claim); a.body["checked"] != nil {
			t.Errorf("%s: got checked %v, want none of another store", claim, a.body["checked"])
		}
	}
}

func TestAnAppStoreClaimIsRefusedForWhatItIs(t *testing.T) {
	s, thief := theAppStore(), newAppStore()
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"forged":                    {claimOf(thief.sign(transaction())), 422, "invalid_purchase"},
		"another app's":             {claimOf(s.sign(transaction().with("bundleId", "com.example.another"))), 422, "invalid_purchase"},
		"of Xcode":                  {claimOf(s.sign(transaction().with("environment", "Xcode"))), 422, "invalid_purchase"},
		"refunded":                  {claimOf(s.sign(transaction().with("revocationDate", start.UnixMilli()).with("revocationReason", 0))), 422, "invalid_purchase"},
		"upgraded":                  {claimOf(s.sign(transaction().with("isUpgraded", true))), 422, "superseded_purchase"},
		"no JWS":                    {claimOf("MIIC8wYJKoZIhvcN"), 400, "invalid_purchase"},
		"of a kind that is to come": {claimOf(s.sign(transaction().with("type", "Lottery"))), 503, "store_unavailable"},
		"not in the catalog":        {claimOf(s.sign(transaction().with("productId", "com.example.forgotten"))), 503, "product_not_configured"},

		"a receipt and a transaction":          {`{"store":"apple","apple":{"signedTransaction":"a.b.c","receipt":"MIIC"}}`, 400, "invalid_request"},
		"neither":                              {`{"store":"apple","apple":{}}`, 400, "invalid_request"},
		"an empty receipt":                     {receiptOf(""), 400, "invalid_request"},
		"an empty receipt and a transaction":   {`{"store":"apple","apple":{"signedTransaction":"","receipt":""}}`, 400, "invalid_request"},
		"a receipt that is no base64":          {receiptOf("!!!"), 400, "invalid_purchase"},
		"a receipt that is none":               {receiptOf("bm9uc2Vuc2U="), 400, "invalid_purchase"},
		"a JWS for a receipt":                  {receiptOf("a.b.c"), 400, "invalid_purchase"},
		"a receipt of another store":           {`{"store":"play","apple":{"receipt":"MIIC"}}`, 400, "invalid_request"},
		"a receipt with an id that is none":    {receiptOf(oldReceipt(`{ "transaction-id" = "1/2"; }`)), 400, "invalid_purchase"},
		"a receipt without purchase":           {receiptOf(oldReceipt(`{ "quantity" = "1"; }`)), 422, "invalid_purchase"},
		"a good receipt, and no key":           {receiptOf(oldReceipt(`{ "transaction-id" = "2000000900000002"; }`)), 503, "store_not_configured"},
		"a receipt of almost a whole mebibyte": {receiptOf(strings.Repeat("A", web.MostBytes-len(receiptOf("")))), 400, "invalid_purchase"},
	} {
		w := newWorld(t)
		w.realApple()
		a := w.expect(c.status, c.code, "POST", "/v1/purchases", server("minji"), c.body)
		if strings.Contains(a.text, "2000000900000002") || strings.Contains(w.logs.String(), "2000000900000002") || len(w.logs.String()) > 1000 {
			t.Errorf("%s: got %s and the log %.1200s, want neither to tell of the purchase", name, a.text, w.logs)
		}
		if c := w.expect(200, "", "GET", me, server(""), ""); len(c.body["entitlements"].([]any)) != 0 || len(c.body["wallet"].(map[string]any)) != 0 {
			t.Errorf("%s: got %s, want nothing granted", name, c.text)
		}
	}
}

func TestAReceiptMayFillTheBody(t *testing.T) {
	w := newWorld(t)
	receipt := "MII" + strings.Repeat("A", web.MostBytes-len(receiptOf("MII")))
	w.shops["apple"].sell(receipt, purchase.Sale{Order: "2001", SKU: "com.example.adfree"})
	w.expect(200, "", "POST", "/v1/purchases", server("minji"), receiptOf(receipt))
	w.expect(400, "body_too_large", "POST", "/v1/purchases", server("minji"), receiptOf(receipt+"A"))
}

func TestACustomerSeesWhatComesNextAndWhatItsFamilyShares(t *testing.T) {
	w := newWorld(t)
	w.shops["apple"].stand = purchase.Standing{AsOf: start, WillRenew: true, Next: "com.example.premium.yearly"}
	sale := purchase.Sale{Order: "2001", Line: "2000", SKU: monthly, PurchasedAt: start.Add(-time.Hour), Until: start.AddDate(0, 1, 0), AsOf: start, WillRenew: true, Family: true}
	w.shops["apple"].sell("a.b.c", sale)
	claimed := w.expect(200, "", "POST", "/v1/purchases", server("minji"), claimOf("a.b.c"))
	if order := claimed.body["order"].(map[string]any); order["family"] != true {
		t.Errorf("order: got %v, want family", order)
	}
	c := w.expect(200, "", "GET", me, server(""), "").body
	source := c["entitlements"].([]any)[0].(map[string]any)["sources"].([]any)[0].(map[string]any)
	for what, of := range map[string]map[string]any{"source": source, "purchase": c["purchases"].([]any)[0].(map[string]any)} {
		if of["nextProductId"] != "com.example.premium.yearly" || of["family"] != true {
			t.Errorf("%s: got %v, want what comes next, and family", what, of)
		}
	}
	// A customer of its own has neither.
	w.shops["apple"].stand = purchase.Standing{}
	w.shops["apple"].sell("d.e.f", purchase.Sale{Order: "3001", SKU: "com.example.adfree", AsOf: start})
	a := w.expect(200, "", "POST", "/v1/purchases", server("jisoo"), claimOf("d.e.f"))
	if strings.Contains(a.text, "nextProductId") || strings.Contains(a.text, "family") {
		t.Errorf("got %s, want neither what comes next nor family", a.text)
	}
}

func TestAnOrderShowsWhatCameBackOfIt(t *testing.T) {
	for i, c := range []struct {
		price     int64
		returned  int
		state     purchase.OrderState
		refunded  int64
		takenBack int64
	}{
		{4900, 0, purchase.OrderGranted, 0, 0},
		{4900, 50_000, purchase.OrderGranted, 2450, 50},
		{999, 50_000, purchase.OrderGranted, 500, 50}, // 499.5
		{999, 49_949, purchase.OrderGranted, 499, 50},
		{3, 33_333, purchase.OrderGranted, 1, 33},
		{1, 49_999, purchase.OrderGranted, 0, 50},
		{1, 50_000, purchase.OrderGranted, 1, 50},
		{4900, 100_000, purchase.OrderRefunded, 4900, 100},
		{4900, 0, purchase.OrderRefunded, 4900, 0}, // as it was kept before parts were known
		{0, 50_000, purchase.OrderGranted, 0, 50},
		{9_000_000_000_000_001, 50_000, purchase.OrderGranted, 4_500_000_000_000_001, 50},
		{150_001, 99_999, purchase.OrderGranted, 149_999, 100}, // 149999.49999
	} {
		w := newWorld(t)
		w.order(purchase.Order{
			ID: "apple_1", Store: "apple", SKU: "com.example.gems100", State: c.state, Quantity: 1, Currency: "gems", Credited: 100,
			TakenBack: c.takenBack, Returned: c.returned, Price: c.price, PriceIn: "KRW",
		})
		order := w.expect(200, "", "GET", "/v1/orders/apple_1", server(""), "").body["order"].(map[string]any)
		if order["refunded"] != float64(c.refunded) || order["state"] != string(c.state) || fmt.Sprint(order["takenBack"]) != map[bool]string{true: "<nil>", false: fmt.Sprint(c.takenBack)}[c.takenBack == 0] {
			t.Errorf("%d: got %v, want refunded %d, takenBack %d", i, order, c.refunded, c.takenBack)
		}
		if _, said := order["replaced"]; said {
			t.Errorf("%d: got %v, want nothing about a replacement", i, order)
		}
	}
	w := newWorld(t)
	w.order(purchase.Order{ID: "apple_1", Store: "apple", SKU: monthly, State: purchase.OrderGranted, Replaced: true, Quantity: 1, Price: 4900, PriceIn: "KRW"})
	if order := w.expect(200, "", "GET", "/v1/orders/apple_1", server(""), "").body["order"].(map[string]any); order["replaced"] != true || order["refunded"] != 0.0 {
		t.Errorf("got %v, want it replaced and nothing refunded", order)
	}
}

func TestAnUnclaimedOrderIsTheServersAloneToSee(t *testing.T) {
	w := newWorld(t)
	w.order(purchase.Order{ID: "apple_1", Store: "apple", SKU: monthly, State: purchase.OrderUnclaimed, Quantity: 1, Price: 4900, PriceIn: "KRW"})
	const path = "/v1/orders/apple_1"
	if order := w.expect(200, "", "GET", path, server(""), "").body["order"].(map[string]any); order["state"] != "unclaimed" || order["grantedAt"] != nil {
		t.Errorf("got %v, want it unclaimed", order)
	}
	w.expect(404, "order_not_found", "GET", path, server("minji"), "")
	w.expect(404, "order_not_found", "GET", path, w.user("minji"), "")
	w.expect(403, "sign_in_required", "GET", path, app("minji"), "")
	w.expect(401, "unauthenticated", "GET", path, nil, "")
	w.expect(404, "order_not_found", "POST", path+"/refund", server("minji"), columns["refund"].body)
}
