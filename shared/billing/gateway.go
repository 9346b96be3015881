package billing

import (
	"context"
	"time"

	"grantline/shared/money"
)

// Gateway is a company that we charge through. An implementation translates; it keeps
// nothing, decides nothing about retries, and never sends a request twice by itself. How a
// customer lets us charge is one of two more things that a gateway is: Cards or Mandates.
type Gateway interface {
	// Repeats says whether sending the same order, card and body again is one charge, and
	// the same refund again one refund. Where it is not, what was sent and not answered is
	// looked for, and never sent again to find out.
	Repeats() bool
	// Compose makes the exact body of a charge. It is kept before the first send, so that
	// a resend has the same bytes. Errors: fault.Invalid, naming the field.
	Compose(r Request) ([]byte, error)
	// Charge sends a body once.
	Charge(ctx context.Context, orderID string, card Card, body []byte) Outcome
	// Find looks up an order, without effect. Absent means that the gateway surely has no
	// payment for it at this moment; a request under way may still make one.
	Find(ctx context.Context, orderID string, want Want) Outcome
	// Refund asks once for money of a payment to be given back.
	Refund(ctx context.Context, r Refunding) Refunded
	// FindRefund looks up whether that money was given back, without effect. Absent means
	// that it surely was not, at this moment.
	FindRefund(ctx context.Context, r Refunding) Refunded
	// Statement pages through what the gateway says it did in [from, to), for the daily
	// comparison; after is the next of the page before, "" for the first. Errors:
	// fault.Unavailable.
	Statement(ctx context.Context, from, to time.Time, after string) (entries []Entry, next string, err error)
}

// Cards is a Gateway whose customers register a card in the app.
type Cards interface {
	Gateway
	// Issue turns the one-time proof that a customer registered a card into a billing
	// key. It may be repeated with the same request: the key of r makes it one issue.
	// Errors: fault.Invalid when the gateway definitely refused (the card, or the proof is
	// used up); fault.Unavailable for everything else, where it may have been issued.
	Issue(ctx context.Context, r Registration) (Card, error)
	// Forget deletes a billing key. One that is gone already is forgotten. Errors:
	// fault.Unavailable, and then it may be gone or not.
	Forget(ctx context.Context, card Card) error
}

// Mandates is a Gateway whose customers approve charges on a page of its own.
type Mandates interface {
	Gateway
	// Invite makes a mandate and the page on which the customer approves it. Doing it
	// twice makes two, of which nobody has seen the first one's page. Errors:
	// fault.Invalid when the gateway definitely refused, naming what; fault.Unavailable
	// for everything else.
	Invite(ctx context.Context, i Invitation) (Invited, error)
	// Look says how a mandate stands. Errors: fault.NotFound if the gateway knows of none;
	// fault.Unavailable.
	Look(ctx context.Context, mandate string) (Mandate, error)
	// Mend makes the page on which the customer gives a mandate another means of payment.
	// Errors as of Look, and fault.Conflict where it cannot be mended.
	Mend(ctx context.Context, mandate, returnURL string) (link string, err error)
	// Revoke ends a mandate; one that has ended already is as good. Errors:
	// fault.Unavailable.
	Revoke(ctx context.Context, mandate string) error
}

// Disputes is a Gateway whose payments may be disputed at the payer's bank, and whose word of that,
// or of money given back at its own console, names the payment alone.
type Disputes interface {
	// OrderOf says which order a payment was made for, "" for none of ours. Errors:
	// fault.Unavailable.
	OrderOf(ctx context.Context, payment string) (order string, err error)
	// Disputed pages through the disputes that were opened in [from, to) and are decided by
	// now, in no order, for the daily comparison; after is the next of the page before, "" for
	// the first. Errors: fault.Unavailable.
	Disputed(ctx context.Context, from, to time.Time, after string) (disputes []Dispute, next string, err error)
}

// Dispute is one of which the payer's bank has said who keeps the money. It may yet say
// otherwise.
type Dispute struct {
	ID      string // the gateway's
	Payment string
	Opened  time.Time
	Lost    bool // the bank took the money back
}

// Mandate is what the gateway says of one.
type Mandate struct {
	State MandateState
	// Method is the gateway's id of the means of payment behind it, "" if it says none.
	Method string
}

// MandateState is how a mandate stands at its gateway.
type MandateState string

// The states of a mandate.
const (
	MandatePending MandateState = "pending" // the customer has not approved it yet
	MandateActive  MandateState = "active"  // it can be charged
	MandateOnHold  MandateState = "on_hold" // it cannot until the customer mends it
	MandateEnded   MandateState = "ended"   // it never can again
)

// Invitation asks for a mandate.
type Invitation struct {
	Subscription string       // ours; kept with the mandate, and with each payment
	OrderID      string       // of the charge at the approval, "" if there is none
	Price        money.Amount // of that charge
	Product      string       // the gateway's name of what is sold
	Name         string       // on the customer's statement
	FeesIncluded bool         // the price includes the gateway's fees for another currency
	Customer     Payer
	Address      Address
	ReturnURL    string // where the customer goes after the page
}

// Payer is whom the gateway takes the money from. It is personal and kept nowhere here.
type Payer struct {
	ID    string // the gateway's, "" to make one of the others
	Email string
	Name  string
	Phone string
}

// Address is where the payer is taxed.
type Address struct {
	Country string // ISO 3166-1 alpha-2
	City    string
	State   string
	Street  string
	Zip     string
}

// Invited is a mandate to be approved.
type Invited struct {
	Mandate string // the gateway's id; it stands where a billing key does
	Link    string // the page; whoever has it can approve
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
	Attempt     int    // from 1, 0 on demand: for people who look at the gateway, nothing decides by it
	// FeesIncluded says that the amount includes the gateway's fees for another currency.
	FeesIncluded bool
	// Round counts the bodies of this order that were surely refused for our own mistake.
	// A gateway that would repeat such a refusal for ever gets the next one under another
	// idempotency key; the order's id still makes it one charge.
	Round int
}

// Want is what a payment must be for it to be the one that we asked for, and where a
// gateway that cannot be asked by order has to look for it.
type Want struct {
	Amount  money.Amount
	Card    Card      // that was charged
	Payment string    // the gateway's id of the payment, "" if it never said
	Since   time.Time // nothing was sent before
	Passed  []string  // payments of the order that are not looked for: they are being given back
}

// Refunding asks for money of a payment back.
type Refunding struct {
	Key     string       // idempotency key, derived from order and reference; at most 300 characters
	OrderID string       // whose payment it is
	Payment string       // the gateway's id of it
	Amount  money.Amount // to give back
	Left    int64        // what had not been given back before: the lock against giving back twice
	TaxFree int64        // part of the amount
	Whole   bool         // all that is left, with whatever tax the gateway added
	Reason  string       // for the gateway's books, 1 to 200 characters
	Since   time.Time    // nothing was sent before
}

// Refunded is the answer to a Refund or a FindRefund: Taken when the money is, or surely
// will be, given back; Refused when it never will be; Accepted while the gateway is at it;
// NotMade, Absent and Unclear as of a charge.
type Refunded struct {
	Result      Result
	Code        string
	Transaction string // the gateway's id of the refund
	// Final, of an Unclear: the gateway answered and may answer the same under this key for ever,
	// though its answer does not say whether money moved. It is for a gateway alone that holds
	// each refund against Refunding.Left at the moment of making it: what is asked for under
	// another key, with the same Left, is made once at most.
	Final bool
	// Misconfigured, Busy and Again are as in Outcome.
	Misconfigured bool
	Busy          bool
	Again         time.Duration
}

// Entry is a line of a gateway's statement: a payment, or money of one given back.
type Entry struct {
	OrderID  string // as we gave it, "" if it has none
	Payment  string
	At       time.Time
	Currency string
	Taken    int64 // money taken by this entry, 0 if it gives back
	Returned int64 // money given back by it
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
	// Accepted is a payment that the gateway has made and not decided yet: it is one of
	// its own, to be found by its key, and will end as taken or refused.
	Accepted Result = "accepted"
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
	// Method, of a Refused, is the means of payment that refused it, as a Mandate names it; ""
	// if the gateway does not say.
	Method string
	// Final, of an Unclear: the gateway answered and will answer the same for ever, though
	// its answer does not say whether money moved. Asked-for lookups then settle it.
	Final bool
	// Misconfigured, of a NotMade: nothing will pass until a person mends our side.
	Misconfigured bool
	// Busy, of a NotMade: the gateway asks for a slower pace (429).
	Busy bool
	// Again, of a NotMade, is how long to wait before it is made again; 0 leaves it to us.
	Again   time.Duration
	Payment Payment // of a Taken; of an Accepted its Key alone
	// Others are further payments that were taken for the same order, whose money has to
	// be given back.
	Others []Payment
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
	// Mandate is what a gateway with Mandates says it was charged to, "" for none.
	Mandate string `json:"-"`
	// Returned is what the gateway says was given back of it by the time it was asked.
	Returned int64 `json:"-"`
}
