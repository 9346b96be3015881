// Package lambda runs compiled functions as AWS Lambda does: processes that fetch events
// from the Runtime API, one at a time each, and new processes when events overlap. Nothing
// of a function is emulated; it is the very binary, which the runner only feeds and, when
// its time is up, kills.
package lambda

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"grantline/infra/local/process"
)

// ErrThrottled says that as many events are in flight as the function may have.
var ErrThrottled = errors.New("lambda: throttled")

// ErrClosed says that the service is stopping.
var ErrClosed = errors.New("lambda: stopping")

// Kind is how an event failed.
type Kind int

// The kinds of failure.
const (
	Returned Kind = iota // the function answered with an error, panics included
	Exited               // the process ended of itself
	Killed               // somebody killed the process
	TimedOut             // the function's time was up
	Init                 // the process did not come as far as asking for an event
)

func (k Kind) String() string {
	return [...]string{"returned an error", "exited", "was killed", "timed out", "could not start"}[k]
}

// FunctionError is the failure of one event. The message is the function's own.
type FunctionError struct {
	Function string
	Kind     Kind
	Message  string
}

func (e *FunctionError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("lambda: %s %s", e.Function, e.Kind)
	}
	return fmt.Sprintf("lambda: %s %s: %s", e.Function, e.Kind, e.Message)
}

// Function is what is run.
type Function struct {
	Name        string
	Program     string   // path of the executable
	Environment []string // NAME=value; the Runtime API's address is added
	Timeout     time.Duration
	Concurrency int // most events in flight at once, at least 1
	// Queue has events beyond the concurrency wait. It is for a function without reserved
	// concurrency, which is limited only by what this machine can carry; with a reservation
	// they are throttled, as they are in Lambda.
	Queue bool
}

// MaxQueued is how many events may wait for a function: Lambda would throttle at the
// account's concurrency, which is 1,000 unless raised (Lambda quotas).
const MaxQueued = 1000

// MaxPayload is the most that an event or an answer may have (Lambda quotas).
const MaxPayload = 6 << 20

// A process must have asked for its first event in this time. Lambda gives 10 s; a loaded
// machine gets more, so that load is not mistaken for a defect.
const initLimit = 60 * time.Second

// Service is the Runtime API and the processes behind it.
type Service struct {
	server  *http.Server
	base    string // host:port
	output  func(function string, line []byte)
	starter *process.Starter
	pools   map[string]*pool
	group   sync.WaitGroup // processes
	served  chan struct{}
	once    sync.Once
	closed  error // of the first Close
}

// Start serves the Runtime API on a free loopback port. Each line that a process writes goes
// to output, which must be safe for use by several goroutines.
func Start(functions []Function, starter *process.Starter, output func(function string, line []byte)) (*Service, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("lambda: runtime API: %w", err)
	}
	s := &Service{
		base: listener.Addr().String(), output: output,
		starter: starter, pools: map[string]*pool{}, served: make(chan struct{}),
	}
	for _, f := range functions {
		s.pools[f.Name] = &pool{service: s, function: f, workers: map[string]*worker{}, events: map[*event]struct{}{}}
	}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // ends with ErrServerClosed upon Close
	}()
	return s, nil
}

// Invoke hands an event to a free environment, or to a new one, and returns the function's
// answer. The error is ErrThrottled, ErrClosed, a *FunctionError, or ctx's; in the last case
// the function goes on, as it does in Lambda when the caller has left.
func (s *Service) Invoke(ctx context.Context, function string, payload []byte) ([]byte, error) {
	p, ok := s.pools[function]
	if !ok {
		return nil, fmt.Errorf("lambda: no function %q", function)
	}
	e, err := p.take(payload)
	if err != nil {
		return nil, err
	}
	select {
	case o := <-e.done:
		return o.answer, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Processes lists the process ids of a function's environments, for whoever wants to kill one.
func (s *Service) Processes(function string) []int {
	p, ok := s.pools[function]
	if !ok {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []int
	for _, w := range p.workers {
		if w.process != nil {
			ids = append(ids, w.process.Pid)
		}
	}
	slices.Sort(ids)
	return ids
}

// Work is the events of a function that have no outcome yet.
type Work struct {
	Function string    `json:"function"`
	Events   int       `json:"events"` // those that wait for their turn included
	Since    time.Time `json:"since"`  // the oldest came in, in real time
}

// AtWork lists the functions that are at work, by their names.
func (s *Service) AtWork() []Work {
	all := []Work{}
	for name, p := range s.pools {
		p.mu.Lock()
		w := Work{Function: name, Events: len(p.events)}
		for e := range p.events {
			if w.Since.IsZero() || e.began.Before(w.Since) {
				w.Since = e.began
			}
		}
		p.mu.Unlock()
		if w.Events > 0 {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b Work) int { return strings.Compare(a.Function, b.Function) })
	return all
}

// Close kills every process and waits until all are gone. Events in flight end with ErrClosed.
// Closing again does nothing.
func (s *Service) Close() error {
	s.once.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Service) close() error {
	for _, p := range s.pools {
		p.close()
	}
	gone := make(chan struct{})
	go func() {
		s.group.Wait()
		close(gone)
	}()
	var err error
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		err = errors.New("lambda: a process did not go in 10 s")
	}
	err = errors.Join(err, s.server.Close())
	<-s.served
	return err
}

// newID is a random id in the form of a request id.
func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
