package billing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
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
	told                bool   // its outcome has had its effects
	waits               bool   // for the customer, on the page
	method              string // that is asked
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
	disputes    []billing.Dispute // that are decided
	mail        []letterbox
	notices     int
	wrong       []string             // what a caller must never do
	unanswered  map[string]time.Time // orders, by when nothing was heard of them
	told        map[string]bool      // orders of which a look-up has told a decline
	invitations []billing.Invitation
	returnURLs  []string
}

type repayment struct {
	key, payment, order string
	amount              int64
	at                  time.Time
	decided             time.Time
	failed              bool
	seized              bool // by the payer's bank: no statement shows it
}

func newDodo(c *movable) *dodo {
	return &dodo{
		clock: c, kill: func() {}, asked: map[string]int{}, unanswered: map[string]time.Time{}, told: map[string]bool{},
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
		created: g.clock.Now().Add(late), method: m.method,
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
