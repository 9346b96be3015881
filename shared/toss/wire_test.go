package toss_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/toss"
)

// Each failure, once with nothing done and once with the work done, on a new connection
// and on one that has been used: one request, an unclear outcome, and the same bytes
// again bring the money in once.
func TestChargeTakesTheMoneyOnce(t *testing.T) {
	for _, transport := range []string{"own", "kept"} {
		for _, used := range []bool{false, true} {
			for _, done := range []bool{false, true} {
				for _, how := range []string{"hang", "reset", "500"} {
					t.Run(fmt.Sprintf("%s used=%v done=%v %s", transport, used, done, how), func(t *testing.T) {
						s, url, transports := open(t)
						var l log
						g := gateway(t, url, transports[transport], &l)
						b := body(t, g)
						if used {
							g.Find(t.Context(), "gl_something_else", billing.Want{Amount: amount})
						}
						before, _, _ := s.seen()

						s.failNext(failure{done: done, how: how})
						got := interrupted(t, s, how, func(ctx context.Context) billing.Outcome { return g.Charge(ctx, order, card, b) })
						if got.Result != billing.Unclear || got.Final {
							t.Errorf("failed charge: got %+v, want %s, not final", got, billing.Unclear)
						}
						requests, froms, charged := s.seen()
						if len(requests) != len(before)+1 {
							t.Errorf("failed charge: got the requests %q, want one more than %q", requests, before)
						}
						if used && (transport == "kept") != (froms[0] == froms[1]) {
							t.Errorf("connections: got %q over transport %s", froms, transport)
						}
						if want := map[bool]int{false: 0, true: 1}[done]; charged != want {
							t.Errorf("failed charge: got %d charges, want %d", charged, want)
						}

						looked := g.Find(t.Context(), order, billing.Want{Amount: amount})
						if want := map[bool]billing.Result{false: billing.Absent, true: billing.Taken}[done]; looked.Result != want {
							t.Errorf("Find: got %+v, want %s", looked, want)
						}
						if again := g.Charge(t.Context(), order, card, b); again.Result != billing.Taken {
							t.Errorf("the same again: got %+v, want %s", again, billing.Taken)
						}
						if _, _, charged := s.seen(); charged != 1 {
							t.Errorf("in the end: got %d charges, want 1", charged)
						}
						silent(t, &l)
					})
				}
			}
		}
	}
}

func TestIssueMayBeRepeatedAfterEveryFailure(t *testing.T) {
	for _, transport := range []string{"own", "kept"} {
		for _, done := range []bool{false, true} {
			for _, how := range []string{"hang", "reset", "500"} {
				t.Run(fmt.Sprintf("%s done=%v %s", transport, done, how), func(t *testing.T) {
					s, url, transports := open(t)
					var l log
					g := gateway(t, url, transports[transport], &l)
					g.Find(t.Context(), "gl_something_else", billing.Want{Amount: amount})
					s.failNext(failure{done: done, how: how})
					err := interrupted(t, s, how, func(ctx context.Context) error { _, err := g.Issue(ctx, registration); return err })
					if !errors.Is(err, fault.Unavailable) || errors.Is(err, fault.Invalid) {
						t.Errorf("failed issue: got %v, want fault.Unavailable", err)
					}
					if requests, _, _ := s.seen(); len(requests) != 2 {
						t.Errorf("failed issue: got %q, want one request behind the first", requests)
					}
					card, err := g.Issue(t.Context(), registration)
					if err != nil || card.BillingKey != "key-0=" {
						t.Errorf("the same again: got %+v, %v, want the one billing key", card, err)
					}
					silent(t, &l, fmt.Sprint(err))
				})
			}
		}
	}
}

// interrupted calls do, and gives up for it once the server hangs.
func interrupted[T any](t *testing.T, s *shop, how string, do func(context.Context) T) T {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if how == "hang" {
		go func() {
			<-s.arrived
			cancel()
		}()
	}
	return do(ctx)
}

func TestFindAfterEveryFailureIsUnclear(t *testing.T) {
	for _, how := range []string{"hang", "reset", "500"} {
		t.Run(how, func(t *testing.T) {
			s, url, transports := open(t)
			g := gateway(t, url, transports["own"], &log{})
			s.failNext(failure{how: how})
			got := interrupted(t, s, how, func(ctx context.Context) billing.Outcome {
				return g.Find(ctx, order, billing.Want{Amount: amount})
			})
			if got.Result != billing.Unclear || got.Final {
				t.Errorf("got %+v, want %s", got, billing.Unclear)
			}
			if requests, _, _ := s.seen(); len(requests) != 1 {
				t.Errorf("got %q, want one request", requests)
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		var asked atomic.Int32
		url, transports := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.Header().Set("Location", "/v1/elsewhere")
			w.WriteHeader(status)
			fmt.Fprint(w, payment(t, nil))
		}))
		g := gateway(t, url, transports["own"], &log{})
		charge := g.Charge(t.Context(), order, card, body(t, g))
		find := g.Find(t.Context(), order, billing.Want{Amount: amount})
		if charge.Result != billing.Unclear || charge.Final || find.Result != billing.Unclear || asked.Load() != 2 {
			t.Errorf("%d: got %+v and %+v after %d requests, want %s twice after 2", status, charge, find, asked.Load(), billing.Unclear)
		}
	}
}

func TestOversizedAnswerIsUnclear(t *testing.T) {
	url, transports := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, payment(t, nil)+strings.Repeat(" ", 1<<20))
	}))
	g := gateway(t, url, transports["own"], &log{})
	if got := g.Charge(t.Context(), order, card, body(t, g)); got.Result != billing.Unclear {
		t.Errorf("body: got %+v, want %s", got, billing.Unclear)
	}
	url, transports = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		fmt.Fprint(w, payment(t, nil))
	}))
	g = gateway(t, url, transports["own"], &log{})
	if got := g.Charge(t.Context(), order, card, body(t, g)); got.Result != billing.Unclear {
		t.Errorf("header: got %+v, want %s", got, billing.Unclear)
	}
}

func TestAnswerThatStopsHalfwayIsUnclear(t *testing.T) {
	for _, how := range []string{"slow", "cut"} {
		t.Run(how, func(t *testing.T) {
			begun := make(chan struct{})
			url, transports := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				text := payment(t, nil)
				w.Header().Set("Content-Length", fmt.Sprint(len(text)))
				fmt.Fprint(w, text[:len(text)/2])
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Errorf("flush: %v", err)
				}
				close(begun)
				if how == "cut" {
					cut(t, w)
					return
				}
				<-r.Context().Done()
			}))
			var l log
			g := gateway(t, url, transports["own"], &l)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if how == "slow" {
				go func() {
					<-begun
					cancel()
				}()
			}
			if got := g.Charge(ctx, order, card, body(t, g)); got.Result != billing.Unclear {
				t.Errorf("got %+v, want %s", got, billing.Unclear)
			}
			silent(t, &l)
		})
	}
}

func TestCallEndsAtItsTimeout(t *testing.T) {
	url, transports := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then is the end of the connection noticed
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // and not an empty 200
	}))
	var l log
	g := gateway(t, url, transports["own"], &l, func(c *toss.Config) { c.Timeout = 300 * time.Millisecond })
	if got := g.Charge(t.Context(), order, card, body(t, g)); got.Result != billing.Unclear {
		t.Errorf("got %+v, want %s", got, billing.Unclear)
	}
	if !strings.Contains(l.String(), "no answer in time") {
		t.Errorf("got the log %s, want the reason", l.String())
	}
	silent(t, &l)
}

func TestUnreachableTossIsUnclear(t *testing.T) {
	// Nobody listens there: the kernel gives no port below 1024 of itself.
	const address = "127.0.0.1:1"
	url, _ := serve(t, http.NotFoundHandler())
	for name, c := range map[string]struct{ url, why string }{
		"refused":              {"https://" + address, "the connection failed at dial"},
		"untrusted":            {url, "the host's certificate is not trusted"},
		"plain where TLS is":   {"https://" + plainServer(t), "no readable answer"},
		"given up beforehand ": {url, "the caller gave up"},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			g := gateway(t, c.url, nil, &l)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if strings.HasPrefix(name, "given up") {
				cancel()
			}
			if got := g.Charge(ctx, order, card, body(t, g)); got.Result != billing.Unclear || got.Final {
				t.Errorf("got %+v, want %s", got, billing.Unclear)
			}
			if !strings.Contains(l.String(), c.why) {
				t.Errorf("got the log %s, want %q in it", l.String(), c.why)
			}
			silent(t, &l)
		})
	}
}

// plainServer is an address where a stranger answers without TLS.
func plainServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestConfigThatCannotWorkIsRefused(t *testing.T) {
	good := toss.Config{
		URL: "https://toss.example/base", SecretKey: func(context.Context, bool) (string, error) { return secretKey, nil },
		Timeout: time.Second, Log: slogTo(&log{}),
	}
	if _, err := toss.New(good); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	for field, spoil := range map[string][]func(*toss.Config){
		"URL": {
			func(c *toss.Config) { c.URL = "" }, func(c *toss.Config) { c.URL = "toss.example" },
			func(c *toss.Config) { c.URL = "http://toss.example" }, func(c *toss.Config) { c.URL = "http://10.0.0.1" },
			func(c *toss.Config) { c.URL = "https://a:b@toss.example" }, func(c *toss.Config) { c.URL = "https://toss.example?a=b" },
			func(c *toss.Config) { c.URL = "ftp://toss.example" }, func(c *toss.Config) { c.URL = "https://toss.example\n" },
			func(c *toss.Config) { c.URL = "http://127.0.0.1.example" },
		},
		"SecretKey": {func(c *toss.Config) { c.SecretKey = nil }},
		"Timeout":   {func(c *toss.Config) { c.Timeout = 0 }},
		"Log":       {func(c *toss.Config) { c.Log = nil }},
	} {
		for i, change := range spoil {
			config := good
			change(&config)
			if _, err := toss.New(config); err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%s, change %d: got %v, want an error that names it", field, i, err)
			}
		}
	}
}
