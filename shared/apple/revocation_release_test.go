//go:build !local

package apple_test

import (
	"testing"

	"grantline/shared/apple"
)

func TestReleaseBinaryKnowsNoWayNotToAsk(t *testing.T) {
	if got, err := apple.ParseMode("off"); got != "" || err == nil {
		t.Errorf("mode %q, error %v; want an error", got, err)
	}
	c := config(genuine(t).certs[root])
	c.Revocation = "off"
	if v, err := apple.NewVerifier(c); v != nil || err == nil {
		t.Errorf("verifier %v, error %v; want an error", v, err)
	}
}
