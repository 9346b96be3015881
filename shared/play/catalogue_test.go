package play_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/catalog"
	"grantline/shared/fault"
	"grantline/shared/play"
)

// shelved is JSON of the Console.
type shelved map[string]any

// with is a copy in which a member is another.
func (s shelved) with(name string, value any) shelved {
	next := maps.Clone(s)
	if next[name] = value; value == nil {
		delete(next, name)
	}
	return next
}

func won(units int64) shelved { return shelved{"currencyCode": "KRW", "units": fmt.Sprint(units)} }

func dollars(units, nanos int64) shelved {
	return shelved{"currencyCode": "USD", "units": fmt.Sprint(units), "nanos": nanos}
}

// bought is a purchase option that is for sale in Korea and the States, at 1,100 won and 0.99 dollars.
func bought() shelved {
	return shelved{
		"purchaseOptionId": "buy", "state": "ACTIVE", "buyOption": shelved{"legacyCompatible": true},
		"regionalPricingAndAvailabilityConfigs": []shelved{
			{"regionCode": "US", "availability": "AVAILABLE", "price": dollars(0, 990_000_000)},
			{"regionCode": "KR", "availability": "AVAILABLE", "price": won(1100)},
		},
	}
}

// gems is a one-time product.
func gems(options ...shelved) shelved {
	return shelved{
		"packageName": apiPackage, "productId": "gems_100", "purchaseOptions": options,
		"listings": []shelved{{"languageCode": "en-US", "title": "100 gems", "description": "A hundred."}, {"languageCode": "ko-KR", "title": "보석 100개"}},
	}
}

// monthly is a base plan that is for sale in Korea and the States, at 4,900 won and 3.99 dollars.
func monthly() shelved {
	return shelved{
		"basePlanId": "monthly", "state": "ACTIVE", "autoRenewingBasePlanType": shelved{"billingPeriodDuration": "P1M"},
		"regionalConfigs": []shelved{
			{"regionCode": "US", "newSubscriberAvailability": true, "price": dollars(3, 990_000_000)},
			{"regionCode": "KR", "newSubscriberAvailability": true, "price": won(4900)},
		},
	}
}

func premium(plans ...shelved) shelved {
	return shelved{"packageName": apiPackage, "productId": "premium", "basePlans": plans, "listings": []shelved{{"languageCode": "en-US", "title": "Premium"}}}
}

// discount is an offer to bought in Korea.
func discount(price shelved) shelved {
	return shelved{
		"packageName": apiPackage, "productId": "gems_100", "purchaseOptionId": "buy", "offerId": "harvest", "state": "ACTIVE", "discountedOffer": shelved{},
		"regionalPricingAndAvailabilityConfigs": []shelved{price.with("regionCode", "KR").with("availability", "AVAILABLE")},
	}
}

// trial is an offer to monthly in Korea.
func trial(phases ...shelved) shelved {
	return shelved{
		"packageName": apiPackage, "productId": "premium", "basePlanId": "monthly", "offerId": "trial", "state": "ACTIVE",
		"regionalConfigs": []shelved{{"regionCode": "KR", "newSubscriberAvailability": true}}, "phases": phases,
	}
}

func phase(duration string, price shelved) shelved {
	return shelved{"duration": duration, "recurrenceCount": 1, "regionalConfigs": []shelved{price.with("regionCode", "KR")}}
}

// console is the Play Console of an app, whose lists can fail.
type console struct {
	*google
	catalogue *play.Catalogue

	mu    sync.Mutex
	lists map[string]any // by the path behind the package
	fails map[string]apiTurn
}

const (
	onceList       = "oneTimeProducts"
	onceOffers     = "oneTimeProducts/-/purchaseOptions/-/offers"
	periodicList   = "subscriptions"
	periodicOffers = "subscriptions/-/basePlans/-/offers"
)

// members name the list in an answer.
var members = map[string]string{
	onceList: "oneTimeProducts", onceOffers: "oneTimeProductOffers", periodicList: "subscriptions", periodicOffers: "subscriptionOffers",
}

func newConsole(t *testing.T, once, onceOf, periodic, periodicOf []shelved) *console {
	t.Helper()
	c := &console{google: newGoogle(t), fails: map[string]apiTurn{}}
	c.lists = map[string]any{onceList: once, onceOffers: onceOf, periodicList: periodic, periodicOffers: periodicOf}
	c.by(func(asked apiAsked) apiTurn {
		c.mu.Lock()
		defer c.mu.Unlock()
		path := strings.TrimPrefix(asked.path, apiRoot)
		if turn, ok := c.fails[path]; ok {
			return turn
		}
		member, ok := members[path]
		if !ok {
			t.Errorf("got a request to %s, want one of the lists", asked.path)
		}
		list, err := json.Marshal(c.lists[path])
		if err != nil {
			t.Error(err)
		}
		if string(list) == "null" {
			return apiSays("{}")
		}
		return apiSays(fmt.Sprintf(`{%q:%s}`, member, list))
	})
	c.open(apiPackage)
	return c
}

// open makes a new Catalogue.
func (c *console) open(packages ...string) {
	goods, err := catalog.Parse([]byte(`{"products":[
		{"id":"gems","kind":"consumable","currency":"gems","amount":100,"stores":{"play":"gems_100"}},
		{"id":"premium_monthly","kind":"subscription","entitlement":"premium","stores":{"play":"premium:monthly"}}],"plans":[]}`))
	if err != nil {
		c.t.Fatal(err)
	}
	config := c.config()
	c.catalogue = play.NewCatalogue(play.CatalogueConfig{API: c.api(), Packages: packages, Catalog: goods, Clock: c.clock, Log: config.Log})
}

// set changes a list.
func (c *console) set(list string, to ...shelved) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists[list] = to
}

// fail makes a list fail, or answer again with a zero turn.
func (c *console) fail(turn apiTurn, lists ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, list := range lists {
		if c.fails[list] = turn; turn.status == 0 && turn.how == "" {
			delete(c.fails, list)
		}
	}
}

// sells gives what is sold as it is answered.
func (c *console) sells(region string) string {
	c.t.Helper()
	found, err := c.catalogue.Products(c.t.Context(), region)
	if err != nil {
		c.t.Fatalf("got %v, want what is sold", err)
	}
	text, err := json.Marshal(found)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// same compares JSON.
func same(t *testing.T, about, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%s: %v", about, err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%s: %v in %s", about, err, want)
	}
	if d := cmp.Diff(w, g); d != "" {
		t.Errorf("%s: (-want +got):\n%s", about, d)
	}
}

func TestWhatIsSoldIsShownWithItsPricesOffersAndOurNames(t *testing.T) {
	c := newConsole(t,
		[]shelved{gems(bought()).with("offerTags", []shelved{{"tag": "season"}})},
		[]shelved{discount(shelved{"absoluteDiscount": won(200)}).with("offerTags", []shelved{{"tag": "cheap"}, {"tag": "season"}})},
		[]shelved{premium(monthly().with("offerTags", []shelved{{"tag": "plan"}}))},
		[]shelved{trial(phase("P1W", shelved{"free": shelved{}}), phase("P1M", shelved{"price": won(2900)}))})
	same(t, "all", c.sells(""), `[
		{"store":"play","packageName":"com.example.app","productId":"gems_100","kind":"one_time",
		 "titles":{"en-US":"100 gems","ko-KR":"보석 100개"},"descriptions":{"en-US":"A hundred."},
		 "options":[{"purchaseOptionId":"buy","sku":"gems_100","id":"gems","type":"buy","tags":["season"],
			"prices":[{"region":"KR","amount":1100,"currency":"KRW"},{"region":"US","amount":99,"currency":"USD"}],
			"offers":[{"offerId":"harvest","type":"discount","tags":["cheap","season"],"prices":[{"region":"KR","amount":900,"currency":"KRW"}]}]}]},
		{"store":"play","packageName":"com.example.app","productId":"premium","kind":"subscription","titles":{"en-US":"Premium"},"descriptions":{},
		 "options":[{"basePlanId":"monthly","sku":"premium:monthly","id":"premium_monthly","type":"auto_renewing","period":"P1M","tags":["plan"],
			"prices":[{"region":"KR","amount":4900,"currency":"KRW"},{"region":"US","amount":399,"currency":"USD"}],
			"offers":[{"offerId":"trial","type":"subscription","tags":["plan"],"phases":[
				{"period":"P1W","times":1,"prices":[{"region":"KR","amount":0,"currency":"KRW"}]},
				{"period":"P1M","times":1,"prices":[{"region":"KR","amount":2900,"currency":"KRW"}]}]}]}]}]`)
	want := []string{onceList, periodicList, onceOffers, periodicOffers}
	var got []string
	for _, r := range c.requests() {
		got = append(got, strings.TrimPrefix(r.path, apiRoot))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

func TestOnlyWhatIsActiveIsEverShown(t *testing.T) {
	words := []string{"", "STATE_UNSPECIFIED", "DRAFT", "INACTIVE", "INACTIVE_PUBLISHED", "CANCELLED", "ARCHIVED", "active", "ACTIVE ", "WHATEVER_COMES"}
	for _, word := range words {
		t.Run(word, func(t *testing.T) {
			off := func(s shelved) shelved { return s.with("state", word) }
			c := newConsole(t, []shelved{gems(off(bought()))}, nil, []shelved{premium(off(monthly()))}, nil)
			same(t, "options that are off", c.sells(""), `[]`)
			if got := len(c.requests()); got != 2 {
				t.Errorf("got %d requests, want two, since there is nothing that could have offers", got)
			}

			c = newConsole(t,
				[]shelved{gems(off(bought()).with("purchaseOptionId", "old"), bought())}, []shelved{off(discount(shelved{"noOverride": shelved{}}))},
				[]shelved{premium(monthly(), off(monthly()).with("basePlanId", "old"))}, []shelved{off(trial(phase("P1W", shelved{"free": shelved{}})))})
			text := c.sells("")
			if strings.Contains(text, "old") || strings.Contains(text, "offerId") || strings.Count(text, `"offers":[]`) != 2 || strings.Count(text, "sku") != 2 {
				t.Errorf("got %s, want two options without offers, none of them old", text)
			}
		})
	}
	c := newConsole(t, nil, nil, []shelved{premium(monthly()).with("archived", true)}, nil)
	same(t, "an archived subscription", c.sells(""), `[]`)
}

func TestWhatIsSoldNowhereOrInAWayThatIsNotKnownIsNotShown(t *testing.T) {
	closed := func(word string) shelved {
		return bought().with("regionalPricingAndAvailabilityConfigs", []shelved{{"regionCode": "KR", "availability": word, "price": won(1100)}})
	}
	for name, product := range map[string]shelved{
		"no option":                 gems(),
		"no region":                 gems(bought().with("regionalPricingAndAvailabilityConfigs", nil)),
		"a region without a name":   gems(bought().with("regionalPricingAndAvailabilityConfigs", []shelved{{"availability": "AVAILABLE", "price": won(1)}})),
		"no longer":                 gems(closed("NO_LONGER_AVAILABLE")),
		"unspecified":               gems(closed("AVAILABILITY_UNSPECIFIED")),
		"unsaid":                    gems(closed("")),
		"once it is released":       gems(closed("AVAILABLE_IF_RELEASED")),
		"with offers alone":         gems(closed("AVAILABLE_FOR_OFFERS_ONLY")),
		"in a way that is to come":  gems(closed("AVAILABLE_ON_TUESDAYS")),
		"neither bought nor rented": gems(bought().with("buyOption", nil)),
	} {
		same(t, name, newConsole(t, []shelved{product}, nil, nil, nil).sells(""), `[]`)
	}
	for name, plan := range map[string]shelved{
		"no region":          monthly().with("regionalConfigs", nil),
		"to nobody new":      monthly().with("regionalConfigs", []shelved{{"regionCode": "KR", "price": won(4900)}}),
		"of no type we know": monthly().with("autoRenewingBasePlanType", nil),
	} {
		same(t, name, newConsole(t, nil, nil, []shelved{premium(plan)}, nil).sells(""), `[]`)
	}
}

func TestEveryWayToPayIsTold(t *testing.T) {
	rent := bought().with("buyOption", nil).with("rentOption", shelved{"rentalPeriod": "P7D", "expirationPeriod": "P2D"}).with("purchaseOptionId", "rent")
	many := bought().with("buyOption", shelved{"multiQuantityEnabled": true})
	prepaid := monthly().with("autoRenewingBasePlanType", nil).with("prepaidBasePlanType", shelved{"billingPeriodDuration": "P3D"}).with("basePlanId", "pre")
	year := monthly().with("autoRenewingBasePlanType", nil).with("basePlanId", "year").
		with("installmentsBasePlanType", shelved{"billingPeriodDuration": "P1M", "committedPaymentsCount": 12})
	found, err := newConsole(t, []shelved{gems(many, rent)}, nil, []shelved{premium(monthly(), prepaid, year)}, nil).catalogue.Products(t.Context(), "KR")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range found {
		for _, o := range p.Options {
			got = append(got, fmt.Sprintf("%s %s %s %q %s %s %d %t", o.PurchaseOptionID+o.BasePlanID, o.Type, o.SKU, o.ID, o.Period, o.UseWithin, o.Payments, o.Multiple))
		}
	}
	want := []string{
		`buy buy gems_100 "gems"   0 true`, `rent rent gems_100 "gems" P7D P2D 0 false`,
		`monthly auto_renewing premium:monthly "premium_monthly" P1M  0 false`, `pre prepaid premium:pre "" P3D  0 false`,
		`year installments premium:year "" P1M  12 false`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestAPriceIsAWholeNumberOfSmallestUnitsOrNone(t *testing.T) {
	for name, c := range map[string]struct {
		price shelved
		want  string
	}{
		"won":                       {won(1100), `[{"region":"KR","amount":1100,"currency":"KRW"}]`},
		"nothing":                   {won(0), `[{"region":"KR","amount":0,"currency":"KRW"}]`},
		"cents":                     {dollars(4, 990_000_000), `[{"region":"KR","amount":499,"currency":"USD"}]`},
		"thousandths of a dinar":    {shelved{"currencyCode": "KWD", "units": "1", "nanos": 5_000_000}, `[{"region":"KR","amount":1005,"currency":"KWD"}]`},
		"half a won":                {shelved{"currencyCode": "KRW", "units": "1100", "nanos": 500_000_000}, `[]`},
		"half a cent":               {dollars(4, 995_000_000), `[]`},
		"a nano":                    {dollars(4, 1), `[]`},
		"below nothing":             {won(-1), `[]`},
		"nanos below nothing":       {dollars(0, -990_000_000), `[]`},
		"a currency of the future":  {shelved{"currencyCode": "XYZ", "units": "1"}, `[]`},
		"no currency":               {shelved{"units": "1"}, `[]`},
		"more than there is":        {won(1 << 60), `[]`},
		"no price, where there are": {nil, `[]`},
	} {
		once := bought().with("regionalPricingAndAvailabilityConfigs", []shelved{shelved{"regionCode": "KR", "availability": "AVAILABLE"}.with("price", c.price)})
		plan := monthly().with("regionalConfigs", []shelved{shelved{"regionCode": "KR", "newSubscriberAvailability": true}.with("price", c.price)})
		if c.price == nil {
			once = bought().with("regionalPricingAndAvailabilityConfigs", []shelved{{"regionCode": "KR", "availability": "AVAILABLE"}})
			plan = monthly().with("regionalConfigs", []shelved{{"regionCode": "KR", "newSubscriberAvailability": true}})
		}
		found, err := newConsole(t, []shelved{gems(once)}, nil, []shelved{premium(plan)}, nil).catalogue.Products(t.Context(), "")
		if err != nil || len(found) != 2 {
			t.Fatalf("%s: got %d, %v, want both products, for they are sold", name, len(found), err)
		}
		for _, p := range found {
			text, _ := json.Marshal(p.Options[0].Prices)
			same(t, name+" of "+p.ProductID, string(text), c.want)
		}
	}
}

func TestARegionSeesWhatIsSoldThere(t *testing.T) {
	c := newConsole(t,
		[]shelved{gems(bought())}, []shelved{discount(shelved{"noOverride": shelved{}})},
		[]shelved{premium(monthly())}, []shelved{trial(phase("P1W", shelved{"free": shelved{}}))})
	for region, want := range map[string][3]int{"KR": {2, 3, 2}, "US": {2, 2, 0}, "JP": {0, 0, 0}} { // products, and in them its name, and offers
		text := c.sells(region)
		got := [3]int{strings.Count(text, "packageName"), strings.Count(text, `"region":"`+region+`","amount"`), strings.Count(text, "offerId")}
		if region == "KR" {
			got[1]-- // of the offer to gems
		}
		if got != want || strings.Count(text, `"region"`) != strings.Count(text, `"region":"`+region+`"`) {
			t.Errorf("%s: got %v in %s, want %v and no other region", region, got, text, want)
		}
	}
}

func TestSeveralAppsAreShownEachWithItsName(t *testing.T) {
	c := newConsole(t, []shelved{gems(bought())}, nil, nil, nil)
	second := strings.ReplaceAll(apiRoot, apiPackage, "com.example.a_second")
	inner := c.script
	c.by(func(asked apiAsked) apiTurn {
		asked.path = strings.ReplaceAll(asked.path, second, apiRoot)
		return inner(asked)
	})
	c.open(apiPackage, "com.example.a_second")
	found, err := c.catalogue.Products(t.Context(), "")
	if err != nil || len(found) != 2 || found[0].Package != "com.example.a_second" || found[1].Package != apiPackage {
		t.Errorf("got %+v, %v, want the product of both apps", found, err)
	}
}

func TestAListIsKeptForTenMinutes(t *testing.T) {
	c := newConsole(t, []shelved{gems(bought())}, nil, nil, nil)
	c.sells("")
	asked := len(c.requests())
	c.set(onceList)
	for _, d := range []time.Duration{0, time.Minute, 9*time.Minute - time.Nanosecond} {
		c.clock.move(d)
		if text := c.sells("KR"); !strings.Contains(text, "gems_100") || len(c.requests()) != asked {
			t.Errorf("got %s by %d requests, want what was there by %d", text, len(c.requests()), asked)
		}
	}
	c.clock.move(time.Nanosecond)
	same(t, "ten minutes later", c.sells(""), `[]`)
	c.set(onceList, gems(bought()))
	c.clock.move(-time.Hour) // as on a machine whose clock was wrong
	if text := c.sells(""); !strings.Contains(text, "gems_100") {
		t.Errorf("got %s after the clock was moved back, want a new look", text)
	}
}

func TestAnOldListServesForADayWhileGoogleIsOutOfReach(t *testing.T) {
	for name, turn := range map[string]apiTurn{
		"an outage": apiFails(503, "backendError", "x"), "our configuration": apiFails(403, "forbidden", "x"), "no such package": apiFails(404, "notFound", "x"),
		"a refusal": apiFails(400, "invalid", "x"), "garbage": apiSays("<html>"), "an empty body": apiSays(""), "silence": {how: "reset"},
	} {
		for _, list := range []string{onceList, periodicList} {
			t.Run(name+" of "+list, func(t *testing.T) {
				c := newConsole(t, []shelved{gems(bought())}, nil, []shelved{premium(monthly())}, nil)
				c.fail(turn, list)
				_, err := c.catalogue.Products(t.Context(), "")
				if !errors.Is(err, fault.Unavailable) || fault.Code(err) != "store_unavailable" {
					t.Fatalf("got %v of a first look, want Unavailable", err)
				}
				c.fail(apiTurn{}, list)
				was, read := c.sells(""), c.clock.Now() // the failure is not held against it
				c.fail(turn, list)
				c.set(onceList)
				for _, age := range []time.Duration{10 * time.Minute, 12 * time.Hour, 24*time.Hour - time.Hour} {
					c.clock.move(read.Add(age).Sub(c.clock.Now()))
					same(t, "old", c.sells(""), was)
				}
				asked := len(c.requests())
				same(t, "right after a failure", c.sells(""), was)
				if len(c.requests()) != asked {
					t.Errorf("got %d requests right after a failure, want none", len(c.requests())-asked)
				}
				c.clock.move(time.Minute + time.Second)
				same(t, "a minute after a failure", c.sells(""), was)
				if len(c.requests()) == asked {
					t.Error("got no request a minute after a failure, want a new look")
				}
				c.clock.move(read.Add(24 * time.Hour).Sub(c.clock.Now()))
				if _, err := c.catalogue.Products(t.Context(), ""); !errors.Is(err, fault.Unavailable) {
					t.Errorf("got %v after a day, want Unavailable", err)
				}
				c.fail(apiTurn{}, list)
				if text := c.sells(""); strings.Contains(text, "gems_100") || !strings.Contains(text, "premium") {
					t.Errorf("got %s once Google is back, want what is sold now", text)
				}
			})
		}
	}
}

func TestOffersThatCannotBeReadAreNotSaidToBeNone(t *testing.T) {
	for list, product := range map[string]string{onceOffers: "gems_100", periodicOffers: "premium"} {
		c := newConsole(t,
			[]shelved{gems(bought())}, []shelved{discount(shelved{"noOverride": shelved{}})},
			[]shelved{premium(monthly())}, []shelved{trial(phase("P1W", shelved{"free": shelved{}}))})
		c.fail(apiFails(404, "notFound", "x"), list)
		found, err := c.catalogue.Products(t.Context(), "")
		if err != nil || len(found) != 2 {
			t.Fatalf("%s: got %d, %v, want both products", list, len(found), err)
		}
		for _, p := range found {
			if o := p.Options[0]; (p.ProductID == product) != (o.Offers == nil) || len(o.Prices) != 2 {
				t.Errorf("%s: got %+v of %s, want prices, and offers where they were read", list, o, p.ProductID)
			}
		}
		if text := c.sells(""); strings.Count(text, `"offers"`) != 1 {
			t.Errorf("%s: got %s, want offers of one product", list, text)
		}
		c.fail(apiTurn{}, list)
		c.clock.move(time.Minute)
		whole := c.sells("")
		if strings.Count(whole, `"offers"`) != 2 {
			t.Errorf("%s: got %s a minute later, want the offers", list, whole)
		}
		// What was whole is not replaced by less.
		c.fail(apiFails(503, "backendError", "x"), list)
		c.clock.move(time.Hour)
		same(t, list, c.sells(""), whole)
	}
}

func TestACallerThatLeavesSpoilsNothing(t *testing.T) {
	c := newConsole(t, []shelved{gems(bought())}, nil, nil, nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.catalogue.Products(gone, ""); !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v for a caller that left, want Unavailable", err)
	}
	was := c.sells("")
	c.clock.move(time.Hour)
	c.set(onceList)
	if found, err := c.catalogue.Products(gone, ""); err == nil && len(found) != 1 {
		t.Errorf("got %d, %v for a caller that left, want the old list or none", len(found), err)
	}
	same(t, "the next caller", c.sells(""), `[]`)
	if was == "[]" {
		t.Error("got nothing at first, want a product")
	}

	// One that leaves while Google is asked is no failure of Google's.
	c.clock.move(time.Hour)
	c.set(onceList, gems(bought()))
	c.fail(apiTurn{how: "hang"}, onceList)
	leaving, leave := context.WithCancel(t.Context())
	go func() {
		<-c.arrived
		leave()
	}()
	if found, err := c.catalogue.Products(leaving, ""); err != nil || len(found) != 0 {
		t.Errorf("got %d, %v for a caller that leaves, want the old list", len(found), err)
	}
	c.fail(apiTurn{}, onceList)
	if text := c.sells(""); !strings.Contains(text, "gems_100") {
		t.Errorf("got %s after a caller that left, want a new look", text)
	}
}

func TestCallersAtOnceAskGoogleOnce(t *testing.T) {
	c := newConsole(t, []shelved{gems(bought())}, nil, nil, nil)
	var group sync.WaitGroup
	errs := make(chan error, 20)
	for range cap(errs) {
		group.Go(func() {
			_, err := c.catalogue.Products(t.Context(), "")
			errs <- err
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Errorf("got %v, want what is sold", err)
		}
	}
	if got := len(c.requests()); got != 3 { // no subscription could have offers
		t.Errorf("got %d requests, want three", got)
	}
}

func TestTheCatalogueIsSilentAboutWhatGoogleSays(t *testing.T) {
	c := newConsole(t, []shelved{gems(bought())}, nil, nil, nil)
	c.fail(apiFails(http.StatusBadRequest, "invalid", "SECRET of Google's"), onceList)
	_, err := c.catalogue.Products(t.Context(), "")
	if err == nil || strings.Contains(err.Error(), "SECRET") || strings.Contains(c.log.String(), "SECRET") {
		t.Errorf("got %v and the log %s, want nothing of Google's text", err, c.log)
	}
}

func offersOf(t *testing.T, c *console, region string) []play.Offer {
	t.Helper()
	found, err := c.catalogue.Products(t.Context(), region)
	if err != nil || len(found) != 1 || len(found[0].Options) != 1 {
		t.Fatalf("got %+v, %v, want one option", found, err)
	}
	return slices.Clip(found[0].Options[0].Offers)
}
