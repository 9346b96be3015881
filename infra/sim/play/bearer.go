package play

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"grantline/infra/sim/stage"
)

// The rules of a service account's grant (Google Identity, server-to-server; RFC 7523).
const (
	scope        = "https://www.googleapis.com/auth/androidpublisher"
	grantType    = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	longestGrant = time.Hour
	clockSkew    = 5 * time.Minute
	mostGrants   = 10_000
)

// keys are RSA keys, made when they are first asked for and kept for the process: making
// one takes long, and every simulator needs some.
var keys struct {
	mu   sync.Mutex
	list []*rsa.PrivateKey
}

// key is the key of a number.
func key(number int) *rsa.PrivateKey {
	keys.mu.Lock()
	defer keys.mu.Unlock()
	for len(keys.list) <= number {
		keys.list = append(keys.list, must(rsa.GenerateKey(rand.Reader, 2048)))
	}
	return keys.list[number]
}

// The first keys; from pushKey on they sign push tokens, one after the other.
const (
	accountKey = iota
	impostorKey
	pushKey
)

// account is the service account that the API takes.
type account struct {
	email, id string
	keyID     string
	key       *rsa.PrivateKey
}

func (s *Simulator) newAccount() account {
	return account{
		email: "grantline@grantline-sample.iam.gserviceaccount.com", id: "1" + s.stage.Text(20, stage.Digits),
		keyID: s.stage.Text(40, "0123456789abcdef"), key: key(accountKey),
	}
}

// Credentials is the key file of the one service account that the API takes, whose
// token_uri is below Options.Base.
func (s *Simulator) Credentials() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	der := must(x509.MarshalPKCS8PrivateKey(s.account.key))
	return must(json.Marshal(map[string]string{
		"type": "service_account", "project_id": "grantline-sample", "private_key_id": s.account.keyID,
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": s.account.email, "client_id": s.account.id,
		"auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": s.stage.Origin(&http.Request{}) + "/token",
		"universe_domain": "googleapis.com",
	}))
}

// oauthError is the body of a refusal (RFC 6749, 5.2).
func oauthError(kind, description string) stage.Answer {
	return stage.JSON(http.StatusBadRequest, map[string]string{"error": kind, "error_description": description})
}

// grant exchanges an assertion of the service account for an access token.
func (s *Simulator) grant(r *http.Request, body []byte) stage.Answer {
	form, err := url.ParseQuery(string(body))
	if r.Method != http.MethodPost || err != nil {
		return oauthError("invalid_request", "Bad Request")
	}
	if form.Get("grant_type") != grantType {
		return oauthError("unsupported_grant_type", "Invalid grant_type: "+form.Get("grant_type"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	assertion, err := jwt.ParseSigned(form.Get("assertion"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return oauthError("invalid_grant", "Invalid JWT: Failed audience check or malformed token.")
	}
	var claims struct {
		jwt.Claims
		Scope string `json:"scope"`
	}
	if id := assertion.Headers[0].KeyID; id != "" && id != s.account.keyID || assertion.Claims(&s.account.key.PublicKey, &claims) != nil {
		return oauthError("invalid_grant", "Invalid JWT Signature.")
	}
	now := s.stage.Now()
	switch {
	case claims.Issuer != s.account.email:
		return oauthError("invalid_grant", "Invalid grant: account not found")
	case len(claims.Audience) != 1 || claims.Audience[0] != s.stage.Origin(r)+"/token":
		return oauthError("invalid_grant", "Invalid JWT: Failed audience check.")
	case claims.Expiry == nil || claims.IssuedAt == nil || !now.Before(claims.Expiry.Time()) ||
		claims.IssuedAt.Time().After(now.Add(clockSkew)) || claims.Expiry.Time().Sub(claims.IssuedAt.Time()) > longestGrant:
		return oauthError("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.")
	case claims.Scope != scope:
		return oauthError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
	}
	for text, ends := range s.grants {
		if !now.Before(ends) || len(s.grants) >= mostGrants {
			delete(s.grants, text)
		}
	}
	access := "ya29." + s.stage.Text(120, stage.Alphanumeric)
	s.grants[access] = now.Add(time.Duration(*s.settings.AccessLasts))
	return stage.JSON(http.StatusOK, map[string]any{
		"access_token": access, "expires_in": int(time.Duration(*s.settings.AccessLasts) / time.Second), "token_type": "Bearer",
	})
}

// authenticate says why a call is not let in, nil if it is.
func (s *Simulator) authenticate(header string) *apiError {
	if header == "" {
		return noCredentials
	}
	scheme, access, _ := strings.Cut(header, " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if ends, ok := s.grants[access]; !ok || !strings.EqualFold(scheme, "Bearer") || !s.stage.Now().Before(ends) {
		return invalidCredentials
	}
	return nil
}

// ForgetTokens ends every access token that was handed out.
func (s *Simulator) ForgetTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.grants)
}

// RotateCredentials gives the service account another key; the one before is deleted, as are
// the access tokens that it got. It answers the new key file.
func (s *Simulator) RotateCredentials() []byte {
	s.mu.Lock()
	s.account.key = must(rsa.GenerateKey(rand.Reader, 2048))
	s.account.keyID = s.stage.Text(40, "0123456789abcdef")
	clear(s.grants)
	s.mu.Unlock()
	return s.Credentials()
}
