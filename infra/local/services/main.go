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
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"grantline/infra/local/process"
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

func run(ctx context.Context, args []string) error {
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
	endpoint, end, err := dynamoDB(ctx, dir, folder)
	if err != nil {
		return err
	}
	defer end()
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Env = append(os.Environ(), "DYNAMODB_ENDPOINT="+endpoint)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = time.Minute
	return command.Run()
}

// dynamoDB starts DynamoDB Local on a free port and waits until it answers.
func dynamoDB(ctx context.Context, dir, folder string) (endpoint string, end func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return "", nil, err
	}
	server := tools.DynamoDBLocal.Command(dir, []string{"java.io.tmpdir=" + folder},
		[]string{"-inMemory", "-sharedDb", "-disableTelemetry", "-port", strconv.Itoa(port)})
	server.Dir = folder
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches us, and we end it
	if err := process.NewStarter().Start(server); err != nil {
		return "", nil, err
	}
	exited := make(chan struct{})
	go func() {
		_ = server.Wait()
		close(exited)
	}()
	end = func() {
		_ = server.Process.Kill()
		<-exited
	}
	endpoint = "http://127.0.0.1:" + strconv.Itoa(port)
	for waited := 0; waited < 1800; waited++ {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
		if err != nil {
			end()
			return "", nil, err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close()
			return endpoint, end, nil
		}
		select {
		case <-exited:
			return "", nil, errors.New("services: DynamoDB Local ended at its start")
		case <-ctx.Done():
			end()
			return "", nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	end()
	return "", nil, errors.New("services: DynamoDB Local does not answer")
}
