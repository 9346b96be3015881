package shop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"grantline/shared/appsintoss"
	"grantline/shared/catalog"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/simulate"
)

// toss answers as Apps-in-Toss would of what the shop knows.
func toss(s *AppsInToss) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var ask struct {
			OrderID string `json:"orderId"`
		}
		_ = json.NewDecoder(r.Body).Decode(&ask)
		success := object{"orderId": ask.OrderID, "status": "NOT_FOUND"}
		if o := s.bought[ask.OrderID]; o != nil && (r.Header.Get("x-toss-user-key") == "" || r.Header.Get("x-toss-user-key") == o.UserKey) {
			success["sku"], success["statusDeterminedAt"] = o.SKU, "2025-09-12T16:57:12"
			success["status"] = map[purchase.SaleState]string{
				purchase.Pending: "ORDER_IN_PROGRESS", purchase.Paid: "PAYMENT_COMPLETED", purchase.Refunded: "REFUNDED", purchase.Failed: "FAILED",
			}[o.stands.is.state]
		}
		_ = json.NewEncoder(w).Encode(object{"resultType": "SUCCESS", "success": success})
	}
}

// certified is a certificate that signs itself, and its key.
func certified(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(30, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8)
}

// patient asks the real adapter again where this machine was too slow for it, for it waits some
// seconds of real time at most.
func patient(ask func() (purchase.News, error)) (news purchase.News, err error) {
	for range 20 {
		if news, err = ask(); !errors.Is(err, fault.Unavailable) {
			break
		}
	}
	return news, err
}

func TestAppsInTossIsToldOfAsItsAdapterTells(t *testing.T) {
	goods, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := certified(t)
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	given := func(text string) func(context.Context, bool) (string, error) {
		return func(context.Context, bool) (string, error) { return text, nil }
	}
	checked := 0
	for seed := range uint64(2) {
		w := simulate.New(seed, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), simulate.NewWeather(seed, simulate.Faults{}))
		s := NewAppsInToss(w, goods, Habits{Poor: 30_000})
		server := httptest.NewUnstartedServer(toss(s))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
		server.StartTLS()
		real, err := appsintoss.New(appsintoss.Config{
			URL: server.URL, Certificate: given(certificate), Key: given(key), CA: []byte(certificate), Clock: w.Clock(), Log: slog.New(slog.DiscardHandler),
			Timeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		s.Notify = func(h notice.Hint) { told = append(told, h.Evidence) }
		var all []*TossOrder
		for range 40 {
			_ = w.Run(w.Now().Add(s.within(9 * 24 * time.Hour)))
			all = s.happens(all)
			_ = w.Run(w.Now().Add(time.Minute))
			for _, o := range all {
				for _, p := range []purchase.Proof{{}, {SKU: "gems-100"}, {UserKey: o.UserKey}, {UserKey: "another-user-key"}} {
					if p.Store, p.Evidence = "appsintoss", o.ID; o.stands.is.state == purchase.Pending && p.UserKey != "" {
						continue // each is asked about for long
					}
					want, wantErr := patient(func() (purchase.News, error) { return real.Look(t.Context(), p) })
					got, gotErr := s.Look(t.Context(), p)
					if diff := alike(got, want, gotErr, wantErr); diff != "" {
						t.Fatalf("seed %d: Look at %+v (-adapter +shop):\n%s", seed, o, diff)
					}
				}
				line := purchase.Line{Line: o.ID, Order: o.ID, Since: w.Now().Add(-s.within(300 * 24 * time.Hour))}
				want, wantErr := patient(func() (purchase.News, error) {
					news, _, err := real.Follow(t.Context(), line)
					return news, err
				})
				got, _, gotErr := s.Follow(t.Context(), line)
				if diff := alike(got, want, gotErr, wantErr); diff != "" {
					t.Fatalf("seed %d: Follow of %+v (-adapter +shop):\n%s", seed, o, diff)
				}
				checked++
			}
			for _, evidence := range told {
				want, wantErr := patient(func() (purchase.News, error) {
					news, err := real.Hear(t.Context(), evidence)
					if err == nil && news.Unasked {
						err = outage("this machine")
					}
					return news, err
				})
				got, gotErr := s.Hear(t.Context(), evidence)
				if diff := alike(got, want, gotErr, wantErr); diff != "" {
					t.Fatalf("seed %d: Hear of %s (-adapter +shop):\n%s", seed, evidence, diff)
				}
				checked++
			}
			told = told[:0]
		}
		server.Close()
		w.Close()
	}
	if checked < 200 {
		t.Errorf("compared %d times, want two hundred", checked)
	}
}

// happens is something that people or Toss do.
func (s *AppsInToss) happens(all []*TossOrder) []*TossOrder {
	dice := s.world.Dice
	if len(all) == 0 || dice.IntN(3) == 0 {
		sku := []string{"gems-100", "ad-free", "premium-1month", "premium-1month"}[dice.IntN(4)]
		return append(all, s.Buy(sku, 0, "user-key-1", dice.IntN(3) == 0))
	}
	switch o := all[dice.IntN(len(all))]; dice.IntN(5) {
	case 0:
		s.Settle(o, dice.IntN(3) > 0)
	case 1:
		s.Cancel(o)
	case 2:
		s.Resume(o)
	case 3:
		s.Complete(o.ID)
	default:
		s.Refund(o)
	}
	return all
}
