// Package web is the edge that apps and servers call: net/http handlers that return
// errors, one table from kinds of failure to statuses, and views of the records. It
// knows no AWS: it runs behind API Gateway, behind the local runner and in a test alike.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// MostBytes of a request body. An old App Store receipt of a busy customer is the largest
// thing that anybody sends.
const MostBytes = 1 << 20

// answerWithin bounds every request: the HTTP API gives up at 30 seconds, and an answer
// is promised within 25.
const answerWithin = 24 * time.Second

// handler serves one route or says why it cannot.
type handler func(w http.ResponseWriter, r *http.Request) error

// statuses turns kinds into statuses.
var statuses = []struct {
	kind   error
	status int
	code   string // for an error without a code of its own
}{
	{fault.Unavailable, http.StatusServiceUnavailable, "unavailable"},
	{fault.Malformed, http.StatusBadRequest, "invalid_request"},
	{fault.Unauthenticated, http.StatusUnauthorized, "unauthenticated"},
	{fault.Denied, http.StatusForbidden, "forbidden"},
	{fault.NotFound, http.StatusNotFound, "not_found"},
	{fault.Conflict, http.StatusConflict, "conflict"},
	{fault.Invalid, http.StatusUnprocessableEntity, "invalid"},
}

// Problem is an error as a caller sees it (RFC 9457).
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail,omitempty"`
	Retryable bool   `json:"retryable"`
}

// problemOf says what a caller may know of an error. It is of the kind that its outermost
// fault says, whose cause is the operator's alone; but where an outage is anywhere within,
// nothing was proven false, and it must never read as "invalid".
func problemOf(err error) Problem {
	p := Problem{Type: "about:blank", Status: http.StatusInternalServerError, Code: "internal_error", Detail: "Something went wrong on our side."}
	known, ok := errors.AsType[*fault.Error](err)
	kind := err
	switch {
	case errors.Is(err, fault.Unavailable):
		kind = fault.Unavailable
	case ok:
		kind = known.Kind
	}
	for _, s := range statuses {
		if !errors.Is(kind, s.kind) {
			continue
		}
		p.Status, p.Code, p.Detail = s.status, s.code, ""
		if ok && errors.Is(known.Kind, s.kind) {
			p.Code, p.Detail = known.Code, known.Detail
		}
		break
	}
	if wrong, ok := errors.AsType[*bodyError](err); ok && p.Status == http.StatusBadRequest {
		p.Detail = wrong.detail
	}
	if errors.As(err, new(*methodError)) {
		p.Status, p.Code, p.Detail = http.StatusMethodNotAllowed, "method_not_allowed", "This route does not take that method."
	}
	if errors.As(err, new(*sizeError)) {
		p.Status, p.Code, p.Detail = http.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("The body has more than %d bytes.", MostBytes)
	}
	p.Title = http.StatusText(p.Status)
	p.Retryable = p.Status >= 500 || p.Code == billing.ChargeUnderWay // which passes of itself
	return p
}

type methodError struct{ allow string }

func (e *methodError) Error() string { return "method not allowed" }

// sizeError is a webhook that is larger than anybody's.
type sizeError struct{}

func (*sizeError) Error() string { return "body too large" }

// serve runs a handler with a bound on its time, adds what every app route has, and turns
// an error into its answer.
func serve(w http.ResponseWriter, r *http.Request, log *slog.Logger, h handler, refuse func(http.ResponseWriter, Problem)) {
	// Mini-apps and web views are cross-origin everywhere; no cookie is ever used, so any
	// origin may ask.
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodOptions {
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Customer-Id, X-Reason, X-Toss-User-Key")
		w.Header().Set("Access-Control-Max-Age", "7200")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	err := h(w, r.WithContext(ctx))
	if err == nil {
		return
	}
	p := problemOf(err)
	level := slog.LevelInfo
	if p.Status >= 500 {
		level = slog.LevelError
	}
	log.Log(ctx, level, "refused", "status", p.Status, "code", p.Code, "error", err)
	if method, ok := errors.AsType[*methodError](err); ok {
		w.Header().Set("Allow", method.allow)
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="grantline"`)
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	refuse(w, p)
}

func refuseWithProblem(w http.ResponseWriter, p Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, p.Status, p)
}

// answer writes a JSON body.
func answer(w http.ResponseWriter, status int, body any) error {
	w.Header().Set("Content-Type", "application/json")
	write(w, status, body)
	return nil
}

func write(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic("web: bug: an answer that is no JSON: " + err.Error())
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
