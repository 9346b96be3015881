// Package revenuecat tells our events in the webhook format of RevenueCat, which many
// servers and tools understand already. It is a view and holds nothing: one event goes in,
// the body of a request comes out, and the same event gives the same body. What we do not
// know is null, never a guess that reads like a fact.
//
// The names, types and meanings of fields are those of RevenueCat's documentation
// ("Event Types and Fields", "Sample Events", "Common Webhook Flows"). Beside them stands
// sequence, our number of the event, for a consumer has to ignore fields that it does not
// know.
package revenuecat

import (
	"bytes"
	"encoding/json"
	"fmt"

	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/event"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// mostIDBytes is how long the id of an event may be: consumers keep 128, and what Also
// makes of it is longer.
const mostIDBytes = 112

// Telling is an event with what the format says besides.
type Telling struct {
	Scope      table.Scope
	CustomerID string   // the company's first id of whom it happened to, "" once that one was erased
	OtherIDs   []string // its other ids
	Other      string   // the company's id of the event's other customer, "" if there is none or nobody knows it any more
	Event      event.Event
	// Order is that of Event.OrderID where it is a store's, Charge where it is our own; nil
	// where there is none. Of a subscription's event without an order, Charge may be the
	// last that was paid.
	Order  *purchase.Order
	Charge *billing.Charge
	// Kind is that of the product, "" if the catalog has it no more; then the order tells as
	// far as it can.
	Kind catalog.Kind
	// Grace says that the plan keeps access while attempts remain.
	Grace bool
	// Entitlements are what the customer may use now, whoever gives it: no message that ends
	// something names one of them.
	Entitlements []string
	// ID is the event's for ever: a consumer that has seen it ignores the rest.
	ID string
}

// Compose makes the body of the request that tells an event, false if the format has no
// word for it, or the customer no id any more. It returns an error for a Telling without an
// id of the event, or with one that is too long.
func Compose(t Telling) (body []byte, ok bool, err error) {
	if err := t.check(); err != nil {
		return nil, false, err
	}
	say := words[t.Event.Type]
	if say == nil || t.CustomerID == "" {
		return nil, false, nil
	}
	said := say(t)
	if said == nil {
		return nil, false, nil
	}
	body, err = t.encode(said)
	return body, err == nil, err
}

// Also makes the bodies of what the format tells by further events, each with an id of its
// own that follows from Telling.ID. They go out after the one of Compose, in this order.
// Most events have none.
func Also(t Telling) ([][]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if t.CustomerID == "" {
		return nil, nil
	}
	var bodies [][]byte
	for _, said := range t.besides() {
		body, err := t.encode(said)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}

func (t Telling) check() error {
	if t.ID == "" || len(t.ID) > mostIDBytes {
		return fmt.Errorf("revenuecat: bug in the caller: the id of an event has 1 to %d bytes, not %d", mostIDBytes, len(t.ID))
	}
	return nil
}

// encode writes a message with the fields that all have.
func (t Telling) encode(m *message) ([]byte, error) {
	m.ID = t.ID + m.suffix
	m.AppID = t.Scope.Project
	m.EventTimestampMS = t.Event.At.UnixMilli()
	m.Environment = t.environment()
	m.Sequence = t.Event.Sequence
	if m.virtual != nil {
		m.VirtualID = m.ID
		m.PurchaseEnvironment = m.Environment
	}
	if m.Type != typeTransfer {
		m.AppUserID = t.CustomerID
		if m.OriginalAppUserID == "" {
			m.OriginalAppUserID = t.CustomerID
		}
		m.Aliases = t.ids(m.OriginalAppUserID)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		APIVersion string `json:"api_version"`
		Event      any    `json:"event"`
	}{"1.0", m.fields()})
	if err != nil {
		return nil, fmt.Errorf("revenuecat: bug: the body is no JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
