package billing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"grantline/shared/clock"
	"grantline/shared/table"
)

const (
	// disputesWithin is how long after it was opened a dispute may be decided: it has four stages,
	// the claim, the answer, pre-arbitration and arbitration, of 45 days each at most (the dispute
	// rules of Visa and Mastercard).
	disputesWithin = 180 * day
	// mostDisputePages bounds their list: 200,000 disputes at Dodo's pages.
	mostDisputePages = 2000
)

// heardDispute is the last word of a dispute that our books follow.
type heardDispute struct {
	Lost bool `json:"lost"`
}

// disputed looks at what payers' banks have decided and our books do not follow yet: their word
// comes weeks after the payment, so that no day's statement shows it, and its notice may be
// lost. What was looked at is kept beside the cursor, so that each word costs one look. What
// could not be listed or looked at is counted as orders of the day are.
func (c *comparison) disputed(ctx context.Context) (looked int, err error) {
	gateway, able := c.gateway.(Disputes)
	if !able {
		return 0, nil
	}
	now, after := c.Clock.Now(), ""
	for range mostDisputePages {
		var found []Dispute
		var next string
		err := c.patiently(ctx, func() (err error) {
			found, next, err = gateway.Disputed(ctx, now.Add(-disputesWithin), now, after)
			return err
		})
		if err != nil {
			return looked, c.looked(ctx, "of disputes", fmt.Errorf("billing: disputes: %w", err))
		}
		n, err := c.holdDisputes(ctx, found)
		if looked += n; errors.Is(err, errUnlooked) {
			return looked, c.looked(ctx, "of disputes", err)
		}
		if after = next; err != nil || after == "" {
			return looked, err
		}
	}
	c.alarm(ctx, "the disputes are too many to be compared", "gateway", c.Gateway)
	return looked, nil
}

// holdDisputes looks at those of a page that our books do not follow yet. It is errUnlooked where
// there is no time for all of them.
func (c *comparison) holdDisputes(ctx context.Context, found []Dispute) (looked int, err error) {
	keys := make([]table.Key, len(found))
	for i, d := range found {
		keys[i] = table.Key{Table: table.Subscriptions, Partition: c.Scope.Key("cursor", c.Gateway, "dispute", d.ID)}
	}
	if len(keys) == 0 {
		return 0, nil
	}
	items, err := c.Tables.GetAll(ctx, keys)
	if err != nil {
		return 0, fmt.Errorf("billing: disputes: %w", err)
	}
	known := map[table.Key]table.Item{}
	for _, item := range items {
		known[item.Key] = item
	}
	for i, d := range found {
		item, ok := known[keys[i]]
		var heard heardDispute
		if ok {
			if err := decode(item, &heard); err != nil {
				return looked, err
			}
		}
		if ok && heard.Lost == d.Lost {
			continue
		}
		if !clock.Room(ctx, compareRoom) {
			return looked, errUnlooked
		}
		item.Key = keys[i]
		looked++
		if err := c.looked(ctx, d.Payment, c.followDispute(ctx, d, item)); err != nil {
			return looked, err
		}
	}
	return looked, nil
}

// followDispute looks at the payment of a dispute, and writes down that our books follow its word,
// unless a refund of ours is under way, beside which they do not: then it is for the next day.
func (c *comparison) followDispute(ctx context.Context, d Dispute, item table.Item) error {
	h := Hint{Payment: d.Payment, Gateway: c.Gateway, Returned: true, Disputed: true}
	var err error
	if h.Order, err = c.orderOf(ctx, c.Scope, h); err != nil {
		return err
	}
	if h.Order != "" {
		applied, err := c.lookAt(ctx, c.Scope, h)
		if err != nil {
			return err
		}
		if applied {
			o, err := c.order(ctx, c.Scope, h.Order)
			if err != nil || slices.ContainsFunc(o.Refunds, func(r Refund) bool { return r.open() && r.Stray == "" }) {
				return err
			}
		}
	}
	item.Schema, item.Expires = schema, d.Opened.Add(disputesWithin+2*day).Truncate(time.Second)
	if item.Data, err = json.Marshal(heardDispute{d.Lost}); err != nil {
		return err
	}
	if err := lost(c.Tables.Commit(ctx, table.Put(item))); err != nil {
		return fmt.Errorf("billing: dispute: %w", err)
	}
	return nil
}
