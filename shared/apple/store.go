package apple

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/purchase"
)

// Name is the store's name in records and requests.
const Name = "apple"

// StoreConfig says how much of the App Store can be reached.
type StoreConfig struct {
	Verifier *Verifier
	// API is nil where no In-App Purchase key is configured. The store then answers from
	// signed data alone, and its word is as old as the data is: a refund is known once
	// Apple told of it.
	API *API
	// ReportUsage answers Apple when a customer asks for a refund. It tells Apple that the
	// customer consented to that, which is the company's to see to.
	ReportUsage bool
}

// Store is the App Store. It may be used by several goroutines at once.
type Store struct {
	StoreConfig
}

// NewStore makes a store.
func NewStore(c StoreConfig) *Store { return &Store{c} }

var (
	_ purchase.Store    = (*Store)(nil)
	_ purchase.Reader   = (*Store)(nil)
	_ purchase.Follower = (*Store)(nil)
)

// Read verifies a signed transaction and asks nobody. A receipt says nothing by itself.
func (s *Store) Read(ctx context.Context, p purchase.Proof) (purchase.Sale, bool, error) {
	if p.Receipt {
		return purchase.Sale{}, false, nil
	}
	t, err := s.Verifier.Transaction(ctx, p.Evidence)
	if err != nil {
		return purchase.Sale{}, false, err
	}
	sale, err := s.sale(t)
	return sale, true, err
}

// Look finds out how a transaction stands, from what Apple says of it now, and without an
// API from what Apple signed. Of a subscription it gives the line's newest transaction too
// and how it goes on. An old receipt is looked up by the id in it, and by nothing else of
// it: whoever knows the id of a transaction can make one, so an app should send signed
// transactions where it has them.
func (s *Store) Look(ctx context.Context, p purchase.Proof) (purchase.News, error) {
	if p.Receipt {
		return s.lookUp(ctx, p.Evidence)
	}
	t, err := s.Verifier.Transaction(ctx, p.Evidence)
	if err != nil {
		return purchase.News{}, err
	}
	sale, err := s.sale(t)
	if err != nil {
		return purchase.News{}, err
	}
	signed := purchase.News{Sales: []purchase.Sale{sale}}
	if s.API == nil {
		return signed, nil
	}
	asked, err := s.ask(ctx, Place{t.Environment, t.BundleID}, t.TransactionID, sale.Line)
	if err != nil {
		// Signed by Apple and not known to Apple is a contradiction, or a delay.
		return purchase.News{}, unlearned(err)
	}
	return newest(signed, asked), nil
}

// lookUp finds the transaction that a receipt names.
func (s *Store) lookUp(ctx context.Context, receipt string) (purchase.News, error) {
	id, err := ReceiptTransactionID(receipt)
	if err != nil {
		return purchase.News{}, err
	}
	if s.API == nil {
		return purchase.News{}, fault.New(fault.Unavailable, "store_not_configured", "Receipts are looked up with an In-App Purchase key, and this deployment has none.")
	}
	signed, place, err := s.API.Find(ctx, s.Verifier.config.BundleIDs, id)
	if errors.Is(err, fault.NotFound) {
		return purchase.News{}, refused(ErrReceipt)
	}
	if err != nil {
		return purchase.News{}, unlearned(err)
	}
	if !slices.Contains(s.Verifier.config.Environments, place.Environment) {
		return purchase.News{}, refused(ErrEnvironment)
	}
	return s.read(ctx, place, id, signed)
}

// Hear verifies a signedPayload and looks again at what it is about. What Apple signed
// counts while the API is out of reach, since the newest word decides: News.Unasked.
func (s *Store) Hear(ctx context.Context, evidence string) (purchase.News, error) {
	n, err := s.Verifier.Notification(ctx, evidence)
	if err != nil || n.Outcome() == OutcomeKept {
		return purchase.News{}, err
	}
	sale, err := s.sale(*n.Transaction)
	if err != nil {
		return purchase.News{}, err
	}
	news := purchase.News{Sales: []purchase.Sale{sale}, Usage: n.Outcome() == OutcomeConsumption && s.ReportUsage && s.API != nil}
	if n.Renewal != nil {
		news.Standing = standingOf(*n.Renewal, n.Status)
	}
	if s.API == nil {
		return news, nil
	}
	asked, err := s.ask(ctx, Place{n.Environment, n.Transaction.BundleID}, n.Transaction.TransactionID, sale.Line)
	if err != nil {
		news.Unasked = true
		return news, nil //nolint:nilerr // it is looked at again by itself
	}
	both := newest(news, asked)
	both.Unasked = contradicts(news, asked)
	return both, nil
}

// settlesWithin is for how long after Apple told of something its API may still answer as it
// was before, and sign that now: what was bought just now it does not know at once either
// (4040010, TransactionIdNotFoundError).
const settlesWithin = 10 * time.Minute

// contradicts says whether the API says something else of what Apple told of just now. The
// newer word counts, and it may be the wrong one, so it is asked again soon.
func contradicts(told, asked purchase.News) bool {
	sale := told.Sales[0]
	for _, s := range asked.Sales {
		if s.Order == sale.Order && s.AsOf.Sub(sale.AsOf) < settlesWithin && (s.State != sale.State || s.Returned != sale.Returned) {
			return true
		}
	}
	is, was := asked.Standing, told.Standing
	if was.AsOf.IsZero() || is.AsOf.Sub(was.AsOf) >= settlesWithin {
		return false
	}
	is.AsOf = was.AsOf
	return is != was
}

// Follow asks how a line stands, false without an API. Nobody wrote down in which of our
// apps it was sold, and an app that Apple does not answer for stands in no other's way.
func (s *Store) Follow(ctx context.Context, l purchase.Line) (purchase.News, bool, error) {
	if s.API == nil {
		return purchase.News{}, false, nil
	}
	place := Place{Environment: Production}
	if l.Test {
		place.Environment = Sandbox
	}
	err := error(fault.New(fault.NotFound, CodeInvalid, "The App Store does not know this transaction."))
	for _, place.BundleID = range s.Verifier.config.BundleIDs {
		news, failed := s.ask(ctx, place, l.Order, l.Line)
		if failed == nil {
			return news, true, nil
		}
		if !errors.Is(failed, fault.NotFound) {
			err = unlearned(failed)
		}
	}
	return purchase.News{}, true, err
}

// ask gets a transaction of a line as it is now and, of a subscription, how it stands. An
// answer about another line is garbage, though it may be the one that began with id.
func (s *Store) ask(ctx context.Context, p Place, id, line string) (purchase.News, error) {
	signed, err := s.API.Transaction(ctx, p, id)
	if err != nil {
		return purchase.News{}, err
	}
	news, err := s.read(ctx, p, id, signed)
	if err == nil && news.Sales[0].Line != line {
		return purchase.News{}, unknown(ErrMismatch)
	}
	return news, err
}

// read verifies what the API answered about a transaction, and asks for the subscription
// that it belongs to. What cannot be verified is garbage, and no word.
func (s *Store) read(ctx context.Context, p Place, id, signed string) (purchase.News, error) {
	t, err := s.answered(ctx, p, signed)
	if err != nil {
		return purchase.News{}, err
	}
	if t.TransactionID != id && t.OriginalTransactionID != id {
		return purchase.News{}, unknown(ErrMismatch)
	}
	sale, err := s.sale(t)
	if err != nil {
		return purchase.News{}, err
	}
	news := purchase.News{Sales: []purchase.Sale{sale}}
	if t.Type != AutoRenewable {
		return news, nil
	}
	groups, err := s.API.Statuses(ctx, p, t.OriginalTransactionID)
	if err != nil {
		return purchase.News{}, unlearned(err)
	}
	for _, g := range groups {
		for _, last := range g.Last {
			if last.OriginalTransactionID != sale.Line {
				continue // another of the customer's, or of the family's
			}
			stands, err := s.stands(ctx, p, last)
			if err != nil {
				return purchase.News{}, err
			}
			news = newest(news, stands)
		}
	}
	return news, nil
}

// stands verifies a line's entry among the subscription statuses.
func (s *Store) stands(ctx context.Context, p Place, last LastTransaction) (purchase.News, error) {
	t, err := s.answered(ctx, p, last.SignedTransactionInfo)
	if err != nil {
		return purchase.News{}, err
	}
	r, err := s.Verifier.RenewalInfo(ctx, last.SignedRenewalInfo)
	if err != nil {
		return purchase.News{}, unlearned(err)
	}
	if t.OriginalTransactionID != last.OriginalTransactionID || r.OriginalTransactionID != last.OriginalTransactionID || r.Environment != p.Environment {
		return purchase.News{}, unknown(ErrMismatch)
	}
	sale, err := s.sale(t)
	return purchase.News{Sales: []purchase.Sale{sale}, Standing: standingOf(r, last.Status)}, err
}

// answered verifies a transaction of an answer of the API.
func (s *Store) answered(ctx context.Context, p Place, signed string) (Transaction, error) {
	t, err := s.Verifier.Transaction(ctx, signed)
	if err != nil {
		return Transaction{}, unlearned(err)
	}
	if t.Environment != p.Environment || t.BundleID != p.BundleID {
		return Transaction{}, unknown(ErrMismatch)
	}
	return t, nil
}

// unlearned is an outage whatever the API said or signed. It keeps why, and never the kind of
// that: what is wrong with an answer is no verdict on what was asked about.
func unlearned(err error) error {
	if failed, ok := errors.AsType[*APIError](err); ok {
		return failed.unavailable()
	}
	if why := errReason(err); why != "" {
		return unknown(why)
	}
	return unknown(errors.New(err.Error()))
}

// newest puts two news of one line together: of each transaction the newest word, and the
// newest standing.
func newest(a, b purchase.News) purchase.News {
	a.Sales = slices.Clone(a.Sales)
	for _, sale := range b.Sales {
		same := func(other purchase.Sale) bool { return other.Order == sale.Order }
		switch at := slices.IndexFunc(a.Sales, same); {
		case at < 0:
			a.Sales = append(a.Sales, sale)
		case sale.AsOf.After(a.Sales[at].AsOf):
			a.Sales[at] = sale
		}
	}
	if b.Standing.AsOf.After(a.Standing.AsOf) {
		a.Standing = b.Standing
	}
	return a
}

func (s *Store) sale(t Transaction) (purchase.Sale, error) {
	return saleOf(t, s.Verifier.config.Clock.Now())
}

// saleOf is the only place where Apple's words about a transaction meet ours. A word not
// known here grants nothing and revokes nothing.
func saleOf(t Transaction, now time.Time) (purchase.Sale, error) {
	sale := purchase.Sale{
		Store:       Name,
		App:         t.BundleID,
		Line:        t.OriginalTransactionID,
		Order:       t.TransactionID,
		SKU:         t.ProductID,
		State:       purchase.Paid, // Apple signs a transaction when the money is taken
		PurchasedAt: t.PurchaseDate,
		Until:       t.ExpiresDate,
		AsOf:        t.SignedDate,
		Quantity:    1,
		Account:     strings.ToLower(t.AppAccountToken),
	}

	switch t.Environment {
	case Production:
	case Sandbox:
		sale.Test = true
	default:
		return purchase.Sale{}, unknown(ErrWord)
	}

	switch t.Ownership {
	case Purchased, "":
	case FamilyShared:
		sale.Family = true
	default:
		return purchase.Sale{}, unknown(fmt.Errorf("%w: inAppOwnershipType", ErrWord))
	}

	if t.PurchaseDate.IsZero() {
		// What is rented runs from here.
		return purchase.Sale{}, unknown(fmt.Errorf("%w: no purchaseDate", ErrWord))
	}

	switch t.Type {
	case AutoRenewable:
		if t.ExpiresDate.IsZero() {
			// No end means forever to everybody else.
			return purchase.Sale{}, unknown(fmt.Errorf("%w: a subscription without expiresDate", ErrWord))
		}
		// The renewal info, which knows better, is not part of a transaction.
		sale.WillRenew = !t.Revoked() && t.ExpiresDate.After(now)
	case NonConsumable, Consumable, NonRenewing:
	default:
		return purchase.Sale{}, unknown(fmt.Errorf("%w: type", ErrWord))
	}

	if t.Quantity < 0 {
		return purchase.Sale{}, unknown(fmt.Errorf("%w: quantity", ErrWord))
	}
	if t.Quantity > 0 {
		sale.Quantity = t.Quantity
	}

	if t.Priced && !sale.Family { // a share costs its owner and nobody else
		if amount, ok := money.FromMilli(t.Price, t.Currency); ok {
			sale.Price, sale.Currency = amount.Units, amount.Currency
		}
	}

	switch {
	case t.Revoked():
		// In part or whole, by refund or by leaving the family: Apple takes it back.
		sale.State = purchase.Refunded
		if t.Type == Consumable {
			sale.Returned = t.RevocationPercentage // what else is taken back is so wholly
		}
	case t.IsUpgraded:
		// The customer moved on within the same line, so this transaction gives nothing.
		// Paid would give until ExpiresDate what was given up; Refunded would say that no
		// money was kept.
		sale.State = purchase.Replaced
	}
	return sale, nil
}

// The statuses of a subscription (App Store Server API, status).
const (
	statusActive       = 1
	statusExpired      = 2
	statusBillingRetry = 3
	statusGracePeriod  = 4
)

// standingOf is the only place where Apple's words about a renewal meet ours. Status is
// what Apple says beside it, 0 if nothing.
func standingOf(r RenewalInfo, status int) purchase.Standing {
	s := purchase.Standing{
		AsOf: r.SignedDate, WillRenew: r.AutoRenewStatus == 1, Retrying: r.InBillingRetry || status == statusBillingRetry || status == statusGracePeriod,
	}
	if r.GracePeriodExpiresDate.After(r.SignedDate) {
		s.GraceUntil, s.Retrying = r.GracePeriodExpiresDate, true
	}
	switch {
	case status == statusExpired:
		s.GraceUntil, s.Retrying, s.WillRenew = time.Time{}, false, false
	case status == statusActive && !r.InBillingRetry:
		s.GraceUntil, s.Retrying = time.Time{}, false // a grace period that is past, and still said
	}
	if r.ExpirationIntent != 0 && !s.Retrying {
		s.WillRenew = false
	}
	if s.WillRenew && r.AutoRenewProductID != r.ProductID {
		s.Next = r.AutoRenewProductID
	}
	switch {
	case r.ExpirationIntent == 1, r.ExpirationIntent == 0 && r.AutoRenewStatus == 0:
		s.Reason = purchase.ByCustomer
	case r.ExpirationIntent == 2:
		s.Reason = purchase.ByBilling
	case r.ExpirationIntent == 3:
		s.Reason = purchase.ByPrice
	case r.ExpirationIntent == 4:
		s.Reason = purchase.ByProduct
	case r.ExpirationIntent != 0:
		s.Reason = purchase.ByTheUnsaid
	}
	if r.PriceIncreaseSaid {
		s.PriceIncrease = "pending"
		if r.PriceIncrease == 1 {
			s.PriceIncrease = "accepted"
		}
	}
	return s
}

// Report answers a consumption request by policy: what was not delivered should be given
// back, what was used up should not, what was used in part in part; of anything else Apple
// decides alone (App Store Server API, ConsumptionRequest).
func (s *Store) Report(ctx context.Context, sale purchase.Sale, u purchase.Usage) error {
	c := Consumption{CustomerConsented: true, DeliveryStatus: Delivered}
	switch {
	case !u.Delivered:
		c.DeliveryStatus, c.Preference = UndeliveredAnotherReason, PreferFull
	case !u.Spendable:
	default:
		c.Percentage = &u.Spent
		switch {
		case u.Spent >= wholly:
			c.Preference = PreferDecline
		case u.Spent > 0:
			c.Preference = PreferProrated
		default:
			c.Preference = PreferFull
		}
	}
	place := Place{Production, sale.App}
	if sale.Test {
		place.Environment = Sandbox
	}
	err := s.API.SendConsumption(ctx, place, sale.Order, c)
	if errors.Is(err, fault.NotFound) {
		return unlearned(err) // as in Look
	}
	return err
}
