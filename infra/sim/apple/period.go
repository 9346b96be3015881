package apple

import (
	"fmt"
	"time"
)

// period is how long a subscription runs between two payments.
type period struct {
	months, days int
}

// periods are those that the App Store sells.
var periods = map[string]period{
	"P1W": {days: 7}, "P1M": {months: 1}, "P2M": {months: 2}, "P3M": {months: 3}, "P6M": {months: 6}, "P1Y": {months: 12},
}

func parsePeriod(text string) (period, error) {
	p, ok := periods[text]
	if !ok {
		return p, fmt.Errorf("period %q: P1W, P1M, P2M, P3M, P6M or P1Y", text)
	}
	return p, nil
}

// after is the end of a period that begins at from. A month without that day ends on its
// last day.
func (p period) after(from time.Time) time.Time {
	if p.months == 0 {
		return from.AddDate(0, 0, p.days)
	}
	day := from.Day()
	first := from.AddDate(0, 0, 1-day).AddDate(0, p.months, 0)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(day, last)-1)
}
