package play_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/play"
	"grantline/infra/sim/stage"
)

func TestQuotaIsByBucketAndMinute(t *testing.T) {
	p := newShop(t, play.Options{})
	p.must(p.Set(play.Settings{PerMinute: ptr(3)}))
	bought := p.buy(play.Purchase{ProductID: "gems_100"})
	ask := func() error {
		_, err := p.api.Purchases.Productsv2.Getproductpurchasev2(play.Package, bought.PurchaseToken).Do()
		return err
	}
	for range 3 {
		p.must(ask())
	}
	p.refused("the fourth", ask(), 429, "rateLimitExceeded")
	p.order(bought.OrderID) // another bucket
	p.clock.Advance(time.Minute)
	p.must(ask())
	p.must(p.Set(play.Settings{PerMinute: ptr(0)}))
	for range 10 {
		p.must(ask())
	}
}

func TestVoidedListHasLimitsOfItsOwn(t *testing.T) {
	p := newShop(t, play.Options{})
	list := func() error {
		_, err := p.api.Purchases.Voidedpurchases.List(play.Package).Do()
		return err
	}
	for range 30 {
		p.must(list())
	}
	p.refused("the 31st", list(), 429, "rateLimitExceeded")
	p.advance(30 * time.Second)
	p.must(list())
}

func TestReasonsOfGooglesCanBeScripted(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.buy(play.Purchase{ProductID: "gems_100"})
	ask := func() error {
		_, err := p.api.Purchases.Productsv2.Getproductpurchasev2(play.Package, bought.PurchaseToken).Do()
		return err
	}
	for reason, status := range map[string]int{
		"userInsufficientPermission": 403, "projectNotLinked": 403, "accessNotConfigured": 403, "permissionDenied": 401, "authError": 401,
		"purchaseTokenNotFound": 404, "notFound": 404, "concurrentUpdate": 409, "purchaseTokenNoLongerValid": 410, "rateLimitExceeded": 429,
		"quotaExceeded": 403, "dailyLimitExceeded": 403, "backendError": 500, "backendUnavailable": 503, "invalid": 400,
	} {
		p.must(p.Fail(play.Failure{Reason: reason}))
		p.refused(reason, ask(), status, reason)
	}
	p.must(ask())
	p.must(p.Fail(play.Failure{Reason: "newReason", Status: 418, Endpoint: play.Product, ID: bought.PurchaseToken}))
	p.order(bought.OrderID)
	p.refused("one that nobody knows", ask(), 418, "newReason")
	p.must(p.RateLimit(play.Busy{Status: 403, RetryAfter: stage.Duration(2 * time.Second)}))
	p.refused("busy", ask(), 403, "rateLimitExceeded")
	p.must(p.RateLimit(play.Busy{RetryAfter: stage.Duration(2 * time.Second)}))
	_, granted := p.grant(nil)
	status, text, header := p.ask("GET", "/androidpublisher/v3/applications/"+play.Package+"/oneTimeProducts", "Bearer "+granted["access_token"].(string), "")
	if status != 429 || header.Get("Retry-After") != "2" || !strings.Contains(text, `"status":"RESOURCE_EXHAUSTED"`) {
		t.Errorf("busy: got %d %q %s, want 429 after 2 seconds", status, header.Get("Retry-After"), text)
	}
	for what, err := range map[string]error{
		"no reason":   p.Fail(play.Failure{}),
		"no status":   p.Fail(play.Failure{Reason: "x"}),
		"status":      p.Fail(play.Failure{Reason: "x", Status: 200}),
		"endpoint":    p.Fail(play.Failure{Reason: "notFound", Endpoint: "x"}),
		"busy status": p.RateLimit(play.Busy{Status: 500}),
		"busy where":  p.RateLimit(play.Busy{Endpoint: "x"}),
		"garble how":  p.Spoil(play.Garble{How: "x"}),
		"garble":      p.Spoil(play.Garble{How: "empty", Endpoint: "x"}),
		"push":        p.Set(play.Settings{Push: "x"}),
		"quota":       p.Set(play.Settings{PerMinute: ptr(-1)}),
		"lag":         p.Set(play.Settings{RenewLag: ptr(stage.Duration(-1))}),
		"drop":        p.ScriptWebhook(stage.Fate{How: "x"}),
	} {
		if err == nil {
			t.Errorf("%s: got it set, want it refused", what)
		}
	}
}

func TestAnswersCanBeSpoiled(t *testing.T) {
	p := newShop(t, play.Options{})
	_, granted := p.grant(nil)
	token := p.buy(play.Purchase{ProductID: "gems_100"}).PurchaseToken
	path := "/androidpublisher/v3/applications/" + play.Package + "/purchases/productsv2/tokens/" + token
	for how, fits := range map[string]func(string) bool{
		"empty":     func(s string) bool { return s == "{}" },
		"html":      func(s string) bool { return strings.HasPrefix(s, "<!DOCTYPE") },
		"truncated": func(s string) bool { return strings.HasPrefix(s, "{") && !strings.HasSuffix(s, "}") },
		"huge":      func(s string) bool { return len(s) > 2<<20 },
		"nothing":   func(s string) bool { return s == "" },
	} {
		p.must(p.Spoil(play.Garble{How: how, ID: token}))
		if status, text, _ := p.ask("GET", path, "Bearer "+granted["access_token"].(string), ""); status != 200 || !fits(text) {
			t.Errorf("%s: got %d %.40s, want 200 and that", how, status, text)
		}
	}
	p.product(token)
}

func TestUnkindCallsGoWrongOfThemselvesBeforeAndAfterTheEffect(t *testing.T) {
	p := newShop(t, play.Options{Seed: 7, HangLimit: time.Millisecond})
	var before, after int
	for range 60 {
		token := p.buy(play.Purchase{ProductID: "gems_100"}).PurchaseToken
		p.product(token)
		p.must(p.SetUnkind(60))
		failed := p.consume("gems_100", token) != nil
		p.must(p.SetUnkind(0))
		consumed := p.product(token).ProductLineItem[0].ProductOfferDetails.ConsumptionState == "CONSUMPTION_STATE_CONSUMED"
		switch {
		case failed && consumed:
			after++
		case failed:
			before++
		case !consumed:
			t.Fatal("got it consumed without an effect")
		}
	}
	if before == 0 || after == 0 {
		t.Errorf("got %d before and %d after the effect, want some of each", before, after)
	}
}

func TestCatalogueIsListedByPagesWithWhatIsOnSaleAndWhatIsNot(t *testing.T) {
	p := newShop(t, play.Options{})
	p.must(p.Stock(play.Goods{ProductID: "gems_100", State: "INACTIVE", Price: 1500}))
	p.must(p.Stock(play.Goods{ProductID: "gems_500", Kind: "oneTime", Price: 4900, Currency: "USD"}))
	p.must(p.Stock(play.Goods{ProductID: "premium:daily", Period: "P1D", Price: 500, State: "DRAFT"}))
	states := map[string]string{}
	prices := map[string]int64{}
	for page := ""; ; {
		got, err := p.api.Monetization.Onetimeproducts.List(play.Package).PageSize(2).PageToken(page).Do()
		p.must(err)
		if len(got.OneTimeProducts) > 2 {
			t.Errorf("got %d on a page, want 2", len(got.OneTimeProducts))
		}
		for _, product := range got.OneTimeProducts {
			for _, o := range product.PurchaseOptions {
				states[product.ProductId+":"+o.PurchaseOptionId] = o.State
				prices[product.ProductId+":"+o.PurchaseOptionId] = o.RegionalPricingAndAvailabilityConfigs[0].Price.Units
				if (o.RentOption != nil) != (o.PurchaseOptionId == "rent") {
					t.Errorf("%s: got rental %+v, want it of film:rent alone", product.ProductId, o.RentOption)
				}
			}
		}
		if page = got.NextPageToken; page == "" {
			break
		}
	}
	if diff := cmp.Diff(map[string]string{
		"gems_100:buy": "INACTIVE", "ad_free:buy": "ACTIVE", "film:rent": "ACTIVE", "film:buy": "ACTIVE", "old_pack:buy": "INACTIVE", "gems_500:buy": "ACTIVE",
	}, states); diff != "" {
		t.Errorf("one-time products differ (-want +got):\n%s", diff)
	}
	if prices["gems_100:buy"] != 1500 || prices["gems_500:buy"] != 49 {
		t.Errorf("prices: got %v, want 1,500 won and 49 dollars", prices)
	}
	got, err := p.api.Monetization.Subscriptions.List(play.Package).Do()
	p.must(err)
	states = map[string]string{}
	for _, product := range got.Subscriptions {
		for _, b := range product.BasePlans {
			kind := "auto"
			switch {
			case b.PrepaidBasePlanType != nil:
				kind = "prepaid " + b.PrepaidBasePlanType.BillingPeriodDuration
			case b.InstallmentsBasePlanType != nil:
				kind = "installments"
			}
			states[product.ProductId+":"+b.BasePlanId] = b.State + " " + kind
		}
	}
	if diff := cmp.Diff(map[string]string{
		"premium:monthly": "ACTIVE auto", "premium:yearly": "ACTIVE auto", "premium:weekly": "ACTIVE auto", "premium:monthly-prepaid": "ACTIVE prepaid P1M",
		"premium:weekly-prepaid": "ACTIVE prepaid P1W", "premium:short-prepaid": "ACTIVE prepaid P3D", "premium:installments": "ACTIVE installments",
		"premium:legacy": "INACTIVE auto", "premium:daily": "DRAFT auto", "basic:monthly": "ACTIVE auto", "extra:monthly": "ACTIVE auto", "retired:monthly": "INACTIVE auto",
	}, states); diff != "" {
		t.Errorf("subscriptions differ (-want +got):\n%s", diff)
	}
	for what, err := range map[string]error{
		"page": func() error {
			_, err := p.api.Monetization.Subscriptions.List(play.Package).PageToken("x").Do()
			return err
		}(),
		"size": func() error {
			_, err := p.api.Monetization.Subscriptions.List(play.Package).PageSize(-1).Do()
			return err
		}(),
	} {
		p.refused(what, err, 400, "invalidValue")
	}
}

func TestCustomersKeepThePriceTheyBoughtAt(t *testing.T) {
	p := newShop(t, play.Options{})
	old := p.owned(play.Purchase{})
	p.must(p.Stock(play.Goods{ProductID: "premium:monthly", Price: 9900, Period: "P2M"}))
	made := p.owned(play.Purchase{})
	p.days(32)
	p.wants("subscription.2")
	p.state("bought before", old.PurchaseToken, "ACTIVE", "2026-05-01")
	p.state("bought after", made.PurchaseToken, "ACTIVE", "2026-05-01")
	if got := p.order(old.OrderID + "..0").LineItems[0].ListingPrice.Units; got != 4900 {
		t.Errorf("listing price: got %d, want 4,900", got)
	}
	p.days(31)
	for id, want := range map[string]int64{old.OrderID + "..0": 4900, made.OrderID + "..0": 9900} {
		if got := p.order(id).Total.Units; got != want {
			t.Errorf("%s: got %d, want %d", id, got, want)
		}
	}
}

func TestControlsWorkByHTTPAsByGo(t *testing.T) {
	p := newShop(t, play.Options{})
	panel := httptest.NewServer(p.Control())
	defer panel.Close()
	response, err := panel.Client().Post(panel.URL+"/buy", "application/x-www-form-urlencoded", strings.NewReader("productId=premium:monthly&account=a1&graceDays=3"))
	p.must(err)
	response.Body.Close()
	if response.StatusCode != 200 {
		t.Errorf("buy: got %d, want 200", response.StatusCode)
	}
	p.wants("subscription.4")
	p.must(p.Fail(play.Failure{Reason: "notFound"}))
	response, err = panel.Client().Post(panel.URL+"/calm", "", nil)
	p.must(err)
	response.Body.Close()
	if _, err := p.api.Monetization.Subscriptions.List(play.Package).Do(); err != nil {
		t.Errorf("calmed: got %v, want an answer", err)
	}
}
