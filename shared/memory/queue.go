package memory

import (
	"cmp"
	"slices"
	"time"
)

const (
	maxBatch          = 10               // messages of one receive (Amazon SQS API reference, "ReceiveMessage")
	defaultVisibility = 30 * time.Second // the same, "CreateQueue"
)

// QueueOptions are the settings of a Queue that its behaviour depends on.
type QueueOptions struct {
	// Visibility is for how long a message that was received is hidden; 0 is 30 s, the
	// default of SQS.
	Visibility time.Duration
	// MostReceives is how often a message is received before it goes to the dead letters;
	// 0 if it never does.
	MostReceives int
}

// Queue is a standard SQS queue. It does nothing by itself: time is an argument, and what is
// due happens when somebody receives. The same calls give the same answers. It belongs to
// one goroutine at a time, together with its queue of dead letters.
//
// What a standard queue may do without being asked is left to its owner, who sends twice what
// shall come twice and names the instants at which things are shown. Messages are kept for
// ever, and any number may be in flight.
type Queue[T any] struct {
	o        QueueOptions
	dead     *Queue[T]
	messages []message[T]
	free     []int32 // places in messages without a message
	due      []int32 // a heap of places in messages, by when they are shown
	sent     uint64  // how many messages there have been
}

// message is one that is in the queue, shown or hidden.
type message[T any] struct {
	body  T
	shown time.Time
	id    uint64    // never used again; those sent earlier have lower ones. 0: there is none
	times int       // received
	due   int32     // its place in the heap
	from  *Queue[T] // of a dead letter: where it was received too often
}

// Received is a message that was received.
type Received[T any] struct {
	Message T
	Times   int // how often it was received from this queue, this time included
	handle  handle[T]
}

// handle is the receipt of one receive of one message.
type handle[T any] struct {
	queue *Queue[T]
	id    uint64
	place int32
	times int
}

// NewQueue makes an empty queue. dead, which several may share, is where messages go that
// were received too often; it may be nil only if o.MostReceives is 0.
func NewQueue[T any](o QueueOptions, dead *Queue[T]) *Queue[T] {
	switch {
	case o.Visibility < 0 || o.MostReceives < 0:
		object("a queue with a visibility of %v and %d receives", o.Visibility, o.MostReceives)
	case o.MostReceives > 0 && dead == nil:
		object("a queue whose messages go to the dead letters after %d receives, and no such queue", o.MostReceives)
	}
	if o.Visibility == 0 {
		o.Visibility = defaultVisibility
	}
	return &Queue[T]{o: o, dead: dead}
}

// Send puts a message in the queue that is shown from that instant on.
func (q *Queue[T]) Send(m T, shownAt time.Time) { q.put(m, shownAt, nil) }

func (q *Queue[T]) put(body T, shown time.Time, from *Queue[T]) {
	q.sent++
	n := int32(len(q.messages)) //nolint:gosec // so many messages do not fit in memory
	if last := len(q.free) - 1; last >= 0 {
		n, q.free = q.free[last], q.free[:last]
	} else {
		q.messages = append(q.messages, message[T]{})
	}
	q.messages[n] = message[T]{body: body, shown: shown, id: q.sent, due: int32(len(q.due)), from: from} //nolint:gosec // as above
	q.due = append(q.due, n)
	q.up(len(q.due) - 1)
}

// Receive gives up to most messages, 1 to 10, of those that are shown: what was shown first
// comes first, and of the same instant what was sent first. They are hidden until
// now + Visibility, and each has a new receipt. What was received MostReceives times already
// goes to the dead letters instead, where it is shown at once (Amazon SQS developer guide,
// "Using dead-letter queues": once the count of receives would exceed the most). So nothing
// may be received though something was shown.
func (q *Queue[T]) Receive(now time.Time, most int) []Received[T] {
	if most < 1 || most > maxBatch {
		object("a receive of %d messages, not 1 to %d", most, maxBatch)
	}
	var batch []Received[T]
	for len(batch) < most && q.anyShown(now) {
		n := q.due[0]
		m := &q.messages[n]
		if q.o.MostReceives > 0 && m.times >= q.o.MostReceives {
			q.dead.put(m.body, now, q)
			q.drop(n)
			continue
		}
		m.times++
		m.shown = now.Add(q.o.Visibility)
		q.down(0)
		if batch == nil {
			batch = make([]Received[T], 0, min(most, len(q.due)))
		}
		batch = append(batch, Received[T]{m.body, m.times, handle[T]{q, m.id, n, m.times}})
	}
	return batch
}

// Delete takes a message out of the queue and reports whether it did. It does so while the
// message is hidden and after it is shown again, but only with the receipt of its latest
// receive: an older one changes nothing, and neither does that of a message that is gone
// from this queue. SQS calls all of that a success, so only tests may ask for the difference
// (Amazon SQS API reference, "DeleteMessage").
func (q *Queue[T]) Delete(r Received[T]) bool {
	h := r.handle
	if h.queue != q {
		object("a receipt of another queue")
	}
	if m := &q.messages[h.place]; m.id != h.id || m.times != h.times {
		return false
	}
	q.drop(h.place)
	return true
}

// Next is when the message that is shown first will be, or was; false if there is none.
func (q *Queue[T]) Next() (time.Time, bool) {
	if len(q.due) == 0 {
		return time.Time{}, false
	}
	return q.messages[q.due[0]].shown, true
}

// Len is how many messages are in the queue, shown and hidden.
func (q *Queue[T]) Len() int { return len(q.due) }

// Redrive sends every message that is shown in a queue of dead letters back to the queue in
// which it was received too often, and returns how many. There it is a new message: shown at
// once, never received, behind what is there (Amazon SQS developer guide, "Dead-letter queue
// redrive"). What is hidden stays, and so does what was sent to the dead letters directly,
// since nobody knows where else it would belong.
func (q *Queue[T]) Redrive(now time.Time) int {
	var back []int32
	for n, m := range q.messages {
		if m.id != 0 && m.from != nil && !m.shown.After(now) {
			back = append(back, int32(n))
		}
	}
	slices.SortFunc(back, func(a, b int32) int { return cmp.Compare(q.messages[a].id, q.messages[b].id) })
	for _, n := range back {
		m := q.messages[n]
		q.drop(n)
		m.from.put(m.body, now, nil)
	}
	return len(back)
}

func (q *Queue[T]) anyShown(now time.Time) bool {
	return len(q.due) > 0 && !q.messages[q.due[0]].shown.After(now)
}

// drop takes a message out of the queue.
func (q *Queue[T]) drop(n int32) {
	at, last := int(q.messages[n].due), len(q.due)-1
	q.messages[n] = message[T]{} // its body is not kept alive
	q.free = append(q.free, n)
	moved := q.due[last]
	if q.due = q.due[:last]; at == last {
		return
	}
	q.set(at, moved)
	q.down(at)
	q.up(int(q.messages[moved].due))
}

// before orders messages as they come: by when they are shown, and then as they were sent.
func (q *Queue[T]) before(a, b int32) bool {
	m, n := &q.messages[a], &q.messages[b]
	if c := m.shown.Compare(n.shown); c != 0 {
		return c < 0
	}
	return m.id < n.id
}

func (q *Queue[T]) set(at int, n int32) {
	q.due[at] = n
	q.messages[n].due = int32(at) //nolint:gosec // as in put
}

func (q *Queue[T]) up(at int) {
	n := q.due[at]
	for at > 0 {
		over := (at - 1) / 2
		if !q.before(n, q.due[over]) {
			break
		}
		q.set(at, q.due[over])
		at = over
	}
	q.set(at, n)
}

func (q *Queue[T]) down(at int) {
	n := q.due[at]
	for {
		under := 2*at + 1
		if under >= len(q.due) {
			break
		}
		if right := under + 1; right < len(q.due) && q.before(q.due[right], q.due[under]) {
			under = right
		}
		if !q.before(q.due[under], n) {
			break
		}
		q.set(at, q.due[under])
		at = under
	}
	q.set(at, n)
}
