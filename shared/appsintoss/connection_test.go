package appsintoss_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"grantline/shared/appsintoss"
	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

var discard = slog.New(slog.DiscardHandler)

// says200 reads an answer another way than the store does.
func says200(body string, sale purchase.Sale) bool {
	var answer map[string]any
	if json.Unmarshal([]byte(body), &answer) != nil || answer["resultType"] != "SUCCESS" {
		return false
	}
	order, _ := answer["success"].(map[string]any)
	want, ok := map[any]purchase.SaleState{
		"PAYMENT_COMPLETED": purchase.Paid, "PURCHASED": purchase.Paid, "REFUNDED": purchase.Refunded,
		"FAILED": purchase.Failed, "ORDER_IN_PROGRESS": purchase.Pending,
	}[order["status"]]
	return ok && want == sale.State && order["orderId"] == sale.Order && (sale.State != purchase.Paid || sale.SKU != "")
}

// serve answers over mutual TLS, to certificates of trusted only.
func serve(t *testing.T, self, trusted *authority, h http.HandlerFunc) string {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(trusted.cert)
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{self.pair()}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, Time: func() time.Time { return now }}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// secrets gives one pair from the cache and another to who looks past it.
type secrets struct {
	cached, fresh [2]string
	freshly       atomic.Int32
}

func (s *secrets) part(i int) func(context.Context, bool) (string, error) {
	return func(_ context.Context, fresh bool) (string, error) {
		if fresh {
			s.freshly.Add(1)
			return s.fresh[i], nil
		}
		return s.cached[i], nil
	}
}

func pairOf(certificate, key string) [2]string { return [2]string{certificate, key} }

func TestCertificateIsShownAndRenewedOnceWhenRefused(t *testing.T) {
	toss, foreign := newAuthority(t, "toss"), newAuthority(t, "foreign")
	later := now.AddDate(1, 0, 0)
	good, other, stale := pairOf(toss.issue(later)), pairOf(toss.issue(later)), pairOf(foreign.issue(later))
	for _, c := range []struct {
		name          string
		cached, fresh [2]string
		ca            []byte
		err           error
		freshly       int32
	}{
		{"good", good, good, toss.pem(), nil, 0},
		{"rotated", stale, good, toss.pem(), nil, 2},
		{"refused for ever", stale, stale, toss.pem(), fault.Unavailable, 2},
		{"half of it rotated", [2]string{good[0], other[1]}, other, toss.pem(), nil, 2},
		{"no PEM", [2]string{"x", "y"}, [2]string{"x", "y"}, toss.pem(), fault.Unavailable, 6},
		{"toss is somebody else", good, good, foreign.pem(), fault.Unavailable, 0},
		{"toss is not known to the system", good, good, nil, fault.Unavailable, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int32
			url := serve(t, toss, toss, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				if len(r.TLS.PeerCertificates) == 0 {
					t.Error("got no client certificate, want one")
				}
				fmt.Fprint(w, paid.body)
			})
			vault := &secrets{cached: c.cached, fresh: c.fresh}
			var l log
			store, err := appsintoss.New(appsintoss.Config{
				URL: url, Certificate: vault.part(0), Key: vault.part(1), CA: c.ca, Clock: clock.Fixed(now),
				Log: slog.New(slog.NewJSONHandler(&l, nil)), Timeout: time.Minute,
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := only(store.Look(t.Context(), proof))
			if !errors.Is(err, c.err) || (err == nil) != (got.State == purchase.Paid) || (err == nil) != (asked.Load() == 1) {
				t.Errorf("got %+v, %v after %d requests that were let in, want %v", got, err, asked.Load(), c.err)
			}
			if vault.freshly.Load() != c.freshly {
				t.Errorf("got %d fresh looks at the secrets, want %d", vault.freshly.Load(), c.freshly)
			}
			silent(t, &l, fmt.Sprint(err))
		})
	}
}

func TestCertificateIsRenewedAfter401(t *testing.T) {
	toss := newAuthority(t, "toss")
	old, fresh := pairOf(toss.issue(now.AddDate(1, 0, 0))), pairOf(toss.issue(now.AddDate(2, 0, 0)))
	var froms []string
	url := serve(t, toss, toss, func(w http.ResponseWriter, r *http.Request) {
		froms = append(froms, r.RemoteAddr)
		if r.TLS.PeerCertificates[0].NotAfter.Year() < now.Year()+2 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, paid.body)
	})
	vault := &secrets{cached: old, fresh: fresh}
	store, err := appsintoss.New(appsintoss.Config{
		URL: url, Certificate: vault.part(0), Key: vault.part(1), CA: toss.pem(), Clock: clock.Fixed(now), Log: discard, Timeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := only(store.Look(t.Context(), proof)); err != nil || got.State != purchase.Paid {
			t.Errorf("got %+v, %v, want it paid", got, err)
		}
	}
	if len(froms) != 3 || froms[1] != froms[2] {
		t.Errorf("got requests from %q, want three, the last two over one connection", froms)
	}
}

func TestSecretsThatAreOutAreAnOutage(t *testing.T) {
	var l log
	store, err := appsintoss.New(appsintoss.Config{
		URL: "https://127.0.0.1:1", Key: none, Clock: clock.Fixed(now), Log: slog.New(slog.NewJSONHandler(&l, nil)),
		Certificate: func(context.Context, bool) (string, error) { return "", errors.New("vault says no to PRIVATE KEY") },
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Look(t.Context(), proof)
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want fault.Unavailable", err)
	}
	silent(t, &l, fmt.Sprint(err))
}

// only is the one sale that this store ever has news of.
func only(news purchase.News, err error) (purchase.Sale, error) {
	if err != nil {
		return purchase.Sale{}, err
	}
	return news.Sales[0], nil
}
