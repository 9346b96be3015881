package web

import (
	"net/http"

	"grantline/shared/abuse"
	"grantline/shared/customer"
	"grantline/shared/fault"
)

// conductView is what is known of a customer's refunds, what that comes to, and what people
// decided.
type conductView struct {
	CustomerID string           `json:"customerId"`
	Score      int              `json:"score"`
	Reasons    []abuse.Reason   `json:"reasons"`
	Measures   []abuse.Measure  `json:"measures"` // in force
	Override   *abuse.Override  `json:"override,omitzero"`
	Overrides  []abuse.Override `json:"overrides"` // all that are kept, oldest first
	History    historyView      `json:"history"`
}

type historyView struct {
	Purchases int              `json:"purchases"`
	Paid      map[string]int64 `json:"paid"`
	Count     int              `json:"count"`
	Returned  map[string]int64 `json:"returned"`
	Debt      map[string]int64 `json:"debt"`
	Refunds   []abuse.Refund   `json:"refunds"`
}

// conduct is GET /v1/customers/{id}/conduct.
func (a *API) conduct(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	c, err := a.Customers.Named(r.Context(), caller.Scope, id)
	if err != nil {
		return err
	}
	return a.showConduct(w, c)
}

func (a *API) showConduct(w http.ResponseWriter, c *customer.Customer) error {
	h := c.Conduct()
	is := h.Assess(a.Abuse, c.Debts(), a.Clock.Now())
	v := conductView{
		CustomerID: c.Profile.ID, Score: is.Score, Reasons: is.Reasons, Measures: is.Measures, Override: is.Override, Overrides: h.Overrides,
		History: historyView{
			Purchases: h.Purchases, Paid: h.Paid, Count: h.Count, Returned: h.Returned, Debt: c.Debts(), Refunds: h.Refunds,
		},
	}
	// Nothing known is an empty list, not null.
	if v.Reasons == nil {
		v.Reasons = []abuse.Reason{}
	}
	if v.Measures == nil {
		v.Measures = []abuse.Measure{}
	}
	if v.Overrides == nil {
		v.Overrides = []abuse.Override{}
	}
	if v.History.Refunds == nil {
		v.History.Refunds = []abuse.Refund{}
	}
	for _, m := range []*map[string]int64{&v.History.Paid, &v.History.Returned} {
		if *m == nil {
			*m = map[string]int64{}
		}
	}
	return answer(w, http.StatusOK, v)
}

// override is POST /v1/customers/{id}/conduct/override: a person decides.
func (a *API) override(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	var q struct {
		Measures *[]abuse.Measure `json:"measures"`
		Reason   string           `json:"reason"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	if q.Measures == nil {
		return fault.New(fault.Malformed, "invalid_request", "measures should be a list, empty where none is to be in force.")
	}
	o := abuse.Override{Measures: *q.Measures, Reason: q.Reason, By: caller.Name}
	c, err := a.Customers.Override(r.Context(), caller.Scope, id, o, a.Abuse, a.Clock)
	if err != nil {
		return err
	}
	return a.showConduct(w, c)
}

// lift is DELETE /v1/customers/{id}/conduct/override.
func (a *API) lift(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	var q struct {
		Reason string `json:"reason"`
	}
	if err := readOptional(r, &q); err != nil {
		return err
	}
	c, err := a.Customers.Lift(r.Context(), caller.Scope, id, reasonGiven(r), a.Abuse, a.Clock)
	if err != nil {
		return err
	}
	return a.showConduct(w, c)
}
