package memory_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/memory"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func bodies[T any](batch []memory.Received[T]) []T {
	var all []T
	for _, r := range batch {
		all = append(all, r.Message)
	}
	return all
}

func TestWhatIsShownFirstComesFirst(t *testing.T) {
	q := memory.NewQueue[string](memory.QueueOptions{Visibility: time.Minute}, nil)
	for n, delay := range []time.Duration{2, 1, 0, 1, 2} {
		q.Send(fmt.Sprint(n), noon.Add(delay*time.Second))
	}
	if next, ok := q.Next(); !ok || !next.Equal(noon) {
		t.Errorf("Next: got %v, %v, want %v", next, ok, noon)
	}
	got := [][]string{
		bodies(q.Receive(noon.Add(-time.Nanosecond), 10)), bodies(q.Receive(noon, 10)),
		bodies(q.Receive(noon.Add(2*time.Second), 3)), bodies(q.Receive(noon.Add(2*time.Second), 3)),
	}
	if d := cmp.Diff([][]string{nil, {"2"}, {"1", "3", "0"}, {"4"}}, got); d != "" {
		t.Errorf("batches: got (+) and want (-) differ:\n%s", d)
	}
	if next, ok := q.Next(); !ok || !next.Equal(noon.Add(time.Minute)) || q.Len() != 5 {
		t.Errorf("Next of what is hidden: got %v, %v of %d, want %v of 5", next, ok, q.Len(), noon.Add(time.Minute))
	}
}

func TestAnEmptyQueueHasNoNext(t *testing.T) {
	q := memory.NewQueue[int](memory.QueueOptions{}, nil)
	q.Send(1, noon)
	if !q.Delete(q.Receive(noon, 1)[0]) {
		t.Error("Delete: got false, want true")
	}
	if next, ok := q.Next(); ok || q.Len() != 0 || q.Receive(noon, 10) != nil {
		t.Errorf("got a message at %v of %d, want none", next, q.Len())
	}
}

func TestVisibilityIsThatOfSQSUnlessSaid(t *testing.T) {
	q := memory.NewQueue[int](memory.QueueOptions{}, nil)
	q.Send(1, noon)
	q.Receive(noon, 1)
	if next, _ := q.Next(); !next.Equal(noon.Add(30 * time.Second)) {
		t.Errorf("got shown again at %v, want 30 s after noon", next)
	}
}

// TestAReceiptIsNeverThatOfAnotherMessage: the place of a message that is gone is used again.
func TestAReceiptIsNeverThatOfAnotherMessage(t *testing.T) {
	dead := memory.NewQueue[string](memory.QueueOptions{Visibility: time.Second}, nil)
	q := memory.NewQueue(memory.QueueOptions{Visibility: time.Second, MostReceives: 1}, dead)
	q.Send("deleted", noon)
	deleted := q.Receive(noon, 1)[0]
	q.Delete(deleted)
	q.Send("dead", noon)
	died := q.Receive(noon, 1)[0]
	q.Receive(noon.Add(time.Second), 1)
	q.Send("there", noon.Add(time.Second))
	q.Receive(noon.Add(time.Second), 1)
	dead.Redrive(noon.Add(time.Second))
	q.Receive(noon.Add(time.Second), 1)
	if q.Len() != 2 {
		t.Fatalf("got %d messages, want 2", q.Len())
	}
	for _, old := range []memory.Received[string]{deleted, died} {
		if q.Delete(old) || q.Len() != 2 {
			t.Errorf("receipt of %q: got something deleted, want nothing", old.Message)
		}
	}
}

func TestDeadLettersGoBackToWhereTheyCameFrom(t *testing.T) {
	dead := memory.NewQueue[string](memory.QueueOptions{Visibility: time.Hour}, nil)
	o := memory.QueueOptions{Visibility: time.Second, MostReceives: 1}
	left, right := memory.NewQueue(o, dead), memory.NewQueue(o, dead)
	at := noon
	for n := range 3 {
		left.Send(fmt.Sprint("left ", n), at)
		right.Send(fmt.Sprint("right ", n), at)
		for _, q := range []*memory.Queue[string]{left, right} {
			if got := len(q.Receive(at, 10)); got != 1 {
				t.Fatalf("got %d messages, want the new one", got)
			}
		}
		at = at.Add(time.Second)
		left.Receive(at, 10)
		right.Receive(at, 10)
	}
	dead.Send("nobody's", at)
	hidden := dead.Receive(at, 1)
	if d := cmp.Diff([]string{"left 0"}, bodies(hidden)); d != "" {
		t.Errorf("first dead letter: got (+) and want (-) differ:\n%s", d)
	}
	at = at.Add(time.Minute)
	left.Send("left 3", at)
	if got := dead.Redrive(at); got != 5 || dead.Len() != 2 {
		t.Errorf("Redrive: got %d and %d left, want 5, and left the hidden one and nobody's", got, dead.Len())
	}
	got := [][]string{bodies(left.Receive(at, 10)), bodies(right.Receive(at, 10))}
	if d := cmp.Diff([][]string{{"left 3", "left 1", "left 2"}, {"right 0", "right 1", "right 2"}}, got); d != "" {
		t.Errorf("after Redrive: got (+) and want (-) differ:\n%s", d)
	}
	if !dead.Delete(hidden[0]) {
		t.Error("deleting the hidden dead letter: got false, want true")
	}
}

// plain is a queue as one would write it who had few messages and time.
type plain struct {
	o    memory.QueueOptions
	all  []*entry // as they were sent
	dead *plain
}

type entry struct {
	body  int
	shown time.Time
	times int
	from  *plain
}

func (p *plain) receive(now time.Time, most int) (got []*entry) {
	for len(got) < most {
		var first *entry
		for _, e := range p.all {
			if !e.shown.After(now) && (first == nil || e.shown.Before(first.shown)) {
				first = e
			}
		}
		if first == nil {
			break
		}
		if p.o.MostReceives > 0 && first.times == p.o.MostReceives {
			p.remove(first)
			p.dead.all = append(p.dead.all, &entry{body: first.body, shown: now, from: p})
			continue
		}
		first.times++
		first.shown = now.Add(p.o.Visibility)
		got = append(got, first)
	}
	return got
}

func (p *plain) remove(e *entry) bool {
	n := slices.Index(p.all, e)
	if n >= 0 {
		p.all = slices.Delete(p.all, n, n+1)
	}
	return n >= 0
}

func (p *plain) redrive(now time.Time) (moved int) {
	for _, e := range slices.Clone(p.all) {
		if e.from != nil && !e.shown.After(now) {
			p.remove(e)
			e.from.all = append(e.from.all, &entry{body: e.body, shown: now})
			moved++
		}
	}
	return moved
}

// TestAQueueIsAsAPlainOne does at random what can be done, on both.
func TestAQueueIsAsAPlainOne(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 9))
		o := memory.QueueOptions{Visibility: time.Duration(1+random.IntN(9)) * time.Second, MostReceives: 1 + random.IntN(3)}
		dead := memory.NewQueue[int](memory.QueueOptions{Visibility: 3 * time.Second}, nil)
		q := memory.NewQueue(o, dead)
		plainDead := &plain{o: memory.QueueOptions{Visibility: 3 * time.Second}}
		p := &plain{o: o, dead: plainDead}
		type receipt struct {
			received memory.Received[int]
			entry    *entry
			q        *memory.Queue[int]
			p        *plain
		}
		var receipts []receipt
		now := noon
		for step := range 300 {
			var got, want any
			on, onPlain := q, p
			if random.IntN(6) == 0 {
				on, onPlain = dead, plainDead
			}
			switch choice := random.IntN(10); {
			case choice < 3:
				shown := now.Add(time.Duration(random.IntN(5)-1) * time.Second)
				on.Send(step, shown)
				onPlain.all = append(onPlain.all, &entry{body: step, shown: shown})
			case choice < 6:
				most := 1 + random.IntN(10)
				batch, entries := on.Receive(now, most), onPlain.receive(now, most)
				var is, should []string
				for _, r := range batch {
					is = append(is, fmt.Sprint(r.Message, " ", r.Times))
				}
				for n, e := range entries {
					should = append(should, fmt.Sprint(e.body, " ", e.times))
					if n < len(batch) {
						receipts = append(receipts, receipt{batch[n], e, on, onPlain})
					}
				}
				got, want = is, should
			case choice < 8 && len(receipts) > 0:
				r := receipts[random.IntN(len(receipts))]
				got = r.q.Delete(r.received)
				want = r.entry.times == r.received.Times && r.p.remove(r.entry)
			case choice == 8:
				now = now.Add(time.Duration(random.IntN(4000)) * time.Millisecond)
			case random.IntN(5) == 0:
				got, want = dead.Redrive(now), plainDead.redrive(now)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("seed %d, step %d: got (+) and want (-) differ:\n%s", seed, step, d)
			}
			if q.Len() != len(p.all) || dead.Len() != len(plainDead.all) {
				t.Fatalf("seed %d, step %d: got %d and %d messages, want %d and %d", seed, step, q.Len(), dead.Len(), len(p.all), len(plainDead.all))
			}
			next, some := q.Next()
			first := slices.MinFunc(append(slices.Clone(p.all), &entry{shown: noon.AddDate(1, 0, 0)}), func(a, b *entry) int { return a.shown.Compare(b.shown) })
			if some != (len(p.all) > 0) || some && !next.Equal(first.shown) {
				t.Fatalf("seed %d, step %d: got next %v, %v, want %v", seed, step, next, some, first.shown)
			}
		}
	}
}

func TestNonsenseOfAQueuePanics(t *testing.T) {
	q := memory.NewQueue[int](memory.QueueOptions{}, nil)
	q.Send(1, noon)
	other := memory.NewQueue[int](memory.QueueOptions{}, nil)
	for name, call := range map[string]func(){
		"no dead letters":     func() { memory.NewQueue[int](memory.QueueOptions{MostReceives: 1}, nil) },
		"negative receives":   func() { memory.NewQueue(memory.QueueOptions{MostReceives: -1}, q) },
		"negative visibility": func() { memory.NewQueue[int](memory.QueueOptions{Visibility: -1}, nil) },
		"a batch of 0":        func() { q.Receive(noon, 0) },
		"a batch of 11":       func() { q.Receive(noon, 11) },
		"no receipt":          func() { q.Delete(memory.Received[int]{}) },
		"another's receipt":   func() { other.Delete(q.Receive(noon, 1)[0]) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "memory: bug in the caller: ") {
					t.Errorf("%s: got %q, want a panic that calls it a bug", name, got)
				}
			}()
			call()
		}()
	}
}

func BenchmarkQueue(b *testing.B) {
	q := memory.NewQueue[[4]string](memory.QueueOptions{Visibility: time.Minute}, nil)
	for n := range 1000 {
		q.Send([4]string{}, noon.Add(time.Duration(n*7919%1000)*time.Second))
	}
	b.ReportAllocs()
	now := noon.Add(time.Hour)
	for b.Loop() {
		now = now.Add(time.Second)
		for _, r := range q.Receive(now, 10) {
			q.Delete(r)
			q.Send(r.Message, now.Add(time.Second))
		}
	}
}
