// Command work is the test system's consumer: a message is "ok …", "fail:n …", which fails n
// times, or "hang:file …", which hangs until the file is there.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"grantline/infra/local/stack/testdata/note"
	"grantline/shared/clock"
)

func main() { lambda.Start(handle) }

func handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	var response events.SQSEventResponse
	for _, r := range e.Records {
		what, _, _ := strings.Cut(r.Body, " ")
		verb, argument, _ := strings.Cut(what, ":")
		receives, err := strconv.Atoi(r.Attributes["ApproximateReceiveCount"])
		if err != nil {
			return response, err
		}
		now := clock.System().Now()
		if err := note.Put(ctx, "work "+r.Body, fmt.Sprintf("%s receive %d", now.Format(time.RFC3339), receives)); err != nil {
			return response, err
		}
		failed := false
		switch verb {
		case "fail":
			times, err := strconv.Atoi(argument)
			failed = err != nil || receives <= times
		case "hang":
			for {
				if _, err := os.Stat(argument); err == nil {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		if failed {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: r.MessageId})
		}
	}
	return response, nil
}
