package billing_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// What a customer with a valid token would try, to have what was not paid for.

// cardFor is a request for another card, with a customerKey of the attacker's choice.
func (w *world) cardFor(subscription, authKey, customerKey string) error {
	return w.invoke(func(ctx context.Context) error {
		_, _, _, err := w.biller.ChangeMethod(ctx, scope, subscription, &billing.NewCard{AuthKey: authKey, CustomerKey: customerKey}, "")
		return err
	})
}

// takesBack cancels for the period's end and takes that back, as a script would. What it
// is answered does not matter to it.
func (w *world) takesBack(t *testing.T) {
	t.Helper()
	for _, ask := range []func(ctx context.Context) error{
		func(ctx context.Context) error { _, err := w.biller.Resume(ctx, scope, "sub-1"); return err },
		func(ctx context.Context) error {
			_, err := w.biller.Cancel(ctx, scope, "sub-1", false)
			return err
		},
	} {
		if err := w.invoke(ask); err != nil && !errors.Is(err, fault.Conflict) {
			t.Fatalf("cancel or resume at %v: got %v, want success or a conflict", w.clock.Now(), err)
		}
	}
}

func TestCancellingAndResumingOverAndOverPutsNoChargeOff(t *testing.T) {
	t.Parallel()
	for _, plan := range []string{"monthly", "strict"} {
		w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
		w.subscribe(signUp(plan))
		due := at(first)
		w.until(due.Add(-5 * time.Minute))
		for w.clock.Now().Before(due.Add(time.Hour)) {
			minute := w.clock.Now()
			if _, err := w.fanout.Tick(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, m := range w.queue.drain() { // each once, which is all that the attacker needs
				if err := w.work(m.Subscription); err != nil {
					t.Fatal(err)
				}
			}
			w.clock.set(minute.Add(30 * time.Second))
			w.takesBack(t)
			w.clock.set(minute.Add(time.Minute))
		}
		if paid := len(w.gateway.taken()); w.allowed() && paid != 2 {
			t.Errorf("%s, an hour after the paid period: got access with %d payments, want it paid for or gone", plan, paid)
		}
	}
}

func TestANewCardGivesNoAccessBeforeMoneyWhereADeclineHadTakenIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.fate = declining(map[string]string{"1.1": "A", "1.2": "B", "1.3": "C", "1.4": "D"})
	w.subscribe(signUp("strict"))
	w.until(at(first).Add(10 * time.Minute))
	w.wantState(billing.StatePastDue)
	w.wantAccess(false)
	for n := range 3 {
		if err := w.cardFor("sub-1", fmt.Sprintf("card-%d", n), "key-of-person-1"); err != nil {
			t.Fatalf("another card: got %v, want it taken", err)
		}
		for range 10 {
			w.wantAccess(false)
			w.until(w.clock.Now().Add(10 * time.Minute))
		}
	}
	if got := len(w.gateway.sent()); got > 5 {
		t.Errorf("attempts: got %d, want one for period 0 and at most four for period 1", got)
	}
	w.until(at(first).Add(days(29)))
	w.wantAccess(false)
}

func TestANewCardThatIsChargedGivesTheAccessBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.fate = declining(map[string]string{"1.1": "A"})
	w.subscribe(signUp("strict"))
	w.until(at(first).Add(10 * time.Minute))
	w.wantAccess(false)
	if err := w.cardFor("sub-1", "card-2", "key-of-person-1"); err != nil {
		t.Fatalf("another card: got %v, want it taken", err)
	}
	w.until(w.clock.Now().Add(10 * time.Minute))
	w.wantState(billing.StateActive)
	w.wantAccess(true)
}

// Whoever has one subscription could otherwise shut everybody else out, a made-up authKey
// at a time.
func TestARefusedNewCardKeepsNobodysCustomerKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.subscribe(signUp("monthly"))
	w.gateway.issue = func(nth int) (refused, dropped, lost bool) { return nth == 2, false, false }
	if err := w.cardFor("sub-1", "made-up", "key-of-victim"); !errors.Is(err, fault.Invalid) {
		t.Fatalf("a made-up authKey: got %v, want it refused", err)
	}
	victim := signUp("monthly")
	victim.ID, victim.CustomerID, victim.Card = "sub-2", "victim", &billing.NewCard{AuthKey: "genuine", CustomerKey: "key-of-victim"}
	if s := w.subscribe(victim); s.State != billing.StateActive {
		t.Errorf("the victim's sign-up: got %s, want active", s.State)
	}
	if err := w.cardFor("sub-2", "genuine-2", "key-of-person-1"); fault.Code(err) != "customer_key_taken" {
		t.Errorf("a customerKey that is in use: got %v, want customer_key_taken", err)
	}
}

func TestARefusedNewCardKeepsItsCustomersOwnKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.subscribe(signUp("monthly"))
	w.gateway.issue = func(nth int) (refused, dropped, lost bool) { return nth == 2, false, false }
	if err := w.cardFor("sub-1", "made-up", "key-of-person-1"); !errors.Is(err, fault.Invalid) {
		t.Fatalf("a made-up authKey: got %v, want it refused", err)
	}
	other := signUp("monthly")
	other.ID, other.CustomerID, other.Card = "sub-2", "thief", &billing.NewCard{AuthKey: "genuine", CustomerKey: "key-of-person-1"}
	if _, err := w.biller.Subscribe(t.Context(), scope, other); fault.Code(err) != "customer_key_taken" {
		t.Errorf("a customerKey that is in use: got %v, want customer_key_taken", err)
	}
}

// The references of what we give back of ourselves follow from order and payment: whoever
// could use one first would keep a second payment from being given back.
func TestACallersRefundCannotHaveAReferenceOfOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.subscribe(signUp("monthly"))
	_, _, err := w.biller.Refund(t.Context(), scope, billing.RefundAsk{
		OrderID: billing.OrderID(scope, "sub-1", 0, 1), Amount: 100, Reason: "asked", Reference: "gl_anything",
	})
	if !errors.Is(err, fault.Malformed) {
		t.Errorf("reference gl_anything: got %v, want it refused as malformed", err)
	}
}

// A page of the shop's at Dodo Payments lets whoever buys there write metadata, so that a
// payment for something else can carry an order's id. Giving it back would be a free
// purchase.
func TestAPaymentOfAnotherMandateUnderAForgottenOrderIsNotGivenBack(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	if _, err := w.biller.Cancel(t.Context(), scope, "sub-1", true); err != nil {
		t.Fatal(err)
	}
	w.until(w.clock.Now().Add(days(4)))
	order := billing.OrderID(scope, "sub-1", 0, 1)
	w.dodo.mu.Lock()
	forged := w.dodo.pay(&mandate{id: "sub_of_another_product"}, order, 49900, 0)
	forged.told = true // it has no effect on a mandate of ours
	w.dodo.mu.Unlock()
	w.until(w.clock.Now().Add(time.Hour))
	if _, err := w.biller.LookAgain(t.Context(), scope, billing.Hint{Order: order, Payment: forged.key}); err != nil {
		t.Fatalf("LookAgain: got %v, want it looked at", err)
	}
	w.until(w.clock.Now().Add(days(2)))
	if got := w.dodo.returned(forged.key); got != 0 {
		t.Errorf("given back of a payment for something else: got %d, want 0", got)
	}
	if got := w.logs.String(); !strings.Contains(got, "alarm=true") || !strings.Contains(got, "not of its mandate") {
		t.Error("log: got no alarm, want one that says that the payment is not of its mandate")
	}
}

// Each page costs of the pace at which everybody is charged: one customer with a script
// must not be able to use it up.
func TestOneCustomerCannotHavePagesWithoutEnd(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	invited := func(n int) error {
		r := invitation("usd", false)
		r.ID = fmt.Sprintf("sub-%d", n)
		_, err := w.ask(r)
		return err
	}
	for n := range 20 {
		if err := invited(n); err != nil {
			t.Fatalf("sign-up %d: got %v, want a page", n, err)
		}
	}
	if err := invited(20); fault.Code(err) != "too_many_sign_ups" {
		t.Errorf("one more: got %v, want too_many_sign_ups", err)
	}
	if err := invited(19); err != nil {
		t.Errorf("one that is there asked for again: got %v, want its page", err)
	}
	if _, err := w.biller.Cancel(t.Context(), scope, "sub-3", true); err != nil {
		t.Fatal(err)
	}
	if err := invited(20); err != nil {
		t.Errorf("after one was cancelled: got %v, want a page", err)
	}
}

func TestAPageThatWasJustMadeIsGivenAgain(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	var links []string
	for range 30 {
		_, link, _, err := w.biller.ChangeMethod(t.Context(), scope, "sub-1", nil, "")
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, link)
	}
	if asked := w.dodo.count("mend"); asked != 1 || links[0] == "" || links[29] != links[0] {
		t.Errorf("30 asked within a minute: got %d pages, the last %q, want one, %q", asked, links[29], links[0])
	}
	w.clock.set(w.clock.Now().Add(time.Minute))
	if _, _, _, err := w.biller.ChangeMethod(t.Context(), scope, "sub-1", nil, ""); err != nil || w.dodo.count("mend") != 2 {
		t.Errorf("a minute later: got %v and %d pages, want another", err, w.dodo.count("mend"))
	}
}

// A plan without grace ends access with the decline, whatever the gateway calls it.
func TestADeclineWithoutACodeEndsTheAccessOfAPlanWithoutGrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.subscribe(signUp("strict"))
	w.gateway.lookup = true
	w.gateway.fate = func(c call) fate {
		w.gateway.declined[c.order] = billing.Outcome{Result: billing.Refused, Class: billing.Soft}
		return fate{drop: true}
	}
	w.until(at(first).Add(time.Hour))
	w.wantState(billing.StatePastDue)
	w.wantAccess(false)
}

// A mandate is the customer's to keep: on hold it is no outage of the gateway's.
func TestAMandateOnHoldGivesNoGraceThatThePlanDoesNot(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd-strict")
	w.dodo.post = silent
	w.dodo.set(func(m *mandate) { m.state = billing.MandateOnHold })
	for _, after := range []time.Duration{time.Hour, days(5), days(12)} {
		w.until(renews.Add(after))
		w.wantState(billing.StatePastDue)
		w.wantAccess(false)
	}
	w.dodo.mended("pm_2")
	w.until(renews.Add(days(18)))
	w.wantState(billing.StateActive)
	w.wantAccess(true)
}
