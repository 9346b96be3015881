package apple_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// page is one of the history: its notifications and the name of the next.
func page(w *world, next string, signed ...string) string {
	sent := []facts{}
	for _, s := range signed {
		sent = append(sent, facts{
			"signedPayload": s, "sendAttempts": []facts{{"attemptDate": milli(w.Now()), "sendAttemptResult": "TIMED_OUT"}},
		})
	}
	f := facts{"notificationHistory": sent, "hasMore": next != ""}
	if next != "" {
		f["paginationToken"] = next
	}
	return factsText(w.till, f)
}

func TestHistoryIsOfEachAppInEachEnvironment(t *testing.T) {
	w := newWorld(t, true, secondApp)
	got := map[string]time.Duration{}
	for _, h := range w.store.Histories(w.Log) {
		got[h.Name()] = h.Keeps()
	}
	want := map[string]time.Duration{
		"Production#com.example.app": 180 * day, "Production#com.example.second": 180 * day,
		"Sandbox#com.example.app": 30 * day, "Sandbox#com.example.second": 30 * day,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("histories (-want +got):\n%s", diff)
	}
	if none := newWorld(t, false).store.Histories(w.Log); len(none) != 0 {
		t.Errorf("without an API: got %d histories, want none", len(none))
	}
	sandbox := newWorld(t, true, func(c *apple.Config) { c.Environments = []apple.Environment{apple.Sandbox} }).store.Histories(w.Log)
	if len(sandbox) != 1 || sandbox[0].Name() != "Sandbox#com.example.app" {
		t.Errorf("with the sandbox alone: got %d histories, want its one", len(sandbox))
	}
}

// Only what failed is asked for, of that app and environment and between those instants.
func TestHistoryAsksForFailuresAlone(t *testing.T) {
	w := newWorld(t, true, secondApp)
	w.pages[""], w.pages["p/2"] = page(w, "p/2"), `{"notificationHistory":[],"hasMore":false,"paginationToken":"p/3"}`
	from, to := signedAt.Add(-30*day), signedAt
	for _, h := range w.store.Histories(w.Log) {
		w.requests()
		hints, next, err := h.Missed(t.Context(), from, to, "")
		if err != nil || len(hints) != 0 || next != "p/2" {
			t.Errorf("%s: got %d hints, next %q, %v, want none and p/2", h.Name(), len(hints), next, err)
		}
		_, next, err = h.Missed(t.Context(), from, to, next)
		if err != nil || next != "" {
			t.Errorf("%s: got next %q, %v, want the end", h.Name(), next, err)
		}
		for _, body := range w.bodies {
			var got facts
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			want := facts{"startDate": float64(milli(from)), "endDate": float64(milli(to)), "onlyFailures": true}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: body (-want +got):\n%s", h.Name(), diff)
			}
		}
		environment, app, _ := strings.Cut(h.Name(), "#")
		want := "POST " + strings.ToLower(environment) + " " + app + " /inApps/v1/notifications/history"
		if diff := cmp.Diff([]string{want, want + "?paginationToken=p%2F2"}, w.requests()); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", h.Name(), diff)
		}
	}
}

// What is not to be believed is passed over and said, and holds up nothing.
func TestHistoryPassesOverWhatIsNotBelieved(t *testing.T) {
	w := newWorld(t, true)
	id := w.subscribe("", monthlySKU, month(1))
	first, last := w.notify("SUBSCRIBED.INITIAL_BUY", id, nil), w.notify("DID_RENEW", id, nil)
	forged := w.forged(facts{"notificationType": "REFUND", "notificationUUID": "x", "version": "2.0"})
	other := w.notify("REFUND", id, facts{"bundleId": "com.example.other"})
	w.pages[""] = page(w, "", first, forged, other, "eyJ.eyJ.AA", last)
	var log bytes.Buffer
	hints, next, err := w.store.Histories(slog.New(slog.NewTextHandler(&log, nil)))[0].Missed(t.Context(), signedAt.Add(-day), signedAt, "")
	if err != nil || next != "" {
		t.Fatalf("got next %q, %v, want the end", next, err)
	}
	var got []string
	for _, h := range hints {
		got = append(got, h.Type+" "+h.Order+" "+h.Line)
		if !h.Signed || h.ID == "" {
			t.Errorf("got %+v, want it signed and with its id", h)
		}
	}
	want := []string{"SUBSCRIBED.INITIAL_BUY apple_" + id + " " + id, "DID_RENEW apple_" + id + " " + id}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hints (-want +got):\n%s", diff)
	}
	if len(hints) == 2 && (hints[0].Evidence != first || hints[1].Evidence != last) {
		t.Error("got other evidence than was signed")
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 3 {
		t.Errorf("got %d warnings, want 3:\n%s", got, &log)
	}
	if strings.Contains(log.String(), "eyJ") || strings.Contains(log.String(), id) || strings.Contains(log.String(), "com.example") {
		t.Errorf("the log shows what was signed:\n%s", &log)
	}
}

// What cannot be verified now is asked for again, instead of being passed over for ever.
func TestHistoryWaitsForWhatCannotBeVerifiedNow(t *testing.T) {
	w := newWorld(t, true, func(c *apple.Config) { c.Revocations = ignorant{} })
	id := w.subscribe("", monthlySKU, month(1))
	w.pages[""] = page(w, "", w.notify("DID_RENEW", id, nil))
	hints, next, err := w.store.Histories(w.Log)[0].Missed(t.Context(), signedAt.Add(-day), signedAt, "")
	onlyKind(t, err, fault.Unavailable)
	if len(hints) != 0 || next != "" {
		t.Errorf("got %d hints and next %q beside an error, want neither", len(hints), next)
	}
}

// What certificates that ended long ago have signed may never be known to be good, and is
// not in the way of what came since for ever.
func TestHistoryDoesNotWaitForEver(t *testing.T) {
	w := newWorld(t, true, func(c *apple.Config) { c.Revocations = ignorant{} })
	id := w.subscribe("", monthlySKU, month(1))
	w.pages[""] = page(w, "", w.notify("DID_RENEW", id, nil))
	w.set(signedAt.Add(4 * day))
	hints, next, err := w.store.Histories(w.Log)[0].Missed(t.Context(), signedAt.Add(-day), signedAt, "")
	if len(hints) != 0 || next != "" || err != nil {
		t.Errorf("got %d hints, next %q, %v, want it passed over", len(hints), next, err)
	}
}

func TestHistoryTellsALostPageFromAnOutage(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"token invalid": {400, `{"errorCode":4000014}`, fault.Invalid}, "token expired": {400, `{"errorCode":4000017}`, fault.Invalid},
		"unauthorized": {401, "", fault.Unavailable}, "limited": {429, `{"errorCode":4290000}`, fault.Unavailable}, "broken": {500, "", fault.Unavailable},
		"empty": {200, "{}", fault.Unavailable}, "a page": {200, "<html>", fault.Unavailable},
		"more without a name": {200, `{"notificationHistory":[],"hasMore":true}`, fault.Unavailable},
		"itself again":        {200, `{"notificationHistory":[],"hasMore":true,"paginationToken":"p2"}`, fault.Unavailable},
	} {
		w := newWorld(t, true)
		w.instead = func(*http.Request, string) (*http.Response, error) { return apiSays(c.status, c.body), nil }
		_, _, err := w.store.Histories(w.Log)[0].Missed(t.Context(), signedAt.Add(-day), signedAt, "p2")
		t.Run(name, func(t *testing.T) { onlyKind(t, err, c.want) })
	}
}

// A notification that never arrived goes the way of a live one, and is no news once it was
// heard.
func TestMissedNotificationIsHeardLikeALiveOne(t *testing.T) {
	w := newWorld(t, true)
	id := subscribed(w)
	w.set(signedAt.Add(day))
	w.revoke(id, nil)
	w.pages[""] = page(w, "", w.notify("REFUND", id, nil))
	w.instead = func(r *http.Request, _ string) (*http.Response, error) {
		if strings.Contains(r.URL.Path, "history") {
			return nil, nil
		}
		return apiSays(http.StatusServiceUnavailable, ""), nil
	}
	hints, _, err := w.store.Histories(w.Log)[0].Missed(t.Context(), signedAt, w.Now().Add(time.Minute), "")
	if err != nil || len(hints) != 1 {
		t.Fatalf("got %d hints, %v, want one", len(hints), err)
	}
	live, err := w.store.Verifier.ReadHint(t.Context(), []byte(bodyOf(hints[0].Evidence)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(live, hints[0]); diff != "" {
		t.Errorf("hint (-live +missed):\n%s", diff)
	}
	for range 2 {
		applied, err := w.LookAgain(t.Context(), table.Default, apple.Name, hints[0].Evidence)
		if !applied || err != nil || w.order(id).State != purchase.OrderRefunded {
			t.Errorf("got applied %t, %v, order %s, want it refunded", applied, err, w.order(id).State)
		}
	}
}
