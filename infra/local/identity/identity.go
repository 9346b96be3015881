// Package identity is the sample identity provider of a local run: a company's own sign-in
// service, as far as Grantline sees one. Its key is made at the start and forgotten at the end.
package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// lifetime of a token, on the local clock.
const lifetime = time.Hour

// Provider issues tokens that name a customer.
type Provider struct {
	issuer   string
	audience string
	now      func() time.Time
	signer   jose.Signer
	keys     []byte // JWKS
}

// New makes a provider with a new ES256 key.
func New(issuer, audience string, now func() time.Time) (*Provider, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	id := rand.Text()
	public := jose.JSONWebKey{Key: key.Public(), KeyID: id, Algorithm: string(jose.ES256), Use: "sig"}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}},
		(&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return &Provider{issuer: issuer, audience: audience, now: now, signer: signer, keys: keys}, nil
}

// Token is a JWT for the customer, valid for an hour from now on the local clock.
func (p *Provider) Token(customerID string) (string, error) {
	now := p.now()
	token, err := jwt.Signed(p.signer).Claims(jwt.Claims{
		Issuer: p.issuer, Audience: jwt.Audience{p.audience}, Subject: customerID,
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(lifetime)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	return token, nil
}

// ServeHTTP serves the key set (RFC 7517).
func (p *Provider) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(p.keys) // a caller that has gone away does not mind
}
