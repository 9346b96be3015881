package bank

import (
	"strconv"
	"time"

	"grantline/shared/billing"
	"grantline/shared/notice"
	"grantline/shared/simulate"
	"grantline/shared/table"
)

// Habits are how a gateway behaves, beside what chance makes of each crossing. How often is in
// 100,000.
type Habits struct {
	// Hooks takes the webhooks as they come in, nil for none.
	Hooks func(h notice.Hint)
	Scope table.Scope // to whose address they come; the zero one is the default's

	HookLost, HookLate, HookDoubled int
	HookLateMost                    time.Duration

	// Broken is how many requests that write are answered by a 500; every other of them is done.
	Broken int
	// Late is for how long at most a request whose fate is late is on its way; 0 is five minutes
	// at Toss and an hour at Dodo. Billing counts on minutes at Toss, less than the look-ups of an
	// hour, and on less than a day at Dodo.
	Late time.Duration
	// Slow is how many payments take long, up to SlowMost: at Toss within the call, where
	// SlowMost is 40 s if 0; at Dodo after it, an hour if 0.
	Slow     int
	SlowMost time.Duration
	// ListLag is how long a list or a statement does not show a payment; 0 is a minute.
	ListLag time.Duration
	// RefundRefused is how many refunds are refused for good, and RefundSlow how many of Dodo's
	// are decided later, by up to SlowMost.
	RefundRefused, RefundSlow int

	// Toss: what its documents leave open.
	ShowsDeclines bool // a declined order is found, as ABORTED
	KeepsBroken   bool // a 500 is repeated under its key
	TellsCharges  bool // a webhook for each payment, and not only for what is given back

	// Dodo: likewise.
	Holds  int // declined charges that put the mandate on hold
	Ends   int // payments declined on the page that end the mandate
	Unsent int // lost requests of which nothing left, and the adapter knows
	Page   int // entries of a page of a list, 0 for as many as the adapter asks for; at Dodo 10 at least
	Tax    int // percent on top of each price
}

// Bad is worse than anything that was ever seen, within what billing counts on.
func Bad() Habits {
	return Habits{
		HookLost: 2000, HookLate: 5000, HookDoubled: 5000, HookLateMost: 12 * time.Hour,
		Broken: 300, Slow: 1000, RefundRefused: 1000, RefundSlow: 20_000,
		Holds: 50_000, Ends: 10_000, Unsent: 20_000, Tax: 10,
	}
}

// Payment is one payment, as its gateway has it. Watchers read it and change nothing.
type Payment struct {
	Key          string // the gateway's
	Order        string
	Subscription string // ours, of a mandate's
	Holder       string // the billing key or mandate
	Card         *Card
	Amount       int64 // with tax
	Asked        int64 // without
	Currency     string
	TaxFree      int64
	Made         time.Time // when the gateway made it
	At           time.Time // when its money was taken, zero if it was not
	Returned     int64     // given back for good
	Seized       int64     // taken back by the payer's bank for good
	Disputed     bool      // at this moment
	Refunds      []*Refund

	mandate     *mandate
	transaction string
	state       state
	reason      Reason   // of a decline
	method      bool     // it gave its mandate another means of payment
	means       string   // the mandate's means of payment that it is of, "" until there is one
	seized      bool     // a dispute of it was lost
	dispute     *dispute // the last one
}

// Kept is what we still have of it.
func (p *Payment) Kept() int64 { return p.Amount - p.Returned - p.Seized }

// given is what of it was given back, or is about to be.
func (p *Payment) given() (all int64) {
	for _, r := range p.Refunds {
		if r.state != failed {
			all += r.Amount
		}
	}
	return all
}

// Refund is money of a payment that is given back.
type Refund struct {
	ID      string
	Key     string // ours, "" where it was made at the gateway's console
	Amount  int64
	At      time.Time // when it was made
	Payment *Payment

	left  int64 // of the payment, after it
	state state
}

// Done says that the money is given back.
func (r *Refund) Done() bool { return r.state == succeeded }

type state uint8

const (
	waiting   state = iota // for the customer, on the page
	deciding               // accepted
	succeeded              // for good
	failed                 // for good
)

// Watch are called at the very moment, by whatever is going on; each may be nil, and must not
// call the gateway.
type Watch struct {
	OnTaken    func(p *Payment)
	OnReturned func(p *Payment, amount int64)
	// OnSeized is called where a bank has taken money back, and with less than 0 where it gave
	// that again.
	OnSeized func(p *Payment, amount int64)
	// OnDeclined is called for each attempt that was refused for good, with the card that was
	// asked, nil if none was.
	OnDeclined func(order, code string, class billing.Class, c *Card)
}

// desk is what both gateways are made of.
type desk struct {
	Habits
	Watch

	world    *simulate.World
	name     string
	down     bool
	refusing string // the code of a spell in which all is refused
	taken    []*Payment
	count    int
}

// Payments are all whose money was taken, in that order. The caller changes nothing of it.
func (d *desk) Payments() []*Payment { return d.taken }

// ConsoleOutage has nobody answer any more, or again.
func (d *desk) ConsoleOutage(down bool) { d.down = down }

func (d *desk) chance(rate int) bool {
	return rate > 0 && int(d.world.Dice.Uint32N(100_000)) < rate
}

// within is a span of up to most, or up to usual where that is 0.
func (d *desk) within(most, usual time.Duration) time.Duration {
	if most == 0 {
		most = usual
	}
	return time.Duration(d.world.Dice.Int64N(int64(most))) + 1
}

// id makes an id that there was not before.
func (d *desk) id(prefix string) string {
	d.count++
	buf := make([]byte, 0, 24)
	return string(strconv.AppendInt(append(buf, prefix...), int64(d.count), 10))
}

func (d *desk) cross(verb, about string, write bool) simulate.Fate {
	fate := d.world.Cross(simulate.Op{Port: "gateway", Verb: verb, About: about, Write: write})
	if d.down || fate == simulate.Late && !write {
		return simulate.Lost
	}
	return fate
}

func (d *desk) take(p *Payment) {
	p.At, p.state = d.world.Now(), succeeded
	d.taken = append(d.taken, p)
	if d.OnTaken != nil {
		d.OnTaken(p)
	}
}

func (d *desk) declined(order string, w word, c *Card) {
	if d.OnDeclined != nil {
		d.OnDeclined(order, w.code, w.class, c)
	}
}

// back is a refund that is done.
func (d *desk) back(r *Refund) {
	r.state = succeeded
	r.Payment.Returned += r.Amount
	if d.OnReturned != nil {
		d.OnReturned(r.Payment, r.Amount)
	}
}

// post sends a webhook, as often and as late as it gets through.
func (d *desk) post(h notice.Hint) {
	if d.Hooks == nil {
		return
	}
	h.ID, h.Provider, h.Project, h.Environment = d.id("hook_"), d.name, d.Scope.Project, d.Scope.Environment
	times := 1
	switch {
	case d.chance(d.HookLost):
		return
	case d.chance(d.HookDoubled):
		times = 2
	}
	for range times {
		after := d.within(0, 3*time.Second)
		if d.chance(d.HookLate) {
			after = d.within(d.HookLateMost, time.Hour)
		}
		d.world.After(after, func() {
			h.At = d.world.Now()
			d.Hooks(h)
		})
	}
}

// lag is how long a list does not show what was made.
func (d *desk) lag() time.Duration {
	if d.ListLag == 0 {
		return time.Minute
	}
	return d.ListLag
}
