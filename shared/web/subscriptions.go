package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/money"
)

// subscriptionRoute finds what follows /v1/subscriptions/, from the right.
func (a *API) subscriptionRoute(rest string) handler {
	for tail, act := range map[string]func(http.ResponseWriter, *http.Request, string) error{
		"/cancel": a.cancel, "/resume": a.resume, "/payment-method": a.paymentMethod, "/plan": a.changePlan, "/charge": a.charge,
	} {
		if id, ok := strings.CutSuffix(rest, tail); ok && billing.ValidID(id) {
			return only(http.MethodPost, func(w http.ResponseWriter, r *http.Request) error { return act(w, r, id) })
		}
	}
	if billing.ValidID(rest) {
		return only(http.MethodGet, func(w http.ResponseWriter, r *http.Request) error { return a.getSubscription(w, r, rest) })
	}
	return noRoute
}

type subscriptionAnswer struct {
	Subscription subscriptionView `json:"subscription"`
	PaymentLink  string           `json:"paymentLink,omitzero"`
}

// cardBody is what a customer brings back from the card form of Toss Payments.
type cardBody struct {
	AuthKey     string `json:"authKey"`
	CustomerKey string `json:"customerKey"`
}

func (c *cardBody) card() *billing.NewCard {
	if c == nil {
		return nil
	}
	return &billing.NewCard{AuthKey: c.AuthKey, CustomerKey: c.CustomerKey}
}

// mandateBody is what Dodo Payments needs for its page, by its own names.
type mandateBody struct {
	Customer struct {
		ID    string `json:"customer_id"`
		Email string `json:"email"`
		Name  string `json:"name"`
		Phone string `json:"phone_number"`
	} `json:"customer"`
	Billing struct {
		Country string `json:"country"`
		City    string `json:"city"`
		State   string `json:"state"`
		Street  string `json:"street"`
		Zip     string `json:"zipcode"`
	} `json:"billing"`
	ReturnURL   string `json:"returnUrl"`
	MandateOnly *bool  `json:"mandateOnly"`
}

func (m *mandateBody) mandate(caller Caller) (*billing.NewMandate, error) {
	switch {
	case m == nil:
		return nil, nil
	case m.MandateOnly == nil:
		return nil, fault.New(fault.Malformed, "invalid_request", "dodo.mandateOnly should be true or false.")
	case m.Customer.ID != "" && caller.Role != Server:
		// Its page may offer that customer's cards.
		return nil, fault.New(fault.Denied, "secret_key_required", "Only the company's server may name a customer of Dodo Payments.")
	}
	return &billing.NewMandate{
		Payer: billing.Payer(m.Customer), Address: billing.Address{
			Country: m.Billing.Country, City: m.Billing.City, State: m.Billing.State, Street: m.Billing.Street, Zip: m.Billing.Zip,
		},
		ReturnURL: m.ReturnURL, Only: *m.MandateOnly,
	}, nil
}

// subscribe is POST /v1/subscriptions.
func (a *API) subscribe(w http.ResponseWriter, r *http.Request) error {
	caller, err := a.Callers.Identify(r)
	if err != nil {
		return err
	}
	if caller.Role == App {
		return needsSignIn()
	}
	var q struct {
		ID         *string      `json:"id"`
		CustomerID *string      `json:"customerId"`
		PlanID     string       `json:"planId"`
		Gateway    string       `json:"gateway"`
		Toss       *cardBody    `json:"toss"`
		Dodo       *mandateBody `json:"dodo"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	named := ""
	if q.CustomerID != nil {
		if named = *q.CustomerID; named == "" {
			return validCustomerID(named)
		}
	}
	id, err := caller.Names(named)
	if err != nil {
		return err
	}
	switch {
	case q.PlanID == "" || len(q.PlanID) > 100:
		return fault.New(fault.Malformed, "invalid_request", "planId should be the id of a plan.")
	case !slices.Contains([]string{"toss", "dodo"}, q.Gateway):
		return fault.New(fault.Malformed, "invalid_request", "gateway should be toss or dodo.")
	case (q.Gateway == "toss") != (q.Toss != nil), (q.Gateway == "dodo") != (q.Dodo != nil):
		return fault.New(fault.Malformed, "invalid_request", "%s should be given, and no other gateway's.", q.Gateway)
	}
	signUp := billing.SignUp{CustomerID: id, Plan: q.PlanID, Gateway: q.Gateway, Card: q.Toss.card()}
	if signUp.Mandate, err = q.Dodo.mandate(caller); err != nil {
		return err
	}
	if q.ID != nil {
		if signUp.ID = *q.ID; !billing.ValidID(signUp.ID) {
			return fault.New(fault.Malformed, "invalid_request", "id should be 1 to 64 letters, digits, - or _, and no route's name.")
		}
	}
	created, err := a.Biller.Subscribe(r.Context(), caller.Scope, signUp)
	if err != nil {
		return err
	}
	status := http.StatusCreated
	switch {
	case q.Gateway == "toss" && created.Subscription.State == billing.StatePending:
		status = http.StatusAccepted
	case created.Existed:
		status = http.StatusOK
	}
	return a.showSubscription(r.Context(), w, status, caller, created.Subscription, id, created.Link)
}

// showSubscription answers with a subscription and all of its charges.
func (a *API) showSubscription(ctx context.Context, w http.ResponseWriter, status int, caller Caller, s billing.Subscription, owner, link string, also ...billing.Charge) error {
	charges, err := a.Biller.Charges(ctx, caller.Scope, s)
	if err != nil {
		return err
	}
	for _, c := range also { // the index may not show it yet
		at := slices.IndexFunc(charges, func(o billing.Charge) bool { return o.ID == c.ID })
		if at < 0 {
			charges = append(charges, c)
		} else {
			charges[at] = c
		}
	}
	return answer(w, status, subscriptionAnswer{subscriptionOf(s, owner, charges), link})
}

// own lets a caller through who may change that subscription, and gives its owner. To
// anybody else it does not exist.
func (a *API) own(r *http.Request, id string) (Caller, string, error) {
	caller, err := a.Callers.Identify(r)
	if err != nil {
		return caller, "", err
	}
	if caller.Role == App {
		return caller, "", needsSignIn()
	}
	s, err := a.Biller.Get(r.Context(), caller.Scope, id)
	if err != nil {
		return caller, "", err
	}
	owner, err := a.ownerOf(r.Context(), caller, s.Customer, noSubscription())
	return caller, owner, err
}

func noSubscription() error {
	return fault.New(fault.NotFound, "subscription_not_found", "There is no such subscription.")
}

// getSubscription is GET /v1/subscriptions/{id}.
func (a *API) getSubscription(w http.ResponseWriter, r *http.Request, id string) error {
	caller, err := a.Callers.Identify(r)
	if err != nil {
		return err
	}
	if caller.Role == App {
		return needsSignIn()
	}
	s, err := a.Biller.Get(r.Context(), caller.Scope, id)
	if err != nil {
		return err
	}
	owner, err := a.ownerOf(r.Context(), caller, s.Customer, noSubscription())
	if err != nil {
		return err
	}
	charges, err := a.Biller.Charges(r.Context(), caller.Scope, s)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, subscriptionOf(s, owner, charges))
}

// cancel is POST /v1/subscriptions/{id}/cancel.
func (a *API) cancel(w http.ResponseWriter, r *http.Request, id string) error {
	caller, owner, err := a.own(r, id)
	if err != nil {
		return err
	}
	var q struct {
		At string `json:"at"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	if q.At != "period_end" && q.At != "now" {
		return fault.New(fault.Malformed, "invalid_request", "at should be period_end or now.")
	}
	s, err := a.Biller.Cancel(r.Context(), caller.Scope, id, q.At == "now")
	if err != nil {
		return err
	}
	return a.showSubscription(r.Context(), w, http.StatusOK, caller, s, owner, "")
}

// resume is POST /v1/subscriptions/{id}/resume.
func (a *API) resume(w http.ResponseWriter, r *http.Request, id string) error {
	caller, owner, err := a.own(r, id)
	if err != nil {
		return err
	}
	if err := readNothing(r); err != nil {
		return err
	}
	s, err := a.Biller.Resume(r.Context(), caller.Scope, id)
	if err != nil {
		return err
	}
	return a.showSubscription(r.Context(), w, http.StatusOK, caller, s, owner, "")
}

// paymentMethod is POST /v1/subscriptions/{id}/payment-method.
func (a *API) paymentMethod(w http.ResponseWriter, r *http.Request, id string) error {
	caller, owner, err := a.own(r, id)
	if err != nil {
		return err
	}
	var q struct {
		Toss *cardBody `json:"toss"`
		Dodo *struct {
			ReturnURL string `json:"returnUrl"`
		} `json:"dodo"`
	}
	if err := readOptional(r, &q); err != nil {
		return err
	}
	returnURL := ""
	if q.Dodo != nil {
		returnURL = q.Dodo.ReturnURL
	}
	if q.Toss != nil && q.Dodo != nil {
		return fault.New(fault.Malformed, "invalid_request", "Only what the subscription's gateway needs should be given.")
	}
	s, link, waiting, err := a.Biller.ChangeMethod(r.Context(), caller.Scope, id, q.Toss.card(), returnURL)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if waiting {
		status = http.StatusAccepted
	}
	return a.showSubscription(r.Context(), w, status, caller, s, owner, link)
}

// changePlan is POST /v1/subscriptions/{id}/plan.
func (a *API) changePlan(w http.ResponseWriter, r *http.Request, id string) error {
	if _, err := a.Callers.serverOnly(r); err != nil {
		return err
	}
	caller, owner, err := a.own(r, id)
	if err != nil {
		return err
	}
	var q struct {
		PlanID string `json:"planId"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	if q.PlanID == "" || len(q.PlanID) > 100 {
		return fault.New(fault.Malformed, "invalid_request", "planId should be the id of a plan.")
	}
	s, err := a.Biller.ChangePlan(r.Context(), caller.Scope, id, q.PlanID)
	if err != nil {
		return err
	}
	return a.showSubscription(r.Context(), w, http.StatusOK, caller, s, owner, "")
}

// charge is POST /v1/subscriptions/{id}/charge.
func (a *API) charge(w http.ResponseWriter, r *http.Request, id string) error {
	if _, err := a.Callers.serverOnly(r); err != nil {
		return err
	}
	caller, owner, err := a.own(r, id)
	if err != nil {
		return err
	}
	var q struct {
		OrderID     string `json:"orderId"`
		Amount      int64  `json:"amount"`
		Currency    string `json:"currency"`
		Description string `json:"description"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	c, err := a.Biller.Demand(r.Context(), caller.Scope, id, billing.Demand{
		OrderID: q.OrderID, Amount: money.Of(q.Amount, q.Currency), Description: q.Description,
	})
	if err != nil {
		return err
	}
	s, err := a.Biller.Get(r.Context(), caller.Scope, id)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if c.State != billing.Paid && c.State != billing.Declined {
		status = http.StatusAccepted
	}
	return a.showSubscription(r.Context(), w, status, caller, s, owner, "", c)
}
