// Package sim serves simulators of the stores and gateways on one port of this machine, to
// develop against. The one idea: it is no stand-in that says yes but an adversary that
// keeps books. It is as strict as the real ones, loses answers of itself, makes up new
// keys at every start and forgets everything at its end, so that nobody comes to rely on
// it; and its log of effects says what really happened. Begin at Start, and read the
// README beside this file for what it does not simulate.
package sim

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"grantline/infra/sim/apple"
	"grantline/infra/sim/appsintoss"
	"grantline/infra/sim/dodo"
	"grantline/infra/sim/play"
	"grantline/infra/sim/stage"
	"grantline/infra/sim/toss"
)

// Options say where and how the simulators run.
type Options struct {
	// Addr is a loopback address such as 127.0.0.1:4000; port 0 chooses one, and "" is
	// 127.0.0.1:0. Any other address is refused.
	Addr string
	// Unkind is the percentage of calls, 0 to 100, that go wrong of themselves.
	Unkind int
	// Seed makes ids and random faults repeatable; 0 draws a fresh one.
	Seed uint64
	// Now is the clock of the providers; nil is the system's.
	Now func() time.Time
	// Dir is where certificates and keys are written as PEM files; "" is a new directory
	// for temporary files. What was written is removed by Close.
	Dir string
	// Log gets a line for each call; nil keeps none.
	Log io.Writer
	// Webhooks is the origin that webhooks are sent to, such as http://127.0.0.1:3000; ""
	// sends none. It is on loopback, as the simulators are.
	Webhooks string
	// At has do called at an instant of Now's clock; see stage.Options. A clock that can be
	// moved needs it.
	At func(key string, at time.Time, do func(ctx context.Context))
}

// Server is a running set of simulators.
type Server struct {
	Toss       *toss.Simulator
	AppsInToss *appsintoss.Simulator
	Apple      *apple.Simulator
	Play       *play.Simulator
	Dodo       *dodo.Simulator

	receivers *receivers
	listener  *splitter
	plain     *http.Server
	secure    *http.Server
	serving   sync.WaitGroup
	env       map[string]string
	remove    []string
	cancel    context.CancelFunc
	closing   sync.Once
	closed    error
}

// provider is what all simulators have in common.
type provider interface {
	http.Handler
	Control() http.Handler
	Controls() []stage.Control
	SetUnkind(percent int) error
	Close()
}

// Start starts the simulators. They run until Close or the end of ctx.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Unkind < 0 || o.Unkind > 100 {
		return nil, fmt.Errorf("sim: unkind %d: a percentage from 0 to 100", o.Unkind)
	}
	address, err := loopback(o.Addr)
	if err != nil {
		return nil, err
	}
	if err := checkWebhooks(o.Webhooks); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	var lines io.Writer
	if o.Log != nil {
		lines = &oneAtATime{to: o.Log}
	}
	s := &Server{listener: split(listener)}
	s.receivers = newReceivers(s.URL(), o.Now)
	options := func(provider string) stage.Options {
		return stage.Options{
			Now: o.Now, Seed: o.Seed, Unkind: o.Unkind, Log: lines, At: o.At, Webhooks: o.Webhooks, Base: s.URL() + "/" + provider,
		}
	}
	s.Toss, s.AppsInToss = toss.New(options("toss")), appsintoss.New(options("appsintoss"))
	s.Apple, s.Dodo = apple.New(options("apple")), dodo.New(options("dodo"))
	s.Play = play.New(options("play"))
	if err := s.writeEnv(o.Dir); err != nil {
		return nil, errors.Join(fmt.Errorf("sim: %w", err), listener.Close(), s.removeFiles())
	}
	handler := s.handler()
	// A call can be reset alone only if it has its connection to itself.
	var one http.Protocols
	one.SetHTTP1(true)
	// No ReadTimeout: it would end a call that hangs.
	s.plain = &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, IdleTimeout: idleTimeout, ErrorLog: bugs, Protocols: &one}
	s.secure = &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, IdleTimeout: idleTimeout, ErrorLog: bugs, Protocols: &one, TLSConfig: s.AppsInToss.TLSConfig()}
	ctx, s.cancel = context.WithCancel(ctx)
	s.serving.Go(s.listener.run)
	s.serving.Go(func() { _ = s.plain.Serve(s.listener.plain) })
	s.serving.Go(func() { _ = s.secure.ServeTLS(s.listener.secure, "", "") })
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s, nil
}

// loopback lets through what only this machine can reach.
func loopback(address string) (string, error) {
	address = cmp.Or(address, "127.0.0.1:0")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("sim: address %q: %w", address, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("sim: address %q: the simulators listen on loopback only, such as 127.0.0.1:4000", address)
	}
	return net.JoinHostPort(host, port), nil
}

// checkWebhooks lets through an origin on this machine.
func checkWebhooks(origin string) error {
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("sim: webhooks to %q: want an origin such as http://127.0.0.1:3000", origin)
	}
	_, err = loopback(net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80")))
	return err
}

// URL is where the simulators are, without a slash at its end.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Env are the environment variables that point the product at the simulators.
func (s *Server) Env() map[string]string { return maps.Clone(s.env) }

// writeEnv writes the files that Env names.
func (s *Server) writeEnv(dir string) error {
	if dir == "" {
		made, err := os.MkdirTemp("", "grantline-sim-")
		if err != nil {
			return err
		}
		dir = made
		s.remove = append(s.remove, made)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	mini, store := s.AppsInToss.Credentials(appsintoss.OwnApp), s.Apple.Credentials()
	s.env = map[string]string{
		"TOSS_API_URL":          s.URL() + "/toss",
		"TOSS_SECRET_KEY":       s.Toss.SecretKey(),
		"APPS_IN_TOSS_API_URL":  "https://" + s.listener.Addr().String() + "/appsintoss",
		"DODO_API_URL":          s.URL() + "/dodo",
		"DODO_API_KEY":          s.Dodo.Key(),
		"DODO_WEBHOOK_SECRETS":  strings.Join(s.Dodo.Secrets(), ","),
		"APPLE_API_URL":         s.URL() + "/apple",
		"APPLE_SANDBOX_API_URL": s.URL() + "/apple/sandbox",
		"APPLE_BUNDLE_IDS":      apple.BundleID,
		"APPLE_APP_ID":          store.AppID,
		"APPLE_ISSUER_ID":       store.IssuerID,
		"APPLE_KEY_ID":          store.KeyID,
		"APPLE_PRIVATE_KEY":     string(store.PrivateKey),
		"APPLE_REVOCATION":      "off",
		"PLAY_API_URL":          s.URL() + "/play",
		"PLAY_PACKAGE_NAMES":    play.Package,
		"PLAY_CREDENTIALS":      string(s.Play.Credentials()),
		"PLAY_PUSH_AUDIENCE":    play.PushAudience,
		"PLAY_PUSH_EMAIL":       play.PushEmail,
		"PLAY_PUSH_KEYS_URL":    s.URL() + "/play/oauth2/v3/certs",

		"APPS_IN_TOSS_WEBHOOK_SECRET": s.AppsInToss.WebhookSecret(),
	}
	for _, file := range []struct {
		variable, name string
		content        []byte
	}{
		{"APPS_IN_TOSS_CERTIFICATE", "apps-in-toss-certificate.pem", mini.Certificate},
		{"APPS_IN_TOSS_KEY", "apps-in-toss-key.pem", mini.Key},
		{"APPS_IN_TOSS_CA", "apps-in-toss-ca.pem", mini.CA},
		{"APPLE_ROOT_CERTIFICATES", "apple-root-certificates.pem", s.Apple.Authority().RootPEM()},
	} {
		path := filepath.Join(dir, file.name)
		if err := os.WriteFile(path, file.content, 0o600); err != nil {
			return err
		}
		s.remove = append(s.remove, path)
		s.env[file.variable] = path
	}
	certificate, key := s.env["APPS_IN_TOSS_CERTIFICATE"], s.env["APPS_IN_TOSS_KEY"]
	s.AppsInToss.Install(func(c appsintoss.Credentials) error {
		return errors.Join(replace(key, c.Key), replace(certificate, c.Certificate))
	})
	return nil
}

// replace gives a file another content, at once for whoever reads it.
func replace(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// removeFiles removes what writeEnv wrote, the directory last.
func (s *Server) removeFiles() error {
	var all error
	for _, path := range slices.Backward(s.remove) {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			all = errors.Join(all, err)
		}
	}
	return all
}

// providers are the simulators by the first part of their paths.
func (s *Server) providers() map[string]provider {
	return map[string]provider{"toss": s.Toss, "appsintoss": s.AppsInToss, "apple": s.Apple, "play": s.Play, "dodo": s.Dodo}
}

// Close stops the simulators, drops the calls that hang, and removes the files.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.cancel()
		for _, p := range s.providers() {
			p.Close()
		}
		s.closed = errors.Join(s.listener.Close(), s.plain.Close(), s.secure.Close(), s.removeFiles())
		s.serving.Wait()
	})
	return s.closed
}

// idleTimeout is longer than any client of ours keeps a connection that it does not use.
const idleTimeout = 10 * time.Minute

// bugs shows panics of the simulators on standard error, and not the complaints about
// clients that do not like the other's certificate, which tests provoke.
var bugs = log.New(butHandshakes{}, "sim: ", 0)

type butHandshakes struct{}

func (butHandshakes) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("TLS handshake error")) {
		return len(line), nil
	}
	return os.Stderr.Write(line)
}

// oneAtATime keeps the lines of several providers apart.
type oneAtATime struct {
	mu sync.Mutex
	to io.Writer
}

func (w *oneAtATime) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}
