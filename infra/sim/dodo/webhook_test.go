package dodo_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/dodo"
	"grantline/infra/sim/stage"
	"grantline/infra/sim/stage/stagetest"
)

func TestSignatureIsThatOfStandardWebhooks(t *testing.T) {
	got := dodo.Signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// signed says which of the secrets signed a webhook, in the order of its signatures.
func signed(a stagetest.Arrival, secrets map[string]string) (names []string) {
	for signature := range strings.SplitSeq(a.Header.Get("Webhook-Signature"), " ") {
		for name, secret := range secrets {
			if signature == dodo.Signature(secret, a.Header.Get("Webhook-Id"), a.Header.Get("Webhook-Timestamp"), a.Raw) {
				names = append(names, name)
			}
		}
	}
	return names
}

func TestRotatedSecretSignsForADay(t *testing.T) {
	s := newShop(t, dodo.Options{})
	secrets := s.Secrets()
	known := map[string]string{"old": secrets[0], "new": secrets[1]}
	last := func() stagetest.Arrival {
		s.must(s.Hold(dodo.Selection{SubscriptionID: s.active()}))
		s.clock.Advance(0)
		arrivals := s.hooks.Arrivals()
		return arrivals[len(arrivals)-1]
	}
	if diff := cmp.Diff([]string{"old"}, signed(last(), known)); diff != "" {
		t.Errorf("before: signatures differ (-want +got):\n%s", diff)
	}
	if got := s.Rotate(); got != known["new"] {
		t.Errorf("rotate: got %s, want the one that was foretold", got)
	}
	if diff := cmp.Diff([]string{"new", "old"}, signed(last(), known)); diff != "" {
		t.Errorf("rotated: signatures differ (-want +got):\n%s", diff)
	}
	s.clock.Advance(24 * time.Hour)
	if diff := cmp.Diff([]string{"new"}, signed(last(), known)); diff != "" {
		t.Errorf("a day later: signatures differ (-want +got):\n%s", diff)
	}
}

func TestWebhookIsRepeatedWithItsIdAndTheLatestState(t *testing.T) {
	s := newShop(t, dodo.Options{})
	id := s.active()
	s.hooks.Answer(500)
	began := len(s.hooks.Arrivals())
	start := s.clock.Now()
	payment := s.charge(id, "order-1", 2500)
	s.must(s.Webhook(stage.Fate{How: stage.Drop, Type: "payment.succeeded"}))
	s.clock.Advance(48 * time.Hour)
	var seconds []int
	ids, stamps := map[string]bool{}, map[string]bool{}
	for _, a := range s.hooks.Arrivals()[began:] {
		seconds = append(seconds, int(a.At.Sub(start)/time.Second))
		ids[a.Header.Get("Webhook-Id")] = true
		stamps[a.Header.Get("Webhook-Timestamp")] = true
		data := a.Body["data"].(fields)
		want := "succeeded"
		if a.At.Before(start.Add(3 * time.Second)) {
			want = "processing"
		}
		if data["status"] != want || data["payload_type"] != "Payment" || data["payment_id"] != payment || a.Path != "/webhooks/dodo" {
			t.Errorf("at %v: got %v to %s, want the payment as it is then, %s", a.At, data, a.Path, want)
		}
		if a.Body["type"] != "payment.processing" || a.Body["timestamp"] != "2026-03-01T00:00:00.000000Z" || a.Body["business_id"] == "" {
			t.Errorf("at %v: got %v, want the event's own time", a.At, a.Body)
		}
	}
	if diff := cmp.Diff([]int{0, 0, 5, 305, 2105, 9305, 27305, 63305, 99305}, seconds); diff != "" {
		t.Errorf("attempts differ (-want +got):\n%s", diff)
	}
	if len(ids) != 1 || len(stamps) != 8 {
		t.Errorf("got %d ids and %d time stamps, want one id and a time stamp for each instant", len(ids), len(stamps))
	}
	s.hooks.Answer(200)
	if got := s.Recover(); got != 2 {
		t.Errorf("recover: got %d, want the dropped and the given up", got)
	}
	s.clock.Advance(0)
	types := s.types()
	if diff := cmp.Diff([]string{"payment.processing", "payment.succeeded"}, sorted(types[len(types)-2:])); diff != "" {
		t.Errorf("recovered differ (-want +got):\n%s", diff)
	}
}

func sorted(list []string) []string {
	if len(list) == 2 && list[0] > list[1] {
		list[0], list[1] = list[1], list[0]
	}
	return list
}
