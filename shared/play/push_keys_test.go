package play_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"grantline/shared/notice"
	"grantline/shared/play"
	"grantline/shared/table"
)

// pushAt is a header whose token is good for an hour from now on.
func (w *pushWorld) pushAt(kid string) http.Header {
	now := w.clock.Now()
	claims := pushGood.with("iat", now.Unix()).with("exp", now.Add(time.Hour).Unix())
	key := pushKeys().google
	if kid == "key-2" {
		key = pushKeys().next
	}
	return withToken(pushJWS(pushHead.with("kid", kid), claims, signRS(key)))
}

func (w *pushWorld) expect(status int, kid, what string) {
	w.Helper()
	if got, _ := w.send(w.pushAt(kid), pushBody(pushWrapped(pushJSON(pushNotice)))); got != status {
		w.Errorf("%s: got %d, want %d", what, got, status)
	}
}

func (w *pushWorld) expectFetches(want int, what string) {
	w.Helper()
	if got := w.google.fetched(); got != want {
		w.Errorf("%s: got %d fetches in all, want %d", what, got, want)
	}
}

func TestAnUnknownKeyIsAskedForOnceInFiveMinutes(t *testing.T) {
	w := newPushWorld(t, nil)
	w.expectFetches(0, "at the start")
	w.expect(200, "key-1", "genuine")
	w.expectFetches(1, "the first push")
	w.expect(401, "key-9", "an unknown kid")
	w.expectFetches(2, "an unknown kid")
	for range 50 {
		w.expect(401, "key-8", "another")
		w.expect(401, "key-9", "the same")
	}
	w.expectFetches(2, "a hundred of them within five minutes")
	w.clock.advance(5*time.Minute - time.Second)
	w.expect(401, "key-9", "a second before")
	w.expectFetches(2, "a second before five minutes are over")
	w.clock.advance(time.Second)
	w.expect(401, "key-9", "five minutes later")
	w.expect(401, "key-9", "and again")
	w.expectFetches(3, "five minutes later")
}

func TestAnUnknownKeyThatComesFirstIsNotAskedForTwice(t *testing.T) {
	w := newPushWorld(t, nil)
	w.expect(401, "key-9", "an unknown kid")
	w.expect(401, "key-9", "the same")
	w.expectFetches(1, "an unknown kid before any other")
}

func TestARotatedKeyIsBelievedAtOnce(t *testing.T) {
	w := newPushWorld(t, nil)
	w.expect(200, "key-1", "genuine")
	k := pushKeys()
	w.google.publish(
		jose.JSONWebKey{Key: k.google.Public(), KeyID: "key-1", Algorithm: "RS256", Use: "sig"},
		jose.JSONWebKey{Key: k.next.Public(), KeyID: "key-2", Algorithm: "RS256", Use: "sig"},
	)
	w.expect(200, "key-2", "the next key")
	w.expect(200, "key-1", "the key before it")
	w.expectFetches(2, "a rotation")
}

func TestKeysAreBelievedForAsLongAsGoogleSays(t *testing.T) {
	w := newPushWorld(t, nil)
	w.google.header.Set("Cache-Control", "public, max-age=21600")
	w.google.header.Set("Age", "600")
	w.expect(200, "key-1", "genuine")
	w.google.publish(jose.JSONWebKey{Key: pushKeys().next.Public(), KeyID: "key-2", Algorithm: "RS256", Use: "sig"})
	w.clock.advance(6*time.Hour - 10*time.Minute - time.Second)
	w.expect(200, "key-1", "a withdrawn key, within the time that Google said")
	w.expectFetches(1, "within the time that Google said")
	w.clock.advance(time.Second)
	w.expect(401, "key-1", "a withdrawn key, behind that time")
	w.expectFetches(2, "behind that time")
}

func TestKeysAreBelievedForADayAtMost(t *testing.T) {
	w := newPushWorld(t, nil)
	w.google.header.Set("Cache-Control", "max-age=31536000")
	w.expect(200, "key-1", "genuine")
	w.google.publish(jose.JSONWebKey{Key: pushKeys().next.Public(), KeyID: "key-2", Algorithm: "RS256", Use: "sig"})
	w.clock.advance(24 * time.Hour)
	w.expect(401, "key-1", "a withdrawn key, a day later")
}

// brokenGoogles are answers from which no keys come.
func brokenGoogles() map[string]func(*pushGoogle) {
	return map[string]func(*pushGoogle){
		"unreachable":  func(g *pushGoogle) { g.err = errPushOutage },
		"500":          func(g *pushGoogle) { g.status = http.StatusInternalServerError },
		"404":          func(g *pushGoogle) { g.status = http.StatusNotFound },
		"elsewhere":    func(g *pushGoogle) { g.status = http.StatusFound; g.header.Set("Location", "http://127.0.0.1/other") },
		"slow":         func(g *pushGoogle) { g.silent = true },
		"huge":         func(g *pushGoogle) { g.set = append(g.set, bytes.Repeat([]byte(" "), 256<<10)...) },
		"no JSON":      func(g *pushGoogle) { g.set = []byte("<html>") },
		"empty":        func(g *pushGoogle) { g.set = nil },
		"no keys":      func(g *pushGoogle) { g.set = []byte(`{"keys":[]}`) },
		"keys twice":   func(g *pushGoogle) { g.set = append([]byte(`{"keys":[],`), g.set[1:]...) },
		"other keys":   func(g *pushGoogle) { g.set = []byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"key-1"}]}`) },
		"certificates": func(g *pushGoogle) { g.set = []byte(`{"key-1":"-----BEGIN CERTIFICATE-----"}`) },
	}
}

// impatient gives a slow Google no time, and any other enough.
func (w *pushWorld) impatient(status int, kid, what string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	if w.google.silent {
		cancel()
	}
	defer cancel()
	hint, err := w.push.ReadHint(ctx, w.pushAt(kid), []byte(pushBody(pushWrapped(pushJSON(pushNotice)))))
	got := http.StatusOK
	if err != nil {
		w.server.Scopes[table.Default] = func(context.Context, http.Header, []byte) (notice.Hint, error) { return notice.Hint{}, err }
		got, _ = w.send(nil, "")
		w.server.Scopes[table.Default] = w.push.ReadHint
	} else if hint.Type != "subscription.4" {
		w.Errorf("%s: got a hint of type %q, want subscription.4", what, hint.Type)
	}
	if got != status {
		w.Errorf("%s: got %d and %v, want %d", what, got, err, status)
	}
}

func TestStaleKeysServeWhileGoogleIsDown(t *testing.T) {
	for name, breaks := range brokenGoogles() {
		w := newPushWorld(t, nil)
		w.expect(200, "key-1", "genuine")
		breaks(w.google)
		w.clock.advance(72 * time.Hour)
		w.impatient(200, "key-1", name+": a known key")
		w.impatient(200, "key-1", name+": again")
		w.expectFetches(2, name+": within five minutes")
		// Of a key that is not known nobody can say whether it is forged.
		w.impatient(503, "key-2", name+": an unknown key")
		w.impatient(503, "key-2", name+": again")
		w.expectFetches(3, name+": an unknown key")
		w.google.publish(jose.JSONWebKey{Key: pushKeys().next.Public(), KeyID: "key-2", Algorithm: "RS256", Use: "sig"})
		w.clock.advance(5 * time.Minute)
		w.expect(200, "key-2", name+": once Google is back")
		w.expect(401, "key-1", name+": the key that is gone")
	}
}

func TestWithoutKeysAPushIsSentAgain(t *testing.T) {
	for name, breaks := range brokenGoogles() {
		w := newPushWorld(t, nil)
		breaks(w.google)
		w.impatient(503, "key-1", name)
		w.google.publish(jose.JSONWebKey{Key: pushKeys().google.Public(), KeyID: "key-1", Algorithm: "RS256", Use: "sig"})
		w.expect(200, "key-1", name+": once Google is back")
	}
}

func TestNobodyIsAskedBeforeTheFirstPush(t *testing.T) {
	w := newPushWorld(t, func(c *play.PushConfig) { c.Subscription = "" })
	w.expectFetches(0, "at the start")
}
