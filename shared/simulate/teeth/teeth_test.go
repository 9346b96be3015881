package teeth_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"grantline/shared/simulate/teeth"
)

// atLeast is how many faults the simulation has to be tried by.
const atLeast = 25

// Whoever changes what a fault changes has to plant it anew: one that cannot be planted would
// be found by nobody and missed by nobody.
func TestEachFaultCanBePlanted(t *testing.T) {
	root, err := teeth.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	faults := teeth.All()
	if len(faults) < atLeast {
		t.Errorf("there are %d faults, want at least %d", len(faults), atLeast)
	}
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)
	known := map[string]bool{}
	for _, f := range faults {
		if known[f.Name] || !name.MatchString(f.Name) {
			t.Errorf("fault %q has the name of another, or none that can be read", f.Name)
		}
		known[f.Name] = true
		if f.Is == "" || len(f.Edits) == 0 || (f.Breaks == "") == (f.Equivalent == "") {
			t.Errorf("fault %s does not say what it is, and either what it breaks or why it breaks nothing", f.Name)
		}
		if f.Run.Seeds == "" && f.Run.Sets == "" && !hasTest(t, root, f.Run) {
			t.Errorf("fault %s names no run that looks for it", f.Name)
		}
		for _, e := range f.Edits {
			if e.Old == e.New || strings.HasSuffix(e.File, "_test.go") {
				t.Errorf("fault %s changes nothing of the product in %s", f.Name, e.File)
			}
		}
		if _, err := teeth.Plant(root, t.TempDir(), f.Edits); err != nil {
			t.Errorf("fault %s: %v", f.Name, err)
		}
	}
	for _, l := range teeth.Layers() {
		if _, err := teeth.Plant(root, t.TempDir(), l.Edits); err != nil {
			t.Errorf("layer %s: %v", l.Name, err)
		}
	}
}

// hasTest says whether the unit test that a run names is there.
func hasTest(t *testing.T, root string, r teeth.Run) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, r.Of, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return r.Test != "" && slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "func "+r.Test+"(t *testing.T)")
	})
}

// All of them are built when they are looked for; one of each path shows here that the go
// command takes a fault for the product, and that the product has none.
func TestPlantedFaultsCompile(t *testing.T) {
	root, err := teeth.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	handful := map[string]string{
		"month-end-runs-over": "./shared/schedule", "debt-clamped-at-zero": "./shared/wallet", "ended-gives": "./shared/entitlement",
		"seen-is-applied": "./shared/notice",
	}
	for _, f := range teeth.All() {
		of, chosen := handful[f.Name]
		if !chosen {
			continue
		}
		delete(handful, f.Name)
		overlay, err := teeth.Plant(root, t.TempDir(), f.Edits)
		if err != nil {
			t.Fatal(err)
		}
		built := func(more ...string) []byte {
			t.Helper()
			out := filepath.Join(t.TempDir(), "package.a")
			command := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-o", out}, more...), of)...)
			command.Dir = root
			if said, err := command.CombinedOutput(); err != nil {
				t.Fatalf("fault %s does not compile: %v\n%s", f.Name, err, said)
			}
			archive, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			return archive
		}
		if string(built("-overlay", overlay)) == string(built()) {
			t.Errorf("%s with fault %s is %s without it", of, f.Name, of)
		}
	}
	for name := range handful {
		t.Errorf("there is no fault %s", name)
	}
}
