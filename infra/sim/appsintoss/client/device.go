package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"grantline/infra/sim/appsintoss"
)

// Step is a moment at which a phone may die.
type Step string

// The moments of a purchase, and of the recovery at the next start, which has all but
// BeforeCallback and AfterTrue.
const (
	BeforeCallback Step = "before the callback" // paid, and processProductGrant was never called
	BeforeRequest  Step = "before the request"  // in the callback; the server was not asked
	DuringRequest  Step = "during the request"  // the server was asked, and goes on without the phone
	AfterAnswer    Step = "after the answer"    // the server answered, and Toss was not told
	AfterTrue      Step = "after true"          // Toss was told, and the app heard of no success
	BeforeComplete Step = "before completeProductGrant"
	AfterComplete  Step = "after completeProductGrant" // Toss did it, and the app did not hear
)

// Steps are all of them, in order.
func Steps() []Step {
	return []Step{BeforeCallback, BeforeRequest, DuringRequest, AfterAnswer, AfterTrue, BeforeComplete, AfterComplete}
}

// ErrDied is what everything gives from a phone's death until its next Start.
var ErrDied = errors.New("the phone has died")

// Error is one of the SDK's, such as USER_CANCELED.
type Error struct{ Code string }

// Error is the code.
func (e *Error) Error() string { return "apps-in-toss: " + e.Code }

// Order is what processProductGrant is called with.
type Order struct {
	OrderID        string
	SubscriptionID string // of a subscription; not known at a recovery
}

// Grant asks the server under test to grant an order, and says whether it did. Its context
// ends after 30 seconds, and not with the phone.
type Grant func(ctx context.Context, o Order) (granted bool, err error)

// Device is a phone with a mini-app. Its methods may be called by several goroutines, as by
// several windows of the app.
type Device struct {
	// UserKey is the Toss user's; App is the mini-app, "" the sample's own.
	UserKey, App string
	// Limit is how long processProductGrant may take, in real time; New sets 30 s. The
	// simulator has the same limit by its own clock.
	Limit time.Duration

	toss *Toss

	mu    sync.Mutex
	plans []Step
	dead  bool
	left  sync.WaitGroup
}

// New gives a Toss user a phone that runs the sample's mini-app.
func New(t *Toss, userKey string) *Device {
	return &Device{toss: t, UserKey: userKey, Limit: appsintoss.GrantLimit}
}

// DieAt has the phone die when it next comes to a step. Several are taken as they come.
func (d *Device) DieAt(steps ...Step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plans = append(d.plans, steps...)
}

// Start starts the app again, once what it was at when it died has returned. What a mini-app
// does at its start is Recover.
func (d *Device) Start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = false
}

// Settle waits for what a phone that died had asked of the server.
func (d *Device) Settle() { d.left.Wait() }

// reaches says whether the phone lives on past a step.
func (d *Device) reaches(step Step) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.Index(d.plans, step); i >= 0 && !d.dead {
		d.plans = slices.Delete(d.plans, i, i+1)
		d.dead = true
	}
	return d.alive()
}

// alive is for who holds mu.
func (d *Device) alive() error {
	if d.dead {
		return ErrDied
	}
	return nil
}

// living says whether the phone lives.
func (d *Device) living() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.alive()
}

// CreateOneTimePurchaseOrder buys a product, calls processProductGrant and returns at onEvent
// of the type success. Where onError would be called, the error is an *Error.
func (d *Device) CreateOneTimePurchaseOrder(ctx context.Context, sku string, processProductGrant Grant) (Order, error) {
	subscribes := false
	return d.purchase(ctx, appsintoss.Purchase{SKU: sku, Subscription: &subscribes}, processProductGrant)
}

// CreateSubscriptionPurchaseOrder is the same of a subscription; an offerID of "" is none.
func (d *Device) CreateSubscriptionPurchaseOrder(ctx context.Context, sku, offerID string, processProductGrant Grant) (Order, error) {
	subscribes := true
	return d.purchase(ctx, appsintoss.Purchase{SKU: sku, OfferID: offerID, Subscription: &subscribes}, processProductGrant)
}

func (d *Device) purchase(ctx context.Context, p appsintoss.Purchase, grant Grant) (Order, error) {
	if err := d.living(); err != nil {
		return Order{}, err
	}
	p.UserKey, p.App = d.UserKey, d.App
	bought, err := ask[appsintoss.Bought](ctx, d.toss, "purchase", p)
	o := Order{bought.OrderID, bought.SubscriptionID}
	if err != nil {
		return o, err
	}
	if bought.ErrorCode != "" {
		return o, &Error{bought.ErrorCode}
	}
	if err := d.reaches(BeforeCallback); err != nil {
		return o, err
	}
	granted, err := d.grant(ctx, o, grant)
	if errors.Is(err, ErrDied) {
		return o, err
	}
	if err != nil {
		granted = false // a callback that throws has not granted
	}
	outcome, err := ask[appsintoss.Outcome](ctx, d.toss, "grant", appsintoss.Grant{OrderID: o.OrderID, Granted: &granted})
	if err != nil {
		return o, err
	}
	if err := d.reaches(AfterTrue); err != nil {
		return o, err
	}
	if outcome.ErrorCode != "" {
		return o, &Error{outcome.ErrorCode}
	}
	return o, nil
}

// errTooLate is what an answer after the limit is worth.
var errTooLate = errors.New("the server took too long")

// grant asks the server. Whatever becomes of the phone, the server is let finish.
func (d *Device) grant(ctx context.Context, o Order, grant Grant) (bool, error) {
	if err := d.reaches(BeforeRequest); err != nil {
		return false, err
	}
	type answer struct {
		granted bool
		err     error
	}
	answered := make(chan answer, 1)
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.Limit)
	d.left.Go(func() {
		defer cancel()
		granted, err := grant(detached, o)
		if detached.Err() != nil {
			granted, err = false, errTooLate
		}
		answered <- answer{granted, err}
	})
	if err := d.reaches(DuringRequest); err != nil {
		return false, err
	}
	timer := time.NewTimer(d.Limit)
	defer timer.Stop()
	select {
	case a := <-answered:
		if err := d.reaches(AfterAnswer); err != nil {
			return false, err
		}
		return a.granted, a.err
	case <-timer.C:
		return false, errTooLate
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// GetProductItemList is what is for sale.
func (d *Device) GetProductItemList(ctx context.Context) ([]appsintoss.Listed, error) {
	if err := d.living(); err != nil {
		return nil, err
	}
	list, err := ask[appsintoss.ItemList](ctx, d.toss, "products", struct{}{})
	return list.Products, err
}

// GetPendingOrders are those that are paid and whose grant is not finished.
func (d *Device) GetPendingOrders(ctx context.Context) ([]appsintoss.Waiting, error) {
	if err := d.living(); err != nil {
		return nil, err
	}
	list, err := ask[appsintoss.WaitingOrders](ctx, d.toss, "pending", appsintoss.User{UserKey: d.UserKey, App: d.App})
	return list.Orders, err
}

// CompleteProductGrant finishes the grant of an order, and says whether Toss agrees.
func (d *Device) CompleteProductGrant(ctx context.Context, orderID string) (bool, error) {
	if err := d.reaches(BeforeComplete); err != nil {
		return false, err
	}
	done, err := ask[appsintoss.Completed](ctx, d.toss, "complete", appsintoss.Completion{OrderID: orderID, UserKey: d.UserKey})
	if err != nil {
		return false, err
	}
	return done.Completed, d.reaches(AfterComplete)
}

// GetCompletedOrRefundedOrders is a page of 50, from the nextKey of the page before on; the
// first has none.
func (d *Device) GetCompletedOrRefundedOrders(ctx context.Context, key string) (appsintoss.PastOrders, error) {
	if err := d.living(); err != nil {
		return appsintoss.PastOrders{}, err
	}
	return ask[appsintoss.PastOrders](ctx, d.toss, "history", appsintoss.Past{UserKey: d.UserKey, App: d.App, Key: key})
}

// GetSubscriptionInfo is how a subscription stands, by any of its orders; nil where Toss has
// not provisioned it yet.
func (d *Device) GetSubscriptionInfo(ctx context.Context, orderID string) (*appsintoss.Info, error) {
	if err := d.living(); err != nil {
		return nil, err
	}
	info, err := ask[appsintoss.SubscriptionInfo](ctx, d.toss, "info", appsintoss.Held{OrderID: orderID})
	return info.Subscription, err
}

// Buy is the whole purchase of a product: the order, and completeProductGrant at its success.
func (d *Device) Buy(ctx context.Context, sku string, fulfil Grant) (Order, error) {
	o, err := d.CreateOneTimePurchaseOrder(ctx, sku, fulfil)
	return o, d.complete(ctx, o, err)
}

// Subscribe is the whole purchase of a subscription.
func (d *Device) Subscribe(ctx context.Context, sku string, fulfil Grant) (Order, error) {
	o, err := d.CreateSubscriptionPurchaseOrder(ctx, sku, "", fulfil)
	return o, d.complete(ctx, o, err)
}

func (d *Device) complete(ctx context.Context, o Order, err error) error {
	if err != nil {
		return err
	}
	switch done, err := d.CompleteProductGrant(ctx, o.OrderID); {
	case err != nil:
		return err
	case !done:
		return fmt.Errorf("order %s: completeProductGrant answered false", o.OrderID)
	}
	return nil
}

// Recover is what a mini-app does at its start: each pending order is fulfilled and then
// completed. One that the server does not grant stops no other, and stays. It gives the
// orders that were completed.
func (d *Device) Recover(ctx context.Context, fulfil Grant) ([]string, error) {
	pending, err := d.GetPendingOrders(ctx)
	if err != nil {
		return nil, err
	}
	var recovered []string
	var failures []error
	for _, p := range pending {
		granted, err := d.grant(ctx, Order{OrderID: p.OrderID}, fulfil)
		if err == nil && granted {
			err = d.complete(ctx, Order{OrderID: p.OrderID}, nil)
			if err == nil {
				recovered = append(recovered, p.OrderID)
			}
		}
		if errors.Is(err, ErrDied) {
			return recovered, err
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("order %s: %w", p.OrderID, err))
		}
	}
	return recovered, errors.Join(failures...)
}
