package play_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/notice"
	"grantline/shared/play"
	"grantline/shared/web"
)

// pushHinted is the hint of pushNotice, as Webhooks queues it.
func pushHinted() notice.Hint {
	return notice.Hint{
		Project: "default", Environment: "production", Provider: "play", At: pushNow, Signed: true, ID: pushMessage, Type: "subscription.4",
		Line:     play.TokenID(pushToken),
		Evidence: `{"packageName":"com.example.app","eventTimeMillis":"1503349566168","subscriptionNotification":{"notificationType":4,"purchaseToken":"` + pushToken + `"}}`,
	}
}

// naming is a hint that names nothing.
func naming(kind, id string) notice.Hint {
	return notice.Hint{Project: "default", Environment: "production", Provider: "play", At: pushNow, Signed: true, ID: id, Type: kind}
}

func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// pushOf wraps a notification with a change.
func pushOf(name string, value any) string {
	return pushBody(pushWrapped(pushJSON(pushNotice.with(name, value))))
}

// inMessage is a wrapped push with a change of its message.
func inMessage(name string, value any) string {
	w := pushWrapped(pushJSON(pushNotice))
	return pushBody(w.with("message", w["message"].(pushClaims).with(name, value)))
}

// about is a push about a subscription with a change.
func about(name string, value any) string {
	return pushOf("subscriptionNotification", pushNotice["subscriptionNotification"].(pushClaims).with(name, value))
}

const denied = http.StatusForbidden

// Everything here is authenticated. What a push's sender cannot mend is acknowledged, or it
// would come again for a month.
func TestEachAuthenticatedPushHasItsOutcome(t *testing.T) {
	data := string(pushJSON(pushNotice))
	good := pushBody(pushWrapped([]byte(data)))
	kept := func(body string) notice.Hint { return naming("unreadable", hashed(body)) }
	unreadable := naming("unreadable", pushMessage)
	with := func(change func(*notice.Hint)) notice.Hint {
		h := pushHinted()
		change(&h)
		return h
	}
	named := func(id string) notice.Hint { return with(func(h *notice.Hint) { h.ID = id }) }
	typed := func(kind, number string) notice.Hint {
		return with(func(h *notice.Hint) {
			h.Type, h.Evidence = kind, strings.Replace(h.Evidence, `"notificationType":4`, `"notificationType":`+number, 1)
		})
	}
	timed := func(at string) notice.Hint {
		return with(func(h *notice.Hint) {
			h.Evidence = strings.Replace(h.Evidence, `"eventTimeMillis":"1503349566168",`, at, 1)
		})
	}
	second := with(func(h *notice.Hint) { h.Evidence = strings.Replace(h.Evidence, pushPackage, pushSecond, 1) })
	test := pushClaims{"version": "1.0", "packageName": pushPackage, "eventTimeMillis": "1", "testNotification": pushClaims{"version": "1.0"}}
	url := strings.NewReplacer("+", "-", "/", "_").Replace(base64.StdEncoding.EncodeToString([]byte(`{"a":"~~~???>>>",` + data[1:])))
	for _, c := range []struct {
		name, body string
		status     int
		want       notice.Hint
	}{
		{"genuine", good, 200, pushHinted()},
		{"with blanks around", " \r\n" + good + "\n", 200, pushHinted()},
		{"with delivery attempts", pushBody(pushWrapped([]byte(data)).with("deliveryAttempt", 5)), 200, pushHinted()},
		{"unknown extra fields", pushOf("x", pushClaims{"y": []any{nil}}), 200, pushHinted()},
		{"unknown extra fields outside", pushBody(pushWrapped([]byte(data)).with("x", 1)), 200, pushHinted()},
		{"unknown extra fields in the message", inMessage("orderingKey", "x"), 200, pushHinted()},
		{"an unknown notification beside", pushOf("futureNotification", pushClaims{}), 200, pushHinted()},
		{"a null notification beside", pushOf("voidedPurchaseNotification", pushClaims(nil)), 200, pushHinted()},

		{"wrong subscription", pushBody(pushWrapped([]byte(data)).with("subscription", "projects/other/subscriptions/play-rtdn")), denied, notice.Hint{}},
		{"subscription missing", pushBody(pushWrapped([]byte(data)).with("subscription", nil)), denied, notice.Hint{}},
		{"subscription a number", pushBody(pushWrapped([]byte(data)).with("subscription", 1)), denied, notice.Hint{}},
		{"wrong subscription of a poisonous message", strings.Replace(inMessage("data", "!"), "example-project", "other", 1), denied, notice.Hint{}},

		{"no body", "", 200, kept("")},
		{"no JSON", "x", 200, kept("x")},
		{"null", "null", denied, notice.Hint{}},
		{"a list", "[" + good + "]", 200, kept("[" + good + "]")},
		{"cut", good[:50], 200, kept(good[:50])},
		{"trailing garbage behind the body", good + "x", 200, kept(good + "x")},
		{"a second body", good + good, 200, kept(good + good)},
		{"message twice", `{"message":{},` + good[1:], 200, kept(`{"message":{},` + good[1:])},
		{"a field that nobody reads, twice", `{"x":1,"x":1,` + good[1:], 200, kept(`{"x":1,"x":1,` + good[1:])},
		{"invalid UTF-8", `{"x":"` + "\xff" + `",` + good[1:], 200, kept(`{"x":"` + "\xff" + `",` + good[1:])},
		{"a message that is text", `{"message":"x","subscription":"` + pushSubscription + `"}`, 200, kept(`{"message":"x","subscription":"` + pushSubscription + `"}`)},
		{"deep", `{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}", 200, kept(`{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}")},
		{"64 KiB", good + strings.Repeat(" ", 64<<10-len(good)), 200, pushHinted()},
		{"more than 64 KiB", good + strings.Repeat(" ", 64<<10+1-len(good)), 200, kept(good + strings.Repeat(" ", 64<<10+1-len(good)))},
		{"10 MB data", inMessage("data", strings.Repeat("a", 10<<20)), 200, kept(inMessage("data", strings.Repeat("a", 10<<20))[:web.MostBytes+1])},

		{"data not base64", inMessage("data", "{}"), 200, unreadable},
		{"data base64 with more behind", inMessage("data", base64.RawStdEncoding.EncodeToString([]byte(data+strings.Repeat(" ", 3-len(data)%3)))+"!"), 200, unreadable},
		{"data empty", inMessage("data", ""), 200, unreadable},
		{"data missing", inMessage("data", nil), 200, unreadable},
		{"data a number", inMessage("data", 1), 200, unreadable},
		{"data base64url", inMessage("data", url), 200, pushHinted()},
		{"data without padding", inMessage("data", strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(data+" ")), "=")), 200, pushHinted()},
		{"data not JSON", inMessage("data", "eHl6"), 200, unreadable},
		{"data with trailing garbage", pushBody(pushWrapped([]byte(data + "{}"))), 200, unreadable},
		{"data encoded twice", pushBody(pushWrapped([]byte(base64.StdEncoding.EncodeToString([]byte(data))))), 200, unreadable},
		{"data with a name twice", pushBody(pushWrapped([]byte(`{"packageName":"com.example.app",` + data[1:]))), 200, unreadable},

		{"message missing messageId", inMessage("messageId", nil), 200, pushHinted()},
		{"message with the camel id alone", inMessage("message_id", nil), 200, pushHinted()},
		{"message with two ids", inMessage("message_id", "2"), 200, named(hashed(inMessage("message_id", "2")))},
		{"message with an id of no text", inMessage("messageId", 136969346945), 200, pushHinted()},
		{"message with an id that is none", strings.ReplaceAll(good, pushMessage, "a b"), 200, named("sha256-c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65")},

		{"eventTimeMillis a number", pushOf("eventTimeMillis", 1503349566168), 200, pushHinted()},
		{"eventTimeMillis missing", pushOf("eventTimeMillis", nil), 200, timed("")},
		{"eventTimeMillis a word", pushOf("eventTimeMillis", "now"), 200, timed("")},
		{"eventTimeMillis before 1970", pushOf("eventTimeMillis", -1), 200, timed("")},
		{"eventTimeMillis in the year 10000", pushOf("eventTimeMillis", "253402300800000"), 200, timed("")},
		{"eventTimeMillis an object", pushOf("eventTimeMillis", pushClaims{}), 200, timed("")},

		{"packageName of another app", pushOf("packageName", "com.example.other"), 200, naming("another_app", pushMessage)},
		{"packageName in another case", pushOf("packageName", "com.example.App"), 200, naming("another_app", pushMessage)},
		{"packageName of a second configured app", pushOf("packageName", pushSecond), 200, second},
		{"packageName empty", pushOf("packageName", ""), 200, unreadable},
		{"packageName missing", pushOf("packageName", nil), 200, unreadable},
		{"packageName a list", pushOf("packageName", []string{pushPackage}), 200, unreadable},
		{"test notification", pushBody(pushWrapped(pushJSON(test))), 200, naming("test", pushMessage)},
		{"test notification of another app", pushBody(pushWrapped(pushJSON(test.with("packageName", "com.example.other")))), 200, naming("another_app", pushMessage)},

		{"two notification objects at once", pushOf("testNotification", pushClaims{}), 200, unreadable},
		{"none", pushOf("subscriptionNotification", nil), 200, unreadable},
		{"a notification that is text", pushOf("subscriptionNotification", "x"), 200, unreadable},
		{"unknown type 21", about("notificationType", 21), 200, typed("subscription.21", "21")},
		{"unknown type 99", about("notificationType", 99), 200, typed("subscription.99", "99")},
		{"type as a string", about("notificationType", "4"), 200, pushHinted()},
		{"type as a word", about("notificationType", "SUBSCRIPTION_PURCHASED"), 200, unreadable},
		{"type missing", about("notificationType", nil), 200, typed("subscription.0", "0")},
		{"type null", strings.Replace(pushBody(pushWrapped(nil)), `"data":""`, `"data":"`+base64.StdEncoding.EncodeToString([]byte(strings.Replace(data, `"notificationType":4`, `"notificationType":null`, 1)))+`"`, 1), 200, typed("subscription.0", "0")},
		{"type negative", about("notificationType", -1), 200, unreadable},
		{"type with a fraction", about("notificationType", 4.5), 200, unreadable},
		{"type huge", about("notificationType", 1<<31), 200, unreadable},
		{"type a list", about("notificationType", []int{4}), 200, unreadable},
		{"purchaseToken missing", about("purchaseToken", nil), 200, unreadable},
		{"purchaseToken empty", about("purchaseToken", ""), 200, unreadable},
		{"purchaseToken a number", about("purchaseToken", 1), 200, unreadable},
		{"purchaseToken with a blank", about("purchaseToken", "a b"), 200, unreadable},
		{"purchaseToken not ASCII", about("purchaseToken", "토큰"), 200, unreadable},
		{"purchaseToken too long", about("purchaseToken", strings.Repeat("a", 4097)), 200, unreadable},
		{"purchaseToken of steps in a path", about("purchaseToken", ".."), 200, unreadable},
		{"a product that is none", about("subscriptionId", "a b"), 200, pushHinted()},
	} {
		w := newPushWorld(t, nil)
		status, got := w.send(genuinePush(), c.body)
		if status != c.status {
			t.Errorf("%s: got %d, want %d", c.name, status, c.status)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: hint (-want +got):\n%.2000s", c.name, d)
		}
	}
}

// A push is refused for who sent it before anybody reads it.
func TestWhoSentAPushComesBeforeWhatItSays(t *testing.T) {
	for _, body := range []string{"", "x", strings.Repeat("a", web.MostBytes+1), pushBody(pushWrapped([]byte("x"))), strings.Replace(pushBody(pushWrapped(nil)), "example-project", "other", 1)} {
		w := newPushWorld(t, nil)
		if got, _ := w.send(nil, body); got != push401 {
			t.Errorf("%.20q: got %d, want 401", body, got)
		}
	}
}

func TestAPushThatIsNotWrapped(t *testing.T) {
	data := string(pushJSON(pushNotice))
	metadata := func(name string, values ...string) http.Header {
		h := genuinePush()
		h.Set("X-Goog-Pubsub-Message-Id", pushMessage)
		h.Set("X-Goog-Pubsub-Subscription-Name", pushSubscription)
		h.Set("X-Goog-Pubsub-Publish-Time", "2026-11-20T02:14:06.123Z")
		if h[name] = values; values == nil {
			delete(h, name)
		}
		return h
	}
	open := func(c *play.PushConfig) { c.Subscription = "" }
	byHash := pushHinted()
	byHash.ID = hashed(data)
	attributes := metadata("Message", "x")
	attributes.Set("Subscription", "projects/other/subscriptions/x")
	attributes.Set("Packagename", "com.example.other")
	stolen := metadata("X", "x")
	stolen.Add("Authorization", "Bearer of.an.attribute")
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
		change func(*play.PushConfig)
		status int
		want   notice.Hint
	}{
		{"with metadata", metadata("X", "x"), data, nil, 200, pushHinted()},
		{"with metadata, of any subscription", metadata("X-Goog-Pubsub-Subscription-Name", "projects/other/subscriptions/x"), data, open, 200, pushHinted()},
		{"without metadata", genuinePush(), data, open, 200, byHash},
		{"without metadata where the subscription is compared", genuinePush(), data, nil, denied, notice.Hint{}},
		{"of another subscription", metadata("X-Goog-Pubsub-Subscription-Name", "projects/other/subscriptions/x"), data, nil, denied, notice.Hint{}},
		{"of two subscriptions", metadata("X-Goog-Pubsub-Subscription-Name", pushSubscription, "projects/other/subscriptions/x"), data, nil, denied, notice.Hint{}},
		{"with two ids", metadata("X-Goog-Pubsub-Message-Id", pushMessage, "2"), data, nil, 200, byHash},
		{"without id", metadata("X-Goog-Pubsub-Message-Id"), data, nil, 200, byHash},
		{"with attributes", attributes, data, nil, 200, pushHinted()},
		{"with an attribute for a token", stolen, data, nil, push401, notice.Hint{}},
		{"unreadable", metadata("X", "x"), "{}", nil, 200, naming("unreadable", pushMessage)},
		{"unreadable without metadata", genuinePush(), "{}", open, 200, naming("unreadable", hashed("{}"))},
		{"a message of null", metadata("X", "x"), `{"message":null,` + data[1:], nil, denied, notice.Hint{}},
	} {
		w := newPushWorld(t, c.change)
		status, got := w.send(c.header, c.body)
		if status != c.status {
			t.Errorf("%s: got %d, want %d", c.name, status, c.status)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: hint (-want +got):\n%s", c.name, d)
		}
	}
}

// What a wrapped push says stands, whatever its headers do.
func TestHeadersDoNotOverrideAWrappedPush(t *testing.T) {
	w := newPushWorld(t, nil)
	h := genuinePush()
	h.Set("X-Goog-Pubsub-Message-Id", "2")
	h.Set("X-Goog-Pubsub-Subscription-Name", "projects/other/subscriptions/x")
	if _, got := w.send(h, pushBody(pushWrapped(pushJSON(pushNotice)))); got.ID != pushMessage {
		t.Errorf("got the id %q, want %q", got.ID, pushMessage)
	}
	h.Set("X-Goog-Pubsub-Subscription-Name", pushSubscription)
	if status, _ := w.send(h, pushBody(pushWrapped(pushJSON(pushNotice)).with("subscription", "projects/other/subscriptions/x"))); status != denied {
		t.Errorf("got %d, want 403 by what the body says", status)
	}
}

func TestAnySubscriptionMayPushWhereNoneIsConfigured(t *testing.T) {
	w := newPushWorld(t, func(c *play.PushConfig) { c.Subscription = "" })
	for _, s := range []any{"projects/other/subscriptions/x", nil, 1} {
		if status, got := w.send(genuinePush(), pushBody(pushWrapped(pushJSON(pushNotice)).with("subscription", s))); status != 200 || got.Line == "" {
			t.Errorf("%v: got %d and %+v, want it taken", s, status, got)
		}
	}
}

func TestAPushThatTheQueueDoesNotTakeIsSentAgain(t *testing.T) {
	w := newPushWorld(t, nil)
	w.queue.err = errPushOutage
	for _, body := range []string{pushBody(pushWrapped(pushJSON(pushNotice))), "x"} {
		if got, _ := w.send(genuinePush(), body); got != http.StatusServiceUnavailable {
			t.Errorf("%.20q: got %d, want 503", body, got)
		}
	}
}

// The same message is the same notice, and a new message is a new one: whoever looks finds
// out that there is nothing new.
func TestAMessageKeepsItsIDEachTimeItComes(t *testing.T) {
	w := newPushWorld(t, nil)
	for range 3 {
		if _, got := w.send(genuinePush(), pushBody(pushWrapped(pushJSON(pushNotice)))); got.ID != pushMessage {
			t.Errorf("got the id %q, want %q", got.ID, pushMessage)
		}
		w.clock.advance(10 * time.Minute)
	}
	var two []notice.Hint
	for _, id := range []string{"1", "2"} {
		_, got := w.send(genuinePush(), strings.ReplaceAll(inMessage("message_id", nil), pushMessage, id))
		two = append(two, got)
	}
	if two[0].ID == two[1].ID || two[0].Line != two[1].Line {
		t.Errorf("got %q and %q, want two ids of one purchase", two[0].ID, two[1].ID)
	}
}

// Someone has to see what is never understood; it is logged without what it says.
func TestWhatIsNotUnderstoodIsLogged(t *testing.T) {
	for name, body := range map[string]string{
		"unreadable": inMessage("data", "!"), "another app's": pushOf("packageName", "com.example.other"), "too large": strings.Repeat("a", 65<<10),
	} {
		w := newPushWorld(t, nil)
		w.send(genuinePush(), body)
		if !strings.Contains(w.logs.String(), `"level":"WARN"`) {
			t.Errorf("%s: got the log %q, want a warning", name, w.logs)
		}
	}
	w := newPushWorld(t, nil)
	if w.send(genuinePush(), pushBody(pushWrapped(pushJSON(pushNotice)))); w.logs.Len() != 0 {
		t.Errorf("got the log %q of a push that is as it should be, want none", w.logs)
	}
	_, err := w.push.ReadHint(t.Context(), nil, nil)
	var why play.Distrust
	if !errors.As(err, &why) || why != play.DistrustHeader {
		t.Errorf("got %v, want why", err)
	}
}
