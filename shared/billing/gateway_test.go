package billing_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/money"
)

// fate is what becomes of one charge call. The zero fate is a payment.
type fate struct {
	drop    bool          // the request never arrives
	busy    bool          // 429, before the idempotency key is looked at
	ours    bool          // our key or contract is refused, as early as that
	decline string        // a definite decline, stored under the key
	class   billing.Class // of the decline, Soft unless set
	odd     string        // a 400 that says nothing, stored under the key; without effect unless late
	fail    bool          // 5xx
	effect  bool          // of a fail: money moved all the same
	stored  bool          // of a fail: it is replayed for ever
	late    time.Duration // the payment takes that long, and the caller hears nothing
	lose    bool          // the answer is lost
	refuse  string        // of a refund: what an earlier one with its key has done is not known any more
	kill    bool          // the caller's time is up as the call ends
}

// call is one charge request as it reached the gateway's door, or was lost before it.
type call struct {
	order, card, body string
	at                time.Time
	nth               int // of all charge calls, from 1
	of                int // of this order's, from 1
}

type movement struct {
	order  string
	amount int64
	at     time.Time
}

// answer is what is stored under an idempotency key.
type answer struct {
	outcome billing.Outcome
	after   time.Time // in progress until then
}

// gateway behaves as Toss Payments does: idempotent by card and order, declines
// replayed, one payment an order, a billing key shown to whoever repeats the same issue.
type gateway struct {
	clock *movable
	// fate decides about each charge, nil lets all pass. issue and find fail where they
	// return true; an issue fails after its effect if lost says so.
	fate   func(call) fate
	issue  func(nth int) (refused, dropped, lost bool)
	find   func(nth int) bool
	kill   func() // ends the caller's time
	same   bool   // the same card again is the same billing key, whatever brought it
	lookup bool   // a declined charge is found by its order
	// before, if set, is what happens elsewhere before each call is looked at. forget fails
	// where it returns true.
	before   func()
	entering bool // while before is on
	forget   func(nth int) bool
	picky    bool // Compose refuses a customer's e-mail
	stores   bool // a refusal for our mistake is kept under its key

	mu       sync.Mutex
	calls    []call
	finds    int
	issues   int
	effects  []movement // money taken, in order
	answers  map[string]answer
	payments map[string]answer // by order
	declined map[string]billing.Outcome
	cards    map[string]billing.Card // by the registration's key
	used     map[string]bool         // authKeys
	wrong    []string                // what a caller must never do
	mistakes map[string]bool         // refusals for our mistake, kept
	bodies   map[string]string       // what was executed, by card and order

	refund      func(nth int) fate // of a Refund; decline refuses it
	refundCalls []billing.Refunding
	refunds     map[string]billing.Refunded // by key
	returned    []movement                  // money given back, by payment
	returnedOf  map[string]int64
	broken      map[string]bool            // keys of refunds that are answered by a failure for ever
	backs       map[string]bool            // what was given back, by payment, what was left before and how much
	strays      map[string]billing.Payment // a second payment, by order
	forgotten   []string                   // billing keys
	forgets     int
}

// enter begins a call.
func (g *gateway) enter() {
	if g.before != nil {
		was := g.entering
		g.entering = true
		g.before()
		g.entering = was
	}
	g.mu.Lock()
}

func newGateway(c *movable) *gateway {
	return &gateway{
		clock: c, answers: map[string]answer{}, payments: map[string]answer{}, declined: map[string]billing.Outcome{},
		cards: map[string]billing.Card{}, used: map[string]bool{}, kill: func() {},
		mistakes: map[string]bool{}, bodies: map[string]string{}, refunds: map[string]billing.Refunded{}, returnedOf: map[string]int64{}, strays: map[string]billing.Payment{}, broken: map[string]bool{}, backs: map[string]bool{},
	}
}

func unanswered() error {
	return fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.")
}

func (g *gateway) Issue(ctx context.Context, r billing.Registration) (billing.Card, error) {
	g.enter()
	defer g.mu.Unlock()
	g.issues++
	var refused, dropped, lost bool
	if g.issue != nil {
		refused, dropped, lost = g.issue(g.issues)
	}
	if dropped || ctx.Err() != nil {
		return billing.Card{}, unanswered()
	}
	card, again := g.cards[r.Key]
	if !again {
		if refused || g.used[r.AuthKey] {
			return billing.Card{}, fault.New(fault.Invalid, "payment_method_refused", "The card was refused.")
		}
		card = billing.Card{BillingKey: fmt.Sprintf("secret-billing-key-%d", len(g.cards)+1), CustomerKey: r.CustomerKey, Number: "1234****", Issuer: "61"}
		if g.same {
			card.BillingKey = "secret-billing-key-1"
		}
		g.cards[r.Key], g.used[r.AuthKey] = card, true
	}
	if lost {
		return billing.Card{}, unanswered()
	}
	return card, nil
}

type body struct {
	Order, CustomerKey, Name, Email, Customer string
	Amount                                    int64
	Round                                     int
}

func (g *gateway) Compose(r billing.Request) ([]byte, error) {
	if g.picky && r.Email != "" && !strings.Contains(r.Email, "@") {
		return nil, fault.New(fault.Invalid, "invalid_charge", "customerEmail should be an address.")
	}
	return json.Marshal(body{r.OrderID, r.CustomerKey, r.Name, r.Email, r.Customer, r.Amount.Units, r.Round})
}

func (g *gateway) Charge(ctx context.Context, order string, card billing.Card, text []byte) billing.Outcome {
	g.enter()
	defer g.mu.Unlock()
	c := call{order: order, card: card.BillingKey, body: string(text), at: g.clock.Now(), nth: len(g.calls) + 1, of: 1}
	for _, before := range g.calls {
		if before.order != order {
			continue
		}
		c.of++
		kept, executed := g.bodies[before.card+"|"+order]
		if executed && (kept != c.body || before.card != c.card) {
			g.wrong = append(g.wrong, fmt.Sprintf("order %s sent with other bytes or another card", order))
		}
		if executed && c.at.Sub(before.at) > 14*24*time.Hour {
			g.wrong = append(g.wrong, fmt.Sprintf("order %s sent %v after it was sent before", order, c.at.Sub(before.at)))
		}
	}
	if card.BillingKey == "" || card.CustomerKey == "" {
		g.wrong = append(g.wrong, fmt.Sprintf("order %s sent without a card", order))
	}
	if slices.Contains(g.forgotten, card.BillingKey) {
		g.wrong = append(g.wrong, fmt.Sprintf("order %s sent with a card that was forgotten", order))
	}
	g.calls = append(g.calls, c)
	var f fate
	if g.fate != nil {
		f = g.fate(c)
	}
	unclear := billing.Outcome{Result: billing.Unclear}
	if f.kill {
		defer g.kill()
	}
	var b body
	_ = json.Unmarshal(text, &b)
	identity := fmt.Sprintf("%s|%s|%d", c.card, c.order, b.Round)
	f.ours = f.ours || g.mistakes[identity]
	switch {
	case f.drop || ctx.Err() != nil:
		return unclear
	case f.busy:
		return billing.Outcome{Result: billing.NotMade, Code: "TOO_MANY_REQUESTS", Busy: true}
	case f.ours:
		if g.stores {
			g.mistakes[identity] = true
		}
		return billing.Outcome{Result: billing.NotMade, Code: "UNAUTHORIZED_KEY", Misconfigured: true}
	}
	outcome := g.execute(c, text, f)
	if f.lose || f.kill {
		return unclear
	}
	return outcome
}

func (g *gateway) execute(c call, text []byte, f fate) billing.Outcome {
	key := c.card + "|" + c.order
	if was, ok := g.answers[key]; ok {
		if g.clock.Now().Before(was.after) {
			return billing.Outcome{Result: billing.Unclear, Code: "IDEMPOTENT_REQUEST_PROCESSING"}
		}
		return was.outcome
	}
	if _, ok := g.payments[c.order]; ok {
		return billing.Outcome{Result: billing.Unclear, Code: "DUPLICATED_ORDER_ID"}
	}
	g.bodies[key] = string(text)
	switch {
	case f.decline != "":
		class := f.class
		if class == "" {
			class = billing.Soft
		}
		o := billing.Outcome{Result: billing.Refused, Code: f.decline, Class: class}
		g.answers[key], g.declined[c.order] = answer{outcome: o}, o
		return o
	case f.odd != "":
		o := billing.Outcome{Result: billing.Unclear, Code: f.odd, Final: true}
		g.answers[key] = answer{outcome: o}
		if f.late > 0 {
			g.take(c, text, f.late)
		}
		return o
	case f.fail && !f.effect:
		o := billing.Outcome{Result: billing.Unclear, Code: "FAILED_INTERNAL_SYSTEM_PROCESSING"}
		if f.stored {
			g.answers[key] = answer{outcome: o}
		}
		return o
	}
	paid := g.take(c, text, f.late)
	g.answers[key] = paid
	if f.fail {
		o := billing.Outcome{Result: billing.Unclear, Code: "FAILED_INTERNAL_SYSTEM_PROCESSING"}
		if f.stored {
			g.answers[key] = answer{outcome: o}
		}
		return o
	}
	if f.late > 0 {
		return billing.Outcome{Result: billing.Unclear}
	}
	return paid.outcome
}

// take moves the money of an order, to be seen after a while.
func (g *gateway) take(c call, text []byte, late time.Duration) answer {
	var b body
	if err := json.Unmarshal(text, &b); err != nil || b.Order != c.order {
		g.wrong = append(g.wrong, fmt.Sprintf("order %s sent with a body of another", c.order))
	}
	at := g.clock.Now().Add(late)
	paid := answer{billing.Outcome{Result: billing.Taken, Payment: billing.Payment{
		Key: "pay_" + c.order, Amount: b.Amount, Currency: "KRW", ApprovedAt: at,
	}}, at}
	g.payments[c.order] = paid
	g.effects = append(g.effects, movement{c.order, b.Amount, at})
	return paid
}

func (g *gateway) Find(ctx context.Context, order string, want billing.Want) billing.Outcome {
	g.enter()
	defer g.mu.Unlock()
	g.finds++
	if ctx.Err() != nil || g.find != nil && g.find(g.finds) {
		return billing.Outcome{Result: billing.Unclear}
	}
	if p, ok := g.payments[order]; ok && !g.clock.Now().Before(p.after) {
		if want.Amount != money.Of(p.outcome.Payment.Amount, p.outcome.Payment.Currency) {
			return billing.Outcome{Result: billing.Unclear}
		}
		o := p.outcome
		o.Payment.Returned = g.returnedOf[o.Payment.Key]
		if stray, ok := g.strays[order]; ok {
			stray.Returned = g.returnedOf[stray.Key]
			if want.Payment == stray.Key {
				o.Payment = stray
			} else {
				o.Others = []billing.Payment{stray}
			}
		}
		return o
	}
	if o, ok := g.declined[order]; ok && g.lookup {
		return o
	}
	return billing.Outcome{Result: billing.Absent, Code: "NOT_FOUND_PAYMENT"}
}

func (g *gateway) Repeats() bool { return true }

// Refund is by key: the same again is the same refund, unless less is left than it says.
func (g *gateway) Refund(ctx context.Context, r billing.Refunding) billing.Refunded {
	g.enter()
	defer g.mu.Unlock()
	g.refundCalls = append(g.refundCalls, r)
	var f fate
	if g.refund != nil {
		f = g.refund(len(g.refundCalls))
	}
	switch {
	case f.drop || ctx.Err() != nil:
		return billing.Refunded{Result: billing.Unclear}
	case f.busy:
		return billing.Refunded{Result: billing.NotMade, Busy: true}
	case f.ours || g.mistakes[r.Key]:
		if g.stores {
			g.mistakes[r.Key] = true
			return billing.Refunded{Result: billing.NotMade, Code: "FORBIDDEN_REQUEST", Misconfigured: true}
		}
		return billing.Refunded{Result: billing.NotMade, Misconfigured: true}
	}
	if f.refuse != "" {
		return billing.Refunded{Result: billing.Refused, Code: f.refuse}
	}
	if was := g.broken[r.Key]; f.fail || was {
		if f.stored {
			g.broken[r.Key] = true
		}
		if f.effect && !was {
			g.giveBack(r, f)
		}
		return billing.Refunded{Result: billing.Unclear, Code: "FAILED_INTERNAL_SYSTEM_PROCESSING", Final: true}
	}
	o := g.giveBack(r, f)
	if f.kill {
		defer g.kill()
	}
	if f.lose || f.kill {
		return billing.Refunded{Result: billing.Unclear}
	}
	return o
}

func (g *gateway) giveBack(r billing.Refunding, f fate) billing.Refunded {
	if was, ok := g.refunds[r.Key]; ok {
		return was
	}
	o := billing.Refunded{Result: billing.Taken, Transaction: "refund_" + r.Key}
	payment, left := g.left(r.Payment)
	switch {
	case f.decline != "":
		o = billing.Refunded{Result: billing.Refused, Code: f.decline}
	case payment == "" || left != r.Left || r.Amount.Units > left:
		o = billing.Refunded{Result: billing.Refused, Code: "NOT_MATCHES_REFUNDABLE_AMOUNT"}
	default:
		g.returned = append(g.returned, movement{payment, r.Amount.Units, g.clock.Now()})
		g.returnedOf[payment] += r.Amount.Units
		g.backs[lockOf(r)] = true
	}
	g.refunds[r.Key] = o
	return o
}

// lockOf is by what a look knows a refund: a gateway shows no key with it.
func lockOf(r billing.Refunding) string { return fmt.Sprint(r.Payment, r.Left, r.Amount.Units) }

// left is what of a payment was not given back.
func (g *gateway) left(payment string) (string, int64) {
	for _, p := range g.payments {
		if p.outcome.Payment.Key == payment {
			return payment, p.outcome.Payment.Amount - g.returnedOf[payment]
		}
	}
	for _, p := range g.strays {
		if p.Key == payment {
			return payment, p.Amount - g.returnedOf[payment]
		}
	}
	return "", 0
}

func (g *gateway) FindRefund(ctx context.Context, r billing.Refunding) billing.Refunded {
	g.enter()
	defer g.mu.Unlock()
	if o, ok := g.refunds[r.Key]; ok && ctx.Err() == nil && !g.backs[lockOf(r)] {
		return o
	}
	if g.backs[lockOf(r)] && ctx.Err() == nil {
		return billing.Refunded{Result: billing.Taken, Transaction: "refund_" + r.Key}
	}
	if ctx.Err() != nil {
		return billing.Refunded{Result: billing.Unclear}
	}
	return billing.Refunded{Result: billing.Absent}
}

func (g *gateway) Statement(ctx context.Context, from, to time.Time, after string) ([]billing.Entry, string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil {
		return nil, "", unanswered()
	}
	var entries []billing.Entry
	add := func(e billing.Entry) {
		if !e.At.Before(from) && e.At.Before(to) {
			entries = append(entries, e)
		}
	}
	for order, p := range g.payments {
		add(billing.Entry{OrderID: order, Payment: p.outcome.Payment.Key, At: p.outcome.Payment.ApprovedAt, Currency: "KRW", Taken: p.outcome.Payment.Amount})
	}
	for order, p := range g.strays {
		add(billing.Entry{OrderID: order, Payment: p.Key, At: p.ApprovedAt, Currency: "KRW", Taken: p.Amount})
	}
	for _, m := range g.returned {
		for order, p := range g.payments {
			if p.outcome.Payment.Key == m.order {
				add(billing.Entry{OrderID: order, Payment: m.order, At: m.at, Currency: "KRW", Returned: m.amount})
			}
		}
	}
	slices.SortFunc(entries, func(a, b billing.Entry) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Payment, b.Payment)) })
	const page = 7
	start := 0
	if after != "" {
		start, _ = strconv.Atoi(after)
	}
	end := min(start+page, len(entries))
	next := ""
	if end < len(entries) {
		next = strconv.Itoa(end)
	}
	return entries[min(start, end):end], next, nil
}

func (g *gateway) Forget(ctx context.Context, card billing.Card) error {
	g.enter()
	defer g.mu.Unlock()
	if g.forgets++; ctx.Err() != nil || g.forget != nil && g.forget(g.forgets) {
		return unanswered()
	}
	g.forgotten = append(g.forgotten, card.BillingKey)
	return nil
}

func (g *gateway) sent() []call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]call(nil), g.calls...)
}

func (g *gateway) taken() []movement {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]movement(nil), g.effects...)
}
