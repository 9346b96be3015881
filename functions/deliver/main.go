// Deliver tells customers, for each message of its queue, that a charge will be tried again.
package main

import (
	"context"
	"time"

	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/seal"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/billing"
	"grantline/shared/clock"
)

// longest is what one message may take: three channels one after the other, each with its
// repeats, between two looks at the tables.
const longest = 45 * time.Second

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	biller := &billing.Biller{
		Tables: dynamo.Open(context.Background(), r, config), Sealer: seal.New(seal.ReadKeys(r, config), now), Clock: now, Log: log,
		Shards:  billing.Shards(r.Int("DUE_SHARDS", 1, 64, 16)),
		Courier: courier(r, config, secret.NewVault(config, now, log), now, log),
	}
	r.Check()

	queue.Serve(func(ctx context.Context, due billing.Due) error {
		return biller.Deliver(ctx, due.Scope(), due.Subscription)
	}, queue.Options{Log: log, Reserve: longest})
}
