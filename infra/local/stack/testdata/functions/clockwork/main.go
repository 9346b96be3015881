// Command clockwork is the test system's schedule. It is idle until the next note of "wake",
// an instant in RFC 3339, or for ten years.
package main

import (
	"context"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"grantline/infra/local/stack/testdata/note"
)

type tick struct {
	Time time.Time `json:"time"`
}

type promise struct {
	IdleUntil time.Time `json:"idleUntil"`
}

func main() { lambda.Start(handle) }

func handle(ctx context.Context, t tick) (promise, error) {
	if err := note.Put(ctx, "ticks", t.Time.Format(time.RFC3339)); err != nil {
		return promise{}, err
	}
	wakes, err := note.List(ctx, "wake")
	if err != nil {
		return promise{}, err
	}
	for _, text := range wakes { // sorted
		if at, err := time.Parse(time.RFC3339, text); err == nil && at.After(t.Time) {
			return promise{at}, nil
		}
	}
	return promise{t.Time.AddDate(10, 0, 0)}, nil
}
