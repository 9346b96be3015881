// Package process starts children that die with this process, even when it is killed without
// warning. The kernel ties that promise to the thread that forks, so one thread forks them all.
package process

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// Starter starts children.
type Starter struct {
	requests chan request
	closing  chan struct{}
	once     sync.Once
}

type request struct {
	command *exec.Cmd
	started chan error
}

// NewStarter makes a Starter. It must outlive its children.
func NewStarter() *Starter {
	s := &Starter{requests: make(chan request), closing: make(chan struct{})}
	go s.run()
	return s
}

func (s *Starter) run() {
	runtime.LockOSThread() // never unlocked: the thread, and what is left of the children, end here
	if syscall.Gettid() == os.Getpid() {
		// The main thread does not end before the process. While this goroutine holds it,
		// another one runs on another thread.
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.run()
		}()
		<-ended
		runtime.UnlockOSThread()
		return
	}
	for {
		select {
		case r := <-s.requests:
			r.started <- r.command.Start()
		case <-s.closing:
			return
		}
	}
}

// Start starts the command so that it dies with this process.
func (s *Starter) Start(command *exec.Cmd) error {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	r := request{command: command, started: make(chan error, 1)}
	select {
	case s.requests <- r:
		return <-r.started
	case <-s.closing:
		return errors.New("process: stopping")
	}
}

// Close ends the forking thread, and with it whatever child is still there.
func (s *Starter) Close() { s.once.Do(func() { close(s.closing) }) }
