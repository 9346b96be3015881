package play_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/play"
)

func TestAnOfferIsPricedAsTheConsoleSays(t *testing.T) {
	for name, c := range map[string]struct {
		price shelved
		want  string
	}{
		"the list price":        {shelved{"noOverride": shelved{}}, `[{"region":"KR","amount":1100,"currency":"KRW"}]`},
		"a sum less":            {shelved{"absoluteDiscount": won(200)}, `[{"region":"KR","amount":900,"currency":"KRW"}]`},
		"all of it less":        {shelved{"absoluteDiscount": won(1100)}, `[{"region":"KR","amount":0,"currency":"KRW"}]`},
		"more than all":         {shelved{"absoluteDiscount": won(1101)}, `[]`},
		"of another currency":   {shelved{"absoluteDiscount": dollars(1, 0)}, `[]`},
		"a part less":           {shelved{"relativeDiscount": 0.2}, `[{"region":"KR","fraction":0.2}]`},
		"nothing less":          {shelved{"relativeDiscount": 0}, `[]`},
		"everything less":       {shelved{"relativeDiscount": 1}, `[]`},
		"less than nothing":     {shelved{"relativeDiscount": -0.5}, `[]`},
		"in a way that is none": {shelved{}, `[]`},
	} {
		c2 := newConsole(t, []shelved{gems(bought())}, []shelved{discount(c.price)}, nil, nil)
		offers := offersOf(t, c2, "")
		if len(offers) != 1 {
			t.Errorf("%s: got %d offers, want one", name, len(offers))
			continue
		}
		text, _ := json.Marshal(offers[0].Prices)
		same(t, name, string(text), c.want)
	}
}

func TestAPhaseIsPricedAsTheConsoleSays(t *testing.T) {
	for name, c := range map[string]struct {
		duration string
		price    shelved
		want     string
	}{
		"free":                         {"P1W", shelved{"free": shelved{}}, `[{"region":"KR","amount":0,"currency":"KRW"}]`},
		"a price":                      {"P3M", shelved{"price": won(9900)}, `[{"region":"KR","amount":9900,"currency":"KRW"}]`},
		"a sum less, of a period":      {"P1M", shelved{"absoluteDiscount": won(900)}, `[{"region":"KR","amount":4000,"currency":"KRW"}]`},
		"all of it less, of a period":  {"P1M", shelved{"absoluteDiscount": won(4900)}, `[{"region":"KR","amount":0,"currency":"KRW"}]`},
		"more than a period costs":     {"P1M", shelved{"absoluteDiscount": won(4901)}, `[]`},
		"of another currency":          {"P1M", shelved{"absoluteDiscount": dollars(1, 0)}, `[]`},
		"a sum less, of three periods": {"P3M", shelved{"absoluteDiscount": won(900)}, `[{"region":"KR","discount":900,"currency":"KRW"}]`},
		"a part less":                  {"P3M", shelved{"relativeDiscount": 0.25}, `[{"region":"KR","fraction":0.25}]`},
		"everything less":              {"P3M", shelved{"relativeDiscount": 1}, `[]`},
		"in a way that is none":        {"P1M", shelved{}, `[]`},
	} {
		offers := offersOf(t, newConsole(t, nil, nil, []shelved{premium(monthly())}, []shelved{trial(phase(c.duration, c.price))}), "")
		if len(offers) != 1 || len(offers[0].Phases) != 1 {
			t.Errorf("%s: got %+v, want one offer of one phase", name, offers)
			continue
		}
		text, _ := json.Marshal(offers[0].Phases[0].Prices)
		same(t, name, string(text), c.want)
	}
}

func TestWhatIsFreeOfAPriceThatCannotBeToldIsShownWithoutOne(t *testing.T) {
	plan := monthly().with("regionalConfigs", []shelved{{"regionCode": "KR", "newSubscriberAvailability": true}})
	for _, price := range []shelved{{"free": shelved{}}, {"absoluteDiscount": won(100)}} {
		got := offersOf(t, newConsole(t, nil, nil, []shelved{premium(plan)}, []shelved{trial(phase("P1M", price))}), "")
		if len(got) != 1 || len(got[0].Phases) != 1 || len(got[0].Phases[0].Prices) != 0 {
			t.Errorf("got %+v, want a phase without prices", got)
		}
	}
	option := bought().with("regionalPricingAndAvailabilityConfigs", []shelved{{"regionCode": "KR", "availability": "AVAILABLE"}})
	for _, price := range []shelved{{"noOverride": shelved{}}, {"absoluteDiscount": won(100)}} {
		got := offersOf(t, newConsole(t, []shelved{gems(option)}, []shelved{discount(price)}, nil, nil), "")
		if len(got) != 1 || len(got[0].Prices) != 0 {
			t.Errorf("got %+v, want an offer without prices", got)
		}
	}
}

func TestAnOfferIsShownWhereItIsSoldAlone(t *testing.T) {
	free := phase("P1W", shelved{"free": shelved{}})
	for name, c := range map[string]struct {
		once, periodic shelved
		want           int
	}{
		"there":                   {discount(shelved{"noOverride": shelved{}}), trial(free), 1},
		"no longer":               {discount(shelved{}).with("regionalPricingAndAvailabilityConfigs", []shelved{{"regionCode": "KR", "availability": "NO_LONGER_AVAILABLE"}}), trial(free).with("regionalConfigs", []shelved{{"regionCode": "KR"}}), 0},
		"where the product isn't": {discount(shelved{}).with("regionalPricingAndAvailabilityConfigs", []shelved{{"regionCode": "JP", "availability": "AVAILABLE"}}), trial(free).with("regionalConfigs", []shelved{{"regionCode": "JP", "newSubscriberAvailability": true}}), 0},
		"of another product":      {discount(shelved{}).with("productId", "gems_500"), trial(free).with("productId", "premium_plus"), 0},
		"of another option":       {discount(shelved{}).with("purchaseOptionId", "rent"), trial(free).with("basePlanId", "yearly"), 0},
	} {
		if got := offersOf(t, newConsole(t, []shelved{gems(bought())}, []shelved{c.once}, nil, nil), ""); len(got) != c.want {
			t.Errorf("%s: got %+v of a one-time product, want %d", name, got, c.want)
		}
		got := offersOf(t, newConsole(t, nil, nil, []shelved{premium(monthly())}, []shelved{c.periodic}), "")
		if len(got) != c.want {
			t.Errorf("%s: got %+v of a subscription, want %d", name, got, c.want)
		}
	}
	// What is closed is not opened by an offer.
	closed := bought().with("regionalPricingAndAvailabilityConfigs", []shelved{{"regionCode": "KR", "availability": "NO_LONGER_AVAILABLE", "price": won(1100)}})
	same(t, "closed", newConsole(t, []shelved{gems(closed)}, []shelved{discount(shelved{"noOverride": shelved{}})}, nil, nil).sells(""), `[]`)
	both := discount(shelved{}).with("regionalPricingAndAvailabilityConfigs", []shelved{
		{"regionCode": "US", "availability": "AVAILABLE", "noOverride": shelved{}}, {"regionCode": "KR", "availability": "AVAILABLE", "noOverride": shelved{}},
	})
	if got := offersOf(t, newConsole(t, []shelved{gems(bought())}, []shelved{both}, nil, nil), ""); len(got) != 1 || len(got[0].Prices) != 2 || got[0].Prices[0].Region != "KR" {
		t.Errorf("got %+v, want prices by region", got)
	}
	// A phase has no prices where the offer is not sold.
	wide := phase("P1W", shelved{"free": shelved{}}).with("regionalConfigs", []shelved{{"regionCode": "US", "free": shelved{}}, {"regionCode": "KR", "free": shelved{}}})
	got := offersOf(t, newConsole(t, nil, nil, []shelved{premium(monthly())}, []shelved{trial(wide)}), "")
	if len(got) != 1 || len(got[0].Phases[0].Prices) != 1 || got[0].Phases[0].Prices[0].Region != "KR" {
		t.Errorf("got %+v, want prices in Korea alone", got)
	}
}

func TestWhoAnOfferIsForIsTold(t *testing.T) {
	for want, targeting := range map[string]any{
		"": nil, "acquisition": shelved{"acquisitionRule": shelved{"scope": shelved{"thisSubscription": shelved{}}}},
		"upgrade": shelved{"upgradeRule": shelved{"oncePerUser": true}},
	} {
		offer := trial(phase("P1W", shelved{"free": shelved{}})).with("targeting", targeting)
		if got := offersOf(t, newConsole(t, nil, nil, []shelved{premium(monthly())}, []shelved{offer}), ""); len(got) != 1 || got[0].For != want {
			t.Errorf("got %+v, want one for %q", got, want)
		}
	}
}

func TestAnOfferIsShownFromItsBeginningToItsEnd(t *testing.T) {
	at := func(d time.Duration) string { return apiNow.Add(d).Format(time.RFC3339Nano) }
	times := func(starts, ends string) shelved {
		s := shelved{}
		if starts != "" {
			s["startTime"] = starts
		}
		if ends != "" {
			s["endTime"] = ends
		}
		return s
	}
	for name, c := range map[string]struct {
		window shelved
		want   int
	}{
		"always":                {times("", ""), 1},
		"since now":             {times(at(0), ""), 1},
		"in a moment":           {times(at(time.Nanosecond), ""), 0},
		"for another moment":    {times("", at(time.Nanosecond)), 1},
		"until now":             {times("", at(0)), 0},
		"a while ago":           {times(at(-2*time.Hour), at(-time.Hour)), 0},
		"in between":            {times(at(-time.Hour), at(time.Hour)), 1},
		"from an unknown time":  {times("tomorrow", ""), 0},
		"until an unknown time": {times("", "tomorrow"), 0},
	} {
		discounted := discount(shelved{"noOverride": shelved{}}).with("discountedOffer", c.window)
		before := discount(shelved{"noOverride": shelved{}}).with("discountedOffer", nil).with("preOrderOffer", c.window.with("releaseTime", at(48*time.Hour)))
		for kind, offer := range map[play.OfferType]shelved{play.OfferDiscount: discounted, play.OfferPreOrder: before} {
			got := offersOf(t, newConsole(t, []shelved{gems(bought())}, []shelved{offer}, nil, nil), "")
			if len(got) != c.want || c.want == 1 && got[0].Type != kind {
				t.Errorf("%s, %s: got %+v, want %d", kind, name, got, c.want)
			}
			if c.want == 1 && ((got[0].EndsAt != nil) != (c.window["endTime"] != nil) || (got[0].ReleasedAt != nil) != (kind == play.OfferPreOrder)) {
				t.Errorf("%s, %s: got %+v, want its end and its release where they are said", kind, name, got[0])
			}
		}
	}
	// A kept list does not show an offer for longer than it lasts.
	c := newConsole(t, []shelved{gems(bought())}, []shelved{discount(shelved{"noOverride": shelved{}}).with("discountedOffer", times("", at(time.Minute)))}, nil, nil)
	if got := offersOf(t, c, ""); len(got) != 1 {
		t.Errorf("got %+v, want one for another minute", got)
	}
	c.clock.move(time.Minute)
	if got := offersOf(t, c, ""); len(got) != 0 {
		t.Errorf("got %+v after its end, want none", got)
	}
	reward := discount(shelved{"noOverride": shelved{}}).with("discountedOffer", nil)
	for kind, want := range map[string]int{"gameRewardOffer": 1, "anOfferThatIsToCome": 0} {
		got := offersOf(t, newConsole(t, []shelved{gems(bought())}, []shelved{reward.with(kind, shelved{"redemptionLimit": "1"})}, nil, nil), "")
		if len(got) != want || want == 1 && got[0].Type != play.OfferGameReward {
			t.Errorf("%s: got %+v, want %d", kind, got, want)
		}
	}
}

func TestWhatIsOrderedBeforeIsSoldOnceItIsOut(t *testing.T) {
	at := func(d time.Duration) string { return apiNow.Add(d).Format(time.RFC3339) }
	option := bought().with("regionalPricingAndAvailabilityConfigs", []shelved{
		{"regionCode": "KR", "availability": "AVAILABLE_IF_RELEASED", "price": won(1100)},
		{"regionCode": "US", "availability": "AVAILABLE_IF_RELEASED", "price": dollars(1, 0)},
	})
	before := discount(shelved{"absoluteDiscount": won(100)}).with("discountedOffer", nil).
		with("preOrderOffer", shelved{"startTime": at(-time.Hour), "endTime": at(5 * time.Minute), "releaseTime": at(5 * time.Minute)})
	c := newConsole(t, []shelved{gems(option)}, []shelved{before}, nil, nil)
	found, err := c.catalogue.Products(t.Context(), "")
	if err != nil || len(found) != 1 || len(found[0].Options[0].Prices) != 0 || len(found[0].Options[0].Offers) != 1 {
		t.Fatalf("got %+v, %v, want the offer alone", found, err)
	}
	text, _ := json.Marshal(found[0].Options[0].Offers[0].Prices)
	same(t, "before", string(text), `[{"region":"KR","amount":1000,"currency":"KRW"}]`)
	c.clock.move(5 * time.Minute)
	found, err = c.catalogue.Products(t.Context(), "")
	if err != nil || len(found) != 1 || len(found[0].Options[0].Offers) != 0 {
		t.Fatalf("got %+v, %v, want the product without the offer", found, err)
	}
	text, _ = json.Marshal(found[0].Options[0].Prices)
	same(t, "released", string(text), `[{"region":"KR","amount":1100,"currency":"KRW"}]`)
	same(t, "released elsewhere", c.sells("US"), `[]`)
}

func TestWhatIsSoldByOffersAloneIsShownWithThem(t *testing.T) {
	option := bought().with("regionalPricingAndAvailabilityConfigs", []shelved{{"regionCode": "KR", "availability": "AVAILABLE_FOR_OFFERS_ONLY", "price": won(1100)}})
	got := offersOf(t, newConsole(t, []shelved{gems(option)}, []shelved{discount(shelved{"absoluteDiscount": won(100)})}, nil, nil), "KR")
	amount := int64(1000)
	if d := cmp.Diff([]play.Price{{Region: "KR", Amount: &amount, Currency: "KRW"}}, got[0].Prices); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestListsWithHolesAreRead(t *testing.T) {
	option := bought().with("offerTags", []any{nil, shelved{}, shelved{"tag": "a"}})
	option["regionalPricingAndAvailabilityConfigs"] = []any{nil, shelved{"regionCode": "KR", "availability": "AVAILABLE", "price": won(1)}}
	product := gems().with("purchaseOptions", []any{nil, option}).with("listings", []any{nil, shelved{"title": "x"}})
	plan := monthly().with("regionalConfigs", []any{nil, shelved{"regionCode": "KR", "newSubscriberAvailability": true, "price": won(2)}})
	sold := premium().with("basePlans", []any{nil, plan}).with("listings", []any{nil})
	once := discount(shelved{}).with("regionalPricingAndAvailabilityConfigs", []any{nil, shelved{"regionCode": "KR", "availability": "AVAILABLE", "noOverride": shelved{}}})
	periodic := trial().with("regionalConfigs", []any{nil, shelved{"regionCode": "KR", "newSubscriberAvailability": true}}).
		with("phases", []any{nil, shelved{"duration": "P1M", "regionalConfigs": []any{nil, shelved{"regionCode": "KR", "free": shelved{}}}}})
	c := newConsole(t, []shelved{product}, []shelved{once}, []shelved{sold}, []shelved{periodic})
	same(t, "holes", c.sells("KR"), `[
		{"store":"play","packageName":"com.example.app","productId":"gems_100","kind":"one_time","titles":{},"descriptions":{},"options":[
			{"purchaseOptionId":"buy","sku":"gems_100","id":"gems","type":"buy","tags":["a"],"prices":[{"region":"KR","amount":1,"currency":"KRW"}],
			 "offers":[{"offerId":"harvest","type":"discount","tags":["a"],"prices":[{"region":"KR","amount":1,"currency":"KRW"}]}]}]},
		{"store":"play","packageName":"com.example.app","productId":"premium","kind":"subscription","titles":{},"descriptions":{},"options":[
			{"basePlanId":"monthly","sku":"premium:monthly","id":"premium_monthly","type":"auto_renewing","period":"P1M","tags":[],
			 "prices":[{"region":"KR","amount":2,"currency":"KRW"}],
			 "offers":[{"offerId":"trial","type":"subscription","tags":[],"phases":[{"period":"P1M","times":1,"prices":[{"region":"KR","amount":0,"currency":"KRW"}]}]}]}]}]`)
}
