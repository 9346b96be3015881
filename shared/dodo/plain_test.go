package dodo_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"grantline/shared/dodo"
)

// Whether this machine may be asked without TLS is decided by the build alone.
func TestPlainHTTPIsForALocalBuildOnThisMachine(t *testing.T) {
	for _, url := range []string{"http://127.0.0.1:4000/dodo", "http://localhost:4000", "http://[::1]:4000/"} {
		_, err := dodo.New(dodo.Config{
			URL: url, Key: func(context.Context, bool) (string, error) { return "", nil },
			Timeout: time.Second, Log: slog.New(slog.DiscardHandler),
		})
		if (err == nil) != localBuild {
			t.Errorf("%s: got %v, want it allowed: %v", url, err, localBuild)
		}
	}
}
