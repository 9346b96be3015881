package billing_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/entitlement"
	"grantline/shared/event"
)

// declining declines the named attempts of a period, written "period.attempt", with
// these codes; a code that begins with "!" is hard, one with "~" says nothing of the card.
func declining(codes map[string]string) func(call) fate {
	return func(c call) fate {
		period, attempt := attemptOf("sub-1", c.order)
		code := codes[fmt.Sprintf("%d.%d", period, attempt)]
		switch {
		case code == "":
			return fate{}
		case code[0] == '!':
			return fate{decline: code[1:], class: billing.Hard}
		case code[0] == '~':
			return fate{decline: code[1:], class: billing.Passing}
		}
		return fate{decline: code}
	}
}

// dunned signs up on the 10th of March and lets the renewal of the 10th of April meet
// these codes, until the 9th of May.
func dunned(t *testing.T, plan string, codes map[string]string) *world {
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.fate = declining(codes)
	w.subscribe(signUp(plan))
	w.until(at("2026-05-09T00:00:00+09:00"))
	return w
}

func (w *world) wantState(want billing.State) {
	w.Helper()
	if got := w.subscription("sub-1").State; got != want {
		w.Errorf("subscription: got %s, want %s", got, want)
	}
}

func (w *world) wantAccess(want bool) {
	w.Helper()
	if got := w.allowed(); got != want {
		w.Errorf("access at %v: got %v, want %v", w.clock.Now(), got, want)
	}
}

const (
	first  = "2026-04-10T04:10:00Z"
	second = "2026-04-13T04:10:00Z"
	third  = "2026-04-20T04:10:00Z"
	fourth = "2026-04-27T04:10:00Z"
)

func TestSoftDeclinesAreTriedAgainOnTheThirdTenthAndSeventeenthDay(t *testing.T) {
	t.Parallel()
	attempts := []string{first, second, third, fourth}
	for recovers := 2; recovers <= 5; recovers++ {
		t.Run(fmt.Sprintf("recovering at %d", recovers), func(t *testing.T) {
			t.Parallel()
			codes := map[string]string{}
			for n := 1; n < recovers; n++ {
				codes[fmt.Sprintf("1.%d", n)] = []string{"REJECT_CARD_PAYMENT", "EXCEED_MAX_AMOUNT"}[n%2]
			}
			w := dunned(t, "monthly", codes)
			w.wantSent(append([]string{"2026-03-10T04:10:00Z"}, attempts[:min(recovers, 4)]...)...)
			if recovers == 5 {
				w.wantState(billing.StateUnpaid)
				w.wantAccess(false)
			} else {
				w.wantState(billing.StateActive)
				w.wantAccess(true)
			}
			w.reminded()
			w.sound("sub-1")
		})
	}
}

// reminded checks that each attempt but the first was told of a full day before it, and
// the two minutes that a wake-up may be late by.
func (w *world) reminded() {
	w.Helper()
	told := map[string]event.Event{}
	for _, e := range w.events() {
		if e.Type == event.DunningReminder {
			told[fmt.Sprintf("%d.%d", *e.Period, e.Attempt)] = e
		}
	}
	for _, c := range w.gateway.sent() {
		period, attempt := attemptOf("sub-1", c.order)
		e, ok := told[fmt.Sprintf("%d.%d", period, attempt)]
		switch {
		case attempt == 1 && ok:
			w.Errorf("period %d: the first attempt was announced", period)
		case attempt > 1 && !ok:
			w.Errorf("period %d attempt %d was made without a reminder", period, attempt)
		case attempt > 1 && (e.NextAttemptAt == nil || !e.NextAttemptAt.Equal(c.at) || c.at.Sub(e.At) != 24*time.Hour+2*time.Minute):
			w.Errorf("period %d attempt %d at %v: reminded at %v of %v, want a full day and two minutes before", period, attempt, c.at, e.At, e.NextAttemptAt)
		}
	}
}

func TestAttemptsAreAtTheSameWallTimeWhenTheClocksChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-02-05T13:10:00-05:00"))
	w.gateway.fate = declining(map[string]string{"1.1": "A", "1.2": "B", "1.3": "C", "1.4": "D"})
	w.subscribe(signUp("new-york"))
	w.until(at("2026-03-30T00:00:00-04:00"))
	w.wantSent("2026-02-05T18:10:00Z", "2026-03-05T18:10:00Z", "2026-03-08T17:10:00Z", "2026-03-15T17:10:00Z", "2026-03-22T17:10:00Z")
	w.reminded()
	w.sound("sub-1")
}

func TestShortPlansHaveFewerAttempts(t *testing.T) {
	t.Parallel()
	for plan, want := range map[string][]string{
		"weekly":   {"2026-03-10T04:10:00Z", "2026-03-17T04:10:00Z", "2026-03-20T04:10:00Z"},
		"biweekly": {"2026-03-10T04:10:00Z", "2026-03-24T04:10:00Z", "2026-03-27T04:10:00Z", "2026-04-03T04:10:00Z"},
	} {
		t.Run(plan, func(t *testing.T) {
			t.Parallel()
			w := dunned(t, plan, map[string]string{"1.1": "A", "1.2": "B", "1.3": "C", "1.4": "D"})
			w.wantSent(want...)
			w.wantState(billing.StateUnpaid)
			w.reminded()
			w.sound("sub-1")
		})
	}
}

func TestHowADeclineEndsThings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plan  string
		codes map[string]string
		sent  int // with the sign-up's
		state billing.State
	}{
		"a hard code stops at once":                       {"monthly", map[string]string{"1.1": "!INVALID_STOPPED_CARD"}, 2, billing.StateUnpaid},
		"a hard code stops at any attempt":                {"monthly", map[string]string{"1.1": "A", "1.2": "!INVALID_CARD_EXPIRATION"}, 3, billing.StateUnpaid},
		"a plan may cancel instead":                       {"strict", map[string]string{"1.1": "!INVALID_STOPPED_CARD"}, 2, billing.StateCancelled},
		"a plan may cancel after the last":                {"strict", map[string]string{"1.1": "A", "1.2": "B", "1.3": "A", "1.4": "B"}, 5, billing.StateCancelled},
		"the same code twice stops":                       {"monthly", map[string]string{"1.1": "A", "1.2": "A"}, 3, billing.StateUnpaid},
		"the same code twice, later, stops":               {"monthly", map[string]string{"1.1": "B", "1.2": "A", "1.3": "A"}, 4, billing.StateUnpaid},
		"another code between does not":                   {"monthly", map[string]string{"1.1": "A", "1.2": "B", "1.3": "A"}, 5, billing.StateActive},
		"hours of maintenance do not count":               {"monthly", map[string]string{"1.1": "~MAINTAINED_METHOD", "1.2": "~MAINTAINED_METHOD", "1.3": "~MAINTAINED_METHOD"}, 5, billing.StateActive},
		"nor do they hide a code that comes twice":        {"monthly", map[string]string{"1.1": "A", "1.2": "~NOT_AVAILABLE_BANK", "1.3": "A"}, 4, billing.StateUnpaid},
		"an empty account counts like any":                {"monthly", map[string]string{"1.1": "INSUFFICIENT_FUNDS", "1.2": "INSUFFICIENT_FUNDS"}, 3, billing.StateUnpaid},
		"unless the plan is patient":                      {"patient", map[string]string{"1.1": "INSUFFICIENT_FUNDS", "1.2": "INSUFFICIENT_FUNDS", "1.3": "INSUFFICIENT_FUNDS"}, 5, billing.StateActive},
		"patience is for empty accounts alone":            {"patient", map[string]string{"1.1": "A", "1.2": "A"}, 3, billing.StateUnpaid},
		"a code of the period before is no repetition":    {"monthly", map[string]string{"1.1": "A"}, 3, billing.StateActive},
		"a patient plan ends after the last all the same": {"patient", map[string]string{"1.1": "INSUFFICIENT_FUNDS", "1.2": "INSUFFICIENT_FUNDS", "1.3": "INSUFFICIENT_FUNDS", "1.4": "INSUFFICIENT_FUNDS"}, 5, billing.StateUnpaid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := dunned(t, c.plan, c.codes)
			if got := len(w.gateway.sent()); got != c.sent {
				t.Errorf("charges sent: got %d, want %d", got, c.sent)
			}
			w.wantState(c.state)
			w.wantAccess(c.state == billing.StateActive)
			w.reminded()
			w.sound("sub-1")
		})
	}
}

func TestTheSameCodeInTwoPeriodsIsNoRepetition(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.fate = declining(map[string]string{"1.1": "A", "2.1": "A"})
	w.subscribe(signUp("monthly"))
	w.until(at("2026-05-20T00:00:00+09:00"))
	w.wantState(billing.StateActive)
	if s := w.subscription("sub-1"); s.Period != 3 || s.LastCode != "" {
		t.Errorf("after recovering twice: period %d, last code %q, want 3 and none", s.Period, s.LastCode)
	}
	w.sound("sub-1")
}

// A gateway that finds a payment ended without saying why gives no code.
func TestADeclineWithoutACodeIsNeverTheSameTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.subscribe(signUp("monthly"))
	w.gateway.lookup = true
	w.gateway.fate = func(c call) fate {
		if _, attempt := attemptOf("sub-1", c.order); attempt < 4 {
			w.gateway.declined[c.order] = billing.Outcome{Result: billing.Refused, Class: billing.Soft}
			return fate{drop: true}
		}
		return fate{}
	}
	w.until(at("2026-05-09T00:00:00+09:00"))
	w.wantSent("2026-03-10T04:10:00Z", first, second, third, fourth)
	w.wantState(billing.StateActive)
	w.sound("sub-1")
}

func TestGraceKeepsAccessWhileAttemptsRemain(t *testing.T) {
	t.Parallel()
	for plan, want := range map[string]bool{"monthly": true, "strict": false} {
		t.Run(plan, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
			w.gateway.fate = declining(map[string]string{"1.1": "A", "1.2": "B", "1.3": "A", "1.4": "B"})
			w.subscribe(signUp(plan))
			for _, day := range []string{"2026-04-10T13:11:00+09:00", "2026-04-15T00:00:00+09:00", "2026-04-27T13:09:00+09:00"} {
				w.until(at(day))
				w.wantState(billing.StatePastDue)
				w.wantAccess(want)
			}
			w.until(at("2026-04-27T13:12:00+09:00"))
			w.wantAccess(false)
			w.sound("sub-1")
		})
	}
}

func TestAFirstChargeThatIsDeclinedGivesNoAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.fate = declining(map[string]string{"0.1": "A"})
	if s := w.subscribe(signUp("monthly")); s.State != billing.StatePastDue || s.Attempt != 2 {
		t.Errorf("answer: got %s at attempt %d, want past_due at 2", s.State, s.Attempt)
	}
	w.wantAccess(false)
	w.until(at("2026-03-13T13:09:00+09:00"))
	w.wantAccess(false)
	w.until(at("2026-03-13T13:12:00+09:00"))
	w.wantState(billing.StateActive)
	w.wantAccess(true)
	w.reminded()
	w.sound("sub-1")
}

func TestAFirstChargeThatIsDeclinedHardNeverBecomesActive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.fate = declining(map[string]string{"0.1": "!INVALID_STOPPED_CARD"})
	w.subscribe(signUp("monthly"))
	w.wantState(billing.StateUnpaid)
	w.until(at("2026-06-10T13:12:00+09:00"))
	if got := len(w.gateway.sent()); got != 1 {
		t.Errorf("charges sent: got %d, want 1", got)
	}
	w.wantAccess(false)
	w.sound("sub-1")
}

// The card is declined at the sign-up and then the gateway is out of order until the
// next period is due, which is declined again: nothing was ever paid.
func TestGraceIsOnlyForWhoeverHasPaidBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.fate = func(c call) fate {
		switch period, attempt := attemptOf("sub-1", c.order); {
		case period == 0 && attempt == 1:
			return fate{decline: "A"}
		case period == 0:
			return fate{ours: true}
		}
		return fate{decline: "B"}
	}
	w.subscribe(signUp("weekly"))
	w.until(at("2026-03-17T14:10:00+09:00"))
	if s := w.subscription("sub-1"); s.Period != 1 || s.State != billing.StatePastDue {
		t.Fatalf("after the outage: got %s in period %d, want past_due in 1", s.State, s.Period)
	}
	w.wantAccess(false)
	w.gateway.fate = nil
	w.until(at("2026-03-20T14:10:00+09:00"))
	if got := w.kinds(); !slices.Contains(got, event.SubscriptionActivated) {
		t.Errorf("events: got %v, want the first payment to be the activation", got)
	}
	w.sound("sub-1")
}

func TestNobodyIsRemindedOfAnAttemptThatWillNotBeMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.fate = declining(map[string]string{"1.1": "A"})
	w.subscribe(signUp("weekly"))
	w.until(at("2026-03-17T13:20:00+09:00"))
	w.clock.set(at("2026-03-25T00:00:00+09:00")) // nothing ran for a week
	w.until(at("2026-04-01T00:00:00+09:00"))
	if got := w.kinds(); slices.Contains(got, event.DunningReminder) {
		t.Errorf("events: got %v, want no reminder of an attempt in a period that is over", got)
	}
	w.wantState(billing.StateActive)
	w.sound("sub-1")
}

func TestWhatACustomerWroteAboutItselfNeverStopsACharge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.picky = true
	w.subscribe(signUp("monthly"))
	w.profile("no address at all", "Kim")
	w.until(at("2026-04-10T13:12:00+09:00"))
	if got := len(w.gateway.taken()); got != 2 {
		t.Errorf("payments: got %d, want 2 though the customer's e-mail is none", got)
	}
	w.sound("sub-1")
}

func (w *world) profile(email, name string) {
	w.Helper()
	c, err := w.biller.Customers.Named(w.Context(), scope, who)
	if err != nil {
		w.Fatal(err)
	}
	p := c.Profile
	p.Email, p.Name = email, name
	c.SetProfile(p)
	writes, err := c.Writes(noon)
	if err == nil {
		err = w.tables.Commit(w.Context(), writes...)
	}
	if err != nil {
		w.Fatal(err)
	}
}

func TestADeclineCannotEndWhatAnotherGives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.subscribe(signUp("monthly"))
	c, err := w.biller.Customers.Named(t.Context(), scope, who)
	if err != nil {
		t.Fatal(err)
	}
	c.Set(entitlement.Source{Kind: "purchase", Provider: "apple", Ref: "line", Entitlement: "premium", State: entitlement.Active})
	writes, err := c.Writes(noon)
	if err == nil {
		err = w.tables.Commit(t.Context(), writes...)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.gateway.fate = declining(map[string]string{"1.1": "!INVALID_STOPPED_CARD"})
	w.until(at("2026-04-11T00:00:00+09:00"))
	w.wantState(billing.StateUnpaid)
	w.wantAccess(true)
	w.sound("sub-1")
}

func TestTooManyRequestsAreNoAttemptAndArePaced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate  fate
		most  int
		alarm bool
	}{
		"429":               {fate{busy: true}, 3 * 60, false},
		"our configuration": {fate{ours: true}, 3 * 6, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			w.gateway.fate = func(call) fate { return c.fate }
			w.clock.set(due)
			for range 3 {
				if err := w.work("sub-1"); err != nil {
					t.Fatal(err)
				}
			}
			if got := len(w.gateway.sent()); got != 2 {
				t.Errorf("at once: got %d charges sent, want 2, no two within a minute", got)
			}
			w.until(due.Add(3 * time.Hour))
			if got := len(w.gateway.sent()) - 1; got < c.most/2 || got > c.most+1 {
				t.Errorf("in three hours: got %d sends, want about %d", got, c.most)
			}
			s := w.subscription("sub-1")
			if s.State != billing.StateActive || s.Attempt != 1 || s.Period != 1 || w.alarmed() != c.alarm {
				t.Errorf("got %s at attempt %d, alarm %v; want active at 1, %v", s.State, s.Attempt, w.alarmed(), c.alarm)
			}
			w.gateway.fate = nil
			w.until(due.Add(3*time.Hour + 15*time.Minute))
			if s = w.subscription("sub-1"); s.Period != 2 {
				t.Errorf("after it passed: got period %d, want 2", s.Period)
			}
			w.sound("sub-1")
		})
	}
}
