package stack

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"grantline/infra/local/identity"
	"grantline/infra/local/outbox"
	"grantline/infra/local/template"
)

// providers are the variables of the world outside. One that is set where the stack is
// started reaches the functions as it is, in place of what a simulator would say.
var providers = []string{
	"APPLE_API_URL", "APPLE_SANDBOX_API_URL", "APPLE_ROOT_CERTIFICATES", "APPLE_REVOCATION", "APPLE_BUNDLE_IDS",
	"APPLE_APP_ID", "APPLE_ISSUER_ID", "APPLE_KEY_ID", "APPLE_PRIVATE_KEY", "APPLE_CONSUMPTION",
	"PLAY_API_URL", "PLAY_PACKAGE_NAMES", "PLAY_CREDENTIALS", "PLAY_PUSH_AUDIENCE", "PLAY_PUSH_EMAIL", "PLAY_PUSH_KEYS_URL",
	"PLAY_PUSH_SUBSCRIPTION", "PLAY_REFUND_REVIEW",
	"APPS_IN_TOSS_API_URL", "APPS_IN_TOSS_CERTIFICATE", "APPS_IN_TOSS_KEY", "APPS_IN_TOSS_CA", "APPS_IN_TOSS_WEBHOOK_SECRET",
	"APPS_IN_TOSS_FAKE_SKU",
	"TOSS_API_URL", "TOSS_SECRET_KEY",
	"DODO_API_URL", "DODO_API_KEY", "DODO_WEBHOOK_SECRETS",
	"PUBLIC_KEYS", "SECRET_KEYS", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_KEYS_URL",
	"IDENTITY_KEY", "LOCAL_DATA_KEY",
	"REMINDER_FROM", "REMINDER_SMS", "REMINDER_WEBHOOK_URL", "REMINDER_WEBHOOK_SECRET", "REMINDER_LINK",
}

// audience of the sample identity provider's tokens.
const audience = "grantline-sample"

// keyPair is what the company's apps and servers call with.
type keyPair struct {
	Public string `json:"publicKey"`
	Secret string `json:"secretKey"`
}

// keys of the default project, by environment.
type keys map[string]keyPair

var environments = []string{"production", "sandbox"}

// makeKeys makes the sample project's keys, identity provider and outbox, except where the
// person who starts the stack has brought their own.
func (s *Stack) makeKeys() error {
	s.keys = keys{}
	public, secret := s.ownKeys("PUBLIC_KEYS"), s.ownKeys("SECRET_KEYS")
	for _, environment := range environments {
		pair := keyPair{Public: "pk_" + random(), Secret: "sk_" + random()}
		if public != nil {
			pair.Public = public[environment]
		}
		if secret != nil {
			pair.Secret = secret[environment]
		}
		s.keys[environment] = pair
	}
	for _, name := range []string{"JWT_ISSUER", "JWT_AUDIENCE", "JWT_KEYS_URL"} {
		if _, set := s.options.Outside(name); set {
			s.foreign = true
		}
	}
	s.webhook = "whsec_" + base64.StdEncoding.EncodeToString([]byte(random()))
	if own, set := s.options.Outside("REMINDER_WEBHOOK_SECRET"); set {
		s.webhook = own
	}
	s.outbox = outbox.New(outbox.Options{Secrets: s.webhook, Now: s.clock.Now})
	var err error
	s.identity, err = identity.New(s.URL()+"/_local", audience, s.clock.Now)
	return err
}

// ownKeys reads the default project's keys out of a variable of the form
// project/environment=key,… ; nil when it is not set.
func (s *Stack) ownKeys(name string) map[string]string {
	text, set := s.options.Outside(name)
	if !set {
		return nil
	}
	own := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		whose, key, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if environment, ok := strings.CutPrefix(whose, "default/"); ok {
			own[environment] = key
		}
	}
	return own
}

// localValues are what a deployment would have as secrets and parameters.
func (s *Stack) localValues() map[string]string {
	values := s.sim.Env()
	list := func(of func(keyPair) string) string {
		var pairs []string
		for _, environment := range environments {
			pairs = append(pairs, "default/"+environment+"="+of(s.keys[environment]))
		}
		return strings.Join(pairs, ",")
	}
	values["PUBLIC_KEYS"] = list(func(k keyPair) string { return k.Public })
	values["SECRET_KEYS"] = list(func(k keyPair) string { return k.Secret })
	values["APPLE_CONSUMPTION"] = "on" // the sample project's customers consented
	values["PLAY_REFUND_REVIEW"] = "on"
	values["REMINDER_FROM"] = "reminders@example.com"
	values["REMINDER_SMS"] = "on"
	values["REMINDER_WEBHOOK_URL"] = s.URL() + outboxPath + "/webhook"
	values["REMINDER_WEBHOOK_SECRET"] = s.webhook
	values["REMINDER_LINK"] = "https://app.example.com/subscriptions/{subscriptionId}/card"
	values["IDENTITY_KEY"] = random()
	values["LOCAL_DATA_KEY"] = random()
	if !s.foreign {
		values["JWT_ISSUER"] = s.URL() + "/_local"
		values["JWT_AUDIENCE"] = audience
		values["JWT_KEYS_URL"] = s.URL() + "/_local/jwks"
	}
	for _, name := range providers {
		if value, set := s.options.Outside(name); set {
			values[name] = value
		}
	}
	return values
}

// environment is all that a function's process sees: what the template declares for it, with
// local values under the same names, what exists only locally, and what Lambda sets.
func (s *Stack) environment(f template.Function) ([]string, error) {
	declared := map[string]bool{} // by any function
	var own map[string]string
	for _, other := range s.template.Functions {
		variables, err := s.template.Environment(other, s.queueURL)
		if err != nil {
			return nil, err
		}
		for name := range variables {
			declared[name] = true
		}
		if other.Name == f.Name {
			own = variables
		}
	}
	for name := range own {
		if value, set := s.options.Outside(name); set && !strings.HasPrefix(name, "AWS_") {
			own[name] = value
		}
	}
	if s.values == nil {
		s.values = s.localValues()
	}
	for name, value := range s.values {
		// A name that another function declares is that function's. One that none declares
		// exists only in local binaries.
		if _, mine := own[name]; mine || !declared[name] {
			own[name] = value
		}
	}
	maps.Copy(own, s.lambdaVariables(f))
	maps.Copy(own, s.options.Variables)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(own)) {
		list = append(list, name+"="+own[name])
	}
	return list, nil
}

// lambdaVariables are those of the execution environment (Lambda developer guide, "Defined
// runtime environment variables"), and where this machine has tables, queues and the clock.
func (s *Stack) lambdaVariables(f template.Function) map[string]string {
	v := map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB":       s.dynamoDB,
		"AWS_ENDPOINT_URL_SQS":            s.sqs,
		"AWS_ENDPOINT_URL_SESV2":          s.URL() + outboxPath + "/ses",
		"AWS_ENDPOINT_URL_SNS":            s.URL() + outboxPath + "/sns",
		"AWS_ACCESS_KEY_ID":               accessKey,
		"AWS_SECRET_ACCESS_KEY":           accessKey,
		"AWS_REGION":                      template.Region,
		"AWS_DEFAULT_REGION":              template.Region,
		"AWS_EC2_METADATA_DISABLED":       "true", // there is no such service to wait for
		"AWS_EXECUTION_ENV":               "AWS_Lambda_provided.al2023",
		"AWS_LAMBDA_FUNCTION_NAME":        f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      "local",
		"AWS_LAMBDA_LOG_FORMAT":           f.LogFormat,
		"_HANDLER":                        "bootstrap",
		"LAMBDA_TASK_ROOT":                s.folder,
		"LANG":                            "en_US.UTF-8",
		"TZ":                              ":UTC",
		"TMPDIR":                          s.folder,
		"GRANTLINE_CLOCK_FILE":            fmt.Sprintf("%s/clock", s.folder),
	}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} { // where this machine keeps its trust anchors
		if value, set := s.options.Outside(name); set {
			v[name] = value
		}
	}
	return v
}
