package apple_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"grantline/infra/sim/apple"
)

var (
	from = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	to   = time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)
)

func newAuthority(t *testing.T, alterations ...apple.Alteration) *apple.Authority {
	t.Helper()
	a, err := apple.NewAuthority(rand.Reader, from, to, alterations...)
	if err != nil {
		t.Fatalf("NewAuthority: got %v, want a chain", err)
	}
	return a
}

func TestChainHasApplesShape(t *testing.T) {
	a := newAuthority(t)
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(a.Certificate(apple.Root))
	intermediates.AddCert(a.Certificate(apple.Intermediate))
	chains, err := a.Certificate(apple.Leaf).Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: from.AddDate(1, 0, 0),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil || len(chains) != 1 || len(chains[0]) != 3 {
		t.Fatalf("verify: got %d chains, %v; want one of three certificates", len(chains), err)
	}
	for _, c := range []struct {
		level apple.Level
		curve elliptic.Curve
		ca    bool
		oid   asn1.ObjectIdentifier
	}{
		{apple.Leaf, elliptic.P256(), false, apple.LeafOID},
		{apple.Intermediate, elliptic.P384(), true, apple.IntermediateOID},
		{apple.Root, elliptic.P384(), true, nil},
	} {
		cert := a.Certificate(c.level)
		key, ok := cert.PublicKey.(*ecdsa.PublicKey)
		if !ok || key.Curve != c.curve {
			t.Errorf("%s: got key %T, want one on %s", c.level, cert.PublicKey, c.curve.Params().Name)
		}
		if cert.IsCA != c.ca {
			t.Errorf("%s: got CA %t, want %t", c.level, cert.IsCA, c.ca)
		}
		if got, want := cert.SignatureAlgorithm, x509.ECDSAWithSHA384; got != want {
			t.Errorf("%s: got signature %s, want %s", c.level, got, want)
		}
		found := c.oid == nil
		for _, extension := range cert.Extensions {
			if extension.Id.Equal(c.oid) {
				found = !extension.Critical && string(extension.Value) == "\x05\x00"
			}
		}
		if !found {
			t.Errorf("%s: got no plain extension %v, want it as NULL, not critical", c.level, c.oid)
		}
	}
	if got := a.Certificate(apple.Intermediate); got.MaxPathLen != 0 || !got.MaxPathLenZero {
		t.Errorf("intermediate: got path length %d, want 0", got.MaxPathLen)
	}
}

func TestSignatureIsRawES256OfTheLeaf(t *testing.T) {
	a := newAuthority(t)
	parts := strings.Split(a.Sign(map[string]any{"transactionId": "1"}), ".")
	if len(parts) != 3 {
		t.Fatalf("got %d segments, want 3", len(parts))
	}
	var header struct {
		Alg string   `json:"alg"`
		X5C []string `json:"x5c"`
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatalf("header: %v", err)
	}
	if err := json.Unmarshal(text, &header); err != nil || header.Alg != "ES256" || len(header.X5C) != 3 {
		t.Fatalf("header: got alg %q, %d certificates, %v; want ES256 and 3", header.Alg, len(header.X5C), err)
	}
	der, err := base64.StdEncoding.DecodeString(header.X5C[0])
	if err != nil {
		t.Fatalf("x5c[0]: got %v, want standard base64", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("x5c[0]: %v", err)
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(sig) != 64 {
		t.Fatalf("signature: got %d bytes, %v; want 64", len(sig), err)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	if !ecdsa.Verify(leaf.PublicKey.(*ecdsa.PublicKey), digest[:], r, s) {
		t.Error("signature: got one that does not verify under x5c[0], want one that does")
	}
}

func TestSameSeedGivesTheSameChainAndSignature(t *testing.T) {
	seed := func() *mathrand.ChaCha8 { return mathrand.NewChaCha8([32]byte{7}) }
	one, err := apple.NewAuthority(seed(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	two, err := apple.NewAuthority(seed(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	if one.Sign("x") != two.Sign("x") {
		t.Error("got two different tokens from one seed, want the same")
	}
	three, four := newAuthority(t), newAuthority(t)
	if three.Sign("x") == four.Sign("x") {
		t.Error("got the same token twice from real randomness, want different chains")
	}
}

func TestAlterationSpoilsOneThing(t *testing.T) {
	good := newAuthority(t)
	bare := newAuthority(t, apple.Under(good), apple.Altered(apple.Leaf, func(c *x509.Certificate) { c.ExtraExtensions = nil }))
	if got, want := bare.X5C()[1:], good.X5C()[1:]; got[0] != want[0] || got[1] != want[1] {
		t.Error("Under: got another intermediate or root, want those of the other authority")
	}
	for _, extension := range bare.Certificate(apple.Leaf).Extensions {
		if extension.Id.Equal(apple.LeafOID) {
			t.Error("Altered: got the marker extension, want none")
		}
	}
	wide := newAuthority(t, apple.OnCurve(apple.Leaf, elliptic.P384()))
	if got, want := wide.Key(apple.Leaf).Curve, elliptic.P384(); got != want {
		t.Errorf("OnCurve: got %s, want %s", got.Params().Name, want.Params().Name)
	}
	if sig := strings.Split(wide.Sign(1), ".")[2]; len(sig) != 128 {
		t.Errorf("OnCurve: got a signature of %d characters, want 128", len(sig))
	}
}
