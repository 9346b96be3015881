package play_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/play"
)

var voidedFrom, voidedTo = apiNow.Add(-48 * time.Hour), apiNow

// row is one of Google's list; what is "" is not said.
func row(token, order string, millis int64, quantity int) string {
	text := fmt.Sprintf(`{"kind":"androidpublisher#voidedPurchase","voidedTimeMillis":"%d","purchaseTimeMillis":"1","voidedSource":2,"voidedReason":7`, millis)
	if token != "" {
		text += fmt.Sprintf(`,"purchaseToken":%q`, token)
	}
	if order != "" {
		text += fmt.Sprintf(`,"orderId":%q`, order)
	}
	if quantity != 0 {
		text += fmt.Sprintf(`,"voidedQuantity":%d`, quantity)
	}
	return text + `}`
}

func page(next string, rows ...string) string {
	return `{"voidedPurchases":[` + strings.Join(rows, ",") + `],"tokenPagination":{"nextPageToken":"` + next + `"}}`
}

func missed(t *testing.T, s *shop, from string) ([]notice.Hint, string) {
	t.Helper()
	hints, next, err := s.store.Histories()[0].Missed(t.Context(), voidedFrom, voidedTo, from)
	if err != nil {
		t.Fatal(err)
	}
	return hints, next
}

func TestEachAppHasAHistoryOfItsOwn(t *testing.T) {
	s := newShop(t, twoPackages)
	var names []string
	for _, h := range s.store.Histories() {
		names = append(names, h.Name())
		if h.Keeps() != 720*time.Hour {
			t.Errorf("got %v, want 30 days", h.Keeps())
		}
	}
	if diff := cmp.Diff([]string{"voided#" + apiPackage, "voided#" + shopSecond}, names); diff != "" {
		t.Errorf("histories (-want +got):\n%s", diff)
	}
	s.voided[""] = page("", row(apiToken, shopOrder, 1795300000000, 0))
	hints, _, err := s.store.Histories()[1].Missed(t.Context(), voidedFrom, voidedTo, "")
	if err != nil || len(hints) != 1 || !strings.Contains(hints[0].Evidence, shopSecond) || s.asked()[0] != "voidedpurchases@"+shopSecond {
		t.Errorf("got %+v, %v, asked %v, want a hint about the second app", hints, err, s.asked())
	}
}

// A row is the notification that should have told of it.
func TestWhatWasVoidedIsToldAsItsNotificationWould(t *testing.T) {
	s := newShop(t)
	s.voided[""] = page("", row(apiToken, shopOrder, 1795300000000, 0), row(apiToken, shopOrder, 1795300000001, 2), row(shopOlder, "", 1795300000002, 0))
	got, next := missed(t, s, "")
	id := func(of string) string { return play.TokenID(of)[:40] }
	evidence := func(token, order string, millis, refund int) string {
		if order != "" {
			order = `,"orderId":"` + order + `"`
		}
		return fmt.Sprintf(`{"packageName":"%s","eventTimeMillis":"%d","voidedPurchaseNotification":{"purchaseToken":"%s"%s,"productType":0,"refundType":%d}}`, apiPackage, millis, token, order, refund)
	}
	want := []notice.Hint{
		{
			Signed: true, ID: "voided-" + id(apiToken+" "+shopOrder) + "-1795300000000", Type: "voided.0.1", Line: play.TokenID(apiToken), Order: "play_" + shopOrder,
			Evidence: evidence(apiToken, shopOrder, 1795300000000, 1),
		},
		{
			Signed: true, ID: "voided-" + id(apiToken+" "+shopOrder) + "-1795300000001", Type: "voided.0.2", Line: play.TokenID(apiToken), Order: "play_" + shopOrder,
			Evidence: evidence(apiToken, shopOrder, 1795300000001, 2),
		},
		{
			Signed: true, ID: "voided-" + id(shopOlder+" ") + "-1795300000002", Type: "voided.0.1", Line: play.TokenID(shopOlder),
			Evidence: evidence(shopOlder, "", 1795300000002, 1),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" || next != "" {
		t.Errorf("next %q, hints (-want +got):\n%s", next, diff)
	}
}

func TestAVoidedRowHasOneNameForEver(t *testing.T) {
	s := newShop(t)
	s.voided[""] = page("", row(apiToken, shopOrder, 1795300000000, 0), row(apiToken, shopOrder, 1795300000001, 2), row(apiToken, apiOrder, 1795300000000, 0), row(shopOlder, shopOrder, 1795300000000, 0))
	first, _ := missed(t, s, "")
	again, _ := missed(t, s, "")
	if diff := cmp.Diff(first, again); diff != "" || len(first) != 4 {
		t.Errorf("asked again (-first +again):\n%s", diff)
	}
	names := map[string]bool{}
	for _, h := range first {
		names[h.ID] = true
		if strings.Contains(h.ID, apiToken) || strings.Contains(h.ID, shopOrder) {
			t.Errorf("%s holds what is secret", h.ID)
		}
	}
	if len(names) != 4 {
		t.Errorf("got names %v, want 4", names)
	}
}

func TestThePagesOfTheListAreFollowed(t *testing.T) {
	s := newShop(t)
	s.voided[""], s.voided["second"] = page("second", row(apiToken, shopOrder, 1795300000000, 0)), page("", row(shopOlder, apiOrder, 1795300000000, 0))
	first, next := missed(t, s, "")
	if len(first) != 1 || first[0].Line != play.TokenID(apiToken) || next != "second" {
		t.Fatalf("got %+v and %q, want a row and the second page", first, next)
	}
	second, next := missed(t, s, next)
	if len(second) != 1 || second[0].Line != play.TokenID(shopOlder) || next != "" {
		t.Errorf("got %+v and %q, want another row and no page", second, next)
	}
	query, err := url.ParseQuery(s.requests()[0].query)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"startTime": fmt.Sprint(voidedFrom.UnixMilli()), "endTime": fmt.Sprint(voidedTo.UnixMilli()), "type": "1", "includeQuantityBasedPartialRefund": "true", "maxResults": "1000",
	} {
		if got := query.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// One row that nobody could look at hides no other.
func TestARowThatCannotBeLookedAtIsPassedOver(t *testing.T) {
	s := newShop(t)
	s.voided[""] = page("", row("a b", shopOrder, 1795300000000, 0), row(apiToken, "no order", 1795300000000, 0), row("..", "", 1795300000000, 0), row(apiToken, shopOrder, 0, 0))
	hints, _ := missed(t, s, "")
	if len(hints) != 1 || hints[0].Line != play.TokenID(apiToken) || !strings.HasSuffix(hints[0].ID, "-0") {
		t.Errorf("got %+v, want the last row", hints)
	}
	s.voided[""] = `{}`
	if hints, next := missed(t, s, ""); len(hints) != 0 || next != "" {
		t.Errorf("got %+v, %q, want nothing of an empty list", hints, next)
	}
}

func TestAListThatCannotBeReadIsAskedForAgain(t *testing.T) {
	for name, list := range map[string]string{"garbage": "<html>", "a row without a token": page("", row("", shopOrder, 1795300000000, 0)), "a page that leads to itself": page("again")} {
		s := newShop(t)
		s.voided[""], s.voided["again"] = list, list
		hints, next, err := s.store.Histories()[0].Missed(t.Context(), voidedFrom, voidedTo, map[bool]string{true: "again"}[name == "a page that leads to itself"])
		if faultIs(t, err, fault.Unavailable); len(hints) > 0 || next != "" {
			t.Errorf("%s: got %+v, %q, want nothing", name, hints, next)
		}
	}
}

// What the list told of is looked at as a notification is.
func TestARowOfTheListIsHeard(t *testing.T) {
	s := newShop(t)
	s.sells(edited(t, shopProduct, "PURCHASED", "CANCELLED"))
	s.voided[""] = page("", row(apiToken, shopOrder, 1795300000000, 0))
	hints, _ := missed(t, s, "")
	news, err := s.store.Hear(t.Context(), hints[0].Evidence)
	if diff := cmp.Diff([]string{shopOrder + "/gems_100/refunded"}, orderIDs(news.Sales)); err != nil || diff != "" {
		t.Errorf("error %v, sales (-want +got):\n%s", err, diff)
	}
}
