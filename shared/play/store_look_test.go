package play_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/play"
	"grantline/shared/purchase"
)

const (
	askedProduct      = "productsv2@" + apiPackage
	askedSubscription = "subscriptionsv2@" + apiPackage
	askedSecond       = "productsv2@" + shopSecond
	askedOther        = "subscriptionsv2@" + shopSecond
)

// What the app says it bought says where to look first, and decides nothing.
func TestATokenIsFoundWhereverItIs(t *testing.T) {
	order := "orders/" + shopOrder + "@"
	for _, c := range []struct {
		name, sku string
		change    func(*shop)
		asked     []string
		kind      string
	}{
		{"a product, said to be one", "gems_100", func(s *shop) { s.sells(shopProduct) }, []string{askedProduct, order + apiPackage}, "product@" + apiPackage},
		{"a product, nothing said", "", func(s *shop) { s.sells(shopProduct) }, []string{askedProduct, order + apiPackage}, "product@" + apiPackage},
		{"a product, said to be a subscription", "premium", func(s *shop) { s.sells(shopProduct) }, []string{askedSubscription, askedProduct, order + apiPackage}, "product@" + apiPackage},
		{"a product, said to be a plan", "premium:monthly", func(s *shop) { s.sells(shopProduct) }, []string{askedSubscription, askedProduct, order + apiPackage}, "product@" + apiPackage},
		{"a product that nobody listed", "unlisted", func(s *shop) { s.sells(shopProduct) }, []string{askedSubscription, askedProduct, order + apiPackage}, "product@" + apiPackage},
		{"a subscription, said to be one", "premium", func(s *shop) { s.sells(shopSubscription) }, []string{askedSubscription, "orders/" + apiOrder + "@" + apiPackage}, "subscription@" + apiPackage},
		{"a subscription, said to be a product", "gems_100", func(s *shop) { s.sells(shopSubscription) }, []string{askedProduct, askedSubscription, "orders/" + apiOrder + "@" + apiPackage}, "subscription@" + apiPackage},
		{
			"of the second app", "gems_100", func(s *shop) { s.products[shopSecond] = apiSays(shopProduct) },
			[]string{askedProduct, askedSubscription, askedSecond, order + shopSecond},
			"product@" + shopSecond,
		},
		{
			"a subscription of the second app", "premium", func(s *shop) { s.subscriptions[shopSecond] = apiSays(shopSubscription) },
			[]string{askedSubscription, askedProduct, askedOther, "orders/" + apiOrder + "@" + shopSecond},
			"subscription@" + shopSecond,
		},
		{"not known at first", "gems_100", func(s *shop) {
			s.products[apiPackage] = apiFails(404, "purchaseTokenNotFound", "Not found.")
			s.sells(shopSubscription)
		}, []string{askedProduct, askedSubscription, "orders/" + apiOrder + "@" + apiPackage}, "subscription@" + apiPackage},
		{"gone at first", "gems_100", func(s *shop) {
			s.products[apiPackage] = apiFails(410, "purchaseTokenNoLongerValid", "Gone.")
			s.sells(shopSubscription)
		}, []string{askedProduct, askedSubscription, "orders/" + apiOrder + "@" + apiPackage}, "subscription@" + apiPackage},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t, twoPackages)
			c.change(s)
			news, err := s.look(t, c.sku)
			if err != nil || len(news.Sales) != 1 {
				t.Fatalf("got %+v, %v, want a sale", news, err)
			}
			if diff := cmp.Diff(c.asked, s.asked()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if news.Token.Kind != c.kind || news.Sales[0].App != strings.SplitAfter(c.kind, "@")[1] {
				t.Errorf("got %s of %s, want %s", news.Token.Kind, news.Sales[0].App, c.kind)
			}
			if sku := news.Sales[0].SKU; sku != "gems_100" && sku != "premium:monthly" {
				t.Errorf("got %s, want what Google says", sku)
			}
		})
	}
}

// An error of one place is one of the whole only where no other could know better.
func TestWhatNoPlaceKnowsIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*shop)
		want   error
		asked  int
	}{
		"400 everywhere":     {func(*shop) {}, fault.Invalid, 4},
		"another app's":      {func(s *shop) { s.products[apiPackage] = apiFails(400, "purchaseTokenDoesNotMatchPackageName", "No.") }, fault.Invalid, 4},
		"404 first":          {func(s *shop) { s.products[apiPackage] = apiFails(404, "notFound", "No.") }, fault.NotFound, 4},
		"404 last":           {func(s *shop) { s.subscriptions[shopSecond] = apiFails(404, "notFound", "No.") }, fault.NotFound, 4},
		"410 first":          {func(s *shop) { s.products[apiPackage] = apiFails(410, "purchaseTokenNoLongerValid", "No.") }, fault.NotFound, 4},
		"410 between":        {func(s *shop) { s.products[shopSecond] = apiFails(410, "subscriptionPurchaseNoLongerAvailable", "No.") }, fault.NotFound, 4},
		"401":                {func(s *shop) { s.products[apiPackage] = apiFails(401, "permissionDenied", "No.") }, fault.Unavailable, 1},
		"403":                {func(s *shop) { s.products[apiPackage] = apiFails(403, "projectNotLinked", "No.") }, fault.Unavailable, 1},
		"403 of nobody":      {func(s *shop) { s.products[apiPackage] = apiTurn{status: 403, body: "no"} }, fault.Unavailable, 1},
		"a day's quota":      {func(s *shop) { s.products[apiPackage] = apiFails(403, "dailyLimitExceeded", "No.") }, fault.Unavailable, 1},
		"404 of a page":      {func(s *shop) { s.products[apiPackage] = apiTurn{status: 404, body: "<html>"} }, fault.Unavailable, 1},
		"404 of the package": {func(s *shop) { s.products[apiPackage] = apiFails(404, "applicationNotFound", "No.") }, fault.Unavailable, 1},
		"garbage":            {func(s *shop) { s.products[apiPackage] = apiSays("<html>") }, fault.Unavailable, 1},
		"an empty object":    {func(s *shop) { s.products[apiPackage] = apiSays("{}") }, fault.Unavailable, 1},
		"429":                {func(s *shop) { s.products[apiPackage] = apiFails(429, "rateLimitExceeded", "No.") }, fault.Unavailable, 3},
		"409":                {func(s *shop) { s.products[apiPackage] = apiFails(409, "concurrentUpdate", "No.") }, fault.Unavailable, 3},
		"500":                {func(s *shop) { s.products[apiPackage] = apiFails(500, "backendError", "No.") }, fault.Unavailable, 3},
		"silence":            {func(s *shop) { s.products[apiPackage] = apiTurn{how: "reset"} }, fault.Unavailable, 0},
		"404, then 403": {func(s *shop) {
			s.products[apiPackage], s.subscriptions[apiPackage] = apiFails(404, "notFound", "No."), apiFails(403, "forbidden", "No.")
		}, fault.Unavailable, 2},
		"400, then a new state": {func(s *shop) { s.sells(strings.Replace(shopSubscription, "STATE_ACTIVE", "STATE_NEW", 1)) }, fault.Unavailable, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, twoPackages)
			c.change(s)
			news, err := s.look(t, "gems_100")
			faultIs(t, err, c.want)
			newsIs(t, news, purchase.News{})
			for _, asked := range s.asked() {
				if c.asked < 4 && strings.HasSuffix(asked, shopSecond) {
					t.Errorf("asked %s, want nobody after an answer that is none", asked)
				}
			}
			if got := len(s.asked()); c.asked > 0 && got != c.asked {
				t.Errorf("asked %v, want %d requests", s.asked(), c.asked)
			}
		})
	}
}

func TestWhatCannotBeATokenIsAskedNowhere(t *testing.T) {
	for name, token := range map[string]string{
		"empty": "", "a step": ".", "a step up": "..", "with a space": "a b", "with a line": "a\nb", "not ASCII": "tökén", "too long": strings.Repeat("a", 4097),
	} {
		s := newShop(t)
		s.sells(shopProduct)
		news, err := s.store.Look(t.Context(), purchase.Proof{Store: play.Name, Evidence: token})
		if faultIs(t, err, fault.Malformed); len(s.asked()) > 0 || len(news.Sales) > 0 || fault.Code(err) != "invalid_purchase" {
			t.Errorf("%s: got %+v, %v, asked %v, want nothing and invalid_purchase", name, news, err, s.asked())
		}
	}
}

// A token may hold what means something in an address.
func TestATokenIsAskedForAsItIs(t *testing.T) {
	for _, token := range []string{"a/b", "a?b=c", "a#b", "a%2Fb", "../a", strings.Repeat("a", 4096)} {
		s := newShop(t)
		s.sells(shopProduct)
		news, err := s.store.Look(t.Context(), purchase.Proof{Store: play.Name, Evidence: token, SKU: "gems_100"})
		if err != nil || news.Token.Secret != token || news.Sales[0].Line != play.TokenID(token) || s.asked()[0] != askedProduct {
			t.Errorf("%.20s: got %+v, %v, asked %v, want the token in one piece", token, news.Token, err, s.asked())
		}
	}
}

// What was paid is told by the order, and a look does not fail for it.
func TestALookDoesNotNeedTheOrder(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*shop)
		differs func(*purchase.News)
	}{
		"known": {func(s *shop) {
			s.orders[shopOrder] = `{"state":"PROCESSED","createTime":"2026-11-22T05:58:00Z","lineItems":[{"productId":"gems_100","total":{"currencyCode":"KRW","units":"4900"}}]}`
		}, func(n *purchase.News) { n.Sales[0].Price, n.Sales[0].Currency = 4900, "KRW" }},
		"refunded without a word": {func(s *shop) { s.orders[shopOrder] = `{"state":"REFUNDED"}` }, func(n *purchase.News) { n.Sales[0].State = purchase.Refunded }},
		"of another product": {func(s *shop) {
			s.orders[shopOrder] = `{"state":"PROCESSED","lineItems":[null,{"productId":"other","total":{"currencyCode":"KRW","units":"4900"}}]}`
		}, func(*purchase.News) {}},
		"unknown":     {func(*shop) {}, func(*purchase.News) {}},
		"unavailable": {func(s *shop) { s.orderFault = apiFails(403, "forbidden", "No.") }, func(*purchase.News) {}},
		"garbage":     {func(s *shop) { s.orderFault = apiSays("{}") }, func(*purchase.News) {}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.sells(shopProduct)
			c.change(s)
			want := productSaid()
			c.differs(&want)
			got, err := s.look(t, "gems_100")
			if err != nil {
				t.Fatalf("error %v, want none", err)
			}
			newsIs(t, got, want)
		})
	}
}

// An order says when a renewal was paid, which the purchase does not.
func TestTheOrderSaysWhenARenewalWasPaid(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-11-22T05:00:01.5Z": time.Date(2026, 11, 22, 5, 0, 1, 5e8, time.UTC), "yesterday": {}, "": {},
	} {
		s := newShop(t)
		s.sells(shopSubscription)
		s.orders[apiOrder] = `{"state":"PROCESSED","createTime":"` + text + `"}`
		got, err := s.look(t, "premium")
		if err != nil || !got.Sales[0].PurchasedAt.Equal(want) {
			t.Errorf("%q: got %v, %v, want %v", text, got.Sales, err, want)
		}
	}
}

func TestAPromotionHasNoOrderToAskFor(t *testing.T) {
	s := newShop(t)
	s.sells(edited(t, shopProduct, `"orderId":"`+shopOrder+`",`, ""))
	if _, err := s.look(t, "gems_100"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{askedProduct}, s.asked()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// What the app says it bought comes first, by its product or by its plan.
func TestWhatWasAskedForComesFirst(t *testing.T) {
	for _, sku := range []string{"premium", "premium:monthly"} {
		s := newShop(t)
		s.sells(edited(t, shopSubscription, shopItem, item("sport", "2027-01-01T00:00:00Z", "GPA.2..1", shopRenewing)+","+shopItem))
		news, err := s.look(t, sku)
		if diff := cmp.Diff([]string{apiOrder + "/premium/paid", "GPA.2..1/sport/paid"}, orderIDs(news.Sales)); err != nil || diff != "" {
			t.Errorf("%s: error %v, sales (-want +got):\n%s", sku, err, diff)
		}
	}
}
