package play_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"

	"grantline/shared/fault"
	"grantline/shared/play"
)

func TestOffersAreReadToTheirEnd(t *testing.T) {
	type count func(ctx context.Context, a *play.API) (int, error)
	for path, list := range map[string]struct {
		member, option string
		read           count
	}{
		onceOffers: {"oneTimeProductOffers", "purchaseOptionId", func(ctx context.Context, a *play.API) (int, error) {
			got, err := a.OneTimeOffers(ctx, apiPackage)
			return len(got), err
		}},
		periodicOffers: {"subscriptionOffers", "basePlanId", func(ctx context.Context, a *play.API) (int, error) {
			got, err := a.SubscriptionOffers(ctx, apiPackage)
			return len(got), err
		}},
	} {
		offer := func(product, option, id string) string {
			return fmt.Sprintf(`{"productId":%q,%q:%q,"offerId":%q}`, product, list.option, option, id)
		}
		page := func(next string, offers ...string) apiTurn {
			text := ""
			for i, o := range offers {
				if i > 0 {
					text += ","
				}
				text += o
			}
			return apiSays(fmt.Sprintf(`{%q:[%s],"nextPageToken":%q}`, list.member, text, next))
		}
		good := offer("p", "o", "1")
		g := newGoogle(t, page("second", good, offer("p", "o", "2")), page("", offer("q", "o", "1")))
		got, err := list.read(t.Context(), g.api())
		if err != nil || got != 3 || len(g.requests()) != 2 {
			t.Fatalf("%s: got %d, %v by %d requests, want three by two", path, got, err, len(g.requests()))
		}
		for i, want := range []string{"", "second"} {
			r := g.requests()[i]
			query, _ := url.ParseQuery(r.query)
			if r.method != "GET" || r.path != apiRoot+path || query.Get("pageToken") != want || query.Get("pageSize") != "50" {
				t.Errorf("%s: got %s %s?%s, want page %q of 50", path, r.method, r.path, r.query, want)
			}
		}
		for name, turn := range map[string]apiTurn{
			"no product": page("", good, offer("", "o", "1")), "no option": page("", good, offer("p", "", "1")), "no id": page("", good, offer("p", "o", "")),
			"a null": page("", good, "null"), "an outage": apiFails(503, "backendError", "x"),
		} {
			got, err := list.read(t.Context(), newGoogle(t, turn).api())
			apiKindIs(t, path+", "+name, err, fault.Unavailable, nil)
			if got != 0 {
				t.Errorf("%s, %s: got %d offers, want none", path, name, got)
			}
		}
	}
}
