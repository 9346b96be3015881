// Package dodo charges customers through Dodo Payments on-demand mandates. Start with
// New; notices are verified by a Verifier.
//
// The one idea: Dodo does not recognise a request that it has had before, so a second
// send is a second charge. What was sent and not answered is looked for, by the order's id
// in the metadata of each payment, and never sent again to find out. For the same reason
// the answer to a charge decides nothing: it names a payment, and what became of that
// payment is what a look at it says.
//
// One call is one request. An own transport uses each connection once and follows no
// redirect, the body of a request cannot be rewound, and none has an Idempotency-Key,
// which Dodo does not read and which would let net/http repeat a charge. The one exception
// is a 401, which Dodo did not execute, once the API key has been rotated.
package dodo

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"grantline/shared/billing"
	"grantline/shared/transport"
)

// Name is the gateway's name in records and requests.
const Name = "dodo"

const (
	// maxAnswer bounds an answer, in bytes. A page of 100 payments whose metadata is as
	// large as Dodo allows is 3 MB.
	maxAnswer = 4 << 20
	// connectWait bounds a connect and a handshake each.
	connectWait = 10 * time.Second
)

// Config is what a Gateway needs. All but Transport is required.
type Config struct {
	// URL is where Dodo answers, https and without a query; a path is kept in front of
	// Dodo's own. Plain http is for this machine only, and only in a local build.
	URL string
	// Key gives the API key. Fresh asks it to look past what it has cached, after Dodo
	// refused the key.
	Key func(ctx context.Context, fresh bool) (string, error)
	// Timeout bounds a call of a method, with all the pages that it looks at; a deployed
	// one is 30 s.
	Timeout time.Duration
	Log     *slog.Logger
	// Transport replaces the own one, in tests.
	Transport http.RoundTripper
}

// Gateway is Dodo Payments. It is safe for concurrent use.
type Gateway struct {
	base   string
	config Config
	client *http.Client
}

var (
	_ billing.Mandates = (*Gateway)(nil)
	_ billing.Disputes = (*Gateway)(nil)
)

// New makes a gateway. It asks nobody anything; an error names the field at fault.
func New(c Config) (*Gateway, error) {
	base, err := url.Parse(c.URL)
	switch {
	case err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "",
		base.Scheme != "https" && (base.Scheme != "http" || !transport.Plain(base.Hostname())):
		return nil, errors.New("dodo: URL should be an https URL without user, query and fragment")
	case c.Key == nil:
		return nil, errors.New("dodo: Key should be set")
	case c.Timeout <= 0:
		return nil, fmt.Errorf("dodo: Timeout should be positive, not %v", c.Timeout)
	case c.Log == nil:
		return nil, errors.New("dodo: Log should be set")
	}
	if c.Transport == nil {
		c.Transport = ownTransport()
	}
	return &Gateway{strings.TrimRight(base.String(), "/"), c, transport.Client(c.Transport)}, nil
}

// Repeats is false: Dodo has no idempotency for charges and refunds.
func (g *Gateway) Repeats() bool { return false }

// ownTransport uses each connection once: net/http repeats by itself what it sent on a
// kept connection that broke, if it takes the request for one that can be repeated; and a
// function that was frozen finds all of them broken.
func ownTransport() *http.Transport { return transport.Once(connectWait) }

// bounded ends a method's requests at the gateway's timeout.
func (g *Gateway) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, g.config.Timeout)
}

// call is one request.
type call struct {
	method string
	path   string // escaped, behind the base
	query  url.Values
	body   []byte // nil for none
}

// answer is what came back, read but not believed.
type answer struct {
	status int
	body   object // nil if it was no JSON object
	code   string // Dodo's code of an error, "" if there is none
}

// errUnsent marks a failure before any byte of the request could have left.
var errUnsent = errors.New("dodo: not sent")

// ask makes a call and, if Dodo refuses the API key and there is a newer one, makes it
// once more: what was refused for its key was not executed. An error that is not
// errUnsent says nothing about what Dodo did. Errors carry no address, key or payload.
func (g *Gateway) ask(ctx context.Context, c call) (answer, error) {
	key, err := g.key(ctx, false)
	if err != nil {
		return answer{}, err
	}
	a, err := g.send(ctx, c, key)
	if err != nil || a.status != http.StatusUnauthorized {
		return a, err
	}
	fresh, err := g.key(ctx, true)
	if err != nil || subtle.ConstantTimeCompare([]byte(fresh), []byte(key)) == 1 {
		return a, nil
	}
	g.config.Log.LogAttrs(ctx, slog.LevelInfo, "dodo refused the API key, asking with its successor")
	return g.send(ctx, c, fresh)
}

// key gets the API key. What its source says is not repeated: it may name the value.
func (g *Gateway) key(ctx context.Context, fresh bool) (string, error) {
	key, err := g.config.Key(ctx, fresh)
	if err != nil {
		return "", fmt.Errorf("%w: the API key could not be had", errUnsent)
	}
	if key == "" || !printable(key) {
		return "", fmt.Errorf("%w: the API key is empty or has spaces in it", errUnsent)
	}
	return key, nil
}

// send puts one request on the wire.
func (g *Gateway) send(ctx context.Context, c call, key string) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, fmt.Errorf("%w: %s", errUnsent, transport.Why(err))
	}
	// A transport that asked for a connection and was given none has sent nothing: no
	// name, no route, no handshake, no time. One that asked for none says nothing.
	var asked, given atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { given.Store(true) },
	})
	target := g.base + c.path
	if len(c.query) > 0 {
		target += "?" + c.query.Encode()
	}
	req, err := http.NewRequestWithContext(traced, c.method, target, bytes.NewReader(c.body))
	if err != nil {
		return answer{}, fmt.Errorf("%w: no request could be made of it", errUnsent)
	}
	if c.body != nil {
		req.GetBody = nil // net/http repeats no body that it cannot rewind
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "grantline")

	res, err := g.client.Do(req)
	if err != nil {
		if asked.Load() && !given.Load() {
			return answer{}, fmt.Errorf("%w: %s", errUnsent, transport.Why(err))
		}
		return answer{}, errors.New("dodo: " + transport.Why(err))
	}
	defer func() { _ = res.Body.Close() }()
	text, err := transport.Read(res.Body, maxAnswer)
	switch {
	case errors.Is(err, transport.ErrTooLarge):
		return answer{}, errors.New("dodo: " + transport.Why(err))
	case err != nil:
		return answer{}, errors.New("dodo: in the middle of the answer: " + transport.Why(err))
	}
	a := answer{status: res.StatusCode, body: readObject(text)}
	if res.StatusCode >= 300 {
		a.code = a.body.code("code")
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
