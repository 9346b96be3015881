// Package faulty stands in front of DynamoDB and breaks calls on request. Its one idea
// is that every call fails twice: once with nothing done, and once with everything done
// and the answer lost, and that the caller cannot tell which.
package faulty

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// When says whether the call is carried out.
type When string

// The moments.
const (
	Before When = "before" // nothing is done
	After  When = "after"  // DynamoDB does it and answers, and the answer is dropped
)

// How says what the caller sees instead of an answer.
type How string

// The ways to fail.
const (
	Hang  How = "hang"  // nothing, until it gives up
	Reset How = "reset" // the connection is reset
	Error How = "500"   // InternalServerError with status 500
)

// longestHang bounds a Hang for a caller that never gives up.
const longestHang = 5 * time.Minute

// maxBody bounds a request; DynamoDB takes 16 MB. maxAnswer bounds what comes back.
const (
	maxBody   = 16 << 20
	maxAnswer = 64 << 20
)

// Fault breaks calls.
type Fault struct {
	Operation string // such as PutItem; "" breaks any
	Contains  string // what the request's JSON must contain, such as a table's name; "" is any
	Skip      int    // how many matching calls go through first
	Times     int    // how many are then broken, at least 1
	When      When
	How       How
}

func (f Fault) check() error {
	switch {
	case f.Times < 1:
		return fmt.Errorf("faulty: a fault for %d calls breaks nothing", f.Times)
	case f.Skip < 0:
		return fmt.Errorf("faulty: %d calls cannot be skipped", f.Skip)
	case f.When != Before && f.When != After:
		return fmt.Errorf("faulty: when is %q, not %s or %s", f.When, Before, After)
	case f.How != Hang && f.How != Reset && f.How != Error:
		return fmt.Errorf("faulty: how is %q, not %s, %s or %s", f.How, Hang, Reset, Error)
	}
	return nil
}

// Proxy forwards calls to DynamoDB, but for those that a Fault breaks. It is safe for
// use by many goroutines.
type Proxy struct {
	target *url.URL
	client *http.Client

	mu     sync.Mutex
	faults []*Fault
	broken map[string]int
	done   map[string]int
}

// New makes a Proxy in front of target.
func New(target *url.URL) *Proxy {
	return &Proxy{
		target: target,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}},
		broken: map[string]int{},
		done:   map[string]int{},
	}
}

// Break adds a fault. A call is broken by the first one that matches; one that is used
// up is gone. The error is that of a fault which makes no sense.
func (p *Proxy) Break(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &f)
	return nil
}

// Mend drops all faults that are left.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// Left is how many calls are still to be broken.
func (p *Proxy) Left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := 0
	for _, f := range p.faults {
		left += f.Times
	}
	return left
}

// Broken is how many calls of an operation were broken so far.
func (p *Proxy) Broken(operation string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken[operation]
}

// Done is how many calls of an operation DynamoDB has answered with success so far,
// those whose answer was dropped included.
func (p *Proxy) Done(operation string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done[operation]
}

// fault finds what breaks a call, and counts it.
func (p *Proxy) fault(operation string, body []byte) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, f := range p.faults {
		if f.Operation != "" && f.Operation != operation || !bytes.Contains(body, []byte(f.Contains)) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			return Fault{}, false
		}
		f.Times--
		if f.Times == 0 {
			p.faults = append(p.faults[:n:n], p.faults[n+1:]...)
		}
		p.broken[operation]++
		return *f, true
	}
	return Fault{}, false
}

// ServeHTTP handles one call of DynamoDB's JSON protocol, whose X-Amz-Target ends in
// the operation.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "faulty: the request cannot be read", http.StatusBadRequest)
		return
	}
	target := r.Header.Get("X-Amz-Target")
	operation := target[strings.LastIndexByte(target, '.')+1:]
	fault, breaks := p.fault(operation, body)
	if breaks && fault.When == Before {
		fail(w, r, fault.How)
		return
	}

	ctx := r.Context()
	if breaks {
		ctx = context.WithoutCancel(ctx) // it is done even if the caller gives up
	}
	answer, content, err := p.forward(ctx, r, body) //nolint:bodyclose // forward has read and closed it
	if err == nil && answer.StatusCode == http.StatusOK {
		p.mu.Lock()
		p.done[operation]++
		p.mu.Unlock()
	}
	switch {
	case breaks:
		fail(w, r, fault.How)
	case err != nil:
		fail(w, r, Reset)
	default:
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(content) // a caller that is gone has its own error
	}
}

func (p *Proxy) forward(ctx context.Context, r *http.Request, body []byte) (*http.Response, []byte, error) {
	to := *p.target
	to.Path, to.RawQuery = r.URL.Path, r.URL.RawQuery
	out, err := http.NewRequestWithContext(ctx, r.Method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	out.Header = r.Header.Clone()
	out.Header.Del("Connection")
	out.Host = r.Host // which the caller signed
	answer, err := p.client.Do(out)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return answer, content, err
}

func fail(w http.ResponseWriter, r *http.Request, how How) {
	switch how {
	case Hang:
		patience := time.NewTimer(longestHang)
		defer patience.Stop()
		select {
		case <-r.Context().Done():
		case <-patience.C:
		}
		reset(w)
	case Reset:
		reset(w)
	case Error:
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"broken on request"}`)
	}
}

// reset closes the connection under the caller, by RST where that can be had.
func reset(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
