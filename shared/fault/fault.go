// Package fault names the kinds of failure that a caller can act on. Everything
// that can go wrong on a journey is one of these or a bug; web turns a kind into a
// status, queue turns it into "again" or "done with", and nothing else looks at it.
package fault

import (
	"errors"
	"fmt"
)

// The kinds. Use errors.Is(err, fault.NotFound).
var (
	// Malformed: the request cannot be read. The caller must change it (400).
	Malformed = errors.New("malformed")
	// Unauthenticated: no valid proof of who is calling (401).
	Unauthenticated = errors.New("unauthenticated")
	// Denied: known, but not allowed (403).
	Denied = errors.New("denied")
	// NotFound: there is no such thing, surely (404).
	NotFound = errors.New("not found")
	// Conflict: it contradicts what is already written (409).
	Conflict = errors.New("conflict")
	// Invalid: readable, and proven false or unusable (422). An outage is never Invalid.
	Invalid = errors.New("invalid")
	// Unavailable: the truth could not be found out now. Whether anything was done is
	// unknown. Ask again (503).
	Unavailable = errors.New("unavailable")
)

// Error is a failure of one of the kinds, with a stable code for programs and a
// detail for a person. Detail must be fit to show to the caller: nothing secret, no
// provider's raw text. What only an operator may see goes into the wrapped cause.
type Error struct {
	Kind   error  // one of the kinds above
	Code   string // stable, snake_case; part of the public contract
	Detail string // one sentence for a person
	cause  error
}

// New makes an Error of a kind. The detail is formatted as by fmt.Sprintf; use %q for
// foreign strings and never put a token, key or payload into it.
func New(kind error, code, detail string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Detail: fmt.Sprintf(detail, args...)}
}

// Because attaches the cause that an operator may read in a log.
func (e *Error) Because(cause error) *Error {
	with := *e
	with.cause = cause
	return &with
}

// Error gives the operator's view.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code + ": " + e.Detail + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Detail
}

// Unwrap lets errors.Is see the kind and the cause.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.cause} }

// Code returns the stable code of err, or "" when it has none.
func Code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// Retryable says whether the same request may succeed later: only an outage is.
func Retryable(err error) bool { return errors.Is(err, Unavailable) }
