//go:build local

package apple_test

import (
	"testing"

	"grantline/shared/apple"
)

func TestLocalBinaryMayAskNobody(t *testing.T) {
	if got, err := apple.ParseMode("off"); got != apple.RevocationOff || err != nil {
		t.Errorf("mode %q, error %v; want %q", got, err, apple.RevocationOff)
	}
	a := genuine(t)
	c := config(a.certs[root])
	c.Revocation, c.Revocations = apple.RevocationOff, nil
	v, err := apple.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	verdict(t, v, a.sign(payload), nil)
}
