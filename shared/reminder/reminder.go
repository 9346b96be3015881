// Package reminder tells a customer, before a charge is tried again, that the last one did
// not go through. The one idea: what is said is composed once, by a pure function, and then
// told by every way that reaches the customer; telling twice does no harm, so whatever may
// not have arrived is told again.
package reminder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/table"
)

// Reminder is what a customer is told before an attempt.
type Reminder struct {
	ID             string // the same for the same attempt, for receivers that dedupe
	Scope          table.Scope
	SubscriptionID string
	PlanName       string
	CustomerID     string // the company's
	Amount         money.Amount
	// NextAttemptAt is zero where nothing is tried again before the customer changes the
	// payment method.
	NextAttemptAt time.Time
	Zone          string // IANA; the wall on which the customer reads NextAttemptAt
	Period        int    // from 0
	Attempt       int    // the next one; from 1
	DeclineCode   string // the gateway's; for programs, never shown to the customer
	// Link is where the customer changes the payment method, "" if there is no such page.
	// One that is not an absolute http or https address is left out.
	Link string

	Email, Phone, Name string // personal; "" where unknown
	Locale             string // BCP 47, "" where unknown
}

// Message is a reminder in words.
type Message struct {
	Locale  string // of the words: "ko" or "en"
	Subject string // one line
	Text    string // plain
	HTML    string // a whole document
	Short   string // for a text message, 140 UTF-16 units unless the link alone is too long
}

// Channel tells one customer by one way.
type Channel interface {
	// Name is for logs.
	Name() string
	// Reaches says whether the reminder has what this way needs.
	Reaches(r Reminder) bool
	// Tell hands the message over. An error means that it may not have arrived; telling
	// twice is allowed. Errors: fault.Invalid where this customer's address is definitely
	// refused, so that telling again cannot help; fault.Unavailable for everything else.
	// No error has anything personal in its text.
	Tell(ctx context.Context, r Reminder, m Message) error
}

// Courier tells by every channel that reaches the customer.
type Courier struct {
	Channels []Channel
	Log      *slog.Logger
	// Link is the company's page for changing the payment method, used where a reminder
	// has none; the zero Link is no page.
	Link Link
}

// Tell tells the customer, one channel after the other. It succeeds when one channel did,
// and when none reaches the customer or each that does refused the address: the event that
// the reminder is about was written anyway. Errors: fault.Unavailable if all failed, and
// then the whole may be repeated; another if the reminder cannot be put into words, which
// is a bug or a wrong catalog.
func (c Courier) Tell(ctx context.Context, r Reminder) error {
	if r.Link == "" {
		r.Link = c.Link.For(r.SubscriptionID)
	}
	message, err := Compose(r)
	if err != nil {
		c.Log.ErrorContext(ctx, "A reminder cannot be put into words.", "subscription", r.SubscriptionID, "alarm", true, "error", err.Error())
		return fmt.Errorf("reminder: of subscription %q: %w", r.SubscriptionID, err)
	}
	told, failures := 0, []error(nil)
	for _, channel := range c.Channels {
		if !channel.Reaches(r) {
			continue
		}
		err := channel.Tell(ctx, r, message)
		switch {
		case err == nil:
			told++
			c.Log.InfoContext(ctx, "A customer was reminded.", "channel", channel.Name(), "subscription", r.SubscriptionID, "outcome", "told")
		case errors.Is(err, fault.Invalid):
			c.Log.WarnContext(ctx, "A customer's address was refused.", "channel", channel.Name(), "subscription", r.SubscriptionID, "outcome", "refused", "error", err.Error())
		default:
			failures = append(failures, fmt.Errorf("%s: %w", channel.Name(), err))
			c.Log.WarnContext(ctx, "A reminder may not have arrived.", "channel", channel.Name(), "subscription", r.SubscriptionID, "outcome", "failed", "error", err.Error())
		}
	}
	if told > 0 || len(failures) == 0 {
		if told == 0 {
			c.Log.InfoContext(ctx, "No channel reaches a customer.", "subscription", r.SubscriptionID, "outcome", "event only")
		}
		return nil
	}
	return fault.New(fault.Unavailable, "reminder_undelivered", "No channel took the reminder.").Because(errors.Join(failures...))
}
