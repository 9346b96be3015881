// Package clock is the one port from which everything takes "now". A release binary
// knows only the system's clock; a binary built with -tags local can be told another
// time, so that a year of charges passes in a minute.
package clock

import (
	"context"
	"time"
)

// Clock tells the time and waits.
type Clock interface {
	// Now is the current instant, in UTC.
	Now() time.Time
	// Sleep waits for d of real time, or until ctx ends, and then returns ctx's error.
	// It bounds a wait inside one invocation; waiting for longer is a wake-up in a table.
	Sleep(ctx context.Context, d time.Duration) error
}

type system struct{}

func (system) Now() time.Time { return now() }

func (system) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// System is the clock of a running function.
func System() Clock { return system{} }

// Fixed is a clock that stands at t and whose sleeps return at once.
type Fixed time.Time

// Now returns the fixed instant.
func (f Fixed) Now() time.Time { return time.Time(f).UTC() }

// Sleep returns at once, with ctx's error if it has ended.
func (f Fixed) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }
