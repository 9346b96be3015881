package stack_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"grantline/infra/local/outbox"
	"grantline/shared/aws/mail"
	"grantline/shared/aws/text"
	"grantline/shared/clock"
	"grantline/shared/money"
	"grantline/shared/reminder"
	"grantline/shared/table"
)

// What a function finds in its environment is enough to tell a customer by every way, and a
// person then sees it.
func TestWhatAFunctionSendsIsInTheOutbox(t *testing.T) {
	s := running(t)
	v := get[info](t, "GET", s.URL()+"/info", "").Variables
	config := aws.Config{Region: v["AWS_REGION"], Credentials: credentials.NewStaticCredentialsProvider(v["AWS_ACCESS_KEY_ID"], v["AWS_SECRET_ACCESS_KEY"], "")}
	link, err := reminder.ParseLink(v["REMINDER_LINK"])
	if err != nil || v["REMINDER_SMS"] != "on" {
		t.Fatalf("REMINDER_LINK is %q (%v) and REMINDER_SMS %q, want a link and on", v["REMINDER_LINK"], err, v["REMINDER_SMS"])
	}
	var log bytes.Buffer
	courier := reminder.Courier{
		Log: slog.New(slog.NewTextHandler(&log, nil)), Link: link,
		Channels: []reminder.Channel{
			mail.New(func(context.Context) (mail.API, error) {
				return sesv2.NewFromConfig(config, func(o *sesv2.Options) { o.BaseEndpoint = aws.String(v["AWS_ENDPOINT_URL_SESV2"]) }), nil
			}, v["REMINDER_FROM"]),
			text.New(func(context.Context) (text.API, error) {
				return sns.NewFromConfig(config, func(o *sns.Options) { o.BaseEndpoint = aws.String(v["AWS_ENDPOINT_URL_SNS"]) }), nil
			}),
			&reminder.Webhook{URL: v["REMINDER_WEBHOOK_URL"], Clock: clock.Fixed(s.Now()), Secrets: func(context.Context, bool) (string, error) {
				return v["REMINDER_WEBHOOK_SECRET"], nil
			}},
		},
	}
	if err := courier.Tell(t.Context(), reminder.Reminder{
		ID: "rem_1", Scope: table.Default, SubscriptionID: "s", PlanName: "Premium", CustomerID: "outboxed", Amount: money.Of(999, "USD"),
		NextAttemptAt: s.Now().Add(24 * time.Hour), Zone: "UTC", Email: "outboxed@example.com", Phone: "+12025550100",
	}); err != nil {
		t.Fatalf("got %v, want the customer told; the log:\n%s", err, log.String())
	}
	var to []string
	for _, m := range get[struct{ Messages []outbox.Message }](t, "GET", s.URL()+"/_local/outbox?format=json", "").Messages {
		to = append(to, m.Channel+" "+m.To)
	}
	if want := []string{"email outboxed@example.com", "sms +12025550100", "webhook outboxed"}; !slices.Equal(to, want) {
		t.Errorf("the outbox has %v, want %v", to, want)
	}
	if status, page := call(t, "GET", s.URL()+"/_local/outbox", ""); status != 200 || !bytes.Contains([]byte(page), []byte("보낼 편지함 · Outbox")) {
		t.Errorf("the page is %d %s, want 200 and a title in both languages", status, page)
	}
}
