package appsintoss

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// GrantLimit is how long processProductGrant may take, by the simulators' clock
// (Apps-in-Toss examples, in-app-payments).
const GrantLimit = 30 * time.Second

// pageSize is that of getCompletedOrRefundedOrders.
const pageSize = 50

// Errors of the SDK that the simulator has itself (web-framework, IAP).
const (
	InvalidProduct = "INVALID_PRODUCT_ID"
	AlreadyOwned   = "ITEM_ALREADY_OWNED"
	NotGranted     = "PRODUCT_NOT_GRANTED_BY_PARTNER"
	PaymentPending = "PAYMENT_PENDING"
)

// sdkErrors are all that the SDK has.
var sdkErrors = []string{
	InvalidProduct, PaymentPending, "NETWORK_ERROR", "INVALID_USER_ENVIRONMENT", AlreadyOwned, "APP_MARKET_VERIFICATION_FAILED",
	"TOSS_SERVER_VERIFICATION_FAILED", "INTERNAL_ERROR", "KOREAN_ACCOUNT_ONLY", "USER_CANCELED", NotGranted, "UNSUPPORTED_APP_VERSION",
}

// Purchase is what a customer buys in the Toss app: createOneTimePurchaseOrder or
// createSubscriptionPurchaseOrder up to the moment at which processProductGrant is called.
type Purchase struct {
	SKU     string `json:"sku"`
	UserKey string `json:"userKey,omitempty"` // of the Toss user; "" is somebody
	App     string `json:"app,omitempty"`     // the mini-app; "" is the sample's own
	OrderID string `json:"orderId,omitempty"` // "" is a new one
	OfferID string `json:"offerId,omitempty"` // of a subscription; taken, and of no consequence
	// Subscription says which of the two functions was called; nil is the one that fits.
	Subscription *bool `json:"subscription,omitempty"`
	Looks        int   `json:"looks,omitempty"`   // for so many looks get-order-status still says ORDER_IN_PROGRESS
	Unheard      bool  `json:"unheard,omitempty"` // a true of processProductGrant gets lost: the order stays pending

	// Of a subscription.
	Renews    *bool `json:"renews,omitempty"`    // nil is true
	GraceDays *int  `json:"graceDays,omitempty"` // 7 unless given; 0 is none
	HoldDays  *int  `json:"holdDays,omitempty"`  // 30 unless given

	// For what the catalogue lacks.
	Type  string `json:"type,omitempty"`
	Cycle string `json:"cycle,omitempty"`
	Price int64  `json:"price,omitempty"`
}

// Bought is what the app has of a purchase: the arguments of processProductGrant, or the
// error that the SDK ends with.
type Bought struct {
	OrderID        string     `json:"orderId,omitempty"`
	SubscriptionID string     `json:"subscriptionId,omitempty"`
	GrantBy        *time.Time `json:"grantBy,omitempty"` // the callback's answer counts until then
	ErrorCode      string     `json:"errorCode,omitempty"`
}

// FailedPurchase ends the next purchases with an error of the SDK.
type FailedPurchase struct {
	ErrorCode string `json:"errorCode"`
	UserKey   string `json:"userKey,omitempty"` // "" is anybody
	Count     int    `json:"count,omitempty"`   // 0 is 1
}

// FailPurchase scripts purchases that come to nothing.
func (s *Simulator) FailPurchase(f FailedPurchase) error {
	if !slices.Contains(sdkErrors, f.ErrorCode) {
		return fmt.Errorf("errorCode %q: one of %s", f.ErrorCode, strings.Join(sdkErrors, ", "))
	}
	s.refusals.Add(f.Count, f)
	return nil
}

// Purchase takes the money and calls processProductGrant, whose answer is Grant. An error is
// a purchase that makes no sense; what the SDK refuses has an ErrorCode.
func (s *Simulator) Purchase(p Purchase) (Bought, error) {
	product := Product{SKU: p.SKU, Type: p.Type, Cycle: p.Cycle, Price: p.Price}
	switch {
	case p.SKU == "":
		return Bought{}, errors.New("sku: which product")
	case p.Looks < 0:
		return Bought{}, errors.New("looks: 0 or more")
	case (p.GraceDays != nil && *p.GraceDays < 0) || (p.HoldDays != nil && *p.HoldDays < 0):
		return Bought{}, errors.New("graceDays and holdDays: 0 or more")
	}
	if err := product.check(); err != nil {
		return Bought{}, err
	}
	refusal, refused := s.refusals.Take(func(f FailedPurchase) bool { return f.UserKey == "" || f.UserKey == p.UserKey })
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.productOf(p.SKU); known != nil {
		product = *known
	} else if p.Type == "" && p.Cycle == "" {
		return Bought{ErrorCode: InvalidProduct}, nil
	}
	subscribes := product.Type == Subscription
	switch {
	case refused:
		return s.refuse(p, product, refusal.ErrorCode)
	case p.Subscription != nil && *p.Subscription != subscribes:
		return Bought{ErrorCode: InvalidProduct}, nil
	case s.owned(p, product):
		return Bought{ErrorCode: AlreadyOwned}, nil
	}
	return s.buy(p, product)
}

// refuse ends a purchase with an error. What failed in the end left an order behind; the
// money of a pending one may still come, by the control status.
func (s *Simulator) refuse(p Purchase, product Product, code string) (Bought, error) {
	status := map[string]string{
		PaymentPending: InProgress, "APP_MARKET_VERIFICATION_FAILED": Failed, "TOSS_SERVER_VERIFICATION_FAILED": Failed,
	}[code]
	if status == "" {
		return Bought{ErrorCode: code}, nil
	}
	o, err := s.newOrder(order{id: p.OrderID, app: p.App, sku: p.SKU, userKey: p.UserKey, price: product.Price})
	if err != nil {
		return Bought{}, err
	}
	s.move(o, status, "")
	return Bought{OrderID: o.id, ErrorCode: code}, nil
}

// owned says whether a user has for good, or still, what can be had only once. Nobody knows
// that of a purchase without user.
func (s *Simulator) owned(p Purchase, product Product) bool {
	if p.UserKey == "" || product.Type == Consumable {
		return false
	}
	app := p.App
	if app == "" {
		app = OwnApp
	}
	for _, o := range s.orders {
		if o.userKey != p.UserKey || o.sku != p.SKU || o.app != app || !o.paid || o.status == Refunded || o.status == Failed {
			continue
		}
		if o.line == nil || !o.line.ended() {
			return true
		}
	}
	return false
}

// buy takes the money. The caller holds mu.
func (s *Simulator) buy(p Purchase, product Product) (Bought, error) {
	o, err := s.newOrder(order{id: p.OrderID, app: p.App, sku: p.SKU, userKey: p.UserKey, price: product.Price, unheard: p.Unheard})
	if err != nil {
		return Bought{}, err
	}
	now := s.stage.Now()
	o.status, o.determined, o.grantBy = PaymentCompleted, now, now.Add(GrantLimit)
	if p.Looks > 0 {
		o.status, o.looks, o.then = InProgress, p.Looks, PaymentCompleted
	}
	by := o.grantBy
	bought := Bought{OrderID: o.id, GrantBy: &by}
	if product.Type == Subscription {
		o.line = s.newLine(o, p, product)
		bought.SubscriptionID = o.line.id
	}
	s.pay(o, "purchased")
	if o.line != nil {
		s.tell(o.line, created)
	}
	return bought, nil
}

// Grant is the answer of processProductGrant.
type Grant struct {
	OrderID string `json:"orderId"`
	Granted *bool  `json:"granted,omitempty"` // nil is true
}

// Outcome is how a purchase ended for the app: onEvent of the type success, or onError.
type Outcome struct {
	OrderID   string `json:"orderId"`
	Event     string `json:"event,omitempty"`
	ErrorCode string `json:"errorCode,omitempty"`
}

// Grant ends processProductGrant. False, or anything after 30 seconds, leaves the order
// among the pending ones.
func (s *Simulator) Grant(g Grant) (Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.orderOf(g.OrderID)
	switch {
	case err != nil:
		return Outcome{}, err
	case o.grantBy.IsZero():
		return Outcome{}, fmt.Errorf("order %q: no processProductGrant waits for an answer", g.OrderID)
	}
	late := s.stage.Now().After(o.grantBy)
	o.grantBy = time.Time{}
	if late || g.Granted != nil && !*g.Granted || !o.pending() {
		s.record("notGranted", o)
		return Outcome{OrderID: o.id, ErrorCode: NotGranted}, nil
	}
	s.record("granted", o)
	switch {
	case o.unheard:
		return Outcome{OrderID: o.id, ErrorCode: NotGranted}, nil
	case *s.settings.GrantCompletes:
		s.finish(o)
	}
	return Outcome{OrderID: o.id, Event: "success"}, nil
}

// User is whose orders are asked for.
type User struct {
	UserKey string `json:"userKey,omitempty"` // "" is who bought without one
	App     string `json:"app,omitempty"`     // "" is the sample's own
}

// Waiting is an order that was paid and whose grant is not finished.
type Waiting struct {
	OrderID string `json:"orderId"`
	SKU     string `json:"sku"`
	PaidAt  string `json:"paymentCompletedDate"`
}

// WaitingOrders is what getPendingOrders answers.
type WaitingOrders struct {
	Orders []Waiting `json:"orders"`
}

// Pending is getPendingOrders, oldest first.
func (s *Simulator) Pending(u User) WaitingOrders {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := WaitingOrders{Orders: []Waiting{}}
	for _, o := range s.ordersOf(u) {
		if o.pending() {
			list.Orders = append(list.Orders, Waiting{o.id, o.sku, s.format(o.paidAt)})
		}
	}
	return list
}

// ordersOf gives the orders of a user, oldest first. The caller holds mu.
func (s *Simulator) ordersOf(u User) []*order {
	if u.App == "" {
		u.App = OwnApp
	}
	var list []*order
	for _, o := range s.orders {
		if o.app == u.App && o.userKey == u.UserKey {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *order) int { return int(a.number - b.number) })
	return list
}

// Completion is completeProductGrant of one order.
type Completion struct {
	OrderID string `json:"orderId"`
	UserKey string `json:"userKey,omitempty"` // "" is whoever's order it is
}

// Completed is what completeProductGrant answers.
type Completed struct {
	Completed bool `json:"completed"`
}

// Complete is completeProductGrant: true where the order is paid, the first time and again.
func (s *Simulator) Complete(c Completion) Completed {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.orders[c.OrderID]
	if o == nil || c.UserKey != "" && c.UserKey != o.userKey || !o.paid || o.status == Refunded || o.status == Failed {
		return Completed{}
	}
	if !o.done {
		s.finish(o)
		s.record("completed", o)
	}
	return Completed{true}
}

// Past asks for a page of the orders that are finished or were refunded.
type Past struct {
	UserKey string `json:"userKey,omitempty"` // "" is who bought without one
	App     string `json:"app,omitempty"`     // "" is the sample's own
	Key     string `json:"key,omitempty"`     // nextKey of the page before; "" is the first
}

// PastOrder is one of them: COMPLETED or REFUNDED.
type PastOrder struct {
	OrderID string `json:"orderId"`
	SKU     string `json:"sku"`
	Status  string `json:"status"`
	Date    string `json:"date"`
}

// PastOrders is what getCompletedOrRefundedOrders answers.
type PastOrders struct {
	HasNext bool        `json:"hasNext"`
	NextKey *string     `json:"nextKey"`
	Orders  []PastOrder `json:"orders"`
}

// History is getCompletedOrRefundedOrders: 50 a page, newest first.
func (s *Simulator) History(p Past) (PastOrders, error) {
	before := int64(1) << 62
	if p.Key != "" {
		var err error
		if before, err = strconv.ParseInt(p.Key, 36, 64); err != nil {
			return PastOrders{}, errors.New("key: nextKey of the page before")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	page := PastOrders{Orders: []PastOrder{}}
	for _, o := range slices.Backward(s.ordersOf(User{p.UserKey, p.App})) {
		status := "COMPLETED"
		switch {
		case o.number >= before || !o.paid || o.status == Failed:
			continue
		case o.status == Refunded:
			status = Refunded
		case !o.done:
			continue
		}
		if len(page.Orders) == pageSize {
			key := strconv.FormatInt(before, 36)
			page.HasNext, page.NextKey = true, &key
			break
		}
		page.Orders = append(page.Orders, PastOrder{o.id, o.sku, status, s.format(o.determined)})
		before = o.number
	}
	return page, nil
}
