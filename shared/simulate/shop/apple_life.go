package shop

import (
	"strconv"
	"time"

	"grantline/shared/catalog"
)

func numbered(n int) string { return strconv.Itoa(n) }

// number reads what numbered wrote, 0 from anything else.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// How long Apple tries to take the money of a renewal, and for how long access stays meanwhile.
const (
	appleRetries = 60 * 24 * time.Hour
	appleGrace   = 16 * 24 * time.Hour
)

// begin writes a sale of a line.
func (a *Apple) begin(l *AppleLine, o *Order) *appleSale {
	o.ID, o.Line = a.next("2000"), l.ID
	if l.ID == "" {
		l.ID, o.Line = o.ID, o.ID
		a.lines[l.ID] = l
	}
	s := &appleSale{Order: o, line: l}
	s.facts.set(a.now(), facts{})
	a.sales[o.ID] = s
	l.sales = append(l.sales, s)
	a.sold(o)
	return s
}

// Buy sells something that does not renew.
func (a *Apple) Buy(o *Order) *Order {
	s := a.begin(&AppleLine{}, o)
	a.tell(s, "ONE_TIME_CHARGE", false)
	return o
}

// Subscribe sells the first period of a subscription.
func (a *Apple) Subscribe(o *Order) *AppleLine {
	l := &AppleLine{}
	a.period(l, o, "SUBSCRIBED.INITIAL_BUY", a.now(), time.Time{})
	return l
}

// Share lets somebody else of the family have what was bought, who is known by account.
func (a *Apple) Share(o *Order, account string, member int) *Order {
	shared := &Order{SKU: o.SKU, Account: account, Buyer: member, Family: true}
	s := a.begin(&AppleLine{}, shared)
	a.tell(s, "ONE_TIME_CHARGE", false)
	return shared
}

// Revoke takes a share away.
func (a *Apple) Revoke(o *Order) {
	if s := a.sales[o.ID]; o.Family && o.Paid() {
		s.facts.set(a.now(), facts{revoked: true})
		a.returned(o, wholly, 0)
		a.tell(s, "REVOKE", false)
	}
}

// period sells a period that begins now and is counted from an instant; what it takes over from
// is the line's last sale.
func (a *Apple) period(l *AppleLine, o *Order, kind string, from, until time.Time) *appleSale {
	p, _ := a.goods.BySKU(a.name, o.SKU)
	if until.IsZero() {
		until = from.AddDate(0, months(p), 0)
	}
	o.Until = signed(until)
	s := a.begin(l, o)
	l.stands.set(a.now(), renewal{status: statusActive, last: s, product: o.SKU, next: o.SKU, on: true})
	a.tell(s, kind, false)
	a.plan(l, s.Until.Add(-a.within(24*time.Hour)), a.renew)
	return s
}

// plan has something done to a line, instead of what was planned before.
func (a *Apple) plan(l *AppleLine, at time.Time, do func(*AppleLine)) {
	l.turn++
	turn := l.turn
	a.world.At(at, func() {
		if l.turn == turn {
			do(l)
		}
	})
}

// Line is the one that an order is of.
func (a *Apple) Line(o *Order) *AppleLine { return a.lines[o.Line] }

// Changed is when it last did.
func (l *AppleLine) Changed() time.Time {
	at := l.stands.since
	for _, s := range l.sales {
		at = later(at, s.facts.since)
	}
	return at
}

// Orders are those of the line.
func (l *AppleLine) Orders() []*Order {
	orders := make([]*Order, len(l.sales))
	for n, s := range l.sales {
		orders[n] = s.Order
	}
	return orders
}

// Last is the latest sale of the line.
func (l *AppleLine) Last() *Order { return l.sales[len(l.sales)-1].Order }

// Running says whether it goes on, or would if the money could be taken.
func (l *AppleLine) Running() bool { return l.stands.is.status != statusExpired }

// WillRenew says whether the customer wants it to.
func (l *AppleLine) WillRenew() bool { return l.Running() && l.stands.is.on }

// Access is until when the line gives access, as the App Store has it; ok is false where it
// gives none.
func (l *AppleLine) Access(now time.Time) (until time.Time, ok bool) {
	for _, s := range l.sales {
		f, end := s.facts.is, s.Until
		if f.revoked || f.upgraded {
			continue
		}
		if r := l.stands.is; r.last == s && r.status == statusGrace && r.grace.After(end) {
			end = r.grace
		}
		if s.Product.Kind == catalog.NonRenewing {
			end = signed(s.SoldAt).AddDate(0, 0, s.Product.Days)
		}
		if end.IsZero() {
			return end, true
		}
		if end.After(now) && end.After(until) {
			until, ok = end, true
		}
	}
	return until, ok
}

// renew takes the money of the next period, within the last day of the one before.
func (a *Apple) renew(l *AppleLine) {
	r := l.stands.is
	switch {
	case !r.on:
		a.plan(l, r.last.Until, a.expire)
		return
	case l.poor || a.dice(a.habits.Poor):
		l.poor = true
		a.plan(l, r.last.Until, a.fail)
		return
	}
	a.follow(l, "DID_RENEW", r.last.Until)
}

func (a *Apple) follow(l *AppleLine, kind string, from time.Time) {
	r := l.stands.is
	p, _ := a.goods.BySKU(a.name, r.next)
	o := &Order{SKU: r.next, Account: r.last.Account, Buyer: r.last.Buyer}
	a.period(l, o, kind, a.now(), from.AddDate(0, months(p), 0))
}

// fail is the end of a period whose successor could not be paid for.
func (a *Apple) fail(l *AppleLine) {
	r := l.stands.is
	if !r.on {
		a.expire(l)
		return
	}
	r.retries, r.intent = true, byBilling
	kind := "DID_FAIL_TO_RENEW"
	if r.status = statusRetry; a.world.Dice.IntN(2) == 0 {
		r.status, r.grace, kind = statusGrace, signed(a.now().Add(appleGrace)), "DID_FAIL_TO_RENEW.GRACE_PERIOD"
	}
	l.stands.set(a.now(), r)
	a.tell(r.last, kind, false)
	a.plan(l, a.now().Add(a.within(appleGrace)), a.retry)
}

// retry is what becomes of it: it is paid after all, its grace ends, or it is given up.
func (a *Apple) retry(l *AppleLine) {
	r := l.stands.is
	if !r.on {
		a.plan(l, later(a.now(), r.grace), a.expire)
		return
	}
	switch a.world.Dice.IntN(4) {
	case 0, 1:
		l.poor = false
		from := a.now()
		if r.status == statusGrace && r.grace.After(from) {
			from = r.last.Until
		}
		a.follow(l, "DID_RENEW.BILLING_RECOVERY", from)
	case 2:
		if r.status == statusGrace {
			a.plan(l, r.grace, a.graceOver)
			return
		}
		a.plan(l, a.now().Add(a.within(appleRetries/2)), a.retry)
	default:
		if r.status == statusGrace {
			a.plan(l, r.grace, a.graceOver)
			return
		}
		a.plan(l, r.last.Until.Add(appleRetries), a.expire)
	}
}

func later(x, y time.Time) time.Time {
	if y.After(x) {
		return y
	}
	return x
}

func (a *Apple) graceOver(l *AppleLine) {
	r := l.stands.is
	r.status, r.grace = statusRetry, time.Time{}
	l.stands.set(a.now(), r)
	a.tell(r.last, "GRACE_PERIOD_EXPIRED", false)
	a.plan(l, a.now().Add(a.within(appleRetries-appleGrace)), a.retry)
}

// expire ends a line.
func (a *Apple) expire(l *AppleLine) {
	r := l.stands.is
	kind := "EXPIRED.VOLUNTARY"
	if r.intent == 0 {
		r.intent = byCustomer
	} else if r.intent == byBilling && r.on {
		kind = "EXPIRED.BILLING_RETRY"
	}
	r.status, r.on, r.retries, r.grace = statusExpired, false, false, time.Time{}
	l.turn++
	l.poor = false
	l.stands.set(a.now(), r)
	a.tell(r.last, kind, false)
}

// Cancel has the customer turn renewal off, and Resume on again.
func (a *Apple) Cancel(l *AppleLine) { a.wish(l, false, "AUTO_RENEW_DISABLED") }

// Resume has the customer turn renewal on again, while it runs.
func (a *Apple) Resume(l *AppleLine) { a.wish(l, true, "AUTO_RENEW_ENABLED") }

func (a *Apple) wish(l *AppleLine, on bool, kind string) {
	r := l.stands.is
	if !l.Running() || r.on == on {
		return
	}
	r.on = on
	l.stands.set(a.now(), r)
	a.tell(r.last, "DID_CHANGE_RENEWAL_STATUS."+kind, false)
	switch {
	case r.status == statusRetry && !on:
		a.expire(l) // nobody waits for it any more
	case r.status == statusActive && a.now().Before(r.last.Until):
		left := r.last.Until.Sub(a.now())
		a.plan(l, r.last.Until.Add(-a.within(min(left, 24*time.Hour))), a.renew)
	}
}

// Change is to another product of the group: to a longer one at once, to a shorter one with the
// next renewal.
func (a *Apple) Change(l *AppleLine, sku string) {
	r := l.stands.is
	if r.status != statusActive || r.product == sku || !a.now().Before(r.last.Until) || r.last.facts.is.revoked {
		return
	}
	from, _ := a.goods.BySKU(a.name, r.product)
	to, _ := a.goods.BySKU(a.name, sku)
	if months(to) < months(from) {
		r.next = sku
		l.stands.set(a.now(), r)
		a.tell(r.last, "DID_CHANGE_RENEWAL_PREF.DOWNGRADE", false)
		return
	}
	r.last.facts.set(a.now(), facts{upgraded: true})
	r.last.Replaced = true
	a.period(l, &Order{SKU: sku, Account: r.last.Account, Buyer: r.last.Buyer}, "DID_CHANGE_RENEWAL_PREF.UPGRADE", a.now(), time.Time{})
}

// Again is a subscription that is bought once more after its end.
func (a *Apple) Again(l *AppleLine, sku string) *Order {
	if l.Running() {
		return nil
	}
	s := a.period(l, &Order{SKU: sku, Account: l.Last().Account, Buyer: l.Last().Buyer}, "SUBSCRIBED.RESUBSCRIBE", a.now(), time.Time{})
	return s.Order
}

// Refund gives money back, so many thousandths of a per cent of it; what is no virtual currency
// is taken back wholly.
func (a *Apple) Refund(o *Order, thousandths int) {
	s := a.sales[o.ID]
	if s.facts.is.revoked || s.Family {
		return
	}
	if o.Product.Kind != catalog.Consumable {
		thousandths = wholly
	}
	if l := s.line; o.Product.Kind == catalog.Subscription && l.stands.is.last == s && l.WillRenew() {
		a.Cancel(l) // as it is once the money is asked for
	}
	f := s.facts.is
	f.revoked, f.percent = true, thousandths
	s.facts.set(a.now(), f)
	a.returned(o, thousandths, 0)
	a.tell(s, "REFUND", false)
}

// Reverse takes a refund back.
func (a *Apple) Reverse(o *Order) {
	s := a.sales[o.ID]
	if f := s.facts.is; f.revoked && !s.Family {
		f.revoked, f.percent = false, 0
		s.facts.set(a.now(), f)
		o.Returned = 0
		a.world.Tell(a.name, "takes again", o.ID)
		a.Watch.tell(a.Watch.Reversed, o)
		a.tell(s, "REFUND_REVERSED", false)
	}
}

// AskWhy asks what became of a sale whose money the customer wants back.
func (a *Apple) AskWhy(o *Order) {
	if s := a.sales[o.ID]; !s.facts.is.revoked {
		a.tell(s, "CONSUMPTION_REQUEST", true)
	}
}

// Decline tells that a refund is not given.
func (a *Apple) Decline(o *Order) {
	if s := a.sales[o.ID]; !s.facts.is.revoked {
		a.tell(s, "REFUND_DECLINED", false)
	}
}
