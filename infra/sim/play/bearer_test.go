package play_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/androidpublisher/v3"
	"google.golang.org/api/option"

	"grantline/infra/sim/play"
)

func readKey(text []byte) (any, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}

func TestServiceAccountIsAcceptedAsGooglesLibraryPresentsIt(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	s := play.New(play.Options{Base: "http://" + server.Listener.Addr().String()}) // on the system's clock, as the library is
	defer s.Close()
	server.Config.Handler = s
	server.Start()
	defer server.Close()
	bought, err := s.Buy(play.Purchase{ProductID: "gems_100"})
	if err != nil {
		t.Fatal(err)
	}
	config, err := google.JWTConfigFromJSON(s.Credentials(), androidpublisher.AndroidpublisherScope)
	if err != nil {
		t.Fatal(err)
	}
	api, err := androidpublisher.NewService(t.Context(), option.WithTokenSource(config.TokenSource(t.Context())), option.WithEndpoint(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	got, err := api.Purchases.Productsv2.Getproductpurchasev2(play.Package, bought.PurchaseToken).Do()
	if err != nil {
		t.Fatalf("got %v, want the purchase", err)
	}
	if got.PurchaseStateContext.PurchaseState != "PURCHASED" {
		t.Errorf("got %q, want PURCHASED", got.PurchaseStateContext.PurchaseState)
	}
}

func TestAssertionOfAnotherIsNoGrant(t *testing.T) {
	p := newShop(t, play.Options{})
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := p.clock.Now()
	for name, c := range map[string]struct {
		spoil func(*assertion)
		want  string
	}{
		"key":           {func(a *assertion) { a.key = other }, "invalid_grant"},
		"kid":           {func(a *assertion) { a.kid = "another" }, "invalid_grant"},
		"alg":           {func(a *assertion) { a.alg, a.key = jose.HS256, make([]byte, 32) }, "invalid_grant"},
		"issuer":        {func(a *assertion) { a.Issuer = "somebody@example.com" }, "invalid_grant"},
		"audience":      {func(a *assertion) { a.Audience = jwt.Audience{"https://oauth2.googleapis.com/token"} }, "invalid_grant"},
		"two audiences": {func(a *assertion) { a.Audience = append(a.Audience, "https://example.com") }, "invalid_grant"},
		"expired":       {func(a *assertion) { a.Expiry = jwt.NewNumericDate(now.Add(-time.Second)) }, "invalid_grant"},
		"long":          {func(a *assertion) { a.Expiry = jwt.NewNumericDate(now.Add(2 * time.Hour)) }, "invalid_grant"},
		"future":        {func(a *assertion) { a.IssuedAt = jwt.NewNumericDate(now.Add(10 * time.Minute)) }, "invalid_grant"},
		"no iat":        {func(a *assertion) { a.IssuedAt = nil }, "invalid_grant"},
		"scope":         {func(a *assertion) { a.Scope = "https://www.googleapis.com/auth/drive" }, "invalid_scope"},
		"grant type":    {func(a *assertion) { a.kind = "client_credentials" }, "unsupported_grant_type"},
	} {
		if status, got := p.grant(c.spoil); status != 400 || got["error"] != c.want {
			t.Errorf("%s: got %d %v, want 400 %s", name, status, got, c.want)
		}
	}
	if status, got := p.grant(nil); status != 200 || got["token_type"] != "Bearer" || got["expires_in"] != 3600.0 {
		t.Errorf("in order: got %d %v, want a bearer token for an hour", status, got)
	}
	if status, _, _ := p.ask("GET", "/token", "", ""); status != 400 {
		t.Errorf("GET: got %d, want 400", status)
	}
}

func TestCallWithoutALivingTokenIs401(t *testing.T) {
	p := newShop(t, play.Options{})
	_, granted := p.grant(nil)
	living := "Bearer " + granted["access_token"].(string)
	path := "/androidpublisher/v3/applications/" + play.Package + "/oneTimeProducts"
	reason := func(bearer string) (int, string) {
		status, text, _ := p.ask("GET", path, bearer, "")
		var out struct {
			Error struct {
				Status string
				Errors []struct{ Reason string }
			}
		}
		if json.Unmarshal([]byte(text), &out) != nil || len(out.Error.Errors) == 0 {
			return status, ""
		}
		return status, out.Error.Errors[0].Reason
	}
	for bearer, want := range map[string]string{"": "required", "Bearer x": "authError", "Basic " + living[7:]: "authError", living[7:]: "authError"} {
		if status, got := reason(bearer); status != 401 || got != want {
			t.Errorf("%.12q: got %d %s, want 401 %s", bearer, status, got, want)
		}
	}
	if status, _ := reason(living); status != 200 {
		t.Errorf("living: got %d, want 200", status)
	}
	p.clock.Advance(time.Hour)
	if status, _ := reason(living); status != 401 {
		t.Errorf("after an hour: got %d, want 401", status)
	}
}

func TestRotationOfCredentialsEndsTheKeyBefore(t *testing.T) {
	p := newShop(t, play.Options{})
	old := p.Credentials()
	config, err := google.JWTConfigFromJSON(old)
	p.must(err)
	key, err := readKey(config.PrivateKey)
	p.must(err)
	p.product(p.buy(play.Purchase{ProductID: "gems_100"}).PurchaseToken)
	p.RotateCredentials()
	_, err = p.api.Orders.Get(play.Package, "GPA.1").Do()
	p.refused("the access token before", err, 401, "authError")
	if status, got := p.grant(func(a *assertion) { a.key, a.kid = key, config.PrivateKeyID }); status != 400 {
		t.Errorf("old key: got %d %v, want 400", status, got)
	}
	p.access = ""
	_, err = p.api.Orders.Get(play.Package, "GPA.1").Do()
	p.refused("the new key", err, 404, "notFound")
	p.ForgetTokens()
	_, err = p.api.Orders.Get(play.Package, "GPA.1").Do()
	p.refused("tokens forgotten", err, 401, "authError")
}
