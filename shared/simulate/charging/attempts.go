package charging

import (
	"slices"
	"time"

	"grantline/shared/billing"
	"grantline/shared/schedule"
)

// skewed is how far before an instant a function may believe that it has come.
const skewed = 3 * time.Second

// effect is what a gateway did about an order, by the gateway itself: it took money, or
// refused for good.
type effect struct {
	order    string
	payment  string // "" of a decline
	amount   int64
	currency string
	card     string // "" where no card was asked
	code     string
	class    billing.Class
	approval bool // the customer approved a mandate on the gateway's page, which took it
}

// took is money taken, at the very moment.
func (q *Quarter) took(e effect) {
	now := q.w.Now()
	q.Taken++
	q.w.Tell("gateway", "takes "+e.payment, q.about(e.order))
	p := &payment{id: e.payment, order: e.order, amount: e.amount, at: now}
	q.payments = append(q.payments, p)
	q.paymentOf[e.payment] = p
	o := q.orders[e.order]
	if o == nil {
		if !e.approval { // that order is written when we hear of it
			q.fail("no money without a record", "%d taken for order %s, which is not written", e.amount, e.order)
			return
		}
		o = &order{ID: e.order}
		q.orders[e.order] = o
		q.listed = append(q.listed, o)
	}
	o.payments = append(o.payments, p)
	if o.Kind == "" {
		return // held against its record at rest
	}
	if e.amount != o.Amount || e.currency != o.Currency {
		q.fail("what is taken is what was agreed", "order %s: %d %s taken, %d %s written", o.ID, e.amount, e.currency, o.Amount, o.Currency)
	}
	if o.State != billing.Sending && o.State != billing.Unknown {
		q.fail("no money without a record", "order %s is %s, and %d was taken for it", o.ID, o.State, e.amount)
	}
	if len(o.payments) > 1 {
		q.fail("one success for each order", "order %s was paid by %s and %s", o.ID, o.payments[0].id, e.payment)
	}
	s := q.subscription(o.Subscription)
	if o.OnDemand {
		if !s.ended.IsZero() && o.SentAt.After(s.ended.Add(skewed)) {
			q.fail("nothing after \"you will not be charged\"", "subscription %s was over at %s, and order %s was sent at %s",
				s.ID, s.ended.Format(time.RFC3339), o.ID, o.SentAt.Format(time.RFC3339))
		}
		return
	}
	if price, ok := q.prices[o.Plan]; !ok || price != e.amount {
		q.fail("what is taken is what was agreed", "order %s: %d taken, plan %s costs %d", o.ID, e.amount, o.Plan, price)
	}
	n := s.period(o.Period)
	q.attempted(s, n, o, e, now)
	if n.paid = append(n.paid, o); len(n.paid) > 1 {
		q.fail("one success for each subscription and period", "subscription %s, period %d: paid by orders %s and %s", s.ID, o.Period, n.paid[0].ID, o.ID)
	}
	if !s.promised.IsZero() {
		q.fail("nothing after \"you will not be charged\"", "subscription %s: said at %s, and order %s was paid", s.ID, s.promised.Format(time.RFC3339), o.ID)
	}
}

// refused is a decline, at the very moment.
func (q *Quarter) refused(e effect) {
	q.Declined++
	q.w.Tell("gateway", "refuses "+e.code, q.about(e.order))
	o := q.orders[e.order]
	if o == nil || o.OnDemand || o.Kind == "" {
		return
	}
	s := q.subscription(o.Subscription)
	n := s.period(o.Period)
	q.attempted(s, n, o, e, q.w.Now())
	n.declines = slices.DeleteFunc(n.declines, func(d decline) bool { return d.order == o.ID }) // the same attempt, sent again
	n.declines = append(n.declines, decline{o.ID, e.card, o.Cards, e.code, e.class, q.w.Now()})
}

// attempted holds an attempt of a period against the safe retry policy.
func (q *Quarter) attempted(s *subscription, n *period, o *order, e effect, now time.Time) {
	if n.attempts[o.ID] {
		return // the same attempt, answered once more
	}
	n.attempts[o.ID] = true
	q.Attempts++
	if n.plan == "" {
		n.plan = o.Plan
	} else if n.plan != o.Plan {
		q.fail("a period is of one plan", "subscription %s, period %d: order %s is of plan %s, and those before were of %s", s.ID, o.Period, o.ID, o.Plan, n.plan)
	}
	if len(n.attempts) > schedule.MostAttempts {
		q.fail("at most four attempts", "subscription %s, period %d: order %s is the %dth", s.ID, o.Period, o.ID, len(n.attempts))
	}
	if len(n.paid) > 0 {
		q.fail("nothing after success", "subscription %s, period %d: order %s after %s was paid", s.ID, o.Period, o.ID, n.paid[0].ID)
	}
	last, same := "", 0
	for _, d := range n.declines {
		if d.order == o.ID || !d.of(o, e) || q.toss != nil && q.toss.Untold(d.order) {
			continue
		}
		if d.class == billing.Hard {
			q.fail("nothing after a hard decline", "subscription %s, period %d: order %s after %s of the same card", s.ID, o.Period, o.ID, d.code)
		}
		if d.class != billing.Soft {
			continue
		}
		if d.code == last {
			same++
		}
		last = d.code
	}
	if same > 0 && !(s.Terms.Repeat && last == "INSUFFICIENT_FUNDS") {
		q.fail("nothing after two equal declines", "subscription %s, period %d: order %s after %s twice", s.ID, o.Period, o.ID, last)
	}
	if e.approval || s.Terms.Cycle == "" {
		return
	}
	c, err := calendarOf(s.Anchor, s.Terms.Zone, s.Terms.Cycle)
	if err != nil || o.Period < s.Base {
		return
	}
	at, ok := c.attempt(o.Period-s.Base, o.Attempt)
	hastened := s.Hastened && s.Period == o.Period && o.Attempt > 1
	if ok && !hastened && now.Add(skewed).Before(at) {
		q.fail("nothing before it is due", "subscription %s, period %d, attempt %d at %s, due at %s", s.ID, o.Period, o.Attempt, now.Format(time.RFC3339), at.Format(time.RFC3339))
	}
	if next := c.due(o.Period - s.Base + 1); now.After(next.Add(lateEffect)) {
		q.fail("two periods are never charged at once", "subscription %s: order %s of period %d at %s, the next is due since %s",
			s.ID, o.ID, o.Period, now.Format(time.RFC3339), next.Format(time.RFC3339))
	}
	if o.Attempt > 1 && !hastened {
		q.told(s, n, o, at)
	}
}

// of says whether a decline was of the card that is asked now.
func (d decline) of(o *order, e effect) bool {
	if d.card == "" || e.card == "" {
		return d.cards == o.Cards
	}
	return d.card == e.card
}

// known is since when the last decline before an order is known: an outcome that nobody knew for
// days may leave less than a day to the next attempt.
func (n *period) known(order string) (at time.Time) {
	for _, d := range n.declines {
		if d.order != order && d.at.After(at) {
			at = d.at
		}
	}
	return at
}

// lateEffect is how long after it was sent a gateway may still take what was asked for.
const lateEffect = 2 * time.Hour

// returned is money given back by a gateway, at the very moment.
func (q *Quarter) returned(paymentID string, amount int64) {
	p := q.paymentOf[paymentID]
	if p == nil {
		return
	}
	q.Returned++
	q.w.Tell("gateway", "gives back of "+paymentID, q.about(p.order))
	if p.returned += amount; p.returned > p.amount {
		q.fail("no more is given back than was taken", "payment %s: %d of %d", p.id, p.returned, p.amount)
	}
}

// about is an order and whose it is, for the story.
func (q *Quarter) about(order string) string {
	if o := q.orders[order]; o != nil && o.Subscription != "" {
		return order + " of " + o.Subscription
	}
	return order
}
