package apple_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"grantline/shared/apple"
)

func apiConfig() apple.APIConfig {
	return apple.APIConfig{
		URL: apple.APIURL, SandboxURL: apple.APISandboxURL, IssuerID: apiIssuer, KeyID: apiKeyID,
		PrivateKey: func(context.Context, bool) (string, error) { return "", nil },
		Clock:      &manualClock{now: apiNow}, Log: slog.New(slog.DiscardHandler),
	}
}

func TestAPIConfigThatCannotWorkIsRefused(t *testing.T) {
	for _, url := range []string{apple.APIURL, apple.APIURL + "/", "https://127.0.0.1:4000", "https://[::1]:4000"} {
		c := apiConfig()
		c.URL, c.SandboxURL = url, url
		if _, err := apple.NewAPI(c); err != nil {
			t.Errorf("%s: got %v, want no error", url, err)
		}
	}
	type change = func(*apple.APIConfig)
	spoiled := map[string][]change{
		"IssuerID": {
			func(c *apple.APIConfig) { c.IssuerID = "" }, func(c *apple.APIConfig) { c.IssuerID = "a b" },
			func(c *apple.APIConfig) { c.IssuerID = strings.Repeat("a", 65) },
		},
		"KeyID":      {func(c *apple.APIConfig) { c.KeyID = "" }, func(c *apple.APIConfig) { c.KeyID = "a\n" }},
		"PrivateKey": {func(c *apple.APIConfig) { c.PrivateKey = nil }},
		"Attempt":    {func(c *apple.APIConfig) { c.Attempt = -time.Second }},
		"Clock":      {func(c *apple.APIConfig) { c.Clock = nil }},
		"Log":        {func(c *apple.APIConfig) { c.Log = nil }},
	}
	for _, url := range []string{
		"", "api.example", "http://api.example", "http://10.0.0.1", "https://a:b@api.example", "https://api.example?a=b", "https://api.example?", "https://api.example#a",
		"ftp://api.example", "https://api.example\n", "https://", "https://:443", "http://127.0.0.1.example", "https://api.example/inApps", "https://127.0.0.1:4000/apple",
	} {
		spoiled["apple: URL"] = append(spoiled["apple: URL"], func(c *apple.APIConfig) { c.URL = url })
		spoiled["SandboxURL"] = append(spoiled["SandboxURL"], func(c *apple.APIConfig) { c.SandboxURL = url })
	}
	for field, changes := range spoiled {
		for i, change := range changes {
			c := apiConfig()
			change(&c)
			if _, err := apple.NewAPI(c); err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%s, change %d: got %v, want an error that names it", field, i, err)
			}
		}
	}
}

// Whether this machine may be asked without TLS, and under a path, is decided by the build
// alone.
func TestPlainAPIIsForALocalBuildOnThisMachine(t *testing.T) {
	for _, url := range []string{"http://127.0.0.1:4000/apple", "http://localhost:4000", "http://[::1]:4000/apple/sandbox/"} {
		c := apiConfig()
		c.URL, c.SandboxURL = url, url
		if _, err := apple.NewAPI(c); (err == nil) != plainAPIAllowed {
			t.Errorf("%s: got %v, want it allowed: %v", url, err, plainAPIAllowed)
		}
	}
}

func TestAPIsAddressesAreApples(t *testing.T) {
	if apple.APIURL != "https://api.storekit.apple.com" || apple.APISandboxURL != "https://api.storekit-sandbox.apple.com" {
		t.Errorf("got %s and %s, want the hosts of May 2026", apple.APIURL, apple.APISandboxURL)
	}
}

// A connection is bounded in every direction.
func TestAPIConnectionIsBounded(t *testing.T) {
	transport := apple.APITransport()
	if transport.MaxIdleConns == 0 || transport.MaxIdleConnsPerHost == 0 || transport.IdleConnTimeout == 0 ||
		transport.TLSHandshakeTimeout == 0 || transport.MaxResponseHeaderBytes == 0 || !transport.DisableCompression {
		t.Errorf("got %d idle, %d per host, %v idle, %v handshake, %d bytes of header, want each bounded and nothing inflated",
			transport.MaxIdleConns, transport.MaxIdleConnsPerHost, transport.IdleConnTimeout, transport.TLSHandshakeTimeout, transport.MaxResponseHeaderBytes)
	}
}
