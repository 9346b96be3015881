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
	"grantline/shared/catalog"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// dollars are the sample plans of the gateway with mandates, and some that differ.
const dollars = `{"products":[],"plans":[
	{"id":"usd","gateway":"dodo","product":"prod_usd","entitlement":"premium","name":"U","price":{"units":999,"currency":"USD"},"cycle":"1 months","grace":true,"after_last_attempt":"unpaid"},
	{"id":"usd-weekly","gateway":"dodo","product":"prod_usd","entitlement":"premium","name":"W","price":{"units":299,"currency":"USD"},"cycle":"1 weeks","grace":true,"after_last_attempt":"unpaid"},
	{"id":"usd-strict","gateway":"dodo","product":"prod_usd","entitlement":"premium","name":"S","price":{"units":999,"currency":"USD"},"cycle":"1 months","after_last_attempt":"cancelled"},
	{"id":"usage","gateway":"dodo","product":"prod_usage","on_demand":true,"name":"Usage","after_last_attempt":"unpaid"}]}`

var soldInDollars = sync.OnceValues(func() (*catalog.Catalog, error) { return catalog.Parse([]byte(dollars)) })

var dollarAccount = billing.GatewayName{Scope: scope, Gateway: "dodo"}

// abroad is a world whose gateway has mandates.
type abroad struct {
	*world
	dodo *dodo
	// compares says that each day's books are compared.
	compares bool
	compared time.Time
}

func newAbroad(t testing.TB, start time.Time) *abroad {
	t.Helper()
	c, err := soldInDollars()
	if err != nil {
		t.Fatal(err)
	}
	w := &abroad{world: newWorld(t, start)}
	w.dodo = newDodo(w.clock)
	w.dodo.kill = func() {
		w.gateway.mu.Lock()
		defer w.gateway.mu.Unlock()
		w.gateway.kill()
	}
	w.biller.Catalog, w.biller.Gateways = c, billing.Gateways{dollarAccount: w.dodo}
	w.fanout.Lines = []billing.Line{
		{GatewayName: dollarAccount, Queue: w.queue, PerMinute: 80},
		{GatewayName: dollarAccount, Lane: "dodo-retries", Queue: w.queue, PerMinute: 20},
		{GatewayName: billing.GatewayName{Scope: scope, Gateway: billing.LaneDeliver}, Queue: w.tellings, PerMinute: 600},
	}
	return w
}

func invitation(plan string, only bool) billing.SignUp {
	return billing.SignUp{ID: "sub-1", CustomerID: who, Plan: plan, Gateway: "dodo", Mandate: &billing.NewMandate{
		Payer: billing.Payer{Email: "person@example.com", Name: "Person"}, Address: billing.Address{Country: "US", City: "SF"},
		ReturnURL: "https://app.example/back", Only: only,
	}}
}

func (w *abroad) ask(r billing.SignUp) (created billing.Created, err error) {
	err = w.invoke(func(ctx context.Context) error {
		created, err = w.biller.Subscribe(ctx, scope, r)
		return err
	})
	return created, err
}

// asked asks as an app does, which must be given a page.
func (w *abroad) asked(r billing.SignUp) billing.Created {
	w.Helper()
	created, err := w.ask(r)
	if err != nil || created.Link == "" {
		w.Fatalf("Subscribe: got %+v, %v, want a page", created.Subscription.State, err)
	}
	return created
}

// subscribed has signed up and approved within a minute, and paid for period 0.
func subscribed(t testing.TB, plan string) *abroad {
	t.Helper()
	w := newAbroad(t, noon)
	w.asked(invitation(plan, false))
	w.until(noon.Add(time.Minute))
	w.dodo.approve()
	w.until(noon.Add(time.Hour))
	w.wantState(billing.StateActive)
	return w
}

// until lets time pass as that of world does, and lets the gateway's notices come in at
// their instants.
func (w *abroad) until(end time.Time) {
	w.Helper()
	for w.clock.Now().Before(end) {
		w.postman()
		w.accountant()
		var report billing.Report
		began, meanwhile := w.clock.Now(), w.meanwhile
		err := w.invoke(func(ctx context.Context) (err error) {
			report, err = w.fanout.Tick(ctx)
			return err
		})
		next := w.clock.Now().Truncate(time.Minute).Add(time.Minute)
		if w.deliver() && err == nil && report.IdleUntil != nil && w.meanwhile == meanwhile {
			next = report.IdleUntil.Add(time.Minute - time.Nanosecond).Truncate(time.Minute)
			if !next.After(began) {
				w.Fatalf("IdleUntil: got %v at %v, want an instant to come", report.IdleUntil, began)
			}
		}
		for _, at := range []time.Time{end, w.dodo.nextAt(), w.compared} {
			if !at.IsZero() && at.After(w.clock.Now()) && at.Before(next) {
				next = at
			}
		}
		if next.After(w.clock.Now()) {
			w.clock.set(next)
		}
	}
	w.postman()
}

// postman delivers the notices that are due; one that fails comes again.
func (w *abroad) postman() {
	for _, l := range w.dodo.due() {
		err := w.invoke(func(ctx context.Context) error {
			_, err := w.biller.LookAgain(ctx, scope, l.hint)
			return err
		})
		if l.tries++; err == nil {
			continue
		}
		if l.tries == 8 {
			if w.tables.Fail == nil {
				w.Errorf("a notice about %+v ends with the dead letters: %v", l.hint, err)
			}
			continue
		}
		l.at = w.clock.Now().Add(6 * time.Minute)
		w.dodo.mu.Lock()
		w.dodo.mail = append(w.dodo.mail, l)
		w.dodo.mu.Unlock()
	}
}

// accountant compares the day's books, once it is time.
func (w *abroad) accountant() {
	if !w.compares || w.clock.Now().Before(w.compared) {
		return
	}
	err := w.invoke(func(ctx context.Context) (err error) {
		w.compared, err = w.biller.Compare(ctx, dollarAccount)
		return err
	})
	if err != nil || !w.compared.After(w.clock.Now()) {
		w.compared = w.clock.Now().Add(10 * time.Minute)
	}
}

// sound checks everything that must hold whatever went wrong, once all is quiet.
func (w *abroad) sound() {
	w.Helper()
	s := w.subscription("sub-1")
	paid := map[string]string{}
	for _, c := range w.orders() {
		if c.State == billing.Sending || c.State == billing.Unknown {
			w.Errorf("order %s of period %d attempt %d: got %s at the end, want it settled", c.ID, c.Period, c.Attempt, c.State)
		}
		if len(c.Sealed) > 0 {
			w.Errorf("order of period %d attempt %d is %s and keeps its sealed body, want it dropped", c.Period, c.Attempt, c.State)
		}
		for _, r := range c.Refunds {
			if r.State != billing.RefundDone && r.State != billing.RefundRefused {
				w.Errorf("refund %s of period %d: got %s at the end, want it settled", r.Reference, c.Period, r.State)
			}
		}
		if c.State == billing.Paid && c.Refunded < c.Amount {
			paid[c.ID] = c.Payment.Key
		}
	}
	periods := map[int]int{}
	for _, t := range w.dodo.kept() {
		if is, ok := attempts()[t.order]; ok {
			if periods[is[0]]++; periods[is[0]] > 1 {
				w.Errorf("money for period %d: %d payments are kept, want 1 at most", is[0], periods[is[0]])
			}
		}
		if paid[t.order] != t.key {
			w.Errorf("payment %s of order %s is kept, and the order has %q paid", t.key, t.order, paid[t.order])
		}
		delete(paid, t.order)
	}
	for order, key := range paid {
		w.Errorf("order %s is paid by %s, of which the gateway has no money", order, key)
	}
	for _, wrong := range w.dodo.wrong {
		w.Error(wrong)
	}
	w.goesOn(s)
	w.told(s)
	w.secretive()
	if logs := w.logs.String(); strings.Contains(logs, "pay.example") {
		w.Error("the log shows a page")
	}
}

// goesOn checks that a subscription that is not over has something to wake up for.
func (w *abroad) goesOn(s billing.Subscription) {
	w.Helper()
	stuck := s.Step == billing.StepNone || s.WakeAt.IsZero()
	switch s.State {
	case billing.StatePending, billing.StateActive, billing.StatePastDue:
		if !s.Terms.OnDemand && (stuck || s.State != billing.StatePending && s.NextDueAt.IsZero()) {
			w.Errorf("subscription is %s with step %q at %v, next due %v: it is stuck", s.State, s.Step, s.WakeAt, s.NextDueAt)
		}
	case billing.StateUnpaid:
		if s.Step != billing.StepNone && s.Step != billing.StepAwait {
			w.Errorf("subscription is unpaid with step %q, want it to sleep or to await its customer", s.Step)
		}
	case billing.StateCancelled:
		if s.Step != billing.StepNone || len(s.BillingKey) > 0 {
			w.Errorf("subscription is cancelled with step %q and a mandate of %d bytes, want it to sleep without", s.Step, len(s.BillingKey))
		}
	}
	for _, item := range w.tables.Items(table.Subscriptions) {
		if item.Key.Partition == scope.Key(s.ID) && (item.Index != nil) != (s.Step != billing.StepNone) {
			w.Errorf("entry in the due index: got %+v for a subscription with step %q", item.Index, s.Step)
		}
	}
}

// wantKept wants the money of these attempts, written "period.attempt", and no other.
func (w *abroad) wantKept(want ...string) {
	w.Helper()
	var got []string
	for _, t := range w.dodo.kept() {
		got = append(got, attemptName(t.order))
	}
	if !slices.Equal(got, want) {
		w.Errorf("payments kept: got %v, want %v", got, want)
	}
}

func attemptName(order string) string {
	is, ok := attempts()[order]
	if !ok {
		return order
	}
	return string(rune('0'+is[0])) + "." + string(rune('0'+is[1]))
}

func (w *abroad) wantSent(want ...string) {
	w.Helper()
	var got []string
	for _, c := range w.dodo.sent() {
		got = append(got, attemptName(c.order)+" "+c.at.Format("01-02T15:04"))
	}
	if !slices.Equal(got, want) {
		w.Errorf("charges sent:\n got %v\nwant %v", got, want)
	}
}

// calls counts the calls of a kind.
func (g *dodo) count(name string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked[name]
}

// newest is the mandate that was made last.
func (g *dodo) newest() mandate {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	return *g.mandates[len(g.mandates)-1]
}

func (w *abroad) has(kind event.Type) int {
	n := 0
	for _, k := range w.kinds() {
		if k == kind {
			n++
		}
	}
	return n
}

// silent loses every notice.
func silent(billing.Hint, int) []time.Duration { return nil }

func isFault(err, kind error) bool { return errors.Is(err, kind) && fault.Code(err) != "" }
