// Package appsintoss says how an order of the Apps-in-Toss in-app purchase stands. Start
// with New.
//
// The one idea: an app brings nothing but an orderId, and the money is already taken when
// it does. So the store is asked, over mutual TLS, until it gives a definite word or the
// caller's time is nearly up: Toss waits 30 seconds for the grant, and an order is often
// still in progress, or not yet known, in the first of them. What never becomes definite
// is pending or an outage, and the app finds the order again among its pending ones.
package appsintoss

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// Name is the store's name in records and requests.
const Name = "appsintoss"

// How long and how often one Look asks.
const (
	maxRequests  = 30
	maxLook      = 25 * time.Second // where the caller sets no deadline, or a late one
	margin       = time.Second      // what the caller keeps for its answer
	firstPause   = 350 * time.Millisecond
	maxPause     = 2 * time.Second
	maxMissing   = 6 // an order that was just made is not known at once
	knownMissing = 3 // one that we know is not that young
	maxTroubles  = 3 // the first and two more
	defaultTry   = 5 * time.Second
	warnOfExpiry = 30 * 24 * time.Hour
)

// Config is what a Store needs. CA and Timeout may be left out.
type Config struct {
	// URL is where Apps-in-Toss answers, https and without a query; a path is kept in
	// front of Toss's own.
	URL string
	// Certificate and Key give the client's certificate and its key, as PEM text. Fresh
	// asks them to look past what they have cached, after Toss refused the certificate.
	Certificate, Key func(ctx context.Context, fresh bool) (string, error)
	// CA is PEM of who may sign Toss's certificate; nil for who the system trusts.
	CA    []byte
	Clock clock.Clock
	Log   *slog.Logger
	// Timeout bounds one request, 5 seconds if it is zero.
	Timeout time.Duration
}

// Store is Apps-in-Toss. It is safe for concurrent use.
type Store struct {
	config  Config
	address string
	roots   *x509.CertPool

	mu      sync.Mutex
	current *connection // nil until it is first needed
}

var _ purchase.Store = (*Store)(nil)

// New makes a store. It asks nobody anything; an error names the field at fault.
func New(c Config) (*Store, error) {
	base, err := url.Parse(c.URL)
	switch {
	case err != nil || base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("appsintoss: URL should be an https URL without user, query and fragment")
	case c.Certificate == nil || c.Key == nil:
		return nil, errors.New("appsintoss: Certificate and Key should be set")
	case c.Clock == nil || c.Log == nil:
		return nil, errors.New("appsintoss: Clock and Log should be set")
	case c.Timeout < 0:
		return nil, fmt.Errorf("appsintoss: Timeout should not be negative, as %v is", c.Timeout)
	case c.Timeout == 0:
		c.Timeout = defaultTry
	}
	s := &Store{config: c, address: strings.TrimRight(base.String(), "/") + "/api-partner/v1/apps-in-toss/order/get-order-status"}
	if c.CA != nil {
		s.roots = x509.NewCertPool()
		if !s.roots.AppendCertsFromPEM(c.CA) {
			return nil, errors.New("appsintoss: CA should be PEM of certificates")
		}
	}
	return s, nil
}

var (
	orderShape   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)
	userKeyShape = regexp.MustCompile(`^[!-~]{1,200}$`)
)

// OrderOf returns the orderId of a proof if it is one, so that the caller can look into
// its own book before it asks the store.
func (s *Store) OrderOf(p purchase.Proof) (string, bool) {
	return p.Evidence, orderShape.MatchString(p.Evidence)
}

// Look asks the store how an order stands, at most 30 times and until a second before ctx
// ends. An order still in progress then is a Sale that is Pending. The user key, where the
// proof has one, makes the store refuse another user's order.
//
// Sale.Line is the order itself: the store names no first order of a subscription.
// PurchasedAt is zero where the store gave a time without a zone, as it does.
func (s *Store) Look(ctx context.Context, p purchase.Proof) (purchase.News, error) {
	return s.look(ctx, p, maxMissing)
}

// look is Look, that believes the store after so many answers that it does not know the order.
func (s *Store) look(ctx context.Context, p purchase.Proof, mostMissing int) (purchase.News, error) {
	orderID, ok := s.OrderOf(p)
	if !ok {
		return purchase.News{}, fault.New(fault.Malformed, "invalid_purchase", "orderId should be 1 to 100 of letters, digits, - and _.")
	}
	if p.UserKey != "" && !userKeyShape.MatchString(p.UserKey) {
		return purchase.News{}, fault.New(fault.Malformed, "invalid_purchase", "x-toss-user-key should be 1 to 200 printable characters.")
	}
	budget := maxLook
	if deadline, ok := ctx.Deadline(); ok {
		// A deadline is on the machine's clock, whatever Clock says.
		budget = min(budget, time.Until(deadline)-margin)
	}
	l := look{store: s, proof: p, orderID: orderID, budget: budget, pause: firstPause, mostMissing: mostMissing}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	sale, err := l.ask(ctx)
	l.report(ctx, sale, err)
	if err != nil {
		return purchase.News{}, err
	}
	news := purchase.News{Sales: []purchase.Sale{sale}}
	if sale.State == purchase.Paid {
		news.Again = s.config.Clock.Now().Add(pollDaily)
	}
	return news, nil
}

// look is one Look under way.
type look struct {
	store   *Store
	proof   purchase.Proof
	orderID string
	budget  time.Duration // for everything

	mostMissing int
	slept       time.Duration

	requests int
	pause    time.Duration // before an order in progress is asked about again
	missing  int
	troubles int
	renewed  bool           // the certificate was looked at afresh
	pending  *purchase.Sale // the store said that the order is in progress
	last     word
}

// ask asks until the store has given its word or the time is up.
func (l *look) ask(ctx context.Context) (purchase.Sale, error) {
	for l.requests < maxRequests {
		l.requests++
		l.last = l.once(ctx)
		var wait time.Duration
		switch l.last.kind {
		case settled:
			return l.last.sale, l.last.err
		case again:
			continue
		case inProgress:
			sale := l.last.sale
			l.pending = &sale
			wait = l.pause
			l.pause = min(l.pause*3/2, maxPause)
		case missing:
			l.missing++
			if l.missing == l.mostMissing && l.pending == nil {
				return purchase.Sale{}, fault.New(fault.NotFound, "invalid_purchase", "The store does not know this order.")
			}
			wait = firstPause
		case limited:
			wait = l.last.wait
		case trouble:
			l.troubles++
			if l.troubles == maxTroubles {
				return l.givenUp()
			}
			wait = firstPause
		default:
			panic("appsintoss: a kind of word that nothing is done about is a bug in this file")
		}
		wait = max(wait, firstPause)
		if l.slept+wait >= l.budget {
			return l.givenUp()
		}
		l.slept += wait
		if l.store.config.Clock.Sleep(ctx, wait) != nil {
			return l.givenUp()
		}
	}
	return l.givenUp()
}

// once makes one request. A certificate that Toss refuses is looked at afresh once, and
// if there is a newer one the order is asked about again.
func (l *look) once(ctx context.Context) word {
	asOf := l.store.config.Clock.Now()
	with, err := l.store.connection(ctx)
	if err != nil {
		return word{kind: trouble, why: err.Error(), alarm: errors.Is(err, errPair)}
	}
	got := l.store.request(ctx, with, l.orderID, l.proof.UserKey)
	w := judge(got, l.orderID, l.proof, asOf)
	if w.refused && !l.renewed {
		l.renewed = true
		if l.store.renew(ctx, with) {
			return word{kind: again}
		}
	}
	return w
}

// givenUp is the answer where the store gave no definite word.
func (l *look) givenUp() (purchase.Sale, error) {
	if l.pending != nil {
		return *l.pending, nil
	}
	return purchase.Sale{}, unavailable(l.last.why)
}

// report logs what came of a look. The orderId is a proof, so its hash stands for it.
func (l *look) report(ctx context.Context, sale purchase.Sale, err error) {
	hash := sha256.Sum256([]byte(l.orderID))
	level, message := slog.LevelInfo, "apps-in-toss answered"
	switch {
	case l.last.alarm && err != nil:
		level, message = slog.LevelError, "apps-in-toss cannot be understood, or refuses us"
	case l.last.foreign:
		level, message = slog.LevelWarn, "order of another mini-app was presented"
	case err != nil && fault.Retryable(err):
		level, message = slog.LevelWarn, "apps-in-toss gave no word"
	}
	l.store.config.Log.LogAttrs(ctx, level, message, slog.String("order_hash", hex.EncodeToString(hash[:8])), slog.Int("requests", l.requests),
		slog.String("state", string(sale.State)), slog.String("code", fault.Code(err)), slog.String("why", l.last.why))
}

func invalid(detail string) error { return fault.New(fault.Invalid, "invalid_purchase", "%s", detail) }

func unavailable(why string) error {
	return fault.New(fault.Unavailable, "store_unavailable", "The purchase could not be looked up now; ask again.").
		Because(errors.New("appsintoss: " + why))
}
