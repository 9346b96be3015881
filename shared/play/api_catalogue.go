package play

import (
	"context"
	"net/http"

	"google.golang.org/api/androidpublisher/v3"
)

const (
	// productPage is how many products are asked for at once; each has its prices in some
	// 170 regions.
	productPage = 50
	// maxPages bounds the pages of a catalogue.
	maxPages = 100
)

// OneTimeProducts gives the one-time products of an app with their purchase options, active
// or not (monetization.onetimeproducts.list).
func (a *API) OneTimeProducts(ctx context.Context, pkg string) ([]*androidpublisher.OneTimeProduct, error) {
	return apiPages(ctx, a, pkg, "onetimeproducts.list", func(ctx context.Context, s *androidpublisher.Service, page string) (apiPage[androidpublisher.OneTimeProduct], error) {
		list := s.Monetization.Onetimeproducts.List(pkg).PageSize(productPage)
		if page != "" {
			list = list.PageToken(page)
		}
		answer, err := list.Context(ctx).Do()
		if err != nil {
			return apiPage[androidpublisher.OneTimeProduct]{}, err
		}
		return apiPage[androidpublisher.OneTimeProduct]{answer.OneTimeProducts, answer.NextPageToken}, nil
	}, func(p *androidpublisher.OneTimeProduct) bool { return p.ProductId != "" })
}

// Subscriptions gives the subscriptions of an app with their base plans, active or not
// (monetization.subscriptions.list).
func (a *API) Subscriptions(ctx context.Context, pkg string) ([]*androidpublisher.Subscription, error) {
	return apiPages(ctx, a, pkg, "subscriptions.list", func(ctx context.Context, s *androidpublisher.Service, page string) (apiPage[androidpublisher.Subscription], error) {
		list := s.Monetization.Subscriptions.List(pkg).PageSize(productPage)
		if page != "" {
			list = list.PageToken(page)
		}
		answer, err := list.Context(ctx).Do()
		if err != nil {
			return apiPage[androidpublisher.Subscription]{}, err
		}
		return apiPage[androidpublisher.Subscription]{answer.Subscriptions, answer.NextPageToken}, nil
	}, func(p *androidpublisher.Subscription) bool { return p.ProductId != "" })
}

// apiPage is one of a list.
type apiPage[T any] struct {
	items []*T
	next  string
}

// apiPages reads a list to its end, which has to be there.
func apiPages[T any](ctx context.Context, a *API, pkg, method string,
	ask func(ctx context.Context, s *androidpublisher.Service, page string) (apiPage[T], error), fits func(*T) bool,
) ([]*T, error) {
	if err := fitPackage(pkg); err != nil {
		return nil, err
	}
	var all []*T
	page := ""
	for range maxPages {
		answer, _, err := apiFetch(ctx, a, apiCall{method: method, quota: a.quotas.catalogue, most: maxList},
			func(ctx context.Context, s *androidpublisher.Service) (*apiPage[T], error) {
				read, err := ask(ctx, s, page)
				return &read, err
			},
			func(read *apiPage[T]) bool {
				for _, item := range read.items {
					if item == nil || !fits(item) {
						return false
					}
				}
				return nextFits(page, read.next)
			})
		if err != nil {
			return nil, err
		}
		all = append(all, answer.items...)
		if answer.next == "" {
			return all, nil
		}
		page = answer.next
	}
	return nil, (&APIError{Method: method, Status: http.StatusOK, why: "the list does not end"}).fault()
}
