package charging

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/table"
)

// order is one of ours as the tables have it, and what its gateway saw of it.
type order struct {
	ID           string              `json:"id"`
	Kind         string              `json:"kind"`
	Customer     string              `json:"customer"`
	Gateway      string              `json:"gateway"`
	Subscription string              `json:"subscription"`
	Plan         string              `json:"plan"`
	Period       int                 `json:"period"`
	Attempt      int                 `json:"attempt"`
	OnDemand     bool                `json:"onDemand"`
	Cards        int                 `json:"cards"`
	State        billing.ChargeState `json:"state"`
	Amount       int64               `json:"amount"`
	Currency     string              `json:"currency"`
	Refunded     int64               `json:"refunded"`
	DueAt        time.Time           `json:"dueAt"`
	SentAt       time.Time           `json:"sentAt"`
	Lease        time.Time           `json:"lease"`
	Code         string              `json:"code"`
	Class        billing.Class       `json:"class"`
	Payment      *struct {
		Key string `json:"key"`
	} `json:"payment"`
	Refunds []refund `json:"refunds"`

	payments []*payment
}

// refund is one of ours as the tables have it.
type refund struct {
	State  billing.RefundState `json:"state"`
	Stray  string              `json:"stray"`
	Amount int64               `json:"amount"`
	Reason string              `json:"reason"`
}

// payment is money that a gateway took.
type payment struct {
	id       string
	order    string
	amount   int64
	at       time.Time
	returned int64
}

// subscription is one of ours as the tables have it.
type subscription struct {
	ID        string        `json:"id"`
	Customer  string        `json:"customer"`
	Gateway   string        `json:"gateway"`
	State     billing.State `json:"state"`
	Anchor    time.Time     `json:"anchor"`
	Base      int           `json:"base"`
	Period    int           `json:"period"`
	Attempt   int           `json:"attempt"`
	NextDueAt time.Time     `json:"nextDueAt"`
	PaidUntil time.Time     `json:"paidUntil"`
	Step      billing.Step  `json:"step"`
	WakeAt    time.Time     `json:"wakeAt"`
	Ending    bool          `json:"ending"`
	Hastened  bool          `json:"hastened"`
	Returned  bool          `json:"returned"`
	Cards     int           `json:"cards"`
	Waits     bool          `json:"waits"`
	OnHold    bool          `json:"onHold"`
	Terms     struct {
		Entitlement string `json:"entitlement"`
		Cycle       string `json:"cycle"`
		Zone        string `json:"zone"`
		OnDemand    bool   `json:"onDemand"`
		Grace       bool   `json:"grace"`
		Repeat      bool   `json:"repeatInsufficientFunds"`
	} `json:"terms"`

	// cancelledAt is since when the customer has our word that nothing will be charged.
	promised time.Time
	// ended is since when it is over at once, by our own answer.
	ended   time.Time
	periods map[int]*period
	seen    bool
	// last is the order of the latest period that is written down as paid.
	last *order
	// shut says that it was over, or unpaid, and nothing was paid since; left, that whoever may
	// has asked for its end at once.
	shut, left bool
}

// period is what was asked of a gateway for one period.
type period struct {
	paid     []*order
	declines []decline
	attempts map[string]bool // orders that had an effect
	plan     string          // of those
}

type decline struct {
	order string
	card  string // "" where no gateway said a word
	cards int    // how many came before it, as our order has it
	code  string
	class billing.Class
	at    time.Time
}

const schemaOfCharges = 1

// committed has the books see what is being written.
func (q *Quarter) committed(writes []table.Write) {
	for _, w := range writes {
		if w.Change == table.Remove && w.Item.Key.Table == table.Subscriptions {
			if _, id, ok := strings.Cut(w.Item.Key.Partition, q.prefix); ok && q.subscriptions[id] != nil {
				q.subscriptions[id].seen = false // a sign-up that came to nothing
			}
		}
		if w.Change != table.Insert && w.Change != table.Replace {
			continue
		}
		switch w.Item.Key.Table {
		case table.Orders:
			q.orderWritten(w.Item)
		case table.Subscriptions:
			q.subscriptionWritten(w.Item)
		case table.Customers:
			q.customerWritten(w.Item)
		case table.Purchases, table.Notices, table.Endpoints:
		}
	}
	q.accessWritten(writes)
}

func (q *Quarter) orderWritten(item table.Item) {
	var is order
	if item.Schema != schemaOfCharges || json.Unmarshal(item.Data, &is) != nil || is.Kind != billing.ChargeKind {
		return
	}
	was := q.orders[is.ID]
	if was == nil {
		was = &order{}
		q.orders[is.ID] = was
		q.listed = append(q.listed, was)
	}
	is.payments = was.payments
	before, leased := was.State, was.Lease
	*was = is
	q.w.Story.Tell(q.w.Now().UnixNano(), "book", "order "+string(is.State), q.about(is.ID))
	if before == billing.Paid && is.State != billing.Paid || before == billing.Declined && is.State != billing.Declined {
		q.fail("what is settled stays settled", "order %s went from %s to %s", is.ID, before, is.State)
	}
	if is.State == billing.Paid && before != billing.Paid {
		q.recorded(was)
		if s := q.subscription(is.Subscription); !is.OnDemand {
			s.shut = false
			if s.last == nil || s.last.Period <= is.Period {
				s.last = was
			}
		}
	}
	if is.State == billing.Sending && before == "" && !is.OnDemand && is.Attempt == 1 && is.Period > 0 {
		q.claimed(was)
	}
	if is.State == billing.Sending && !is.OnDemand && is.Attempt > 1 && !is.Lease.IsZero() && !is.Lease.Equal(leased) {
		q.retried(was)
	}
	// What was closed without a word of the gateway's is a decline as well, between others.
	if n := q.subscription(is.Subscription).period(is.Period); is.State == billing.Declined && !is.OnDemand &&
		!slices.ContainsFunc(n.declines, func(d decline) bool { return d.order == is.ID }) {
		n.declines = append(n.declines, decline{is.ID, "", is.Cards, is.Code, is.Class, q.w.Now()})
	}
	// Some act at the very moment at which they are charged.
	if p := q.holders[is.Subscription]; is.State == billing.Sending && before != billing.Sending && p != nil && p.sub == is.Subscription {
		switch {
		case is.Attempt > 1 && q.chance(25):
			p.hurried(p.newMethod) // who was told of a retry gives another card
		case q.chance(4):
			p.hurried(p.act)
		}
	}
	if is.Refunded > is.Amount {
		q.fail("no more is given back than was taken", "order %s says %d of %d", is.ID, is.Refunded, is.Amount)
	}
}

// recorded is a record of money: the gateway has that very payment.
func (q *Quarter) recorded(o *order) {
	if o.Payment == nil {
		q.fail("no record without money", "order %s is paid by no payment", o.ID)
		return
	}
	for _, p := range o.payments {
		if p.id == o.Payment.Key {
			if p.amount != o.Amount {
				q.fail("the record says what was taken", "order %s says %d, and %d was taken", o.ID, o.Amount, p.amount)
			}
			return
		}
	}
	q.fail("no record without money", "order %s is paid by %s, which its gateway has not taken for it", o.ID, o.Payment.Key)
}

// subscriptionOf is the one that an item is of, nil for a cursor, a pace, an errand.
func (q *Quarter) subscriptionOf(item table.Item) *subscription {
	_, id, ok := strings.Cut(item.Key.Partition, q.prefix)
	if s := q.subscriptions[id]; ok && s != nil && s.seen {
		return s
	}
	return nil
}

func (q *Quarter) subscriptionWritten(item table.Item) {
	if _, id, ok := strings.Cut(item.Key.Partition, q.prefix); !ok || strings.Contains(id, "#") {
		q.slowed(item.Key.Partition) // a cursor, a pace, an errand
		return
	}
	var is subscription
	if json.Unmarshal(item.Data, &is) != nil || is.ID == "" || is.Anchor.IsZero() {
		return
	}
	s := q.subscription(is.ID)
	is.promised, is.ended, is.periods, is.seen, is.last, is.shut, is.left = s.promised, s.ended, s.periods, true, s.last, s.shut, s.left
	if is.State == billing.StateUnpaid && s.State != is.State {
		q.givenUp(&is)
	}
	is.shut = is.shut || is.State == billing.StateUnpaid || is.State == billing.StateCancelled
	*s = is
	q.w.Story.Tell(q.w.Now().UnixNano(), "book", string(is.State)+", "+string(is.Step)+" "+strconv.Itoa(is.Period)+"."+strconv.Itoa(is.Attempt), is.ID)
	q.dated(s)
}

func (q *Quarter) subscription(id string) *subscription {
	s := q.subscriptions[id]
	if s == nil {
		s = &subscription{ID: id, periods: map[int]*period{}}
		q.subscriptions[id] = s
		q.agreed = append(q.agreed, s)
	}
	return s
}

func (s *subscription) period(n int) *period {
	p := s.periods[n]
	if p == nil {
		p = &period{attempts: map[string]bool{}}
		s.periods[n] = p
	}
	return p
}

// dated holds the instant of the next attempt against an independent computation.
func (q *Quarter) dated(s *subscription) {
	if s.Terms.OnDemand || s.NextDueAt.IsZero() || s.Hastened || s.State == billing.StateUnpaid || s.State == billing.StateCancelled {
		return
	}
	c, err := calendarOf(s.Anchor, s.Terms.Zone, s.Terms.Cycle)
	if err != nil {
		q.fail("due instants are those of the calendar", "subscription %s: %v", s.ID, err)
		return
	}
	if s.Period == s.Base && s.Attempt == 1 && s.NextDueAt.Equal(s.Anchor) {
		return // a calendar begins at its anchor, also where a wall shows that hour a second time
	}
	want, ok := c.attempt(s.Period-s.Base, s.Attempt)
	if !ok || !want.Equal(s.NextDueAt) {
		q.fail("due instants are those of the calendar", "subscription %s: period %d, attempt %d at %s, want %s (%t)",
			s.ID, s.Period, s.Attempt, s.NextDueAt.Format(time.RFC3339), want.Format(time.RFC3339), ok)
	}
}

// customerWritten takes note of the reminders, which are events.
func (q *Quarter) customerWritten(item table.Item) {
	if !strings.HasPrefix(item.Key.Sort, "event#") {
		return
	}
	if !strings.Contains(string(item.Data), string(event.DunningReminder)) {
		return
	}
	var e struct {
		event.Event
		Told event.Event `json:"event"`
	}
	if json.Unmarshal(item.Data, &e) != nil {
		return
	}
	is := e.Event
	if is.Type == "" {
		is = e.Told
	}
	if is.Type != event.DunningReminder || is.Period == nil {
		return
	}
	q.reminded[retry{is.SubscriptionID, *is.Period, is.Attempt}] = is.At
}

// retry is an attempt that its customer is to be told of.
type retry struct {
	subscription    string
	period, attempt int
}
