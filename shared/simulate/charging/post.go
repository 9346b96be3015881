package charging

import (
	"context"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/reminder"
	"grantline/shared/simulate"
)

// Post is who tells customers of what is coming. Sometimes it is out of reach.
type Post struct {
	w    *simulate.World
	told map[retry]time.Time
}

var _ billing.Courier = (*Post)(nil)

// NewPost opens it.
func NewPost(w *simulate.World) *Post { return &Post{w, map[retry]time.Time{}} }

// Tell tells one customer, as far as the weather lets it.
func (p *Post) Tell(_ context.Context, r reminder.Reminder) error {
	fate := p.w.Cross(simulate.Op{Port: "mail", Verb: "tell", About: r.ID, Write: true})
	if fate == simulate.Fine || fate == simulate.Unheard {
		p.told[retry{r.SubscriptionID, r.Period, r.Attempt}] = p.w.Now()
	}
	p.w.Crossed()
	if fate == simulate.Fine {
		return nil
	}
	return fault.New(fault.Unavailable, "mail_unavailable", "The provider did not answer.")
}

// ahead is how long before a retry its customer is told of it, where that is known for longer: a
// day, of which bad weather may take most.
func (q *Quarter) ahead() time.Duration {
	if q.options.Calm {
		return 24 * time.Hour
	}
	return time.Hour
}

// carried is within what time the post has told whoever is to be told.
const carried = 20 * time.Hour

// told holds a retry against what its customer was told of it before.
func (q *Quarter) told(s *subscription, n *period, o *order, at time.Time) {
	now, r := q.w.Now(), retry{s.ID, o.Period, o.Attempt}
	said, ok := q.reminded[r]
	switch {
	case !ok || said.After(now.Add(skewed)):
		q.fail("a notice before each retry", "subscription %s, period %d, attempt %d: nobody was told", s.ID, o.Period, o.Attempt)
	case n.known(o.ID).Before(at.Add(-49*time.Hour)) && said.After(at.Add(-q.ahead())):
		q.fail("a notice a day before each retry", "subscription %s, period %d, attempt %d: told at %s", s.ID, o.Period, o.Attempt, said.Format(time.RFC3339))
	}
	if _, ok := q.options.Post.told[r]; !ok && said.Before(now.Add(-carried)) {
		q.fail("a notice before each retry", "subscription %s, period %d, attempt %d: written down at %s, and the customer was not told", s.ID, o.Period, o.Attempt, said.Format(time.RFC3339))
	}
}
