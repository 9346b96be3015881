package billing_test

import (
	"encoding/json"
	"slices"
	"strings"

	"grantline/shared/billing"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/table"
)

// sound checks everything that must hold of a subscription whatever went wrong, once all
// is quiet: money once a period and recorded, no open order, nobody stuck, events
// without gaps, the head saying what the subscription says, no secret readable.
func (w *world) sound(id string) {
	w.Helper()
	s := w.subscription(id)
	paid := map[int]int{}
	asked := map[string]int64{}
	for _, c := range w.orders() {
		asked[c.ID] = c.Amount
	}
	for _, m := range w.gateway.taken() {
		if m.amount != asked[m.order] {
			w.Errorf("order %s: %d taken, want the %d that it says", m.order, m.amount, asked[m.order])
		}
		if _, ok := attempts()[m.order]; !ok {
			continue // on demand, or of another subscription
		}
		period, _ := attemptOf(id, m.order)
		if paid[period]++; paid[period] > 1 {
			w.Errorf("money for period %d: got %d payments, want 1 at most", period, paid[period])
		}
	}
	recorded := map[int]int{}
	for _, c := range w.charges(id) {
		if c.State == billing.Sending || c.State == billing.Unknown {
			w.Errorf("order of period %d attempt %d: got %s at the end, want it settled", c.Period, c.Attempt, c.State)
			continue
		}
		if len(c.Sealed) > 0 {
			w.Errorf("order of period %d attempt %d is %s and keeps its sealed body, want it dropped", c.Period, c.Attempt, c.State)
		}
		if c.State == billing.Paid && !c.OnDemand {
			recorded[c.Period]++
		}
		if c.State == billing.Paid && (c.Payment == nil || c.Payment.Amount != c.Amount || c.SettledAt.IsZero()) {
			w.Errorf("order of period %d is paid, with payment %+v settled at %v, want %d taken", c.Period, c.Payment, c.SettledAt, c.Amount)
		}
	}
	for period := range s.Period + 1 {
		if paid[period] != recorded[period] {
			w.Errorf("period %d: %d payments at the gateway, %d orders of ours are paid, want the same", period, paid[period], recorded[period])
		}
	}
	for _, wrong := range w.gateway.wrong {
		w.Error(wrong)
	}
	switch s.State {
	case billing.StatePending, billing.StateActive, billing.StatePastDue:
		if s.Terms.OnDemand {
			break
		}
		if s.Step == billing.StepNone || s.WakeAt.IsZero() || s.NextDueAt.IsZero() {
			w.Errorf("subscription is %s with step %q at %v, next due %v: it is stuck", s.State, s.Step, s.WakeAt, s.NextDueAt)
		}
	case billing.StateUnpaid, billing.StateCancelled:
		if s.Step != billing.StepNone {
			w.Errorf("subscription is %s with step %q, want it to sleep", s.State, s.Step)
		}
	}
	for _, item := range w.tables.Items(table.Subscriptions) {
		if item.Key.Partition == scope.Key(id) && (item.Index != nil) != (s.Step != billing.StepNone) {
			w.Errorf("entry in the due index: got %+v for a subscription with step %q", item.Index, s.Step)
		}
	}
	w.returned()
	w.told(s)
	w.secretive()
}

// returned checks the money that was given back: never more than was taken, as our orders
// have it, and nothing of it open.
func (w *world) returned() {
	w.Helper()
	w.gateway.mu.Lock()
	defer w.gateway.mu.Unlock()
	for _, c := range w.orders() {
		payment := ""
		if c.Payment != nil {
			payment = c.Payment.Key
		}
		if got := w.gateway.returnedOf[payment]; payment != "" && (got != c.Refunded || got > c.Amount) {
			w.Errorf("order %s of %d: %d given back at the gateway, %d recorded, want the same and no more than was paid", c.ID, c.Amount, got, c.Refunded)
		}
		var done int64
		for _, r := range c.Refunds {
			switch {
			case r.State == billing.RefundSending || r.State == billing.RefundUnknown:
				w.Errorf("order %s: refund %s is %s, want it ended", c.ID, r.Reference, r.State)
			case r.State == billing.RefundDone && r.Stray == "":
				done += r.Amount
			}
		}
		if done != c.Refunded {
			w.Errorf("order %s: its refunds come to %d, want its %d", c.ID, done, c.Refunded)
		}
	}
}

// finished checks that nothing waits beside the dates of subscriptions.
func (w *world) finished() {
	w.Helper()
	for _, item := range w.tables.Items(table.Subscriptions) {
		if strings.HasPrefix(item.Key.Partition, scope.Key("errand")) {
			w.Errorf("something is still to be done: %s", item.Data)
		}
	}
}

// told checks the customer's side.
func (w *world) told(s billing.Subscription) {
	w.Helper()
	c, err := w.biller.Customers.Named(w.Context(), scope, who)
	if err != nil {
		w.Fatal(err)
	}
	events := w.events()
	for n, e := range events {
		if e.Sequence != int64(n+1) {
			w.Fatalf("event %d: got sequence %d, want no gaps", n+1, e.Sequence)
		}
	}
	if c.Sequence() != int64(len(events)) {
		w.Errorf("head: got sequence %d, want %d as there are events", c.Sequence(), len(events))
	}
	want := map[billing.State]entitlement.State{
		billing.StatePending: entitlement.OnHold, billing.StateActive: entitlement.Active, billing.StatePastDue: entitlement.OnHold,
		billing.StateUnpaid: entitlement.Ended, billing.StateCancelled: entitlement.Ended,
	}[s.State]
	switch {
	case s.State == billing.StatePastDue && (s.Terms.Grace || s.LastCode == "") && !s.PaidUntil.IsZero() && !s.Waits && !s.Returned:
		want = entitlement.Grace
	case s.State == billing.StateActive && s.Returned:
		want = entitlement.Ended
	}
	at := slices.IndexFunc(c.Sources(), func(e entitlement.Source) bool { return e.Ref == s.ID })
	if at < 0 {
		w.Fatalf("the head has no source for %s", s.ID)
	}
	if got := c.Sources()[at]; got.State != want || !got.Until.Equal(s.PaidUntil) {
		w.Errorf("head: got %s until %v for a subscription that is %s and paid until %v, want %s", got.State, got.Until, s.State, s.PaidUntil, want)
	}
	// One activation or renewal for each period that was paid, one outcome an attempt.
	seen := map[[2]int]int{}
	for _, e := range events {
		if e.SubscriptionID != s.ID {
			continue
		}
		switch e.Type {
		case event.SubscriptionActivated, event.SubscriptionRenewed, event.SubscriptionRecovered, event.ChargeDeclined:
			if e.Period == nil {
				continue // on demand, or without a charge
			}
			k := [2]int{*e.Period, e.Attempt}
			if seen[k]++; seen[k] > 1 {
				w.Errorf("outcome of period %d attempt %d told %d times, want once", k[0], k[1], seen[k])
			}
		}
	}
}

// secretive looks for secrets where they must not be.
func (w *world) secretive() {
	w.Helper()
	for _, name := range table.Names {
		for _, item := range w.tables.Items(name) {
			if strings.Contains(string(item.Data)+string(item.Sealed), "secret-") {
				w.Errorf("an item of %s shows a secret: %s", name, item.Data)
			}
		}
	}
	if logs := w.logs.String(); strings.Contains(logs, "secret-") || strings.Contains(logs, "@example.com") {
		w.Error("the log shows a secret or a person")
	}
}

// orders reads every order that there is, whoever still wants it.
func (w *world) orders() []billing.Charge {
	var all []billing.Charge
	for _, item := range w.tables.Items(table.Orders) {
		c, err := billing.DecodeCharge(item)
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// rewrite changes an order behind everybody's back.
func (w *world) rewrite(id string, how func(*billing.Charge)) {
	w.Helper()
	key := table.Key{Table: table.Orders, Partition: scope.Key(id)}
	item, err := w.tables.Get(w.Context(), key)
	if err != nil {
		w.Fatal(err)
	}
	c, err := billing.DecodeCharge(item)
	if err != nil {
		w.Fatal(err)
	}
	how(&c)
	item.Data, _ = json.Marshal(c)
	item.Sealed = c.Sealed
	if err := w.tables.Commit(w.Context(), table.Replaced(item)); err != nil {
		w.Fatal(err)
	}
}

func (w *world) alarmed() bool { return strings.Contains(w.logs.String(), "alarm=true") }
