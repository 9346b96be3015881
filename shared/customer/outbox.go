package customer

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"grantline/shared/table"
)

// OutboxShards is over how many partitions of the index customers are spread of whom there
// are events that were not handed on yet.
const OutboxShards = 8

const outboxFormat = "2006-01-02T15:04:05Z"

func outboxPartition(scope table.Scope, shard int) string {
	return scope.Key("outbox", strconv.Itoa(shard))
}

// outbox is the head's entry while there is anything to hand on. It keeps its place while
// more comes, which costs nothing.
func (c *Customer) outbox(was *table.Index, now time.Time) *table.Index {
	if was != nil || c.head.Relayed >= c.head.Sequence {
		return was
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(c.Ref)) // never fails
	return &table.Index{
		Partition: outboxPartition(c.scope, int(h.Sum32()%OutboxShards)),
		Sort:      now.UTC().Format(outboxFormat) + "#" + c.Ref,
	}
}

// Waiting are our own ids of customers with events that were not handed on, in one shard,
// those that wait longest first, and most of them at most.
func Waiting(ctx context.Context, tables table.Tables, scope table.Scope, shard, most int) ([]string, error) {
	page, err := tables.Query(ctx, Outbox(scope, shard, most))
	if err != nil {
		return nil, fmt.Errorf("customer: outbox: %w", err)
	}
	var refs []string
	for _, item := range page.Items {
		refs = append(refs, RefOf(item))
	}
	return refs, nil
}

// Outbox asks for one shard's entries of customers with events that were not handed on, those
// that wait longest first. RefOf says whose an entry is.
func Outbox(scope table.Scope, shard, most int) table.Query {
	return table.Query{Table: table.Customers, Indexed: true, Partition: outboxPartition(scope, shard), Limit: most}
}

// RefOf is our own id of the customer whose entry of the outbox that is.
func RefOf(entry table.Item) string {
	_, ref, _ := strings.Cut(entry.Index.Sort, "#")
	return ref
}

// Outgoing reads how far a customer's events go and how far they were handed on, without
// following whom it was merged into: its events stay its own.
func Outgoing(ctx context.Context, tables table.Tables, scope table.Scope, ref string) (*Customer, error) {
	return readOne(ctx, tables, scope, ref)
}

// Relayed is the number of the last event that was handed on.
func (c *Customer) Relayed() int64 { return c.head.Relayed }

// Relay is the write that notes that all events up to the last were handed on. It fails
// where one more came meanwhile.
func (c *Customer) Relay() (table.Write, error) {
	c.head.Relayed = c.head.Sequence
	item := c.items[headSort]
	var err error
	if item.Data, err = marshal(c.head); err != nil {
		return table.Write{}, err
	}
	item.Schema, item.Index = schema, nil
	return table.Put(item), nil
}

// Before is the number of the customer's last event that was handed on or happened before an
// instant, 0 if there is none. page is how many events are read at once.
func Before(ctx context.Context, tables table.Tables, scope table.Scope, c *Customer, at time.Time, page int) (int64, error) {
	for last := c.head.Sequence; last > c.head.Relayed; {
		from := max(c.head.Relayed, last-int64(page))
		records, err := Log(ctx, tables, scope, c.Ref, from, int(last-from))
		if err != nil {
			return 0, err
		}
		for i := len(records) - 1; i >= 0; i-- {
			if records[i].At.Before(at) {
				return records[i].Sequence, nil
			}
		}
		last = from
	}
	return c.head.Relayed, nil
}
