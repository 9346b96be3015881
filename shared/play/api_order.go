package play

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/api/androidpublisher/v3"

	"grantline/shared/fault"
)

const (
	// maxOrders bounds the orders of one call.
	maxOrders = 1000
	// batchOrders is how many are asked for at once: Google takes 1,000, whose ids make an
	// address of 30 KB.
	batchOrders = 100
	// maxList bounds an answer of many, in bytes. A page of 1,000 voided purchases has
	// 600 KB.
	maxList = 8 << 20
)

// Orders gives the orders of ids by their ids, at most 1,000 (orders.batchget). Those that
// Google does not know are absent. Google fails a batch as a whole for one of those, and so
// its halves are asked for, down to each alone (orders.get).
func (a *API) Orders(ctx context.Context, pkg string, ids []string) (map[string]*androidpublisher.Order, error) {
	if err := fitPackage(pkg); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := fitOrder(id); err != nil {
			return nil, err
		}
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	if len(ids) > maxOrders {
		return nil, unaskable("The orders", "at most 1000")
	}
	found := make(map[string]*androidpublisher.Order, len(ids))
	for batch := range slices.Chunk(ids, batchOrders) {
		if err := a.orders(ctx, pkg, batch, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// orders adds a batch to found. It goes no deeper than the batch can be halved.
func (a *API) orders(ctx context.Context, pkg string, batch []string, found map[string]*androidpublisher.Order) error {
	if len(batch) == 1 {
		return a.order(ctx, pkg, batch[0], found)
	}
	answer, _, err := apiFetch(ctx, a, apiCall{method: "orders.batchget", quota: a.quotas.orders, most: maxList},
		func(ctx context.Context, s *androidpublisher.Service) (*androidpublisher.BatchGetOrdersResponse, error) {
			return s.Orders.Batchget(pkg).OrderIds(batch...).Context(ctx).Do()
		},
		func(r *androidpublisher.BatchGetOrdersResponse) bool { return holdsAll(r.Orders, batch) })
	switch {
	case err == nil:
		for _, order := range answer.Orders {
			found[order.OrderId] = order
		}
		return nil
	case errors.Is(err, fault.NotFound), errors.Is(err, fault.Invalid):
		half := len(batch) / 2
		if err := a.orders(ctx, pkg, batch[:half], found); err != nil {
			return err
		}
		return a.orders(ctx, pkg, batch[half:], found)
	}
	return err
}

func (a *API) order(ctx context.Context, pkg, id string, found map[string]*androidpublisher.Order) error {
	order, _, err := apiFetch(ctx, a, apiCall{method: "orders.get", quota: a.quotas.orders, most: maxPurchase},
		func(ctx context.Context, s *androidpublisher.Service) (*androidpublisher.Order, error) {
			return s.Orders.Get(pkg, id).Context(ctx).Do()
		},
		func(o *androidpublisher.Order) bool { return o.OrderId == id && o.State != "" })
	switch {
	case errors.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	}
	found[id] = order
	return nil
}

// holdsAll says whether orders are exactly those of ids, each with a state. An answer that
// leaves one out does not say that Google does not know it.
func holdsAll(orders []*androidpublisher.Order, ids []string) bool {
	got := make([]string, 0, len(orders))
	for _, order := range orders {
		if order == nil || order.State == "" {
			return false
		}
		got = append(got, order.OrderId)
	}
	slices.Sort(got)
	return slices.Equal(got, ids)
}

const (
	// voidedPage is the most rows of a page.
	voidedPage = 1000
	// voidsOfAll asks for voided subscriptions beside one-time products.
	voidsOfAll = 1
)

// Voided gives one page of the purchases that Google recorded as voided from from until to,
// the oldest first, and the name of the next page, "" after the last
// (purchases.voidedpurchases.list). Google keeps them for 30 days. With a page, from and to
// are not looked at.
func (a *API) Voided(ctx context.Context, pkg string, from, to time.Time, page string) (rows []*androidpublisher.VoidedPurchase, next string, err error) {
	switch {
	case fitPackage(pkg) != nil:
		return nil, "", fitPackage(pkg)
	case page == "" && !from.Before(to):
		return nil, "", unaskable("The window", "one that begins before it ends")
	case page != "" && !pageFits(page):
		return nil, "", unaskable("The page", "one that Google named")
	}
	answer, _, err := apiFetch(ctx, a, apiCall{method: "voidedpurchases.list", quota: a.quotas.voided, most: maxList},
		func(ctx context.Context, s *androidpublisher.Service) (*androidpublisher.VoidedPurchasesListResponse, error) {
			list := s.Purchases.Voidedpurchases.List(pkg).Type(voidsOfAll).IncludeQuantityBasedPartialRefund(true).MaxResults(voidedPage)
			if page == "" {
				list = list.StartTime(from.UnixMilli()).EndTime(to.UnixMilli())
			} else {
				list = list.Token(page)
			}
			return list.Context(ctx).Do()
		},
		func(r *androidpublisher.VoidedPurchasesListResponse) bool {
			lacks := func(row *androidpublisher.VoidedPurchase) bool { return row == nil || row.PurchaseToken == "" }
			return !slices.ContainsFunc(r.VoidedPurchases, lacks) && nextFits(page, voidedNext(r))
		})
	if err != nil {
		return nil, "", err
	}
	return answer.VoidedPurchases, voidedNext(answer), nil
}

func voidedNext(r *androidpublisher.VoidedPurchasesListResponse) string {
	if r.TokenPagination == nil {
		return ""
	}
	return r.TokenPagination.NextPageToken
}

// pageFits says whether a page's name can be one.
func pageFits(page string) bool { return len(page) <= maxPlayToken && apiPrintable(page) }

// nextFits says whether a page leads on.
func nextFits(page, next string) bool { return next == "" || pageFits(next) && next != page }

// Refund gives back all of an order's money, and with revoke takes back what it gave
// (orders.refund). Without revoke the customer keeps it.
//
// There is nothing partial in it, so that asking twice gives nothing twice. Yet it is not
// repeated here once it may have been done, and fault.Unavailable then says so: the second
// one would be refused, which tells nobody what became of the first, while a look at the
// order does.
func (a *API) Refund(ctx context.Context, pkg, order string, revoke bool) error {
	if err := errors.Join(fitPackage(pkg), fitOrder(order)); err != nil {
		return firstOf(err)
	}
	// The token is not known, and what it gives is about to change.
	defer a.subscriptions.forgetAll()
	defer a.products.forgetAll()
	_, err := a.call(ctx, apiCall{method: "orders.refund", quota: a.quotas.orders, most: maxPurchase, effect: true, once: true},
		func(ctx context.Context, s *androidpublisher.Service) error {
			return s.Orders.Refund(pkg, order).Revoke(revoke).Context(ctx).Do()
		})
	return err
}

// ReviewRefund answers a pending refund review (orders.reviewrefund), within 24 h of its
// notification. Google keeps the first answer and takes later ones for nothing, so that it
// may be repeated.
func (a *API) ReviewRefund(ctx context.Context, pkg, order string, review *androidpublisher.OrdersReviewRefundRequest) error {
	if err := errors.Join(fitPackage(pkg), fitOrder(order)); err != nil {
		return firstOf(err)
	}
	if review == nil || review.PendingRefundToken == "" || review.RefundPreference == "" {
		return unaskable("The review", "one with a token and a preference")
	}
	told := *review
	// Required, and left out by the generated client where they are zero.
	told.ForceSendFields = append(slices.Clone(review.ForceSendFields), "SampleContentProvided")
	_, err := a.call(ctx, apiCall{method: "orders.reviewrefund", quota: a.quotas.orders, most: maxPurchase, effect: true},
		func(ctx context.Context, s *androidpublisher.Service) error {
			return s.Orders.Reviewrefund(pkg, order, &told).Context(ctx).Do()
		})
	return err
}
