// Package schedule says when a subscription is due. Everything is counted from one
// anchor on the wall of the subscription's own zone: period n is due at the anchor's
// wall time n cycles on, and each retry some days after that at the same wall time.
// Nothing is counted from when something was done, so lateness does not add up.
package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the zones are those of the build, not of the machine
)

// Unit of a cycle.
type Unit string

// The units.
const (
	Days   Unit = "days"
	Weeks  Unit = "weeks"
	Months Unit = "months"
	Years  Unit = "years"
)

// Cycle is how often a subscription is due: every Count Units.
type Cycle struct {
	Count int
	Unit  Unit
}

// ParseCycle reads "2 weeks" or "1 months".
func ParseCycle(s string) (Cycle, error) {
	count, unit, ok := strings.Cut(s, " ")
	n, err := strconv.Atoi(count)
	c := Cycle{n, Unit(unit)}
	if !ok || err != nil || !c.valid() {
		return Cycle{}, fmt.Errorf("schedule: %q is no cycle; it should be like \"1 months\" or \"2 weeks\"", s)
	}
	return c, nil
}

func (c Cycle) valid() bool {
	most := map[Unit]int{Days: 366, Weeks: 52, Months: 36, Years: 3}[c.Unit]
	return c.Count >= 1 && c.Count <= most
}

// String is what ParseCycle reads.
func (c Cycle) String() string { return strconv.Itoa(c.Count) + " " + string(c.Unit) }

// MarshalText writes the cycle as String does.
func (c Cycle) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what ParseCycle reads.
func (c *Cycle) UnmarshalText(text []byte) error {
	parsed, err := ParseCycle(string(text))
	*c = parsed
	return err
}

// Schedule is a subscription's calendar.
type Schedule struct {
	anchor Wall
	zone   *time.Location
	cycle  Cycle
}

// New makes the schedule of an agreement that began at anchor, in the zone of the IANA
// name given. The anchor's fractions of a second are dropped.
func New(anchor time.Time, zone string, cycle Cycle) (Schedule, error) {
	location, err := Zone(zone)
	if err != nil {
		return Schedule{}, err
	}
	if !cycle.valid() {
		return Schedule{}, fmt.Errorf("schedule: %v is no cycle", cycle)
	}
	return Schedule{WallOf(anchor.In(location)), location, cycle}, nil
}

// Zone finds the IANA zone. The machine's own zone is none ("" and "Local" are refused).
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("schedule: %q is no IANA zone such as Asia/Seoul or UTC", name)
	}
	if known, ok := zones.Load(name); ok {
		return known.(*time.Location), nil
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("schedule: %q is no IANA zone such as Asia/Seoul or UTC", name)
	}
	zones.Store(name, location)
	return location, nil
}

// zones are those that were read before, by name: reading one costs more than all that is
// done with it.
var zones sync.Map

// Due is the instant at which period n, from 0, is due.
func (s Schedule) Due(n int) time.Time { return Resolve(s.wall(n), s.zone) }

// wall counts from the anchor, never from the period before, so that the 31st comes
// back after a short month.
func (s Schedule) wall(n int) Wall {
	w, k := s.anchor, n*s.cycle.Count
	switch s.cycle.Unit {
	case Weeks:
		k *= 7
		fallthrough
	case Days:
		return w.addDays(k)
	case Years:
		k *= 12
		fallthrough
	case Months:
		return w.addMonths(k)
	}
	panic("schedule: bug in New, which let through the cycle " + s.cycle.String())
}

// MostAttempts of one period, the first included (seed policy: three to four at most).
const MostAttempts = 4

// retryDays is how many days after the due date each attempt is made: the safe retry
// policy of Dodo Payments' on-demand guide, +3, +7 and +7 days.
var retryDays = [MostAttempts]int{0, 3, 10, 17}

// Attempt is the instant of attempt k, from 1, of period n. It is false if there is no
// such attempt: after the fourth, and where it would not come before the next period is
// due, for then two periods would be asked for at once.
func (s Schedule) Attempt(n, k int) (time.Time, bool) {
	if k < 1 || k > MostAttempts {
		return time.Time{}, false
	}
	at := Resolve(s.wall(n).addDays(retryDays[k-1]), s.zone)
	return at, k == 1 || at.Before(s.Due(n+1))
}

// Wall is what a calendar and a clock on a wall show; no instant until a zone is known.
type Wall struct {
	Year                 int
	Month                time.Month
	Day                  int
	Hour, Minute, Second int
}

// WallOf reads the wall at t, in t's own zone.
func WallOf(t time.Time) Wall {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	return Wall{year, month, day, hour, minute, second}
}

func (w Wall) addDays(n int) Wall {
	return WallOf(w.utc().AddDate(0, 0, n))
}

func (w Wall) addMonths(n int) Wall {
	first := time.Date(w.Year, w.Month+time.Month(n), 1, w.Hour, w.Minute, w.Second, 0, time.UTC)
	moved := WallOf(first)
	last := first.AddDate(0, 1, -1).Day()
	moved.Day = min(w.Day, last)
	return moved
}

func (w Wall) utc() time.Time {
	return time.Date(w.Year, w.Month, w.Day, w.Hour, w.Minute, w.Second, 0, time.UTC)
}

// Resolve finds the instant at which the wall in the zone shows w. A wall time that is
// skipped counts by the offset before the gap, so the clock then shows it later by the
// gap; one that comes twice means the first (RFC 5545 3.3.5, PEP 495 fold=0). time.Date
// promises neither.
func Resolve(w Wall, zone *time.Location) time.Time {
	asUTC := w.utc()
	// Offsets in force well before and well after: no zone changes twice within two days.
	_, before := asUTC.Add(-24 * time.Hour).In(zone).Zone()
	_, after := asUTC.Add(24 * time.Hour).In(zone).Zone()
	early := asUTC.Add(-time.Duration(before) * time.Second)
	if before == after || WallOf(early.In(zone)) == w {
		return early.UTC()
	}
	if late := asUTC.Add(-time.Duration(after) * time.Second); WallOf(late.In(zone)) == w {
		return late.UTC()
	}
	return early.UTC() // skipped: the offset before the gap
}
