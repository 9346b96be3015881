// Notices looks at what a notice points to.
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
	"grantline/shared/dodo"
	"grantline/shared/notice"
	"grantline/shared/play"
	"grantline/shared/purchase"
	"grantline/shared/toss"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	vault := secret.NewVault(config, now, log)
	// As in the function that charges: what a look finds due may be charged at once.
	wait, call := gateways.Waits(r)
	function := r.Duration("FUNCTION_TIMEOUT", time.Millisecond, time.Hour, 90*time.Second)
	lease := r.Duration("CHARGE_LEASE", time.Millisecond, time.Hour, 2*time.Minute)
	visibility := r.Duration("NOTICES_VISIBILITY", time.Millisecond, 12*time.Hour, 9*time.Minute)
	if !(call < function && function < lease && lease < visibility) {
		r.Refuse("CHARGE_LEASE", "so that TOSS_TIMEOUT and DODO_TIMEOUT < FUNCTION_TIMEOUT < CHARGE_LEASE < NOTICES_VISIBILITY")
	}
	biller := &billing.Biller{
		Tables: dynamo.Open(context.Background(), r, config), Gateways: gateways.Open(r, vault, log, wait),
		Sealer: seal.New(seal.ReadKeys(r, config), now), Clock: now, Log: log,
		Shards: billing.Shards(r.Int("DUE_SHARDS", 1, 64, 16)), Lease: lease,
	}
	charges := billing.Notices{Biller: biller}
	look := map[string]notice.Looker{toss.Name: charges, dodo.Name: charges}
	sell := map[string]purchase.Store{}
	if shop := stores.OpenApple(r, biller.Tables, now, log); shop != nil {
		store := shop.Store(r, vault, now, log)
		store.ReportUsage = r.Choice("APPLE_CONSUMPTION", "off", "on", "off") == "on"
		sell[apple.Name] = store
	}
	if store := stores.OpenPlay(r, vault, now, log); store != nil {
		store.ReviewRefunds = r.Choice("PLAY_REFUND_REVIEW", "off", "on", "off") == "on"
		sell[play.Name] = store
	}
	if store := stores.OpenAppsInToss(r, vault, now, log); store != nil {
		sell[appsintoss.Name] = stores.AppsInToss(r, store)
	}
	book := stores.Book(r, customer.Directory{Tables: biller.Tables}, sell, now, log)
	for name := range sell {
		look[name] = purchase.Notices{Book: book}
	}
	r.Check()

	desk := &notice.Desk{Tables: biller.Tables, Clock: now, Log: log, Look: look}
	queue.Serve(desk.Receive, queue.Options{Log: log, Reserve: call})
}
