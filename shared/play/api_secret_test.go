package play_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"grantline/shared/play"
)

// Whatever fails, and in whose words: nothing of what was asked, and nothing that proves
// who we are, is told.
func TestNoErrorAndNoLineHoldsWhatIsNobodysBusiness(t *testing.T) {
	inLambda(t)
	said := strings.Join([]string{apiToken, apiOrder, apiProduct, apiEmail, apiAccess}, " ")
	secrets := []string{apiToken, url.PathEscape(apiToken), apiOrder, apiProduct, apiEmail, apiAccess, "BEGIN PRIVATE", "secret-of-the-role", "session-of-the-role", "federated", "pending-refund", "account-of-somebody", "page-of-a-list", "127.0.0.1", "http"}
	calls := map[string]func(context.Context, *play.API) error{
		"Product": apiRead, "ConsumeProduct": apiEffect,
		"Subscription": func(ctx context.Context, a *play.API) error {
			_, _, err := a.Subscription(ctx, apiPackage, apiToken)
			return err
		},
		"AcknowledgeProduct": func(ctx context.Context, a *play.API) error {
			return a.AcknowledgeProduct(ctx, apiPackage, apiProduct, apiToken)
		},
		"AcknowledgeSubscription": func(ctx context.Context, a *play.API) error {
			return a.AcknowledgeSubscription(ctx, apiPackage, apiProduct, apiToken, "account-of-somebody")
		},
		"Orders": func(ctx context.Context, a *play.API) error {
			_, err := a.Orders(ctx, apiPackage, []string{apiOrder, apiOrder + "1"})
			return err
		},
		"Voided": func(ctx context.Context, a *play.API) error {
			_, _, err := a.Voided(ctx, apiPackage, time.Time{}, time.Time{}, "page-of-a-list")
			return err
		},
		"Refund": func(ctx context.Context, a *play.API) error { return a.Refund(ctx, apiPackage, apiOrder, false) },
		"ReviewRefund": func(ctx context.Context, a *play.API) error {
			return a.ReviewRefund(ctx, apiPackage, apiOrder, aReview())
		},
		"OneTimeProducts": func(ctx context.Context, a *play.API) error {
			_, err := a.OneTimeProducts(ctx, apiPackage)
			return err
		},
		"Subscriptions": func(ctx context.Context, a *play.API) error {
			_, err := a.Subscriptions(ctx, apiPackage)
			return err
		},
	}
	quoting := apiTripper(func(r *http.Request) (*http.Response, error) {
		return nil, &url.Error{Op: r.Method, URL: r.URL.String() + said, Err: errors.New(said)}
	})
	type world struct {
		turn   apiTurn
		change func(*google, *play.APIConfig)
	}
	worlds := map[string]world{
		"no JSON":   {apiSays(said), nil},
		"redirect":  {apiTurn{status: 302, header: http.Header{"Location": {"https://example.com/" + apiToken}}}, nil},
		"reset":     {apiTurn{how: "reset"}, nil},
		"cut":       {apiTurn{status: 200, body: said, how: "cut"}, nil},
		"too large": {apiSays(strings.Repeat(said, 1<<17)), nil},
		"no net":    {apiTurn{}, func(_ *google, c *play.APIConfig) { c.Transport = quoting }},
		"dial":      {apiTurn{}, func(g *google, _ *play.APIConfig) { g.server.Close() }},
		"no trust":  {apiTurn{}, func(_ *google, c *play.APIConfig) { c.Transport = nil }},
		"no credentials": {apiTurn{}, func(_ *google, c *play.APIConfig) {
			c.Credentials = func(context.Context, bool) (string, error) { return "", errors.New(said) }
		}},
		"odd credentials": {apiTurn{}, func(_ *google, c *play.APIConfig) {
			c.Credentials = func(context.Context, bool) (string, error) { return said, nil }
		}},
		"no key": {apiTurn{}, func(g *google, c *play.APIConfig) {
			g.secrets = []string{g.account(apiKeys()[0], func(m map[string]any) { m["private_key"] = "-----BEGIN PRIVATE KEY-----\n" + said })}
		}},
		"no grant": {apiTurn{}, func(g *google, _ *play.APIConfig) {
			g.grant = func(asked apiAsked) apiTurn { return apiTurn{status: 400, body: said + asked.body} }
		}},
		"no federation": {apiTurn{}, func(g *google, c *play.APIConfig) {
			var hosts []string
			g.toItself(&hosts)(c)
			g.secrets = []string{federated()}
			g.grant = func(asked apiAsked) apiTurn { return apiTurn{status: 400, body: said + asked.body} }
		}},
		"federation reset": {apiTurn{}, func(g *google, c *play.APIConfig) {
			c.Transport = quoting
			g.secrets = []string{federated()}
		}},
	}
	for status := range map[int]bool{400: true, 401: true, 403: true, 404: true, 409: true, 410: true, 418: true, 429: true, 500: true, 503: true} {
		worlds[fmt.Sprint(status)] = world{apiFails(status, said, said), nil}
		worlds[fmt.Sprint(status, " of nobody")] = world{apiTurn{status: status, body: said}, nil}
	}
	for name, w := range worlds {
		g := newGoogle(t, w.turn)
		a := g.api(func(c *play.APIConfig) {
			if w.change != nil {
				w.change(g, c)
			}
		})
		for method, call := range calls {
			if name == "cut" && method != "Product" {
				continue // as reset, and slower
			}
			err := call(t.Context(), a)
			if method == "Orders" && (name == "404" || name == "410") {
				continue // which are absent
			}
			if err == nil {
				t.Errorf("%s, %s: got no error", name, method)
				continue
			}
			for _, secret := range secrets {
				if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, secret) {
					t.Errorf("%s, %s: got %s, which holds %s", name, method, text, secret)
				}
			}
		}
		for _, secret := range secrets {
			if strings.Contains(g.log.String(), secret) {
				t.Errorf("%s: the log holds %s: %.300s", name, secret, g.log)
			}
		}
	}
}

// The generated client can be told by the environment to log whole requests.
func TestTheGeneratedClientLogsNothing(t *testing.T) {
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	read := apiStdio(t)
	g := newGoogle(t, apiSays(aProduct))
	if err := apiRead(t.Context(), g.api()); err != nil {
		t.Fatal(err)
	}
	g.answers(apiSays(``))
	if err := apiEffect(t.Context(), g.api()); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != "" {
		t.Errorf("got %.300s, want nothing", got)
	}
}

// apiStdio catches what is written to the process's output.
func apiStdio(t *testing.T) func() string {
	name := filepath.Join(t.TempDir(), "stdio")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	out, errs := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = file, file
	restore := func() { os.Stdout, os.Stderr = out, errs }
	t.Cleanup(func() { restore(); file.Close() })
	return func() string {
		restore()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}
