package queue

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"grantline/shared/clock"
)

// Schedule answers a schedule until the environment of the function ends. It does not
// return. handler gets the instant that the schedule was due at, which may be past; what
// it returns is answered as JSON.
func Schedule(handler func(ctx context.Context, at time.Time) (any, error)) {
	lambda.Start(ScheduleHandler(handler, clock.System()))
}

// tick is the input of a schedule. EventBridge's own events have more fields and the same
// one for the time (Amazon EventBridge, events of a scheduled rule).
type tick struct {
	Time *time.Time `json:"time"`
}

// ScheduleHandler is what Schedule gives to the Lambda runtime. The event is
// {"time":"<RFC 3339>"}; without a time it is due now.
func ScheduleHandler(handler func(ctx context.Context, at time.Time) (any, error), c clock.Clock) func(context.Context, json.RawMessage) (any, error) {
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		var t tick
		if err := json.Unmarshal(event, &t); err != nil {
			return nil, errors.New(`queue: the event of a schedule should be {"time":"<RFC 3339>"}`)
		}
		at := c.Now()
		if t.Time != nil {
			at = t.Time.UTC()
		}
		return handler(ctx, at)
	}
}
