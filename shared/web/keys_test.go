package web_test

import (
	"strings"
	"testing"

	"grantline/shared/table"
	"grantline/shared/web"
)

func TestARotatedKeyIsAskedForOnce(t *testing.T) {
	w := newWorld(t)
	w.expect(200, "", "GET", me, server(""), "")
	if w.secret.asked != 1 || w.secret.fresh != 0 {
		t.Errorf("a key that fits: got asked %d times, %d of them fresh, want once and never", w.secret.asked, w.secret.fresh)
	}
	w.secret.next = "default/production=" + hashed("sk_test_the-one-after-it")
	w.secret.asked = 0
	w.expect(200, "", "GET", me, header{"Authorization": "Bearer " + w.keep("sk_test_the-one-after-it")}, "")
	if w.secret.asked != 2 || w.secret.fresh != 1 {
		t.Errorf("a key that was rotated in: got asked %d times, %d of them fresh, want twice and once", w.secret.asked, w.secret.fresh)
	}
	w.secret.asked, w.secret.fresh = 0, 0
	w.expect(401, "unauthenticated", "GET", me, server(""), "")
	if w.secret.asked != 2 || w.secret.fresh != 1 {
		t.Errorf("a key that was rotated out: got asked %d times, %d of them fresh, want twice and once", w.secret.asked, w.secret.fresh)
	}
}

func TestBothKeysServeDuringARotation(t *testing.T) {
	w := newWorld(t)
	w.secret.text += " , default/production=" + hashed("sk_test_the-one-after-it") + ",\n"
	w.expect(200, "", "GET", me, server(""), "")
	w.expect(200, "", "GET", me, header{"Authorization": "bearer " + w.keep("sk_test_the-one-after-it")}, "")
}

func TestAKeyOpensItsOwnProjectAndEnvironment(t *testing.T) {
	w := newWorld(t)
	w.minji()
	other := header{"Authorization": "Bearer " + w.keep("sk_test_of-the-sandbox")}
	w.secret.text += ",default/sandbox=" + hashed("sk_test_of-the-sandbox")
	w.expect(404, "subscription_not_found", "GET", "/v1/subscriptions/sub-1", other, "")
	w.expect(404, "order_not_found", "GET", "/v1/orders/appsintoss_granted", other, "")
	if a := w.expect(200, "", "GET", me+"/events", other, ""); strings.TrimSpace(a.text) != `{"events":[]}` {
		t.Errorf("events in the sandbox: got %s, want none", a.text)
	}
}

func TestKeysOutOfReachAreNobodysFault(t *testing.T) {
	w := newWorld(t)
	w.public.err, w.secret.err = outage(), outage()
	for _, h := range []header{app("minji"), server("minji")} {
		w.expect(503, "unavailable", "GET", me, h, "")
		if a := w.ask("POST", "/api/iap/fulfill", h, `{"orderId":"new"}`); a.status != 503 {
			t.Errorf("fulfil: got %d, want 503", a.status)
		}
	}
	w.nothingWritten("an outage of the keys")
}

func TestAKeyListThatCannotBeReadOpensNothing(t *testing.T) {
	for name, text := range map[string]string{
		"no scope":            hashed(secretKey),
		"no environment":      "default=" + hashed(secretKey),
		"another environment": "default/staging=" + hashed(secretKey),
		"capital project":     "Default/production=" + hashed(secretKey),
		"half a hash":         "default/production=" + hashed(secretKey)[:40],
		"no hex":              "default/production=sha256:" + strings.Repeat("z", 64),
		"too long":            "default/production=" + hashed(secretKey) + "00",
		"one bad beside":      "default/production=" + hashed(secretKey) + ",default/production=",
	} {
		w := newWorld(t)
		w.secret.text = text
		if a := w.ask("GET", me, server(""), ""); a.status != 503 {
			t.Errorf("%s: got %d %s, want 503", name, a.status, a.text)
		}
		if strings.Contains(w.logs.String(), strings.TrimPrefix(hashed(secretKey), "sha256:")[:16]) {
			t.Errorf("%s: a log shows a hash", name)
		}
	}
	w := newWorld(t)
	w.secret.text = ""
	w.expect(401, "unauthenticated", "GET", me, server(""), "")
}

func TestAProjectCanInsistOnSignIn(t *testing.T) {
	w := newWorld(t)
	w.callers.PublicKeyCustomers = false
	w.expect(403, "sign_in_required", "GET", me, app(""), "")
	w.expect(403, "sign_in_required", "POST", "/v1/purchases", app("minji"), `{"store":"appsintoss","appsintoss":{"orderId":"new"}}`)
	w.expect(401, "unauthenticated", "GET", me, header{"Authorization": "Bearer pk_wrong_0123456789"}, "")
	w.expect(200, "", "GET", me, w.user("minji"), "")
}

func TestAScopeIsProjectAndEnvironment(t *testing.T) {
	for text, want := range map[string]table.Scope{
		"default/production": {Project: "default", Environment: "production"},
		"my-app-2/sandbox":   {Project: "my-app-2", Environment: "sandbox"},
		"default":            {}, "": {}, "/production": {}, "default/": {}, "a#b/production": {}, "default/production/x": {},
		"한글/production": {}, strings.Repeat("a", 33) + "/production": {}, "default/Production": {},
	} {
		got, err := web.ParseScope(text)
		if got != want || (err == nil) != (want != table.Scope{}) {
			t.Errorf("ParseScope(%q): got %v, %v, want %v", text, got, err, want)
		}
	}
}
