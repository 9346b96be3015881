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

func (w *world) wantCards(want ...string) {
	w.Helper()
	if got := w.sentWith(); !slices.Equal(got, want) {
		w.Errorf("cards charged: got %v, want %v", got, want)
	}
}

// wantAttempts compares the attempts sent, as "period.attempt instant".
func (w *world) wantAttempts(want ...string) {
	w.Helper()
	var got []string
	for _, c := range w.gateway.sent() {
		period, attempt := attemptOf("sub-1", c.order)
		got = append(got, fmt.Sprintf("%d.%d %s", period, attempt, c.at.Format("01-02 15:04")))
	}
	if !slices.Equal(got, want) {
		w.Errorf("attempts:\n got %v\nwant %v", got, want)
	}
}

func TestANewCardIsChargedFromTheNextPeriodAndTheOldOneForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	w.until(noon.Add(days(10)))
	s, waiting, err := w.recard("new")
	if err != nil || waiting || s.State != billing.StateActive || s.Hastened {
		t.Errorf("got %s, waiting %v, %v, want active and nothing tried", s.State, waiting, err)
	}
	w.wantHas(event.PaymentMethodChanged, 1)
	w.until(noon.Add(days(13) - time.Minute))
	if got := w.gateway.forgotten; len(got) != 0 {
		t.Errorf("forgotten within 72 hours: got %v, want none", got)
	}
	w.until(noon.Add(days(13) + 2*time.Minute))
	if got, want := w.gateway.forgotten, []string{"secret-billing-key-1"}; !slices.Equal(got, want) {
		t.Errorf("forgotten: got %v, want %v", got, want)
	}
	w.until(due.Add(days(1)))
	w.wantCards("1", "2")
	w.finished()
	w.sound("sub-1")
}

func TestANewCardBringsTheNextAttemptForwardOnceAndTheOthersKeepTheirDates(t *testing.T) {
	t.Parallel()
	const start, one, ten, seventeen = "0.1 03-10 03:00", "1.1 04-10 03:00", "1.3 04-20 03:00", "1.4 04-27 03:00"
	for name, c := range map[string]struct {
		codes map[string]string
		cards []time.Duration // after the due instant
		want  []string
		state billing.State
	}{
		"after the first, and paid":   {map[string]string{"1.1": "A"}, []time.Duration{time.Hour}, []string{start, one, "1.2 04-10 04:00"}, billing.StateActive},
		"after the first, declined":   {map[string]string{"1.1": "A", "1.2": "A"}, []time.Duration{time.Hour}, []string{start, one, "1.2 04-10 04:00", ten}, billing.StateActive},
		"after the reminder":          {map[string]string{"1.1": "A"}, []time.Duration{days(2) + time.Hour}, []string{start, one, "1.2 04-12 04:00"}, billing.StateActive},
		"after the second":            {map[string]string{"1.1": "A", "1.2": "B"}, []time.Duration{days(4)}, []string{start, one, "1.2 04-13 03:00", "1.3 04-14 03:00"}, billing.StateActive},
		"after the third":             {map[string]string{"1.1": "A", "1.2": "B", "1.3": "A"}, []time.Duration{days(12)}, []string{start, one, "1.2 04-13 03:00", ten, "1.4 04-22 03:00"}, billing.StateActive},
		"twice":                       {map[string]string{"1.1": "A", "1.2": "A"}, []time.Duration{time.Hour, 2 * time.Hour}, []string{start, one, "1.2 04-10 04:00", ten}, billing.StateActive},
		"twice, all declined":         {map[string]string{"1.1": "A", "1.2": "A", "1.3": "A", "1.4": "B"}, []time.Duration{time.Hour, 2 * time.Hour}, []string{start, one, "1.2 04-10 04:00", ten, seventeen}, billing.StateUnpaid},
		"unpaid for a hard code":      {map[string]string{"1.1": "!X"}, []time.Duration{days(1)}, []string{start, one, "1.2 04-11 03:00"}, billing.StateActive},
		"unpaid for the same twice":   {map[string]string{"1.1": "A", "1.2": "A"}, []time.Duration{days(16)}, []string{start, one, "1.2 04-13 03:00", "1.3 04-26 03:00"}, billing.StateActive},
		"the new one is refused too":  {map[string]string{"1.1": "!X", "1.2": "!X"}, []time.Duration{days(1)}, []string{start, one, "1.2 04-11 03:00"}, billing.StateUnpaid},
		"two new ones refused":        {map[string]string{"1.1": "!X", "1.2": "!X", "1.3": "!X"}, []time.Duration{days(1), days(2)}, []string{start, one, "1.2 04-11 03:00", ten}, billing.StateUnpaid},
		"declined as the one before":  {map[string]string{"1.1": "A", "1.2": "B", "1.3": "B"}, []time.Duration{days(4)}, []string{start, one, "1.2 04-13 03:00", "1.3 04-14 03:00", seventeen}, billing.StateActive},
		"a second before the attempt": {map[string]string{"1.1": "A", "1.2": "!X"}, []time.Duration{days(3) - time.Second}, []string{start, one, "1.2 04-13 03:00"}, billing.StateUnpaid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, noon)
			w.gateway.fate = declining(c.codes)
			w.subscribe(signUp("monthly"))
			for n, after := range c.cards {
				w.until(due.Add(after))
				_, waiting, err := w.recard(fmt.Sprint(n))
				if err != nil || waiting {
					t.Fatalf("new card: waiting %v, %v, want it taken", waiting, err)
				}
			}
			w.until(at("2026-05-09T00:00:00Z"))
			w.wantAttempts(c.want...)
			w.wantState(c.state)
			w.wantAccess(c.state == billing.StateActive)
			w.wantHas(event.PaymentMethodChanged, len(c.cards))
			w.sound("sub-1")
		})
	}
}

// Whoever has used up all attempts pays for the period that runs, or for the next one.
func TestANewCardRevivesAnUnpaidSubscriptionWithTheRunningPeriod(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		when time.Time
		want string
	}{
		"before the next is due": {at("2026-05-01T03:00:00Z"), "2.1 05-10 03:00"},
		"long after":             {at("2026-08-20T03:00:00Z"), "5.1 08-20 03:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, noon)
			w.gateway.fate = declining(allDeclined)
			w.subscribe(signUp("monthly"))
			w.until(c.when)
			w.wantState(billing.StateUnpaid)
			sends := len(w.gateway.sent())
			for n := range 3 { // coming back with more cards changes nothing
				_, _, err := w.recard(fmt.Sprint(n))
				must(t, err)
			}
			if s := w.subscription("sub-1"); s.State == billing.StatePastDue {
				w.wantAccess(false)
			}
			w.until(w.clock.Now().Add(days(10)))
			sent := w.gateway.sent()[sends:]
			period, attempt := attemptOf("sub-1", sent[0].order)
			if got := fmt.Sprintf("%d.%d %s", period, attempt, sent[0].at.Format("01-02 15:04")); len(sent) != 1 || got != c.want {
				t.Errorf("charged: got %s and %d more, want %s alone", got, len(sent)-1, c.want)
			}
			w.wantState(billing.StateActive)
			w.wantAccess(true)
			w.sound("sub-1")
		})
	}
}

// An attempt was sent with the old card, and its outcome is not known when the new one
// comes: it has its turn after that, whatever becomes of it, and none if it was paid.
func TestANewCardHasItsTurnAfterAnAttemptThatWasUnderWay(t *testing.T) {
	t.Parallel()
	soft, hard := fate{decline: "A"}, fate{decline: "X", class: billing.Hard}
	for name, c := range map[string]struct {
		plan  string
		old   fate // of the open attempt, whose answer is lost
		open  string
		new   string
		cards []string
		state billing.State
	}{
		"a renewal, paid":                    {"monthly", fate{}, "1.1", "", []string{"1", "1"}, billing.StateActive},
		"a renewal, declined":                {"monthly", soft, "1.1", "", []string{"1", "1", "2"}, billing.StateActive},
		"a renewal, for good":                {"monthly", hard, "1.1", "", []string{"1", "1", "2"}, billing.StateActive},
		"a renewal, for good, strictly":      {"strict", hard, "1.1", "", []string{"1", "1", "2"}, billing.StateActive},
		"a renewal, and the new one too":     {"monthly", hard, "1.1", "!Y", []string{"1", "1", "2"}, billing.StateUnpaid},
		"strictly, and the new one too":      {"strict", hard, "1.1", "!Y", []string{"1", "1", "2"}, billing.StateCancelled},
		"the first charge, declined":         {"monthly", soft, "0.1", "", []string{"1", "2"}, billing.StateActive},
		"the first charge, for good":         {"monthly", hard, "0.1", "", []string{"1", "2"}, billing.StateActive},
		"a retry, for good":                  {"monthly", hard, "1.2", "", []string{"1", "1", "1", "2"}, billing.StateActive},
		"the last, and none remains":         {"monthly", soft, "1.4", "", []string{"1", "1", "1", "1", "1"}, billing.StatePastDue},
		"the last, and none remains, strict": {"strict", soft, "1.4", "", []string{"1", "1", "1", "1", "1"}, billing.StateCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, noon)
			w.gateway.lookup = true
			opened := map[string]time.Time{"0.1": noon, "1.1": due, "1.2": due.Add(days(3)), "1.4": due.Add(days(17))}[c.open]
			w.gateway.fate = func(of call) fate {
				period, attempt := attemptOf("sub-1", of.order)
				switch is := fmt.Sprintf("%d.%d", period, attempt); {
				case of.card == "secret-billing-key-2" && c.new != "":
					return fate{decline: c.new[1:], class: billing.Hard}
				case is == c.open:
					f := c.old
					f.lose = true
					return f
				case is < c.open && period == 1:
					return fate{decline: fmt.Sprint("S", attempt)}
				}
				return fate{}
			}
			w.subscribe(signUp(c.plan))
			w.until(opened.Add(time.Minute))
			_, _, err := w.recard("new")
			must(t, err)
			w.until(opened.Add(days(2)))
			w.wantCards(c.cards...)
			w.wantState(c.state)
			w.wantAccess(c.state == billing.StateActive)
			w.sound("sub-1")
		})
	}
}

func TestTheOldCardIsKeptForWhatWasSentWithIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.fate = func(c call) fate { return fate{drop: c.of < 4} }
	w.subscribe(signUp("monthly"))
	w.until(noon.Add(time.Minute))
	_, _, err := w.recard("new")
	must(t, err)
	w.until(noon.Add(71 * time.Hour))
	w.wantCards("1", "1", "1", "1")
	if got := w.gateway.forgotten; len(got) != 0 {
		t.Errorf("forgotten within 72 hours: got %v, want none", got)
	}
	w.wantState(billing.StateActive)
	w.until(noon.Add(days(4)))
	w.finished()
	w.sound("sub-1")
}

func TestANewCardIsIssuedOnceWhoeverHearsOfIt(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		w := newWorld(t, noon)
		w.gateway.fate = declining(map[string]string{"1.1": "A"})
		w.subscribe(signUp("monthly"))
		w.until(due.Add(days(1)))
		w.gateway.issue = func(nth int) (bool, bool, bool) { return false, nth < 4 && !lost, nth < 4 && lost }
		_, waiting, err := w.recard("new")
		if err != nil || !waiting {
			t.Errorf("unanswered: got waiting %v, %v, want it to wait", waiting, err)
		}
		w.wantHas(event.PaymentMethodChanged, 0)
		w.until(due.Add(days(1) + 30*time.Minute))
		w.wantState(billing.StateActive)
		w.wantCards("1", "1", "2")
		w.wantHas(event.PaymentMethodChanged, 1)
		if _, waiting, err := w.recard("new"); err != nil || waiting {
			t.Errorf("the same authKey again: got waiting %v, %v, want it done", waiting, err)
		}
		w.wantHas(event.PaymentMethodChanged, 1)
		if got := len(w.gateway.cards); got != 2 {
			t.Errorf("cards: got %d, want 2", got)
		}
		w.until(due.Add(days(6)))
		w.finished()
		w.sound("sub-1")
	}
}

func TestACardThatNobodyAnswersForIsGivenUp(t *testing.T) {
	t.Parallel()
	w := renewal(t, "yearly")
	w.gateway.issue = func(int) (bool, bool, bool) { return false, true, false }
	_, _, err := w.recard("new")
	must(t, err)
	w.until(w.clock.Now().Add(days(3)))
	if got := w.gateway.issues; got < 50 || got > 150 {
		t.Errorf("tries: got %d, want about a hundred", got)
	}
	w.finished()
	w.sound("sub-1")
}

func TestARefusedCardChangesNothing(t *testing.T) {
	t.Parallel()
	for _, queued := range []bool{false, true} {
		w := newWorld(t, noon)
		w.gateway.fate = declining(map[string]string{"1.1": "A", "1.2": "B"})
		w.subscribe(signUp("monthly"))
		w.until(due.Add(days(1)))
		before := w.subscription("sub-1")
		w.gateway.issue = func(nth int) (bool, bool, bool) { return nth > 1, queued && nth == 2, false }
		_, waiting, err := w.recard("new")
		if queued != waiting {
			t.Errorf("got waiting %v, want %v", waiting, queued)
		}
		if !queued {
			wantFault(t, err, fault.Invalid, "payment_method_refused")
		}
		w.until(due.Add(days(1) + time.Hour))
		if after := w.subscription("sub-1"); !after.NextDueAt.Equal(before.NextDueAt) || after.Card != before.Card || after.Cards != 0 {
			t.Errorf("got due %v with %s, want %v with %s as before", after.NextDueAt, after.Card, before.NextDueAt, before.Card)
		}
		w.finished()
		w.until(due.Add(days(11)))
		w.wantCards("1", "1", "1", "1")
		w.sound("sub-1")
	}
}

// The customer goes back to the card before, which was to be forgotten; the gateway may call
// it as it did then.
func TestACardInUseIsNeverForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	for n, key := range []string{"a", "b"} {
		w.until(noon.Add(days(n + 1)))
		w.gateway.same = key == "b"
		_, _, err := w.recard(key)
		must(t, err)
	}
	w.until(due.Add(days(1)))
	w.wantCards("1", "1")
	if got, want := w.gateway.forgotten, []string{"secret-billing-key-2"}; !slices.Equal(got, want) {
		t.Errorf("forgotten: got %v, want %v", got, want)
	}
	w.finished()
	w.sound("sub-1")
}

func TestTheCardThatIsInUseAlreadyIsNoNewOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.fate = declining(map[string]string{"1.1": "A"})
	w.subscribe(signUp("monthly"))
	w.until(due.Add(days(1)))
	w.gateway.same = true
	s, waiting, err := w.recard("a")
	if err != nil || waiting || s.Cards != 0 || s.Hastened {
		t.Errorf("got card %d, hastened %v, waiting %v, %v, want nothing changed", s.Cards, s.Hastened, waiting, err)
	}
	w.wantHas(event.PaymentMethodChanged, 0)
	w.finished()
	w.until(due.Add(days(8)))
	w.wantCards("1", "1", "1")
	w.sound("sub-1")
}

// The page that the gateway sent the customer back to is opened again, weeks later.
func TestAnAuthKeyThatComesAgainBringsNoOldCardBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	for n, key := range []string{"a", "b", "a", "", "b"} { // "" is that of the sign-up
		w.until(noon.Add(days(n + 1)))
		s, waiting, err := w.recard(key)
		if err != nil || waiting || s.Cards != min(n+1, 2) {
			t.Errorf("%q: got card %d, waiting %v, %v, want the newest to stay", key, s.Cards, waiting, err)
		}
	}
	w.wantHas(event.PaymentMethodChanged, 2)
	w.until(due.Add(days(1)))
	w.wantCards("1", "3")
	w.finished()
	w.sound("sub-1")
}

func TestAnOldCardIsForgottenWhenTheGatewayAnswersAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	_, err := w.cancel(true)
	must(t, err)
	w.gateway.forget = func(nth int) bool { return nth <= 3 }
	w.until(noon.Add(days(5)))
	if got := w.gateway.forgets; got != 4 {
		t.Errorf("tries: got %d, want 4", got)
	}
	w.ending()
}

func TestANewCardForASubscriptionThatEndedMeanwhileIsForgottenToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	w.gateway.issue = func(nth int) (bool, bool, bool) { return false, nth == 2, false }
	_, _, err := w.recard("new")
	must(t, err)
	_, err = w.cancel(true)
	must(t, err)
	_, _, err = w.recard("another")
	wantFault(t, err, fault.Conflict, "subscription_cancelled")
	w.ending()
	if got := len(w.gateway.cards); got != 2 {
		t.Errorf("cards: got %d, want 2, both forgotten", got)
	}
}

func TestACardThatCannotBeChangedIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.issue = func(nth int) (bool, bool, bool) { return false, nth == 1, false }
	w.subscribe(signUp("monthly"))
	_, _, err := w.recard("new")
	wantFault(t, err, fault.Conflict, "not_ready")
	w.until(noon.Add(time.Hour))
	r := other()
	r.Card.CustomerKey = "key-of-person-2"
	w.subscribe(r)
	change := func(card *billing.NewCard) error {
		_, _, _, err := w.biller.ChangeMethod(t.Context(), scope, "sub-1", card, "")
		return err
	}
	wantFault(t, change(nil), fault.Malformed, "invalid_request")
	wantFault(t, change(&billing.NewCard{CustomerKey: "key-of-person-1"}), fault.Malformed, "invalid_request")
	wantFault(t, change(&billing.NewCard{AuthKey: "x", CustomerKey: "key-of-person-2"}), fault.Conflict, "customer_key_taken")
	w.finished()
	must(t, change(&billing.NewCard{AuthKey: "x", CustomerKey: "another-of-person-1"}))
	w.until(due.Add(time.Hour))
	w.sound("sub-1")
}

// The card and the attempt meet at each of their operations.
func TestANewCardThatMeetsTheAttemptIsBeforeOrAfterIt(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{
		"paid": {}, "declined": {decline: "B"}, "for good": {decline: "X", class: billing.Hard}, "answer lost": {lose: true}, "busy": {busy: true}, "killed": {kill: true},
	} {
		for _, within := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the attempt within %v", name, within), func(t *testing.T) {
				t.Parallel()
				work := func(w *world) { _ = w.work("sub-1") }
				word := func(w *world) {
					card := &billing.NewCard{AuthKey: secret + "new", CustomerKey: "key-of-person-1"}
					_, _, _, err := w.biller.ChangeMethod(t.Context(), scope, "sub-1", card, "")
					must(t, err)
				}
				first, second := work, word
				if within {
					first, second = word, work
				}
				met(t, func() *world {
					w := newWorld(t, noon)
					w.gateway.lookup = true
					w.gateway.fate = func(c call) fate {
						period, attempt := attemptOf("sub-1", c.order)
						switch {
						case period == 1 && attempt == 1:
							return fate{decline: "A"}
						case c.card == "secret-billing-key-1" && period == 1:
							return f
						}
						return fate{}
					}
					w.subscribe(signUp("monthly"))
					w.until(due.Add(days(3) - time.Second))
					w.clock.set(due.Add(days(3)))
					return w
				}, first, second, func(w *world) {
					w.until(due.Add(days(8)))
					w.wantState(billing.StateActive)
					w.wantAccess(true)
					if got := len(w.gateway.taken()); got != 2 {
						t.Errorf("payments: got %d, want 2", got)
					}
					w.finished()
					w.sound("sub-1")
				})
			})
		}
	}
}
