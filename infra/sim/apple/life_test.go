package apple_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/apple"
)

func TestSubscriptionRenewsOfItselfAtEachEndOfAPeriod(t *testing.T) {
	for _, c := range []struct {
		period string
		ends   []string
	}{
		{"P1W", []string{"2026-03-08", "2026-03-15", "2026-03-22"}},
		{"P1M", []string{"2026-04-01", "2026-05-01", "2026-06-01"}},
		{"P2M", []string{"2026-05-01", "2026-07-01", "2026-09-01"}},
		{"P3M", []string{"2026-06-01", "2026-09-01", "2026-12-01"}},
		{"P6M", []string{"2026-09-01", "2027-03-01", "2027-09-01"}},
		{"P1Y", []string{"2027-03-01", "2028-03-01", "2029-03-01"}},
	} {
		p := newShop(t, apple.Options{})
		bought := p.subscribe(apple.Purchase{Period: c.period})
		first := p.wants("SUBSCRIBED.INITIAL_BUY")[0]
		fields(t, c.period, first.data, map[string]any{"status": 1.0, "environment": "Production", "bundleId": "com.example.app"})
		fields(t, c.period, first.transaction, map[string]any{"expiresDate": date(c.ends[0]), "transactionReason": "PURCHASE"})
		for i, ends := range c.ends[:2] {
			p.advance(time.UnixMilli(int64(date(ends))).Sub(p.clock.Now()) - time.Millisecond)
			if early := p.words(); len(early) != 0 {
				t.Errorf("%s: got %d notifications before the end, want none", c.period, len(early))
			}
			next := p.wants("DID_RENEW")[0]
			fields(t, c.period, next.transaction, map[string]any{
				"expiresDate": date(c.ends[i+1]), "purchaseDate": date(ends), "originalTransactionId": bought.OriginalTransactionID,
				"originalPurchaseDate": date("2026-03-01"), "transactionReason": "RENEWAL",
			})
			fields(t, c.period, next.renewal, map[string]any{
				"autoRenewStatus": 1.0, "renewalDate": date(c.ends[i+1]), "originalTransactionId": bought.OriginalTransactionID,
				"isInBillingRetryPeriod": nil, "recentSubscriptionStartDate": date("2026-03-01"),
			})
			if next.transaction["transactionId"] == bought.TransactionID {
				t.Errorf("%s: got the transaction before, want another", c.period)
			}
		}
	}
}

func TestMonthWithoutThatDayEndsOnItsLast(t *testing.T) {
	p := newShop(t, apple.Options{})
	at := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	got := p.payload(p.buy(apple.Purchase{ProductID: "com.example.premium.monthly", PurchaseDate: &at}).SignedTransaction)
	if got["expiresDate"] != date("2026-02-28") {
		t.Errorf("got %v, want 28 February", got["expiresDate"])
	}
}

func TestPlainPurchaseEndsWithItsPeriod(t *testing.T) {
	p := newShop(t, apple.Options{})
	bought := p.buy(apple.Purchase{ProductID: "com.example.premium.monthly"})
	p.wants("SUBSCRIBED.INITIAL_BUY")
	p.days(31)
	last := p.wants("EXPIRED.VOLUNTARY")[0]
	fields(t, "ended", last.data, map[string]any{"status": 2.0})
	fields(t, "ended", last.renewal, map[string]any{"autoRenewStatus": 0.0, "expirationIntent": 1.0, "isInBillingRetryPeriod": false})
	if got, _, _ := p.status(bought.TransactionID); got != 2 {
		t.Errorf("status: got %v, want 2", got)
	}
	p.must(p.Set(apple.Settings{Renews: ptr(true)}))
	p.buy(apple.Purchase{ProductID: "com.example.premium.monthly"})
	p.days(31)
	p.wants("SUBSCRIBED.INITIAL_BUY", "DID_RENEW")
}

func TestFailedBillingGoesThroughGraceAndRetryToItsEnd(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	p.must(p.FailBilling(apple.Held{TransactionID: id}))
	p.wants("SUBSCRIBED.INITIAL_BUY")
	p.days(31)
	grace := p.wants("DID_FAIL_TO_RENEW.GRACE_PERIOD")[0]
	fields(t, "grace", grace.data, map[string]any{"status": 4.0})
	fields(t, "grace", grace.transaction, map[string]any{"transactionId": id, "expiresDate": date("2026-04-01")})
	fields(t, "grace", grace.renewal, map[string]any{
		"isInBillingRetryPeriod": true, "gracePeriodExpiresDate": date("2026-04-17"), "expirationIntent": 2.0, "autoRenewStatus": 1.0,
	})
	p.days(16)
	retry := p.wants("GRACE_PERIOD_EXPIRED")[0]
	fields(t, "retry", retry.data, map[string]any{"status": 3.0})
	fields(t, "retry", retry.renewal, map[string]any{"isInBillingRetryPeriod": true, "gracePeriodExpiresDate": nil})
	p.days(43)
	if early := p.words(); len(early) != 0 {
		t.Errorf("got %d notifications before 60 days are over, want none", len(early))
	}
	p.days(1)
	over := p.wants("EXPIRED.BILLING_RETRY")[0]
	fields(t, "over", over.data, map[string]any{"status": 2.0})
	fields(t, "over", over.renewal, map[string]any{"isInBillingRetryPeriod": false, "expirationIntent": 2.0, "autoRenewStatus": 0.0})
	if at := over.arrival.At; at.Before(time.Date(2026, 5, 31, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("ended %s, want 60 days after 1 April", at)
	}
	p.days(400)
	p.wants()
}

func TestWithoutGraceBillingRetryBeginsAtOnce(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{GraceDays: ptr(0)}).TransactionID
	p.must(p.FailBilling(apple.Held{TransactionID: id}))
	p.days(31)
	failed := p.wants("SUBSCRIBED.INITIAL_BUY", "DID_FAIL_TO_RENEW")[1]
	fields(t, "retry", failed.data, map[string]any{"status": 3.0})
	fields(t, "retry", failed.renewal, map[string]any{"gracePeriodExpiresDate": nil, "isInBillingRetryPeriod": true})
}

func TestRecoveryInGraceKeepsTheDayAndAfterItBeginsAnew(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	p.must(p.FailBilling(apple.Held{TransactionID: id}))
	p.days(36) // 6 April
	p.wants("SUBSCRIBED.INITIAL_BUY", "DID_FAIL_TO_RENEW.GRACE_PERIOD")
	if _, err := p.RecoverBilling(apple.Held{TransactionID: id}); err != nil {
		t.Fatal(err)
	}
	inGrace := p.wants("DID_RENEW.BILLING_RECOVERY")[0]
	fields(t, "in grace", inGrace.transaction, map[string]any{"expiresDate": date("2026-05-01")})
	fields(t, "in grace", inGrace.renewal, map[string]any{"isInBillingRetryPeriod": nil, "expirationIntent": nil, "gracePeriodExpiresDate": nil})
	p.must(p.FailBilling(apple.Held{TransactionID: id}))
	p.days(45) // 20 May: after 16 days of grace
	p.wants("DID_FAIL_TO_RENEW.GRACE_PERIOD", "GRACE_PERIOD_EXPIRED")
	now := p.clock.Now()
	if _, err := p.RecoverBilling(apple.Held{TransactionID: id}); err != nil {
		t.Fatal(err)
	}
	after := p.wants("DID_RENEW.BILLING_RECOVERY")[0]
	fields(t, "after grace", after.transaction, map[string]any{
		"purchaseDate": float64(now.UnixMilli()), "expiresDate": float64(now.AddDate(0, 1, 0).UnixMilli()),
	})
	fields(t, "after grace", after.data, map[string]any{"status": 1.0})
}

func TestAutoRenewTurnedOffEndsWithThePeriod(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	p.wants("SUBSCRIBED.INITIAL_BUY")
	p.must(p.SetAutoRenew(apple.AutoRenew{TransactionID: id}))
	off := p.wants("DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED")[0]
	fields(t, "off", off.data, map[string]any{"status": 1.0})
	fields(t, "off", off.renewal, map[string]any{"autoRenewStatus": 0.0, "renewalDate": nil})
	p.must(p.SetAutoRenew(apple.AutoRenew{TransactionID: id, On: true}))
	p.wants("DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_ENABLED")
	p.must(p.SetAutoRenew(apple.AutoRenew{TransactionID: id}))
	p.days(31)
	p.wants("DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", "EXPIRED.VOLUNTARY")
	if err := p.SetAutoRenew(apple.AutoRenew{TransactionID: id, On: true}); err == nil {
		t.Error("on after the end: got nil, want it refused")
	}
	bought, err := p.Resubscribe(apple.Switch{TransactionID: id})
	if err != nil || bought.OriginalTransactionID != id || bought.TransactionID == id {
		t.Fatalf("resubscribe: got %+v, %v; want another transaction of %s", bought, err, id)
	}
	again := p.wants("SUBSCRIBED.RESUBSCRIBE")[0]
	fields(t, "again", again.transaction, map[string]any{"transactionReason": "PURCHASE", "originalPurchaseDate": date("2026-03-01")})
	fields(t, "again", again.renewal, map[string]any{"autoRenewStatus": 1.0, "expirationIntent": nil, "recentSubscriptionStartDate": date("2026-03-01")})
}

func TestAutoRenewTurnedOffWhileBillingFails(t *testing.T) {
	for days, want := range map[string][]string{
		"grace": {"DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", "EXPIRED.VOLUNTARY"},
		"retry": {"GRACE_PERIOD_EXPIRED", "DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", "EXPIRED.VOLUNTARY"},
	} {
		p := newShop(t, apple.Options{})
		id := p.subscribe(apple.Purchase{}).TransactionID
		p.must(p.FailBilling(apple.Held{TransactionID: id}))
		p.days(31)
		p.wants("SUBSCRIBED.INITIAL_BUY", "DID_FAIL_TO_RENEW.GRACE_PERIOD")
		if days == "retry" {
			p.days(16)
		}
		p.must(p.SetAutoRenew(apple.AutoRenew{TransactionID: id}))
		p.days(20)
		p.wants(want...)
	}
}

func TestUpgradeIsNowAndDowngradeIsThen(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	p.wants("SUBSCRIBED.INITIAL_BUY")
	p.days(10)
	now := p.clock.Now()
	up, err := p.Upgrade(apple.Switch{TransactionID: id, ProductID: "gold", Period: "P1Y", Price: 99_000_000})
	if err != nil {
		t.Fatal(err)
	}
	word := p.wants("DID_CHANGE_RENEWAL_PREF.UPGRADE")[0]
	fields(t, "upgrade", word.transaction, map[string]any{
		"productId": "gold", "price": 99_000_000.0, "expiresDate": float64(now.AddDate(1, 0, 0).UnixMilli()), "originalTransactionId": id, "isUpgraded": nil,
	})
	old := p.payload(p.asks("GET", "/inApps/v1/transactions/"+id, "", 200, 0)["signedTransactionInfo"].(string))
	fields(t, "old", old, map[string]any{"isUpgraded": true, "price": 4_900_000.0, "expiresDate": date("2026-04-01")})
	p.must(p.Downgrade(apple.Switch{TransactionID: up.TransactionID, ProductID: "bronze", Period: "P1W", Price: 1_000_000}))
	word = p.wants("DID_CHANGE_RENEWAL_PREF.DOWNGRADE")[0]
	fields(t, "downgrade", word.transaction, map[string]any{"productId": "gold"})
	fields(t, "downgrade", word.renewal, map[string]any{"productId": "gold", "autoRenewProductId": "bronze", "renewalPrice": 1_000_000.0})
	p.must(p.Downgrade(apple.Switch{TransactionID: up.TransactionID, ProductID: "gold", Period: "P1Y", Price: 99_000_000}))
	fields(t, "called off", p.wants("DID_CHANGE_RENEWAL_PREF")[0].renewal, map[string]any{"autoRenewProductId": "gold"})
	p.must(p.Downgrade(apple.Switch{TransactionID: up.TransactionID, ProductID: "bronze", Period: "P1W", Price: 1_000_000}))
	p.days(366)
	list := p.wants("DID_CHANGE_RENEWAL_PREF.DOWNGRADE", "DID_RENEW")
	fields(t, "then", list[1].transaction, map[string]any{"productId": "bronze", "price": 1_000_000.0})
	if got := list[1].transaction["expiresDate"].(float64) - list[1].transaction["purchaseDate"].(float64); got != 7*86400_000 {
		t.Errorf("then: got a period of %v ms, want a week", got)
	}
	if diff := cmp.Diff([]string{"purchased", "upgraded", "renewed"}, p.effects()); diff != "" {
		t.Errorf("effects differ (-want +got):\n%s", diff)
	}
	for i, price := range []int64{4_900_000, 99_000_000, 1_000_000} {
		if got := p.Effects()[i]; got.Amount != price || got.SubscriptionID != id {
			t.Errorf("effect %d: got %d for %s, want %d for %s", i, got.Amount, got.SubscriptionID, price, id)
		}
	}
}

func TestPriceIncreaseNeedsItsAnswer(t *testing.T) {
	for _, c := range []struct {
		name    string
		consent *bool
		accept  bool
		then    []string
		price   float64
	}{
		{"refused", nil, false, []string{"PRICE_INCREASE.PENDING", "EXPIRED.PRICE_INCREASE"}, 4_900_000},
		{"accepted", nil, true, []string{"PRICE_INCREASE.PENDING", "PRICE_INCREASE.ACCEPTED", "DID_RENEW"}, 5_900_000},
		{"told", ptr(false), false, []string{"PRICE_INCREASE.ACCEPTED", "DID_RENEW"}, 5_900_000},
	} {
		p := newShop(t, apple.Options{})
		id := p.subscribe(apple.Purchase{}).TransactionID
		p.wants("SUBSCRIBED.INITIAL_BUY")
		p.must(p.RaisePrice(apple.Rise{TransactionID: id, Price: 5_900_000, Consent: c.consent}))
		if c.accept {
			p.must(p.AcceptPrice(apple.Held{TransactionID: id}))
		}
		p.days(31)
		list := p.wants(c.then...)
		status := 0.0
		if c.then[0] == "PRICE_INCREASE.ACCEPTED" {
			status = 1
		}
		fields(t, c.name, list[0].renewal, map[string]any{"priceIncreaseStatus": status})
		last := list[len(list)-1]
		fields(t, c.name, last.transaction, map[string]any{"price": c.price})
		if c.name == "refused" {
			fields(t, c.name, last.renewal, map[string]any{"expirationIntent": 3.0})
		}
	}
}

func TestProductTakenOffSaleEndsItsSubscriptions(t *testing.T) {
	p := newShop(t, apple.Options{})
	p.subscribe(apple.Purchase{})
	p.must(p.Withdraw(apple.Withdrawal{ProductID: "com.example.premium.monthly"}))
	p.days(31)
	fields(t, "withdrawn", p.wants("SUBSCRIBED.INITIAL_BUY", "EXPIRED.PRODUCT_NOT_FOR_SALE")[1].renewal, map[string]any{"expirationIntent": 4.0})
}

func TestOfferIsRedeemedNowOrThen(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	p.wants("SUBSCRIBED.INITIAL_BUY")
	p.must(p.Redeem(apple.Redemption{TransactionID: id, OfferIdentifier: "comeback"}))
	fields(t, "offered", p.wants("OFFER_REDEEMED")[0].renewal, map[string]any{"offerType": 3.0, "offerIdentifier": "comeback"})
	p.days(31)
	fields(t, "renewed", p.wants("DID_RENEW")[0].transaction, map[string]any{"offerType": 3.0, "offerIdentifier": "comeback", "offerDiscountType": "PAY_AS_YOU_GO"})
	p.must(p.Redeem(apple.Redemption{TransactionID: id, OfferIdentifier: "up", Subtype: "UPGRADE", ProductID: "gold"}))
	fields(t, "upgraded", p.wants("OFFER_REDEEMED.UPGRADE")[0].transaction, map[string]any{"productId": "gold", "offerIdentifier": "up"})
	p.must(p.Redeem(apple.Redemption{TransactionID: id, OfferIdentifier: "down", Subtype: "DOWNGRADE", ProductID: "bronze"}))
	word := p.wants("OFFER_REDEEMED.DOWNGRADE")[0]
	fields(t, "downgraded", word.renewal, map[string]any{"autoRenewProductId": "bronze", "offerIdentifier": "down"})
	fields(t, "downgraded", word.transaction, map[string]any{"productId": "gold"})
}

func TestExtensionMovesTheEndOfTheSameTransaction(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	p.wants("SUBSCRIBED.INITIAL_BUY")
	p.must(p.Extend(apple.Longer{TransactionID: id, Days: 7}))
	fields(t, "extended", p.wants("RENEWAL_EXTENDED")[0].transaction, map[string]any{"transactionId": id, "expiresDate": date("2026-04-08")})
	p.days(36)
	p.wants()
	p.days(2)
	fields(t, "renewed", p.wants("DID_RENEW")[0].transaction, map[string]any{"purchaseDate": date("2026-04-08"), "expiresDate": date("2026-05-08")})
}

func TestFamilyShareGoesAsItsOwners(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{AppAccountToken: "6f2b7c1e-2a53-4a53-9c0f-6d6f0f6b2f10"}).TransactionID
	member, err := p.Share(apple.Sharing{TransactionID: id})
	if err != nil {
		t.Fatal(err)
	}
	list := p.wants("SUBSCRIBED.INITIAL_BUY", "SUBSCRIBED.INITIAL_BUY")
	fields(t, "shared", list[1].transaction, map[string]any{
		"inAppOwnershipType": "FAMILY_SHARED", "originalTransactionId": member.TransactionID, "transactionId": member.TransactionID,
		"appAccountToken": nil, "expiresDate": date("2026-04-01"),
	})
	if list[0].transaction["appTransactionId"] == list[1].transaction["appTransactionId"] {
		t.Error("shared: got the owner's appTransactionId, want the member's own")
	}
	p.days(31)
	list = p.wants("DID_RENEW", "DID_RENEW")
	fields(t, "renewed", list[1].transaction, map[string]any{"originalTransactionId": member.TransactionID, "expiresDate": date("2026-05-01")})
	p.must(p.Extend(apple.Longer{TransactionID: id, Days: 1}))
	list = p.wants("RENEWAL_EXTENDED", "RENEWAL_EXTENDED")
	for _, w := range list {
		fields(t, "extended", w.transaction, map[string]any{"expiresDate": date("2026-05-02")})
	}
	p.must(p.Revoke(apple.Held{TransactionID: member.TransactionID}))
	gone := p.wants("REVOKE")[0]
	fields(t, "revoked", gone.transaction, map[string]any{"revocationType": "FAMILY_REVOKE", "originalTransactionId": member.TransactionID})
	fields(t, "revoked", gone.data, map[string]any{"status": 5.0})
	p.days(32)
	p.wants("DID_RENEW") // the owner's alone
	other, err := p.Share(apple.Sharing{TransactionID: id, Customer: "child"})
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := p.status(id)
	p.must(p.Refund(apple.Refund{TransactionID: last["transactionId"].(string)}))
	p.wants("SUBSCRIBED.INITIAL_BUY", "DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", "DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", "REFUND", "REVOKE")
	if status, _, _ := p.status(other.TransactionID); status != 5 {
		t.Errorf("after the owner's refund: got status %v, want 5", status)
	}
	if diff := cmp.Diff([]string{"purchased", "shared", "renewed", "extended", "familyRevoked", "renewed", "shared", "autoRenewOff", "refunded", "familyRevoked"}, p.effects()); diff != "" {
		t.Errorf("effects differ (-want +got):\n%s", diff)
	}
	gems := p.buy(apple.Purchase{ProductID: "com.example.gems100"})
	if _, err := p.Share(apple.Sharing{TransactionID: gems.TransactionID}); err == nil {
		t.Error("a consumable: got it shared, want it refused")
	}
	adfree := p.buy(apple.Purchase{ProductID: "com.example.adfree"})
	if _, err := p.Share(apple.Sharing{TransactionID: adfree.TransactionID}); err != nil {
		t.Error(err)
	}
	p.wants("ONE_TIME_CHARGE", "ONE_TIME_CHARGE", "ONE_TIME_CHARGE")
}

func TestCustomerHasOneSubscriptionOfAGroup(t *testing.T) {
	p := newShop(t, apple.Options{})
	first := p.subscribe(apple.Purchase{Customer: "park"})
	if _, err := p.Subscribe(apple.Purchase{Customer: "park"}); err == nil {
		t.Error("twice: got it sold, want it refused")
	}
	if other := p.subscribe(apple.Purchase{Customer: "park", Group: "2", ProductID: "else"}); other.OriginalTransactionID == first.OriginalTransactionID {
		t.Error("another group: got the same line, want another")
	}
	p.must(p.SetAutoRenew(apple.AutoRenew{TransactionID: first.TransactionID}))
	p.days(100)
	again := p.subscribe(apple.Purchase{Customer: "park"})
	if again.OriginalTransactionID != first.OriginalTransactionID || again.TransactionID == first.TransactionID {
		t.Errorf("again: got %s of %s, want another of %s", again.TransactionID, again.OriginalTransactionID, first.OriginalTransactionID)
	}
	list := p.words()
	if got := list[len(list)-1]; got.name != "DID_RENEW" {
		t.Errorf("before the last: got %s, want the other group's renewal", got.name)
	}
	fields(t, "again", p.wants("SUBSCRIBED.RESUBSCRIBE")[0].renewal, map[string]any{"recentSubscriptionStartDate": float64(p.clock.Now().Add(-time.Second).UnixMilli())})
}

func TestAYearOfAWeeklySubscriptionIsFiftyTwoRenewals(t *testing.T) {
	p := newShop(t, apple.Options{})
	p.subscribe(apple.Purchase{Period: "P1W", Environment: apple.Sandbox})
	p.days(365)
	if got := len(p.receiver.Arrivals()); got != 53 {
		t.Errorf("got %d notifications, want the first and 52 renewals", got)
	}
}
