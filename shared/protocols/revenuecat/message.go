package revenuecat

import (
	"encoding/json"
	"time"
)

// message is what stands under "event": the common fields, and those of one of three kinds or
// none.
type message struct {
	common
	*lifecycle
	*transfer
	*virtual

	suffix string // of the id, where an event is told by several
}

// fields are those that are written. The kinds share names, of which a struct with all of
// them would write none.
func (m *message) fields() any {
	switch {
	case m.lifecycle != nil:
		return struct {
			*common
			*lifecycle
		}{&m.common, m.lifecycle}
	case m.transfer != nil:
		return struct {
			*common
			*transfer
		}{&m.common, m.transfer}
	case m.virtual != nil:
		return struct {
			*common
			*virtual
		}{&m.common, m.virtual}
	}
	return &m.common
}

// common are the fields that all messages have.
type common struct {
	Type              string   `json:"type"`
	ID                string   `json:"id"`
	AppID             string   `json:"app_id"`
	EventTimestampMS  int64    `json:"event_timestamp_ms"`
	AppUserID         string   `json:"app_user_id,omitempty"` // a TRANSFER has none
	OriginalAppUserID string   `json:"original_app_user_id,omitempty"`
	Aliases           []string `json:"aliases,omitempty"`
	// SubscriberAttributes stays empty: they would be personal.
	SubscriberAttributes struct{} `json:"subscriber_attributes"`
	Environment          string   `json:"environment"`
	Sequence             int64    `json:"sequence"` // ours: per customer, from 1, without gaps
}

// lifecycle are the fields of everything that is about something bought.
type lifecycle struct {
	ProductID             *string      `json:"product_id"`
	EntitlementIDs        []string     `json:"entitlement_ids"` // null where it opens nothing
	EntitlementID         *string      `json:"entitlement_id"`  // deprecated, and null there as well
	PeriodType            string       `json:"period_type"`
	PurchasedAtMS         *int64       `json:"purchased_at_ms"`
	ExpirationAtMS        *int64       `json:"expiration_at_ms"`
	Store                 string       `json:"store"`
	IsFamilyShare         bool         `json:"is_family_share"`
	Price                 *json.Number `json:"price"` // in USD
	Currency              *string      `json:"currency"`
	PriceInPurchased      *json.Number `json:"price_in_purchased_currency"`
	TransactionID         string       `json:"transaction_id"`
	OriginalTransactionID string       `json:"original_transaction_id"`
	RenewalNumber         *int         `json:"renewal_number"`

	CancelReason     *string `json:"cancel_reason,omitempty"`
	ExpirationReason *string `json:"expiration_reason,omitempty"`
	NewProductID     *string `json:"new_product_id,omitempty"`
	Trial            *trial  `json:"is_trial_conversion,omitempty"`
	GraceUntilMS     *millis `json:"grace_period_expiration_at_ms,omitempty"`

	// Nobody tells us these.
	never
}

// never are the fields of which we know nothing, for consumers that look them up.
type never struct {
	TaxPercentage        *json.Number `json:"tax_percentage"`
	CommissionPercentage *json.Number `json:"commission_percentage"`
	TakehomePercentage   *json.Number `json:"takehome_percentage"`
	PresentedOfferingID  *string      `json:"presented_offering_id"`
	CountryCode          *string      `json:"country_code"`
	OfferCode            *string      `json:"offer_code"`
}

// trial is true, false or, where it is not known, null.
type trial struct{ known, is bool }

func (t trial) MarshalJSON() ([]byte, error) {
	if !t.known {
		return []byte("null"), nil
	}
	return json.Marshal(t.is)
}

// millis is an instant in ms since 1970, or null where there is none.
type millis struct{ at *time.Time }

func (m millis) MarshalJSON() ([]byte, error) {
	if m.at == nil {
		return []byte("null"), nil
	}
	return json.Marshal(m.at.UnixMilli())
}

// transfer are the fields of a TRANSFER. Those of what moved are no part of the documented
// ones; a consumer that knows them moves that, and not all.
type transfer struct {
	TransferredFrom []string `json:"transferred_from"`
	TransferredTo   []string `json:"transferred_to"`
	MovedProduct    string   `json:"product_id,omitempty"`
	Moved           []string `json:"entitlement_ids,omitempty"`
	From            *string  `json:"store,omitempty"`
}

// virtual are the fields of a VIRTUAL_CURRENCY_TRANSACTION.
type virtual struct {
	Adjustments         []adjustment `json:"adjustments"`
	ProductID           *string      `json:"product_id"`
	ProductDisplayName  *string      `json:"product_display_name"`
	PurchaseEnvironment string       `json:"purchase_environment"`
	Source              string       `json:"source"`
	Store               *string      `json:"store"`
	PaidBy              *string      `json:"transaction_id"`
	VirtualID           string       `json:"virtual_currency_transaction_id"`
}

type adjustment struct {
	Amount   int64    `json:"amount"` // below zero where it took
	Currency currency `json:"currency"`
}

type currency struct {
	Code        string `json:"code"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// at is an instant in ms since 1970, nil for the zero Time.
func at(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// known is a string, nil for "".
func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
