// Sweep holds each gateway's books against ours, a day at a time.
package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"grantline/functions/internal/gateways"
	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/seal"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/billing"
	"grantline/shared/clock"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	wait, _ := gateways.Waits(r)
	biller := &billing.Biller{
		Tables: dynamo.Open(context.Background(), r, config), Gateways: gateways.Open(r, secret.NewVault(config, now, log), log, wait),
		Sealer: seal.New(seal.ReadKeys(r, config), now), Clock: now, Log: log,
		Shards: billing.Shards(r.Int("DUE_SHARDS", 1, 64, 16)),
		Lease:  r.Duration("CHARGE_LEASE", time.Second, time.Hour, 2*time.Minute),
	}
	r.Check()

	queue.Schedule(func(ctx context.Context, _ time.Time) (any, error) { return sweep(ctx, biller) })
}

// report is what a caller that knows of no other change may rely on: there is nothing to
// do before IdleUntil.
type report struct {
	IdleUntil *time.Time `json:"idleUntil,omitempty"`
}

// sweep compares every day that is over, one account after another.
func sweep(ctx context.Context, b *billing.Biller) (report, error) {
	var names []billing.GatewayName
	for name := range b.Gateways {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b billing.GatewayName) int {
		return strings.Compare(a.Scope.String()+a.Gateway, b.Scope.String()+b.Gateway)
	})
	var failed error
	idle := b.Clock.Now().Add(24 * time.Hour)
	for _, name := range names {
		next, err := b.Compare(ctx, name)
		for err == nil && !next.After(b.Clock.Now()) {
			next, err = b.Compare(ctx, name)
		}
		if failed = errors.Join(failed, err); next.Before(idle) {
			idle = next
		}
	}
	if failed != nil {
		return report{}, failed
	}
	return report{&idle}, nil
}
