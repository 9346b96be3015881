package play

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"google.golang.org/api/androidpublisher/v3"

	"grantline/shared/catalog"
	"grantline/shared/money"
)

// ProductKind is what Google Play sells.
type ProductKind string

// The kinds.
const (
	SoldOnce       ProductKind = "one_time"
	SoldPeriodical ProductKind = "subscription"
)

// Product is something that may be bought now, in one way at least.
type Product struct {
	Store        string            `json:"store"`
	Package      string            `json:"packageName"` // of the app that sells it
	ProductID    string            `json:"productId"`
	Kind         ProductKind       `json:"kind"`
	Titles       map[string]string `json:"titles"` // by language (BCP 47)
	Descriptions map[string]string `json:"descriptions"`
	Options      []Option          `json:"options"` // one or more
}

// OptionType is what is paid for how.
type OptionType string

// The types.
const (
	OptionBuy          OptionType = "buy"
	OptionRent         OptionType = "rent"
	OptionAutoRenewing OptionType = "auto_renewing"
	OptionPrepaid      OptionType = "prepaid"
	OptionInstallments OptionType = "installments"
)

// Option is a way to buy a product: a purchase option of a one-time product, or a base plan of a
// subscription.
type Option struct {
	PurchaseOptionID string     `json:"purchaseOptionId,omitzero"`
	BasePlanID       string     `json:"basePlanId,omitzero"`
	SKU              string     `json:"sku"`         // as in our catalog, and in orders
	ID               string     `json:"id,omitzero"` // our catalog's, where it has it
	Type             OptionType `json:"type"`
	// Period is what is paid for at once, or how long a rental lasts, and UseWithin how long
	// from its first use (ISO 8601).
	Period    string `json:"period,omitzero"`
	UseWithin string `json:"useWithin,omitzero"`
	// Payments is how many of them an installment plan begins with.
	Payments int64    `json:"payments,omitzero"`
	Multiple bool     `json:"multiple,omitzero"` // several may be bought at once
	Tags     []string `json:"tags"`              // those of the product too
	Prices   []Price  `json:"prices"`            // none where only offers are sold
	Offers   []Offer  `json:"offers,omitzero"`   // nil where they are not known
}

// OfferType is what an offer is.
type OfferType string

// The types.
const (
	OfferDiscount     OfferType = "discount"
	OfferPreOrder     OfferType = "pre_order"
	OfferGameReward   OfferType = "game_reward"
	OfferSubscription OfferType = "subscription"
)

// Offer is another price of an option. Whether a customer may have it Google decides, and for
// an offer to a subscription without For the app.
type Offer struct {
	OfferID string    `json:"offerId"`
	Type    OfferType `json:"type"`
	// For is "acquisition" or "upgrade" of an offer to a subscription: who never had it, or who
	// changes to it.
	For        string     `json:"for,omitzero"`
	EndsAt     *time.Time `json:"endsAt,omitzero"`
	ReleasedAt *time.Time `json:"releasedAt,omitzero"` // of a pre-order
	Tags       []string   `json:"tags"`                // those of the option too
	Prices     []Price    `json:"prices,omitzero"`     // of a one-time product's
	Phases     []Phase    `json:"phases,omitzero"`     // of a subscription's, in their order; the base plan's price follows
}

// Phase is a part of an offer: so many times a period for a price.
type Phase struct {
	Period string  `json:"period"` // ISO 8601
	Times  int64   `json:"times"`  // one or more
	Prices []Price `json:"prices"`
}

// Price is one in a region, and one of an amount, a discount from it that Google rounds, or a
// fraction of it that Google takes away.
type Price struct {
	Region   string  `json:"region"`            // ISO 3166-1, two letters
	Amount   *int64  `json:"amount,omitzero"`   // smallest units of Currency
	Discount *int64  `json:"discount,omitzero"` // likewise, from the base plan's price for as long as the phase
	Fraction float64 `json:"fraction,omitzero"` // above 0 and below 1
	Currency string  `json:"currency,omitzero"` // ISO 4217
}

func priceOf(region string, a money.Amount) Price {
	return Price{Region: region, Amount: &a.Units, Currency: a.Currency}
}

func byRegion(a, b Price) int { return cmp.Compare(a.Region, b.Region) }

// view says what is to be seen of what the Console says.
type view struct {
	catalog *catalog.Catalog
	now     time.Time
	region  string // "" for all
}

func (v view) sees(region string) bool { return region != "" && (v.region == "" || v.region == region) }

// put adds a product that can be bought at all.
func (v view) put(all []Product, p Product) []Product {
	if len(p.Options) == 0 {
		return all
	}
	return append(all, p)
}

// named adds the catalog's name.
func (v view) named(o Option) Option {
	if known, ok := v.catalog.BySKU(Name, o.SKU); ok {
		o.ID = known.ID
	}
	return o
}

// The words for where a purchase option or an offer may be bought.
const (
	regionAvailable  = "AVAILABLE"
	regionOnRelease  = "AVAILABLE_IF_RELEASED"
	regionOffersOnly = "AVAILABLE_FOR_OFFERS_ONLY"
)

// once is what may be seen of a one-time product.
func (v view) once(app appShelf, p *androidpublisher.OneTimeProduct) Product {
	shown := Product{
		Store: Name, Package: app.pkg, ProductID: p.ProductId, Kind: SoldOnce, Titles: map[string]string{}, Descriptions: map[string]string{},
	}
	for _, l := range p.Listings {
		if l != nil {
			shown.listed(l.LanguageCode, l.Title, l.Description)
		}
	}
	for _, o := range p.PurchaseOptions {
		option := v.named(Option{PurchaseOptionID: o.PurchaseOptionId, SKU: p.ProductId, Tags: tagsOf(p.OfferTags, o.OfferTags), Prices: []Price{}})
		switch {
		case o.BuyOption != nil:
			option.Type, option.Multiple = OptionBuy, o.BuyOption.MultiQuantityEnabled
		case o.RentOption != nil:
			option.Type, option.Period, option.UseWithin = OptionRent, o.RentOption.RentalPeriod, o.RentOption.ExpirationPeriod
		default:
			continue // sold in a way that is not known yet
		}
		offers := app.onceOffers[optionName{p.ProductId, o.PurchaseOptionId}]
		list := map[string]*money.Amount{} // where it has a price, nil for one that cannot be told
		sold := false
		for _, at := range o.RegionalPricingAndAvailabilityConfigs {
			if at == nil || !v.sees(at.RegionCode) {
				continue
			}
			here := false
			switch at.Availability {
			case regionAvailable:
				here = true
			case regionOnRelease:
				here = v.released(offers, at.RegionCode)
			case regionOffersOnly:
			default:
				continue
			}
			sold = sold || here
			price, told := amount(at.Price)
			if list[at.RegionCode] = nil; !told {
				continue
			}
			list[at.RegionCode] = &price
			if here {
				option.Prices = append(option.Prices, priceOf(at.RegionCode, price))
			}
		}
		slices.SortStableFunc(option.Prices, byRegion)
		if app.onceOffers != nil {
			option.Offers = []Offer{}
		}
		for _, offer := range offers {
			if seen, ok := v.onceOffer(offer, option, list); ok {
				option.Offers = append(option.Offers, seen)
			}
		}
		if sold || len(option.Offers) > 0 {
			shown.Options = append(shown.Options, option)
		}
	}
	return shown
}

// released says whether what could only be ordered before is out.
func (v view) released(offers []*androidpublisher.OneTimeProductOffer, region string) bool {
	return slices.ContainsFunc(offers, func(o *androidpublisher.OneTimeProductOffer) bool {
		if o.PreOrderOffer == nil || !slices.ContainsFunc(o.RegionalPricingAndAvailabilityConfigs,
			func(at *androidpublisher.OneTimeProductOfferRegionalPricingAndAvailabilityConfig) bool {
				return at != nil && at.RegionCode == region && at.Availability == regionAvailable
			}) {
			return false
		}
		at, err := instantOf(o.PreOrderOffer.ReleaseTime)
		return err == nil && !at.IsZero() && !v.now.Before(at)
	})
}

// onceOffer is what may be seen of an offer to a one-time product, at list prices.
func (v view) onceOffer(o *androidpublisher.OneTimeProductOffer, option Option, list map[string]*money.Amount) (Offer, bool) {
	shown := Offer{OfferID: o.OfferId, Tags: merged(option.Tags, tagsOf(o.OfferTags)), Prices: []Price{}}
	var starts, ends, released string
	switch {
	case o.DiscountedOffer != nil:
		shown.Type, starts, ends = OfferDiscount, o.DiscountedOffer.StartTime, o.DiscountedOffer.EndTime
	case o.PreOrderOffer != nil:
		shown.Type, starts, ends, released = OfferPreOrder, o.PreOrderOffer.StartTime, o.PreOrderOffer.EndTime, o.PreOrderOffer.ReleaseTime
	case o.GameRewardOffer != nil:
		shown.Type = OfferGameReward
	default:
		return Offer{}, false
	}
	if !v.open(&shown, starts, ends, released) {
		return Offer{}, false
	}
	sold := false
	for _, at := range o.RegionalPricingAndAvailabilityConfigs {
		if at == nil || at.Availability != regionAvailable {
			continue
		}
		price, here := list[at.RegionCode]
		if !here {
			continue
		}
		sold = true
		switch off, told := amount(at.AbsoluteDiscount); {
		case at.RelativeDiscount > 0 && at.RelativeDiscount < 1:
			shown.Prices = append(shown.Prices, Price{Region: at.RegionCode, Fraction: at.RelativeDiscount})
		case price == nil:
		case at.NoOverride != nil:
			shown.Prices = append(shown.Prices, priceOf(at.RegionCode, *price))
		case told && off.Currency == price.Currency && off.Units <= price.Units:
			shown.Prices = append(shown.Prices, priceOf(at.RegionCode, money.Of(price.Units-off.Units, price.Currency)))
		}
	}
	slices.SortStableFunc(shown.Prices, byRegion)
	return shown, sold
}

// open says whether an offer may be had now, and notes for how long. A time that cannot be
// read opens nothing.
func (v view) open(shown *Offer, starts, ends, released string) bool {
	from, err := instantOf(starts)
	if err != nil || v.now.Before(from) {
		return false
	}
	until, err := instantOf(ends)
	if err != nil || !until.IsZero() && !v.now.Before(until) {
		return false
	}
	out, err := instantOf(released)
	if err != nil {
		return false
	}
	if !until.IsZero() {
		shown.EndsAt = &until
	}
	if !out.IsZero() {
		shown.ReleasedAt = &out
	}
	return true
}

// listed adds a listing in a language.
func (p *Product) listed(language, title, description string) {
	if language == "" {
		return
	}
	if title != "" {
		p.Titles[language] = title
	}
	if description != "" {
		p.Descriptions[language] = description
	}
}

// tagsOf gives tags once each.
func tagsOf(lists ...[]*androidpublisher.OfferTag) []string {
	all := map[string]bool{}
	for _, list := range lists {
		for _, tag := range list {
			if tag != nil && tag.Tag != "" {
				all[tag.Tag] = true
			}
		}
	}
	return append([]string{}, slices.Sorted(maps.Keys(all))...)
}

func merged(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}
