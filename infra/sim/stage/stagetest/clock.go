// Package stagetest is what tests of simulated providers have in common. The one idea: a
// clock that stands still until it is moved, and then comes to each thing at its instant.
package stagetest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Clock stands still until it is moved. Its methods Now and At are what stage.Options wants.
type Clock struct {
	mu   sync.Mutex
	now  time.Time
	held map[string]hold
}

type hold struct {
	at time.Time
	do func(ctx context.Context)
}

// NewClock makes a clock that shows 2026-03-01T00:00:00Z.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), held: map[string]hold{}}
}

// Now is the instant that it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// At keeps what is to be done until the clock is moved there.
func (c *Clock) At(key string, at time.Time, do func(ctx context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[key] = hold{at, do}
}

// Advance moves the clock; what is due on the way is done in order, each to its end.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	target := c.now.Add(d)
	c.mu.Unlock()
	for {
		do := c.next(target)
		if do == nil {
			return
		}
		do(context.Background())
	}
}

func (c *Clock) next(target time.Time) func(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := ""
	for key, h := range c.held {
		if known, ok := c.held[first]; h.at.After(target) || ok && (known.at.Before(h.at) || known.at.Equal(h.at) && first < key) {
			continue
		}
		first = key
	}
	h, ok := c.held[first]
	if !ok {
		c.now = target
		return nil
	}
	delete(c.held, first)
	if h.at.After(c.now) {
		c.now = h.at
	}
	return h.do
}

// Arrival is a webhook that came.
type Arrival struct {
	At     time.Time
	Path   string
	Header http.Header
	Raw    []byte
	Body   map[string]any // of Raw
}

// Receiver is where webhooks are sent to. It answers 200 unless told otherwise.
type Receiver struct {
	URL string

	mu       sync.Mutex
	clock    *Clock
	status   int
	arrivals []Arrival
}

// NewReceiver starts a receiver that ends with the test.
func NewReceiver(t *testing.T, clock *Clock) *Receiver {
	t.Helper()
	r := &Receiver{clock: clock, status: http.StatusOK}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// Answer sets the status of what comes from now on.
func (r *Receiver) Answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// ServeHTTP keeps what comes.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	raw, _ := io.ReadAll(q.Body) // a body that breaks off is no JSON, and a test will say so
	a := Arrival{At: r.clock.Now(), Path: q.URL.Path, Header: q.Header, Raw: raw}
	_ = json.Unmarshal(raw, &a.Body) // as above
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrivals = append(r.arrivals, a)
	w.WriteHeader(r.status)
}

// Arrivals are all that came, oldest first.
func (r *Receiver) Arrivals() []Arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Arrival{}, r.arrivals...)
}
