package simulate

import (
	"context"
	"time"

	"grantline/shared/fault"
	"grantline/shared/memory"
)

// Queue is the port to a standard queue and the function at its other end. Messages come
// late, twice, out of order and in batches; what a batch did not finish comes again, and
// what was received too often goes to the dead letters, from where a person sends it back
// the next day.
type Queue[T any] struct {
	world    *World
	name     string
	function string
	limit    time.Duration
	batch    int
	consume  func(context.Context, T) error
	kept     *memory.Queue[T]
	dead     *memory.Queue[T]
	poll     int64  // when the next look at the queue is planned
	turn     uint64 // of that plan
	// Died counts the messages that went to the dead letters.
	Died int
	// Sent, if set, hears of how many messages a sender knows that they were taken.
	Sent func(n int)
}

// QueueOptions is how a queue and its consumer are set up.
type QueueOptions struct {
	Name, Function string
	Visibility     time.Duration // of a message that was received
	MostReceives   int
	Batch          int           // most messages of one invocation
	Limit          time.Duration // of the function
}

// redriveAfter is when somebody sends dead letters back.
const redriveAfter = 20 * time.Hour

// NewQueue makes a queue whose messages are consumed by a function, each on its own, as
// shared/aws/queue has it.
func NewQueue[T any](w *World, o QueueOptions, consume func(context.Context, T) error) *Queue[T] {
	dead := memory.NewQueue[T](memory.QueueOptions{Visibility: time.Minute}, nil)
	return &Queue[T]{
		world: w, name: o.Name, function: o.Function, limit: o.Limit, batch: o.Batch, consume: consume, dead: dead, poll: 1<<63 - 1,
		kept: memory.NewQueue(memory.QueueOptions{Visibility: o.Visibility, MostReceives: o.MostReceives}, dead),
	}
}

// Send hands over messages in order; see billing.Queue, delivery.Queue and notice.Missed.
func (q *Queue[T]) Send(_ context.Context, _ string, messages []T) (int, error) {
	fate := q.world.Cross(Op{Port: "queue", Verb: "send", About: q.name, Write: true})
	sent := len(messages)
	if fate == Lost || fate == Busy {
		sent = 0
	}
	if fate == Partial {
		sent = q.world.Dice.IntN(len(messages) + 1)
	}
	for _, m := range messages[:sent] {
		q.Put(m)
	}
	q.world.Crossed()
	if fate == Unheard { // they are in it, and nobody heard that they are
		sent = 0
	}
	if q.Sent != nil {
		q.Sent(sent)
	}
	if fate == Fine {
		return sent, nil
	}
	return sent, fault.New(fault.Unavailable, "queue_unavailable", "The queue cannot be reached now.")
}

// Put adds a message as whoever is no function does.
func (q *Queue[T]) Put(m T) {
	d, twice := q.world.chance.Delay()
	now := q.world.Now()
	q.kept.Send(m, now.Add(d))
	if twice {
		d, _ = q.world.chance.Delay()
		q.kept.Send(m, now.Add(d))
	}
	q.plan()
}

// Len is how many messages are in the queue, and how many among its dead letters.
func (q *Queue[T]) Len() (waiting, dead int) { return q.kept.Len(), q.dead.Len() }

// plan has the queue looked at when its next message is shown.
func (q *Queue[T]) plan() {
	next, ok := q.kept.Next()
	if !ok {
		return
	}
	ns := max(next.UnixNano(), q.world.now)
	if ns >= q.poll && q.poll >= q.world.now {
		return
	}
	q.poll = ns
	q.turn++
	turn := q.turn
	q.world.at(ns, func() {
		if turn == q.turn {
			q.poll = 1<<63 - 1
			q.look()
		}
	})
}

// look starts an invocation with what is shown now.
func (q *Queue[T]) look() {
	w, was := q.world, q.dead.Len()
	got := q.kept.Receive(w.Now(), 1+w.Dice.IntN(q.batch))
	if is := q.dead.Len(); is > was {
		q.Died += is - was
		w.Tell(q.name, "has a dead letter", "")
		w.After(redriveAfter, func() {
			q.dead.Redrive(w.Now())
			q.plan()
		})
	}
	q.plan()
	if len(got) == 0 {
		return
	}
	// Each message is worked on by itself; those that were not failed are let go together
	// at the end, and none of them if the function dies.
	process, left := &life{}, len(got)
	finished := make([]bool, len(got))
	for n, r := range got {
		w.invoke(q.function, q.limit, process, func(ctx context.Context) error { return q.consume(ctx, r.Message) }, func(err error) {
			finished[n] = err == nil
			if left--; left > 0 || process.dead {
				return
			}
			for n, r := range got {
				if finished[n] && !w.chance.Forgets() {
					q.kept.Delete(r)
				}
			}
			q.plan()
		})
	}
}
