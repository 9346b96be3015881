package dodo

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"grantline/infra/sim/stage"
)

// codes are the error codes that the simulator answers, with their HTTP status (Dodo
// Payments error codes). Which status comes with which code is not documented but for 422,
// 401, 404, 429 and 500; the others are chosen.
var codes = map[string]int{
	"UNAUTHORIZED":                                  http.StatusUnauthorized,
	"FORBIDDEN":                                     http.StatusForbidden,
	"NOT_FOUND":                                     http.StatusNotFound,
	"TOO_MANY_REQUESTS":                             http.StatusTooManyRequests,
	"INTERNAL_SERVER_ERROR":                         http.StatusInternalServerError,
	"INVALID_REQUEST_BODY":                          http.StatusUnprocessableEntity,
	"INVALID_QUERY_PARAMS":                          http.StatusUnprocessableEntity,
	"INVALID_REQUEST_PARAMETERS":                    http.StatusUnprocessableEntity,
	"UNSUPPORTED_COUNTRY":                           http.StatusUnprocessableEntity,
	"UNSUPPORTED_CURRENCY":                          http.StatusUnprocessableEntity,
	"UNSUPPORTED_PAYMENT_CURRENCY":                  http.StatusUnprocessableEntity,
	"REQUEST_AMOUNT_BELOW_MINIMUM":                  http.StatusUnprocessableEntity,
	"TOTAL_PAYMENT_AMOUNT_BELOW_MINIMUM_AMOUNT":     http.StatusUnprocessableEntity,
	"ADDONS_NOT_ALLOWED_FOR_ON_DEMAND":              http.StatusUnprocessableEntity,
	"DISCOUNT_NOT_AVAILABLE_FOR_ON_DEMAND":          http.StatusUnprocessableEntity,
	"ON_DEMAND_SUBSCRIPTIONS_NOT_ENABLED":           http.StatusForbidden,
	"MERCHANT_NOT_LIVE":                             http.StatusForbidden,
	"SUBSCRIPTION_INACTIVE":                         http.StatusConflict,
	"SUBSCRIPTION_EXPIRED":                          http.StatusConflict,
	"SUBSCRIPTION_NOT_ON_DEMAND":                    http.StatusUnprocessableEntity,
	"CHARGE_NOT_ALLOWED_FOR_SCHEDULED_CANCELLATION": http.StatusConflict,
	"PREVIOUS_PAYMENT_PENDING":                      http.StatusConflict,
	"PAYMENT_NOT_SUCCEEDED":                         http.StatusConflict,
	"PAYMENT_ALREADY_REFUNDED":                      http.StatusConflict,
	"REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT":             http.StatusUnprocessableEntity,
	"REFUND_WINDOW_EXPIRED":                         http.StatusConflict,
}

// refusal is the error envelope. Programs must not read the message.
func refusal(code, message string) stage.Answer {
	if message == "" {
		message = "The request could not be processed. See the code."
	}
	return stage.JSON(codes[code], map[string]string{"code": code, "message": message})
}

// minimum is the least that a charge may be, in the smallest unit of a currency of two
// decimals; the simulator takes it for every currency.
const minimum = 50

// currencies are those that can be charged.
var currencies = []string{
	"AED", "AUD", "BRL", "CAD", "CHF", "CNY", "DKK", "EUR", "GBP", "HKD", "IDR", "INR", "JPY", "KRW",
	"MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "SEK", "SGD", "THB", "TRY", "TWD", "USD", "VND", "ZAR",
}

// Amounts whose last two digits decide what becomes of a charge. They are ours; at the real
// one they are amounts.
var magic = map[int64]string{51: "INSUFFICIENT_FUNDS", 5: "DO_NOT_HONOR", 41: "LOST_CARD", 91: "PROCESSING_ERROR"}

// cards are numbers with a meaning in test mode (Dodo Payments testing guide): what
// becomes of the approval, and of each charge after it.
var cards = map[string]struct{ approval, charge string }{
	"4242424242424242": {},
	"5555555555554444": {},
	"4000000000000002": {approval: "CARD_DECLINED", charge: "CARD_DECLINED"},
	"4000000000009995": {approval: "INSUFFICIENT_FUNDS", charge: "INSUFFICIENT_FUNDS"},
	"4000000000000341": {charge: "CARD_DECLINED"},
	"success@upi":      {},
	"failure@upi":      {approval: "PAYMENT_METHOD_PROVIDER_DECLINED", charge: "PAYMENT_METHOD_PROVIDER_DECLINED"},
}

// goodCard is the one that a customer has unless told otherwise.
const goodCard = "4242424242424242"

var (
	metadataKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)
	declineCode = regexp.MustCompile(`^[A-Z][A-Z0-9_]{1,63}$`)
	country     = regexp.MustCompile(`^[A-Z]{2}$`)
)

// checkMetadata holds metadata to its limits: 50 pairs, keys of 40 and values of 500
// characters (Dodo Payments metadata guide). Values that are no text are kept as they are.
func checkMetadata(given map[string]json.RawMessage) (map[string]any, string) {
	if len(given) > 50 {
		return nil, "metadata: at most 50 pairs"
	}
	kept := map[string]any{}
	for key, raw := range given {
		if !metadataKey.MatchString(key) {
			return nil, "metadata: a key is of 1 to 40 letters, digits, underscores and hyphens"
		}
		var value any
		if json.Unmarshal(raw, &value) != nil {
			return nil, "metadata: " + key
		}
		switch v := value.(type) {
		case string:
			if utf8.RuneCountInString(v) > 500 {
				return nil, "metadata: a value is of at most 500 characters"
			}
			kept[key] = v
		case bool:
			kept[key] = v
		case float64:
			kept[key] = json.Number(string(raw))
		default:
			return nil, "metadata: a value is a text, a number or a boolean"
		}
	}
	return kept, ""
}

// whole reads a whole number, as which neither text nor a fraction passes.
func whole(raw json.RawMessage) (int64, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil
}

// absent says whether a field was left out or is null.
func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func knownCurrency(code string) bool { return slices.Contains(currencies, code) }
