package telling

import (
	"context"

	"grantline/shared/delivery"
	"grantline/shared/rebuild" //nolint:depguard // a simulation's tables are few enough to go through
	"grantline/shared/table"
)

// AtRest holds what is to be so once nothing happens any more, nothing goes wrong, and Settle has
// passed.
func (q *Quarter) AtRest() {
	for _, s := range q.servers {
		if !s.added.IsZero() && s.removed.IsZero() {
			q.atRest(s)
		}
	}
	for _, e := range q.d.Tables.Kept().Items(table.Endpoints) {
		if e.Index != nil && q.letters[e.Key.Partition].Endpoint == "" {
			q.fail(Taken, "there is an entry in %s, at %s", e.Index.Partition, e.Index.Sort)
		}
	}
	if n := q.d.Alarms["An event cannot be told."]; n > 0 {
		q.fail(Taken, "%d times an event could not be told", n)
	}
	report, err := (&rebuild.Rebuild{Tables: q.d.Tables.Kept(), Walker: q.d.Tables.Kept()}).Run(context.Background(), rebuild.Ask{})
	if err != nil || !report.Equal || report.Cursor != "" {
		q.fail(Folded, "the events do not make the state again: %+v, %v", report, err)
	}
}

// atRest holds a server to that it heard all.
func (q *Quarter) atRest(s *server) {
	dead, err := q.failures(s)
	if err != nil {
		q.fail(Sound, "the dead letters of %s: %v", s.name, err)
		return
	}
	for _, p := range q.all {
		if p.scope != s.scope {
			continue
		}
		if p.waits {
			q.fail(Taken, "of %s %d of %d events were handed on", p.ref, p.head.Relayed, p.head.Sequence)
		}
		h := s.hearing(p)
		for n, e := range p.events {
			number := int64(n + 1)
			switch fate := *h.at(number); {
			case fate&(taken|unasked) != 0, h.begun && number <= h.began, !h.begun && !e.when.After(s.added):
			case fate&given != 0 && dead[e]:
			default:
				q.fail(Taken, "%s has not taken %s, of %s, was told up to %d, and no letter says so", s.name, e.words, e.event.Type, h.cursor)
				return
			}
		}
	}
}

// failures are the events in the dead letters that an operator can see.
func (q *Quarter) failures(s *server) (map[*written]bool, error) {
	dead := map[*written]bool{}
	for after, first := "", true; first || after != ""; first = false {
		var page []delivery.Failure
		var err error
		if page, after, err = q.d.Release().Registry.Failures(context.Background(), s.scope, s.id, after, 50); err != nil {
			return nil, err
		}
		for _, l := range page {
			p := q.people[s.scope.Key(l.Letter.Customer)]
			for n := l.From; p != nil && n <= min(l.To, int64(len(p.events))); n++ {
				dead[p.events[n-1]] = true
			}
		}
	}
	return dead, nil
}
