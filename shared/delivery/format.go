package delivery

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// The formats.
const (
	Standard   = "standard"   // our own, by Standard Webhooks
	RevenueCat = "revenuecat" // what consumers of RevenueCat's webhooks understand
)

// Format is how an event is told to an endpoint. All of them are signed by Standard Webhooks
// besides.
type Format interface {
	Name() string
	// Whole says whether Compose needs the order or charge that an event is about.
	Whole() bool
	// Compose makes the bodies, each of them a request, and what they need of headers. None
	// says that the format has no word for the event.
	Compose(t Telling) (bodies [][]byte, header http.Header, err error)
	// OK says whether an answer's status means that the event was taken.
	OK(status int) bool
}

var formats = map[string]Format{Standard: standard{}, RevenueCat: revenueCat{}}

// EndpointTest is the type of what is sent to see whether an endpoint takes it.
const EndpointTest event.Type = "endpoint.test"

// Telling is one event as it is told to one endpoint.
type Telling struct {
	Scope table.Scope
	// ID is the webhook-id: the same whenever and wherever the event is told.
	ID string
	// CustomerID is the company's first id of the customer, "" once that one was erased.
	CustomerID string
	OtherIDs   []string // its other ids
	Event      customer.Told

	// What follows is nil and empty for a format that does not need it.
	Order        *purchase.Order
	Charge       *billing.Charge
	Kind         catalog.Kind // of the product
	Grace        bool         // the plan keeps access while attempts remain
	Entitlements []string     // what the customer may use now
	// Authorization is the header that the endpoint knows us by, "" where there is none.
	Authorization string
}

// messageID is the webhook-id of a customer's event. Nothing of the customer can be read in it.
func messageID(scope table.Scope, ref string, sequence int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "webhook|%s|%s|%s|%d", scope.Project, scope.Environment, ref, sequence))
	return "evt_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])[:32])
}

// messageIDOf is the webhook-id of the n-th request that tells of an event, from 0.
func messageIDOf(id string, n int) string {
	if n == 0 {
		return id
	}
	return id + "_" + strconv.Itoa(n+1)
}

// standard is our own format: a type, the instant of the event, and the event as the API
// shows it (Standard Webhooks, "Payload structure").
type standard struct{}

// Payload is the body in the format standard.
type Payload struct {
	Type      event.Type `json:"type"`
	Timestamp time.Time  `json:"timestamp"` // of the event; the header's is that of the attempt
	Data      Data       `json:"data"`
}

// Data is what happened, and to whom.
type Data struct {
	CustomerID  string `json:"customerId,omitzero"` // left out of one who was erased
	Project     string `json:"project"`
	Environment string `json:"environment"`
	customer.Told
}

func (standard) Name() string { return Standard }

func (standard) Whole() bool { return false }

func (standard) Compose(t Telling) (bodies [][]byte, header http.Header, err error) {
	body, err := json.Marshal(Payload{
		Type: t.Event.Type, Timestamp: t.Event.At.UTC(),
		Data: Data{CustomerID: t.CustomerID, Project: t.Scope.Project, Environment: t.Scope.Environment, Told: t.Event},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("delivery: bug: a webhook's body is no JSON: %w", err)
	}
	return [][]byte{body}, nil, nil
}

// OK is any status of 2xx (Standard Webhooks, "Operational considerations").
func (standard) OK(status int) bool { return status >= 200 && status < 300 }
