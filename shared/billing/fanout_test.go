package billing_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// row puts an entry into the due index, as a subscription that wakes up then.
func (w *world) row(id string, at time.Time, shard int) {
	w.Helper()
	w.rowIn("toss", id, at, shard)
}

func (w *world) rowIn(lane, id string, at time.Time, shard int) {
	w.Helper()
	item := table.Item{
		Key: table.Key{Table: table.Subscriptions, Partition: scope.Key(id)}, Schema: 1, Data: []byte(`{}`),
		Index: &table.Index{Partition: scope.Key(lane, fmt.Sprint(shard)), Sort: at.UTC().Format(time.RFC3339) + "#" + id},
	}
	if err := w.tables.Commit(w.Context(), table.Inserted(item)); err != nil {
		w.Fatal(err)
	}
}

// done takes an entry out again, as the work on it does.
func (w *world) done(id string) {
	item, err := w.tables.Get(w.Context(), table.Key{Table: table.Subscriptions, Partition: scope.Key(id)})
	if err != nil {
		return
	}
	if err := w.tables.Commit(w.Context(), table.Removed(item)); err != nil {
		w.Fatal(err)
	}
}

// tick is one minute's; it returns what was handed over.
func (w *world) tick() []string {
	w.Helper()
	if _, err := w.fanout.Tick(w.Context()); err != nil {
		w.Fatal(err)
	}
	var ids []string
	for _, m := range w.queue.drain() {
		ids = append(ids, m.Subscription)
	}
	return ids
}

func (w *world) minute() { w.clock.set(w.clock.Now().Add(time.Minute)) }

func fanned(t *testing.T, shards billing.Shards, perMinute int) *world {
	w := newWorld(t, noon)
	w.fanout.Shards = shards
	w.fanout.Lines[0].PerMinute = perMinute
	return w
}

func TestThePaceIsKeptAndTheOldestComeFirst(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 10)
	var want []string
	for n := range 35 {
		id := fmt.Sprintf("s-%02d", n)
		w.row(id, noon.Add(-time.Hour+time.Duration(n)*time.Second), 0)
		want = append(want, id)
	}
	w.row("later", noon.Add(time.Hour), 0)
	w.clock.set(noon.Add(time.Minute))
	var got []string
	for n, most := range []int{10, 10, 10, 5, 0} {
		handed := w.tick()
		if len(handed) != most {
			t.Errorf("tick %d: got %d handed over, want %d", n, len(handed), most)
		}
		got = append(got, handed...)
		for _, id := range handed {
			w.done(id)
		}
		w.minute()
	}
	if !slices.Equal(got, want) {
		t.Errorf("handed over:\n got %v\nwant %v", got, want)
	}
}

func TestNothingIsHandedOverBeforeItIsDue(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 10)
	w.row("a", noon.Add(time.Second), 0)
	if got := w.tick(); len(got) != 0 {
		t.Errorf("a second before: got %v, want nothing", got)
	}
	w.clock.set(noon.Add(time.Second))
	if got := w.tick(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("at its second: got %v, want it", got)
	}
}

func TestAfterAnOutageAllThatIsDueComesInOrder(t *testing.T) {
	t.Parallel()
	w := fanned(t, 2, 300)
	w.tick()
	for n := range 6 * 60 {
		w.row(fmt.Sprintf("s-%03d", n), noon.Add(time.Duration(n)*time.Minute), n%2)
	}
	w.clock.set(noon.Add(6 * time.Hour))
	got := map[string]int{}
	for range 3 {
		for _, id := range w.tick() {
			got[id]++
			w.done(id)
		}
		w.minute()
	}
	if len(got) != 360 {
		t.Errorf("handed over: got %d, want all 360", len(got))
	}
	for id, n := range got {
		if n != 1 {
			t.Errorf("%s: handed over %d times, want once", id, n)
		}
	}
}

func TestARowThatShowsLateInTheIndexIsSeen(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 10)
	w.row("b", noon, 0)
	w.tick()
	w.done("b")
	w.row("a", noon.Add(-time.Minute), 0) // was written before b, and shows only now
	w.minute()
	if got := w.tick(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %v, want the late one", got)
	}
}

func TestALostMessageComesBackWithinHalfAnHour(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 100)
	w.row("lost", noon, 0)
	w.tick()
	w.minute()
	w.row("next", noon.Add(5*time.Minute), 0) // takes the cursor on
	back := 0
	for n := range 35 {
		for _, id := range w.tick() {
			if id == "next" {
				w.done(id)
			}
			if id == "lost" && n > 8 {
				back++
			}
		}
		w.minute()
	}
	if back == 0 || back > 4 {
		t.Errorf("the lost one came back %d times in half an hour, want once or twice", back)
	}
}

// The consumers were out of order for hours while the minute rule went on: everything was
// handed over and lost.
func TestAllThatWasLostComesBackWithinHours(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 30)
	const all = 1000
	for n := range all {
		w.row(fmt.Sprintf("s-%04d", n), noon.Add(time.Duration(n)*2*time.Second), 0)
	}
	for range 60 {
		w.tick() // and nobody works
		w.minute()
	}
	back := map[string]bool{}
	for range 3 * 60 {
		for _, id := range w.tick() {
			back[id] = true
			w.done(id)
		}
		w.minute()
	}
	if len(back) != all {
		t.Errorf("three hours later: got %d back, want all %d", len(back), all)
	}
}

// What cannot be done stands at the front for ever; it must not keep what was lost behind it.
func TestWhatNeverWorksDoesNotHoldUpWhatWasLost(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 20)
	for n := range 50 {
		w.row(fmt.Sprintf("never-%02d", n), noon.Add(time.Duration(n)*time.Second), 0)
	}
	w.row("lost", noon.Add(2*time.Minute), 0)
	w.row("next", noon.Add(10*time.Minute), 0)
	for range 15 {
		w.tick()
		w.minute()
	}
	w.done("next")
	for range 3 * 60 {
		if slices.Contains(w.tick(), "lost") {
			return
		}
		w.minute()
	}
	t.Error("the lost one did not come back within three hours")
}

func TestABacklogDoesNotKeepWhatWasLost(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 20)
	w.row("lost", noon, 0)
	w.tick()
	for n := range 2000 {
		w.row(fmt.Sprintf("s-%04d", n), noon.Add(time.Minute), 0)
	}
	for range 60 {
		w.minute()
		for _, id := range w.tick() {
			if id == "lost" {
				return
			}
			w.done(id)
		}
	}
	t.Error("the lost one did not come back within an hour of backlog")
}

func TestOneAtATimeIsAPaceToo(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 1)
	for n := range 5 {
		w.row(fmt.Sprintf("s-%d", n), noon.Add(time.Duration(n)*time.Second), 0)
	}
	w.minute()
	var got []string
	for range 5 {
		got = append(got, w.tick()...) // nobody works yet, so all stay in the index
		w.minute()
	}
	if want := []string{"s-0", "s-1", "s-2", "s-3", "s-4"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAHandOverThatFailsHalfwayIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := fanned(t, 1, 100)
	for n := range 10 {
		w.row(fmt.Sprintf("s-%d", n), noon.Add(time.Duration(n)*time.Minute), 0)
	}
	w.clock.set(noon.Add(31 * time.Minute))
	w.queue.take = func(int) (int, error) {
		return 4, fault.New(fault.Unavailable, "queue_unavailable", "The queue did not answer.")
	}
	report, err := w.fanout.Tick(t.Context())
	if err == nil || report.Sent != 4 || report.IdleUntil != nil || report.Behind < 0 {
		t.Errorf("got %+v, %v, want 4 sent, an error and no idleness", report, err)
	}
	w.queue.take = nil
	var got []string
	for _, m := range w.queue.drain() {
		got = append(got, m.Subscription)
		w.done(m.Subscription)
	}
	w.minute()
	got = append(got, w.tick()...)
	if want := []string{"s-0", "s-1", "s-2", "s-3", "s-4", "s-5", "s-6", "s-7", "s-8", "s-9"}; !slices.Equal(got, want) {
		t.Errorf("handed over in two: got %v, want %v", got, want)
	}
}

// failedTick is one whose k-th operation fails.
func (w *world) failedTick(k int, done bool) (billing.Report, error) {
	n := 0
	w.tables.Fail = func(memory.Op) (bool, error) {
		if n++; n == k {
			return done, broken()
		}
		return true, nil
	}
	defer func() { w.tables.Fail = nil }()
	return w.fanout.Tick(w.Context())
}

func TestATickThatFailsAnywhereLosesNothing(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		for k := 1; k <= 12; k++ {
			w := fanned(t, 2, 100)
			if report, err := w.failedTick(k, done); err != nil && (report.IdleUntil != nil || report.Behind < 0) {
				t.Errorf("a tick that failed with nothing to do: got %+v, want no idleness and nothing negative", report)
			}
			for n := range 10 {
				w.row(fmt.Sprintf("s-%d", n), noon.Add(time.Duration(n)*time.Second), n%2)
			}
			w.minute()
			report, err := w.failedTick(k, done)
			if err != nil && (report.IdleUntil != nil || report.Behind < 0) {
				t.Errorf("a tick that failed: got %+v, want no idleness and nothing negative", report)
			}
			got := map[string]bool{}
			for range 20 {
				for _, m := range w.queue.drain() {
					got[m.Subscription] = true
					w.done(m.Subscription)
				}
				w.minute()
				for _, id := range w.tick() {
					got[id] = true
					w.done(id)
				}
			}
			if len(got) != 10 {
				t.Errorf("operation %d failing, done %v: got %d handed over, want 10", k, done, len(got))
			}
		}
	}
}

func TestIdleUntilTheFirstThatWillBeDue(t *testing.T) {
	t.Parallel()
	w := fanned(t, 3, 10)
	report, err := w.fanout.Tick(t.Context())
	if err != nil || report.IdleUntil == nil || !report.IdleUntil.After(noon) {
		t.Fatalf("nothing at all: got %+v, %v, want idleness", report, err)
	}
	for n, after := range []time.Duration{50 * time.Hour, 3 * time.Hour, 7 * time.Hour} {
		w.row(fmt.Sprintf("s-%d", n), noon.Add(after), n)
	}
	if report, err = w.fanout.Tick(t.Context()); err != nil || report.IdleUntil == nil || !report.IdleUntil.Equal(noon.Add(3*time.Hour)) {
		t.Errorf("got %+v, %v, want idle for three hours", report, err)
	}
	w.clock.set(noon.Add(3*time.Hour + time.Minute))
	if report, err = w.fanout.Tick(t.Context()); err != nil || report.IdleUntil != nil || report.Behind != 60 {
		t.Errorf("while one is due: got %+v, %v, want no idleness and a minute behind", report, err)
	}
	text, err := json.Marshal(report)
	if err != nil || string(text) != `{"sent":1,"behindSeconds":60}` {
		t.Errorf("report: got %s, %v", text, err)
	}
}

func TestEveryShardAndLineHasItsTurn(t *testing.T) {
	t.Parallel()
	const shards = 64
	w := fanned(t, shards, 5)
	for shard := range shards {
		for n := range 10 {
			w.row(fmt.Sprintf("s-%d-%d", shard, n), noon, shard)
		}
	}
	other := &queue{}
	sandbox := table.Scope{Project: "default", Environment: "sandbox"}
	w.fanout.Lines = append(w.fanout.Lines, billing.Line{GatewayName: billing.GatewayName{Scope: sandbox, Gateway: "toss"}, Queue: other, PerMinute: 5})
	item := table.Item{
		Key: table.Key{Table: table.Subscriptions, Partition: sandbox.Key("s")}, Schema: 1, Data: []byte(`{}`),
		Index: &table.Index{Partition: sandbox.Key("toss", "7"), Sort: noon.Format(time.RFC3339) + "#s"},
	}
	if err := w.tables.Commit(t.Context(), table.Inserted(item)); err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for range 2 * shards {
		handed := w.tick()
		if len(handed) > 5 {
			t.Errorf("a tick handed over %d, want 5 at most over all shards", len(handed))
		}
		for _, id := range handed { // nobody works: the backlog never ends
			served[id] = true
		}
		w.minute()
	}
	for shard := range shards {
		if !served[fmt.Sprintf("s-%d-0", shard)] {
			t.Errorf("shard %d had no turn in %d minutes", shard, 2*shards)
		}
	}
	if got := other.drain(); len(got) == 0 || got[0].Due != (billing.Due{Project: "default", Environment: "sandbox", Subscription: "s"}) {
		t.Errorf("the sandbox's line: got %v, want its own subscription", got)
	}
}
