package play

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/androidpublisher/v3"

	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/purchase"
)

// The states of a one-time purchase (ProductPurchaseV2, purchaseStateContext).
const (
	productPurchased = "PURCHASED"
	productCancelled = "CANCELLED"
	productPending   = "PENDING"
)

// The states of a subscription (SubscriptionPurchaseV2, subscriptionState).
const (
	statePending         = "SUBSCRIPTION_STATE_PENDING"
	stateActive          = "SUBSCRIPTION_STATE_ACTIVE"
	stateInGrace         = "SUBSCRIPTION_STATE_IN_GRACE_PERIOD"
	stateOnHold          = "SUBSCRIPTION_STATE_ON_HOLD"
	statePaused          = "SUBSCRIPTION_STATE_PAUSED"
	stateCanceled        = "SUBSCRIPTION_STATE_CANCELED"
	stateExpired         = "SUBSCRIPTION_STATE_EXPIRED"
	statePendingCanceled = "SUBSCRIPTION_STATE_PENDING_PURCHASE_CANCELED"
)

const (
	acknowledged = "ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED"
	unconsumed   = "CONSUMPTION_STATE_YET_TO_BE_CONSUMED"
	// The states of an order whose money was taken.
	orderProcessed      = "PROCESSED"
	orderPendingRefund  = "PENDING_REFUND"
	orderPartlyRefunded = "PARTIALLY_REFUNDED"
	orderRefunded       = "REFUNDED"
	// The states of a price change and of a consent to one.
	priceOutstanding = "OUTSTANDING"
	priceConfirmed   = "CONFIRMED"
	priceIncrease    = "PRICE_INCREASE"
	consentPending   = "PENDING"
	consentConfirmed = "CONFIRMED"
	consentCompleted = "COMPLETED"
)

// How long Google waits for an acknowledgement (Google Play Billing, "Process purchases"):
// license testers are given minutes, and a prepaid plan shorter than a week half of its time.
const (
	acknowledgeWithin     = 72 * time.Hour
	acknowledgeTestWithin = 3 * time.Minute
	shortPlan             = 7 * 24 * time.Hour
)

// silentGrace is for how long Google may go on to call a subscription active after its end,
// where it has no grace period: it tries to take the money for a day.
const silentGrace = 24 * time.Hour

// maxQuantity bounds what one purchase can have, so that a word of nonsense credits nothing.
const maxQuantity = 1_000_000

// unknown is a word of Google's that we do not know: it grants nothing and revokes nothing.
func unknown(what string) error {
	return fault.New(fault.Unavailable, codeAPIUnavailable, "Google Play said something that is not understood yet.").
		Because(errors.New("play: not known: " + what))
}

// productNews is the only place where Google's words about a one-time purchase meet ours.
func productNews(at place, token string, p *androidpublisher.ProductPurchaseV2, asOf time.Time) (purchase.News, error) {
	id := TokenID(token)
	state, err := productState(p)
	if err != nil {
		return purchase.News{}, err
	}
	bought, err := instantOf(p.PurchaseCompletionTime)
	if err != nil {
		return purchase.News{}, err
	}
	if len(p.ProductLineItem) == 0 {
		return purchase.News{}, unknown("a purchase of nothing")
	}
	news := purchase.News{Token: &purchase.Token{ID: id, Secret: token, Kind: at.String()}}
	for _, item := range p.ProductLineItem {
		if item == nil || item.ProductId == "" {
			return purchase.News{}, unknown("a line item of nothing")
		}
		sale := purchase.Sale{
			Store: Name, App: at.pkg, Line: id, Part: item.ProductId, Order: cmp.Or(p.OrderId, id), SKU: item.ProductId, State: state,
			PurchasedAt: bought, AsOf: asOf, Quantity: 1, Blind: true,
			Test: p.TestPurchaseContext != nil, Account: p.ObfuscatedExternalAccountId,
		}
		if d := item.ProductOfferDetails; d != nil {
			if d.Quantity < 0 || d.Quantity > maxQuantity || d.RefundableQuantity < 0 {
				return purchase.News{}, unknown("quantity")
			}
			sale.Quantity = max(1, int(d.Quantity))
			// Of a rental nothing is used up, and what says nothing is not asked for.
			sale.Rented = d.RentOfferDetails != nil
			sale.Unconsumed = d.ConsumptionState == unconsumed && !sale.Rented
			// None left, or nothing said: that is the same here, and the order tells which.
			if left := int(d.RefundableQuantity); left > 0 && left < sale.Quantity {
				sale.Back = sale.Quantity - left
			}
		}
		if news.Sales, err = together(news.Sales, sale); err != nil {
			return purchase.News{}, err
		}
	}
	slices.SortStableFunc(news.Sales, func(a, b purchase.Sale) int { return cmp.Compare(a.Part, b.Part) })
	if state != purchase.Paid {
		return news, nil
	}
	within := acknowledgeWithin
	if p.TestPurchaseContext != nil {
		within = acknowledgeTestWithin
	}
	news.Token.Unacknowledged = p.AcknowledgementState != acknowledged
	news.Token.By = deadline(bought, asOf, within)
	news.Again = again(bought, asOf)
	return news, nil
}

// together adds a line item to others. Two of one product, by different offers, are one sale.
func together(sales []purchase.Sale, more purchase.Sale) ([]purchase.Sale, error) {
	at := slices.IndexFunc(sales, func(s purchase.Sale) bool { return s.Part == more.Part })
	if at < 0 {
		return append(sales, more), nil
	}
	s := &sales[at]
	if s.Rented != more.Rented {
		return nil, unknown("a product that is bought and rented at once")
	}
	s.Quantity, s.Back, s.Unconsumed = s.Quantity+more.Quantity, s.Back+more.Back, s.Unconsumed || more.Unconsumed
	return sales, nil
}

// productState translates the state of a one-time purchase. Only Google's word for a
// purchase is one: an empty body is none. One that was cancelled after it was paid was
// refunded.
func productState(p *androidpublisher.ProductPurchaseV2) (purchase.SaleState, error) {
	word := ""
	if p.PurchaseStateContext != nil {
		word = p.PurchaseStateContext.PurchaseState
	}
	switch word {
	case productPurchased:
		return purchase.Paid, nil
	case productPending:
		return purchase.Pending, nil
	case productCancelled:
		if p.PurchaseCompletionTime == "" {
			return purchase.Failed, nil
		}
		return purchase.Refunded, nil
	}
	return "", unknown("purchaseState")
}

// deadline is when Google gives the money back. Where it does not say when it was paid, it
// was at the latest when we asked.
func deadline(paid, asOf time.Time, within time.Duration) time.Time {
	if by := paid.Add(within); !paid.IsZero() && by.After(asOf) {
		return by
	}
	return asOf.Add(within)
}

// again is when to ask whether money was given back without a word, zero for no more.
func again(paid, asOf time.Time) time.Time {
	if at := asOf.Add(askedEvery); paid.IsZero() || at.Before(paid.Add(askedFor)) {
		return at
	}
	return time.Time{}
}

// subscriptionNews is the only place where Google's words about a subscription meet ours.
// Each line item is a part: it has its own end, and its own order.
func subscriptionNews(at place, token string, p *androidpublisher.SubscriptionPurchaseV2, asOf time.Time) (purchase.News, error) {
	id := TokenID(token)
	start, err := instantOf(p.StartTime)
	if err != nil {
		return purchase.News{}, err
	}
	news := purchase.News{
		Token: &purchase.Token{ID: id, Secret: token, Kind: at.String(), Older: older(at, p)},
		Parts: map[string]purchase.Standing{},
	}
	sale := purchase.Sale{
		Store: Name, App: at.pkg, Line: id, AsOf: asOf, Quantity: 1, Blind: true, Test: p.TestPurchase != nil, Account: account(p),
	}
	if outside := p.OutOfAppPurchaseContext; outside != nil && outside.ExpiredExternalAccountIdentifiers != nil {
		news.Token.Account = outside.ExpiredExternalAccountIdentifiers.ObfuscatedExternalAccountId
	}
	switch p.SubscriptionState {
	case statePending, statePendingCanceled:
		sale.Order, sale.State = id, purchase.Pending
		if p.SubscriptionState == statePendingCanceled {
			sale.State = purchase.Failed
		}
		if len(p.LineItems) > 0 && p.LineItems[0] != nil {
			sale.Part, sale.SKU = p.LineItems[0].ProductId, sku(p.LineItems[0])
		}
		news.Sales = []purchase.Sale{sale}
		return news, nil
	case stateActive, stateInGrace, stateCanceled:
	case stateOnHold, statePaused, stateExpired:
		sale.Ended = true
	default:
		return purchase.News{}, unknown("subscriptionState")
	}
	sale.State = purchase.Paid
	if c := p.CanceledStateContext; p.SubscriptionState == stateExpired && c != nil && c.ReplacementCancellation != nil {
		sale.State = purchase.Replaced // by a token that we may not have seen yet
	}
	prepaid := time.Duration(0)
	for _, item := range p.LineItems {
		if item == nil || item.ProductId == "" {
			return purchase.News{}, unknown("a line item of nothing")
		}
		expiry, err := instantOf(item.ExpiryTime)
		if err != nil {
			return purchase.News{}, err
		}
		if item.DeferredItemReplacement != nil || item.DeferredItemRemoval != nil {
			news.Keeps = append(news.Keeps, item.ProductId)
		}
		// Of one product there may be two: the plan that is, and the one that waits.
		if _, other := news.Parts[item.ProductId]; !other || item.LatestSuccessfulOrderId != "" {
			news.Parts[item.ProductId] = standing(p, item, expiry, asOf)
		}
		if item.LatestSuccessfulOrderId == "" {
			continue // nobody has it yet
		}
		if expiry.IsZero() {
			return purchase.News{}, unknown("a line item without end") // forever, to everybody else
		}
		if item.PrepaidPlan != nil && !start.IsZero() && (prepaid == 0 || expiry.Sub(start) < prepaid) {
			prepaid = expiry.Sub(start)
		}
		sold := sale
		sold.Part, sold.SKU, sold.Order, sold.Until = item.ProductId, sku(item), item.LatestSuccessfulOrderId, expiry
		sold.Unpaid = p.SubscriptionState == stateInGrace
		sold.WillRenew = news.Parts[item.ProductId].WillRenew
		if !strings.Contains(sold.Order, "..") {
			sold.PurchasedAt = start // the first of its line
		}
		news.Sales = append(news.Sales, sold)
	}
	slices.SortStableFunc(news.Sales, func(a, b purchase.Sale) int {
		return cmp.Or(b.Until.Compare(a.Until), cmp.Compare(a.Part, b.Part))
	})
	if len(news.Sales) == 0 {
		return news, nil
	}
	news.Again = asOf.Add(askedEvery)
	if p.SubscriptionState == stateExpired && !news.Again.Before(news.Sales[0].Until.Add(askedAfterEnd)) {
		news.Again = time.Time{}
	}
	if sale.Ended || sale.State != purchase.Paid {
		return news, nil
	}
	within := acknowledgeWithin
	switch {
	case p.TestPurchase != nil:
		within = acknowledgeTestWithin
	case prepaid > 0 && prepaid < shortPlan:
		within = prepaid / 2
	}
	news.Token.Unacknowledged = p.AcknowledgementState != acknowledged
	news.Token.By = deadline(start, asOf, within)
	return news, nil
}

// sku is the store's name of an item in our catalog: the product, and the base plan.
func sku(item *androidpublisher.SubscriptionPurchaseLineItem) string {
	if item.OfferDetails == nil || item.OfferDetails.BasePlanId == "" {
		return item.ProductId
	}
	return item.ProductId + ":" + item.OfferDetails.BasePlanId
}

// account is the name that the app gave for the customer, of the purchase before where this
// one was not made in the app.
func account(p *androidpublisher.SubscriptionPurchaseV2) string {
	for _, ids := range []*androidpublisher.ExternalAccountIdentifiers{p.ExternalAccountIdentifiers, outside(p)} {
		if ids != nil && ids.ObfuscatedExternalAccountId != "" {
			return ids.ObfuscatedExternalAccountId
		}
	}
	return ""
}

func outside(p *androidpublisher.SubscriptionPurchaseV2) *androidpublisher.ExternalAccountIdentifiers {
	if p.OutOfAppPurchaseContext == nil {
		return nil
	}
	return p.OutOfAppPurchaseContext.ExpiredExternalAccountIdentifiers
}

// older is the token whose place this one took: it was upgraded from, topped up or
// resubscribed to. What was resubscribed to out of the app is said until the purchase is
// acknowledged, and never again.
func older(at place, p *androidpublisher.SubscriptionPurchaseV2) *purchase.Token {
	token := p.LinkedPurchaseToken
	if token == "" && p.OutOfAppPurchaseContext != nil {
		token = p.OutOfAppPurchaseContext.ExpiredPurchaseToken
	}
	if !isToken(token) {
		return nil
	}
	return &purchase.Token{ID: TokenID(token), Secret: token, Kind: at.String()}
}

// successor is our catalog's name of what is to replace an item: the product, and the base plan
// where the purchase has the item that waits.
func successor(p *androidpublisher.SubscriptionPurchaseV2, product string) string {
	for _, item := range p.LineItems {
		if item != nil && item.ProductId == product && item.LatestSuccessfulOrderId == "" {
			return sku(item)
		}
	}
	return product
}

// standing is how an item goes on.
func standing(p *androidpublisher.SubscriptionPurchaseV2, item *androidpublisher.SubscriptionPurchaseLineItem, expiry, asOf time.Time) purchase.Standing {
	s := purchase.Standing{AsOf: asOf}
	if plan := item.AutoRenewingPlan; plan != nil {
		s.WillRenew = plan.AutoRenewEnabled && item.DeferredItemRemoval == nil
		s.PriceIncrease = consent(plan)
	}
	if item.DeferredItemReplacement != nil {
		s.Next = successor(p, item.DeferredItemReplacement.ProductId)
	}
	switch p.SubscriptionState {
	case stateInGrace:
		s.Retrying, s.GraceUntil = true, expiry
	case stateOnHold:
		s.Retrying = true
	case statePaused:
		s.WillRenew = true
		if p.PausedStateContext != nil {
			// Nothing hangs on it but when to look again.
			s.ResumesAt, _ = instantOf(p.PausedStateContext.AutoResumeTime)
		}
	case stateActive:
		if late := asOf.Sub(expiry); s.WillRenew && !expiry.IsZero() && late >= 0 && late < silentGrace {
			s.Retrying, s.GraceUntil = true, expiry.Add(silentGrace)
		}
	case stateCanceled, stateExpired:
		s.WillRenew, s.Next = false, ""
	}
	if c := p.CanceledStateContext; c != nil && !s.WillRenew {
		switch {
		case c.UserInitiatedCancellation != nil:
			s.Reason = purchase.ByCustomer
		case c.SystemInitiatedCancellation != nil:
			s.Reason = purchase.ByBilling
		default:
			s.Reason = purchase.ByTheUnsaid
		}
	}
	return s
}

// consent is what the customer said to a higher price, "" where none is asked for.
func consent(plan *androidpublisher.AutoRenewingPlan) string {
	if c := plan.PriceStepUpConsentDetails; c != nil {
		switch c.State {
		case consentPending:
			return "pending"
		case consentConfirmed, consentCompleted:
			return "accepted"
		}
	}
	if c := plan.PriceChangeDetails; c != nil && c.PriceChangeMode == priceIncrease {
		switch c.PriceChangeState {
		case priceOutstanding:
			return "pending"
		case priceConfirmed:
			return "accepted"
		}
	}
	return ""
}

// apply adds to news what orders say: what was paid and when, and what was given back. Of
// what was sold before, only what was given back is news.
func apply(news *purchase.News, orders map[string]*androidpublisher.Order, sold []purchase.Sold, asOf time.Time) {
	for i := range news.Sales {
		sale := &news.Sales[i]
		if o := orders[sale.Order]; o != nil {
			told(sale, o)
		}
	}
	at, _ := placeOf(news.Token.Kind)
	for _, s := range sold {
		o := orders[s.Order]
		if o == nil || o.State != orderRefunded {
			continue
		}
		for _, sale := range orderSales(at, news.Token.ID, o, asOf) {
			known := func(other purchase.Sale) bool { return other.Order == sale.Order && other.Part == sale.Part }
			if (s.Part == "" || s.Part == sale.Part) && !slices.ContainsFunc(news.Sales, known) {
				news.Sales = append(news.Sales, sale)
			}
		}
	}
}

// told adds what an order says of a sale.
func told(sale *purchase.Sale, o *androidpublisher.Order) {
	if created, err := instantOf(o.CreateTime); err == nil && sale.PurchasedAt.IsZero() {
		sale.PurchasedAt = created
	}
	for _, item := range o.LineItems {
		if item == nil || item.ProductId != sale.Part {
			continue
		}
		if paid, ok := amount(item.Total); ok {
			sale.Price, sale.Currency = paid.Units, paid.Currency
		}
	}
	// What was revoked for the rest of its time is refunded in part, and over.
	back := o.State == orderRefunded || o.State == orderPartlyRefunded && sale.Ended
	if back && (sale.State == purchase.Paid || sale.State == purchase.Replaced) {
		sale.State, sale.Back = purchase.Refunded, 0
	}
}

// wasPaid says whether an order's money was taken, given back or not. A state that we do not
// know says nothing.
func wasPaid(o *androidpublisher.Order) bool {
	return slices.Contains([]string{orderProcessed, orderPendingRefund, orderPartlyRefunded, orderRefunded}, o.State)
}

// orderSales are a paid order's line items, for what no purchase shows any more.
func orderSales(at place, line string, o *androidpublisher.Order, asOf time.Time) []purchase.Sale {
	var sales []purchase.Sale
	for _, item := range o.LineItems {
		if item == nil || item.ProductId == "" {
			continue
		}
		sale := purchase.Sale{
			Store: Name, App: at.pkg, Line: line, Part: item.ProductId, Order: o.OrderId, SKU: item.ProductId, State: purchase.Paid,
			AsOf: asOf, Quantity: 1, Blind: true,
		}
		if d := item.SubscriptionDetails; d != nil {
			if d.BasePlanId != "" {
				sale.SKU += ":" + d.BasePlanId
			}
			sale.Until, _ = instantOf(d.ServicePeriodEndTime) // what was given back gives nothing anyway
		}
		if d := item.OneTimePurchaseDetails; d != nil && d.Quantity > 0 && d.Quantity <= maxQuantity {
			sale.Quantity = int(d.Quantity)
		}
		told(&sale, o)
		sales = append(sales, sale)
	}
	return sales
}

// amount is Google's money in the smallest unit, where it is a whole number of them.
func amount(m *androidpublisher.Money) (money.Amount, bool) {
	const most = 1e15
	if m == nil || m.Units < 0 || m.Units > most || m.Nanos < 0 || m.Nanos >= 1e9 || m.Nanos%1e6 != 0 {
		return money.Amount{}, false
	}
	return money.FromMilli(m.Units*1000+m.Nanos/1e6, m.CurrencyCode)
}

// instantOf reads a time of Google's, RFC 3339 with up to nine digits of a second; zero
// where there is none.
func instantOf(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	// Play did not sell before 2008, and what comes after the year 9999 cannot be written.
	if t = t.UTC(); err != nil || t.Year() < 2008 || t.Year() >= 9999 {
		return time.Time{}, unknown("a time")
	}
	return t, nil
}
