package billing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// register turns the authKey into a billing key and goes on to the first charge. Its
// idempotency key follows from the subscription and the authKey, so that doing it twice
// registers one card. fault.Invalid means that the gateway refused.
func (b *Biller) register(ctx context.Context, scope table.Scope, s read) (read, error) {
	card, err := b.issue(ctx, scope, s.Subscription, s.Opening, s.CustomerKey)
	if err != nil {
		return s, err
	}
	next, err := b.carded(ctx, scope, s.Subscription, card)
	if err != nil {
		return s, err
	}
	now := b.Clock.Now()
	if next.Opening = nil; next.Terms.OnDemand {
		next = next.sleep()
		next.State = StateActive
		err = b.tell(ctx, scope, s, next, event.Event{Type: event.SubscriptionActivated})
	} else {
		next = next.wake(StepCharge, now.Add(handover), now)
		err = b.commit(ctx, scope, s, next, nil)
	}
	if err != nil {
		return s, err
	}
	item, err := next.item(s.item, scope, b.Shards)
	item.Revision++
	return read{next, item}, err
}

// issue exchanges a sealed authKey for a billing key. The same authKey again is the same
// billing key.
func (b *Biller) issue(ctx context.Context, scope table.Scope, s Subscription, opening []byte, customerKey string) (Card, error) {
	gateway, err := b.gateway(scope, s.Gateway)
	if err != nil {
		return Card{}, err
	}
	cards, ok := gateway.(Cards)
	if !ok {
		return Card{}, fmt.Errorf("billing: gateway %s has no cards", s.Gateway)
	}
	authKey, err := b.Sealer.Open(ctx, opening, sealedFor("auth-key", scope.Key(s.ID)))
	if err != nil {
		return Card{}, fmt.Errorf("billing: sealed authKey: %w", errors.Join(fault.Unavailable, err))
	}
	calling, cancel := clock.LeaveRoom(ctx, answerMargin)
	defer cancel()
	return cards.Issue(calling, Registration{
		Key:     "gl_card_" + short(hash("card", scope.String(), s.ID, string(authKey))),
		AuthKey: string(authKey), CustomerKey: customerKey,
	})
}

// carded is a subscription with a card.
func (b *Biller) carded(ctx context.Context, scope table.Scope, s Subscription, card Card) (Subscription, error) {
	sealed, err := b.Sealer.Seal(ctx, []byte(card.BillingKey), sealedFor("billing-key", scope.Key(s.ID)))
	if err != nil {
		return s, fmt.Errorf("billing: sealing: %w", err)
	}
	s.BillingKey, s.CustomerKey, s.Card, s.Issuer = sealed, card.CustomerKey, card.Number, card.Issuer
	return s, nil
}

// withdraw takes back a subscription whose card was refused while its request waited,
// and what its customer was said to hold of it; the events alone remember it.
func (b *Biller) withdraw(ctx context.Context, scope table.Scope, s read, refusal error) error {
	err := b.again(ctx, func() error {
		c, err := customer.Read(ctx, b.Tables, scope, s.Customer)
		if err != nil {
			return err
		}
		c.Drop(s.source(""))
		c.Tell(b.refused(s, fault.Code(refusal)))
		released, err := b.release(ctx, scope, s, c)
		if err != nil {
			return err
		}
		writes, err := c.Writes(b.Clock.Now())
		if err != nil {
			return err
		}
		return b.Tables.Commit(ctx, append(append(writes, released...), table.Removed(s.item))...)
	})
	if err != nil {
		// The queue will hear the same refusal and end it.
		b.Log.WarnContext(ctx, "refused subscription left to the queue", "subscription", s.ID, "error", err)
	}
	return refusal
}

// release lets go of the customerKey of a subscription that never came to be.
func (b *Biller) release(ctx context.Context, scope table.Scope, s read, c *customer.Customer) ([]table.Write, error) {
	return b.letGo(ctx, scope, s.Gateway, s.CustomerKey, s.ID, c)
}

// letGo lets go of a customerKey under which no card was registered, unless its customer
// goes by it in a subscription other than except. A customerKey is kept by a card that was
// registered under it: a made-up authKey must not be enough to shut its owner out. Whoever
// of the customer signs up at the same time writes the same head, so one of the two is
// decided anew.
func (b *Biller) letGo(ctx context.Context, scope table.Scope, gateway, customerKey, except string, c *customer.Customer) ([]table.Write, error) {
	if customerKey == "" {
		return nil, nil
	}
	var ids []string
	for _, o := range c.Sources() {
		if o.Kind == entitlement.KindSubscription && o.Provider == gateway && o.Ref != except {
			ids = append(ids, o.Ref)
		}
	}
	others, err := b.Held(ctx, scope, ids)
	if err != nil {
		return nil, err
	}
	for _, o := range others {
		if o.CustomerKey == customerKey && o.Refusal == "" {
			return nil, nil
		}
	}
	return c.Unbind(ctx, b.Tables, gateway, customerKey)
}

// refused is the event that a subscription never came to be.
func (b *Biller) refused(s read, refusal string) event.Event {
	return event.Event{
		Type: event.SubscriptionCancelled, At: b.Clock.Now(), SubscriptionID: s.ID, PlanID: s.Plan,
		Entitlement: s.Terms.Entitlement, DeclineCode: refusal,
	}
}

// The pauses between tries of a registration whose outcome is not known: never more than
// a quarter of an hour, so that a sign-up is settled soon after the gateway is back. After
// registerTries, about a day, it is given up: no money hangs on it.
var registerAgain = []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute}

const registerTries = 100

// finishRegistration is what the queue does about a sign-up whose request has ended.
func (b *Biller) finishRegistration(ctx context.Context, scope table.Scope, s read) error {
	registered, err := b.register(ctx, scope, s)
	switch {
	case err == nil && registered.Terms.OnDemand:
		return nil
	case err == nil:
		return b.charge(ctx, scope, registered)
	case errors.Is(err, fault.Invalid), s.Tries >= registerTries:
		refusal := fault.Code(err)
		if !errors.Is(err, fault.Invalid) {
			refusal = "registration_unanswered"
		}
		return b.refuse(ctx, scope, s, refusal)
	case errors.Is(err, fault.Conflict):
		return nil // somebody else went on with it
	}
	now := b.Clock.Now()
	next := s.wake(StepRegister, now.Add(registerAgain[min(s.Tries, len(registerAgain)-1)]), now)
	next.Tries++
	b.Log.WarnContext(ctx, "registration unanswered", "subscription", s.ID, "try", next.Tries, "error", err)
	return b.commit(ctx, scope, s, next, nil)
}

// refuse ends a subscription that never came to be.
func (b *Biller) refuse(ctx context.Context, scope table.Scope, s read, refusal string) error {
	c, err := customer.Read(ctx, b.Tables, scope, s.Customer)
	if err != nil {
		return err
	}
	next := s.sleep()
	next.State, next.Refusal, next.Opening = StateCancelled, refusal, nil
	c.Set(next.source(""))
	c.Tell(b.refused(s, refusal))
	released, err := b.release(ctx, scope, s, c)
	if err != nil {
		return err
	}
	return b.commit(ctx, scope, s, next, c, released...)
}
