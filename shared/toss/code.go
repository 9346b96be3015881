package toss

import (
	"net/http"
	"regexp"

	"grantline/shared/billing"
)

// codeShape is how Toss writes its error codes. A code is kept with the charge and shown,
// so that what only looks like one does not pass.
var codeShape = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

// kind is what an error code means for a charge.
type kind int

const (
	ambiguous kind = iota // money may have moved; so is every code that is not listed
	fleeting              // so too, and Toss will say something else when asked again
	already               // a payment of this order exists: look it up
	soft                  // declined, may pass later
	passing               // declined for the hour, whatever the card
	hard                  // declined, and this card never again
	ours                  // refused for our own mistake, contract or key: not executed
)

// kinds holds Toss Payments' error codes for payments and automatic payments. The
// codes are from Toss's reference ("Error codes"); Toss publishes no classes, so what they
// mean is our reading. An HTTP status does not tell: PROVIDER_ERROR is a 400 that may
// have taken money, and REJECT_CARD_PAYMENT a 403 that says the card has none.
var kinds = map[string]kind{
	"REJECT_CARD_PAYMENT":               soft, // limit or balance
	"REJECT_ACCOUNT_PAYMENT":            soft,
	"EXCEED_MAX_AMOUNT":                 soft,
	"EXCEED_MAX_PAYMENT_AMOUNT":         soft,
	"EXCEED_MAX_DAILY_PAYMENT_COUNT":    soft,
	"EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT": soft,
	"EXCEED_MAX_ONE_DAY_AMOUNT":         soft,
	"REJECT_CARD_COMPANY":               soft, // may be anything; the same decline twice ends it

	"NOT_AVAILABLE_PAYMENT": passing, // outside the hours of payment
	"NOT_AVAILABLE_BANK":    passing,
	"MAINTAINED_METHOD":     passing,

	"INVALID_STOPPED_CARD":        hard,
	"INVALID_CARD_LOST_OR_STOLEN": hard,
	"INVALID_CARD_EXPIRATION":     hard,
	"INVALID_CARD_NUMBER":         hard,
	"INVALID_REJECT_CARD":         hard,
	"NOT_SUPPORTED_CARD_TYPE":     hard,
	"NOT_REGISTERED_CARD_COMPANY": hard,
	"ALREADY_REMOVED_BILLING_KEY": hard,
	"BILLING_KEY_NOT_FOUND":       hard,
	"INVALID_BILL_KEY_REQUEST":    hard,
	"INVALID_BILLING_AUTH":        hard,
	"INVALID_CARD_PASSWORD":       hard,
	"INVALID_CARD_IDENTITY":       hard,
	"RESTRICTED_TRANSFER_ACCOUNT": hard,
	"EXCEED_MAX_AUTH_COUNT":       hard,
	"FDS_ERROR":                   hard,
	"NOT_FOUND_BILLING":           hard,

	"UNAUTHORIZED_KEY":            ours,
	"INVALID_API_KEY":             ours,
	"INCORRECT_BASIC_AUTH_FORMAT": ours,
	"FORBIDDEN_REQUEST":           ours,
	"NOT_MATCHES_CUSTOMER_KEY":    ours,
	"INVALID_REQUEST":             ours,
	"INVALID_ORDER_ID":            ours,
	"INVALID_CUSTOMER_KEY":        ours,
	"INVALID_EMAIL":               ours,
	"BELOW_MINIMUM_AMOUNT":        ours,
	"NOT_SUPPORTED_METHOD":        ours,
	"NOT_FOUND_TERMINAL_ID":       ours,
	"NOT_REGISTERED_BUSINESS":     ours,
	"INVALID_TEST_CODE":           ours,
	"API_VERSION_UPDATE_NEEDED":   ours,
	"INVALID_IDEMPOTENCY_KEY":     ours,
	"UNAPPROVED_ORDER_ID":         ours,
	"USER_ACCOUNT_ON_HOLD":        ours,

	"ALREADY_PROCESSED_PAYMENT": already,
	"ALREADY_COMPLETED_PAYMENT": already,
	"DUPLICATED_ORDER_ID":       already,

	"IDEMPOTENT_REQUEST_PROCESSING": fleeting,
	"FORBIDDEN_CONSECUTIVE_REQUEST": fleeting,

	"PROVIDER_ERROR":         ambiguous,
	"CARD_PROCESSING_ERROR":  ambiguous,
	"DUPLICATED_REQUEST":     ambiguous,
	"EXCEED_UNKNOWN_CASE":    ambiguous,
	"COMMON_ERROR":           ambiguous,
	"UNKNOWN_ERROR":          ambiguous,
	"UNKNOWN_PAYMENT_ERROR":  ambiguous,
	"FAILED_DB_PROCESSING":   ambiguous,
	"FAILED_METHOD_HANDLING": ambiguous,

	"FAILED_INTERNAL_SYSTEM_PROCESSING":         ambiguous,
	"FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING": ambiguous,
	"FAILED_CARD_COMPANY_RESPONSE":              ambiguous,
	"FAILED_BILLING_AUTO_CANCEL":                ambiguous,
}

// refusal is the one place where an error answer to a charge becomes an outcome. The
// status comes first only where it says that Toss did not decide.
func refusal(status int, code string) billing.Outcome {
	if status == http.StatusTooManyRequests {
		return billing.Outcome{Result: billing.NotMade, Code: code, Busy: true}
	}
	if !decided(status) {
		// An UNAUTHORIZED_KEY is the one word of an undecided status that we know: nobody
		// was let in.
		if status == http.StatusUnauthorized && code == "UNAUTHORIZED_KEY" {
			return billing.Outcome{Result: billing.NotMade, Code: code, Misconfigured: true}
		}
		return billing.Outcome{Result: billing.Unclear, Code: code}
	}
	switch kinds[code] {
	case soft:
		return billing.Outcome{Result: billing.Refused, Code: code, Class: billing.Soft}
	case passing:
		return billing.Outcome{Result: billing.Refused, Code: code, Class: billing.Passing}
	case hard:
		return billing.Outcome{Result: billing.Refused, Code: code, Class: billing.Hard}
	case ours:
		return billing.Outcome{Result: billing.NotMade, Code: code, Misconfigured: true}
	case already, fleeting:
		return billing.Outcome{Result: billing.Unclear, Code: code}
	case ambiguous:
		// A 4xx is stored and repeated for 15 days (Toss, "Idempotency key"): asking again
		// teaches nothing. Without a code it was not Toss who spoke.
		return billing.Outcome{Result: billing.Unclear, Code: code, Final: code != ""}
	default:
		panic("toss: a kind of error code without an outcome is a bug in this file")
	}
}

// decided says whether an error status is an answer that Toss gives once it has made up
// its mind, and repeats. Not so are a refused key, a request in progress, too many
// requests, what a proxy says for want of an answer, and everything that is no 4xx.
func decided(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusConflict,
		http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	default:
		return status >= 400 && status < 500
	}
}

// aborted is the decline that a payment ended in. It is definite whatever the code.
func aborted(code string) billing.Outcome {
	switch kinds[code] {
	case passing:
		return billing.Outcome{Result: billing.Refused, Code: code, Class: billing.Passing}
	case hard:
		return billing.Outcome{Result: billing.Refused, Code: code, Class: billing.Hard}
	case soft, ours, already, fleeting, ambiguous:
		return billing.Outcome{Result: billing.Refused, Code: code, Class: billing.Soft}
	default:
		panic("toss: a kind of error code without an outcome is a bug in this file")
	}
}
