package play_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/play"
	"grantline/shared/purchase"
)

func TestADeliveryIsToldInTheRightWay(t *testing.T) {
	const tokens = "/tokens/" + apiToken
	token := func(kind string) purchase.Token { return shopLine(kind + "@" + apiPackage).Token }
	for _, c := range []struct {
		name     string
		delivery purchase.Delivery
		path     string
		body     string
	}{
		{"a product", purchase.Delivery{Token: token("product"), Part: "gems_100"}, "purchases/products/gems_100" + tokens + ":acknowledge", `{}`},
		{"a product, account or not", purchase.Delivery{Token: token("product"), Part: "gems_100", Account: shopAccount}, "purchases/products/gems_100" + tokens + ":acknowledge", `{}`},
		{"a product that was used up", purchase.Delivery{Token: token("product"), Part: "gems_100", Consume: true}, "purchases/products/gems_100" + tokens + ":consume", ``},
		{"a subscription", purchase.Delivery{Token: token("subscription"), Part: "premium"}, "purchases/subscriptions/premium" + tokens + ":acknowledge", `{}`},
		{
			"a subscription, resubscribed to",
			purchase.Delivery{Token: token("subscription"), Part: "premium", Account: shopAccount},
			"purchases/subscriptions/premium" + tokens + ":acknowledge", `{"externalAccountIds":{"obfuscatedAccountId":"` + shopAccount + `"}}`,
		},
		{"a subscription is never consumed", purchase.Delivery{Token: token("subscription"), Part: "premium", Consume: true}, "purchases/subscriptions/premium" + tokens + ":acknowledge", `{}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			if err := s.store.Acknowledge(t.Context(), c.delivery); err != nil {
				t.Fatalf("error %v, want none", err)
			}
			got := s.requests()
			if len(got) != 1 || got[0].method != http.MethodPost || got[0].path != apiRoot+c.path {
				t.Fatalf("asked %v, want a post to %s", s.asked(), c.path)
			}
			if got[0].body != c.body && !sameJSON(got[0].body, c.body) {
				t.Errorf("told %q, want %q", got[0].body, c.body)
			}
		})
	}
}

func sameJSON(a, b string) bool {
	var left, right any
	return json.Unmarshal([]byte(a), &left) == nil && json.Unmarshal([]byte(b), &right) == nil && cmp.Equal(left, right)
}

// Two answers there are to a failure: look at it again, or tell it again.
func TestADeliveryThatIsNotTakenIsLookedAtOrToldAgain(t *testing.T) {
	for name, c := range map[string]struct {
		turn apiTurn
		want error
	}{
		"not in a state for it": {apiFails(400, "invalidPurchaseState", "No."), fault.Invalid},
		"consumed before":       {apiFails(400, "productNotOwnedByUser", "No."), fault.Invalid},
		"expired":               {apiFails(400, "subscriptionExpired", "No."), fault.Invalid},
		"by a sentence":         {apiFails(400, "", "The purchase is not in a valid state to perform the desired operation."), fault.Invalid},
		"of another product":    {apiFails(400, "purchaseTokenDoesNotMatchProductId", "No."), fault.Invalid},
		"unknown":               {apiFails(404, "purchaseTokenNotFound", "No."), fault.Invalid},
		"gone":                  {apiFails(410, "purchaseTokenNoLongerValid", "No."), fault.Invalid},
		"at once with another":  {apiFails(409, "concurrentUpdate", "No."), fault.Unavailable},
		"401":                   {apiFails(401, "permissionDenied", "No."), fault.Unavailable},
		"403":                   {apiFails(403, "forbidden", "No."), fault.Unavailable},
		"429":                   {apiFails(429, "rateLimitExceeded", "No."), fault.Unavailable},
		"500":                   {apiFails(500, "backendError", "No."), fault.Unavailable},
		"garbage":               {apiSays("<html>"), fault.Unavailable},
		"silence":               {apiTurn{how: "reset"}, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.effect = c.turn
			for _, kind := range []string{"product", "subscription"} {
				for _, consume := range []bool{true, false} {
					faultIs(t, s.store.Acknowledge(t.Context(), purchase.Delivery{Token: shopLine(kind + "@" + apiPackage).Token, Part: "premium", Consume: consume}), c.want)
				}
			}
			faultIs(t, s.store.Report(t.Context(), purchase.Sale{App: apiPackage, Order: shopOrder}, purchase.Usage{Case: shopReview}), c.want)
		})
	}
}

func TestWhatCannotBeToldIsNotTaken(t *testing.T) {
	token := shopLine("product@" + apiPackage).Token
	for name, d := range map[string]purchase.Delivery{
		"no token": {Part: "gems_100"}, "another store's": {Token: purchase.Token{ID: "1", Secret: "2", Kind: "production"}, Part: "gems_100"},
		"no part": {Token: token}, "a product that is none": {Token: token, Part: "a/b"}, "no secret": {Token: purchase.Token{ID: token.ID, Kind: token.Kind}, Part: "gems_100"},
		"no package": {Token: purchase.Token{ID: token.ID, Secret: apiToken, Kind: "product@"}, Part: "gems_100"},
	} {
		s := newShop(t)
		err := s.store.Acknowledge(t.Context(), d)
		if faultIs(t, err, fault.Invalid); len(s.asked()) > 0 {
			t.Errorf("%s: asked %v, want nobody", name, s.asked())
		}
	}
}

// What was not delivered should be given back, what was used should not.
func TestAReviewIsAnsweredByPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		usage purchase.Usage
		want  string
	}{
		"never delivered":           {purchase.Usage{}, `"refundPreference":"APPROVE"`},
		"never delivered, and used": {purchase.Usage{Spendable: true, Spent: 50_000}, `"refundPreference":"APPROVE"`},
		"delivered, not countable":  {purchase.Usage{Delivered: true}, `"refundPreference":"NEUTRAL"`},
		"not countable, so used":    {purchase.Usage{Delivered: true, Spent: 50_000}, `"refundPreference":"NEUTRAL"`},
		"delivered, unused":         {purchase.Usage{Delivered: true, Spendable: true}, `"refundPreference":"NEUTRAL"`},
		"a little used":             {purchase.Usage{Delivered: true, Spendable: true, Spent: 1}, `"refundPreference":"DECLINE","consumptionPercentageMilliunits":1`},
		"used up":                   {purchase.Usage{Delivered: true, Spendable: true, Spent: 100_000}, `"refundPreference":"DECLINE","consumptionPercentageMilliunits":100000`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			c.usage.Case = shopReview
			if err := s.store.Report(t.Context(), purchase.Sale{App: apiPackage, Order: shopOrder}, c.usage); err != nil {
				t.Fatalf("error %v, want none", err)
			}
			got := s.requests()
			if len(got) != 1 || got[0].path != apiRoot+"orders/"+shopOrder+":reviewrefund" {
				t.Fatalf("asked %v, want a review", s.asked())
			}
			if want := `{"pendingRefundToken":"` + shopReview + `","sampleContentProvided":false,` + c.want + `}`; !sameJSON(got[0].body, want) {
				t.Errorf("told %s, want %s", got[0].body, want)
			}
		})
	}
}

func TestALineIsNamedWithoutAsking(t *testing.T) {
	s := newShop(t)
	got := s.store.LineOf(purchase.Proof{Store: play.Name, Evidence: apiToken, SKU: "gems_100"})
	if want := "3434a11ef098986330e35a45a2d2e33e98a485da3758dd0765bdc57cadb65f64"; got != want || len(s.asked()) > 0 {
		t.Errorf("got %s, asked %v, want %s and nobody", got, s.asked(), want)
	}
}
