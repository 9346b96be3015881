package play

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext" // refuses duplicate names and invalid UTF-8, which encoding/json lets through
	"google.golang.org/api/androidpublisher/v3"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/transport"
)

const (
	// maxAttempts bounds the requests of a call that only failed for the moment.
	maxAttempts = 3
	// longestWait bounds every wait within a call, for a quota or because Google says so.
	longestWait = 30 * time.Second
)

// pauses are those before the second and the third attempt; half of each is by chance, so
// that two who were in each other's way are not again.
var pauses = [maxAttempts - 1]time.Duration{300 * time.Millisecond, 1500 * time.Millisecond}

// apiCall is one method that Google is asked.
type apiCall struct {
	method string // its name in errors and logs
	quota  *apiQuota
	most   int64 // bytes of an answer
	effect bool  // it does something and is answered with nothing
	once   bool  // it is not repeated once it may have been done
}

// generated is a call of the generated client.
type generated func(ctx context.Context, s *androidpublisher.Service) error

// apiFetch makes a call and gives what it was answered, if fits says that it is what it
// should be, and the instant before it was asked.
func apiFetch[T any](ctx context.Context, a *API, c apiCall, ask func(context.Context, *androidpublisher.Service) (*T, error), fits func(*T) bool) (*T, time.Time, error) {
	var answer *T
	asked, err := a.call(ctx, c, func(ctx context.Context, s *androidpublisher.Service) (err error) {
		answer, err = ask(ctx, s)
		return err
	})
	switch {
	case err != nil:
		return nil, time.Time{}, err
	case answer == nil || !fits(answer):
		return nil, time.Time{}, (&APIError{Method: c.method, Status: http.StatusOK, why: "the answer lacks what it should have"}).fault()
	}
	return answer, asked, nil
}

// call makes a call, several times if need be, and gives the instant before the request
// that succeeded.
func (a *API) call(ctx context.Context, c apiCall, do generated) (time.Time, error) {
	service, err := a.service()
	if err != nil {
		return time.Time{}, (&APIError{Method: c.method, why: "the generated client cannot be built"}).fault()
	}
	asking := asking{api: a, call: c, do: do, service: service}
	for {
		asked, failed := asking.attempt(ctx)
		if failed == nil {
			return asked, nil
		}
		pause, again := asking.next(ctx, failed)
		if !again {
			if errors.Is(failed.is, ErrConfiguration) {
				a.config.Log.LogAttrs(ctx, slog.LevelError, "Google Play refuses our configuration", slog.Bool("alarm", true),
					slog.String("method", c.method), slog.Int("status", failed.Status), slog.String("reason", failed.Reason), slog.String("why", failed.why))
			}
			return time.Time{}, failed.fault()
		}
		a.config.Log.LogAttrs(ctx, slog.LevelInfo, "Google Play is asked again", slog.String("method", c.method),
			slog.Int("status", failed.Status), slog.String("reason", failed.Reason), slog.String("why", failed.why))
		if a.config.Clock.Sleep(ctx, pause) != nil {
			return time.Time{}, failed.fault() // what is repeated is never more than unavailable
		}
	}
}

// asking is a call on its way.
type asking struct {
	api     *API
	call    apiCall
	do      generated
	service *androidpublisher.Service

	attempts   int
	refreshed  bool          // the credentials were looked at afresh
	retryAfter time.Duration // what Google said last, or 0
}

// attempt is one request, or two if Google refuses the access token: what was refused so
// was not executed, and the credentials may have been replaced.
func (s *asking) attempt(ctx context.Context) (time.Time, *APIError) {
	s.attempts++
	credentials := &s.api.credentials
	token, lacking := credentials.token(ctx, "")
	if lacking != nil {
		return time.Time{}, lacking.during(s.call.method)
	}
	asked, failed := s.send(ctx, token)
	if failed == nil || failed.Status != http.StatusUnauthorized || failed.Reason == "permissionDenied" || s.refreshed {
		return asked, failed
	}
	s.refreshed = true
	fresh, lacking := credentials.token(ctx, token)
	if lacking != nil {
		return time.Time{}, lacking.during(s.call.method)
	}
	s.api.config.Log.LogAttrs(ctx, slog.LevelInfo, "Google Play refused the access token, asking with another", slog.String("method", s.call.method))
	return s.send(ctx, fresh)
}

// next says whether the call is to be repeated, and after which pause. It never waits for
// longer than ctx lasts.
func (s *asking) next(ctx context.Context, failed *APIError) (time.Duration, bool) {
	if s.attempts >= maxAttempts || failed.again == againNever || failed.again == againUnknown && s.call.once {
		return 0, false
	}
	pause := pauses[s.attempts-1]
	pause = pause/2 + rand.N(pause/2+1)
	if s.retryAfter > 0 {
		pause = max(pause, s.retryAfter)
	}
	return pause, pause <= longestWait && clock.Room(ctx, pause)
}

// send puts one request on the wire, when its quota allows it.
func (s *asking) send(ctx context.Context, token string) (time.Time, *APIError) {
	s.retryAfter = 0
	if !s.call.quota.wait(ctx) {
		return time.Time{}, s.failure("there is no time to wait for it", ErrQuota)
	}
	if ctx.Err() != nil {
		return time.Time{}, s.failure(transport.Why(ctx.Err()), nil)
	}
	within, cancel := context.WithTimeout(ctx, s.api.config.Attempt)
	defer cancel()
	wire := &exchange{token: token, most: s.call.most, effect: s.call.effect}
	asked := s.api.config.Clock.Now()
	err := s.do(context.WithValue(within, exchangeKey{}, wire), s.service)
	switch {
	case wire.why != "":
		failed := s.failure(wire.why, nil)
		failed.Status, failed.again = wire.status, wire.again
		return time.Time{}, failed
	case wire.status == 0:
		return time.Time{}, s.failure("no request could be made of it", nil)
	case !succeeded(wire.status, s.call.effect):
		s.retryAfter = retryAfter(wire.header, asked)
		return time.Time{}, (&APIError{Method: s.call.method}).refused(wire.status, err, s.call.effect)
	case err != nil:
		failed := s.failure("the answer cannot be read", nil)
		failed.Status = wire.status
		return time.Time{}, failed
	}
	return asked, nil
}

func (s *asking) failure(why string, is error) *APIError {
	return &APIError{Method: s.call.method, why: why, is: is, kind: fault.Unavailable}
}

// retryAfter reads Retry-After (RFC 9110, 10.2.3), or gives 0.
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// exchange is one request and what became of it, beside what the generated client tells:
// that takes the status from the body of an error, and any body for an answer.
type exchange struct {
	token  string
	most   int64
	effect bool

	status int
	header http.Header
	why    string // why there is no answer to be read, in our own words
	again  repeatable
}

type exchangeKey struct{}

// apiWire sends what the generated client makes, with our proof of who we are, and lets it
// see nothing but bounded answers.
type apiWire struct{ by http.RoundTripper }

// RoundTrip sends one request.
func (w apiWire) RoundTrip(req *http.Request) (*http.Response, error) {
	x, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, errors.New("play: a request of nobody's")
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+x.token)
	req.Header.Set("Accept", "application/json")
	res, err := w.by.RoundTrip(req)
	if err != nil {
		return nil, x.silent(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := transport.Read(res.Body, x.most)
	if err != nil {
		x.status = res.StatusCode
		return nil, x.silent(err)
	}
	x.status, x.header = res.StatusCode, res.Header
	if res.StatusCode/100 == 2 && (!succeeded(res.StatusCode, x.effect) || !fitAnswer(body, x.effect)) {
		x.why = "the answer cannot be read"
		return nil, errors.New(x.why)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.ContentLength = int64(len(body))
	return res, nil
}

// silent notes that there was no whole answer.
func (x *exchange) silent(err error) error {
	x.why = transport.Why(err)
	if !errors.Is(err, transport.ErrTooLarge) {
		x.again = againUnknown
	}
	return errors.New(x.why)
}

func succeeded(status int, effect bool) bool {
	return status == http.StatusOK || effect && status == http.StatusNoContent
}

// fitAnswer says whether a body can be the answer of a success: a JSON object, or nothing
// where nothing is to be said. A page of somebody in between is neither.
func fitAnswer(body []byte, effect bool) bool {
	if len(bytes.TrimSpace(body)) == 0 {
		return effect
	}
	value := jsontext.Value(body)
	return value.Kind() == '{' && value.IsValid()
}
