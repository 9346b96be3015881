package revenuecat

import (
	"grantline/shared/catalog"
	"grantline/shared/event"
)

// The types of messages that we send.
const (
	typeInitialPurchase     = "INITIAL_PURCHASE"
	typeNonRenewingPurchase = "NON_RENEWING_PURCHASE"
	typeRenewal             = "RENEWAL"
	typeProductChange       = "PRODUCT_CHANGE"
	typeCancellation        = "CANCELLATION"
	typeUncancellation      = "UNCANCELLATION"
	typeBillingIssue        = "BILLING_ISSUE"
	typeExtended            = "SUBSCRIPTION_EXTENDED"
	typeExpiration          = "EXPIRATION"
	typeRefundReversed      = "REFUND_REVERSED"
	typeTransfer            = "TRANSFER"
	typeAlias               = "SUBSCRIBER_ALIAS"
	typeVirtualCurrency     = "VIRTUAL_CURRENCY_TRANSACTION"
)

// Why something was cancelled, or is over (RevenueCat, "Cancellation and Expiration
// Reasons").
const (
	byCustomer  = "UNSUBSCRIBE"
	byBilling   = "BILLING_ERROR"
	byDeveloper = "DEVELOPER_INITIATED"
	bySupport   = "CUSTOMER_SUPPORT" // its money was given back
	byUnknown   = "UNKNOWN"
)

// words has each of our types and what the format calls it; nil where it has no word, which
// is a decision as well. A word gives nil where it does not fit this one event.
var words = map[event.Type]func(Telling) *message{
	// What renews began; anything else was bought once.
	event.PurchaseGranted: Telling.bought,
	// Shared is like bought, for whom it is new; nobody paid, and the one who shares has lost nothing.
	event.PurchaseShared: Telling.shared,
	// Money for another period.
	event.PurchaseRenewed: Telling.renewed,
	// The same after BILLING_ISSUE, which has no other end.
	event.PurchaseRecovered: Telling.renewed,
	// Money back and access over, which the reason and the price tell from a mere cancellation.
	event.PurchaseRefunded: Telling.refunded,
	// Nobody's money came back, but access is over.
	event.PurchaseRevoked: func(t Telling) *message { return t.expired(byUnknown) },
	// The one word for a refund that was undone.
	event.PurchaseRestored: func(t Telling) *message { return t.life(typeRefundReversed, taken) },
	// What takes over is both the product and the new one, for consumers read either; Also has the money.
	event.PurchaseChanged: func(t Telling) *message { return t.changes(t.product()) },
	// What runs is the product, what takes over the new one.
	event.PurchasePlanned: Telling.planned,
	// The end moved, without money.
	event.PurchaseExtended: func(t Telling) *message { return t.life(typeExtended, none) },
	// The money could not be taken, and access has an end that says so.
	event.PurchaseGrace: Telling.troubled,
	// The same without such an end; Also has the expiration that comes with it.
	event.PurchaseOnHold: Telling.troubled,
	// It will not renew, and access stays until the end.
	event.PurchaseEnding: func(t Telling) *message { return t.cancelled(byCustomer) },
	// It will renew after all.
	event.PurchaseResumed: func(t Telling) *message { return t.life(typeUncancellation, none) },
	// Access is over. The event does not say why it was not renewed.
	event.PurchaseExpired: func(t Telling) *message { return t.expired(byUnknown) },
	// Told of whom it went to only, as the format has it: the message is the same for both.
	event.PurchaseTransferred: Telling.transferred,
	// Nothing was bought yet.
	event.SubscriptionCreated: nil,
	// The first money of an agreement that renews.
	event.SubscriptionActivated: Telling.activated,
	// Money for another period.
	event.SubscriptionRenewed: Telling.renewed,
	// The same after BILLING_ISSUE.
	event.SubscriptionRecovered: Telling.renewed,
	// No attempt is left, and access is over.
	event.SubscriptionUnpaid: Telling.unpaid,
	// Access is over; why follows from who asked for it.
	event.SubscriptionCancelled: Telling.stopped,
	// It will not renew, and access stays for what is paid.
	event.SubscriptionEnding: func(t Telling) *message { return t.cancelled(t.asked()) },
	// It will renew after all.
	event.SubscriptionResumed: func(t Telling) *message { return t.life(typeUncancellation, none) },
	// Another plan takes over with the next period.
	event.SubscriptionPlanned: Telling.planned,
	// Cards are no matter of the format.
	event.PaymentMethodChanged: nil,
	// Nothing will be charged until the customer acts, which is what BILLING_ISSUE asks for.
	event.PaymentMethodRequired: Telling.troubled,
	// Bought once, outside of any period.
	event.ChargePaid: func(t Telling) *message { return t.life(typeNonRenewingPurchase, taken) },
	// Of a period; one on demand leaves the agreement as it was.
	event.ChargeDeclined: Telling.troubled,
	// The same.
	event.ChargeRefunded: Telling.refunded,
	// What the format says of a store's refund that was undone.
	event.ChargeRestored: func(t Telling) *message { return t.life(typeRefundReversed, taken) },
	// A reminder is for the customer, and BILLING_ISSUE was told.
	event.DunningReminder: nil,
	// The company's word is what the format calls promotional, and that is never renewed.
	event.EntitlementGranted: func(t Telling) *message { return t.life(typeNonRenewingPurchase, taken) },
	// Access is over by the company's word.
	event.EntitlementRevoked: func(t Telling) *message { return t.expired(byDeveloper) },
	// Nothing was bought, and nothing is over that was not told of.
	event.EntitlementUpdated: nil,
	// A finding for people; each of the two was told of.
	event.EntitlementPaidTwice: nil,
	// The one word for whatever changes a balance.
	event.WalletCredited: func(t Telling) *message { return t.moves(giving, byCompany) },
	// The same, below zero.
	event.WalletSpent: func(t Telling) *message { return t.moves(taking, byCompany) },
	// The same, above zero.
	event.WalletSpendRefunded: func(t Telling) *message { return t.moves(giving, byCompany) },
	// The same, below zero: a mirror of the balance would be wrong without.
	event.WalletExpired: func(t Telling) *message { return t.moves(taking, byCompany) },
	// A gift is told of whom it was granted to, by that customer's own event.
	event.GiftSent:     nil,
	event.GiftReturned: nil,
	// Another id of the same customer: what a consumer keeps under that one goes to the first id.
	event.CustomerAliased: Telling.aliased,
	// Two had bought, and all of it is the one's now, told of that one only.
	event.CustomerMerged: Telling.merged,
	// There is no id to say it of.
	event.CustomerErased: nil,
	// Abuse is no matter of the format.
	event.CustomerFlagged:    nil,
	event.CustomerCleared:    nil,
	event.CustomerOverridden: nil,
}

// besides is what the format tells by further messages of the same event (RevenueCat,
// "Common Webhook Flows").
func (t Telling) besides() []*message {
	var more []*message
	add := func(suffix string, m *message) {
		if m != nil {
			m.suffix = suffix
			more = append(more, m)
		}
	}
	switch t.Event.Type { //nolint:exhaustive // most are told by one
	case event.PurchaseChanged:
		// An immediate change is a renewal as well, and that has the money.
		add("_renewal", t.renewed())
	case event.PurchaseGrace:
		add("_cancellation", t.cancelled(byBilling))
	case event.PurchaseOnHold:
		add("_cancellation", t.cancelled(byBilling))
		add("_expiration", t.expired(byBilling))
	case event.PurchaseGranted, event.PurchaseRenewed, event.PurchaseRecovered, event.PurchaseRefunded, event.PurchaseRestored:
		// A purchase of virtual currency is money, and the currency.
		add("_wallet", t.moves(asTold, byPurchase))
	}
	return more
}

func (t Telling) bought() *message {
	if t.renews() {
		return t.life(typeInitialPurchase, taken)
	}
	return t.life(typeNonRenewingPurchase, taken)
}

// shared has an original transaction of its own, as each member of a family has at Apple:
// consumers keep what was bought by it, and would take it from the one who shares.
func (t Telling) shared() *message {
	if t.Event.ToOther {
		return nil
	}
	m := t.bought()
	m.IsFamilyShare = true
	m.OriginalTransactionID += "_" + t.mark("shared")
	t.priced(m.lifecycle, none)
	return m
}

func (t Telling) renewed() *message {
	m := t.life(typeRenewal, taken)
	m.Trial = &trial{known: t.own()} // our own have no trials; of a store's nobody tells us
	return m
}

// activated is nil for an agreement on demand, which opens nothing and costs nothing yet.
func (t Telling) activated() *message {
	if t.Event.Currency == "" && t.Charge == nil && len(t.entitlements()) == 0 {
		return nil
	}
	return t.life(typeInitialPurchase, taken)
}

func (t Telling) cancelled(reason string) *message {
	m := t.life(typeCancellation, none)
	m.CancelReason = &reason
	return m
}

func (t Telling) expired(reason string) *message {
	m := t.life(typeExpiration, none)
	m.ExpirationReason, m.EntitlementIDs = &reason, orNull(t.ended())
	if m.ExpirationAtMS == nil || *m.ExpirationAtMS > t.Event.At.UnixMilli() {
		m.ExpirationAtMS = at(t.Event.At)
	}
	return m
}

// refunded is nil for money that was given back while the same agreement goes on, be it a
// part or that of an earlier period: consumers take the message for the end ("refunds for
// earlier subscription periods do not trigger this event"). The end is now, for consumers
// that go by it.
func (t Telling) refunded() *message {
	m, reason, left := t.life(typeCancellation, returned), bySupport, t.ended()
	m.CancelReason, m.EntitlementIDs = &reason, orNull(left)
	switch c, end := t.Charge, t.until(); {
	case c != nil && !c.OnDemand && (c.Refunded < c.Amount || len(left) < len(t.entitlements())),
		t.Order != nil && t.renews() && !end.IsZero() && end.Before(t.Event.At):
		return nil
	case end.After(t.Event.At):
		m.ExpirationAtMS = at(t.Event.At)
	}
	return m
}

// orNull has no empty array where the format has null.
func orNull(ids []string) []string {
	if len(ids) == 0 {
		return nil
	}
	return ids
}

// troubled is nil where nothing was bought yet: an agreement whose first charge was
// declined, and a charge on demand.
func (t Telling) troubled() *message {
	e := t.Event
	if t.own() && (e.Period == nil || *e.Period == 0) {
		return nil
	}
	m := t.life(typeBillingIssue, none)
	m.GraceUntilMS = &millis{}
	switch {
	case e.Type == event.PurchaseGrace:
		m.GraceUntilMS.at = e.ExpiresAt
		if t.Order != nil {
			m.ExpirationAtMS = at(t.Order.Until) // what was paid for ends before
		}
	case t.own() && t.Grace:
		m.GraceUntilMS.at = e.NextAttemptAt // a further decline moves it on
	}
	return m
}

// unpaid is nil where nothing was ever paid.
func (t Telling) unpaid() *message {
	if p := t.Event.Period; p != nil && *p == 0 {
		return nil
	}
	return t.expired(byBilling)
}

// stopped is nil for an agreement that never came to be: what is over there had not begun, and
// a consumer would end what another provider still gives.
func (t Telling) stopped() *message {
	e := t.Event
	switch {
	case e.DeclineCode != "" && (e.Period == nil || *e.Period == 0):
		return nil
	case e.DeclineCode != "":
		return t.expired(byBilling)
	}
	return t.expired(t.asked())
}

// asked is whose word a cancellation is. By schedule is at the end of what the customer had
// cancelled.
func (t Telling) asked() string {
	switch c := t.Event.Cause; {
	case c == nil && t.Event.Type == event.SubscriptionCancelled:
		return byUnknown
	case c == nil, c.Kind == event.BySchedule, c.Kind == event.ByNotice, c.Kind == event.ByReview,
		c.Kind == event.ByRequest && (c.Actor == "customer" || c.Actor == "app"):
		return byCustomer
	}
	return byDeveloper
}

func (t Telling) planned() *message {
	m := t.changes(t.product())
	switch {
	case t.Order != nil && t.Order.SKU != "":
		m.lifecycle.ProductID = &t.Order.SKU
	case t.Charge != nil && t.Charge.Plan != "":
		m.lifecycle.ProductID = &t.Charge.Plan
	}
	return m
}

func (t Telling) changes(to string) *message {
	m := t.life(typeProductChange, none)
	m.NewProductID = &to
	return m
}

// transferred is a wallet's where what went over opens nothing, for a TRANSFER that names no
// entitlement moves all of them.
func (t Telling) transferred() *message {
	opens := t.entitlements()
	switch {
	case len(opens) == 0:
		return t.moves(asTold, byPurchase)
	case t.Event.ToOther || t.Other == "":
		return nil
	}
	m := t.transfers()
	m.MovedProduct, m.Moved = t.product(), opens
	return m
}

func (t Telling) merged() *message {
	if t.Event.ToOther || t.Other == "" {
		return nil
	}
	return t.transfers()
}

func (t Telling) transfers() *message {
	return &message{
		common: common{Type: typeTransfer},
		transfer: &transfer{
			TransferredFrom: []string{t.Other}, TransferredTo: []string{t.CustomerID}, From: known(t.store()),
		},
	}
}

// aliased has as the original id the one whose holdings go to the other.
func (t Telling) aliased() *message {
	if t.Other == "" {
		return nil
	}
	return &message{common: common{Type: typeAlias, OriginalAppUserID: t.Other}}
}

// Which way a balance moved.
type direction int

const (
	asTold direction = iota
	giving
	taking
)

// Where a movement of virtual currency comes from.
const (
	byPurchase = "in_app_purchase"
	byCompany  = "admin_api"
)

// moves is nil where no balance moved.
func (t Telling) moves(way direction, source string) *message {
	e := t.Event
	if e.WalletCurrency == "" || e.Credited == 0 {
		return nil
	}
	amount := e.Credited
	if way == giving && amount < 0 || way == taking && amount > 0 {
		amount = -amount
	}
	v := &virtual{
		Adjustments: []adjustment{{amount, currency{Code: e.WalletCurrency, Name: e.WalletCurrency}}},
		ProductID:   known(e.ProductID), Source: source, Store: known(t.store()), PaidBy: known(t.transaction()),
	}
	return &message{common: common{Type: typeVirtualCurrency}, virtual: v}
}

// renews says whether what was bought goes on by itself.
func (t Telling) renews() bool {
	switch t.Kind {
	case catalog.Subscription:
		return true
	case catalog.Consumable, catalog.NonConsumable, catalog.NonRenewing:
		return false
	}
	if t.Order != nil {
		return t.Order.Currency == "" && !t.Order.Until.IsZero()
	}
	return t.Event.WalletCurrency == "" && t.Event.ExpiresAt != nil
}
