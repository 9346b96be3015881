package billing_test

import (
	"fmt"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/table"
)

// active signs up and waits ten days; from then on charges on demand meet fate, in turn.
func active(t *testing.T, plan string, fates ...fate) *world {
	t.Helper()
	w := newWorld(t, noon)
	w.subscribe(signUp(plan))
	w.until(asked)
	w.gateway.fate = func(c call) fate {
		if _, ok := attempts()[c.order]; ok || len(fates) == 0 {
			return fate{}
		}
		return fates[min(c.of, len(fates))-1]
	}
	return w
}

var asked = noon.Add(days(10))

// found is an order, by its id.
func (w *world) found(id string) billing.Charge {
	w.Helper()
	for _, c := range w.orders() {
		if c.ID == id {
			return c
		}
	}
	w.Fatalf("there is no order %s", id)
	return billing.Charge{}
}

func TestAChargeOnDemandComesToItsEndHoweverTheGatewayBehaves(t *testing.T) {
	t.Parallel()
	busy := fate{busy: true}
	for name, c := range map[string]struct {
		fates  []fate
		lookup bool
		state  billing.ChargeState
		code   string
		within time.Duration
		most   int // sends
	}{
		"paid":                       {nil, false, billing.Paid, "", time.Second, 1},
		"declined":                   {[]fate{{decline: "A"}}, false, billing.Declined, "A", time.Second, 1},
		"declined for good":          {[]fate{{decline: "X", class: billing.Hard}}, false, billing.Declined, "X", time.Second, 1},
		"request lost":               {[]fate{{drop: true}, {}}, false, billing.Paid, "", 10 * time.Minute, 2},
		"answer lost":                {[]fate{{lose: true}}, false, billing.Paid, "", 10 * time.Minute, 1},
		"decline's answer lost":      {[]fate{{decline: "A", lose: true}, {decline: "A"}}, false, billing.Declined, "A", 10 * time.Minute, 2},
		"decline found":              {[]fate{{decline: "A", lose: true}}, true, billing.Declined, "A", 10 * time.Minute, 1},
		"killed before the answer":   {[]fate{{kill: true}}, false, billing.Paid, "", 10 * time.Minute, 1},
		"killed before the request":  {[]fate{{drop: true, kill: true}, {}}, false, billing.Paid, "", 10 * time.Minute, 2},
		"paid hours later":           {[]fate{{late: 3 * time.Hour}}, false, billing.Paid, "", 6 * time.Hour, 12},
		"5xx":                        {[]fate{{fail: true}, {}}, false, billing.Paid, "", 10 * time.Minute, 2},
		"unclear 400":                {[]fate{{odd: "PROVIDER_ERROR"}}, false, billing.Declined, "PROVIDER_ERROR", time.Hour, 1},
		"busy, then paid":            {[]fate{busy, busy, busy, {}}, false, billing.Paid, "", 10 * time.Minute, 4},
		"lost, then busy, then paid": {[]fate{{drop: true}, busy, busy, {}}, false, billing.Paid, "", 5 * time.Hour, 4},
		"misconfigured, then paid":   {[]fate{{ours: true}, {ours: true}, {}}, false, billing.Paid, "", time.Hour, 3},
		"busy for ever":              {[]fate{busy}, false, billing.Declined, billing.NotMadeInTime, 31 * time.Hour, 1900},
		"misconfigured for ever":     {[]fate{{ours: true}}, false, billing.Declined, billing.NotMadeInTime, 31 * time.Hour, 200},
		"nothing ever arrives":       {[]fate{{drop: true}}, false, billing.Declined, billing.NoPaymentFound, 48 * time.Hour, 20},
	} {
		for _, plan := range []string{"monthly", "usage"} {
			t.Run(name+" on "+plan, func(t *testing.T) {
				t.Parallel()
				w := active(t, plan, c.fates...)
				w.gateway.lookup = c.lookup
				before := w.subscription("sub-1")
				sends := len(w.gateway.sent())
				_, err := w.demand("order-1", 700)
				must(t, err)
				w.until(asked.Add(c.within))
				o := w.found("order-1")
				if o.State != c.state || o.Code != c.code || o.Amount != 700 || !o.OnDemand || len(o.Sealed) > 0 {
					t.Errorf("%v later: got %s %q of %d, want %s %q of 700", c.within, o.State, o.Code, o.Amount, c.state, c.code)
				}
				if got := len(w.gateway.sent()) - sends; got > c.most {
					t.Errorf("sends: got %d, want %d at most", got, c.most)
				}
				paid, declined := 0, 1
				if c.state == billing.Paid {
					paid, declined = 1, 0
				}
				w.wantHas(event.ChargePaid, paid)
				w.wantHas(event.ChargeDeclined, declined)
				if got := w.alarmed(); got != (c.fates != nil && c.fates[0].ours || c.code == billing.NoPaymentFound) {
					t.Errorf("alarm: got %v, want one where a person has to look", got)
				}
				if after := w.subscription("sub-1"); after.State != before.State || !after.NextDueAt.Equal(before.NextDueAt) || after.Spent || after.Attempt != before.Attempt {
					t.Errorf("subscription: got %s due %v, want it as it was", after.State, after.NextDueAt)
				}
				w.until(asked.Add(days(4)))
				w.finished()
				w.sound("sub-1")
				if got, err := w.demand("order-1", 700); err != nil || got.State != c.state {
					t.Errorf("asked again: got %s, %v, want %s", got.State, err, c.state)
				}
				if got := len(w.charges("sub-1")); got != map[string]int{"monthly": 2, "usage": 1}[plan] {
					t.Errorf("charges listed: got %d, want the one on demand too", got)
				}
			})
		}
	}
}

func TestTheSameOrderWithAnotherBodyIsRefused(t *testing.T) {
	t.Parallel()
	w := active(t, "monthly")
	charge := func(d billing.Demand) error {
		_, err := w.biller.Demand(t.Context(), scope, "sub-1", d)
		return err
	}
	must(t, charge(billing.Demand{OrderID: "order-1", Amount: krw(700)}))
	must(t, charge(billing.Demand{OrderID: "order-2", Amount: krw(700), Description: "usage"}))
	for _, d := range []billing.Demand{
		{OrderID: "order-1", Amount: krw(701)},
		{OrderID: "order-1", Amount: money.Of(700, "USD")},
		{OrderID: "order-1", Amount: krw(700), Description: "other"},
		{OrderID: "order-2", Amount: krw(700)},
		{OrderID: "order-2", Amount: krw(700), Description: "other"},
	} {
		wantFault(t, charge(d), fault.Conflict, "order_exists")
	}
	r := signUp("monthly")
	r.ID, r.Card.AuthKey = "sub-2", "two"
	w.subscribe(r)
	_, err := w.biller.Demand(t.Context(), scope, "sub-2", billing.Demand{OrderID: "order-1", Amount: krw(700)})
	wantFault(t, err, fault.Conflict, "order_exists")
	// Another plan has another name, and an order without a description is still the same.
	_, err = w.plan("other-entitlement")
	must(t, err)
	w.until(due.Add(time.Hour))
	must(t, charge(billing.Demand{OrderID: "order-1", Amount: krw(700)}))
	if got := len(w.gateway.taken()); got != 5 {
		t.Errorf("payments: got %d, want three of periods and two on demand", got)
	}
}

func TestWhatCannotBeChargedOnDemandIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	w := active(t, "monthly")
	for name, d := range map[string]billing.Demand{
		"too short":       {OrderID: "abc12", Amount: krw(1)},
		"too long":        {OrderID: "a123456789012345678901234567890123456789012345678901234567890abcd", Amount: krw(1)},
		"spaced":          {OrderID: "order 1", Amount: krw(1)},
		"ours":            {OrderID: "gl_order", Amount: krw(1)},
		"a store's":       {OrderID: "apple_1", Amount: krw(1)},
		"nothing":         {OrderID: "order-1", Amount: krw(0)},
		"less":            {OrderID: "order-1", Amount: krw(-1)},
		"no currency":     {OrderID: "order-1", Amount: money.Amount{Units: 1}},
		"with a line end": {OrderID: "order-1", Amount: krw(1), Description: "a\nb"},
	} {
		if _, err := w.biller.Demand(t.Context(), scope, "sub-1", d); fault.Code(err) != "invalid_request" {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
	if got := len(w.tables.Items(table.Orders)); got != 1 {
		t.Errorf("orders: got %d, want the sign-up's alone", got)
	}
	w.until(due.Add(-time.Hour))
	w.gateway.fate = declining(map[string]string{"1.1": "!X"})
	w.until(due.Add(time.Hour))
	_, err := w.demand("order-1", 100)
	wantFault(t, err, fault.Conflict, "payment_method_needed")
	w.gateway.fate = func(call) fate { return fate{decline: "A"} }
	_, _, err = w.recard("new")
	must(t, err)
	w.gateway.fate = nil
	_, err = w.demand("order-1", 100)
	must(t, err)
	_, err = w.cancel(true)
	must(t, err)
	_, err = w.demand("order-2", 100)
	wantFault(t, err, fault.Conflict, "not_chargeable")
	if c, err := w.demand("order-1", 100); err != nil || c.State != billing.Paid {
		t.Errorf("one that was made before: got %s, %v, want it told", c.State, err)
	}

	w = newWorld(t, noon)
	w.gateway.issue = func(int) (bool, bool, bool) { return false, true, false }
	w.subscribe(signUp("monthly"))
	_, err = w.demand("order-1", 100)
	wantFault(t, err, fault.Conflict, "not_chargeable")
}

func TestAnOrderOnDemandAskedForTwiceAtOnceIsOneCharge(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"paid": {}, "declined": {decline: "A"}, "answer lost": {lose: true}, "request lost": {drop: true}, "busy": {busy: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := func(w *world) {
				_, err := w.biller.Demand(t.Context(), scope, "sub-1", billing.Demand{OrderID: "order-1", Amount: krw(700)})
				must(t, err)
			}
			met(t, func() *world { return active(t, "monthly", f, fate{}) }, ask, ask, func(w *world) {
				if got := len(w.gateway.sent()); got != 2 && !f.busy {
					t.Errorf("sends by then: got %d, want the sign-up's and one", got)
				}
				w.until(asked.Add(days(2)))
				w.finished()
				w.sound("sub-1")
			})
		})
	}
}

// The queue looks at an order twice at once, at each moment of the other.
func TestAnOrderOnDemandIsTendedByOneAtATime(t *testing.T) {
	t.Parallel()
	for name, fates := range map[string][]fate{
		"answer lost": {{lose: true}, {}}, "request lost": {{drop: true}, {}}, "busy": {{busy: true}, {}},
		"request lost twice": {{drop: true}, {drop: true}, {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tend := func(w *world) { _ = w.biller.Work(t.Context(), scope, "errand:order-order-1") }
			met(t, func() *world {
				w := active(t, "monthly", fates...)
				_, err := w.demand("order-1", 700)
				must(t, err)
				w.clock.set(asked.Add(2 * time.Minute))
				return w
			}, tend, tend, func(w *world) {
				if got := len(w.gateway.sent()); got > 3 {
					t.Errorf("sends: got %d, want the sign-up's and two at most", got)
				}
				w.until(asked.Add(days(2)))
				if o := w.found("order-1"); o.State != billing.Paid {
					t.Errorf("order: got %s, want paid", o.State)
				}
				w.wantHas(event.ChargePaid, 1)
				w.finished()
				w.sound("sub-1")
			})
		})
	}
}

// A cancellation at once, or another card, comes at each moment of a charge on demand.
func TestAChargeOnDemandThatMeetsAnotherWordEndsWell(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"paid": {}, "answer lost": {lose: true}, "request lost": {drop: true}, "busy": {busy: true}} {
		for what, word := range map[string]func(w *world) error{
			"cancelled": func(w *world) error { _, err := w.biller.Cancel(t.Context(), scope, "sub-1", true); return err },
			"refused": func(w *world) error {
				w.change("sub-1", func(s *billing.Subscription) { s.Spent = true }) // as a period's charge was
				return nil
			},
			"new card": func(w *world) error {
				_, _, _, err := w.biller.ChangeMethod(t.Context(), scope, "sub-1", &billing.NewCard{AuthKey: secret + "new", CustomerKey: "key-of-person-1"}, "")
				return err
			},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				worded, late := 0, false
				met(t, func() *world {
					worded = -1
					return active(t, "monthly", f, fate{})
				}, func(w *world) {
					_, _ = w.biller.Demand(t.Context(), scope, "sub-1", billing.Demand{OrderID: "order-1", Amount: krw(700)})
				}, func(w *world) {
					must(t, word(w))
					worded, late = len(w.gateway.sent()), w.gateway.entering
				}, func(w *world) {
					w.until(asked.Add(days(6)))
					if sent := len(w.gateway.sent()); what != "new card" && sent > worded && !(late && sent == worded+1) {
						t.Errorf("sends after the word: got %d, want none but the one that had passed its last look", sent-worded)
					}
					if cards := w.sentWith(); what == "new card" && worded == 1 && !late && len(cards) > 1 && cards[1] != "2" {
						t.Errorf("sent with card %s after the word, want the new one", cards[1])
					}
					for _, o := range w.orders() {
						if o.ID == "order-1" && o.State != billing.Paid && (what == "new card" || o.State != billing.Declined) {
							t.Errorf("order: got %s, want it paid, or given up where it may not be", o.State)
						}
					}
					w.finished()
					w.sound("sub-1")
				})
			})
		}
	}
}

func TestAChargeOnDemandNotMadeWhenItIsCancelledIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"busy": {busy: true}, "request lost": {drop: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := active(t, "usage", f)
			_, err := w.demand("order-1", 700)
			must(t, err)
			_, err = w.cancel(true)
			must(t, err)
			sends := len(w.gateway.sent())
			w.until(asked.Add(days(3)))
			if o := w.found("order-1"); o.State != billing.Declined || o.Code != billing.NotMadeInTime {
				t.Errorf("got %s %q, want given up", o.State, o.Code)
			}
			if got := len(w.gateway.sent()); got != sends {
				t.Errorf("sends after the word: got %d, want none", got-sends)
			}
			w.ending()
		})
	}
}

// A day later the order is held against the gateway's books.
func TestAChargeOnDemandIsVerifiedADayLater(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		books    func(g *gateway)
		refunded int64
		alarm    bool
		finds    int
	}{
		"as it should be": {func(*gateway) {}, 0, false, 1},
		"given back in part at the console": {func(g *gateway) {
			g.returnedOf["pay_order-1"] = 200
		}, 200, false, 1},
		"a second payment": {func(g *gateway) {
			g.strays["order-1"] = billing.Payment{Key: "stray", Amount: 700, Currency: "KRW", ApprovedAt: asked}
		}, 0, true, 1},
		"gone":                {func(g *gateway) { delete(g.payments, "order-1") }, 0, true, 1},
		"not to be asked yet": {func(g *gateway) { g.find = func(nth int) bool { return nth <= 3 } }, 0, false, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := active(t, "monthly")
			_, err := w.demand("order-1", 700)
			must(t, err)
			c.books(w.gateway)
			w.until(asked.Add(26*time.Hour - time.Minute))
			if w.gateway.finds != 0 {
				t.Errorf("looked up within 26 hours: %d times, want none", w.gateway.finds)
			}
			w.until(asked.Add(days(3)))
			if o := w.found("order-1"); o.State != billing.Paid || o.Refunded != c.refunded {
				t.Errorf("got %s with %d given back, want paid with %d", o.State, o.Refunded, c.refunded)
			}
			if name == "a second payment" && w.gateway.returnedOf["stray"] != 700 {
				t.Errorf("of the second: got %d back, want 700", w.gateway.returnedOf["stray"])
			}
			if got := w.alarmed(); got != c.alarm {
				t.Errorf("alarm: got %v, want %v", got, c.alarm)
			}
			if got := w.gateway.finds; got != c.finds {
				t.Errorf("look-ups: got %d, want %d", got, c.finds)
			}
			w.finished()
		})
	}
}

func TestACustomersOrdersOnDemandAreEachCharged(t *testing.T) {
	t.Parallel()
	w := active(t, "usage")
	for n := range 5 {
		_, err := w.demand(fmt.Sprintf("order-%d", n), int64(100+n))
		must(t, err)
	}
	w.wantHas(event.ChargePaid, 5)
	if got := len(w.charges("sub-1")); got != 5 {
		t.Errorf("charges: got %d, want 5", got)
	}
	w.until(asked.Add(days(3)))
	w.finished()
	w.sound("sub-1")
}
