// Publish tells the company's servers of a customer's events, for each message of its queue.
package main

import (
	"context"
	"time"

	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/seal"
	"grantline/shared/aws/setting"
	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/delivery"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	// A request ends before the function, the function before whoever sends is taken for dead,
	// that before the message shows again: so no two send to one endpoint of one customer.
	function := r.Duration("FUNCTION_TIMEOUT", time.Millisecond, time.Hour, 90*time.Second)
	lease := r.Duration("PUBLISH_LEASE", time.Millisecond, time.Hour, 2*time.Minute)
	visibility := r.Duration("EVENTS_VISIBILITY", time.Millisecond, 12*time.Hour, 9*time.Minute)
	if !(delivery.Wait < function && function < lease && lease < visibility) {
		r.Refuse("PUBLISH_LEASE", "so that 15s < FUNCTION_TIMEOUT < PUBLISH_LEASE < EVENTS_VISIBILITY")
	}
	goods, err := catalog.Embedded()
	if err != nil {
		r.Refuse("catalog.json", "a catalog that can be sold from: "+err.Error())
	}
	tables := dynamo.Open(context.Background(), r, config)
	courier := delivery.Courier{By: delivery.Transport()}
	publisher := &delivery.Publisher{
		Tables: tables, Courier: courier, Clock: now, Log: log, Catalog: goods, Lease: lease,
		Registry: &delivery.Registry{Tables: tables, Sealer: seal.New(seal.ReadKeys(r, config), now), Clock: now, Courier: courier},
	}
	r.Check()

	queue.Serve(publisher.Work, queue.Options{Log: log, Reserve: 2 * delivery.Wait})
}
