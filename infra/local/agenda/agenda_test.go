package agenda_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/local/agenda"
	"grantline/infra/local/cron"
)

// In a synctest bubble the real time begins at midnight UTC of 2000-01-01 and passes only
// where a test waits.

type diary struct {
	*agenda.Agenda
	clock *agenda.Clock
	file  string

	mu      sync.Mutex
	entries []string
}

func open(t *testing.T) *diary {
	t.Helper()
	d := &diary{file: filepath.Join(t.TempDir(), "clock")}
	var err error
	if d.clock, err = agenda.NewClock(d.file); err != nil {
		t.Fatal(err)
	}
	d.Agenda = agenda.New(d.clock, func(what string, err error) { d.note("%s failed: %v", what, err) })
	return d
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, fmt.Sprintf(format, args...))
}

// schedule adds one that notes the instant and the clock, and is idle as idle says.
func (d *diary) schedule(t *testing.T, name, expression string, idle func(at time.Time) time.Duration) {
	t.Helper()
	e, err := cron.Parse(expression, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.Add(name, e, func(_ context.Context, at time.Time) (time.Time, error) {
		d.note("%s %s at %s", name, at.Format("02T15:04"), d.clock.Now().Format("02T15:04:05"))
		if idle == nil {
			return time.Time{}, nil
		}
		return at.Add(idle(at)), nil
	})
}

func (d *diary) move(t *testing.T, by time.Duration) time.Time {
	t.Helper()
	now, err := d.Move(t.Context(), by, func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func (d *diary) want(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if diff := cmp.Diff(want, d.entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	d.entries = nil
}

func TestAMoveFiresEachThingAtItsOwnInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		d.schedule(t, "five", "rate(5 minutes)", nil)
		d.schedule(t, "six", "rate(6 minutes)", nil)
		d.Hold("m", d.clock.Now().Add(5*time.Minute+30*time.Second), func(context.Context) error {
			d.note("message at %s", d.clock.Now().Format("15:04:05"))
			return nil
		})
		d.Hold("late", d.clock.Now().Add(13*time.Minute), func(context.Context) error { return errors.New("too early") })
		got := d.move(t, 12*time.Minute)
		if want := time.Date(2000, 1, 1, 0, 12, 0, 0, time.UTC); !got.Equal(want) {
			t.Errorf("got %v, want %v", got, want)
		}
		d.want(
			t, "five 01T00:05 at 01T00:05:00", "message at 00:05:30", "six 01T00:06 at 01T00:06:00",
			"five 01T00:10 at 01T00:10:00", "six 01T00:12 at 01T00:12:00",
		)
	})
}

func TestAMonthOfIdleTicksIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		d.schedule(t, "fanout", "rate(1 minute)", func(time.Time) time.Duration { return 30*24*time.Hour + 10*time.Second })
		d.move(t, 31*24*time.Hour)
		d.want(t, "fanout 01T00:01 at 01T00:01:00", "fanout 31T00:02 at 31T00:02:00")
	})
}

func TestAnyInvocationEndsIdleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		d.schedule(t, "fanout", "rate(1 minute)", func(time.Time) time.Duration { return 24 * time.Hour })
		d.move(t, 10*time.Minute)
		d.Invoked()
		d.move(t, 10*time.Minute)
		d.want(t, "fanout 01T00:01 at 01T00:01:00", "fanout 01T00:11 at 01T00:11:00")
	})
}

func TestAnInvocationDuringATickVoidsItsPromise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		first := true
		d.schedule(t, "fanout", "rate(1 minute)", func(time.Time) time.Duration {
			if first {
				first = false
				d.Invoked() // what it wrote, this tick may not have seen
			}
			return 24 * time.Hour
		})
		d.move(t, 10*time.Minute)
		d.want(t, "fanout 01T00:01 at 01T00:01:00", "fanout 01T00:02 at 01T00:02:00")
	})
}

func TestIdleSchedulesDoNotKeepEachOtherAwake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		day := func(time.Time) time.Duration { return 24 * time.Hour }
		d.schedule(t, "fanout", "rate(1 minute)", day)
		d.schedule(t, "sweep", "rate(1 minute)", day)
		d.move(t, 12*time.Hour)
		d.want(
			t, "fanout 01T00:01 at 01T00:01:00", "sweep 01T00:01 at 01T00:01:00",
			"fanout 01T00:02 at 01T00:02:00", // sweep ran after it had made its promise
		)
	})
}

func TestWhatATickCausesIsOverBeforeTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		d.schedule(t, "a", "rate(1 minute)", nil)
		quiet := func(context.Context) error {
			time.Sleep(40 * time.Second)
			d.note("quiet")
			return nil
		}
		now, err := d.Move(t.Context(), 2*time.Minute, quiet)
		if err != nil {
			t.Fatal(err)
		}
		d.want(t, "quiet", "a 01T00:01 at 01T00:01:00", "quiet", "a 01T00:02 at 01T00:02:00", "quiet")
		// The last thing took 40 s, and time does not go back.
		if want := time.Date(2000, 1, 1, 0, 2, 40, 0, time.UTC); !now.Equal(want) {
			t.Errorf("got %v, want %v", now, want)
		}
	})
}

func TestAMoveThatIsGivenUpStaysWhereItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		d.schedule(t, "a", "rate(1 minute)", nil)
		times := 0
		_, err := d.Move(t.Context(), time.Hour, func(context.Context) error {
			if times++; times == 3 {
				return context.Canceled
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if got, want := d.clock.Now(), time.Date(2000, 1, 1, 0, 2, 0, 0, time.UTC); !got.Equal(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestTheClockGoesNeitherBackwardsNorTooFar(t *testing.T) {
	d := open(t)
	for _, by := range []time.Duration{-1, agenda.Furthest + 1} {
		if _, err := d.Move(t.Context(), by, func(context.Context) error { return nil }); err == nil {
			t.Errorf("%v: got no error, want one", by)
		}
	}
}

func TestAtRestTheAgendaFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		d.schedule(t, "a", "rate(2 minutes)", nil)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { d.Run(ctx) })
		time.Sleep(30 * time.Second)
		d.Hold("m", d.clock.Now().Add(time.Second), func(context.Context) error { d.note("message"); return nil })
		d.Hold("gone", d.clock.Now().Add(time.Second), func(context.Context) error { d.note("gone"); return nil })
		d.Release("gone")
		time.Sleep(4 * time.Minute)
		d.want(t, "message", "a 01T00:02 at 01T00:02:00", "a 01T00:04 at 01T00:04:00")
		d.move(t, time.Hour-30*time.Second)
		time.Sleep(3 * time.Minute)
		cancel()
		group.Wait()
		if got := len(d.entries); got != 31 {
			t.Errorf("got %d ticks in 63 minutes, want 31", got)
		}
	})
}

func TestOneSlowTickDoesNotDelayAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		e, err := cron.Parse("rate(1 minute)", nil)
		if err != nil {
			t.Fatal(err)
		}
		d.Add("slow", e, func(context.Context, time.Time) (time.Time, error) {
			time.Sleep(90 * time.Second)
			return time.Time{}, errors.New("no luck")
		})
		d.schedule(t, "a", "rate(1 minute)", nil)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { d.Run(ctx) })
		time.Sleep(2*time.Minute + 45*time.Second)
		d.want(t, "a 01T00:01 at 01T00:01:00", "a 01T00:02 at 01T00:02:00", "schedule slow failed: no luck")
		cancel()
		group.Wait()
	})
}

func TestTheFileTellsFunctionsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		d.move(t, 72*time.Hour)
		text, err := os.ReadFile(d.file)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		want := fmt.Sprintf("%d %d\n", start.Add(72*time.Hour).UnixNano(), start.UnixNano())
		if string(text) != want {
			t.Errorf("got %q, want %q", text, want)
		}
	})
}
