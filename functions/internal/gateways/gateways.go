// Package gateways is the one place where a function's settings become the gateways that
// it charges through: those of the default project, each if it has a key.
package gateways

import (
	"log/slog"
	"time"

	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/billing"
	"grantline/shared/dodo"
	"grantline/shared/table"
	"grantline/shared/toss"
)

// Open reads the settings of each gateway that has a key. timeout bounds a call: a
// gateway's own setting for a function that may wait for it, or the same for all.
func Open(r *setting.Reader, vault *secret.Vault, log *slog.Logger, timeout func(gateway string) time.Duration) billing.Gateways {
	open := billing.Gateways{}
	add := func(name string, g billing.Gateway, err error, address string) {
		if err != nil {
			r.Refuse(address, "usable: "+err.Error())
			return
		}
		open[billing.GatewayName{Scope: table.Default, Gateway: name}] = g
	}
	if key := r.OptionalSecret("TOSS_SECRET_KEY"); key.Given() {
		g, err := toss.New(toss.Config{
			URL: r.URL("TOSS_API_URL", "the address of the Toss Payments API"), SecretKey: vault.Open(key), Timeout: timeout(toss.Name), Log: log,
		})
		add(toss.Name, g, err, "TOSS_API_URL")
	}
	if key := r.OptionalSecret("DODO_API_KEY"); key.Given() {
		g, err := dodo.New(dodo.Config{
			URL: r.URL("DODO_API_URL", "the address of the Dodo Payments API"), Key: vault.Open(key), Timeout: timeout(dodo.Name), Log: log,
		})
		add(dodo.Name, g, err, "DODO_API_URL")
	}
	return open
}

// Waits are how long a function that works for the queue waits for each gateway (facts of
// the providers: Toss shows approvals 40 s after the request; Dodo answers before it has
// decided), and the longest of them.
func Waits(r *setting.Reader) (timeout func(gateway string) time.Duration, longest time.Duration) {
	waits := map[string]time.Duration{
		toss.Name: r.Duration("TOSS_TIMEOUT", time.Millisecond, time.Hour, 65*time.Second),
		dodo.Name: r.Duration("DODO_TIMEOUT", time.Millisecond, time.Hour, 30*time.Second),
	}
	return func(gateway string) time.Duration { return waits[gateway] }, max(waits[toss.Name], waits[dodo.Name])
}
