package bank_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/notice"
	"grantline/shared/simulate"
	"grantline/shared/simulate/bank"
)

var start = time.Date(2040, 3, 1, 9, 0, 0, 0, time.UTC)

// fates has crossings end as told, one after another, and the rest well.
type fates struct {
	*simulate.Weather
	next []simulate.Fate
}

func (f *fates) Cross(simulate.Op) simulate.Crossing {
	c := simulate.Crossing{After: time.Millisecond}
	if len(f.next) > 0 {
		c.Fate, f.next = f.next[0], f.next[1:]
	}
	return c
}

// ground is a world with functions that call one after another.
type ground struct {
	testing.TB
	*simulate.World
	*fates
}

func newGround(t testing.TB, seed uint64) *ground {
	f := &fates{Weather: simulate.NewWeather(seed, simulate.Faults{})}
	g := &ground{t, simulate.New(seed, start, f), f}
	t.Cleanup(g.Close)
	return g
}

// call runs a function to its end, with so many fates for its first crossings.
func (g *ground) call(do func(ctx context.Context), next ...simulate.Fate) {
	g.Helper()
	g.next = next
	ended := false
	g.Invoke("f", time.Hour, func(ctx context.Context) error {
		do(ctx)
		return nil
	}, func(err error) {
		if ended = true; err != nil {
			g.Errorf("the function ended with %v, want nil", err)
		}
	})
	for !ended {
		if !g.Turn(g.World.Now().Add(24 * time.Hour)) {
			g.Fatal("the function never ended")
		}
	}
	g.next = nil
}

func (g *ground) wait(d time.Duration) {
	g.Helper()
	if v := g.Run(g.World.Now().Add(d)); v != nil {
		g.Fatal(v)
	}
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: want -, got +\n%s", what, d)
	}
}

// shop is Toss with one billing key.
type shop struct {
	*ground
	*bank.Toss
	card     *bank.Card
	key      billing.Card
	hints    []notice.Hint
	declines []string
}

func newShop(t testing.TB, h bank.Habits) *shop {
	s := &shop{ground: newGround(t, 1), card: &bank.Card{}}
	h.Hooks = func(h notice.Hint) { s.hints = append(s.hints, h) }
	s.Toss = bank.NewToss(s.World, h)
	s.OnDeclined = func(order, code string, class billing.Class, _ *bank.Card) {
		s.declines = append(s.declines, order+" "+code+" "+string(class))
	}
	r := billing.Registration{Key: "issue-1", AuthKey: s.ConsoleRegister("customer-key-1", s.card, ""), CustomerKey: "customer-key-1"}
	s.call(func(ctx context.Context) {
		var err error
		if s.key, err = s.Issue(ctx, r); err != nil {
			t.Fatal(err)
		}
	})
	return s
}

const order = "gl_order_1"

func (s *shop) body(id string, amount int64, round int) []byte {
	s.Helper()
	body, err := s.Compose(billing.Request{OrderID: id, CustomerKey: "customer-key-1", Amount: money.Of(amount, "KRW"), Name: "Premium", Round: round})
	if err != nil {
		s.Fatal(err)
	}
	return body
}

func (s *shop) charge(id string, next ...simulate.Fate) (o billing.Outcome) {
	s.Helper()
	body := s.body(id, 4900, 0)
	s.call(func(ctx context.Context) { o = s.Charge(ctx, id, s.key, body) }, next...)
	return o
}

func (s *shop) find(id string) (o billing.Outcome) {
	s.Helper()
	s.call(func(ctx context.Context) { o = s.Find(ctx, id, billing.Want{Amount: money.Of(4900, "KRW")}) })
	return o
}

func TestSameKeyAtTossIsOnePayment(t *testing.T) {
	s := newShop(t, bank.Habits{})
	first := s.charge(order)
	if first.Result != billing.Taken || first.Payment.Amount != 4900 || first.Payment.Currency != "KRW" {
		t.Fatalf("got %+v, want 4900 KRW taken", first)
	}
	s.wait(14 * 24 * time.Hour)
	same(t, "the same again two weeks later", first, s.charge(order))
	same(t, "found", first, s.find(order))
	s.wait(3 * 24 * time.Hour)
	same(t, "the same again when the key is forgotten", billing.Outcome{Result: billing.Unclear, Code: "DUPLICATED_ORDER_ID"}, s.charge(order))
	if got := s.Payments(); len(got) != 1 || got[0].Order != order {
		t.Errorf("got %d payments, want one", len(got))
	}
}

func TestDeclineAtTossIsRepeatedForItsKey(t *testing.T) {
	for _, shows := range []bool{false, true} {
		s := newShop(t, bank.Habits{ShowsDeclines: shows})
		s.card.Mood = bank.InTurn(bank.Poor, bank.Approved)
		want := billing.Outcome{Result: billing.Refused, Code: "REJECT_CARD_PAYMENT", Class: billing.Soft}
		same(t, "first", want, s.charge(order))
		same(t, "again", want, s.charge(order))
		found := billing.Outcome{Result: billing.Absent, Code: "NOT_FOUND_PAYMENT"}
		if shows {
			found = want
		}
		same(t, "found", found, s.find(order))
		same(t, "attempts", []string{order + " REJECT_CARD_PAYMENT soft"}, s.declines)
		if o := s.charge("gl_order_2"); o.Result != billing.Taken {
			t.Errorf("another order: got %+v, want taken", o)
		}
	}
}

func TestAnotherBodyUnderAKeyIsNotThePaymentAskedFor(t *testing.T) {
	s := newShop(t, bank.Habits{})
	s.charge(order)
	var o billing.Outcome
	body := s.body(order, 5000, 0)
	s.call(func(ctx context.Context) { o = s.Charge(ctx, order, s.key, body) })
	same(t, "another amount", billing.Outcome{Result: billing.Unclear}, o)
	body = s.body("gl_order_2", 4900, 0)
	s.call(func(ctx context.Context) { o = s.Charge(ctx, order, s.key, body) })
	same(t, "another order's body", billing.Outcome{Result: billing.NotMade, Misconfigured: true}, o)
}

func TestEachFateOfAChargeAtToss(t *testing.T) {
	unclear := billing.Outcome{Result: billing.Unclear}
	for _, c := range []struct {
		fate simulate.Fate
		want billing.Outcome
		paid int
	}{
		{simulate.Lost, unclear, 0},
		{simulate.Unheard, unclear, 1},
		{simulate.Busy, billing.Outcome{Result: billing.NotMade, Code: "TOO_MANY_REQUESTS", Busy: true}, 0},
		{simulate.Late, unclear, 0},
	} {
		s := newShop(t, bank.Habits{})
		same(t, c.fate.String(), c.want, s.charge(order, c.fate))
		if got := len(s.Payments()); got != c.paid {
			t.Errorf("%v: got %d payments at once, want %d", c.fate, got, c.paid)
		}
		s.wait(10 * time.Minute)
		if c.fate == simulate.Late && len(s.Payments()) != 1 {
			t.Errorf("%v: got %d payments ten minutes later, want one", c.fate, len(s.Payments()))
		}
		if o := s.charge(order); o.Result != billing.Taken || len(s.Payments()) != 1 {
			t.Errorf("%v, then sent again: got %s and %d payments, want taken and one", c.fate, o.Result, len(s.Payments()))
		}
	}
}

func TestResendMeetsARequestThatIsBeingWorkedOn(t *testing.T) {
	busy := 0
	for seed := range uint64(20) {
		s := newShop(t, bank.Habits{})
		for range seed {
			s.World.Dice.Uint32()
		}
		s.charge(order, simulate.Late)
		o := s.charge(order)
		if o.Result == billing.Unclear {
			same(t, "again at once", billing.Outcome{Result: billing.Unclear, Code: "IDEMPOTENT_REQUEST_PROCESSING"}, o)
			busy++
		}
		s.wait(10 * time.Minute)
		if o = s.find(order); o.Result != billing.Taken || len(s.Payments()) != 1 {
			t.Errorf("seed %d: got %s and %d payments, want taken and one", seed, o.Result, len(s.Payments()))
		}
	}
	if busy == 0 || busy == 20 {
		t.Errorf("got 409 in %d of 20 runs, want some: the other requests arrive late", busy)
	}
}

func TestMistakeOfOursIsRepeatedForItsKeyAndNotForTheNextRound(t *testing.T) {
	s := newShop(t, bank.Habits{})
	s.ConsoleRefuse("FORBIDDEN_REQUEST")
	want := billing.Outcome{Result: billing.NotMade, Code: "FORBIDDEN_REQUEST", Misconfigured: true}
	same(t, "in the spell", want, s.charge(order))
	s.ConsoleRefuse("")
	same(t, "after it", want, s.charge(order))
	var o billing.Outcome
	body := s.body(order, 4900, 1)
	s.call(func(ctx context.Context) { o = s.Charge(ctx, order, s.key, body) })
	if o.Result != billing.Taken {
		t.Errorf("next round: got %+v, want taken", o)
	}
	s.ConsoleRefuse("UNAUTHORIZED_KEY")
	same(t, "another order", billing.Outcome{Result: billing.NotMade, Code: "UNAUTHORIZED_KEY", Misconfigured: true}, s.charge("gl_order_2"))
	s.ConsoleRefuse("")
	if o := s.charge("gl_order_2"); o.Result != billing.Taken {
		t.Errorf("after a spell of wrong keys: got %+v, want taken", o)
	}
}

func TestWhatSaysNothingMayHaveTakenMoney(t *testing.T) {
	for reason, paid := range map[bank.Reason]int{bank.Garbled: 0, bank.Ambiguous: 1} {
		s := newShop(t, bank.Habits{})
		s.card.Mood = bank.Always(reason)
		want := billing.Outcome{Result: billing.Unclear, Code: "PROVIDER_ERROR", Final: true}
		same(t, "charge", want, s.charge(order))
		same(t, "again", want, s.charge(order))
		if got := len(s.Payments()); got != paid {
			t.Errorf("got %d payments, want %d", got, paid)
		}
	}
}

func TestRefundAtTossIsLockedByWhatIsLeft(t *testing.T) {
	s := newShop(t, bank.Habits{})
	p := s.charge(order).Payment
	refund := func(key string, amount, left int64, next ...simulate.Fate) (r billing.Refunded) {
		t.Helper()
		ask := billing.Refunding{
			Key: key, OrderID: order, Payment: p.Key, Amount: money.Of(amount, "KRW"), Left: left, Reason: "asked for", Since: start,
		}
		s.call(func(ctx context.Context) { r = s.Refund(ctx, ask) }, next...)
		return r
	}
	same(t, "nobody heard", billing.Refunded{Result: billing.Unclear}, refund("k1", 1900, 4900, simulate.Unheard))
	first := refund("k1", 1900, 4900)
	if first.Result != billing.Taken || first.Transaction == "" {
		t.Fatalf("the same again: got %+v, want taken", first)
	}
	same(t, "by another", billing.Refunded{Result: billing.Refused, Code: "NOT_MATCHES_REFUNDABLE_AMOUNT"}, refund("k2", 1900, 4900))
	if !s.ConsoleRefund(p.Key, 1000) {
		t.Error("in the console: got false, want it given back")
	}
	same(t, "unknown to us", billing.Refunded{Result: billing.Refused, Code: "NOT_MATCHES_REFUNDABLE_AMOUNT"}, refund("k3", 3000, 3000))
	if r := refund("k4", 2000, 2000); r.Result != billing.Taken {
		t.Errorf("the rest: got %+v, want taken", r)
	}
	same(t, "more", billing.Refunded{Result: billing.Refused, Code: "NOT_CANCELABLE_AMOUNT"}, refund("k5", 1, 1))
	var found billing.Refunded
	s.call(func(ctx context.Context) {
		found = s.FindRefund(ctx, billing.Refunding{Key: "k1", OrderID: order, Payment: p.Key, Amount: money.Of(1900, "KRW"), Left: 4900, Since: start})
	})
	same(t, "found", first, found)
	if got := s.find(order).Payment.Returned; got != 4900 || s.Payments()[0].Kept() != 0 {
		t.Errorf("got %d returned and %d kept, want all", got, s.Payments()[0].Kept())
	}
	s.wait(time.Hour)
	if len(s.hints) != 3 || s.hints[0].Order != order || s.hints[0].Signed || s.hints[0].Type != "PAYMENT_STATUS_CHANGED" || s.hints[0].At.IsZero() {
		t.Errorf("got the hints %+v, want three unsigned ones that name the order", s.hints)
	}
}

func TestBillingKeyIsIssuedOnceForItsProof(t *testing.T) {
	s := newShop(t, bank.Habits{})
	proof := s.ConsoleRegister("customer-key-1", &bank.Card{}, "")
	ask := billing.Registration{Key: "issue-2", AuthKey: proof, CustomerKey: "customer-key-1"}
	issue := func(r billing.Registration, next ...simulate.Fate) (c billing.Card, err error) {
		s.call(func(ctx context.Context) { c, err = s.Issue(ctx, r) }, next...)
		return c, err
	}
	if _, err := issue(ask, simulate.Unheard); !errors.Is(err, fault.Unavailable) {
		t.Errorf("nobody heard: got %v, want unavailable", err)
	}
	card, err := issue(ask)
	if err != nil {
		t.Fatal(err)
	}
	again, err := issue(ask)
	if same(t, "again", card, again); err != nil {
		t.Error(err)
	}
	for what, r := range map[string]billing.Registration{
		"used up":           {Key: "issue-3", AuthKey: proof, CustomerKey: "customer-key-1"},
		"another's":         {Key: "issue-4", AuthKey: s.ConsoleRegister("customer-key-2", &bank.Card{}, ""), CustomerKey: "customer-key-1"},
		"refused":           {Key: "issue-5", AuthKey: s.ConsoleRegister("customer-key-1", &bank.Card{}, "NOT_SUPPORTED_CARD_TYPE"), CustomerKey: "customer-key-1"},
		"no such thing":     {Key: "issue-6", AuthKey: "made-up", CustomerKey: "customer-key-1"},
		"no customerKey":    {Key: "issue-7", AuthKey: "made-up", CustomerKey: "!"},
		"no authKey at all": {Key: "issue-8", CustomerKey: "customer-key-1"},
	} {
		if _, err := issue(r); !errors.Is(err, fault.Invalid) || fault.Code(err) != "payment_method_refused" {
			t.Errorf("%s: got %v, want payment_method_refused", what, err)
		}
	}
	s.call(func(ctx context.Context) {
		if err := s.Forget(ctx, s.key); err != nil {
			t.Error(err)
		}
		if err := s.Forget(ctx, s.key); err != nil {
			t.Errorf("again: got %v, want it forgotten", err)
		}
	})
	same(t, "charged all the same", billing.Outcome{Result: billing.Refused, Code: "ALREADY_REMOVED_BILLING_KEY", Class: billing.Hard}, s.charge(order))
	if got := s.Cards(); got != 1 {
		t.Errorf("got %d billing keys left, want one", got)
	}
}

func TestStatementOfTossSaysWhatHappened(t *testing.T) {
	s := newShop(t, bank.Habits{Page: 2})
	var want []billing.Entry
	for _, id := range []string{"gl_order_1", "gl_order_2", "gl_order_3"} {
		p := s.charge(id).Payment
		want = append(want, billing.Entry{OrderID: id, Payment: p.Key, At: p.ApprovedAt, Currency: "KRW", Taken: 4900})
		s.wait(time.Hour)
	}
	s.ConsoleRefund(want[0].Payment, 900)
	want = append(want, billing.Entry{OrderID: order, Payment: want[0].Payment, At: s.World.Now(), Currency: "KRW", Returned: 900})
	read := func() (got []billing.Entry) {
		s.call(func(ctx context.Context) {
			for after := ""; ; {
				entries, next, err := s.Statement(ctx, start, start.Add(24*time.Hour), after)
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, entries...); next == "" {
					return
				}
				after = next
			}
		})
		return got
	}
	same(t, "at once", want[:3], read())
	s.wait(time.Hour)
	want[3].At = want[3].At.Truncate(time.Second)
	same(t, "an hour later", want, read())
	s.call(func(ctx context.Context) {
		if _, _, err := s.Statement(ctx, start, start.Add(time.Hour), ""); !errors.Is(err, fault.Unavailable) {
			t.Errorf("lost: got %v, want unavailable", err)
		}
	}, simulate.Lost)
}

func TestWhatBrokeAtTossMayBeRepeatedOrForgotten(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		done := 0
		for seed := range uint64(20) {
			s := newShop(t, bank.Habits{KeepsBroken: keeps})
			for range seed {
				s.World.Dice.Uint32()
			}
			s.Broken = 100_000
			unclear := billing.Outcome{Result: billing.Unclear, Code: "FAILED_INTERNAL_SYSTEM_PROCESSING"}
			same(t, "broken", unclear, s.charge(order))
			s.Broken = 0
			paid := len(s.Payments())
			done += paid
			want := billing.Outcome{Result: billing.Unclear, Code: "DUPLICATED_ORDER_ID"} // its key was forgotten, and its order was not
			if keeps {
				want = unclear
			}
			if o := s.charge(order); keeps || paid == 1 {
				same(t, "again", want, o)
			} else if o.Result != billing.Taken {
				t.Errorf("again: got %+v, want taken", o)
			}
			if got := len(s.Payments()); got > 1 || !keeps && got != 1 {
				t.Errorf("got %d payments in the end, want one", got)
			}
		}
		if done == 0 || done == 20 {
			t.Errorf("got %d of 20 paid by what was broken, want some", done)
		}
	}
}

func TestADeclineIsUntoldWhereWhatBrokeIsRepeatedAndNotShown(t *testing.T) {
	for name, c := range map[string]struct {
		habits bank.Habits
		want   bool
	}{
		"repeated":            {bank.Habits{KeepsBroken: true}, true},
		"repeated, and shown": {bank.Habits{KeepsBroken: true, ShowsDeclines: true}, false},
		"forgotten":           {bank.Habits{}, false},
	} {
		untold, declined := false, false
		for seed := range uint64(20) {
			s := newShop(t, c.habits)
			for range seed {
				s.World.Dice.Uint32()
			}
			s.card.Mood = bank.Always(bank.Poor)
			s.Broken = 100_000
			s.charge(order)
			declined, untold = declined || len(s.declines) > 0, untold || s.Untold(order)
			if s.Untold(order) && len(s.declines) == 0 {
				t.Errorf("%s: what was not declined counts as untold", name)
			}
		}
		if !declined || untold != c.want {
			t.Errorf("%s: got declined %v, untold %v; want true, %v", name, declined, untold, c.want)
		}
	}
}

// A call that takes long is seen by whoever sends the same meanwhile, and is done though the
// function that made it is gone.
func TestSlowPaymentIsOneAndOutlivesItsFunction(t *testing.T) {
	s := newShop(t, bank.Habits{Slow: 100_000})
	body := s.body(order, 4900, 0)
	var first, second billing.Outcome
	s.Invoke("first", time.Minute, func(ctx context.Context) error {
		first = s.Charge(ctx, order, s.key, body)
		return nil
	}, nil)
	s.wait(2 * time.Millisecond)
	s.Invoke("second", time.Minute, func(ctx context.Context) error {
		second = s.Charge(ctx, order, s.key, body)
		return nil
	}, nil)
	s.wait(time.Minute)
	same(t, "meanwhile", billing.Outcome{Result: billing.Unclear, Code: "IDEMPOTENT_REQUEST_PROCESSING"}, second)
	if first.Result != billing.Taken || len(s.Payments()) != 1 {
		t.Errorf("got %+v and %d payments, want one taken", first, len(s.Payments()))
	}
	s.Invoke("third", 10*time.Millisecond, func(ctx context.Context) error {
		s.Charge(ctx, "gl_order_2", s.key, s.body("gl_order_2", 4900, 0))
		t.Error("the function lives longer than its limit")
		return nil
	}, nil)
	s.wait(time.Minute)
	if len(s.Payments()) != 2 {
		t.Errorf("got %d payments, want the one of the function that died too", len(s.Payments()))
	}
}

// patient has one crossing take very long.
type patient struct{ *fates }

func (p patient) Cross(simulate.Op) simulate.Crossing {
	return simulate.Crossing{After: 66 * time.Second}
}

func TestNobodyWaitsForAnAnswerForEver(t *testing.T) {
	f := &fates{Weather: simulate.NewWeather(1, simulate.Faults{})}
	w := simulate.New(1, start, patient{f})
	defer w.Close()
	toss := bank.NewToss(w, bank.Habits{})
	key, err := toss.Issue(t.Context(), billing.Registration{Key: "k", AuthKey: toss.ConsoleRegister("customer-key-1", nil, ""), CustomerKey: "customer-key-1"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := toss.Compose(billing.Request{OrderID: order, CustomerKey: "customer-key-1", Amount: money.Of(4900, "KRW"), Name: "Premium"})
	if err != nil {
		t.Fatal(err)
	}
	var o billing.Outcome
	w.Invoke("f", time.Hour, func(ctx context.Context) error {
		o = toss.Charge(ctx, order, key, body)
		return nil
	}, nil)
	_ = w.Run(start.Add(time.Hour))
	if same(t, "heard", billing.Outcome{Result: billing.Unclear}, o); len(toss.Payments()) != 1 {
		t.Errorf("got %d payments, want the one that was made all the same", len(toss.Payments()))
	}
}

func TestTossTellsOfEachPaymentOnlyIfToldTo(t *testing.T) {
	for _, tells := range []bool{false, true} {
		s := newShop(t, bank.Habits{TellsCharges: tells})
		s.charge(order)
		s.card.Mood = bank.Always(bank.Poor)
		s.charge("gl_order_2")
		s.wait(time.Minute)
		if got := len(s.hints); (got == 2) != tells || got != 0 && !tells {
			t.Errorf("tells %v: got %d webhooks, want two or none", tells, got)
		}
	}
}
