package purchase

import (
	"encoding/json"
	"fmt"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/entitlement"
	"grantline/shared/table"
)

const (
	schema = 1
	// OrderKind tells a purchase's order from a charge's in the orders table.
	OrderKind = "purchase"
)

// OrderState is how an order stands in our book.
type OrderState string

// The states of an order.
const (
	OrderPending  OrderState = "pending" // an answer, never a record: the store has not taken the money yet
	OrderGranted  OrderState = "granted"
	OrderRefunded OrderState = "refunded"
)

// Order is one movement of money at a store, and what it granted.
type Order struct {
	ID          string     `json:"id"`   // the store, "_" and the store's id
	Kind        string     `json:"kind"` // OrderKind
	Customer    string     `json:"customer"`
	Store       string     `json:"store"`
	Line        string     `json:"line"`
	SKU         string     `json:"sku"`
	Product     string     `json:"product"` // our id of it
	State       OrderState `json:"state"`
	Quantity    int        `json:"quantity"`
	Entitlement string     `json:"entitlement,omitempty"`
	Currency    string     `json:"walletCurrency,omitempty"`
	Credited    int64      `json:"credited,omitempty"` // of the wallet currency
	PurchasedAt time.Time  `json:"purchasedAt,omitzero"`
	GrantedAt   time.Time  `json:"grantedAt,omitzero"`
	RefundedAt  time.Time  `json:"refundedAt,omitzero"`
	Until       time.Time  `json:"until,omitzero"`
	Price       int64      `json:"price,omitempty"` // smallest unit of PriceIn
	PriceIn     string     `json:"priceIn,omitempty"`
	Test        bool       `json:"test,omitempty"`
	Family      bool       `json:"family,omitempty"`
}

// Record is a purchase: who owns a line and how it stands.
type Record struct {
	Store       string            `json:"store"`
	Line        string            `json:"line"`
	Owner       string            `json:"owner"` // our id of the customer
	Order       string            `json:"order"` // the one that reaches furthest
	SKU         string            `json:"sku"`
	Product     string            `json:"product"`
	Entitlement string            `json:"entitlement,omitempty"`
	State       entitlement.State `json:"state"`
	Until       time.Time         `json:"until,omitzero"`
	AsOf        time.Time         `json:"asOf"` // of the store's newest word
	WillRenew   bool              `json:"willRenew,omitempty"`
	Test        bool              `json:"test,omitempty"`
	Family      bool              `json:"family,omitempty"`
}

// OrderID is our id of a store's order.
func OrderID(store, order string) string { return store + "_" + order }

func orderKey(scope table.Scope, id string) table.Key {
	return table.Key{Table: table.Orders, Partition: scope.Key(id)}
}

func recordKey(scope table.Scope, store, line string) table.Key {
	return table.Key{Table: table.Purchases, Partition: scope.Key(store, line)}
}

// DecodeOrder reads an order from its item.
func DecodeOrder(item table.Item) (Order, error) {
	var o Order
	err := decode(item, &o)
	return o, err
}

func decode(item table.Item, into any) error {
	if item.Schema > schema {
		return fmt.Errorf("purchase: item of schema %d, newer than this code's %d", item.Schema, schema)
	}
	if err := json.Unmarshal(item.Data, into); err != nil {
		return fmt.Errorf("purchase: item: %w", err)
	}
	return nil
}

func encode(item table.Item, value any) (table.Item, error) {
	data, err := json.Marshal(value)
	item.Schema, item.Data = schema, data
	return item, err
}

// ReviewWithin bounds access to a subscription whose store did not say when it ends:
// without further word it is over after that time.
const ReviewWithin = 70 * 24 * time.Hour

// until is the end of what a paid sale gives; zero is never.
func until(s Sale, p catalog.Product, now time.Time) time.Time {
	switch p.Kind {
	case catalog.NonRenewing:
		if s.PurchasedAt.IsZero() {
			return p.Until(now)
		}
		return p.Until(s.PurchasedAt)
	case catalog.Subscription:
		if s.Until.IsZero() {
			return now.Add(ReviewWithin)
		}
		return s.Until
	case catalog.Consumable, catalog.NonConsumable:
	}
	return time.Time{}
}

// seen is the record after a paid sale. The order that reaches furthest decides what the
// line gives, and the newest word whether it will renew; so sales seen in any order
// leave the same record.
func (r Record) seen(s Sale, p catalog.Product, end time.Time) Record {
	fresh, id := r.Order == "", OrderID(s.Store, s.Order)
	// Of two that end together the greater id decides, for one of them must; but what was
	// taken back yields to either.
	level := end.Equal(r.Until) && (id > r.Order || r.State == entitlement.Ended)
	if fresh || level || reaches(end, r.Until) {
		r.Order, r.SKU, r.Product, r.Entitlement = id, s.SKU, p.ID, p.Entitlement
		r.Until, r.Test, r.Family, r.State = end, s.Test, s.Family, entitlement.Active
	}
	if fresh || s.AsOf.After(r.AsOf) {
		r.AsOf, r.WillRenew = s.AsOf, s.WillRenew
	}
	return r
}

// reaches says whether an end is further than another; never is furthest.
func reaches(end, other time.Time) bool {
	return !other.IsZero() && (end.IsZero() || end.After(other))
}

func (r Record) source() entitlement.Source {
	return entitlement.Source{
		Kind: "purchase", Provider: r.Store, Ref: r.Line, Entitlement: r.Entitlement, ProductID: r.SKU,
		OrderID: r.Order, State: r.State, Until: r.Until, WillRenew: r.WillRenew, Test: r.Test, Family: r.Family,
	}
}
