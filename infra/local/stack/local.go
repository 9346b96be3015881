package stack

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"grantline/infra/local/agenda"
	"grantline/infra/local/lambda"
	"grantline/infra/local/queues"
)

// outboxPath is where messages to customers go, and are looked at.
const outboxPath = "/_local/outbox"

// maxLocalBody bounds the bodies of the runner's own routes.
const maxLocalBody = 64 << 10

// ServeHTTP serves the API, and the runner's own routes below /_local/.
func (s *Stack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/_local/jwks":
		s.identity.ServeHTTP(w, r) // from the start: a function may fetch it at its own
	case !s.ready.Load():
		answer(w, http.StatusServiceUnavailable, map[string]string{"message": "starting or stopping"})
	case strings.HasPrefix(r.URL.Path, "/_local/"):
		s.serveLocal(w, r)
	default:
		s.handler.ServeHTTP(w, r)
	}
}

// serveLocal serves what exists only on one machine.
func (s *Stack) serveLocal(w http.ResponseWriter, r *http.Request) {
	if !here(r.Host) {
		// A page in a browser that had its name point to this machine would read the keys.
		refuse(w, http.StatusForbidden, "these routes answer to 127.0.0.1 and localhost alone")
		return
	}
	if r.URL.Path == outboxPath || strings.HasPrefix(r.URL.Path, outboxPath+"/") {
		http.StripPrefix(outboxPath, s.outbox).ServeHTTP(w, r)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/_local/")
	queue, redrive := strings.CutSuffix(strings.TrimPrefix(name, "queues/"), "/redrive")
	redrive = redrive && strings.HasPrefix(name, "queues/")
	switch r.Method + " " + name {
	case "GET health":
		answer(w, http.StatusOK, map[string]string{"status": "up"})
	case "GET keys":
		answer(w, http.StatusOK, struct {
			keyPair
			Sandbox keyPair `json:"sandbox"`
		}{s.keys["production"], s.keys["sandbox"]})
	case "POST token":
		s.serveToken(w, r)
	case "GET clock":
		answer(w, http.StatusOK, map[string]time.Time{"now": s.Now()})
	case "POST clock":
		s.serveMove(w, r)
	case "GET queues":
		s.serveQueues(w, r)
	case "POST rebuild":
		s.serveRebuild(w, r)
	default:
		switch {
		case redrive && r.Method == http.MethodPost:
			s.serveRedrive(w, r, queue)
		case redrive:
			refuse(w, http.StatusMethodNotAllowed, "redrive is POST")
		default:
			refuse(w, http.StatusNotFound, "want GET health, keys, clock, queues, jwks, outbox or POST token, clock, rebuild, queues/{name}/redrive")
		}
	}
}

// here says whether a request was made to this machine by its own name.
func here(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *Stack) serveToken(w http.ResponseWriter, r *http.Request) {
	if s.foreign {
		refuse(w, http.StatusConflict, "JWT_ISSUER, JWT_AUDIENCE or JWT_KEYS_URL was set when this stack was started, so its tokens come from there")
		return
	}
	var in struct {
		CustomerID string `json:"customerId"`
	}
	if !read(w, r, &in) {
		return
	}
	if in.CustomerID == "" {
		refuse(w, http.StatusBadRequest, "customerId is missing")
		return
	}
	token, err := s.identity.Token(in.CustomerID)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, http.StatusOK, map[string]string{"token": token})
}

func (s *Stack) serveMove(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Advance string `json:"advance"`
	}
	if !read(w, r, &in) {
		return
	}
	d, err := time.ParseDuration(in.Advance)
	if err != nil || d < 0 || d > agenda.Furthest {
		refuse(w, http.StatusBadRequest, `advance must be a Go duration such as "72h", from 0s to `+agenda.Furthest.String())
		return
	}
	now, err := s.Move(r.Context(), d)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, http.StatusOK, map[string]time.Time{"now": now})
}

func (s *Stack) serveQueues(w http.ResponseWriter, r *http.Request) {
	depths, err := s.Queues(r.Context())
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, http.StatusOK, struct {
		Queues []queues.Depth `json:"queues"`
		AtWork []lambda.Work  `json:"atWork"`
	}{depths, s.lambda.AtWork()})
}

func (s *Stack) serveRedrive(w http.ResponseWriter, r *http.Request, queue string) {
	moved, err := s.Redrive(r.Context(), queue)
	switch {
	case errors.Is(err, queues.ErrUnknown):
		refuse(w, http.StatusNotFound, err.Error())
	case err != nil:
		refuse(w, http.StatusInternalServerError, err.Error())
	default:
		answer(w, http.StatusOK, map[string]int{"moved": moved})
	}
}

// read decodes a JSON object without unknown fields, or answers 400.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLocalBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "the body must be one JSON object: "+err.Error())
		return false
	}
	return true
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a caller that has gone away does not mind
}

func refuse(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"message": message})
}
