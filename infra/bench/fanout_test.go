package bench_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"grantline/infra/local/process"
	"grantline/infra/local/server"
	"grantline/infra/local/tools"
	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/queue"
	"grantline/shared/billing"
	"grantline/shared/dbtest/local"
	"grantline/shared/table"
)

// shards is the template's default.
const shards = 16

// due is the minute in which everything is.
var due = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// elasticMQ starts a server of queues that ends with the test.
func elasticMQ(tb testing.TB) aws.Config {
	tb.Helper()
	dir, err := filepath.Abs("../../.tools")
	if err != nil {
		tb.Fatal(err)
	}
	if err := tools.Fetch(tb.Context(), dir, os.Stderr); err != nil {
		tb.Fatal(err)
	}
	starter := process.NewStarter()
	tb.Cleanup(starter.Close)
	queues, err := server.ElasticMQ(tb.Context(), server.Options{Tools: dir, Folder: tb.TempDir(), Starter: starter})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := queues.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return local.Config(queues.URL())
}

// counted counts the requests of a client of SQS.
type counted struct {
	*sqs.Client
	requests atomic.Int64
}

func (c *counted) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, o ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	c.requests.Add(1)
	return c.Client.SendMessageBatch(ctx, in, o...)
}

// minute is a fan-out with everything around it: real tables and a real queue.
type minute struct {
	testing.TB
	dynamodb *dynamodb.Client
	prefix   string
	meter    *units
	sqs      *counted
	url      string
	now      *movable
	fanout   *billing.Fanout
}

func newMinute(tb testing.TB, config aws.Config) *minute {
	tb.Helper()
	m := &minute{TB: tb, meter: &units{}, sqs: &counted{Client: sqs.NewFromConfig(config)}, now: &movable{due.Add(time.Minute)}}
	m.dynamodb, m.prefix = local.Open(tb)
	m.meter.Tables = dynamo.New(m.dynamodb, m.prefix, dynamo.WithMeter(m.count))
	m.fanout = &billing.Fanout{
		Tables: m.meter, Clock: m.now, Log: slog.New(slog.DiscardHandler), Shards: shards,
	}
	m.empty()
	return m
}

// count keeps the read units of the index with the others, since the fan-out writes into
// none. DynamoDB Local counts nothing for a query that finds nothing, and AWS the least
// there is.
func (m *minute) count(operation string, of table.Table, read, write, index float64) {
	if operation == "Query" {
		read, index = max(0.5, read+index), 0
	}
	m.meter.count(operation, of, read, write, index)
}

// empty gives the fan-out a new queue.
func (m *minute) empty() {
	m.Helper()
	name := "bench-" + strings.ToLower(rand.Text())
	made, err := m.sqs.CreateQueue(m.Context(), &sqs.CreateQueueInput{
		QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "43200"}, // what was received stays hidden
	})
	if err != nil {
		m.Fatal(err)
	}
	if m.url != "" {
		if _, err := m.sqs.DeleteQueue(m.Context(), &sqs.DeleteQueueInput{QueueUrl: &m.url}); err != nil {
			m.Fatal(err)
		}
	}
	if m.url = aws.ToString(made.QueueUrl); m.url == "" {
		m.Fatalf("the queue %s: got no address, want one", name)
	}
	client := func(context.Context) (queue.API, error) { return m.sqs, nil }
	m.fanout.Lines = []billing.Line{{
		GatewayName: billing.GatewayName{Scope: table.Default, Gateway: "toss"}, Lane: "toss",
		Queue: queue.NewSender[billing.Due](client, m.url, m.now), PerMinute: 1_000_000,
	}, {
		GatewayName: billing.GatewayName{Scope: table.Default, Gateway: "toss"}, Lane: billing.RetriesLane("toss"),
		Queue: queue.NewSender[billing.Due](client, m.url, m.now), PerMinute: 1_000_000,
	}}
}

func name(i int) string { return fmt.Sprintf("sub_%026d", i) }

// subscription is one as it lies in its table, as far as the fan-out can tell: of the size
// of a real one, and in the due index.
func subscription(i int) map[string]types.AttributeValue {
	at := due.Add(time.Duration(i%60) * time.Second).Format(time.RFC3339)
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	return map[string]types.AttributeValue{
		"pk": text(table.Default.Key(name(i))), "revision": &types.AttributeValueMemberN{Value: "1"},
		"schema": &types.AttributeValueMemberN{Value: "1"}, "token": text(rand.Text()), "id": text(name(i)),
		"terms":          text(strings.Repeat("t", 600)),
		"indexPartition": text(table.Default.Key("toss", strconv.Itoa(i%shards))), "indexSort": text(at + "#" + name(i)),
	}
}

// fill puts n subscriptions into the table, past the port, for it takes them one by one.
func (m *minute) fill(n int) {
	m.Helper()
	const batch, writers = 25, 8
	in := m.prefix + string(table.Subscriptions)
	write := func(from int) error {
		var requests []types.WriteRequest
		for i := from; i < min(from+batch, n); i++ {
			requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: subscription(i)}})
		}
		for range 20 {
			out, err := m.dynamodb.BatchWriteItem(m.Context(), &dynamodb.BatchWriteItemInput{
				RequestItems: map[string][]types.WriteRequest{in: requests},
			})
			if err != nil {
				return err
			}
			if requests = out.UnprocessedItems[in]; len(requests) == 0 {
				return nil
			}
		}
		return errors.New("the table does not take everything")
	}
	var all sync.WaitGroup
	failed := make([]error, writers)
	for w := range writers {
		all.Go(func() {
			for from := w * batch; from < n && failed[w] == nil; from += writers * batch {
				failed[w] = write(from)
			}
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		m.Fatal(err)
	}
}

// forget takes the cursors away, so that the next tick hands everything over again.
func (m *minute) forget() {
	m.Helper()
	for _, lane := range []string{"toss", billing.RetriesLane("toss")} {
		for shard := range shards {
			if _, err := m.dynamodb.DeleteItem(m.Context(), &dynamodb.DeleteItemInput{
				TableName: aws.String(m.prefix + string(table.Subscriptions)),
				Key: map[string]types.AttributeValue{
					"pk": &types.AttributeValueMemberS{Value: table.Default.Key("cursor", lane, strconv.Itoa(shard))},
				},
			}); err != nil {
				m.Fatal(err)
			}
		}
	}
}

// received empties the queue and checks that each of n subscriptions was in it once.
func (m *minute) received(n int) {
	m.Helper()
	const readers = 8
	var mu sync.Mutex
	times, all := map[string]int{}, sync.WaitGroup{}
	failed := make([]error, readers)
	for r := range readers {
		all.Go(func() {
			for {
				out, err := m.sqs.ReceiveMessage(m.Context(), &sqs.ReceiveMessageInput{QueueUrl: &m.url, MaxNumberOfMessages: 10})
				if err != nil || len(out.Messages) == 0 {
					failed[r] = err
					return
				}
				mu.Lock()
				for _, message := range out.Messages {
					times[*message.Body]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		m.Fatal(err)
	}
	if len(times) != n {
		m.Errorf("in the queue: got %d subscriptions, want the %d that were due", len(times), n)
	}
	for i := range n {
		body := fmt.Sprintf(`{"project":"default","environment":"production","subscription":%q}`, name(i))
		if times[body] != 1 {
			m.Fatalf("%s: got %d messages, want 1", name(i), times[body])
		}
	}
}

// tick is one minute's.
func (m *minute) tick(want int) {
	m.Helper()
	report, err := m.fanout.Tick(m.Context())
	if err != nil || report.Sent != want {
		m.Fatalf("the tick: got %+v, %v, want %d sent", report, err, want)
	}
}

func TestAThousandThatAreDueInOneMinuteAreHandedOverOnceEach(t *testing.T) {
	local.Endpoint(t)
	const n = 1000
	m := newMinute(t, elasticMQ(t))
	m.tick(0)
	t.Logf("a tick with nothing due, two lanes of %d shards: %v read units", shards, m.meter.read)
	// One query for each shard and lane; the pace is asked for where something is due.
	if want := 2 * shards * 0.5; m.meter.write != 0 || m.meter.read != want {
		t.Errorf("a tick with nothing due: got %v write and %v read units, want 0 and %v", m.meter.write, m.meter.read, want)
	}
	m.fill(n)
	m.meter.reset()
	m.tick(n)
	m.received(n)
	t.Logf("%d due: %v write, %v read units, %d requests to the queue", n, m.meter.write, m.meter.read, m.sqs.requests.Load())
	if m.meter.write != shards {
		t.Errorf("got %v write units, want %d, one for each shard's cursor", m.meter.write, shards)
	}
	if most := 0.1 * n; m.meter.read > most {
		t.Errorf("got %v read units, want at most %v", m.meter.read, most)
	}
	if got, most := m.sqs.requests.Load(), int64(n/10+shards); got > most {
		t.Errorf("got %d requests to the queue, want at most %d: batches are full but for each shard's last", got, most)
	}
}

// BenchmarkFanout is a tick by how many subscriptions are due in its minute, and how the
// time for one of them grows from size to size.
func BenchmarkFanout(b *testing.B) {
	local.Endpoint(b)
	config := elasticMQ(b)
	warm := newMinute(b, config) // servers on a virtual machine are slow at first
	warm.fill(5_000)
	for range 3 {
		warm.forget()
		warm.empty()
		warm.tick(5_000)
	}
	smaller := 0.0
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			m := newMinute(b, config)
			m.fill(n)
			fastest := time.Duration(math.MaxInt64) // what is over it is the machine's other work
			var memory peak
			var before, after runtime.MemStats
			var allocations, bytes uint64
			ticks := 0
			for b.Loop() {
				b.StopTimer()
				m.forget()
				m.empty()
				m.meter.reset()
				m.sqs.requests.Store(0)
				runtime.GC()
				stop := memory.watch()
				runtime.ReadMemStats(&before)
				began := time.Now()
				b.StartTimer()
				m.tick(n)
				b.StopTimer()
				fastest = min(fastest, time.Since(began))
				runtime.ReadMemStats(&after)
				stop()
				allocations += after.Mallocs - before.Mallocs
				bytes += after.TotalAlloc - before.TotalAlloc
				ticks++
				m.received(n)
				b.StartTimer()
			}
			all := float64(ticks * n)
			each := float64(fastest.Microseconds()) / float64(n)
			b.ReportMetric(each, "µs/subscription")
			if smaller > 0 {
				b.ReportMetric(each/smaller, "of-the-size-before")
			}
			smaller = each
			b.ReportMetric(float64(allocations)/all, "allocs/subscription")
			b.ReportMetric(float64(bytes)/all, "B/subscription")
			b.ReportMetric(float64(memory.heap.Load())/(1<<20), "MB-heap-in-use")
			b.ReportMetric(float64(memory.sys.Load())/(1<<20), "MB-sys")
			b.ReportMetric(m.meter.read/float64(n), "reads/subscription")
			b.ReportMetric(m.meter.write/float64(n), "writes/subscription")
			b.ReportMetric(float64(m.sqs.requests.Load())/float64(n), "sends/subscription")
		})
	}
}

// peak is the most memory that was seen, in bytes.
type peak struct{ heap, sys atomic.Uint64 }

// watch looks until it is stopped.
func (p *peak) watch() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			p.heap.Store(max(p.heap.Load(), m.HeapInuse))
			p.sys.Store(max(p.sys.Load(), m.Sys))
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
