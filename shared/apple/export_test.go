package apple

import (
	"crypto/x509"
	"time"
)

// MaxChains bounds the cache.
const MaxChains = maxChains

// Remembered counts the chains that the cache holds.
func (v *Verifier) Remembered() int { return v.good.size() }

// CheckChain checks a chain without a token.
func CheckChain(roots []*x509.Certificate, x5c []string, at time.Time) error {
	anchors := make([]anchor, len(roots))
	for i, root := range roots {
		pool := x509.NewCertPool()
		pool.AddCert(root)
		anchors[i] = anchor{root, pool}
	}
	_, err := check(anchors, x5c, at)
	return err
}
