package appsintoss_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/appsintoss"
	"grantline/infra/sim/stage"
)

func minutes(n int) stage.Duration { return stage.Duration(time.Duration(n) * time.Minute) }

func TestWebhookHasTheSecretAndNoIDUserOrSignature(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	id := a.buy(appsintoss.Purchase{SKU: premium, UserKey: "443731103"}).OrderID
	a.must(a.Set(appsintoss.Settings{Scheme: ptr(appsintoss.Bearer), WebhookTimes: ptr(appsintoss.Zoned)}))
	a.must(a.Extend(appsintoss.Days{OrderID: id, Days: 1}))
	a.hears()
	got := a.receiver.Arrivals()
	current := map[string]any{"status": "ACTIVE", "accessGranted": true, "expiresAt": "2026-04-01T09:00:00", "autoRenew": true}
	want := map[string]any{
		"eventType": "subscription.status_changed", "eventVersion": "1.0", "occurredAt": "2026-03-01T09:00:00", "orderId": id, "sku": premium,
		"changeReason": "CREATED", "subscription": map[string]any{"current": current},
	}
	if diff := cmp.Diff(want, got[0].Body); diff != "" {
		t.Errorf("CREATED differs (-want +got):\n%s", diff)
	}
	want["occurredAt"], want["changeReason"] = "2026-03-01T09:00:00+09:00", "EXTENDED"
	want["subscription"] = map[string]any{"previous": current, "current": map[string]any{
		"status": "ACTIVE", "accessGranted": true, "expiresAt": "2026-04-02T09:00:00+09:00", "autoRenew": true,
	}}
	if diff := cmp.Diff(want, got[1].Body); diff != "" {
		t.Errorf("EXTENDED differs (-want +got):\n%s", diff)
	}
	for i, arrival := range got {
		if arrival.Path != "/webhooks/appsintoss" || arrival.Header.Get("Authorization") != "Bearer "+a.WebhookSecret() {
			t.Errorf("%d: got %s %q, want the secret as the scheme is at delivery", i, arrival.Path, arrival.Header.Get("Authorization"))
		}
		for name := range arrival.Header {
			if !slices.Contains([]string{"Accept-Encoding", "Authorization", "Connection", "Content-Length", "Content-Type", "User-Agent"}, name) {
				t.Errorf("%d: got header %s, want none that tells more", i, name)
			}
		}
		if strings.Contains(string(arrival.Raw), "443731103") {
			t.Errorf("%d: got the user in it, want nobody", i)
		}
	}
}

func TestExpiryMayBeNull(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	for _, c := range []struct {
		when   string
		isNull []bool
	}{{"never", []bool{false, false}}, {"created", []bool{true, false}}, {"always", []bool{true, true}}} {
		a.must(a.Set(appsintoss.Settings{NullExpiry: &c.when}))
		id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
		if got := a.info(id).ExpiresAt == nil; got != c.isNull[0] {
			t.Errorf("%s: info: got null %v, want %v", c.when, got, c.isNull[0])
		}
		a.must(a.Extend(appsintoss.Days{OrderID: id, Days: 1}))
		for i, w := range a.hears() {
			if got := w.Expires == nil; got != c.isNull[i] {
				t.Errorf("%s: %s: got null %v, want %v", c.when, w.Reason, got, c.isNull[i])
			}
		}
	}
}

func TestExpiryInGraceIsOneOfTwo(t *testing.T) {
	for which, want := range map[string]string{"period": "2026-04-01T09:00:00", "grace": "2026-04-08T09:00:00"} {
		a := newAgency(t, appsintoss.Options{})
		a.must(a.Set(appsintoss.Settings{GraceExpiry: &which}))
		id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
		a.must(a.FailBilling(appsintoss.Held{OrderID: id}))
		a.days(31)
		if got := a.hears(); len(got) != 2 || got[1].Expires != want {
			t.Errorf("%s: got %v, want %s", which, got, want)
		}
	}
}

func TestRefusedWebhookComesAgainByteForByteAndIsGivenUp(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	a.receiver.Answer(http.StatusServiceUnavailable)
	a.buy(appsintoss.Purchase{SKU: premium})
	a.clock.Advance(24 * time.Hour)
	got := a.receiver.Arrivals()
	if len(got) != 5 {
		t.Fatalf("got %d tries, want 5", len(got))
	}
	for i, after := range []time.Duration{0, 1, 3, 8, 18} {
		if at := got[i].At.Sub(got[0].At); at != after*time.Minute {
			t.Errorf("try %d: got it after %s, want %s", i+1, at, after*time.Minute)
		}
		if string(got[i].Raw) != string(got[0].Raw) {
			t.Errorf("try %d: got other bytes, want the same", i+1)
		}
	}
	a.receiver.Answer(http.StatusNoContent)
	a.clock.Advance(24 * time.Hour)
	if got := len(a.receiver.Arrivals()); got != 5 {
		t.Errorf("given up: got %d tries, want 5", got)
	}
	deliveries := a.Deliveries()
	if last := deliveries[len(deliveries)-1]; last.Fate != "given up" || last.Type != "CREATED" || last.Status != 503 {
		t.Errorf("log: got %+v, want it given up", last)
	}
}

func TestWebhooksAreLostDoubledAndOvertaken(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	for _, fate := range []stage.Fate{
		{How: stage.Drop, Type: "CREATED"}, {How: stage.Duplicate, Type: "EXTENDED"}, {How: stage.Reorder, Type: "AUTO_RENEW_DISABLED"},
	} {
		a.must(a.ScriptWebhook(fate))
	}
	id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
	a.must(a.Extend(appsintoss.Days{OrderID: id, Days: 1}))
	a.clock.Advance(time.Minute)
	a.must(a.SetAutoRenew(appsintoss.AutoRenew{OrderID: id}))
	a.must(a.Restart(appsintoss.Restart{OrderID: id}))
	a.clock.Advance(time.Minute)
	var reasons []string
	for _, w := range a.hears() {
		reasons = append(reasons, w.Reason)
	}
	if diff := cmp.Diff([]string{"EXTENDED", "EXTENDED", "RESTARTED", "AUTO_RENEW_DISABLED"}, reasons); diff != "" {
		t.Errorf("reasons differ (-want +got):\n%s", diff)
	}
	got := a.receiver.Arrivals()
	if string(got[0].Raw) != string(got[1].Raw) {
		t.Error("duplicate: got other bytes, want the same")
	}
}

func TestConsoleChecksTheAddress(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	for _, scheme := range []string{appsintoss.Bearer, appsintoss.Basic} {
		a.must(a.Set(appsintoss.Settings{VerificationScheme: &scheme}))
		a.receiver.Answer(http.StatusNoContent)
		status, err := a.Register(t.Context())
		if err != nil || status != http.StatusNoContent {
			t.Errorf("%s: got %d, %v; want what was answered", scheme, status, err)
		}
		all := a.receiver.Arrivals()
		last := all[len(all)-1]
		want := map[string]any{"eventType": appsintoss.Verification, "occurredAt": "2026-03-01T09:00:00"}
		if diff := cmp.Diff(want, last.Body); diff != "" {
			t.Errorf("%s: body differs (-want +got):\n%s", scheme, diff)
		}
		if got := last.Header.Get("Authorization"); got != scheme+" "+a.WebhookSecret() {
			t.Errorf("got Authorization %q, want %s and the secret", got, scheme)
		}
	}
	if _, err := newOffice(t, appsintoss.Options{}).Register(t.Context()); err == nil {
		t.Error("without an address: got it checked, want an error")
	}
}

func TestForgeryNeverHasASchemeAndTheSecret(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
	a.hears()
	genuine := []string{"Basic " + a.WebhookSecret(), "Bearer " + a.WebhookSecret()}
	seen := map[string]bool{}
	for i, how := range []string{"none", "empty", "wrong", "short", "long", "case", "bare", "token", "digest", "base64", "pair"} {
		a.receiver.Answer(400 + i)
		status, err := a.Forge(t.Context(), appsintoss.Forgery{How: how, OrderID: id, ChangeReason: "REVOKED"})
		if err != nil || status != 400+i {
			t.Fatalf("%s: got %d, %v; want what was answered", how, status, err)
		}
		all := a.receiver.Arrivals()
		last := all[len(all)-1]
		authorization := last.Header.Get("Authorization")
		if slices.Contains(genuine, authorization) || seen[authorization] {
			t.Errorf("%s: got %q, want another that is wrong", how, authorization)
		}
		seen[authorization] = true
		if last.Body["orderId"] != id || last.Body["changeReason"] != "REVOKED" {
			t.Errorf("%s: got %v, want it to be about the order", how, last.Body)
		}
	}
	if _, err := a.Forge(context.Background(), appsintoss.Forgery{How: "genuine"}); err == nil {
		t.Error("genuine: got it sent, want it refused")
	}
	if got := a.effects(id); len(got) != 1 {
		t.Errorf("got effects %v, want none of a forgery", got)
	}
}

func TestNoticeSaysWhatItIsToldTo(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
	a.hears()
	a.must(a.Notify(appsintoss.Notice{OrderID: id, ChangeReason: "TRANSFERRED", Status: "FROZEN", OccurredAt: "2020-01-01T00:00:00"}))
	a.must(a.Notify(appsintoss.Notice{Body: []byte(`{"eventType":"another"}`)}))
	a.must(a.Notify(appsintoss.Notice{Raw: "{"}))
	a.clock.Advance(0)
	got := a.receiver.Arrivals()[1:]
	if len(got) != 3 || got[0].Body["occurredAt"] != "2020-01-01T00:00:00" || got[0].Body["changeReason"] != "TRANSFERRED" ||
		string(got[1].Raw) != `{"eventType":"another"}` || string(got[2].Raw) != "{" {
		t.Errorf("got %v, want the three", got)
	}
	if a.Notify(appsintoss.Notice{OrderID: id}) == nil || a.Notify(appsintoss.Notice{OrderID: "nobody", ChangeReason: "RENEWED"}) == nil {
		t.Error("without reason, and of no order: got it sent, want it refused")
	}
}

func TestAnotherMiniAppHasNoAddress(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	a.buy(appsintoss.Purchase{SKU: premium, App: "another-app"})
	a.wants("another mini-app's subscription")
}
