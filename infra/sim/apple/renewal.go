package apple

// renewalInfo is the payload of a signed renewal info (JWSRenewalInfoDecodedPayload).
type renewalInfo struct {
	OriginalTransactionID string `json:"originalTransactionId"`
	ProductID             string `json:"productId"`
	AutoRenewProductID    string `json:"autoRenewProductId"`
	AutoRenewStatus       int    `json:"autoRenewStatus"`
	InBillingRetry        *bool  `json:"isInBillingRetryPeriod,omitempty"`
	GracePeriodExpires    int64  `json:"gracePeriodExpiresDate,omitempty"`
	ExpirationIntent      int    `json:"expirationIntent,omitempty"`
	PriceIncreaseStatus   *int   `json:"priceIncreaseStatus,omitempty"`
	OfferType             int    `json:"offerType,omitempty"`
	OfferIdentifier       string `json:"offerIdentifier,omitempty"`
	OfferDiscountType     string `json:"offerDiscountType,omitempty"`
	OfferPeriod           string `json:"offerPeriod,omitempty"`
	RenewalDate           int64  `json:"renewalDate,omitempty"`
	RenewalPrice          int64  `json:"renewalPrice,omitempty"`
	Currency              string `json:"currency,omitempty"`
	RecentStartDate       int64  `json:"recentSubscriptionStartDate"`
	AppAccountToken       string `json:"appAccountToken,omitempty"`
	AppTransactionID      string `json:"appTransactionId"`
	SignedDate            int64  `json:"signedDate"`
	Environment           string `json:"environment"`
	Added                 string `json:"addedWithoutAVersion"`
}

// renewalInfo says how a subscription goes on, as of now.
func (s *Simulator) renewalInfo(l *line) renewalInfo {
	t, pays := l.last(), l.lead()
	info := renewalInfo{
		OriginalTransactionID: l.original, ProductID: t.ProductID, AutoRenewProductID: pays.next.id,
		ExpirationIntent: l.intent, RecentStartDate: pays.since.UnixMilli(), AppAccountToken: t.AppAccountToken,
		AppTransactionID: t.AppTransactionID, SignedDate: s.stage.Now().UnixMilli(), Environment: t.Environment, Added: "simulated",
	}
	if l.status != active {
		info.InBillingRetry = ptr(l.status == inRetry || l.status == inGrace)
	}
	if l.status == inGrace {
		info.GracePeriodExpires = l.graceEnds.UnixMilli()
	}
	if pays.autoRenew {
		info.AutoRenewStatus = 1
		info.RenewalDate, info.RenewalPrice, info.Currency = t.ExpiresDate, pays.next.price, t.Currency
	}
	if rise := pays.increase; rise != nil {
		info.PriceIncreaseStatus = ptr(rise.told)
		if rise.told == 1 && pays.autoRenew {
			info.RenewalPrice = rise.price
		}
	}
	if o := pays.offer; o != nil {
		info.OfferType, info.OfferIdentifier, info.OfferDiscountType, info.OfferPeriod = o.kind, o.identifier, o.discount, o.period
	}
	return info
}
