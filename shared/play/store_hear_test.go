package play_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/play"
	"grantline/shared/purchase"
)

// The number of a notification decides nothing: each is looked at, and what is found counts.
func TestEveryNotificationIsLookedAt(t *testing.T) {
	for number := range 30 {
		for state, want := range map[string]purchase.SaleState{"ACTIVE": purchase.Paid, "PENDING_PURCHASE_CANCELED": purchase.Failed, "EXPIRED": purchase.Paid} {
			s := newShop(t)
			s.sells(edited(t, shopSubscription, "STATE_ACTIVE", "STATE_"+state))
			news, err := s.hear(t, play.Notification{Kind: play.KindSubscription, Type: number, Token: apiToken})
			if err != nil || len(news.Sales) != 1 || news.Sales[0].State != want || news.Sales[0].Ended != (state == "EXPIRED") || s.asked()[0] != askedSubscription {
				t.Errorf("subscription %d of one that is %s: got %+v, %v, asked %v", number, state, news, err, s.asked())
			}
		}
		for state, want := range map[string]purchase.SaleState{"PURCHASED": purchase.Paid, "PENDING": purchase.Pending, "CANCELLED": purchase.Refunded} {
			s := newShop(t)
			s.sells(edited(t, shopProduct, "PURCHASED", state))
			news, err := s.hear(t, play.Notification{Kind: play.KindOneTime, Type: number, Token: apiToken})
			if err != nil || len(news.Sales) != 1 || news.Sales[0].State != want || s.asked()[0] != askedProduct {
				t.Errorf("product %d of one that is %s: got %+v, %v, asked %v", number, state, news, err, s.asked())
			}
		}
	}
}

func TestWhatIsHeardIsWhatALookWouldFind(t *testing.T) {
	s := newShop(t)
	s.sells(shopProduct)
	s.orders[shopOrder] = `{"state":"PROCESSED","lineItems":[{"productId":"gems_100","total":{"currencyCode":"KRW","units":"4900"}}]}`
	want := productSaid()
	want.Sales[0].Price, want.Sales[0].Currency = 4900, "KRW"
	got, err := s.hear(t, play.Notification{Kind: play.KindOneTime, Type: play.OneTimePurchased, Token: apiToken, SKU: "something_else"})
	if err != nil {
		t.Fatal(err)
	}
	newsIs(t, got, want)
}

// Who is told that something changed is not content with an answer that was asked for before.
func TestANotificationIsNotAnsweredByAnOlderLook(t *testing.T) {
	voided := play.Notification{Kind: play.KindVoided, Order: shopOrder, ProductType: 2, RefundType: 1, Token: apiToken}
	for name, hear := range map[string]func(*shop) (purchase.News, error){
		"subscription": func(s *shop) (purchase.News, error) {
			return s.hear(t, play.Notification{Kind: play.KindSubscription, Type: 20, Token: apiToken})
		},
		"product": func(s *shop) (purchase.News, error) {
			return s.hear(t, play.Notification{Kind: play.KindOneTime, Type: 1, Token: apiToken})
		},
		"voided": func(s *shop) (purchase.News, error) { return s.hear(t, voided) },
		"review": func(s *shop) (purchase.News, error) {
			return s.hear(t, play.Notification{Kind: play.KindReview, Order: shopOrder, PendingRefundToken: shopReview})
		},
		"followed": func(s *shop) (purchase.News, error) {
			news, _, err := s.store.Follow(t.Context(), shopLine("product@"+apiPackage))
			return news, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, reviewing)
			s.orders[shopOrder] = `{"state":"PENDING_REFUND","purchaseToken":"` + apiToken + `","lineItems":[{"productId":"gems_100"}]}`
			s.sells(edited(t, shopProduct, "PURCHASED", "CANCELLED"))
			s.sells(edited(t, shopSubscription, "STATE_ACTIVE", "STATE_EXPIRED"))
			held := false
			s.by(func(asked apiAsked) apiTurn {
				if !held {
					held = true
					return apiTurn{how: "hang"}
				}
				return s.answer(asked)
			})
			looking, leave := context.WithCancel(t.Context())
			left := make(chan error, 1)
			sku := map[bool]string{true: "premium", false: "gems_100"}[name == "subscription"]
			go func() {
				_, err := s.store.Look(looking, purchase.Proof{Evidence: apiToken, SKU: sku})
				left <- err
			}()
			<-s.arrived
			heard, wait := context.WithTimeout(t.Context(), time.Minute)
			defer wait()
			type answer struct {
				news purchase.News
				err  error
			}
			answers := make(chan answer, 1)
			go func() {
				news, err := hear(s)
				answers <- answer{news, err}
			}()
			select {
			case got := <-answers:
				if got.err != nil || len(got.news.Sales) != 1 || got.news.Sales[0].State == purchase.Paid && !got.news.Sales[0].Ended {
					t.Errorf("got %+v, %v, want what is so now", got.news.Sales, got.err)
				}
			case <-heard.Done():
				t.Error("it waits for the older answer")
			}
			leave()
			if err := <-left; err == nil {
				t.Error("the older look ended without an error, want the answer withheld")
			}
		})
	}
}

// What Google does not know, or does not know any more, takes nothing from anybody.
func TestAPurchaseThatIsUnknownIsNoNews(t *testing.T) {
	for status, reason := range map[int]string{404: "purchaseTokenNotFound", 410: "purchaseTokenNoLongerValid"} {
		s := newShop(t)
		s.products[apiPackage], s.subscriptions[apiPackage] = apiFails(status, reason, "No."), apiFails(status, reason, "No.")
		for _, n := range []play.Notification{{Kind: play.KindSubscription, Type: 13, Token: apiToken}, {Kind: play.KindOneTime, Type: 2, Token: apiToken}} {
			news, err := s.hear(t, n)
			if faultIs(t, err, nil); err != nil || !cmp.Equal(news, purchase.News{}) {
				t.Errorf("%d: got %+v, %v, want no news", status, news, err)
			}
		}
	}
}

// A purchase that Google tells of just before it shows it is not passed over, and one that it
// does not show for an hour is no purchase.
func TestAPurchaseThatDoesNotShowYetIsLookedAtAgain(t *testing.T) {
	for _, kind := range []play.Kind{play.KindSubscription, play.KindOneTime} {
		s := newShop(t)
		s.products[apiPackage], s.subscriptions[apiPackage] = apiFails(404, "purchaseTokenNotFound", "No."), apiFails(404, "purchaseTokenNotFound", "No.")
		told := play.Notification{Kind: kind, Type: 4, Token: apiToken, At: s.clock.Now()}
		for _, wait := range []time.Duration{0, 30 * time.Minute, 29 * time.Minute} {
			s.clock.move(wait)
			_, err := s.hear(t, told)
			faultIs(t, err, fault.Unavailable)
		}
		s.products[apiPackage], s.subscriptions[apiPackage] = apiSays(shopProduct), apiSays(shopSubscription)
		if news, err := s.hear(t, told); err != nil || len(news.Sales) != 1 {
			t.Errorf("%v shown after 59 minutes: got %+v, %v, want its sale", kind, news, err)
		}
		s.products[apiPackage], s.subscriptions[apiPackage] = apiFails(404, "purchaseTokenNotFound", "No."), apiFails(404, "purchaseTokenNotFound", "No.")
		s.clock.move(time.Minute)
		if news, err := s.hear(t, told); err != nil || len(news.Sales) > 0 {
			t.Errorf("%v not shown for an hour: got %+v, %v, want no news", kind, news, err)
		}
		s.products[apiPackage], s.subscriptions[apiPackage] = apiFails(410, "purchaseTokenNoLongerValid", "No."), apiFails(410, "subscriptionPurchaseNoLongerAvailable", "No.")
		told.At = s.clock.Now()
		if news, err := s.hear(t, told); err != nil || len(news.Sales) > 0 {
			t.Errorf("%v that is gone: got %+v, %v, want no news at once", kind, news, err)
		}
	}
}

func TestAnOutageKeepsANotification(t *testing.T) {
	for name, turn := range map[string]apiTurn{
		"401": apiFails(401, "permissionDenied", "No."), "403": apiFails(403, "forbidden", "No."), "429": apiFails(429, "rateLimitExceeded", "No."),
		"500": apiFails(500, "backendError", "No."), "garbage": apiSays("<html>"), "an empty object": apiSays("{}"), "silence": {how: "reset"},
	} {
		s := newShop(t, reviewing)
		s.products[apiPackage], s.subscriptions[apiPackage], s.orderFault = turn, turn, turn
		if turn.how != "" {
			s.by(func(apiAsked) apiTurn { return turn })
		}
		for _, n := range []play.Notification{
			{Kind: play.KindSubscription, Type: 2, Token: apiToken},
			{Kind: play.KindOneTime, Type: 1, Token: apiToken},
			{Kind: play.KindVoided, Token: apiToken, Order: shopOrder, ProductType: 1, RefundType: 1},
			{Kind: play.KindVoided, Token: apiToken, Order: shopOrder, ProductType: 2, RefundType: 1},
			{Kind: play.KindVoided, Token: apiToken, Order: shopOrder},
			{Kind: play.KindReview, Order: shopOrder, PendingRefundToken: shopReview},
		} {
			t.Run(name+" "+n.Name(), func(t *testing.T) {
				news, err := s.hear(t, n)
				faultIs(t, err, fault.Unavailable)
				newsIs(t, news, purchase.News{})
			})
		}
	}
}

func TestWhatIsAboutNoSaleAsksNobody(t *testing.T) {
	for name, n := range map[string]play.Notification{
		"test": {Kind: play.KindTest}, "another app's": {Kind: play.KindSubscription, Type: 4, Token: apiToken, Package: "com.example.others"},
		"another app's void":   {Kind: play.KindVoided, Token: apiToken, Package: "com.example.others"},
		"another app's review": {Kind: play.KindReview, Order: shopOrder, PendingRefundToken: shopReview, Package: "com.example.others"},
		"review, policy off":   {Kind: play.KindReview, Order: shopOrder, PendingRefundToken: shopReview},
	} {
		s := newShop(t, func(c *play.StoreConfig) { c.ReviewRefunds = name == "another app's review" })
		s.sells(shopProduct)
		s.sells(shopSubscription)
		news, err := s.hear(t, n)
		if err != nil || !cmp.Equal(news, purchase.News{}) || len(s.asked()) > 0 {
			t.Errorf("%s: got %+v, %v, asked %v, want nothing", name, news, err, s.asked())
		}
		if got, want := s.alarms(), map[bool]int{true: 1}[name == "review, policy off"]; got != want {
			t.Errorf("%s: got %d alarms, want %d", name, got, want)
		}
	}
}

func TestASecondAppIsHeardToo(t *testing.T) {
	s := newShop(t, twoPackages)
	s.subscriptions[shopSecond] = apiSays(shopSubscription)
	news, err := s.hear(t, play.Notification{Kind: play.KindSubscription, Type: 4, Token: apiToken, Package: shopSecond})
	if err != nil || len(news.Sales) != 1 || news.Sales[0].App != shopSecond || news.Token.Kind != "subscription@"+shopSecond {
		t.Errorf("got %+v, %v, want a sale of %s", news, err, shopSecond)
	}
}

func TestEvidenceThatIsNoneIsNeverBelieved(t *testing.T) {
	for _, evidence := range []string{"", "{}", "no JSON", `{"packageName":"` + apiPackage + `"}`} {
		s := newShop(t)
		news, err := s.store.Hear(t.Context(), evidence)
		if faultIs(t, err, fault.Malformed); len(s.asked()) > 0 || len(news.Sales) > 0 {
			t.Errorf("%q: got %+v, asked %v, want nothing", evidence, news, s.asked())
		}
	}
	s := newShop(t) // knows neither
	_, err := s.hear(t, play.Notification{Kind: play.KindOneTime, Type: 1, Token: apiToken})
	faultIs(t, err, fault.Invalid)
}

// The disputed order is the first sale, so that what became of it is what Google is told.
func TestADisputeIsAboutItsOrder(t *testing.T) {
	const (
		renewal = `,"createTime":"2026-10-22T05:00:00Z","purchaseToken":"` + apiToken + `","lineItems":[{"productId":"premium","total":{"currencyCode":"KRW","units":"4900"},` +
			`"subscriptionDetails":{"basePlanId":"monthly","servicePeriodEndTime":"2026-11-22T05:00:00Z"}}]}`
		bought = `,"createTime":"2026-11-22T05:58:00Z","purchaseToken":"` + apiToken + `","lineItems":[{"productId":"gems_100","total":{"currencyCode":"KRW","units":"4900"},` +
			`"oneTimePurchaseDetails":{"quantity":3}}]}`
		old = "GPA.3372-4150-8203-17209..2"
	)
	paid := func(s *purchase.Sale) { s.Price, s.Currency = 4900, "KRW" }
	orderAlone := func(kind string) purchase.News {
		id := play.TokenID(apiToken)
		return purchase.News{
			Sales: []purchase.Sale{{
				Store: play.Name, App: apiPackage, Line: id, Part: "gems_100", SKU: "gems_100", Order: shopOrder, State: purchase.Paid,
				PurchasedAt: time.Date(2026, 11, 22, 5, 58, 0, 0, time.UTC), AsOf: apiNow, Quantity: 3, Blind: true, Price: 4900, Currency: "KRW",
			}},
			Token: &purchase.Token{ID: id, Secret: apiToken, Kind: kind + "@" + apiPackage},
		}
	}
	for _, c := range []struct {
		name, order string
		change      func(*shop)
		want        func() purchase.News
	}{
		{"a product", shopOrder, func(s *shop) {
			s.orders[shopOrder] = `{"state":"PENDING_REFUND"` + bought
			s.sells(shopProduct)
		}, func() purchase.News {
			n := productSaid()
			paid(&n.Sales[0])
			return n
		}},
		{"the current renewal", apiOrder, func(s *shop) {
			s.orders[apiOrder] = `{"state":"PENDING_REFUND"` + renewal
			s.sells(shopSubscription)
		}, func() purchase.News {
			n := subscriptionSaid()
			paid(&n.Sales[0])
			n.Sales[0].PurchasedAt = time.Date(2026, 10, 22, 5, 0, 0, 0, time.UTC)
			return n
		}},
		{"an older renewal", old, func(s *shop) {
			s.orders[old] = `{"state":"PENDING_REFUND"` + renewal
			s.sells(shopSubscription)
		}, func() purchase.News {
			n := subscriptionSaid()
			was := purchase.Sale{
				Store: play.Name, App: apiPackage, Line: n.Token.ID, Part: "premium", SKU: "premium:monthly", Order: old, State: purchase.Paid,
				PurchasedAt: time.Date(2026, 10, 22, 5, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC),
				AsOf: apiNow, Quantity: 1, Blind: true, Price: 4900, Currency: "KRW",
			}
			n.Sales = append([]purchase.Sale{was}, n.Sales...)
			return n
		}},
		{"a token that is gone", shopOrder, func(s *shop) {
			s.orders[shopOrder] = `{"state":"PARTIALLY_REFUNDED"` + bought
			s.products[apiPackage] = apiFails(410, "purchaseTokenNoLongerValid", "Gone.")
		}, func() purchase.News { return orderAlone("product") }},
		{"a token that is gone, given back", shopOrder, func(s *shop) {
			s.orders[shopOrder] = `{"state":"REFUNDED"` + bought
			s.products[apiPackage] = apiFails(404, "purchaseTokenNotFound", "No.")
		}, func() purchase.News {
			n := orderAlone("product")
			n.Sales[0].State = purchase.Refunded
			return n
		}},
		{"of an absurd quantity", shopOrder, func(s *shop) {
			s.orders[shopOrder] = `{"state":"PROCESSED",` + edited(t, "{"+bought[1:], `"quantity":3`, `"quantity":1000001`)[1:]
			s.products[apiPackage] = apiFails(404, "purchaseTokenNotFound", "No.")
		}, func() purchase.News {
			n := orderAlone("product")
			n.Sales[0].Quantity = 1
			return n
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t, reviewing)
			c.change(s)
			want := c.want()
			want.Usage, want.Case = true, shopReview
			got, err := s.hear(t, play.Notification{Kind: play.KindReview, Order: c.order, PendingRefundToken: shopReview, RefundReason: 7})
			if err != nil {
				t.Fatalf("error %v, want none", err)
			}
			for i := range got.Sales { // the orders are asked for first
				if at := got.Sales[i].AsOf; at.Equal(apiNow) == (got.Sales[i].Account != "") {
					t.Errorf("sale %d is as of %v, want the moment of its asking", i, at)
				}
				got.Sales[i].AsOf = apiNow
			}
			for part := range got.Parts {
				standing(&got, part, func(s *purchase.Standing) { s.AsOf = apiNow })
			}
			if !got.Again.IsZero() {
				got.Again = got.Again.Add(-time.Second)
			}
			newsIs(t, got, want)
		})
	}
}

// An order that Google does not show, or whose money was not taken, grants nothing.
func TestADisputeThatDoesNotShowYetComesAgain(t *testing.T) {
	lineItems := `"purchaseToken":"` + apiToken + `","lineItems":[{"productId":"gems_100"}]}`
	for name, order := range map[string]string{
		"unknown": "", "without a token": `{"state":"PROCESSED","lineItems":[{"productId":"gems_100"}]}`, "of nothing": `{"state":"PROCESSED","purchaseToken":"` + apiToken + `"}`,
		"of no item": `{"state":"PROCESSED","purchaseToken":"` + apiToken + `","lineItems":[null]}`,
		"pending":    `{"state":"PENDING",` + lineItems, "cancelled": `{"state":"CANCELED",` + lineItems, "unspecified": `{"state":"STATE_UNSPECIFIED",` + lineItems, "new": `{"state":"PERHAPS",` + lineItems,
	} {
		s := newShop(t, reviewing)
		s.products[apiPackage] = apiFails(404, "purchaseTokenNotFound", "No.")
		if order != "" {
			s.orders[shopOrder] = order
		}
		news, err := s.hear(t, play.Notification{Kind: play.KindReview, Order: shopOrder, PendingRefundToken: shopReview})
		if !errors.Is(err, fault.Unavailable) || len(news.Sales) > 0 {
			t.Errorf("%s: got %s, %v, want %v", name, fmt.Sprint(orderIDs(news.Sales)), err, fault.Unavailable)
		}
	}
}
