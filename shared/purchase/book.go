package purchase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"grantline/shared/abuse"
	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/event"
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
	// Restore is what a claim of another customer's purchase does; "" is Keep.
	Restore RestorePolicy
	// Abuse is what follows from what a customer had refunded; nil is nothing.
	Abuse abuse.Policy
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
	owed    bool // or was before, and may not have been
}

// answerMargin is what is kept of a claim's time for writing down what the store said.
const answerMargin = 4 * time.Second

// mostLost bounds how often it is looked at again what became of a write without an answer.
const mostLost = 2

// mostTries bounds how often a claim starts anew because another write came between.
// Every try that fails means that another one succeeded.
const mostTries = 60

// Claim finds out what a proof is worth and grants it to the customer, once. The same
// proof again gives the same order. Errors: fault.Invalid for what is proven false,
// fault.Conflict for another customer's, fault.Unavailable for what could not be found
// out. A sale whose money is not taken yet gives an order in state OrderPending, which
// is not written.
func (b *Book) Claim(ctx context.Context, scope table.Scope, customerID string, p Proof) (Claimed, error) {
	if event.CauseOf(ctx) == nil {
		ctx = event.Because(ctx, event.Cause{Kind: event.ByClaim})
	}
	by := claim{customer: customerID, giftTo: p.GiftTo}
	store, err := b.store(scope, p.Store)
	if err != nil {
		return Claimed{}, err
	}
	var before *Claimed // what our book answers where the store cannot
	order, byOrder := "", false
	if named, able := store.(ordersBefore); able {
		order, byOrder = named.OrderOf(p)
	}
	by.bare = byOrder && p.UserKey == ""
	if byOrder {
		claimed, known, err := b.known(ctx, scope, by, OrderID(p.Store, order), time.Time{})
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
			if claimed, known, err := b.known(ctx, scope, by, OrderID(p.Store, signed.Order), signed.AsOf); known || err != nil {
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
			return b.settle(ctx, scope, &by, told)
		}
	}
	if fault.Retryable(err) && signed.Order != "" {
		if claimed, known, failed := b.known(ctx, scope, by, OrderID(p.Store, signed.Order), time.Time{}); known || failed != nil {
			return claimed, failed
		}
	}
	if named, ok := store.(Acknowledger); ok && (fault.Retryable(err) || errors.Is(err, fault.NotFound)) {
		if claimed, known, failed := b.knownLine(ctx, scope, by, p.Store, named.LineOf(p)); known || failed != nil {
			return claimed, failed
		}
	}
	if errors.Is(err, fault.NotFound) {
		return Claimed{}, invalid("The store does not know this purchase.")
	}
	if err != nil {
		return Claimed{}, err
	}
	claimed, err := b.settle(ctx, scope, &by, news)
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

// settle compares news with our records and writes what follows, for who claims it, or for
// nobody in particular. It begins anew while other writes come between, and where a write
// had no answer, for then it may have happened.
func (b *Book) settle(ctx context.Context, scope table.Scope, by *claim, news News) (Claimed, error) {
	lost := 0
	for try := range mostTries {
		claimed, err := b.compare(ctx, scope, by, news)
		switch {
		case err == nil && lost > 0:
			claimed.owes = claimed.owes || claimed.owed
			return claimed, nil
		case errors.As(err, new(*unanswered)) && lost < mostLost:
			lost++
		case !errors.As(err, new(*table.Conflict)):
			return claimed, err
		}
		if b.Clock.Sleep(ctx, pause(try)) != nil {
			break
		}
	}
	return Claimed{}, fault.New(fault.Unavailable, "busy", "Too much happened to this customer at once; ask again.")
}

// compare is one try of settle. A *table.Conflict means that another write came between, and
// *unanswered that nobody knows whether its own happened.
func (b *Book) compare(ctx context.Context, scope table.Scope, by *claim, news News) (Claimed, error) {
	news, err := news.checked()
	if err != nil {
		return Claimed{}, err
	}
	was, news, err := b.read(ctx, scope, by, news)
	if err != nil {
		return Claimed{}, err
	}
	switch news.Sales[0].State {
	case Failed:
		if !was.revoke(news) {
			return b.unpaid(ctx, was, news)
		}
	case Pending:
		return b.unpaid(ctx, was, news)
	case Paid, Replaced, Refunded:
	}
	now := b.Clock.Now()
	is, err := b.decide(was, news, now)
	if err == nil && was.restoring {
		err = b.restore(&is, now)
	}
	if err != nil {
		return Claimed{}, err
	}
	if err := b.commit(ctx, is); err != nil {
		return Claimed{}, err
	}
	b.remind(ctx, is.forgotten)
	order := is.entries[is.answers()].is
	claimed := Claimed{Order: order, Customer: is.claimant, line: is.item.Key, owes: is.owes, owed: slices.ContainsFunc(is.line.Tokens, Held.owes)}
	switch {
	case by == nil:
		claimed.checkAt = is.line.CheckAt
	case order.State == OrderRefunded:
		return Claimed{}, invalid("The store says that this was refunded.")
	case order.Replaced:
		return Claimed{}, fault.New(fault.Invalid, "superseded_purchase", "Another purchase took the place of this one; send that.")
	}
	return claimed, nil
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
func (b *Book) unpaid(ctx context.Context, was state, news News) (Claimed, error) {
	if was.restoring {
		return Claimed{}, ownedByAnother()
	}
	asked, t := news.Sales[0], news.Token
	is := decision{state: was}
	is.entries = nil // no order changes
	if t != nil {
		is.line.Store, is.line.Line = asked.Store, asked.Line
		switch h, held := is.line.held(t.ID); {
		case asked.State == Failed && h.Pending:
			is.line = is.line.drop(t.ID)
		case asked.State == Pending && was.claimant != nil && !held:
			is.line = is.line.meet(*t, false, true)
			is.line.Owner = was.holder.Ref
			if was.giver != nil {
				is.line.Giver = was.giver.Ref
			}
		}
		is.line.CheckAt = is.line.checkAt(b.Clock.Now(), false)
		is.lineChanged = !reflect.DeepEqual(is.line.Tokens, was.line.Tokens)
		for _, c := range was.people {
			if is.lineChanged && !c.Exists() {
				is.touch(c)
			}
		}
		if !is.lineChanged {
			is.pointers = nil
		}
		if err := b.commit(ctx, is); err != nil {
			return Claimed{}, err
		}
	}
	if was.claimant == nil {
		return Claimed{checkAt: is.line.CheckAt}, nil // there is nothing more to write down before there was money
	}
	if asked.State == Failed {
		return Claimed{}, invalid("The store says that this was never paid.")
	}
	return Claimed{
		Order:    Order{ID: OrderID(asked.Store, asked.Order), Kind: OrderKind, Store: asked.Store, SKU: asked.SKU, State: OrderPending},
		Customer: was.claimant,
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
	for _, c := range is.people {
		if !is.touched[c.Ref] {
			continue
		}
		own, err := c.Writes(b.Clock.Now())
		if err != nil {
			return err
		}
		writes = append(own, writes...)
	}
	if len(writes) == 0 {
		return nil
	}
	if !is.lineChanged && is.item.Revision > 0 {
		// What its people have follows from the line, which was read before they were.
		writes = append(writes, table.Unchanged(is.item))
	}
	if err := b.Tables.Commit(ctx, writes...); err != nil {
		// Not whose: an order's id may be the proof of it.
		err = fmt.Errorf("purchase: writing an order of %s: %w", is.line.Store, err)
		if errors.Is(err, fault.Unavailable) {
			return &unanswered{err}
		}
		return err
	}
	return nil
}

// unanswered is a write of which nobody knows whether it happened.
type unanswered struct{ error }

// Unwrap is what came instead of the answer.
func (u *unanswered) Unwrap() error { return u.error }
