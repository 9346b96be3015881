package dbtest

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Queue is a standard SQS queue with its queue of dead letters, to be held to its promises.
// Its methods fail the test if the service does; what only a bug asks for is the one error
// that Receive returns, or a panic.
type Queue interface {
	// Send puts a message in, to be shown after delay, whole seconds.
	Send(t *testing.T, body string, delay time.Duration)
	// Receive takes up to most of the messages that are shown, without waiting for one.
	Receive(t *testing.T, most int) ([]Message, error)
	// Delete takes a message out by its receipt. One that deletes nothing is no failure.
	Delete(t *testing.T, m Message)
	// DeadLetters receives from the queue of dead letters, whose visibility is Patience.
	DeadLetters(t *testing.T) []Message
	// Redrive begins to send back all that is shown in the queue of dead letters.
	Redrive(t *testing.T)
	// Now is the time that messages are shown by.
	Now() time.Time
	// Pass lets time pass.
	Pass(d time.Duration)
}

// Message is one that was received.
type Message struct {
	Body    string
	Times   int // received
	Receipt any
}

// QueueOptions are the settings of a queue that the promises choose.
type QueueOptions struct {
	Visibility   time.Duration // whole seconds
	MostReceives int           // 0: there are no dead letters
}

// Patience is for how long a promise waits, by the queue's own time, for what has to come:
// long, for the machine may be slow. Nothing that is hidden for Patience shows in a test.
const Patience = 10 * time.Minute

// short is a visibility that a test can wait for on a real queue.
const short = time.Second

// clockStep is by how much two clocks of one machine may differ, and be cut off.
const clockStep = 50 * time.Millisecond

// RunQueue proves the promises on queues that open makes, one for each.
func RunQueue(t *testing.T, open func(t *testing.T, o QueueOptions) Queue) {
	for _, p := range queuePromises {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel() // most of a promise on a real queue is waiting
			p.keep(t, queueBench{open(t, p.with)})
		})
	}
}

var queuePromises = []struct {
	name string
	with QueueOptions
	keep func(t *testing.T, q queueBench)
}{
	{"MessageComesOnceWhileItIsHidden", QueueOptions{Visibility: Patience}, messageComesOnceWhileItIsHidden},
	{"MessageComesAgainAfterItsVisibility", QueueOptions{Visibility: short}, messageComesAgainAfterItsVisibility},
	{"EveryMessageComes", QueueOptions{Visibility: Patience}, everyMessageComes},
	{"BatchIsOfTenAtMost", QueueOptions{Visibility: Patience}, batchIsOfTenAtMost},
	{"DelayedMessageIsNotShownBefore", QueueOptions{Visibility: Patience}, delayedMessageIsNotShownBefore},
	{"DeletedMessageIsGone", QueueOptions{Visibility: short}, deletedMessageIsGone},
	{"MessageIsDeletedAloneOfItsBatch", QueueOptions{Visibility: short}, messageIsDeletedAloneOfItsBatch},
	{"DeletingTwiceChangesNothing", QueueOptions{Visibility: Patience}, deletingTwiceChangesNothing},
	{"LateReceiptOfTheLatestReceiveDeletes", QueueOptions{Visibility: short}, lateReceiptOfTheLatestReceiveDeletes},
	{"OldReceiptDeletesNothing", QueueOptions{Visibility: short}, oldReceiptDeletesNothing},
	{"ReceivesAreCounted", QueueOptions{Visibility: short}, receivesAreCounted},
	{"ReceivedTooOftenIsADeadLetter", QueueOptions{Visibility: short, MostReceives: 2}, receivedTooOftenIsADeadLetter},
	{"DeletedInTimeIsNoDeadLetter", QueueOptions{Visibility: short, MostReceives: 1}, deletedInTimeIsNoDeadLetter},
	{"DeadLetterComesAgainOnceItIsRedriven", QueueOptions{Visibility: short, MostReceives: 1}, deadLetterComesAgainOnceItIsRedriven},
}

// queueBench is what a promise of a queue works on.
type queueBench struct{ Queue }

// receive fails the test unless the queue answers.
func (q queueBench) receive(t *testing.T, most int) []Message {
	t.Helper()
	batch, err := q.Receive(t, most)
	if err != nil {
		t.Fatalf("Receive: got %v, want messages or none", err)
	}
	return batch
}

// await waits for one message, whose body must be the given one.
func (q queueBench) await(t *testing.T, body string) Message {
	t.Helper()
	var m Message
	q.until(t, "message "+body, func() bool {
		batch := q.receive(t, 1)
		if len(batch) == 0 {
			return false
		}
		m = batch[0]
		return true
	})
	if m.Body != body {
		t.Fatalf("message: got %q, want %q", m.Body, body)
	}
	return m
}

func (q queueBench) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := q.Now().Add(Patience); !done(); q.Pass(short / 10) {
		if q.Now().After(end) {
			t.Fatalf("%s: got nothing in %v, want it", what, Patience)
		}
	}
}

// none fails the test if anything is shown.
func (q queueBench) none(t *testing.T, when string) {
	t.Helper()
	if batch := q.receive(t, 10); len(batch) > 0 {
		t.Errorf("messages %s: got %+v, want none", when, batch)
	}
}

func messageComesOnceWhileItIsHidden(t *testing.T, q queueBench) {
	q.none(t, "before there are any")
	q.Send(t, "a", 0)
	if got := q.await(t, "a").Times; got != 1 {
		t.Errorf("receives: got %d, want 1", got)
	}
	q.none(t, "while the one is hidden")
	q.Send(t, "b", 0)
	q.await(t, "b")
	q.none(t, "while both are hidden")
	q.Pass(short)
	q.none(t, "while both are still hidden")
}

func messageComesAgainAfterItsVisibility(t *testing.T, q queueBench) {
	q.Send(t, "a", 0)
	for range 3 {
		began := q.Now()
		q.await(t, "a")
		hidden := q.Now() // at the latest
		q.await(t, "a")
		if is := q.Now(); is.Before(began.Add(short - clockStep)) {
			t.Errorf("message: got it again after %v, want it hidden for %v", is.Sub(hidden), short)
		}
	}
}

func everyMessageComes(t *testing.T, q queueBench) {
	var want []string
	for n := range 25 {
		body := fmt.Sprint("same ", n/2) // each twice: what is sent twice comes twice
		q.Send(t, body, 0)
		want = append(want, body)
	}
	var got []string
	q.until(t, "25 messages", func() bool {
		for _, m := range q.receive(t, 10) {
			got = append(got, m.Body)
		}
		return len(got) >= len(want)
	})
	slices.Sort(got) // their order is nobody's promise
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("messages: got %q, want %q", got, want)
	}
	q.none(t, "after all have come")
}

func batchIsOfTenAtMost(t *testing.T, q queueBench) {
	for n := range 12 {
		q.Send(t, fmt.Sprint(n), 0)
	}
	came := 0
	for _, most := range []int{1, 3, 10} {
		batch := q.receive(t, most)
		if came += len(batch); len(batch) > most {
			t.Errorf("a batch of %d: got %d messages", most, len(batch))
		}
	}
	for _, most := range []int{-1, 11} {
		refused(t, fmt.Sprint("a batch of ", most), func() error {
			batch, err := q.Receive(t, most)
			came += len(batch)
			return err
		})
	}
	q.until(t, "12 messages", func() bool {
		came += len(q.receive(t, 10))
		return came >= 12
	})
	q.none(t, "after all have come")
}

func delayedMessageIsNotShownBefore(t *testing.T, q queueBench) {
	q.Send(t, "late", Patience)
	began := q.Now()
	q.Send(t, "soon", 2*short)
	q.Send(t, "now", 0)
	q.await(t, "now")
	q.await(t, "soon")
	if is := q.Now(); is.Before(began.Add(2*short - clockStep)) {
		t.Errorf("delayed message: got it after %v, want it after %v", is.Sub(began), 2*short)
	}
	q.none(t, "before the delay has passed")
}

func deletedMessageIsGone(t *testing.T, q queueBench) {
	q.Send(t, "a", 0)
	q.Delete(t, q.await(t, "a"))
	q.none(t, "after its deletion")
	q.Pass(2 * short)
	q.none(t, "after what would have been its visibility")
}

func messageIsDeletedAloneOfItsBatch(t *testing.T, q queueBench) {
	for n := range 4 {
		q.Send(t, fmt.Sprint(n), 0)
	}
	latest := map[string]Message{}
	q.until(t, "4 messages", func() bool {
		for _, m := range q.receive(t, 10) {
			latest[m.Body] = m
		}
		return len(latest) == 4
	})
	q.Delete(t, latest["0"])
	q.Delete(t, latest["2"])
	came := map[string]bool{}
	began := q.Now()
	q.until(t, "the other two", func() bool {
		for _, m := range q.receive(t, 10) {
			came[m.Body] = true
		}
		return len(came) >= 2 && q.Now().After(began.Add(2*short))
	})
	if !came["1"] || !came["3"] || len(came) != 2 {
		t.Errorf("messages after two were deleted: got %v, want 1 and 3", came)
	}
}

func deletingTwiceChangesNothing(t *testing.T, q queueBench) {
	q.Send(t, "a", 0)
	m := q.await(t, "a")
	q.Delete(t, m)
	q.Delete(t, m)
	q.Send(t, "b", 0)
	q.Delete(t, m)
	q.await(t, "b")
	q.Delete(t, m)
	q.none(t, "after both have come")
}

// A receipt outlives the visibility of its message, as long as nobody else receives it.
func lateReceiptOfTheLatestReceiveDeletes(t *testing.T, q queueBench) {
	q.Send(t, "a", 0)
	m := q.await(t, "a")
	q.Pass(2 * short)
	q.Delete(t, m)
	q.Pass(short)
	q.none(t, "after a late deletion")
}

// Whoever took too long deletes nothing that another works on by now.
func oldReceiptDeletesNothing(t *testing.T, q queueBench) {
	q.Send(t, "a", 0)
	old := q.await(t, "a")
	q.await(t, "a")
	q.Delete(t, old)
	latest := q.await(t, "a")
	q.Delete(t, old)
	q.Delete(t, latest)
	q.Pass(2 * short)
	q.none(t, "after a deletion by the latest receipt")
}

func receivesAreCounted(t *testing.T, q queueBench) {
	q.Send(t, "a", 0)
	for want := 1; want <= 4; want++ {
		if got := q.await(t, "a").Times; got != want {
			t.Errorf("receives: got %d, want %d", got, want)
		}
	}
}

func receivedTooOftenIsADeadLetter(t *testing.T, q queueBench) {
	q.Send(t, "a", 0)
	for want := 1; want <= 2; want++ {
		if got := q.await(t, "a").Times; got != want {
			t.Errorf("receives: got %d, want %d", got, want)
		}
		if dead := q.DeadLetters(t); len(dead) > 0 {
			t.Errorf("dead letters after %d receives of 2: got %+v, want none", want, dead)
		}
	}
	q.dies(t, "a")
	q.none(t, "after it has died")
}

// dies waits for a message to be with the dead letters, and not to come before.
func (q queueBench) dies(t *testing.T, body string) {
	t.Helper()
	q.until(t, "dead letter", func() bool {
		q.none(t, "of those received too often")
		dead := q.DeadLetters(t)
		if len(dead) == 0 {
			return false
		}
		if len(dead) != 1 || dead[0].Body != body {
			t.Fatalf("dead letters: got %+v, want %q", dead, body)
		}
		return true
	})
}

func deletedInTimeIsNoDeadLetter(t *testing.T, q queueBench) {
	q.Send(t, "a", 0)
	q.Delete(t, q.await(t, "a"))
	q.Pass(2 * short)
	q.none(t, "after its deletion")
	if dead := q.DeadLetters(t); len(dead) > 0 {
		t.Errorf("dead letters: got %+v, want none", dead)
	}
}

func deadLetterComesAgainOnceItIsRedriven(t *testing.T, q queueBench) {
	q.Send(t, "a", 0)
	old := q.await(t, "a")
	q.Pass(2 * short)
	q.none(t, "of those received too often")
	q.until(t, "message redriven", func() bool {
		q.Redrive(t)
		batch := q.receive(t, 10)
		if len(batch) == 0 {
			return false
		}
		if m := batch[0]; m.Body != "a" || m.Times != 1 || len(batch) != 1 {
			t.Errorf("messages redriven: got %+v, want one, received for the first time", batch)
		}
		return true
	})
	q.Delete(t, old)
	q.dies(t, "a")
}
