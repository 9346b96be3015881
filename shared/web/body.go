package web

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json" // refuses duplicate names and invalid UTF-8, which encoding/json lets through
	"github.com/go-json-experiment/json/jsontext"

	"grantline/shared/fault"
)

// bodyError is a body that cannot be read, with what its sender is told. The detail may
// name a field that the sender made up, so that no log has it.
type bodyError struct{ detail string }

func (e *bodyError) Error() string { return errUnreadable.Error() }

func (e *bodyError) Unwrap() error { return errUnreadable }

var errUnreadable = fault.New(fault.Malformed, "invalid_request",
	"The body should be one JSON object with the fields of this route, none of them null.")

// read decodes a request body strictly: one JSON object of at most MostBytes, valid
// UTF-8, no name twice, none unknown, no null and no NUL anywhere. Its error says which
// field is wrong, and never what it holds.
func read(r *http.Request, into any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, MostBytes+1))
	switch {
	case err != nil:
		return fault.New(fault.Malformed, "invalid_request", "The body could not be read.").Because(err)
	case len(body) > MostBytes:
		return fault.New(fault.Malformed, "body_too_large", "The body has more than %d bytes.", MostBytes)
	}
	if err := plain(body); err != nil {
		return err
	}
	err = json.Unmarshal(body, into, json.RejectUnknownMembers(true))
	if wrong, ok := errors.AsType[*json.SemanticError](err); ok {
		if errors.Is(wrong.Err, json.ErrUnknownName) {
			return unreadable(wrong.JSONPointer, "is no field of this route")
		}
		return unreadable(wrong.JSONPointer, "should be "+kindName(wrong.GoType))
	}
	if err != nil {
		return errUnreadable // the library's text may quote the body, which may hold a token
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

// plain lets an object through without a null, which the decoder would take for an empty
// value, without a name given twice, and without a NUL in any of its strings.
func plain(body []byte) error {
	tokens := jsontext.NewDecoder(bytes.NewReader(body))
	if tokens.PeekKind() != '{' {
		return errUnreadable
	}
	for {
		token, err := tokens.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if wrong, ok := errors.AsType[*jsontext.SyntacticError](err); ok && errors.Is(wrong.Err, jsontext.ErrDuplicateName) {
				return unreadable(wrong.JSONPointer, "is given twice")
			}
			return errUnreadable
		}
		switch {
		case token.Kind() == 'n':
			return unreadable(tokens.StackPointer(), "should not be null; leave out what you do not have")
		case token.Kind() == '"' && strings.Contains(token.String(), "\x00"):
			return unreadable(tokens.StackPointer(), "should hold no NUL")
		}
	}
}

// fieldNames are what a name in a body may look like for it to be given back.
var fieldNames = regexp.MustCompile(`^(/[A-Za-z_]{1,32}){1,4}$`)

// unreadable names the field at a place in the body.
func unreadable(at jsontext.Pointer, what string) error {
	if !fieldNames.MatchString(string(at)) {
		return errUnreadable
	}
	return &bodyError{strings.ReplaceAll(string(at)[1:], "/", ".") + " " + what + "."}
}

// kindName says in words what JSON a field takes.
func kindName(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == nil:
		return "of another type"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int64:
		return "a whole number"
	case t.Kind() == reflect.Struct:
		return "an object"
	}
	return "of another type"
}
