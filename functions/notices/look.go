package main

import (
	"context"
	"strings"

	"grantline/shared/billing"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/toss"
)

// looker looks at what a notice names; nothing else of it is believed.
type looker struct{ *billing.Biller }

// LookAgain looks at the order and the subscription that a notice is about.
func (l looker) LookAgain(ctx context.Context, h notice.Hint) (bool, error) {
	about := billing.Hint{Order: h.Order, Payment: h.Payment, Returned: h.Provider == toss.Name || strings.HasPrefix(h.Type, "refund.")}
	// Those that come with every charge say nothing about the mandate, and each look costs
	// of the gateway's pace.
	if strings.HasPrefix(h.Type, "subscription.") && h.Type != "subscription.renewed" && h.Type != "subscription.updated" {
		about.Subscription = h.Subscription
	}
	return l.Biller.LookAgain(ctx, h.Scope(), about)
}

// follower looks at the purchase that a store's notice is about.
type follower struct{ *purchase.Book }

// LookAgain verifies the store's word once more, and asks the store.
func (f follower) LookAgain(ctx context.Context, h notice.Hint) (bool, error) {
	return f.Book.LookAgain(ctx, h.Scope(), h.Provider, h.Evidence)
}
