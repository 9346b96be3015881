package charging

import (
	"strings"
	"time"

	"grantline/shared/billing"
)

// inTime is within what time of its date a period is asked for, whatever the weather: schedules may
// be out for eight hours, twice.
const inTime = 18 * time.Hour

// claimed: the first attempt of a period that renews is made when it is due.
func (q *Quarter) claimed(o *order) {
	if s := q.subscription(o.Subscription); s.State == billing.StateActive && q.w.Now().After(o.DueAt.Add(inTime)) {
		q.fail("what is due is asked for in time", "subscription %s: order %s of period %d, due at %s", s.ID, o.ID, o.Period, o.DueAt.Format(time.RFC3339))
	}
}

// calls are what an account's queues were handed in one minute.
type calls struct {
	minute int64
	sent   int
	busy   int64 // the minute in which we noted last that the gateway asks for a slower pace
	before int64 // the one before that
	last   int64 // the minute in which that was not heeded last
	over   int   // how many in a row those are
}

// unheeded is in how many minutes in a row it takes no heed of a gateway to have been asked for a
// slower pace: some may be for the tables, which could not be read, were late, or could not be written.
const unheeded = 5

// pace has an account's queue tell what it is handed.
func (q *Quarter) pace(gateway string) {
	queue, most := q.d.Charges[gateway], q.options.Paces[gateway]
	if queue == nil || most == 0 {
		return
	}
	q.calls[gateway] = &calls{}
	before := queue.Sent
	queue.Sent = func(n int) {
		before(n)
		q.handed(gateway, n, most)
	}
}

// handed: in the minute after one in which a gateway asked for a slower pace, it is asked for half
// as much at most.
func (q *Quarter) handed(gateway string, n, most int) {
	c, now := q.calls[gateway], q.minute()
	if now != c.minute {
		c.minute, c.sent = now, 0
	}
	c.sent += n
	if asked := c.busy == now-1 || c.before == now-1; !asked || c.sent <= most/2 || c.last == now {
		return
	}
	if c.last != now-1 {
		c.over = 0
	}
	c.last = now
	if c.over++; c.over == unheeded {
		q.fail("a gateway that asks for a slower pace gets it", "%d were handed over to %s in a minute, of %d at most, for %d minutes in a row",
			c.sent, gateway, most/2, c.over)
	}
}

// slowed takes note of what is written of a gateway's wish.
func (q *Quarter) slowed(partition string) {
	gateway, found := strings.CutSuffix(strings.TrimPrefix(partition, q.prefix+"cursor#"), "#busy")
	if !found || q.calls[gateway] == nil {
		return
	}
	if c, at := q.calls[gateway], q.minute(); c.busy != at {
		c.before, c.busy = c.busy, at
	}
}

func (q *Quarter) minute() int64 { return q.w.Now().Unix() / 60 }
