package exhaust

import (
	"context"
	"time"

	"grantline/shared/billing"
	"grantline/shared/notice"
)

// doubts race for an order of which something was sent before and nobody knows what came of
// it: what is said of it is not the same at each moment, or says nothing.
func doubts() []*Set {
	add := func(of string, isKeyed bool, begins func() begins, race func(c *contract)) *Set {
		name := "-keyless"
		if isKeyed {
			name = "-keyed"
		}
		return &Set{
			Name: of + name, Faults: 1, Calls: 1, Late: true, Stale: true,
			Stage: func(p *Path) { race(staged(p, isKeyed, begins())) },
		}
	}
	return []*Set{
		// The answer will be the same for ever, and the money shows some minutes later.
		add("charge-muddled", true, dueKeyed, func(c *contract) {
			c.answers = muddles + 1
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.notice("webhook")
		}),
		// What was sent first is still on its way when it is sent again, and that is refused as too busy.
		add("charge-busy-cancel", true, triedKeyed, func(c *contract) {
			c.slows = true
			c.deliver("delivery")
			c.cancel(true)
			c.arrives("the first request")
		}),
		// Whoever claimed the attempt takes its time.
		add("charge-slow", true, dueKeyed, func(c *contract) {
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.Passes(slowly)
			c.deliverWhen("delivery 3", func() bool { return c.ahead > 0 })
		}),
		add("charge-slow-cancel", true, triedKeyed, func(c *contract) {
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.cancel(true)
			c.Passes(slowly)
		}),
		// Something was sent twice, long apart, and both turn up. Whoever finds them, and does not
		// die of it, has one given back; else the day's comparison finds it.
		undying(add("charge-tried-twice", false, twiceKeyless, func(c *contract) {
			c.deliver("delivery 1")
			c.deliver("delivery 2")
			c.word("webhook", "pay_2")
		})),
		// Something was sent twice, long apart; one was declined, and the other turns up now.
		add("charge-tried-late", false, failedKeyless, func(c *contract) {
			c.deliver("delivery")
			c.word("webhook of the declined one", "pay_failed")
			c.happens("a payment turns up", func() { c.take(c.beside("pay_late", "")) })
			c.word("webhook of the late one", "pay_late")
		}),
	}
}

// undying is a set in which nobody is killed.
func undying(s *Set) *Set {
	s.Faults = 0
	return s
}

// slowly is how long one may be at it: less than any function lives.
const slowly = 25 * time.Second

// Scenes in which more than one payment carries the id of the order that is due.
var (
	twiceKeyless = func() begins {
		b := takenKeyless()
		b.payments = append(b.payments[:len(b.payments):len(b.payments)], beside(b, "pay_other", ""))
		return b
	}
	failedKeyless = func() begins {
		b := triedKeyless()
		b.payments = append(b.payments[:len(b.payments):len(b.payments)], beside(b, "pay_failed", "CARD_DECLINED"))
		return b
	}
)

// beside is another payment of the order that is due, or one that was declined with a code.
func beside(b begins, key, code string) payment {
	p := payment{key: key, order: orderIDs()[1][0], card: "mandate", amount: b.payments[0].amount, code: code, decided: b.at, listed: b.at}
	if code != "" {
		p.class = billing.Soft
	}
	return p
}

func (c *contract) beside(key, code string) payment { return beside(c.begun, key, code) }

// happens is something at the gateway in which nobody has a part.
func (c *contract) happens(what string, do func()) {
	c.Race(what, func(context.Context) error {
		c.Happen(what, do)
		return nil
	})
}

// arrives is a request that was sent before the race.
func (c *contract) arrives(what string) {
	plan, _ := plans().Plan(c.plan)
	text, err := c.Compose(billing.Request{OrderID: c.orders[0].id, Amount: plan.Price})
	must(err)
	c.happens(what, func() { _ = keyed{c.till}.charge(c.orders[0].id, first, text) })
}

// word is the gateway's about one payment, once there is that.
func (c *contract) word(name, payment string) {
	h := notice.Hint{
		Project: scope.Project, Environment: scope.Environment, Provider: "dodo", Type: "payment.succeeded", Signed: true, Order: c.orders[0].id, Payment: payment,
	}
	work := func(ctx context.Context) error {
		_, err := billing.Notices{Biller: c.biller}.LookAgain(ctx, h)
		return err
	}
	there := func() bool { return c.payment(payment) != nil }
	c.again = append(c.again, again{c.RaceWhen(name, there, work), 6 * time.Minute, work, true})
}
