package apple_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"testing"
)

// The token of all benchmarks has Apple's shape and about Apple's size: authorities on
// P-384, the leaf on P-256.

// BenchmarkBareECDSA is the floor: one P-256 signature, which every token costs.
func BenchmarkBareECDSA(b *testing.B) {
	key := genuine(b).keys[leaf].(*ecdsa.PrivateKey)
	digest := sha256.Sum256([]byte(payload))
	sig := es256(key, payload)
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	b.ReportAllocs()
	for b.Loop() {
		if !ecdsa.Verify(&key.PublicKey, digest[:], r, s) {
			b.Fatal("the signature is wrong")
		}
	}
}

// BenchmarkVerifyTransactionCached is a token whose chain is known.
func BenchmarkVerifyTransactionCached(b *testing.B) {
	a := genuine(b)
	token := a.sign(payload)
	v := newVerifier(b, a.certs[root])
	if _, err := v.Transaction(b.Context(), token); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Transaction(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyTransactionFirst is the first token of a chain.
func BenchmarkVerifyTransactionFirst(b *testing.B) {
	a := genuine(b)
	token := a.sign(payload)
	b.ReportAllocs()
	for b.Loop() {
		v := newVerifier(b, a.certs[root])
		if _, err := v.Transaction(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStandardLibraryChain is what BenchmarkVerifyTransactionFirst is held against:
// parsing two certificates, crypto/x509's own path check, and one P-256 signature.
func BenchmarkStandardLibraryChain(b *testing.B) {
	a := genuine(b)
	key := a.keys[leaf].(*ecdsa.PrivateKey)
	digest := sha256.Sum256([]byte(payload))
	sig := es256(key, payload)
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	roots := x509.NewCertPool()
	roots.AddCert(a.certs[root])
	b.ReportAllocs()
	for b.Loop() {
		parsed, err := x509.ParseCertificate(a.certs[leaf].Raw)
		if err != nil {
			b.Fatal(err)
		}
		between, err := x509.ParseCertificate(a.certs[intermediate].Raw)
		if err != nil {
			b.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AddCert(between)
		options := x509.VerifyOptions{Roots: roots, Intermediates: pool, CurrentTime: signedAt, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		if _, err := parsed.Verify(options); err != nil {
			b.Fatal(err)
		}
		if !ecdsa.Verify(&key.PublicKey, digest[:], r, s) {
			b.Fatal("the signature is wrong")
		}
	}
}
