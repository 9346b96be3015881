package billing_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

func TestThePaceHalvesWithEachBusyMinuteAndDoublesWithEachQuietOne(t *testing.T) {
	t.Parallel()
	// Ticks come in each minute, though not at the same second.
	after := func(minutes, seconds int) time.Time {
		return noon.Add(time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second)
	}
	never := time.Time{}
	for _, c := range []struct {
		what        string
		was         billing.Pace
		busyAt, now time.Time
		full        int
		want        billing.Pace
	}{
		{"quiet from the first", billing.Pace{}, never, after(0, 5), 300, billing.Pace{Pace: 300}},
		{"full and quiet", billing.Pace{Pace: 300, At: after(-60, 0)}, never, after(0, 5), 300, billing.Pace{Pace: 300, At: after(-60, 0)}},
		{"the first note", billing.Pace{}, after(0, 30), after(1, 5), 300, billing.Pace{Pace: 150, At: after(1, 5), Busy: after(0, 30)}},
		{
			"busy again",
			billing.Pace{Pace: 150, At: after(1, 5), Busy: after(0, 30)},
			after(1, 50), after(2, 1), 300,
			billing.Pace{Pace: 75, At: after(2, 1), Busy: after(1, 50)},
		},
		{
			"busy in the minute of the tick",
			billing.Pace{Pace: 150, At: after(1, 5), Busy: after(0, 30)},
			after(2, 0), after(2, 1), 300,
			billing.Pace{Pace: 75, At: after(2, 1), Busy: after(2, 0)},
		},
		{
			"a note is heeded once",
			billing.Pace{Pace: 75, At: after(2, 1), Busy: after(2, 0)},
			after(2, 0), after(2, 59), 300,
			billing.Pace{Pace: 75, At: after(2, 1), Busy: after(2, 0)},
		},
		{
			"a quiet minute",
			billing.Pace{Pace: 75, At: after(2, 1), Busy: after(2, 0)},
			after(2, 0), after(3, 0), 300,
			billing.Pace{Pace: 150, At: after(3, 0), Busy: after(2, 0)},
		},
		{
			"no higher than full",
			billing.Pace{Pace: 256, At: after(2, 1), Busy: after(2, 0)},
			after(2, 0), after(3, 0), 300,
			billing.Pace{Pace: 300, At: after(3, 0), Busy: after(2, 0)},
		},
		{
			"no lower than one",
			billing.Pace{Pace: 1, At: after(2, 1), Busy: after(2, 0)},
			after(2, 30), after(3, 0), 300,
			billing.Pace{Pace: 1, At: after(3, 0), Busy: after(2, 30)},
		},
		{
			"one grows too",
			billing.Pace{Pace: 1, At: after(3, 0), Busy: after(2, 30)},
			after(2, 30), after(4, 0), 300,
			billing.Pace{Pace: 2, At: after(4, 0), Busy: after(2, 30)},
		},
		{
			"a full pace of one",
			billing.Pace{Pace: 1, At: after(0, 0)},
			after(2, 30), after(3, 0), 1,
			billing.Pace{Pace: 1, At: after(3, 0), Busy: after(2, 30)},
		},
		{
			"ticks were missed, all quiet",
			billing.Pace{Pace: 10, At: after(0, 0), Busy: after(0, 0)},
			after(0, 0), after(3, 0), 300,
			billing.Pace{Pace: 80, At: after(3, 0), Busy: after(0, 0)},
		},
		{
			"ticks were missed, one of them busy",
			billing.Pace{Pace: 16, At: after(0, 0), Busy: after(-1, 0)},
			after(3, 30), after(5, 0), 300,
			billing.Pace{Pace: 64, At: after(5, 0), Busy: after(3, 30)}, // 16 32 64, halved, 64
		},
		{
			"idle for a day, then busy at once",
			billing.Pace{Pace: 1, At: after(0, 0), Busy: after(0, 0)},
			after(1440, 10), after(1441, 0), 300,
			billing.Pace{Pace: 150, At: after(1441, 0), Busy: after(1440, 10)},
		},
		{
			"a note from a clock ahead",
			billing.Pace{Pace: 300, At: after(0, 0)},
			after(9, 0), after(1, 0), 300,
			billing.Pace{Pace: 150, At: after(1, 0), Busy: after(9, 0)},
		},
		{
			"a note from a clock ahead makes nothing grow",
			billing.Pace{Pace: 10, At: after(0, 0), Busy: after(-1, 0)},
			after(9, 0), after(1, 0), 300,
			billing.Pace{Pace: 5, At: after(1, 0), Busy: after(9, 0)},
		},
		{
			"a note from a clock behind",
			billing.Pace{Pace: 300, At: after(1, 5)},
			after(1, 4), after(2, 5), 300,
			billing.Pace{Pace: 150, At: after(2, 5), Busy: after(1, 4)},
		},
		{
			"less is configured",
			billing.Pace{Pace: 300, At: after(0, 0)},
			never, after(1, 0), 90,
			billing.Pace{Pace: 90, At: after(1, 0)},
		},
		{
			"more is configured",
			billing.Pace{Pace: 90, At: after(0, 0)},
			never, after(2, 0), 300,
			billing.Pace{Pace: 300, At: after(2, 0)},
		},
	} {
		if diff := cmp.Diff(c.want, billing.NextPace(c.was, c.busyAt, c.now, c.full)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
}

// busy notes a 429.
func (w *world) busy(gateway string) {
	w.Helper()
	if err := billing.Busy(w.Context(), w.tables, w.clock, scope, gateway); err != nil {
		w.Fatal(err)
	}
}

// commits counts the writes that act makes.
func (w *world) commits(act func()) int {
	n := 0
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" {
			n++
		}
		return true, nil
	}
	defer func() { w.tables.Fail = nil }()
	act()
	return n
}

func TestA429SlowsItsGatewayWithAllItsLanesAndNoOther(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 40)
	retries := w.lane("toss", billing.RetriesLane("toss"), 15)
	dodo := w.lane("dodo", "dodo", 40)
	w.rows("toss", 5, noon.Add(-time.Hour))
	w.rows("toss-retries", 1000, noon.Add(-time.Hour))
	w.rows("dodo", 1000, noon.Add(-time.Hour))
	var got [][3]int
	for minute := range 14 {
		if minute > 0 && minute <= 7 {
			w.clock.set(w.clock.Now().Add(30 * time.Second))
			w.busy("toss")
			w.clock.set(w.clock.Now().Add(30 * time.Second))
		} else {
			w.minute()
		}
		if _, err := w.fanout.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		got = append(got, [3]int{w.worked(w.queue), w.worked(retries), w.worked(dodo)})
	}
	want := [][3]int{
		{5, 15, 40},
		{0, 15, 40},
		{0, 10, 40},
		{0, 5, 40},
		{0, 2, 40},
		{0, 1, 40},
		{0, 1, 40},
		{0, 1, 40},
		{0, 2, 40},
		{0, 4, 40},
		{0, 8, 40},
		{0, 15, 40},
		{0, 15, 40},
		{0, 15, 40},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("handed over each minute, first charges, retries and another gateway's (-want +got):\n%s", diff)
	}
}

func TestAQuietSystemCostsNoWrite(t *testing.T) {
	t.Parallel()
	w := fanned(t, 4, 300)
	w.lane("toss", billing.RetriesLane("toss"), 15)
	ticks := func(n int) {
		for range n {
			w.minute()
			w.tick()
		}
	}
	if n := w.commits(func() { ticks(30) }); n != 0 {
		t.Errorf("half an hour without anything: got %d writes, want none", n)
	}
	if n := w.commits(func() { w.busy("toss"); ticks(1) }); n != 1 {
		t.Errorf("a 429 while nothing is due: got %d writes, want the note alone", n)
	}
	if n := w.commits(func() { ticks(30) }); n != 0 {
		t.Errorf("quiet again: got %d writes, want none", n)
	}
}

func TestAPaceThatRecoversKeepsNobodyAwake(t *testing.T) {
	t.Parallel()
	w := fanned(t, 2, 300)
	for range 3 {
		w.busy("toss")
		w.minute()
		report, err := w.fanout.Tick(t.Context())
		if err != nil || report.IdleUntil == nil {
			t.Fatalf("nothing is due: got %+v, %v, want idleness", report, err)
		}
	}
}

func TestA429IsNotedEachTwentySecondsAtMost(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 300)
	n := w.commits(func() {
		for range 60 { // ten a second for six seconds, then one a second
			w.busy("toss")
			w.clock.set(w.clock.Now().Add(100 * time.Millisecond))
		}
		for range 54 {
			w.busy("toss")
			w.clock.set(w.clock.Now().Add(time.Second))
		}
	})
	if n != 3 {
		t.Errorf("114 answers 429 within a minute: got %d writes, want 3", n)
	}
}

func TestANoteFromAClockFarAheadSilencesNobody(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 300)
	w.clock.set(noon.Add(time.Hour))
	w.busy("toss")
	w.clock.set(noon)
	if n := w.commits(func() { w.busy("toss") }); n != 1 {
		t.Errorf("after a note an hour ahead: got %d writes, want one", n)
	}
}

func TestANoteThatSomebodyElseMadeFirstIsGoodEnough(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 300)
	w.busy("toss")
	behind := &lagging{Tables: w.tables} // it remembers nothing, so there is no note yet
	if err := billing.Busy(t.Context(), behind, w.clock, scope, "toss"); err != nil {
		t.Errorf("a note overtaken by the first one: got %v, want no error", err)
	}
	behind.remember(t, w)
	w.minute()
	w.busy("toss")
	if err := billing.Busy(t.Context(), behind, w.clock, scope, "toss"); err != nil {
		t.Errorf("a note overtaken by another one: got %v, want no error", err)
	}
}

func TestANoteThatCannotBeMadeIsAnOutage(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Glance", "Commit"} {
		w := fanned(t, 1, 300)
		w.tables.Fail = func(op memory.Op) (bool, error) {
			if op.Method == method {
				return false, broken()
			}
			return true, nil
		}
		if err := billing.Busy(t.Context(), w.tables, w.clock, scope, "toss"); !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s failing: got %v, want fault.Unavailable", method, err)
		}
	}
}

// ofPace says whether an operation is on the item of the pace or of the note.
func ofPace(op memory.Op, item string) bool {
	return slices.ContainsFunc(op.Keys, func(k table.Key) bool { return strings.HasSuffix(k.Partition, "#"+item) })
}

func TestAPaceThatCannotBeReadOrKeptHoldsUpNoCharge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		item, method string
		want         int
	}{
		{"pace", "Get", 40},    // nobody knows better
		{"busy", "Glance", 20}, // what was decided before, and a quiet minute since
		{"pace", "Commit", 5},  // decided, and decided again by the next tick
	} {
		w := fanned(t, 1, 40)
		w.rows("toss", 200, noon.Add(-time.Hour))
		for range 2 { // to 20, then to 10
			w.busy("toss")
			w.minute()
			w.tick()
		}
		w.busy("toss")
		w.minute()
		w.tables.Fail = func(op memory.Op) (bool, error) {
			if op.Method == c.method && ofPace(op, c.item) {
				return false, broken()
			}
			return true, nil
		}
		if got := len(w.tick()); got != c.want {
			t.Errorf("%s of %s failing: got %d handed over, want %d", c.method, c.item, got, c.want)
		}
		w.tables.Fail = nil
	}
}
