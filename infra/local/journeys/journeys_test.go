package journeys_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"grantline/infra/local/journeys"
	"grantline/infra/local/stack"
)

// begin is when a journey begins: far from today, so that no test depends on the date, and
// early in a year, so that its dates are easy to read.
var begin = time.Date(2040, time.January, 1, 0, 0, 0, 0, time.UTC)

// start starts a stack of the real template for a test, kind unless the test says
// otherwise, and ends it with the test.
func start(t *testing.T, change func(*stack.Options)) *stack.Stack {
	t.Helper()
	if testing.Short() {
		t.Skip("journeys run whole stacks; make test runs them")
	}
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("journeys need %s, which is not on the PATH", tool)
		}
	}
	o := stack.Options{
		Root: filepath.Join("..", "..", ".."), Parameters: map[string]string{"DueShards": "1"}, Log: logger{t}, At: begin,
	}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	s, err := stack.Start(ctx, o)
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

// logger shows what functions write if a test fails.
type logger struct{ t *testing.T }

func (l logger) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func tell(t *testing.T, s *stack.Stack, text string) {
	t.Helper()
	teller := journeys.Teller{URL: s.URL(), SimURL: s.SimURL(), Log: t.Logf}
	if err := teller.Run(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

func TestJourneys(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no journeys found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel() // so that none waits for a long one
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tell(t, start(t, nil), string(text)+"\nrebuilt\n") // however it went, the books agree at its end
		})
	}
}
