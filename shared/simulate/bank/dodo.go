package bank

import (
	"context"
	"log/slog"
	"sort"
	"time"

	"grantline/shared/billing"
	"grantline/shared/dodo"
	"grantline/shared/notice"
	"grantline/shared/simulate"
	"grantline/shared/table"
)

// dodoWaits is how long the adapter waits for an answer.
const dodoWaits = 30 * time.Second

// Dodo is Dodo Payments. It knows no request again: whatever arrives is done, so that a charge
// that comes twice is two payments, unless the first is not decided yet. A payment is accepted
// first and decided later. Lists lag. Webhooks are signed.
type Dodo struct {
	desk
	composer *dodo.Gateway
	mandates map[string]*mandate
	newest   map[string]*mandate // by our subscription
	pages    map[string]*page
	payments []*Payment // by when they were made
	byKey    map[string]*Payment
	refunds  []*Refund  // by when they were made
	disputes []*dispute // by when they were opened
}

// dispute is one at Dodo.
type dispute struct {
	id      string
	payment *Payment
	opened  time.Time
	status  string // dispute_opened, …
}

var (
	_ billing.Mandates = (*Dodo)(nil)
	_ billing.Disputes = (*Dodo)(nil)
)

// mandate is a subscription at Dodo.
type mandate struct {
	id, subscription, order string
	invitation              billing.Invitation
	state                   billing.MandateState
	method                  string
	card                    *Card
	currency                string // that the customer chose
	open                    *Payment
	payments                []*Payment
}

// page is where a customer approves a mandate, or gives it another means of payment.
type page struct {
	mandate *mandate
	mends   bool
	used    bool
}

// said is what Dodo answers, as far as billing hears of it. The zero one is nothing.
type said struct {
	status int
	code   string
	unsent bool // nothing had left
}

func (s said) fine() bool { return s.status == 200 }

// The answers that say nothing of a payment or a mandate.
var (
	dodoBusy    = said{status: 429, code: "TOO_MANY_REQUESTS"}
	dodoBroken  = said{status: 500, code: "INTERNAL_SERVER_ERROR"}
	dodoMissing = said{status: 404, code: "NOT_FOUND"}
	dodoFine    = said{status: 200}
)

// NewDodo opens Dodo Payments in a world.
func NewDodo(w *simulate.World, h Habits) *Dodo {
	if h.Scope == (table.Scope{}) {
		h.Scope = table.Default
	}
	g, err := dodo.New(dodo.Config{
		URL: "https://dodo.invalid", Timeout: time.Hour, Log: slog.New(slog.DiscardHandler),
		Key: func(context.Context, bool) (string, error) { return "test", nil },
	})
	if err != nil {
		panic("bank: " + err.Error())
	}
	return &Dodo{
		desk: desk{Habits: h, world: w, name: dodo.Name}, composer: g, mandates: map[string]*mandate{}, newest: map[string]*mandate{},
		pages: map[string]*page{}, byKey: map[string]*Payment{},
	}
}

// Repeats is false: the same again is another charge.
func (d *Dodo) Repeats() bool { return false }

// Compose is the real adapter's.
func (d *Dodo) Compose(r billing.Request) ([]byte, error) { return d.composer.Compose(r) }

// write is a request that has an effect, on its way and back.
func (d *Dodo) write(verb, about string, do func() said) said {
	s, until := said{}, d.world.Now().Add(dodoWaits)
	switch fate := d.cross(verb, about, true); {
	case fate == simulate.Lost:
		s.unsent = d.chance(d.Unsent)
	case fate == simulate.Busy:
		s = dodoBusy
	case d.refusing != "":
		s = said{status: 401, code: d.refusing}
	case fate == simulate.Late:
		d.world.After(d.within(d.Habits.Late, time.Hour), func() { _ = do() })
	case d.chance(d.Broken):
		if s = dodoBroken; d.world.Dice.Uint32()&1 == 0 {
			_ = do()
		}
		if fate == simulate.Unheard {
			s = said{}
		}
	default:
		if s = do(); fate == simulate.Unheard {
			s = said{}
		}
	}
	return d.heard(s, until)
}

// heard is an answer on its way back, which nobody waits for any more after some time.
func (d *Dodo) heard(s said, until time.Time) said {
	d.world.Crossed()
	if d.world.Now().After(until) {
		return said{}
	}
	return s
}

// look is a request that changes nothing.
func (d *Dodo) look(verb, about string, do func() said) said {
	s, until := said{}, d.world.Now().Add(dodoWaits)
	switch fate := d.cross(verb, about, false); {
	case fate == simulate.Lost:
		s.unsent = d.chance(d.Unsent)
	case fate == simulate.Busy:
		s = dodoBusy
	case d.refusing != "":
		s = said{status: 401, code: d.refusing}
	default:
		if s = do(); fate == simulate.Unheard {
			s = said{}
		}
	}
	return d.heard(s, until)
}

// ConsoleRefuse begins a spell in which Dodo refuses all requests, as a mistake of ours, with
// a code such as UNAUTHORIZED; "" ends it.
func (d *Dodo) ConsoleRefuse(code string) { d.refusing = code }

// get looks at one payment: what it finds is as of when the request arrived.
func (d *Dodo) get(key string) (p sight, s said) {
	s = d.look("payment", d.orderOf(key), func() said {
		found := d.byKey[key]
		if found == nil {
			return dodoMissing
		}
		p = seen(found)
		return dodoFine
	})
	return p, s
}

// orderOf is whose a payment is.
func (d *Dodo) orderOf(payment string) string {
	if p := d.byKey[payment]; p != nil {
		return p.Order
	}
	return payment
}

// sight is a payment as it was when it was looked at.
type sight struct {
	*Payment
	state    state
	returned int64
	given    int64 // also what is about to be
	seized   int64
	refunds  []*Refund
}

func seen(p *Payment) sight {
	s := sight{Payment: p, state: p.state, returned: p.Returned, refunds: p.Refunds}
	if len(p.Refunds) > 0 {
		s.given = p.given()
	}
	if p.seized {
		s.seized = p.Seized
	}
	return s
}

// outcome is what the adapter makes of a payment of the order.
func (p sight) outcome() billing.Outcome {
	switch p.state {
	case succeeded:
		return billing.Outcome{Result: billing.Taken, Payment: billing.Payment{
			Key: p.Key, Card: "****4242", Issuer: "VISA", ApprovedAt: p.Made, Amount: p.Amount, Currency: p.Currency, VAT: p.Amount - p.Asked,
			Mandate: p.Holder, Returned: p.returned + p.seized,
		}}
	case failed:
		w := dodoWords[p.reason]
		return billing.Outcome{Result: billing.Refused, Code: w.code, Class: w.class, Method: p.means}
	case waiting, deciding:
	}
	return billing.Outcome{Result: billing.Accepted, Payment: billing.Payment{Key: p.Key}}
}

// made is the payments of a span that a list shows by now, of all or of one mandate, oldest first.
func (d *Dodo) made(all []*Payment, from, to time.Time) []*Payment {
	if last := d.world.Now().Add(-d.lag()); to.IsZero() || to.After(last) {
		to = last
	}
	first := sort.Search(len(all), func(i int) bool { return !all[i].Made.Before(from) })
	end := sort.Search(len(all), func(i int) bool { return all[i].Made.After(to) })
	return all[first:max(first, end)]
}

// listed is a page of payments, of all or of one mandate.
func (d *Dodo) listed(mandate string, from, to time.Time, number, size int) []*Payment {
	all := d.payments
	if mandate != "" {
		if all = nil; d.mandates[mandate] != nil {
			all = d.mandates[mandate].payments
		}
	}
	return leaf(d.made(all, from, to), number, d.sized(size))
}

// leaf is one page of a list.
func leaf[T any](all []T, number, size int) []T {
	first := min(number*size, len(all))
	return all[first:min(first+size, len(all))]
}

// sized is how many entries a page has.
func (d *Dodo) sized(asked int) int {
	if d.Page > 0 {
		return min(max(d.Page, surelyLast), asked)
	}
	return asked
}

// told sends the webhook of a payment.
func (d *Dodo) told(event string, p *Payment) {
	h := notice.Hint{Signed: true, Type: event, Payment: p.Key, Mandate: p.Holder, Order: p.Order}
	if p.Order == p.mandate.order {
		h.Subscription = p.mandate.subscription // it has the mandate's metadata
	}
	d.post(h)
}

// toldMandate sends the webhook of a mandate, which has the metadata that it was made with.
func (d *Dodo) toldMandate(event string, m *mandate) {
	d.post(notice.Hint{Signed: true, Type: event, Mandate: m.id, Order: m.order, Subscription: m.subscription})
}
