package web

import (
	"context"
	"net/http"
	"net/url"
	"regexp"

	"github.com/go-json-experiment/json"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// Shelf gives what a store sells now, as it is answered: a list that is written as JSON. Region
// is one to give the prices of, "" for all. Its error is fault.Unavailable.
type Shelf func(ctx context.Context, region string) (products any, err error)

// ShelfOf makes a Shelf of what a store tells in its own type. That is not known here, or
// every function would carry the clients of all stores.
func ShelfOf[P any](tell func(ctx context.Context, region string) ([]P, error)) Shelf {
	return func(ctx context.Context, region string) (any, error) { return tell(ctx, region) }
}

// mostProducts bounds the answer, in bytes: a function answers 6 MB, in base64 or in a JSON
// string, and either makes a third more of it.
const mostProducts = 4 << 20

var regions = regexp.MustCompile(`^[A-Z]{2}$`)

type productsAnswer struct {
	Products any `json:"products"`
}

// products is GET /v1/products?store=&region=. What is for sale is no secret, and the same for
// everybody who may ask at all.
func (c *Claims) products(w http.ResponseWriter, r *http.Request) error {
	caller, err := c.Callers.Identify(r)
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.New(fault.Malformed, "invalid_request", "The query cannot be read.")
	}
	store, region := query.Get("store"), query.Get("region")
	switch {
	case store != "play":
		return fault.New(fault.Malformed, "invalid_request", "store should be play: of the other stores, the app itself asks the store.")
	case query.Has("region") && !regions.MatchString(region):
		return fault.New(fault.Malformed, "invalid_request", "region should be a country's code of two capital letters.")
	}
	shelf := c.Shelves[store]
	if shelf == nil || caller.Scope.Project != table.Default.Project {
		return fault.New(fault.Unavailable, "store_not_configured", "This project does not sell on Google Play.")
	}
	found, err := shelf(r.Context(), region)
	if err != nil {
		return err
	}
	text, err := json.Marshal(productsAnswer{found})
	if err != nil {
		return err
	}
	if len(text) > mostProducts {
		return fault.New(fault.Malformed, "answer_too_large", "More is sold than one answer can hold; name a region.")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(append(text, '\n'))
	return nil
}
