package apple_test

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

// readers read each kind of signed object, and say whether they gave anything with an error.
var readers = map[string]func(*testing.T, *apple.Verifier, string) (any, error){
	"renewal info": func(t *testing.T, v *apple.Verifier, signed string) (any, error) {
		r, err := v.RenewalInfo(t.Context(), signed)
		if r.OriginalTransactionID == "" && r.Environment == "" && r.Other == nil {
			return nil, err
		}
		return r, err
	},
	"app transaction": func(t *testing.T, v *apple.Verifier, signed string) (any, error) {
		a, err := v.AppTransaction(t.Context(), signed)
		if a.BundleID == "" && a.Environment == "" && a.Other == nil {
			return nil, err
		}
		return a, err
	},
	"notification": func(t *testing.T, v *apple.Verifier, signed string) (any, error) {
		n, err := v.Notification(t.Context(), signed)
		if n.UUID == "" && n.BundleID == "" && n.Transaction == nil && n.Renewal == nil && n.AppTransaction == nil && n.Summary == nil && n.ExternalPurchase == nil && n.Other == nil && n.OtherData == nil {
			return nil, err
		}
		return n, err
	},
}

// forgeries spoil the signature or the chain of any signed object.
func forgeries(t *testing.T, text, dated string) []spoiled {
	t.Helper()
	a := genuine(t)
	good, x5c := a.sign(text), a.x5c()
	parts := strings.Split(good, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(raw)
	flipped[40] ^= 4
	sibling := newAuthority(t, below(a, intermediate))
	return []spoiled{
		{"nothing", "", apple.ErrFormat},
		{"no signature", parts[0] + "." + parts[1] + ".", apple.ErrFormat},
		{"an array", a.sign("[" + text + "]"), apple.ErrFormat},
		{"alg none", a.signWith(swap(t, header(x5c), "ES256", "none"), text), apple.ErrAlgorithm},
		{"crit", a.signWith(swap(t, header(x5c), `{"alg"`, `{"crit":["b64"],"alg"`), text), apple.ErrCritical},
		{"two certificates", a.signWith(header(x5c[:2]), text), apple.ErrChainLength},
		{"Xcode's one certificate", a.signWith(header(x5c[:1]), text), apple.ErrChainLength},
		{"self-made chain", newAuthority(t).sign(text), apple.ErrRoot},
		{"leaf of another kind", newAuthority(t, below(a, intermediate), template(leaf, func(c *x509.Certificate) { c.ExtraExtensions = nil })).sign(text), apple.ErrOID},
		{"a bit of the signature", parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(flipped), apple.ErrSignature},
		{"signed by another leaf", parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(es256(sibling.keys[leaf], parts[0]+"."+parts[1])), apple.ErrSignature},
		{"payload edited", parts[0] + "." + segment(text+" ") + "." + parts[2], apple.ErrSignature},
		{"no date", a.sign(swap(t, text, dated+":1768478400000,", "")), apple.ErrClaims},
		{"date a string", a.sign(swap(t, text, dated+":1768478400000", dated+`:"1768478400000"`)), apple.ErrClaims},
		{"before the leaf", a.sign(swap(t, text, dated+":1768478400000", dated+":1758239999999")), apple.ErrWindow},
		{"after the leaf", a.sign(swap(t, text, dated+":1768478400000", dated+":1823385600001")), apple.ErrWindow},
		{"exp passed", a.sign(swap(t, text, dated, `"exp":1768478459,`+dated)), apple.ErrExpired},
		{"nbf to come", a.sign(swap(t, text, dated, `"nbf":1768478461,`+dated)), apple.ErrNotYet},
		{"date twice", a.sign(swap(t, text, dated, dated+":1768478400000,"+dated)), apple.ErrDuplicate},
	}
}

func spoiledRenewals(t *testing.T) []spoiled {
	a := genuine(t)
	with := func(old, new string) string { return a.sign(swap(t, fullRenewal, old, new)) }
	rows := append(forgeries(t, fullRenewal, `"signedDate"`),
		spoiled{"a transaction", a.sign(payload), apple.ErrClaims},
		spoiled{"a notification", a.sign(notice("TEST", bareSource)), apple.ErrEnvironment},
		spoiled{"an app transaction", a.sign(appPayload), apple.ErrClaims},
		spoiled{"no line", with(`"originalTransactionId":"2000000812345678",`, ""), apple.ErrClaims},
		spoiled{"no word on renewal", with(`"autoRenewStatus":1,`, ""), apple.ErrClaims},
		spoiled{"renewal under another name", with(`"autoRenewStatus"`, `"AutoRenewStatus"`), apple.ErrClaims},
		spoiled{"no environment", with(`"environment":"Production",`, ""), apple.ErrEnvironment},
		spoiled{"Xcode", with(`"Production"`, `"Xcode"`), apple.ErrEnvironment},
		spoiled{"LocalTesting", with(`"Production"`, `"LocalTesting"`), apple.ErrEnvironment},
		spoiled{"production in small letters", with(`"Production"`, `"production"`), apple.ErrEnvironment},
	)
	for old, wrong := range map[string][]string{
		`"originalTransactionId":"2000000812345678"`:  {`"originalTransactionId":2000000812345678`, `"originalTransactionId":""`, `"originalTransactionId":"1#2"`},
		`"autoRenewStatus":1,`:                        {`"autoRenewStatus":"1",`, `"autoRenewStatus":true,`, `"autoRenewStatus":null,`, `"autoRenewStatus":0.5,`},
		`"isInBillingRetryPeriod":true`:               {`"isInBillingRetryPeriod":1`, `"isInBillingRetryPeriod":"true"`},
		`"gracePeriodExpiresDate":1771156500000.25`:   {`"gracePeriodExpiresDate":"1771156500000"`, `"gracePeriodExpiresDate":-62135596800000`, `"gracePeriodExpiresDate":null`},
		`"expirationIntent":2`:                        {`"expirationIntent":"2"`},
		`"priceIncreaseStatus":0`:                     {`"priceIncreaseStatus":false`},
		`"renewalPrice":4900000`:                      {`"renewalPrice":"4900000"`},
		`"recentSubscriptionStartDate":1765799700000`: {`"recentSubscriptionStartDate":{}`},
		`"autoRenewProductId":"com.example.premium.yearly"`: {
			`"autoRenewProductId":["com.example.premium.yearly"]`,
		},
		`"eligibleWinBackOfferIds":["a", "\u0062"]`:                                  {`"eligibleWinBackOfferIds":"a"`, `"eligibleWinBackOfferIds":[1]`, `"eligibleWinBackOfferIds":[null]`, `"eligibleWinBackOfferIds":{}`, `"eligibleWinBackOfferIds":null`},
		`"commitmentAutoRenewStatus":1`:                                              {`"commitmentAutoRenewStatus":"1"`},
		`"commitmentRenewalDate":1771156500000`:                                      {`"commitmentRenewalDate":"x"`},
		`"descriptors":{"description":"Premium Plan","displayName":"Premium","x":1}`: {`"descriptors":[]`, `"descriptors":{"displayName":1}`},
		`"items":[`:                        {`"items":[[],`, `"items":[null,`, `"items":[1,`},
		`"periodCount":3`:                  {`"periodCount":"3"`},
		`"dependentSKUs":["s2","s3"]`:      {`"dependentSKUs":"s2"`},
		`"status":"PENDING"`:               {`"status":1`},
		`"renewalBillingPlanType":"BILLED`: {`"renewalBillingPlanType":1,"y":"BILLED`},
		`"offerType":2`:                    {`"offerType":"2"`},
		`"appAccountToken":"7e3fb20b-4cdb-47cc-936d-99d65f608138"`: {`"appAccountToken":7`},
	} {
		for _, w := range wrong {
			rows = append(rows, spoiled{w, with(old, w), apple.ErrClaims})
		}
	}
	for _, name := range []string{"advancedCommerceInfo", "commitmentInfo"} {
		for _, w := range []string{`"x"`, "1", "null", "[]"} {
			rows = append(rows, spoiled{name + " is " + w, a.sign(swap(t, renewalPayload, `"autoRenewStatus":1`, `"autoRenewStatus":1,"`+name+`":`+w)), apple.ErrClaims})
		}
	}
	return rows
}

func spoiledAppTransactions(t *testing.T) []spoiled {
	a := genuine(t)
	with := func(old, new string) string { return a.sign(swap(t, appPayload, old, new)) }
	rows := append(forgeries(t, appPayload, `"receiptCreationDate"`),
		spoiled{"a transaction", a.sign(payload), apple.ErrClaims},
		spoiled{"dated by signedDate", with(`"receiptCreationDate"`, `"signedDate"`), apple.ErrClaims},
		spoiled{"another app", with(`"com.example.app"`, `"com.example.other"`), apple.ErrBundle},
		spoiled{"no bundle id", with(`"bundleId":"com.example.app",`, ""), apple.ErrBundle},
		spoiled{"bundle id a list", with(`"com.example.app"`, `["com.example.app"]`), apple.ErrClaims},
		spoiled{"another app id", with("1234567890", "1234567891"), apple.ErrApp},
		spoiled{"no app id", with(`"appAppleId":1234567890,`, ""), apple.ErrApp},
		spoiled{"app id 0", with("1234567890", "0"), apple.ErrApp},
		spoiled{"app id negative", with("1234567890", "-1234567890"), apple.ErrApp},
		spoiled{"app id not whole", with("1234567890", "1234567890.5"), apple.ErrApp},
		spoiled{"app id a string", with("1234567890", `"1234567890"`), apple.ErrClaims},
		spoiled{"app id null", with("1234567890", "null"), apple.ErrClaims},
		spoiled{"no environment", with(`"receiptType":"Production",`, ""), apple.ErrEnvironment},
		spoiled{"environment under the name of others", with(`"receiptType"`, `"environment"`), apple.ErrEnvironment},
		spoiled{"Xcode", with(`"Production"`, `"Xcode"`), apple.ErrEnvironment},
		spoiled{"LocalTesting", with(`"Production"`, `"LocalTesting"`), apple.ErrEnvironment},
		spoiled{"another app in another environment", a.sign(swap(t, swap(t, appPayload, "com.example.app", "x"), "Production", "Xcode")), apple.ErrBundle},
		spoiled{"version a number", with(`"applicationVersion":"1.2.3"`, `"applicationVersion":1`), apple.ErrClaims},
		spoiled{"external version a string", with("512", `"512"`), apple.ErrClaims},
		spoiled{"preorder date a string", with("-62135769600000", `"x"`), apple.ErrClaims},
		spoiled{"purchase date null", with("1768478100000.5", "null"), apple.ErrClaims},
		spoiled{"platform a number", with(`"iOS"`, "1"), apple.ErrClaims},
		spoiled{"environment a number", with(`"originalPlatform"`, `"environment":1,"originalPlatform"`), apple.ErrClaims},
		spoiled{"environment null", with(`"originalPlatform"`, `"environment":null,"originalPlatform"`), apple.ErrClaims},
	)
	return rows
}

func spoiledNotifications(t *testing.T) []spoiled {
	a := genuine(t)
	subscribed := notice("DID_RENEW", a.data(payload, renewalPayload))
	with := func(old, new string) string { return a.sign(swap(t, subscribed, old, new)) }
	of := func(source string) string { return a.sign(notice("DID_RENEW", source)) }
	parts := func(transaction, renewal string) string {
		return of(fmt.Sprintf(`"data":{%s,"signedTransactionInfo":%q,"signedRenewalInfo":%q}`, about, transaction, renewal))
	}
	app := func(signed string) string {
		return of(fmt.Sprintf(`"appData":{%s,"signedAppTransactionInfo":%q}`, about, signed))
	}
	sandbox := func(text string) string { return swap(t, text, `"Production"`, `"Sandbox"`) }

	rows := append(forgeries(t, subscribed, `"signedDate"`),
		spoiled{"a transaction", a.sign(payload), apple.ErrClaims},
		spoiled{"no source", of(`"x":1`), apple.ErrBundle},
		spoiled{"a source without a name", of(`"":{` + about + `}`), apple.ErrBundle},
		spoiled{"a source in capitals", of(`"Data":{` + about + `}`), apple.ErrBundle},
		spoiled{"app named outside of the source", of(`"data":{},` + about), apple.ErrBundle},
		spoiled{"an empty source before a good one", of(`"data":{},` + summarySource), apple.ErrBundle},
		spoiled{"data null", of(`"data":null,` + summarySource), apple.ErrClaims},
		spoiled{"data a list", of(`"data":[]`), apple.ErrClaims},
		spoiled{"data a string", of(`"data":"x"`), apple.ErrClaims},
		spoiled{"summary a number", of(`"summary":1`), apple.ErrClaims},
		spoiled{"token true", of(`"externalPurchaseToken":true`), apple.ErrClaims},
		spoiled{"appData false", of(`"appData":false`), apple.ErrClaims},
		spoiled{"a second source that is none", of(bareSource + `,"summary":null`), apple.ErrClaims},
		spoiled{"a second source with its app a number", of(bareSource + `,"summary":{"bundleId":1}`), apple.ErrClaims},
		spoiled{"a second source with its date a string", of(bareSource + `,"externalPurchaseToken":{"tokenCreationDate":"x"}`), apple.ErrClaims},
		spoiled{"a second source with its part a number", of(bareSource + `,"appData":{"signedAppTransactionInfo":1}`), apple.ErrClaims},
		spoiled{"no UUID", with(`"notificationUUID":"`+noticeUUID+`",`, ""), apple.ErrClaims},
		spoiled{"UUID empty", with(noticeUUID, ""), apple.ErrClaims},
		spoiled{"UUID long", with(noticeUUID, strings.Repeat("0", 65)), apple.ErrClaims},
		spoiled{"UUID with a line break", with(noticeUUID, `a\nb`), apple.ErrClaims},
		spoiled{"UUID with a hash", with(noticeUUID, "a#b"), apple.ErrClaims},
		spoiled{"UUID a number", with(`"`+noticeUUID+`"`, "1"), apple.ErrClaims},
		spoiled{"no type", with(`"notificationType":"DID_RENEW",`, ""), apple.ErrClaims},
		spoiled{"type empty", with("DID_RENEW", ""), apple.ErrClaims},
		spoiled{"type a number", with(`"DID_RENEW"`, "1"), apple.ErrClaims},
		spoiled{"subtype null", with(`"version"`, `"subtype":null,"version"`), apple.ErrClaims},
		spoiled{"version a number", with(`"2.0"`, "2.0"), apple.ErrClaims},
		spoiled{"status a string", with(`"status":1`, `"status":"1"`), apple.ErrClaims},
		spoiled{"reason a number", with(`"status":1`, `"consumptionRequestReason":1`), apple.ErrClaims},
		spoiled{"bundle version a number", with(`"1.2.3"`, "1"), apple.ErrClaims},
		spoiled{"summary's count a string", of(swap(t, summarySource, `"succeededCount":5`, `"succeededCount":"5"`)), apple.ErrClaims},
		spoiled{"summary's storefronts a string", of(swap(t, summarySource, `["CAN","USA"]`, `"CAN"`)), apple.ErrClaims},
		spoiled{"token's date a string", of(swap(t, tokenSource, "1768478100000", `"1768478100000"`)), apple.ErrClaims},
		spoiled{"transaction null", of(`"data":{` + about + `,"signedTransactionInfo":null}`), apple.ErrClaims},
		spoiled{"transaction an object", of(`"data":{` + about + `,"signedTransactionInfo":` + payload + `}`), apple.ErrClaims},
		spoiled{"renewal info a list", of(`"data":{` + about + `,"signedRenewalInfo":[]}`), apple.ErrClaims},
		spoiled{"app transaction a number", of(`"appData":{` + about + `,"signedAppTransactionInfo":1}`), apple.ErrClaims},

		spoiled{"parts swapped", parts(a.sign(renewalPayload), a.sign(payload)), apple.ErrBundle},
		spoiled{"two transactions", parts(a.sign(payload), a.sign(payload)), apple.ErrClaims},
		spoiled{"transaction of another app", parts(a.sign(swap(t, payload, "com.example.app", "x")), a.sign(renewalPayload)), apple.ErrBundle},
		spoiled{"transaction of the sandbox", parts(a.sign(sandbox(payload)), a.sign(renewalPayload)), apple.ErrMismatch},
		spoiled{"renewal info of the sandbox", parts(a.sign(payload), a.sign(sandbox(renewalPayload))), apple.ErrMismatch},
		spoiled{"both of the sandbox", parts(a.sign(sandbox(payload)), a.sign(sandbox(renewalPayload))), apple.ErrMismatch},
		spoiled{"transaction of Xcode", parts(a.sign(swap(t, payload, `"Production"`, `"Xcode"`)), a.sign(renewalPayload)), apple.ErrEnvironment},
		spoiled{"renewal info of another line", parts(a.sign(payload), a.sign(swap(t, renewalPayload, "2000000812345678", "2000000812345679"))), apple.ErrMismatch},
		spoiled{"renewal info named after the transaction", parts(a.sign(payload), a.sign(swap(t, renewalPayload, "2000000812345678", "2000000912345678"))), apple.ErrMismatch},
		spoiled{"renewal info of no transaction", of(a.data("", renewalPayload)), apple.ErrMismatch},
		spoiled{"app transaction of the sandbox", app(a.sign(sandbox(appPayload))), apple.ErrMismatch},
		spoiled{"app transaction of another app", app(a.sign(swap(t, appPayload, "com.example.app", "x"))), apple.ErrBundle},
		spoiled{"app transaction of another app id", app(a.sign(swap(t, appPayload, "1234567890", "9"))), apple.ErrApp},
		spoiled{"a transaction as app transaction", app(a.sign(payload)), apple.ErrClaims},
	)
	for _, source := range []string{bareSource, summarySource, tokenSource, `"appData":{` + about + `}`} {
		name := source[1:strings.Index(source, `":`)]
		change := func(old, new string) string { return of(swap(t, source, old, new)) }
		rows = append(rows,
			spoiled{name + " of another app", change("com.example.app", "com.example.other"), apple.ErrBundle},
			spoiled{name + " of no app", change(`"bundleId":"com.example.app"`, `"x":1`), apple.ErrBundle},
			spoiled{name + " of another app id", change("1234567890", "999"), apple.ErrApp},
			spoiled{name + " of no app id", change(`"appAppleId":1234567890,`, ""), apple.ErrApp},
			spoiled{name + " with its app id a string", change("1234567890", `"1234567890"`), apple.ErrClaims},
			spoiled{name + " with its bundle id null", change(`"com.example.app"`, "null"), apple.ErrClaims},
		)
		if source == tokenSource {
			rows = append(rows, spoiled{"token with its id a number", change(`"b2158121-7af9-49d4-9561-1f588205523e"`, "1"), apple.ErrClaims})
			continue
		}
		rows = append(rows,
			spoiled{name + " of Xcode", change("Production", "Xcode"), apple.ErrEnvironment},
			spoiled{name + " of LocalTesting", change("Production", "LocalTesting"), apple.ErrEnvironment},
			spoiled{name + " of no environment", change(`"environment":"Production",`, ""), apple.ErrEnvironment},
			spoiled{name + " with its environment a number", change(`"Production"`, "1"), apple.ErrClaims},
		)
	}
	for _, f := range forgeries(t, payload, `"signedDate"`) {
		rows = append(rows, spoiled{"transaction: " + f.name, parts(f.token, a.sign(renewalPayload)), f.reason})
	}
	for _, f := range forgeries(t, renewalPayload, `"signedDate"`) {
		rows = append(rows, spoiled{"renewal info: " + f.name, parts(a.sign(payload), f.token), f.reason})
	}
	for _, f := range forgeries(t, appPayload, `"receiptCreationDate"`) {
		rows = append(rows, spoiled{"app transaction: " + f.name, app(f.token), f.reason})
	}
	return rows
}

func TestEverySpoiledObjectIsRefusedForItsReason(t *testing.T) {
	a := genuine(t)
	total := 0
	for kind, all := range map[string]struct {
		good string
		rows []spoiled
	}{
		"renewal info":    {a.sign(fullRenewal), spoiledRenewals(t)},
		"app transaction": {a.sign(appPayload), spoiledAppTransactions(t)},
		"notification":    {a.sign(notice("DID_RENEW", a.data(payload, renewalPayload))), spoiledNotifications(t)},
	} {
		total += len(all.rows)
		read, warm := readers[kind], newVerifier(t, a.certs[root])
		if got, err := read(t, warm, all.good); err != nil || got == nil {
			t.Fatalf("the valid %s: got %v and error %v", kind, got, err)
		}
		seen := map[string]bool{}
		for _, c := range all.rows {
			if seen[c.name] {
				t.Errorf("%s: %q is there twice", kind, c.name)
			}
			seen[c.name] = true
			t.Run(kind+"/"+c.name, func(t *testing.T) {
				for which, v := range map[string]*apple.Verifier{"cold": newVerifier(t, a.certs[root]), "warm": warm} {
					got, err := read(t, v, c.token)
					if !errors.Is(err, c.reason) {
						t.Fatalf("%s: error %v, want %q", which, err, c.reason)
					}
					if want := kindOf(c.reason); !errors.Is(err, want) || fault.Retryable(err) {
						t.Errorf("%s: error %v is not of kind %v alone", which, err, want)
					}
					if code := fault.Code(err); code != "invalid_purchase" {
						t.Errorf("%s: code %q, want invalid_purchase", which, code)
					}
					if got != nil {
						t.Errorf("%s: a refused object gave %+v, want nothing", which, got)
					}
					for part := range strings.SplitSeq(c.token, ".") {
						if len(part) > 8 && strings.Contains(fmt.Sprintf("%v %+v", err, err), part) {
							t.Errorf("%s: the error shows a part of the token", which)
						}
					}
				}
			})
		}
		t.Logf("%s: %d rows", kind, len(all.rows))
	}
	if total < 60 {
		t.Errorf("%d rows, want at least 60", total)
	}
}
