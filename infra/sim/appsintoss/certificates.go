package appsintoss

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"
)

// The certificates are valid for as long as anybody moves a clock. The real ones are
// renewed about every 13 months, which the simulator does not act out.
var (
	validFrom  = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)
)

// authority issues the server's and the mini-apps' certificates.
type authority struct {
	random io.Reader
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	server tls.Certificate
}

// Credentials is what the console of Apps-in-Toss gives out, as PEM blocks.
type Credentials struct {
	Certificate, Key []byte // the mini-app's own
	CA               []byte // whom to trust as the server
}

func newAuthority(random io.Reader) authority {
	a := authority{random: random, key: newKey()}
	template := a.template("Simulated Apps-in-Toss CA")
	template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	a.cert = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key))))
	template = a.template("127.0.0.1")
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	template.DNSNames = []string{"localhost"}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	key := newKey()
	a.server = tls.Certificate{Certificate: [][]byte{a.sign(template, key)}, PrivateKey: key}
	return a
}

func (a authority) template(name string) *x509.Certificate {
	serial := make([]byte, 8)
	must(io.ReadFull(a.random, serial))
	serial[0] = serial[0]&0x7f | 1
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: validFrom, NotAfter: validUntil,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
}

func (a authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	return must(x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key))
}

// Credentials gives a mini-app a certificate, each time a new one: several may be in use,
// as while one replaces another.
func (s *Simulator) Credentials(app string) Credentials {
	template := s.trust.template(app)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	key := newKey()
	return Credentials{
		Certificate: encode("CERTIFICATE", s.trust.sign(template, key)),
		Key:         encode("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key))),
		CA:          encode("CERTIFICATE", s.trust.cert.Raw),
	}
}

// TLSConfig is how to serve the simulator: a client certificate is checked where one is
// given, and must be of the simulator's own making. That there is one is the handler's
// affair, so that other things can be served on the same port.
func (s *Simulator) TLSConfig() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.trust.cert)
	return &tls.Config{
		Certificates: []tls.Certificate{s.trust.server},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    pool,
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	}
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// must is for what can fail only by a bug in this file.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("appsintoss: making a certificate: %v", err))
	}
	return v
}
