package apple_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// What Apple is told about a refund that was asked for (App Store Server API, ConsumptionRequest).
func TestUsageIsReportedByPolicy(t *testing.T) {
	const head = `{"customerConsented":true,"sampleContentProvided":false,"deliveryStatus":`
	for _, c := range []struct {
		name  string
		usage purchase.Usage
		want  string
	}{
		{"not delivered", purchase.Usage{}, head + `"UNDELIVERED_OTHER","refundPreference":"GRANT_FULL"}`},
		{"not delivered, of a currency", purchase.Usage{Spendable: true, Spent: 5}, head + `"UNDELIVERED_OTHER","refundPreference":"GRANT_FULL"}`},
		{"delivered, not to be spent", purchase.Usage{Delivered: true}, head + `"DELIVERED"}`},
		{"nothing spent", purchase.Usage{Delivered: true, Spendable: true}, head + `"DELIVERED","refundPreference":"GRANT_FULL","consumptionPercentage":0}`},
		{"next to nothing", purchase.Usage{Delivered: true, Spendable: true, Spent: 1}, head + `"DELIVERED","refundPreference":"GRANT_PRORATED","consumptionPercentage":1}`},
		{"a third", purchase.Usage{Delivered: true, Spendable: true, Spent: 33_333}, head + `"DELIVERED","refundPreference":"GRANT_PRORATED","consumptionPercentage":33333}`},
		{"nearly all", purchase.Usage{Delivered: true, Spendable: true, Spent: 99_999}, head + `"DELIVERED","refundPreference":"GRANT_PRORATED","consumptionPercentage":99999}`},
		{"all", purchase.Usage{Delivered: true, Spendable: true, Spent: 100_000}, head + `"DELIVERED","refundPreference":"DECLINE","consumptionPercentage":100000}`},
	} {
		for _, test := range []bool{false, true} {
			w := newWorld(t, true, secondApp)
			err := w.store.Report(t.Context(), purchase.Sale{App: "com.example.second", Order: "20000000000001", Test: test}, c.usage)
			if err != nil {
				t.Errorf("%s: got error %v, want none", c.name, err)
			}
			if diff := cmp.Diff([]string{c.want}, w.bodies); diff != "" {
				t.Errorf("%s: body (-want +got):\n%s", c.name, diff)
			}
			host := map[bool]string{false: "production", true: "sandbox"}[test]
			want := []string{"PUT " + host + " com.example.second /inApps/v2/transactions/consumption/20000000000001"}
			if diff := cmp.Diff(want, w.requests()); diff != "" {
				t.Errorf("%s: request (-want +got):\n%s", c.name, diff)
			}
		}
	}
}

func TestReportThatIsNotTakenIsInvalidAndAnOutageIsNot(t *testing.T) {
	for status, want := range map[int]error{400: fault.Invalid, 500: fault.Unavailable, 429: fault.Unavailable, 401: fault.Unavailable, 404: fault.Unavailable} {
		w := newWorld(t, true)
		body := map[int]string{400: `{"errorCode":4000047}`, 404: `{"errorCode":4040010}`}[status]
		answers("/consumption/", status, body)(w, "")
		onlyKind(t, w.store.Report(t.Context(), purchase.Sale{App: "com.example.app", Order: "1"}, purchase.Usage{Delivered: true}), want)
	}
}

// The question is answered where the deployment wants that and can; an outage brings it
// again, and a refusal does not.
func TestConsumptionRequestIsAnsweredOnceItCanBe(t *testing.T) {
	ask := func(w *world) string {
		id := bought(w, gemsSKU, apple.Consumable, nil)
		w.set(signedAt.Add(day))
		w.requests()
		return w.notify("CONSUMPTION_REQUEST", id, facts{"consumptionRequestReason": "UNINTENDED_PURCHASE"})
	}
	reports := func(w *world) (n int) {
		for _, r := range w.requests() {
			if strings.Contains(r, "/consumption/") {
				n++
			}
		}
		return n
	}
	t.Run("by default it is not", func(t *testing.T) {
		w := newWorld(t, true)
		w.store.ReportUsage = false
		if !w.hear(ask(w)) || reports(w) != 0 {
			t.Error("got a report, want none")
		}
	})
	t.Run("an outage brings it again", func(t *testing.T) {
		w := newWorld(t, true)
		signed := ask(w)
		answers("/consumption/", 503, "")(w, "")
		_, err := w.LookAgain(t.Context(), table.Default, apple.Name, signed)
		onlyKind(t, err, fault.Unavailable)
		w.instead = nil
		w.requests()
		if !w.hear(signed) || reports(w) != 1 {
			t.Error("got no report once the API answers, want one")
		}
	})
	t.Run("a refusal is done with", func(t *testing.T) {
		w := newWorld(t, true)
		signed := ask(w)
		answers("/consumption/", 400, `{"errorCode":4000047}`)(w, "")
		if !w.hear(signed) || reports(w) != 1 {
			t.Error("want it applied and asked once")
		}
	})
	t.Run("what half was spent of is said", func(t *testing.T) {
		w := newWorld(t, true)
		signed := ask(w)
		c := w.customer("ann")
		gems := c.Wallets()["gems"]
		gems.Lots[0].Remaining = 25
		c.SetWallet("gems", gems, wallet.Entry{})
		writes, err := c.Writes(time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.tables.Commit(t.Context(), writes...); err != nil {
			t.Fatal(err)
		}
		w.hear(signed)
		if body := w.bodies[len(w.bodies)-1]; !strings.Contains(body, `"consumptionPercentage":75000`) {
			t.Errorf("got %s, want 75000 of it used", body)
		}
	})
	t.Run("of nobody's purchase it is not delivered", func(t *testing.T) {
		w := newWorld(t, true)
		id := w.sell("", gemsSKU, apple.Consumable, nil)
		w.hear(w.notify("CONSUMPTION_REQUEST", id, nil))
		if body := w.bodies[len(w.bodies)-1]; !strings.Contains(body, "UNDELIVERED_OTHER") {
			t.Errorf("got %s, want it not delivered", body)
		}
	})
	t.Run("while the look fails", func(t *testing.T) {
		w := newWorld(t, true)
		signed := ask(w)
		answers("/inApps/v1/", http.StatusInternalServerError, "")(w, "")
		if !w.hear(signed) || reports(w) != 1 {
			t.Error("want the report made from what is signed")
		}
	})
}

// The account token is a UUID, whose letters' case says nothing (RFC 9562, 4).
func TestAccountTokenNamesItsCustomerInEitherCase(t *testing.T) {
	for name, spell := range map[string]func(string) string{"upper": strings.ToUpper, "lower": strings.ToLower} {
		w := newWorld(t, false)
		token := spell(known(w))
		id := w.sell("", gemsSKU, apple.Consumable, facts{"appAccountToken": token})
		_, err := w.claim("ben", w.proof(id))
		onlyKind(t, err, fault.Conflict)
		w.granted("ann", id)
		if got := w.balance("ann"); got != 100 {
			t.Errorf("%s: got balance %d, want 100", name, got)
		}
	}
}

// A family member has a line of its own, which is granted, marked, and taken away without
// touching the buyer's.
func TestFamilyMembersShareIsItsOwn(t *testing.T) {
	for _, able := range []bool{false, true} {
		w := newWorld(t, able)
		own := w.subscribe("", monthlySKU, month(1))
		w.granted("ann", own)
		share := w.subscribe("", monthlySKU, month(1))
		w.transactions[share]["inAppOwnershipType"] = "FAMILY_SHARED"
		w.granted("ben", share)
		if !w.order(share).Family || w.order(own).Family {
			t.Error("want the share marked, and the buyer's not")
		}
		w.set(signedAt.Add(day))
		w.revoke(share, facts{"revocationType": "FAMILY_REVOKE"})
		w.change(share, apple.StatusRevoked, facts{"autoRenewStatus": 0})
		w.hear(w.notify("REVOKE", share, nil))
		if w.entitled("ben", "premium").Active || !w.entitled("ann", "premium").Active {
			t.Errorf("with an API %t: want it gone from ben and not from ann", able)
		}
	}
}

// Part of a refund is part of a currency; of anything else a part is all.
func TestOnlyACurrencyIsTakenBackInPart(t *testing.T) {
	for kind, sku := range kinds {
		for _, c := range []struct{ said, want int }{{40_000, 40_000}, {0, 0}, {100_000, 100_000}} {
			w := newWorld(t, false)
			id := sellOne(w, kind)
			w.revoke(id, facts{"revocationType": "REFUND_PRORATED", "revocationPercentage": c.said})
			news, err := w.store.Look(t.Context(), purchase.Proof{Evidence: w.proof(id)})
			want := c.want
			if kind != apple.Consumable {
				want = 0
			}
			if err != nil || news.Sales[0].State != purchase.Refunded || news.Sales[0].Returned != want {
				t.Errorf("%s, %d: got %+v, %v, want %d returned", sku, c.said, news, err, want)
			}
		}
	}
}

// How a renewal stands, word by word.
func TestRenewalWordsBecomeAStanding(t *testing.T) {
	soon, past := milli(signedAt.Add(day)), milli(signedAt.Add(-day))
	for _, c := range []struct {
		name   string
		status any
		words  facts
		want   purchase.Standing
	}{
		{"it renews", 1, nil, purchase.Standing{WillRenew: true}},
		{"it renews, no status", nil, nil, purchase.Standing{WillRenew: true}},
		{"it does not", 1, facts{"autoRenewStatus": 0}, purchase.Standing{Reason: purchase.ByCustomer}},
		{"it does not, though another product was wished", 1, facts{"autoRenewStatus": 0, "autoRenewProductId": yearlySKU}, purchase.Standing{Reason: purchase.ByCustomer}},
		{"to another product", 1, facts{"autoRenewProductId": yearlySKU}, purchase.Standing{WillRenew: true, Next: yearlySKU}},
		{"a billing retry by its flag", nil, facts{"isInBillingRetryPeriod": true}, purchase.Standing{WillRenew: true, Retrying: true}},
		{"a billing retry by its status", 3, nil, purchase.Standing{WillRenew: true, Retrying: true}},
		{"grace by its status", 4, nil, purchase.Standing{WillRenew: true, Retrying: true}},
		{"grace by its date", nil, facts{"gracePeriodExpiresDate": soon}, purchase.Standing{WillRenew: true, Retrying: true, GraceUntil: signedAt.Add(day)}},
		{"grace that is over", 3, facts{"gracePeriodExpiresDate": past}, purchase.Standing{WillRenew: true, Retrying: true}},
		{"grace that ended long ago", 1, facts{"gracePeriodExpiresDate": past}, purchase.Standing{WillRenew: true}},
		{"grace that is still said of one that was paid", 1, facts{"gracePeriodExpiresDate": soon}, purchase.Standing{WillRenew: true}},
		{"grace that ends as it is signed", 1, facts{"gracePeriodExpiresDate": milli(signedAt)}, purchase.Standing{WillRenew: true}},
		{"expired, whatever else is said", 2, facts{"isInBillingRetryPeriod": true, "gracePeriodExpiresDate": soon, "expirationIntent": 2}, purchase.Standing{Reason: purchase.ByBilling}},
		{"retrying after a billing error", 3, facts{"isInBillingRetryPeriod": true, "expirationIntent": 2}, purchase.Standing{WillRenew: true, Retrying: true, Reason: purchase.ByBilling}},
		{"ended by the customer", nil, facts{"expirationIntent": 1}, purchase.Standing{Reason: purchase.ByCustomer}},
		{"ended by billing", nil, facts{"expirationIntent": 2}, purchase.Standing{Reason: purchase.ByBilling}},
		{"ended by price", nil, facts{"expirationIntent": 3, "autoRenewStatus": 0}, purchase.Standing{Reason: purchase.ByPrice}},
		{"ended for the product", nil, facts{"expirationIntent": 4}, purchase.Standing{Reason: purchase.ByProduct}},
		{"ended otherwise", nil, facts{"expirationIntent": 5}, purchase.Standing{Reason: purchase.ByTheUnsaid}},
		{"ended for a new reason", nil, facts{"expirationIntent": 99}, purchase.Standing{Reason: purchase.ByTheUnsaid}},
		{"a price not answered", 1, facts{"priceIncreaseStatus": 0}, purchase.Standing{WillRenew: true, PriceIncrease: "pending"}},
		{"a price accepted", 1, facts{"priceIncreaseStatus": 1}, purchase.Standing{WillRenew: true, PriceIncrease: "accepted"}},
		{"a price in an unknown way", 1, facts{"priceIncreaseStatus": 2}, purchase.Standing{WillRenew: true, PriceIncrease: "pending"}},
	} {
		w := newWorld(t, false)
		id := w.subscribe("", monthlySKU, month(1))
		w.change(id, 0, c.words)
		more := facts{}
		if c.status != nil {
			more["status"] = c.status
		}
		news, err := w.store.Hear(t.Context(), w.notify("DID_RENEW", id, more))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		c.want.AsOf = signedAt
		if diff := cmp.Diff(c.want, news.Standing); diff != "" {
			t.Errorf("%s: standing (-want +got):\n%s", c.name, diff)
		}
	}
}
