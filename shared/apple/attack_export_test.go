package apple

import (
	"crypto/x509"
	"time"
)

// ReadAnswer reads what an authority said of a certificate.
func ReadAnswer(body []byte, certificate, issuer *x509.Certificate, at time.Time) (StandingState, error) {
	said, err := readStatus(body, certificate, issuer, at)
	return said.Status, err
}
