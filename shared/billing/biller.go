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
	"grantline/shared/fault"
	"grantline/shared/money"
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
	// Courier tells customers; needed by Deliver alone.
	Courier Courier
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
	if errand, ok := errandOf(id); ok {
		return b.run(ctx, scope, errand)
	}
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
	case StepAwait:
		return b.await(ctx, scope, s)
	case StepRemind:
		return b.remind(ctx, scope, s)
	case StepCharge:
		return b.charge(ctx, scope, s)
	case StepResolve:
		return b.resolve(ctx, scope, s)
	case StepEnd:
		return b.finishAgreement(ctx, scope, s.ID)
	case StepNone:
	}
	return fmt.Errorf("billing: subscription %s has step %q, which this code does not know", s.ID, s.Step)
}

// commit writes a subscription over the one that was read, with its customer. One that is
// over for good parts with its means of payment.
func (b *Biller) commit(ctx context.Context, scope table.Scope, was read, next Subscription, c *customer.Customer, more ...table.Write) error {
	over := next.State == StateCancelled && (next.Step == StepNone || was.onThePage()) // its page is still open
	if over && len(next.BillingKey) > 0 {
		parting, err := b.parting(ctx, scope, next, was.State)
		if err != nil {
			return err
		}
		more = append(more, parting...)
		next.BillingKey = nil
	}
	if next.State == StateCancelled && was.Step == StepRegister && len(was.Opening) > 0 && next.Refusal == "" {
		unclaimed, err := b.unclaimed(scope, was.Subscription)
		if err != nil {
			return err
		}
		more = append(more, unclaimed)
	}
	item, err := next.item(was.item, scope, b.Shards)
	if err != nil {
		return err
	}
	writes := append(more, table.Put(item))
	if c != nil {
		of, err := c.Writes(b.Clock.Now())
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
	switch {
	case s.chargeable() && s.lapsed(now):
		return b.lapse(ctx, scope, s.ID)
	case s.chargeable() && s.Attempt > 1 && s.Reminded != s.Attempt:
		return b.commit(ctx, scope, s, s.wake(StepRemind, now, now), nil)
	case !s.due(now):
		return b.commit(ctx, scope, s, s.onward(now), nil)
	}
	// Another plan takes over in one write with the claim: an attempt that somebody has
	// claimed already is of the plan that it was claimed under.
	was, with := s, []table.Write(nil)
	if s.turns() {
		s.Subscription = s.turned().wake(StepCharge, now, now)
		if !s.due(now) { // by its own dates, this period is over
			return b.turnOver(ctx, scope, was, s.Subscription)
		}
		item, err := s.Subscription.item(was.item, scope, b.Shards)
		if err != nil {
			return err
		}
		with = append(with, table.Put(item))
	}
	gateway, err := b.gateway(scope, s.Gateway)
	if err != nil {
		return err
	}
	if mandates, ok := gateway.(Mandates); ok && s.Attempt > 1 {
		if ready, err := b.ready(ctx, scope, mandates, s); err != nil || !ready {
			return err
		}
	}
	// Read before the claim, though the claim decides: the order must hold the exact body
	// before it can be sent.
	c, err := customer.Read(ctx, b.Tables, scope, s.Customer)
	if err != nil {
		return err
	}
	if s.Attempt > 1 {
		if until, other := c.Retrying(s.ID, now); other {
			// One retry at a time for each customer (safe retry policy).
			return lost(b.commit(ctx, scope, s, s.wake(StepCharge, minOf(until, now.Add(time.Minute)), now), nil))
		}
	}
	letter, err := b.write(ctx, gateway, scope, s.Subscription, s.request(scope, c.Profile))
	if err != nil {
		return err
	}
	if s.Attempt > 1 {
		if with, err = b.turn(s.Subscription, c); err != nil {
			return err
		}
	}
	charge, item, mine, err := b.claim(ctx, scope, s.Subscription, letter, with)
	if err != nil {
		return err
	}
	if !mine {
		return b.overtaken(ctx, scope, was, charge)
	}
	if s.Attempt > 1 {
		c = nil // it was written with the claim
	}
	// Only now, with the claim in the table, is the subscription read for good. A
	// cancellation writes its word and then looks for a claim; whichever comes first, one
	// of the two sees the other.
	fresh, err := b.get(ctx, scope, s.ID)
	if err != nil {
		// Nothing was sent; a claim that is left would look as if something had been.
		_, left := b.put(ctx, scope, charge.void(""), item)
		return errors.Join(err, left)
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

func minOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// request is what the attempt that is due says to the gateway.
func (s Subscription) request(scope table.Scope, p customer.Profile) Request {
	return Request{
		OrderID: OrderID(scope, s.ID, s.Period, s.Attempt), CustomerKey: s.CustomerKey, Amount: s.Terms.Price, TaxFree: s.Terms.TaxFree,
		Name: s.Terms.Name, Email: p.Email, Customer: p.Name, Round: s.Round,
		Attempt: s.Attempt, FeesIncluded: s.Terms.FeesIncluded,
	}
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
		// An order that is still open for it must be settled first. Whoever's clock is behind may yet
		// claim one that is not there: it is written down as not made.
		charge, item, err := b.unclaimedAttempt(ctx, scope, s.Subscription, "")
		switch {
		case err != nil:
			return err
		case charge.open():
			return b.commit(ctx, scope, s, s.wake(StepResolve, now, now), nil)
		case charge.settled():
			return b.settle(ctx, scope, charge, read{}, nil)
		}
		b.Log.WarnContext(ctx, "period lapsed without a charge", "subscription", s.ID, "period", s.Period)
		return b.commit(ctx, scope, s, s.next(now), nil, table.Put(item))
	})
}

// letter is what a charge sends, as it is kept sealed in the order: the card, since
// another may have taken its place at a resend, and the exact body.
type letter struct {
	billingKey, body, sealed []byte
}

func sealedFor(purpose, id string) []byte { return []byte(purpose + "/" + id) }

// write makes the letter of a request, with the card that the subscription has now.
func (b *Biller) write(ctx context.Context, g Gateway, scope table.Scope, s Subscription, request Request) (letter, error) {
	body, err := g.Compose(request)
	if errors.Is(err, fault.Invalid) && request.Email+request.Customer != "" {
		// What a customer wrote about itself is a courtesy, and never stops a charge.
		request.Email, request.Customer = "", ""
		body, err = g.Compose(request)
	}
	if err != nil {
		return letter{}, err
	}
	billingKey, err := b.card(ctx, scope, s)
	if err != nil {
		return letter{}, err
	}
	l := letter{billingKey: billingKey, body: body}
	l.sealed, err = b.Sealer.Seal(ctx, joined(billingKey, body), sealedFor("charge", scope.Key(request.OrderID)))
	return l, err
}

// card is the billing key or mandate of a subscription.
func (b *Biller) card(ctx context.Context, scope table.Scope, s Subscription) ([]byte, error) {
	plain, err := b.Sealer.Open(ctx, s.BillingKey, sealedFor("billing-key", scope.Key(s.ID)))
	if err != nil {
		return nil, fmt.Errorf("billing: card of subscription %s: %w", s.ID, err)
	}
	return plain, nil
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

// claim inserts the order of the attempt, together with what goes with it. It is false if
// another one has it; then the charge is as that one wrote it.
func (b *Biller) claim(ctx context.Context, scope table.Scope, s Subscription, l letter, with []table.Write) (Charge, table.Item, bool, error) {
	charge := s.attempting(scope)
	charge.Sealed = l.sealed
	charge = charge.sending(b.Clock.Now(), b.Lease)
	item, failed := b.put(ctx, scope, charge, table.Item{}, with...)
	if failed == nil {
		return charge, item, true, nil
	}
	item, err := b.Tables.Get(ctx, orderKey(scope, charge.ID))
	if err != nil {
		if errors.Is(err, fault.NotFound) {
			err = failed // overtaken by what else happened to the customer: with the next receive
		}
		return Charge{}, item, false, fmt.Errorf("billing: order: %w", err)
	}
	other, err := DecodeCharge(item)
	switch {
	case err != nil:
		return other, item, false, err
	case bytes.Equal(other.Sealed, charge.Sealed):
		return other, item, true, nil // our own claim, whose answer was lost: no two letters are sealed alike
	case !errors.As(failed, new(*table.Conflict)):
		return other, item, false, failed
	case other.State != Void:
		return other, item, false, nil
	}
	charge.Sends, charge.Refunds = charge.Sends+other.Sends, other.Refunds // void: surely not executed, and made again
	item, err = b.put(ctx, scope, charge, item, with...)
	return charge, item, err == nil, err
}

// attempting is the order of the attempt that is due, before anything was sent.
func (s Subscription) attempting(scope table.Scope) Charge {
	return Charge{
		ID: OrderID(scope, s.ID, s.Period, s.Attempt), Kind: ChargeKind, Customer: s.Customer, Gateway: s.Gateway,
		Subscription: s.ID, Plan: s.Plan, Period: s.Period, Attempt: s.Attempt,
		Amount: s.Terms.Price.Units, Currency: s.Terms.Price.Currency, DueAt: s.NextDueAt, Cards: s.Cards,
	}
}

// turnOver has another plan take over with a period that is over by its own dates, so that
// it is not charged for; an attempt that was claimed under the plan before is settled first.
func (b *Biller) turnOver(ctx context.Context, scope table.Scope, was read, next Subscription) error {
	charge, item, err := b.unclaimedAttempt(ctx, scope, was.Subscription, "")
	switch {
	case err != nil:
		return err
	case charge.State != Void:
		return b.overtaken(ctx, scope, was, charge)
	}
	return lost(b.commit(ctx, scope, was, next, nil, table.Put(item)))
}

// turn are the writes by which a retry takes its customer's one turn, for as long as
// whoever sends it may be at it.
func (b *Biller) turn(s Subscription, c *customer.Customer) ([]table.Write, error) {
	c.Retry(s.ID, b.Clock.Now().Add(b.Lease))
	return c.Writes(b.Clock.Now())
}

// put writes a charge over the item that it was read from and returns the item as it is
// then.
func (b *Biller) put(ctx context.Context, scope table.Scope, c Charge, item table.Item, more ...table.Write) (table.Item, error) {
	item, err := c.item(item, scope)
	if err != nil {
		return item, err
	}
	if err := b.Tables.Commit(ctx, append([]table.Write{table.Put(item)}, more...)...); err != nil {
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
	outcome := charge.unspent(g.Charge(calling, charge.ID, Card{BillingKey: string(l.billingKey), CustomerKey: s.CustomerKey}, l.body))
	cancel()
	b.Log.InfoContext(ctx, "charge sent", "order", charge.ID, "subscription", s.ID, "period", charge.Period,
		"attempt", charge.Attempt, "send", charge.Sends, "result", outcome.Result, "code", outcome.Code)
	return b.close(ctx, scope, s, c, charge.after(outcome, b.Clock.Now()), item, outcome)
}

// find looks an order up, bounded so that there is time to write down what it finds.
func (b *Biller) find(ctx context.Context, g Gateway, c Charge, l letter, customerKey string) Outcome {
	calling, cancel := clock.LeaveRoom(ctx, answerMargin)
	defer cancel()
	want := Want{
		Amount: money.Of(c.Amount, c.Currency), Card: Card{BillingKey: string(l.billingKey), CustomerKey: customerKey}, Payment: c.key(), Since: minOf(c.DueAt, c.SentAt),
	}
	if c.open() { // whoever sees one of those sees no other of the same order that was declined
		want.Passed = c.strays()
	}
	found := c.unspent(g.Find(calling, c.ID, want))
	b.Log.InfoContext(ctx, "charge looked up", "order", c.ID, "subscription", c.Subscription, "result", found.Result, "code", found.Code)
	return found
}

// noted tells a person, or the fan-out, of what an answer says about more than its charge.
func (b *Biller) noted(ctx context.Context, scope table.Scope, gateway string, o Outcome) {
	if o.Misconfigured {
		b.alarm(ctx, "gateway refuses our configuration", "gateway", gateway, "code", o.Code)
	}
	if o.Busy {
		if err := Busy(ctx, b.Tables, b.Clock, scope, gateway); err != nil {
			b.Log.WarnContext(ctx, "pace not told that the gateway is busy", "gateway", gateway, "error", err)
		}
	}
}

// alarm logs what a person has to look at.
func (b *Biller) alarm(ctx context.Context, what string, about ...any) {
	b.Log.ErrorContext(ctx, what, append([]any{"alarm", true}, about...)...)
}
