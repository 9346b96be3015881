package apple

import (
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"time"
)

// MaxChains bounds the cache.
const MaxChains = maxChains

// Remembered counts the chains that the cache holds.
func (v *Verifier) Remembered() int { return v.good.size() }

// Remembers says whether the chain of a token is in the cache. It counts as no use.
func (v *Verifier) Remembers(signed string) bool {
	header, _, _ := strings.Cut(signed, ".")
	v.good.mu.Lock()
	defer v.good.mu.Unlock()
	_, ok := v.good.index[sha256.Sum256([]byte(header))]
	return ok
}

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
