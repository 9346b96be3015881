package play_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"grantline/shared/fault"
	"grantline/shared/play"
)

// push200 and so on are what a case of a table comes to. Pub/Sub takes 200 for done, and
// sends again what is answered otherwise.
const (
	push200 = http.StatusOK
	push401 = http.StatusUnauthorized
)

// spoiledTokens are Authorization headers, each of which spoils one thing of a good one; and
// some that are good, for the edge to be seen from both sides.
func spoiledTokens() []struct {
	name   string
	header http.Header
	status int
} {
	k := pushKeys()
	sign := signRS(k.google)
	claims := func(name string, value any) http.Header {
		return withToken(pushJWS(pushHead, pushGood.with(name, value), sign))
	}
	head := func(name string, value any) http.Header {
		return withToken(pushJWS(pushHead.with(name, value), pushGood, sign))
	}
	good := pushJWS(pushHead, pushGood, sign)
	parts := strings.Split(good, ".")
	in := func(d time.Duration) int64 { return pushNow.Add(d).Unix() }
	der, err := x509.MarshalPKIXPublicKey(k.google.Public())
	if err != nil {
		panic(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	asJWK := pushJSON(jose.JSONWebKey{Key: k.google.Public(), KeyID: "key-1", Algorithm: "RS256", Use: "sig"})
	raw := func(head, claims string) http.Header { return withToken(pushJWSOf([]byte(head), []byte(claims), sign)) }
	twice := func(members string) string {
		return strings.TrimSuffix(string(pushJSON(pushGood)), "}") + "," + members + "}"
	}
	thief := pushJWS(pushHead, pushGood, signRS(k.thief))
	return []struct {
		name   string
		header http.Header
		status int
	}{
		{"genuine", withToken(good), push200},
		{"no header", nil, push401},
		{"an empty header", http.Header{"Authorization": {""}}, push401},
		{"not Bearer", http.Header{"Authorization": {"Basic " + good}}, push401},
		{"the token alone", http.Header{"Authorization": {good}}, push401},
		{"lower-case bearer", http.Header{"Authorization": {"bearer " + good}}, push200},
		{"two spaces", http.Header{"Authorization": {"Bearer  " + good}}, push401},
		{"two Authorization headers", http.Header{"Authorization": {"Bearer " + good, "Bearer " + good}}, push401},
		{"two Authorization headers joined by the API", http.Header{"Authorization": {"Bearer " + good + ",Bearer " + good}}, push401},
		{"in another header", http.Header{"X-Goog-Iap-Jwt-Assertion": {good}, "X-Authorization": {"Bearer " + good}}, push401},
		{"no token", withToken(""), push401},
		{"junk", withToken("junk"), push401},
		{"1 MB token", withToken(strings.Repeat("a", 1<<20)), push401},
		{"a good one that is too long", claims("x", strings.Repeat("a", 8<<10)), push401},
		{"as long as it may be", claims("x", strings.Repeat("a", 5000)), push200},
		{"2 segments", withToken(parts[0] + "." + parts[1]), push401},
		{"4 segments", withToken(good + "." + parts[2]), push401},
		{"an empty signature", withToken(parts[0] + "." + parts[1] + "."), push401},
		{"padding in base64url", withToken(parts[0] + "." + parts[1] + "." + parts[2] + "=="), push401},
		{"standard base64", withToken(parts[0] + "." + parts[1] + "." + base64.RawStdEncoding.EncodeToString(bytes.Repeat([]byte{255}, 256))), push401},
		{"a new line within", withToken(parts[0] + ".\n" + parts[1] + "." + parts[2]), push401},
		{"a blank behind", withToken(good + " "), push401},
		{"as a JSON object", withToken(`{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`), push401},

		{"alg none", withToken(pushJWS(pushHead.with("alg", "none"), pushGood, func([]byte) []byte { return []byte("x") })), push401},
		{"alg none without signature", withToken(pushJWS(pushHead.with("alg", "none"), pushGood, func([]byte) []byte { return nil })), push401},
		{"alg missing", head("alg", nil), push401},
		{"alg in lower case", head("alg", "rs256"), push401},
		{"HS256 signed with the RSA public key as PEM", withToken(pushJWS(pushHead.with("alg", "HS256"), pushGood, signHS(asPEM))), push401},
		{"HS256 signed with the RSA public key as JWK", withToken(pushJWS(pushHead.with("alg", "HS256"), pushGood, signHS(asJWK))), push401},
		{"ES256 valid by an IAP key", withToken(pushJWS(pushClaims{"alg": "ES256", "kid": "iap"}, pushGood, signES(k.iap))), push401},
		{"ES256 with a signature of 5 bytes", withToken(pushJWS(pushClaims{"alg": "ES256", "kid": "iap"}, pushGood, func([]byte) []byte { return []byte("short") })), push401},
		{"RS256 with a signature of 5 bytes", withToken(pushJWS(pushHead, pushGood, func([]byte) []byte { return []byte("short") })), push401},
		{"RS256 under the id of an IAP key", head("kid", "iap"), push401},
		{"RS256 under the id of a key for encryption", head("kid", "enc"), push401},
		{"RS512", head("alg", "RS512"), push401},
		{"PS256", head("alg", "PS256"), push401},
		{"kid missing", head("kid", nil), push401},
		{"kid empty", head("kid", ""), push401},
		{"kid a number", head("kid", 1), push401},
		{"kid unknown", head("kid", "key-9"), push401},
		{"a thief's key under Google's id", withToken(thief), push401},
		{"a thief's key in the header", withToken(pushJWS(pushHead.with("jwk", jose.JSONWebKey{Key: k.thief.Public(), KeyID: "key-1"}), pushGood, signRS(k.thief))), push401},
		{"a thief's key at an address", withToken(pushJWS(pushHead.with("jku", "http://127.0.0.1/thief"), pushGood, signRS(k.thief))), push401},
		{"unknown crit", head("crit", []string{"exp"}), push401},
		{"crit that the library knows", withToken(pushJWS(pushHead.with("crit", []string{"b64"}).with("b64", true), pushGood, sign)), push401},
		{"crit empty", head("crit", []string{}), push401},
		{"alg twice", raw(`{"alg":"none","alg":"RS256","kid":"key-1"}`, string(pushJSON(pushGood))), push401},
		{"kid twice", raw(`{"alg":"RS256","kid":"key-9","kid":"key-1"}`, string(pushJSON(pushGood))), push401},
		{"a header that is no JSON", raw(`alg=RS256`, string(pushJSON(pushGood))), push401},
		{"claims that are no JSON", raw(string(pushJSON(pushHead)), "email="+pushEmail), push401},
		{"claims that are a list", raw(string(pushJSON(pushHead)), "[]"), push401},
		{"claims that are null", raw(string(pushJSON(pushHead)), "null"), push401},
		{"another's claims under the same signature", withToken(parts[0] + "." + pushSegment(pushJSON(pushGood.with("sub", "1"))) + "." + parts[2]), push401},

		{"email twice", raw(string(pushJSON(pushHead)), twice(`"email":"`+pushEmail+`"`)), push401},
		{"a claim that nobody reads, twice", raw(string(pushJSON(pushHead)), twice(`"x":1,"x":1`)), push401},
		{"invalid UTF-8", raw(string(pushJSON(pushHead)), twice(`"x":"`+"\xff"+`"`)), push401},
		{"iss evil behind a good one in another case", raw(string(pushJSON(pushHead)), strings.Replace(twice(`"ISS":"https://accounts.google.com"`), `"iss":"https://accounts.google.com"`, `"iss":"https://evil.example"`, 1)), push401},
		{"aud evil behind a good one in another case", raw(string(pushJSON(pushHead)), strings.Replace(twice(`"zAUD":1,"AUD":"`+pushAudience+`"`), `"aud":"`+pushAudience+`"`, `"aud":"https://evil.example"`, 1)), push401},
		{"more claims", claims("google", pushClaims{"compute_engine": pushClaims{}}), push200},

		{"iss bare accounts.google.com", claims("iss", "accounts.google.com"), push200},
		{"iss evil", claims("iss", "https://evil.example"), push401},
		{"iss with something behind", claims("iss", "https://accounts.google.com.evil"), push401},
		{"iss with a slash behind", claims("iss", "https://accounts.google.com/"), push401},
		{"iss over http", claims("iss", "http://accounts.google.com"), push401},
		{"iss missing", claims("iss", nil), push401},

		{"aud of another", claims("aud", "https://hooks.example.org/webhooks/play"), push401},
		{"aud of several", claims("aud", []string{pushAudience, "https://other.example"}), push401},
		{"aud a list of one", claims("aud", []string{pushAudience}), push401},
		{"aud with a slash behind", claims("aud", pushAudience+"/"), push401},
		{"aud in another case", claims("aud", strings.ToUpper(pushAudience)), push401},
		{"aud missing", claims("aud", nil), push401},
		{"aud empty", claims("aud", ""), push401},

		{"email of another project's account", claims("email", "push@other-project.iam.gserviceaccount.com"), push401},
		{"email with something before", claims("email", "x"+pushEmail), push401},
		{"email with something behind", claims("email", pushEmail+".evil.example"), push401},
		{"email in another case", claims("email", strings.ToUpper(pushEmail)), push401},
		{"email missing", claims("email", nil), push401},
		{"email a list", claims("email", []string{pushEmail}), push401},
		{"email_verified false", claims("email_verified", false), push401},
		{"email_verified as text", claims("email_verified", "true"), push401},
		{"email_verified a number", claims("email_verified", 1), push401},
		{"email_verified null", raw(string(pushJSON(pushHead)), strings.Replace(string(pushJSON(pushGood)), `"email_verified":true`, `"email_verified":null`, 1)), push401},
		{"email_verified missing", claims("email_verified", nil), push401},

		{"exp 59 seconds ago", claims("exp", in(-59*time.Second)), push200},
		{"exp 60 seconds ago", claims("exp", in(-60*time.Second)), push401},
		{"exp a year ago", claims("exp", in(-365*24*time.Hour)), push401},
		{"exp missing", claims("exp", nil), push401},
		{"exp null", raw(string(pushJSON(pushHead)), strings.Replace(string(pushJSON(pushGood)), fmt.Sprintf(`"exp":%d`, in(time.Hour)), `"exp":null`, 1)), push401},
		{"exp as text", claims("exp", fmt.Sprint(in(time.Hour))), push401},
		{"exp in a day", claims("exp", in(24*time.Hour)), push200},
		{"exp in more than a day", claims("exp", in(24*time.Hour+time.Second)), push401},
		{"exp huge", claims("exp", 1e300), push401},
		{"exp negative", claims("exp", -1), push401},
		{"exp with a fraction", claims("exp", float64(in(time.Hour))+0.5), push200},
		{"iat 60 seconds ahead", claims("iat", in(60*time.Second)), push200},
		{"iat 61 seconds ahead", claims("iat", in(61*time.Second)), push401},
		{"iat missing", claims("iat", nil), push200},
		{"nbf 60 seconds ahead", claims("nbf", in(60*time.Second)), push200},
		{"nbf 61 seconds ahead", claims("nbf", in(61*time.Second)), push401},
	}
}

func TestOnlyATokenOfTheConfiguredAccountIsBelieved(t *testing.T) {
	refused := 0
	for _, c := range spoiledTokens() {
		w := newPushWorld(t, nil)
		got, hint := w.send(c.header, pushBody(pushWrapped(pushJSON(pushNotice))))
		if got != c.status {
			t.Errorf("%s: got %d, want %d", c.name, got, c.status)
		}
		if c.status != push200 {
			refused++
			_, err := w.push.ReadHint(t.Context(), c.header, []byte("{}"))
			var why play.Distrust
			if !errors.Is(err, fault.Unauthenticated) || errors.Is(err, fault.Malformed) || !errors.As(err, &why) || fault.Code(err) != "invalid_push" {
				t.Errorf("%s: got error %v, want invalid_push and why", c.name, err)
			}
		} else if hint.Type != "subscription.4" {
			t.Errorf("%s: got a hint of type %q, want subscription.4", c.name, hint.Type)
		}
	}
	if refused < 40 {
		t.Errorf("got %d refused, want 40 or more", refused)
	}
}

func TestATokenWithAnyLetterChangedIsRefused(t *testing.T) {
	w := newPushWorld(t, nil)
	token := strings.TrimPrefix(genuinePush().Get("Authorization"), "Bearer ")
	decoded := func(token string) string {
		var all []string
		for part := range strings.SplitSeq(token, ".") {
			b, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil {
				return token
			}
			all = append(all, string(b))
		}
		return strings.Join(all, ".")
	}
	for i := range token {
		for _, by := range []string{"", "A", "B", ".", "=", "+", "\n", "\x00", token[i:i+1] + token[i:i+1]} {
			changed := token[:i] + by + token[i+1:]
			if decoded(changed) == decoded(token) && by != "\n" {
				continue // the spare bits of the last letter, which say nothing
			}
			if _, err := w.push.ReadHint(t.Context(), withToken(changed), []byte("{}")); !errors.Is(err, fault.Unauthenticated) {
				t.Errorf("letter %d is %q: got %v, want it refused", i, by, err)
			}
		}
	}
}

// What is no token of any key of Google's causes no request, whoever sends it, and each
// refusal says why to who reads the log.
func TestARefusalSaysWhyAndAsksNobodyWithoutNeed(t *testing.T) {
	reasons := map[string]play.Distrust{
		"no header": play.DistrustHeader, "junk": play.DistrustHeader, "1 MB token": play.DistrustHeader, "two Authorization headers": play.DistrustHeader,
		"2 segments": play.DistrustHeader, "alg none": play.DistrustForm, "HS256 signed with the RSA public key as PEM": play.DistrustForm,
		"ES256 valid by an IAP key": play.DistrustForm, "ES256 with a signature of 5 bytes": play.DistrustForm, "RS512": play.DistrustForm, "PS256": play.DistrustForm,
		"kid missing": play.DistrustForm, "kid empty": play.DistrustForm, "unknown crit": play.DistrustForm, "crit that the library knows": play.DistrustForm,
		"kid unknown": play.DistrustKey, "RS256 under the id of an IAP key": play.DistrustKey, "a thief's key under Google's id": play.DistrustSignature,
		"iss evil": play.DistrustSignature, "aud of another": play.DistrustSignature, "aud a list of one": play.DistrustClaims, "email twice": play.DistrustClaims,
		"email_verified as text": play.DistrustClaims, "email of another project's account": play.DistrustEmail, "email_verified false": play.DistrustEmail,
		"exp missing": play.DistrustTime, "exp 60 seconds ago": play.DistrustTime, "iat 61 seconds ahead": play.DistrustTime,
	}
	found := 0
	for _, c := range spoiledTokens() {
		want, ok := reasons[c.name]
		if !ok {
			continue
		}
		found++
		w := newPushWorld(t, nil)
		_, err := w.push.ReadHint(t.Context(), c.header, []byte("{}"))
		var why play.Distrust
		if !errors.As(err, &why) || why != want {
			t.Errorf("%s: got %v, want %q", c.name, err, want)
		}
		if asks := want != play.DistrustHeader && want != play.DistrustForm; (w.google.fetched() == 1) != asks {
			t.Errorf("%s: got %d fetches, want one only if a key decides", c.name, w.google.fetched())
		}
	}
	if found != len(reasons) {
		t.Errorf("got %d of the %d names among the cases", found, len(reasons))
	}
}

func TestAPushIsNotConfiguredByHalf(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*play.PushConfig)
		want   []error
	}{
		"no audience":            {func(c *play.PushConfig) { c.Audience = "" }, []error{play.ErrAudience}},
		"no e-mail":              {func(c *play.PushConfig) { c.Email = "" }, []error{play.ErrEmail}},
		"a domain for an e-mail": {func(c *play.PushConfig) { c.Email = "example.iam.gserviceaccount.com" }, []error{play.ErrEmail}},
		"two e-mails":            {func(c *play.PushConfig) { c.Email = "a@example.com b@example.com" }, []error{play.ErrEmail}},
		"no keys":                {func(c *play.PushConfig) { c.KeysURL = "" }, []error{play.ErrKeysURL}},
		"no packages":            {func(c *play.PushConfig) { c.Packages = nil }, []error{play.ErrPackages}},
		"an empty package":       {func(c *play.PushConfig) { c.Packages = []string{pushPackage, ""} }, []error{play.ErrPackages}},
		"a word for a package":   {func(c *play.PushConfig) { c.Packages = []string{"example"} }, []error{play.ErrPackages}},
		"half a subscription":    {func(c *play.PushConfig) { c.Subscription = "play-rtdn" }, []error{play.ErrSubscription}},
		"nothing": {func(c *play.PushConfig) { c.Audience, c.Email, c.KeysURL, c.Packages = "", "", "", nil }, []error{
			play.ErrAudience, play.ErrEmail, play.ErrKeysURL, play.ErrPackages,
		}},
	} {
		config := play.PushConfig{Audience: pushAudience, Email: pushEmail, KeysURL: "http://127.0.0.1/certs", Packages: []string{pushPackage}, Subscription: pushSubscription}
		c.change(&config)
		push, err := play.NewPush(config)
		if push != nil {
			t.Errorf("%s: got a push, want none", name)
		}
		for _, want := range []error{play.ErrAudience, play.ErrEmail, play.ErrKeysURL, play.ErrPackages, play.ErrSubscription} {
			expected := false
			for _, w := range c.want {
				expected = expected || w == want //nolint:errorlint // the list is of these very errors
			}
			if got := errors.Is(err, want); got != expected {
				t.Errorf("%s: got %v for %q, want %v", name, got, want, expected)
			}
		}
	}
}
