package journeys_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"grantline/infra/local/stack"
)

// more are products that the sample catalog lacks.
const more = `
    {"id": "premium_short", "kind": "subscription", "entitlement": "premium", "stores": {"play": "premium:short-prepaid"}},
    {"id": "premium_installments", "kind": "subscription", "entitlement": "premium", "stores": {"play": "premium:installments"}},
    {"id": "extra", "kind": "subscription", "entitlement": "extra", "stores": {"play": "extra:monthly"}},`

// A deployer replaces the catalog and nothing else: what Google Play sells besides is granted,
// with add-ons, in installments, and paid in advance.
func TestAnotherCatalogSellsAtGooglePlay(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "catalog", "play-prepaid.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tell(t, start(t, func(o *stack.Options) {
		o.Tools = filepath.Join(o.Root, ".tools")
		o.Root = fork(t, o.Root)
	}), string(text))
}

// fork copies what functions are built from, with more in the catalog.
func fork(t *testing.T, root string) string {
	t.Helper()
	to := t.TempDir()
	for _, folder := range []string{"functions", "shared"} {
		if err := os.CopyFS(filepath.Join(to, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum", "template.yaml", filepath.Join("shared", "catalog", "catalog.json")} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(name) == ".json" {
			text = bytes.Replace(text, []byte(`"products": [`), []byte(`"products": [`+more), 1)
		}
		if err := os.WriteFile(filepath.Join(to, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
