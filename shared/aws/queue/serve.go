// Package queue takes work from SQS and hands work to it, and answers schedules. The one
// idea: a message is one piece of work that may come twice and may fail alone; what failed
// is named to SQS, which brings that again and nothing else.
package queue

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"grantline/shared/aws/setting"
	"grantline/shared/fault"
)

// Options are those of a consumer. The zero Options are good.
type Options struct {
	// AtOnce is how many messages of a batch are worked on at the same time; 10 if 0.
	AtOnce int
	// Reserve is how long before the end of the invocation nothing is begun any more that
	// had to wait for its turn; 5 s if 0. It should be the time that one message takes. The
	// first AtOnce messages are begun in any case.
	Reserve time.Duration
	// Report is how long before the end the context of the work ends, so that what was done
	// by then is reported; 500 ms if 0. Work must return when its context ends: a function
	// that is cut off reports nothing, and everything of its batch comes again.
	Report time.Duration
	// Log is setting.Logger if nil.
	Log *slog.Logger
}

func (o Options) filled() Options {
	if o.AtOnce <= 0 {
		o.AtOnce = 10
	}
	if o.Reserve <= 0 {
		o.Reserve = 5 * time.Second
	}
	if o.Report <= 0 {
		o.Report = 500 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = setting.Logger()
	}
	return o
}

// Serve works on messages until the environment of the function ends. It does not return.
// work gets each message decoded from JSON, and is called by several goroutines at once;
// an error or a panic of it makes that message come again and leaves the others alone. A
// message that is no T comes again too, until SQS puts it with the dead letters.
func Serve[T any](work func(ctx context.Context, message T) error, o Options) {
	lambda.Start(Handler(work, o))
}

var (
	errUnreadable = errors.New("the message cannot be read")
	errNotBegun   = errors.New("the invocation was about to end")
	errPanic      = errors.New("the work panicked")
	errNoID       = errors.New("queue: a message that failed has no id to name it by")
)

// Handler is what Serve gives to the Lambda runtime. It needs ReportBatchItemFailures. An
// error means that the whole batch failed: the one case is a failed message without an id.
func Handler[T any](work func(ctx context.Context, message T) error, o Options) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	o = o.filled()
	return func(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
		begin, cancelBegin := before(ctx, o.Reserve)
		defer cancelBegin()
		within, cancelWithin := before(ctx, o.Report)
		defer cancelWithin()

		failures := make([]error, len(event.Records))
		var all sync.WaitGroup
		free := make(chan struct{}, o.AtOnce)
		for i, record := range event.Records {
			free <- struct{}{}
			if i >= o.AtOnce && begin.Err() != nil || ctx.Err() != nil {
				failures[i] = errNotBegun
				<-free
				continue
			}
			all.Go(func() {
				defer func() { <-free }()
				failures[i] = one(within, work, record, o.Log)
			})
		}
		all.Wait()

		// An empty list is a success of everything; it must not be null.
		out := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
		for i, err := range failures {
			if err == nil {
				continue
			}
			record := event.Records[i]
			level := slog.LevelError
			if fault.Retryable(err) || errors.Is(err, errNotBegun) {
				level = slog.LevelWarn
			}
			o.Log.Log(ctx, level, "A message failed and comes again.",
				"messageId", record.MessageId, "received", record.Attributes["ApproximateReceiveCount"], "error", err.Error())
			if record.MessageId == "" {
				return events.SQSEventResponse{}, errNoID
			}
			out.BatchItemFailures = append(out.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
		}
		return out, nil
	}
}

// before returns a context that ends d before ctx does, if ctx is going to end.
func before(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-d))
}

// one works on one message.
func one[T any](ctx context.Context, work func(context.Context, T) error, record events.SQSMessage, log *slog.Logger) (err error) {
	defer func() {
		if recovered := recover(); recovered != nil {
			setting.LogPanic(ctx, log, "The work on a message panicked.", recovered, "messageId", record.MessageId)
			err = errPanic
		}
	}()
	message, err := decode[T](record.Body)
	if err != nil {
		return err
	}
	return work(ctx, message)
}

// decode reads one JSON value that has no field unknown to T. What encoding/json says of a
// failure may quote the message, and is left out.
func decode[T any](body string) (message T, err error) {
	body = strings.TrimSpace(body)
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&message); err != nil {
		return message, errUnreadable
	}
	if _, err := d.Token(); err != io.EOF || body == "null" {
		return message, errUnreadable
	}
	return message, nil
}
