package billing_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
)

// renews is when period 1 of the monthly plan is due.
var renews = at("2026-04-10T03:01:05Z")

// renewing stops a minute before the renewal.
func renewing(t testing.TB, plan string) *abroad {
	t.Helper()
	w := subscribed(t, plan)
	w.until(w.subscription("sub-1").NextDueAt.Add(-time.Minute))
	return w
}

// of lets every charge of this attempt, written "period.attempt", meet a fate.
func of(name string, f fate) func(call) fate {
	return func(c call) fate {
		if attemptName(c.order) == name {
			return f
		}
		return fate{}
	}
}

func TestAMandateIsChargedForAYearAtItsInstants(t *testing.T) {
	t.Parallel()
	for name, post := range map[string]func(billing.Hint, int) []time.Duration{
		"with notices": nil, "without any": silent,
		"each twice": func(billing.Hint, int) []time.Duration { return []time.Duration{0, 3 * time.Second} },
		"a day late": func(billing.Hint, int) []time.Duration { return []time.Duration{25 * time.Hour} },
		"in disorder": func(_ billing.Hint, nth int) []time.Duration {
			return []time.Duration{time.Duration(nth%5) * time.Hour, time.Duration(nth%3) * time.Minute}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAbroad(t, at("2026-01-31T13:10:00Z"))
			w.dodo.post = post
			w.compares = true
			w.asked(invitation("usd", true))
			w.until(at("2026-01-31T13:11:00Z"))
			w.dodo.approve()
			w.until(at("2027-03-01T00:00:00Z"))
			var days []string
			for n, c := range w.dodo.sent() {
				anchor := w.subscription("sub-1").Anchor
				late := c.at.Sub(time.Date(c.at.Year(), c.at.Month(), c.at.Day(), anchor.Hour(), anchor.Minute(), anchor.Second(), 0, time.UTC))
				if late < 0 || late > 2*time.Minute && n > 0 {
					t.Errorf("charge %d at %v: %v after its time of day, want 2 minutes at most and never before", n, c.at, late)
				}
				days = append(days, c.at.Format("01-02"))
			}
			want := []string{
				"01-31", "02-28", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31", "11-30", "12-31", "01-31", "02-28",
			}
			if !slices.Equal(days, want) {
				t.Errorf("charged on %v, want %v", days, want)
			}
			if got := len(w.dodo.kept()); got != len(want) {
				t.Errorf("payments: got %d, want %d", got, len(want))
			}
			if w.alarmed() {
				t.Error("an alarm was raised, want a quiet year")
			}
			w.wantState(billing.StateActive)
			w.sound()
		})
	}
}

// {nothing done, done} × {no answer, an error, killed}: the order is never sent again, and
// whatever was done counts.
func TestAChargeWithoutAnAnswerIsNeverSentAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate fate
		done bool
	}{
		"the request is lost":        {fate{drop: true}, false},
		"the answer is lost":         {fate{lose: true}, true},
		"500, nothing done":          {fate{fail: true}, false},
		"500, and done":              {fate{fail: true, effect: true}, true},
		"killed before the request":  {fate{drop: true, kill: true}, false},
		"killed before the answer":   {fate{kill: true}, true},
		"done half an hour later":    {fate{late: 30 * time.Minute}, true},
		"done 5 hours later":         {fate{late: 5 * time.Hour}, true},
		"done 20 hours later":        {fate{late: 20 * time.Hour}, true},
		"lost, and a decline behind": {fate{lose: true, decline: "CARD_DECLINED"}, false},
	} {
		for when, post := range map[string]func(billing.Hint, int) []time.Duration{"noticed": nil, "polled": silent} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				w := renewing(t, "usd")
				w.dodo.fate, w.dodo.post = of("1.1", c.fate), post
				w.until(renews.Add(30 * time.Hour))
				w.wantSent("1.1 04-10T03:02")
				if c.done {
					w.wantKept("0.1", "1.1")
					w.wantState(billing.StateActive)
				} else {
					w.wantKept("0.1")
					w.wantState(billing.StatePastDue)
				}
				w.wantAccess(true)
				w.until(renews.Add(days(25)))
				w.wantState(billing.StateActive)
				if got, want := len(w.dodo.kept()), 2; got != want {
					t.Errorf("payments kept: got %d, want %d: period 1 once", got, want)
				}
				w.sound()
			})
		}
	}
}

func TestACertainAbsenceAfterTheQuietPeriodGoesOnByTheSchedule(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.fate = of("1.1", fate{drop: true})
	w.until(renews.Add(20 * time.Hour))
	if o := w.order(1, 1); o.State != billing.Unknown {
		t.Errorf("after 20 hours: got %s, want unknown still", o.State)
	}
	w.until(renews.Add(26 * time.Hour))
	if o := w.order(1, 1); o.State != billing.Declined || o.Code != billing.NoPaymentFound || o.Class != billing.Passing {
		t.Errorf("after 26 hours: got %s %s %s, want a passing decline with %s", o.State, o.Code, o.Class, billing.NoPaymentFound)
	}
	w.wantAccess(true)
	w.until(renews.Add(days(4)))
	w.wantSent("1.1 04-10T03:02", "1.2 04-13T03:02")
	w.wantKept("0.1", "1.2")
	w.wantState(billing.StateActive)
	w.sound()
}

// The first answer after a long outage may be of a list that lags.
func TestAbsenceIsBelievedWhenItIsFoundTwice(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.fate = of("1.1", fate{drop: true})
	up := renews.Add(28 * time.Hour)
	w.dodo.find = func(int) bool { return w.clock.Now().Before(up) }
	w.until(up)
	before := w.dodo.count("find")
	for w.order(1, 1).State == billing.Unknown && w.clock.Now().Before(renews.Add(days(3))) {
		w.until(w.clock.Now().Add(time.Minute))
	}
	if o := w.order(1, 1); o.State != billing.Declined || w.dodo.count("find") < before+2 {
		t.Errorf("got %s after %d looks that found nothing, want it declined after two", o.State, w.dodo.count("find")-before)
	}
	w.until(renews.Add(days(5)))
	w.sound()
}

// A list that cannot be read says nothing.
func TestNoDeclineComesOfSilence(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.fate, w.dodo.post = of("1.1", fate{lose: true}), silent
	w.dodo.find = func(int) bool { return w.clock.Now().Before(renews.Add(40 * time.Hour)) }
	w.until(renews.Add(39 * time.Hour))
	if o := w.order(1, 1); o.State != billing.Unknown {
		t.Errorf("while nothing can be looked at: got %s, want unknown", o.State)
	}
	w.until(renews.Add(48 * time.Hour))
	if o := w.order(1, 1); o.State != billing.Paid {
		t.Errorf("eight hours later: got %s, want paid", o.State)
	}
	if !w.alarmed() {
		t.Error("nobody was told of an outcome unknown for a day")
	}
	w.sound()
}

// The bound that the quiet period stands on is broken: both take money, and one is given
// back.
func TestAnEffectAfterTheQuietPeriodIsGivenBackWithAnAlarm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		late     time.Duration
		post     func(billing.Hint, int) []time.Duration
		compares bool
	}{
		"noticed before the next attempt": {late: 30 * time.Hour},
		"noticed after the next attempt":  {late: 80 * time.Hour},
		"found by the comparison":         {late: 80 * time.Hour, post: silent, compares: true},
		"noticed and compared":            {late: 30 * time.Hour, compares: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewing(t, "usd")
			w.compares = c.compares
			w.dodo.fate, w.dodo.post = of("1.1", fate{late: c.late}), c.post
			w.until(renews.Add(days(6)))
			w.wantKept("0.1", "1.2")
			if got := len(w.dodo.taken()); got != 3 {
				t.Errorf("payments: got %d, want 3, one of them given back", got)
			}
			if !w.alarmed() {
				t.Error("money was given back, and nobody was told")
			}
			w.wantState(billing.StateActive)
			w.sound()
		})
	}
}

// Two payments carry one order's id: which should never be, and is mended all the same.
func TestASecondPaymentOfAnOrderIsGivenBackAndTheFirstStands(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.until(renews.Add(time.Hour))
	w.dodo.mu.Lock()
	stray := w.dodo.pay(w.dodo.mandates[0], billing.OrderID(scope, "sub-1", 1, 1), 999, 0)
	w.dodo.tell(stray.decided, billing.Hint{Order: stray.order, Payment: stray.key})
	w.dodo.mu.Unlock()
	w.until(renews.Add(3 * time.Hour))
	w.wantKept("0.1", "1.1")
	if o := w.order(1, 1); o.Payment.Key == stray.key || o.Refunded != 0 {
		t.Errorf("order: got payment %s with %d given back, want the first one whole", o.Payment.Key, o.Refunded)
	}
	w.sound()
}

func TestABusyGatewayIsMadeUpForWithin30HoursAndIsNoAttempt(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"429": {busy: true}, pending: {odd: pending}, "our key": {ours: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewing(t, "usd")
			up := renews.Add(28 * time.Hour)
			w.dodo.fate = func(c call) fate {
				if c.at.Before(up) {
					return f
				}
				return fate{}
			}
			w.until(renews.Add(30 * time.Hour))
			w.wantKept("0.1", "1.1")
			w.wantState(billing.StateActive)
			w.wantAccess(true)
			if got := w.subscription("sub-1"); got.Period != 2 || got.Attempt != 1 {
				t.Errorf("got period %d attempt %d, want 2 and 1", got.Period, got.Attempt)
			}
			if got := w.has(event.ChargeDeclined); got != 0 {
				t.Errorf("declines told: got %d, want none", got)
			}
			w.sound()
		})
	}
}

// A charge on demand is open as the renewal comes.
func TestAnEarlierPaymentThatIsOpenDelaysTheNextAndNoMore(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.settles = 2 * time.Hour
	w.demand("demand-1", 5000)
	w.until(renews.Add(time.Hour))
	if got := len(w.dodo.kept()); got != 1 {
		t.Errorf("payments decided while one is open: got %d, want 1", got)
	}
	w.until(renews.Add(6 * time.Hour))
	w.wantKept("0.1", "demand-1", "1.1")
	w.wantState(billing.StateActive)
	w.sound()
}

func TestANoticeThatOvertakesTheAnswerCounts(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.settles, w.dodo.lag = 0, 0
	once := false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if len(w.dodo.sent()) == 1 && !once {
			once = true // between the charge and the write of its answer
			w.postman()
		}
		return true, nil
	}
	w.until(renews.Add(2 * time.Minute))
	w.tables.Fail = nil
	w.until(renews.Add(time.Hour))
	w.wantKept("0.1", "1.1")
	w.wantSent("1.1 04-10T03:02")
	if got, want := w.kinds(), []event.Type{event.SubscriptionCreated, event.SubscriptionActivated, event.SubscriptionRenewed}; !slices.Equal(got, want) {
		t.Errorf("events: got %v, want %v", got, want)
	}
	w.sound()
}

// An old "failed" of an earlier attempt comes after the later one has succeeded.
func TestAnOldFailureAfterASuccessChangesNothing(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.fate = of("1.1", fate{decline: "CARD_DECLINED"})
	w.dodo.post = func(h billing.Hint, _ int) []time.Duration {
		if attemptName(h.Order) == "1.1" {
			return []time.Duration{0, days(5)}
		}
		return []time.Duration{0, 0, time.Hour}
	}
	w.until(renews.Add(days(7)))
	w.wantKept("0.1", "1.2")
	w.wantState(billing.StateActive)
	if o := w.order(1, 1); o.State != billing.Declined {
		t.Errorf("the first attempt: got %s, want declined", o.State)
	}
	w.sound()
}

func TestANoticeAboutNothingOfOursIsLetGo(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	for _, h := range []billing.Hint{
		{}, {Order: "gl_unknown"}, {Order: "gl_unknown", Payment: "pay_1"}, {Subscription: "nobody"}, {Subscription: "status"}, {Subscription: "a b"},
	} {
		looked, err := w.biller.LookAgain(t.Context(), scope, h)
		if looked || err != nil {
			t.Errorf("%+v: got %v, %v; want nothing of ours", h, looked, err)
		}
	}
}

// Each look costs of the pace that charges share.
func TestANoticeOfWhatIsKnownAsksNobody(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.until(renews.Add(time.Hour))
	before := w.dodo.count("find")
	for range 5 {
		if _, err := w.biller.LookAgain(t.Context(), scope, billing.Hint{Order: w.order(1, 1).ID, Payment: w.order(1, 1).Payment.Key}); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.dodo.count("find") - before; got != 0 {
		t.Errorf("look-ups: got %d, want none", got)
	}
}

func TestANoticeThatCannotBeLookedAtComesAgain(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.fate = of("1.1", fate{lose: true})
	w.until(renews.Add(time.Minute))
	w.dodo.find = func(int) bool { return true }
	_, err := w.biller.LookAgain(t.Context(), scope, billing.Hint{Order: w.order(1, 1).ID, Payment: "pay_2"})
	if !isFault(err, fault.Unavailable) {
		t.Errorf("LookAgain: got %v, want an outage, so that it comes again", err)
	}
}

// With a mandate that is gone nobody can be charged, and a notice is looked at all the same.
func TestMoneyOfAnAgreementThatIsForgottenIsGivenBack(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.fate = of("1.1", fate{late: 9 * 24 * time.Hour})
	w.until(renews.Add(2 * time.Minute))
	if _, err := w.biller.Cancel(t.Context(), scope, "sub-1", true); err != nil {
		t.Fatal(err)
	}
	w.until(renews.Add(days(8)))
	if s := w.subscription("sub-1"); len(s.BillingKey) > 0 || s.State != billing.StateCancelled {
		t.Fatalf("got %s with a mandate of %d bytes, want it over and forgotten", s.State, len(s.BillingKey))
	}
	w.until(renews.Add(days(12)))
	w.wantKept("0.1")
	if got := len(w.dodo.taken()); got != 2 {
		t.Errorf("payments: got %d, want 2, one of them given back", got)
	}
	w.sound()
}

func TestCancelledWhileAChargeIsOpenItsMoneyIsNotKeptForNothing(t *testing.T) {
	t.Parallel()
	for _, atOnce := range []bool{false, true} {
		w := renewing(t, "usd")
		w.dodo.settles = time.Hour
		w.until(renews.Add(2 * time.Minute))
		s, err := w.biller.Cancel(t.Context(), scope, "sub-1", atOnce)
		if err != nil {
			t.Fatal(err)
		}
		if want := !atOnce; s.Ending != want {
			t.Errorf("ending: got %v, want %v", s.Ending, want)
		}
		w.until(renews.Add(days(3)))
		if atOnce {
			w.wantState(billing.StateCancelled)
			w.wantKept("0.1")
		} else {
			w.wantState(billing.StateActive) // one period more
			w.wantKept("0.1", "1.1")
			w.until(renews.Add(days(32)))
			w.wantState(billing.StateCancelled)
		}
		w.until(renews.Add(days(40)))
		if m := w.dodo.newest(); m.state != billing.MandateEnded {
			t.Errorf("mandate: got %s, want it revoked", m.state)
		}
		w.sound()
	}
}

// {nothing done, done} × every operation on the tables of a renewal, a decline and a
// recovery.
func TestAnyOperationOnTheTablesMayFailAndAMandateIsChargedOnce(t *testing.T) {
	t.Parallel()
	tale := func(fail func(*abroad)) *abroad {
		w := renewing(t, "usd-weekly")
		w.dodo.holds = true
		w.dodo.fate = of("1.1", fate{decline: "INSUFFICIENT_FUNDS"})
		if fail != nil {
			fail(w)
		}
		from := w.clock.Now()
		w.until(from.Add(30 * time.Hour))
		w.dodo.mended("pm_2")
		w.until(from.Add(days(9)))
		return w
	}
	want := func(w *abroad) {
		w.tables.Fail = nil
		w.wantState(billing.StateActive)
		w.wantKept("0.1", "1.2", "2.1")
		w.sound()
	}
	all := 0
	want(tale(func(w *abroad) { w.tables.Fail = func(memory.Op) (bool, error) { all++; return true, nil } }))
	for k := 1; k <= all; k++ {
		for _, done := range []bool{false, true} {
			w := tale(func(w *abroad) { failing(k, done)(w.world) })
			if want(w); t.Failed() {
				t.Fatalf("with operation %d of %d failing, done %v", k, all, done)
			}
		}
	}
}

func TestTheFirstLookAtACharge(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.post = silent
	w.until(renews.Add(time.Minute))
	if o := w.order(1, 1); o.State != billing.Sending || o.Payment == nil || o.Payment.Key == "" {
		t.Errorf("accepted: got %s with payment %+v, want it sending with the gateway's key", o.State, o.Payment)
	}
	w.until(renews.Add(4 * time.Minute))
	if o := w.order(1, 1); o.State != billing.Paid {
		t.Errorf("minutes later: got %s, want paid without any notice", o.State)
	}
	if got := w.dodo.count("find"); got > 5 {
		t.Errorf("look-ups: got %d, want a few", got)
	}
}

func TestAPaymentThatStaysOpenBlocksNothingForEver(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd-weekly")
	w.dodo.settles = 3 * 24 * time.Hour
	due := w.subscription("sub-1").NextDueAt
	w.until(due.Add(days(2)))
	w.wantState(billing.StateActive)
	w.wantAccess(true)
	if got := fmt.Sprint(len(w.dodo.sent())); got != "1" {
		t.Errorf("charges: got %s, want 1 while it is open", got)
	}
	w.until(due.Add(days(5)))
	w.wantKept("0.1", "1.1")
	w.sound()
}
