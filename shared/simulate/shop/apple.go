package shop

import (
	"context"
	"slices"
	"time"

	"grantline/shared/apple"
	"grantline/shared/catalog"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/simulate"
)

// bundle is the app.
const bundle = "com.example.app"

// Apple is the App Store. What it says is signed: a word is as old as its signature.
type Apple struct {
	counter
	lines map[string]*AppleLine
	sales map[string]*appleSale // by transaction
	words map[string]*word      // by evidence
	sent  []*letter
}

// NewApple opens an App Store.
func NewApple(w *simulate.World, goods *catalog.Catalog, h Habits) *Apple {
	return &Apple{
		counter: newCounter(w, apple.Name, goods, h),
		lines:   map[string]*AppleLine{}, sales: map[string]*appleSale{}, words: map[string]*word{},
	}
}

// AppleLine is what one original transaction began.
type AppleLine struct {
	ID     string
	stands known[renewal] // of a subscription
	sales  []*appleSale
	turn   int // of what is planned next; an older plan is off
	poor   bool
}

// renewal is how a subscription goes on (JWSRenewalInfoDecodedPayload, and the status beside it).
type renewal struct {
	status  int
	last    *appleSale
	product string
	next    string // product of the next period
	on      bool
	retries bool
	grace   time.Time
	intent  int
}

type appleSale struct {
	*Order
	line  *AppleLine
	facts known[facts]
}

// facts of a transaction that change.
type facts struct {
	revoked  bool
	percent  int
	upgraded bool
}

// word is something that Apple signed.
type word struct {
	sale     purchase.Sale
	renews   bool // of a subscription, that was not revoked
	standing purchase.Standing
	usage    bool
	none     bool
}

// signed is the instant of a signature, which has milliseconds.
func signed(at time.Time) time.Time { return at.Truncate(time.Millisecond) }

// The statuses of a subscription (App Store Server API, status).
const (
	statusActive  = 1
	statusExpired = 2
	statusRetry   = 3
	statusGrace   = 4
)

// say is the adapter's word of a transaction (apple.saleOf).
func (a *Apple) say(s *appleSale, f facts, at time.Time) word {
	w := word{sale: purchase.Sale{
		Store: a.name, App: bundle, Line: s.line.ID, Order: s.ID, SKU: s.SKU, State: purchase.Paid,
		PurchasedAt: signed(s.SoldAt), Until: s.Until, AsOf: signed(at), Quantity: s.Quantity, Account: s.Account, Family: s.Family,
	}}
	if !s.Family {
		w.sale.Price, w.sale.Currency = s.Price, s.Currency
	}
	w.renews = s.Product.Kind == catalog.Subscription && !f.revoked
	switch {
	case f.revoked:
		w.sale.State = purchase.Refunded
		if s.Product.Kind == catalog.Consumable {
			w.sale.Returned = f.percent
		}
	case f.upgraded:
		w.sale.State = purchase.Replaced
	}
	return w
}

// stand is the adapter's word of a renewal (apple.standingOf).
func stand(r renewal, at time.Time) purchase.Standing {
	s := purchase.Standing{
		AsOf: signed(at), WillRenew: r.on, Retrying: r.retries || r.status == statusRetry || r.status == statusGrace,
	}
	if r.grace.After(s.AsOf) {
		s.GraceUntil, s.Retrying = r.grace, true
	}
	switch {
	case r.status == statusExpired:
		s.GraceUntil, s.Retrying, s.WillRenew = time.Time{}, false, false
	case r.status == statusActive && !r.retries:
		s.GraceUntil, s.Retrying = time.Time{}, false
	}
	if r.intent != 0 && !s.Retrying {
		s.WillRenew = false
	}
	if s.WillRenew && r.next != r.product {
		s.Next = r.next
	}
	switch {
	case r.intent == byCustomer, r.intent == 0 && !r.on:
		s.Reason = purchase.ByCustomer
	case r.intent == byBilling:
		s.Reason = purchase.ByBilling
	}
	return s
}

// The reasons of an end (expirationIntent).
const (
	byCustomer = 1
	byBilling  = 2
)

// read is a word's sale as it is read now.
func (a *Apple) read(w word) purchase.Sale {
	w.sale.WillRenew = w.renews && w.sale.Until.After(a.world.Clock().Now())
	return w.sale
}

// keep gives a word its evidence.
func (a *Apple) keep(w word) string {
	id := a.next("signed-")
	a.words[id] = &w
	return id
}

// Sign is a transaction as the App Store signs it for the customer's device now; "" if there is
// none.
func (a *Apple) Sign(id string) string {
	s := a.sales[id]
	if s == nil {
		return ""
	}
	return a.keep(a.say(s, s.facts.is, a.now()))
}

// Read verifies a signed transaction and asks nobody.
func (a *Apple) Read(_ context.Context, p purchase.Proof) (purchase.Sale, bool, error) {
	w, err := a.verified(p)
	if err != nil {
		return purchase.Sale{}, false, err
	}
	return a.read(*w), true, nil
}

func (a *Apple) verified(p purchase.Proof) (*word, error) {
	w, ok := a.words[p.Evidence]
	if !ok || p.Receipt {
		return nil, fault.New(fault.Invalid, "invalid_purchase", "The App Store did not sign this.")
	}
	return w, nil
}

// Look finds out how a transaction stands, from what Apple says of it now.
func (a *Apple) Look(_ context.Context, p purchase.Proof) (purchase.News, error) {
	w, err := a.verified(p)
	if err != nil {
		return purchase.News{}, err
	}
	news := purchase.News{Sales: []purchase.Sale{a.read(*w)}}
	asked, err := a.stands(w.sale.Order, w.sale.Line)
	if err != nil {
		return purchase.News{}, outage(a.name)
	}
	return newest(news, asked), nil
}

// Hear verifies a notification and looks again at what it is about.
func (a *Apple) Hear(_ context.Context, evidence string) (purchase.News, error) {
	w, ok := a.words[evidence]
	if !ok {
		return purchase.News{}, fault.New(fault.Invalid, "invalid_notice", "The App Store did not sign this.")
	}
	if w.none {
		return purchase.News{}, nil
	}
	news := purchase.News{Sales: []purchase.Sale{a.read(*w)}, Usage: w.usage, Standing: w.standing}
	asked, err := a.stands(w.sale.Order, w.sale.Line)
	if err != nil {
		news.Unasked = true
		return news, nil //nolint:nilerr // as the adapter: it is looked at again by itself
	}
	both := newest(news, asked)
	both.Unasked = contradicts(news, asked)
	return both, nil
}

// settlesWithin is for how long an answer that differs from what was told is not believed at
// once (apple.settlesWithin).
const settlesWithin = 10 * time.Minute

// contradicts is apple.contradicts.
func contradicts(told, asked purchase.News) bool {
	sale := told.Sales[0]
	for _, s := range asked.Sales {
		if s.Order == sale.Order && s.AsOf.Sub(sale.AsOf) < settlesWithin && (s.State != sale.State || s.Returned != sale.Returned) {
			return true
		}
	}
	is, was := asked.Standing, told.Standing
	if was.AsOf.IsZero() || is.AsOf.Sub(was.AsOf) >= settlesWithin {
		return false
	}
	is.AsOf = was.AsOf
	return is != was
}

// Follow asks how a line stands.
func (a *Apple) Follow(_ context.Context, l purchase.Line) (purchase.News, bool, error) {
	news, err := a.stands(l.Order, l.Line)
	return news, true, err
}

// stands is Get Transaction Info, and Get All Subscription Statuses of what renews.
func (a *Apple) stands(id, line string) (purchase.News, error) {
	as, err := a.ask("transaction", id)
	if err != nil {
		return purchase.News{}, err
	}
	s := a.sales[id]
	var f facts
	known := s != nil
	if known {
		f, known = s.facts.as(as)
	}
	a.world.Crossed()
	if !known {
		return purchase.News{}, unknown(a.name)
	}
	if s.line.ID != line {
		return purchase.News{}, outage(a.name)
	}
	news := purchase.News{Sales: []purchase.Sale{a.read(a.say(s, f, a.signs(as)))}}
	if s.Product.Kind != catalog.Subscription {
		return news, nil
	}
	if as, err = a.ask("statuses", id); err != nil {
		return purchase.News{}, err
	}
	r, known := s.line.stands.as(as)
	if known {
		f, _ = r.last.facts.as(as)
	}
	a.world.Crossed()
	if !known {
		return purchase.News{}, outage(a.name)
	}
	as = a.signs(as)
	return newest(news, purchase.News{Sales: []purchase.Sale{a.read(a.say(r.last, f, as))}, Standing: stand(r, as)}), nil
}

// signs is when an answer is signed that shows what was at an instant.
func (a *Apple) signs(as time.Time) time.Time {
	if now := a.now(); as.Before(now) && a.dice(a.habits.Resigned) {
		return now
	}
	return as
}

// newest puts two news of one line together: of each transaction the newest word, and the
// newest standing (apple.newest).
func newest(a, b purchase.News) purchase.News {
	a.Sales = slices.Clone(a.Sales)
	for _, sale := range b.Sales {
		same := func(other purchase.Sale) bool { return other.Order == sale.Order }
		switch at := slices.IndexFunc(a.Sales, same); {
		case at < 0:
			a.Sales = append(a.Sales, sale)
		case sale.AsOf.After(a.Sales[at].AsOf):
			a.Sales[at] = sale
		}
	}
	if b.Standing.AsOf.After(a.Standing.AsOf) {
		a.Standing = b.Standing
	}
	return a
}

// Report takes an answer to a consumption request.
func (a *Apple) Report(_ context.Context, sale purchase.Sale, _ purchase.Usage) error {
	return a.effect("consumption", sale.Order, func() error {
		if o := a.byID[sale.Order]; o != nil {
			a.Watch.tell(a.Watch.Reported, o)
		}
		return nil
	})
}

// letter is a notification, and when it was tried to be delivered in vain.
type letter struct {
	hint   notice.Hint
	at     time.Time
	failed bool // the last attempt so far
}

// retries are how long after the attempt before Apple tries again (Responding to App Store
// Server Notifications).
var retries = [...]time.Duration{time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 72 * time.Hour}

// tell sends a notification about a transaction, signed now.
func (a *Apple) tell(s *appleSale, kind string, usage bool) {
	w := a.say(s, s.facts.is, a.now())
	w.usage = usage
	if s.Product.Kind == catalog.Subscription {
		w.standing = stand(s.line.stands.is, a.now())
	}
	l := &letter{at: a.now(), hint: notice.Hint{
		Provider: a.name, Signed: true, ID: a.next("uuid-"), Type: kind, Order: s.Key(), Line: s.line.ID, Evidence: a.keep(w),
	}}
	a.sent = append(a.sent, l)
	fails := 0
	switch {
	case a.dice(a.habits.Lost):
		fails = 1 + len(retries)
	case a.dice(a.habits.Late):
		fails = 1 + a.world.Dice.IntN(len(retries))
	}
	a.attempt(l, 0, fails, a.within(30*time.Second))
	if fails == 0 && a.dice(a.habits.Doubled) {
		a.deliver(a.within(2*time.Hour), l.hint)
	}
}

// attempt delivers a letter after so long, unless this is one of those that fail.
func (a *Apple) attempt(l *letter, n, fails int, wait time.Duration) {
	a.world.After(wait, func() {
		if l.failed = n < fails; !l.failed {
			a.deliver(0, l.hint)
			return
		}
		if n < len(retries) {
			a.attempt(l, n+1, fails, retries[n])
			return
		}
		a.world.Tell(a.name, "gives up a notice "+l.hint.Type, l.hint.Line)
	})
}

// appleHistory is what Apple could not deliver (Get Notification History, onlyFailures).
type appleHistory struct{ *Apple }

// History is what Apple could not deliver.
func (a *Apple) History() notice.History { return appleHistory{a} }

// Name is that of production.
func (h appleHistory) Name() string { return "Production#" + bundle }

// Keeps is 180 days.
func (h appleHistory) Keeps() time.Duration { return 180 * 24 * time.Hour }

// historyPage is how many notifications a page has.
const historyPage = 20

// Missed gives a page of what was first sent between two instants and did not arrive so far.
func (h appleHistory) Missed(_ context.Context, from, to time.Time, page string) ([]notice.Hint, string, error) {
	if _, err := h.ask("history", page); err != nil {
		return nil, "", err
	}
	var hints []notice.Hint
	begin, next := number(page), ""
	if page == "" {
		begin, _ = slices.BinarySearchFunc(h.sent, from, func(l *letter, at time.Time) int { return l.at.Compare(at) })
	}
	for n := begin; n < len(h.sent); n++ {
		l := h.sent[n]
		if !l.at.Before(to) {
			break
		}
		if !l.failed {
			continue
		}
		if len(hints) == historyPage {
			next = numbered(n)
			break
		}
		hint := l.hint
		hint.Provider = ""
		hints = append(hints, hint)
	}
	h.world.Crossed()
	return hints, next, nil
}
