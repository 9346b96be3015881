package simulate_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"grantline/shared/fault"
	"grantline/shared/simulate"
	"grantline/shared/table"
)

var start = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)

func counter(id string) table.Key { return table.Key{Table: table.Orders, Partition: id} }

// add is a handler as ours are: read, decide, write on the condition of what was read.
func add(ctx context.Context, tables table.Tables, id, message string) error {
	for {
		item, err := tables.Get(ctx, counter(id))
		seen := map[string]bool{}
		if errors.Is(err, fault.NotFound) {
			item = table.Item{Key: counter(id)}
		} else if err != nil {
			return err
		} else if err := json.Unmarshal(item.Data, &seen); err != nil {
			return err
		}
		if seen[message] {
			return nil
		}
		seen[message] = true
		item.Schema = 1
		if item.Data, err = json.Marshal(seen); err != nil {
			return err
		}
		if err = tables.Commit(ctx, table.Put(item)); !errors.Is(err, fault.Conflict) {
			return err
		}
	}
}

// run sends 200 messages to a counter through bad weather, and gives what there is to see.
func run(t *testing.T, seed uint64) (counted, died int, steps, print uint64) {
	t.Helper()
	w := simulate.New(seed, start, simulate.NewWeather(seed, simulate.Bad()))
	defer w.Close()
	tables := simulate.NewTables(w)
	q := simulate.NewQueue(w, simulate.QueueOptions{
		Name: "messages", Function: "count", Visibility: 9 * time.Minute, MostReceives: 1, Batch: 10, Limit: 90 * time.Second,
	}, func(ctx context.Context, m string) error { return add(ctx, tables, "sum", m) })
	for n := range 200 {
		m := string(rune('a'+n%26)) + string(rune('a'+n/26))
		w.After(time.Duration(n)*time.Second, func() { q.Put(m) })
	}
	if v := w.Run(start.AddDate(0, 0, 7)); v != nil {
		t.Fatal(v)
	}
	if waiting, dead := q.Len(); waiting+dead != 0 {
		t.Errorf("seed %d: %d messages and %d dead letters are left after a week, want none", seed, waiting, dead)
	}
	item, _ := tables.Peek(counter("sum"))
	seen := map[string]bool{}
	if err := json.Unmarshal(item.Data, &seen); err != nil {
		t.Fatal(err)
	}
	return len(seen), q.Died, w.Steps(), w.Print()
}

func TestEveryMessageIsWorkedOnHoweverBadTheWeather(t *testing.T) {
	died := 0
	for seed := range uint64(50) {
		counted, d, _, _ := run(t, seed)
		if counted != 200 {
			t.Fatalf("seed %d: counted %d, want 200", seed, counted)
		}
		died += d
	}
	if died == 0 {
		t.Error("no message came to the dead letters in 50 seeds, want some")
	}
}

func TestASeedIsTheSameStoryEachTime(t *testing.T) {
	_, _, steps, print := run(t, 7)
	_, _, again, same := run(t, 7)
	if steps != again || print != same {
		t.Errorf("got %d steps with print %x, then %d with %x, want the same", steps, print, again, same)
	}
	if _, _, _, other := run(t, 8); other == print {
		t.Error("another seed is the same story, want another")
	}
}

// unlucky decides the same for each crossing but the first ones.
type unlucky struct {
	*simulate.Weather
	good int
	then simulate.Crossing
}

func (u *unlucky) Cross(simulate.Op) simulate.Crossing {
	if u.good--; u.good >= 0 {
		return simulate.Crossing{After: time.Millisecond}
	}
	return u.then
}

func TestAFunctionDiesBeforeOrAfterItsWriteAndNobodyHearsOfIt(t *testing.T) {
	for _, c := range []struct {
		what    string
		then    simulate.Crossing
		written bool
	}{
		{"before", simulate.Crossing{After: time.Millisecond, DieBefore: true}, false},
		{"after", simulate.Crossing{After: time.Millisecond, DieAfter: true}, true},
		{"at its deadline", simulate.Crossing{After: 2 * time.Minute}, false},
	} {
		w := simulate.New(1, start, &unlucky{simulate.NewWeather(1, simulate.Faults{}), 1, c.then})
		tables := simulate.NewTables(w)
		var ended error
		undone := true
		w.Invoke("f", time.Minute, func(ctx context.Context) error {
			defer func() { undone = false }()
			return add(ctx, tables, "n", "m")
		}, func(err error) { ended = err })
		_ = w.Run(start.Add(time.Hour))
		_, written := tables.Peek(counter("n"))
		if written != c.written || !errors.Is(ended, simulate.Killed) || undone {
			t.Errorf("%s: got written %v, ended %v, want %v and killed", c.what, written, ended, c.written)
		}
		w.Close()
	}
}

func TestALostAnswerIsDoneAndALostRequestIsNot(t *testing.T) {
	for fate, want := range map[simulate.Fate]bool{simulate.Lost: false, simulate.Unheard: true, simulate.Vague: false} {
		w := simulate.New(1, start, &unlucky{simulate.NewWeather(1, simulate.Faults{}), 1, simulate.Crossing{Fate: fate}})
		tables := simulate.NewTables(w)
		var ended error
		w.Invoke("f", time.Minute, func(ctx context.Context) error {
			_, _ = tables.Get(ctx, counter("n"))
			return tables.Commit(ctx, table.Inserted(table.Item{Key: counter("n"), Schema: 1, Data: []byte(`{}`)}))
		}, func(err error) { ended = err })
		_ = w.Run(start.Add(time.Hour))
		kind := fault.Unavailable
		if fate == simulate.Vague {
			kind = fault.Conflict
		}
		if _, is := tables.Peek(counter("n")); is != want || !errors.Is(ended, kind) {
			t.Errorf("%v: got %v, %v, want %v and %v", fate, is, ended, want, kind)
		}
		w.Close()
	}
}

func TestAPanicOfAHandlerIsToldWithItsSeed(t *testing.T) {
	w := simulate.New(1, start, simulate.NewWeather(1, simulate.Faults{}))
	defer w.Close()
	w.Invoke("f", time.Minute, func(context.Context) error { panic("a bug") }, nil)
	if v := w.Run(start.Add(time.Hour)); v == nil || v.Promise != "no function panics" {
		t.Errorf("got %v, want the promise that no function panics", v)
	}
}

func TestAScheduleSkipsOnlyWhatItsFunctionSaidIsIdle(t *testing.T) {
	w := simulate.New(1, start, simulate.NewWeather(1, simulate.Faults{}))
	defer w.Close()
	var at []time.Duration
	c := &simulate.Cron{Function: "tick", Every: time.Minute, Limit: time.Minute, Run: func(context.Context) (time.Time, error) {
		at = append(at, w.Now().Sub(start).Truncate(time.Minute))
		if len(at) == 2 {
			return time.Time{}, errors.New("failed")
		}
		return start.Add(time.Duration(len(at)) * time.Hour), nil
	}}
	c.Start(w)
	w.At(start.Add(30*time.Minute), func() { c.Wake(start.Add(45 * time.Minute)) })
	_ = w.Run(start.Add(4*time.Hour + time.Minute))
	want := []time.Duration{time.Minute, 45 * time.Minute, 46 * time.Minute, 3 * time.Hour, 4 * time.Hour}
	if len(at) != len(want) {
		t.Fatalf("ran at %v, want %v", at, want)
	}
	for n := range at {
		if at[n] != want[n] {
			t.Errorf("run %d: at %v, want %v", n, at[n], want[n])
		}
	}
}
