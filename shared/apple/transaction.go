package apple

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// ProductType is what kind of thing was bought. An unknown value is kept as it came.
type ProductType string

// The product types (App Store Server API, type).
const (
	AutoRenewable ProductType = "Auto-Renewable Subscription"
	NonConsumable ProductType = "Non-Consumable"
	Consumable    ProductType = "Consumable"
	NonRenewing   ProductType = "Non-Renewing Subscription"
)

// Ownership is how the customer came to it. An unknown value is kept as it came.
type Ownership string

// The ownership types (App Store Server API, inAppOwnershipType).
const (
	Purchased    Ownership = "PURCHASED"
	FamilyShared Ownership = "FAMILY_SHARED"
)

// Transaction is a JWSTransactionDecodedPayload that Apple signed for one of our apps.
// What Apple left out is zero. It holds the customer's account token and belongs in no
// log.
type Transaction struct {
	TransactionID               string
	OriginalTransactionID       string // what renewals have in common
	WebOrderLineItemID          string
	AppTransactionID            string
	BundleID                    string
	AppID                       int64 // rarely there
	ProductID                   string
	SubscriptionGroupIdentifier string
	Type                        ProductType
	Ownership                   Ownership
	AppAccountToken             string
	Environment                 Environment

	PurchaseDate         time.Time
	OriginalPurchaseDate time.Time
	ExpiresDate          time.Time // of auto-renewable subscriptions only
	SignedDate           time.Time // always there
	RevocationDate       time.Time // when it was refunded or taken from a family member

	RevocationReason     int // 1 an issue with the app, 0 another or none
	RevocationType       string
	RevocationPercentage int // of the whole quantity, in thousandths of a per cent
	IsUpgraded           bool
	Quantity             int // 0 where Apple does not say

	OfferType         int
	OfferIdentifier   string
	OfferDiscountType string
	OfferPeriod       string // ISO 8601
	BillingPlanType   string
	Storefront        string // ISO 3166-1 alpha-3
	StorefrontID      string
	TransactionReason string

	// Price is in thousandths of the currency's main unit, and stands only if Priced.
	Price    int64
	Priced   bool
	Currency string // ISO 4217

	// Other holds the members without a field above, as Apple signed them: nested
	// objects, and what Apple has added since.
	Other map[string]json.RawMessage
}

// Revoked says that the money was given back or the family share taken away. A refund
// that Apple reverses vanishes from the next transaction it signs.
func (t Transaction) Revoked() bool { return !t.RevocationDate.IsZero() || t.RevocationType != "" }

// readTransaction reads the members of a verified payload. Everything may be missing; what
// is there must be of its type, and null is of none (App Store Server Library).
func readTransaction(claims []member) (Transaction, error) {
	var t Transaction
	for _, c := range claims {
		if err := t.read(c); err != nil {
			return Transaction{}, err
		}
	}
	return t, nil
}

func (t *Transaction) read(c member) (err error) {
	switch c.name {
	case "transactionId":
		t.TransactionID, err = identifier(c.value)
	case "originalTransactionId":
		t.OriginalTransactionID, err = identifier(c.value)
	case "webOrderLineItemId":
		t.WebOrderLineItemID, err = text(c.value)
	case "appTransactionId":
		t.AppTransactionID, err = text(c.value)
	case "bundleId":
		t.BundleID, err = text(c.value)
	case "appAppleId":
		t.AppID, _, err = integer(c.value)
	case "productId":
		t.ProductID, err = text(c.value)
	case "subscriptionGroupIdentifier":
		t.SubscriptionGroupIdentifier, err = text(c.value)
	case "type":
		t.Type, err = word[ProductType](c.value)
	case "inAppOwnershipType":
		t.Ownership, err = word[Ownership](c.value)
	case "appAccountToken":
		t.AppAccountToken, err = text(c.value)
	case "environment":
		t.Environment, err = word[Environment](c.value)
	case "purchaseDate":
		t.PurchaseDate, err = date(c.value)
	case "originalPurchaseDate":
		t.OriginalPurchaseDate, err = date(c.value)
	case "expiresDate":
		t.ExpiresDate, err = date(c.value)
	case "signedDate":
		t.SignedDate, err = date(c.value)
	case "revocationDate":
		t.RevocationDate, err = date(c.value)
	case "revocationReason":
		t.RevocationReason, err = whole(c.value)
	case "revocationType":
		t.RevocationType, err = text(c.value)
	case "revocationPercentage":
		t.RevocationPercentage, err = whole(c.value)
	case "isUpgraded":
		t.IsUpgraded, err = truth(c.value)
	case "quantity":
		t.Quantity, err = whole(c.value)
	case "offerType":
		t.OfferType, err = whole(c.value)
	case "offerIdentifier":
		t.OfferIdentifier, err = text(c.value)
	case "offerDiscountType":
		t.OfferDiscountType, err = text(c.value)
	case "offerPeriod":
		t.OfferPeriod, err = text(c.value)
	case "billingPlanType":
		t.BillingPlanType, err = text(c.value)
	case "storefront":
		t.Storefront, err = text(c.value)
	case "storefrontId":
		t.StorefrontID, err = text(c.value)
	case "transactionReason":
		t.TransactionReason, err = text(c.value)
	case "price":
		t.Price, t.Priced, err = integer(c.value)
	case "currency":
		t.Currency, err = text(c.value)
	case "advancedCommerceInfo":
		err = commerceOfTransaction.check(c.value)
		keep(&t.Other, c)
	case "commitmentInfo":
		err = commitmentOfTransaction.check(c.value)
		keep(&t.Other, c)
	default:
		keep(&t.Other, c)
	}
	return err
}

// A transaction's id becomes part of a key. Apple's have some fifteen digits.
const (
	maxIdentifier = 64
	idLetters     = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
)

// identifier reads an id of idLetters.
func identifier(value []byte) (string, error) {
	id, err := text(value)
	if err != nil {
		return "", err
	}
	if !isIdentifier(id) {
		return "", unreadable(ErrClaims)
	}
	return id, nil
}

func isIdentifier(id string) bool {
	odd := func(r rune) bool { return !strings.ContainsRune(idLetters, r) }
	return id != "" && len(id) <= maxIdentifier && !strings.ContainsFunc(id, odd)
}

func word[T ~string](value []byte) (T, error) {
	s, err := text(value)
	return T(s), err
}

// integer reads a whole number; it is false for one that is not whole or too large to be
// exact.
func integer(value []byte) (int64, bool, error) {
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		return n, true, nil
	}
	n, err := number(value)
	if err != nil {
		return 0, false, err
	}
	if n != math.Trunc(n) || math.Abs(n) > 1<<53 {
		return 0, false, nil
	}
	return int64(n), true, nil
}
