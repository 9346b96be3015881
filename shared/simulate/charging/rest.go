package charging

import (
	"context"
	"slices"
	"time"

	"grantline/shared/billing"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/table"
)

// Calm has people do nothing new until it is over.
func (q *Quarter) Calm(is bool) { q.calm = is }

// Settles is how long after the last fault all is known: an order that nothing can be sent
// under again is looked for for two days, and refunds for one more.
const Settles = 4 * 24 * time.Hour

// underWay is for how long a charge may be in calm weather: a gateway takes an hour to decide.
const underWay = 3 * time.Hour

// late is how far past its time a wake-up may be at rest: schedules have their outages in calm
// weather too, of eight hours at most.
const late = 10 * time.Hour

// AtRest holds the books against the gateways' once everything had its time.
func (q *Quarter) AtRest() {
	q.ordersAtRest()
	q.moneyAtRest()
	for _, s := range q.agreed {
		if s.seen {
			q.subscriptionAtRest(s)
		}
	}
}

func (q *Quarter) ordersAtRest() {
	now := q.w.Now()
	for _, o := range q.listed {
		if o.Kind == "" {
			continue
		}
		if o.State == billing.Sending || o.State == billing.Unknown {
			if o.SentAt.After(now.Add(-underWay)) {
				continue
			}
			if s := q.subscription(o.Subscription); s.WakeAt.After(now.Add(-late)) && s.WakeAt.Before(now.Add(15*24*time.Hour)) {
				continue // a page that its customer may still open, or a payment that its gateway has not decided
			}
			q.fail("nothing is stuck", "order %s of %s is %s, period %d, attempt %d", o.ID, o.Subscription, o.State, o.Period, o.Attempt)
		}
		for _, r := range o.Refunds {
			if r.State == billing.RefundSending || r.State == billing.RefundUnknown {
				q.fail("nothing is stuck", "a refund of order %s of %s is %s", o.ID, o.Subscription, r.State)
			}
		}
	}
}

// moneyAtRest: whatever a gateway took is in our books, or was given back.
func (q *Quarter) moneyAtRest() {
	for _, p := range q.payments {
		o := q.orders[p.order]
		q.refundsAtRest(p, o)
		if o != nil && slices.ContainsFunc(o.Refunds, func(r refund) bool { return r.State == billing.RefundRefused }) {
			continue // its gateway will not give it back, and a person was called
		}
		if o != nil && !o.OnDemand && o.Kind != "" && p.returned < p.amount && o.SentAt.Before(q.w.Now().Add(-underWay)) {
			if s := q.subscription(o.Subscription); !s.ended.IsZero() && p.at.After(s.ended) {
				q.fail("what is taken after the end is given back", "subscription %s was over at %s, and order %s was paid at %s",
					s.ID, s.ended.Format(time.RFC3339), o.ID, p.at.Format(time.RFC3339))
			}
		}
		switch {
		case o == nil || o.Kind == "":
			q.fail("no money without a record", "payment %s of %d for order %s is in no book", p.id, p.amount, p.order)
		case o.State == billing.Paid && o.Payment != nil && o.Payment.Key == p.id:
			if o.Refunded != p.returned {
				q.fail("what was given back is written", "order %s: %d given back, %d written", o.ID, p.returned, o.Refunded)
			}
		case p.returned != p.amount && o.SentAt.Before(q.w.Now().Add(-underWay)):
			q.fail("no money without a record", "payment %s of %d for order %s, which is %s, and %d was given back", p.id, p.amount, o.ID, o.State, p.returned)
		}
	}
}

// elsewhere is what our books say of money that was given back without our asking.
const elsewhere = "Given back at the gateway."

// refundsAtRest: what was given back because we asked for it is what we say that we did.
func (q *Quarter) refundsAtRest(p *payment, o *order) {
	if o == nil || q.paid[p.id] == nil {
		return
	}
	var asked, made int64
	for _, r := range o.Refunds {
		own := r.Stray == "" && o.Payment != nil && o.Payment.Key == p.id
		if r.State == billing.RefundDone && r.Reason != elsewhere && (own || r.Stray == p.id) {
			asked += r.Amount
		}
	}
	lookalike := false
	for _, r := range q.paid[p.id].Refunds {
		if r.Key != "" && r.Done() {
			made += r.Amount
		}
	}
	// One of ours that was lost, and as much given back at the console meanwhile, are one and the
	// same to whoever looks: Toss's cancels name no key.
	for _, r := range q.paid[p.id].Refunds {
		lookalike = lookalike || r.Key == "" && r.Done() && r.Amount == asked-made
	}
	if asked != made && !(lookalike && q.toss != nil) {
		q.fail("each refund is made once, and said to be", "payment %s of order %s: %d given back as we asked, and %d written", p.id, p.order, made, asked)
	}
}

// subscriptionAtRest: it waits for what is to come, and its customer may use what is paid.
func (q *Quarter) subscriptionAtRest(s *subscription) {
	now := q.w.Now()
	if s.Step != billing.StepNone && s.WakeAt.Before(now.Add(-late)) {
		q.fail("nothing is stuck", "subscription %s should have gone on with %s at %s", s.ID, s.Step, s.WakeAt.Format(time.RFC3339))
	}
	alive := s.State == billing.StateActive || s.State == billing.StatePastDue
	if s.Terms.OnDemand || s.Terms.Entitlement == "" {
		return
	}
	if alive && s.Step == billing.StepNone {
		q.fail("nothing is stuck", "subscription %s is %s and waits for nothing", s.ID, s.State)
	}
	c, err := customer.Read(context.Background(), q.d.Tables, table.Default, s.Customer)
	if err != nil {
		q.fail("entitlement follows the books", "subscription %s: its customer: %v", s.ID, err)
		return
	}
	open := false
	for _, src := range c.Sources() {
		if src.Kind == entitlement.KindSubscription && src.Ref == s.ID {
			open = src.Gives(now)
		}
	}
	// The last period of which money was taken and not given back.
	paid, last := false, s.Period-1
	if n := s.periods[last]; n != nil {
		for _, o := range n.paid {
			for _, p := range o.payments {
				paid = paid || p.returned < p.amount
			}
		}
	}
	var want bool
	switch s.State {
	case billing.StateActive:
		cal, err := calendarOf(s.Anchor, s.Terms.Zone, s.Terms.Cycle)
		if err != nil {
			return
		}
		until := cal.due(s.Period - s.Base)
		want = paid && (now.Before(until) || !s.Ending) // one that renews is open while its renewal is under way
	case billing.StatePastDue:
		want = paid && !s.Waits && (s.Terms.Grace || !s.blamed())
	case billing.StatePending, billing.StateUnpaid, billing.StateCancelled:
	}
	if open != want {
		q.fail("entitlement follows the books", "subscription %s is %s: open %t, and its period %d is paid %t", s.ID, s.State, open, last, paid)
	}
}

// blamed says that the running period was declined for something that is the card's or the
// customer's, and not for an outage.
func (s *subscription) blamed() bool {
	n := s.periods[s.Period]
	return n != nil && slices.ContainsFunc(n.declines, func(d decline) bool { return d.class != billing.Passing })
}
