package play

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"grantline/shared/fault"
	"grantline/shared/transport"
)

// apiKey stands for a token of a package, so that no token is kept.
type apiKey [sha256.Size]byte

func shareKey(pkg, token string) apiKey { return sha256.Sum256([]byte(pkg + "\x00" + token)) }

// apiShare gives callers that ask about one token at the same time one answer. What is there
// already is given to nobody else: it may be older than why somebody asks.
type apiShare[T any] struct {
	mu      sync.Mutex
	asking  map[apiKey]*sharedAnswer[T]
	waiting int // callers, for another's answer
}

// sharedAnswer is one that is being asked for until done is closed.
type sharedAnswer[T any] struct {
	done chan struct{}

	answer T
	asked  time.Time
	err    error
	alone  bool // the one who asked ran out of time, which says nothing to others
}

// get gives the answer that another is asking for, or asks.
func (s *apiShare[T]) get(ctx context.Context, key apiKey, ask func() (T, time.Time, error)) (T, time.Time, error) {
	for {
		mine, theirs := s.join(key)
		if theirs == nil {
			return s.lead(ctx, key, mine, ask)
		}
		if err := s.await(ctx, theirs); err != nil {
			var none T
			return none, time.Time{}, err
		}
		if !theirs.alone {
			return theirs.answer, theirs.asked, theirs.err
		}
		s.drop(key, theirs)
	}
}

// await waits until an answer of another's is there, and fails where the time ends before.
func (s *apiShare[T]) await(ctx context.Context, theirs *sharedAnswer[T]) error {
	s.wait(1)
	defer s.wait(-1)
	select {
	case <-theirs.done:
		return nil
	case <-ctx.Done():
		return (&APIError{Method: "the same of another call", why: transport.Why(ctx.Err()), kind: fault.Unavailable}).fault()
	}
}

func (s *apiShare[T]) wait(more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting += more
}

// join gives an answer to wait for, or the one to be asked for.
func (s *apiShare[T]) join(key apiKey) (mine, theirs *sharedAnswer[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if asked, ok := s.asking[key]; ok {
		return nil, asked
	}
	if s.asking == nil {
		s.asking = make(map[apiKey]*sharedAnswer[T])
	}
	mine = &sharedAnswer[T]{done: make(chan struct{})}
	s.asking[key] = mine
	return mine, nil
}

// lead asks.
func (s *apiShare[T]) lead(ctx context.Context, key apiKey, mine *sharedAnswer[T], ask func() (T, time.Time, error)) (T, time.Time, error) {
	mine.alone = true // until there is something to share
	defer close(mine.done)
	defer s.drop(key, mine)
	mine.answer, mine.asked, mine.err = ask()
	mine.alone = mine.err != nil && ctx.Err() != nil
	return mine.answer, mine.asked, mine.err
}

func (s *apiShare[T]) forget(key apiKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asking, key)
}

// forgetAll is forget of every token.
func (s *apiShare[T]) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.asking)
}

func (s *apiShare[T]) drop(key apiKey, a *sharedAnswer[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking[key] == a {
		delete(s.asking, key)
	}
}
