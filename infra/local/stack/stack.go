// Package stack runs what template.yaml says on one machine: tables, queues, functions, the
// HTTP API, schedules, and simulators of everything outside, all on a clock that can be moved.
// Every run has its own folder, ports, keys and data, so that several can run at once and none
// leaves anything behind.
package stack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"grantline/infra/local/agenda"
	"grantline/infra/local/apigw"
	"grantline/infra/local/identity"
	"grantline/infra/local/lambda"
	"grantline/infra/local/outbox"
	"grantline/infra/local/process"
	"grantline/infra/local/queues"
	"grantline/infra/local/server"
	"grantline/infra/local/template"
	"grantline/infra/local/tools"
	"grantline/infra/sim"
)

// Options of a stack. Only Root is required.
type Options struct {
	// Root is the folder with template.yaml, below a Go module.
	Root string
	// Build is where binaries are built, Root/.build/local when empty; Tools where the servers
	// are fetched to, Root/.tools when empty. Both are shared by all runs.
	Build, Tools string
	// Port and SimPort are the API's and the simulators'; 0 chooses a free one.
	Port, SimPort int
	// Unkind is the percentage of simulated calls that go wrong of themselves.
	Unkind int
	// Parameters win over the template's defaults.
	Parameters map[string]string
	// Outside looks up what the person who starts the stack has set, such as os.LookupEnv.
	// A provider's variable found there wins over the simulator's. Nil is nothing.
	Outside func(name string) (string, bool)
	// Variables are given to all functions and win over everything; tests shorten timeouts so.
	Variables map[string]string
	// DynamoDBProxy, when set, makes what stands between the functions and DynamoDB at target.
	DynamoDBProxy func(target *url.URL) http.Handler
	// Out is told the progress, and what a person at a terminal should see; nil is nobody.
	Out io.Writer
	// Log gets every line that functions write; nil is the file functions.log of the run's folder.
	Log io.Writer
	// Concurrency is the most events in flight of a function without a reservation, and others
	// wait; 0 is 50.
	Concurrency int
	// At is the local time at the start, later than the present; the zero value is the
	// present. What a schedule would have done until then is not done.
	At time.Time
}

// Stack is a running one.
type Stack struct {
	options  Options
	folder   string   // of this run
	alive    *os.File // locked as long as this run lives
	template *template.Template
	journal  *journal

	ctx      context.Context // ends with the stack
	cancel   context.CancelFunc
	group    sync.WaitGroup
	died     chan error // holds one: a server that the stack cannot do without
	starter  *process.Starter
	servers  []*server.Server
	api      *http.Server
	listener net.Listener
	proxy    *http.Server
	sim      *sim.Server
	dynamoDB string // endpoint for the functions
	sqs      string

	clock    *agenda.Clock
	agenda   *agenda.Agenda
	lambda   *lambda.Service
	queues   *queues.Service
	identity *identity.Provider
	outbox   *outbox.Outbox
	webhook  string // the secrets that the outbox knows the company's webhooks by
	foreign  bool   // tokens are somebody else's to issue
	keys     keys
	handler  http.Handler // of the API
	ready    atomic.Bool
	stopped  atomic.Bool // schedules; see StopSchedules

	urls   map[string]string // of queues, by logical id
	values map[string]string // for the functions for the functions; see localValues

	mu     sync.Mutex // guards servers while they start
	once   sync.Once
	closed error
}

// Start starts a stack and returns once everything is up. It ends with Close, not with ctx,
// which only bounds the start.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if o.Build == "" {
		o.Build = filepath.Join(o.Root, ".build", "local")
	}
	if o.Tools == "" {
		o.Tools = filepath.Join(o.Root, ".tools")
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Outside == nil {
		o.Outside = func(string) (string, bool) { return "", false }
	}
	if o.Concurrency == 0 {
		o.Concurrency = 50
	}
	s := &Stack{options: o, starter: process.NewStarter(), died: make(chan error, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) (err error) {
	o := s.options
	if s.template, err = template.Load(filepath.Join(o.Root, "template.yaml"), o.Parameters); err != nil {
		return err
	}
	// The port first: that it is taken is the commonest mistake, and the quickest to tell.
	if s.listener, err = listen(ctx, o.Port, "GRANTLINE_PORT"); err != nil {
		return err
	}
	if err := s.newFolder(); err != nil {
		return err
	}
	if s.journal, err = newJournal(o.Log, o.Out, filepath.Join(s.folder, "functions.log")); err != nil {
		return err
	}
	if s.clock, err = agenda.NewClock(filepath.Join(s.folder, "clock")); err != nil {
		return err
	}
	if err := s.clock.AdvanceTo(o.At); err != nil {
		return err
	}
	s.agenda = agenda.New(s.clock, s.journal.failed)
	s.api = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.group.Go(func() { _ = s.api.Serve(s.listener) }) // ends with ErrServerClosed upon Close
	if err := s.makeKeys(); err != nil {
		return err
	}
	s.sim, err = sim.Start(s.ctx, sim.Options{
		Addr: fmt.Sprintf("127.0.0.1:%d", o.SimPort), Unkind: o.Unkind, Now: s.clock.Now, Dir: s.folder,
		Webhooks: s.URL(), At: s.later,
	})
	if err != nil {
		return taken(err, o.SimPort, "GRANTLINE_SIM_PORT")
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.runFunctions(); err != nil {
		return err
	}
	if err := s.serveAPI(); err != nil {
		return err
	}
	s.followClock()
	s.ready.Store(true)
	return nil
}

// later puts what a provider does of itself on the agenda, so that a moved clock comes to
// each thing at its own instant: an outcome, a webhook, the next attempt of one.
func (s *Stack) later(key string, at time.Time, do func(ctx context.Context)) {
	s.agenda.Hold(key, at, func(ctx context.Context) error {
		do(ctx)
		return nil
	})
}

// prepare has tables, queues and binaries made, side by side.
func (s *Stack) prepare(ctx context.Context) error {
	missing, notes := tools.Missing(ctx, s.options.Tools)
	for _, line := range append(notes, missing...) {
		_, _ = fmt.Fprintln(s.options.Out, line)
	}
	if len(missing) > 0 {
		return fmt.Errorf("stack: %s", missing[0])
	}
	if err := tools.Fetch(ctx, s.options.Tools, s.options.Out); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, part := range []func(context.Context) error{s.build, s.startTables, s.startQueues} {
		group.Go(func() {
			if err := part(ctx); err != nil {
				cancel(err) // the others need not finish, and what they then say is no reason
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// runFunctions starts the Runtime API; processes start with the first events.
func (s *Stack) runFunctions() error {
	var functions []lambda.Function
	for _, f := range s.template.Functions {
		environment, err := s.environment(f)
		if err != nil {
			return err
		}
		concurrency := s.options.Concurrency
		if f.Concurrency > 0 {
			concurrency = f.Concurrency
		}
		functions = append(functions, lambda.Function{
			Name: f.Name, Program: s.program(f), Environment: environment, Timeout: f.Timeout,
			Concurrency: concurrency, Queue: f.Concurrency <= 0,
		})
	}
	var err error
	s.lambda, err = lambda.Start(functions, s.starter, s.journal.line)
	return err
}

// invoke runs a function for the API or a queue. What it wrote may be what an idle schedule
// waits for.
func (s *Stack) invoke(ctx context.Context, function string, payload []byte) ([]byte, error) {
	s.agenda.Invoked()
	defer s.agenda.Invoked()
	return s.lambda.Invoke(ctx, function, payload)
}

func (s *Stack) serveAPI() error {
	var routes []apigw.Route
	for _, f := range s.template.Functions {
		for _, r := range f.Routes {
			routes = append(routes, apigw.Route{Method: r.Method, Path: r.Path, Function: f.Name})
		}
	}
	var err error
	s.handler, err = apigw.New(apigw.Options{
		Routes: routes, Invoke: s.invoke, Now: s.clock.Now, Failed: s.journal.failed,
	})
	return err
}

// followClock sets schedules and queues going.
func (s *Stack) followClock() {
	for _, f := range s.template.Functions {
		for _, schedule := range f.Schedules {
			s.agenda.Add(schedule.Name, schedule.Expression, s.tick(f.Name, schedule))
		}
	}
	s.group.Go(func() { s.agenda.Run(s.ctx) })
	s.group.Go(func() { s.queues.Run(s.ctx) })
}

// tick invokes a scheduled function.
func (s *Stack) tick(function string, schedule template.Schedule) agenda.Tick {
	return func(ctx context.Context, at time.Time) (time.Time, error) {
		if s.stopped.Load() {
			return time.Time{}, nil
		}
		answer, err := s.lambda.Invoke(ctx, function, scheduleEvent(schedule, at))
		if err != nil {
			return time.Time{}, err
		}
		var promise struct {
			IdleUntil time.Time `json:"idleUntil"`
		}
		if err := json.Unmarshal(answer, &promise); err != nil {
			return time.Time{}, nil // any answer will do; only an object with a promise says something
		}
		return promise.IdleUntil, nil
	}
}

// URL is the API's.
func (s *Stack) URL() string { return "http://" + s.listener.Addr().String() }

// SimURL is the simulators'.
func (s *Stack) SimURL() string { return s.sim.URL() }

// Sim are the simulators.
func (s *Stack) Sim() *sim.Server { return s.sim }

// Keys are those of the default project in an environment, "production" or "sandbox".
func (s *Stack) Keys(environment string) (public, secret string) {
	pair := s.keys[environment]
	return pair.Public, pair.Secret
}

// Token is one of the sample identity provider for a customer.
func (s *Stack) Token(customerID string) (string, error) { return s.identity.Token(customerID) }

// Now is the local time.
func (s *Stack) Now() time.Time { return s.clock.Now() }

// Move moves the clock forward; see agenda.Move. The error says which functions were at work.
func (s *Stack) Move(ctx context.Context, d time.Duration) (time.Time, error) {
	now, err := s.agenda.Move(ctx, d, s.queues.Quiet)
	if err != nil {
		for _, w := range s.lambda.AtWork() {
			err = fmt.Errorf("%w; %s has been at work for %v, on %d events", err, w.Function, time.Since(w.Since).Round(time.Second), w.Events)
		}
	}
	return now, err
}

// StopSchedules has no schedule fire any more, as in an outage of the scheduler, or has them
// all go on. The ticks of the meantime are lost.
func (s *Stack) StopSchedules(stopped bool) { s.stopped.Store(stopped) }

// Queues counts messages.
func (s *Stack) Queues(ctx context.Context) ([]queues.Depth, error) { return s.queues.Depths(ctx) }

// Redrive sends a queue's dead letters to it again and says how many.
func (s *Stack) Redrive(ctx context.Context, queue string) (int, error) {
	return s.queues.Redrive(ctx, queue)
}

// Processes lists the process ids of a function's environments.
func (s *Stack) Processes(function string) []int { return s.lambda.Processes(function) }

// DynamoDBURL and SQSURL are the endpoints that functions use, a proxy included.
func (s *Stack) DynamoDBURL() string { return s.dynamoDB }

// SQSURL is the queues' endpoint.
func (s *Stack) SQSURL() string { return s.sqs }

// Folder is the run's own; it goes with the stack.
func (s *Stack) Folder() string { return s.folder }

// Died tells when a server that the stack cannot do without has ended.
func (s *Stack) Died() <-chan error { return s.died }

// Close stops everything and removes the run's folder. Closing again does nothing.
func (s *Stack) Close() error {
	s.once.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Stack) close() error {
	s.ready.Store(false)
	s.cancel()
	var failures []error
	if s.lambda != nil {
		failures = append(failures, s.lambda.Close())
	}
	for _, one := range []*http.Server{s.api, s.proxy} {
		if one != nil {
			failures = append(failures, one.Close())
		}
	}
	if s.api == nil && s.listener != nil {
		failures = append(failures, s.listener.Close())
	}
	s.group.Wait()
	if s.sim != nil {
		failures = append(failures, s.sim.Close())
	}
	for _, one := range s.servers {
		failures = append(failures, one.Stop())
	}
	s.starter.Close()
	if s.journal != nil {
		failures = append(failures, s.journal.close())
	}
	return errors.Join(append(failures, s.removeFolder())...)
}

// listen binds a port of this machine only; variable is what moves it.
func listen(ctx context.Context, port int, variable string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, taken(err, port, variable)
	}
	return l, nil
}

func taken(err error, port int, variable string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d is taken; stop what uses it or set %s to another", port, variable)
	}
	return fmt.Errorf("stack: %w", err)
}

// random is 32 random bytes in hexadecimal digits.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
