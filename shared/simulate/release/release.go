// Package release wires the functions of one version, as the mains of functions/ and
// template.yaml wire them. The one idea: whatever around the product is the same for all
// versions comes in by types that no version changes (see New), so that this package and the
// product's own can be copied from any commit and stand beside themselves.
package release

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"grantline/shared/abuse"
	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/delivery"
	"grantline/shared/event"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/sweep"
	"grantline/shared/table"
)

// Around is what the functions have around them. What is of the default project's production
// is by its name.
type Around struct {
	Tables    table.Tables
	Clock     clock.Clock
	Log       *slog.Logger
	Sealer    billing.Sealer
	Catalog   *catalog.Catalog
	Gateways  map[string]billing.Gateway  // toss, dodo
	Stores    map[string]purchase.Store   // apple, play, appsintoss
	Histories map[string][]notice.History // of stores; one without any is reviewed all the same
	Courier   billing.Courier             // tells customers
	Servers   http.RoundTripper           // the company's; nil: nobody is told
	Charges   map[string]billing.Queue    // toss, dodo, deliver
	Notices   Hints
	Wakes     delivery.Queue
	Settings
	// Without names layers that are switched off: compare, review, missed, lease.
	Without map[string]bool
}

// Hints is the queue of what gateways and stores tell.
type Hints interface {
	Send(ctx context.Context, group string, messages []notice.Hint) (sent int, err error)
}

// Settings are what a deploy may change without its code.
type Settings struct {
	Shards    billing.Shards
	Lease     time.Duration
	TossPace  int // a minute
	DodoPace  int
	Restore   purchase.RestorePolicy
	Abuse     abuse.Policy
	TestsADay int
}

// Release is the functions' wiring.
type Release struct {
	Biller    *billing.Biller
	Book      *purchase.Book
	Directory customer.Directory
	Desk      *notice.Desk
	Registry  *delivery.Registry
	Publisher *delivery.Publisher

	fanout  *billing.Fanout
	publish *delivery.Fanout
	jobs    []sweep.Job
}

// Wire makes the functions.
func Wire(a Around) *Release {
	if a.Without["lease"] {
		a.Lease = time.Millisecond
	}
	gateways := billing.Gateways{}
	for name, g := range a.Gateways {
		gateways[billing.GatewayName{Scope: table.Default, Gateway: name}] = g
	}
	identity := customer.Identity{Key: func(context.Context, bool) (string, error) {
		return "an identity key of thirty-two bytes", nil
	}}
	r := &Release{Directory: customer.Directory{Tables: a.Tables, Identity: identity}}
	r.Biller = &billing.Biller{
		Tables: a.Tables, Customers: r.Directory, Catalog: a.Catalog, Gateways: gateways, Sealer: a.Sealer, Clock: a.Clock, Log: a.Log,
		Shards: a.Shards, Courier: a.Courier, Lease: a.Lease,
	}
	r.Book = &purchase.Book{
		Tables: a.Tables, Customers: r.Directory, Catalog: a.Catalog, Stores: a.Stores, Clock: a.Clock, Log: a.Log,
		TestsPerDay: a.TestsADay, Restore: a.Restore, Abuse: a.Abuse,
	}
	look := map[string]notice.Looker{}
	for name := range a.Gateways {
		look[name] = billing.Notices{Biller: r.Biller}
	}
	for name := range a.Stores {
		look[name] = purchase.Notices{Book: r.Book}
	}
	r.Desk = &notice.Desk{Tables: a.Tables, Clock: a.Clock, Log: a.Log, Look: look}
	courier := delivery.Courier{By: a.Servers}
	r.Registry = &delivery.Registry{Tables: a.Tables, Sealer: a.Sealer, Clock: a.Clock, Courier: courier}
	r.Publisher = &delivery.Publisher{
		Tables: a.Tables, Registry: r.Registry, Courier: courier, Clock: a.Clock, Log: a.Log, Catalog: a.Catalog, Lease: 2 * time.Minute,
	}
	r.publish = &delivery.Fanout{Tables: a.Tables, Clock: a.Clock, Log: a.Log, Scopes: []table.Scope{table.Default}, Queue: a.Wakes}
	r.fanout = &billing.Fanout{Tables: a.Tables, Clock: a.Clock, Log: a.Log, Shards: a.Shards, Lines: a.lines()}
	r.jobs = a.repairs(r)
	return r
}

// lines are those that the fan-out serves.
func (a Around) lines() []billing.Line {
	var lines []billing.Line
	for _, of := range []struct {
		name string
		pace int
	}{{"toss", a.TossPace}, {"dodo", a.DodoPace}, {billing.LaneDeliver, 600}} {
		if a.Charges[of.name] == nil {
			continue
		}
		line := billing.Line{GatewayName: billing.GatewayName{Scope: table.Default, Gateway: of.name}, Lane: of.name, Queue: a.Charges[of.name], PerMinute: of.pace}
		lines = append(lines, line)
		if of.name != billing.LaneDeliver {
			line.Lane, line.PerMinute = billing.RetriesLane(of.name), (of.pace+1)/2
			lines = append(lines, line)
		}
	}
	return lines
}

// repairs are the sweep's jobs, without the layers that are switched off.
func (a Around) repairs(r *Release) []sweep.Job {
	var jobs []sweep.Job
	if !a.Without["compare"] && len(a.Gateways) > 0 {
		jobs = append(jobs, func(ctx context.Context) (time.Time, error) { return sweep.Compare(ctx, r.Biller) })
	}
	if len(a.Stores) == 0 {
		return jobs
	}
	histories := map[string][]notice.History{}
	for name := range a.Stores {
		if histories[name] = nil; !a.Without["missed"] {
			histories[name] = a.Histories[name]
		}
	}
	missed := &notice.Missed{Tables: a.Tables, Queue: a.Notices, Clock: a.Clock, Log: a.Log}
	if a.Without["review"] {
		for _, name := range slices.Sorted(maps.Keys(histories)) {
			for _, h := range histories[name] {
				jobs = append(jobs, func(ctx context.Context) (time.Time, error) { return missed.Catch(ctx, table.Default, name, h) })
			}
		}
		return jobs
	}
	return append(jobs, sweep.Repairs(r.Book, histories, missed)...)
}

// Charge is the function of that name, at one message.
func (r *Release) Charge(ctx context.Context, due billing.Due) error {
	return r.Biller.Work(event.Because(ctx, event.Cause{Kind: event.BySchedule}), due.Scope(), due.Subscription)
}

// Deliver is the function of that name, at one message.
func (r *Release) Deliver(ctx context.Context, due billing.Due) error {
	return r.Biller.Deliver(ctx, due.Scope(), due.Subscription)
}

// Look is the function notices, at one message.
func (r *Release) Look(ctx context.Context, h notice.Hint) error { return r.Desk.Receive(ctx, h) }

// Publish is the function of that name, at one message.
func (r *Release) Publish(ctx context.Context, wake delivery.Wake) error {
	return r.Publisher.Work(ctx, wake)
}

// Tick is a run of a schedule, see version.Code.
func (r *Release) Tick(ctx context.Context, schedule string) (time.Time, error) {
	switch schedule {
	case "charge-fanout":
		report, err := r.fanout.Tick(ctx)
		return idle(report.IdleUntil, err)
	case "publish-fanout":
		report, err := r.publish.Tick(ctx)
		return idle(report.IdleUntil, err)
	default:
		report, err := sweep.Run(ctx, r.Biller.Clock, r.jobs)
		return idle(report.IdleUntil, err)
	}
}

func idle(until *time.Time, err error) (time.Time, error) {
	if until == nil {
		return time.Time{}, err
	}
	return *until, err
}
