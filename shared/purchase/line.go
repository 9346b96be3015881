package purchase

import (
	"cmp"
	"slices"
	"time"

	"grantline/shared/entitlement"
)

// Record is a purchase: who owns a line and how it stands.
type Record struct {
	Store string `json:"store"`
	Line  string `json:"line"`
	Owner string `json:"owner,omitempty"` // our id of the customer; "" while nobody claimed it
	// Giver is our id of who paid for it, where that is another customer.
	Giver string `json:"giver,omitempty"`
	// Shared are our ids of those who have it beside its owner, and Moves are the latest times
	// that it was made another's.
	Shared []string `json:"shared,omitempty"`
	Moves  []Move   `json:"moves,omitempty"`
	// Root is the line that this is another name of: a token of its chain. There is nothing
	// else to such a record, and it never changes.
	Root string `json:"root,omitempty"`
	// Terms are what the line's sales give, the latest first.
	Terms    []Term   `json:"terms"`
	Standing Standing `json:"standing,omitzero"`
	// Over says that its end was told of.
	Over bool `json:"over,omitempty"`
	// Parts have the Standing and Over of a line that is sold in parts.
	Parts []Part `json:"parts,omitempty"`
	// Tokens are what the store is asked by, the newest first; none at a store that is asked
	// by the order.
	Tokens []Held `json:"tokens,omitempty"`
	// Since is the instant of the oldest word about it; zero in a line from before that was kept.
	Since time.Time `json:"since,omitzero"`
	// Again is when the store asked to be asked at the latest.
	Again time.Time `json:"again,omitzero"`
	// CheckAt is when the store is to be asked of itself, zero for never.
	CheckAt time.Time `json:"checkAt,omitzero"`
}

// Term is what one sale of a line gives.
type Term struct {
	Order       string    `json:"order"` // our id of it
	Part        string    `json:"part,omitempty"`
	Token       string    `json:"token,omitempty"` // id of the one that it was sold with
	SKU         string    `json:"sku"`
	Entitlement string    `json:"entitlement,omitempty"`
	State       SaleState `json:"state"` // Paid, Replaced or Refunded
	From        time.Time `json:"from,omitzero"`
	End         time.Time `json:"end,omitzero"` // zero is never
	AsOf        time.Time `json:"asOf"`
	Renewing    bool      `json:"renewing,omitempty"` // the store said when it ends
	WillRenew   bool      `json:"willRenew,omitempty"`
	Test        bool      `json:"test,omitempty"`
	Family      bool      `json:"family,omitempty"`
}

// mostTerms bounds what a line, or a part of one, remembers. The newest word about each sale is in its order,
// so that what is forgotten here can only be what was over before these began.
const mostTerms = 4

// mostWaiting bounds it while nobody owns the line: whoever claims it is to have each order
// that was paid before, not only what still counts. Two years of months, in one transaction, and
// less of what is sold in parts.
const mostWaiting = 24

// mostTogether bounds the orders of one transaction, where some may stay out: each is two writes,
// with its event, of a hundred.
const mostTogether = 40

// inherited are the terms that come to be somebody's together with the line: all that are not
// over, and of the others, which nobody misses, the latest for which there is room.
func (r Record) inherited(room int, now time.Time) []Term {
	var terms []Term
	for _, t := range r.Terms {
		if over := !t.End.IsZero() && !t.End.After(now); !over || len(terms) < room {
			terms = append(terms, t)
		}
	}
	return terms
}

func (r Record) most() int {
	if r.Owner == "" {
		return max(mostWaiting/max(len(r.parts()), 1), 1)
	}
	return mostTerms
}

// hear puts a sale's term in place of what it was before. The line keeps the latest, so
// that words heard in any order leave the same.
func (r Record) hear(t Term) Record {
	r.Terms = slices.DeleteFunc(slices.Clone(r.Terms), func(o Term) bool { return o.Order == t.Order })
	r.Terms = append(r.Terms, t)
	slices.SortFunc(r.Terms, later)
	kept, most := map[string]int{}, r.most()
	r.Terms = slices.DeleteFunc(r.Terms, func(o Term) bool {
		kept[o.Part]++
		return kept[o.Part] > most
	})
	return r
}

// later orders terms, the latest first. Of two that begin together the one that reaches
// further is first, and then the one of the greater id, for one of them must be. Where there
// are tokens only ends are known for sure.
func later(a, b Term) int {
	begin := b.From.Compare(a.From)
	if a.Token != "" || b.Token != "" {
		begin = 0
	}
	return cmp.Or(begin, further(a.End, b.End), cmp.Compare(b.Order, a.Order))
}

// early is how long before a period's end the next may begin without taking its place: the
// App Store renews within the last day.
const early = 25 * time.Hour

// gaveWay says whether a later term of renewals took the place of t, though nobody said so
// of t itself: the store tells of an upgrade by what was bought, and t may reach further.
// A store with tokens says so by the token.
func (r Record) gaveWay(t Term) bool {
	return t.Renewing && t.Token == "" && slices.ContainsFunc(r.Terms, func(o Term) bool {
		return o.Renewing && o.From.After(t.From) && o.From.Before(t.End.Add(-early))
	})
}

// further orders ends, the latest first; never is the latest.
func further(a, b time.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return -1
	case b.IsZero():
		return 1
	}
	return b.Compare(a)
}

// newer says whether a standing counts and not the other. Of two of one instant the one
// that promises less does, and then any, for one of them must.
func (s Standing) newer(o Standing) bool {
	yes := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return cmp.Or(
		s.AsOf.Compare(o.AsOf), yes(o.WillRenew)-yes(s.WillRenew), yes(s.Retrying)-yes(o.Retrying), o.GraceUntil.Compare(s.GraceUntil),
		cmp.Compare(s.Next, o.Next), cmp.Compare(s.Reason, o.Reason), cmp.Compare(s.PriceIncrease, o.PriceIncrease),
		s.ResumesAt.Compare(o.ResumesAt),
	) > 0
}

// first is the term that counts: the latest that is paid and gave way to no other, else
// the latest of all. It is the zero one if there is none.
func (r Record) first() Term {
	for _, t := range r.Terms {
		if t.State == Paid && !r.gaveWay(t) {
			return t
		}
	}
	if len(r.Terms) == 0 {
		return Term{}
	}
	return r.Terms[0]
}

// standing is what the store last said of the term that counts: what it said before that
// was bought is about something else.
func (r Record) standing() (Standing, bool) {
	s, t := r.Standing, r.first()
	ofIt := s.Token != "" && s.Token == t.Token // whoever's clock is ahead
	return s, !s.AsOf.IsZero() && (ofIt || !t.From.After(s.AsOf))
}

// until is the end of access as far as the store has said; zero is never.
func (r Record) until() time.Time {
	t := r.first()
	if s, ok := r.standing(); ok && s.Retrying && !t.End.IsZero() && s.GraceUntil.After(t.End) {
		return s.GraceUntil
	}
	return t.End
}

// willRenew by the standing, or by the newest sale where there is none.
func (r Record) willRenew() bool {
	if r.first().State != Paid {
		return false
	}
	if s, ok := r.standing(); ok {
		return s.WillRenew
	}
	newest := r.first()
	for _, t := range r.Terms {
		if t.AsOf.After(newest.AsOf) {
			newest = t
		}
	}
	return newest.WillRenew
}

// source is what the line, or a part of it, gives at now.
func (r Record) source(now time.Time) entitlement.Source {
	t := r.first()
	src := entitlement.Source{
		Kind: entitlement.KindPurchase, Provider: r.Store, Ref: r.ref(t.Part), Entitlement: t.Entitlement, ProductID: t.SKU,
		OrderID: t.Order, State: entitlement.Active, Until: r.until(), WillRenew: r.willRenew(), Test: t.Test, Family: t.Family,
	}
	s, told := r.standing()
	switch {
	case t.State != Paid:
		src.State, src.Until = entitlement.Ended, t.End
	case !told || !s.Retrying || t.End.IsZero():
	case src.Until.After(now) && (src.Until.After(t.End) || t.Token != "" && !s.GraceUntil.Before(t.End)):
		src.State = entitlement.Grace
	case !src.Until.After(now):
		src.State = entitlement.OnHold
	}
	if told && t.State == Paid {
		src.Next = s.Next
	}
	return src
}

// over says that the line came to its end and that the store does not go on with it.
func (r Record) over(now time.Time) bool {
	s, told := r.standing()
	t, end := r.first(), r.until()
	// Where a later one was refunded, that was its end and was told of.
	latest := len(r.Terms) > 0 && r.Terms[0].Order == t.Order
	return latest && t.State == Paid && t.Renewing && !end.After(now) && told && !s.AsOf.Before(end) && !s.WillRenew && !s.Retrying
}

// How a line is reviewed where the store has no word.
const (
	reviewAfterEnd = time.Hour           // a renewal is told of well within
	reviewSoon     = 15 * time.Minute    // when the store was out of reach
	reviewLate     = 6 * time.Hour       // a renewal that is late, or that we cannot take over
	reviewRetry    = 24 * time.Hour      // while the store tries to take the money
	reviewUntil    = 61 * 24 * time.Hour // after the end: the App Store tries for 60 days
)

// check is when the store should be asked of itself about a line that is not sold in parts,
// or about a part; zero for never.
func (r Record) check(now time.Time, unasked bool) time.Time {
	t, end := r.first(), r.until()
	s, told := r.standing()
	switch {
	case unasked:
		return now.Add(reviewSoon)
	case r.Owner == "" || !t.Renewing || t.State != Paid || t.End.IsZero():
		return time.Time{}
	case end.After(now):
		return end.Add(reviewAfterEnd)
	case told && s.ResumesAt.After(now):
		return s.ResumesAt.Add(reviewAfterEnd)
	case !now.Before(t.End.Add(reviewUntil)):
		return time.Time{}
	case told && s.Retrying:
		return now.Add(reviewRetry)
	case told && !s.WillRenew && !s.AsOf.Before(end):
		return time.Time{} // it is over
	default:
		return now.Add(reviewLate)
	}
}

// recordV1 is a line as it was kept before schema 2.
type recordV1 struct {
	Store       string            `json:"store"`
	Line        string            `json:"line"`
	Owner       string            `json:"owner"`
	Order       string            `json:"order"`
	SKU         string            `json:"sku"`
	Entitlement string            `json:"entitlement"`
	State       entitlement.State `json:"state"`
	Until       time.Time         `json:"until"`
	AsOf        time.Time         `json:"asOf"`
	WillRenew   bool              `json:"willRenew"`
	Test        bool              `json:"test"`
	Family      bool              `json:"family"`
}

func (o recordV1) record() Record {
	t := Term{
		Order: o.Order, SKU: o.SKU, Entitlement: o.Entitlement, State: Paid, End: o.Until, AsOf: o.AsOf,
		Renewing: o.WillRenew, WillRenew: o.WillRenew, Test: o.Test, Family: o.Family,
	}
	if o.State == entitlement.Ended {
		t.State = Refunded
	}
	return Record{Store: o.Store, Line: o.Line, Owner: o.Owner, Terms: []Term{t}}
}
