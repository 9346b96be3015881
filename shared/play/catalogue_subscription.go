package play

import (
	"slices"

	"google.golang.org/api/androidpublisher/v3"

	"grantline/shared/money"
)

// subscription is what may be seen of a subscription.
func (v view) subscription(app appShelf, p *androidpublisher.Subscription) Product {
	shown := Product{
		Store: Name, Package: app.pkg, ProductID: p.ProductId, Kind: SoldPeriodical, Titles: map[string]string{}, Descriptions: map[string]string{},
	}
	for _, l := range p.Listings {
		if l != nil {
			shown.listed(l.LanguageCode, l.Title, l.Description)
		}
	}
	for _, plan := range p.BasePlans {
		if option, ok := v.basePlan(app, p.ProductId, plan); ok {
			shown.Options = append(shown.Options, option)
		}
	}
	return shown
}

// basePlan is what may be seen of a base plan.
func (v view) basePlan(app appShelf, product string, plan *androidpublisher.BasePlan) (Option, bool) {
	option := v.named(Option{BasePlanID: plan.BasePlanId, SKU: product + ":" + plan.BasePlanId, Tags: tagsOf(plan.OfferTags), Prices: []Price{}})
	switch {
	case plan.AutoRenewingBasePlanType != nil:
		option.Type, option.Period = OptionAutoRenewing, plan.AutoRenewingBasePlanType.BillingPeriodDuration
	case plan.PrepaidBasePlanType != nil:
		option.Type, option.Period = OptionPrepaid, plan.PrepaidBasePlanType.BillingPeriodDuration
	case plan.InstallmentsBasePlanType != nil:
		option.Type, option.Period = OptionInstallments, plan.InstallmentsBasePlanType.BillingPeriodDuration
		option.Payments = plan.InstallmentsBasePlanType.CommittedPaymentsCount
	default:
		return Option{}, false // sold in a way that is not known yet
	}
	list := map[string]*money.Amount{} // where it is sold, nil for a price that cannot be told
	for _, at := range plan.RegionalConfigs {
		if at == nil || !v.sees(at.RegionCode) || !at.NewSubscriberAvailability {
			continue
		}
		price, told := amount(at.Price)
		if list[at.RegionCode] = nil; told {
			list[at.RegionCode] = &price
			option.Prices = append(option.Prices, priceOf(at.RegionCode, price))
		}
	}
	slices.SortStableFunc(option.Prices, byRegion)
	if app.subscriptionOffers != nil {
		option.Offers = []Offer{}
	}
	for _, offer := range app.subscriptionOffers[optionName{product, plan.BasePlanId}] {
		if seen, ok := v.subscriptionOffer(offer, option, list); ok {
			option.Offers = append(option.Offers, seen)
		}
	}
	return option, len(list) > 0
}

// subscriptionOffer is what may be seen of an offer to a base plan, at list prices.
func (v view) subscriptionOffer(o *androidpublisher.SubscriptionOffer, option Option, list map[string]*money.Amount) (Offer, bool) {
	shown := Offer{OfferID: o.OfferId, Type: OfferSubscription, Tags: merged(option.Tags, tagsOf(o.OfferTags)), Phases: []Phase{}}
	if o.Targeting != nil {
		switch {
		case o.Targeting.AcquisitionRule != nil:
			shown.For = "acquisition"
		case o.Targeting.UpgradeRule != nil:
			shown.For = "upgrade"
		}
	}
	sold := map[string]bool{}
	for _, at := range o.RegionalConfigs {
		if at == nil || !at.NewSubscriberAvailability {
			continue
		}
		if _, here := list[at.RegionCode]; here {
			sold[at.RegionCode] = true
		}
	}
	for _, p := range o.Phases {
		if p == nil {
			continue
		}
		phase := Phase{Period: p.Duration, Times: max(1, p.RecurrenceCount), Prices: []Price{}}
		for _, at := range p.RegionalConfigs {
			if at == nil || !sold[at.RegionCode] {
				continue
			}
			if price, ok := phasePrice(at, list[at.RegionCode], p.Duration == option.Period); ok {
				phase.Prices = append(phase.Prices, price)
			}
		}
		slices.SortStableFunc(phase.Prices, byRegion)
		shown.Phases = append(shown.Phases, phase)
	}
	return shown, len(sold) > 0
}

// phasePrice is the price of a phase, false where it cannot be told. A discount is from the
// base plan's price for as long as the phase, which is known where that is one period.
func phasePrice(at *androidpublisher.RegionalSubscriptionOfferPhaseConfig, plan *money.Amount, onePeriod bool) (Price, bool) {
	off, discounted := amount(at.AbsoluteDiscount)
	price, absolute := amount(at.Price)
	switch {
	case at.Free != nil && plan != nil:
		return priceOf(at.RegionCode, money.Of(0, plan.Currency)), true
	case absolute:
		return priceOf(at.RegionCode, price), true
	case at.RelativeDiscount > 0 && at.RelativeDiscount < 1:
		return Price{Region: at.RegionCode, Fraction: at.RelativeDiscount}, true
	case discounted && onePeriod && plan != nil && off.Currency == plan.Currency && off.Units <= plan.Units:
		return priceOf(at.RegionCode, money.Of(plan.Units-off.Units, plan.Currency)), true
	case discounted && !onePeriod:
		return Price{Region: at.RegionCode, Discount: &off.Units, Currency: off.Currency}, true
	}
	return Price{}, false
}
