package web_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/notice"
	"grantline/shared/table"
	"grantline/shared/web"
)

const appleWebhook = "/webhooks/apple"

// with is a copy in which a member, or one of data, is another; nil takes it away.
func (o object) in(name string, change object) object {
	inner := maps.Clone(o[name].(object))
	for n, v := range change {
		if inner[n] = v; v == nil {
			delete(inner, n)
		}
	}
	c := maps.Clone(o)
	c[name] = inner
	return c
}

func TestWhatAppleSignedIsTaken(t *testing.T) {
	s := theAppStore()
	for _, path := range []string{"", "/default", "/default/production"} {
		w := newWorld(t)
		signed := w.keep(s.sign(s.renewed()))
		w.expect(200, "", "POST", appleWebhook+path, nil, body(signed))
		want := []notice.Hint{{
			Project: "default", Environment: "production", Provider: "apple", ID: "5f2b1c0e-9d8a-4c7b-8e6f-1a2b3c4d5e6f", Type: "DID_RENEW", At: start,
			Signed: true, Order: "apple_2000000900000002", Line: "2000000900000001", Evidence: signed,
		}}
		if d := cmp.Diff(want, w.notices.hints); d != "" {
			t.Errorf("%q: messages (-want +got):\n%s", path, d)
		}
		w.keep("2000000900000002") // a transaction's id is the proof of a receipt
		w.nothingWritten("a webhook")
	}
}

func TestWhatAppleSignedAndIsNoPurchaseOfOursIsAnsweredAndNamesNothing(t *testing.T) {
	s := theAppStore()
	in := func(payload object, changes object) object { return payload.in("data", changes) }
	bare := func(kind string) object {
		return in(s.renewed(), object{"signedTransactionInfo": nil, "signedRenewalInfo": nil}).with("notificationType", kind)
	}
	another := transaction().with("bundleId", "com.example.another")
	for name, payload := range map[string]object{
		"a test":                               bare("TEST"),
		"a type that does not exist yet":       bare("WHATEVER_COMES").with("subtype", "NEXT"),
		"another app's":                        in(bare("TEST"), object{"bundleId": "com.example.another"}),
		"another app id":                       in(bare("TEST"), object{"appAppleId": 1}),
		"another app's transaction":            in(s.renewed(), object{"bundleId": "com.example.another", "signedTransactionInfo": s.sign(another)}),
		"ours around another app's":            in(s.renewed(), object{"signedTransactionInfo": s.sign(another)}),
		"of Xcode":                             in(bare("TEST"), object{"environment": "Xcode"}),
		"of an environment that is to come":    in(bare("TEST"), object{"environment": "Staging"}),
		"a summary":                            {"notificationType": "RENEWAL_EXTENSION", "subtype": "SUMMARY", "notificationUUID": "u-1", "signedDate": start.UnixMilli(), "summary": object{"bundleId": appBundle, "appAppleId": appID, "environment": "Production", "succeededCount": 3}},
		"a token of a purchase made elsewhere": {"notificationType": "EXTERNAL_PURCHASE_TOKEN", "notificationUUID": "u-2", "signedDate": start.UnixMilli(), "externalPurchaseToken": object{"bundleId": appBundle, "appAppleId": appID, "externalPurchaseId": "p-1"}},
	} {
		w := newWorld(t)
		w.expect(200, "", "POST", appleWebhook, nil, body(w.keep(s.sign(payload))))
		if len(w.notices.hints) != 1 {
			t.Fatalf("%s: got %d messages, want one that is kept", name, len(w.notices.hints))
		}
		h := w.notices.hints[0]
		if h.Evidence+h.Order+h.Line+h.Payment+h.Mandate+h.Subscription != "" {
			t.Errorf("%s: got %+v, want a hint that names nothing", name, h)
		}
		// Nothing is looked at, and what is written down is no reason to send it again.
		tables := memory.New()
		desk := &notice.Desk{Tables: tables, Clock: w.clock, Log: slog.New(slog.DiscardHandler), Look: map[string]notice.Looker{"apple": unasked{t}}}
		if err := desk.Receive(t.Context(), h); err != nil || len(tables.Items(table.Notices)) != 1 {
			t.Errorf("%s: got %v and %d notices, want one that was ignored", name, err, len(tables.Items(table.Notices)))
		}
	}
}

// Any customer has a transaction of its own, which Apple signed as well.
func TestATransactionIsNoNotice(t *testing.T) {
	w := newWorld(t)
	w.expect(401, "invalid_notice", "POST", appleWebhook, nil, body(w.keep(theAppStore().sign(transaction()))))
	if len(w.notices.hints) != 0 {
		t.Errorf("got %d messages, want none", len(w.notices.hints))
	}
}

// unasked is a looker that nobody should ask.
type unasked struct{ testing.TB }

func (u unasked) LookAgain(context.Context, notice.Hint) (bool, error) {
	u.Error("got a look at what names nothing, want none")
	return false, nil
}

func TestAnUnknownTypeAboutAPurchaseIsLookedAtLikeAnyOther(t *testing.T) {
	s, w := theAppStore(), newWorld(t)
	w.expect(200, "", "POST", appleWebhook, nil, body(s.sign(s.renewed().with("notificationType", "PRICE_DECREASE").with("subtype", "SEEN"))))
	if h := w.notices.hints[0]; h.Type != "PRICE_DECREASE.SEEN" || h.Order != "apple_2000000900000002" || h.Evidence == "" {
		t.Errorf("got %+v, want the order and its evidence", h)
	}
}

func TestASandboxPurchaseComesToTheSameAddress(t *testing.T) {
	s, w := theAppStore(), newWorld(t)
	sandbox := s.sign(transaction().with("environment", "Sandbox"))
	payload := s.renewed().in("data", object{"environment": "Sandbox", "appAppleId": nil, "signedTransactionInfo": sandbox, "signedRenewalInfo": nil})
	w.expect(200, "", "POST", appleWebhook, nil, body(s.sign(payload)))
	if h := w.notices.hints[0]; h.Evidence == "" || h.Environment != "production" {
		t.Errorf("got %+v, want it in the scope of the address, with its evidence", h)
	}
}

// spoiledNotices are bodies that Apple did not send.
func spoiledNotices() map[string]string {
	s, thief := theAppStore(), newAppStore()
	good := s.sign(s.renewed())
	parts := strings.Split(good, ".")
	stolen := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
	refund := base64.RawURLEncoding.EncodeToString(bytes.Replace(raw, []byte("DID_RENEW"), []byte("REFUND"), 1))
	header := func(h object) string {
		text, _ := json.Marshal(h)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return map[string]string{
		"nothing":                       "",
		"blank":                         " ",
		"null":                          "null",
		"no JSON":                       "nonsense",
		"an empty object":               "{}",
		"a list":                        "[]",
		"a list of it":                  "[" + body(good) + "]",
		"cut short":                     body(good)[:200],
		"a form":                        "signedPayload=" + good,
		"the JWS alone":                 good,
		"version 1":                     `{"notification_type":"DID_RENEW","password":"x","unified_receipt":{}}`,
		"another name":                  `{"SignedPayload":"` + good + `"}`,
		"twice":                         `{"signedPayload":"` + good + `","signedPayload":"` + good + `"}`,
		"a number":                      `{"signedPayload":1}`,
		"null in it":                    `{"signedPayload":null}`,
		"an empty string":               body(""),
		"an object in it":               `{"signedPayload":{"notificationType":"TEST"}}`,
		"two parts":                     body(parts[0] + "." + parts[1]),
		"four parts":                    body(good + "." + parts[2]),
		"an empty signature":            body(parts[0] + "." + parts[1] + "."),
		"no JWS":                        body("a.b.c"),
		"another payload":               body(parts[0] + "." + refund + "." + parts[2]),
		"another signature":             body(parts[0] + "." + parts[1] + "." + strings.Split(s.sign(s.renewed()), ".")[2]),
		"a letter changed":              body(stolen(parts[2][:4], "AAAA")),
		"alg none":                      body(header(object{"alg": "none", "x5c": s.x5c}) + "." + parts[1] + "." + parts[2]),
		"alg HS256":                     body(header(object{"alg": "HS256", "x5c": s.x5c}) + "." + parts[1] + "." + parts[2]),
		"crit":                          body(header(object{"alg": "ES256", "x5c": s.x5c, "crit": []string{"exp"}}) + "." + parts[1] + "." + parts[2]),
		"no chain":                      body(header(object{"alg": "ES256"}) + "." + parts[1] + "." + parts[2]),
		"a chain of two":                body(header(object{"alg": "ES256", "x5c": s.x5c[:2]}) + "." + parts[1] + "." + parts[2]),
		"another root":                  body(thief.sign(thief.renewed())),
		"another key under our chain":   body((&appStore{x5c: s.x5c, key: thief.key}).sign(s.renewed())),
		"our root under a thief's":      body((&appStore{x5c: []string{thief.x5c[0], thief.x5c[1], s.x5c[2]}, key: thief.key}).sign(s.renewed())),
		"a thief's transaction inside":  body(s.sign(s.renewed().in("data", object{"signedTransactionInfo": thief.sign(transaction())}))),
		"no transaction inside":         body(s.sign(s.renewed().in("data", object{"signedTransactionInfo": ""}))),
		"two purchases":                 body(s.sign(s.renewed().in("data", object{"signedTransactionInfo": s.sign(transaction().with("originalTransactionId", "3"))}))),
		"a sandbox transaction in it":   body(s.sign(s.renewed().in("data", object{"signedTransactionInfo": s.sign(transaction().with("environment", "Sandbox"))}))),
		"without date":                  body(s.sign(s.renewed().with("signedDate", nil))),
		"of a day before the chain":     body(s.sign(s.renewed().with("signedDate", start.AddDate(-2, 0, 0).UnixMilli()))),
		"of a day after the chain":      body(s.sign(s.renewed().with("signedDate", start.AddDate(6, 0, 0).UnixMilli()))),
		"expired":                       body(s.sign(s.renewed().with("exp", start.Unix()))),
		"without id":                    body(s.sign(s.renewed().with("notificationUUID", nil))),
		"an id that is none":            body(s.sign(s.renewed().with("notificationUUID", "a#b"))),
		"NUL behind":                    body(good) + "\x00",
		"invalid UTF-8":                 `{"signedPayload":"` + good + `","x":"` + "\xff" + `"}`,
		"deep":                          `{"signedPayload":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		"many members":                  `{"signedPayload":"` + good + `"` + strings.Repeat(`,"a":1`, 1000) + `}`,
		"a payload of a whole mebibyte": body(strings.Repeat("a", web.MostBytes-30)),
	}
}

func TestWhatAppleDidNotSignIs401AndNever400(t *testing.T) {
	for name, b := range spoiledNotices() {
		w := newWorld(t)
		logged := len(w.logs.String())
		a := w.expect(401, "invalid_notice", "POST", appleWebhook, nil, b)
		if a.header.Get("WWW-Authenticate") == "" || a.body["retryable"] != false {
			t.Errorf("%s: got %s, want a 401 that is not to be repeated", name, a.text)
		}
		log := w.logs.String()[logged:]
		if len(log) > 1000 || strings.Contains(log, "2000000900000") || strings.Contains(log, "eyJ") {
			t.Errorf("%s: got the log %.1500s, want a reason without the payload", name, log)
		}
		if len(w.notices.hints) != 0 {
			t.Errorf("%s: got %d messages, want none", name, len(w.notices.hints))
		}
		w.nothingWritten(name)
	}
}

func TestWhatCannotBeTakenOrVerifiedNowIsSentAgainByApple(t *testing.T) {
	s := theAppStore()
	signed := body(s.sign(s.renewed()))
	for _, path := range []string{"", "/default", "/default/production"} {
		for _, err := range []error{outage(), errors.New("no host"), context.DeadlineExceeded} {
			w := newWorld(t)
			w.notices.err = err
			if a := w.expect(503, "unavailable", "POST", appleWebhook+path, nil, signed); a.header.Get("Retry-After") == "" || a.body["retryable"] != true {
				t.Errorf("%v: got %s, want to be asked again", err, a.text)
			}
		}
		w := newWorld(t)
		hard := newVerifier(w.clock, apple.RevocationHard, apple.Production)
		w.webhooks["apple"].Scopes[table.Default] = func(ctx context.Context, _ http.Header, b []byte) (notice.Hint, error) { return hard.ReadHint(ctx, b) }
		w.expect(503, "store_unavailable", "POST", appleWebhook+path, nil, signed)
		w.expect(413, "body_too_large", "POST", appleWebhook+path, nil, strings.Repeat(" ", web.MostBytes+1))
		w.expect(401, "invalid_notice", "POST", appleWebhook+path, nil, "{}")
		if len(w.notices.hints) != 0 {
			t.Errorf("got %d messages, want none", len(w.notices.hints))
		}
		w.webhooks["apple"].Scopes = nil
		w.expect(404, "no_route", "POST", appleWebhook+path, nil, signed)
	}
}

func TestABodyThatCameInPartIsSentAgain(t *testing.T) {
	w := newWorld(t)
	r := httptest.NewRequest("POST", "http://127.0.0.1"+appleWebhook, iotest.TimeoutReader(io.MultiReader(strings.NewReader(`{"signed`), strings.NewReader("x"))))
	rw := httptest.NewRecorder()
	if w.ServeHTTP(rw, r); rw.Code != 503 {
		t.Errorf("got %d %s, want 503", rw.Code, rw.Body)
	}
}

func TestNoKindOfFailureReachesAppleAs400(t *testing.T) {
	// The cause of a refusal is the operator's: whatever its kind, the answer is of the
	// outermost, but where an outage is within.
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{fault.New(fault.Unauthenticated, "invalid_notice", "No.").Because(fault.New(fault.Malformed, "invalid_purchase", "It cannot be read.")), 401, "invalid_notice"},
		{fault.New(fault.Unauthenticated, "invalid_notice", "No.").Because(fault.New(fault.Invalid, "invalid_purchase", "It proves nothing.")), 401, "invalid_notice"},
		{fmt.Errorf("wrapped: %w", fault.New(fault.Unauthenticated, "invalid_notice", "No.").Because(io.EOF)), 401, "invalid_notice"},
		{fault.New(fault.Unauthenticated, "invalid_notice", "No.").Because(outage()), 503, "unavailable"},
		{errors.Join(fault.New(fault.Unauthenticated, "invalid_notice", "No."), outage()), 503, "unavailable"},
	} {
		w := newWorld(t)
		w.webhooks["apple"].Scopes[table.Default] = func(context.Context, http.Header, []byte) (notice.Hint, error) { return notice.Hint{}, c.err }
		w.expect(c.status, c.code, "POST", appleWebhook, nil, "{}")
	}
}

func TestAppleHasOneAddressInOneScope(t *testing.T) {
	w := newWorld(t)
	signed := body(theAppStore().sign(theAppStore().renewed()))
	for _, path := range []string{"/", "/default/sandbox", "/other", "/other/production", "/default/production/", "/DEFAULT", "/default/"} {
		w.expect(404, "no_route", "POST", appleWebhook+path, nil, signed)
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "HEAD", "OPTIONS", "post"} {
		if a := w.ask(method, appleWebhook, nil, signed); a.status != 405 || a.header.Get("Allow") != "POST" {
			t.Errorf("%s: got %d with Allow %q, want 405 with POST", method, a.status, a.header.Get("Allow"))
		}
	}
	if len(w.notices.hints) != 0 {
		t.Errorf("got %d messages, want none", len(w.notices.hints))
	}
}
