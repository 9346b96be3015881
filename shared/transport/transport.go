// Package transport carries requests to providers: connections that are bounded in
// everything, answers that are read to a bound, and failures told in our own words.
//
// The one idea: what went wrong on the way to a provider is never told in the words of
// net/http, for those quote the address, which holds tokens and ids, or what a stranger
// answered.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 64 << 10
	// idle is how long a kept connection may be unused: a function that was frozen for
	// longer finds its connections broken.
	idle = 30 * time.Second
)

// Kept keeps few connections and not for long, for questions asked in a row. net/http
// repeats by itself what it takes for repeatable and sent on a kept connection that broke:
// a GET, and whatever has an Idempotency-Key. Connect bounds a connect and a handshake each.
func Kept(connect time.Duration) *http.Transport {
	t := bounded(connect)
	t.MaxIdleConns = 8
	t.MaxIdleConnsPerHost = 4
	t.IdleConnTimeout = idle
	return t
}

// Once uses each connection once, so that net/http repeats nothing by itself: for what
// takes money. A handshake is cheaper than a second charge. Connect is as in Kept.
func Once(connect time.Duration) *http.Transport {
	t := bounded(connect)
	t.DisableKeepAlives = true
	return t
}

func bounded(connect time.Duration) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: connect}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(4)},
		TLSHandshakeTimeout:    connect,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// Client follows no redirect: elsewhere nobody should see what proves who we are. It sets
// no time; each request has its own.
func Client(by http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     by,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ErrTooLarge is Read's of an answer beyond its bound.
var ErrTooLarge = errors.New("the answer is too large")

// Read reads an answer of at most so many bytes. A larger one is ErrTooLarge, and nothing
// of it is given.
func Read(answer io.Reader, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(answer, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(body)) > most:
		return nil, ErrTooLarge
	}
	return body, nil
}

// Why says in our own words why there was no answer. Nothing of err's text is in it.
func Why(err error) string {
	var (
		netErr  net.Error
		nameErr *net.DNSError
		certErr *tls.CertificateVerificationError
		opErr   *net.OpError
	)
	switch {
	case errors.Is(err, ErrTooLarge):
		return ErrTooLarge.Error()
	case errors.Is(err, context.Canceled):
		return "the caller gave up"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return "no answer in time"
	case errors.As(err, &nameErr):
		return "the host's name was not resolved"
	case errors.As(err, &certErr):
		return "the host's certificate is not trusted"
	case errors.As(err, &opErr):
		return "the connection failed at " + opErr.Op
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	default:
		return "no readable answer"
	}
}
