package toss

import "grantline/infra/sim/stage"

// codes are the error codes that the simulator knows, with their HTTP status (Toss
// Payments error codes). Where the documents name a code without a status it is 400.
var codes = map[string]int{
	// Declines that may pass another day.
	"REJECT_CARD_PAYMENT":               403,
	"REJECT_ACCOUNT_PAYMENT":            403,
	"EXCEED_MAX_AMOUNT":                 400,
	"EXCEED_MAX_PAYMENT_AMOUNT":         400,
	"EXCEED_MAX_DAILY_PAYMENT_COUNT":    400,
	"EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT": 400,
	"EXCEED_MAX_ONE_DAY_AMOUNT":         403,
	"NOT_AVAILABLE_PAYMENT":             400,
	"NOT_AVAILABLE_BANK":                403,
	"MAINTAINED_METHOD":                 400,
	"REJECT_CARD_COMPANY":               403,

	// Declines that will not.
	"INVALID_STOPPED_CARD":          400,
	"INVALID_CARD_LOST_OR_STOLEN":   400,
	"INVALID_CARD_EXPIRATION":       400,
	"INVALID_CARD_NUMBER":           400,
	"INVALID_REJECT_CARD":           400,
	"NOT_SUPPORTED_CARD_TYPE":       400,
	"NOT_REGISTERED_CARD_COMPANY":   400,
	"ALREADY_REMOVED_BILLING_KEY":   400,
	"BILLING_KEY_NOT_FOUND":         400,
	"INVALID_BILL_KEY_REQUEST":      400,
	"INVALID_BILLING_AUTH":          400,
	"INVALID_CARD_PASSWORD":         400,
	"INVALID_CARD_IDENTITY":         400,
	"INVALID_BIRTH_DAY_FORMAT":      400,
	"FAILED_BILL_KEY_AUTH_CREATION": 400,
	"RESTRICTED_TRANSFER_ACCOUNT":   400,
	"EXCEED_MAX_AUTH_COUNT":         403,
	"FDS_ERROR":                     403,
	"NOT_FOUND_BILLING":             404,

	// The caller's own fault.
	"UNAUTHORIZED_KEY":            401,
	"INVALID_API_KEY":             400,
	"INCORRECT_BASIC_AUTH_FORMAT": 403,
	"FORBIDDEN_REQUEST":           403,
	"NOT_MATCHES_CUSTOMER_KEY":    400,
	"INVALID_REQUEST":             400,
	"INVALID_ORDER_ID":            400,
	"INVALID_CUSTOMER_KEY":        400,
	"INVALID_EMAIL":               400,
	"BELOW_MINIMUM_AMOUNT":        400,
	"NOT_SUPPORTED_METHOD":        400,
	"NOT_FOUND_TERMINAL_ID":       400,
	"NOT_REGISTERED_BUSINESS":     400,
	"INVALID_TEST_CODE":           400,
	"API_VERSION_UPDATE_NEEDED":   400,
	"INVALID_IDEMPOTENCY_KEY":     400,
	"UNAPPROVED_ORDER_ID":         400,
	"USER_ACCOUNT_ON_HOLD":        400,
	"NOT_FOUND":                   404,
	"NOT_FOUND_PAYMENT":           404,
	"INVALID_TRANSACTION_KEY":     400, // of a page of the statement

	// It was done before.
	"ALREADY_PROCESSED_PAYMENT": 400,
	"ALREADY_COMPLETED_PAYMENT": 400,
	"DUPLICATED_ORDER_ID":       400,

	// Money may have moved. The status does not tell: some are 400 or 403.
	"FAILED_INTERNAL_SYSTEM_PROCESSING":         500,
	"FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING": 500,
	"FAILED_CARD_COMPANY_RESPONSE":              500,
	"FAILED_DB_PROCESSING":                      500,
	"FAILED_METHOD_HANDLING":                    500,
	"FAILED_BILLING_AUTO_CANCEL":                500,
	"COMMON_ERROR":                              500,
	"UNKNOWN_ERROR":                             500,
	"UNKNOWN_PAYMENT_ERROR":                     500,
	"PROVIDER_ERROR":                            400,
	"CARD_PROCESSING_ERROR":                     400,
	"DUPLICATED_REQUEST":                        400,
	"EXCEED_UNKNOWN_CASE":                       400,
	"IDEMPOTENT_REQUEST_PROCESSING":             409,
	"FORBIDDEN_CONSECUTIVE_REQUEST":             403,
	"TOO_MANY_REQUESTS":                         429,

	// Cancels.
	"ALREADY_CANCELED_PAYMENT":      400,
	"NOT_MATCHES_REFUNDABLE_AMOUNT": 400,
	"NOT_CANCELABLE_AMOUNT":         403,
	"NOT_CANCELABLE_PAYMENT":        403,
	"NOT_ALLOWED_PARTIAL_REFUND":    403,
	"EXCEED_MAX_REFUND_DUE":         403,
	"REFUND_REJECTED":               400,
	"FAILED_REFUND_PROCESS":         500,
}

// refusal is the error envelope of version 1. A status of 0 is the code's own. Programs
// must not read the message, so there is one in each language for all codes.
func refusal(code string, status int, english bool) stage.Answer {
	if status == 0 {
		status = codes[code]
	}
	message := "요청을 처리할 수 없습니다. 오류 코드를 확인해주세요."
	if english {
		message = "The request could not be processed. See the error code."
	}
	return stage.JSON(status, map[string]string{"code": code, "message": message})
}
