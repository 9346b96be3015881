package play_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"grantline/shared/fault"
	"grantline/shared/play"
)

func TestAServiceAccountProvesItselfByAnAssertion(t *testing.T) {
	g := newGoogle(t, apiSays(aProduct))
	if err := apiRead(t.Context(), g.api()); err != nil {
		t.Fatal(err)
	}
	grant := g.grants()[0]
	form, err := url.ParseQuery(grant.body)
	if err != nil || grant.method != http.MethodPost || grant.path != "/token" || form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		t.Fatalf("got %+v, want a grant of RFC 7523", grant)
	}
	signed, err := jose.ParseSignedCompact(form.Get("assertion"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.Verify(apiKeys()[0].Public())
	var claims map[string]any
	if err := errors.Join(err, json.Unmarshal(text, &claims)); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"iss": apiEmail, "scope": "https://www.googleapis.com/auth/androidpublisher", "aud": g.server.URL + "/token",
		"iat": float64(apiNow.Unix() - 10), "exp": float64(apiNow.Unix() + 3590),
	}
	if fmt.Sprint(claims) != fmt.Sprint(want) || signed.Signatures[0].Header.KeyID != "key-1" {
		t.Errorf("got %v by %s, want %v by key-1", claims, signed.Signatures[0].Header.KeyID, want)
	}
}

func TestAnAccessTokenIsKeptUntilShortlyBeforeItsEnd(t *testing.T) {
	for life, reserve := range map[time.Duration]time.Duration{time.Hour: 5 * time.Minute, 4 * time.Minute: 2 * time.Minute, 12 * time.Hour: 11*time.Hour + 5*time.Minute} {
		g := newGoogle(t, apiSays(aProduct))
		g.grant = func(apiAsked) apiTurn {
			return apiSays(fmt.Sprintf(`{"access_token":"%s1","expires_in":%d,"token_type":"Bearer","scope":"x"}`, apiAccess, life/time.Second))
		}
		a := g.api()
		for _, step := range []struct {
			move   time.Duration
			grants int
		}{{0, 1}, {life - reserve - 1, 1}, {1, 2}, {-time.Minute, 3}} {
			g.clock.move(step.move)
			a.Forget(apiPackage, apiToken)
			if err := apiRead(t.Context(), a); err != nil || len(g.grants()) != step.grants {
				t.Errorf("a life of %v, %v later: got %v after %d tokens, want %d", life, step.move, err, len(g.grants()), step.grants)
			}
		}
	}
}

func TestARefusedTokenIsReplacedOnceByFreshCredentials(t *testing.T) {
	g := newGoogle(t, apiFails(401, "authError", "x"), apiSays(aProduct))
	g.secrets = append(g.secrets, g.account(apiKeys()[1]))
	if err := apiRead(t.Context(), g.api()); err != nil {
		t.Fatal(err)
	}
	seen := g.requests()
	if len(seen) != 2 || seen[0].bearer != apiAccess+"1" || seen[1].bearer != apiAccess+"2" || fmt.Sprint(g.looks()) != "[false true]" {
		t.Errorf("got %d requests and looks %v, want a second one with a fresh token", len(seen), g.looks())
	}
	// For ever refused is refused twice, not for ever.
	g.answers(apiFails(401, "authError", "x"))
	apiKindIs(t, "for ever", apiRead(t.Context(), g.api()), fault.Unavailable, play.ErrConfiguration)
	if len(g.requests()) != 2 || g.alarms() != 1 {
		t.Errorf("got %d requests and %d alarms, want 2 and 1", len(g.requests()), g.alarms())
	}
}

// However a call goes on, it looks at the credentials afresh once.
func TestACallAsksForFreshCredentialsOnce(t *testing.T) {
	g := newGoogle(t, apiFails(401, "authError", "x"), apiFails(500, "backendError", "x"), apiFails(401, "authError", "x"), apiSays(aProduct))
	apiKindIs(t, "refused again", apiRead(t.Context(), g.api()), fault.Unavailable, play.ErrConfiguration)
	if len(g.requests()) != 3 || fmt.Sprint(g.looks()) != "[false true]" {
		t.Errorf("got %d requests and the looks %v, want 3 and one fresh", len(g.requests()), g.looks())
	}
}

// The endpoint of tokens fails just when one is refused: the next request has another one, and
// the refused one is no fault of our configuration.
func TestARefusedTokenIsNeverSentAgain(t *testing.T) {
	for how, failing := range map[string]apiTurn{"500": {status: 500}, "reset": {how: "reset"}} {
		g := newGoogle(t, apiFails(401, "authError", "x"), apiSays(aProduct))
		grants := 0
		g.grant = func(apiAsked) apiTurn {
			if grants++; grants == 2 {
				return failing
			}
			return apiSays(fmt.Sprintf(`{"access_token":"%s%d","expires_in":3599,"token_type":"Bearer"}`, apiAccess, grants))
		}
		if err := apiRead(t.Context(), g.api()); err != nil {
			t.Errorf("%s: got %v, want the answer to the second request", how, err)
		}
		var bearers []string
		for _, asked := range g.requests() {
			bearers = append(bearers, asked.bearer)
		}
		if want := []string{apiAccess + "1", apiAccess + "3"}; fmt.Sprint(bearers) != fmt.Sprint(want) || g.alarms() != 0 {
			t.Errorf("%s: got the tokens %v and %d alarms, want %v and none", how, bearers, g.alarms(), want)
		}
	}
}

// A key that was taken away at Google is refused where the token is asked for.
func TestARefusedKeyIsLookedAtAfreshOnce(t *testing.T) {
	g := newGoogle(t, apiSays(aProduct))
	g.secrets = append(g.secrets, g.account(apiKeys()[1]))
	g.grant = func(asked apiAsked) apiTurn {
		form, err := url.ParseQuery(asked.body)
		if err != nil {
			t.Error(err)
		}
		signed, err := jose.ParseSignedCompact(form.Get("assertion"), []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			t.Error(err)
		}
		if _, err := signed.Verify(apiKeys()[1].Public()); err != nil {
			return apiTurn{status: 400, body: `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`}
		}
		return apiSays(`{"access_token":"` + apiAccess + `","expires_in":3599,"token_type":"Bearer"}`)
	}
	if err := apiRead(t.Context(), g.api()); err != nil || fmt.Sprint(g.looks()) != "[false true]" {
		t.Errorf("got %v after the looks %v, want the second key taken", err, g.looks())
	}
	// Without another key there is nothing to try.
	g.answers(apiSays(aProduct))
	g.secrets = g.secrets[:1]
	apiKindIs(t, "no other key", apiRead(t.Context(), g.api()), fault.Unavailable, play.ErrConfiguration)
	if len(g.grants()) != 1 || len(g.requests()) != 0 || g.alarms() != 1 {
		t.Errorf("got %d grants, %d requests, %d alarms, want 1, 0, 1", len(g.grants()), len(g.requests()), g.alarms())
	}
}

func TestATokenEndpointThatFailsIsAnOutageOrOurConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		turn   apiTurn
		is     error
		grants int
	}{
		"400":             {apiTurn{status: 400, body: `{"error":"invalid_grant"}`}, play.ErrConfiguration, 1},
		"401":             {apiTurn{status: 401, body: `{"error":"invalid_client"}`}, play.ErrConfiguration, 1},
		"403":             {apiTurn{status: 403}, play.ErrConfiguration, 1},
		"404":             {apiTurn{status: 404}, play.ErrConfiguration, 1},
		"429":             {apiTurn{status: 429}, nil, 3},
		"500":             {apiTurn{status: 500}, nil, 3},
		"503":             {apiTurn{status: 503, body: "<html>"}, nil, 3},
		"reset":           {apiTurn{how: "reset"}, nil, 3},
		"cut":             {apiTurn{status: 200, body: `{"access_token":"x","expires_in":3599,"token_type":"Bearer"}`, how: "cut"}, nil, 3},
		"too large":       {apiSays(strings.Repeat(" ", 64<<10) + `{"access_token":"x","expires_in":3599,"token_type":"Bearer"}`), nil, 3},
		"garbage":         {apiSays(`<html>`), nil, 3},
		"no token":        {apiSays(`{"expires_in":3599,"token_type":"Bearer"}`), nil, 3},
		"no life":         {apiSays(`{"access_token":"x","token_type":"Bearer"}`), nil, 3},
		"negative life":   {apiSays(`{"access_token":"x","expires_in":-1,"token_type":"Bearer"}`), nil, 3},
		"another type":    {apiSays(`{"access_token":"x","expires_in":3599,"token_type":"MAC"}`), nil, 3},
		"token of spaces": {apiSays(`{"access_token":"x y","expires_in":3599,"token_type":"Bearer"}`), nil, 3},
		"a redirect":      {apiTurn{status: 307, header: http.Header{"Location": {"/elsewhere"}}}, play.ErrConfiguration, 1},
	} {
		g := newGoogle(t, apiSays(aProduct))
		g.grant = func(apiAsked) apiTurn { return c.turn }
		apiKindIs(t, name, apiRead(t.Context(), g.api()), fault.Unavailable, c.is)
		if len(g.grants()) != c.grants || len(g.requests()) != 0 {
			t.Errorf("%s: got %d grants and %d requests, want %d and none", name, len(g.grants()), len(g.requests()), c.grants)
		}
		if want := map[bool]int{true: 1}[c.is != nil]; g.alarms() != want {
			t.Errorf("%s: got %d alarms, want %d", name, g.alarms(), want)
		}
	}
	g := newGoogle(t, apiSays(aProduct))
	times := 0
	g.grant = func(apiAsked) apiTurn {
		if times++; times == 1 {
			return apiTurn{status: 503}
		}
		return apiSays(`{"access_token":"x","expires_in":3599,"token_type":"Bearer"}`)
	}
	// Nothing was sent yet, so that even a refund may be tried again.
	if err := g.api().Refund(t.Context(), apiPackage, apiOrder, false); err != nil || len(g.requests()) != 1 || len(g.grants()) != 2 {
		t.Errorf("got %v after %d requests, want it done by one", err, len(g.requests()))
	}
}

func TestCredentialsThatCannotBeHadAreAnOutage(t *testing.T) {
	g := newGoogle(t, apiSays(aProduct))
	times := 0
	a := g.api(func(c *play.APIConfig) {
		c.Credentials = func(context.Context, bool) (string, error) {
			if times++; times < 3 {
				return "", errors.New("the secret store is away")
			}
			return g.secrets[0], nil
		}
	})
	if err := apiRead(t.Context(), a); err != nil || times != 3 || g.alarms() != 0 {
		t.Errorf("got %v after %d looks and %d alarms, want success at the third and no alarm", err, times, g.alarms())
	}
	times = -10
	a = g.api(func(c *play.APIConfig) {
		c.Credentials = func(context.Context, bool) (string, error) { return "", errors.New("the secret store is away") }
	})
	apiKindIs(t, "for ever", apiRead(t.Context(), a), fault.Unavailable, nil)
}

func TestOtherCredentialsAreRefused(t *testing.T) {
	g := newGoogle(t, apiSays(aProduct))
	set := func(name string, to any) func(map[string]any) { return func(m map[string]any) { m[name] = to } }
	for name, text := range map[string]string{
		"nothing":         "",
		"no JSON":         "service_account",
		"an array":        "[]",
		"no type":         g.account(apiKeys()[0], set("type", "")),
		"a person":        g.account(apiKeys()[0], set("type", "authorized_user")),
		"impersonated":    g.account(apiKeys()[0], set("type", "impersonated_service_account")),
		"type twice":      strings.Replace(g.account(apiKeys()[0]), "{", `{"type":"service_account",`, 1),
		"no email":        g.account(apiKeys()[0], set("client_email", "")),
		"no key":          g.account(apiKeys()[0], set("private_key", "")),
		"no RSA":          g.account(apiKeys()[0], set("private_key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")),
		"no token_uri":    g.account(apiKeys()[0], set("token_uri", "")),
		"plain token_uri": g.account(apiKeys()[0], set("token_uri", "http://sts.example/token")),
		"other universe":  g.account(apiKeys()[0], set("universe_domain", "example.com")),
		"too large":       g.account(apiKeys()[0], set("x", strings.Repeat("x", 16<<10))),
	} {
		g.answers(apiSays(aProduct))
		g.secrets = []string{text}
		before := g.alarms()
		apiKindIs(t, name, apiRead(t.Context(), g.api()), fault.Unavailable, play.ErrConfiguration)
		if len(g.grants())+len(g.requests()) != 0 || g.alarms() != before+1 {
			t.Errorf("%s: got %d grants, %d requests, %d alarms, want none, none, 1", name, len(g.grants()), len(g.requests()), g.alarms()-before)
		}
	}
}

// The simulator has no certificate.
func TestATokenIsAskedForInTheOpenOnThisMachineAlone(t *testing.T) {
	inLambda(t)
	nobody := "http://127.0.0.1:1/token"
	g := newGoogle(t, apiSays(aProduct))
	for _, text := range []string{
		g.account(apiKeys()[0], func(m map[string]any) { m["token_uri"] = nobody }),
		federated(func(m map[string]any) { m["token_url"], m["service_account_impersonation_url"] = nobody, nobody }),
	} {
		g.secrets = []string{text}
		var is error
		if !apiPlainAllowed {
			is = play.ErrConfiguration
		}
		apiKindIs(t, "a token endpoint here", apiRead(t.Context(), g.api()), fault.Unavailable, is)
	}
}

// federated is an external account of AWS whose hosts are Google's.
func federated(changes ...func(map[string]any)) string {
	file := map[string]any{
		"type": "external_account", "audience": "//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/our-pool/providers/aws",
		"subject_token_type": "urn:ietf:params:aws:token-type:aws4_request", "token_url": "https://sts.googleapis.com/v1/token",
		"service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + apiEmail + ":generateAccessToken",
		"credential_source": map[string]any{
			"environment_id": "aws1", "region_url": "http://169.254.169.254/region", "url": "http://169.254.169.254/credentials",
			"imdsv2_session_token_url": "http://169.254.169.254/token", "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
		},
	}
	for _, change := range changes {
		change(file)
	}
	text, err := json.Marshal(file)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// toItself sends what is for a host of Google's to the fake one, and notes the host.
func (g *google) toItself(hosts *[]string) func(*play.APIConfig) {
	return func(c *play.APIConfig) {
		by := c.Transport
		c.Transport = apiTripper(func(r *http.Request) (*http.Response, error) {
			here, err := url.Parse(g.server.URL)
			if err != nil {
				return nil, err
			}
			*hosts = append(*hosts, r.URL.Hostname())
			if strings.HasSuffix(r.URL.Hostname(), ".googleapis.com") {
				r = r.Clone(r.Context())
				r.URL.Host = here.Host
			}
			return by.RoundTrip(r)
		})
	}
}

func inLambda(t *testing.T) {
	t.Setenv("AWS_REGION", "ap-northeast-2")
	t.Setenv("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-role")
	t.Setenv("AWS_SESSION_TOKEN", "session-of-the-role")
}

// federation grants what a workload identity federation is granted.
func federation(ends time.Time) func(apiAsked) apiTurn {
	return func(asked apiAsked) apiTurn {
		if asked.path == "/v1/token" {
			return apiSays(`{"access_token":"federated","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`)
		}
		return apiSays(fmt.Sprintf(`{"accessToken":"%s7","expireTime":%q}`, apiAccess, ends.Format(time.RFC3339)))
	}
}

func TestAFunctionProvesItselfByItsOwnRole(t *testing.T) {
	inLambda(t)
	g := newGoogle(t, apiSays(aProduct))
	g.secrets = []string{federated()}
	g.grant = federation(apiNow.Add(time.Hour))
	var hosts []string
	a := g.api(g.toItself(&hosts))
	if err := apiRead(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sts.googleapis.com", "iamcredentials.googleapis.com", "127.0.0.1"}; fmt.Sprint(hosts) != fmt.Sprint(want) {
		t.Errorf("got the hosts %v, want %v", hosts, want)
	}
	grants := g.grants()
	form, err := url.ParseQuery(grants[0].body)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := url.QueryUnescape(form.Get("subject_token"))
	if err != nil || !strings.Contains(proof, "sts.ap-northeast-2.amazonaws.com") || !strings.Contains(proof, "ASIAEXAMPLE") || strings.Contains(proof, "secret-of-the-role") {
		t.Errorf("got the proof %s, %v, want one signed by the role of the environment", proof, err)
	}
	if grants[1].bearer != "federated" || !strings.Contains(grants[1].body, "https://www.googleapis.com/auth/androidpublisher") || g.requests()[0].bearer != apiAccess+"7" {
		t.Errorf("got %+v, want the service account's token asked for by the federated one", grants[1])
	}
	// It is kept as others are.
	g.clock.move(55*time.Minute - 1)
	if err := apiRead(t.Context(), a); err != nil || len(g.grants()) != 2 {
		t.Errorf("got %v after %d grants, want the token kept", err, len(g.grants()))
	}
	g.clock.move(time.Minute)
	if err := apiRead(t.Context(), a); err != nil || len(g.grants()) != 4 {
		t.Errorf("got %v after %d grants, want another", err, len(g.grants()))
	}
}

// A token of half a day is not used for longer than others: rights may be taken away.
func TestALongLifeIsNotUsedToItsEnd(t *testing.T) {
	inLambda(t)
	g := newGoogle(t, apiSays(aProduct))
	g.secrets = []string{federated(func(m map[string]any) {
		m["service_account_impersonation"] = map[string]any{"token_lifetime_seconds": 43_200}
	})}
	g.grant = federation(apiNow.Add(12 * time.Hour))
	var hosts []string
	a := g.api(g.toItself(&hosts))
	for move, want := range []int{2, 2, 4} {
		g.clock.move([]time.Duration{0, 55*time.Minute - 1, 1}[move])
		a.Forget(apiPackage, apiToken)
		if err := apiRead(t.Context(), a); err != nil || len(g.grants()) != want || !strings.Contains(g.grants()[1].body, `"43200s"`) {
			t.Errorf("at %v: got %v after %d grants, want %d of 12 h", g.clock.Now(), err, len(g.grants()), want)
		}
	}
}

func TestAFederationAsksNobodyButGoogle(t *testing.T) {
	set := func(name string, to any) func(map[string]any) { return func(m map[string]any) { m[name] = to } }
	for name, text := range map[string]string{
		"audience":               federated(set("audience", "//iam.googleapis.com/locations/global/workforcePools/p/providers/x")),
		"no audience":            federated(set("audience", "")),
		"subject of a file":      federated(set("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")),
		"a file":                 federated(set("credential_source", map[string]any{"file": "/etc/passwd"})),
		"a command":              federated(set("credential_source", map[string]any{"executable": map[string]any{"command": "/bin/true"}})),
		"an address":             federated(set("credential_source", map[string]any{"url": "https://example.com"})),
		"another environment":    federated(set("credential_source", map[string]any{"environment_id": "aws2"})),
		"token_url elsewhere":    federated(set("token_url", "https://sts.example.com/v1/token")),
		"token_url alike":        federated(set("token_url", "https://sts.googleapis.com.example.com/v1/token")),
		"token_url of a suffix":  federated(set("token_url", "https://notgoogleapis.com/v1/token")),
		"token_url plain":        federated(set("token_url", "http://sts.googleapis.com/v1/token")),
		"token_url of a port":    federated(set("token_url", "https://sts.googleapis.com:8443/v1/token")),
		"token_url with a user":  federated(set("token_url", "https://sts.googleapis.com@sts.googleapis.com/v1/token")),
		"no token_url":           federated(set("token_url", "")),
		"impersonation to other": federated(set("service_account_impersonation_url", "https://iam.example.com/x")),
		"impersonation plain":    federated(set("service_account_impersonation_url", "http://iamcredentials.googleapis.com/x")),
		"no impersonation":       federated(set("service_account_impersonation_url", "")),
		"a short life":           federated(set("service_account_impersonation", map[string]any{"token_lifetime_seconds": 1})),
	} {
		inLambda(t)
		g := newGoogle(t, apiSays(aProduct))
		g.secrets = []string{text}
		g.grant = federation(apiNow.Add(time.Hour))
		var hosts []string
		apiKindIs(t, name, apiRead(t.Context(), g.api(g.toItself(&hosts))), fault.Unavailable, play.ErrConfiguration)
		if len(hosts) != 0 || g.alarms() != 1 {
			t.Errorf("%s: got the hosts %v and %d alarms, want none and 1", name, hosts, g.alarms())
		}
	}
	// Outside of a function there is no role, and no metadata server is asked for one.
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		inLambda(t)
		t.Setenv("AWS_DEFAULT_REGION", "")
		t.Setenv(name, "")
		if name == "AWS_DEFAULT_REGION" {
			t.Setenv("AWS_REGION", "")
		}
		g := newGoogle(t, apiSays(aProduct))
		g.secrets = []string{federated()}
		var hosts []string
		apiKindIs(t, "without "+name, apiRead(t.Context(), g.api(g.toItself(&hosts))), fault.Unavailable, play.ErrConfiguration)
		if len(hosts) != 0 {
			t.Errorf("without %s: got the hosts %v, want none", name, hosts)
		}
	}
}

func TestAFederationThatFailsIsAnOutageOrOurConfiguration(t *testing.T) {
	inLambda(t)
	for name, c := range map[string]struct {
		path string
		turn apiTurn
		is   error
	}{
		"exchange refused":         {"/v1/token", apiTurn{status: 400, body: `{"error":"invalid_grant"}`}, play.ErrConfiguration},
		"exchange out":             {"/v1/token", apiTurn{status: 503}, nil},
		"exchange reset":           {"/v1/token", apiTurn{how: "reset"}, nil},
		"exchange garbage":         {"/v1/token", apiSays(`<html>`), nil},
		"exchange without life":    {"/v1/token", apiSays(`{"access_token":"x","token_type":"Bearer"}`), nil},
		"impersonation refused":    {"/v1/projects", apiTurn{status: 403, body: `{"error":{"code":403}}`}, play.ErrConfiguration},
		"impersonation out":        {"/v1/projects", apiTurn{status: 500}, nil},
		"impersonation garbage":    {"/v1/projects", apiSays(`{}`), nil},
		"impersonation redirected": {"/v1/projects", apiTurn{status: 307, header: http.Header{"Location": {"https://example.com/"}}}, play.ErrConfiguration},
	} {
		g := newGoogle(t, apiSays(aProduct))
		g.secrets = []string{federated()}
		usual := federation(apiNow.Add(time.Hour))
		g.grant = func(asked apiAsked) apiTurn {
			if strings.HasPrefix(asked.path, c.path) {
				return c.turn
			}
			return usual(asked)
		}
		var hosts []string
		apiKindIs(t, name, apiRead(t.Context(), g.api(g.toItself(&hosts))), fault.Unavailable, c.is)
		for _, host := range hosts {
			if !strings.HasSuffix(host, ".googleapis.com") {
				t.Errorf("%s: got the hosts %v, want Google's alone", name, hosts)
			}
		}
	}
}

func TestAKeyIsRSAOf2048BitsOrMore(t *testing.T) {
	g := newGoogle(t, apiSays(aProduct))
	for name, text := range apiOddKeys(t) {
		g.secrets = []string{g.account(apiKeys()[0], func(m map[string]any) { m["private_key"] = text })}
		err := apiRead(t.Context(), g.api())
		if name == "PKCS #1" {
			if err != nil {
				t.Errorf("%s: got %v, want it taken", name, err)
			}
			continue
		}
		apiKindIs(t, name, err, fault.Unavailable, play.ErrConfiguration)
	}
}

func apiOddKeys(t *testing.T) map[string]string {
	t.Helper()
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"1024 bits": pemOf(short), "a curve": block("PRIVATE KEY", der), "no PEM": "key", "empty": block("PRIVATE KEY", nil),
		"PKCS #1": block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(apiKeys()[0])),
	}
}
