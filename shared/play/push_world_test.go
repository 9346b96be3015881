package play_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"grantline/shared/notice"
	"grantline/shared/play"
	"grantline/shared/table"
	"grantline/shared/web"
)

const (
	pushAudience     = "https://hooks.example.com/webhooks/play"
	pushEmail        = "push@example-project.iam.gserviceaccount.com"
	pushSubscription = "projects/example-project/subscriptions/play-rtdn"
	pushPackage      = "com.example.app"
	pushSecond       = "com.example.second"
	pushMessage      = "136969346945"
	pushToken        = "kfkcjmaonbcdaafoijinjlcn.AO-J1OzTokenOfAPurchase"
	pushOrder        = "GPA.3313-5503-3858-32549"
)

var pushNow = time.Date(2026, 11, 20, 2, 14, 7, 0, time.UTC)

// pushClaims is a JSON object of a token, or any other.
type pushClaims map[string]any

// with is a copy in which a member is another; nil takes it away.
func (c pushClaims) with(name string, value any) pushClaims {
	next := maps.Clone(c)
	if next[name] = value; value == nil {
		delete(next, name)
	}
	return next
}

var (
	pushHead = pushClaims{"alg": "RS256", "kid": "key-1", "typ": "JWT"}
	pushGood = pushClaims{
		"iss": "https://accounts.google.com", "aud": pushAudience, "azp": "113774264463038321964", "sub": "113774264463038321964",
		"email": pushEmail, "email_verified": true, "iat": pushNow.Unix(), "exp": pushNow.Add(time.Hour).Unix(),
	}
)

// pushKeys are Google's and a thief's, made once since RSA takes its time.
var pushKeys = sync.OnceValue(func() (k struct {
	google, next, thief *rsa.PrivateKey
	iap                 *ecdsa.PrivateKey
},
) {
	var err error
	for _, key := range []**rsa.PrivateKey{&k.google, &k.next, &k.thief} {
		if *key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	if k.iap, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		panic(err)
	}
	return k
})

// pushGoogle serves a key set, and counts.
type pushGoogle struct {
	mu      sync.Mutex
	status  int
	header  http.Header
	set     []byte
	err     error
	silent  bool // it answers when nobody waits any more
	fetches int
}

func newPushGoogle() *pushGoogle {
	g := &pushGoogle{}
	k := pushKeys()
	g.publish(
		jose.JSONWebKey{Key: k.google.Public(), KeyID: "key-1", Algorithm: "RS256", Use: "sig"},
		jose.JSONWebKey{Key: k.iap.Public(), KeyID: "iap", Algorithm: "ES256", Use: "sig"},
		jose.JSONWebKey{Key: k.google.Public(), KeyID: "enc", Algorithm: "RSA-OAEP", Use: "enc"},
	)
	return g
}

// publish replaces the key set, and ends an outage.
func (g *pushGoogle) publish(keys ...jose.JSONWebKey) {
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		panic(err)
	}
	g.answer(http.StatusOK, set)
}

func (g *pushGoogle) answer(status int, set []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status, g.set, g.err, g.silent = status, set, nil, false
	g.header = http.Header{"Content-Type": {"application/json; charset=UTF-8"}, "Cache-Control": {"public, max-age=21600, must-revalidate, no-transform"}}
}

func (g *pushGoogle) fetched() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fetches
}

func (g *pushGoogle) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fetches++
	if until, bounded := r.Context().Deadline(); !bounded || time.Until(until) > 8*time.Second {
		return nil, errors.New("a request that may take longer than the answer of a push")
	}
	if g.silent {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if g.err != nil {
		return nil, g.err
	}
	return &http.Response{
		StatusCode: g.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: g.header, Body: io.NopCloser(bytes.NewReader(g.set)),
	}, nil
}

// pushClock stands until it is moved.
type pushClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *pushClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *pushClock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (c *pushClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// pushQueue keeps what was sent.
type pushQueue struct {
	hints []notice.Hint
	err   error
}

func (q *pushQueue) Send(_ context.Context, _ string, hints []notice.Hint) (int, error) {
	if q.err != nil {
		return 0, q.err
	}
	q.hints = append(q.hints, hints...)
	return len(hints), nil
}

// pushWorld is the webhook as a function serves it, with a Google that behaves.
type pushWorld struct {
	testing.TB
	google *pushGoogle
	clock  *pushClock
	queue  *pushQueue
	logs   *bytes.Buffer
	push   *play.Push
	server *web.Webhooks
}

func newPushWorld(tb testing.TB, change func(*play.PushConfig)) *pushWorld {
	tb.Helper()
	w := &pushWorld{TB: tb, google: newPushGoogle(), clock: &pushClock{at: pushNow}, queue: &pushQueue{}, logs: &bytes.Buffer{}}
	log := slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := play.PushConfig{
		Audience: pushAudience, Email: pushEmail, KeysURL: "http://127.0.0.1/certs", Packages: []string{pushPackage, pushSecond},
		Subscription: pushSubscription, Clock: w.clock, Log: log, Transport: w.google,
	}
	if change != nil {
		change(&c)
	}
	var err error
	if w.push, err = play.NewPush(c); err != nil {
		tb.Fatal(err)
	}
	w.server = &web.Webhooks{
		Provider: "play", Clock: w.clock, Log: log, Queue: w.queue, Cuts: true, Scopes: map[table.Scope]web.Webhook{table.Default: w.push.ReadHint},
	}
	return w
}

// send pushes and returns the answer's status, and the hint that was queued, if any.
func (w *pushWorld) send(header http.Header, body string) (int, notice.Hint) {
	w.Helper()
	w.queue.hints = nil
	r := httptest.NewRequestWithContext(w.Context(), http.MethodPost, "/webhooks/play", strings.NewReader(body))
	maps.Copy(r.Header, header)
	rw := httptest.NewRecorder()
	w.server.ServeHTTP(rw, r)
	for _, secret := range []string{"eyJ", "gserviceaccount", pushToken, "AO-J1O", pushOrder, pushAudience, "127.0.0.1/certs", pushMessage} {
		if strings.Contains(w.logs.String(), secret) || strings.Contains(rw.Body.String(), secret) {
			w.Errorf("got %q in the log %s or the answer %s, want it in neither", secret, w.logs, rw.Body)
		}
	}
	if rw.Code != http.StatusOK {
		if len(w.queue.hints) != 0 {
			w.Errorf("got %d messages beside %d, want none", len(w.queue.hints), rw.Code)
		}
		return rw.Code, notice.Hint{}
	}
	if len(w.queue.hints) != 1 {
		w.Fatalf("got %d messages beside an answer of 200, want one", len(w.queue.hints))
	}
	return rw.Code, w.queue.hints[0]
}

// withToken is a header with a token.
func withToken(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// genuinePush is a header as Pub/Sub sends it.
func genuinePush() http.Header {
	return withToken(pushJWS(pushHead, pushGood, signRS(pushKeys().google)))
}

func pushSegment(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }

func pushJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// pushJWS makes a token of anything, so that tests can make what no library would.
func pushJWS(head, claims pushClaims, sign func([]byte) []byte) string {
	return pushJWSOf(pushJSON(head), pushJSON(claims), sign)
}

func pushJWSOf(head, claims []byte, sign func([]byte) []byte) string {
	signed := pushSegment(head) + "." + pushSegment(claims)
	return signed + "." + pushSegment(sign([]byte(signed)))
}

func signRS(key *rsa.PrivateKey) func([]byte) []byte {
	return func(signed []byte) []byte {
		sum := sha256.Sum256(signed)
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			panic(err)
		}
		return signature
	}
}

func signES(key *ecdsa.PrivateKey) func([]byte) []byte {
	return func(signed []byte) []byte {
		sum := sha256.Sum256(signed)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

func signHS(secret []byte) func([]byte) []byte {
	return func(signed []byte) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write(signed)
		return mac.Sum(nil)
	}
}

var errPushOutage = errors.New("no route to host")

// pushNotice is a notification of a purchase.
var pushNotice = pushClaims{
	"version": "1.0", "packageName": pushPackage, "eventTimeMillis": "1503349566168",
	"subscriptionNotification": pushClaims{"version": "1.0", "notificationType": 4, "purchaseToken": pushToken},
}

// pushWrapped is a body as Pub/Sub sends it.
func pushWrapped(data []byte) pushClaims {
	return pushClaims{
		"message": pushClaims{
			"attributes": pushClaims{}, "data": base64.StdEncoding.EncodeToString(data), "messageId": pushMessage, "message_id": pushMessage,
			"publishTime": "2026-11-20T02:14:06.123Z", "publish_time": "2026-11-20T02:14:06.123Z",
		},
		"subscription": pushSubscription,
	}
}

func pushBody(c pushClaims) string { return string(pushJSON(c)) }
