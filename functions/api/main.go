// Api serves customers, subscriptions and orders to apps and servers.
package main

import (
	"context"
	"errors"
	"time"

	"grantline/functions/internal/gateways"
	"grantline/shared/abuse"
	"grantline/shared/aws/apigw"
	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/seal"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/delivery"
	"grantline/shared/fault"
	"grantline/shared/table"
	"grantline/shared/web"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	vault := secret.NewVault(config, now, log)
	tables := dynamo.Open(context.Background(), r, config)
	goods, err := catalog.Embedded()
	if err != nil {
		r.Refuse("catalog.json", "a catalog that can be sold from: "+err.Error())
	}
	customers := customer.Directory{Tables: tables, Identity: customer.Identity{Key: vault.Open(r.Secret("IDENTITY_KEY"))}}
	callers := apigw.Callers(r, vault, now, log)
	charges := queue.NewSender[billing.Due](queue.Client(config), r.QueueURL("TOSS_CHARGE_QUEUE_URL"), now)
	// A request waits no longer for any gateway; slower ones are finished by the queue.
	wait := r.Duration("SIGNUP_TIMEOUT", time.Millisecond, 22*time.Second, 20*time.Second)
	biller := &billing.Biller{
		Tables: tables, Customers: customers, Catalog: goods,
		Gateways: gateways.Open(r, vault, log, func(string) time.Duration { return wait }),
		Sealer:   seal.New(seal.ReadKeys(r, config), now), Clock: now, Log: log,
		Shards: billing.Shards(r.Int("DUE_SHARDS", 1, 64, 16)),
		// A request gives up long before; the queue takes over when the lease has passed.
		Lease: r.Duration("CHARGE_LEASE", time.Second, time.Hour, 2*time.Minute),
	}
	policy, err := abuse.ParsePolicy(r.OptionalText("ABUSE_POLICY", ""))
	if err != nil {
		r.Refuse("ABUSE_POLICY", err.Error())
	}
	r.Check()

	apigw.Start(&web.API{
		Callers: callers, Tables: tables, Customers: customers, Biller: biller, Clock: now, Log: log,
		Abuse: policy, RequestID: apigw.RequestID,
		Endpoints: &delivery.Registry{
			Tables: tables, Sealer: biller.Sealer, Clock: now, Courier: delivery.Courier{By: delivery.Transport()},
		},
		Health: func(ctx context.Context) error {
			_, err := tables.Get(ctx, table.Key{Table: table.Orders, Partition: table.Default.Key("health")})
			if errors.Is(err, fault.NotFound) {
				err = nil
			}
			return errors.Join(err, charges.Reach(ctx))
		},
	})
}
