package apple

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
)

// maxKey bounds the text of a private key, in bytes; one on P-256 has some 260.
const maxKey = 8 << 10

// errKey says what is wanted and repeats nothing of what was given.
var errKey = errors.New("apple: the In-App Purchase key is not one PEM block PRIVATE KEY with a PKCS #8 key on P-256")

// parseKey reads an In-App Purchase key as App Store Connect gives it (a .p8 file): one
// PEM block PRIVATE KEY of a PKCS #8 key on P-256, and nothing around it but white space.
// No error holds anything of the key.
func parseKey(text string) (*ecdsa.PrivateKey, error) {
	if len(text) > maxKey {
		return nil, errKey
	}
	text = strings.TrimSpace(text)
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 || !strings.HasPrefix(text, "-----BEGIN ") {
		return nil, errKey
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errKey
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errKey
	}
	return key, nil
}

// keyring keeps the key that its source last gave, so that it is parsed once for each
// value and a rotation needs no restart. It may be used by several goroutines at once.
type keyring struct {
	mu   sync.Mutex
	text string
	key  *ecdsa.PrivateKey
}

// get asks source each time; fresh says that the other side refused the value before. The
// source's own error is not repeated, since it may name the value.
func (k *keyring) get(ctx context.Context, source func(ctx context.Context, fresh bool) (string, error), fresh bool) (*ecdsa.PrivateKey, error) {
	text, err := source(ctx, fresh)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, errors.New("apple: the In-App Purchase key could not be had")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key != nil && k.text == text {
		return k.key, nil
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, err
	}
	k.text, k.key = text, key
	return key, nil
}
