package play

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/keyset"
	"grantline/shared/notice"
)

// PushConfig says who may push notifications, and about what.
type PushConfig struct {
	// Audience is what the push subscription is told to write into its tokens. It proves
	// nothing: anybody with a Google account can have Google sign any audience.
	Audience string
	// Email is the service account that the push subscription signs in as, in full. This is
	// the proof.
	Email   string
	KeysURL string // of Google's key set
	// Packages are the apps that are ours.
	Packages []string
	// Subscription is the name of the push subscription, projects/<project>/subscriptions/<id>;
	// "" for one that is not compared. Nobody signs it.
	Subscription string
	Clock        clock.Clock
	Log          *slog.Logger
	Transport    http.RoundTripper // nil for that of every client
}

// What is wrong with a PushConfig.
var (
	ErrAudience     = errors.New("play: a push needs its audience")
	ErrEmail        = errors.New("play: a push needs the e-mail address of its service account")
	ErrKeysURL      = errors.New("play: a push needs the address of the keys that sign it")
	ErrPackages     = errors.New("play: a push needs the package names that it may be about")
	ErrSubscription = errors.New("play: the subscription of a push is projects/<project>/subscriptions/<id>")
)

var (
	emails        = regexp.MustCompile(`^[^@\s]+@[^@\s]+$`)
	subscriptions = regexp.MustCompile(`^projects/[^/\s]+/subscriptions/[^/\s]+$`)
)

const (
	// keysWithin bounds the fetching of Google's keys. Pub/Sub waits 10 seconds for an answer.
	keysWithin = 5 * time.Second
	// longestKeys is how long Google's keys are believed at most; it says some six hours.
	longestKeys = 24 * time.Hour
	// maxPush bounds the body of a push, in bytes. A notification has about a thousand.
	maxPush = 64 << 10
)

// Push tells Google Play's notifications, which Pub/Sub pushes, from everybody else's. It
// asks nobody before its first token, and is safe for concurrent use.
type Push struct {
	config PushConfig
	keys   *keyset.Set
}

// NewPush makes a Push. Its error is all of ErrAudience, ErrEmail and so on that apply:
// what is not configured is never a check that passes.
func NewPush(c PushConfig) (*Push, error) {
	var wrong []error
	refuse := func(is bool, err error) {
		if is {
			wrong = append(wrong, err)
		}
	}
	refuse(c.Audience == "", ErrAudience)
	refuse(!emails.MatchString(c.Email), ErrEmail)
	refuse(c.KeysURL == "", ErrKeysURL)
	refuse(len(c.Packages) == 0 || slices.ContainsFunc(c.Packages, func(name string) bool { return fitPackage(name) != nil }), ErrPackages)
	refuse(c.Subscription != "" && !subscriptions.MatchString(c.Subscription), ErrSubscription)
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	client := &http.Client{
		Transport: c.Transport, Timeout: keysWithin,
		// Keys come from where they are said to be, and from nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Push{config: c, keys: &keyset.Set{
		URL: c.KeysURL, Algorithms: []jose.SignatureAlgorithm{jose.RS256}, Client: client, Longest: longestKeys, Clock: c.Clock, Log: c.Log,
	}}, nil
}

// ReadHint reads a push. Pub/Sub repeats for days whatever is not answered with 102, 200,
// 201, 202 or 204. So what was authenticated and will never be understood is a hint that
// names nothing, of type "unreadable"; and what is about an app that is not ours is one of
// type "another_app". Errors: fault.Unauthenticated for what is not proven to be the
// configured subscription's, fault.Denied for another subscription's, fault.Unavailable
// where there are no keys to tell by. They heal by themselves once the configuration does.
func (p *Push) ReadHint(ctx context.Context, header http.Header, body []byte) (notice.Hint, error) {
	if err := p.authenticate(ctx, header); err != nil {
		return notice.Hint{}, err
	}
	unreadable := notice.Hint{Signed: true, ID: hashOf(body), Type: "unreadable"}
	if len(body) > maxPush {
		return p.kept(ctx, unreadable, malformed("it is too large")), nil
	}
	m, err := unwrap(header, body)
	if err != nil {
		return p.kept(ctx, unreadable, err), nil
	}
	if s := p.config.Subscription; s != "" && m.subscription != s {
		return notice.Hint{}, fault.New(fault.Denied, "another_subscription", "The push is not of the subscription that is configured.")
	}
	if m.id != "" {
		unreadable.ID = m.id
	}
	data, err := m.notification()
	if err != nil {
		return p.kept(ctx, unreadable, err), nil
	}
	n, err := ParseNotification(data)
	if err != nil {
		return p.kept(ctx, unreadable, err), nil
	}
	if !slices.Contains(p.config.Packages, n.Package) {
		p.config.Log.WarnContext(ctx, "A push is about an app that is not ours.", "kind", n.Kind)
		return notice.Hint{Signed: true, ID: unreadable.ID, Type: "another_app"}, nil
	}
	return n.hint(unreadable.ID), nil
}

// kept is a hint of what will never be understood, which is for a person to see.
func (p *Push) kept(ctx context.Context, unreadable notice.Hint, why error) notice.Hint {
	p.config.Log.WarnContext(ctx, "A push cannot be understood, and is kept as that.", "error", why)
	return unreadable
}
