package apple

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/go-json-experiment/json" // refuses duplicate names and invalid UTF-8, which encoding/json lets through
	"github.com/go-json-experiment/json/jsontext"

	"grantline/shared/clock"
	"grantline/shared/transport"
)

const (
	// maxAPIAnswer bounds an answer, in bytes. A page of 20 transactions has 100 KB, and
	// one of 20 notifications 300 KB.
	maxAPIAnswer = 4 << 20
	// maxAttempts bounds the requests of a call that only failed for the moment.
	maxAttempts = 3
	// settling is how long a purchase just made is given to be known everywhere.
	settling = time.Second
	// maxLimited is the longest wait for a rate limit to pass within a call.
	maxLimited = 3 * time.Second
	// saneLimit bounds how far off a Retry-After may be: the limits are per hour, and
	// clocks differ. What is further off is no UNIX time in milliseconds.
	saneLimit = 24 * time.Hour
)

// pauses are those before the second and the third attempt.
var pauses = [maxAttempts - 1]time.Duration{200 * time.Millisecond, time.Second}

// apiCall is what an endpoint is asked.
type apiCall struct {
	endpoint string // its name in errors and logs
	method   string
	path     string // escaped, behind the base
	query    url.Values
	body     any  // written as JSON, nil for none
	effect   bool // it does something, and so may be answered 202 or 204 as well
	settles  bool // 4040010 may mean that the purchase was made a moment ago
}

// apiAnswer is what came back, read but not believed.
type apiAnswer struct {
	status int
	body   []byte
	header http.Header
}

// ask makes a call, several times if need be, and gives the body of a success.
func (a *API) ask(ctx context.Context, p Place, c apiCall) (apiAnswer, error) {
	base, err := a.base(p)
	if err != nil {
		return apiAnswer{}, err
	}
	asking := asking{api: a, place: p, call: c, address: base + c.path}
	if len(c.query) > 0 {
		asking.address += "?" + c.query.Encode()
	}
	if c.body != nil {
		if asking.body, err = json.Marshal(c.body); err != nil {
			return apiAnswer{}, impossible("The request", "such that it can be written as JSON in UTF-8")
		}
	}
	for {
		answer, failed := asking.attempt(ctx)
		if failed == nil {
			return answer, nil
		}
		pause, again := asking.next(ctx, failed)
		if !again {
			return apiAnswer{}, failed.fault()
		}
		a.config.Log.LogAttrs(ctx, slog.LevelInfo, "the App Store is asked again", slog.String("endpoint", c.endpoint),
			slog.Int("status", failed.Status), slog.Int64("code", failed.Code), slog.String("why", failed.why))
		if a.config.Clock.Sleep(ctx, pause) != nil {
			// Whatever was learned, the look that should have made it certain was not made.
			return apiAnswer{}, failed.unavailable()
		}
	}
}

// asking is a call on its way.
type asking struct {
	api     *API
	place   Place
	call    apiCall
	address string
	body    []byte

	attempts  int
	refreshed bool // the key was looked at afresh
	settled   bool // a purchase just made was given its time
}

// attempt is one request, or two if Apple refuses the token: what was refused was not
// executed, and the key may have been replaced.
func (s *asking) attempt(ctx context.Context) (apiAnswer, *APIError) {
	s.attempts++
	bearer := &s.api.bearer
	token, err := bearer.token(ctx, s.place.BundleID)
	if err != nil {
		return apiAnswer{}, s.failure("the In-App Purchase key cannot be had or used")
	}
	answer, failed := s.send(ctx, token)
	if failed == nil || failed.Status != http.StatusUnauthorized || s.refreshed {
		return answer, failed
	}
	s.refreshed = true
	fresh, err := bearer.instead(ctx, s.place.BundleID, token)
	if err != nil {
		return apiAnswer{}, failed
	}
	s.api.config.Log.LogAttrs(ctx, slog.LevelInfo, "the App Store refused the token, asking with another",
		slog.String("endpoint", s.call.endpoint), slog.String("environment", string(s.place.Environment)))
	return s.send(ctx, fresh)
}

// next says whether the call is to be repeated, and after which pause. It never waits for
// longer than ctx lasts.
func (s *asking) next(ctx context.Context, failed *APIError) (time.Duration, bool) {
	if s.call.settles && !s.settled && failed.Code == APITransactionIDNotFound {
		s.settled = true
		failed.uncertain = !clock.Room(ctx, settling)
		return settling, !failed.uncertain
	}
	if s.attempts >= maxAttempts {
		return 0, false
	}
	pause := pauses[s.attempts-1]
	switch {
	case failed.retryable():
	case failed.Status == http.StatusTooManyRequests && !failed.RetryAt.IsZero():
		limited := failed.RetryAt.Sub(s.api.config.Clock.Now())
		if limited > maxLimited {
			return 0, false
		}
		pause = max(pause, limited)
	default:
		return 0, false
	}
	return pause, clock.Room(ctx, pause)
}

func (s *asking) failure(why string) *APIError {
	return &APIError{Endpoint: s.call.endpoint, why: why}
}

// send puts one request on the wire.
func (s *asking) send(ctx context.Context, token string) (apiAnswer, *APIError) {
	within, cancel := context.WithTimeout(ctx, s.api.config.Attempt)
	defer cancel()
	req, err := http.NewRequestWithContext(within, s.call.method, s.address, bytes.NewReader(s.body))
	if err != nil {
		return apiAnswer{}, s.failure("no request could be made of it")
	}
	if s.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "grantline")

	res, err := s.api.client.Do(req)
	if err != nil {
		return apiAnswer{}, s.silence(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := transport.Read(res.Body, maxAPIAnswer)
	switch {
	case errors.Is(err, transport.ErrTooLarge):
		failed := s.failure(transport.Why(err))
		failed.Status = res.StatusCode
		return apiAnswer{}, failed
	case err != nil:
		return apiAnswer{}, s.silence(err)
	}
	answer := apiAnswer{res.StatusCode, body, res.Header}
	if s.succeeded(answer.status) {
		return answer, nil
	}
	return apiAnswer{}, s.refusal(answer)
}

func (s *asking) succeeded(status int) bool {
	switch status {
	case http.StatusOK:
		return true
	case http.StatusAccepted, http.StatusNoContent:
		return s.call.effect
	}
	return false
}

// silence is the failure of a request that was not answered. Where it ended with its caller
// there is no time left for another.
func (s *asking) silence(err error) *APIError {
	failed := s.failure(transport.Why(err))
	failed.broken = true
	return failed
}

// refusal reads an answer that is no success: {"errorCode","errorMessage"} with a code
// whose first three digits are the status (App Store Server API, "Error codes").
func (s *asking) refusal(answer apiAnswer) *APIError {
	failed := s.failure("")
	failed.Status = answer.status
	body, ok := readAnswer[struct {
		Code *int64 `json:"errorCode"`
	}](answer.body)
	switch {
	case !ok || body.Code == nil:
		failed.why = "no error code"
		failed.broken = answer.status >= 500 && answer.status <= 599
	case !belongs(*body.Code, answer.status):
		failed.why = "an error code that contradicts the status"
	default:
		failed.Code = *body.Code
	}
	if answer.status == http.StatusTooManyRequests {
		failed.RetryAt = retryAt(answer.header.Get("Retry-After"), s.api.config.Clock.Now())
	}
	return failed
}

// belongs says whether an error code is one of an HTTP status.
func belongs(code int64, status int) bool {
	digits := strconv.FormatInt(code, 10)
	return len(digits) == 7 && digits[:3] == strconv.Itoa(status)
}

// retryAt reads Retry-After, which Apple gives as UNIX time in milliseconds (Identifying
// rate limits) and not as RFC 9110 has it. Seconds would be a moment in 1970.
func retryAt(text string, now time.Time) time.Time {
	milli, err := strconv.ParseInt(text, 10, 64)
	if err != nil || milli < 0 || milli > lastMilli {
		return time.Time{}
	}
	at := time.UnixMilli(milli).UTC()
	if at.Sub(now).Abs() > saneLimit {
		return time.Time{}
	}
	return at
}

// askFor makes a call and decodes its answer; check says in our own words what is wrong with
// one that can be read, or "".
func askFor[T any](ctx context.Context, a *API, p Place, c apiCall, check func(T) string) (T, error) {
	var none T
	answer, err := a.ask(ctx, p, c)
	if err != nil {
		return none, err
	}
	into, ok := readAnswer[T](answer.body)
	why := "the answer cannot be read"
	if ok {
		why = check(into)
	}
	if why != "" {
		return none, (&APIError{Endpoint: c.endpoint, Status: answer.status, why: why}).unavailable()
	}
	return into, nil
}

// tell makes a call that is answered with nothing. A page of somebody in between is not
// nothing.
func (a *API) tell(ctx context.Context, p Place, c apiCall) error {
	c.effect = true
	answer, err := a.ask(ctx, p, c)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(answer.body)) == 0 {
		return nil
	}
	if _, ok := readAnswer[struct{}](answer.body); ok {
		return nil
	}
	return (&APIError{Endpoint: c.endpoint, Status: answer.status, why: "the answer cannot be read"}).unavailable()
}

// readAnswer decodes one JSON object: names with their case and none twice, values of
// their types. Unknown members are passed over.
func readAnswer[T any](body []byte) (T, bool) {
	var into, none T
	if jsontext.Value(body).Kind() != '{' || json.Unmarshal(body, &into) != nil {
		return none, false
	}
	return into, true
}

// Why an answer that could be read is not taken.
const (
	answerLacks   = "the answer lacks what it should have"
	answerAstray  = "the answer is about something else than was asked"
	answerEndless = "the answer leads back to itself"
)

// answerAbout is what some answers say of their place.
type answerAbout struct {
	BundleID    string      `json:"bundleId"`
	Environment Environment `json:"environment"`
	AppID       int64       `json:"appAppleId"` // must be a number; there is none in the sandbox
}

func (o answerAbout) check(p Place) string {
	switch {
	case o.BundleID == "" || o.Environment == "":
		return answerLacks
	case o.BundleID != p.BundleID || o.Environment != p.Environment:
		return answerAstray
	}
	return ""
}

// jwsShape is how signed data looks from afar; a Verifier looks closer.
var jwsShape = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

func looksSigned(text string) bool { return len(text) <= maxSigned && jwsShape.MatchString(text) }

// apiDate is a member in milliseconds since 1970.
type apiDate struct{ time.Time }

// UnmarshalJSON reads it as it is read in signed data.
func (d *apiDate) UnmarshalJSON(value []byte) (err error) {
	d.Time, err = date(value)
	return err
}
