//go:build local

package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"

	"github.com/aws/aws-sdk-go-v2/aws"

	"grantline/shared/aws/setting"
)

// ReadKeys reads which data keys a function uses. In a local build they are wrapped by
// LOCAL_DATA_KEY, 64 hexadecimal digits; without it they are those of the KMS key whose
// ARN is DATA_KEY.
func ReadKeys(r *setting.Reader, config func(context.Context) (aws.Config, error)) Keys {
	const name = "LOCAL_DATA_KEY"
	text := r.OptionalText(name, "")
	if text == "" {
		return deployed(r, config)
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != keyBytes {
		r.Refuse(name, "64 hexadecimal digits")
		return nil
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("seal: AES refused a key of 32 bytes")
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("seal: GCM refused AES")
	}
	return localKeys{aead}
}

// localKeys wraps data keys with a key of this machine, in the place of KMS.
type localKeys struct{ aead cipher.AEAD }

func (l localKeys) Generate(context.Context) (plain, wrapped []byte, err error) {
	plain = make([]byte, keyBytes)
	rand.Read(plain)
	return plain, l.aead.Seal(nil, nil, plain, []byte(purpose["purpose"])), nil
}

func (l localKeys) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	plain, err := l.aead.Open(nil, nil, wrapped, []byte(purpose["purpose"]))
	if err != nil {
		return nil, ErrBroken
	}
	return plain, nil
}
