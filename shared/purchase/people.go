package purchase

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// meet adds a customer to those whom it is about, and gives the one that is there already.
func (s *state) meet(c *customer.Customer) *customer.Customer {
	if known := s.person(c.Ref); known != nil {
		return known
	}
	s.people = append(s.people, c)
	return c
}

// person is one of those whom it is about, by any of our ids; nil if it is not about that one.
func (s *state) person(ref string) *customer.Customer {
	at := slices.IndexFunc(s.people, func(c *customer.Customer) bool { return c.Is(ref) })
	if at < 0 {
		return nil
	}
	return s.people[at]
}

// payer is whose money it was.
func (s *state) payer() *customer.Customer {
	if s.giver != nil {
		return s.giver
	}
	return s.holder
}

// given says whether somebody else than the holder paid.
func (s *state) given() bool { return s.giver != nil && s.giver != s.holder }

// touch has a customer written with the decision.
func (is *decision) touch(c *customer.Customer) {
	if is.touched == nil {
		is.touched = map[string]bool{}
	}
	is.touched[c.Ref] = true
}

// load reads one more of those whom it is about.
func (b *Book) load(ctx context.Context, now *state, ref string) (*customer.Customer, error) {
	if c := now.person(ref); c != nil {
		return c, nil
	}
	c, err := customer.Read(ctx, b.Tables, now.scope, ref)
	if err != nil {
		return nil, fmt.Errorf("purchase: owner: %w", err)
	}
	return now.meet(c), nil
}

// giftee is for whom a claimant claims, nil where that is the claimant.
func (b *Book) giftee(ctx context.Context, scope table.Scope, claimant *customer.Customer, by claim) (*customer.Customer, error) {
	if by.giftTo == "" || by.giftTo == by.customer {
		return nil, nil //nolint:nilnil // nobody else
	}
	to, err := b.Customers.Named(ctx, scope, by.giftTo)
	if err != nil || to.Ref == claimant.Ref {
		return nil, err
	}
	return to, nil
}

// whose finds out to whom the news' line belongs, and whether the claimant may come for it.
func (b *Book) whose(ctx context.Context, now *state, by *claim) error {
	first := now.entries[0].was
	now.owner = cmp.Or(now.line.Owner, first.Customer)
	if now.claimant == nil {
		now.owner = cmp.Or(now.owner, now.bound)
	}
	if err := b.owners(ctx, now); err != nil || now.claimant == nil {
		return err
	}
	c := now.claimant
	to, err := b.giftee(ctx, now.scope, c, *by)
	if err != nil {
		return err
	}
	gift := now.giver != nil
	mine := now.owner == "" || c == now.holder || gift && c == now.giver
	other := func(ref string) bool { return ref != "" && !c.Is(ref) }
	switch {
	case !mine && (gift || to != nil || b.keeps(*by) && now.sharer(c) == ""):
		return ownedByAnother()
	case other(now.bound) && !(gift && mine):
		return ownedByAnother() // the store says so
	// Whoever claims is one of them at most; but what went over to its owner may not have been seen since.
	case first.Customer != now.owner && other(first.Customer) && len(now.line.Moves) == 0 && !gift:
		return ownedByAnother()
	case to != nil && now.owner != "":
		if !gift || to.Ref != now.holder.Ref {
			return alreadyGranted()
		}
	case to != nil:
		now.holder, now.giver = now.meet(to), c
	case now.owner == "":
		now.holder = c
	}
	now.restoring = !mine
	return nil
}

// owners reads the owner of a line, who gave it, and who has it beside.
func (b *Book) owners(ctx context.Context, now *state) error {
	if now.owner == "" {
		return nil
	}
	var err error
	if now.holder, err = b.load(ctx, now, now.owner); err != nil {
		return err
	}
	if giver := cmp.Or(now.line.Giver, now.entries[0].was.Giver); giver != "" {
		if now.giver, err = b.load(ctx, now, giver); err != nil {
			return err
		}
	}
	for _, ref := range now.line.Shared {
		if _, err := b.load(ctx, now, ref); err != nil {
			return err
		}
	}
	return nil
}

func alreadyGranted() error {
	return fault.New(fault.Conflict, "already_granted", "This purchase was granted already; to whom it went does not change.")
}

// giftable refuses to give away what renews: its next money would be somebody else's.
func (s *state) giftable() error {
	if s.claimant == nil || s.giver != s.claimant || s.owner != "" {
		return nil
	}
	if slices.ContainsFunc(s.entries, func(e entry) bool { return e.product.Kind == catalog.Subscription }) {
		return fault.New(fault.Invalid, "not_giftable", "A subscription cannot be given to another customer.")
	}
	return nil
}
