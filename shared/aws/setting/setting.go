// Package setting reads the environment of a function at its start. The one idea: all of
// it is read and checked before the first invocation, and a function that is configured
// wrongly does not start; it writes one line for each variable that is wrong, with what
// it should be and never what it is.
package setting

import (
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"grantline/shared/aws/secret"
)

// Reader reads variables and collects what is wrong with them. An empty variable is one
// that is not set, as in a template that names every variable it may give. Not for use by
// many goroutines.
type Reader struct {
	lookup     func(string) (string, bool)
	complain   io.Writer
	exit       func(int)
	complaints []complaint
}

type complaint struct{ name, what string }

// Read returns a Reader of the process's environment.
func Read() *Reader { return ReadFrom(os.LookupEnv, os.Stderr, os.Exit) }

// ReadFrom returns a Reader of another environment, which complains to another writer
// and ends in another way.
func ReadFrom(lookup func(string) (string, bool), complain io.Writer, exit func(code int)) *Reader {
	return &Reader{lookup: lookup, complain: complain, exit: exit}
}

// Check ends the process with code 1 if a variable was wrong, after one line for each, in
// the order in which they were read.
func (r *Reader) Check() {
	if len(r.complaints) == 0 {
		return
	}
	for _, c := range r.complaints {
		fmt.Fprintf(r.complain, "%s: should be %s\n", c.name, c.what)
	}
	r.exit(1)
}

// Refuse notes that a variable is wrong for a reason that only the caller knows. what
// completes "should be"; it never holds the value. The first complaint about a variable
// is the one that is written.
func (r *Reader) Refuse(name, what string) {
	if slices.ContainsFunc(r.complaints, func(c complaint) bool { return c.name == name }) {
		return
	}
	r.complaints = append(r.complaints, complaint{name, what})
}

// value returns a variable that is set to something.
func (r *Reader) value(name string) (string, bool) {
	v, ok := r.lookup(name)
	return v, ok && strings.TrimSpace(v) != ""
}

// line returns a variable that is one line without blanks around it.
func (r *Reader) line(name, what string, required bool) (string, bool) {
	v, ok := r.value(name)
	if !ok {
		if required {
			r.Refuse(name, what+"; it is not set")
		}
		return "", false
	}
	if v != strings.TrimSpace(v) || strings.ContainsFunc(v, unicode.IsControl) {
		r.Refuse(name, what+", on one line and without blanks around it")
		return "", false
	}
	return v, true
}

// Text returns a variable that must be set. what completes "should be".
func (r *Reader) Text(name, what string) string {
	v, _ := r.line(name, what, true)
	return v
}

// OptionalText returns a variable, or otherwise where it is not set.
func (r *Reader) OptionalText(name, otherwise string) string {
	if v, ok := r.line(name, "text", false); ok {
		return v
	}
	return otherwise
}

// List returns the parts of a comma-separated variable, or none where it is not set. what
// completes "should be" and is about all of it.
func (r *Reader) List(name, what string) []string {
	v, ok := r.line(name, what, false)
	if !ok {
		return nil
	}
	var parts []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part == "" {
			r.Refuse(name, what+", comma-separated, none of them empty")
			return nil
		}
		parts = append(parts, part)
	}
	return parts
}

// URL returns an absolute https address that must be set, without user, query, fragment
// and the slash at its end. A local build takes http too, of this machine. what completes
// "should be", such as "the address of the Toss Payments API".
func (r *Reader) URL(name, what string) string {
	what += ", " + addressRule
	v, ok := r.line(name, what, true)
	if !ok {
		return ""
	}
	return r.address(name, what, v)
}

// OptionalURL is URL, and otherwise where the variable is not set.
func (r *Reader) OptionalURL(name, what, otherwise string) string {
	what += ", " + addressRule
	v, ok := r.line(name, what, false)
	if !ok {
		return otherwise
	}
	return r.address(name, what, v)
}

func (r *Reader) address(name, what, v string) string {
	u, err := url.Parse(v)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(v, "?#") || u.Scheme != "https" && !insecureAllowed(u) {
		r.Refuse(name, what)
		return ""
	}
	return strings.TrimRight(v, "/")
}

// QueueURL returns the URL of an SQS queue that must be set. It may be http in any build:
// it names a queue; where requests go is the SDK's to say.
func (r *Reader) QueueURL(name string) string {
	const what = "the URL of an SQS queue"
	v, ok := r.line(name, what, true)
	if !ok {
		return ""
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") == "" || strings.ContainsAny(v, "?#") {
		r.Refuse(name, what)
		return ""
	}
	return v
}

// Int returns a whole number from least to most, or otherwise where it is not set.
func (r *Reader) Int(name string, least, most, otherwise int) int {
	what := fmt.Sprintf("a whole number from %d to %d", least, most)
	if most == math.MaxInt {
		what = fmt.Sprintf("a whole number of at least %d", least)
	}
	v, ok := r.line(name, what, false)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		r.Refuse(name, what)
		return otherwise
	}
	return n
}

// Duration returns a duration as Go writes it, from least to most, or otherwise where it
// is not set.
func (r *Reader) Duration(name string, least, most, otherwise time.Duration) time.Duration {
	what := fmt.Sprintf("a duration from %s to %s, such as %s", least, most, otherwise)
	v, ok := r.line(name, what, false)
	if !ok {
		return otherwise
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > most {
		r.Refuse(name, what)
		return otherwise
	}
	return d
}

// Choice returns one of the choices, or otherwise where it is not set. If otherwise is ""
// it must be set.
func (r *Reader) Choice(name, otherwise string, choices ...string) string {
	what := "one of " + strings.Join(choices, ", ")
	v, ok := r.line(name, what, otherwise == "")
	if !ok {
		return otherwise
	}
	if !slices.Contains(choices, v) {
		r.Refuse(name, what)
		return otherwise
	}
	return v
}

// ARN returns the ARN of something of an AWS service (the name of the service in ARNs,
// "kms") that must be set. what completes "should be".
func (r *Reader) ARN(name, service, what string) string {
	v, ok := r.line(name, what, true)
	if !ok {
		return ""
	}
	if a, err := arn.Parse(v); err != nil || a.Service != service || a.Region == "" || a.Resource == "" {
		r.Refuse(name, what)
		return ""
	}
	return v
}

// Secret returns the reference to a secret that must be set. A release build refuses a
// value in its place.
func (r *Reader) Secret(name string) secret.Reference { return r.reference(name, secret.Parse, true) }

// OptionalSecret is Secret; where it is not set, the zero Reference, which is not Given.
func (r *Reader) OptionalSecret(name string) secret.Reference {
	return r.reference(name, secret.Parse, false)
}

// OptionalSecretFile is OptionalSecret for PEM, which a local build reads from a file
// whose path is given in place of the reference.
func (r *Reader) OptionalSecretFile(name string) secret.Reference {
	return r.reference(name, secret.ParseFile, false)
}

func (r *Reader) reference(name string, parse func(string) (secret.Reference, error), required bool) secret.Reference {
	what := strings.TrimPrefix(secret.ErrNotReference.Error(), "should be ")
	v, ok := r.value(name)
	if !ok {
		if required {
			r.Refuse(name, what+"; it is not set")
		}
		return secret.Reference{}
	}
	ref, err := parse(v)
	if err != nil {
		r.Refuse(name, what)
	}
	return ref
}
