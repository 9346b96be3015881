package setting

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
)

// What every client made of AWS does unless it is told otherwise: within a region an
// answer takes milliseconds, and an invocation has seconds.
const (
	attempts        = 3
	longestBackoff  = 500 * time.Millisecond
	longestAttempt  = 4 * time.Second
	longestDial     = 2 * time.Second
	idleConnections = 64
)

// AWS returns the way to the configuration of AWS clients: read from the environment, as
// every AWS SDK reads it, when it is first asked for, and then kept. The function returned
// is safe for use by many goroutines.
func AWS() func(ctx context.Context) (aws.Config, error) {
	var mu sync.Mutex
	var kept *aws.Config
	return func(ctx context.Context) (aws.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		if kept == nil {
			loaded, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(httpClient()), config.WithRetryer(retryer))
			if err != nil {
				return aws.Config{}, err
			}
			kept = &loaded
		}
		return kept.Copy(), nil
	}
}

func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithTimeout(longestAttempt).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = longestDial }).
		WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns = idleConnections
			t.MaxIdleConnsPerHost = idleConnections
		})
}

func retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.MaxBackoff = longestBackoff
	})
}
