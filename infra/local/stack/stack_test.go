package stack_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"grantline/infra/local/queues"
	"grantline/infra/local/stack"
)

var (
	build  string // shared by the stacks of this test, as by those of a working copy
	shared = sync.OnceValues(func() (*stack.Stack, error) { return stack.Start(context.Background(), options()) })
	opened atomic.Bool
)

func options() stack.Options {
	return stack.Options{Root: "testdata", Build: build, Tools: "../../../.tools", Out: os.Stderr}
}

func TestMain(m *testing.M) {
	var err error
	if build, err = os.MkdirTemp("", "grantline-test-build-"); err != nil {
		panic(err)
	}
	code := m.Run()
	if opened.Load() {
		if s, err := shared(); err == nil {
			if err := s.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	if err := os.RemoveAll(build); err != nil {
		panic(err)
	}
	os.Exit(code)
}

func needJava(t *testing.T) {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: the servers of the local stack need Java 17 and Maven", program)
		}
	}
}

// running is the stack that most tests here share; each uses messages and notes of its own.
func running(t *testing.T) *stack.Stack {
	t.Helper()
	needJava(t)
	opened.Store(true)
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func call(t *testing.T, method, address, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/plain")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// get wants a 200 and decodes it.
func get[T any](t *testing.T, method, address, body string) T {
	t.Helper()
	status, text := call(t, method, address, body)
	var into T
	if err := json.Unmarshal([]byte(text), &into); status != http.StatusOK || err != nil {
		t.Fatalf("%s %s: got %d %s, want 200 and JSON", method, address, status, text)
	}
	return into
}

func advance(t *testing.T, s *stack.Stack, by string) time.Time {
	t.Helper()
	return get[struct{ Now time.Time }](t, "POST", s.URL()+"/_local/clock", fmt.Sprintf(`{"advance":%q}`, by)).Now
}

func notes(t *testing.T, s *stack.Stack, who string) []string {
	t.Helper()
	return get[[]string](t, "GET", s.URL()+"/notes/"+url.PathEscape(who), "")
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 6000 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within a minute: %s", what)
}

type info struct {
	PID       int
	Now       time.Time
	Program   string
	Variables map[string]string
}

func TestAFunctionSeesItsOwnVariablesAndTheLocalClock(t *testing.T) {
	s := running(t)
	advance(t, s, "36h")
	got := get[info](t, "GET", s.URL()+"/info", "")
	if filepath.Base(got.Program) != "bootstrap" {
		t.Errorf("got program %s, want bootstrap", got.Program)
	}
	if d := s.Now().Sub(got.Now); d < 0 || d > time.Minute {
		t.Errorf("got %v on the function's clock, %v on the runner's, want the same", got.Now, s.Now())
	}
	if d := time.Until(got.Now); d < 35*time.Hour {
		t.Errorf("got %v before real time, want that the clock was moved by 36 h", d)
	}
	for name, want := range map[string]string{
		"TABLE":                     "grantline-notes",
		"TOSS_SECRET_KEY":           s.Sim().Env()["TOSS_SECRET_KEY"],
		"APPLE_ROOT_CERTIFICATES":   s.Sim().Env()["APPLE_ROOT_CERTIFICATES"],
		"OTHER_SECRET":              "",
		"JWT_KEYS_URL":              s.URL() + "/_local/jwks",
		"AWS_ENDPOINT_URL_DYNAMODB": s.DynamoDBURL(),
		"AWS_LAMBDA_FUNCTION_NAME":  "echo",
		"PATH":                      "",
		"HOME":                      "",
	} {
		if value := got.Variables[name]; value != want {
			t.Errorf("%s: got %q, want %q", name, value, want)
		}
	}
	if len(got.Variables["LOCAL_DATA_KEY"]) != 64 || !strings.HasSuffix(got.Variables["WORK_URL"], "/work") {
		t.Errorf("got %v, want a key of 64 digits and the queue's address", got.Variables)
	}
}

func TestOverlappingRequestsStartSeveralEnvironments(t *testing.T) {
	s := running(t)
	file := filepath.Join(t.TempDir(), "go")
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			if status, text := call(t, "POST", s.URL()+"/wait", file); status != http.StatusOK {
				t.Errorf("got %d %s, want 200", status, text)
			}
		})
	}
	eventually(t, "three environments at once", func() bool {
		here, _ := filepath.Glob(file + ".*")
		return len(here) == 3
	})
	if got := len(s.Processes("echo")); got < 3 {
		t.Errorf("got %d environments, want 3 or more", got)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	group.Wait()
}

func TestAFunctionsProcessMayBeKilledWhileItAnswers(t *testing.T) {
	s := running(t)
	file := filepath.Join(t.TempDir(), "go")
	var group sync.WaitGroup
	group.Go(func() {
		if status, text := call(t, "POST", s.URL()+"/wait", file); status != http.StatusBadGateway {
			t.Errorf("got %d %s, want 502", status, text)
		}
	})
	var pid int
	eventually(t, "the function waits", func() bool {
		here, _ := filepath.Glob(file + ".*")
		if len(here) == 1 {
			_, err := fmt.Sscanf(strings.TrimPrefix(here[0], file), ".%d", &pid)
			return err == nil
		}
		return false
	})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if got := get[info](t, "GET", s.URL()+"/info", ""); got.PID == pid {
		t.Errorf("got process %d again, want another", pid)
	}
}

// received reads the notes of a message: when, on the local clock, and for which time.
func received(t *testing.T, s *stack.Stack, body string) []time.Time {
	t.Helper()
	var times []time.Time
	for i, n := range notes(t, s, "work "+body) {
		text, receive, _ := strings.Cut(n, " ")
		at, err := time.Parse(time.RFC3339, text)
		if err != nil || receive != fmt.Sprintf("receive %d", i%3+1) {
			t.Fatalf("got note %q, want receive %d", n, i%3+1)
		}
		times = append(times, at)
	}
	return times
}

func depth(t *testing.T, s *stack.Stack) queues.Depth {
	t.Helper()
	all := get[struct{ Queues []queues.Depth }](t, "GET", s.URL()+"/_local/queues", "").Queues
	if len(all) != 1 || all[0].Name != "work" {
		t.Fatalf("got %+v, want the queue work alone", all)
	}
	return all[0]
}

func TestWhatFailsShowsAgainOnTheLocalClockAndIsADeadLetterInTheEnd(t *testing.T) {
	s := running(t)
	advance(t, s, "10m") // whatever other tests have left
	before := depth(t, s).DeadLetters
	mark := rand.Text() // the test may run twice on one stack
	fine, once, always := "ok "+mark, "fail:1 "+mark, "fail:9 "+mark
	call(t, "POST", s.URL()+"/send", fine+"\n"+once+"\n"+always)
	advance(t, s, "0s")
	for body, want := range map[string]int{fine: 1, once: 1, always: 1} {
		if got := len(received(t, s, body)); got != want {
			t.Fatalf("%s: got %d receives, want %d", body, got, want)
		}
	}
	if got := depth(t, s).InFlight; got != 2 {
		t.Errorf("got %d in flight, want the 2 that failed", got)
	}
	advance(t, s, "10m")
	for body, want := range map[string]int{fine: 1, once: 2, always: 3} {
		times := received(t, s, body)
		if len(times) != want {
			t.Fatalf("%s: got %d receives, want %d", body, len(times), want)
		}
		for i := 1; i < len(times); i++ {
			if d := times[i].Sub(times[i-1]); d < 119*time.Second || d > 180*time.Second {
				t.Errorf("%s: got %v between receives %d and %d, want the 2 minutes of the queue", body, d, i, i+1)
			}
		}
	}
	want := queues.Depth{Name: "work", DeadLetters: before + 1}
	if got := depth(t, s); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	moved := get[struct{ Moved int }](t, "POST", s.URL()+"/_local/queues/work/redrive", "").Moved
	if moved != before+1 {
		t.Errorf("got %d moved, want %d", moved, before+1)
	}
	advance(t, s, "10m")
	if got := len(received(t, s, always)); got != 6 {
		t.Errorf("got %d receives after the redrive, want 6", got)
	}
	if status, text := call(t, "POST", s.URL()+"/_local/queues/none/redrive", ""); status != http.StatusNotFound {
		t.Errorf("got %d %s, want 404", status, text)
	}
}

func TestAMessageWhoseFunctionIsKilledComesBack(t *testing.T) {
	s := running(t)
	advance(t, s, "10m")
	file := filepath.Join(t.TempDir(), "go")
	body := "hang:" + file + " x"
	call(t, "POST", s.URL()+"/send", body)
	eventually(t, "the function hangs", func() bool { return len(received(t, s, body)) == 1 })
	for _, pid := range s.Processes("work") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	advance(t, s, "3m")
	times := received(t, s, body)
	if len(times) != 2 {
		t.Fatalf("got %d receives, want 2", len(times))
	}
	if d := times[1].Sub(times[0]); d < 119*time.Second || d > 180*time.Second {
		t.Errorf("got %v between them, want the 2 minutes of the queue", d)
	}
	if got := depth(t, s); got.Visible+got.InFlight != 0 {
		t.Errorf("got %+v, want nothing left", got)
	}
}

func TestAScheduleTicksEachMinuteExceptWhereItIsIdle(t *testing.T) {
	s := running(t)
	advance(t, s, "2m") // so that it has made a promise of ten years
	from := s.Now()
	wake := from.Add(30 * 24 * time.Hour).Truncate(time.Hour)
	call(t, "POST", s.URL()+"/put", "wake "+wake.Format(time.RFC3339)) // ends the promise
	end := advance(t, s, "1440h")
	if d := end.Sub(from); d < 1440*time.Hour || d > 1441*time.Hour {
		t.Errorf("got %v moved, want 1440 h", d)
	}
	// Some at first, as the promise was void; then none until the one that was promised.
	var soon, later []string
	for _, text := range notes(t, s, "ticks") {
		switch at, err := time.Parse(time.RFC3339, text); {
		case err != nil || !at.After(from):
		case at.Before(from.Add(time.Hour)):
			soon = append(soon, text)
		default:
			later = append(later, text)
		}
	}
	if want := []string{wake.Format(time.RFC3339)}; len(soon) == 0 || len(soon) > 5 || !slices.Equal(later, want) {
		t.Errorf("got ticks %v and %v, want one or a few and %v", soon, later, want)
	}
}

func TestTheRunnersOwnRoutes(t *testing.T) {
	s := running(t)
	if got := get[map[string]string](t, "GET", s.URL()+"/_local/health", ""); got["status"] != "up" {
		t.Errorf("got %v, want up", got)
	}
	keys := get[struct {
		PublicKey, SecretKey string
		Sandbox              struct{ PublicKey, SecretKey string }
	}](t, "GET", s.URL()+"/_local/keys", "")
	if !strings.HasPrefix(keys.PublicKey, "pk_") || !strings.HasPrefix(keys.SecretKey, "sk_") ||
		!strings.HasPrefix(keys.Sandbox.SecretKey, "sk_") || keys.SecretKey == keys.Sandbox.SecretKey {
		t.Errorf("got %+v, want two pairs of pk_ and sk_", keys)
	}
	variables := get[info](t, "GET", s.URL()+"/info", "").Variables
	if want := "default/production=" + keys.SecretKey + ",default/sandbox=" + keys.Sandbox.SecretKey; variables["SECRET_KEYS"] != want {
		t.Errorf("got %q, want %q", variables["SECRET_KEYS"], want)
	}
	token := get[struct{ Token string }](t, "POST", s.URL()+"/_local/token", `{"customerId":"jane"}`).Token
	if strings.Count(token, ".") != 2 {
		t.Errorf("got token %q, want a JWT", token)
	}
	if got := get[struct{ Keys []any }](t, "GET", s.URL()+"/_local/jwks", "").Keys; len(got) != 1 {
		t.Errorf("got %d keys, want 1", len(got))
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/_local/keys", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "example.com" // a name that somebody had point here
	if response, err := http.DefaultClient.Do(request); err != nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("got %v, %v for another's name, want 403", response, err)
	} else {
		_ = response.Body.Close()
	}
	now := get[struct{ Now time.Time }](t, "GET", s.URL()+"/_local/clock", "").Now
	if d := s.Now().Sub(now); d < 0 || d > time.Minute {
		t.Errorf("got %v, want about %v", now, s.Now())
	}
	for _, row := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "clock", `{"advance":"-1h"}`, 400},
		{"POST", "clock", `{"advance":"tomorrow"}`, 400},
		{"POST", "clock", `{"advance":"1000000h"}`, 400},
		{"POST", "clock", `{}`, 400},
		{"POST", "clock", `{"advance":"1s","by":1}`, 400},
		{"POST", "clock", `{"advance":"1s"} {}`, 400},
		{"POST", "clock", ``, 400},
		{"POST", "token", `{"customerId":""}`, 400},
		{"POST", "token", strings.Repeat(" ", 100<<10), 400},
		{"GET", "queues/work/redrive", "", 405},
		{"GET", "nowhere", "", 404},
		{"DELETE", "clock", "", 404},
	} {
		if status, text := call(t, row.method, s.URL()+"/_local/"+row.path, row.body); status != row.status || !strings.Contains(text, `"message"`) {
			t.Errorf("%s %s %.40s: got %d %s, want %d and a message", row.method, row.path, row.body, status, text, row.status)
		}
	}
}
