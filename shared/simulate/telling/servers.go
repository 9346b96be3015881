package telling

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"grantline/shared/delivery"
	"grantline/shared/event"
	"grantline/shared/simulate"
	"grantline/shared/table"
)

// Servers are the company's servers, as the deployment reaches them: its http.RoundTripper.
type Servers struct {
	quarter *Quarter
}

// NewServers makes servers that New gives something to be told of.
func NewServers() *Servers { return &Servers{} }

// server is one endpoint from when it was made until it was removed. Another that is made
// under the same id is another server.
type server struct {
	name     string // for the story
	scope    table.Scope
	id       string
	url      string
	format   string
	beginner bool // it asked for what was before it

	created time.Time // as the registry has it
	added   time.Time // it was in the registry; zero: not yet
	removed time.Time
	asks    []asks
	secrets []secret
	mood    mood

	heard  map[*person]*hearing
	open   time.Time // since when it fails for everybody; zero while it does not
	since  time.Time // the first of the failures in a row, as the breaker has it
	spell  int       // attempts since it was open
	closed time.Time // when it last failed for everybody no more
}

// asks is what an endpoint asked for since an instant.
type asks struct {
	since    time.Time
	endpoint delivery.Endpoint
}

// secret is what an endpoint knew us by since an instant.
type secret struct {
	since time.Time
	is    delivery.Secrets
}

// inFlight is how long after something was read a function may act on it: its time, and by how
// much clocks differ.
const inFlight = 95 * time.Second

// asked says whether the server wanted a type at some time from since to now, and whether at
// all of that time.
func (s *server) asked(t event.Type, since time.Time) (ever, always bool) {
	always = true
	for n := len(s.asks) - 1; n >= 0; n-- {
		wants := s.asks[n].endpoint.Wants(t)
		ever, always = ever || wants, always && wants
		if !s.asks[n].since.After(since) {
			break
		}
	}
	return ever, always
}

// off says that the server was removed or disabled since before an instant.
func (s *server) off(before time.Time) bool {
	if !s.removed.IsZero() {
		return s.removed.Before(before)
	}
	for n := len(s.asks) - 1; n >= 0; n-- {
		if s.asks[n].endpoint.State == delivery.Active {
			return false
		}
		if s.asks[n].since.Before(before) {
			return true
		}
	}
	return false
}

func (s *server) now() delivery.Endpoint { return s.asks[len(s.asks)-1].endpoint }

var (
	errReset   = errors.New("telling: the connection was reset")
	errRefused = errors.New("telling: the connection was refused")
)

// RoundTrip carries one request to a server. No goroutine is begun by it, nor by the client
// around it, which has no time of its own; so it may let others have their turns.
func (s *Servers) RoundTrip(r *http.Request) (*http.Response, error) {
	defer func() { _ = r.Body.Close() }() // only read
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	q := s.quarter
	if q == nil {
		return answer(r, http.StatusOK), nil
	}
	return q.request(r, body)
}

func answer(r *http.Request, status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}
}

// request is one request on its way, from the look that makes it to the answer that is heard.
func (q *Quarter) request(r *http.Request, body []byte) (*http.Response, error) {
	w, id := q.w, r.Header.Get("webhook-id")
	to := q.at(r.URL.String())
	if to == nil {
		q.fail(Written, "a request goes to an address that nobody gave")
		return nil, errRefused
	}
	if _, bounded := r.Context().Deadline(); !bounded {
		q.fail(Bounded, "a request to %s may take for ever", to.name)
	}
	base, part, _ := strings.Cut(strings.TrimPrefix(id, "evt_"), "_")
	e := q.written["evt_"+base]
	about := to.name
	if e != nil {
		about += " " + e.words + "+" + part
	}
	if e != nil && e.of.scope != to.scope {
		q.fail(Apart, "%s is told of %s, which is another's", to.name, e.words)
	}
	sent := w.Now()
	test := strings.HasPrefix(id, "test_")
	if !test {
		q.attempt(to, e)
	}
	if e != nil && part == "" {
		about = about[:len(about)-1]
	}
	fate := w.Cross(simulate.Op{Port: "endpoint", Verb: "post", About: about, Write: true})
	switch fate {
	case simulate.Lost:
		w.Crossed()
		return nil, errReset
	case simulate.Busy:
		w.Crossed()
		return answer(r, http.StatusTooManyRequests), nil
	case simulate.Late:
		// It lies about somewhere on its way, and is read when nobody waits for the answer.
		header := r.Header.Clone()
		w.After(time.Duration(w.Dice.Int64N(int64(10*time.Minute))), func() {
			if !test {
				q.arrives(to, e, header, body, sent, true)
			}
		})
		w.Crossed()
		return nil, context.DeadlineExceeded
	case simulate.Fine, simulate.Unheard, simulate.Vague, simulate.Stale, simulate.Partial:
	}
	if test {
		q.signed(to, id, r.Header, body, sent)
		w.Crossed()
		return answer(r, http.StatusOK), nil
	}
	status, hangs := q.arrives(to, e, r.Header, body, sent, false)
	if hangs > 0 {
		w.Pass(hangs)
	}
	w.Crossed()
	switch {
	case w.Now().Sub(sent) >= delivery.Wait:
		return nil, context.DeadlineExceeded
	case fate == simulate.Unheard || status == 0:
		return nil, errReset
	}
	return answer(r, status), nil
}

// at is the server at an address.
func (q *Quarter) at(url string) *server {
	for n := len(q.servers) - 1; n >= 0; n-- {
		if q.servers[n].url == url {
			return q.servers[n]
		}
	}
	return nil
}

// arrives is a request that a server reads: what it answers, 0 for nothing, and for how long it
// hangs before it does.
func (q *Quarter) arrives(to *server, e *written, header http.Header, body []byte, sent time.Time, late bool) (status int, hangs time.Duration) {
	now := q.w.Now()
	q.Requests++
	id := header.Get("webhook-id")
	if e == nil {
		q.unknown(to, id, body)
		return http.StatusNotFound, 0
	}
	if !late && to.off(sent.Add(-inFlight)) {
		q.fail(Left, "%s is told of %s at %v", to.name, e.words, now)
	}
	q.signed(to, id, header, body, sent)
	q.body(to, e, id, body, sent)
	h := to.hearing(e.of)
	if !late {
		q.inTurn(h, e)
	}
	status, hangs = to.mood.answer(q, to, e)
	if status == http.StatusOK || to.format == delivery.Standard && status >= 200 && status < 300 {
		if e.told.IsZero() {
			e.told = now
		}
		if *h.fate(e)&before != 0 {
			q.Repeats++
		}
		*h.fate(e) |= taken | before
		h.moved = now
		return status, hangs
	}
	q.w.Tell(to.name, http.StatusText(status), e.words)
	return status, hangs
}
