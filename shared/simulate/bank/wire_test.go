package bank_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/notice"
	"grantline/shared/simulate"
	"grantline/shared/simulate/bank"
)

// play is a world in bad weather, in which functions and people do at random, and what was
// heard, taken, declined and told.
type play struct {
	*simulate.World
	dice     *rand.Rand
	heard    []string
	orders   []string
	payments []string
	cards    []*bank.Card
}

func newPlay(seed uint64) *play {
	faults := simulate.Bad()
	faults.CallLost, faults.CallUnheard, faults.CallBusy, faults.CallLate = 8000, 8000, 4000, 8000
	return &play{World: simulate.New(seed, start, simulate.NewWeather(seed, faults)), dice: rand.New(rand.NewPCG(seed, 1))}
}

func (p *play) hear(what string, got ...any) {
	p.heard = append(p.heard, fmt.Sprintf("%s %s: %+v", p.Now().Format(time.RFC3339Nano), what, got))
}

// kind is what billing acts upon of an error.
func kind(err error) string {
	for _, k := range []error{fault.Invalid, fault.NotFound, fault.Conflict, fault.Unavailable} {
		if errors.Is(err, k) {
			return k.Error() + " " + fault.Code(err)
		}
	}
	return fmt.Sprint(err)
}

// ask runs a function that hears something.
func (p *play) ask(what string, do func(ctx context.Context) any) {
	p.Invoke(what, 90*time.Second, func(ctx context.Context) error {
		p.hear(what, do(ctx))
		return nil
	}, func(err error) {
		if err != nil {
			p.hear(what, err)
		}
	})
}

func (p *play) watch() bank.Watch {
	return bank.Watch{
		OnTaken: func(q *bank.Payment) {
			p.payments = append(p.payments, q.Key)
			p.hear("taken", q.Key, q.Order, q.Amount, q.Currency, q.Made)
		},
		OnReturned: func(q *bank.Payment, amount int64) { p.hear("returned", q.Key, amount, q.Kept()) },
		OnSeized:   func(q *bank.Payment, amount int64) { p.hear("seized", q.Key, amount) },
		OnDeclined: func(order, code string, class billing.Class, c *bank.Card) {
			p.hear("declined", order, code, class, c != nil)
		},
	}
}

func (p *play) habits() bank.Habits {
	h := bank.Bad()
	h.Broken, h.Slow, h.RefundRefused, h.Holds = 5000, 10_000, 10_000, 10_000
	h.ShowsDeclines, h.KeepsBroken, h.TellsCharges = p.dice.IntN(2) == 0, p.dice.IntN(2) == 0, p.dice.IntN(2) == 0
	h.Hooks = func(h notice.Hint) { p.hear("hook", h) }
	return h
}

func pick[T any](p *play, from []T) (one T) {
	if len(from) > 0 {
		one = from[p.dice.IntN(len(from))]
	}
	return one
}

// order is a new order's id, or one of before.
func (p *play) order() string {
	if len(p.orders) == 0 || p.dice.IntN(3) == 0 {
		p.orders = append(p.orders, fmt.Sprintf("gl_order_%d", len(p.orders)))
		return p.orders[len(p.orders)-1]
	}
	return pick(p, p.orders)
}

func (p *play) card() *bank.Card {
	c := &bank.Card{Mood: bank.Sometimes(p.Dice, 25, bank.Poor, bank.Limited, bank.Unnamed, bank.Resting, bank.Expired, bank.Stolen, bank.Stopped, bank.Garbled, bank.Ambiguous)}
	p.cards = append(p.cards, c)
	return c
}

func (p *play) refunding(of *bank.Payment, currency string) billing.Refunding {
	r := billing.Refunding{
		Key: fmt.Sprintf("refund_%d", p.dice.IntN(30)), OrderID: "gl_order_0", Payment: "pay_0", Amount: money.Of(100, currency), Left: 100, Reason: "asked for", Since: start,
	}
	if of == nil {
		return r
	}
	left := max(of.Kept(), 100)
	r.OrderID, r.Payment, r.Left, r.Amount = of.Order, of.Key, left, money.Of(left, of.Currency)
	switch p.dice.IntN(6) {
	case 0:
		r.Left += 100
	case 1:
		r.Amount.Units += 100
	case 2, 3:
		r.Amount.Units /= 2
	case 4:
		r.OrderID = "gl_order_0"
	}
	if p.dice.IntN(3) == 0 {
		r.Since = p.Now().Add(-time.Hour)
	}
	r.Whole = r.Amount.Units == r.Left
	return r
}

// pass lets some time pass, now and then much of it.
func (p *play) pass() {
	d := time.Duration(p.dice.IntN(5000)) * time.Millisecond
	switch p.dice.IntN(12) {
	case 0:
		d = time.Duration(p.dice.IntN(40)) * time.Hour
	case 1, 2, 3:
		d = time.Duration(p.dice.IntN(600)) * time.Second
	}
	_ = p.Run(p.Now().Add(d))
}

// statement reads all of one, page by page.
func statement(ctx context.Context, g billing.Gateway, to time.Time) any {
	var all []billing.Entry
	for after := ""; ; {
		entries, next, err := g.Statement(ctx, to.Add(-72*time.Hour).Truncate(time.Hour), to.Truncate(time.Hour), after)
		if all = append(all, entries...); err != nil {
			return []any{all, kind(err)}
		}
		if after = next; after == "" {
			return all
		}
	}
}

func playToss(seed uint64, over bool, steps int) *play {
	p := newPlay(seed)
	defer p.Close()
	t := bank.NewToss(p.World, p.habits())
	t.Watch = p.watch()
	var g billing.Cards = t
	if over {
		g = t.Wire(slog.New(slog.DiscardHandler))
	}
	known := func() *bank.Payment {
		if all := t.Payments(); len(all) > 0 && p.dice.IntN(10) > 0 {
			return all[max(0, len(all)-1-p.dice.IntN(5))]
		}
		return nil
	}
	var keys []billing.Card
	for n := range steps {
		switch p.dice.IntN(14) {
		case 0:
			refused := [...]string{"", "", "", "NOT_SUPPORTED_CARD_TYPE"}[p.dice.IntN(4)]
			customer := fmt.Sprintf("customer-%d", p.dice.IntN(8)/7)
			r := billing.Registration{Key: fmt.Sprintf("issue-%d", p.dice.IntN(60)), AuthKey: t.ConsoleRegister(customer, p.card(), refused), CustomerKey: fmt.Sprintf("customer-%d", p.dice.IntN(8)/7)}
			for range 1 + p.dice.IntN(2) {
				p.ask("issue", func(ctx context.Context) any {
					c, err := g.Issue(ctx, r)
					if err == nil {
						keys = append(keys, c)
					}
					return []any{c, kind(err)}
				})
			}
		case 1, 2, 3, 4:
			id, card, amount, round := p.order(), pick(p, keys), 4900+int64(p.dice.IntN(2)), p.dice.IntN(20)/19
			body, err := g.Compose(billing.Request{OrderID: id, CustomerKey: "customer-0", Amount: money.Of(amount, "KRW"), Name: "Premium", Round: round, TaxFree: 10})
			if err != nil {
				panic(err)
			}
			for range 1 + p.dice.IntN(2) {
				p.ask("charge", func(ctx context.Context) any { return g.Charge(ctx, id, card, body) })
			}
		case 5, 6, 7:
			id := p.order()
			p.ask("find", func(ctx context.Context) any { return g.Find(ctx, id, billing.Want{Amount: money.Of(4900, "KRW")}) })
		case 8, 9:
			r := p.refunding(known(), "KRW")
			p.ask("refund", func(ctx context.Context) any { return g.Refund(ctx, r) })
			if p.dice.IntN(2) == 0 {
				p.ask("refund again", func(ctx context.Context) any { return g.Refund(ctx, r) })
			}
			p.ask("find refund", func(ctx context.Context) any { return g.FindRefund(ctx, r) })
		case 10:
			r := p.refunding(known(), "KRW")
			p.ask("find refund", func(ctx context.Context) any { return g.FindRefund(ctx, r) })
		case 11:
			if p.dice.IntN(3) == 0 {
				t.ConsoleRefuse([...]string{"UNAUTHORIZED_KEY", "FORBIDDEN_REQUEST", "NOT_SUPPORTED_METHOD"}[p.dice.IntN(3)])
				p.After(time.Minute, func() { t.ConsoleRefuse("") })
			}
			if of := known(); of != nil {
				p.hear("console", t.ConsoleRefund(of.Key, int64(p.dice.IntN(3000))))
			}
			t.ConsoleOutage(p.dice.IntN(20) == 0)
		case 12:
			card := pick(p, keys[:len(keys)/4])
			p.ask("forget", func(ctx context.Context) any { return kind(g.Forget(ctx, card)) })
		case 13:
			if n%3 == 0 {
				p.ask("statement", func(ctx context.Context) any { return statement(ctx, g, p.Now()) })
			}
		}
		p.pass()
	}
	return p
}

func playDodo(seed uint64, over bool, steps int) *play {
	p := newPlay(seed)
	defer p.Close()
	d := bank.NewDodo(p.World, p.habits())
	d.Watch = p.watch()
	var g interface {
		billing.Mandates
		billing.Disputes
	} = d
	if over {
		g = d.Wire(slog.New(slog.DiscardHandler))
	}
	known := func() *bank.Payment {
		if all := d.Payments(); len(all) > 0 && p.dice.IntN(10) > 0 {
			return all[max(0, len(all)-1-p.dice.IntN(5))]
		}
		return nil
	}
	type attempt struct{ order, mandate, payment string }
	var mandates, links []string
	var sent []attempt
	for n := range steps {
		mandate := pick(p, mandates)
		switch p.dice.IntN(18) {
		case 0:
			i := invitation
			i.Subscription = fmt.Sprintf("subscription-%d", n)
			if p.dice.IntN(2) == 0 {
				i.OrderID, i.Price = p.order(), money.Of(1000, "USD")
			}
			p.ask("invite", func(ctx context.Context) any {
				made, err := g.Invite(ctx, i)
				if err == nil {
					mandates, links = append(mandates, made.Mandate), append(links, made.Link)
				}
				return []any{made, kind(err)}
			})
		case 1, 2:
			p.hear("visit", d.ConsoleVisit(pick(p, links), p.card(), [...]string{"", "", "EUR"}[p.dice.IntN(3)]))
		case 3, 4, 5, 6:
			id := p.order()
			body, err := g.Compose(billing.Request{OrderID: id, Amount: money.Of(1000, "USD"), Name: "Premium", Attempt: 1})
			if err != nil {
				panic(err)
			}
			p.ask("charge", func(ctx context.Context) any {
				o := g.Charge(ctx, id, billing.Card{BillingKey: mandate}, body)
				sent = append(sent, attempt{id, mandate, o.Payment.Key})
				want := billing.Want{Amount: money.Of(1000, "USD"), Card: billing.Card{BillingKey: mandate}, Payment: o.Payment.Key, Since: start}
				p.After(2*time.Minute, func() {
					p.ask("find later", func(ctx context.Context) any { return g.Find(ctx, id, want) })
				})
				return o
			})
		case 7, 8, 9:
			of := attempt{p.order(), mandate, pick(p, p.payments)}
			if len(sent) > 0 && p.dice.IntN(3) > 0 {
				of = sent[max(0, len(sent)-1-p.dice.IntN(5))]
			}
			id, want := of.order, billing.Want{Amount: money.Of(1000, "USD"), Card: billing.Card{BillingKey: of.mandate}, Since: start}
			if p.dice.IntN(2) == 0 {
				want.Payment = of.payment
			}
			if p.dice.IntN(5) == 0 {
				want.Card.BillingKey = ""
			}
			if p.dice.IntN(3) == 0 {
				want.Passed = []string{of.payment}
			}
			p.ask("find", func(ctx context.Context) any { return g.Find(ctx, id, want) })
		case 10, 11:
			r := p.refunding(known(), "USD")
			p.ask("refund", func(ctx context.Context) any { return g.Refund(ctx, r) })
			if p.dice.IntN(2) == 0 {
				p.ask("refund again", func(ctx context.Context) any { return g.Refund(ctx, r) })
			}
			p.ask("find refund", func(ctx context.Context) any { return g.FindRefund(ctx, r) })
		case 12:
			p.ask("look", func(ctx context.Context) any {
				m, err := g.Look(ctx, mandate)
				return []any{m, kind(err)}
			})
		case 13:
			p.ask("mend", func(ctx context.Context) any {
				link, err := g.Mend(ctx, mandate, "https://company.example/done")
				if err == nil {
					links = append(links, link)
				}
				return []any{link, kind(err)}
			})
		case 14:
			if p.dice.IntN(4) == 0 {
				p.ask("revoke", func(ctx context.Context) any { return kind(g.Revoke(ctx, mandate)) })
			}
		case 15:
			if of := known(); of != nil {
				p.hear("console", d.ConsoleRefund(of.Key, int64(p.dice.IntN(300))))
				p.hear("dispute", d.ConsoleDispute(of.Key))
			}
			if of := known(); of != nil && p.dice.IntN(2) == 0 {
				d.ConsoleDisputeLost(of.Key)
			} else if of != nil {
				d.ConsoleDisputeWon(of.Key)
			}
			if p.dice.IntN(4) == 0 {
				d.ConsoleRefuse("UNAUTHORIZED")
				p.After(time.Minute, func() { d.ConsoleRefuse("") })
				d.ConsoleHold(mandate)
			}
			p.hear("mend", p.dice.IntN(2) == 0 && d.ConsoleMend(mandate, p.card()))
			d.ConsoleOutage(p.dice.IntN(20) == 0)
		case 16:
			payment := pick(p, append([]string{"pay_0"}, p.payments...))
			p.ask("order of", func(ctx context.Context) any {
				order, err := g.OrderOf(ctx, payment)
				return []any{order, kind(err)}
			})
		case 17:
			p.ask("statement", func(ctx context.Context) any { return statement(ctx, g, p.Now()) })
			p.ask("disputes", func(ctx context.Context) any {
				found, next, err := g.Disputed(ctx, start, p.Now().Add(-time.Minute).Truncate(time.Hour), [...]string{"", "", "", "1", "-1"}[n%5])
				return []any{found, next, kind(err)}
			})
		}
		p.pass()
	}
	return p
}

// said is what a gateway says at times, all of which has to come up.
var said = map[string][]string{
	"toss": {
		"IDEMPOTENT_REQUEST_PROCESSING", "DUPLICATED_ORDER_ID", "TOO_MANY_REQUESTS", "UNAUTHORIZED_KEY", "FORBIDDEN_REQUEST", "NOT_MATCHES_CUSTOMER_KEY",
		"ALREADY_REMOVED_BILLING_KEY", "FAILED_INTERNAL_SYSTEM_PROCESSING", "Code:PROVIDER_ERROR Class: Method: Final:true", "REJECT_CARD_PAYMENT Class:soft",
		"NOT_AVAILABLE_BANK Class:passing", "INVALID_CARD_EXPIRATION Class:hard", "NOT_FOUND_PAYMENT", "REFUND_REJECTED", "NOT_MATCHES_REFUNDABLE_AMOUNT",
		"NOT_CANCELABLE_AMOUNT", "ALREADY_CANCELED_PAYMENT", "Result:taken", "Result:absent", "payment_method_refused", "Taken:0 Returned:", "killed",
	},
	"dodo": {
		"PREVIOUS_PAYMENT_PENDING", "SUBSCRIPTION_INACTIVE", "EXISTING_REFUND_REQUEST_PROCESSING", "TOO_MANY_REQUESTS Class: Method: Final:false Misconfigured:false Busy:true",
		"UNAUTHORIZED", "INTERNAL_SERVER_ERROR", "INSUFFICIENT_FUNDS Class:soft", "Class:hard", "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT", "Others:[{",
		"Result:accepted", "Result:absent", "Result:taken", "Currency:EUR", "mandate_not_mendable", "on_hold", "ended", "Taken:0 Returned:", "Lost:true", "Lost:false", "killed",
	},
}

func TestAnswersAreThoseOfTheRealAdapters(t *testing.T) {
	for name, run := range map[string]func(seed uint64, over bool, steps int) *play{"toss": playToss, "dodo": playDodo} {
		taken, heard := 0, ""
		for seed := range uint64(20) {
			port, wire := run(seed, false, 250), run(seed, true, 250)
			heard += strings.Join(wire.heard, "\n")
			for n := range min(len(port.heard), len(wire.heard)) {
				if port.heard[n] != wire.heard[n] {
					t.Fatalf("%s, seed %d, line %d:\ngot  %s\nwant %s", name, seed, n, port.heard[n], wire.heard[n])
				}
			}
			if len(port.heard) != len(wire.heard) || port.Steps() != wire.Steps() || port.Print() != wire.Print() {
				t.Fatalf("%s, seed %d: got %d lines, %d steps, print %x; want %d, %d, %x", name, seed,
					len(port.heard), port.Steps(), port.Print(), len(wire.heard), wire.Steps(), wire.Print())
			}
			taken += len(port.payments)
		}
		if taken < 200 {
			t.Errorf("%s: got %d payments in all plays, want many", name, taken)
		}
		for _, word := range said[name] {
			if !strings.Contains(heard, word) {
				t.Errorf("%s: nobody heard %s in all plays, want each of its answers compared", name, word)
			}
		}
	}
}

func TestASeedIsTheSameStoryEachTime(t *testing.T) {
	for name, run := range map[string]func(seed uint64, over bool, steps int) *play{"toss": playToss, "dodo": playDodo} {
		first, again, other := run(7, false, 300), run(7, false, 300), run(8, false, 300)
		same(t, name, first.heard, again.heard)
		if first.Print() != again.Print() || first.Print() == other.Print() {
			t.Errorf("%s: got the prints %x, %x and %x, want the first two alike", name, first.Print(), again.Print(), other.Print())
		}
	}
}

func TestEveryReasonHasTheClassThatTheAdapterGivesIt(t *testing.T) {
	for r := bank.Poor; r <= bank.Garbled; r++ {
		s := newShop(t, bank.Habits{})
		s.card.Mood = bank.Always(r)
		want := billing.Outcome{Result: billing.Refused}
		if want.Code, want.Class = r.Code("toss"); want.Class == "" {
			want.Result, want.Final = billing.Unclear, true
		}
		body := s.body(order, 4900, 0)
		s.call(func(ctx context.Context) {
			same(t, "toss", want, s.Wire(slog.New(slog.DiscardHandler)).Charge(ctx, order, s.key, body))
		})

		c := newClub(t, bank.Habits{})
		c.card.Mood = bank.Always(r)
		key := c.charge(order).Payment.Key
		c.wait(time.Minute)
		want = billing.Outcome{Result: billing.Refused}
		want.Code, want.Class = r.Code("dodo")
		want.Method = c.look().Method
		c.call(func(ctx context.Context) {
			same(t, "dodo", want, c.Wire(slog.New(slog.DiscardHandler)).Find(ctx, order, billing.Want{Card: billing.Card{BillingKey: c.mandate}, Payment: key}))
		})
	}
}
