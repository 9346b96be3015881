//go:build !local

package secret_test

import (
	"errors"
	"testing"

	"grantline/shared/aws/secret"
)

func TestAReleaseBuildRefusesValuesAndFiles(t *testing.T) {
	for _, text := range []string{
		"test_sk_abc",
		"-----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY-----",
		"grantline/toss",
		"./client.pem",
		"default/production=pk_abc",
		"//+base64==",
		"/with blank",
		"/",
		"/a/",
		"/a:",
		"/a:b:c",
		" /grantline/toss",
		"/grantline/toss\n",
	} {
		for name, parse := range map[string]func(string) (secret.Reference, error){"Parse": secret.Parse, "ParseFile": secret.ParseFile} {
			if got, err := parse(text); !errors.Is(err, secret.ErrNotReference) || got.Given() {
				t.Errorf("%s(%q) is %v with error %v, want %v", name, text, got, err, secret.ErrNotReference)
			}
		}
	}
}
