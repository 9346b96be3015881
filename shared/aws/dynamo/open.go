package dynamo

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"grantline/shared/aws/setting"
)

// longestAttempt of one request to a table; they answer in milliseconds.
const longestAttempt = 3 * time.Second

// Open makes the tables of a function from its environment. It asks nobody anything.
func Open(ctx context.Context, r *setting.Reader, config func(context.Context) (aws.Config, error)) *Tables {
	prefix := r.Text("TABLE_PREFIX", "what the names of the tables begin with")
	cfg, err := config(ctx)
	if err != nil {
		r.Refuse("AWS_REGION", "set as Lambda sets it, with credentials")
	}
	return New(Client(cfg, longestAttempt), prefix)
}

// Beside are other tables whose names begin as these do, then with name and a hyphen.
func (t *Tables) Beside(name string) *Tables {
	other := *t
	other.prefix += name + "-"
	return &other
}
