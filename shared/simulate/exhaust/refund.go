package exhaust

import (
	"bytes"
	"context"
	"sync"
	"time"

	"grantline/shared/billing"
	"grantline/shared/entitlement"
	"grantline/shared/notice"
	"grantline/shared/table"
)

// part is how much of the first period is given back where that is not all.
const part = 300

// paid is a subscription whose first period was paid, and whose second is a month away.
var (
	paidKeyed   = sync.OnceValue(func() begins { return signedUp(true).begins() })
	paidKeyless = sync.OnceValue(func() begins { return signedUp(false).begins() })
	firstOrder  = sync.OnceValue(func() string { return billing.OrderID(scope, subscriptionID, 0, 1) })
)

// giving is a contract of which money of the first period is given back.
type giving struct {
	*contract
	asked map[string]int64 // by reference; 0 is all
}

// refunds race for the money of a period that was paid: whoever asks for it back, the gateway's
// word of it, the next period's charge, and the agreement's end.
func refunds() []*Set {
	var sets []*Set
	for _, isKeyed := range []bool{true, false} {
		name, due, paid := "-keyless", dueKeyless, paidKeyless
		if isKeyed {
			name, due, paid = "-keyed", dueKeyed, paidKeyed
		}
		add := func(of string, begins func() begins, race func(g *giving)) {
			sets = append(sets, &Set{
				Name: of + name, Faults: 1, Calls: 1, Late: true, Stale: true,
				Stage: func(p *Path) {
					g := &giving{staged(p, isKeyed, begins()), map[string]int64{}}
					p.Settle(g.rest)
					race(g)
				},
			})
		}
		add("refund-renewal", due, func(g *giving) {
			g.refund("refund", "once", 0)
			g.deliver("delivery")
			g.returned("refund notice")
		})
		add("refund-renewal-cancel", due, func(g *giving) {
			g.refund("refund", "once", 0)
			g.deliver("delivery")
			g.cancel(true)
		})
		add("refund-same", paid, func(g *giving) {
			g.refund("refund 1", "once", part)
			g.refund("refund 2", "once", part)
			g.returned("refund notice")
		})
		add("refund-two", paid, func(g *giving) {
			g.refund("refund 1", "once", part)
			g.refund("refund 2", "again", part)
			g.returned("refund notice")
		})
		add("refund-rest", paid, func(g *giving) {
			g.refund("refund 1", "once", part)
			g.refund("refund 2", "all", 0)
			g.returned("refund notice")
		})
		add("refund-renewed", due, func(g *giving) {
			g.deliver("delivery")
			g.notice("webhook")
			g.again = append(g.again, again{g.RaceWhen("refund", func() bool { return g.paidNow() }, g.refundNow), time.Second, g.refundNow, false})
		})
		if isKeyed {
			add("refund-forgotten", paid, func(g *giving) {
				g.forgets = true
				g.refund("refund", "once", part)
				g.returned("refund notice")
			})
		}
		add("refund-cancel", paid, func(g *giving) {
			g.refund("refund", "once", 0)
			g.cancel(true)
			g.returned("refund notice")
		})
	}
	return sets
}

// refund is somebody who asks for money back until there is an answer.
func (g *giving) refund(name, reference string, amount int64) {
	g.asked[reference] = amount
	g.ask(name, func(ctx context.Context) error {
		_, _, err := g.biller.Refund(ctx, scope, billing.RefundAsk{OrderID: firstOrder(), Amount: amount, Reason: "why", Reference: reference})
		return err
	})
}

// paidNow says that the period that is due is paid, as far as the books know.
func (g *giving) paidNow() bool {
	item, ok := g.Tables.Peek(table.Key{Table: table.Orders, Partition: scope.Key(g.orders[0].id)})
	return ok && bytes.Contains(item.Data, []byte(`"state":"paid"`))
}

// refundNow asks for all money of that period back.
func (g *giving) refundNow(ctx context.Context) error {
	_, _, err := g.biller.Refund(ctx, scope, billing.RefundAsk{OrderID: g.orders[0].id, Reason: "why", Reference: "now"})
	return err
}

// returned is the gateway's word that money was given back, once some was.
func (g *giving) returned(name string) {
	h := notice.Hint{Project: scope.Project, Environment: scope.Environment, Provider: "toss", Type: "PAYMENT_STATUS_CHANGED", Order: firstOrder()}
	if !g.keyed {
		h.Provider, h.Type, h.Signed, h.Payment = "dodo", "refund.succeeded", true, g.payments[0].key
	}
	work := func(ctx context.Context) error {
		_, err := billing.Notices{Biller: g.biller}.LookAgain(ctx, h)
		return err
	}
	when := func() bool { return len(g.till.refunds) > 0 }
	g.again = append(g.again, again{g.RaceWhen(name, when, work), 6 * time.Minute, work, true})
}

// rest is that of the contract, and what the first period comes to.
func (g *giving) rest() {
	g.contract.rest()
	if g.World.Violated() != nil {
		return
	}
	p := g.payments[0]
	want := int64(0)
	for _, amount := range g.asked {
		if amount == 0 {
			want = p.amount
			break
		}
		want += amount
	}
	if got := g.till.returned(p.key); got != want {
		g.Fail("what is asked to be given back is given back once", "of %d of the first period %d are given back, want %d", p.amount, got, want)
	}
	ctx := context.Background()
	item, err := g.Tables.Get(ctx, table.Key{Table: table.Orders, Partition: scope.Key(firstOrder())})
	must(err)
	order, err := billing.DecodeCharge(item)
	must(err)
	said := int64(0)
	for _, r := range order.Refunds {
		if _, ours := g.asked[r.Reference]; ours && r.State == billing.RefundDone {
			said += r.Amount
		}
	}
	if said != want {
		g.Fail("a refund that was made is not said to be refused", "%d are given back as they were asked for, and %d are said to be", want, said)
	}
	s, err := g.biller.Get(ctx, scope, subscriptionID)
	must(err)
	c := folded(g.Path, s.Customer)
	for _, o := range c.Sources() {
		if o.Ref == s.ID && want == p.amount && s.Period == 1 && s.LastPaid != nil && s.LastPaid.Period == 0 && o.State == entitlement.Active {
			g.Fail("entitlement follows the books", "all of the running period is given back, and it gives access")
		}
	}
}
