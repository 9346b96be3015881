package billing

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// errand is a wake-up for something beside the dates of a subscription: an order that has
// to be looked at again, a card to be forgotten, a customer to be told. It lies in the due
// index like a subscription, and is gone when it is done.
type errand struct {
	ID           string     `json:"id"`
	Kind         errandKind `json:"kind"`
	Gateway      string     `json:"gateway"`
	Subscription string     `json:"subscription"`
	Order        string     `json:"order,omitempty"`
	Period       int        `json:"period,omitempty"`
	Attempt      int        `json:"attempt,omitempty"`
	CustomerKey  string     `json:"customerKey,omitempty"`
	WakeAt       time.Time  `json:"wakeAt"`
	Tries        int        `json:"tries,omitempty"`
	Sealed       []byte     `json:"-"` // the card to be forgotten, or the authKey to be exchanged
	// Under is sealed: the customerKey under which a card to be forgotten was registered, which
	// whoever is erased has no more.
	Under []byte `json:"under,omitempty"`
}

type errandKind string

const (
	errandOrder  errandKind = "order"
	errandForget errandKind = "forget"
	errandRecard errandKind = "recard"
	errandTell   errandKind = "tell"
)

// errandPrefix tells a message about an errand from one about a subscription, whose id
// holds no colon.
const errandPrefix = "errand:"

func errandKey(scope table.Scope, id string) table.Key {
	return table.Key{Table: table.Subscriptions, Partition: scope.Key("errand", id)}
}

func (e errand) lane() string {
	if e.Kind == errandTell {
		return LaneDeliver
	}
	return e.Gateway
}

// put is the write of an errand over the item that it was read from.
func (e errand) put(read table.Item, scope table.Scope, shards Shards) (table.Write, error) {
	data, err := json.Marshal(e)
	read.Key, read.Schema, read.Data, read.Sealed = errandKey(scope, e.ID), schema, data, e.Sealed
	read.Index = &table.Index{Partition: duePartition(scope, e.lane(), shards.of(e.ID)), Sort: dueSort(e.WakeAt, errandPrefix+e.ID)}
	return table.Put(read), err
}

// errandAt reads an errand; a zero item if there is none.
func (b *Biller) errandAt(ctx context.Context, scope table.Scope, id string) (errand, table.Item, error) {
	item, err := b.Tables.Get(ctx, errandKey(scope, id))
	if errors.Is(err, fault.NotFound) {
		return errand{}, table.Item{}, nil
	}
	if err != nil {
		return errand{}, item, fmt.Errorf("billing: errand: %w", err)
	}
	e := errand{Sealed: item.Sealed}
	return e, item, decode(item, &e)
}

// run does an errand if it is time.
func (b *Biller) run(ctx context.Context, scope table.Scope, id string) error {
	e, item, err := b.errandAt(ctx, scope, id)
	if err != nil || item.Revision == 0 || e.WakeAt.After(b.Clock.Now()) {
		return err
	}
	switch e.Kind {
	case errandOrder:
		return b.tend(ctx, scope, e.Order)
	case errandForget:
		return b.forget(ctx, scope, e, item)
	case errandRecard:
		return b.tendRecard(ctx, scope, e, item)
	case errandTell:
	}
	return fmt.Errorf("billing: errand %s is not done here", id)
}

// later puts an errand off.
func (b *Biller) later(ctx context.Context, scope table.Scope, e errand, item table.Item, after time.Duration) error {
	now := b.Clock.Now()
	e.WakeAt = now.Add(after)
	e.Tries++
	write, err := e.put(item, scope, b.Shards)
	if err != nil {
		return err
	}
	return lost(b.Tables.Commit(ctx, write))
}

// lost makes nothing of having been overtaken: whoever came first has written what is next.
func lost(err error) error {
	if errors.As(err, new(*table.Conflict)) {
		return nil
	}
	return err
}

// change is what a decision makes of an order, and what follows from it.
type change struct {
	Charge
	events []event.Event
	// agreement, if set, is what becomes of the subscription; access follows.
	agreement func(Subscription) Subscription
}

// rewrite changes an order by a decision over what is written now, together with the errand
// by which it is looked at again, and with what follows. A decision of false changes nothing.
// It returns the order as it is then.
func (b *Biller) rewrite(ctx context.Context, scope table.Scope, id string, decide func(c Charge, now time.Time) (change, bool, error)) (Charge, error) {
	var result Charge
	err := b.again(ctx, func() error {
		item, err := b.Tables.Get(ctx, orderKey(scope, id))
		if err != nil && !errors.Is(err, fault.NotFound) {
			return fmt.Errorf("billing: order: %w", err)
		}
		var was Charge
		if err == nil {
			if was, err = DecodeCharge(item); err != nil {
				return err
			}
		}
		next, ok, err := decide(was, b.Clock.Now())
		if err != nil || !ok {
			result = was
			return err
		}
		writes, err := b.consequences(ctx, scope, next)
		if err != nil {
			return err
		}
		orderItem, err := next.item(item, scope)
		if err != nil {
			return err
		}
		result = next.Charge
		return b.Tables.Commit(ctx, append(writes, table.Put(orderItem))...)
	})
	return result, err
}

// consequences are the writes that go with an order's.
func (b *Biller) consequences(ctx context.Context, scope table.Scope, next change) ([]table.Write, error) {
	var writes []table.Write
	watch, err := b.watch(ctx, scope, next.Charge)
	if err != nil {
		return nil, err
	}
	writes = append(writes, watch...)
	if len(next.events) == 0 {
		return writes, nil
	}
	if next.agreement != nil {
		if err := b.settleFirst(ctx, scope, next.Charge); err != nil {
			return nil, err
		}
	}
	c, err := customer.Read(ctx, b.Tables, scope, next.Customer)
	if err != nil {
		return nil, err
	}
	if next.agreement != nil {
		s, err := b.get(ctx, scope, next.Subscription)
		if err != nil {
			return nil, err
		}
		agreed := next.agreement(s.Subscription)
		item, err := agreed.item(s.item, scope, b.Shards)
		if err != nil {
			return nil, err
		}
		writes = append(writes, table.Put(item))
		c.Replace(agreed.source(sourceOrder(c, s.Subscription)))
	}
	for _, e := range next.events {
		c.Tell(e)
	}
	of, err := c.Writes(b.Clock.Now())
	return append(writes, of...), err
}

// settleFirst has a subscription know that an order of its was paid, before it hears that the
// money went back: whoever wrote the payment down may have died, and its word, coming later,
// would give the access again.
func (b *Biller) settleFirst(ctx context.Context, scope table.Scope, c Charge) error {
	s, err := b.get(ctx, scope, c.Subscription)
	// A sign-up that is still on its page is being given up, and never begins; and to one that has
	// ended no word gives access, while its own giving back would wait for this one.
	if err != nil || c.OnDemand || s.Period != c.Period || s.Attempt != c.Attempt || s.onThePage() || s.ended() {
		return err
	}
	return b.settle(ctx, scope, c, read{}, nil)
}

// sourceOrder is the order that gave what a subscription gives.
func sourceOrder(c *customer.Customer, s Subscription) string {
	for _, o := range c.Sources() {
		if o.Kind == entitlement.KindSubscription && o.Provider == s.Gateway && o.Ref == s.ID {
			return o.OrderID
		}
	}
	return ""
}

// watch keeps an order's errand in step with it: none where nothing is left to be done.
func (b *Biller) watch(ctx context.Context, scope table.Scope, c Charge) ([]table.Write, error) {
	id := "order-" + c.ID
	e, item, err := b.errandAt(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	at := c.lookAt()
	switch {
	case at.IsZero() && item.Revision == 0:
		return nil, nil
	case at.IsZero():
		return []table.Write{table.Removed(item)}, nil
	}
	if now := b.Clock.Now(); at.Before(now) {
		at = now
	}
	e = errand{ID: id, Kind: errandOrder, Gateway: c.Gateway, Subscription: c.Subscription, Order: c.ID, WakeAt: at, Tries: e.Tries}
	write, err := e.put(item, scope, b.Shards)
	return []table.Write{write}, err
}

// lookAt is when an order has to be looked at next apart from its subscription's dates,
// zero if it does not.
func (c Charge) lookAt() time.Time {
	at := c.LookAt
	for _, r := range c.Refunds {
		if r.open() && (at.IsZero() || r.LookAt.Before(at)) {
			at = r.LookAt
		}
	}
	return at
}

// tend does what an order's errand is for: one refund that is open, else the charge itself.
func (b *Biller) tend(ctx context.Context, scope table.Scope, id string) error {
	item, err := b.Tables.Get(ctx, orderKey(scope, id))
	if err != nil {
		return fmt.Errorf("billing: order: %w", err)
	}
	c, err := DecodeCharge(item)
	if err != nil {
		return err
	}
	now := b.Clock.Now()
	for _, r := range c.Refunds {
		if r.open() && !r.LookAt.After(now) {
			return b.tendRefund(ctx, scope, c, r)
		}
	}
	if !c.LookAt.IsZero() && !c.LookAt.After(now) {
		return b.tendDemand(ctx, scope, c)
	}
	// The errand is out of step with its order.
	_, err = b.rewrite(ctx, scope, id, func(c Charge, _ time.Time) (change, bool, error) { return change{Charge: c}, true, nil })
	return err
}

// forgetAfter is how long a card is kept after its agreement has ended: whatever was sent
// with it is settled by then.
const forgetAfter = 72 * time.Hour

// parting is the write by which the means of payment of an agreement that has ended, or of
// one that has another now, is forgotten at the gateway.
// A mandate that nobody has approved yet is revoked at once: its page is still open.
func (b *Biller) parting(ctx context.Context, scope table.Scope, s Subscription, was State) ([]table.Write, error) {
	if len(s.BillingKey) == 0 {
		return nil, nil
	}
	after := forgetAfter
	if was == StatePending {
		after = 0
	}
	e := errand{
		ID: partingID(scope, s), Kind: errandForget, Gateway: s.Gateway,
		Subscription: s.ID, WakeAt: b.Clock.Now().Add(after), Sealed: s.BillingKey,
	}
	if s.CustomerKey != "" {
		var err error
		if e.Under, err = b.Sealer.Seal(ctx, []byte(s.CustomerKey), sealedFor("customer-key", scope.Key(s.ID))); err != nil {
			return nil, fmt.Errorf("billing: sealing: %w", err)
		}
	}
	write, err := e.put(table.Item{}, scope, b.Shards)
	return []table.Write{write}, err
}

func partingID(scope table.Scope, s Subscription) string {
	return "card-" + short(hash("card", scope.String(), s.ID, string(s.BillingKey)))
}

// forget deletes a billing key at its gateway, or revokes a mandate there.
func (b *Biller) forget(ctx context.Context, scope table.Scope, e errand, item table.Item) error {
	gateway, err := b.gateway(scope, e.Gateway)
	if err != nil {
		return err
	}
	plain, err := b.Sealer.Open(ctx, e.Sealed, sealedFor("billing-key", scope.Key(e.Subscription)))
	if err != nil {
		return fmt.Errorf("billing: card of subscription %s: %w", e.Subscription, err)
	}
	used, err := b.used(ctx, scope, e.Subscription, plain)
	if err != nil {
		return err
	}
	switch g := gateway.(type) {
	case Cards:
		if used {
			break // the customer has gone back to it
		}
		err = g.Forget(ctx, Card{BillingKey: string(plain), CustomerKey: e.CustomerKey})
	case Mandates:
		err = g.Revoke(ctx, string(plain))
	}
	if err != nil {
		b.Log.WarnContext(ctx, "card not forgotten yet", "subscription", e.Subscription, "try", e.Tries+1, "error", err)
		return b.later(ctx, scope, e, item, min(time.Hour<<min(e.Tries, 5), 24*time.Hour))
	}
	s, err := b.get(ctx, scope, e.Subscription)
	if errors.Is(err, fault.NotFound) {
		return lost(b.Tables.Commit(ctx, table.Removed(item)))
	}
	if err != nil {
		return err
	}
	if len(e.Under) > 0 {
		under, err := b.Sealer.Open(ctx, e.Under, sealedFor("customer-key", scope.Key(e.Subscription)))
		if err != nil {
			return fmt.Errorf("billing: customerKey of subscription %s: %w", e.Subscription, err)
		}
		e.CustomerKey = string(under)
	}
	return b.uncard(ctx, scope, s.Subscription, e)
}

// used says that a subscription is charged by this very means of payment.
func (b *Biller) used(ctx context.Context, scope table.Scope, id string, plain []byte) (bool, error) {
	s, err := b.get(ctx, scope, id)
	if errors.Is(err, fault.NotFound) || err == nil && len(s.BillingKey) == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	is, err := b.card(ctx, scope, s.Subscription)
	return subtle.ConstantTimeCompare(is, plain) == 1, err
}

// errandOf gives the id of the errand that a message names.
func errandOf(message string) (string, bool) { return strings.CutPrefix(message, errandPrefix) }
