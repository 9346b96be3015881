package apple

import (
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// How far a token's dates may be off (App Store Server API, generating JSON Web Tokens).
const (
	longestToken = time.Hour
	clockSkew    = time.Minute
)

// authentic says whether a bearer token is one that Apple would take: ES256 by the key of
// its kid, the issuer, the audience, an app of the team, and not valid for too long.
func (s *Simulator) authentic(header string) bool {
	scheme, text, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || token.Headers[0].KeyID != s.keyID {
		return false
	}
	var claims struct {
		jwt.Claims
		BundleID string `json:"bid"`
	}
	if err := token.Claims(&s.apiKey.PublicKey, &claims); err != nil {
		return false
	}
	now := s.stage.Now()
	if claims.Expiry == nil || !now.Before(claims.Expiry.Time()) {
		return false
	}
	from := now
	if claims.IssuedAt != nil {
		if from = claims.IssuedAt.Time(); from.After(now.Add(clockSkew)) {
			return false
		}
	}
	return claims.Expiry.Time().Sub(from) <= longestToken &&
		claims.Issuer == s.issuerID && claims.Audience.Contains("appstoreconnect-v1") && len(claims.Audience) == 1 &&
		claims.BundleID == BundleID
}
