package appsintoss_test

import (
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"grantline/infra/sim/appsintoss"
	"grantline/infra/sim/stage"
)

func certify(t *testing.T, a *agency, c appsintoss.Certification) (appsintoss.Certified, *http.Client) {
	t.Helper()
	made, err := a.Certify(c)
	if err != nil {
		t.Fatalf("certificate: got %v, want one", err)
	}
	return made, client(t, appsintoss.Credentials{Certificate: []byte(made.Certificate), Key: []byte(made.Key), CA: []byte(made.CA)})
}

func TestSeveralCertificatesAreValidUntilTheyAreEnded(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	id := a.order(appsintoss.NewOrder{SKU: "gems-100"})
	works := func(name string, c *http.Client, want bool) {
		t.Helper()
		got, err := a.send(c, `{"orderId":"`+id+`"}`)
		if works := err == nil && got.status == 200; works != want {
			t.Errorf("%s: got %d, %v; want it to work: %v", name, got.status, err, want)
		}
	}
	made, second := certify(t, a, appsintoss.Certification{})
	works("the old one", a.client, true)
	works("the new one", second, true)
	if n, err := a.EndCertificate(appsintoss.Ending{}); err != nil || n != 1 {
		t.Errorf("ending: got %d, %v; want the older one", n, err)
	}
	works("the ended one", a.client, false)
	works("the one that is left", second, true)
	if _, err := a.EndCertificate(appsintoss.Ending{}); err == nil {
		t.Error("with one left: got it ended, want it refused")
	}
	if n, err := a.EndCertificate(appsintoss.Ending{CertificateID: made.CertificateID}); err != nil || n != 1 {
		t.Errorf("by its id: got %d, %v; want it ended", n, err)
	}
	works("the last one", second, false)
	_, third := certify(t, a, appsintoss.Certification{Lasts: stage.Duration(time.Hour)})
	works("in its hour", third, true)
	a.clock.Advance(time.Hour + time.Second)
	works("after its hour", third, false)
	_, foreign := certify(t, a, appsintoss.Certification{App: "another-app"})
	if got, err := a.send(foreign, `{"orderId":"`+id+`"}`); err != nil || got.Success["status"] != appsintoss.MiniAppMismatch {
		t.Errorf("another mini-app: got %v, %v; want MINIAPP_MISMATCH", got.Success, err)
	}
	if _, err := a.Certify(appsintoss.Certification{Lasts: -1}); err == nil {
		t.Error("no time at all: got a certificate, want it refused")
	}
}

func TestCertificateThatEndsUnderAnOpenConnectionIs403(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	id := a.order(appsintoss.NewOrder{SKU: "gems-100"})
	made, c := certify(t, a, appsintoss.Certification{})
	transport := c.Transport.(*http.Transport)
	transport.DisableKeepAlives = false
	transport.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	defer transport.CloseIdleConnections()
	body := `{"orderId":"` + id + `"}`
	if got, err := a.send(c, body); err != nil || got.status != 200 {
		t.Fatalf("before: got %d, %v; want 200", got.status, err)
	}
	if _, err := a.EndCertificate(appsintoss.Ending{CertificateID: made.CertificateID}); err != nil {
		t.Fatal(err)
	}
	if got, err := a.send(c, body); err != nil || got.status != 403 || got.ResultType != "FAIL" {
		t.Errorf("open connection: got %d %s, %v; want 403", got.status, got.ResultType, err)
	}
	transport.CloseIdleConnections()
	if got, err := a.send(c, body); err == nil {
		t.Errorf("resumed session: got %d, want no connection", got.status)
	}
}

func TestRotationReachesWhoReadsTheCertificate(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	if _, err := a.Rotate(appsintoss.Certification{}); err == nil {
		t.Error("nobody reads: got it rotated, want it refused")
	}
	var installed appsintoss.Credentials
	a.Install(func(c appsintoss.Credentials) error {
		installed = c
		return nil
	})
	made, err := a.Rotate(appsintoss.Certification{App: "another-app"})
	if err != nil || made.CertificateID != installed.ID || made.Certificate != string(installed.Certificate) || made.Key != "" {
		t.Errorf("got %v, %+v; want what was installed, without its key", err, made)
	}
	id := a.order(appsintoss.NewOrder{SKU: "gems-100"})
	if got, err := a.send(client(t, installed), `{"orderId":"`+id+`"}`); err != nil || got.Success["status"] != appsintoss.PaymentCompleted {
		t.Errorf("with the new one: got %v, %v; want the order of the sample's own mini-app", got.Success, err)
	}
}

func TestRateLimitIsThreeThousandAMinuteOfTheClock(t *testing.T) {
	o := newOffice(t, appsintoss.Options{})
	id := o.order(appsintoss.NewOrder{SKU: "gems-100"})
	c := client(t, o.Credentials(appsintoss.OwnApp))
	c.Transport.(*http.Transport).DisableKeepAlives = false
	defer c.CloseIdleConnections()
	for i := range 3001 {
		got, err := o.send(c, `{"orderId":"`+id+`"}`)
		if err != nil {
			t.Fatalf("look %d: got %v, want an answer", i+1, err)
		}
		if limited := got.Error.ErrorCode == "4095"; limited != (i == 3000) {
			t.Fatalf("look %d: got code %q, want 4095 for the 3,001st alone", i+1, got.Error.ErrorCode)
		}
	}
	another := client(t, o.Credentials("another-app"))
	if got, err := o.send(another, `{"orderId":"`+id+`"}`); err != nil || got.ResultType != "SUCCESS" {
		t.Errorf("another mini-app: got %s, %v; want its own count", got.ResultType, err)
	}
	o.now.Add(60)
	if got := o.look(id).ResultType; got != "SUCCESS" {
		t.Errorf("the next minute: got %s, want SUCCESS", got)
	}
}
