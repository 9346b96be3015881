package bank

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/simulate"
)

// charge is the body of a charge, as Compose writes it.
type charge struct {
	CustomerKey   string `json:"customerKey"`
	Amount        int64  `json:"amount"`
	OrderID       string `json:"orderId"`
	TaxFreeAmount int64  `json:"taxFreeAmount"`
}

var errBody = errors.New("bank: the body is not of this order")

// read gives back what Compose wrote, and the key that it is sent under.
func read(orderID string, body []byte) (c charge, key string, err error) {
	key = orderID
	if first, rest, ok := bytes.Cut(body, []byte("\n")); ok {
		round, found := strings.CutPrefix(string(first), orderID+"_round")
		if n, err := strconv.Atoi(round); !found || err != nil || n < 1 {
			return c, "", errBody
		}
		key, body = string(first), rest
	}
	if err := json.Unmarshal(body, &c); err != nil || c.OrderID != orderID || !isOrder(orderID) || c.Amount < 100 {
		return c, "", errBody
	}
	return c, key, nil
}

// Charge sends a body once.
func (t *Toss) Charge(_ context.Context, orderID string, card billing.Card, body []byte) billing.Outcome {
	c, key, err := read(orderID, body)
	if err != nil || strings.Trim(card.BillingKey, ".") == "" {
		return billing.Outcome{Result: billing.NotMade, Misconfigured: true}
	}
	a := t.write("charge", orderID, request{card.BillingKey, key}, func() answer { return t.charge(card.BillingKey, c) })
	switch {
	case a.status == 0:
		return billing.Outcome{Result: billing.Unclear}
	case a.status == 200:
		if a.payment.Order != orderID || a.payment.Amount != c.Amount {
			return billing.Outcome{Result: billing.Unclear} // the key's first body was another
		}
		return billing.Outcome{Result: billing.Taken, Payment: a.paid()}
	case a.status == 429:
		return billing.Outcome{Result: billing.NotMade, Code: a.code, Busy: true}
	case a.ours:
		return billing.Outcome{Result: billing.NotMade, Code: a.code, Misconfigured: true}
	case a.means == billing.Refused:
		return billing.Outcome{Result: billing.Refused, Code: a.code, Class: a.class}
	}
	return billing.Outcome{Result: billing.Unclear, Code: a.code, Final: a.means == billing.Unclear}
}

// charge is what Toss does about one.
func (t *Toss) charge(billingKey string, c charge) answer {
	now := t.world.Now()
	k := t.keys[billingKey]
	switch {
	case k == nil:
		return t.refuse(c.OrderID, word{404, "NOT_FOUND_BILLING", billing.Refused, billing.Hard}, nil)
	case k.removed:
		return t.refuse(c.OrderID, word{400, "ALREADY_REMOVED_BILLING_KEY", billing.Refused, billing.Hard}, k.plastic)
	case k.CustomerKey != c.CustomerKey:
		return answer{status: 400, code: "NOT_MATCHES_CUSTOMER_KEY", ours: true}
	case t.byOrder[c.OrderID] != nil:
		return answer{status: 400, code: "DUPLICATED_ORDER_ID"}
	}
	reason := k.plastic.ask(now)
	w := tossWords[reason]
	switch {
	case w.means == billing.Refused:
		t.declines[c.OrderID] = decline{w, c.Amount}
		return t.refuse(c.OrderID, w, k.plastic)
	case reason == Garbled:
		return answer{status: w.status, code: w.code, means: w.means}
	}
	p := &Payment{
		Key: t.id("toss_pay_"), Order: c.OrderID, Holder: billingKey, Card: k.plastic, Amount: c.Amount, Asked: c.Amount, Currency: won,
		TaxFree: c.TaxFreeAmount, Made: now, transaction: t.id(transactionPrefix),
	}
	t.byOrder[p.Order], t.byKey[p.Key] = p, p
	t.rows = append(t.rows, row{at: now, n: t.count, payment: p, taken: p.Amount})
	t.take(p)
	if t.TellsCharges {
		t.tell(p)
	}
	if reason == Ambiguous {
		return answer{status: w.status, code: w.code, means: w.means}
	}
	return shown(p)
}

// refuse declines a charge for good.
func (t *Toss) refuse(order string, w word, card *Card) answer {
	t.declined(order, w, card)
	if t.TellsCharges {
		t.tell(&Payment{Order: order})
	}
	return answer{status: w.status, code: w.code, means: w.means, class: w.class}
}

func tossUnavailable() error {
	return fault.New(fault.Unavailable, "gateway_unavailable", "Toss Payments could not be asked now; ask again.")
}

// Issue exchanges an authKey for a billing key.
func (t *Toss) Issue(_ context.Context, r billing.Registration) (billing.Card, error) {
	refused := func(detail string) error { return fault.New(fault.Invalid, "payment_method_refused", "%s", detail) }
	switch {
	case r.AuthKey == "" || len(r.AuthKey) > 300 || !printable(r.AuthKey):
		return billing.Card{}, refused("authKey should be the 1 to 300 characters that the card form returned.")
	case !isCustomer(r.CustomerKey):
		return billing.Card{}, refused("customerKey should be 2 to 300 of letters, digits and -_=.@")
	case r.Key == "" || len(r.Key) > 300 || !printable(r.Key):
		return billing.Card{}, tossUnavailable()
	}
	a := t.write("issue", r.CustomerKey, request{"issue", r.Key}, func() answer { return t.issue(r) })
	switch {
	case a.status == 200:
		if a.key.CustomerKey != r.CustomerKey {
			return billing.Card{}, refused("The registration belongs to another customerKey.")
		}
		return a.key.Card, nil
	case a.means == billing.Refused:
		return billing.Card{}, refused("The registration was refused.")
	}
	return billing.Card{}, tossUnavailable()
}

func (t *Toss) issue(r billing.Registration) answer {
	f := t.forms[r.AuthKey]
	var code string
	switch {
	case f == nil || f.used:
		code = "INVALID_BILLING_AUTH"
	case f.customerKey != r.CustomerKey:
		code = "NOT_MATCHES_CUSTOMER_KEY"
	default:
		f.used = true
		code = f.refused
	}
	if code != "" {
		return answer{status: 400, code: code, means: billing.Refused}
	}
	k := &billingKey{plastic: f.plastic, Card: billing.Card{
		BillingKey: t.id("secret_billing_key_"), CustomerKey: r.CustomerKey, Number: cardNumber, Issuer: cardIssuer,
	}}
	t.keys[k.BillingKey] = k
	return answer{status: 200, key: k}
}

// Forget deletes a billing key.
func (t *Toss) Forget(_ context.Context, card billing.Card) error {
	if strings.Trim(card.BillingKey, ".") == "" || len(card.BillingKey) > 200 || !printable(card.BillingKey) {
		return tossUnavailable()
	}
	if !t.forget(card.BillingKey).fine() {
		return tossUnavailable()
	}
	return nil
}

// forget is the request by which a billing key is deleted: it may come twice.
func (t *Toss) forget(billingKey string) answer {
	k, about := t.keys[billingKey], ""
	if k != nil {
		about = k.CustomerKey
	}
	remove := func() answer {
		switch {
		case k == nil:
			return answer{status: 404, code: "NOT_FOUND_BILLING", means: billing.Refused}
		case k.removed:
			return answer{status: 400, code: "ALREADY_REMOVED_BILLING_KEY", means: billing.Refused}
		}
		k.removed = true
		return answer{status: 200}
	}
	a, until := answer{}, t.world.Now().Add(tossWaits)
	switch fate := t.cross("forget", about, true); {
	case fate == simulate.Lost:
	case fate == simulate.Busy:
		a = busy
	case t.refusing == unauthorized:
		a = answer{status: 401, code: unauthorized}
	case fate == simulate.Late:
		t.world.After(t.within(t.Late, 5*time.Minute), func() { _ = remove() })
	default:
		if a = remove(); fate == simulate.Unheard {
			a = answer{}
		}
	}
	return t.heard(a, until)
}

// fine says that what was asked for is done, or was.
func (a answer) fine() bool { return a.status == 200 || a.means == billing.Refused }

// isCustomer says whether Toss takes s for a customerKey.
func isCustomer(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-_=.@", c) < 0 {
			return false
		}
	}
	return len(s) >= 2 && len(s) <= 300
}

// printable says whether s is ASCII without spaces and control characters.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// ConsoleRegister is a customer at the card form: it gives the one-time authKey that the form
// returns. refused is the code with which Toss will refuse to issue a key for it, "" for none.
func (t *Toss) ConsoleRegister(customerKey string, card *Card, refused string) (authKey string) {
	authKey = t.id("secret_auth_")
	t.forms[authKey] = &form{customerKey: customerKey, plastic: card, refused: refused}
	return authKey
}

// ConsoleRemove removes a billing key in Toss's console.
func (t *Toss) ConsoleRemove(billingKey string) {
	if k := t.keys[billingKey]; k != nil {
		k.removed = true
	}
}

// ConsoleRefuse begins a spell in which Toss refuses whatever writes with a code for our own
// mistake, such as FORBIDDEN_REQUEST, which it keeps under each key, or all with
// UNAUTHORIZED_KEY, which it does not; "" ends it.
func (t *Toss) ConsoleRefuse(code string) { t.refusing = code }

// Cards says how many billing keys there are that were not deleted.
func (t *Toss) Cards() (left int) {
	for _, k := range t.keys { // only counted
		if !k.removed {
			left++
		}
	}
	return left
}
