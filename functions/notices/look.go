package main

import (
	"context"
	"strings"

	"grantline/shared/billing"
	"grantline/shared/event"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/toss"
)

// looker looks at what a notice names; nothing else of it is believed.
type looker struct{ *billing.Biller }

// LookAgain looks at the order and the subscription that a notice is about.
func (l looker) LookAgain(ctx context.Context, h notice.Hint) (bool, error) {
	disputed := strings.HasPrefix(h.Type, "dispute.")
	about := billing.Hint{
		Order: h.Order, Payment: h.Payment, Returned: h.Provider == toss.Name || strings.HasPrefix(h.Type, "refund.") || disputed,
		Disputed: disputed, Gateway: h.Provider,
	}
	// Those that come with every charge say nothing about the mandate, and each look costs
	// of the gateway's pace.
	if strings.HasPrefix(h.Type, "subscription.") && h.Type != "subscription.renewed" && h.Type != "subscription.updated" {
		about.Subscription = h.Subscription
	}
	return l.Biller.LookAgain(because(ctx, h), h.Scope(), about)
}

// follower looks at the purchase that a store's notice is about.
type follower struct{ *purchase.Book }

// LookAgain verifies the store's word once more, and asks the store.
func (f follower) LookAgain(ctx context.Context, h notice.Hint) (bool, error) {
	return f.Book.LookAgain(because(ctx, h), h.Scope(), h.Provider, h.Evidence)
}

// because has what comes of a notice be told with it. The id of one that is not signed is
// nobody's word, and is not kept.
func because(ctx context.Context, h notice.Hint) context.Context {
	c := event.Cause{Kind: event.ByNotice, Provider: h.Provider}
	if h.Signed {
		c.ID = h.ID
	}
	return event.Because(ctx, c)
}
