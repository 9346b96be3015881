package selling

import (
	"context"
	"slices"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/entitlement"
	"grantline/shared/notice"
	"grantline/shared/simulate/shop"
	"grantline/shared/table"
)

// renewedWithin is how long after the end of a period our book knows at the latest that its
// customer paid for the next, though the word of it is lost: an hour after that end the store is
// asked, unless the schedules miss some hours, twice; an hour after the day of Google's silent
// grace, where that is what it saw.
var renewedWithin = map[string]time.Duration{"apple": 18 * time.Hour, "play": 42 * time.Hour}

// sold counts a sale, and sees to it that a renewal in its time is known in time.
func (q *Quarter) sold(o *shop.Order) {
	q.Sold++
	t := q.byLine[o.Store+"#"+o.Line]
	if t == nil || t.toss != nil || o.Product.Kind != catalog.Subscription {
		return
	}
	var before *shop.Order
	for _, other := range t.orders() {
		if other != o && other.Line == o.Line && (before == nil || other.SoldAt.After(before.SoldAt)) {
			before = other
		}
	}
	counts := func(o *shop.Order) bool {
		r := q.orders[o.Key()]
		return r != nil && r.record.State == "granted" && o.ReturnedAt.IsZero() && !o.Replaced && !o.Succeeded
	}
	if before == nil || !counts(before) || o.SoldAt.After(before.Until.Add(time.Minute)) || o.SoldAt.Before(before.Until.Add(-26*time.Hour)) {
		return
	}
	q.w.At(before.Until.Add(renewedWithin[o.Store]), func() {
		if r := q.orders[o.Key()]; o.ReturnedAt.IsZero() && !o.Replaced && !o.Succeeded && counts(before) && (r == nil || r.record.State != "granted") {
			q.fail("a renewal is known soon after the end of the period before", "%s was sold at %v, after a period until %v", o.Key(), o.SoldAt, before.Until)
		}
	})
}

// returned holds what a store gave back for want of an acknowledgement against our book.
func (q *Quarter) returned(o *shop.Order) {
	if !o.Unclaimed {
		return
	}
	if r := q.orders[o.Key()]; r != nil && r.record.State == "granted" && r.record.GrantedAt.Before(q.w.Now().Add(-acknowledgedWithin)) {
		q.fail("what was granted is acknowledged", "%s was granted at %v, and Google gave its money back", o.Key(), r.record.GrantedAt)
	}
}

// acknowledgedWithin is how long before its deadline Google hears of a grant, with schedules
// that miss some hours.
const acknowledgedWithin = 12 * time.Hour

// acknowledged holds what a store was told against what is written.
func (q *Quarter) acknowledged(o *shop.Order) {
	if t := q.byLine[o.Store+"#"+o.Line]; t != nil {
		for _, of := range t.orders() {
			if r := q.orders[of.Key()]; of.Line == o.Line && r != nil && r.record.Customer != "" {
				return // one word for all that is bought with a token
			}
		}
	}
	q.fail("nothing is acknowledged that is not written", "%s", o.Key())
}

// granted holds the answer to a claim against what is written.
func (q *Quarter) granted(t *thing, ref, id string) {
	r := q.orders[id]
	switch {
	case r == nil || r.record.Customer == "":
		q.fail("nothing is acknowledged that is not written", "%s was answered to be granted", id)
	case q.books.same(r.record.Customer, ref), r.record.Giver != "" && q.books.same(r.record.Giver, ref):
	case !slices.ContainsFunc(q.holdingOf(t).had, func(o string) bool { return q.books.same(o, ref) }):
		q.fail("a claim by another never moves a purchase", "%s was answered to %s, and is %s's", id, ref, r.record.Customer)
	}
}

// spentFor holds the answer to a spend against what is written.
func (q *Quarter) spentFor(s *spend) {
	if w := q.books.spends[s.reference]; w == nil || w.amount != s.amount {
		q.fail("spends: exactly once per reference", "%s was answered to be spent", s.reference)
	}
}

// How long after a change our book may not know of it, in calm weather: what a store tells of
// at once, and what it tells nobody.
const (
	heardWithin = 2 * time.Hour
	quietWithin = 15 * 24 * time.Hour
	polledUntil = 180 * 24 * time.Hour // an order of Apps-in-Toss, after which nobody asks again
)

// settled says whether our book should know of a change by now.
func (q *Quarter) settled(o *shop.Order) bool {
	now := q.w.Now()
	last := o.SoldAt
	if o.ReturnedAt.After(last) {
		last = o.ReturnedAt
	}
	if o.Quiet && now.Before(last.Add(quietWithin)) {
		return false
	}
	return now.After(last.Add(heardWithin))
}

// mostSold is of how many of its latest sales a line asks whether they were given back.
const mostSold = 4

// shownAfterEnd is until when after its end an ended subscription of Google's is surely asked
// about once more.
const shownAfterEnd = (60 - 14) * 24 * time.Hour

// forgotten says whether money came back when nobody asked any more: of what was sold long ago,
// of a subscription that ended long ago, or of a period long past.
func (t *thing) forgotten(o *shop.Order) bool {
	switch {
	case !o.Quiet || o.ReturnedAt.IsZero():
		return false
	case o.Store == "appsintoss":
		return o.ReturnedAt.After(o.SoldAt.Add(polledUntil - 8*24*time.Hour))
	case o.Product.Kind != catalog.Subscription:
		return o.ReturnedAt.After(o.SoldAt.Add(75 * 24 * time.Hour))
	}
	token, asked := t.q.shops.Play.Token(o), o.ReturnedAt.Add(quietWithin)
	later := 0
	for _, other := range t.orders() {
		if other.SoldAt.After(o.SoldAt) && other.SoldAt.Before(asked) {
			later++
		}
	}
	return later >= mostSold || !token.Running() && o.ReturnedAt.After(token.Ends().Add(shownAfterEnd))
}

// AtRest checks what holds once everything was heard of.
func (q *Quarter) AtRest() {
	for _, t := range q.things {
		q.sale(t)
	}
	for _, p := range q.people {
		q.entitled(p)
	}
	q.idle()
	q.noticed()
}

// sale holds each order of what was bought against our book.
func (q *Quarter) sale(t *thing) {
	owner := q.holdingOf(t).owner
	for _, o := range t.orders() {
		if !q.settled(o) || o.Replaced || o.Unheard || t.forgotten(o) {
			continue
		}
		r := q.orders[o.Key()]
		switch {
		case r == nil && (!o.Paid() || owner == ""):
		case r == nil:
			q.fail("granted sales are the store's sales less refunds", "%s was sold at %v to an owner of its line, and is not in the book", o.Key(), o.SoldAt)
		case owner == "" && o.Paid() && o.Back == 0 && o.Returned == 0 && t.last.After(t.changedAt().Add(visible)):
			q.fail("granted sales are the store's sales less refunds", "%s was claimed, and is nobody's", o.Key())
		case owner == "":
		case !o.Paid() && r.record.State != "refunded":
			q.fail("granted sales are the store's sales less refunds", "%s was given back at %v, and is %s", o.Key(), o.ReturnedAt, r.record.State)
		case o.Paid() && r.record.State != "granted":
			q.fail("granted sales are the store's sales less refunds", "%s was sold at %v, and is %s", o.Key(), o.SoldAt, r.record.State)
		case o.Product.Kind == catalog.Consumable && o.Paid() && r.record.Credited-r.record.TakenBack != o.Credited():
			q.fail("granted sales are the store's sales less refunds", "%s gave %d less %d, want %d", o.Key(), r.record.Credited, r.record.TakenBack, o.Credited())
		case o.Store == "play" && o.Paid() && r.record.Customer != "" && o.Acknowledged.IsZero():
			q.fail("what was granted is acknowledged", "%s was granted at %v, and Google was never told", o.Key(), r.record.GrantedAt)
		}
	}
}

// entitled holds what a customer may use against what the stores say.
func (q *Quarter) entitled(p *person) {
	now := q.w.Now()
	r := q.d.Release()
	c, err := r.Directory.Named(context.Background(), table.Default, p.id)
	if err != nil {
		q.fail("nothing is stuck", "%s cannot be read: %v", p.id, err)
		return
	}
	want := map[string]time.Time{}
	sure := map[string]bool{}
	renews, mayNot := map[string]bool{}, map[string]bool{}
	give := func(entitlement string, until time.Time) {
		if is, ok := want[entitlement]; !ok || until.IsZero() || !is.IsZero() && until.After(is) {
			want[entitlement] = until
		}
	}
	doubt := func(entitlement string) { sure[entitlement] = true }
	me := q.books.one(q.ref(p.id))
	for _, t := range q.things {
		if !q.has(q.holdingOf(t), me.ref) {
			continue
		}
		goods, _ := q.d.Catalog.BySKU(t.store, t.sku)
		if goods.Entitlement == "" {
			continue
		}
		if now.Before(t.changedAt().Add(heardWithin)) || t.unsure(now) {
			doubt(goods.Entitlement)
		}
		if until, ok := t.access(now); ok {
			give(goods.Entitlement, until)
			renews[goods.Entitlement] = renews[goods.Entitlement] || t.willRenew()
			if t.store == "play" && now.Before(t.changedAt().Add(quietWithin)) {
				mayNot[goods.Entitlement] = true // whose word of it may be lost, until it is asked
			}
		}
	}
	for _, o := range q.people {
		if q.books.one(q.ref(o.id)) != me {
			continue
		}
		for _, g := range o.grants {
			if !g.known {
				doubt(g.Entitlement)
			}
			if g.granted && !g.revoked && (g.ExpiresAt.IsZero() || g.ExpiresAt.After(now)) {
				give(g.Entitlement, g.ExpiresAt)
			}
		}
	}
	has := map[string]entitlement.Entitlement{}
	for _, e := range c.Entitlements(now) {
		has[e.ID] = e
	}
	for _, name := range [...]string{"premium", "ad_free", "movie_rental"} {
		until, should := want[name]
		e := has[name]
		switch {
		case sure[name]:
		case should != e.Active:
			q.fail("entitlement follows the books", "%s (%s) has %s: %v, want %v until %v; %+v", p.id, c.Ref, name, e.Active, should, until, e.Sources)
		case should && !mayNot[name] && e.WillRenew != renews[name]:
			q.fail("entitlement follows the books", "%s (%s) has %s and renews it: %v, want %v; %+v", p.id, c.Ref, name, e.WillRenew, renews[name], e.Sources)
		case should && !until.Equal(e.ExpiresAt):
			q.fail("entitlement follows the books", "%s (%s) has %s until %v, want %v; %+v", p.id, c.Ref, name, e.ExpiresAt, until, e.Sources)
		}
	}
}

// unsure says whether a store kept something to itself for now, or for good.
func (t *thing) unsure(now time.Time) bool {
	for _, o := range t.orders() {
		if o.Unheard || t.forgotten(o) || o.Quiet && now.Before(o.ReturnedAt.Add(quietWithin)) {
			return true
		}
	}
	return false
}

// noticed holds each notice that was let in against what became of it.
func (q *Quarter) noticed() {
	_, dead := q.d.Notices.Len()
	now := q.w.Now()
	for _, a := range q.accepted {
		if now.Before(a.at.Add(heardWithin)) {
			continue
		}
		item, ok := q.d.Tables.Peek(a.key)
		var r struct {
			State  notice.State `json:"state"`
			Detail string       `json:"detail"`
		}
		if ok {
			q.read(item, &r)
		}
		if (!ok || r.State == notice.Received) && dead == 0 {
			q.fail("every accepted notice is applied or in a dead-letter queue", "%s of %v is %q (%s)", a.key.Partition, a.at, r.State, r.Detail)
		}
	}
	q.accepted = q.accepted[:0]
}

// idle holds that nothing waits whose time has come.
func (q *Quarter) idle() {
	now, late := q.w.Now(), 0
	for _, a := range q.accepted {
		if a.at.After(now.Add(-heardWithin)) {
			late++ // it has its time
		}
	}
	if waiting, dead := q.d.Notices.Len(); waiting > late || dead > 0 {
		q.fail("nothing is stuck", "%d notices wait, of which %d came just now, and %d are dead letters", waiting, late, dead)
	}
	for _, item := range q.d.Tables.Kept().Items(table.Purchases) {
		if item.Index == nil {
			continue
		}
		due, err := time.Parse("2006-01-02T15:04:05Z", item.Index.Sort[:20])
		if err != nil || due.Before(now.Add(-heardWithin)) {
			q.fail("nothing is stuck", "%s was to be looked at again at %v", item.Key.Partition, due)
		}
	}
}
