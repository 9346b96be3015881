// Charge makes or finishes one charge for each message of a gateway's queue.
package main

import (
	"context"
	"time"

	"grantline/functions/internal/gateways"
	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/seal"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/billing"
	"grantline/shared/clock"
	"grantline/shared/event"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	vault := secret.NewVault(config, now, log)
	// A call ends before the function, the function before its claim's lease, the lease
	// before the message shows again: so no two senders of one order ever overlap.
	wait, call := gateways.Waits(r)
	function := r.Duration("FUNCTION_TIMEOUT", time.Millisecond, time.Hour, 90*time.Second)
	lease := r.Duration("CHARGE_LEASE", time.Millisecond, time.Hour, 2*time.Minute)
	visibility := r.Duration("CHARGE_VISIBILITY", time.Millisecond, 12*time.Hour, 9*time.Minute)
	if !(call < function && function < lease && lease < visibility) {
		r.Refuse("CHARGE_LEASE", "so that TOSS_TIMEOUT and DODO_TIMEOUT < FUNCTION_TIMEOUT < CHARGE_LEASE < CHARGE_VISIBILITY")
	}
	biller := &billing.Biller{
		Tables: dynamo.Open(context.Background(), r, config), Gateways: gateways.Open(r, vault, log, wait),
		Sealer: seal.New(seal.ReadKeys(r, config), now), Clock: now, Log: log,
		Shards: billing.Shards(r.Int("DUE_SHARDS", 1, 64, 16)), Lease: lease,
	}
	r.Check()

	queue.Serve(func(ctx context.Context, due billing.Due) error {
		return biller.Work(event.Because(ctx, event.Cause{Kind: event.BySchedule}), due.Scope(), due.Subscription)
	}, queue.Options{Log: log, Reserve: call})
}
