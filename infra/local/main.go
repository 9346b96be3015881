// Command local runs the whole of Grantline on this machine: go run ./infra/local in the
// repository's root. README.md beside it says what it does and what it does not.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"grantline/infra/local/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, stop); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stop func()) error {
	o := stack.Options{Root: ".", Outside: os.LookupEnv, Out: os.Stderr}
	for _, setting := range []struct {
		name      string
		to        *int
		otherwise int
		most      int
	}{
		{"GRANTLINE_PORT", &o.Port, 3000, 65535},
		{"GRANTLINE_SIM_PORT", &o.SimPort, 4000, 65535},
		{"SIM_UNKIND", &o.Unkind, 5, 100},
	} {
		text := os.Getenv(setting.name)
		if text == "" {
			text = strconv.Itoa(setting.otherwise)
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > setting.most {
			return fmt.Errorf("%s is %q: want a number from 0 to %d", setting.name, text, setting.most)
		}
		*setting.to = n
	}
	where, closeLog, err := openLog(&o)
	if err != nil {
		return err
	}
	defer closeLog()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go endWithGoRun(ctx, cancel)

	began := time.Now()
	s, err := stack.Start(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped by hand while it was starting
		}
		return err
	}
	if where == "" {
		where = filepath.Join(s.Folder(), "functions.log")
	}
	guide(s, where, time.Since(began))
	select {
	case <-ctx.Done():
		stop() // a second Ctrl-C ends at once
		fmt.Fprintln(os.Stderr, "Stopping.")
	case err = <-s.Died():
	}
	if closed := s.Close(); err == nil {
		err = closed
	}
	return err
}

// openLog follows GRANTLINE_LOG: "stdout", a file that is kept, or by default a file that
// goes with the run.
func openLog(o *stack.Options) (where string, closeLog func(), err error) {
	switch where = os.Getenv("GRANTLINE_LOG"); where {
	case "":
		return "", func() {}, nil
	case "stdout":
		o.Log, o.Out = os.Stdout, io.Writer(os.Stdout)
		return "this terminal", func() {}, nil
	default:
		file, err := os.OpenFile(filepath.Clean(where), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return "", nil, fmt.Errorf("GRANTLINE_LOG: %w", err)
		}
		o.Log = file
		return where, func() { _ = file.Close() }, nil
	}
}

// guide is what a person needs to begin.
func guide(s *stack.Stack, log string, took time.Duration) {
	_, secret := s.Keys("production")
	fmt.Printf("Up in %.1f s: API %s, simulators %s (GET /_sim/ lists their controls); keys: GET /_local/keys.\n", took.Seconds(), s.URL(), s.SimURL())
	fmt.Printf("Subscribe Jane:  curl -sS %s/v1/subscriptions -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' "+
		`-d '{"customerId":"jane","planId":"premium-monthly","gateway":"toss","toss":{"authKey":"any-text-once","customerKey":"jane-0001"}}'`+"\n", s.URL(), secret)
	fmt.Printf("What she has:    curl -sS %s/v1/customers/jane -H 'Authorization: Bearer %s'\n", s.URL(), secret)
	fmt.Printf("A month later:   curl -sS %s/_local/clock -d '{\"advance\":\"744h\"}'   then ask again\n", s.URL())
	fmt.Printf("Her reminders:   %s/_local/outbox shows every e-mail, text message and webhook that would have been sent\n", s.URL())
	fmt.Printf("Functions' log:  %s   Ctrl-C stops everything and leaves nothing behind.\n", log)
}

// endWithGoRun ends this process when it was started by go run and go run is gone: that does
// not pass SIGTERM on, and would leave it running with nobody to stop it.
func endWithGoRun(ctx context.Context, cancel func()) {
	parent := os.Getppid()
	name, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/comm")
	if err != nil || strings.TrimSpace(string(name)) != "go" {
		return
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if os.Getppid() != parent {
				cancel()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
