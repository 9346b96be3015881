// Package deployment puts the product's functions onto the ports of a simulated world, wired
// as the mains of functions/ and template.yaml wire them: the same handlers, queues with the
// same visibility and receives, schedules of the same periods, times in the same order. It is
// the company's deployment; who buys, who is asked and who is told is the caller's.
package deployment

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/delivery"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/reminder"
	"grantline/shared/simulate"
	"grantline/shared/simulate/release"
	"grantline/shared/simulate/version"
	"grantline/shared/table"
)

// Options is what a deployment has around it.
type Options struct {
	Gateways  map[string]billing.Gateway  // toss, dodo; of the default project's production
	Stores    map[string]purchase.Store   // apple, play, appsintoss
	Histories map[string][]notice.History // of stores; one without any is reviewed all the same
	Catalog   *catalog.Catalog            // nil: the embedded one
	Courier   billing.Courier             // tells customers; nil: one that sometimes does not get through
	Endpoints http.RoundTripper           // the company's servers; nil: nobody publishes
	// Releases are the settings of the versions that are deployed one after another; the
	// first is there from the start, each other one from its Since. While it rolls out both
	// are at work. None: one with the defaults.
	Releases []Settings
	// Older is another version's code, for the releases that are of it; nil: there is none.
	Older *Older
	// Outages is how often a schedule fires nothing for some hours, over Span.
	Outages int
	Span    time.Duration
	// Without names layers that are switched off, to see what the others catch alone: sweep,
	// compare, review, missed, notices, lease, publish.
	Without map[string]bool
}

// Settings are what a deploy may change.
type Settings struct {
	Since time.Time
	Rolls time.Duration // both are at work until that long after Since
	Older bool          // its code is that of Options.Older
	release.Settings
}

// Defaults are those of template.yaml, with few shards.
func Defaults() Settings {
	return Settings{Settings: release.Settings{Shards: 1, Lease: 2 * time.Minute, TossPace: 300, DodoPace: 90, TestsADay: 100}}
}

// Release is the functions at one version. What is embedded is of this version's code with that
// one's settings; what the API is asked for goes to that version's own.
type Release struct {
	*release.Release
	Biller    Billing
	Customers Customers
	Purchases Purchases
	Endpoints Endpoints

	code   version.Code // an older one; nil: what is embedded
	since  time.Time
	rolled time.Time
}

// Deployment is a company's Grantline.
type Deployment struct {
	World   *simulate.World
	Tables  *simulate.Tables
	Catalog *catalog.Catalog
	// The queues, for whoever sends to them or counts.
	Charges map[string]*simulate.Queue[billing.Due] // toss, dodo, deliver
	Notices *simulate.Queue[notice.Hint]
	Wakes   *simulate.Queue[delivery.Wake]
	// Alarms counts what a person was called for, by its words.
	Alarms map[string]int
	// Older and Newer count the invocations of each version's code.
	Older, Newer int

	options  Options
	releases []*Release
	crons    []*simulate.Cron
	windows  []window
	sealed   uint64
	minutes  map[string]minute               // by gateway
	running  map[*simulate.Invocation]string // of two versions, which one it is
}

type window struct{ from, to time.Time }

// Function limits, by template.yaml.
const (
	chargeLimit = 90 * time.Second
	fanoutLimit = 50 * time.Second
	apiLimit    = 30 * time.Second
	sweepLimit  = 15 * time.Minute
)

const (
	visibility   = 9 * time.Minute
	deliverHides = 6 * time.Minute
	mostReceives = 8
	batch        = 10
)

// New deploys into a world.
func New(w *simulate.World, o Options) *Deployment {
	d := &Deployment{
		World: w, Tables: simulate.NewTables(w), Catalog: o.Catalog, Charges: map[string]*simulate.Queue[billing.Due]{}, Alarms: map[string]int{}, options: o, minutes: map[string]minute{},
	}
	if d.Catalog == nil {
		goods, err := catalog.Embedded()
		if err != nil {
			panic("deployment: the embedded catalog: " + err.Error())
		}
		d.Catalog = goods
	}
	if o.Courier == nil {
		d.options.Courier = mail{w}
	}
	if len(o.Releases) == 0 {
		o.Releases = []Settings{Defaults()}
	}
	d.options.Releases = o.Releases
	for range o.Outages {
		from := w.Now().Add(time.Duration(w.Dice.Int64N(int64(o.Span))))
		d.windows = append(d.windows, window{from, from.Add(time.Duration(w.Dice.Int64N(int64(8 * time.Hour))))})
	}
	charges := func(gateway, function string, hides, limit time.Duration, work func(*release.Release, context.Context, billing.Due) error) {
		d.Charges[gateway] = simulate.NewQueue(w, simulate.QueueOptions{
			Name: gateway, Function: function, Visibility: hides, MostReceives: mostReceives, Batch: batch, Limit: limit,
		}, consume(d, gateway, work))
		d.Charges[gateway].Sent = func(n int) { d.handed(gateway, n) }
	}
	for _, gateway := range []string{"toss", "dodo"} {
		if o.Gateways[gateway] != nil {
			charges(gateway, "charge", visibility, chargeLimit, (*release.Release).Charge)
		}
	}
	charges(billing.LaneDeliver, "deliver", deliverHides, time.Minute, (*release.Release).Deliver)
	d.Notices = simulate.NewQueue(w, simulate.QueueOptions{
		Name: "notices", Function: "notices", Visibility: visibility, MostReceives: mostReceives, Batch: batch, Limit: chargeLimit,
	}, consume(d, "notices", (*release.Release).Look))
	d.Wakes = simulate.NewQueue(w, simulate.QueueOptions{
		Name: "events", Function: "publish", Visibility: visibility, MostReceives: mostReceives, Batch: batch, Limit: chargeLimit,
	}, consume(d, "events", (*release.Release).Publish))
	for _, s := range o.Releases {
		d.releases = append(d.releases, d.release(s))
	}
	d.tellVersions()
	d.schedule()
	return d
}

// release wires the functions as one version has them.
func (d *Deployment) release(s Settings) *Release {
	o := d.options
	a := release.Around{
		Tables: d.Tables, Clock: d.World.Clock(), Log: slog.New(alarms{d}), Sealer: seal{&d.sealed}, Catalog: d.Catalog, Gateways: o.Gateways, Stores: o.Stores,
		Histories: o.Histories, Courier: o.Courier, Servers: o.Endpoints, Charges: map[string]billing.Queue{}, Notices: d.Notices, Wakes: d.Wakes,
		Settings: s.Settings, Without: o.Without,
	}
	for name, queue := range d.Charges {
		a.Charges[name] = queue
	}
	r := &Release{Release: release.Wire(a), since: s.Since, rolled: s.Since.Add(s.Rolls)}
	r.Biller, r.Customers, r.Purchases, r.Endpoints = r.Release.Biller, r.Directory, r.Book, r.Registry
	if s.Older {
		r.code = o.Older.wire(d, a)
		r.Biller, r.Customers, r.Purchases, r.Endpoints = olderBilling{r.code}, olderCustomers{r.code}, olderPurchases{r.code}, olderEndpoints{r.code}
	}
	return r
}

// schedule starts the schedules of template.yaml, each woken by what its function looks at.
func (d *Deployment) schedule() {
	charges := &simulate.Cron{Function: "charge-fanout", Every: time.Minute, Limit: fanoutLimit, Run: d.tick("charge-fanout")}
	publish := &simulate.Cron{Function: "publish-fanout", Every: time.Minute, Limit: fanoutLimit, Run: d.tick("publish-fanout")}
	repair := &simulate.Cron{Function: "sweep", Every: 5 * time.Minute, Limit: sweepLimit, Run: d.tick("sweep")}
	off := d.options.Without
	d.crons = append(d.crons, charges)
	if d.options.Endpoints != nil && !off["publish"] {
		d.crons = append(d.crons, publish)
	}
	if !off["sweep"] {
		d.crons = append(d.crons, repair)
	}
	for _, c := range d.crons {
		c.Outage = d.out
		c.Start(d.World)
	}
	wakes := map[table.Table]*simulate.Cron{table.Subscriptions: charges, table.Customers: publish, table.Endpoints: publish, table.Purchases: repair}
	d.Tables.WatchIndex(func(key table.Key) {
		c := wakes[key.Table]
		if c == nil || key.Table != table.Purchases && key.Table != table.Subscriptions && (d.options.Endpoints == nil || off["publish"]) || c == repair && off["sweep"] {
			return
		}
		item, ok := d.Tables.Peek(key)
		if !ok || item.Index == nil {
			return
		}
		at, _, _ := strings.Cut(item.Index.Sort, "#")
		due, err := time.Parse(time.RFC3339, at)
		if err != nil {
			due = d.World.Now()
		}
		c.Wake(due)
	})
}

// minute is what was handed over to an account's queue in one.
type minute struct {
	at   int64
	sent int
}

// handed holds an account's lanes together against its pace. Of two releases at work the faster
// one's counts.
func (d *Deployment) handed(gateway string, n int) {
	pace := 0
	for _, s := range d.options.Releases {
		switch gateway {
		case "toss":
			pace = max(pace, s.TossPace)
		case "dodo":
			pace = max(pace, s.DodoPace)
		}
	}
	m := d.minutes[gateway]
	if now := d.World.Now().Unix() / 60; m.at != now {
		m = minute{at: now}
	}
	m.sent += n
	if d.minutes[gateway] = m; pace > 0 && m.sent > pace {
		d.World.Fail("the pace of an account is kept", "%d were handed over to %s in a minute, of %d", m.sent, gateway, pace)
	}
}

// out says whether the schedules fire nothing at an instant.
func (d *Deployment) out(at time.Time) (time.Time, bool) {
	for _, w := range d.windows {
		if !at.Before(w.from) && at.Before(w.to) {
			return w.to, true
		}
	}
	return time.Time{}, false
}

// Release is the version that an invocation which starts now runs.
func (d *Deployment) Release() *Release {
	now := d.World.Now()
	for n := len(d.releases) - 1; n > 0; n-- {
		r := d.releases[n]
		if now.Before(r.since) || now.Before(r.rolled) && d.World.Dice.Uint32()&1 == 0 {
			continue
		}
		return r
	}
	return d.releases[0]
}

// mostAsked is how often a request is made that has no answer.
const mostAsked = 40

// Ask makes a request of the API and repeats it, as a client does, while there is no answer or
// it is an outage: some seconds later, then minutes, then hours. then hears the answer; it may
// be nil.
func (d *Deployment) Ask(function string, do func(ctx context.Context, r *Release) error, then func(err error)) {
	d.ask(function, 0, do, then)
}

func (d *Deployment) ask(function string, asked int, do func(context.Context, *Release) error, then func(error)) {
	w := d.World
	w.Invoke(function, apiLimit, func(ctx context.Context) error { return do(ctx, d.begin()) }, func(err error) {
		if errors.Is(err, simulate.Killed) || errors.Is(err, fault.Unavailable) {
			if asked++; asked < mostAsked {
				wait := time.Duration(1+w.Dice.IntN(5)) * time.Second << min(asked, 12)
				w.After(wait, func() { d.ask(function, asked, do, then) })
				return
			}
		}
		if then != nil {
			then(err)
		}
	})
}

// Once makes a request once; then hears the answer, or simulate.Killed.
func (d *Deployment) Once(function string, do func(ctx context.Context, r *Release) error, then func(err error)) {
	d.World.Invoke(function, apiLimit, func(ctx context.Context) error { return do(ctx, d.begin()) }, then)
}

// Receive is a webhook of a gateway or store: verified, and put into the queue.
func (d *Deployment) Receive(h notice.Hint) {
	if d.options.Without["notices"] {
		return
	}
	h.Project, h.Environment, h.At = table.Default.Project, table.Default.Environment, d.World.Now()
	d.Notices.Put(h.Tidy())
}

// seal is a sealer whose key is at hand. What was sealed opens for what it was bound to, and
// no two are sealed alike: billing knows its own claim by that.
type seal struct{ sealed *uint64 }

func (s seal) Seal(_ context.Context, plaintext, bound []byte) ([]byte, error) {
	*s.sealed++
	sealed := binary.BigEndian.AppendUint64(make([]byte, 0, 9+len(bound)+len(plaintext)), *s.sealed)
	return append(append(append(sealed, bound...), 0), plaintext...), nil
}

func (seal) Open(_ context.Context, sealed, bound []byte) ([]byte, error) {
	if len(sealed) > 8 {
		if plain, ok := bytes.CutPrefix(sealed[8:], append(slices.Clone(bound), 0)); ok {
			return bytes.Clone(plain), nil
		}
	}
	return nil, fault.New(fault.Unavailable, "unsealed", "It was sealed for another record.")
}

// mail tells customers, by a provider that sometimes is out of reach.
type mail struct{ w *simulate.World }

func (m mail) Tell(_ context.Context, r reminder.Reminder) error {
	fate := m.w.Cross(simulate.Op{Port: "mail", Verb: "tell", About: r.ID, Write: true})
	m.w.Crossed()
	if fate == simulate.Fine {
		return nil
	}
	return fault.New(fault.Unavailable, "mail_unavailable", "The provider did not answer.")
}

// alarms counts what a person is called for, and lets everything else go.
type alarms struct{ d *Deployment }

func (a alarms) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

func (a alarms) Handle(_ context.Context, r slog.Record) error {
	a.d.Alarms[r.Message]++
	a.d.World.Tell("alarm", r.Message, "")
	return nil
}

func (a alarms) WithAttrs([]slog.Attr) slog.Handler { return a }

func (a alarms) WithGroup(string) slog.Handler { return a }
