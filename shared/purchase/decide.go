package purchase

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"grantline/shared/abuse"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/wallet"
)

// decision is a state after news.
type decision struct {
	state
	lineChanged bool
	touched     map[string]bool          // customers that changed, by our id
	sheets      map[string]abuse.History // that changed, likewise
	owes        bool                     // the store is to be told of what was granted now
	forgotten   []Order                  // paid by the owner, and not in the catalog
}

// decide is what news make of a state. It reads nothing and writes nothing but the
// customers in memory.
func (b *Book) decide(was state, news News, now time.Time) (decision, error) {
	is := decision{state: was}
	is.entries = slices.Clone(was.entries)
	is.line.Store, is.line.Line = news.Sales[0].Store, news.Sales[0].Line
	over := false
	if t := news.Token; t != nil {
		is.line = is.line.meet(*t, was.recorded, false)
		h, _ := is.line.held(t.ID)
		over = h.Over
	}
	for i := range is.entries {
		e := &is.entries[i]
		e.is = e.was
		if i >= len(news.Sales) {
			if !over && !e.along {
				is.supersede(e, news)
			}
			continue
		}
		if over && e.sale.State != Refunded {
			if e.was.ID != "" && !e.was.Replaced {
				continue // it goes on until its end, by the word of what took its place
			}
			e.sale.State = Replaced
		}
		if e.sale.Told && e.was.ID != "" {
			if !news.standing(e.sale.Part).newer(was.line.part(e.sale.Part).Standing) {
				continue // later events are known
			}
			// A look that came between its hearing and now knows nothing of it.
			if !e.sale.AsOf.After(e.was.AsOf) {
				e.sale.AsOf = e.was.AsOf.Add(1)
			}
		}
		if e.was.ID != "" && (e.otherwisePaid() || e.was.Line != e.sale.Line || e.was.Part != e.sale.Part) {
			return decision{}, invalid("The store used the name of this purchase for another one.")
		}
		if !e.virtual() {
			e.sale.Returned = 0 // all of it
		}
		e.is, e.heard = e.was.hear(e.sale, now)
		if e.was.ID == "" && e.listed {
			// Known of one that is refunded before it was granted as well, for a line that has
			// nothing else says what it gave.
			e.is.Product, e.is.Entitlement = e.product.ID, e.product.Entitlement
		}
	}
	if !over {
		is.line = is.line.stand("", news.Standing)
		for part, s := range news.Parts {
			if news.Token != nil {
				s.Token = news.Token.ID
			}
			is.line = is.line.stand(part, s)
		}
	}

	if err := b.own(&is, now); err != nil {
		return decision{}, err
	}
	owner := is.line.Owner
	if err := is.sellable(len(news.Sales)); err != nil {
		return decision{}, err
	}
	for _, e := range is.entries {
		if t, ok := e.term(was.line); ok {
			if e.heard && news.Token != nil {
				t.Token = news.Token.ID
			}
			if e.heard && e.sale.Until.IsZero() && !e.sale.Ended {
				t = t.endsAsBefore(was.line)
			}
			is.line = is.line.hear(t)
		}
	}
	is.learn(news, now)
	for _, s := range news.Sales {
		if is.line.Since.IsZero() || s.AsOf.Before(is.line.Since) {
			is.line.Since = s.AsOf
		}
	}
	if b.follows(is.line.Store) {
		if !over {
			is.line.Again = is.again(news)
		}
		if len(is.forgotten) > 0 {
			is.line.Again = soonest(is.line.Again, now.Add(reviewLate))
		}
		is.line.CheckAt = is.line.checkAt(now, news.Unasked || is.undone())
	}
	if owner != "" {
		is.tellOrders(was.line.Owner == "" || len(was.line.Terms) == 0, now)
		is.judge(b.Abuse, now)
		for _, part := range is.line.parts() {
			// What was never said before is no change of mind.
			is.tellLine(part, was.line.part(part).first().Renewing, now)
		}
		// A customer to be is not robbed of what its token will name it for.
		if account := news.Sales[0].Account; account != "" && was.bound == "" && !was.restoring && (is.claiming() || news.Token == nil) && !customer.Derived(is.line.Store, account) {
			is.payer().Bind(is.line.Store, account)
			is.touch(is.payer())
		}
	}
	is.lineChanged = is.item.Revision == 0 || !reflect.DeepEqual(is.line, was.line)
	return is, nil
}

// own gives what was paid for and is nobody's to whom it belongs.
func (b *Book) own(is *decision, now time.Time) error {
	owner, claimed := is.owner, is.claiming()
	if claimed && owner == "" && is.entries[0].is.claimable() {
		owner = is.holder.Ref
	}
	if owner != "" && is.untouched() && b.tooManyTests(*is, now) {
		if claimed {
			return fault.New(fault.Denied, "test_purchases_refused", "No more purchases without money are granted to this customer today.")
		}
		owner = "" // it waits for its claim
	}
	refused := func(e entry) bool { return false }
	if owner != "" && is.grants() && b.refuses(is, now) {
		refused = func(e entry) bool {
			return e.is.State == OrderUnclaimed && e.listed && e.product.Kind == catalog.Consumable
		}
		if claimed && refused(is.entries[0]) {
			return fault.New(fault.Denied, "refused_by_policy", "No more of this is granted to this customer.")
		}
		if is.untouched() && !slices.ContainsFunc(is.entries, func(e entry) bool { return !refused(e) }) {
			owner = ""
		}
	}
	is.line.Owner = owner
	switch {
	case owner == "":
		is.line.Giver, is.line.Shared = "", nil
	case is.giver != nil && is.line.Giver == "":
		is.line.Giver = is.giver.Ref
	}
	for i := range is.entries {
		e := &is.entries[i]
		switch {
		case owner != "" && e.is.Customer != "" && len(is.line.Moves) > 0 && !is.holder.Is(e.is.Customer):
			e.is.Customer = owner // the line went on without it
		case owner == "" || e.is.State != OrderUnclaimed || e.along || refused(*e):
		case e.listed:
			e.is = e.is.own(owner, e.product, now)
			e.is.Giver = is.line.Giver
		case !e.is.Replaced: // which would give nothing
			is.forgotten = append(is.forgotten, e.is)
		}
	}
	return nil
}

// undone says whether a refund is none after all. That is rare, and an answer that is behind
// what was told says it as well, so it is asked again soon.
func (is *decision) undone() bool {
	return slices.ContainsFunc(is.entries, func(e entry) bool { return e.heard && e.is.Returned < e.was.Returned })
}

// again is when the store is to be asked at the latest. A word that is older than what is known,
// such as one that was asked for at the same time by a clock that is behind, puts nothing off
// and ends nothing: it may bring nearer what the newer word asked for.
func (is *decision) again(news News) time.Time {
	if e := is.entries[0]; e.was.ID != "" && e.sale.AsOf.Before(e.was.AsOf) {
		return soonest(is.line.Again, news.Again)
	}
	return news.Again
}

// supersede gives up what was sold with a token whose place another took, unless that was
// to go on until its end. Entries without news are the line's, and of those this is about
// the ones that count.
func (is *decision) supersede(e *entry, news News) {
	at := slices.IndexFunc(is.line.Terms, func(t Term) bool { return t.Order == e.was.ID })
	if at < 0 || news.Token == nil || e.was.ID == "" {
		return
	}
	t := is.line.Terms[at]
	if h, known := is.line.held(t.Token); t.State != Paid || known && !h.Over || slices.Contains(news.Keeps, t.Part) {
		return
	}
	// It stays as old as it was, for what its own token says of it meanwhile, a refund, is news.
	e.is.Replaced, e.gaveWay = true, true
}

// learn takes over what the store is to be told about the token of the news.
func (is *decision) learn(news News, now time.Time) {
	if news.Token == nil {
		return
	}
	granted, all, consume := false, true, []string(nil)
	for i := range news.Sales {
		e := is.entries[i]
		mine := e.is.Customer != "" && e.is.State == OrderGranted
		granted = granted || mine
		once := e.product.Kind == catalog.Consumable || e.product.Kind == catalog.NonRenewing
		if mine && once && e.sale.Unconsumed {
			consume = append(consume, e.sale.Part)
		} else {
			all = false
		}
	}
	is.line, is.owes = is.line.learn(*news.Token, news.Sales[0].AsOf, granted, consume, all, now)
}

// grants says whether an owner would be given anything.
func (is decision) grants() bool {
	return slices.ContainsFunc(is.entries, func(e entry) bool { return e.is.State == OrderUnclaimed })
}

// untouched says that nothing of the line was granted to anybody. It may have an owner all
// the same, whose its refunded sales would have been.
func (is decision) untouched() bool {
	granted := func(t Term) bool {
		return !slices.ContainsFunc(is.entries, func(e entry) bool { return e.was.ID == t.Order && e.was.Customer == "" })
	}
	return is.line.Owner == "" || !slices.ContainsFunc(is.line.Terms, granted)
}

// tooManyTests counts a line without money that a production project would grant something
// of for the first time.
func (b *Book) tooManyTests(is decision, now time.Time) bool {
	return is.entries[0].is.Test && is.grants() && is.scope.Environment == "production" && is.payer().CountTest(now) > b.TestsPerDay
}

// otherwisePaid says whether news are about a sale that was a test, and the one that is known was
// not, or the other way round. Of what was given back a store may not say that it was a test.
func (e entry) otherwisePaid() bool {
	return e.was.Test != e.sale.Test && !(e.was.Test && e.sale.State == Refunded)
}

// virtual says whether what was sold is, or may be, virtual currency, which alone can be
// taken back in part.
func (e entry) virtual() bool {
	if e.was.Customer != "" {
		return e.was.Credited > 0
	}
	return !e.listed || e.product.Kind == catalog.Consumable
}

// term is what an entry gives its line now, false if that is nothing new. One that only
// came to be somebody's keeps what the line knew of it, for a sale that was no news is
// older than that; what the line has forgotten it needs no more.
func (e entry) term(line Record) (Term, bool) {
	if e.heard {
		return e.is.term(e.sale), true
	}
	at := slices.IndexFunc(line.Terms, func(t Term) bool { return t.Order == e.was.ID })
	if at < 0 || e.is == e.was {
		return Term{}, false
	}
	t := line.Terms[at]
	t.Entitlement, t.End = e.is.Entitlement, e.is.Until
	if e.gaveWay {
		t.State = Replaced
	}
	return t, true
}

// tellOrders brings the holder up to date with each order, and tells of what changed,
// the oldest purchase first.
func (is *decision) tellOrders(fresh bool, now time.Time) {
	inTurn := make([]*entry, len(is.entries))
	for i := range is.entries {
		inTurn[i] = &is.entries[i]
	}
	slices.SortStableFunc(inTurn, func(a, b *entry) int {
		return cmp.Or(a.is.PurchasedAt.Compare(b.is.PurchasedAt), cmp.Compare(a.is.ID, b.is.ID))
	})
	for _, e := range inTurn {
		if e.is.Customer == "" {
			continue
		}
		is.note(*e, now)
		moved := is.move(e, now)
		kind := e.kind()
		if kind == event.PurchaseGranted && !fresh {
			kind = is.renewal(e, is.before(e.is.Part))
		}
		if kind == event.PurchaseExtended && is.recovered(e, now) {
			kind = event.PurchaseRecovered
		}
		if kind == "" {
			continue
		}
		if kind == event.PurchaseGranted && e.product.Kind == catalog.Subscription {
			fresh = false // what follows in the line renews it
		}
		tell := event.Event{
			Type: kind, At: now, OrderID: e.is.ID, Store: e.is.Store, ProductID: e.is.SKU, Entitlement: e.is.Entitlement, Test: e.is.Test,
		}
		if e.was.Customer == "" && !is.given() && !e.is.Family { // whose money it was
			tell.Amount, tell.Currency = e.is.Price, e.is.PriceIn
		}
		if is.given() {
			tell.Other = is.giver.Ref
		}
		if end := e.is.Until; !end.IsZero() && e.is.State == OrderGranted {
			tell.ExpiresAt = &end
		}
		if e.is.Currency != "" {
			balance := is.holder.Wallets()[e.is.Currency].Balance(now)
			tell.WalletCurrency, tell.Credited, tell.Balance = e.is.Currency, moved, &balance
		}
		is.holder.Tell(tell)
		is.touch(is.holder)
		is.tellGiver(e, kind, now)
	}
}

// kind is the event that an order's change is, "" if it is none.
func (e entry) kind() event.Type {
	was, is := e.was, e.is
	switch {
	case was.Customer == "":
		if is.Replaced {
			return "" // what took its place is told of
		}
		return event.PurchaseGranted
	case is.Returned > was.Returned && is.Family:
		return event.PurchaseRevoked
	case is.Returned > was.Returned:
		return event.PurchaseRefunded
	case is.Returned < was.Returned:
		return event.PurchaseRestored
	case is.State == OrderGranted && is.Until.After(was.Until) && !was.Until.IsZero():
		return event.PurchaseExtended
	}
	return ""
}

// renewal says what kind of a later sale of a line it is.
func (is *decision) renewal(e *entry, before entitlement.Source) event.Type {
	replaces := slices.ContainsFunc(is.entries, func(o entry) bool { return o.gaveWay })
	switch {
	case is.line.part(e.is.Part).first().Order != e.is.ID:
	case before.State == entitlement.Grace || before.State == entitlement.OnHold:
		return event.PurchaseRecovered
	case before.ProductID != "" && before.ProductID != e.is.SKU, before.ProductID == "" && replaces:
		return event.PurchaseChanged
	case before.ProductID == "" && e.is.Part != "":
		return event.PurchaseGranted // another part of it
	}
	return event.PurchaseRenewed
}

// recovered says whether an order whose end was moved had not been paid for before, at a store
// that renews under the same order.
func (is *decision) recovered(e *entry, now time.Time) bool {
	was := is.before(e.is.Part).State
	return (was == entitlement.Grace || was == entitlement.OnHold) && is.line.part(e.is.Part).source(now).State == entitlement.Active
}

// move credits or takes back what an order gives of a wallet's currency, and returns how
// much that was.
func (is *decision) move(e *entry, now time.Time) int64 {
	o := &e.is
	if o.Credited == 0 {
		return 0
	}
	lot := wallet.Lot{OrderID: o.ID, Kind: wallet.Paid, Granted: o.Credited, CameAt: o.GrantedAt, Test: o.Test}
	moved := int64(0)
	// What ended is booked before what comes, so that each event's balance is the ledger's.
	held := func() wallet.Wallet {
		is.holder.ExpireLots(o.Currency, now)
		return is.holder.Wallets()[o.Currency]
	}
	change := func(w wallet.Wallet, entry wallet.Entry) {
		is.holder.SetWallet(o.Currency, w, entry)
		moved += entry.Amount
		is.touch(is.holder)
	}
	if e.was.Customer == "" {
		change(held().Credit(lot))
	}
	if back := o.back() - o.TakenBack; back > 0 {
		change(held().TakeBack(o.ID, back))
	} else if back < 0 {
		change(held().GiveBack(lot, -back))
	}
	o.TakenBack = o.back()
	return moved
}

// before is what the holder last knew of a part of the line, the zero Source if nothing.
func (is *decision) before(part string) entitlement.Source { return is.knows(is.holder, part) }

// knows is what a customer has of a part of the line.
func (is *decision) knows(c *customer.Customer, part string) entitlement.Source {
	for _, s := range c.Sources() {
		if s.Kind == entitlement.KindPurchase && s.Provider == is.line.Store && s.Ref == is.line.ref(part) {
			return s
		}
	}
	return entitlement.Source{}
}

// tellLine brings the holder, and who shares it, up to date with a part of the line; renewing says whether the
// store had told of its renewals before.
func (is *decision) tellLine(part string, renewing bool, now time.Time) {
	line := is.line.part(part)
	before, after := is.before(part), line.source(now)
	over := line.over(now)
	if after.Entitlement == "" && before.OrderID == "" {
		return // virtual currency opens nothing
	}
	tell := func(kind event.Type, product string) {
		e := event.Event{
			Type: kind, At: now, OrderID: after.OrderID, Store: after.Provider, ProductID: product, Entitlement: after.Entitlement, Test: after.Test,
		}
		if end := after.Until; !end.IsZero() {
			e.ExpiresAt = &end
		}
		is.holder.Tell(e)
		is.touch(is.holder)
	}
	same := before.OrderID == after.OrderID && after.State != entitlement.Ended
	switch {
	case before.OrderID == "" || over:
	case after.State == entitlement.Grace && before.State != entitlement.Grace:
		tell(event.PurchaseGrace, after.ProductID)
	case after.State == entitlement.OnHold && before.State != entitlement.OnHold:
		tell(event.PurchaseOnHold, after.ProductID)
	case same && before.WillRenew && !after.WillRenew:
		tell(event.PurchaseEnding, after.ProductID)
	case same && !before.WillRenew && after.WillRenew && renewing:
		tell(event.PurchaseResumed, after.ProductID)
	}
	if after.Next != "" && after.Next != before.Next {
		tell(event.PurchasePlanned, after.Next)
	}
	if over && !line.Over {
		tell(event.PurchaseExpired, after.ProductID)
	}
	is.line = is.line.tell(part, over)
	if after != before {
		is.holder.Replace(after)
		is.touch(is.holder)
	}
	for _, c := range is.sharers() {
		is.lend(c, part, after)
	}
}
