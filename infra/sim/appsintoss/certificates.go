package appsintoss

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// The certificates are valid for as long as anybody moves a clock, unless they are asked
// for with an end. The real ones are renewed about every 13 months.
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
	ID               string // the serial number in hexadecimal digits
	Certificate, Key []byte // the mini-app's own
	CA               []byte // whom to trust as the server
}

// issued is a certificate that was given out.
type issued struct {
	id, app string
	ended   bool
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
func (s *Simulator) Credentials(app string) Credentials { return s.credentials(app, validUntil) }

func (s *Simulator) credentials(app string, until time.Time) Credentials {
	template := s.trust.template(app)
	template.NotAfter = until
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	key := newKey()
	made := Credentials{
		ID:          serial(template),
		Certificate: encode("CERTIFICATE", s.trust.sign(template, key)),
		Key:         encode("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key))),
		CA:          encode("CERTIFICATE", s.trust.cert.Raw),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued = append(s.issued, issued{id: made.ID, app: app})
	return made
}

func serial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// Install says how a new certificate reaches the product, for Rotate. Call it once, before
// the simulator is served.
func (s *Simulator) Install(how func(Credentials) error) { s.install = how }

// Certification is of a mini-app.
type Certification struct {
	App   string         `json:"app,omitempty"`   // "" is the sample's own
	Lasts stage.Duration `json:"lasts,omitempty"` // by the simulators' clock; 0 is for as long as anybody moves it
}

// Certified is a certificate as a control answers it.
type Certified struct {
	CertificateID string `json:"certificateId"`
	Certificate   string `json:"certificate"` // PEM
	Key           string `json:"key"`         // PEM
	CA            string `json:"ca"`          // PEM
}

// Certify gives out another certificate. Those before stay valid.
func (s *Simulator) Certify(c Certification) (Certified, error) {
	made, err := s.certify(c)
	return Certified{made.ID, string(made.Certificate), string(made.Key), string(made.CA)}, err
}

func (s *Simulator) certify(c Certification) (Credentials, error) {
	until := validUntil
	if c.Lasts < 0 {
		return Credentials{}, errors.New("lasts: more than 0")
	}
	if c.Lasts > 0 {
		until = s.stage.Now().Add(time.Duration(c.Lasts))
	}
	if c.App == "" {
		c.App = OwnApp
	}
	return s.credentials(c.App, until), nil
}

// Rotate gives the sample's own mini-app another certificate and installs it where the
// product reads its own. Those before stay valid until they are ended.
func (s *Simulator) Rotate(c Certification) (Certified, error) {
	if s.install == nil {
		return Certified{}, errors.New("nobody here reads certificates from files")
	}
	c.App = OwnApp
	made, err := s.certify(c)
	if err == nil {
		err = s.install(made)
	}
	return Certified{CertificateID: made.ID, Certificate: string(made.Certificate), CA: string(made.CA)}, err
}

// Ending is of certificates.
type Ending struct {
	CertificateID string `json:"certificateId,omitempty"` // "" is all of the mini-app but its newest
	App           string `json:"app,omitempty"`           // "" is the sample's own
}

// EndCertificate has certificates be taken no more, and says how many that were.
func (s *Simulator) EndCertificate(e Ending) (int, error) {
	if e.App == "" {
		e.App = OwnApp
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	count, newest := 0, true
	for i := len(s.issued) - 1; i >= 0; i-- {
		known := &s.issued[i]
		if known.app != e.App {
			continue
		}
		if (e.CertificateID == known.id || e.CertificateID == "" && !newest) && !known.ended {
			known.ended = true
			count++
		}
		newest = false
	}
	if count == 0 {
		return 0, errors.New("certificateId: of one that is in use, or none where there are several")
	}
	return count, nil
}

// ended says whether a certificate is taken no more.
func (s *Simulator) ended(c *x509.Certificate) bool {
	id := serial(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.issued, func(known issued) bool { return known.id == id && known.ended })
}

var errEnded = errors.New("the certificate was ended in the console")

// appOf is the mini-app of a verified client certificate, "" without one. A connection may
// outlive its certificate, which counts at each call.
func (s *Simulator) appOf(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return ""
	}
	shown := r.TLS.PeerCertificates[0]
	if s.ended(shown) || s.stage.Now().After(shown.NotAfter) {
		return ""
	}
	return strings.TrimSpace(shown.Subject.CommonName)
}

// TLSConfig is how to serve the simulator: a client certificate is checked where one is
// given, by the simulators' clock, and must be of the simulator's own making and not ended,
// or there is no connection. That there is one is the handler's affair, so that other things
// can be served on the same port.
func (s *Simulator) TLSConfig() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.trust.cert)
	return &tls.Config{
		Certificates: []tls.Certificate{s.trust.server},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    pool,
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
		Time:         s.stage.Now,
		VerifyConnection: func(c tls.ConnectionState) error {
			if len(c.PeerCertificates) > 0 && s.ended(c.PeerCertificates[0]) {
				return errEnded
			}
			return nil
		},
	}
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// must is for what can fail only by a bug in this package.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("appsintoss: %v", err))
	}
	return v
}
