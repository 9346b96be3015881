package simulate

import (
	"context"
	"time"
)

// Cron is a schedule that starts a function at each multiple of its period, also while the
// run before is still at it. A run that says
// until when there is nothing to do lets the ones before that be skipped; whoever changes
// something says so by Wake, and no run then is skipped that would have seen it.
type Cron struct {
	Function string
	Every    time.Duration
	Limit    time.Duration // of the function
	// Run does the work, and says until when nothing is to be done; the zero time: run again
	// next time.
	Run func(ctx context.Context) (idle time.Time, err error)
	// Outage says whether the schedule fires nothing at an instant, and until when.
	Outage func(at time.Time) (until time.Time, out bool)

	world *World
	next  int64
	turn  uint64 // of the run that is planned; an older one is off
}

// Start plans the first run.
func (c *Cron) Start(w *World) {
	c.world = w
	c.next = 1<<63 - 1
	c.Wake(w.Now())
}

// Wake has the first run that is not before at take place, if none is planned before.
func (c *Cron) Wake(at time.Time) {
	every := int64(c.Every)
	ns := max(at.UnixNano(), c.world.now+1)
	ns = (ns + every - 1) / every * every
	if ns >= c.next {
		return
	}
	c.next = ns
	c.turn++
	turn := c.turn
	// A schedule fires somewhere within its minute (EventBridge Scheduler).
	c.world.at(ns+int64(c.world.Dice.Uint32N(1000))*int64(time.Millisecond), func() {
		if turn == c.turn {
			c.fire()
		}
	})
}

func (c *Cron) fire() {
	w := c.world
	c.next = 1<<63 - 1
	if c.Outage != nil {
		if until, out := c.Outage(w.Now()); out {
			c.Wake(until)
			return
		}
	}
	var idle time.Time
	w.Invoke(c.Function, c.Limit, func(ctx context.Context) (err error) {
		idle, err = c.Run(ctx)
		return err
	}, func(err error) {
		if err != nil {
			idle = time.Time{}
		}
		if now := w.Now(); idle.Before(now) {
			idle = now
		}
		c.Wake(idle)
	})
}
