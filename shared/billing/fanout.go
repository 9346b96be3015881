package billing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Due is the message that a subscription's wake-up has come. It is a hint to look.
type Due struct {
	Project     string `json:"project"`
	Environment string `json:"environment"`
	// Subscription is the id as it stands in the due index.
	Subscription string `json:"subscription"`
}

// Scope is where the subscription lives.
func (d Due) Scope() table.Scope { return table.Scope{Project: d.Project, Environment: d.Environment} }

// Queue takes messages to the consumers of one gateway.
type Queue interface {
	// Send hands over messages in order, on behalf of a group that shares the queue fairly
	// with others. It returns how many from the front surely were taken; an error says
	// why not all. One that was taken may come twice.
	Send(ctx context.Context, group string, messages []Due) (sent int, err error)
}

// Line is one lane of a gateway account that the fan-out serves.
type Line struct {
	GatewayName
	// Lane is the partition of the due index that it takes from; "" is the gateway's own,
	// of the gateway's name. An account's other lanes take from its pace what its own
	// leaves, so that retries, however many, neither delay first charges nor come in a
	// burst beside them (Dodo Payments, safe retry policy: concurrent retries are capped).
	Lane  string
	Queue Queue
	// PerMinute is how many wake-ups are handed over in a minute at most; what is over
	// stays in the index, which is the backlog. That of the gateway's own lane is the
	// account's pace, which no lanes of it exceed together.
	PerMinute int
}

// RetriesLane is the lane of a gateway's attempts after the first of a period.
func RetriesLane(gateway string) string { return gateway + "-retries" }

func (l Line) own() bool { return l.Lane == "" || l.Lane == l.Gateway }

func (l Line) lane() string {
	if l.Lane == "" {
		return l.Gateway
	}
	return l.Lane
}

// Fanout hands what is due to the queues, each minute. It claims nothing: handing over
// twice is harmless, and a message that is lost is handed over again.
type Fanout struct {
	Tables table.Tables
	Clock  clock.Clock
	Log    *slog.Logger
	Shards Shards
	Lines  []Line
}

const (
	// overlap is how far behind its cursor a shard is read again: the index is eventually
	// consistent, and clocks differ.
	overlap = 2 * time.Minute
	// overdue is how long something may be due before it is handed over again though the
	// cursor has passed it: its message was lost, or its consumer failed too often.
	overdue = 15 * time.Minute
	page    = 200
	// room is what must be left of a tick's time for it to hand over another page: enough
	// for that page and for writing down how far it came.
	room = 5 * time.Second
)

// errNoRoom ends a tick's handing over when its time does. It is no failure: what is due
// waits in the index for the next tick.
var errNoRoom = errors.New("billing: the tick is about to end")

// longestIdle is the furthest that a tick without anything in the index looks ahead.
const longestIdle = 30 * 24 * time.Hour

// cursor is how far a shard was handed over: the sort key of the last one.
type cursor struct {
	At string `json:"at"`
	// Again is how far what is overdue has been handed over again, "" between two rounds.
	// A round goes on from there with each tick, so that what never works is passed over
	// and does not keep what was lost behind it.
	Again string `json:"again,omitempty"`
}

// beyond is the first sort key that can follow one of the index: no id has a '!', or
// anything that sorts before it.
func beyond(sort string) string {
	if sort == "" {
		return ""
	}
	return sort + "!"
}

// Report is what a tick did.
type Report struct {
	Sent int `json:"sent"`
	// Behind is how long the oldest that is due has been due, in seconds.
	Behind int `json:"behindSeconds"`
	// IdleUntil is the next instant at which something may be due, absent while anything
	// is. A caller that knows of no other change, since the tick began, may skip the ticks
	// until then: what moves from lane to lane meanwhile may be seen in neither.
	IdleUntil *time.Time `json:"idleUntil,omitempty"`
}

// Tick hands over what is due now. Every quarter of an hour it also begins to hand over
// again what has been due for longer than that and is still not done.
func (f *Fanout) Tick(ctx context.Context) (Report, error) {
	now := f.Clock.Now()
	var report Report
	var failed error
	next := now.Add(longestIdle)
	left := map[GatewayName]int{}
	for _, line := range f.turns(now) {
		most := line.PerMinute
		for i := range int(f.Shards) {
			// Another shard begins each minute, so that pacing starves none.
			shard := (i + int(now.Unix()/60)) % int(f.Shards)
			first, err := f.first(ctx, line, shard)
			failed = errors.Join(failed, err)
			if !first.IsZero() && first.Before(next) {
				next = first
			}
			// Most shards have nothing most of the time, and cost that one query.
			if err != nil || first.IsZero() || first.After(now) {
				continue
			}
			if _, known := left[line.GatewayName]; !known {
				left[line.GatewayName] = f.pace(ctx, line.GatewayName, f.full(line.GatewayName), now)
			}
			if most = min(most, left[line.GatewayName]); most <= 0 {
				continue
			}
			sent, err := f.shard(ctx, line, shard, now, most)
			most -= sent
			left[line.GatewayName] -= sent
			report.Sent += sent
			failed = errors.Join(failed, err)
		}
	}
	if next.After(now) && failed == nil {
		report.IdleUntil = &next
	} else {
		report.Behind = max(0, int(now.Sub(next).Seconds()))
	}
	return report, failed
}

// full is the pace of an account that has not asked for a slower one.
func (f *Fanout) full(name GatewayName) int {
	most := 0
	for _, line := range f.Lines {
		switch {
		case line.GatewayName != name:
		case line.own():
			return line.PerMinute
		default:
			most = max(most, line.PerMinute)
		}
	}
	return most
}

// turns is the lines in the order in which they are served: the accounts' own lanes before
// their others, which get what those leave. In each tenth minute the others come first, so
// that a backlog without end starves none; and each minute another line begins.
func (f *Fanout) turns(now time.Time) []Line {
	minute := int(now.Unix() / 60)
	turns := make([]Line, 0, len(f.Lines))
	for _, own := range [...]bool{minute%10 != 9, minute%10 == 9} {
		for i := range f.Lines {
			if line := &f.Lines[(i+minute)%len(f.Lines)]; line.own() == own {
				turns = append(turns, *line)
			}
		}
	}
	return turns
}

// first is the earliest wake-up in a shard, zero if there is none.
func (f *Fanout) first(ctx context.Context, line Line, shard int) (time.Time, error) {
	found, err := f.Tables.Query(ctx, table.Query{
		Table: table.Subscriptions, Indexed: true, Partition: duePartition(line.Scope, line.lane(), shard), Limit: 1,
	})
	if err != nil || len(found.Items) == 0 {
		return time.Time{}, err
	}
	return dueAt(found.Items[0].Index.Sort)
}

func (f *Fanout) shard(ctx context.Context, line Line, shard int, now time.Time, most int) (int, error) {
	key := table.Key{Table: table.Subscriptions, Partition: line.Scope.Key("cursor", line.lane(), strconv.Itoa(shard))}
	item, err := f.Tables.Get(ctx, key)
	var at cursor
	switch {
	case errors.Is(err, fault.NotFound):
		item.Key = key
	case err != nil:
		return 0, fmt.Errorf("billing: cursor: %w", err)
	default:
		if err := decode(item, &at); err != nil {
			return 0, err
		}
	}
	behind := ""
	if at.At != "" {
		last, err := dueAt(at.At)
		if err != nil {
			return 0, err
		}
		behind = dueSort(last.Add(-overlap), "")
	}
	// What was lost comes first, within a tenth of the pace; then what is newly due; then,
	// with what is left of the pace, what may have come in behind the cursor, and what
	// more was lost.
	was, sent := at, 0
	overdueBy := min(at.At, dueSort(now.Add(-overdue), ""))
	round := at.At != "" && (at.Again != "" || now.Minute()%int(overdue/time.Minute) == 0)
	again := func(most int) error {
		if !round || most <= 0 {
			return nil
		}
		n, last, err := f.hand(ctx, line, shard, beyond(at.Again), overdueBy, most)
		sent += n
		if last != "" {
			at.Again = last
		}
		if err == nil && n < most {
			at.Again, round = "", false
		}
		return err
	}
	if err = again((most + 9) / 10); err == nil {
		var more int
		var last string
		more, last, err = f.hand(ctx, line, shard, beyond(at.At), dueSort(now.Truncate(time.Second), "~"), most-sent)
		sent += more
		at.At = max(at.At, last)
	}
	if err == nil && was.At != "" {
		var more int
		more, _, err = f.hand(ctx, line, shard, behind, was.At, most-sent)
		sent += more
	}
	if err == nil {
		err = again(most - sent)
	}
	if errors.Is(err, errNoRoom) {
		err = nil
	}
	if at != was {
		item.Schema = schema
		if item.Data, _ = json.Marshal(at); item.Data == nil {
			return sent, errors.New("billing: cursor cannot be written")
		}
		if e := f.Tables.Commit(ctx, table.Put(item)); e != nil && !errors.Is(e, fault.Conflict) {
			err = errors.Join(err, fmt.Errorf("billing: cursor: %w", e)) // the same are handed over again
		}
	}
	return sent, err
}

// hand sends what is due between two sort keys, most at most, and returns how many were
// sent and the last one's sort key.
func (f *Fanout) hand(ctx context.Context, line Line, shard int, from, to string, most int) (int, string, error) {
	sent, last, after := 0, "", ""
	for sent < most && from <= to {
		if !clock.Room(ctx, room) {
			return sent, last, errNoRoom
		}
		found, err := f.Tables.Query(ctx, table.Query{
			Table: table.Subscriptions, Indexed: true, Partition: duePartition(line.Scope, line.lane(), shard),
			From: from, To: to, Limit: min(page, most-sent), After: after,
		})
		if err != nil {
			return sent, last, fmt.Errorf("billing: due index: %w", err)
		}
		messages := make([]Due, 0, len(found.Items))
		for _, item := range found.Items {
			_, id, _ := strings.Cut(item.Index.Sort, "#")
			messages = append(messages, Due{line.Scope.Project, line.Scope.Environment, id})
		}
		n, err := line.Queue.Send(ctx, line.Scope.String(), messages)
		sent += n
		if n > 0 {
			last = found.Items[n-1].Index.Sort
		}
		if err != nil {
			return sent, last, fmt.Errorf("billing: handing over: %w", err)
		}
		if found.Next == "" {
			break
		}
		after = found.Next
	}
	return sent, last, nil
}
