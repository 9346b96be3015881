package apple_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
	notices "grantline/shared/notice" // notice is a helper here
)

// ignorant does not know whether a chain was revoked.
type ignorant struct{}

func (ignorant) Standing(context.Context, apple.Chain) (apple.Standing, error) {
	return apple.Standing{State: apple.StandingUnknown}, nil
}

func bodyOf(signed string) string { return `{"signedPayload":"` + signed + `"}` }

func TestWebhookNamesWhatItsNotificationIsAbout(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	renewal := a.sign(notice("DID_RENEW", a.data(payload, renewalPayload)))
	test := a.sign(notice("TEST", bareSource))
	summary := a.sign(notice("RENEWAL_EXTENSION.SUMMARY", summarySource))
	unknown := a.sign(notice("SOMETHING_NEW.OF_A_KIND", a.data(payload, "")))
	elsewhere := strings.ReplaceAll(notice("DID_RENEW", a.data(strings.ReplaceAll(payload, "com.example.app", "com.example.other"), "")), `"bundleId":"com.example.app"`, `"bundleId":"com.example.other"`)
	about := notices.Hint{Signed: true, ID: noticeUUID, Order: "apple_2000000912345678", Line: "2000000812345678"}
	another := func(why apple.Reason) notices.Hint {
		return notices.Hint{Signed: true, ID: string(why), Type: "another_app"}
	}
	with := func(h notices.Hint, kind, evidence string) notices.Hint {
		h.Type, h.Evidence = kind, evidence
		return h
	}
	for _, c := range []struct {
		name, body string
		want       notices.Hint
	}{
		{"a renewal", bodyOf(renewal), with(about, "DID_RENEW", renewal)},
		{"with more beside", `{"x":[{"y":null}],"signedPayload":"` + renewal + `","z":1}`, with(about, "DID_RENEW", renewal)},
		{"with blanks around", " \n" + bodyOf(renewal) + "\r\n", with(about, "DID_RENEW", renewal)},
		{"an unknown type", bodyOf(unknown), with(about, "SOMETHING_NEW.OF_A_KIND", unknown)},
		{"a test", bodyOf(test), notices.Hint{Signed: true, ID: noticeUUID, Type: "TEST"}},
		{"a summary", bodyOf(summary), notices.Hint{Signed: true, ID: noticeUUID, Type: "RENEWAL_EXTENSION.SUMMARY"}},
		{"about another app", bodyOf(a.sign(elsewhere)), another(apple.ErrBundle)},
		{"with another app's transaction", bodyOf(a.sign(notice("DID_RENEW", a.data(swap(t, payload, "com.example.app", "com.example.other"), "")))), another(apple.ErrBundle)},
		{"about another app id", bodyOf(a.sign(notice("TEST", swap(t, bareSource, "1234567890", "999")))), another(apple.ErrApp)},
		{"of another environment", bodyOf(a.sign(notice("TEST", swap(t, bareSource, "Production", "Xcode")))), another(apple.ErrEnvironment)},
	} {
		got, err := v.ReadHint(t.Context(), []byte(c.body))
		if err != nil {
			t.Errorf("%s: got error %v, want none", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: hint (-want +got):\n%s", c.name, diff)
		}
		if tidy := got.Tidy(); got.Type != tidy.Type || got.Evidence != tidy.Evidence || got.Order != tidy.Order || got.Line != tidy.Line {
			t.Errorf("%s: got %+v, which the queue makes %+v of", c.name, got, tidy)
		}
	}
}

// It is never called malformed, which would be answered 400: Apple does not send again
// what was.
func TestWebhookRefusesWhatAppleDidNotSign(t *testing.T) {
	a, impostor := genuine(t), newAuthority(t)
	v := newVerifier(t, a.certs[root])
	text := notice("DID_RENEW", a.data(payload, renewalPayload))
	good := a.sign(text)
	parts := strings.Split(good, ".")
	for name, body := range map[string]string{
		"nothing": "", "no JSON": "x", "an array": `["` + good + `"]`, "a string": `"` + good + `"`, "null": "null", "an empty object": "{}",
		"cut": bodyOf(good)[:200], "more behind": bodyOf(good) + "{}", "NUL": "\x00", "no UTF-8": "{\"signedPayload\":\"\xff\"}",
		"the name twice": `{"signedPayload":"` + good + `","signedPayload":"` + good + `"}`, "the name in another case": `{"SignedPayload":"` + good + `"}`,
		"a number": `{"signedPayload":1}`, "nothing signed": bodyOf(""), "junk signed": bodyOf("junk"),
		"no signature": bodyOf(parts[0] + "." + parts[1] + "."), "another signature": bodyOf(parts[0] + "." + parts[1] + "." + segment(strings.Repeat("x", 64))),
		"another payload":          bodyOf(parts[0] + "." + segment(strings.Replace(text, noticeUUID, "x", 1)) + "." + parts[2]),
		"another root":             bodyOf(impostor.sign(text)),
		"forged within":            bodyOf(a.sign(notice("DID_RENEW", impostor.data(payload, "")))),
		"a forged renewal":         bodyOf(a.sign(notice("DID_RENEW", strings.Replace(a.data(payload, ""), "}", `,"signedRenewalInfo":"`+impostor.sign(renewalPayload)+`"}`, 1)))),
		"no type":                  bodyOf(a.sign(strings.Replace(text, "notificationType", "x", 1))),
		"parts of two purchases":   bodyOf(a.sign(notice("DID_RENEW", a.data(payload, swap(t, renewalPayload, "2000000812345678", "3"))))),
		"a customer's transaction": bodyOf(a.sign(payload)),
		"of version 1":             `{"notification_type":"DID_RENEW","password":"secret","unified_receipt":{}}`,
		"too long":                 bodyOf(strings.Repeat("x", 70_000)),
	} {
		got, err := v.ReadHint(t.Context(), []byte(body))
		onlyKind(t, err, fault.Unauthenticated)
		if fault.Code(err) != "invalid_notice" || errReasonOf(err) == "" {
			t.Errorf("%s: got error %v, want invalid_notice and why", name, err)
		}
		if diff := cmp.Diff(notices.Hint{}, got); diff != "" {
			t.Errorf("%s: a hint beside an error (-want +got):\n%s", name, diff)
		}
		for _, secret := range []string{"eyJ", "2000000", "com.example", noticeUUID, "DID_RENEW", "secret", "junk"} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: got %q in error %q, want it nowhere", name, secret, err)
			}
		}
	}
}

func TestWebhookThatCannotBeVerifiedNowIsAnOutage(t *testing.T) {
	a := genuine(t)
	c := config(a.certs[root])
	c.Revocations = ignorant{}
	v, err := apple.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(bodyOf(a.sign(notice("DID_RENEW", a.data(payload, renewalPayload)))))
	got, err := v.ReadHint(t.Context(), body)
	onlyKind(t, err, fault.Unavailable)
	if diff := cmp.Diff(notices.Hint{}, got); diff != "" {
		t.Errorf("a hint beside an error (-want +got):\n%s", diff)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = newVerifier(t, a.certs[root]).ReadHint(gone, body)
	onlyKind(t, err, fault.Unavailable)
}

// FuzzWebhook: whatever anybody sends is signed by Apple or unauthenticated, and what comes
// of it can go through the queue. In a body, P is a notification that is genuine.
func FuzzWebhook(f *testing.F) {
	a := genuine(f)
	v := newVerifier(f, a.certs[root])
	signed := a.sign(notice("DID_RENEW", a.data(payload, renewalPayload)))
	for _, seed := range []string{
		`{"signedPayload":"P"}`, `{"x":1,"signedPayload":"P"}`, `{"signedPayload":"P","signedPayload":"P"}`, `{"signedpayload":"P"}`, `{"signedPayload":"P"}x`,
		`{"signedPayload":"P."}`, `{"signedPayload":"\u0050"}`, `{}`, `[]`, ``, `{"signedPayload":null}`, `{"signedPayload":"eyJ.eyJ.AA"}`, `{"signedPayload":{"a":"P"}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := v.ReadHint(t.Context(), []byte(strings.ReplaceAll(text, "P", signed)))
		if err != nil {
			onlyKind(t, err, fault.Unauthenticated)
			showsNothing(t, err)
			if got != (notices.Hint{}) {
				t.Errorf("got %+v beside error %v, want nothing", got, err)
			}
			return
		}
		if got.Evidence != signed || got.ID != noticeUUID || !got.Signed || got != got.Tidy() || !strings.Contains(text, "P") {
			t.Errorf("accepted %q as %+v", text, got)
		}
	})
}

// errReasonOf is the reason inside an error, "" if there is none.
func errReasonOf(err error) apple.Reason {
	why, _ := errors.AsType[apple.Reason](err)
	return why
}
