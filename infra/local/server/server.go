// Package server starts DynamoDB Local and ElasticMQ on ports of this machine. Many stacks,
// tests and their own servers run side by side, so an answer from a port says nothing of who
// gave it: a server counts as started only once its own process holds the listening socket,
// which the kernel tells.
package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"grantline/infra/local/process"
	"grantline/infra/local/template"
	"grantline/infra/local/tools"
)

// Options of a start.
type Options struct {
	Tools   string           // where tools.Fetch has put the jars
	Folder  string           // for the server's files; the caller removes it
	Starter *process.Starter // the server dies with it
	// Port chooses where to listen, once for each try; nil is Port of this package.
	Port func(ctx context.Context) (int, error)
}

// Server is one that answers.
type Server struct {
	name    string
	url     string
	port    int
	command *exec.Cmd
	ended   chan struct{}
	output  string // file
}

const (
	// limit is how long a server may take to answer. It takes two seconds on an idle machine.
	limit = 3 * time.Minute
	// tries bounds the ports that are tried, each lost to somebody who was quicker.
	tries = 10
)

// kind is what differs between the two.
type kind struct {
	name    string
	command func(o Options, port int) (*exec.Cmd, error)
	ask     func(ctx context.Context, config aws.Config) error // whether it is ready to serve
}

// DynamoDBLocal starts a server of tables, all of them in memory, and returns once it serves.
func DynamoDBLocal(ctx context.Context, o Options) (*Server, error) {
	return start(ctx, o, kind{
		name: tools.DynamoDBLocal.Name,
		command: func(o Options, port int) (*exec.Cmd, error) {
			return tools.DynamoDBLocal.Command(o.Tools, []string{"java.io.tmpdir=" + o.Folder},
				[]string{"-inMemory", "-sharedDb", "-disableTelemetry", "-port", strconv.Itoa(port)}), nil
		},
		ask: func(ctx context.Context, config aws.Config) error {
			_, err := dynamodb.NewFromConfig(config).ListTables(ctx, &dynamodb.ListTablesInput{})
			return err
		},
	})
}

// ElasticMQ starts a server of queues, which has none yet, and returns once it serves.
func ElasticMQ(ctx context.Context, o Options) (*Server, error) {
	return start(ctx, o, kind{
		name:    tools.ElasticMQ.Name,
		command: elasticMQ,
		ask: func(ctx context.Context, config aws.Config) error {
			_, err := sqs.NewFromConfig(config).ListQueues(ctx, &sqs.ListQueuesInput{})
			return err
		},
	})
}

// elasticMQ is the command for ElasticMQ, with a configuration of its own.
func elasticMQ(o Options, port int) (*exec.Cmd, error) {
	name := filepath.Join(o.Folder, "elasticmq.conf")
	text := fmt.Sprintf(`include classpath("application.conf")
node-address { protocol = http, host = "127.0.0.1", port = %[1]d, context-path = "" }
rest-sqs { enabled = true, bind-port = %[1]d, bind-hostname = "127.0.0.1", sqs-limits = strict }
rest-stats { enabled = false }
aws { region = %[2]s, accountId = %[3]s }
queues { }
`, port, template.Region, template.Account)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return tools.ElasticMQ.Command(o.Tools, []string{"config.file=" + name, "java.io.tmpdir=" + o.Folder}, nil), nil
}

// errLost says that a server did not get its port; another may do.
var errLost = errors.New("it did not get its port")

func start(ctx context.Context, o Options, k kind) (*Server, error) {
	if o.Port == nil {
		o.Port = Port
	}
	var err error
	if o.Tools, err = filepath.Abs(o.Tools); err != nil { // the server runs in a folder of its own
		return nil, fmt.Errorf("server: %w", err)
	}
	var failed error
	for range tries {
		s, err := try(ctx, o, k)
		if err == nil {
			return s, nil
		}
		if failed = err; !errors.Is(err, errLost) {
			break
		}
	}
	return nil, failed
}

// try starts the server on one port, and leaves nothing running where that fails.
func try(ctx context.Context, o Options, k kind) (*Server, error) {
	port, err := o.Port(ctx)
	if err != nil {
		return nil, err
	}
	command, err := k.command(o, port)
	if err != nil {
		return nil, err
	}
	s := &Server{
		name: k.name, url: "http://127.0.0.1:" + strconv.Itoa(port), port: port, command: command,
		ended: make(chan struct{}), output: filepath.Join(o.Folder, k.name+".log"),
	}
	if err := s.run(o); err != nil {
		return nil, err
	}
	if err := s.wait(ctx, k.ask); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Server) run(o Options) error {
	out, err := os.Create(s.output)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	defer func() { _ = out.Close() }() // the child has its own
	s.command.Stdout, s.command.Stderr = out, out
	s.command.Dir = o.Folder
	// A group of its own: Ctrl-C reaches the runner, which stops the functions first.
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := o.Starter.Start(s.command); err != nil {
		return fmt.Errorf("server: %s: %w", s.name, err)
	}
	go func() {
		_ = s.command.Wait() // that it ended is all that matters
		close(s.ended)
	}()
	return nil
}

// wait returns nil once the server's own process serves, and errLost where another one has
// the port. ElasticMQ does not end when it cannot listen, so its end alone would tell nothing.
func (s *Server) wait(ctx context.Context, ask func(context.Context, aws.Config) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	config := aws.Config{
		Region:       template.Region,
		BaseEndpoint: &s.url,
		// Not checked; letters and digits only, as DynamoDB Local wants it.
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
	for {
		holder, reason := holderOf(s.port, s.command.Process.Pid)
		switch {
		case holder == another:
			return fmt.Errorf("server: %s: %w: another process listens on %d", s.name, errLost, s.port)
		case holder == nobody && s.refused():
			return fmt.Errorf("server: %s: %w: %d cannot be bound", s.name, errLost, s.port)
		case holder == ours:
			reason = ask(ctx, config)
		}
		select {
		case <-s.ended: // before any answer, which a process that has ended did not give
			return fmt.Errorf("server: %s: %w, or could not run: %s", s.name, errLost, s.LastWords())
		default:
		}
		if holder == ours && reason == nil {
			return nil
		}
		select {
		case <-s.ended:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("server: waiting for %s: %w", s.name, ctx.Err()), reason)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// refused says whether Java was refused the port, which may be bound and not listened on.
func (s *Server) refused() bool {
	text, err := os.ReadFile(s.output)
	return err == nil && strings.Contains(string(text), "BindException")
}

// URL is where the server is.
func (s *Server) URL() string { return s.url }

// Name is the server's, for people.
func (s *Server) Name() string { return s.name }

// Ended is closed once the process has ended.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// LastWords are the last lines that the server wrote, which say why it ended.
func (s *Server) LastWords() string {
	text, err := os.ReadFile(s.output)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// Stop kills the server: nothing of it is to be kept. Stopping again does nothing.
func (s *Server) Stop() error {
	_ = s.command.Process.Kill() // it may be gone already
	select {
	case <-s.ended:
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("server: %s did not go in a minute", s.name)
	}
}
