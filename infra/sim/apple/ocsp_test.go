package apple_test

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"grantline/infra/sim/apple"
	"grantline/infra/sim/stage"
)

// responder is a shop whose certificates name it: the address is known before the server.
func newResponder(t *testing.T) *shop {
	t.Helper()
	p := newShop(t, apple.Options{})
	named := apple.New(apple.Options{Now: p.clock.Now, At: p.clock.At, Base: p.server.URL, HangLimit: time.Millisecond})
	t.Cleanup(named.Close)
	p.Simulator, p.server.Config.Handler = named, named
	return p
}

// ask asks the responder that a certificate names.
func (p *shop) ask(level apple.Level, by crypto.Hash) (int, *ocsp.Response, error) {
	p.t.Helper()
	cert, issuer := p.Authority().Certificate(level), p.Authority().Certificate(level+1)
	if len(cert.OCSPServer) != 1 {
		p.t.Fatalf("%s: got responders %v, want one", level, cert.OCSPServer)
	}
	request, err := ocsp.CreateRequest(cert, issuer, &ocsp.RequestOptions{Hash: by})
	p.must(err)
	status, body := p.send(cert.OCSPServer[0], "application/ocsp-request", request)
	if status != http.StatusOK {
		return status, nil, nil
	}
	answer, err := ocsp.ParseResponseForCert(body, cert, issuer)
	return status, answer, err
}

func (p *shop) send(url, kind string, request []byte) (int, []byte) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), "POST", url, bytes.NewReader(request))
	p.must(err)
	r.Header.Set("Content-Type", kind)
	response, err := p.client.Do(r)
	if err != nil {
		p.t.Fatalf("responder: got %v, want an answer", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	p.must(err)
	return response.StatusCode, body
}

func TestResponderVouchesForBothCertificatesUntilTheyAreRevoked(t *testing.T) {
	p := newResponder(t)
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		for _, level := range []apple.Level{apple.Leaf, apple.Intermediate} {
			_, got, err := p.ask(level, hash)
			if err != nil || got.Status != ocsp.Good {
				t.Fatalf("%s by %s: got %+v, %v; want good", level, hash, got, err)
			}
			now := p.clock.Now()
			if got.ThisUpdate.After(now) || !got.NextUpdate.After(now) {
				t.Errorf("%s: got an answer from %s to %s, want one for %s", level, got.ThisUpdate, got.NextUpdate, now)
			}
		}
	}
	p.must(p.RevokeCertificate(apple.Pulled{Level: "leaf"}))
	at := p.clock.Now()
	p.advance(time.Hour)
	if _, got, err := p.ask(apple.Leaf, crypto.SHA256); err != nil || got.Status != ocsp.Revoked || !got.RevokedAt.Equal(at) {
		t.Errorf("leaf: got %+v, %v; want it revoked at %s", got, err, at)
	}
	if _, got, err := p.ask(apple.Intermediate, crypto.SHA256); err != nil || got.Status != ocsp.Good {
		t.Errorf("intermediate: got %+v, %v; want good", got, err)
	}
	p.must(p.RevokeCertificate(apple.Pulled{Level: "intermediate"}))
	if _, got, err := p.ask(apple.Intermediate, crypto.SHA256); err != nil || got.Status != ocsp.Revoked {
		t.Errorf("intermediate: got %+v, %v; want it revoked", got, err)
	}
	if p.RevokeCertificate(apple.Pulled{Level: "root"}) == nil || p.AnswerOCSP(apple.Responding{How: "maybe"}) == nil {
		t.Error("root, maybe: got nil, want them refused")
	}
}

func TestResponderFailsAsItIsTold(t *testing.T) {
	p := newResponder(t)
	for _, c := range []struct {
		how    string
		status int
		right  func(*ocsp.Response, error) bool
	}{
		{"tryLater", 200, func(_ *ocsp.Response, err error) bool {
			return errors.Is(err, ocsp.ResponseError{Status: ocsp.TryLater})
		}},
		{"500", 500, func(r *ocsp.Response, err error) bool { return r == nil && err == nil }},
		{"stale", 200, func(r *ocsp.Response, err error) bool {
			return err == nil && r.Status == ocsp.Good && r.NextUpdate.Before(p.clock.Now())
		}},
		{"unknown", 200, func(r *ocsp.Response, err error) bool { return err == nil && r.Status == ocsp.Unknown }},
		{"foreign", 200, func(_ *ocsp.Response, err error) bool { return err != nil }},
		{"good", 200, func(r *ocsp.Response, err error) bool { return err == nil && r.Status == ocsp.Good }},
	} {
		p.must(p.AnswerOCSP(apple.Responding{How: c.how}))
		if status, got, err := p.ask(apple.Leaf, crypto.SHA256); status != c.status || !c.right(got, err) {
			t.Errorf("%s: got %d, %+v, %v; want it so", c.how, status, got, err)
		}
	}
	url := p.Authority().Certificate(apple.Leaf).OCSPServer[0]
	if status, _ := p.send(url, "text/plain", nil); status != 415 {
		t.Errorf("another content type: got %d, want 415", status)
	}
	if _, body := p.send(url, "application/ocsp-request", []byte("x")); !bytes.Equal(body, ocsp.MalformedRequestErrorResponse) {
		t.Errorf("no request: got %x, want malformedRequest", body)
	}
	intermediate, root := p.Authority().Certificate(apple.Intermediate), p.Authority().Certificate(apple.Root)
	wrong, err := ocsp.CreateRequest(intermediate, root, nil)
	p.must(err)
	if _, body := p.send(url, "application/ocsp-request", wrong); !bytes.Equal(body, ocsp.UnauthorizedErrorResponse) {
		t.Errorf("about another certificate: got %x, want unauthorized", body)
	}
	p.must(p.Fault(stage.Fault{Endpoint: apple.OCSP, When: stage.Before, How: stage.Error}))
	if status, _, _ := p.ask(apple.Leaf, crypto.SHA256); status != 500 {
		t.Errorf("fault: got %d, want 500", status)
	}
}

func TestChainNamesNoResponderWithoutAnAddress(t *testing.T) {
	p := newShop(t, apple.Options{})
	if got := p.Authority().Certificate(apple.Leaf).OCSPServer; len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
}
