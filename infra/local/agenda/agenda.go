// Package agenda is what a local run does by the clock: schedules that tick and messages that
// show again. At rest it follows the clock; when the clock is moved, everything due on the way
// happens in order, each thing at its own instant and to its end before the next begins.
package agenda

import (
	"context"
	"fmt"
	"sync"
	"time"

	"grantline/infra/local/cron"
)

// Furthest is how far one move may go: ten years.
const Furthest = 10 * 365 * 24 * time.Hour

// Tick runs a schedule's function for the instant at. idleUntil is the function's promise
// that ticks before it have nothing to do; zero is no promise.
type Tick func(ctx context.Context, at time.Time) (idleUntil time.Time, err error)

// Agenda is the list of what is due.
type Agenda struct {
	clock  *Clock
	failed func(what string, err error)
	wake   chan struct{} // holds one; something may be due earlier than was thought
	moving sync.Mutex    // held by a move, and by each step at rest
	ticks  sync.WaitGroup

	mu        sync.Mutex
	schedules []*schedule
	held      map[string]hold
	step      time.Time // during a move: the instant that it has come to
}

type schedule struct {
	name       string
	expression *cron.Expression
	tick       Tick
	after      time.Time // ticks up to here have been fired or skipped
	idleUntil  time.Time
	promise    int  // counts what made promises void
	again      bool // its promise was made void by another schedule's tick
}

type hold struct {
	at   time.Time
	show func(ctx context.Context) error
}

// New makes an empty agenda. What fails on it is told to failed and not tried again: a
// schedule has its next tick, and a message its next receive.
func New(clock *Clock, failed func(what string, err error)) *Agenda {
	return &Agenda{clock: clock, failed: failed, wake: make(chan struct{}, 1), held: map[string]hold{}}
}

// Add puts a schedule on the agenda, from now on.
func (a *Agenda) Add(name string, expression *cron.Expression, tick Tick) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.schedules = append(a.schedules, &schedule{name: name, expression: expression, tick: tick, after: a.now()})
	a.stir()
}

// Hold has show called at the instant at; it replaces what was held under the same key.
func (a *Agenda) Hold(key string, at time.Time, show func(ctx context.Context) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held[key] = hold{at, show}
	a.stir()
}

// Release drops what is held under the key.
func (a *Agenda) Release(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.held, key)
}

// Invoked makes every promise of idleness void, because a function ran and may have written
// what a schedule looks for. Call it before and after: a promise that was made while the
// function ran does not know what it wrote.
func (a *Agenda) Invoked() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.schedules {
		a.void(s)
		s.again = false
	}
	a.stir()
}

// void ends the idleness of a schedule; the ticks that were skipped stay skipped. The caller
// holds mu.
func (a *Agenda) void(s *schedule) {
	s.promise++
	if s.idleUntil.IsZero() {
		return
	}
	s.idleUntil = time.Time{}
	if now := a.now(); now.After(s.after) {
		s.after = now
	}
}

// now is the instant that counts for the agenda. The caller holds mu.
func (a *Agenda) now() time.Time {
	if !a.step.IsZero() {
		return a.step
	}
	return a.clock.Now()
}

func (a *Agenda) stir() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// due is one thing on the agenda.
type due struct {
	at       time.Time
	schedule *schedule
	key      string // of a hold
	show     func(ctx context.Context) error
}

// next finds what is due first: of several at one instant messages come before schedules,
// and schedules in the order in which they were added. The caller holds mu.
func (a *Agenda) next() (due, bool) {
	var first due
	found := false
	for key, h := range a.held {
		if !found || h.at.Before(first.at) || h.at.Equal(first.at) && key < first.key {
			first, found = due{at: h.at, key: key, show: h.show}, true
		}
	}
	for _, s := range a.schedules {
		from := s.after
		if idle := s.idleUntil.Add(-time.Nanosecond); idle.After(from) {
			from = idle
		}
		at, ok := s.expression.Next(from)
		if ok && (!found || at.Before(first.at)) {
			first, found = due{at: at, schedule: s}, true
		}
	}
	return first, found
}

// Run follows the clock until ctx ends.
func (a *Agenda) Run(ctx context.Context) {
	defer a.ticks.Wait()
	for ctx.Err() == nil {
		a.moving.Lock()
		wait := a.follow(ctx)
		a.moving.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-a.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// follow does what is due by now, and says how long there is nothing to do after that. A
// schedule's function runs beside the others, as it would when deployed.
func (a *Agenda) follow(ctx context.Context) time.Duration {
	const longest = time.Minute // in case real time jumps
	for ctx.Err() == nil {
		a.mu.Lock()
		now := a.clock.Now()
		d, ok := a.next()
		if !ok || d.at.After(now) {
			a.mu.Unlock()
			if !ok {
				return longest
			}
			return min(longest, d.at.Sub(now))
		}
		if d.schedule != nil {
			// After a pause of the machine only the last of the missed ticks is fired.
			for range 10_000 {
				later, more := d.schedule.expression.Next(d.at)
				if !more || later.After(now) {
					break
				}
				d.at = later
			}
		}
		promise := a.begin(d)
		a.mu.Unlock()
		if d.schedule != nil {
			a.ticks.Go(func() { a.fire(ctx, d, promise) })
		} else {
			a.fire(ctx, d, promise)
		}
	}
	return 0
}

// begin takes a due thing off the agenda. The caller holds mu.
func (a *Agenda) begin(d due) (promise int) {
	if d.schedule == nil {
		delete(a.held, d.key)
		return 0
	}
	d.schedule.after, d.schedule.idleUntil = d.at, time.Time{}
	return d.schedule.promise
}

// fire does a due thing, to its end.
func (a *Agenda) fire(ctx context.Context, d due, promise int) {
	if d.schedule == nil {
		if err := d.show(ctx); err != nil && ctx.Err() == nil {
			a.failed("a message that should show again", err)
		}
		return
	}
	a.ticked(d.schedule)
	idleUntil, err := d.schedule.tick(ctx, d.at)
	a.ticked(d.schedule)
	if err != nil && ctx.Err() == nil {
		a.failed("schedule "+d.schedule.name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	d.schedule.again = false
	if err == nil && d.schedule.promise == promise && idleUntil.After(d.at) {
		d.schedule.idleUntil = idleUntil
		a.stir()
	}
}

// ticked makes the promises of the other schedules void, since one ran. A tick that itself
// is only there because of that does not: two idle schedules would keep each other awake.
func (a *Agenda) ticked(s *schedule) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.again {
		return
	}
	for _, other := range a.schedules {
		if other == s {
			continue
		}
		if !other.idleUntil.IsZero() {
			other.again = true
		}
		a.void(other)
	}
}

// Move sets the clock forward by d, and lets everything due on the way happen: each thing at
// its instant, and quiet called and returned before the next. It answers the time at the end,
// which is later than asked by as long as the last thing took. One move runs at a time.
// When ctx ends the clock stays where it has come to.
func (a *Agenda) Move(ctx context.Context, d time.Duration, quiet func(ctx context.Context) error) (time.Time, error) {
	if d < 0 || d > Furthest {
		return time.Time{}, fmt.Errorf("agenda: a move is from 0 to %v", Furthest)
	}
	a.moving.Lock()
	defer a.moving.Unlock()
	target := a.clock.Now().Add(d)
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.step = time.Time{}
		a.stir()
	}()
	a.ticks.Wait()
	if err := quiet(ctx); err != nil {
		return time.Time{}, fmt.Errorf("agenda: before the move: %w", err)
	}
	for {
		a.mu.Lock()
		next, ok := a.next()
		if !ok || next.at.After(target) {
			a.step = target
			a.mu.Unlock()
			break
		}
		if a.step.Before(next.at) {
			a.step = next.at
		}
		promise := a.begin(next)
		a.mu.Unlock()
		if err := a.clock.AdvanceTo(next.at); err != nil {
			return time.Time{}, err
		}
		a.fire(ctx, next, promise)
		if err := quiet(ctx); err != nil {
			return time.Time{}, fmt.Errorf("agenda: at %s: %w", next.at.UTC().Format(time.RFC3339), err)
		}
	}
	if err := a.clock.AdvanceTo(target); err != nil {
		return time.Time{}, err
	}
	return a.clock.Now(), nil
}
