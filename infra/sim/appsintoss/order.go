package appsintoss

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// The states of an order (Apps-in-Toss, get-order-status).
const (
	PaymentCompleted = "PAYMENT_COMPLETED"
	Purchased        = "PURCHASED"
	InProgress       = "ORDER_IN_PROGRESS"
	NotFound         = "NOT_FOUND"
	Failed           = "FAILED"
	Refunded         = "REFUNDED"
	MiniAppMismatch  = "MINIAPP_MISMATCH"
	Broken           = "ERROR"
)

var statuses = []string{PaymentCompleted, Purchased, InProgress, NotFound, Failed, Refunded, MiniAppMismatch, Broken}

// currency is the only one that Apps-in-Toss sells in.
const currency = "KRW"

// order is what a customer ordered in a mini-app.
type order struct {
	id, app, sku, userKey string
	number                int64 // counts orders as they are made
	price                 int64 // in won; 0 is not known
	status, reason        string
	determined            time.Time
	looks                 int // left until it turns into then
	then                  string
	paid                  bool
	paidAt                time.Time
	grantBy               time.Time // until when processProductGrant may answer; zero where none waits
	unheard               bool      // its true gets lost in the Toss app
	done                  bool      // to Toss the grant is finished
	line                  *line     // nil of a one-time product
}

// NewOrder is an order to be made, as if a customer had bought in the Toss app.
type NewOrder struct {
	SKU     string `json:"sku"`
	Status  string `json:"status,omitempty"`  // "" is PAYMENT_COMPLETED
	UserKey string `json:"userKey,omitempty"` // another x-toss-user-key does not see the order
	OrderID string `json:"orderId,omitempty"` // "" is a new one
	App     string `json:"app,omitempty"`     // the mini-app that it was bought in; "" is the sample's own
	Looks   int    `json:"looks,omitempty"`   // after so many looks it turns into Then; 0 is never, unless Then is given
	Then    string `json:"then,omitempty"`    // "" is PAYMENT_COMPLETED
}

// StatusChange moves an order on.
type StatusChange struct {
	OrderID string `json:"orderId"`
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
}

// Refund gives the money of an order back.
type Refund struct {
	OrderID string `json:"orderId"`
	Reason  string `json:"reason,omitempty"` // shown by get-order-status
}

// Order makes an order and gives its id.
func (s *Simulator) Order(n NewOrder) (string, error) {
	if n.Status == "" {
		n.Status = PaymentCompleted
	}
	if n.Looks > 0 && n.Then == "" {
		n.Then = PaymentCompleted
	}
	switch {
	case n.SKU == "":
		return "", errors.New("sku: which product")
	case !slices.Contains(statuses, n.Status):
		return "", unknownStatus("status", n.Status)
	case n.Then != "" && !slices.Contains(statuses, n.Then):
		return "", unknownStatus("then", n.Then)
	case n.Looks < 0:
		return "", errors.New("looks: 0 or more")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.newOrder(order{id: n.OrderID, app: n.App, sku: n.SKU, userKey: n.UserKey})
	if err != nil {
		return "", err
	}
	s.move(o, n.Status, "")
	o.looks, o.then = n.Looks, n.Then
	return o.id, nil
}

// newOrder keeps an order, under a new id unless it brings one. The caller holds mu.
func (s *Simulator) newOrder(o order) (*order, error) {
	if o.id == "" {
		o.id = s.stage.UUID()
	}
	if o.app == "" {
		o.app = OwnApp
	}
	if s.orders[o.id] != nil {
		return nil, fmt.Errorf("order %q exists already; status changes it", o.id)
	}
	if p := s.productOf(o.sku); p != nil && o.price == 0 {
		o.price = p.Price
	}
	o.number = int64(len(s.orders)) + 1
	s.orders[o.id] = &o
	return &o, nil
}

// SetStatus moves an order into a state, and tells nobody.
func (s *Simulator) SetStatus(c StatusChange) error {
	if !slices.Contains(statuses, c.Status) {
		return unknownStatus("status", c.Status)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.orderOf(c.OrderID)
	if err == nil {
		s.move(o, c.Status, c.Reason)
	}
	return err
}

func unknownStatus(field, status string) error {
	return fmt.Errorf("%s %q: one of %s", field, status, strings.Join(statuses, ", "))
}

// Refund gives the money of a paid order back: silently for a one-time product, while a
// subscription is revoked and its webhook says so.
func (s *Simulator) Refund(r Refund) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.orderOf(r.OrderID)
	switch {
	case err != nil:
		return err
	case !o.paid || o.status == Refunded || o.status == Failed:
		return fmt.Errorf("order %q has no money to give back", r.OrderID)
	case o.line != nil && !o.line.ended() && o == o.line.last():
		return s.revoke(o.line, r.Reason, true)
	}
	s.move(o, Refunded, r.Reason)
	return nil
}

// orderOf finds an order for a control. The caller holds mu.
func (s *Simulator) orderOf(id string) (*order, error) {
	if o := s.orders[id]; o != nil {
		return o, nil
	}
	return nil, fmt.Errorf("order %q does not exist", id)
}

// turn counts a look and moves an order on that was looked at often enough.
func (s *Simulator) turn(o *order) {
	if o.then == "" {
		return
	}
	if o.looks > 0 {
		o.looks--
		return
	}
	s.move(o, o.then, "")
}

// move puts an order into a state and records what that means.
func (s *Simulator) move(o *order, status, reason string) {
	o.status, o.reason, o.then, o.looks = status, reason, "", 0
	o.determined = s.stage.Now()
	kind := "moved"
	switch status {
	case PaymentCompleted, Purchased:
		o.done = o.done || status == Purchased
		if !o.paid {
			s.pay(o, "purchased")
			return
		}
	case Refunded:
		kind = "refunded"
	case Failed:
		kind = "failed"
	}
	s.record(kind, o)
}

// pay takes the money of an order, or of another period of its subscription.
func (s *Simulator) pay(o *order, kind string) {
	if !o.paid {
		o.paid, o.paidAt = true, s.stage.Now()
	}
	s.record(kind, o)
}

// moneyed are the effects that have an amount.
var moneyed = []string{"purchased", "renewed", "recovered", "refunded"}

func (s *Simulator) record(kind string, o *order) {
	e := stage.Effect{Kind: kind, OrderID: o.id, SKU: o.sku, Status: o.status, CustomerKey: o.userKey}
	if o.line != nil {
		e.SubscriptionID = o.line.id
	}
	if o.price > 0 && slices.Contains(moneyed, kind) {
		e.Amount, e.Currency = o.price, currency
	}
	s.stage.Record(e)
}

// finish ends the grant of an order to Toss: from now on it is no pending one.
func (s *Simulator) finish(o *order) {
	o.done, o.grantBy = true, time.Time{}
	switch {
	case *s.settings.AfterGrant != Purchased:
	case o.then != "":
		o.then = Purchased // get-order-status lags behind as before
	case o.status == PaymentCompleted:
		o.status, o.determined = Purchased, s.stage.Now()
	}
}

// pending says whether an order is one of getPendingOrders.
func (o *order) pending() bool {
	return o.paid && !o.done && o.status != Refunded && o.status != Failed
}
