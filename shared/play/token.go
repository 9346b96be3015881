package play

import (
	"crypto/sha256"
	"encoding/hex"
)

// TokenID is what stands for a purchase token wherever it is written down: whoever has the
// token may claim the purchase. It is the SHA-256 in lower-case hexadecimal.
func TokenID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// isToken says whether text may be a purchase token, which is opaque.
func isToken(text string) bool { return fitToken(text) == nil }
