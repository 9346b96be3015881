package billing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// busyNote is the instant at which a gateway last asked for a slower pace.
type busyNote struct {
	At time.Time `json:"at"`
}

// pace is how many wake-ups a gateway is handed in a minute while it recovers from having
// asked for fewer. Without an item it is the full one.
type pace struct {
	Pace int       `json:"pace"`
	At   time.Time `json:"at"` // since when, which is the tick that decided it
	// Busy is the last note that was heeded, so that each slows down once, whatever the
	// clocks of those who write them.
	Busy time.Time `json:"busy,omitzero"`
}

// noteEvery is how far apart the notes of one gateway are at least. The fan-out asks once
// a minute.
const noteEvery = 20 * time.Second

func busyKey(scope table.Scope, gateway string) table.Key {
	return table.Key{Table: table.Subscriptions, Partition: scope.Key("cursor", gateway, "busy")}
}

func paceKey(scope table.Scope, gateway string) table.Key {
	return table.Key{Table: table.Subscriptions, Partition: scope.Key("cursor", gateway, "pace")}
}

// Busy notes that a gateway answered 429, so that the fan-out slows down with its next
// tick. Whoever called the gateway does so for each such answer; a note of the last 20 s
// says it already, and nothing is written. The work goes on without the note, so an
// error, fault.Unavailable, is for the log alone.
func Busy(ctx context.Context, tables table.Tables, c clock.Clock, scope table.Scope, gateway string) error {
	now := c.Now()
	var last busyNote
	item, err := noted(ctx, tables.Glance, busyKey(scope, gateway), &last)
	if err != nil {
		return err
	}
	if item.Revision > 0 && now.Sub(last.At).Abs() < noteEvery {
		return nil
	}
	err = putNote(ctx, tables, item, busyNote{now})
	if errors.Is(err, fault.Conflict) {
		return nil // somebody else has just noted it
	}
	return err
}

// noted reads an item of the pace into what it holds; one that is not there is the item to
// be inserted.
func noted(ctx context.Context, get func(context.Context, table.Key) (table.Item, error), key table.Key, into any) (table.Item, error) {
	item, err := get(ctx, key)
	if errors.Is(err, fault.NotFound) {
		return table.Item{Key: key}, nil
	}
	if err != nil {
		return table.Item{}, fmt.Errorf("billing: pace: %w", err)
	}
	return item, decode(item, into)
}

func putNote(ctx context.Context, tables table.Tables, item table.Item, note any) error {
	var err error
	item.Schema = schema
	if item.Data, err = json.Marshal(note); err != nil {
		return fmt.Errorf("billing: pace: %w", err)
	}
	if err := tables.Commit(ctx, table.Put(item)); err != nil {
		return fmt.Errorf("billing: pace: %w", err)
	}
	return nil
}

// next is the pace at now. A minute with a note that was not heeded yet halves it, down to
// one; each minute without one doubles it, up to the full pace. What does not change needs
// no write, so at the full pace and without news it is the state as it was.
func next(s pace, busyAt, now time.Time, full int) pace {
	was := s
	if s.Pace == 0 || s.Pace > full {
		s.Pace = full
	}
	since := minuteOf(s.At)
	if news := !busyAt.IsZero() && !busyAt.Equal(s.Busy); news {
		busy := min(minuteOf(busyAt), minuteOf(now))
		// The minutes strictly between the last decision, the note and now were quiet.
		s.Pace = doubled(s.Pace, busy-since-1, full)
		s.Pace, s.Busy, s.At = max(1, s.Pace/2), busyAt, now
		s.Pace = doubled(s.Pace, minuteOf(now)-busy-1, full)
		return s
	}
	s.Pace = doubled(s.Pace, minuteOf(now)-since, full)
	if s.Pace == was.Pace || was.Pace == 0 {
		s.At = was.At
		return s
	}
	s.At = now
	return s
}

// minuteOf counts the minutes from 1970: ticks come once in each, but not to the second.
func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// doubled is n doubled that many times, full at most.
func doubled(n int, times int64, full int) int {
	for ; times > 0 && n < full; times-- {
		n *= 2
	}
	return min(n, full)
}

// pace finds out how many wake-ups a gateway may be handed at now, and keeps it when it
// has changed. It is advice, and no reason not to charge: where it cannot be read the full
// pace holds, and what cannot be written is worked out again by the next tick.
func (f *Fanout) pace(ctx context.Context, name GatewayName, full int, now time.Time) int {
	var busy busyNote
	var was pace
	_, err := noted(ctx, f.Tables.Glance, busyKey(name.Scope, name.Gateway), &busy)
	item, failed := noted(ctx, f.Tables.Get, paceKey(name.Scope, name.Gateway), &was)
	if failed != nil {
		f.Log.WarnContext(ctx, "pace unknown", "gateway", name.Gateway, "scope", name.Scope.String(), "error", failed)
		return full
	}
	if err != nil { // what was decided before still holds
		f.Log.WarnContext(ctx, "pace unknown", "gateway", name.Gateway, "scope", name.Scope.String(), "error", err)
		busy.At = was.Busy
	}
	is := next(was, busy.At, now, full)
	if is == was || item.Revision == 0 && is.Busy.IsZero() {
		return is.Pace
	}
	f.Log.InfoContext(ctx, "pace changed", "gateway", name.Gateway, "scope", name.Scope.String(), "perMinute", is.Pace, "full", full)
	if err := putNote(ctx, f.Tables, item, is); err != nil && !errors.Is(err, fault.Conflict) {
		f.Log.WarnContext(ctx, "pace not kept", "gateway", name.Gateway, "scope", name.Scope.String(), "error", err)
	}
	return is.Pace
}
