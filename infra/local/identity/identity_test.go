package identity_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"grantline/infra/local/identity"
)

func TestATokenIsValidForAnHourOfTheLocalClock(t *testing.T) {
	now := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	p, err := identity.New("http://127.0.0.1:3000/_local", "grantline-sample", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	text, err := p.Token("user $1:+%@/한")
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	p.ServeHTTP(recorder, nil)
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(recorder.Body.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	var got jwt.Claims
	if err := token.Claims(keys, &got); err != nil {
		t.Fatal(err)
	}
	want := jwt.Claims{
		Issuer: "http://127.0.0.1:3000/_local", Audience: jwt.Audience{"grantline-sample"}, Subject: "user $1:+%@/한",
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if len(keys.Keys) != 1 || !keys.Keys[0].IsPublic() || token.Headers[0].KeyID != keys.Keys[0].KeyID {
		t.Errorf("got keys %+v for a token by %q, want its public key alone", keys.Keys, token.Headers[0].KeyID)
	}
}
