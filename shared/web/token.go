package web

import (
	"context"
	"crypto"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc" // checks issuer, audience and times of a token, over keys that we give it
	"github.com/go-jose/go-jose/v4"     // reads token headers; go-oidc stands on it

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/keyset"
)

// Tokens checks the tokens of the identity provider whose subjects are customers.
type Tokens struct {
	Issuer, Audience, KeysURL string
	Client                    *http.Client // with a timeout
	Clock                     clock.Clock
	Log                       *slog.Logger

	once sync.Once
	keys *keyset.Set
}

// signing is what identity providers sign with, and what a shared secret cannot be.
var signing = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}

// keepFor is how long a key set is believed without being asked for again.
const keepFor = time.Hour

// Subject verifies a token and returns its subject. fault.Unauthenticated means that it
// proves nothing, fault.Unavailable that there are no keys to check it with.
func (t *Tokens) Subject(ctx context.Context, token string) (string, error) {
	parsed, err := jose.ParseSignedCompact(token, signing)
	if err != nil || len(parsed.Signatures) != 1 {
		return "", unauthenticated()
	}
	// No extension is understood here (RFC 7515, 4.1.11), while go-jose knows b64, which a
	// JWT may not use (RFC 7797, 7).
	if _, critical := parsed.Signatures[0].Header.ExtraHeaders["crit"]; critical {
		return "", unauthenticated()
	}
	keys, err := t.keysFor(ctx, parsed.Signatures[0].Header.KeyID)
	if err != nil {
		return "", fault.New(fault.Unavailable, "unavailable", "Tokens cannot be checked at the moment.").Because(err)
	}
	if len(keys) == 0 {
		return "", unauthenticated()
	}
	verifier := oidc.NewVerifier(t.Issuer, &oidc.StaticKeySet{PublicKeys: keys}, &oidc.Config{
		ClientID: t.Audience, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256}, Now: t.Clock.Now,
	})
	verified, err := verifier.Verify(ctx, token)
	if err != nil || validCustomerID(verified.Subject) != nil {
		return "", unauthenticated()
	}
	return verified.Subject, nil
}

func (t *Tokens) keysFor(ctx context.Context, kid string) ([]crypto.PublicKey, error) {
	t.once.Do(func() {
		t.keys = &keyset.Set{URL: t.KeysURL, Algorithms: signing, Client: t.Client, Longest: keepFor, Clock: t.Clock, Log: t.Log}
	})
	return t.keys.Keys(ctx, kid)
}
