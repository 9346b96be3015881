package web_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// gateway registers cards and takes money; what an authKey begins with says how its card
// fares: "refused" is not registered, "slow" gets no answer, "declined-soft" and
// "declined-hard" are registered and then declined, "lost" is paid without an answer.
type gateway struct {
	billing.Cards // what no test here needs

	clock *movable

	mu     sync.Mutex
	cards  map[string]billing.Card // by the registration's key
	used   map[string]bool         // authKeys
	paid   map[string]billing.Outcome
	charge int // calls
}

func newGateway(c *movable) *gateway {
	return &gateway{clock: c, cards: map[string]billing.Card{}, used: map[string]bool{}, paid: map[string]billing.Outcome{}}
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

func (g *gateway) Compose(r billing.Request) ([]byte, error) {
	return json.Marshal(map[string]any{"orderId": r.OrderID, "amount": r.Amount.Units})
}

func (g *gateway) Charge(_ context.Context, orderID string, card billing.Card, body []byte) billing.Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.charge++
	var asked struct {
		Amount int64 `json:"amount"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		panic("gateway: a body that is no JSON")
	}
	switch of := strings.TrimPrefix(card.BillingKey, "billing-key-of-"); {
	case strings.HasPrefix(of, "declined-soft"):
		return billing.Outcome{Result: billing.Refused, Code: "REJECT_CARD_PAYMENT", Class: billing.Soft}
	case strings.HasPrefix(of, "declined-hard"):
		return billing.Outcome{Result: billing.Refused, Code: "INVALID_STOPPED_CARD", Class: billing.Hard}
	case strings.HasPrefix(of, "lost"):
		return billing.Outcome{Result: billing.Unclear, Code: "SECRETLY_UNCLEAR"}
	}
	g.paid[orderID] = billing.Outcome{Result: billing.Taken, Payment: billing.Payment{
		Key: "pay-1", Transaction: "tx-1", Card: "43301234****123*", Issuer: "61", Approval: "00123456",
		ReceiptURL: "https://receipt.example/r/1", ApprovedAt: g.clock.Now(), Amount: asked.Amount, Currency: "KRW", VAT: asked.Amount / 11,
	}}
	return g.paid[orderID]
}

func (g *gateway) Find(_ context.Context, orderID string, _ billing.Want) billing.Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	if o, ok := g.paid[orderID]; ok {
		return o
	}
	return billing.Outcome{Result: billing.Absent, Code: "NOT_FOUND_PAYMENT"}
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
