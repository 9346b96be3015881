package billing

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"grantline/shared/clock"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// ChangeMethod gives a subscription another means of payment: a card at once, or a page on
// which the customer gives the mandate another. An open period is tried once on it before
// its next attempt would have come. It answers as far as ctx's time allows; waiting says
// that the gateway has not said yet whether it takes the card, and the queue goes on with
// it. Errors: fault.Malformed, fault.NotFound; fault.Invalid with code
// payment_method_refused; fault.Conflict for a subscription that is over or not ready, and
// for another customer's customerKey.
func (b *Biller) ChangeMethod(ctx context.Context, scope table.Scope, id string, card *NewCard, returnURL string) (s Subscription, link string, waiting bool, err error) {
	is, err := b.get(ctx, scope, id)
	if errors.Is(err, fault.NotFound) {
		return s, "", false, notFound()
	}
	if err != nil {
		return s, "", false, err
	}
	switch {
	case is.State == StateCancelled:
		return s, "", false, fault.New(fault.Conflict, "subscription_cancelled", "The subscription is over; the customer has to sign up again.")
	case len(is.BillingKey) == 0 || is.State == StatePending && is.Step == StepAwait:
		return s, "", false, fault.New(fault.Conflict, "not_ready", "The sign-up is not finished; ask again.")
	}
	gateway, err := b.gateway(scope, is.Gateway)
	if err != nil {
		return s, "", false, err
	}
	if g, ok := gateway.(Mandates); ok {
		if card != nil {
			return s, "", false, malformed(is.Gateway, "what the subscription's gateway needs, and nothing else")
		}
		return b.remandate(ctx, scope, g, is, returnURL)
	}
	if card == nil {
		return s, "", false, malformed(is.Gateway, "what the subscription's gateway needs, and nothing else")
	}
	if err := card.validate(); err != nil {
		return s, "", false, err
	}
	if slices.Contains(is.Proofs, proofOf(scope, id, card.AuthKey)) {
		return is.Subscription, "", false, nil
	}
	e, item, err := b.exchange(ctx, scope, is, *card)
	if err != nil {
		return s, "", false, err
	}
	err = b.recard(ctx, scope, e, item)
	if errors.Is(err, fault.Invalid) || errors.Is(err, fault.Conflict) {
		return s, "", false, err
	}
	if err != nil {
		b.Log.WarnContext(ctx, "new card left to the queue", "subscription", is.ID, "error", err)
		return is.Subscription, "", true, nil
	}
	fresh, err := b.get(ctx, scope, id)
	if err != nil {
		return s, "", false, err
	}
	if fresh.Step == StepCharge && fresh.due(b.Clock.Now()) && clock.Room(ctx, 2*answerMargin) {
		if err := b.charge(ctx, scope, fresh); err != nil {
			b.Log.WarnContext(ctx, "attempt on the new card left to the queue", "subscription", id, "error", err)
		}
		if now, err := b.get(ctx, scope, id); err == nil {
			fresh = now
		}
	}
	return fresh.Subscription, "", false, nil
}

// samePage is how long whoever asks again for a page is given the one there is: each costs
// of the pace at which everybody is charged.
const samePage = time.Minute

// mostProofs is how many authKeys are remembered: few, for every charge writes them.
const mostProofs = 8

// recardPrefix begins the ids of errands that exchange an authKey; its proof follows.
const recardPrefix = "recard-"

// proofOf names an authKey without showing it.
func proofOf(scope table.Scope, id, authKey string) string {
	return short(hash("recard", scope.String(), id, authKey))[:16]
}

// remandate has the gateway make a page, and remembers that it is open.
func (b *Biller) remandate(ctx context.Context, scope table.Scope, g Mandates, s read, returnURL string) (Subscription, string, bool, error) {
	if returnURL == "" {
		returnURL = s.ReturnURL
	}
	if !validReturn(returnURL) {
		return s.Subscription, "", false, malformed("dodo.returnUrl", "an http or https address of at most 500 characters")
	}
	if since := b.Clock.Now().Sub(s.AskedAt); len(s.Opening) > 0 && returnURL == s.ReturnURL && since >= 0 && since < samePage {
		link, err := b.page(ctx, scope, s.Subscription)
		return s.Subscription, link, false, err
	}
	page, err := b.mend(ctx, scope, g, s.Subscription, returnURL)
	if err != nil {
		return s.Subscription, "", false, err
	}
	link, err := b.Sealer.Open(ctx, page, sealedFor("page", scope.Key(s.ID)))
	if err != nil {
		return s.Subscription, "", false, fmt.Errorf("billing: page of subscription %s: %w", s.ID, err)
	}
	var next Subscription
	err = b.again(ctx, func() error {
		is, err := b.get(ctx, scope, s.ID)
		if err != nil {
			return err
		}
		now := b.Clock.Now()
		next = is.Subscription
		next.Opening, next.AskedAt, next.ReturnURL = page, now, returnURL
		if next.State == StateUnpaid || next.Step == StepRemind || next.Step == StepAwait {
			next = next.awaiting(now)
		}
		return b.commit(ctx, scope, is, next, nil)
	})
	return next, string(link), false, err
}

// exchange writes down that an authKey is to become a card, before anybody is asked: the
// gateway shows a billing key once, and whoever loses it gets it by asking the same again.
func (b *Biller) exchange(ctx context.Context, scope table.Scope, s read, card NewCard) (errand, table.Item, error) {
	e := errand{
		ID: recardPrefix + proofOf(scope, s.ID, card.AuthKey), Kind: errandRecard, Gateway: s.Gateway, Subscription: s.ID,
		CustomerKey: card.CustomerKey, WakeAt: b.Clock.Now().Add(handover),
	}
	var item table.Item
	err := b.again(ctx, func() error {
		was, read, err := b.errandAt(ctx, scope, e.ID)
		if err != nil {
			return err
		}
		if item = read; read.Revision > 0 {
			e = was
			return nil
		}
		c, err := b.owner(ctx, scope, s.Subscription)
		if err != nil {
			return err
		}
		if err := b.bind(ctx, scope, s.Gateway, card.CustomerKey, c); err != nil {
			return err
		}
		if e.Sealed, err = b.Sealer.Seal(ctx, []byte(card.AuthKey), sealedFor("auth-key", scope.Key(s.ID))); err != nil {
			return fmt.Errorf("billing: sealing: %w", err)
		}
		write, err := e.put(read, scope, b.Shards)
		if err != nil {
			return err
		}
		bound, err := c.Writes(b.Clock.Now())
		if err != nil {
			return err
		}
		if err := b.Tables.Commit(ctx, append(bound, write)...); err != nil {
			return err
		}
		item = write.Item
		item.Revision++
		return nil
	})
	return e, item, err
}

// unclaimed is the write by which the card of a sign-up that was cancelled while it was being
// registered is found out, and forgotten as that of any other that has ended.
func (b *Biller) unclaimed(scope table.Scope, s Subscription) (table.Write, error) {
	return errand{
		ID: recardPrefix + "unclaimed-" + s.ID, Kind: errandRecard, Gateway: s.Gateway, Subscription: s.ID,
		CustomerKey: s.CustomerKey, WakeAt: b.Clock.Now().Add(b.Lease), Sealed: s.Opening,
	}.put(table.Item{}, scope, b.Shards)
}

// recard exchanges the authKey and gives the subscription its card; both happen once
// however often it is done. fault.Invalid means that the gateway refused, and nothing is
// left of it.
func (b *Biller) recard(ctx context.Context, scope table.Scope, e errand, item table.Item) error {
	s, err := b.get(ctx, scope, e.Subscription)
	if err != nil {
		return err
	}
	card, err := b.issue(ctx, scope, s.Subscription, e.Sealed, e.CustomerKey)
	if errors.Is(err, fault.Invalid) {
		if failed := b.uncard(ctx, scope, s.Subscription, e); failed != nil {
			return failed
		}
		return err
	}
	if err != nil {
		return err
	}
	var taken error
	err = b.again(ctx, func() error {
		taken = nil
		s, err := b.get(ctx, scope, e.Subscription)
		if err != nil {
			return err
		}
		_, item, err := b.errandAt(ctx, scope, e.ID)
		if err != nil || item.Revision == 0 {
			return err // somebody else has done it
		}
		done := table.Removed(item)
		c, err := b.owner(ctx, scope, s.Subscription)
		if err != nil {
			return err
		}
		// Whoever was refused a card under the same customerKey meanwhile has let go of it.
		taken = b.bind(ctx, scope, s.Gateway, card.CustomerKey, c)
		if taken != nil && !errors.Is(taken, fault.Conflict) {
			return taken
		}
		if s.State == StateCancelled || taken != nil {
			// It ended meanwhile: the new card is forgotten as the old one is.
			next, err := b.carded(ctx, scope, s.Subscription, card)
			if err != nil {
				return err
			}
			parting, err := b.parting(ctx, scope, next, StateCancelled)
			if err != nil {
				return err
			}
			return b.Tables.Commit(ctx, append(parting, done)...)
		}
		proof := strings.TrimPrefix(e.ID, recardPrefix)
		if slices.Contains(s.Proofs, proof) {
			return b.Tables.Commit(ctx, done)
		}
		old, err := b.card(ctx, scope, s.Subscription)
		if err != nil {
			return err
		}
		if subtle.ConstantTimeCompare(old, []byte(card.BillingKey)) == 1 {
			return b.Tables.Commit(ctx, done)
		}
		// What was sent with the old card may have to be sent again.
		parting, err := b.parting(ctx, scope, s.Subscription, StateActive)
		if err != nil {
			return err
		}
		now := b.Clock.Now()
		next, err := b.carded(ctx, scope, s.recarded(now), card)
		if err != nil {
			return err
		}
		next.Proofs = append(slices.Clone(s.Proofs[max(0, len(s.Proofs)-mostProofs+1):]), proof)
		told := event.Event{Type: event.PaymentMethodChanged}
		if next.State == StatePastDue && !next.NextDueAt.IsZero() {
			told.NextAttemptAt = &next.NextDueAt
		}
		return b.tellOf(ctx, scope, c, s, next, told, append(parting, done)...)
	})
	return errors.Join(err, taken)
}

// uncard ends the errand of a card that came to nothing or is no more, and lets go of a
// customerKey that no other goes by.
func (b *Biller) uncard(ctx context.Context, scope table.Scope, s Subscription, e errand) error {
	return b.again(ctx, func() error {
		_, item, err := b.errandAt(ctx, scope, e.ID)
		if err != nil || item.Revision == 0 {
			return err
		}
		c, err := b.owner(ctx, scope, s)
		if err != nil {
			return err
		}
		released, err := b.letGo(ctx, scope, e.Gateway, e.CustomerKey, "", c)
		if err != nil {
			return err
		}
		writes := append(released, table.Removed(item))
		if len(released) > 0 { // with the head, so that a sign-up under that key is one before or after
			of, err := c.Writes(b.Clock.Now())
			if err != nil {
				return err
			}
			writes = append(writes, of...)
		}
		return b.Tables.Commit(ctx, writes...)
	})
}

// tendRecard is what the queue does about a card whose request has ended.
func (b *Biller) tendRecard(ctx context.Context, scope table.Scope, e errand, item table.Item) error {
	err := b.recard(ctx, scope, e, item)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fault.NotFound):
		return lost(b.Tables.Commit(ctx, table.Removed(item)))
	case errors.Is(err, fault.Invalid):
		b.Log.InfoContext(ctx, "new card refused", "subscription", e.Subscription, "code", fault.Code(err))
		return nil
	case e.Tries >= registerTries:
		b.Log.WarnContext(ctx, "new card given up", "subscription", e.Subscription, "error", err)
		s, err := b.get(ctx, scope, e.Subscription)
		if err != nil {
			return err
		}
		return b.uncard(ctx, scope, s.Subscription, e)
	}
	b.Log.WarnContext(ctx, "new card unanswered", "subscription", e.Subscription, "try", e.Tries+1, "error", err)
	return b.later(ctx, scope, e, item, registerAgain[min(e.Tries, len(registerAgain)-1)])
}
