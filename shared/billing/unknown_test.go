package billing_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/money"
	"grantline/shared/table"
)

// renewal signs up and stops a minute before the renewal of the 10th of April at noon.
func renewal(t *testing.T, plan string) *world {
	t.Helper()
	w := newWorld(t, noon)
	w.subscribe(signUp(plan))
	w.until(due.Add(-time.Minute))
	return w
}

var due = at("2026-04-10T12:00:00+09:00")

func (w *world) order(period, attempt int) billing.Charge {
	w.Helper()
	for _, c := range w.orders() {
		if c.ID == billing.OrderID(scope, "sub-1", period, attempt) {
			return c
		}
	}
	w.Fatalf("there is no order for period %d attempt %d", period, attempt)
	return billing.Charge{}
}

// always lets every charge of the renewal's first attempt meet this fate.
func always(f fate) func(call) fate {
	return func(c call) fate {
		if period, attempt := attemptOf("sub-1", c.order); period == 1 && attempt == 1 {
			return f
		}
		return fate{}
	}
}

func once(f fate) func(call) fate {
	return func(c call) fate {
		if period, attempt := attemptOf("sub-1", c.order); period == 1 && attempt == 1 && c.of == 1 {
			return f
		}
		return fate{}
	}
}

func TestAnUnknownOutcomeIsSettledWithin48HoursHoweverTheGatewayBehaves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate   func(call) fate
		lookup bool
		find   func(int) bool
		state  billing.ChargeState
		code   string
		within time.Duration
	}{
		"the request was lost":             {fate: once(fate{drop: true}), state: billing.Paid, within: 10 * time.Minute},
		"the answer was lost":              {fate: once(fate{lose: true}), state: billing.Paid, within: 10 * time.Minute},
		"the payment came 7 minutes later": {fate: once(fate{late: 7 * time.Minute}), state: billing.Paid, within: 2 * time.Hour},
		"the payment came 5 hours later":   {fate: once(fate{late: 5 * time.Hour}), state: billing.Paid, within: 12 * time.Hour},
		"5xx before the effect, not kept":  {fate: once(fate{fail: true}), state: billing.Paid, within: 10 * time.Minute},
		"5xx after the effect":             {fate: once(fate{fail: true, effect: true}), state: billing.Paid, within: 10 * time.Minute},
		"5xx after the effect, kept":       {fate: once(fate{fail: true, effect: true, stored: true}), state: billing.Paid, within: 10 * time.Minute},
		"5xx kept for ever":                {fate: always(fate{fail: true, stored: true}), state: billing.Declined, code: billing.NoPaymentFound, within: 48 * time.Hour},
		"nothing ever arrives":             {fate: always(fate{drop: true}), state: billing.Declined, code: billing.NoPaymentFound, within: 48 * time.Hour},
		"400 of the unclear kind":          {fate: always(fate{odd: "PROVIDER_ERROR"}), state: billing.Declined, code: "PROVIDER_ERROR", within: time.Hour},
		"400, and paid minutes later":      {fate: once(fate{odd: "PROVIDER_ERROR", late: 6 * time.Minute}), state: billing.Paid, within: time.Hour},
		"a decline's answer was lost":      {fate: always(fate{decline: "REJECT_CARD_PAYMENT", lose: true}), state: billing.Declined, code: billing.NoPaymentFound, within: 48 * time.Hour},
		"lost once, replayed":              {fate: func(of call) fate { return fate{decline: "REJECT_CARD_PAYMENT", lose: of.of == 1} }, state: billing.Declined, code: "REJECT_CARD_PAYMENT", within: 10 * time.Minute},
		"lost, found by the look-up":       {fate: always(fate{decline: "REJECT_CARD_PAYMENT", lose: true}), lookup: true, state: billing.Declined, code: "REJECT_CARD_PAYMENT", within: 10 * time.Minute},
		"look-ups fail for a day":          {fate: once(fate{lose: true}), find: func(n int) bool { return n <= 5 }, state: billing.Paid, within: 48 * time.Hour},
		"refused for its rate afterwards":  {fate: func(of call) fate { return fate{lose: of.of == 1, busy: of.of > 1} }, find: func(n int) bool { return n <= 2 }, state: billing.Paid, within: 48 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			w.gateway.fate, w.gateway.lookup, w.gateway.find = c.fate, c.lookup, c.find
			w.until(due.Add(time.Minute))
			if o := w.order(1, 1); o.State != billing.Unknown {
				t.Fatalf("after the send: got %s, want unknown", o.State)
			}
			w.wantState(billing.StateActive) // neither paid nor declined by itself
			if got := w.subscription("sub-1"); got.Period != 1 || got.Attempt != 1 {
				t.Errorf("after the send: got period %d attempt %d, want 1 and 1 still", got.Period, got.Attempt)
			}
			w.until(due.Add(c.within))
			o := w.order(1, 1)
			if o.State != c.state || o.Code != c.code {
				t.Errorf("%v later: got %s %q, want %s %q", c.within, o.State, o.Code, c.state, c.code)
			}
			w.until(due.Add(days(4)))
			w.sound("sub-1")
		})
	}
}

// The gateway is out from before the renewal on; its look-ups fail as its charges do, or
// answer that there is no payment.
func TestAnOutageOfTheGatewayUpToADayCostsNoAttempt(t *testing.T) {
	t.Parallel()
	for _, hours := range []int{1, 3, 6, 7, 8, 9, 12, 16, 20, 23} {
		for _, finds := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d hours, look-ups answer %v", hours, finds), func(t *testing.T) {
				t.Parallel()
				w := renewal(t, "weekly")
				from := w.subscription("sub-1").NextDueAt
				up := from.Add(time.Duration(hours)*time.Hour + 5*time.Minute)
				w.until(from.Add(-time.Minute))
				w.gateway.fate = func(call) fate { return fate{fail: w.clock.Now().Before(up)} }
				w.gateway.find = func(int) bool { return !finds && w.clock.Now().Before(up) }
				w.until(up.Add(3 * time.Hour))
				s := w.subscription("sub-1")
				charges := w.charges("sub-1")
				last := charges[len(charges)-1]
				if last.State != billing.Paid || last.Attempt != 1 {
					t.Errorf("three hours after the outage: got attempt %d %s %q, want 1 paid", last.Attempt, last.State, last.Code)
				}
				if s.State != billing.StateActive || !s.NextDueAt.After(up) {
					t.Errorf("subscription: got %s with %v due, want active and the next period", s.State, s.NextDueAt)
				}
				if got := w.kinds(); slices.Contains(got, event.ChargeDeclined) {
					t.Errorf("events: got %v, want no decline", got)
				}
			})
		}
	}
}

func TestNothingIsDecidedWhileTheGatewayIsSilent(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	w.gateway.fate = always(fate{drop: true})
	w.gateway.find = func(int) bool { return true }
	w.until(due.Add(days(20)))
	if o := w.order(1, 1); o.State != billing.Unknown {
		t.Errorf("after 20 days of silence: got %s, want unknown", o.State)
	}
	w.wantState(billing.StateActive)
	if got := len(w.gateway.sent()); got > 2 {
		t.Errorf("charges sent: got %d, want the sign-up's and one, for no look-up allowed another", got)
	}
	if finds := w.gateway.finds; finds < 20 || finds > 60 {
		t.Errorf("look-ups in 20 days: got %d, want about two a day", finds)
	}
	w.gateway.find = nil
	w.until(due.Add(days(22)))
	if got := len(w.gateway.sent()); got > 3 {
		t.Errorf("charges sent once it answers: got %d, want none under the old order", got)
	}
	w.until(due.Add(days(26)))
	w.sound("sub-1")
}

func TestAResendHasTheSameBytesWhateverChangedMeanwhile(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	w.profile("kim@example.com", "Kim")
	w.gateway.fate = func(c call) fate { return fate{drop: c.of < 4} }
	w.until(due.Add(time.Minute))
	w.profile("lee@example.com", "Lee")
	w.until(due.Add(days(1)))
	calls := w.gateway.sent()[1:]
	if len(calls) != 4 {
		t.Fatalf("sends of the renewal: got %d, want 4", len(calls))
	}
	for _, c := range calls {
		if c.body != calls[0].body || c.card != calls[0].card || c.order != calls[0].order {
			t.Errorf("send at %v: got %s, want %s", c.at, c.body, calls[0].body)
		}
	}
	if o := w.order(1, 1); o.State != billing.Paid || o.Sends != 4 || !o.SentAt.Equal(due) || !o.LastSentAt.After(due) {
		t.Errorf("order: got %s after %d sends from %v, want paid after 4 from %v", o.State, o.Sends, o.SentAt, due)
	}
	w.sound("sub-1")
}

func TestNothingIsSentAgainUnderAnOrderThatIsTwoWeeksOld(t *testing.T) {
	t.Parallel()
	w := renewal(t, "yearly")
	w.until(at("2027-03-10T12:00:00+09:00").Add(-time.Minute))
	w.gateway.fate = always(fate{drop: true})
	w.until(at("2027-03-10T12:01:00+09:00"))
	sends := len(w.gateway.sent())
	w.gateway.fate = nil
	w.clock.set(at("2027-03-25T12:00:00+09:00")) // an outage of ours
	w.until(at("2027-03-27T12:00:00+09:00"))
	for _, c := range w.gateway.sent()[sends:] {
		if _, attempt := attemptOf("sub-1", c.order); attempt == 1 {
			t.Errorf("the order of the 10th was sent at %v, want never again", c.at)
		}
	}
	w.wantState(billing.StatePastDue)
	w.sound("sub-1")
}

// The first request took the money and its answer was lost; the look-up does not see it
// yet, and the next send is turned away before the gateway looks at its key. That word is
// about the second send alone.
func TestTooManyRequestsSaysNothingAboutAnEarlierSend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ second fate }{
		"429":               {fate{busy: true}},
		"our key's trouble": {fate{ours: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			w.gateway.fate = func(of call) fate {
				if of.of == 1 {
					return fate{late: 30 * time.Minute}
				}
				return c.second
			}
			w.until(due.Add(4 * time.Minute))
			if o := w.order(1, 1); o.State != billing.Unknown || len(o.Sealed) == 0 {
				t.Errorf("after the second send: got %s with %d bytes kept, want unknown with its body", o.State, len(o.Sealed))
			}
			w.end(func(s *billing.Subscription) { s.Step = billing.StepResolve; s.WakeAt = w.clock.Now() })
			w.until(due.Add(days(3)))
			if o := w.order(1, 1); o.State != billing.Paid {
				t.Errorf("once the payment shows: got %s, want paid", o.State)
			}
		})
	}
}

// end cancels the subscription at once, behind everybody's back.
func (w *world) end(more ...func(*billing.Subscription)) {
	w.Helper()
	w.change("sub-1", func(s *billing.Subscription) {
		s.State, s.NextDueAt, s.Step, s.WakeAt = billing.StateCancelled, time.Time{}, billing.StepNone, time.Time{}
		for _, m := range more {
			m(s)
		}
	})
}

func TestASubscriptionCancelledBeforeTheSendIsNotCharged(t *testing.T) {
	t.Parallel()
	// The word comes in at each operation of the renewal, before it is carried out.
	for nth := 1; nth <= 4; nth++ {
		t.Run(fmt.Sprintf("before operation %d", nth), func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			w.clock.set(due)
			n := 0
			w.tables.Fail = func(op memory.Op) (bool, error) {
				if n++; n == nth {
					w.end()
				}
				return true, nil
			}
			_ = w.work("sub-1")
			w.tables.Fail = nil
			if got := len(w.gateway.sent()); got != 1 {
				t.Errorf("charges sent: got %d, want the sign-up's alone", got)
			}
			w.until(due.Add(days(3)))
			if got := len(w.gateway.sent()); got != 1 {
				t.Errorf("charges sent in the end: got %d, want the sign-up's alone", got)
			}
			for _, o := range w.orders() {
				if o.Period == 1 && (o.State != billing.Void || len(o.Sealed) > 0) {
					t.Errorf("the claimed order: got %s with %d bytes kept, want void and none", o.State, len(o.Sealed))
				}
			}
			w.wantState(billing.StateCancelled)
		})
	}
}

func TestASubscriptionCancelledBeforeTheResendIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for nth := 1; nth <= 4; nth++ {
		t.Run(fmt.Sprintf("before operation %d", nth), func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			w.gateway.fate = once(fate{drop: true})
			w.until(due.Add(time.Minute))
			w.clock.set(due.Add(2 * time.Minute))
			n := 0
			w.tables.Fail = func(memory.Op) (bool, error) {
				if n++; n == nth {
					w.end(func(s *billing.Subscription) { s.Step = billing.StepResolve; s.WakeAt = w.clock.Now() })
				}
				return true, nil
			}
			_ = w.work("sub-1")
			w.tables.Fail = nil
			w.until(due.Add(days(3)))
			if got := len(w.gateway.sent()); got != 2 {
				t.Errorf("charges sent: got %d, want the sign-up's and the one that was lost", got)
			}
			if o := w.order(1, 1); o.State != billing.Void {
				t.Errorf("order: got %s, want void", o.State)
			}
			if s := w.subscription("sub-1"); s.State != billing.StateCancelled || s.Step != billing.StepNone {
				t.Errorf("subscription: got %s with step %q, want cancelled and asleep", s.State, s.Step)
			}
		})
	}
}

func TestACardThatWasReplacedBeforeTheSendIsNotCharged(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	w.clock.set(due)
	sealed, err := w.biller.Sealer.Seal(t.Context(), []byte("secret-new-billing-key"), []byte("billing-key/"+scope.Key("sub-1")))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if n++; op.Method == "Commit" && op.Touches(table.Orders) && n < 5 {
			w.change("sub-1", func(s *billing.Subscription) { s.BillingKey = sealed })
		}
		return true, nil
	}
	if err := w.work("sub-1"); err != nil {
		t.Fatal(err)
	}
	w.tables.Fail = nil
	w.until(due.Add(time.Hour))
	calls := w.gateway.sent()
	if len(calls) != 2 || calls[1].card != "secret-new-billing-key" {
		t.Errorf("charges: got %d, the last with %s, want 2 and the new card", len(calls), calls[len(calls)-1].card)
	}
	w.sound("sub-1")
}

func TestAPriceThatChangedBeforeTheSendIsNotTheOldOne(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	w.clock.set(due)
	changed := false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" && op.Touches(table.Orders) && !changed {
			changed = true
			w.change("sub-1", func(s *billing.Subscription) { s.Terms.Price = money.Of(5900, "KRW") })
		}
		return true, nil
	}
	if err := w.work("sub-1"); err != nil {
		t.Fatal(err)
	}
	w.tables.Fail = nil
	w.until(due.Add(time.Hour))
	if got := w.gateway.taken(); len(got) != 2 || got[1].amount != 5900 {
		t.Errorf("payments: got %+v, want the second of 5900", got)
	}
	if o := w.order(1, 1); o.State != billing.Paid || o.Amount != 5900 {
		t.Errorf("order: got %s of %d, want paid of 5900", o.State, o.Amount)
	}
}

// Cancelled while its order's outcome is unknown: nothing is sent again, the outcome is
// found out all the same, and the subscription stays ended.
func TestAnEndedSubscriptionStaysEndedWhateverItsOpenOrderComesTo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate  fate
		state billing.ChargeState
	}{
		"paid":          {fate{late: 30 * time.Minute}, billing.Paid},
		"declined":      {fate{decline: "A", lose: true}, billing.Declined},
		"never arrived": {fate{drop: true}, billing.Void},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			w.gateway.fate, w.gateway.lookup = once(c.fate), true
			w.until(due.Add(time.Minute))
			w.end(func(s *billing.Subscription) { s.Step = billing.StepResolve; s.WakeAt = due.Add(2 * time.Minute) })
			w.until(due.Add(days(3)))
			if got := len(w.gateway.sent()); got != 2 {
				t.Errorf("charges sent: got %d, want 2, none after the end", got)
			}
			if o := w.order(1, 1); o.State != c.state || len(o.Sealed) > 0 || o.Sends != 1 {
				t.Errorf("order: got %s with %d bytes kept after %d sends, want %s, none and 1", o.State, len(o.Sealed), o.Sends, c.state)
			}
			s := w.subscription("sub-1")
			if s.State != billing.StateCancelled || s.Step != billing.StepNone {
				t.Errorf("subscription: got %s with step %q, want cancelled and asleep", s.State, s.Step)
			}
			if got, want := w.alarmed(), c.state == billing.Paid; got != want {
				t.Errorf("alarm for money to be given back: got %v, want %v", got, want)
			}
			if got := w.kinds(); slices.Contains(got, event.SubscriptionRenewed) {
				t.Errorf("events: got %v, want no renewal", got)
			}
		})
	}
}

// The answer of a sender whose lease ran out comes after somebody else closed its order.
func TestAnAnswerThatComesTooLateChangesNoFinalState(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		other billing.ChargeState
		want  billing.ChargeState
		alarm bool
	}{
		"closed as paid":     {billing.Paid, billing.Paid, false},
		"closed as declined": {billing.Declined, billing.Declined, true},
		"closed as void":     {billing.Void, billing.Paid, false},
		"being looked up":    {billing.Unknown, billing.Paid, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			w.clock.set(due)
			w.gateway.fate = func(of call) fate {
				w.rewrite(of.order, func(o *billing.Charge) {
					o.State, o.Lease = c.other, time.Time{}
					if c.other != billing.Unknown {
						o.Sealed = nil
					}
					if c.other == billing.Declined {
						o.Code, o.Class = "A", billing.Soft
					}
					if c.other == billing.Paid {
						o.Payment, o.SettledAt = &billing.Payment{Amount: o.Amount}, due
					}
				})
				return fate{}
			}
			_ = w.work("sub-1")
			w.gateway.fate = nil
			w.until(due.Add(time.Hour))
			if o := w.order(1, 1); o.State != c.want {
				t.Errorf("order: got %s, want %s", o.State, c.want)
			}
			if c.want == billing.Paid {
				w.wantState(billing.StateActive)
				w.sound("sub-1")
			}
			if got := w.alarmed(); got != c.alarm {
				t.Errorf("alarm for money under a closed order: got %v, want %v", got, c.alarm)
			}
			if got := len(w.gateway.taken()); got != 2 {
				t.Errorf("payments: got %d, want 2", got)
			}
		})
	}
}

// The last word of a sender that everybody had given up, for a subscription that ended:
// the money is in the order, and somebody is told.
func TestMoneyTakenAfterTheEndIsRecordedAndAlarmed(t *testing.T) {
	t.Parallel()
	for _, other := range []billing.ChargeState{billing.Sending, billing.Void} {
		t.Run(string(other), func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			w.clock.set(due)
			w.gateway.fate = func(of call) fate {
				w.end()
				w.rewrite(of.order, func(o *billing.Charge) { o.State = other })
				return fate{}
			}
			if err := w.work("sub-1"); err != nil {
				t.Error(err)
			}
			if o := w.order(1, 1); o.State != billing.Paid || len(o.Sealed) > 0 || o.Payment == nil {
				t.Errorf("order: got %s with %d bytes kept, want paid and none", o.State, len(o.Sealed))
			}
			w.wantState(billing.StateCancelled)
			if !w.alarmed() {
				t.Error("nobody was told of money that is to be given back")
			}
		})
	}
}
