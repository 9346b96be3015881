// Package abuse says what follows from what a customer had refunded: a score with its
// reasons, and the measures of the project's policy. The one idea: nothing is hidden in a
// number, for each point of the score says which refunds it comes from, and a person's word
// stands above it. Everything here is pure.
package abuse

import "time"

// Measure is what is done about a customer.
type Measure string

// The measures.
const (
	Note              Measure = "note"               // others are told, and nothing else
	BlockSpending     Measure = "block_spending"     // of every wallet currency
	RefuseConsumables Measure = "refuse_consumables" // no consumable is granted any more
)

// Refund is one sale that a store gave the money back for.
type Refund struct {
	OrderID     string    `json:"orderId"`
	At          time.Time `json:"at"`                   // when we were told
	PurchasedAt time.Time `json:"purchasedAt,omitzero"` // zero where the store did not say
	Amount      int64     `json:"amount,omitempty"`     // smallest unit of Currency, 0 where unknown
	Currency    string    `json:"currency,omitempty"`   // ISO 4217
	Credited    int64     `json:"credited,omitempty"`   // wallet units that the sale granted
	Spent       int64     `json:"spent,omitempty"`      // of those, what was gone when it was refunded
	Consumable  bool      `json:"consumable,omitempty"`
}

// Override is a person's word, until it is taken back.
type Override struct {
	Measures []Measure `json:"measures"` // in force whatever the score says; empty: none is
	Reason   string    `json:"reason"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
}

// History is what is known of a customer's conduct. The zero History is a blank sheet.
type History struct {
	Purchases int              `json:"purchases,omitempty"` // sales with money that were granted
	Paid      map[string]int64 `json:"paid,omitempty"`      // by currency
	Count     int              `json:"count,omitempty"`     // refunds ever
	Returned  map[string]int64 `json:"returned,omitempty"`  // by currency, ever
	Refunds   []Refund         `json:"refunds,omitempty"`   // the latest MostRefunds, oldest first
	Overrides []Override       `json:"overrides,omitempty"` // the latest MostOverrides, oldest first; the last is in force
	Lifted    bool             `json:"lifted,omitempty"`    // the last override was taken back
	// ForgottenAt is when the latest refund that is counted but no longer kept was told.
	ForgottenAt time.Time `json:"forgottenAt,omitzero"`
	Measures    []Measure `json:"measures,omitempty"` // in force as last written, for those who read no policy
}

// What a history keeps at most.
const (
	MostRefunds    = 50
	MostOverrides  = 20
	MostCurrencies = 16 // real customers have one or two
)

// How long the words of an override may be, in characters.
const (
	LongestReason = 500
	LongestBy     = 200
)

// Policy is from which score on which measure is in force; 0 is never.
type Policy map[Measure]int

// Assessment is what a history comes to.
type Assessment struct {
	Score    int       `json:"score"` // 0 to 100
	Reasons  []Reason  `json:"reasons"`
	Measures []Measure `json:"measures"`
	Override *Override `json:"override,omitempty"` // the one in force
}

// Reason is one part of a score.
type Reason struct {
	Code   string   `json:"code"` // stable, snake_case
	Points int      `json:"points"`
	Detail string   `json:"detail"` // one sentence for a person
	Orders []string `json:"orders,omitempty"`
}
