package apple_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"grantline/shared/apple"
)

// vector reads certificates of testdata/chain in the form of x5c. Those named apple-*
// are Apple's own; those named published-* are the test chain that Apple publishes in
// the tests of its App Store Server Library.
func vector(t *testing.T, names ...string) []string {
	t.Helper()
	var x5c []string
	for _, name := range names {
		x5c = append(x5c, base64.StdEncoding.EncodeToString(der(t, name)))
	}
	return x5c
}

func der(t *testing.T, name string) []byte {
	t.Helper()
	file := "testdata/chain/" + name + ".der"
	if name == "AppleRootCA-G3" {
		file = "roots/" + name + ".cer"
	}
	text, err := fs.ReadFile(os.DirFS("."), file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func certificate(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Apple publishes this fingerprint beside the certificate.
func TestEmbeddedRootIsApplesRootG3(t *testing.T) {
	t.Setenv("APPLE_ROOT_CERTIFICATES", "")
	roots, err := apple.Roots()
	if err != nil {
		t.Fatal(err)
	}
	if len(roots) != 1 {
		t.Fatalf("%d roots, want 1", len(roots))
	}
	const want = "63343ABFB89A6A03EBB57E9B3F5FA7BE7C4F5C756F3017B3A8C488C3653E9179"
	if got := fmt.Sprintf("%X", sha256.Sum256(roots[0].Raw)); got != want {
		t.Errorf("SHA-256 %s, want %s", got, want)
	}
	if got, want := roots[0].Subject.CommonName, "Apple Root CA - G3"; got != want {
		t.Errorf("common name %q, want %q", got, want)
	}
	if _, err := apple.NewVerifier(config(roots...)); err != nil {
		t.Errorf("a verifier on Apple's root: error %v, want none", err)
	}
}

// The chain that the App Store signs with at the time of writing.
func TestApplesOwnChainIsTrustedWhileItIsValid(t *testing.T) {
	t.Setenv("APPLE_ROOT_CERTIFICATES", "")
	roots, err := apple.Roots()
	if err != nil {
		t.Fatal(err)
	}
	const leaf, intermediate, root = "apple-leaf-2025", "apple-intermediate-g6", "AppleRootCA-G3"
	day := time.Date(2025, 11, 1, 2, 9, 35, 0, time.UTC)
	for _, c := range []struct {
		name string
		x5c  []string
		at   time.Time
		want error
	}{
		{"valid", vector(t, leaf, intermediate, root), day, nil},
		{"first second", vector(t, leaf, intermediate, root), time.Date(2025, 9, 19, 19, 44, 51, 0, time.UTC), nil},
		{"last second", vector(t, leaf, intermediate, root), time.Date(2027, 10, 13, 17, 47, 23, 0, time.UTC), nil},
		{"too early", vector(t, leaf, intermediate, root), time.Date(2025, 9, 19, 19, 44, 50, 0, time.UTC), apple.ErrWindow},
		{"too late", vector(t, leaf, intermediate, root), time.Date(2027, 10, 13, 17, 47, 24, 0, time.UTC), apple.ErrWindow},
		{"2042", vector(t, leaf, intermediate, root), time.Date(2042, 4, 12, 0, 0, 0, 0, time.UTC), apple.ErrWindow},
		{"no root", vector(t, leaf, intermediate), day, apple.ErrChainLength},
		{"no leaf", vector(t, intermediate, root), day, apple.ErrChainLength},
		{"intermediate as leaf", vector(t, intermediate, intermediate, root), day, apple.ErrLeaf},
		{"leaf as intermediate", vector(t, leaf, leaf, root), day, apple.ErrChain},
		{"root as intermediate", vector(t, leaf, root, root), day, apple.ErrOID},
		{"another's root", vector(t, leaf, intermediate, "published-root"), day, apple.ErrRoot},
		{"another's chain", vector(t, "published-leaf", "published-intermediate", "published-root"), day, apple.ErrRoot},
		{"another's chain under Apple's root", vector(t, "published-leaf", "published-intermediate", root), day, apple.ErrChain},
		{"another's leaf under Apple's", vector(t, "published-leaf", intermediate, root), day, apple.ErrChain},
	} {
		if err := apple.CheckChain(roots, c.x5c, c.at); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
}

// Apple's library gives the same verdicts on these.
func TestVerdictsOnApplesPublishedTestChains(t *testing.T) {
	roots := []*x509.Certificate{certificate(t, "published-root")}
	day := time.Unix(1761962975, 0)
	for _, c := range []struct {
		name string
		x5c  []string
		want error
	}{
		{"valid", vector(t, "published-leaf", "published-intermediate", "published-root"), nil},
		{"intermediate without extension", vector(t, "published-leaf-of-intermediate-without-oid", "published-intermediate-without-oid", "published-root"), apple.ErrOID},
		{"leaf without extension", vector(t, "published-leaf-without-oid", "published-intermediate", "published-root"), apple.ErrOID},
		{"too short", vector(t, "published-intermediate", "published-root"), apple.ErrChainLength},
		{"Apple's own under the test root", vector(t, "apple-leaf-2025", "apple-intermediate-g6", "AppleRootCA-G3"), apple.ErrRoot},
	} {
		if err := apple.CheckChain(roots, c.x5c, day); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
	if err := apple.CheckChain(nil, vector(t, "published-leaf", "published-intermediate", "published-root"), day); !errors.Is(err, apple.ErrRoot) {
		t.Errorf("no root at all: error %v, want %q", err, apple.ErrRoot)
	}
}
