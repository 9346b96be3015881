package play

import (
	"net/http"
	"strconv"
	"time"

	"grantline/infra/sim/stage"
)

// apiError is a refusal of the API (Google's JSON error format). Where Google's own text
// is not known it is ours: nobody may depend on it.
type apiError struct {
	code     int
	reason   string
	message  string
	location string        // a parameter; "" names none
	again    time.Duration // of Retry-After; 0 writes none
}

// statuses are the words that stand beside the code (google.rpc.Code). 410 has none.
var statuses = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
	429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
}

func (e *apiError) answer() stage.Answer {
	detail := map[string]string{"reason": e.reason, "domain": "androidpublisher", "message": e.message}
	if e.code == http.StatusUnauthorized || e.code >= 500 {
		detail["domain"] = "global"
	}
	if e.location != "" {
		detail["location"], detail["locationType"] = e.location, "parameter"
	}
	body := map[string]any{"code": e.code, "message": e.message, "errors": []any{detail}}
	if status := statuses[e.code]; status != "" {
		body["status"] = status
	}
	a := stage.JSON(e.code, map[string]any{"error": body})
	if e.again > 0 {
		a.Header = http.Header{"Retry-After": {strconv.Itoa(int(e.again / time.Second))}}
	}
	if e.code == http.StatusUnauthorized {
		a.Header = http.Header{"Www-Authenticate": {`Bearer realm="https://accounts.google.com/"`}}
	}
	return a
}

// Google's words for what is wrong. A reason has one code and one text.
var reasons = map[string]apiError{}

func refusal(code int, reason, location, message string) *apiError {
	e := apiError{code: code, reason: reason, location: location, message: message}
	reasons[reason] = e
	return &e
}

var (
	invalidToken = refusal(400, "invalid", "token", "Invalid Value")
	otherPackage = refusal(400, "purchaseTokenDoesNotMatchPackageName", "token", "The purchase token does not match the package name.")
	otherProduct = refusal(400, "purchaseTokenDoesNotMatchProductId", "token", "The purchase token does not match the product ID.")
	wrongState   = refusal(400, "invalidPurchaseState", "", "The product purchase is not in a valid state.")
	notOwned     = refusal(400, "productNotOwnedByUser", "", "The product purchase is not owned by the user.")
	ended        = refusal(400, "subscriptionExpired", "", "The subscription has expired.")

	invalidCredentials = refusal(401, "authError", "", "Request had invalid authentication credentials.")
	noCredentials      = refusal(401, "required", "", "Login Required.")

	_ = refusal(401, "permissionDenied", "", "The current user has insufficient permissions to perform the requested operation.")
	_ = refusal(403, "userInsufficientPermission", "", "The current user has insufficient permissions to perform the requested operation.")
	_ = refusal(403, "projectNotLinked", "", "The project id used to call the Google Play Developer API has not been linked in the Google Play Developer Console.")
	_ = refusal(403, "accessNotConfigured", "", "The API is not enabled for the project.")
	_ = refusal(403, "quotaExceeded", "", "The quota is exceeded.")

	dailyLimit  = refusal(403, "dailyLimitExceeded", "", "The daily limit is exceeded.")
	rateLimited = refusal(429, "rateLimitExceeded", "", "The rate limit is exceeded.")

	unknownToken = refusal(404, "purchaseTokenNotFound", "token", "The purchase token was not found.")
	_            = refusal(404, "notFound", "", "Not found.")

	concurrent = refusal(409, "concurrentUpdate", "", "The purchase is being updated by another request.")

	tokenGone        = refusal(410, "purchaseTokenNoLongerValid", "token", "The purchase token is no longer valid.")
	subscriptionGone = refusal(410, "subscriptionPurchaseNoLongerAvailable", "token", "The subscription purchase is no longer available for query because it has been expired for too long.")

	backendError = refusal(500, "backendError", "", "Backend Error")
	_            = refusal(503, "backendUnavailable", "", "The service is currently unavailable.")
)

// invalid refuses what a parameter says.
func invalid(location, message string) *apiError {
	return &apiError{code: 400, reason: "invalidValue", location: location, message: message}
}

func notFound(location, message string) *apiError {
	return &apiError{code: 404, reason: "notFound", location: location, message: message}
}

// empty is the answer of what says nothing.
var empty = stage.Answer{Status: http.StatusNoContent}

func (e *apiError) Error() string { return e.reason + ": " + e.message }
