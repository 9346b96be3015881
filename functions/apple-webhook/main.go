// Apple-webhook takes App Store Server Notifications V2, signed by Apple.
package main

import (
	"context"
	"net/http"

	"grantline/functions/internal/stores"
	"grantline/shared/aws/apigw"
	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/notice"
	"grantline/shared/table"
	"grantline/shared/web"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	webhooks := &web.Webhooks{
		Provider: "apple", Clock: now, Log: log,
		Queue:  queue.NewSender[notice.Hint](queue.Client(config), r.QueueURL("NOTICES_QUEUE_URL"), now),
		Scopes: map[table.Scope]web.Webhook{},
	}
	// The tables are for what is known of Apple's certificates, and for nothing else.
	if shop := stores.OpenApple(r, dynamo.Open(context.Background(), r, config), now, log); shop != nil {
		webhooks.Scopes[table.Default] = func(ctx context.Context, _ http.Header, body []byte) (notice.Hint, error) {
			return shop.Verifier.ReadHint(ctx, body)
		}
	}
	r.Check()

	apigw.Start(webhooks)
}
