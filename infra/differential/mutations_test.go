//go:build differential && local

package differential_test

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strings"
)

// How many of each random mutation a run makes.
const (
	tokenMutations       = 800
	payloadMutations     = 1600
	headerMutations      = 500
	certificateMutations = 700
)

// mutations changes a byte here and there: of the token as it travels, where hardly any
// can hold, and of payload and header before they are signed, where every one is genuine.
func (g *generator) mutations() {
	environments := []string{"Production", "Sandbox"}
	shapes := map[string][]shape{}
	for _, environment := range environments {
		shapes[environment] = g.kinds(environment)
	}
	draw := func() (shape, string) {
		environment := environments[g.random.IntN(2)]
		s := shapes[environment][g.random.IntN(len(shapes[environment]))]
		return s, environment
	}
	for n := range tokenMutations {
		s, environment := draw()
		token := g.mutated(g.a.sign(s.payload(s.object)), "ABCDabcd0189-_.=+/ \n")
		g.add(fmt.Sprint("random token ", n), s.kind, token, environment)
	}
	const marks = "{}[]\",:\\0123456789-+.eE aTtnullfrs\x00\x7f\x80\xc3\xff"
	for n := range payloadMutations {
		s, environment := draw()
		payload := g.mutated(s.payload(s.object), marks)
		g.add(fmt.Sprint("random payload ", n), s.kind, g.a.sign(payload), environment)
	}
	for n := range headerMutations {
		s, environment := draw()
		good := header(g.a.x5c())
		// Half of them near the names, which are a hundredth of the whole.
		from := 0
		if n%2 == 0 {
			from = strings.Index(good, `"x5c"`) + 12
		}
		mutant := good[:from] + g.mutated(good[from:], marks+"+/=-_")
		if from > 0 {
			mutant = g.mutated(good[:from], marks) + good[from:]
		}
		g.add(fmt.Sprint("random header ", n), s.kind, g.a.signWith(mutant, s.payload(s.object)), environment)
	}
}

// mutated changes, drops, inserts or repeats a byte or a short run, once or twice.
func (g *generator) mutated(text, letters string) string {
	b := []byte(text)
	for range 1 + g.random.IntN(2) {
		if len(b) == 0 {
			break
		}
		at := g.random.IntN(len(b))
		end := min(len(b), at+1+g.random.IntN(6))
		letter := letters[g.random.IntN(len(letters))]
		switch g.random.IntN(6) {
		case 0:
			b[at] ^= 1 << g.random.IntN(8)
		case 1, 2:
			b[at] = letter
		case 3:
			b = append(b[:at], b[end:]...)
		case 4:
			b = append(b[:at], append([]byte{letter}, b[at:]...)...)
		case 5:
			b = append(b[:end], append(append([]byte{}, b[at:end]...), b[end:]...)...)
		}
	}
	return string(b)
}

// certificates changes what is in certificates and has the genuine issuer sign it again:
// first each known extension with each odd value, then bytes at random.
func (g *generator) certificates() {
	payload := transaction("Production").String()
	add := func(name string, a *authority) { g.add(name, "transaction", a.sign(payload), "Production") }
	null, empty := []byte{5, 0}, []byte{0x30, 0}
	for id, oid := range inOrder(map[string]asn1.ObjectIdentifier{
		"subjectKeyIdentifier": {2, 5, 29, 14}, "keyUsage": {2, 5, 29, 15}, "subjectAltName": {2, 5, 29, 17}, "issuerAltName": {2, 5, 29, 18},
		"basicConstraints": {2, 5, 29, 19}, "nameConstraints": {2, 5, 29, 30}, "crlDistributionPoints": {2, 5, 29, 31}, "certificatePolicies": {2, 5, 29, 32},
		"policyMappings": {2, 5, 29, 33}, "authorityKeyIdentifier": {2, 5, 29, 35}, "policyConstraints": {2, 5, 29, 36}, "extKeyUsage": {2, 5, 29, 37},
		"freshestCRL": {2, 5, 29, 46}, "inhibitAnyPolicy": {2, 5, 29, 54}, "authorityInfoAccess": {1, 3, 6, 1, 5, 5, 7, 1, 1}, "subjectInfoAccess": {1, 3, 6, 1, 5, 5, 7, 1, 11},
		"proxyCertInfo": {1, 3, 6, 1, 5, 5, 7, 1, 14}, "tlsFeature": {1, 3, 6, 1, 5, 5, 7, 1, 24}, "ipAddrBlocks": {1, 3, 6, 1, 5, 5, 7, 1, 7}, "asIdentifiers": {1, 3, 6, 1, 5, 5, 7, 1, 8},
		"netscapeCertType": {2, 16, 840, 1, 113730, 1, 1}, "netscapeComment": {2, 16, 840, 1, 113730, 1, 13}, "poison": {1, 3, 6, 1, 4, 1, 11129, 2, 4, 3},
		"sctList": {1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, "ocspNoCheck": {1, 3, 6, 1, 5, 5, 7, 48, 1, 5},
	}) {
		for what, value := range inOrder(map[string][]byte{
			"nothing": {}, "NULL": null, "empty": empty, "no DER": {0x30, 5, 1}, "a string": {4, 2, 1, 2}, "bits none": {3, 1, 0}, "bits zero": {3, 2, 0, 0}, "bits all": {3, 2, 0, 0xff}, "bits sign": {3, 2, 2, 4}, "bits of digital signature": {3, 2, 7, 0x80},
			"TRUE within": {0x30, 3, 1, 1, 0xff}, "FALSE within": {0x30, 3, 1, 1, 0}, "TRUE written oddly": {0x30, 3, 1, 1, 1}, "CA of length 0": {0x30, 6, 1, 1, 0xff, 2, 1, 0}, "CA of length 5": {0x30, 6, 1, 1, 0xff, 2, 1, 5},
			"CA of length -1": {0x30, 6, 1, 1, 0xff, 2, 1, 0xff}, "CA of length -5": {0x30, 6, 1, 1, 0xff, 2, 1, 0xfb}, "length without CA": {0x30, 3, 2, 1, 0}, "integer": {2, 1, 0}, "a sequence with a tail": {0x30, 0, 0}, "a huge length": {0x30, 9, 2, 7, 1, 0, 0, 0, 0, 0, 0},
			"CA of a huge length": {0x30, 14, 1, 1, 0xff, 2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		}) {
			for _, level := range []int{leaf, intermediate} {
				for _, critical := range []bool{false, true} {
					a := g.a.extended(level, pkix.Extension{Id: oid, Critical: critical, Value: value}, g)
					add(fmt.Sprintf("extension %s of %d is %s, critical %t", id, level, what, critical), a)
				}
			}
		}
	}
	// The issuer's name in another alphabet's letters, which are the same.
	add("leaf names its issuer as UTF8String", g.a.resigned(g.t, leaf, func(tbs []byte) []byte {
		at := bytes.Index(tbs, []byte("Developer Relations"))
		tbs[at-2] = asn1.TagUTF8String
		return tbs
	}))
	for n := range certificateMutations {
		level := g.random.IntN(2)
		add(fmt.Sprintf("random certificate %d of %d", n, level), g.a.resigned(g.t, level, func(tbs []byte) []byte {
			for range 1 + g.random.IntN(2) {
				at := g.random.IntN(len(tbs))
				if g.random.IntN(3) == 0 {
					tbs[at] = byte(g.random.IntN(256))
				} else {
					tbs[at] ^= 1 << g.random.IntN(8)
				}
			}
			return tbs
		}))
	}
}

// extended gives a certificate an extension, instead of the one that it has of its kind.
func (a *authority) extended(level int, e pkix.Extension, g *generator) *authority {
	return a.resigned(g.t, level, func(tbs []byte) []byte {
		var outer, explicit asn1.RawValue
		must(asn1.Unmarshal(tbs, &outer))
		var elements [][]byte
		for rest := outer.Bytes; len(rest) > 0; {
			var element asn1.RawValue
			rest = must(asn1.Unmarshal(rest, &element))
			elements = append(elements, element.FullBytes)
			explicit = element
		}
		var list []pkix.Extension
		must(asn1.Unmarshal(explicit.Bytes, &list))
		kept := []pkix.Extension{}
		for _, old := range list {
			if !old.Id.Equal(e.Id) {
				kept = append(kept, old)
			}
		}
		encoded := must(asn1.Marshal(append(kept, e)))
		elements[len(elements)-1] = must(asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 3, IsCompound: true, Bytes: encoded}))
		return sequence(elements...)
	})
}
