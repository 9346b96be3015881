package setting_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/aws/setting"
)

// start reads an environment and returns what was written and the exit code, -1 if the
// function went on.
func start(t *testing.T, env map[string]string, read func(*setting.Reader)) (complaints string, code int) {
	t.Helper()
	var out strings.Builder
	code = -1
	r := setting.ReadFrom(func(name string) (string, bool) { v, ok := env[name]; return v, ok }, &out, func(c int) { code = c })
	read(r)
	r.Check()
	return out.String(), code
}

func TestAGoodEnvironmentIsReadAndStarts(t *testing.T) {
	env := map[string]string{
		"TABLE_PREFIX":     "grantline-",
		"APPLE_BUNDLE_IDS": "com.example.app, com.example.other",
		"TOSS_API_URL":     "https://api.tosspayments.com/",
		"DUE_SHARDS":       "16",
		"WAIT":             "1m30s",
		"APPLE_REVOCATION": "hard",
		"DATA_KEY":         "arn:aws:kms:ap-northeast-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		"QUEUE_URL":        "http://127.0.0.1:19324/000000000000/charges",
		"SECRET_KEYS":      "arn:aws:secretsmanager:ap-northeast-2:111122223333:secret:keys-AbCdEf",
		"TOSS_SECRET_KEY":  "/grantline/toss",
		"EMPTY":            "",
	}
	complaints, code := start(t, env, func(r *setting.Reader) {
		for _, c := range []struct{ name, got, want string }{
			{"Text", r.Text("TABLE_PREFIX", "the beginning of each table's name"), "grantline-"},
			{"OptionalText", r.OptionalText("EMPTY", "otherwise"), "otherwise"},
			{"List", strings.Join(r.List("APPLE_BUNDLE_IDS", "bundle ids"), "|"), "com.example.app|com.example.other"},
			{"no List", strings.Join(r.List("EMPTY", "bundle ids"), "|"), ""},
			{"URL", r.URL("TOSS_API_URL", "the address of Toss Payments"), "https://api.tosspayments.com"},
			{"OptionalURL", r.OptionalURL("EMPTY", "an address", "https://example.com"), "https://example.com"},
			{"Choice", r.Choice("APPLE_REVOCATION", "", "soft", "hard"), "hard"},
			{"no Choice", r.Choice("EMPTY", "soft", "soft", "hard"), "soft"},
			{"ARN", r.ARN("DATA_KEY", "kms", "the ARN of a KMS key"), env["DATA_KEY"]},
			{"QueueURL", r.QueueURL("QUEUE_URL"), env["QUEUE_URL"]},
			{"Secret", r.Secret("SECRET_KEYS").String(), env["SECRET_KEYS"]},
			{"OptionalSecret", r.OptionalSecret("TOSS_SECRET_KEY").String(), "/grantline/toss"},
			{"no OptionalSecret", r.OptionalSecret("EMPTY").String(), "no secret"},
		} {
			if c.got != c.want {
				t.Errorf("%s read %q, want %q", c.name, c.got, c.want)
			}
		}
		if got := r.Int("DUE_SHARDS", 1, 64, 8); got != 16 {
			t.Errorf("Int read %d, want 16", got)
		}
		if got := r.Int("EMPTY", 1, 64, 8); got != 8 {
			t.Errorf("Int of nothing is %d, want 8", got)
		}
		if got, want := r.Duration("WAIT", time.Second, time.Hour, time.Minute), 90*time.Second; got != want {
			t.Errorf("Duration read %v, want %v", got, want)
		}
		if got := r.OptionalSecret("EMPTY").Given(); got {
			t.Error("a secret that is not configured is given")
		}
	})
	if complaints != "" || code != -1 {
		t.Errorf("got exit code %d and %q, want a start without a word", code, complaints)
	}
}

func TestEveryBadVariableGetsOneLineThatNeverShowsItsValue(t *testing.T) {
	const value = "hunter2"
	env := map[string]string{
		"BLANK":    " \t",
		"LINES":    value + "\nmore",
		"SPACED":   " " + value,
		"LIST":     value + ",,",
		"PLAIN":    "http://" + value + ".example.com",
		"USER":     "https://" + value + "@example.com",
		"QUERY":    "https://example.com/?key=" + value,
		"NUMBER":   value,
		"LARGE":    "65",
		"LENGTH":   value,
		"LONG":     "2h",
		"CHOICE":   value,
		"KEY":      "arn:aws:s3:::" + value,
		"QUEUE":    "https:///" + value,
		"NO_QUEUE": "https://sqs.example.com/",
		"BUCKET":   "arn:aws:s3:::" + value,
	}
	got, code := start(t, env, func(r *setting.Reader) {
		r.Text("MISSING", "the beginning of each table's name")
		r.Text("BLANK", "a name")
		r.Text("LINES", "a name")
		r.OptionalText("SPACED", "")
		r.List("LIST", "bundle ids")
		r.URL("PLAIN", "an address")
		r.URL("USER", "an address")
		r.OptionalURL("QUERY", "an address", "")
		r.Int("NUMBER", 1, 64, 1)
		r.Int("LARGE", 1, 64, 1)
		r.Int("LARGE", 1, 32, 1) // the first complaint is the one that is written
		r.Duration("LENGTH", time.Second, time.Hour, time.Minute)
		r.Duration("LONG", time.Second, time.Hour, time.Minute)
		r.Choice("CHOICE", "soft", "soft", "hard")
		r.Choice("MISSING_CHOICE", "", "soft", "hard")
		r.ARN("KEY", "kms", "the ARN of a KMS key")
		r.QueueURL("QUEUE")
		r.QueueURL("NO_QUEUE")
		r.Secret("BUCKET")
		r.Secret("MISSING_SECRET")
		r.Refuse("LEASE", "longer than the time-out of the function")
	})
	// The rule about http differs between builds.
	got = strings.ReplaceAll(got, ", or http:// on this machine", "")
	const address = "an address, beginning with https://, without user, query and fragment"
	want := strings.Join([]string{
		"MISSING: should be the beginning of each table's name; it is not set",
		"BLANK: should be a name; it is not set",
		"LINES: should be a name, on one line and without blanks around it",
		"SPACED: should be text, on one line and without blanks around it",
		"LIST: should be bundle ids, comma-separated, none of them empty",
		"PLAIN: should be " + address,
		"USER: should be " + address,
		"QUERY: should be " + address,
		"NUMBER: should be a whole number from 1 to 64",
		"LARGE: should be a whole number from 1 to 64",
		"LENGTH: should be a duration from 1s to 1h0m0s, such as 1m0s",
		"LONG: should be a duration from 1s to 1h0m0s, such as 1m0s",
		"CHOICE: should be one of soft, hard",
		"MISSING_CHOICE: should be one of soft, hard; it is not set",
		"KEY: should be the ARN of a KMS key",
		"QUEUE: should be the URL of an SQS queue",
		"NO_QUEUE: should be the URL of an SQS queue",
		"BUCKET: should be the ARN or name of a secret, not a value",
		"MISSING_SECRET: should be the ARN or name of a secret, not a value; it is not set",
		"LEASE: should be longer than the time-out of the function",
		"",
	}, "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("complaints (-want +got):\n%s", diff)
	}
	if code != 1 {
		t.Errorf("exit code is %d, want 1", code)
	}
	if strings.Contains(got, value) {
		t.Error("a complaint shows a value")
	}
}

func TestAWSIsConfiguredFromTheEnvironmentWhenFirstAsked(t *testing.T) {
	config := setting.AWS()
	t.Setenv("AWS_REGION", "ap-northeast-2") // after AWS, before it is asked
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	for range 2 {
		got, err := config(t.Context())
		if err != nil || got.Region != "ap-northeast-2" || got.HTTPClient == nil || got.Retryer == nil {
			t.Errorf("got region %q, client %v, retryer set %v, error %v, want ap-northeast-2 with both", got.Region, got.HTTPClient, got.Retryer != nil, err)
		}
		t.Setenv("AWS_REGION", "eu-west-1") // too late
	}
}
