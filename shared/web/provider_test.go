package web_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	issuer   = "https://id.example.com"
	audience = "grantline-sample"
)

// pair is the provider's keys, made once since RSA takes its time, and an attacker's.
type pair struct {
	ec, thief *ecdsa.PrivateKey
	rsa       *rsa.PrivateKey
}

var keysOfTests = sync.OnceValue(func() pair {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	thief, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return pair{ec, thief, r}
})

// provider is an identity provider: it signs tokens and serves its key set.
type provider struct {
	pair

	mu      sync.Mutex
	set     []byte
	down    bool
	fetches int
}

func newProvider() *provider {
	p := &provider{pair: keysOfTests()}
	p.publish(
		jose.JSONWebKey{Key: p.ec.Public(), KeyID: "ec-1", Algorithm: "ES256", Use: "sig"},
		jose.JSONWebKey{Key: p.rsa.Public(), KeyID: "rsa-1", Algorithm: "RS256", Use: "sig"},
		jose.JSONWebKey{Key: p.rsa.Public(), KeyID: "for-encryption", Use: "enc"},
		jose.JSONWebKey{Key: p.rsa.Public(), KeyID: "for-encryption-by-alg", Algorithm: "RSA-OAEP-256"},
	)
	return p
}

// publish replaces the key set.
func (p *provider) publish(keys ...jose.JSONWebKey) {
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		panic(err)
	}
	p.serve(set, false)
}

func (p *provider) serve(set []byte, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set, p.down = set, down
}

func (p *provider) outage(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

func (p *provider) fetched() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

// RoundTrip answers for the provider's server.
func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetches++
	if p.down {
		return nil, errOutage
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/jwk-set+json"}}, Body: io.NopCloser(bytes.NewReader(p.set)),
	}, nil
}

// object is a JSON object of a token.
type object map[string]any

// claims are those of a token that is good for an hour from the start.
func claims(customerID string) object { return claimsAt(customerID, start) }

func claimsAt(customerID string, now time.Time) object {
	return object{
		"iss": issuer, "aud": audience, "sub": customerID, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

func (c object) with(name string, value any) object {
	next := object{}
	for n, v := range c {
		next[n] = v
	}
	if next[name] = value; value == nil {
		delete(next, name)
	}
	return next
}

var es256 = object{"alg": "ES256", "kid": "ec-1", "typ": "JWT"}

// token is what the provider issues to a customer.
func (p *provider) token(customerID string, now time.Time) string {
	return compact(es256, claimsAt(customerID, now), p.signES)
}

func part(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// compact makes a JWS of anything, so that tests can make what no library would.
func compact(head, body object, sign func([]byte) []byte) string {
	signed := part(head) + "." + part(body)
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(signed)))
}

func signWith(key *ecdsa.PrivateKey) func([]byte) []byte {
	return func(signed []byte) []byte {
		sum := sha256.Sum256(signed)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

func (p *provider) signES(signed []byte) []byte { return signWith(p.ec)(signed) }

func (p *provider) signRS(signed []byte) []byte {
	sum := sha256.Sum256(signed)
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.rsa, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return signature
}

func signHS(secret []byte) func([]byte) []byte {
	return func(signed []byte) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write(signed)
		return mac.Sum(nil)
	}
}

func hashed(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}
