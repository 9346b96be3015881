package web

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// orderIDs is what an order's id can look like: a store's word, or ours.
var orderIDs = regexp.MustCompile(`^[!-~]{1,200}$`)

func (a *API) orderRoute(rest string) handler {
	if id, ok := strings.CutSuffix(rest, "/refund"); ok && orderIDs.MatchString(id) {
		return only(http.MethodPost, func(w http.ResponseWriter, r *http.Request) error { return a.refund(w, r, id) })
	}
	if orderIDs.MatchString(rest) {
		return only(http.MethodGet, func(w http.ResponseWriter, r *http.Request) error { return a.getOrder(w, r, rest) })
	}
	return noRoute
}

// refund is POST /v1/orders/{orderId}/refund.
func (a *API) refund(w http.ResponseWriter, r *http.Request, id string) error {
	caller, err := a.Callers.serverOnly(r)
	if err != nil {
		return err
	}
	var q struct {
		Amount    *int64 `json:"amount"`
		Reason    string `json:"reason"`
		Reference string `json:"reference"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	if caller.Customer != "" {
		if _, _, err := a.orderOf(r.Context(), caller, id); err != nil {
			return err
		}
	}
	ask := billing.RefundAsk{OrderID: id, Reason: q.Reason, Reference: q.Reference}
	if q.Amount != nil {
		if ask.Amount = *q.Amount; ask.Amount <= 0 {
			return fault.New(fault.Malformed, "invalid_request", "amount should be a positive number of the currency's smallest unit.")
		}
	}
	charge, made, err := a.Biller.Refund(r.Context(), caller.Scope, ask)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if made.State != billing.RefundDone {
		status = http.StatusAccepted
	}
	return answer(w, status, map[string]orderView{"order": chargeOrderOf(charge)})
}

// getOrder is GET /v1/orders/{orderId}: a purchase's order or a charge.
func (a *API) getOrder(w http.ResponseWriter, r *http.Request, id string) error {
	caller, err := a.Callers.Identify(r)
	if err != nil {
		return err
	}
	if caller.Role == App {
		return needsSignIn()
	}
	order, item, err := a.orderOf(r.Context(), caller, id)
	if err != nil {
		return err
	}
	view := purchaseOrderOf(order)
	if order.Kind == billing.ChargeKind {
		charge, err := billing.DecodeCharge(item)
		if err != nil {
			return err
		}
		view = chargeOrderOf(charge)
	}
	return answer(w, http.StatusOK, map[string]orderView{"order": view})
}

// orderOf reads an order that this caller may know of. To anybody else it does not exist.
func (a *API) orderOf(ctx context.Context, caller Caller, id string) (purchase.Order, table.Item, error) {
	absent := fault.New(fault.NotFound, "order_not_found", "There is no such order.")
	item, err := a.Tables.Get(ctx, table.Key{Table: table.Orders, Partition: caller.Scope.Key(id)})
	if isNotFound(err) {
		return purchase.Order{}, item, absent
	}
	if err != nil {
		return purchase.Order{}, item, err
	}
	order, err := purchase.DecodeOrder(item)
	if err != nil {
		return purchase.Order{}, item, err
	}
	if order.Customer == "" && order.Kind == purchase.OrderKind {
		// A store told us of it, and nobody has claimed it: the company's server may know.
		if caller.Role != Server || caller.Customer != "" {
			return purchase.Order{}, item, absent
		}
		return order, item, nil
	}
	_, err = a.ownerOf(ctx, caller, order.Customer, absent)
	return order, item, err
}
