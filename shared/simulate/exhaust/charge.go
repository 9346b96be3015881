package exhaust

import (
	"context"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/notice"
)

// charges race for the money of a period that is due: messages about it, the gateway's word,
// and whoever changes the agreement meanwhile.
func charges() []*Set {
	var sets []*Set
	for _, isKeyed := range []bool{true, false} {
		name, due, paid := "-keyless", dueKeyless, paidKeyless
		tried, taken, declined := triedKeyless, takenKeyless, againKeyless
		if isKeyed {
			name, due, paid, tried, taken, declined = "-keyed", dueKeyed, paidKeyed, triedKeyed, takenKeyed, againKeyed
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
		add("charge-cancel-resume", due, func(c *contract) {
			c.deliver("delivery")
			c.cancel(false)
			c.resume()
		})
		add("charge-plan-cancel", due, func(c *contract) {
			c.deliver("delivery")
			c.change()
			c.cancel(false)
		})
		add("retry-webhook", declined, func(c *contract) {
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.notice("webhook")
		})
		add("retry-cancel", declined, func(c *contract) {
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.cancel(true)
		})
		add("demand-same", paid, func(c *contract) {
			c.demand("demand 1")
			c.demand("demand 2")
			c.notice("webhook")
		})
		add("demand-cancel", paid, func(c *contract) {
			c.demand("demand")
			c.cancel(true)
			c.notice("webhook")
		})
		add("signup-twice", nothing, func(c *contract) {
			c.races(0)
			c.subscribe("sign-up 1")
			c.subscribe("sign-up 2")
		})
		add("notice-twice", due, func(c *contract) {
			c.deliver("delivery")
			c.desk("notice")
			c.desk("notice again")
		})
		if isKeyed {
			add("erase-charge", due, func(c *contract) {
				c.deliver("delivery 1")
				c.deliver("delivery 2")
				c.erase()
			})
			add("erase-card", due, func(c *contract) {
				c.deliver("delivery")
				c.recard("change of card", "second")
				c.erase()
			})
			add("erase-card-later", paid, func(c *contract) {
				c.recard("second card", "second")
				c.recard("third card", "third")
				c.erase()
			})
			add("card-two-under-a-key", paid, func(c *contract) {
				c.refuses = true
				c.recard("second card", "other")
				c.recard("third card", "another")
			})
			add("erase-other-key", paid, func(c *contract) {
				c.recard("second card", "other")
				c.erase()
			})
			add("charge-card", due, func(c *contract) {
				c.deliver("delivery")
				c.recard("change of card", "second")
			})
			add("charge-card-webhook", due, func(c *contract) {
				c.deliver("delivery")
				c.recard("change of card", "second")
				c.notice("webhook")
			})
			add("charge-card-tried", tried, func(c *contract) {
				c.deliver("delivery")
				c.recard("change of card", "second")
			})
			add("retry-card", declined, func(c *contract) {
				c.deliver("delivery")
				c.recard("change of card", "second")
			})
			add("retry-two-cards", declined, func(c *contract) {
				c.recard("second card", "second")
				c.recard("third card", "third")
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
func (c *contract) recard(name, proof string) {
	key := "key-of-person"
	if proof == "other" || proof == "another" {
		key += "-too" // the app may give its customer another name at the gateway
	}
	c.ask(name, func(ctx context.Context) error {
		_, _, _, err := c.biller.ChangeMethod(ctx, scope, subscriptionID, &billing.NewCard{AuthKey: proof, CustomerKey: key}, "")
		return err
	})
}

// resume is the customer who takes its word back.
func (c *contract) resume() {
	c.ask("resume", func(ctx context.Context) error {
		_, err := c.biller.Resume(ctx, scope, subscriptionID)
		return err
	})
}

// subscribe is the customer who signs up.
func (c *contract) subscribe(name string) {
	c.ask(name, func(ctx context.Context) error {
		_, err := c.biller.Subscribe(ctx, scope, c.signUp())
		return err
	})
}

// demand is the company that charges what was used.
func (c *contract) demand(name string) {
	c.demanded = true
	c.orders[0].id = "demand-1"
	amount := money.Of(700, "USD")
	if c.keyed {
		amount = money.Of(700, "KRW")
	}
	c.ask(name, func(ctx context.Context) error {
		_, err := c.biller.Demand(ctx, scope, subscriptionID, billing.Demand{OrderID: c.orders[0].id, Amount: amount})
		return err
	})
}

// erase is the customer who wants to be forgotten, and asks until it is.
func (c *contract) erase() {
	work := func(ctx context.Context) error {
		err := c.biller.Erase(ctx, scope, subscriptionID)
		if fault.Code(err) == billing.ChargeUnderWay {
			err = fault.New(fault.Unavailable, billing.ChargeUnderWay, "It has to be asked again.")
		}
		return err
	}
	c.again = append(c.again, again{c.Race("erase", work), time.Second, work, false})
	c.erased = true
}

// desk is the gateway's word as it comes from the queue, again while it is not applied.
func (c *contract) desk(name string) {
	desk := &notice.Desk{
		Tables: c.Tables, Clock: c.Clock(), Log: silent, Look: map[string]notice.Looker{"toss": billing.Notices{Biller: c.biller}, "dodo": billing.Notices{Biller: c.biller}},
	}
	h, when := c.hint()
	h.ID, h.At = "notice-1", c.World.Now()
	work := func(ctx context.Context) error { return desk.Receive(ctx, *h) }
	c.again = append(c.again, again{c.RaceWhen(name, when, work), 6 * time.Minute, work, true})
}
