package lambda

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// pool is the environments of one function.
type pool struct {
	service  *Service
	function Function

	mu       sync.Mutex
	workers  map[string]*worker  // all, by id
	idle     []*worker           // asking for an event; the last was used last, and is used first
	queued   []*event            // beyond the concurrency; see Function.Queue
	waiting  []*event            // for an environment that has answered and not yet asked again
	coming   int                 // how many such environments there are
	inFlight int                 // events, which is what concurrency counts; not environments
	events   map[*event]struct{} // that came in and have no outcome yet, queued ones too
	closed   bool
}

// worker is one environment: one process. Its fields are the pool's to guard.
type worker struct {
	id        string
	pool      *pool
	process   *os.Process
	event     *event        // that it has or is about to get
	handed    chan *event   // to one that is idle; holds one
	dead      chan struct{} // closed when the process is gone
	asked     bool          // it came as far as asking
	coming    bool          // see pool.coming
	condemned bool          // we kill it, or will as soon as it is started
	initError string
	initTimer *time.Timer
}

// event is one invocation.
type event struct {
	id       string
	payload  []byte
	began    time.Time // it came in
	deadline time.Time
	timer    *time.Timer
	done     chan outcome // holds one
}

type outcome struct {
	answer []byte
	err    error
}

// An event waits this long for an environment that has just answered, before it gets a new one.
const comingBack = 100 * time.Millisecond

// take lets an event in, or throttles it.
func (p *pool) take(payload []byte) (*event, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, ErrClosed
	case p.full() && (!p.function.Queue || len(p.queued) >= MaxQueued):
		return nil, ErrThrottled
	}
	e := &event{id: newID(), payload: payload, began: time.Now(), done: make(chan outcome, 1)}
	p.events[e] = struct{}{}
	if p.full() {
		p.queued = append(p.queued, e)
	} else {
		p.dispatch(e)
	}
	return e, nil
}

func (p *pool) full() bool { return p.inFlight >= max(1, p.function.Concurrency) }

// dispatch finds or starts an environment for e. The caller holds mu.
func (p *pool) dispatch(e *event) {
	p.inFlight++
	switch {
	case len(p.idle) > 0:
		w := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		w.event = e
		w.handed <- e
	case p.coming > len(p.waiting):
		p.waiting = append(p.waiting, e)
		time.AfterFunc(comingBack, func() { p.waitNoMore(e) })
	default:
		p.begin(e)
	}
}

func (p *pool) waitNoMore(e *event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, e); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.begin(e)
	}
}

// begin starts an environment for e. The caller holds mu.
func (p *pool) begin(e *event) {
	if p.closed {
		p.finish(e, outcome{err: ErrClosed})
		return
	}
	w := &worker{id: newID(), pool: p, event: e, handed: make(chan *event, 1), dead: make(chan struct{})}
	p.workers[w.id] = w
	p.service.group.Go(w.run)
}

// finish gives an event its outcome. The caller holds mu and has taken e from its worker.
func (p *pool) finish(e *event, o outcome) {
	if e.timer != nil {
		e.timer.Stop()
	}
	p.inFlight--
	delete(p.events, e)
	e.done <- o
	if len(p.queued) > 0 && !p.full() {
		next := p.queued[0]
		p.queued = p.queued[1:]
		p.dispatch(next)
	}
}

// run is the life of one process.
func (w *worker) run() {
	p := w.pool
	command := exec.Command(p.function.Program)
	command.Dir = filepath.Dir(p.function.Program)
	command.Env = append(slices.Clone(p.function.Environment), "AWS_LAMBDA_RUNTIME_API="+p.service.base+"/"+w.id)
	lines := &lineWriter{line: func(line []byte) { p.service.output(p.function.Name, line) }}
	command.Stdout, command.Stderr = lines, lines
	// What the process itself started may keep the pipe open; do not wait for that.
	command.WaitDelay = 2 * time.Second
	if err := p.service.starter.Start(command); err != nil {
		w.gone(&FunctionError{p.function.Name, Init, err.Error()})
		return
	}
	p.mu.Lock()
	w.process = command.Process
	if w.condemned {
		_ = w.process.Kill()
	}
	if !w.asked {
		w.initTimer = time.AfterFunc(initLimit, func() { p.condemn(w) })
	}
	p.mu.Unlock()
	_ = command.Wait() // its state says it all
	lines.flush()
	status, _ := command.ProcessState.Sys().(syscall.WaitStatus)
	failure := &FunctionError{p.function.Name, Exited, command.ProcessState.String()}
	p.mu.Lock()
	switch {
	case status.Signaled() && !w.condemned:
		failure.Kind = Killed
	case !w.asked && w.initError != "":
		failure.Kind, failure.Message = Init, w.initError
	case !w.asked:
		failure.Kind = Init
	}
	p.mu.Unlock()
	w.gone(failure)
}

// gone takes a dead environment out of the pool; its event, if it had one, fails.
func (w *worker) gone(failure error) {
	p := w.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.initTimer != nil {
		w.initTimer.Stop()
	}
	close(w.dead)
	delete(p.workers, w.id)
	p.idle = slices.DeleteFunc(p.idle, func(other *worker) bool { return other == w })
	if w.coming {
		w.coming = false
		p.coming--
	}
	if e := w.event; e != nil {
		w.event = nil
		if p.closed {
			failure = ErrClosed
		}
		p.finish(e, outcome{err: failure})
	}
	for len(p.waiting) > p.coming {
		e := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.begin(e)
	}
}

// condemn kills the environment's process.
func (p *pool) condemn(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kill(w)
}

// kill is condemn for a caller that holds mu.
func (p *pool) kill(w *worker) {
	w.condemned = true
	p.idle = slices.DeleteFunc(p.idle, func(other *worker) bool { return other == w })
	if w.process != nil {
		_ = w.process.Kill()
	}
}

// expire ends an event whose function's time is up, and its environment with it.
func (p *pool) expire(w *worker, e *event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.event != e {
		return
	}
	w.event = nil
	p.kill(w)
	p.finish(e, outcome{err: &FunctionError{p.function.Name, TimedOut, "after " + p.function.Timeout.String()}})
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, e := range p.queued {
		delete(p.events, e)
		e.done <- outcome{err: ErrClosed}
	}
	p.queued = nil
	for _, e := range p.waiting {
		p.finish(e, outcome{err: ErrClosed})
	}
	p.waiting = nil
	for _, w := range p.workers {
		p.kill(w)
	}
}

// maxLine is where a line without an end is cut.
const maxLine = 64 << 10

// lineWriter passes on whole lines. It is used by one goroutine, os/exec's copier.
type lineWriter struct {
	line func([]byte)
	rest []byte
}

func (l *lineWriter) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLine {
			return len(b), nil
		}
		if i < 0 {
			l.line(l.rest)
			l.rest = nil
			continue
		}
		l.line(l.rest[:i])
		l.rest = l.rest[i+1:]
	}
}

func (l *lineWriter) flush() {
	if len(l.rest) > 0 {
		l.line(l.rest)
		l.rest = nil
	}
}
