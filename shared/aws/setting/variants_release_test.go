//go:build !local

package setting_test

import (
	"testing"

	"grantline/shared/aws/setting"
)

func TestAReleaseBuildRefusesLiteralsFilesAndPlainHTTP(t *testing.T) {
	env := map[string]string{
		"TOSS_SECRET_KEY": "test_sk_abc",
		"CERTIFICATE":     "./client.pem",
		"TOSS_API_URL":    "http://127.0.0.1:4000/toss",
	}
	got, code := start(t, env, func(r *setting.Reader) {
		r.Secret("TOSS_SECRET_KEY")
		r.OptionalSecretFile("CERTIFICATE")
		r.URL("TOSS_API_URL", "the address of the Toss Payments API")
	})
	const want = "TOSS_SECRET_KEY: should be the ARN or name of a secret, not a value\n" +
		"CERTIFICATE: should be the ARN or name of a secret, not a value\n" +
		"TOSS_API_URL: should be the address of the Toss Payments API, beginning with https://, without user, query and fragment\n"
	if got != want || code != 1 {
		t.Errorf("got exit code %d and\n%swant 1 and\n%s", code, got, want)
	}
}
