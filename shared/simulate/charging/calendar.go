package charging

import (
	"fmt"
	"sync"
	"time"
)

// calendar is when a subscription is due, worked out by itself: by the text of the rules
// (seed, safe retry policy; design of schedules), and by none of the product's code.
type calendar struct {
	anchor time.Time
	zone   *time.Location
	count  int
	unit   byte // d, w, m or y
}

// dates after the first attempt of a period, in days (safe retry policy).
var attemptDays = [...]int{0, 3, 10, 17}

// zones are those that were read before, by name: towns are lived in side by side.
var zones sync.Map

// calendarOf reads a cycle such as "2 weeks".
func calendarOf(anchor time.Time, zone, cycle string) (calendar, error) {
	c := calendar{anchor: anchor}
	var unit string
	if _, err := fmt.Sscanf(cycle, "%d %s", &c.count, &unit); err != nil {
		return c, err
	}
	c.unit = unit[0]
	known, ok := zones.Load(zone)
	if !ok {
		at, err := time.LoadLocation(zone)
		if err != nil {
			return c, err
		}
		known, _ = zones.LoadOrStore(zone, at)
	}
	c.zone, _ = known.(*time.Location)
	return c, nil
}

// wall is a time of day on a date, by a wall's calendar and clock; it may not exist in a zone.
// It is kept as the instant that it would be in UTC.
func (c calendar) wall(period int) time.Time {
	at := c.anchor.In(c.zone)
	y, m, d := at.Date()
	switch c.unit {
	case 'd':
		d += c.count * period
	case 'w':
		d += 7 * c.count * period
	default:
		months := c.count * period
		if c.unit == 'y' {
			months *= 12
		}
		total := int(m) - 1 + months
		y, m = y+total/12, time.Month(total%12+1)
		if last := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day(); d > last {
			d = last
		}
	}
	return time.Date(y, m, d, at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
}

// instant is when a wall shows that: the first time where it does so twice; where it never
// does, that much after the gap's beginning.
func (c calendar) instant(wall time.Time) time.Time {
	offset := func(at time.Time) time.Duration {
		_, seconds := at.In(c.zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	first := wall.Add(-offset(wall.Add(-26 * time.Hour)))
	if first.Add(offset(first)).Equal(wall) {
		return first
	}
	if second := wall.Add(-offset(wall.Add(26 * time.Hour))); second.Add(offset(second)).Equal(wall) {
		return second
	}
	return first
}

// due is the instant of a period, counted from the anchor's as 0.
func (c calendar) due(period int) time.Time { return c.instant(c.wall(period)) }

// attempt is the instant of an attempt, from 1; false if the next period would be due by then.
func (c calendar) attempt(period, attempt int) (time.Time, bool) {
	if attempt < 1 || attempt > len(attemptDays) {
		return time.Time{}, false
	}
	if attempt == 1 {
		return c.due(period), true
	}
	at := c.instant(c.wall(period).AddDate(0, 0, attemptDays[attempt-1]))
	return at, at.Before(c.due(period + 1))
}
