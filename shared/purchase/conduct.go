package purchase

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"grantline/shared/abuse"
	"grantline/shared/customer"
	"grantline/shared/event"
)

// mostLogged bounds how far back the log of a customer is read for what it paid.
const mostLogged = 2000

// sheets reads what those paid so far who have something refunded for the first time. A
// customer without refunds has no sheet that each of its purchases would have to write.
func (b *Book) sheets(ctx context.Context, now *state) error {
	if now.holder == nil || !slices.ContainsFunc(now.entries, entry.returns) {
		return nil
	}
	c := now.payer()
	if opened(c.Conduct()) || c.Sequence() == 0 {
		return nil
	}
	h := c.Conduct()
	for after := max(0, c.Sequence()-mostLogged); after < c.Sequence(); {
		page, err := customer.Log(ctx, b.Tables, now.scope, c.Ref, after, 1000)
		if err != nil {
			return fmt.Errorf("purchase: what was paid: %w", err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			bought := strings.HasPrefix(string(r.Type), "purchase.") || r.Type == event.GiftSent
			if bought && r.Amount > 0 && !r.Test && r.Sequence <= c.Sequence() {
				h = h.Granted(r.Amount, r.Currency)
			}
		}
		after = page[len(page)-1].Sequence
	}
	now.paid = map[string]abuse.History{c.Ref: h}
	return nil
}

// opened says whether a sheet counts purchases.
func opened(h abuse.History) bool { return h.Purchases > 0 || h.Count > 0 }

// returns says whether money of an order may have been given back, or taken again.
func (e entry) returns() bool {
	s := e.sale
	return !s.Test && !s.Family && (s.State == Refunded || s.State == Failed || s.Back > 0 || e.was.Returned > 0)
}

// note puts on the payer's sheet what changed of an order: a refund with how much of it was
// spent by then, before it is taken back; or that there is none after all.
func (is *decision) note(e entry, now time.Time) {
	o, before := e.is, e.was.Returned
	if e.was.Customer == "" {
		before = 0
	}
	if o.Test || o.Family || o.Returned == before {
		return
	}
	c := is.payer()
	h := is.sheet(c)
	r := abuse.Refund{
		OrderID: o.ID, At: now, PurchasedAt: o.PurchasedAt, Amount: share(o.Price, o.Returned), Currency: o.PriceIn,
		Credited: o.Credited, Spent: is.spent(o), Consumable: o.Credited > 0,
	}
	if o.Returned < before {
		at := slices.IndexFunc(h.Refunds, func(k abuse.Refund) bool { return k.OrderID == o.ID })
		if at >= 0 {
			r.At, r.Spent = h.Refunds[at].At, h.Refunds[at].Spent
		}
		h = h.Restored(o.ID, share(o.Price, before), o.PriceIn)
	}
	if o.Returned > 0 {
		h = h.Refunded(r)
	}
	if !reflect.DeepEqual(h, is.sheet(c)) {
		is.put(c, h)
	}
}

// spent is how much of what an order credited is gone, neither left nor taken back.
func (is *decision) spent(o Order) int64 {
	if o.Credited == 0 {
		return 0
	}
	left := int64(0)
	for _, l := range is.holder.Wallets()[o.Currency].Lots {
		if l.OrderID == o.ID {
			left += l.Remaining
		}
	}
	return max(0, o.Credited-o.TakenBack-left)
}

// sheet is a customer's conduct as this decision has it.
func (is *decision) sheet(c *customer.Customer) abuse.History {
	if h, ok := is.sheets[c.Ref]; ok {
		return h
	}
	if h, ok := is.paid[c.Ref]; ok {
		return h
	}
	return c.Conduct()
}

func (is *decision) put(c *customer.Customer, h abuse.History) {
	if is.sheets == nil {
		is.sheets = map[string]abuse.History{}
	}
	is.sheets[c.Ref] = h
}

// judge counts what was paid on a sheet that is there, and does what the policy says of it.
func (is *decision) judge(p abuse.Policy, now time.Time) {
	c := is.payer()
	h, noted := is.sheets[c.Ref]
	if !noted {
		h = c.Conduct()
	}
	for _, e := range is.entries {
		if o := e.is; e.was.Customer == "" && o.Customer != "" && !o.Replaced && opened(h) {
			noted = true
			if !o.Test && !o.Family {
				h = h.Granted(o.Price, o.PriceIn)
			}
		}
	}
	if !noted {
		return
	}
	a := h.Assess(p, debts(c), now)
	if !slices.Equal(a.Measures, h.Measures) {
		h.Measures = slices.Concat(a.Measures) // nil without any
		tell := event.Event{Type: event.CustomerCleared, At: now, Score: &a.Score}
		if len(a.Measures) > 0 {
			tell.Type = event.CustomerFlagged
		}
		for _, m := range a.Measures {
			tell.Measures = append(tell.Measures, string(m))
		}
		c.Tell(tell)
		is.touch(c)
	}
	if !reflect.DeepEqual(h, c.Conduct()) {
		c.SetConduct(h)
		is.touch(c)
	}
}

// refuses says whether no consumable is granted any more to who has it or to who pays.
func (b *Book) refuses(is *decision, now time.Time) bool {
	for _, c := range []*customer.Customer{is.holder, is.payer()} {
		h := c.Conduct()
		if slices.Contains(h.Assess(b.Abuse, debts(c), now).Measures, abuse.RefuseConsumables) {
			return true
		}
	}
	return false
}

// debts are what a customer owes, by wallet currency.
func debts(c *customer.Customer) map[string]int64 {
	owed := map[string]int64{}
	for currency, w := range c.Wallets() {
		if w.Debt > 0 {
			owed[currency] = w.Debt
		}
	}
	return owed
}

// share is so many thousandths of a per cent of an amount.
func share(amount int64, thousandths int) int64 {
	of := int64(thousandths)
	return amount/wholly*of + amount%wholly*of/wholly
}

// fraction is what a part is of something, in thousandths of a per cent.
func fraction(part, of int64) int64 {
	if of > math.MaxInt64/wholly { // so much that the last digits make no difference
		part, of = part/wholly, of/wholly
	}
	return part * wholly / of
}
