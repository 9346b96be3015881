package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"grantline/shared/abuse"
	"grantline/shared/billing"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/delivery"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// API serves customers, subscriptions and orders, to apps and to servers.
type API struct {
	Callers   *Callers
	Tables    table.Tables
	Customers customer.Directory
	Biller    *billing.Biller
	Clock     clock.Clock
	Log       *slog.Logger
	// Health says whether tables and queues answer.
	Health func(ctx context.Context) error
	// Abuse is the project's policy; nil does nothing.
	Abuse abuse.Policy
	// Endpoints are the company's servers that are told of events.
	Endpoints *delivery.Registry
	// RequestID is the API's id of the request that a context belongs to; nil: none is known.
	RequestID func(ctx context.Context) string
}

// ServeHTTP finds the route by hand, from the right: a customer's id may hold any
// printable character, '/' among them, and API Gateway hands over a path that is decoded
// already, so that no pattern could tell an id's slash from a path's.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serve(w, r, a.Log, a.attended(a.route(r.Method, r.URL.Path)), refuseWithProblem)
}

func (a *API) route(method, path string) handler {
	if path == "/healthz" {
		return only(http.MethodGet, a.healthz)
	}
	if id, ok := strings.CutPrefix(path, "/v1/customers/"); ok && id != "" {
		if id, ok := strings.CutSuffix(id, "/events"); ok {
			return only(http.MethodGet, a.ofCustomer(id, a.events))
		}
		if h := a.walletRoute(id); h != nil {
			return h
		}
		if h := a.personRoute(id); h != nil {
			return h
		}
		return byMethod(map[string]handler{
			http.MethodGet: a.ofCustomer(id, a.getCustomer), http.MethodPut: a.ofCustomer(id, a.putCustomer),
			http.MethodDelete: a.ofCustomer(id, a.erase),
		})
	}
	if path == "/v1/audit" {
		return only(http.MethodGet, a.listActs)
	}
	if rest, ok := strings.CutPrefix(path, "/v1/endpoints"); ok {
		return a.endpointRoute(rest)
	}
	if path == "/v1/subscriptions" {
		return only(http.MethodPost, a.subscribe)
	}
	if rest, ok := strings.CutPrefix(path, "/v1/subscriptions/"); ok {
		return a.subscriptionRoute(rest)
	}
	if rest, ok := strings.CutPrefix(path, "/v1/orders/"); ok {
		return a.orderRoute(rest)
	}
	return noRoute
}

func (a *API) healthz(w http.ResponseWriter, r *http.Request) error {
	if err := a.Health(r.Context()); err != nil {
		return fault.New(fault.Unavailable, "unhealthy", "Tables or queues do not answer.").Because(err)
	}
	return answer(w, http.StatusOK, map[string]bool{"ok": true})
}

// ofCustomer lets a caller through who may ask about that customer.
func (a *API) ofCustomer(id string, h func(http.ResponseWriter, *http.Request, Caller, string) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		caller, err := a.Callers.Identify(r)
		if err != nil {
			return err
		}
		if err := validCustomerID(id); err != nil {
			return err
		}
		if id, err = caller.Names(id); err != nil {
			return err
		}
		if caller.Role == User { // who has only read stands behind an id as well
			if err := a.Customers.SignedIn(r.Context(), caller.Scope, id, a.Clock); err != nil {
				return err
			}
		}
		if caller.Role == App {
			caller.Customer = id
		}
		return h(w, r, caller, id)
	}
}

// getCustomer is GET /v1/customers/{id}. An app or a user that asks for one who is not
// known yet makes it known, so that the store ids it is given name a customer.
func (a *API) getCustomer(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	c, err := a.Customers.Named(r.Context(), caller.Scope, id)
	if err != nil {
		return err
	}
	if !c.Exists() && caller.Role != Server {
		if err := a.write(r.Context(), c); err != nil {
			return err
		}
	}
	return a.showCustomer(w, r, caller, c)
}

// write stores a customer; one that another request stored first is as good.
func (a *API) write(ctx context.Context, c *customer.Customer) error {
	writes, err := c.Writes(a.Clock.Now())
	if err != nil {
		return err
	}
	err = a.Tables.Commit(ctx, writes...)
	if isConflict(err) && c.Sequence() == 0 {
		return nil
	}
	return err
}

func (a *API) showCustomer(w http.ResponseWriter, r *http.Request, caller Caller, c *customer.Customer) error {
	shown := caller.shown(c, caller.Customer)
	ids, err := a.Customers.Identity.StoreIDs(r.Context(), caller.Scope, shown)
	if err != nil {
		return err
	}
	var held []heldView
	if caller.Role != App {
		var names []string
		for _, s := range c.Sources() {
			if s.Kind == "subscription" {
				names = append(names, s.Ref)
			}
		}
		subscriptions, err := a.Biller.Held(r.Context(), caller.Scope, names)
		if err != nil {
			return err
		}
		for _, s := range subscriptions {
			held = append(held, heldView{s.ID, s.Plan, s.Gateway, s.Terms.Entitlement, s.State, instant(s.PaidUntil), instant(s.NextDueAt)})
		}
	}
	view := customerOf(c, ids, a.Clock.Now(), caller.Role != App, held)
	view.ID = shown
	if caller.Role == Server {
		view.Aliases = aliasesOf(c)
	}
	return answer(w, http.StatusOK, view)
}

// putCustomer is PUT /v1/customers/{id}: where reminders go, and what a charge says.
func (a *API) putCustomer(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	if caller.Role == App {
		return needsSignIn()
	}
	var q struct {
		Email  *string `json:"email"`
		Phone  *string `json:"phone"`
		Name   *string `json:"name"`
		Locale *string `json:"locale"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	for try := 0; ; try++ {
		c, err := a.Customers.Named(r.Context(), caller.Scope, id)
		if err != nil {
			return err
		}
		p := c.Profile
		for field, value := range map[*string]*string{&p.Email: q.Email, &p.Phone: q.Phone, &p.Name: q.Name, &p.Locale: q.Locale} {
			if value != nil {
				*field = *value
			}
		}
		if err := p.Valid(); err != nil {
			return err
		}
		c.SetProfile(p)
		writes, err := c.Writes(a.Clock.Now())
		if err != nil {
			return err
		}
		switch err = a.Tables.Commit(r.Context(), writes...); {
		case isConflict(err) && try < 10:
		case isConflict(err):
			return fault.New(fault.Unavailable, "busy", "Too much happened to this customer at once; ask again.").Because(err)
		case err != nil:
			return err
		default:
			return a.showCustomer(w, r, caller, c)
		}
	}
}

func needsSignIn() error {
	return fault.New(fault.Denied, "sign_in_required", "A public key may claim purchases and read entitlements and balances, nothing else.")
}

// eventsAPage is how many events one answer holds.
const eventsAPage = 100

// events is GET /v1/customers/{id}/events?after=.
func (a *API) events(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
	if caller.Role == App {
		return needsSignIn()
	}
	var after int64
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.New(fault.Malformed, "invalid_request", "The query cannot be read.")
	}
	if text := query.Get("after"); text != "" {
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 || after > 1e12-2 {
			return fault.New(fault.Malformed, "invalid_request", "after should be the number of the last event that was seen.")
		}
	}
	ref, err := a.Customers.Identity.Ref(r.Context(), caller.Scope, id)
	if err != nil {
		return err
	}
	found, err := customer.Events(r.Context(), a.Tables, caller.Scope, ref, after, eventsAPage)
	if err != nil {
		return err
	}
	// By whichever id it is asked for: who was merged has its own events, and those alone.
	own, err := customer.Outgoing(r.Context(), a.Tables, caller.Scope, ref)
	if err != nil && !isNotFound(err) {
		return err
	}
	told := []customer.Told{}
	if err == nil {
		if told, err = own.Told(r.Context(), a.Tables, found); err != nil {
			return err
		}
	}
	if caller.Role != Server {
		for i := range told {
			told[i].Cause = wordless(told[i].Cause)
			// Who is another's is told to whoever said so itself, and to nobody else.
			if t := told[i].Type; t != event.CustomerMerged && t != event.CustomerAliased && t != event.GiftSent && t != event.GiftReturned {
				told[i].OtherCustomerID = ""
			}
		}
	}
	page := struct {
		Events []customer.Told `json:"events"`
		Next   *int64          `json:"next,omitzero"`
	}{Events: told}
	if len(found) == eventsAPage {
		page.Next = &found[len(found)-1].Sequence
	}
	return answer(w, http.StatusOK, page)
}

// ownerOf is the company's id of a record's customer, for a caller who may know it. To
// anybody else the record does not exist.
func (a *API) ownerOf(ctx context.Context, caller Caller, ref string, absent error) (string, error) {
	c, err := customer.Read(ctx, a.Tables, caller.Scope, ref)
	if err != nil {
		return "", err
	}
	if caller.Role == Server && caller.Customer == "" {
		return c.Profile.ID, nil
	}
	mine, err := a.Customers.Identity.Ref(ctx, caller.Scope, caller.Customer)
	if err != nil {
		return "", err
	}
	if !c.Is(mine) {
		return "", absent
	}
	return c.Profile.ID, nil
}
