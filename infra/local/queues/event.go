package queues

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"grantline/infra/local/lambda"
	"grantline/infra/local/template"
)

// event is the batch as a function gets it (Lambda developer guide, "Using Lambda with
// Amazon SQS"). Its times are the local clock's.
func (s *Service) event(q Queue, messages []types.Message, now time.Time) ([]byte, error) {
	var e events.SQSEvent
	for _, m := range messages {
		s.Agenda.Release(q.Name + "/" + *m.MessageId)
		s.unhold(q, *m.MessageId)
		r := events.SQSMessage{
			MessageId: *m.MessageId, ReceiptHandle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
			Md5OfBody: aws.ToString(m.MD5OfBody), Md5OfMessageAttributes: aws.ToString(m.MD5OfMessageAttributes),
			Attributes: map[string]string{}, MessageAttributes: map[string]events.SQSMessageAttribute{},
			EventSource: "aws:sqs", EventSourceARN: q.ARN, AWSRegion: template.Region,
		}
		for name, value := range m.Attributes {
			r.Attributes[name] = value
		}
		at := s.timesOf(m, now)
		r.Attributes["SentTimestamp"] = strconv.FormatInt(at.sent.UnixMilli(), 10)
		r.Attributes["ApproximateFirstReceiveTimestamp"] = strconv.FormatInt(at.received.UnixMilli(), 10)
		for name, value := range m.MessageAttributes {
			r.MessageAttributes[name] = events.SQSMessageAttribute{
				StringValue: value.StringValue, BinaryValue: value.BinaryValue, DataType: aws.ToString(value.DataType),
				StringListValues: []string{}, BinaryListValues: [][]byte{},
			}
		}
		e.Records = append(e.Records, r)
	}
	return json.Marshal(e)
}

// timesOf turns the queue's real times into the local clock's. A message is taken at once, so
// the offset between the two at its first receive is that of its sending.
func (s *Service) timesOf(m types.Message, now time.Time) times {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.seen[*m.MessageId]
	if !known {
		at = times{sent: now, received: now}
		if sent, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64); err == nil {
			at.sent = now.Add(-max(0, time.Since(time.UnixMilli(sent))))
		}
		s.seen[*m.MessageId] = at
	}
	return at
}

// How long a batch waits for a function that is throttled, in real time, before its messages
// go back and their receives count. Lambda's pollers wait in the same manner.
const throttledFor = time.Minute

func (s *Service) invoke(ctx context.Context, function string, event []byte) ([]byte, error) {
	deadline := time.Now().Add(throttledFor)
	for {
		answer, err := s.Invoke(ctx, function, event)
		if !errors.Is(err, lambda.ErrThrottled) || ctx.Err() != nil || time.Now().After(deadline) {
			return answer, err
		}
		pause(ctx, 50*time.Millisecond)
	}
}

func all(messages []types.Message) map[string]bool {
	ids := make(map[string]bool, len(messages))
	for _, m := range messages {
		ids[*m.MessageId] = true
	}
	return ids
}

// failures reads a partial batch response. No list, or an empty one, is success; anything that
// cannot be understood fails the whole batch (Lambda developer guide, "Implementing partial
// batch responses").
func failures(answer []byte, messages []types.Message) (map[string]bool, error) {
	failed := map[string]bool{}
	if answer = bytes.TrimSpace(answer); len(answer) == 0 {
		return failed, nil
	}
	var response *events.SQSEventResponse
	if err := json.Unmarshal(answer, &response); err != nil {
		return nil, fmt.Errorf("queues: partial batch response: %w", err)
	}
	if response == nil {
		return failed, nil
	}
	known := all(messages)
	for _, f := range response.BatchItemFailures {
		if !known[f.ItemIdentifier] {
			return nil, fmt.Errorf("queues: partial batch response: %q is no message of the batch", f.ItemIdentifier)
		}
		failed[f.ItemIdentifier] = true
	}
	return failed, nil
}
