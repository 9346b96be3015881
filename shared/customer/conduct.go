package customer

import (
	"context"
	"slices"
	"strings"
	"time"

	"grantline/shared/abuse"
	"grantline/shared/clock"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Debts are what is owed of each wallet currency.
func (c *Customer) Debts() map[string]int64 {
	debts := map[string]int64{}
	for currency, w := range c.wallets {
		if w.Debt > 0 {
			debts[currency] = w.Debt
		}
	}
	return debts
}

// Judge replaces what is known of the customer's conduct, puts the measures in force that
// follow from it, and tells where those change.
func (c *Customer) Judge(h abuse.History, policy abuse.Policy, now time.Time) abuse.Assessment {
	a := h.Assess(policy, c.Debts(), now)
	was := c.conduct.Measures
	if h.Measures = a.Measures; len(h.Measures) == 0 {
		h.Measures = nil
	}
	c.SetConduct(h)
	if slices.Equal(was, h.Measures) {
		return a
	}
	score := a.Score
	e := event.Event{Type: event.CustomerFlagged, At: now, Score: &score, Measures: texts(h.Measures)}
	if len(h.Measures) == 0 {
		e.Type = event.CustomerCleared
	}
	c.Tell(e)
	return a
}

// restricted says whether a measure is in force at now. Those that were written are assessed
// again, for a score falls with time and a debt is paid; what does not follow any more is over.
func (c *Customer) restricted(policy abuse.Policy, m abuse.Measure, now time.Time) bool {
	if len(c.conduct.Measures) == 0 {
		return false
	}
	return slices.Contains(c.Judge(c.conduct, policy, now).Measures, m)
}

// Override puts a person's word above the score of a customer, who has to be known. The same
// word again changes nothing. Errors: fault.NotFound; fault.Invalid, override_invalid;
// fault.Malformed; fault.Unavailable.
func (d Directory) Override(ctx context.Context, scope table.Scope, id string, o abuse.Override, policy abuse.Policy, clk clock.Clock) (*Customer, error) {
	if err := validReason(o.Reason); err != nil {
		return nil, err
	}
	return d.changed(ctx, scope, id, clk, func(c *Customer, now time.Time) (bool, error) {
		if !c.Exists() {
			return false, noCustomer()
		}
		o.At = now
		h, err := c.conduct.Override(o)
		if err != nil {
			return false, err
		}
		if is := c.conduct.Assess(policy, c.Debts(), now).Override; is != nil && says(*is, h.Overrides[len(h.Overrides)-1]) {
			return false, nil
		}
		c.overridden(h, policy, o.Reason, now)
		return true, nil
	})
}

// says that two overrides are the same word, whenever it was given.
func says(a, b abuse.Override) bool {
	return a.By == b.By && a.Reason == b.Reason && slices.Equal(a.Measures, b.Measures)
}

// Lift takes a person's word back: the score decides again. Where there is none it changes
// nothing. Errors: fault.NotFound; fault.Malformed; fault.Unavailable.
func (d Directory) Lift(ctx context.Context, scope table.Scope, id, reason string, policy abuse.Policy, clk clock.Clock) (*Customer, error) {
	if err := validReason(reason); err != nil {
		return nil, err
	}
	return d.changed(ctx, scope, id, clk, func(c *Customer, now time.Time) (bool, error) {
		if !c.Exists() {
			return false, noCustomer()
		}
		if c.conduct.Assess(policy, c.Debts(), now).Override == nil {
			return false, nil
		}
		c.overridden(c.conduct.Lift(), policy, reason, now)
		return true, nil
	})
}

// overridden writes a person's decision, and tells of it before what follows from it.
func (c *Customer) overridden(h abuse.History, policy abuse.Policy, reason string, now time.Time) {
	a := h.Assess(policy, c.Debts(), now)
	why := c.because(strings.TrimSpace(reason))
	c.Tell(event.Event{Type: event.CustomerOverridden, At: now, Score: &a.Score, Measures: texts(a.Measures), Cause: why})
	c.Judge(h, policy, now)
}

func noCustomer() error {
	return fault.New(fault.NotFound, "customer_not_found", "There is no such customer.")
}
