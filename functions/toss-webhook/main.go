// Toss-webhook takes the webhooks of Toss Payments, which are unsigned: each is a hint.
package main

import (
	"context"
	"net/http"

	"grantline/shared/aws/apigw"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/notice"
	"grantline/shared/table"
	"grantline/shared/toss"
	"grantline/shared/web"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	webhooks := &web.Webhooks{
		Provider: "toss", Clock: now, Log: log,
		Queue:  queue.NewSender[notice.Hint](queue.Client(config), r.QueueURL("NOTICES_QUEUE_URL"), now),
		Scopes: map[table.Scope]web.Webhook{table.Default: read},
	}
	r.Check()

	apigw.Start(webhooks)
}

func read(_ context.Context, header http.Header, body []byte) (notice.Hint, error) {
	h, err := toss.ReadHint(header, body)
	return notice.Hint{ID: h.ID, Type: h.Type, Order: h.OrderID, Payment: h.Payment}, err
}
