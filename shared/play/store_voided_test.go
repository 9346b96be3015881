package play_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/play"
	"grantline/shared/purchase"
)

const (
	voidedOld   = "GPA.3372-4150-8203-17209..2"
	voidedState = `{"state":"REFUNDED"`
	voidedSub   = `,"createTime":"2026-10-22T05:00:00Z","lineItems":[{"productId":"premium","subscriptionDetails":{"basePlanId":"monthly","servicePeriodEndTime":"2026-11-22T05:00:00Z"}}]}`
	voidedGems  = `,"createTime":"2026-11-22T05:58:00Z","lineItems":[{"productId":"gems_100","oneTimePurchaseDetails":{"quantity":5}}]}`
)

// The order is the proof: what was given back of it is found out, and nothing else changes.
func TestWhatWasVoidedIsGivenBack(t *testing.T) {
	gone := apiFails(410, "purchaseTokenNoLongerValid", "Gone.")
	product := play.Notification{Order: shopOrder, ProductType: play.ProductOneTime, RefundType: play.RefundFull}
	subscription := play.Notification{Order: apiOrder, ProductType: play.ProductSubscription, RefundType: play.RefundFull}
	with := func(n play.Notification, change func(*play.Notification)) play.Notification {
		change(&n)
		return n
	}
	older := with(subscription, func(n *play.Notification) { n.Order = voidedOld })
	part := with(product, func(n *play.Notification) { n.RefundType = play.RefundPartial })
	listed := func(n play.Notification) play.Notification {
		return with(n, func(n *play.Notification) { n.ProductType = 0 })
	}
	five := func(left string) string {
		return edited(t, shopProduct, `"quantity":1,"refundableQuantity":1`, `"quantity":5,"refundableQuantity":`+left)
	}
	sale := func(order, state string) string { return order + "/gems_100/" + state }
	for _, c := range []struct {
		name   string
		about  play.Notification
		change func(*shop)
		want   []string
		back   int
	}{
		{"a product, cancelled", product, func(s *shop) { s.sells(edited(t, shopProduct, "PURCHASED", "CANCELLED")) }, []string{sale(shopOrder, "refunded")}, 0},
		{"a product, cancelled, no time said", product, func(s *shop) {
			s.sells(edited(t, shopProduct, "PURCHASED", "CANCELLED", `"purchaseCompletionTime":"2026-11-22T05:59:00Z",`, ""))
		}, []string{sale(shopOrder, "refunded")}, 0},
		{"a product, by its order alone", product, func(s *shop) {
			s.sells(shopProduct)
			s.orders[shopOrder] = voidedState + voidedGems
		}, []string{sale(shopOrder, "refunded")}, 0},
		{"a product that is gone", product, func(s *shop) {
			s.products[apiPackage], s.orders[shopOrder] = gone, voidedState+voidedGems
		}, []string{sale(shopOrder, "refunded")}, 0},
		{"a product that is unknown", product, func(s *shop) {
			s.products[apiPackage], s.orders[shopOrder] = apiFails(404, "notFound", "No."), voidedState+voidedGems
		}, []string{sale(shopOrder, "refunded")}, 0},
		{"a promotion without an order", with(product, func(n *play.Notification) { n.Order = "" }), func(s *shop) {
			s.sells(edited(t, shopProduct, "PURCHASED", "CANCELLED", `"orderId":"`+shopOrder+`",`, ""))
		}, []string{sale(play.TokenID(apiToken), "refunded")}, 0},
		{"two of five", part, func(s *shop) { s.sells(five("3")) }, []string{sale(shopOrder, "paid")}, 2},
		{"two of five, order known", part, func(s *shop) {
			s.sells(five("3"))
			s.orders[shopOrder] = `{"state":"PARTIALLY_REFUNDED"` + voidedGems
		}, []string{sale(shopOrder, "paid")}, 2},
		{"the rest of five", product, func(s *shop) {
			s.sells(five("0"))
			s.orders[shopOrder] = voidedState + voidedGems
		}, []string{sale(shopOrder, "refunded")}, 0},
		{"a part of what was given back since", part, func(s *shop) {
			s.sells(five("3"))
			s.orders[shopOrder] = voidedState + voidedGems
		}, []string{sale(shopOrder, "refunded")}, 0},
		{"a subscription that goes on", subscription, func(s *shop) {
			s.sells(shopSubscription)
			s.orders[apiOrder] = voidedState + voidedSub
		}, []string{apiOrder + "/premium/refunded"}, 0},
		{"a subscription that is over", subscription, func(s *shop) {
			s.sells(edited(t, shopSubscription, "STATE_ACTIVE", "STATE_EXPIRED"))
			s.orders[apiOrder] = voidedState + voidedSub
		}, []string{apiOrder + "/premium/refunded"}, 0},
		{"a subscription that was revoked for the rest of its time", subscription, func(s *shop) {
			s.sells(edited(t, shopSubscription, "STATE_ACTIVE", "STATE_EXPIRED"))
			s.orders[apiOrder] = `{"state":"PARTIALLY_REFUNDED"` + voidedSub
		}, []string{apiOrder + "/premium/refunded"}, 0},
		{"a subscription that is gone", subscription, func(s *shop) {
			s.subscriptions[apiPackage], s.orders[apiOrder] = gone, voidedState+voidedSub
		}, []string{apiOrder + "/premium/refunded"}, 0},
		{"a subscription that was replaced", subscription, func(s *shop) {
			s.sells(edited(t, shopSubscription, "STATE_ACTIVE", "STATE_EXPIRED", `"lineItems"`, `"canceledStateContext":{"replacementCancellation":{}},"lineItems"`))
			s.orders[apiOrder] = voidedState + voidedSub
		}, []string{apiOrder + "/premium/refunded"}, 0},
		{"an older renewal of one that goes on", older, func(s *shop) {
			s.sells(shopSubscription)
			s.orders[voidedOld] = voidedState + voidedSub
		}, []string{voidedOld + "/premium/refunded", apiOrder + "/premium/paid"}, 0},
		{"an older renewal of one that is gone", older, func(s *shop) {
			s.subscriptions[apiPackage], s.orders[voidedOld] = gone, voidedState+voidedSub
		}, []string{voidedOld + "/premium/refunded"}, 0},
		{"a bundle's order", older, func(s *shop) {
			s.sells(shopSubscription)
			s.orders[voidedOld] = voidedState + `,"lineItems":[{"productId":"premium"},null,{"productId":""},{"productId":"sport"}]}`
		}, []string{voidedOld + "/premium/refunded", apiOrder + "/premium/paid", voidedOld + "/sport/refunded"}, 0},
		{"listed, a subscription's", listed(older), func(s *shop) {
			s.sells(shopSubscription)
			s.orders[voidedOld] = voidedState + voidedSub
		}, []string{voidedOld + "/premium/refunded", apiOrder + "/premium/paid"}, 0},
		{"listed, a product's", listed(product), func(s *shop) {
			s.sells(shopProduct)
			s.orders[shopOrder] = voidedState + voidedGems
		}, []string{sale(shopOrder, "refunded")}, 0},
		{"listed, a product's, order unknown", listed(product), func(s *shop) {
			s.sells(edited(t, shopProduct, "PURCHASED", "CANCELLED"))
		}, []string{sale(shopOrder, "refunded")}, 0},
		{"listed, a subscription's, order of nothing", listed(subscription), func(s *shop) {
			s.sells(shopSubscription)
			s.orders[apiOrder] = voidedState + `}`
		}, []string{apiOrder + "/premium/refunded"}, 0},
		{"listed, a subscription's, order of no item", listed(subscription), func(s *shop) {
			s.sells(shopSubscription)
			s.orders[apiOrder] = voidedState + `,"lineItems":[null]}`
		}, []string{apiOrder + "/premium/refunded"}, 0},
		{"listed, a promotion", listed(with(product, func(n *play.Notification) { n.Order = "" })), func(s *shop) {
			s.sells(edited(t, shopProduct, "PURCHASED", "CANCELLED", `"orderId":"`+shopOrder+`",`, ""))
		}, []string{sale(play.TokenID(apiToken), "refunded")}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			c.change(s)
			c.about.Kind, c.about.Token = play.KindVoided, apiToken
			news, err := s.hear(t, c.about)
			if err != nil {
				t.Fatalf("error %v, want none", err)
			}
			if diff := cmp.Diff(c.want, orderIDs(news.Sales)); diff != "" {
				t.Errorf("sales (-want +got):\n%s", diff)
			}
			if got := news.Sales[0].Back; got != c.back {
				t.Errorf("got %d given back, want %d", got, c.back)
			}
			kind := map[bool]string{true: "subscription@", false: "product@"}[news.Sales[0].Part == "premium"] + apiPackage
			if news.Token == nil || news.Token.Secret != apiToken || news.Token.Kind != kind || news.Sales[0].Line != news.Token.ID {
				t.Errorf("got token %+v, want one of %s", news.Token, kind)
			}
		})
	}
}

// A renewal that no purchase shows any more is known by its order.
func TestAnOlderRenewalIsWhatItsOrderSays(t *testing.T) {
	s := newShop(t)
	s.subscriptions[apiPackage] = apiFails(404, "notFound", "No.")
	s.orders[voidedOld] = `{"state":"REFUNDED","createTime":"2026-10-22T05:00:00Z","lineItems":[{"productId":"premium","total":{"currencyCode":"USD","units":"9","nanos":990000000},` +
		`"subscriptionDetails":{"basePlanId":"monthly","servicePeriodEndTime":"2026-11-22T05:00:00Z"}}]}`
	got, err := s.hear(t, play.Notification{Kind: play.KindVoided, Token: apiToken, Order: voidedOld, ProductType: 1, RefundType: 1})
	if err != nil {
		t.Fatal(err)
	}
	id := play.TokenID(apiToken)
	newsIs(t, got, purchase.News{
		Token: &purchase.Token{ID: id, Secret: apiToken, Kind: "subscription@" + apiPackage},
		Sales: []purchase.Sale{{
			Store: play.Name, App: apiPackage, Line: id, Part: "premium", Order: voidedOld, SKU: "premium:monthly", State: purchase.Refunded,
			PurchasedAt: time.Date(2026, 10, 22, 5, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC),
			AsOf: apiNow.Add(time.Second), Quantity: 1, Blind: true, Currency: "USD", Price: 999,
		}},
	})
}

// What does not show at Google yet is not forgotten: the notification comes again.
func TestAVoidThatDoesNotShowYetComesAgain(t *testing.T) {
	five := func(left string) string {
		return edited(t, shopProduct, `"quantity":1,"refundableQuantity":1`, `"quantity":5,"refundableQuantity":`+left)
	}
	for name, c := range map[string]struct {
		about  play.Notification
		change func(*shop)
	}{
		"a product, nothing to be seen":  {play.Notification{Order: shopOrder, ProductType: 2, RefundType: 1}, func(s *shop) { s.sells(shopProduct) }},
		"a product, order not refunded":  {play.Notification{Order: shopOrder, ProductType: 2, RefundType: 1}, func(s *shop) { s.sells(shopProduct); s.orders[shopOrder] = `{"state":"PENDING_REFUND"` + voidedGems }},
		"a product that is gone":         {play.Notification{Order: shopOrder, ProductType: 2, RefundType: 1}, func(s *shop) { s.products[apiPackage] = apiFails(410, "purchaseTokenNoLongerValid", "No.") }},
		"a promotion, still bought":      {play.Notification{ProductType: 2, RefundType: 1}, func(s *shop) { s.sells(edited(t, shopProduct, `"orderId":"`+shopOrder+`",`, "")) }},
		"a part, none gone":              {play.Notification{Order: shopOrder, ProductType: 2, RefundType: 2}, func(s *shop) { s.sells(five("5")) }},
		"the rest, the part before seen": {play.Notification{Order: shopOrder, ProductType: 2, RefundType: 1}, func(s *shop) { s.sells(five("3")); s.orders[shopOrder] = `{"state":"PARTIALLY_REFUNDED"` + voidedGems }},
		"another order":                  {play.Notification{Order: "GPA.9", ProductType: 2, RefundType: 1}, func(s *shop) { s.sells(edited(t, shopProduct, "PURCHASED", "CANCELLED")) }},
		"a subscription that expired":    {play.Notification{Order: apiOrder, ProductType: 1, RefundType: 1}, func(s *shop) { s.sells(edited(t, shopSubscription, "STATE_ACTIVE", "STATE_EXPIRED")) }},
		"an older renewal":               {play.Notification{Order: voidedOld, ProductType: 1, RefundType: 1}, func(s *shop) { s.sells(shopSubscription); s.orders[voidedOld] = `{"state":"PROCESSED"` + voidedSub }},
		"an older renewal, unknown":      {play.Notification{Order: voidedOld, ProductType: 1, RefundType: 1}, func(s *shop) { s.sells(shopSubscription) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			c.change(s)
			c.about.Kind, c.about.Token = play.KindVoided, apiToken
			news, err := s.hear(t, c.about)
			faultIs(t, err, fault.Unavailable)
			newsIs(t, news, purchase.News{})
		})
	}
}

// The list does not say what a row is of. Where its order is unknown too, both are asked.
func TestAVoidOfWhoKnowsWhatIsLookedForInBoth(t *testing.T) {
	s := newShop(t)
	s.sells(shopSubscription)
	n := play.Notification{Kind: play.KindVoided, Token: apiToken, Order: voidedOld, RefundType: 1}
	_, err := s.hear(t, n)
	faultIs(t, err, fault.Unavailable)
	if diff := cmp.Diff([]string{"orders/" + voidedOld + "@" + apiPackage, askedProduct, askedSubscription}, s.asked()[:min(3, len(s.asked()))]); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	_, err = newShop(t).hear(t, n)
	faultIs(t, err, fault.Invalid)
	n.ProductType = play.ProductOneTime
	s.asksAnew()
	_, err = s.hear(t, n)
	if faultIs(t, err, fault.Invalid); !cmp.Equal(s.asked(), []string{askedProduct}) {
		t.Errorf("asked %v, want what was said", s.asked())
	}
}

func TestAVoidedOrderThatCannotBeAskedForComesAgain(t *testing.T) {
	s := newShop(t)
	s.sells(edited(t, shopProduct, "PURCHASED", "CANCELLED"))
	s.orderFault = apiFails(403, "forbidden", "No.")
	for kind := range 3 {
		news, err := s.hear(t, play.Notification{Kind: play.KindVoided, Token: apiToken, Order: shopOrder, ProductType: kind, RefundType: 1})
		if want := []error{fault.Unavailable, fault.Invalid, fault.Unavailable}[kind]; len(news.Sales) > 0 {
			t.Errorf("kind %d: got %+v, want none", kind, news)
		} else {
			faultIs(t, err, want)
		}
	}
}
