package apple

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// maxPage bounds the entries of a page, of which Apple sends up to 20.
const maxPage = 200

// maxPageToken bounds a revision or a pagination token, in bytes. Apple's have some hundred.
const maxPageToken = 4 << 10

// allSigned says whether a page holds what looks signed, and not too much of it.
func allSigned(page []string) bool {
	odd := func(text string) bool { return !looksSigned(text) }
	return len(page) <= maxPage && !slices.ContainsFunc(page, odd)
}

// ProductFilter is a kind of product in a query. Apple spells them otherwise than in a
// transaction.
type ProductFilter string

// The product types of a query (Get Transaction History, productType).
const (
	OnlyAutoRenewable ProductFilter = "AUTO_RENEWABLE"
	OnlyNonRenewing   ProductFilter = "NON_RENEWABLE"
	OnlyConsumable    ProductFilter = "CONSUMABLE"
	OnlyNonConsumable ProductFilter = "NON_CONSUMABLE"
)

// HistoryQuery says which transactions are wanted; the zero value is all, oldest first. A
// page after the first needs the query of the first with the revision of the page before.
type HistoryQuery struct {
	Revision           string
	Start, End         time.Time // purchased from Start until before End; zero is no bound
	ProductIDs         []string
	ProductTypes       []ProductFilter
	Descending         bool // by last change; a revision is worth keeping only if not
	SubscriptionGroups []string
	Ownership          Ownership // "" for either
	Revoked            *bool     // nil for both
}

func (q HistoryQuery) values() url.Values {
	v := url.Values{}
	if q.Revision != "" {
		v.Set("revision", q.Revision)
	}
	if !q.Start.IsZero() {
		v.Set("startDate", strconv.FormatInt(q.Start.UnixMilli(), 10))
	}
	if !q.End.IsZero() {
		v.Set("endDate", strconv.FormatInt(q.End.UnixMilli(), 10))
	}
	for _, id := range q.ProductIDs {
		v.Add("productId", id)
	}
	for _, kind := range q.ProductTypes {
		v.Add("productType", string(kind))
	}
	if q.Descending {
		v.Set("sort", "DESCENDING")
	}
	for _, group := range q.SubscriptionGroups {
		v.Add("subscriptionGroupIdentifier", group)
	}
	if q.Ownership != "" {
		v.Set("inAppOwnershipType", string(q.Ownership))
	}
	if q.Revoked != nil {
		v.Set("revoked", strconv.FormatBool(*q.Revoked))
	}
	return v
}

// HistoryPage is a page of signed transactions.
type HistoryPage struct {
	Signed   []string // up to 20
	Revision string   // asks for the page behind this one, now or later
	HasMore  bool
}

// historyAnswer is a page as it comes.
type historyAnswer struct {
	answerAbout
	Signed   []string `json:"signedTransactions"`
	Revision string   `json:"revision"`
	HasMore  *bool    `json:"hasMore"`
}

// check refuses a page from which nobody would find the end.
func (h historyAnswer) check(revision string) string {
	switch {
	case h.HasMore == nil, !allSigned(h.Signed), len(h.Revision) > maxPageToken, *h.HasMore && h.Revision == "":
		return answerLacks
	case *h.HasMore && h.Revision == revision:
		return answerEndless
	}
	return ""
}

func (h historyAnswer) page() HistoryPage { return HistoryPage{h.Signed, h.Revision, *h.HasMore} }

// History gives a page of a customer's transactions in an app, finished consumables among
// them, by any of them (Get Transaction History V2). A transaction that changes while pages
// are asked for comes again: the one signed later counts. It only reads.
func (a *API) History(ctx context.Context, p Place, id string, q HistoryQuery) (HistoryPage, error) {
	if err := apiID("The transaction id", id); err != nil {
		return HistoryPage{}, err
	}
	if !q.Start.IsZero() && !q.End.IsZero() && !q.Start.Before(q.End) {
		return HistoryPage{}, impossible("Start", "before End")
	}
	if len(q.Revision) > maxPageToken {
		return HistoryPage{}, impossible("The revision", "one that Apple gave")
	}
	found, err := askFor(ctx, a, p, apiCall{
		endpoint: "history", method: http.MethodGet, path: "/inApps/v2/history/" + id, query: q.values(),
	}, func(h historyAnswer) string {
		if why := h.answerAbout.check(p); why != "" {
			return why
		}
		return h.check(q.Revision)
	})
	if err != nil {
		return HistoryPage{}, err
	}
	return found.page(), nil
}

// RefundHistory gives a page of a customer's refunded transactions, by any transaction of
// the customer; first refunded, first shown (Get Refund History V2). The revision is "" for
// the first page. It only reads.
func (a *API) RefundHistory(ctx context.Context, p Place, id, revision string) (HistoryPage, error) {
	if err := apiID("The transaction id", id); err != nil {
		return HistoryPage{}, err
	}
	if len(revision) > maxPageToken {
		return HistoryPage{}, impossible("The revision", "one that Apple gave")
	}
	found, err := askFor(ctx, a, p, apiCall{
		endpoint: "refund history", method: http.MethodGet, path: "/inApps/v2/refund/lookup/" + id,
		query: HistoryQuery{Revision: revision}.values(),
	}, func(h historyAnswer) string { return h.check(revision) })
	if err != nil {
		return HistoryPage{}, err
	}
	return found.page(), nil
}
