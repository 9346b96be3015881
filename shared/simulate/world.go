package simulate

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// World is one run of the simulation. It is used by one goroutine.
type World struct {
	// Dice decide what actors do. What becomes of a crossing is decided by the Chance.
	Dice *rand.Rand
	// Story keeps what happened last, in words.
	Story Story

	chance   Chance
	now      int64 // nanoseconds since 1970
	agenda   agenda
	running  *Invocation
	resting  []*Invocation // coroutines without work
	all      []*Invocation
	steps    uint64
	print    uint64
	violated *Violation
	tied     []entry
	due      []*Invocation // those of tied
}

// Violation is a promise that was broken.
type Violation struct {
	Promise string // its name
	Detail  string
	At      time.Time
}

// Error tells it.
func (v *Violation) Error() string {
	return fmt.Sprintf("violation: %s: %s (at %s)", v.Promise, v.Detail, v.At.Format(time.RFC3339))
}

// New makes a World at an instant. Its actors' dice are seeded with seed.
func New(seed uint64, start time.Time, chance Chance) *World {
	return &World{Dice: rand.New(rand.NewPCG(seed, 0xACE)), chance: chance, now: start.UnixNano(), print: 14695981039346656037}
}

// Now is the true time; what a function takes for it is Clock's.
func (w *World) Now() time.Time { return time.Unix(0, w.now).UTC() }

// Steps counts the crossings.
func (w *World) Steps() uint64 { return w.steps }

// Print is a number that follows from all that happened, in order: two runs of one seed
// have the same.
func (w *World) Print() uint64 { return w.print }

// Running is the invocation whose turn it is; nil while an actor acts.
func (w *World) Running() *Invocation { return w.running }

// At has something done at an instant, not before now. It is no part of any function and
// crosses no port.
func (w *World) At(at time.Time, do func()) { w.at(at.UnixNano(), do) }

// After is At, that much later than now.
func (w *World) After(d time.Duration, do func()) { w.at(w.now+int64(d), do) }

func (w *World) at(at int64, do func()) {
	w.agenda.push(max(at, w.now), w.Dice.Uint32(), do, nil)
}

// Fail says that a promise was broken. The first one ends the run.
func (w *World) Fail(promise, detail string, args ...any) {
	if w.violated == nil {
		w.violated = &Violation{promise, fmt.Sprintf(detail, args...), w.Now()}
	}
}

// Violated is the promise that was broken, nil if none was.
func (w *World) Violated() *Violation { return w.violated }

// Run lets everything happen that is due up to an instant, and ends at it. It returns the
// promise that was broken, if one was.
func (w *World) Run(until time.Time) *Violation {
	end := until.UnixNano()
	for w.violated == nil {
		next, ok := w.next(end)
		if !ok {
			w.now = max(w.now, end)
			break
		}
		w.now = next.at
		w.turn(next)
	}
	return w.violated
}

// Turn lets one thing happen, if anything is due up to an instant and a Picker picks it.
func (w *World) Turn(until time.Time) bool {
	next, ok := w.next(until.UnixNano())
	if ok {
		w.now = next.at
		w.turn(next)
	}
	return ok
}

// turn does what an entry of the agenda is for.
func (w *World) turn(e entry) {
	do, inv := w.agenda.take(e)
	if inv == nil {
		do()
		return
	}
	w.running = inv
	inv.resume()
	w.running = nil
	if inv.done {
		inv.done = false
		w.resting = append(w.resting, inv)
		if finish := inv.finish; finish != nil {
			inv.finish = nil
			finish(inv.err)
		}
	}
}

// next takes the entry whose turn it is off the agenda.
func (w *World) next(end int64) (entry, bool) {
	if len(w.agenda.heap) == 0 || w.agenda.heap[0].at > end {
		return entry{}, false
	}
	first := w.agenda.pop()
	if !w.chance.Chooses() {
		return first, true
	}
	w.tied = append(w.tied[:0], first)
	for len(w.agenda.heap) > 0 && w.agenda.heap[0].at == first.at {
		w.tied = append(w.tied, w.agenda.pop())
	}
	n := w.first()
	for i, e := range w.tied {
		if i != n {
			w.agenda.put(e)
		}
	}
	if n < 0 {
		return entry{}, false
	}
	return w.tied[n], true
}

// first is which of those that are due at the same instant goes first, below 0 for none.
func (w *World) first() int {
	if p, ok := w.chance.(Picker); ok {
		w.due = w.due[:0]
		for _, e := range w.tied {
			w.due = append(w.due, w.agenda.slots[e.slot].inv)
		}
		return p.Pick(w.due)
	}
	if len(w.tied) > 1 {
		return w.chance.First(len(w.tied))
	}
	return 0
}

// Close ends what is still under way, as the death of its process would.
func (w *World) Close() {
	for _, inv := range w.all {
		inv.stopped = true
		inv.life = &life{dead: true}
		w.running = inv
		inv.stop()
	}
	w.running, w.all, w.resting = nil, nil, nil
}

// note has a step count, in the order in which it happened.
func (w *World) note(words ...string) {
	h := w.print
	for _, word := range words {
		for i := range len(word) {
			h = (h ^ uint64(word[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	w.print = (h ^ uint64(w.now)) * 1099511628211 //nolint:gosec // only its bits count
}

func (w *World) panicked(what any) {
	w.Fail("no function panics", "%v\n%s", what, debug.Stack())
}
