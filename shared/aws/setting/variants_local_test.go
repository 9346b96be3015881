//go:build local

package setting_test

import (
	"testing"

	"grantline/shared/aws/setting"
)

func TestALocalBuildTakesSimulatorsAndLiterals(t *testing.T) {
	env := map[string]string{
		"LOOPBACK": "http://127.0.0.1:4000/toss/",
		"SIX":      "http://[::1]:4000",
		"NAMED":    "http://localhost:4000",
		"LITERAL":  "test_sk_abc",
		"PEM":      "/tmp/client.pem",
	}
	complaints, code := start(t, env, func(r *setting.Reader) {
		if got, want := r.URL("LOOPBACK", "an address"), "http://127.0.0.1:4000/toss"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		r.URL("SIX", "an address")
		r.URL("NAMED", "an address")
		if got := r.Secret("LITERAL"); !got.Given() || got.String() != "a secret of this machine" {
			t.Errorf("a literal is %v, given %v", got, got.Given())
		}
		if got := r.OptionalSecretFile("PEM"); !got.Given() || got.String() != "a secret of this machine" {
			t.Errorf("a file is %v, given %v", got, got.Given())
		}
	})
	if complaints != "" || code != -1 {
		t.Errorf("got exit code %d and %q, want a start without a word", code, complaints)
	}
}

func TestALocalBuildStillRefusesPlainHTTPElsewhere(t *testing.T) {
	for _, address := range []string{"http://10.0.0.1", "http://example.com", "http://127.0.0.1.example.com", "ftp://127.0.0.1", "http://"} {
		if _, code := start(t, map[string]string{"A": address}, func(r *setting.Reader) { r.URL("A", "an address") }); code != 1 {
			t.Errorf("%s: exit code is %d, want 1", address, code)
		}
	}
}
