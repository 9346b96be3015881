package delivery_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/delivery"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

type memoryOp = memory.Op

func broken() error {
	return fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
}

func wantFault(t *testing.T, err error, code string) {
	t.Helper()
	if got := fault.Code(err); err == nil || got != code {
		t.Errorf("got %v, want %s", err, code)
	}
	if errors.Is(err, fault.Unavailable) {
		t.Errorf("got an outage, %v", err)
	}
}

// A story has what a delivery can meet: two endpoints, one that asks for some types alone, an
// answer of 500, an answer that is lost, an endpoint that is gone for a while, a dead letter that
// is told again, and a replay. disturb is asked before it begins, and what fails is let fail.
func story(t testing.TB, disturb func(*world)) *world {
	w := newWorld(t)
	w.endpoint("a")
	w.endpoint("b", func(n *delivery.NewEndpoint) { n.Types = []string{"wallet.*"} })
	seen, gone, dead := map[string]int{}, false, false
	w.receiver.answer = func(a arrival) int {
		what := fmt.Sprint(a.endpoint, a.body.Data.CustomerID, a.body.Data.Sequence)
		seen[what]++
		switch {
		case gone && a.endpoint == "b":
			return 410
		case dead && what == "aminji5":
			return 400
		case what == "aminji2" && seen[what] == 1:
			return 500
		}
		return 200
	}
	w.receiver.lost = func(a arrival) bool { return a.endpoint == "b" && a.body.Data.Sequence == 2 && seen["bminji2"] == 1 }
	run := func(minutes int) {
		end := w.clock.Now().Add(time.Duration(minutes) * time.Minute)
		for w.clock.Now().Before(end) {
			report, err := w.fanout.Tick(t.Context())
			for _, m := range w.queue.take() {
				err = errors.Join(err, w.publisher.Work(t.Context(), m)) // what fails is handed over again
			}
			step := time.Minute
			if err == nil && report.IdleUntil != nil && report.Sent == 0 {
				step = max(step, min(report.IdleUntil.Sub(w.clock.Now()).Truncate(time.Minute), end.Sub(w.clock.Now())))
			}
			w.clock.advance(step)
		}
	}
	asked := func(do func() error) {
		for try := 0; ; try++ {
			if err := do(); err == nil {
				return
			} else if try > 5 {
				t.Fatal(err)
			}
			w.clock.advance(time.Second)
		}
	}
	if disturb != nil {
		disturb(w)
	}
	fail := w.tables.Fail
	quiet := func(do func()) { // what writes events, and what a test reads, is not disturbed
		w.tables.Fail = nil
		do()
		w.tables.Fail = fail
	}
	quiet(func() {
		w.tell("minji", event.PurchaseGranted, event.WalletSpent, event.PurchaseRefunded)
		w.tell("jisoo", event.WalletSpent)
	})
	run(10)
	gone = true
	quiet(func() { w.tell("minji", event.WalletCredited) })
	run(20)
	gone = false
	active := delivery.Active
	asked(func() error {
		_, err := w.registry.Change(t.Context(), table.Default, "b", delivery.Change{State: &active})
		return err
	})
	run(20)
	dead = true
	quiet(func() { w.tell("minji", event.PurchaseGranted, event.WalletSpent) })
	run(74 * 60)
	dead = false
	asked(func() error { _, _, err := w.registry.Redrive(t.Context(), table.Default, "a"); return err })
	run(20)
	asked(func() error {
		return w.registry.Replay(t.Context(), table.Default, "b", w.ref("jisoo"), 0)
	})
	run(20 * 60)
	w.tables.Fail = nil
	return w
}

func (w *world) wantStory() {
	w.Helper()
	w.whole("a", "minji", 6)
	w.whole("a", "jisoo", 1)
	for id, want := range map[string][]int64{"minji": {2, 4, 6}, "jisoo": {1}} {
		got := w.got("b", id)
		seen := slices.Clone(got)
		slices.Sort(seen)
		if seen = slices.Compact(seen); !slices.Equal(seen, want) {
			w.Errorf("b of %s: got %v, want each of %v", id, got, want)
		}
		most := int64(0)
		for _, s := range got { // a repeat begins anew, and nothing is left out on the way
			at := slices.Index(want, s)
			if at > 0 && most < want[at-1] {
				w.Errorf("b of %s: got %v, want none before the one in front of it", id, got)
			}
			most = max(most, s)
		}
	}
	w.idle()
	if failures, _, err := w.registry.Failures(w.Context(), table.Default, "a", "", 10); err != nil || len(failures) != 0 {
		w.Errorf("dead letters: got %v, %v, want none", failures, err)
	}
}

// operations are those of an undisturbed story that are worth failing: all that write, all that
// a look reads, and each eleventh of a tick's queries, which are alike.
func operations(t *testing.T) (all []int, writes map[int]bool) {
	n, queries := 0, 0
	writes = map[int]bool{}
	story(t, func(w *world) {
		w.tables.Fail = func(op memory.Op) (bool, error) {
			n++
			if op.Query.Indexed {
				if queries++; queries%11 != 0 {
					return true, nil
				}
			}
			all, writes[n] = append(all, n), op.Method == "Commit"
			return true, nil
		}
	}).wantStory()
	if n < 500 || len(all) < 200 {
		t.Fatalf("the story has %d operations, %d of them to fail; want all of them counted", n, len(all))
	}
	return all, writes
}

// {nothing done, done and the answer lost} × the operations of the story.
func TestAnyOperationMayFailAndNothingIsLostOrOvertaken(t *testing.T) {
	t.Parallel()
	all, writes := operations(t)
	for _, k := range all {
		for _, done := range []bool{false, true} {
			if done && !writes[k] {
				continue
			}
			n := 0
			w := story(t, func(w *world) {
				w.tables.Fail = func(memory.Op) (bool, error) {
					if n++; n == k {
						return done, broken()
					}
					return true, nil
				}
			})
			if w.wantStory(); t.Failed() {
				t.Fatalf("with operation %d failing, done %v", k, done)
			}
		}
	}
}

// A function that is killed does nothing more: all its operations fail from then on, until the
// clock moves.
func TestAFunctionMayBeKilledAtAnyOperation(t *testing.T) {
	t.Parallel()
	all, writes := operations(t)
	for _, k := range all {
		for _, done := range []bool{false, true} {
			if done && !writes[k] {
				continue
			}
			n := 0
			var died time.Time
			w := story(t, func(w *world) {
				w.tables.Fail = func(memory.Op) (bool, error) {
					n++
					switch {
					case n == k:
						died = w.clock.Now()
						return done, broken()
					case n > k && died.Equal(w.clock.Now()):
						return false, broken()
					}
					return true, nil
				}
			})
			if w.wantStory(); t.Failed() {
				t.Fatalf("killed at operation %d, done %v", k, done)
			}
		}
	}
}

// Another look at the same customer, from its beginning to its end, at each operation of a look,
// with an event that comes at that moment.
func TestTwoLooksInEachOthersMiddleKeepTheOrder(t *testing.T) {
	one := func(k int, endpoint string, more bool) (w *world, n int) {
		w = newWorld(t)
		w.endpoint("a")
		w.endpoint("b")
		fails := 0
		w.receiver.answer = func(a arrival) int {
			if a.body.Data.Sequence == 2 && a.endpoint == "b" && fails < 2 {
				fails++
				return 500
			}
			return 200
		}
		w.tell("minji", event.PurchaseGranted, event.WalletSpent)
		w.minutes(0)
		w.tick()
		m := w.queue.take()[0]
		inner := m
		inner.Endpoint = endpoint
		within := false
		w.tables.Fail = func(memory.Op) (bool, error) {
			if within {
				return true, nil
			}
			if n++; n == k {
				within = true
				if more {
					w.tell("minji", event.WalletSpent)
				}
				if err := w.publisher.Work(t.Context(), inner); err != nil {
					t.Errorf("the look within: got %v, want no error", err)
				}
				within = false
			}
			return true, nil
		}
		if err := w.publisher.Work(t.Context(), m); err != nil {
			t.Errorf("the look around: got %v, want no error", err)
		}
		w.tables.Fail = nil
		return w, n
	}
	_, all := one(0, "", false)
	for k := 1; k <= all; k++ {
		for _, endpoint := range []string{"", "a", "b"} {
			for _, more := range []bool{false, true} {
				w, _ := one(k, endpoint, more)
				w.minutes(60)
				want := int64(2)
				if more {
					want = 3
				}
				for _, e := range []string{"a", "b"} {
					w.whole(e, "minji", want)
					if got := w.got(e, "minji"); int64(len(got)) != want {
						t.Errorf("%s: got %v, want each once: nobody died", e, got)
					}
				}
				if w.idle(); t.Failed() {
					t.Fatalf("another look, at %q, with one more %v, at operation %d of %d", endpoint, more, k, all)
				}
			}
		}
	}
}

// Anything at any time: endpoints that fail and lose answers, tables that fail, functions that
// are killed, messages that are lost or come twice.
func TestWhateverHappensEachEndpointHearsAllInOrder(t *testing.T) {
	for seed := range uint64(60) {
		chance := rand.New(rand.NewPCG(seed, 8))
		w := newWorld(t)
		w.endpoint("a")
		w.endpoint("b")
		calm := false
		w.receiver.answer = func(arrival) int {
			if !calm && chance.IntN(3) == 0 {
				return []int{0, 302, 404, 429, 500, 503}[chance.IntN(6)]
			}
			return 200
		}
		w.receiver.lost = func(arrival) bool { return !calm && chance.IntN(5) == 0 }
		fail := func(memory.Op) (bool, error) {
			if !calm && chance.IntN(30) == 0 {
				return chance.IntN(2) == 0, broken()
			}
			return true, nil
		}
		told := map[string]int64{}
		people := []string{"minji", "jisoo", "hana"}
		for range 150 {
			w.tables.Fail = nil
			if chance.IntN(4) == 0 {
				p := people[chance.IntN(len(people))]
				w.tell(p, event.WalletSpent)
				told[p]++
			}
			w.tables.Fail = fail
			_, _ = w.fanout.Tick(t.Context())
			messages := w.queue.take()
			chance.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
			for _, m := range messages {
				for range chance.IntN(3) { // lost, once, twice
					_ = w.publisher.Work(t.Context(), m)
				}
			}
			w.clock.advance(time.Duration(chance.IntN(10)+1) * time.Minute)
		}
		w.tables.Fail, calm = nil, true
		w.minutes(30 * 60)
		for _, p := range people {
			w.whole("a", p, told[p])
			w.whole("b", p, told[p])
		}
		if w.idle(); t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

// A lane that is longer than a tick can is gone through all the same, whatever stays in it.
func TestWhatNeverGoesAwayKeepsNobodyWaiting(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.fanout.MostALane = 3
	stuck := map[string]bool{}
	for i := range 100 {
		id := fmt.Sprint("stuck ", i)
		w.tell(id, event.WalletSpent)
		stuck[w.ref(id)] = true
	}
	w.clock.advance(time.Minute)
	for i := range 10 {
		w.tell(fmt.Sprint("person ", i), event.WalletSpent)
	}
	for range 30 {
		w.tick()
		for _, m := range w.queue.take() {
			if stuck[m.Customer] {
				continue // its look fails, each time
			}
			if err := w.publisher.Work(t.Context(), m); err != nil {
				t.Errorf("Work: got %v, want no error", err)
			}
		}
		w.clock.advance(time.Minute)
	}
	for i := range 10 {
		w.whole("a", fmt.Sprint("person ", i), 1)
	}
	for range 30 {
		w.minutes(1)
	}
	for i := range 100 {
		w.whole("a", fmt.Sprint("stuck ", i), 1)
	}
	w.idle()
}

func TestATickSaysWhatItCouldNotDoAndGoesOn(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", event.WalletSpent)
	w.queue.fail = func(delivery.Wake) bool { return true }
	if report, err := w.fanout.Tick(t.Context()); err == nil || report.IdleUntil != nil || report.Sent != 0 {
		t.Errorf("a queue that is down: got %+v, %v, want an error and no idling", report, err)
	}
	w.queue.fail = nil
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Query" && op.Touches(table.Endpoints) {
			return false, broken()
		}
		return true, nil
	}
	if report, err := w.fanout.Tick(t.Context()); err == nil || report.Sent != 1 {
		t.Errorf("an index that is down: got %+v, %v, want an error and what the other has", report, err)
	}
	w.tables.Fail = nil
	w.clock.advance(time.Hour)
	if report := w.tick(); report.Behind != 3600 {
		t.Errorf("behind: got %d s, want 3600", report.Behind)
	}
	w.minutes(1)
	w.idle()
}

func TestWhatIsBeyondTheTimeOfAnInvocationIsDueAtOnce(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	kinds := slices.Repeat([]event.Type{event.WalletSpent}, 1203)
	w.tell("minji", kinds...)
	w.minutes(1)
	if n := w.tries("a"); n != 500 {
		t.Errorf("one look: got %d requests, want 500 at most", n)
	}
	w.minutes(5)
	w.whole("a", "minji", 1203)
	if n := len(w.got("a", "minji")); n != 1203 {
		t.Errorf("got %d, want each once", n)
	}
	w.idle()
}

func TestATableThatFailsLeavesNoSecretInItsError(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", event.WalletSpent)
	w.tick()
	m := w.queue.take()[0]
	for k := range 12 {
		n := 0
		w.tables.Fail = func(memory.Op) (bool, error) {
			if n++; n == k {
				return false, broken()
			}
			return true, nil
		}
		if err := w.publisher.Work(t.Context(), m); err != nil && (strings.Contains(err.Error(), "example") || !errors.Is(err, fault.Unavailable)) {
			t.Errorf("operation %d: got %v, want an outage without the address", k, err)
		}
	}
	w.tables.Fail = nil
}
