package customer

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"grantline/shared/abuse"
	"grantline/shared/clock"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// Anonymous says whether an id is one that an app makes up before anybody signs in. It names
// nobody, so whoever has it may take along what was bought under it.
func Anonymous(id string) bool {
	return strings.HasPrefix(id, "$RCAnonymousID:") || strings.HasPrefix(id, "anon_")
}

const (
	// mostMerged bounds the other ids of one customer: each is in its head, which is read and
	// written with everything.
	mostMerged = 50
	// mostTries bounds how often a customer is read anew because another write came between.
	mostTries = 30
)

// Alias asks for another id of a customer's.
type Alias struct {
	ID    string // the company's, of whom it is to name
	Other string // the company's other id
	// Unclaimed refuses an id under which somebody was signed in, or that is somebody's by
	// another alias: a customer speaks for itself, and for what it did before it had a name.
	Unclaimed bool
}

// Join makes another id a name of the customer whom the company calls ID. Whoever that was so
// far becomes one with it: what it holds, its debts and its conduct move, in one
// transaction, and its own last event says so. Done again it changes nothing. Errors:
// fault.Malformed; fault.Conflict, alias_taken, for what is claimed, and too_many_aliases;
// fault.Unavailable, after which it may or may not have happened.
func (d Directory) Join(ctx context.Context, scope table.Scope, ask Alias, clk clock.Clock) (*Customer, error) {
	var stays *Customer
	err := d.again(ctx, clk, func(now time.Time) error {
		var err error
		stays, err = d.join(ctx, scope, ask, now)
		return err
	})
	return stays, err
}

// again decides anew while other writes come between, and looks again, boundedly, after a
// lost answer: whatever is decided has to be the same when it was done already.
func (d Directory) again(ctx context.Context, clk clock.Clock, decide func(now time.Time) error) error {
	lost := 0
	for try := range mostTries {
		err := decide(clk.Now())
		switch {
		case errors.As(err, new(*table.Conflict)):
		case errors.Is(err, fault.Unavailable) && lost < mostLost:
			lost++
		default:
			return err
		}
		if slept := clk.Sleep(ctx, time.Duration(min(try+1, 20))*5*time.Millisecond); slept != nil {
			return busy().Because(errors.Join(err, slept))
		}
	}
	return busy()
}

func (d Directory) join(ctx context.Context, scope table.Scope, ask Alias, now time.Time) (*Customer, error) {
	stays, err := d.Named(ctx, scope, ask.ID)
	if err != nil {
		return nil, err
	}
	goes, err := d.Named(ctx, scope, ask.Other)
	if err != nil {
		return nil, err
	}
	ref, err := d.Identity.Ref(ctx, scope, ask.Other)
	if err != nil {
		return nil, err
	}
	if goes.Ref == stays.Ref {
		return stays, nil
	}
	if ask.Unclaimed && (!Anonymous(ask.Other) || goes.Ref != ref || goes.claimed()) {
		return nil, fault.New(fault.Conflict, "alias_taken", "This id is another customer's.")
	}
	// What a customer is refused it would be granted under an id that it makes up.
	holds := func(w wallet.Wallet) bool { return len(w.Lots) > 0 }
	if ask.Unclaimed && stays.conduct.InForce(abuse.RefuseConsumables) && slices.ContainsFunc(slices.Collect(maps.Values(goes.wallets)), holds) {
		return nil, fault.New(fault.Denied, "refused_by_policy", "This customer is granted no consumables.")
	}
	if len(stays.head.Merged)+len(goes.head.Merged) >= mostMerged {
		return nil, fault.New(fault.Conflict, "too_many_aliases", "A customer has %d other ids at most.", mostMerged)
	}
	existed := goes.Exists()
	stays.absorb(goes, now)
	stays.rename(goes.Profile, goes.Ref, ref, ask.Other)
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

// claimed says that somebody has shown to be this customer, though it has an anonymous id:
// by signing in, by what only who is signed in can do, or by another of its ids.
func (c *Customer) claimed() bool {
	p := c.Profile
	agreed := func(s entitlement.Source) bool { return s.Kind == entitlement.KindSubscription }
	return p.SignedIn || p.Email+p.Phone+p.Name != "" || len(c.head.Merged) > 0 || slices.ContainsFunc(c.head.Sources, agreed)
}

// SignedIn keeps that somebody signed in under an anonymous id, which is then nobody else's to
// take along. Of any other id nothing is kept, for it is taken along by nobody.
func (d Directory) SignedIn(ctx context.Context, scope table.Scope, id string, clk clock.Clock) error {
	if !Anonymous(id) {
		return nil
	}
	return d.again(ctx, clk, func(now time.Time) error {
		c, err := d.Named(ctx, scope, id)
		if err != nil || c.Profile.SignedIn {
			return err
		}
		c.Profile.SignedIn, c.profiled, c.headed = true, true, true
		return d.commit(ctx, c, now)
	})
}

// absorb takes over all that another customer holds.
func (c *Customer) absorb(o *Customer, now time.Time) {
	for _, s := range o.head.Sources {
		if at := slices.IndexFunc(c.head.Sources, same(s)); at < 0 || further(s, c.head.Sources[at], now) {
			c.Set(s)
		}
	}
	if o.items[conductSort].Revision > 0 {
		was := c.conduct.Measures
		joined := c.conduct.Join(o.conduct)
		if c.SetConduct(joined); !slices.Equal(was, joined.Measures) && len(joined.Measures) > 0 {
			c.Tell(event.Event{Type: event.CustomerFlagged, At: now, Measures: texts(joined.Measures)})
		}
	}
	// After every other event, so that the one that tells of the merge has the entries.
	for _, currency := range slices.Sorted(maps.Keys(o.wallets)) {
		from, to, out, in := o.wallets[currency].Move(c.wallets[currency])
		if len(out.Parts) == 0 && out.Debt == 0 {
			continue
		}
		o.SetWallet(currency, from, out)
		c.SetWallet(currency, to, in)
	}
	if o.head.Tests.Day > c.head.Tests.Day {
		c.head.Tests = o.head.Tests
	} else if o.head.Tests.Day == c.head.Tests.Day {
		c.head.Tests.Count += o.head.Tests.Count
	}
	if o.head.Retry.Until.After(c.head.Retry.Until) {
		c.head.Retry = o.head.Retry
	}
	c.headed = true
	c.head.Merged = append(append(slices.Clone(c.head.Merged), o.Ref), o.head.Merged...)
}

// further says which of two words about the same source stands where both customers have
// one: the owner's rather than that of somebody it was shared with, then the one that gives,
// and of those the one that gives for longer.
func further(a, b entitlement.Source, now time.Time) bool {
	if a.Family != b.Family {
		return b.Family
	}
	if a.Gives(now) != b.Gives(now) {
		return a.Gives(now)
	}
	return !b.Until.IsZero() && (a.Until.IsZero() || a.Until.After(b.Until))
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

// Erase forgets who a customer was: its ids and where it is reached, and those of whoever was
// merged into it. What it bought, spent and owes stays, under an id that says nothing, and
// whatever a store or gateway tells later is booked there. Done again it changes nothing. What
// its agreements hold is for whoever keeps those to forget first: over are the ids of those of
// whom that was done. Errors: fault.Unavailable, also where one more came meanwhile.
func (d Directory) Erase(ctx context.Context, scope table.Scope, id string, clk clock.Clock, over ...string) error {
	return d.again(ctx, clk, func(now time.Time) error {
		c, err := d.Named(ctx, scope, id)
		if err != nil || !c.Exists() || c.Erased() {
			return err
		}
		for _, s := range c.head.Sources {
			if s.Kind == entitlement.KindSubscription && !slices.Contains(over, s.Ref) {
				return busy()
			}
		}
		c.Profile, c.profiled = Profile{SignedIn: c.Profile.SignedIn}, true
		c.Tell(event.Event{Type: event.CustomerErased, At: now})
		return d.commit(ctx, c, now)
	})
}

// Erased says that the customer, as it was read, is somebody whose name was forgotten. With
// the next that is written about it by that name, it has it again.
func (c *Customer) Erased() bool {
	item, ok := c.items[profileSort]
	var p Profile
	return ok && json.Unmarshal(item.Data, &p) == nil && p.ID == ""
}

func texts[T ~string](of []T) []string {
	var all []string
	for _, t := range of {
		all = append(all, string(t))
	}
	return all
}
