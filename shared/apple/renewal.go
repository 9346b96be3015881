package apple

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// RenewalInfo is what the App Store means to do at the end of a subscription's period
// (JWSRenewalInfoDecodedPayload). It names no app: whose it is follows from the
// transaction with the same OriginalTransactionID. What Apple left out is zero. It holds
// the customer's account token and belongs in no log.
type RenewalInfo struct {
	OriginalTransactionID string // always there
	ProductID             string // of the period that runs
	AutoRenewProductID    string // of the period to come
	AppTransactionID      string
	AppAccountToken       string
	Environment           Environment

	AutoRenewStatus int // 1 renews, 0 does not; always there
	// InBillingRetry says that Apple tries to take the money that it could not take.
	InBillingRetry bool
	// ExpirationIntent is why it ended: 1 cancelled, 2 billing error, 3 no consent to a
	// higher price, 4 product not for sale, 5 other; 0 where it did not.
	ExpirationIntent int
	// PriceIncrease is 0 while the customer has not answered and 1 once consented or
	// informed; it stands only if PriceIncreaseSaid.
	PriceIncrease     int
	PriceIncreaseSaid bool

	SignedDate                  time.Time // always there
	RenewalDate                 time.Time
	GracePeriodExpiresDate      time.Time // access lasts until then although nothing was paid
	RecentSubscriptionStartDate time.Time // lapses of less than 60 days are no new start

	// RenewalPrice is in thousandths of the currency's main unit, and stands only if
	// RenewalPriced.
	RenewalPrice  int64
	RenewalPriced bool
	Currency      string // ISO 4217

	OfferType               int // 1 introductory, 2 promotional, 3 offer code, 4 win-back
	OfferIdentifier         string
	OfferDiscountType       string
	OfferPeriod             string // ISO 8601
	EligibleWinBackOfferIDs []string
	BillingPlanType         string // renewalBillingPlanType

	Commitment       *RenewalCommitment       // of a subscription with a commitment of 12 months
	AdvancedCommerce *AdvancedCommerceRenewal // of a subscription by the Advanced Commerce API

	// Other holds the members without a field above, as Apple signed them.
	Other map[string]json.RawMessage
}

// RenewalCommitment is what follows the commitment that runs (commitmentInfo).
type RenewalCommitment struct {
	AutoRenewProductID string
	AutoRenewStatus    int
	BillingPlanType    string
	RenewalDate        time.Time
	RenewalPrice       int64 // as RenewalInfo.RenewalPrice
	RenewalPriced      bool
	Other              map[string]json.RawMessage
}

// AdvancedCommerceRenewal is what an Advanced Commerce subscription renews to
// (advancedCommerceInfo). Prices are in thousandths of the currency's main unit.
type AdvancedCommerceRenewal struct {
	ConsistencyToken   string
	RequestReferenceID string
	Descriptors        *AdvancedCommerceDescriptors
	Period             string // ISO 8601
	TaxCode            string
	Items              []AdvancedCommerceItem
	Other              map[string]json.RawMessage
}

// AdvancedCommerceDescriptors are what the customer reads.
type AdvancedCommerceDescriptors struct {
	DisplayName string
	Description string
	Other       map[string]json.RawMessage
}

// AdvancedCommerceItem is one thing within such a subscription.
type AdvancedCommerceItem struct {
	SKU         string
	DisplayName string
	Description string
	Price       int64
	Priced      bool
	Offer       *AdvancedCommerceOffer
	Increase    *AdvancedCommerceIncrease
	Other       map[string]json.RawMessage
}

// AdvancedCommerceOffer is a discount on an item.
type AdvancedCommerceOffer struct {
	Period      string // ISO 8601
	PeriodCount int
	Price       int64
	Priced      bool
	Reason      string
	Other       map[string]json.RawMessage
}

// AdvancedCommerceIncrease is a higher price that is on its way (priceIncreaseInfo).
type AdvancedCommerceIncrease struct {
	DependentSKUs []string
	Price         int64
	Priced        bool
	Status        string // SCHEDULED, PENDING, ACCEPTED, or what Apple has added since
	Other         map[string]json.RawMessage
}

// RenewalInfo reads a signed renewal info. Nothing in it says which app it is about, so
// the answer is worth no more than its tie to a transaction: the caller compares
// OriginalTransactionID, as Notification does. Errors as for Transaction.
func (v *Verifier) RenewalInfo(ctx context.Context, signed string) (RenewalInfo, error) {
	claims, err := v.open(ctx, signed, "signedDate")
	if err != nil {
		return RenewalInfo{}, err
	}
	var r RenewalInfo
	said := false
	for _, c := range claims {
		if err := r.read(c); err != nil {
			return RenewalInfo{}, err
		}
		said = said || c.name == "autoRenewStatus"
	}
	if !slices.Contains(v.config.Environments, r.Environment) {
		return RenewalInfo{}, refused(ErrEnvironment)
	}
	if r.OriginalTransactionID == "" || !said {
		// Another kind of signed object, such as a transaction, which would read as one
		// that does not renew; or one that says nothing.
		return RenewalInfo{}, unreadable(ErrClaims)
	}
	return r, nil
}

func (r *RenewalInfo) read(c member) (err error) {
	switch c.name {
	case "originalTransactionId":
		r.OriginalTransactionID, err = identifier(c.value)
	case "productId":
		r.ProductID, err = text(c.value)
	case "autoRenewProductId":
		r.AutoRenewProductID, err = text(c.value)
	case "appTransactionId":
		r.AppTransactionID, err = text(c.value)
	case "appAccountToken":
		r.AppAccountToken, err = text(c.value)
	case "environment":
		r.Environment, err = word[Environment](c.value)
	case "autoRenewStatus":
		r.AutoRenewStatus, err = whole(c.value)
	case "isInBillingRetryPeriod":
		r.InBillingRetry, err = truth(c.value)
	case "expirationIntent":
		r.ExpirationIntent, err = whole(c.value)
	case "priceIncreaseStatus":
		r.PriceIncrease, err = whole(c.value)
		r.PriceIncreaseSaid = err == nil
	case "signedDate":
		r.SignedDate, err = date(c.value)
	case "renewalDate":
		r.RenewalDate, err = date(c.value)
	case "gracePeriodExpiresDate":
		r.GracePeriodExpiresDate, err = date(c.value)
	case "recentSubscriptionStartDate":
		r.RecentSubscriptionStartDate, err = date(c.value)
	case "renewalPrice":
		r.RenewalPrice, r.RenewalPriced, err = integer(c.value)
	case "currency":
		r.Currency, err = text(c.value)
	case "offerType":
		r.OfferType, err = whole(c.value)
	case "offerIdentifier":
		r.OfferIdentifier, err = text(c.value)
	case "offerDiscountType":
		r.OfferDiscountType, err = text(c.value)
	case "offerPeriod":
		r.OfferPeriod, err = text(c.value)
	case "eligibleWinBackOfferIds":
		r.EligibleWinBackOfferIDs, err = texts(c.value)
	case "renewalBillingPlanType":
		r.BillingPlanType, err = text(c.value)
	case "commitmentInfo":
		r.Commitment, err = nested(c.value, (*RenewalCommitment).read)
	case "advancedCommerceInfo":
		if err = commerceOfRenewal.check(c.value); err != nil {
			return err
		}
		r.AdvancedCommerce, err = nested(c.value, (*AdvancedCommerceRenewal).read)
	default:
		keep(&r.Other, c)
	}
	return err
}

// nested reads an object within an object, member by member.
func nested[T any](value []byte, read func(*T, member) error) (*T, error) {
	members, err := inner(value)
	if err != nil {
		return nil, err
	}
	into := new(T)
	for _, m := range members {
		if err := read(into, m); err != nil {
			return nil, err
		}
	}
	return into, nil
}

func (r *RenewalCommitment) read(c member) (err error) {
	switch c.name {
	case "commitmentAutoRenewProductId":
		r.AutoRenewProductID, err = text(c.value)
	case "commitmentAutoRenewStatus":
		r.AutoRenewStatus, err = whole(c.value)
	case "commitmentRenewalBillingPlanType":
		r.BillingPlanType, err = text(c.value)
	case "commitmentRenewalDate":
		r.RenewalDate, err = date(c.value)
	case "commitmentRenewalPrice":
		r.RenewalPrice, r.RenewalPriced, err = integer(c.value)
	default:
		keep(&r.Other, c)
	}
	return err
}

func (a *AdvancedCommerceRenewal) read(c member) (err error) {
	switch c.name {
	case "consistencyToken":
		a.ConsistencyToken, err = text(c.value)
	case "requestReferenceId":
		a.RequestReferenceID, err = text(c.value)
	case "descriptors":
		a.Descriptors, err = nested(c.value, (*AdvancedCommerceDescriptors).read)
	case "period":
		a.Period, err = text(c.value)
	case "taxCode":
		a.TaxCode, err = text(c.value)
	case "items":
		values, err := array(c.value)
		if err != nil {
			return err
		}
		for _, value := range values {
			item, err := nested(value, (*AdvancedCommerceItem).read)
			if err != nil {
				return err
			}
			a.Items = append(a.Items, *item)
		}
	default:
		keep(&a.Other, c)
	}
	return err
}

func (d *AdvancedCommerceDescriptors) read(c member) (err error) {
	switch c.name {
	case "displayName":
		d.DisplayName, err = text(c.value)
	case "description":
		d.Description, err = text(c.value)
	default:
		keep(&d.Other, c)
	}
	return err
}

func (i *AdvancedCommerceItem) read(c member) (err error) {
	switch c.name {
	case "SKU":
		i.SKU, err = text(c.value)
	case "displayName":
		i.DisplayName, err = text(c.value)
	case "description":
		i.Description, err = text(c.value)
	case "price":
		i.Price, i.Priced, err = integer(c.value)
	case "offer":
		i.Offer, err = nested(c.value, (*AdvancedCommerceOffer).read)
	case "priceIncreaseInfo":
		i.Increase, err = nested(c.value, (*AdvancedCommerceIncrease).read)
	default:
		keep(&i.Other, c)
	}
	return err
}

func (o *AdvancedCommerceOffer) read(c member) (err error) {
	switch c.name {
	case "period":
		o.Period, err = text(c.value)
	case "periodCount":
		o.PeriodCount, err = whole(c.value)
	case "price":
		o.Price, o.Priced, err = integer(c.value)
	case "reason":
		o.Reason, err = text(c.value)
	default:
		keep(&o.Other, c)
	}
	return err
}

func (i *AdvancedCommerceIncrease) read(c member) (err error) {
	switch c.name {
	case "dependentSKUs":
		i.DependentSKUs, err = texts(c.value)
	case "price":
		i.Price, i.Priced, err = integer(c.value)
	case "status":
		i.Status, err = text(c.value)
	default:
		keep(&i.Other, c)
	}
	return err
}
