package apple_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"grantline/shared/apple"
	"grantline/shared/clock"
)

// The three certificates that stand in x5c at the time of writing, and the instant at
// which Apple's library proves itself on them.
func TestApplesRealChainIsAccepted(t *testing.T) {
	t.Setenv("APPLE_ROOT_CERTIFICATES", "")
	roots, err := apple.Roots()
	if err != nil {
		t.Fatal(err)
	}
	x5c := vector(t, "apple-leaf-2025", "apple-intermediate-g6", "AppleRootCA-G3")
	for i, want := range []string{
		"4c381556c16121e605d1fc2eef6d0de4e072ed65964fe72f575f19711e84c417",
		"bdd4ed6e74691f0c2bfd01be0296197af1379e0418e2d300efa9c3bef642ca30",
		fmt.Sprintf("%x", sha256.Sum256(roots[0].Raw)),
	} {
		der, err := base64.StdEncoding.DecodeString(x5c[i])
		if got := fmt.Sprintf("%x", sha256.Sum256(der)); err != nil || got != want {
			t.Errorf("certificate %d has SHA-256 %s, error %v, want %s", i, got, err, want)
		}
	}
	if err := apple.CheckChain(roots, x5c, time.Unix(1761962975, 0)); err != nil {
		t.Errorf("Apple's chain: error %v, want none", err)
	}
}

// spoiledCertificates are signed by the genuine authority and are such that OpenSSL, on
// which Apple's library rests, refuses them, and crypto/x509 alone would not.
func spoiledCertificates(t *testing.T) []spoiled {
	a := genuine(t)
	changed := func(level int, change func(*x509.Certificate)) string {
		return newAuthority(t, below(a, level+1), template(level, change)).sign(payload)
	}
	extended := func(value []byte, oid ...int) string {
		return changed(intermediate, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Value: value})
		})
	}
	// A common name with a NULL behind its value.
	tailed := func(c *x509.Certificate) { c.RawSubject = encoded(t, tailedName(c.Subject.CommonName)) }
	key := a.certs[root].SubjectKeyId
	bothIDs := encoded(t, struct {
		KeyID  []byte `asn1:"tag:0"`
		Serial int    `asn1:"tag:2"`
	}{key, 9})
	return []spoiled{
		{"intermediate's key usage has no bits", extended([]byte{3, 1, 0}, 2, 5, 29, 15), apple.ErrChain},
		{"intermediate's key usage is zero", extended([]byte{3, 2, 0, 0}, 2, 5, 29, 15), apple.ErrChain},
		{"intermediate has no key usage", changed(intermediate, func(c *x509.Certificate) { c.KeyUsage = 0 }), apple.ErrChain},
		{"intermediate's constraints have more behind them", extended([]byte{0x30, 6, 1, 1, 0xff, 0x82, 1, 0}, 2, 5, 29, 19), apple.ErrChain},
		{"intermediate has another name of no kind", extended([]byte{0x30, 2, 0x8b, 0}, 2, 5, 29, 17), apple.ErrChain},
		{"intermediate has addresses", extended([]byte{5, 0}, 1, 3, 6, 1, 5, 5, 7, 1, 7), apple.ErrChain},
		{"intermediate has systems", extended([]byte{5, 0}, 1, 3, 6, 1, 5, 5, 7, 1, 8), apple.ErrChain},
		{"intermediate is a proxy", extended([]byte{5, 0}, 1, 3, 6, 1, 5, 5, 7, 1, 14), apple.ErrChain},
		{"intermediate has Netscape's type", extended([]byte{5, 0}, 2, 16, 840, 1, 113730, 1, 1), apple.ErrChain},
		{"intermediate names its authority by a serial number too", extended(bothIDs, 2, 5, 29, 35), apple.ErrChain},
		{"bytes behind the intermediate's authority key", extended(append([]byte{0x30, byte(len(key) + 4), 0x80, byte(len(key))}, append(key[:len(key):len(key)], 5, 0)...), 2, 5, 29, 35), apple.ErrChain},
		{"bytes behind a part of the intermediate's name", changed(intermediate, tailed), apple.ErrCertificate},
		{"bytes behind a part of the leaf's name", changed(leaf, tailed), apple.ErrCertificate},
	}
}

// An authority key identifier of the key alone is what Apple's own has.
func TestAuthorityNamedByItsKeyIsAccepted(t *testing.T) {
	a := genuine(t)
	key := a.certs[root].SubjectKeyId
	named := newAuthority(t, below(a, root), template(intermediate, func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{
			Id: asn1.ObjectIdentifier{2, 5, 29, 35}, Value: append([]byte{0x30, byte(len(key) + 2), 0x80, byte(len(key))}, key...),
		})
	}))
	if _, err := newVerifier(t, a.certs[root]).Transaction(t.Context(), named.sign(payload)); err != nil {
		t.Errorf("error %v, want none", err)
	}
}

type tailedAttribute struct {
	Type  asn1.ObjectIdentifier
	Value string `asn1:"utf8"`
	Tail  asn1.RawValue
}

type tailedSET []tailedAttribute

func tailedName(common string) []tailedSET {
	return []tailedSET{{{asn1.ObjectIdentifier{2, 5, 4, 3}, common, asn1.NullRawValue}}}
}

func encoded(t *testing.T, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestNbfWithinTheSecondThatRunsHasNotCome(t *testing.T) {
	a := genuine(t)
	c := config(a.certs[root])
	c.Clock = clock.Fixed(now.Add(750 * time.Millisecond))
	v, err := apple.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	for nbf, want := range map[string]error{"1768478460": nil, "1768478460.5": apple.ErrNotYet, "1768478460.75": apple.ErrNotYet, "1768478461": apple.ErrNotYet} {
		_, err := v.Transaction(t.Context(), a.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"nbf":`+nbf)))
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("nbf %s: error %v, want %v", nbf, err, want)
		}
	}
}

// commerce and commitment are what Apple documents within a transaction, to the bounds.
const (
	commerce = `{"descriptors":{"description":"012345678901234567890123456789012345678901234","displayName":"012345678901234567890123456789"},` +
		`"estimatedTax":1500,"items":[{"SKU":"s","description":"d","displayName":"n","offer":{"period":"P1M","periodCount":12,"price":990,"reason":"ACQUISITION"},` +
		`"price":9990,"refunds":[{"refundAmount":5000,"refundDate":1768478100000,"refundReason":"LEGAL","refundType":"PRORATED"},{}],"revocationDate":1768478200000},{}],` +
		`"period":"P1Y","requestReferenceId":"r","taxCode":"C","taxExclusivePrice":8490,"taxRate":"0.15","x":null}`
	commitment = `{"billingPeriodNumber":1,"commitmentExpiresDate":1771156500000,"commitmentPrice":119880,"totalBillingPeriods":24,"x":[]}`
)

// nesting puts an object into a transaction or renewal info.
func nesting(t *testing.T, into, name, value string) string {
	t.Helper()
	return swap(t, into, `"environment"`, fmt.Sprintf(`%q:%s,"environment"`, name, value))
}

func TestObjectsWithinATransactionAreKeptAsSigned(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	for _, c := range []struct{ name, value string }{
		{"advancedCommerceInfo", commerce},
		{"advancedCommerceInfo", "{}"},
		{"advancedCommerceInfo", swap(t, commerce, `"displayName":"012345678901234567890123456789"`, `"displayName":"`+strings.Repeat("😀", 15)+`"`)},
		{"commitmentInfo", commitment},
		{"commitmentInfo", "{}"},
		{"commitmentInfo", swap(t, commitment, `"billingPeriodNumber":1`, `"billingPeriodNumber":12`)},
	} {
		got, err := v.Transaction(t.Context(), a.sign(nesting(t, payload, c.name, c.value)))
		if err != nil || string(got.Other[c.name]) != c.value {
			t.Errorf("%s: got %s and error %v, want %s", c.name, got.Other[c.name], err, c.value)
		}
	}
}

// spoiledNested are transactions with one thing wrong in an object within.
func spoiledNested(t *testing.T) []spoiled {
	a := genuine(t)
	var rows []spoiled
	add := func(row, name, value string) {
		rows = append(rows, spoiled{row, a.sign(nesting(t, payload, name, value)), apple.ErrClaims})
	}
	for _, name := range []string{"advancedCommerceInfo", "commitmentInfo"} {
		for _, value := range []string{"null", "1", `"x"`, "[]", "true"} {
			add(name+" is "+value, name, value)
		}
	}
	for _, c := range []struct{ name, good, old, new string }{
		{"commitmentInfo", commitment, `"billingPeriodNumber":1`, `"billingPeriodNumber":0`},
		{"commitmentInfo", commitment, `"billingPeriodNumber":1`, `"billingPeriodNumber":13`},
		{"commitmentInfo", commitment, `"billingPeriodNumber":1`, `"billingPeriodNumber":"1"`},
		{"commitmentInfo", commitment, `"totalBillingPeriods":24`, `"totalBillingPeriods":null`},
		{"commitmentInfo", commitment, `1771156500000`, `"1771156500000"`},
		{"commitmentInfo", commitment, `119880`, `{}`},
		{"advancedCommerceInfo", commerce, `01234","displayName"`, `012345","displayName"`},
		{"advancedCommerceInfo", commerce, `6789"},"estimatedTax"`, `67890"},"estimatedTax"`},
		{"advancedCommerceInfo", commerce, `,"displayName":"012345678901234567890123456789"`, ""},
		{"advancedCommerceInfo", commerce, `"description":"0123`, `"about":"0123`},
		{"advancedCommerceInfo", commerce, `1500`, `"1500"`},
		{"advancedCommerceInfo", commerce, `"items":[`, `"items":[null,`},
		{"advancedCommerceInfo", commerce, `"items":[`, `"items":{},"y":[`},
		{"advancedCommerceInfo", commerce, `"SKU":"s"`, `"SKU":1`},
		{"advancedCommerceInfo", commerce, `"periodCount":12`, `"periodCount":13`},
		{"advancedCommerceInfo", commerce, `"periodCount":12,`, ""},
		{"advancedCommerceInfo", commerce, `"reason":"ACQUISITION"`, `"reason":null`},
		{"advancedCommerceInfo", commerce, `5000`, `[]`},
		{"advancedCommerceInfo", commerce, `"refundType":"PRORATED"`, `"refundType":1`},
		{"advancedCommerceInfo", commerce, `"refunds":[`, `"refunds":[1,`},
		{"advancedCommerceInfo", commerce, `"revocationDate":1768478200000`, `"revocationDate":"x"`},
		{"advancedCommerceInfo", commerce, `"period":"P1Y"`, `"period":1`},
		{"advancedCommerceInfo", commerce, `"taxRate":"0.15"`, `"taxRate":0.15`},
	} {
		add(fmt.Sprintf("%s with %s for %s", c.name, c.new, c.old), c.name, swap(t, c.good, c.old, c.new))
	}
	return rows
}

// The same bounds hold in renewal info, which reads those objects further.
func TestBoundsHoldInTheCommerceOfARenewalToo(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	for _, c := range []struct{ old, new string }{
		{`"periodCount":3`, `"periodCount":13`},
		{`"periodCount":3`, `"periodCount":0`},
		{`"periodCount":3,`, ""},
		{`,"reason":"ACQUISITION"`, ""},
		{`"description":"Premium Plan"`, `"description":"` + strings.Repeat("x", 46) + `"`},
		{`"displayName":"Premium"`, `"displayName":"` + strings.Repeat("x", 31) + `"`},
		{`"displayName":"Premium",`, ""},
	} {
		if _, err := v.RenewalInfo(t.Context(), a.sign(swap(t, fullRenewal, c.old, c.new))); !errors.Is(err, apple.ErrClaims) {
			t.Errorf("%s: error %v, want %q", c.new, err, apple.ErrClaims)
		}
	}
}

// A certificate of the genuine authority, whose marker has an empty value and Apple's NULL
// behind it: OpenSSL cannot read that, and crypto/x509 steps over it.
func TestExtensionWithMoreBehindItsValueIsRefused(t *testing.T) {
	a := genuine(t)
	var outer struct {
		Signed    asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(a.certs[leaf].Raw, &outer); err != nil {
		t.Fatal(err)
	}
	signed := []byte(strings.Replace(string(outer.Signed.FullBytes), "\x04\x02\x05\x00", "\x04\x00\x05\x00", 1))
	if string(signed) == string(outer.Signed.FullBytes) {
		t.Fatal("the marker was not found")
	}
	digest := sha512.Sum384(signed)
	signature, err := a.keys[intermediate].Sign(rand.Reader, digest[:], crypto.SHA384)
	if err != nil {
		t.Fatal(err)
	}
	outer.Signed = asn1.RawValue{FullBytes: signed}
	outer.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	x5c := make([]string, 3)
	for i, der := range [][]byte{encoded(t, outer), a.certs[intermediate].Raw, a.certs[root].Raw} {
		x5c[i] = base64.StdEncoding.EncodeToString(der)
	}
	if err := apple.CheckChain([]*x509.Certificate{a.certs[root]}, x5c, signedAt); !errors.Is(err, apple.ErrCertificate) {
		t.Errorf("error %v, want %q", err, apple.ErrCertificate)
	}
}
