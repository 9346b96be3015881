package web_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"grantline/shared/fault"
	"grantline/shared/play"
	"grantline/shared/table"
	"grantline/shared/web"
)

const products = "/v1/products"

// onSale has all that Google Play may sell, in every way that it may say so.
func onSale() []play.Product {
	units := func(n int64) *int64 { return &n }
	ends, out := start.Add(24*time.Hour), start.AddDate(0, 2, 0)
	tags, prices := []string{"season"}, []play.Price{{Region: "KR", Amount: units(1100), Currency: "KRW"}, {Region: "US", Amount: units(0), Currency: "USD"}}
	titles := map[string]string{"en-US": "A thing", "ko-KR": "물건"}
	return []play.Product{
		{
			Store: "play", Package: "com.example.app", ProductID: "gems_100", Kind: play.SoldOnce, Titles: titles, Descriptions: titles,
			Options: []play.Option{
				{PurchaseOptionID: "buy", SKU: "gems_100", ID: "gems_100", Type: play.OptionBuy, Multiple: true, Tags: tags, Prices: prices, Offers: []play.Offer{
					{OfferID: "discount", Type: play.OfferDiscount, EndsAt: &ends, Tags: tags, Prices: []play.Price{{Region: "KR", Fraction: 0.2}}},
					{OfferID: "before", Type: play.OfferPreOrder, EndsAt: &ends, ReleasedAt: &out, Tags: tags, Prices: prices},
					{OfferID: "reward", Type: play.OfferGameReward, Tags: tags, Prices: prices},
				}},
				{PurchaseOptionID: "rent", SKU: "gems_100", Type: play.OptionRent, Period: "P7D", UseWithin: "P2D", Tags: []string{}, Prices: []play.Price{}},
			},
		},
		{
			Store: "play", Package: "com.example.app", ProductID: "premium", Kind: play.SoldPeriodical, Titles: titles, Descriptions: map[string]string{},
			Options: []play.Option{
				{BasePlanID: "monthly", SKU: "premium:monthly", ID: "premium_monthly", Type: play.OptionAutoRenewing, Period: "P1M", Tags: tags, Prices: prices, Offers: []play.Offer{
					{OfferID: "trial", Type: play.OfferSubscription, For: "acquisition", Tags: tags, Phases: []play.Phase{
						{Period: "P1W", Times: 1, Prices: prices}, {Period: "P3M", Times: 2, Prices: []play.Price{{Region: "KR", Discount: units(2000), Currency: "KRW"}}},
					}},
					{OfferID: "up", Type: play.OfferSubscription, For: "upgrade", Tags: tags, Phases: []play.Phase{{Period: "P1M", Times: 1, Prices: prices}}},
				}},
				{BasePlanID: "pre", SKU: "premium:pre", Type: play.OptionPrepaid, Period: "P1M", Tags: tags, Prices: prices, Offers: []play.Offer{}},
				{BasePlanID: "year", SKU: "premium:year", Type: play.OptionInstallments, Period: "P1M", Payments: 12, Tags: tags, Prices: prices, Offers: []play.Offer{}},
			},
		},
	}
}

// counter sells what it is told to, and notes who asked for which region.
type counter struct {
	sells   []play.Product
	err     error
	regions []string
}

func (c *counter) Products(_ context.Context, region string) ([]play.Product, error) {
	c.regions = append(c.regions, region)
	return c.sells, c.err
}

func TestWhoMayAskAtAllIsToldWhatIsSold(t *testing.T) {
	w := newWorld(t)
	for name, h := range map[string]header{
		"an app": app(""), "an app that names a customer": app("minji"), "a user": w.user("minji"), "a server": server(""),
	} {
		a := w.expect(200, "", "GET", products, h, "", "store=play")
		list, _ := a.body["products"].([]any)
		if len(list) != 2 || len(a.body) != 1 {
			t.Errorf("%s: got %s, want products, two of them", name, a.text)
		}
		if got := a.header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("%s: got Access-Control-Allow-Origin %q, want *", name, got)
		}
	}
	strangers := 0
	for name, h := range credentials() {
		if w.ask("GET", "/v1/orders/appsintoss_none", h, "").status != 401 {
			continue
		}
		strangers++
		if a := w.ask("GET", products, h, "", "store=play"); a.status != 401 {
			t.Errorf("%s: got %d, want 401", name, a.status)
		}
	}
	if strangers < 30 {
		t.Errorf("got %d who prove nothing, want 30 or more", strangers)
	}
	w.callers.PublicKeyCustomers = false
	w.expect(403, "sign_in_required", "GET", products, app(""), "", "store=play")
	if got := len(w.counter.regions); got != 4 {
		t.Errorf("got %d looks at what is sold, want four", got)
	}
	w.nothingWritten("looking at what is sold")
}

func TestNothingOnSaleIsAnEmptyList(t *testing.T) {
	w := newWorld(t)
	w.counter.sells = []play.Product{}
	if a := w.expect(200, "", "GET", products, app(""), "", "store=play"); strings.TrimSpace(a.text) != `{"products":[]}` {
		t.Errorf("got %s, want an empty list", a.text)
	}
}

func TestWhatIsSoldIsAskedOfAStoreThatTells(t *testing.T) {
	w := newWorld(t)
	for _, query := range []string{
		"", "store=", "store=apple", "store=appsintoss", "store=Play", "store=play%20", "stores=play", "store=toss", "store=apple&store=play",
		"store=%zz", "store=play;region=KR",
		"store=play&region=", "store=play&region=kr", "store=play&region=KOR", "store=play&region=K1", "store=play&region=KR%0A", "store=play&region=KR%20",
	} {
		w.expect(400, "invalid_request", "GET", products, server(""), "", query)
	}
	if w.counter.regions != nil {
		t.Errorf("got looks at %q, want none", w.counter.regions)
	}
	w.expect(200, "", "GET", products, server(""), "", "region=KR&store=play&of=no-matter")
	if got := strings.Join(w.counter.regions, ","); got != "KR" {
		t.Errorf("got the regions %q, want KR", got)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "HEAD"} {
		if a := w.ask(method, products, server(""), "{}", "store=play"); a.status != 405 || a.header.Get("Allow") != "GET" {
			t.Errorf("%s: got %d, Allow %q, want 405 and GET", method, a.status, a.header.Get("Allow"))
		}
	}
}

func TestAProjectThatDoesNotSellAtTheStoreIsTold(t *testing.T) {
	w := newWorld(t)
	w.secret.text = "other/production=" + hashed(secretKey)
	w.expect(503, "store_not_configured", "GET", products, server(""), "", "store=play")
	w.secret.text = "default/sandbox=" + hashed(secretKey)
	w.expect(200, "", "GET", products, server(""), "", "store=play")
	w.claims.Shelves = nil
	w.expect(503, "store_not_configured", "GET", products, server(""), "", "store=play")
}

func TestAnOutageOfTheStoreIsNoEmptyList(t *testing.T) {
	for _, err := range []error{outage(), errors.Join(outage(), fault.New(fault.NotFound, "not_in_store", "No.")), context.DeadlineExceeded} {
		w := newWorld(t)
		w.counter.err = err
		a := w.ask("GET", products, server(""), "", "store=play")
		if a.status < 500 || strings.Contains(a.text, "no route to host") {
			t.Errorf("%v: got %d %s, want a failure that tells no cause", err, a.status, a.text)
		}
	}
}

func TestAnAnswerIsNeverLargerThanAFunctionMayAnswer(t *testing.T) {
	w := newWorld(t)
	sells := onSale()[:1]
	for i := range 100_000 {
		one := sells[0]
		one.ProductID = fmt.Sprintf("product_%d", i)
		w.counter.sells = append(w.counter.sells, one)
	}
	a := w.expect(400, "answer_too_large", "GET", products, server(""), "", "store=play")
	if len(a.text) > 1000 {
		t.Errorf("got an answer of %d bytes, want a short one", len(a.text))
	}
	size := len(text(t, map[string]any{"products": sells})) // and one comma
	w.counter.sells = w.counter.sells[:4<<20/(size+20)]
	if a := w.expect(200, "", "GET", products, server(""), "", "store=play"); len(a.text) < 2<<20 {
		t.Errorf("got %d bytes, want all that fits", len(a.text))
	}
}

// pushed is what Pub/Sub sends with Google's token.
func (w *world) pushed(change func(object) object) header {
	claims := object{
		"iss": "https://accounts.google.com", "aud": "https://hooks.example.com/webhooks/play", "sub": "1", "email": pushEmail, "email_verified": true,
		"iat": w.clock.Now().Unix(), "exp": w.clock.Now().Add(time.Hour).Unix(),
	}
	if change != nil {
		claims = change(claims)
	}
	return header{"Authorization": "Bearer " + w.keep(compact(object{"alg": "RS256", "kid": "rsa-1", "typ": "JWT"}, claims, w.provider.signRS))}
}

const (
	pushEmail        = "push@project-of-ours.iam.gserviceaccount.com"
	pushSubscription = "projects/example-project/subscriptions/play"
)

// newPlayWebhook is that of Google Play as it is; the identity provider stands for Google.
func newPlayWebhook(w *world) *web.Webhooks {
	push, err := play.NewPush(play.PushConfig{
		Audience: "https://hooks.example.com/webhooks/play", Email: pushEmail, KeysURL: "http://127.0.0.1/keys", Packages: []string{appBundle},
		Subscription: pushSubscription, Clock: w.clock, Log: w.claims.Log, Transport: w.provider,
	})
	if err != nil {
		w.Fatal(err)
	}
	return &web.Webhooks{
		Provider: "play", Scopes: map[table.Scope]web.Webhook{table.Default: push.ReadHint}, Cuts: true, Queue: w.notices, Clock: w.clock, Log: w.claims.Log,
	}
}

// The examples of the document are real ones.
func TestWhatGooglePlayPushesIsAnsweredAsDocumented(t *testing.T) {
	d := theDocument(t)
	for _, o := range d.webhooks() {
		if !strings.Contains(o.path, "/play") {
			continue
		}
		path := atHome(o.path)
		for name, e := range d.examples(t, "paths", o.path, "post", "requestBody", "content", "application/json") {
			w := newWorld(t)
			w.expect(200, "", "POST", path, w.pushed(nil), text(t, e))
			if len(w.notices.hints) != 1 || w.notices.hints[0].Type != "subscription.2" || w.notices.hints[0].Line == "" {
				t.Errorf("%s, %s: got %+v, want a hint of a renewal", o.id, name, w.notices.hints)
			}
			another := strings.Replace(text(t, e), "subscriptions/play", "subscriptions/another", 1)
			w.expect(403, "another_subscription", "POST", path, w.pushed(nil), another)
			w.nothingWritten("a push")
		}
		w := newWorld(t)
		w.expect(200, "", "POST", path, w.pushed(nil), strings.Repeat("{", web.MostBytes+1)) // or it comes for days
		w.expect(401, "invalid_push", "POST", path, w.pushed(func(o object) object { return o.with("email", "another@example.com") }), "{}")
		w.expect(401, "invalid_push", "POST", path, nil, "{}")
		w.webhooks["play"].Scopes = nil
		w.expect(404, "no_route", "POST", path, w.pushed(nil), "{}")

		w = newWorld(t)
		w.provider.outage(true)
		w.expect(503, "unavailable", "POST", path, w.pushed(nil), "{}")
	}
}
