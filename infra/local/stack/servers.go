package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"grantline/infra/local/tools"
)

// server is one of the two Java processes.
type server struct {
	name    string
	url     string
	command *exec.Cmd
	exited  chan struct{}
	output  string // file
}

// How long a server may take to answer. It takes two seconds on an idle machine.
const serverLimit = 3 * time.Minute

// startServer starts a server on a free port, and waits until it answers. The port may be
// taken between its choice and its use, so another is tried, twice.
func (s *Stack) startServer(ctx context.Context, what tools.Server, command func(port int) (*exec.Cmd, error)) (*server, error) {
	var failed error
	for range 3 {
		port, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		cmd, err := command(port)
		if err != nil {
			return nil, err
		}
		one := &server{
			name: what.Name, url: fmt.Sprintf("http://127.0.0.1:%d", port), command: cmd,
			exited: make(chan struct{}), output: filepath.Join(s.folder, what.Name+".log"),
		}
		if err := one.start(s); err != nil {
			return nil, err
		}
		if failed = one.wait(ctx); failed == nil {
			s.group.Go(func() { s.watch(one) })
			return one, nil
		}
		if stopped := one.stop(); stopped != nil || ctx.Err() != nil {
			return nil, errors.Join(failed, stopped)
		}
	}
	return nil, failed
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("stack: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

func (o *server) start(s *Stack) error {
	out, err := os.Create(o.output)
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	defer func() { _ = out.Close() }() // the child has its own
	o.command.Stdout, o.command.Stderr = out, out
	o.command.Dir = s.folder
	// A group of its own: Ctrl-C reaches the runner, which stops the functions first.
	o.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.starter.Start(o.command); err != nil {
		return fmt.Errorf("stack: %s: %w", o.name, err)
	}
	go func() {
		_ = o.command.Wait() // that it ended is all that matters
		close(o.exited)
	}()
	return nil
}

// wait returns once the server answers anything at all.
func (o *server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serverLimit)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url+"/health", nil)
		if err != nil {
			return fmt.Errorf("stack: %w", err)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			return response.Body.Close()
		}
		select {
		case <-o.exited:
			return fmt.Errorf("stack: %s ended at its start: %s", o.name, o.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("stack: waiting for %s: %w", o.name, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (o *server) lastWords() string {
	text, err := os.ReadFile(o.output)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// watch tells when the server ends before the stack does.
func (s *Stack) watch(o *server) {
	select {
	case <-s.ctx.Done():
	case <-o.exited:
		select {
		case s.died <- fmt.Errorf("stack: %s has ended: %s", o.name, o.lastWords()):
		default: // one is enough
		}
	}
}

// stop kills the server: nothing of it is to be kept.
func (o *server) stop() error {
	_ = o.command.Process.Kill() // it may be gone already
	select {
	case <-o.exited:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("stack: %s did not go in 10 s", o.name)
	}
}
