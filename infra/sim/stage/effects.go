package stage

import (
	"encoding/json"
	"time"
)

// Effect is one thing that a provider did: money or state that moved. Answers are no
// effects: a charge whose answer was lost is here once, and so is one answered twice.
type Effect struct {
	Sequence      int64     `json:"sequence"` // from 1, without gaps, per provider
	At            time.Time `json:"at"`       // by the simulator's clock
	Kind          string    `json:"kind"`     // charged, declined, issued, purchased …
	OrderID       string    `json:"orderId,omitempty"`
	Amount        int64     `json:"amount,omitempty"` // in the smallest unit of Currency
	Currency      string    `json:"currency,omitempty"`
	Code          string    `json:"code,omitempty"` // why it was declined or refused
	PaymentKey    string    `json:"paymentKey,omitempty"`
	BillingKey    string    `json:"billingKey,omitempty"`
	CustomerKey   string    `json:"customerKey,omitempty"`
	SKU           string    `json:"sku,omitempty"`
	Status        string    `json:"status,omitempty"`
	TransactionID string    `json:"transactionId,omitempty"`
	Environment   string    `json:"environment,omitempty"`

	SubscriptionID string `json:"subscriptionId,omitempty"`
	RefundID       string `json:"refundId,omitempty"`
	Tax            int64  `json:"tax,omitempty"`    // the part of Amount that is tax
	Origin         string `json:"origin,omitempty"` // who made it happen, where it was not the API: control, customer

	Detail json.RawMessage `json:"detail,omitempty"` // what a call said, where that is all that it did
}

// Record appends an effect; its sequence and instant are the stage's.
func (s *Stage) Record(e Effect) {
	at := s.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Sequence, e.At = int64(len(s.effects))+1, at
	s.effects = append(s.effects, e)
}

// Effects are those after a sequence, oldest first; 0 gives all.
func (s *Stage) Effects(after int64) []Effect {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := min(max(after, 0), int64(len(s.effects)))
	return append([]Effect{}, s.effects[from:]...)
}
