package purchase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// RestorePolicy is what a claim of another customer's purchase does: the phone was sold, the
// person signed in under another name, or somebody lends out an account at the store. What the
// store itself says to be somebody's stays that customer's whatever the policy, and so do
// virtual currency and gifts.
type RestorePolicy string

// The policies.
const (
	Keep               RestorePolicy = "keep"                 // it is refused
	Transfer           RestorePolicy = "transfer"             // the claimant has it from now on, and its owner no more
	TransferIfInactive RestorePolicy = "transfer_if_inactive" // likewise, while it gives nothing
	Share              RestorePolicy = "share"                // both have it
)

// RestorePolicies are all that there are, as they are named in a project's settings.
var RestorePolicies = []RestorePolicy{Keep, Transfer, TransferIfInactive, Share}

// Move is one time that a line was made another customer's.
type Move struct {
	From string    `json:"from"` // our ids
	To   string    `json:"to"`
	At   time.Time `json:"at"`
}

// Bounds of what a policy may do to one line.
const (
	mostShared = 5 // beside its owner
	mostMoves  = 2 // within movedWithin
	keptMoves  = 8
	// mostAlong bounds the orders of one transfer, which has the events of two customers besides;
	// older ones follow once there is news of them.
	mostAlong   = 30
	movedWithin = 365 * 24 * time.Hour
)

// keeps says whether a purchase stays its owner's whoever comes with it.
func (b *Book) keeps(by claim) bool { return b.Restore == "" || b.Restore == Keep || by.bare }

// shares says whether a customer has a known order that is not its own. Where that is for the
// policy to say it is false without an error.
func (b *Book) shares(ctx context.Context, scope table.Scope, c *customer.Customer, by claim, o Order) (bool, error) {
	item, err := b.Tables.Get(ctx, recordKey(scope, o.Store, o.Line))
	if errors.Is(err, fault.NotFound) {
		return false, ownedByAnother()
	}
	if err != nil {
		return false, fmt.Errorf("purchase: line: %w", err)
	}
	r, err := decodeRecord(item)
	switch {
	case err != nil:
		return false, err
	case slices.ContainsFunc(r.Shared, c.Is):
		return true, nil
	case c.Is(r.Owner): // the order had not been seen since the line went over
		return false, nil
	case b.keeps(by) || r.Giver != "":
		return false, ownedByAnother()
	}
	return false, nil
}

// sharer is under which of our ids a customer shares the line, "" if it does not.
func (s *state) sharer(c *customer.Customer) string {
	at := slices.IndexFunc(s.line.Shared, c.Is)
	if at < 0 {
		return ""
	}
	return s.line.Shared[at]
}

// sharers are who has the line beside its owner.
func (s *state) sharers() []*customer.Customer {
	var all []*customer.Customer
	for _, ref := range s.line.Shared {
		if c := s.person(ref); c != nil && c != s.holder && !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return all
}

// restore does what the policy says for a claimant whose the line is not. Nothing of what is
// refused here is written; of what was refunded or given up for another, nothing changes hands.
func (b *Book) restore(is *decision, now time.Time) error {
	asked := is.entries[is.answers()].is
	if asked.State == OrderRefunded || asked.Replaced {
		return nil
	}
	if is.line.Owner == "" || asked.State != OrderGranted || !is.opens() {
		return ownedByAnother()
	}
	shared := is.sharer(is.claimant) != ""
	switch {
	case shared:
		return nil
	case b.Restore == Share:
		return is.share(now)
	case b.Restore == Transfer, b.Restore == TransferIfInactive && !is.gives(now):
		return is.transfer(now)
	}
	return ownedByAnother()
}

// opens says whether all of the line opens entitlements. Currency is never taken from who has it.
func (is *decision) opens() bool {
	closed := func(t Term) bool { return t.Entitlement == "" }
	credits := func(e entry) bool { return e.is.Credited > 0 }
	return len(is.line.Terms) > 0 && !slices.ContainsFunc(is.line.Terms, closed) && !slices.ContainsFunc(is.entries, credits)
}

// gives says whether any part of the line gives access.
func (is *decision) gives(now time.Time) bool {
	return slices.ContainsFunc(is.line.parts(), func(part string) bool { return is.line.part(part).source(now).Gives(now) })
}

// transfer makes the line, and the orders of it, the claimant's.
func (is *decision) transfer(now time.Time) error {
	from, to := is.holder, is.claimant
	recent := 0
	for _, m := range is.line.Moves {
		if m.At.After(now.Add(-movedWithin)) {
			recent++
		}
	}
	if recent >= mostMoves {
		return fault.New(fault.Conflict, "too_many_transfers", "This purchase went from one customer to another %d times within a year.", mostMoves)
	}
	for _, s := range from.Sources() {
		if s.Kind == entitlement.KindPurchase && s.Provider == is.line.Store && (s.Ref == is.line.Line || strings.HasPrefix(s.Ref, is.line.Line+"/")) {
			from.Drop(s)
		}
	}
	is.moveSources(now, event.PurchaseTransferred, func(_ string, s entitlement.Source) { to.Replace(s) })
	for i := range is.entries {
		if e := &is.entries[i]; e.is.Customer != "" {
			e.is.Customer = to.Ref
		}
	}
	is.line.Owner = to.Ref
	is.line.Moves = append(slices.Clone(is.line.Moves), Move{From: from.Ref, To: to.Ref, At: now})
	is.line.Moves = is.line.Moves[max(0, len(is.line.Moves)-keptMoves):]
	is.lineChanged = true
	return nil
}

// share lets the claimant have the line beside its owner.
func (is *decision) share(now time.Time) error {
	if len(is.sharers()) >= mostShared {
		return fault.New(fault.Conflict, "too_many_shares", "This purchase is shared with %d others already.", mostShared)
	}
	is.moveSources(now, event.PurchaseShared, func(part string, s entitlement.Source) { is.lend(is.claimant, part, s) })
	var refs []string // without those who became one with another
	for _, c := range is.sharers() {
		refs = append(refs, c.Ref)
	}
	is.line.Shared = append(refs, is.claimant.Ref)
	is.lineChanged = true
	return nil
}

// moveSources gives the claimant what each part of the line gives, and tells both.
func (is *decision) moveSources(now time.Time, kind event.Type, give func(part string, s entitlement.Source)) {
	for _, part := range is.line.parts() {
		s := is.line.part(part).source(now)
		e := event.Event{
			Type: kind, At: now, OrderID: s.OrderID, Store: s.Provider, ProductID: s.ProductID, Entitlement: s.Entitlement, Test: s.Test,
			Other: is.claimant.Ref, ToOther: true,
		}
		if end := s.Until; !end.IsZero() {
			e.ExpiresAt = &end
		}
		is.holder.Tell(e)
		e.Other, e.ToOther = is.holder.Ref, false
		is.claimant.Tell(e)
		give(part, s)
	}
	is.touch(is.holder)
	is.touch(is.claimant)
}

// lend brings who shares the line up to date with a part of it.
func (is *decision) lend(c *customer.Customer, part string, s entitlement.Source) {
	s.Family = true
	if is.knows(c, part) != s {
		c.Replace(s)
		is.touch(c)
	}
}
