package toss_test

import (
	"context"
	"testing"
	"time"

	"grantline/shared/toss"
)

// Whether this machine may be asked without TLS is decided by the build alone.
func TestPlainHTTPIsForALocalBuildOnThisMachine(t *testing.T) {
	for _, url := range []string{"http://127.0.0.1:4000/toss", "http://localhost:4000", "http://[::1]:4000/"} {
		_, err := toss.New(toss.Config{
			URL: url, SecretKey: func(context.Context, bool) (string, error) { return "", nil },
			Timeout: time.Second, Log: slogTo(&log{}),
		})
		if (err == nil) != localBuild {
			t.Errorf("%s: got %v, want it allowed: %v", url, err, localBuild)
		}
	}
}
