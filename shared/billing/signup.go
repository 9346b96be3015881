package billing

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// SignUp asks for a subscription: one that is charged to a card which the customer has just
// registered with the gateway, or to a mandate which the customer is to approve there.
type SignUp struct {
	ID         string // the caller's, "" to derive one
	CustomerID string // the company's
	Plan       string
	Gateway    string
	Card       *NewCard    // where customers register cards
	Mandate    *NewMandate // where they approve mandates
}

// NewCard is what a customer brings back from a gateway's card form.
type NewCard struct {
	AuthKey     string // secret, works once
	CustomerKey string // the gateway's name for the customer, chosen by the app
}

// NewMandate is what a gateway has to know for its page.
type NewMandate struct {
	Payer     Payer
	Address   Address
	ReturnURL string
	// Only approves, and takes no money; else the approval pays for the first period.
	Only bool
}

// Created is the answer to a SignUp.
type Created struct {
	Subscription Subscription
	Link         string // the page on which the customer approves the mandate, while that is open
	Existed      bool   // the same was asked before
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

func malformed(field, should string) error {
	return fault.New(fault.Malformed, "invalid_request", "%s should be %s.", field, should)
}

func (r SignUp) validate() error {
	switch {
	case r.ID != "" && !ValidID(r.ID):
		return malformed("id", "1 to 64 letters, digits, - or _, and no route's name")
	case r.Card != nil && r.Mandate == nil:
		return r.Card.validate()
	case r.Mandate != nil && r.Card == nil:
		if r.ID == "" {
			return malformed("id", "given: without one, asking again would make another mandate")
		}
		return r.Mandate.validate()
	}
	return malformed(r.Gateway, "what the gateway of the plan needs, and nothing else")
}

func (c NewCard) validate() error {
	switch {
	case len(c.AuthKey) < 1 || len(c.AuthKey) > 300:
		return malformed("toss.authKey", "1 to 300 characters")
	case !customerKeys.MatchString(c.CustomerKey):
		return malformed("toss.customerKey", "2 to 300 letters, digits or any of - _ = . @")
	}
	return nil
}

var (
	countries  = regexp.MustCompile(`^[A-Z]{2}$`)
	returnURLs = regexp.MustCompile(`^https?://[!-~]+$`)
)

func (m NewMandate) validate() error {
	for field, text := range map[string]string{
		"dodo.customer.customer_id": m.Payer.ID, "dodo.customer.email": m.Payer.Email, "dodo.customer.name": m.Payer.Name,
		"dodo.customer.phone_number": m.Payer.Phone, "dodo.billing.city": m.Address.City, "dodo.billing.state": m.Address.State,
		"dodo.billing.street": m.Address.Street, "dodo.billing.zipcode": m.Address.Zip,
	} {
		if !plainText(text, 200) {
			return malformed(field, "at most 200 printable characters")
		}
	}
	at := strings.LastIndexByte(m.Payer.Email, '@')
	switch {
	case m.Payer.Email != "" && (at < 1 || at == len(m.Payer.Email)-1 || strings.ContainsAny(m.Payer.Email, " ,;<>")):
		return malformed("dodo.customer.email", "one address")
	case !countries.MatchString(m.Address.Country):
		return malformed("dodo.billing.country", "two capital letters (ISO 3166-1)")
	case !validReturn(m.ReturnURL):
		return malformed("dodo.returnUrl", "an http or https address of at most 500 characters")
	}
	return nil
}

// of fills in what the customer's profile knows of the payer: the gateway asks new ones for an
// address and a name.
func (m NewMandate) of(p customer.Profile) Payer {
	payer := m.Payer
	if payer.ID != "" {
		return payer
	}
	payer.Email = cmp.Or(payer.Email, p.Email)
	payer.Name = cmp.Or(payer.Name, p.Name, payer.Email)
	return payer
}

func validReturn(url string) bool {
	return len(url) <= 500 && returnURLs.MatchString(url)
}

func plainText(s string, most int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
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

// Subscribe creates the subscription and, as far as ctx's time allows, either registers the
// card and makes the first charge, the rest of which is done by the queue while it is
// pending, or has the gateway make the page on which the customer approves the mandate. The
// same request again gives the same subscription. Errors: fault.Malformed and fault.Invalid
// before anything is written; fault.Invalid when the gateway refused, with code
// payment_method_refused if it was the card, after which nothing is left and the id may be
// used again; fault.Conflict for another request's id or another customer's customerKey;
// fault.Unavailable when no page was to be had: ask again.
func (b *Biller) Subscribe(ctx context.Context, scope table.Scope, r SignUp) (Created, error) {
	if err := r.validate(); err != nil {
		return Created{}, err
	}
	plan, ok := b.Catalog.Plan(r.Plan)
	if !ok || plan.Gateway != r.Gateway {
		return Created{}, fault.New(fault.Invalid, "unknown_plan", "There is no plan %q at gateway %s.", r.Plan, r.Gateway)
	}
	gateway, err := b.gateway(scope, r.Gateway)
	if err != nil {
		return Created{}, err
	}
	mandates, isMandates := gateway.(Mandates)
	if isMandates != (r.Mandate != nil) {
		return Created{}, malformed(r.Gateway, "what the gateway of the plan needs, and nothing else")
	}
	var s read
	var existed bool
	err = b.again(ctx, func() error {
		var err error
		s, existed, err = b.create(ctx, scope, r, termsOf(plan))
		return err
	})
	if err != nil {
		return Created{}, err
	}
	if isMandates {
		return b.invite(ctx, scope, mandates, s, existed, *r.Mandate)
	}
	if existed {
		return Created{Subscription: s.Subscription, Existed: true}, nil
	}
	// From here on the subscription stands, and whatever fails is for the queue to finish.
	if s, err = b.register(ctx, scope, s); err != nil {
		if errors.Is(err, fault.Invalid) {
			return Created{}, b.withdraw(ctx, scope, s, err)
		}
		b.Log.WarnContext(ctx, "registration left to the queue", "subscription", s.ID, "error", err)
		return Created{Subscription: s.Subscription}, nil
	}
	if !s.Terms.OnDemand && clock.Room(ctx, 2*answerMargin) {
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

// request is what was asked for, as far as asking again has to be the same.
func (r SignUp) request(ref string) string {
	parts := []string{"request", ref, r.Plan, r.Gateway}
	if r.Card != nil {
		return short(hash(append(parts, r.Card.CustomerKey)...))
	}
	return short(hash(append(parts, r.ID, fmt.Sprintf("%+v", *r.Mandate))...))
}

// create inserts the subscription, or finds it.
func (b *Biller) create(ctx context.Context, scope table.Scope, r SignUp, terms Terms) (read, bool, error) {
	c, err := b.Customers.Named(ctx, scope, r.CustomerID)
	if err != nil {
		return read{}, false, err
	}
	if r.ID == "" {
		if r.ID, err = b.derived(ctx, scope, r, c); err != nil {
			return read{}, false, err
		}
	}
	request := r.request(c.Ref)
	was, err := b.get(ctx, scope, r.ID)
	switch {
	case errors.Is(err, fault.NotFound):
		was = read{}
	case err != nil:
		return read{}, false, err
	case !c.Is(was.Customer):
		return read{}, false, fault.New(fault.Conflict, "subscription_exists", "Another subscription has this id.")
	case was.Refusal != "": // it never came to be
		if err := b.unused(ctx, scope, was.Subscription); err != nil {
			return read{}, false, err
		}
	case was.Request != request && was.Request != r.request(was.Customer): // of before it was merged
		return read{}, false, fault.New(fault.Conflict, "subscription_exists", "A subscription with this id was asked for with another body.")
	default:
		return was, true, nil
	}
	now := b.Clock.Now()
	s := Subscription{
		ID: r.ID, Customer: c.Ref, Gateway: r.Gateway, Plan: r.Plan, Terms: terms, Request: request, State: StatePending,
		Anchor: now, Attempt: 1,
	}
	if r.Card != nil {
		if s, err = b.withCard(ctx, scope, s, c, *r.Card); err != nil {
			return read{}, false, err
		}
	} else {
		if payer := r.Mandate.of(c.Profile); payer.ID == "" && payer.Email == "" {
			return read{}, false, fault.New(fault.Invalid, "payer_unknown", "dodo.customer.email should be given, where there is neither a customer_id nor an address in the profile.")
		}
		if err := b.mayInvite(ctx, scope, r.Gateway, c); err != nil {
			return read{}, false, err
		}
		s.ReturnURL, s.FirstCharge = r.Mandate.ReturnURL, !r.Mandate.Only && !terms.OnDemand
		s.Inviting = now.Add(b.Lease)
		s = s.wake(StepAwait, now.Add(handover), now)
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

// derived is the id of a sign-up that came without one. Asked for again after its customer was
// merged into another, it is the one of before.
func (b *Biller) derived(ctx context.Context, scope table.Scope, r SignUp, c *customer.Customer) (string, error) {
	of := func(ref string) string { return "sub_" + short(hash("subscription", ref, r.Plan, r.Card.AuthKey)) }
	var ids []string
	for _, ref := range c.Merged() {
		ids = append(ids, of(ref))
	}
	held, err := b.Held(ctx, scope, ids)
	if err != nil || len(held) == 0 {
		return of(c.Ref), err
	}
	return held[0].ID, nil
}

// unused refuses the id of a sign-up that came to nothing, though its page took money: that
// order is remembered, and its money given back.
func (b *Biller) unused(ctx context.Context, scope table.Scope, was Subscription) error {
	if !was.FirstCharge {
		return nil
	}
	c, err := b.order(ctx, scope, OrderID(scope, was.ID, 0, 1))
	if errors.Is(err, fault.NotFound) || err == nil && c.State == Void && len(c.Refunds) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return fault.New(fault.Conflict, "subscription_exists", "Money was taken under this id, and is given back; use another one.")
}

// mostOpenPages is how many sign-ups of one customer may wait for approval at once. Each is
// looked at again for two weeks, at the pace at which everybody is charged.
const mostOpenPages = 20

// mayInvite says whether a customer may have another page to approve a mandate on.
func (b *Biller) mayInvite(ctx context.Context, scope table.Scope, gateway string, c *customer.Customer) error {
	var ids []string
	for _, o := range c.Sources() {
		if o.Kind == entitlement.KindSubscription && o.Provider == gateway && o.State == entitlement.OnHold {
			ids = append(ids, o.Ref)
		}
	}
	if len(ids) < mostOpenPages {
		return nil
	}
	held, err := b.Held(ctx, scope, ids)
	if err != nil {
		return err
	}
	open := 0
	for _, s := range held {
		if s.State == StatePending {
			open++
		}
	}
	if open >= mostOpenPages {
		return fault.New(fault.Conflict, "too_many_sign_ups", "%d sign-ups of this customer wait for approval; one of them has to be finished or cancelled.", open)
	}
	return nil
}

// withCard is the new subscription with what its card is to be made of.
func (b *Biller) withCard(ctx context.Context, scope table.Scope, s Subscription, c *customer.Customer, card NewCard) (Subscription, error) {
	if err := b.bind(ctx, scope, s.Gateway, card.CustomerKey, c); err != nil {
		return s, err
	}
	now := b.Clock.Now()
	s.CustomerKey, s.Proofs = card.CustomerKey, []string{proofOf(scope, s.ID, card.AuthKey)}
	if !s.Terms.OnDemand {
		s.NextDueAt = s.dueOf(0)
	}
	s = s.wake(StepRegister, now.Add(handover), now)
	var err error
	if s.Opening, err = b.Sealer.Seal(ctx, []byte(card.AuthKey), sealedFor("auth-key", scope.Key(s.ID))); err != nil {
		return s, fmt.Errorf("billing: sealing: %w", err)
	}
	return s, nil
}

// bind makes a customerKey its customer's own; a customerKey belongs to its first customer.
func (b *Biller) bind(ctx context.Context, scope table.Scope, gateway, customerKey string, c *customer.Customer) error {
	owner, err := customer.Bound(ctx, b.Tables, scope, gateway, customerKey)
	if err != nil {
		return err
	}
	if owner != "" && !c.Is(owner) {
		return fault.New(fault.Conflict, "customer_key_taken", "This customerKey belongs to another customer.")
	}
	if owner == "" {
		c.Bind(gateway, customerKey)
	}
	return nil
}
