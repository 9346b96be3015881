package web

import (
	"time"

	"grantline/shared/billing"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/purchase"
)

// instant is a time in an answer: UTC, RFC 3339, null when there is none.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}

type customerView struct {
	ID            string                `json:"id"`
	StoreIDs      storeIDsView          `json:"storeIds"`
	Entitlements  []entitlementView     `json:"entitlements"`
	Wallet        map[string]walletView `json:"wallet"`
	Purchases     []purchaseView        `json:"purchases,omitzero"`     // nil for an app without sign-in
	Subscriptions []heldView            `json:"subscriptions,omitzero"` // likewise
	Aliases       []string              `json:"aliases,omitzero"`       // nil without any, and for all but the company's server
}

type storeIDsView struct {
	AppAccountToken     string `json:"appAccountToken"`
	ObfuscatedAccountID string `json:"obfuscatedAccountId"`
}

type entitlementView struct {
	ID        string            `json:"id"`
	Active    bool              `json:"active"`
	ExpiresAt *time.Time        `json:"expiresAt"`
	WillRenew bool              `json:"willRenew"`
	State     entitlement.State `json:"state"`
	Sources   []sourceView      `json:"sources"`
}

type sourceView struct {
	Kind           string            `json:"kind"`
	Store          string            `json:"store,omitzero"`
	Gateway        string            `json:"gateway,omitzero"`
	ProductID      string            `json:"productId,omitzero"`
	PlanID         string            `json:"planId,omitzero"`
	SubscriptionID string            `json:"subscriptionId,omitzero"`
	Reference      string            `json:"reference,omitzero"` // of a grant, the company's
	OrderID        string            `json:"orderId,omitzero"`
	State          entitlement.State `json:"state"`
	Active         bool              `json:"active"`
	ExpiresAt      *time.Time        `json:"expiresAt"`
	WillRenew      bool              `json:"willRenew"`
	NextProductID  string            `json:"nextProductId,omitzero"` // with the next renewal
	Family         bool              `json:"family,omitzero"`        // somebody else's, shared
	Test           bool              `json:"test"`
}

type walletView struct {
	Balance int64     `json:"balance"`
	Debt    int64     `json:"debt,omitzero"`
	Lots    []lotView `json:"lots"`
}

type lotView struct {
	OrderID   string     `json:"orderId"`
	Kind      string     `json:"kind"`
	Remaining int64      `json:"remaining"`
	ExpiresAt *time.Time `json:"expiresAt"`
}

type purchaseView struct {
	Store         string            `json:"store"`
	ProductID     string            `json:"productId"`
	OrderID       string            `json:"orderId"`
	Entitlement   string            `json:"entitlement"`
	State         entitlement.State `json:"state"`
	ExpiresAt     *time.Time        `json:"expiresAt"`
	WillRenew     bool              `json:"willRenew"`
	NextProductID string            `json:"nextProductId,omitzero"`
	Family        bool              `json:"family,omitzero"`
	Test          bool              `json:"test"`
}

// heldView is a subscription in a customer's list.
type heldView struct {
	ID          string        `json:"id"`
	PlanID      string        `json:"planId"`
	Gateway     string        `json:"gateway"`
	Entitlement string        `json:"entitlement"`
	State       billing.State `json:"state"`
	PaidUntil   *time.Time    `json:"paidUntil"`
	NextDueAt   *time.Time    `json:"nextDueAt"`
}

func sourceOf(s entitlement.Source, now time.Time) sourceView {
	v := sourceView{
		Kind: s.Kind, OrderID: s.OrderID, State: s.State, Active: s.Gives(now), ExpiresAt: instant(s.Until),
		WillRenew: s.WillRenew, Test: s.Test,
	}
	switch s.Kind {
	case entitlement.KindSubscription:
		v.Gateway, v.PlanID, v.SubscriptionID = s.Provider, s.ProductID, s.Ref
	case entitlement.KindGrant:
		v.Reference = s.Ref
	default:
		v.Store, v.ProductID, v.NextProductID, v.Family = s.Provider, s.ProductID, s.Next, s.Family
	}
	return v
}

// shown is the id under which a customer is shown who was asked for as id: the company's first,
// but to an app without sign-in the one that it came with. Whoever has an id that was given up
// is not told whose it is now.
func (c Caller) shown(is *customer.Customer, id string) string {
	if c.Role == App && id != "" {
		return id
	}
	return is.Profile.ID
}

// customerOf shows a customer as an app may see it; held is nil for one without sign-in.
func customerOf(c *customer.Customer, ids customer.StoreIDs, now time.Time, all bool, held []heldView) customerView {
	v := customerView{
		ID: c.Profile.ID, StoreIDs: storeIDsView(ids),
		Entitlements: []entitlementView{}, Wallet: map[string]walletView{},
	}
	for _, e := range c.Entitlements(now) {
		ev := entitlementView{ID: e.ID, Active: e.Active, ExpiresAt: instant(e.ExpiresAt), WillRenew: e.WillRenew, State: e.State, Sources: []sourceView{}}
		for _, s := range e.Sources {
			ev.Sources = append(ev.Sources, sourceOf(s, now))
		}
		v.Entitlements = append(v.Entitlements, ev)
	}
	for currency, w := range c.Wallets() {
		v.Wallet[currency] = walletOf(w, now)
	}
	if !all {
		return v
	}
	v.Purchases, v.Subscriptions = []purchaseView{}, held
	if held == nil {
		v.Subscriptions = []heldView{}
	}
	for _, s := range c.Sources() {
		if s.Kind == "purchase" {
			v.Purchases = append(v.Purchases, purchaseView{
				s.Provider, s.ProductID, s.OrderID, s.Entitlement, s.State, instant(s.Until), s.WillRenew, s.Next, s.Family, s.Test,
			})
		}
	}
	return v
}

type orderView struct {
	ID             string       `json:"id"`
	Store          string       `json:"store,omitzero"`
	Gateway        string       `json:"gateway,omitzero"`
	ProductID      string       `json:"productId,omitzero"`
	PlanID         string       `json:"planId,omitzero"`
	SubscriptionID string       `json:"subscriptionId,omitzero"`
	Period         *int         `json:"period,omitzero"`
	Attempt        *int         `json:"attempt,omitzero"`
	State          string       `json:"state"`
	Quantity       int          `json:"quantity,omitzero"`
	Entitlement    string       `json:"entitlement,omitzero"`
	WalletCurrency string       `json:"walletCurrency,omitzero"`
	Credited       int64        `json:"credited,omitzero"`
	TakenBack      int64        `json:"takenBack,omitzero"` // of Credited, because of a refund
	Amount         int64        `json:"amount,omitzero"`
	Currency       string       `json:"currency,omitzero"`
	Refunded       int64        `json:"refunded"` // of Amount
	Replaced       bool         `json:"replaced,omitzero"`
	Family         bool         `json:"family,omitzero"`
	Refunds        []refundView `json:"refunds,omitzero"`
	OnDemand       bool         `json:"onDemand,omitzero"`
	PurchasedAt    *time.Time   `json:"purchasedAt,omitzero"`
	GrantedAt      *time.Time   `json:"grantedAt,omitzero"`
	ExpiresAt      *time.Time   `json:"expiresAt,omitzero"`
	DueAt          *time.Time   `json:"dueAt,omitzero"`
	SentAt         *time.Time   `json:"sentAt,omitzero"`
	SettledAt      *time.Time   `json:"settledAt,omitzero"`
	DeclineCode    string       `json:"declineCode,omitzero"`
	Card           string       `json:"card,omitzero"` // masked
	Approval       string       `json:"approvalNumber,omitzero"`
	ReceiptURL     string       `json:"receiptUrl,omitzero"`
	VAT            int64        `json:"vat,omitzero"`
	TaxFree        int64        `json:"taxFreeAmount,omitzero"`
	Test           bool         `json:"test"`
}

type refundView struct {
	Reference   string              `json:"reference"`
	Amount      int64               `json:"amount"`
	Reason      string              `json:"reason"`
	State       billing.RefundState `json:"state"`
	RequestedAt *time.Time          `json:"requestedAt"`
	SettledAt   *time.Time          `json:"settledAt"`
}

func purchaseOrderOf(o purchase.Order) orderView {
	return orderView{
		ID: o.ID, Store: o.Store, ProductID: o.SKU, State: string(o.State), Quantity: o.Quantity, Entitlement: o.Entitlement,
		WalletCurrency: o.Currency, Credited: o.Credited, TakenBack: o.TakenBack, Amount: o.Price, Currency: o.PriceIn,
		Refunded: refundedOf(o), Replaced: o.Replaced, Family: o.Family,
		PurchasedAt: instant(o.PurchasedAt), GrantedAt: instant(o.GrantedAt), ExpiresAt: instant(o.Until), Test: o.Test,
	}
}

// refundedOf is what the store gave back of the price, rounded half up. An order that was
// refunded before parts were known has none written down: it was given back whole.
func refundedOf(o purchase.Order) int64 {
	const whole = 100_000 // thousandths of a per cent
	if o.State == purchase.OrderRefunded {
		return o.Price
	}
	part := int64(o.Returned)
	return o.Price/whole*part + (o.Price%whole*part+whole/2)/whole // a price in Rial times whole is near the limit
}

func chargeOrderOf(c billing.Charge) orderView {
	v := orderView{
		ID: c.ID, Gateway: c.Gateway, PlanID: c.Plan, SubscriptionID: c.Subscription, OnDemand: c.OnDemand, State: string(c.State), Amount: c.Amount, Currency: c.Currency, Refunded: c.Refunded,
		DueAt: instant(c.DueAt), SentAt: instant(c.SentAt), SettledAt: instant(c.SettledAt),
	}
	if code := declineCode(c); code != nil {
		v.DeclineCode = *code
	}
	if !c.OnDemand {
		v.Period, v.Attempt = &c.Period, &c.Attempt
	}
	for _, r := range c.Refunds {
		if r.Stray == "" { // a payment that is not the order's own is a matter between the gateway and us
			v.Refunds = append(v.Refunds, refundView{r.Reference, r.Amount, r.Reason, r.State, instant(r.AskedAt), instant(r.DoneAt)})
		}
	}
	if p := c.Payment; p != nil {
		v.Card, v.Approval, v.ReceiptURL, v.VAT, v.TaxFree = p.Card, p.Approval, p.ReceiptURL, p.VAT, p.TaxFree
	}
	return v
}

// declineCode of a charge that was declined; an unclear answer's code is nobody's business.
func declineCode(c billing.Charge) *string {
	if c.State != billing.Declined {
		return nil
	}
	return &c.Code
}

type subscriptionView struct {
	ID         string        `json:"id"`
	CustomerID string        `json:"customerId"`
	PlanID     string        `json:"planId"`
	Gateway    string        `json:"gateway"`
	State      billing.State `json:"state"`
	Period     int           `json:"period"`
	Attempt    int           `json:"attempt"`
	Anchor     time.Time     `json:"anchor"`
	Zone       string        `json:"zone"`
	NextDueAt  *time.Time    `json:"nextDueAt"`
	PaidUntil  *time.Time    `json:"paidUntil"`
	// CancelAt is when a subscription that was cancelled for its period's end is over.
	CancelAt   *time.Time `json:"cancelAt,omitzero"`
	NextPlanID string     `json:"nextPlanId,omitzero"`
	// UnderWay is an attempt whose outcome is not known: it cannot be called back.
	UnderWay *underWayView `json:"underWay,omitzero"`
	// PaymentMethodRequired says that nothing is charged until the customer changes it.
	PaymentMethodRequired bool         `json:"paymentMethodRequired,omitzero"`
	Card                  string       `json:"card,omitzero"` // masked
	Refusal               string       `json:"refusal,omitzero"`
	Charges               []chargeView `json:"charges"`
}

// underWayView says what becomes of the money of an attempt that is under way: kept for the
// period it pays, or given back because the subscription was cancelled at once.
type underWayView struct {
	OrderID string `json:"orderId"`
	IfPaid  string `json:"ifPaid"` // kept or refunded
}

type chargeView struct {
	OrderID     string              `json:"orderId"`
	Period      *int                `json:"period"`  // null on demand
	Attempt     *int                `json:"attempt"` // null on demand
	State       billing.ChargeState `json:"state"`
	Amount      int64               `json:"amount"`
	Currency    string              `json:"currency"`
	DeclineCode *string             `json:"declineCode"`
	DueAt       *time.Time          `json:"dueAt"`
	SentAt      *time.Time          `json:"sentAt"`
	SettledAt   *time.Time          `json:"settledAt"`
	Refunded    int64               `json:"refunded"`
}

func subscriptionOf(s billing.Subscription, customerID string, charges []billing.Charge) subscriptionView {
	v := subscriptionView{
		ID: s.ID, CustomerID: customerID, PlanID: s.Plan, Gateway: s.Gateway, State: s.State, Period: s.Period, Attempt: s.Attempt,
		Anchor: s.Anchor.UTC(), Zone: s.Terms.Zone, NextDueAt: instant(s.NextDueAt), PaidUntil: instant(s.PaidUntil),
		Card: s.Card, Refusal: s.Refusal, Charges: []chargeView{}, PaymentMethodRequired: s.OnHold || s.Spent && s.State != billing.StateCancelled,
	}
	if s.Ending {
		v.CancelAt, v.NextDueAt = v.PaidUntil, nil
	}
	if s.Next != nil {
		v.NextPlanID = s.Next.Plan
	}
	for _, c := range charges {
		period, attempt := &c.Period, &c.Attempt
		if c.OnDemand {
			period, attempt = nil, nil
		} else if c.State == billing.Sending || c.State == billing.Unknown {
			v.UnderWay = &underWayView{OrderID: c.ID, IfPaid: "kept"}
			if s.State == billing.StateCancelled {
				v.UnderWay.IfPaid = "refunded"
			}
		}
		v.Charges = append(v.Charges, chargeView{
			c.ID, period, attempt, c.State, c.Amount, c.Currency, declineCode(c), instant(c.DueAt), instant(c.SentAt),
			instant(c.SettledAt), c.Refunded,
		})
	}
	return v
}
