package purchase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Book keeps what customers hold from stores.
type Book struct {
	Tables    table.Tables
	Customers customer.Directory
	Catalog   *catalog.Catalog
	// Stores are the default project's, by name; one that is missing is not configured.
	// Another project has none: its customers would hold what the default's had paid for.
	Stores map[string]Store
	Clock  clock.Clock
	Log    *slog.Logger
	// TestsPerDay is how many purchases without money a customer of a production project
	// is granted in a day, since App Review and TestFlight buy that way; 0 grants none.
	TestsPerDay int
}

// Stores that can be claimed from.
var storeNames = map[string]bool{"apple": true, "play": true, "appsintoss": true}

// ordersBefore is implemented by a store whose evidence is the order's id itself, so that
// our book can be asked before the store is.
type ordersBefore interface {
	OrderOf(p Proof) (order string, ok bool)
}

// Claimed is the answer to a claim.
type Claimed struct {
	Order    Order
	Customer *customer.Customer

	checkAt time.Time // as the line's
	line    table.Key
	owes    bool // the store is to be told of what was granted
}

// answerMargin is what is kept of a claim's time for writing down what the store said.
const answerMargin = 4 * time.Second

// mostTries bounds how often a claim starts anew because another write came between.
// Every try that fails means that another one succeeded.
const mostTries = 60

// Claim finds out what a proof is worth and grants it to the customer, once. The same
// proof again gives the same order. Errors: fault.Invalid for what is proven false,
// fault.Conflict for another customer's, fault.Unavailable for what could not be found
// out. A sale whose money is not taken yet gives an order in state OrderPending, which
// is not written.
func (b *Book) Claim(ctx context.Context, scope table.Scope, customerID string, p Proof) (Claimed, error) {
	store, err := b.store(scope, p.Store)
	if err != nil {
		return Claimed{}, err
	}
	var before *Claimed // what our book answers where the store cannot
	order, byOrder := "", false
	if named, able := store.(ordersBefore); able {
		order, byOrder = named.OrderOf(p)
	}
	if byOrder {
		claimed, known, err := b.known(ctx, scope, customerID, OrderID(p.Store, order), time.Time{})
		if err != nil {
			return Claimed{}, err
		}
		// To come with it again is a hint that something became of it, but one that costs.
		if known && (!b.follows(p.Store) || b.Clock.Now().Sub(claimed.Order.AsOf) < lookedJustNow) {
			return claimed, nil
		}
		if known {
			before = &claimed
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, lookAgainWithin+answerMargin)
			defer cancel()
		}
	}
	var signed Sale
	if reader, ok := store.(Reader); ok {
		var says bool
		if signed, says, err = reader.Read(ctx, p); err != nil {
			return Claimed{}, err
		}
		if says {
			// An old word cannot tell our book anything.
			if claimed, known, err := b.known(ctx, scope, customerID, OrderID(p.Store, signed.Order), signed.AsOf); known || err != nil {
				return claimed, err
			}
		}
	}
	looking, cancel := clock.LeaveRoom(ctx, answerMargin)
	news, err := store.Look(looking, p)
	if err == nil {
		news, err = b.trace(looking, scope, store, news)
	}
	cancel()
	// What was granted to this customer stays granted while the store is out of reach, or does
	// not know it any more; and only a refund is a reason to take it back, not how it was asked for.
	if before != nil && (err != nil || news.Sales[0].State == Pending) {
		return *before, nil
	}
	if byOrder && errors.Is(err, fault.NotFound) {
		told, found, failed := b.heardOf(ctx, scope, OrderID(p.Store, order))
		if failed != nil {
			return Claimed{}, failed
		}
		if found && (p.SKU == "" || p.SKU == told.Sales[0].SKU) {
			if err = b.knownToNobody(ctx, store, p); err != nil {
				return Claimed{}, err
			}
			return b.settle(ctx, scope, &customerID, told)
		}
	}
	if fault.Retryable(err) && signed.Order != "" {
		if claimed, known, failed := b.known(ctx, scope, customerID, OrderID(p.Store, signed.Order), time.Time{}); known || failed != nil {
			return claimed, failed
		}
	}
	if named, ok := store.(Acknowledger); ok && (fault.Retryable(err) || errors.Is(err, fault.NotFound)) {
		if claimed, known, failed := b.knownLine(ctx, scope, customerID, p.Store, named.LineOf(p)); known || failed != nil {
			return claimed, failed
		}
	}
	if errors.Is(err, fault.NotFound) {
		return Claimed{}, invalid("The store does not know this purchase.")
	}
	if err != nil {
		return Claimed{}, err
	}
	claimed, err := b.settle(ctx, scope, &customerID, news)
	if err == nil && claimed.owes {
		b.finishNow(ctx, scope, claimed.line)
	}
	return claimed, err
}

// pause before another try: short, and longer with each.
func pause(try int) time.Duration { return time.Duration(min(try+1, 20)) * 5 * time.Millisecond }

func (b *Book) store(scope table.Scope, name string) (Store, error) {
	if !storeNames[name] {
		return nil, fault.New(fault.Malformed, "unknown_store", "store should be apple, play or appsintoss.")
	}
	store, ok := b.Stores[name]
	if !ok || scope.Project != table.Default.Project {
		return nil, fault.New(fault.Unavailable, "store_not_configured", "This project does not sell through %s yet.", name)
	}
	return store, nil
}

func ownedByAnother() error {
	return fault.New(fault.Conflict, "owned_by_another_customer", "This purchase belongs to another customer.")
}

func invalid(detail string) error { return fault.New(fault.Invalid, "invalid_purchase", "%s", detail) }

// settle compares news with our records and writes what follows, for the customer who
// claims it, or for nobody in particular. It begins anew while other writes come between.
func (b *Book) settle(ctx context.Context, scope table.Scope, claimant *string, news News) (Claimed, error) {
	for try := range mostTries {
		claimed, err := b.compare(ctx, scope, claimant, news)
		if !errors.As(err, new(*table.Conflict)) {
			return claimed, err
		}
		if err := b.Clock.Sleep(ctx, pause(try)); err != nil {
			break
		}
	}
	return Claimed{}, fault.New(fault.Unavailable, "busy", "Too much happened to this customer at once; ask again.")
}

// compare is one try of settle. A *table.Conflict means that another write came between.
func (b *Book) compare(ctx context.Context, scope table.Scope, claimant *string, news News) (Claimed, error) {
	news, err := news.checked()
	if err != nil {
		return Claimed{}, err
	}
	was, news, err := b.read(ctx, scope, claimant, news)
	if err != nil {
		return Claimed{}, err
	}
	asked := news.Sales[0]
	if claimant != nil && was.owner != "" && !was.customer.Is(was.owner) {
		return Claimed{}, ownedByAnother()
	}
	switch asked.State {
	case Failed:
		if !was.revoke(news) {
			return b.unpaid(ctx, was, news, claimant != nil)
		}
	case Pending:
		return b.unpaid(ctx, was, news, claimant != nil)
	case Paid, Replaced, Refunded:
	}
	is, err := b.decide(was, news, claimant != nil, b.Clock.Now())
	if err != nil {
		return Claimed{}, err
	}
	if err := b.commit(ctx, is); err != nil {
		return Claimed{}, err
	}
	b.remind(ctx, is.forgotten)
	order := is.entries[is.answers()].is
	if claimant == nil {
		return Claimed{Order: order, checkAt: is.line.CheckAt, line: is.item.Key, owes: is.owes}, nil
	}
	switch {
	case order.State == OrderRefunded:
		return Claimed{}, invalid("The store says that this was refunded.")
	case order.Replaced:
		return Claimed{}, fault.New(fault.Invalid, "superseded_purchase", "Another purchase took the place of this one; send that.")
	}
	return Claimed{Order: order, Customer: is.customer, line: is.item.Key, owes: is.owes}, nil
}

// revoke makes a refund of a sale that we know of and the store says failed; false if we know
// of none.
func (s *state) revoke(news News) bool {
	known := slices.ContainsFunc(s.entries[:len(news.Sales)], func(e entry) bool { return e.was.ID != "" })
	for i := range news.Sales {
		if known {
			s.entries[i].sale.State, news.Sales[i].State = Refunded, Refunded
		}
	}
	return known
}

// unpaid is what becomes of a sale whose money was not taken. Who claims what is still to be
// paid is written down, where the store can be asked about it later.
func (b *Book) unpaid(ctx context.Context, was state, news News, claimed bool) (Claimed, error) {
	asked, t := news.Sales[0], news.Token
	is := decision{state: was}
	is.entries = nil // no order changes
	if t != nil {
		is.line.Store, is.line.Line = asked.Store, asked.Line
		switch h, held := is.line.held(t.ID); {
		case asked.State == Failed && h.Pending:
			is.line = is.line.drop(t.ID)
		case asked.State == Pending && claimed && !held:
			is.line = is.line.meet(*t, false, true)
			is.line.Owner = was.customer.Ref
		}
		is.line.CheckAt = is.line.checkAt(b.Clock.Now(), false)
		is.lineChanged = !reflect.DeepEqual(is.line.Tokens, was.line.Tokens)
		is.told = is.lineChanged && was.customer != nil && !was.customer.Exists()
		if !is.lineChanged {
			is.pointers = nil
		}
		if err := b.commit(ctx, is); err != nil {
			return Claimed{}, err
		}
	}
	if !claimed {
		return Claimed{checkAt: is.line.CheckAt}, nil // there is nothing more to write down before there was money
	}
	if asked.State == Failed {
		return Claimed{}, invalid("The store says that this was never paid.")
	}
	return Claimed{
		Order:    Order{ID: OrderID(asked.Store, asked.Order), Kind: OrderKind, Store: asked.Store, SKU: asked.SKU, State: OrderPending},
		Customer: was.customer,
	}, nil
}

// checked is the news without later sales that are not paid, which there is nothing to
// write down of. What breaks the port's contract is the store's bug.
func (n News) checked() (News, error) {
	asked := n.Sales[0]
	var heard []Sale
	for _, s := range n.Sales {
		switch s.State {
		case Paid, Replaced, Refunded:
		case Pending, Failed:
			if s.State != asked.State {
				continue
			}
		default:
			return News{}, fmt.Errorf("purchase: bug in store %s: state %q", s.Store, s.State)
		}
		twice := slices.ContainsFunc(heard, func(o Sale) bool { return o.Order == s.Order && o.Part == s.Part })
		if s.Store != asked.Store || s.Line != asked.Line || twice {
			return News{}, fmt.Errorf("purchase: bug in store %s: news of two lines, or of one sale twice", asked.Store)
		}
		heard = append(heard, s)
	}
	n.Sales = heard
	return n, nil
}

// entry is an order as it was and as it is.
type entry struct {
	item    table.Item
	was, is Order
	sale    Sale
	product catalog.Product
	listed  bool // the catalog has the product
	heard   bool // the sale was news
	gaveWay bool // another token took the place of the one it was sold with
}

// state is everything of ours that news are compared with.
type state struct {
	scope    table.Scope
	customer *customer.Customer // the claimant, or the owner; nil where there is neither
	entries  []entry            // of each sale of the news, and then of what else the line holds unclaimed
	item     table.Item         // of the line
	line     Record
	recorded bool         // the token of the news has a record
	pointers []table.Item // of tokens that have none, and are not the line itself
	bound    string       // our id of the customer whom the sale's account names, or ""
	owner    string       // our id of the customer whom it belongs to, or ""
}

// read gathers the state, for a claim of something new in two round trips.
func (b *Book) read(ctx context.Context, scope table.Scope, claimant *string, news News) (state, News, error) {
	asked := news.Sales[0]
	now := state{scope: scope}
	var err error
	if claimant != nil {
		if now.customer, err = b.Customers.Named(ctx, scope, *claimant); err != nil {
			return state{}, News{}, err
		}
	}
	var keys []table.Key
	if news.Token == nil {
		now.item.Key = recordKey(scope, asked.Store, asked.Line)
		keys = append(keys, now.item.Key)
	} else {
		if err := b.locate(ctx, &now, news); err != nil {
			return state{}, News{}, err
		}
	}
	if news.Sales, err = b.match(ctx, &now, keys, news.Sales); err != nil {
		return state{}, News{}, err
	}
	asked = news.Sales[0]
	if asked.Account != "" {
		if now.bound, err = b.bound(ctx, now, asked); err != nil {
			return state{}, News{}, err
		}
	}
	for _, owner := range []string{now.line.Owner, now.entries[0].was.Customer, now.bound} {
		if now.owner == "" {
			now.owner = owner
		}
		if claimant != nil && owner != "" && owner != now.owner && !(now.customer.Is(owner) && now.customer.Is(now.owner)) {
			return state{}, News{}, ownedByAnother() // whoever claims is one of them at most
		}
	}
	if claimant == nil && now.owner != "" {
		if now.customer, err = customer.Read(ctx, b.Tables, scope, now.owner); err != nil {
			return state{}, News{}, fmt.Errorf("purchase: owner: %w", err)
		}
	}
	if now.line.Owner == "" && (claimant != nil || now.owner != "") {
		err = b.join(ctx, &now, now.line.inherited(mostTogether-len(now.entries), b.Clock.Now()))
	} else if news.Token != nil {
		err = b.join(ctx, &now, now.line.superseded(news))
	}
	return now, news, err
}

// bound is our id of the customer whom a sale's account names, "" if nobody is known by it.
// What is derived from the claimant's id is the claimant's, whoever came with it before.
func (b *Book) bound(ctx context.Context, now state, asked Sale) (string, error) {
	if now.customer != nil {
		own, err := b.Customers.Identity.StoreIDs(ctx, now.scope, now.customer.Profile.ID)
		if err != nil {
			return "", err
		}
		if own.At(asked.Store) == asked.Account {
			return now.customer.Ref, nil
		}
	}
	ref, err := customer.Bound(ctx, b.Tables, now.scope, asked.Store, asked.Account)
	if ref != "" || err != nil || now.customer == nil {
		return ref, err
	}
	// One who was never here, but was given a name for the store.
	made, err := b.Customers.Identity.Made(ctx, now.scope, asked.Store, asked.Account)
	if made {
		err = ownedByAnother()
	}
	return "", err
}

// fill reads the line and the orders of a state.
func (b *Book) fill(ctx context.Context, now *state, keys []table.Key) error {
	items, err := b.Tables.GetAll(ctx, keys)
	if err != nil {
		return fmt.Errorf("purchase: reading: %w", err)
	}
	for _, item := range items {
		if item.Key == now.item.Key {
			now.item = item
			now.line, err = decodeRecord(item)
		}
		for i := range now.entries {
			if e := &now.entries[i]; item.Key == e.item.Key {
				e.item = item
				e.was, err = DecodeOrder(item)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// join adds what else the line holds: for whoever becomes its owner, or what another token
// takes the place of.
func (b *Book) join(ctx context.Context, now *state, terms []Term) error {
	var keys []table.Key
	for i, t := range terms {
		key := orderKey(now.scope, t.Order)
		known := false
		for _, e := range now.entries {
			known = known || e.item.Key == key
		}
		if known || t.State == Refunded {
			continue
		}
		p, listed := b.Catalog.BySKU(now.line.Store, t.SKU)
		if !listed && i >= mostTerms {
			continue // long over, and no reason to keep from its owner what is not
		}
		now.entries = append(now.entries, entry{item: table.Item{Key: key}, product: p, listed: listed})
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil
	}
	return b.fill(ctx, now, keys)
}

// commit writes what changed, all or nothing.
func (b *Book) commit(ctx context.Context, is decision) error {
	var writes []table.Write
	for _, e := range is.entries {
		if e.is == e.was {
			continue
		}
		item, err := encode(e.item, e.is)
		if err != nil {
			return err
		}
		writes = append(writes, table.Put(item))
	}
	for _, item := range is.pointers {
		writes = append(writes, table.Inserted(item))
	}
	if is.lineChanged {
		item, err := encode(is.item, is.line)
		if err != nil {
			return err
		}
		item.Index = is.line.index(is.scope)
		writes = append(writes, table.Put(item))
	}
	if is.customer != nil && is.told {
		own, err := is.customer.Writes(b.Clock.Now())
		if err != nil {
			return err
		}
		writes = append(own, writes...)
	}
	if len(writes) == 0 {
		return nil
	}
	if err := b.Tables.Commit(ctx, writes...); err != nil {
		// Not whose: an order's id may be the proof of it.
		return fmt.Errorf("purchase: writing an order of %s: %w", is.line.Store, err)
	}
	return nil
}
