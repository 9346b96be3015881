package telling

import (
	"hash/fnv"
	"net/http"
	"time"

	"grantline/shared/delivery"
)

// mood is how a server is by turns.
type mood struct {
	kind  kind
	until time.Time
	gone  bool // it is to say that it is gone, once
}

type kind uint8

const (
	good   kind = iota
	flaky       // it fails now and then, in any way
	down        // it fails each time
	hangs       // it answers nobody
	pushed      // it asks for fewer requests
	slow        // it takes, in its time
	picky       // it refuses some events, whenever they come
)

// next is another mood, mostly a good one after a bad one.
func (m *mood) next(q *Quarter) {
	day := 24 * time.Hour
	if m.kind != good || q.chance(20) {
		m.kind, m.until = good, q.w.Now().Add(time.Hour+q.within(5*day))
		return
	}
	m.kind = []kind{flaky, down, hangs, pushed, slow, picky}[q.w.Dice.IntN(6)]
	most := 20 * time.Hour
	if q.chance(35) {
		most = 5 * day
	}
	m.until = q.w.Now().Add(time.Minute + q.within(most))
	m.gone = q.chance(8)
}

// failures are what servers say that have one.
var failures = []int{0, 302, 400, 401, 404, 408, 429, 500, 502, 503, 504}

// answer is what the server makes of a request: a status, 0 for none, and how long it hangs.
func (m *mood) answer(q *Quarter, s *server, e *written) (status int, wait time.Duration) {
	now := q.w.Now()
	if q.still() {
		*m = mood{until: now.Add(24 * time.Hour)}
	}
	for m.until.Before(now) {
		m.next(q)
	}
	if m.gone {
		m.gone = false
		return http.StatusGone, 0
	}
	takes := http.StatusOK
	if s.format == delivery.Standard {
		takes = []int{200, 201, 202, 204}[q.w.Dice.IntN(4)]
	}
	switch m.kind {
	case good:
	case flaky:
		if q.chance(40) {
			return failures[q.w.Dice.IntN(len(failures))], 0
		}
	case down:
		return http.StatusServiceUnavailable, 0
	case hangs:
		if q.chance(50) {
			return takes, delivery.Wait // it was read, and nobody hears so
		}
		return 0, delivery.Wait
	case pushed:
		if q.chance(80) {
			return http.StatusTooManyRequests, 0
		}
	case slow:
		return takes, q.within(delivery.Wait + 3*time.Second)
	case picky:
		h := fnv.New32a()
		_, _ = h.Write([]byte(e.id)) // never fails
		if h.Sum32()%4 == 0 {
			return http.StatusUnprocessableEntity, 0
		}
	}
	return takes, 0
}
