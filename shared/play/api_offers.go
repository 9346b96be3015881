package play

import (
	"context"

	"google.golang.org/api/androidpublisher/v3"
)

// everyOne stands for all products and all their options in the path of a list.
const everyOne = "-"

// OneTimeOffers gives the offers of all one-time products of an app, active or not; products
// do not hold theirs (monetization.onetimeproducts.purchaseOptions.offers.list).
func (a *API) OneTimeOffers(ctx context.Context, pkg string) ([]*androidpublisher.OneTimeProductOffer, error) {
	return apiPages(ctx, a, pkg, "onetimeproducts.offers.list", func(ctx context.Context, s *androidpublisher.Service, page string) (apiPage[androidpublisher.OneTimeProductOffer], error) {
		list := s.Monetization.Onetimeproducts.PurchaseOptions.Offers.List(pkg, everyOne, everyOne).PageSize(productPage)
		if page != "" {
			list = list.PageToken(page)
		}
		answer, err := list.Context(ctx).Do()
		if err != nil {
			return apiPage[androidpublisher.OneTimeProductOffer]{}, err
		}
		return apiPage[androidpublisher.OneTimeProductOffer]{answer.OneTimeProductOffers, answer.NextPageToken}, nil
	}, func(o *androidpublisher.OneTimeProductOffer) bool {
		return o.ProductId != "" && o.PurchaseOptionId != "" && o.OfferId != ""
	})
}

// SubscriptionOffers gives the offers of all subscriptions of an app, active or not; base plans
// do not hold theirs (monetization.subscriptions.basePlans.offers.list).
func (a *API) SubscriptionOffers(ctx context.Context, pkg string) ([]*androidpublisher.SubscriptionOffer, error) {
	return apiPages(ctx, a, pkg, "subscriptions.offers.list", func(ctx context.Context, s *androidpublisher.Service, page string) (apiPage[androidpublisher.SubscriptionOffer], error) {
		list := s.Monetization.Subscriptions.BasePlans.Offers.List(pkg, everyOne, everyOne).PageSize(productPage)
		if page != "" {
			list = list.PageToken(page)
		}
		answer, err := list.Context(ctx).Do()
		if err != nil {
			return apiPage[androidpublisher.SubscriptionOffer]{}, err
		}
		return apiPage[androidpublisher.SubscriptionOffer]{answer.SubscriptionOffers, answer.NextPageToken}, nil
	}, func(o *androidpublisher.SubscriptionOffer) bool {
		return o.ProductId != "" && o.BasePlanId != "" && o.OfferId != ""
	})
}
