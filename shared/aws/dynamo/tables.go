package dynamo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Indexes names the one index of each table that has one.
var Indexes = map[table.Table]string{
	table.Orders:        "subscription",
	table.Purchases:     "check",
	table.Customers:     "outbox",
	table.Subscriptions: "due",
	table.Endpoints:     "due",
}

// Tables implements table.Tables. It is safe for use by many goroutines.
type Tables struct {
	client *dynamodb.Client
	prefix string
	meter  Meter
	clock  clock.Clock
}

var _ table.Tables = (*Tables)(nil)

// Meter is told the units that an operation of DynamoDB consumed in a table: read and
// written in the table itself, and either in its index. A write whose condition did not
// hold costs units too, but its answer does not say so.
type Meter func(operation string, t table.Table, read, write, index float64)

// Option changes what New makes.
type Option func(*Tables)

// WithMeter has m told about every operation. Without it nothing is asked of DynamoDB.
func WithMeter(m Meter) Option { return func(t *Tables) { t.meter = m } }

// WithClock has the waits between the calls of one GetAll use c.
func WithClock(c clock.Clock) Option { return func(t *Tables) { t.clock = c } }

// New makes Tables of a client. A table's name in AWS is prefix and its own name, so a
// prefix ends in its separator.
func New(client *dynamodb.Client, prefix string, options ...Option) *Tables {
	t := &Tables{client: client, prefix: prefix, clock: clock.System()}
	for _, o := range options {
		o(t)
	}
	return t
}

// Attempts is how often a Client sends a request at most, the first time included.
const Attempts = 4

const (
	firstBackoff    = 50 * time.Millisecond
	idleConnections = 64
)

// Client makes a client fit for New: it keeps as many connections open as a busy
// function needs, and gives up an attempt after the given time. A call takes at most
// Attempts times that and 0.35 s, or until its context ends.
func Client(cfg aws.Config, attempt time.Duration) *dynamodb.Client {
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		// The SDK compares a checksum when it closes a body, and calls one that it did not
		// read to the end, as that of a failed condition, a mismatch: a warning, and a
		// connection thrown away, for each. TLS keeps the bytes whole.
		o.DisableValidateResponseChecksum = true
		o.HTTPClient = awshttp.NewBuildableClient().WithTimeout(attempt).WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns = idleConnections
			t.MaxIdleConnsPerHost = idleConnections
		})
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = Attempts
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
				longest := firstBackoff << min(max(attempt-1, 0), Attempts)
				return longest/2 + rand.N(longest/2), nil
			})
		})
	})
}

func (t *Tables) name(of table.Table) *string { return aws.String(t.prefix + string(of)) }

// bug is an error that only a mistake in the caller can bring about. It has no kind.
func bug(format string, args ...any) error {
	return fmt.Errorf("dynamo: bug in the caller: "+format, args...)
}

// Get reads one item, strongly consistent: 1 read unit for each 4 KB.
func (t *Tables) Get(ctx context.Context, k table.Key) (table.Item, error) {
	return t.get(ctx, k, true)
}

// Glance reads one item, eventually consistent: half a read unit for each 4 KB.
func (t *Tables) Glance(ctx context.Context, k table.Key) (table.Item, error) {
	return t.get(ctx, k, false)
}

func (t *Tables) get(ctx context.Context, k table.Key, strong bool) (table.Item, error) {
	key, err := keyAttributes(k)
	if err != nil {
		return table.Item{}, err
	}
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:              t.name(k.Table),
		Key:                    key,
		ConsistentRead:         aws.Bool(strong),
		ReturnConsumedCapacity: t.consumed(),
	})
	if err != nil {
		return table.Item{}, kindOf(err)
	}
	t.read("GetItem", aws.ToString(t.name(k.Table)), out.ConsumedCapacity)
	if out.Item == nil {
		return table.Item{}, fault.New(fault.NotFound, "item_not_found", "There is no such item in %s.", k.Table)
	}
	stored, err := parseItem(k.Table, out.Item)
	return stored.Item, err
}

const (
	maxKeys  = 1000 // of a GetAll, by the port
	maxBatch = 100  // of a BatchGetItem, by DynamoDB
	maxStill = 6    // answers in a row without any item
	wait     = 50 * time.Millisecond
)

// GetAll reads items by BatchGetItem, strongly consistent; a key that is given twice is
// read once and answered twice. An answer holds 16 MB at most, and fewer items where
// the table is throttled: what was left out is asked for again, with growing waits of
// up to 1.6 s while nothing comes at all.
func (t *Tables) GetAll(ctx context.Context, keys []table.Key) ([]table.Item, error) {
	if len(keys) > maxKeys {
		return nil, bug("GetAll of %d keys; %d are the most", len(keys), maxKeys)
	}
	found := make(map[table.Key]table.Item, len(keys))
	asked := make(map[table.Key]bool, len(keys))
	var distinct []map[string]types.AttributeValue
	var tables []table.Table
	for _, k := range keys {
		key, err := keyAttributes(k)
		if err != nil {
			return nil, err
		}
		if !asked[k] {
			asked[k] = true
			distinct, tables = append(distinct, key), append(tables, k.Table)
		}
	}
	for len(distinct) > 0 {
		n := min(len(distinct), maxBatch)
		if err := t.batch(ctx, tables[:n], distinct[:n], found); err != nil {
			return nil, err
		}
		distinct, tables = distinct[n:], tables[n:]
	}
	items := make([]table.Item, 0, len(found))
	for _, k := range keys {
		if i, ok := found[k]; ok {
			items = append(items, i)
		}
	}
	return items, nil
}

// batch reads up to 100 items into found.
func (t *Tables) batch(ctx context.Context, of []table.Table, keys []map[string]types.AttributeValue, found map[table.Key]table.Item) error {
	left := map[string]types.KeysAndAttributes{}
	for n, key := range keys {
		of := aws.ToString(t.name(of[n]))
		left[of] = types.KeysAndAttributes{ConsistentRead: aws.Bool(true), Keys: append(left[of].Keys, key)}
	}
	for still := 0; len(left) > 0; {
		out, err := t.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: left, ReturnConsumedCapacity: t.consumed(),
		})
		if err != nil {
			return kindOf(err)
		}
		for _, c := range out.ConsumedCapacity {
			t.read("BatchGetItem", aws.ToString(c.TableName), &c)
		}
		came := 0
		for _, name := range table.Names {
			for _, attributes := range out.Responses[aws.ToString(t.name(name))] {
				stored, err := parseItem(name, attributes)
				if err != nil {
					return err
				}
				found[stored.Key] = stored.Item
				came++
			}
		}
		left = out.UnprocessedKeys
		switch {
		case len(left) == 0:
			return nil
		case came > 0: // at most 100 times, since each brings an item
			still = 0
		case still == maxStill:
			return unavailable(fmt.Errorf("%d answers in a row left out every key", maxStill))
		default:
			if err := t.clock.Sleep(ctx, wait<<still); err != nil {
				return unavailable(err)
			}
			still++
		}
	}
	return nil
}

func keyAttributes(k table.Key) (map[string]types.AttributeValue, error) {
	switch {
	case !slices.Contains(table.Names, k.Table):
		return nil, bug("there is no table %q", k.Table)
	case k.Partition == "":
		return nil, bug("a key without a partition in %s", k.Table)
	case k.Table.Sorted() != (k.Sort != ""):
		return nil, bug("a sort key in %s where there is none, or none where there is one", k.Table)
	}
	key := map[string]types.AttributeValue{attrPartition: text(k.Partition)}
	if k.Table.Sorted() {
		key[attrSort] = text(k.Sort)
	}
	return key, nil
}
