//go:build local

package stores_test

import "testing"

func TestALocalRunNeedsNoRevocationMode(t *testing.T) {
	for _, mode := range []string{"", "off", "soft", "hard"} {
		if shop, _, _, complaints := start(t, map[string]string{"APPLE_REVOCATION": mode}); shop == nil || complaints != "" {
			t.Errorf("%q: got %v and %q, want the App Store", mode, shop, complaints)
		}
	}
}
