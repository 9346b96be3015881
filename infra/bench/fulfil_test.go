package bench_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/infra/local/stack"
	"grantline/infra/sim/appsintoss"
)

// How many orders of mini-apps come, and for how long: 2,000 looks are within the 3,000 a
// minute that Apps-in-Toss allows, with the warming.
const (
	fulfilRate    = 200 // a second
	fulfilSeconds = 10
	fulfilWarming = 200 // before that, so that processes are there; Lambda's cold starts are not what is measured
)

// refusals keeps what functions, and who runs them, say of claims that are not granted.
type refusals struct {
	mu   sync.Mutex
	said map[string]int
}

func (r *refusals) Write(line []byte) (int, error) {
	_, text, found := strings.Cut(string(line), `"error":"`)
	if found {
		text, _, _ = strings.Cut(text, `"`)
	} else if strings.HasPrefix(string(line), "runner") {
		text, found = strings.TrimSpace(string(line)), true
	}
	if found {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.said == nil {
			r.said = map[string]int{}
		}
		r.said[text]++
	}
	return len(line), nil
}

// fulfilment is one call of POST /api/iap/fulfill.
type fulfilment struct {
	status int
	took   time.Duration // from the instant at which it was to be sent
}

// BenchmarkFulfil has 200 mini-apps a second (FULFIL_RATE) hand over an order each, of a customer each, on
// the running stack: compiled functions, mutual TLS to the simulator, real tables. Each is sent
// at its instant whether or not those before were answered, and its time counts from there. One
// pass is what it is for: -benchtime 1x.
func BenchmarkFulfil(b *testing.B) {
	rate := fulfilRate
	if text := os.Getenv("FULFIL_RATE"); text != "" {
		var err error
		if rate, err = strconv.Atoi(text); err != nil || rate < 1 || rate > fulfilRate {
			b.Fatalf("FULFIL_RATE is %q, want a number from 1 to %d", text, fulfilRate)
		}
	}
	log := &refusals{}
	s, err := stack.Start(b.Context(), stack.Options{Root: filepath.Join("..", ".."), Log: log})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: fulfilRate}, Timeout: time.Minute}
	pass := 0
	for b.Loop() {
		b.StopTimer()
		warming := newRequests(b, s, fmt.Sprintf("warm-%d", pass), min(rate, fulfilWarming))
		requests := newRequests(b, s, fmt.Sprintf("customer-%d", pass), rate*fulfilSeconds)
		pass++
		send(client, warming, max(1, rate/4))
		b.StartTimer()
		report(b, send(client, requests, rate))
		b.Logf("refused for: %v", log.said)
	}
}

// newRequests are claims of orders that are paid, each by a customer that is new.
func newRequests(b *testing.B, s *stack.Stack, who string, count int) []*http.Request {
	b.Helper()
	requests := make([]*http.Request, count)
	for i := range requests {
		order, err := s.Sim().AppsInToss.Order(appsintoss.NewOrder{SKU: "gems-100"})
		if err != nil {
			b.Fatal(err)
		}
		token, err := s.Token(fmt.Sprintf("%s-%d", who, i))
		if err != nil {
			b.Fatal(err)
		}
		r, err := http.NewRequestWithContext(context.WithoutCancel(b.Context()), http.MethodPost, s.URL()+"/api/iap/fulfill", strings.NewReader(`{"orderId":"`+order+`"}`))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		requests[i] = r
	}
	return requests
}

// send sends requests at a rate a second.
func send(client *http.Client, requests []*http.Request, rate int) []fulfilment {
	done := make([]fulfilment, len(requests))
	began := time.Now()
	var all sync.WaitGroup
	for i, r := range requests {
		at := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(at))
		all.Go(func() {
			answer, err := client.Do(r)
			if err == nil {
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				done[i].status = answer.StatusCode
			}
			done[i].took = time.Since(at)
		})
	}
	all.Wait()
	return done
}

// report gives the percentiles of all, and how many were granted: not all are where the machine
// has too much to do, which is no failure of what is measured.
func report(b *testing.B, done []fulfilment) {
	b.Helper()
	statuses := map[int]int{} // 0 is no answer
	for _, f := range done {
		statuses[f.status]++
	}
	slices.SortFunc(done, func(x, y fulfilment) int { return int(x.took - y.took) })
	at := func(percent int) float64 {
		return float64(done[(len(done)*percent+99)/100-1].took) / float64(time.Millisecond)
	}
	for _, percent := range []int{50, 95, 99, 100} {
		b.ReportMetric(at(percent), fmt.Sprintf("p%d-ms", percent))
	}
	b.ReportMetric(float64(statuses[http.StatusOK]), "granted")
	b.ReportMetric(float64(len(done)), "asked")
	b.ReportMetric(0, "ns/op") // which says nothing here
	b.Logf("answers by status: %v", statuses)
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		b.Logf("load of the machine: %s", strings.TrimSpace(string(load)))
	}
}
