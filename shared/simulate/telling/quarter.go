package telling

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"grantline/shared/customer"
	"grantline/shared/delivery"
	"grantline/shared/simulate"
	"grantline/shared/simulate/deployment"
	"grantline/shared/table"
)

// Options is who lives in the quarter.
type Options struct {
	// Servers are what the deployment has for Endpoints.
	Servers *Servers
	// Customers is how many live here, in production and, where Sandbox says so, as many in the
	// sandbox. Those of other quarters are told of as well.
	Customers int
	// Span is how long anything happens. After it servers take what they are told, and
	// operators mend what they broke; Settle later everything is at rest.
	Span time.Duration
	// Out is for how long schedules may fire nothing, at once or one time after another.
	Out time.Duration
	// Sandbox has the default project's sandbox told of too, by a schedule of its own.
	Sandbox bool
}

// Settle is how long after its span the quarter comes to rest, in calm weather: the longest
// pause of what was not taken, and once more for what operators send again.
const Settle = 8 * 24 * time.Hour

// The promises.
const (
	Numbered  = "events of a customer are numbered without gaps"
	Folded    = "the fold of the log gives the customer's state"
	Taken     = "every event is taken or a dead letter"
	Since     = "every event since the endpoint is taken or a dead letter"
	InOrder   = "events come in their order"
	OneID     = "an event has one id however often it is told"
	OneBody   = "an event has one body however often it is told"
	Written   = "nothing is told that was not written"
	Apart     = "no endpoint hears of another scope's"
	Signed    = "a signature verifies with a secret that was valid then"
	OneTeller = "whoever tells is alone with its customer and endpoint"
	Entered   = "whatever waits to be told has an entry"
	ByRule    = "a letter is dead by the rule"
	Redriven  = "a dead letter goes only to be told again"
	Bounded   = "an endpoint that fails costs bounded calls"
	Unslowed  = "nobody waits for another's endpoint"
	Left      = "an endpoint that is off or gone is left alone"
	Nameless  = "nobody is told the name of who was erased"
	Sound     = "no request ends in a bug"
)

// Quarter is the servers, and what is known of whatever they are to be told.
type Quarter struct {
	// Requests counts those that arrived, Repeats those of them that told of what was taken
	// before, Letters the dead letters that were written.
	Requests, Repeats, Letters int
	// Slowest is the longest that an event waited for its first attempt which nothing held up.
	Slowest time.Duration

	d        *deployment.Deployment
	w        *simulate.World
	o        Options
	ends     time.Time
	calm     bool
	sealer   delivery.Sealer
	identity customer.Identity
	scopes   []table.Scope
	people   map[string]*person // by partition
	all      []*person          // in the order in which they came to be
	written  map[string]*written
	servers  []*server // all that there ever were
	touched  []*person // by the commit at hand
	letters  map[string]delivery.Letter
	ticks    map[table.Scope]*simulate.Cron
	made     int // ids given out
}

// New has servers told by a deployment, and customers live in it.
func New(d *deployment.Deployment, o Options) *Quarter {
	q := &Quarter{
		d: d, w: d.World, o: o, ends: d.World.Now().Add(o.Span), scopes: []table.Scope{table.Default},
		people: map[string]*person{}, written: map[string]*written{}, letters: map[string]delivery.Letter{}, ticks: map[table.Scope]*simulate.Cron{},
	}
	r := d.Release()
	q.sealer, q.identity = r.Registry.Sealer, r.Directory.Identity
	if o.Sandbox {
		q.scopes = append(q.scopes, table.Scope{Project: table.Default.Project, Environment: "sandbox"})
	}
	o.Servers.quarter = q
	d.Tables.Watch(q.committed)
	for n, scope := range q.scopes {
		q.tick(scope, n > 0)
		q.operate(scope)
		q.settle(scope)
	}
	q.w.At(q.ends, func() { q.mending(q.ends) })
	return q
}

// tick has a scope handed over by a schedule of the quarter's: the whole of a scope that the
// deployment does not know of, and of one that it knows of what a change of its endpoints
// alone leads to, upon which the deployment's own schedule is not woken.
func (q *Quarter) tick(scope table.Scope, whole bool) {
	fanout := &delivery.Fanout{
		Tables: q.d.Tables, Clock: q.w.Clock(), Log: slog.New(slog.DiscardHandler), Scopes: []table.Scope{scope}, Queue: q.d.Wakes,
		MostALane: 1, // so that a lane is soon longer than a tick can
	}
	c := &simulate.Cron{Function: "publish-fanout", Every: time.Minute, Limit: 50 * time.Second, Run: func(ctx context.Context) (time.Time, error) {
		report, err := fanout.Tick(ctx)
		switch {
		case report.IdleUntil == nil: // something waits, or may
			return time.Time{}, err
		case !whole:
			return q.w.Now().AddDate(10, 0, 0), nil
		}
		return *report.IdleUntil, err
	}}
	c.Start(q.w)
	q.ticks[scope] = c
	if !whole {
		return
	}
	prefix := scope.Key("")
	q.d.Tables.WatchIndex(func(key table.Key) {
		if key.Table != table.Customers && key.Table != table.Endpoints || !strings.HasPrefix(key.Partition, prefix) {
			return
		}
		item, ok := q.d.Tables.Peek(key)
		if !ok || item.Index == nil {
			return
		}
		at, _, _ := strings.Cut(item.Index.Sort, "#")
		due, err := time.Parse(time.RFC3339, at)
		if err != nil {
			due = q.w.Now()
		}
		c.Wake(due)
	})
}

// Told says when an event was first taken by any server, by the id under which it is told.
func (q *Quarter) Told(id string) (at time.Time, ok bool) {
	e := q.written[id]
	if e == nil || e.told.IsZero() {
		return time.Time{}, false
	}
	return e.told, true
}

// Calm has everybody hold still, or go on: nothing happens of itself, servers take what they are
// told, and operators mend what they broke. Settle later everything is at rest.
func (q *Quarter) Calm(is bool) {
	q.calm = is
	if is {
		q.mending(q.w.Now())
	}
}

// over says that the time is over in which anything happens.
func (q *Quarter) over() bool { return !q.w.Now().Before(q.ends) }

// still says that nothing happens now.
func (q *Quarter) still() bool { return q.calm || q.over() }

// within is some time shorter than d.
func (q *Quarter) within(d time.Duration) time.Duration {
	return time.Duration(q.w.Dice.Int64N(int64(d)))
}

// chance is true in n of a hundred cases.
func (q *Quarter) chance(n int) bool { return q.w.Dice.IntN(100) < n }

func (q *Quarter) fail(promise, detail string, args ...any) { q.w.Fail(promise, detail, args...) }
