package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Role is what a caller proved to be.
type Role int

// The roles.
const (
	User   Role = iota + 1 // a signed-in customer
	App                    // an app that names a customer beside its public key
	Server                 // the company's server
)

// Caller is who is asking.
type Caller struct {
	Role     Role
	Scope    table.Scope
	Customer string // the company's id; of a User always, of the others what the header says
	Name     string // of a Server's key: "key_" and the first eight digits of its SHA-256
}

// Secret fetches a secret; fresh asks for a new copy after one did not fit.
type Secret func(ctx context.Context, fresh bool) (string, error)

// Callers finds out who is asking.
type Callers struct {
	PublicKeys Secret  // "project/environment=key", comma-separated
	SecretKeys Secret  // likewise
	Tokens     *Tokens // nil: nobody signs in
	// PublicKeyCustomers lets an app without sign-in name a customer.
	PublicKeyCustomers bool
}

func unauthenticated() error {
	return fault.New(fault.Unauthenticated, "unauthenticated", "A valid key or token is needed.")
}

// Identify reads the credentials of a request.
func (c *Callers) Identify(r *http.Request) (Caller, error) {
	if known, ok := r.Context().Value(askingKey{}).(asking); ok {
		return known.caller, nil
	}
	scheme, credential, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || credential == "" || len(credential) > 16<<10 {
		return Caller{}, unauthenticated()
	}
	caller, err := c.prove(r.Context(), credential)
	if err != nil {
		return Caller{}, err
	}
	named := r.Header.Get("X-Customer-Id")
	if named == "" {
		return caller, nil
	}
	// Only who has proved something hears what is wrong with an id.
	if err := validCustomerID(named); err != nil {
		return Caller{}, err
	}
	if caller.Role == User && named != caller.Customer {
		return Caller{}, anotherCustomer()
	}
	caller.Customer = named
	return caller, nil
}

// serverOnly lets only the company's server through.
func (c *Callers) serverOnly(r *http.Request) (Caller, error) {
	caller, err := c.Identify(r)
	if err != nil {
		return caller, err
	}
	if caller.Role != Server {
		return caller, fault.New(fault.Denied, "secret_key_required", "Only the company's server may do this, with its secret key.")
	}
	return caller, nil
}

// prove says what a credential alone proves.
func (c *Callers) prove(ctx context.Context, credential string) (Caller, error) {
	switch {
	case strings.HasPrefix(credential, "pk_"):
		scope, err := match(ctx, c.PublicKeys, credential)
		if err == nil && !c.PublicKeyCustomers {
			err = fault.New(fault.Denied, "sign_in_required", "This project's customers have to sign in.")
		}
		return Caller{Role: App, Scope: scope}, err
	case strings.HasPrefix(credential, "sk_"):
		scope, err := match(ctx, c.SecretKeys, credential)
		sum := sha256.Sum256([]byte(credential))
		return Caller{Role: Server, Scope: scope, Name: "key_" + hex.EncodeToString(sum[:4])}, err
	case c.Tokens == nil:
		return Caller{}, unauthenticated()
	}
	subject, err := c.Tokens.Subject(ctx, credential)
	return Caller{Role: User, Scope: table.Default, Customer: subject}, err
}

// tails are the ends of routes behind a customer's id. Routes match from the right, so an
// id that ended like one could never be asked for; and nobody should believe that DELETE of an
// alias took it off, where it forgot a customer of that name.
var tails = regexp.MustCompile(`(/events|/aliases(/[^/]*)?|/conduct(/override)?|/entitlements/[^/]*(/[^/]*)?|/wallet/[^/]*/(spend|refund|credit|ledger))$`)

// validCustomerID says whether id can be a customer's, and be part of a path.
func validCustomerID(id string) error {
	if tails.MatchString(id) {
		return fault.New(fault.Malformed, "invalid_customer_id", "A customer id should not end as a route does, as in /events or /wallet/…/spend.")
	}
	return customer.ValidID(id)
}

func anotherCustomer() error {
	return fault.New(fault.Denied, "another_customer", "These credentials are not for that customer.")
}

// Names settles which customer a request is about, from the caller and what the request
// itself says ("" where it says nothing).
func (c Caller) Names(inRequest string) (string, error) {
	if inRequest != "" {
		if err := validCustomerID(inRequest); err != nil {
			return "", err
		}
		if c.Customer != "" && c.Customer != inRequest {
			return "", anotherCustomer()
		}
		return inRequest, nil
	}
	if c.Customer == "" {
		return "", fault.New(fault.Malformed, "customer_required", "The request should name a customer: customerId, or the header X-Customer-Id.")
	}
	return c.Customer, nil
}

// match finds the scope of a key. Keys are compared by their hashes, each in constant
// time, and all of them whether or not one fits.
func match(ctx context.Context, keys Secret, credential string) (table.Scope, error) {
	sum := sha256.Sum256([]byte(credential))
	for _, fresh := range []bool{false, true} {
		text, err := keys(ctx, fresh)
		if err != nil {
			return table.Scope{}, fault.New(fault.Unavailable, "unavailable", "Keys cannot be checked at the moment.").Because(err)
		}
		entries, err := parseKeys(text)
		if err != nil {
			return table.Scope{}, fault.New(fault.Unavailable, "unavailable", "Keys cannot be checked at the moment.").Because(err)
		}
		found, scope := 0, table.Scope{}
		for _, e := range entries {
			if subtle.ConstantTimeCompare(sum[:], e.sum[:]) == 1 {
				found, scope = 1, e.scope
			}
		}
		if found == 1 {
			return scope, nil
		}
	}
	return table.Scope{}, unauthenticated()
}

type keyEntry struct {
	scope table.Scope
	sum   [sha256.Size]byte
}

var (
	project      = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	environments = map[string]bool{"production": true, "sandbox": true}
)

// ParseScope reads "project/environment".
func ParseScope(text string) (table.Scope, error) {
	name, environment, _ := strings.Cut(text, "/")
	if !project.MatchString(name) || !environments[environment] {
		return table.Scope{}, fmt.Errorf("web: %q should be project/environment, as default/production", text)
	}
	return table.Scope{Project: name, Environment: environment}, nil
}

// parseKeys reads "project/environment=sha256:<hex>, …". A key itself in place of its
// hash is accepted in a local build alone. No error shows a value.
func parseKeys(text string) ([]keyEntry, error) {
	var entries []keyEntry
	for i, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		scope, err := ParseScope(strings.TrimSpace(name))
		if !ok || err != nil {
			return nil, fmt.Errorf("web: key %d should be project/environment=sha256:<hex>", i+1)
		}
		e := keyEntry{scope: scope}
		digest, hashed := strings.CutPrefix(strings.TrimSpace(value), "sha256:")
		switch raw, err := hex.DecodeString(digest); {
		case hashed && err == nil && len(raw) == sha256.Size:
			copy(e.sum[:], raw)
		case !hashed && literalKeys && len(value) >= 8:
			e.sum = sha256.Sum256([]byte(strings.TrimSpace(value)))
		default:
			return nil, fmt.Errorf("web: key %d should be project/environment=sha256:<hex>", i+1)
		}
		entries = append(entries, e)
	}
	return entries, nil
}
