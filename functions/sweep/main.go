// Sweep repairs what nobody told us: it holds each gateway's books against ours, a day at
// a time, asks stores about purchases whose end passed without word, and fetches what they
// could not deliver.
package main

import (
	"context"
	"time"

	"grantline/functions/internal/gateways"
	"grantline/functions/internal/stores"
	"grantline/shared/apple"
	"grantline/shared/appsintoss"
	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/seal"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/billing"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/notice"
	"grantline/shared/play"
	"grantline/shared/purchase"
	"grantline/shared/sweep"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	vault := secret.NewVault(config, now, log)
	wait, _ := gateways.Waits(r)
	biller := &billing.Biller{
		Tables: dynamo.Open(context.Background(), r, config), Gateways: gateways.Open(r, vault, log, wait),
		Sealer: seal.New(seal.ReadKeys(r, config), now), Clock: now, Log: log,
		Shards: billing.Shards(r.Int("DUE_SHARDS", 1, 64, 16)),
		Lease:  r.Duration("CHARGE_LEASE", time.Second, time.Hour, 2*time.Minute),
	}
	jobs := []sweep.Job{func(ctx context.Context) (time.Time, error) { return sweep.Compare(ctx, biller) }}
	sell, histories := map[string]purchase.Store{}, map[string][]notice.History{}
	if shop := stores.OpenApple(r, biller.Tables, now, log); shop != nil {
		jobs = append(jobs, shop.Revocation.Refresh)
		if store := shop.Store(r, vault, now, log); store.API != nil { // else there is nobody to ask
			sell[apple.Name], histories[apple.Name] = store, store.Histories(log)
		}
	}
	if store := stores.OpenPlay(r, vault, now, log); store != nil {
		sell[play.Name], histories[play.Name] = store, store.Histories()
	}
	if store := stores.OpenAppsInToss(r, vault, now, log); store != nil {
		sell[appsintoss.Name], histories[appsintoss.Name] = stores.AppsInToss(r, store), nil // it keeps none
	}
	if len(sell) > 0 {
		book := stores.Book(r, customer.Directory{Tables: biller.Tables}, sell, now, log)
		queued := queue.NewSender[notice.Hint](queue.Client(config), r.QueueURL("NOTICES_QUEUE_URL"), now)
		jobs = append(jobs, sweep.Repairs(book, histories, &notice.Missed{Tables: biller.Tables, Queue: queued, Clock: now, Log: log})...)
	}
	r.Check()

	queue.Schedule(func(ctx context.Context, _ time.Time) (any, error) { return sweep.Run(ctx, now, jobs) })
}
