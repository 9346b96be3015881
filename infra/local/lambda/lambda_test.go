package lambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	runtime "github.com/aws/aws-lambda-go/lambda"

	"grantline/infra/local/lambda"
	"grantline/infra/local/process"
)

// The test binary is the function, too: TestMain turns into it when told so.
func TestMain(m *testing.M) {
	switch os.Getenv("ACT_AS") {
	case "":
		os.Exit(m.Run())
	case "function":
		runtime.Start(handle)
	case "broken":
		fmt.Fprintln(os.Stderr, "cannot be: VARIABLE is missing")
		os.Exit(1)
	}
}

type request struct {
	Do   string `json:"do"`
	File string `json:"file"` // waits until it is there
}

type response struct {
	PID      int    `json:"pid"`
	ID       string `json:"id"`
	Deadline bool   `json:"deadline"`
	Variable string `json:"variable"`
}

func handle(ctx context.Context, r request) (response, error) {
	switch r.Do {
	case "panic":
		panic("as told")
	case "exit":
		os.Exit(3)
	case "error":
		return response{}, errors.New("as told")
	case "hang":
		time.Sleep(time.Hour)
	case "say":
		fmt.Println("one\ntwo")
	case "wait":
		if err := os.WriteFile(r.File+".here", nil, 0o600); err != nil {
			return response{}, err
		}
		for {
			if _, err := os.Stat(r.File); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	deadline, ok := ctx.Deadline()
	return response{PID: os.Getpid(), Deadline: ok && time.Until(deadline) > 0, Variable: os.Getenv("VARIABLE")}, nil
}

type harness struct {
	*lambda.Service
	mu    sync.Mutex
	lines []string
}

func start(t *testing.T, act string, timeout time.Duration, concurrency int) *harness {
	t.Helper()
	return open(t, lambda.Function{Environment: []string{"ACT_AS=" + act, "VARIABLE=value"}, Timeout: timeout, Concurrency: concurrency})
}

func open(t *testing.T, f lambda.Function) *harness {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.Symlink(program, bootstrap); err != nil {
		t.Fatal(err)
	}
	h := &harness{}
	starter := process.NewStarter()
	t.Cleanup(starter.Close)
	f.Name, f.Program = "f", bootstrap
	h.Service, err = lambda.Start([]lambda.Function{f}, starter, func(function string, line []byte) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lines = append(h.lines, function+"|"+string(line))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *harness) call(t *testing.T, r request) (response, error) {
	t.Helper()
	payload, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := h.Invoke(t.Context(), "f", payload)
	if err != nil {
		return response{}, err
	}
	var got response
	if err := json.Unmarshal(answer, &got); err != nil {
		t.Fatal(err)
	}
	return got, nil
}

func (h *harness) output() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
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

func kind(err error) lambda.Kind {
	if failure, ok := errors.AsType[*lambda.FunctionError](err); ok {
		return failure.Kind
	}
	return -1
}

func TestEventsOneAfterTheOtherShareAnEnvironment(t *testing.T) {
	h := start(t, "function", time.Minute, 10)
	first, err := h.call(t, request{})
	if err != nil {
		t.Fatal(err)
	}
	if !first.Deadline || first.Variable != "value" {
		t.Errorf("got %+v, want a deadline and the variable", first)
	}
	for range 20 {
		if again, err := h.call(t, request{}); err != nil || again.PID != first.PID {
			t.Fatalf("got process %d, %v, want %d", again.PID, err, first.PID)
		}
	}
}

func TestOverlappingEventsGetEnvironmentsOfTheirOwn(t *testing.T) {
	h := start(t, "function", time.Minute, 10)
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			if _, err := h.call(t, request{Do: "wait", File: fmt.Sprintf("%s/%d", dir, i)}); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "four events at once", func() bool {
		here, _ := filepath.Glob(dir + "/*.here")
		return len(here) == 4
	})
	if got := len(h.Processes("f")); got != 4 {
		t.Errorf("got %d environments, want 4", got)
	}
	for i := range 4 {
		if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	group.Wait()
}

func TestEventsBeyondTheConcurrencyAreThrottled(t *testing.T) {
	h := start(t, "function", time.Minute, 1)
	file := filepath.Join(t.TempDir(), "go")
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := h.call(t, request{Do: "wait", File: file}); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the first event", func() bool { _, err := os.Stat(file + ".here"); return err == nil })
	if _, err := h.call(t, request{}); !errors.Is(err, lambda.ErrThrottled) {
		t.Errorf("got %v, want %v", err, lambda.ErrThrottled)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	for range 50 { // an environment that has only just answered is no reason to throttle
		if _, err := h.call(t, request{}); err != nil {
			t.Fatalf("got %v, want none", err)
		}
	}
}

func TestEventsOfAFunctionWithoutReservationWaitForTheMachine(t *testing.T) {
	h := open(t, lambda.Function{Environment: []string{"ACT_AS=function"}, Timeout: time.Minute, Concurrency: 2, Queue: true})
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			if _, err := h.call(t, request{Do: "wait", File: fmt.Sprintf("%s/%d", dir, i)}); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range 6 { // each that is at it is let go, until all have been
		var here []string
		eventually(t, fmt.Sprintf("event %d", i), func() bool {
			here, _ = filepath.Glob(dir + "/*.here")
			return len(here) > 0
		})
		if got := len(h.Processes("f")); got > 2 {
			t.Errorf("got %d environments, want at most 2", got)
		}
		if err := os.Remove(here[0]); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(strings.TrimSuffix(here[0], ".here"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	group.Wait()
}

func TestFailuresAreToldApart(t *testing.T) {
	h := start(t, "function", time.Minute, 10)
	for do, want := range map[string]lambda.Kind{"panic": lambda.Returned, "error": lambda.Returned, "exit": lambda.Exited} {
		if _, err := h.call(t, request{Do: do}); kind(err) != want {
			t.Errorf("%s: got %v, want one that %s", do, err, want)
		}
		if _, err := h.call(t, request{}); err != nil {
			t.Errorf("after %s: got %v, want none", do, err)
		}
	}
}

func TestAFunctionOutOfTimeIsKilled(t *testing.T) {
	h := start(t, "function", 300*time.Millisecond, 10)
	if _, err := h.call(t, request{Do: "hang"}); kind(err) != lambda.TimedOut {
		t.Errorf("got %v, want a timeout", err)
	}
	eventually(t, "its process is gone", func() bool { return len(h.Processes("f")) == 0 })
}

func TestAKilledProcessFailsItsEventOnly(t *testing.T) {
	h := start(t, "function", time.Minute, 10)
	file := filepath.Join(t.TempDir(), "go")
	failed := make(chan error, 1)
	go func() {
		_, err := h.call(t, request{Do: "wait", File: file})
		failed <- err
	}()
	eventually(t, "the event", func() bool { _, err := os.Stat(file + ".here"); return err == nil })
	if err := syscall.Kill(h.Processes("f")[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; kind(err) != lambda.Killed {
		t.Errorf("got %v, want one that was killed", err)
	}
	if _, err := h.call(t, request{}); err != nil {
		t.Errorf("the next event: got %v, want none", err)
	}
}

func TestAnIdleProcessMayBeKilledWithoutHarm(t *testing.T) {
	h := start(t, "function", time.Minute, 10)
	first, err := h.call(t, request{})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return len(h.Processes("f")) == 0 })
	if second, err := h.call(t, request{}); err != nil || second.PID == first.PID {
		t.Errorf("got %d, %v, want another process", second.PID, err)
	}
}

func TestAFunctionThatCannotStartSaysSo(t *testing.T) {
	h := start(t, "broken", time.Minute, 10)
	for range 2 {
		if _, err := h.call(t, request{}); kind(err) != lambda.Init {
			t.Errorf("got %v, want one that could not start", err)
		}
	}
	if got := strings.Join(h.output(), "\n"); !strings.Contains(got, "f|cannot be: VARIABLE is missing") {
		t.Errorf("got output %q, want the reason", got)
	}
}

func TestOutputComesInLines(t *testing.T) {
	h := start(t, "function", time.Minute, 10)
	if _, err := h.call(t, request{Do: "say"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both lines", func() bool {
		lines := h.output()
		return slices.Contains(lines, "f|one") && slices.Contains(lines, "f|two")
	})
}

func TestCloseLeavesNoProcessAndEndsWhatIsInFlight(t *testing.T) {
	h := start(t, "function", time.Minute, 10)
	file := filepath.Join(t.TempDir(), "go")
	failed := make(chan error, 1)
	go func() {
		_, err := h.call(t, request{Do: "wait", File: file})
		failed <- err
	}()
	eventually(t, "the event", func() bool { _, err := os.Stat(file + ".here"); return err == nil })
	pids := h.Processes("f")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, lambda.ErrClosed) {
		t.Errorf("got %v, want %v", err, lambda.ErrClosed)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d: got %v, want that there is none", pid, err)
		}
	}
}
