package customer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Anonymous says whether an id is one that an app makes up before anybody signs in. It names
// nobody, so whoever has it may take along what was bought under it.
func Anonymous(id string) bool {
	return strings.HasPrefix(id, "$RCAnonymousID:") || strings.HasPrefix(id, "anon_")
}

// mostMerged bounds the other ids of one customer.
const mostMerged = 50

// mostTries bounds how often a customer is read anew because another write came between.
const mostTries = 20

// Join makes other a name of the customer whom the company calls id. Whoever other was so
// far becomes one with it: what it holds, its debts and its conduct move, in one
// transaction, and its own last event says so. Done again it changes nothing. Errors:
// fault.Conflict where there are too many names.
func (d Directory) Join(ctx context.Context, scope table.Scope, id, other string, now time.Time, sleep func(context.Context, time.Duration) error) (*Customer, error) {
	for try := range mostTries {
		stays, err := d.join(ctx, scope, id, other, now)
		if !errors.As(err, new(*table.Conflict)) {
			return stays, err
		}
		if err := sleep(ctx, time.Duration(try+1)*10*time.Millisecond); err != nil {
			break
		}
	}
	return nil, fault.New(fault.Unavailable, "busy", "Too much happened to these customers at once; ask again.")
}

func (d Directory) join(ctx context.Context, scope table.Scope, id, other string, now time.Time) (*Customer, error) {
	stays, err := d.Named(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	goes, err := d.Named(ctx, scope, other)
	if err != nil {
		return nil, err
	}
	ref, err := d.Identity.Ref(ctx, scope, other)
	if err != nil {
		return nil, err
	}
	if goes.Ref == stays.Ref {
		return stays, nil
	}
	if len(stays.head.Merged)+len(goes.head.Merged) >= mostMerged {
		return nil, fault.New(fault.Conflict, "too_many_aliases", "A customer has %d other ids at most.", mostMerged)
	}
	existed := goes.Exists()
	stays.absorb(goes, now)
	stays.rename(goes.Profile, goes.Ref, ref, other)
	writes, err := goes.leave(stays.Ref, existed, now)
	if err != nil {
		return nil, err
	}
	kind := event.CustomerAliased
	if existed {
		kind = event.CustomerMerged
	}
	stays.Tell(event.Event{Type: kind, At: now, Other: goes.Ref})
	own, err := stays.Writes(now)
	if err != nil {
		return nil, err
	}
	return stays, d.Tables.Commit(ctx, append(own, writes...)...)
}

// absorb takes over all that another customer holds.
func (c *Customer) absorb(o *Customer, now time.Time) {
	for _, s := range o.head.Sources {
		c.Set(s)
	}
	for _, currency := range slices.Sorted(maps.Keys(o.wallets)) {
		from, to, out, in := o.wallets[currency].Move(c.wallets[currency])
		if len(out.Parts) == 0 && out.Debt == 0 {
			continue
		}
		o.SetWallet(currency, from, out)
		c.SetWallet(currency, to, in)
	}
	if o.judged || o.items[conductSort].Revision > 0 {
		c.SetConduct(c.conduct.Join(o.conduct))
	}
	if o.head.Tests.Day > c.head.Tests.Day {
		c.head.Tests = o.head.Tests
	} else if o.head.Tests.Day == c.head.Tests.Day {
		c.head.Tests.Count += o.head.Tests.Count
	}
	if c.head.Retry.Subscription == "" || o.head.Retry.Until.After(c.head.Retry.Until) {
		c.head.Retry = o.head.Retry
	}
	c.headed = true
	c.head.Merged = append(append(slices.Clone(c.head.Merged), o.Ref), o.head.Merged...)
}

// rename takes over what the other's profile says where there is nothing, and its ids.
func (c *Customer) rename(p Profile, ref, asked, id string) {
	others := maps.Clone(c.Profile.Others)
	if others == nil {
		others = map[string]string{}
	}
	maps.Copy(others, p.Others)
	others[ref] = p.ID
	if asked != ref {
		others[asked] = id
	}
	for mine, theirs := range map[*string]string{&c.Profile.Email: p.Email, &c.Profile.Phone: p.Phone, &c.Profile.Name: p.Name, &c.Profile.Locale: p.Locale} {
		if *mine == "" {
			*mine = theirs
		}
	}
	c.Profile.Others, c.profiled = others, true
}

// leave is what stays of a customer who was merged: its events, the last of which says into
// whom, and nothing personal.
func (c *Customer) leave(into string, existed bool, now time.Time) ([]table.Write, error) {
	c.head.Sources, c.head.Into, c.head.Merged, c.head.Twice = nil, into, nil, nil
	c.head.Tests.Day, c.head.Tests.Count = "", 0
	c.Retry("", time.Time{})
	c.profiled, c.judged = false, false
	if existed {
		c.Tell(event.Event{Type: event.CustomerMerged, At: now, Other: into, ToOther: true})
	}
	for _, sort := range []string{profileSort, conductSort} {
		if item, ok := c.items[sort]; ok {
			c.besides = append(c.besides, table.Removed(item))
		}
	}
	return c.Writes(now)
}

// Erase forgets who the customer was: its names and where it is reached. What it bought,
// spent and owes stays, under an id that says nothing.
func (c *Customer) Erase(now time.Time) {
	c.Profile, c.profiled = Profile{}, true
	c.Tell(event.Event{Type: event.CustomerErased, At: now})
}
