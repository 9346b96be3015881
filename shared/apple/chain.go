package apple

import (
	"bytes"
	"container/list"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// The extensions by which Apple marks a certificate that signs App Store data and the
// authority above it (Apple, "JWS verification"; App Store Server Library).
var (
	oidLeaf         = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 1}
	oidIntermediate = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}
)

// anchor is one configured root, alone in its pool.
type anchor struct {
	root *x509.Certificate
	pool *x509.CertPool
}

// chain is a leaf's key, when leaf, intermediate and root are all valid, and what was last
// seen of their revocation.
type chain struct {
	Chain
	key       *ecdsa.PublicKey
	notBefore time.Time // the latest of the three
	notAfter  time.Time // the earliest of the three
	seen      atomic.Pointer[lookback]
}

func (c *chain) validAt(at time.Time) bool {
	return !at.Before(c.notBefore) && !at.After(c.notAfter)
}

// check builds the chain of x5c as it stood at an instant. The checks that cost nothing
// come first, because anybody may send us certificates.
func check(anchors []anchor, x5c []string, at time.Time) (*chain, error) {
	if len(x5c) != 3 {
		return nil, refused(ErrChainLength)
	}
	var der [3][]byte
	for i, text := range x5c {
		// The decoder skips line breaks; a certificate has one spelling only.
		if strings.ContainsAny(text, "\r\n") {
			return nil, unreadable(ErrCertificate)
		}
		var err error
		if der[i], err = base64.StdEncoding.Strict().DecodeString(text); err != nil {
			return nil, unreadable(ErrCertificate)
		}
	}
	leaf, err := x509.ParseCertificate(der[0])
	if err != nil {
		return nil, unreadable(ErrCertificate)
	}
	intermediate, err := x509.ParseCertificate(der[1])
	if err != nil {
		return nil, unreadable(ErrCertificate)
	}
	var above *anchor
	for i := range anchors {
		if bytes.Equal(anchors[i].root.Raw, der[2]) {
			above = &anchors[i]
		}
	}
	if above == nil {
		return nil, refused(ErrRoot)
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() || leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, refused(ErrLeaf)
	}
	// Key usage without bits reads as none, which x509 takes for leave to do anything.
	if !intermediate.BasicConstraintsValid || !intermediate.IsCA || intermediate.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, refused(ErrChain)
	}
	if !readsOneWay(intermediate) {
		return nil, refused(ErrChain)
	}
	// An issuer has to be the bytes of the subject above, so subjects are enough.
	if !wholeName(leaf.RawSubject) || !wholeName(intermediate.RawSubject) || !wholeExtensions(leaf) || !wholeExtensions(intermediate) {
		return nil, unreadable(ErrCertificate)
	}
	if !marked(leaf, oidLeaf) || !marked(intermediate, oidIntermediate) {
		return nil, refused(ErrOID)
	}
	c := &chain{Chain: Chain{leaf, intermediate}, key: key, notBefore: leaf.NotBefore, notAfter: leaf.NotAfter}
	for _, over := range []*x509.Certificate{intermediate, above.root} {
		if over.NotBefore.After(c.notBefore) {
			c.notBefore = over.NotBefore
		}
		if over.NotAfter.Before(c.notAfter) {
			c.notAfter = over.NotAfter
		}
	}
	if !c.validAt(at) {
		return nil, refused(ErrWindow)
	}
	between := x509.NewCertPool()
	between.AddCert(intermediate)
	paths, err := leaf.Verify(x509.VerifyOptions{
		Roots:         above.pool,
		Intermediates: between,
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // Apple's leaf has none
	})
	if err != nil {
		return nil, refused(ErrChain)
	}
	for _, path := range paths {
		if len(path) == 3 && path[1].Equal(intermediate) {
			return c, nil
		}
	}
	return nil, refused(ErrChain)
}

// readTwoWays are extensions that OpenSSL, and so Apple's library, reads in an authority's
// certificate, while crypto/x509 does not or reads less of them. What one refuses, the
// other would accept. Apple's authorities have none of them.
var readTwoWays = []asn1.ObjectIdentifier{
	{2, 5, 29, 17},                // subjectAltName (RFC 5280, 4.2.1.6)
	{1, 3, 6, 1, 5, 5, 7, 1, 7},   // ipAddrBlocks (RFC 3779, 2)
	{1, 3, 6, 1, 5, 5, 7, 1, 8},   // autonomousSysIds (RFC 3779, 3)
	{1, 3, 6, 1, 5, 5, 7, 1, 14},  // proxyCertInfo (RFC 3820, 3.8)
	{2, 16, 840, 1, 113730, 1, 1}, // netscape-cert-type
}

var (
	oidAuthorityKey = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidConstraints  = asn1.ObjectIdentifier{2, 5, 29, 19}
)

// readsOneWay says that an authority's certificate means the same to OpenSSL and to
// crypto/x509.
func readsOneWay(c *x509.Certificate) bool {
	for _, oid := range readTwoWays {
		if marked(c, oid) {
			return false
		}
	}
	for _, e := range c.Extensions {
		if e.Id.Equal(oidAuthorityKey) && !keyAlone(e.Value) || e.Id.Equal(oidConstraints) && !constraintsAlone(e.Value) {
			return false
		}
	}
	return true
}

// wholeExtensions says that each extension of a certificate (RFC 5280, 4.1) is its name,
// whether it is critical and its value, and nothing more, which crypto/x509 steps over.
func wholeExtensions(c *x509.Certificate) bool {
	var tbs, list, extensions, extension cryptobyte.String
	certificate := cryptobyte.String(c.RawTBSCertificate)
	if !certificate.ReadASN1(&tbs, tags.SEQUENCE) {
		return false
	}
	explicit := tags.Tag(3).ContextSpecific().Constructed()
	for !tbs.PeekASN1Tag(explicit) {
		var tag tags.Tag
		if !tbs.ReadAnyASN1Element(&list, &tag) {
			return false // there are none
		}
	}
	if !tbs.ReadASN1(&list, explicit) || !tbs.Empty() || !list.ReadASN1(&extensions, tags.SEQUENCE) || !list.Empty() {
		return false
	}
	for !extensions.Empty() {
		if !extensions.ReadASN1(&extension, tags.SEQUENCE) || !extension.SkipASN1(tags.OBJECT_IDENTIFIER) ||
			!extension.SkipOptionalASN1(tags.BOOLEAN) || !extension.SkipASN1(tags.OCTET_STRING) || !extension.Empty() {
			return false
		}
	}
	return true
}

// constraintsAlone says that basic constraints (RFC 5280, 4.2.1.9) are what they may be and
// nothing more: crypto/x509 steps over what stands behind.
func constraintsAlone(constraints cryptobyte.String) bool {
	var parts cryptobyte.String
	return constraints.ReadASN1(&parts, tags.SEQUENCE) && constraints.Empty() &&
		parts.SkipOptionalASN1(tags.BOOLEAN) && parts.SkipOptionalASN1(tags.INTEGER) && parts.Empty()
}

// keyAlone says that an authority key identifier (RFC 5280, 4.2.1.1) is the key's and
// nothing more: the issuer and serial number that may follow are not read here.
func keyAlone(identifier cryptobyte.String) bool {
	var parts cryptobyte.String
	return identifier.ReadASN1(&parts, tags.SEQUENCE) && identifier.Empty() &&
		parts.SkipOptionalASN1(tags.Tag(0).ContextSpecific()) && parts.Empty()
}

// wholeName says that a name (RFC 5280, 4.1.2.4) is its types and values and nothing
// more, since crypto/x509 steps over what stands behind a value.
func wholeName(name cryptobyte.String) bool {
	var parts, part, attribute, value cryptobyte.String
	if !name.ReadASN1(&parts, tags.SEQUENCE) || !name.Empty() {
		return false
	}
	for !parts.Empty() {
		if !parts.ReadASN1(&part, tags.SET) {
			return false
		}
		for !part.Empty() {
			var tag tags.Tag
			if !part.ReadASN1(&attribute, tags.SEQUENCE) || !attribute.SkipASN1(tags.OBJECT_IDENTIFIER) ||
				!attribute.ReadAnyASN1(&value, &tag) || !attribute.Empty() {
				return false
			}
		}
	}
	return true
}

func marked(c *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(oid) {
			return true
		}
	}
	return false
}

// maxChains bounds the cache. Apple signs with a handful of leaves at a time.
const maxChains = 32

// chains remembers the headers whose chain was found good, since checking one costs two
// signatures on P-384 and Apple's header is the same in all its tokens for months. The
// key is the hash of the whole encoded header, and so of every byte of x5c and alg. A
// header gets in only when all of its token's cryptography held, so that what was forged
// is never remembered and nobody but Apple can push anything out. An entry is no verdict
// on a date or on revocation: who takes it out asks validAt, and then standing.
//
// chains may be used by several goroutines at once.
type chains struct {
	mu    sync.Mutex
	index map[[sha256.Size]byte]*list.Element
	order list.List // of *entry, the latest used first
}

type entry struct {
	key   [sha256.Size]byte
	chain *chain
}

func (c *chains) get(key [sha256.Size]byte) (*chain, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.index[key]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry).chain, true
}

func (c *chains) put(key [sha256.Size]byte, good *chain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.index[key]; ok {
		return
	}
	if c.index == nil {
		c.index = make(map[[sha256.Size]byte]*list.Element, maxChains)
	}
	if c.order.Len() == maxChains {
		oldest := c.order.Back()
		delete(c.index, oldest.Value.(*entry).key)
		c.order.Remove(oldest)
	}
	c.index[key] = c.order.PushFront(&entry{key, good})
}

func (c *chains) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}
