package billing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Sealer keeps secrets unreadable in the tables. What was sealed for one purpose and
// record opens for no other: bound says which.
type Sealer interface {
	Seal(ctx context.Context, plaintext, bound []byte) ([]byte, error)
	Open(ctx context.Context, sealed, bound []byte) ([]byte, error)
}

// Biller makes and finishes charges. It is the only thing here that acts.
type Biller struct {
	Tables    table.Tables
	Customers customer.Directory // its Identity is needed by Subscribe alone
	Catalog   *catalog.Catalog   // needed by Subscribe alone
	Gateways  Gateways
	Sealer    Sealer
	Clock     clock.Clock
	Log       *slog.Logger
	Shards    Shards
	// Lease is how long whoever claimed a charge may be at it: longer than the function
	// lives, so that no two senders overlap.
	Lease time.Duration
}

// Gateways finds the gateway of a scope: each project and environment has its own
// account, and what has none is never charged through another's.
type Gateways map[GatewayName]Gateway

// GatewayName names one account.
type GatewayName struct {
	Scope   table.Scope
	Gateway string
}

func (b *Biller) gateway(scope table.Scope, name string) (Gateway, error) {
	g, ok := b.Gateways[GatewayName{scope, name}]
	if !ok {
		return nil, fault.New(fault.Unavailable, "gateway_not_configured", "%s is not configured for %s.", name, scope)
	}
	return g, nil
}

// mostTries bounds how often a step starts anew because another write came between.
const mostTries = 30

func (b *Biller) again(ctx context.Context, step func() error) error {
	for try := range mostTries {
		err := step()
		if !errors.As(err, new(*table.Conflict)) {
			return err
		}
		if err := b.Clock.Sleep(ctx, time.Duration(min(try+1, 20))*5*time.Millisecond); err != nil {
			break
		}
	}
	return fault.New(fault.Unavailable, "busy", "Too much happened to this subscription at once; ask again.")
}

// read is a subscription with the item that it was read from.
type read struct {
	Subscription
	item table.Item
}

func (b *Biller) get(ctx context.Context, scope table.Scope, id string) (read, error) {
	return b.readBy(ctx, b.Tables.Get, scope, id)
}

func (b *Biller) readBy(ctx context.Context, get func(context.Context, table.Key) (table.Item, error), scope table.Scope, id string) (read, error) {
	var r read
	var err error
	if r.item, err = get(ctx, key(scope, id)); err != nil {
		return read{}, fmt.Errorf("billing: subscription: %w", err)
	}
	r.Subscription, err = decodeSubscription(r.item)
	return r, err
}

// Work does what a subscription's wake-up is for, if it is time. It is the queue's only
// entrance: a message names a subscription and nothing else, so that a late, doubled or
// lost message means no more than looking again. A nil error lets the message go.
func (b *Biller) Work(ctx context.Context, scope table.Scope, id string) error {
	s, err := b.readBy(ctx, b.Tables.Glance, scope, id)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return err
	}
	if err != nil || s.Step == StepNone || s.WakeAt.After(b.Clock.Now()) {
		// A glance may be of a moment ago; only a proper look may let the message go.
		s, err = b.get(ctx, scope, id)
		if errors.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return b.step(ctx, scope, s)
}

func (b *Biller) step(ctx context.Context, scope table.Scope, s read) error {
	if s.Step == StepNone || s.WakeAt.After(b.Clock.Now()) {
		return nil
	}
	switch s.Step {
	case StepRegister:
		return b.finishRegistration(ctx, scope, s)
	case StepRemind:
		return b.remind(ctx, scope, s.ID)
	case StepCharge:
		return b.charge(ctx, scope, s)
	case StepResolve:
		return b.resolve(ctx, scope, s)
	case StepNone:
	}
	return fmt.Errorf("billing: subscription %s has step %q, which this code does not know", s.ID, s.Step)
}

// remind tells the customer of the attempt that is coming. The attempt waits for it.
func (b *Biller) remind(ctx context.Context, scope table.Scope, id string) error {
	return b.again(ctx, func() error {
		s, err := b.get(ctx, scope, id)
		now := b.Clock.Now()
		if err != nil || s.Step != StepRemind || s.WakeAt.After(now) {
			return err
		}
		if s.lapsed(now) {
			// The attempt will not be made any more, so nobody is told of it.
			return b.commit(ctx, scope, s, s.wake(StepCharge, now, now), nil)
		}
		c, err := customer.Read(ctx, b.Tables, scope, s.Customer)
		if err != nil {
			return err
		}
		at := s.NextDueAt
		c.Tell(event.Event{
			Type: event.DunningReminder, At: now, SubscriptionID: s.ID, PlanID: s.Plan, Period: &s.Period, Attempt: s.Attempt,
			Amount: s.Terms.Price.Units, Currency: s.Terms.Price.Currency, DeclineCode: s.LastCode, NextAttemptAt: &at,
		})
		return b.commit(ctx, scope, s, s.reminded(now), c)
	})
}

// commit writes a subscription over the one that was read, with its customer.
func (b *Biller) commit(ctx context.Context, scope table.Scope, was read, next Subscription, c *customer.Customer, more ...table.Write) error {
	item, err := next.item(was.item, scope, b.Shards)
	if err != nil {
		return err
	}
	writes := append(more, table.Put(item))
	if c != nil {
		of, err := c.Writes()
		if err != nil {
			return err
		}
		writes = append(writes, of...)
	}
	if err := b.Tables.Commit(ctx, writes...); err != nil {
		return fmt.Errorf("billing: subscription %s: %w", next.ID, err)
	}
	return nil
}

// charge makes the attempt that is due: claim, look again, send, close, advance.
func (b *Biller) charge(ctx context.Context, scope table.Scope, s read) error {
	now := b.Clock.Now()
	if s.chargeable() && s.lapsed(now) {
		return b.lapse(ctx, scope, s.ID)
	}
	if s.chargeable() && s.Attempt > 1 && s.Reminded != s.Attempt {
		return b.commit(ctx, scope, s, s.wake(StepRemind, now, now), nil)
	}
	if !s.due(now) {
		switch {
		case s.ended():
			return b.commit(ctx, scope, s, s.sleep(), nil)
		case s.NextDueAt.After(now):
			return b.commit(ctx, scope, s, s.wake(StepCharge, s.NextDueAt, now), nil)
		}
		return nil
	}
	gateway, err := b.gateway(scope, s.Gateway)
	if err != nil {
		return err
	}
	// Read before the claim, though the claim decides: the order must hold the exact body
	// before it can be sent.
	c, err := customer.Read(ctx, b.Tables, scope, s.Customer)
	if err != nil {
		return err
	}
	letter, err := b.compose(ctx, gateway, scope, s.Subscription, c.Profile)
	if err != nil {
		return err
	}
	charge, item, mine, err := b.claim(ctx, scope, s.Subscription, letter)
	if err != nil {
		return err
	}
	if !mine {
		return b.overtaken(ctx, scope, s, charge)
	}
	// Only now, with the claim in the table, is the subscription read for good. A
	// cancellation writes its word and then looks for a claim; whichever comes first, one
	// of the two sees the other.
	fresh, err := b.get(ctx, scope, s.ID)
	if err != nil {
		return err
	}
	if !fresh.due(b.Clock.Now()) || !fresh.wants(charge) || !bytes.Equal(fresh.BillingKey, s.BillingKey) {
		if _, err := b.put(ctx, scope, charge.void(""), item); err != nil {
			return err
		}
		if fresh.due(b.Clock.Now()) { // another card or price: with the next message
			return b.commit(ctx, scope, fresh, fresh.wake(StepCharge, b.Clock.Now(), b.Clock.Now()), nil)
		}
		return nil
	}
	return b.send(ctx, gateway, scope, fresh, c, charge, item, letter)
}

// wants says whether an order is for the attempt that comes next, on its terms.
func (s Subscription) wants(c Charge) bool {
	return c.Period == s.Period && c.Attempt == s.Attempt && c.Amount == s.Terms.Price.Units && c.Currency == s.Terms.Price.Currency
}

// lapse goes on to the next period without charging for one that is over: after an
// outage longer than a period, two are never charged at once.
func (b *Biller) lapse(ctx context.Context, scope table.Scope, id string) error {
	return b.again(ctx, func() error {
		s, err := b.get(ctx, scope, id)
		now := b.Clock.Now()
		if err != nil || s.Step != StepCharge || !s.lapsed(now) {
			return err
		}
		// An order that is still open for it must be settled first.
		item, err := b.Tables.Get(ctx, orderKey(scope, OrderID(scope, s.ID, s.Period, s.Attempt)))
		if err == nil {
			charge, err := DecodeCharge(item)
			if err != nil {
				return err
			}
			if charge.open() {
				return b.commit(ctx, scope, s, s.wake(StepResolve, now, now), nil)
			}
			if charge.settled() {
				return b.settle(ctx, scope, charge, read{}, nil)
			}
		} else if !errors.Is(err, fault.NotFound) {
			return fmt.Errorf("billing: order: %w", err)
		}
		b.Log.WarnContext(ctx, "period lapsed without a charge", "subscription", s.ID, "period", s.Period)
		return b.commit(ctx, scope, s, s.next(now), nil)
	})
}

// letter is what a charge sends, as it is kept sealed in the order: the card, since
// another may have taken its place at a resend, and the exact body.
type letter struct {
	billingKey, body, sealed []byte
}

func sealedFor(purpose, id string) []byte { return []byte(purpose + "/" + id) }

func (b *Biller) compose(ctx context.Context, g Gateway, scope table.Scope, s Subscription, p customer.Profile) (letter, error) {
	id := OrderID(scope, s.ID, s.Period, s.Attempt)
	request := Request{
		OrderID: id, CustomerKey: s.CustomerKey, Amount: s.Terms.Price, TaxFree: s.Terms.TaxFree, Name: s.Terms.Name,
		Email: p.Email, Customer: p.Name,
	}
	body, err := g.Compose(request)
	if errors.Is(err, fault.Invalid) {
		// What a customer wrote about itself is a courtesy, and never stops a charge.
		request.Email, request.Customer = "", ""
		body, err = g.Compose(request)
	}
	if err != nil {
		return letter{}, err
	}
	billingKey, err := b.Sealer.Open(ctx, s.BillingKey, sealedFor("billing-key", scope.Key(s.ID)))
	if err != nil {
		return letter{}, fmt.Errorf("billing: card of subscription %s: %w", s.ID, err)
	}
	l := letter{billingKey: billingKey, body: body}
	l.sealed, err = b.Sealer.Seal(ctx, joined(billingKey, body), sealedFor("charge", scope.Key(id)))
	return l, err
}

func (b *Biller) unseal(ctx context.Context, scope table.Scope, c Charge) (letter, error) {
	plain, err := b.Sealer.Open(ctx, c.Sealed, sealedFor("charge", scope.Key(c.ID)))
	if err != nil {
		return letter{}, fmt.Errorf("billing: body of order %s: %w", c.ID, err)
	}
	l := letter{sealed: c.Sealed}
	l.billingKey, l.body, err = parted(plain)
	return l, err
}

// claim inserts the order of the attempt. It is false if another one has it; then the
// charge is as that one wrote it.
func (b *Biller) claim(ctx context.Context, scope table.Scope, s Subscription, l letter) (Charge, table.Item, bool, error) {
	now := b.Clock.Now()
	charge := Charge{
		ID: OrderID(scope, s.ID, s.Period, s.Attempt), Kind: ChargeKind, Customer: s.Customer, Gateway: s.Gateway,
		Subscription: s.ID, Plan: s.Plan, Period: s.Period, Attempt: s.Attempt,
		Amount: s.Terms.Price.Units, Currency: s.Terms.Price.Currency, DueAt: s.NextDueAt, Sealed: l.sealed,
	}.sending(now, b.Lease)
	item, err := b.put(ctx, scope, charge, table.Item{})
	var conflict *table.Conflict
	if !errors.As(err, &conflict) {
		return charge, item, true, err
	}
	if item, err = b.Tables.Get(ctx, orderKey(scope, charge.ID)); err != nil {
		return Charge{}, item, false, fmt.Errorf("billing: order: %w", err)
	}
	other, err := DecodeCharge(item)
	if err != nil || other.State != Void {
		return other, item, false, err
	}
	charge.Sends += other.Sends // void: surely not executed, and made again
	item, err = b.put(ctx, scope, charge, item)
	return charge, item, err == nil, err
}

// put writes a charge over the item that it was read from and returns the item as it is
// then.
func (b *Biller) put(ctx context.Context, scope table.Scope, c Charge, item table.Item) (table.Item, error) {
	item, err := c.item(item, scope)
	if err != nil {
		return item, err
	}
	if err := b.Tables.Commit(ctx, table.Put(item)); err != nil {
		return item, fmt.Errorf("billing: order %s: %w", c.ID, err)
	}
	item.Revision++
	return item, nil
}

// overtaken is what to do about an order that somebody else holds.
func (b *Biller) overtaken(ctx context.Context, scope table.Scope, s read, charge Charge) error {
	if charge.settled() {
		return b.settle(ctx, scope, charge, read{}, nil)
	}
	// Wake up when the other one can no longer be at it; if it is alive it will have
	// advanced the subscription by then, and this write makes it look again.
	at := charge.Lease
	if charge.State == Unknown {
		at = b.Clock.Now()
	}
	err := b.commit(ctx, scope, s, s.wake(StepResolve, at, b.Clock.Now()), nil)
	if errors.As(err, new(*table.Conflict)) {
		return nil // it has moved on
	}
	return err
}

// send makes the call of a charge that is claimed by us, and writes down what came of it.
func (b *Biller) send(ctx context.Context, g Gateway, scope table.Scope, s read, c *customer.Customer, charge Charge, item table.Item, l letter) error {
	calling, cancel := clock.LeaveRoom(ctx, answerMargin)
	outcome := g.Charge(calling, charge.ID, Card{BillingKey: string(l.billingKey), CustomerKey: s.CustomerKey}, l.body)
	cancel()
	b.Log.InfoContext(ctx, "charge sent", "order", charge.ID, "subscription", s.ID, "period", charge.Period,
		"attempt", charge.Attempt, "send", charge.Sends, "result", outcome.Result, "code", outcome.Code)
	return b.close(ctx, scope, s, c, charge.after(outcome, b.Clock.Now()), item, outcome)
}
