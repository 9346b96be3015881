package play

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// period is a stretch of the calendar (ISO 8601).
type period struct {
	months, days, hours int
}

var periodPattern = regexp.MustCompile(`^P(?:([1-9]\d?)([DWMY])|T([1-9]\d{0,2})H)$`)

// parsePeriod reads P3D, P1W, P1M, P1Y or, of a rental, PT48H.
func parsePeriod(text string) (period, error) {
	m := periodPattern.FindStringSubmatch(text)
	if m == nil {
		return period{}, fmt.Errorf("period %q: such as P3D, P1W, P1M, P1Y or PT48H", text)
	}
	if m[3] != "" {
		return period{hours: must(strconv.Atoi(m[3]))}, nil
	}
	n := must(strconv.Atoi(m[1]))
	switch m[2] {
	case "D":
		return period{days: n}, nil
	case "W":
		return period{days: 7 * n}, nil
	case "M":
		return period{months: n}, nil
	}
	return period{months: 12 * n}, nil
}

// after is the end of a period that begins at from. A month without that day ends on its
// last day.
func (p period) after(from time.Time) time.Time {
	if p.months == 0 {
		return from.AddDate(0, 0, p.days).Add(time.Duration(p.hours) * time.Hour)
	}
	day := from.Day()
	first := from.AddDate(0, 0, 1-day).AddDate(0, p.months, 0)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(day, last)-1)
}

// The clock of license testers (Test your integration): six renewals at most, each of so
// many minutes.
const (
	testRenewals = 6
	testGrace    = 5 * time.Minute
	testHold     = 10 * time.Minute
	testDeadline = 3 * time.Minute
)

// tested is how long a period is for a license tester.
func (p period) tested() time.Duration {
	switch {
	case p.months >= 12:
		return 30 * time.Minute
	case p.months >= 6:
		return 15 * time.Minute
	case p.months >= 2:
		return 10 * time.Minute
	}
	return 5 * time.Minute
}
