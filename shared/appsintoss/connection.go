package appsintoss

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"grantline/shared/purchase"
)

const (
	maxAnswer = 16 << 10 // bytes; an order's status is under one KB
	maxHeader = 16 << 10 // bytes
)

// reread is how long the secrets are taken to be what they were, where Toss is content: so
// that a certificate is shown once it is valid, and its end is not news of yesterday.
const reread = time.Hour

// connection is an HTTP client for each certificate that can be shown.
type connection struct {
	client *http.Client   // shows the newest; nil where there is none to show
	others []*http.Client // show those before it, the newest first

	certificate, key string    // what the secrets were; the key is secret
	until            time.Time // when they are read again, zero for never
	ends             time.Time // when the last ends that can be shown
	shown            int       // which of the clients Toss took last; guarded by Store.mu
	// rung is when each alarm last went off; guarded by Store.mu.
	rung map[string]time.Time
}

// connection gives the clients, made on first use. Where nothing can be shown, one of the
// secrets may have been cached before a rotation, so both are looked at afresh.
func (s *Store) connection(ctx context.Context) (*connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		s.current = &connection{}
	}
	now := s.config.Clock.Now()
	// A clock that was set back is no reason to wait for longer.
	if left := s.current.until.Sub(now); s.current.client != nil && (s.current.until.IsZero() || left > 0 && left <= reread) {
		return s.current, nil
	}
	made, err := s.load(ctx, false)
	if errors.Is(err, errPair) {
		made, err = s.load(ctx, true)
	}
	if err == nil {
		s.replace(made)
		return made, nil
	}
	if errors.Is(err, errPair) {
		s.ring(ctx, "No apps-in-toss certificate can be shown that the secrets hold.", slog.String("why", err.Error()))
	}
	if s.current.client == nil || now.After(s.current.ends) {
		return nil, err
	}
	s.current.until = now.Add(reread) // what Toss took until now goes on
	return s.current, nil
}

// renew replaces clients whose certificates were refused. It is false if there are no others.
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
	s.replace(made)
	s.config.Log.LogAttrs(ctx, slog.LevelInfo, "apps-in-toss refused the certificate, asking with its successor")
	return true
}

// replace puts made in the place of the current one. The caller holds mu.
func (s *Store) replace(made *connection) {
	for _, client := range s.current.clients() {
		client.CloseIdleConnections()
	}
	s.current = made
}

// load makes clients of what the secrets are now. What their source says in an error is
// not repeated: it may name the value. The caller holds mu.
func (s *Store) load(ctx context.Context, fresh bool) (*connection, error) {
	certificate, err := s.config.Certificate(ctx, fresh)
	if err != nil {
		return nil, errors.New("the certificate could not be had")
	}
	key, err := s.config.Key(ctx, fresh)
	if err != nil {
		return nil, errors.New("the certificate's key could not be had")
	}
	all, err := pairs(certificate, key)
	if err != nil {
		return nil, err
	}
	now := s.config.Clock.Now()
	valid := validAt(all, now)
	if len(valid) == 0 {
		return nil, fmt.Errorf("%w: none is valid now", errPair)
	}
	s.watch(ctx, lastToEnd(all))
	made := &connection{certificate: certificate, key: key, until: now.Add(reread), ends: lastToEnd(valid), rung: s.current.rung}
	for i, pair := range valid {
		if client := s.showing(pair); i == 0 {
			made.client = client
		} else {
			made.others = append(made.others, client)
		}
	}
	return made, nil
}

// showing makes a client that shows one certificate.
func (s *Store) showing(pair tls.Certificate) *http.Client {
	return clientOver(&http.Transport{
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
	})
}

// clients are all of them, in the order in which their certificates are shown.
func (c *connection) clients() []*http.Client {
	if c.client == nil {
		return nil
	}
	return append([]*http.Client{c.client}, c.others...)
}

// clientOver follows no redirect: it would show the certificate to somebody else.
func clientOver(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// watch says in time that the last certificate ends: from then on no purchase can be
// verified.
func (s *Store) watch(ctx context.Context, ends time.Time) {
	if left := ends.Sub(s.config.Clock.Now()); left <= warnOfExpiry {
		s.ring(ctx, "The last apps-in-toss certificate ends soon.", slog.Time("ends", ends), slog.Int("days_left", int(left.Hours()/24)))
	}
}

// ring has a person called, at most once a day for each thing that is said. The caller holds mu.
func (s *Store) ring(ctx context.Context, says string, about ...slog.Attr) {
	now := s.config.Clock.Now()
	if age := now.Sub(s.current.rung[says]); age >= 0 && age < 24*time.Hour {
		return
	}
	if s.current.rung == nil {
		s.current.rung = map[string]time.Time{}
	}
	s.current.rung[says] = now
	s.config.Log.LogAttrs(ctx, slog.LevelError, says, append([]slog.Attr{slog.Bool("alarm", true)}, about...)...)
}

// reply is what came back, read but not believed.
type reply struct {
	status  int
	body    object // nil if it was no JSON object
	err     error  // there was no answer; without address and payload
	refused bool   // the connection broke, perhaps for our certificate
}

// request asks about an order, with the certificate that Toss took last. Where Toss refuses
// it the next one is shown, until one is taken or all were refused.
func (s *Store) request(ctx context.Context, with *connection, orderID, userKey string) reply {
	clients := with.clients()
	s.mu.Lock()
	first := with.shown
	s.mu.Unlock()
	var got reply
	for i := range clients {
		at := (first + i) % len(clients)
		got = s.ask(ctx, clients[at], orderID, userKey)
		if judge(got, orderID, purchase.Proof{}, time.Time{}).refused && ctx.Err() == nil {
			continue
		}
		if i > 0 && got.err == nil {
			s.mu.Lock()
			with.shown = at
			s.mu.Unlock()
			s.config.Log.LogAttrs(ctx, slog.LevelWarn, "apps-in-toss refused a certificate, and took another")
		}
		break
	}
	return got
}

// ask asks once about an order.
func (s *Store) ask(ctx context.Context, client *http.Client, orderID, userKey string) reply {
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
	res, err := client.Do(req)
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
