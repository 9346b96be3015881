package exhaust

import "math/rand/v2"

// tree is the choices of a search: those that were made on the path that is gone now, and what
// is known of the states that all paths so far have come to.
type tree struct {
	made  []choice
	depth int // how many of made were repeated on the path that is gone now
	// seen has how many paths there are from a state to their ends, once all were gone.
	seen map[uint64]uint64
	// prune says that from a state which was seen nobody goes on.
	prune bool
	// dice, if set, make what is not to be repeated; alternatives are not kept then.
	dice *rand.Rand
	// told, if set, are the choices of a path that is gone again.
	told []int
}

// choice is one of n alternatives.
type choice struct {
	n, is int
	state uint64 // before it, 0 where it is made in the middle of a turn
	paths uint64 // that were gone, or known, through the alternatives so far
}

// often is in how many walks by dice a rare alternative is taken where there is one.
const often = 12

// choose makes a choice. Rare are those that a walk by dice mostly makes the first way.
func (t *tree) choose(n int, state uint64, rare bool) int {
	if t.depth < len(t.made) {
		c := t.made[t.depth]
		if c.n != n || c.state != state {
			panic("exhaust: bug: a path that is gone again is another one")
		}
		t.depth++
		return c.is
	}
	is := 0
	if at := len(t.made); at < len(t.told) {
		is = min(t.told[at], n-1)
	}
	if t.dice != nil && n > 1 && (!rare || t.dice.IntN(often) == 0) {
		is = t.dice.IntN(n)
	}
	t.made = append(t.made, choice{n: n, is: is, state: state})
	t.depth++
	return is
}

// known is how many paths lead on from a state that is come to for the first time on this
// path, 0 if that is not known.
func (t *tree) known(state uint64) uint64 {
	if t.depth < len(t.made) || !t.prune {
		return 0
	}
	return t.seen[state]
}

// next goes back to the last choice that has another alternative, after a path with this many
// ends. It is false when there is none.
func (t *tree) next(ends uint64) bool {
	t.depth = 0
	for last := len(t.made) - 1; last >= 0; last-- {
		c := &t.made[last]
		c.paths = plus(c.paths, ends)
		if c.is+1 < c.n {
			c.is++
			return true
		}
		if c.state != 0 && t.prune {
			t.seen[c.state] = c.paths
		}
		ends = c.paths
		t.made = t.made[:last]
	}
	return false
}

// plus is a sum, at most what can be written.
func plus(a, b uint64) uint64 {
	if a+b < a {
		return 1<<64 - 1
	}
	return a + b
}
