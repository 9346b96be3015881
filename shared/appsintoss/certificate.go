package appsintoss

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// maxPairs bounds the certificates that are tried for one request; a rotation has two.
	maxPairs = 4
	// maxBlocks bounds what is read of one secret.
	maxBlocks = 64
)

// errPair is a certificate and a key that cannot be used, each by itself or together.
var errPair = errors.New("no certificate can be shown")

// pairs are the certificates that have their key, of two texts in PEM. While one is replaced
// by another both are there, in any order; a certificate is of the key that it names, and
// what signed it goes along. Their order is that in which they are shown: the newest first.
func pairs(certificates, keys string) ([]tls.Certificate, error) {
	known, err := readCertificates(certificates)
	if err != nil {
		return nil, err
	}
	signers, err := readKeys(keys)
	if err != nil {
		return nil, err
	}
	var made []tls.Certificate
	for i, c := range known {
		if slices.ContainsFunc(known[:i], c.Equal) {
			continue
		}
		for _, signer := range signers {
			if public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && public.Equal(signer.Public()) {
				made = append(made, tls.Certificate{Certificate: chain(c, known), PrivateKey: signer, Leaf: c})
				break
			}
		}
	}
	if len(made) == 0 {
		return nil, fmt.Errorf("%w: certificate and key are no pair", errPair)
	}
	slices.SortStableFunc(made, func(a, b tls.Certificate) int {
		return cmp.Or(b.Leaf.NotBefore.Compare(a.Leaf.NotBefore), b.Leaf.NotAfter.Compare(a.Leaf.NotAfter))
	})
	return made, nil
}

// validAt are those of made that Toss can take at now, at most maxPairs.
func validAt(made []tls.Certificate, now time.Time) []tls.Certificate {
	var valid []tls.Certificate
	for _, pair := range made {
		if !now.Before(pair.Leaf.NotBefore) && !now.After(pair.Leaf.NotAfter) && len(valid) < maxPairs {
			valid = append(valid, pair)
		}
	}
	return valid
}

// lastToEnd is when the last of made ends. There is at least one.
func lastToEnd(made []tls.Certificate) time.Time {
	return slices.MaxFunc(made, func(a, b tls.Certificate) int { return a.Leaf.NotAfter.Compare(b.Leaf.NotAfter) }).Leaf.NotAfter
}

// chain is a certificate and those of known that signed it, one after another, as far as
// they are there. Whether they did is for Toss to verify.
func chain(leaf *x509.Certificate, known []*x509.Certificate) [][]byte {
	made, last := [][]byte{leaf.Raw}, leaf
	for range known {
		i := slices.IndexFunc(known, func(c *x509.Certificate) bool {
			return bytes.Equal(c.RawSubject, last.RawIssuer) && !c.Equal(last) &&
				(len(c.SubjectKeyId) == 0 || len(last.AuthorityKeyId) == 0 || bytes.Equal(c.SubjectKeyId, last.AuthorityKeyId))
		})
		if i < 0 || slices.ContainsFunc(made, func(raw []byte) bool { return bytes.Equal(raw, known[i].Raw) }) {
			break
		}
		last = known[i]
		made = append(made, last.Raw)
	}
	return made
}

func readCertificates(text string) ([]*x509.Certificate, error) {
	var made []*x509.Certificate
	for _, block := range blocks(text, func(kind string) bool { return kind == "CERTIFICATE" }) {
		c, err := x509.ParseCertificate(block)
		if err != nil { // whose text may quote the certificate
			return nil, fmt.Errorf("%w: a certificate cannot be read", errPair)
		}
		made = append(made, c)
	}
	return made, nil
}

func readKeys(text string) ([]crypto.Signer, error) {
	var made []crypto.Signer
	for _, block := range blocks(text, func(kind string) bool { return kind == "PRIVATE KEY" || strings.HasSuffix(kind, " PRIVATE KEY") }) {
		signer := readKey(block)
		if signer == nil {
			return nil, fmt.Errorf("%w: a key cannot be read", errPair)
		}
		made = append(made, signer)
	}
	return made, nil
}

// readKey reads a key in one of the forms that crypto/tls takes; nil if it is in none.
func readKey(der []byte) crypto.Signer {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		signer, _ := key.(crypto.Signer)
		return signer
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	return nil
}

// blocks are the contents of a PEM text's blocks of a kind.
func blocks(text string, of func(kind string) bool) [][]byte {
	var found [][]byte
	rest := []byte(text)
	for range maxBlocks {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if of(block.Type) {
			found = append(found, block.Bytes)
		}
	}
	return found
}
