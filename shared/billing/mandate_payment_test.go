package billing_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"grantline/shared/billing"
)

func (g *dodo) Charge(ctx context.Context, order string, card billing.Card, text []byte) billing.Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	c := call{order: order, card: card.BillingKey, body: string(text), at: g.clock.Now(), nth: len(g.calls) + 1, of: 1}
	for _, before := range g.calls {
		if before.order == order {
			c.of++
		}
	}
	g.calls = append(g.calls, c)
	if at, ok := g.unanswered[order]; ok {
		g.wrongly("order %s was sent again at %v, though what became of it at %v was not known", order, c.at, at)
	}
	for other, at := range g.unanswered {
		is, ok := attempts()[order]
		was, of := attempts()[other]
		if ok && of && was[0] == is[0] && other != order && !g.told[other] && c.at.Sub(at) < 20*time.Hour {
			g.wrongly("period %d was charged again %v after a charge without an answer, want a quiet period of 20 h at least", is[0], c.at.Sub(at))
		}
	}
	m := g.mandate(card.BillingKey)
	if m == nil {
		g.wrongly("order %s was charged to no mandate", order)
		return billing.Outcome{Result: billing.NotMade, Misconfigured: true}
	}
	var f fate
	if g.fate != nil {
		f = g.fate(c)
	}
	if f.kill {
		defer g.kill()
	}
	if f.drop || ctx.Err() != nil {
		g.unanswered[order] = c.at
		return billing.Outcome{Result: billing.Unclear}
	}
	o := g.charge(c, m, f)
	if o.Result == billing.Unclear || f.lose || f.kill {
		g.unanswered[order] = c.at
		return billing.Outcome{Result: billing.Unclear, Code: o.Code}
	}
	return o
}

func (g *dodo) charge(c call, m *mandate, f fate) billing.Outcome {
	switch {
	case f.busy:
		return billing.Outcome{Result: billing.NotMade, Code: "TOO_MANY_REQUESTS", Busy: true}
	case f.ours:
		return billing.Outcome{Result: billing.NotMade, Code: "UNAUTHORIZED", Misconfigured: true}
	case f.odd == pending || g.opens(m):
		return billing.Outcome{Result: billing.NotMade, Code: pending, Again: 10 * time.Minute}
	case m.state != billing.MandateActive:
		return billing.Outcome{Result: billing.Refused, Code: "SUBSCRIPTION_INACTIVE", Class: billing.Passing}
	case f.fail && !f.effect:
		return billing.Outcome{Result: billing.Unclear, Code: "INTERNAL_SERVER_ERROR"}
	}
	var b body
	if err := json.Unmarshal([]byte(c.body), &b); err != nil || b.Order != c.order {
		g.wrongly("order %s was sent with a body of another", c.order)
	}
	t := g.pay(m, c.order, b.Amount, f.late)
	if t.code, t.class = f.decline, f.class; t.code != "" && t.class == "" {
		t.class = billing.Soft
	}
	g.tell(t.decided, billing.Hint{Order: t.order, Payment: t.key})
	if f.fail || f.late > 0 {
		return billing.Outcome{Result: billing.Unclear, Code: "INTERNAL_SERVER_ERROR"}
	}
	return billing.Outcome{Result: billing.Accepted, Payment: billing.Payment{Key: t.key}}
}

// opens says whether a payment of a mandate is not decided yet.
func (g *dodo) opens(m *mandate) bool {
	now := g.clock.Now()
	return slices.ContainsFunc(g.transfers, func(t *transfer) bool {
		return t.mandate == m.id && !t.waits && !t.created.After(now) && t.decided.After(now)
	})
}

func (g *dodo) Find(ctx context.Context, order string, want billing.Want) billing.Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	g.asked["find"]++
	unclear := billing.Outcome{Result: billing.Unclear}
	if want.Payment == "" && want.Card.BillingKey == "" {
		g.wrongly("order %s was looked up without its mandate or its payment", order)
		return unclear
	}
	if ctx.Err() != nil || g.find != nil && g.find(g.asked["find"]) {
		return unclear
	}
	now := g.clock.Now()
	var found []*transfer
	for _, t := range g.transfers {
		listed := want.Payment == "" && t.mandate == want.Card.BillingKey && !t.created.Add(g.lag).After(now) &&
			!t.created.Before(want.Since.Add(-10*time.Minute))
		if t.order == order && !(want.Payment == "" && slices.Contains(want.Passed, t.key)) && !t.created.After(now) && (listed || t.key == want.Payment) {
			found = append(found, t)
		}
	}
	if len(found) == 0 && want.Payment != "" {
		return unclear
	}
	slices.SortFunc(found, func(a, b *transfer) int { return cmp.Or(a.created.Compare(b.created), strings.Compare(a.key, b.key)) })
	o := g.outcome(found)
	g.told[order] = g.told[order] || o.Result == billing.Refused
	return o
}

func (g *dodo) outcome(found []*transfer) billing.Outcome {
	var taken []billing.Payment
	refused, open := billing.Outcome{Result: billing.Absent}, ""
	for _, t := range found {
		switch {
		case t.waits || t.decided.After(g.clock.Now()):
			open = cmp.Or(open, t.key)
		case t.code == "":
			taken = append(taken, g.payment(t))
		default:
			refused = billing.Outcome{Result: billing.Refused, Code: t.code, Class: t.class, Method: t.method}
		}
	}
	switch {
	case len(taken) > 0:
		return billing.Outcome{Result: billing.Taken, Payment: taken[0], Others: taken[1:]}
	case open != "":
		return billing.Outcome{Result: billing.Accepted, Payment: billing.Payment{Key: open}}
	}
	return refused
}

func (g *dodo) payment(t *transfer) billing.Payment {
	return billing.Payment{Key: t.key, Mandate: t.mandate, Amount: t.amount, Currency: t.currency, ApprovedAt: t.created, Returned: g.returned(t.key)}
}

// returned is what was given back of a payment, for good.
func (g *dodo) returned(payment string) (all int64) {
	for _, r := range g.repaid {
		if r.payment == payment && !r.failed && !r.decided.After(g.clock.Now()) {
			all += r.amount
		}
	}
	return all
}

func (g *dodo) OrderOf(ctx context.Context, payment string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked["order of"]++
	if ctx.Err() != nil || g.find != nil && g.find(g.asked["order of"]) {
		return "", unanswered()
	}
	if t := g.transfer(payment); t != nil {
		return t.order, nil
	}
	return "", nil
}

func (g *dodo) Disputed(ctx context.Context, from, to time.Time, after string) ([]billing.Dispute, string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil {
		return nil, "", unanswered()
	}
	in := slices.DeleteFunc(slices.Clone(g.disputes), func(d billing.Dispute) bool { return d.Opened.Before(from) || !d.Opened.Before(to) })
	const page = 3
	n, _ := strconv.Atoi(after)
	if end := n + page; end < len(in) {
		return in[n:end], strconv.Itoa(end), nil
	}
	return in[min(n, len(in)):], "", nil
}

func (g *dodo) transfer(key string) *transfer {
	for _, t := range g.transfers {
		if t.key == key {
			return t
		}
	}
	return nil
}

// Refund gives back what it is asked to, as often as it is asked, as long as there is any.
func (g *dodo) Refund(ctx context.Context, r billing.Refunding) billing.Refunded {
	g.mu.Lock()
	defer g.mu.Unlock()
	f, out := g.begin(ctx, "refund", g.refund)
	t := g.transfer(r.Payment)
	switch {
	case out:
		return billing.Refunded{Result: billing.Unclear}
	case f.busy:
		return billing.Refunded{Result: billing.NotMade, Busy: true}
	case t == nil || t.order != r.OrderID || t.code != "":
		g.wrongly("a refund of order %s names payment %q", r.OrderID, r.Payment)
		return billing.Refunded{Result: billing.NotMade, Misconfigured: true}
	case f.fail && !f.effect:
		return billing.Refunded{Result: billing.Unclear}
	}
	left, amount := t.amount, r.Amount.Units
	for _, was := range g.repaid {
		if was.payment == t.key && !was.failed && !was.at.After(g.clock.Now()) {
			left -= was.amount
		}
		if was.key == r.Key && !was.failed {
			g.wrongly("refund %s of order %s was sent again", r.Key, r.OrderID)
		}
	}
	if r.Whole {
		amount = left // with the tax
	}
	if amount > left || left == 0 || f.decline != "" {
		return billing.Refunded{Result: billing.Refused, Code: "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT"}
	}
	now := g.clock.Now().Add(f.late)
	back := &repayment{key: r.Key, payment: t.key, order: t.order, amount: amount, at: now, decided: now.Add(g.slow)}
	g.repaid = append(g.repaid, back)
	g.tell(back.decided, billing.Hint{Order: t.order, Payment: t.key, Returned: true})
	if f.kill {
		g.kill()
	}
	if f.lose || f.kill || f.fail || f.late > 0 {
		return billing.Refunded{Result: billing.Unclear}
	}
	return g.stands(back)
}

func (g *dodo) stands(r *repayment) billing.Refunded {
	result := billing.Taken
	if r.decided.After(g.clock.Now()) {
		result = billing.Accepted
	} else if r.failed {
		result = billing.Refused
	}
	return billing.Refunded{Result: result, Transaction: fmt.Sprintf("ref_%d", slices.Index(g.repaid, r)+1)}
}

func (g *dodo) FindRefund(ctx context.Context, r billing.Refunding) billing.Refunded {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	g.asked["find"]++
	if ctx.Err() != nil || g.find != nil && g.find(g.asked["find"]) {
		return billing.Refunded{Result: billing.Unclear}
	}
	for _, was := range g.repaid {
		if was.key == r.Key && !was.at.After(g.clock.Now()) {
			return g.stands(was)
		}
	}
	return billing.Refunded{Result: billing.Absent}
}

func (g *dodo) Statement(ctx context.Context, from, to time.Time, _ string) ([]billing.Entry, string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	if ctx.Err() != nil {
		return nil, "", unanswered()
	}
	in := func(at time.Time) bool { return !at.Before(from) && at.Before(to) }
	var entries []billing.Entry
	for _, t := range g.transfers {
		if t.told && t.code == "" && in(t.created) {
			entries = append(entries, billing.Entry{OrderID: t.order, Payment: t.key, At: t.created, Currency: t.currency, Taken: t.amount})
		}
	}
	for _, r := range g.repaid {
		if !r.failed && !r.seized && in(r.at) {
			entries = append(entries, billing.Entry{OrderID: r.order, Payment: r.payment, At: r.at, Currency: "USD", Returned: r.amount})
		}
	}
	return entries, "", nil
}

func (g *dodo) sent() []call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.calls)
}

// kept is the payments whose money was taken, and not given back whole.
func (g *dodo) kept() (all []transfer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	for _, t := range g.transfers {
		if t.told && t.code == "" && g.returned(t.key) < t.amount {
			all = append(all, *t)
		}
	}
	return all
}

// taken is all payments whose money was taken, whether or not it was given back.
func (g *dodo) taken() (all []transfer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	for _, t := range g.transfers {
		if t.told && t.code == "" {
			all = append(all, *t)
		}
	}
	return all
}
