package exhaust

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/simulate"
)

// till is a gateway whose answers are choices. It says what the adapters of shared/toss and
// shared/dodo say of Toss Payments and Dodo Payments.
type till struct {
	path     *Path
	payments []payment
	refunds  []refund
	forgot   []string        // billing keys
	issued   map[string]bool // cards, false for one that was refused
	refuses  bool            // it may refuse to issue one
	// answers are how many of those that it knows it chooses from; the first is money.
	answers int
	// charging is told of each charge as it is sent, taking of money as it is taken.
	charging func(order, card string)
	taking   func(p payment)
	back     func(r refund)
	late     int // calls that come after the race
	lateBy   time.Duration
	// held says that the mandate is on hold, looked that it was looked at.
	held, looked bool
	// declines has every charge declined, deaf has every charge done and not heard, or lost, for a scene that is to be set.
	declines, deaf, lost bool
	// slows says that once on a path a charge may be answered by a request to slow down, forgets
	// that a refund is not known again by its key.
	slows, forgets bool
	// under is how many are sending an order at this moment.
	under map[string]int
}

// payment is one that was made or declined at the gateway.
type payment struct {
	key, order, card string
	amount           int64
	code             string // of a decline
	class            billing.Class
	decided          time.Time // until then nobody knows
	listed           time.Time // until then no list shows it
	muddled          bool      // who sent it cannot tell that it was made
}

type refund struct {
	key, payment, order string
	amount, left        int64
	at                  time.Time
}

func (t *till) print(p *Print) {
	p.Bool(t.slows)
	p.Number(uint64(len(t.payments))<<32 | uint64(len(t.refunds))<<16 | uint64(len(t.forgot))<<8 | uint64(t.late)) //nolint:gosec // they are few
	for _, card := range slices.Sorted(maps.Keys(t.issued)) {
		p.Text(card)
		p.Bool(t.issued[card])
	}
	for _, is := range t.payments {
		p.Text(is.key)
		p.Text(is.order)
		p.Text(is.card)
		p.Text(is.code)
		p.Number(uint64(is.decided.Unix())) //nolint:gosec // only its bits count
		p.Number(uint64(is.listed.Unix()))  //nolint:gosec // only its bits count
		p.Number(uint64(is.amount))         //nolint:gosec // only its bits count
	}
	for _, r := range t.refunds {
		p.Text(r.key)
		p.Text(r.payment)
		p.Number(uint64(r.amount)) //nolint:gosec // only its bits count
	}
}

// call crosses to the gateway and does what is asked there, if it comes to that. heard says
// whether its answer is.
func (t *till) call(verb, about string, write bool, do func()) (heard bool) {
	fate := t.path.Call("gateway", verb, about, write)
	if t.deaf && t.lost && verb == "charge" {
		return false
	}
	switch fate {
	case simulate.Lost, simulate.Busy:
	case simulate.Late:
		t.late++
		t.path.World.After(t.lateBy, func() { do(); t.late-- })
	case simulate.Fine, simulate.Unheard, simulate.Vague, simulate.Stale, simulate.Partial:
		do()
	}
	heard = fate == simulate.Fine && !(t.deaf && verb == "charge")
	if !heard {
		t.path.Answered(fate == simulate.Unheard, fate.String())
	}
	t.path.World.Crossed()
	return heard
}

// sending is a charge on its way and back: whoever claims one is alone at it.
func (t *till) sending(order, card string) (over func()) {
	if t.charging != nil {
		t.charging(order, card)
	}
	if t.under[order]++; t.under[order] > 1 {
		t.path.Fail("while one is sending no other sends", "order %s is sent by %s while another is at it", order, t.path.whose())
	}
	return func() { t.under[order]-- }
}

func (t *till) now() time.Time { return t.path.World.Now() }

func (t *till) take(p payment) {
	t.payments = append(t.payments, p)
	if p.code == "" && t.taking != nil {
		t.taking(p)
	}
}

func (t *till) payment(key string) *payment {
	if i := slices.IndexFunc(t.payments, func(p payment) bool { return p.key == key }); i >= 0 {
		return &t.payments[i]
	}
	return nil
}

// returned is what was given back of a payment.
func (t *till) returned(key string) (all int64) {
	for _, r := range t.refunds {
		if r.payment == key {
			all += r.amount
		}
	}
	return all
}

func (t *till) paid(p payment, currency string) billing.Payment {
	return billing.Payment{Key: p.key, Amount: p.amount, Currency: currency, ApprovedAt: begun, Returned: t.returned(p.key)}
}

// told makes an outcome known to whoever asked.
func (t *till) told(o billing.Outcome, effect bool) billing.Outcome {
	t.path.Answered(effect, string(o.Result), o.Code, o.Payment.Key, strconv.FormatInt(o.Payment.Returned, 10), strconv.Itoa(len(o.Others)))
	return o
}

func (t *till) repaid(r billing.Refunded, effect bool) billing.Refunded {
	t.path.Answered(effect, string(r.Result), r.Code, r.Transaction)
	return r
}

type body struct {
	Order  string `json:"orderId"`
	Amount int64  `json:"amount"`
}

// Compose makes a body.
func (t *till) Compose(r billing.Request) ([]byte, error) {
	return json.Marshal(body{r.OrderID, r.Amount.Units})
}

// Statement is never asked for in a race.
func (t *till) Statement(context.Context, time.Time, time.Time, string) ([]billing.Entry, string, error) {
	return nil, "", nil
}

// keyed is a till at which the same request again is one: Toss Payments.
type keyed struct{ *till }

var _ billing.Cards = keyed{}

// The answers of a keyed till to a charge.
const (
	takes = iota
	declinesSoftly
	declinesHard
	keyedAnswers
)

// muddles is an answer beyond those that are usual: it decides nothing, stays the same for ever,
// and the money that was taken all the same is shown some minutes later.
const (
	muddles    = keyedAnswers
	shownAfter = 5 * time.Minute
)

// Repeats is so.
func (keyed) Repeats() bool { return true }

// Charge takes the money of an order once, and declines it once.
func (t keyed) Charge(_ context.Context, order string, card billing.Card, text []byte) billing.Outcome {
	defer t.sending(order, card.BillingKey)()
	if t.slows && t.path.Choose(2) == 1 {
		t.slows = false
		return t.told(billing.Outcome{Result: billing.NotMade, Code: "TOO_MANY_REQUESTS", Busy: true}, false)
	}
	var o billing.Outcome
	if !t.call("charge", order, true, func() { o = t.charge(order, card.BillingKey, text) }) {
		return billing.Outcome{Result: billing.Unclear}
	}
	return t.told(o, true)
}

func (t keyed) charge(order, card string, text []byte) billing.Outcome {
	for _, p := range t.payments {
		switch {
		case p.order != order:
		case p.card != card && p.code == "":
			return billing.Outcome{Result: billing.Unclear, Code: "DUPLICATED_ORDER_ID"}
		case p.card == card:
			return t.outcome(p)
		}
	}
	var b body
	if err := json.Unmarshal(text, &b); err != nil || b.Order != order {
		t.path.Fail("what is sent is what was written", "order %s was sent with the body of %q", order, b.Order)
	}
	p := payment{key: "pay_" + order, order: order, card: card, amount: b.Amount}
	is := t.path.Choose(t.answers)
	if t.declines {
		is = declinesSoftly
	}
	switch is {
	case declinesSoftly:
		p.code, p.class = "REJECT_ACCOUNT_PAYMENT", billing.Soft
	case declinesHard:
		p.code, p.class = "INVALID_STOPPED_CARD", billing.Hard
	case muddles:
		p.muddled, p.listed = true, t.now().Add(shownAfter)
	}
	t.take(p)
	return t.outcome(p)
}

func (t keyed) outcome(p payment) billing.Outcome {
	switch {
	case p.muddled:
		return billing.Outcome{Result: billing.Unclear, Code: "PROVIDER_ERROR", Final: true}
	case p.code != "":
		return billing.Outcome{Result: billing.Refused, Code: p.code, Class: p.class}
	}
	return billing.Outcome{Result: billing.Taken, Payment: t.paid(p, "KRW")}
}

// Find shows payments and no declines.
func (t keyed) Find(_ context.Context, order string, _ billing.Want) billing.Outcome {
	o := billing.Outcome{Result: billing.Absent, Code: "NOT_FOUND_PAYMENT"}
	if !t.call("find", order, false, func() {
		for _, p := range t.payments {
			if p.order == order && p.code == "" && !p.listed.After(t.now()) {
				o = billing.Outcome{Result: billing.Taken, Payment: t.paid(p, "KRW")}
			}
		}
	}) {
		return billing.Outcome{Result: billing.Unclear}
	}
	return t.told(o, false)
}

// Refund gives back once for each key, if as much is left as it says.
func (t keyed) Refund(_ context.Context, r billing.Refunding) billing.Refunded {
	var o billing.Refunded
	if !t.call("refund", r.OrderID, true, func() { o = t.giveBack(r) }) {
		return billing.Refunded{Result: billing.Unclear}
	}
	return t.repaid(o, true)
}

func (t keyed) giveBack(r billing.Refunding) billing.Refunded {
	done := billing.Refunded{Result: billing.Taken, Transaction: "refund_" + r.Key}
	for _, was := range t.refunds {
		if was.key == r.Key && !t.forgets {
			return done
		}
	}
	p := t.payment(r.Payment)
	if p == nil || p.code != "" {
		return billing.Refunded{Result: billing.NotMade, Code: "NOT_FOUND_PAYMENT", Misconfigured: true}
	}
	if left := p.amount - t.returned(p.key); left != r.Left || r.Amount.Units > left {
		return billing.Refunded{Result: billing.Refused, Code: "NOT_MATCHES_REFUNDABLE_AMOUNT"}
	}
	t.give(r, r.Amount.Units)
	return done
}

func (t *till) give(r billing.Refunding, amount int64) {
	is := refund{r.Key, r.Payment, r.OrderID, amount, r.Left, t.now()}
	t.refunds = append(t.refunds, is)
	if t.back != nil {
		t.back(is)
	}
}

// FindRefund knows a refund by what was left and how much it was.
func (t keyed) FindRefund(_ context.Context, r billing.Refunding) billing.Refunded {
	o := billing.Refunded{Result: billing.Absent}
	if !t.call("find refund", r.OrderID, false, func() {
		for _, was := range t.refunds {
			if was.payment == r.Payment && was.amount == r.Amount.Units && was.left == r.Left {
				o = billing.Refunded{Result: billing.Taken, Transaction: "refund_" + was.key}
			}
		}
	}) {
		return billing.Refunded{Result: billing.Unclear}
	}
	return t.repaid(o, false)
}

// Issue makes a billing key of an authKey, the same for whoever asks the same again.
func (t keyed) Issue(_ context.Context, r billing.Registration) (billing.Card, error) {
	refused := false
	if !t.call("issue", r.CustomerKey, true, func() {
		is, known := t.issued["card-of-"+r.AuthKey]
		if !known {
			is = !t.refuses || t.path.Choose(2) == 0
			t.issued["card-of-"+r.AuthKey] = is
		}
		refused = !is
	}) {
		return billing.Card{}, fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.")
	}
	if refused {
		t.path.Answered(true, "refused")
		return billing.Card{}, fault.New(fault.Invalid, "payment_method_refused", "The registration was refused.")
	}
	t.path.Answered(true, "issued")
	return billing.Card{BillingKey: "card-of-" + r.AuthKey, CustomerKey: r.CustomerKey, Number: "1234****", Issuer: "61"}, nil
}

// Forget deletes a billing key.
func (t keyed) Forget(_ context.Context, card billing.Card) error {
	if !t.call("forget", "", true, func() { t.forgot = append(t.forgot, card.BillingKey) }) {
		return fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.")
	}
	t.path.Answered(true, "forgotten")
	return nil
}
