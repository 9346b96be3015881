package web

import (
	"net/http"
	"net/url"
	"regexp"
	"time"

	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
)

// entitlementNames is what a catalog's entitlement can be called.
var entitlementNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$`)

func validEntitlement(name string) error {
	if !entitlementNames.MatchString(name) {
		return fault.New(fault.Malformed, "invalid_request", "An entitlement's id should be 1 to 100 letters, digits, and . _ : -")
	}
	return nil
}

type explanationView struct {
	Entitlement string            `json:"entitlement"`
	At          time.Time         `json:"at"`
	Active      bool              `json:"active"`
	State       entitlement.State `json:"state"` // none where no source ever gave it
	ExpiresAt   *time.Time        `json:"expiresAt"`
	Sources     []sourceView      `json:"sources"`
	Because     []stepView        `json:"because"`
	Earlier     int               `json:"earlier,omitzero"` // steps before those
}

// stepView is one event of an explanation.
type stepView struct {
	Sequence       int64        `json:"sequence"`
	Type           event.Type   `json:"type"`
	At             time.Time    `json:"at"`
	OrderID        string       `json:"orderId,omitzero"`
	SubscriptionID string       `json:"subscriptionId,omitzero"`
	Reference      string       `json:"reference,omitzero"`
	Cause          *event.Cause `json:"cause,omitzero"`
	// Merged says that it is an event of a customer who was merged into this one, numbered
	// there; CustomerID is the company's id for that one, as long as it is known.
	Merged     bool   `json:"merged,omitzero"`
	CustomerID string `json:"customerId,omitzero"`
}

// explain is GET /v1/customers/{id}/entitlements/{entitlement}/explain?at=.
func (a *API) explain(name string) func(http.ResponseWriter, *http.Request, Caller, string) error {
	return func(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
		if caller.Role == App {
			return needsSignIn()
		}
		if err := validEntitlement(name); err != nil {
			return err
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return fault.New(fault.Malformed, "invalid_request", "The query cannot be read.")
		}
		at := a.Clock.Now()
		if text := query.Get("at"); text != "" {
			then, err := time.Parse(time.RFC3339, text)
			if err != nil || then.After(at) {
				return fault.New(fault.Malformed, "invalid_request", "at should be an instant that has been, as 2026-11-20T02:14:07Z.")
			}
			at = then
		}
		x, err := a.Customers.Explain(r.Context(), caller.Scope, id, name, at)
		if err != nil {
			return err
		}
		c, err := a.Customers.Named(r.Context(), caller.Scope, id)
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, explanationOf(x, c, name, at, caller.Role == Server))
	}
}

func explanationOf(x customer.Explanation, c *customer.Customer, name string, at time.Time, server bool) explanationView {
	e := x.Entitlement
	v := explanationView{
		Entitlement: name, At: at.UTC(), Active: e.Active, State: e.State, ExpiresAt: instant(e.ExpiresAt),
		Sources: []sourceView{}, Because: []stepView{}, Earlier: x.Earlier,
	}
	if e.ID == "" {
		v.State = "none"
	}
	for _, s := range e.Sources {
		v.Sources = append(v.Sources, sourceOf(s, at))
	}
	for _, s := range x.Because {
		step := stepView{
			Sequence: s.Event.Sequence, Type: s.Event.Type, At: s.Event.At.UTC(), OrderID: s.Event.OrderID, SubscriptionID: s.Event.SubscriptionID,
			Reference: s.Event.Reference, Cause: s.Event.Cause, Merged: s.Of != "", CustomerID: c.Profile.Others[s.Of],
		}
		if !server {
			step.Cause = wordless(step.Cause)
		}
		v.Because = append(v.Because, step)
	}
	return v
}

// wordless is a cause as a customer sees it: what a person of the company's wrote about it is
// for the company.
func wordless(c *event.Cause) *event.Cause {
	if c == nil {
		return nil
	}
	cause := *c
	cause.Reason = ""
	return &cause
}
