// Package charging is the quarter of those who pay by card and mandate: customers who sign
// up, cancel, come back, change card and plan, are refunded and dispute, at the worst moment;
// and the watch that holds every effect of their gateways, and every write of ours, against
// what we promise. The promises are worked out by themselves, from the rules' texts and from
// the gateways' own books, and share no code with what they watch.
package charging

import (
	"fmt"
	"slices"
	"time"

	"grantline/shared/simulate"
	"grantline/shared/simulate/bank"
	"grantline/shared/simulate/deployment"
	"grantline/shared/table"
)

// Options is who lives in the quarter.
type Options struct {
	People int           // each has a subscription, or several one after another
	Span   time.Duration // until when they act
	// Calm says that nothing goes wrong, so that what weather may delay is in time.
	Calm bool
	// Burst has all of them sign up, and so be due, in the same minute.
	Burst bool
	// Paces are the accounts' a minute, by gateway: of several releases the fastest.
	Paces map[string]int
	// Post is the deployment's courier.
	Post *Post
}

// Quarter is the people, their gateways' books, and what is known of our promises to them.
type Quarter struct {
	// Taken, Declined, Returned and Attempts count effects at the gateways.
	Taken, Declined, Returned, Attempts int

	w       *simulate.World
	d       *deployment.Deployment
	toss    *bank.Toss
	dodo    *bank.Dodo
	options Options
	prefix  string
	end     time.Time
	people  []*person
	holders map[string]*person // by subscription
	prices  map[string]int64   // by plan

	orders        map[string]*order
	listed        []*order // in the order in which they were first seen
	payments      []*payment
	paymentOf     map[string]*payment
	paid          map[string]*bank.Payment
	subscriptions map[string]*subscription
	agreed        []*subscription
	reminded      map[retry]time.Time
	retries       map[string]*order // by customer, the one sent last
	calls         map[string]*calls // by gateway
	made          int               // ids given out
	calm          bool
}

// Plans are a catalog's that differ in all that decides something: zone, cycle, grace, and what
// follows the last attempt.
const Plans = `[
 {"id": "week", "gateway": "toss", "entitlement": "premium", "name": "Week", "price": {"units": 1900, "currency": "KRW"}, "cycle": "1 weeks", "grace": true, "after_last_attempt": "unpaid"},
 {"id": "fortnight", "gateway": "toss", "entitlement": "premium", "name": "Fortnight", "price": {"units": 2900, "currency": "KRW"}, "cycle": "2 weeks", "after_last_attempt": "cancelled"},
 {"id": "month", "gateway": "toss", "entitlement": "premium", "name": "Month", "price": {"units": 4900, "currency": "KRW"}, "cycle": "1 months", "grace": true, "after_last_attempt": "unpaid"},
 {"id": "month-ny", "gateway": "toss", "entitlement": "plus", "name": "Month", "price": {"units": 5900, "currency": "KRW"}, "cycle": "1 months", "zone": "America/New_York", "after_last_attempt": "unpaid"},
 {"id": "week-ny", "gateway": "toss", "entitlement": "plus", "name": "Week", "price": {"units": 1500, "currency": "KRW"}, "cycle": "1 weeks", "zone": "America/New_York", "grace": true, "after_last_attempt": "unpaid"},
 {"id": "quarter", "gateway": "toss", "entitlement": "plus", "name": "Quarter", "price": {"units": 12900, "currency": "KRW"}, "cycle": "3 months", "zone": "America/Santiago", "grace": true, "after_last_attempt": "cancelled"},
 {"id": "patient", "gateway": "toss", "entitlement": "plus", "name": "Patient", "price": {"units": 990, "currency": "KRW"}, "cycle": "1 months", "grace": true, "repeat_insufficient_funds": true, "after_last_attempt": "unpaid"},
 {"id": "month-usd", "gateway": "dodo", "product": "prod_month", "entitlement": "premium", "name": "Month", "price": {"units": 999, "currency": "USD"}, "cycle": "1 months", "grace": true, "after_last_attempt": "unpaid"},
 {"id": "cairo-usd", "gateway": "dodo", "product": "prod_cairo", "entitlement": "plus", "name": "Month", "price": {"units": 1299, "currency": "USD"}, "cycle": "1 months", "zone": "Africa/Cairo", "after_last_attempt": "cancelled"},
 {"id": "usage-usd", "gateway": "dodo", "product": "prod_usage", "on_demand": true, "name": "Usage", "after_last_attempt": "unpaid"}
]`

// besideEach is of how many people one is the same customer as the one before.
const besideEach = 5

// New has people move into the quarter. Their gateways are toss and dodo, which the deployment
// charges through.
func New(d *deployment.Deployment, toss *bank.Toss, dodo *bank.Dodo, o Options) *Quarter {
	q := &Quarter{
		w: d.World, d: d, toss: toss, dodo: dodo, options: o, prefix: table.Default.Key("x")[:len(table.Default.Key("x"))-1],
		end: d.World.Now().Add(o.Span), holders: map[string]*person{}, prices: map[string]int64{}, orders: map[string]*order{}, paymentOf: map[string]*payment{}, paid: map[string]*bank.Payment{},
		subscriptions: map[string]*subscription{}, reminded: map[retry]time.Time{}, retries: map[string]*order{}, calls: map[string]*calls{},
	}
	for _, id := range slices.Concat(tossPlans, dodoPlans) {
		plan, _ := d.Catalog.Plan(id)
		q.prices[id] = plan.Price.Units
	}
	if !o.Calm {
		toss.ShowsDeclines, toss.TellsCharges, toss.KeepsBroken = q.chance(50), q.chance(25), q.chance(50)
	}
	q.watch()
	q.pace("toss")
	q.pace("dodo")
	d.Tables.Watch(q.committed)
	for n := range o.People {
		p := &person{q: q, id: fmt.Sprintf("person-%d", n)}
		p.customer = p.id
		if q.people = append(q.people, p); n%besideEach == besideEach-1 {
			other := q.people[n-1]
			p.customer, other.beside = other.customer, p
			continue // signs up with the other
		}
		wait := q.within(30 * 24 * time.Hour)
		if o.Burst {
			wait = q.within(time.Minute)
		}
		q.w.After(wait, p.signUp)
	}
	return q
}

func (q *Quarter) fail(promise, detail string, args ...any) { q.w.Fail(promise, detail, args...) }

// within is some time shorter than d.
func (q *Quarter) within(d time.Duration) time.Duration {
	return time.Duration(q.w.Dice.Int64N(int64(d)))
}

// chance is true in n of a hundred cases.
func (q *Quarter) chance(n int) bool { return q.w.Dice.IntN(100) < n }

// next is an id that nobody has had.
func (q *Quarter) next(what string) string {
	q.made++
	return fmt.Sprintf("%s-%d", what, q.made)
}
