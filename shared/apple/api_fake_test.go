package apple_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

const (
	apiIssuer = "57246542-96fe-1a63-e053-0824d011072a"
	apiKeyID  = "2X9R4HXF34"
	apiBundle = "com.example.app"
	apiTID    = "2000000912345678"
	apiSigned = "eyJhbGciOiJFUzI1NiJ9.eyJ0cmFuc2FjdGlvbklkIjoi.c2lnbmF0dXJl"
	apiSaying = "message of apple" // what Apple says of an error, which is shown nowhere
)

var (
	inProduction = apple.Place{Environment: apple.Production, BundleID: apiBundle}
	inSandbox    = apple.Place{Environment: apple.Sandbox, BundleID: apiBundle}
	apiNow       = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
)

// apiKeys are two In-App Purchase keys: the second takes the first's place in rotations.
var apiKeys = sync.OnceValue(func() (pair [2]*ecdsa.PrivateKey) {
	for i := range pair {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		pair[i] = key
	}
	return pair
})

func p8(key *ecdsa.PrivateKey) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// manualClock stands until it is told otherwise or slept on.
type manualClock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
	onNap func() // at each sleep
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	nap := c.onNap
	c.slept = append(c.slept, d)
	c.now = c.now.Add(d)
	c.mu.Unlock()
	if nap != nil {
		nap()
	}
	return ctx.Err()
}

func (c *manualClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *manualClock) naps() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slept
}

// turn is one answer of a fake App Store.
type turn struct {
	status int
	body   string
	header http.Header
	how    string // hang, reset, cut: no whole answer at all
}

func says(body string) turn { return turn{status: http.StatusOK, body: body} }

// fails is Apple's way to say no.
func fails(code int64) turn {
	status := int(code / 10_000)
	return turn{status: status, body: fmt.Sprintf(`{"errorCode":%d,"errorMessage":%q}`, code, apiSaying)}
}

// unauthenticated is a 401 as Apple sends it, which is no JSON.
var unauthenticated = turn{status: http.StatusUnauthorized, body: "Unauthenticated\n\nRequest ID: " + apiSaying}

func found() turn { return says(`{"signedTransactionInfo":"` + apiSigned + `"}`) }

// asked is a request that reached a fake App Store.
type asked struct {
	environment  apple.Environment
	method, path string // the path escaped, as it was sent
	query        url.Values
	body         string
	header       http.Header
	token        string
	bundle       string // of the token
}

// appStore answers for both environments by a script.
type appStore struct {
	t      *testing.T
	clock  *manualClock
	log    *apiLog
	urls   map[apple.Environment]string
	client *http.Transport

	mu      sync.Mutex
	script  func(asked) turn
	seen    []asked
	arrived chan struct{} // of requests that hang
}

// apiLog collects what is logged.
type apiLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *apiLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *apiLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newAppStore opens two hosts that answer by turns, the last of them for ever.
func newAppStore(t *testing.T, turns ...turn) *appStore {
	t.Helper()
	s := &appStore{t: t, clock: &manualClock{now: apiNow}, log: &apiLog{}, urls: map[apple.Environment]string{}, arrived: make(chan struct{}, 16)}
	s.client = apple.APITransport()
	roots := x509.NewCertPool()
	for _, environment := range []apple.Environment{apple.Production, apple.Sandbox} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(environment, w, r) }))
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		server.StartTLS()
		t.Cleanup(server.Close)
		s.urls[environment] = server.URL
		roots.AddCert(server.Certificate())
	}
	t.Cleanup(s.client.CloseIdleConnections)
	s.client.TLSClientConfig.RootCAs = roots
	s.answers(turns...)
	return s
}

func (s *appStore) answers(turns ...turn) {
	next := 0
	s.by(func(asked) turn {
		t := turns[min(next, len(turns)-1)]
		next++
		return t
	})
}

// by sets the script, which is asked under a lock.
func (s *appStore) by(script func(asked) turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script, s.seen = script, nil
}

func (s *appStore) requests() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

func (s *appStore) serve(environment apple.Environment, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("reading the request: %v", err)
	}
	a := asked{environment: environment, method: r.Method, path: r.URL.EscapedPath(), query: r.URL.Query(), body: string(body), header: r.Header}
	a.token, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.bundle, _ = claimsOf(s.t, a.token)["bid"].(string)
	s.mu.Lock()
	turn := s.script(a)
	s.seen = append(s.seen, a)
	s.mu.Unlock()

	for name, values := range turn.header {
		w.Header()[name] = values
	}
	switch turn.how {
	case "hang":
		s.arrived <- struct{}{}
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case "reset":
		hangUp(s.t, w)
	case "cut":
		w.Header().Set("Content-Length", fmt.Sprint(len(turn.body)+10))
		w.WriteHeader(turn.status)
		fmt.Fprint(w, turn.body)
		if err := http.NewResponseController(w).Flush(); err != nil {
			s.t.Errorf("flush: %v", err)
		}
		hangUp(s.t, w)
	default:
		w.WriteHeader(turn.status)
		fmt.Fprint(w, turn.body)
	}
}

// hangUp resets a connection.
func hangUp(t *testing.T, w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Errorf("hijack: %v", err)
		return
	}
	if tcp, ok := conn.(*tls.Conn).NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
}

// api is an API that asks s.
func (s *appStore) api(changes ...func(*apple.APIConfig)) *apple.API {
	s.t.Helper()
	config := apple.APIConfig{
		URL: s.urls[apple.Production], SandboxURL: s.urls[apple.Sandbox],
		IssuerID: apiIssuer, KeyID: apiKeyID,
		PrivateKey: func(context.Context, bool) (string, error) { return p8(apiKeys()[0]), nil },
		Attempt:    time.Minute,
		Clock:      s.clock,
		Log:        slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Transport:  s.client,
	}
	for _, change := range changes {
		change(&config)
	}
	api, err := apple.NewAPI(config)
	if err != nil {
		s.t.Fatalf("NewAPI: got %v, want no error", err)
	}
	return api
}

// silent fails the test if a log or an error shows what it must not.
func (s *appStore) silent(errs ...error) {
	s.t.Helper()
	texts := []string{s.log.String()}
	for _, err := range errs {
		texts = append(texts, fmt.Sprint(err))
	}
	secrets := []string{apiTID, apiSaying, apiSigned, "127.0.0.1", "BEGIN", apiIssuer}
	for _, r := range s.requests() {
		secrets = append(secrets, r.token)
	}
	for _, text := range texts {
		for _, secret := range secrets {
			if secret != "" && strings.Contains(text, secret) {
				s.t.Errorf("got %q in %q, want it nowhere", secret, text)
			}
		}
	}
}

// part decodes one segment of a JWT by hand.
func part(t testing.TB, token string, segment int) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Errorf("got a token of %d segments, want 3", len(parts))
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[segment])
	if err != nil {
		t.Errorf("segment %d: %v", segment, err)
	}
	var into map[string]any
	if err := json.Unmarshal(text, &into); err != nil {
		t.Errorf("segment %d: %v", segment, err)
	}
	return into
}

func claimsOf(t testing.TB, token string) map[string]any { return part(t, token, 1) }

// signedWith says whether a token's signature is of a key (RFC 7518, 3.4).
func signedWith(t testing.TB, token string, key *ecdsa.PrivateKey) bool {
	t.Helper()
	at := strings.LastIndex(token, ".")
	signature, err := base64.RawURLEncoding.DecodeString(token[at+1:])
	if err != nil || len(signature) != 64 {
		t.Errorf("got a signature of %d bytes (%v), want 64", len(signature), err)
		return false
	}
	digest := sha256.Sum256([]byte(token[:at]))
	return ecdsa.Verify(&key.PublicKey, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}

// kindIs fails the test unless err is of one kind and no other, with a cause that says so.
func kindIs(t testing.TB, what string, err, kind error) *apple.APIError {
	t.Helper()
	if _, ok := errors.AsType[*fault.Error](err); !ok {
		t.Errorf("%s: got %v, want a fault", what, err)
		return &apple.APIError{}
	}
	for _, k := range []error{fault.Malformed, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Conflict, fault.Invalid, fault.Unavailable} {
		if got, want := errors.Is(err, k), errors.Is(k, kind); got != want {
			t.Errorf("%s: got %v, want %v and nothing else", what, err, kind)
		}
	}
	failed, ok := errors.AsType[*apple.APIError](err)
	if ok == errors.Is(kind, fault.Malformed) {
		t.Errorf("%s: got the cause %v, want one exactly where something was asked", what, failed)
	}
	if failed == nil {
		return &apple.APIError{}
	}
	if failed.Endpoint == "" {
		t.Errorf("%s: got no endpoint, want its name", what)
	}
	return failed
}
