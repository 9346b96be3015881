package appsintoss_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/appsintoss"
	"grantline/shared/clock"
	"grantline/shared/purchase"
)

const (
	order   = "0198c0de-7a3b-7c4d-8e5f-6a7b8c9d0e1f"
	userKey = "443731103"
)

var (
	now   = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	proof = purchase.Proof{Store: appsintoss.Name, Evidence: order, UserKey: userKey}
)

// log collects what is logged.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// silent fails the test if anything secret was logged or is in the texts.
func silent(t *testing.T, l *log, texts ...string) {
	t.Helper()
	for _, text := range append(texts, l.String()) {
		for _, secret := range []string{order, userKey, "PRIVATE KEY", "reason of toss", "vault says"} {
			if strings.Contains(text, secret) {
				t.Errorf("got %q in %q, want it nowhere", secret, text)
			}
		}
	}
}

// says is one answer.
type says struct {
	status int
	body   string
	err    error
}

// script is a store that gives its answers in turn, and the last one again and again.
type script struct {
	answers  []says
	asked    int
	requests []*http.Request
	bodies   []string
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	s.requests, s.bodies = append(s.requests, req), append(s.bodies, string(body))
	answer := s.answers[min(s.asked, len(s.answers)-1)]
	s.asked++
	if answer.err != nil {
		return nil, answer.err
	}
	return &http.Response{
		StatusCode: answer.status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: req,
		Body: io.NopCloser(strings.NewReader(answer.body)),
	}, nil
}

func none(context.Context, bool) (string, error) { return "", nil }

// scripted is a store that asks s by c.
func scripted(t testing.TB, s http.RoundTripper, c clock.Clock, l io.Writer) *appsintoss.Store {
	t.Helper()
	store, err := appsintoss.New(appsintoss.Config{
		URL: "https://apps.example/appsintoss/", Certificate: none, Key: none, Clock: c, Log: slog.New(slog.NewJSONHandler(l, nil)),
	})
	if err != nil {
		t.Fatalf("New: got %v, want no error", err)
	}
	appsintoss.AskOver(store, s)
	return store
}

// success is a SUCCESS about the order with further members.
func success(status, members string) says {
	return says{status: 200, body: fmt.Sprintf(`{"resultType":"SUCCESS","success":{"orderId":%q,"status":%q%s}}`, order, status, members)}
}

// failure is a FAIL, which comes with 200.
func failure(resultType, code, data string) says {
	return says{status: 200, body: fmt.Sprintf(
		`{"resultType":%q,"success":null,"error":{"errorType":0,"errorCode":%q,"reason":"reason of toss","data":%s,"title":null}}`, resultType, code, data)}
}

var paid = success("PAYMENT_COMPLETED", `,"sku":"gems-100","statusDeterminedAt":"2026-11-22T17:59:30+09:00"`)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	return newAuthorityUnder(t, name, nil)
}

// newAuthorityUnder is one that another signed; nil for one that signed itself.
func newAuthorityUnder(t *testing.T, name string, above *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-20, 0, 0), NotAfter: now.AddDate(80, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	signer, by := template, key
	if above != nil {
		signer, by = above.cert, above.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// issue makes a certificate for this machine, and its key, as PEM.
func (a *authority) issue(until time.Time) (certificate, key string) {
	a.t.Helper()
	return a.issueFrom(now.AddDate(-20, 0, 0), until)
}

// issueFrom is issue of one that is not valid yet before from.
func (a *authority) issueFrom(from, until time.Time) (certificate, key string) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(from.Unix()), Subject: pkix.Name{CommonName: "mini-app"}, NotBefore: from, NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.cert, private.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))
}

// issueRSA is issue with a key of RSA, in the form of its own.
func (a *authority) issueRSA() [2]string {
	a.t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "mini-app"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, private.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return [2]string{
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})),
	}
}

// sec1 is a key of an elliptic curve in the form of its own.
func sec1(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// pair is issue as crypto/tls takes it.
func (a *authority) pair() tls.Certificate {
	a.t.Helper()
	pair, err := tls.X509KeyPair(bytesOf(a.issue(now.AddDate(70, 0, 0))))
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

func bytesOf(certificate, key string) (certPEM, keyPEM []byte) {
	return []byte(certificate), []byte(key)
}
