package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/table"
)

// receiveWithin bounds a webhook: Toss Payments gives up at 10 seconds, Dodo Payments at
// 15, both counted from their side.
const receiveWithin = 8 * time.Second

// Webhook reads what a provider sent and says where to look. Errors:
// fault.Unauthenticated where it does not prove to be the provider's, fault.Malformed
// where it cannot be read, fault.Unavailable where neither can be found out now.
type Webhook func(ctx context.Context, header http.Header, body []byte) (notice.Hint, error)

// Webhooks serves the addresses of one provider, /webhooks/<provider>, and behind that
// [/{project}[/{environment}]]. It verifies, sends one message, and answers; nothing is
// looked at or written before that, for a provider that waits repeats.
type Webhooks struct {
	Provider string
	Scopes   map[table.Scope]Webhook // what has no account here has no address
	// Cuts hands a body of more than MostBytes on with what is behind one more cut off, for a
	// sender that would repeat it for days if it were refused.
	Cuts  bool
	Queue interface {
		Send(ctx context.Context, group string, messages []notice.Hint) (sent int, err error)
	}
	Clock clock.Clock
	Log   *slog.Logger
}

// ServeHTTP answers 200 once the queue has the notice. Webhooks come from servers, so
// nothing here is for a browser.
func (h *Webhooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	ctx, cancel := context.WithTimeout(r.Context(), receiveWithin)
	defer cancel()
	err := h.receive(r.WithContext(ctx))
	if err == nil {
		_ = answer(w, http.StatusOK, map[string]bool{"received": true})
		return
	}
	p := problemOf(err)
	level := slog.LevelInfo
	if p.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	h.Log.Log(ctx, level, "refused", "provider", h.Provider, "status", p.Status, "code", p.Code, "error", err)
	switch p.Status {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Webhook-Signature") // RFC 9110 wants one
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
	refuseWithProblem(w, p)
}

func (h *Webhooks) receive(r *http.Request) error {
	scope, ok := h.scope(r.URL.Path)
	read, known := h.Scopes[scope]
	if !ok || !known {
		return noRoute(nil, nil)
	}
	if r.Method != http.MethodPost {
		return &methodError{http.MethodPost}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MostBytes+1))
	switch {
	case err != nil:
		return untaken(err) // it came in part; Apple does not send again what is answered 400
	case len(body) > MostBytes && !h.Cuts:
		return &sizeError{}
	}
	hint, err := read(r.Context(), r.Header, body)
	if err != nil {
		return err
	}
	hint.Provider, hint.Project, hint.Environment, hint.At = h.Provider, scope.Project, scope.Environment, h.Clock.Now()
	hint = hint.Tidy()
	if !hint.Signed && hint.Order == "" {
		return nil // it is nobody's word and names no order: there is nothing to look at
	}
	// The group keeps one sender's flood from holding up what others send. What names nothing
	// may be another app's, and anybody can have an app.
	group := h.Provider + "#" + scope.Project + "#" + scope.Environment
	if !hint.Names() {
		group += "#nothing"
	}
	sent, err := h.Queue.Send(r.Context(), group, []notice.Hint{hint})
	if err == nil && sent != 1 {
		err = errors.New("web: the queue took nothing and gave no reason")
	}
	if err != nil {
		return untaken(err)
	}
	return nil
}

func untaken(cause error) error {
	return fault.New(fault.Unavailable, "unavailable", "The notice cannot be taken now; send it again.").Because(cause)
}

// scope reads whose address a path is.
func (h *Webhooks) scope(path string) (table.Scope, bool) {
	rest, ok := strings.CutPrefix(path, "/webhooks/"+h.Provider)
	if !ok {
		return table.Scope{}, false
	}
	if rest == "" {
		return table.Default, true
	}
	name, environment, given := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	if !given {
		environment = table.Default.Environment
	}
	scope, err := ParseScope(name + "/" + environment)
	return scope, rest[0] == '/' && err == nil
}
