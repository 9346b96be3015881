package billing

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"grantline/shared/table"
)

const schema = 1

func key(scope table.Scope, id string) table.Key {
	return table.Key{Table: table.Subscriptions, Partition: scope.Key(id)}
}

// Shards is how many partitions each gateway's due index has. It may grow, never shrink.
type Shards int

// shardOf spreads subscriptions evenly.
func (n Shards) of(id string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return int(h.Sum32() % uint32(n)) //nolint:gosec // between 1 and 64 by configuration
}

// LaneDeliver is where reminders wait to be told.
const LaneDeliver = "deliver"

// lane of the due index: the gateway's own, or that of its retries, which have a pace of
// their own so that they neither delay first attempts nor come in bursts.
func (s Subscription) lane() string {
	if s.Step == StepCharge && s.Attempt > 1 {
		return RetriesLane(s.Gateway)
	}
	return s.Gateway
}

func duePartition(scope table.Scope, lane string, shard int) string {
	return scope.Key(lane, strconv.Itoa(shard))
}

// dueSort orders by instant, to the second and never before it.
func dueSort(at time.Time, id string) string {
	if at = at.UTC(); at.Nanosecond() > 0 {
		at = at.Truncate(time.Second).Add(time.Second)
	}
	return at.Format(time.RFC3339) + "#" + id
}

func dueAt(sort string) (time.Time, error) {
	if len(sort) < len("2006-01-02T15:04:05Z") {
		return time.Time{}, fmt.Errorf("billing: %q does not begin with an instant", sort)
	}
	return time.Parse(time.RFC3339, sort[:len("2006-01-02T15:04:05Z")])
}

// item is the subscription as it is to be stored over the one that was read.
func (s Subscription) item(read table.Item, scope table.Scope, shards Shards) (table.Item, error) {
	data, err := json.Marshal(s)
	read.Key, read.Schema, read.Data, read.Sealed, read.Index = key(scope, s.ID), schema, data, joined(s.Opening, s.BillingKey), nil
	if s.Step != StepNone {
		read.Index = &table.Index{Partition: duePartition(scope, s.lane(), shards.of(s.ID)), Sort: dueSort(s.WakeAt, s.ID), Hint: s.hint()}
	}
	return read, err
}

// hint is what the daily comparison reads in the index: which charge was paid last, when.
func (s Subscription) hint() string {
	if s.LastPaid == nil {
		return ""
	}
	return s.LastPaid.String()
}

// String is what UnmarshalText reads: "<period>.<attempt>@<seconds since 1970>".
func (p LastPaid) String() string {
	return strconv.Itoa(p.Period) + "." + strconv.Itoa(p.Attempt) + "@" + strconv.FormatInt(p.At.Unix(), 10)
}

// MarshalText writes what String says.
func (p LastPaid) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what String says.
func (p *LastPaid) UnmarshalText(text []byte) error {
	attempted, at, _ := strings.Cut(string(text), "@")
	before, after, _ := strings.Cut(attempted, ".")
	period, bad := strconv.Atoi(before)
	attempt, worse := strconv.Atoi(after)
	unix, worst := strconv.ParseInt(at, 10, 64)
	if err := errors.Join(bad, worse, worst); err != nil {
		return fmt.Errorf("billing: %q is no paid attempt: %w", text, err)
	}
	*p = LastPaid{period, attempt, time.Unix(unix, 0).UTC()}
	return nil
}

// decodeSubscription reads a subscription from its item.
func decodeSubscription(item table.Item) (Subscription, error) {
	var s Subscription
	if err := decode(item, &s); err != nil {
		return s, err
	}
	var err error
	s.Opening, s.BillingKey, err = parted(item.Sealed)
	return s, err
}

// joined puts two values into one, the first with its length before it; nil if both are
// empty.
func joined(first, second []byte) []byte {
	if len(first)+len(second) == 0 {
		return nil
	}
	both := binary.AppendUvarint(nil, uint64(len(first)))
	return append(append(both, first...), second...)
}

// parted is the inverse of joined.
func parted(both []byte) (first, second []byte, err error) {
	if len(both) == 0 {
		return nil, nil, nil
	}
	n, width := binary.Uvarint(both)
	if width <= 0 {
		return nil, nil, errors.New("billing: a sealed value is cut short")
	}
	rest := both[width:]
	if n > uint64(len(rest)) {
		return nil, nil, errors.New("billing: a sealed value is cut short")
	}
	return rest[:n], rest[n:], nil
}

func decode(item table.Item, into any) error {
	if item.Schema > schema {
		return fmt.Errorf("billing: item of schema %d, newer than this code's %d", item.Schema, schema)
	}
	if err := json.Unmarshal(item.Data, into); err != nil {
		return fmt.Errorf("billing: item %s: %w", item.Key.Partition, err)
	}
	return nil
}
