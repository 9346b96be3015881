package process_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"grantline/infra/local/process"
)

// The test binary plays the parent that is killed: it starts a child and tells its id.
func TestMain(m *testing.M) {
	switch os.Getenv("ACT_AS") {
	case "parent":
	case "main thread":
		endOnTheMainThread()
		return
	default:
		os.Exit(m.Run())
	}
	command := exec.Command("sleep", "600")
	if err := process.NewStarter().Start(command); err != nil {
		panic(err)
	}
	println(command.Process.Pid)
	time.Sleep(time.Hour)
}

func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	// A zombie that nobody has waited for yet is gone, too.
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func wait(t *testing.T, pid int) {
	t.Helper()
	for range 6000 {
		if gone(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d: got it alive after a minute, want it gone", pid)
}

func TestChildrenDieWithAParentThatIsKilled(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), program)
	parent.Env = append(os.Environ(), "ACT_AS=parent")
	out, err := parent.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if gone(child) {
		t.Fatalf("process %d: got it gone, want it alive", child)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed, as said
	wait(t, child)
}

func TestChildrenDieWithTheStarter(t *testing.T) {
	s := process.NewStarter()
	command := exec.Command("sleep", "600")
	if err := s.Start(command); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	wait(t, command.Process.Pid)
	_ = command.Wait() // killed, as said
	if err := s.Start(exec.Command("sleep", "600")); err == nil {
		t.Error("a start after the end: got no error, want one")
	}
}

// endOnTheMainThread starts and ends starters one after another on one processor, where
// sooner or later one begins on the main thread, which cannot end before the process.
func endOnTheMainThread() {
	for range 50 {
		runtime.Gosched()
		s := process.NewStarter()
		command := exec.Command("sleep", "600")
		if err := s.Start(command); err != nil {
			panic(err)
		}
		s.Close()
		_ = command.Wait() // for ever, unless it was killed
	}
	println("ended")
}

func TestChildrenDieWithAStarterOnTheMainThread(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	alone := exec.CommandContext(ctx, program)
	alone.Env = append(os.Environ(), "ACT_AS=main thread", "GOMAXPROCS=1")
	if out, err := alone.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "ended" {
		t.Errorf("it said %q and ended with %v, want all children dead", out, err)
	}
}
