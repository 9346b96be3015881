package apigw

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"grantline/infra/local/lambda"
)

// Limits of an HTTP API (API Gateway developer guide, "Quotas").
const (
	maxBody            = 10 << 20
	integrationTimeout = 30 * time.Second
)

// Options of an API.
type Options struct {
	Routes []Route
	// Invoke runs a function, as lambda.Service does.
	Invoke func(ctx context.Context, function string, payload []byte) ([]byte, error)
	// Now is the local clock.
	Now func() time.Time
	// Failed is told why a request was answered by the API itself and not by the function.
	Failed func(route string, err error)
	// Timeout of an integration; 0 is API Gateway's 30 s.
	Timeout time.Duration
}

// New makes the API. It fails on routes that API Gateway would not create.
func New(o Options) (http.Handler, error) {
	if err := checkRoutes(o.Routes); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = integrationTimeout
	}
	if o.Failed == nil {
		o.Failed = func(string, error) {}
	}
	o.Routes = sorted(o.Routes)
	return &api{o}, nil
}

type api struct{ Options }

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := newID()
	w.Header().Set("Apigw-Requestid", id)
	route, parameters, ok := match(a.Routes, r.Method, r.URL.Path)
	if !ok || !slices.Contains(methods, r.Method) {
		message(w, http.StatusNotFound, "Not Found")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			message(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
			return
		}
		message(w, http.StatusBadRequest, "Bad Request")
		return
	}
	payload, err := json.Marshal(newEvent(r, route, parameters, body, id, a.Now()))
	if err != nil {
		a.Failed(route.key(), err)
		message(w, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	if len(payload) > lambda.MaxPayload {
		message(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		return
	}
	// Not the request's context: a function goes on when its caller has gone away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), a.Timeout)
	defer cancel()
	returned, err := a.Invoke(ctx, route.Function, payload)
	if err != nil {
		a.Failed(route.key(), err)
		status := statusOf(err)
		message(w, status, http.StatusText(status))
		return
	}
	out, err := readAnswer(returned)
	if err != nil {
		a.Failed(route.key(), err)
		message(w, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	out.write(w)
}

// statusOf is what API Gateway answers when a function does not. A process that was killed
// from outside has no counterpart there and is 502, so that a person sees what they did.
func statusOf(err error) int {
	failure, ok := errors.AsType[*lambda.FunctionError](err)
	switch {
	case ok && failure.Kind == lambda.Killed:
		return http.StatusBadGateway
	case ok:
		return http.StatusInternalServerError
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, lambda.ErrThrottled), errors.Is(err, lambda.ErrClosed):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

func (a answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length") // net/http counts for itself
	for _, cookie := range a.cookies {
		w.Header().Add("Set-Cookie", cookie)
	}
	w.WriteHeader(a.status)
	if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		_, _ = w.Write(a.body) // a caller that has gone away does not mind
	}
}

// message is an answer in API Gateway's own form.
func message(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": text})
}

func newID() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
