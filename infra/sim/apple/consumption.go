package apple

import (
	"encoding/json"
	"net/http"
	"slices"

	"grantline/infra/sim/stage"
)

// consumption is the body of Send Consumption Information, version 2. What is missing is
// nil; a field of another type is a value that cannot be.
type consumption struct {
	Consented  *bool   `json:"customerConsented"`
	Sample     *bool   `json:"sampleContentProvided"`
	Delivery   *string `json:"deliveryStatus"`
	Preference *string `json:"refundPreference"`
	Percentage *int64  `json:"consumptionPercentage"`
}

// The words of consumption (deliveryStatus, refundPreference).
var (
	deliveries = []string{
		delivered, "UNDELIVERED_QUALITY_ISSUE", "UNDELIVERED_WRONG_ITEM", "UNDELIVERED_SERVER_OUTAGE", "UNDELIVERED_OTHER",
	}
	preferences = []string{"DECLINE", "GRANT_FULL", grantProrated}
)

const (
	delivered     = "DELIVERED"
	grantProrated = "GRANT_PRORATED"
)

// check holds a body to the rules of its fields (ConsumptionRequest, consumptionPercentage).
func (c consumption) check(t *sale) *apiError {
	switch {
	case c.Consented == nil || !*c.Consented:
		return &invalidConsent
	case c.Sample == nil:
		return &invalidSample
	case c.Delivery == nil || !slices.Contains(deliveries, *c.Delivery):
		return &invalidDelivery
	case c.Preference != nil && !slices.Contains(preferences, *c.Preference):
		return &invalidPreference
	case c.Percentage == nil:
		return nil
	case t.line != nil:
		return &percentageRenewable
	case *c.Percentage < 0 || *c.Percentage > whole:
		return &percentageOutOfRange
	case *c.Delivery != delivered && *c.Percentage != 0:
		return &percentageUndelivered
	case c.Preference != nil && *c.Preference == grantProrated && (*c.Percentage == 0 || *c.Percentage == whole):
		return &percentageOutOfRange
	}
	return nil
}

// consume takes what is known about the consumption of a purchase.
func (s *Simulator) consume(q *query) stage.Answer {
	var in consumption
	if !q.decode(&in) {
		return badRequest.answer()
	}
	return s.consumed(q, in.check)
}

// consumed notes the answer to a request for consumption, if it is in order.
func (s *Simulator) consumed(q *query, check func(*sale) *apiError) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	if who := s.customers[q.id]; who != nil && q.id != "" {
		return noAppTransaction.answer()
	}
	t, refused := s.sale(q)
	if refused != nil {
		return refused.answer()
	}
	if t.family() {
		return noFamily.answer()
	}
	if refused := check(t); refused != nil {
		return refused.answer()
	}
	t.open = false
	s.stage.Record(stage.Effect{
		Kind: "consumption", OrderID: t.TransactionID, TransactionID: t.TransactionID, SKU: t.ProductID, Environment: t.Environment,
		Detail: json.RawMessage(q.body),
	})
	return stage.Answer{Status: http.StatusAccepted}
}

// numbersV1 are the fields of version 1 that are numbers, all required, with the most that
// each may be and the code that refuses it.
var numbersV1 = []struct {
	name string
	most int64
	code int64
}{
	{"accountTenure", 7, 4000032},
	{"consumptionStatus", 3, 4000034},
	{"deliveryStatus", 5, 4000036},
	{"lifetimeDollarsPurchased", 7, 4000037},
	{"lifetimeDollarsRefunded", 7, 4000038},
	{"platform", 2, 4000039},
	{"playTime", 7, 4000040},
	{"userStatus", 4, 4000042},
}

// consumeV1 is the deprecated version, of consumables and what auto-renews.
func (s *Simulator) consumeV1(q *query) stage.Answer {
	var in map[string]json.RawMessage
	if !q.decode(&in) {
		return badRequest.answer()
	}
	return s.consumed(q, func(t *sale) *apiError {
		if t.Type != Consumable && t.Type != AutoRenewable {
			return &apiError{4000047, "Invalid request. The transaction type is not supported."}
		}
		if string(in["customerConsented"]) != "true" {
			return &invalidConsent
		}
		if sample := string(in["sampleContentProvided"]); sample != "true" && sample != "false" {
			return &invalidSample
		}
		var token string
		if json.Unmarshal(in["appAccountToken"], &token) != nil || token != "" && !tokenPattern.MatchString(token) {
			return &invalidAccountToken
		}
		for _, field := range numbersV1 {
			var n int64
			if json.Unmarshal(in[field.name], &n) != nil || n < 0 || n > field.most {
				return &apiError{field.code, "Invalid request. The field " + field.name + " is invalid."}
			}
		}
		return nil
	})
}
