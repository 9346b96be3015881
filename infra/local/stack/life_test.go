package stack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"grantline/infra/local/server"
	"grantline/infra/local/stack"
)

func TestASecondStackSharesNothingAndLeavesNothing(t *testing.T) {
	first := running(t)
	o := options()
	var calls atomic.Int64
	o.DynamoDBProxy = func(target *url.URL) http.Handler {
		proxy := httputil.NewSingleHostReverseProxy(target)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			proxy.ServeHTTP(w, r)
		})
	}
	outside := map[string]string{
		"JWT_ISSUER": "https://id.example.com", "TOSS_SECRET_KEY": "brought", "TOSS_API_URL": "http://127.0.0.1:9",
		"SECRET_KEYS": "other/production=sk_x, default/production=sk_mine",
	}
	o.Outside = func(name string) (string, bool) { value, ok := outside[name]; return value, ok }
	o.Variables = map[string]string{"EXTRA": "more"}
	var log bytes.Buffer
	o.Log = &log
	second, err := stack.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }() // where the test ends early
	call(t, "POST", second.URL()+"/put", "second only")
	if got := notes(t, second, "second"); !slices.Equal(got, []string{"only"}) || calls.Load() < 2 {
		t.Errorf("got %v by way of %d calls of the proxy, want one note by 2 or more", got, calls.Load())
	}
	if got := notes(t, first, "second"); len(got) != 0 {
		t.Errorf("in the first stack: got %v, want none", got)
	}
	variables := get[info](t, "GET", second.URL()+"/info", "").Variables
	for name, want := range map[string]string{
		"JWT_ISSUER": "https://id.example.com", "TOSS_SECRET_KEY": "brought", "TOSS_API_URL": "http://127.0.0.1:9",
		"SECRET_KEYS": outside["SECRET_KEYS"], "EXTRA": "more", "JWT_KEYS_URL": "",
	} {
		if variables[name] != want {
			t.Errorf("%s: got %q, want %q", name, variables[name], want)
		}
	}
	if status, text := call(t, "POST", second.URL()+"/_local/token", `{"customerId":"jane"}`); status != http.StatusConflict {
		t.Errorf("got %d %s, want 409", status, text)
	}
	if _, secret := second.Keys("production"); secret != "sk_mine" {
		t.Errorf("got secret key %q, want the one brought", secret)
	}
	folder := second.Folder()
	if got := len(processesOf(t, folder)); got < 3 {
		t.Errorf("got %d processes, want two servers and a function", got)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if got := processesOf(t, folder); len(got) != 0 {
		t.Errorf("got processes %v, want none", got)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: got %v, want that it is gone", folder, err)
	}
	if status, _ := call(t, "GET", first.URL()+"/_local/health", ""); status != http.StatusOK {
		t.Errorf("the first stack: got %d, want it up", status)
	}
}

func TestAStackMayBeginLaterAndLoseItsScheduler(t *testing.T) {
	needJava(t)
	o := options()
	o.At = time.Date(2040, time.January, 1, 0, 0, 0, 0, time.UTC)
	s, err := stack.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	move := func(d time.Duration) []string {
		t.Helper()
		call(t, "POST", s.URL()+"/put", "anything") // so that no schedule is idle
		if _, err := s.Move(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		return notes(t, s, "ticks")
	}
	s.StopSchedules(true)
	before := move(0)
	if got := move(10 * time.Minute); !slices.Equal(got, before) {
		t.Errorf("got ticks %v without a scheduler, want %v", got, before)
	}
	s.StopSchedules(false)
	after := move(2 * time.Minute)
	if len(after) <= len(before) || !strings.HasPrefix(after[0], "2040-01-01T00:") {
		t.Errorf("got ticks %v, want more than %v, and all of 2040", after, before)
	}
}

// processesOf finds the processes of a run by its folder, which all of them are told.
func processesOf(t *testing.T, folder string) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range all {
		environ, _ := os.ReadFile(p + "/environ")
		cmdline, _ := os.ReadFile(p + "/cmdline")
		cwd, _ := os.Readlink(p + "/cwd")
		if bytes.Contains(environ, []byte(folder)) || bytes.Contains(cmdline, []byte(folder)) || strings.HasPrefix(cwd, folder) {
			found = append(found, filepath.Base(p))
		}
	}
	return found
}

func TestAStartThatIsGivenUpWasNeverUpAndLeavesNothing(t *testing.T) {
	needJava(t)
	t.Setenv("TMPDIR", t.TempDir())
	port, err := server.Port(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Port = port
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	address := fmt.Sprintf("http://127.0.0.1:%d", o.Port)
	o.DynamoDBProxy = func(*url.URL) http.Handler { // called once the tables are there, and before all is up
		for _, path := range []string{"/_local/health", "/_local/clock", "/info"} {
			if status, text := call(t, "GET", address+path, ""); status != http.StatusServiceUnavailable {
				t.Errorf("%s: got %d %s, want 503", path, status, text)
			}
		}
		if status, text := call(t, "GET", address+"/_local/jwks", ""); status != http.StatusOK {
			t.Errorf("/_local/jwks: got %d %s, want 200, as functions may fetch it at their start", status, text)
		}
		giveUp()
		return http.NotFoundHandler()
	}
	if s, err := stack.Start(ctx, o); err == nil {
		t.Error("got a stack, want none")
		_ = s.Close()
	}
	left, err := filepath.Glob(os.TempDir() + "/*")
	if err != nil || len(left) != 0 {
		t.Errorf("got %v left, %v, want nothing", left, err)
	}
	if got := processesOf(t, os.TempDir()); len(got) != 0 {
		t.Errorf("got processes %v, want none", got)
	}
}

func TestTheFolderOfAKilledRunIsClearedAwayByTheNext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dead, strange := filepath.Join(os.TempDir(), "grantline-local-dead"), filepath.Join(os.TempDir(), "grantline-local-strange")
	live := filepath.Join(os.TempDir(), "grantline-local-live")
	for _, folder := range []string{dead, strange, live} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{dead, live} {
		file, err := os.Create(filepath.Join(folder, ".alive"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		if folder == live {
			if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
		}
	}
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	// The simulators' port is taken, so the start goes as far as its folder and no further.
	if _, err := stack.Start(t.Context(), stack.Options{Root: "testdata", SimPort: taken.Addr().(*net.TCPAddr).Port}); err == nil {
		t.Error("got no error, want one")
	}
	left, err := filepath.Glob(os.TempDir() + "/*")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{live, strange}; !slices.Equal(left, want) {
		t.Errorf("got %v left, want %v", left, want)
	}
}

func TestATakenPortIsSaidInOneLine(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	for variable, o := range map[string]stack.Options{
		"GRANTLINE_PORT":     {Root: "testdata", Port: port},
		"GRANTLINE_SIM_PORT": {Root: "testdata", SimPort: port},
	} {
		_, err := stack.Start(t.Context(), o)
		want := fmt.Sprintf("port %d is taken; stop what uses it or set %s to another", port, variable)
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestAFunctionThatDoesNotCompileIsSaid(t *testing.T) {
	needJava(t)
	root := t.TempDir()
	text := "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/none/}}}"
	if err := os.WriteFile(filepath.Join(root, "template.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Root = root
	_, err := stack.Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "building the functions") {
		t.Errorf("got %v, want that the build failed", err)
	}
}
