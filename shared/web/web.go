// Package web is the edge that apps and servers call: net/http handlers that return
// errors, one table from kinds of failure to statuses, and views of the records. It
// knows no AWS: it runs behind API Gateway, behind the local runner and in a test alike.
package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json" // refuses duplicate names and invalid UTF-8, which encoding/json lets through
	"github.com/go-json-experiment/json/jsontext"

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

// statuses turns kinds into statuses, in this order: an error may be of two kinds, and an
// outage wins, for it must never read as "invalid".
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

// problemOf says what a caller may know of an error.
func problemOf(err error) Problem {
	p := Problem{Type: "about:blank", Status: http.StatusInternalServerError, Code: "internal_error", Detail: "Something went wrong on our side."}
	for _, s := range statuses {
		if errors.Is(err, s.kind) {
			p.Status, p.Code, p.Detail = s.status, s.code, ""
			break
		}
	}
	if known, ok := errors.AsType[*fault.Error](err); ok && errors.Is(known, kindOf(p.Status)) {
		p.Code, p.Detail = known.Code, known.Detail
	}
	if errors.As(err, new(*methodError)) {
		p.Status, p.Code, p.Detail = http.StatusMethodNotAllowed, "method_not_allowed", "This route does not take that method."
	}
	p.Title = http.StatusText(p.Status)
	p.Retryable = p.Status >= 500
	return p
}

func kindOf(status int) error {
	for _, s := range statuses {
		if s.status == status {
			return s.kind
		}
	}
	return nil
}

type methodError struct{ allow string }

func (e *methodError) Error() string { return "method not allowed" }

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
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Customer-Id, X-Toss-User-Key")
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

// read decodes a request body strictly: one JSON object of at most MostBytes, valid
// UTF-8, no name twice, none unknown, no null and no NUL anywhere.
func read(r *http.Request, into any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, MostBytes+1))
	switch {
	case err != nil:
		return fault.New(fault.Malformed, "invalid_request", "The body could not be read.").Because(err)
	case len(body) > MostBytes:
		return fault.New(fault.Malformed, "body_too_large", "The body has more than %d bytes.", MostBytes)
	}
	if !plain(body) || json.Unmarshal(body, into, json.RejectUnknownMembers(true)) != nil {
		// The library's text may quote the body, which may hold a token.
		return fault.New(fault.Malformed, "invalid_request", "The body should be one JSON object with the fields of this route, none of them null.")
	}
	return nil
}

// readOptional decodes a body like read, and takes none at all for an empty object.
func readOptional(r *http.Request, into any) error {
	first := make([]byte, 1)
	n, err := io.ReadFull(r.Body, first)
	if errors.Is(err, io.EOF) {
		return nil
	}
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(first[:n]), r.Body))
	return read(r, into)
}

// readNothing takes no body, or an empty object.
func readNothing(r *http.Request) error { return readOptional(r, new(struct{})) }

// plain says whether a body is an object without a null, which the decoder would take for
// an empty value, and without a NUL in any of its strings.
func plain(body []byte) bool {
	tokens := jsontext.NewDecoder(bytes.NewReader(body))
	if tokens.PeekKind() != '{' {
		return false
	}
	for {
		token, err := tokens.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return true
		case err != nil, token.Kind() == 'n', token.Kind() == '"' && strings.Contains(token.String(), "\x00"):
			return false
		}
	}
}
