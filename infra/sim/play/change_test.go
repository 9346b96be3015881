package play_test

import (
	"testing"
	"time"

	"google.golang.org/api/androidpublisher/v3"

	"grantline/infra/sim/play"
)

func (p *shop) replace(c play.Change) play.Bought {
	p.t.Helper()
	bought, err := p.Replace(c)
	p.must(err)
	return bought
}

func (p *shop) acknowledgeSubscription(product, token string, ids *androidpublisher.ExternalAccountIds) error {
	return p.api.Purchases.Subscriptions.Acknowledge(play.Package, product, token,
		&androidpublisher.SubscriptionPurchasesAcknowledgeRequest{ExternalAccountIds: ids}).Do()
}

func TestReplacementHasANewTokenThatIsLinkedToTheOld(t *testing.T) {
	for mode, want := range map[string]struct {
		ends  string
		units int64
	}{
		"":                      {"2027-03-04", 49_000}, // a year, and what is left of the month at the new price
		"WITH_TIME_PRORATION":   {"2026-04-04", 0},
		"CHARGE_PRORATED_PRICE": {"2026-04-01", -1},
		"WITHOUT_PRORATION":     {"2026-04-01", 0},
	} {
		p := newShop(t, play.Options{})
		old := p.owned(play.Purchase{Account: "a1"})
		p.to("2026-03-05")
		made := p.replace(play.Change{PurchaseToken: old.PurchaseToken, ProductID: "premium:yearly", Mode: mode})
		words := p.wants("subscription.4", "subscription.13")
		if words[0].detail["purchaseToken"] != made.PurchaseToken || words[1].detail["purchaseToken"] != old.PurchaseToken {
			t.Errorf("%s: got notifications of others, want the new one bought and the old one ended", mode)
		}
		got := p.subscription(made.PurchaseToken)
		if got.LinkedPurchaseToken != old.PurchaseToken || got.ExternalAccountIdentifiers.ObfuscatedExternalAccountId != "a1" || got.AcknowledgementState != "ACKNOWLEDGEMENT_STATE_PENDING" ||
			got.LineItems[0].ItemReplacement.ProductId != "premium" || got.LineItems[0].ItemReplacement.BasePlanId != "monthly" {
			t.Errorf("%s: got %+v, want it linked, of the same account, to be acknowledged", mode, got)
		}
		if want.units >= 0 && p.order(made.OrderID).Total.Units != want.units {
			t.Errorf("%s: got %d won, want %d", mode, p.order(made.OrderID).Total.Units, want.units)
		}
		if ends := got.LineItems[0].ExpiryTime[:10]; ends < want.ends && mode == "" || ends != want.ends && mode != "" && mode != "WITH_TIME_PRORATION" {
			t.Errorf("%s: got it until %s, want %s", mode, ends, want.ends)
		}
		if before := p.state(mode, old.PurchaseToken, "EXPIRED", "2026-03-05"); before.CanceledStateContext.ReplacementCancellation == nil {
			t.Errorf("%s: got %+v, want the old one replaced", mode, before.CanceledStateContext)
		}
	}
}

func TestChainOfReplacementsNeedsEachAcknowledged(t *testing.T) {
	p := newShop(t, play.Options{})
	first := p.owned(play.Purchase{})
	second := p.replace(play.Change{PurchaseToken: first.PurchaseToken, ProductID: "premium:yearly"})
	if _, err := p.Replace(play.Change{PurchaseToken: second.PurchaseToken, ProductID: "basic:monthly"}); err == nil {
		t.Error("unacknowledged: got it replaced, want it refused")
	}
	p.must(p.acknowledgeSubscription("premium", second.PurchaseToken, nil))
	third := p.replace(play.Change{PurchaseToken: second.PurchaseToken, ProductID: "basic:monthly"})
	if got := p.subscription(third.PurchaseToken).LinkedPurchaseToken; got != second.PurchaseToken {
		t.Error("third: got it linked to another, want the second")
	}
	p.days(3)
	p.wants("subscription.4", "subscription.13", "subscription.4", "subscription.13", "subscription.12", "voided.1.1")
}

func TestPendingReplacementLeavesTheOldOneUntilItIsPaid(t *testing.T) {
	p := newShop(t, play.Options{})
	old := p.owned(play.Purchase{})
	made := p.replace(play.Change{PurchaseToken: old.PurchaseToken, ProductID: "premium:yearly", Pending: true})
	got := p.state("pending", made.PurchaseToken, "PENDING", "")
	if got.LinkedPurchaseToken != old.PurchaseToken || got.StartTime != "" {
		t.Errorf("pending: got %+v, want it linked and not begun", got)
	}
	p.refused("acknowledge pending", p.acknowledgeSubscription("premium", made.PurchaseToken, nil), 400, "invalidPurchaseState")
	p.state("old", old.PurchaseToken, "ACTIVE", "2026-04-01")
	p.must(p.Abandon(play.Held{PurchaseToken: made.PurchaseToken}))
	p.wants("subscription.20")
	if got := p.state("abandoned", made.PurchaseToken, "PENDING_PURCHASE_CANCELED", ""); got.LinkedPurchaseToken != old.PurchaseToken {
		t.Error("abandoned: got it linked to nothing, want the old one")
	}
	p.state("old still", old.PurchaseToken, "ACTIVE", "2026-04-01")
	made = p.replace(play.Change{PurchaseToken: old.PurchaseToken, ProductID: "premium:yearly", Pending: true})
	_, err := p.Complete(play.Held{PurchaseToken: made.PurchaseToken})
	p.must(err)
	p.wants("subscription.4", "subscription.13")
}

func TestDeferredReplacementKeepsTheOldItemToItsEnd(t *testing.T) {
	p := newShop(t, play.Options{})
	old := p.owned(play.Purchase{ProductID: "premium:yearly"})
	made := p.replace(play.Change{PurchaseToken: old.PurchaseToken, ProductID: "basic:monthly", Mode: "DEFERRED"})
	p.wants("subscription.4", "subscription.13")
	got := p.state("deferred", made.PurchaseToken, "ACTIVE", "2027-03-01")
	if len(got.LineItems) != 2 {
		t.Fatalf("got %d items, want the old and the new one", len(got.LineItems))
	}
	before, after := got.LineItems[0], got.LineItems[1]
	if before.ProductId != "premium" || before.LatestSuccessfulOrderId != old.OrderID || before.DeferredItemReplacement.ProductId != "basic" || before.AutoRenewingPlan.AutoRenewEnabled {
		t.Errorf("old item: got %+v, want it paid, replaced by basic, auto-renew off", before)
	}
	if after.ProductId != "basic" || after.LatestSuccessfulOrderId != "" || after.ExpiryTime[:10] != "2027-04-01" || !after.AutoRenewingPlan.AutoRenewEnabled {
		t.Errorf("new item: got %+v, want it without an order until it starts", after)
	}
	p.must(p.acknowledgeSubscription("basic", made.PurchaseToken, nil))
	p.to("2027-03-01")
	p.wants("subscription.2")
	got = p.state("started", made.PurchaseToken, "ACTIVE", "2027-04-01")
	if len(got.LineItems) != 1 || got.LineItems[0].LatestSuccessfulOrderId != made.OrderID || p.order(made.OrderID).State != "PROCESSED" {
		t.Errorf("started: got %+v, want the new item alone, paid", got.LineItems)
	}
}

func TestTopUpIsANewTokenThatTakesTheRestWithItIfNobodyAcknowledges(t *testing.T) {
	p := newShop(t, play.Options{})
	first := p.owned(play.Purchase{ProductID: "premium:monthly-prepaid"})
	if got := p.subscription(first.PurchaseToken).LineItems[0]; got.PrepaidPlan == nil || got.AutoRenewingPlan != nil {
		t.Errorf("got %+v, want a prepaid plan", got)
	}
	second, err := p.TopUp(play.Change{PurchaseToken: first.PurchaseToken})
	p.must(err)
	p.must(p.acknowledgeSubscription("premium", second.PurchaseToken, nil))
	p.wants("subscription.4", "subscription.13")
	p.state("topped up", second.PurchaseToken, "ACTIVE", "2026-05-01")
	third, err := p.TopUp(play.Change{PurchaseToken: second.PurchaseToken})
	p.must(err)
	p.state("topped up again", third.PurchaseToken, "ACTIVE", "2026-06-01")
	p.days(3)
	p.wants("subscription.4", "subscription.13", "subscription.12", "voided.1.1")
	p.state("unacknowledged", third.PurchaseToken, "EXPIRED", "2026-03-04")
	if got := p.order(second.OrderID).State; got != "PROCESSED" {
		t.Errorf("the one before: got %s, want only the last refunded", got)
	}
	alone := p.owned(play.Purchase{ProductID: "premium:weekly-prepaid"}).PurchaseToken
	p.days(7)
	p.wants("subscription.13")
	if got := p.subscription(alone).CanceledStateContext; got != nil {
		t.Errorf("ran out: got %+v, want nobody to have cancelled", got)
	}
}

func TestResubscribingInTheAppIsLinkedOnlyBeforeTheEnd(t *testing.T) {
	p := newShop(t, play.Options{})
	old := p.owned(play.Purchase{Account: "a1"})
	p.must(p.Cancel(play.Cancellation{PurchaseToken: old.PurchaseToken}))
	again, err := p.Resubscribe(play.Again{PurchaseToken: old.PurchaseToken})
	p.must(err)
	p.must(p.acknowledgeSubscription("premium", again.PurchaseToken, nil))
	p.wants("subscription.3", "subscription.4", "subscription.13")
	if got := p.subscription(again.PurchaseToken).LinkedPurchaseToken; got != old.PurchaseToken {
		t.Error("before the end: got it linked to nothing, want the old one")
	}
	p.must(p.Cancel(play.Cancellation{PurchaseToken: again.PurchaseToken}))
	p.days(40)
	p.wants("subscription.3", "subscription.13")
	third, err := p.Resubscribe(play.Again{PurchaseToken: again.PurchaseToken})
	p.must(err)
	if got := p.subscription(third.PurchaseToken); got.LinkedPurchaseToken != "" || got.ExternalAccountIdentifiers.ObfuscatedExternalAccountId != "a1" {
		t.Errorf("after the end: got %+v, want it linked to nothing", got)
	}
}

func TestResubscribingOutOfTheAppSaysWhoseUntilItIsAcknowledged(t *testing.T) {
	p := newShop(t, play.Options{})
	old := p.owned(play.Purchase{Account: "a1", Renews: ptr(false)})
	if _, err := p.Resubscribe(play.Again{PurchaseToken: old.PurchaseToken, OutOfApp: true}); err == nil {
		t.Error("before the end: got it bought, want it refused")
	}
	p.days(31)
	made, err := p.Resubscribe(play.Again{PurchaseToken: old.PurchaseToken, OutOfApp: true})
	p.must(err)
	got := p.subscription(made.PurchaseToken)
	if got.LinkedPurchaseToken != "" || got.ExternalAccountIdentifiers != nil || got.OutOfAppPurchaseContext.ExpiredPurchaseToken != old.PurchaseToken ||
		got.OutOfAppPurchaseContext.ExpiredExternalAccountIdentifiers.ObfuscatedExternalAccountId != "a1" {
		t.Errorf("got %+v, want the expired token and its account", got)
	}
	ids := &androidpublisher.ExternalAccountIds{ObfuscatedAccountId: "a2"}
	other := p.buy(play.Purchase{ProductID: "basic:monthly"}).PurchaseToken
	p.refused("ids of what was bought in the app", p.acknowledgeSubscription("basic", other, ids), 400, "invalidValue")
	p.refused("another product", p.acknowledgeSubscription("basic", made.PurchaseToken, ids), 400, "purchaseTokenDoesNotMatchProductId")
	p.must(p.acknowledgeSubscription("premium", made.PurchaseToken, ids))
	got = p.subscription(made.PurchaseToken)
	if got.OutOfAppPurchaseContext != nil || got.ExternalAccountIdentifiers.ObfuscatedExternalAccountId != "a2" {
		t.Errorf("acknowledged: got %+v, want the context gone and the account told", got)
	}
	p.refused("an expired one", p.acknowledgeSubscription("premium", old.PurchaseToken, nil), 400, "subscriptionExpired")
}

func TestItemsOfABundleHaveOrdersAndEndsOfTheirOwn(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.owned(play.Purchase{ProductID: "premium:monthly,basic:monthly"})
	token := bought.PurchaseToken
	p.to("2026-03-17")
	p.must(p.SetItems(play.Bundle{PurchaseToken: token, Add: "extra:monthly"}))
	p.wants("subscription.17")
	got := p.subscription(token)
	orders := map[string]bool{}
	for _, it := range got.LineItems {
		orders[it.LatestSuccessfulOrderId] = true
		if it.ExpiryTime[:10] != "2026-04-01" {
			t.Errorf("%s: got it until %s, want the end of the others", it.ProductId, it.ExpiryTime)
		}
	}
	if len(got.LineItems) != 3 || len(orders) != 3 {
		t.Errorf("got %d items of %d orders, want three each", len(got.LineItems), len(orders))
	}
	p.must(p.SetItems(play.Bundle{PurchaseToken: token, Remove: "basic"}))
	p.wants("subscription.17")
	if got := p.subscription(token).LineItems[1]; got.DeferredItemRemoval == nil || got.AutoRenewingPlan.AutoRenewEnabled {
		t.Errorf("removed: got %+v, want it to end with the period", got)
	}
	p.to("2026-04-01")
	p.wants("subscription.2")
	got = p.subscription(token)
	if len(got.LineItems) != 2 || got.LineItems[1].ProductId != "extra" {
		t.Fatalf("renewed: got %+v, want premium and extra", got.LineItems)
	}
	_, err := p.api.Purchases.Subscriptionsv2.Revoke(play.Package, token, &androidpublisher.RevokeSubscriptionPurchaseRequest{
		RevocationContext: &androidpublisher.RevocationContext{ItemBasedRefund: &androidpublisher.RevocationContextItemBasedRefund{ProductId: "extra"}},
	}).Do()
	p.must(err)
	p.wants("subscription.17", "voided.1.1")
	got = p.state("one item revoked", token, "ACTIVE", "2026-05-01")
	if ends := got.LineItems[1].ExpiryTime[:10]; ends != "2026-04-01" {
		t.Errorf("extra: got it until %s, want it ended", ends)
	}
	p.to("2026-05-01")
	p.wants("subscription.2")
}

func TestChangesByTheAPI(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.owned(play.Purchase{}).PurchaseToken
	api := p.api.Purchases.Subscriptionsv2
	deferBy := func(token, by, etag string, look bool) (*androidpublisher.DeferSubscriptionPurchaseResponse, error) {
		return api.Defer(play.Package, token, &androidpublisher.DeferSubscriptionPurchaseRequest{
			DeferralContext: &androidpublisher.DeferralContext{DeferDuration: by, Etag: etag, ValidateOnly: look},
		}).Do()
	}
	etag := p.subscription(token).Etag
	got, err := deferBy(token, "86400s", etag, true)
	p.must(err)
	if got.ItemExpiryTimeDetails[0].ExpiryTime != "2026-04-02T00:00:00.000Z" {
		t.Errorf("only looked: got %+v, want 2 April", got.ItemExpiryTimeDetails[0])
	}
	p.state("only looked", token, "ACTIVE", "2026-04-01")
	for _, by := range []string{"86399s", "31536001s", "1d", ""} {
		_, err := deferBy(token, by, etag, false)
		p.refused("by "+by, err, 400, "invalidValue")
	}
	_, err = deferBy(token, "86400s", "stale", false)
	p.refused("stale etag", err, 409, "concurrentUpdate")
	_, err = deferBy(token, "86400s", etag, false)
	p.must(err)
	p.wants("subscription.9")
	p.state("deferred", token, "ACTIVE", "2026-04-02")
	p.to("2026-04-01")
	p.wants()
	p.to("2026-04-02")
	p.wants("subscription.2")

	cancel := func(kind string) error {
		_, err := api.Cancel(play.Package, token, &androidpublisher.CancelSubscriptionPurchaseRequest{
			CancellationContext: &androidpublisher.CancellationContext{CancellationType: kind},
		}).Do()
		return err
	}
	p.refused("cancel as nobody", cancel("X"), 400, "invalidValue")
	p.must(cancel("USER_REQUESTED_STOP_RENEWALS"))
	p.wants("subscription.3")
	p.must(p.Restart(play.Held{PurchaseToken: token}))
	p.must(cancel("DEVELOPER_REQUESTED_STOP_PAYMENTS"))
	p.must(cancel("DEVELOPER_REQUESTED_STOP_PAYMENTS"))
	p.wants("subscription.7", "subscription.3")
	if got := p.subscription(token).CanceledStateContext; got.DeveloperInitiatedCancellation == nil {
		t.Errorf("got %+v, want it by the developer", got)
	}
	p.days(40)
	p.wants("subscription.13")
	p.refused("cancel what is over", cancel("USER_REQUESTED_STOP_RENEWALS"), 400, "subscriptionExpired")

	revoke := func(token string, how *androidpublisher.RevocationContext) error {
		_, err := api.Revoke(play.Package, token, &androidpublisher.RevokeSubscriptionPurchaseRequest{RevocationContext: how}).Do()
		return err
	}
	full := &androidpublisher.RevocationContext{FullRefund: &androidpublisher.RevocationContextFullRefund{}}
	half := &androidpublisher.RevocationContext{ProratedRefund: &androidpublisher.RevocationContextProratedRefund{}}
	both := &androidpublisher.RevocationContext{FullRefund: full.FullRefund, ProratedRefund: half.ProratedRefund}
	whole := p.owned(play.Purchase{})
	p.refused("both", revoke(whole.PurchaseToken, both), 400, "invalidValue")
	p.refused("neither", revoke(whole.PurchaseToken, nil), 400, "invalidValue")
	p.must(revoke(whole.PurchaseToken, full))
	p.wants("subscription.12", "voided.1.1")
	if got := p.order(whole.OrderID); got.State != "REFUNDED" || got.OrderHistory.RefundEvent.RefundReason != "OTHER" {
		t.Errorf("full: got %s, want it refunded", got.State)
	}
	p.refused("again", revoke(whole.PurchaseToken, full), 400, "subscriptionExpired")
	part := p.owned(play.Purchase{})
	p.advance(15 * 24 * time.Hour)
	p.must(revoke(part.PurchaseToken, half))
	p.wants("subscription.12", "voided.1.1")
	got2 := p.order(part.OrderID)
	if back := got2.OrderHistory.PartialRefundEvents; got2.State != "PARTIALLY_REFUNDED" || len(back) != 1 || back[0].RefundDetails.Total.Units < 2000 || back[0].RefundDetails.Total.Units > 3000 {
		t.Errorf("prorated: got %+v, want about half of it refunded", got2)
	}
}
