//go:build !local

package apple_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"grantline/shared/apple"
)

func TestReleaseBinaryTrustsAppleAloneWhateverTheEnvironmentSays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "roots.pem")
	other := genuine(t).certs[root]
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APPLE_ROOT_CERTIFICATES", file)
	roots, err := apple.Roots()
	if err != nil {
		t.Fatal(err)
	}
	if len(roots) != 1 || roots[0].Equal(other) {
		t.Errorf("roots are %d, the first %q, want Apple's alone", len(roots), roots[0].Subject)
	}
}
