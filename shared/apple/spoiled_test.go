package apple_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

// spoiled is the valid token with one thing wrong, and why it must be refused.
type spoiled struct {
	name   string
	token  string
	reason apple.Reason
}

// spoiledTokens is split by what is spoiled: the envelope and header, the certificates,
// the signature, the payload.
func spoiledTokens(t *testing.T) []spoiled {
	var all []spoiled
	all = append(all, spoiledEnvelopes(t)...)
	all = append(all, spoiledHeaders(t)...)
	all = append(all, spoiledChains(t)...)
	all = append(all, spoiledCertificates(t)...)
	all = append(all, spoiledSignatures(t)...)
	all = append(all, spoiledPayloads(t)...)
	all = append(all, spoiledNested(t)...)
	return all
}

func spoiledEnvelopes(t *testing.T) []spoiled {
	a := genuine(t)
	good := a.sign(payload)
	parts := strings.Split(good, ".")
	head, body, sig := parts[0], parts[1], parts[2]
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, `,"x%d":1`, i)
	}
	// The last letter of 64 bytes has four spare bits, which have to be zero.
	spare := sig[:85] + string(sig[85]+1)
	return []spoiled{
		{"nothing", "", apple.ErrFormat},
		{"a word", "abc", apple.ErrFormat},
		{"three letters", "a.b.c", apple.ErrFormat},
		{"four letters", "a.b.c.d", apple.ErrFormat},
		{"two segments", head + "." + body, apple.ErrFormat},
		{"four segments", good + "." + sig, apple.ErrFormat},
		{"no header", "." + body + "." + sig, apple.ErrFormat},
		{"no payload", head + ".." + sig, apple.ErrFormat},
		{"no signature", head + "." + body + ".", apple.ErrFormat},
		{"space before", " " + good, apple.ErrFormat},
		{"line break behind", good + "\n", apple.ErrFormat},
		{"line break within", head + "." + body[:8] + "\r\n" + body[8:] + "." + sig, apple.ErrFormat},
		{"padded signature", good + "==", apple.ErrFormat},
		{"standard base64 in the signature", head + "." + body + ".+" + sig[1:], apple.ErrFormat},
		{"spare bits in the signature", head + "." + body + "." + spare, apple.ErrFormat},
		{"NUL behind", good + "\x00", apple.ErrFormat},
		{"too large", a.signWith(swap(t, header(a.x5c()), `{"alg"`, `{"x":"`+strings.Repeat("x", 64<<10)+`","alg"`), payload), apple.ErrFormat},
		{"payload is no JSON", a.sign("transactionId"), apple.ErrFormat},
		{"payload is cut", a.sign(payload[:len(payload)-1]), apple.ErrFormat},
		{"payload is null", a.sign("null"), apple.ErrFormat},
		{"payload is an array", a.sign("[" + payload + "]"), apple.ErrFormat},
		{"payload is a string", a.sign(`"x"`), apple.ErrFormat},
		{"payload has a tail", a.sign(payload + "{}"), apple.ErrFormat},
		{"payload is not UTF-8", a.sign(swap(t, payload, "KOR", "K\xffR")), apple.ErrFormat},
		{"payload nests too deep", a.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"x":`+deep)), apple.ErrFormat},
		{"payload has too many members", a.sign(swap(t, payload, `"quantity":1`, `"quantity":1`+many.String())), apple.ErrFormat},
		{"duplicate member", a.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"bundleId":"com.example.app"`)), apple.ErrDuplicate},
		{"duplicate member, escaped", a.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"bundle\u0049d":"com.example.app"`)), apple.ErrDuplicate},
		{"duplicate member, nested", a.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"x":[{"a":1,"a":1}]`)), apple.ErrDuplicate},
	}
}

func spoiledHeaders(t *testing.T) []spoiled {
	a := genuine(t)
	good, x5c := header(a.x5c()), a.x5c()
	with := func(old, new string) string { return a.signWith(swap(t, good, old, new), payload) }
	certificates := func(x5c any) string { return a.signWith(header(x5c), payload) }

	hmacHeader := swap(t, good, "ES256", "HS256")
	hmacInput := segment(hmacHeader) + "." + segment(payload)
	public, err := x509.MarshalPKIXPublicKey(a.keys[leaf].Public())
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(hmacInput))

	der, err := base64.StdEncoding.DecodeString(x5c[0])
	if err != nil {
		t.Fatal(err)
	}
	// A name that makes letters in which the two alphabets differ.
	lettered := newAuthority(t, below(a, intermediate), template(leaf, func(c *x509.Certificate) {
		c.Subject.CommonName = "ÿÿÿÿÿ>>>???"
	}))
	// One letter before the padding has spare bits, which have to be zero.
	spare := newAuthority(t, below(a, intermediate))
	for common := "Signing"; len(spare.certs[leaf].Raw)%3 != 2; common += "g" {
		spare = newAuthority(t, below(a, intermediate), template(leaf, func(c *x509.Certificate) { c.Subject.CommonName = common }))
	}
	padded := []byte(spare.x5c()[0])
	padded[len(padded)-2]++
	return []spoiled{
		{"x5c with spare bits", spare.signWith(header([]string{string(padded), x5c[1], x5c[2]}), payload), apple.ErrCertificate},
		{"header is no JSON", a.signWith("{", payload), apple.ErrFormat},
		{"header is an array", a.signWith("["+good+"]", payload), apple.ErrFormat},
		{"header is not base64", "!" + a.sign(payload), apple.ErrFormat},
		{"alg twice", with(`{"alg":"ES256"`, `{"alg":"none","alg":"ES256"`), apple.ErrDuplicate},
		{"alg none", with("ES256", "none"), apple.ErrAlgorithm},
		{"alg HS256 by the public key", hmacInput + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), apple.ErrAlgorithm},
		{"alg ES384", with("ES256", "ES384"), apple.ErrAlgorithm},
		{"alg RS256", with("ES256", "RS256"), apple.ErrAlgorithm},
		{"alg in small letters", with("ES256", "es256"), apple.ErrAlgorithm},
		{"alg a number", with(`"ES256"`, "256"), apple.ErrAlgorithm},
		{"alg null", with(`"ES256"`, "null"), apple.ErrAlgorithm},
		{"alg under another name", with(`"alg"`, `"Alg"`), apple.ErrAlgorithm},
		{"no alg", with(`"alg":"ES256",`, ""), apple.ErrAlgorithm},
		{"crit", with(`{"alg"`, `{"crit":["b64"],"b64":true,"alg"`), apple.ErrCritical},
		{"crit empty", with(`{"alg"`, `{"crit":[],"alg"`), apple.ErrCritical},
		{"crit null", with(`{"alg"`, `{"crit":null,"alg"`), apple.ErrCritical},
		{"no x5c", with(`"x5c"`, `"x5cwrong"`), apple.ErrChainLength},
		{"x5c under another name", with(`"x5c"`, `"X5C"`), apple.ErrChainLength},
		{"x5c null", certificates(nil), apple.ErrChainLength},
		{"x5c of none", certificates([]string{}), apple.ErrChainLength},
		{"x5c of one", certificates(x5c[:1]), apple.ErrChainLength},
		{"x5c of two", certificates(x5c[:2]), apple.ErrChainLength},
		{"x5c of four", certificates(append(a.x5c(), x5c[2])), apple.ErrChainLength},
		{"x5c a string", certificates(strings.Join(x5c, ",")), apple.ErrCertificate},
		{"x5c of numbers", certificates([]int{1, 2, 3}), apple.ErrCertificate},
		{"x5c with a null", certificates([]any{x5c[0], nil, x5c[2]}), apple.ErrCertificate},
		{"x5c url-safe", lettered.signWith(header([]string{base64.URLEncoding.EncodeToString(lettered.certs[leaf].Raw), x5c[1], x5c[2]}), payload), apple.ErrCertificate},
		{"x5c with too much padding", certificates([]string{strings.TrimRight(x5c[0], "=") + "====", x5c[1], x5c[2]}), apple.ErrCertificate},
		{"x5c with a line break", certificates([]string{x5c[0][:64] + "\n" + x5c[0][64:], x5c[1], x5c[2]}), apple.ErrCertificate},
		{"x5c is not base64", certificates([]string{"%%%", x5c[1], x5c[2]}), apple.ErrCertificate},
		{"x5c leaf is no certificate", certificates([]string{"aGVsbG8=", x5c[1], x5c[2]}), apple.ErrCertificate},
		{"x5c intermediate is no certificate", certificates([]string{x5c[0], "aGVsbG8=", x5c[2]}), apple.ErrCertificate},
		{"x5c root is not base64", certificates([]string{x5c[0], x5c[1], "junk!"}), apple.ErrCertificate},
		{"x5c root is no certificate", certificates([]string{x5c[0], x5c[1], "aGVsbG8="}), apple.ErrRoot},
		{"x5c leaf has a tail", certificates([]string{base64.StdEncoding.EncodeToString(append(der, 0)), x5c[1], x5c[2]}), apple.ErrCertificate},
		{"x5c leaf is PEM", certificates([]string{"-----BEGIN CERTIFICATE-----" + x5c[0], x5c[1], x5c[2]}), apple.ErrCertificate},
		{"x5c ends with the intermediate", certificates([]string{x5c[0], x5c[1], x5c[1]}), apple.ErrRoot},
		{"x5c upside down", certificates([]string{x5c[2], x5c[1], x5c[0]}), apple.ErrRoot},
	}
}

func spoiledChains(t *testing.T) []spoiled {
	a := genuine(t)
	x5c := a.x5c()
	under := func(level int, changes ...func(*plan)) string {
		return newAuthority(t, append([]func(*plan){below(a, level)}, changes...)...).sign(payload)
	}
	forged := newAuthority(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, a.certs[leaf].Raw...)
	flipped[len(flipped)-1] ^= 1
	otherKey := newAuthority(t, below(a, root)) // the same names under the genuine root, another key
	window := func(from, to time.Time) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
	}
	past := window(signedAt.AddDate(-1, 0, 0), signedAt.Add(-time.Second))
	future := window(signedAt.Add(time.Second), signedAt.AddDate(1, 0, 0))
	none := func(c *x509.Certificate) { c.ExtraExtensions = nil }
	return []spoiled{
		{"everything self-made", forged.sign(payload), apple.ErrRoot},
		{"self-made under the genuine root's name", forged.signWith(header([]string{forged.x5c()[0], forged.x5c()[1], x5c[2]}), payload), apple.ErrChain},
		{"self-made leaf under genuine certificates", forged.signWith(header([]string{forged.x5c()[0], x5c[1], x5c[2]}), payload), apple.ErrChain},
		{"self-made leaf, its root claimed", forged.signWith(header([]string{forged.x5c()[0], x5c[1], forged.x5c()[2]}), payload), apple.ErrRoot},
		{"intermediate of the same name, another key", a.signWith(header([]string{x5c[0], otherKey.x5c()[1], x5c[2]}), payload), apple.ErrChain},
		{"leaf's signature flipped", a.signWith(header([]string{base64.StdEncoding.EncodeToString(flipped), x5c[1], x5c[2]}), payload), apple.ErrChain},
		{"intermediate is no CA", under(root, template(intermediate, func(c *x509.Certificate) {
			c.IsCA, c.MaxPathLenZero, c.KeyUsage = false, false, x509.KeyUsageDigitalSignature
		})), apple.ErrChain},
		{"intermediate has no basic constraints", under(root, template(intermediate, func(c *x509.Certificate) {
			c.BasicConstraintsValid = false
		})), apple.ErrChain},
		{"intermediate may not sign certificates", under(root, template(intermediate, func(c *x509.Certificate) {
			c.KeyUsage = x509.KeyUsageCRLSign
		})), apple.ErrChain},
		{"leaf acts as CA of another leaf", func() string {
			second := newAuthority(t, below(&authority{
				keys:  [3]crypto.Signer{nil, a.keys[leaf], a.keys[root]},
				certs: [3]*x509.Certificate{nil, a.certs[leaf], a.certs[root]},
			}, intermediate))
			return second.sign(payload)
		}(), apple.ErrChain},
		{"leaf is a CA", under(intermediate, template(leaf, func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage = true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
		})), apple.ErrLeaf},
		{"leaf on P-384", under(intermediate, func(p *plan) { p.keys[leaf] = newKey(t, elliptic.P384()) }), apple.ErrLeaf},
		{"leaf on P-521", under(intermediate, func(p *plan) { p.keys[leaf] = newKey(t, elliptic.P521()) }), apple.ErrLeaf},
		{"leaf with RSA", under(intermediate, func(p *plan) { p.keys[leaf] = rsaKey }), apple.ErrLeaf},
		{"leaf not for signatures", under(intermediate, template(leaf, func(c *x509.Certificate) {
			c.KeyUsage = x509.KeyUsageKeyAgreement
		})), apple.ErrLeaf},
		{"leaf without Apple's extension", under(intermediate, template(leaf, none)), apple.ErrOID},
		{"leaf of another kind of Apple's", under(intermediate, template(leaf, func(c *x509.Certificate) {
			c.ExtraExtensions[0].Id = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 2}
		})), apple.ErrOID},
		{"leaf with the intermediate's extension", under(intermediate, template(leaf, func(c *x509.Certificate) {
			c.ExtraExtensions[0].Id = oidIntermediate
		})), apple.ErrOID},
		{"intermediate without Apple's extension", under(root, template(intermediate, none)), apple.ErrOID},
		{"intermediate with the leaf's extension", under(root, template(intermediate, func(c *x509.Certificate) {
			c.ExtraExtensions[0].Id = oidLeaf
		})), apple.ErrOID},
		{"leaf with Apple's extension critical", under(intermediate, template(leaf, func(c *x509.Certificate) {
			c.ExtraExtensions[0].Critical = true
		})), apple.ErrChain},
		{"leaf with an unknown critical extension", under(intermediate, template(leaf, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
		})), apple.ErrChain},
		{"leaf directly under the root", under(intermediate, func(p *plan) { p.parents[leaf] = root }), apple.ErrChain},
		{"leaf ended before", under(intermediate, template(leaf, past)), apple.ErrWindow},
		{"leaf begins after", under(intermediate, template(leaf, future)), apple.ErrWindow},
		{"intermediate ended before", under(root, template(intermediate, past)), apple.ErrWindow},
		{"intermediate begins after", under(root, template(intermediate, future)), apple.ErrWindow},
	}
}

func spoiledSignatures(t *testing.T) []spoiled {
	a := genuine(t)
	good := a.sign(payload)
	parts := strings.Split(good, ".")
	input := parts[0] + "." + parts[1]
	raw, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	with := func(sig []byte) string { return input + "." + base64.RawURLEncoding.EncodeToString(sig) }
	changed := func(change func(sig []byte)) string {
		sig := append([]byte{}, raw...)
		change(sig)
		return with(sig)
	}
	key := a.keys[leaf].(*ecdsa.PrivateKey)
	digest := sha256.Sum256([]byte(input))
	der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	longer := sha512.Sum384([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, longer[:])
	if err != nil {
		t.Fatal(err)
	}
	order := key.Params().N.Bytes()
	other := strings.Split(a.sign(swap(t, payload, `"quantity":1`, `"quantity":9`)), ".")
	sibling := newAuthority(t, below(a, intermediate))
	return []spoiled{
		{"first bit flipped", changed(func(sig []byte) { sig[0] ^= 0x80 }), apple.ErrSignature},
		{"last bit flipped", changed(func(sig []byte) { sig[63] ^= 1 }), apple.ErrSignature},
		{"r and s swapped", with(append(append([]byte{}, raw[32:]...), raw[:32]...)), apple.ErrSignature},
		{"r is zero", changed(func(sig []byte) { clear(sig[:32]) }), apple.ErrSignature},
		{"s is zero", changed(func(sig []byte) { clear(sig[32:]) }), apple.ErrSignature},
		{"all zero", with(make([]byte, 64)), apple.ErrSignature},
		{"r is the order", changed(func(sig []byte) { copy(sig, order) }), apple.ErrSignature},
		{"s is the order", changed(func(sig []byte) { copy(sig[32:], order) }), apple.ErrSignature},
		{"of 63 bytes", with(raw[:63]), apple.ErrSignature},
		{"of 65 bytes", with(append(append([]byte{}, raw...), 0)), apple.ErrSignature},
		{"in DER", with(der), apple.ErrSignature},
		{"over SHA-384", with(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)), apple.ErrSignature},
		{"over the payload alone", with(es256(key, parts[1])), apple.ErrSignature},
		{"by another genuine leaf", with(es256(sibling.keys[leaf], input)), apple.ErrSignature},
		{"by nobody's key", with(es256(newKey(t, elliptic.P256()), input)), apple.ErrSignature},
		{"payload of another token", parts[0] + "." + other[1] + "." + parts[2], apple.ErrSignature},
		{"signature of another token", input + "." + other[2], apple.ErrSignature},
		{"header of another token", strings.Split(sibling.sign(payload), ".")[0] + "." + parts[1] + "." + parts[2], apple.ErrSignature},
		{"payload edited", parts[0] + "." + segment(swap(t, payload, `"quantity":1`, `"quantity":2`)) + "." + parts[2], apple.ErrSignature},
		{"payload spaced", parts[0] + "." + segment(payload+" ") + "." + parts[2], apple.ErrSignature},
	}
}

func spoiledPayloads(t *testing.T) []spoiled {
	a := genuine(t)
	with := func(old, new string) string { return a.sign(swap(t, payload, old, new)) }
	const date = `"signedDate":1768478400000,`
	out := []spoiled{
		{"no signedDate", with(date, ""), apple.ErrClaims},
		{"signedDate null", with(date, `"signedDate":null,`), apple.ErrClaims},
		{"signedDate a string", with(date, `"signedDate":"1768478400000",`), apple.ErrClaims},
		{"signedDate an object", with(date, `"signedDate":{},`), apple.ErrClaims},
		{"signedDate beyond all dates", with(date, `"signedDate":1e300,`), apple.ErrClaims},
		{"signedDate beyond all numbers", with(date, `"signedDate":1e999,`), apple.ErrClaims},
		{"signedDate under another name", with(`"signedDate"`, `"SignedDate"`), apple.ErrClaims},
		{"signedDate 0", with(date, `"signedDate":0,`), apple.ErrWindow},
		{"signedDate negative", with(date, `"signedDate":-1768478400000,`), apple.ErrWindow},
		{"signedDate in seconds", with(date, `"signedDate":1768478400,`), apple.ErrWindow},
		{"signedDate before the leaf", with(date, `"signedDate":1758239999999,`), apple.ErrWindow},
		{"signedDate after the leaf", with(date, `"signedDate":1823385600001,`), apple.ErrWindow},
		{"exp passed", with(`"quantity":1`, `"quantity":1,"exp":1768478459`), apple.ErrExpired},
		{"exp now", with(`"quantity":1`, `"quantity":1,"exp":1768478460`), apple.ErrExpired},
		{"exp a string", with(`"quantity":1`, `"quantity":1,"exp":"1868478460"`), apple.ErrClaims},
		{"exp null", with(`"quantity":1`, `"quantity":1,"exp":null`), apple.ErrClaims},
		{"nbf to come", with(`"quantity":1`, `"quantity":1,"nbf":1768478460.5`), apple.ErrNotYet},
		{"nbf a string", with(`"quantity":1`, `"quantity":1,"nbf":"1"`), apple.ErrClaims},
		{"another app", with(`"bundleId":"com.example.app"`, `"bundleId":"com.example.other"`), apple.ErrBundle},
		{"another app's prefix", with(`"bundleId":"com.example.app"`, `"bundleId":"com.example.app.extension"`), apple.ErrBundle},
		{"bundle id in capitals", with(`"bundleId":"com.example.app"`, `"bundleId":"com.example.App"`), apple.ErrBundle},
		{"bundle id empty", with(`"bundleId":"com.example.app"`, `"bundleId":""`), apple.ErrBundle},
		{"bundle id null", with(`"bundleId":"com.example.app"`, `"bundleId":null`), apple.ErrClaims},
		{"no bundle id", with(`"bundleId":"com.example.app",`, ""), apple.ErrBundle},
		{"bundle id under another name", with(`"bundleId"`, `"bundleID"`), apple.ErrBundle},
		{"bundle id a list", with(`"bundleId":"com.example.app"`, `"bundleId":["com.example.app"]`), apple.ErrClaims},
		{"another app id", with(`"quantity":1`, `"quantity":1,"appAppleId":999`), apple.ErrApp},
		{"app id a string", with(`"quantity":1`, `"quantity":1,"appAppleId":"1234567890"`), apple.ErrClaims},
		{"no environment", with(`"environment":"Production",`, ""), apple.ErrEnvironment},
		{"environment a number", with(`"environment":"Production"`, `"environment":1`), apple.ErrClaims},
		{"renewal info", a.sign(`{"originalTransactionId":"2000000812345678","autoRenewProductId":"x","autoRenewStatus":1,"signedDate":1768478400000,"environment":"Production"}`), apple.ErrBundle},
		{"notification", a.sign(`{"notificationType":"TEST","notificationUUID":"x","data":{"bundleId":"com.example.app","environment":"Production"},"version":"2.0","signedDate":1768478400000}`), apple.ErrBundle},
		{"app transaction", a.sign(`{"receiptType":"Production","appAppleId":1234567890,"bundleId":"com.example.app","signedDate":1768478400000}`), apple.ErrEnvironment},
		{"year 1 as revocation date", with(`"quantity":1`, `"quantity":1,"revocationDate":-62135596800000`), apple.ErrClaims},
	}
	for _, environment := range []string{"Xcode", "LocalTesting", "production", "PRODUCTION", "Staging", ""} {
		out = append(out, spoiled{"environment " + environment, with(`"environment":"Production"`, `"environment":"`+environment+`"`), apple.ErrEnvironment})
	}
	for _, missing := range []string{`"transactionId":"2000000912345678",`, `"originalTransactionId":"2000000812345678",`, `"productId":"com.example.premium.monthly",`} {
		out = append(out, spoiled{"without " + missing, with(missing, ""), apple.ErrClaims})
	}
	for old, wrong := range map[string][]string{
		`"transactionId":"2000000912345678"`: {
			`"transactionId":2000000912345678`, `"transactionId":""`, `"transactionId":"1#2"`,
			`"transactionId":"\u0000"`, `"transactionId":"` + strings.Repeat("1", 65) + `"`,
		},
		`"productId":"com.example.premium.monthly"`: {`"productId":["com.example.premium.monthly"]`},
		`"expiresDate":1771156500000`:               {`"expiresDate":"1771156500000"`, `"expiresDate":true`, `"expiresDate":null`},
		`"purchaseDate":1768478100000`:              {`"purchaseDate":"2026-01-15"`, `"purchaseDate":-62167219200001`, `"purchaseDate":253402300800000`},
		`"quantity":1`: {
			`"quantity":"1"`, `"quantity":1.5`, `"quantity":1e12`, `"quantity":1,"isUpgraded":"true"`,
			`"quantity":1,"isUpgraded":1`, `"quantity":1,"revocationDate":"x"`, `"quantity":1,"revocationDate":null`, `"quantity":1,"revocationReason":"1"`,
		},
		`"type":"Auto-Renewable Subscription"`: {`"type":4`},
		`"price":4900000`:                      {`"price":"4900000"`},
		`"currency":"KRW"`:                     {`"currency":410`},
	} {
		for _, w := range wrong {
			out = append(out, spoiled{w, with(old, w), apple.ErrClaims})
		}
	}
	return out
}

// kindOf says which reasons are about reading; all others are about truth.
func kindOf(r apple.Reason) error {
	if slices.Contains([]apple.Reason{apple.ErrFormat, apple.ErrDuplicate, apple.ErrClaims, apple.ErrCertificate}, r) {
		return fault.Malformed
	}
	return fault.Invalid
}

// cryptographic are the reasons that come before the chain or the signature held.
var cryptographic = []apple.Reason{
	apple.ErrAlgorithm, apple.ErrCritical, apple.ErrChainLength, apple.ErrCertificate, apple.ErrRoot, apple.ErrLeaf,
	apple.ErrOID, apple.ErrWindow, apple.ErrChain, apple.ErrSignature,
}

func TestEverySpoiledTokenIsRefusedForItsReason(t *testing.T) {
	a := genuine(t)
	cold := func() *apple.Verifier { return newVerifier(t, a.certs[root]) }
	warm := cold()
	if _, err := warm.Transaction(t.Context(), a.sign(payload)); err != nil {
		t.Fatalf("the valid token: %v", err)
	}
	all := spoiledTokens(t)
	if got := len(all); got < 60 {
		t.Fatalf("%d spoiled tokens, want at least 60", got)
	}
	seen := map[string]bool{}
	for _, c := range all {
		if seen[c.name] {
			t.Errorf("%q is there twice", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			fresh := cold()
			for which, v := range map[string]*apple.Verifier{"cold": fresh, "warm": warm} {
				got, err := v.Transaction(t.Context(), c.token)
				if !errors.Is(err, c.reason) {
					t.Fatalf("%s: error %v, want %q", which, err, c.reason)
				}
				if want := kindOf(c.reason); !errors.Is(err, want) {
					t.Errorf("%s: error %v is not of kind %v", which, err, want)
				}
				if code := fault.Code(err); code != "invalid_purchase" {
					t.Errorf("%s: code %q, want invalid_purchase", which, code)
				}
				if fault.Retryable(err) {
					t.Errorf("%s: asking again is no use, but the error is retryable", which)
				}
				if got.TransactionID != "" || got.BundleID != "" || got.Other != nil {
					t.Errorf("%s: a refused token gave %+v, want nothing", which, got)
				}
				for part := range strings.SplitSeq(c.token, ".") {
					if len(part) > 8 && strings.Contains(fmt.Sprintf("%v %+v", err, err), part) {
						t.Errorf("%s: the error shows a part of the token", which)
					}
				}
			}
			if n := fresh.Remembered(); n != 0 && slices.Contains(cryptographic, c.reason) {
				t.Errorf("%d chains remembered after a refusal, want none", n)
			}
		})
	}
	t.Logf("%d spoiled tokens", len(all))
}

// A root that forbids intermediates is trusted, and its word on that holds.
func TestPathLengthOfTheRootIsKept(t *testing.T) {
	a := newAuthority(t, template(root, func(c *x509.Certificate) { c.MaxPathLenZero = true }))
	_, err := newVerifier(t, a.certs[root]).Transaction(t.Context(), a.sign(payload))
	if !errors.Is(err, apple.ErrChain) {
		t.Errorf("error %v, want %q", err, apple.ErrChain)
	}
}

func TestRootMustBeValidOnTheDayOfSigningToo(t *testing.T) {
	a := newAuthority(t, template(root, func(c *x509.Certificate) { c.NotAfter = signedAt.Add(-time.Second) }))
	_, err := newVerifier(t, a.certs[root]).Transaction(t.Context(), a.sign(payload))
	if !errors.Is(err, apple.ErrWindow) {
		t.Errorf("error %v, want %q", err, apple.ErrWindow)
	}
}

func TestEverySingleChangedLetterIsRefused(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	good := a.sign(payload)
	if _, err := v.Transaction(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	for i := range len(good) {
		bad := []byte(good)
		bad[i] = 'A'
		if good[i] == 'A' {
			bad[i] = 'B'
		}
		if _, err := v.Transaction(t.Context(), string(bad)); err == nil {
			t.Errorf("letter %d changed and accepted", i)
		}
	}
	for _, n := range []int{0, 1, 100, len(good) / 2, len(good) - 1} {
		if _, err := v.Transaction(t.Context(), good[:n]); err == nil {
			t.Errorf("cut after %d letters and accepted", n)
		}
	}
}
