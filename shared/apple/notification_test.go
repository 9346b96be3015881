package apple_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

const noticeUUID = "002e14d5-51f5-4503-b5a8-c3a1af68eb20"

// notice writes a notification's payload around its source, such as `"data":{…}`.
func notice(name, source string) string {
	kind, sub, ok := strings.Cut(name, ".")
	if ok {
		sub = fmt.Sprintf(`"subtype":%q,`, sub)
	}
	return fmt.Sprintf(`{"notificationType":%q,%s"notificationUUID":%q,"version":"2.0","signedDate":1768478400000,%s}`, kind, sub, noticeUUID, source)
}

const about = `"environment":"Production","appAppleId":1234567890,"bundleId":"com.example.app"`

// data is the source of a notice about a purchase: its parts signed by a, "" for none.
func (a *authority) data(transaction, renewal string) string {
	source := `"data":{` + about + `,"bundleVersion":"1.2.3","status":1`
	if transaction != "" {
		source += `,"signedTransactionInfo":"` + a.sign(transaction) + `"`
	}
	if renewal != "" {
		source += `,"signedRenewalInfo":"` + a.sign(renewal) + `"`
	}
	return source + "}"
}

func (a *authority) appData(app string) string {
	return `"appData":{` + about + `,"signedAppTransactionInfo":"` + a.sign(app) + `"}`
}

const (
	summarySource = `"summary":{` + about + `,"productId":"com.example.premium.monthly","requestIdentifier":"efb27071-45a4-4aca-9854-2a1e9146f265",` +
		`"storefrontCountryCodes":["CAN","USA"],"succeededCount":5,"failedCount":2}`
	tokenSource = `"externalPurchaseToken":{"externalPurchaseId":"b2158121-7af9-49d4-9561-1f588205523e","tokenCreationDate":1768478100000,` +
		`"appAppleId":1234567890,"bundleId":"com.example.app","tokenType":"SERVICES","tokenExpirationDate":1771156500000}`
	bareSource = `"data":{` + about + `,"bundleVersion":"1.2.3"}`
)

func TestGenuineNotificationIsReadInFull(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	transaction, err := v.Transaction(t.Context(), a.sign(payload))
	if err != nil {
		t.Fatal(err)
	}
	renewal, err := v.RenewalInfo(t.Context(), a.sign(renewalPayload))
	if err != nil {
		t.Fatal(err)
	}
	app, err := v.AppTransaction(t.Context(), a.sign(appPayload))
	if err != nil {
		t.Fatal(err)
	}
	x := func(name, text string) map[string]json.RawMessage {
		return map[string]json.RawMessage{name: json.RawMessage(text)}
	}
	with := func(source, more string) string { return strings.TrimSuffix(source, "}") + "," + more + "}" }
	end := time.Date(2026, 2, 15, 11, 55, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		text   string
		change func(*apple.Notification)
	}{
		"CONSUMPTION_REQUEST": {
			notice("CONSUMPTION_REQUEST", with(a.data(payload, renewalPayload), `"consumptionRequestReason":"UNINTENDED_PURCHASE","x":1`)+`,"y":{"z":null}`),
			func(n *apple.Notification) {
				n.Transaction, n.Renewal, n.ConsumptionRequestReason = &transaction, &renewal, "UNINTENDED_PURCHASE"
				n.Status, n.BundleVersion = 1, "1.2.3"
				n.Other, n.OtherData = x("y", `{"z":null}`), x("x", "1")
			},
		},
		"TEST": {
			notice("TEST", bareSource),
			func(n *apple.Notification) { n.BundleVersion = "1.2.3" },
		},
		"RENEWAL_EXTENSION.SUMMARY": {
			notice("RENEWAL_EXTENSION.SUMMARY", with(summarySource, `"x":2`)),
			func(n *apple.Notification) {
				n.Summary = &apple.Summary{
					ProductID: "com.example.premium.monthly", RequestIdentifier: "efb27071-45a4-4aca-9854-2a1e9146f265",
					StorefrontCountryCodes: []string{"CAN", "USA"}, SucceededCount: 5, FailedCount: 2, Other: x("x", "2"),
				}
			},
		},
		"EXTERNAL_PURCHASE_TOKEN.CREATED": {
			notice("EXTERNAL_PURCHASE_TOKEN.CREATED", with(tokenSource, `"environment":"Xcode"`)), // says nothing here
			func(n *apple.Notification) {
				n.ExternalPurchase = &apple.ExternalPurchase{
					ID: "b2158121-7af9-49d4-9561-1f588205523e", TokenType: "SERVICES",
					Created: time.Date(2026, 1, 15, 11, 55, 0, 0, time.UTC), Expires: end, Other: x("environment", `"Xcode"`),
				}
			},
		},
		"RESCIND_CONSENT": {
			notice("RESCIND_CONSENT", with(a.appData(appPayload), `"x":3`)),
			func(n *apple.Notification) { n.AppTransaction, n.OtherData = &app, x("x", "3") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := v.Notification(t.Context(), a.sign(c.text))
			if err != nil {
				t.Fatal(err)
			}
			kind, sub, _ := strings.Cut(name, ".")
			want := apple.Notification{
				Type: apple.NotificationType(kind), Subtype: apple.Subtype(sub), UUID: noticeUUID, Version: "2.0", SignedDate: signedAt,
				Environment: apple.Production, BundleID: "com.example.app", AppID: 1234567890,
			}
			c.change(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("notification (-want +got):\n%s", diff)
			}
			if got.Name() != name {
				t.Errorf("name %q, want %q", got.Name(), name)
			}
		})
	}
}

// Every type with every subtype that Apple names, what it means, and what we do.
func TestEveryNotificationHasItsOutcome(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	subscription, once, bare := a.data(payload, renewalPayload), a.data(payload, ""), bareSource
	rows := []struct {
		name, source string
		want         apple.Outcome
		meaning      string
	}{
		{"SUBSCRIBED.INITIAL_BUY", subscription, apple.OutcomeWords, "the first purchase in its group, or shared by family: active until its end"},
		{"SUBSCRIBED.RESUBSCRIBE", subscription, apple.OutcomeWords, "bought again after it had ended: active until its end"},
		{"DID_RENEW", subscription, apple.OutcomeWords, "renewed: a new end"},
		{"DID_RENEW.BILLING_RECOVERY", subscription, apple.OutcomeWords, "paid after all: active again"},
		{"DID_CHANGE_RENEWAL_PREF", subscription, apple.OutcomeWords, "the downgrade was taken back: nothing pends"},
		{"DID_CHANGE_RENEWAL_PREF.UPGRADE", subscription, apple.OutcomeWords, "another product from now: a new transaction, and the old one gives nothing more"},
		{"DID_CHANGE_RENEWAL_PREF.DOWNGRADE", subscription, apple.OutcomeWords, "another product from the next renewal: this one until then"},
		{"DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_ENABLED", subscription, apple.OutcomeWords, "it will renew: access as before"},
		{"DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", subscription, apple.OutcomeWords, "it will not renew: access as before"},
		{"OFFER_REDEEMED", subscription, apple.OutcomeWords, "an offer for the product that runs"},
		{"OFFER_REDEEMED.INITIAL_BUY", subscription, apple.OutcomeWords, "an offer with the first purchase, by its old name"},
		{"OFFER_REDEEMED.RESUBSCRIBE", subscription, apple.OutcomeWords, "an offer on coming back, by its old name"},
		{"OFFER_REDEEMED.UPGRADE", subscription, apple.OutcomeWords, "an offer with an upgrade: another product from now"},
		{"OFFER_REDEEMED.DOWNGRADE", subscription, apple.OutcomeWords, "an offer with a downgrade: another product from the next renewal"},
		{"DID_FAIL_TO_RENEW", subscription, apple.OutcomeWords, "not paid: no access beyond the end while Apple tries again"},
		{"DID_FAIL_TO_RENEW.GRACE_PERIOD", subscription, apple.OutcomeWords, "not paid: access until the end of grace"},
		{"GRACE_PERIOD_EXPIRED", subscription, apple.OutcomeWords, "grace has ended: no access while Apple tries again"},
		{"EXPIRED", subscription, apple.OutcomeWords, "ended for another reason"},
		{"EXPIRED.VOLUNTARY", subscription, apple.OutcomeWords, "ended because the customer cancelled"},
		{"EXPIRED.BILLING_RETRY", subscription, apple.OutcomeWords, "ended because it was never paid"},
		{"EXPIRED.PRICE_INCREASE", subscription, apple.OutcomeWords, "ended without consent to a higher price"},
		{"EXPIRED.PRODUCT_NOT_FOR_SALE", subscription, apple.OutcomeWords, "ended because the product is sold no more"},
		{"PRICE_INCREASE.PENDING", subscription, apple.OutcomeWords, "the customer was asked to consent to a higher price"},
		{"PRICE_INCREASE.ACCEPTED", subscription, apple.OutcomeWords, "the customer consented, or was informed where that is enough"},
		{"PRICE_CHANGE", subscription, apple.OutcomeWords, "an item's price changes (Advanced Commerce)"},
		{"PRICE_CHANGE.PENDING", subscription, apple.OutcomeWords, "an item's higher price awaits consent (Advanced Commerce)"},
		{"PRICE_CHANGE.ACCEPTED", subscription, apple.OutcomeWords, "an item's higher price was consented to (Advanced Commerce)"},
		{"REFUND", once, apple.OutcomeWords, "this transaction was refunded; a newer one of its line stands"},
		{"REFUND_REVERSED", once, apple.OutcomeWords, "the refund was undone: the transaction stands again"},
		{"REFUND_DECLINED", once, apple.OutcomeWords, "no refund: nothing changes"},
		{"CONSUMPTION_REQUEST", once, apple.OutcomeConsumption, "a refund was asked for, and Apple asks how much was used"},
		{"CONSUMPTION_REQUEST", bare, apple.OutcomeKept, "the same about no transaction: there is nothing to answer about"},
		{"REVOKE", subscription, apple.OutcomeWords, "a family share was taken away"},
		{"RENEWAL_EXTENDED", subscription, apple.OutcomeWords, "the end was moved for this subscription"},
		{"RENEWAL_EXTENSION.SUMMARY", summarySource, apple.OutcomeKept, "the ends of many were moved: how many"},
		{"RENEWAL_EXTENSION.FAILURE", subscription, apple.OutcomeWords, "the end was not moved for this subscription"},
		{"RENEWAL_EXTENSION.FAILURE", bare, apple.OutcomeKept, "the same without saying for which"},
		{"ONE_TIME_CHARGE", once, apple.OutcomeWords, "something that does not renew was bought, or shared by family"},
		{"EXTERNAL_PURCHASE_TOKEN.UNREPORTED", tokenSource, apple.OutcomeKept, "a token for purchases elsewhere was not reported on"},
		{"EXTERNAL_PURCHASE_TOKEN.CREATED", tokenSource, apple.OutcomeKept, "a token for purchases elsewhere was made"},
		{"EXTERNAL_PURCHASE_TOKEN.ACTIVE_TOKEN_REMINDER", tokenSource, apple.OutcomeKept, "a token for purchases elsewhere is to be reported on this month"},
		{"RESCIND_CONSENT", a.appData(appPayload), apple.OutcomeKept, "a parent withdrew consent to the child's use of the app"},
		{"METADATA_UPDATE", subscription, apple.OutcomeWords, "names or descriptions changed (Advanced Commerce)"},
		{"MIGRATION", subscription, apple.OutcomeWords, "the subscription moved to Advanced Commerce"},
		{"MIGRATE", subscription, apple.OutcomeWords, "the same by another name"},
		{"TEST", bare, apple.OutcomeKept, "we asked for it"},
		{"SOMETHING_NEW", subscription, apple.OutcomeWords, "unknown, about a purchase: looked at"},
		{"SOMETHING_NEW.OF_A_KIND", once, apple.OutcomeWords, "unknown in both, about a purchase: looked at"},
		{"SOMETHING_NEW", bare, apple.OutcomeKept, "unknown, about no purchase"},
		{"DID_RENEW.SOMEHOW", subscription, apple.OutcomeWords, "a known type with an unknown subtype"},
		{"TEST", subscription, apple.OutcomeWords, "words about a purchase count, whatever brings them"},
	}
	named := map[string]bool{}
	for _, row := range rows {
		n, err := v.Notification(t.Context(), a.sign(notice(row.name, row.source)))
		if err != nil {
			t.Errorf("%s (%s): %v", row.name, row.meaning, err)
			continue
		}
		if got := n.Outcome(); got != row.want {
			t.Errorf("%s (%s): outcome %q, want %q", row.name, row.meaning, got, row.want)
		}
		if n.Name() != row.name {
			t.Errorf("name %q, want %q", n.Name(), row.name)
		}
		if n.Outcome() != apple.OutcomeKept && n.Transaction == nil {
			t.Errorf("%s (%s): to be looked at, and there is no transaction", row.name, row.meaning)
		}
		named[string(n.Type)], named["."+string(n.Subtype)] = true, true
	}

	source, err := os.ReadFile("notification_type.go")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, c := range regexp.MustCompile(`(?m)^\s+(?:Type|Subtype)\w+ +(NotificationType|Subtype) += "([A-Z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		count[c[1]]++
		word := c[2]
		if c[1] == "Subtype" {
			word = "." + word
		}
		if !named[word] {
			t.Errorf("%s %q has no row", c[1], c[2])
		}
	}
	if diff := cmp.Diff(map[string]int{"NotificationType": 24, "Subtype": 19}, count); diff != "" {
		t.Errorf("words that Apple names (-want +got):\n%s", diff)
	}
}

func TestExternalPurchaseTokenTellsItsEnvironmentByItsID(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	for id, want := range map[string]apple.Environment{
		"SANDBOX_b2158121": apple.Sandbox, "SANDBOX": apple.Sandbox, "sandbox_b2158121": apple.Production, "x_SANDBOX": apple.Production, "": apple.Production,
	} {
		source := swap(t, tokenSource, "b2158121-7af9-49d4-9561-1f588205523e", id)
		n, err := v.Notification(t.Context(), a.sign(notice("EXTERNAL_PURCHASE_TOKEN.CREATED", source)))
		if err != nil || n.Environment != want {
			t.Errorf("%q: environment %q and error %v, want %q", id, n.Environment, err, want)
		}
	}
}

// Of several sources the first counts, and the others are kept unread.
func TestFirstSourceSaysWhatANotificationIsAbout(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	wrong := func(name string) string {
		return fmt.Sprintf(`%q:{"environment":"Xcode","appAppleId":1,"bundleId":"com.example.other","signedAppTransactionInfo":"x","signedTransactionInfo":"x"}`, name)
	}
	order := []struct{ name, source string }{{"data", a.data(payload, "")}, {"summary", summarySource}, {"externalPurchaseToken", tokenSource}, {"appData", a.appData(appPayload)}}
	for i, first := range order {
		var others []string
		kept := map[string]bool{}
		for _, later := range order[i+1:] {
			others = append(others, wrong(later.name))
			kept[later.name] = true
		}
		for _, source := range []string{strings.Join(append([]string{first.source}, others...), ","), strings.Join(append(others, first.source), ",")} {
			n, err := v.Notification(t.Context(), a.sign(notice("X", source)))
			if err != nil {
				t.Errorf("%s first: %v", first.name, err)
				continue
			}
			got := map[string]bool{}
			for name := range n.Other {
				got[name] = true
			}
			if diff := cmp.Diff(kept, got); diff != "" {
				t.Errorf("%s first: what is kept (-want +got):\n%s", first.name, diff)
			}
			if has := (n.Transaction != nil) != (i == 0) || (n.Summary != nil) != (i == 1) || (n.ExternalPurchase != nil) != (i == 2) || (n.AppTransaction != nil) != (i == 3); has {
				t.Errorf("%s first: got %q with the parts of another source", first.name, n.Name())
			}
		}
		if i == 0 {
			continue
		}
		// What comes before it takes its place, even if it then says nothing of use.
		source := first.source + "," + wrong(order[i-1].name)
		if order[i-1].name == "externalPurchaseToken" {
			source = first.source + "," + `"externalPurchaseToken":{}`
		}
		if _, err := v.Notification(t.Context(), a.sign(notice("X", source))); !errors.Is(err, apple.ErrBundle) {
			t.Errorf("%s behind %s: error %v, want %q", first.name, order[i-1].name, err, apple.ErrBundle)
		}
	}
}

// A webhook answers 2xx to what is genuine and another app's, and refuses what is forged;
// so these reasons may only be given once the signature held.
func TestAnotherAppIsSaidOfGenuineObjectsOnly(t *testing.T) {
	a, impostor := genuine(t), newAuthority(t)
	v := newVerifier(t, a.certs[root])
	elsewhere := []apple.Reason{apple.ErrBundle, apple.ErrApp, apple.ErrEnvironment, apple.ErrMismatch}
	for name, text := range map[string]string{
		"another bundle":      notice("TEST", swap(t, bareSource, "com.example.app", "com.example.other")),
		"another app id":      notice("TEST", swap(t, bareSource, "1234567890", "999")),
		"another environment": notice("TEST", swap(t, bareSource, "Production", "Xcode")),
		"no source":           notice("TEST", `"x":1`),
		"another line":        notice("DID_RENEW", a.data(payload, swap(t, renewalPayload, "2000000812345678", "3"))),
	} {
		good := a.sign(text)
		cut := strings.LastIndexByte(good, '.')
		input := strings.Split(good, ".")
		edited := input[0] + "." + segment(swap(t, text, noticeUUID, "x")) + "." + input[2]
		_, err := v.Notification(t.Context(), good)
		told := false
		for _, r := range elsewhere {
			told = told || errors.Is(err, r)
		}
		if !told {
			t.Errorf("%s: error %v, want one of %q", name, err, elsewhere)
		}
		for how, forged := range map[string]string{
			"signature": good[:cut] + "." + segment(strings.Repeat("x", 64)), "payload": edited, "chain": impostor.sign(text),
		} {
			_, err := v.Notification(t.Context(), forged)
			if err == nil {
				t.Errorf("%s, forged %s: accepted", name, how)
			}
			for _, r := range elsewhere {
				if errors.Is(err, r) {
					t.Errorf("%s, forged %s: error %v, want one about the forgery", name, how, err)
				}
			}
		}
	}
	for kind, read := range map[string]func(string) error{
		"renewal info":    func(s string) error { _, err := v.RenewalInfo(t.Context(), s); return err },
		"app transaction": func(s string) error { _, err := v.AppTransaction(t.Context(), s); return err },
	} {
		text := map[string]string{"renewal info": renewalPayload, "app transaction": appPayload}[kind]
		text = swap(t, text, `"Production"`, `"Xcode"`)
		if err := read(a.sign(text)); !errors.Is(err, apple.ErrEnvironment) {
			t.Errorf("%s: error %v, want %q", kind, err, apple.ErrEnvironment)
		}
		if err := read(impostor.sign(text)); !errors.Is(err, apple.ErrRoot) {
			t.Errorf("%s, forged: error %v, want %q", kind, err, apple.ErrRoot)
		}
	}
}

func TestPartsOfTwoOfOurAppsDoNotBelongTogether(t *testing.T) {
	a := genuine(t)
	c := config(a.certs[root])
	c.BundleIDs = []string{"com.example.app", "com.example.second"}
	v, err := apple.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	second := func(text string) string {
		return strings.ReplaceAll(text, `"com.example.app"`, `"com.example.second"`)
	}
	for name, source := range map[string]string{
		"transaction":     a.data(second(payload), renewalPayload),
		"app transaction": a.appData(second(appPayload)),
	} {
		if _, err := v.Notification(t.Context(), a.sign(notice("X", source))); !errors.Is(err, apple.ErrMismatch) {
			t.Errorf("%s of the other app: error %v, want %q", name, err, apple.ErrMismatch)
		}
	}
	for name, source := range map[string]string{
		"transaction":     second(a.data(second(payload), renewalPayload)),
		"app transaction": second(a.appData(second(appPayload))),
	} {
		if _, err := v.Notification(t.Context(), a.sign(notice("X", source))); err != nil {
			t.Errorf("%s, all of the second app: error %v, want none", name, err)
		}
	}
}

func TestNotificationReadWithoutTimeIsAnOutage(t *testing.T) {
	a := genuine(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newVerifier(t, a.certs[root]).Notification(ended, a.sign(notice("TEST", bareSource)))
	if !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want kind %v because of %v", err, fault.Unavailable, context.Canceled)
	}
}
