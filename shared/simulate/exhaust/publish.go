package exhaust

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"grantline/shared/customer"
	"grantline/shared/delivery"
	"grantline/shared/fault"
	"grantline/shared/simulate"
	"grantline/shared/table"
)

// publishing is a scene: a customer to whom things happen, and endpoints that are told of them.
type publishing struct {
	*Path
	publisher *delivery.Publisher
	fanout    *delivery.Fanout
	directory customer.Directory
	ref       string
	sent      []delivery.Wake
	again     []again
	told      sequences
	endpoints []receiver
	down      bool           // no endpoint takes anything
	tellers   map[int]string // who may be telling, by the endpoint
	// stuck is another customer, of whom nobody can tell.
	stuck string
}

// receiver is what came to an endpoint.
type receiver struct {
	host   string
	most   int64            // came, and were taken or not
	taken  int64            // all up to it were taken
	bodies map[int64]uint64 // with their ids
}

func newPublishing(p *Path) *publishing {
	s := &publishing{Path: p, directory: directory(p.Tables), told: sequences{}, tellers: map[int]string{}}
	courier := delivery.Courier{By: s}
	registry := &delivery.Registry{Tables: p.Tables, Sealer: sealer{p}, Clock: p.Clock(), Courier: courier}
	s.publisher = &delivery.Publisher{
		Tables: p.Tables, Registry: registry, Courier: courier, Clock: p.Clock(), Log: silent, Lease: 2 * time.Minute,
	}
	s.fanout = &delivery.Fanout{Tables: p.Tables, Clock: p.Clock(), Log: silent, Scopes: []table.Scope{scope}, Queue: s}
	var err error
	s.ref, err = s.directory.Identity.Ref(context.Background(), scope, ann)
	must(err)
	return s
}

// Send takes messages to the publisher.
func (s *publishing) Send(_ context.Context, _ string, messages []delivery.Wake) (int, error) {
	s.sent = append(s.sent, messages...)
	return len(messages), nil
}

// published is how a scene of publishing begins.
type published struct {
	at        time.Time
	items     []table.Item
	endpoints []receiver
	stuck     string
}

// waiting is a customer with two events that nobody was told of; retrying is one of whom an
// endpoint did not take the first and is to be told again now.
var (
	waiting  = sync.OnceValue(func() published { return publishedAt(1, false) })
	twofold  = sync.OnceValue(func() published { return publishedAt(2, false) })
	retrying = sync.OnceValue(func() published { return publishedAt(1, true) })
	behind   = sync.OnceValue(publishedBehind)
)

func publishedAt(endpoints int, tried bool) published {
	s := newPublishing(quiet())
	ctx := context.Background()
	for n := range endpoints {
		id := "endpoint-" + strconv.Itoa(n+1)
		_, _, err := s.publisher.Registry.Create(ctx, scope, delivery.NewEndpoint{ID: id, URL: "https://" + id + ".example/hook"})
		must(err)
		s.endpoints = append(s.endpoints, receiver{host: id + ".example"})
	}
	s.until(begun.Add(time.Second))
	must(s.happens(ctx, "one"))
	must(s.happens(ctx, "two"))
	if tried {
		s.down = true
		must(s.publisher.Work(ctx, s.wake("")))
		s.down = false
		s.until(s.World.Now().Add(time.Minute))
		s.endpoints[0] = receiver{host: s.endpoints[0].host}
	}
	return published{s.World.Now(), s.Tables.All(), s.endpoints, ""}
}

// publishedBehind is a customer whose events wait in a lane of which one a minute is handed
// over, behind another of whom nobody can tell: what is stored of that one is of a newer release,
// which was taken back.
func publishedBehind() published {
	s := newPublishing(quiet())
	ctx := context.Background()
	_, _, err := s.publisher.Registry.Create(ctx, scope, delivery.NewEndpoint{ID: "endpoint-1", URL: "https://endpoint-1.example/hook"})
	must(err)
	entry := func(ref string) table.Item {
		item, written := s.Tables.Peek(table.Key{Table: table.Customers, Partition: scope.Key(ref), Sort: "#head"})
		if !written || item.Index == nil {
			panic("exhaust: bug: a scene could not be set: nothing waits to be told")
		}
		return item
	}
	must(s.happens(ctx, "one"))
	lane := entry(s.ref).Index.Partition
	must(s.publisher.Work(ctx, s.wake("")))
	var front table.Item
	for n := 0; front.Index == nil || front.Index.Partition != lane; n++ {
		name := "newer-" + strconv.Itoa(n)
		_, err := s.directory.Grant(ctx, scope, name, customer.Grant{Entitlement: "pro", Reference: "one", Reason: "why"}, s.Clock())
		must(err)
		s.stuck, err = s.directory.Identity.Ref(ctx, scope, name)
		must(err)
		if front = entry(s.stuck); front.Index.Partition != lane {
			w := s.wake("")
			w.Customer = s.stuck
			must(s.publisher.Work(ctx, w))
		}
	}
	front.Schema++
	must(s.Tables.Kept().Commit(ctx, table.Replaced(front)))
	s.until(begun.Add(time.Second))
	s.endpoints = []receiver{{host: "endpoint-1.example", most: 1, taken: 1}}
	return published{s.World.Now(), s.Tables.All(), s.endpoints, s.stuck}
}

// staged is a scene of publishing on a path, with its promises watched.
func (b published) staged(p *Path) *publishing {
	s := newPublishing(p)
	s.until(b.at)
	if s.stuck = b.stuck; s.stuck != "" {
		s.fanout.MostALane = 1
	}
	s.told.begin(b.items)
	s.Tables.Load(b.items)
	s.Tables.Watch(func(writes []table.Write) {
		s.told.gapless(p, writes)
		for _, w := range writes {
			s.telling(w)
		}
	})
	for _, e := range b.endpoints {
		e.bodies = map[int64]uint64{}
		s.endpoints = append(s.endpoints, e)
	}
	p.State(func(h *Print) {
		for _, e := range s.endpoints {
			h.Number(uint64(e.most)<<32 | uint64(e.taken)) //nolint:gosec // they are few
		}
		for n := range s.endpoints {
			h.Text(s.tellers[n])
		}
	})
	p.Settle(s.rest)
	return s
}

// telling holds each write of how far an endpoint was told to who may be telling it.
func (s *publishing) telling(w table.Write) {
	if w.Item.Key.Table != table.Endpoints || w.Change == table.Check || w.Change == table.Remove || !strings.Contains(w.Item.Key.Partition, "#delivery#") {
		return
	}
	is := decoded[struct {
		Endpoint string
		Leased   time.Time
	}](w.Item)
	n := 0
	for !strings.HasPrefix(s.endpoints[n].host, is.Endpoint+".") {
		n++
	}
	who, holds := s.whose(), s.tellers[n]
	if holds != "" && who != "" && who != holds {
		s.Fail("one at a time tells an endpoint of a customer", "%s writes how far it came while %s may be telling", who, holds)
	}
	if s.tellers[n] = ""; !is.Leased.IsZero() {
		s.tellers[n] = who
	}
}

func (s *publishing) wake(endpoint string) delivery.Wake {
	return delivery.Wake{Project: scope.Project, Environment: scope.Environment, Customer: s.ref, Endpoint: endpoint}
}

// happens has something happen to the customer.
func (s *publishing) happens(ctx context.Context, reference string) error {
	_, err := s.directory.Grant(ctx, scope, ann, customer.Grant{Entitlement: "pro", Reference: reference, Reason: "why"}, s.Clock())
	return err
}

// publish is a message to the publisher.
func (s *publishing) publish(name, endpoint string) {
	work := func(ctx context.Context) error { return s.publisher.Work(ctx, s.wake(endpoint)) }
	s.again = append(s.again, again{s.Race(name, work), 6 * time.Minute, work, true})
}

// event is one that comes meanwhile.
func (s *publishing) event(name, reference string) {
	work := func(ctx context.Context) error { return s.happens(ctx, reference) }
	s.again = append(s.again, again{s.Race(name, work), time.Second, work, false})
}

// publications race for who tells of events.
func publications() []*Set {
	set := func(name string, begins func() published, race func(s *publishing)) *Set {
		return &Set{Name: name, Faults: 1, Calls: 1, Stale: true, Stage: func(p *Path) { race(begins().staged(p)) }}
	}
	return []*Set{
		set("publish-new", waiting, func(s *publishing) {
			s.publish("publisher 1", "")
			s.publish("publisher 2", "")
			s.event("event", "three")
		}),
		set("publish-retry", retrying, func(s *publishing) {
			s.publish("publisher 1", "")
			s.publish("publisher 2", "endpoint-1")
			s.event("event", "three")
		}),
		set("publish-retry-alone", retrying, func(s *publishing) {
			s.publish("publisher 1", "endpoint-1")
			s.publish("publisher 2", "endpoint-1")
		}),
		set("publish-behind-another", behind, func(s *publishing) {
			s.event("event", "two")
			s.publish("publisher", "")
		}),
		set("publish-two-endpoints", twofold, func(s *publishing) {
			s.publish("publisher 1", "")
			s.publish("publisher 2", "")
		}),
	}
}

// RoundTrip is the way to the endpoints, which take a request or do not.
func (s *publishing) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	must(err)
	status := 0
	fate := s.Call("endpoint", "post", r.URL.Host, true)
	if fate == simulate.Fine || fate == simulate.Unheard {
		status = s.arrives(r.URL.Host, r.Header.Get("webhook-id"), body)
	}
	effect := status != 0
	if fate != simulate.Fine {
		status = 0
	}
	s.Answered(effect, strconv.Itoa(status))
	s.World.Crossed()
	if status == 0 {
		return nil, errors.New("exhaust: no answer")
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Request: r}, nil
}

// arrives checks what comes to an endpoint as it comes.
func (s *publishing) arrives(host, id string, body []byte) (status int) {
	if s.down {
		return http.StatusInternalServerError
	}
	_, rest, _ := bytes.Cut(body, []byte(`"sequence":`))
	end := max(0, bytes.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' }))
	number, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	must(err)
	for n := range s.endpoints {
		e := &s.endpoints[n]
		if e.host != host || e.bodies == nil {
			continue
		}
		key := table.Key{Table: table.Customers, Partition: scope.Key(s.ref), Sort: "event#" + strings.Repeat("0", 12-end) + string(rest[:end])}
		if _, written := s.Tables.Peek(key); !written {
			s.Fail("nothing is told that was not written", "event %d is told", number)
		}
		if number > e.taken+1 {
			s.Fail("events are told in order", "event %d is told when %d was the last that was taken", number, e.taken)
		}
		sum := maphash.Bytes(seed, append([]byte(id+"|"), body...))
		if was, again := e.bodies[number]; again && was != sum {
			s.Fail("an event is told in the same words", "event %d is told again in others", number)
		}
		e.bodies[number], e.most = sum, max(e.most, number)
		if s.Choose(2) == 1 {
			return http.StatusInternalServerError
		}
		e.taken = max(e.taken, number)
	}
	return http.StatusOK
}

// rest has what is left told, minute by minute, and checks that nothing is.
func (s *publishing) rest() {
	ctx := context.Background()
	now := s.World.Now()
	todo := waitingFor(now, s.again)
	end := now.Add(24 * time.Hour)
	if s.stuck != "" {
		end = now.Add(time.Hour) // each minute of which it is tried again
	}
	for now = now.Add(time.Minute); now.Before(end) && s.World.Violated() == nil; {
		s.until(now)
		done := false
		for n := 0; n < len(todo); n++ {
			if todo[n].at.After(now) {
				continue
			}
			if err := todo[n].do(ctx); err == nil || !todo[n].always && !errors.Is(err, fault.Unavailable) {
				todo, done = append(todo[:n:n], todo[n+1:]...), true
				n--
			}
		}
		report, err := s.fanout.Tick(ctx)
		must(err)
		wakes := s.sent
		s.sent = nil
		for _, w := range wakes {
			if err := s.publisher.Work(ctx, w); err != nil && w.Customer != s.stuck {
				s.Fail("nothing is stuck", "a message to the publisher fails at rest: %v", err)
			}
		}
		next := now.Add(time.Minute)
		if !done && report.Sent == 0 && report.IdleUntil != nil {
			next = *report.IdleUntil
		}
		for _, w := range todo {
			if w.at.Before(next) {
				next = w.at
			}
		}
		now = maxOf(next, now.Add(time.Second))
	}
	c, err := customer.Outgoing(ctx, s.Tables, scope, s.ref)
	must(err)
	for _, e := range s.endpoints {
		if e.taken != c.Sequence() {
			s.Fail("every event reaches every endpoint", "%s has taken %d of %d", e.host, e.taken, c.Sequence())
		}
	}
	if c.Relayed() != c.Sequence() {
		s.Fail("nothing is stuck", "%d of %d are handed on", c.Relayed(), c.Sequence())
	}
	folded(s.Path, s.ref)
}

func maxOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
