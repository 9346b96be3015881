// Package secret gets a function its secrets. The one idea: a function's environment
// holds references, never values; a value is fetched when it is first needed, kept for
// five minutes, and fetched once more when the other side no longer accepts it, so that
// a rotation needs no deploy.
package secret

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// ErrNotReference refuses a text that is no reference to a secret. It says what the text
// should be and never what it is.
var ErrNotReference = errors.New("should be the ARN or name of a secret, not a value")

const (
	secretsManager = "secretsmanager"
	parameterStore = "ssm"
)

// Reference says where a secret is kept. The zero Reference is that of a secret that was
// not configured. It prints as its place, and in a local build, where it may hold the
// value itself, never as that.
type Reference struct{ to *place }

// place is behind a pointer, which no verb of fmt follows within another struct.
type place struct {
	service string // secretsManager, parameterStore, or what only a local build knows
	id      string // ARN or name
	region  string // of the ARN; "" is the function's own
}

// Parse reads a reference: the ARN of a secret of Secrets Manager, the ARN of a parameter
// of Parameter Store, or the parameter's name, which begins with a slash. A local build
// takes everything else as the value itself. Errors: ErrNotReference.
func Parse(text string) (Reference, error) { return parse(text, literal) }

// ParseFile is Parse for what is kept in a PEM file: a local build takes everything else
// than a reference, paths included that begin with a slash, as the name of that file, or,
// where it begins as PEM does, as its content. Errors: ErrNotReference.
func ParseFile(text string) (Reference, error) { return parse(text, file) }

// parse reads text, and hands to instead what is no ARN; names come after that in a
// build where instead knows them to be paths.
func parse(text string, instead func(string) (*place, bool)) (Reference, error) {
	if strings.HasPrefix(text, "arn:") {
		a, err := arn.Parse(text)
		if err != nil || strings.ContainsAny(text, " \t\r\n") {
			return Reference{}, ErrNotReference
		}
		secret := a.Service == secretsManager && strings.HasPrefix(a.Resource, "secret:")
		parameter := a.Service == parameterStore && strings.HasPrefix(a.Resource, "parameter/")
		if !secret && !parameter {
			return Reference{}, ErrNotReference
		}
		return Reference{&place{service: a.Service, id: text, region: a.Region}}, nil
	}
	if to, ok := instead(text); ok {
		return Reference{to}, nil
	}
	if isParameterName(text) {
		return Reference{&place{service: parameterStore, id: text}}, nil
	}
	return Reference{}, ErrNotReference
}

// isParameterName says whether text may be a name in Parameter Store, with the version or
// label that may follow (AWS Systems Manager, GetParameter: names of up to 1011 characters).
func isParameterName(text string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
	name, selector, selected := strings.Cut(text, ":")
	return len(name) >= 2 && len(name) <= 1011 && name[0] == '/' && strings.Trim(name, letters+"/") == "" && !strings.HasSuffix(name, "/") &&
		(!selected || selector != "" && len(selector) <= 100 && strings.Trim(selector, letters) == "")
}

// Given says whether there is a secret to refer to.
func (r Reference) Given() bool { return r.to != nil }

// String names the place of the secret, for logs.
func (r Reference) String() string {
	if r.to == nil {
		return "no secret"
	}
	switch r.to.service {
	case secretsManager, parameterStore:
		return r.to.id
	}
	return "a secret of this machine"
}

// GoString is String, so that no verb of fmt prints more.
func (r Reference) GoString() string { return r.String() }

// LogValue is String.
func (r Reference) LogValue() slog.Value { return slog.StringValue(r.String()) }
