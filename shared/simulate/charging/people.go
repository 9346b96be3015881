package charging

import (
	"context"
	"slices"
	"time"

	"grantline/shared/billing"
	"grantline/shared/money"
	"grantline/shared/simulate/bank"
	"grantline/shared/simulate/deployment"
	"grantline/shared/table"
)

// person is a customer and its subscription, one at a time. Another may be the same customer,
// with a subscription beside that one.
type person struct {
	q        *Quarter
	id       string
	customer string
	beside   *person   // the same customer, who signs up with it
	bank     bank.Mood // of the card registered last
	sub      string    // "" before the sign-up was answered
	plan     string
	gateway  string
	card     string // registered last
	demands  []string
	over     bool
	// resuming counts the requests to resume that have no answer yet: until then nobody has
	// promised anything.
	resuming int
}

var (
	tossPlans = []string{"week", "fortnight", "month", "month", "month-ny", "quarter", "patient", early}
	dodoPlans = []string{"month-usd", "month-usd", "cairo-usd", "usage-usd"}
)

func (p *person) pick(from []string) string { return from[p.q.w.Dice.IntN(len(from))] }

// signUp is a new subscription.
func (p *person) signUp() {
	q := p.q
	if q.w.Now().After(q.end) {
		return
	}
	p.over, p.gateway, p.plan = false, "toss", p.pick(tossPlans)
	if q.dodo != nil && q.chance(35) {
		p.gateway, p.plan = "dodo", p.pick(dodoPlans)
	}
	if p.plan == early {
		q.w.At(q.skipped(), p.subscribe)
		return
	}
	p.subscribe()
	if o := p.beside; o != nil && (o.sub == "" || o.over) {
		o.over, o.gateway, o.plan = false, p.gateway, p.plan
		q.w.After(q.within(2*time.Second), o.subscribe)
	}
}

// early is the plan of those who sign up when clocks go forward, though not on that day.
const early = "week-ny"

// skipped is the next Sunday's hour which New York's clocks skip in spring.
func (q *Quarter) skipped() time.Time {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		panic("charging: " + err.Error())
	}
	now := q.w.Now().In(zone)
	y, m, d := now.Date()
	return time.Date(y, m, d+7-int(now.Weekday()), 2, q.w.Dice.IntN(60), q.w.Dice.IntN(60), 0, zone)
}

// subscribe asks for the subscription that the person wants, with the app's retries.
func (p *person) subscribe() {
	q := p.q
	p.sub, p.demands = q.next("sub"), nil
	ask := billing.SignUp{ID: p.sub, CustomerID: p.customer, Gateway: p.gateway, Plan: p.plan}
	if p.gateway == "toss" {
		p.card = q.newCard(p)
		ask.Card = &billing.NewCard{AuthKey: p.card, CustomerKey: "key-of-" + p.customer}
	} else {
		ask.Mandate = &billing.NewMandate{
			Payer: billing.Payer{Email: p.customer + "@example.com", Name: "A Person"}, Address: billing.Address{Country: "US"},
			ReturnURL: "https://app.example.com/back", Only: q.chance(30),
		}
	}
	sub := p.sub
	q.holders[sub] = p
	p.tell("signs up for " + p.plan)
	var made billing.Created
	q.d.Ask("api", func(ctx context.Context, r *deployment.Release) error {
		var err error
		made, err = r.Biller.Subscribe(ctx, table.Default, ask)
		return err
	}, func(err error) {
		if err != nil { // refused: it comes back some day
			q.w.After(q.within(60*24*time.Hour), p.signUp)
			return
		}
		if made.Link != "" {
			p.approve(made.Link)
		}
		p.live(sub)
	})
}

// approve is the customer on the gateway's page: most do it soon, some late, some never, and
// some before a card that fails there.
func (p *person) approve(link string) {
	q := p.q
	if q.chance(8) {
		return
	}
	wait := q.within(10 * time.Minute)
	if q.chance(10) {
		wait = q.within(4 * 24 * time.Hour)
	}
	q.w.After(wait, func() { q.approvePage(p, link) })
}

// live has a person act from time to time, as long as this subscription is its own.
func (p *person) live(sub string) {
	q := p.q
	now := q.w.Now()
	if now.After(q.end) || p.sub != sub {
		return
	}
	wait := 24*time.Hour + q.within(60*24*time.Hour)
	if s := q.subscriptions[sub]; s != nil && s.NextDueAt.After(now) && q.chance(60) {
		// At the worst moment: around the instant at which it is due.
		wait = max(0, s.NextDueAt.Sub(now)-2*time.Second+q.within(65*time.Second))
	}
	q.w.After(wait, func() {
		if p.sub != sub || q.w.Now().After(q.end) {
			return
		}
		if !q.calm {
			p.act()
		}
		p.live(sub)
	})
}

// hurried is something done while a charge is under way.
func (p *person) hurried(act func()) {
	q := p.q
	if q.calm || q.w.Now().After(q.end) {
		return
	}
	sub := p.sub
	q.w.After(q.within(500*time.Millisecond), func() {
		if p.sub == sub {
			act()
		}
	})
}

func (p *person) tell(what string) { p.q.w.Tell(p.id, what, p.sub) }

func (p *person) act() {
	q := p.q
	switch n := q.w.Dice.IntN(100); {
	case p.over:
		if n < 30 {
			p.signUp()
		}
	case n < 14:
		p.cancel(false)
	case n < 17:
		p.cancel(true)
	case n < 32:
		p.resume()
	case n < 50:
		p.newMethod()
	case n < 60:
		p.changePlan()
	case n < 72:
		p.refund()
	case n < 76:
		q.consoleRefund(p)
	case n < 79:
		q.dispute(p)
	case n < 92:
		p.demand()
	case n < 93:
		p.erase()
	case n < 95:
		q.breakMeans(p)
	}
}

func (p *person) cancel(atOnce bool) {
	p.tell("cancels")
	q, sub := p.q, p.sub
	if atOnce {
		q.subscription(sub).left = true
	}
	var s billing.Subscription
	var open bool
	q.d.Ask("api", func(ctx context.Context, r *deployment.Release) (err error) {
		if s, err = r.Biller.Cancel(ctx, table.Default, sub, atOnce); err != nil {
			return err
		}
		// What the answer says of a charge that is under way, as the edge reads it.
		charges, err := r.Biller.Charges(ctx, table.Default, s)
		open = slices.ContainsFunc(charges, func(c billing.Charge) bool { return c.State == billing.Sending || c.State == billing.Unknown })
		return err
	}, func(err error) {
		if err != nil {
			return
		}
		p.tell("has the answer " + string(s.State))
		if is := q.subscription(sub); !open && p.resuming == 0 && (s.State == billing.StateCancelled || s.Ending) && (is.State == billing.StateCancelled || is.Ending) {
			is.promised = q.w.Now()
		}
		if is := q.subscription(sub); atOnce && s.State == billing.StateCancelled && is.ended.IsZero() {
			is.ended = q.w.Now()
		}
		if s.State == billing.StateCancelled {
			p.over = p.over || p.sub == sub
			if q.chance(50) {
				q.w.After(q.within(40*24*time.Hour), func() {
					if p.sub == sub {
						p.signUp()
					}
				})
			}
		}
	})
}

func (p *person) resume() {
	p.tell("resumes")
	q, sub := p.q, p.sub
	q.subscription(sub).promised = time.Time{} // from the moment it is asked for
	p.resuming++
	q.d.Ask("api", func(ctx context.Context, r *deployment.Release) error {
		_, err := r.Biller.Resume(ctx, table.Default, sub)
		return err
	}, func(error) { p.resuming-- })
}

// newMethod is another card, or the page on which the mandate is mended.
func (p *person) newMethod() {
	p.tell("gives another means of payment")
	q, sub := p.q, p.sub
	if p.gateway == "toss" {
		card := q.newCard(p)
		p.card = card
		q.d.Ask("api", func(ctx context.Context, r *deployment.Release) error {
			_, _, _, err := r.Biller.ChangeMethod(ctx, table.Default, sub, &billing.NewCard{AuthKey: card, CustomerKey: "key-of-" + p.customer}, "")
			return err
		}, nil)
		return
	}
	var link string
	q.d.Ask("api", func(ctx context.Context, r *deployment.Release) (err error) {
		_, link, _, err = r.Biller.ChangeMethod(ctx, table.Default, sub, nil, "")
		return err
	}, func(err error) {
		if err == nil && link != "" && q.chance(80) {
			q.w.After(q.within(20*time.Minute), func() { q.mendPage(p, link) })
		}
	})
}

func (p *person) changePlan() {
	p.tell("changes plan")
	q, sub := p.q, p.sub
	plans := tossPlans
	if p.gateway == "dodo" {
		plans = dodoPlans
	}
	plan := p.pick(plans)
	q.d.Ask("api", func(ctx context.Context, r *deployment.Release) error {
		_, err := r.Biller.ChangePlan(ctx, table.Default, sub, plan)
		return err
	}, nil)
}

// refund is the company's: of one of the subscription's orders, whole or in part, sometimes
// the same twice.
func (p *person) refund() {
	p.tell("is given money back")
	q, sub := p.q, p.sub
	var paid []*order
	for _, o := range q.listed {
		if o.Subscription == sub && o.State == billing.Paid {
			paid = append(paid, o)
		}
	}
	if len(paid) == 0 {
		return
	}
	o := paid[len(paid)-1-q.w.Dice.IntN(min(len(paid), 3))]
	ask := billing.RefundAsk{OrderID: o.ID, Reason: "asked for", Reference: q.next("ref")}
	if q.chance(50) {
		ask.Amount = 1 + q.w.Dice.Int64N(o.Amount)
	}
	refund := func() {
		q.d.Ask("api", func(ctx context.Context, r *deployment.Release) error {
			_, _, err := r.Biller.Refund(ctx, table.Default, ask)
			return err
		}, nil)
	}
	refund()
	if q.chance(20) {
		q.w.After(q.within(3*time.Second), refund)
	}
}

// demand is a charge that the company asks for, apart from the dates.
func (p *person) demand() {
	p.tell("is charged on demand")
	q, sub := p.q, p.sub
	if len(p.demands) == 0 || q.chance(70) {
		p.demands = append(p.demands, q.next("demand"))
	}
	id := p.pick(p.demands)
	amount := money.Amount{Units: 300 + int64(len(id)), Currency: "KRW"}
	if p.gateway == "dodo" {
		amount.Currency = "USD"
	}
	q.d.Ask("api", func(ctx context.Context, r *deployment.Release) error {
		_, err := r.Biller.Demand(ctx, table.Default, sub, billing.Demand{OrderID: id, Amount: amount, Description: "Usage"})
		return err
	}, nil)
}

func (p *person) erase() {
	p.tell("is forgotten")
	q, sub := p.q, p.sub
	q.subscription(sub).left = true
	p.over = true
	q.d.Ask("api", func(ctx context.Context, r *deployment.Release) error { return r.Biller.Erase(ctx, table.Default, sub) }, nil)
}
