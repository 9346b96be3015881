package dodo

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// Product is what is sold, with the price that is charged where a call names none.
type Product struct {
	ProductID string `json:"productId"`
	Price     int64  `json:"price"` // in the smallest unit, before tax
	Currency  string `json:"currency"`
}

// product is the one of a name, made up if nobody said what it costs.
func (s *Simulator) product(id string) Product {
	if known, ok := s.products[id]; ok {
		return known
	}
	return Product{ProductID: id, Price: 999, Currency: "USD"}
}

// creation is the body of POST /subscriptions.
type creation struct {
	ProductID string                     `json:"product_id"`
	Quantity  *int64                     `json:"quantity"`
	Billing   *billing                   `json:"billing"`
	Customer  *customerRequest           `json:"customer"`
	Link      bool                       `json:"payment_link"`
	ReturnURL string                     `json:"return_url"`
	Metadata  map[string]json.RawMessage `json:"metadata"`
	OnDemand  *struct {
		MandateOnly *bool           `json:"mandate_only"`
		Price       json.RawMessage `json:"product_price"`
		Currency    *string         `json:"product_currency"`
		Description *string         `json:"product_description"`
	} `json:"on_demand"`
	Addons        []json.RawMessage `json:"addons"`
	DiscountCode  *string           `json:"discount_code"`
	DiscountCodes []string          `json:"discount_codes"`
}

// customerRequest names a customer or makes one.
type customerRequest struct {
	ID    string  `json:"customer_id"`
	Email string  `json:"email"`
	Name  string  `json:"name"`
	Phone *string `json:"phone_number"`
}

// agreed is a creation that passed the check of its fields.
type agreed struct {
	metadata        map[string]any
	price           int64 // of the first charge, before tax
	currency        string
	onDemand, empty bool // empty: the approval takes no money
}

// check holds a creation to what is documented, or gives the answer that refuses it.
func (s *Simulator) check(in creation) (agreed, *stage.Answer) {
	refuse := func(code, message string) (agreed, *stage.Answer) { return agreed{}, ptr(refusal(code, message)) }
	switch {
	case in.ProductID == "":
		return refuse("INVALID_REQUEST_BODY", "product_id is missing")
	case in.Quantity == nil || *in.Quantity < 1:
		return refuse("INVALID_REQUEST_BODY", "quantity is 1 or more")
	case in.Billing == nil || !country.MatchString(in.Billing.Country):
		return refuse("INVALID_REQUEST_BODY", "billing.country is an ISO 3166-1 alpha-2 code")
	case in.Billing.Country == "KP" || in.Billing.Country == "IR":
		return refuse("UNSUPPORTED_COUNTRY", "")
	case in.Customer == nil || in.Customer.ID == "" && !isEmail(in.Customer.Email):
		return refuse("INVALID_REQUEST_BODY", "customer has a customer_id, or an email")
	}
	if in.ReturnURL != "" {
		if u, err := url.Parse(in.ReturnURL); err != nil || !u.IsAbs() {
			return refuse("INVALID_REQUEST_BODY", "return_url")
		}
	}
	metadata, wrong := checkMetadata(in.Metadata)
	if wrong != "" {
		return refuse("INVALID_REQUEST_BODY", wrong)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sold := s.product(in.ProductID)
	out := agreed{metadata: metadata, price: sold.Price, currency: sold.Currency}
	if in.OnDemand == nil {
		return out, nil
	}
	out.onDemand = true
	switch {
	case !*s.settings.Enabled:
		return refuse("ON_DEMAND_SUBSCRIPTIONS_NOT_ENABLED", "")
	case in.OnDemand.MandateOnly == nil:
		return refuse("INVALID_REQUEST_BODY", "on_demand.mandate_only is missing")
	case len(in.Addons) > 0:
		return refuse("ADDONS_NOT_ALLOWED_FOR_ON_DEMAND", "")
	case in.DiscountCode != nil || len(in.DiscountCodes) > 0:
		return refuse("DISCOUNT_NOT_AVAILABLE_FOR_ON_DEMAND", "")
	}
	if in.OnDemand.Currency != nil {
		out.currency = *in.OnDemand.Currency
	}
	if !absent(in.OnDemand.Price) {
		var ok bool
		if out.price, ok = whole(in.OnDemand.Price); !ok {
			return refuse("INVALID_REQUEST_BODY", "on_demand.product_price is a whole number")
		}
	}
	if !knownCurrency(out.currency) {
		return refuse("UNSUPPORTED_CURRENCY", "")
	}
	if *in.OnDemand.MandateOnly {
		out.empty = true
	} else if out.price < minimum {
		return refuse("TOTAL_PAYMENT_AMOUNT_BELOW_MINIMUM_AMOUNT", "")
	}
	return out, nil
}

func isEmail(text string) bool {
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text
}

// create makes a subscription that waits for its customer. Doing it again makes another.
func (s *Simulator) create(q *query) stage.Answer {
	var in creation
	if !q.decode(&in) {
		return refusal("INVALID_REQUEST_BODY", "no JSON object of the documented form")
	}
	out, refused := s.check(in)
	if refused != nil {
		return *refused
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	who, ok := s.customer(*in.Customer)
	if !ok {
		return refusal("NOT_FOUND", "no such customer")
	}
	now := s.stage.Now()
	sub := &subscription{
		id: s.id("sub"), status: Pending, product: in.ProductID, currency: out.currency, onDemand: out.onDemand,
		quantity: *in.Quantity, price: out.price, metadata: out.metadata, customer: who, billing: *in.Billing,
		returnURL: in.ReturnURL, created: now, previous: now, next: now.AddDate(0, 1, 0),
	}
	s.subscriptions[sub.id] = sub
	s.agreements = append(s.agreements, sub)
	first := s.newPayment(sub, out.price*sub.quantity, out.currency, maps.Clone(out.metadata))
	first.status, first.approves = requiresMethod, true
	if out.empty {
		first.price, first.tax = 0, 0
		first.hidden = !*s.settings.MandatePayment
		sub.price = 0
	}
	a := s.invite(sub, first)
	var link any
	if in.Link {
		link = s.stage.Origin(q.Request) + "/checkout/" + a.token
		first.link, _ = link.(string)
	}
	s.stage.Record(stage.Effect{
		Kind: "mandateCreated", OrderID: orderOf(sub.metadata), Amount: first.total(), Tax: first.tax, Currency: sub.currency,
		SubscriptionID: sub.id, PaymentKey: first.id, SKU: sub.product, Status: sub.status,
	})
	return stage.JSON(http.StatusOK, object{
		"addons": []any{}, "customer": who, "metadata": sub.metadata, "payment_id": first.id,
		"recurring_pre_tax_amount": sub.price, "subscription_id": sub.id, "client_secret": nil,
		"discount_id": nil, "expires_on": nil, "payment_link": link, "one_time_product_cart": nil,
	})
}

// customer finds the customer of a request, or makes one; an e-mail address is one customer.
func (s *Simulator) customer(r customerRequest) (customer, bool) {
	for _, known := range s.customers {
		if r.ID != "" && known.ID == r.ID {
			return known, true
		}
	}
	if r.ID != "" {
		return customer{}, false
	}
	key := strings.ToLower(r.Email)
	if known, ok := s.customers[key]; ok {
		return known, true
	}
	made := customer{ID: s.id("cus"), Email: r.Email, Name: r.Name, Phone: r.Phone, Metadata: map[string]any{}}
	if made.Name == "" {
		made.Name, _, _ = strings.Cut(r.Email, "@")
	}
	s.customers[key] = made
	return made, true
}

// getSubscription looks a subscription up.
func (s *Simulator) getSubscription(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions[q.PathValue("subscription")]
	if sub == nil {
		return refusal("NOT_FOUND", "no such subscription")
	}
	return stage.JSON(http.StatusOK, s.show(sub))
}

// patch changes a subscription.
func (s *Simulator) patch(q *query) stage.Answer {
	var in struct {
		Status     *string                    `json:"status"`
		EndsAtNext *bool                      `json:"cancel_at_next_billing_date"`
		Metadata   map[string]json.RawMessage `json:"metadata"`
		Next       *time.Time                 `json:"next_billing_date"`
		Pause      *bool                      `json:"pause"`
		Disable    *struct {
			Next *time.Time `json:"next_billing_date"`
		} `json:"disable_on_demand"`
	}
	if !q.decode(&in) {
		return refusal("INVALID_REQUEST_BODY", "no JSON object of the documented form")
	}
	metadata, wrong := checkMetadata(in.Metadata)
	if wrong != "" {
		return refusal("INVALID_REQUEST_BODY", wrong)
	}
	if in.Status != nil && *in.Status != Cancelled {
		return refusal("INVALID_REQUEST_BODY", "status can only be set to cancelled")
	}
	if in.Disable != nil && in.Disable.Next == nil {
		return refusal("INVALID_REQUEST_BODY", "disable_on_demand.next_billing_date is missing")
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions[q.PathValue("subscription")]
	if sub == nil {
		return refusal("NOT_FOUND", "no such subscription")
	}
	over := sub.status == Cancelled || sub.status == Failed || sub.status == Expired
	if over && in.Status != nil {
		return stage.JSON(http.StatusOK, s.show(sub)) // it has ended already
	}
	if over {
		return refusal("SUBSCRIPTION_INACTIVE", "")
	}
	if in.Metadata != nil {
		sub.metadata = metadata
	}
	if in.Next != nil {
		sub.next = *in.Next
	}
	if in.Disable != nil {
		sub.onDemand, sub.next = false, *in.Disable.Next
	}
	if in.Pause != nil {
		s.pauseOrResume(sub, *in.Pause)
	}
	if in.EndsAtNext != nil {
		sub.endsAtNext = *in.EndsAtNext
		s.endAtNext(sub)
	}
	if in.Status != nil {
		s.end(sub, Cancelled, "")
	}
	return stage.JSON(http.StatusOK, s.show(sub))
}

func (s *Simulator) pauseOrResume(sub *subscription, pause bool) {
	now := s.stage.Now()
	switch {
	case pause && sub.status == Active:
		sub.status, sub.paused = Paused, &now
		s.tell(sub, "subscription.paused")
	case !pause && sub.status == Paused:
		sub.status, sub.paused = Active, nil
		s.tell(sub, "subscription.unpaused")
	}
}

// endAtNext has a subscription end when its period does, unless that is called off or
// moved until then.
func (s *Simulator) endAtNext(sub *subscription) {
	if !sub.endsAtNext {
		return
	}
	due := sub.next
	s.stage.Later(due, func(context.Context) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if sub.endsAtNext && sub.next.Equal(due) && sub.ended == nil {
			s.end(sub, Cancelled, "")
		}
	})
}

// end ends a subscription for good.
func (s *Simulator) end(sub *subscription, status, origin string) {
	now := s.stage.Now()
	sub.status, sub.ended = status, &now
	kind := map[string]string{Cancelled: "mandateCancelled", Expired: "mandateExpired", Failed: "mandateFailed"}[status]
	s.record(sub, kind, origin)
	s.tell(sub, "subscription."+status)
}

// record notes in the log of effects that a mandate changed.
func (s *Simulator) record(sub *subscription, kind, origin string) {
	s.stage.Record(stage.Effect{
		Kind: kind, OrderID: orderOf(sub.metadata), SubscriptionID: sub.id, SKU: sub.product, Status: sub.status, Origin: origin,
	})
}

// updateMethod makes the page on which the customer gives another means of payment.
func (s *Simulator) updateMethod(q *query) stage.Answer {
	var in struct {
		Type      string `json:"type"`
		ReturnURL string `json:"return_url"`
		MethodID  string `json:"payment_method_id"`
	}
	if !q.decode(&in) || in.Type != "new" && in.Type != "existing" || in.Type == "existing" && in.MethodID == "" {
		return refusal("INVALID_REQUEST_BODY", "type is new, or existing with a payment_method_id")
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions[q.PathValue("subscription")]
	switch {
	case sub == nil:
		return refusal("NOT_FOUND", "no such subscription")
	case sub.status != Active && sub.status != OnHold:
		return refusal("SUBSCRIPTION_INACTIVE", "")
	case in.Type == "existing" && in.MethodID != sub.method:
		return refusal("NOT_FOUND", "no such means of payment")
	}
	if in.Type == "existing" {
		s.updated(sub, sub.card, "")
		return stage.JSON(http.StatusOK, object{"payment_id": nil, "payment_link": nil, "client_secret": nil, "expires_on": nil})
	}
	p := s.newPayment(sub, 0, sub.currency, maps.Clone(sub.metadata))
	p.status, p.tax, p.updates = requiresMethod, 0, true
	a := s.invite(sub, p)
	a.returnURL = in.ReturnURL
	p.link = s.stage.Origin(q.Request) + "/checkout/" + a.token
	return stage.JSON(http.StatusOK, object{"payment_id": p.id, "payment_link": p.link, "client_secret": nil, "expires_on": nil})
}

// updated gives a subscription another means of payment.
func (s *Simulator) updated(sub *subscription, card, origin string) {
	sub.card, sub.method = card, s.id("pm")
	held := sub.status == OnHold
	if held {
		sub.status = Active
	}
	s.record(sub, "mandateUpdated", origin)
	s.tell(sub, "subscription.update_payment_method")
	if held {
		s.tell(sub, "subscription.active")
	}
}

// hold puts an active subscription on hold.
func (s *Simulator) hold(sub *subscription, origin string) {
	sub.status = OnHold
	s.record(sub, "mandateOnHold", origin)
	s.tell(sub, "subscription.on_hold")
}
