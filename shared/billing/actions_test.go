package billing_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/money"
)

// What a customer or the company may ask for, as one invocation each.

func (w *world) cancel(atOnce bool) (s billing.Subscription, err error) {
	err = w.invoke(func(ctx context.Context) (err error) {
		s, err = w.biller.Cancel(ctx, scope, "sub-1", atOnce)
		return err
	})
	return s, err
}

func (w *world) resume() (s billing.Subscription, err error) {
	err = w.invoke(func(ctx context.Context) (err error) {
		s, err = w.biller.Resume(ctx, scope, "sub-1")
		return err
	})
	return s, err
}

func (w *world) plan(id string) (s billing.Subscription, err error) {
	err = w.invoke(func(ctx context.Context) (err error) {
		s, err = w.biller.ChangePlan(ctx, scope, "sub-1", id)
		return err
	})
	return s, err
}

func (w *world) recard(authKey string) (s billing.Subscription, waiting bool, err error) {
	err = w.invoke(func(ctx context.Context) (err error) {
		card := &billing.NewCard{AuthKey: secret + authKey, CustomerKey: "key-of-person-1"}
		s, _, waiting, err = w.biller.ChangeMethod(ctx, scope, "sub-1", card, "")
		return err
	})
	return s, waiting, err
}

func krw(units int64) money.Amount { return money.Of(units, "KRW") }

func (w *world) demand(order string, units int64) (c billing.Charge, err error) {
	err = w.invoke(func(ctx context.Context) (err error) {
		c, err = w.biller.Demand(ctx, scope, "sub-1", billing.Demand{OrderID: order, Amount: krw(units), Description: "usage"})
		return err
	})
	return c, err
}

func (w *world) refund(order, reference string, units int64) (c billing.Charge, r billing.Refund, err error) {
	err = w.invoke(func(ctx context.Context) (err error) {
		c, r, err = w.biller.Refund(ctx, scope, billing.RefundAsk{OrderID: order, Amount: units, Reason: "asked", Reference: reference})
		return err
	})
	return c, r, err
}

// must is for what has to be answered.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got %v, want no error", err)
	}
}

// met runs first once for each place where something else may come in between: before each
// of its operations on the tables, before each call to the gateway, and after all. check
// looks at the end of each.
func met(t *testing.T, set func() *world, first, second func(*world), check func(w *world)) {
	t.Helper()
	for nth := 1; ; nth++ {
		w := set()
		n, inside := 0, false
		point := func() {
			if inside {
				return
			}
			if n++; n == nth {
				inside = true
				second(w)
				inside = false
			}
		}
		w.tables.Fail = func(memory.Op) (bool, error) {
			point()
			return true, nil
		}
		w.gateway.before = point
		first(w)
		last := n < nth
		w.tables.Fail, w.gateway.before = nil, nil
		if last {
			second(w)
		}
		if check(w); t.Failed() {
			t.Fatalf("with the other at point %d of %d", nth, n)
		}
		if last {
			return
		}
	}
}

// broke runs act once for each of its operations on the tables and calls to the gateway
// with that one failing, done or not, or the invocation killed after it.
func broke(t *testing.T, set func() *world, act, check func(w *world)) {
	t.Helper()
	for _, how := range []string{"not done", "done", "killed"} {
		for nth := 1; ; nth++ {
			w := set()
			n := 0
			w.tables.Fail = func(memory.Op) (bool, error) {
				if n++; n != nth {
					return true, nil
				}
				if how == "killed" {
					w.gateway.mu.Lock()
					defer w.gateway.mu.Unlock()
					w.gateway.kill()
				}
				return how != "not done", broken()
			}
			act(w)
			w.tables.Fail = nil
			if check(w); t.Failed() {
				t.Fatalf("with operation %d of %d %s", nth, n, how)
			}
			if n < nth {
				break
			}
		}
	}
}

// scripted lets the attempts of sub-1, written "period.attempt", meet these fates.
func scripted(fates map[string]fate) func(call) fate {
	return func(c call) fate {
		period, attempt := attemptOf("sub-1", c.order)
		return fates[fmt.Sprintf("%d.%d", period, attempt)]
	}
}

// has counts the events of a kind.
func (w *world) has(kind event.Type) int {
	w.Helper()
	n := 0
	for _, k := range w.kinds() {
		if k == kind {
			n++
		}
	}
	return n
}

func (w *world) wantHas(kind event.Type, want int) {
	w.Helper()
	if got := w.has(kind); got != want {
		w.Errorf("%s: told %d times, want %d: %v", kind, got, want, w.kinds())
	}
}

// holds is how the customer holds an entitlement, by sub-1.
func (w *world) holds() entitlement.Source {
	w.Helper()
	c, err := w.biller.Customers.Named(w.Context(), scope, who)
	if err != nil {
		w.Fatal(err)
	}
	at := slices.IndexFunc(c.Sources(), func(e entitlement.Source) bool { return e.Ref == "sub-1" })
	if at < 0 {
		w.Fatal("the head has no source for sub-1")
	}
	return c.Sources()[at]
}

// kept is the money taken for periods after an instant and not given back.
func (w *world) kept(after time.Time) int64 {
	w.gateway.mu.Lock()
	defer w.gateway.mu.Unlock()
	var kept int64
	for _, m := range w.gateway.effects {
		if m.at.After(after) && strings.HasPrefix(m.order, "gl_") {
			kept += m.amount - w.gateway.returnedOf["pay_"+m.order]
		}
	}
	return kept
}

// sentWith lists the billing key of each charge sent.
func (w *world) sentWith() []string {
	var cards []string
	for _, c := range w.gateway.sent() {
		cards = append(cards, strings.TrimPrefix(c.card, "secret-billing-key-"))
	}
	return cards
}
