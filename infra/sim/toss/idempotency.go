package toss

import (
	"net/http"
	"time"

	"grantline/infra/sim/stage"
)

// keptFor is how long an idempotency key answers from its first use (Toss Payments,
// authorization guide).
const keptFor = 15 * 24 * time.Hour

// tuple identifies a repeated request. The body is no part of it: the same key with
// another amount is answered with the first one's outcome.
type tuple struct{ key, secret, method, url string }

// record is the outcome of a tuple; while it is not done the request is in flight.
type record struct {
	first  time.Time
	done   bool
	answer stage.Answer
	trace  string
}

// once runs a POST through the idempotency store. It gives the answer and, for a replay,
// the trace id of the original. Approvals and refusals are kept alike; what is kept of
// 5xx is a switch, since nobody knows.
func (s *Simulator) once(q *query, trace string, process func() stage.Answer) (stage.Answer, string) {
	key := q.Header.Get("Idempotency-Key")
	if key == "" {
		return process(), ""
	}
	if len(key) > 300 {
		return q.refuse("INVALID_IDEMPOTENCY_KEY"), ""
	}
	t := tuple{key, q.shop.secret, q.Method, q.RequestURI}
	now := s.stage.Now()

	s.mu.Lock()
	known := s.answered[t]
	if known != nil && now.Before(known.first.Add(keptFor)) {
		defer s.mu.Unlock()
		if !known.done {
			return q.refuse("IDEMPOTENT_REQUEST_PROCESSING"), ""
		}
		return known.answer, known.trace
	}
	mine := &record{first: now, trace: trace}
	s.answered[t] = mine
	s.mu.Unlock()

	answer := process()

	s.mu.Lock()
	defer s.mu.Unlock()
	if answer.Status == http.StatusConflict || answer.Status >= 500 && !*s.settings.Store5xx {
		delete(s.answered, t)
		return answer, ""
	}
	mine.done, mine.answer = true, answer
	mine.answer.Hang = false // only the first answer is lost
	return answer, ""
}
