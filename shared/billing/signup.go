package billing

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// SignUp asks for a subscription that is charged to a card which the customer has just
// registered with the gateway.
type SignUp struct {
	ID          string // the caller's, "" to derive one
	CustomerID  string // the company's
	Plan        string
	Gateway     string
	AuthKey     string // secret, works once
	CustomerKey string
}

// Created is the answer to a SignUp.
type Created struct {
	Subscription Subscription
	Existed      bool // the same was asked before
}

var (
	subscriptionID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	// customerKeys as Toss Payments takes them.
	customerKeys = regexp.MustCompile(`^[A-Za-z0-9\-_=.@]{2,300}$`)
	// reservedIDs would clash with routes.
	reservedIDs = map[string]bool{
		"status": true, "entitlements": true, "bind-user": true, "cancel": true, "resume": true, "payment-method": true,
		"plan": true, "charge": true,
	}
)

// ValidID says whether id can be a subscription's.
func ValidID(id string) bool { return subscriptionID.MatchString(id) && !reservedIDs[id] }

func (r SignUp) validate() error {
	malformed := func(field, should string) error {
		return fault.New(fault.Malformed, "invalid_request", "%s should be %s.", field, should)
	}
	switch {
	case r.ID != "" && !ValidID(r.ID):
		return malformed("id", "1 to 64 letters, digits, - or _, and no route's name")
	case r.Gateway != "toss":
		return malformed("gateway", "toss")
	case len(r.AuthKey) < 1 || len(r.AuthKey) > 300:
		return malformed("toss.authKey", "1 to 300 characters")
	case !customerKeys.MatchString(r.CustomerKey):
		return malformed("toss.customerKey", "2 to 300 letters, digits or any of - _ = . @")
	}
	return nil
}

func hash(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return h.Sum(nil)
}

func short(sum []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum)[:26])
}

// handover is when the queue takes over a sign-up that was not finished by its request:
// after the request has surely ended.
const handover = time.Minute

// Subscribe creates the subscription, registers the card and makes the first charge, as
// far as ctx's time allows; what is left is done by the queue, and the subscription is
// then still pending. The same request again gives the same subscription. Errors:
// fault.Malformed and fault.Invalid before anything is written; fault.Invalid with code
// payment_method_refused when the gateway refused the card, after which nothing is left
// and the id may be used again; fault.Conflict for another request's id or another
// customer's customerKey.
func (b *Biller) Subscribe(ctx context.Context, scope table.Scope, r SignUp) (Created, error) {
	if err := r.validate(); err != nil {
		return Created{}, err
	}
	plan, ok := b.Catalog.Plan(r.Plan)
	if !ok || plan.Gateway != r.Gateway {
		return Created{}, fault.New(fault.Invalid, "unknown_plan", "There is no plan %q at gateway %s.", r.Plan, r.Gateway)
	}
	if _, err := b.gateway(scope, r.Gateway); err != nil {
		return Created{}, err
	}
	var s read
	var existed bool
	err := b.again(ctx, func() error {
		var err error
		s, existed, err = b.create(ctx, scope, r, termsOf(plan))
		return err
	})
	if err != nil || existed {
		return Created{s.Subscription, existed}, err
	}
	// From here on the subscription stands, and whatever fails is for the queue to finish.
	if s, err = b.register(ctx, scope, s); err != nil {
		if errors.Is(err, fault.Invalid) {
			return Created{}, b.withdraw(ctx, scope, s, err)
		}
		b.Log.WarnContext(ctx, "registration left to the queue", "subscription", s.ID, "error", err)
		return Created{Subscription: s.Subscription}, nil
	}
	if clock.Room(ctx, 2*answerMargin) {
		if err := b.charge(ctx, scope, s); err != nil {
			b.Log.WarnContext(ctx, "first charge left to the queue", "subscription", s.ID, "error", err)
		}
	}
	now, err := b.get(ctx, scope, s.ID)
	if err != nil {
		return Created{Subscription: s.Subscription}, nil //nolint:nilerr // it stands; how far it came is told by the next look
	}
	return Created{Subscription: now.Subscription}, nil
}

// create inserts the subscription, or finds it.
func (b *Biller) create(ctx context.Context, scope table.Scope, r SignUp, terms Terms) (read, bool, error) {
	c, err := b.Customers.Named(ctx, scope, r.CustomerID)
	if err != nil {
		return read{}, false, err
	}
	if r.ID == "" {
		r.ID = "sub_" + short(hash("subscription", c.Ref, r.Plan, r.AuthKey))
	}
	request := short(hash("request", c.Ref, r.Plan, r.Gateway, r.CustomerKey))
	was, err := b.get(ctx, scope, r.ID)
	switch {
	case errors.Is(err, fault.NotFound):
		was = read{}
	case err != nil:
		return read{}, false, err
	case was.Customer != c.Ref:
		return read{}, false, fault.New(fault.Conflict, "subscription_exists", "Another subscription has this id.")
	case was.Refusal != "": // it never came to be
	case was.Request != request:
		return read{}, false, fault.New(fault.Conflict, "subscription_exists", "A subscription with this id was asked for with another body.")
	default:
		return was, true, nil
	}
	owner, err := customer.Bound(ctx, b.Tables, scope, r.Gateway, r.CustomerKey)
	if err != nil {
		return read{}, false, err
	}
	if owner != "" && owner != c.Ref {
		return read{}, false, fault.New(fault.Conflict, "customer_key_taken", "This customerKey belongs to another customer.")
	}
	if owner == "" {
		c.Bind(r.Gateway, r.CustomerKey)
	}
	now := b.Clock.Now()
	s := Subscription{
		ID: r.ID, Customer: c.Ref, Gateway: r.Gateway, Plan: r.Plan, Terms: terms, Request: request, State: StatePending,
		Anchor: now, Attempt: 1, CustomerKey: r.CustomerKey,
	}
	s.NextDueAt = s.calendar().Due(0)
	s = s.wake(StepRegister, now.Add(handover), now)
	if s.AuthKey, err = b.Sealer.Seal(ctx, []byte(r.AuthKey), sealedFor("auth-key", scope.Key(s.ID))); err != nil {
		return read{}, false, fmt.Errorf("billing: sealing: %w", err)
	}
	c.Set(s.source(""))
	c.Tell(event.Event{Type: event.SubscriptionCreated, At: now, SubscriptionID: s.ID, PlanID: s.Plan, Entitlement: terms.Entitlement})
	if err := b.commit(ctx, scope, was, s, c); err != nil {
		return read{}, false, err
	}
	item, err := s.item(was.item, scope, b.Shards)
	item.Revision++
	return read{s, item}, false, err
}

// register turns the authKey into a billing key and goes on to the first charge. Its
// idempotency key follows from the subscription and the authKey, so that doing it twice
// registers one card. fault.Invalid means that the gateway refused.
func (b *Biller) register(ctx context.Context, scope table.Scope, s read) (read, error) {
	gateway, err := b.gateway(scope, s.Gateway)
	if err != nil {
		return s, err
	}
	authKey, err := b.Sealer.Open(ctx, s.AuthKey, sealedFor("auth-key", scope.Key(s.ID)))
	if err != nil {
		return s, fmt.Errorf("billing: sealed authKey: %w", errors.Join(fault.Unavailable, err))
	}
	calling, cancel := clock.LeaveRoom(ctx, answerMargin)
	card, err := gateway.Issue(calling, Registration{
		Key:     "gl_card_" + short(hash("card", scope.String(), s.ID, string(authKey))),
		AuthKey: string(authKey), CustomerKey: s.CustomerKey,
	})
	cancel()
	if err != nil {
		return s, err
	}
	next := s.Subscription
	if next.BillingKey, err = b.Sealer.Seal(ctx, []byte(card.BillingKey), sealedFor("billing-key", scope.Key(s.ID))); err != nil {
		return s, fmt.Errorf("billing: sealing: %w", err)
	}
	next.AuthKey, next.Card, next.Issuer = nil, card.Number, card.Issuer
	now := b.Clock.Now()
	next = next.wake(StepCharge, now.Add(handover), now)
	if err := b.commit(ctx, scope, s, next, nil); err != nil {
		return s, err
	}
	item, err := next.item(s.item, scope, b.Shards)
	item.Revision++
	return read{next, item}, err
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
		writes, err := c.Writes()
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

// release lets go of the customerKey of a subscription that never came to be, unless its
// customer goes by it elsewhere. A customerKey is kept by a card that was registered under
// it: a made-up authKey must not be enough to shut its owner out. Whoever of the customer
// signs up at the same time writes the same head, so one of the two is decided anew.
func (b *Biller) release(ctx context.Context, scope table.Scope, s read, c *customer.Customer) ([]table.Write, error) {
	var ids []string
	for _, o := range c.Sources() {
		if o.Kind == "subscription" && o.Provider == s.Gateway && o.Ref != s.ID {
			ids = append(ids, o.Ref)
		}
	}
	others, err := b.Held(ctx, scope, ids)
	if err != nil {
		return nil, err
	}
	for _, o := range others {
		if o.CustomerKey == s.CustomerKey && o.Refusal == "" {
			return nil, nil
		}
	}
	return c.Unbind(ctx, b.Tables, s.Gateway, s.CustomerKey)
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
	next.State, next.Refusal, next.AuthKey = StateCancelled, refusal, nil
	c.Set(next.source(""))
	c.Tell(b.refused(s, refusal))
	released, err := b.release(ctx, scope, s, c)
	if err != nil {
		return err
	}
	return b.commit(ctx, scope, s, next, c, released...)
}

// Get reads a subscription. It returns fault.NotFound if there is none.
func (b *Biller) Get(ctx context.Context, scope table.Scope, id string) (Subscription, error) {
	if !ValidID(id) {
		return Subscription{}, notFound()
	}
	s, err := b.get(ctx, scope, id)
	if errors.Is(err, fault.NotFound) {
		return Subscription{}, notFound()
	}
	return s.Subscription, err
}

// Held reads several subscriptions at once, in the order of their ids; those that are not
// there are left out.
func (b *Biller) Held(ctx context.Context, scope table.Scope, ids []string) ([]Subscription, error) {
	var held []Subscription
	for len(ids) > 0 {
		n := min(len(ids), 1000)
		keys := make([]table.Key, n)
		for i, id := range ids[:n] {
			keys[i] = key(scope, id)
		}
		ids = ids[n:]
		items, err := b.Tables.GetAll(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("billing: subscriptions: %w", err)
		}
		for _, item := range items {
			s, err := decodeSubscription(item)
			if err != nil {
				return nil, err
			}
			held = append(held, s)
		}
	}
	return held, nil
}

func notFound() error {
	return fault.New(fault.NotFound, "subscription_not_found", "There is no such subscription.")
}

// Charges lists every attempt of a subscription, oldest first. The orders are found by
// their ids, which follow from period and attempt, so that no list has to be kept.
func (b *Biller) Charges(ctx context.Context, scope table.Scope, s Subscription) ([]Charge, error) {
	var keys []table.Key
	for period := 0; period <= s.Period; period++ {
		for attempt := 1; attempt <= mostAttempts(s, period); attempt++ {
			keys = append(keys, orderKey(scope, OrderID(scope, s.ID, period, attempt)))
		}
	}
	var charges []Charge
	for len(keys) > 0 {
		n := min(len(keys), 1000)
		items, err := b.Tables.GetAll(ctx, keys[:n])
		if err != nil {
			return nil, fmt.Errorf("billing: orders: %w", err)
		}
		for _, item := range items {
			c, err := DecodeCharge(item)
			if err != nil {
				return nil, err
			}
			charges = append(charges, c)
		}
		keys = keys[n:]
	}
	return charges, nil
}

// mostAttempts that a period can have had.
func mostAttempts(s Subscription, period int) int {
	calendar, most := s.calendar(), 1
	for attempt := 2; ; attempt++ {
		if _, ok := calendar.Attempt(period, attempt); !ok {
			return most
		}
		most = attempt
	}
}
