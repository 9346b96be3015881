package apple_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
)

const renewalPayload = `{"originalTransactionId":"2000000812345678","autoRenewProductId":"com.example.premium.yearly",` +
	`"productId":"com.example.premium.monthly","autoRenewStatus":1,"renewalPrice":4900000,"currency":"KRW",` +
	`"signedDate":1768478400000,"environment":"Production","recentSubscriptionStartDate":1765799700000,"renewalDate":1771156500000}`

const fullRenewal = `{"expirationIntent":2,"originalTransactionId":"2000000812345678","autoRenewProductId":"com.example.premium.yearly",` +
	`"productId":"com.example.premium.monthly","autoRenewStatus":1,"isInBillingRetryPeriod":true,"priceIncreaseStatus":0,` +
	`"gracePeriodExpiresDate":1771156500000.25,"offerType":2,"offerIdentifier":"comeback","signedDate":1768478400000,"environment":"Production",` +
	`"recentSubscriptionStartDate":1765799700000,"renewalDate":1771156500000,"renewalPrice":4900000,"currency":"KRW","offerDiscountType":"PAY_AS_YOU_GO",` +
	`"eligibleWinBackOfferIds":["a", "\u0062"],"appTransactionId":"71134","offerPeriod":"P1Y","appAccountToken":"7e3fb20b-4cdb-47cc-936d-99d65f608138",` +
	`"advancedCommerceInfo":{"consistencyToken":"t","descriptors":{"description":"Premium Plan","displayName":"Premium","x":1},` +
	`"items":[{"SKU":"s1","description":"d","displayName":"n","price":9990,"offer":{"period":"P1M","periodCount":3,"price":990,"reason":"ACQUISITION","x":2},` +
	`"priceIncreaseInfo":{"dependentSKUs":["s2","s3"],"price":12990,"status":"PENDING","x":3},"x":4},{}],"period":"P1M","requestReferenceId":"r","taxCode":"C","x":5},` +
	`"commitmentInfo":{"commitmentAutoRenewProductId":"p","commitmentAutoRenewStatus":1,"commitmentRenewalBillingPlanType":"MONTHLY",` +
	`"commitmentRenewalDate":1771156500000,"commitmentRenewalPrice":9990,"x":6},"renewalBillingPlanType":"BILLED_UPFRONT","x":null}`

func TestGenuineRenewalInfoIsReadInFull(t *testing.T) {
	a := genuine(t)
	got, err := newVerifier(t, a.certs[root]).RenewalInfo(t.Context(), a.sign(fullRenewal))
	if err != nil {
		t.Fatal(err)
	}
	x := func(text string) map[string]json.RawMessage {
		return map[string]json.RawMessage{"x": json.RawMessage(text)}
	}
	end := time.Date(2026, 2, 15, 11, 55, 0, 0, time.UTC)
	want := apple.RenewalInfo{
		OriginalTransactionID: "2000000812345678", ProductID: "com.example.premium.monthly", AutoRenewProductID: "com.example.premium.yearly",
		AppTransactionID: "71134", AppAccountToken: "7e3fb20b-4cdb-47cc-936d-99d65f608138", Environment: apple.Production,
		AutoRenewStatus: 1, InBillingRetry: true, ExpirationIntent: 2, PriceIncrease: 0, PriceIncreaseSaid: true,
		SignedDate: signedAt, RenewalDate: end, GracePeriodExpiresDate: end,
		RecentSubscriptionStartDate: time.Date(2025, 12, 15, 11, 55, 0, 0, time.UTC),
		RenewalPrice:                4900000, RenewalPriced: true, Currency: "KRW",
		OfferType: 2, OfferIdentifier: "comeback", OfferDiscountType: "PAY_AS_YOU_GO", OfferPeriod: "P1Y",
		EligibleWinBackOfferIDs: []string{"a", "b"}, BillingPlanType: "BILLED_UPFRONT",
		Commitment: &apple.RenewalCommitment{
			AutoRenewProductID: "p", AutoRenewStatus: 1, BillingPlanType: "MONTHLY", RenewalDate: end, RenewalPrice: 9990, RenewalPriced: true, Other: x("6"),
		},
		AdvancedCommerce: &apple.AdvancedCommerceRenewal{
			ConsistencyToken: "t", RequestReferenceID: "r", Period: "P1M", TaxCode: "C", Other: x("5"),
			Descriptors: &apple.AdvancedCommerceDescriptors{DisplayName: "Premium", Description: "Premium Plan", Other: x("1")},
			Items: []apple.AdvancedCommerceItem{{
				SKU: "s1", DisplayName: "n", Description: "d", Price: 9990, Priced: true, Other: x("4"),
				Offer:    &apple.AdvancedCommerceOffer{Period: "P1M", PeriodCount: 3, Price: 990, Priced: true, Reason: "ACQUISITION", Other: x("2")},
				Increase: &apple.AdvancedCommerceIncrease{DependentSKUs: []string{"s2", "s3"}, Price: 12990, Priced: true, Status: "PENDING", Other: x("3")},
			}, {}},
		},
		Other: x("null"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("renewal info (-want +got):\n%s", diff)
	}
}

func TestRenewalInfoNeedsOnlyItsLineAndWhetherItRenews(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	got, err := v.RenewalInfo(t.Context(), a.sign(`{"originalTransactionId":"1","autoRenewStatus":0,"signedDate":1768478400000,"environment":"Sandbox"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := apple.RenewalInfo{OriginalTransactionID: "1", SignedDate: signedAt, Environment: apple.Sandbox}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("renewal info (-want +got):\n%s", diff)
	}
	got, err = v.RenewalInfo(t.Context(), a.sign(`{"originalTransactionId":"1","autoRenewStatus":7,"expirationIntent":99,"offerType":12,"signedDate":1768478400000,"environment":"Sandbox"}`))
	if err != nil || got.AutoRenewStatus != 7 || got.ExpirationIntent != 99 || got.OfferType != 12 {
		t.Errorf("unknown values: got %d, %d, %d and error %v, want 7, 99, 12", got.AutoRenewStatus, got.ExpirationIntent, got.OfferType, err)
	}
}
