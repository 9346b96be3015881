// Command echo is the test system's HTTP function.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"grantline/infra/local/stack/testdata/note"
	"grantline/shared/clock"
)

func main() { lambda.Start(handle) }

func handle(ctx context.Context, e events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	path := strings.TrimPrefix(e.RawPath, "/")
	var body any
	switch {
	case path == "info":
		variables := map[string]string{}
		for _, v := range os.Environ() {
			name, value, _ := strings.Cut(v, "=")
			variables[name] = value
		}
		body = map[string]any{"pid": os.Getpid(), "now": clock.System().Now(), "variables": variables, "program": os.Args[0]}
	case path == "wait": // until the file named in the body is there
		if err := os.WriteFile(e.Body+fmt.Sprintf(".%d", os.Getpid()), nil, 0o600); err != nil {
			return events.APIGatewayV2HTTPResponse{}, err
		}
		for {
			if _, err := os.Stat(e.Body); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		body = map[string]any{"pid": os.Getpid()}
	case path == "send":
		c, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return events.APIGatewayV2HTTPResponse{}, err
		}
		for line := range strings.SplitSeq(e.Body, "\n") {
			if _, err := sqs.NewFromConfig(c).SendMessage(ctx, &sqs.SendMessageInput{
				QueueUrl: aws.String(os.Getenv("WORK_URL")), MessageBody: &line,
			}); err != nil {
				return events.APIGatewayV2HTTPResponse{}, err
			}
		}
		body = "sent"
	case path == "put":
		who, what, _ := strings.Cut(e.Body, " ")
		if err := note.Put(ctx, who, what); err != nil {
			return events.APIGatewayV2HTTPResponse{}, err
		}
		body = "put"
	case strings.HasPrefix(path, "notes/"):
		list, err := note.List(ctx, strings.TrimPrefix(path, "notes/"))
		if err != nil {
			return events.APIGatewayV2HTTPResponse{}, err
		}
		body = list
	default:
		body = e
	}
	text, err := json.Marshal(body)
	if err != nil {
		return events.APIGatewayV2HTTPResponse{}, err
	}
	return events.APIGatewayV2HTTPResponse{StatusCode: 200, Headers: map[string]string{"content-type": "application/json"}, Body: string(text)}, nil
}
