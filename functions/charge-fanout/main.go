// Charge-fanout hands what is due to the queues that work on it, each minute.
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

const most = 1_000_000 // a minute

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	fanout := &billing.Fanout{
		Tables: dynamo.Open(context.Background(), r, config), Clock: now, Log: log,
		Shards: billing.Shards(r.Int("DUE_SHARDS", 1, 64, 16)),
	}
	client := queue.Client(config)
	// serve adds a gateway's own lane and, with a pace of its own, the one of its retries.
	serve := func(gateway, url string, perMinute, retries int) {
		line := billing.Line{
			GatewayName: billing.GatewayName{Scope: table.Default, Gateway: gateway}, Lane: gateway,
			Queue: queue.NewSender[billing.Due](client, r.QueueURL(url), now), PerMinute: perMinute,
		}
		fanout.Lines = append(fanout.Lines, line)
		if retries > 0 {
			line.Lane, line.PerMinute = billing.RetriesLane(gateway), retries
			fanout.Lines = append(fanout.Lines, line)
		}
	}
	// Unless told otherwise, retries take half of what their gateway is asked for at most.
	pace := r.Int("TOSS_PACE_PER_MINUTE", 1, most, 300)
	serve("toss", "TOSS_CHARGE_QUEUE_URL", pace, r.Int("TOSS_RETRIES_PER_MINUTE", 1, most, (pace+1)/2))
	// Of the 100 requests that Dodo Payments allows in a minute, a tenth is for look-ups.
	pace = r.Int("DODO_PACE_PER_MINUTE", 1, most, 90)
	retries := r.Int("DODO_RETRIES_PER_MINUTE", 1, most, (pace+1)/2)
	if r.OptionalText("DODO_CHARGE_QUEUE_URL", "") != "" {
		serve("dodo", "DODO_CHARGE_QUEUE_URL", pace, retries)
	}
	if r.OptionalText("DELIVER_QUEUE_URL", "") != "" {
		serve("deliver", "DELIVER_QUEUE_URL", 600, 0)
	}
	r.Check()

	queue.Schedule(func(ctx context.Context, _ time.Time) (any, error) {
		report, err := fanout.Tick(ctx)
		log.InfoContext(ctx, "handed over", "sent", report.Sent, "behindSeconds", report.Behind, "error", err)
		return report, err
	})
}
