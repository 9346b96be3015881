package dodo

import (
	"net/http"
	"strings"
	"time"

	"grantline/shared/billing"
)

// pendingWait is how long to wait while an earlier payment of the mandate is open.
const pendingWait = 10 * time.Minute

// kind is what an error code means for a request.
type kind int

const (
	ambiguous kind = iota // something may have been done; so is every code that is not listed
	ours                  // refused for our own mistake, contract or key: not executed
	busy                  // refused by the limiter
	pending               // refused while an earlier payment or refund is open
	inactive              // refused for the state of the mandate, which a look will say
	over                  // refused for good: this mandate never again
	spent                 // a refund that never will be
)

// kinds holds Dodo Payments' error codes for the requests of this package. The codes are
// from its reference ("Error Codes"); Dodo does not say which of them come with which
// status, so the code comes first.
var kinds = map[string]kind{
	"UNAUTHORIZED":                                ours,
	"MERCHANT_NOT_LIVE":                           ours,
	"NOT_FOUND":                                   ours,
	"INVALID_REQUEST_BODY":                        ours,
	"INVALID_REQUEST_PARAMETERS":                  ours,
	"INVALID_QUERY_PARAMS":                        ours,
	"INVALID_QUANTITY":                            ours,
	"MAXIMUM_KEYS_REACHED":                        ours,
	"SUBSCRIPTION_NOT_ON_DEMAND":                  ours,
	"ON_DEMAND_SUBSCRIPTIONS_NOT_ENABLED":         ours,
	"ON_DEMAND_USAGE_BASED_BILLING_NOT_SUPPORTED": ours,
	"REQUEST_AMOUNT_BELOW_MINIMUM":                ours,
	"TOTAL_PAYMENT_AMOUNT_BELOW_MINIMUM_AMOUNT":   ours,
	"UNSUPPORTED_CURRENCY":                        ours,
	"UNSUPPORTED_PAYMENT_CURRENCY":                ours,
	"UNSUPPORTED_BILLING_CURRENCY":                ours,
	"UNSUPPORTED_TAX_CATEGORY":                    ours,
	"EXCHANGE_RATE_NOT_FOUND":                     ours,
	"PRODUCT_IS_DELETED":                          ours,
	"MISSING_PRODUCT_INFORMATION":                 ours,
	"BRAND_NOT_ENABLED":                           ours,
	"LINE_ITEM_NOT_FOUND":                         ours,
	"DUPLICATE_LINE_ITEMS_IN_REQUEST":             ours,

	"TOO_MANY_REQUESTS": busy,

	"PREVIOUS_PAYMENT_PENDING":           pending,
	"EXISTING_REFUND_REQUEST_PROCESSING": pending,

	"SUBSCRIPTION_INACTIVE": inactive,

	"SUBSCRIPTION_EXPIRED":                          over,
	"SUBSCRIPTION_PAYMENT_RETRY_LIMIT_EXCEEDED":     over,
	"CHARGE_NOT_ALLOWED_FOR_SCHEDULED_CANCELLATION": over,

	"PAYMENT_ALREADY_REFUNDED":               spent,
	"PAYMENT_HAS_BEEN_REFUNDED":              spent,
	"NOTHING_TO_REFUND":                      spent,
	"REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT":      spent,
	"REFUND_WINDOW_EXPIRED":                  spent,
	"PAYMENT_NOT_SUCCEEDED":                  spent,
	"UNSUCCESSFUL_PAYMENT_ID":                spent,
	"PARTIAL_REFUND_NOT_ALLOWED":             spent,
	"ZERO_AMOUNT_PAYMENT_REFUND_NOT_ALLOWED": spent,
	"LINE_ITEM_FULLY_REFUNDED":               spent,
	"LINE_ITEM_PRORATED":                     spent,
	"LINE_ITEM_REFUND_AMOUNT_TOO_HIGH":       spent,
	"LINE_ITEM_REFUND_AMOUNT_TOO_LOW":        spent,

	"INTERNAL_SERVER_ERROR":      ambiguous,
	"INTEGER_CONVERSION_FAILURE": ambiguous,
}

// meaning is the one place where an error answer gets its kind. A 5xx, a 408 and whatever
// is no 4xx did not decide, whatever they say; then comes the code; and where that is not
// one that we know, the statuses that only a request that was not executed can have.
func meaning(a answer) kind {
	if a.status == http.StatusTooManyRequests {
		return busy
	}
	if a.status < 400 || a.status > 499 || a.status == http.StatusRequestTimeout {
		return ambiguous
	}
	if known, ok := kinds[a.code]; ok {
		return known
	}
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity:
		return ours
	default:
		return ambiguous
	}
}

// refusal is what an error answer to a charge means for it.
func refusal(a answer) billing.Outcome {
	switch meaning(a) {
	case ours:
		return billing.Outcome{Result: billing.NotMade, Code: a.code, Misconfigured: true}
	case busy:
		return billing.Outcome{Result: billing.NotMade, Code: a.code, Busy: true}
	case pending:
		return billing.Outcome{Result: billing.NotMade, Code: a.code, Again: pendingWait}
	case inactive:
		// On hold or ended: it says nothing about the card that will pay next.
		return billing.Outcome{Result: billing.Refused, Code: a.code, Class: billing.Passing}
	case over:
		return billing.Outcome{Result: billing.Refused, Code: a.code, Class: billing.Hard}
	case spent, ambiguous:
		return billing.Outcome{Result: billing.Unclear, Code: a.code}
	default:
		panic("dodo: a kind of error code without an outcome is a bug in this file")
	}
}

// A decline that our own side has to mend is passing: the card did not cause it.
const configuration = billing.Passing

// declines holds the failure codes of a payment (Dodo Payments reference, "Transaction
// Failures"), with what they mean for the attempts that remain. Dodo's guide to retries of
// on-demand charges names six that must not be tried again. Its table of soft and hard
// declines is about a customer who is present and can type again, so what only a customer
// can mend is hard here. The same soft decline twice ends the attempts of a period.
var declines = map[string]billing.Class{
	"DO_NOT_HONOR":           billing.Hard,
	"STOLEN_CARD":            billing.Hard,
	"LOST_CARD":              billing.Hard,
	"PICKUP_CARD":            billing.Hard,
	"FRAUDULENT":             billing.Hard,
	"AUTHENTICATION_FAILURE": billing.Hard,

	"EXPIRED_CARD":                billing.Hard,
	"INCORRECT_NUMBER":            billing.Hard,
	"INVALID_CARD_NUMBER":         billing.Hard,
	"INVALID_ACCOUNT":             billing.Hard,
	"INVALID_CARD_OWNER":          billing.Hard,
	"INCORRECT_CVC":               billing.Hard,
	"INVALID_CVC":                 billing.Hard,
	"INVALID_EXPIRY_YEAR":         billing.Hard,
	"INVALID_PIN":                 billing.Hard,
	"INVALID_UPI_ID":              billing.Hard,
	"LIVE_MODE_TEST_CARD":         billing.Hard,
	"MANDATE_INVALID":             billing.Hard,
	"MANDATE_REQUIRED":            billing.Hard,
	"REVOCATION_OF_AUTHORIZATION": billing.Hard,
	"TRANSACTION_NOT_ALLOWED":     billing.Hard,
	"PAYMENT_METHOD_UNSUPPORTED":  billing.Hard,
	"PROVIDER_UNSUPPORTED":        billing.Hard,
	"AUTHENTICATION_REQUIRED":     billing.Hard,
	"CUSTOMER_CANCELLED":          billing.Hard,

	"INSUFFICIENT_FUNDS":     billing.Soft,
	"PROCESSING_ERROR":       billing.Soft,
	"NETWORK_ERROR":          billing.Soft,
	"NETWORK_TIMEOUT":        billing.Soft,
	"GENERIC_DECLINE":        billing.Soft,
	"ISSUER_UNAVAILABLE":     billing.Soft,
	"TRY_AGAIN_LATER":        billing.Soft,
	"ORDER_CREATION_FAILED":  billing.Soft,
	"AUTHENTICATION_TIMEOUT": billing.Soft,
	"REENTER_TRANSACTION":    billing.Soft,
	"UNKNOWN_ERROR":          billing.Soft,
	"LIMIT_EXCEEDED":         billing.Soft,
	"CARD_NOT_ACTIVATED":     billing.Soft,

	"CARD_DECLINED":                    billing.Soft,
	"TRANSACTION_NOT_APPROVED":         billing.Soft,
	"PAYMENT_METHOD_PROVIDER_DECLINED": billing.Soft,
	"CARD_VELOCITY_EXCEEDED":           billing.Soft,

	"INVALID_REQUEST":         configuration,
	"INVALID_AMOUNT":          configuration,
	"MANDATE_REQUIRED_SYSTEM": configuration,
}

// declined is the decline that a payment ended in. One that is not listed ends the
// attempts, and is for a person to look at, as is one that our own side caused.
func declined(code string) (o billing.Outcome, alarm bool) {
	class, known := declines[code]
	if !known {
		class = billing.Hard
	}
	return billing.Outcome{Result: billing.Refused, Code: code, Class: class}, !known || class == configuration
}

// gone says whether an answer is Dodo's own word that it has no such thing; a 404 of
// anybody else between us is not.
func gone(a answer) bool {
	return a.status == http.StatusNotFound && strings.HasSuffix(a.code, "NOT_FOUND")
}
