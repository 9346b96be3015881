package play

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc" // checks signature, issuer and audience, over keys that we give it
	"github.com/go-jose/go-jose/v4"     // reads token headers; go-oidc stands on it
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"grantline/shared/fault"
)

const (
	// issuer of Google's tokens; go-oidc knows that Google leaves the scheme out at times.
	issuer = "https://accounts.google.com"
	// maxJWT bounds the token of a push, in bytes. One has about a thousand.
	maxJWT = 8 << 10
	// leeway is how far Google's clock and ours may be apart, in seconds.
	leeway = 60
	// furthest is how far ahead a token may expire, in seconds. Google's last an hour.
	furthest = 24 * 60 * 60
)

// compact is a JWS that is written compactly (RFC 7515, 7.1): three parts, not padded.
var compact = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

// Distrust is why a push is not believed. It says nothing of what came.
type Distrust string

// The reasons, in the order in which they are looked for.
const (
	DistrustHeader    Distrust = "there should be one Authorization header, with one bearer token"
	DistrustForm      Distrust = "the token should be a JWT, signed with RS256 and a key that it names, without extensions"
	DistrustKey       Distrust = "the token should be signed with a key of Google's"
	DistrustSignature Distrust = "the token's signature, issuer and audience should be right"
	DistrustClaims    Distrust = "the token's claims should be of their types, each given once, and one audience"
	DistrustEmail     Distrust = "the token should be of the configured service account, whose e-mail address is verified"
	DistrustTime      Distrust = "the token should be valid now, and for no longer than a day"
)

func (d Distrust) Error() string { return "play: " + string(d) }

func distrust(why Distrust) error {
	return fault.New(fault.Unauthenticated, "invalid_push", "The push does not have a valid token of its service account.").Because(why)
}

// authenticate checks the token of a push (Pub/Sub, authentication for push subscriptions).
func (p *Push) authenticate(ctx context.Context, header http.Header) error {
	authorization := only(header, "Authorization")
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") || len(token) > maxJWT || !compact.MatchString(token) {
		return distrust(DistrustHeader)
	}
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return distrust(DistrustForm)
	}
	head := parsed.Signatures[0].Header
	// No extension is understood here (RFC 7515, 4.1.11), while go-jose knows b64, which a
	// JWT may not use (RFC 7797, 7).
	if _, critical := head.ExtraHeaders["crit"]; critical || head.KeyID == "" {
		return distrust(DistrustForm)
	}
	keys, err := p.keys.Keys(ctx, head.KeyID)
	if err != nil {
		return fault.New(fault.Unavailable, "unavailable", "The push cannot be verified now; send it again.").Because(err)
	}
	if len(keys) == 0 {
		return distrust(DistrustKey)
	}
	verifier := oidc.NewVerifier(issuer, &oidc.StaticKeySet{PublicKeys: keys}, &oidc.Config{
		ClientID: p.config.Audience, SupportedSigningAlgs: []string{oidc.RS256},
		SkipExpiryCheck: true, // it has no leeway, and takes any expiry
	})
	verified, err := verifier.Verify(ctx, token)
	if err != nil {
		return distrust(DistrustSignature) // its text quotes the token
	}
	var text jsontext.Value
	if verified.Claims(&text) != nil {
		return distrust(DistrustClaims)
	}
	return p.believe(verified, text)
}

// believe checks what go-oidc does not: it takes one audience of several, and the last of two
// members whose names are alike but for their case, and it knows no e-mail address.
func (p *Push) believe(verified *oidc.IDToken, text jsontext.Value) error {
	var c struct {
		Issuer        string   `json:"iss"`
		Audience      string   `json:"aud"` // Google writes no list
		Email         string   `json:"email"`
		EmailVerified bool     `json:"email_verified"`
		Expires       *float64 `json:"exp"`
		Issued        *float64 `json:"iat"`
		NotBefore     *float64 `json:"nbf"`
	}
	if json.Unmarshal(text, &c) != nil || c.Issuer != verified.Issuer || !slices.Equal(verified.Audience, []string{c.Audience}) {
		return distrust(DistrustClaims)
	}
	if c.Email != p.config.Email || !c.EmailVerified {
		return distrust(DistrustEmail)
	}
	now := float64(p.config.Clock.Now().UnixMilli()) / 1000
	switch {
	case c.Expires == nil, now >= *c.Expires+leeway, *c.Expires > now+furthest,
		c.Issued != nil && *c.Issued > now+leeway, c.NotBefore != nil && *c.NotBefore > now+leeway:
		return distrust(DistrustTime)
	}
	return nil
}
