package bank

import (
	"context"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"grantline/shared/billing"
	"grantline/shared/notice"
)

// mostRefunds bounds the refunds of one payment that the adapter looks at.
const mostRefunds = 20

// Refund gives money of a payment back. As the adapter it looks first, and only then asks: what
// happens between the two is not seen. Dodo refuses more than is left, and knows no key.
func (d *Dodo) Refund(_ context.Context, r billing.Refunding) billing.Refunded {
	if !dodoRefundable(r) || strings.TrimSpace(r.Reason) == "" || !utf8.ValidString(r.Reason) || utf8.RuneCountInString(r.Reason) > 200 || r.Left < r.Amount.Units {
		return billing.Refunded{Result: billing.NotMade, Misconfigured: true}
	}
	p, s := d.get(r.Payment)
	switch {
	case !s.fine():
		return unprepared(s)
	case p.Order != r.OrderID || p.Currency != r.Amount.Currency || p.Amount <= 0 || p.state != succeeded:
		return billing.Refunded{Result: billing.NotMade, Misconfigured: true}
	}
	found, s := d.match(p, r)
	left := p.Amount - p.given
	switch {
	case !s.fine():
		return unprepared(s)
	case found.Result != billing.Absent:
		return found
	case left < r.Amount.Units:
		return billing.Refunded{Result: billing.Refused, Code: "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT"}
	case left < r.Left:
		return billing.Refunded{Result: billing.Refused}
	}
	amount := int64(0) // all that is left
	if r.Amount.Units < p.Amount && !r.Whole {
		amount = r.Amount.Units
		// A payment does not say what it was for, and its mandate does.
		if s := d.look("mandate", p.Holder, func() said { return dodoFine }); !s.fine() {
			return unprepared(s)
		}
	}
	var made *Refund
	state := billing.Refunded{}
	s = d.write("refund", d.orderOf(r.Payment), func() said {
		var s said
		if made, s = d.giveBack(r.Payment, r.Key, amount); s.fine() {
			state = made.stands()
		}
		return s
	})
	switch {
	case s.unsent:
		return billing.Refunded{Result: billing.NotMade}
	case s.fine():
		return state
	case s.status == 429:
		return billing.Refunded{Result: billing.NotMade, Code: s.code, Busy: true}
	case s.status == 401:
		return billing.Refunded{Result: billing.NotMade, Code: s.code, Misconfigured: true}
	case s.status == 409:
		return billing.Refunded{Result: billing.NotMade, Code: s.code, Again: asksAgain}
	case s.status == 400:
		return billing.Refunded{Result: billing.Refused, Code: s.code}
	}
	return billing.Refunded{Result: billing.Unclear, Code: s.code}
}

// giveBack is what Dodo does about a refund; an amount of 0 is all that is left.
func (d *Dodo) giveBack(payment, key string, amount int64) (*Refund, said) {
	p := d.byKey[payment]
	if p == nil || p.state != succeeded {
		return nil, said{status: 400, code: "PAYMENT_NOT_SUCCEEDED"}
	}
	left := p.Amount - p.given()
	switch {
	case left == 0:
		return nil, said{status: 400, code: "PAYMENT_ALREADY_REFUNDED"}
	case p.seized:
		return nil, said{status: 400, code: "NOTHING_TO_REFUND"}
	case amount > left:
		return nil, said{status: 400, code: "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT"}
	case amount == 0:
		amount = left
	}
	for _, r := range p.Refunds {
		if r.state == deciding {
			return nil, said{status: 409, code: "EXISTING_REFUND_REQUEST_PROCESSING"}
		}
	}
	r := &Refund{ID: d.id("ref_"), Key: key, Amount: amount, At: d.world.Now(), Payment: p, left: left - amount, state: deciding}
	p.Refunds, d.refunds = append(p.Refunds, r), append(d.refunds, r)
	if d.chance(d.RefundSlow) {
		d.world.After(d.within(d.SlowMost, time.Hour), func() { d.decideRefund(r) })
	} else {
		d.decideRefund(r)
	}
	return r, dodoFine
}

func (d *Dodo) decideRefund(r *Refund) {
	event := "refund.succeeded"
	if r.Key != "" && d.chance(d.RefundRefused) {
		r.state, event = failed, "refund.failed"
	} else {
		d.back(r)
	}
	h := notice.Hint{Signed: true, Type: event, Payment: r.Payment.Key}
	if r.Key != "" {
		h.Order = r.Payment.Order // its metadata is ours
	}
	d.post(h)
}

// FindRefund looks a refund up by its key.
func (d *Dodo) FindRefund(_ context.Context, r billing.Refunding) billing.Refunded {
	if !dodoRefundable(r) {
		return billing.Refunded{Result: billing.Unclear}
	}
	p, s := d.get(r.Payment)
	if s.fine() && (p.Order != r.OrderID || p.Currency != r.Amount.Currency) {
		return billing.Refunded{Result: billing.Unclear}
	}
	var found billing.Refunded
	if s.fine() {
		found, s = d.match(p, r)
	}
	if !s.fine() {
		return billing.Refunded{Result: billing.Unclear, Code: s.code}
	}
	return found
}

// match finds a refund among those of a payment; each has to be looked at, for a payment shows
// no metadata of them.
func (d *Dodo) match(p sight, r billing.Refunding) (billing.Refunded, said) {
	if len(p.refunds) > mostRefunds {
		return billing.Refunded{}, said{}
	}
	best := billing.Refunded{Result: billing.Absent}
	states := make([]billing.Refunded, 0, 4)
	for _, each := range p.refunds {
		states = append(states, each.stands()) // as the payment showed it
	}
	for n, each := range p.refunds {
		if s := d.look("refund", each.ID, func() said { return dodoFine }); !s.fine() {
			return billing.Refunded{}, s
		}
		if each.Key == r.Key && (best.Result == billing.Absent || best.Result == billing.Refused) {
			best = states[n]
		}
	}
	return best, dodoFine
}

func (r *Refund) stands() billing.Refunded {
	o := billing.Refunded{Result: billing.Accepted, Transaction: r.ID}
	switch r.state {
	case succeeded:
		o.Result = billing.Taken
	case failed:
		o.Result = billing.Refused
	case waiting, deciding:
	}
	return o
}

// unprepared is a refund that was not sent since Dodo could not be asked about its payment.
func unprepared(s said) billing.Refunded {
	return billing.Refunded{Result: billing.NotMade, Code: s.code, Misconfigured: s.status == 401 || s.status == 404, Busy: s.status == 429}
}

func dodoRefundable(r billing.Refunding) bool {
	return isOrder(r.OrderID) && isID(r.Payment) && r.Key != "" && len(r.Key) <= 300 && printable(r.Key) && r.Amount.Units > 0 && isCurrency(r.Amount.Currency)
}

// ConsoleRefund gives money of a payment back in Dodo's console; 0 is all that is left. It is
// false where Dodo refuses.
func (d *Dodo) ConsoleRefund(payment string, amount int64) bool {
	_, s := d.giveBack(payment, "", amount)
	return s.fine()
}

// The pages of a statement, as the adapter asks for them.
const (
	paymentsPart = "payments"
	refundsPart  = "refunds"
	disputesPart = "disputes" // asked for apart
	refundPage   = 5
)

// Statement pages through the payments that succeeded, and then through the refunds.
func (d *Dodo) Statement(_ context.Context, from, to time.Time, after string) (entries []billing.Entry, next string, err error) {
	part, page, found := strings.Cut(after, ":")
	number, bad := 0, error(nil)
	if found {
		number, bad = strconv.Atoi(page)
	} else {
		part = paymentsPart
	}
	if bad != nil || after != "" && !found || !from.Before(to) {
		return nil, "", dodoUnavailable()
	}
	size, items := d.sized(listSize), 0
	if part == refundsPart {
		size = refundPage
		if items, err = d.returned(from, to, number, &entries); err != nil {
			return nil, "", err
		}
	} else if s := d.look("statement", paymentsPart, func() said {
		listed := d.listed("", from, to, number, listSize)
		items = len(listed)
		for _, p := range listed {
			if p.state == succeeded && p.Amount > 0 && p.Made.Before(to) {
				entries = append(entries, billing.Entry{OrderID: p.Order, Payment: p.Key, At: p.Made, Currency: p.Currency, Taken: p.Amount})
			}
		}
		return dodoFine
	}); !s.fine() {
		return nil, "", dodoUnavailable()
	}
	switch {
	case items >= min(size, surelyLast):
		next = part + ":" + strconv.Itoa(number+1)
	case part == paymentsPart:
		next = refundsPart + ":0"
	}
	return entries, next, nil
}

// returned reads a page of refunds, each with a look at its payment.
func (d *Dodo) returned(from, to time.Time, number int, entries *[]billing.Entry) (int, error) {
	var listed []*Refund
	var done []bool
	s := d.look("statement", refundsPart, func() said {
		listed = d.repaid(from, to, number)
		for _, r := range listed {
			done = append(done, r.Done())
		}
		return dodoFine
	})
	if !s.fine() {
		return 0, dodoUnavailable()
	}
	for n, r := range listed {
		if !done[n] || !r.At.Before(to) {
			continue
		}
		if _, s := d.get(r.Payment.Key); !s.fine() {
			return 0, dodoUnavailable()
		}
		*entries = append(*entries, billing.Entry{
			OrderID: r.Payment.Order, Payment: r.Payment.Key, At: r.At, Currency: r.Payment.Currency, Returned: r.Amount,
		})
	}
	return len(listed), nil
}

// repaid is a page of refunds.
func (d *Dodo) repaid(from, to time.Time, number int) []*Refund {
	last := d.world.Now().Add(-d.lag())
	first := sort.Search(len(d.refunds), func(i int) bool { return !d.refunds[i].At.Before(from) })
	end := sort.Search(len(d.refunds), func(i int) bool { return d.refunds[i].At.After(to) || d.refunds[i].At.After(last) })
	return leaf(d.refunds[first:max(first, end)], number, refundPage)
}
