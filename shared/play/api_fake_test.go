package play_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/fault"
	"grantline/shared/play"
	"grantline/shared/transport"
)

const (
	apiPackage = "com.example.app"
	apiProduct = "gems_100"
	apiToken   = "opaque-token.AO-J1Oz_of_a_purchase"
	apiOrder   = "GPA.3372-4150-8203-17209..4"
	apiEmail   = "play@project-of-ours.iam.gserviceaccount.com"
	apiAccess  = "ya29.access-token-" // and a number
	apiRoot    = "/androidpublisher/v3/applications/" + apiPackage + "/"

	aProduct      = `{"kind":"androidpublisher#productPurchaseV2","purchaseStateContext":{"purchaseState":"PURCHASED"},"orderId":"` + apiOrder + `"}`
	aSubscription = `{"kind":"androidpublisher#subscriptionPurchaseV2","subscriptionState":"SUBSCRIPTION_STATE_ACTIVE","lineItems":[{"productId":"premium"}]}`
)

var apiNow = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

// apiKeys are two keys of a service account: the second takes the first's place.
var apiKeys = sync.OnceValue(func() (pair [2]*rsa.PrivateKey) {
	for i := range pair {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		pair[i] = key
	}
	return pair
})

func pemOf(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// apiClock stands until it is moved or slept on.
type apiClock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
	onNap func()
}

func (c *apiClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *apiClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	c.slept = append(c.slept, d)
	c.now = c.now.Add(d)
	nap := c.onNap
	c.mu.Unlock()
	if nap != nil {
		nap()
	}
	return ctx.Err()
}

func (c *apiClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *apiClock) naps() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slept
}

// apiLines collects what is logged.
type apiLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *apiLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *apiLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// apiTurn is one answer of the fake Google.
type apiTurn struct {
	status int
	body   string
	header http.Header
	how    string // hang, reset, cut: no whole answer
}

func apiSays(body string) apiTurn { return apiTurn{status: http.StatusOK, body: body} }

// apiFails is Google's way to say no.
func apiFails(status int, reason, message string) apiTurn {
	return apiTurn{status: status, body: fmt.Sprintf(`{"error":{"code":%d,"message":%q,"errors":[{"message":%q,"domain":"androidpublisher","reason":%q}]}}`, status, message, message, reason)}
}

// apiAsked is a request that reached the fake Google.
type apiAsked struct {
	method, path, query, body, bearer string
	header                            http.Header
}

// google is the Play Developer API and the token endpoint, by scripts.
type google struct {
	t         *testing.T
	clock     *apiClock
	log       *apiLines
	server    *httptest.Server
	transport *http.Transport

	mu      sync.Mutex
	script  func(apiAsked) apiTurn
	grant   func(apiAsked) apiTurn // nil: gives numbered tokens
	seen    []apiAsked
	granted []apiAsked
	fresh   []bool   // of each look at the credentials
	secrets []string // credentials: the first, and what is there for a fresh look
	arrived chan struct{}
}

// newGoogle answers by turns, the last of them for ever.
func newGoogle(t *testing.T, turns ...apiTurn) *google {
	t.Helper()
	g := &google{t: t, clock: &apiClock{now: apiNow}, log: &apiLines{}, arrived: make(chan struct{}, 64)}
	g.server = httptest.NewUnstartedServer(http.HandlerFunc(g.serve))
	g.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	g.server.StartTLS()
	t.Cleanup(g.server.Close)
	g.transport = transport.Kept(30 * time.Second)
	roots := x509.NewCertPool()
	roots.AddCert(g.server.Certificate())
	g.transport.TLSClientConfig.RootCAs = roots
	t.Cleanup(g.transport.CloseIdleConnections)
	g.secrets = []string{g.account(apiKeys()[0])}
	g.answers(turns...)
	return g
}

func (g *google) account(key *rsa.PrivateKey, changes ...func(map[string]any)) string {
	file := map[string]any{
		"type": "service_account", "project_id": "project-of-ours", "private_key_id": "key-1", "private_key": pemOf(key),
		"client_email": apiEmail, "client_id": "1", "token_uri": g.server.URL + "/token", "universe_domain": "googleapis.com",
	}
	for _, change := range changes {
		change(file)
	}
	text, err := json.Marshal(file)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

func (g *google) answers(turns ...apiTurn) {
	next := 0
	g.by(func(apiAsked) apiTurn {
		turn := turns[min(next, len(turns)-1)]
		next++
		return turn
	})
}

// by sets the script, which is asked under a lock.
func (g *google) by(script func(apiAsked) apiTurn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.script, g.seen, g.granted, g.fresh = script, nil, nil, nil
}

func (g *google) requests() []apiAsked {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen
}

func (g *google) grants() []apiAsked {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.granted
}

func (g *google) looks() []bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fresh
}

func (g *google) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		g.t.Errorf("reading the request: %v", err)
	}
	asked := apiAsked{method: r.Method, path: r.URL.EscapedPath(), query: r.URL.RawQuery, body: string(body), header: r.Header}
	asked.bearer, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	g.mu.Lock()
	var turn apiTurn
	if strings.HasPrefix(r.URL.Path, "/androidpublisher/") {
		turn = g.script(asked)
		g.seen = append(g.seen, asked)
	} else {
		g.granted = append(g.granted, asked)
		turn = apiSays(fmt.Sprintf(`{"access_token":"%s%d","expires_in":3599,"token_type":"Bearer"}`, apiAccess, len(g.granted)))
		if g.grant != nil {
			turn = g.grant(asked)
		}
	}
	g.mu.Unlock()

	for name, values := range turn.header {
		w.Header()[name] = values
	}
	switch turn.how {
	case "hang":
		g.arrived <- struct{}{}
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case "reset":
		apiHangUp(g.t, w)
	case "cut":
		w.Header().Set("Content-Length", fmt.Sprint(len(turn.body)+10))
		w.WriteHeader(turn.status)
		fmt.Fprint(w, turn.body)
		if err := http.NewResponseController(w).Flush(); err != nil {
			g.t.Errorf("flush: %v", err)
		}
		apiHangUp(g.t, w)
	default:
		w.WriteHeader(turn.status)
		fmt.Fprint(w, turn.body)
	}
}

// apiHangUp resets a connection.
func apiHangUp(t *testing.T, w http.ResponseWriter) {
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

func (g *google) config(changes ...func(*play.APIConfig)) play.APIConfig {
	c := play.APIConfig{
		URL: g.server.URL,
		Credentials: func(_ context.Context, fresh bool) (string, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.fresh = append(g.fresh, fresh)
			if fresh {
				return g.secrets[len(g.secrets)-1], nil
			}
			return g.secrets[0], nil
		},
		Attempt: time.Minute, Clock: g.clock, Transport: g.transport,
		Log: slog.New(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, change := range changes {
		change(&c)
	}
	return c
}

// api is an API that asks g.
func (g *google) api(changes ...func(*play.APIConfig)) *play.API {
	g.t.Helper()
	a, err := play.NewAPI(g.config(changes...))
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

// alarms counts the lines that a person is called for.
func (g *google) alarms() int { return strings.Count(g.log.String(), `"alarm":true`) }

// apiKindIs checks an error's kind, and what it is besides.
func apiKindIs(t *testing.T, about string, err, kind, is error) {
	t.Helper()
	for _, one := range []error{fault.Malformed, fault.Invalid, fault.NotFound, fault.Unavailable} {
		if got, want := errors.Is(err, one), errors.Is(kind, one); got != want {
			t.Errorf("%s: got %v, is it %v: %v, want %v", about, err, one, got, want)
		}
	}
	for _, one := range []error{play.ErrGone, play.ErrState, play.ErrConfiguration, play.ErrQuota} {
		if got, want := errors.Is(err, one), errors.Is(is, one); got != want {
			t.Errorf("%s: got %v, is it %v: %v, want %v", about, err, one, got, want)
		}
	}
}
