package bank_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/notice"
	"grantline/shared/simulate"
	"grantline/shared/simulate/bank"
)

// club is Dodo with one mandate, of a subscription without a first charge.
type club struct {
	*ground
	*bank.Dodo
	card     *bank.Card
	mandate  string
	hints    []notice.Hint
	declines []string
}

var invitation = billing.Invitation{
	Subscription: "subscription-1", Product: "prod_usd", Name: "Premium", Customer: billing.Payer{Email: "payer@company.example", Name: "Alex"},
	Address: billing.Address{Country: "US"}, ReturnURL: "https://company.example/done",
}

func newClub(t testing.TB, h bank.Habits) *club {
	c := &club{ground: newGround(t, 1), card: &bank.Card{}}
	h.Hooks = func(h notice.Hint) { c.hints = append(c.hints, h) }
	c.Dodo = bank.NewDodo(c.World, h)
	c.OnDeclined = func(order, code string, class billing.Class, _ *bank.Card) {
		c.declines = append(c.declines, order+" "+code+" "+string(class))
	}
	made := c.invite(invitation)
	c.mandate = made.Mandate
	if !c.ConsoleVisit(made.Link, c.card, "") {
		t.Fatal("the page was closed, want it open")
	}
	c.wait(time.Minute)
	c.hints = nil
	return c
}

func (c *club) invite(i billing.Invitation, next ...simulate.Fate) (made billing.Invited) {
	c.Helper()
	c.call(func(ctx context.Context) {
		var err error
		if made, err = c.Invite(ctx, i); err != nil && len(next) == 0 {
			c.Fatal(err)
		}
	}, next...)
	return made
}

func (c *club) charge(id string, next ...simulate.Fate) (o billing.Outcome) {
	c.Helper()
	body, err := c.Compose(billing.Request{OrderID: id, Amount: money.Of(1000, "USD"), Name: "Premium"})
	if err != nil {
		c.Fatal(err)
	}
	c.call(func(ctx context.Context) { o = c.Charge(ctx, id, billing.Card{BillingKey: c.mandate}, body) }, next...)
	return o
}

// find looks an order up, by a payment's key if one is given.
func (c *club) find(id, payment string, next ...simulate.Fate) (o billing.Outcome) {
	c.Helper()
	c.call(func(ctx context.Context) {
		o = c.Find(ctx, id, billing.Want{Amount: money.Of(1000, "USD"), Card: billing.Card{BillingKey: c.mandate}, Payment: payment, Since: start})
	}, next...)
	return o
}

func (c *club) look() (m billing.Mandate) {
	c.Helper()
	c.call(func(ctx context.Context) {
		var err error
		if m, err = c.Look(ctx, c.mandate); err != nil {
			c.Error(err)
		}
	})
	return m
}

func (c *club) types() (types []string) {
	c.wait(time.Minute)
	for _, h := range c.hints {
		types = append(types, h.Type)
	}
	return types
}

func TestSameChargeTwiceAtDodoIsTwoPayments(t *testing.T) {
	c := newClub(t, bank.Habits{Tax: 10})
	first := c.charge(order)
	same(t, "accepted", billing.Outcome{Result: billing.Accepted, Payment: billing.Payment{Key: first.Payment.Key}}, first)
	same(t, "open", billing.Outcome{Result: billing.Accepted, Payment: first.Payment}, c.find(order, first.Payment.Key))
	same(t, "again while it is open", billing.Outcome{Result: billing.NotMade, Code: "PREVIOUS_PAYMENT_PENDING", Again: 10 * time.Minute}, c.charge(order))
	c.wait(2 * time.Minute)
	second := c.charge(order)
	c.wait(2 * time.Minute)
	if second.Payment.Key == first.Payment.Key || len(c.Payments()) != 2 {
		t.Errorf("got %d payments, want two", len(c.Payments()))
	}
	found := c.find(order, "")
	if found.Result != billing.Taken || found.Payment.Key != first.Payment.Key || found.Payment.Amount != 1100 || found.Payment.VAT != 100 ||
		found.Payment.Mandate != c.mandate || len(found.Others) != 1 || found.Others[0].Key != second.Payment.Key {
		t.Errorf("got %+v, want the first payment with its tax, and the second beside it", found)
	}
}

func TestEachFateOfAChargeAtDodo(t *testing.T) {
	unclear := billing.Outcome{Result: billing.Unclear}
	for _, each := range []struct {
		fate  simulate.Fate
		h     bank.Habits
		want  billing.Outcome
		found billing.Result
	}{
		{simulate.Lost, bank.Habits{}, unclear, billing.Absent},
		{simulate.Lost, bank.Habits{Unsent: 100_000}, billing.Outcome{Result: billing.NotMade}, billing.Absent},
		{simulate.Unheard, bank.Habits{}, unclear, billing.Taken},
		{simulate.Busy, bank.Habits{}, billing.Outcome{Result: billing.NotMade, Code: "TOO_MANY_REQUESTS", Busy: true}, billing.Absent},
		{simulate.Late, bank.Habits{}, unclear, billing.Taken},
	} {
		c := newClub(t, each.h)
		same(t, each.fate.String(), each.want, c.charge(order, each.fate))
		if got := len(c.Payments()); got != 0 {
			t.Errorf("%v: got %d payments at once, want none before they are decided", each.fate, got)
		}
		c.wait(2 * time.Hour)
		if o := c.find(order, ""); o.Result != each.found {
			t.Errorf("%v: found %s, want %s", each.fate, o.Result, each.found)
		}
	}
}

func TestListAtDodoLagsAndAPaymentByItsKeyDoesNot(t *testing.T) {
	c := newClub(t, bank.Habits{})
	key := c.charge(order).Payment.Key
	c.wait(30 * time.Second)
	same(t, "in the list", billing.Outcome{Result: billing.Absent}, c.find(order, ""))
	if o := c.find(order, key); o.Result != billing.Taken {
		t.Errorf("by its key: got %s, want taken", o.Result)
	}
	c.wait(31 * time.Second)
	if o := c.find(order, ""); o.Result != billing.Taken {
		t.Errorf("in the list a minute later: got %s, want taken", o.Result)
	}
	same(t, "another order's payment", billing.Outcome{Result: billing.Unclear}, c.find("gl_order_2", key))
	same(t, "no such payment", billing.Outcome{Result: billing.Unclear, Code: "NOT_FOUND"}, c.find(order, "pay_0"))
	same(t, "the look at it is lost", billing.Outcome{Result: billing.Unclear}, c.find(order, "", simulate.Fine, simulate.Lost))
	same(t, "the list is busy", billing.Outcome{Result: billing.Unclear, Code: "TOO_MANY_REQUESTS"}, c.find(order, "", simulate.Busy))
	for n := range 25 {
		c.charge("gl_later_" + string(rune('a'+n)))
		c.wait(2 * time.Minute)
	}
	before := c.Steps()
	if o := c.find(order, ""); o.Result != billing.Taken || c.Steps()-before != 3 {
		t.Errorf("among many: got %s after %d requests, want taken after two pages and a look", o.Result, c.Steps()-before)
	}
}

func TestDeclineAtDodoComesLaterAndMayPutTheMandateOnHold(t *testing.T) {
	for _, holds := range []int{0, 100_000} {
		c := newClub(t, bank.Habits{Holds: holds})
		c.card.Mood = bank.Always(bank.Poor)
		c.charge(order)
		c.wait(2 * time.Minute)
		same(t, "found", billing.Outcome{Result: billing.Refused, Code: "INSUFFICIENT_FUNDS", Class: billing.Soft, Method: c.look().Method}, c.find(order, ""))
		same(t, "attempts", []string{order + " INSUFFICIENT_FUNDS soft"}, c.declines)
		c.card.Mood = nil
		if holds == 0 {
			same(t, "webhooks", []string{"payment.failed"}, c.types())
			continue
		}
		same(t, "mandate", billing.MandateOnHold, c.look().State)
		same(t, "another charge", billing.Outcome{Result: billing.Refused, Code: "SUBSCRIPTION_INACTIVE", Class: billing.Passing}, c.charge("gl_order_2"))
		link := ""
		c.call(func(ctx context.Context) { link, _ = c.Mend(ctx, c.mandate, "https://company.example/done") })
		was := c.look().Method
		if !c.ConsoleVisit(link, &bank.Card{}, "") || c.ConsoleVisit(link, &bank.Card{}, "") {
			t.Error("the page of another means of payment should work once")
		}
		if m := c.look(); m.State != billing.MandateActive || m.Method == was {
			t.Errorf("mended: got %+v, want active with another method than %s", m, was)
		}
		if got := c.types(); len(got) != 4 { // failed, on_hold, a payment of nothing, active
			t.Errorf("got the webhooks %v, want four", got)
		}
	}
}

func TestPageTakesTheFirstPaymentAndMayFailBefore(t *testing.T) {
	c := newClub(t, bank.Habits{})
	with := invitation
	with.OrderID, with.Price, with.Subscription = order, money.Of(1000, "USD"), "subscription-2"
	made := c.invite(with)
	c.mandate = made.Mandate
	c.wait(2 * time.Minute)
	if o := c.find(order, ""); o.Result != billing.Accepted {
		t.Errorf("before the customer came: got %s, want accepted", o.Result)
	}
	bad := &bank.Card{Mood: bank.Always(bank.Stolen)}
	if !c.ConsoleVisit(made.Link, bad, "") || c.ConsoleVisit(made.Link, bad, "") {
		t.Error("the page should take one payment at a time")
	}
	c.wait(2 * time.Minute)
	same(t, "declined", billing.Outcome{Result: billing.Refused, Code: "STOLEN_CARD", Class: billing.Hard}, c.find(order, ""))
	c.ConsoleVisit(made.Link, &bank.Card{}, "EUR")
	c.wait(2 * time.Minute)
	o := c.find(order, "")
	if o.Result != billing.Taken || o.Payment.Currency != "EUR" || o.Payment.Amount != 1500 || c.look().State != billing.MandateActive {
		t.Errorf("got %+v and %+v, want 1500 EUR taken and an active mandate", o, c.look())
	}
	if c.ConsoleVisit(made.Link, &bank.Card{}, "") {
		t.Error("the page of an active mandate is open, want it closed")
	}
	id, state := c.MandateOf("subscription-2")
	same(t, "newest mandate", []any{made.Mandate, billing.MandateActive}, []any{id, state})
	same(t, "webhooks", 3, len(c.types()))
	for _, h := range c.hints {
		if !h.Signed || h.Order != order || h.Subscription != "subscription-2" || h.Mandate != made.Mandate || h.ID == "" {
			t.Errorf("got %+v, want a signed hint with the metadata of the mandate", h)
		}
	}
	// A mandate that is given another card has a payment of nothing that copies its metadata.
	c.ConsoleMend(made.Mandate, &bank.Card{})
	c.wait(2 * time.Minute)
	same(t, "found after another card", o, c.find(order, ""))
	last := c.hints[len(c.hints)-1]
	if last.Type == "subscription.update_payment_method" {
		last = c.hints[len(c.hints)-2]
	}
	same(t, "that payment", billing.Outcome{Result: billing.Absent}, c.find(order, last.Payment))
}

func TestMandateEnds(t *testing.T) {
	c := newClub(t, bank.Habits{})
	c.call(func(ctx context.Context) {
		if err := c.Revoke(ctx, c.mandate); !errors.Is(err, fault.Unavailable) {
			t.Errorf("nobody heard: got %v, want unavailable", err)
		}
	}, simulate.Unheard)
	c.call(func(ctx context.Context) {
		if err := c.Revoke(ctx, c.mandate); err != nil {
			t.Errorf("again: got %v, want it as good", err)
		}
		if err := c.Revoke(ctx, "sub_0"); err != nil {
			t.Errorf("unknown: got %v, want it as good", err)
		}
		if _, err := c.Mend(ctx, c.mandate, "https://company.example/"); !errors.Is(err, fault.Conflict) {
			t.Errorf("mend: got %v, want a conflict", err)
		}
		if _, err := c.Look(ctx, "sub_0"); !errors.Is(err, fault.NotFound) {
			t.Errorf("look at another: got %v, want not found", err)
		}
	})
	same(t, "mandate", billing.MandateEnded, c.look().State)
	same(t, "webhooks", []string{"subscription.cancelled"}, c.types())
}

func (c *club) refund(key string, amount, left int64, next ...simulate.Fate) (r billing.Refunded) {
	c.Helper()
	c.call(func(ctx context.Context) { r = c.Refund(ctx, c.refunding(key, amount, left)) }, next...)
	return r
}

func (c *club) refunding(key string, amount, left int64) billing.Refunding {
	p := c.Payments()[0]
	return billing.Refunding{
		Key: key, OrderID: p.Order, Payment: p.Key, Amount: money.Of(amount, "USD"), Left: left, Whole: amount == left, Reason: "asked for", Since: start,
	}
}

func TestRefundAtDodoIsRefusedWhenMoreThanIsLeft(t *testing.T) {
	c := newClub(t, bank.Habits{Tax: 10})
	c.charge(order)
	c.wait(time.Minute)
	unclear := billing.Refunded{Result: billing.Unclear}
	same(t, "the look is lost", billing.Refunded{Result: billing.NotMade}, c.refund("k1", 400, 1000, simulate.Lost))
	same(t, "the look is busy", billing.Refunded{Result: billing.NotMade, Code: "TOO_MANY_REQUESTS", Busy: true}, c.refund("k1", 400, 1000, simulate.Busy))
	same(t, "nobody heard", unclear, c.refund("k1", 400, 1000, simulate.Fine, simulate.Fine, simulate.Unheard))
	var found billing.Refunded
	c.call(func(ctx context.Context) { found = c.FindRefund(ctx, c.refunding("k1", 400, 1000)) })
	if found.Result != billing.Taken {
		t.Errorf("found: got %+v, want taken", found)
	}
	same(t, "again", found, c.refund("k1", 400, 1000))
	same(t, "more than is left", billing.Refunded{Result: billing.Refused, Code: "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT"}, c.refund("k2", 701, 1000))
	same(t, "some that we did not know of", billing.Refunded{Result: billing.Refused}, c.refund("k2", 600, 1000))
	if r := c.refund("k3", 600, 600); r.Result != billing.Taken || c.Payments()[0].Kept() != 0 {
		t.Errorf("the rest: got %+v and %d kept, want taken, with the tax", r, c.Payments()[0].Kept())
	}
	c.call(func(ctx context.Context) { found = c.FindRefund(ctx, c.refunding("k4", 100, 100)) })
	same(t, "one that was never sent", billing.Refunded{Result: billing.Absent}, found)
	if c.ConsoleRefund(c.Payments()[0].Key, 0) {
		t.Error("in the console: got true, want nothing left")
	}
}

// Two at the same instant both pass their look; Dodo itself has no lock against it.
func TestTwoRefundsAtOnceMayBothBeMade(t *testing.T) {
	c := newClub(t, bank.Habits{})
	c.charge(order)
	c.wait(time.Minute)
	done := 0
	for range 2 {
		c.Invoke("f", time.Hour, func(ctx context.Context) error {
			if c.Refund(ctx, c.refunding("the_same_key", 400, 1000)).Result == billing.Taken {
				done++
			}
			return nil
		}, nil)
	}
	c.wait(time.Minute)
	if got := c.Payments()[0].Returned; done != 2 || got != 800 {
		t.Errorf("got %d done and %d returned, want two and 800", done, got)
	}
}

func TestSlowRefundIsAcceptedAndMayFail(t *testing.T) {
	for _, refused := range []int{0, 100_000} {
		c := newClub(t, bank.Habits{RefundSlow: 100_000, RefundRefused: refused})
		c.charge(order)
		c.wait(time.Minute)
		returned := 0
		c.OnReturned = func(*bank.Payment, int64) { returned++ }
		if r := c.refund("k1", 400, 1000); r.Result != billing.Accepted {
			t.Errorf("got %+v, want accepted", r)
		}
		same(t, "the rest meanwhile", billing.Refunded{Result: billing.NotMade, Code: "EXISTING_REFUND_REQUEST_PROCESSING", Again: 10 * time.Minute}, c.refund("k2", 600, 600))
		c.wait(2 * time.Hour)
		want := billing.Taken
		if refused > 0 {
			want = billing.Refused
		}
		var found billing.Refunded
		c.call(func(ctx context.Context) { found = c.FindRefund(ctx, c.refunding("k1", 400, 1000)) })
		if found.Result != want || (returned == 1) != (refused == 0) {
			t.Errorf("later: got %+v and told %d times, want %s", found, returned, want)
		}
	}
}

func TestDisputeTakesMoneyBackAndMayGiveItAgain(t *testing.T) {
	c := newClub(t, bank.Habits{})
	key := c.charge(order).Payment.Key
	c.wait(2 * time.Minute)
	c.hints = nil
	var seized []int64
	c.OnSeized = func(_ *bank.Payment, amount int64) { seized = append(seized, amount) }
	returned := func() int64 { return c.find(order, "").Payment.Returned }
	if !c.ConsoleDispute(key) || c.ConsoleDispute(key) || returned() != 0 {
		t.Error("an open dispute is one, and decides nothing")
	}
	c.ConsoleDisputeLost(key)
	if got := returned(); got != 1000 {
		t.Errorf("lost: got %d returned, want 1000", got)
	}
	var of string
	c.call(func(ctx context.Context) { of, _ = c.OrderOf(ctx, key) })
	same(t, "order of the payment", order, of)
	c.ConsoleDisputeWon(key)
	if got := returned(); got != 0 {
		t.Errorf("won after all: got %d returned, want 0", got)
	}
	same(t, "seized", []int64{1000, -1000}, seized)
	c.wait(time.Minute)
	c.call(func(ctx context.Context) {
		listed, next, err := c.Disputed(ctx, start, c.World.Now(), "")
		if len(listed) != 1 || listed[0].Payment != key || listed[0].Lost || next != "" || err != nil {
			t.Errorf("listed: got %+v, %q, %v, want the dispute that was won", listed, next, err)
		}
	})
	if got := c.types(); len(got) != 3 || c.hints[0].Order != "" || c.hints[0].Payment != key {
		t.Errorf("got %+v, want three hints that name the payment alone", c.hints)
	}
}

func TestStatementOfDodoSaysWhatHappened(t *testing.T) {
	for _, page := range []int{0, 20} {
		c := newClub(t, bank.Habits{Page: page})
		var want []billing.Entry
		for n := range 25 {
			id := "gl_order_" + string(rune('a'+n))
			key := c.charge(id).Payment.Key
			at := c.World.Now()
			c.wait(2 * time.Minute)
			want = append(want, billing.Entry{OrderID: id, Payment: key, At: at, Currency: "USD", Taken: 1000})
		}
		c.card.Mood = bank.Always(bank.Poor)
		c.charge("gl_declined")
		for n := range 7 {
			c.wait(time.Minute)
			c.ConsoleRefund(want[n].Payment, 10)
			want = append(want, billing.Entry{OrderID: want[n].OrderID, Payment: want[n].Payment, At: c.World.Now(), Currency: "USD", Returned: 10})
		}
		c.wait(2 * time.Minute)
		var got []billing.Entry
		c.call(func(ctx context.Context) {
			for after := ""; ; {
				entries, next, err := c.Statement(ctx, start, start.Add(24*time.Hour), after)
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, entries...); next == "" {
					return
				}
				after = next
			}
		})
		same(t, "statement", want, got)
		c.call(func(ctx context.Context) {
			if _, _, err := c.Statement(ctx, start, start.Add(24*time.Hour), "refunds:0"); !errors.Is(err, fault.Unavailable) {
				t.Errorf("a look at a payment is lost: got %v, want unavailable", err)
			}
		}, simulate.Fine, simulate.Lost)
	}
}

func TestWebhooksAreLostLateAndDoubled(t *testing.T) {
	for what, each := range map[string]struct {
		h    bank.Habits
		want int
	}{
		"lost":    {bank.Habits{HookLost: 100_000}, 0},
		"doubled": {bank.Habits{HookDoubled: 100_000}, 2},
		"late":    {bank.Habits{HookLate: 100_000, HookLateMost: 12 * time.Hour}, 1},
	} {
		c := newClub(t, each.h)
		c.wait(24 * time.Hour)
		c.hints = nil
		key := c.charge(order).Payment.Key
		c.wait(24 * time.Hour)
		if len(c.hints) != each.want {
			t.Errorf("%s: got %d, want %d", what, len(c.hints), each.want)
		}
		for _, h := range c.hints {
			if h.ID != c.hints[0].ID || h.Payment != key || h.Type != "payment.succeeded" || h.Provider != "dodo" || h.Project == "" {
				t.Errorf("%s: got %+v, want the payment's, each time under one id", what, h)
			}
			if late := h.At.Sub(start) > 25*time.Hour; what == "late" && !late {
				t.Errorf("late: came in at %v, want later", h.At)
			}
		}
	}
}

func TestNobodyIsChargedInASpellOfMistakesOrAnOutage(t *testing.T) {
	c := newClub(t, bank.Habits{})
	c.ConsoleRefuse("UNAUTHORIZED")
	same(t, "mistake", billing.Outcome{Result: billing.NotMade, Code: "UNAUTHORIZED", Misconfigured: true}, c.charge(order))
	same(t, "mistake, found", billing.Outcome{Result: billing.Unclear, Code: "UNAUTHORIZED"}, c.find(order, ""))
	c.ConsoleRefuse("")
	c.ConsoleOutage(true)
	same(t, "outage", billing.Outcome{Result: billing.Unclear}, c.charge(order))
	c.ConsoleOutage(false)
	c.wait(time.Hour)
	same(t, "found", billing.Outcome{Result: billing.Absent}, c.find(order, ""))
}
