package billing_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
)

// lane adds another lane of toss, or of another gateway, with a queue of its own.
func (w *world) lane(gateway, lane string, perMinute int) *queue {
	q := &queue{}
	w.fanout.Lines = slices.DeleteFunc(w.fanout.Lines, func(l billing.Line) bool { return l.Gateway == gateway && l.Lane == lane })
	w.fanout.Lines = append(w.fanout.Lines, billing.Line{
		GatewayName: billing.GatewayName{Scope: scope, Gateway: gateway}, Lane: lane, Queue: q, PerMinute: perMinute,
	})
	return q
}

// rows puts n entries of a lane into the index, each a second after the one before.
func (w *world) rows(lane string, n int, from time.Time) {
	w.Helper()
	for i := range n {
		w.rowIn(lane, fmt.Sprintf("%s-%04d", lane, i), from.Add(time.Duration(i)*time.Second), 0)
	}
}

// worked takes what was handed over out of the index, and counts it.
func (w *world) worked(q *queue) int {
	all := q.drain()
	for _, m := range all {
		w.done(m.Subscription)
	}
	return len(all)
}

func TestRetriesTakeWhatFirstChargesLeaveAndNeverMoreThanTheirShare(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 10)
	retries := w.lane("toss", billing.RetriesLane("toss"), 4)
	w.rows("toss", 27, noon.Add(-time.Hour))
	w.rows("toss-retries", 100, noon.Add(-2*time.Hour)) // mass dunning, and longer due
	for n, want := range [][2]int{{10, 0}, {10, 0}, {7, 3}, {0, 4}, {0, 4}} {
		if _, err := w.fanout.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		if first, again := w.worked(w.queue), w.worked(retries); first != want[0] || again != want[1] {
			t.Errorf("minute %d: got %d first charges and %d retries, want %d and %d", n, first, again, want[0], want[1])
		}
		w.minute()
	}
}

func TestABacklogOfFirstChargesStarvesNoRetries(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 10)
	retries := w.lane("toss", billing.RetriesLane("toss"), 4)
	w.rows("toss", 1000, noon.Add(-time.Hour))
	w.rows("toss-retries", 12, noon.Add(-time.Hour))
	handed := 0
	for range 30 {
		if _, err := w.fanout.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		first, again := w.worked(w.queue), w.worked(retries)
		if first+again > 10 || again > 4 || first < 6 {
			t.Errorf("at %v: got %d first charges and %d retries, want 10 together, 4 retries at most", w.clock.Now(), first, again)
		}
		handed += again
		w.minute()
	}
	if handed != 12 {
		t.Errorf("in half an hour of backlog: got %d retries handed over, want all 12", handed)
	}
}

func TestLanesOfDifferentGatewaysDoNotShareAPace(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 5)
	deliver := w.lane("deliver", "deliver", 7)
	w.rows("toss", 20, noon.Add(-time.Hour))
	w.rows("deliver", 20, noon.Add(-time.Hour))
	if _, err := w.fanout.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first, other := w.worked(w.queue), w.worked(deliver); first != 5 || other != 7 {
		t.Errorf("got %d and %d handed over, want 5 and 7", first, other)
	}
}

func TestAnEntrysIDIsHandedOverAsItStands(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 1)
	want := []string{"errand:a", "errand:a-b", "errand:a:b", "errand:a_b#c", "errand:b", "errand:~"}
	for _, id := range want {
		w.row(id, noon, 0) // all at one instant, each id the beginning of another
	}
	var got []string
	for range want {
		got = append(got, w.tick()...) // nobody works yet, so only the cursor leads on
		w.minute()
	}
	if !slices.Equal(got, want) {
		t.Errorf("handed over:\n got %q\nwant %q", got, want)
	}
}

func TestIdleUntilLooksAtEveryLane(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 10)
	retries := w.lane("toss", billing.RetriesLane("toss"), 4)
	w.row("a", noon.Add(3*time.Hour), 0)
	w.rowIn("toss-retries", "b", noon.Add(time.Hour), 0)
	report, err := w.fanout.Tick(t.Context())
	if err != nil || report.IdleUntil == nil || !report.IdleUntil.Equal(noon.Add(time.Hour)) {
		t.Errorf("got %+v, %v, want idle until the retry", report, err)
	}
	w.clock.set(noon.Add(time.Hour))
	if report, err = w.fanout.Tick(t.Context()); err != nil || report.IdleUntil != nil || w.worked(retries) != 1 {
		t.Errorf("when it is due: got %+v, %v, want it handed over and no idleness", report, err)
	}
}

// ending is the context of an invocation whose end comes near when it is told to.
type ending struct {
	context.Context
	near bool
}

func (e *ending) Deadline() (time.Time, bool) {
	if e.near {
		return time.Now().Add(time.Second), true
	}
	return time.Now().Add(time.Hour), true
}

func TestATickThatRunsOutOfTimeGoesOnWithTheNext(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 10_000)
	w.rows("toss", 450, noon.Add(-time.Hour))
	ctx := &ending{Context: t.Context()}
	w.queue.take = func(n int) (int, error) {
		ctx.near = true
		return n, nil
	}
	seen := map[string]int{}
	for n, want := range []int{200, 200, 50} {
		ctx.near = false
		report, err := w.fanout.Tick(ctx)
		if err != nil || report.Sent != want || report.IdleUntil != nil {
			t.Errorf("tick %d: got %+v, %v, want a page of %d, no error and no idleness", n, report, err, want)
		}
		for _, m := range w.queue.drain() {
			seen[m.Subscription]++
			w.done(m.Subscription)
		}
		w.minute()
	}
	if len(seen) != 450 {
		t.Errorf("got %d handed over, want all 450", len(seen))
	}
	ctx.near = true
	w.row("late", w.clock.Now(), 0)
	if report, err := w.fanout.Tick(ctx); err != nil || report.Sent != 0 || report.IdleUntil != nil {
		t.Errorf("with no time at all: got %+v, %v, want nothing sent, no error and no idleness", report, err)
	}
	ctx.near, w.queue.take = false, nil
	w.minute()
	if got := strings.Join(w.tick(), " "); got != "late" {
		t.Errorf("the tick after: got %q, want what was left", got)
	}
}
