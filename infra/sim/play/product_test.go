package play_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/androidpublisher/v3"

	"grantline/infra/sim/play"
	"grantline/infra/sim/stage"
)

func (p *shop) acknowledge(product, token string) error {
	return p.api.Purchases.Products.Acknowledge(play.Package, product, token, &androidpublisher.ProductPurchasesAcknowledgeRequest{}).Do()
}

func (p *shop) consume(product, token string) error {
	return p.api.Purchases.Products.Consume(play.Package, product, token).Do()
}

func TestOneTimePurchaseReadsAsGooglesClientExpects(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.buy(play.Purchase{ProductID: "gems_100*3,ad_free", Account: "a1", Profile: "p1"})
	got := p.product(bought.PurchaseToken)
	item := func(id string, quantity int64) *androidpublisher.ProductLineItem {
		return &androidpublisher.ProductLineItem{ProductId: id, ProductOfferDetails: &androidpublisher.ProductOfferDetails{
			PurchaseOptionId: "buy", Quantity: quantity, RefundableQuantity: quantity, ConsumptionState: "CONSUMPTION_STATE_YET_TO_BE_CONSUMED",
		}}
	}
	want := &androidpublisher.ProductPurchaseV2{
		Kind: "androidpublisher#productPurchaseV2", OrderId: bought.OrderID, RegionCode: "KR", AcknowledgementState: "ACKNOWLEDGEMENT_STATE_PENDING",
		ObfuscatedExternalAccountId: "a1", ObfuscatedExternalProfileId: "p1", PurchaseCompletionTime: "2026-03-01T00:00:00.000Z",
		PurchaseStateContext: &androidpublisher.PurchaseStateContext{PurchaseState: "PURCHASED"},
		ProductLineItem:      []*androidpublisher.ProductLineItem{item("gems_100", 3), item("ad_free", 1)},
	}
	got.ServerResponse = want.ServerResponse
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("purchase differs (-want +got):\n%s", diff)
	}
	first, err := p.api.Purchases.Products.Get(play.Package, "gems_100", bought.PurchaseToken).Do()
	p.must(err)
	if first.Kind != "androidpublisher#productPurchase" || first.PurchaseState != 0 || first.Quantity != 3 || first.OrderId != bought.OrderID || first.PurchaseType != nil ||
		first.PurchaseTimeMillis != p.clock.Now().UnixMilli() || first.RefundableQuantity != 3 {
		t.Errorf("first version: got %+v, want three, purchased now", first)
	}
	order := p.order(bought.OrderID)
	if order.State != "PROCESSED" || order.Total.Units != 3*1200+5900 || order.Total.CurrencyCode != "KRW" || order.PurchaseToken != bought.PurchaseToken ||
		len(order.LineItems) != 2 || order.LineItems[0].OneTimePurchaseDetails.Quantity != 3 {
		t.Errorf("order: got %+v, want both products, 9,500 won", order)
	}
	notice := p.wants("oneTime.1")[0]
	if notice.notice["packageName"] != play.Package || notice.detail["purchaseToken"] != bought.PurchaseToken || notice.detail["sku"] != "gems_100" {
		t.Errorf("notification: got %v, want the purchase's", notice.notice)
	}
	if diff := cmp.Diff([]string{"gems_100", "ad_free"}, bought.Products); diff != "" || bought.Quantity != 3 || bought.PurchaseState != 0 {
		t.Errorf("on the device: got %+v, want both products", bought)
	}
}

func TestKindsOfPurchasesAreToldApart(t *testing.T) {
	p := newShop(t, play.Options{})
	promo := p.buy(play.Purchase{ProductID: "gems_100", Promo: true})
	if got := p.product(promo.PurchaseToken); got.OrderId != "" || promo.OrderID != "" {
		t.Errorf("promo: got order %q, want none", got.OrderId)
	}
	test := p.buy(play.Purchase{ProductID: "gems_100", Test: true})
	if got := p.product(test.PurchaseToken); got.TestPurchaseContext == nil || got.TestPurchaseContext.FopType != "TEST" {
		t.Errorf("test: got %+v, want it marked", got.TestPurchaseContext)
	}
	rent := p.buy(play.Purchase{ProductID: "film:rent"})
	if got := p.product(rent.PurchaseToken).ProductLineItem[0].ProductOfferDetails; got.RentOfferDetails == nil || got.PurchaseOptionId != "rent" {
		t.Errorf("rental: got %+v, want it marked", got)
	}
	rewarded := p.buy(play.Purchase{ProductID: "gems_100", Rewarded: true})
	for token, want := range map[string]int64{test.PurchaseToken: 0, promo.PurchaseToken: 1, rewarded.PurchaseToken: 2} {
		got, err := p.api.Purchases.Products.Get(play.Package, "gems_100", token).Do()
		p.must(err)
		if got.PurchaseType == nil || *got.PurchaseType != want {
			t.Errorf("purchaseType: got %v, want %d", got.PurchaseType, want)
		}
	}
	unknown := p.buy(play.Purchase{ProductID: "mystery", Kind: "oneTime", Price: 499, Currency: "USD"})
	if got := p.order(unknown.OrderID).Total; got.Units != 4 || got.Nanos != 990_000_000 || got.CurrencyCode != "USD" {
		t.Errorf("unknown: got %+v, want 4.99 USD", got)
	}
}

func TestPendingPurchaseGrantsNothingUntilItIsPaid(t *testing.T) {
	for _, c := range []struct {
		end            func(*play.Simulator, play.Held) error
		state, notice  string
		order, effects string
	}{
		{func(s *play.Simulator, h play.Held) error { _, err := s.Complete(h); return err }, "PURCHASED", "oneTime.1", "PROCESSED", "purchased"},
		{(*play.Simulator).Abandon, "CANCELLED", "oneTime.2", "CANCELED", "pendingCancelled"},
	} {
		p := newShop(t, play.Options{})
		bought := p.buy(play.Purchase{ProductID: "gems_100", Pending: true})
		held := play.Held{PurchaseToken: bought.OrderID} // by its order too
		p.days(4)
		p.wants()
		if got := p.product(bought.PurchaseToken); got.PurchaseStateContext.PurchaseState != "PENDING" || got.PurchaseCompletionTime != "" || bought.PurchaseState != 4 {
			t.Errorf("pending: got %+v, want PENDING and not completed", got)
		}
		p.refused("acknowledge pending", p.acknowledge("gems_100", bought.PurchaseToken), 400, "invalidPurchaseState")
		p.refused("consume pending", p.consume("gems_100", bought.PurchaseToken), 400, "invalidPurchaseState")
		p.must(c.end(p.Simulator, held))
		p.wants(c.notice)
		if got := p.product(bought.PurchaseToken).PurchaseStateContext.PurchaseState; got != c.state {
			t.Errorf("got %s, want %s", got, c.state)
		}
		if got := p.order(bought.OrderID).State; got != c.order {
			t.Errorf("order: got %s, want %s", got, c.order)
		}
		if got := p.effects(); got[len(got)-1] != c.effects {
			t.Errorf("effects: got %v, want %s last", got, c.effects)
		}
		if err := c.end(p.Simulator, held); err == nil {
			t.Error("again: got it done, want it refused")
		}
	}
}

func TestAcknowledgingIsDoneOnceAndConsumingTakesAway(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.buy(play.Purchase{ProductID: "gems_100*2"}).PurchaseToken
	p.must(p.acknowledge("gems_100", token))
	p.must(p.acknowledge("gems_100", token))
	p.wantEffects("purchased", "acknowledged")
	p.must(p.consume("gems_100", token))
	got := p.product(token)
	if got.AcknowledgementState != "ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED" || got.ProductLineItem[0].ProductOfferDetails.ConsumptionState != "CONSUMPTION_STATE_CONSUMED" {
		t.Errorf("got %+v, want it acknowledged and consumed", got)
	}
	p.refused("consume again", p.consume("gems_100", token), 400, "productNotOwnedByUser")
	p.refused("acknowledge consumed", p.acknowledge("gems_100", token), 400, "productNotOwnedByUser")
	other := p.buy(play.Purchase{ProductID: "gems_100"}).PurchaseToken
	p.must(p.consume("gems_100", other)) // which acknowledges
	p.days(4)
	p.wantEffects("purchased", "acknowledged", "consumed", "purchased", "consumed")
	p.must(p.Refund(play.Refund{OrderID: other}))
	p.refused("consume refunded", p.consume("gems_100", other), 400, "productNotOwnedByUser")
	p.refused("acknowledge refunded", p.acknowledge("gems_100", other), 400, "invalidPurchaseState")
	apps := p.buy(play.Purchase{ProductID: "ad_free"}).PurchaseToken
	p.must(p.Acknowledge(play.Held{PurchaseToken: apps}))
	p.must(p.Consume(play.Held{PurchaseToken: apps}))
	if err := p.Consume(play.Held{PurchaseToken: apps}); err == nil {
		t.Error("the app consumes again: got it done, want it refused")
	}
}

func TestUnacknowledgedPurchaseIsRefundedAtItsDeadline(t *testing.T) {
	for _, c := range []struct {
		what   string
		buy    play.Purchase
		after  time.Duration
		notice []string
	}{
		{"one-time", play.Purchase{ProductID: "gems_100"}, 72 * time.Hour, []string{"voided.2.1"}},
		{"promo", play.Purchase{ProductID: "gems_100", Promo: true}, 72 * time.Hour, []string{"voided.2.1"}},
		{"tester", play.Purchase{ProductID: "gems_100", Test: true}, 3 * time.Minute, []string{"voided.2.1"}},
		{"subscription", play.Purchase{ProductID: "premium:monthly"}, 72 * time.Hour, []string{"subscription.12", "voided.1.1"}},
		{"tester's subscription", play.Purchase{ProductID: "premium:monthly", Test: true}, 3 * time.Minute, []string{"subscription.12", "voided.1.1"}},
		{"prepaid of a week", play.Purchase{ProductID: "premium:weekly-prepaid"}, 72 * time.Hour, []string{"subscription.12", "voided.1.1"}},
		{"prepaid of three days", play.Purchase{ProductID: "premium:short-prepaid"}, 36 * time.Hour, []string{"subscription.12", "voided.1.1"}},
	} {
		p := newShop(t, play.Options{})
		bought := p.buy(c.buy)
		p.advance(c.after - time.Second)
		p.seen = len(p.receiver.Arrivals())
		if got := p.words(); len(got) != 0 || p.effects()[len(p.effects())-1] != "purchased" {
			t.Errorf("%s: got %v before the deadline, want nothing", c.what, p.effects())
		}
		p.advance(time.Second)
		p.wants(c.notice...)
		var refunds, voids int
		for _, e := range p.Effects() {
			switch e.Kind {
			case "autoRefunded":
				refunds++
			case "voided":
				voids++
			}
		}
		if refunds != 1 || voids != 1 {
			t.Errorf("%s: got %v, want it refunded and voided once", c.what, p.effects())
		}
		rows, err := p.api.Purchases.Voidedpurchases.List(play.Package).Type(1).Do()
		p.must(err)
		if len(rows.VoidedPurchases) != 1 || rows.VoidedPurchases[0].VoidedReason != 8 || rows.VoidedPurchases[0].VoidedSource != 2 || rows.VoidedPurchases[0].OrderId != bought.OrderID {
			t.Errorf("%s: got %+v, want one row, unacknowledged, by Google", c.what, rows.VoidedPurchases)
		}
		if bought.OrderID != "" && p.order(bought.OrderID).State != "REFUNDED" {
			t.Errorf("%s: got the order %s, want it refunded", c.what, p.order(bought.OrderID).State)
		}
		p.days(100)
		p.wants()
	}
}

func TestDeadlineBeginsWithThePayment(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.buy(play.Purchase{ProductID: "premium:monthly", Pending: true})
	p.days(10)
	p.wants()
	_, err := p.Complete(play.Held{PurchaseToken: bought.PurchaseToken})
	p.must(err)
	p.wants("subscription.4")
	p.advance(71 * time.Hour)
	p.wants()
	p.advance(time.Hour)
	p.wants("subscription.12", "voided.1.1")
}

func TestWrongTokenIsRefusedAsGoogleDoes(t *testing.T) {
	p := newShop(t, play.Options{})
	gems, premium := p.buy(play.Purchase{ProductID: "gems_100"}).PurchaseToken, p.buy(play.Purchase{ProductID: "premium:monthly"}).PurchaseToken
	other := p.buy(play.Purchase{ProductID: "gems_100", PackageName: "com.example.other"}).PurchaseToken
	unknown := strings.Repeat("a", 24) + ".AO-J1O" + strings.Repeat("x", 100)
	product := func(token string) error {
		_, err := p.api.Purchases.Productsv2.Getproductpurchasev2(play.Package, token).Do()
		return err
	}
	subscription := func(token string) error {
		_, err := p.api.Purchases.Subscriptionsv2.Get(play.Package, token).Do()
		return err
	}
	for _, malformed := range []string{"x", "a/b", "a?b", "a#b", "a%b", "a:acknowledge", strings.Repeat("x", 4096)} {
		p.refused(malformed, product(malformed), 400, "invalid")
		p.refused(malformed, subscription(malformed), 400, "invalid")
	}
	p.refused("a subscription's", product(premium), 400, "invalid")
	p.refused("a product's", subscription(gems), 400, "invalid")
	p.refused("unknown", product(unknown), 404, "purchaseTokenNotFound")
	p.refused("unknown", subscription(unknown), 404, "purchaseTokenNotFound")
	p.refused("of another app", product(other), 400, "purchaseTokenDoesNotMatchPackageName")
	_, err := p.api.Purchases.Productsv2.Getproductpurchasev2("com.example.nobody", gems).Do()
	p.refused("unknown package", err, 404, "notFound")
	p.refused("of another product", p.acknowledge("ad_free", gems), 400, "purchaseTokenDoesNotMatchProductId")
	p.must(p.Lapse(play.Held{PurchaseToken: gems}))
	p.refused("lapsed", product(gems), 410, "purchaseTokenNoLongerValid")
	p.must(p.Lapse(play.Held{PurchaseToken: premium}))
	p.refused("lapsed", subscription(premium), 410, "subscriptionPurchaseNoLongerAvailable")
}

func TestTwoChangesAtATimeAreConcurrent(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.buy(play.Purchase{ProductID: "gems_100"}).PurchaseToken
	p.product(token) // takes the access token
	p.must(p.Fault(stage.Fault{Endpoint: play.ConsumeProduct, Delay: stage.Duration(time.Second)}))
	var wait sync.WaitGroup
	var slow error
	wait.Go(func() { slow = p.consume("gems_100", token) })
	deadline := time.Now().Add(time.Minute)
	for {
		err := p.acknowledge("gems_100", token)
		if err != nil {
			p.refused("meanwhile", err, 409, "concurrentUpdate")
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("got no conflict, want one while the other call is under way")
		}
	}
	wait.Wait()
	p.must(slow)
}

func TestLostAnswerOfAConsumptionHasItsEffectOnce(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.buy(play.Purchase{ProductID: "gems_100"}).PurchaseToken
	for _, f := range []stage.Fault{{When: stage.Before, How: stage.Error}, {When: stage.After, How: stage.Error}} {
		f.Endpoint = play.ConsumeProduct
		p.must(p.Fault(f))
		p.refused(f.When, p.consume("gems_100", token), 500, "backendError")
	}
	p.refused("again", p.consume("gems_100", token), 400, "productNotOwnedByUser")
	p.wantEffects("purchased", "consumed")
}

func TestImpossiblePurchaseIsRefused(t *testing.T) {
	p := newShop(t, play.Options{})
	for _, b := range []play.Purchase{
		{},
		{ProductID: "nothing"},
		{ProductID: "premium:nothing"},
		{ProductID: "gems_100*0"},
		{ProductID: "gems_100*x"},
		{ProductID: "gems_100,premium:monthly"},
		{ProductID: "premium:monthly*2"},
		{ProductID: "premium:weekly-prepaid,extra:monthly"},
		{ProductID: "gems_100", Quantity: -1},
		{ProductID: "gems_100*2", Quantity: 2},
		{ProductID: "gems_100", Account: strings.Repeat("a", 65)},
		{ProductID: "gems_100", Account: "park@example.com"},
		{ProductID: "premium:monthly", GraceDays: ptr(31)},
		{ProductID: "premium:monthly", HoldDays: ptr(61)},
		{ProductID: "premium:monthly", Trial: "often"},
		{ProductID: "x", Kind: "y"},
		{ProductID: "x", Kind: "subscription", Period: "monthly"},
		{ProductID: "premium:monthly", Promo: true},
		{ProductID: strings.Repeat("gems_100,", 50) + "ad_free"},
	} {
		if _, err := p.Buy(b); err == nil {
			t.Errorf("%+v: got it sold, want it refused", b)
		}
	}
}

func TestElsewhereIsAPlain404(t *testing.T) {
	p := newShop(t, play.Options{})
	_, granted := p.grant(nil)
	bearer := "Bearer " + granted["access_token"].(string)
	for _, path := range []string{"/", "/androidpublisher/v3/applications", "/androidpublisher/v3/applications/" + play.Package + "/else", "/androidpublisher/v3/applications/" + play.Package + "/purchases/subscriptions//tokens/x:acknowledge"} {
		want := http.StatusNotFound
		method := "GET"
		if strings.Contains(path, ":") {
			method, want = "POST", http.StatusBadRequest // an empty product is one that is wrong
		}
		if status, _, _ := p.ask(method, path, bearer, ""); status != want {
			t.Errorf("%s: got %d, want %d", path, status, want)
		}
	}
}
