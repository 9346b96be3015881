package audit_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/audit"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

var midnight = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

// ticking is a clock that goes on by a millisecond each time it is read.
type ticking struct{ at time.Time }

func (c *ticking) Now() time.Time {
	c.at = c.at.Add(time.Millisecond)
	return c.at
}

func (c *ticking) Sleep(context.Context, time.Duration) error { return nil }

func journal() (*audit.Journal, *memory.Tables, *ticking) {
	tables, now := memory.New(), &ticking{midnight}
	return &audit.Journal{Tables: tables, Clock: now}, tables, now
}

func TestAnActIsWrittenDownBeforeItsEnd(t *testing.T) {
	j, _, _ := journal()
	about := map[string]string{"customer": "cus_1"}
	act, err := j.Begin(t.Context(), table.Default, audit.Act{By: "key_1", Route: "POST /x", About: about, Reason: "why"})
	if err != nil {
		t.Fatal(err)
	}
	listed, _, err := j.List(t.Context(), table.Default, "2026-11-21", "")
	if err != nil || len(listed) != 1 {
		t.Fatalf("got %+v, %v, want the act", listed, err)
	}
	if diff := cmp.Diff(act, listed[0]); diff != "" || listed[0].Outcome != nil {
		t.Errorf("begun (-written +listed):\n%s", diff)
	}
	for range 2 {
		if err := j.End(t.Context(), table.Default, act, 409, "reference_used"); err != nil {
			t.Fatal(err)
		}
	}
	listed, _, err = j.List(t.Context(), table.Default, "2026-11-21", "")
	if err != nil || len(listed) != 1 || listed[0].Outcome == nil || listed[0].Outcome.Status != 409 || listed[0].Outcome.Code != "reference_used" {
		t.Errorf("got %+v, %v, want how it ended, once", listed, err)
	}
}

func TestADayIsListedInOrderInPagesAndByScope(t *testing.T) {
	j, _, now := journal()
	const all = 2*audit.APage + 7
	want := make([]string, all)
	for i := range all {
		act, err := j.Begin(t.Context(), table.Default, audit.Act{By: "key_1", Route: "POST /x"})
		if err != nil {
			t.Fatal(err)
		}
		want[i] = act.ID
	}
	now.at = midnight.Add(24 * time.Hour)
	for _, scope := range []table.Scope{table.Default, {Project: "other", Environment: "production"}} {
		if _, err := j.Begin(t.Context(), scope, audit.Act{By: "key_2"}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	pages := 0
	for after := ""; ; pages++ {
		acts, next, err := j.List(t.Context(), table.Default, "2026-11-21", after)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range acts {
			got = append(got, a.ID)
		}
		if after = next; after == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || pages != 2 {
		t.Errorf("after %d pages (-want +got):\n%s", pages, diff)
	}
	if acts, _, err := j.List(t.Context(), table.Default, "2026-11-22", ""); err != nil || len(acts) != 1 || acts[0].By != "key_2" {
		t.Errorf("the next day: got %+v, %v, want its one act", acts, err)
	}
}

func TestNoRecordIsAnOutageAndALostAnswerNone(t *testing.T) {
	lost := fault.New(fault.Unavailable, "tables_unavailable", "no answer")
	for _, c := range []struct {
		name  string
		fails int
		apply bool
		want  error
		acts  int
	}{
		{"the answer lost once", 1, true, nil, 1},
		{"nothing done once", 1, false, nil, 1},
		{"out of reach", 9, false, fault.Unavailable, 0},
	} {
		j, tables, _ := journal()
		left := c.fails
		tables.Fail = func(memory.Op) (bool, error) {
			if left--; left >= 0 {
				return c.apply, lost
			}
			return false, nil
		}
		act, err := j.Begin(t.Context(), table.Default, audit.Act{By: "key_1"})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: beginning: got %v, want %v", c.name, err, c.want)
		}
		tables.Fail = nil
		acts, _, err := j.List(t.Context(), table.Default, "2026-11-21", "")
		if err != nil || len(acts) != c.acts {
			t.Errorf("%s: got %d acts, %v, want %d", c.name, len(acts), err, c.acts)
		}
		if c.want != nil {
			continue
		}
		left = c.fails
		tables.Fail = func(memory.Op) (bool, error) {
			if left--; left >= 0 {
				return c.apply, lost
			}
			return false, nil
		}
		if err := j.End(t.Context(), table.Default, act, 200, ""); err != nil {
			t.Errorf("%s: ending: got %v, want it got over", c.name, err)
		}
	}
}

func TestWhatCannotBeAPageIsRefused(t *testing.T) {
	j, _, _ := journal()
	for _, ask := range [][2]string{
		{"", ""},
		{"today", ""},
		{"2026-11-31", ""},
		{"2026-11-21#", ""},
		{"2026-11-21", "x"},
		{"2026-11-21", strings.Repeat("9", 60)},
		{"2026-11-21", "2026-11-21T00:00:00.000000000Z"},
	} {
		if _, _, err := j.List(t.Context(), table.Default, ask[0], ask[1]); !errors.Is(err, fault.Malformed) {
			t.Errorf("%q: got %v, want it refused", ask, err)
		}
	}
}
