// Package functions_test holds the release binaries, as they are deployed, to what every
// function promises: they start without a network, refuse what only a local run may be
// given, and hold no code for it.
package functions_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"grantline/infra/local/template"
)

const arn = "arn:aws:secretsmanager:ap-northeast-2:000000000000:secret:"

// deployed is what a deployment gives to the template's parameters.
var deployed = map[string]string{
	"PublicKeysArn": arn + "public", "SecretKeysArn": arn + "secret", "TossSecretKeyArn": arn + "toss",
	"DodoApiKeyArn": arn + "dodo", "DodoWebhookSecretsArn": arn + "webhooks",
	"AppsInTossCertificateArn": arn + "certificate", "AppsInTossKeyArn": arn + "key", "AppsInTossWebhookSecretArn": arn + "appsintoss",
	"AppleBundleIds": "com.example.app", "AppleAppId": "1234567890",
	"AppleIssuerId": "57246542-96fe-1a63-e053-0824d011072a", "AppleKeyId": "ABCDEFGHIJ", "ApplePrivateKeyArn": arn + "apple",
	"ReminderFrom": "reminders@example.com", "ReminderSms": "on", "ReminderWebhookUrl": "https://shop.example.com/reminders",
	"ReminderWebhookSecretArn": arn + "webhook", "ReminderLink": "https://shop.example.com/card?s={subscriptionId}",
	"JwtIssuer": "https://id.example.com", "JwtAudience": "grantline", "JwtKeysUrl": "https://id.example.com/keys",
}

var secrets = []string{
	"PUBLIC_KEYS", "SECRET_KEYS", "IDENTITY_KEY", "TOSS_SECRET_KEY", "APPS_IN_TOSS_CERTIFICATE", "APPS_IN_TOSS_KEY",
	"APPS_IN_TOSS_WEBHOOK_SECRET", "REMINDER_WEBHOOK_SECRET",
	"DODO_WEBHOOK_SECRETS", "DODO_API_KEY", "APPLE_PRIVATE_KEY",
}

// function is a release binary and the environment that the template gives it.
type function struct {
	name, program string
	environment   map[string]string
}

var built = sync.OnceValues(func() ([]function, error) {
	t, err := template.Load("../template.yaml", deployed)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "grantline-release-")
	if err != nil {
		return nil, err
	}
	var all []function
	for _, f := range t.Functions {
		environment, err := t.Environment(f, func(id string) string {
			return "https://sqs.ap-northeast-2.amazonaws.com/000000000000/" + id
		})
		if err != nil {
			return nil, err
		}
		for name, value := range environment {
			switch { // a secret's parameter resolves to nothing where there are no secrets
			case name == "DATA_KEY":
				environment[name] = "arn:aws:kms:ap-northeast-2:000000000000:key/0193e5b0-0000-7000-8000-000000000000"
			case slices.Contains(secrets, name):
				environment[name] = arn + name
			case value == "":
				delete(environment, name)
			}
		}
		dir := f.Name
		program := filepath.Join(folder, dir)
		build := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", program, "./"+dir)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, errors.New(string(out))
		}
		all = append(all, function{dir, program, environment})
	}
	return all, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if all, err := built(); err == nil && len(all) > 0 {
		_ = os.RemoveAll(filepath.Dir(all[0].program))
	}
	os.Exit(code)
}

func functions(tb testing.TB) []function {
	tb.Helper()
	if testing.Short() {
		tb.Skip("builds every function")
	}
	all, err := built()
	if err != nil {
		tb.Fatal(err)
	}
	if len(all) < 9 {
		tb.Fatalf("the template has %d functions, want at least nine", len(all))
	}
	return all
}

// start runs a function with changes to its environment, under a Runtime API of ours.
func (f function) start(ctx context.Context, runtime string, changes map[string]string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, f.program)
	cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + runtime, "AWS_REGION=ap-northeast-2", "AWS_ACCESS_KEY_ID=none", "AWS_SECRET_ACCESS_KEY=none",
		"AWS_LAMBDA_FUNCTION_NAME=" + f.name,
	}
	for name, value := range f.environment {
		if changed, ok := changes[name]; ok {
			value = changed
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func TestReleaseBinariesHoldNoLocalCode(t *testing.T) {
	for _, f := range functions(t) {
		content, err := os.ReadFile(f.program)
		if err != nil {
			t.Fatal(err)
		}
		for _, only := range []string{"GRANTLINE_CLOCK_FILE", "LOCAL_DATA_KEY", "APPLE_ROOT_CERTIFICATES", "APPS_IN_TOSS_CA", "APPS_IN_TOSS_FAKE_SKU"} {
			if bytes.Contains(content, []byte(only)) {
				t.Errorf("%s knows %s, which exists only locally", f.name, only)
			}
		}
	}
}

func TestReleaseBinariesRefuseSecretsGivenAsTheyAre(t *testing.T) {
	const literal = "test_sk_literal0123456789"
	for _, f := range functions(t) {
		for _, name := range append([]string{"DATA_KEY"}, secrets...) {
			if _, has := f.environment[name]; !has {
				continue
			}
			t.Run(f.name+"/"+name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				out, err := f.start(ctx, "127.0.0.1:1", map[string]string{name: literal}).CombinedOutput()
				if ended, ok := errors.AsType[*exec.ExitError](err); !ok || ended.ExitCode() != 1 {
					t.Fatalf("it ended with %v and said %q, want exit code 1", err, out)
				}
				lines := strings.Split(strings.TrimSpace(string(out)), "\n")
				if len(lines) != 1 || !strings.HasPrefix(lines[0], name+": should be ") || strings.Contains(lines[0], literal) {
					t.Errorf("it said %q, want one line that names %s, says what it should be and not what it is", out, name)
				}
			})
		}
	}
}

func TestBadConfigurationStopsAFunctionAtItsStart(t *testing.T) {
	for _, c := range []struct{ function, name, value string }{
		{"verify", "TABLE_PREFIX", ""},
		{"verify", "APPS_IN_TOSS_API_URL", "http://127.0.0.1:1"},
		{"verify", "APPLE_APP_ID", "many"},
		{"verify", "PUBLIC_KEY_CUSTOMERS", "perhaps"},
		{"verify", "JWT_KEYS_URL", "http://id.example.com"},
		{"verify", "JWT_AUDIENCE", ""},
		{"api", "TOSS_API_URL", "http://api.tosspayments.com"},
		{"api", "DUE_SHARDS", "0"},
		{"api", "TOSS_CHARGE_QUEUE_URL", "queue"},
		{"charge", "CHARGE_LEASE", "60s"},
		{"charge", "TOSS_TIMEOUT", "soon"},
		{"api", "SIGNUP_TIMEOUT", "65s"},
		{"charge-fanout", "TOSS_PACE_PER_MINUTE", "-1"},
		{"deliver", "REMINDER_FROM", "Grantline <reminders@example.com>"},
		{"deliver", "REMINDER_SMS", "perhaps"},
		{"deliver", "REMINDER_WEBHOOK_URL", "http://127.0.0.1:1"},
		{"deliver", "REMINDER_WEBHOOK_SECRET", ""},
		{"deliver", "REMINDER_LINK", "https://{subscriptionId}.example.com/"},
		{"toss-webhook", "NOTICES_QUEUE_URL", ""},
		{"dodo-webhook", "NOTICES_QUEUE_URL", "queue"},
		{"appsintoss-webhook", "NOTICES_QUEUE_URL", ""},
		{"charge", "DODO_TIMEOUT", "a while"},
		{"charge", "DODO_API_URL", "http://live.dodopayments.com"},
		{"sweep", "DODO_API_URL", "live.dodopayments.com"},
		{"sweep", "TABLE_PREFIX", ""},
		{"publish-fanout", "EVENT_SCOPES", "default"},
		{"publish-fanout", "EVENTS_QUEUE_URL", "queue"},
		{"publish", "PUBLISH_LEASE", "60s"},
		{"publish", "TABLE_PREFIX", ""},
		{"notices", "TABLE_PREFIX", ""},
		{"notices", "CHARGE_LEASE", "60s"},
		{"notices", "NOTICES_VISIBILITY", "soon"},
		{"notices", "TOSS_API_URL", "http://api.tosspayments.com"},
	} {
		t.Run(c.function+"/"+c.name, func(t *testing.T) {
			all := functions(t)
			f := all[slices.IndexFunc(all, func(f function) bool { return f.name == c.function })]
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := f.start(ctx, "127.0.0.1:1", map[string]string{c.name: c.value}).CombinedOutput()
			if ended, ok := errors.AsType[*exec.ExitError](err); !ok || ended.ExitCode() != 1 || !strings.HasPrefix(string(out), c.name+": should be ") {
				t.Errorf("it ended with %v and said %q, want exit code 1 and a line on %s", err, out, c.name)
			}
		})
	}
}

// runtimeAPI answers nothing and tells when it was first asked for an event.
func runtimeAPI(tb testing.TB) (address string, asked <-chan struct{}) {
	first := make(chan struct{}, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		first <- struct{}{}
		<-r.Context().Done()
	}))
	tb.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), first
}

func TestAFunctionReachesItsFirstEventWithoutANetwork(t *testing.T) {
	var calls atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, f := range functions(t) {
		t.Run(f.name, func(t *testing.T) {
			runtime, asked := runtimeAPI(t)
			cmd := f.start(t.Context(), runtime, nil)
			// Whatever it might want to ask goes to a proxy that counts.
			cmd.Env = append(cmd.Env, "HTTP_PROXY="+elsewhere.URL, "HTTPS_PROXY="+elsewhere.URL, "NO_PROXY=127.0.0.1", "AWS_ENDPOINT_URL="+elsewhere.URL)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			select {
			case <-asked:
			case <-time.After(time.Minute):
				t.Fatalf("it asked for no event within a minute and said %q", out.String())
			}
			if n := calls.Load(); n != 0 {
				t.Errorf("it made %d calls to elsewhere before its first event", n)
			}
		})
	}
}

// BenchmarkStart is the time from exec to the first request for an event.
func BenchmarkStart(b *testing.B) {
	for _, f := range functions(b) {
		b.Run(f.name, func(b *testing.B) {
			runtime, asked := runtimeAPI(b)
			for b.Loop() {
				cmd := f.start(b.Context(), runtime, nil)
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				<-asked
				b.StopTimer()
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				b.StartTimer()
			}
		})
	}
}
