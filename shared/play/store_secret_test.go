package play_test

import (
	"fmt"
	"strings"
	"testing"

	"grantline/shared/play"
	"grantline/shared/purchase"
)

// Whatever Google answers, and however our own code fails: nothing of what was asked for or
// told is in an error or in a line of the log.
func TestTheStoreTellsNobodyWhatIsSecret(t *testing.T) {
	secrets := []string{apiToken, shopOlder, shopOrder, shopAccount, shopReview, play.TokenID(apiToken)}
	said := strings.Join(secrets, " ")
	token := func(kind string) purchase.Token { return shopLine(kind + "@" + apiPackage).Token }
	worlds := map[string]apiTurn{
		"sound": {}, "garbage": apiSays(said), "another word": apiSays(strings.Replace(shopSubscription, "STATE_ACTIVE", said, 1)),
		"an odd time": apiSays(strings.Replace(shopSubscription, "2026-12-22T05:00:00Z", said, 1)), "odd quantity": apiSays(strings.Replace(shopProduct, `"quantity":1`, `"quantity":-1`, 1)),
		"a new state of a product": apiSays(strings.Replace(shopProduct, "PURCHASED", said, 1)), "reset": {how: "reset"},
	}
	for _, status := range []int{400, 401, 403, 404, 409, 410, 429, 500} {
		worlds[fmt.Sprint(status)] = apiFails(status, said, said)
	}
	for name, turn := range worlds {
		s := newShop(t, reviewing)
		s.sells(shopProduct)
		s.sells(shopSubscription)
		s.orders[shopOrder] = `{"state":"PENDING_REFUND","purchaseToken":"` + apiToken + `","lineItems":[{"productId":"gems_100"}]}`
		if turn.status != 0 || turn.how != "" {
			s.by(func(apiAsked) apiTurn { return turn })
		}
		ctx := t.Context()
		var errs []error
		note := func(err error) { errs = append(errs, err) }
		for _, sku := range []string{"gems_100", "premium"} {
			_, err := s.look(t, sku)
			note(err)
		}
		_, err := s.store.Look(ctx, purchase.Proof{Evidence: apiToken + " " + apiToken})
		note(err)
		for _, n := range []play.Notification{
			{Kind: play.KindSubscription, Token: apiToken},
			{Kind: play.KindOneTime, Token: apiToken},
			{Kind: play.KindVoided, Token: apiToken, Order: shopOrder},
			{Kind: play.KindVoided, Token: apiToken, Order: shopOrder, ProductType: 2, RefundType: 1},
			{Kind: play.KindReview, Order: shopOrder, PendingRefundToken: shopReview},
		} {
			_, err := s.hear(t, n)
			note(err)
		}
		for _, kind := range []string{"product", "subscription", "other"} {
			_, _, err := s.store.Follow(ctx, shopLine(kind+"@"+apiPackage, purchase.Sold{Order: shopOrder}))
			note(err)
			note(s.store.Acknowledge(ctx, purchase.Delivery{Token: token(kind), Part: "gems_100", Account: shopAccount}))
			note(s.store.Acknowledge(ctx, purchase.Delivery{Token: token(kind), Part: said, Account: said, Consume: true}))
		}
		note(s.store.Report(ctx, purchase.Sale{App: apiPackage, Order: shopOrder}, purchase.Usage{Case: shopReview}))
		note(s.store.Report(ctx, purchase.Sale{App: apiPackage, Order: said}, purchase.Usage{Case: shopReview}))
		_, _, err = s.store.Histories()[0].Missed(ctx, voidedFrom, voidedTo, "")
		note(err)

		failed := 0
		for i, err := range errs {
			if err == nil {
				continue
			}
			failed++
			for _, secret := range secrets {
				if text := fmt.Sprintf("%v %+v %#v", err, err, err.Error()); strings.Contains(text, secret) {
					t.Errorf("%s, error %d: got %s, which holds %s", name, i, text, secret)
				}
			}
		}
		if failed < 5 {
			t.Errorf("%s: got %d errors, want some to look at", name, failed)
		}
		for _, secret := range secrets {
			if log := s.log.String(); strings.Contains(log, secret) {
				t.Errorf("%s: the log holds %s: %.300s", name, secret, log)
			}
		}
	}
}
