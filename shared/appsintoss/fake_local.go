//go:build local

package appsintoss

import (
	"context"

	"grantline/shared/purchase"
)

// Faking is a Store that also takes the orders which a tool for the development of mini-apps
// makes up where there is no Toss app. It exists only in a local build. An order whose id
// Toss could have given, a UUID, is asked about all the same.
type Faking struct {
	*Store
	SKU string // what such an order is of, whatever was bought in the tool
}

var (
	_ purchase.Store    = Faking{}
	_ purchase.Follower = Faking{}
)

// Look is Store.Look; an order that was made up is paid for without money.
func (f Faking) Look(ctx context.Context, p purchase.Proof) (purchase.News, error) {
	if !f.madeUp(p.Evidence) {
		return f.Store.Look(ctx, p)
	}
	if p.SKU != "" && p.SKU != f.SKU {
		return purchase.News{}, invalid("The order is of another product.")
	}
	return f.news(p.Evidence), nil
}

// Follow is Store.Follow; an order that was made up stays as it is.
func (f Faking) Follow(ctx context.Context, l purchase.Line) (purchase.News, bool, error) {
	if !f.madeUp(l.Order) {
		return f.Store.Follow(ctx, l)
	}
	return f.news(l.Order), true, nil
}

func (f Faking) madeUp(orderID string) bool {
	return orderShape.MatchString(orderID) && !uuidShape.MatchString(orderID)
}

func (f Faking) news(orderID string) purchase.News {
	now := f.config.Clock.Now()
	return purchase.News{Sales: []purchase.Sale{{
		Store: Name, Line: orderID, Order: orderID, SKU: f.SKU, State: purchase.Paid, PurchasedAt: now, AsOf: now, Quantity: 1, Test: true,
	}}}
}
