package charging

import (
	"time"

	"grantline/shared/billing"
	"grantline/shared/simulate/bank"
	"grantline/shared/table"
)

// watch has the gateways tell of every effect at its moment.
func (q *Quarter) watch() {
	sees := bank.Watch{
		OnTaken: func(p *bank.Payment) {
			q.took(effect{order: p.Order, payment: p.Key, amount: p.Asked, currency: p.Currency, card: p.Card.Name, approval: p.Order == billing.OrderID(table.Default, p.Subscription, 0, 1)})
			q.paid[p.Key] = p
		},
		OnReturned: func(p *bank.Payment, amount int64) { q.returned(p.Key, amount) },
		OnSeized:   func(p *bank.Payment, amount int64) { q.returned(p.Key, amount) },
		OnDeclined: func(order, code string, class billing.Class, c *bank.Card) {
			e := effect{order: order, code: code, class: class}
			if c != nil {
				e.card = c.Name
			}
			q.refused(e)
		},
	}
	if q.toss != nil {
		q.toss.Watch = sees
	}
	if q.dodo != nil {
		q.dodo.Watch = sees
	}
}

// newCard is a card that the person registers, and what its bank will say.
func (q *Quarter) newCard(p *person) string {
	refused := ""
	if q.chance(3) {
		refused = "INVALID_CARD_NUMBER"
	}
	c := q.card()
	for _, o := range q.people {
		if o.beside == p && o.bank != nil && q.chance(80) {
			c.Mood = o.bank // of one account
		}
	}
	p.bank = c.Mood
	return q.toss.ConsoleRegister("key-of-"+p.customer, c, refused)
}

// mood is a bank's, by a mix as companies see it: most cards are good, and some end.
func (q *Quarter) mood() bank.Mood {
	dice := q.w.Dice
	good := bank.Sometimes(dice, 4, bank.Poor, bank.Limited, bank.Unnamed, bank.Resting)
	turns := q.w.Now().Add(q.within(400 * 24 * time.Hour))
	until := func(then bank.Mood) bank.Mood {
		return func(c *bank.Card, at time.Time) bank.Reason {
			if at.Before(turns) {
				return good(c, at)
			}
			return then(c, at)
		}
	}
	switch n := dice.IntN(100); {
	case n < 45:
		return good
	case n < 60:
		return bank.Sometimes(dice, 40, bank.Poor, bank.Limited, bank.Unnamed, bank.Resting)
	case n < 70:
		return until(bank.Always(bank.Expired))
	case n < 76:
		return until(bank.Always(bank.Stolen))
	case n < 86:
		return until(bank.Always(bank.Poor))
	case n < 92:
		return until(bank.Sometimes(dice, 80, bank.Poor, bank.Resting))
	default:
		return bank.Sometimes(dice, 15, bank.Garbled, bank.Ambiguous, bank.Unnamed)
	}
}

// ofPerson are the payments of a person's subscription, latest first, a few of them.
func (q *Quarter) ofPerson(p *person) []*payment {
	var found []*payment
	for n := len(q.payments) - 1; n >= 0 && len(found) < 3; n-- {
		if o := q.orders[q.payments[n].order]; o != nil && o.Subscription == p.sub {
			found = append(found, q.payments[n])
		}
	}
	return found
}

// consoleRefund is the company's, at the gateway's own console.
func (q *Quarter) consoleRefund(p *person) {
	of := q.ofPerson(p)
	if len(of) == 0 {
		return
	}
	chosen := of[q.w.Dice.IntN(len(of))]
	left := chosen.amount - chosen.returned
	if left <= 0 {
		return
	}
	if q.chance(50) {
		left = 1 + q.w.Dice.Int64N(left)
	}
	if p.gateway == "toss" {
		q.toss.ConsoleRefund(chosen.id, left)
		return
	}
	q.dodo.ConsoleRefund(chosen.id, left)
}

// dispute is the customer's, at its bank; some are lost, and some of those won after all.
func (q *Quarter) dispute(p *person) {
	of := q.ofPerson(p)
	if len(of) == 0 || p.gateway != "dodo" {
		return
	}
	payment := of[q.w.Dice.IntN(len(of))].id
	if !q.dodo.ConsoleDispute(payment) {
		return
	}
	lost, won := q.chance(60), q.chance(30)
	q.w.After(q.within(30*24*time.Hour), func() {
		if !lost {
			q.dodo.ConsoleDisputeWon(payment)
			return
		}
		q.dodo.ConsoleDisputeLost(payment)
		if won {
			q.w.After(q.within(30*24*time.Hour), func() { q.dodo.ConsoleDisputeWon(payment) })
		}
	})
}

// breakMeans has the means of payment end, or change, where nobody told us.
func (q *Quarter) breakMeans(p *person) {
	if p.gateway != "dodo" {
		return
	}
	id, _ := q.dodo.MandateOf(p.sub)
	switch n := q.w.Dice.IntN(3); {
	case id == "":
	case n == 0:
		q.dodo.ConsoleHold(id)
	case n == 1:
		q.dodo.ConsoleMend(id, q.card())
	default:
		q.dodo.ConsoleEnd(id)
	}
}

// card is a customer's, with what its bank will say.
func (q *Quarter) card() *bank.Card { return &bank.Card{Name: q.next("card"), Mood: q.mood()} }

// approvePage is the customer on the page of a mandate: one whose card fails there tries
// another, or leaves it.
func (q *Quarter) approvePage(p *person, link string) {
	p.tell("is on the page")
	q.dodo.ConsoleVisit(link, q.card(), "")
	if q.chance(25) {
		q.w.After(q.within(15*time.Minute), func() { q.dodo.ConsoleVisit(link, q.card(), "") })
	}
}

// mendPage is the customer on the page on which a mandate gets another means of payment.
func (q *Quarter) mendPage(p *person, link string) {
	p.tell("is on the page again")
	q.dodo.ConsoleVisit(link, q.card(), "")
}
