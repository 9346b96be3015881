package web_test

import (
	"strings"
	"testing"
	"time"

	"grantline/shared/abuse"
	"grantline/shared/purchase"
)

func orderOf(order string) string {
	return `{"store":"appsintoss","appsintoss":{"orderId":"` + order + `"}}`
}

func giftOf(order, to string) string {
	return `{"store":"appsintoss","giftTo":` + to + `,"appsintoss":{"orderId":"` + order + `"}}`
}

func TestAGiftIsClaimedByOneAndGrantedToAnother(t *testing.T) {
	w := newWorld(t)
	w.shops["appsintoss"].sell("gems", purchase.Sale{Order: "gems", SKU: "gems-100"})
	a := w.expect(200, "", "POST", "/v1/purchases", app("minji"), giftOf("gems", `"jisoo"`))
	if !strings.Contains(a.text, `"state":"granted"`) || !strings.Contains(a.text, `"wallet":{}`) || strings.Contains(a.text, "jisoo") {
		t.Errorf("got %s, want it granted, and the buyer's own wallet", a.text)
	}
	if a = w.expect(200, "", "GET", "/v1/customers/jisoo", server(""), ""); !strings.Contains(a.text, `"balance":100`) {
		t.Errorf("the recipient: got %s, want 100 gems", a.text)
	}
	w.expect(200, "", "POST", "/v1/purchases", app("minji"), giftOf("gems", `"jisoo"`))
	w.expect(200, "", "POST", "/v1/purchases", app("jisoo"), orderOf("gems"))
	w.expect(409, "already_granted", "POST", "/v1/purchases", app("minji"), giftOf("gems", `"sora"`))
	w.expect(409, "owned_by_another_customer", "POST", "/v1/purchases", app("sora"), orderOf("gems"))
	for _, to := range []string{`""`, `" "`, `"a\nb"`, `"minji/events"`} {
		w.expect(400, "invalid_customer_id", "POST", "/v1/purchases", app("minji"), giftOf("gems", to))
	}
	w.expect(400, "invalid_request", "POST", "/v1/purchases", app("minji"), giftOf("gems", "7"))
}

func TestASubscriptionIsNoGift(t *testing.T) {
	w := newWorld(t)
	w.shops["appsintoss"].sell("month", purchase.Sale{Order: "month", SKU: "premium-1month"})
	w.expect(422, "not_giftable", "POST", "/v1/purchases", app("minji"), giftOf("month", `"jisoo"`))
	w.expect(200, "", "POST", "/v1/purchases", app("minji"), orderOf("month"))
}

func TestWhoIsRefusedByPolicyIsToldSo(t *testing.T) {
	w := newWorld(t)
	w.claims.Book.Abuse = abuse.Policy{abuse.RefuseConsumables: 1}
	claim := func(token, more string) string {
		return `{"store":"play",` + more + `"play":{"purchaseToken":"` + token + `"}}`
	}
	sale := purchase.Sale{Order: "first", SKU: "gems_100", AsOf: start}
	w.shops["play"].sell("tok-1", sale)
	w.expect(200, "", "POST", "/v1/purchases", app("minji"), claim("tok-1", ""))
	sale.State, sale.AsOf = purchase.Refunded, start.Add(time.Hour)
	w.shops["play"].sell("tok-1", sale)
	w.expect(422, "invalid_purchase", "POST", "/v1/purchases", app("minji"), claim("tok-1", ""))
	w.shops["play"].sell("tok-2", purchase.Sale{Order: "second", SKU: "gems_100", AsOf: start})
	w.expect(403, "refused_by_policy", "POST", "/v1/purchases", app("minji"), claim("tok-2", ""))
	w.expect(403, "refused_by_policy", "POST", "/v1/purchases", app("jisoo"), claim("tok-2", `"giftTo":"minji",`))
	w.expect(200, "", "POST", "/v1/purchases", app("jisoo"), claim("tok-2", ""))
}

func TestWhatAPolicyLetsGoOverIsAnsweredToItsNewOwner(t *testing.T) {
	w := newWorld(t)
	w.claims.Book.Restore = purchase.Transfer
	w.shops["appsintoss"].sell("ads", purchase.Sale{Order: "ads", SKU: "ad-free", AsOf: start})
	claim := orderOf("ads")
	// The name of an order alone is read by more people than bought it.
	toss := func(who string) header {
		h := app(who)
		h["X-Toss-User-Key"] = w.keep("443731104-of-" + who)
		return h
	}
	w.expect(200, "", "POST", "/v1/purchases", toss("minji"), claim)
	w.expect(409, "owned_by_another_customer", "POST", "/v1/purchases", app("jisoo"), claim)
	for _, who := range []string{"minji", "jisoo", "sora"} {
		if a := w.expect(200, "", "POST", "/v1/purchases", toss(who), claim); !strings.Contains(a.text, `"id":"ad_free","active":true`) {
			t.Errorf("%s: got %s, want ad_free", who, a.text)
		}
	}
	w.expect(409, "too_many_transfers", "POST", "/v1/purchases", toss("minji"), claim)
}
