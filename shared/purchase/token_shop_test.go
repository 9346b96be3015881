package purchase_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/entitlement"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// item is one thing that a token sells.
type item struct {
	part, sku, order string
	until            time.Time // zero for what is bought once
	quantity, back   int
	unconsumed       bool
	refunded         bool
	renews           bool
	next             string // of a replacement that waits for the end
}

type ticketState int

const (
	isPaid ticketState = iota
	isPending
	isCancelled // never paid
	isExpired
	isReplaced
)

// ticket is what the market knows of a token.
type ticket struct {
	older        string // the token whose place it takes
	state        ticketState
	items        []item
	paidAt       time.Time
	by           time.Time // the money goes back then, unless acknowledged
	acknowledged bool
	account      string
	outside      string // the account of a purchase made outside the app
	again        time.Duration
	grace        time.Duration
	lost         error // the market does not know it, or not any more
	test         bool
}

// market is a store that is asked by tokens, and behaves: what it is told changes what it
// says afterwards.
type market struct {
	clock *stopped

	mu       sync.Mutex
	tickets  map[string]*ticket
	refunded map[string]item // by order, which no token shows any more
	words    map[string]purchase.News
	asked    []string // tokens, in turn
	lines    []purchase.Line
	told     []purchase.Delivery // deliveries that had an effect or were repeated
	refused  int                 // deliveries that it did not take
	reported []purchase.Usage
	// before fails a call that then has no effect, and after one that had it.
	before, after func(call, token string) error
}

const kindOfToken = "subscription@com.example.app"

func tokenID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:8])
}

var errGone = fault.New(fault.NotFound, "not_in_store", "The store does not know this any more.")

// call does something at the market, unless it is out of reach.
func (m *market) call(name, token string, do func() error) error {
	if m.before != nil {
		if err := m.before(name, token); err != nil {
			return err
		}
	}
	m.mu.Lock()
	err := do()
	m.mu.Unlock()
	if m.after != nil && err == nil {
		err = m.after(name, token)
	}
	return err
}

func (m *market) ask(name, token string) (news purchase.News, err error) {
	err = m.call(name, token, func() error {
		m.asked = append(m.asked, token)
		t, ok := m.tickets[token]
		switch {
		case !ok:
			return fault.New(fault.Invalid, "invalid_purchase", "This was never sold here.")
		case t.lost != nil:
			return t.lost
		}
		news = t.news(token, m.clock.Now())
		return nil
	})
	return news, err
}

func (t *ticket) news(token string, asOf time.Time) purchase.News {
	id := tokenID(token)
	news := purchase.News{Token: &purchase.Token{ID: id, Secret: token, Kind: kindOfToken, Account: t.outside}, Parts: map[string]purchase.Standing{}}
	if t.older != "" {
		news.Token.Older = &purchase.Token{ID: tokenID(t.older), Secret: t.older, Kind: kindOfToken}
	}
	state := map[ticketState]purchase.SaleState{
		isPaid: purchase.Paid, isExpired: purchase.Paid, isReplaced: purchase.Replaced, isPending: purchase.Pending, isCancelled: purchase.Failed,
	}[t.state]
	account := t.account
	if account == "" {
		account = t.outside
	}
	for _, i := range t.items {
		s := purchase.Sale{
			Store: "play", App: "com.example.app", Line: id, Part: i.part, Order: i.order, SKU: i.sku, State: state, PurchasedAt: t.paidAt,
			Until: i.until, AsOf: asOf, Quantity: max(i.quantity, 1), Blind: true, Unconsumed: i.unconsumed, Back: i.back,
			Ended: t.state == isExpired || t.state == isReplaced, Test: t.test, Account: account, WillRenew: i.renews, Currency: "KRW", Price: 4900,
		}
		if s.Order == "" && (t.state == isPending || t.state == isCancelled) {
			s.Order = id
		}
		if i.next != "" {
			news.Keeps = append(news.Keeps, i.part)
		}
		if !i.until.IsZero() {
			stands := purchase.Standing{AsOf: asOf, WillRenew: i.renews, Next: i.next}
			if t.grace > 0 {
				stands.Retrying, stands.GraceUntil, s.Until, s.Unpaid = true, i.until.Add(t.grace), i.until.Add(t.grace), true
			}
			news.Parts[i.part] = stands
		}
		if i.refunded && state == purchase.Paid {
			s.State, s.Back = purchase.Refunded, 0
		}
		if s.Order != "" {
			news.Sales = append(news.Sales, s)
		}
	}
	refunded := func(s purchase.Sale) bool { return s.State == purchase.Refunded }
	if t.state == isPaid && !(len(news.Sales) > 0 && !slices.ContainsFunc(news.Sales, func(s purchase.Sale) bool { return !refunded(s) })) {
		news.Token.Unacknowledged, news.Token.By = !t.acknowledged, t.by
	}
	if t.again > 0 && t.state == isPaid {
		news.Again = asOf.Add(t.again)
	}
	return news
}

func (m *market) Look(_ context.Context, p purchase.Proof) (purchase.News, error) {
	news, err := m.ask("look", p.Evidence)
	if err != nil {
		return purchase.News{}, err
	}
	if at := slices.IndexFunc(news.Sales, func(s purchase.Sale) bool { return s.SKU == p.SKU }); at > 0 {
		news.Sales[0], news.Sales[at] = news.Sales[at], news.Sales[0]
	}
	return news, nil
}

// Hear reads "token", "voided token order", "review token case", or the name of a word.
func (m *market) Hear(_ context.Context, evidence string) (purchase.News, error) {
	if word, ok := m.words[evidence]; ok {
		return word, nil
	}
	what := strings.Fields(evidence)
	if len(what) == 1 {
		what = []string{"", what[0]}
	}
	news, err := m.ask("hear", what[1])
	switch {
	case errors.Is(err, fault.NotFound) && what[0] == "voided":
		news = purchase.News{Token: &purchase.Token{ID: tokenID(what[1]), Secret: what[1], Kind: kindOfToken}}
	case errors.Is(err, fault.NotFound):
		return purchase.News{}, nil
	case err != nil:
		return purchase.News{}, err
	}
	switch what[0] {
	case "voided":
		m.mu.Lock()
		defer m.mu.Unlock()
		for i := range news.Sales {
			if news.Sales[i].State == purchase.Failed {
				news.Sales[i].State = purchase.Refunded
			}
		}
		news.Sales = append(m.givenBack(news, []purchase.Sold{{Order: what[2]}}), news.Sales...)
		if at := slices.IndexFunc(news.Sales, func(s purchase.Sale) bool { return s.Order == what[2] }); at > 0 {
			news.Sales[0], news.Sales[at] = news.Sales[at], news.Sales[0]
		}
	case "review":
		news.Usage, news.Case = true, what[2]
	}
	return news, nil
}

// givenBack are refunds of what was sold that news do not show.
func (m *market) givenBack(news purchase.News, sold []purchase.Sold) (sales []purchase.Sale) {
	for _, o := range sold {
		for _, i := range m.refunded {
			known := slices.ContainsFunc(news.Sales, func(s purchase.Sale) bool { return s.Order == i.order && s.Part == i.part })
			if known || i.order != o.Order || o.Part != "" && o.Part != i.part {
				continue
			}
			sales = append(sales, purchase.Sale{
				Store: "play", Line: news.Token.ID, Part: i.part, Order: i.order, SKU: i.sku, State: purchase.Refunded, AsOf: m.clock.Now(),
				Quantity: max(i.quantity, 1), Until: i.until, Blind: true,
			})
		}
	}
	slices.SortFunc(sales, func(a, b purchase.Sale) int { return strings.Compare(b.Part, a.Part) })
	return sales
}

func (m *market) Follow(_ context.Context, l purchase.Line) (purchase.News, bool, error) {
	m.mu.Lock()
	m.lines = append(m.lines, l)
	m.mu.Unlock()
	news, err := m.ask("follow", l.Token.Secret)
	if err != nil {
		return purchase.News{}, true, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	news.Sales = append(news.Sales, m.givenBack(news, l.Sold)...)
	return news, true, nil
}

func (m *market) LineOf(p purchase.Proof) string { return tokenID(p.Evidence) }

func (m *market) Acknowledge(_ context.Context, d purchase.Delivery) error {
	return m.call("acknowledge", d.Token.Secret, func() error {
		t, ok := m.tickets[d.Token.Secret]
		at := -1
		if ok {
			at = slices.IndexFunc(t.items, func(i item) bool { return i.part == d.Part })
		}
		switch {
		case !ok || d.Token.Kind != kindOfToken || d.Token.ID != tokenID(d.Token.Secret):
			m.refused++
			return fault.New(fault.Invalid, "refused_by_store", "This was never sold here.")
		case t.lost != nil:
			m.refused++
			return t.lost
		case t.state == isPending || t.state == isCancelled || t.items[0].refunded || at < 0:
			m.refused++
			return fault.New(fault.Invalid, "refused_by_store", "It does not stand so that this could be done.")
		case d.Consume && !t.items[at].unconsumed:
			m.refused++
			return fault.New(fault.Invalid, "refused_by_store", "It was consumed.")
		}
		m.told = append(m.told, d)
		t.acknowledged = true
		if d.Consume {
			t.items[at].unconsumed = false
		}
		return nil
	})
}

func (m *market) Report(_ context.Context, _ purchase.Sale, u purchase.Usage) error {
	return m.call("report", u.Case, func() error {
		m.reported = append(m.reported, u)
		return nil
	})
}

// change does something to a ticket.
func (m *market) change(token string, do func(t *ticket)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do(m.tickets[token])
}

// down makes calls of some names fail without effect, all of them without a name.
func (m *market) down(names ...string) {
	m.before = func(call, _ string) error {
		if len(names) == 0 || slices.Contains(names, call) {
			return outage
		}
		return nil
	}
}

func (m *market) up() { m.before, m.after = nil, nil }

// told counts what the market took for a token.
func (m *market) toldOf(token string) (acknowledged, consumed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.told {
		switch {
		case d.Token.Secret != token:
		case d.Consume:
			consumed++
		default:
			acknowledged++
		}
	}
	return acknowledged, consumed
}

// tokens is a shop whose book asks a market.
type tokens struct {
	*shop
	market *market
	log    *bytes.Buffer
}

// watching are tables that call after each commit that was made.
type watching struct {
	table.Tables
	after func()
}

func (w watching) Commit(ctx context.Context, writes ...table.Write) error {
	err := w.Tables.Commit(ctx, writes...)
	if err == nil {
		w.after()
	}
	return err
}

// deaf are tables that do not answer questions about one item.
type deaf struct{ table.Tables }

func (deaf) Get(context.Context, table.Key) (table.Item, error) { return table.Item{}, broken() }

const (
	basic  = "basic:month"
	higher = "higher:month"
	extra  = "extra:month"
	coins  = "coins"
	badge  = "badge"
	film   = "film"
)

var tokenCatalog = sync.OnceValues(func() (*catalog.Catalog, error) {
	return catalog.Parse([]byte(`{"plans": [], "products": [
		{"id": "basic", "kind": "subscription", "entitlement": "premium", "stores": {"play": "` + basic + `"}},
		{"id": "higher", "kind": "subscription", "entitlement": "pro", "stores": {"play": "` + higher + `"}},
		{"id": "extra", "kind": "subscription", "entitlement": "extra", "stores": {"play": "` + extra + `"}},
		{"id": "coins", "kind": "consumable", "currency": "gems", "amount": 100, "stores": {"play": "` + coins + `"}},
		{"id": "badge", "kind": "non_consumable", "entitlement": "badge", "stores": {"play": "` + badge + `"}},
		{"id": "film", "kind": "non_renewing", "entitlement": "film", "days": 7, "stores": {"play": "` + film + `"}}
	]}`))
})

func newTokens(t testing.TB) *tokens {
	t.Helper()
	c, err := tokenCatalog()
	if err != nil {
		t.Fatal(err)
	}
	s := newShop(t)
	m := &market{clock: s.clock, tickets: map[string]*ticket{}, refunded: map[string]item{}, words: map[string]purchase.News{}}
	s.Catalog, s.Stores = c, map[string]purchase.Store{"play": m}
	k := &tokens{shop: s, market: m, log: &bytes.Buffer{}}
	s.Book.Log = slog.New(slog.NewJSONHandler(k.log, nil))
	t.Cleanup(func() {
		if got := k.log.String(); strings.Contains(got, "tok-") {
			t.Errorf("log: got a token in %s", got)
		}
	})
	return k
}

// month is an item of a subscription, for some months from noon.
func month(sku, order string, months int) item {
	part, _, _ := strings.Cut(sku, ":")
	return item{part: part, sku: sku, order: order, until: noon.AddDate(0, months, 0), renews: true}
}

func once(sku, order string) item {
	return item{part: sku, sku: sku, order: order, unconsumed: sku != badge}
}

// sell puts a ticket on the market, paid now and to be acknowledged within three days.
func (k *tokens) sell(token string, t ticket) {
	now := k.clock.Now()
	if t.paidAt.IsZero() && t.state != isPending {
		t.paidAt = now
	}
	if t.by.IsZero() {
		t.by = now.Add(72 * time.Hour)
	}
	k.market.mu.Lock()
	defer k.market.mu.Unlock()
	k.market.tickets[token] = &t
}

// later lets a second pass, so that what is asked now is newer.
func (k *tokens) later() { k.clock.move(time.Second) }

func (k *tokens) claim(who, token string) (purchase.Claimed, error) {
	k.Helper()
	k.later()
	c, err := k.Claim(k.Context(), k.scope, who, purchase.Proof{Store: "play", Evidence: token})
	if err != nil && strings.Contains(err.Error(), "tok-") {
		k.Errorf("claim: got a token in %v", err)
	}
	return c, err
}

func (k *tokens) granted(who, token string) purchase.Claimed {
	k.Helper()
	c, err := k.claim(who, token)
	if err != nil || c.Order.State != purchase.OrderGranted {
		k.Fatalf("claim of %s by %s: got %s, %v, want granted", token, who, c.Order.State, err)
	}
	return c
}

func (k *tokens) pending(who, token string) {
	k.Helper()
	if c, err := k.claim(who, token); err != nil || c.Order.State != purchase.OrderPending {
		k.Fatalf("claim of %s by %s: got %s, %v, want pending", token, who, c.Order.State, err)
	}
}

func (k *tokens) heard(evidence string) {
	k.Helper()
	k.later()
	if ok, err := k.LookAgain(k.Context(), k.scope, "play", evidence); !ok || err != nil {
		k.Fatalf("notice of %s: got %t, %v, want it applied", evidence, ok, err)
	}
}

// reviewed runs a review and says when the next is due.
func (k *tokens) reviewed() time.Time {
	k.Helper()
	k.later()
	next, err := k.Review(k.Context(), k.scope, "play", 100)
	if err != nil {
		k.Fatalf("review: got %v, want none", err)
	}
	return next
}

// untilDone runs reviews as they come due until a time, and says how many there were.
func (k *tokens) untilDone(end time.Time) int {
	k.Helper()
	for n := range 500 {
		next := k.reviewed()
		if next.IsZero() || next.After(end) {
			k.at(end)
			return n + 1
		}
		if next.After(k.clock.Now()) {
			k.at(next)
		}
	}
	k.Fatal("500 reviews, want an end of them")
	return 0
}

// record reads a line by any of its tokens.
func (k *tokens) record(token string) purchase.Record {
	k.Helper()
	r, ok := k.find(tokenID(token))
	if !ok {
		k.Fatalf("record of %s: got none", token)
	}
	return r
}

func (k *tokens) find(id string) (purchase.Record, bool) {
	k.Helper()
	got, err := k.tables.Get(k.Context(), table.Key{Table: table.Purchases, Partition: k.scope.Key("play", id)})
	if errors.Is(err, fault.NotFound) {
		return purchase.Record{}, false
	}
	if err != nil {
		k.Fatal(err)
	}
	var r purchase.Record
	unmarshal(k.TB, got.Data, &r)
	if r.Root != "" {
		return k.find(r.Root)
	}
	if want := r.CheckAt.UTC().Format(time.RFC3339) + "#"; got.Index == nil != r.CheckAt.IsZero() || got.Index != nil && !strings.HasPrefix(got.Index.Sort, want) {
		k.Errorf("line: got index entry %v, want one for %v", got.Index, r.CheckAt)
	}
	return r, true
}

// token is what the book knows of one, false if nothing.
func (k *tokens) token(token string) (purchase.Held, bool) {
	k.Helper()
	for _, h := range k.record(token).Tokens {
		if h.ID == tokenID(token) {
			return h, true
		}
	}
	return purchase.Held{}, false
}

func (k *tokens) playOrder(id string) purchase.Order {
	k.Helper()
	got, err := k.tables.Get(k.Context(), table.Key{Table: table.Orders, Partition: k.scope.Key("play_" + id)})
	if err != nil {
		k.Fatal(err)
	}
	o, err := purchase.DecodeOrder(got)
	if err != nil {
		k.Fatal(err)
	}
	return o
}

// gives is what a customer may use now, in order.
func (k *tokens) gives(who string) string {
	k.Helper()
	var all []string
	for _, e := range k.customer(who).Entitlements(k.clock.Now()) {
		if e.Active {
			all = append(all, e.ID)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (k *tokens) wantGives(who, want string) {
	k.Helper()
	if got := k.gives(who); got != want {
		k.Errorf("at %v: %s may use %q, want %q", k.clock.Now(), who, got, want)
	}
}

// wantTold says how often a token was acknowledged and consumed.
func (k *tokens) wantTold(token string, acknowledged, consumed int) {
	k.Helper()
	if a, c := k.market.toldOf(token); a != acknowledged || c != consumed {
		k.Errorf("%s: got %d acknowledgements and %d consumptions, want %d and %d", token, a, c, acknowledged, consumed)
	}
}

// alarms counts what a person is told of.
func (k *tokens) alarms() int { return strings.Count(k.log.String(), `"alarm":true`) }

// snapshot is everything that is written.
func (k *tokens) snapshot() string {
	var all []string
	for _, name := range table.Names {
		for _, i := range k.tables.Items(name) {
			all = append(all, fmt.Sprintf("%v %d %s %v", i.Key, i.Revision, i.Data, i.Index))
		}
	}
	return strings.Join(all, "\n")
}

// known makes a customer who bought something before.
func (k *tokens) known(who string) {
	k.Helper()
	token := "tok-before-" + who
	k.sell(token, ticket{items: []item{once(badge, "before-"+who)}, acknowledged: true})
	k.granted(who, token)
}

// account is the name that a customer's app gives the store.
func (k *tokens) account(who string) string {
	k.Helper()
	ids, err := k.Customers.Identity.StoreIDs(k.Context(), k.scope, who)
	if err != nil {
		k.Fatal(err)
	}
	return ids.ObfuscatedAccountID
}

// sources are what a customer has of a line, by part.
func (k *tokens) sources(who string) map[string]entitlement.Source {
	k.Helper()
	all := map[string]entitlement.Source{}
	for _, s := range k.customer(who).Sources() {
		_, part, _ := strings.Cut(s.Ref, "/")
		all[part] = s
	}
	return all
}

func unmarshal(t testing.TB, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}
