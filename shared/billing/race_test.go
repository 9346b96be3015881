package billing_test

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// together runs Work for one subscription in many goroutines.
func (w *world) together(n int) {
	var start, group sync.WaitGroup
	start.Add(1)
	for range n {
		group.Go(func() {
			start.Wait()
			// One that was overtaken fails, and its message would come again.
			_ = w.biller.Work(w.Context(), scope, "sub-1")
		})
	}
	start.Done()
	group.Wait()
}

func TestManyAtOnceChargeOnce(t *testing.T) {
	t.Parallel()
	for round := range 30 {
		w := renewal(t, "monthly")
		w.clock.set(due)
		w.together(8)
		if got := len(w.gateway.sent()); got != 2 {
			t.Fatalf("round %d: got %d charges sent, want the sign-up's and one", round, got)
		}
		w.until(due.Add(10 * time.Minute))
		w.sound("sub-1")
	}
}

func TestManyAtOnceDeclineAndRemindOnce(t *testing.T) {
	t.Parallel()
	for range 10 {
		w := renewal(t, "monthly")
		w.gateway.fate = declining(map[string]string{"1.1": "A", "1.2": "B"})
		w.clock.set(due)
		w.together(8)
		w.until(due.Add(10 * time.Minute))
		w.clock.set(due.Add(days(2)))
		w.together(8)
		w.clock.set(due.Add(days(3)))
		w.together(8)
		w.until(due.Add(days(5)))
		if got := len(w.gateway.sent()); got != 3 {
			t.Fatalf("got %d charges sent, want the sign-up's and two attempts", got)
		}
		w.sound("sub-1") // which counts what was told
		if got := len(w.events()); got != 5 {
			t.Fatalf("events: got %v, want 5, one of them a reminder", w.kinds())
		}
	}
}

func TestManyAtOnceFindOutAnUnknownOutcomeOnce(t *testing.T) {
	t.Parallel()
	for _, f := range []fate{{drop: true}, {lose: true}, {late: time.Minute}} {
		for range 8 {
			w := renewal(t, "monthly")
			w.gateway.fate = once(f)
			w.until(due.Add(time.Minute))
			w.clock.set(due.Add(2 * time.Minute))
			w.together(8)
			w.until(due.Add(time.Hour))
			if o := w.order(1, 1); o.State != billing.Paid {
				t.Fatalf("order: got %s, want paid", o.State)
			}
			w.sound("sub-1")
		}
	}
}

func TestManyAtOnceRegisterOneCard(t *testing.T) {
	t.Parallel()
	for range 10 {
		w := newWorld(t, noon)
		w.gateway.issue = func(nth int) (bool, bool, bool) { return false, nth == 1, false }
		w.subscribe(signUp("monthly"))
		w.clock.set(noon.Add(time.Minute))
		w.together(8)
		w.until(noon.Add(time.Hour))
		if got := len(w.gateway.cards); got != 1 {
			t.Fatalf("cards: got %d, want 1", got)
		}
		w.wantState(billing.StateActive)
		w.sound("sub-1")
	}
}

// Two more deliveries run within the first, at each of its operations: every place where
// workers can meet, without luck. While one is at an order, no other sends it.
func TestMoreDeliveriesAtAnyMomentOfTheFirstChangeNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate  func(call) fate
		after time.Duration // of the renewal's instant
		sends int           // of its order, at most
	}{
		"paid":                      {nil, 0, 1},
		"declined":                  {declining(map[string]string{"1.1": "A"}), 0, 1},
		"answer lost":               {once(fate{lose: true}), 0, 1},
		"too many requests":         {once(fate{busy: true}), 0, 2},
		"unclear 400":               {once(fate{odd: "PROVIDER_ERROR"}), 0, 2},
		"looking up a lost answer":  {once(fate{lose: true}), 2 * time.Minute, 1},
		"looking up a lost request": {once(fate{drop: true}), 2 * time.Minute, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for nth := 1; ; nth++ {
				w := renewal(t, "monthly")
				w.gateway.fate = c.fate
				if c.after > 0 {
					w.until(due.Add(c.after - time.Second))
				}
				w.clock.set(due.Add(c.after))
				n, inside := 0, false
				w.tables.Fail = func(memory.Op) (bool, error) {
					if inside {
						return true, nil
					}
					if n++; n == nth {
						inside = true
						_ = w.biller.Work(t.Context(), scope, "sub-1")
						_ = w.biller.Work(t.Context(), scope, "sub-1")
						inside = false
					}
					return true, nil
				}
				_ = w.work("sub-1")
				w.tables.Fail = nil
				w.until(due.Add(days(2)))
				w.sound("sub-1")
				for _, of := range w.gateway.sent() {
					if period, _ := attemptOf("sub-1", of.order); period == 1 && of.of > c.sends {
						t.Errorf("the order was sent %d times, want %d at most", of.of, c.sends)
					}
				}
				if t.Failed() {
					t.Fatalf("with the others at operation %d", nth)
				}
				if n < nth {
					return
				}
			}
		})
	}
}

// The gateway takes its time, and messages for the same subscription come meanwhile,
// until a second before the sender's lease ends.
func TestWhileOneIsSendingNoOtherSends(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]int{"the first time": 1, "again, after a lost request": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			inside := false
			w.gateway.fate = func(c call) fate {
				if c.of < send {
					return fate{drop: true}
				}
				if !inside && c.of == send {
					inside = true
					w.gateway.mu.Unlock()
					now := w.clock.Now()
					for _, later := range []time.Duration{0, 0, lease / 2, lease - time.Second} {
						w.clock.set(now.Add(later))
						_ = w.biller.Work(t.Context(), scope, "sub-1")
					}
					w.gateway.mu.Lock()
				}
				return fate{}
			}
			w.until(due.Add(time.Hour))
			if got := len(w.gateway.sent()) - 1; got != send {
				t.Errorf("sends of the renewal: got %d, want %d", got, send)
			}
			if o := w.order(1, 1); o.State != billing.Paid || o.Sends != send {
				t.Errorf("order: got %s after %d sends, want paid after %d", o.State, o.Sends, send)
			}
			w.sound("sub-1")
		})
	}
}

// The due index and a glance may be of a moment ago: whatever old state a worker starts
// from, it does nothing twice.
func TestAWorkerThatStartsFromAnOldStateDoesNothingTwice(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	w.clock.set(due)
	stale := &lagging{Tables: w.tables}
	stale.remember(t, w)
	if err := w.work("sub-1"); err != nil {
		t.Fatal(err)
	}
	w.biller.Tables = stale
	_ = w.work("sub-1")
	_ = w.work("sub-1")
	w.biller.Tables = w.tables
	if got := len(w.gateway.sent()); got != 2 {
		t.Errorf("charges sent: got %d, want 2", got)
	}
	w.until(due.Add(days(1)))
	w.sound("sub-1")
}

// A message that comes long after all is done is let go without a trace.
func TestAMessageThatIsLateOrEarlyOrStrayIsLetGo(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	before := len(w.orders())
	for _, id := range []string{"sub-1", "sub-1", "no-such-subscription"} {
		if err := w.work(id); err != nil {
			t.Errorf("Work %s: got %v, want the message let go", id, err)
		}
	}
	if got := len(w.orders()); got != before || len(w.gateway.sent()) != 1 {
		t.Errorf("got %d orders and %d charges, want %d and 1: nothing is made early", got, len(w.gateway.sent()), before)
	}
	w.sound("sub-1")
}

// The worker that reads an empty replica does not let its message go.
func TestAGlanceThatLagsDoesNotLoseAMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.issue = func(nth int) (bool, bool, bool) { return false, nth == 1, false }
	stale := &lagging{Tables: w.tables} // remembers that there was nothing
	w.subscribe(signUp("monthly"))
	w.clock.set(noon.Add(time.Minute))
	w.biller.Tables = stale
	if err := w.work("sub-1"); err != nil {
		t.Fatal(err)
	}
	w.wantState(billing.StateActive)
	w.biller.Tables = w.tables
	w.sound("sub-1")
}

// Nor does the one that reads a replica from before what is due came to be so.
func TestAGlanceOfAnEarlierStateDoesNotLoseAMessage(t *testing.T) {
	t.Parallel()
	for name, earlier := range map[string]func(*billing.Subscription){
		"when it was due later":     func(s *billing.Subscription) { s.WakeAt = due.Add(days(1)) },
		"when it waited for nobody": func(s *billing.Subscription) { s.Step = billing.StepNone },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := renewal(t, "monthly")
			w.clock.set(due)
			is := w.subscription("sub-1")
			w.change("sub-1", earlier)
			stale := &lagging{Tables: w.tables}
			stale.remember(t, w)
			w.change("sub-1", func(s *billing.Subscription) { s.Step, s.WakeAt = is.Step, is.WakeAt })
			w.biller.Tables = stale
			if err := w.work("sub-1"); err != nil {
				t.Fatal(err)
			}
			w.biller.Tables = w.tables
			if got := len(w.gateway.sent()); got != 2 {
				t.Errorf("charges sent: got %d, want 2: the message was let go", got)
			}
			w.sound("sub-1")
		})
	}
}

// Two subscriptions of one customer write to one head.
func TestTwoSubscriptionsOfOneCustomerAtOnceAreBothCharged(t *testing.T) {
	t.Parallel()
	for range 10 {
		w := newWorld(t, noon)
		for _, id := range []string{"sub-1", "sub-2"} {
			r := signUp("monthly")
			r.ID, r.Card.AuthKey = id, secret+id
			w.subscribe(r)
		}
		w.clock.set(due)
		var group sync.WaitGroup
		for n := range 8 {
			group.Go(func() { _ = w.biller.Work(t.Context(), scope, []string{"sub-1", "sub-2"}[n%2]) })
		}
		group.Wait()
		w.until(due.Add(10 * time.Minute))
		if got := len(w.gateway.taken()); got != 4 {
			t.Fatalf("payments: got %d, want two for each", got)
		}
		for _, id := range []string{"sub-1", "sub-2"} {
			if s := w.subscription(id); s.Period != 2 || s.State != billing.StateActive {
				t.Errorf("%s: got %s in period %d, want active in 2", id, s.State, s.Period)
			}
			w.told(w.subscription(id))
		}
	}
}

func TestChargesListsEveryAttemptOldestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.gateway.fate = declining(map[string]string{"1.1": "A", "1.2": "B"})
	w.subscribe(signUp("monthly"))
	w.until(at("2026-05-11T00:00:00+09:00"))
	want := []struct {
		period, attempt int
		state           billing.ChargeState
		code            string
		due             string
	}{
		{0, 1, billing.Paid, "", "2026-03-10T03:00:00Z"},
		{1, 1, billing.Declined, "A", "2026-04-10T03:00:00Z"},
		{1, 2, billing.Declined, "B", "2026-04-13T03:00:00Z"},
		{1, 3, billing.Paid, "", "2026-04-20T03:00:00Z"},
		{2, 1, billing.Paid, "", "2026-05-10T03:00:00Z"},
	}
	got := w.charges("sub-1")
	if len(got) != len(want) {
		t.Fatalf("charges: got %d, want %d", len(got), len(want))
	}
	for n, c := range got {
		is := want[n]
		if c.Period != is.period || c.Attempt != is.attempt || c.State != is.state || c.Code != is.code || !c.DueAt.Equal(at(is.due)) ||
			!c.SentAt.Equal(c.DueAt) || !c.SettledAt.Equal(c.DueAt) || c.Amount != 4900 || c.Currency != "KRW" || c.Sends != 1 {
			t.Errorf("charge %d: got %+v, want %+v", n, c, is)
		}
	}
}

func TestCostsAreCounted(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	w.clock.set(due)
	var did []string
	w.tables.Fail = func(op memory.Op) (bool, error) {
		in := op.Query.Table
		if len(op.Keys) > 0 {
			in = op.Keys[0].Table
		}
		did = append(did, op.Method+" "+string(in))
		if op.Method == "Commit" && len(op.Writes) != map[table.Table]int{table.Orders: 1, table.Subscriptions: 3}[in] {
			t.Errorf("Commit to %s has %d items, want 1 order, or a subscription, head and event", in, len(op.Writes))
		}
		return true, nil
	}
	if err := w.work("sub-1"); err != nil {
		t.Fatal(err)
	}
	w.tables.Fail = nil
	want := []string{
		"Glance subscriptions", "Query customers", "Commit orders", "Get subscriptions", "Commit orders", "Commit subscriptions",
	}
	if got := len(w.gateway.sent()); got != 2 || !slices.Equal(did, want) {
		t.Errorf("a charge that passes does\n got %v\nwant %v", did, want)
	}
	w.sound("sub-1")
}

// The clocks of two functions are a second apart, and the next period is due between them: the one
// that is behind claims and sends the attempt that the other is about to pass over.
func TestAnAttemptThatAClockBehindHasClaimedIsNotPassedOverAsLapsed(t *testing.T) {
	t.Parallel()
	w := renewal(t, "monthly")
	next := due.AddDate(0, 1, 0)
	w.clock.set(next.Add(time.Second))
	sending, passed, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	w.gateway.fate = func(c call) fate {
		if attemptName(c.order) == "1.1" {
			close(sending)
			<-passed
		}
		return fate{}
	}
	met := false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if !met && op.Method == "Commit" {
			met = true
			w.clock.set(next.Add(-time.Second))
			go func() { done <- w.biller.Work(t.Context(), scope, "sub-1") }()
			<-sending
			w.clock.set(next.Add(time.Second))
		}
		return false, nil
	}
	if err := w.biller.Work(t.Context(), scope, "sub-1"); err != nil {
		t.Errorf("who is ahead: got %v, want its message let go", err)
	}
	if !met {
		t.Fatal("nothing was written, want the period passed over")
	}
	close(passed)
	if err := <-done; err != nil {
		t.Errorf("who is behind: got %v, want no error", err)
	}
	w.until(next.Add(days(2)))
	if got, renewed := len(w.gateway.sent()), w.has(event.SubscriptionRenewed); got != 3 || renewed != 2 {
		t.Errorf("got %d charges sent, %d periods renewed; want the sign-up's and two, of which each renewed its period", got, renewed)
	}
	w.sound("sub-1")
}

// Money that turned up for an attempt which counts as not made is being given back when its period
// lapses, or is asked for once more.
func TestARefundOfAnOrderThatWasNotMadeOutlivesItsPeriod(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]time.Time{"lapsed": due.AddDate(0, 1, 0).Add(time.Second), "made again": due.Add(time.Hour)} {
		w := renewal(t, "monthly")
		ours := true
		w.gateway.fate = func(c call) fate { return fate{ours: ours && attemptName(c.order) == "1.1"} }
		w.until(due.Add(20 * time.Minute))
		o := w.order(1, 1)
		if o.State != billing.Void {
			t.Fatalf("%s: got the order %s, want it void", name, o.State)
		}
		item, err := w.tables.Get(t.Context(), table.Key{Table: table.Orders, Partition: scope.Key(o.ID)})
		if err != nil {
			t.Fatal(err)
		}
		o.Refunds = append(o.Refunds, billing.Refund{
			Reference: "gl_stray", Amount: 4900, Left: 4900, Stray: "pay_stray", Currency: "KRW", State: billing.RefundUnknown, Unsure: true,
			AskedAt: at.Add(-time.Hour), LookAt: at.Add(time.Hour),
		})
		if item.Data, err = json.Marshal(o); err != nil {
			t.Fatal(err)
		}
		if err := w.tables.Commit(t.Context(), table.Put(item)); err != nil {
			t.Fatal(err)
		}
		ours = false
		w.clock.set(at)
		if err := w.biller.Work(t.Context(), scope, "sub-1"); err != nil {
			t.Errorf("%s: got %v, want its message let go", name, err)
		}
		if o = w.order(1, 1); len(o.Refunds) != 1 || o.Refunds[0].Stray != "pay_stray" {
			t.Errorf("%s: got the order %s with the refunds %v, want the one that is under way", name, o.State, o.Refunds)
		}
	}
}
