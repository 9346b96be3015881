package play

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4" // signs the assertions of a service account
	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google/externalaccount" // workload identity federation

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/transport"
)

const (
	// maxGrant bounds the answer of a token endpoint, in bytes.
	maxGrant = 64 << 10
	// grantFor is what an assertion of a service account asks for, the most that Google
	// gives; and the most that an access token is kept.
	grantFor = time.Hour
	// grantBackdate keeps an assertion from coming out of Google's future.
	grantBackdate = 10 * time.Second
	// grantReserve is taken off a token's life, for clocks that differ and calls that take
	// long.
	grantReserve = 5 * time.Minute
	jwtGrant     = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523
)

// apiCredentials gives the access tokens that prove to Google who is calling, and keeps the
// last one until shortly before its end.
type apiCredentials struct {
	source  func(ctx context.Context, fresh bool) (string, error)
	attempt time.Duration
	clock   clock.Clock
	by      http.RoundTripper
	// turn is held by the one who asks for a token, for waiting for a mutex has no end.
	turn chan struct{}

	mu    sync.Mutex
	held  string
	until time.Time
	from  time.Time
}

// lack is why there is no access token.
type lack struct {
	why    string
	status int
	ours   bool // the credentials were refused, or are none
	again  repeatable
}

// during tells it as the failure of a method, before that was asked anything.
func (l *lack) during(method string) *APIError {
	failed := &APIError{Method: method, Status: l.status, why: l.why, kind: fault.Unavailable, again: l.again}
	if l.ours {
		failed.is = ErrConfiguration
	}
	return failed
}

// token gives an access token: the one that is held, unless it is the one that Google
// refused, or another.
func (c *apiCredentials) token(ctx context.Context, refused string) (string, *lack) {
	if held, ok := c.holds(refused); ok {
		return held, nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return "", &lack{why: transport.Why(ctx.Err())}
	}
	if held, ok := c.holds(refused); ok {
		return held, nil // somebody else was in time
	}
	c.drop(refused) // even if there is no other now: it is refused again
	within, cancel := context.WithTimeout(ctx, c.attempt)
	defer cancel()
	text, err := c.source(within, refused != "")
	if err != nil {
		// What its source says is not repeated: it may name the value.
		return "", &lack{why: "the credentials cannot be had", again: againUndone}
	}
	token, life, lacking := c.grant(within, text)
	if lacking != nil && lacking.ours && refused == "" {
		// They may have been replaced.
		fresh, err := c.source(within, true)
		if err == nil && subtle.ConstantTimeCompare([]byte(fresh), []byte(text)) == 0 {
			token, life, lacking = c.grant(within, fresh)
		}
	}
	if lacking != nil {
		return "", lacking
	}
	c.hold(token, life)
	return token, nil
}

func (c *apiCredentials) holds(refused string) (string, bool) {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held, c.held != "" && c.held != refused && !now.Before(c.from) && now.Before(c.until)
}

// drop forgets a token that Google refused.
func (c *apiCredentials) drop(refused string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == refused {
		c.held = ""
	}
}

func (c *apiCredentials) hold(token string, life time.Duration) {
	now := c.clock.Now()
	life = min(life, grantFor)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held, c.from, c.until = token, now, now.Add(life-min(grantReserve, life/2))
}

// grant gets an access token for credentials, and how long it lives.
func (c *apiCredentials) grant(ctx context.Context, text string) (string, time.Duration, *lack) {
	file, err := readCredentials(text)
	if err != nil {
		return "", 0, &lack{why: err.Error(), ours: true}
	}
	wire := &grantWire{by: c.by}
	var token string
	var life time.Duration
	if file.Type == "service_account" {
		token, life, err = c.byKey(ctx, file, wire)
	} else {
		token, life, err = c.byRole(ctx, file, wire)
	}
	switch {
	case err == nil && token != "" && len(token) <= maxGrant && apiPrintable(token):
		return token, life, nil
	case wire.why != "":
		return "", 0, &lack{why: "asking for an access token: " + wire.why, again: againUndone}
	case wire.status == 0:
		return "", 0, &lack{why: "an access token cannot be asked for", ours: true}
	case wire.status == http.StatusOK, wire.status == http.StatusTooManyRequests, wire.status >= 500:
		return "", 0, &lack{why: "no access token is given now", status: wire.status, again: againUndone}
	}
	return "", 0, &lack{why: "an access token is refused", status: wire.status, ours: true}
}

// assertionClaims are those of a service account's assertion (Using OAuth 2.0 for server to
// server applications).
type assertionClaims struct {
	Issuer   string `json:"iss"`
	Scope    string `json:"scope"`
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// byKey is the grant of a service account's key.
func (c *apiCredentials) byKey(ctx context.Context, file credentialsFile, wire *grantWire) (string, time.Duration, error) {
	issued := c.clock.Now().Add(-grantBackdate)
	claims, err := json.Marshal(assertionClaims{file.Email, apiScope, file.TokenURI, issued.Unix(), issued.Add(grantFor).Unix()})
	if err != nil {
		return "", 0, err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: file.signer, KeyID: file.KeyID}},
		new(jose.SignerOptions).WithType("JWT"),
	)
	if err != nil {
		return "", 0, err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", 0, err
	}
	assertion, err := signed.CompactSerialize()
	if err != nil {
		return "", 0, err
	}
	form := url.Values{"grant_type": {jwtGrant}, "assertion": {assertion}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, file.TokenURI, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "grantline")
	res, err := wire.RoundTrip(req)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body) // read and bounded by wire
	if err != nil {
		return "", 0, err
	}
	var answer struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
		Life  int64  `json:"expires_in"`
	}
	if res.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil || !strings.EqualFold(answer.Type, "Bearer") || answer.Life <= 0 {
		return "", 0, errors.New("no access token")
	}
	return answer.Token, time.Duration(min(answer.Life, int64(grantFor/time.Second))) * time.Second, nil
}

// byRole is the federation of the function's own role: a signed request that says to AWS
// who we are is exchanged for a token of Google's, and that for one of the service account.
// The library takes the role from the environment; it is given no metadata server to ask.
// It goes by the machine's own time, as AWS does.
func (c *apiCredentials) byRole(ctx context.Context, file credentialsFile, wire *grantWire) (string, time.Duration, error) {
	source, err := externalaccount.NewTokenSource(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: wire}), externalaccount.Config{
		Audience:                       file.Audience,
		SubjectTokenType:               file.SubjectTokenType,
		TokenURL:                       file.TokenURL,
		ServiceAccountImpersonationURL: file.ImpersonationURL,
		ServiceAccountImpersonationLifetimeSeconds: file.Impersonation.Lifetime,
		CredentialSource: &externalaccount.CredentialSource{EnvironmentID: environmentOfAWS},
		Scopes:           []string{apiScope},
	})
	if err != nil {
		return "", 0, err
	}
	token, err := source.Token()
	if err != nil {
		return "", 0, err
	}
	return token.AccessToken, max(0, token.Expiry.Sub(c.clock.Now())), nil
}

// grantWire carries the requests for one access token and notes how the last one went, for
// what a library says of it holds what it was answered. It lets nothing be sent elsewhere.
type grantWire struct {
	by     http.RoundTripper
	status int
	why    string
}

// RoundTrip sends one request.
func (w *grantWire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.status = 0
	res, err := w.by.RoundTrip(req)
	if err != nil {
		w.why = transport.Why(err)
		return nil, errors.New(w.why)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := transport.Read(res.Body, maxGrant)
	if err != nil {
		w.why = transport.Why(err)
		return nil, errors.New(w.why)
	}
	w.status = res.StatusCode
	if res.StatusCode/100 == 3 {
		return nil, errors.New("a redirect")
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.ContentLength = int64(len(body))
	return res, nil
}
