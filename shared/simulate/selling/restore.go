package selling

import (
	"slices"
	"strings"
	"time"

	"grantline/shared/purchase"
)

// holding is who has a line, by what is written.
type holding struct {
	owner  string
	shared []string
	had    []string // all who ever had it
}

// lends says whether the company lets a purchase go over to whoever comes with it, or be shared.
func (q *Quarter) lends() bool { return q.restore != "" && q.restore != purchase.Keep }

// holdingOf is that of a thing; nobody's where our book has it not.
func (q *Quarter) holdingOf(t *thing) *holding {
	if h := q.held[t.store+"#"+t.root()]; h != nil {
		return h
	}
	return &holding{}
}

// has says whether a customer owns it or shares it.
func (q *Quarter) has(h *holding, ref string) bool {
	same := func(o string) bool { return q.books.same(o, ref) }
	return h.owner != "" && same(h.owner) || slices.ContainsFunc(h.shared, same)
}

// goesTo takes a line as it is written from now on, and holds whoever has it to the company's
// policy: nothing changes hands but by a claim, and nothing that is no access.
func (q *Quarter) goesTo(t *thing, key string, r *lineRecord) {
	h := q.held[key]
	if h == nil {
		h = &holding{}
		q.held[key] = h
	}
	const promise = "a claim by another never moves a purchase"
	switch {
	case h.owner == "" && r.Owner != "":
		q.owned(t, *r)
	case h.owner == "" || r.Owner != "" && q.books.same(h.owner, r.Owner):
	case r.Owner == "" || q.restore != purchase.Transfer && q.restore != purchase.TransferIfInactive:
		q.fail(promise, "line %s of %s goes from %s to %q", r.Line, r.Store, h.owner, r.Owner)
	default:
		q.Moved++
		q.changesHands(t, r, r.Owner)
		if _, gives := t.access(q.w.Now()); gives && q.restore == purchase.TransferIfInactive && q.uses(h.owner, r) {
			q.fail(promise, "line %s of %s goes from %s, who uses it, to %s", r.Line, r.Store, h.owner, r.Owner)
		}
		recent := 0
		for _, m := range r.Moves {
			if m.At.After(q.w.Now().Add(-364 * 24 * time.Hour)) {
				recent++
			}
		}
		if recent == 0 || recent > 2 {
			q.fail(promise, "line %s of %s went to another %d times within a year", r.Line, r.Store, recent)
		}
	}
	for _, ref := range r.Shared {
		if q.has(h, ref) || r.Owner != "" && q.books.same(r.Owner, ref) {
			continue
		}
		if q.restore != purchase.Share || len(r.Shared) > 5 {
			q.fail(promise, "line %s of %s is shared with %s", r.Line, r.Store, ref)
		}
		q.Moved++
		q.changesHands(t, r, ref)
	}
	is := &holding{owner: r.Owner, shared: r.Shared}
	for _, ref := range h.shared {
		if r.Owner != "" && !q.has(is, ref) {
			q.fail(promise, "line %s of %s is shared with %s no more", r.Line, r.Store, ref)
		}
	}
	h.owner, h.shared = r.Owner, r.Shared
	for _, ref := range append([]string{r.Owner}, r.Shared...) {
		if ref != "" && !slices.Contains(h.had, ref) {
			h.had = append(h.had, ref)
		}
	}
}

// uses says whether a customer has access by a line, as it was before this commit.
func (q *Quarter) uses(ref string, r *lineRecord) bool {
	now := q.w.Now().Add(5 * time.Second)
	return slices.ContainsFunc(q.books.one(ref).sources, func(s source) bool {
		of := s.Ref == r.Line || strings.HasPrefix(s.Ref, r.Line+"/")
		return of && s.Provider == r.Store && (s.State == "active" || s.State == "grace") && (s.Until.IsZero() || s.Until.After(now))
	})
}

// changesHands holds what comes to be another's, or another's as well, to what never does.
func (q *Quarter) changesHands(t *thing, r *lineRecord, ref string) {
	const promise = "a claim by another never moves a purchase"
	goods, _ := q.d.Catalog.BySKU(t.store, t.sku)
	switch {
	case goods.Entitlement == "":
		q.fail(promise, "%s of %s is currency, and goes to %s", t.what(), t.store, ref)
	case r.Giver != "":
		q.fail(promise, "%s of %s was given, and goes to %s", t.what(), t.store, ref)
	case t.account != "" && !t.foreign && !q.books.same(q.ref(t.buyer.id), ref):
		q.fail("what names a customer is that customer's", "%s of %s goes to %s", t.what(), t.store, ref)
	case !slices.ContainsFunc(t.asked, func(o string) bool { return q.books.same(o, ref) }):
		q.fail("no grant without a purchase", "%s of %s goes to %s, who never came for it", t.what(), t.store, ref)
	}
}

// wentAlong says whether an order is another's since its line is.
func (q *Quarter) wentAlong(r *orderRecord) bool {
	h := q.held[r.Store+"#"+r.Line]
	return h != nil && len(h.had) > 1 && r.Credited == 0 && r.Customer != "" && h.owner != "" && q.books.same(h.owner, r.Customer) && q.restore != purchase.Share
}
