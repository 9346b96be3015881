package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"grantline/shared/aws/queue"
	"grantline/shared/clock"
	"grantline/shared/fault"
)

const queueURL = "https://sqs.ap-northeast-2.amazonaws.com/111122223333/charges"

// service is SQS as a Sender sees it. answer says what becomes of the n-th request.
type service struct {
	t        *testing.T
	answer   func(n int, in *sqs.SendMessageBatchInput) (refused map[string]types.BatchResultErrorEntry, err error)
	requests []*sqs.SendMessageBatchInput
	arrived  []string
	reach    error
}

func (s *service) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	size := 0
	for _, e := range in.Entries {
		size += len(*e.MessageBody)
	}
	if len(in.Entries) == 0 || len(in.Entries) > 10 || size > 1<<20 || aws.ToString(in.QueueUrl) != queueURL {
		s.t.Errorf("SQS would refuse %d entries of %d bytes to %q", len(in.Entries), size, aws.ToString(in.QueueUrl))
	}
	s.requests = append(s.requests, in)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var refused map[string]types.BatchResultErrorEntry
	if s.answer != nil {
		var err error
		if refused, err = s.answer(len(s.requests), in); err != nil {
			return nil, err
		}
	}
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		if r, ok := refused[*e.MessageBody]; ok {
			if r.Code != nil {
				r.Id = e.Id
				out.Failed = append(out.Failed, r)
			}
			continue
		}
		s.arrived = append(s.arrived, *e.MessageBody)
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

func (s *service) GetQueueAttributes(_ context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	if aws.ToString(in.QueueUrl) != queueURL {
		s.t.Errorf("asked for %q, want %q", aws.ToString(in.QueueUrl), queueURL)
	}
	return &sqs.GetQueueAttributesOutput{}, s.reach
}

// pauses is a clock that notes how long it was asked to wait.
type pauses struct {
	clock.Fixed
	waited []time.Duration
}

func (p *pauses) Sleep(ctx context.Context, d time.Duration) error {
	p.waited = append(p.waited, d)
	return p.Fixed.Sleep(ctx, d)
}

func sender[T any](s *service) (*queue.Sender[T], *pauses) {
	p := &pauses{}
	return queue.NewSender[T](func(context.Context) (queue.API, error) { return s, nil }, queueURL, p), p
}

func numbers(n int) []int {
	var out []int
	for i := range n {
		out = append(out, i)
	}
	return out
}

func busy() types.BatchResultErrorEntry {
	return types.BatchResultErrorEntry{Code: aws.String("InternalError"), Message: aws.String("secret")}
}

func TestMessagesGoInTensWithTheirGroup(t *testing.T) {
	for _, group := range []string{"default#production", ""} {
		s := &service{t: t}
		q, p := sender[due](s)
		var messages []due
		for i := range 25 {
			messages = append(messages, due{"sub_1", i})
		}
		if sent, err := q.Send(t.Context(), group, messages); sent != 25 || err != nil {
			t.Errorf("sent %d with error %v, want 25", sent, err)
		}
		if len(s.requests) != 3 || len(p.waited) != 0 {
			t.Errorf("%d requests and %d pauses, want 3 and none", len(s.requests), len(p.waited))
		}
		for i, body := range s.arrived {
			if want := fmt.Sprintf(`{"subscription":"sub_1","period":%d}`, i); body != want {
				t.Errorf("message %d is %s, want %s", i, body, want)
			}
		}
		for _, r := range s.requests {
			for _, e := range r.Entries {
				if aws.ToString(e.MessageGroupId) != group || (e.MessageGroupId == nil) != (group == "") {
					t.Errorf("group is %q, want %q", aws.ToString(e.MessageGroupId), group)
				}
			}
		}
	}
}

func TestNothingToSendAsksForNothing(t *testing.T) {
	s := &service{t: t}
	q, _ := sender[int](s)
	if sent, err := q.Send(t.Context(), "", nil); sent != 0 || err != nil || len(s.requests) != 0 {
		t.Errorf("sent %d with error %v in %d requests, want nothing", sent, err, len(s.requests))
	}
}

func TestWhatWasRefusedIsSentAgainAlone(t *testing.T) {
	s := &service{t: t}
	s.answer = func(n int, _ *sqs.SendMessageBatchInput) (map[string]types.BatchResultErrorEntry, error) {
		switch n {
		case 1:
			return map[string]types.BatchResultErrorEntry{"3": busy(), "7": busy(), "8": {}}, nil // of 8 it says nothing
		case 2:
			return map[string]types.BatchResultErrorEntry{"7": busy()}, nil
		}
		return nil, nil
	}
	q, p := sender[int](s)
	if sent, err := q.Send(t.Context(), "", numbers(12)); sent != 12 || err != nil {
		t.Errorf("sent %d with error %v, want 12", sent, err)
	}
	if got, want := strings.Join(s.arrived, " "), "0 1 2 4 5 6 9 3 8 7 10 11"; got != want {
		t.Errorf("arrived %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(p.waited), "[200ms 400ms]"; got != want {
		t.Errorf("waited %s, want %s", got, want)
	}
}

func TestTheCursorMayStopWhereSQSSurelyHasAllBefore(t *testing.T) {
	refuse := func(e types.BatchResultErrorEntry, bodies ...string) map[string]types.BatchResultErrorEntry {
		out := map[string]types.BatchResultErrorEntry{}
		for _, b := range bodies {
			out[b] = e
		}
		return out
	}
	permanent := types.BatchResultErrorEntry{Code: aws.String("InvalidMessageContents"), Message: aws.String("secret"), SenderFault: true}
	for name, c := range map[string]struct {
		answer   func(n int, in *sqs.SendMessageBatchInput) (map[string]types.BatchResultErrorEntry, error)
		sent     int
		requests int
	}{
		"always refused": {func(int, *sqs.SendMessageBatchInput) (map[string]types.BatchResultErrorEntry, error) {
			return refuse(busy(), "4", "9"), nil
		}, 4, 3},
		"refused in the second batch": {func(int, *sqs.SendMessageBatchInput) (map[string]types.BatchResultErrorEntry, error) {
			return refuse(busy(), "17"), nil
		}, 17, 4},
		"never mentioned": {func(int, *sqs.SendMessageBatchInput) (map[string]types.BatchResultErrorEntry, error) {
			return refuse(types.BatchResultErrorEntry{}, "0"), nil
		}, 0, 3},
		"our own fault": {func(int, *sqs.SendMessageBatchInput) (map[string]types.BatchResultErrorEntry, error) {
			return refuse(permanent, "2"), nil
		}, 2, 1},
		"no answer at first": {func(int, *sqs.SendMessageBatchInput) (map[string]types.BatchResultErrorEntry, error) {
			return nil, errors.New("connection reset")
		}, 0, 1},
		"no answer later": {func(n int, _ *sqs.SendMessageBatchInput) (map[string]types.BatchResultErrorEntry, error) {
			if n == 3 {
				return nil, errors.New("connection reset")
			}
			return nil, nil
		}, 20, 3},
		"no answer to the second round": {func(n int, _ *sqs.SendMessageBatchInput) (map[string]types.BatchResultErrorEntry, error) {
			if n == 2 {
				return nil, errors.New("connection reset")
			}
			return refuse(busy(), "6"), nil
		}, 6, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{t: t, answer: c.answer}
			q, _ := sender[int](s)
			sent, err := q.Send(t.Context(), "", numbers(25))
			if sent != c.sent || !errors.Is(err, fault.Unavailable) || len(s.requests) != c.requests {
				t.Errorf("sent %d with error %v in %d requests, want %d with fault.Unavailable in %d", sent, err, len(s.requests), c.sent, c.requests)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q shows what SQS quotes", err)
			}
		})
	}
}

func TestSendingEndsWithItsContext(t *testing.T) {
	s := &service{t: t}
	ctx, cancel := context.WithCancel(t.Context())
	s.answer = func(int, *sqs.SendMessageBatchInput) (map[string]types.BatchResultErrorEntry, error) {
		cancel()
		return map[string]types.BatchResultErrorEntry{"1": busy()}, nil
	}
	q, _ := sender[int](s)
	if sent, err := q.Send(ctx, "", numbers(3)); sent != 1 || !errors.Is(err, context.Canceled) || len(s.requests) != 1 {
		t.Errorf("sent %d with error %v in %d requests, want 1, cancelled, in 1", sent, err, len(s.requests))
	}
}

func TestABatchStaysBelowTheQuotaOfBytes(t *testing.T) {
	s := &service{t: t}
	q, _ := sender[string](s)
	large := strings.Repeat("x", 100<<10)
	if sent, err := q.Send(t.Context(), "", []string{large, large, large, "small"}); sent != 4 || err != nil || len(s.requests) != 2 {
		t.Errorf("sent %d with error %v in %d requests, want 4 in 2", sent, err, len(s.requests))
	}
}

func TestWhatCannotBeAMessageIsABugAndNothingIsSent(t *testing.T) {
	s := &service{t: t}
	text, _ := sender[string](s)
	if sent, err := text.Send(t.Context(), "", []string{"ok", strings.Repeat("x", 256<<10)}); sent != 0 || err == nil || errors.Is(err, fault.Unavailable) {
		t.Errorf("too long: sent %d with error %v, want 0 and a plain error", sent, err)
	}
	floats, _ := sender[float64](s)
	if sent, err := floats.Send(t.Context(), "", []float64{1, math.NaN()}); sent != 0 || err == nil || errors.Is(err, fault.Unavailable) {
		t.Errorf("no JSON: sent %d with error %v, want 0 and a plain error", sent, err)
	}
	if len(s.requests) != 0 {
		t.Errorf("%d requests, want none", len(s.requests))
	}
}

func TestReachSaysWhetherTheQueueAnswers(t *testing.T) {
	s := &service{t: t}
	q, _ := sender[int](s)
	if err := q.Reach(t.Context()); err != nil {
		t.Errorf("error is %v, want none", err)
	}
	s.reach = errors.New("connection refused")
	if err := q.Reach(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("error is %v, want fault.Unavailable", err)
	}
}

func TestTheClientIsMadeAtItsFirstUseAndOnce(t *testing.T) {
	made := 0
	fail := errors.New("no configuration")
	client := queue.Client(func(context.Context) (aws.Config, error) { made++; return aws.Config{Region: "ap-northeast-2"}, fail })
	q := queue.NewSender[int](client, queueURL, clock.System())
	if made != 0 {
		t.Errorf("configured %d times before the first use, want 0", made)
	}
	if _, err := q.Send(t.Context(), "", numbers(1)); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Send's error is %v, want fault.Unavailable", err)
	}
	if err := q.Reach(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Reach's error is %v, want fault.Unavailable", err)
	}
	fail = nil
	first, err := client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second, err := client(t.Context()); err != nil || second != first || made != 3 {
		t.Errorf("got another client (%v) after %d configurations with error %v, want the same after 3", second != first, made, err)
	}
}
