package customer

import (
	"context"
	"regexp"
	"slices"
	"time"

	"grantline/shared/clock"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Grant is the company's own word that a customer may use something.
type Grant struct {
	Entitlement string    // the caller sees to it that there is one of that name
	Reference   string    // the company's name of the grant, once for each entitlement
	ExpiresAt   time.Time // zero: never
	Reason      string    // a person's words
}

// mostGrants bounds what a customer's head holds of them.
const mostGrants = 100

// grantReferences are those that a path can end in.
var grantReferences = regexp.MustCompile(`^[!-.0-~]{1,100}$`)

// grantRoutes are the ends of other routes of a customer's: what a path is matches from the right.
var grantRoutes = map[string]bool{
	"explain": true, "events": true, "aliases": true, "conduct": true, "override": true, "spend": true, "refund": true, "credit": true, "ledger": true,
}

// ValidGrantReference says whether a text can name a grant: 1 to 100 visible ASCII characters
// but '/', and no route's name.
func ValidGrantReference(reference string) error {
	if !grantReferences.MatchString(reference) || grantRoutes[reference] {
		return malformed("reference should be 1 to 100 visible ASCII characters without /, and no route's name, as explain.")
	}
	return nil
}

func (g Grant) source() entitlement.Source {
	return entitlement.Source{
		Kind: entitlement.KindGrant, Ref: g.Reference, Entitlement: g.Entitlement, State: entitlement.Active, Until: g.ExpiresAt,
	}
}

func (c *Customer) granted(s entitlement.Source) (entitlement.Source, bool) {
	if at := slices.IndexFunc(c.head.Sources, same(s)); at >= 0 {
		return c.head.Sources[at], true
	}
	return s, false
}

// Grant has a customer, who may be new, use an entitlement by the company's own word. The same
// reference again is the same grant. Errors: fault.Malformed; fault.Invalid, grant_over, for
// one that would be over already; fault.Conflict, reference_used, for another end under it or
// after it was revoked, and too_many_grants; fault.Unavailable.
func (d Directory) Grant(ctx context.Context, scope table.Scope, id string, g Grant, clk clock.Clock) (*Customer, error) {
	if err := ValidGrantReference(g.Reference); err != nil {
		return nil, err
	}
	if err := validReason(g.Reason); err != nil {
		return nil, err
	}
	if g.ExpiresAt.UTC().Year() > 9999 { // which RFC 3339 cannot write
		return nil, malformed("expiresAt should be before the year 10000.")
	}
	return d.changed(ctx, scope, id, clk, func(c *Customer, now time.Time) (bool, error) {
		s := g.source()
		if is, ok := c.granted(s); ok {
			if is.State != entitlement.Active || !is.Until.Equal(s.Until) {
				return false, fault.New(fault.Conflict, "reference_used", "This reference stands for a grant that was revoked, or for one with another end.")
			}
			return false, nil
		}
		if !s.Gives(now) {
			return false, fault.New(fault.Invalid, "grant_over", "expiresAt should be in the future.")
		}
		if err := c.makeRoom(now); err != nil {
			return false, err
		}
		c.Set(s)
		e := event.Event{Type: event.EntitlementGranted, At: now, Entitlement: g.Entitlement, Reference: g.Reference, Cause: c.because(g.Reason)}
		if !g.ExpiresAt.IsZero() {
			until := g.ExpiresAt.UTC()
			e.ExpiresAt = &until
		}
		c.Tell(e)
		return true, nil
	})
}

// makeRoom forgets the grant that has been over for longest where there are too many.
func (c *Customer) makeRoom(now time.Time) error {
	var grants []entitlement.Source
	for _, s := range c.head.Sources {
		if s.Kind == entitlement.KindGrant {
			grants = append(grants, s)
		}
	}
	if len(grants) < mostGrants {
		return nil
	}
	grants = slices.DeleteFunc(grants, func(s entitlement.Source) bool { return s.Gives(now) })
	if len(grants) == 0 {
		return fault.New(fault.Conflict, "too_many_grants", "A customer has %d grants at most.", mostGrants)
	}
	c.Drop(slices.MinFunc(grants, func(a, b entitlement.Source) int { return a.Until.Compare(b.Until) }))
	return nil
}

// Revoke takes a grant back. Done again it changes nothing. Errors: fault.Malformed;
// fault.NotFound, grant_not_found; fault.Unavailable.
func (d Directory) Revoke(ctx context.Context, scope table.Scope, id string, g Grant, clk clock.Clock) (*Customer, error) {
	return d.changed(ctx, scope, id, clk, func(c *Customer, now time.Time) (bool, error) {
		is, ok := c.granted(g.source())
		switch {
		case !ok:
			return false, fault.New(fault.NotFound, "grant_not_found", "There is no such grant.")
		case is.State == entitlement.Ended:
			return false, nil
		}
		is.State = entitlement.Ended
		if is.Until.IsZero() || is.Until.After(now) {
			is.Until = now
		}
		c.Set(is)
		c.Tell(event.Event{Type: event.EntitlementRevoked, At: now, Entitlement: g.Entitlement, Reference: g.Reference, Cause: c.because(g.Reason)})
		return true, nil
	})
}

// because is the cause of what happens with a person's words.
func (c *Customer) because(reason string) *event.Cause {
	if reason == "" {
		return nil // whatever the cause of all this is
	}
	why := event.Cause{Kind: event.ByRequest}
	if c.cause != nil {
		why = *c.cause
	}
	why.Reason = reason
	return &why
}

// changed makes a change of the customer whom the company calls id, once: change is decided
// anew while other writes come between, and says whether there is anything to write.
func (d Directory) changed(ctx context.Context, scope table.Scope, id string, clk clock.Clock, change func(*Customer, time.Time) (bool, error)) (*Customer, error) {
	var c *Customer
	err := d.again(ctx, clk, func(now time.Time) error {
		var err error
		if c, err = d.Named(ctx, scope, id); err != nil {
			return err
		}
		write, err := change(c, now)
		if err != nil || !write {
			return err
		}
		return d.commit(ctx, c, now)
	})
	return c, err
}
