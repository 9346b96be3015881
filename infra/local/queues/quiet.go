package queues

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// longestWait bounds how long Quiet waits, in real time.
	longestWait = 10 * time.Minute
	// still bounds it, unless Options say otherwise, where nobody is at work and nothing moves:
	// what is visible is received at once, and what was received and did not come shows again
	// after the time of its arrival.
	still = 3 * time.Minute
)

// Quiet waits until no message is visible or in flight on any queue that feeds a function.
// Messages that wait for their visibility timeout do not count, nor do dead letters. The error
// says what it was waiting for.
func (s *Service) Quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	var was unrest
	since := time.Now()
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		is, err := s.unrest(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			return err
		case err == nil && is.none():
			return nil
		case err == nil && !is.same(was):
			was, since = is, time.Now()
		}
		if len(was.batches) == 0 && time.Since(since) > s.Still {
			return fmt.Errorf("queues: nothing has moved for %v, and nobody is at work: %v", s.Still, was)
		}
		pause(ctx, wait)
		if ctx.Err() != nil {
			return fmt.Errorf("queues: waiting for %v: %w", was, ctx.Err())
		}
	}
}

// unrest is what is between Quiet and its end.
type unrest struct {
	batches  []batch // in flight, the oldest first
	queues   []stir
	activity int
	began    bool // a batch came and went meanwhile, and what it sent may be in a queue seen before
}

// stir is a queue that is not quiet.
type stir struct {
	Depth
	held int // of those in flight, until they are due
}

func (u unrest) none() bool { return len(u.batches) == 0 && len(u.queues) == 0 && !u.began }

// same says that nothing moved between two looks.
func (u unrest) same(o unrest) bool {
	return u.activity == o.activity && slices.Equal(u.batches, o.batches) && slices.Equal(u.queues, o.queues)
}

// String tells it to a person.
func (u unrest) String() string {
	var parts []string
	for _, b := range u.batches {
		parts = append(parts, fmt.Sprintf("a batch of %s at %s for %v", b.queue, b.function, time.Since(b.since).Round(time.Second)))
	}
	for _, q := range u.queues {
		parts = append(parts, fmt.Sprintf("%s with %d visible and %d in flight, of which %d wait until they are due", q.Name, q.Visible, q.InFlight, q.held))
	}
	if len(parts) == 0 {
		return "the queues"
	}
	return strings.Join(parts, "; ")
}

// unrest looks once.
func (s *Service) unrest(ctx context.Context) (unrest, error) {
	var u unrest
	s.mu.Lock()
	u.activity = s.activity
	for b := range s.batches {
		u.batches = append(u.batches, *b)
	}
	s.mu.Unlock()
	slices.SortFunc(u.batches, func(a, b batch) int { return a.since.Compare(b.since) })
	if len(u.batches) > 0 {
		return u, nil
	}
	stirs := make([]stir, len(s.Sources))
	failures := make([]error, len(s.Sources))
	var group sync.WaitGroup
	for i, source := range s.Sources {
		q, ok := s.queue(source.Queue)
		if !ok {
			continue
		}
		group.Go(func() {
			d, err := s.depth(ctx, q)
			s.mu.Lock()
			defer s.mu.Unlock()
			stirs[i], failures[i] = stir{d, len(s.held[q.Name])}, err
		})
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return unrest{}, err
	}
	for _, q := range stirs {
		if q.Visible > 0 || q.InFlight > q.held {
			u.queues = append(u.queues, q)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.began = s.activity != u.activity
	return u, nil
}
