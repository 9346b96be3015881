package delivery

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/table"
)

const (
	// patience is how long an event is tried before it is a dead letter.
	patience = 72 * time.Hour
	// DueShards is over how many partitions of the index what waits is spread.
	DueShards = 4
	// mostShards bounds a lane's number.
	dueFormat = "2006-01-02T15:04:05Z"
)

// pauses are how long an event that was not taken is let alone, by how often that was so, after
// the schedule of Standard Webhooks; the last goes on until patience ends.
var pauses = []time.Duration{
	5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour,
}

// progress is how far an endpoint was told of a customer's events.
type progress struct {
	Endpoint string `json:"endpoint"`
	Customer string `json:"customer"` // our own id
	// Since is when the endpoint was made, so that one made later under the same id begins anew.
	Since time.Time `json:"since"`
	// Cursor is the number of the last event that was taken, passed over or given up.
	Cursor int64 `json:"cursor"`

	// What follows is of the event after the cursor, while it is not taken.
	Tries       int       `json:"tries,omitempty"`
	FailedSince time.Time `json:"failedSince,omitzero"`
	Status      int       `json:"status,omitempty"` // of the last answer, 0 if there was none
	// DueAt is when there is more to do, zero while there is nothing.
	DueAt time.Time `json:"dueAt,omitzero"`
	// Leased is until when somebody may be sending.
	Leased time.Time `json:"leased,omitzero"`
	// Parked says that it waits until its endpoint is active again.
	Parked bool `json:"parked,omitempty"`
}

// kept is a progress, and its item as read.
type kept struct {
	progress
	item table.Item
}

func progressKey(scope table.Scope, endpoint, ref string) table.Key {
	return table.Key{Table: table.Endpoints, Partition: scope.Key("delivery", endpoint, ref)}
}

func duePartition(scope table.Scope, shard int) string { return scope.Key("due", strconv.Itoa(shard)) }

func parkedPartition(scope table.Scope, endpoint string) string {
	return scope.Key("parked", endpoint)
}

// chance is a number from 0 to 99 that follows from what it is for.
func chance(parts ...string) int {
	h := fnv.New32a()
	for _, part := range parts {
		_, _ = h.Write([]byte(part)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return int(h.Sum32() % 100)
}

// index is the entry under which somebody comes back to it, nil while there is nothing to do.
func (p progress) index(scope table.Scope) *table.Index {
	at := p.DueAt
	if p.Leased.After(at) {
		at = p.Leased // who was sending may have died of it
	}
	if at.IsZero() {
		return nil
	}
	sort := at.UTC().Format(dueFormat) + "#" + p.Endpoint + "#" + p.Customer
	if p.Parked && p.Leased.IsZero() {
		return &table.Index{Partition: parkedPartition(scope, p.Endpoint), Sort: sort}
	}
	return &table.Index{Partition: duePartition(scope, chance(p.Endpoint, p.Customer)%DueShards), Sort: sort}
}

// pause is how long the event is let alone after so many tries, spread by a fifth so that not
// all that failed at once come back at once.
func (p progress) pause() time.Duration {
	d := pauses[min(p.Tries, len(pauses))-1]
	return d + d*time.Duration(chance(p.Endpoint, p.Customer, strconv.Itoa(p.Tries)))/500
}

// fails is what follows when the event after the cursor was not taken at now. dead says that its
// three days are over.
func (p progress) fails(now time.Time, status int) (next progress, dead bool) {
	p.Tries++
	p.Status = status
	if p.FailedSince.IsZero() {
		p.FailedSince = now
	}
	end := p.FailedSince.Add(patience)
	if !now.Before(end) {
		return p, true
	}
	if p.DueAt = now.Add(p.pause()); p.DueAt.After(end) {
		p.DueAt = end
	}
	return p, false
}

// refused is what follows when nothing was sent at now, since the endpoint fails for everybody.
// An event dies of an answer of its own, or with an endpoint that has failed for three days.
func (p progress) refused(now time.Time, b breaker) (next progress, dead bool) {
	next, dead = p.fails(now, b.Status)
	end := b.Since.Add(patience)
	if dead && now.Before(end) {
		if next.DueAt = now.Add(next.pause()); next.DueAt.After(end) {
			next.DueAt = end
		}
		return next, false
	}
	return next, dead
}

// moves is what follows when the event was taken or passed over.
func (p progress) moves(to int64) progress {
	p.Cursor, p.Tries, p.Status, p.FailedSince, p.DueAt = to, 0, 0, time.Time{}, time.Time{}
	return p
}

// gives is what follows when the event is given up: the one behind it, which was told of at that
// instant, has waited since then or since the one before it failed, and is tried at once.
func (p progress) gives(to int64) progress {
	p.Cursor, p.DueAt = to, time.Time{}
	return p
}

// since is from when the next event has been waiting, where those before it were given up.
func (p progress) since(at, now time.Time) progress {
	if p.FailedSince.IsZero() {
		return p
	}
	if at.After(p.FailedSince) {
		p.FailedSince = at
	}
	if p.FailedSince.After(now) {
		p.FailedSince = now
	}
	return p
}

// awoken is what follows when its endpoint is active again: the event is due, and has its three
// days from now on, for nobody tried it meanwhile.
func (p progress) awoken(now time.Time) progress {
	p = p.moves(p.Cursor)
	p.DueAt = now
	return p
}

// rewound is what follows when events after a number are to be told again.
func (p progress) rewound(after int64, now time.Time) progress {
	p = p.moves(after)
	p.DueAt, p.Parked = now, false
	return p
}

// startsWithin is how long before an endpoint was made an event may have begun that is told
// to it: what was decided before may have been written after, for as long as a function lives.
const startsWithin = 2 * time.Minute

// lookBack bounds how many events are read at once to find where an endpoint begins.
const lookBack = 100

// open reads how far an endpoint was told of a customer, or where it begins.
func open(ctx context.Context, tables table.Tables, scope table.Scope, e Endpoint, c *customer.Customer) (kept, error) {
	key := progressKey(scope, e.ID, c.Ref)
	item, err := tables.Get(ctx, key)
	d := kept{item: item}
	switch {
	case errors.Is(err, fault.NotFound):
		d.item = table.Item{Key: key}
	case err != nil:
		return d, fmt.Errorf("delivery: progress: %w", err)
	default:
		if err := decode(item, &d.progress); err != nil {
			return d, err
		}
		if d.Since.Equal(e.CreatedAt) {
			return d, nil
		}
	}
	leased := d.Leased
	err = nil
	d.progress = progress{Endpoint: e.ID, Customer: c.Ref, Since: e.CreatedAt, Leased: leased}
	if !e.FromBeginning {
		d.Cursor, err = customer.Before(ctx, tables, scope, c, e.CreatedAt.Add(-startsWithin), lookBack)
	}
	return d, err
}

// write is the progress as it is to be stored.
func (d kept) write(scope table.Scope) (table.Write, error) {
	item, err := encode(progressKey(scope, d.Endpoint, d.Customer), d.item, d.progress)
	item.Index = d.index(scope)
	return table.Put(item), err
}

// save stores the progress along with other writes, and remembers it as stored.
func (d *kept) save(ctx context.Context, tables table.Tables, scope table.Scope, more ...table.Write) error {
	w, err := d.write(scope)
	if err != nil {
		return err
	}
	if err := tables.Commit(ctx, append(more, w)...); err != nil {
		return err
	}
	d.item = w.Item
	d.item.Revision++
	return nil
}
