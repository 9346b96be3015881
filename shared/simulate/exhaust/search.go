package exhaust

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"grantline/shared/simulate"
)

// Set is one search: who races, and what must hold.
type Set struct {
	Name string
	// Faults is how many on one path at most are killed, hear nothing from the tables or meet
	// another transaction.
	Faults int
	// Calls is how many calls of somebody else are lost, or not heard, on one path at most.
	Calls int
	// Late says that a call may also arrive after the race.
	Late bool
	// Stale says that a glance may show what was before the last change.
	Stale bool
	// Stage sets the scene of a path: who races, what a state is, what comes after.
	Stage func(p *Path)
}

// Options say how far a search goes.
type Options struct {
	// Most is how many paths are run at most, 0 for all. Where that is not all, a quarter of
	// them are the first ones of the tree, and the others are walks by Seed's dice.
	Most int
	Seed uint64
	// Plain has each path gone, though what comes of it is known.
	Plain bool
}

// Result is what a search did.
type Result struct {
	Runs     int    // paths that were gone, each to its end or to where it is known how it goes on
	Covered  uint64 // paths that there are through what was gone; at most what fits
	States   int
	Deepest  int // choices of one path
	Complete bool
	// Violation is the promise that was broken, nil if none was; then Story is how, and Replay
	// the name by which it can be gone again.
	Violation *simulate.Violation
	Replay    string
	Story     string
}

// Search goes through a set.
func (s *Set) Search(o Options) Result {
	var r Result
	t := &tree{seen: map[uint64]uint64{}, prune: !o.Plain}
	deep := max(1, o.Most/4)
	for {
		ends, v := s.path(t)
		r.Runs++
		r.Deepest = max(r.Deepest, len(t.made))
		if v != nil {
			return s.broken(r, t, v)
		}
		r.Covered = plus(r.Covered, ends)
		if !t.next(ends) {
			r.Complete, r.States = true, len(t.seen)
			return r
		}
		if o.Most > 0 && r.Runs >= deep {
			break
		}
	}
	r.States = len(t.seen)
	t = &tree{seen: map[uint64]uint64{}, dice: rand.New(rand.NewPCG(o.Seed, 0xEA11))}
	for r.Runs < o.Most {
		t.made, t.depth = t.made[:0], 0
		ends, v := s.path(t)
		r.Runs++
		r.Deepest = max(r.Deepest, len(t.made))
		if v != nil {
			return s.broken(r, t, v)
		}
		r.Covered = plus(r.Covered, ends)
	}
	return r
}

// path goes one.
func (s *Set) path(t *tree) (ends uint64, v *simulate.Violation) {
	t.depth = 0
	p := newPath(s, t)
	ends = p.run()
	return ends, p.World.Violated()
}

func (s *Set) broken(r Result, t *tree, v *simulate.Violation) Result {
	r.Violation, r.States = v, len(t.seen)
	last := 0
	var choices []string
	for n, c := range t.made {
		choices = append(choices, strconv.Itoa(c.is))
		if c.is > 0 {
			last = n + 1
		}
	}
	r.Replay = s.Name + ":" + strings.Join(choices[:last], ".")
	_, r.Story = s.replay(choices[:last])
	return r
}

// Replay goes one path again, by the name that a Result gave it, and tells its story.
func Replay(sets []*Set, name string) (*simulate.Violation, string, error) {
	of, choices, _ := strings.Cut(name, ":")
	for _, s := range sets {
		if s.Name != of {
			continue
		}
		var all []string
		if choices != "" {
			all = strings.Split(choices, ".")
		}
		for _, c := range all {
			if n, err := strconv.Atoi(c); err != nil || n < 0 {
				return nil, "", fmt.Errorf("exhaust: %q is no choice", c)
			}
		}
		v, story := s.replay(all)
		return v, story, nil
	}
	return nil, "", fmt.Errorf("exhaust: there is no set %q", of)
}

// replay makes these choices, and then the first of each.
func (s *Set) replay(choices []string) (*simulate.Violation, string) {
	t := &tree{seen: map[uint64]uint64{}}
	for _, c := range choices {
		is, err := strconv.Atoi(c)
		must(err) // it was written by Itoa, or read before
		t.told = append(t.told, is)
	}
	p := newPath(s, t)
	p.tells = true
	p.run()
	return p.World.Violated(), strings.Join(p.told, "\n")
}
