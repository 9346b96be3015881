package play_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/purchase"
)

func TestALineIsFollowedByItsToken(t *testing.T) {
	s := newShop(t)
	s.sells(shopSubscription)
	got, known, err := s.store.Follow(t.Context(), shopLine("subscription@"+apiPackage))
	if err != nil || !known {
		t.Fatalf("got %v, %v, want an answer", known, err)
	}
	newsIs(t, got, subscriptionSaid())
	s.asksAnew()
	s.sells(shopProduct)
	got, known, err = s.store.Follow(t.Context(), shopLine("product@"+apiPackage))
	if err != nil || !known || got.Token.Kind != "product@"+apiPackage || got.Sales[0].SKU != "gems_100" {
		t.Errorf("got %+v, %v, %v, want a product", got, known, err)
	}
	if diff := cmp.Diff([]string{askedProduct, "orders/" + shopOrder + "@" + apiPackage}, s.asked()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestALineOfNoTokenCannotBeFollowed(t *testing.T) {
	for _, kind := range []string{"", "product", "inapp@" + apiPackage, "product@com.example.others", "subscription@", "subscription" + apiPackage} {
		s := newShop(t)
		news, known, err := s.store.Follow(t.Context(), shopLine(kind, purchase.Sold{Order: shopOrder}))
		if known || err != nil || len(news.Sales) > 0 || len(s.asked()) > 0 {
			t.Errorf("%q: got %+v, %v, %v, asked %v, want that it cannot be asked", kind, news, known, err, s.asked())
		}
	}
}

// A refund that leaves the purchase is in no notification and in no list.
func TestMoneyGivenBackWithoutAWordIsFound(t *testing.T) {
	const old, older = "GPA.3372-4150-8203-17209..2", "GPA.3372-4150-8203-17209..1"
	refunded := `{"state":"REFUNDED","createTime":"2026-10-22T05:00:00Z","lineItems":[{"productId":"premium"},{"productId":"sport"}]}`
	for _, c := range []struct {
		name   string
		orders map[string]string
		sold   []purchase.Sold
		want   []string
	}{
		{"nothing sold before", map[string]string{apiOrder: refunded}, nil, []string{apiOrder + "/premium/refunded"}},
		{"none", nil, []purchase.Sold{{Order: apiOrder, Part: "premium"}}, []string{apiOrder + "/premium/paid"}},
		{"the latest", map[string]string{apiOrder: refunded}, []purchase.Sold{{Order: apiOrder, Part: "premium"}}, []string{apiOrder + "/premium/refunded"}},
		{"the latest, of a part it has not", map[string]string{apiOrder: refunded}, []purchase.Sold{{Order: apiOrder, Part: "sport"}}, []string{apiOrder + "/premium/refunded", apiOrder + "/sport/refunded"}},
		{
			"an older one",
			map[string]string{old: refunded, older: `{"state":"PROCESSED","lineItems":[{"productId":"premium"}]}`},
			[]purchase.Sold{{Order: old, Part: "premium"}, {Order: older, Part: "premium"}},
			[]string{apiOrder + "/premium/paid", old + "/premium/refunded"},
		},
		{
			"an older one of several parts",
			map[string]string{old: refunded},
			[]purchase.Sold{{Order: old, Part: "sport"}, {Order: old, Part: "premium"}},
			[]string{apiOrder + "/premium/paid", old + "/sport/refunded", old + "/premium/refunded"},
		},
		{
			"an older one, said twice",
			map[string]string{old: refunded},
			[]purchase.Sold{{Order: old, Part: "sport"}, {Order: old, Part: "sport"}},
			[]string{apiOrder + "/premium/paid", old + "/sport/refunded"},
		},
		{"an older one, part unsaid", map[string]string{old: refunded}, []purchase.Sold{{Order: old}}, []string{apiOrder + "/premium/paid", old + "/premium/refunded", old + "/sport/refunded"}},
		{
			"two of three known",
			map[string]string{apiOrder: refunded, old: refunded},
			[]purchase.Sold{{Order: older, Part: "premium"}, {Order: old, Part: "premium"}},
			[]string{apiOrder + "/premium/refunded", old + "/premium/refunded"},
		},
		{"partly", map[string]string{old: `{"state":"PARTIALLY_REFUNDED","lineItems":[{"productId":"premium"}]}`}, []purchase.Sold{{Order: old, Part: "premium"}}, []string{apiOrder + "/premium/paid"}},
		{"perhaps", map[string]string{old: `{"state":"PENDING_REFUND","lineItems":[{"productId":"premium"}]}`}, []purchase.Sold{{Order: old, Part: "premium"}}, []string{apiOrder + "/premium/paid"}},
		{"a promotion's", nil, []purchase.Sold{{Order: shopLine("").Line, Part: "premium"}}, []string{apiOrder + "/premium/paid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			s.sells(shopSubscription)
			s.orders = c.orders
			news, known, err := s.store.Follow(t.Context(), shopLine("subscription@"+apiPackage, c.sold...))
			if err != nil || !known {
				t.Fatalf("got %v, %v, want an answer", known, err)
			}
			if diff := cmp.Diff(c.want, orderIDs(news.Sales)); diff != "" {
				t.Errorf("sales (-want +got):\n%s", diff)
			}
			for _, sale := range news.Sales {
				if want := map[bool]time.Time{true: apiNow, false: apiNow.Add(time.Second)}[sale.Order == apiOrder && sale.Part == "premium"]; !sale.AsOf.Equal(want) || sale.Line != news.Token.ID {
					t.Errorf("%s is as of %v of %s, want %v of the line", sale.Order, sale.AsOf, sale.Line, want)
				}
			}
		})
	}
}

// A line that cannot be found out about stays as it is, and Google's not knowing it is not
// an outage.
func TestALineThatIsNotAnsweredForStays(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*shop)
		want   error
	}{
		"404":               {func(s *shop) { s.products[apiPackage] = apiFails(404, "purchaseTokenNotFound", "No.") }, fault.NotFound},
		"410":               {func(s *shop) { s.products[apiPackage] = apiFails(410, "purchaseTokenNoLongerValid", "No.") }, fault.NotFound},
		"400":               {func(*shop) {}, fault.NotFound},
		"403":               {func(s *shop) { s.products[apiPackage] = apiFails(403, "forbidden", "No.") }, fault.Unavailable},
		"500":               {func(s *shop) { s.products[apiPackage] = apiFails(500, "backendError", "No.") }, fault.Unavailable},
		"garbage":           {func(s *shop) { s.products[apiPackage] = apiSays("{}") }, fault.Unavailable},
		"orders refused":    {func(s *shop) { s.sells(shopProduct); s.orderFault = apiFails(403, "forbidden", "No.") }, fault.Unavailable},
		"orders of garbage": {func(s *shop) { s.sells(shopProduct); s.orderFault = apiSays("{}") }, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			c.change(s)
			_, known, err := s.store.Follow(t.Context(), shopLine("product@"+apiPackage, purchase.Sold{Order: "GPA.0", Part: "gems_100"}))
			if faultIs(t, err, c.want); !known {
				t.Error("got a store that cannot be asked")
			}
		})
	}
	s := newShop(t)
	line := shopLine("product@" + apiPackage)
	line.Token.Secret = ""
	_, _, err := s.store.Follow(t.Context(), line)
	faultIs(t, err, fault.NotFound)
}
