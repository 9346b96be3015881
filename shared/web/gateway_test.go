package web_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// till is what both gateways do with money; what a charge is named, and why money is given
// back, says how it fares: "declined" is refused, "lost" is done without an answer, "busy"
// is not taken now.
type till struct {
	clock    *movable
	currency string
	repeats  bool

	mu       sync.Mutex
	paid     map[string]billing.Outcome  // by order
	returned map[string]billing.Refunded // by the refund's key
	charge   int                         // calls
	refunds  int
}

func newTill(c *movable, currency string, repeats bool) till {
	return till{clock: c, currency: currency, repeats: repeats, paid: map[string]billing.Outcome{}, returned: map[string]billing.Refunded{}}
}

func (t *till) Repeats() bool { return t.repeats }

func (t *till) Compose(r billing.Request) ([]byte, error) {
	if r.Amount.Currency != t.currency {
		return nil, fault.New(fault.Invalid, "invalid_charge", "currency should be %s.", t.currency)
	}
	return json.Marshal(map[string]any{"orderId": r.OrderID, "amount": r.Amount.Units, "name": r.Name})
}

// take is the charge of a means of payment with which nothing is wrong.
func (t *till) take(orderID string, body []byte) billing.Outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.charge++
	var asked struct {
		Amount int64  `json:"amount"`
		Name   string `json:"name"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		panic("gateway: a body that is no JSON")
	}
	if done, ok := t.paid[orderID]; ok && t.repeats {
		return done
	}
	switch {
	case strings.HasPrefix(asked.Name, "declined"):
		return billing.Outcome{Result: billing.Refused, Code: "REJECT_CARD_PAYMENT", Class: billing.Soft}
	case strings.HasPrefix(asked.Name, "busy"):
		return billing.Outcome{Result: billing.NotMade, Code: "TOO_MANY_REQUESTS", Busy: true}
	}
	t.paid[orderID] = billing.Outcome{Result: billing.Taken, Payment: billing.Payment{
		Key: "pay-1", Transaction: "tx-1", Card: "43301234****123*", Issuer: "61", Approval: "00123456",
		ReceiptURL: "https://receipt.example/r/1", ApprovedAt: t.clock.Now(), Amount: asked.Amount, Currency: t.currency, VAT: asked.Amount / 11,
	}}
	if strings.HasPrefix(asked.Name, "lost") {
		return billing.Outcome{Result: billing.Unclear, Code: "SECRETLY_UNCLEAR"}
	}
	return t.paid[orderID]
}

func (t *till) Find(_ context.Context, orderID string, _ billing.Want) billing.Outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o, ok := t.paid[orderID]; ok {
		return o
	}
	return billing.Outcome{Result: billing.Absent, Code: "NOT_FOUND_PAYMENT"}
}

func (t *till) Refund(_ context.Context, r billing.Refunding) billing.Refunded {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refunds++
	if done, ok := t.returned[r.Key]; ok {
		return done
	}
	switch {
	case strings.HasPrefix(r.Reason, "declined"):
		return billing.Refunded{Result: billing.Refused, Code: "NOT_CANCELABLE_PAYMENT"}
	case strings.HasPrefix(r.Reason, "busy"):
		return billing.Refunded{Result: billing.NotMade, Code: "TOO_MANY_REQUESTS", Busy: true}
	}
	t.returned[r.Key] = billing.Refunded{Result: billing.Taken, Transaction: "refund-of-" + r.OrderID}
	if strings.HasPrefix(r.Reason, "lost") {
		return billing.Refunded{Result: billing.Unclear, Code: "SECRETLY_UNCLEAR"}
	}
	return t.returned[r.Key]
}

func (t *till) FindRefund(_ context.Context, r billing.Refunding) billing.Refunded {
	t.mu.Lock()
	defer t.mu.Unlock()
	if done, ok := t.returned[r.Key]; ok {
		return done
	}
	return billing.Refunded{Result: billing.Absent}
}

func (t *till) Statement(_ context.Context, from, to time.Time, _ string) ([]billing.Entry, string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var entries []billing.Entry
	for id, o := range t.paid {
		if at := o.Payment.ApprovedAt; !at.Before(from) && at.Before(to) {
			entries = append(entries, billing.Entry{OrderID: id, Payment: o.Payment.Key, At: at, Currency: t.currency, Taken: o.Payment.Amount})
		}
	}
	return entries, "", nil
}

// gateway registers cards and takes money; what an authKey begins with says how its card
// fares: "refused" is not registered, "slow" gets no answer, "declined-soft" and
// "declined-hard" are registered and then declined, "lost" is charged without an answer,
// and without effect.
type gateway struct {
	till

	cards     map[string]billing.Card // by the registration's key
	used      map[string]bool         // authKeys
	forgotten []string                // billing keys
}

func newGateway(c *movable) *gateway {
	return &gateway{till: newTill(c, "KRW", true), cards: map[string]billing.Card{}, used: map[string]bool{}}
}

func (g *gateway) Issue(ctx context.Context, r billing.Registration) (billing.Card, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if strings.HasPrefix(r.AuthKey, "slow") || ctx.Err() != nil {
		return billing.Card{}, fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.").Because(errOutage)
	}
	card, again := g.cards[r.Key]
	if !again {
		if g.used[r.AuthKey] || strings.HasPrefix(r.AuthKey, "refused") {
			return billing.Card{}, fault.New(fault.Invalid, "payment_method_refused", "The card was refused.")
		}
		card = billing.Card{BillingKey: "billing-key-of-" + r.AuthKey, CustomerKey: r.CustomerKey, Number: "43301234****123*", Issuer: "61"}
		g.cards[r.Key], g.used[r.AuthKey] = card, true
	}
	return card, nil
}

func (g *gateway) Forget(_ context.Context, card billing.Card) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forgotten = append(g.forgotten, card.BillingKey)
	return nil
}

func (g *gateway) Charge(_ context.Context, orderID string, card billing.Card, body []byte) billing.Outcome {
	var o billing.Outcome
	switch of := strings.TrimPrefix(card.BillingKey, "billing-key-of-"); {
	case strings.HasPrefix(of, "declined-soft"):
		o = billing.Outcome{Result: billing.Refused, Code: "REJECT_CARD_PAYMENT", Class: billing.Soft}
	case strings.HasPrefix(of, "declined-hard"):
		o = billing.Outcome{Result: billing.Refused, Code: "INVALID_STOPPED_CARD", Class: billing.Hard}
	case strings.HasPrefix(of, "lost"):
		o = billing.Outcome{Result: billing.Unclear, Code: "SECRETLY_UNCLEAR"}
	default:
		return g.take(orderID, body)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.charge++
	return o
}

// mandates has customers approve charges on a page; what a payer is named says how that
// fares: "refused" gets no page, "slow" no answer. What is named in a return address,
// "unmendable" or "forgotten", says how another means of payment fares.
type mandates struct {
	till

	states  map[string]billing.MandateState // by mandate
	pages   int                             // made
	revoked []string
}

func newMandates(c *movable) *mandates {
	return &mandates{till: newTill(c, "USD", false), states: map[string]billing.MandateState{}}
}

func (m *mandates) Invite(_ context.Context, i billing.Invitation) (billing.Invited, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case strings.HasPrefix(i.Customer.Name, "slow"):
		return billing.Invited{}, fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.").Because(errOutage)
	case strings.HasPrefix(i.Customer.Name, "refused"):
		return billing.Invited{}, fault.New(fault.Invalid, "gateway_refused", "The gateway has no means of payment for this country.")
	case i.Address.Country == "ZZ":
		return billing.Invited{}, fault.New(fault.Invalid, "invalid_mandate", "billing.country should be a country.")
	}
	m.pages++
	mandate := "mandate-of-" + i.Subscription
	m.states[mandate] = billing.MandatePending
	return billing.Invited{Mandate: mandate, Link: "https://pages.example/approve/" + i.Subscription}, nil
}

func (m *mandates) Look(_ context.Context, mandate string) (billing.Mandate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	state, ok := m.states[mandate]
	if !ok {
		return billing.Mandate{}, fault.New(fault.NotFound, "mandate_unknown", "The gateway knows no such mandate.")
	}
	return billing.Mandate{State: state, Method: "method-1"}, nil
}

func (m *mandates) Mend(_ context.Context, mandate, returnURL string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.states[mandate] == "" || strings.Contains(returnURL, "forgotten"):
		return "", fault.New(fault.NotFound, "mandate_unknown", "The gateway knows no such mandate.")
	case strings.Contains(returnURL, "unmendable"):
		return "", fault.New(fault.Conflict, "mandate_not_mendable", "This mandate cannot be given another means of payment now.")
	case strings.Contains(returnURL, "slow"):
		return "", fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.").Because(errOutage)
	case strings.Contains(returnURL, "unreturnable"):
		return "", fault.New(fault.Invalid, "invalid_mandate", "returnUrl should be an absolute address.")
	}
	m.pages++
	return "https://pages.example/mend/" + strings.TrimPrefix(mandate, "mandate-of-"), nil
}

func (m *mandates) Revoke(_ context.Context, mandate string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.states[mandate], m.revoked = billing.MandateEnded, append(m.revoked, mandate)
	return nil
}

func (m *mandates) Charge(_ context.Context, orderID string, card billing.Card, body []byte) billing.Outcome {
	if m.state(card.BillingKey) != billing.MandateActive {
		return billing.Outcome{Result: billing.Refused, Code: "SUBSCRIPTION_INACTIVE", Class: billing.Hard}
	}
	return m.take(orderID, body)
}

func (m *mandates) state(mandate string) billing.MandateState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[mandate]
}

// approve is the customer's word on the page of a subscription's mandate; where it pays for
// an order, its money is taken.
func (m *mandates) approve(subscription string, pays map[string]int64) {
	for order, amount := range pays {
		m.take(order, []byte(`{"amount":`+strconv.FormatInt(amount, 10)+`}`))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.states["mandate-of-"+subscription] = billing.MandateActive
}

// sealer encrypts, and checks what a ciphertext is bound to.
type sealer struct {
	mu   sync.Mutex
	next uint64
	aead cipher.AEAD
}

func newSealer() *sealer {
	block, err := aes.NewCipher([]byte("thirty-two bytes of a test's key"))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &sealer{aead: aead}
}

func (s *sealer) Seal(_ context.Context, plain, bound []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	nonce := binary.BigEndian.AppendUint64(make([]byte, 4, 64), s.next)
	return s.aead.Seal(nonce, nonce, plain, bound), nil
}

func (s *sealer) Open(_ context.Context, sealed, bound []byte) ([]byte, error) {
	if len(sealed) < 12 {
		return nil, errors.New("sealer: too short")
	}
	return s.aead.Open(nil, sealed[:12], sealed[12:], bound)
}
