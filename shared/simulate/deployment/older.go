package deployment

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"grantline/shared/reminder"
	"grantline/shared/simulate"
	"grantline/shared/simulate/release"
	"grantline/shared/simulate/version"
	"grantline/shared/table"
)

// Older is another version's code, and what it has around it in types that both have.
type Older struct {
	New      version.New
	Catalog  []byte                       // the text of Options.Catalog
	Gateways map[string]http.RoundTripper // the same as Options.Gateways, by their APIs
}

// wire wires the older version as this one is wired.
func (o *Older) wire(d *Deployment, a release.Around) version.Code {
	p := version.Ports{
		Tables: a.Tables, Clock: a.Clock, Log: a.Log, Sealer: a.Sealer, Catalog: o.Catalog, Gateways: o.Gateways, Servers: a.Servers,
		Tell: func(ctx context.Context, text json.RawMessage) error {
			var r reminder.Reminder
			if err := json.Unmarshal(text, &r); err != nil {
				return err
			}
			return a.Courier.Tell(ctx, r)
		},
		Queues: map[string]version.Send{"events": send(d, d.Wakes), "notices": send(d, d.Notices)},
		Stores: map[string]version.Store{}, Histories: map[string][]version.History{},
		Shards: int(a.Shards), Lease: a.Lease, TossPace: a.TossPace, DodoPace: a.DodoPace, Restore: string(a.Restore), TestsADay: a.TestsADay, Without: a.Without,
	}
	for name, queue := range d.Charges {
		p.Queues[name] = send(d, queue)
	}
	var err error
	if p.Abuse, err = json.Marshal(a.Abuse); err != nil {
		panic("deployment: the policy on abuse: " + err.Error())
	}
	for name, s := range a.Stores {
		p.Stores[name] = asked(s)
	}
	for name, all := range a.Histories {
		for _, h := range all {
			p.Histories[name] = append(p.Histories[name], remembered(h))
		}
	}
	return o.New(p)
}

// send is a queue as another version sends to it. The queue holds this version's messages, so
// whatever of another's these have no place for would be lost here and nowhere else.
func send[T any](d *Deployment, to *simulate.Queue[T]) version.Send {
	return func(ctx context.Context, group string, messages [][]byte) (int, error) {
		all := make([]T, len(messages))
		for n, text := range messages {
			from := json.NewDecoder(bytes.NewReader(text))
			from.DisallowUnknownFields()
			if err := from.Decode(&all[n]); err != nil {
				d.World.Fail("a message is the same for both versions", "%v", err)
				return 0, err
			}
		}
		return to.Send(ctx, group, all)
	}
}

// consume is a function at the end of a queue, at whichever version it is.
func consume[T any](d *Deployment, queue string, work func(*release.Release, context.Context, T) error) func(context.Context, T) error {
	return func(ctx context.Context, message T) error {
		r := d.begin()
		if r.code == nil {
			return work(r.Release, ctx, message)
		}
		text, err := json.Marshal(message)
		if err != nil {
			return err
		}
		return r.code.Work(ctx, queue, text)
	}
}

// begin is the version of an invocation that starts now, counted.
func (d *Deployment) begin() *Release {
	r := d.Release()
	if r.code != nil {
		d.Older++
	} else {
		d.Newer++
	}
	if i := d.World.Running(); i != nil && d.running != nil {
		d.running[i] = map[bool]string{true: "older", false: "newer"}[r.code != nil]
	}
	return r
}

// tellVersions has the story say which version of two wrote what.
func (d *Deployment) tellVersions() {
	if !d.twoVersions() {
		return
	}
	d.running = map[*simulate.Invocation]string{}
	d.Tables.Watch(func(writes []table.Write) {
		i := d.World.Running()
		if i == nil {
			return
		}
		for _, w := range writes {
			if w.Change != table.Check {
				d.World.Story.Tell(d.World.Now().UnixNano(), i.Function, "of the "+d.running[i]+" version writes", w.Item.Key.Partition)
			}
		}
	})
}

// tick is a schedule's function, at whichever version it is. A run that has nothing to do lets
// those before it be skipped; of two versions, when both have said so one after the other, since
// neither may see what the other does.
func (d *Deployment) tick(schedule string) func(context.Context) (time.Time, error) {
	said := map[bool]time.Time{}
	return func(ctx context.Context) (time.Time, error) {
		r := d.begin()
		tick := r.Tick
		if r.code != nil {
			tick = r.code.Tick
		}
		idle, err := tick(ctx, schedule)
		if d.uneven(r) {
			clear(said)
			return time.Time{}, err
		}
		if !d.twoVersions() {
			return idle, err
		}
		if err != nil || idle.IsZero() {
			clear(said)
			return idle, err
		}
		now := d.World.Now()
		var next time.Time // when other versions are at work
		of := map[bool]bool{}
		for n, each := range d.releases {
			for _, at := range []time.Time{each.since, each.rolled} {
				if n > 0 && at.After(now) && (next.IsZero() || at.Before(next)) {
					next = at
				}
			}
		}
		for _, each := range d.atWork(now) {
			of[each.code != nil] = true
		}
		if said[r.code != nil] = idle; len(of) > 1 && len(said) < 2 {
			return time.Time{}, nil
		}
		for _, other := range said {
			if other.Before(idle) {
				idle = other
			}
		}
		if !next.IsZero() && next.Before(idle) {
			idle = next
		}
		clear(said)
		return idle, nil
	}
}

// uneven says whether a release is at work beside one, or after it, that has another number of
// shards: whoever knows of fewer does not see what lies in the others', so that its word lets no
// run be skipped. The schedules of template.yaml skip none.
func (d *Deployment) uneven(r *Release) bool {
	return slices.ContainsFunc(d.atWork(d.World.Now()), func(other *Release) bool {
		return other.Release.Biller.Shards != r.Release.Biller.Shards
	})
}

// twoVersions says whether releases differ in their code.
func (d *Deployment) twoVersions() bool {
	return slices.ContainsFunc(d.releases, func(r *Release) bool { return (r.code != nil) != (d.releases[0].code != nil) })
}

// atWork are the versions of which an invocation that starts now may be, the newest first.
func (d *Deployment) atWork(now time.Time) []*Release {
	var all []*Release
	for _, r := range slices.Backward(d.releases) {
		if r != d.releases[0] && now.Before(r.since) {
			continue
		}
		if all = append(all, r); !now.Before(r.rolled) {
			break
		}
	}
	return all
}
