package exhaust

import (
	"context"

	"grantline/shared/billing"
)

// charges race for the money of a period that is due: messages about it, the gateway's word,
// and whoever changes the agreement meanwhile.
func charges() []*Set {
	var sets []*Set
	for _, isKeyed := range []bool{true, false} {
		name, due := "-keyless", dueKeyless
		tried, taken := triedKeyless, takenKeyless
		if isKeyed {
			name, due, tried, taken = "-keyed", dueKeyed, triedKeyed, takenKeyed
		}
		add := func(of string, begins func() begins, race func(c *contract)) {
			sets = append(sets, &Set{
				Name: of + name, Faults: 1, Calls: 1, Late: true, Stale: true,
				Stage: func(p *Path) { race(staged(p, isKeyed, begins())) },
			})
		}
		add("charge-webhook", due, func(c *contract) {
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.notice("webhook")
		})
		add("charge-cancel", due, func(c *contract) {
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.cancel(false)
		})
		add("charge-cancel-now", due, func(c *contract) {
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.cancel(true)
		})
		add("charge-cancel-webhook", due, func(c *contract) {
			c.deliver("delivery")
			c.cancel(false)
			c.notice("webhook")
		})
		add("charge-cancel-now-webhook", due, func(c *contract) {
			c.deliver("delivery")
			c.cancel(true)
			c.notice("webhook")
		})
		add("charge-plan", due, func(c *contract) {
			c.deliver("delivery")
			c.change()
		})
		add("charge-tried-lost", tried, func(c *contract) {
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.notice("webhook")
		})
		add("charge-tried-taken", taken, func(c *contract) {
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.notice("webhook")
		})
		add("charge-tried-cancel", tried, func(c *contract) {
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.cancel(true)
		})
		if isKeyed {
			add("charge-card", due, func(c *contract) {
				c.deliver("delivery")
				c.recard()
			})
		}
	}
	return sets
}

// cancel is the customer's word.
func (c *contract) cancel(atOnce bool) {
	c.ask("cancel", func(ctx context.Context) error {
		_, err := c.biller.Cancel(ctx, scope, subscriptionID, atOnce)
		return err
	})
}

// change is the customer's wish for another plan.
func (c *contract) change() {
	c.ask("change of plan", func(ctx context.Context) error {
		_, err := c.biller.ChangePlan(ctx, scope, subscriptionID, c.plan+"-other")
		return err
	})
}

// recard is the customer's other card.
func (c *contract) recard() {
	c.ask("change of card", func(ctx context.Context) error {
		_, _, _, err := c.biller.ChangeMethod(ctx, scope, subscriptionID, &billing.NewCard{AuthKey: "second", CustomerKey: "key-of-person"}, "")
		return err
	})
}
