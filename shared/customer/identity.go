package customer

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// Identity derives our own names of a customer from the company's id, by HMAC, so that
// no look-up comes before a read and no store ever sees a person.
type Identity struct {
	// Key fetches the deployment's identity key, at least 32 bytes. It is made once and
	// never changed: every record hangs on it.
	Key func(ctx context.Context, fresh bool) (string, error)
}

// StoreIDs are what an app should give to a store at a purchase, so that the store's
// word names the customer.
type StoreIDs struct {
	AppAccountToken     string // a UUID, for Apple
	ObfuscatedAccountID string // 64 characters at most, for Play
}

// At is the one that the app gives to a store, "" to a store that takes none.
func (s StoreIDs) At(store string) string {
	switch store {
	case "apple":
		return s.AppAccountToken
	case "play":
		return s.ObfuscatedAccountID
	}
	return ""
}

// derived are UUIDs of version 8, as the ones that StoreIDs makes.
var derived = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// Derived says whether a store's name for a customer looks like one that StoreIDs made, for
// who has no key to tell: such a name is bound to nobody else. What Play is given looks
// like any other hash.
func Derived(store, value string) bool { return store == "apple" && derived.MatchString(value) }

// MostIDBytes is how long a customer id may be.
const MostIDBytes = 512

// ValidID says whether id can be a company's id of a customer: printable, not empty, not
// beginning or ending with a space. U+FFFD, though printable, is what gateways and
// decoders put for bytes that were no UTF-8, and would make one customer of many.
func ValidID(id string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }
	if id == "" || len(id) > MostIDBytes || !utf8.ValidString(id) || strings.ContainsFunc(id, bad) || strings.TrimSpace(id) != id {
		return fault.New(fault.Malformed, "invalid_customer_id", "A customer id should be 1 to %d bytes of printable characters.", MostIDBytes)
	}
	return nil
}

// Ref derives our own id, "cus_…".
func (i Identity) Ref(ctx context.Context, scope table.Scope, id string) (string, error) {
	sum, err := i.sum(ctx, "customer", scope, id)
	if err != nil {
		return "", err
	}
	return "cus_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20])), nil
}

// StoreIDs derives what the app gives to stores.
func (i Identity) StoreIDs(ctx context.Context, scope table.Scope, id string) (StoreIDs, error) {
	apple, err := i.sum(ctx, "apple", scope, id)
	if err != nil {
		return StoreIDs{}, err
	}
	play, err := i.sum(ctx, "play", scope, id)
	if err != nil {
		return StoreIDs{}, err
	}
	// A UUID of version 8, which RFC 9562 leaves to its maker.
	apple[6], apple[8] = apple[6]&0x0f|0x80, apple[8]&0x3f|0x80
	if err := i.mark(ctx, "apple", scope, apple[:appleBytes], appleMark); err != nil {
		return StoreIDs{}, err
	}
	if err := i.mark(ctx, "play", scope, play[:playBytes], playMark); err != nil {
		return StoreIDs{}, err
	}
	u := hex.EncodeToString(apple[:appleBytes])
	return StoreIDs{
		AppAccountToken:     fmt.Sprintf("%s-%s-%s-%s-%s", u[:8], u[8:12], u[12:16], u[16:20], u[20:]),
		ObfuscatedAccountID: hex.EncodeToString(play[:playBytes]),
	}, nil
}

// How long store ids are, and how much of their end is a mark by which we know our own.
const (
	appleBytes, appleMark = 16, 4
	playBytes, playMark   = 32, 8
)

// mark writes over the end of a store id the HMAC of what is before it.
func (i Identity) mark(ctx context.Context, store string, scope table.Scope, id []byte, length int) error {
	body := id[:len(id)-length]
	sum, err := i.sum(ctx, store+" mark", scope, hex.EncodeToString(body))
	copy(id[len(body):], sum[:min(length, len(sum))])
	return err
}

// Made says whether a store's name for a customer is one that StoreIDs made, of whomever:
// it names that customer and nobody else, even one who was never here.
func (i Identity) Made(ctx context.Context, scope table.Scope, store, value string) (bool, error) {
	var id []byte
	length := appleMark
	switch store {
	case "apple":
		if !derived.MatchString(value) {
			return false, nil
		}
		id, _ = hex.DecodeString(strings.ReplaceAll(value, "-", "")) // the shape is right
	case "play":
		var err error
		if id, err = hex.DecodeString(value); err != nil || len(id) != playBytes {
			return false, nil //nolint:nilerr // it is something else
		}
		length = playMark
	default:
		return false, nil
	}
	marked := append([]byte(nil), id...)
	if err := i.mark(ctx, store, scope, marked, length); err != nil {
		return false, err
	}
	return hmac.Equal(marked, id), nil
}

// sum is the HMAC over the purpose, the scope and the id, each with its length, so that
// no two different triples have the same bytes.
func (i Identity) sum(ctx context.Context, purpose string, scope table.Scope, id string) ([]byte, error) {
	key, err := i.Key(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("customer: identity key: %w", err)
	}
	if len(key) < 32 {
		return nil, errors.New("customer: the identity key should have 32 bytes or more")
	}
	mac := hmac.New(sha256.New, []byte(key))
	for _, part := range []string{purpose, scope.Project, scope.Environment, id} {
		fmt.Fprintf(mac, "%d:%s", len(part), part)
	}
	return mac.Sum(nil), nil
}
