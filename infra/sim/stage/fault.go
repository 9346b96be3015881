package stage

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// When a call goes wrong.
const (
	Before = "before" // nothing was done
	After  = "after"  // all was done, the answer is lost
)

// How a call goes wrong.
const (
	Hang  = "hang"  // no answer until the caller gives up, or for Options.HangLimit
	Reset = "reset" // the connection is reset
	Error = "500"   // the provider's answer for an internal error
)

// maxDelay bounds a scripted delay.
const maxDelay = 90 * time.Second

// chanceHang is how long a call hangs that does so of itself: long enough to be given up
// by a caller in a hurry, and short enough for a person who moves the clock by a year and
// has one such call in sixty.
const chanceHang = 8 * time.Second

// Fault is one way in which a call goes wrong. With a Delay and no When the call is slow
// and else right.
type Fault struct {
	Endpoint string   `json:"endpoint,omitempty"` // "" is every endpoint of the provider
	ID       string   `json:"id,omitempty"`       // an orderId or key in the call; "" is any
	When     string   `json:"when,omitempty"`     // Before or After
	How      string   `json:"how,omitempty"`      // Hang, Reset or Error
	Delay    Duration `json:"delay,omitempty"`    // real time between the claim and the effect, at most 90 s
	Count    int      `json:"count,omitempty"`    // calls; 0 is 1

	chance bool // it was drawn, not scripted
}

// Duration is a time.Duration that reads as "1m30s".
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// MarshalText writes it as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Script makes the next calls fail. It refuses a fault that could never happen.
func (s *Stage) Script(f Fault) error {
	switch {
	case f.Endpoint != "" && !slices.Contains(s.endpoints, f.Endpoint):
		return fmt.Errorf("endpoint %q: %s has %s", f.Endpoint, s.provider, strings.Join(s.endpoints, ", "))
	case f.Delay < 0 || time.Duration(f.Delay) > maxDelay:
		return fmt.Errorf("delay %s: from 0 to %s", time.Duration(f.Delay), maxDelay)
	case f.When == "" && f.How == "" && f.Delay > 0:
	case f.When != Before && f.When != After:
		return fmt.Errorf("when %q: before or after (or a delay alone)", f.When)
	case f.How != Hang && f.How != Reset && f.How != Error:
		return fmt.Errorf("how %q: hang, reset or 500", f.How)
	}
	s.faults.Add(f.Count, f)
	return nil
}

// SetUnkind sets the percentage of calls that go wrong of themselves.
func (s *Stage) SetUnkind(percent int) error {
	if percent < 0 || percent > 100 {
		return fmt.Errorf("percent %d: from 0 to 100", percent)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unkind = percent
	return nil
}

// pick decides how a call goes wrong: as scripted, or by chance, or (the zero Fault) not.
func (s *Stage) pick(call Call) Fault {
	fault, ok := s.faults.Take(func(f Fault) bool {
		return (f.Endpoint == "" || f.Endpoint == call.Endpoint) && (f.ID == "" || slices.Contains(call.IDs, f.ID))
	})
	if ok {
		return fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dice.IntN(100) >= s.unkind {
		return Fault{}
	}
	when, how := []string{Before, After}[s.dice.IntN(2)], []string{Hang, Reset, Error}[s.dice.IntN(3)]
	if how == Hang && s.brief[call.Endpoint] {
		how = Reset
	}
	return Fault{
		When: when,
		How:  how,

		chance: true,
	}
}

// fail loses the answer in the way of f.
func (s *Stage) fail(w http.ResponseWriter, r *http.Request, f Fault) {
	switch f.How {
	case Error:
		Write(w, s.broken)
	case Hang:
		limit := s.options.HangLimit
		if f.chance {
			limit = min(limit, chanceHang)
		}
		s.wait(limit, r)
		drop(w)
	case Reset:
		drop(w)
	default:
		panic(fmt.Sprintf("stage: a fault of kind %q was let in", f.How))
	}
}

// wait waits in real time; less if the stage closes or r's caller goes away.
func (s *Stage) wait(d time.Duration, r *http.Request) {
	if d <= 0 {
		return
	}
	var gone <-chan struct{}
	if r != nil {
		gone = r.Context().Done()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	case <-s.closed:
	}
}

// drop resets the connection: what is under it is closed without lingering, so that TCP
// sends RST instead of the end of a stream. Where the connection is not to be had, the
// server closes it without an answer.
func drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for {
		switch c := conn.(type) {
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn() // past TLS, whose own Close would say good-bye first
			continue
		case *net.TCPConn:
			_ = c.SetLinger(0)
		}
		_ = conn.Close()
		return
	}
}
