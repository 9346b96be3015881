//go:build !local

package stores_test

import "testing"

func TestADeployedFunctionTakesNoOrderThatWasMadeUp(t *testing.T) {
	store, sold, complaints := startAppsInToss(t, map[string]string{"APPS_IN_TOSS_FAKE_SKU": "gems-100", "APPS_IN_TOSS_CA": "ca.pem"})
	if sold != any(store) || complaints != "" {
		t.Errorf("got %T and %q, want the store itself, whatever is set", sold, complaints)
	}
}
