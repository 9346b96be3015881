package play_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/androidpublisher/v3"

	"grantline/infra/sim/play"
	"grantline/infra/sim/stage"
)

// rows are the orders of the list of what was voided, with their parts if they are asked for.
func (p *shop) rows(kind int64, parts bool) (list []string) {
	p.t.Helper()
	got, err := p.api.Purchases.Voidedpurchases.List(play.Package).Type(kind).IncludeQuantityBasedPartialRefund(parts).Do()
	p.must(err)
	for _, row := range got.VoidedPurchases {
		if row.Kind != "androidpublisher#voidedPurchase" || row.PurchaseToken == "" {
			p.t.Errorf("row: got %+v, want a voided purchase with its token", row)
		}
		list = append(list, fmt.Sprintf("%s/%d", row.OrderId, row.VoidedQuantity))
	}
	return list
}

func TestRefundTakesTheProductAwayAndIsListed(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.buy(play.Purchase{ProductID: "gems_100*3"})
	p.calm()
	p.must(p.Refund(play.Refund{OrderID: bought.OrderID, Reason: 7}))
	notice := p.wants("voided.2.1")[0]
	if notice.detail["orderId"] != bought.OrderID || notice.detail["purchaseToken"] != bought.PurchaseToken {
		t.Errorf("notification: got %v, want the order's", notice.detail)
	}
	got := p.product(bought.PurchaseToken)
	if got.PurchaseStateContext.PurchaseState != "CANCELLED" || got.ProductLineItem[0].ProductOfferDetails.RefundableQuantity != 0 {
		t.Errorf("got %+v, want it cancelled, nothing left", got)
	}
	order := p.order(bought.OrderID)
	if order.State != "REFUNDED" || order.OrderHistory.RefundEvent.RefundReason != "CHARGEBACK" || order.OrderHistory.RefundEvent.RefundDetails.Total.Units != 3600 {
		t.Errorf("order: got %+v, want 3,600 refunded by a chargeback", order)
	}
	if diff := cmp.Diff([]string{bought.OrderID + "/0"}, p.rows(0, false)); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
	if err := p.Refund(play.Refund{OrderID: bought.OrderID}); err == nil {
		t.Error("again: got it refunded, want it refused")
	}
	p.wantEffects("purchased", "refunded", "voided")
}

func TestRefundWithoutRevokeShowsOnlyInTheOrder(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.buy(play.Purchase{ProductID: "ad_free"})
	sub := p.owned(play.Purchase{})
	p.must(p.Refund(play.Refund{OrderID: bought.OrderID, Revoke: ptr(false)}))
	p.must(p.api.Orders.Refund(play.Package, sub.OrderID).Do())
	p.wants()
	if got := p.product(bought.PurchaseToken).PurchaseStateContext.PurchaseState; got != "PURCHASED" {
		t.Errorf("product: got %s, want it kept", got)
	}
	p.state("subscription", sub.PurchaseToken, "ACTIVE", "2026-04-01")
	for _, id := range []string{bought.OrderID, sub.OrderID} {
		if got := p.order(id).State; got != "REFUNDED" {
			t.Errorf("order: got %s, want REFUNDED", got)
		}
	}
	if got := p.rows(1, true); len(got) != 0 {
		t.Errorf("rows: got %v, want none", got)
	}
	err := p.api.Orders.Refund(play.Package, sub.OrderID).Do()
	p.refused("again", err, 400, "invalidValue")
}

func TestQuantityIsRefundedInPartsAndThenInFull(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.buy(play.Purchase{ProductID: "gems_100", Quantity: 5})
	p.calm()
	left := func() int64 {
		return p.product(bought.PurchaseToken).ProductLineItem[0].ProductOfferDetails.RefundableQuantity
	}
	for i, c := range []struct {
		quantity int
		notice   string
		left     int64
		state    string
	}{{2, "voided.2.2", 3, "PARTIALLY_REFUNDED"}, {1, "voided.2.2", 2, "PARTIALLY_REFUNDED"}, {0, "voided.2.1", 0, "REFUNDED"}} {
		p.must(p.Refund(play.Refund{OrderID: bought.OrderID, Quantity: c.quantity}))
		p.wants(c.notice)
		if got := left(); got != c.left {
			t.Errorf("refund %d: got %d left, want %d", i, got, c.left)
		}
		if got := p.order(bought.OrderID).State; got != c.state {
			t.Errorf("refund %d: got %s, want %s", i, got, c.state)
		}
	}
	if diff := cmp.Diff([]string{bought.OrderID + "/0"}, p.rows(0, false)); diff != "" {
		t.Errorf("rows without parts differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{bought.OrderID + "/2", bought.OrderID + "/1", bought.OrderID + "/0"}, p.rows(0, true)); diff != "" {
		t.Errorf("rows with parts differ (-want +got):\n%s", diff)
	}
	var back int64
	for _, e := range p.Effects() {
		if e.Kind == "refunded" {
			back += e.Amount
		}
	}
	if back != 5*1200 {
		t.Errorf("refunded: got %d, want what was paid, once", back)
	}
	other := p.buy(play.Purchase{ProductID: "gems_100*2,ad_free"})
	p.must(p.Refund(play.Refund{OrderID: other.OrderID, Quantity: 2, Product: "gems_100"}))
	p.must(p.Refund(play.Refund{OrderID: other.OrderID, Quantity: 1, Product: "ad_free"}))
	p.wants("oneTime.1", "voided.2.2", "voided.2.1")
	p.must(p.Set(play.Settings{WriteZeros: ptr(true)}))
	for _, r := range []play.Refund{{OrderID: other.OrderID, Quantity: 1}, {OrderID: "x"}, {OrderID: bought.PurchaseToken}} {
		if err := p.Refund(r); err == nil {
			t.Errorf("%+v: got it refunded, want it refused", r)
		}
	}
}

func TestRefundOfAnOlderRenewalLeavesTheSubscription(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.owned(play.Purchase{})
	p.days(62)
	p.wants("subscription.2", "subscription.2")
	p.must(p.Refund(play.Refund{OrderID: bought.OrderID + "..0"}))
	p.wants("voided.1.1")
	p.state("older", bought.PurchaseToken, "ACTIVE", "2026-06-01")
	p.must(p.api.Orders.Refund(play.Package, bought.OrderID+"..1").Revoke(true).Do())
	p.wants("subscription.12", "voided.1.1")
	p.state("latest", bought.PurchaseToken, "EXPIRED", "2026-05-02")
	if diff := cmp.Diff([]string{bought.OrderID + "..0/0", bought.OrderID + "..1/0"}, p.rows(1, false)); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
	if got := p.rows(0, false); len(got) != 0 {
		t.Errorf("of products: got %v, want none", got)
	}
	if got := p.order(bought.OrderID).State; got != "PROCESSED" {
		t.Errorf("first order: got %s, want it untouched", got)
	}
}

func TestVoidedListIsPagedByWhenItWasRecorded(t *testing.T) {
	p := newShop(t, play.Options{})
	p.must(p.Set(play.Settings{PerMinute: ptr(0), VoidedLag: ptr(stage.Duration(time.Hour))}))
	var want []string
	for range 7 {
		bought := p.buy(play.Purchase{ProductID: "gems_100"})
		p.must(p.Refund(play.Refund{OrderID: bought.OrderID}))
		want = append(want, bought.OrderID+"/0")
	}
	if got := p.rows(0, false); len(got) != 0 {
		t.Errorf("before they are recorded: got %v, want none", got)
	}
	p.advance(time.Hour)
	var got []string
	call := p.api.Purchases.Voidedpurchases.List(play.Package).MaxResults(3)
	for pages := 0; ; pages++ {
		page, err := call.Do()
		p.must(err)
		for _, row := range page.VoidedPurchases {
			got = append(got, fmt.Sprintf("%s/%d", row.OrderId, row.VoidedQuantity))
		}
		if page.TokenPagination == nil {
			if pages != 2 {
				t.Errorf("got %d pages more, want 2", pages)
			}
			break
		}
		// The window of a page token counts, whatever else is said.
		call = p.api.Purchases.Voidedpurchases.List(play.Package).MaxResults(3).Token(page.TokenPagination.NextPageToken).StartTime(1)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
	now := p.clock.Now()
	list := p.api.Purchases.Voidedpurchases.List(play.Package)
	for what, call := range map[string]*androidpublisher.PurchasesVoidedpurchasesListCall{
		"startTime": p.api.Purchases.Voidedpurchases.List(play.Package).StartTime(now.Add(-31 * 24 * time.Hour).UnixMilli()),
		"endTime":   p.api.Purchases.Voidedpurchases.List(play.Package).EndTime(now.Add(time.Hour).UnixMilli()),
		"type":      p.api.Purchases.Voidedpurchases.List(play.Package).Type(2),
		"token":     p.api.Purchases.Voidedpurchases.List(play.Package).Token("x"),
	} {
		_, err := call.Do()
		p.refused(what, err, 400, "invalidValue")
	}
	page, err := list.StartTime(now.Add(-time.Minute).UnixMilli()).EndTime(now.UnixMilli()).Do()
	p.must(err)
	if len(page.VoidedPurchases) != 7 {
		t.Errorf("by when they were recorded: got %d, want all", len(page.VoidedPurchases))
	}
	p.days(31)
	if got := p.rows(0, false); len(got) != 0 {
		t.Errorf("a month later: got %v, want none", got)
	}
}

func TestReviewIsAnsweredOnceWithinADay(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.buy(play.Purchase{ProductID: "gems_100"})
	p.must(p.acknowledge("gems_100", bought.PurchaseToken))
	p.calm()
	asked, err := p.Review(play.Refund{OrderID: bought.OrderID})
	p.must(err)
	notice := p.wants("review.7")[0]
	if notice.detail["pendingRefundToken"] != asked["pendingRefundToken"] || notice.detail["orderId"] != bought.OrderID {
		t.Errorf("notification: got %v, want the order's", notice.detail)
	}
	answer := func(order, token, preference string) error {
		return p.api.Orders.Reviewrefund(play.Package, order, &androidpublisher.OrdersReviewRefundRequest{
			PendingRefundToken: token, RefundPreference: preference, ForceSendFields: []string{"SampleContentProvided"},
		}).Do()
	}
	token := asked["pendingRefundToken"]
	p.refused("unknown token", answer(bought.OrderID, "x", "DECLINE"), 400, "invalidValue")
	p.refused("another order", answer("GPA.1", token, "DECLINE"), 400, "invalidValue")
	p.refused("another word", answer(bought.OrderID, token, "GRANT"), 400, "invalidValue")
	err = p.api.Orders.Reviewrefund(play.Package, bought.OrderID, &androidpublisher.OrdersReviewRefundRequest{PendingRefundToken: token, RefundPreference: "DECLINE"}).Do()
	p.refused("no word about samples", err, 400, "invalidValue")
	p.must(answer(bought.OrderID, token, "DECLINE"))
	p.must(answer(bought.OrderID, token, "APPROVE"))
	var said []string
	for _, e := range p.Effects() {
		if e.Kind == "reviewed" {
			said = append(said, string(e.Detail))
		}
	}
	if len(said) != 1 || !contains(said[0], `"DECLINE"`) {
		t.Errorf("got %v, want the first answer alone", said)
	}
	late, err := p.Review(play.Refund{OrderID: bought.OrderID})
	p.must(err)
	p.advance(24*time.Hour + time.Second)
	p.refused("late", answer(bought.OrderID, late["pendingRefundToken"], "DECLINE"), 400, "invalidValue")
}

func TestOrdersAreHadTogetherOrNotAtAll(t *testing.T) {
	p := newShop(t, play.Options{})
	a, b := p.buy(play.Purchase{ProductID: "gems_100"}), p.buy(play.Purchase{ProductID: "premium:monthly"})
	got, err := p.api.Orders.Batchget(play.Package).OrderIds(a.OrderID, b.OrderID).Do()
	p.must(err)
	if len(got.Orders) != 2 || got.Orders[0].OrderId != a.OrderID || got.Orders[1].LineItems[0].SubscriptionDetails.ServicePeriodEndTime != "2026-04-01T00:00:00.000Z" {
		t.Errorf("got %+v, want both", got.Orders)
	}
	_, err = p.api.Orders.Batchget(play.Package).OrderIds(a.OrderID, "GPA.0000").Do()
	p.refused("one unknown", err, 404, "notFound")
	foreign := p.buy(play.Purchase{ProductID: "gems_100", PackageName: "com.example.other"})
	_, err = p.api.Orders.Get(play.Package, foreign.OrderID).Do()
	p.refused("another app's", err, 404, "notFound")
	_, err = p.api.Orders.Batchget(play.Package).OrderIds(a.OrderID, a.OrderID).Do()
	p.refused("twice", err, 400, "invalidValue")
	_, err = p.api.Orders.Batchget(play.Package).Do()
	p.refused("none", err, 400, "invalidValue")
	p.must(p.Acknowledge(play.Held{PurchaseToken: b.PurchaseToken}))
	p.days(4 * 366)
	p.refused("too old", p.api.Orders.Refund(play.Package, b.OrderID).Do(), 400, "invalidValue")
	if got := p.order(b.OrderID).State; got != "PROCESSED" {
		t.Errorf("too old: got %s, want it as it was", got)
	}
}
