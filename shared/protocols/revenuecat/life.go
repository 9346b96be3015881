package revenuecat

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/event"
)

// life is a message about something bought.
func (t Telling) life(kind string, moved movement) *message {
	l := &lifecycle{
		ProductID:             known(t.product()),
		EntitlementIDs:        t.entitlements(),
		PeriodType:            t.period(),
		PurchasedAtMS:         at(t.purchased(moved)),
		ExpirationAtMS:        at(t.until()),
		Store:                 cmp.Or(t.store(), storeExternal),
		IsFamilyShare:         t.Order != nil && t.Order.Family,
		TransactionID:         cmp.Or(t.transaction(), t.original(), t.ID),
		OriginalTransactionID: cmp.Or(t.original(), t.ID),
	}
	if p := t.Event.Period; p != nil && *p >= 0 && t.own() {
		n := *p + 1 // ours count from 0, these from 1
		l.RenewalNumber = &n
	}
	if l.IsFamilyShare || t.given() {
		moved = none
	}
	t.priced(l, moved)
	return &message{common: common{Type: kind}, lifecycle: l}
}

// own says whether it is about an agreement that we charge for.
func (t Telling) own() bool { return t.Event.SubscriptionID != "" || t.Charge != nil }

// given says whether it is about the company's own word.
func (t Telling) given() bool {
	return t.Event.Type == event.EntitlementGranted || t.Event.Type == event.EntitlementRevoked
}

// The names of stores. What the format does not know by name is external: it came from a
// company that takes money which only its owner deals with. STRIPE or RC_BILLING would make
// a consumer ask there for what they have never seen.
const (
	storeApple    = "APP_STORE"
	storePlay     = "PLAY_STORE"
	storeGiven    = "PROMOTIONAL"
	storeExternal = "EXTERNAL"
)

// store is "" where nothing was sold.
func (t Telling) store() string {
	name := t.Event.Store
	if name == "" && t.Order != nil {
		name = t.Order.Store
	}
	switch {
	case t.given():
		return storeGiven
	case name == "apple":
		return storeApple
	case name == "play":
		return storePlay
	case name != "", t.own():
		return storeExternal
	}
	return ""
}

// environment counts a purchase without money as of the sandbox, wherever it was made.
func (t Telling) environment() string {
	if t.Scope.Environment == "sandbox" || t.Event.Test || t.Order != nil && t.Order.Test {
		return "SANDBOX"
	}
	return "PRODUCTION"
}

// ids are all that name the customer, each once, the first id first.
func (t Telling) ids(besides string) []string {
	all := []string{t.CustomerID}
	for _, id := range append([]string{besides}, t.OtherIDs...) {
		if id != "" && !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

func (t Telling) entitlements() []string {
	switch {
	case t.Event.Entitlement != "":
		return []string{t.Event.Entitlement}
	case t.Order != nil && t.Order.Entitlement != "":
		return []string{t.Order.Entitlement}
	}
	return nil
}

// ended are those of them that nobody gives any more.
func (t Telling) ended() []string {
	return slices.DeleteFunc(t.entitlements(), func(id string) bool { return slices.Contains(t.Entitlements, id) })
}

// product is the store's name of it, at Play with ":" and the base plan as the catalog has
// it too; a plan of ours; or what the company gave.
func (t Telling) product() string {
	id := cmp.Or(t.Event.ProductID, t.Event.PlanID)
	switch {
	case id != "":
	case t.Order != nil:
		id = t.Order.SKU
	case t.Charge != nil:
		id = t.Charge.Plan
	case t.given() && t.Event.Entitlement != "":
		id = "given_" + t.Event.Entitlement
	}
	return id
}

// period is a trial's where the store says that a period costs nothing.
func (t Telling) period() string {
	o := t.Order
	switch {
	case t.given():
		return "PROMOTIONAL"
	case o != nil && o.PriceIn != "" && o.Price == 0 && !o.Family && t.renews():
		return "TRIAL"
	}
	return "NORMAL"
}

func (t Telling) purchased(moved movement) time.Time {
	switch c := t.Charge; {
	case t.Order != nil:
		return t.Order.PurchasedAt
	case c != nil && c.State != billing.Paid:
		return time.Time{} // that one bought nothing
	case c != nil && c.Payment != nil && !c.Payment.ApprovedAt.IsZero():
		return c.Payment.ApprovedAt
	case c != nil && !c.SettledAt.IsZero():
		return c.SettledAt
	case moved == taken:
		return t.Event.At
	}
	return time.Time{}
}

// until is the end that the event tells, or that the order has.
func (t Telling) until() time.Time {
	switch {
	case t.Event.ExpiresAt != nil:
		return *t.Event.ExpiresAt
	case t.Order != nil:
		return t.Order.Until
	}
	return time.Time{}
}

// transaction is the store's own id of the order, or ours of a charge; "" if there is none.
func (t Telling) transaction() string {
	switch {
	case t.Order != nil:
		return strings.TrimPrefix(t.Order.ID, t.Order.Store+"_")
	case t.Event.OrderID != "" && t.Event.Store != "":
		return strings.TrimPrefix(t.Event.OrderID, t.Event.Store+"_")
	case t.Event.OrderID != "":
		return t.Event.OrderID
	case t.Charge != nil:
		return t.Charge.ID
	}
	return ""
}

// original is what all renewals have in common: Apple's original transaction, Play's order
// id without the number of the renewal ("GPA.1234..0"), the first order of Apps-in-Toss, or
// our own subscription.
func (t Telling) original() string {
	switch {
	case t.given():
		return t.grant()
	case t.Event.SubscriptionID != "" && (t.Charge == nil || !t.Charge.OnDemand) && t.Event.Type != event.ChargePaid:
		return t.Event.SubscriptionID
	case t.Order != nil && t.Order.Store != "play" && t.Order.Line != "":
		return t.Order.Line
	}
	id, _, _ := strings.Cut(t.transaction(), "..")
	return id
}

// grant is one name for a grant of the company's, and its end. Consumers keep what was bought
// by it, so no two customers may have the same.
func (t Telling) grant() string {
	return "given_" + t.mark(t.Event.Entitlement, t.Event.Reference)
}

// mark stands for something of the customer's.
func (t Telling) mark(of ...string) string {
	h := sha256.New()
	for _, part := range append([]string{t.Scope.Project, t.Scope.Environment, t.CustomerID}, of...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
