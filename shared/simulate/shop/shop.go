package shop

import (
	"strconv"
	"strings"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/simulate"
)

// wholly is all of a sale, in thousandths of a per cent.
const wholly = 100_000

// Habits are how stores behave, in 100,000 unless said otherwise.
type Habits struct {
	Lost, Late, Doubled int           // notices
	LateMost            time.Duration // of Google's and Toss's; Apple tries again by its own times
	Behind              int           // answers that are of some time ago
	BehindMost          time.Duration
	Resigned            int // of Apple's answers that are behind, those that are signed now all the same
	Poor                int // renewals whose money cannot be taken at once
}

// Unkind are the habits of the long runs.
func Unkind() Habits {
	return Habits{Lost: 2000, Late: 5000, Doubled: 3000, LateMost: 12 * time.Hour, Behind: 3000, BehindMost: 5 * time.Minute, Resigned: 50_000, Poor: 6000}
}

// Watcher hears of what happens at a store in the moment that it does. It crosses no port.
type Watcher struct {
	Sold         func(*Order) // its money was taken
	Returned     func(*Order) // all or some of it was given back
	Reversed     func(*Order) // what was given back was taken again
	Acknowledged func(*Order) // the store was told of the delivery
	Reported     func(*Order) // the store was told what became of it, since it asked
}

func (w Watcher) tell(f func(*Order), o *Order) {
	if f != nil {
		f(o)
	}
}

// Order is one movement of money at a store, as the store knows it.
type Order struct {
	Store, ID string // the store's id
	Line      string // as purchase.Sale.Line, of the token that it was sold with
	SKU       string
	Product   catalog.Product
	Account   string // that the app gave
	Buyer     int    // who pays, by the number that the caller has for them
	Quantity  int
	Price     int64 // smallest unit of Currency
	Currency  string
	SoldAt    time.Time
	Until     time.Time // of what renews; zero of everything else
	Family    bool      // somebody else's, shared

	Returned   int // thousandths of a per cent
	Back       int // units, where they are counted
	ReturnedAt time.Time
	Quiet      bool // it was given back, and nobody is told
	Replaced   bool // given up for another
	Succeeded  bool // its token has a successor, which may have come after its end
	Unheard    bool // a word that nobody repeats and nobody can ask for was lost

	Acknowledged time.Time
	Unclaimed    bool // the store took it back since nobody acknowledged it
}

// Key is our book's id of it.
func (o *Order) Key() string { return purchase.OrderID(o.Store, o.ID) }

// Credited is how much of its currency it is worth, less what was given back of it.
func (o *Order) Credited() int64 {
	all := o.Product.Amount * int64(o.Quantity)
	if o.Back > 0 && o.Back < o.Quantity {
		return all - o.Product.Amount*int64(o.Back)
	}
	return all - (all*int64(o.Returned)+wholly/2)/wholly
}

// Paid says whether its money, or some of it, is the company's.
func (o *Order) Paid() bool { return o.Returned < wholly }

// counter is what the stores have in common.
type counter struct {
	Watch Watcher
	// Notify is where notices go.
	Notify func(h notice.Hint)

	world  *simulate.World
	name   string
	habits Habits
	goods  *catalog.Catalog
	orders []*Order
	byID   map[string]*Order
	serial int64
}

func newCounter(w *simulate.World, name string, goods *catalog.Catalog, h Habits) counter {
	return counter{world: w, name: name, goods: goods, habits: h, byID: map[string]*Order{}, serial: 1000}
}

// Orders are all that were ever sold, in that order.
func (c *counter) Orders() []*Order { return c.orders }

// Order is one by the store's id, nil if there is none.
func (c *counter) Order(id string) *Order { return c.byID[id] }

func (c *counter) now() time.Time { return c.world.Now() }

func (c *counter) next(prefix string) string {
	c.serial++
	return prefix + strconv.FormatInt(c.serial, 10)
}

// dice says yes so often in 100,000.
func (c *counter) dice(rate int) bool { return int(c.world.Dice.Uint32N(100_000)) < rate }

// within is some time up to d.
func (c *counter) within(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(c.world.Dice.Int64N(int64(d)))
}

// sold writes an order into the store's book.
func (c *counter) sold(o *Order) *Order {
	o.Store = c.name
	o.Product, _ = c.goods.BySKU(c.name, o.SKU)
	o.Quantity = max(o.Quantity, 1)
	if o.SoldAt.IsZero() {
		o.SoldAt = c.now()
	}
	if o.Price == 0 {
		o.Price, o.Currency = 4900, "KRW"
	}
	c.orders = append(c.orders, o)
	c.byID[o.ID] = o
	c.world.Tell(c.name, "sells", o.ID)
	c.Watch.tell(c.Watch.Sold, o)
	return o
}

// returned notes what was given back of an order.
func (c *counter) returned(o *Order, thousandths, units int) {
	o.Returned, o.Back, o.ReturnedAt = thousandths, units, c.now()
	what := "gives back"
	if o.Quiet {
		what = "gives back and tells nobody"
	}
	c.world.Tell(c.name, what, o.ID)
	c.Watch.tell(c.Watch.Returned, o)
}

func outage(name string) error {
	return fault.New(fault.Unavailable, "store_unavailable", "%s could not be asked now; ask again.", name)
}

func unknown(name string) error {
	return fault.New(fault.NotFound, "not_in_store", "%s has no such thing.", name)
}

// ask crosses the port for something that has no effect. As is the instant that the answer
// shows: mostly now, sometimes one of some minutes ago.
func (c *counter) ask(verb, about string) (as time.Time, err error) {
	switch c.world.Cross(simulate.Op{Port: "store", Verb: verb, About: about}) {
	case simulate.Lost, simulate.Unheard, simulate.Busy, simulate.Late:
		c.world.Crossed()
		return time.Time{}, outage(c.name)
	case simulate.Fine, simulate.Vague, simulate.Stale, simulate.Partial:
	}
	as = c.now()
	if c.habits.Behind > 0 && c.dice(c.habits.Behind) {
		as = as.Add(-c.within(c.habits.BehindMost))
	}
	return as, nil
}

// effect crosses the port for something that has one: do is done, or not, or some minutes
// later. What it answers is heard where it is done at once.
func (c *counter) effect(verb, about string, do func() error) error {
	switch c.world.Cross(simulate.Op{Port: "store", Verb: verb, About: about, Write: true}) {
	case simulate.Lost, simulate.Busy:
		c.world.Crossed()
		return outage(c.name)
	case simulate.Unheard:
		_ = do()
		c.world.Crossed()
		return outage(c.name)
	case simulate.Late:
		c.world.After(c.within(10*time.Minute), func() { _ = do() })
		c.world.Crossed()
		return outage(c.name)
	case simulate.Fine, simulate.Vague, simulate.Stale, simulate.Partial:
	}
	err := do()
	c.world.Crossed()
	return err
}

// post sends a notice as Google and Toss do: again until it is taken, or never. It is false
// for one that nobody will ever hear of.
func (c *counter) post(h notice.Hint) bool {
	h.Provider, h.Signed = c.name, true
	if c.dice(c.habits.Lost) {
		c.world.Tell(c.name, "loses a notice "+h.Type, h.Line)
		return false
	}
	wait := c.within(30 * time.Second)
	if c.dice(c.habits.Late) {
		wait = c.within(c.habits.LateMost)
	}
	c.deliver(wait, h)
	if c.dice(c.habits.Doubled) {
		c.deliver(c.within(c.habits.LateMost), h)
	}
	return true
}

func (c *counter) deliver(wait time.Duration, h notice.Hint) {
	c.world.After(wait, func() {
		if c.Notify != nil {
			c.Notify(h)
		}
	})
}

// months is how long a subscription's period is.
func months(p catalog.Product) int {
	if strings.Contains(p.ID, "year") {
		return 12
	}
	return 1
}

// known is a value as a store has it, and as it was before its last change, since a replica may
// still show that.
type known[T any] struct {
	is, was     T
	made, since time.Time // since when there is anything, and the value that is
}

func (k *known[T]) set(now time.Time, is T) {
	if k.made.IsZero() {
		k.made = now
	}
	k.was, k.is, k.since = k.is, is, now
}

// as is the value as a replica shows it that is as it was at an instant; false if there was
// nothing yet.
func (k *known[T]) as(at time.Time) (T, bool) {
	if !at.Before(k.since) {
		return k.is, !k.made.IsZero()
	}
	return k.was, !at.Before(k.made)
}

// Street has all stores.
type Street struct {
	Apple      *Apple
	Play       *Play
	AppsInToss *AppsInToss
}

// Open opens the stores. Each has its own Watch and Notify to be set.
func Open(w *simulate.World, goods *catalog.Catalog, h Habits) *Street {
	return &Street{NewApple(w, goods, h), NewPlay(w, goods, h), NewAppsInToss(w, goods, h)}
}

// Stores are those of the street, as a deployment has them.
func (s *Street) Stores() map[string]purchase.Store {
	return map[string]purchase.Store{s.Apple.name: s.Apple, s.Play.name: s.Play, s.AppsInToss.name: s.AppsInToss}
}

// Histories are what the stores remember of what they could not deliver.
func (s *Street) Histories() map[string][]notice.History {
	return map[string][]notice.History{s.Apple.name: {s.Apple.History()}, s.Play.name: {s.Play.History()}, s.AppsInToss.name: nil}
}

// Listen has all stores send their notices to, and tell of what happens to.
func (s *Street) Listen(notify func(notice.Hint), watch Watcher) {
	for _, c := range []*counter{&s.Apple.counter, &s.Play.counter, &s.AppsInToss.counter} {
		c.Notify, c.Watch = notify, watch
	}
}

// Behave gives all stores other habits.
func (s *Street) Behave(h Habits) {
	for _, c := range []*counter{&s.Apple.counter, &s.Play.counter, &s.AppsInToss.counter} {
		c.habits = h
	}
}

// Orders are all that were ever sold, by store.
func (s *Street) Orders() [][]*Order {
	return [][]*Order{s.Apple.orders, s.Play.orders, s.AppsInToss.orders}
}

// Order finds one by our book's id, nil if there is none.
func (s *Street) Order(store, id string) *Order {
	switch store {
	case s.Apple.name:
		return s.Apple.byID[id]
	case s.Play.name:
		return s.Play.byID[id]
	case s.AppsInToss.name:
		return s.AppsInToss.byID[id]
	}
	return nil
}

var (
	_ purchase.Store        = (*Apple)(nil)
	_ purchase.Reader       = (*Apple)(nil)
	_ purchase.Follower     = (*Apple)(nil)
	_ purchase.Store        = (*Play)(nil)
	_ purchase.Follower     = (*Play)(nil)
	_ purchase.Acknowledger = (*Play)(nil)
	_ purchase.Store        = (*AppsInToss)(nil)
	_ purchase.Follower     = (*AppsInToss)(nil)
)
