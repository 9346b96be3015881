//go:build !local

package apple

import "crypto/x509"

// Roots returns the certificates that everything Apple signs leads to.
func Roots() ([]*x509.Certificate, error) { return appleRoots() }
