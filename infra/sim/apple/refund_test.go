package apple_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/apple"
)

func TestRefundIsOfAllOrOfAPart(t *testing.T) {
	p := newShop(t, apple.Options{})
	buy := func() string {
		return p.buy(apple.Purchase{ProductID: "com.example.gems100", Quantity: 4}).TransactionID
	}
	for _, c := range []struct {
		refund     apple.Refund
		kind       string
		percentage float64
	}{
		{apple.Refund{TransactionID: buy(), Reason: 1}, "REFUND_FULL", 100_000},
		{apple.Refund{TransactionID: buy(), RevocationPercentage: 25_000}, "REFUND_PRORATED", 25_000},
		{apple.Refund{TransactionID: buy(), RevocationPercentage: 25_000, Type: "full"}, "REFUND_FULL", 25_000},
		{apple.Refund{TransactionID: buy(), Type: "prorated"}, "REFUND_PRORATED", 50_000},
	} {
		p.advance(time.Second)
		p.words()
		p.must(p.Refund(c.refund))
		now := p.millis()
		fields(t, c.kind, p.wants("REFUND")[0].transaction, map[string]any{
			"revocationType": c.kind, "revocationPercentage": c.percentage, "revocationDate": now, "revocationReason": float64(c.refund.Reason),
		})
	}
	half := p.subscribe(apple.Purchase{Period: "P1W"}).TransactionID
	p.advance(84 * time.Hour)
	p.must(p.Refund(apple.Refund{TransactionID: half, Type: "prorated"}))
	list := p.wants("SUBSCRIBED.INITIAL_BUY", "DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", "REFUND")
	fields(t, "half a week", list[2].transaction, map[string]any{"revocationPercentage": 50_000.0})
	for _, bad := range []apple.Refund{
		{TransactionID: buy(), Type: "some"}, {TransactionID: buy(), RevocationPercentage: 100_001}, {TransactionID: buy(), Reason: 2}, {TransactionID: half},
	} {
		if p.Refund(bad) == nil {
			t.Errorf("refund %+v: got it done, want it refused", bad)
		}
	}
}

func TestRefundOfAnOlderRenewalLeavesTheSubscriptionActive(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	p.days(31)
	p.wants("SUBSCRIBED.INITIAL_BUY", "DID_RENEW")
	p.must(p.Refund(apple.Refund{TransactionID: id}))
	word := p.wants("REFUND")[0]
	fields(t, "older", word.data, map[string]any{"status": 1.0})
	fields(t, "older", word.transaction, map[string]any{"transactionId": id})
	fields(t, "older", word.renewal, map[string]any{"autoRenewStatus": 1.0})
	p.days(31)
	p.wants("DID_RENEW")
}

func TestRefundOfTheLastPeriodRevokesAndReversingRestores(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	p.wants("SUBSCRIBED.INITIAL_BUY")
	p.must(p.Refund(apple.Refund{TransactionID: id}))
	list := p.wants("DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", "REFUND")
	fields(t, "refunded", list[1].data, map[string]any{"status": 5.0})
	p.days(10)
	p.must(p.Reverse(apple.Held{TransactionID: id}))
	back := p.wants("REFUND_REVERSED")[0]
	fields(t, "reversed", back.data, map[string]any{"status": 1.0})
	fields(t, "reversed", back.transaction, map[string]any{
		"revocationDate": nil, "revocationReason": nil, "revocationType": nil, "revocationPercentage": nil, "expiresDate": date("2026-04-01"),
	})
	p.days(21)
	p.wants("EXPIRED.VOLUNTARY")
	if p.Reverse(apple.Held{TransactionID: id}) == nil {
		t.Error("reversed twice: got nil, want it refused")
	}
	gone := p.subscribe(apple.Purchase{}).TransactionID
	p.must(p.Refund(apple.Refund{TransactionID: gone}))
	p.days(60)
	p.wants("SUBSCRIBED.INITIAL_BUY", "DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", "REFUND")
	p.must(p.Reverse(apple.Held{TransactionID: gone}))
	p.wants("REFUND_REVERSED", "EXPIRED.VOLUNTARY")
}

func TestDeclinedRefundChangesNothing(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.buy(apple.Purchase{ProductID: "com.example.gems100"}).TransactionID
	p.must(p.Decline(apple.Held{TransactionID: id}))
	fields(t, "declined", p.wants("ONE_TIME_CHARGE", "REFUND_DECLINED")[1].transaction, map[string]any{"transactionId": id, "revocationDate": nil})
	p.must(p.Refund(apple.Refund{TransactionID: id})) // may come all the same
	p.wants("REFUND")
}

func TestConsumptionIsAskedForThreeTimesUntilItIsTold(t *testing.T) {
	const told = `{"customerConsented":true,"sampleContentProvided":false,"deliveryStatus":"DELIVERED","consumptionPercentage":40000,"refundPreference":"GRANT_PRORATED"}`
	p := newShop(t, apple.Options{})
	id := p.buy(apple.Purchase{ProductID: "com.example.gems100"}).TransactionID
	p.wants("ONE_TIME_CHARGE")
	p.must(p.AskConsumption(apple.Asking{TransactionID: id, Reason: "UNINTENDED_PURCHASE"}))
	p.days(2)
	list := p.wants("CONSUMPTION_REQUEST", "CONSUMPTION_REQUEST", "CONSUMPTION_REQUEST")
	uuids := map[any]bool{}
	for i, w := range list {
		uuids[w.payload["notificationUUID"]] = true
		if apart := w.arrival.At.Sub(list[0].arrival.At); apart != time.Duration(i)*8*time.Hour {
			t.Errorf("request %d: got it after %s, want every 8 hours", i, apart)
		}
		fields(t, "request", w.data, map[string]any{"consumptionRequestReason": "UNINTENDED_PURCHASE"})
	}
	if len(uuids) != 3 {
		t.Errorf("got %d notificationUUIDs, want each its own", len(uuids))
	}
	path := "/inApps/v2/transactions/consumption/" + id
	p.must(p.AskConsumption(apple.Asking{TransactionID: id}))
	p.asks("PUT", path, told, 202, 0)
	p.days(2)
	p.wants("CONSUMPTION_REQUEST")
	p.must(p.AskConsumption(apple.Asking{TransactionID: id}))
	p.must(p.Refund(apple.Refund{TransactionID: id}))
	p.days(2)
	p.wants("CONSUMPTION_REQUEST", "REFUND")
	effects := p.Effects()
	got := effects[1]
	if got.Kind != "consumption" || got.TransactionID != id || string(got.Detail) != told {
		t.Errorf("effect: got %+v, want what was told", got)
	}
	twice := p.buy(apple.Purchase{ProductID: "com.example.gems100"}).TransactionID
	p.must(p.AskConsumption(apple.Asking{TransactionID: twice}))
	p.asks("PUT", "/inApps/v2/transactions/consumption/"+twice, told, 202, 0)
	p.must(p.AskConsumption(apple.Asking{TransactionID: twice})) // another wish, asked about three times of its own
	p.days(2)
	p.wants("ONE_TIME_CHARGE", "CONSUMPTION_REQUEST", "CONSUMPTION_REQUEST", "CONSUMPTION_REQUEST", "CONSUMPTION_REQUEST")
	renewing := p.subscribe(apple.Purchase{}).TransactionID
	p.must(p.AskConsumption(apple.Asking{TransactionID: renewing}))
	p.wants("SUBSCRIBED.INITIAL_BUY", "DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", "CONSUMPTION_REQUEST")
	if p.AskConsumption(apple.Asking{TransactionID: renewing, Reason: "WHIM"}) == nil {
		t.Error("reason WHIM: got nil, want it refused")
	}
}

func TestConsumptionHasItsRules(t *testing.T) {
	p := newShop(t, apple.Options{})
	gems := p.buy(apple.Purchase{ProductID: "com.example.gems100"})
	premium := p.subscribe(apple.Purchase{}).TransactionID
	member, err := p.Share(apple.Sharing{TransactionID: premium})
	p.must(err)
	full := map[string]any{
		"customerConsented": true, "sampleContentProvided": true, "deliveryStatus": "DELIVERED", "refundPreference": "DECLINE", "consumptionPercentage": 100_000,
	}
	with := func(changes map[string]any) string {
		body := map[string]any{}
		for name, value := range full {
			body[name] = value
		}
		for name, value := range changes {
			if body[name] = value; value == nil {
				delete(body, name)
			}
		}
		text, err := json.Marshal(body)
		p.must(err)
		return string(text)
	}
	type change = map[string]any
	for _, c := range []struct {
		id     string
		change change
		status int
		code   int64
	}{
		{gems.TransactionID, nil, 202, 0},
		{gems.TransactionID, change{"refundPreference": nil, "consumptionPercentage": nil}, 202, 0},
		{gems.TransactionID, change{"deliveryStatus": "UNDELIVERED_OTHER", "consumptionPercentage": 0}, 202, 0},
		{gems.TransactionID, change{"refundPreference": "GRANT_PRORATED", "consumptionPercentage": 1}, 202, 0},
		{premium, change{"refundPreference": "GRANT_PRORATED", "consumptionPercentage": nil}, 202, 0},
		{gems.TransactionID, change{"customerConsented": false}, 400, 4000035},
		{gems.TransactionID, change{"customerConsented": nil}, 400, 4000035},
		{gems.TransactionID, change{"customerConsented": "yes"}, 400, 4000000},
		{gems.TransactionID, change{"sampleContentProvided": nil}, 400, 4000041},
		{gems.TransactionID, change{"deliveryStatus": nil}, 400, 4000036},
		{gems.TransactionID, change{"deliveryStatus": "LOST"}, 400, 4000036},
		{gems.TransactionID, change{"refundPreference": "MAYBE"}, 400, 4000044},
		{gems.TransactionID, change{"consumptionPercentage": 100_001}, 400, 4000207},
		{gems.TransactionID, change{"consumptionPercentage": -1}, 400, 4000207},
		{gems.TransactionID, change{"refundPreference": "GRANT_PRORATED", "consumptionPercentage": 0}, 400, 4000207},
		{gems.TransactionID, change{"refundPreference": "GRANT_PRORATED"}, 400, 4000207},
		{gems.TransactionID, change{"deliveryStatus": "UNDELIVERED_WRONG_ITEM"}, 400, 4000208},
		{premium, nil, 400, 4000209},
		{member.TransactionID, nil, 400, 4000185},
		{p.payload(gems.SignedTransaction)["appTransactionId"].(string), nil, 400, 4000048},
		{"9", nil, 404, 4040010},
		{"x", nil, 400, 4000006},
	} {
		p.asks("PUT", "/inApps/v2/transactions/consumption/"+c.id, with(c.change), c.status, c.code)
	}
	v1 := `{"accountTenure":1,"appAccountToken":"","consumptionStatus":3,"customerConsented":true,"deliveryStatus":0,"lifetimeDollarsPurchased":1,
		"lifetimeDollarsRefunded":0,"platform":1,"playTime":2,"sampleContentProvided":false,"userStatus":1,"refundPreference":1}`
	path := "/inApps/v1/transactions/consumption/"
	p.asks("PUT", path+gems.TransactionID, v1, 202, 0)
	p.asks("PUT", path+gems.TransactionID, strings.Replace(v1, `"playTime":2`, `"playTime":8`, 1), 400, 4000040)
	p.asks("PUT", path+gems.TransactionID, strings.Replace(v1, `"appAccountToken":""`, `"appAccountToken":"4"`, 1), 400, 4000033)
	p.asks("PUT", path+gems.TransactionID, strings.Replace(v1, `true`, `false`, 1), 400, 4000035)
	p.asks("PUT", path+p.buy(apple.Purchase{ProductID: "com.example.adfree"}).TransactionID, v1, 400, 4000047)
	want := []string{"purchased", "purchased", "shared", "consumption", "consumption", "consumption", "consumption", "consumption", "consumption", "purchased"}
	if diff := cmp.Diff(want, p.effects()); diff != "" {
		t.Errorf("effects differ (-want +got):\n%s", diff)
	}
}
