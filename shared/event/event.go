// Package event is what we tell others about a customer: numbered from 1 without gaps,
// and written in the same transaction as what it tells. Whoever has read up to a number
// has missed nothing before it.
package event

import "time"

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
	DunningReminder       Type = "dunning.reminder" // an attempt will be made at nextAttemptAt
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
}
