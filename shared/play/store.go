package play

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/androidpublisher/v3"

	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// Name is the store's name in records and requests.
const Name = "play"

// StoreConfig is what a Store needs. All but ReviewRefunds is required.
type StoreConfig struct {
	API      *API
	Packages []string // of our apps
	// Catalog says of a product that an app names where to look for it first.
	Catalog *catalog.Catalog
	// ReviewRefunds answers Google when it asks what became of a purchase whose payment is
	// disputed. It tells Google how much of it was used.
	ReviewRefunds bool
	Clock         clock.Clock
	Log           *slog.Logger
}

// Store is Google Play. It may be used by several goroutines at once.
type Store struct {
	StoreConfig
}

// NewStore makes a store.
func NewStore(c StoreConfig) *Store { return &Store{c} }

var (
	_ purchase.Store        = (*Store)(nil)
	_ purchase.Follower     = (*Store)(nil)
	_ purchase.Acknowledger = (*Store)(nil)
)

// place is where a token is asked about: two resources of the API know tokens, each of one
// app.
type place struct {
	pkg          string
	subscription bool
}

const (
	atSubscription = "subscription@"
	atProduct      = "product@"
)

// String is the place as purchase.Token.Kind.
func (p place) String() string {
	if p.subscription {
		return atSubscription + p.pkg
	}
	return atProduct + p.pkg
}

func placeOf(kind string) (place, bool) {
	if pkg, ok := strings.CutPrefix(kind, atSubscription); ok {
		return place{pkg, true}, true
	}
	pkg, ok := strings.CutPrefix(kind, atProduct)
	return place{pkg, false}, ok
}

// LineOf is the hash of the token, which names a line before anybody was asked.
func (s *Store) LineOf(p purchase.Proof) string { return TokenID(p.Evidence) }

// Look finds out what a purchase token stands for. What the app says it bought only says
// where to look first; the store's word is what counts. Errors: fault.NotFound for a token
// that Google does not know, or does not know any more (410, which is 60 days after the end
// of a subscription).
func (s *Store) Look(ctx context.Context, p purchase.Proof) (purchase.News, error) {
	if !isToken(p.Evidence) {
		return purchase.News{}, fault.New(fault.Malformed, "invalid_purchase", "The purchase token cannot be read.")
	}
	err := refused()
	for _, at := range s.places(p.SKU) {
		news, failed := s.ask(ctx, at, p.Evidence)
		switch {
		case failed == nil:
			if len(news.Sales) == 0 {
				return purchase.News{}, refused()
			}
			s.enlarge(ctx, at.pkg, &news, nil)
			return first(news, func(sale purchase.Sale) bool { return sale.SKU == p.SKU || sale.Part == p.SKU }), nil
		case errors.Is(failed, fault.NotFound):
			err = failed // it may have been known, so our book is asked
		case !errors.Is(failed, fault.Invalid):
			return purchase.News{}, failed
		}
	}
	return purchase.News{}, err
}

func refused() error {
	return fault.New(fault.Invalid, "invalid_purchase", "Google Play does not know this purchase.")
}

// places are where a token may be known, the likeliest first.
func (s *Store) places(sku string) []place {
	// Subscriptions have their base plan in the catalog's name, and the app says the product.
	_, once := s.Catalog.BySKU(Name, sku)
	subscription := sku != "" && (!once || strings.Contains(sku, ":"))
	var all []place
	for _, pkg := range s.Packages {
		all = append(all, place{pkg, subscription}, place{pkg, !subscription})
	}
	return all
}

// first puts the first sale that fits in front, and else leaves the order.
func first(news purchase.News, fits func(purchase.Sale) bool) purchase.News {
	if at := slices.IndexFunc(news.Sales, fits); at > 0 {
		news.Sales = slices.Clone(news.Sales)
		sale := news.Sales[at]
		news.Sales = slices.Insert(slices.Delete(news.Sales, at, at+1), 0, sale)
	}
	return news
}

// ask gets what a token stands for now.
func (s *Store) ask(ctx context.Context, at place, token string) (purchase.News, error) {
	if at.subscription {
		bought, asOf, err := s.API.Subscription(ctx, at.pkg, token)
		if err != nil {
			return purchase.News{}, err
		}
		return subscriptionNews(at, token, bought, asOf)
	}
	bought, asOf, err := s.API.Product(ctx, at.pkg, token)
	if err != nil {
		return purchase.News{}, err
	}
	return productNews(at, token, bought, asOf)
}

// Hear looks at what a notification is about. Its number decides nothing.
func (s *Store) Hear(ctx context.Context, evidence string) (purchase.News, error) {
	n, err := ParseNotification([]byte(evidence))
	if err != nil {
		return purchase.News{}, err
	}
	if !slices.Contains(s.Packages, n.Package) {
		return purchase.News{}, nil // another app's
	}
	s.API.Forget(n.Package, n.Token) // it changed
	switch n.Kind {
	case KindSubscription:
		return s.heard(ctx, place{n.Package, true}, n)
	case KindOneTime:
		return s.heard(ctx, place{n.Package, false}, n)
	case KindVoided:
		return s.voided(ctx, n)
	case KindReview:
		return s.disputed(ctx, n)
	case KindTest:
	}
	return purchase.News{}, nil
}

// seenWithin is how long Google may tell of a purchase before it shows it.
const seenWithin = time.Hour

// heard asks about a token that Google told of. One that it does not know any more is no
// news, and takes nothing from anybody. One that it does not know yet is looked at again: a
// purchase that was only told of is given back where nobody acknowledges it.
func (s *Store) heard(ctx context.Context, at place, n Notification) (purchase.News, error) {
	news, err := s.ask(ctx, at, n.Token)
	if errors.Is(err, fault.NotFound) {
		gone := errors.Is(err, ErrGone)
		if age := s.Clock.Now().Sub(n.At); !gone && age.Abs() < seenWithin {
			return purchase.News{}, fault.New(fault.Unavailable, "not_visible_yet", "What Google Play told of is not to be seen yet.")
		}
		s.Log.InfoContext(ctx, "Google Play told of a purchase that it does not know.", "gone", gone)
		return purchase.News{}, nil
	}
	if err != nil || len(news.Sales) == 0 {
		return purchase.News{}, err
	}
	s.enlarge(ctx, at.pkg, &news, nil)
	return news, nil
}

// voided finds out what was given back of an order. The order is the proof, and a
// subscription may go on though one of its orders was given back. What does not show yet is
// looked at again.
func (s *Store) voided(ctx context.Context, n Notification) (purchase.News, error) {
	at, err := s.voidedAt(ctx, n)
	if err != nil {
		return purchase.News{}, err
	}
	news, err := s.ask(ctx, at, n.Token)
	if errors.Is(err, fault.Invalid) && !n.kindSaid() {
		at.subscription = !at.subscription // the order did not say either
		news, err = s.ask(ctx, at, n.Token)
	}
	switch {
	case errors.Is(err, fault.NotFound):
		news = purchase.News{Token: &purchase.Token{ID: TokenID(n.Token), Secret: n.Token, Kind: at.String()}}
	case err != nil:
		return purchase.News{}, err
	}
	for i := range news.Sales {
		if sale := &news.Sales[i]; sale.State == purchase.Failed {
			sale.State = purchase.Refunded // cancelled, and told to be voided: it had been paid
		}
	}
	about := func(sale purchase.Sale) bool { return sale.Order == n.Order || n.Order == "" }
	var sold []purchase.Sold
	if n.Order != "" {
		sold = []purchase.Sold{{Order: n.Order}}
	}
	if err := s.enrich(ctx, n.Package, &news, sold); err != nil {
		return purchase.News{}, err
	}
	back := func(sale purchase.Sale) bool {
		// A part that was given back before is not the rest that this is about.
		part := sale.Back > 0 && n.RefundType != RefundFull
		return about(sale) && (sale.State == purchase.Refunded || part)
	}
	if !slices.ContainsFunc(news.Sales, back) {
		return purchase.News{}, fault.New(fault.Unavailable, "not_visible_yet", "What Google Play said was given back is not to be seen yet.")
	}
	return first(news, back), nil
}

// kindSaid says whether it is known of what kind of product a voided purchase is.
func (n Notification) kindSaid() bool {
	return n.ProductType == ProductSubscription || n.ProductType == ProductOneTime
}

// voidedAt is where to ask about what was voided. The list of what was voided does not say,
// but the order does; a promotion has none, and is no subscription.
func (s *Store) voidedAt(ctx context.Context, n Notification) (place, error) {
	at := place{n.Package, n.ProductType == ProductSubscription}
	if n.kindSaid() || n.Order == "" {
		return at, nil
	}
	orders, err := s.API.Orders(ctx, n.Package, []string{n.Order})
	if err != nil {
		return place{}, err
	}
	o := orders[n.Order]
	at.subscription = o != nil && len(o.LineItems) > 0 && o.LineItems[0] != nil && o.LineItems[0].SubscriptionDetails != nil
	return at, nil
}

// disputed finds the order of a pending refund. The review alone takes nothing back.
func (s *Store) disputed(ctx context.Context, n Notification) (purchase.News, error) {
	if !s.ReviewRefunds {
		s.Log.ErrorContext(ctx, "A payment is disputed, and an answer is due within a day.", "alarm", true, "store", Name)
		return purchase.News{}, nil
	}
	asOf := s.Clock.Now()
	orders, err := s.API.Orders(ctx, n.Package, []string{n.Order})
	if err != nil {
		return purchase.News{}, err
	}
	order, ok := orders[n.Order]
	if !ok || !wasPaid(order) || order.PurchaseToken == "" || len(order.LineItems) == 0 || order.LineItems[0] == nil {
		return purchase.News{}, fault.New(fault.Unavailable, "not_visible_yet", "The order of a disputed payment is not to be seen yet.")
	}
	at := place{n.Package, order.LineItems[0].SubscriptionDetails != nil}
	s.API.Forget(n.Package, order.PurchaseToken)
	news, err := s.ask(ctx, at, order.PurchaseToken)
	if errors.Is(err, fault.NotFound) {
		news, err = purchase.News{Token: &purchase.Token{ID: TokenID(order.PurchaseToken), Secret: order.PurchaseToken, Kind: at.String()}}, nil
	}
	if err != nil {
		return purchase.News{}, err
	}
	about := func(sale purchase.Sale) bool { return sale.Order == n.Order }
	if !slices.ContainsFunc(news.Sales, about) {
		news.Sales = append(news.Sales, orderSales(at, news.Token.ID, order, asOf)...)
	}
	apply(&news, orders, nil, asOf)
	news.Usage, news.Case = true, n.PendingRefundToken
	return first(news, about), nil
}

// Follow asks how a token stands, and what was given back of what was sold with it.
func (s *Store) Follow(ctx context.Context, l purchase.Line) (purchase.News, bool, error) {
	at, ok := placeOf(l.Token.Kind)
	if !ok || !slices.Contains(s.Packages, at.pkg) {
		return purchase.News{}, false, nil
	}
	s.API.Forget(at.pkg, l.Token.Secret) // it may have changed
	news, err := s.ask(ctx, at, l.Token.Secret)
	if errors.Is(err, fault.Invalid) || errors.Is(err, fault.Malformed) {
		err = otherwise(fault.NotFound, codeAPIAbsent, err) // it is no outage
	}
	if err == nil && len(l.Sold) > 0 {
		return news, true, s.enrich(ctx, at.pkg, &news, l.Sold)
	}
	if err == nil && slices.ContainsFunc(news.Sales, func(sale purchase.Sale) bool { return sale.State == purchase.Paid }) {
		s.enlarge(ctx, at.pkg, &news, nil) // it was to be paid, and is
	}
	return news, true, err
}

// otherwise gives an error of our API another kind, where a port has no other.
func otherwise(kind error, code string, err error) error {
	with := fault.New(kind, code, "Google Play does not take this for this purchase.")
	if failed, ok := errors.AsType[*APIError](err); ok {
		return with.Because(failed)
	}
	return with.Because(errors.New("play: it cannot be asked for"))
}

// notTaken makes of what Google does not know, and what it cannot be told, what it does not
// take: to tell it again would not help.
func notTaken(err error) error {
	if errors.Is(err, fault.NotFound) || errors.Is(err, fault.Malformed) {
		return otherwise(fault.Invalid, codeAPIRefused, err)
	}
	return err
}

// enlarge is enrich where the orders are not needed: they say what was paid.
func (s *Store) enlarge(ctx context.Context, pkg string, news *purchase.News, sold []purchase.Sold) {
	if err := s.enrich(ctx, pkg, news, sold); err != nil {
		s.Log.InfoContext(ctx, "What was paid at Google Play could not be found out.", "error", err)
	}
}

// enrich adds what the orders say of the sales, and of others that were sold before.
func (s *Store) enrich(ctx context.Context, pkg string, news *purchase.News, sold []purchase.Sold) error {
	var ids []string
	for _, sale := range news.Sales {
		if sale.Order != TokenID(news.Token.Secret) {
			ids = append(ids, sale.Order)
		}
	}
	for _, o := range sold {
		if o.Order != news.Token.ID {
			ids = append(ids, o.Order)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	asOf := s.Clock.Now()
	orders, err := s.API.Orders(ctx, pkg, ids)
	if err != nil {
		return err
	}
	apply(news, orders, sold, asOf)
	return nil
}

// Acknowledge tells Google that a purchase was delivered, or used up
// (purchases.products.acknowledge and consume, purchases.subscriptions.acknowledge).
func (s *Store) Acknowledge(ctx context.Context, d purchase.Delivery) error {
	at, ok := placeOf(d.Token.Kind)
	switch {
	case !ok:
		return fault.New(fault.Invalid, "invalid_purchase", "This was not bought at Google Play.")
	case at.subscription:
		return notTaken(s.API.AcknowledgeSubscription(ctx, at.pkg, d.Part, d.Token.Secret, d.Account))
	case d.Consume:
		return notTaken(s.API.ConsumeProduct(ctx, at.pkg, d.Part, d.Token.Secret))
	}
	return notTaken(s.API.AcknowledgeProduct(ctx, at.pkg, d.Part, d.Token.Secret))
}

// What a review may prefer (orders.reviewrefund, refundPreference).
const (
	preferApprove = "APPROVE"
	preferDecline = "DECLINE"
	preferNeutral = "NEUTRAL"
)

// Report answers a refund review by policy: what was not delivered should be given back,
// what was used should not, and of what was delivered and cannot be counted Google decides
// alone.
func (s *Store) Report(ctx context.Context, sale purchase.Sale, u purchase.Usage) error {
	answer := &androidpublisher.OrdersReviewRefundRequest{PendingRefundToken: u.Case, RefundPreference: preferNeutral}
	switch {
	case !u.Delivered:
		answer.RefundPreference = preferApprove
	case u.Spendable && u.Spent > 0:
		answer.RefundPreference, answer.ConsumptionPercentageMilliunits = preferDecline, int64(u.Spent)
	}
	return notTaken(s.API.ReviewRefund(ctx, sale.App, sale.Order, answer))
}

// How often Google is asked whether money was given back without a word, since a refund that
// leaves the purchase is in no notification and in no list, and for how long: a subscription as
// long as it goes on, and after its end while Google still shows it (subscriptionsv2.get, 410).
const (
	askedEvery    = 13 * 24 * time.Hour
	askedFor      = 90 * 24 * time.Hour // after a one-time purchase
	askedAfterEnd = 60 * 24 * time.Hour
)
