package delivery_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/delivery"
	"grantline/shared/event"
	"grantline/shared/table"
)

func TestEventsAreToldInOrderToEachEndpoint(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.endpoint("b")
	w.tell("minji", event.PurchaseGranted, event.WalletSpent, event.PurchaseRefunded)
	w.tell("jisoo", event.WalletCredited)
	w.minutes(1)
	for _, e := range []string{"a", "b"} {
		if got, want := w.got(e, "minji"), []int64{1, 2, 3}; !slices.Equal(got, want) {
			t.Errorf("%s of minji: got %v, want %v", e, got, want)
		}
		if got, want := w.got(e, "jisoo"), []int64{1}; !slices.Equal(got, want) {
			t.Errorf("%s of jisoo: got %v, want %v", e, got, want)
		}
	}
	w.idle()
	w.tell("minji", event.WalletSpent)
	w.minutes(1)
	w.whole("a", "minji", 4)
	w.idle()
	a := w.receiver.arrived[0]
	if a.body.Type != event.PurchaseGranted || a.body.Data.Type != event.PurchaseGranted || !a.body.Timestamp.Equal(noon) ||
		a.body.Data.Project != "default" || a.body.Data.Environment != "production" || a.body.Data.Reference != "of purchase.granted" {
		t.Errorf("got %s, want the event with its customer and scope", a.text)
	}
}

func TestWhatIsNotTakenHoldsUpItsOwnCustomerAlone(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	failing := true
	w.receiver.answer = func(a arrival) int {
		if failing && a.body.Data.CustomerID == "minji" && a.body.Data.Sequence == 2 {
			return 500
		}
		return 204
	}
	w.tell("minji", event.PurchaseGranted, event.WalletSpent, event.WalletSpent)
	w.tell("jisoo", event.PurchaseGranted, event.WalletSpent)
	w.minutes(30)
	if got := w.got("a", "minji"); !slices.Equal(got, []int64{1}) {
		t.Errorf("minji: got %v, want 1 alone", got)
	}
	w.whole("a", "jisoo", 2)
	w.tell("minji", event.WalletSpent)
	w.tell("jisoo", event.WalletSpent)
	w.minutes(2)
	w.whole("a", "jisoo", 3)
	failing = false
	w.minutes(60)
	if got, want := w.got("a", "minji"), []int64{1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("minji: got %v, want %v", got, want)
	}
	w.idle()
}

func TestAnEventHasOneIDHoweverOftenItIsTold(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.endpoint("b")
	w.receiver.lost = func(a arrival) bool { return w.tries(a.endpoint) < 3 }
	w.tell("minji", event.PurchaseGranted, event.WalletSpent, event.WalletSpent)
	w.tell("jisoo", event.PurchaseGranted)
	w.minutes(60)
	ids := map[string]string{}
	for _, a := range w.receiver.arrived {
		what := a.body.Data.CustomerID + "/" + string(rune('0'+a.body.Data.Sequence))
		id := a.header.Get("Webhook-Id")
		if was, known := ids[what]; known && was != id || !strings.HasPrefix(id, "evt_") || len(id) != 36 {
			t.Errorf("%s: got the id %q, want it always the same", what, id)
		}
		for other, of := range ids {
			if other != what && of == id {
				t.Errorf("%s and %s have the same id", what, other)
			}
		}
		ids[what] = id
	}
	w.whole("a", "minji", 3)
	w.whole("b", "minji", 3)
	w.idle()
}

func TestAnEventIsTriedForThreeDaysAtGrowingDistances(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.receiver.answer = func(a arrival) int {
		if a.body.Data.CustomerID == "minji" {
			return 503
		}
		return 200
	}
	w.tell("minji", event.PurchaseGranted)
	start := w.clock.Now()
	for range 4 * 24 * 60 { // others are told, so that the endpoint does not fail for everybody
		w.minutes(1)
		if w.clock.Now().Minute() == 0 {
			w.tell("jisoo", event.WalletSpent)
		}
	}
	var gaps []time.Duration
	last := start
	for _, a := range w.receiver.arrived {
		if a.body.Data.CustomerID == "minji" {
			gaps = append(gaps, a.at.Sub(last))
			last = a.at
		}
	}
	want := []time.Duration{0, 5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour}
	for i, d := range want {
		if i >= len(gaps) || gaps[i] < d || gaps[i] > d+d/5+time.Minute {
			t.Fatalf("distances: got %v, want about %v", gaps, want)
		}
	}
	if n := len(gaps); n < 11 || n > 13 || last.Sub(start) < 72*time.Hour || last.Sub(start) > 72*time.Hour+2*time.Minute {
		t.Errorf("got %d tries until %v after the first, want a dozen until three days are over", len(gaps), last.Sub(start))
	}
	failures, next, err := w.registry.Failures(t.Context(), table.Default, "a", "", 10)
	if err != nil || next != "" || len(failures) != 1 {
		t.Fatalf("dead letters: got %v, %q, %v, want one", failures, next, err)
	}
	if f := failures[0]; f.CustomerID != "minji" || f.From != 1 || f.To != 1 || f.Status != 503 {
		t.Errorf("dead letter: got %+v, want minji's first event and 503", f)
	}
	if n := w.logs.alarms(); n != 1 {
		t.Errorf("alarms: got %d, want 1", n)
	}
	w.minutes(2)
	w.idle()
}

func TestWhatIsBehindADeadLetterIsToldAtOnce(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.receiver.answer = func(a arrival) int {
		if a.body.Data.Sequence == 2 && a.body.Data.CustomerID == "minji" {
			return 400
		}
		return 200
	}
	w.tell("minji", event.PurchaseGranted, event.WalletSpent, event.WalletSpent)
	for range 80 {
		w.minutes(60)
		w.tell("jisoo", event.WalletSpent)
	}
	if got, want := w.got("a", "minji"), []int64{1, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestADeadLetterIsToldAgainWithWhatFollowed(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	broken := true
	w.receiver.answer = func(arrival) int {
		if broken {
			return 0
		}
		return 200
	}
	w.tell("minji", event.PurchaseGranted, event.WalletSpent)
	w.tell("jisoo", event.PurchaseGranted)
	w.minutes(80 * 60)
	failures, _, err := w.registry.Failures(t.Context(), table.Default, "a", "", 10)
	if err != nil || len(failures) != 2 {
		t.Fatalf("dead letters: got %+v, %v, want two", failures, err)
	}
	for _, f := range failures {
		if want := map[string]int64{"minji": 2, "jisoo": 1}[f.CustomerID]; f.From != 1 || f.To != want || f.Status != 0 {
			t.Errorf("dead letter: got %+v, want 1 to %d", f, want)
		}
	}
	w.idle()
	broken = false
	w.tell("minji", event.WalletSpent)
	w.minutes(2)
	done, more, err := w.registry.Redrive(t.Context(), table.Default, "a")
	if err != nil || more || done != 2 {
		t.Errorf("Redrive: got %d, %v, %v, want 2 and no more", done, more, err)
	}
	w.minutes(2)
	if got, want := w.got("a", "minji"), []int64{3, 1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("minji: got %v, want %v", got, want)
	}
	w.whole("a", "jisoo", 1)
	if failures, _, err := w.registry.Failures(t.Context(), table.Default, "a", "", 10); err != nil || len(failures) != 0 {
		t.Errorf("dead letters: got %v, %v, want none", failures, err)
	}
	if done, more, err := w.registry.Redrive(t.Context(), table.Default, "a"); err != nil || more || done != 0 {
		t.Errorf("Redrive again: got %d, %v, %v, want nothing to do", done, more, err)
	}
	w.idle()
}

func TestReplayTellsAgainFromANumberOn(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", event.PurchaseGranted, event.WalletSpent, event.WalletSpent)
	w.minutes(1)
	for _, after := range []int64{1, 3, 0} {
		if err := w.registry.Replay(t.Context(), table.Default, "a", w.ref("minji"), after); err != nil {
			t.Fatal(err)
		}
		w.minutes(2)
	}
	if got, want := w.got("a", "minji"), []int64{1, 2, 3, 2, 3, 1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	w.idle()
	wantFault(t, w.registry.Replay(t.Context(), table.Default, "a", w.ref("minji"), 4), "no_such_event")
	wantFault(t, w.registry.Replay(t.Context(), table.Default, "a", w.ref("jisoo"), 0), "customer_not_found")
	wantFault(t, w.registry.Replay(t.Context(), table.Default, "b", w.ref("minji"), 0), "endpoint_not_found")
}

// Whoever has later events told again while earlier ones still wait passes over none of those.
func TestAReplayPassesOverNothingThatWasNeverTold(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	down := true
	w.receiver.answer = func(arrival) int {
		if down {
			return 503
		}
		return 200
	}
	w.tell("minji", event.PurchaseGranted, event.WalletSpent, event.WalletSpent)
	w.minutes(10)
	down = false
	if err := w.registry.Replay(t.Context(), table.Default, "a", w.ref("minji"), 2); err != nil {
		t.Fatal(err)
	}
	w.minutes(2)
	if got := w.got("a", "minji"); !slices.Equal(got, []int64{1, 2, 3}) {
		t.Errorf("got %v, want all three", got)
	}
	w.idle()
}

func TestAnEndpointIsToldOfWhatItAskedFor(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a", func(n *delivery.NewEndpoint) { n.Types = []string{"wallet.*", "purchase.granted"} })
	w.tell("minji", event.PurchaseGranted, event.PurchaseRefunded, event.WalletSpent, event.CustomerErased)
	w.minutes(1)
	if got, want := w.got("a", "minji"), []int64{1, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	w.idle()
}

func TestAnEndpointIsToldFromNowOnOrFromTheBeginning(t *testing.T) {
	w := newWorld(t)
	w.tell("minji", event.PurchaseGranted, event.WalletSpent)
	w.minutes(60)
	if r := w.tick(); r.IdleUntil == nil || r.Sent != 0 {
		t.Errorf("without an endpoint: got %+v, want nothing to do", r)
	}
	w.endpoint("now")
	w.endpoint("beginning", func(n *delivery.NewEndpoint) { n.FromBeginning = true })
	w.minutes(1)
	if got := w.got("now", "minji"); len(got) != 0 {
		t.Errorf("from now on: got %v, want nothing of before", got)
	}
	w.whole("beginning", "minji", 2)
	w.idle()
	w.tell("minji", event.WalletSpent)
	w.minutes(1)
	if got := w.got("now", "minji"); !slices.Equal(got, []int64{3}) {
		t.Errorf("from now on: got %v, want 3", got)
	}
	w.whole("beginning", "minji", 3)
	// One that is made between: what is relayed already counts as before.
	w.clock.advance(time.Second)
	w.endpoint("later")
	w.tell("minji", event.WalletSpent)
	w.minutes(1)
	if got := w.got("later", "minji"); !slices.Equal(got, []int64{4}) {
		t.Errorf("later: got %v, want 4", got)
	}
	w.idle()
}

func TestAnEndpointThatIsGoneIsDisabledAndMissesNothing(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.endpoint("b")
	gone := true
	w.receiver.answer = func(a arrival) int {
		if gone && a.endpoint == "a" {
			return 410
		}
		return 200
	}
	w.tell("minji", event.PurchaseGranted, event.WalletSpent)
	w.minutes(1)
	e, err := w.registry.Get(t.Context(), table.Default, "a")
	if err != nil || e.State != delivery.Disabled || e.Because != delivery.ByGone {
		t.Fatalf("got %+v, %v, want it disabled because it is gone", e, err)
	}
	w.tell("minji", event.WalletSpent)
	w.tell("jisoo", event.WalletSpent)
	w.minutes(10 * 24 * 60)
	if n := w.tries("a"); n != 1 {
		t.Errorf("got %d requests while it is disabled, want the first alone", n)
	}
	w.whole("b", "minji", 3)
	w.idle()
	gone = false
	state := delivery.Active
	if _, err := w.registry.Change(t.Context(), table.Default, "a", delivery.Change{State: &state}); err != nil {
		t.Fatal(err)
	}
	w.minutes(2)
	w.whole("a", "minji", 3)
	w.whole("a", "jisoo", 1)
	w.idle()
}

func TestAnEndpointThatFailsForEverybodyIsOnlyProbed(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	down := true
	w.receiver.answer = func(arrival) int {
		if down {
			return 502
		}
		return 200
	}
	people := 200
	for i := range people {
		w.tell(fmt.Sprint("person ", i), event.PurchaseGranted)
	}
	w.minutes(1)
	if n := w.tries("a"); n < 10 || n > 11 {
		t.Errorf("the first minute: got %d requests, want ten and then no more", n)
	}
	before := w.tries("a")
	w.minutes(60)
	if n := w.tries("a") - before; n < 1 || n > 60 {
		t.Errorf("an hour: got %d requests, want one a minute at most", n)
	}
	if n := w.logs.alarms(); n != 1 {
		t.Errorf("alarms: got %d, want 1", n)
	}
	down = false
	w.minutes(12 * 60)
	for i := range people {
		w.whole("a", fmt.Sprint("person ", i), 1)
	}
	w.idle()
}

func TestTwoWhoLookAtOnceDoNotSendAtOnce(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", event.PurchaseGranted, event.WalletSpent)
	w.tick()
	m := w.queue.take()[0]
	within := 0
	w.receiver.meanwhile = func(a arrival) {
		if within++; within > 1 {
			return
		}
		w.tell("minji", event.WalletSpent) // and one more comes
		if err := w.publisher.Work(t.Context(), m); err != nil {
			t.Errorf("Work: got %v, want no error", err)
		}
		m.Endpoint = "a"
		if err := w.publisher.Work(t.Context(), m); err != nil {
			t.Errorf("Work: got %v, want no error", err)
		}
		m.Endpoint = ""
	}
	if err := w.publisher.Work(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.minutes(1)
	if got, want := w.got("a", "minji"), []int64{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	w.idle()
}

// settled: a look that began earlier may see less of the customer than the progress it finds.
func TestAWaitingEventIsNotForgottenByALookThatIsBehind(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", event.PurchaseGranted)
	w.receiver.answer = func(a arrival) int {
		if a.body.Data.Sequence == 2 && w.tries("a") < 3 {
			return 500
		}
		return 200
	}
	w.tick()
	m := w.queue.take()[0]
	once := false
	w.tables.Fail = func(op memoryOp) (bool, error) {
		// Between the read of the customer and that of the progress, another look takes 1 and fails at 2.
		if !once && op.Method == "Get" && op.Touches(table.Endpoints) && strings.Contains(op.Keys[0].Partition, "#delivery#") {
			once = true
			w.tell("minji", event.WalletSpent)
			if err := w.publisher.Work(t.Context(), m); err != nil {
				t.Errorf("Work: got %v, want no error", err)
			}
		}
		return true, nil
	}
	if err := w.publisher.Work(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.tables.Fail = nil
	w.minutes(30)
	w.whole("a", "minji", 2)
	w.idle()
}

// The last endpoint may be removed while messages are under way.
func TestWithoutAnEndpointTheOutboxKeepsWhatThereIs(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", event.PurchaseGranted)
	w.tick()
	m := w.queue.take()[0]
	if err := w.registry.Remove(t.Context(), table.Default, "a"); err != nil {
		t.Fatal(err)
	}
	if err := w.publisher.Work(t.Context(), m); err != nil {
		t.Errorf("Work: got %v, want no error", err)
	}
	w.clock.advance(time.Hour)
	w.endpoint("b", func(n *delivery.NewEndpoint) { n.FromBeginning = true })
	w.minutes(1)
	w.whole("b", "minji", 1)
	w.idle()
}
