package purchase

import (
	"time"

	"grantline/shared/catalog"
)

// wholly is all of a sale, in thousandths of a per cent.
const wholly = 100_000

// returned is how much was given back, in thousandths of a per cent.
func (s Sale) returned() int {
	switch {
	case s.Back > 0 && s.Back < s.Quantity:
		// Never all nor nothing of it, however many they are.
		return min(max(int(int64(s.Back)*wholly/int64(s.Quantity)), 1), wholly-1)
	case s.Back > 0:
		return wholly
	case s.State != Refunded:
		return 0
	case s.Returned <= 0 || s.Returned > wholly:
		return wholly
	}
	return s.Returned
}

// weight decides between two words of one instant: what takes more away counts.
func (o Order) weight() int { return weight(o.Replaced, o.Returned) }

func weight(replaced bool, returned int) int {
	switch {
	case returned > 0:
		return 1 + returned
	case replaced:
		return 1
	}
	return 0
}

// hear is the order after a store's word about it; false if the word is no news.
func (o Order) hear(s Sale, now time.Time) (Order, bool) {
	returned, back := s.returned(), s.Back
	if s.Blind && returned < o.Returned {
		returned, back = o.Returned, o.Back
	}
	if o.ID == "" {
		o = Order{
			ID: OrderID(s.Store, s.Order), Kind: OrderKind, Store: s.Store, Line: s.Line, Part: s.Part, SKU: s.SKU, State: OrderUnclaimed,
			Quantity: s.Quantity, PurchasedAt: s.PurchasedAt, Until: s.Until, Price: s.Price, PriceIn: s.Currency, Test: s.Test, Family: s.Family,
		}
	} else if s.AsOf.Before(o.AsOf) || s.AsOf.Equal(o.AsOf) && weight(s.State == Replaced, returned) <= o.weight() {
		return o, false
	}
	o.AsOf, o.Replaced = s.AsOf, s.State == Replaced
	switch {
	case s.Ended:
		end := s.AsOf
		if s.Told && !s.Until.IsZero() {
			end = s.Until // whenever that was heard of
		}
		if o.Until.IsZero() || o.Until.After(end) {
			o.Until = end
		}
	case !s.Until.IsZero() && (!s.Unpaid || o.Until.IsZero()):
		o.Until = s.Until
	}
	if o.Price == 0 {
		o.Price, o.PriceIn = s.Price, s.Currency
	}
	if o.PurchasedAt.IsZero() {
		o.PurchasedAt = s.PurchasedAt
	}
	o.Back, o.Returned = back, returned
	switch {
	case o.Returned == wholly && o.State != OrderRefunded:
		o.State, o.RefundedAt = OrderRefunded, now
	case o.Returned < wholly && o.State == OrderRefunded:
		o.State, o.RefundedAt = OrderGranted, time.Time{}
		if o.Customer == "" {
			o.State = OrderUnclaimed
		}
	}
	return o, true
}

// claimable says whether somebody may come and have it.
func (o Order) claimable() bool { return o.State != OrderRefunded && !o.Replaced }

// own gives an unclaimed order to a customer.
func (o Order) own(owner string, p catalog.Product, now time.Time) Order {
	o.Customer, o.State, o.GrantedAt = owner, OrderGranted, now
	o.Product, o.Entitlement, o.Until = p.ID, p.Entitlement, o.end(p, now)
	if p.Kind == catalog.Consumable {
		o.Currency, o.Credited = p.Currency, p.Amount*int64(max(o.Quantity, 1))
	}
	return o
}

// ReviewWithin bounds access to a subscription whose store did not say when it ends:
// without further word it is over after that time.
const ReviewWithin = 70 * 24 * time.Hour

// end is the end of what a paid order gives; zero is never.
func (o Order) end(p catalog.Product, now time.Time) time.Time {
	switch {
	case p.Kind == catalog.NonRenewing && o.PurchasedAt.IsZero():
		return p.Until(now)
	case p.Kind == catalog.NonRenewing:
		return p.Until(o.PurchasedAt)
	case p.Kind == catalog.Subscription && o.Until.IsZero():
		return now.Add(ReviewWithin)
	case p.Kind == catalog.Subscription:
		return o.Until
	}
	return time.Time{}
}

// back is how much of what was credited belongs back.
func (o Order) back() int64 {
	if o.Back > 0 && o.Quantity > 0 {
		return o.Credited * int64(min(o.Back, o.Quantity)) / int64(o.Quantity) // Credited is a multiple of it
	}
	return (o.Credited*int64(o.Returned) + wholly/2) / wholly
}

// term is what the order gives its line.
func (o Order) term(s Sale) Term {
	t := Term{
		Order: o.ID, Part: o.Part, SKU: o.SKU, Entitlement: o.Entitlement, State: Paid, From: o.PurchasedAt, End: o.Until, AsOf: o.AsOf,
		Renewing: !s.Until.IsZero() || s.Ended, WillRenew: s.WillRenew, Test: o.Test, Family: o.Family,
	}
	switch {
	case o.State == OrderRefunded:
		t.State = Refunded
	case o.Replaced:
		t.State = Replaced
	}
	return t
}

// endsAsBefore keeps what the line knew of a term's end, where a word says nothing of it.
func (t Term) endsAsBefore(line Record) Term {
	for _, before := range line.Terms {
		if before.Order == t.Order {
			t.Renewing, t.WillRenew = before.Renewing, before.WillRenew
		}
	}
	return t
}
