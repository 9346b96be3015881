package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"grantline/shared/delivery"
	"grantline/shared/fault"
)

// endpointRoute finds what follows /v1/endpoints.
func (a *API) endpointRoute(rest string) handler {
	if rest == "" {
		return byMethod(map[string]handler{http.MethodGet: a.company(a.listEndpoints), http.MethodPost: a.company(a.createEndpoint)})
	}
	id, tail, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	if !strings.HasPrefix(rest, "/") || !delivery.ValidID(id) || strings.HasSuffix(rest, "/") {
		return noRoute
	}
	of := func(h func(http.ResponseWriter, *http.Request, Caller, string) error) handler {
		return a.company(func(w http.ResponseWriter, r *http.Request, caller Caller) error { return h(w, r, caller, id) })
	}
	switch tail {
	case "":
		return byMethod(map[string]handler{
			http.MethodGet: of(a.getEndpoint), http.MethodPut: of(a.changeEndpoint), http.MethodDelete: of(a.removeEndpoint),
		})
	case "rotate":
		return only(http.MethodPost, of(a.rotateEndpoint))
	case "test":
		return only(http.MethodPost, of(a.testEndpoint))
	case "failures":
		return only(http.MethodGet, of(a.listFailures))
	case "redrive":
		return only(http.MethodPost, of(a.redriveEndpoint))
	case "replay":
		return only(http.MethodPost, of(a.replayToEndpoint))
	}
	return noRoute
}

// company lets the company's server through, with a key that is not confined to a customer:
// an endpoint is told of all of them.
func (a *API) company(h func(http.ResponseWriter, *http.Request, Caller) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		caller, err := a.Callers.serverOnly(r)
		if err != nil {
			return err
		}
		if caller.Customer != "" {
			return anotherCustomer()
		}
		return h(w, r, caller)
	}
}

type endpointView struct {
	ID          string         `json:"id"`
	URL         string         `json:"url"`
	Format      string         `json:"format"`
	Types       []string       `json:"types"`
	Description string         `json:"description"`
	State       delivery.State `json:"state"`
	Because     string         `json:"because,omitzero"` // why it is disabled, if nobody asked for it
	After       string         `json:"after"`
	CreatedAt   *time.Time     `json:"createdAt"`
	RotatedAt   *time.Time     `json:"rotatedAt,omitzero"`
}

func endpointOf(e delivery.Endpoint) endpointView {
	v := endpointView{
		ID: e.ID, URL: e.URL, Format: e.Format, Types: e.Types, Description: e.Description, State: e.State, Because: e.Because,
		After: "now", CreatedAt: instant(e.CreatedAt), RotatedAt: instant(e.RotatedAt),
	}
	if v.Types == nil {
		v.Types = []string{}
	}
	if e.FromBeginning {
		v.After = "beginning"
	}
	return v
}

// endpointAnswer is an endpoint, and its secrets this once.
type endpointAnswer struct {
	Endpoint      endpointView `json:"endpoint"`
	Secret        string       `json:"secret,omitzero"`
	Authorization string       `json:"authorization,omitzero"`
}

// listEndpoints is GET /v1/endpoints.
func (a *API) listEndpoints(w http.ResponseWriter, r *http.Request, caller Caller) error {
	found, err := a.Endpoints.List(r.Context(), caller.Scope)
	if err != nil {
		return err
	}
	views := make([]endpointView, len(found))
	for i, e := range found {
		views[i] = endpointOf(e)
	}
	return answer(w, http.StatusOK, map[string][]endpointView{"endpoints": views})
}

// createEndpoint is POST /v1/endpoints.
func (a *API) createEndpoint(w http.ResponseWriter, r *http.Request, caller Caller) error {
	var q struct {
		ID            *string  `json:"id"`
		URL           string   `json:"url"`
		Format        *string  `json:"format"`
		Types         []string `json:"types"`
		Description   string   `json:"description"`
		After         *string  `json:"after"`
		Authorization *string  `json:"authorization"`
		Reason        string   `json:"reason"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	ask := delivery.NewEndpoint{URL: q.URL, Format: delivery.Standard, Types: q.Types, Description: q.Description}
	if q.ID != nil {
		if ask.ID = *q.ID; !delivery.ValidID(ask.ID) {
			return fault.New(fault.Malformed, "invalid_request", "id should be 1 to 40 of a-z, 0-9, _ and -.")
		}
	}
	if q.Format != nil {
		ask.Format = *q.Format
	}
	if q.After != nil {
		if ask.FromBeginning = *q.After == "beginning"; !ask.FromBeginning && *q.After != "now" {
			return fault.New(fault.Malformed, "invalid_request", "after should be now or beginning.")
		}
	}
	if ask.Authorization = given(q.Authorization); q.Authorization != nil && ask.Authorization == "" {
		return fault.New(fault.Malformed, "invalid_request", "authorization should not be empty; leave it out to have one made.")
	}
	e, made, err := a.Endpoints.Create(r.Context(), caller.Scope, ask)
	if err != nil {
		return err
	}
	if made == nil {
		return answer(w, http.StatusOK, endpointAnswer{Endpoint: endpointOf(e)})
	}
	return answer(w, http.StatusCreated, endpointAnswer{endpointOf(e), made.Signing, made.Authorization})
}

func given(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// getEndpoint is GET /v1/endpoints/{endpointId}.
func (a *API) getEndpoint(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	e, err := a.Endpoints.Get(r.Context(), caller.Scope, id)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, endpointAnswer{Endpoint: endpointOf(e)})
}

// changeEndpoint is PUT /v1/endpoints/{endpointId}: what is left out stays.
func (a *API) changeEndpoint(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	var q struct {
		URL         *string         `json:"url"`
		Types       *[]string       `json:"types"`
		Description *string         `json:"description"`
		State       *delivery.State `json:"state"`
		Reason      string          `json:"reason"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	e, err := a.Endpoints.Change(r.Context(), caller.Scope, id, delivery.Change{URL: q.URL, Types: q.Types, Description: q.Description, State: q.State})
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, endpointAnswer{Endpoint: endpointOf(e)})
}

// removeEndpoint is DELETE /v1/endpoints/{endpointId}.
func (a *API) removeEndpoint(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	if err := a.Endpoints.Remove(r.Context(), caller.Scope, id); err != nil {
		return err
	}
	return answer(w, http.StatusOK, map[string]bool{"removed": true})
}

// rotateEndpoint is POST /v1/endpoints/{endpointId}/rotate.
func (a *API) rotateEndpoint(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	var q struct {
		Authorization string `json:"authorization"`
		Reason        string `json:"reason"`
	}
	if err := readOptional(r, &q); err != nil {
		return err
	}
	e, made, err := a.Endpoints.Rotate(r.Context(), caller.Scope, id, q.Authorization)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, endpointAnswer{endpointOf(e), made.Signing, made.Authorization})
}

// testEndpoint is POST /v1/endpoints/{endpointId}/test.
func (a *API) testEndpoint(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	if err := reasonAlone(r); err != nil {
		return err
	}
	made, err := a.Endpoints.Test(r.Context(), caller.Scope, id)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct {
		Taken   bool   `json:"taken"`
		Status  int    `json:"status,omitzero"` // left out where there was no answer
		Problem string `json:"problem,omitzero"`
	}{made.Taken, made.Status, made.Why})
}

// reasonAlone takes no body, or one with nothing but a reason.
func reasonAlone(r *http.Request) error {
	return readOptional(r, &struct {
		Reason string `json:"reason"`
	}{})
}

// failuresAPage is how many dead letters one answer holds.
const failuresAPage = 20

type failureView struct {
	CustomerID string     `json:"customerId,omitzero"` // left out of one who was erased
	From       int64      `json:"from"`
	To         int64      `json:"to"`
	Status     int        `json:"status,omitzero"` // left out where there was no answer
	At         *time.Time `json:"at"`
}

// listFailures is GET /v1/endpoints/{endpointId}/failures?after=.
func (a *API) listFailures(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.New(fault.Malformed, "invalid_request", "The query cannot be read.")
	}
	found, next, err := a.Endpoints.Failures(r.Context(), caller.Scope, id, query.Get("after"), failuresAPage)
	if err != nil {
		return err
	}
	views := make([]failureView, len(found))
	for i, f := range found {
		views[i] = failureView{f.CustomerID, f.From, f.To, f.Status, instant(f.At)}
	}
	return answer(w, http.StatusOK, struct {
		Failures []failureView `json:"failures"`
		Next     string        `json:"next,omitzero"`
	}{views, next})
}

// redriveEndpoint is POST /v1/endpoints/{endpointId}/redrive.
func (a *API) redriveEndpoint(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	if err := reasonAlone(r); err != nil {
		return err
	}
	done, more, err := a.Endpoints.Redrive(r.Context(), caller.Scope, id)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct {
		Redriven int  `json:"redriven"`
		More     bool `json:"more"`
	}{done, more})
}

// replayToEndpoint is POST /v1/endpoints/{endpointId}/replay.
func (a *API) replayToEndpoint(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	var q struct {
		CustomerID string `json:"customerId"`
		After      *int64 `json:"after"`
		Reason     string `json:"reason"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	if err := validCustomerID(q.CustomerID); err != nil {
		return err
	}
	if q.After == nil || *q.After < 0 || *q.After > 1e12-2 {
		return fault.New(fault.Malformed, "invalid_request", "after should be the number of the last event that was seen, or 0.")
	}
	ref, err := a.Customers.Identity.Ref(r.Context(), caller.Scope, q.CustomerID)
	if err != nil {
		return err
	}
	if err := a.Endpoints.Replay(r.Context(), caller.Scope, id, ref, *q.After); err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct {
		CustomerID string `json:"customerId"`
		After      int64  `json:"after"`
	}{q.CustomerID, *q.After})
}
