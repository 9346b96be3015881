package apple

import (
	"net/http"
	"strconv"

	"grantline/infra/sim/stage"
)

// apiError is the body of a refusal (App Store Server API, error codes). The first three
// digits of the code are the HTTP status.
type apiError struct {
	Code    int64  `json:"errorCode"`
	Message string `json:"errorMessage"`
}

func (e apiError) Error() string { return e.Message }

func (e apiError) answer() stage.Answer { return stage.JSON(int(e.Code/10000), e) }

// The refusals of the App Store Server API (error codes). Where Apple's own text is not
// known it is ours: nobody may depend on it.
var (
	badRequest          = apiError{4000000, "Bad request."}
	invalidRevision     = apiError{4000005, "Invalid request revision."}
	invalidID           = apiError{4000006, "Invalid transaction id."}
	invalidOriginalID   = apiError{4000008, "Invalid original transaction id."}
	invalidDays         = apiError{4000009, "Invalid extend by days value."}
	invalidReason       = apiError{4000010, "Invalid extend reason code."}
	invalidRequestID    = apiError{4000011, "Invalid request identifier."}
	startTooOld         = apiError{4000012, "Start date is too far in the past."}
	startAfterEnd       = apiError{4000013, "Start date must be before end date."}
	invalidPage         = apiError{4000014, "Invalid pagination token."}
	invalidStart        = apiError{4000015, "Invalid start date."}
	invalidEnd          = apiError{4000016, "Invalid end date."}
	invalidType         = apiError{4000018, "Invalid notification type or subtype."}
	manyFilters         = apiError{4000019, "Invalid request. Multiple filters supplied."}
	invalidTestToken    = apiError{4000020, "Invalid test notification token."}
	invalidSort         = apiError{4000021, "Invalid sort."}
	invalidProductType  = apiError{4000022, "Invalid product type."}
	invalidProduct      = apiError{4000023, "Invalid product id."}
	invalidGroup        = apiError{4000024, "Invalid subscription group identifier."}
	invalidOwnership    = apiError{4000026, "Invalid in app ownership type."}
	noStorefronts       = apiError{4000027, "Storefront country codes may not be an empty list."}
	invalidStorefront   = apiError{4000028, "Invalid storefront country code."}
	invalidRevoked      = apiError{4000030, "Invalid revoked."}
	invalidStatus       = apiError{4000031, "Invalid status."}
	invalidAccountToken = apiError{4000033, "Invalid app account token."}
	invalidConsent      = apiError{4000035, "Invalid customer consented."}
	invalidDelivery     = apiError{4000036, "Invalid delivery status."}
	invalidSample       = apiError{4000041, "Invalid sample content provided."}
	invalidPreference   = apiError{4000044, "Invalid request. The refund preference field is invalid."}
	noAppTransaction    = apiError{4000048, "Invalid request. App transaction ids are not supported."}
	tokenNoUUID         = apiError{4000183, "Invalid request. The app account token is no UUID."}
	noFamily            = apiError{4000185, "Invalid request. Family transactions are not supported."}
	notOriginal         = apiError{4000187, "Invalid request. The transaction id is no original transaction id."}
	percentageRenewable = apiError{4000209, "Invalid request. The consumption percentage field is not supported for auto-renewable subscription transactions."}

	ineligible         = apiError{4030004, "Subscription state ineligible for extension."}
	extendedTooOften   = apiError{4030005, "Subscription has reached maximum extension limit."}
	familyIneligible   = apiError{4030007, "Subscriptions that users obtain through Family Sharing are ineligible."}
	unknownOriginalID  = apiError{4040005, "Original transaction id not found."}
	noAddress          = apiError{4040007, "No App Store server notification URL configured."}
	unknownTest        = apiError{4040008, "Test notification not found."}
	unknownRequest     = apiError{4040009, "Status of the extension request not found."}
	unknownID          = apiError{4040010, "Transaction id not found."}
	noAppTransactionOf = apiError{4040019, "No app transaction exists for the customer."}
	rateLimited        = apiError{4290000, "Rate limit exceeded."}
	internalError      = apiError{5000000, "An unknown error occurred."}
)

// Two rules of consumption have names in Apple's documentation and no numbers that we know
// (ConsumptionPercentageOutOfRangeError, UndeliveredConsumptionPercentageNonZeroError).
// The numbers are made up beside the one that is known; a client meets an unknown code.
var (
	percentageOutOfRange  = apiError{4000207, "Invalid request. The consumption percentage is out of range."}
	percentageUndelivered = apiError{4000208, "Invalid request. The consumption percentage must be zero for the delivery status."}
)

// unauthenticated is all that Apple says about a token that it does not take, in plain text.
var unauthenticated = stage.Answer{
	Status: http.StatusUnauthorized, ContentType: "text/plain", Body: []byte("Unauthenticated\n\nRequest ID: SIMULATED.0.0\n"),
}

// later is the answer to whom calls too often. Its Retry-After is an instant in
// milliseconds since 1970, no number of seconds (App Store Server API, identifying rate
// limits).
func later(again int64) stage.Answer {
	a := rateLimited.answer()
	a.Header = http.Header{"Retry-After": {strconv.FormatInt(again, 10)}}
	return a
}
