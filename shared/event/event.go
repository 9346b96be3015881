// Package event is what we tell others about a customer: numbered from 1 without gaps,
// and written in the same transaction as what it tells. Whoever has read up to a number
// has missed nothing before it.
package event

import (
	"context"
	"time"
)

// Type says what happened.
type Type string

// The types.
const (
	PurchaseGranted       Type = "purchase.granted"
	PurchaseRenewed       Type = "purchase.renewed"
	PurchaseRefunded      Type = "purchase.refunded"
	PurchaseRevoked       Type = "purchase.revoked"   // a family's share was taken away
	PurchaseRestored      Type = "purchase.restored"  // a refund was undone
	PurchaseRecovered     Type = "purchase.recovered" // renewed after the money could not be taken
	PurchaseChanged       Type = "purchase.changed"   // productId took over at once
	PurchasePlanned       Type = "purchase.planned"   // productId takes over with the next renewal
	PurchaseExtended      Type = "purchase.extended"  // the store moved its end
	PurchaseGrace         Type = "purchase.grace"     // the money could not be taken; access stays until expiresAt
	PurchaseOnHold        Type = "purchase.on_hold"   // the money could not be taken; access ended
	PurchaseEnding        Type = "purchase.ending"    // it will not renew
	PurchaseResumed       Type = "purchase.resumed"   // it will renew after all
	PurchaseExpired       Type = "purchase.expired"   // it ended without another renewal
	SubscriptionCreated   Type = "subscription.created"
	SubscriptionActivated Type = "subscription.activated" // its first charge was paid
	SubscriptionRenewed   Type = "subscription.renewed"   // a later period was paid when due
	SubscriptionRecovered Type = "subscription.recovered" // paid after a decline
	SubscriptionUnpaid    Type = "subscription.unpaid"    // its automatic attempts are over
	SubscriptionCancelled Type = "subscription.cancelled"
	// SubscriptionEnding and SubscriptionResumed are the customer's word that the paid
	// period is the last, and that it is not.
	SubscriptionEnding    Type = "subscription.ending"
	SubscriptionResumed   Type = "subscription.resumed"
	SubscriptionPlanned   Type = "subscription.planned"    // planId takes over with the next period
	PaymentMethodChanged  Type = "payment_method.changed"  // a new one, tried at nextAttemptAt if money is owed
	PaymentMethodRequired Type = "payment_method.required" // the gateway charges no more until it is changed
	ChargePaid            Type = "charge.paid"             // on demand; of a period, its subscription's event tells
	ChargeDeclined        Type = "charge.declined"
	ChargeRefunded        Type = "charge.refunded"  // amount was given back
	ChargeRestored        Type = "charge.restored"  // amount is ours again: a dispute that was lost is won after all
	DunningReminder       Type = "dunning.reminder" // an attempt will be made at nextAttemptAt

	EntitlementGranted Type = "entitlement.granted" // by the company's own word, until expiresAt
	EntitlementRevoked Type = "entitlement.revoked" // that word taken back
	EntitlementUpdated Type = "entitlement.updated" // what a source gives changed, and nothing else was told of it
	// EntitlementPaidTwice says that two providers take money for the same entitlement;
	// orderId is the one that came last, otherOrderId the other.
	EntitlementPaidTwice Type = "entitlement.paid_twice"

	WalletCredited      Type = "wallet.credited"       // by the company's own word
	WalletSpent         Type = "wallet.spent"          // under reference
	WalletSpendRefunded Type = "wallet.spend_refunded" // the spend otherReference, under reference
	WalletExpired       Type = "wallet.expired"        // what was left of lots whose time is over

	PurchaseTransferred Type = "purchase.transferred" // to another customer, or from one: see toOther
	PurchaseShared      Type = "purchase.shared"      // likewise, and both have it
	GiftSent            Type = "gift.sent"            // bought for another customer, who was granted it
	GiftReturned        Type = "gift.returned"        // its money was given back, and it was taken back

	CustomerAliased    Type = "customer.aliased"    // another id of the company's names this customer as well
	CustomerMerged     Type = "customer.merged"     // with another customer: see toOther
	CustomerErased     Type = "customer.erased"     // nothing is left that says who it was
	CustomerFlagged    Type = "customer.flagged"    // score and measures followed from what was refunded
	CustomerCleared    Type = "customer.cleared"    // no measure is in force any more
	CustomerOverridden Type = "customer.overridden" // a person decided, for reason
)

// Event is one thing that happened to a customer. It holds nothing personal.
type Event struct {
	Sequence int64     `json:"sequence"` // from 1, without gaps
	Type     Type      `json:"type"`
	At       time.Time `json:"at"`

	OrderID        string     `json:"orderId,omitzero"`
	Store          string     `json:"store,omitzero"`
	ProductID      string     `json:"productId,omitzero"` // the store's name of it
	Entitlement    string     `json:"entitlement,omitzero"`
	ExpiresAt      *time.Time `json:"expiresAt,omitzero"`
	WalletCurrency string     `json:"walletCurrency,omitzero"`
	Credited       int64      `json:"credited,omitzero"` // of the wallet currency; negative when taken back
	Balance        *int64     `json:"balance,omitzero"`  // of the wallet currency, afterwards
	SubscriptionID string     `json:"subscriptionId,omitzero"`
	PlanID         string     `json:"planId,omitzero"`
	Period         *int       `json:"period,omitzero"`  // from 0
	Attempt        int        `json:"attempt,omitzero"` // from 1
	Amount         int64      `json:"amount,omitzero"`  // smallest unit of Currency
	Currency       string     `json:"currency,omitzero"`
	DeclineCode    string     `json:"declineCode,omitzero"`
	NextAttemptAt  *time.Time `json:"nextAttemptAt,omitzero"`
	Test           bool       `json:"test,omitzero"` // no money moved

	Reference      string   `json:"reference,omitzero"`      // the company's name of what it did
	OtherReference string   `json:"otherReference,omitzero"` // what that undoes
	OtherOrderID   string   `json:"otherOrderId,omitzero"`
	Score          *int     `json:"score,omitzero"` // of abuse, 0 to 100
	Measures       []string `json:"measures,omitzero"`
	// Other is our own id of another customer, which never leaves: answers have the
	// company's id in its place, as otherCustomerId. ToOther says that it went to that one.
	Other   string `json:"other,omitzero"`
	ToOther bool   `json:"toOther,omitzero"`
	// Cause is what made it happen; nil in events from before that was kept.
	Cause *Cause `json:"cause,omitzero"`
}

// Kinds of a cause.
const (
	ByClaim    = "claim"    // somebody came with a proof
	ByNotice   = "notice"   // a store or gateway told us
	ByReview   = "review"   // we asked a store or gateway of ourselves
	BySchedule = "schedule" // it was time
	ByRequest  = "request"  // the customer, or the company's server, asked for it
	ByOperator = "operator" // a person of the company's
)

// Cause is why something happened, as far as it is known. It holds nothing personal.
type Cause struct {
	Kind     string `json:"kind"`
	Provider string `json:"provider,omitzero"` // whose notice, or who was asked
	ID       string `json:"id,omitzero"`       // of the notice, or of the request
	Actor    string `json:"actor,omitzero"`    // of a request: customer, app, or the key's name, "key_" and eight digits of its hash
	Reason   string `json:"reason,omitzero"`   // a person's words
}

type causeKey struct{}

// Because has whatever happens under the context be told with that cause, unless a cause
// within is nearer.
func Because(ctx context.Context, c Cause) context.Context {
	return context.WithValue(ctx, causeKey{}, c)
}

// CauseOf is the cause of what happens under a context, nil if nobody said.
func CauseOf(ctx context.Context) *Cause {
	if c, ok := ctx.Value(causeKey{}).(Cause); ok {
		return &c
	}
	return nil
}
