package apple

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"grantline/shared/clock"
	"grantline/shared/fault"
)

// Transaction gives a transaction, signed anew, by its id (Get Transaction Info). An id
// that is not known is asked for again after a second, since it may be a moment old. It
// only reads, and so may be repeated.
func (a *API) Transaction(ctx context.Context, p Place, id string) (string, error) {
	return a.transaction(ctx, p, id, true)
}

func (a *API) transaction(ctx context.Context, p Place, id string, settles bool) (string, error) {
	if err := apiID("The transaction id", id); err != nil {
		return "", err
	}
	type answer struct {
		Signed string `json:"signedTransactionInfo"`
	}
	found, err := askFor(ctx, a, p, apiCall{
		endpoint: "transaction", method: http.MethodGet, path: "/inApps/v1/transactions/" + id, settles: settles,
	}, func(t answer) string {
		if !looksSigned(t.Signed) {
			return answerLacks
		}
		return ""
	})
	return found.Signed, err
}

// maxBundles bounds the apps among which a transaction is looked for.
const maxBundles = 16

// Find gives a transaction whose environment, or app, is not known, and the place where it
// was found. Production is asked first, then the sandbox where production does not know
// the id, or answers for no app that has not been released (401, or that the app is not
// there). An id that nobody knows is looked for once more after a second.
//
// It is fault.NotFound only if that is sure: the sandbox of each app does not know the id.
// A sandbox that refuses us too is fault.Unavailable, since then the key is wrong.
func (a *API) Find(ctx context.Context, bundleIDs []string, id string) (string, Place, error) {
	if len(bundleIDs) == 0 || len(bundleIDs) > maxBundles {
		return "", Place{}, impossible("The bundle ids", "1 to 16")
	}
	var places []Place
	for _, environment := range []Environment{Production, Sandbox} {
		for _, bundleID := range bundleIDs {
			places = append(places, Place{environment, bundleID})
		}
	}
	signed, p, ignorant, err := a.findIn(ctx, places, id)
	if len(ignorant) == 0 {
		return signed, p, err
	}
	if !clock.Room(ctx, settling) || a.config.Clock.Sleep(ctx, settling) != nil {
		return "", Place{}, unsure(err)
	}
	signed, p, _, err = a.findIn(ctx, ignorant, id)
	return signed, p, err
}

// findIn asks places one after the other. Where none has the id, and that is sure, it gives
// those that may have it in a moment.
func (a *API) findIn(ctx context.Context, places []Place, id string) (signed string, at Place, ignorant []Place, err error) {
	var absent, refused error
	for _, p := range places {
		signed, err := a.transaction(ctx, p, id, false)
		if err == nil {
			return signed, p, nil, nil
		}
		failed, _ := errors.AsType[*APIError](err)
		switch {
		case failed.ignorant():
			ignorant = append(ignorant, p)
			absent = err
		case failed.unspeaking() && p.Environment == Production:
		case failed.unspeaking():
			refused = unsure(err)
		default:
			return "", Place{}, nil, unsure(err)
		}
	}
	if refused != nil {
		return "", Place{}, nil, refused
	}
	return "", Place{}, ignorant, absent
}

// unsure turns an absence that is not sure into what it is, an outage.
func unsure(err error) error {
	if failed, ok := errors.AsType[*APIError](err); ok && errors.Is(err, fault.NotFound) {
		return failed.unavailable()
	}
	return err
}

// ignorant says whether Apple knows no such id in this place.
func (e *APIError) ignorant() bool {
	if e == nil {
		return false
	}
	switch e.Code {
	case APITransactionIDNotFound, APIOriginalTransactionIDNotFound, APIAccountNotFound:
		return true
	}
	return false
}

// unspeaking says whether Apple does not answer for this app in this place. Production's
// answer for an app without a first release is a 401 without a code.
func (e *APIError) unspeaking() bool {
	return e != nil && (e.Status == http.StatusUnauthorized || e.Code == APIAppNotFound)
}

// Finish says that what a transaction is for has been delivered (Finish Transaction, API
// 1.20). A transaction that is finished stays so, so it may be repeated.
func (a *API) Finish(ctx context.Context, p Place, id string) error {
	if err := apiID("The transaction id", id); err != nil {
		return err
	}
	return a.tell(ctx, p, apiCall{
		endpoint: "finish", method: http.MethodPost, path: "/inApps/v1/transactions/" + id + "/finish",
	})
}

// uuidShape is a UUID in either case (RFC 9562, 4).
var uuidShape = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// SetAppAccountToken names the customer of a purchase that was made without a name, by a
// UUID, for this and all renewals to come (Set App Account Token, API 1.16). The id is the
// original transaction's. The same value again changes nothing, so it may be repeated.
func (a *API) SetAppAccountToken(ctx context.Context, p Place, originalID, token string) error {
	if err := apiID("The original transaction id", originalID); err != nil {
		return err
	}
	if !uuidShape.MatchString(token) {
		return impossible("The app account token", "a UUID")
	}
	return a.tell(ctx, p, apiCall{
		endpoint: "app account token", method: http.MethodPut, path: "/inApps/v1/transactions/" + originalID + "/appAccountToken",
		body: struct {
			Token string `json:"appAccountToken"`
		}{strings.ToLower(token)},
	})
}

// AppTransaction gives the signed word about the customer's copy of the app, by any of the
// customer's transactions (Get App Transaction Info, API 1.17). It only reads.
func (a *API) AppTransaction(ctx context.Context, p Place, id string) (string, error) {
	if err := apiID("The transaction id", id); err != nil {
		return "", err
	}
	type answer struct {
		Signed string `json:"signedAppTransactionInfo"`
	}
	found, err := askFor(ctx, a, p, apiCall{
		endpoint: "app transaction", method: http.MethodGet, path: "/inApps/v1/transactions/appTransactions/" + id,
	}, func(t answer) string {
		if !looksSigned(t.Signed) {
			return answerLacks
		}
		return ""
	})
	return found.Signed, err
}

// What Look Up Order ID says of an order id. Other values are kept as they come.
const (
	OrderValid   = 0
	OrderInvalid = 1
)

// Invoice is what a customer's invoice is about.
type Invoice struct {
	Status int      // OrderValid or OrderInvalid
	Signed []string // its transactions, signed
}

// LookUpOrder gives the transactions of the order id on an invoice that a customer shows
// (Look Up Order ID). Apple has invoices in Production alone. It only reads.
func (a *API) LookUpOrder(ctx context.Context, p Place, orderID string) (Invoice, error) {
	if err := apiID("The order id", orderID); err != nil {
		return Invoice{}, err
	}
	type answer struct {
		Status *int     `json:"status"`
		Signed []string `json:"signedTransactions"`
	}
	found, err := askFor(ctx, a, p, apiCall{
		endpoint: "order", method: http.MethodGet, path: "/inApps/v1/lookup/" + url.PathEscape(orderID),
	}, func(o answer) string {
		if o.Status == nil || !allSigned(o.Signed) {
			return answerLacks
		}
		return ""
	})
	if err != nil {
		return Invoice{}, err
	}
	return Invoice{*found.Status, found.Signed}, nil
}
