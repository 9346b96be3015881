//go:build !local

package stores_test

import (
	"strings"
	"testing"
)

func TestADeployedFunctionIsToldItsRevocationMode(t *testing.T) {
	for _, mode := range []string{"", "off"} {
		if shop, _, _, complaints := start(t, map[string]string{"APPLE_REVOCATION": mode}); shop != nil || !strings.HasPrefix(complaints, "APPLE_REVOCATION: should be soft or hard") {
			t.Errorf("%q: got %v and %q, want it refused", mode, shop, complaints)
		}
	}
}
