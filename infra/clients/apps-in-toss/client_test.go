//go:build client

// Package appsintoss_test runs the tests of the mini-app client, which is TypeScript, with a
// whole stack behind them. It needs Node, and so runs by make client only.
package appsintoss_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"grantline/infra/local/stack"
)

func TestClientOnARunningStack(t *testing.T) {
	for _, tool := range []string{"npm", "java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not on the PATH: Node 20 runs the client, Java and Maven the stack", tool)
		}
	}
	s := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "test")
	npm.Env = append(os.Environ(), "GRANTLINE_URL="+s.URL(), "GRANTLINE_SIM_URL="+s.SimURL())
	npm.WaitDelay = 10 * time.Second
	out, err := npm.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("npm test: got %v, want success", err)
	}
	for _, missing := range []string{"GRANTLINE_URL IS NOT SET", "ℹ pass 0"} {
		if bytes.Contains(out, []byte(missing)) {
			t.Errorf("npm test: got %q in its output, want tests against the stack", missing)
		}
	}
}

// start starts a kind stack of the real template and ends it with the test.
func start(t *testing.T) *stack.Stack {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	s, err := stack.Start(ctx, stack.Options{
		Root: filepath.Join("..", "..", ".."), Parameters: map[string]string{"DueShards": "1"}, Log: logger{t},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("the stack did not end well: %v", err)
		}
	})
	return s
}

// logger shows what functions write, beside what the client's tests print.
type logger struct{ t *testing.T }

func (l logger) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
