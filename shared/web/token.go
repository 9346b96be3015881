package web

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc" // checks issuer, audience and times of a token, over keys that we give it
	"github.com/go-jose/go-jose/v4"     // reads key sets and token headers; go-oidc stands on it
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"grantline/shared/clock"
	"grantline/shared/fault"
)

// Tokens checks the tokens of the identity provider whose subjects are customers.
type Tokens struct {
	Issuer, Audience, KeysURL string
	Client                    *http.Client // with a timeout
	Clock                     clock.Clock
	Log                       *slog.Logger

	mu      sync.Mutex
	keys    map[string][]crypto.PublicKey // by kid
	fetched time.Time                     // when keys were
	tried   time.Time                     // when fetching was last tried
	failure error                         // of that try
}

// signing is what identity providers sign with, and what a shared secret cannot be.
var signing = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}

const (
	// refetchAfter is how often an unknown key id may make us fetch the key set: a stream
	// of forged tokens must not become a stream of requests.
	refetchAfter = 5 * time.Minute
	// keepFor is how long a key set is believed without being asked for again: a key that
	// its owner withdrew should not open doors for as long as a function lives.
	keepFor     = time.Hour
	keySetBytes = 1 << 20
)

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

// keysFor returns the keys with an id, fetching the set when the id is new or the set is
// old. Keys that are known keep serving while the provider is down; of an id that is not
// known nobody can say then whether it is forged, and that is an error.
func (t *Tokens) keysFor(ctx context.Context, kid string) ([]crypto.PublicKey, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.Clock.Now()
	within := func(d time.Duration, since time.Time) bool {
		age := now.Sub(since)
		return age >= 0 && age < d
	}
	known := len(t.keys[kid]) > 0 && within(keepFor, t.fetched)
	if !known && (t.keys == nil || !within(refetchAfter, t.tried)) {
		t.tried = now
		var keys map[string][]crypto.PublicKey
		if keys, t.failure = t.fetch(ctx); t.failure == nil {
			t.keys, t.fetched = keys, now
		} else if t.keys != nil {
			t.Log.WarnContext(ctx, "key set cannot be fetched, serving the old one", "error", t.failure)
		}
	}
	if keys := t.keys[kid]; len(keys) > 0 {
		return keys, nil
	}
	return nil, t.failure
}

func (t *Tokens) fetch(ctx context.Context) (map[string][]crypto.PublicKey, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.KeysURL, nil)
	if err != nil {
		return nil, err
	}
	response, err := t.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("web: key set: status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, keySetBytes))
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("web: key set is no JSON")
	}
	keys := map[string][]crypto.PublicKey{}
	for _, text := range set.Keys {
		var k jose.JSONWebKey
		// One of a kind that is not understood spoils no other (RFC 7517, 5). A key for
		// encryption, or a private one, is none that we want.
		if k.UnmarshalJSON(text) == nil && k.Valid() && k.IsPublic() && forSigning(k) {
			keys[k.KeyID] = append(keys[k.KeyID], k.Key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("web: key set is empty")
	}
	return keys, nil
}

func forSigning(k jose.JSONWebKey) bool {
	return (k.Use == "" || k.Use == "sig") && (k.Algorithm == "" || slices.Contains(signing, jose.SignatureAlgorithm(k.Algorithm)))
}
