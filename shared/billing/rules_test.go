package billing_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// The sixteen rules of the safe retry policy, one test each. More about each is in the tests
// of what they are part of.

var (
	allDeclined = map[string]string{"1.1": "A", "1.2": "B", "1.3": "A", "1.4": "B"}
	signedUp    = "2026-03-10T04:10:00Z"
)

func TestRule01RetriesNeverComeInBursts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	const people = 30
	for n := range people {
		r := signUp("monthly")
		r.ID, r.CustomerID, r.Card.AuthKey, r.Card.CustomerKey = fmt.Sprintf("s-%d", n), fmt.Sprintf("p-%d", n), fmt.Sprintf("%s%d", secret, n), fmt.Sprintf("key-%d", n)
		if _, err := w.try(r); err != nil {
			t.Fatal(err)
		}
	}
	const most = 5
	w.fanout.Lines[1].PerMinute = most
	w.gateway.fate = func(c call) fate { return fate{decline: fmt.Sprint("CODE_", c.of, c.at.Day()%2)} }
	w.until(at("2026-05-09T00:00:00+09:00"))
	minutes := map[time.Time]int{}
	orders := map[string]bool{}
	for _, c := range w.gateway.sent()[people:] {
		if orders[c.order] {
			t.Errorf("order %s was sent twice, want each attempt to be one", c.order)
		}
		if orders[c.order] = true; c.at.After(at("2026-04-12T00:00:00Z")) {
			minutes[c.at.Truncate(time.Minute)]++
		}
	}
	if len(minutes) < 2*people/most {
		t.Errorf("retries of %d subscriptions: got %d minutes, want them spread", people, len(minutes))
	}
	for minute, n := range minutes {
		if n > most {
			t.Errorf("retries at %v: got %d, want %d at most", minute, n, most)
		}
	}
}

func TestRule02ThePauseBeforeAnAttemptNeverShrinks(t *testing.T) {
	t.Parallel()
	for _, plan := range []string{"monthly", "biweekly", "quarterly", "yearly"} {
		w := newWorld(t, noon)
		w.gateway.fate = declining(allDeclined)
		w.subscribe(signUp(plan))
		w.until(w.subscription("sub-1").NextDueAt.Add(days(20)))
		pause := time.Duration(0)
		sent := w.sentAt()[1:]
		for n := 1; n < len(sent); n++ {
			if p := sent[n].Sub(sent[n-1]); p < days(3) || p < pause {
				t.Errorf("%s: pause %d is %v after one of %v, want three days at least and never less than before", plan, n, p, pause)
			} else {
				pause = p
			}
		}
	}
}

func TestRule03AtMostFourAttempts(t *testing.T) {
	t.Parallel()
	for name, codes := range map[string]map[string]string{
		"two codes in turn":    allDeclined,
		"nothing of the card":  {"1.1": "~X", "1.2": "~X", "1.3": "~X", "1.4": "~X"},
		"with new cards daily": allDeclined,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
			w.gateway.fate = declining(codes)
			w.subscribe(signUp("monthly"))
			for day := range 30 {
				w.until(at(first).Add(days(day) + time.Hour))
				if name == "with new cards daily" {
					_, _, _ = w.recard(fmt.Sprint(day))
				}
			}
			w.until(at("2026-05-10T13:00:00+09:00"))
			if got := len(w.gateway.sent()) - 1; got != 4 {
				t.Errorf("attempts of the period: got %d, want 4", got)
			}
		})
	}
}

func TestRule04OnlyWhatMayPassLaterIsTriedAgain(t *testing.T) {
	t.Parallel()
	for code, again := range map[string]bool{"REJECT_CARD_PAYMENT": true, "~NOT_AVAILABLE_BANK": true, "!INVALID_CARD_EXPIRATION": false} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			w := dunned(t, "monthly", map[string]string{"1.1": code})
			if again {
				w.wantSent(signedUp, first, second)
				w.wantState(billing.StateActive)
			} else {
				w.wantSent(signedUp, first)
				w.wantState(billing.StateUnpaid)
			}
			w.sound("sub-1")
		})
	}
}

func TestRule05HardDeclinesAreNeverRetried(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"!DO_NOT_HONOR", "!STOLEN_CARD", "!LOST_CARD", "!PICKUP_CARD", "!FRAUDULENT", "!AUTHENTICATION_FAILURE"} {
		for hard := 1; hard <= 4; hard++ {
			w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
			codes := map[string]string{fmt.Sprintf("1.%d", hard): code}
			for n := 1; n < hard; n++ {
				codes[fmt.Sprintf("1.%d", n)] = []string{"A", "B"}[n%2]
			}
			w.gateway.fate = declining(codes)
			w.subscribe(signUp("monthly"))
			w.until(at("2026-08-01T00:00:00+09:00"))
			if got := len(w.gateway.sent()) - 1; got != hard {
				t.Errorf("%s at attempt %d: got %d attempts in all that follows, want %d", code[1:], hard, got, hard)
			}
			if _, err := w.demand("another-way", 100); err == nil {
				t.Errorf("%s: a charge on demand to the same card was made, want it refused", code[1:])
			}
			w.wantState(billing.StateUnpaid)
			w.sound("sub-1")
		}
	}
}

func TestRule06ARetryDiffersByItsOrderAlone(t *testing.T) {
	t.Parallel()
	w := dunned(t, "monthly", allDeclined)
	sent := w.gateway.sent()[1:]
	var bodies []body
	for n, c := range sent {
		var b body
		must(t, json.Unmarshal([]byte(c.body), &b))
		if period, attempt := attemptOf("sub-1", b.Order); b.Order != c.order || period != 1 || attempt != n+1 {
			t.Errorf("attempt %d is sent as order %s, period %d attempt %d, want its own", n+1, b.Order, period, attempt)
		}
		b.Order = ""
		bodies = append(bodies, b)
	}
	if len(bodies) != 4 || len(slices.Compact(bodies)) != 1 {
		t.Errorf("bodies: got %+v, want four that are the same but for the order", bodies)
	}
	for n, c := range w.charges("sub-1")[1:] {
		if c.Attempt != n+1 {
			t.Errorf("order %d: got attempt %d, want it told apart for whoever looks", n, c.Attempt)
		}
	}
}

func TestRule07AttemptsAreAtOnceAndAfterThreeTenAndSeventeenDays(t *testing.T) {
	t.Parallel()
	w := dunned(t, "monthly", allDeclined)
	w.wantSent(signedUp, first, second, third, fourth)
	for n, after := range []int{0, 3, 10, 17} {
		if got, want := w.sentAt()[n+1], at(first).Add(days(after)); !got.Equal(want) {
			t.Errorf("attempt %d: got %v, want %v", n+1, got, want)
		}
	}
}

func TestRule08AfterTheLastAttemptThePlanDecidesAndTheCustomerWasToldInBetween(t *testing.T) {
	t.Parallel()
	for plan, c := range map[string]struct {
		state billing.State
		kind  event.Type
	}{
		"monthly": {billing.StateUnpaid, event.SubscriptionUnpaid},
		"strict":  {billing.StateCancelled, event.SubscriptionCancelled},
	} {
		w := dunned(t, plan, allDeclined)
		w.wantState(c.state)
		w.wantHas(c.kind, 1)
		w.wantHas(event.DunningReminder, 3)
		if got := len(w.courier.told); got != 3 {
			t.Errorf("%s: the customer was told %d times, want 3", plan, got)
		}
		w.wantAccess(false)
		w.sound("sub-1")
	}
}

// Each attempt is late by an hour more than the one before; none moves those after it.
func TestRule09AttemptsKeepTheTimeOfDayOfTheSignUpHoweverLateOneWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.fate = declining(allDeclined)
	w.subscribe(signUp("monthly"))
	for n, due := range []string{first, second, third, fourth} {
		w.until(at(due).Add(-time.Minute))
		w.clock.set(at(due).Add(time.Duration(n+1) * time.Hour))
		w.until(at(due).Add(time.Duration(n+2) * time.Hour))
	}
	want := []time.Time{at(first), at(second), at(third), at(fourth)}
	for n, c := range w.charges("sub-1")[1:] {
		if late := c.SentAt.Sub(want[n]); !c.DueAt.Equal(want[n]) || late < time.Duration(n+1)*time.Hour {
			t.Errorf("attempt %d: due %v, sent %v, want due %v though it was late", n+1, c.DueAt, c.SentAt, want[n])
		}
	}
	w.reminderDates(second, third, fourth)
}

// reminderDates are those of the attempts that were announced.
func (w *world) reminderDates(want ...string) {
	w.Helper()
	var got []string
	for _, e := range w.events() {
		if e.Type == event.DunningReminder {
			got = append(got, e.NextAttemptAt.Format(time.RFC3339))
		}
	}
	if !slices.Equal(got, want) {
		w.Errorf("announced: got %v, want %v", got, want)
	}
}

func TestRule10InstantsAreKeptInOneTimeStandard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-02-05T13:10:00-05:00"))
	w.gateway.fate = declining(allDeclined)
	w.subscribe(signUp("new-york"))
	instant := regexp.MustCompile(`\d{4}-\d{2}-\d{2}T[0-9:.]+(Z|[+-]\d{2}:\d{2})`)
	seen := 0
	for _, day := range []string{"2026-03-06T00:00:00Z", "2026-03-10T00:00:00Z", "2026-03-30T00:00:00Z"} {
		w.until(at(day))
		for _, name := range table.Names {
			for _, item := range w.tables.Items(name) {
				for _, is := range instant.FindAllStringSubmatch(string(item.Data), -1) {
					if seen++; is[1] != "Z" {
						t.Errorf("%s keeps %s, want UTC", name, is[0])
					}
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("got %d instants in the tables, want all that there are", seen)
	}
}

func TestRule11TheSameDeclineTwiceStopsUntilTheCardChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.fate = declining(map[string]string{"1.1": "A", "1.2": "A"})
	w.subscribe(signUp("monthly"))
	w.until(at("2026-04-25T00:00:00+09:00"))
	w.wantSent(signedUp, first, second)
	w.wantState(billing.StateUnpaid)
	_, _, err := w.recard("new")
	must(t, err)
	w.wantState(billing.StateActive)
	w.wantAccess(true)
	if got, want := w.sentWith(), []string{"1", "1", "1", "2"}; !slices.Equal(got, want) {
		t.Errorf("cards: got %v, want %v", got, want)
	}
	w.until(at("2026-05-09T00:00:00+09:00"))
	w.sound("sub-1")
}

// Everything that is not in the tables is lost each day: what remains does all at its time.
func TestRule12WhatIsNextIsKeptToTheSecond(t *testing.T) {
	t.Parallel()
	start := at("2026-03-10T13:10:37+09:00")
	w := newWorld(t, start)
	w.gateway.fate = declining(allDeclined)
	w.subscribe(signUp("monthly"))
	for day := range 60 {
		w.until(start.Add(days(day)).Truncate(24 * time.Hour).Add(5 * time.Hour))
		tables := memory.New()
		for _, name := range table.Names {
			for _, item := range w.tables.Items(name) {
				item.Revision = 0
				must(t, tables.Commit(t.Context(), table.Put(item)))
			}
		}
		w.tables = tables
		w.biller.Tables, w.biller.Customers.Tables, w.fanout.Tables = tables, tables, tables
		w.queue.drain()
	}
	for n, after := range []int{0, 3, 10, 17} {
		if got, want := w.charges("sub-1")[n+1].DueAt, at("2026-04-10T13:10:37+09:00").Add(days(after)); !got.Equal(want) {
			t.Errorf("attempt %d: due %v, want %v", n+1, got, want)
		}
		if late := w.sentAt()[n+1].Sub(at("2026-04-10T13:10:37+09:00").Add(days(after))); late < 0 || late > 2*time.Minute {
			t.Errorf("attempt %d: %v late, want two minutes at most", n+1, late)
		}
	}
}

func TestRule13TheLastPaymentIsKnownAndEachSubscriptionKeepsAnInstantOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	instants := map[time.Time]bool{}
	for n := range 50 {
		w.clock.set(noon.Add(time.Duration(n*97) * time.Second))
		r := signUp("monthly")
		r.ID, r.Card.AuthKey = fmt.Sprintf("s-%d", n), fmt.Sprintf("%s%d", secret, n)
		if _, err := w.try(r); err != nil {
			t.Fatal(err)
		}
		s := w.subscription(r.ID)
		if got, want := s.NextDueAt, at("2026-04-10T12:00:00+09:00").Add(time.Duration(n*97)*time.Second); !got.Equal(want) {
			t.Errorf("%s: next due %v, want %v", r.ID, got, want)
		}
		instants[s.NextDueAt] = true
	}
	if len(instants) != 50 {
		t.Errorf("50 subscriptions are due at %d instants, want each at its own", len(instants))
	}
	w.until(at("2026-04-10T15:00:00+09:00"))
	for _, c := range w.charges("s-7") {
		if c.State != billing.Paid || c.SettledAt.IsZero() {
			t.Errorf("period %d: got %s settled at %v, want the instant of its payment kept", c.Period, c.State, c.SettledAt)
		}
	}
}

// What is known of the last decline is looked at again at the attempt itself, whatever
// message asked for it.
func TestRule14TheLastDeclineIsLookedAtBeforeTheNextAttempt(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func(*billing.Subscription){
		"refused for good": func(s *billing.Subscription) { s.State, s.Spent = billing.StateUnpaid, true },
		"not told of":      func(s *billing.Subscription) { s.Reminded = 0 },
		"over":             func(s *billing.Subscription) { s.State = billing.StateCancelled },
		"ending":           func(s *billing.Subscription) { s.Ending = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
			w.gateway.fate = declining(map[string]string{"1.1": "A"})
			w.subscribe(signUp("monthly"))
			w.until(at(second).Add(-time.Minute))
			w.change("sub-1", how)
			w.clock.set(at(second))
			must(t, w.work("sub-1"))
			w.wantSent(signedUp, first)
		})
	}
}

// Two subscriptions of a customer are due for a retry at the same instant, and both are
// worked on at once, one at each moment of the other; so too when the first is sent again.
func TestRule15ACustomersRetriesAreMadeOneAtATime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate  fate
		after time.Duration
	}{
		"paid": {}, "declined": {fate: fate{decline: "B"}}, "answer lost": {fate: fate{lose: true}}, "busy": {fate: fate{busy: true}},
		"request lost": {fate: fate{drop: true}}, "sent again": {fate{drop: true}, lease + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			met(t, func() *world {
				w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
				for _, id := range []string{"sub-1", "sub-2"} {
					r := signUp("monthly")
					r.ID, r.Card.AuthKey = id, secret+id
					w.subscribe(r)
				}
				w.gateway.fate = func(call) fate { return fate{decline: "A"} }
				w.until(at(second).Add(-time.Minute))
				w.gateway.fate = func(of call) fate {
					if of.of > 1 {
						return fate{}
					}
					return c.fate
				}
				w.clock.set(at(second))
				if c.after > 0 {
					_ = w.work("sub-1")
					w.clock.set(at(second).Add(c.after))
				}
				return w
			}, func(w *world) { _ = w.work("sub-1") }, func(w *world) {
				sends, busy := len(w.gateway.sent()), w.sending("sub-1")
				if _ = w.work("sub-2"); busy && len(w.gateway.sent()) != sends {
					t.Error("another retry of the customer's was sent while one was under way")
				}
			}, func(w *world) {
				w.until(at(second).Add(6 * time.Hour))
				for _, id := range []string{"sub-1", "sub-2"} {
					charges := w.charges(id)
					if last := charges[len(charges)-1]; last.Attempt != 2 || last.State != billing.Paid && last.State != billing.Declined {
						t.Errorf("%s: got attempt %d %s, want both made in the end", id, last.Attempt, last.State)
					}
				}
			})
		})
	}
}

// sending says that somebody is at an order of a subscription.
func (w *world) sending(id string) bool {
	return slices.ContainsFunc(w.orders(), func(c billing.Charge) bool {
		return c.Subscription == id && c.State == billing.Sending && c.Lease.After(w.clock.Now())
	})
}

func TestRule16TheCustomerIsToldBeforeEachNextAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T13:10:00+09:00"))
	w.gateway.fate = declining(allDeclined)
	w.subscribe(signUp("monthly"))
	w.profile("kim@example.com", "Kim")
	w.until(at("2026-05-09T00:00:00+09:00"))
	w.reminded()
	w.reminderDates(second, third, fourth)
	if got := len(w.courier.told); got != 3 {
		t.Fatalf("told: got %d, want 3", got)
	}
	for n, r := range w.courier.told {
		if want := []string{second, third, fourth}[n]; !r.NextAttemptAt.Equal(at(want)) || r.Email != "kim@example.com" || r.Attempt != n+2 || r.Amount != krw(4900) {
			t.Errorf("reminder %d: got attempt %d of %v at %v to %s, want that of %v", n, r.Attempt, r.Amount, r.NextAttemptAt, r.Email, want)
		}
	}
	w.finished()
}
