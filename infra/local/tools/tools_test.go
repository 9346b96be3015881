package tools_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/infra/local/tools"
)

// machine makes a PATH with only the given programs, each a shell script.
func machine(t *testing.T, programs map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

func java(version string) string { return `echo 'openjdk version "` + version + `" 2025-04-15' >&2` }

// fetch plays Maven: it counts its calls and writes a jar where it is told to, which like
// Maven it takes from the pom's folder.
const fetch = `
echo x >> "$COUNT"
pom="$4"; cd "${pom%/*}"
for a in "$@"; do case "$a" in -DoutputDirectory=*) out="${a#-DoutputDirectory=}";; esac; done
/bin/mkdir -p "$out" && echo jar > "$out/a.jar"`

func TestWhatIsMissingIsSaidInOneLineEach(t *testing.T) {
	for name, row := range map[string]struct {
		programs map[string]string
		missing  []string
		notes    int
	}{
		"nothing": {map[string]string{"go": "", "java": java("21.0.1"), "mvn": "", "python3": ""}, nil, 0},
		"all":     {nil, []string{"Go is missing", "Java is missing", "Maven is missing"}, 1},
		"old": {
			map[string]string{"go": "", "java": java("1.8.0_392"), "mvn": "", "python3": ""},
			[]string{"Java 8 is too old"},
			0,
		},
		"python": {map[string]string{"go": "", "java": java("17"), "mvn": ""}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			machine(t, row.programs)
			missing, notes := tools.Missing(t.Context(), t.TempDir())
			if len(missing) != len(row.missing) || len(notes) != row.notes {
				t.Fatalf("got %q and notes %q, want %q and %d notes", missing, notes, row.missing, row.notes)
			}
			for i := range missing {
				if !strings.HasPrefix(missing[i], row.missing[i]) || strings.Contains(missing[i], "\n") {
					t.Errorf("got %q, want one line that begins %q", missing[i], row.missing[i])
				}
			}
		})
	}
}

func TestServersAreFetchedOnceHoweverManyStart(t *testing.T) {
	machine(t, map[string]string{"mvn": fetch})
	count := filepath.Join(t.TempDir(), "count")
	t.Setenv("COUNT", count)
	t.Chdir(t.TempDir())
	dir := ".tools"
	leftover := filepath.Join(dir, ".fetching-1")
	if err := os.MkdirAll(leftover, 0o700); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var out [4]bytes.Buffer
	for i := range out {
		group.Go(func() {
			if err := tools.Fetch(t.Context(), dir, &out[i]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	calls, err := os.ReadFile(count)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(calls), "x"); got != 2 {
		t.Errorf("got %d calls of Maven, want 2", got)
	}
	for _, s := range []tools.Server{tools.DynamoDBLocal, tools.ElasticMQ} {
		if _, err := os.Stat(filepath.Join(s.Folder(dir), "a.jar")); err != nil {
			t.Error(err)
		}
	}
	said := ""
	for i := range out {
		said += out[i].String()
	}
	if got := strings.Count(said, "DynamoDB Local is AWS's"); got != 1 {
		t.Errorf("got the licence's line %d times, want once:\n%s", got, said)
	}
	if _, err := os.Stat(leftover); err == nil {
		t.Error("the folder of a fetch that was killed: got it still, want it gone")
	}
	if missing, _ := tools.Missing(t.Context(), dir); strings.Contains(strings.Join(missing, "\n"), "Maven") {
		t.Errorf("got %q, want no word of Maven once all is fetched", missing)
	}
}

func TestAFetchThatFailsLeavesNothing(t *testing.T) {
	machine(t, map[string]string{"mvn": fetch + "\necho 'no such artifact'; exit 1"})
	t.Setenv("COUNT", filepath.Join(t.TempDir(), "count"))
	dir := t.TempDir()
	err := tools.Fetch(t.Context(), dir, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "no such artifact") {
		t.Errorf("got %v, want Maven's own words", err)
	}
	left, globErr := filepath.Glob(dir + "/[^.]*")
	hidden, _ := filepath.Glob(dir + "/.fetching-*")
	if globErr != nil || len(left)+len(hidden) != 0 {
		t.Errorf("got %v %v, want nothing", left, hidden)
	}
}

func TestAFetchThatIsGivenUpEndsMaven(t *testing.T) {
	machine(t, map[string]string{"mvn": "echo x > \"$COUNT\"; /bin/sleep 600"})
	count := filepath.Join(t.TempDir(), "count")
	t.Setenv("COUNT", count)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // given up as soon as Maven runs
		for ctx.Err() == nil {
			if _, err := os.Stat(count); err == nil {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if err := tools.Fetch(ctx, t.TempDir(), &bytes.Buffer{}); err == nil {
		t.Error("got no error, want one")
	}
}
