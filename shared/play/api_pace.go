package play

import (
	"context"
	"sync"
	"time"

	"grantline/shared/clock"
)

// apiQuotas are Google's buckets of requests that we use, each for itself (Google Play
// Developer API, Quotas).
type apiQuotas struct {
	subscriptions, products, orders, voided, catalogue *apiQuota
}

func newAPIQuotas(c clock.Clock) apiQuotas {
	// 3,000 a minute each; of voided purchases 30 in any 30 s.
	usual := func() *apiQuota { return newAPIQuota(c, 3000, time.Minute) }
	return apiQuotas{
		subscriptions: usual(), products: usual(), orders: usual(), catalogue: usual(),
		voided: newAPIQuota(c, 30, 30*time.Second),
	}
}

// apiQuota keeps a process within a quota: a third of it may be asked at once, and the rest
// is spread over the window, so that no window ever holds more than the whole. Other
// processes have the same quota, so that Google may still refuse.
type apiQuota struct {
	clock    clock.Clock
	interval time.Duration // between two requests, once the third is used up
	ahead    time.Duration // how far requests may come before their time

	mu   sync.Mutex
	next time.Time // when the next request would come, were they evenly spread
}

func newAPIQuota(c clock.Clock, most int, window time.Duration) *apiQuota {
	burst := most / 3
	interval := window / time.Duration(most-burst)
	return &apiQuota{clock: c, interval: interval, ahead: time.Duration(burst-1) * interval}
}

// wait waits for a request's turn, or says at once that there is no time for that.
func (q *apiQuota) wait(ctx context.Context) bool {
	pause, ok := q.reserve(ctx)
	if !ok || pause == 0 {
		return ok
	}
	return q.clock.Sleep(ctx, pause) == nil
}

func (q *apiQuota) reserve(ctx context.Context) (time.Duration, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	next := q.next
	if next.Before(now) || next.Sub(now) > q.ahead+longestWait+q.interval {
		// Nothing was asked for long, or the clock was moved back.
		next = now
	}
	pause := max(0, next.Sub(now)-q.ahead)
	if pause > longestWait || pause > 0 && !clock.Room(ctx, pause) {
		return 0, false
	}
	q.next = next.Add(q.interval)
	return pause, true
}
