// Package toss charges cards through Toss Payments billing keys. Start with New.
//
// The one idea: Toss remembers its first answer to an Idempotency-Key for 15 days, so
// a charge whose answer was lost is sent again, the same bytes to the same address under
// the same key, until somebody says what became of it. All that this package adds is a
// translation, and it is cautious: money was taken or given back only if Toss shows the
// very payment or cancel that was asked for, it was declined only if Toss names a decline
// that we know, and everything else is unclear. Its webhooks are unsigned, and so are
// read as hints alone (ReadHint).
//
// One call is one request. An own transport uses each connection once and follows no
// redirect, and the body of a request cannot be rewound, so nothing below repeats a
// charge either; the one exception is a 401, which Toss did not execute, once the secret
// key has been rotated.
package toss

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/transport"
)

// Name is the gateway's name in records and requests.
const Name = "toss"

const (
	// maxAnswer bounds an answer, in bytes. A payment with a hundred cancels is 50 KB.
	maxAnswer = 1 << 20
	// connectWait bounds a connect and a handshake each; a charge itself may take 40 s.
	connectWait = 10 * time.Second
)

// Config is what a Gateway needs. All but Transport is required.
type Config struct {
	// URL is where Toss answers, https and without a query; a path is kept in front of
	// Toss's own. Plain http is for this machine only, and only in a local build.
	URL string
	// SecretKey gives the API secret key (test_sk_…, live_sk_…). Fresh asks it to look
	// past what it has cached, after Toss refused the key.
	SecretKey func(ctx context.Context, fresh bool) (string, error)
	// Timeout bounds a call, its look at the secret included. Toss shows approvals 40 s
	// after the request, and asks for 60 s or more for a statement, so a deployed one is
	// 65 s.
	Timeout time.Duration
	Log     *slog.Logger
	// Transport replaces the own one, in tests. One that keeps connections cannot repeat
	// a charge, but loses one when Toss has closed the connection meanwhile.
	Transport http.RoundTripper
}

// Gateway is Toss Payments. It is safe for concurrent use.
type Gateway struct {
	base   string
	config Config
	client *http.Client
}

var (
	_ billing.Gateway = (*Gateway)(nil)
	_ billing.Cards   = (*Gateway)(nil)
)

// Repeats says that a charge or refund sent again, under its key within 15 days, is one
// (Toss Payments reference, "Idempotency key").
func (*Gateway) Repeats() bool { return true }

// New makes a gateway. It asks nobody anything; an error names the field at fault.
func New(c Config) (*Gateway, error) {
	base, err := url.Parse(c.URL)
	switch {
	case err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "",
		base.Scheme != "https" && (base.Scheme != "http" || !transport.Plain(base.Hostname())):
		return nil, errors.New("toss: URL should be an https URL without user, query and fragment")
	case c.SecretKey == nil:
		return nil, errors.New("toss: SecretKey should be set")
	case c.Timeout <= 0:
		return nil, fmt.Errorf("toss: Timeout should be positive, not %v", c.Timeout)
	case c.Log == nil:
		return nil, errors.New("toss: Log should be set")
	}
	if c.Transport == nil {
		c.Transport = ownTransport()
	}
	return &Gateway{strings.TrimRight(base.String(), "/"), c, transport.Client(c.Transport)}, nil
}

// ownTransport uses each connection once. net/http repeats by itself what it sent on a
// kept connection that broke, Idempotency-Key or not; and a function that was frozen
// finds all of them broken. A handshake is cheaper than either.
func ownTransport() *http.Transport { return transport.Once(connectWait) }

// call is one request.
type call struct {
	method string
	path   string // escaped, behind the base
	key    string // Idempotency-Key, "" for none
	body   []byte
}

// answer is what came back, read but not believed.
type answer struct {
	status int
	text   []byte // as it came
	body   object // nil if it was no JSON object
	code   string // Toss's code of an error, "" if there is none
	trace  string // for Toss's support
}

// errUnsent marks a failure before anything could have left.
var errUnsent = errors.New("toss: not sent")

// ask makes a call and, if Toss refuses the secret key and there is a newer one, makes it
// once more: what was refused for its key was not executed. An error that is not
// errUnsent says nothing about what Toss did. Errors carry no address, key or payload.
func (g *Gateway) ask(ctx context.Context, c call) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, g.config.Timeout)
	defer cancel()
	secret, err := g.secret(ctx, false)
	if err != nil {
		return answer{}, err
	}
	a, err := g.send(ctx, c, secret)
	if err != nil || a.status != http.StatusUnauthorized || a.code != "UNAUTHORIZED_KEY" {
		return a, err
	}
	fresh, err := g.secret(ctx, true)
	if err != nil || subtle.ConstantTimeCompare([]byte(fresh), []byte(secret)) == 1 {
		return a, nil
	}
	g.config.Log.LogAttrs(ctx, slog.LevelInfo, "toss refused the secret key, asking with its successor", slog.String("trace", a.trace))
	return g.send(ctx, c, fresh)
}

// secret gets the secret key. What its source says is not repeated: it may name the value.
func (g *Gateway) secret(ctx context.Context, fresh bool) (string, error) {
	secret, err := g.config.SecretKey(ctx, fresh)
	if err != nil {
		return "", fmt.Errorf("%w: the secret key could not be had", errUnsent)
	}
	if secret == "" || !printable(secret) {
		return "", fmt.Errorf("%w: the secret key is empty or has spaces in it", errUnsent)
	}
	return secret, nil
}

// send puts one request on the wire.
func (g *Gateway) send(ctx context.Context, c call, secret string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, c.method, g.base+c.path, bytes.NewReader(c.body))
	if err != nil {
		return answer{}, fmt.Errorf("%w: no request could be made of it", errUnsent)
	}
	if c.method == http.MethodPost {
		// net/http repeats a POST that has this key, unless it cannot rewind the body.
		req.GetBody = nil
		req.Header.Set("Idempotency-Key", c.key)
		req.Header.Set("Content-Type", "application/json")
	}
	req.SetBasicAuth(secret, "")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "grantline")

	res, err := g.client.Do(req)
	if err != nil {
		return answer{}, errors.New("toss: " + transport.Why(err))
	}
	defer func() { _ = res.Body.Close() }()
	text, err := transport.Read(res.Body, maxAnswer)
	switch {
	case errors.Is(err, transport.ErrTooLarge):
		return answer{}, errors.New("toss: " + transport.Why(err))
	case err != nil:
		return answer{}, errors.New("toss: in the middle of the answer: " + transport.Why(err))
	}
	a := answer{status: res.StatusCode, text: text, body: readObject(text)}
	if code := a.body.text("code"); codeShape.MatchString(code) {
		a.code = code
	}
	if trace := res.Header.Get("X-Tosspayments-Trace-Id"); len(trace) <= 100 && printable(trace) {
		a.trace = trace
	}
	return a, nil
}

// printable says whether s is ASCII without spaces and control characters.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
