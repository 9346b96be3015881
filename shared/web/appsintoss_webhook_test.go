package web_test

import (
	"errors"
	"strings"
	"testing"

	"grantline/shared/appsintoss"
	"grantline/shared/notice"
	"grantline/shared/table"
	"grantline/shared/web"
)

const tossAppSecret = "wh_pQ7Zs2mVx9cK4tRb8LpW3nHd"

// newAppsInTossWebhook is that of Apps-in-Toss as it is.
func newAppsInTossWebhook(w *world) *web.Webhooks {
	w.tossApp = &keyring{text: w.keep(tossAppSecret)}
	door := &appsintoss.Door{Secret: w.tossApp.get, Log: w.claims.Log}
	return &web.Webhooks{
		Provider: "appsintoss", Scopes: map[table.Scope]web.Webhook{table.Default: door.ReadHint}, Cuts: true, Queue: w.notices, Clock: w.clock, Log: w.claims.Log,
	}
}

// The examples of the document are real ones.
func TestWhatAppsInTossSendsIsAnsweredAsDocumented(t *testing.T) {
	d := theDocument(t)
	shown, seen := header{"Authorization": "Bearer " + tossAppSecret}, 0
	for _, o := range d.webhooks() {
		if !strings.Contains(o.path, "/appsintoss") {
			continue
		}
		seen++
		path := atHome(o.path)
		for name, e := range d.examples(t, "paths", o.path, "post", "requestBody", "content", "application/json") {
			w := newWorld(t)
			w.expect(200, "", "POST", path, shown, text(t, e))
			want := map[string]notice.Hint{
				"registration": {Type: "registration"},
				"renewed": {
					Type: "subscription.renewed", Order: "appsintoss_0198c0de-7a3b-7c4d-8e5f-6a7b8c9d0e1f", Line: "0198c0de-7a3b-7c4d-8e5f-6a7b8c9d0e1f",
				},
			}[name]
			if len(w.notices.hints) != 1 {
				t.Fatalf("%s, %s: got %d messages, want one", o.id, name, len(w.notices.hints))
			}
			got := w.notices.hints[0]
			if got.Type != want.Type || got.Order != want.Order || got.Line != want.Line || !got.Signed || got.Scope() != table.Default || (got.Evidence != "") != got.Names() {
				t.Errorf("%s, %s: got %+v, want %+v", o.id, name, got, want)
			}
			w.nothingWritten("a webhook")
		}
		w := newWorld(t)
		w.expect(200, "", "POST", path, shown, "{}")
		w.expect(200, "", "POST", path, shown, strings.Repeat("{", web.MostBytes+1)) // or it may come again and again
		for _, hint := range w.notices.hints {
			if hint.Type != "unreadable" || hint.Names() {
				t.Errorf("%s: got %+v, want it kept as unreadable", o.id, hint)
			}
		}
		w.expect(401, "secret_invalid", "POST", path, nil, "{}")
		w.expect(401, "secret_invalid", "POST", path, header{"Authorization": "Basic " + tossAppSecret + "x"}, "{}")
		if len(w.notices.hints) != 2 {
			t.Errorf("%s: got %d messages, want none of forged ones", o.id, len(w.notices.hints)-2)
		}
		w.notices.err = errors.New("down")
		w.expect(503, "unavailable", "POST", path, shown, "{}")
		w.tossApp.err = errors.New("down")
		w.expect(503, "notice_unverifiable", "POST", path, shown, "{}")
		w.webhooks["appsintoss"].Scopes = nil
		w.expect(404, "no_route", "POST", path, shown, "{}")
	}
	if seen != 3 {
		t.Errorf("got %d documented addresses, want three", seen)
	}
}
