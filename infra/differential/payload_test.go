//go:build differential && local

package differential_test

import (
	"fmt"
	"strings"
)

// field is a member of a JSON object: its name as it stands between the quotes, and its
// value as it is written, which need not be JSON.
type field struct{ name, value string }

// object is a JSON object whose members keep their order and may be written wrongly.
type object []field

func (o object) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%s":%s`, f.name, f.value)
	}
	b.WriteByte('}')
	return b.String()
}

// with sets a member, where it stands or else at the end.
func (o object) with(name, value string) object {
	out := append(object{}, o...)
	for i := range out {
		if out[i].name == name {
			out[i].value = value
			return out
		}
	}
	return append(out, field{name, value})
}

// and appends a member, even where the name is there already.
func (o object) and(name, value string) object {
	return append(append(object{}, o...), field{name, value})
}

func (o object) without(names ...string) object {
	var out object
next:
	for _, f := range o {
		for _, name := range names {
			if f.name == name {
				continue next
			}
		}
		out = append(out, f)
	}
	return out
}

func (o object) renamed(from, to string) object {
	out := append(object{}, o...)
	for i := range out {
		if out[i].name == from {
			out[i].name = to
		}
	}
	return out
}

// get is the value of a member, as it is written.
func (o object) get(name string) string {
	for _, f := range o {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

const (
	bundleID = "com.example.app"
	appID    = 1234567890
)

func quoted(text string) string { return `"` + text + `"` }

// millis is a date as Apple writes it.
func millis(n int64) string { return fmt.Sprint(n) }

// transaction, renewal, appTransaction are the valid payloads that the others are made of.
func transaction(environment string) object {
	return object{
		{"transactionId", `"2000000912345678"`},
		{"originalTransactionId", `"2000000812345678"`},
		{"webOrderLineItemId", `"2000000099887766"`},
		{"bundleId", quoted(bundleID)},
		{"productId", `"com.example.premium.monthly"`},
		{"subscriptionGroupIdentifier", `"21500001"`},
		{"purchaseDate", "1768478100000"},
		{"originalPurchaseDate", "1765799700000"},
		{"expiresDate", "1771156500000"},
		{"quantity", "1"},
		{"type", `"Auto-Renewable Subscription"`},
		{"appAccountToken", `"7e3fb204-2ec1-4c1c-8d6e-0e7b9a6f1c11"`},
		{"inAppOwnershipType", `"PURCHASED"`},
		{"signedDate", millis(signedAt.UnixMilli())},
		{"environment", quoted(environment)},
		{"transactionReason", `"RENEWAL"`},
		{"storefront", `"KOR"`},
		{"storefrontId", `"143466"`},
		{"price", "4900000"},
		{"currency", `"KRW"`},
		{"appTransactionId", `"704897469903783919"`},
	}
}

func renewal(environment string) object {
	return object{
		{"originalTransactionId", `"2000000812345678"`},
		{"autoRenewProductId", `"com.example.premium.monthly"`},
		{"productId", `"com.example.premium.monthly"`},
		{"autoRenewStatus", "1"},
		{"renewalPrice", "4900000"},
		{"currency", `"KRW"`},
		{"signedDate", millis(signedAt.UnixMilli())},
		{"environment", quoted(environment)},
		{"recentSubscriptionStartDate", "1765799700000"},
		{"renewalDate", "1771156500000"},
		{"appTransactionId", `"704897469903783919"`},
		{"appAccountToken", `"7e3fb204-2ec1-4c1c-8d6e-0e7b9a6f1c11"`},
	}
}

func appTransaction(environment string) object {
	return object{
		{"receiptType", quoted(environment)},
		{"appAppleId", fmt.Sprint(appID)},
		{"bundleId", quoted(bundleID)},
		{"applicationVersion", `"1.2.3"`},
		{"versionExternalIdentifier", "873212345"},
		{"receiptCreationDate", millis(signedAt.UnixMilli())},
		{"originalPurchaseDate", "1765799700000"},
		{"originalApplicationVersion", `"1.0"`},
		{"deviceVerification", `"QUJDRA=="`},
		{"deviceVerificationNonce", `"48ccfa42-7431-4f22-9908-7e88983e105a"`},
		{"preorderDate", "1765700000000"},
		{"appTransactionId", `"704897469903783919"`},
		{"originalPlatform", `"iOS"`},
	}
}

// notification has its signed parts from a.
func (a *authority) notification(environment string, changes ...func(data object) object) object {
	data := object{
		{"appAppleId", fmt.Sprint(appID)},
		{"bundleId", quoted(bundleID)},
		{"bundleVersion", `"1.2.3"`},
		{"environment", quoted(environment)},
		{"signedTransactionInfo", quoted(a.sign(transaction(environment).String()))},
		{"signedRenewalInfo", quoted(a.sign(renewal(environment).String()))},
		{"status", "1"},
	}
	for _, change := range changes {
		data = change(data)
	}
	return envelope("DID_RENEW", "", "data", data)
}

// envelope is a notification around one of data, summary, externalPurchaseToken, appData.
func envelope(kind, subtype, name string, inside object) object {
	o := object{{"notificationType", quoted(kind)}}
	if subtype != "" {
		o = append(o, field{"subtype", quoted(subtype)})
	}
	return append(
		o,
		field{"notificationUUID", `"002e14d5-51f5-4503-b5a8-c3a1af68eb20"`},
		field{name, inside.String()},
		field{"version", `"2.0"`},
		field{"signedDate", millis(signedAt.UnixMilli())},
	)
}

func summary(environment string) object {
	return object{
		{"environment", quoted(environment)},
		{"appAppleId", fmt.Sprint(appID)},
		{"bundleId", quoted(bundleID)},
		{"productId", `"com.example.premium.monthly"`},
		{"requestIdentifier", `"efb27071-45a4-4aca-9854-2a1e9146f265"`},
		{"storefrontCountryCodes", `["CAN","USA","MEX"]`},
		{"succeededCount", "5"},
		{"failedCount", "2"},
	}
}

func externalPurchaseToken(environment string) object {
	id := "b2158121-7af9-49d4-9561-1f588205523e"
	if environment == "Sandbox" {
		id = "SANDBOX_" + id
	}
	return object{
		{"externalPurchaseId", quoted(id)},
		{"tokenCreationDate", "1768478100000"},
		{"appAppleId", fmt.Sprint(appID)},
		{"bundleId", quoted(bundleID)},
		{"tokenType", `"SERVICES"`},
		{"tokenExpirationDate", "1769478100000"},
	}
}

func (a *authority) appData(environment string) object {
	return object{
		{"appAppleId", fmt.Sprint(appID)},
		{"bundleId", quoted(bundleID)},
		{"environment", quoted(environment)},
		{"signedAppTransactionInfo", quoted(a.sign(appTransaction(environment).String()))},
	}
}

// The nested objects (Apple, advancedCommerceInfo and commitmentInfo).
const (
	commerceOfTransaction = `{"descriptors":{"displayName":"Premium","description":"All of it"},"estimatedTax":100,` +
		`"items":[{"SKU":"one","displayName":"One","description":"One of all","price":4900000,` +
		`"offer":{"period":"P1M","periodCount":1,"price":1,"reason":"WIN_BACK"},` +
		`"refunds":[{"refundAmount":1,"refundDate":1768478100000,"refundReason":"LEGAL","refundType":"FULL"}],"revocationDate":1768478100000}],` +
		`"period":"P1M","requestReferenceId":"efb27071-45a4-4aca-9854-2a1e9146f265","taxCode":"C003-00-1","taxExclusivePrice":1,"taxRate":"0.1"}`
	commerceOfRenewal = `{"consistencyToken":"x","descriptors":{"displayName":"Premium","description":"All of it"},` +
		`"items":[{"SKU":"one","displayName":"One","description":"One of all","price":4900000,"offer":{"period":"P1M","periodCount":1,"price":1,"reason":"WIN_BACK"},` +
		`"priceIncreaseInfo":{"dependentSKUs":["two"],"price":5900000,"status":"PENDING"}}],` +
		`"period":"P1M","requestReferenceId":"efb27071-45a4-4aca-9854-2a1e9146f265","taxCode":"C003-00-1"}`
	commitmentOfTransaction = `{"billingPeriodNumber":1,"totalBillingPeriods":12,"commitmentExpiresDate":1771156500000,"commitmentPrice":49000000}`
	commitmentOfRenewal     = `{"commitmentAutoRenewProductId":"com.example.premium.monthly","commitmentAutoRenewStatus":1,` +
		`"commitmentRenewalBillingPlanType":"MONTHLY","commitmentRenewalDate":1771156500000,"commitmentRenewalPrice":4900000}`
)

// documented are all members of each kind that Apple's documentation or library names, so
// that each can be spoiled, in its parent object. Nested ones come with their parent.
var documented = map[string][]string{
	"transaction": {
		"transactionId", "originalTransactionId", "webOrderLineItemId", "appTransactionId", "bundleId", "appAppleId", "productId",
		"subscriptionGroupIdentifier", "purchaseDate", "originalPurchaseDate", "expiresDate", "quantity", "type", "appAccountToken",
		"inAppOwnershipType", "signedDate", "revocationDate", "revocationReason", "revocationType", "revocationPercentage", "isUpgraded",
		"offerType", "offerIdentifier", "offerDiscountType", "offerPeriod", "environment", "storefront", "storefrontId", "transactionReason",
		"price", "currency", "advancedCommerceInfo", "billingPlanType", "commitmentInfo", "exp", "nbf", "iat", "aud", "iss", "sub", "jti",
	},
	"renewal": {
		"originalTransactionId", "productId", "autoRenewProductId", "autoRenewStatus", "isInBillingRetryPeriod", "gracePeriodExpiresDate",
		"expirationIntent", "priceIncreaseStatus", "offerType", "offerIdentifier", "offerDiscountType", "offerPeriod", "renewalDate",
		"renewalPrice", "currency", "recentSubscriptionStartDate", "eligibleWinBackOfferIds", "appAccountToken", "appTransactionId",
		"signedDate", "environment", "advancedCommerceInfo", "commitmentInfo", "renewalBillingPlanType", "bundleId", "appAppleId", "exp", "nbf",
	},
	"appTransaction": {
		"receiptType", "appAppleId", "bundleId", "applicationVersion", "versionExternalIdentifier", "receiptCreationDate", "originalPurchaseDate",
		"originalApplicationVersion", "deviceVerification", "deviceVerificationNonce", "preorderDate", "appTransactionId", "originalPlatform",
		"environment", "signedDate", "requestDate", "exp", "nbf",
	},
	"notification": {
		"notificationType", "subtype", "notificationUUID", "version", "signedDate", "data", "summary", "externalPurchaseToken", "appData", "exp", "nbf",
	},
	"data": {
		"environment", "appAppleId", "bundleId", "bundleVersion", "signedTransactionInfo", "signedRenewalInfo", "status", "consumptionRequestReason",
	},
	"summary": {
		"environment", "appAppleId", "bundleId", "productId", "requestIdentifier", "storefrontCountryCodes", "succeededCount", "failedCount",
	},
	"externalPurchaseToken": {
		"externalPurchaseId", "tokenCreationDate", "appAppleId", "bundleId", "tokenType", "tokenExpirationDate",
	},
	"appData": {"appAppleId", "bundleId", "environment", "signedAppTransactionInfo"},
}
