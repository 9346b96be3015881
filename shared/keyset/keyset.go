// Package keyset keeps the public keys that an issuer of tokens serves (RFC 7517). The one
// idea: keys that are known serve for as long as the issuer cannot be reached, and nobody
// can make us ask for them often by sending what they do not fit.
package keyset

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4" // reads keys
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"grantline/shared/clock"
)

const (
	// refetchAfter is how often an unknown key id may make us fetch the key set, and how often
	// one that is out of date is asked for while its issuer is down: a stream of forged tokens
	// must not become a stream of requests.
	refetchAfter = 5 * time.Minute
	// unless is how long a key set is believed whose issuer does not say.
	unless = time.Hour
	// most bytes of a key set; Google's has two thousand.
	most = 256 << 10
)

// Set is one issuer's keys. It asks nobody before its first use, and is safe for
// concurrent use.
type Set struct {
	URL        string
	Algorithms []jose.SignatureAlgorithm // those that the keys are wanted for
	Client     *http.Client              // with a timeout
	// Longest is how long keys are believed without being asked for again, whatever the
	// issuer says: a key that its owner withdrew should not open doors for ever.
	Longest time.Duration
	Clock   clock.Clock
	Log     *slog.Logger

	mu      sync.Mutex
	keys    map[string][]crypto.PublicKey // by kid
	fetched time.Time                     // when keys were
	fresh   time.Duration                 // how long they are believed from then on
	tried   time.Time                     // when fetching was last tried
	missed  time.Time                     // when a fetch last brought no key of the id that it was for
	failure error                         // of the last try
}

// Keys returns the keys with an id, none if the issuer has none of that id. It fetches the
// set when it has none, when the set is out of date, and once in five minutes when the id is
// new. Keys that are known keep serving while the issuer is down; of an id that is not known
// nobody can say then whether it is forged, and that is an error.
func (s *Set) Keys(ctx context.Context, kid string) ([]crypto.PublicKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Clock.Now()
	within := func(d time.Duration, since time.Time) bool {
		age := now.Sub(since)
		return age >= 0 && age < d
	}
	old := !within(s.fresh, s.fetched) && !within(refetchAfter, s.tried)
	unknown := len(s.keys[kid]) == 0 && !within(refetchAfter, s.missed)
	if s.keys == nil || old || unknown {
		s.tried = now
		var keys map[string][]crypto.PublicKey
		var fresh time.Duration
		if keys, fresh, s.failure = s.fetch(ctx); s.failure == nil {
			s.keys, s.fetched, s.fresh = keys, now, fresh
		} else if s.keys != nil {
			s.Log.WarnContext(ctx, "key set cannot be fetched, serving the old one", "error", s.failure)
		}
		if len(s.keys[kid]) == 0 {
			s.missed = now
		}
	}
	if keys := s.keys[kid]; len(keys) > 0 {
		return keys, nil
	}
	return nil, s.failure
}

// fetch gets the keys and how long they may be believed. Its errors hold no address.
func (s *Set) fetch(ctx context.Context) (map[string][]crypto.PublicKey, time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return nil, 0, errors.New("keyset: the address is none")
	}
	response, err := s.Client.Do(request)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if err != nil {
		return nil, 0, fmt.Errorf("keyset: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("keyset: status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return nil, 0, fmt.Errorf("keyset: %w", err)
	}
	if len(body) > most {
		return nil, 0, fmt.Errorf("keyset: more than %d bytes", most)
	}
	keys, err := s.read(body)
	return keys, min(freshness(response.Header), s.Longest), err
}

func (s *Set) read(body []byte) (map[string][]crypto.PublicKey, error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil {
		return nil, errors.New("keyset: no JSON")
	}
	keys := map[string][]crypto.PublicKey{}
	for _, text := range set.Keys {
		var k jose.JSONWebKey
		// One of a kind that is not understood spoils no other (RFC 7517, 5). A key for
		// encryption, or a private one, is none that we want.
		if k.UnmarshalJSON(text) == nil && k.Valid() && k.IsPublic() && s.wants(k) {
			keys[k.KeyID] = append(keys[k.KeyID], k.Key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("keyset: no key in it")
	}
	return keys, nil
}

func (s *Set) wants(k jose.JSONWebKey) bool {
	return (k.Use == "" || k.Use == "sig") && (k.Algorithm == "" || slices.Contains(s.Algorithms, jose.SignatureAlgorithm(k.Algorithm)))
}

// freshness is how long an answer may be used from now on (RFC 9111, 4.2 and 5.2.2).
func freshness(h http.Header) time.Duration {
	fresh := unless
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32)
			if err != nil {
				return 0 // what cannot be read is out of date (RFC 9111, 4.2.1)
			}
			age, _ := strconv.ParseInt(h.Get("Age"), 10, 32)
			fresh = time.Duration(seconds-max(age, 0)) * time.Second
		}
	}
	return fresh
}
