package apple

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4" // signs the tokens of the API

	"grantline/shared/clock"
)

const (
	// tokenAudience is whom the tokens are for (Generating JSON Web Tokens for API requests).
	tokenAudience = "appstoreconnect-v1"
	// tokenLife is well under Apple's bound of 60 minutes.
	tokenLife = 5 * time.Minute
	// tokenReuse leaves a token two minutes of life, for clocks that differ and calls
	// that take long. Tokens kept until they ended were refused to clients whose clock
	// was behind.
	tokenReuse = 3 * time.Minute
	// tokenBackdate keeps a token from coming out of Apple's future.
	tokenBackdate = 10 * time.Second
	// maxTokens bounds the tokens that are kept, one per app.
	maxTokens = 64
)

// bearer makes the tokens that prove to the App Store Server API who is calling, one per
// app, and keeps each for a while. It may be used by several goroutines at once.
type bearer struct {
	issuerID, keyID string
	source          func(ctx context.Context, fresh bool) (string, error)
	clock           clock.Clock
	keys            keyring

	mu   sync.Mutex
	made map[string]bearerToken // by bundle id
}

// bearerToken is a signed JWT and when it was made.
type bearerToken struct {
	text string
	at   time.Time
}

// tokenClaims are those of a JWT for the API, in Apple's words.
type tokenClaims struct {
	Issuer   string `json:"iss"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
	Audience string `json:"aud"`
	BundleID string `json:"bid"`
}

// token gives a token for an app, one made before if it is young enough.
func (b *bearer) token(ctx context.Context, bundleID string) (string, error) {
	if kept, ok := b.kept(bundleID); ok {
		return kept, nil
	}
	return b.make(ctx, bundleID, false)
}

// instead gives another token than the one that Apple refused, made with a key that was
// looked at afresh, unless somebody else has just had that done.
func (b *bearer) instead(ctx context.Context, bundleID, refused string) (string, error) {
	if kept, ok := b.kept(bundleID); ok && kept != refused {
		return kept, nil
	}
	return b.make(ctx, bundleID, true)
}

func (b *bearer) kept(bundleID string) (string, bool) {
	now := b.clock.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.made[bundleID]
	age := now.Sub(t.at)
	return t.text, ok && age >= 0 && age < tokenReuse
}

func (b *bearer) make(ctx context.Context, bundleID string, fresh bool) (string, error) {
	key, err := b.keys.get(ctx, b.source, fresh)
	if err != nil {
		return "", err
	}
	now := b.clock.Now()
	text, err := b.sign(key, bundleID, now)
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.made == nil || len(b.made) >= maxTokens {
		b.made = make(map[string]bearerToken)
	}
	b.made[bundleID] = bearerToken{text, now}
	return text, nil
}

func (b *bearer) sign(key *ecdsa.PrivateKey, bundleID string, now time.Time) (string, error) {
	payload, err := json.Marshal(tokenClaims{
		Issuer:   b.issuerID,
		IssuedAt: now.Add(-tokenBackdate).Unix(),
		Expires:  now.Add(tokenLife).Unix(),
		Audience: tokenAudience,
		BundleID: bundleID,
	})
	if err != nil {
		return "", errors.New("apple: the claims cannot be written as JSON")
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: b.keyID}},
		new(jose.SignerOptions).WithType("JWT"),
	)
	if err != nil {
		return "", errors.New("apple: the In-App Purchase key cannot sign")
	}
	// What a library says of a failure might quote what it was given.
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", errors.New("apple: the In-App Purchase key did not sign")
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		return "", errors.New("apple: the token cannot be written")
	}
	return text, nil
}
