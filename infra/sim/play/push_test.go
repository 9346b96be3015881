package play_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/play"
	"grantline/infra/sim/stage"
)

// keys are the published keys of push tokens.
func (p *shop) keys() jose.JSONWebKeySet {
	p.t.Helper()
	status, text, header := p.ask("GET", "/oauth2/v3/certs", "", "")
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(text), &set); status != 200 || err != nil {
		p.t.Fatalf("keys: got %d %.80s, want a set", status, text)
	}
	if got := header.Get("Cache-Control"); got != "public, max-age=21600, must-revalidate, no-transform" {
		p.t.Errorf("Cache-Control: got %q, want six hours", got)
	}
	return set
}

// claimsOf reads the token of an arrival, if it is signed by one of the keys.
func claimsOf(header http.Header, set jose.JSONWebKeySet) (claims map[string]any, ok bool) {
	token, err := jwt.ParseSigned(strings.TrimPrefix(header.Get("Authorization"), "Bearer "), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, false
	}
	known := set.Key(token.Headers[0].KeyID)
	return claims, len(known) == 1 && token.Claims(known[0].Key, &claims) == nil
}

func TestPushCarriesATokenOfGooglesShape(t *testing.T) {
	p := newShop(t, play.Options{})
	p.buy(play.Purchase{ProductID: "gems_100"})
	a := p.wants("oneTime.1")[0].arrival
	claims, ok := claimsOf(a.Header, p.keys())
	if !ok {
		t.Fatal("got a token that is not signed by a published key")
	}
	want := map[string]any{
		"iss": "https://accounts.google.com", "aud": play.PushAudience, "email": play.PushEmail, "email_verified": true,
		"sub": claims["azp"], "azp": claims["azp"], "iat": 1772323200.0, "exp": 1772326800.0,
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims differ (-want +got):\n%s", diff)
	}
	message, _ := a.Body["message"].(map[string]any)
	if a.Path != "/webhooks/play" || a.Body["subscription"] != play.PushSubscription || message["messageId"] == "" || message["messageId"] != message["message_id"] ||
		message["publishTime"] != "2026-03-01T00:00:00Z" {
		t.Errorf("got %s %s, want it wrapped", a.Path, a.Raw)
	}
}

func TestPushMayBeUnwrapped(t *testing.T) {
	p := newShop(t, play.Options{})
	for _, shape := range []string{"unwrapped", "metadata"} {
		p.must(p.Set(play.Settings{Push: shape}))
		p.buy(play.Purchase{ProductID: "gems_100"})
		a := p.wants("oneTime.1")[0].arrival
		if a.Body["packageName"] != play.Package {
			t.Errorf("%s: got %s, want the notification alone", shape, a.Raw)
		}
		if got := a.Header.Get("X-Goog-Pubsub-Message-Id"); (got != "") != (shape == "metadata") {
			t.Errorf("%s: got message id %q, want one only with metadata", shape, got)
		}
	}
}

func TestMessageComesAgainUntilItIsAcknowledgedOrAWeekHasPassed(t *testing.T) {
	p := newShop(t, play.Options{})
	p.receiver.Answer(503)
	bought := p.buy(play.Purchase{ProductID: "gems_100"})
	p.must(p.acknowledge("gems_100", bought.PurchaseToken))
	p.advance(40 * time.Minute)
	var got []int
	list := p.words()
	for _, w := range list {
		got = append(got, int(w.arrival.At.Sub(list[0].arrival.At)/time.Second))
		if w.id != list[0].id {
			t.Errorf("got message %s, want %s again", w.id, list[0].id)
		}
		if claims, ok := claimsOf(w.arrival.Header, p.keys()); !ok || claims["iat"] != float64(w.arrival.At.Unix()) {
			t.Errorf("got claims %v, want a fresh token", claims)
		}
	}
	if diff := cmp.Diff([]int{0, 10, 30, 70, 150, 310, 630, 1230, 1830}, got); diff != "" {
		t.Errorf("seconds differ (-want +got):\n%s", diff)
	}
	for _, status := range []int{203, 205, 301, 400} {
		p.receiver.Answer(status)
		p.advance(20 * time.Minute)
		if got := len(p.words()); got != 2 {
			t.Errorf("%d: got %d in 20 minutes, want it again each time", status, got)
		}
	}
	p.days(8)
	p.seen = len(p.receiver.Arrivals())
	p.days(8)
	p.wants()
	for _, status := range []int{200, 201, 202, 204} {
		p.receiver.Answer(status)
		p.must2(p.TestNotification())
		p.wants("test")
		p.advance(time.Hour)
		p.wants()
	}
	p.must2(p.Republish(play.Republished{}))
	p.wants("test")
}

func (p *shop) must2(_ map[string]string, err error) {
	p.t.Helper()
	p.must(err)
}

func TestRepublishedMessageHasAnotherID(t *testing.T) {
	p := newShop(t, play.Options{})
	p.buy(play.Purchase{ProductID: "gems_100"})
	first := p.wants("oneTime.1")[0]
	p.must2(p.Republish(play.Republished{MessageID: first.id}))
	if again := p.wants("oneTime.1")[0]; again.id == first.id || again.id == "" {
		t.Errorf("got %q, want another id than %q", again.id, first.id)
	}
	if _, err := p.Republish(play.Republished{MessageID: "x"}); err == nil {
		t.Error("unknown: got it sent, want it refused")
	}
}

func TestAnyNotificationCanBeSent(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.owned(play.Purchase{})
	p.must2(p.Notify(play.Notice{Type: 21, PurchaseToken: bought.PurchaseToken}))
	p.wants("subscription.21")
	p.must2(p.Notify(play.Notice{Data: json.RawMessage(`{"version":"1.0","else":{}}`)}))
	if got := p.wants("")[0].notice["else"]; got == nil {
		t.Error("got another notification, want the given one")
	}
	p.must2(p.Notify(play.Notice{Raw: "no JSON"}))
	if got := p.wants("")[0].notice; got != nil {
		t.Errorf("got %v, want what is no JSON", got)
	}
	if _, err := p.Notify(play.Notice{Type: 4}); err == nil {
		t.Error("about nothing: got it sent, want it refused")
	}
}

func TestForgeryFailsInOneWayAndIsSentOnce(t *testing.T) {
	p := newShop(t, play.Options{})
	bought := p.owned(play.Purchase{})
	p.receiver.Answer(401)
	set := p.keys()
	differs := map[string]string{
		"audience": "aud", "email": "email", "noEmail": "email", "unverified": "email_verified", "expired": "exp", "future": "iat", "issuer": "iss",
	}
	p.must2(p.Notify(play.Notice{Type: 4, PurchaseToken: bought.PurchaseToken}))
	p.advance(time.Second)
	good, ok := claimsOf(p.words()[0].arrival.Header, set)
	if !ok {
		t.Fatal("got no good token to compare with")
	}
	p.receiver.Answer(200)
	p.advance(time.Hour)
	p.seen = len(p.receiver.Arrivals())
	p.receiver.Answer(401)
	for _, how := range []string{
		"missing", "none", "hs256", "key", "kid", "payload", "audience", "email", "noEmail", "unverified", "expired", "future", "issuer",
	} {
		status, err := p.Forge(t.Context(), play.Forgery{How: how, PurchaseToken: bought.PurchaseToken})
		p.must(err)
		if status != 401 {
			t.Errorf("%s: got %d, want the receiver's 401", how, status)
		}
		list := p.words()
		if len(list) != 1 || list[0].name != "subscription.4" {
			t.Fatalf("%s: got %d notifications, want one about the subscription", how, len(list))
		}
		claims, ok := claimsOf(list[0].arrival.Header, set)
		name, signed := differs[how]
		if ok != signed {
			t.Errorf("%s: got a good signature %t, want %t", how, ok, signed)
		}
		if signed && claims[name] == good[name] {
			t.Errorf("%s: got %s as ever, want it wrong", how, name)
		}
	}
	p.days(1)
	p.wants()
	if _, err := p.Forge(t.Context(), play.Forgery{How: "nicely"}); err == nil {
		t.Error("unknown: got it sent, want it refused")
	}
}

func TestKeysRotateAndFail(t *testing.T) {
	p := newShop(t, play.Options{})
	before := p.keys()
	p.must(p.RotateKeys(play.Rotation{}))
	p.must2(p.TestNotification())
	header := p.wants("test")[0].arrival.Header
	if _, ok := claimsOf(header, before); ok {
		t.Error("rotated: got it signed by the key before, want the new one")
	}
	if _, ok := claimsOf(header, p.keys()); !ok || len(p.keys().Keys) != 2 {
		t.Errorf("rotated: got %d keys, want the new one beside the old", len(p.keys().Keys))
	}
	p.must(p.RotateKeys(play.Rotation{Drop: true}))
	if got := p.keys().Keys; len(got) != 1 || got[0].KeyID == before.Keys[0].KeyID {
		t.Errorf("dropped: got %d keys, want the newest alone", len(got))
	}
	for how, want := range map[string]int{"down": 503, "garbage": 200, "huge": 200, "empty": 200} {
		p.must(p.AnswerKeys(play.Answering{How: how}))
		status, text, _ := p.ask("GET", "/oauth2/v3/certs", "", "")
		var set jose.JSONWebKeySet
		err := json.Unmarshal([]byte(text), &set)
		if status != want || how == "garbage" && err == nil || how == "empty" && (err != nil || len(set.Keys) != 0) || how == "huge" && len(text) < 1<<20 {
			t.Errorf("%s: got %d and %d bytes, want %d", how, status, len(text), want)
		}
	}
	p.must(p.AnswerKeys(play.Answering{How: "good"}))
	p.keys()
	p.must(p.Fault(stage.Fault{Endpoint: play.Keys, When: stage.Before, How: stage.Error}))
	if status, _, _ := p.ask("GET", "/oauth2/v3/certs", "", ""); status != 500 {
		t.Errorf("fault: got %d, want 500", status)
	}
	if err := p.AnswerKeys(play.Answering{How: "badly"}); err == nil {
		t.Error("badly: got it set, want it refused")
	}
}

func TestWithoutAnAddressNothingIsPushed(t *testing.T) {
	s := play.New(play.Options{})
	defer s.Close()
	if _, err := s.Buy(play.Purchase{ProductID: "gems_100"}); err != nil {
		t.Errorf("buy: got %v, want it sold", err)
	}
	if _, err := s.TestNotification(); err == nil {
		t.Error("test: got it sent, want it refused")
	}
	if _, err := s.Forge(t.Context(), play.Forgery{How: "email"}); err == nil {
		t.Error("forge: got it sent, want it refused")
	}
	if got := s.Deliveries(); len(got) != 0 {
		t.Errorf("got %d deliveries, want none", len(got))
	}
}

func TestFatesOfPushesAreScripted(t *testing.T) {
	p := newShop(t, play.Options{})
	p.must(p.ScriptWebhook(stage.Fate{How: stage.Drop, Type: "oneTime.1"}))
	p.buy(play.Purchase{ProductID: "gems_100"})
	p.wants()
	bought := p.buy(play.Purchase{ProductID: "gems_100"})
	p.wants("oneTime.1")
	p.must(p.ScriptWebhook(stage.Fate{How: stage.Duplicate, OrderID: bought.OrderID}))
	p.must(p.Refund(play.Refund{OrderID: bought.OrderID}))
	list := p.wants("voided.2.1", "voided.2.1")
	if list[0].id != list[1].id {
		t.Error("duplicate: got two messages, want one twice")
	}
}
