package apple

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// How a subscription stands (Get All Subscription Statuses, status). Other values are kept
// as they come.
const (
	StatusActive       = 1
	StatusExpired      = 2
	StatusBillingRetry = 3
	StatusGracePeriod  = 4
	StatusRevoked      = 5
)

// Group is what a customer has of one subscription group. The order says nothing, and a
// share of somebody else's subscription is an entry beside the customer's own.
type Group struct {
	SubscriptionGroupIdentifier string
	Last                        []LastTransaction
}

// LastTransaction is the last word about one subscription. The status is not signed, and
// was true when it was asked for.
type LastTransaction struct {
	Status                int
	OriginalTransactionID string
	SignedTransactionInfo string
	SignedRenewalInfo     string
}

type statusesAnswer struct {
	answerAbout
	Data *[]struct {
		Group string `json:"subscriptionGroupIdentifier"`
		Last  []struct {
			Status      *int   `json:"status"`
			OriginalID  string `json:"originalTransactionId"`
			Transaction string `json:"signedTransactionInfo"`
			Renewal     string `json:"signedRenewalInfo"`
		} `json:"lastTransactions"`
	} `json:"data"`
}

func (s statusesAnswer) check(p Place) string {
	if why := s.answerAbout.check(p); why != "" {
		return why
	}
	if s.Data == nil || len(*s.Data) > maxPage {
		return answerLacks
	}
	for _, group := range *s.Data {
		if group.Group == "" || len(group.Last) > maxPage {
			return answerLacks
		}
		for _, last := range group.Last {
			if last.Status == nil || apiID("", last.OriginalID) != nil || !looksSigned(last.Transaction) || !looksSigned(last.Renewal) {
				return answerLacks
			}
		}
	}
	return ""
}

// Statuses gives how all subscriptions of a customer in an app stand, by any transaction of
// the customer (Get All Subscription Statuses), or those of some statuses. An id that is
// not known is asked for again after a second, since it may be a moment old. It only reads.
func (a *API) Statuses(ctx context.Context, p Place, id string, statuses ...int) ([]Group, error) {
	if err := apiID("The transaction id", id); err != nil {
		return nil, err
	}
	query := url.Values{}
	for _, status := range statuses {
		query.Add("status", strconv.Itoa(status))
	}
	found, err := askFor(ctx, a, p, apiCall{
		endpoint: "statuses", method: http.MethodGet, path: "/inApps/v1/subscriptions/" + id, query: query, settles: true,
	}, func(s statusesAnswer) string { return s.check(p) })
	if err != nil {
		return nil, err
	}
	groups := make([]Group, 0, len(*found.Data))
	for _, group := range *found.Data {
		g := Group{SubscriptionGroupIdentifier: group.Group}
		for _, last := range group.Last {
			g.Last = append(g.Last, LastTransaction{*last.Status, last.OriginalID, last.Transaction, last.Renewal})
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// ExtendReason is why a renewal date is moved (extendReasonCode).
type ExtendReason int

// The reasons.
const (
	ExtendUndeclared   ExtendReason = 0
	ExtendSatisfaction ExtendReason = 1
	ExtendOther        ExtendReason = 2
	ExtendOutage       ExtendReason = 3
)

// Extension moves a renewal date without a charge. Apple does so twice in 365 days for a
// customer, and not in a free offer, in billing retry, or for a family member.
type Extension struct {
	Days   int // 1 to 90
	Reason ExtendReason
	// RequestID is the caller's name of this extension, 1 to 64 letters, digits, hyphens
	// and underscores. The same again is the same extension.
	RequestID string
}

// extensionBody is an Extension in Apple's words.
type extensionBody struct {
	Days        int      `json:"extendByDays"`
	Reason      int      `json:"extendReasonCode"`
	RequestID   string   `json:"requestIdentifier"`
	ProductID   string   `json:"productId,omitzero"`
	Storefronts []string `json:"storefrontCountryCodes,omitempty"`
}

func (e Extension) body() (extensionBody, error) {
	switch {
	case e.Days < 1 || e.Days > 90:
		return extensionBody{}, impossible("The days of an extension", "1 to 90")
	case e.Reason < ExtendUndeclared || e.Reason > ExtendOutage:
		return extensionBody{}, impossible("The reason of an extension", "0 to 3")
	}
	return extensionBody{Days: e.Days, Reason: int(e.Reason), RequestID: e.RequestID}, apiID("The request id", e.RequestID)
}

// Extended is what became of an extension.
type Extended struct {
	OriginalTransactionID string
	WebOrderLineItemID    string
	Success               bool
	EffectiveDate         time.Time // the new end of the period, zero where Apple does not say
}

// ExtendOne moves the renewal date of one subscription, by its original transaction
// (Extend a Subscription Renewal Date). Apple asks to send a request whose answer was lost
// again with its identifier, so it may be repeated. One that is not eligible is
// fault.Invalid.
func (a *API) ExtendOne(ctx context.Context, p Place, originalID string, e Extension) (Extended, error) {
	if err := apiID("The original transaction id", originalID); err != nil {
		return Extended{}, err
	}
	body, err := e.body()
	if err != nil {
		return Extended{}, err
	}
	type answer struct {
		OriginalID string  `json:"originalTransactionId"`
		LineItemID string  `json:"webOrderLineItemId"`
		Success    *bool   `json:"success"`
		Effective  apiDate `json:"effectiveDate"`
	}
	done, err := askFor(ctx, a, p, apiCall{
		endpoint: "extend one", method: http.MethodPut, path: "/inApps/v1/subscriptions/extend/" + originalID, body: body, effect: true,
	}, func(e answer) string {
		switch {
		case e.Success == nil || e.OriginalID == "":
			return answerLacks
		case e.OriginalID != originalID:
			return answerAstray
		}
		return ""
	})
	if err != nil {
		return Extended{}, err
	}
	return Extended{done.OriginalID, done.LineItemID, *done.Success, done.Effective.Time}, nil
}

// storefrontShape is an ISO 3166-1 alpha-3 code.
var storefrontShape = regexp.MustCompile(`^[A-Z]{3}$`)

// maxStorefronts is more than there are.
const maxStorefronts = 300

// ExtendAll moves the renewal dates of all who are subscribed to a product, in some
// storefronts (ISO 3166-1 alpha-3) or, where none is named, in all (Extend Subscription
// Renewal Dates for All Active Subscribers). It returns when Apple has taken the request,
// which takes hours or days to be carried out: ask ExtendAllStatus, or wait for the
// notification. A request identifier used before starts nothing new, so it may be
// repeated.
func (a *API) ExtendAll(ctx context.Context, p Place, productID string, storefronts []string, e Extension) error {
	body, err := e.body()
	if err != nil {
		return err
	}
	if err := apiProduct(productID); err != nil {
		return err
	}
	if len(storefronts) > maxStorefronts {
		return impossible("The storefronts", "300 at most")
	}
	for _, storefront := range storefronts {
		if !storefrontShape.MatchString(storefront) {
			return impossible("A storefront", "an ISO 3166-1 alpha-3 code")
		}
	}
	body.ProductID, body.Storefronts = productID, storefronts
	_, err = askFor(ctx, a, p, apiCall{
		endpoint: "extend all", method: http.MethodPost, path: "/inApps/v1/subscriptions/extend/mass", body: body, effect: true,
	}, func(r requestAnswer) string { return r.check(e.RequestID) })
	return err
}

// requestAnswer is an answer that names the request it is about.
type requestAnswer struct {
	RequestID string `json:"requestIdentifier"`
}

func (r requestAnswer) check(asked string) string {
	switch r.RequestID {
	case asked:
		return ""
	case "":
		return answerLacks
	}
	return answerAstray
}

// apiProduct refuses a product id that could lead an address elsewhere. It is escaped all
// the same.
func apiProduct(id string) error {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if id == "" || len(id) > 255 || strings.Trim(id, ".") == "" || strings.ContainsFunc(id, odd) {
		return impossible("The product id", "one of App Store Connect")
	}
	return nil
}

// ExtensionProgress is how far an extension for all has come.
type ExtensionProgress struct {
	Complete          bool
	CompleteDate      time.Time // zero until Complete
	Succeeded, Failed int64     // subscriptions, counted once it is complete
}

// ExtendAllStatus says how far an extension for all has come (Get Status of Subscription
// Renewal Date Extensions). A request that Apple does not know is fault.NotFound. It only
// reads.
func (a *API) ExtendAllStatus(ctx context.Context, p Place, productID, requestID string) (ExtensionProgress, error) {
	if err := apiProduct(productID); err != nil {
		return ExtensionProgress{}, err
	}
	if err := apiID("The request id", requestID); err != nil {
		return ExtensionProgress{}, err
	}
	type answer struct {
		requestAnswer
		Complete  *bool   `json:"complete"`
		Completed apiDate `json:"completeDate"`
		Succeeded int64   `json:"succeededCount"`
		Failed    int64   `json:"failedCount"`
	}
	found, err := askFor(ctx, a, p, apiCall{
		endpoint: "extend all status", method: http.MethodGet,
		path: "/inApps/v1/subscriptions/extend/mass/" + url.PathEscape(productID) + "/" + requestID,
	}, func(e answer) string {
		if e.Complete == nil || e.Succeeded < 0 || e.Failed < 0 {
			return answerLacks
		}
		return e.requestAnswer.check(requestID)
	})
	if err != nil {
		return ExtensionProgress{}, err
	}
	return ExtensionProgress{*found.Complete, found.Completed.Time, found.Succeeded, found.Failed}, nil
}
