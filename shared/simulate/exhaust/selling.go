package exhaust

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"grantline/shared/customer"
	"grantline/shared/purchase"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// selling is a scene: one pack of currency, or a level, that was sold by a store, and all that is
// done about it and what it gave.
type selling struct {
	*Path
	*counter
	book      *purchase.Book
	directory customer.Directory
	again     []again
	told      sequences
	units     units
	owner     string // our id of whom the order was granted to
	claims    []claiming
	merges    bool // whoever owns it may become another
	spends    map[string]int64
}

// claiming is a claim of somebody's.
type claiming struct {
	Racer
	who string
}

// units are how much of the currency is where, by the items that say so.
type units struct {
	held, sold, spent, gross map[table.Key]int64 // gross is sold but for what was taken back
}

const (
	ann  = "ann"
	ben  = "ben"
	anon = "anon_1"
)

func newSelling(p *Path, store, sku string) *selling {
	s := &selling{
		Path: p, counter: &counter{path: p, name: store, sku: sku}, directory: directory(p.Tables), told: sequences{},
		units: units{map[table.Key]int64{}, map[table.Key]int64{}, map[table.Key]int64{}, map[table.Key]int64{}}, spends: map[string]int64{},
	}
	var by purchase.Store = words{s.counter}
	if store == "play" {
		by = tokens{s.counter}
	}
	s.book = &purchase.Book{
		Tables: p.Tables, Customers: s.directory, Catalog: plans(), Stores: map[string]purchase.Store{store: by}, Clock: p.Clock(), Log: silent,
		TestsPerDay: 10,
	}
	return s
}

// sold is how a scene of selling begins.
type sold struct {
	sku                              string
	items                            []table.Item
	acknowledged, consumed, refunded bool
	spends                           map[string]int64
}

var (
	opened   = scenesOf(level, func(s *selling) { must(s.claim(context.Background(), ann)) })
	onSale   = scenes(func(*selling) {})
	heardOf  = scenes(func(s *selling) { must(s.hear(context.Background())) })
	owned    = scenes(func(s *selling) { must(s.claim(context.Background(), ann)) })
	ownedBy  = scenes(func(s *selling) { must(s.claim(context.Background(), anon)) })
	ownedToo = scenes(func(s *selling) {
		must(s.claim(context.Background(), anon))
		_, _, err := s.directory.Credit(context.Background(), scope, ann, customer.CreditAsk{
			Currency: "gems", Amount: 20, Reference: "welcome", Reason: "welcome",
		}, s.Clock())
		must(err)
	})
	owing = scenes(func(s *selling) {
		ctx := context.Background()
		must(s.claim(ctx, ann))
		s.spends["before"] = 60
		_, _, err := s.directory.Spend(ctx, scope, ann, customer.SpendAsk{Currency: "gems", Amount: 60, Reference: "before", By: "server"}, s.Clock())
		must(err)
		s.giveBack()
		must(s.hear(ctx))
	})
)

// scenes sets a scene of a pack of currency once for each store.
func scenes(set func(s *selling)) map[string]func() sold { return scenesOf(gems, set) }

// scenesOf sets a scene of what is sold once for each store.
func scenesOf(sku string, set func(s *selling)) map[string]func() sold {
	all := map[string]func() sold{}
	for _, store := range []string{"apple", "play"} {
		all[store] = sync.OnceValue(func() sold {
			s := newSelling(quiet(), store, sku)
			set(s)
			return sold{sku, s.Tables.All(), s.acknowledged, s.consumed, s.refunded, s.spends}
		})
	}
	return all
}

// staged is a scene of selling on a path, with its promises watched.
func (b sold) staged(p *Path, store string) *selling {
	s := newSelling(p, store, b.sku)
	s.Tables.Watch(s.committed)
	s.acknowledged, s.consumed, s.refunded = b.acknowledged, b.consumed, b.refunded
	maps.Copy(s.spends, b.spends)
	s.told.begin(b.items)
	for _, i := range b.items {
		s.count(table.Inserted(i))
	}
	s.Tables.Load(b.items)
	s.telling = func() {
		if s.owner == "" {
			s.Fail("nothing is acknowledged that is not written", "the store hears of a delivery that no order says")
		}
	}
	p.State(func(h *Print) {
		s.counter.print(h)
		h.Text(s.owner)
	})
	p.Settle(s.rest)
	return s
}

func (s *selling) proof() purchase.Proof {
	return purchase.Proof{Store: s.counter.name, Evidence: evidence, SKU: s.sku}
}

func (s *selling) claim(ctx context.Context, who string) error {
	_, err := s.book.Claim(ctx, scope, who, s.proof())
	return err
}

func (s *selling) hear(ctx context.Context) error {
	_, err := s.book.LookAgain(ctx, scope, s.counter.name, evidence)
	return err
}

// ask is what somebody asks for, and asks again until there is an answer.
func (s *selling) ask(name string, work func(context.Context) error) Racer {
	r := s.Race(name, work)
	s.again = append(s.again, again{r, time.Second, work, false})
	return r
}

// claimed is a claim of somebody's.
func (s *selling) claimed(name, who string) {
	r := s.ask(name, func(ctx context.Context) error { return s.claim(ctx, who) })
	s.claims = append(s.claims, claiming{r, who})
}

// noticed is the store's word that there was something about the sale.
func (s *selling) noticed(name string) {
	s.again = append(s.again, again{s.Race(name, s.hear), 6 * time.Minute, s.hear, true})
}

// refund is the customer, who gets the money back, and then the store's word of it.
func (s *selling) refund(name string) {
	given := false
	work := func(ctx context.Context) error {
		if !given {
			s.Happen("the store gives the money back", s.giveBack)
			given = true
		}
		return s.hear(ctx)
	}
	s.again = append(s.again, again{s.Race(name, work), 6 * time.Minute, work, true})
}

// reviewed is the sweep's look at what is due.
func (s *selling) reviewed(name string) {
	work := func(ctx context.Context) error {
		_, err := s.book.Review(ctx, scope, s.counter.name, 100)
		return err
	}
	s.Race(name, work)
}

// spend is somebody who spends.
func (s *selling) spend(name, who, reference string, amount int64) {
	s.spends[reference] = amount
	s.ask(name, func(ctx context.Context) error {
		_, _, err := s.directory.Spend(ctx, scope, who, customer.SpendAsk{Currency: "gems", Amount: amount, Reference: reference, By: "server"}, s.Clock())
		return err
	})
}

// credit is the company, which gives somebody some of its own.
func (s *selling) credit(name, who, reference string, amount int64) {
	s.ask(name, func(ctx context.Context) error {
		_, _, err := s.directory.Credit(ctx, scope, who, customer.CreditAsk{Currency: "gems", Amount: amount, Reference: reference, Reason: "sorry"}, s.Clock())
		return err
	})
}

// unspend is somebody who gives back what was spent.
func (s *selling) unspend(name, who, reference, of string) {
	s.ask(name, func(ctx context.Context) error {
		_, _, _, err := s.directory.Unspend(ctx, scope, who, customer.UnspendAsk{Currency: "gems", Spend: of, Reference: reference}, s.Clock())
		return err
	})
}

// merge is somebody who signs in, and takes along what was bought before.
func (s *selling) merge(name, who, other string) {
	s.merges = true
	s.ask(name, func(ctx context.Context) error {
		_, err := s.directory.Join(ctx, scope, customer.Alias{ID: who, Other: other}, s.Clock())
		return err
	})
}

// count takes over what one item says of the currency.
func (s *selling) count(w table.Write) {
	k := w.Item.Key
	var of map[table.Key]int64
	var n int64
	switch sort := k.Sort; {
	case w.Change == table.Check:
		return
	case k.Table == table.Orders:
		of = s.units.sold
		if w.Change != table.Remove {
			o := decoded[purchase.Order](w.Item)
			n, s.units.gross[k] = o.Credited-o.TakenBack, o.Credited
			s.granted(o)
		}
	case k.Table == table.Customers && strings.HasPrefix(sort, "#wallet#"):
		of = s.units.held
		if w.Change != table.Remove {
			n = decoded[wallet.Wallet](w.Item).Booked()
		}
	case k.Table == table.Customers && strings.HasPrefix(sort, "spend#"):
		of = s.units.spent
		if w.Change != table.Remove {
			is := decoded[customer.Spend](w.Item)
			n = is.Amount - is.Refunded
		}
	case k.Table == table.Customers && strings.HasPrefix(sort, "credit#"):
		of = s.units.sold
		if w.Change != table.Remove {
			n = decoded[customer.Credit](w.Item).Amount
			s.units.gross[k] = n
		}
	default:
		return
	}
	of[k] = n
}

// granted checks what an order says.
func (s *selling) granted(o purchase.Order) {
	if o.Credited-o.TakenBack > s.pack() || o.TakenBack > o.Credited {
		s.Fail("a store sale is granted at most once", "order %s of %d has credited %d and taken back %d", o.ID, s.pack(), o.Credited, o.TakenBack)
	}
	if s.owner != "" && o.Customer != s.owner {
		s.Fail("a claim by another never moves a purchase", "order %s was of %s, and is of %q", o.ID, s.owner, o.Customer)
	}
	s.owner = o.Customer
}

// committed sees each commit.
func (s *selling) committed(writes []table.Write) {
	s.told.gapless(s.Path, writes)
	for _, w := range writes {
		s.count(w)
	}
	held, bought, spent := sum(s.units.held), sum(s.units.sold), sum(s.units.spent)
	switch {
	case held != bought-spent:
		s.Fail("the wallet is what was bought less what was spent", "%d are held, %d were bought and %d are spent", held, bought, spent)
	case spent > sum(s.units.gross):
		s.Fail("nobody spends what nobody had", "%d are spent", spent)
	}
}

func sum(of map[table.Key]int64) (all int64) {
	for _, n := range of {
		all += n
	}
	return all
}
