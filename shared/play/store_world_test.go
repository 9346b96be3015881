package play_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/catalog"
	"grantline/shared/fault"
	"grantline/shared/play"
	"grantline/shared/purchase"
)

const (
	shopSecond  = "com.example.second"
	shopAccount = "account-of-somebody"
	shopOrder   = "GPA.3372-4150-8203-17209"
	shopOlder   = "older-token.AO-J1Oz_of_a_purchase"
	shopReview  = "pending-refund-token-of-google"

	shopProduct = `{"kind":"androidpublisher#productPurchaseV2","productLineItem":[{"productId":"gems_100","productOfferDetails":{"quantity":1,` +
		`"refundableQuantity":1,"consumptionState":"CONSUMPTION_STATE_YET_TO_BE_CONSUMED"}}],"purchaseStateContext":{"purchaseState":"PURCHASED"},` +
		`"orderId":"` + shopOrder + `","obfuscatedExternalAccountId":"` + shopAccount + `","purchaseCompletionTime":"2026-11-22T05:59:00Z",` +
		`"acknowledgementState":"ACKNOWLEDGEMENT_STATE_PENDING"}`
	shopItem = `{"productId":"premium","expiryTime":"2026-12-22T05:00:00Z","latestSuccessfulOrderId":"` + apiOrder + `",` +
		`"offerDetails":{"basePlanId":"monthly"},"autoRenewingPlan":{"autoRenewEnabled":true}}`
	shopSubscription = `{"kind":"androidpublisher#subscriptionPurchaseV2","startTime":"2026-11-21T05:00:00Z","subscriptionState":"SUBSCRIPTION_STATE_ACTIVE",` +
		`"acknowledgementState":"ACKNOWLEDGEMENT_STATE_PENDING","externalAccountIdentifiers":{"obfuscatedExternalAccountId":"` + shopAccount + `"},` +
		`"lineItems":[` + shopItem + `]}`
)

var (
	shopPaidAt = time.Date(2026, 11, 22, 5, 59, 0, 0, time.UTC)
	shopStart  = time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)
	shopEnd    = time.Date(2026, 12, 22, 5, 0, 0, 0, time.UTC)
	shopAgain  = apiNow.Add(13 * 24 * time.Hour)
)

// shop is a Google that knows some purchases and orders, and a store that asks it. Each
// request takes a second, so that the instant of asking is not the one of the answer.
type shop struct {
	*google
	store *play.Store

	products, subscriptions map[string]apiTurn // by package; what is not there is 400
	orders                  map[string]string  // by id, without the member orderId
	orderFault              apiTurn            // of all that is asked about orders
	effect                  apiTurn            // of what is told
	voided                  map[string]string  // pages, by the token
}

func newShop(t *testing.T, changes ...func(*play.StoreConfig)) *shop {
	t.Helper()
	goods, err := catalog.Parse([]byte(`{"products":[
		{"id":"gems","kind":"consumable","currency":"gems","amount":100,"stores":{"play":"gems_100"}},
		{"id":"premium","kind":"subscription","entitlement":"premium","stores":{"play":"premium:monthly"}}],"plans":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{
		google: newGoogle(t, apiTurn{}), products: map[string]apiTurn{}, subscriptions: map[string]apiTurn{},
		orders: map[string]string{}, effect: apiSays(``), voided: map[string]string{},
	}
	s.asksAnew()
	config := play.StoreConfig{API: s.api(), Packages: []string{apiPackage}, Catalog: goods, Clock: s.clock, Log: s.config().Log}
	for _, change := range changes {
		change(&config)
	}
	s.store = play.NewStore(config)
	return s
}

// asksAnew forgets the requests that were seen.
func (s *shop) asksAnew() {
	s.by(func(asked apiAsked) apiTurn {
		defer s.clock.move(time.Second)
		return s.answer(asked)
	})
}

func twoPackages(c *play.StoreConfig) { c.Packages = []string{apiPackage, shopSecond} }

func reviewing(c *play.StoreConfig) { c.ReviewRefunds = true }

func (s *shop) answer(asked apiAsked) apiTurn {
	pkg, rest, _ := strings.Cut(strings.TrimPrefix(asked.path, "/androidpublisher/v3/applications/"), "/")
	known := func(all map[string]apiTurn) apiTurn {
		if turn, ok := all[pkg]; ok {
			return turn
		}
		return apiFails(400, "invalid", "Invalid Value")
	}
	switch {
	case asked.method == http.MethodPost:
		return s.effect
	case strings.HasPrefix(rest, "purchases/productsv2/"):
		return known(s.products)
	case strings.HasPrefix(rest, "purchases/subscriptionsv2/"):
		return known(s.subscriptions)
	case rest == "purchases/voidedpurchases":
		values, _ := url.ParseQuery(asked.query)
		return apiSays(s.voided[values.Get("token")])
	case s.orderFault.status != 0:
		return s.orderFault
	}
	ids := []string{strings.TrimPrefix(rest, "orders/")}
	if rest == "orders:batchGet" {
		values, _ := url.ParseQuery(asked.query)
		ids = values["orderIds"]
	}
	var found []string
	for _, id := range ids {
		order, ok := s.orders[id]
		if !ok {
			return apiFails(404, "notFound", "Not found.")
		}
		found = append(found, `{"orderId":"`+id+`",`+strings.TrimPrefix(order, `{`))
	}
	if rest == "orders:batchGet" {
		return apiSays(`{"orders":[` + strings.Join(found, ",") + `]}`)
	}
	return apiSays(found[0])
}

// sells makes a purchase known in the first package.
func (s *shop) sells(purchase string) {
	all := s.products
	if strings.Contains(purchase, "subscriptionPurchaseV2") {
		all = s.subscriptions
	}
	all[apiPackage] = apiSays(purchase)
}

func (s *shop) look(t *testing.T, sku string) (purchase.News, error) {
	t.Helper()
	return s.store.Look(t.Context(), purchase.Proof{Store: play.Name, Evidence: apiToken, SKU: sku})
}

func (s *shop) hear(t *testing.T, n play.Notification) (purchase.News, error) {
	t.Helper()
	if n.Package == "" {
		n.Package = apiPackage
	}
	return s.store.Hear(t.Context(), n.Evidence())
}

// asked names the requests that Google saw, in turn: where, and about which package.
func (s *shop) asked() []string {
	var all []string
	for _, r := range s.requests() {
		pkg, rest, _ := strings.Cut(strings.TrimPrefix(r.path, "/androidpublisher/v3/applications/"), "/")
		if what, _, ok := strings.Cut(rest, "/tokens/"); ok && r.method == http.MethodGet {
			rest = what
		}
		all = append(all, strings.TrimPrefix(rest, "purchases/")+"@"+pkg)
	}
	return all
}

// edited replaces in text, each once.
func edited(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			t.Fatalf("%s is in %s %d times, want 1", pairs[i], text, strings.Count(text, pairs[i]))
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	if !json.Valid([]byte(text)) {
		t.Fatalf("no JSON: %s", text)
	}
	return text
}

// productSaid is what shopProduct says.
func productSaid() purchase.News {
	id := play.TokenID(apiToken)
	return purchase.News{
		Sales: []purchase.Sale{{
			Store: play.Name, App: apiPackage, Line: id, Part: "gems_100", Order: shopOrder, SKU: "gems_100", State: purchase.Paid,
			PurchasedAt: shopPaidAt, AsOf: apiNow, Quantity: 1, Blind: true, Unconsumed: true, Account: shopAccount,
		}},
		Token: &purchase.Token{ID: id, Secret: apiToken, Kind: "product@" + apiPackage, Unacknowledged: true, By: shopPaidAt.Add(72 * time.Hour)},
		Again: shopAgain,
	}
}

// subscriptionSaid is what shopSubscription says.
func subscriptionSaid() purchase.News {
	id := play.TokenID(apiToken)
	return purchase.News{
		Sales: []purchase.Sale{{
			Store: play.Name, App: apiPackage, Line: id, Part: "premium", Order: apiOrder, SKU: "premium:monthly", State: purchase.Paid,
			Until: shopEnd, AsOf: apiNow, Quantity: 1, WillRenew: true, Blind: true, Account: shopAccount,
		}},
		Parts: map[string]purchase.Standing{"premium": {AsOf: apiNow, WillRenew: true}},
		Token: &purchase.Token{ID: id, Secret: apiToken, Kind: "subscription@" + apiPackage, Unacknowledged: true, By: shopStart.Add(72 * time.Hour)},
		Again: shopAgain,
	}
}

// standing changes the standing of a part.
func standing(n *purchase.News, part string, change func(*purchase.Standing)) {
	n.Parts = maps.Clone(n.Parts)
	s := n.Parts[part]
	change(&s)
	n.Parts[part] = s
}

// over is what news says of a token that is not to be told anything, and is not asked about again.
func over(n *purchase.News) {
	untold(n)
	n.Again = time.Time{}
}

// untold is what news says of a token that is not to be told anything.
func untold(n *purchase.News) { n.Token.Unacknowledged, n.Token.By = false, time.Time{} }

func newsIs(t *testing.T, got, want purchase.News) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("news (-want +got):\n%s", diff)
	}
}

// faultIs checks that an error has this kind and no other.
func faultIs(t *testing.T, err, want error) {
	t.Helper()
	for _, kind := range []error{fault.Malformed, fault.Invalid, fault.NotFound, fault.Unavailable} {
		if got := errors.Is(err, kind); got != errors.Is(want, kind) {
			t.Errorf("got error %v, is it %v: %v, want %v", err, kind, got, !got)
		}
	}
}

func orderIDs(sales []purchase.Sale) []string {
	var ids []string
	for _, s := range sales {
		ids = append(ids, fmt.Sprintf("%s/%s/%s", s.Order, s.Part, s.State))
	}
	return slices.Clip(ids)
}

// shopLine is a line that our book knows, of this kind of token.
func shopLine(kind string, sold ...purchase.Sold) purchase.Line {
	id := play.TokenID(apiToken)
	return purchase.Line{Line: id, Token: purchase.Token{ID: id, Secret: apiToken, Kind: kind}, Sold: sold}
}
