//go:build local

package apple_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"grantline/shared/apple"
)

func TestLocalBinaryTrustsTheNamedRootsInsteadOfApples(t *testing.T) {
	first, second := genuine(t).certs[root], newAuthority(t).certs[root]
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "roots.pem")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	t.Setenv("APPLE_ROOT_CERTIFICATES", write(block("CERTIFICATE", first.Raw)+block("CERTIFICATE", second.Raw)))
	roots, err := apple.Roots()
	if err != nil {
		t.Fatal(err)
	}
	if len(roots) != 2 || !roots[0].Equal(first) || !roots[1].Equal(second) {
		t.Errorf("roots are %d, want the two of the file", len(roots))
	}

	for name, file := range map[string]string{
		"no file":        filepath.Join(t.TempDir(), "none.pem"),
		"a folder":       t.TempDir(),
		"empty":          write(""),
		"no PEM":         write("hello"),
		"a tail":         write(block("CERTIFICATE", first.Raw) + "-----BEGIN CERT"),
		"a key":          write(block("CERTIFICATE", first.Raw) + block("PRIVATE KEY", []byte{1})),
		"no certificate": write(block("CERTIFICATE", []byte{1})),
		"too large":      write(strings.Repeat("x", 1<<20+1)),
	} {
		t.Setenv("APPLE_ROOT_CERTIFICATES", file)
		_, err := apple.Roots()
		if err == nil || !strings.Contains(err.Error(), "APPLE_ROOT_CERTIFICATES") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line that names the variable", name, err)
		}
	}
}
