package billing

import (
	"context"
	"time"

	"grantline/shared/money"
)

// Gateway is a company that we charge through. An implementation translates; it keeps
// nothing, decides nothing about retries, and never sends a request twice by itself.
type Gateway interface {
	// Issue turns the one-time proof that a customer registered a card into a billing
	// key. It may be repeated with the same request: the key of r makes it one issue.
	// Errors: fault.Invalid when the gateway definitely refused (the card, or the proof is
	// used up); fault.Unavailable for everything else, where it may have been issued.
	Issue(ctx context.Context, r Registration) (Card, error)
	// Compose makes the exact body of a charge. It is kept before the first send, so that
	// a resend has the same bytes. Errors: fault.Invalid, naming the field.
	Compose(r Request) ([]byte, error)
	// Charge sends a body once. Sending the same order, card and body again is one charge.
	Charge(ctx context.Context, orderID string, card Card, body []byte) Outcome
	// Find looks up an order, without effect. Absent means that the gateway surely has no
	// payment for it at this moment; a request under way may still make one.
	Find(ctx context.Context, orderID string, want Want) Outcome
}

// Registration is what a customer brings back from the gateway's card form.
type Registration struct {
	Key         string // idempotency key, derived from the subscription; at most 300 characters
	AuthKey     string // secret, works once
	CustomerKey string // the gateway's name for the customer, chosen by the app
}

// Card is a registered means of payment.
type Card struct {
	BillingKey  string // secret
	CustomerKey string
	Number      string // masked by the gateway
	Issuer      string // the gateway's code of the issuer
}

// Request is what a charge says.
type Request struct {
	OrderID     string
	CustomerKey string
	Amount      money.Amount
	TaxFree     int64 // part of the amount
	Name        string
	Email       string // of the customer, "" if unknown
	Customer    string // the customer's name, "" if unknown
}

// Want is what a payment must be for it to be the one that we asked for.
type Want struct {
	Amount money.Amount
}

// Result is what is known of a charge after asking.
type Result string

// The results. Everything that is not certain is Unclear.
const (
	Taken   Result = "taken"    // money was taken
	Refused Result = "refused"  // a definite decline: no money, and the attempt is over
	NotMade Result = "not_made" // surely not executed, and not the card's fault: busy, misconfigured
	Absent  Result = "absent"   // answer of Find only: there is no payment
	Unclear Result = "unclear"  // money may have been taken
)

// Class says what a decline means for the attempts that remain.
type Class string

// The classes (facts of each gateway; see its package).
const (
	Soft    Class = "soft"    // may pass later, on the schedule
	Passing Class = "passing" // soft, and says nothing about the card: hours of maintenance
	Hard    Class = "hard"    // this card never again
)

// Outcome is the answer to a Charge or a Find.
type Outcome struct {
	Result Result
	Code   string // the gateway's code where it gave one; never its message
	Class  Class  // of a Refused
	// Final, of an Unclear: the gateway answered and will answer the same for ever, though
	// its answer does not say whether money moved. Asked-for lookups then settle it.
	Final bool
	// Misconfigured, of a NotMade: nothing will pass until a person mends our side.
	Misconfigured bool
	Payment       Payment // of a Taken
}

// Payment is what the gateway says of money taken. All of it is kept with the order.
type Payment struct {
	Key         string    `json:"key"`                   // the gateway's id of the payment
	Transaction string    `json:"transaction,omitempty"` // its id of the last movement
	Card        string    `json:"card,omitempty"`        // masked
	Issuer      string    `json:"issuer,omitempty"`
	Approval    string    `json:"approval,omitempty"` // the card company's approval number
	ReceiptURL  string    `json:"receiptUrl,omitempty"`
	ApprovedAt  time.Time `json:"approvedAt,omitzero"`
	Amount      int64     `json:"amount"`
	Currency    string    `json:"currency"`
	VAT         int64     `json:"vat,omitempty"`
	TaxFree     int64     `json:"taxFree,omitempty"`
}
