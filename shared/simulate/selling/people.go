package selling

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/simulate/deployment"
	"grantline/shared/simulate/shop"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// person buys at one store, with one or two devices.
type person struct {
	q     *Quarter
	n     int
	id    string // the company's
	other string // under which it does things before it signs in; a name of its own once it did
	store string
	// account is what its app gives to the store, "" if it gives nothing, and foreign says that
	// this is a name of the company's own making, which names nobody before the first claim.
	account string
	foreign bool
	userKey string
	has     []*thing
	spent   []*spend
	grants  []*grant
	acting  bool
}

type spend struct {
	reference string
	amount    int64
	done      bool
}

type grant struct {
	customer.Grant
	known, granted, revoked bool
}

var storeNames = [...]string{"apple", "play", "appsintoss"}

// goods of a store, by what they are.
var (
	gems    = map[string]string{"apple": "com.example.gems100", "play": "gems_100", "appsintoss": "gems-100"}
	adFree  = map[string]string{"apple": "com.example.adfree", "play": "ad_free", "appsintoss": "ad-free"}
	monthly = map[string]string{"apple": "com.example.premium.monthly", "play": "premium:monthly", "appsintoss": "premium-1month"}
	yearly  = map[string]string{"apple": "com.example.premium.yearly", "play": "premium:yearly"}
)

const rental = "com.example.rental7d"

// move has one more person live here.
func (q *Quarter) move(n int) *person {
	p := &person{q: q, n: n, id: "buyer-" + strconv.Itoa(n), other: "anon_" + strconv.Itoa(n), store: storeNames[q.w.Dice.IntN(len(storeNames))]}
	p.userKey = "user-key-" + strconv.Itoa(n)
	named := 60
	if q.lends() {
		named = 25
	}
	if q.chance(named) {
		ids, err := q.d.Release().Directory.Identity.StoreIDs(context.Background(), table.Default, p.id)
		if err != nil {
			panic("selling: " + err.Error())
		}
		p.account = ids.At(p.store)
	} else if q.chance(30) && p.store != "appsintoss" {
		p.account, p.foreign = fmt.Sprintf("0f8fad5b-d9cb-469f-a165-7086772%05d", n), true
	}
	return p
}

// act does something, and something else some time later.
func (p *person) act() {
	q := p.q
	if q.calm || q.w.Now().After(q.end) {
		p.acting = false
		return
	}
	for range 1 + q.w.Dice.IntN(2) {
		q.w.After(q.within(2*time.Second), p.something)
	}
	if !p.acting {
		p.acting = true
	}
	q.w.After(6*time.Hour+q.within(12*24*time.Hour), p.act)
}

func (p *person) something() {
	q := p.q
	switch n := q.w.Dice.IntN(100); {
	case n < 22:
		p.buy(gems[p.store], 1+q.w.Dice.IntN(3))
	case n < 27:
		p.buyOnce(adFree[p.store])
	case n < 29 && p.store == "apple":
		p.buy(rental, 1)
	case n < 32 && p.store == "apple":
		p.share()
	case n < 40:
		p.subscribe()
	case n < 50:
		p.changeMind()
	case n < 60:
		p.wantBack()
	case n < 75:
		p.spend()
	case n < 80:
		p.unspend()
	case n < 83:
		p.finish()
	case n < 86:
		p.restore()
	case n < 90:
		p.isRobbed()
	case n < 91:
		p.signIn()
	case n < 92:
		p.grant()
	case n < 93:
		p.revoke()
	case n < 97:
		p.credit()
	case n < 98:
		p.forge()
	case n < 99:
		p.erase()
	default:
		p.joins()
	}
}

// name is what the app calls this person now: mostly its id.
func (p *person) name() string {
	if !p.foreign && p.q.chance(10) {
		return p.other
	}
	return p.id
}

// anybody is another person.
func (p *person) anybody() *person {
	o := p.q.people[p.q.w.Dice.IntN(len(p.q.people))]
	if o == p {
		return nil
	}
	return o
}

// ask is a request of the company's server or the app, that is repeated until it is answered.
func (p *person) ask(do func(ctx context.Context, r *deployment.Release) error, then func(error)) {
	p.q.d.Ask("api", do, then)
}

// signIn makes the name from before it signed in one of its own.
func (p *person) signIn() { p.join(p.other) }

// joins has two people turn out to be one.
func (p *person) joins() {
	if o := p.anybody(); o != nil && p.q.chance(30) {
		p.join(o.id)
	}
}

func (p *person) join(other string) {
	p.ask(func(ctx context.Context, r *deployment.Release) error {
		_, err := r.Customers.Join(ctx, table.Default, customer.Alias{ID: p.id, Other: other}, r.Book.Clock)
		return err
	}, nil)
}

func (p *person) erase() {
	p.ask(func(ctx context.Context, r *deployment.Release) error {
		return r.Customers.Erase(ctx, table.Default, p.id, r.Book.Clock)
	}, nil)
}

func (p *person) grant() {
	q := p.q
	g := &grant{Grant: customer.Grant{Entitlement: "premium", Reference: q.next("grant-"), Reason: "for patience"}}
	if q.chance(70) {
		g.ExpiresAt = q.w.Now().Add(q.within(60 * 24 * time.Hour)).Add(time.Hour).Truncate(time.Second)
	}
	p.grants = append(p.grants, g)
	give := func() {
		p.ask(func(ctx context.Context, r *deployment.Release) error {
			_, err := r.Customers.Grant(ctx, table.Default, p.id, g.Grant, r.Book.Clock)
			return err
		}, func(err error) { g.known, g.granted = true, g.granted || err == nil })
	}
	give()
	if q.chance(30) {
		give() // twice at once
	}
}

func (p *person) revoke() {
	q := p.q
	if len(p.grants) == 0 {
		return
	}
	g := p.grants[q.w.Dice.IntN(len(p.grants))]
	if !g.known || g.revoked {
		return
	}
	p.ask(func(ctx context.Context, r *deployment.Release) error {
		_, err := r.Customers.Revoke(ctx, table.Default, p.id, g.Grant, r.Book.Clock)
		return err
	}, func(err error) { g.revoked = g.revoked || err == nil })
}

// credit has the company give gems of its own, some for a while.
func (p *person) credit() {
	q := p.q
	ask := customer.CreditAsk{Currency: "gems", Amount: 1 + q.w.Dice.Int64N(50), Reference: q.next("credit-"), Reason: "sorry"}
	if q.chance(80) {
		end := q.w.Now().Add(time.Hour + q.within(40*24*time.Hour)).Truncate(time.Second)
		ask.ExpiresAt = &end
	}
	give := func() {
		p.ask(func(ctx context.Context, r *deployment.Release) error {
			_, _, err := r.Customers.Credit(ctx, table.Default, p.id, ask, r.Book.Clock)
			return err
		}, nil)
	}
	give()
	switch n := q.w.Dice.IntN(10); {
	case n < 3:
		give() // twice at once
	case n < 6:
		p.credit() // and another, that ends at another time
	}
}

// spend takes gems, often all of them, and often twice at once.
func (p *person) spend() {
	q := p.q
	name := p.name()
	balance := q.books.balance(q.ref(name))
	if balance < 1 {
		balance = 1
	}
	amount := 1 + q.w.Dice.Int64N(balance)
	if q.chance(40) {
		amount = balance
	}
	for range 1 + q.w.Dice.IntN(2) {
		p.spends(name, amount)
	}
}

func (p *person) spends(name string, amount int64) {
	q := p.q
	s := &spend{reference: q.next("spend-"), amount: min(amount, wallet.MostAmount)}
	p.spent = append(p.spent, s)
	take := func() {
		p.ask(func(ctx context.Context, r *deployment.Release) error {
			_, _, err := r.Customers.Spend(ctx, table.Default, name, customer.SpendAsk{
				Currency: "gems", Amount: s.amount, Reference: s.reference, By: "customer", Abuse: r.Book.Abuse,
			}, r.Book.Clock)
			return err
		}, func(err error) {
			if err == nil {
				s.done = true
				q.spentFor(s)
			}
		})
	}
	take()
	if q.chance(25) {
		q.w.After(q.within(5*time.Second), take)
	}
}

// unspend gives something of a spend back.
func (p *person) unspend() {
	q := p.q
	if len(p.spent) == 0 {
		return
	}
	s := p.spent[q.w.Dice.IntN(len(p.spent))]
	if !s.done {
		return
	}
	ask := customer.UnspendAsk{Currency: "gems", Spend: s.reference, Reference: q.next("unspend-")}
	if q.chance(60) {
		ask.Amount = 1 + q.w.Dice.Int64N(s.amount)
	}
	for range 1 + q.w.Dice.IntN(2) {
		p.ask(func(ctx context.Context, r *deployment.Release) error {
			_, _, _, err := r.Customers.Unspend(ctx, table.Default, p.id, ask, r.Book.Clock)
			return err
		}, nil)
	}
}

// buyOnce buys what nobody needs twice.
func (p *person) buyOnce(sku string) {
	for _, t := range p.has {
		if t.sku == sku && t.running() {
			return
		}
	}
	p.buy(sku, 1)
}

// buy buys something that does not renew, and has the app claim it.
func (p *person) buy(sku string, quantity int) {
	q := p.q
	t := &thing{q: q, buyer: p, store: p.store, sku: sku, account: p.account, foreign: p.foreign}
	pending := q.chance(15)
	switch p.store {
	case "apple":
		o := q.shops.Apple.Buy(&shop.Order{SKU: sku, Account: p.account, Buyer: p.n, Quantity: quantity})
		t.line = q.shops.Apple.Line(o)
		pending = false
	case "play":
		t.tokens = []*shop.Token{q.shops.Play.Buy(sku, p.account, p.n, quantity, pending)}
	case "appsintoss":
		t.toss = q.shops.AppsInToss.Buy(sku, p.n, p.userKey, pending)
	}
	p.get(t, pending)
}

// share lets somebody of the family have what was bought, or not any more.
func (p *person) share() {
	q := p.q
	for _, t := range p.has {
		if t.sku != adFree["apple"] || t.shared {
			continue
		}
		if last := t.line.Last(); !last.Paid() {
			continue
		}
		o := p.anybody()
		if o == nil || o.store != "apple" {
			return
		}
		account, foreign := o.account, o.foreign
		theirs := &thing{q: q, buyer: o, store: "apple", sku: t.sku, account: account, foreign: foreign, shared: true}
		order := q.shops.Apple.Share(t.line.Last(), account, o.n)
		theirs.line = q.shops.Apple.Line(order)
		o.get(theirs, false)
		if q.chance(50) {
			q.w.After(q.within(40*24*time.Hour), func() { q.shops.Apple.Revoke(order) })
		}
		return
	}
}

// forge comes with what no store sold.
func (p *person) forge() {
	q := p.q
	proof := purchase.Proof{Store: p.store, Evidence: q.next("forged-")}
	p.q.d.Ask("verify", func(ctx context.Context, r *deployment.Release) error {
		_, err := r.Purchases.Claim(ctx, table.Default, p.id, proof)
		return err
	}, func(err error) {
		if !errors.Is(err, fault.Invalid) {
			q.fail("no grant without a purchase", "what %s never sold was answered with %v", p.store, err)
		}
	})
}

func (p *person) subscribe() {
	q := p.q
	for _, t := range p.has {
		if t.renews && t.running() {
			return
		}
	}
	sku := monthly[p.store]
	if year := yearly[p.store]; year != "" && q.chance(25) {
		sku = year
	}
	t := &thing{q: q, buyer: p, store: p.store, sku: sku, account: p.account, foreign: p.foreign, renews: true}
	pending := q.chance(15)
	switch p.store {
	case "apple":
		// The same line once more, where there was one.
		for _, old := range p.has {
			if old.renews && q.shops.Apple.Again(old.line, sku) != nil {
				q.after(old, p.name())
				return
			}
		}
		t.line = q.shops.Apple.Subscribe(&shop.Order{SKU: sku, Account: p.account, Buyer: p.n})
		pending = false
	case "play":
		for _, old := range p.has {
			if old.renews && len(old.tokens) > 0 && q.chance(60) {
				old.again(sku)
				return
			}
		}
		t.tokens = []*shop.Token{q.shops.Play.Subscribe(sku, p.account, p.n, nil, false, pending)}
	case "appsintoss":
		t.toss = q.shops.AppsInToss.Buy(sku, p.n, p.userKey, pending)
	}
	p.get(t, pending)
}

// get is what happens after a purchase.
func (p *person) get(t *thing, pending bool) {
	q := p.q
	p.has = append(p.has, t)
	q.things = append(q.things, t)
	t.known()
	if pending {
		paid := q.chance(75)
		q.w.After(q.within(3*24*time.Hour), func() { t.settle(paid) })
	}
	if t.gives() && q.chance(10) {
		t.giftTo = p.anybody()
	}
	q.after(t, p.name())
}

// after is what apps do with what was bought just now.
func (q *Quarter) after(t *thing, name string) {
	switch n := q.w.Dice.IntN(100); {
	case n < 10: // the app was closed, and comes with it some other day
	case n < 40: // two devices at once
		wait := q.within(2 * time.Second)
		q.w.After(wait, func() { t.claim(t.buyer, name) })
		q.w.After(wait+q.within(50*time.Millisecond), func() { t.claim(t.buyer, name) })
	default:
		q.w.After(q.within(5*time.Second), func() { t.claim(t.buyer, name) })
	}
	if q.chance(8) {
		q.w.After(q.within(20*time.Second), t.robbed)
	}
	if q.chance(10) {
		q.w.After(q.within(time.Minute), t.refunded)
	}
}

// restore comes with all that was bought and is not used up, as a new device does.
func (p *person) restore() {
	for _, t := range p.has {
		if !t.done || t.sku != gems[t.store] {
			t.claim(p, p.id)
		}
	}
}

// finish comes with what nobody said to be granted so far, as each start of an app does.
func (p *person) finish() {
	for _, t := range p.has {
		if !t.done {
			t.claim(p, p.id)
		}
	}
}

// isRobbed has somebody else come with a proof of this person's.
func (p *person) isRobbed() {
	has := p.has
	if p.q.lends() { // phones are sold and lent out there, and more is on them than currency
		has = slices.DeleteFunc(slices.Clone(has), func(t *thing) bool { return t.sku == gems[t.store] })
	}
	if len(has) > 0 {
		has[p.q.w.Dice.IntN(len(has))].robbed()
	}
}

// changeMind cancels, resumes or changes a subscription.
func (p *person) changeMind() {
	for _, t := range p.has {
		if t.renews && t.running() {
			t.changed()
			return
		}
	}
}

// wantBack asks for money back.
func (p *person) wantBack() {
	if len(p.has) > 0 {
		p.has[p.q.w.Dice.IntN(len(p.has))].refunded()
	}
}
