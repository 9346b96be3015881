package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"

	"grantline/shared/apple"
	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// Claims serves what apps send to have a purchase verified, and beside it what the
// company's server has signed with the same store's key.
type Claims struct {
	Callers *Callers
	Book    *purchase.Book
	// AsksApple says that an In-App Purchase key is there, so that a claim is looked up at
	// the App Store. Without one it is worth what the App Store once signed.
	AsksApple bool
	Offers    Offers
	Shelves   map[string]Shelf // by store; those that tell us what they sell
	Clock     clock.Clock
	Log       *slog.Logger
	// RequestID is as of API.
	RequestID func(ctx context.Context) string
}

// ServeHTTP routes by hand, as every handler here does: see API.
func (c *Claims) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/purchases":
		serve(w, r, c.Log, c.attended(only(http.MethodPost, c.claim)), refuseWithProblem)
	case "/api/iap/fulfill":
		serve(w, r, c.Log, c.attended(only(http.MethodPost, c.fulfill)), refuseFulfillment)
	case "/v1/apple/offers":
		serve(w, r, c.Log, only(http.MethodPost, c.offer), refuseWithProblem)
	case "/v1/products":
		serve(w, r, c.Log, only(http.MethodGet, c.products), refuseWithProblem)
	default:
		serve(w, r, c.Log, noRoute, refuseWithProblem)
	}
}

func only(method string, h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != method {
			return &methodError{method}
		}
		return h(w, r)
	}
}

func noRoute(http.ResponseWriter, *http.Request) error {
	return fault.New(fault.NotFound, "no_route", "There is nothing at this path.")
}

type claimRequest struct {
	Store      string  `json:"store"`
	CustomerID *string `json:"customerId"`
	GiftTo     *string `json:"giftTo"`
	Apple      *struct {
		SignedTransaction string `json:"signedTransaction"`
		Receipt           string `json:"receipt"`
	} `json:"apple"`
	Play *struct {
		PurchaseToken string `json:"purchaseToken"`
		ProductID     string `json:"productId"`
	} `json:"play"`
	AppsInToss *struct {
		OrderID        string `json:"orderId"`
		SKU            string `json:"sku"`
		SubscriptionID string `json:"subscriptionId"`
	} `json:"appsintoss"`
}

// proof is the one part of the request that fits its store.
func (q claimRequest) proof(userKey string) (purchase.Proof, error) {
	p := purchase.Proof{Store: q.Store}
	var parts int
	if q.Apple != nil {
		parts++
		p.Evidence = q.Apple.SignedTransaction
		if q.Apple.Receipt != "" {
			p.Receipt = true
			if p.Evidence != "" {
				return p, fault.New(fault.Malformed, "invalid_request", "apple should have signedTransaction or receipt, not both.")
			}
			p.Evidence = q.Apple.Receipt
		}
	}
	if q.Play != nil {
		parts++
		p.Evidence, p.SKU = q.Play.PurchaseToken, q.Play.ProductID
	}
	if q.AppsInToss != nil {
		parts++
		p.Evidence, p.SKU, p.Subscription, p.UserKey = q.AppsInToss.OrderID, q.AppsInToss.SKU, q.AppsInToss.SubscriptionID, userKey
	}
	fits := q.Store == "apple" && q.Apple != nil || q.Store == "play" && q.Play != nil || q.Store == "appsintoss" && q.AppsInToss != nil
	if parts != 1 || !fits || p.Evidence == "" {
		return p, fault.New(fault.Malformed, "invalid_request", "store should be apple, play or appsintoss, and the member of that name should hold the proof.")
	}
	if q.GiftTo == nil {
		return p, nil
	}
	p.GiftTo = *q.GiftTo
	return p, validCustomerID(p.GiftTo)
}

type claimAnswer struct {
	Order orderView `json:"order"`
	// Finish says that the purchase is written down, so that the app may tell the store to
	// show it no more: StoreKit's finish().
	Finish bool `json:"finish"`
	// Checked is what the order of an App Store purchase rests on, "" for other stores.
	Checked  string       `json:"checked,omitzero"`
	Customer customerView `json:"customer"`
}

// checked says what is weaker where the App Store cannot be asked.
func (c *Claims) checked(store string) string {
	switch {
	case store != apple.Name:
		return ""
	case c.AsksApple:
		return "app_store"
	}
	return "signed_data"
}

// claim is POST /v1/purchases.
func (c *Claims) claim(w http.ResponseWriter, r *http.Request) error {
	caller, err := c.Callers.Identify(r)
	if err != nil {
		return err
	}
	var q claimRequest
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
	key, err := userKey(r)
	if err != nil {
		return err
	}
	proof, err := q.proof(key)
	if err != nil {
		return err
	}
	claimed, err := c.Book.Claim(r.Context(), caller.Scope, id, proof)
	if err != nil {
		return err
	}
	ids, err := c.Book.Customers.Identity.StoreIDs(r.Context(), caller.Scope, caller.shown(claimed.Customer, id))
	if err != nil {
		return err
	}
	status := http.StatusOK
	if claimed.Order.State == purchase.OrderPending {
		status = http.StatusAccepted
	}
	view := customerOf(claimed.Customer, ids, c.Clock.Now(), false, nil)
	view.ID = caller.shown(claimed.Customer, id)
	return answer(w, status, claimAnswer{purchaseOrderOf(claimed.Order), status == http.StatusOK, c.checked(proof.Store), view})
}

var userKeys = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{1,200}$`)

// userKey is the x-toss-user-key of a user who is signed in with Toss, "" without one.
func userKey(r *http.Request) (string, error) {
	key := strings.TrimSpace(r.Header.Get("X-Toss-User-Key"))
	if key != "" && !userKeys.MatchString(key) {
		return "", fault.New(fault.Malformed, "invalid_request", "X-Toss-User-Key cannot be read.")
	}
	return key, nil
}

// fulfillment is the answer of POST /api/iap/fulfill, whatever happened: mini-apps read
// the status and nothing else.
type fulfillment struct {
	OK bool `json:"ok"`
}

func refuseFulfillment(w http.ResponseWriter, p Problem) {
	if p.Status == http.StatusUnprocessableEntity || p.Status == http.StatusNotFound {
		p.Status = http.StatusBadRequest // not verified
	}
	_ = answer(w, p.Status, fulfillment{})
}

// fulfill is POST /api/iap/fulfill: what processProductGrant of a mini-app hands over.
func (c *Claims) fulfill(w http.ResponseWriter, r *http.Request) error {
	caller, err := c.Callers.Identify(r)
	if err != nil {
		return err
	}
	var q struct {
		OrderID        string  `json:"orderId"`
		SubscriptionID *string `json:"subscriptionId"`
	}
	if err := read(r, &q); err != nil {
		return err
	}
	id, err := caller.Names("")
	if err != nil {
		return err
	}
	key, err := userKey(r)
	if err != nil {
		return err
	}
	if q.OrderID == "" {
		return fault.New(fault.Malformed, "invalid_request", "orderId should be what processProductGrant was given.")
	}
	proof := purchase.Proof{Store: "appsintoss", Evidence: q.OrderID, UserKey: key}
	if q.SubscriptionID != nil {
		proof.Subscription = *q.SubscriptionID
	}
	claimed, err := c.Book.Claim(r.Context(), caller.Scope, id, proof)
	if err != nil {
		return err
	}
	if claimed.Order.State != purchase.OrderGranted {
		return fault.New(fault.Unavailable, "in_progress", "The payment is still in progress.")
	}
	return answer(w, http.StatusOK, fulfillment{true})
}

func isNotFound(err error) bool { return errors.Is(err, fault.NotFound) }

func isConflict(err error) bool { return errors.Is(err, fault.Conflict) }
