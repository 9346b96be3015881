package billing_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

func TestAFirstChargeOnThePageIsThePaymentOfPeriod0(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{time.Minute, 15 * time.Minute, 5 * time.Hour, days(3)} {
		for name, post := range map[string]func(billing.Hint, int) []time.Duration{"noticed": nil, "polled": silent} {
			t.Run(name+" after "+after.String(), func(t *testing.T) {
				t.Parallel()
				w := newAbroad(t, noon)
				w.dodo.post = post
				w.asked(invitation("usd", false))
				w.until(noon.Add(after))
				w.dodo.approve()
				w.until(noon.Add(after + 13*time.Hour))
				w.wantState(billing.StateActive)
				w.wantKept("0.1")
				w.wantAccess(true)
				if got := len(w.dodo.sent()); got != 0 {
					t.Errorf("charges: got %d, want none beside that of the page", got)
				}
				if got, want := w.kinds(), []event.Type{event.SubscriptionCreated, event.SubscriptionActivated}; !slices.Equal(got, want) {
					t.Errorf("events: got %v, want %v", got, want)
				}
				w.sound()
			})
		}
	}
}

// The anchor is the instant at which the approval is known; the first charge is due then.
func TestAMandateAloneIsChargedAtItsApprovalAndAnchoredThere(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.asked(invitation("usd", true))
	w.until(noon.Add(2 * time.Hour))
	w.wantState(billing.StatePending)
	w.dodo.approve()
	w.until(noon.Add(3 * time.Hour))
	w.wantState(billing.StateActive)
	w.wantSent("0.1 03-10T05:00")
	s := w.subscription("sub-1")
	if want := noon.Add(2 * time.Hour); !s.Anchor.Equal(want) || s.NextDueAt.Format("01-02T15:04") != "04-10T05:00" {
		t.Errorf("got anchor %v, next due %v; want %v and a month after", s.Anchor, s.NextDueAt, want.UTC())
	}
	w.sound()
}

func TestAnApprovalIsFoundWithin48HoursWithoutAnyNotice(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{time.Minute, 29 * time.Minute, 5 * time.Hour, 47 * time.Hour, days(6)} {
		w := newAbroad(t, noon)
		w.dodo.post = silent
		w.asked(invitation("usd", true))
		w.until(noon.Add(after))
		w.dodo.approve()
		w.until(noon.Add(after + 24*time.Hour))
		if w.wantState(billing.StateActive); t.Failed() {
			t.Fatalf("approved after %v", after)
		}
		w.wantKept("0.1")
		w.sound()
	}
}

func TestTheSameMandateAgainGivesTheSamePageWhileItIsOpen(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	is := w.asked(invitation("usd", false))
	for range 3 {
		again := w.asked(invitation("usd", false))
		if !again.Existed || again.Link != is.Link {
			t.Errorf("again: got existed %v, page %q, want %q", again.Existed, again.Link, is.Link)
		}
	}
	if got := w.dodo.count("invite"); got != 1 {
		t.Errorf("mandates asked for: got %d, want 1", got)
	}
	w.until(noon.Add(time.Minute))
	w.dodo.approve()
	w.until(noon.Add(time.Hour))
	after, err := w.ask(invitation("usd", false))
	if err != nil || !after.Existed || after.Link != "" || after.Subscription.State != billing.StateActive {
		t.Errorf("after the approval: got %s with page %q, %v; want it active and no page", after.Subscription.State, after.Link, err)
	}
	w.sound()
}

func TestAnotherBodyForAMandateIsAConflict(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*billing.SignUp){
		"plan": func(r *billing.SignUp) { r.Plan = "usd-weekly" }, "only": func(r *billing.SignUp) { r.Mandate.Only = true },
		"address": func(r *billing.SignUp) { r.Mandate.Address.City = "LA" }, "customer": func(r *billing.SignUp) { r.CustomerID = "somebody-else" },
		"return": func(r *billing.SignUp) { r.Mandate.ReturnURL = "https://app.example/other" },
	} {
		w := newAbroad(t, noon)
		w.asked(invitation("usd", false))
		other := invitation("usd", false)
		change(&other)
		_, err := w.ask(other)
		if wantFault(t, err, fault.Conflict, "subscription_exists"); t.Failed() {
			t.Fatalf("with another %s", name)
		}
	}
}

// Whatever becomes of the answer, asking again gives a page, and it is the one that counts.
func TestALostInvitationIsAskedForAgainAndOnePageIsSeen(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{
		"request lost": {drop: true}, "answer lost": {lose: true}, "killed": {kill: true}, "error without effect": {fail: true}, "error with effect": {fail: true, effect: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAbroad(t, noon)
			w.dodo.invite = func(nth int) fate {
				if nth == 1 {
					return f
				}
				return fate{}
			}
			_, err := w.ask(invitation("usd", false))
			if err == nil {
				t.Fatal("Subscribe: got success without a page, want an outage")
			}
			if isInvalid := isFault(err, fault.Invalid); isInvalid {
				t.Errorf("Subscribe: got %v, want an outage", err)
			}
			if f.kill {
				w.until(noon.Add(3 * time.Minute)) // whoever was killed is surely gone
			}
			created := w.asked(invitation("usd", false))
			if created.Link != w.dodo.newest().page {
				t.Errorf("page: got %q, want that of the newest mandate %q", created.Link, w.dodo.newest().page)
			}
			w.dodo.approve()
			w.until(noon.Add(time.Hour))
			w.wantState(billing.StateActive)
			w.wantKept("0.1")
			w.sound()
		})
	}
}

func TestARefusedInvitationLeavesNothingAndTheIDMayBeUsedAgain(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.dodo.invite = func(nth int) fate {
		if nth == 1 {
			return fate{decline: "UNSUPPORTED_COUNTRY"}
		}
		return fate{}
	}
	_, err := w.ask(invitation("usd", false))
	wantFault(t, err, fault.Invalid, "gateway_refused")
	if _, err := w.biller.Get(t.Context(), scope, "sub-1"); !isFault(err, fault.NotFound) {
		t.Errorf("Get: got %v, want nothing left", err)
	}
	other := invitation("usd", true)
	other.Mandate.Address.Country = "KR"
	w.asked(other)
	w.sound()
}

// While the first still asks, the second comes in at each of its operations.
func TestOfTwoSignUpsAtOnceOnlyOnePageIsEverSeen(t *testing.T) {
	t.Parallel()
	for again, k := false, 1; ; k++ {
		w := newAbroad(t, noon)
		asks := 1
		if again { // the one before them got no answer
			w.dodo.invite = func(nth int) fate { return fate{drop: nth == 1} }
			_, _ = w.ask(invitation("usd", false))
			asks = 2
		}
		pages := map[string]bool{}
		n, inside := 0, false
		w.tables.Fail = func(memory.Op) (bool, error) {
			if n++; n == k && !inside {
				inside = true
				if created, err := w.biller.Subscribe(w.Context(), scope, invitation("usd", false)); err == nil {
					pages[created.Link] = true
				}
				inside = false
			}
			return true, nil
		}
		if created, err := w.ask(invitation("usd", false)); err == nil {
			pages[created.Link] = true
		}
		w.tables.Fail = nil
		w.until(noon.Add(3 * time.Minute))
		pages[w.asked(invitation("usd", false)).Link] = true
		if got := w.dodo.count("invite"); got != asks {
			t.Fatalf("with the second at operation %d: got %d mandates asked for, want %d: the other is told to ask again", k, got, asks)
		}
		if len(pages) != 1 || pages[""] {
			t.Fatalf("with the second at operation %d: got pages %v, want one", k, pages)
		}
		if n < k && again {
			break
		}
		if n < k {
			again, k = true, 0
		}
	}
}

func TestAPageThatNobodyUsesEndsAfter14DaysAndItsMandateIsRevoked(t *testing.T) {
	t.Parallel()
	for _, only := range []bool{true, false} {
		w := newAbroad(t, noon)
		w.asked(invitation("usd", only))
		w.until(noon.Add(days(14)))
		w.wantState(billing.StatePending)
		w.until(noon.Add(days(15)))
		w.wantState(billing.StateCancelled)
		if got := w.subscription("sub-1").Refusal; got != "mandate_not_approved" {
			t.Errorf("refusal: got %q, want mandate_not_approved", got)
		}
		if m := w.dodo.newest(); m.state != billing.MandateEnded {
			t.Errorf("mandate: got %s, want it revoked", m.state)
		}
		w.wantAccess(false)
		w.sound()
		// And the id may be used again.
		w.asked(invitation("usd", only))
		w.dodo.approve()
		w.until(noon.Add(days(16)))
		w.wantState(billing.StateActive)
		w.wantKept("0.1")
		w.sound()
	}
}

func TestAGatewayThatForgotAMandateEndsItsSignUp(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.asked(invitation("usd", true))
	w.dodo.look = func(int) fate { return fate{decline: "NOT_FOUND"} }
	w.until(noon.Add(days(13)))
	w.wantState(billing.StatePending)
	w.until(noon.Add(days(15)))
	w.wantState(billing.StateCancelled)
	w.sound()
}

func TestASilentGatewayEndsNoSignUp(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.dodo.post = silent
	w.asked(invitation("usd", true))
	w.dodo.look = func(int) fate { return fate{drop: w.clock.Now().Before(noon.Add(days(18)))} }
	w.until(noon.Add(days(13)))
	w.dodo.approve()
	w.until(noon.Add(days(18)))
	w.wantState(billing.StatePending)
	w.until(noon.Add(days(19)))
	w.wantState(billing.StateActive)
	w.wantKept("0.1")
	w.sound()
}

func TestASignUpWithoutAPageIsGivenUpWithinTwoHours(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.dodo.invite = func(int) fate { return fate{lose: true} }
	if _, err := w.ask(invitation("usd", false)); err == nil {
		t.Fatal("Subscribe: got success without a page")
	}
	w.until(noon.Add(2 * time.Hour))
	w.wantState(billing.StateCancelled)
	w.dodo.invite = nil
	w.asked(invitation("usd", false))
	w.dodo.approve()
	w.until(noon.Add(3 * time.Hour))
	w.wantState(billing.StateActive)
	w.wantKept("0.1")
	w.sound()
}

func TestAFailedPaymentOnThePageDecidesNothing(t *testing.T) {
	t.Parallel()
	for _, lag := range []time.Duration{0, 30 * time.Second, 20 * time.Minute} {
		w := newAbroad(t, noon)
		w.dodo.lag = lag
		w.asked(invitation("usd", false))
		w.until(noon.Add(time.Minute))
		w.dodo.fail("CARD_DECLINED")
		w.until(noon.Add(40 * time.Minute))
		w.wantState(billing.StatePending)
		w.dodo.approve("DO_NOT_HONOR", "INSUFFICIENT_FUNDS")
		w.until(noon.Add(4 * time.Hour))
		w.wantState(billing.StateActive)
		w.wantKept("0.1")
		if got := w.has(event.ChargeDeclined); got != 0 {
			t.Errorf("declines told: got %d, want none", got)
		}
		if w.sound(); t.Failed() {
			t.Fatalf("with a list that lags by %v", lag)
		}
	}
}

func TestAPageWhoseMandateEndsNeverBecomesActiveAndTheIDMayBeUsedAgain(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.dodo.ends = true
	w.asked(invitation("usd", false))
	w.until(noon.Add(time.Minute))
	w.dodo.fail("DO_NOT_HONOR")
	w.until(noon.Add(time.Hour))
	w.wantState(billing.StateCancelled)
	if got := w.subscription("sub-1").Refusal; got != "mandate_refused" {
		t.Errorf("refusal: got %q, want mandate_refused", got)
	}
	w.wantAccess(false)
	w.sound()
	w.asked(invitation("usd", false))
	w.dodo.approve()
	w.until(noon.Add(2 * time.Hour))
	w.wantState(billing.StateActive)
	w.wantKept("0.1")
	w.sound()
}

func TestAnIDUnderWhichMoneyWasTakenForNothingIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.dodo.post = silent
	w.asked(invitation("usd", false))
	w.until(noon.Add(time.Minute))
	w.dodo.approve()
	w.clock.set(noon.Add(2 * time.Minute))
	w.dodo.set(func(m *mandate) { m.state = billing.MandateEnded })
	w.dodo.find = func(int) bool { return w.clock.Now().Before(noon.Add(2 * time.Hour)) }
	w.until(noon.Add(2 * time.Hour))
	w.wantState(billing.StatePending) // whether its page took money is not known
	w.until(noon.Add(3 * time.Hour))
	w.wantState(billing.StateCancelled)
	_, err := w.ask(invitation("usd", false))
	wantFault(t, err, fault.Conflict, "subscription_exists")
	w.until(noon.Add(4 * time.Hour))
	w.wantKept()
	if got := len(w.dodo.taken()); got != 1 {
		t.Errorf("payments: got %d, want the one that was given back", got)
	}
	w.sound()
}

func TestAPlanOnDemandIsActiveAtItsApprovalAndIsNeverChargedOfItself(t *testing.T) {
	t.Parallel()
	for _, only := range []bool{true, false} {
		w := newAbroad(t, noon)
		w.asked(invitation("usage", only))
		w.until(noon.Add(time.Hour))
		w.dodo.approve()
		w.until(noon.Add(days(70)))
		w.wantState(billing.StateActive)
		w.wantKept()
		if got := w.dodo.count("look"); got > 40 {
			t.Errorf("looks at the mandate: got %d, want none once it is approved", got)
		}
		w.sound()
	}
}

// Each look costs of the pace that charges share.
func TestAnOpenPageIsLookedAtEverMoreSeldom(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.asked(invitation("usd", true))
	w.until(noon.Add(days(13)))
	if got := w.dodo.count("look"); got < 40 || got > 70 {
		t.Errorf("looks in 13 days: got %d, want 40 to 70", got)
	}
}

func TestAMandateAndItsPageAreSealed(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.asked(invitation("usd", false))
	w.until(noon.Add(time.Hour))
	w.secretive()
	for _, name := range table.Names {
		for _, item := range w.tables.Items(name) {
			if strings.Contains(string(item.Data), "person@example.com") {
				t.Errorf("an item of %s holds the payer: %s", name, item.Data)
			}
		}
	}
}

// A card fails on the page, the next one pays, and the notices of both are looked at side by
// side: whoever read the order before the approval was written, and finds the failed payment
// alone since the list lags, decides nothing by it.
func TestAFailureOnThePageDecidesNothingForWhoReadTheOrderBeforeTheApproval(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.dodo.post = silent
	w.asked(invitation("usd", false))
	w.clock.set(noon.Add(2 * time.Hour))
	w.dodo.fail("CARD_DECLINED")
	w.clock.set(noon.Add(2*time.Hour + 10*time.Minute))
	w.dodo.approve()
	w.clock.set(noon.Add(2*time.Hour + 10*time.Minute + 8*time.Second))
	order, approved := billing.OrderID(scope, "sub-1", 0, 1), false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if !approved && op.Method == "Get" && op.Touches(table.Subscriptions) {
			approved = true
			if _, err := w.biller.LookAgain(t.Context(), scope, billing.Hint{Subscription: "sub-1"}); err != nil {
				t.Errorf("the other notice: got %v, want none", err)
			}
		}
		return false, nil
	}
	if _, err := w.biller.LookAgain(t.Context(), scope, billing.Hint{Order: order}); err != nil {
		t.Errorf("the notice of the failure: got %v, want none", err)
	}
	w.tables.Fail = nil
	if c := w.found(order); !approved || c.State == billing.Declined {
		t.Errorf("approved %t, order %s: want it open, for its payment is not shown yet", approved, c.State)
	}
	w.until(noon.Add(4 * time.Hour))
	w.wantState(billing.StateActive)
	w.wantKept("0.1")
	w.sound()
}
