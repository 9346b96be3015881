package billing_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

var noon = at("2026-03-10T12:00:00+09:00")

func (w *world) try(r billing.SignUp) (billing.Created, error) {
	w.Helper()
	return w.biller.Subscribe(w.Context(), scope, r)
}

func wantFault(t *testing.T, err, kind error, code string) {
	t.Helper()
	if !errors.Is(err, kind) || fault.Code(err) != code {
		t.Errorf("got error %v, want %v with code %s", err, kind, code)
	}
}

func TestASignUpIsPaidAndAnchoredAtItsInstant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	created, err := w.try(signUp("monthly"))
	if err != nil || created.Existed {
		t.Fatalf("Subscribe: got existed %v, %v, want a new subscription", created.Existed, err)
	}
	s := created.Subscription
	if s.State != billing.StateActive || !s.Anchor.Equal(noon) || s.Period != 1 || !s.PaidUntil.Equal(at("2026-04-10T12:00:00+09:00")) {
		t.Errorf("got %s anchored at %v, period %d, paid until %v; want active at noon, 1, until the 10th of April", s.State, s.Anchor, s.Period, s.PaidUntil)
	}
	if len(s.Opening) > 0 || s.Card != "1234****" {
		t.Errorf("got card %q and an authKey of %d bytes, want the masked card and no authKey", s.Card, len(s.Opening))
	}
	w.wantAccess(true)
	w.sound(s.ID)
}

func TestTheSameSignUpAgainGivesTheSameSubscription(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	first := w.subscribe(signUp("monthly"))
	again := signUp("monthly")
	again.Card.AuthKey = "another" // the app came back from the card form twice
	created, err := w.try(again)
	if err != nil || !created.Existed || created.Subscription.ID != first.ID || !created.Subscription.Anchor.Equal(first.Anchor) {
		t.Errorf("again: got %+v, %v, want the first one", created, err)
	}
	if w.gateway.issues != 1 || len(w.gateway.taken()) != 1 {
		t.Errorf("got %d issues and %d payments, want one of each", w.gateway.issues, len(w.gateway.taken()))
	}
	w.sound(first.ID)
}

func TestASignUpWithoutAnIDIsNamedAfterCustomerPlanAndAuthKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	r := signUp("monthly")
	r.ID = ""
	first := w.subscribe(r)
	if again, err := w.try(r); err != nil || again.Subscription.ID != first.ID || !again.Existed {
		t.Errorf("the same again: got %s, %v, want %s", again.Subscription.ID, err, first.ID)
	}
	for name, change := range map[string]func(*billing.SignUp){
		"plan": func(r *billing.SignUp) { r.Plan = "weekly" }, "authKey": func(r *billing.SignUp) { r.Card.AuthKey += "2" },
		"customer": func(r *billing.SignUp) { r.CustomerID, r.Card.CustomerKey = "person-2", "key-of-person-2" },
	} {
		other := r
		change(&other)
		if created, err := w.try(other); fault.Code(err) != "payment_method_refused" && created.Subscription.ID == first.ID {
			t.Errorf("another %s: got the same subscription, %v", name, err)
		}
	}
}

func TestAnotherBodyUnderAnIDIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	for name, change := range map[string]func(*billing.SignUp){
		"plan": func(r *billing.SignUp) { r.Plan = "weekly" }, "customerKey": func(r *billing.SignUp) { r.Card.CustomerKey = "other-key" },
		"customer": func(r *billing.SignUp) { r.CustomerID = "person-2"; r.Card.CustomerKey = "key-of-person-2" },
	} {
		r := signUp("monthly")
		change(&r)
		if _, err := w.try(r); fault.Code(err) != "subscription_exists" || !errors.Is(err, fault.Conflict) {
			t.Errorf("another %s: got %v, want a conflict", name, err)
		}
	}
	w.sound("sub-1")
}

func TestAnotherCustomersCustomerKeyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	r := signUp("monthly")
	r.ID, r.CustomerID, r.Card.AuthKey = "sub-2", "person-2", "other"
	_, err := w.try(r)
	wantFault(t, err, fault.Conflict, "customer_key_taken")
	if got := len(w.tables.Items(table.Subscriptions)); got != 1 {
		t.Errorf("subscriptions: got %d, want nothing written", got)
	}
	r.CustomerID = who // its own customerKey serves a customer as often as it likes
	if created, err := w.try(r); err != nil || created.Subscription.State != billing.StateActive {
		t.Errorf("a second subscription of the same customer: got %s, %v, want active", created.Subscription.State, err)
	}
}

func TestWhatCannotBeAskedWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	for name, change := range map[string]func(*billing.SignUp){
		"id of a route":        func(r *billing.SignUp) { r.ID = "cancel" },
		"id with a slash":      func(r *billing.SignUp) { r.ID = "a/b" },
		"id too long":          func(r *billing.SignUp) { r.ID = strings.Repeat("a", 65) },
		"no authKey":           func(r *billing.SignUp) { r.Card.AuthKey = "" },
		"authKey too long":     func(r *billing.SignUp) { r.Card.AuthKey = strings.Repeat("a", 301) },
		"customerKey too long": func(r *billing.SignUp) { r.Card.CustomerKey = strings.Repeat("a", 301) },
		"customerKey spaced":   func(r *billing.SignUp) { r.Card.CustomerKey = "a b" },
		"another gateway":      func(r *billing.SignUp) { r.Gateway = "dodo" },
		"no customer":          func(r *billing.SignUp) { r.CustomerID = "" },
		"customer with a NUL":  func(r *billing.SignUp) { r.CustomerID = "a\x00" },
		"unknown plan":         func(r *billing.SignUp) { r.Plan = "hourly" },
	} {
		r := signUp("monthly")
		change(&r)
		if _, err := w.try(r); !errors.Is(err, fault.Malformed) && !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want malformed or invalid", name, err)
		}
	}
	for _, name := range table.Names {
		if got := len(w.tables.Items(name)); got != 0 {
			t.Errorf("%s: got %d items, want nothing written", name, got)
		}
	}
	if w.gateway.issues != 0 {
		t.Errorf("the gateway was asked %d times, want none", w.gateway.issues)
	}
}

func TestARefusedCardLeavesNothingAndTheIDMayBeUsedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.issue = func(nth int) (bool, bool, bool) { return nth == 1, false, false }
	_, err := w.try(signUp("monthly"))
	wantFault(t, err, fault.Invalid, "payment_method_refused")
	if _, err := w.biller.Get(t.Context(), scope, "sub-1"); !errors.Is(err, fault.NotFound) {
		t.Errorf("the refused subscription: got %v, want not found", err)
	}
	c, err := w.biller.Customers.Named(t.Context(), scope, who)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Sources(); len(got) != 0 {
		t.Errorf("what the customer holds: got %+v, want nothing", got)
	}
	if got, want := w.kinds(), []event.Type{event.SubscriptionCreated, event.SubscriptionCancelled}; !slices.Equal(got, want) {
		t.Errorf("events: got %v, want %v", got, want)
	}
	again := signUp("weekly") // even for another plan
	again.Card.AuthKey = "secret-auth-key-2"
	if created, err := w.try(again); err != nil || created.Existed || created.Subscription.State != billing.StateActive {
		t.Errorf("the id again: got %+v, %v, want active and new", created, err)
	}
	w.sound("sub-1")
}

func TestACardRefusedToTheQueueEndsItAndTheIDMayBeUsedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.issue = func(nth int) (bool, bool, bool) { return nth == 2, nth == 1, false }
	if s := w.subscribe(signUp("monthly")); s.State != billing.StatePending {
		t.Errorf("unanswered: got %s, want pending", s.State)
	}
	w.until(noon.Add(time.Hour))
	s := w.subscription("sub-1")
	if s.State != billing.StateCancelled || s.Refusal != "payment_method_refused" || len(s.Opening) > 0 {
		t.Errorf("got %s with refusal %q, want cancelled as the card was refused, and no authKey", s.State, s.Refusal)
	}
	w.wantAccess(false)
	again := signUp("monthly")
	again.Card.AuthKey = "secret-auth-key-2"
	if created, err := w.try(again); err != nil || created.Subscription.State != billing.StateActive {
		t.Errorf("the id again: got %s, %v, want active", created.Subscription.State, err)
	}
	w.sound("sub-1")
}

func TestAnUnansweredRegistrationIsFinishedByTheQueueWithOneCard(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"request lost": false, "answer lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, noon)
			w.gateway.issue = func(nth int) (bool, bool, bool) { return false, nth < 3 && !lost, nth < 3 && lost }
			s := w.subscribe(signUp("monthly"))
			if s.State != billing.StatePending || len(s.Opening) == 0 || strings.Contains(string(s.Opening), secret) {
				t.Errorf("got %s with authKey %q, want pending with it sealed", s.State, s.Opening)
			}
			w.wantAccess(false)
			w.until(noon.Add(time.Hour))
			w.wantState(billing.StateActive)
			if len(w.gateway.cards) != 1 || len(w.gateway.taken()) != 1 {
				t.Errorf("got %d cards and %d payments, want one of each", len(w.gateway.cards), len(w.gateway.taken()))
			}
			if s := w.subscription("sub-1"); len(s.Opening) > 0 || !s.Anchor.Equal(noon) {
				t.Errorf("got anchor %v and an authKey of %d bytes, want noon and none", s.Anchor, len(s.Opening))
			}
			w.sound("sub-1")
		})
	}
}

func TestARegistrationThatNobodyAnswersIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.issue = func(int) (bool, bool, bool) { return false, true, false }
	w.subscribe(signUp("monthly"))
	w.until(noon.Add(days(2)))
	s := w.subscription("sub-1")
	if s.State != billing.StateCancelled || s.Refusal != "registration_unanswered" || len(s.Opening) > 0 {
		t.Errorf("after two days: got %s, %q, want cancelled, unanswered", s.State, s.Refusal)
	}
	if w.gateway.issues > 102 {
		t.Errorf("the gateway was asked %d times, want once a quarter of an hour for a day", w.gateway.issues)
	}
	w.sound("sub-1")
}

func TestARegistrationIsSettledSoonAfterTheGatewayIsBack(t *testing.T) {
	t.Parallel()
	for _, outage := range []time.Duration{34 * time.Minute, 5 * time.Hour, 20 * time.Hour} {
		w := newWorld(t, noon)
		w.gateway.issue = func(int) (bool, bool, bool) { return false, w.clock.Now().Before(noon.Add(outage)), false }
		w.subscribe(signUp("monthly"))
		w.until(noon.Add(outage + 20*time.Minute))
		if s := w.subscription("sub-1"); s.State != billing.StateActive {
			t.Errorf("20 minutes after an outage of %v: got %s, want active", outage, s.State)
		}
		w.sound("sub-1")
	}
}

func TestAFirstChargeWithoutAnAnswerIsPendingAndSettledWithinTheHour(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate  fate
		state billing.State
	}{
		"request lost":              {fate{drop: true}, billing.StateActive},
		"answer lost":               {fate{lose: true}, billing.StateActive},
		"paid minutes later":        {fate{late: 7 * time.Minute}, billing.StateActive},
		"error before any effect":   {fate{fail: true}, billing.StateActive},
		"error after the effect":    {fate{fail: true, effect: true}, billing.StateActive},
		"error of the unclear kind": {fate{odd: "PROVIDER_ERROR"}, billing.StatePastDue},
		"too many requests":         {fate{busy: true}, billing.StateActive},
		"the caller's time is up":   {fate{kill: true}, billing.StateActive},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, noon)
			w.gateway.fate = func(of call) fate {
				if of.nth == 1 {
					return c.fate
				}
				return fate{}
			}
			if s := w.subscribe(signUp("monthly")); s.State != billing.StatePending {
				t.Errorf("answer: got %s, want pending", s.State)
			}
			w.wantAccess(false)
			w.until(noon.Add(time.Hour))
			w.wantState(c.state)
			w.wantAccess(c.state == billing.StateActive)
			w.sound("sub-1")
		})
	}
}

func TestParallelEqualSignUpsMakeOneSubscriptionAndOneCharge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			created, err := w.biller.Subscribe(t.Context(), scope, signUp("monthly"))
			if err != nil || created.Subscription.ID != "sub-1" {
				t.Errorf("got %s, %v, want sub-1", created.Subscription.ID, err)
			}
		})
	}
	group.Wait()
	w.wantState(billing.StateActive)
	if got := len(w.gateway.sent()); got != 1 || w.gateway.issues != 1 {
		t.Errorf("got %d charges and %d issues, want one of each", got, w.gateway.issues)
	}
	w.sound("sub-1")
}

func TestASignUpOutOfTimeIsLeftToTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
	defer cancel()
	if _, err := w.biller.Subscribe(ctx, scope, signUp("monthly")); err != nil {
		t.Fatal(err)
	}
	w.wantState(billing.StateActive)

	w = newWorld(t, noon)
	w.gateway.issue = func(nth int) (bool, bool, bool) { cancel(); return false, false, nth == 1 }
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	created, err := w.biller.Subscribe(ctx, scope, signUp("monthly"))
	if err != nil || created.Subscription.State != billing.StatePending {
		t.Errorf("a request that ended: got %s, %v, want pending", created.Subscription.State, err)
	}
	w.until(noon.Add(time.Hour))
	w.wantState(billing.StateActive)
	w.sound("sub-1")
}

// The customer's other things are not touched by a sign-up that came to nothing.
func TestARefusedCardTakesNothingElseAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	w.gateway.issue = func(int) (bool, bool, bool) { return true, false, false }
	r := signUp("weekly")
	r.ID, r.Card.AuthKey = "sub-2", "other"
	_, err := w.try(r)
	wantFault(t, err, fault.Invalid, "payment_method_refused")
	c, err := customer.Read(t.Context(), w.tables, scope, w.subscription("sub-1").Customer)
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	for _, s := range c.Sources() {
		if s.State == entitlement.Active {
			refs = append(refs, s.Ref)
		}
	}
	if !slices.Equal(refs, []string{"sub-1"}) {
		t.Errorf("what gives access: got %v, want sub-1", refs)
	}
	w.sound("sub-1")
}

// A ciphertext that was moved from one record to another opens nothing there.
func TestASealedCardOpensForItsOwnSubscriptionAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	for _, id := range []string{"sub-1", "sub-2"} {
		r := signUp("monthly")
		r.ID, r.Card.AuthKey = id, secret+id
		w.subscribe(r)
	}
	var items [2]table.Item
	for n, id := range []string{"sub-1", "sub-2"} {
		var err error
		if items[n], err = w.tables.Get(t.Context(), table.Key{Table: table.Subscriptions, Partition: scope.Key(id)}); err != nil {
			t.Fatal(err)
		}
	}
	items[0].Sealed = items[1].Sealed
	if err := w.tables.Commit(t.Context(), table.Replaced(items[0])); err != nil {
		t.Fatal(err)
	}
	w.clock.set(due)
	if err := w.work("sub-1"); err == nil {
		t.Error("Work with another's card: got no error")
	}
	if got := len(w.gateway.sent()); got != 2 {
		t.Errorf("charges sent: got %d, want the two sign-ups' alone", got)
	}
}
