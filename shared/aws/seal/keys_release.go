//go:build !local

package seal

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"

	"grantline/shared/aws/setting"
)

// ReadKeys reads which data keys a function uses: those of the KMS key whose ARN is
// DATA_KEY.
func ReadKeys(r *setting.Reader, config func(context.Context) (aws.Config, error)) Keys {
	return deployed(r, config)
}
