// Services runs a command with the real tables that its tests need, and ends them with it:
//
//	go run ./infra/local/services -- go test ./...
//
// The command finds DynamoDB Local through DYNAMODB_ENDPOINT.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"grantline/infra/local/process"
	"grantline/infra/local/server"
	"grantline/infra/local/tools"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: services -- command …")
		os.Exit(2)
	}
	err := run(ctx, args)
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		os.Exit(max(ended.ExitCode(), 1))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	dir, err := filepath.Abs(".tools")
	if err != nil {
		return err
	}
	missing, notes := tools.Missing(ctx, dir)
	for _, note := range append(missing, notes...) {
		fmt.Fprintln(os.Stderr, note)
	}
	if len(missing) > 0 {
		return errors.New("services: these are needed first")
	}
	if err := tools.Fetch(ctx, dir, os.Stderr); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "grantline-services-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	starter := process.NewStarter()
	defer starter.Close()
	tables, err := server.DynamoDBLocal(ctx, server.Options{Tools: dir, Folder: folder, Starter: starter})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tables.Stop()) }()
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Env = append(os.Environ(), "DYNAMODB_ENDPOINT="+tables.URL())
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = time.Minute
	err = command.Run()
	select {
	case <-tables.Ended(): // which explains what the command says of it
		fmt.Fprintf(os.Stderr, "services: %s ended before the command did: %s\n", tables.Name(), tables.LastWords())
	default:
	}
	return err
}
