package purchase

import (
	"encoding/json"
	"fmt"
	"time"

	"grantline/shared/table"
)

const (
	// schema is the version of what is written; code reads the one before as well.
	schema = 2
	// OrderKind tells a purchase's order from a charge's in the orders table.
	OrderKind = "purchase"
)

// OrderState is how an order stands in our book.
type OrderState string

// The states of an order.
const (
	OrderPending OrderState = "pending" // an answer, never a record: the store has not taken the money yet
	// OrderUnclaimed: paid, and nobody came for it yet; the store told us of it.
	OrderUnclaimed OrderState = "unclaimed"
	OrderGranted   OrderState = "granted"
	OrderRefunded  OrderState = "refunded"
)

// Order is one movement of money at a store, and what it granted.
type Order struct {
	ID       string `json:"id"`   // the store, "_" and the store's id
	Kind     string `json:"kind"` // OrderKind
	Customer string `json:"customer,omitempty"`
	Giver    string `json:"giver,omitempty"` // our id of who paid, where that is another customer
	Store    string `json:"store"`
	Line     string `json:"line"`
	Part     string `json:"part,omitempty"`
	SKU      string `json:"sku"`
	Product  string `json:"product,omitempty"` // our id of it
	// State counts for a sale that gave up its place (Replaced) too: it was paid.
	State       OrderState `json:"state"`
	Replaced    bool       `json:"replaced,omitempty"`
	Returned    int        `json:"returned,omitempty"` // to the customer, in thousandths of a per cent of the price
	AsOf        time.Time  `json:"asOf,omitzero"`      // of the store's newest word about it
	Quantity    int        `json:"quantity"`
	Back        int        `json:"back,omitempty"` // of Quantity, at a store that counts what was given back
	Entitlement string     `json:"entitlement,omitempty"`
	Currency    string     `json:"walletCurrency,omitempty"`
	Credited    int64      `json:"credited,omitempty"`  // of the wallet currency
	TakenBack   int64      `json:"takenBack,omitempty"` // of what was credited
	PurchasedAt time.Time  `json:"purchasedAt,omitzero"`
	GrantedAt   time.Time  `json:"grantedAt,omitzero"`
	RefundedAt  time.Time  `json:"refundedAt,omitzero"`
	Until       time.Time  `json:"until,omitzero"`
	Price       int64      `json:"price,omitempty"` // smallest unit of PriceIn
	PriceIn     string     `json:"priceIn,omitempty"`
	Test        bool       `json:"test,omitempty"`
	Family      bool       `json:"family,omitempty"`
	// Answered names the store's last question about it that was answered.
	Answered string `json:"answered,omitempty"`
}

// OrderID is our id of a store's order.
func OrderID(store, order string) string { return store + "_" + order }

func orderKey(scope table.Scope, id string) table.Key {
	return table.Key{Table: table.Orders, Partition: scope.Key(id)}
}

func recordKey(scope table.Scope, store, line string) table.Key {
	return table.Key{Table: table.Purchases, Partition: scope.Key(store, line)}
}

// DecodeOrder reads an order from its item, one of the schema before as well.
func DecodeOrder(item table.Item) (Order, error) {
	var o Order
	err := decode(item, &o)
	if item.Schema == 1 && o.State == OrderRefunded {
		// All of it had been taken back, and no word from before that counts.
		o.Returned, o.TakenBack, o.AsOf = wholly, o.Credited, o.RefundedAt
	}
	return o, err
}

// decodeRecord reads a line from its item, one of the schema before as well.
func decodeRecord(item table.Item) (Record, error) {
	if item.Schema == 1 {
		var old recordV1
		err := decode(item, &old)
		return old.record(), err
	}
	var r Record
	err := decode(item, &r)
	return r, err
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
