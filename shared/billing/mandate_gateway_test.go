package billing_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/money"
)

// pending is what Dodo Payments answers while an earlier payment of a mandate is open.
const pending = "PREVIOUS_PAYMENT_PENDING"

// mandate is a subscription at the gateway.
type mandate struct {
	id, subscription, order string
	state                   billing.MandateState
	method                  string
	page                    string // of the invitation
	pages                   []string
	open                    bool // the customer may still approve on its page
	price                   money.Amount
}

// transfer is a payment at the gateway, or what will be one.
type transfer struct {
	key, order, mandate string
	amount              int64
	currency            string
	created             time.Time // it does not exist before
	decided             time.Time // it is open until then
	code                string    // of its decline, "" for money
	class               billing.Class
	told                bool // its outcome has had its effects
	waits               bool // for the customer, on the page
}

// letterbox is one delivery of a notice.
type letterbox struct {
	at    time.Time
	hint  billing.Hint
	tries int
}

// dodo behaves as Dodo Payments does: two charges are two payments, each is decided some
// seconds after it was accepted, lists lag, and notices come when they like.
type dodo struct {
	clock *movable
	kill  func()

	// fate decides about each charge, nil lets all pass; so do the others about their calls.
	fate                               func(call) fate
	invite, look, mend, revoke, refund func(nth int) fate
	find                               func(nth int) bool
	settles, lag                       time.Duration // until a payment is decided; until a list shows it
	holds                              bool          // a charge that failed puts its mandate on hold
	ends                               bool          // so does a payment on the page end it
	slow                               time.Duration // until a refund is decided
	post                               func(h billing.Hint, nth int) []time.Duration

	mu          sync.Mutex
	calls       []call
	asked       map[string]int // calls by name
	mandates    []*mandate
	transfers   []*transfer
	repaid      []*repayment
	mail        []letterbox
	notices     int
	wrong       []string // what a caller must never do
	unanswered  map[string]time.Time
	invitations []billing.Invitation
	returnURLs  []string
}

type repayment struct {
	key, payment, order string
	amount              int64
	at                  time.Time
	decided             time.Time
	failed              bool
}

func newDodo(c *movable) *dodo {
	return &dodo{
		clock: c, kill: func() {}, asked: map[string]int{}, unanswered: map[string]time.Time{},
		settles: 5 * time.Second, lag: 30 * time.Second,
	}
}

func (g *dodo) Repeats() bool { return false }

func (g *dodo) Compose(r billing.Request) ([]byte, error) {
	return json.Marshal(body{Order: r.OrderID, Name: r.Name, Amount: r.Amount.Units})
}

// begin is the start of a call: what was to happen until now has happened.
func (g *dodo) begin(ctx context.Context, name string, decide func(int) fate) (f fate, out bool) {
	g.advance()
	g.asked[name]++
	if decide != nil {
		f = decide(g.asked[name])
	}
	return f, f.drop || ctx.Err() != nil
}

// advance decides the payments whose time has come, in order, with their effects on the
// mandates.
func (g *dodo) advance() {
	now := g.clock.Now()
	slices.SortStableFunc(g.transfers, func(a, b *transfer) int { return a.decided.Compare(b.decided) })
	for _, t := range g.transfers {
		if t.told || t.waits || t.decided.After(now) {
			continue
		}
		t.told = true
		m := g.mandate(t.mandate)
		switch {
		case t.code != "" && m.state == billing.MandateActive && g.holds:
			m.state = billing.MandateOnHold
			g.tell(t.decided, billing.Hint{Order: m.order, Subscription: m.subscription})
		case t.code != "" && m.state == billing.MandatePending && g.ends:
			m.state, m.open = billing.MandateEnded, false
			g.tell(t.decided, billing.Hint{Order: m.order, Subscription: m.subscription})
		case t.code == "" && m.state == billing.MandatePending:
			m.state, m.open = billing.MandateActive, false
			g.tell(t.decided, billing.Hint{Order: m.order, Subscription: m.subscription})
		}
	}
}

// tell sends a notice, as often and as late as post has it.
func (g *dodo) tell(at time.Time, h billing.Hint) {
	g.notices++
	delays := []time.Duration{0}
	if g.post != nil {
		delays = g.post(h, g.notices)
	}
	for _, d := range delays {
		g.mail = append(g.mail, letterbox{at: at.Add(d), hint: h})
	}
}

// due takes the notices that are to be delivered by now.
func (g *dodo) due() []letterbox {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	var due, later []letterbox
	for _, l := range g.mail {
		if l.at.After(g.clock.Now()) {
			later = append(later, l)
		} else {
			due = append(due, l)
		}
	}
	g.mail = later
	return due
}

// nextAt is when something happens at the gateway of itself.
func (g *dodo) nextAt() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	var next time.Time
	for _, l := range g.mail {
		if next.IsZero() || l.at.Before(next) {
			next = l.at
		}
	}
	for _, t := range g.transfers {
		if !t.told && !t.waits && (next.IsZero() || t.decided.Before(next)) {
			next = t.decided
		}
	}
	return next
}

func (g *dodo) mandate(id string) *mandate {
	for _, m := range g.mandates {
		if m.id == id {
			return m
		}
	}
	return nil
}

func (g *dodo) wrongly(format string, args ...any) {
	g.wrong = append(g.wrong, fmt.Sprintf(format, args...))
}

func (g *dodo) Invite(ctx context.Context, i billing.Invitation) (billing.Invited, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f, out := g.begin(ctx, "invite", g.invite)
	switch {
	case f.decline != "":
		return billing.Invited{}, fault.New(fault.Invalid, "gateway_refused", "The gateway refuses the address.")
	case out || f.fail && !f.effect:
		return billing.Invited{}, unanswered()
	}
	n := len(g.mandates) + 1
	m := &mandate{
		id: fmt.Sprintf("secret-mandate-%d", n), subscription: i.Subscription, order: i.OrderID, state: billing.MandatePending, open: true,
		page: fmt.Sprintf("https://pay.example/secret-page-%d", n), price: i.Price,
	}
	g.mandates, g.invitations = append(g.mandates, m), append(g.invitations, i)
	if i.OrderID != "" {
		g.pay(m, i.OrderID, i.Price.Units, 0).waits = true
	}
	if f.kill {
		g.kill()
	}
	if f.lose || f.kill || f.fail {
		return billing.Invited{}, unanswered()
	}
	return billing.Invited{Mandate: m.id, Link: m.page}, nil
}

// pay makes a payment that will be decided; tax comes on top of it.
func (g *dodo) pay(m *mandate, order string, amount int64, late time.Duration) *transfer {
	t := &transfer{
		key: fmt.Sprintf("pay_%d", len(g.transfers)+1), order: order, mandate: m.id, amount: amount + amount/10, currency: "USD",
		created: g.clock.Now().Add(late),
	}
	t.decided = t.created.Add(g.settles)
	g.transfers = append(g.transfers, t)
	return t
}

// approve is the customer on the page of the newest mandate; each code is a payment that
// fails there first.
func (g *dodo) approve(codes ...string) { g.visit(true, codes) }

// fail is the customer on that page with no card that works.
func (g *dodo) fail(codes ...string) { g.visit(false, codes) }

func (g *dodo) visit(succeeds bool, codes []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	m := g.mandates[len(g.mandates)-1]
	if !m.open {
		return
	}
	now := g.clock.Now()
	m.method = "pm_" + m.id[len("secret-mandate-"):]
	if m.order == "" {
		m.state, m.open = billing.MandateActive, false
		g.tell(now, billing.Hint{Subscription: m.subscription})
		return
	}
	for _, t := range g.transfers {
		if t.mandate == m.id && t.waits {
			g.pays(m, t, succeeds, codes)
			return
		}
	}
	// The one before has failed: the page makes another.
	g.pays(m, g.pay(m, m.order, m.price.Units, 0), succeeds, codes)
}

func (g *dodo) pays(m *mandate, t *transfer, succeeds bool, codes []string) {
	for i := 0; ; i++ {
		t.waits, t.decided = false, g.clock.Now().Add(g.settles+time.Duration(i)*time.Minute)
		if i < len(codes) {
			t.code, t.class = codes[i], billing.Soft
		}
		g.tell(t.decided, billing.Hint{Order: t.order, Payment: t.key})
		if i >= len(codes) || i == len(codes)-1 && !succeeds {
			return
		}
		t = g.pay(m, t.order, m.price.Units, time.Duration(i+1)*time.Minute)
	}
}

// set changes a mandate at the gateway, and a notice tells of it.
func (g *dodo) set(how func(*mandate)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	m := g.mandates[len(g.mandates)-1]
	how(m)
	g.tell(g.clock.Now(), billing.Hint{Order: m.order, Subscription: m.subscription})
}

// mended is the customer on the page of another means of payment.
func (g *dodo) mended(method string) {
	g.set(func(m *mandate) {
		if m.method = method; m.state == billing.MandateOnHold {
			m.state = billing.MandateActive
		}
	})
}

func (g *dodo) Look(ctx context.Context, id string) (billing.Mandate, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f, out := g.begin(ctx, "look", g.look)
	m := g.mandate(id)
	switch {
	case out:
		return billing.Mandate{}, unanswered()
	case m == nil || f.decline != "":
		return billing.Mandate{}, fault.New(fault.NotFound, "mandate_not_found", "There is no such mandate.")
	}
	return billing.Mandate{State: m.state, Method: m.method}, nil
}

func (g *dodo) Mend(ctx context.Context, id, returnURL string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, out := g.begin(ctx, "mend", g.mend)
	m := g.mandate(id)
	switch {
	case out:
		return "", unanswered()
	case m == nil:
		return "", fault.New(fault.NotFound, "mandate_not_found", "There is no such mandate.")
	case m.state != billing.MandateActive && m.state != billing.MandateOnHold:
		return "", fault.New(fault.Conflict, "mandate_not_mendable", "It cannot be mended.")
	}
	m.pages = append(m.pages, fmt.Sprintf("https://pay.example/secret-mend-%d", g.asked["mend"]))
	g.returnURLs = append(g.returnURLs, returnURL)
	return m.pages[len(m.pages)-1], nil
}

func (g *dodo) Revoke(ctx context.Context, id string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	f, out := g.begin(ctx, "revoke", g.revoke)
	if out {
		return unanswered()
	}
	if m := g.mandate(id); m.state != billing.MandateEnded {
		m.state, m.open = billing.MandateEnded, false
		g.tell(g.clock.Now(), billing.Hint{Order: m.order, Subscription: m.subscription})
	}
	if f.lose {
		return unanswered()
	}
	return nil
}

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
		if is, ok := attempts()[order]; ok && attempts()[other][0] == is[0] && other != order && c.at.Sub(at) < 20*time.Hour {
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
		if t.order == order && !t.created.After(now) && (listed || t.key == want.Payment) {
			found = append(found, t)
		}
	}
	if len(found) == 0 && want.Payment != "" {
		return unclear
	}
	slices.SortFunc(found, func(a, b *transfer) int { return cmp.Or(a.created.Compare(b.created), strings.Compare(a.key, b.key)) })
	return g.outcome(found)
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
			refused = billing.Outcome{Result: billing.Refused, Code: t.code, Class: t.class}
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
	return billing.Payment{Key: t.key, Amount: t.amount, Currency: t.currency, ApprovedAt: t.created, Returned: g.returned(t.key)}
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
		if was.payment == t.key && !was.failed {
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
	now := g.clock.Now()
	back := &repayment{key: r.Key, payment: t.key, order: t.order, amount: amount, at: now, decided: now.Add(g.slow)}
	g.repaid = append(g.repaid, back)
	g.tell(back.decided, billing.Hint{Order: t.order, Payment: t.key, Returned: true})
	if f.kill {
		g.kill()
	}
	if f.lose || f.kill || f.fail {
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
		if was.key == r.Key {
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
		if !r.failed && in(r.at) {
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
