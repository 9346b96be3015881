package dodo

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/transport"
)

// What Dodo is sent about a payer (ISO 3166-1; RFC 5321 for the length of an address).
var (
	countryShape = regexp.MustCompile(`^[A-Z]{2}$`)
	mailShape    = regexp.MustCompile(`^[^\s@<>"(),:;\\\x00-\x1f]{1,64}@[^\s@<>"(),:;\\\x00-\x1f]{3,189}$`)
	phoneShape   = regexp.MustCompile(`^\+?[0-9 ()-]{4,30}$`)
)

// creation is the body of a mandate's making.
type creation struct {
	Product   string   `json:"product_id"`
	Quantity  int      `json:"quantity"`
	Billing   address  `json:"billing"`
	Customer  payer    `json:"customer"`
	Link      bool     `json:"payment_link"`
	ReturnURL string   `json:"return_url"`
	Metadata  metadata `json:"metadata"`
	OnDemand  onDemand `json:"on_demand"`
}

type address struct {
	Country string `json:"country"`
	City    string `json:"city,omitempty"`
	State   string `json:"state,omitempty"`
	Street  string `json:"street,omitempty"`
	Zip     string `json:"zipcode,omitempty"`
}

type payer struct {
	ID    string `json:"customer_id,omitempty"`
	Email string `json:"email,omitempty"`
	Name  string `json:"name,omitempty"`
	Phone string `json:"phone_number,omitempty"`
}

type onDemand struct {
	MandateOnly bool   `json:"mandate_only"`
	Price       int64  `json:"product_price,omitempty"`
	Currency    string `json:"product_currency,omitempty"`
	Description string `json:"product_description,omitempty"`
	Included    *bool  `json:"adaptive_currency_fees_inclusive,omitempty"`
}

// refusals are the codes by which Dodo refuses what the customer brought, in our words.
var refusals = map[string]string{
	"INVALID_REQUEST_BODY":               "Dodo Payments refused the customer's details, the billing address or the return address.",
	"INVALID_REQUEST_PARAMETERS":         "Dodo Payments refused the customer's details, the billing address or the return address.",
	"UNSUPPORTED_COUNTRY":                "Dodo Payments does not sell in the country of the billing address.",
	"NO_ELIGIBLE_PAYMENT_METHODS":        "Dodo Payments has no means of payment for the country of the billing address.",
	"CUSTOMER_HAS_EXISTING_SUBSCRIPTION": "The customer has a subscription at Dodo Payments already.",
}

// Invite makes a mandate and the page on which the customer approves it. Its errors are
// fault.Invalid with code "invalid_mandate", naming the field, or "gateway_refused";
// and fault.Unavailable with code "gateway_unavailable", where it may have been made. One
// that nobody approves takes no money, so it may be asked for again.
func (g *Gateway) Invite(ctx context.Context, i billing.Invitation) (billing.Invited, error) {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	if field, should := unfit(i); field != "" {
		return billing.Invited{}, fault.New(fault.Invalid, "invalid_mandate", "%s should be %s.", field, should)
	}
	request := creation{
		Product: i.Product, Quantity: 1, Link: true, ReturnURL: i.ReturnURL,
		Billing:  address(i.Address),
		Customer: payer(i.Customer),
		Metadata: metadata{OrderID: i.OrderID, Subscription: i.Subscription},
		OnDemand: onDemand{MandateOnly: i.OrderID == ""},
	}
	if i.Customer.ID != "" {
		request.Customer = payer{ID: i.Customer.ID}
	}
	if i.OrderID != "" {
		request.OnDemand = onDemand{Price: i.Price.Units, Currency: i.Price.Currency, Description: i.Name, Included: &i.FeesIncluded}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return billing.Invited{}, unavailable().Because(errors.New("dodo: the mandate cannot be written as JSON"))
	}
	a, err := g.tell(ctx, "invite", call{method: http.MethodPost, path: "/subscriptions", body: body})
	if err != nil {
		return billing.Invited{}, err
	}
	if a.status != http.StatusOK && a.status != http.StatusCreated {
		if detail, ok := refusals[a.code]; ok && a.status >= 400 && a.status < 500 {
			return billing.Invited{}, fault.New(fault.Invalid, "gateway_refused", "%s", detail)
		}
		if gone(a) && i.Customer.ID != "" {
			return billing.Invited{}, fault.New(fault.Invalid, "gateway_refused", "Dodo Payments knows no such customer, or no such product.")
		}
		return billing.Invited{}, g.misunderstood(ctx, "invite", a)
	}
	invited := billing.Invited{Mandate: a.body.id("subscription_id"), Link: page(a.body)}
	if invited.Mandate == "" || invited.Link == "" {
		return billing.Invited{}, g.misunderstood(ctx, "invite", a)
	}
	return invited, nil
}

// unfit names the field of an invitation that Dodo would not take, "" if there is none.
func unfit(i billing.Invitation) (field, should string) {
	const named = "1 to 100 of letters, digits, - and _"
	switch {
	case !idShape.MatchString(i.Subscription):
		return "id", named
	case i.OrderID != "" && !orderShape.MatchString(i.OrderID):
		return "orderId", "6 to 64 of letters, digits, - and _"
	case !idShape.MatchString(i.Product):
		return "product", named
	case i.OrderID != "" && (i.Price.Units <= 0 || !currencyShape.MatchString(i.Price.Currency)):
		return "price", "a positive amount of a currency of ISO 4217"
	case !short(i.Name, 100) || i.OrderID != "" && strings.TrimSpace(i.Name) == "":
		return "name", "1 to 100 characters"
	case i.Customer.ID != "" && !idShape.MatchString(i.Customer.ID):
		return "customer.id", named
	case i.Customer.ID == "" && !mailShape.MatchString(i.Customer.Email):
		return "customer.email", "an address"
	case i.Customer.ID == "" && (strings.TrimSpace(i.Customer.Name) == "" || !short(i.Customer.Name, 100)):
		return "customer.name", "1 to 100 characters"
	case i.Customer.Phone != "" && !phoneShape.MatchString(i.Customer.Phone):
		return "customer.phone", "a telephone number"
	case !countryShape.MatchString(i.Address.Country):
		return "billing.country", "two capital letters of ISO 3166-1"
	}
	for field, text := range map[string]string{"city": i.Address.City, "state": i.Address.State, "street": i.Address.Street, "zip": i.Address.Zip} {
		if !short(text, 200) {
			return "billing." + field, "up to 200 characters"
		}
	}
	if !returnable(i.ReturnURL) {
		return "returnUrl", "an absolute http or https URL of up to 2000 characters"
	}
	return "", ""
}

// returnable says whether a customer can be sent to an address after the page.
func returnable(address string) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= 2000 && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && printable(address)
}

// page is the address of Dodo's page in an answer, "" if it is not one to send a customer to.
func page(o object) string {
	link := o.text("payment_link")
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || !printable(link) || u.Scheme != "https" && (u.Scheme != "http" || !transport.Plain(u.Hostname())) {
		return ""
	}
	return link
}

// Look says how a mandate stands. Its errors are fault.NotFound and fault.Unavailable.
func (g *Gateway) Look(ctx context.Context, mandate string) (billing.Mandate, error) {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	m, err := g.mandate(ctx, mandate)
	if err != nil {
		if u, ok := errors.AsType[unhad](err); ok && gone(u.answer) {
			return billing.Mandate{}, unknown()
		}
		g.unanswered(ctx, "look", "", "", err)
		return billing.Mandate{}, unavailable().Because(err)
	}
	if !m.yes("on_demand") {
		g.alarm(ctx, "a mandate at dodo is not charged on demand", "", slog.String("call", "look"))
		return billing.Mandate{}, unavailable().Because(errors.New("dodo: the subscription is not on demand"))
	}
	state, ok := states[m.text("status")]
	if !ok {
		g.alarm(ctx, "dodo shows a mandate in a state that is new", "", slog.String("call", "look"))
		return billing.Mandate{}, unavailable().Because(errors.New("dodo: the subscription's status is not known"))
	}
	return billing.Mandate{State: state, Method: m.id("payment_method_id")}, nil
}

// states are those of the Dodo Payments reference, "SubscriptionStatus".
var states = map[string]billing.MandateState{
	"pending":   billing.MandatePending,
	"active":    billing.MandateActive,
	"on_hold":   billing.MandateOnHold,
	"paused":    billing.MandateOnHold,
	"cancelled": billing.MandateEnded,
	"failed":    billing.MandateEnded,
	"expired":   billing.MandateEnded,
}

// mandate looks at one mandate.
func (g *Gateway) mandate(ctx context.Context, id string) (object, error) {
	if !idShape.MatchString(id) {
		return nil, errors.New("dodo: no mandate of ours has such an id")
	}
	a, err := g.ask(ctx, call{method: http.MethodGet, path: "/subscriptions/" + url.PathEscape(id)})
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK || a.body.id("subscription_id") != id {
		return nil, unhad{a}
	}
	return a.body, nil
}

// Mend makes the page on which the customer gives a mandate another means of payment. Its
// errors are fault.Invalid for an address that nobody can be sent to, and those of the
// port.
func (g *Gateway) Mend(ctx context.Context, mandate, returnURL string) (string, error) {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	if !returnable(returnURL) {
		return "", fault.New(fault.Invalid, "invalid_mandate", "returnUrl should be an absolute http or https URL of up to 2000 characters.")
	}
	if !idShape.MatchString(mandate) {
		return "", unknown()
	}
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		ReturnURL string `json:"return_url"`
	}{"new", returnURL})
	if err != nil {
		return "", unavailable().Because(errors.New("dodo: the address cannot be written as JSON"))
	}
	a, err := g.tell(ctx, "mend", call{method: http.MethodPost, path: "/subscriptions/" + url.PathEscape(mandate) + "/update-payment-method", body: body})
	if err != nil {
		return "", err
	}
	switch {
	case a.status == http.StatusOK || a.status == http.StatusCreated:
		if link := page(a.body); link != "" {
			return link, nil
		}
	case gone(a):
		return "", unknown()
	case unmendable(a):
		return "", fault.New(fault.Conflict, "mandate_not_mendable", "This subscription cannot be given another means of payment now.")
	}
	return "", g.misunderstood(ctx, "mend", a)
}

// unmendable says whether a mandate is in no state to be mended.
func unmendable(a answer) bool {
	switch meaning(a) {
	case pending, inactive, over:
		return true
	case ours, busy, spent:
		return false
	case ambiguous:
		return a.code == "UNSUPPORTED_ACTION" || a.code != "" && (a.status == http.StatusConflict || a.status == http.StatusGone)
	default:
		panic("dodo: a kind of error code without an outcome is a bug in this file")
	}
}

// Revoke ends a mandate. Where Dodo refuses to, a look says whether it had ended already.
func (g *Gateway) Revoke(ctx context.Context, mandate string) error {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	if !idShape.MatchString(mandate) {
		return unavailable().Because(errors.New("dodo: no mandate of ours has such an id"))
	}
	a, err := g.tell(ctx, "revoke", call{method: http.MethodPatch, path: "/subscriptions/" + url.PathEscape(mandate), body: []byte(`{"status":"cancelled"}`)})
	if err != nil {
		return err
	}
	m := a.body
	switch {
	case gone(a):
		g.alarm(ctx, "a mandate to be ended is unknown at dodo", "", slog.String("call", "revoke"))
		return nil
	case a.status >= 400 && a.status < 500 && meaning(a) != busy && a.status != http.StatusUnauthorized && a.status != http.StatusForbidden:
		if m, err = g.mandate(ctx, mandate); err != nil {
			return g.misunderstood(ctx, "revoke", a)
		}
	case a.status != http.StatusOK:
		return g.misunderstood(ctx, "revoke", a)
	}
	if m.id("subscription_id") != mandate || states[m.text("status")] != billing.MandateEnded {
		return g.misunderstood(ctx, "revoke", a)
	}
	return nil
}

// tell makes a call about a mandate. Its error is fault.Unavailable.
func (g *Gateway) tell(ctx context.Context, what string, c call) (answer, error) {
	a, err := g.ask(ctx, c)
	if err != nil {
		g.unanswered(ctx, what, "", "", err)
		return answer{}, unavailable().Because(err)
	}
	g.config.Log.LogAttrs(ctx, slog.LevelInfo, "dodo answered", slog.String("call", what), slog.Int("status", a.status), slog.String("code", a.code))
	return a, nil
}

// misunderstood is the error for an answer that says nothing that the caller can act on. A
// person is needed where our side is wrong.
func (g *Gateway) misunderstood(ctx context.Context, what string, a answer) error {
	if meaning(a) == ours {
		g.alarm(ctx, "dodo refused us, not the customer", "", slog.String("call", what), slog.String("code", a.code))
	}
	return unavailable().Because(unhad{a})
}

func unknown() error {
	return fault.New(fault.NotFound, "mandate_unknown", "Dodo Payments knows no such subscription.")
}
