package simulate

import (
	"math/rand/v2"
	"time"
)

// Op is an input or output of a function.
type Op struct {
	Port  string // tables, queue, gateway, store, endpoint
	Verb  string
	About string // for the story: whose, or what; never part of a decision
	Write bool   // it may have an effect
}

// Fate is what becomes of one.
type Fate uint8

// The fates. Each port says which of them it knows, and takes the others for Fine.
const (
	Fine    Fate = iota
	Lost         // nothing is done, and the function hears of an outage
	Unheard      // it is done, and the function hears of an outage
	Busy         // nothing is done, and the function is asked to slow down
	Late         // the function hears of an outage, and it is done some time after that
	Vague        // of a transaction: refused because it met another, without saying which
	Stale        // of a read that may be: as it was a moment ago
	Partial      // of a batch: some of the first are done, and the function hears of an outage
)

// String is the word for the story.
func (f Fate) String() string {
	return [...]string{"is done", "is lost", "is done, its answer lost", "is refused as too busy", "will be done late", "meets another", "is stale", "is done in part"}[f]
}

// Crossing is what chance decides about an Op.
type Crossing struct {
	After     time.Duration // until the request arrives
	Fate      Fate
	DieBefore bool // the function dies before it is sent
	DieAfter  bool // the function dies once it is done, if it is
}

// Chance decides what nobody else does.
type Chance interface {
	// Cross decides about one input or output.
	Cross(o Op) Crossing
	// Skew is by how much the clock of the next invocation is fast.
	Skew() time.Duration
	// Lag is how far behind its item an entry of an index is, 0 for not at all.
	Lag() time.Duration
	// Delay is until when a message that was sent is shown, and whether it is shown twice.
	Delay() (d time.Duration, twice bool)
	// Forgets says whether a queue forgets that a message was let go.
	Forgets() bool
	// Chooses says whether First decides between what is due at the same instant. Otherwise
	// the World's dice do, at less cost.
	Chooses() bool
	// First picks which of n goes first.
	First(n int) int
}

// Picker is a Chance that chooses and wants to see whom from. It is asked instead of First,
// also where one alone is due.
type Picker interface {
	Chance
	// Pick picks which of what is due at the same instant goes first; an entry is nil for
	// what is no function's. Below 0 is none of them, and Turn says that nothing happened.
	Pick(due []*Invocation) int
}

// Faults says how often things go wrong, in 100,000 crossings unless said otherwise.
type Faults struct {
	TableLost, TableUnheard, TableVague, TableStale int
	CallLost, CallUnheard, CallBusy, CallLate       int // of a gateway, a store, an endpoint
	QueueLost, QueueUnheard, QueuePartial           int
	Slow                                            int // a call of up to a minute
	Kill                                            int // before or after
	Lagging                                         int // entries of an index that lag by up to LagMost, not some seconds
	LagMost                                         time.Duration
	SkewMost                                        time.Duration
	Doubled, Delayed                                int // messages
	DelayMost                                       time.Duration
	Forgotten                                       int // messages that come again though they were let go
}

// Bad is the weather of the long runs: worse than anything that was ever seen.
func Bad() Faults {
	return Faults{
		TableLost: 300, TableUnheard: 300, TableVague: 300, TableStale: 2000,
		CallLost: 1500, CallUnheard: 1500, CallBusy: 500, CallLate: 500,
		QueueLost: 500, QueueUnheard: 500, QueuePartial: 500,
		Slow: 500, Kill: 400, Lagging: 2000, LagMost: 10 * time.Minute, SkewMost: 2 * time.Second,
		Doubled: 3000, Delayed: 2000, DelayMost: 2 * time.Hour, Forgotten: 1000,
	}
}

// Weather is the Chance of a seed.
type Weather struct {
	Faults
	dice *rand.Rand
}

// NewWeather makes the weather of a seed.
func NewWeather(seed uint64, f Faults) *Weather {
	return &Weather{Faults: f, dice: rand.New(rand.NewPCG(seed, 0xF17E))}
}

const often = 100_000

// Cross decides by how often things go wrong at the port.
func (w *Weather) Cross(o Op) Crossing {
	n := int(w.dice.Uint32N(often))
	c := Crossing{After: time.Duration(w.dice.Uint32N(20_000)+1000) * time.Microsecond}
	is := func(rate int) bool {
		if n < rate {
			return true
		}
		n -= rate
		return false
	}
	switch {
	case is(w.Kill):
		if c.DieAfter = w.dice.Uint32()&1 == 0; !c.DieAfter {
			c.DieBefore = true
		}
		return c
	case is(w.Slow):
		c.After = time.Duration(w.dice.Uint32N(60_000)) * time.Millisecond
		return c
	}
	switch o.Port {
	case "tables":
		switch {
		case is(w.TableLost):
			c.Fate = Lost
		case is(w.TableUnheard):
			c.Fate = Unheard
		case is(w.TableVague) && o.Write:
			c.Fate = Vague
		case o.Verb == "glance" && is(w.TableStale):
			c.Fate = Stale
		}
	case "queue":
		switch {
		case is(w.QueueLost):
			c.Fate = Lost
		case is(w.QueueUnheard):
			c.Fate = Unheard
		case is(w.QueuePartial):
			c.Fate = Partial
		}
	default:
		c.After *= 20
		switch {
		case is(w.CallLost):
			c.Fate = Lost
		case is(w.CallUnheard):
			c.Fate = Unheard
		case is(w.CallBusy):
			c.Fate = Busy
		case o.Write && is(w.CallLate):
			c.Fate = Late
		}
	}
	return c
}

// Skew is up to SkewMost either way.
func (w *Weather) Skew() time.Duration {
	if w.SkewMost == 0 {
		return 0
	}
	return time.Duration(w.dice.Int64N(int64(2*w.SkewMost))) - w.SkewMost
}

// Lag is some tenths of a second, or in bad moments up to LagMost.
func (w *Weather) Lag() time.Duration {
	if int(w.dice.Uint32N(often)) < w.Lagging {
		return time.Duration(w.dice.Int64N(int64(w.LagMost)))
	}
	return time.Duration(w.dice.Uint32N(500)) * time.Millisecond
}

// Delay is some tenths of a second, or in bad moments up to DelayMost.
func (w *Weather) Delay() (d time.Duration, twice bool) {
	n := int(w.dice.Uint32N(often))
	d = time.Duration(w.dice.Uint32N(400)+10) * time.Millisecond
	if n < w.Delayed {
		d = time.Duration(w.dice.Int64N(int64(w.DelayMost)))
	}
	return d, n >= w.Delayed && n < w.Delayed+w.Doubled
}

// Forgets is rare.
func (w *Weather) Forgets() bool { return int(w.dice.Uint32N(often)) < w.Forgotten }

// Chooses is false: the World's dice do.
func (w *Weather) Chooses() bool { return false }

// First is never asked.
func (w *Weather) First(int) int { return 0 }
