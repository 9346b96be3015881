package bank

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/notice"
)

// How the adapter looks for payments.
const (
	listSize   = 100
	surelyLast = 10 // a page with fewer is the last
	mostPages  = 20
	mostFound  = 20
	backdated  = 10 * time.Minute
	asksAgain  = 10 * time.Minute // while an earlier payment or refund is open
)

// ondemand is the body of a charge, as Compose writes it.
type ondemand struct {
	Price    int64  `json:"product_price"`
	Currency string `json:"product_currency"`
	Metadata struct {
		Order string `json:"order_id"`
	} `json:"metadata"`
}

// Charge sends a body once: if it arrives, it is a payment of its own.
func (d *Dodo) Charge(_ context.Context, orderID string, card billing.Card, body []byte) billing.Outcome {
	var c ondemand
	if err := json.Unmarshal(body, &c); err != nil || c.Metadata.Order != orderID || !isOrder(orderID) || c.Price <= 0 || !isCurrency(c.Currency) || !isID(card.BillingKey) {
		return billing.Outcome{Result: billing.NotMade, Misconfigured: true}
	}
	key := ""
	s := d.write("charge", orderID, func() (s said) {
		key, s = d.charge(card.BillingKey, c)
		return s
	})
	switch {
	case s.unsent:
		return billing.Outcome{Result: billing.NotMade}
	case s.status == 0:
		return billing.Outcome{Result: billing.Unclear}
	case s.fine():
		return billing.Outcome{Result: billing.Accepted, Payment: billing.Payment{Key: key}}
	case s.status == 429:
		return billing.Outcome{Result: billing.NotMade, Code: s.code, Busy: true}
	case s.status == 500:
		return billing.Outcome{Result: billing.Unclear, Code: s.code}
	case s.status == 409:
		return billing.Outcome{Result: billing.NotMade, Code: s.code, Again: asksAgain}
	case s.status == 400:
		return billing.Outcome{Result: billing.Refused, Code: s.code, Class: billing.Passing}
	}
	return billing.Outcome{Result: billing.NotMade, Code: s.code, Misconfigured: true}
}

// charge is what Dodo does about one.
func (d *Dodo) charge(id string, c ondemand) (string, said) {
	m := d.mandates[id]
	switch {
	case m == nil:
		return "", dodoMissing
	case m.open != nil:
		return "", said{status: 409, code: "PREVIOUS_PAYMENT_PENDING"}
	case m.state != billing.MandateActive:
		d.declined(c.Metadata.Order, word{code: "SUBSCRIPTION_INACTIVE", class: billing.Passing}, nil)
		return "", said{status: 400, code: "SUBSCRIPTION_INACTIVE"}
	}
	p := d.pay(m, c.Metadata.Order, c.Price, c.Currency)
	p.state, m.open = deciding, p
	d.decideLater(p)
	return p.Key, dodoFine
}

// pay makes a payment, which waits: with tax on top, in the currency that the customer chose.
func (d *Dodo) pay(m *mandate, order string, price int64, currency string) *Payment {
	p := &Payment{
		Key: d.id("pay_"), Order: order, Subscription: m.subscription, Holder: m.id, Card: m.card, Made: d.world.Now(), mandate: m, means: m.method,
	}
	d.price(p, price, currency)
	d.payments, m.payments, d.byKey[p.Key] = append(d.payments, p), append(m.payments, p), p
	return p
}

// price says what a payment is of. One of another currency is worth two thirds of the price's.
func (d *Dodo) price(p *Payment, price int64, currency string) {
	if chosen := p.mandate.currency; chosen != "" && chosen != currency {
		price, currency = price*3/2, chosen
	}
	p.Asked, p.Amount, p.Currency = price, price+price*int64(d.Tax)/100, currency
}

// decideLater has a payment be decided: some seconds from now, or much later.
func (d *Dodo) decideLater(p *Payment) {
	after := d.within(0, 20*time.Second)
	if d.chance(d.Slow) {
		after = d.within(d.SlowMost, time.Hour)
	}
	d.world.After(after, func() { d.decide(p) })
}

// decide asks the payer's bank.
func (d *Dodo) decide(p *Payment) {
	m := p.mandate
	m.open = nil
	reason := p.Card.ask(d.world.Now())
	if reason == Approved || reason == Ambiguous {
		d.take(p)
		d.told("payment.succeeded", p)
		if m.state == billing.MandatePending {
			d.activate(m, p.Card)
		}
		return
	}
	p.state, p.reason = failed, reason
	d.declined(p.Order, dodoWords[reason], p.Card)
	d.told("payment.failed", p)
	switch {
	case m.state == billing.MandateActive && d.chance(d.Holds):
		m.state = billing.MandateOnHold
		d.toldMandate("subscription.on_hold", m)
	case m.state == billing.MandatePending && d.chance(d.Ends):
		m.state = billing.MandateEnded
		d.toldMandate("subscription.failed", m)
	}
}

func (d *Dodo) activate(m *mandate, c *Card) {
	m.state, m.card, m.method = billing.MandateActive, c, d.id("pm_")
	d.toldMandate("subscription.active", m)
}

// Find looks up the payments of an order: one by its key, or those of the mandate that carry
// the order's id.
func (d *Dodo) Find(_ context.Context, orderID string, want billing.Want) billing.Outcome {
	byKey := want.Payment != "" && want.Card.BillingKey == ""
	if !isOrder(orderID) || !byKey && !isID(want.Card.BillingKey) || want.Payment != "" && !isID(want.Payment) {
		return billing.Outcome{Result: billing.Unclear}
	}
	if want.Payment != "" {
		p, s := d.get(want.Payment)
		switch {
		case !s.fine():
			return billing.Outcome{Result: billing.Unclear, Code: s.code}
		case p.method:
			return billing.Outcome{Result: billing.Absent}
		case p.Order != orderID, want.Card.BillingKey != "" && p.Holder != want.Card.BillingKey:
			return billing.Outcome{Result: billing.Unclear}
		}
		return p.outcome()
	}
	keys, whole, s := d.candidates(orderID, want)
	if !s.fine() {
		return billing.Outcome{Result: billing.Unclear, Code: s.code}
	}
	var found []sight
	for _, key := range keys {
		p, s := d.get(key)
		if !s.fine() {
			return billing.Outcome{Result: billing.Unclear, Code: s.code}
		}
		if !p.method {
			found = append(found, p)
		}
	}
	return settle(found, whole)
}

// candidates lists the payments of a mandate that carry an order's id.
func (d *Dodo) candidates(orderID string, want billing.Want) (keys []string, whole bool, s said) {
	var since time.Time
	if !want.Since.IsZero() {
		since = want.Since.Add(-backdated)
	}
	for number := range mostPages {
		var items []*Payment
		s = d.look("payments", want.Card.BillingKey, func() said {
			items = d.listed(want.Card.BillingKey, since, time.Time{}, number, listSize)
			return dodoFine
		})
		if !s.fine() {
			return nil, false, s
		}
		for _, p := range items {
			switch {
			case p.Order != orderID || slices.Contains(keys, p.Key) || slices.Contains(want.Passed, p.Key):
			case len(keys) == mostFound:
				return nil, false, said{}
			default:
				keys = append(keys, p.Key)
			}
		}
		if len(items) < surelyLast {
			return keys, true, s
		}
	}
	return keys, false, s
}

// settle makes one outcome of the payments of an order, as the adapter does.
func settle(found []sight, whole bool) billing.Outcome {
	if len(found) > 1 {
		slices.SortFunc(found, func(a, b sight) int { return cmp.Or(a.Made.Compare(b.Made), strings.Compare(a.Key, b.Key)) })
	}
	var taken, open, refused billing.Outcome
	for _, p := range found {
		o := p.outcome()
		switch {
		case o.Result == billing.Taken && taken.Result != "":
			taken.Others = append(taken.Others, o.Payment)
		case o.Result == billing.Taken:
			taken = o
		case o.Result == billing.Accepted && open.Result == "":
			open = o
		case o.Result == billing.Refused:
			refused = o
		}
	}
	switch {
	case taken.Result != "":
		return taken
	case open.Result != "":
		return open
	case !whole:
		return billing.Outcome{Result: billing.Unclear}
	case refused.Result != "":
		return refused
	}
	return billing.Outcome{Result: billing.Absent}
}

// OrderOf is the order that a payment carries.
func (d *Dodo) OrderOf(_ context.Context, payment string) (string, error) {
	if !isID(payment) {
		return "", nil
	}
	p, s := d.get(payment)
	switch {
	case s.status == 404:
		return "", nil
	case !s.fine():
		return "", dodoUnavailable()
	}
	return p.Order, nil
}

func dodoUnavailable() error {
	return fault.New(fault.Unavailable, "gateway_unavailable", "Dodo Payments could not be asked now; ask again.")
}

// ConsoleDispute opens a dispute of a payment at its payer's bank. It is false where there is
// nothing to be disputed.
func (d *Dodo) ConsoleDispute(payment string) bool {
	p := d.byKey[payment]
	if p == nil || p.state != succeeded || p.Disputed || p.seized || p.given() >= p.Amount {
		return false
	}
	p.Disputed, p.dispute = true, &dispute{id: d.id("dsp_"), payment: p, opened: d.world.Now()}
	d.disputes = append(d.disputes, p.dispute)
	d.disputed("opened", p)
	return true
}

// ConsoleDisputeLost has the bank take back what there is left of a disputed payment.
func (d *Dodo) ConsoleDisputeLost(payment string) {
	p := d.byKey[payment]
	if p == nil || !p.Disputed {
		return
	}
	p.Disputed = false
	left := p.Amount - p.given()
	if left <= 0 {
		d.disputed("cancelled", p) // there is nothing to take
		return
	}
	p.seized, p.Seized = true, left
	if d.OnSeized != nil {
		d.OnSeized(p, left)
	}
	d.disputed("lost", p)
}

// ConsoleDisputeWon closes a dispute for us; one that was lost gives the money back to us.
func (d *Dodo) ConsoleDisputeWon(payment string) {
	p := d.byKey[payment]
	if p == nil || !p.Disputed && !p.seized {
		return
	}
	amount := p.Seized
	p.Disputed, p.seized, p.Seized = false, false, 0
	if amount > 0 && d.OnSeized != nil {
		d.OnSeized(p, -amount)
	}
	d.disputed("won", p)
}

// disputed is how a payment's dispute goes on; its webhook names the payment alone.
func (d *Dodo) disputed(word string, p *Payment) {
	p.dispute.status = "dispute_" + word
	d.post(notice.Hint{Signed: true, Type: "dispute." + word, Payment: p.Key})
}

// Disputed pages through the disputes that are decided.
func (d *Dodo) Disputed(_ context.Context, from, to time.Time, after string) (disputes []billing.Dispute, next string, err error) {
	number, bad := 0, error(nil)
	if after != "" {
		number, bad = strconv.Atoi(after)
	}
	if bad != nil || number < 0 || !from.Before(to) {
		return nil, "", dodoUnavailable()
	}
	items := 0
	s := d.look("statement", disputesPart, func() said {
		listed := d.opened(from, to, number, listSize)
		items = len(listed)
		for _, each := range listed {
			lost := each.status == "dispute_lost"
			if (lost || each.status == "dispute_won" || each.status == "dispute_cancelled") && each.opened.Before(to) {
				disputes = append(disputes, billing.Dispute{ID: each.id, Payment: each.payment.Key, Opened: each.opened, Lost: lost})
			}
		}
		return dodoFine
	})
	if !s.fine() {
		return nil, "", dodoUnavailable()
	}
	if items >= surelyLast {
		next = strconv.Itoa(number + 1)
	}
	return disputes, next, nil
}

// opened is a page of disputes.
func (d *Dodo) opened(from, to time.Time, number, size int) []*dispute {
	last := d.world.Now().Add(-d.lag())
	first := sort.Search(len(d.disputes), func(i int) bool { return !d.disputes[i].opened.Before(from) })
	end := sort.Search(len(d.disputes), func(i int) bool { return d.disputes[i].opened.After(to) || d.disputes[i].opened.After(last) })
	return leaf(d.disputes[first:max(first, end)], number, d.sized(size))
}

// isID says whether s is an id as Dodo writes them.
func isID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

func isCurrency(s string) bool {
	return len(s) == 3 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z' && s[2] >= 'A' && s[2] <= 'Z'
}
