package play_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/androidpublisher/v3"

	"grantline/infra/sim/play"
	"grantline/infra/sim/stage"
)

func TestSubscriptionReadsAsGooglesClientExpects(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.buy(play.Purchase{ProductID: "premium:monthly", Account: "a1", Profile: "p1"})
	got := p.subscription(bought.PurchaseToken)
	want := &androidpublisher.SubscriptionPurchaseV2{
		Kind: "androidpublisher#subscriptionPurchaseV2", RegionCode: "KR", StartTime: "2026-03-01T00:00:00.000Z", SubscriptionState: "SUBSCRIPTION_STATE_ACTIVE",
		AcknowledgementState:       "ACKNOWLEDGEMENT_STATE_PENDING",
		ExternalAccountIdentifiers: &androidpublisher.ExternalAccountIdentifiers{ObfuscatedExternalAccountId: "a1", ObfuscatedExternalProfileId: "p1"},
		LineItems: []*androidpublisher.SubscriptionPurchaseLineItem{{
			ProductId: "premium", ExpiryTime: "2026-04-01T00:00:00.000Z", LatestSuccessfulOrderId: bought.OrderID,
			OfferDetails: &androidpublisher.OfferDetails{BasePlanId: "monthly"},
			OfferPhase:   &androidpublisher.OfferPhase{BasePrice: &androidpublisher.BasePriceOfferPhase{}},
			AutoRenewingPlan: &androidpublisher.AutoRenewingPlan{
				AutoRenewEnabled: true, RecurringPrice: &androidpublisher.Money{CurrencyCode: "KRW", Units: 4900},
			},
		}},
		Etag: got.Etag, ServerResponse: got.ServerResponse,
	}
	if diff := cmp.Diff(want, got); diff != "" || got.Etag == "" {
		t.Errorf("subscription differs (-want +got):\n%s", diff)
	}
	notice := p.wants("subscription.4")[0]
	if notice.detail["purchaseToken"] != bought.PurchaseToken || notice.detail["subscriptionId"] != "premium" || notice.notice["eventTimeMillis"] != "1772323200000" {
		t.Errorf("notification: got %v, want the subscription's", notice.notice)
	}
	p.must(p.Set(play.Settings{Deprecated: ptr(false), Nanoseconds: ptr(true)}))
	if got := p.subscription(bought.PurchaseToken).LineItems[0].ExpiryTime; got != "2026-04-01T00:00:00.000123456Z" {
		t.Errorf("got %s, want nine digits", got)
	}
	p.must(p.Renew(play.Held{PurchaseToken: bought.PurchaseToken}))
	if got := p.wants("subscription.2")[0].detail["subscriptionId"]; got != nil {
		t.Errorf("subscriptionId: got %v, want it gone", got)
	}
}

func TestSubscriptionRenewsOfItselfAtEachExpiry(t *testing.T) {
	for _, c := range []struct {
		product string
		ends    []string
	}{
		{"premium:weekly", []string{"2026-03-08", "2026-03-15", "2026-03-22"}},
		{"premium:monthly", []string{"2026-04-01", "2026-05-01", "2026-06-01"}},
		{"premium:yearly", []string{"2027-03-01", "2028-03-01", "2029-03-01"}},
	} {
		p := newShop(t, play.Options{})
		bought := p.owned(play.Purchase{ProductID: c.product})
		for i, ends := range c.ends {
			got := p.state(c.product, bought.PurchaseToken, "ACTIVE", ends)
			order := bought.OrderID
			if i > 0 {
				order += ".." + []string{"", "0", "1"}[i]
			}
			if id := got.LineItems[0].LatestSuccessfulOrderId; id != order {
				t.Errorf("%s: got order %s, want %s", c.product, id, order)
			}
			if state := p.order(order).State; state != "PROCESSED" {
				t.Errorf("%s: got order %s %s, want it paid", c.product, order, state)
			}
			if i < len(c.ends)-1 {
				p.to(ends)
				p.wants("subscription.2")
			}
		}
	}
}

func TestYearsAreCheap(t *testing.T) {
	p := newShop(t, play.Options{})
	p.owned(play.Purchase{})
	p.days(20 * 365)
	if got := len(p.words()); got < 239 || got > 241 {
		t.Errorf("got %d notifications in twenty years, want one a month", got)
	}
}

func TestFailedBillingGoesThroughGraceAndHoldToItsEnd(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.owned(play.Purchase{}).PurchaseToken
	p.must(p.FailBilling(play.Held{PurchaseToken: token}))
	p.to("2026-04-01")
	p.wants("subscription.6")
	got := p.state("grace", token, "IN_GRACE_PERIOD", "2026-04-08")
	declined := got.InGracePeriodStateContext.RenewalDeclined.PendingOrderId
	if p.order(declined).State != "PENDING" || declined == got.LineItems[0].LatestSuccessfulOrderId {
		t.Errorf("grace: got order %s, want another that is pending", declined)
	}
	p.to("2026-04-08")
	p.wants("subscription.5")
	if got := p.state("hold", token, "ON_HOLD", "2026-04-08"); got.OnHoldStateContext.RenewalDeclined.PendingOrderId == "" {
		t.Error("hold: got no order, want the one that is pending")
	}
	p.days(52)
	p.wants()
	p.days(1)
	p.wants("subscription.3", "subscription.13")
	if got := p.state("end", token, "EXPIRED", "2026-04-08"); got.CanceledStateContext.SystemInitiatedCancellation == nil {
		t.Errorf("end: got %+v, want it cancelled by the system", got.CanceledStateContext)
	}
	if got := p.order(declined).State; got != "CANCELED" {
		t.Errorf("end: got the order of the renewal %s, want it cancelled", got)
	}
	p.days(59)
	p.subscription(token)
	p.days(2)
	_, err := p.api.Purchases.Subscriptionsv2.Get(play.Package, token).Do()
	p.refused("60 days later", err, 410, "subscriptionPurchaseNoLongerAvailable")
}

func TestRecoveryInGraceKeepsTheDayAndOnHoldBeginsAnew(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.owned(play.Purchase{}).PurchaseToken
	held := play.Held{PurchaseToken: token}
	p.must(p.FailBilling(held))
	p.to("2026-04-03")
	p.wants("subscription.6")
	p.must(p.RecoverBilling(held))
	p.wants("subscription.2")
	p.state("in grace", token, "ACTIVE", "2026-05-01")
	p.must(p.FailBilling(held))
	p.to("2026-05-20")
	p.wants("subscription.6", "subscription.5")
	p.must(p.RecoverBilling(held))
	p.wants("subscription.1")
	p.state("on hold", token, "ACTIVE", "2026-06-20")
}

func TestWithoutGraceThereIsASilentDay(t *testing.T) {
	for _, past := range []bool{false, true} {
		p := newShop(t, play.Options{})
		p.must(p.Set(play.Settings{SilentPast: &past}))
		token := p.owned(play.Purchase{GraceDays: ptr(0), HoldDays: ptr(30)}).PurchaseToken
		p.must(p.FailBilling(play.Held{PurchaseToken: token}))
		p.to("2026-04-01")
		p.wants()
		ends := map[bool]string{false: "2026-04-02", true: "2026-04-01"}[past]
		p.state("silent", token, "ACTIVE", ends)
		p.to("2026-04-02")
		p.wants("subscription.5")
		p.state("hold", token, "ON_HOLD", ends)
		p.days(30)
		p.wants("subscription.3", "subscription.13")
	}
}

func TestCancelledSubscriptionLastsToItsEndAndMayBeRestarted(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.owned(play.Purchase{}).PurchaseToken
	p.must(p.Cancel(play.Cancellation{PurchaseToken: token}))
	p.wants("subscription.3")
	got := p.state("cancelled", token, "CANCELED", "2026-04-01")
	if got.CanceledStateContext.UserInitiatedCancellation.CancelTime == "" || got.LineItems[0].AutoRenewingPlan.AutoRenewEnabled {
		t.Errorf("cancelled: got %+v, want it by the user, auto-renew off", got.CanceledStateContext)
	}
	p.must(p.Restart(play.Held{PurchaseToken: token}))
	p.wants("subscription.7")
	p.state("restarted", token, "ACTIVE", "2026-04-01")
	p.to("2026-04-01")
	p.wants("subscription.2")
	p.must(p.Cancel(play.Cancellation{PurchaseToken: token, By: "developer"}))
	if err := p.Restart(play.Held{PurchaseToken: token}); err == nil {
		t.Error("cancelled by the developer: got it restarted, want it refused")
	}
	p.to("2026-05-01")
	p.wants("subscription.3", "subscription.13")
	p.state("over", token, "EXPIRED", "2026-05-01")
	p.days(400)
	p.wants()
	bound := p.buy(play.Purchase{ProductID: "premium:installments", Renews: ptr(false)})
	p.wants("subscription.4", "subscription.18")
	p.state("in installments that do not renew", bound.PurchaseToken, "ACTIVE", p.clock.Now().AddDate(0, 1, 0).Format(time.DateOnly))
	never := p.owned(play.Purchase{Renews: ptr(false)})
	p.state("that does not renew", never.PurchaseToken, "CANCELED", p.clock.Now().AddDate(0, 1, 0).Format(time.DateOnly))
}

func TestPauseTakesEffectAtTheEndOfThePeriod(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.owned(play.Purchase{}).PurchaseToken
	held := play.Held{PurchaseToken: token}
	p.must(p.Pause(play.Pausing{PurchaseToken: token, For: "P2W"}))
	p.wants("subscription.11")
	p.state("scheduled", token, "ACTIVE", "2026-04-01")
	p.must(p.Resume(held))
	p.wants("subscription.11")
	p.must(p.Pause(play.Pausing{PurchaseToken: token, For: "P2W"}))
	p.to("2026-04-01")
	p.wants("subscription.11", "subscription.10")
	if got := p.state("paused", token, "PAUSED", "2026-04-01").PausedStateContext.AutoResumeTime; got != "2026-04-15T00:00:00.000Z" {
		t.Errorf("autoResumeTime: got %s, want 15 April", got)
	}
	p.to("2026-04-15")
	p.wants("subscription.1")
	p.state("resumed", token, "ACTIVE", "2026-05-15")
	p.must(p.Pause(play.Pausing{PurchaseToken: token}))
	p.must(p.FailBilling(held))
	p.to("2026-05-15")
	p.wants("subscription.11", "subscription.10")
	p.must(p.Resume(held))
	p.wants("subscription.5")
	p.state("without money", token, "ON_HOLD", "2026-05-15")
}

func TestLicenseTesterRenewsSixTimesOnAShortClock(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.owned(play.Purchase{Test: true}).PurchaseToken
	if p.subscription(token).TestPurchase == nil {
		t.Error("got no mark, want a test purchase")
	}
	p.advance(30 * time.Minute)
	p.wants("subscription.2", "subscription.2", "subscription.2", "subscription.2", "subscription.2", "subscription.2")
	p.advance(5 * time.Minute)
	p.wants("subscription.3", "subscription.13")
	failing := p.owned(play.Purchase{Test: true}).PurchaseToken
	p.must(p.FailBilling(play.Held{PurchaseToken: failing}))
	p.advance(20 * time.Minute)
	p.wants("subscription.6", "subscription.5", "subscription.3", "subscription.13")
}

func TestInstallmentsAreOwedToTheEndOfTheCommitment(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.owned(play.Purchase{ProductID: "premium:installments"}).PurchaseToken
	p.must(p.Cancel(play.Cancellation{PurchaseToken: token}))
	p.wants("subscription.18")
	plan := p.state("scheduled", token, "ACTIVE", "2026-04-01").LineItems[0].AutoRenewingPlan.InstallmentDetails
	if plan.InitialCommittedPaymentsCount != 12 || plan.RemainingCommittedPaymentsCount != 11 || plan.PendingCancellation == nil {
		t.Errorf("got %+v, want 11 of 12 payments left and the cancellation pending", plan)
	}
	p.to("2027-02-02")
	if got := len(p.words()); got != 11 {
		t.Errorf("got %d notifications, want one for each payment", got)
	}
	p.to("2027-03-01")
	p.wants("subscription.3", "subscription.13")
}

func TestPriceThatIsNotAgreedToEndsTheSubscription(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.owned(play.Purchase{}).PurchaseToken
	p.must(p.ChangePrice(play.Rise{PurchaseToken: token, Price: 5900}))
	p.wants("subscription.19")
	change := p.subscription(token).LineItems[0].AutoRenewingPlan.PriceChangeDetails
	if change.PriceChangeState != "OUTSTANDING" || change.PriceChangeMode != "PRICE_INCREASE" || change.NewPrice.Units != 5900 || change.ExpectedNewPriceChargeTime != "2026-04-01T00:00:00.000Z" {
		t.Errorf("got %+v, want an increase to 5,900 that is outstanding", change)
	}
	p.must(p.AcceptPrice(play.Consent{PurchaseToken: token}))
	p.wants("subscription.19", "subscription.8")
	p.to("2026-04-01")
	p.wants("subscription.2")
	plan := p.subscription(token).LineItems[0].AutoRenewingPlan
	if plan.RecurringPrice.Units != 5900 || plan.PriceChangeDetails.PriceChangeState != "APPLIED" {
		t.Errorf("got %+v, want 5,900 applied", plan)
	}
	p.must(p.StepUp(play.Rise{PurchaseToken: token, Price: 6900}))
	p.wants("subscription.22")
	p.must(p.AcceptStepUp(play.Held{PurchaseToken: token}))
	p.wants("subscription.22")
	p.to("2026-05-01")
	p.wants("subscription.2")
	if got := p.subscription(token).LineItems[0].AutoRenewingPlan; got.PriceStepUpConsentDetails.State != "COMPLETED" || got.RecurringPrice.Units != 6900 {
		t.Errorf("got %+v, want 6,900 completed", got)
	}
	p.must(p.ChangePrice(play.Rise{PurchaseToken: token, Price: 9900}))
	p.to("2026-06-01")
	p.wants("subscription.19", "subscription.3", "subscription.13")
	other := p.owned(play.Purchase{}).PurchaseToken
	p.must(p.ChangePrice(play.Rise{PurchaseToken: other, Price: 5900, Mode: "OPT_OUT_PRICE_INCREASE"}))
	p.days(31)
	p.wants("subscription.19", "subscription.2")
	p.must(p.ChangePrice(play.Rise{PurchaseToken: other, Price: 8900}))
	p.must(p.AcceptPrice(play.Consent{PurchaseToken: other, Withdrawn: true}))
	p.days(31)
	p.wants("subscription.19", "subscription.19", "subscription.2")
	if got := p.subscription(other).LineItems[0].AutoRenewingPlan.RecurringPrice.Units; got != 5900 {
		t.Errorf("withdrawn: got %d, want 5,900", got)
	}
}

func TestUnknownStateIsSaidAsItIsTold(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.owned(play.Purchase{}).PurchaseToken
	p.must(p.Say(play.Word{PurchaseToken: token, State: "SUBSCRIPTION_STATE_FROZEN"}))
	p.state("said", token, "FROZEN", "2026-04-01")
	p.must(p.Say(play.Word{PurchaseToken: token}))
	p.state("true again", token, "ACTIVE", "2026-04-01")
}

func TestRenewalMayLagBehindTheExpiry(t *testing.T) {
	p := newShop(t, play.Options{})
	p.must(p.Set(play.Settings{RenewLag: ptr(stage.Duration(10 * time.Minute))}))
	token := p.owned(play.Purchase{}).PurchaseToken
	p.to("2026-04-01")
	p.wants()
	p.state("lagging", token, "ACTIVE", "2026-04-01")
	p.advance(10 * time.Minute)
	p.wants("subscription.2")
	p.state("renewed", token, "ACTIVE", "2026-05-01")
}

func TestSilentDayOfACancelledSubscriptionEndsIt(t *testing.T) {
	p := newShop(t, play.Options{})
	token := p.owned(play.Purchase{GraceDays: ptr(0)}).PurchaseToken
	p.must(p.FailBilling(play.Held{PurchaseToken: token}))
	p.to("2026-04-01")
	p.must(p.Cancel(play.Cancellation{PurchaseToken: token}))
	p.wants("subscription.3")
	p.to("2026-04-02")
	p.wants("subscription.13")
}

func TestFailingBundleExtendsOnlyWhatRenews(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.owned(play.Purchase{ProductID: "premium:monthly,extra:monthly"})
	p.to("2026-03-10")
	p.must(p.Refund(play.Refund{OrderID: bought.OrderID})) // of the first item
	p.must(p.FailBilling(play.Held{PurchaseToken: bought.PurchaseToken}))
	p.to("2026-04-01")
	p.wants("subscription.17", "voided.1.1", "subscription.6")
	got := p.state("grace", bought.PurchaseToken, "IN_GRACE_PERIOD", "2026-03-10")
	if ends := got.LineItems[1].ExpiryTime[:10]; ends != "2026-04-08" {
		t.Errorf("extra: got it until %s, want the grace", ends)
	}
	p.must(p.RecoverBilling(play.Held{PurchaseToken: bought.PurchaseToken}))
	p.wants("subscription.2")
}

func TestAppSeesWhatItHolds(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.buy(play.Purchase{ProductID: "premium:monthly", Account: "a1"})
	p.must(p.Acknowledge(play.Held{PurchaseToken: bought.PurchaseToken}))
	got, err := p.Held(play.Held{PurchaseToken: bought.OrderID})
	p.must(err)
	var device map[string]any
	p.must(json.Unmarshal([]byte(got.OriginalJSON), &device))
	want := map[string]any{
		"packageName": play.Package, "productId": "premium", "purchaseTime": 1772323200000.0, "purchaseState": 0.0, "purchaseToken": bought.PurchaseToken,
		"quantity": 1.0, "acknowledged": true, "orderId": bought.OrderID, "obfuscatedAccountId": "a1", "autoRenewing": true,
	}
	if diff := cmp.Diff(want, device); diff != "" || !got.Acknowledged || got.BasePlanID != "monthly" {
		t.Errorf("on the device differs (-want +got):\n%s", diff)
	}
	if _, err := p.Held(play.Held{PurchaseToken: "x"}); err == nil {
		t.Error("unknown: got one, want none")
	}
}

func TestTrialIsFreeAndThenCosts(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.owned(play.Purchase{Trial: "P7D", Offer: "trial"})
	got := p.state("trial", bought.PurchaseToken, "ACTIVE", "2026-03-08").LineItems[0]
	if got.OfferPhase.FreeTrial == nil || got.OfferDetails.OfferId != "trial" || p.order(bought.OrderID).Total.Units != 0 {
		t.Errorf("got %+v, want a free trial", got)
	}
	p.to("2026-03-08")
	p.wants("subscription.2")
	if got := p.order(bought.OrderID + "..0").Total.Units; got != 4900 {
		t.Errorf("got %d, want 4,900", got)
	}
}

func TestImpossibleChangeIsRefused(t *testing.T) {
	p := newShop(t, play.Options{})
	gems := play.Held{PurchaseToken: p.buy(play.Purchase{ProductID: "gems_100"}).PurchaseToken}
	token := p.owned(play.Purchase{}).PurchaseToken
	held := play.Held{PurchaseToken: token}
	prepaid := p.owned(play.Purchase{ProductID: "premium:monthly-prepaid"}).PurchaseToken
	for name, err := range map[string]error{
		"renew a product":        p.Renew(gems),
		"renew nothing":          p.Renew(play.Held{PurchaseToken: "x"}),
		"renew a prepaid plan":   p.Renew(play.Held{PurchaseToken: prepaid}),
		"cancel a prepaid plan":  p.Cancel(play.Cancellation{PurchaseToken: prepaid}),
		"cancel by nobody":       p.Cancel(play.Cancellation{PurchaseToken: token, By: "nobody"}),
		"restart what runs":      p.Restart(held),
		"resume what runs":       p.Resume(held),
		"pause for ever":         p.Pause(play.Pausing{PurchaseToken: token, For: "ever"}),
		"pause a prepaid plan":   p.Pause(play.Pausing{PurchaseToken: prepaid}),
		"price of nothing":       p.ChangePrice(play.Rise{PurchaseToken: token}),
		"price in another mode":  p.ChangePrice(play.Rise{PurchaseToken: token, Price: 1, Mode: "x"}),
		"agree to nothing":       p.AcceptPrice(play.Consent{PurchaseToken: token}),
		"consent to nothing":     p.AcceptStepUp(held),
		"step up to nothing":     p.StepUp(play.Rise{PurchaseToken: token}),
		"no items":               p.SetItems(play.Bundle{PurchaseToken: token}),
		"an item twice":          p.SetItems(play.Bundle{PurchaseToken: token, Add: "premium:yearly"}),
		"an item that is none":   p.SetItems(play.Bundle{PurchaseToken: token, Remove: "extra"}),
		"a product as an item":   p.SetItems(play.Bundle{PurchaseToken: token, Add: "gems_100"}),
		"fail a prepaid plan":    p.FailBilling(play.Held{PurchaseToken: prepaid}),
		"complete what is paid":  p.Abandon(held),
		"state of a product":     p.Say(play.Word{PurchaseToken: gems.PurchaseToken, State: "x"}),
		"goods without a name":   p.Stock(play.Goods{}),
		"goods without a kind":   p.Stock(play.Goods{ProductID: "new"}),
		"goods of another state": p.Stock(play.Goods{ProductID: "premium:monthly", State: "SOLD"}),
	} {
		if err == nil {
			t.Errorf("%s: got it done, want it refused", name)
		}
	}
}
