package charging

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"grantline/shared/billing"
	"grantline/shared/entitlement"
	"grantline/shared/table"
)

// accessWritten holds what customers may use, at the moment at which that is written, against
// the money that is written down as theirs.
func (q *Quarter) accessWritten(writes []table.Write) {
	head := slices.IndexFunc(writes, func(w table.Write) bool {
		return w.Item.Key.Table == table.Customers && w.Item.Key.Sort == "#head" && (w.Change == table.Insert || w.Change == table.Replace)
	})
	if head < 0 {
		return
	}
	for _, w := range writes {
		if w.Item.Key.Table != table.Subscriptions || w.Change != table.Insert && w.Change != table.Replace {
			continue
		}
		if s := q.subscriptionOf(w.Item); s != nil && !s.Terms.OnDemand && s.Terms.Entitlement != "" {
			q.access(s, opens(writes[head].Item.Data, s.ID, q.w.Now()))
		}
	}
}

// opens says whether a subscription gives its customer access, by what is written of the
// customer. Of that only what is about the subscription is read.
func opens(head []byte, subscription string, now time.Time) (open bool) {
	mark := []byte(`"ref":"` + subscription + `"`)
	for {
		at := bytes.Index(head, mark)
		if at < 0 {
			return open
		}
		from, to := bytes.LastIndexByte(head[:at], '{'), at+bytes.IndexByte(head[at:], '}')+1
		var src entitlement.Source
		if err := json.Unmarshal(head[from:to], &src); err != nil {
			panic("charging: a customer's sources are written otherwise: " + err.Error())
		}
		open, head = open || src.Gives(now), head[to:]
	}
}

// access: nothing is open without money, nor before there is money again once it was over, and
// what is paid for is open.
func (q *Quarter) access(s *subscription, open bool) {
	now := q.w.Now()
	kept := s.last != nil && s.last.Refunded < s.last.Amount
	switch {
	case open && s.shut:
		q.fail("entitlement follows the books", "subscription %s is %s and open, and nothing was paid since it was over", s.ID, s.State)
	case open && !kept:
		q.fail("entitlement follows the books", "subscription %s is %s and open, and nothing that was paid for it is kept", s.ID, s.State)
	case !open && kept && !s.left && s.Period > s.last.Period && s.last.Period+1 >= s.Base:
		c, err := calendarOf(s.Anchor, s.Terms.Zone, s.Terms.Cycle)
		if err != nil {
			return
		}
		if until := c.due(s.last.Period + 1 - s.Base); now.Add(skewed).Before(until) {
			q.fail("what is paid for is open", "subscription %s is %s and not open, and is paid until %s", s.ID, s.State, until.Format(time.RFC3339))
		}
		if s.State == billing.StatePastDue && s.Terms.Grace && !s.Waits && !s.shut && s.Period == s.last.Period+1 {
			q.fail("who has paid before has its grace", "subscription %s is %s and not open", s.ID, s.State)
		}
	}
}

// givenUp: it is unpaid only where the card that there is now was declined.
func (q *Quarter) givenUp(s *subscription) {
	if s.Gateway != "toss" || s.OnHold {
		return
	}
	if !slices.ContainsFunc(s.period(s.Period).declines, func(d decline) bool { return d.cards == s.Cards }) {
		q.fail("a new card is tried on what is open", "subscription %s is given up, and its card was not asked for period %d", s.ID, s.Period)
	}
}

// retried: a customer has one retry at a time, for as long as whoever sends it may be at it.
func (q *Quarter) retried(o *order) {
	const apart = 2 * skewed // clocks of two functions
	if other := q.retries[o.Customer]; other != nil && other.Subscription != o.Subscription && other.State == billing.Sending && other.Lease.After(q.w.Now().Add(apart)) {
		q.fail("one retry at a time for each customer", "order %s of %s is sent while order %s of %s is", o.ID, o.Subscription, other.ID, other.Subscription)
	}
	q.retries[o.Customer] = o
}
