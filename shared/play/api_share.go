package play

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/transport"
)

const (
	// sharedFor is how long an answer about a token is shared.
	sharedFor = 3 * time.Second
	// maxShared bounds the answers that are kept.
	maxShared = 1000
)

// apiKey stands for a token of a package, so that no token is kept.
type apiKey [sha256.Size]byte

func shareKey(pkg, token string) apiKey { return sha256.Sum256([]byte(pkg + "\x00" + token)) }

// apiShare gives callers that ask about one token at about the same time one answer.
type apiShare[T any] struct {
	mu      sync.Mutex
	kept    map[apiKey]*sharedAnswer[T]
	waiting int // callers, for another's answer
}

// sharedAnswer is one that is being asked for until done is closed.
type sharedAnswer[T any] struct {
	began time.Time
	done  chan struct{}

	answer T
	asked  time.Time
	err    error
	alone  bool // the one who asked ran out of time, which says nothing to others
}

// get gives an answer that was asked for within sharedFor, or asks. Failures are shared
// with those alone who wait for the same answer.
func (s *apiShare[T]) get(ctx context.Context, c clock.Clock, key apiKey, ask func() (T, time.Time, error)) (T, time.Time, error) {
	for {
		mine, theirs := s.join(key, c.Now())
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
func (s *apiShare[T]) join(key apiKey, now time.Time) (mine, theirs *sharedAnswer[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept, ok := s.kept[key]; ok && kept.young(now) {
		return nil, kept
	}
	s.makeRoom(now)
	mine = &sharedAnswer[T]{began: now, done: make(chan struct{})}
	s.kept[key] = mine
	return mine, nil
}

// lead asks.
func (s *apiShare[T]) lead(ctx context.Context, key apiKey, mine *sharedAnswer[T], ask func() (T, time.Time, error)) (T, time.Time, error) {
	mine.alone = true // until there is something to share
	defer close(mine.done)
	defer func() {
		if mine.alone || mine.err != nil {
			s.drop(key, mine)
		}
	}()
	mine.answer, mine.asked, mine.err = ask()
	mine.alone = mine.err != nil && ctx.Err() != nil
	return mine.answer, mine.asked, mine.err
}

func (s *apiShare[T]) forget(key apiKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, key)
}

// forgetAll is forget of every token.
func (s *apiShare[T]) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.kept)
}

func (s *apiShare[T]) drop(key apiKey, a *sharedAnswer[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[key] == a {
		delete(s.kept, key)
	}
}

// makeRoom is called with the lock held.
func (s *apiShare[T]) makeRoom(now time.Time) {
	if s.kept == nil {
		s.kept = make(map[apiKey]*sharedAnswer[T])
	}
	if len(s.kept) < maxShared {
		return
	}
	for key, kept := range s.kept {
		if !kept.young(now) {
			delete(s.kept, key)
		}
	}
	for key := range s.kept {
		if len(s.kept) < maxShared {
			return
		}
		delete(s.kept, key) // any: it is only asked for once more
	}
}

func (a *sharedAnswer[T]) young(now time.Time) bool {
	age := now.Sub(a.began)
	return age >= 0 && age < sharedFor
}
