package upgrade_test

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"grantline/shared/simulate/teeth"
	"grantline/shared/simulate/upgrade"
)

// laid is the overlay of this code once more, changed as an older one would differ, and the files
// in it by their places in the module.
func laid(t *testing.T, change func(upgrade.Code)) (root, overlay string, files map[string]string) {
	t.Helper()
	root, err := teeth.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	code, err := upgrade.Now(root)
	if err != nil {
		t.Fatal(err)
	}
	change(code)
	if overlay, err = code.Overlay(root, t.TempDir(), "before"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(overlay)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return root, overlay, list.Replace
}

// Whatever of the product the older version had in common with the newer one would be under no
// trial.
func TestTheOlderVersionSharesNothingButPorts(t *testing.T) {
	t.Parallel()
	root, _, files := laid(t, func(upgrade.Code) {})
	shared, found := map[string]bool{}, map[string]bool{}
	for file, copied := range files {
		older := filepath.Join(root, "shared", "older") + string(filepath.Separator)
		if !strings.HasPrefix(file, older) || !strings.HasSuffix(file, ".go") {
			continue
		}
		found[filepath.ToSlash(filepath.Dir(strings.TrimPrefix(file, older)))] = true
		parsed, err := parser.ParseFile(token.NewFileSet(), copied, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if in, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), "grantline/"); ours && !strings.HasPrefix(in, "shared/older/") {
				shared[in] = true
			}
		}
	}
	for in := range shared {
		if in != "shared/clock" && in != "shared/fault" && in != "shared/table" && in != "shared/simulate/version" {
			t.Errorf("both versions have one %s, want one of each", in)
		}
	}
	for _, in := range []string{"billing", "customer", "delivery", "dodo", "event", "notice", "schedule", "sweep", "toss", "wallet", "simulate/release"} {
		if !found[in] {
			t.Errorf("the older version has no %s of its own", in)
		}
	}
}

// All of it is built by `make upgrade`; one package shows here that the go command takes what is
// not there, with what is embedded in it.
func TestTheOlderVersionCompilesBesideThisOne(t *testing.T) {
	t.Parallel()
	root, overlay, _ := laid(t, func(upgrade.Code) {})
	command := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", filepath.Join(t.TempDir(), "package.a"), "./shared/older/catalog")
	command.Dir = root
	if said, err := command.CombinedOutput(); err != nil {
		t.Errorf("got %v, want the older catalog compiled\n%s", err, said)
	}
}
