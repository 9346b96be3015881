package stage

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// agenda is what is to be done in real time, where nobody else keeps the clock.
type agenda struct {
	mu      sync.Mutex
	closed  bool
	count   int64
	timers  map[int64]*time.Timer
	running sync.WaitGroup
}

// Later has do called at an instant of the provider's clock, never before it returns; at
// once if the instant has passed. After Close nothing is done any more. What do needs locked
// it locks itself.
func (s *Stage) Later(at time.Time, do func(ctx context.Context)) {
	s.agenda.mu.Lock()
	defer s.agenda.mu.Unlock()
	if s.agenda.closed {
		return
	}
	s.agenda.count++
	number := s.agenda.count
	begin := func(ctx context.Context) {
		s.agenda.mu.Lock()
		if s.agenda.closed {
			s.agenda.mu.Unlock()
			return
		}
		delete(s.agenda.timers, number)
		s.agenda.running.Add(1)
		s.agenda.mu.Unlock()
		defer s.agenda.running.Done()
		do(ctx)
	}
	if s.options.At != nil {
		s.options.At(fmt.Sprintf("sim/%s/%012d", s.provider, number), at, begin)
		return
	}
	if s.agenda.timers == nil {
		s.agenda.timers = map[int64]*time.Timer{}
	}
	s.agenda.timers[number] = time.AfterFunc(at.Sub(s.Now()), func() { begin(context.Background()) })
}

// close forgets what is not yet begun, and waits for what is.
func (a *agenda) close() {
	a.mu.Lock()
	a.closed = true
	for _, timer := range a.timers {
		timer.Stop()
	}
	a.timers = nil
	a.mu.Unlock()
	a.running.Wait()
}
