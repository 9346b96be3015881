package telling

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"grantline/shared/delivery"
	"grantline/shared/event"
	"grantline/shared/table"
)

// hearing is how far a server was told of a customer.
type hearing struct {
	server *server
	of     *person
	fates  []uint8 // of each event, by its number less one

	begun  bool
	began  int64     // the events up to that were none of its
	from   time.Time // when anybody first looked
	cursor int64
	entry  bool // it has one
	leased time.Time
	moved  time.Time // when it last took one, or the cursor moved
	passed time.Time // when the cursor last moved
	tried  time.Time // when it was last sent one
	parked bool
	awoken time.Time // when it last was parked no more
	// lowered is when somebody last had events told again.
	lowered time.Time
}

// What became of an event at a server.
const (
	tried   uint8 = 1 << iota // it was sent, whether it arrived or not
	taken                     // a server answered so, whether that was heard or not
	given                     // it is, or was, in a dead letter
	unasked                   // it was passed over, since nobody asked for it
	before                    // it was taken once, maybe before it was told again
)

func (s *server) hearing(p *person) *hearing {
	h := s.heard[p]
	if h == nil {
		h = &hearing{server: s, of: p}
		s.heard[p] = h
	}
	return h
}

func (h *hearing) fate(e *written) *uint8 { return h.at(e.event.Sequence) }

func (h *hearing) at(sequence int64) *uint8 {
	for int64(len(h.fates)) < sequence {
		h.fates = append(h.fates, 0)
	}
	return &h.fates[sequence-1]
}

// attempt is a request that is about to be sent.
func (q *Quarter) attempt(to *server, e *written) {
	now := q.w.Now()
	if !to.open.IsZero() {
		// One a minute, and those that were on their way as it opened.
		const onTheirWay = 20
		to.spell++
		if most := int(now.Sub(to.open)/time.Minute) + onTheirWay; to.spell > most {
			q.fail(Bounded, "%s fails since %v, and was tried %d times since", to.name, to.open, to.spell)
		}
	}
	if e == nil {
		return
	}
	h := to.hearing(e.of)
	if h.leased.Before(now.Add(-5 * time.Second)) {
		q.fail(OneTeller, "%s is told of %s by somebody whose lease ended at %v", to.name, e.words, h.leased)
	}
	q.prompt(h, e)
	*h.fate(e) |= tried
	h.tried = now
}

const (
	// soon is how long an event waits at most that nothing holds up, in weather that kills and
	// delays what hands it over.
	soon = 4 * time.Hour
	// longest is the longest pause of what was not taken: 14 h, and a fifth.
	longest = 17 * time.Hour
)

// prompt holds an attempt to when it could have been made at the latest: soon after nothing was in
// the way any more, or after a pause where something was not taken or its server failed for
// everybody.
func (q *Quarter) prompt(h *hearing, e *written) {
	s, ready, most := h.server, e.when, soon+q.o.Out
	for _, at := range []time.Time{s.added, s.asks[len(s.asks)-1].since, h.moved, h.tried, h.lowered} {
		if at.After(ready) {
			ready = at
		}
	}
	again := *h.fate(e)&tried != 0 || h.tried.After(h.passed) // whatever that was, there may be a pause
	if !s.open.IsZero() {
		return
	}
	if e.when.Before(s.added) && h.from.After(ready) {
		ready = h.from // what was before the endpoint is told with the first that was not
	}
	if s.closed.After(ready) {
		ready, again = s.closed, true
	}
	if again {
		most += longest
	}
	waited := q.w.Now().Sub(ready)
	if !again {
		q.Slowest = max(q.Slowest, waited)
	}
	if waited > most {
		q.fail(Unslowed, "%s was told of %s %v after it could have been, again is %v", s.name, e.words, waited, again)
	}
}

// inTurn holds an event that arrives to those before it.
func (q *Quarter) inTurn(h *hearing, e *written) {
	from := h.cursor
	if !h.begun {
		q.fail(OneTeller, "%s is told of %s by somebody who holds nothing", h.server.name, e.words)
		return
	}
	if q.w.Now().Sub(h.lowered) < inFlight {
		return // whoever sends may not know that it is told again
	}
	for n := from + 1; n < e.event.Sequence; n++ {
		before := h.of.events[n-1]
		if why := q.passes(h, before); why != "" {
			q.fail(InOrder, "%s is told of %s before %s, which %s", h.server.name, e.words, before.words, why)
			return
		}
	}
}

// passes says why an event may not be passed over now, "" if it may: taken, given up, or
// not asked for.
func (q *Quarter) passes(h *hearing, e *written) (why string) {
	fate := *h.fate(e)
	if fate&(taken|given) != 0 {
		return ""
	}
	if h.skips(q, e) {
		return ""
	}
	return q.lives(h, e)
}

// skips says that whoever is telling may have seen that nobody asked for it.
func (h *hearing) skips(q *Quarter, e *written) bool {
	if _, always := h.server.asked(e.event.Type, q.w.Now().Add(-inFlight)); !always {
		return true
	}
	// The other format has no word for everything, and for nobody without a name.
	return h.server.format == delivery.RevenueCat && (e.event.Type != event.EntitlementGranted || h.of.unnamed)
}

// lives says why an event cannot be given up yet, "" if it can. Its three days begin when it
// happened, when it was to be told again, or when
// it waited no more for its server to be active.
func (q *Quarter) lives(h *hearing, e *written) string {
	const patience, skew = 72 * time.Hour, 10 * time.Second
	now := q.w.Now()
	switch recent := func(at time.Time) bool { return now.Add(skew).Before(at.Add(patience)) }; {
	case recent(e.event.At):
		return "happened less than three days ago"
	case recent(h.lowered):
		return "was to be told again less than three days ago"
	case recent(h.awoken):
		return "waited until its server was active, less than three days ago"
	}
	if *h.fate(e)&tried == 0 && (h.server.open.IsZero() || now.Add(skew).Before(h.server.since.Add(patience))) {
		return "was never tried, by a server that fails for everybody for less than three days"
	}
	return ""
}

// progress is what is kept of how far an endpoint was told.
type progress struct {
	Endpoint, Customer   string
	Since, DueAt, Leased time.Time
	Cursor               int64
	Tries                int
	FailedSince          time.Time
	Parked               bool
}

// endpoint takes one write of the table of endpoints, but progress.
func (q *Quarter) endpoint(w table.Write) {
	parts := strings.SplitN(w.Item.Key.Partition, "#", 5)
	if len(parts) < 3 {
		return
	}
	scope := table.Scope{Project: parts[0], Environment: parts[1]}
	read := func(into any) {
		if err := json.Unmarshal(w.Item.Data, into); err != nil {
			q.fail(Sound, "an item %s cannot be read: %v", parts[2], err)
		}
	}
	switch parts[2] {
	case "registry":
		q.registered(scope, w.Item)
	case "breaker":
		var b struct {
			Failures int
			Since    time.Time
		}
		if w.Change != table.Remove {
			read(&b)
		}
		for _, s := range q.servers {
			if s.scope != scope || s.id != parts[3] {
				continue
			}
			s.since = b.Since
			if open := b.Failures >= 10; open && s.open.IsZero() {
				s.open, s.spell = q.w.Now(), 0
			} else if !open && !s.open.IsZero() {
				s.open, s.closed = time.Time{}, q.w.Now()
			}
		}
	case "letter":
		key := w.Item.Key.Partition
		if w.Change == table.Remove {
			return // see moved
		}
		var l delivery.Letter
		read(&l)
		q.letters[key] = l
		q.Letters++
		s := q.current(scope, l.Endpoint)
		p := q.people[scope.Key(l.Customer)]
		if s == nil || p == nil || l.From < 1 || l.To > int64(len(p.events)) {
			q.fail(ByRule, "a letter of %s tells of what there is not", l.Endpoint)
			return
		}
		h := s.hearing(p)
		for n := l.From; n <= l.To; n++ {
			e := p.events[n-1]
			if why := q.lives(h, e); why != "" && *h.at(n)&(taken|given|unasked) == 0 && !h.skips(q, e) {
				q.fail(ByRule, "%s has a letter of %s, which %s", s.name, e.words, why)
			}
			*h.at(n) |= given
		}
	}
}

// current is the server that is registered under an id, or was last.
func (q *Quarter) current(scope table.Scope, id string) *server {
	for n := len(q.servers) - 1; n >= 0; n-- {
		if s := q.servers[n]; s.scope == scope && s.id == id && !s.added.IsZero() {
			return s
		}
	}
	return nil
}

// registered takes the registry of a scope as it is from now on.
func (q *Quarter) registered(scope table.Scope, item table.Item) {
	now := q.w.Now()
	var of struct{ Endpoints []delivery.Endpoint }
	secrets := map[string]delivery.Secrets{}
	err := json.Unmarshal(item.Data, &of)
	if err == nil && len(item.Sealed) > 0 {
		var plain []byte
		if plain, err = q.sealer.Open(context.Background(), item.Sealed, []byte("endpoints|"+scope.String())); err == nil {
			err = json.Unmarshal(plain, &secrets)
		}
	}
	if err != nil {
		q.fail(Sound, "the registry of %v cannot be read", scope)
		return
	}
	there := map[*server]bool{}
	for _, e := range of.Endpoints {
		s := q.at(e.URL)
		if s == nil {
			q.fail(Written, "there is an endpoint %s that nobody made", e.ID)
			return
		}
		there[s] = true
		if s.added.IsZero() {
			s.added, s.created = now, e.CreatedAt
		}
		if n := len(s.asks); n == 0 || changed(s.asks[n-1].endpoint, e) {
			s.asks = append(s.asks, asks{now, e})
		}
		if n := len(s.secrets); n == 0 || s.secrets[n-1].is.Signing != secrets[e.ID].Signing {
			s.secrets = append(s.secrets, secret{now, secrets[e.ID]})
		}
	}
	for _, s := range q.servers {
		if s.scope == scope && !s.added.IsZero() && s.removed.IsZero() && !there[s] {
			s.removed = now
		}
	}
	// A run that reads it by a glance may not see it yet, and idle for ever; a deployment's runs
	// each minute.
	q.ticks[scope].Wake(now)
	q.w.After(5*time.Second, func() { q.ticks[scope].Wake(q.w.Now()) })
}

func changed(a, b delivery.Endpoint) bool {
	if a.State != b.State || len(a.Types) != len(b.Types) {
		return true
	}
	for n := range a.Types {
		if a.Types[n] != b.Types[n] {
			return true
		}
	}
	return false
}

// moved holds a write of how far an endpoint was told to what became of the events.
func (q *Quarter) moved(w table.Write, all []table.Write) {
	parts := strings.SplitN(w.Item.Key.Partition, "#", 5)
	if len(parts) == 5 && parts[2] == "letter" && w.Change == table.Remove {
		q.letterGoes(w, all)
	}
	if len(parts) != 5 || parts[2] != "delivery" {
		return
	}
	scope := table.Scope{Project: parts[0], Environment: parts[1]}
	p := q.person(scope.Key(parts[4]))
	if w.Change == table.Remove {
		if s := q.current(scope, parts[3]); s != nil && s.removed.IsZero() && s.hearing(p).begun && s.hearing(p).cursor < p.head.Sequence {
			q.fail(Taken, "what %s was told of %s is forgotten, at %d of %d", s.name, p.ref, s.hearing(p).cursor, p.head.Sequence)
		}
		return
	}
	var is progress
	if err := json.Unmarshal(w.Item.Data, &is); err != nil {
		q.fail(Sound, "a progress cannot be read: %v", err)
		return
	}
	var s *server
	for _, o := range q.servers {
		if o.scope == scope && o.id == is.Endpoint && !o.added.IsZero() && o.created.Equal(is.Since) {
			s = o
		}
	}
	if s == nil {
		q.fail(Written, "there is progress of an endpoint %s that nobody made", is.Endpoint)
		return
	}
	q.progresses(s.hearing(p), is, w.Item.Index != nil)
}

// progresses takes how far a server was told, as it is from now on.
func (q *Quarter) progresses(h *hearing, is progress, entry bool) {
	now, s, p := q.w.Now(), h.server, h.of
	byOperator := q.w.Running() != nil && q.w.Running().Function == operator
	if held := h.leased; held.After(now.Add(5*time.Second)) && is.Leased.After(held) {
		q.fail(OneTeller, "%s is told of %s by two: until %v and until %v", s.name, p.ref, held, is.Leased)
	}
	from := h.cursor
	if !h.begun {
		h.begun, h.began, h.from, from = true, is.Cursor, now, is.Cursor
		for _, e := range p.events[:min(is.Cursor, int64(len(p.events)))] {
			if !byOperator && (s.beginner || e.when.After(s.added)) && !h.skips(q, e) {
				q.fail(Since, "%s is not told of %s, which was written %v after it was made", s.name, e.words, e.when.Sub(s.added))
			}
		}
	}
	switch {
	case is.Cursor > p.head.Sequence:
		q.fail(Taken, "%s was told of %d events of %s, who has %d", s.name, is.Cursor, p.ref, p.head.Sequence)
		return
	case is.Cursor < from && !byOperator:
		q.fail(InOrder, "%s goes back from %d to %d of %s by itself", s.name, from, is.Cursor, p.ref)
	case is.Cursor < from:
		h.lowered = now
		for n := is.Cursor + 1; n <= p.head.Sequence; n++ { // all of it once more
			*h.at(n) &^= tried | taken | given | unasked
		}
	}
	for n := from + 1; n <= is.Cursor; n++ {
		e := p.events[n-1]
		if *h.fate(e)&(taken|given) != 0 {
			continue
		}
		if !h.skips(q, e) {
			q.fail(Taken, "%s counts as told of %s, which it did not take and nobody gave up", s.name, e.words)
			return
		}
		*h.fate(e) |= unasked
	}
	if is.Cursor != h.cursor {
		h.moved, h.passed = now, now
	}
	h.began = min(h.began, is.Cursor)
	if h.parked && !is.Parked {
		h.awoken = now
	}
	h.cursor, h.entry, h.leased, h.parked = is.Cursor, entry, is.Leased, is.Parked
	if !entry && !p.waits && h.cursor < p.head.Sequence {
		q.fail(Entered, "%s was told of %d of %d events of %s, and nothing leads back to it", s.name, h.cursor, p.head.Sequence, p.ref)
	}
}

// letterGoes holds the end of a letter to what follows from it.
func (q *Quarter) letterGoes(w table.Write, all []table.Write) {
	l, ok := q.letters[w.Item.Key.Partition]
	if !ok {
		return
	}
	delete(q.letters, w.Item.Key.Partition)
	for _, o := range all {
		var is progress
		if o.Item.Key.Table == table.Endpoints && strings.Contains(o.Item.Key.Partition, "#delivery#") && json.Unmarshal(o.Item.Data, &is) == nil &&
			is.Endpoint == l.Endpoint && is.Customer == l.Customer && is.Cursor < l.From {
			return
		}
	}
	q.fail(Redriven, "a letter of events %d to %d of %s at %s is gone, and nothing is told again", l.From, l.To, l.Customer, l.Endpoint)
}

// relayed holds a customer's note that its events were handed on to whom that was.
func (q *Quarter) relayed(p *person, was int64) {
	for _, s := range q.servers {
		if s.scope != p.scope || s.added.IsZero() || !s.removed.IsZero() {
			continue
		}
		h := s.hearing(p)
		if h.begun && (h.entry || h.cursor >= p.head.Relayed) {
			continue
		}
		for n := max(h.cursor, was) + 1; n <= p.head.Relayed; n++ {
			e := p.events[n-1]
			if h.begun || e.when.After(s.added) {
				q.fail(Taken, "%s counts as handed on, and %s has not got it and is not on its way to", e.words, s.name)
				return
			}
		}
	}
}
