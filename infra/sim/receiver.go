package sim

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"grantline/infra/sim/stage"
)

const (
	// mostArrivals bounds what each receiver remembers; the oldest are forgotten.
	mostArrivals = 10_000
	mostPosted   = 1 << 20
)

// receivers are the company's own servers, to tell events to: each name is one, and takes
// whatever is posted to it until it is told to do otherwise.
type receivers struct {
	base string
	now  func() time.Time

	mu sync.Mutex
	of map[string]*receiver
}

// receiver is one server, as GET shows it.
type receiver struct {
	URL     string    `json:"url"`
	Arrived []arrival `json:"arrived"`
	Taken   int       `json:"taken"` // answered with 2xx
	// OutOfOrder counts those that were taken before the one in front of them was, of a customer.
	OutOfOrder int `json:"outOfOrder"`

	behaviour
	last map[string]float64
}

// behaviour is what a receiver answers, and what it verifies by.
type behaviour struct {
	Status int `json:"status"` // 200 if 0
	// Count is how many are answered so, and with 200 again after that; 0 is all.
	Count int `json:"count,omitempty"`
	// Secret is the endpoint's, "whsec_…"; without it nothing is verified.
	Secret string `json:"secret,omitempty"`
}

// arrival is what was posted.
type arrival struct {
	At            time.Time `json:"at"`
	Status        int       `json:"status"` // answered
	ID            string    `json:"id"`
	Verified      bool      `json:"verified"`
	Authorization string    `json:"authorization,omitempty"`
	Body          any       `json:"body"`
}

func newReceivers(base string, now func() time.Time) *receivers {
	if now == nil {
		now = time.Now
	}
	return &receivers{base: base, now: now, of: map[string]*receiver{}}
}

func (s *receivers) named(name string) *receiver {
	r := s.of[name]
	if r == nil {
		r = &receiver{URL: s.base + "/_sim/receiver/" + name, Arrived: []arrival{}, last: map[string]float64{}}
		s.of[name] = r
	}
	return r
}

func (s *receivers) serve(mux *http.ServeMux) {
	mux.HandleFunc("POST /_sim/receiver/{name}", s.take)
	mux.HandleFunc("GET /_sim/receiver/{name}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		stage.Write(w, stage.JSON(http.StatusOK, s.named(r.PathValue("name"))))
	})
	mux.HandleFunc("PUT /_sim/receiver/{name}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		to := s.named(r.PathValue("name"))
		next := behaviour{Secret: to.Secret}
		err := json.NewDecoder(io.LimitReader(r.Body, mostPosted)).Decode(&next)
		if err == nil && (next.Status != 0 && (next.Status < 200 || next.Status > 599) || next.Count < 0) {
			err = errors.New("status should be 200 to 599, count 0 or more")
		}
		if err != nil {
			stage.Refuse(w, http.StatusBadRequest, err)
			return
		}
		to.behaviour = next
		stage.Write(w, stage.JSON(http.StatusOK, to))
	})
	mux.HandleFunc("DELETE /_sim/receiver/{name}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.of, r.PathValue("name"))
		stage.Write(w, stage.JSON(http.StatusOK, s.named(r.PathValue("name"))))
	})
}

// take is a server that is told of an event.
func (s *receivers) take(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(io.LimitReader(r.Body, mostPosted+1))
	if err != nil || len(text) > mostPosted {
		stage.Refuse(w, http.StatusRequestEntityTooLarge, errors.New("more than 1 MiB was posted"))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.named(r.PathValue("name"))
	a := arrival{
		At: s.now().UTC(), Status: http.StatusOK, ID: r.Header.Get(standardwebhooks.HeaderWebhookID), Authorization: r.Header.Get("Authorization"),
	}
	if json.Unmarshal(text, &a.Body) != nil {
		a.Body = string(text)
	}
	if hook, err := standardwebhooks.NewWebhook(at.Secret); err == nil && at.Secret != "" {
		a.Verified = hook.VerifyIgnoringTimestamp(text, r.Header) == nil // the clock may be a moved one
	}
	if at.Status != 0 {
		a.Status = at.Status
		if at.Count--; at.Count == 0 {
			at.Status = 0
		}
		at.Count = max(0, at.Count)
	}
	if a.Status < 300 {
		at.Taken++
		at.inOrder(a.Body)
	}
	if at.Arrived = append(at.Arrived, a); len(at.Arrived) > mostArrivals {
		at.Arrived = at.Arrived[1:]
	}
	stage.Write(w, stage.JSON(a.Status, map[string]bool{"taken": a.Status < 300}))
}

// inOrder counts an event of a customer that came before the one in front of it.
func (r *receiver) inOrder(body any) {
	message, _ := body.(map[string]any)
	data, _ := message["data"].(map[string]any)
	id, _ := data["customerId"].(string)
	sequence, ok := data["sequence"].(float64)
	if !ok || id == "" {
		return
	}
	last, known := r.last[id]
	if known && sequence > last+1 {
		r.OutOfOrder++
	}
	r.last[id] = max(last, sequence)
}
