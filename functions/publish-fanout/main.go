// Publish-fanout hands what there is to tell the company's servers to the queue, each minute.
package main

import (
	"context"
	"time"

	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/delivery"
	"grantline/shared/table"
	"grantline/shared/web"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	const name, what = "EVENT_SCOPES", "projects and environments such as default/production"
	scopes := []table.Scope{table.Default, {Project: table.Default.Project, Environment: "sandbox"}}
	list := r.List(name, what)
	if len(list) > 0 {
		scopes = nil
	}
	for _, text := range list {
		scope, err := web.ParseScope(text)
		if err != nil {
			r.Refuse(name, what)
			break
		}
		scopes = append(scopes, scope)
	}
	fanout := &delivery.Fanout{
		Tables: dynamo.Open(context.Background(), r, config), Clock: now, Log: log, Scopes: scopes,
		Queue: queue.NewSender[delivery.Wake](queue.Client(config), r.QueueURL("EVENTS_QUEUE_URL"), now),
	}
	r.Check()

	queue.Schedule(func(ctx context.Context, _ time.Time) (any, error) {
		report, err := fanout.Tick(ctx)
		log.InfoContext(ctx, "handed over", "sent", report.Sent, "behindSeconds", report.Behind, "error", err)
		return report, err
	})
}
