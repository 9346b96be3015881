package queues_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"grantline/infra/local/queues"
)

// lossy loses the first answer that has messages: the queue has handed them over, and nobody
// has them.
type lossy struct {
	queues.Client
	how  error         // what is said instead; nil is that there were none
	lost chan struct{} // closed by then
	once sync.Once
}

func (l *lossy) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	out, err := l.Client.ReceiveMessage(ctx, in, o...)
	if err != nil || len(out.Messages) == 0 {
		return out, err
	}
	first := false
	l.once.Do(func() { first = true })
	if !first {
		return out, nil
	}
	defer close(l.lost)
	if l.how != nil {
		return nil, l.how
	}
	return &sqs.ReceiveMessageOutput{}, nil
}

func TestAMessageWhoseReceiveWasNeverAnsweredComesAgain(t *testing.T) {
	for name, how := range map[string]error{"an error": errors.New("the connection was reset"), "silence": nil} {
		t.Run(name, func(t *testing.T) {
			l := &lossy{how: how, lost: make(chan struct{})}
			h := startOn(t, 10, 1, true, func(b *broker) queues.Client { l.Client = b; return l }, func(*harness, events.SQSEvent) (string, error) { return "", nil })
			h.send(t, "work", "a", "b")
			<-l.lost
			h.moments()
			h.quiet(t)
			if got, want := h.depth(t, "work"), (queues.Depth{Name: "work"}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if got, want := slices.Sorted(slices.Values(h.bodies())), []string{"a", "b"}; !slices.Equal(got, want) {
				t.Errorf("got %v handed over, want %v", got, want)
			}
		})
	}
}

func TestWhatIsAtWorkIsNotHandedOverAgain(t *testing.T) {
	h := start(t, 10, 2, true, func(h *harness, _ events.SQSEvent) (string, error) {
		h.moments() // the function takes its time
		return "", nil
	})
	h.send(t, "work", "a")
	h.quiet(t)
	if got, want := h.bodies(), []string{"a"}; !slices.Equal(got, want) {
		t.Errorf("got %v handed over, want %v", got, want)
	}
}

// late is a client whose first batch was so long on its way that it shows again and somebody
// else receives it.
type late struct {
	*broker
	once sync.Once
}

func (l *late) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	var err error
	l.once.Do(func() {
		l.moments()
		_, err = l.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: in.QueueUrl, MaxNumberOfMessages: 10, VisibilityTimeout: 1})
	})
	if err != nil {
		return nil, err
	}
	return l.broker.ChangeMessageVisibilityBatch(ctx, in, o...)
}

func TestWhatShowedAgainOnItsWayIsHandedOverOnce(t *testing.T) {
	h := startOn(t, 10, 1, true, func(b *broker) queues.Client { return &late{broker: b} }, func(*harness, events.SQSEvent) (string, error) { return "", nil })
	h.send(t, "work", "a")
	// Somebody else has it, and does nothing: it shows once more.
	for end := time.Now().Add(time.Minute); len(h.bodies()) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		h.moments()
	}
	h.quiet(t)
	if got, want := h.bodies(), []string{"a"}; !slices.Equal(got, want) {
		t.Errorf("got %v handed over, want %v", got, want)
	}
}

func TestAStandstillSaysWhatItWaitsFor(t *testing.T) {
	b := newBroker()
	s := queues.New(queues.Options{
		Client: b, Now: time.Now, Still: time.Millisecond,
		Queues:  []queues.Queue{{Name: "work", URL: "u/work", ARN: "arn:work", Visibility: time.Minute}},
		Sources: []queues.Source{{Queue: "work", Function: "f", BatchSize: 1, Concurrency: 1}},
	})
	for range 2 {
		if _, err := b.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String("u/work"), MessageBody: aws.String("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String("u/work"), MaxNumberOfMessages: 1}); err != nil {
		t.Fatal(err)
	}
	err := s.Quiet(t.Context())
	const want = "nobody is at work: work with 1 visible and 1 in flight, of which 0 wait until they are due"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want that %s", err, want)
	}
}

// Where somebody is at work the function's own time bounds the wait.
func TestWorkThatTakesLongIsNoStandstill(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	h := startOn(t, 10, 1, true, func(b *broker) queues.Client { return b }, func(*harness, events.SQSEvent) (string, error) {
		close(begun)
		<-end
		return "", nil
	})
	h.Still = time.Nanosecond
	h.send(t, "work", "a")
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := h.Quiet(ctx)
	close(end)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "a batch of work at f for ") {
		t.Errorf("got %v, want that a batch is at work, once the caller has no more time", err)
	}
}
