package simulate

import (
	"context"
	"iter"
	"time"
)

// Invocation is a function at work on one event, or on one message of a batch.
type Invocation struct {
	Function string
	Skew     time.Duration // by how much its clock is fast

	world    *World
	resume   func() (struct{}, bool)
	stop     func()
	yield    func(struct{}) bool
	life     *life
	deadline int64
	crossed  int
	dieAfter bool
	stopped  bool

	work   func(context.Context) error
	err    error
	done   bool
	finish func(error)
}

// life is that of a process, which all messages of one batch share.
type life struct {
	dead bool
}

// mostCrossings of one invocation are far more than any work needs. What goes round takes its
// time from nobody here, so that its deadline may be far away.
const mostCrossings = 50_000

// killed is the panic by which an invocation dies; nobody but its World catches it.
type killed struct{}

// Killed is what became of an invocation that died: nobody heard anything of it.
var Killed error = killedError{}

type killedError struct{}

func (killedError) Error() string { return "simulate: the function was killed" }

// Invoke starts an invocation of a function, which may live for limit. finished hears how it
// ended: the handler's error, or Killed. It may be nil.
func (w *World) Invoke(function string, limit time.Duration, work func(context.Context) error, finished func(error)) {
	w.invoke(function, limit, &life{}, work, finished)
}

func (w *World) invoke(function string, limit time.Duration, l *life, work func(context.Context) error, finished func(error)) {
	inv := w.rest()
	inv.Function, inv.life, inv.deadline, inv.work, inv.finish = function, l, w.now+int64(limit), work, finished
	inv.Skew, inv.crossed, inv.dieAfter, inv.err = w.chance.Skew(), 0, false, nil
	w.agenda.push(w.now, w.Dice.Uint32(), nil, inv)
}

// rest is a coroutine without work.
func (w *World) rest() *Invocation {
	if last := len(w.resting) - 1; last >= 0 {
		inv := w.resting[last]
		w.resting = w.resting[:last]
		return inv
	}
	inv := &Invocation{world: w}
	inv.resume, inv.stop = iter.Pull(func(yield func(struct{}) bool) {
		inv.yield = yield
		for {
			inv.run()
			if inv.stopped || !yield(struct{}{}) {
				return
			}
		}
	})
	w.all = append(w.all, inv)
	return inv
}

// run does the work of one invocation.
func (i *Invocation) run() {
	defer func() {
		i.done = true
		switch r := recover(); r.(type) {
		case nil:
		case killed:
			i.err = Killed
		default:
			i.err = Killed
			i.world.panicked(r)
		}
	}()
	if i.life.dead {
		panic(killed{})
	}
	i.err = i.work(context.Background())
	if i.life.dead {
		i.err = Killed
	}
}

// wait lets others have their turns until that much later. A function that is still at it
// when its time is up dies then.
func (i *Invocation) wait(d time.Duration) {
	w := i.world
	at, late := w.now+int64(d), false
	if at > i.deadline {
		at, late = i.deadline, true
	}
	w.agenda.push(max(at, w.now), w.Dice.Uint32(), nil, i)
	w.running = nil
	if !i.yield(struct{}{}) || i.life.dead {
		panic(killed{})
	}
	w.running = i
	if late {
		i.die()
	}
}

func (i *Invocation) die() {
	i.world.Story.Tell(i.world.now, i.Function, "dies", "")
	i.life.dead = true
	panic(killed{})
}

// Cross is one input or output of the function whose turn it is, on its way: it returns when
// the request arrives, or would have, and says what becomes of it. Whoever is called then
// does it, or not, and calls Crossed before it answers. Outside a function nothing is lost.
func (w *World) Cross(o Op) Fate {
	i := w.running
	if i == nil {
		return Fine
	}
	if i.life.dead {
		panic(killed{})
	}
	if i.crossed++; i.crossed > mostCrossings {
		w.Fail("every function comes to an end", "%s has crossed its ports %d times, the last one for %s %s", i.Function, mostCrossings, o.Port, o.Verb)
		i.die()
	}
	c := w.chance.Cross(o)
	w.steps++
	w.note(i.Function, o.Port, o.Verb, o.About)
	if c.DieBefore {
		i.die()
	}
	i.wait(c.After)
	i.dieAfter = c.DieAfter
	if c.Fate != Fine {
		w.Story.Tell(w.now, i.Function, o.Port+" "+o.Verb+" "+c.Fate.String(), o.About)
	}
	return c.Fate
}

// Crossed is the answer of a crossing on its way back, before which the function may die.
func (w *World) Crossed() {
	if i := w.running; i != nil && i.dieAfter {
		i.dieAfter = false
		i.die()
	}
}

// Pass lets time pass for the function whose turn it is, as a slow provider does.
func (w *World) Pass(d time.Duration) {
	if i := w.running; i != nil {
		i.wait(d)
	}
}
