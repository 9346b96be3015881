package purchase

import (
	"time"

	"grantline/shared/event"
)

// tellGiver tells who paid for a gift what became of it.
func (is *decision) tellGiver(e *entry, kind event.Type, now time.Time) {
	if !is.given() {
		return
	}
	tell := event.Event{
		At: now, OrderID: e.is.ID, Store: e.is.Store, ProductID: e.is.SKU, Entitlement: e.is.Entitlement, Test: e.is.Test,
		Other: is.holder.Ref, ToOther: true,
	}
	switch {
	case e.was.Customer == "":
		tell.Type, tell.Amount, tell.Currency = event.GiftSent, e.is.Price, e.is.PriceIn
	case kind == event.PurchaseRefunded:
		tell.Type = event.GiftReturned
	case kind == event.PurchaseRestored:
		tell.Type = event.GiftSent // again
	default:
		return
	}
	is.giver.Tell(tell)
	is.touch(is.giver)
}
