package web_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"grantline/shared/table"
)

// FuzzReadBody sends any bytes to every door: a body is accepted or it is the caller's
// fault, and what is refused leaves nothing behind.
func FuzzReadBody(f *testing.F) {
	for i, d := range doors {
		f.Add(d.body)
		if i > 3 && d.path != "/v1/apple/offers" {
			continue // each body is sent to every door
		}
		for _, body := range badBodies(d.body, d.field) {
			if len(body) < 1<<10 {
				f.Add(body)
			}
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := newWorld(t)
		w.shelves(t)
		w.minji()
		for _, d := range doors {
			was := w.state()
			a := w.ask(d.method, d.path, server("minji"), body)
			if a.status >= 500 {
				t.Errorf("%s: got %d %s, want no fault of ours", d.path, a.status, a.text)
			}
			if a.status >= 400 {
				w.nothingChanged(was, d.path)
			}
			if a.status < 300 && (strings.Contains(body, "\x00") || !utf8.ValidString(body) || !strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "{")) {
				t.Errorf("%s: got %d for what is no JSON object", d.path, a.status)
			}
		}
	})
}

// FuzzRoute asks for any path by any method: nothing panics, nothing is our fault, and
// every answer is one of the document's.
func FuzzRoute(f *testing.F) {
	for _, path := range []string{
		"/v1/purchases", "/api/iap/fulfill", "/v1/customers/minji", "/v1/customers/minji/events", "/v1/customers//events", "/v1/customers/a/events/events",
		"/v1/subscriptions", "/v1/subscriptions/sub-1", "/v1/subscriptions/cancel", "/v1/orders/appsintoss_x", "/v1/orders/a#b", "/v1/orders/\xff", "/healthz", "",
		"/v1/customers/\x00", "/v1/customers/" + strings.Repeat("x", 600), "/v1/orders/" + strings.Repeat("x", 300), "/v1/customers/..", "/v1/customers/%2F",
		"/v1/customers/a/wallet/gems/spend", "v1/customers/a", "/v1/subscriptions/\n", "/v1/subscriptions/sub-1/cancel", "/v1/subscriptions//cancel",
		"/v1/subscriptions/cancel/cancel", "/v1/subscriptions/sub-3/resume", "/v1/subscriptions/sub-2/payment-method", "/v1/subscriptions/sub-1/plan",
		"/v1/subscriptions/sub-2/charge", "/v1/orders/" + paidOrder + "/refund", "/v1/orders/a/refund/refund",
		"/v1/apple/offers", "/v1/apple/offers/", "/v1/orders/apple_unclaimed", "/webhooks/apple", "/webhooks/apple/default/production", "/webhooks/apple/other",
	} {
		f.Add("GET", path, "after=1")
		f.Add("POST", path, "")
		f.Add("PUT", path, "after=-1&after=2")
	}
	f.Add("OPTIONS", "/", "%zz")
	f.Fuzz(func(t *testing.T, method, path, query string) {
		w := newWorld(t)
		w.minji()
		before := w.written()
		for _, h := range []header{nil, app(""), server(""), server("minji")} {
			a := w.ask(method, path, h, `{"name":"x"}`, query)
			if a.status >= 500 {
				t.Errorf("%q %q: got %d %s, want no fault of ours", method, path, a.status, a.text)
			}
			if after := w.written(); a.status >= 400 && after != before {
				t.Errorf("%q %q: got %d items after a refusal, want the %d of before", method, path, after, before)
			}
			before = w.written()
		}
	})
}

// FuzzIdentify shows any credentials: only the two keys and a token that the provider
// signed open anything.
func FuzzIdentify(f *testing.F) {
	for _, h := range credentials() {
		if len(h["Authorization"]) < 4<<10 {
			f.Add(h["Authorization"], h["X-Customer-Id"])
		}
	}
	f.Add("bearer "+publicKey, "minji")
	f.Add("Bearer "+publicKey, "a/events")
	f.Add("Bearer\t"+secretKey, "\xff")
	f.Fuzz(func(t *testing.T, authorization, customerID string) {
		w := newWorld(t)
		scheme, credential, _ := strings.Cut(authorization, " ")
		genuine := strings.EqualFold(scheme, "Bearer") && (credential == publicKey || credential == secretKey ||
			credential == strings.TrimPrefix(credentials()["token of minji"]["Authorization"], "Bearer ") ||
			credential == strings.TrimPrefix(credentials()["token of jisoo"]["Authorization"], "Bearer ") ||
			credential == strings.TrimPrefix(credentials()["token of minji by RS256"]["Authorization"], "Bearer "))
		a := w.ask("GET", me, header{"Authorization": authorization, "X-Customer-Id": customerID}, "")
		if !genuine && a.status != 401 {
			t.Errorf("Authorization %q, X-Customer-Id %q: got %d %s, want 401", authorization, customerID, a.status, a.text)
		}
		if a.status >= 500 || genuine && a.status == 401 {
			t.Errorf("Authorization %q, X-Customer-Id %q: got %d %s, want an answer to the question", authorization, customerID, a.status, a.text)
		}
		if a.status != 200 && len(w.tables.Items(table.Customers)) != 0 {
			t.Errorf("Authorization %q: got a customer written with %d, want none", authorization, a.status)
		}
	})
}
