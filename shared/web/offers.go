package web

import (
	"context"
	"net/http"
	"slices"

	"grantline/shared/apple"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// OfferSigner signs offers of the App Store, each with a nonce of its own. Errors:
// fault.Malformed, naming the field, for what cannot be signed; fault.Unavailable for what
// cannot be signed now.
type OfferSigner interface {
	PromotionalV1(ctx context.Context, o apple.PromotionalV1) (apple.SignedOffer, error)
	Promotional(ctx context.Context, o apple.Promotional) (string, error)
	Introductory(ctx context.Context, o apple.Introductory) (string, error)
}

var _ OfferSigner = (*apple.Signer)(nil)

// Offers are what the default project may sign; another project's prices are its own.
type Offers struct {
	Signer    OfferSigner // nil without an In-App Purchase key
	BundleIDs []string    // of the apps that are sold
}

// The kinds of an offer.
const (
	kindPromotional   = "promotional"    // a JWS, version 2 of the signature
	kindPromotionalV1 = "promotional_v1" // version 1
	kindIntroductory  = "introductory"
)

// offerRequest has a field for whatever any kind may say.
type offerRequest struct {
	Kind          string  `json:"kind"`
	BundleID      *string `json:"bundleId"`
	ProductID     *string `json:"productId"`
	OfferID       *string `json:"offerId"`
	CustomerID    *string `json:"customerId"`
	TransactionID *string `json:"transactionId"`
	Allow         *bool   `json:"allow"`
}

// offerFields are what a kind takes beside kind and bundleId: true for what it needs.
var offerFields = map[string]map[string]bool{
	kindPromotional:   {"productId": true, "offerId": true, "transactionId": false},
	kindPromotionalV1: {"productId": true, "offerId": true, "customerId": false},
	kindIntroductory:  {"productId": true, "transactionId": true, "allow": true},
}

// check holds the fields that are given against those that the kind takes.
func (q offerRequest) check() error {
	takes, ok := offerFields[q.Kind]
	if !ok {
		return fault.New(fault.Malformed, "invalid_request", "kind should be promotional, promotional_v1 or introductory.")
	}
	for _, field := range []struct {
		name         string
		given, blank bool
	}{
		{"productId", q.ProductID != nil, said(q.ProductID) == ""},
		{"offerId", q.OfferID != nil, said(q.OfferID) == ""},
		{"customerId", q.CustomerID != nil, said(q.CustomerID) == ""},
		{"transactionId", q.TransactionID != nil, said(q.TransactionID) == ""},
		{"allow", q.Allow != nil, false},
	} {
		needed, taken := takes[field.name]
		switch {
		case field.given && !taken:
			return fault.New(fault.Malformed, "invalid_request", "%s is no field of the kind %s.", field.name, q.Kind)
		case needed && !field.given:
			return fault.New(fault.Malformed, "invalid_request", "%s is needed for the kind %s.", field.name, q.Kind)
		case field.given && field.blank:
			return fault.New(fault.Malformed, "invalid_request", "%s should not be empty.", field.name)
		}
	}
	return nil
}

// said is a text that may be left out.
func said(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// bundle is the app whose offer is meant.
func (o Offers) bundle(asked *string) (string, error) {
	switch {
	case asked == nil && len(o.BundleIDs) == 1:
		return o.BundleIDs[0], nil
	case asked == nil:
		return "", fault.New(fault.Malformed, "invalid_request", "bundleId is needed, since several apps are sold here.")
	case !slices.Contains(o.BundleIDs, *asked):
		return "", fault.New(fault.Malformed, "invalid_request", "bundleId should be that of an app that is sold here.")
	}
	return *asked, nil
}

type offerAnswer struct {
	Kind string `json:"kind"`
	JWS  string `json:"jws"`
}

type offerAnswerV1 struct {
	Kind            string `json:"kind"`
	KeyID           string `json:"keyId"`
	Nonce           string `json:"nonce"`
	Timestamp       int64  `json:"timestamp"` // milliseconds since 1970, as StoreKit takes it
	Signature       string `json:"signature"`
	AppAccountToken string `json:"appAccountToken"` // "" if it is for no customer in particular
}

// offer is POST /v1/apple/offers. Whoever may call it sells at a price that is not the
// catalog's, so it is the company's server alone.
func (c *Claims) offer(w http.ResponseWriter, r *http.Request) error {
	caller, err := c.Callers.serverOnly(r)
	if err != nil {
		return err
	}
	var q offerRequest
	if err := read(r, &q); err != nil {
		return err
	}
	if err := q.check(); err != nil {
		return err
	}
	if c.Offers.Signer == nil || caller.Scope.Project != table.Default.Project {
		return fault.New(fault.Unavailable, "store_not_configured", "This project has no In-App Purchase key to sign offers with.")
	}
	bundle, err := c.Offers.bundle(q.BundleID)
	if err != nil {
		return err
	}
	switch q.Kind {
	case kindPromotionalV1:
		return c.offerV1(w, r, caller, bundle, q)
	case kindPromotional:
		signed, err := c.Offers.Signer.Promotional(r.Context(), apple.Promotional{
			BundleID: bundle, ProductID: said(q.ProductID), OfferID: said(q.OfferID), TransactionID: said(q.TransactionID),
		})
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, offerAnswer{q.Kind, signed})
	}
	signed, err := c.Offers.Signer.Introductory(r.Context(), apple.Introductory{
		BundleID: bundle, ProductID: said(q.ProductID), Allow: *q.Allow, TransactionID: said(q.TransactionID),
	})
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, offerAnswer{q.Kind, signed})
}

// offerV1 signs in whose purchase it will be, where a customer is named, so that nobody
// else can use the offer.
func (c *Claims) offerV1(w http.ResponseWriter, r *http.Request, caller Caller, bundle string, q offerRequest) error {
	var token string
	if q.CustomerID != nil || caller.Customer != "" {
		id, err := caller.Names(said(q.CustomerID))
		if err != nil {
			return err
		}
		ids, err := c.Book.Customers.Identity.StoreIDs(r.Context(), caller.Scope, id)
		if err != nil {
			return err
		}
		token = ids.AppAccountToken
	}
	signed, err := c.Offers.Signer.PromotionalV1(r.Context(), apple.PromotionalV1{
		BundleID: bundle, ProductID: said(q.ProductID), OfferID: said(q.OfferID), AppAccountToken: token,
	})
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, offerAnswerV1{q.Kind, signed.KeyID, signed.Nonce, signed.Timestamp, signed.Signature, token})
}
