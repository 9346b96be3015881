//go:build differential && local

package differential_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
	"time"
)

// signedAt lies well within the leaf's life. now is no whole second, so that rules about
// seconds show.
var (
	signedAt = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	now      = signedAt.Add(time.Minute + 750*time.Millisecond)
)

// The extensions by which Apple marks the lower two certificates.
var (
	oidLeaf         = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 1}
	oidIntermediate = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}
)

const (
	leaf = iota
	intermediate
	root
)

// The life of the leaf, which is the shortest of the three (Apple's own dates).
var (
	leafBegins = time.Date(2025, 9, 19, 0, 0, 0, 0, time.UTC)
	leafEnds   = time.Date(2027, 10, 13, 0, 0, 0, 0, time.UTC)
)

// authority is a chain in Apple's shape. It does not share code with the simulator's, nor
// with the verifier's own tests, so that a mistake is not made twice.
type authority struct {
	keys  [3]crypto.Signer
	certs [3][]byte // DER
}

// plan is an authority before it is made.
type plan struct {
	templates [3]*x509.Certificate
	keys      [3]crypto.Signer // made unless set
	keep      int              // levels from here on are those of above
	above     *authority
	issuers   [2]int // who signs leaf and intermediate
}

func newAuthority(t *testing.T, changes ...func(*plan)) *authority {
	t.Helper()
	name := func(common string) pkix.Name {
		return pkix.Name{CommonName: common, Organization: []string{"Example"}, Country: []string{"US"}}
	}
	p := &plan{keep: root + 1, issuers: [2]int{intermediate, root}, templates: [3]*x509.Certificate{
		{
			Subject: name("Receipt Signing"), SerialNumber: big.NewInt(3), NotBefore: leafBegins, NotAfter: leafEnds,
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
	}}
	for _, change := range changes {
		change(p)
	}
	a := &authority{}
	if p.above != nil {
		*a = *p.above
	}
	for level := min(p.keep-1, root); level >= leaf; level-- {
		if p.keys[level] == nil {
			curve := elliptic.P384()
			if level == leaf {
				curve = elliptic.P256()
			}
			p.keys[level] = newKey(t, curve)
		}
		a.keys[level] = p.keys[level]
		parent, signer := p.templates[root], a.keys[root]
		if level != root {
			issuer := p.issuers[level]
			var err error
			if parent, err = x509.ParseCertificate(a.certs[issuer]); err != nil {
				t.Fatalf("certificate %d: %v", issuer, err)
			}
			signer = a.keys[issuer]
		}
		var err error
		if a.certs[level], err = x509.CreateCertificate(rand.Reader, p.templates[level], parent, a.keys[level].Public(), signer); err != nil {
			t.Fatalf("certificate %d: %v", level, err)
		}
	}
	return a
}

// below keeps the certificates of another authority down to a level, and makes anew
// those under it.
func below(above *authority, level int) func(*plan) {
	return func(p *plan) { p.above, p.keep = above, level }
}

func template(level int, change func(*x509.Certificate)) func(*plan) {
	return func(p *plan) { change(p.templates[level]) }
}

func newKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certificate is X.509's outer sequence (RFC 5280, 4.1).
type certificate struct {
	TBS       asn1.RawValue
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

// resigned is a copy in which the signed part of one certificate is changed and signed
// again by its genuine issuer: what only Apple could make, and so what no reader has ever
// seen.
func (a *authority) resigned(t *testing.T, level int, change func(tbs []byte) []byte) *authority {
	t.Helper()
	var c certificate
	if _, err := asn1.Unmarshal(a.certs[level], &c); err != nil {
		t.Fatal(err)
	}
	tbs := change(append([]byte{}, c.TBS.FullBytes...))
	digest := sha512.Sum384(tbs)
	signature, err := a.keys[level+1].Sign(rand.Reader, digest[:], crypto.SHA384)
	if err != nil {
		t.Fatal(err)
	}
	copied := *a
	copied.certs[level] = sequence(tbs, c.Algorithm.FullBytes, must(asn1.Marshal(asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)})))
	return &copied
}

// sequence puts DER elements, well-formed or not, into a SEQUENCE.
func sequence(elements ...[]byte) []byte {
	var content []byte
	for _, e := range elements {
		content = append(content, e...)
	}
	return must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: content}))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func (a *authority) x5c() []string {
	out := make([]string, 3)
	for i, der := range a.certs {
		out[i] = base64.StdEncoding.EncodeToString(der)
	}
	return out
}

// header writes a JWS header as Apple does.
func header(x5c any) string {
	return string(must(json.Marshal(map[string]any{"alg": "ES256", "x5c": x5c})))
}

func segment(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func (a *authority) sign(payload string) string { return a.signWith(header(a.x5c()), payload) }

func (a *authority) signWith(header, payload string) string {
	return a.signed(segment(header) + "." + segment(payload))
}

// signed appends the signature to two segments that may be anything.
func (a *authority) signed(input string) string {
	return input + "." + base64.RawURLEncoding.EncodeToString(es256(a.keys[leaf], input))
}

// es256 signs as RFC 7518, 3.4 says: r and s, 32 bytes each; a key that is not on P-256
// gives what is left of its own.
func es256(key crypto.Signer, input string) []byte {
	digest := sha256.Sum256([]byte(input))
	out := make([]byte, 64)
	if key, ok := key.(*ecdsa.PrivateKey); ok {
		r, s := must2(ecdsa.Sign(rand.Reader, key, digest[:]))
		word := new(big.Int).Lsh(big.NewInt(1), 256)
		r.Mod(r, word).FillBytes(out[:32])
		s.Mod(s, word).FillBytes(out[32:])
	}
	return out
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}
