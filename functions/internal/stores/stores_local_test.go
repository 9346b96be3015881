//go:build local

package stores_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	sim "grantline/infra/sim/apple"
	"grantline/shared/apple"
	"grantline/shared/fault"
)

func TestALocalRunNeedsNoRevocationMode(t *testing.T) {
	for _, mode := range []string{"", "off", "soft", "hard"} {
		if shop, _, _, complaints := start(t, map[string]string{"APPLE_REVOCATION": mode}); shop == nil || complaints != "" {
			t.Errorf("%q: got %v and %q, want the App Store", mode, shop, complaints)
		}
	}
}

// The setting is what decides over a word whose chain nobody has answered for yet.
func TestTheRevocationModeThatIsSetIsTheVerifiers(t *testing.T) {
	now := time.Now()
	authority, err := sim.NewAuthority(rand.Reader, now.Add(-time.Hour), now.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, authority.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APPLE_ROOT_CERTIFICATES", file)
	test := authority.Sign(map[string]any{
		"notificationType": "TEST", "notificationUUID": "5f2b1c0e-9d8a-4c7b-8e6f-1a2b3c4d5e6f", "version": "2.0", "signedDate": now.UnixMilli(),
		"data": map[string]any{"bundleId": "com.example.app", "environment": "Sandbox"},
	})
	for mode, believed := range map[string]bool{"": true, "off": true, "soft": true, "hard": false} {
		shop, _, _, _ := start(t, map[string]string{"APPLE_REVOCATION": mode})
		n, err := shop.Verifier.Notification(t.Context(), test)
		if believed && (err != nil || n.Environment != apple.Sandbox) {
			t.Errorf("%q: got %v, want it believed", mode, err)
		}
		if !believed && !errors.Is(err, fault.Unavailable) {
			t.Errorf("%q: got %v, want fault.Unavailable until the chain is answered for", mode, err)
		}
	}
}
