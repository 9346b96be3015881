package apple_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/apple"
	"grantline/shared/clock"
)

// The one valid token that everything here starts from: signedAt lies well within the
// leaf's life, and the clock a minute later.
var (
	signedAt = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	now      = signedAt.Add(time.Minute)
)

const payload = `{"transactionId":"2000000912345678","originalTransactionId":"2000000812345678",` +
	`"webOrderLineItemId":"2000000099887766","appTransactionId":"704897469903783919","bundleId":"com.example.app",` +
	`"productId":"com.example.premium.monthly","subscriptionGroupIdentifier":"21500001","purchaseDate":1768478100000,` +
	`"originalPurchaseDate":1765799700000,"expiresDate":1771156500000,"quantity":1,"type":"Auto-Renewable Subscription",` +
	`"appAccountToken":"7E3FB204-2EC1-4C1C-8D6E-0E7B9A6F1C11","inAppOwnershipType":"PURCHASED","signedDate":1768478400000,` +
	`"environment":"Production","transactionReason":"RENEWAL","storefront":"KOR","storefrontId":"143466","price":4900000,"currency":"KRW"}`

var (
	oidLeaf         = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 1}
	oidIntermediate = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}
)

const (
	leaf = iota
	intermediate
	root
)

// authority is a chain in Apple's shape: P-384 above, P-256 below, Apple's extensions,
// and Apple's dates.
type authority struct {
	keys  [3]crypto.Signer
	certs [3]*x509.Certificate
}

// plan is an authority before it is made.
type plan struct {
	templates [3]*x509.Certificate
	keys      [3]crypto.Signer // made unless set
	parents   [3]int
	above     *authority // whose certificates and keys stand where certs are not made
	made      [3]bool
}

func newAuthority(t testing.TB, changes ...func(*plan)) *authority {
	t.Helper()
	name := func(common string) pkix.Name {
		return pkix.Name{CommonName: common, Organization: []string{"Example"}, Country: []string{"US"}}
	}
	p := &plan{
		templates: [3]*x509.Certificate{
			{
				Subject: name("Receipt Signing"), SerialNumber: big.NewInt(3),
				NotBefore: time.Date(2025, 9, 19, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 10, 13, 0, 0, 0, 0, time.UTC),
				BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
				ExtraExtensions: []pkix.Extension{{Id: oidLeaf, Value: []byte{5, 0}}},
			},
			{
				Subject: name("Developer Relations"), SerialNumber: big.NewInt(2),
				NotBefore: time.Date(2021, 3, 17, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2036, 3, 19, 0, 0, 0, 0, time.UTC),
				BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
				ExtraExtensions: []pkix.Extension{{Id: oidIntermediate, Value: []byte{5, 0}}},
			},
			{
				Subject: name("Root"), SerialNumber: big.NewInt(1),
				NotBefore: time.Date(2014, 4, 30, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2039, 4, 30, 0, 0, 0, 0, time.UTC),
				BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
			},
		},
		parents: [3]int{intermediate, root, root},
		made:    [3]bool{true, true, true},
	}
	for _, change := range changes {
		change(p)
	}
	a := &authority{}
	if p.above != nil {
		*a = *p.above
	}
	for level := root; level >= leaf; level-- {
		if !p.made[level] {
			continue
		}
		if p.keys[level] == nil {
			curve := elliptic.P384()
			if level == leaf {
				curve = elliptic.P256()
			}
			p.keys[level] = newKey(t, curve)
		}
		a.keys[level] = p.keys[level]
		parent := a.certs[p.parents[level]]
		if level == root {
			parent = p.templates[root]
		}
		der, err := x509.CreateCertificate(rand.Reader, p.templates[level], parent, a.keys[level].Public(), a.keys[p.parents[level]])
		if err != nil {
			t.Fatalf("certificate %d: %v", level, err)
		}
		if a.certs[level], err = x509.ParseCertificate(der); err != nil {
			t.Fatalf("certificate %d: %v", level, err)
		}
	}
	return a
}

// below keeps the certificates of another authority down to a level, and makes anew
// those under it.
func below(above *authority, level int) func(*plan) {
	return func(p *plan) {
		p.above = above
		for i := level; i <= root; i++ {
			p.made[i] = false
		}
	}
}

func template(level int, change func(*x509.Certificate)) func(*plan) {
	return func(p *plan) { change(p.templates[level]) }
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// genuine is the authority that the tests trust.
var genuine = func() func(testing.TB) *authority {
	var once sync.Once
	var a *authority
	return func(t testing.TB) *authority {
		once.Do(func() { a = newAuthority(t) })
		return a
	}
}()

func (a *authority) x5c() []string {
	out := make([]string, 3)
	for i, c := range a.certs {
		out[i] = base64.StdEncoding.EncodeToString(c.Raw)
	}
	return out
}

// header writes a JWS header as Apple does.
func header(x5c any) string {
	text, err := json.Marshal(map[string]any{"alg": "ES256", "x5c": x5c})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func segment(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// es256 signs as RFC 7518, 3.4 says: r and s, 32 bytes each.
func es256(key crypto.Signer, input string) []byte {
	digest := sha256.Sum256([]byte(input))
	out := make([]byte, 64)
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			panic(err)
		}
		r.Mod(r, new(big.Int).Lsh(big.NewInt(1), 256)).FillBytes(out[:32])
		s.Mod(s, new(big.Int).Lsh(big.NewInt(1), 256)).FillBytes(out[32:])
	default: // no ES256 exists for such a key
	}
	return out
}

func (a *authority) sign(payload string) string {
	return a.signWith(header(a.x5c()), payload)
}

func (a *authority) signWith(header, payload string) string {
	input := segment(header) + "." + segment(payload)
	return input + "." + base64.RawURLEncoding.EncodeToString(es256(a.keys[leaf], input))
}

func config(roots ...*x509.Certificate) apple.Config {
	return apple.Config{
		Roots:        roots,
		BundleIDs:    []string{"com.example.app"},
		AppID:        1234567890,
		Environments: []apple.Environment{apple.Production, apple.Sandbox},
		Clock:        clock.Fixed(now),
		Revocation:   apple.RevocationHard,
		Revocations:  good{},
	}
}

// good knows that no chain was ever revoked.
type good struct{}

func (good) Standing(context.Context, apple.Chain) (apple.Standing, error) {
	return apple.Standing{State: apple.StandingGood}, nil
}

func newVerifier(t testing.TB, roots ...*x509.Certificate) *apple.Verifier {
	t.Helper()
	v, err := apple.NewVerifier(config(roots...))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// swap replaces a part of a text that has to be there once.
func swap(t testing.TB, text, old, with string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q occurs %d times, want once", old, strings.Count(text, old))
	}
	return strings.Replace(text, old, with, 1)
}
