package selling

import (
	"context"
	"errors"
	"slices"
	"time"

	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/simulate/deployment"
	"grantline/shared/simulate/shop"
	"grantline/shared/table"
)

// thing is something that was bought: a line, a chain of tokens, or an order.
type thing struct {
	q       *Quarter
	buyer   *person
	store   string
	sku     string
	account string // that the store was given, or ""
	foreign bool   // it names whoever claimed the first thing that has it
	shared  bool   // it is somebody else's of the family
	renews  bool
	giftTo  *person

	line   *shop.AppleLine
	tokens []*shop.Token
	toss   *shop.TossOrder

	last   time.Time // when the buyer's app came with it
	done   bool      // the buyer's app was told that it is granted
	proofs []string  // signed words that were kept
	// standings are as our book has them.
	standings map[string]standing
	asked     []string // our ids of those who came with it, or for whom
}

// known has the watch find the thing by its lines.
func (t *thing) known() {
	switch {
	case t.line != nil:
		t.q.byLine[t.store+"#"+t.line.ID] = t
	case t.toss != nil:
		t.q.byLine[t.store+"#"+t.toss.ID] = t
	}
	for _, token := range t.tokens {
		t.q.byLine[t.store+"#"+token.ID] = t
	}
}

// token is the latest of its chain.
func (t *thing) token() *shop.Token { return t.tokens[len(t.tokens)-1] }

// orders are all movements of money of it so far.
func (t *thing) orders() []*shop.Order {
	switch {
	case t.line != nil:
		return t.line.Orders()
	case t.toss != nil && t.toss.Order() != nil:
		return []*shop.Order{t.toss.Order()}
	}
	var all []*shop.Order
	for _, token := range t.tokens {
		all = append(all, token.Orders()...)
	}
	return all
}

// access is until when it gives access, by the store's truth.
func (t *thing) access(now time.Time) (until time.Time, ok bool) {
	switch {
	case t.line != nil:
		return t.line.Access(now)
	case t.toss != nil:
		return t.toss.Access(now)
	}
	for _, token := range t.tokens {
		if end, gives := token.Access(now); gives && (!ok || end.After(until)) {
			until, ok = end, true
		}
	}
	return until, ok
}

// changed is when it last did at the store.
func (t *thing) changedAt() time.Time {
	switch {
	case t.line != nil:
		return t.line.Changed()
	case t.toss != nil:
		return t.toss.Changed()
	}
	var at time.Time
	for _, token := range t.tokens {
		if c := token.Changed(); c.After(at) {
			at = c
		}
	}
	return at
}

// running says whether it goes on.
func (t *thing) running() bool {
	switch {
	case !t.renews:
		_, ok := t.access(t.q.w.Now())
		return ok
	case t.line != nil:
		return t.line.Running()
	case t.toss != nil:
		return t.toss.Running()
	}
	return t.token().Running() || t.token().Pending()
}

// willRenew says whether the store means to take money again.
func (t *thing) willRenew() bool {
	switch {
	case t.line != nil:
		return t.line.WillRenew()
	case t.toss != nil:
		return t.toss.WillRenew()
	}
	return slices.ContainsFunc(t.tokens, (*shop.Token).WillRenew)
}

// gives says whether it can be given to somebody else.
func (t *thing) gives() bool { return !t.renews && !t.shared }

// settle ends what is pending.
func (t *thing) settle(paid bool) {
	if t.toss != nil {
		t.q.shops.AppsInToss.Settle(t.toss, paid)
	}
	for _, token := range t.tokens {
		t.q.shops.Play.Settle(token, paid)
	}
}

// proof is what an app would come with now.
func (t *thing) proof() purchase.Proof {
	q := t.q
	p := purchase.Proof{Store: t.store}
	switch {
	case t.line != nil:
		if len(t.proofs) > 0 && !q.calm && q.chance(25) {
			p.Evidence = t.proofs[q.w.Dice.IntN(len(t.proofs))] // an old word
			return p
		}
		p.Evidence = q.shops.Apple.Sign(t.line.Last().ID)
		t.proofs = append(t.proofs, p.Evidence)
	case t.toss != nil:
		p.Evidence = t.toss.ID
		if q.chance(50) {
			p.SKU = t.sku
		}
		if q.chance(50) {
			p.UserKey = t.toss.UserKey
		}
	default:
		p.Evidence = t.token().Secret
		if q.chance(70) {
			if p.SKU = t.sku; t.renews {
				p.SKU = "premium"
			}
		}
	}
	return p
}

// claim has somebody come with it.
func (t *thing) claim(who *person, name string) {
	q := t.q
	p := t.proof()
	ref := q.ref(name)
	mine := who == t.buyer
	if t.giftTo != nil && mine {
		p.GiftTo = t.giftTo.id
		t.came(q.ref(p.GiftTo))
	} else {
		t.came(ref)
	}
	q.Claims++
	begun := q.w.Now()
	if mine {
		t.last = begun
	}
	var got purchase.Claimed
	q.d.Ask("verify", func(ctx context.Context, r *deployment.Release) error {
		var err error
		got, err = r.Purchases.Claim(ctx, table.Default, name, p)
		return err
	}, func(err error) { t.answered(who, ref, begun, got, err) })
}

// came notes who came with it.
func (t *thing) came(ref string) {
	for _, r := range t.asked {
		if r == ref {
			return
		}
	}
	t.asked = append(t.asked, ref)
}

// answered holds what a claim was answered with against what is true.
func (t *thing) answered(who *person, ref string, begun time.Time, got purchase.Claimed, err error) {
	q := t.q
	switch {
	case err == nil && got.Order.State == purchase.OrderPending:
		if who == t.buyer && !q.calm {
			q.w.After(time.Hour+q.within(24*time.Hour), func() { t.claim(who, who.id) })
		}
	case err == nil:
		q.granted(t, ref, got.Order.ID)
		t.done = t.done || who == t.buyer
		if t.toss != nil && who == t.buyer {
			q.w.After(q.within(3*time.Second), func() { q.shops.AppsInToss.Complete(t.toss.ID) })
		}
	case errors.Is(err, fault.Unavailable):
		q.fail("nothing is stuck", "a claim at %s has no answer since %v: %v", t.store, begun, err)
	case errors.Is(err, fault.Invalid), errors.Is(err, fault.Malformed), errors.Is(err, fault.NotFound):
		if who == t.buyer && t.genuine(begun) {
			q.fail("what was paid for is never refused", "%s at %s was refused: %v", t.what(), t.store, err)
		}
	case errors.Is(err, fault.Conflict):
		if owner := q.holdingOf(t).owner; owner != "" && q.books.same(owner, ref) && len(q.holdingOf(t).had) == 1 && t.giftTo == nil && fault.Code(err) == "owned_by_another_customer" {
			q.fail("a claim by another never moves a purchase", "its owner %s is refused %s at %s: %v", ref, t.what(), t.store, err)
		}
	default:
		q.fail("what was paid for is never refused", "%s at %s: %v", t.what(), t.store, err)
	}
}

// root is the line under which our book has it, "" if it has not.
func (t *thing) root() string {
	switch {
	case t.line != nil:
		return t.line.ID
	case t.toss != nil:
		return t.toss.ID
	}
	for _, token := range t.tokens {
		if t.q.held[t.store+"#"+token.ID] != nil {
			return token.ID
		}
	}
	return ""
}

// what names it for a person.
func (t *thing) what() string {
	if all := t.orders(); len(all) > 0 {
		return all[len(all)-1].Key()
	}
	return t.sku
}

// visible is how long a store may not show what it sold.
const visible = 10 * time.Minute

// genuine says whether it was paid for, was to be seen for some time before an instant, and
// nothing of it was ever given back.
func (t *thing) genuine(at time.Time) bool {
	all := t.orders()
	if len(all) == 0 {
		return false
	}
	for _, o := range all {
		if !o.ReturnedAt.IsZero() || o.Replaced || o.SoldAt.After(at.Add(-visible)) {
			return false
		}
	}
	if len(t.tokens) > 0 && t.token().Made().After(at.Add(-visible)) {
		return false
	}
	return !t.renews || t.running()
}

// robbed has another customer come with the proof of it.
func (t *thing) robbed() {
	if o := t.buyer.anybody(); o != nil && (!t.foreign || t.done) {
		t.claim(o, o.id)
	}
}

// changed has the customer cancel it, resume it or change the plan.
func (t *thing) changed() {
	q := t.q
	n := q.w.Dice.IntN(10)
	switch {
	case t.line != nil && n < 4:
		q.shops.Apple.Cancel(t.line)
	case t.line != nil && n < 6:
		q.shops.Apple.Resume(t.line)
	case t.line != nil:
		sku := yearly["apple"]
		if t.line.Last().SKU == sku {
			sku = monthly["apple"]
		}
		q.shops.Apple.Change(t.line, sku)
		q.after(t, t.buyer.id)
	case t.toss != nil && n < 6:
		q.shops.AppsInToss.Cancel(t.toss)
	case t.toss != nil:
		q.shops.AppsInToss.Resume(t.toss)
	case n < 4:
		q.shops.Play.Cancel(t.token())
	case n < 6:
		q.shops.Play.Resume(t.token())
	case n < 7:
		q.shops.Play.Pause(t.token(), 24*time.Hour+q.within(40*24*time.Hour))
	default:
		sku := yearly["play"]
		if t.token().SKU == sku {
			sku = monthly["play"]
		}
		t.again(sku)
	}
}

// again buys a subscription once more at Google Play: in the place of one that runs, or after
// its end, in the app or outside.
func (t *thing) again(sku string) {
	q, last := t.q, t.token()
	if last.Pending() || len(last.Orders()) == 0 || !last.Acknowledged() {
		return // Google sells no other meanwhile
	}
	running := last.Running()
	pending := q.chance(15)
	var next *shop.Token
	switch {
	case running:
		next = q.shops.Play.Subscribe(sku, t.account, t.buyer.n, last, false, pending)
	case q.chance(50):
		next = q.shops.Play.Subscribe(sku, "", t.buyer.n, last, true, pending)
	default:
		// A new chain, of which nothing says that it is the same customer's but the account.
		fresh := &thing{q: q, buyer: t.buyer, store: t.store, sku: sku, account: t.account, foreign: t.foreign, renews: true}
		fresh.tokens = []*shop.Token{q.shops.Play.Subscribe(sku, t.account, t.buyer.n, nil, false, pending)}
		t.buyer.get(fresh, pending)
		return
	}
	before := len(t.tokens)
	t.tokens = append(t.tokens, next)
	t.known()
	if pending {
		paid := q.chance(75)
		q.w.After(q.within(3*24*time.Hour), func() {
			q.shops.Play.Settle(next, paid)
			if !paid && len(t.tokens) == before+1 {
				t.tokens = t.tokens[:before]
			}
		})
	}
	q.after(t, t.buyer.id)
}

// refunded has the store give money back, or not, or take it again.
func (t *thing) refunded() {
	q := t.q
	all := t.orders()
	if len(all) == 0 || t.shared {
		return
	}
	o := all[len(all)-1]
	if q.chance(25) {
		o = all[q.w.Dice.IntN(len(all))]
	}
	switch t.store {
	case "apple":
		t.refundedApple(o)
	case "play":
		if units := o.Quantity; units > 1 && q.chance(50) {
			q.shops.Play.RefundSome(o, 1+q.w.Dice.IntN(units-1))
			return
		}
		q.shops.Play.Refund(o, q.chance(80))
	default:
		q.shops.AppsInToss.Refund(t.toss)
	}
}

func (t *thing) refundedApple(o *shop.Order) {
	q := t.q
	decide := func() {
		switch n := q.w.Dice.IntN(10); {
		case n < 2:
			q.shops.Apple.Decline(o)
		case n < 4:
			q.shops.Apple.Refund(o, 1+q.w.Dice.IntN(99_999))
		default:
			q.shops.Apple.Refund(o, 100_000)
		}
		if q.chance(25) {
			q.w.After(q.within(5*24*time.Hour), func() { q.shops.Apple.Reverse(o) })
		}
	}
	if q.chance(50) {
		q.shops.Apple.AskWhy(o)
		q.w.After(q.within(48*time.Hour), decide)
		return
	}
	decide()
}
