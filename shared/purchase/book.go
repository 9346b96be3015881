package purchase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// Book claims purchases for customers.
type Book struct {
	Tables    table.Tables
	Customers customer.Directory
	Catalog   *catalog.Catalog
	// Stores are the default project's, by name; one that is missing is not configured.
	// Another project has none: its customers would hold what the default's had paid for.
	Stores map[string]Store
	Clock  clock.Clock
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
	if named, ok := store.(ordersBefore); ok {
		if order, ok := named.OrderOf(p); ok {
			if claimed, known, err := b.known(ctx, scope, customerID, OrderID(p.Store, order)); known || err != nil {
				return claimed, err
			}
		}
	}
	looking, cancel := clock.LeaveRoom(ctx, answerMargin)
	sale, err := store.Look(looking, p)
	cancel()
	if err != nil {
		return Claimed{}, err
	}
	product, ok := b.Catalog.BySKU(sale.Store, sale.SKU)
	if !ok && sale.State == Paid {
		// Money was taken for something that our catalog forgot: ours to mend, not the
		// customer's to lose.
		return Claimed{}, fault.New(fault.Unavailable, "product_not_configured", "%q of %s is not in the catalog yet.", sale.SKU, sale.Store)
	}
	for try := range mostTries {
		claimed, err := b.settle(ctx, scope, customerID, sale, product)
		if !errors.As(err, new(*table.Conflict)) {
			return claimed, err
		}
		if err := b.Clock.Sleep(ctx, pause(try)); err != nil {
			break
		}
	}
	return Claimed{}, fault.New(fault.Unavailable, "busy", "Too much happened to this customer at once; ask again.")
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

// known answers from our own book: what was granted to this customer stays granted
// whatever the store can say at the moment.
func (b *Book) known(ctx context.Context, scope table.Scope, customerID, orderID string) (Claimed, bool, error) {
	item, err := b.Tables.Get(ctx, orderKey(scope, orderID))
	if errors.Is(err, fault.NotFound) {
		return Claimed{}, false, nil
	}
	if err != nil {
		return Claimed{}, false, fmt.Errorf("purchase: order: %w", err)
	}
	order, err := DecodeOrder(item)
	if err != nil {
		return Claimed{}, false, err
	}
	c, err := b.Customers.Named(ctx, scope, customerID)
	if err != nil {
		return Claimed{}, false, err
	}
	if order.Customer != c.Ref {
		return Claimed{}, false, ownedByAnother()
	}
	return Claimed{order, c}, order.State == OrderGranted, nil
}

func ownedByAnother() error {
	return fault.New(fault.Conflict, "owned_by_another_customer", "This purchase belongs to another customer.")
}

func invalid(detail string) error { return fault.New(fault.Invalid, "invalid_purchase", "%s", detail) }

// state is everything of ours that a sale is compared with.
type state struct {
	customer            *customer.Customer
	orderItem, lineItem table.Item
	order               Order
	line                Record
	bound               string // our id of the customer whom the sale's account names, or ""
}

// read gathers the state in two round trips.
func (b *Book) read(ctx context.Context, scope table.Scope, customerID string, s Sale) (state, error) {
	var now state
	var err error
	if now.customer, err = b.Customers.Named(ctx, scope, customerID); err != nil {
		return state{}, err
	}
	now.orderItem.Key = orderKey(scope, OrderID(s.Store, s.Order))
	now.lineItem.Key = recordKey(scope, s.Store, s.Line)
	items, err := b.Tables.GetAll(ctx, []table.Key{now.orderItem.Key, now.lineItem.Key})
	if err != nil {
		return state{}, fmt.Errorf("purchase: reading: %w", err)
	}
	for _, item := range items {
		if item.Key == now.orderItem.Key {
			now.orderItem, err = item, decode(item, &now.order)
		} else {
			now.lineItem, err = item, decode(item, &now.line)
		}
		if err != nil {
			return state{}, err
		}
	}
	if s.Account != "" {
		now.bound, err = customer.Bound(ctx, b.Tables, scope, s.Store, s.Account)
	}
	return now, err
}

// settle compares a sale with our records and writes what follows. A *table.Conflict
// means that another write came between: compare anew.
func (b *Book) settle(ctx context.Context, scope table.Scope, customerID string, s Sale, p catalog.Product) (Claimed, error) {
	was, err := b.read(ctx, scope, customerID, s)
	if err != nil {
		return Claimed{}, err
	}
	me := was.customer.Ref
	for _, owner := range []string{was.order.Customer, was.line.Owner, was.bound} {
		if owner != "" && owner != me {
			return Claimed{}, ownedByAnother()
		}
	}
	switch s.State {
	case Pending:
		return Claimed{Order{ID: OrderID(s.Store, s.Order), Kind: OrderKind, Store: s.Store, SKU: s.SKU, State: OrderPending}, was.customer}, nil
	case Failed:
		return Claimed{}, invalid("The store says that this was never paid.")
	case Refunded:
		if was.order.State == OrderGranted {
			if err := b.takeBack(ctx, was, s); err != nil {
				return Claimed{}, err
			}
		}
		return Claimed{}, invalid("The store says that this was refunded.")
	case Paid:
		switch was.order.State {
		case OrderGranted:
			return Claimed{was.order, was.customer}, nil
		case OrderRefunded:
			return Claimed{}, invalid("This was refunded.")
		case OrderPending:
		}
		return b.grant(ctx, scope, was, s, p)
	}
	return Claimed{}, fmt.Errorf("purchase: bug in store %s: state %q", s.Store, s.State)
}

// grant writes the order, the line, what the customer now has and the event that tells of
// it, all or nothing, if the order is still not there.
func (b *Book) grant(ctx context.Context, scope table.Scope, was state, s Sale, p catalog.Product) (Claimed, error) {
	now, c := b.Clock.Now(), was.customer
	if s.Test && scope.Environment == "production" && c.CountTest(now) > b.TestsPerDay {
		return Claimed{}, fault.New(fault.Denied, "test_purchases_refused", "No more purchases without money are granted to this customer today.")
	}
	end := until(s, p, now)
	order := Order{
		ID: OrderID(s.Store, s.Order), Kind: OrderKind, Customer: c.Ref, Store: s.Store, Line: s.Line, SKU: s.SKU,
		Product: p.ID, State: OrderGranted, Quantity: s.Quantity, Entitlement: p.Entitlement, PurchasedAt: s.PurchasedAt,
		GrantedAt: now, Until: end, Price: s.Price, PriceIn: s.Currency, Test: s.Test, Family: s.Family,
	}
	tell := event.Event{
		Type: event.PurchaseGranted, At: now, OrderID: order.ID, Store: s.Store, ProductID: s.SKU,
		Entitlement: p.Entitlement, Amount: s.Price, Currency: s.Currency, Test: s.Test,
	}
	if !end.IsZero() {
		tell.ExpiresAt = &end
	}
	line := was.line
	line.Store, line.Line, line.Owner = s.Store, s.Line, c.Ref
	renewed := line.Order != ""
	line = line.seen(s, p, end)
	if p.Kind == catalog.Consumable {
		order.Currency, order.Credited = p.Currency, p.Amount*int64(max(s.Quantity, 1))
		w := c.Wallets()[p.Currency].Credit(wallet.Lot{OrderID: order.ID, Kind: wallet.Paid, Granted: order.Credited, Test: s.Test})
		c.SetWallet(p.Currency, w)
		balance := w.Balance(now)
		tell.WalletCurrency, tell.Credited, tell.Balance = p.Currency, order.Credited, &balance
	} else {
		c.Set(line.source())
		if renewed {
			tell.Type = event.PurchaseRenewed
		}
	}
	if s.Account != "" && was.bound == "" {
		c.Bind(s.Store, s.Account)
	}
	c.Tell(tell)
	if err := b.commit(ctx, was, order, line); err != nil {
		return Claimed{}, err
	}
	return Claimed{order, c}, nil
}

// takeBack undoes what an order granted, once.
func (b *Book) takeBack(ctx context.Context, was state, s Sale) error {
	now, c, order, line := b.Clock.Now(), was.customer, was.order, was.line
	order.State, order.RefundedAt = OrderRefunded, now
	tell := event.Event{
		Type: event.PurchaseRefunded, At: now, OrderID: order.ID, Store: order.Store, ProductID: order.SKU,
		Entitlement: order.Entitlement, Test: order.Test,
	}
	if order.Credited > 0 {
		w := c.Wallets()[order.Currency].TakeBack(order.ID, order.Credited)
		c.SetWallet(order.Currency, w)
		balance := w.Balance(now)
		tell.WalletCurrency, tell.Credited, tell.Balance = order.Currency, -order.Credited, &balance
	}
	// A refund of an older renewal leaves the line to the one that reaches furthest.
	if line.Order == order.ID {
		line.State, line.WillRenew, line.AsOf = entitlement.Ended, false, s.AsOf
		if line.Entitlement != "" {
			c.Set(line.source())
		}
	}
	c.Tell(tell)
	return b.commit(ctx, was, order, line)
}

func (b *Book) commit(ctx context.Context, was state, order Order, line Record) error {
	orderItem, err := encode(was.orderItem, order)
	if err != nil {
		return err
	}
	lineItem, err := encode(was.lineItem, line)
	if err != nil {
		return err
	}
	writes, err := was.customer.Writes()
	if err != nil {
		return err
	}
	if err := b.Tables.Commit(ctx, append(writes, table.Put(orderItem), table.Put(lineItem))...); err != nil {
		// Not whose: an order's id may be the proof of it.
		return fmt.Errorf("purchase: writing an order of %s: %w", order.Store, err)
	}
	return nil
}
