//go:build consumers

package consumers_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"grantline/shared/delivery"
)

func TestStandardwebhooksVerifiesWhatWeSignAndNothingElse(t *testing.T) {
	sent, secrets, _ := told(t, delivery.Standard, false)
	turned, before, after := told(t, delivery.Standard, true)
	_, strange, _ := told(t, delivery.Standard, false)
	var all []request
	want := map[string]bool{}
	add := func(name string, of request, secret string, accepted bool, change func(*request)) {
		of.Name, of.Secret, of.Headers = name, secret, maps.Clone(of.Headers)
		if change != nil {
			change(&of)
		}
		all, want[name] = append(all, of), accepted
	}
	header := func(name string, change func(string) string) func(*request) {
		return func(r *request) { r.Headers[name] = change(r.Headers[name]) }
	}
	const id, at, signature = "webhook-id", "webhook-timestamp", "webhook-signature"
	later := func(text string) string { return text[:len(text)-1] + string((text[len(text)-1]-'0'+1)%10+'0') }
	add("as sent", sent, secrets.Signing, true, nil)
	add("under the new secret, while both count", turned, after.Signing, true, nil)
	add("under the old secret, while both count", turned, before.Signing, true, nil)
	add("under another endpoint's secret", sent, strange.Signing, false, nil)
	add("another id", sent, secrets.Signing, false, header(id, func(s string) string { return s + "x" }))
	add("no id", sent, secrets.Signing, false, func(r *request) { delete(r.Headers, id) })
	add("another instant", sent, secrets.Signing, false, header(at, later))
	add("no instant", sent, secrets.Signing, false, func(r *request) { delete(r.Headers, at) })
	add("another body", sent, secrets.Signing, false, func(r *request) { r.Body = strings.Replace(r.Body, "endpoint.test", "endpoint.best", 1) })
	add("a body with one more space", sent, secrets.Signing, false, func(r *request) { r.Body += " " })
	add("another signature", sent, secrets.Signing, false, header(signature, func(s string) string {
		other := byte('A')
		if s[5] == other {
			other = 'B'
		}
		return s[:5] + string(other) + s[6:]
	}))
	add("another version of signature", sent, secrets.Signing, false, header(signature, func(s string) string { return "v2" + s[2:] }))
	add("no signature", sent, secrets.Signing, false, func(r *request) { delete(r.Headers, signature) })
	add("replayed after ten minutes", sent, secrets.Signing, false, func(r *request) { r.Now += (10 * time.Minute).Milliseconds() })
	add("ten minutes too early", sent, secrets.Signing, false, func(r *request) { r.Now -= (10 * time.Minute).Milliseconds() })

	for i, got := range ask(t, question{Signed: all}).Signed {
		if all[i].Name != got.Name {
			t.Fatalf("got an answer on %q, want one on %q", got.Name, all[i].Name)
		}
		verdict := "verified"
		if got.Refused != "" {
			verdict = got.Refused
		}
		t.Logf("%-40s %s", got.Name, verdict)
		if accepted := got.Refused == ""; accepted != want[got.Name] {
			t.Errorf("%s: got %s, want accepted %t", got.Name, verdict, want[got.Name])
		}
		if got.Refused != "" && !strings.HasPrefix(got.Refused, "WebhookVerificationError: ") {
			t.Errorf("%s: got %s, want a verdict on the request", got.Name, got.Refused)
		}
	}
}
