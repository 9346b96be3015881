package keyset_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"grantline/shared/keyset"
)

var start = time.Date(2026, 11, 20, 2, 14, 7, 0, time.UTC)

// issuer serves keys of the ids that it is told, and counts.
type issuer struct {
	mu      sync.Mutex
	at      time.Time
	header  http.Header
	body    []byte
	err     error
	fetches int
}

func (i *issuer) Now() time.Time { return i.at }

func (i *issuer) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fetches++; i.err != nil {
		return nil, i.err
	}
	return &http.Response{StatusCode: http.StatusOK, Request: r, Header: i.header, Body: io.NopCloser(bytes.NewReader(i.body))}, nil
}

func (i *issuer) publish(ids ...string) {
	var set jose.JSONWebKeySet
	for _, id := range ids {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"})
	}
	var err error
	if i.body, err = json.Marshal(set); err != nil {
		panic(err)
	}
	i.err = nil
}

func newSet(log io.Writer) (*keyset.Set, *issuer) {
	i := &issuer{at: start, header: http.Header{}}
	i.publish("a")
	return &keyset.Set{
		URL: "http://127.0.0.1/keys", Algorithms: []jose.SignatureAlgorithm{jose.ES256}, Client: &http.Client{Transport: i},
		Longest: 2 * time.Hour, Clock: i, Log: slog.New(slog.NewTextHandler(log, nil)),
	}, i
}

func has(t *testing.T, s *keyset.Set, kid string, want int) {
	t.Helper()
	if keys, err := s.Keys(t.Context(), kid); err != nil || len(keys) != want {
		t.Errorf("%s: got %d keys and %v, want %d", kid, len(keys), err, want)
	}
}

func TestKeysAreBelievedForAsLongAsTheirIssuerSays(t *testing.T) {
	for name, c := range map[string]struct {
		control, age string
		want         time.Duration
	}{
		"says nothing":                {"", "", time.Hour},
		"says something else":         {"public, immutable", "", time.Hour},
		"an hour and a half":          {"public, max-age=5400, must-revalidate", "", 90 * time.Minute},
		"in capitals":                 {"Max-Age=5400", "", 90 * time.Minute},
		"quoted":                      {`max-age="5400"`, "", 90 * time.Minute},
		"of which some has gone":      {"max-age=5400", "600", 80 * time.Minute},
		"an age that is none":         {"max-age=5400", "x", 90 * time.Minute},
		"a negative age":              {"max-age=5400", "-600", 90 * time.Minute},
		"more than we like":           {"max-age=86400", "", 2 * time.Hour},
		"more than fits":              {"max-age=99999999999999999999", "", 5 * time.Minute},
		"nothing at all":              {"max-age=0", "", 5 * time.Minute},
		"what cannot be read":         {"max-age=soon", "", 5 * time.Minute},
		"no-cache":                    {"max-age=5400, no-cache", "", 5 * time.Minute},
		"no-store":                    {"no-store", "", 5 * time.Minute},
		"less than the least between": {"max-age=1", "", 5 * time.Minute},
		"more age than it may have":   {"max-age=60", "600", 5 * time.Minute},
	} {
		s, i := newSet(io.Discard)
		if i.header.Set("Age", c.age); c.control != "" {
			i.header.Set("Cache-Control", c.control)
		}
		has(t, s, "a", 1)
		i.publish("b")
		i.at = start.Add(c.want - time.Second)
		if has(t, s, "a", 1); i.fetches != 1 {
			t.Errorf("%s: a second before %s: got %d fetches, want one", name, c.want, i.fetches)
		}
		i.at = start.Add(c.want)
		if has(t, s, "a", 0); i.fetches != 2 {
			t.Errorf("%s: after %s: got %d fetches, want two", name, c.want, i.fetches)
		}
	}
}

func TestAnUnknownIDIsAskedForOnceInFiveMinutes(t *testing.T) {
	s, i := newSet(io.Discard)
	has(t, s, "a", 1)
	for range 20 {
		has(t, s, "x", 0)
		has(t, s, "y", 0)
	}
	if i.fetches != 2 {
		t.Errorf("got %d fetches, want the first and one for what is unknown", i.fetches)
	}
	i.publish("a", "x")
	i.at = start.Add(5*time.Minute - time.Second)
	has(t, s, "x", 0)
	i.at = start.Add(5 * time.Minute)
	has(t, s, "x", 1)
	if i.fetches != 3 {
		t.Errorf("got %d fetches, want one more after five minutes", i.fetches)
	}
}

func TestAClockThatGoesBackMakesKeysOld(t *testing.T) {
	s, i := newSet(io.Discard)
	has(t, s, "a", 1)
	i.at = start.Add(-time.Minute)
	has(t, s, "a", 1)
	if i.fetches != 2 {
		t.Errorf("got %d fetches, want keys of the future to be fetched again", i.fetches)
	}
}

func TestAnIssuerThatIsDownIsAskedOnceInFiveMinutes(t *testing.T) {
	var log bytes.Buffer
	s, i := newSet(&log)
	has(t, s, "a", 1)
	i.err, i.at = errors.New("no route to host"), start.Add(24*time.Hour)
	for range 20 {
		has(t, s, "a", 1)
	}
	if i.fetches != 2 {
		t.Errorf("got %d fetches, want the first and one that failed", i.fetches)
	}
	for range 20 {
		if keys, err := s.Keys(t.Context(), "x"); err == nil || len(keys) != 0 {
			t.Errorf("an unknown id: got %d keys and %v, want an error", len(keys), err)
		}
	}
	if i.fetches != 3 {
		t.Errorf("got %d fetches, want one more for what is unknown", i.fetches)
	}
	if got := log.String(); strings.Count(got, "no route to host") != 2 || strings.Contains(got, "127.0.0.1") {
		t.Errorf("got the log %q, want both failures and no address", got)
	}
}

func TestNoKeysAreAnErrorEachTimeAndWithoutAddress(t *testing.T) {
	s, i := newSet(io.Discard)
	i.err = errors.New("no route to host")
	for n := range 3 {
		if _, err := s.Keys(t.Context(), "a"); err == nil || strings.Contains(err.Error(), "127.0.0.1") || i.fetches != n+1 {
			t.Errorf("got %v after %d fetches, want an error without the address each time", err, i.fetches)
		}
	}
	i.publish("a")
	has(t, s, "a", 1)
	s.URL = "http://127.0.0.1:x/"
	i.at = start.Add(3 * time.Hour)
	has(t, s, "a", 1)
	if _, err := s.Keys(t.Context(), "x"); err == nil || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("an address that is none: got %v, want an error without it", err)
	}
}

func TestSeveralKeysOfOneIDAreAllGiven(t *testing.T) {
	s, i := newSet(io.Discard)
	i.publish("a", "a", "b")
	has(t, s, "a", 2)
	has(t, s, "b", 1)
}

func TestASetOfMoreThan256KiBIsNone(t *testing.T) {
	for spaces, fits := range map[int]bool{0: true, 1: false} {
		s, i := newSet(io.Discard)
		i.body = append(i.body, bytes.Repeat([]byte(" "), 256<<10-len(i.body)+spaces)...)
		if _, err := s.Keys(t.Context(), "a"); (err == nil) != fits {
			t.Errorf("%d bytes more: got %v, want it taken: %v", spaces, err, fits)
		}
	}
}

// Only what a token may be signed with is a key; what is not understood spoils no other.
func TestOnlyPublicKeysForSigningAreKept(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := func(k jose.JSONWebKey) string {
		text, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, c := range map[string]struct {
		key  string
		want int
	}{
		"for anything":       {of(jose.JSONWebKey{Key: private.Public(), KeyID: "x"}), 1},
		"for signing":        {of(jose.JSONWebKey{Key: private.Public(), KeyID: "x", Use: "sig", Algorithm: "ES256"}), 1},
		"for encryption":     {of(jose.JSONWebKey{Key: private.Public(), KeyID: "x", Use: "enc"}), 0},
		"for something else": {of(jose.JSONWebKey{Key: private.Public(), KeyID: "x", Use: "sig", Algorithm: "ES384"}), 0},
		"private":            {of(jose.JSONWebKey{Key: private, KeyID: "x"}), 0},
		"a shared secret":    {`{"kty":"oct","k":"c2VjcmV0","kid":"x"}`, 0},
		"no key":             {`"x"`, 0},
		"a kind to come":     {`{"kty":"AKP","alg":"ML-DSA-44","pub":"AA","kid":"x"}`, 0},
	} {
		s, i := newSet(io.Discard)
		i.body = append([]byte(`{"keys":[`+c.key+`,`), i.body[len(`{"keys":[`):]...)
		has(t, s, "a", 1)
		if has(t, s, "x", c.want); t.Failed() {
			t.Fatalf("a key %s: got another number of keys, want %d", name, c.want)
		}
		if s, i = newSet(io.Discard); c.want == 0 {
			i.body = []byte(`{"keys":[` + c.key + `]}`)
			if _, err := s.Keys(t.Context(), "x"); err == nil {
				t.Errorf("a key %s alone: got no error, want an outage", name)
			}
		}
	}
}

func TestManyMayAskAtOnce(t *testing.T) {
	s, i := newSet(io.Discard)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if keys, err := s.Keys(t.Context(), "a"); err != nil || len(keys) != 1 {
				t.Errorf("got %d keys and %v, want one", len(keys), err)
			}
		})
	}
	all.Wait()
	if i.fetches != 1 {
		t.Errorf("got %d fetches, want one", i.fetches)
	}
}
