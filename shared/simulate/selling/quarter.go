package selling

import (
	"context"
	"strconv"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/simulate"
	"grantline/shared/simulate/deployment"
	"grantline/shared/simulate/shop"
	"grantline/shared/table"
)

// Options is who lives in the quarter.
type Options struct {
	Shops  *shop.Street // those that the deployment sells through
	Habits shop.Habits  // of the shops, while it is not calm
	People int
	Span   time.Duration // until when they act
}

// Quarter is the people, what they bought, and what is known of our promises to them.
type Quarter struct {
	// Sold, Granted, Returned, Claims, Spends and Moved count what happened.
	Sold, Granted, Returned, Claims, Spends, Moved int

	w       *simulate.World
	d       *deployment.Deployment
	shops   *shop.Street
	options Options
	end     time.Time
	calm    bool
	people  []*person
	things  []*thing
	byLine  map[string]*thing // by store and line
	serial  int

	books    *books
	orders   map[string]*order
	held     map[string]*holding // by the key of the line
	restore  purchase.RestorePolicy
	accepted []accepted
}

// accepted is a notice that came in.
type accepted struct {
	key table.Key
	at  time.Time
}

// Products are what the quarter sells, as the catalog has them.
const Products = `[
 {"id": "premium_monthly", "kind": "subscription", "entitlement": "premium",
  "stores": {"apple": "com.example.premium.monthly", "play": "premium:monthly", "appsintoss": "premium-1month"}},
 {"id": "premium_yearly", "kind": "subscription", "entitlement": "premium",
  "stores": {"apple": "com.example.premium.yearly", "play": "premium:yearly"}},
 {"id": "ad_free", "kind": "non_consumable", "entitlement": "ad_free",
  "stores": {"apple": "com.example.adfree", "play": "ad_free", "appsintoss": "ad-free"}},
 {"id": "gems_100", "kind": "consumable", "currency": "gems", "amount": 100,
  "stores": {"apple": "com.example.gems100", "play": "gems_100", "appsintoss": "gems-100"}},
 {"id": "movie_rental_7d", "kind": "non_renewing", "entitlement": "movie_rental", "days": 7,
  "stores": {"apple": "com.example.rental7d"}}
]`

// Goods is a catalog of the Products alone.
func Goods() *catalog.Catalog {
	c, err := catalog.Parse([]byte(`{"products": ` + Products + `, "plans": []}`))
	if err != nil {
		panic("selling: " + err.Error())
	}
	return c
}

// New has people move into the quarter of a deployment that sells through the shops.
func New(d *deployment.Deployment, o Options) *Quarter {
	q := &Quarter{
		w: d.World, d: d, shops: o.Shops, options: o, end: d.World.Now().Add(o.Span),
		byLine: map[string]*thing{}, held: map[string]*holding{}, orders: map[string]*order{}, books: newBooks(),
		restore: d.Release().Book.Restore,
	}
	q.shops.Behave(o.Habits)
	q.shops.Listen(q.receive, shop.Watcher{
		Sold:         q.sold,
		Returned:     q.returned,
		Acknowledged: q.acknowledged,
	})
	d.Tables.Watch(q.committed)
	for n := range o.People {
		q.people = append(q.people, q.move(n))
	}
	for _, p := range q.people {
		q.w.After(q.within(20*24*time.Hour), p.act)
	}
	return q
}

// Calm has people rest and shops behave, or not any more.
func (q *Quarter) Calm(is bool) {
	if q.calm = is; !is {
		q.shops.Behave(q.options.Habits)
		for _, p := range q.people {
			q.w.After(q.within(3*24*time.Hour), p.act)
		}
		return
	}
	q.shops.Behave(shop.Habits{Poor: q.options.Habits.Poor})
	// Each comes once more with what it was not told to have. To come with all of it would hide
	// what was missed.
	for _, p := range q.people {
		q.w.After(24*time.Hour+q.within(24*time.Hour), p.finish)
	}
}

// receive is a webhook that was let in.
func (q *Quarter) receive(h notice.Hint) {
	key := table.Key{Table: table.Notices, Partition: table.Default.Key(h.Provider, h.ID)}
	q.accepted = append(q.accepted, accepted{key, q.w.Now()})
	q.d.Receive(h)
}

func (q *Quarter) fail(promise, detail string, args ...any) { q.w.Fail(promise, detail, args...) }

// within is some time shorter than d.
func (q *Quarter) within(d time.Duration) time.Duration {
	return time.Duration(q.w.Dice.Int64N(int64(d)))
}

// chance is true in n of a hundred cases.
func (q *Quarter) chance(n int) bool { return q.w.Dice.IntN(100) < n }

// next is a name that nobody has had.
func (q *Quarter) next(what string) string {
	q.serial++
	return what + strconv.Itoa(q.serial)
}

// ref is our own id of whom the company calls id.
func (q *Quarter) ref(id string) string {
	ref, err := q.d.Release().Directory.Identity.Ref(context.Background(), table.Default, id)
	if err != nil {
		panic("selling: " + err.Error())
	}
	return ref
}
