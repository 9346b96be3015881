// Notices looks at what a notice points to.
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
	"grantline/shared/notice"
	"grantline/shared/table"
	"grantline/shared/toss"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	vault := secret.NewVault(config, now, log)
	// As in the function that charges: what a look finds due may be charged at once.
	call := r.Duration("TOSS_TIMEOUT", time.Millisecond, time.Hour, 65*time.Second)
	function := r.Duration("FUNCTION_TIMEOUT", time.Millisecond, time.Hour, 90*time.Second)
	lease := r.Duration("CHARGE_LEASE", time.Millisecond, time.Hour, 2*time.Minute)
	visibility := r.Duration("NOTICES_VISIBILITY", time.Millisecond, 12*time.Hour, 9*time.Minute)
	if !(call < function && function < lease && lease < visibility) {
		r.Refuse("CHARGE_LEASE", "so that TOSS_TIMEOUT < FUNCTION_TIMEOUT < CHARGE_LEASE < NOTICES_VISIBILITY")
	}
	biller := &billing.Biller{
		Tables: dynamo.Open(context.Background(), r, config), Gateways: billing.Gateways{},
		Sealer: seal.New(seal.ReadKeys(r, config), now), Clock: now, Log: log,
		Shards: billing.Shards(r.Int("DUE_SHARDS", 1, 64, 16)), Lease: lease,
	}
	if key := r.OptionalSecret("TOSS_SECRET_KEY"); key.Given() {
		gateway, err := toss.New(toss.Config{
			URL: r.URL("TOSS_API_URL", "the address of the Toss Payments API"), SecretKey: vault.Open(key), Timeout: call, Log: log,
		})
		if err != nil {
			r.Refuse("TOSS_API_URL", "usable: "+err.Error())
		}
		biller.Gateways[billing.GatewayName{Scope: table.Default, Gateway: "toss"}] = gateway
	}
	r.Check()

	charges := looker{biller}
	desk := &notice.Desk{Tables: biller.Tables, Clock: now, Log: log, Look: map[string]notice.Looker{"toss": charges, "dodo": charges}}
	queue.Serve(desk.Receive, queue.Options{Log: log, Reserve: call})
}
