package stage_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/stage"
	"grantline/infra/sim/stage/stagetest"
)

// pump is a stage that sends webhooks, each with its id as body.
type pump struct {
	*stage.Stage
	*stagetest.Clock

	receiver *stagetest.Receiver
}

func newPump(t *testing.T, o stage.Options) *pump {
	t.Helper()
	clock := stagetest.NewClock()
	p := &pump{Clock: clock, receiver: stagetest.NewReceiver(t, clock)}
	o.Now, o.At, o.Webhooks = clock.Now, clock.At, p.receiver.URL
	p.Stage = stage.New("one", []string{"call"}, stage.Answer{Status: 500}, o)
	p.Sends(stage.Sender{
		Path: "/hook", Retries: []time.Duration{time.Minute, time.Hour}, Timeout: time.Minute,
		OK: func(status int) bool { return status/100 == 2 },
	})
	t.Cleanup(p.Stage.Close)
	return p
}

// Now resolves which of the two is meant: they are the same.
func (p *pump) Now() time.Time { return p.Clock.Now() }

func (p *pump) send(id, kind string) {
	p.Send(stage.Webhook{ID: id, Type: kind, OrderID: "order-" + id, Compose: func(attempt int) (http.Header, []byte) {
		return http.Header{"Attempt": {strconv.Itoa(attempt)}}, []byte(`{"id":"` + id + `"}`)
	}})
}

// came is what arrived, as seconds after the start and id.
func (p *pump) came() (list []string) {
	start := stagetest.NewClock().Now()
	for _, a := range p.receiver.Arrivals() {
		id, _ := a.Body["id"].(string)
		list = append(list, strconv.Itoa(int(a.At.Sub(start)/time.Second))+" "+id)
	}
	return list
}

func (p *pump) wantCame(t *testing.T, what string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, p.came()); diff != "" {
		t.Errorf("%s: arrivals differ (-want +got):\n%s", what, diff)
	}
}

func TestWebhookIsRepeatedOnScheduleAndThenGivenUp(t *testing.T) {
	p := newPump(t, stage.Options{})
	p.receiver.Answer(500)
	p.send("a", "x")
	p.Advance(24 * time.Hour)
	p.wantCame(t, "refused", "0 a", "60 a", "3660 a")
	var attempts, fates []string
	for _, d := range p.Deliveries(0) {
		attempts, fates = append(attempts, strconv.Itoa(d.Attempt)), append(fates, d.Fate)
	}
	if diff := cmp.Diff([]string{"0", "1", "2"}, attempts); diff != "" {
		t.Errorf("attempts differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"", "", "given up"}, fates); diff != "" {
		t.Errorf("fates differ (-want +got):\n%s", diff)
	}
	p.receiver.Answer(204)
	if got := p.Recover(); got != 1 {
		t.Errorf("recover: got %d, want the one that was given up", got)
	}
	p.Advance(time.Hour)
	p.wantCame(t, "recovered", "0 a", "60 a", "3660 a", "86400 a")
	if got := p.Recover(); got != 0 {
		t.Errorf("recover again: got %d, want none", got)
	}
}

func TestWebhookThatIsAcceptedIsNotRepeated(t *testing.T) {
	p := newPump(t, stage.Options{})
	p.receiver.Answer(302)
	p.send("a", "x")
	p.Advance(30 * time.Second)
	p.receiver.Answer(200)
	p.Advance(24 * time.Hour)
	p.wantCame(t, "redirected, then accepted", "0 a", "60 a")
	if got := p.receiver.Arrivals()[1].Header.Get("Attempt"); got != "1" {
		t.Errorf("attempt: got %q, want 1", got)
	}
}

func TestWebhookIsSentNowhereWithoutAnAddress(t *testing.T) {
	s := newStage("one", 1)
	s.Sends(stage.Sender{Path: "/hook", Timeout: time.Minute, OK: func(int) bool { return true }})
	s.Send(stage.Webhook{ID: "a", Compose: func(int) (http.Header, []byte) {
		t.Error("composed, want that it is not")
		return nil, nil
	}})
	s.Close()
	if got := len(s.Deliveries(0)); got != 0 {
		t.Errorf("got %d deliveries, want none", got)
	}
}

func TestFateOfAWebhookCanBeScripted(t *testing.T) {
	for _, c := range []struct {
		fate stage.Fate
		want []string
	}{
		{stage.Fate{How: stage.Drop}, []string{"0 b", "0 c"}},
		{stage.Fate{How: stage.Duplicate}, []string{"0 a", "0 b", "0 c", "1 a"}},
		{stage.Fate{How: stage.Delay}, []string{"0 b", "0 c", "600 a"}},
		{stage.Fate{How: stage.Delay, Delay: stage.Duration(2 * time.Minute)}, []string{"0 b", "0 c", "120 a"}},
		{stage.Fate{How: stage.Reorder}, []string{"0 b", "0 c", "1 a"}},
		{stage.Fate{How: stage.Drop, Type: "y"}, []string{"0 a", "0 c"}},
		{stage.Fate{How: stage.Drop, OrderID: "order-c"}, []string{"0 a", "0 b"}},
		{stage.Fate{How: stage.Drop, Count: 2}, []string{"0 c"}},
	} {
		p := newPump(t, stage.Options{})
		if err := p.ScriptWebhook(c.fate); err != nil {
			t.Fatal(err)
		}
		p.send("a", "x")
		p.send("b", "y")
		p.send("c", "x")
		p.Advance(time.Hour)
		p.wantCame(t, c.fate.How, c.want...)
	}
}

func TestWebhookThatNothingOvertakesArrivesAllTheSame(t *testing.T) {
	p := newPump(t, stage.Options{})
	if err := p.ScriptWebhook(stage.Fate{How: stage.Reorder}); err != nil {
		t.Fatal(err)
	}
	p.send("a", "x")
	p.Advance(time.Hour)
	p.wantCame(t, "alone", "300 a")
}

func TestImpossibleFateIsRefused(t *testing.T) {
	p := newPump(t, stage.Options{})
	for _, f := range []stage.Fate{{}, {How: "lose"}, {How: stage.Delay, Delay: -1}} {
		if err := p.ScriptWebhook(f); err == nil {
			t.Errorf("%+v: got nil, want an error", f)
		}
	}
	if err := newStage("one", 1).ScriptWebhook(stage.Fate{How: stage.Drop}); err == nil {
		t.Error("of a provider without webhooks: got nil, want an error")
	}
}

func TestUnkindWebhooksGoWrongOfThemselves(t *testing.T) {
	p := newPump(t, stage.Options{Unkind: 100, Seed: 3})
	for i := range 100 {
		p.send(strconv.Itoa(i), "x")
	}
	p.Advance(24 * time.Hour)
	fates := map[string]int{}
	for _, d := range p.Deliveries(0) {
		fates[d.Fate]++
	}
	for _, how := range []string{stage.Drop, stage.Duplicate, stage.Delay, stage.Reorder} {
		if fates[how] == 0 {
			t.Errorf("%s: got none in a hundred, want some", how)
		}
	}
	if got, want := p.Recover(), fates[stage.Drop]; got != want {
		t.Errorf("recover: got %d, want the %d that were dropped", got, want)
	}
}

func TestNothingHappensLaterOnceClosed(t *testing.T) {
	real := stage.New("one", []string{"call"}, stage.Answer{}, stage.Options{})
	done := make(chan struct{})
	real.Later(time.Now().Add(-time.Hour), func(context.Context) { close(done) })
	<-done // what is past is done at once
	real.Later(time.Now().Add(time.Hour), func(context.Context) { t.Error("done after an hour that has not passed") })
	real.Close()
	real.Later(time.Now(), func(context.Context) { t.Error("done after the end") })

	p := newPump(t, stage.Options{})
	p.Later(p.Now(), func(context.Context) { t.Error("done after the end, by the given clock") })
	p.Stage.Close()
	p.Advance(time.Hour)
}

func TestWebhookMayHaveAWayAndRepeatsOfItsOwn(t *testing.T) {
	p := newPump(t, stage.Options{})
	p.receiver.Answer(503)
	var seen []int
	p.Send(stage.Webhook{
		ID: "a", Path: "/elsewhere",
		Compose: func(int) (http.Header, []byte) { return nil, []byte(`{"id":"a"}`) },
		Repeat: func(attempt, status int) (time.Duration, bool) {
			seen = append(seen, status)
			return 7 * time.Second, attempt < 1
		},
	})
	p.send("b", "x")
	p.Advance(30 * time.Second)
	p.wantCame(t, "its own repeats", "0 a", "0 b", "7 a")
	if got, want := p.receiver.Arrivals()[0].Path, "/elsewhere"; got != want {
		t.Errorf("path: got %q, want %q", got, want)
	}
	if diff := cmp.Diff([]int{503, 503}, seen); diff != "" {
		t.Errorf("statuses differ (-want +got):\n%s", diff)
	}
	list := p.DeliveriesOf("a")
	if len(list) != 2 || list[0].Attempt != 0 || list[1].Attempt != 1 || list[1].Fate != "given up" {
		t.Errorf("deliveries of a: got %+v, want its two attempts, the second given up", list)
	}
	if got := p.Post(t.Context(), nil, []byte(`{}`)); got != 503 || len(p.DeliveriesOf("")) != 0 {
		t.Errorf("post: got %d, want 503 and nothing in the log", got)
	}
}
