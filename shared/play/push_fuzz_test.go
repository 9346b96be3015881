package play_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/play"
)

// FuzzPushToken sends tokens as they come, and headers and claims under Google's own
// signature. Nothing panics, and what is believed says what it has to say, as another
// reader of JSON reads it.
func FuzzPushToken(f *testing.F) {
	for _, c := range spoiledTokens() {
		_, token, _ := strings.Cut(c.header.Get("Authorization"), " ")
		if len(token) < 16<<10 {
			f.Add(token, pushJSON(pushHead), pushJSON(pushGood), false)
		}
	}
	for _, claims := range []pushClaims{pushGood, pushGood.with("aud", []string{pushAudience}), pushGood.with("exp", 1e300), pushGood.with("email_verified", "true"), {}} {
		f.Add("", pushJSON(pushHead), pushJSON(claims), true)
	}
	f.Add("", []byte(`{"alg":"RS256","kid":"key-1","crit":["b64"],"b64":false}`), pushJSON(pushGood), true)
	w := newPushWorld(f, func(c *play.PushConfig) { c.Subscription = "" })
	sign := signRS(pushKeys().google)
	genuine := map[string]bool{}
	for _, c := range spoiledTokens() {
		if c.status == push200 {
			_, token, _ := strings.Cut(c.header.Get("Authorization"), " ")
			genuine[withoutSpareBits(token)] = true
		}
	}
	f.Fuzz(func(t *testing.T, token string, head, claims []byte, signed bool) {
		if signed {
			token = pushJWSOf(head, claims, sign)
		}
		_, err := w.push.ReadHint(t.Context(), withToken(token), []byte("{}"))
		w.logs.Reset()
		if err != nil {
			if !errors.Is(err, fault.Unauthenticated) || errors.Is(err, fault.Unavailable) {
				t.Errorf("got %v, want fault.Unauthenticated", err)
			}
			if len(err.Error()) > 300 {
				t.Errorf("got the error %q, want none that quotes", err)
			}
			return
		}
		if !signed {
			if !genuine[withoutSpareBits(token)] {
				t.Errorf("got %q believed, want none but those that Google signed", token)
			}
			return
		}
		var h, c map[string]any
		if json.Unmarshal(head, &h) != nil || json.Unmarshal(claims, &c) != nil || !utf8.Valid(claims) {
			t.Fatalf("got %q and %q believed, want JSON", head, claims)
		}
		if h["alg"] != "RS256" || h["kid"] != "key-1" || h["crit"] != nil {
			t.Errorf("got the header %q believed", head)
		}
		exp, _ := c["exp"].(float64)
		now := float64(pushNow.Unix())
		if c["aud"] != pushAudience || c["email"] != pushEmail || c["email_verified"] != true || exp <= now-60 || exp > now+86400 ||
			c["iss"] != "https://accounts.google.com" && c["iss"] != "accounts.google.com" {
			t.Errorf("got the claims %q believed", claims)
		}
	})
}

// withoutSpareBits takes the last letter of the signature away, of which two bits of six say
// nothing.
func withoutSpareBits(token string) string {
	if token == "" {
		return ""
	}
	return token[:len(token)-1]
}

// FuzzPushBody sends bodies in both forms with a good token. Nothing panics, nothing is
// refused, and a hint is one that the queue passes on and that says again what it says.
func FuzzPushBody(f *testing.F) {
	good := pushBody(pushWrapped(pushJSON(pushNotice)))
	f.Add([]byte(good), "1")
	f.Add(pushJSON(pushNotice), "")
	for _, c := range notified() {
		data := pushJSON(pushNotice.with("subscriptionNotification", nil).with(c.member, c.object))
		f.Add(data, "1")
		f.Add([]byte(pushBody(pushWrapped(data))), "")
	}
	for _, body := range []string{"", "x", "null", "[]", "{}", good + "{}", `{"message":{"data":"e30="}}`, `{"message":{"data":1}}`, inMessage("messageId", nil)} {
		f.Add([]byte(body), "a b")
	}
	w := newPushWorld(f, func(c *play.PushConfig) { c.Subscription = "" })
	header := genuinePush()
	f.Fuzz(func(t *testing.T, body []byte, id string) {
		h := header.Clone()
		h["X-Goog-Pubsub-Message-Id"] = []string{id}
		got, err := w.push.ReadHint(t.Context(), h, body)
		log := w.logs.String()
		w.logs.Reset()
		if err != nil {
			t.Fatalf("got %v of an authenticated push, want a hint", err)
		}
		if !got.Signed || got.ID == "" || got.Type == "" {
			t.Fatalf("got %+v, want a signed hint with an id and a type", got)
		}
		tidy := got.Tidy()
		tidy.ID = got.ID
		if d := cmp.Diff(got, tidy); d != "" {
			t.Errorf("what the queue makes of it (-got +tidy):\n%s", d)
		}
		if got.Names() != (got.Evidence != "") {
			t.Errorf("got %+v, want evidence of what it names", got)
		}
		if !got.Names() {
			if got.Type != "unreadable" && got.Type != "another_app" && got.Type != "test" {
				t.Errorf("got %+v, want one of the types that name nothing", got)
			}
			return
		}
		if log != "" {
			t.Errorf("got the log %q, want none", log)
		}
		n, err := play.ParseNotification([]byte(got.Evidence))
		if err != nil || n.Evidence() != got.Evidence || n.Name() != got.Type || n.Package != pushPackage && n.Package != pushSecond {
			t.Errorf("got %+v and %v of its evidence, want the same again", n, err)
		}
		if n.Token != "" && got.Line != play.TokenID(n.Token) || n.Order != "" && got.Order != "play_"+n.Order {
			t.Errorf("got %+v, want where %+v points to", got, n)
		}
		again, err := w.push.ReadHint(t.Context(), h, []byte(got.Evidence))
		again.ID, got.ID = "", ""
		if d := cmp.Diff(got, again); err != nil || d != "" {
			t.Errorf("its evidence, not wrapped: got %v and (-want +got):\n%s", err, d)
		}
	})
}
