package dodo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/dodo"
	"grantline/shared/fault"
)

// method is one of the gateway's, reduced to a word of what it makes of an answer.
type method struct {
	name string
	on   string // the request that counts
	acts bool   // that request has an effect
	// lost is what is made of an answer that says nothing, or of none.
	lost string
	do   func(ctx context.Context, t testing.TB, g *dodo.Gateway) (string, error)
}

func word(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, fault.Unavailable) && !errors.Is(err, fault.Invalid):
		return "unavailable"
	default:
		return "another error"
	}
}

var methods = []method{
	{"Charge", "POST /subscriptions/" + mandate + "/charge", true, "unclear", func(ctx context.Context, t testing.TB, g *dodo.Gateway) (string, error) {
		return string(g.Charge(ctx, order, card, body(t, g)).Result), nil
	}},
	{"Find one", "GET /payments/pay_1", false, "unclear", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		w := want
		w.Payment = "pay_1"
		return string(g.Find(ctx, order, w).Result), nil
	}},
	{"Find", "GET /payments?", false, "unclear", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		return string(g.Find(ctx, order, want).Result), nil
	}},
	{"Find listed", "GET /payments/pay_1", false, "unclear", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		return string(g.Find(ctx, order, want).Result), nil
	}},
	{"Refund", "POST /refunds", true, "unclear", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		return string(g.Refund(ctx, giving).Result), nil
	}},
	{"Refund, looking", "GET /payments/pay_1", false, "not_made", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		return string(g.Refund(ctx, giving).Result), nil
	}},
	{"FindRefund", "GET /payments/pay_1", false, "unclear", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		return string(g.FindRefund(ctx, giving).Result), nil
	}},
	{"Statement", "GET /payments?", false, "unavailable", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		_, _, err := g.Statement(ctx, noon, noon.Add(24*time.Hour), "")
		return word(err), err
	}},
	{"Statement of refunds", "GET /refunds?", false, "unavailable", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		_, _, err := g.Statement(ctx, noon, noon.Add(24*time.Hour), "refunds:0")
		return word(err), err
	}},
	{"Invite", "POST /subscriptions", true, "unavailable", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		_, err := g.Invite(ctx, invitation)
		return word(err), err
	}},
	{"Look", "GET /subscriptions/", false, "unavailable", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		_, err := g.Look(ctx, mandate)
		return word(err), err
	}},
	{"Mend", "POST /subscriptions/" + mandate + "/update-payment-method", true, "unavailable", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		_, err := g.Mend(ctx, mandate, "https://company.example/done")
		return word(err), err
	}},
	{"Revoke", "PATCH /subscriptions/", true, "unavailable", func(ctx context.Context, _ testing.TB, g *dodo.Gateway) (string, error) {
		err := g.Revoke(ctx, mandate)
		return word(err), err
	}},
}

// Every method, each way to fail, with nothing done and with the work done, on a new
// connection and, where it has an effect, on one that has been used: it is sent once and
// no more, and nothing is made of it that was not said.
func TestNothingIsSentTwiceWhateverGoesWrong(t *testing.T) {
	for _, m := range methods {
		for _, transport := range []string{"own", "kept"} {
			if transport == "kept" && !m.acts {
				continue // a look may be repeated
			}
			for _, done := range []bool{false, true} {
				for _, how := range hows {
					t.Run(fmt.Sprintf("%s %s done=%v %s", m.name, transport, done, how), func(t *testing.T) {
						s, url, transports := open(t, paid("pay_1", nil))
						var l log
						g := gateway(t, url, transports[transport], &l)
						if _, err := g.Look(t.Context(), mandate); err != nil { // so that there is a connection to be kept
							t.Fatalf("Look: got %v, want no error", err)
						}
						before, _ := s.seen()
						s.failNext(failure{on: m.on, done: done, how: how})
						got, err := interrupted(t, s, how, func(ctx context.Context) (string, error) { return m.do(ctx, t, g) })

						wanted := m.lost
						switch {
						case m.name == "Mend" && how == "409":
							wanted = "another error" // it is in no state to be mended
						case m.name == "Revoke" && (how == "408" || how == "409") && done:
							wanted = "done" // it had ended, a look says
						}
						if got != wanted {
							t.Errorf("got %s (%v), want %s", got, err, wanted)
						}
						requests, effects := s.seen()
						if n := count(requests[len(before):], m.on); n != 1 {
							t.Errorf("got the requests %q, want one that begins with %s", requests, m.on)
						}
						if n := map[bool]int{true: 1}[m.acts && done]; effects != n {
							t.Errorf("got %d effects, want %d", effects, n)
						}
						if transport == "own" && s.froms[0] == s.froms[1] {
							t.Errorf("got the connection %s twice, want it once", s.froms[0])
						}
						silent(t, &l, fmt.Sprint(err))
					})
				}
			}
		}
	}
}

func count(requests []string, prefix string) (n int) {
	for _, each := range requests {
		if strings.HasPrefix(each, prefix) {
			n++
		}
	}
	return n
}

// interrupted calls do, and gives up for it once the server hangs.
func interrupted(t *testing.T, s *shop, how string, do func(context.Context) (string, error)) (string, error) {
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

func TestLimiterOnlySlowsDown(t *testing.T) {
	s, url, transports := open(t, paid("pay_1", nil))
	g := gateway(t, url, transports["own"], &log{})
	for _, m := range methods {
		before, _ := s.seen()
		s.failNext(failure{on: m.on, how: "429"})
		got, _ := m.do(t.Context(), t, g)
		wanted := map[string]string{"Charge": "not_made", "Refund": "not_made"}[m.name]
		if wanted == "" {
			wanted = m.lost
		}
		requests, effects := s.seen()
		if n := count(requests[len(before):], m.on); got != wanted || n != 1 || effects != 0 {
			t.Errorf("%s: got %s after %d requests and %d effects, want %s after one and none", m.name, got, n, effects, wanted)
		}
	}
}

func TestMethodEndsAtItsTimeout(t *testing.T) {
	for _, m := range methods {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s, url, transports := open(t, paid("pay_1", nil))
			var l log
			g := gateway(t, url, transports["own"], &l, func(c *dodo.Config) { c.Timeout = 2 * time.Second })
			s.failNext(failure{on: m.on, how: "hang"})
			got, err := m.do(t.Context(), t, g)
			// On a slow machine it may end before it was sent.
			if got != m.lost && got != string(billing.NotMade) || !strings.Contains(l.String(), "no answer in time") {
				t.Errorf("got %s and the log %s, want %s and the reason", got, l.String(), m.lost)
			}
			silent(t, &l, fmt.Sprint(err))
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, m := range methods {
			var asked atomic.Int32
			url, transports := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				w.Header().Set("Location", "/v1/elsewhere")
				w.WriteHeader(status)
				fmt.Fprint(w, `{"payment_id":"pay_1","items":[]}`)
			}))
			g := gateway(t, url, transports["own"], &log{})
			got, _ := m.do(t.Context(), t, g)
			wanted := m.lost
			if m.name == "Refund" {
				wanted = string(billing.NotMade) // its look is redirected first
			}
			if got != wanted || asked.Load() != 1 {
				t.Errorf("%s, %d: got %s after %d requests, want %s after one", m.name, status, got, asked.Load(), wanted)
			}
		}
	}
}

func TestOversizedAnswerSaysNothing(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"body": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"payment_id":"pay_1"}`+strings.Repeat(" ", 4<<20))
		},
		"header": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 1<<20)) },
	} {
		url, transports := serve(t, answer)
		g := gateway(t, url, transports["own"], &log{})
		if got := g.Charge(t.Context(), order, card, body(t, g)); got.Result != billing.Unclear {
			t.Errorf("%s: got %+v, want %s", name, got, billing.Unclear)
		}
	}
}

// Without a connection nothing was sent, and what was not sent may be sent later.
func TestUnreachableDodoWasNotAsked(t *testing.T) {
	// Nobody listens there: the kernel gives no port below 1024 of itself.
	const address = "127.0.0.1:1"
	url, _ := serve(t, http.NotFoundHandler())
	for name, c := range map[string]struct{ url, why string }{
		"refused":            {"https://" + address, "the connection failed at dial"},
		"untrusted":          {url, "the host's certificate is not trusted"},
		"plain where TLS is": {"https://" + stranger(t, "HTTP/1.1 200 OK\r\n\r\n"), "dodo: not sent"},
		"hangs up":           {"https://" + stranger(t, ""), "dodo: not sent"},
		"given up":           {url, "the caller gave up"},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			g := gateway(t, c.url, nil, &l)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if name == "given up" {
				cancel()
			}
			if got := g.Charge(ctx, order, card, body(t, g)); got.Result != billing.NotMade || got.Misconfigured || got.Busy {
				t.Errorf("Charge: got %+v, want %s", got, billing.NotMade)
			}
			if got := g.Find(ctx, order, want); got.Result != billing.Unclear {
				t.Errorf("Find: got %+v, want %s", got, billing.Unclear)
			}
			_, err := g.Invite(ctx, invitation)
			if !errors.Is(err, fault.Unavailable) {
				t.Errorf("Invite: got %v, want fault.Unavailable", err)
			}
			if !strings.Contains(l.String(), c.why) {
				t.Errorf("got the log %s, want %q in it", l.String(), c.why)
			}
			silent(t, &l, fmt.Sprint(err))
		})
	}
}

// A transport that does not tell about its connections may have sent what it failed at.
func TestTransportThatTellsNothingIsUnclear(t *testing.T) {
	g := gateway(t, "https://dodo.example", failing{}, &log{})
	if got := g.Charge(t.Context(), order, card, body(t, g)); got.Result != billing.Unclear {
		t.Errorf("got %+v, want %s", got, billing.Unclear)
	}
}

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Err: errors.New("to " + mandate)}
}

// stranger is an address where somebody says something without TLS.
func stranger(t *testing.T, text string) string {
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
			_, _ = conn.Write([]byte(text))
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestConfigThatCannotWorkIsRefused(t *testing.T) {
	good := dodo.Config{
		URL: "https://dodo.example/base", Key: func(context.Context, bool) (string, error) { return apiKey, nil },
		Timeout: time.Second, Log: slog.New(slog.DiscardHandler),
	}
	if _, err := dodo.New(good); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	for field, spoil := range map[string][]func(*dodo.Config){
		"URL": {
			func(c *dodo.Config) { c.URL = "" }, func(c *dodo.Config) { c.URL = "dodo.example" },
			func(c *dodo.Config) { c.URL = "http://dodo.example" }, func(c *dodo.Config) { c.URL = "http://10.0.0.1" },
			func(c *dodo.Config) { c.URL = "https://a:b@dodo.example" }, func(c *dodo.Config) { c.URL = "https://dodo.example?a=b" },
			func(c *dodo.Config) { c.URL = "ftp://dodo.example" }, func(c *dodo.Config) { c.URL = "https://dodo.example\n" },
			func(c *dodo.Config) { c.URL = "http://127.0.0.1.example" },
		},
		"Key":     {func(c *dodo.Config) { c.Key = nil }},
		"Timeout": {func(c *dodo.Config) { c.Timeout = 0 }},
		"Log":     {func(c *dodo.Config) { c.Log = nil }},
	} {
		for i, change := range spoil {
			config := good
			change(&config)
			if _, err := dodo.New(config); err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%s, change %d: got %v, want an error that names it", field, i, err)
			}
		}
	}
}
