package delivery

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
	"grantline/shared/transport"
)

// State says whether an endpoint is told anything.
type State string

// The states.
const (
	Active   State = "active"
	Disabled State = "disabled" // what comes meanwhile waits until it is active again
)

// ByGone is why an endpoint is disabled that answered 410 Gone (Standard Webhooks, "Operational
// considerations").
const ByGone = "gone"

// Endpoint is a server of the company's that is told of events.
type Endpoint struct {
	ID     string `json:"id"`
	URL    string `json:"url"` // whose query may hold a secret of the receiver's
	Format string `json:"format"`
	// Types are the events that it is told of: whole types, or "purchase.*". None: all.
	Types       []string  `json:"types,omitempty"`
	Description string    `json:"description,omitempty"`
	State       State     `json:"state"`
	Because     string    `json:"because,omitempty"` // why it is disabled, if it was not asked for
	CreatedAt   time.Time `json:"createdAt"`
	RotatedAt   time.Time `json:"rotatedAt,omitzero"`
	// FromBeginning says that a customer's events from before there was the endpoint are told
	// as well, once there is anything to tell of that customer.
	FromBeginning bool `json:"fromBeginning,omitempty"`
}

// Wants says whether the endpoint asked for that type.
func (e Endpoint) Wants(t event.Type) bool {
	return len(e.Types) == 0 || slices.ContainsFunc(e.Types, func(asked string) bool {
		family, whole := strings.CutSuffix(asked, "*")
		return asked == string(t) || whole && strings.HasPrefix(string(t), family)
	})
}

// Bounds of what an endpoint may be.
const (
	MostEndpoints   = 10 // of a scope
	mostTypes       = 64
	mostURL         = 1000 // bytes
	mostDescription = 200  // characters
)

var (
	endpointIDs = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)
	eventTypes  = regexp.MustCompile(`^[a-z_]{1,40}\.([a-z_]{1,40}|\*)$`)
)

// ValidID says whether id can be an endpoint's.
func ValidID(id string) bool { return endpointIDs.MatchString(id) }

// derivedID is the id of an endpoint for which nobody chose one: the same for the same address
// and format, so that a request that is repeated makes no second one.
func derivedID(scope table.Scope, address, format string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "endpoint|%s|%s|%s|%s", scope.Project, scope.Environment, format, address))
	return "ep_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])[:20])
}

func (e Endpoint) valid() error {
	printable := func(r rune) bool { return unicode.IsPrint(r) }
	switch {
	case !ValidID(e.ID):
		return fault.New(fault.Malformed, "invalid_request", "id should be 1 to 40 of a-z, 0-9, _ and -.")
	case formats[e.Format] == nil:
		return fault.New(fault.Malformed, "invalid_request", "format should be standard or revenuecat.")
	case e.State != Active && e.State != Disabled:
		return fault.New(fault.Malformed, "invalid_request", "state should be active or disabled.")
	case len(e.Types) > mostTypes, slices.ContainsFunc(e.Types, func(t string) bool { return !eventTypes.MatchString(t) }):
		return fault.New(fault.Malformed, "invalid_request", "types should be up to %d types of events, such as wallet.spent or purchase.*.", mostTypes)
	case utf8.RuneCountInString(e.Description) > mostDescription, strings.ContainsFunc(e.Description, func(r rune) bool { return !printable(r) }):
		return fault.New(fault.Malformed, "invalid_request", "description should be at most %d printable characters.", mostDescription)
	}
	return validURL(e.URL)
}

// validURL says whether events may be sent to an address: https to a host, and http to this
// machine from a local build alone. Where a name leads to is checked at each connection.
func validURL(address string) error {
	u, err := url.Parse(address)
	bad := func(r rune) bool { return r <= ' ' || r > '~' }
	switch {
	case err != nil, len(address) > mostURL, strings.ContainsFunc(address, bad), u.Opaque != "", u.Hostname() == "", u.User != nil,
		u.Fragment != "", strings.Contains(address, "#"), u.Scheme != "https" && (u.Scheme != "http" || !transport.Plain(u.Hostname())):
		return fault.New(fault.Malformed, "invalid_request", "url should be an https address of at most %d characters, without user and fragment.", mostURL)
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fault.New(fault.Malformed, "invalid_request", "url should have a port from 1 to 65535, or none.")
		}
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !reachable(ip) {
		return errInside
	}
	return nil
}

var errInside = fault.New(fault.Invalid, "address_not_public", "url should be an address on the Internet; events are not sent to private addresses.")
