package exhaust

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"

	"grantline/shared/billing"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/table"
)

// sequences are the numbers of customers' last events, by whose they are.
type sequences map[string]int64

// gapless checks at a commit that each customer's head and events go on by the same numbers.
func (s sequences) gapless(p *Path, writes []table.Write) {
	for _, w := range writes {
		if w.Item.Key.Table != table.Customers || w.Item.Key.Sort != "#head" || w.Change == table.Check {
			continue
		}
		whose := w.Item.Key.Partition
		_, rest, _ := bytes.Cut(w.Item.Data, []byte(`"sequence":`))
		end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		is, err := strconv.ParseInt(string(rest[:max(end, 0)]), 10, 64)
		must(err)
		was := s[whose]
		s[whose] = is
		told := 0
		for _, o := range writes {
			if number, ok := strings.CutPrefix(o.Item.Key.Sort, "event#"); ok && o.Item.Key.Partition == whose {
				n, err := strconv.ParseInt(number, 10, 64)
				must(err)
				if told++; n <= was || n > is || o.Change != table.Insert {
					p.Fail("events of a customer are numbered without gaps", "event %d is written with a head that goes from %d to %d", n, was, is)
				}
			}
		}
		if int64(told) != is-was {
			p.Fail("events of a customer are numbered without gaps", "a head goes from %d to %d with %d events", was, is, told)
		}
	}
}

// begin takes the numbers as they are.
func (s sequences) begin(items []table.Item) {
	for _, i := range items {
		if i.Key.Table == table.Customers && i.Key.Sort == "#head" {
			s[i.Key.Partition] = decoded[struct {
				Sequence int64 `json:"sequence"`
			}](i).Sequence
		}
	}
}

// folded checks that a customer's events alone make what its own records say.
func folded(p *Path, ref string) *customer.Customer {
	ctx := context.Background()
	c, err := customer.Outgoing(ctx, p.Tables, scope, ref)
	must(err)
	records, err := customer.Log(ctx, p.Tables, scope, ref, 0, 1000)
	must(err)
	var is customer.State
	for _, r := range records {
		is = is.After(r)
	}
	if want := c.State(); !same(is, want) {
		p.Fail("a customer's events make its state", "they make %+v of %s, whose records say %+v", is, ref, want)
	}
	return c
}

func same(a, b customer.State) bool {
	if a.Sequence != b.Sequence || len(a.Sources) != len(b.Sources) || len(a.Wallets) != len(b.Wallets) {
		return false
	}
	for n, s := range a.Sources {
		o := b.Sources[n]
		if !s.Until.Equal(o.Until) {
			return false
		}
		if s.Until = o.Until; s != o {
			return false
		}
	}
	for currency, w := range a.Wallets {
		o, ok := b.Wallets[currency]
		if !ok || w.Debt != o.Debt || w.Balance(begun) != o.Balance(begun) || len(w.Lots) != len(o.Lots) {
			return false
		}
	}
	return true
}

// print tells what of a contract is in no table.
func (c *contract) print(p *Print) {
	c.till.print(p)
	p.Bool(c.looked)
	p.Bool(c.held)
	for _, o := range c.orders {
		p.Text(o.by)
		p.Bool(o.afterEnd)
		p.Bool(o.afterChange)
		p.Bool(o.open)
		p.Number(uint64(o.claimed)) //nolint:gosec // it is small
	}
}

// watch has the promises checked as it happens.
func (c *contract) watch() {
	c.told = sequences{}
	for _, i := range c.begun.items {
		c.follow(table.Inserted(i))
	}
	c.told.begin(c.begun.items)
	c.Tables.Watch(c.committed)
	c.till.charging = func(id, card string) {
		for _, o := range c.orders {
			switch {
			case o.id != id, o.by != c.whose(): // another has claimed it since
			case o.afterEnd:
				c.Fail(`nothing is charged after "you will not be charged"`, "order %s was claimed after its subscription was ending, and sent", id)
			case o.afterChange && card == first:
				c.Fail("nothing is taken from a card after it was replaced", "order %s was claimed after the card was changed, and sent to the one before", id)
			}
		}
	}
	c.till.taking = func(taken payment) {
		for _, p := range c.payments[:len(c.payments)-1] {
			if p.code == "" && c.current(p.order) && c.current(taken.order) && c.returned(p.key) < p.amount {
				c.Fail("one success for each period", "payment %s of order %s is taken beside %s of order %s", taken.key, taken.order, p.key, p.order)
			}
		}
	}
}

// current says whether an order is of the period that is due.
func (c *contract) current(id string) bool {
	return slices.ContainsFunc(c.orders[:], func(o order) bool { return o.id == id })
}

// committed sees each commit.
func (c *contract) committed(writes []table.Write) {
	c.told.gapless(c.Path, writes)
	for _, w := range writes {
		c.follow(w)
	}
}

// follow takes over what one item says.
func (c *contract) follow(w table.Write) {
	switch {
	case w.Change == table.Check || w.Change == table.Remove:
	case w.Item.Key.Table == table.Subscriptions && w.Item.Key.Partition == scope.Key(subscriptionID):
		s := decoded[struct {
			State  billing.State
			Ending bool
			Cards  int
		}](w.Item)
		c.ended, c.cards = s.Ending || s.State == billing.StateCancelled, s.Cards
		for n := range c.orders {
			c.orders[n].afterEnd = c.orders[n].afterEnd && c.ended // that word was taken back
		}
	case w.Item.Key.Table == table.Orders:
		for n := range c.orders {
			o := &c.orders[n]
			if w.Item.Key.Partition != scope.Key(o.id) {
				continue
			}
			is := decoded[struct {
				Sends int
				State billing.ChargeState
			}](w.Item)
			if is.Sends > o.claimed {
				o.claimed, o.by, o.afterEnd = is.Sends, c.whose(), c.ended
				o.afterChange = !o.open && c.cards > 0 // what is sent again is what was sent
			}
			o.open = is.State == billing.Sending || is.State == billing.Unknown
		}
	}
}

// sound checks what must hold at rest.
func (c *contract) sound() {
	ctx := context.Background()
	s, err := c.biller.Get(ctx, scope, subscriptionID)
	must(err)
	paid := map[string]string{}
	amounts := map[string]int64{}
	var now, settled int // orders of the period that are paid and kept; those that are settled
	for _, item := range c.Tables.Kept().Items(table.Orders) {
		o, err := billing.DecodeCharge(item)
		must(err)
		if o.State == billing.Sending || o.State == billing.Unknown {
			c.Fail("nothing is stuck", "order %s of attempt %d is %s", o.ID, o.Attempt, o.State)
		}
		for _, r := range o.Refunds {
			if r.State != billing.RefundDone && r.State != billing.RefundRefused {
				c.Fail("nothing is stuck", "refund %s of order %s is %s", r.Reference, o.ID, r.State)
			}
		}
		plan, _ := plans().Plan(o.Plan)
		if !o.OnDemand && o.Amount != plan.Price.Units {
			c.Fail("a charge is of its plan", "order %s of plan %s is of %d", o.ID, o.Plan, o.Amount)
		}
		if o.State == billing.Paid {
			paid[o.ID], amounts[o.ID] = o.Payment.Key, o.Refunded
			if c.current(o.ID) {
				settled++
				if o.Refunded < o.Amount {
					now++
				}
			}
		}
	}
	for _, p := range c.payments {
		returned := c.returned(p.key)
		switch {
		case p.code != "":
		case returned > p.amount:
			c.Fail("no more is given back than was taken", "of payment %s of %d %d were given back", p.key, p.amount, returned)
		case paid[p.order] == p.key && amounts[p.order] != returned:
			c.Fail("no money without a record", "of payment %s %d were given back, and its order says %d", p.key, returned, amounts[p.order])
		case paid[p.order] != p.key && returned < p.amount:
			c.Fail("no money without a record", "payment %s of order %s is kept, and the order has %q", p.key, p.order, paid[p.order])
		}
	}
	for id, key := range paid {
		if p := c.payment(key); p == nil || p.code != "" || p.order != id {
			c.Fail("no record without money", "order %s is paid by %s, which the gateway does not have", id, key)
		}
	}
	c.goesOn(s)
	if alias := (table.Key{Table: table.Customers, Partition: scope.Key("alias", s.Gateway, s.CustomerKey), Sort: "alias"}); s.CustomerKey != "" {
		if _, bound := c.Tables.Peek(alias); !bound {
			c.Fail("a customerKey is its customer's", "the card is registered under %s, which is nobody's", s.CustomerKey)
		}
	}
	if c.erased {
		c.forgotten(s)
	}
	holder := folded(c.Path, s.Customer)
	if !c.demanded {
		c.entitled(s, holder, now)
	}
	c.telling(holder.Ref, settled)
}

// goesOn checks that a subscription has something to wake up for, and that the index has it.
func (c *contract) goesOn(s billing.Subscription) {
	sleeps := s.Step == billing.StepNone
	_, indexed := c.Tables.due[table.Key{Table: table.Subscriptions, Partition: scope.Key(s.ID)}]
	over := s.State == billing.StateUnpaid || s.State == billing.StateCancelled
	if sleeps != over || indexed == sleeps {
		c.Fail("nothing is stuck", "the subscription is %s with step %q, in the index: %v", s.State, s.Step, indexed)
	}
	if !over && s.WakeAt.Before(c.World.Now()) {
		c.Fail("nothing is stuck", "the subscription waits since %s for step %q", s.WakeAt, s.Step)
	}
}

// forgotten checks that nothing is left of a customer who was erased but what says nothing.
func (c *contract) forgotten(s billing.Subscription) {
	if s.State != billing.StateCancelled {
		c.Fail("who is erased is forgotten", "the subscription is %s", s.State)
	}
	for _, i := range c.Tables.All() {
		if i.Key.Table != table.Customers && (bytes.Contains(i.Data, []byte("key-of-person")) || bytes.Contains(i.Sealed, []byte("card-of-"))) ||
			strings.Contains(i.Key.Partition, "key-of-person") {
			c.Fail("who is erased is forgotten", "%s of %s says who it was", i.Key.Partition, i.Key.Table)
		}
	}
	for card, is := range c.issued {
		if is && !slices.Contains(c.forgot, card) {
			c.Fail("who is erased is forgotten", "the gateway still has %s", card)
		}
	}
}

// entitled checks what the customer may use against what is paid.
func (c *contract) entitled(s billing.Subscription, holder *customer.Customer, paid int) {
	active := false
	for _, e := range holder.Entitlements(c.World.Now()) {
		active = active || e.ID == s.Terms.Entitlement && e.Active
	}
	source := func(o entitlement.Source) bool { return o.Ref == s.ID }
	n := slices.IndexFunc(holder.Sources(), source)
	switch {
	case n < 0:
		c.Fail("entitlement follows the books", "the customer has nothing of the subscription")
	case s.State == billing.StateCancelled, s.State == billing.StateUnpaid:
		if active {
			c.Fail("entitlement follows the books", "the subscription is %s, and gives access", s.State)
		}
	case s.Period > c.period && paid == 0 && active && !s.Returned:
		c.Fail("entitlement follows the books", "period %d is over for the subscription, which is not paid, and gives access", c.period)
	case paid > 0 && !active:
		c.Fail("entitlement follows the books", "period %d is paid, and gives no access: %+v", c.period, holder.Sources()[n])
	case paid > 0 && (s.Period != c.period+1 || s.PaidUntil.IsZero()):
		c.Fail("entitlement follows the books", "period %d is paid, and the subscription goes on with period %d", c.period, s.Period)
	}
}

// telling checks that each movement of money was told of once.
func (c *contract) telling(ref string, settled int) {
	records, err := customer.Log(context.Background(), c.Tables, scope, ref, 0, 1000)
	must(err)
	said := map[event.Type]int{}
	refunded := int64(0)
	for _, r := range records {
		if r.SubscriptionID == subscriptionID {
			said[r.Type]++
		}
		if r.Type == event.ChargeRefunded {
			refunded += r.Amount
		}
	}
	paid := said[event.SubscriptionRenewed] + said[event.SubscriptionRecovered]
	switch {
	case c.demanded:
		paid = said[event.ChargePaid]
	case c.period == 0:
		paid += said[event.SubscriptionActivated]
	}
	if paid > settled {
		c.Fail("what happened is told once", "%d payments, told %d times", settled, paid)
	}
	all := int64(0)
	for _, p := range c.payments {
		all += c.returned(p.key)
	}
	if refunded > all {
		c.Fail("what happened is told once", "%d were given back, and %d are told of", all, refunded)
	}
	if ended := said[event.SubscriptionCancelled]; ended > 1 {
		c.Fail("what happened is told once", "the end is told of %d times", ended)
	}
}
