package play

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"google.golang.org/api/androidpublisher/v3"
	"google.golang.org/api/option"

	"grantline/shared/clock"
	"grantline/shared/transport"
)

// APIURL is where the Google Play Developer API answers.
const APIURL = "https://androidpublisher.googleapis.com"

const (
	// defaultAttempt is the time of one request where nothing else is set.
	defaultAttempt = 8 * time.Second
	// connectWait bounds a connect and a handshake each.
	connectWait = 5 * time.Second
)

// APIConfig is what an API needs. All but Attempt and Transport is required.
type APIConfig struct {
	// URL is where the API answers: https, and a host alone. Plain http is for this machine
	// only, and only in a local build; it may have a path, which is kept in front of
	// Google's own.
	URL string
	// Credentials gives the JSON that says who we are: a service account's key
	// ("service_account"), or a workload identity federation with AWS ("external_account"),
	// which uses the function's own role. Fresh asks it to look past what it has cached,
	// after Google refused what came of it.
	Credentials func(ctx context.Context, fresh bool) (string, error)
	// Attempt bounds one request with its answer, and the fetch of an access token likewise;
	// 8 s if it is zero. A call, which may be several requests with pauses between, is
	// bounded by its context alone.
	Attempt time.Duration
	Clock   clock.Clock
	Log     *slog.Logger
	// Transport replaces the own one, in tests.
	Transport http.RoundTripper
}

// API is the Google Play Developer API, by Google's generated client. Each method is one or
// two of its methods. It is safe for concurrent use, and meant to be one for each set of
// credentials in a process, since it keeps the pace of Google's quotas.
//
// Answers are Google's own types. They are taken only if they are JSON objects of a bounded
// size in which no member occurs twice, and say of themselves what they are; so an empty
// body never reads as a purchase. Words that we do not know are handed up as they are.
//
// A call is repeated where Google or the network says that a moment later it may succeed:
// three requests at most, and one more with fresh credentials after a 401; beside these
// net/http repeats a GET on a kept connection that broke. See Refund for what is not
// repeated.
//
// Errors are *fault.Error with an *APIError inside: fault.NotFound where Google surely has
// no such thing, or no longer (ErrGone), fault.Invalid where it refuses what was asked,
// because of how the purchase stands (ErrState) or for good, and fault.Unavailable where
// nothing was learned: our configuration (ErrConfiguration) and quotas (ErrQuota) are among
// it. Without one they are fault.Malformed, for what cannot be asked at all.
type API struct {
	config      APIConfig
	service     func() (*androidpublisher.Service, error)
	credentials apiCredentials
	quotas      apiQuotas

	products      apiShare[*androidpublisher.ProductPurchaseV2]
	subscriptions apiShare[*androidpublisher.SubscriptionPurchaseV2]
}

// NewAPI makes an API. It asks nobody anything, and builds the generated client when it is
// used first; an error names the field at fault.
func NewAPI(c APIConfig) (*API, error) {
	base, err := url.Parse(c.URL)
	switch {
	case err != nil || !apiBaseFits(base):
		return nil, errors.New("play: URL should be an https URL of a host alone")
	case c.Credentials == nil:
		return nil, errors.New("play: Credentials should be set")
	case c.Attempt < 0:
		return nil, fmt.Errorf("play: Attempt should be positive, or zero for %v, not %v", defaultAttempt, c.Attempt)
	case c.Clock == nil:
		return nil, errors.New("play: Clock should be set")
	case c.Log == nil:
		return nil, errors.New("play: Log should be set")
	}
	if c.Attempt == 0 {
		c.Attempt = defaultAttempt
	}
	if c.Transport == nil {
		c.Transport = transport.Kept(connectWait)
	}
	endpoint := strings.TrimRight(base.String(), "/") + "/"
	return &API{
		config: c,
		service: sync.OnceValues(func() (*androidpublisher.Service, error) {
			service, err := androidpublisher.NewService(context.Background(),
				option.WithHTTPClient(transport.Client(apiWire{c.Transport})),
				option.WithEndpoint(endpoint),
				// The environment can make it log whole requests, tokens included.
				option.WithLogger(slog.New(slog.DiscardHandler)))
			if err != nil {
				return nil, err
			}
			service.UserAgent = "grantline"
			return service, nil
		}),
		credentials: apiCredentials{
			source: c.Credentials, attempt: c.Attempt, clock: c.Clock, by: c.Transport,
			turn: make(chan struct{}, 1),
		},
		quotas: newAPIQuotas(c.Clock),
	}, nil
}

func apiBaseFits(base *url.URL) bool {
	if base.Hostname() == "" || base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" {
		return false
	}
	alone := strings.Trim(base.Path, "/") == ""
	return base.Scheme == "https" && alone || base.Scheme == "http" && transport.Plain(base.Hostname())
}

const (
	kindProduct      = "androidpublisher#productPurchaseV2"
	kindSubscription = "androidpublisher#subscriptionPurchaseV2"
	// maxPurchase bounds an answer about one purchase or one order, in bytes. A
	// subscription of 50 items has 50 KB.
	maxPurchase = 1 << 20
)

// Product gives a purchase of one-time products (purchases.productsv2.getproductpurchasev2)
// and the instant before it was asked for, which is what it is about. It is shared: callers
// that ask at the same time have one answer, which they should not change. See Forget.
func (a *API) Product(ctx context.Context, pkg, token string) (*androidpublisher.ProductPurchaseV2, time.Time, error) {
	if err := errors.Join(fitPackage(pkg), fitToken(token)); err != nil {
		return nil, time.Time{}, firstOf(err)
	}
	return a.products.get(ctx, shareKey(pkg, token), func() (*androidpublisher.ProductPurchaseV2, time.Time, error) {
		return apiFetch(ctx, a, apiCall{method: "productsv2.get", quota: a.quotas.products, most: maxPurchase},
			func(ctx context.Context, s *androidpublisher.Service) (*androidpublisher.ProductPurchaseV2, error) {
				return s.Purchases.Productsv2.Getproductpurchasev2(pkg, token).Context(ctx).Do()
			},
			func(p *androidpublisher.ProductPurchaseV2) bool {
				return p.Kind == kindProduct && p.PurchaseStateContext != nil && p.PurchaseStateContext.PurchaseState != ""
			})
	})
}

// Subscription gives a purchase of subscriptions (purchases.subscriptionsv2.get) and the
// instant before it was asked for, as Product.
func (a *API) Subscription(ctx context.Context, pkg, token string) (*androidpublisher.SubscriptionPurchaseV2, time.Time, error) {
	if err := errors.Join(fitPackage(pkg), fitToken(token)); err != nil {
		return nil, time.Time{}, firstOf(err)
	}
	return a.subscriptions.get(ctx, shareKey(pkg, token), func() (*androidpublisher.SubscriptionPurchaseV2, time.Time, error) {
		return apiFetch(ctx, a, apiCall{method: "subscriptionsv2.get", quota: a.quotas.subscriptions, most: maxPurchase},
			func(ctx context.Context, s *androidpublisher.Service) (*androidpublisher.SubscriptionPurchaseV2, error) {
				return s.Purchases.Subscriptionsv2.Get(pkg, token).Context(ctx).Do()
			},
			func(p *androidpublisher.SubscriptionPurchaseV2) bool {
				return p.Kind == kindSubscription && p.SubscriptionState != ""
			})
	})
}

// Forget ends the sharing of what is being fetched about a token: who learned that it changed
// should not be given an answer that was asked for before that.
func (a *API) Forget(pkg, token string) {
	key := shareKey(pkg, token)
	a.products.forget(key)
	a.subscriptions.forget(key)
}

// AcknowledgeProduct tells Google that a one-time product was granted
// (purchases.products.acknowledge). It may be repeated. ErrState means that the purchase
// cannot be acknowledged as it stands, and is to be looked at again.
func (a *API) AcknowledgeProduct(ctx context.Context, pkg, product, token string) error {
	return a.settle(ctx, "products.acknowledge", a.quotas.products, pkg, product, token, func(ctx context.Context, s *androidpublisher.Service) error {
		return s.Purchases.Products.Acknowledge(pkg, product, token, &androidpublisher.ProductPurchasesAcknowledgeRequest{}).Context(ctx).Do()
	})
}

// ConsumeProduct makes a product buyable again and acknowledges it (purchases.products.consume),
// the whole quantity at once. A second one is refused with ErrState, and so is one that is
// repeated here because the answer to the first was lost: only a look says which it is.
func (a *API) ConsumeProduct(ctx context.Context, pkg, product, token string) error {
	return a.settle(ctx, "products.consume", a.quotas.products, pkg, product, token, func(ctx context.Context, s *androidpublisher.Service) error {
		return s.Purchases.Products.Consume(pkg, product, token).Context(ctx).Do()
	})
}

// maxAccount bounds an obfuscated account id, in characters (BillingFlowParams,
// setObfuscatedAccountId).
const maxAccount = 64

// AcknowledgeSubscription tells Google that a subscription was granted
// (purchases.subscriptions.acknowledge), for product the base item's. Account becomes the
// purchase's obfuscated account id, which Google takes for re-subscriptions made outside
// the app alone; "" for all others. It may be repeated; ErrState is as in AcknowledgeProduct.
func (a *API) AcknowledgeSubscription(ctx context.Context, pkg, product, token, account string) error {
	body := &androidpublisher.SubscriptionPurchasesAcknowledgeRequest{}
	if account != "" {
		if len(account) > maxAccount || !apiPrintable(account) {
			return unaskable("The account", "at most 64 printable characters without spaces")
		}
		body.ExternalAccountIds = &androidpublisher.ExternalAccountIds{ObfuscatedAccountId: account}
	}
	return a.settle(ctx, "subscriptions.acknowledge", a.quotas.subscriptions, pkg, product, token, func(ctx context.Context, s *androidpublisher.Service) error {
		return s.Purchases.Subscriptions.Acknowledge(pkg, product, token, body).Context(ctx).Do()
	})
}

// settle acknowledges or consumes. What was fetched about the token before or meanwhile is
// shared no longer.
func (a *API) settle(ctx context.Context, method string, quota *apiQuota, pkg, product, token string, do func(context.Context, *androidpublisher.Service) error) error {
	if err := errors.Join(fitPackage(pkg), fitProduct(product), fitToken(token)); err != nil {
		return firstOf(err)
	}
	a.Forget(pkg, token)
	defer a.Forget(pkg, token)
	_, err := a.call(ctx, apiCall{method: method, quota: quota, most: maxPurchase, effect: true}, do)
	return err
}

var (
	packageShape = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$`)
	productShape = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	orderShape   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

const (
	maxName      = 150  // characters, of a package, a product or an order
	maxPlayToken = 4096 // characters; real ones have some 200, and no bound is documented
)

func fitPackage(pkg string) error {
	if len(pkg) > maxName || !packageShape.MatchString(pkg) {
		return unaskable("The package", "an Android application id")
	}
	return nil
}

func fitProduct(product string) error {
	if len(product) > maxName || !productShape.MatchString(product) {
		return unaskable("The product", "a product id of Google Play")
	}
	return nil
}

func fitOrder(order string) error {
	if len(order) > maxName || !orderShape.MatchString(order) {
		return unaskable("The order", "an order id of Google Play")
	}
	return nil
}

// fitToken refuses what cannot be a purchase token. Dots alone would be taken for a step
// in the path, escaped or not (RFC 3986, 5.2.4 and 6.2.2.2).
func fitToken(token string) error {
	if token == "" || len(token) > maxPlayToken || !apiPrintable(token) || token == "." || token == ".." {
		return unaskable("The token", "a purchase token of 1 to 4096 characters without spaces")
	}
	return nil
}

// apiPrintable says whether s is ASCII without spaces and control characters.
func apiPrintable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
