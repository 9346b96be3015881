package bank

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/money"
	"grantline/shared/notice"
	"grantline/shared/simulate"
	"grantline/shared/table"
	"grantline/shared/toss"
)

const (
	// keyLife is how long Toss remembers an Idempotency-Key (Toss Payments, "Idempotency key").
	keyLife = 15 * 24 * time.Hour
	won     = "KRW"
	// tossWaits is how long the adapter waits for an answer.
	tossWaits = 65 * time.Second
	// tossRows are on a page of a statement, as many as the adapter asks for.
	tossRows = 500
)

// Toss is Toss Payments. It keeps its first answer to an idempotency key and address for 15
// days, declines too, whatever the body; a request that comes while the first is being worked
// on hears of that. An order is paid once.
type Toss struct {
	desk
	composer *toss.Gateway
	keys     map[string]*billingKey
	forms    map[string]*form // by authKey
	sent     map[request]*sent
	byOrder  map[string]*Payment
	byKey    map[string]*Payment
	declines map[string]decline // by order
	broke    map[string]bool    // by order, whatever was asked under its key
	rows     []row
}

var _ billing.Cards = (*Toss)(nil)

// request is what Toss tells requests apart by: the body is no part of it.
type request struct{ address, key string }

// sent is what Toss keeps of one.
type sent struct {
	at     time.Time
	open   bool // it is being worked on
	answer answer
}

// answer is what Toss says: a status, and with 200 a payment, a card or nothing, as they were
// then. The zero one is none.
type answer struct {
	status int
	code   string
	means  billing.Result // of a 4xx, where it says something
	class  billing.Class
	ours   bool // a 4xx for our own mistake

	payment     *Payment
	returned    int64  // of it, then
	transaction string // its last one, then
	key         *billingKey
	declined    int64 // what was, of a payment that is none
}

type billingKey struct {
	billing.Card
	plastic *Card
	removed bool
}

// form is what a customer brings back from the card form.
type form struct {
	customerKey string
	plastic     *Card
	used        bool
	refused     string
}

// decline is how an order ended that was declined.
type decline struct {
	word
	amount int64
}

// row is a line of Toss's statement.
type row struct {
	at              time.Time
	n               int // in its transaction's key
	payment         *Payment
	taken, returned int64
}

// The answers that say nothing of an order or a card.
var (
	busy       = answer{status: 429, code: "TOO_MANY_REQUESTS"}
	inProgress = answer{status: 409, code: "IDEMPOTENT_REQUEST_PROCESSING"}
	broken     = answer{status: 500, code: "FAILED_INTERNAL_SYSTEM_PROCESSING"}
)

const unauthorized = "UNAUTHORIZED_KEY"

// NewToss opens Toss Payments in a world.
func NewToss(w *simulate.World, h Habits) *Toss {
	if h.Scope == (table.Scope{}) {
		h.Scope = table.Default
	}
	g, err := toss.New(toss.Config{
		URL: "https://toss.invalid", Timeout: time.Hour, Log: slog.New(slog.DiscardHandler),
		SecretKey: func(context.Context, bool) (string, error) { return "test_sk", nil },
	})
	if err != nil {
		panic("bank: " + err.Error())
	}
	return &Toss{
		desk: desk{Habits: h, world: w, name: toss.Name}, composer: g, keys: map[string]*billingKey{}, forms: map[string]*form{},
		sent: map[request]*sent{}, byOrder: map[string]*Payment{}, byKey: map[string]*Payment{}, declines: map[string]decline{}, broke: map[string]bool{},
	}
}

// Repeats is true: the same key is the same charge.
func (t *Toss) Repeats() bool { return true }

// Compose is the real adapter's.
func (t *Toss) Compose(r billing.Request) ([]byte, error) { return t.composer.Compose(r) }

// write is a request with an idempotency key, on its way and back.
func (t *Toss) write(verb, about string, r request, do func() answer) answer {
	a, until := answer{}, t.world.Now().Add(tossWaits)
	switch fate := t.cross(verb, about, true); {
	case fate == simulate.Lost:
	case fate == simulate.Busy:
		a = busy
	case t.refusing == unauthorized:
		a = answer{status: 401, code: unauthorized, ours: true} // before anybody looks at the key
	case fate == simulate.Late:
		t.later(r, do)
	default:
		if a = t.once(r, do); fate == simulate.Unheard {
			a = answer{}
		}
	}
	return t.heard(a, until)
}

// heard is an answer on its way back, which nobody waits for any more after some time.
func (t *Toss) heard(a answer, until time.Time) answer {
	t.world.Crossed()
	if t.world.Now().After(until) {
		return answer{}
	}
	return a
}

// once does what a request asks for, or says again what it said to the first.
func (t *Toss) once(r request, do func() answer) answer {
	if s := t.known(r); s != nil {
		if s.open {
			return inProgress
		}
		return s.answer
	}
	s := t.begin(r)
	if !t.chance(t.Slow) || t.world.Running() == nil {
		t.finish(r, s, do)
		return s.answer
	}
	takes := t.within(t.SlowMost, 40*time.Second)
	t.world.After(takes, func() { t.finish(r, s, do) }) // whoever asked may be gone by then
	t.world.Pass(takes + time.Nanosecond)
	return s.answer
}

// later has a request worked on some time from now. Half of them arrive only then; meanwhile
// the others are being worked on.
func (t *Toss) later(r request, do func() answer) {
	after := t.within(t.Late, 5*time.Minute)
	if t.world.Dice.Uint32()&1 == 0 {
		t.world.After(after, func() { _ = t.arrive(r, do) })
		return
	}
	if t.known(r) == nil {
		s := t.begin(r)
		t.world.After(after, func() { t.finish(r, s, do) })
	}
}

// arrive is once, of a request that nobody waits for.
func (t *Toss) arrive(r request, do func() answer) answer {
	if s := t.known(r); s != nil {
		return s.answer
	}
	s := t.begin(r)
	t.finish(r, s, do)
	return s.answer
}

func (t *Toss) known(r request) *sent {
	s := t.sent[r]
	if s != nil && !s.open && t.world.Now().Sub(s.at) >= keyLife {
		return nil
	}
	return s
}

func (t *Toss) begin(r request) *sent {
	s := &sent{at: t.world.Now(), open: true}
	t.sent[r] = s
	return s
}

// finish works on a request. What is broken forgets that it was asked, or does not.
func (t *Toss) finish(r request, s *sent, do func() answer) {
	s.open = false
	breaks := t.chance(t.Broken)
	switch {
	case t.refusing != "" && t.refusing != unauthorized:
		s.answer = answer{status: 403, code: t.refusing, ours: true}
	case breaks && t.world.Dice.Uint32()&1 == 0:
		s.answer = broken
	default:
		s.answer = do()
		if breaks {
			s.answer = broken
		}
	}
	switch {
	case s.answer.status != 500:
	case t.KeepsBroken:
		order, _, _ := strings.Cut(r.key, "_round")
		t.broke[order] = true
	default:
		delete(t.sent, r)
	}
}

// Untold says that an order was declined of which nobody will ever hear: what broke is said again
// under its key, and Toss does not show what it has declined.
func (t *Toss) Untold(order string) bool {
	_, declined := t.declines[order]
	return declined && !t.ShowsDeclines && t.broke[order]
}

// look is a request that changes nothing.
func (t *Toss) look(verb, about string, do func() answer) answer {
	a, until := answer{}, t.world.Now().Add(tossWaits)
	switch fate := t.cross(verb, about, false); {
	case fate == simulate.Lost:
	case fate == simulate.Busy:
		a = busy
	case t.refusing == unauthorized:
		a = answer{status: 401, code: unauthorized}
	default:
		if a = do(); fate == simulate.Unheard {
			a = answer{}
		}
	}
	return t.heard(a, until)
}

// Find looks an order up.
func (t *Toss) Find(_ context.Context, orderID string, want billing.Want) billing.Outcome {
	if !isOrder(orderID) {
		return billing.Outcome{Result: billing.Unclear}
	}
	a := t.look("find", orderID, func() answer { return t.order(orderID) })
	switch {
	case a.status == 404:
		return billing.Outcome{Result: billing.Absent, Code: a.code}
	case a.status != 200:
		return billing.Outcome{Result: billing.Unclear, Code: a.code}
	case a.payment == nil:
		if want.Amount != money.Of(a.declined, won) {
			return billing.Outcome{Result: billing.Unclear}
		}
		return billing.Outcome{Result: billing.Refused, Code: a.code, Class: a.class}
	case want.Amount != money.Of(a.payment.Amount, won):
		return billing.Outcome{Result: billing.Unclear}
	}
	return billing.Outcome{Result: billing.Taken, Payment: a.paid()}
}

// order is what Toss knows of one.
func (t *Toss) order(id string) answer {
	if p := t.byOrder[id]; p != nil {
		return shown(p)
	}
	if d, ok := t.declines[id]; ok && t.ShowsDeclines {
		return answer{status: 200, code: d.code, means: billing.Refused, class: d.class, declined: d.amount}
	}
	return answer{status: 404, code: "NOT_FOUND_PAYMENT"}
}

// shown is a payment as it is now.
func shown(p *Payment) answer {
	return answer{status: 200, payment: p, returned: p.Returned, transaction: p.transaction}
}

// paid is the payment of an answer.
func (a answer) paid() billing.Payment {
	return billing.Payment{
		Key: a.payment.Key, Transaction: a.transaction, Card: cardNumber, Issuer: cardIssuer, ApprovedAt: a.payment.At.Truncate(time.Second),
		Amount: a.payment.Amount, Currency: won, VAT: vat(a.payment), TaxFree: a.payment.TaxFree, Returned: a.returned,
	}
}

const (
	cardNumber = "53275010****222*"
	cardIssuer = "24"
)

// vat is what Toss says was the tax in a payment.
func vat(p *Payment) int64 { return (p.Amount - p.TaxFree) / 11 }

// tell sends the webhook of a payment, which Toss does not sign.
func (t *Toss) tell(p *Payment) {
	t.post(notice.Hint{Type: "PAYMENT_STATUS_CHANGED", Order: p.Order, Payment: p.Key})
}

// isOrder says whether s is an order's id as Toss takes one, and Dodo's adapter.
func isOrder(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(s) >= 6 && len(s) <= 64
}
