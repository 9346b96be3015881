package play

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/api/googleapi"

	"grantline/shared/fault"
)

// What an error of API may be besides its kind; use errors.Is.
var (
	// ErrGone: Google keeps the purchase no longer (410). With fault.NotFound.
	ErrGone = errors.New("gone")
	// ErrState: the purchase does not stand so that this could be done with it. With
	// fault.Invalid.
	ErrState = errors.New("not in a state for this")
	// ErrConfiguration: Google refuses us, not what was asked. With fault.Unavailable.
	ErrConfiguration = errors.New("our configuration is refused")
	// ErrQuota: too much was asked. With fault.Unavailable.
	ErrQuota = errors.New("quota")
)

// The codes of the API's faults.
const (
	codeAPIUnavailable = "store_unavailable"
	codeAPIAbsent      = "not_in_store"
	codeAPIRefused     = "refused_by_store"
	codeAPIMalformed   = "malformed_store_request"
)

// APIError is why a call of the Google Play Developer API failed. It is the cause inside
// the *fault.Error that the methods of API return. It holds no id, token, address or text
// of Google's.
type APIError struct {
	// Method is the one of Google's that was called.
	Method string
	// Status is HTTP's, 0 if there was no answer.
	Status int
	// Reason is Google's word, "" if there is none that we know.
	Reason string

	why   string     // in our own words, "" where Status says it all
	is    error      // ErrGone and its like, or nil
	kind  error      // of the fault
	again repeatable // whether the same may succeed a moment later
}

// repeatable is whether a failed request may be sent again.
type repeatable int

const (
	againNever   repeatable = iota // it would fail again
	againUndone                    // it was refused without being done
	againUnknown                   // it may have been done
)

// Error gives the operator's view.
func (e *APIError) Error() string {
	var b strings.Builder
	b.WriteString("play: " + e.Method)
	if e.Status != 0 {
		b.WriteString(": status " + strconv.Itoa(e.Status))
	}
	for _, more := range []string{e.Reason, e.why} {
		if more != "" {
			b.WriteString(": " + more)
		}
	}
	if e.is != nil {
		b.WriteString(": " + e.is.Error())
	}
	return b.String()
}

// Unwrap lets errors.Is see ErrGone, ErrState, ErrConfiguration and ErrQuota.
func (e *APIError) Unwrap() error { return e.is }

// fault gives the error its kind.
func (e *APIError) fault() error {
	switch {
	case errors.Is(e.kind, fault.NotFound):
		return fault.New(fault.NotFound, codeAPIAbsent, "Google Play has no such thing.").Because(e)
	case errors.Is(e.kind, fault.Invalid):
		return fault.New(fault.Invalid, codeAPIRefused, "Google Play refused what was asked.").Because(e)
	}
	return fault.New(fault.Unavailable, codeAPIUnavailable, "Google Play could not be asked now; ask again.").Because(e)
}

// unaskable refuses a call before it is made. It names the argument, never its value.
func unaskable(argument, want string) error {
	return fault.New(fault.Malformed, codeAPIMalformed, "%s should be %s.", argument, want)
}

// firstOf gives the first of joined errors, whose text alone is one sentence.
func firstOf(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if list := joined.Unwrap(); len(list) > 0 {
			return list[0]
		}
	}
	return err
}

// apiMeaning is what a reason of Google's says.
type apiMeaning int

const (
	meansRefused apiMeaning = iota + 1 // what was asked is wrong for good
	meansState                         // the purchase does not stand so
	meansOurs                          // our configuration is wrong
	meansQuota                         // too much in a short time
	meansDay                           // too much in a day
	meansAbsent
	meansGone
	meansParallel
	meansFailed
)

// apiReasons are those of errors[].reason that we know (Google Play Developer API and its
// common errors), each with the statuses that it comes with. One that comes with another
// status says nothing.
var apiReasons = map[string]map[int]apiMeaning{
	"invalid":                                 {400: meansRefused},
	"invalidValue":                            {400: meansRefused},
	"invalidArgument":                         {400: meansRefused},
	"invalidParameter":                        {400: meansRefused},
	"badRequest":                              {400: meansRefused},
	"purchaseTokenDoesNotMatchPackageName":    {400: meansRefused},
	"purchaseTokenDoesNotMatchProductId":      {400: meansRefused},
	"purchaseTokenDoesNotMatchSubscriptionId": {400: meansRefused},
	"invalidPurchaseState":                    {400: meansState},
	"productNotOwnedByUser":                   {400: meansState},
	"subscriptionExpired":                     {400: meansState},
	"keyInvalid":                              {400: meansOurs},
	"keyExpired":                              {400: meansOurs},
	"authError":                               {401: meansOurs},
	"required":                                {400: meansRefused, 401: meansOurs},
	"permissionDenied":                        {401: meansOurs, 403: meansOurs},
	"userInsufficientPermission":              {401: meansOurs, 403: meansOurs},
	"insufficientPermissions":                 {401: meansOurs, 403: meansOurs},
	"projectNotLinked":                        {401: meansOurs, 403: meansOurs},
	"accessNotConfigured":                     {403: meansOurs},
	"forbidden":                               {403: meansOurs},
	"rateLimitExceeded":                       {403: meansQuota, 429: meansQuota},
	"userRateLimitExceeded":                   {403: meansQuota, 429: meansQuota},
	"quotaExceeded":                           {403: meansQuota, 429: meansQuota},
	"dailyLimitExceeded":                      {403: meansDay, 429: meansDay},
	"notFound":                                {404: meansAbsent},
	"purchaseTokenNotFound":                   {404: meansAbsent},
	"applicationNotFound":                     {404: meansOurs},
	"concurrentUpdate":                        {409: meansParallel},
	"purchaseTokenNoLongerValid":              {410: meansGone},
	"subscriptionPurchaseNoLongerAvailable":   {410: meansGone},
	"backendError":                            {500: meansFailed, 502: meansFailed, 503: meansFailed, 504: meansFailed},
	"internalError":                           {500: meansFailed, 503: meansFailed},
}

// apiStatuses is what a status says where Google gives no reason that we know, but an error of
// its form.
var apiStatuses = map[int]apiMeaning{
	http.StatusBadRequest: meansRefused,
	http.StatusNotFound:   meansAbsent,
	http.StatusConflict:   meansParallel,
	http.StatusGone:       meansGone,
}

// refused reads an answer that is no success. Only what has the form of Google's errors,
// and the status that it says it has, is believed to be about what was asked.
func (e *APIError) refused(status int, answer error, effect bool) *APIError {
	e.Status, e.kind = status, fault.Unavailable
	said, google := errors.AsType[*googleapi.Error](answer)
	google = google && said.Code == status && (said.Message != "" || len(said.Errors) > 0)
	means := apiMeaning(0)
	if google {
		means = apiStatuses[status]
		for _, item := range said.Errors {
			if known := apiReasons[item.Reason][status]; known != 0 {
				means, e.Reason = known, item.Reason
				break
			}
		}
		means = reread(means, status, said.Message)
	} else {
		e.why = "no error of Google's form"
	}
	switch {
	case means != 0:
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		means = meansOurs
	case status == http.StatusTooManyRequests:
		means = meansQuota
	case status >= 500 && status <= 599:
		means = meansFailed
	}
	switch means {
	case meansRefused:
		e.kind = fault.Invalid
	case meansState:
		e.kind = fault.Invalid
		if effect {
			e.is = ErrState
		}
	case meansOurs:
		e.is = ErrConfiguration
	case meansQuota:
		e.is, e.again = ErrQuota, againUndone
	case meansDay:
		e.is = ErrQuota
	case meansAbsent:
		e.kind = fault.NotFound
	case meansGone:
		e.kind, e.is = fault.NotFound, ErrGone
	case meansParallel:
		e.again = againUndone
	case meansFailed:
		e.again = againUnknown
	}
	return e
}

// reread looks at the sentences that Google has no reason for: they are read and not kept.
func reread(means apiMeaning, status int, message string) apiMeaning {
	switch {
	case status == http.StatusBadRequest && means == meansRefused && strings.Contains(strings.ToLower(message), "not in a valid state"):
		return meansState
	case status == http.StatusNotFound && strings.HasPrefix(message, "Package not found"):
		// The package is one of our settings; the token may be as good as any.
		return meansOurs
	}
	return means
}
