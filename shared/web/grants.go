package web

import (
	"net/http"
	"time"

	"grantline/shared/customer"
	"grantline/shared/fault"
)

// grant is POST /v1/customers/{id}/entitlements/{entitlement}.
func (a *API) grant(name string) func(http.ResponseWriter, *http.Request, Caller, string) error {
	return func(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
		var q struct {
			Reference string     `json:"reference"`
			ExpiresAt *time.Time `json:"expiresAt"`
			Reason    string     `json:"reason"`
		}
		if err := read(r, &q); err != nil {
			return err
		}
		if !a.Biller.Catalog.Opens(name) {
			return fault.New(fault.Invalid, "unknown_entitlement", "The catalog has no entitlement of that name.")
		}
		g := customer.Grant{Entitlement: name, Reference: q.Reference, Reason: q.Reason}
		if q.ExpiresAt != nil {
			if g.ExpiresAt = q.ExpiresAt.UTC(); g.ExpiresAt.IsZero() {
				return fault.New(fault.Invalid, "grant_over", "expiresAt should be in the future.")
			}
		}
		c, err := a.Customers.Grant(r.Context(), caller.Scope, id, g, a.Clock)
		if err != nil {
			return err
		}
		return a.showCustomer(w, r, caller, c)
	}
}

// revoke is DELETE /v1/customers/{id}/entitlements/{entitlement}/{reference}.
func (a *API) revoke(name, reference string) func(http.ResponseWriter, *http.Request, Caller, string) error {
	return func(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
		if err := readReason(r); err != nil {
			return err
		}
		reason := reasonGiven(r)
		c, err := a.Customers.Revoke(r.Context(), caller.Scope, id, customer.Grant{Entitlement: name, Reference: reference, Reason: reason}, a.Clock)
		if err != nil {
			return err
		}
		return a.showCustomer(w, r, caller, c)
	}
}
