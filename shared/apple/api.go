package apple

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"grantline/shared/clock"
	"grantline/shared/transport"
)

// Where the App Store Server API answers (App Store Server API changelog, 2026-05-05).
const (
	APIURL        = "https://api.storekit.apple.com"
	APISandboxURL = "https://api.storekit-sandbox.apple.com"
)

// defaultAttempt is the time of one request where nothing else is set.
const defaultAttempt = 8 * time.Second

// APIConfig is what an API needs. All but Attempt and Transport is required.
type APIConfig struct {
	// URL and SandboxURL are where the API answers about the two environments: https, and
	// a host alone. Plain http is for this machine only, and only in a local build; it may
	// have a path, which is kept in front of Apple's own.
	URL, SandboxURL string
	// IssuerID and KeyID are those of the In-App Purchase key in App Store Connect.
	IssuerID, KeyID string
	// PrivateKey gives that key, PEM of PKCS #8. Fresh asks it to look past what it has
	// cached, after Apple refused the key.
	PrivateKey func(ctx context.Context, fresh bool) (string, error)
	// Attempt bounds one request with its answer, 8 s if it is zero. A call, which may be
	// several requests with pauses between, is bounded by its context alone.
	Attempt time.Duration
	Clock   clock.Clock
	Log     *slog.Logger
	// Transport replaces the own one, in tests.
	Transport http.RoundTripper
}

// API is the App Store Server API, version 1.21. Each method is one endpoint of it. It is
// safe for concurrent use.
//
// What comes back signed is not believed here: it is for a Verifier. What comes back
// unsigned is checked to be about the app and the environment that were asked.
//
// Each endpoint may be asked twice with the effect of once, which the methods give the
// reason for, so a call is repeated where Apple or the network says that a moment later it
// may succeed: three requests at most, and at most one more where a purchase just made may
// not be known yet, and one more with a fresh key after a 401.
//
// Errors are *fault.Error with an *APIError inside: fault.NotFound where Apple surely has
// no such thing, fault.Invalid where Apple refuses what was asked, fault.Unavailable where
// nothing was learned, our key being refused among it; and without one fault.Malformed for
// what cannot be asked at all.
type API struct {
	bases  map[Environment]string
	config APIConfig
	bearer bearer
	client *http.Client
}

// Place says whose host is asked and about which app.
type Place struct {
	Environment Environment // Production or Sandbox
	BundleID    string
}

// NewAPI makes an API. It asks nobody anything; an error names the field at fault.
func NewAPI(c APIConfig) (*API, error) {
	production, err := apiBase("URL", c.URL)
	if err != nil {
		return nil, err
	}
	sandbox, err := apiBase("SandboxURL", c.SandboxURL)
	if err != nil {
		return nil, err
	}
	switch {
	case !credentialShape.MatchString(c.IssuerID):
		return nil, errors.New("apple: IssuerID should be the issuer id of App Store Connect, a UUID")
	case !credentialShape.MatchString(c.KeyID):
		return nil, errors.New("apple: KeyID should be the id of the In-App Purchase key, ten letters and digits")
	case c.PrivateKey == nil:
		return nil, errors.New("apple: PrivateKey should be set")
	case c.Attempt < 0:
		return nil, fmt.Errorf("apple: Attempt should be positive, or zero for %v, not %v", defaultAttempt, c.Attempt)
	case c.Clock == nil:
		return nil, errors.New("apple: Clock should be set")
	case c.Log == nil:
		return nil, errors.New("apple: Log should be set")
	}
	if c.Attempt == 0 {
		c.Attempt = defaultAttempt
	}
	if c.Transport == nil {
		c.Transport = apiTransport()
	}
	return &API{
		bases:  map[Environment]string{Production: production, Sandbox: sandbox},
		config: c,
		bearer: bearer{issuerID: c.IssuerID, keyID: c.KeyID, source: c.PrivateKey, clock: c.Clock},
		client: transport.Client(c.Transport),
	}, nil
}

// credentialShape is how ids of App Store Connect look.
var credentialShape = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

func apiBase(field, text string) (string, error) {
	base, err := url.Parse(text)
	if err != nil || base.Hostname() == "" || base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" {
		return "", fmt.Errorf("apple: %s should be an https URL of a host alone", field)
	}
	alone := strings.Trim(base.Path, "/") == ""
	if base.Scheme == "https" && alone || base.Scheme == "http" && transport.Plain(base.Hostname()) {
		return strings.TrimRight(base.String(), "/"), nil
	}
	return "", fmt.Errorf("apple: %s should be an https URL of a host alone", field)
}

// apiConnectWait bounds a connect and a handshake each.
const apiConnectWait = 5 * time.Second

// apiTransport keeps few connections and not for long: a sweep asks hundreds of questions
// in a row, while a function that was frozen finds its connections broken. What net/http
// repeats of itself on one of those may be repeated, as everything here.
func apiTransport() *http.Transport { return transport.Kept(apiConnectWait) }

// bundleShape is how a bundle id looks (Information Property List, CFBundleIdentifier).
var bundleShape = regexp.MustCompile(`^[A-Za-z0-9.-]{1,155}$`)

// base is the address of a place's host.
func (a *API) base(p Place) (string, error) {
	base, ok := a.bases[p.Environment]
	switch {
	case !ok:
		return "", impossible("The environment", "Production or Sandbox")
	case !bundleShape.MatchString(p.BundleID):
		return "", impossible("The bundle id", "letters, digits, dots and hyphens")
	}
	return base, nil
}

// apiID refuses an id that cannot be one of Apple's, before it becomes part of an address.
func apiID(argument, id string) error {
	odd := func(r rune) bool { return !strings.ContainsRune(idLetters, r) }
	if id == "" || len(id) > maxIdentifier || strings.ContainsFunc(id, odd) {
		return impossible(argument, "1 to 64 letters, digits, hyphens and underscores")
	}
	return nil
}
