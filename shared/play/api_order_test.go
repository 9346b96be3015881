package play_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/androidpublisher/v3"

	"grantline/shared/fault"
	"grantline/shared/play"
)

func aReview() *androidpublisher.OrdersReviewRefundRequest {
	return &androidpublisher.OrdersReviewRefundRequest{PendingRefundToken: "pending-refund", RefundPreference: "DECLINE"}
}

// knowing is a Google that knows some orders.
func (g *google) knowing(known func(id string) bool) {
	g.by(func(asked apiAsked) apiTurn {
		ids := []string{asked.path[strings.LastIndex(asked.path, "/")+1:]}
		batch := strings.HasSuffix(asked.path, "orders:batchGet")
		if batch {
			query, err := url.ParseQuery(asked.query)
			if err != nil {
				g.t.Error(err)
			}
			ids = query["orderIds"]
		}
		var orders []string
		for _, id := range ids {
			if !known(id) {
				return apiFails(404, "notFound", "order not found")
			}
			orders = append(orders, `{"orderId":"`+id+`","state":"PROCESSED"}`)
		}
		if batch {
			return apiSays(`{"orders":[` + strings.Join(orders, ",") + `]}`)
		}
		return apiSays(orders[0])
	})
}

func apiOrderIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("GPA.%04d", i)
	}
	return ids
}

func TestUnknownOrdersAreAbsentAndHideNoOthers(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 100, 101, 250} {
		for name, unknown := range map[string][]string{"none": nil, "the first": {"GPA.0000"}, "two": {"GPA.0001", "GPA.0006"}, "the last": {fmt.Sprintf("GPA.%04d", n-1)}} {
			g := newGoogle(t)
			g.knowing(func(id string) bool { return !slices.Contains(unknown, id) })
			ids := apiOrderIDs(n)
			slices.Reverse(ids)
			got, err := g.api().Orders(t.Context(), apiPackage, append(ids, ids...))
			if err != nil {
				t.Fatal(err)
			}
			want := 0
			for _, id := range ids {
				order, ok := got[id]
				if absent := slices.Contains(unknown, id); ok == absent || ok && (order.OrderId != id || order.State != "PROCESSED") {
					t.Errorf("%d orders, unknown %s: got %v of %s, want it absent: %v", n, name, order, id, absent)
				}
				if ok {
					want++
				}
			}
			if len(got) != want {
				t.Errorf("%d orders, unknown %s: got %d, want %d", n, name, len(got), want)
			}
			if most := 3 + 2*8*len(unknown); len(g.requests()) > most {
				t.Errorf("%d orders, unknown %s: got %d requests, want %d at most", n, name, len(g.requests()), most)
			}
		}
	}
}

func TestAnAnswerThatLeavesAnOrderOutDoesNotMakeItUnknown(t *testing.T) {
	one := `{"orderId":"GPA.0000","state":"PROCESSED"}`
	for name, body := range map[string]string{
		"nothing":   `{}`,
		"one":       `{"orders":[` + one + `]}`,
		"one twice": `{"orders":[` + one + `,` + one + `]}`,
		"another":   `{"orders":[` + one + `,{"orderId":"GPA.0002","state":"PROCESSED"}]}`,
		"more":      `{"orders":[` + one + `,{"orderId":"GPA.0001","state":"PROCESSED"},{"orderId":"GPA.0002","state":"PROCESSED"}]}`,
		"no state":  `{"orders":[` + one + `,{"orderId":"GPA.0001"}]}`,
		"null":      `{"orders":[` + one + `,null]}`,
	} {
		g := newGoogle(t, apiSays(body))
		got, err := g.api().Orders(t.Context(), apiPackage, []string{"GPA.0000", "GPA.0001"})
		apiKindIs(t, name, err, fault.Unavailable, nil)
		if got != nil {
			t.Errorf("%s: got %v, want nothing", name, got)
		}
	}
	for _, body := range []string{`{}`, `{"orderId":"GPA.0002","state":"PROCESSED"}`, `{"orderId":"GPA.0000"}`} {
		g := newGoogle(t, apiSays(body))
		_, err := g.api().Orders(t.Context(), apiPackage, []string{"GPA.0000"})
		apiKindIs(t, body, err, fault.Unavailable, nil)
	}
}

func TestAFailureAmongOrdersIsNoAbsence(t *testing.T) {
	for name, c := range map[string]struct {
		turn     apiTurn
		kind, is error
		requests int
	}{
		"outage": {apiFails(503, "backendError", "x"), fault.Unavailable, nil, 3}, "rights": {apiFails(403, "userInsufficientPermission", "x"), fault.Unavailable, play.ErrConfiguration, 1},
		"quota": {apiFails(403, "dailyLimitExceeded", "x"), fault.Unavailable, play.ErrQuota, 1}, "refused": {apiFails(400, "invalid", "x"), fault.Invalid, nil, 2},
	} {
		g := newGoogle(t, c.turn)
		_, err := g.api().Orders(t.Context(), apiPackage, apiOrderIDs(2))
		apiKindIs(t, name, err, c.kind, c.is)
		if len(g.requests()) != c.requests {
			t.Errorf("%s: got %d requests, want %d", name, len(g.requests()), c.requests)
		}
	}
	g := newGoogle(t)
	_, err := g.api().Orders(t.Context(), apiPackage, apiOrderIDs(1001))
	apiKindIs(t, "too many", err, fault.Malformed, nil)
	_, err = g.api().Orders(t.Context(), apiPackage, []string{"a/b"})
	apiKindIs(t, "no order", err, fault.Malformed, nil)
}

func TestVoidedPurchasesAreReadPageByPage(t *testing.T) {
	row := `{"kind":"androidpublisher#voidedPurchase","purchaseToken":"t","orderId":"` + apiOrder + `","voidedTimeMillis":"1795327200000","voidedQuantity":2,"voidedReason":8}`
	g := newGoogle(t, apiSays(`{"voidedPurchases":[`+row+`,`+row+`],"tokenPagination":{"nextPageToken":"next/+&"}}`), apiSays(`{"voidedPurchases":[`+row+`]}`))
	a := g.api()
	from := apiNow.Add(-25 * time.Hour)
	rows, next, err := a.Voided(t.Context(), apiPackage, from, apiNow, "")
	if err != nil || len(rows) != 2 || next != "next/+&" || rows[0].VoidedQuantity != 2 || rows[0].VoidedReason != 8 {
		t.Errorf("got %v, %q, %v, want two rows and a next page", rows, next, err)
	}
	rows, next, err = a.Voided(t.Context(), apiPackage, from, apiNow, next)
	if err != nil || len(rows) != 1 || next != "" {
		t.Errorf("got %v, %q, %v, want one row and no next page", rows, next, err)
	}
	for i, want := range []url.Values{
		{"startTime": {fmt.Sprint(from.UnixMilli())}, "endTime": {fmt.Sprint(apiNow.UnixMilli())}}, {"token": {"next/+&"}},
	} {
		for name, value := range map[string]string{"type": "1", "includeQuantityBasedPartialRefund": "true", "maxResults": "1000", "alt": "json", "prettyPrint": "false"} {
			want.Set(name, value)
		}
		asked := g.requests()[i]
		if got, err := url.ParseQuery(asked.query); err != nil || got.Encode() != want.Encode() || asked.path != apiRoot+"purchases/voidedpurchases" {
			t.Errorf("got %s?%s, want %s", asked.path, asked.query, want.Encode())
		}
	}
	for name, body := range map[string]string{
		"a row of nothing":  `{"voidedPurchases":[{}]}`,
		"a null":            `{"voidedPurchases":[null]}`,
		"the same page":     `{"tokenPagination":{"nextPageToken":"here"}}`,
		"a page of spaces":  `{"tokenPagination":{"nextPageToken":"a b"}}`,
		"rows of no object": `{"voidedPurchases":[1]}`,
	} {
		g := newGoogle(t, apiSays(body))
		_, _, err := g.api().Voided(t.Context(), apiPackage, from, apiNow, "here")
		apiKindIs(t, name, err, fault.Unavailable, nil)
	}
	g = newGoogle(t, apiSays(`{}`))
	if rows, next, err := g.api().Voided(t.Context(), apiPackage, from, apiNow, ""); err != nil || len(rows) != 0 || next != "" {
		t.Errorf("got %v, %q, %v, want none voided", rows, next, err)
	}
	_, _, err = g.api().Voided(t.Context(), apiPackage, apiNow, apiNow, "")
	apiKindIs(t, "no window", err, fault.Malformed, nil)
	_, _, err = g.api().Voided(t.Context(), "x", from, apiNow, "")
	apiKindIs(t, "no package", err, fault.Malformed, nil)
	_, _, err = g.api().Voided(t.Context(), apiPackage, from, apiNow, "a b")
	apiKindIs(t, "no page", err, fault.Malformed, nil)
}

func TestARefundSaysWhetherItRevokes(t *testing.T) {
	for _, revoke := range []bool{true, false} {
		g := newGoogle(t, apiSays(``))
		if err := g.api().Refund(t.Context(), apiPackage, apiOrder, revoke); err != nil {
			t.Errorf("got %v, want it refunded", err)
		}
		asked := g.requests()[0]
		query, err := url.ParseQuery(asked.query)
		if err != nil || asked.method != http.MethodPost || asked.path != apiRoot+"orders/"+apiOrder+":refund" || query.Get("revoke") != fmt.Sprint(revoke) {
			t.Errorf("got %s %s?%s, want a refund with revoke=%v", asked.method, asked.path, asked.query, revoke)
		}
	}
}

func TestAReviewHasAllThatGoogleRequires(t *testing.T) {
	g := newGoogle(t, apiFails(500, "backendError", "x"), apiSays(``))
	review := aReview()
	if err := g.api().ReviewRefund(t.Context(), apiPackage, apiOrder, review); err != nil {
		t.Errorf("got %v, want it answered", err)
	}
	seen := g.requests()
	if want := `{"pendingRefundToken":"pending-refund","refundPreference":"DECLINE","sampleContentProvided":false}`; len(seen) != 2 || strings.TrimSpace(seen[1].body) != want || seen[1].path != apiRoot+"orders/"+apiOrder+":reviewrefund" {
		t.Errorf("got %+v, want %s sent twice", seen, want)
	}
	if review.ForceSendFields != nil {
		t.Errorf("got %v, want the caller's review left as it was", review.ForceSendFields)
	}
	for _, odd := range []*androidpublisher.OrdersReviewRefundRequest{nil, {}, {PendingRefundToken: "x"}, {RefundPreference: "DECLINE"}} {
		apiKindIs(t, "odd", g.api().ReviewRefund(t.Context(), apiPackage, apiOrder, odd), fault.Malformed, nil)
	}
}

func TestACatalogueIsReadToItsEnd(t *testing.T) {
	pages := func(list string, n int) func(apiAsked) apiTurn {
		return func(asked apiAsked) apiTurn {
			query, _ := url.ParseQuery(asked.query)
			page := 0
			if text, ok := query["pageToken"]; ok {
				_, _ = fmt.Sscanf(text[0], "page-%d", &page)
			}
			next := ""
			if page+1 < n {
				next = fmt.Sprintf(`,"nextPageToken":"page-%d"`, page+1)
			}
			return apiSays(fmt.Sprintf(`{"%s":[{"productId":"p%d"},{"productId":"q%d"}]%s}`, list, page, page, next))
		}
	}
	type count func(a *play.API) (int, error)
	for list, read := range map[string]count{
		"oneTimeProducts": func(a *play.API) (int, error) {
			got, err := a.OneTimeProducts(t.Context(), apiPackage)
			return len(got), err
		},
		"subscriptions": func(a *play.API) (int, error) {
			got, err := a.Subscriptions(t.Context(), apiPackage)
			return len(got), err
		},
	} {
		for _, n := range []int{1, 2, 100} {
			g := newGoogle(t)
			g.by(pages(list, n))
			if got, err := read(g.api()); err != nil || got != 2*n || len(g.requests()) != n || g.requests()[0].path != apiRoot+list {
				t.Errorf("%s: got %d, %v by %d requests, want %d by %d", list, got, err, len(g.requests()), 2*n, n)
			}
		}
		g := newGoogle(t)
		g.by(pages(list, 1<<30))
		_, err := read(g.api())
		apiKindIs(t, "no end", err, fault.Unavailable, nil)
		if len(g.requests()) != 100 {
			t.Errorf("%s: got %d requests, want 100 and no more", list, len(g.requests()))
		}
		for name, turns := range map[string][]apiTurn{
			"a page that fails": {apiSays(`{"` + list + `":[],"nextPageToken":"page-1"}`), apiFails(403, "forbidden", "x")},
			"no product":        {apiSays(`{"` + list + `":[{}]}`)},
			"a null":            {apiSays(`{"` + list + `":[null]}`)},
			"in a circle":       {apiSays(`{"` + list + `":[],"nextPageToken":"page-1"}`)},
			"no list":           {apiSays(`[]`)},
		} {
			g := newGoogle(t, turns...)
			got, err := read(g.api())
			if err == nil || got != 0 {
				t.Errorf("%s, %s: got %d, %v, want an error and nothing", list, name, got, err)
			}
			if len(g.requests()) > 2 {
				t.Errorf("%s, %s: got %d requests, want it seen at once", list, name, len(g.requests()))
			}
		}
		g = newGoogle(t, apiSays(`{}`))
		if got, err := read(g.api()); err != nil || got != 0 {
			t.Errorf("%s: got %d, %v, want an empty catalogue", list, got, err)
		}
		_, err = read(newGoogle(t, apiFails(404, "notFound", "Package not found: com.example.app.")).api())
		apiKindIs(t, "no package", err, fault.Unavailable, play.ErrConfiguration)
	}
}
