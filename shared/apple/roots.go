package apple

import (
	"crypto/x509"
	_ "embed"
	"fmt"
)

// appleRootG3 is "Apple Root CA - G3" in DER, under which the App Store signs. Its
// SHA-256 is 63343ABFB89A6A03EBB57E9B3F5FA7BE7C4F5C756F3017B3A8C488C3653E9179, as Apple
// publishes it at www.apple.com/certificateauthority; a test holds it to that.
//
//go:embed roots/AppleRootCA-G3.cer
var appleRootG3 []byte

func appleRoots() ([]*x509.Certificate, error) {
	root, err := x509.ParseCertificate(appleRootG3)
	if err != nil {
		return nil, fmt.Errorf("apple: the root certificate in this program: %w", err)
	}
	return []*x509.Certificate{root}, nil
}
