package billing_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// sentAt lists when each charge call was made.
func (w *world) sentAt() []time.Time {
	var times []time.Time
	for _, c := range w.gateway.sent() {
		times = append(times, c.at)
	}
	return times
}

func (w *world) wantSent(want ...string) {
	w.Helper()
	var got []string
	for _, t := range w.sentAt() {
		got = append(got, t.Format(time.RFC3339))
	}
	if !slices.Equal(got, want) {
		w.Errorf("charges sent:\n got %v\nwant %v", got, want)
	}
}

// Whoever makes an attempt makes the same order, in any version of the code.
func TestAnOrdersIDFollowsFromWhatItIsForAndNeverChanges(t *testing.T) {
	t.Parallel()
	if got, want := billing.OrderID(scope, "sub-1", 3, 2), "gl_ihtvc5dsfh77kyako27jbgj3kcfuklrl"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	seen := map[string]bool{}
	for _, s := range []table.Scope{scope, {Project: "default", Environment: "sandbox"}, {Project: "other", Environment: "production"}} {
		for _, id := range []string{"sub-1", "sub-11"} {
			for _, period := range []int{1, 11} {
				for _, attempt := range []int{1, 11} {
					order := billing.OrderID(s, id, period, attempt)
					if seen[order] || !regexp.MustCompile(`^[A-Za-z0-9_-]{6,64}$`).MatchString(order) {
						t.Errorf("%v %s period %d attempt %d: got %q, want one of its own that Toss takes", s, id, period, attempt, order)
					}
					seen[order] = true
				}
			}
		}
	}
}

func TestAPlanFromThe31stOfJanuaryIsChargedOncePerMonthAtItsInstant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-01-31T10:30:00+09:00"))
	s := w.subscribe(signUp("monthly"))
	if s.State != billing.StateActive {
		t.Errorf("after the sign-up: got %s, want active", s.State)
	}
	w.until(at("2027-02-28T12:00:00+09:00"))
	w.wantSent("2026-01-31T01:30:00Z", "2026-02-28T01:30:00Z", "2026-03-31T01:30:00Z", "2026-04-30T01:30:00Z", "2026-05-31T01:30:00Z",
		"2026-06-30T01:30:00Z", "2026-07-31T01:30:00Z", "2026-08-31T01:30:00Z", "2026-09-30T01:30:00Z", "2026-10-31T01:30:00Z",
		"2026-11-30T01:30:00Z", "2026-12-31T01:30:00Z", "2027-01-31T01:30:00Z", "2027-02-28T01:30:00Z")
	if got := len(w.gateway.taken()); got != 14 {
		t.Errorf("payments: got %d, want 14", got)
	}
	if s = w.subscription(s.ID); s.Period != 14 || !s.PaidUntil.Equal(at("2027-03-31T10:30:00+09:00")) {
		t.Errorf("at the end: period %d paid until %v, want 14 until the 31st of March", s.Period, s.PaidUntil)
	}
	w.sound(s.ID)
}

// The instants are written out by hand, so that they do not come from the code they test.
func TestEveryCycleIsChargedAtItsOwnInstants(t *testing.T) {
	t.Parallel()
	for plan, c := range map[string]struct {
		start, end string
		want       []string
	}{
		"weekly": {"2026-02-20T23:59:00+09:00", "2026-03-14T00:00:00+09:00", []string{
			"2026-02-20T14:59:00Z", "2026-02-27T14:59:00Z", "2026-03-06T14:59:00Z", "2026-03-13T14:59:00Z",
		}},
		"biweekly": {"2026-02-20T00:00:00+09:00", "2026-03-21T00:00:00+09:00", []string{
			"2026-02-19T15:00:00Z", "2026-03-05T15:00:00Z", "2026-03-19T15:00:00Z",
		}},
		"quarterly": {"2026-11-30T09:00:00+09:00", "2027-06-01T00:00:00+09:00", []string{
			"2026-11-30T00:00:00Z", "2027-02-28T00:00:00Z", "2027-05-30T00:00:00Z",
		}},
		"yearly": {"2028-02-29T09:00:00+09:00", "2032-03-01T00:00:00+09:00", []string{
			"2028-02-29T00:00:00Z", "2029-02-28T00:00:00Z", "2030-02-28T00:00:00Z", "2031-02-28T00:00:00Z", "2032-02-29T00:00:00Z",
		}},
		// 8 March: the clocks skip from 02:00 to 03:00.
		"new-york": {"2026-01-08T02:30:00-05:00", "2026-04-09T00:00:00-04:00", []string{
			"2026-01-08T07:30:00Z", "2026-02-08T07:30:00Z", "2026-03-08T07:30:00Z", "2026-04-08T06:30:00Z",
		}},
	} {
		t.Run(plan, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, at(c.start))
			w.subscribe(signUp(plan))
			w.until(at(c.end))
			w.wantSent(c.want...)
			w.sound("sub-1")
		})
	}
}

func TestNothingIsSentBeforeItIsDueAndAllWithinTwoMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-01-31T10:30:37+09:00").Add(700*time.Millisecond))
	w.subscribe(signUp("monthly"))
	w.until(at("2026-06-01T00:00:00+09:00"))
	for _, c := range w.gateway.sent() {
		period, _ := attemptOf("sub-1", c.order)
		due := time.Date(2026, time.January+time.Month(period)+1, 0, 1, 30, 37, 0, time.UTC)
		if early := due.Sub(c.at); early > 0 || early < -2*time.Minute {
			t.Errorf("period %d: sent at %v, due %v", period, c.at, due)
		}
	}
	w.sound("sub-1")
}

func TestARenewalThatIsDueAndNotDeclinedKeepsAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T10:00:00+09:00"))
	w.subscribe(signUp("monthly"))
	w.gateway.fate = func(call) fate { return fate{drop: true} }
	w.gateway.find = func(int) bool { return true }
	w.until(at("2026-04-11T10:00:00+09:00"))
	if s := w.subscription("sub-1"); s.State != billing.StateActive || s.Period != 1 {
		t.Errorf("a day without an answer: got %s in period %d, want active in 1", s.State, s.Period)
	}
	if !w.allowed() {
		t.Error("access ended though nothing was declined")
	}
	w.gateway.fate, w.gateway.find = nil, nil
	w.until(at("2026-04-14T10:00:00+09:00"))
	if s := w.subscription("sub-1"); s.State != billing.StatePastDue && s.State != billing.StateActive {
		t.Errorf("once the gateway answers: got %s, want it settled", s.State)
	}
	w.sound("sub-1")
}

func TestEventsTellWhatHappenedInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-10T10:00:00+09:00"))
	w.gateway.fate = func(c call) fate {
		if c.nth == 2 {
			return fate{decline: "REJECT_CARD_PAYMENT"}
		}
		return fate{}
	}
	w.subscribe(signUp("monthly"))
	w.until(at("2026-05-11T00:00:00+09:00"))
	want := []event.Type{
		event.SubscriptionCreated, event.SubscriptionActivated, event.ChargeDeclined, event.DunningReminder,
		event.SubscriptionRecovered, event.SubscriptionRenewed,
	}
	if got := w.kinds(); !slices.Equal(got, want) {
		t.Errorf("events: got %v, want %v", got, want)
	}
	for _, e := range w.events() {
		if e.Type == event.SubscriptionRenewed && (e.ExpiresAt == nil || !e.ExpiresAt.Equal(at("2026-06-10T10:00:00+09:00"))) {
			t.Errorf("the renewal's end: got %v, want the 10th of June", e.ExpiresAt)
		}
	}
	w.sound("sub-1")
}

func TestAnOutageLongerThanAPeriodNeverChargesTwoPeriodsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-02T10:00:00+09:00"))
	w.subscribe(signUp("weekly"))
	w.clock.set(at("2026-04-01T12:00:00+09:00")) // four periods later nothing had run
	w.until(at("2026-04-15T00:00:00+09:00"))
	w.wantSent("2026-03-02T01:00:00Z", w.sentAt()[1].Format(time.RFC3339), "2026-04-06T01:00:00Z", "2026-04-13T01:00:00Z")
	if late := w.sentAt()[1].Sub(at("2026-04-01T12:00:00+09:00")); late < 0 || late > 20*time.Minute {
		t.Errorf("the running period was charged %v after the outage, want soon", late)
	}
	if got, _ := attemptOf("sub-1", w.gateway.sent()[1].order); got != 4 {
		t.Errorf("charged after the outage: got period %d, want 4, the one that runs", got)
	}
	w.sound("sub-1")
}

func TestAnOpenOrderOfAPeriodThatIsOverIsSettledBeforeTheNext(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{
		"nobody heard the answer":     {lose: true},
		"the sender was killed":       {kill: true},
		"killed before it could send": {drop: true, kill: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, at("2026-03-02T10:00:00+09:00"))
			w.gateway.fate = func(c call) fate {
				if c.nth == 2 {
					return f
				}
				return fate{}
			}
			w.subscribe(signUp("weekly"))
			w.until(at("2026-03-09T10:00:00+09:00"))
			_, _ = w.fanout.Tick(t.Context())
			w.deliver()
			w.queue.drain()
			w.clock.set(at("2026-03-17T09:00:00+09:00")) // and then nothing ran for a week
			w.until(at("2026-03-24T00:00:00+09:00"))
			var periods []int
			for _, m := range w.gateway.taken() {
				period, _ := attemptOf("sub-1", m.order)
				periods = append(periods, period)
			}
			want := []int{0, 1, 2, 3}
			if f.drop {
				want = []int{0, 2, 3}
			}
			if !slices.Equal(periods, want) {
				t.Errorf("periods paid: got %v, want %v", periods, want)
			}
			w.sound("sub-1")
		})
	}
}

func TestAWakeUpThatIsTooEarlySendsNothingAndIsSetRight(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	w.change("sub-1", func(s *billing.Subscription) { s.WakeAt = due.Add(-30 * time.Second) })
	w.clock.set(due.Add(-20 * time.Second))
	if err := w.work("sub-1"); err != nil {
		t.Fatal(err)
	}
	w.wantSent("2026-03-10T03:00:00Z")
	w.until(due.Add(time.Minute))
	w.wantSent("2026-03-10T03:00:00Z", "2026-04-10T03:00:00Z")
	w.sound("sub-1")
}

// The due index is read by a cursor: what is put in behind it might never be seen.
func TestNothingIsPutIntoTheDueIndexBehindTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, at("2026-03-02T10:00:00+09:00").Add(300*time.Millisecond))
	entries := 0
	w.tables.Fail = func(op memory.Op) (bool, error) {
		for _, write := range op.Writes {
			if write.Change == table.Remove || write.Item.Index == nil || write.Item.Key.Table != table.Subscriptions {
				continue
			}
			entries++
			if entry := write.Item.Index.Sort[:len("2006-01-02T15:04:05Z")]; entry < w.clock.Now().Format("2006-01-02T15:04:05Z") || at(entry).Before(w.clock.Now()) {
				t.Errorf("at %v: got an entry for %s", w.clock.Now(), entry)
			}
		}
		return true, nil
	}
	w.gateway.fate = declining(map[string]string{"1.1": "A"})
	w.subscribe(signUp("weekly"))
	w.until(at("2026-03-09T11:00:00+09:00"))
	w.clock.set(at("2026-03-12T09:00:00+09:00").Add(time.Millisecond)) // the reminder is late
	w.until(at("2026-03-13T11:00:00+09:00"))
	w.clock.set(at("2026-04-01T12:00:00+09:00").Add(time.Millisecond)) // and so are three periods
	w.until(at("2026-04-08T00:00:00+09:00"))
	if entries < 8 {
		t.Errorf("got %d entries, want all that the story has", entries)
	}
	w.sound("sub-1")
}
