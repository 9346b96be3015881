package billing

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/table"
)

// Demand asks for a charge of any amount now, apart from the subscription's dates.
type Demand struct {
	OrderID     string // the caller's; the same again is the same charge
	Amount      money.Amount
	Description string // what the customer reads; "" is the plan's name
}

// demandIDs is what a gateway takes for an order's id (Toss Payments, orderId).
var demandIDs = regexp.MustCompile(`^[A-Za-z0-9_-]{6,64}$`)

// reservedOrders begin the ids of orders that are not the caller's.
var reservedOrders = []string{"gl_", "apple_", "play_", "appsintoss_"}

func (d Demand) validate() error {
	malformed := func(field, should string) error {
		return fault.New(fault.Malformed, "invalid_request", "%s should be %s.", field, should)
	}
	for _, prefix := range reservedOrders {
		if strings.HasPrefix(d.OrderID, prefix) {
			return malformed("orderId", "one that does not begin with "+strings.Join(reservedOrders, ", "))
		}
	}
	switch {
	case !demandIDs.MatchString(d.OrderID):
		return malformed("orderId", "6 to 64 letters, digits, - or _")
	case d.Amount.Units <= 0:
		return malformed("amount", "a positive number of the currency's smallest unit")
	case d.Amount.Valid() != nil:
		return malformed("currency", "an ISO 4217 code, upper case")
	case !utf8.ValidString(d.Description) || utf8.RuneCountInString(d.Description) > 100 ||
		strings.ContainsFunc(d.Description, func(r rune) bool { return !unicode.IsPrint(r) }):
		return malformed("description", "at most 100 printable characters")
	}
	return nil
}

const (
	// demandWithin is until when a charge on demand that was not made, for want of a
	// gateway that would take it, is tried again.
	demandWithin = 30 * time.Hour
	// verifyAfter is when a paid charge on demand is held against the gateway's books;
	// those of periods are in the daily comparison.
	verifyAfter = 26 * time.Hour
)

// NotMadeInTime is the code of a charge on demand that the gateway did not take in time.
const NotMadeInTime = "NOT_MADE"

// Demand charges what was asked for, as far as ctx's time allows; what is left is done by
// the queue. A decline leaves the subscription as it was. Errors: fault.Malformed and
// fault.Invalid before anything is written, naming the field; fault.NotFound; fault.Conflict
// when the order id was used for something else, or the subscription cannot be charged.
func (b *Biller) Demand(ctx context.Context, scope table.Scope, id string, d Demand) (Charge, error) {
	if err := d.validate(); err != nil {
		return Charge{}, err
	}
	s, err := b.get(ctx, scope, id)
	if errors.Is(err, fault.NotFound) {
		return Charge{}, notFound()
	}
	if err != nil {
		return Charge{}, err
	}
	known, err := b.order(ctx, scope, d.OrderID)
	switch {
	case err == nil:
		return known, known.same(id, d)
	case !errors.Is(err, fault.NotFound):
		return Charge{}, err
	}
	if err := s.demandable(); err != nil {
		return Charge{}, err
	}
	c := Charge{
		ID: d.OrderID, Kind: ChargeKind, Customer: s.Customer, Gateway: s.Gateway, Subscription: s.ID, Plan: s.Plan, OnDemand: true,
		Name: d.Description, Amount: d.Amount.Units, Currency: d.Amount.Currency, DueAt: b.Clock.Now(),
	}
	c, sent, err := b.sendDemand(ctx, scope, s, c, func(was Charge) error {
		if was.ID == "" {
			return nil
		}
		return was.same(id, d)
	})
	if err != nil && sent {
		b.Log.WarnContext(ctx, "charge on demand left to the queue", "order", c.ID, "error", err)
		err = nil
	}
	return c, err
}

// same says whether an order is what is asked for again.
func (c Charge) same(subscription string, d Demand) error {
	if c.Kind == ChargeKind && c.OnDemand && c.Subscription == subscription && c.Amount == d.Amount.Units &&
		c.Currency == d.Amount.Currency && c.Name == d.Description {
		return nil
	}
	return fault.New(fault.Conflict, "order_exists", "Another order has this id, or it was asked for with another body.")
}

// demandable says why nothing can be charged now.
func (s Subscription) demandable() error {
	switch {
	case s.Spent, s.OnHold:
		return fault.New(fault.Conflict, "payment_method_needed", "The means of payment was refused for good; the customer has to change it.")
	case len(s.BillingKey) == 0, s.State == StateCancelled, s.State == StatePending:
		return fault.New(fault.Conflict, "not_chargeable", "The subscription is %s and cannot be charged.", s.State)
	}
	return nil
}

// order reads one of our charges.
func (b *Biller) order(ctx context.Context, scope table.Scope, id string) (Charge, error) {
	item, err := b.Tables.Get(ctx, orderKey(scope, id))
	if err != nil {
		return Charge{}, fmt.Errorf("billing: order: %w", err)
	}
	return DecodeCharge(item)
}

// sendDemand claims an order, reads the subscription again, and makes the call: the same
// order of things as for a period's charge, and for the same reason. claim says whether what
// is written already may be gone on from; sent, that the order stands.
func (b *Biller) sendDemand(ctx context.Context, scope table.Scope, s read, c Charge, claim func(was Charge) error) (Charge, bool, error) {
	gateway, err := b.gateway(scope, s.Gateway)
	if err != nil {
		return c, false, err
	}
	holder, err := customer.Read(ctx, b.Tables, scope, s.Customer)
	if err != nil {
		return c, false, err
	}
	request := Request{
		OrderID: c.ID, CustomerKey: s.CustomerKey, Amount: money.Of(c.Amount, c.Currency), Name: cmp.Or(c.Name, s.Terms.Name),
		Email: holder.Profile.Email, Customer: holder.Profile.Name, Round: c.Round,
		FeesIncluded: s.Terms.FeesIncluded,
	}
	l, err := b.write(ctx, gateway, scope, s.Subscription, request)
	if err != nil {
		return c, false, err
	}
	mine := false
	c, err = b.rewrite(ctx, scope, c.ID, func(was Charge, now time.Time) (change, bool, error) {
		if err := claim(was); err != nil {
			return change{}, false, err
		}
		if mine = was.ID == "" || was.State == Void; !mine {
			return change{}, false, nil
		}
		next := c
		next.Sends, next.SentAt, next.Refunds, next.Sealed = was.Sends, was.SentAt, was.Refunds, l.sealed
		next = next.sending(now, b.Lease)
		next.LookAt = next.Lease
		return change{Charge: next}, true, nil
	})
	if err != nil || !mine {
		return c, false, err
	}
	fresh, err := b.get(ctx, scope, s.ID)
	if err != nil {
		return c, true, err
	}
	if refusal := fresh.demandable(); refusal != nil || !bytes.Equal(fresh.BillingKey, s.BillingKey) {
		c, err = b.closeDemand(ctx, scope, c, Outcome{Result: NotMade, Again: time.Second})
		return c, true, err
	}
	return b.deliverDemand(ctx, gateway, scope, c, fresh.CustomerKey, l)
}

// deliverDemand makes the call of an order that is claimed by us.
func (b *Biller) deliverDemand(ctx context.Context, g Gateway, scope table.Scope, c Charge, customerKey string, l letter) (Charge, bool, error) {
	calling, cancel := clock.LeaveRoom(ctx, answerMargin)
	o := c.unspent(g.Charge(calling, c.ID, Card{BillingKey: string(l.billingKey), CustomerKey: customerKey}, l.body))
	cancel()
	b.Log.InfoContext(ctx, "charge on demand sent", "order", c.ID, "subscription", c.Subscription, "send", c.Sends, "result", o.Result, "code", o.Code)
	closed, err := b.closeDemand(ctx, scope, c, o)
	if err != nil {
		return c, true, err
	}
	return closed, true, nil
}

// closeDemand writes the gateway's word into an order on demand, unless it had ended.
func (b *Biller) closeDemand(ctx context.Context, scope table.Scope, c Charge, o Outcome) (Charge, error) {
	b.noted(ctx, scope, c.Gateway, o)
	return b.rewrite(ctx, scope, c.ID, func(c Charge, now time.Time) (change, bool, error) {
		if !c.open() {
			return change{Charge: c}, false, nil
		}
		return c.demanded(o, now), true, nil
	})
}

// demanded is an order on demand with the answer to a send, and what follows from it.
func (c Charge) demanded(o Outcome, now time.Time) change {
	return c.after(o, now).settledOnDemand(o, now)
}

// settledOnDemand is what follows from how an order on demand stands now.
func (c Charge) settledOnDemand(o Outcome, now time.Time) change {
	switch {
	case c.State == Void && now.Sub(c.DueAt) > demandWithin:
		c = c.givenUp(now)
	case c.State == Void:
		if c.LookAt = now.Add(pauseAfter(o)); o.Misconfigured && o.Code != "" {
			c.Round++
		}
		return change{Charge: c}
	case !c.settled():
		c.LookAt = c.nextLook(now)
		return change{Charge: c}
	}
	e := event.Event{
		Type: event.ChargePaid, At: now, OrderID: c.ID, SubscriptionID: c.Subscription, PlanID: c.Plan, Amount: c.Amount, Currency: c.Currency,
	}
	c.LookAt = now.Add(verifyAfter)
	if c.State == Declined {
		e.Type, e.DeclineCode, c.LookAt = event.ChargeDeclined, c.Code, time.Time{}
	}
	return change{Charge: c, events: []event.Event{e}}
}

// givenUp is an order that surely was not made, and will not be.
func (c Charge) givenUp(now time.Time) Charge {
	return c.after(Outcome{Result: Refused, Code: NotMadeInTime, Class: Passing}, now)
}

// tendDemand goes on with an order on demand: looks for its outcome, makes what was not
// made, or holds what was paid against the gateway's books.
func (b *Biller) tendDemand(ctx context.Context, scope table.Scope, c Charge) error {
	now := b.Clock.Now()
	s, err := b.get(ctx, scope, c.Subscription)
	if err != nil {
		return err
	}
	switch {
	case c.State == Void:
		return b.remake(ctx, scope, s, c)
	case c.settled():
		return b.verify(ctx, scope, c)
	case c.Lease.After(now):
		return nil // its errand wakes when the lease has passed
	}
	gateway, err := b.gateway(scope, c.Gateway)
	if err != nil {
		return err
	}
	l, err := b.unseal(ctx, scope, c)
	if err != nil {
		return err
	}
	found := b.find(ctx, gateway, c, l, s.CustomerKey)
	b.noted(ctx, scope, c.Gateway, found)
	verdict := Wait
	next, err := b.rewrite(ctx, scope, c.ID, func(is Charge, now time.Time) (change, bool, error) {
		verdict = Wait
		if !is.open() || is.Sends != c.Sends {
			return change{Charge: is}, false, nil
		}
		var next Charge
		next, verdict = is.resolve(found, s.demandable() == nil, gateway.Repeats(), now)
		if verdict == Resend {
			next = next.sending(now, b.Lease)
			next.LookAt = next.Lease
			return change{Charge: next}, true, nil
		}
		return next.settledOnDemand(found, now), true, nil
	})
	if err != nil || verdict != Resend {
		if now.Sub(c.SentAt) > 24*time.Hour && next.open() {
			b.alarm(ctx, "outcome still unknown", "order", c.ID, "gateway", c.Gateway)
		}
		return err
	}
	_, _, err = b.deliverDemand(ctx, gateway, scope, next, s.CustomerKey, l)
	return err
}

// remake makes an order on demand that surely was not made.
func (b *Biller) remake(ctx context.Context, scope table.Scope, s read, c Charge) error {
	if s.demandable() != nil || b.Clock.Now().Sub(c.DueAt) > demandWithin {
		_, err := b.rewrite(ctx, scope, c.ID, func(c Charge, now time.Time) (change, bool, error) {
			if c.State != Void {
				return change{Charge: c}, false, nil
			}
			return c.givenUp(now).settledOnDemand(Outcome{}, now), true, nil
		})
		return err
	}
	_, _, err := b.sendDemand(ctx, scope, s, c, func(was Charge) error { return nil })
	return err
}
