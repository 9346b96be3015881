//go:build differential && local

package differential_test

import (
	"fmt"
	"strings"
	"time"
)

// valid makes what Apple signs, and what it may sign tomorrow: both sides have to accept
// every one.
func (g *generator) valid() {
	for _, environment := range []string{"Production", "Sandbox"} {
		g.validTransactions(environment)
		g.validRenewals(environment)
		g.validAppTransactions(environment)
		g.validNotifications(environment)
		for _, s := range g.kinds(environment) {
			for name, header := range inOrder(g.validHeaders()) {
				g.add("valid "+s.path+" with "+name, s.kind, g.a.signWith(header, s.payload(s.object)), environment)
			}
		}
	}
}

func (g *generator) validHeaders() map[string]string {
	x5c := g.a.x5c()
	good := header(x5c)
	with := func(more string) string { return strings.Replace(good, "{", "{"+more+",", 1) }
	return map[string]string{
		"the plain header":      good,
		"typ JWT":               with(`"typ":"JWT"`),
		"typ null":              with(`"typ":null`),
		"typ of another kind":   with(`"typ":"x"`),
		"a kid":                 with(`"kid":"Apple_Xcode_Key"`),
		"a key of its own":      with(`"jwk":{"kty":"EC"},"jku":"https://example.com","x5u":"https://example.com","x5t":"x"`),
		"b64 without crit":      with(`"b64":false`),
		"unicode":               with(`"구독":"✓\ud83d\ude00"`),
		"zip":                   with(`"zip":"DEF"`),
		"white space":           " \n" + strings.ReplaceAll(good, ",", " ,\t\r\n") + " ",
		"x5c first":             fmt.Sprintf(`{"x5c":["%s"],"alg":"ES256"}`, strings.Join(x5c, `","`)),
		"names written escaped": strings.Replace(strings.Replace(good, `"alg"`, `"a\u006cg"`, 1), "ES256", `ES25\u0036`, 1),
		"x5c written escaped":   strings.ReplaceAll(good, "/", `\/`),
	}
}

// signed adds one valid sample of a payload.
func (g *generator) signed(name, kind string, payload object, environment string) {
	g.t.Helper()
	g.add("valid "+name, kind, g.a.sign(payload.String()), environment)
}

func (g *generator) validTransactions(environment string) {
	base := transaction(environment)
	add := func(name string, payload object) { g.signed(name, "transaction", payload, environment) }
	once := base.without("expiresDate", "subscriptionGroupIdentifier", "webOrderLineItemId").with("transactionReason", `"PURCHASE"`)
	for _, kind := range []string{"Auto-Renewable Subscription", "Non-Consumable", "Consumable", "Non-Renewing Subscription", "Lease", ""} {
		add("type "+kind, base.with("type", quoted(kind)))
		add("bought once, type "+kind, once.with("type", quoted(kind)).with("quantity", "10"))
	}
	for _, word := range []string{"inAppOwnershipType", "transactionReason", "offerDiscountType", "revocationType", "billingPlanType", "storefront", "currency", "offerPeriod"} {
		for _, value := range []string{"FAMILY_SHARED", "PURCHASE", "FREE_TRIAL", "REFUND_PRORATED", "MONTHLY", "USA", "P1Y", "NEW_WORD", ""} {
			add(word+" "+value, base.with(word, quoted(value)))
		}
	}
	for _, missing := range base {
		switch missing.name {
		case "transactionId", "originalTransactionId", "productId", "bundleId", "environment", "signedDate":
		default:
			add("without "+missing.name, base.without(missing.name))
		}
	}
	add("of the least", object{
		{"transactionId", `"1"`},
		{"originalTransactionId", `"1"`},
		{"productId", `"x"`},
		{"bundleId", quoted(bundleID)},
		{"environment", quoted(environment)},
		{"signedDate", millis(signedAt.UnixMilli())},
	})
	for _, member := range []string{"purchaseDate", "originalPurchaseDate", "expiresDate", "revocationDate"} {
		for _, date := range []string{
			"0", "1", "-1", "-0", "1697679936049.7297", "-62135769600000", "-62135769600000.5", "1.7684784e12", "4102444800000", "0.5", "1e3", "253402300799999", "-62167219200000",
		} {
			add(member+" "+date, base.with(member, date))
		}
	}
	for name, at := range inOrder(map[string]time.Time{
		"the leaf's first second": leafBegins, "the leaf's last second": leafEnds, "to come": now.AddDate(1, 0, 0), "long ago": leafBegins.AddDate(0, 1, 0),
	}) {
		add("signed "+name, base.with("signedDate", millis(at.UnixMilli())))
	}
	add("signedDate with a fraction", base.with("signedDate", "1768478400000.999"))
	add("signedDate with an exponent", base.with("signedDate", "1.7684784E+12"))
	for _, price := range []string{"0", "-1", "1", "1e3", "2147483648", "9007199254740991", "9007199254740993", "9223372036854775807", "123456789012345678901234567890", "0.5", "4990000.0"} {
		add("price "+price, base.with("price", price))
	}
	for _, quantity := range []string{"0", "1", "10", "2147483647", "1.0", "1e1"} {
		add("quantity "+quantity, base.with("quantity", quantity))
	}
	for n := range 6 {
		add(fmt.Sprint("offerType ", n), base.with("offerType", fmt.Sprint(n)).with("offerIdentifier", `"구독 ✓\ud83d\ude00 \"\\\/\b"`).with("offerPeriod", `"P1M"`))
		add(fmt.Sprint("revoked for reason ", n), base.with("revocationReason", fmt.Sprint(n)).with("revocationDate", "1768478300000").with("revocationPercentage", "50000"))
	}
	add("upgraded", base.with("isUpgraded", "true"))
	add("not upgraded", base.with("isUpgraded", "false"))
	add("advanced commerce", base.with("advancedCommerceInfo", commerceOfTransaction))
	add("commitment", base.with("commitmentInfo", commitmentOfTransaction).with("billingPlanType", `"MONTHLY"`))
	add("nested objects that are empty", base.with("advancedCommerceInfo", "{}").with("commitmentInfo", "{}"))
	add("unknown members", base.and("newThing", `{"a":[1,{"b":null}]}`).and("newDate", "null").and("구독", `"✓"`))
	add("product of unicode", base.with("productId", `"구독.✓\ud83d\ude00"`))
	add("lone surrogate", base.with("offerIdentifier", `"\ud800x"`))
	add("ids of letters", base.with("transactionId", `"a-Z_9"`).with("originalTransactionId", `"`+strings.Repeat("9", 64)+`"`))
	add("no exp, an iat", base.and("iat", "1").and("iss", `"x"`).and("aud", `"x"`))
	add("exp to come", base.and("exp", "1868478460"))
	add("nbf passed", base.and("nbf", "1768478400"))
	g.add("valid with white space", "transaction", g.a.sign("\n "+strings.ReplaceAll(base.String(), ",", " ,\t\r\n")+" "), environment)
}

func (g *generator) validRenewals(environment string) {
	base := renewal(environment)
	add := func(name string, payload object) { g.signed(name, "renewal", payload, environment) }
	for n := range 7 {
		for _, member := range []string{"autoRenewStatus", "expirationIntent", "priceIncreaseStatus", "offerType"} {
			add(fmt.Sprint(member, " ", n), base.with(member, fmt.Sprint(n)))
		}
	}
	for _, missing := range base {
		switch missing.name {
		case "originalTransactionId", "environment", "signedDate", "productId", "autoRenewProductId", "autoRenewStatus":
		default:
			add("without "+missing.name, base.without(missing.name))
		}
	}
	for _, member := range []string{"gracePeriodExpiresDate", "renewalDate", "recentSubscriptionStartDate"} {
		for _, date := range []string{"0", "-1", "1697679936049.7297", "-62135769600000", "1.7684784e12", "4102444800000"} {
			add(member+" "+date, base.with(member, date))
		}
	}
	for _, value := range []string{"0", "1", "9007199254740993", "123456789012345678901234567890"} {
		add("renewalPrice "+value, base.with("renewalPrice", value))
	}
	for _, value := range []string{"true", "false"} {
		add("isInBillingRetryPeriod "+value, base.with("isInBillingRetryPeriod", value))
	}
	for _, value := range []string{"[]", `["one"]`, `["one","구독 ✓"]`} {
		add("eligibleWinBackOfferIds "+value, base.with("eligibleWinBackOfferIds", value))
	}
	add("advanced commerce", base.with("advancedCommerceInfo", commerceOfRenewal))
	add("commitment", base.with("commitmentInfo", commitmentOfRenewal).with("renewalBillingPlanType", `"MONTHLY"`))
	add("unknown members", base.and("newThing", `{"a":[1,{"b":null}]}`).and("newDate", "null"))
	add("words of tomorrow", base.with("offerDiscountType", `"NEW_WORD"`).with("renewalBillingPlanType", `"NEW_WORD"`))
}

func (g *generator) validAppTransactions(environment string) {
	base := appTransaction(environment)
	add := func(name string, payload object) { g.signed(name, "appTransaction", payload, environment) }
	for _, missing := range base {
		switch missing.name {
		case "receiptType", "bundleId", "receiptCreationDate", "appAppleId", "appTransactionId":
		default:
			add("without "+missing.name, base.without(missing.name))
		}
	}
	for _, member := range []string{"originalPurchaseDate", "preorderDate"} {
		for _, date := range []string{"0", "-1", "1697679936049.7297", "-62135769600000", "1.7684784e12"} {
			add(member+" "+date, base.with(member, date))
		}
	}
	for _, platform := range []string{"iOS", "macOS", "tvOS", "visionOS", "newOS"} {
		add("on "+platform, base.with("originalPlatform", quoted(platform)))
	}
	add("unknown members", base.and("newThing", `{"a":[1,{"b":null}]}`).and("signedDate", "1"))
	if environment == "Sandbox" {
		add("app id 0", base.with("appAppleId", "0"))
		add("app id of another", base.with("appAppleId", "1"))
	}
}

func (g *generator) validNotifications(environment string) {
	add := func(name string, payload object) { g.signed(name, "notification", payload, environment) }
	for kind, subtypes := range inOrder(map[string][]string{
		"SUBSCRIBED": {"INITIAL_BUY", "RESUBSCRIBE"}, "DID_RENEW": {"", "BILLING_RECOVERY"}, "DID_CHANGE_RENEWAL_PREF": {"UPGRADE", "DOWNGRADE", ""},
		"DID_CHANGE_RENEWAL_STATUS": {"AUTO_RENEW_ENABLED", "AUTO_RENEW_DISABLED"}, "OFFER_REDEEMED": {"INITIAL_BUY", "RESUBSCRIBE", "UPGRADE", "DOWNGRADE", ""},
		"DID_FAIL_TO_RENEW": {"GRACE_PERIOD", ""}, "GRACE_PERIOD_EXPIRED": {""}, "EXPIRED": {"VOLUNTARY", "BILLING_RETRY", "PRICE_INCREASE", "PRODUCT_NOT_FOR_SALE", ""},
		"PRICE_INCREASE": {"PENDING", "ACCEPTED"}, "PRICE_CHANGE": {"PENDING", "ACCEPTED"}, "REFUND": {""}, "REFUND_REVERSED": {""}, "REFUND_DECLINED": {""},
		"CONSUMPTION_REQUEST": {""}, "REVOKE": {""}, "RENEWAL_EXTENDED": {""}, "RENEWAL_EXTENSION": {"FAILURE"}, "ONE_TIME_CHARGE": {""},
		"METADATA_UPDATE": {""}, "MIGRATION": {""}, "MIGRATE": {""}, "NEW_TYPE": {"", "NEW_SUBTYPE"},
	}) {
		for _, subtype := range subtypes {
			base := g.a.notification(environment).with("notificationType", quoted(kind))
			if subtype != "" {
				base = base.with("subtype", quoted(subtype))
			}
			add(kind+" "+subtype, base)
		}
	}
	data := func(change func(object) object) object { return g.a.notification(environment, change) }
	add("TEST", data(func(d object) object { return d.without("signedTransactionInfo", "signedRenewalInfo", "status") }).with("notificationType", `"TEST"`))
	add("without renewal info", data(func(d object) object { return d.without("signedRenewalInfo") }))
	add("asked for consumption", data(func(d object) object { return d.with("consumptionRequestReason", `"UNINTENDED_PURCHASE"`) }))
	for n := range 7 {
		add(fmt.Sprint("status ", n), data(func(d object) object { return d.with("status", fmt.Sprint(n)) }))
	}
	add("RENEWAL_EXTENSION SUMMARY", envelope("RENEWAL_EXTENSION", "SUMMARY", "summary", summary(environment)))
	for _, subtype := range []string{"CREATED", "UNREPORTED", "ACTIVE_TOKEN_REMINDER", "NEW_SUBTYPE"} {
		add("EXTERNAL_PURCHASE_TOKEN "+subtype, envelope("EXTERNAL_PURCHASE_TOKEN", subtype, "externalPurchaseToken", externalPurchaseToken(environment)))
	}
	add("RESCIND_CONSENT", envelope("RESCIND_CONSENT", "", "appData", g.a.appData(environment)))
	add("unknown members", g.a.notification(environment).and("newThing", `{"a":[1,{"b":null}]}`))
	add("data and summary", g.a.notification(environment).and("summary", summary(environment).String()))
	if environment == "Sandbox" {
		add("no app id", data(func(d object) object { return d.without("appAppleId") }))
		add("app id 0", data(func(d object) object { return d.with("appAppleId", "0") }))
	}
}
