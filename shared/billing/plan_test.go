package billing_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/fault"
)

// paidAt lists what was paid when, as "amount instant".
func (w *world) paidAt() []string {
	var paid []string
	for _, m := range w.gateway.taken() {
		paid = append(paid, fmt.Sprintf("%d %s", m.amount, m.at.Format(time.RFC3339)))
	}
	return paid
}

func (w *world) wantPaid(want ...string) {
	w.Helper()
	if got := w.paidAt(); !slices.Equal(got, want) {
		w.Errorf("paid:\n got %v\nwant %v", got, want)
	}
}

const april, may, june = "2026-04-10T03:00:00Z", "2026-05-10T03:00:00Z", "2026-06-10T03:00:00Z"

func TestAPlanTakesOverWithTheNextPeriod(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plans []string
		want  []string
		told  int
	}{
		"of the same cycle":        {[]string{"other-entitlement"}, []string{"9900 " + april, "9900 " + may, "9900 " + june}, 1},
		"of a longer cycle":        {[]string{"quarterly"}, []string{"12900 " + april}, 1},
		"of a shorter cycle":       {[]string{"biweekly"}, []string{"2900 " + april, "2900 2026-04-24T03:00:00Z", "2900 2026-05-08T03:00:00Z", "2900 2026-05-22T03:00:00Z", "2900 2026-06-05T03:00:00Z"}, 1},
		"changed twice":            {[]string{"weekly", "quarterly"}, []string{"12900 " + april}, 2},
		"the same again":           {[]string{"quarterly", "quarterly"}, []string{"12900 " + april}, 1},
		"changed back":             {[]string{"quarterly", "monthly"}, []string{"4900 " + april, "4900 " + may, "4900 " + june}, 2},
		"the one that it has":      {[]string{"monthly"}, []string{"4900 " + april, "4900 " + may, "4900 " + june}, 0},
		"in another zone":          {[]string{"new-york"}, []string{"4900 " + april, "4900 " + may, "4900 " + june}, 1},
		"and back after it turned": {nil, []string{"9900 " + april, "4900 " + may, "4900 " + june}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, noon)
			w.subscribe(signUp("monthly"))
			w.until(noon.Add(days(10)))
			if c.plans == nil {
				_, err := w.plan("other-entitlement")
				must(t, err)
				w.until(due.Add(days(3)))
				c.plans = []string{"monthly"}
			}
			for _, id := range c.plans {
				before := w.subscription("sub-1")
				s, err := w.plan(id)
				must(t, err)
				if s.Plan != before.Plan || s.Terms != before.Terms || s.PaidUntil != before.PaidUntil {
					t.Errorf("the running period: got plan %s until %v, want it as it was", s.Plan, s.PaidUntil)
				}
			}
			w.until(at("2026-06-11T00:00:00Z"))
			w.wantPaid(append([]string{"4900 2026-03-10T03:00:00Z"}, c.want...)...)
			w.wantHas(event.SubscriptionPlanned, c.told)
			s := w.subscription("sub-1")
			if s.Next != nil {
				t.Errorf("still planned: %+v, want nothing", s.Next)
			}
			if got := w.holds(); got.ProductID != s.Plan || got.Entitlement != s.Terms.Entitlement {
				t.Errorf("the customer holds %s by %s, want %s by %s", got.Entitlement, got.ProductID, s.Terms.Entitlement, s.Plan)
			}
			if got := len(w.charges("sub-1")); got != len(c.want)+1 {
				t.Errorf("charges listed: got %d, want all %d", got, len(c.want)+1)
			}
			w.sound("sub-1")
		})
	}
}

func TestAnotherEntitlementIsHeldOnceItIsPaidAndTheOldOneNoMore(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	_, err := w.plan("other-entitlement")
	must(t, err)
	w.until(due.Add(-time.Second))
	w.wantAccess(true)
	if got := w.holds().Entitlement; got != "premium" {
		t.Errorf("before it is due: got %s, want premium", got)
	}
	w.until(due.Add(3 * time.Minute))
	w.wantAccess(false)
	if got := w.holds(); got.Entitlement != "ad_free" || got.State != "active" {
		t.Errorf("after it: got %s %s, want ad_free active", got.Entitlement, got.State)
	}
	w.sound("sub-1")
}

func TestAnAttemptUnderWayStaysAsItIsWhenThePlanChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate map[string]fate
		paid []string
	}{
		"answer lost":   {map[string]fate{"1.1": {lose: true}}, []string{"4900 2026-04-10T03:00:00Z", "9900 2026-05-10T03:00:00Z"}},
		"request lost":  {nil, []string{"4900 2026-04-10T03:02:00Z", "9900 2026-05-10T03:00:00Z"}},
		"then declined": {map[string]fate{"1.1": {odd: "PROVIDER_ERROR"}}, []string{"4900 2026-04-13T03:00:00Z", "9900 2026-05-10T03:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			if w.gateway.fate = scripted(c.fate); c.fate == nil {
				w.gateway.fate = once(fate{drop: true})
			}
			w.until(due.Add(30 * time.Second))
			_, err := w.plan("other-entitlement")
			must(t, err)
			w.until(at("2026-05-11T00:00:00Z"))
			w.wantPaid(append([]string{"4900 2026-03-10T03:00:00Z"}, c.paid...)...)
			w.sound("sub-1")
		})
	}
}

// The attempts that remain are of the period that is owed, and cost what it costs.
func TestAPlanChangedWhilePastDueTakesOverWithThePeriodAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.fate = declining(map[string]string{"1.1": "A", "1.2": "B"})
	w.subscribe(signUp("monthly"))
	w.until(due.Add(days(1)))
	_, err := w.plan("quarterly")
	must(t, err)
	w.until(at("2026-05-11T00:00:00Z"))
	w.wantPaid("4900 2026-03-10T03:00:00Z", "4900 2026-04-20T03:00:00Z", "12900 2026-05-10T03:00:00Z")
	w.sound("sub-1")
}

// The gateway takes nothing until the next period is due: that one is of the new plan,
// though the one before was never paid.
func TestAPlanTakesOverThoughThePeriodBeforeWasNeverPaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("weekly"))
	weekly := at("2026-03-17T12:00:00+09:00")
	w.gateway.fate = func(c call) fate {
		if period, attempt := attemptOf("sub-1", c.order); period == 1 && attempt == 1 {
			return fate{decline: "A"}
		}
		return fate{ours: w.clock.Now().Before(weekly.Add(days(8)))}
	}
	w.until(weekly.Add(days(1)))
	_, err := w.plan("monthly")
	must(t, err)
	w.until(weekly.Add(days(20)))
	paid := w.paidAt()
	if len(paid) != 2 || paid[1][:4] != "4900" {
		t.Errorf("paid: got %v, want the period after by the new plan", paid)
	}
	if s := w.subscription("sub-1"); s.Plan != "monthly" || !s.PaidUntil.Equal(at("2026-04-24T12:00:00+09:00")) {
		t.Errorf("got %s paid until %v, want monthly from the day its first period was due", s.Plan, s.PaidUntil)
	}
	w.sound("sub-1")
}

func TestACancelledPlanChangeIsForgottenAndResumingGoesOnAsBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	w.until(noon.Add(days(10)))
	_, err := w.plan("quarterly")
	must(t, err)
	_, err = w.cancel(false)
	must(t, err)
	_, err = w.plan("weekly")
	wantFault(t, err, fault.Conflict, "no_next_period")
	_, err = w.resume()
	must(t, err)
	w.until(due.Add(time.Hour))
	w.wantPaid("4900 2026-03-10T03:00:00Z", "4900 "+april)
	w.sound("sub-1")
}

func TestAPlanThatCannotTakeOverIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.issue = func(nth int) (bool, bool, bool) { return false, nth == 1, false }
	w.subscribe(signUp("monthly"))
	_, err := w.plan("weekly")
	wantFault(t, err, fault.Conflict, "no_next_period")
	w.until(noon.Add(time.Hour))
	for _, id := range []string{"none", "usage", ""} {
		_, err := w.plan(id)
		wantFault(t, err, fault.Invalid, "unknown_plan")
	}
	_, err = w.cancel(true)
	must(t, err)
	_, err = w.plan("weekly")
	wantFault(t, err, fault.Conflict, "no_next_period")

	w = dunned(t, "monthly", map[string]string{"1.1": "!X"})
	_, err = w.plan("weekly")
	wantFault(t, err, fault.Conflict, "no_next_period")

	w = newWorld(t, noon)
	w.subscribe(signUp("usage"))
	_, err = w.plan("monthly")
	wantFault(t, err, fault.Invalid, "unknown_plan")
}

// Whichever comes first: the renewal is of one plan, and the price, the dates and what is
// planned all agree on which.
func TestAPlanChangeThatMeetsTheRenewalIsBeforeOrAfterIt(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"paid": {}, "busy": {busy: true}, "answer lost": {lose: true}, "request lost": {drop: true}, "killed": {kill: true}} {
		for _, within := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the charge within %v", name, within), func(t *testing.T) {
				t.Parallel()
				work := func(w *world) { _ = w.work("sub-1") }
				word := func(w *world) {
					_, err := w.biller.ChangePlan(t.Context(), scope, "sub-1", "quarterly")
					must(t, err)
				}
				first, second := work, word
				if within {
					first, second = word, work
				}
				met(t, func() *world {
					w := renewal(t, "monthly")
					w.gateway.fate = once(f)
					w.clock.set(due)
					return w
				}, first, second, func(w *world) {
					w.until(due.Add(days(1)))
					s := w.subscription("sub-1")
					taken := w.gateway.taken()
					if len(taken) != 2 || s.State != billing.StateActive {
						t.Fatalf("got %s after %d payments, want active after 2", s.State, len(taken))
					}
					turned := taken[1].amount == 12900
					until := map[bool]string{true: "2026-07-10T12:00:00+09:00", false: "2026-05-10T12:00:00+09:00"}[turned]
					if (s.Plan == "quarterly") != turned || (s.Next == nil) != turned || !s.PaidUntil.Equal(at(until)) {
						t.Errorf("paid %d: got plan %s until %v, planned %v; want all of one plan", taken[1].amount, s.Plan, s.PaidUntil, s.Next)
					}
					w.sound("sub-1")
				})
			})
		}
	}
}
