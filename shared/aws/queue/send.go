package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"grantline/shared/clock"
	"grantline/shared/fault"
)

// Limits of SendMessageBatch (Amazon SQS quotas). The quota of bytes, for one message and
// for a batch, is 1 MiB; work that needs a quarter of that is not a hint any more.
const (
	batchMessages = 10
	batchBytes    = 256 << 10
)

const (
	rounds     = 3
	firstPause = 200 * time.Millisecond // between rounds; doubled after each
	reachWait  = 5 * time.Second
)

// API is what a Sender uses of a *sqs.Client.
type API interface {
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// Client returns the way to a client of SQS, which is made when it is first asked for. One
// client serves the senders of all queues.
func Client(config func(context.Context) (aws.Config, error)) func(context.Context) (API, error) {
	var mu sync.Mutex
	var client *sqs.Client
	return func(ctx context.Context) (API, error) {
		mu.Lock()
		defer mu.Unlock()
		if client == nil {
			c, err := config(ctx)
			if err != nil {
				return nil, err
			}
			client = sqs.NewFromConfig(c)
		}
		return client, nil
	}
}

// Sender sends messages to one queue. It is safe for use by many goroutines.
type Sender[T any] struct {
	client func(context.Context) (API, error)
	url    string
	clock  clock.Clock
}

// NewSender makes a Sender to the queue at url. Nothing is asked of SQS yet.
func NewSender[T any](client func(context.Context) (API, error), url string, c clock.Clock) *Sender[T] {
	return &Sender[T]{client: client, url: url, clock: c}
}

// Send sends messages in their order and returns how many of the first ones SQS surely
// has, so that a cursor may stop there; the others may have arrived or not, and some may
// arrive twice. group is whose messages these are: a standard queue serves groups fairly
// (Amazon SQS fair queues), "" leaves that out. What SQS refuses in a batch is sent again,
// three times in all. Errors: fault.Unavailable; any other is a bug in the caller, and
// then nothing was sent.
func (s *Sender[T]) Send(ctx context.Context, group string, messages []T) (sent int, err error) {
	bodies := make([]string, len(messages))
	for i, m := range messages {
		body, err := json.Marshal(m)
		if err != nil {
			return 0, fmt.Errorf("queue: bug in the caller: message %d of type %T is no JSON", i, m)
		}
		if len(body) > batchBytes {
			return 0, fmt.Errorf("queue: bug in the caller: message %d has %d bytes, more than %d", i, len(body), batchBytes)
		}
		bodies[i] = string(body)
	}
	if len(bodies) == 0 {
		return 0, nil
	}
	client, err := s.client(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	for sent < len(bodies) {
		n, size := 0, 0
		for n < batchMessages && sent+n < len(bodies) && size+len(bodies[sent+n]) <= batchBytes {
			size += len(bodies[sent+n])
			n++
		}
		accepted, err := s.batch(ctx, client, group, bodies[sent:sent+n])
		sent += accepted
		if err != nil {
			return sent, unavailable(err)
		}
	}
	return sent, nil
}

// batch sends one batch and returns how many of its first messages were accepted: all of
// them, or there is an error.
func (s *Sender[T]) batch(ctx context.Context, client API, group string, bodies []string) (int, error) {
	accepted := make([]bool, len(bodies))
	leading := func() int {
		for i, ok := range accepted {
			if !ok {
				return i
			}
		}
		return len(accepted)
	}
	wait := firstPause
	for round := 1; ; round++ {
		out, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &s.url, Entries: entries(group, bodies, accepted)})
		if err != nil {
			return leading(), err // the SDK has repeated what may be repeated
		}
		for _, e := range out.Successful {
			if i, err := strconv.Atoi(aws.ToString(e.Id)); err == nil && i >= 0 && i < len(accepted) {
				accepted[i] = true
			}
		}
		n := leading()
		if n == len(bodies) {
			return n, nil
		}
		for _, e := range out.Failed {
			if e.SenderFault {
				return n, refused(e)
			}
		}
		if round == rounds {
			if len(out.Failed) > 0 {
				return n, refused(out.Failed[0])
			}
			return n, errors.New("SQS did not say what became of a message")
		}
		if err := s.clock.Sleep(ctx, wait); err != nil {
			return n, err
		}
		wait *= 2
	}
}

// entries are the messages that were not accepted yet, each named by its place.
func entries(group string, bodies []string, accepted []bool) []types.SendMessageBatchRequestEntry {
	var out []types.SendMessageBatchRequestEntry
	for i, body := range bodies {
		if accepted[i] {
			continue
		}
		e := types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body)}
		if group != "" {
			e.MessageGroupId = aws.String(group)
		}
		out = append(out, e)
	}
	return out
}

// refused is the code that SQS gives for a message; its text may quote the message.
func refused(e types.BatchResultErrorEntry) error {
	return fmt.Errorf("SQS refused a message: %q", aws.ToString(e.Code))
}

// Reach says whether the queue answers. Errors: fault.Unavailable.
func (s *Sender[T]) Reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachWait)
	defer cancel()
	client, err := s.client(ctx)
	if err != nil {
		return unavailable(err)
	}
	if _, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl:       &s.url,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	}); err != nil {
		return unavailable(err)
	}
	return nil
}

func unavailable(cause error) error {
	return fault.New(fault.Unavailable, "queue_unavailable", "The queue cannot be reached now.").Because(cause)
}
