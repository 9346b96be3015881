package client_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"testing"

	"grantline/infra/sim/appsintoss"
)

// tossClient shows the certificate of a mini-app.
func tossClient(t *testing.T, c appsintoss.Credentials) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.CA) {
		t.Fatal("CA: got no certificate, want a PEM block")
	}
	pair, err := tls.X509KeyPair(c.Certificate, c.Key)
	if err != nil {
		t.Fatalf("key pair: %v", err)
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}, DisableKeepAlives: true,
	}}
}

// paid says whether an answer is one of the two words for a completed payment.
func paid(r *http.Response) bool {
	var answer struct {
		ResultType string
		Success    struct{ Status string }
	}
	if json.NewDecoder(r.Body).Decode(&answer) != nil || answer.ResultType != "SUCCESS" {
		return false
	}
	return answer.Success.Status == appsintoss.PaymentCompleted || answer.Success.Status == appsintoss.Purchased
}
