package stage

import "sync"

// Script holds outcomes for the next calls. The zero value is empty and ready.
type Script[T any] struct {
	mu      sync.Mutex
	entries []scripted[T]
}

type scripted[T any] struct {
	left    int
	outcome T
}

// Add sets an outcome for the next count calls that it fits; less than 1 means 1.
func (s *Script[T]) Add(count int, outcome T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, scripted[T]{max(count, 1), outcome})
}

// Take uses up one turn of the oldest outcome that fits, if there is any.
func (s *Script[T]) Take(fits func(T) bool) (outcome T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.entries {
		entry := &s.entries[i]
		if !fits(entry.outcome) {
			continue
		}
		outcome = entry.outcome
		if entry.left--; entry.left == 0 {
			s.entries = append(s.entries[:i], s.entries[i+1:]...)
		}
		return outcome, true
	}
	return outcome, false
}

// Clear forgets all outcomes.
func (s *Script[T]) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = nil
}
