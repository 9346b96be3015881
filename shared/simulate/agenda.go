package simulate

// agenda is what is to happen, by time and then by chance. Its heap has four children a node
// and no pointers, which the collector would follow with each move.
type agenda struct {
	heap  []entry
	slots []slot
	free  []uint32
}

type entry struct {
	at   int64
	lot  uint32 // decides between those at the same instant
	slot uint32
}

type slot struct {
	do  func()
	inv *Invocation
}

func (e entry) before(f entry) bool { return e.at < f.at || e.at == f.at && e.lot < f.lot }

func (a *agenda) push(at int64, lot uint32, do func(), inv *Invocation) {
	var n uint32
	if last := len(a.free) - 1; last >= 0 {
		n, a.free = a.free[last], a.free[:last]
		a.slots[n] = slot{do, inv}
	} else {
		n = uint32(len(a.slots)) //nolint:gosec // there are never that many
		a.slots = append(a.slots, slot{do, inv})
	}
	a.put(entry{at, lot, n})
}

// put is push of an entry that has its slot.
func (a *agenda) put(e entry) {
	a.heap = append(a.heap, e)
	i := len(a.heap) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(a.heap[up]) {
			break
		}
		a.heap[i] = a.heap[up]
		i = up
	}
	a.heap[i] = e
}

// pop takes the first entry off the heap; its slot stays until it is taken.
func (a *agenda) pop() entry {
	first := a.heap[0]
	last := len(a.heap) - 1
	e := a.heap[last]
	a.heap = a.heap[:last]
	if last == 0 {
		return first
	}
	i := 0
	for {
		least, child := i, 4*i+1
		of := e
		for c := child; c < min(child+4, last); c++ {
			if a.heap[c].before(of) {
				least, of = c, a.heap[c]
			}
		}
		if least == i {
			break
		}
		a.heap[i] = of
		i = least
	}
	a.heap[i] = e
	return first
}

// take is what an entry is for; its slot is free then.
func (a *agenda) take(e entry) (func(), *Invocation) {
	s := a.slots[e.slot]
	a.slots[e.slot] = slot{}
	a.free = append(a.free, e.slot)
	return s.do, s.inv
}
