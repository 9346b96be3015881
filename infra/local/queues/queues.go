// Package queues is the event source mapping between SQS and functions: it polls, hands over
// batches, deletes what succeeded. What did not succeed shows again when the queue's visibility
// timeout has passed on the movable clock. The queues themselves know only real time, so they
// hide a message for as long as SQS allows, and the mapping makes it visible when it is due;
// receives are still counted, and dead letters still moved, by the queues. Until it has come
// here a message is hidden for a moment only: where the answer to a receive is lost on its way,
// nobody else could make it visible.
package queues

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Hidden is the visibility timeout that the queues must be created with: the longest there
// is (SQS, "Visibility timeout").
const Hidden = 12 * time.Hour

const (
	// arrival is how long a batch may take from the queue to here, in real time, unless Options
	// say otherwise; what has not come by then shows again.
	arrival = 30 * time.Second
	// kept is for how long what has come is hidden. With the time before, that is less than Hidden,
	// for SQS counts from the receive.
	kept = Hidden - 5*time.Minute
)

// Queue is one queue as the template means it.
type Queue struct {
	Name        string
	URL         string
	ARN         string
	Visibility  time.Duration // on the local clock
	DeadLetters string        // name, "" without
}

// Source is one mapping.
type Source struct {
	Queue        string // name
	Function     string
	BatchSize    int // 1 to 10
	Concurrency  int // most batches at once
	PartialBatch bool
}

// Client is what is used of *sqs.Client.
type Client interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// Agenda keeps what is to happen at an instant of the local clock.
type Agenda interface {
	Hold(key string, at time.Time, show func(ctx context.Context) error)
	Release(key string)
}

// Options of a Service.
type Options struct {
	Client  Client
	Queues  []Queue
	Sources []Source
	Agenda  Agenda
	// Invoke runs a function, as lambda.Service does.
	Invoke func(ctx context.Context, function string, payload []byte) ([]byte, error)
	Now    func() time.Time // the local clock
	// Arrival is how long a batch may take from the queue to here, in whole seconds of real time;
	// 0 is 30 s.
	Arrival time.Duration
	// Still is how long Quiet waits for a queue of which nothing moves though nobody is at work,
	// in real time; 0 is three minutes.
	Still time.Duration
	// Failed is told why a batch, or a call to a queue, failed.
	Failed func(queue string, err error)
}

// Service runs the mappings.
type Service struct {
	Options

	mu       sync.Mutex
	batches  map[*batch]struct{}            // in flight
	activity int                            // counts batches that began
	held     map[string]map[string]struct{} // queue's name to message ids
	seen     map[string]times               // message id to when it was sent and first received
}

type times struct{ sent, received time.Time }

// batch is one in flight, since a real instant.
type batch struct {
	queue, function string
	since           time.Time
}

// New makes a service that does nothing until Run.
func New(o Options) *Service {
	if o.Arrival == 0 {
		o.Arrival = arrival
	}
	if o.Still == 0 {
		o.Still = still
	}
	return &Service{Options: o, batches: map[*batch]struct{}{}, held: map[string]map[string]struct{}{}, seen: map[string]times{}}
}

// Run polls until ctx ends, and then waits for the batches in flight.
func (s *Service) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, source := range s.Sources {
		if q, ok := s.queue(source.Queue); ok {
			group.Go(func() { s.poll(ctx, q, source) })
		}
	}
	group.Wait()
}

func (s *Service) queue(name string) (Queue, bool) {
	i := slices.IndexFunc(s.Queues, func(q Queue) bool { return q.Name == name })
	if i < 0 {
		return Queue{}, false
	}
	return s.Queues[i], true
}

// poll fetches batches as long as the mapping may have another one in flight.
func (s *Service) poll(ctx context.Context, q Queue, source Source) {
	var group sync.WaitGroup
	defer group.Wait()
	slots := make(chan struct{}, max(1, source.Concurrency))
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		out, err := s.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl:                    &q.URL,
			MaxNumberOfMessages:         int32(source.BatchSize),
			WaitTimeSeconds:             10,
			VisibilityTimeout:           int32(s.Arrival / time.Second),
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
			MessageAttributeNames:       []string{"All"},
		})
		if err == nil {
			err = identified(out.Messages)
		}
		if err != nil || len(out.Messages) == 0 {
			<-slots
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				s.Failed(q.Name, err)
				pause(ctx, time.Second)
			}
			continue
		}
		b := &batch{queue: q.Name, function: source.Function, since: time.Now()}
		s.mu.Lock()
		s.batches[b] = struct{}{}
		s.activity++
		s.mu.Unlock()
		group.Go(func() {
			defer func() { <-slots }()
			if messages := s.keep(ctx, q, out.Messages); len(messages) > 0 {
				s.deliver(ctx, q, source, messages)
			}
			s.mu.Lock()
			delete(s.batches, b)
			s.mu.Unlock()
		})
	}
}

// keep hides what has come until it is done with, and returns the messages that it could hide.
// Another one shows again, or did so on its way here and is somebody else's by now.
func (s *Service) keep(ctx context.Context, q Queue, messages []types.Message) []types.Message {
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.URL}
	for i, m := range messages {
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: int32(kept / time.Second),
		})
	}
	out, err := s.Client.ChangeMessageVisibilityBatch(ctx, in)
	if err != nil {
		if ctx.Err() == nil {
			s.Failed(q.Name, err)
		}
		return nil
	}
	ours := make([]types.Message, 0, len(messages))
	for i, m := range messages {
		id := strconv.Itoa(i)
		if slices.ContainsFunc(out.Successful, func(e types.ChangeMessageVisibilityBatchResultEntry) bool { return aws.ToString(e.Id) == id }) {
			ours = append(ours, m)
		}
	}
	return ours
}

// identified is an error unless each message has an id. SQS gives one always; who does not is
// no SQS.
func identified(messages []types.Message) error {
	for _, m := range messages {
		if aws.ToString(m.MessageId) == "" {
			return errors.New("queues: a message came without an id")
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// deliver hands a batch to the function, deletes what it is done with, holds the rest.
func (s *Service) deliver(ctx context.Context, q Queue, source Source, messages []types.Message) {
	received := s.Now()
	event, err := s.event(q, messages, received)
	var answer []byte
	if err == nil {
		answer, err = s.invoke(ctx, source.Function, event)
	}
	if ctx.Err() != nil {
		return // the queues end with the run
	}
	failed := map[string]bool{}
	switch {
	case err != nil:
		s.Failed(q.Name, err)
		failed = all(messages)
	case source.PartialBatch:
		if failed, err = failures(answer, messages); err != nil {
			s.Failed(q.Name, err)
			failed = all(messages)
		}
	}
	var done []types.DeleteMessageBatchRequestEntry
	for i, m := range messages {
		if !failed[*m.MessageId] {
			done = append(done, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
	}
	if len(done) > 0 {
		out, err := s.Client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL, Entries: done})
		if ctx.Err() != nil {
			return // as above
		}
		if err != nil {
			s.Failed(q.Name, err)
			failed = all(messages)
		} else {
			for _, f := range out.Failed {
				i, err := strconv.Atoi(aws.ToString(f.Id))
				if err != nil || i < 0 || i >= len(messages) {
					s.Failed(q.Name, errors.New("queues: a message that nobody asked to delete was not deleted"))
					continue
				}
				failed[*messages[i].MessageId] = true
			}
		}
	}
	for _, m := range messages {
		if failed[*m.MessageId] {
			s.hold(q, m, received.Add(q.Visibility))
		} else {
			s.forget(*m.MessageId)
		}
	}
}

// hold keeps a message hidden until the instant at.
func (s *Service) hold(q Queue, m types.Message, at time.Time) {
	id := *m.MessageId
	s.mu.Lock()
	if s.held[q.Name] == nil {
		s.held[q.Name] = map[string]struct{}{}
	}
	s.held[q.Name][id] = struct{}{}
	s.mu.Unlock()
	s.Agenda.Hold(q.Name+"/"+id, at, func(ctx context.Context) error {
		s.unhold(q, id)
		// Whoever moved the clock may have gone away; the message must show all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		_, err := s.Client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: &q.URL, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
		})
		return err
	})
}

func (s *Service) unhold(q Queue, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held[q.Name], id)
}

func (s *Service) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, id)
}

// Depth is how many messages a queue has.
type Depth struct {
	Name        string `json:"name"`
	Visible     int    `json:"visible"`
	InFlight    int    `json:"inFlight"` // hidden ones included, as SQS counts
	DeadLetters int    `json:"deadLetters"`
}

func (s *Service) depth(ctx context.Context, q Queue) (Depth, error) {
	out, err := s.Client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &q.URL,
		AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		},
	})
	if err != nil {
		return Depth{}, fmt.Errorf("queues: %s: %w", q.Name, err)
	}
	d := Depth{Name: q.Name}
	for attribute, to := range map[types.QueueAttributeName]*int{
		types.QueueAttributeNameApproximateNumberOfMessages:           &d.Visible,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible: &d.InFlight,
	} {
		if *to, err = strconv.Atoi(out.Attributes[string(attribute)]); err != nil {
			return Depth{}, fmt.Errorf("queues: %s: %s: %w", q.Name, attribute, err)
		}
	}
	return d, nil
}

// Depths counts the messages of every queue; a dead-letter queue is counted with the queue
// that it belongs to.
func (s *Service) Depths(ctx context.Context) ([]Depth, error) {
	depths := []Depth{}
	for _, q := range s.Queues {
		if s.feeds(q.Name) != "" {
			continue
		}
		d, err := s.depth(ctx, q)
		if err != nil {
			return nil, err
		}
		if dead, ok := s.queue(q.DeadLetters); ok {
			letters, err := s.depth(ctx, dead)
			if err != nil {
				return nil, err
			}
			d.DeadLetters = letters.Visible + letters.InFlight
		}
		depths = append(depths, d)
	}
	return depths, nil
}

// feeds names the queue whose dead letters go to the named one, "" when none do.
func (s *Service) feeds(name string) string {
	for _, q := range s.Queues {
		if q.DeadLetters == name {
			return q.Name
		}
	}
	return ""
}

// ErrUnknown says that there is no such queue, or that it has no dead letters.
var ErrUnknown = errors.New("queues: no such queue with dead letters")

// Redrive sends the dead letters of the named queue to it again, as new messages, and says
// how many. The dead-letter queue's own name means the same.
func (s *Service) Redrive(ctx context.Context, name string) (int, error) {
	if source := s.feeds(name); source != "" {
		name = source
	}
	q, ok := s.queue(name)
	dead, hasDead := s.queue(q.DeadLetters)
	if !ok || !hasDead {
		return 0, ErrUnknown
	}
	d, err := s.depth(ctx, dead)
	if err != nil {
		return 0, err
	}
	moved := 0
	for moved < d.Visible {
		out, err := s.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &dead.URL, MaxNumberOfMessages: 10, VisibilityTimeout: 60,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
			MessageAttributeNames:       []string{"All"},
		})
		if err == nil {
			err = identified(out.Messages)
		}
		if err != nil {
			return moved, fmt.Errorf("queues: redrive: %w", err)
		}
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			if err := s.resend(ctx, dead, q, m); err != nil {
				return moved, fmt.Errorf("queues: redrive: %w", err)
			}
			s.forget(*m.MessageId)
			moved++
		}
	}
	return moved, nil
}

func (s *Service) resend(ctx context.Context, from, to Queue, m types.Message) error {
	in := &sqs.SendMessageInput{QueueUrl: &to.URL, MessageBody: m.Body, MessageAttributes: m.MessageAttributes}
	if group, ok := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]; ok {
		in.MessageGroupId = &group // of a standard queue too, which is fair to groups
		if strings.HasSuffix(to.URL, ".fifo") {
			in.MessageDeduplicationId = m.MessageId
		}
	}
	if _, err := s.Client.SendMessage(ctx, in); err != nil {
		return err
	}
	_, err := s.Client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{
		QueueUrl: &from.URL,
		Entries:  []types.DeleteMessageBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: m.ReceiptHandle}},
	})
	return err
}
