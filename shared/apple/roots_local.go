//go:build local

package apple

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxRootsFile bounds the file of trust anchors, in bytes.
const maxRootsFile = 1 << 20

// Roots returns the certificates that everything Apple signs leads to. In a local run
// APPLE_ROOT_CERTIFICATES may name a PEM file of others, a simulator's, which are then
// trusted instead of Apple's.
func Roots() ([]*x509.Certificate, error) {
	name := os.Getenv("APPLE_ROOT_CERTIFICATES")
	if name == "" {
		return appleRoots()
	}
	wrong := func(why string) error {
		return fmt.Errorf("APPLE_ROOT_CERTIFICATES: %q %s; it should be a PEM file of trust anchors", name, why)
	}
	file, err := os.Open(name) //nolint:gosec // whoever starts the local run names the file
	if err != nil {
		return nil, wrong("cannot be opened")
	}
	text, err := io.ReadAll(io.LimitReader(file, maxRootsFile+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, wrong("cannot be read")
	}
	if len(text) > maxRootsFile {
		return nil, wrong("is too large")
	}
	var roots []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, wrong("holds something else than certificates")
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, wrong("holds a certificate that cannot be read")
		}
		roots = append(roots, root)
	}
	if len(roots) == 0 || len(bytes.TrimSpace(text)) > 0 {
		return nil, wrong("is not PEM from end to end")
	}
	return roots, nil
}
