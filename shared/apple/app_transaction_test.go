package apple_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
)

const appPayload = `{"receiptType":"Production","appAppleId":1234567890,"bundleId":"com.example.app","applicationVersion":"1.2.3",` +
	`"versionExternalIdentifier":512,"receiptCreationDate":1768478400000,"originalPurchaseDate":1768478100000.5,` +
	`"originalApplicationVersion":"1.1.2","deviceVerification":"dmVyaWZ5","deviceVerificationNonce":"48ccfa42-7431-4f22-9908-7e88983e105a",` +
	`"preorderDate":-62135769600000,"appTransactionId":"704897469903783919","originalPlatform":"iOS","newThing":[1]}`

func TestGenuineAppTransactionIsReadInFull(t *testing.T) {
	a := genuine(t)
	got, err := newVerifier(t, a.certs[root]).AppTransaction(t.Context(), a.sign(appPayload))
	if err != nil {
		t.Fatal(err)
	}
	want := apple.AppTransaction{
		BundleID: "com.example.app", AppID: 1234567890, Environment: apple.Production, AppTransactionID: "704897469903783919",
		ApplicationVersion: "1.2.3", OriginalApplicationVersion: "1.1.2", VersionExternalIdentifier: 512, OriginalPlatform: "iOS",
		ReceiptCreationDate:  signedAt,
		OriginalPurchaseDate: time.Date(2026, 1, 15, 11, 55, 0, 0, time.UTC),
		PreorderDate:         time.UnixMilli(-62135769600000).UTC(),
		DeviceVerification:   "dmVyaWZ5", DeviceVerificationNonce: "48ccfa42-7431-4f22-9908-7e88983e105a",
		Other: map[string]json.RawMessage{"newThing": json.RawMessage("[1]")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("app transaction (-want +got):\n%s", diff)
	}
}

func TestAppTransactionNeedsLittleInTheSandbox(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	for name, text := range map[string]string{
		"without an app id":      `{"receiptType":"Sandbox","bundleId":"com.example.app","receiptCreationDate":1768478400000}`,
		"with another app id":    `{"receiptType":"Sandbox","bundleId":"com.example.app","appAppleId":999,"receiptCreationDate":1768478400000}`,
		"of an unknown platform": `{"receiptType":"Sandbox","bundleId":"com.example.app","originalPlatform":"carOS","receiptCreationDate":1768478400000}`,
	} {
		if got, err := v.AppTransaction(t.Context(), a.sign(text)); err != nil || got.Environment != apple.Sandbox {
			t.Errorf("%s: environment %q and error %v, want %q", name, got.Environment, err, apple.Sandbox)
		}
	}
}

// What only the sandbox accepts says of production's objects that they are production's,
// whether or not they name an app.
func TestSandboxVerifierRefusesProductionByItsEnvironment(t *testing.T) {
	a := genuine(t)
	c := config(a.certs[root])
	c.AppID, c.Environments = 0, []apple.Environment{apple.Sandbox}
	v, err := apple.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.AppTransaction(t.Context(), a.sign(swap(t, appPayload, `"appAppleId":1234567890,`, ""))); !errors.Is(err, apple.ErrEnvironment) {
		t.Errorf("app transaction: error %v, want %q", err, apple.ErrEnvironment)
	}
	if _, err := v.RenewalInfo(t.Context(), a.sign(renewalPayload)); !errors.Is(err, apple.ErrEnvironment) {
		t.Errorf("renewal info: error %v, want %q", err, apple.ErrEnvironment)
	}
	if _, err := v.AppTransaction(t.Context(), a.sign(swap(t, appPayload, "Production", "Sandbox"))); err != nil {
		t.Errorf("the sandbox's: error %v, want none", err)
	}
}
