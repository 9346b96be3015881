package apple_test

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/token.jws, its root and the seeds of FuzzTransaction anew")

// committed is the token in testdata and a verifier that trusts its root.
func committed(t testing.TB) (string, *apple.Verifier) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join("testdata", "token.jws"))
	if err != nil {
		t.Fatal(err)
	}
	der, err := os.ReadFile(filepath.Join("testdata", "token-root.der"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(token)), newVerifier(t, root)
}

func writeCommitted(t *testing.T) {
	t.Helper()
	a := newAuthority(t)
	token := a.sign(payload)
	parts := strings.Split(token, ".")
	x5c := a.x5c()
	write := func(text, name string) {
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(token+"\n", filepath.Join("testdata", "token.jws"))
	write(string(a.certs[root].Raw), filepath.Join("testdata", "token-root.der"))
	for name, seed := range map[string]string{
		"genuine":          token,
		"no-signature":     parts[0] + "." + parts[1] + ".",
		"payload-edited":   parts[0] + "." + segment(swap(t, payload, `"quantity":1`, `"quantity":2`)) + "." + parts[2],
		"alg-none":         segment(swap(t, header(x5c), "ES256", "none")) + "." + parts[1] + "." + parts[2],
		"crit":             segment(swap(t, header(x5c), `{"alg"`, `{"crit":["b64"],"alg"`)) + "." + parts[1] + "." + parts[2],
		"two-certificates": segment(header(x5c[:2])) + "." + parts[1] + "." + parts[2],
		"root-junk":        segment(header([]string{x5c[0], x5c[1], "AAAA"})) + "." + parts[1] + "." + parts[2],
		"upside-down":      segment(header([]string{x5c[2], x5c[1], x5c[0]})) + "." + parts[1] + "." + parts[2],
		"padded":           token + "==",
		"four-segments":    token + "." + parts[2],
		"short":            "a.b.c",
	} {
		write(fmt.Sprintf("go test fuzz v1\nstring(%q)\n", seed), filepath.Join("testdata", "fuzz", "FuzzTransaction", name))
	}
}

func TestCommittedTokenIsGenuine(t *testing.T) {
	if *rewrite {
		writeCommitted(t)
	}
	token, v := committed(t)
	got, err := v.Transaction(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if want := "2000000912345678"; got.TransactionID != want {
		t.Errorf("transaction %q, want %q", got.TransactionID, want)
	}
}

// No text but the genuine header and payload, with a signature of the leaf's key, is
// ever accepted, and no text makes it panic. (A signature has a second form, s for
// order-s, which says the same about the same bytes.)
func FuzzTransaction(f *testing.F) {
	token, v := committed(f)
	signed := token[:strings.LastIndexByte(token, '.')]
	want, err := v.Transaction(f.Context(), token)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := v.Transaction(t.Context(), text)
		if err != nil {
			mustBeRefusal(t, err)
			if diff := cmp.Diff(apple.Transaction{}, got); diff != "" {
				t.Errorf("a refused token gave something (-want +got):\n%s", diff)
			}
			return
		}
		if cut := strings.LastIndexByte(text, '.'); text[:cut] != signed {
			t.Fatalf("accepted %q, which was never signed", text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Genuinely signed payloads of any content: no panic, and nothing accepted that another
// reader of JSON would read otherwise.
func FuzzPayload(f *testing.F) {
	a := genuine(f)
	v := newVerifier(f, a.certs[root])
	store := apple.NewStore(apple.StoreConfig{Verifier: v})
	f.Add([]byte(payload))
	for _, seed := range []string{
		`{}`, `null`, `{"signedDate":1768478400000}`, `{"signedDate":1768478400000.5,"bundleId":"com.example.app","environment":"Sandbox","transactionId":"1","originalTransactionId":"1","productId":"x"}`,
		swap(f, payload, `"bundleId"`, `"BundleId"`), swap(f, payload, `"quantity":1`, `"quantity":1,"exp":1e400`), swap(f, payload, `"price":4900000`, `"price":-9223372036854775809`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		token := a.sign(string(data))
		got, err := v.Transaction(t.Context(), token)
		if err != nil {
			mustBeRefusal(t, err)
			return
		}
		var want map[string]any
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("accepted %q, which encoding/json refuses: %v", data, err)
		}
		for name, value := range map[string]string{
			"bundleId": got.BundleID, "environment": string(got.Environment), "productId": got.ProductID,
			"transactionId": got.TransactionID, "originalTransactionId": got.OriginalTransactionID,
		} {
			if want[name] != value {
				t.Errorf("%s is %q, want %v", name, value, want[name])
			}
		}
		if got.BundleID != "com.example.app" || (got.Environment != apple.Production && got.Environment != apple.Sandbox) {
			t.Errorf("accepted %q of %q", got.BundleID, got.Environment)
		}
		sale, _, err := store.Read(t.Context(), purchase.Proof{Store: apple.Name, Evidence: token})
		if err == nil && (sale.Quantity < 1 || sale.Price < 0 || sale.AsOf.IsZero() || sale.PurchasedAt.IsZero() || sale.WillRenew && sale.Until.IsZero()) {
			t.Errorf("an impossible sale: %+v", sale)
		}
	})
}

func mustBeRefusal(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, fault.Malformed) && !errors.Is(err, fault.Invalid) {
		t.Errorf("error %v is neither malformed nor invalid", err)
	}
	if fault.Code(err) != apple.CodeInvalid {
		t.Errorf("code %q, want %q", fault.Code(err), apple.CodeInvalid)
	}
}
