package exhaust

import (
	"context"
	"errors"
	"fmt"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/simulate"
)

// Path is one way through a Set: its world, and who races in it.
type Path struct {
	World  *simulate.World
	Tables *Tables

	set    *Set
	tree   *tree
	racers []*racer
	// racing says that choices are made; before and after that nothing goes wrong and nothing
	// waits.
	racing bool
	faults int // that may still come
	calls  int
	cut    uint64 // how many paths lead on from where this one was left, 0 if it went to its end
	state  func(*Print)
	settle func()
	free   []int // scratch: who may go on
	told   []string
	tells  bool
	seals  uint64        // that were made outside any handler
	ahead  time.Duration // by how much time went on in the race
}

// racer is a handler at work, and who asked for it.
type racer struct {
	name    string
	work    func(context.Context) error
	when    func() bool          // from when on it may begin
	inv     *simulate.Invocation // nil before its first turn and after its last
	life    life
	err     error // as it ended
	history uint64
	fate    simulate.Fate // of what it has under way
	dirty   bool          // what it did since it last might have died is written
	began   bool
	op      simulate.Op // that it has under way
	seals   uint64      // that it has made
}

type life uint8

const (
	absent life = iota // it has not begun
	working
	ended
	dead
)

// Racer is what became of a handler.
type Racer struct{ *racer }

// Begun says whether it did.
func (r Racer) Begun() bool { return r.life != absent }

// Heard says whether it ended, so that whoever asked has an answer, and with what error.
func (r Racer) Heard() (bool, error) { return r.life == ended, r.err }

// begun is when every scene begins; a race does when its scene is set.
var begun = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// limit is longer than any function lives; in a race no time passes.
const limit = 15 * time.Minute

func newPath(s *Set, t *tree) *Path {
	p := &Path{set: s, tree: t, faults: s.Faults, calls: s.Calls, state: func(*Print) {}, settle: func() {}}
	p.World = simulate.New(1, begun, chance{p})
	p.Tables = newTables(p)
	return p
}

// Race has a handler race with the others, once the scene is set.
func (p *Path) Race(name string, work func(ctx context.Context) error) Racer {
	return p.RaceWhen(name, func() bool { return true }, work)
}

// RaceWhen is Race of a handler that cannot begin before something has happened, which when
// says. If that never happens it never does.
func (p *Path) RaceWhen(name string, when func() bool, work func(ctx context.Context) error) Racer {
	r := &racer{name: name, work: work, when: when}
	p.racers = append(p.racers, r)
	return Racer{r}
}

// State has print told of everything beside the tables by which two states differ.
func (p *Path) State(print func(*Print)) { p.state = print }

// Settle has what happens after the race done by settle, which then checks what must hold at
// rest.
func (p *Path) Settle(settle func()) { p.settle = settle }

// Fail says that a promise was broken.
func (p *Path) Fail(promise, detail string, args ...any) { p.World.Fail(promise, detail, args...) }

// Tell adds to the story; about is put into words only if somebody reads it.
func (p *Path) Tell(format string, about ...any) {
	if p.tells {
		p.told = append(p.told, fmt.Sprintf(format, about...))
	}
}

// Choose has one of n things happen, of which the first is the usual one. In a race all of
// them come in turn; after it the first.
func (p *Path) Choose(n int) int {
	if !p.racing || p.cut > 0 || n < 2 {
		return 0
	}
	return p.tree.choose(n, 0, false)
}

// Call crosses to somebody else, who may be lost or not be heard as often as the Set says.
func (p *Path) Call(port, verb, about string, write bool) simulate.Fate {
	return p.World.Cross(simulate.Op{Port: port, Verb: verb, About: about, Write: write})
}

// outside is where things happen in which no function has a part.
const outside = "outside"

// Happen has something happen outside, before whoever hears of it begins.
func (p *Path) Happen(what string, do func()) {
	_ = p.World.Cross(simulate.Op{Port: outside, Verb: what})
	do()
	p.World.Crossed()
}

// Passes has time go on at some moment of the race, which otherwise takes none.
func (p *Path) Passes(d time.Duration) {
	p.Race("time", func(context.Context) error {
		p.Happen(d.String()+" pass", func() { p.ahead += d })
		return nil
	})
}

// Answered adds what somebody else answered to what the handler knows, and says whether there
// was an effect.
func (p *Path) Answered(effect bool, answer ...string) {
	r := p.acting()
	if r == nil {
		return
	}
	h := Print{r.history}
	for _, a := range answer {
		h.Text(a)
	}
	r.history, r.fate = h.sum, simulate.Fine
	r.dirty = r.dirty || effect
	p.Tell("%-14s hears %v", r.name, answer)
}

// whose is the name of the racer whose turn it is, "" outside any.
func (p *Path) whose() string {
	if r := p.acting(); r != nil {
		return r.name
	}
	return ""
}

// acting is the racer whose turn it is.
func (p *Path) acting() *racer {
	if !p.racing {
		return nil
	}
	return p.of(p.World.Running())
}

func (p *Path) of(inv *simulate.Invocation) *racer {
	if inv == nil {
		return nil
	}
	for _, r := range p.racers {
		if r.inv == inv {
			return r
		}
	}
	return nil
}

// run has the path gone to its end, or to where it is known how it goes on.
func (p *Path) run() (leaves uint64) {
	defer p.World.Close()
	p.set.Stage(p)
	p.racing = true
	now := p.World.Now()
	for p.cut == 0 && p.World.Violated() == nil {
		for _, r := range p.racers {
			if r.life == absent && r.when() {
				p.begin(r)
			}
		}
		if !p.World.Turn(now) {
			break
		}
	}
	p.racing = false
	if p.cut > 0 || p.World.Violated() != nil {
		return p.cut
	}
	if at := p.print(); p.tree.prune {
		if known := p.tree.known(at); known > 0 {
			return known
		}
		p.tree.choose(1, at, false)
	} else if p.tree.dice != nil {
		if p.tree.seen[at] > 0 {
			return 1
		}
		p.tree.seen[at] = 1
	}
	p.Tell("(all have ended; from now on nothing goes wrong)")
	now, p.ahead = now.Add(p.ahead), 0
	p.until(now)
	p.settle()
	return 1
}

// begin has a racer's turns come.
func (p *Path) begin(r *racer) {
	r.life = working
	p.World.Invoke(r.name, limit, func(ctx context.Context) error {
		r.inv = p.World.Running()
		err := r.work(ctx)
		if r.dirty && p.faults > 0 && p.cut == 0 && p.tree.choose(2, 0, true) == 1 {
			// What it did is done, and nobody hears of it.
			p.faults--
			p.Tell("%-14s is killed before it answers", r.name)
			return simulate.Killed
		}
		return err
	}, func(err error) {
		r.life, r.err, r.inv = ended, err, nil // another may have its coroutine
		if errors.Is(err, simulate.Killed) {
			r.life, r.err = dead, nil
			return
		}
		p.Tell("%-14s ends: %v", r.name, err)
	})
}

// print is that of the state.
func (p *Path) print() uint64 {
	h := Print{p.Tables.sum}
	h.Number(uint64(p.faults<<8 | p.calls)) //nolint:gosec // they are few
	for _, r := range p.racers {
		h.Number(uint64(r.life))
		switch r.life {
		case working:
			h.Number(r.history)
			h.Number(uint64(r.fate))
			h.Bool(r.dirty)
		case ended:
			h.Bool(r.err == nil)
			h.Text(fault.Code(r.err))
		case absent, dead:
		}
	}
	p.state(&h)
	if h.sum == 0 {
		return 1
	}
	return h.sum
}

// chance makes what the World asks for a choice of the tree.
type chance struct{ *Path }

var _ simulate.Picker = chance{}

// Cross offers what may become of an input or output.
func (c chance) Cross(o simulate.Op) simulate.Crossing {
	r := c.acting()
	if r == nil || c.cut > 0 {
		return simulate.Crossing{}
	}
	if r.op = o; o.Port == outside {
		return simulate.Crossing{}
	}
	mayDie := c.faults > 0 && (r.dirty || !r.began)
	r.began, r.dirty = true, false
	var fates [4]simulate.Fate
	alternatives := append(fates[:0], simulate.Fine)
	if o.Port == "tables" {
		if o.Verb == "glance" && c.set.Stale {
			alternatives = append(alternatives, simulate.Stale)
		}
		if c.faults > 0 {
			alternatives = append(alternatives, simulate.Lost)
			if o.Write {
				alternatives = append(alternatives, simulate.Unheard, simulate.Vague)
			}
		}
	} else if c.calls > 0 {
		alternatives = append(alternatives, simulate.Lost)
		if o.Write {
			alternatives = append(alternatives, simulate.Unheard)
			if c.set.Late {
				alternatives = append(alternatives, simulate.Late)
			}
		}
	}
	n := len(alternatives)
	if mayDie {
		n++
	}
	if n == 1 {
		return simulate.Crossing{}
	}
	is := c.tree.choose(n, 0, true)
	if is == len(alternatives) {
		c.faults--
		c.Tell("%-14s is killed before it does: %s %s %s", r.name, o.Port, o.Verb, o.About)
		return simulate.Crossing{DieBefore: true}
	}
	r.fate = alternatives[is]
	switch {
	case r.fate == simulate.Fine || r.fate == simulate.Stale:
	case o.Port == "tables":
		c.faults--
	default:
		c.calls--
	}
	return simulate.Crossing{Fate: r.fate}
}

// Pick offers everybody's turn. Whoever has not begun begins first: it has done nothing that
// anybody could see.
func (c chance) Pick(due []*simulate.Invocation) int {
	p := c.Path
	if !p.racing {
		return 0
	}
	p.free = p.free[:0]
	for n, r := range p.racers {
		if r.life == working && r.inv == nil {
			for i, inv := range due {
				if inv != nil && p.of(inv) == nil {
					return i
				}
			}
		}
		if r.life == working {
			p.free = append(p.free, n)
		}
	}
	if len(p.free) == 0 {
		return 0
	}
	state := p.print()
	if p.cut = p.tree.known(state); p.cut > 0 {
		return -1
	}
	r := p.racers[p.free[p.tree.choose(len(p.free), state, false)]]
	if p.tells {
		p.Tell("%-14s %s %s %s: %v", r.name, r.op.Port, r.op.Verb, r.op.About, r.fate)
	}
	for i, inv := range due {
		if inv == r.inv {
			return i
		}
	}
	panic("exhaust: bug: a handler waits for something else than its turn")
}

// Chooses is always so.
func (c chance) Chooses() bool { return true }

// First is never asked.
func (c chance) First(int) int { return 0 }

// Skew is none: a race is about order.
func (c chance) Skew() time.Duration { return 0 }

// Lag is none but the least.
func (c chance) Lag() time.Duration { return 0 }

// Delay is none.
func (c chance) Delay() (time.Duration, bool) { return 0, false }

// Forgets is false.
func (c chance) Forgets() bool { return false }

type watch struct{ path *Path }

// Clock is that of the path. A pause of a handler's takes no time and is no turn of its own:
// what it does after it is.
func (p *Path) Clock() clock.Clock { return watch{p} }

// Now is something that a handler was told, once it is not always the same.
func (w watch) Now() time.Time {
	if w.path.ahead > 0 {
		if r := w.path.acting(); r != nil {
			h := Print{r.history}
			h.Number(uint64(w.path.ahead))
			r.history = h.sum
		}
	}
	return w.path.World.Now().Add(w.path.ahead)
}

func (w watch) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }
