package apple

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"
)

// The marker extensions of Apple's certificates. A verifier must insist on both, since
// other certificates below the same root end elsewhere.
var (
	// LeafOID marks a certificate that signs App Store receipts and transactions.
	LeafOID = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 1}
	// IntermediateOID marks a Worldwide Developer Relations intermediate.
	IntermediateOID = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}
)

// Level is a place in the chain.
type Level int

// The levels, in the order in which x5c lists them.
const (
	Leaf Level = iota
	Intermediate
	Root
)

// Authority is a certificate chain in the shape of Apple's own: root and intermediate on
// P-384, signing with SHA-384, leaf on P-256, the marker extensions on the lower two.
// It signs what the App Store would sign. Nobody else trusts its root. An Authority does
// not change once made and may be used by several goroutines.
type Authority struct {
	keys  [3]*ecdsa.PrivateKey
	certs [3]*x509.Certificate
}

// Alteration spoils a chain in one way while it is made, so that a verifier can be shown
// a forgery that differs from the genuine thing in that alone.
type Alteration func(*plan)

type plan struct {
	curves [3]elliptic.Curve
	alter  [3][]func(*x509.Certificate)
	issuer *Authority
}

// Altered changes the template of one level before it is signed.
func Altered(level Level, change func(template *x509.Certificate)) Alteration {
	return func(p *plan) { p.alter[level] = append(p.alter[level], change) }
}

// OnCurve puts the key of one level on another curve.
func OnCurve(level Level, curve elliptic.Curve) Alteration {
	return func(p *plan) { p.curves[level] = curve }
}

// Under makes only a new leaf, below the intermediate and root of other.
func Under(other *Authority) Alteration {
	return func(p *plan) { p.issuer = other }
}

// NewAuthority makes a chain whose three certificates are valid from notBefore to
// notAfter. Keys and serial numbers come from random: crypto/rand.Reader in a simulator,
// a seeded reader where a test wants the same chain again.
func NewAuthority(random io.Reader, notBefore, notAfter time.Time, alterations ...Alteration) (*Authority, error) {
	p := plan{curves: [3]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P384()}}
	for _, alteration := range alterations {
		alteration(&p)
	}
	a := &Authority{}
	top := Root
	if p.issuer != nil {
		a.keys, a.certs = p.issuer.keys, p.issuer.certs
		top = Leaf
	}
	for level := top; level >= Leaf; level-- {
		key, err := newKey(random, p.curves[level])
		if err != nil {
			return nil, fmt.Errorf("apple: key of the %s: %w", level, err)
		}
		serial := make([]byte, 8)
		if _, err := io.ReadFull(random, serial); err != nil {
			return nil, fmt.Errorf("apple: serial number of the %s: %w", level, err)
		}
		serial[0] &= 0x7f
		template := shape(level)
		template.SerialNumber = new(big.Int).SetBytes(serial)
		template.NotBefore, template.NotAfter = notBefore.UTC(), notAfter.UTC()
		for _, change := range p.alter[level] {
			change(template)
		}
		parent, signer := template, key
		if level != Root {
			parent, signer = a.certs[level+1], a.keys[level+1]
		}
		der, err := x509.CreateCertificate(nil, template, parent, &key.PublicKey, signer)
		if err != nil {
			return nil, fmt.Errorf("apple: certificate of the %s: %w", level, err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("apple: certificate of the %s: %w", level, err)
		}
		a.keys[level], a.certs[level] = key, cert
	}
	return a, nil
}

// String names the level.
func (l Level) String() string {
	switch l {
	case Leaf:
		return "leaf"
	case Intermediate:
		return "intermediate"
	case Root:
		return "root"
	}
	return fmt.Sprintf("level %d", int(l))
}

// shape is the genuine certificate of a level but for its serial number and dates.
func shape(level Level) *x509.Certificate {
	null := []byte{0x05, 0x00}
	name := pkix.Name{Organization: []string{"Grantline simulator"}, Country: []string{"US"}}
	template := &x509.Certificate{BasicConstraintsValid: true}
	switch level {
	case Root:
		name.CommonName = "Simulated Apple Root CA - G3"
		template.IsCA = true
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		template.SignatureAlgorithm = x509.ECDSAWithSHA384
	case Intermediate:
		name.CommonName = "Simulated Apple Worldwide Developer Relations Certification Authority"
		name.OrganizationalUnit = []string{"G6"}
		template.IsCA, template.MaxPathLen, template.MaxPathLenZero = true, 0, true
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		template.SignatureAlgorithm = x509.ECDSAWithSHA384
		template.ExtraExtensions = []pkix.Extension{{Id: IntermediateOID, Value: null}}
	case Leaf:
		name.CommonName = "Simulated Mac App Store and iTunes Store Receipt Signing"
		template.KeyUsage = x509.KeyUsageDigitalSignature
		template.ExtraExtensions = []pkix.Extension{{Id: LeafOID, Value: null}}
	}
	template.Subject = name
	return template
}

// newKey reads a private key from random. crypto/ecdsa's own generator no longer looks at
// the reader it is given, which would make a seeded chain impossible.
func newKey(random io.Reader, curve elliptic.Curve) (*ecdsa.PrivateKey, error) {
	scalar := make([]byte, (curve.Params().BitSize+7)/8)
	for range 64 {
		if _, err := io.ReadFull(random, scalar); err != nil {
			return nil, err
		}
		scalar[0] &= 0xff >> (len(scalar)*8 - curve.Params().BitSize)
		// Fails for zero and for what is not below the curve's order: draw again.
		if key, err := ecdsa.ParseRawPrivateKey(curve, scalar); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("the source of randomness gave 64 unusable keys in a row")
}

// Certificate is the certificate of one level.
func (a *Authority) Certificate(level Level) *x509.Certificate { return a.certs[level] }

// Key is the private key of one level, for whoever plays the OCSP responder or forges a
// chain by hand.
func (a *Authority) Key(level Level) *ecdsa.PrivateKey { return a.keys[level] }

// RootPEM is the root certificate as a PEM block: the trust anchor to configure.
func (a *Authority) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certs[Root].Raw})
}

// X5C is the chain as a JWS header carries it: leaf, intermediate, root, each DER in
// standard base64.
func (a *Authority) X5C() []string {
	x5c := make([]string, 0, len(a.certs))
	for _, cert := range a.certs {
		x5c = append(x5c, base64.StdEncoding.EncodeToString(cert.Raw))
	}
	return x5c
}

// Sign gives the compact JWS of claims as the App Store signs it: ES256 under the leaf,
// with the header {"alg":"ES256","x5c":[…]}. It panics for claims that are no JSON, a bug
// of the caller.
func (a *Authority) Sign(claims any) string {
	header, err := json.Marshal(struct {
		Algorithm string   `json:"alg"`
		X5C       []string `json:"x5c"`
	}{"ES256", a.X5C()})
	if err != nil {
		panic(fmt.Sprintf("apple: strings do not marshal: %v", err))
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(fmt.Sprintf("apple: the caller's claims are no JSON: %v", err))
	}
	return a.SignRaw(header, payload)
}

// SignRaw signs header and payload as they are, valid or not, with the leaf's key: the
// signature is right even where what it signs is nonsense. Under a leaf that is not on
// P-256 the hash is still SHA-256 and the signature is as long as that curve makes it.
func (a *Authority) SignRaw(header, payload []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(header) + "." + encode(payload)
	digest := sha256.Sum256([]byte(signed))
	return signed + "." + encode(rawSignature(a.keys[Leaf], digest[:]))
}

// rawSignature is r and s side by side, each as long as the curve's order, as JWS has it.
func rawSignature(key *ecdsa.PrivateKey, digest []byte) []byte {
	// Without a source of randomness the signature is the deterministic one of RFC 6979.
	der, err := key.Sign(nil, digest, crypto.SHA256)
	if err != nil {
		panic(fmt.Sprintf("apple: signing with a key of our own making: %v", err))
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		panic(fmt.Sprintf("apple: crypto/ecdsa made a signature that is no ASN.1: %v", err))
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	raw := make([]byte, 2*size)
	pair.R.FillBytes(raw[:size])
	pair.S.FillBytes(raw[size:])
	return raw
}
