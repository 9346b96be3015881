package stack

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"grantline/infra/local/template"
	"grantline/infra/local/tools"
)

// build compiles the functions, with what exists only locally, and links each into the run's
// own folder, so that a later run's build does not touch what this one executes.
func (s *Stack) build(ctx context.Context) error {
	target, err := filepath.Abs(s.options.Build)
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	if err := os.MkdirAll(target, 0o750); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	unlock, err := tools.Lock(ctx, filepath.Join(target, ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	// One invocation for all: what they share is compiled once, and links run side by side.
	arguments := []string{"build", "-trimpath", "-tags", "lambda.norpc,local", "-ldflags", "-s -w", "-o", target + "/"}
	for _, f := range s.template.Functions {
		arguments = append(arguments, "./"+f.Folder)
	}
	if len(s.template.Functions) == 0 {
		return nil
	}
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = s.options.Root
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.WaitDelay = 5 * time.Second
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("stack: building the functions: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	for _, f := range s.template.Functions {
		if err := place(filepath.Join(target, f.Name), s.program(f)); err != nil {
			return fmt.Errorf("stack: %s: %w", f.Name, err)
		}
	}
	return nil
}

// program is the function's executable in this run.
func (s *Stack) program(f template.Function) string {
	return filepath.Join(s.folder, "functions", f.Name, "bootstrap")
}

// place makes from available as to, by a link where the file system allows it.
func place(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(filepath.Clean(from))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.OpenFile(filepath.Clean(to), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
