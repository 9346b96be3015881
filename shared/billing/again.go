package billing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Hint is what a gateway's word is about. Nothing of it is believed.
type Hint struct {
	Order    string // ours, "" for none
	Payment  string // the gateway's id of one that may or may not be the order's, "" for none
	Returned bool   // money of it may have been given back
	Disputed bool   // the payer's bank may have taken the money back, or given it again
	// Gateway is to be asked for the payment's order where none is named, "" for none.
	Gateway      string
	Subscription string // ours, whose mandate may have changed; "" for none
}

// LookAgain is what a gateway's word leads to: a look at what it names. It is false when
// that is nothing of ours.
func (b *Biller) LookAgain(ctx context.Context, scope table.Scope, h Hint) (bool, error) {
	looked := false
	if h.Order == "" && h.Gateway != "" && h.Payment != "" {
		var err error
		if h.Order, err = b.orderOf(ctx, scope, h); err != nil {
			return false, err
		}
	}
	if h.Order != "" {
		applied, err := b.lookAt(ctx, scope, h)
		if err != nil {
			return false, err
		}
		looked = applied
	}
	if h.Subscription != "" && ValidID(h.Subscription) {
		applied, err := b.noticed(ctx, scope, h.Subscription)
		if err != nil {
			return false, err
		}
		looked = looked || applied
	}
	return looked, nil
}

// lookAt holds an order against the gateway. An open one is settled; under one that is
// settled, money that is not its own is given back, and what was given back elsewhere is
// written down.
func (b *Biller) lookAt(ctx context.Context, scope table.Scope, h Hint) (bool, error) {
	item, err := b.Tables.Get(ctx, orderKey(scope, h.Order))
	if errors.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c, err := DecodeCharge(item)
	if err != nil || c.Kind != ChargeKind {
		return false, err
	}
	if c.settled() && h.Payment != "" && h.Payment == c.key() && !h.Returned {
		return true, nil // it is known; each look costs of the gateway's pace
	}
	s, err := b.get(ctx, scope, c.Subscription)
	if errors.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	gateway, err := b.gateway(scope, c.Gateway)
	if err != nil {
		return false, err
	}
	if s.State == StatePending && s.Step == StepAwait && c.open() {
		return b.noticed(ctx, scope, s.ID) // a failed payment on an open page decides nothing
	}
	if s.State == StatePending && s.FirstCharge {
		// The page was closed after the order was read, perhaps, and what was paid on it is looked
		// for from then on: what failed on it before decides nothing yet.
		if item, err = b.Tables.Get(ctx, item.Key); err != nil {
			return false, fmt.Errorf("billing: order: %w", err)
		}
		if c, err = DecodeCharge(item); err != nil {
			return false, err
		}
	}
	l, err := b.mandateOf(ctx, scope, gateway, s.Subscription, c)
	if err != nil {
		return false, err
	}
	asked := c
	if !c.open() && h.Payment != "" {
		asked.Payment = &Payment{Key: h.Payment}
	}
	_, mandates := gateway.(Mandates)
	if mandates && len(l.billingKey) == 0 && asked.key() == "" {
		return true, nil // closed, its mandate is forgotten, and no payment is named: there is nothing to look at
	}
	found := s.weighed(c, b.find(ctx, gateway, asked, l, s.CustomerKey), b.Clock.Now())
	b.noted(ctx, scope, c.Gateway, found)
	switch {
	case found.Result == Unclear || found.Result == NotMade:
		return false, fault.New(fault.Unavailable, "gateway_unavailable", "The gateway could not be asked.")
	case found.Result == Absent || found.Result == Accepted:
		return true, nil
	case c.open():
		return true, b.learn(ctx, scope, s, c, item, found)
	case found.Result == Taken && mandates && len(l.billingKey) == 0 && s.Mandate != mandateMark(found.Payment.Mandate):
		// Whoever buys something else of the shop's may have written the order's id into it.
		b.alarm(ctx, "a payment carries an order of ours and is not of its mandate", "order", c.ID, "gateway", c.Gateway)
		return true, nil
	case found.Result == Taken:
		if err := b.reconcile(ctx, scope, c, found); err != nil || !h.Disputed {
			return err == nil, err
		}
		return true, b.restore(ctx, scope, c, found.Payment)
	}
	return true, nil
}

// orderOf is the order that a payment was made for, "" where that is none of ours: the notice of
// a dispute, or of money given back at the gateway's console, names the payment alone.
func (b *Biller) orderOf(ctx context.Context, scope table.Scope, h Hint) (string, error) {
	gateway, err := b.gateway(scope, h.Gateway)
	if err != nil {
		return "", err
	}
	of, able := gateway.(Disputes)
	if !able {
		return "", nil
	}
	looking, cancel := clock.LeaveRoom(ctx, answerMargin)
	defer cancel()
	order, err := of.OrderOf(looking, h.Payment)
	if !ValidID(order) {
		order = ""
	}
	return order, err
}

// mandateOf is what the payments of an order are looked for by, where the gateway has
// mandates: the one that an open order was sent to, else the one that there is now, if any.
func (b *Biller) mandateOf(ctx context.Context, scope table.Scope, g Gateway, s Subscription, c Charge) (letter, error) {
	_, ok := g.(Mandates)
	switch {
	case !ok:
		return letter{}, nil
	case c.open():
		return b.unseal(ctx, scope, c)
	case len(s.BillingKey) == 0:
		return letter{}, nil
	}
	mandate, err := b.card(ctx, scope, s)
	return letter{billingKey: mandate}, err
}

// mandateMark is by what a mandate is known once it is forgotten.
func mandateMark(mandate string) string { return short(hash("mandate", mandate)) }

// learn settles an open order by what was found of it, whoever is at it.
func (b *Biller) learn(ctx context.Context, scope table.Scope, s read, c Charge, item table.Item, found Outcome) error {
	var err error
	if c.OnDemand {
		_, err = b.closeDemand(ctx, scope, c, found)
	} else {
		err = b.finish(ctx, scope, s, nil, c.after(found, b.Clock.Now()), item)
	}
	if err != nil {
		return err
	}
	return b.strays(ctx, scope, c.ID, found)
}

// reconcile holds an order that is settled or void against the payment that was found.
func (b *Biller) reconcile(ctx context.Context, scope table.Scope, c Charge, found Outcome) error {
	own := c.State == Paid && c.key() == found.Payment.Key
	if !own {
		why := "The order had been closed without a payment."
		if c.State == Paid {
			why = "A second payment was made for this order."
		}
		if err := b.giveBack(ctx, scope, c.ID, found.Payment, why); err != nil {
			return err
		}
	} else if found.Payment.Returned > c.Refunded {
		if err := b.adopt(ctx, scope, c, found.Payment); err != nil {
			return err
		}
	}
	return b.strays(ctx, scope, c.ID, found)
}

// adopt writes down money of an order that was given back elsewhere, such as in the
// gateway's console, unless a refund of ours is under way and may be it: it is looked at once
// that is over.
func (b *Biller) adopt(ctx context.Context, scope table.Scope, c Charge, p Payment) error {
	_, err := b.rewrite(ctx, scope, c.ID, func(c Charge, now time.Time) (change, bool, error) {
		returned := min(p.Returned, c.Amount)
		ours := slices.ContainsFunc(c.Refunds, func(r Refund) bool { return r.open() && r.Stray == "" })
		if c.State != Paid || c.key() != p.Key || ours || returned <= c.Refunded {
			return change{Charge: c}, false, nil
		}
		amount := returned - c.Refunded
		c.Refunds = append(slices.Clone(c.Refunds), Refund{
			Reference: oursPrefix + short(hash("adopted", c.ID, p.Key, now.String())), Amount: amount, Left: c.Amount - c.Refunded,
			Reason: elsewhere, State: RefundDone, AskedAt: now, DoneAt: now,
		})
		return c.returned(amount, now), true, nil
	})
	return err
}

// elsewhere is the reason of what was given back without our asking for it.
const elsewhere = "Given back at the gateway."

func (r Refund) adopted() bool {
	return r.State == RefundDone && r.Stray == "" && r.Reason == elsewhere
}

// restore takes back what was adopted of a dispute that was lost, and is won after all. Of what
// we gave back ourselves, or may be giving back, nothing is taken back.
func (b *Biller) restore(ctx context.Context, scope table.Scope, c Charge, p Payment) error {
	seen := c.Refunded
	_, err := b.rewrite(ctx, scope, c.ID, func(c Charge, now time.Time) (change, bool, error) {
		ours := slices.ContainsFunc(c.Refunds, func(r Refund) bool { return r.open() && r.Stray == "" })
		back := c.Refunded - min(p.Returned, c.Amount)
		if c.State != Paid || c.key() != p.Key || ours || back <= 0 {
			return change{Charge: c}, false, nil
		}
		if c.Refunded != seen {
			// What the gateway said may be from before a refund of ours that is over by now.
			return change{Charge: c}, false, fault.New(fault.Unavailable, "order_changed", "Money of order %s was given back meanwhile; look again.", c.ID)
		}
		c.Refunds = slices.Clone(c.Refunds)
		rest := back
		for i, r := range slices.Backward(c.Refunds) {
			if r.adopted() && r.Amount <= rest {
				rest -= r.Amount
				c.Refunds[i].State = RefundRefused
			}
		}
		if rest > 0 { // adopted at one look with what was given back for good
			if i := slices.IndexFunc(c.Refunds, func(r Refund) bool { return r.adopted() && r.Amount > rest }); i >= 0 {
				c.Refunds[i].Amount -= rest
				rest = 0
			}
		}
		if rest == back {
			return change{Charge: c}, false, nil
		}
		return c.restored(back-rest, now), true, nil
	})
	return err
}

// verify holds a paid charge against the gateway's books: one on demand a day later, and any
// once a refund of it has ended in doubt.
func (b *Biller) verify(ctx context.Context, scope table.Scope, c Charge) error {
	s, err := b.get(ctx, scope, c.Subscription)
	if err != nil {
		return err
	}
	gateway, err := b.gateway(scope, c.Gateway)
	if err != nil {
		return err
	}
	l, err := b.mandateOf(ctx, scope, gateway, s.Subscription, c)
	if err != nil {
		return err
	}
	found := b.find(ctx, gateway, c, l, s.CustomerKey)
	again := false
	switch found.Result {
	case Taken:
		if err := b.reconcile(ctx, scope, c, found); err != nil {
			return err
		}
	case Unclear, NotMade:
		again = true
	case Absent, Refused, Accepted:
		b.alarm(ctx, "paid here, but not in the gateway's books", "order", c.ID, "gateway", c.Gateway)
	}
	_, err = b.rewrite(ctx, scope, c.ID, func(c Charge, now time.Time) (change, bool, error) {
		if c.LookAt = (time.Time{}); again {
			c.LookAt = now.Add(time.Hour)
		}
		return change{Charge: c}, true, nil
	})
	return err
}
