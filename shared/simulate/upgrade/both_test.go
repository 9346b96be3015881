//go:build upgrade

package upgrade_test

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"grantline/shared/simulate/upgrade"
)

// built is the simulator with this code once more, changed as an older one would differ.
func built(t *testing.T, change func(upgrade.Code)) string {
	t.Helper()
	root, overlay, _ := laid(t, change)
	binary := filepath.Join(t.TempDir(), "simulate")
	if err := upgrade.Build(t.Context(), root, overlay, binary); err != nil {
		t.Fatal(err)
	}
	return binary
}

// The older code's records call a field otherwise than this one's, so each drops what the other
// has written: whoever cancels is charged. It is found by the promise that it breaks, and by the
// command that an older commit is tried with.
func TestTwoVersionsWhoseRecordsDifferAreFound(t *testing.T) {
	t.Parallel()
	binary := built(t, func(c upgrade.Code) {
		const file, is = "shared/billing/subscription.go", `json:"ending,omitempty"`
		if bytes.Count(c[file], []byte(is)) != 1 {
			t.Fatalf("%s has no field %s", file, is)
		}
		c[file] = bytes.Replace(c[file], []byte(is), []byte(`json:"leaving,omitempty"`), 1)
	})
	said, err := exec.CommandContext(t.Context(), binary, "-world", "charging", "-versions", "both", "-people", "20", "-years", "0.8", "-seeds", "1-5", "-workers", "1").CombinedOutput()
	ended := new(exec.ExitError)
	if !errors.As(err, &ended) || ended.ExitCode() != 3 || !strings.Contains(string(said), "violation: nothing after \"you will not be charged\"") {
		t.Errorf("got %v and\n%s\nwant a broken promise of who cancelled", err, said[max(0, len(said)-2000):])
	}
	if again := "upgrade/cmd/upgrade -from before -seeds"; !strings.Contains(string(said), again) {
		t.Errorf("got no command that tells it again, want one with %q", again)
	}
}
