package web

import (
	"net/http"
	"slices"
	"strings"

	"grantline/shared/billing"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/fault"
)

// personRoute finds what follows a customer's id, from the right; nil where nothing of this
// does.
func (a *API) personRoute(rest string) handler {
	if id, ok := strings.CutSuffix(rest, "/aliases"); ok {
		return only(http.MethodPost, a.ofCustomer(id, a.alias))
	}
	if id, ok := strings.CutSuffix(rest, "/conduct"); ok {
		return only(http.MethodGet, a.ofServer(id, a.conduct))
	}
	if id, ok := strings.CutSuffix(rest, "/conduct/override"); ok {
		return byMethod(map[string]handler{http.MethodPost: a.ofServer(id, a.override), http.MethodDelete: a.ofServer(id, a.lift)})
	}
	parts := strings.Split(rest, "/")
	if n := len(parts); n >= 3 && parts[n-3] == "entitlements" {
		id, name, last := strings.Join(parts[:n-3], "/"), parts[n-2], parts[n-1]
		if last == "explain" {
			return only(http.MethodGet, a.ofCustomer(id, a.explain(name)))
		}
		return only(http.MethodDelete, a.ofServer(id, a.revoke(name, last)))
	}
	if n := len(parts); n >= 2 && parts[n-2] == "entitlements" {
		return only(http.MethodPost, a.ofServer(strings.Join(parts[:n-2], "/"), a.grant(parts[n-1])))
	}
	return nil
}

// byMethod serves a path that takes several methods.
func byMethod(methods map[string]handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if h, ok := methods[r.Method]; ok {
			return h(w, r)
		}
		var allow []string
		for m := range methods {
			allow = append(allow, m)
		}
		slices.Sort(allow)
		return &methodError{strings.Join(allow, ", ")}
	}
}

// ofServer lets the company's server alone through.
func (a *API) ofServer(id string, h func(http.ResponseWriter, *http.Request, Caller, string) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := a.Callers.serverOnly(r); err != nil {
			return err
		}
		return a.ofCustomer(id, h)(w, r)
	}
}

// alias is POST /v1/customers/{id}/aliases. Whoever is confined to one customer speaks for that
// one, and for what was done before anybody had signed in.
func (a *API) alias(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	if caller.Role == App {
		return needsSignIn()
	}
	var q struct {
		Alias string `json:"alias"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	if err := validCustomerID(q.Alias); err != nil {
		return err
	}
	confined := caller.Role != Server || caller.Customer != ""
	if confined && q.Alias != id && !customer.Anonymous(q.Alias) {
		return fault.New(fault.Denied, "another_customer", "Only an anonymous id, $RCAnonymousID:… or anon_…, can be taken along; your server may join any two.")
	}
	c, err := a.Customers.Join(r.Context(), caller.Scope, customer.Alias{ID: id, Other: q.Alias, Unclaimed: confined}, a.Clock)
	if err != nil {
		return err
	}
	if !c.Exists() { // an id is its own name
		if c, err = a.Customers.Named(r.Context(), caller.Scope, id); err != nil {
			return err
		}
	}
	return a.showCustomer(w, r, caller, c)
}

// erase is DELETE /v1/customers/{id}: agreements first, for they are found by what the
// customer holds, then the names.
func (a *API) erase(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	if caller.Role == App {
		return needsSignIn()
	}
	if err := readReason(r); err != nil {
		return err
	}
	c, err := a.Customers.Named(r.Context(), caller.Scope, id)
	if err != nil {
		return err
	}
	var waits error
	var over []string
	for _, s := range c.Sources() {
		if s.Kind != entitlement.KindSubscription {
			continue
		}
		switch err := a.Biller.Erase(r.Context(), caller.Scope, s.Ref); {
		case fault.Code(err) == billing.ChargeUnderWay:
			waits = err // the others end all the same
		case err != nil:
			return err
		}
		over = append(over, s.Ref)
	}
	if waits != nil {
		return waits
	}
	if err := a.Customers.Erase(r.Context(), caller.Scope, id, a.Clock, over...); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readReason takes no body, or one that says why.
func readReason(r *http.Request) error {
	var q struct {
		Reason string `json:"reason"`
	}
	return readOptional(r, &q)
}

// aliasesOf are the company's other ids for a customer, in order; nil without any.
func aliasesOf(c *customer.Customer) []string {
	var all []string
	for _, id := range c.Profile.Others {
		if id != c.Profile.ID && id != "" {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
