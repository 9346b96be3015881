package exhaust

import (
	"context"
	"strings"
	"sync"
	"time"

	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/notice"
	"grantline/shared/reminder"
	"grantline/shared/schedule"
	"grantline/shared/table"
)

// contract is a scene: one subscription at one gateway, and all that is done about it.
type contract struct {
	*Path
	*till
	biller *billing.Biller
	keyed  bool
	again  []again
	period int
	orders [schedule.MostAttempts]order // of that period's attempts
	// demanded says that the order is one on demand instead.
	demanded bool
	erased   bool // the customer is, at rest
	ended    bool // the subscription is, or will be with its period
	cards    int
	plan     string
	told     sequences
	begun    begins
}

// order is what the promises have to know of one.
type order struct {
	id                    string
	claimed               int    // how often
	open                  bool   // sent, and not known to be settled
	by                    string // who claimed it last
	afterEnd, afterChange bool   // it was claimed last once the subscription was ending, or had another card
}

const (
	subscriptionID = "sub-1"
	person         = "person-1"
	first          = "card-of-first"
)

var plans = sync.OnceValue(func() *catalog.Catalog {
	c, err := catalog.Parse([]byte(`{"products":[
		{"id":"gems","kind":"consumable","currency":"gems","amount":100,"stores":{"apple":"gems100","play":"gems100","appsintoss":"gems100"}},
		{"id":"level","kind":"non_consumable","entitlement":"level","stores":{"apple":"level","play":"level"}},
		{"id":"pro","kind":"subscription","entitlement":"pro","stores":{"apple":"pro.monthly","play":"pro:monthly"}}],
	"plans":[
		{"id":"keyed","gateway":"toss","entitlement":"premium","name":"M","price":{"units":4900,"currency":"KRW"},"cycle":"1 months","grace":true,"after_last_attempt":"unpaid"},
		{"id":"keyed-other","gateway":"toss","entitlement":"premium","name":"L","price":{"units":9900,"currency":"KRW"},"cycle":"1 months","grace":true,"after_last_attempt":"unpaid"},
		{"id":"keyless","gateway":"dodo","product":"prod_1","entitlement":"premium","name":"M","price":{"units":999,"currency":"USD"},"cycle":"1 months","grace":true,"after_last_attempt":"unpaid"},
		{"id":"keyless-other","gateway":"dodo","product":"prod_2","entitlement":"premium","name":"L","price":{"units":1999,"currency":"USD"},"cycle":"1 months","grace":true,"after_last_attempt":"unpaid"}]}`))
	if err != nil {
		panic("exhaust: bug: " + err.Error())
	}
	return c
})

func newContract(p *Path, isKeyed bool) *contract {
	c := &contract{Path: p, till: &till{path: p, answers: 1, issued: map[string]bool{}, under: map[string]int{}, lateBy: 40 * time.Minute}, keyed: isKeyed, plan: "keyless"}
	var g billing.Gateway = keyless{c.till}
	name := "dodo"
	if isKeyed {
		g, name, c.plan = keyed{c.till}, "toss", "keyed"
		c.lateBy = 10 * time.Minute
	}
	c.biller = &billing.Biller{
		Tables: p.Tables, Customers: directory(p.Tables), Catalog: plans(), Sealer: sealer{p}, Clock: p.Clock(), Log: silent,
		Gateways: billing.Gateways{billing.GatewayName{Scope: scope, Gateway: name}: g}, Shards: 1, Lease: 2 * time.Minute,
		Courier: everybody{},
	}
	c.races(1)
	return c
}

// races says of which period the race is.
func (c *contract) races(period int) {
	c.period = period
	for n := range c.orders {
		c.orders[n].id = orderIDs()[period][n]
	}
}

var orderIDs = sync.OnceValue(func() (ids [2][schedule.MostAttempts]string) {
	for period := range ids {
		for n := range ids[period] {
			ids[period][n] = billing.OrderID(scope, subscriptionID, period, n+1)
		}
	}
	return ids
})

// begins is a scene that is set once and copied for each path.
type begins struct {
	at       time.Time
	items    []table.Item
	payments []payment
}

// due is a subscription whose second period is due now; attempted is one of which that was
// tried and nothing was heard, and which has to be looked for now.
var (
	dueKeyed     = sync.OnceValue(func() begins { return dueAt(true) })
	dueKeyless   = sync.OnceValue(func() begins { return dueAt(false) })
	triedKeyed   = sync.OnceValue(func() begins { return triedAt(true, false) })
	triedKeyless = sync.OnceValue(func() begins { return triedAt(false, false) })
	takenKeyed   = sync.OnceValue(func() begins { return triedAt(true, true) })
	takenKeyless = sync.OnceValue(func() begins { return triedAt(false, true) })
	againKeyed   = sync.OnceValue(func() begins { return declinedAt(true) })
	againKeyless = sync.OnceValue(func() begins { return declinedAt(false) })
	nothing      = func() begins { return begins{at: begun} }
)

// signUp is what the app asks for.
func (c *contract) signUp() billing.SignUp {
	ask := billing.SignUp{ID: subscriptionID, CustomerID: person, Plan: c.plan}
	if c.keyed {
		ask.Gateway, ask.Card = "toss", &billing.NewCard{AuthKey: "first", CustomerKey: "key-of-person"}
	} else {
		ask.Gateway, ask.Mandate = "dodo", &billing.NewMandate{
			Payer: billing.Payer{Email: "person@example.com", Name: "P"}, Address: billing.Address{Country: "US"},
			ReturnURL: "https://app.example/back", Only: true,
		}
	}
	return ask
}

func signedUp(isKeyed bool) *contract {
	c := newContract(quiet(), isKeyed)
	ctx := context.Background()
	_, err := c.biller.Subscribe(ctx, scope, c.signUp())
	must(err)
	c.pump(table.Subscriptions, c.wake, c.World.Now().Add(2*time.Hour), nil)
	s, err := c.biller.Get(ctx, scope, subscriptionID)
	must(err)
	if s.State != billing.StateActive || s.Period != 1 {
		panic("exhaust: bug: a scene could not be set: the subscription is " + string(s.State))
	}
	return c
}

func dueAt(isKeyed bool) begins {
	c := signedUp(isKeyed)
	s, err := c.biller.Get(context.Background(), scope, subscriptionID)
	must(err)
	c.until(s.NextDueAt)
	return c.begins()
}

// triedAt is a subscription whose charge was sent two minutes ago and was not heard of.
func triedAt(isKeyed, taken bool) begins {
	b := dueAt(isKeyed)
	c := newContract(quiet(), isKeyed)
	c.load(b)
	c.deaf, c.lost = true, !taken
	must(c.biller.Work(context.Background(), scope, subscriptionID))
	c.deaf, c.lost = false, false
	s, err := c.biller.Get(context.Background(), scope, subscriptionID)
	must(err)
	c.until(s.WakeAt)
	return c.begins()
}

// declinedAt is a subscription whose charge was declined, and whose second attempt is due now.
func declinedAt(isKeyed bool) begins {
	b := dueAt(isKeyed)
	c := newContract(quiet(), isKeyed)
	c.load(b)
	c.declines = true
	c.pump(table.Subscriptions, c.wake, b.at.Add(time.Hour), nil)
	c.declines = false
	s, err := c.biller.Get(context.Background(), scope, subscriptionID)
	must(err)
	c.pump(table.Subscriptions, c.wake, s.NextDueAt, nil)
	if s, err = c.biller.Get(context.Background(), scope, subscriptionID); err != nil || s.Attempt != 2 || s.Reminded != 2 || s.Step != billing.StepCharge {
		panic("exhaust: bug: a scene could not be set: the second attempt is not due")
	}
	return c.begins()
}

func (c *contract) begins() begins {
	return begins{c.World.Now(), c.Tables.All(), c.payments}
}

func (c *contract) load(b begins) {
	c.until(b.at)
	c.Tables.Load(b.items)
	c.payments = append(c.payments, b.payments...)
	if c.keyed && len(b.items) > 0 {
		c.issued[first] = true
	}
}

// staged is a contract on a path, with its promises watched.
func staged(p *Path, isKeyed bool, b begins) *contract {
	c := newContract(p, isKeyed)
	c.load(b)
	c.begun = b
	c.answers = keylessAnswers
	if isKeyed {
		c.answers = keyedAnswers
	}
	c.watch()
	p.State(c.print)
	p.Settle(c.rest)
	return c
}

// deliver is a message about the subscription.
func (c *contract) deliver(name string) { c.deliverWhen(name, func() bool { return true }) }

// deliverWhen is a message that cannot come before something has happened.
func (c *contract) deliverWhen(name string, when func() bool) {
	work := func(ctx context.Context) error { return c.biller.Work(ctx, scope, subscriptionID) }
	c.again = append(c.again, again{c.RaceWhen(name, when, work), 6 * time.Minute, work, true})
}

// hint is the gateway's word about the order that is due, and from when on it can come. Where
// it names a payment, that is once there is one.
func (c *contract) hint() (*notice.Hint, func() bool) {
	order := c.orders[0].id
	for _, p := range c.payments {
		if p.order == order && p.code != "" {
			order = c.orders[1].id // that attempt is over
		}
	}
	h := &notice.Hint{Project: scope.Project, Environment: scope.Environment, Provider: "toss", Type: "PAYMENT_STATUS_CHANGED", Order: order}
	if c.keyed {
		return h, func() bool { return true }
	}
	before := len(c.payments)
	h.Provider, h.Type, h.Signed = "dodo", "payment.succeeded", true
	return h, func() bool {
		if h.Payment == "" && len(c.payments) > before {
			h.Payment, h.Order = c.payments[before].key, c.payments[before].order
		}
		return h.Payment != ""
	}
}

// notice is the gateway's word.
func (c *contract) notice(name string) {
	h, when := c.hint()
	work := func(ctx context.Context) error {
		_, err := billing.Notices{Biller: c.biller}.LookAgain(ctx, *h)
		return err
	}
	c.again = append(c.again, again{c.RaceWhen(name, when, work), 6 * time.Minute, work, true})
}

// ask is what somebody asks for, and asks again until there is an answer.
func (c *contract) ask(name string, work func(context.Context) error) Racer {
	r := c.Race(name, work)
	c.again = append(c.again, again{r, time.Second, work, false})
	return r
}

// wake does what an entry of the index is for.
func (c *contract) wake(ctx context.Context, id string) error {
	if strings.HasPrefix(id, "errand:tell-") {
		return c.biller.Deliver(ctx, scope, id)
	}
	return c.biller.Work(ctx, scope, id)
}

// everybody is told at once.
type everybody struct{}

func (everybody) Tell(context.Context, reminder.Reminder) error { return nil }

// settles is how long after a race all is at rest: where nothing can be sent again, a day.
const settles = 50 * time.Hour

// rest lets time go on and holds the books against one another.
func (c *contract) rest() {
	now := c.World.Now()
	until := now.Add(settles)
	if c.erased {
		until = until.Add(48 * time.Hour) // by when each card is forgotten
	}
	c.pump(table.Subscriptions, c.wake, until, waitingFor(now, c.again))
	if c.World.Violated() == nil {
		c.sound()
	}
}
