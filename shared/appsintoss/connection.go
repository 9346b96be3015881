package appsintoss

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	maxAnswer = 16 << 10 // bytes; an order's status is under one KB
	maxHeader = 16 << 10 // bytes
)

// connection is an HTTP client that shows one certificate.
type connection struct {
	client           *http.Client
	certificate, key string // PEM; the key is secret
}

// errPair is a certificate and a key that cannot be used together.
var errPair = errors.New("certificate and key are no pair in PEM")

// connection gives the client, made on first use. Where certificate and key do not fit,
// one of them was cached before a rotation, so both are looked at afresh.
func (s *Store) connection(ctx context.Context) (*connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		return s.current, nil
	}
	made, err := s.load(ctx, false)
	if errors.Is(err, errPair) {
		made, err = s.load(ctx, true)
	}
	if err != nil {
		return nil, err
	}
	s.current = made
	return made, nil
}

// renew replaces a client whose certificate was refused. It is false if there is no other.
func (s *Store) renew(ctx context.Context, old *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != old {
		return true // somebody else has just done it
	}
	made, err := s.load(ctx, true)
	if err != nil || made.certificate == old.certificate && made.key == old.key {
		return false
	}
	s.current = made
	old.client.CloseIdleConnections()
	s.config.Log.LogAttrs(ctx, slog.LevelInfo, "apps-in-toss refused the certificate, asking with its successor")
	return true
}

// load makes a client of what the secrets are now. What their source says in an error is
// not repeated: it may name the value.
func (s *Store) load(ctx context.Context, fresh bool) (*connection, error) {
	certificate, err := s.config.Certificate(ctx, fresh)
	if err != nil {
		return nil, errors.New("the certificate could not be had")
	}
	key, err := s.config.Key(ctx, fresh)
	if err != nil {
		return nil, errors.New("the certificate's key could not be had")
	}
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		return nil, errPair
	}
	s.watch(ctx, pair.Leaf.NotAfter)
	transport := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: s.config.Timeout}).DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			RootCAs:    s.roots,
			// Certificates would be held back, without a word, from a server that names
			// other issuers than the certificate's.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
		},
		TLSHandshakeTimeout:    s.config.Timeout,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
	return &connection{client: clientOver(transport), certificate: certificate, key: key}, nil
}

// clientOver follows no redirect: it would show the certificate to somebody else.
func clientOver(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// watch says in time that the certificate ends: from then on no purchase can be verified.
func (s *Store) watch(ctx context.Context, ends time.Time) {
	left := ends.Sub(s.config.Clock.Now())
	if left < warnOfExpiry {
		s.config.Log.LogAttrs(ctx, slog.LevelWarn, "the apps-in-toss certificate ends soon or has ended",
			slog.Time("ends", ends), slog.Int("days_left", int(left.Hours()/24)))
	}
}

// reply is what came back, read but not believed.
type reply struct {
	status  int
	body    object // nil if it was no JSON object
	err     error  // there was no answer; without address and payload
	refused bool   // the connection broke, perhaps for our certificate
}

// request asks once about an order.
func (s *Store) request(ctx context.Context, with *connection, orderID, userKey string) reply {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{"orderId": orderID})
	if err != nil {
		return reply{err: errors.New("the request cannot be written as JSON")}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address, bytes.NewReader(body))
	if err != nil {
		return reply{err: errors.New("no request could be made")}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "grantline")
	if userKey != "" {
		req.Header.Set("X-Toss-User-Key", userKey)
	}
	res, err := with.client.Do(req)
	if err != nil {
		why, refused := reason(err)
		return reply{err: errors.New(why), refused: refused}
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		why, refused := reason(err)
		return reply{err: errors.New("in the middle of the answer: " + why), refused: refused}
	}
	if len(text) > maxAnswer {
		return reply{err: errors.New("the answer is too large")}
	}
	return reply{status: res.StatusCode, body: readObject(text)}
}

// handshakeRefused is what a TLS alert of the other side is called.
const handshakeRefused = "the handshake was refused"

// reason says in our own words why there was no answer, for the text of a network error
// may quote what a stranger answered; and whether our certificate may be why. In TLS 1.3
// the refusal comes after the request was written, and a reset may overtake the alert.
func reason(err error) (why string, refused bool) {
	var (
		netErr  net.Error
		nameErr *net.DNSError
		certErr *tls.CertificateVerificationError
		opErr   *net.OpError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "the caller gave up", false
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return "no answer in time", false
	case errors.As(err, &nameErr):
		return "the host's name was not resolved", false
	case errors.As(err, &certErr):
		return "the host's certificate is not trusted", false
	case errors.As(err, &opErr) && opErr.Op == "remote error": // a TLS alert
		return handshakeRefused, true
	case errors.As(err, &opErr):
		return "the connection failed at " + opErr.Op, opErr.Op != "dial"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed", true
	default:
		return "no readable answer", false
	}
}
