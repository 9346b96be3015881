package apple_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

// The claims are those of "Generating JSON Web Tokens for API requests", read by hand.
func TestTokenSaysWhoAsksAboutWhichApp(t *testing.T) {
	s := newAppStore(t, found())
	api := s.api()
	if _, err := api.Transaction(t.Context(), inProduction, apiTID); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Transaction(t.Context(), apple.Place{Environment: apple.Sandbox, BundleID: "com.example.other"}, apiTID); err != nil {
		t.Fatal(err)
	}
	for i, bundle := range []string{apiBundle, "com.example.other"} {
		token := s.requests()[i].token
		if diff := cmp.Diff(map[string]any{"alg": "ES256", "kid": apiKeyID, "typ": "JWT"}, part(t, token, 0)); diff != "" {
			t.Errorf("header (-want +got):\n%s", diff)
		}
		claims := claimsOf(t, token)
		iat, _ := claims["iat"].(float64)
		if back := float64(apiNow.Unix()) - iat; back < 1 || back > 60 {
			t.Errorf("got iat %v s back, want a few seconds", back)
		}
		want := map[string]any{
			"iss": apiIssuer, "aud": "appstoreconnect-v1", "bid": bundle, "iat": iat,
			"exp": float64(apiNow.Add(5 * time.Minute).Unix()),
		}
		if diff := cmp.Diff(want, claims); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}
		if !signedWith(t, token, apiKeys()[0]) {
			t.Errorf("%s: the signature is not the key's", bundle)
		}
	}
}

func TestTokenIsReusedWhileYoungerThanThreeMinutes(t *testing.T) {
	s := newAppStore(t, found())
	fetched := 0
	api := s.api(func(c *apple.APIConfig) {
		c.PrivateKey = func(_ context.Context, fresh bool) (string, error) {
			fetched++
			if fresh {
				t.Error("the key was asked for afresh, want that after a 401 only")
			}
			return p8(apiKeys()[0]), nil
		}
	})
	ask := func() string {
		t.Helper()
		if _, err := api.Transaction(t.Context(), inProduction, apiTID); err != nil {
			t.Fatal(err)
		}
		all := s.requests()
		return all[len(all)-1].token
	}
	first := ask()
	s.clock.move(3*time.Minute - time.Millisecond)
	if again := ask(); again != first || fetched != 1 {
		t.Errorf("under 3 minutes: got another token (%t) after %d looks at the key, want the same after 1", again != first, fetched)
	}
	s.clock.move(time.Millisecond)
	second := ask()
	if second == first || fetched != 2 {
		t.Errorf("at 3 minutes: got the same token (%t), want another", second == first)
	}
	s.clock.move(-time.Hour)
	if ask() == second {
		t.Error("with the clock set back: got the token of the future, want another")
	}
}

func TestTokensOfAppsAreKeptApartAndBounded(t *testing.T) {
	s := newAppStore(t, found())
	api := s.api()
	for i := range 200 {
		bundle := fmt.Sprintf("com.example.app%d", i)
		if _, err := api.Transaction(t.Context(), apple.Place{Environment: apple.Production, BundleID: bundle}, apiTID); err != nil {
			t.Fatal(err)
		}
		if got := s.requests()[i].bundle; got != bundle {
			t.Errorf("got a token for %s, want %s", got, bundle)
		}
	}
	if got := api.Tokens(); got > 64 {
		t.Errorf("got %d tokens kept, want 64 at most", got)
	}
}

func TestRefusedKeyIsLookedAtAfreshOnce(t *testing.T) {
	s := newAppStore(t)
	var fresh []bool
	api := s.api(func(c *apple.APIConfig) {
		c.PrivateKey = func(_ context.Context, f bool) (string, error) {
			fresh = append(fresh, f)
			if f {
				return p8(apiKeys()[1]), nil
			}
			return p8(apiKeys()[0]), nil
		}
	})
	s.by(func(a asked) turn {
		if signedWith(t, a.token, apiKeys()[1]) {
			return found()
		}
		return unauthenticated
	})
	for i := range 2 {
		if _, err := api.Transaction(t.Context(), inProduction, apiTID); err != nil {
			t.Errorf("call %d: got %v, want the successor to be taken", i, err)
		}
	}
	if diff := cmp.Diff([]bool{false, true}, fresh); diff != "" {
		t.Errorf("looks at the key (-want +got):\n%s", diff)
	}
	if got := len(s.requests()); got != 3 {
		t.Errorf("got %d requests, want 3: refused, taken, taken", got)
	}
	s.silent()
}

func TestOneUnauthorizedAnswerIsGotOver(t *testing.T) {
	s := newAppStore(t, unauthenticated, found())
	got, err := s.api().Transaction(t.Context(), inProduction, apiTID)
	if err != nil || got != apiSigned {
		t.Errorf("got %q, %v, want the transaction", got, err)
	}
	if r := s.requests(); len(r) != 2 || r[0].token == r[1].token {
		t.Errorf("got %d requests with the same token, want 2 with two", len(r))
	}
	if naps := s.clock.naps(); len(naps) > 0 {
		t.Errorf("got pauses %v, want none", naps)
	}
}

func TestKeyThatStaysRefusedIsAnOutage(t *testing.T) {
	s := newAppStore(t, unauthenticated)
	_, err := s.api().Transaction(t.Context(), inProduction, apiTID)
	if failed := kindIs(t, "401", err, fault.Unavailable); failed.Status != 401 || failed.Code != 0 {
		t.Errorf("got %v, want status 401", failed)
	}
	if got := len(s.requests()); got != 2 {
		t.Errorf("got %d requests, want 2", got)
	}
	s.silent(err)
}

// A 401 is got over once for a call, whatever else goes wrong with it.
func TestKeyIsLookedAtAfreshOnceForACall(t *testing.T) {
	s := newAppStore(t, unauthenticated, fails(apple.APIGeneralInternalRetryable), unauthenticated)
	fresh := 0
	_, err := s.api(func(c *apple.APIConfig) {
		c.PrivateKey = func(_ context.Context, f bool) (string, error) {
			if f {
				fresh++
			}
			return p8(apiKeys()[0]), nil
		}
	}).Transaction(t.Context(), inProduction, apiTID)
	_ = kindIs(t, "401", err, fault.Unavailable)
	if got := len(s.requests()); got != 3 || fresh != 1 {
		t.Errorf("got %d requests and %d fresh looks, want 3 and 1", got, fresh)
	}
}

func TestKeyThatCannotBeHadIsAnOutageAndShowsNothing(t *testing.T) {
	rsa := "-----BEGIN PRIVATE KEY-----\nMIIEvQsecretsecret\n-----END PRIVATE KEY-----\n"
	for name, source := range map[string]func(context.Context, bool) (string, error){
		"error":     func(context.Context, bool) (string, error) { return "", errors.New("BEGIN of secretsecret") },
		"empty":     func(context.Context, bool) (string, error) { return "", nil },
		"not a key": func(context.Context, bool) (string, error) { return rsa, nil },
	} {
		s := newAppStore(t, found())
		_, err := s.api(func(c *apple.APIConfig) { c.PrivateKey = source }).Transaction(t.Context(), inProduction, apiTID)
		_ = kindIs(t, name, err, fault.Unavailable)
		if got := len(s.requests()); got != 0 {
			t.Errorf("%s: got %d requests, want none without a token", name, got)
		}
		if strings.Contains(fmt.Sprint(err), "secretsecret") {
			t.Errorf("%s: got %v, want nothing of the key", name, err)
		}
		s.silent(err)
	}
}

// A fresh look that fails leaves the 401 as the word.
func TestRefusedKeyWithoutSuccessorIsAnOutage(t *testing.T) {
	s := newAppStore(t, unauthenticated)
	_, err := s.api(func(c *apple.APIConfig) {
		c.PrivateKey = func(_ context.Context, fresh bool) (string, error) {
			if fresh {
				return "", errors.New("no")
			}
			return p8(apiKeys()[0]), nil
		}
	}).Transaction(t.Context(), inProduction, apiTID)
	if failed := kindIs(t, "401", err, fault.Unavailable); failed.Status != 401 || len(s.requests()) != 1 {
		t.Errorf("got %v after %d requests, want a 401 after 1", failed, len(s.requests()))
	}
}

// nested is a transport that does something in the middle of its first request.
type nested struct {
	http.RoundTripper
	do   func()
	done bool
}

func (n *nested) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := n.RoundTripper.RoundTrip(r)
	if !n.done {
		n.done = true
		n.do()
	}
	return res, err
}

func TestTokenThatSomebodyElseHasRenewedIsTaken(t *testing.T) {
	s := newAppStore(t)
	fresh, first := 0, ""
	var api *apple.API
	between := &nested{RoundTripper: s.client, do: func() {
		if _, err := api.Transaction(t.Context(), inProduction, apiTID); err != nil {
			t.Errorf("in between: got %v, want the transaction", err)
		}
	}}
	api = s.api(func(c *apple.APIConfig) {
		c.Transport = between
		c.PrivateKey = func(_ context.Context, f bool) (string, error) {
			if f {
				fresh++
			}
			return p8(apiKeys()[0]), nil
		}
	})
	s.by(func(a asked) turn {
		if first == "" {
			first = a.token
		}
		if a.token == first {
			return unauthenticated
		}
		return found()
	})
	if _, err := api.Transaction(t.Context(), inProduction, apiTID); err != nil {
		t.Errorf("got %v, want the transaction", err)
	}
	if fresh != 1 || len(s.requests()) != 4 {
		t.Errorf("got %d fresh looks and %d requests, want 1 and 4", fresh, len(s.requests()))
	}
}

func TestAPIMayBeUsedByManyAtOnce(t *testing.T) {
	s := newAppStore(t, unauthenticated, found())
	api := s.api()
	var wg sync.WaitGroup
	for i := range 8 {
		p := apple.Place{Environment: apple.Sandbox, BundleID: fmt.Sprintf("com.example.app%d", i%2)}
		wg.Go(func() {
			if signed, err := api.Transaction(t.Context(), p, apiTID); err != nil || signed != apiSigned {
				t.Errorf("got %q, %v, want the transaction", signed, err)
			}
		})
	}
	wg.Wait()
}
