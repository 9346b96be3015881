package queues_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"grantline/infra/local/queues"
)

// stranger is a broker that answers as no SQS does.
type stranger struct {
	*broker
	anonymous bool   // whether its messages have no id
	undeleted string // the entry that it says it has not deleted
}

func (s *stranger) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	out, err := s.broker.ReceiveMessage(ctx, in, o...)
	if err != nil {
		return nil, err
	}
	for i := range out.Messages {
		if s.anonymous {
			out.Messages[i].MessageId = nil
		}
	}
	return out, nil
}

func (s *stranger) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	out, err := s.broker.DeleteMessageBatch(ctx, in, o...)
	if err != nil {
		return nil, err
	}
	out.Failed = []types.BatchResultErrorEntry{{Id: aws.String(s.undeleted)}}
	return out, nil
}

// meet runs a mapping on the stranger's queue "work", in which there is a message, until a
// failure is told; it returns that, and how many batches were handed over.
func meet(t *testing.T, s *stranger) (service *queues.Service, failed string, batches int) {
	t.Helper()
	told := make(chan string, 1)
	var mu sync.Mutex
	service = queues.New(queues.Options{
		Client: s, Agenda: &shelf{items: map[string]item{}}, Now: func() time.Time { return now },
		Queues: []queues.Queue{
			{Name: "work", URL: "u/work", ARN: "arn:work", Visibility: time.Minute, DeadLetters: "dead"},
			{Name: "dead", URL: "u/dead", ARN: "arn:dead", Visibility: time.Minute},
		},
		Sources: []queues.Source{{Queue: "work", Function: "f", BatchSize: 1, Concurrency: 1}},
		Failed: func(_ string, err error) {
			select {
			case told <- err.Error():
			default: // the first is enough
			}
		},
		Invoke: func(context.Context, string, []byte) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			batches++
			return nil, nil
		},
	})
	for _, queue := range []string{"u/work", "u/dead"} {
		if _, err := s.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: aws.String("x")}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { service.Run(ctx) })
	defer group.Wait()
	defer cancel()
	select {
	case failed = <-told:
	case <-time.After(time.Minute):
		t.Error("got no failure within a minute, want one")
	}
	mu.Lock()
	defer mu.Unlock()
	return service, failed, batches
}

func TestAMessageWithoutAnIDIsAFailureAndNoPanic(t *testing.T) {
	service, failed, batches := meet(t, &stranger{broker: newBroker(), anonymous: true})
	if !strings.Contains(failed, "without an id") || batches != 0 {
		t.Errorf("got %q and %d batches, want that it has no id, and none", failed, batches)
	}
	if moved, err := service.Redrive(t.Context(), "work"); err == nil || moved != 0 {
		t.Errorf("redrive: got %d, %v, want an error", moved, err)
	}
}

func TestADeletionThatNobodyAskedForIsAFailureAndNoPanic(t *testing.T) {
	for _, entry := range []string{"", "x", "-1", "7"} {
		if _, failed, batches := meet(t, &stranger{broker: newBroker(), undeleted: entry}); !strings.Contains(failed, "nobody asked") || batches != 1 {
			t.Errorf("entry %q: got %q and %d batches, want that nobody asked, after one", entry, failed, batches)
		}
	}
}
