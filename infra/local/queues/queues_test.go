package queues_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"grantline/infra/local/lambda"
	"grantline/infra/local/queues"
)

// broker is SQS without time: a message that was received stays hidden until it is made visible,
// or, while it is hidden for a moment only, until moments pass.
type broker struct {
	mu       sync.Mutex
	order    []*message
	sequence int
	changed  chan struct{}
}

type message struct {
	id, url, body, handle string
	group                 *string
	receives              int
	hidden, gone          bool
	brief                 bool // hidden for a moment only
}

func newBroker() *broker { return &broker{changed: make(chan struct{})} }

func (b *broker) stir() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *broker) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if in.MessageDeduplicationId != nil && !strings.HasSuffix(*in.QueueUrl, ".fifo") {
		return nil, errors.New("the parameter MessageDeduplicationId is not valid for this queue type") // as SQS says
	}
	b.sequence++
	b.order = append(b.order, &message{id: "m" + strconv.Itoa(b.sequence), url: *in.QueueUrl, body: *in.MessageBody, group: in.MessageGroupId})
	b.stir()
	return &sqs.SendMessageOutput{}, nil
}

func (b *broker) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	for {
		b.mu.Lock()
		out := &sqs.ReceiveMessageOutput{}
		for _, m := range b.order {
			if m.url != *in.QueueUrl || m.hidden || m.gone || len(out.Messages) == int(in.MaxNumberOfMessages) {
				continue
			}
			b.sequence++
			m.hidden, m.handle, m.receives = true, "h"+strconv.Itoa(b.sequence), m.receives+1
			m.brief = in.VisibilityTimeout > 0
			out.Messages = append(out.Messages, types.Message{
				MessageId: aws.String(m.id), ReceiptHandle: aws.String(m.handle), Body: aws.String(m.body), MD5OfBody: aws.String("md5"),
				Attributes: map[string]string{
					"ApproximateReceiveCount": strconv.Itoa(m.receives),
					"SentTimestamp":           strconv.FormatInt(time.Now().Add(-2*time.Second).UnixMilli(), 10),
				},
				MessageAttributes: map[string]types.MessageAttributeValue{"a": {DataType: aws.String("String"), StringValue: aws.String("b")}},
			})
			if m.group != nil {
				out.Messages[len(out.Messages)-1].Attributes["MessageGroupId"] = *m.group
			}
		}
		changed := b.changed
		b.mu.Unlock()
		if len(out.Messages) > 0 || in.WaitTimeSeconds == 0 {
			return out, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *broker) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range in.Entries {
		for _, m := range b.order {
			if m.handle == *e.ReceiptHandle {
				m.gone = true
			}
		}
	}
	return &sqs.DeleteMessageBatchOutput{}, nil
}

func (b *broker) ChangeMessageVisibility(_ context.Context, in *sqs.ChangeMessageVisibilityInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.order {
		if m.handle == *in.ReceiptHandle && !m.gone {
			m.hidden = false
			b.stir()
			return &sqs.ChangeMessageVisibilityOutput{}, nil
		}
	}
	return nil, errors.New("no such handle")
}

func (b *broker) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := &sqs.ChangeMessageVisibilityBatchOutput{}
	for _, e := range in.Entries {
		i := slices.IndexFunc(b.order, func(m *message) bool { return m.handle == *e.ReceiptHandle && !m.gone })
		if i < 0 {
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id})
			continue
		}
		b.order[i].hidden, b.order[i].brief = true, false
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

// moments pass.
func (b *broker) moments() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.order {
		if m.brief {
			m.hidden, m.brief = false, false
		}
	}
	b.stir()
}

func (b *broker) GetQueueAttributes(_ context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	visible, hidden := 0, 0
	for _, m := range b.order {
		switch {
		case m.url != *in.QueueUrl || m.gone:
		case m.hidden:
			hidden++
		default:
			visible++
		}
	}
	return &sqs.GetQueueAttributesOutput{Attributes: map[string]string{
		"ApproximateNumberOfMessages": strconv.Itoa(visible), "ApproximateNumberOfMessagesNotVisible": strconv.Itoa(hidden),
	}}, nil
}

// shelf is an agenda whose instants come when the test says so.
type shelf struct {
	mu    sync.Mutex
	items map[string]item
}

type item struct {
	at   time.Time
	show func(context.Context) error
}

func (s *shelf) Hold(key string, at time.Time, show func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items[key] = item{at, show}
}

func (s *shelf) Release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.items, key)
}

func (s *shelf) take() map[string]item {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.items
	s.items = map[string]item{}
	return taken
}

var now = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

type harness struct {
	*queues.Service
	*broker
	*shelf
	mu      sync.Mutex
	batches []events.SQSEvent
}

// start runs one mapping on the queue "work" whose function is f.
func start(t *testing.T, batch, concurrency int, partial bool, f func(h *harness, e events.SQSEvent) (string, error)) *harness {
	t.Helper()
	return startOn(t, batch, concurrency, partial, func(b *broker) queues.Client { return b }, f)
}

// startOn is start with what stands between the mapping and its broker.
func startOn(
	t *testing.T, batch, concurrency int, partial bool, by func(*broker) queues.Client, f func(h *harness, e events.SQSEvent) (string, error),
) *harness {
	t.Helper()
	h := &harness{broker: newBroker(), shelf: &shelf{items: map[string]item{}}}
	h.Service = queues.New(queues.Options{
		Client: by(h.broker), Agenda: h.shelf, Now: func() time.Time { return now },
		Queues: []queues.Queue{
			{Name: "work", URL: "u/work", ARN: "arn:work", Visibility: 540 * time.Second, DeadLetters: "dead"},
			{Name: "dead", URL: "u/dead", ARN: "arn:dead", Visibility: 30 * time.Second},
			{Name: "alone", URL: "u/alone", ARN: "arn:alone", Visibility: 30 * time.Second},
		},
		Sources: []queues.Source{{Queue: "work", Function: "f", BatchSize: batch, Concurrency: concurrency, PartialBatch: partial}},
		Failed:  func(string, error) {},
		Invoke: func(_ context.Context, _ string, payload []byte) ([]byte, error) {
			var e events.SQSEvent
			if err := json.Unmarshal(payload, &e); err != nil {
				t.Error(err)
			}
			h.mu.Lock()
			h.batches = append(h.batches, e)
			h.mu.Unlock()
			answer, err := f(h, e)
			return []byte(answer), err
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { h.Run(ctx) })
	t.Cleanup(func() { cancel(); group.Wait() })
	return h
}

func (h *harness) send(t *testing.T, queue string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if _, err := h.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String("u/" + queue), MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
}

// bodies are those of all messages that were handed over, in their order.
func (h *harness) bodies() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, e := range h.batches {
		for _, r := range e.Records {
			all = append(all, r.Body)
		}
	}
	return all
}

func (h *harness) quiet(t *testing.T) {
	t.Helper()
	if err := h.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) depth(t *testing.T, name string) queues.Depth {
	t.Helper()
	depths, err := h.Depths(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(depths, func(d queues.Depth) bool { return d.Name == name })
	if i < 0 {
		t.Fatalf("got %v, want one named %s", depths, name)
	}
	return depths[i]
}

func TestWhatSucceededIsDeleted(t *testing.T) {
	h := start(t, 10, 2, true, func(*harness, events.SQSEvent) (string, error) { return `{"batchItemFailures":[]}`, nil })
	h.send(t, "work", "a", "b", "c")
	h.quiet(t)
	if got, want := h.depth(t, "work"), (queues.Depth{Name: "work"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTheEventIsAsLambdaMakesIt(t *testing.T) {
	h := start(t, 10, 1, true, func(*harness, events.SQSEvent) (string, error) { return "", nil })
	h.send(t, "work", "a")
	h.quiet(t)
	got := h.batches[0].Records[0]
	sent, err := strconv.ParseInt(got.Attributes["SentTimestamp"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if at := time.UnixMilli(sent); at.After(now.Add(-2*time.Second)) || at.Before(now.Add(-time.Minute)) {
		t.Errorf("got sent at %v, want two seconds before %v, on the local clock", at, now)
	}
	delete(got.Attributes, "SentTimestamp")
	want := events.SQSMessage{
		MessageId: "m1", ReceiptHandle: "h2", Body: "a", Md5OfBody: "md5",
		Attributes: map[string]string{
			"ApproximateReceiveCount": "1", "ApproximateFirstReceiveTimestamp": strconv.FormatInt(now.UnixMilli(), 10),
		},
		MessageAttributes: map[string]events.SQSMessageAttribute{
			"a": {DataType: "String", StringValue: aws.String("b"), StringListValues: []string{}, BinaryListValues: [][]byte{}},
		},
		EventSource: "aws:sqs", EventSourceARN: "arn:work", AWSRegion: "us-east-1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestWhatFailedShowsAgainAfterItsVisibility(t *testing.T) {
	h := start(t, 10, 1, true, func(_ *harness, e events.SQSEvent) (string, error) {
		for _, r := range e.Records {
			if r.Body == "bad" && r.Attributes["ApproximateReceiveCount"] == "1" {
				return fmt.Sprintf(`{"batchItemFailures":[{"itemIdentifier":%q}]}`, r.MessageId), nil
			}
		}
		return "null", nil
	})
	h.send(t, "work", "good", "bad", "good")
	h.quiet(t) // a message that waits does not count
	if got, want := h.depth(t, "work"), (queues.Depth{Name: "work", InFlight: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	held := h.take()
	if got := slices.Collect(maps.Keys(held)); !slices.Equal(got, []string{"work/m2"}) {
		t.Fatalf("got %v held, want work/m2", got)
	}
	if got, want := held["work/m2"].at, now.Add(540*time.Second); !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := held["work/m2"].show(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.quiet(t)
	if got, want := h.depth(t, "work"), (queues.Depth{Name: "work"}); got != want {
		t.Errorf("after it has shown again: got %+v, want %+v", got, want)
	}
}

func TestABatchFailsAsAWhole(t *testing.T) {
	for name, row := range map[string]struct {
		partial bool
		answer  string
		err     error
		held    int
	}{
		"killed":                 {true, "", &lambda.FunctionError{Kind: lambda.Killed}, 2},
		"no JSON":                {true, "oops", nil, 2},
		"an unknown message":     {true, `{"batchItemFailures":[{"itemIdentifier":"other"}]}`, nil, 2},
		"no identifier":          {true, `{"batchItemFailures":[{"id":"m1"}]}`, nil, 2},
		"an empty object":        {true, `{}`, nil, 0},
		"no partial batch":       {false, `{"batchItemFailures":[{"itemIdentifier":"m1"}]}`, nil, 0},
		"no partial batch, dead": {false, "", errors.New("dead"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, 10, 1, row.partial, func(*harness, events.SQSEvent) (string, error) { return row.answer, row.err })
			h.send(t, "work", "a", "b")
			h.quiet(t)
			if got := h.depth(t, "work").InFlight; got != row.held {
				t.Errorf("got %d held, want %d", got, row.held)
			}
		})
	}
}

func TestQuietWaitsForWhatAFunctionSends(t *testing.T) {
	h := start(t, 1, 5, true, func(h *harness, e events.SQSEvent) (string, error) {
		if n := len(e.Records[0].Body); n < 20 { // each message sends one that is longer
			body := strings.Repeat("x", n+1)
			_, err := h.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String("u/work"), MessageBody: &body})
			return "", err
		}
		return "", nil
	})
	h.send(t, "work", "x")
	h.quiet(t)
	h.mu.Lock()
	defer h.mu.Unlock()
	if got := len(h.batches); got != 20 {
		t.Errorf("got %d batches, want 20", got)
	}
}

func TestBatchesInFlightAreBounded(t *testing.T) {
	var mu sync.Mutex
	current, most := 0, 0
	h := start(t, 1, 3, true, func(*harness, events.SQSEvent) (string, error) {
		mu.Lock()
		current++
		most = max(most, current)
		mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		mu.Lock()
		current--
		mu.Unlock()
		return "", nil
	})
	h.send(t, "work", strings.Split(strings.Repeat("a", 30), "")...)
	h.quiet(t)
	if most > 3 {
		t.Errorf("got %d at once, want at most 3", most)
	}
}

func TestAThrottledBatchIsTriedAgain(t *testing.T) {
	times := 0
	h := start(t, 10, 1, true, func(*harness, events.SQSEvent) (string, error) {
		if times++; times < 3 {
			return "", lambda.ErrThrottled
		}
		return "", nil
	})
	h.send(t, "work", "a")
	h.quiet(t)
	if got := h.depth(t, "work").InFlight; got != 0 || times != 3 {
		t.Errorf("got %d held after %d calls, want 0 after 3", got, times)
	}
}

func TestDeadLettersAreSentAgain(t *testing.T) {
	for _, name := range []string{"work", "dead"} {
		h := start(t, 10, 1, true, func(*harness, events.SQSEvent) (string, error) { return "", errors.New("still broken") })
		h.send(t, "dead", strings.Split(strings.Repeat("a", 12), "")...)
		grouped := &sqs.SendMessageInput{QueueUrl: aws.String("u/dead"), MessageBody: aws.String("a"), MessageGroupId: aws.String("g")}
		if _, err := h.SendMessage(t.Context(), grouped); err != nil { // a fair queue's
			t.Fatal(err)
		}
		if got := h.depth(t, "work").DeadLetters; got != 13 {
			t.Errorf("got %d dead letters, want 13", got)
		}
		moved, err := h.Redrive(t.Context(), name)
		if err != nil || moved != 13 {
			t.Errorf("%s: got %d, %v, want 13", name, moved, err)
		}
		h.quiet(t)
		if got, want := h.depth(t, "work"), (queues.Depth{Name: "work", InFlight: 13}); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	h := start(t, 10, 1, true, func(*harness, events.SQSEvent) (string, error) { return "", nil })
	for _, name := range []string{"alone", "nowhere"} {
		if _, err := h.Redrive(t.Context(), name); !errors.Is(err, queues.ErrUnknown) {
			t.Errorf("%s: got %v, want %v", name, err, queues.ErrUnknown)
		}
	}
}
