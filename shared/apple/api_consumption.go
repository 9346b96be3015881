package apple

import (
	"context"
	"net/http"
)

// DeliveryStatus is whether what was bought was delivered, and why not.
type DeliveryStatus string

// The delivery statuses (Send Consumption Information, deliveryStatus).
const (
	Delivered                DeliveryStatus = "DELIVERED"
	UndeliveredQualityIssue  DeliveryStatus = "UNDELIVERED_QUALITY_ISSUE"
	UndeliveredWrongItem     DeliveryStatus = "UNDELIVERED_WRONG_ITEM"
	UndeliveredServerOutage  DeliveryStatus = "UNDELIVERED_SERVER_OUTAGE"
	UndeliveredAnotherReason DeliveryStatus = "UNDELIVERED_OTHER"
)

// RefundPreference is what we should like Apple to do; Apple decides.
type RefundPreference string

// The preferences (Send Consumption Information, refundPreference).
const (
	PreferDecline  RefundPreference = "DECLINE"
	PreferFull     RefundPreference = "GRANT_FULL"
	PreferProrated RefundPreference = "GRANT_PRORATED"
)

// wholly is all of it, in thousandths of a per cent.
const wholly = 100_000

// Consumption is our answer to a request for consumption information
// (ConsumptionRequest, API 1.19).
type Consumption struct {
	// CustomerConsented says that the customer agreed to our telling this. Without that
	// nothing may be sent.
	CustomerConsented bool
	// SampleContentProvided says that the customer could try before buying.
	SampleContentProvided bool
	DeliveryStatus        DeliveryStatus
	// Preference is "" where we have none.
	Preference RefundPreference
	// Percentage is how much was used up, in thousandths of a per cent, 0 to 100,000; nil
	// where it is not said. It is never said of an auto-renewable subscription, which the
	// caller has to know.
	Percentage *int
}

// Valid says which of Apple's rules c breaks, as a fault.Malformed, or nil.
func (c Consumption) Valid() error {
	if !c.CustomerConsented {
		return impossible("CustomerConsented", "true: without consent nothing is sent")
	}
	switch c.DeliveryStatus {
	case Delivered, UndeliveredQualityIssue, UndeliveredWrongItem, UndeliveredServerOutage, UndeliveredAnotherReason:
	default:
		return impossible("DeliveryStatus", "one of Apple's five")
	}
	switch c.Preference {
	case "", PreferDecline, PreferFull, PreferProrated:
	default:
		return impossible("Preference", "one of Apple's three, or none")
	}
	if c.Percentage == nil {
		return nil
	}
	switch used := *c.Percentage; {
	case used < 0 || used > wholly:
		return impossible("Percentage", "0 to 100,000 thousandths")
	case c.DeliveryStatus != Delivered && used != 0:
		return impossible("Percentage", "0 of what was not delivered")
	case c.Preference == PreferProrated && (used == 0 || used == wholly):
		return impossible("Percentage", "neither nothing nor all where a part is to be refunded")
	}
	return nil
}

// SendConsumption answers a request for consumption information about a transaction (Send
// Consumption Information V2). The answer must come within 12 h of the request. What is
// sent again takes the place of what was sent, so it may be repeated.
func (a *API) SendConsumption(ctx context.Context, p Place, id string, c Consumption) error {
	if err := apiID("The transaction id", id); err != nil {
		return err
	}
	if err := c.Valid(); err != nil {
		return err
	}
	return a.tell(ctx, p, apiCall{
		endpoint: "consumption", method: http.MethodPut, path: "/inApps/v2/transactions/consumption/" + id,
		body: struct {
			Consented  bool             `json:"customerConsented"`
			Sample     bool             `json:"sampleContentProvided"`
			Delivery   DeliveryStatus   `json:"deliveryStatus"`
			Preference RefundPreference `json:"refundPreference,omitzero"`
			Percentage *int             `json:"consumptionPercentage,omitzero"`
		}{c.CustomerConsented, c.SampleContentProvided, c.DeliveryStatus, c.Preference, c.Percentage},
	})
}
