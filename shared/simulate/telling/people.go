package telling

import (
	"context"
	"fmt"
	"time"

	"grantline/shared/customer"
	"grantline/shared/simulate/deployment"
	"grantline/shared/table"
)

// local is a customer of the quarter's own, who is given things by the company and uses them.
type local struct {
	scope  table.Scope
	id     string // the company's
	grants []customer.Grant
	spends []string
}

// settle has customers live in a scope.
func (q *Quarter) settle(scope table.Scope) {
	locals := make([]*local, q.o.Customers)
	for n := range locals {
		locals[n] = &local{scope: scope, id: fmt.Sprintf("%s person %d", scope.Environment, n)}
		if n%5 == 4 {
			locals[n].id = fmt.Sprintf("$RCAnonymousID:%s%d", scope.Environment, n)
		}
		q.live(locals[n], locals)
	}
}

// live has somebody do something, and something else later.
func (q *Quarter) live(l *local, others []*local) {
	q.w.After(time.Minute+q.within(max(40*time.Hour, q.o.Span/35)), func() {
		if q.over() {
			return
		}
		q.live(l, others)
		if q.calm {
			return
		}
		times := 1
		if q.chance(3) {
			times = 12 // all at once, more than are written down together
		}
		for range times {
			q.act(l, others)
		}
	})
}

// reference is one that nobody has used.
func (q *Quarter) reference() string {
	q.made++
	return fmt.Sprintf("r%d", q.made)
}

const gems = "gems"

// act is one thing that a customer does or that is done to it.
func (q *Quarter) act(l *local, others []*local) {
	ask := func(do func(ctx context.Context, d deployment.Customers) error) {
		q.d.Ask("api", func(ctx context.Context, r *deployment.Release) error { return do(ctx, r.Customers) }, q.sound)
	}
	clk, now := q.w.Clock(), q.w.Now()
	switch n := q.w.Dice.IntN(100); {
	case n < 22:
		g := customer.Grant{Entitlement: []string{"premium", "plus", "ad_free"}[q.w.Dice.IntN(3)], Reference: q.reference(), Reason: "as a gift"}
		if q.chance(60) {
			g.ExpiresAt = now.Add(2*24*time.Hour + q.within(30*24*time.Hour))
		}
		l.grants = append(l.grants, g)
		ask(func(ctx context.Context, d deployment.Customers) error {
			return again(d.Grant(ctx, l.scope, l.id, g, clk))
		})
	case n < 36 && len(l.grants) > 0:
		g := l.grants[q.w.Dice.IntN(len(l.grants))]
		ask(func(ctx context.Context, d deployment.Customers) error {
			return again(d.Revoke(ctx, l.scope, l.id, g, clk))
		})
	case n < 58:
		credit := customer.CreditAsk{Currency: gems, Amount: 1 + q.w.Dice.Int64N(100), Reference: q.reference(), Reason: "for patience"}
		if q.chance(50) {
			end := now.Add(2*24*time.Hour + q.within(20*24*time.Hour))
			credit.ExpiresAt = &end
		}
		ask(func(ctx context.Context, d deployment.Customers) error {
			_, _, err := d.Credit(ctx, l.scope, l.id, credit, clk)
			return err
		})
	case n < 80:
		spend := customer.SpendAsk{Currency: gems, Amount: 1 + q.w.Dice.Int64N(40), Reference: q.reference(), By: "server"}
		l.spends = append(l.spends, spend.Reference)
		ask(func(ctx context.Context, d deployment.Customers) error {
			_, _, err := d.Spend(ctx, l.scope, l.id, spend, clk)
			return err
		})
	case n < 90 && len(l.spends) > 0:
		back := customer.UnspendAsk{Currency: gems, Spend: l.spends[q.w.Dice.IntN(len(l.spends))], Reference: q.reference()}
		ask(func(ctx context.Context, d deployment.Customers) error {
			_, _, _, err := d.Unspend(ctx, l.scope, l.id, back, clk)
			return err
		})
	case n < 93:
		other := customer.Alias{ID: l.id, Other: "another name " + q.reference()}
		ask(func(ctx context.Context, d deployment.Customers) error {
			return again(d.Join(ctx, l.scope, other, clk))
		})
	case n < 97:
		other := customer.Alias{ID: l.id, Other: others[q.w.Dice.IntN(len(others))].id}
		ask(func(ctx context.Context, d deployment.Customers) error {
			return again(d.Join(ctx, l.scope, other, clk))
		})
	case n < 99:
		ask(func(ctx context.Context, d deployment.Customers) error { return d.Erase(ctx, l.scope, l.id, clk) })
	default:
		ask(func(ctx context.Context, d deployment.Customers) error { return d.SignedIn(ctx, l.scope, l.id, clk) })
	}
}

func again(_ *customer.Customer, err error) error { return err }
