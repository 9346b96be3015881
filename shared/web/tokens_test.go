package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const me = "/v1/customers/minji"

func TestATokenServesUntilItsLastSecond(t *testing.T) {
	w := newWorld(t)
	h := w.user("minji")
	w.clock.advance(time.Hour)
	w.expect(200, "", "GET", me, h, "")
	w.clock.advance(time.Second)
	w.expect(401, "unauthenticated", "GET", me, h, "")
}

func TestUnknownKeyIDsCauseOneFetchInFiveMinutes(t *testing.T) {
	w := newWorld(t)
	w.expect(200, "", "GET", me, w.user("minji"), "")
	first := w.provider.fetched()
	if first != 1 {
		t.Fatalf("got %d fetches for the first token, want 1", first)
	}
	forged := func(n int) header {
		return header{"Authorization": "Bearer " + compact(es256.with("kid", fmt.Sprint("forged-", n)), claims("minji"), w.provider.signES)}
	}
	for n := range 100 {
		w.expect(401, "unauthenticated", "GET", me, forged(n), "")
	}
	if got := w.provider.fetched(); got != first+1 {
		t.Errorf("got %d fetches for 100 forged tokens right after the first, want one", got-first)
	}
	for n := range 10 {
		w.clock.advance(5 * time.Minute)
		for range 20 {
			w.expect(401, "unauthenticated", "GET", me, forged(n), "")
		}
		if got, want := w.provider.fetched(), first+n+2; got != want {
			t.Errorf("got %d fetches after %d times five minutes, want %d", got, n+1, want)
		}
	}
}

func TestARotatedKeyIsFound(t *testing.T) {
	w := newWorld(t)
	w.expect(200, "", "GET", me, w.user("minji"), "")
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.provider.publish(
		jose.JSONWebKey{Key: w.provider.ec.Public(), KeyID: "ec-1", Algorithm: "ES256", Use: "sig"},
		jose.JSONWebKey{Key: next.Public(), KeyID: "ec-2", Algorithm: "ES256", Use: "sig"},
	)
	w.clock.advance(6 * time.Minute)
	fresh := header{"Authorization": "Bearer " + w.keep(compact(es256.with("kid", "ec-2"), claims("minji"), signWith(next)))}
	w.expect(200, "", "GET", me, fresh, "")
	w.expect(200, "", "GET", me, w.user("minji"), "")
}

func TestAWithdrawnKeyStopsServingWithinTheHour(t *testing.T) {
	w := newWorld(t)
	long := header{"Authorization": "Bearer " + w.keep(compact(es256, claims("minji").with("exp", start.Add(48*time.Hour).Unix()), w.provider.signES))}
	w.expect(200, "", "GET", me, long, "")
	w.provider.publish(jose.JSONWebKey{Key: w.provider.rsa.Public(), KeyID: "rsa-1", Algorithm: "RS256", Use: "sig"})
	w.clock.advance(time.Hour)
	w.expect(401, "unauthenticated", "GET", me, long, "")
}

func TestAKeySetOutOfReachIsNobodysFault(t *testing.T) {
	w := newWorld(t)
	w.provider.outage(true)
	a := w.expect(503, "unavailable", "GET", me, w.user("minji"), "")
	if a.body["retryable"] != true {
		t.Errorf("got retryable %v, want true", a.body["retryable"])
	}
	if a := w.ask("POST", "/api/iap/fulfill", w.user("minji"), `{"orderId":"new"}`); a.status != 503 || strings.TrimSpace(a.text) != `{"ok":false}` {
		t.Errorf("fulfil: got %d %s, want 503 {\"ok\":false}", a.status, a.text)
	}
	w.nothingWritten("an outage of the identity provider")
	// What needs no key set goes on, and what can be refused without one is.
	w.expect(200, "", "GET", me, server(""), "")
	w.expect(401, "unauthenticated", "GET", me, header{"Authorization": "Bearer nonsense"}, "")
	w.provider.outage(false)
	w.expect(200, "", "GET", me, w.user("minji"), "")
}

func TestStaleKeysServeWhileTheProviderIsDown(t *testing.T) {
	w := newWorld(t)
	long := header{"Authorization": "Bearer " + w.keep(compact(es256, claims("minji").with("exp", start.Add(48*time.Hour).Unix()), w.provider.signES))}
	w.expect(200, "", "GET", me, long, "")
	w.provider.outage(true)
	w.clock.advance(12 * time.Hour)
	for range 20 {
		w.expect(200, "", "GET", me, long, "")
	}
	if got := w.provider.fetched(); got != 2 {
		t.Errorf("got %d fetches, want the first and one that failed", got)
	}
	// A key id that is not known may be genuine and new: it proves nothing, and yet an
	// outage must not read as "forged".
	w.clock.advance(5 * time.Minute)
	unknown := header{"Authorization": "Bearer " + compact(es256.with("kid", "ec-2").with("typ", nil), claims("minji").with("exp", start.Add(48*time.Hour).Unix()), w.provider.signES)}
	w.expect(503, "unavailable", "GET", me, unknown, "")
	w.expect(503, "unavailable", "GET", me, unknown, "")
	if got := w.provider.fetched(); got != 3 {
		t.Errorf("got %d fetches, want one more and no other within five minutes", got)
	}
	w.provider.outage(false)
	w.clock.advance(5 * time.Minute)
	w.expect(401, "unauthenticated", "GET", me, unknown, "")
}

func TestAKeyThatIsNotUnderstoodSpoilsNoOther(t *testing.T) {
	good, err := json.Marshal(jose.JSONWebKey{Key: keysOfTests().ec.Public(), KeyID: "ec-1", Algorithm: "ES256", Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	for name, strange := range map[string]string{
		"X25519":         `{"kty":"OKP","crv":"X25519","x":"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo","kid":"x","use":"enc"}`,
		"secp256k1":      `{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA","kid":"k"}`,
		"a kind to come": `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA","kid":"pq"}`,
		"symmetric":      `{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0","kid":"o"}`,
		"no key":         `"none"`,
		"broken":         `{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"ec-1"}`,
	} {
		w := newWorld(t)
		w.provider.serve([]byte(`{"keys":[`+strange+`,`+string(good)+`]}`), false)
		if a := w.ask("GET", me, w.user("minji"), ""); a.status != 200 {
			t.Errorf("%s beside a good key: got %d %s, want 200", name, a.status, a.text)
		}
	}
}

func TestAKeySetWithoutAKeyIsAnOutage(t *testing.T) {
	private, err := json.Marshal(jose.JSONWebKey{Key: keysOfTests().ec, KeyID: "ec-1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]string{
		"private alone": `{"keys":[` + string(private) + `]}`, "garbage": "<html>", "empty": "", "no keys": `{"keys":[]}`, "not a set": `{}`, "null": `null`,
		"symmetric alone": `{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"ec-1"}]}`,
		"endless":         `{"keys":[` + strings.Repeat(" ", 1<<20) + `]}`,
	} {
		w := newWorld(t)
		w.provider.serve([]byte(set), false)
		if a := w.ask("GET", me, w.user("minji"), ""); a.status != 503 {
			t.Errorf("%s: got %d %s, want 503", name, a.status, a.text)
		}
	}
}

func TestASharedSecretInTheKeySetSignsNothing(t *testing.T) {
	w := newWorld(t)
	secret := "secretsecretsecretsecretsecretse"
	ec, err := json.Marshal(jose.JSONWebKey{Key: w.provider.ec.Public(), KeyID: "ec-1"})
	if err != nil {
		t.Fatal(err)
	}
	w.provider.serve([]byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U","kid":"o"},`+string(ec)+`]}`), false)
	forged := compact(object{"alg": "HS256", "kid": "o"}, claims("minji"), signHS([]byte(secret)))
	w.expect(401, "unauthenticated", "GET", me, header{"Authorization": "Bearer " + forged}, "")
}

func TestADeploymentWithoutProviderSignsNobodyIn(t *testing.T) {
	w := newWorld(t)
	w.callers.Tokens = nil
	w.expect(401, "unauthenticated", "GET", me, w.user("minji"), "")
	w.expect(200, "", "GET", me, app(""), "")
}

func TestATokenWithAnyByteChangedIsRefused(t *testing.T) {
	w := newWorld(t)
	token := w.provider.token("minji", start)
	decoded := func(text string) string {
		var all []string
		for _, part := range strings.Split(text, ".") {
			b, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil {
				return text
			}
			all = append(all, string(b))
		}
		return strings.Join(all, ".")
	}
	for i := range token {
		for _, by := range []string{"", "A", "B", ".", "=", "_", token[i:i+1] + token[i:i+1], "\n", "\x00"} {
			changed := token[:i] + by + token[i+1:]
			if decoded(changed) == decoded(token) {
				continue // the spare bits of the last letter, which say nothing
			}
			if a := w.ask("GET", me, header{"Authorization": "Bearer " + changed}, ""); a.status != 401 {
				t.Errorf("byte %d of %d is %q: got %d %s, want 401", i, len(token), by, a.status, a.text)
			}
		}
	}
	w.nothingWritten("forged tokens")
}
