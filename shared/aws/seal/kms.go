package seal

import (
	"context"
	"errors"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"grantline/shared/aws/setting"
)

// purpose is the encryption context of every data key. KMS shows it in its trail and
// unwraps only with the same.
var purpose = map[string]string{"purpose": "grantline"}

// KMS returns the data keys of a KMS key, named by its ARN. config is called when the
// first data key is needed, not before.
func KMS(config func(context.Context) (aws.Config, error), key string) Keys {
	return &kmsKeys{config: config, key: key}
}

// deployed reads which KMS key a function uses: DATA_KEY.
func deployed(r *setting.Reader, config func(context.Context) (aws.Config, error)) Keys {
	return KMS(config, r.ARN("DATA_KEY", "kms", "the ARN of a KMS key"))
}

type kmsKeys struct {
	config func(context.Context) (aws.Config, error)
	key    string

	mu     sync.Mutex
	client *kms.Client
}

func (k *kmsKeys) open(ctx context.Context) (*kms.Client, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client != nil {
		return k.client, nil
	}
	config, err := k.config(ctx)
	if err != nil {
		return nil, err
	}
	if a, err := arn.Parse(k.key); err == nil && a.Region != "" {
		config.Region = a.Region
	}
	k.client = kms.NewFromConfig(config)
	return k.client, nil
}

func (k *kmsKeys) Generate(ctx context.Context) (plain, wrapped []byte, err error) {
	client, err := k.open(ctx)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	out, err := client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &k.key, KeySpec: types.DataKeySpecAes256, EncryptionContext: purpose})
	if err != nil {
		return nil, nil, unavailable(err)
	}
	return out.Plaintext, out.CiphertextBlob, nil
}

// Unwrap takes InvalidCiphertextException alone for broken: KMS answers with it where the
// blob or its encryption context was altered. A wrong or disabled key is our own
// misconfiguration, which a person may mend.
func (k *kmsKeys) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	client, err := k.open(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out, err := client.Decrypt(ctx, &kms.DecryptInput{KeyId: &k.key, CiphertextBlob: wrapped, EncryptionContext: purpose})
	if err != nil {
		if _, ok := errors.AsType[*types.InvalidCiphertextException](err); ok {
			return nil, ErrBroken
		}
		return nil, unavailable(err)
	}
	return out.Plaintext, nil
}
