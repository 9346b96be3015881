package billing

import (
	"context"
	"strings"

	"grantline/shared/event"
	"grantline/shared/notice"
)

// Notices looks at what the notices of gateways name. It is a notice.Looker.
type Notices struct{ *Biller }

// LookAgain looks at the order and the subscription that a notice is about; nothing else of it
// is believed. Where nothing is signed not even its type is, and money may have been given back.
func (n Notices) LookAgain(ctx context.Context, h notice.Hint) (bool, error) {
	refunded, disputed := strings.HasPrefix(h.Type, "refund."), strings.HasPrefix(h.Type, "dispute.")
	about := Hint{Order: h.Order, Payment: h.Payment, Returned: !h.Signed || refunded || disputed, Disputed: disputed}
	if refunded || disputed {
		about.Gateway = h.Provider
	}
	// Those that come with every charge say nothing about the mandate, and each look costs
	// of the gateway's pace.
	if strings.HasPrefix(h.Type, "subscription.") && h.Type != "subscription.renewed" && h.Type != "subscription.updated" {
		about.Subscription = h.Subscription
	}
	return n.Biller.LookAgain(event.Because(ctx, h.Cause()), h.Scope(), about)
}
