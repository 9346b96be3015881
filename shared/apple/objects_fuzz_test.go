package apple_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

// The fuzzed text is signed by the test's own key, so that what is read is the payload.
// The seeds are in testdata/fuzz.

func FuzzRenewalInfo(f *testing.F) {
	a := genuine(f)
	v := newVerifier(f, a.certs[root])
	f.Add(fullRenewal)
	f.Add(renewalPayload)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := v.RenewalInfo(t.Context(), a.sign(text))
		if err != nil {
			mustBeRefusal(t, err)
			if diff := cmp.Diff(apple.RenewalInfo{}, got); diff != "" {
				t.Errorf("a refused object gave something (-want +got):\n%s", diff)
			}
			return
		}
		want := asJSON(t, text)
		mustRead(t, want, map[string]string{
			"originalTransactionId": got.OriginalTransactionID, "productId": got.ProductID, "autoRenewProductId": got.AutoRenewProductID,
			"environment": string(got.Environment), "appAccountToken": got.AppAccountToken, "currency": got.Currency,
		})
		if want["autoRenewStatus"] != float64(got.AutoRenewStatus) {
			t.Errorf("autoRenewStatus is %d, want %v", got.AutoRenewStatus, want["autoRenewStatus"])
		}
		if (want["isInBillingRetryPeriod"] == true) != got.InBillingRetry {
			t.Errorf("isInBillingRetryPeriod is %t, want %v", got.InBillingRetry, want["isInBillingRetryPeriod"])
		}
		if got.OriginalTransactionID == "" || got.SignedDate.IsZero() || got.Environment != apple.Production && got.Environment != apple.Sandbox {
			t.Errorf("accepted %q of %v in %q", got.OriginalTransactionID, got.SignedDate, got.Environment)
		}
	})
}

func FuzzAppTransaction(f *testing.F) {
	a := genuine(f)
	v := newVerifier(f, a.certs[root])
	f.Add(appPayload)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := v.AppTransaction(t.Context(), a.sign(text))
		if err != nil {
			mustBeRefusal(t, err)
			if diff := cmp.Diff(apple.AppTransaction{}, got); diff != "" {
				t.Errorf("a refused object gave something (-want +got):\n%s", diff)
			}
			return
		}
		mustRead(t, asJSON(t, text), map[string]string{
			"bundleId": got.BundleID, "receiptType": string(got.Environment), "appTransactionId": got.AppTransactionID, "originalPlatform": got.OriginalPlatform,
		})
		mustBeOurs(t, got.BundleID, got.AppID, got.Environment)
		if got.ReceiptCreationDate.IsZero() {
			t.Error("accepted without a date")
		}
	})
}

// The notification's text names its parts T, R and A, in whose place they are put signed.
func FuzzNotification(f *testing.F) {
	a := genuine(f)
	v := newVerifier(f, a.certs[root])
	f.Add(notice("DID_RENEW", `"data":{`+about+`,"status":1,"signedTransactionInfo":"T","signedRenewalInfo":"R"}`), payload, renewalPayload, appPayload)
	f.Fuzz(func(t *testing.T, text, transaction, renewal, app string) {
		plain := text
		for name, part := range map[string]string{`"T"`: transaction, `"R"`: renewal, `"A"`: app} {
			text = strings.ReplaceAll(text, name, `"`+a.sign(part)+`"`)
		}
		got, err := v.Notification(t.Context(), a.sign(text))
		if err != nil {
			mustBeRefusal(t, err)
			if diff := cmp.Diff(apple.Notification{}, got); diff != "" {
				t.Errorf("a refused notification gave something (-want +got):\n%s", diff)
			}
			return
		}
		want := asJSON(t, plain)
		mustRead(t, want, map[string]string{"notificationType": string(got.Type), "subtype": string(got.Subtype), "notificationUUID": got.UUID})
		mustBeOurs(t, got.BundleID, got.AppID, got.Environment)
		source, found := map[string]any(nil), ""
		for _, name := range []string{"data", "summary", "externalPurchaseToken", "appData"} {
			if s, ok := want[name].(map[string]any); ok && found == "" {
				source, found = s, name
			}
		}
		if source["bundleId"] != got.BundleID || found != "externalPurchaseToken" && source["environment"] != string(got.Environment) {
			t.Errorf("%s is about %q in %q, want %v in %v", found, got.BundleID, got.Environment, source["bundleId"], source["environment"])
		}
		if got.UUID == "" || got.Type == "" || got.SignedDate.IsZero() {
			t.Errorf("accepted %q of type %q and date %v", got.UUID, got.Type, got.SignedDate)
		}
		if part := got.Transaction; part != nil && (part.BundleID != got.BundleID || part.Environment != got.Environment) {
			t.Errorf("a transaction of %q in %q within a notification of %q in %q", part.BundleID, part.Environment, got.BundleID, got.Environment)
		}
		if part := got.Renewal; part != nil && (got.Transaction == nil || part.OriginalTransactionID != got.Transaction.OriginalTransactionID || part.Environment != got.Environment) {
			t.Errorf("renewal info of %q in %q within a notification about %+v", part.OriginalTransactionID, part.Environment, got.Transaction)
		}
		if part := got.AppTransaction; part != nil && (part.BundleID != got.BundleID || part.Environment != got.Environment) {
			t.Errorf("an app transaction of %q in %q within a notification of %q in %q", part.BundleID, part.Environment, got.BundleID, got.Environment)
		}
		if (got.Outcome() == apple.OutcomeKept) != (got.Transaction == nil) {
			t.Errorf("outcome %q, with a transaction: %t", got.Outcome(), got.Transaction != nil)
		}
	})
}

func FuzzReceipt(f *testing.F) {
	for _, s := range berShapes {
		f.Add(s.receipt(s.inApp(s.attribute(1703, s.words("2000000912345678")))))
		f.Add(s.receipt())
	}
	letters := regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, text := range []string{b64(data), string(data)} {
			id, err := apple.ReceiptTransactionID(text)
			if err == nil {
				if !letters.MatchString(id) || !utf8.ValidString(id) {
					t.Errorf("gave %q, which is no id", id)
				}
				continue
			}
			mustBeRefusal(t, err)
			if !errors.Is(err, apple.ErrReceipt) || fault.Retryable(err) || id != "" {
				t.Errorf("gave %q and error %v, want nothing and %q", id, err, apple.ErrReceipt)
			}
		}
	})
}

// asJSON is how encoding/json reads what was accepted.
func asJSON(t *testing.T, text string) map[string]any {
	t.Helper()
	var want map[string]any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatalf("accepted %q, which encoding/json refuses: %v", text, err)
	}
	return want
}

// mustRead compares the words that were read; one that is missing is empty.
func mustRead(t *testing.T, want map[string]any, got map[string]string) {
	t.Helper()
	for name, value := range got {
		if said, ok := want[name]; ok && said != value || !ok && value != "" {
			t.Errorf("%s is %q, want %v", name, value, said)
		}
	}
}

func mustBeOurs(t *testing.T, bundleID string, appID int64, environment apple.Environment) {
	t.Helper()
	if bundleID != "com.example.app" || environment != apple.Sandbox && (environment != apple.Production || appID != 1234567890) {
		t.Errorf("accepted %q, %d in %q", bundleID, appID, environment)
	}
}
