package apple

import (
	"strconv"
	"strings"
	"time"

	"grantline/shared/fault"
)

// The error codes that mean something to us (App Store Server API, "Error codes"); the
// first three digits are the HTTP status. Others are kept as they come.
const (
	APIAccountNotFound                        int64 = 4040001
	APIAccountNotFoundRetryable               int64 = 4040002
	APIAppNotFound                            int64 = 4040003
	APIAppNotFoundRetryable                   int64 = 4040004
	APIOriginalTransactionIDNotFound          int64 = 4040005
	APIOriginalTransactionIDNotFoundRetryable int64 = 4040006
	APINotificationURLNotFound                int64 = 4040007
	APITestNotificationNotFound               int64 = 4040008
	APIExtensionRequestNotFound               int64 = 4040009
	// APITransactionIDNotFound may be said of a purchase that was made a moment ago.
	APITransactionIDNotFound  int64 = 4040010
	APIAppTransactionNotFound int64 = 4040019
	APIGeneralInternal        int64 = 5000000
	// APIGeneralInternalRetryable is the only error of Apple's own side that Apple says
	// to repeat.
	APIGeneralInternalRetryable int64 = 5000001
)

// The codes of the API's faults, beside CodeUnavailable.
const (
	CodeAbsent    = "not_in_store"
	CodeRefused   = "refused_by_store"
	CodeMalformed = "malformed_store_request"
)

// APIError is why a call of the App Store Server API failed. It is the cause inside the
// *fault.Error that the methods of API return: fault.NotFound where Apple surely has no
// such thing, fault.Invalid where Apple refused what was asked, so that the same again is
// pointless, and fault.Unavailable for everything else. It holds no id, token or text of
// Apple's.
type APIError struct {
	// Endpoint is the name of the method that was called.
	Endpoint string
	// Status is HTTP's, 0 if there was no answer.
	Status int
	// Code is Apple's, 0 if there is none or it contradicts Status.
	Code int64
	// RetryAt is from when on Apple answers again, zero unless Apple said so (429).
	RetryAt time.Time

	why       string // in our own words, "" where Status says it all
	broken    bool   // there was no answer, or none of Apple's making
	uncertain bool   // a purchase just made may look like this
}

// Error gives the operator's view.
func (e *APIError) Error() string {
	var b strings.Builder
	b.WriteString("apple: " + e.Endpoint)
	if e.Status != 0 {
		b.WriteString(": status " + strconv.Itoa(e.Status))
	}
	if e.Code != 0 {
		b.WriteString(": error code " + strconv.FormatInt(e.Code, 10))
	}
	if e.why != "" {
		b.WriteString(": " + e.why)
	}
	return b.String()
}

// retryable says whether the same call may succeed a moment later: the codes that Apple
// names so, a 5xx without one, and a connection that failed.
func (e *APIError) retryable() bool {
	switch e.Code {
	case APIAccountNotFoundRetryable, APIAppNotFoundRetryable,
		APIOriginalTransactionIDNotFoundRetryable, APIGeneralInternalRetryable:
		return true
	}
	return e.broken
}

// fault gives the error its kind.
func (e *APIError) fault() error {
	switch e.Code {
	case APIAccountNotFound, APIAppNotFound, APIOriginalTransactionIDNotFound, APINotificationURLNotFound,
		APITestNotificationNotFound, APIExtensionRequestNotFound, APITransactionIDNotFound, APIAppTransactionNotFound:
		if !e.uncertain {
			return fault.New(fault.NotFound, CodeAbsent, "The App Store has no such thing.").Because(e)
		}
	}
	switch e.Status {
	case 400, 403, 409:
		// Without a code it is not Apple's application that speaks.
		if e.Code != 0 {
			return fault.New(fault.Invalid, CodeRefused, "The App Store refused what was asked.").Because(e)
		}
	}
	return e.unavailable()
}

// unavailable is the kind of what says nothing about what was asked.
func (e *APIError) unavailable() error {
	return fault.New(fault.Unavailable, CodeUnavailable, "The App Store could not be asked now; ask again.").Because(e)
}

// impossible refuses a call before it is made. It names the argument, never its value.
func impossible(argument, want string) error {
	return fault.New(fault.Malformed, CodeMalformed, "%s should be %s.", argument, want)
}
