// Package cron reads the schedule expressions of EventBridge, rate(…) and cron(…), and
// tells when one is next due. An expression is a pure function of time: given an instant
// it names the first one after it, so that a month of idle ticks costs one call.
package cron

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Expression is a schedule. Its instants are whole minutes.
type Expression struct {
	every time.Duration // of a rate; 0 for a cron expression
	zone  *time.Location
	// Bit i of a set is set where the field's value may be i.
	minutes, hours, days, months, weekdays uint64
	years                                  []bool // from firstYear
	lastDay                                bool   // "L" as the day of the month
}

// The years that a cron expression may name (EventBridge, "Cron expressions").
const (
	firstYear = 1970
	lastYear  = 2199
)

// Parse reads rate(1 minute), rate(n minutes|hours|days) or cron(minute hour
// day-of-month month day-of-week year), the latter in zone (nil is UTC). W and # are not
// understood, nor is at(…); each is an error.
func Parse(text string, zone *time.Location) (*Expression, error) {
	if zone == nil {
		zone = time.UTC
	}
	kind, rest, ok := strings.Cut(strings.TrimSpace(text), "(")
	inside, closed := strings.CutSuffix(rest, ")")
	if !ok || !closed {
		return nil, fmt.Errorf("schedule %q: want rate(…) or cron(…)", text)
	}
	var e *Expression
	var err error
	switch kind {
	case "rate":
		e, err = parseRate(inside)
	case "cron":
		e, err = parseCron(inside)
	default:
		err = fmt.Errorf("want rate(…) or cron(…)")
	}
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", text, err)
	}
	e.zone = zone
	return e, nil
}

// Next is the first instant strictly after t, in UTC; false when there is none.
// Rates are counted from the beginning of 1970, so that every run of the same template
// ticks at the same instants.
func (e *Expression) Next(t time.Time) (time.Time, bool) {
	if e.every > 0 {
		step := int64(e.every / time.Second)
		return time.Unix((floorDiv(t.Unix(), step)+1)*step, 0).UTC(), true
	}
	t = t.In(e.zone).Truncate(time.Minute).Add(time.Minute)
	year, month, day := t.Date()
	first := t.Hour()*60 + t.Minute() // the first minute of the day that counts
	for year <= lastYear {
		if !e.hasYear(year) {
			year, month, day, first = year+1, time.January, 1, 0
			continue
		}
		if e.months&(1<<month) == 0 {
			month, day, first = month+1, 1, 0
			if month > time.December {
				year, month = year+1, time.January
			}
			continue
		}
		if e.hasDay(year, month, day) {
			if due, ok := e.onDay(year, month, day, first); ok {
				return due.UTC(), true
			}
		}
		year, month, day = time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC).Date()
		first = 0
	}
	return time.Time{}, false
}

// onDay finds the first due minute of a day at or after the minute first. A wall-clock time
// that the zone skips on that day is not due.
func (e *Expression) onDay(year int, month time.Month, day, first int) (time.Time, bool) {
	for minute := first; minute < 24*60; minute++ {
		hour := minute / 60
		if e.hours&(1<<hour) == 0 {
			minute = hour*60 + 59
			continue
		}
		if e.minutes&(1<<(minute%60)) == 0 {
			continue
		}
		due := time.Date(year, month, day, hour, minute%60, 0, 0, e.zone)
		if due.Hour() == hour && due.Minute() == minute%60 {
			return due, true
		}
	}
	return time.Time{}, false
}

func (e *Expression) hasYear(year int) bool {
	return year >= firstYear && year <= lastYear && e.years[year-firstYear]
}

func (e *Expression) hasDay(year int, month time.Month, day int) bool {
	date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if e.weekdays&(1<<date.Weekday()) == 0 {
		return false
	}
	if e.lastDay && date.AddDate(0, 0, 1).Day() == 1 {
		return true
	}
	return e.days&(1<<day) != 0
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func parseRate(text string) (*Expression, error) {
	number, unit, ok := strings.Cut(strings.TrimSpace(text), " ")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 || n > 100_000 {
		return nil, fmt.Errorf("want rate(n minutes), n a number from 1")
	}
	units := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	unit = strings.TrimSpace(unit)
	d, ok := units[strings.TrimSuffix(unit, "s")]
	if !ok {
		return nil, fmt.Errorf("unit %q: want minutes, hours or days", unit)
	}
	return &Expression{every: time.Duration(n) * d}, nil
}

var (
	monthNames   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	weekdayNames = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)

func parseCron(text string) (*Expression, error) {
	fields := strings.Fields(text)
	if len(fields) != 6 {
		return nil, fmt.Errorf("want six fields, got %d", len(fields))
	}
	if (fields[2] == "?") == (fields[4] == "?") {
		return nil, fmt.Errorf("exactly one of day-of-month and day-of-week must be ?")
	}
	e := &Expression{years: make([]bool, lastYear-firstYear+1)}
	if fields[2] == "L" {
		e.lastDay = true
	}
	sets := []struct {
		name  string
		to    *uint64
		text  string
		from  int
		until int
		names []string
		shift int // what is taken off a value before it is put into the set
	}{
		{"minute", &e.minutes, fields[0], 0, 59, nil, 0},
		{"hour", &e.hours, fields[1], 0, 23, nil, 0},
		{"day-of-month", &e.days, fields[2], 1, 31, nil, 0},
		{"month", &e.months, fields[3], 1, 12, monthNames, 0},
		{"day-of-week", &e.weekdays, fields[4], 1, 7, weekdayNames, 1},
	}
	for _, s := range sets {
		if s.name == "day-of-month" && e.lastDay {
			continue
		}
		values, err := parseField(s.text, s.from, s.until, s.names)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		for _, v := range values {
			*s.to |= 1 << (v - s.shift)
		}
	}
	years, err := parseField(fields[5], firstYear, lastYear, nil)
	if err != nil {
		return nil, fmt.Errorf("year: %w", err)
	}
	for _, y := range years {
		e.years[y-firstYear] = true
	}
	return e, nil
}

// parseField reads a list of *, ?, a, a-b, each with an optional /step.
func parseField(text string, from, until int, names []string) ([]int, error) {
	value := func(s string) (int, error) {
		for i, name := range names {
			if strings.EqualFold(s, name) {
				return from + i, nil
			}
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < from || n > until {
			return 0, fmt.Errorf("%q: want %d to %d", s, from, until)
		}
		return n, nil
	}
	var values []int
	for part := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("step %q: want a number from 1", stepText)
			}
			step = n
		}
		low, high := from, until
		if span != "*" && span != "?" {
			lowText, highText, ranged := strings.Cut(span, "-")
			var err error
			if low, err = value(lowText); err != nil {
				return nil, err
			}
			switch {
			case ranged:
				if high, err = value(highText); err != nil {
					return nil, err
				}
			case !stepped:
				high = low
			}
		}
		for v := low; v <= high; v += step {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("%q names nothing", text)
	}
	return values, nil
}
