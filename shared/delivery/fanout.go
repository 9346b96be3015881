package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Queue takes messages to the publisher.
type Queue interface {
	// Send hands over messages in order, on behalf of a group that shares the queue fairly with
	// others. It returns how many from the front surely were taken; an error says why not
	// all. One that was taken may come twice.
	Send(ctx context.Context, group string, messages []Wake) (sent int, err error)
}

// Fanout hands what waits to the publisher, each minute. It claims nothing: handing over twice
// is harmless, and a message that is lost is handed over again.
type Fanout struct {
	Tables table.Tables
	Clock  clock.Clock
	Log    *slog.Logger
	Scopes []table.Scope
	Queue  Queue
	// MostALane is how many entries of one lane are handed over in a minute at most; what is
	// over has its turn in the next ones. 2,000 if 0.
	MostALane int
}

const (
	page = 200
	// tickRoom is what must be left of a tick's time for another page.
	tickRoom = 5 * time.Second
	// longestIdle is the furthest that a tick without anything waiting looks ahead.
	longestIdle = 30 * 24 * time.Hour
)

var errNoRoom = errors.New("delivery: the tick is about to end")

// Report is what a tick did.
type Report struct {
	Sent int `json:"sent"`
	// Behind is how long the oldest that is due has been due, in seconds.
	Behind int `json:"behindSeconds"`
	// IdleUntil is the next instant at which something may be due, absent while anything is. A
	// caller that knows of no other change since the tick began may skip the ticks until then.
	IdleUntil *time.Time `json:"idleUntil,omitempty"`
}

// lane is one partition of an index, and how its entries become messages.
type lane struct {
	scope table.Scope
	name  string
	query table.Query
	until bool // only what is due by now
	wake  func(sort string) Wake
}

// lanes are those of a scope: customers that nobody was told of yet, what is due, and what was
// parked for endpoints that are active again.
func lanes(scope table.Scope, of registry) []lane {
	var all []lane
	if of.active() {
		for shard := range customer.OutboxShards {
			all = append(all, lane{
				scope: scope, name: "outbox#" + strconv.Itoa(shard), query: customer.Outbox(scope, shard, page),
				wake: func(sort string) Wake {
					_, ref, _ := strings.Cut(sort, "#")
					return Wake{Project: scope.Project, Environment: scope.Environment, Customer: ref}
				},
			})
		}
	}
	waits := func(sort string) Wake {
		_, rest, _ := strings.Cut(sort, "#")
		endpoint, ref, _ := strings.Cut(rest, "#")
		return Wake{scope.Project, scope.Environment, ref, endpoint}
	}
	index := func(partition string) table.Query {
		return table.Query{Table: table.Endpoints, Indexed: true, Partition: partition, Limit: page}
	}
	for shard := range DueShards {
		all = append(all, lane{scope: scope, name: "due#" + strconv.Itoa(shard), query: index(duePartition(scope, shard)), until: true, wake: waits})
	}
	for _, e := range of.Endpoints {
		if e.State == Active {
			all = append(all, lane{scope: scope, name: "parked#" + e.ID, query: index(parkedPartition(scope, e.ID)), wake: waits})
		}
	}
	return all
}

// Tick hands over what waits now. A scope that never had an endpoint costs one read.
func (f *Fanout) Tick(ctx context.Context) (Report, error) {
	now := f.Clock.Now().UTC()
	var report Report
	var failed error
	var all []lane
	for _, scope := range f.Scopes {
		of, err := read(ctx, f.Tables.Glance, scope)
		failed = errors.Join(failed, err)
		if err == nil && of.item.Revision > 0 {
			all = append(all, lanes(scope, of)...)
		}
	}
	next := now.Add(longestIdle)
	for i := range all {
		// Another lane begins each minute, so that a tick that ends early starves none.
		l := all[(i+int(now.Unix()/60))%len(all)]
		first, sent, err := f.lane(ctx, l, now)
		report.Sent += sent
		if !first.IsZero() && first.Before(next) {
			next = first
		}
		if errors.Is(err, errNoRoom) {
			break
		}
		failed = errors.Join(failed, err)
	}
	if next.After(now) && failed == nil {
		report.IdleUntil = &next
	} else {
		report.Behind = max(0, int(now.Sub(next).Seconds()))
	}
	return report, failed
}

func instantOf(sort string) (time.Time, error) {
	text, _, _ := strings.Cut(sort, "#")
	at, err := time.Parse(dueFormat, text)
	if err != nil {
		return at, errors.New("delivery: an entry of an index cannot be read")
	}
	return at, nil
}

// lane hands over a lane's entries, and returns the instant of the first one. A lane that is
// longer than a tick can is gone through from where the last tick stopped, and begins anew
// at its end: so what never goes away keeps nobody else waiting.
func (f *Fanout) lane(ctx context.Context, l lane, now time.Time) (first time.Time, sent int, err error) {
	if !clock.Room(ctx, tickRoom) {
		return now, 0, errNoRoom
	}
	found, err := f.Tables.Query(ctx, l.query)
	if err != nil {
		return now, 0, fmt.Errorf("delivery: %s: %w", l.query.Table, err)
	}
	if len(found.Items) == 0 {
		return time.Time{}, 0, nil
	}
	if first, err = instantOf(found.Items[0].Index.Sort); err != nil {
		return now, 0, err
	}
	due := found.Items
	if l.until {
		l.query.To = now.Format(dueFormat) + "#~"
		if first.After(now) {
			return first, 0, nil
		}
		due = slices.DeleteFunc(slices.Clone(due), func(i table.Item) bool { return i.Index.Sort > l.query.To })
	} else if first.After(now) { // by a clock ahead of ours
		first = now
	}
	most := f.MostALane
	if most <= 0 {
		most = 2000
	}
	if whole := found.Next == "" || len(due) < len(found.Items); whole && len(due) <= most {
		sent, _, err = f.send(ctx, l, due)
		return first, sent, err
	}
	sent, err = f.round(ctx, l, most)
	return first, sent, err
}

// round goes on with a lane from where the last tick stopped.
func (f *Fanout) round(ctx context.Context, l lane, most int) (sent int, err error) {
	key := table.Key{Table: table.Endpoints, Partition: l.scope.Key("cursor", l.name)}
	item, err := f.Tables.Get(ctx, key)
	var was, is cursor
	if err == nil {
		err = decode(item, &was)
	}
	if err != nil && !errors.Is(err, fault.NotFound) {
		return 0, fmt.Errorf("delivery: cursor: %w", err)
	}
	sent, last, end, err := f.hand(ctx, l, beyond(was.At), l.query.To, most)
	is.At = max(was.At, last)
	if end && err == nil {
		is.At = ""
		if was.At != "" && sent < most {
			var more int
			more, is.At, _, err = f.hand(ctx, l, "", was.At, most-sent)
			sent += more
		}
	}
	if is != was {
		item, e := encode(key, item, is)
		if e == nil {
			e = f.Tables.Commit(ctx, table.Put(item))
		}
		if e != nil && !errors.Is(e, fault.Conflict) {
			err = errors.Join(err, fmt.Errorf("delivery: cursor: %w", e)) // the same are handed over again
		}
	}
	return sent, err
}

// cursor is how far a lane was handed over: the sort key of the last one.
type cursor struct {
	At string `json:"at"`
}

// beyond is the first sort key that can follow one of the index.
func beyond(sort string) string {
	if sort == "" {
		return ""
	}
	return sort + "!"
}

// send hands over entries, and returns how many, and the last one's sort key.
func (f *Fanout) send(ctx context.Context, l lane, entries []table.Item) (sent int, last string, err error) {
	if len(entries) == 0 {
		return 0, "", nil
	}
	messages := make([]Wake, len(entries))
	for i, entry := range entries {
		messages[i] = l.wake(entry.Index.Sort)
	}
	if sent, err = f.Queue.Send(ctx, l.scope.String(), messages); err != nil {
		err = fmt.Errorf("delivery: handing over: %w", err)
	}
	if sent > 0 {
		last = entries[sent-1].Index.Sort
	}
	return sent, last, err
}

// hand sends what lies between two sort keys, most at most, and returns how many were sent, the
// last one's sort key, and whether there are no more.
func (f *Fanout) hand(ctx context.Context, l lane, from, to string, most int) (sent int, last string, end bool, err error) {
	q := l.query
	q.From, q.To = from, to
	if to != "" && from > to {
		return 0, "", true, nil
	}
	for sent < most {
		if !clock.Room(ctx, tickRoom) {
			return sent, last, false, errNoRoom
		}
		q.Limit = min(page, most-sent)
		found, err := f.Tables.Query(ctx, q)
		if err != nil {
			return sent, last, false, fmt.Errorf("delivery: %s: %w", q.Table, err)
		}
		n, at, err := f.send(ctx, l, found.Items)
		sent, last = sent+n, max(last, at)
		if err != nil {
			return sent, last, false, err
		}
		if found.Next == "" {
			return sent, last, true, nil
		}
		q.After = found.Next
	}
	return sent, last, false, nil
}
