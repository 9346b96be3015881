package rebuild_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/abuse"
	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/rebuild"
	"grantline/shared/table"
)

// movable is a clock that stands until it is moved.
type movable struct {
	mu sync.Mutex
	at time.Time
}

func (m *movable) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *movable) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = m.at.Add(d)
}

func (m *movable) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// store says what was last put on its counter.
type store struct{ sales map[string]purchase.Sale }

func (s *store) Look(_ context.Context, p purchase.Proof) (purchase.News, error) {
	sale, ok := s.sales[p.Evidence]
	if !ok {
		return purchase.News{}, fault.New(fault.Invalid, "invalid_purchase", "Nobody bought this.")
	}
	return purchase.News{Sales: []purchase.Sale{sale}}, nil
}

func (s *store) Hear(ctx context.Context, evidence string) (purchase.News, error) {
	return s.Look(ctx, purchase.Proof{Evidence: evidence})
}

func (s *store) Follow(ctx context.Context, l purchase.Line) (purchase.News, bool, error) {
	news, err := s.Look(ctx, purchase.Proof{Evidence: l.Order})
	return news, true, err
}

func (*store) Report(context.Context, purchase.Sale, purchase.Usage) error { return nil }

// gateway takes the money of every other charge, more or less.
type gateway struct {
	billing.Gateway
	dice  *rand.Rand
	clock *movable
	paid  map[string]billing.Outcome
}

func (*gateway) Repeats() bool { return true }

func (*gateway) Compose(r billing.Request) ([]byte, error) {
	return fmt.Appendf(nil, "%d %s", r.Amount.Units, r.Amount.Currency), nil
}

func (*gateway) Issue(_ context.Context, r billing.Registration) (billing.Card, error) {
	return billing.Card{BillingKey: "key of " + r.Key, CustomerKey: r.CustomerKey}, nil
}

func (*gateway) Forget(context.Context, billing.Card) error { return nil }

func (g *gateway) Charge(_ context.Context, order string, _ billing.Card, body []byte) billing.Outcome {
	if o, known := g.paid[order]; known {
		return o
	}
	o := billing.Outcome{Result: billing.Refused, Code: []string{"INSUFFICIENT_FUNDS", "REJECT_CARD_PAYMENT", "EXPIRED_CARD"}[g.dice.IntN(3)], Class: billing.Soft}
	if g.dice.IntN(3) > 0 {
		p := billing.Payment{Key: "pay " + order, ApprovedAt: g.clock.Now()}
		if _, err := fmt.Sscan(string(body), &p.Amount, &p.Currency); err != nil {
			panic(err)
		}
		o = billing.Outcome{Result: billing.Taken, Payment: p}
	}
	g.paid[order] = o
	return o
}

func (g *gateway) Find(_ context.Context, order string, _ billing.Want) billing.Outcome {
	if o, known := g.paid[order]; known {
		return o
	}
	return billing.Outcome{Result: billing.Absent}
}

func (*gateway) Refund(context.Context, billing.Refunding) billing.Refunded {
	return billing.Refunded{Result: billing.Taken, Transaction: "back"}
}

func (*gateway) FindRefund(context.Context, billing.Refunding) billing.Refunded {
	return billing.Refunded{Result: billing.Absent}
}

type plain struct{}

func (plain) Seal(_ context.Context, text, _ []byte) ([]byte, error) {
	return append([]byte("sealed "), text...), nil
}

func (plain) Open(_ context.Context, sealed, _ []byte) ([]byte, error) {
	return sealed[len("sealed "):], nil
}

type queue struct{ due []billing.Due }

func (q *queue) Send(_ context.Context, _ string, messages []billing.Due) (int, error) {
	q.due = append(q.due, messages...)
	return len(messages), nil
}

// walked are tables that can be gone through.
type walked interface {
	table.Tables
	rebuild.Walker
}

// world is some customers and everything around them.
type world struct {
	testing.TB
	tables walked
	clock  *movable
	dice   *rand.Rand
	store  *store
	people customer.Directory
	book   *purchase.Book
	biller *billing.Biller
	fanout *billing.Fanout
	queue  *queue
	n      int // of all that got a name
	bought []string
	spends []customer.SpendAsk
	deals  []string
}

var (
	noon     = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	embedded = sync.OnceValues(catalog.Embedded)
)

func newWorld(t testing.TB, tables walked, seed uint64) *world {
	t.Helper()
	c, err := embedded()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		TB: t, tables: tables, clock: &movable{at: noon}, dice: rand.New(rand.NewPCG(seed, 8)),
		store: &store{sales: map[string]purchase.Sale{}}, queue: &queue{},
	}
	w.people = customer.Directory{Tables: tables, Identity: customer.Identity{
		Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
	}}
	log := slog.New(slog.DiscardHandler)
	policy, err := abuse.ParsePolicy("note=30,block_spending=60,refuse_consumables=80")
	if err != nil {
		t.Fatal(err)
	}
	w.book = &purchase.Book{
		Tables: tables, Customers: w.people, Catalog: c, Clock: w.clock, Log: log, TestsPerDay: 3, Abuse: policy,
		Restore: purchase.RestorePolicies[seed%uint64(len(purchase.RestorePolicies))],
		Stores:  map[string]purchase.Store{"apple": w.store},
	}
	name := billing.GatewayName{Scope: table.Default, Gateway: "toss"}
	w.biller = &billing.Biller{
		Tables: tables, Customers: w.people, Catalog: c, Sealer: plain{}, Clock: w.clock, Log: log, Shards: 2, Lease: 2 * time.Minute,
		Gateways: billing.Gateways{name: &gateway{dice: w.dice, clock: w.clock, paid: map[string]billing.Outcome{}}},
	}
	w.fanout = &billing.Fanout{
		Tables: tables, Clock: w.clock, Log: log, Shards: 2,
		Lines: []billing.Line{
			{GatewayName: name, Queue: w.queue, PerMinute: 1000},
			{GatewayName: name, Lane: billing.RetriesLane("toss"), Queue: w.queue, PerMinute: 1000},
		},
	}
	return w
}

func (w *world) person() string {
	return fmt.Sprint([]string{"person-", "anon_"}[w.dice.IntN(2)], w.dice.IntN(8))
}

func (w *world) name(of string) string { w.n++; return fmt.Sprintf("%s-%d", of, w.n) }

// fine fails the test for what is no answer to an honest caller.
func (w *world) fine(what string, err error, kinds ...error) {
	w.Helper()
	if err != nil && !slices.ContainsFunc(kinds, func(k error) bool { return errors.Is(err, k) }) {
		w.Fatalf("%s: got %v, want success or one of %v", what, err, kinds)
	}
}

// buy puts a sale on the counter and claims it, or has nobody claim it.
func (w *world) buy() {
	sku := []string{"com.example.premium.monthly", "com.example.gems100", "com.example.gems100", "com.example.adfree", "com.example.rental7d"}[w.dice.IntN(5)]
	s := purchase.Sale{
		Store: "apple", Order: w.name("order"), SKU: sku, State: purchase.Paid, PurchasedAt: w.clock.Now(), AsOf: w.clock.Now(),
		Quantity: 1, Currency: "KRW", Price: 4900, Test: w.dice.IntN(9) == 0,
	}
	s.Line = s.Order
	if sku == "com.example.gems100" {
		s.Quantity += w.dice.IntN(3)
	}
	if sku == "com.example.premium.monthly" {
		s.Until, s.WillRenew = w.clock.Now().AddDate(0, 1, 0), true
	}
	w.store.sales[s.Order] = s
	w.bought = append(w.bought, s.Order)
	if w.dice.IntN(5) == 0 {
		_, err := w.book.LookAgain(w.Context(), table.Default, "apple", s.Order)
		w.fine("a notice", err)
		return
	}
	w.claim(s.Order)
}

func (w *world) claim(order string) {
	proof := purchase.Proof{Store: "apple", Evidence: order}
	if w.dice.IntN(6) == 0 {
		proof.GiftTo = w.person()
	}
	_, err := w.book.Claim(w.Context(), table.Default, w.person(), proof)
	w.fine("a claim", err, fault.Conflict, fault.Denied, fault.Invalid)
}

// news is what a store says later: a refund, whole or in part, one undone, a renewal.
func (w *world) news() {
	if len(w.bought) == 0 {
		return
	}
	order := w.bought[w.dice.IntN(len(w.bought))]
	s := w.store.sales[order]
	w.clock.pass(time.Second)
	s.AsOf = w.clock.Now()
	switch {
	case s.State == purchase.Refunded && w.dice.IntN(2) == 0:
		s.State, s.Returned = purchase.Paid, 0
	case s.WillRenew && w.dice.IntN(2) == 0:
		s.Order, s.PurchasedAt, s.Until = w.name("order"), s.Until, s.Until.AddDate(0, 1, 0)
		s.State, s.Returned = purchase.Paid, 0
		w.bought = append(w.bought, s.Order)
	default:
		s.State, s.Returned = purchase.Refunded, []int{0, 30_000, 65_000}[w.dice.IntN(3)]
	}
	w.store.sales[s.Order] = s
	_, err := w.book.LookAgain(w.Context(), table.Default, "apple", s.Order)
	w.fine("news", err)
}

func (w *world) spend() {
	ask := customer.SpendAsk{Currency: "gems", Amount: int64(1 + w.dice.IntN(150)), Reference: w.name("spend")}
	who := w.person()
	_, _, err := w.people.Spend(w.Context(), table.Default, who, ask, w.clock)
	w.fine("a spend", err, fault.Invalid, fault.Denied)
	if err == nil {
		w.spends = append(w.spends, ask)
	}
}

func (w *world) unspend() {
	if len(w.spends) == 0 {
		return
	}
	spend := w.spends[w.dice.IntN(len(w.spends))]
	ask := customer.UnspendAsk{Currency: "gems", Spend: spend.Reference, Amount: int64(w.dice.IntN(int(spend.Amount) + 1)), Reference: w.name("unspend")}
	_, _, _, err := w.people.Unspend(w.Context(), table.Default, w.person(), ask, w.clock)
	w.fine("a spend given back", err, fault.Invalid, fault.NotFound, fault.Conflict)
}

func (w *world) credit() {
	ask := customer.CreditAsk{Currency: []string{"gems", "coins"}[w.dice.IntN(2)], Amount: int64(1 + w.dice.IntN(50)), Reference: w.name("credit"), Reason: "sorry"}
	if w.dice.IntN(2) == 0 {
		end := w.clock.Now().Add(time.Duration(1+w.dice.IntN(30)) * 24 * time.Hour)
		ask.ExpiresAt = &end
	}
	_, _, err := w.people.Credit(w.Context(), table.Default, w.person(), ask, w.clock)
	w.fine("a credit", err)
}

func (w *world) grant() {
	g := customer.Grant{Entitlement: "vip", Reference: w.name("grant"), Reason: "a friend"}
	who := w.person()
	_, err := w.people.Grant(w.Context(), table.Default, who, g, w.clock)
	w.fine("a grant", err)
	if w.dice.IntN(2) == 0 {
		_, err = w.people.Revoke(w.Context(), table.Default, who, g, w.clock)
		w.fine("a revocation", err)
	}
}

func (w *world) subscribe() {
	s := billing.SignUp{
		ID: w.name("sub"), CustomerID: w.person(), Plan: "premium-monthly", Gateway: "toss",
		Card: &billing.NewCard{AuthKey: w.name("auth"), CustomerKey: w.name("key")},
	}
	_, err := w.biller.Subscribe(w.Context(), table.Default, s)
	w.fine("a sign-up", err, fault.Invalid, fault.Conflict)
	w.deals = append(w.deals, s.ID)
}

func (w *world) deal() {
	if len(w.deals) == 0 {
		return
	}
	id := w.deals[w.dice.IntN(len(w.deals))]
	if w.dice.IntN(2) == 0 {
		_, err := w.biller.Cancel(w.Context(), table.Default, id, w.dice.IntN(2) == 0)
		w.fine("a cancellation", err, fault.NotFound, fault.Conflict, fault.Invalid)
		return
	}
	s, err := w.biller.Get(w.Context(), table.Default, id)
	if errors.Is(err, fault.NotFound) {
		return
	}
	w.fine("a subscription", err)
	charges, err := w.biller.Charges(w.Context(), table.Default, s)
	w.fine("charges", err)
	for _, c := range charges {
		if c.State == billing.Paid {
			_, _, err = w.biller.Refund(w.Context(), table.Default, billing.RefundAsk{OrderID: c.ID, Reason: "sorry", Reference: w.name("refund")})
			w.fine("a refund", err, fault.Invalid, fault.Unavailable)
			return
		}
	}
}

func (w *world) join() {
	_, err := w.people.Join(w.Context(), table.Default, customer.Alias{ID: w.person(), Other: w.person()}, w.clock)
	w.fine("a merge", err, fault.Conflict)
}

// pass lets some days go by, with what falls due in them.
func (w *world) pass() {
	for range 1 + w.dice.IntN(4) {
		w.clock.pass(time.Duration(1+w.dice.IntN(5)) * 24 * time.Hour)
		_, err := w.fanout.Tick(w.Context())
		w.fine("a tick", err)
		due := w.queue.due
		w.queue.due = nil
		for _, d := range due {
			w.fine("a charge", w.biller.Work(w.Context(), table.Default, d.Subscription), fault.Unavailable)
		}
		_, err = w.book.Review(w.Context(), table.Default, "apple", 20)
		w.fine("a review", err)
	}
}

// live lets that many things happen.
func (w *world) live(things int) {
	w.Helper()
	acts := []func(){w.buy, w.buy, w.buy, w.news, w.news, w.news, w.spend, w.spend, w.spend, w.unspend, w.credit, w.grant, w.subscribe, w.deal, w.pass, func() {
		if len(w.bought) > 0 {
			w.claim(w.bought[w.dice.IntN(len(w.bought))])
		}
	}, func() {
		if w.dice.IntN(3) == 0 {
			w.join()
		}
	}}
	for range things {
		acts[w.dice.IntN(len(acts))]()
	}
}

// compare runs the whole, and gives the report.
func (w *world) compare() rebuild.Report {
	w.Helper()
	target := memory.New()
	r := &rebuild.Rebuild{Tables: w.tables, Walker: w.tables, Target: target, TargetWalker: target}
	report, err := r.Run(w.Context(), rebuild.Ask{})
	if err != nil {
		w.Fatalf("Run: got %v, want a report", err)
	}
	return report
}
