package delivery_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/delivery"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// What was decided before an endpoint was made may be written after it: it is told of what may
// have been decided within the life of a function.
func TestAnEndpointIsToldOfTheMomentsBeforeItWasMade(t *testing.T) {
	w := newWorld(t)
	w.tell("minji", event.PurchaseGranted)
	w.clock.advance(time.Minute)
	w.tell("minji", event.WalletSpent)
	w.clock.advance(90 * time.Second) // as long as a function lives
	w.endpoint("a")
	w.minutes(1)
	if got := w.got("a", "minji"); !slices.Equal(got, []int64{2}) {
		t.Errorf("got %v, want 2", got)
	}
	w.idle()
}

// Three days count from the first attempt, not from when it happened.
func TestAnOldEventThatIsToldAgainHasItsThreeDays(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", event.PurchaseGranted)
	w.minutes(1)
	w.clock.advance(400 * 24 * time.Hour)
	down := true
	w.receiver.answer = func(arrival) int {
		if down {
			return 500
		}
		return 200
	}
	if err := w.registry.Replay(t.Context(), table.Default, "a", w.ref("minji"), 0); err != nil {
		t.Fatal(err)
	}
	w.minutes(24 * 60)
	down = false
	w.minutes(24 * 60)
	if failures, _, err := w.registry.Failures(t.Context(), table.Default, "a", "", 10); err != nil || len(failures) != 0 {
		t.Errorf("dead letters: got %v, %v, want none", failures, err)
	}
	if got := w.got("a", "minji"); !slices.Equal(got, []int64{1, 1}) {
		t.Errorf("got %v, want 1 twice", got)
	}
	w.idle()
}

// An event whose three days end while its endpoint fails for everybody, but only since a moment
// ago, is not given up unheard.
func TestNoEventDiesUnheardOfAnEndpointThatJustFailed(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		failed, broken time.Duration // how long ago
		dead           bool
		by             time.Duration // when it is due, at the latest
	}{
		{0, time.Hour, false, 7 * time.Second},
		{3*day - time.Hour, time.Hour, false, time.Hour},
		{3 * day, time.Hour, false, 17 * time.Hour},
		{3 * day, 3*day - time.Minute, false, time.Minute},
		{4 * day, 3*day - time.Minute, false, time.Minute},
		{3*day - time.Minute, 4 * day, false, time.Minute},
		{3 * day, 3 * day, true, 0},
		{9 * day, 4 * day, true, 0},
	} {
		tries := 9
		if c.failed == 0 {
			tries = 0
		}
		due, dead := delivery.Refused(noon, noon.Add(-c.failed), noon.Add(-c.broken), tries)
		if dead != c.dead || !dead && (!due.After(noon) || due.After(noon.Add(c.by))) {
			t.Errorf("failing for %v, for everybody for %v: got dead %v, due in %v, want %v within %v", c.failed, c.broken, dead, due.Sub(noon), c.dead, c.by)
		}
	}
}

// Who sends what was due may die of it: the end of its lease is an entry as well.
func TestWhoDiesSendingWhatWasDueIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.receiver.answer = func(arrival) int { return 500 }
	w.tell("minji", event.PurchaseGranted)
	w.minutes(1)
	w.tick()
	messages := w.queue.take()
	if len(messages) != 1 || messages[0].Endpoint != "a" {
		t.Fatalf("got %v, want what is due at a", messages)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.receiver.meanwhile = func(arrival) { cancel() }
	if err := w.publisher.Work(ctx, messages[0]); err == nil {
		t.Errorf("Work: got no error, want that it was interrupted")
	}
	w.receiver.meanwhile, w.receiver.answer = nil, nil
	w.minutes(10)
	w.whole("a", "minji", 1)
	w.idle()
}

// Whoever dies in the middle of many repeats ten at most.
func TestFewAreRepeatedAfterADeath(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", slices.Repeat([]event.Type{event.WalletSpent}, 40)...)
	w.tick()
	m := w.queue.take()[0]
	ctx, cancel := context.WithCancel(t.Context())
	w.receiver.meanwhile = func(a arrival) {
		if a.body.Data.Sequence == 35 {
			cancel()
		}
	}
	_ = w.publisher.Work(ctx, m) // it dies
	w.receiver.meanwhile = nil
	w.minutes(10)
	w.whole("a", "minji", 40)
	if n := w.tries("a"); n > 40+10 {
		t.Errorf("got %d requests for 40 events, want ten repeated at most", n)
	}
	w.idle()
}

// The same on the way of what is due: its entry is not gone with the first ten.
func TestADeathAmongWhatIsToldAgainIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", slices.Repeat([]event.Type{event.WalletSpent}, 40)...)
	w.minutes(1)
	if err := w.registry.Replay(t.Context(), table.Default, "a", w.ref("minji"), 0); err != nil {
		t.Fatal(err)
	}
	w.tick()
	m := w.queue.take()[0]
	ctx, cancel := context.WithCancel(t.Context())
	w.receiver.meanwhile = func(a arrival) {
		if a.body.Data.Sequence == 35 {
			cancel()
		}
	}
	_ = w.publisher.Work(ctx, m) // it dies
	w.receiver.meanwhile = nil
	w.minutes(10)
	if got := w.got("a", "minji"); got[len(got)-1] != 40 || len(got) < 80 {
		t.Errorf("got %v, want all 40 again", got)
	}
	w.idle()
}

// What an endpoint was told that is no more says nothing of another under its id.
func TestAnEndpointMadeAgainBeginsAnew(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.endpoint("b")
	w.tell("minji", event.PurchaseGranted)
	w.minutes(1)
	if err := w.registry.Remove(t.Context(), table.Default, "b"); err != nil {
		t.Fatal(err)
	}
	w.tell("minji", event.WalletSpent)
	w.minutes(60)
	w.endpoint("b")
	w.tell("minji", event.WalletCredited)
	w.minutes(1)
	if got := w.got("b", "minji"); !slices.Equal(got, []int64{1, 3}) {
		t.Errorf("got %v, want nothing of while there was no b", got)
	}
	w.whole("a", "minji", 3)
	w.idle()
}

// A write that met another's transaction, which then came to nothing, is no other look that knows
// better: whoever could not write in the middle leaves an entry at the end.
func TestWhoMeetsAnotherInTheMiddleIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", slices.Repeat([]event.Type{event.WalletSpent}, 40)...)
	w.minutes(1)
	if err := w.registry.Replay(t.Context(), table.Default, "a", w.ref("minji"), 0); err != nil {
		t.Fatal(err)
	}
	w.tick()
	m := w.queue.take()[0]
	writes := 0
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" && strings.Contains(op.Keys[0].Partition, "#delivery#") {
			if writes++; writes == 2 { // after the lease, and ten events
				return false, &table.Conflict{Found: make([]*table.Item, len(op.Writes))}
			}
		}
		return true, nil
	}
	if err := w.publisher.Work(t.Context(), m); err != nil {
		t.Errorf("Work: got %v, want no error", err)
	}
	w.tables.Fail = nil
	w.minutes(10)
	if got := w.got("a", "minji"); got[len(got)-1] != 40 || len(got) < 80 {
		t.Errorf("got %v, want all 40 again", got)
	}
	w.idle()
}

// Three days are those in which an endpoint could have been told: what it did not take before it
// was disabled for longer has them anew once it is active again, and is due at once.
func TestNoEventDiesOfTheTimeInWhichItsEndpointWasDisabled(t *testing.T) {
	for _, others := range []int{0, 12} { // who make it fail for everybody
		w := newWorld(t)
		w.endpoint("a")
		down := true
		w.receiver.answer = func(arrival) int {
			if down {
				return 500
			}
			return 200
		}
		for i := range others {
			w.tell(fmt.Sprint("person ", i), event.WalletSpent)
		}
		w.tell("minji", event.PurchaseGranted, event.WalletSpent)
		w.minutes(30 * 60)
		set := func(to delivery.State) {
			if _, err := w.registry.Change(t.Context(), table.Default, "a", delivery.Change{State: &to}); err != nil {
				t.Fatal(err)
			}
		}
		set(delivery.Disabled)
		w.minutes(4 * 24 * 60)
		set(delivery.Active)
		w.minutes(5)
		if failures, _, err := w.registry.Failures(t.Context(), table.Default, "a", "", 10); err != nil || len(failures) != 0 {
			t.Errorf("with %d others: dead letters: got %v, %v, want none", others, failures, err)
		}
		down = false
		w.minutes(15 + others)
		w.whole("a", "minji", 2)
		w.idle()
	}
}
