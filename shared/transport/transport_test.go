package transport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"grantline/shared/transport"
)

// counted is a server that counts its connections, and a transport that trusts it.
func counted(t *testing.T, by *http.Transport, handler http.HandlerFunc) (address string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	t.Cleanup(by.CloseIdleConnections)
	by.TLSClientConfig.RootCAs = x509.NewCertPool()
	by.TLSClientConfig.RootCAs.AddCert(server.Certificate())
	return server.URL, connections
}

func get(t *testing.T, client *http.Client, address string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := transport.Read(res.Body, 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestAConnectionIsKeptOrUsedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		by   *http.Transport
		want int64
	}{"kept": {transport.Kept(30 * time.Second), 1}, "once": {transport.Once(30 * time.Second), 3}} {
		address, connections := counted(t, c.by, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Header.Get("Accept-Encoding"))
		})
		for range 3 {
			if _, body := get(t, transport.Client(c.by), address); body != "" {
				t.Errorf("%s: got compression %q asked for, want none: it hides how large an answer is", name, body)
			}
		}
		if got := connections.Load(); got != c.want {
			t.Errorf("%s: got %d connections for three requests, want %d", name, got, c.want)
		}
	}
}

// What takes money is never sent twice by what carries it: the server closes each
// connection without an answer, which net/http takes for one that broke meanwhile.
func TestWhatIsSentOnceIsNotRepeated(t *testing.T) {
	by := transport.Once(30 * time.Second)
	var requests atomic.Int64
	address, _ := counted(t, by, func(http.ResponseWriter, *http.Request) {
		requests.Add(1)
		panic(http.ErrAbortHandler)
	})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		requests.Store(0)
		req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader("charge"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "order")
		res, err := transport.Client(by).Do(req)
		if err == nil {
			res.Body.Close()
		}
		if got := requests.Load(); err == nil || got != 1 {
			t.Errorf("%s: got %v after %d requests, want an error after 1", method, err, got)
		}
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	by := transport.Kept(30 * time.Second)
	var requests atomic.Int64
	address, _ := counted(t, by, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	if res, _ := get(t, transport.Client(by), address); res.StatusCode != http.StatusTemporaryRedirect || requests.Load() != 1 {
		t.Errorf("got %d after %d requests, want 307 after 1", res.StatusCode, requests.Load())
	}
}

func TestATransportIsBounded(t *testing.T) {
	for name, by := range map[string]*http.Transport{"kept": transport.Kept(7 * time.Second), "once": transport.Once(7 * time.Second)} {
		if by.TLSClientConfig.MinVersion != tls.VersionTLS12 || by.TLSHandshakeTimeout != 7*time.Second || by.Proxy == nil || by.DialContext == nil {
			t.Errorf("%s: got %+v, want TLS 1.2 or better and a handshake within 7 s", name, by)
		}
		address, _ := counted(t, by, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 65<<10)) })
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := transport.Client(by).Do(req); err == nil {
			res.Body.Close()
			t.Errorf("%s: a header of 65 KiB was read, want it refused", name)
		}
	}
	if by := transport.Kept(time.Second); by.IdleConnTimeout != 30*time.Second || by.MaxIdleConns != 8 || by.MaxIdleConnsPerHost != 4 {
		t.Errorf("got %+v, want few idle connections, for 30 s", by)
	}
}

func TestAnAnswerIsReadToItsBound(t *testing.T) {
	for n, want := range map[int]error{0: nil, 9: nil, 10: nil, 11: transport.ErrTooLarge, 1 << 20: transport.ErrTooLarge} {
		body, err := transport.Read(strings.NewReader(strings.Repeat("x", n)), 10)
		if !errors.Is(err, want) || (want == nil && len(body) != n) || (want != nil && body != nil) {
			t.Errorf("%d bytes: got %d, %v, want %v", n, len(body), err, want)
		}
	}
	broken := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if body, err := transport.Read(broken, 10); !errors.Is(err, io.ErrUnexpectedEOF) || body != nil {
		t.Errorf("got %q, %v, want nothing of half an answer", body, err)
	}
}

// timeout is a failure of time alone.
type timeout struct{ error }

func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func TestAFailureIsToldInOurOwnWords(t *testing.T) {
	secret := errors.New("https://api.example/token-of-a-purchase")
	for want, errs := range map[string][]error{
		"the answer is too large":               {transport.ErrTooLarge},
		"the caller gave up":                    {context.Canceled},
		"no answer in time":                     {context.DeadlineExceeded, timeout{secret}, &net.DNSError{Err: secret.Error(), IsTimeout: true}},
		"the host's name was not resolved":      {&net.DNSError{Err: secret.Error(), Name: secret.Error()}},
		"the host's certificate is not trusted": {&tls.CertificateVerificationError{Err: secret}},
		"the connection failed at dial":         {&net.OpError{Op: "dial", Net: "tcp", Err: secret}},
		"the connection was closed":             {io.EOF, io.ErrUnexpectedEOF},
		"no readable answer":                    {secret},
	} {
		for _, err := range errs {
			for _, wrapped := range []error{err, fmt.Errorf("%w: %w", secret, err), &url.Error{Op: "Get", URL: secret.Error(), Err: err}} {
				if got := transport.Why(wrapped); got != want {
					t.Errorf("%T: got %q, want %q", err, got, want)
				}
			}
		}
	}
}

// Whether this machine may be asked without TLS is decided by the build alone.
func TestPlainHTTPIsForALocalBuildOnThisMachine(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "127.9.9.9", "localhost", "::1"} {
		if got := transport.Plain(host); got != localBuild {
			t.Errorf("%s: got %v, want %v", host, got, localBuild)
		}
	}
	for _, host := range []string{"", "10.0.0.1", "192.168.0.1", "0.0.0.0", "localhost.example.com", "127.0.0.1.example.com", "example.com", "169.254.169.254", "::"} {
		if transport.Plain(host) {
			t.Errorf("%s: got plain HTTP allowed, want it never", host)
		}
	}
}
