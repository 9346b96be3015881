package lambda

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP is the Runtime API (AWS Lambda developer guide, "Using the Lambda runtime API"),
// below a first path segment that names the environment.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	call, known := strings.CutPrefix(rest, "2018-06-01/runtime/")
	worker := s.worker(id)
	if !known || worker == nil {
		http.Error(w, "no such environment", http.StatusForbidden)
		return
	}
	parts := strings.Split(call, "/")
	switch {
	case r.Method == http.MethodGet && call == "invocation/next":
		worker.next(w, r)
	case r.Method == http.MethodPost && call == "init/error":
		worker.initFailed(w, r)
	case r.Method == http.MethodPost && len(parts) == 3 && parts[0] == "invocation" && parts[2] == "response":
		worker.answer(w, r, parts[1], false)
	case r.Method == http.MethodPost && len(parts) == 3 && parts[0] == "invocation" && parts[2] == "error":
		worker.answer(w, r, parts[1], true)
	default:
		http.NotFound(w, r)
	}
}

func (s *Service) worker(id string) *worker {
	for _, p := range s.pools {
		p.mu.Lock()
		w := p.workers[id]
		p.mu.Unlock()
		if w != nil {
			return w
		}
	}
	return nil
}

// next waits until there is an event for this environment.
func (w *worker) next(out http.ResponseWriter, r *http.Request) {
	p := w.pool
	p.mu.Lock()
	w.asked = true
	if w.initTimer != nil {
		w.initTimer.Stop()
	}
	if w.coming {
		w.coming = false
		p.coming--
	}
	e := w.event
	switch {
	case w.condemned:
	case e != nil && !e.deadline.IsZero():
		// It asks again without having answered: the event is lost with the environment.
		p.kill(w)
	case e != nil: // the one that it was started for
	case len(p.waiting) > 0:
		e, p.waiting = p.waiting[0], p.waiting[1:]
		w.event = e
	default:
		p.idle = append(p.idle, w)
	}
	condemned := w.condemned
	p.mu.Unlock()
	if condemned {
		return
	}
	if e == nil {
		select {
		case e = <-w.handed:
		case <-w.dead:
			return
		case <-r.Context().Done():
			p.condemn(w)
			return
		}
	}
	p.mu.Lock()
	if w.event != e || w.condemned {
		p.mu.Unlock()
		return
	}
	e.deadline = time.Now().Add(p.function.Timeout)
	e.timer = time.AfterFunc(p.function.Timeout, func() { p.expire(w, e) })
	p.mu.Unlock()

	h := out.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", e.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:"+p.function.Name)
	h.Set("Lambda-Runtime-Trace-Id", "Root=1-"+e.id[:8]+"-"+strings.ReplaceAll(e.id, "-", "")[8:]+";Sampled=0")
	_, _ = out.Write(e.payload) // a process that is gone fails its event in worker.gone
}

// answer takes what a function returned, or the error that it ended with.
func (w *worker) answer(out http.ResponseWriter, r *http.Request, id string, failed bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	if err != nil {
		http.Error(out, "unreadable", http.StatusBadRequest)
		return
	}
	p := w.pool
	o := outcome{answer: body}
	switch {
	case failed:
		o = outcome{err: &FunctionError{p.function.Name, Returned, errorMessage(body)}}
	case len(body) > MaxPayload:
		o = outcome{err: &FunctionError{p.function.Name, Returned, "its answer is larger than 6 MB"}}
	}
	p.mu.Lock()
	e := w.event
	if e == nil || e.id != id {
		p.mu.Unlock()
		http.Error(out, `{"errorType":"InvalidRequestID"}`, http.StatusBadRequest)
		return
	}
	w.event = nil
	if !w.condemned {
		w.coming = true
		p.coming++
	}
	p.finish(e, o)
	p.mu.Unlock()
	out.WriteHeader(http.StatusAccepted)
}

func (w *worker) initFailed(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 256<<10))
	w.pool.mu.Lock()
	w.initError = errorMessage(body)
	w.pool.mu.Unlock()
	out.WriteHeader(http.StatusAccepted)
}

// errorMessage reads the Runtime API's error object.
func errorMessage(body []byte) string {
	var e struct{ ErrorMessage, ErrorType string }
	if err := json.Unmarshal(body, &e); err != nil || e.ErrorType+e.ErrorMessage == "" {
		return "without a reason"
	}
	return e.ErrorType + ": " + e.ErrorMessage
}
