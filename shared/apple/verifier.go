package apple

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"

	"grantline/shared/clock"
)

// Environment is where a purchase was made, in Apple's words. Xcode and LocalTesting
// exist too; they are signed by nobody and accepted nowhere.
type Environment string

// The environments that Apple signs for.
const (
	Production Environment = "Production"
	// Sandbox is where testers, TestFlight and App Review buy without money.
	Sandbox Environment = "Sandbox"
)

// Config says whose word is believed about what.
type Config struct {
	// Roots are the only trust anchors; Roots() has them.
	Roots []*x509.Certificate
	// BundleIDs are the apps that may be spoken of, at least one.
	BundleIDs []string
	// AppID is the app's Apple id. Production needs it, because objects that name an app
	// by it must name this one; Apple leaves it out in the sandbox.
	AppID int64
	// Environments are those accepted, at least one. A project in production accepts
	// Sandbox as well by policy; such sales are marked as tests.
	Environments []Environment
	// Clock tells now, against which exp and nbf are held where a payload has them, and
	// by which it is known whether an answer about revocation still counts.
	Clock clock.Clock
	// Revocation says what a token is worth while its chain's revocation is not known.
	// There is no default.
	Revocation Mode
	// Revocations knows which chains Apple revoked.
	Revocations Revocations
}

// Verifier decides whether Apple signed something about our app. It may be used by
// several goroutines at once.
type Verifier struct {
	config  Config
	anchors []anchor
	good    chains
}

// NewVerifier returns an error that names what is missing or impossible in c.
func NewVerifier(c Config) (*Verifier, error) {
	if len(c.Roots) == 0 {
		return nil, errors.New("apple: no root certificate: nothing could be trusted")
	}
	if len(c.BundleIDs) == 0 || slices.Contains(c.BundleIDs, "") {
		return nil, errors.New("apple: the bundle ids must be one or more, none of them empty, such as com.example.app")
	}
	if len(c.Environments) == 0 {
		return nil, errors.New("apple: no environment is accepted: want Production, Sandbox or both")
	}
	for _, e := range c.Environments {
		if e != Production && e != Sandbox {
			return nil, fmt.Errorf("apple: environment %q cannot be accepted: want Production or Sandbox", e)
		}
	}
	if c.AppID < 0 || c.AppID == 0 && slices.Contains(c.Environments, Production) {
		return nil, errors.New("apple: Production needs the app's Apple id, a positive number")
	}
	if c.Clock == nil {
		return nil, errors.New("apple: no clock")
	}
	if !c.Revocation.known() {
		return nil, fmt.Errorf("apple: revocation mode %q: want %s", string(c.Revocation), modes)
	}
	if c.Revocations == nil && !c.Revocation.off() {
		return nil, errors.New("apple: nobody knows which chains are revoked")
	}
	v := &Verifier{config: c}
	v.config.BundleIDs = slices.Clone(c.BundleIDs)
	v.config.Environments = slices.Clone(c.Environments)
	for i, root := range c.Roots {
		if root == nil || !root.BasicConstraintsValid || !root.IsCA {
			return nil, fmt.Errorf("apple: root certificate %d is no certificate authority", i+1)
		}
		pool := x509.NewCertPool()
		pool.AddCert(root)
		v.anchors = append(v.anchors, anchor{root, pool})
	}
	return v, nil
}

// Transaction reads a signed transaction (JWSTransaction). The answer depends on the
// token, the configuration, what Config.Revocations knows of the chain, which is asked
// every 15 minutes at most while it is known, and, where the payload has exp or nbf, the
// clock. Errors are *fault.Error with a Reason inside: fault.Malformed for what cannot be
// read, fault.Invalid for what Apple did not sign for this app or signed with a key that
// it revoked, fault.Unavailable when ctx has ended or, in RevocationHard, when revocation
// is not known.
func (v *Verifier) Transaction(ctx context.Context, signed string) (Transaction, error) {
	claims, err := v.open(ctx, signed, "signedDate")
	if err != nil {
		return Transaction{}, err
	}
	t, err := readTransaction(claims)
	if err != nil {
		return Transaction{}, err
	}
	if err := v.ours(t.BundleID, t.AppID, t.Environment); err != nil {
		return Transaction{}, err
	}
	if t.TransactionID == "" || t.OriginalTransactionID == "" || t.ProductID == "" {
		// Another kind of signed object, or one that says nothing.
		return Transaction{}, unreadable(ErrClaims)
	}
	return t, nil
}

// ours says whether an object is about our app and an environment that we accept: the
// identifiers first, then the environment (App Store Server Library). An object that has
// no app id passes 0.
func (v *Verifier) ours(bundleID string, appID int64, environment Environment) error {
	if !slices.Contains(v.config.BundleIDs, bundleID) {
		return refused(ErrBundle)
	}
	if environment == Production && appID != 0 && appID != v.config.AppID {
		return refused(ErrApp)
	}
	if !slices.Contains(v.config.Environments, environment) {
		return refused(ErrEnvironment)
	}
	return nil
}

// maxSigned bounds a token, in bytes. Real ones have 3,500 to 5,000; a notification
// carries two within.
const maxSigned = 64 << 10

// encoding of the three segments (RFC 7515, 2): no padding, no spare bits.
var encoding = base64.RawURLEncoding.Strict()

// open returns the members of a payload that Apple signed. The chain must have been valid
// at the milliseconds in the member named dated, which has to be there.
func (v *Verifier) open(ctx context.Context, signed, dated string) ([]member, error) {
	if err := ctx.Err(); err != nil {
		return nil, unknown(err)
	}
	header, payload, signature, err := split(signed)
	if err != nil {
		return nil, err
	}
	text, err := encoding.AppendDecode(nil, payload)
	if err != nil {
		return nil, unreadable(ErrFormat)
	}
	claims, err := readObject(text)
	if err != nil {
		return nil, err
	}
	now := v.config.Clock.Now()
	at, err := when(claims, dated, now)
	if err != nil {
		return nil, err
	}

	// One pass over the token gives both hashes: the header's, which is the cache's key,
	// and that of header and payload, which was signed.
	hash := sha256.New()
	hash.Write(header)
	var key, digest [sha256.Size]byte
	hash.Sum(key[:0])
	hash.Write([]byte("."))
	hash.Write(payload)
	hash.Sum(digest[:0])

	chain, known := v.good.get(key)
	if !known {
		if chain, err = v.trust(header, at); err != nil {
			return nil, err
		}
	}
	if !chain.validAt(at) {
		return nil, refused(ErrWindow)
	}
	if err := verify(chain.key, digest[:], signature); err != nil {
		return nil, err
	}
	if !known {
		v.good.put(key, chain)
	}
	if err := v.standing(ctx, chain, now); err != nil {
		return nil, err
	}
	return claims, nil
}

// split takes a compact JWS apart (RFC 7515, 3.1), none of its parts empty.
func split(signed string) (header, payload, signature []byte, err error) {
	if len(signed) > maxSigned {
		return nil, nil, nil, unreadable(ErrFormat)
	}
	token := []byte(signed)
	// The decoder skips line breaks, which would give a token a second spelling.
	if bytes.ContainsAny(token, "\r\n") {
		return nil, nil, nil, unreadable(ErrFormat)
	}
	header, rest, _ := bytes.Cut(token, []byte("."))
	payload, signature, _ = bytes.Cut(rest, []byte("."))
	if len(header) == 0 || len(payload) == 0 || len(signature) == 0 {
		return nil, nil, nil, unreadable(ErrFormat)
	}
	// A further dot is no letter of base64, so a fourth segment ends here too.
	if signature, err = encoding.AppendDecode(nil, signature); err != nil {
		return nil, nil, nil, unreadable(ErrFormat)
	}
	return header, payload, signature, nil
}

// when reads the date of signing, and enforces exp and nbf (seconds since 1970, RFC
// 7519), which Apple does not use today, as Apple's own libraries would.
func when(claims []member, dated string, clock time.Time) (time.Time, error) {
	var at time.Time
	now := float64(clock.UnixMilli()) / 1000
	for _, c := range claims {
		switch c.name {
		case dated:
			var err error
			if at, err = date(c.value); err != nil {
				return time.Time{}, err
			}
		case "exp":
			n, err := number(c.value)
			if err != nil {
				return time.Time{}, err
			}
			if now >= n {
				return time.Time{}, refused(ErrExpired)
			}
		case "nbf":
			n, err := number(c.value)
			if err != nil {
				return time.Time{}, err
			}
			// A second that has begun is not enough: Apple's library knows whole ones only.
			if math.Floor(now) < n {
				return time.Time{}, refused(ErrNotYet)
			}
		}
	}
	if at.IsZero() {
		// Without a date the word could not be put in order with others.
		return time.Time{}, unreadable(ErrClaims)
	}
	return at, nil
}

// trust reads the header and checks the chain that it brings.
func (v *Verifier) trust(header []byte, at time.Time) (*chain, error) {
	text, err := encoding.AppendDecode(nil, header)
	if err != nil {
		return nil, unreadable(ErrFormat)
	}
	members, err := readObject(text)
	if err != nil {
		return nil, err
	}
	var algorithm string
	var x5c []string
	for _, m := range members {
		switch m.name {
		case "alg":
			if json.Unmarshal(m.value, &algorithm) != nil {
				return nil, refused(ErrAlgorithm)
			}
		case "crit":
			return nil, refused(ErrCritical)
		case "x5c":
			if json.Unmarshal(m.value, &x5c) != nil {
				return nil, unreadable(ErrCertificate)
			}
		}
	}
	if algorithm != "ES256" {
		return nil, refused(ErrAlgorithm)
	}
	return check(v.anchors, x5c, at)
}

// verify checks an ES256 signature: r and s, 32 bytes each (RFC 7518, 3.4).
func verify(key *ecdsa.PublicKey, digest, signature []byte) error {
	if len(signature) != 64 {
		return refused(ErrSignature)
	}
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(key, digest, r, s) {
		return refused(ErrSignature)
	}
	return nil
}
