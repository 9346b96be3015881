// Charge-fanout hands what is due to the gateways' queues, each minute.
package main

import (
	"context"
	"time"

	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/setting"
	"grantline/shared/billing"
	"grantline/shared/clock"
	"grantline/shared/table"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	fanout := &billing.Fanout{
		Tables: dynamo.Open(context.Background(), r, config), Clock: now, Log: log,
		Shards: billing.Shards(r.Int("DUE_SHARDS", 1, 64, 16)),
		Lines: []billing.Line{{
			GatewayName: billing.GatewayName{Scope: table.Default, Gateway: "toss"},
			Queue:       queue.NewSender[billing.Due](queue.Client(config), r.QueueURL("TOSS_CHARGE_QUEUE_URL"), now),
			PerMinute:   r.Int("TOSS_PACE_PER_MINUTE", 1, 1_000_000, 300),
		}},
	}
	r.Check()

	queue.Schedule(func(ctx context.Context, _ time.Time) (any, error) {
		report, err := fanout.Tick(ctx)
		log.InfoContext(ctx, "handed over", "sent", report.Sent, "behindSeconds", report.Behind, "error", err)
		return report, err
	})
}
