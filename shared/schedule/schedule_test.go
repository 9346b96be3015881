package schedule_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"grantline/shared/schedule"
)

// testdata/schedule.json was computed by an independent program (zoneinfo and dateutil).
func TestInstantsEqualAnIndependentComputation(t *testing.T) {
	raw, err := os.ReadFile("testdata/schedule.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Count, Instants int
		Vectors         []struct {
			ID, Type, Mode, Zone, Anchor, Cycle string
			Period                              int
			Expect                              []struct {
				N, Attempt, PlusDays int
				UTC                  time.Time
				Allowed              bool
			}
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	instants := 0
	for _, v := range file.Vectors {
		zone, err := schedule.Zone(v.Zone)
		if err != nil {
			t.Fatal(err)
		}
		wall, err := time.Parse("2006-01-02T15:04:05", v.Anchor)
		if err != nil {
			t.Fatal(err)
		}
		cycle, err := schedule.ParseCycle(v.Cycle)
		if err != nil {
			t.Fatal(err)
		}
		anchor := schedule.Resolve(schedule.WallOf(wall), zone)
		if v.Mode == "elapsed" {
			// Counting in elapsed time is counting on a wall that never jumps.
			v.Zone = "UTC"
		}
		s, err := schedule.New(anchor, v.Zone, cycle)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range v.Expect {
			instants++
			if v.Type == "period" {
				if got := s.Due(want.N); !got.Equal(want.UTC) {
					t.Errorf("%s: period %d is due %v, want %v", v.ID, want.N, got, want.UTC)
				}
				continue
			}
			got, allowed := s.Attempt(v.Period, want.Attempt)
			if !got.Equal(want.UTC) || allowed != want.Allowed {
				t.Errorf("%s: attempt %d is at %v, allowed %v; want %v, %v", v.ID, want.Attempt, got, allowed, want.UTC, want.Allowed)
			}
		}
	}
	if len(file.Vectors) != file.Count || instants != file.Instants {
		t.Errorf("ran %d vectors, %d instants; the file has %d, %d", len(file.Vectors), instants, file.Count, file.Instants)
	}
}

func TestThereIsNoFifthAttempt(t *testing.T) {
	s, err := schedule.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "UTC", schedule.Cycle{Count: 1, Unit: schedule.Years})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []int{-1, 0, 5, 100} {
		if at, ok := s.Attempt(0, k); ok {
			t.Errorf("attempt %d is allowed, at %v", k, at)
		}
	}
}

func TestWhatIsNoCycleOrZoneIsRefused(t *testing.T) {
	for _, text := range []string{"", "1", "months", "0 days", "-1 weeks", "1 fortnights", "1  months", "400 days", "1.5 months", "99999999999999999999 days"} {
		if c, err := schedule.ParseCycle(text); err == nil {
			t.Errorf("ParseCycle(%q) = %v, want an error", text, c)
		}
	}
	for _, name := range []string{"", "Local", "Asia/Nowhere", "../etc/passwd", "KST+9"} {
		if _, err := schedule.Zone(name); err == nil {
			t.Errorf("Zone(%q) is accepted", name)
		}
	}
	if _, err := schedule.New(time.Now(), "UTC", schedule.Cycle{}); err == nil {
		t.Error("a cycle of nothing is accepted")
	}
}

// A property over many zones and anchors: due instants ascend, each shows the anchor's
// time of day unless that is skipped, and no retry reaches the next period.
func FuzzDueInstantsAscendAndKeepTheTimeOfDay(f *testing.F) {
	f.Add(int64(1767225600), "Asia/Seoul", 1, 2)
	f.Add(int64(1772951400), "America/New_York", 1, 1)
	f.Add(int64(1788656400), "America/Santiago", 3, 2)
	f.Add(int64(1709164800), "Australia/Lord_Howe", 1, 3)
	f.Fuzz(func(t *testing.T, at int64, name string, count, unit int) {
		zone, err := schedule.Zone(name)
		if err != nil || at < 0 || at > 4e9 {
			t.Skip()
		}
		units := []schedule.Unit{schedule.Days, schedule.Weeks, schedule.Months, schedule.Years}
		anchor := time.Unix(at, 0)
		s, err := schedule.New(anchor, name, schedule.Cycle{Count: count, Unit: units[uint(unit)%4]})
		if err != nil {
			t.Skip()
		}
		hour, minute, second := anchor.In(zone).Clock()
		for n := range 40 {
			due, next := s.Due(n), s.Due(n+1)
			if !next.After(due) {
				t.Fatalf("period %d is due %v, not after %v", n+1, next, due)
			}
			_, before := due.Add(-24 * time.Hour).In(zone).Zone()
			_, after := due.Add(24 * time.Hour).In(zone).Zone()
			if h, m, sec := due.In(zone).Clock(); (h != hour || m != minute || sec != second) && before == after {
				t.Fatalf("period %d is due at %02d:%02d:%02d though no clock was changed", n, h, m, sec)
			}
			for k := 1; k <= schedule.MostAttempts; k++ {
				if retry, ok := s.Attempt(n, k); ok && (retry.Before(due) || !retry.Before(next)) {
					t.Fatalf("attempt %d of period %d at %v is not in [%v, %v)", k, n, retry, due, next)
				}
			}
		}
	})
}
