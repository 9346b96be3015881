package billing_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
)

// refusing declines the named attempts, as declining does.
func refusing(codes map[string]string) func(call) fate {
	return func(c call) fate {
		code := codes[attemptName(c.order)]
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

// The instants of the attempts of period 1 of the monthly plan.
var (
	thirdDay     = renews.Add(days(3))
	tenthDay     = renews.Add(days(10))
	seventeenDay = renews.Add(days(17))
)

func TestASoftDeclineOfAMandateKeepsToTheSchedule(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS", "1.2": "PROCESSING_ERROR", "1.3": "INSUFFICIENT_FUNDS"})
	w.until(renews.Add(days(20)))
	w.wantSent("1.1 04-10T03:02", "1.2 04-13T03:02", "1.3 04-20T03:02", "1.4 04-27T03:02")
	w.wantState(billing.StateActive)
	w.wantKept("0.1", "1.4")
	if got := w.has(event.DunningReminder); got != 3 {
		t.Errorf("reminders: got %d, want 3", got)
	}
	for _, r := range w.courier.told {
		if r.Link != "" {
			t.Errorf("reminder of %d: got page %q, want none where nothing has to be mended", r.Attempt, r.Link)
		}
	}
	w.sound()
}

func TestAHardDeclineOfAMandateIsNeverRepeated(t *testing.T) {
	t.Parallel()
	for _, holds := range []bool{false, true} {
		w := renewing(t, "usd")
		w.dodo.holds = holds
		w.dodo.fate = refusing(map[string]string{"1.1": "!DO_NOT_HONOR"})
		w.until(renews.Add(days(25)))
		w.wantSent("1.1 04-10T03:02")
		w.wantState(billing.StateUnpaid)
		w.wantAccess(false)
		w.sound()
	}
}

// Before each retry the mandate is looked at.
func TestAMandateIsLookedAtBeforeEachRetryAndNotBeforeAFirstAttempt(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	before := w.dodo.count("look")
	w.until(renews.Add(time.Hour))
	if got := w.dodo.count("look") - before; got != 0 {
		t.Errorf("looks before a first attempt: got %d, want none", got)
	}
	w = renewing(t, "usd")
	w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS"})
	w.until(thirdDay.Add(-time.Minute))
	before = w.dodo.count("look")
	w.until(thirdDay.Add(time.Minute))
	if got := w.dodo.count("look") - before; got != 1 {
		t.Errorf("looks before a retry: got %d, want 1", got)
	}
	w.until(thirdDay.Add(time.Hour))
	w.wantKept("0.1", "1.2")
}

func TestARetryWaitsForALookAtItsMandate(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS"})
	up := thirdDay.Add(7 * time.Hour)
	w.dodo.look = func(int) fate { return fate{drop: w.clock.Now().Before(up)} }
	w.until(up)
	w.wantSent("1.1 04-10T03:02")
	w.until(up.Add(10 * time.Minute))
	if got := len(w.dodo.sent()); got != 2 {
		t.Errorf("minutes after the gateway is back: got %d charges, want 2", got)
	}
	w.until(up.Add(time.Hour))
	w.wantKept("0.1", "1.2")
	w.sound()
}

func TestAMandateOnHoldIsNotChargedAndItsCustomerIsGivenThePage(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.holds = true
	w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS"})
	w.until(renews.Add(days(30) - time.Hour))
	w.wantSent("1.1 04-10T03:02")
	w.wantState(billing.StateUnpaid)
	w.wantAccess(false)
	want := []event.Type{
		event.SubscriptionCreated, event.SubscriptionActivated, event.ChargeDeclined,
		event.DunningReminder, event.PaymentMethodRequired, event.DunningReminder, event.PaymentMethodRequired, event.DunningReminder,
		event.SubscriptionUnpaid,
	}
	if got := w.kinds(); !slices.Equal(got, want) {
		t.Errorf("events:\n got %v\nwant %v", got, want)
	}
	for _, e := range w.events() {
		if e.Type == event.PaymentMethodRequired && (e.DeclineCode != billing.MandateHeld || e.NextAttemptAt == nil) {
			t.Errorf("payment_method.required: got code %q, next attempt %v", e.DeclineCode, e.NextAttemptAt)
		}
	}
	if got := len(w.courier.told); got != 3 {
		t.Fatalf("reminders told: got %d, want 3", got)
	}
	for _, r := range w.courier.told {
		if !slices.Contains(w.dodo.newest().pages, r.Link) {
			t.Errorf("reminder of attempt %d: got page %q, want one of the gateway's %v", r.Attempt, r.Link, w.dodo.newest().pages)
		}
	}
	if got := w.subscription("sub-1"); got.Attempt != 4 {
		t.Errorf("attempts: got %d, want all 4 to have had their dates", got.Attempt)
	}
	w.sound()
}

// A message comes twice. One has sent the attempt when its payment puts the mandate on hold, and
// has not written down what the gateway said; the other meets the mandate on hold. The attempt
// that is under way is not passed over: it has an end, and money that it takes is of its period.
func TestAnAttemptThatIsUnderWayIsNotPassedOverForAMandateOnHold(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]string{"it is declined": "CARD_DECLINED", "it takes money": ""} {
		w := renewing(t, "usd")
		w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS", "1.2": code})
		w.until(thirdDay.Add(-time.Minute))
		order := billing.OrderID(scope, "sub-1", 1, 2)
		twice := false
		w.tables.Fail = func(op memory.Op) (bool, error) {
			if !twice && op.Method == "Commit" && len(w.dodo.sent()) == 2 {
				twice = true
				w.dodo.set(func(m *mandate) { m.state = billing.MandateOnHold })
				if err := w.biller.Work(t.Context(), scope, "sub-1"); err != nil {
					t.Errorf("%s: the other message: got %v, want it to let go", name, err)
				}
			}
			return false, nil
		}
		w.until(thirdDay.Add(days(2)))
		if !twice {
			t.Fatal("the attempt was not met while it was under way")
		}
		c := w.found(order)
		if want := map[bool]billing.ChargeState{true: billing.Paid, false: billing.Declined}[code == ""]; c.State != want {
			t.Errorf("%s: got the order %s, want %s", name, c.State, want)
		}
		w.wantSent("1.1 04-10T03:02", "1.2 04-13T03:02")
		if code == "" {
			w.wantState(billing.StateActive)
			w.wantKept("0.1", "1.2")
		}
		w.sound()
	}
}

// Mended at any time, it is tried once, at once.
func TestAMendedMandateIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]time.Time{
		"before anybody knew":      renews.Add(5 * time.Hour),
		"after the first reminder": thirdDay.Add(-5 * time.Hour),
		"after the second attempt": thirdDay.Add(2 * time.Hour),
		"days after it":            thirdDay.Add(days(4)),
		"after the third":          tenthDay.Add(days(1)),
		"once it is unpaid":        seventeenDay.Add(days(2)),
	} {
		for when, post := range map[string]func(billing.Hint, int) []time.Duration{"noticed": nil, "polled": silent} {
			if when == "polled" && (name == "before anybody knew" || name == "after the first reminder") {
				continue // then the next attempt finds it
			}
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				w := renewing(t, "usd")
				w.dodo.holds, w.dodo.post = true, post
				w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS"})
				w.until(at)
				method, within := "pm_2", 2*time.Minute
				if post != nil {
					method, within = "pm_1", 12*time.Hour+2*time.Minute // the same card, with which all is well again
				}
				w.dodo.mended(method)
				w.until(at.Add(within))
				sent := w.dodo.sent()
				if len(sent) != 2 || sent[1].at.Before(at) {
					t.Fatalf("charges within %v of %v: got %+v, want one more", within, at, sent)
				}
				w.until(at.Add(within + time.Hour))
				w.wantState(billing.StateActive)
				w.wantAccess(true)
				if got := len(w.dodo.kept()); got != 2 {
					t.Errorf("payments: got %d, want 2", got)
				}
				if got := w.has(event.PaymentMethodChanged); got != 1 {
					t.Errorf("changes told: got %d, want 1", got)
				}
				if s := w.subscription("sub-1"); s.OnHold || s.NextDueAt.Format("01-02") != "05-10" {
					t.Errorf("got on hold %v, next due %v; want it as if nothing had been", s.OnHold, s.NextDueAt)
				}
				w.sound()
			})
		}
	}
}

func TestAMandateThatIsMendedUnseenIsChargedAtItsNextAttempt(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.holds, w.dodo.post = true, silent
	w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS", "1.2": "INSUFFICIENT_FUNDS"})
	w.until(thirdDay.Add(-5 * time.Hour)) // known to be on hold, and reminded
	w.dodo.mended("pm_2")
	w.until(thirdDay.Add(4 * time.Minute))
	w.wantSent("1.1 04-10T03:02", "1.2 04-13T03:03")
	// Another card, so that the same code says nothing of it.
	w.until(thirdDay.Add(days(5)))
	w.wantState(billing.StatePastDue)
	w.sound()
}

func TestTheSameDeclineTwiceStopsUnlessTheMethodHasChanged(t *testing.T) {
	t.Parallel()
	for _, changes := range []bool{false, true} {
		w := renewing(t, "usd")
		w.dodo.post = silent
		w.dodo.fate = refusing(map[string]string{"1.1": "CARD_DECLINED", "1.2": "CARD_DECLINED"})
		w.until(renews.Add(days(1)))
		if changes {
			w.dodo.mended("pm_2") // by the gateway's own portal, and nobody hears of it
		}
		w.until(renews.Add(days(29)))
		if changes {
			w.wantState(billing.StateActive)
			w.wantKept("0.1", "1.3")
		} else {
			w.wantState(billing.StateUnpaid)
			w.wantSent("1.1 04-10T03:02", "1.2 04-13T03:02")
		}
		w.sound()
	}
}

// Nobody heard of the other means of payment, and it is the one that declined: the gateway's
// payment says so, and a look before the retry says nothing new.
func TestADeclineCountsAgainstTheMeansOfPaymentThatWasAsked(t *testing.T) {
	t.Parallel()
	for code, want := range map[string][]string{
		"CARD_DECLINED": {"1.1 04-10T03:02", "1.2 04-13T03:02"},
		"!EXPIRED_CARD": {"1.1 04-10T03:02"},
	} {
		w := renewing(t, "usd")
		w.dodo.post = silent
		w.dodo.mended("pm_2")
		w.dodo.fate = refusing(map[string]string{"1.1": code, "1.2": code})
		w.until(renews.Add(time.Hour))
		for _, e := range w.events() {
			if owed := code[0] != '!'; e.Type == event.PaymentMethodChanged && (e.NextAttemptAt != nil) != owed {
				t.Errorf("%s: got %v as the next attempt of the change, want one: %v", code, e.NextAttemptAt, owed)
			}
		}
		w.until(thirdDay.Add(days(1)))
		w.wantState(billing.StateUnpaid)
		w.dodo.post = nil
		w.dodo.set(func(*mandate) {}) // its notice comes after all, and is no news
		w.until(renews.Add(days(29)))
		w.wantState(billing.StateUnpaid)
		w.wantSent(want...)
		if got := w.has(event.PaymentMethodChanged); got != 1 {
			t.Errorf("%s: got %d changes told, want 1", code, got)
		}
		w.sound()
	}
}

// The notice of another means of payment that comes while an attempt is under way says nothing
// of which of the two was asked. The payment does.
func TestAnAttemptUnderWayIsOfTheMeansOfPaymentThatItsPaymentNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mended time.Time
		state  billing.State
		sent   int
	}{
		"the old one": {renews.Add(3 * time.Minute), billing.StateActive, 2},
		"the new one": {renews.Add(-time.Second), billing.StateUnpaid, 1},
	} {
		w := renewing(t, "usd")
		w.dodo.settles = 30 * time.Minute
		w.dodo.post = func(billing.Hint, int) []time.Duration { return []time.Duration{10 * time.Minute} }
		w.dodo.fate = refusing(map[string]string{"1.1": "!EXPIRED_CARD"})
		w.until(c.mended)
		w.dodo.mended("pm_2")
		w.until(renews.Add(days(2)))
		w.wantState(c.state)
		if got := len(w.dodo.sent()); got != c.sent {
			t.Errorf("%s was asked: got %d charges, want %d", name, got, c.sent)
		}
		if got := w.has(event.PaymentMethodChanged); got != 1 {
			t.Errorf("%s was asked: got %d changes told, want 1", name, got)
		}
		w.sound()
	}
}

// A message comes twice. One has sent the retry to the old means of payment; the other finds that
// there is a new one. The old one's decline is not the new one's.
func TestADeclineOfTheMeansBeforeDoesNotTurnTheNewOneBack(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.post = silent
	w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS", "1.2": "!EXPIRED_CARD"})
	w.until(thirdDay.Add(-time.Minute))
	twice := false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if !twice && op.Method == "Commit" && len(w.dodo.sent()) == 2 {
			twice = true
			w.dodo.mended("pm_2")
			if err := w.biller.Work(t.Context(), scope, "sub-1"); err != nil {
				t.Errorf("the other message: got %v, want it to let go", err)
			}
		}
		return false, nil
	}
	w.until(thirdDay.Add(days(2)))
	if !twice {
		t.Fatal("the attempt was not met while it was under way")
	}
	w.wantState(billing.StateActive)
	if got := w.has(event.PaymentMethodChanged); got != 1 {
		t.Errorf("got %d changes told, want 1", got)
	}
	w.sound()
}

// What is passing says nothing of a card, nor that there is another.
func TestAPassingDeclineLeavesTheNewsOfANewCardToItsNotice(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.post = silent
	w.dodo.mended("pm_2")
	w.dodo.fate = refusing(map[string]string{"1.1": "~INVALID_REQUEST"})
	w.until(renews.Add(days(1)))
	w.dodo.post = nil
	w.dodo.set(func(*mandate) {}) // its notice, late
	w.until(renews.Add(days(1) + time.Hour))
	w.wantState(billing.StateActive)
	w.sound()
}

// What ended at the gateway is a cancellation: the paid period is used up.
func TestAMandateThatEndsAtTheGatewayEndsItsAgreementWithThePaidPeriod(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	w.dodo.set(func(m *mandate) { m.state = billing.MandateEnded })
	w.until(noon.Add(2 * time.Hour))
	w.wantState(billing.StateActive)
	if s := w.subscription("sub-1"); !s.Ending || !s.Spent {
		t.Errorf("got ending %v, spent %v; want both", s.Ending, s.Spent)
	}
	_, err := w.tryDemand("usage-march", 5000)
	wantFault(t, err, fault.Conflict, "payment_method_needed")
	w.until(renews.Add(-time.Hour))
	w.wantAccess(true)
	w.until(renews.Add(time.Hour))
	w.wantState(billing.StateCancelled)
	w.wantAccess(false)
	if got := len(w.dodo.sent()); got != 0 {
		t.Errorf("charges: got %d, want none to a mandate that has ended", got)
	}
	if got := []int{w.has(event.SubscriptionEnding), w.has(event.SubscriptionCancelled)}; !slices.Equal(got, []int{1, 1}) {
		t.Errorf("told: got %v of ending and cancelled, want one each", got)
	}
	w.until(renews.Add(days(5)))
	w.sound()
}

func TestAMandateThatEndedUnnoticedEndsBeforeARetry(t *testing.T) {
	t.Parallel()
	for _, holds := range []bool{false, true} {
		w := renewing(t, "usd")
		w.dodo.post, w.dodo.holds = silent, holds
		w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS"})
		w.until(renews.Add(days(1)))
		w.dodo.set(func(m *mandate) { m.state = billing.MandateEnded })
		w.until(thirdDay.Add(days(1)))
		w.wantState(billing.StateCancelled)
		w.wantSent("1.1 04-10T03:02")
		w.wantAccess(false)
		if got := w.has(event.PaymentMethodRequired); got != 0 {
			t.Errorf("payment_method.required: got %d, want none for what cannot be mended", got)
		}
		w.until(thirdDay.Add(days(5)))
		w.sound()
	}
}

func TestAMandateOnHoldThatEndsIsOver(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]time.Time{"past due": thirdDay.Add(time.Hour), "unpaid": seventeenDay.Add(time.Hour)} {
		for when, post := range map[string]func(billing.Hint, int) []time.Duration{"noticed": nil, "polled": silent} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				w := renewing(t, "usd")
				w.dodo.post, w.dodo.holds = post, true
				w.dodo.fate = refusing(map[string]string{"1.1": "INSUFFICIENT_FUNDS"})
				w.until(at)
				w.dodo.set(func(m *mandate) { m.state = billing.MandateEnded })
				w.until(at.Add(13 * time.Hour))
				w.wantState(billing.StateCancelled)
				w.until(at.Add(days(5)))
				w.wantSent("1.1 04-10T03:02")
				w.sound()
			})
		}
	}
}

func TestAGatewayThatNamesNoMethodSaysNothingOfIt(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.fate = refusing(map[string]string{"1.1": "CARD_DECLINED", "1.2": "CARD_DECLINED"})
	w.dodo.set(func(m *mandate) { m.method = "" })
	w.until(renews.Add(days(29)))
	w.wantState(billing.StateUnpaid) // the same decline twice
	w.wantSent("1.1 04-10T03:02", "1.2 04-13T03:02")
	if got := w.has(event.PaymentMethodChanged); got != 0 {
		t.Errorf("changes told: got %d, want none", got)
	}
	w.sound()
}

// A notice comes once: what else happens at that moment must not swallow it.
func TestANoticeOfAMandateIsNotLostToAnotherWrite(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]billing.MandateState{"mended": billing.MandateActive, "ended": billing.MandateEnded} {
		w := renewing(t, "usd")
		w.dodo.fate = refusing(map[string]string{"1.1": "CARD_DECLINED"})
		w.until(renews.Add(time.Hour))
		w.dodo.set(func(m *mandate) { m.state, m.method = state, "pm_2" })
		w.dodo.mail = nil
		inside := false
		w.tables.Fail = func(op memory.Op) (bool, error) {
			if op.Method == "Commit" && !inside {
				inside = true
				w.change("sub-1", func(s *billing.Subscription) { s.AskedAt = w.clock.Now() })
			}
			return true, nil
		}
		looked, err := w.biller.LookAgain(t.Context(), scope, billing.Hint{Subscription: "sub-1"})
		w.tables.Fail = nil
		if !looked || err != nil || !inside {
			t.Errorf("%s: got %v, %v; want it looked at", name, looked, err)
		}
		w.until(renews.Add(2 * time.Hour))
		if name == "mended" {
			w.wantKept("0.1", "1.2")
		} else {
			w.wantState(billing.StateCancelled)
		}
	}
}

// Having the page is not having used it: a card that was refused for good is not tried again.
func TestAPageThatWasNotUsedBringsNothingForward(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		codes map[string]string
		holds bool
		state billing.State
	}{
		"a hard decline":                    {codes: map[string]string{"1.1": "!LOST_CARD"}, state: billing.StateUnpaid},
		"a hard decline that puts on hold":  {codes: map[string]string{"1.1": "!LOST_CARD"}, holds: true, state: billing.StateUnpaid},
		"a soft decline":                    {codes: map[string]string{"1.1": "CARD_DECLINED"}, state: billing.StatePastDue},
		"a soft decline that puts on hold":  {codes: map[string]string{"1.1": "CARD_DECLINED"}, holds: true, state: billing.StatePastDue},
		"the same one twice, and then over": {codes: map[string]string{"1.1": "A", "1.2": "A"}, state: billing.StatePastDue},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewing(t, "usd")
			w.dodo.holds, w.dodo.fate = c.holds, refusing(c.codes)
			w.until(renews.Add(time.Hour))
			if _, _, _, err := w.biller.ChangeMethod(t.Context(), scope, "sub-1", nil, ""); err != nil {
				t.Fatal(err)
			}
			w.until(thirdDay.Add(-time.Hour))
			w.wantState(c.state)
			w.wantSent("1.1 04-10T03:02")
			if got := w.dodo.count("look"); got > 40 {
				t.Errorf("looks in three days: got %d, want 40 at most", got)
			}
			if got := w.has(event.PaymentMethodChanged); got != 0 {
				t.Errorf("changes told: got %d, want none", got)
			}
			w.until(renews.Add(days(29)))
			w.sound()
		})
	}
}

// By notice and, where that is lost, by polling while the page is open.
func TestANewMethodIsTriedBeforeTheNextAttemptWouldHaveCome(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]string{"soft": "CARD_DECLINED", "hard": "!LOST_CARD"} {
		for when, post := range map[string]func(billing.Hint, int) []time.Duration{"noticed": nil, "polled": silent} {
			for _, holds := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, holds %v", name, when, holds), func(t *testing.T) {
					t.Parallel()
					w := renewing(t, "usd")
					w.dodo.post, w.dodo.holds = post, holds
					w.dodo.fate = refusing(map[string]string{"1.1": code, "1.2": code})
					w.until(renews.Add(time.Hour))
					if _, _, _, err := w.biller.ChangeMethod(t.Context(), scope, "sub-1", nil, ""); err != nil {
						t.Fatal(err)
					}
					w.until(renews.Add(3 * time.Hour))
					method := "pm_2"
					if holds {
						method = "pm_1" // mended, and nothing else
					}
					w.dodo.mended(method)
					w.until(renews.Add(5 * time.Hour))
					if got := len(w.dodo.sent()); got != 2 {
						t.Fatalf("charges within two hours: got %d, want 2", got)
					}
					// It was the period's second attempt; those after it keep their dates, and
					// the same code of another card is not the same twice.
					w.until(tenthDay.Add(time.Hour))
					if name == "soft" && !holds {
						w.wantState(billing.StateActive)
						if got := w.dodo.sent()[2].at; !got.Equal(tenthDay.Truncate(time.Minute).Add(time.Minute)) {
							t.Errorf("third attempt: got %v, want %v", got, tenthDay)
						}
						w.wantKept("0.1", "1.3")
					}
					w.sound()
				})
			}
		}
	}
}

// The mandate is on hold when the first attempt comes, and nobody was told.
func TestAFirstAttemptOnAMandateOnHoldIsADeclineThatSaysNothingOfTheCard(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.post = silent
	w.dodo.set(func(m *mandate) { m.state = billing.MandateOnHold })
	w.until(renews.Add(time.Hour))
	w.wantState(billing.StatePastDue)
	if o := w.order(1, 1); o.State != billing.Declined || o.Class != billing.Passing {
		t.Errorf("got %s %s, want a passing decline", o.State, o.Class)
	}
	w.wantAccess(true)
	w.dodo.mended("pm_2")
	w.until(thirdDay.Add(time.Hour))
	w.wantState(billing.StateActive)
	w.wantKept("0.1", "1.2")
	w.sound()
}

func TestNoPageIsNoReasonToMissAReminder(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.holds = true
	w.dodo.mend = func(int) fate { return fate{drop: true} }
	w.dodo.fate = refusing(map[string]string{"1.1": "CARD_DECLINED"})
	w.until(thirdDay.Add(time.Hour))
	if got := w.has(event.DunningReminder); got != 1 {
		t.Errorf("reminders: got %d, want 1", got)
	}
	if got := w.has(event.PaymentMethodRequired); got != 1 {
		t.Errorf("payment_method.required: got %d, want 1", got)
	}
	w.dodo.mend = nil
	w.until(tenthDay.Add(-time.Hour))
	if told := w.courier.told; len(told) != 2 || told[0].Link != "" || told[1].Link != "" && !strings.Contains(told[1].Link, "secret-mend") {
		t.Errorf("told: got %+v", told)
	}
	w.until(tenthDay.Add(time.Hour))
	w.until(seventeenDay.Add(-time.Hour))
	if told := w.courier.told; len(told) != 3 || told[2].Link == "" {
		t.Errorf("told: got %+v, want the page with the third at the latest", told)
	}
	w.sound()
}

// Whoever was never told which means of payment it is learns it by a decline: that is no change.
func TestADeclineThatNamesTheFirstMeansOfPaymentTellsNoChange(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]string{"soft": "INSUFFICIENT_FUNDS", "passing": "~INVALID_REQUEST"} {
		w := renewing(t, "usd")
		w.change("sub-1", func(s *billing.Subscription) { s.Method = "" })
		w.dodo.fate = refusing(map[string]string{"1.1": code})
		w.until(thirdDay.Add(time.Hour))
		w.wantState(billing.StateActive)
		if got := w.has(event.PaymentMethodChanged); got != 0 {
			t.Errorf("%s: got %d changes told, want none: there was none", name, got)
		}
	}
}
