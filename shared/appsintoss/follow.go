package appsintoss

import (
	"context"
	"errors"
	"fmt"
	"time"

	"grantline/shared/fault"
	"grantline/shared/purchase"
)

var _ purchase.Follower = (*Store)(nil)

// How often a granted order is asked about, since nobody announces the refund of a one-time
// product: each day for a month, and each week for half a year. In between it is each third
// day, so that the refund of an order a month old is found within four.
const (
	pollDaily   = 24 * time.Hour
	pollThird   = 3 * 24 * time.Hour
	pollWeekly  = 7 * 24 * time.Hour
	dailyUntil  = 30 * 24 * time.Hour
	thirdUntil  = 45 * 24 * time.Hour
	weeklyUntil = 180 * 24 * time.Hour
	// pollPause is kept before each, so that polls leave claims their part of 3,000 requests
	// a minute.
	pollPause = 30 * time.Millisecond
	// pollWithin bounds one, so that an order that is not known holds up no others.
	pollWithin = 3 * time.Second
)

// poll is when an order is to be asked about again, zero for never.
func poll(since, now time.Time) time.Time {
	switch age := now.Sub(since); {
	case age < dailyUntil:
		return now.Add(pollDaily)
	case age < thirdUntil:
		return now.Add(pollThird)
	case age < weeklyUntil:
		return now.Add(pollWeekly)
	}
	return time.Time{}
}

// Follow asks how a granted order stands. The store says nothing there of when a
// subscription ends.
func (s *Store) Follow(ctx context.Context, l purchase.Line) (purchase.News, bool, error) {
	if err := s.config.Clock.Sleep(ctx, pollPause); err != nil {
		return purchase.News{}, true, unavailable("no time was left")
	}
	ctx, cancel := context.WithTimeout(ctx, pollWithin+margin)
	defer cancel()
	news, err := s.look(ctx, purchase.Proof{Store: Name, Evidence: l.Order}, knownMissing)
	again := poll(l.Since, s.config.Clock.Now())
	switch {
	case errors.Is(err, fault.NotFound):
		return purchase.News{Again: again}, true, err // it may be shown tomorrow
	case err != nil:
		return purchase.News{}, true, err
	case news.Sales[0].State == purchase.Pending:
		return purchase.News{}, true, unavailable("an order that is known is in progress")
	case news.Sales[0].State == purchase.Paid:
		news.Again = again
	}
	return news, true, nil
}

// Report is never called: the store asks nothing.
func (s *Store) Report(context.Context, purchase.Sale, purchase.Usage) error {
	return fmt.Errorf("appsintoss: bug: the store asked what became of a sale")
}

// The statuses of a subscription ("payment notification URL").
const (
	statusActive  = "ACTIVE"
	statusGrace   = "IN_GRACE_PERIOD"
	statusOnHold  = "ON_HOLD"
	statusPaused  = "PAUSED"
	statusExpired = "EXPIRED"
	statusRevoked = "REVOKED"
)

// graceAtMost bounds access while the store tries to take the money, if nothing is heard.
const graceAtMost = 30 * 24 * time.Hour

// Hear takes over what the status webhook brought, which only the shared secret vouches for,
// and asks how the order stands, which is the store's own word on the money. When a
// subscription ends only the webhook says. An order that the store does not show is believed
// to the webhook; one of an outage is too, and is looked at again soon.
func (s *Store) Hear(ctx context.Context, evidence string) (purchase.News, error) {
	e, err := ParseEvent([]byte(evidence))
	if err != nil || e.OrderID == "" {
		return purchase.News{}, err
	}
	news, err := told(e, s.config.Clock.Now())
	if err != nil {
		return purchase.News{}, err
	}
	asking, cancel := context.WithTimeout(ctx, pollWithin+margin)
	defer cancel()
	found, err := s.look(asking, purchase.Proof{Store: Name, Evidence: e.OrderID}, knownMissing)
	switch {
	case err == nil:
		news.Again = found.Again
		return agreed(news, found.Sales[0])
	case errors.Is(err, fault.NotFound):
		news.Again = s.config.Clock.Now().Add(pollDaily) // it may be shown tomorrow
		return news, nil
	case errors.Is(err, fault.Unavailable):
		// Access ends where the webhook says so; of the money the next look tells.
		news.Unasked, news.Sales[0].State = true, purchase.Paid
		return news, nil
	}
	return purchase.News{}, err // another app's
}

// told is the only place where the words of the status webhook meet ours.
func told(e Event, now time.Time) (purchase.News, error) {
	sale := purchase.Sale{
		Store: Name, Line: e.OrderID, Order: e.OrderID, SKU: e.SKU, State: purchase.Paid, AsOf: now, Quantity: 1,
		Told: true, Blind: true, Until: e.ExpiresAt, WillRenew: e.AutoRenew,
	}
	stands := purchase.Standing{AsOf: e.At, WillRenew: e.AutoRenew}
	if !e.AutoRenew {
		stands.Reason = purchase.ByTheUnsaid
	}
	access := e.AccessGranted
	switch e.Status {
	case statusActive:
	case statusGrace, statusOnHold:
		stands.Retrying = true
	case statusPaused, statusExpired:
	case statusRevoked:
		sale.State, access = purchase.Refunded, false
	default:
		return purchase.News{}, unavailable("subscription status " + quotable(e.Status))
	}
	switch {
	case !access:
		sale.Ended, sale.Until = true, earliest(now, e.At, e.ExpiresAt)
		stands.AsOf = e.At.Add(1) // of two events of one instant the one that takes access counts
	case e.Status == statusGrace:
		// What was paid for ended. Access goes on, and for how long nobody says.
		sale.Ended, sale.Until, stands.GraceUntil = true, e.ExpiresAt, e.At.Add(graceAtMost)
		if e.ExpiresAt.IsZero() {
			sale.Until = e.At
		}
	case e.ExpiresAt.IsZero():
		sale.Until = e.At.Add(purchase.ReviewWithin) // until the next word, and not for ever
		if p := e.Previous; p != nil && p.ExpiresAt.After(sale.Until) {
			sale.Until = p.ExpiresAt // nobody said that it ends sooner
		}
	}
	return purchase.News{Sales: []purchase.Sale{sale}, Standing: stands}, nil
}

// earliest of instants, of which a zero one is none.
func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// agreed puts the webhook's word on a subscription together with the store's on its order:
// whether money was taken, or given back, is the store's to say.
func agreed(news purchase.News, found purchase.Sale) (purchase.News, error) {
	sale := &news.Sales[0]
	if found.SKU != "" && found.SKU != sale.SKU {
		return purchase.News{}, invalid("The webhook names another product than the order has.")
	}
	switch found.State {
	case purchase.Refunded, purchase.Failed:
		return purchase.News{Sales: []purchase.Sale{found}, Standing: news.Standing}, nil
	case purchase.Pending:
		return purchase.News{}, unavailable("an event about an order in progress")
	case purchase.Paid, purchase.Replaced:
	}
	// Of what was revoked access ends, and the money is as the order shows it: told to be given
	// back, it would be restored by the next look.
	sale.State = purchase.Paid
	sale.PurchasedAt = found.PurchasedAt
	return news, nil
}
