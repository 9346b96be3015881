package selling

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"grantline/shared/simulate/shop"
	"grantline/shared/table"
)

// The records as they are written, as far as they are watched.
type orderRecord struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	Customer    string    `json:"customer"`
	Giver       string    `json:"giver"`
	Store       string    `json:"store"`
	Line        string    `json:"line"`
	SKU         string    `json:"sku"`
	State       string    `json:"state"`
	Replaced    bool      `json:"replaced"`
	Returned    int64     `json:"returned"`
	Quantity    int64     `json:"quantity"`
	Back        int64     `json:"back"`
	Credited    int64     `json:"credited"`
	TakenBack   int64     `json:"takenBack"`
	GrantedAt   time.Time `json:"grantedAt"`
	AsOf        time.Time `json:"asOf"`
	Entitlement string    `json:"entitlement"`
}

type lineRecord struct {
	Store string `json:"store"`
	Line  string `json:"line"`
	Owner string `json:"owner"`
	Root  string `json:"root"`

	Giver  string   `json:"giver"`
	Shared []string `json:"shared"`
	Moves  []struct {
		At time.Time `json:"at"`
	} `json:"moves"`
	Standing standing `json:"standing"`
	Parts    []struct {
		Name     string   `json:"name"`
		Standing standing `json:"standing"`
	} `json:"parts"`
}

type standing struct {
	AsOf  time.Time `json:"asOf"`
	Token string    `json:"token"`
}

type headRecord struct {
	Sequence int64    `json:"sequence"`
	Sources  []source `json:"sources"`
	Into     string   `json:"into"`
}

type walletRecord struct {
	Lots []lot `json:"lots"`
	Debt int64 `json:"debt"`
}

type eventRecord struct {
	Sequence  int64     `json:"sequence"`
	Type      string    `json:"type"`
	At        time.Time `json:"at"`
	OrderID   string    `json:"orderId"`
	Reference string    `json:"reference"`
	Other     string    `json:"otherReference"`
	Changes   struct {
		Sources []source   `json:"sources"`
		Gone    []source   `json:"gone"`
		Wallet  []movement `json:"wallet"`
	} `json:"changes"`
}

type movement struct {
	Currency string `json:"currency"`
	Entry    struct {
		Kind    string `json:"kind"`
		Amount  int64  `json:"amount"`
		Balance int64  `json:"balance"`
		Debt    int64  `json:"debt"`
		Parts   []struct {
			Lot    lot   `json:"lot"`
			Amount int64 `json:"amount"`
		} `json:"parts"`
	} `json:"entry"`
}

type spendRecord struct {
	Reference string `json:"reference"`
	Amount    int64  `json:"amount"`
	Refunded  int64  `json:"refunded"`
}

// order is what the last commits made of an order of ours.
type order struct {
	record orderRecord
	ought  int64 // what it adds to its customer's account
}

const (
	headSort   = "#head"
	walletSort = "#wallet#"
	eventSort  = "event#"
	spendSort  = "spend#"
	backSort   = "unspend#"
	creditSort = "credit#"
)

// prefix begins each key's partition.
var prefix = table.Default.Key("")

func (q *Quarter) read(item table.Item, into any) {
	if err := json.Unmarshal(item.Data, into); err != nil {
		q.fail("what is written can be read", "%v: %v", item.Key, err)
	}
}

// committed holds a commit against all that is known.
func (q *Quarter) committed(writes []table.Write) {
	var touched []*account
	for i := range writes { // whose what is first
		if w := &writes[i]; w.Item.Key.Table == table.Purchases && w.Change != table.Check && w.Change != table.Remove {
			q.lineWritten(w.Item)
		}
	}
	for i := range writes {
		w := &writes[i]
		if w.Change == table.Check {
			continue
		}
		switch w.Item.Key.Table {
		case table.Orders:
			if w.Change != table.Remove {
				touched = q.orderWritten(touched, w.Item)
			}
		case table.Customers:
			touched = q.customerWritten(touched, w)
		case table.Purchases, table.Subscriptions, table.Notices, table.Endpoints:
		}
	}
	for _, a := range touched {
		q.balanced(a, writes)
	}
}

func touch(touched []*account, a *account) []*account {
	if slices.Contains(touched, a) {
		return touched
	}
	return append(touched, a)
}

// soldAs is the store's own word of an order of our book.
func (q *Quarter) soldAs(r *orderRecord) *shop.Order {
	return q.shops.Order(r.Store, strings.TrimPrefix(r.ID, r.Store+"_"))
}

// orderWritten holds an order against the store's truth.
func (q *Quarter) orderWritten(touched []*account, item table.Item) []*account {
	if !strings.Contains(item.Key.Partition, "apple_") && !strings.Contains(item.Key.Partition, "play_") && !strings.Contains(item.Key.Partition, "appsintoss_") {
		return touched // a charge's
	}
	var is order
	r := &is.record
	if q.read(item, r); r.Kind != "purchase" {
		return touched
	}
	was := q.orders[r.ID]
	if was == nil {
		was = &order{}
		q.orders[r.ID] = was
	}
	sold := q.soldAs(r)
	switch {
	case sold == nil:
		q.fail("no grant without a purchase", "%s is written and was never sold", r.ID)
		return touched
	case sold.SKU != r.SKU, int64(sold.Quantity) != r.Quantity:
		q.fail("no grant without a purchase", "%s is of %d %s, and %d %s were sold", r.ID, r.Quantity, r.SKU, sold.Quantity, sold.SKU)
	case r.Credited > sold.Product.Amount*int64(sold.Quantity):
		q.fail("a store sale is granted at most once", "%s gives %d of %d", r.ID, r.Credited, sold.Product.Amount*int64(sold.Quantity))
	case (r.Returned > 0 || r.Back > 0) && sold.ReturnedAt.IsZero():
		q.fail("an outage revokes nothing", "%s is taken back, and the store gave nothing back", r.ID)
	case r.Replaced && !sold.Replaced && !sold.Succeeded:
		q.fail("an outage revokes nothing", "%s is given up, and nothing took its place", r.ID)
	case r.TakenBack != takenBack(r):
		q.fail("granted sales are the store's sales less refunds", "%s had %d of %d taken back, want %d", r.ID, r.TakenBack, r.Credited, takenBack(r))
	case was.record.Customer != "" && !q.books.same(was.record.Customer, r.Customer) && !q.wentAlong(r):
		q.fail("a claim by another never moves a purchase", "%s goes from %s to %s", r.ID, was.record.Customer, r.Customer)
	case r.AsOf.Before(was.record.AsOf):
		q.fail("the newest word counts", "%s is as of %v, and was of %v", r.ID, r.AsOf, was.record.AsOf)
	case r.State == "granted" && r.Customer == "", r.State == "unclaimed" && r.Customer != "":
		q.fail("no grant without a purchase", "%s is %s, of customer %q", r.ID, r.State, r.Customer)
	}
	if was.record.Customer == "" && r.Customer != "" {
		q.Granted++
		q.w.Tell("book", "grants", r.ID)
	}
	if r.Returned > was.record.Returned {
		q.Returned++
		q.w.Tell("book", "takes back", r.ID)
	}
	if r.Customer == "" {
		was.record = *r
		return touched
	}
	a := q.books.one(r.Customer)
	ought := r.Credited - r.TakenBack
	a.ought += ought - was.ought
	was.record, was.ought = *r, ought
	return touch(touched, a)
}

// takenBack is how much of what an order gave belongs back, by what was returned of it.
func takenBack(r *orderRecord) int64 {
	if r.Back > 0 && r.Quantity > 0 {
		return r.Credited / r.Quantity * min(r.Back, r.Quantity)
	}
	return (r.Credited*r.Returned + 50_000) / 100_000
}

// lineWritten holds a line against who came for it.
func (q *Quarter) lineWritten(item table.Item) {
	var r lineRecord
	if q.read(item, &r); r.Root != "" {
		return
	}
	key := r.Store + "#" + r.Line
	t := q.byLine[key]
	if t == nil {
		q.fail("no grant without a purchase", "a line %s of %s is written that was never sold", r.Line, r.Store)
		return
	}
	q.goesTo(t, key, &r)
	q.stood(t, key, "", r.Standing)
	for _, p := range r.Parts {
		q.stood(t, key, p.Name, p.Standing)
	}
}

// stood holds how a line goes on against what was known of that. What another token said, whose
// place this one took, is over with it.
func (q *Quarter) stood(t *thing, key, part string, is standing) {
	if was := t.standings[part]; is.Token == was.Token && is.AsOf.Before(was.AsOf) {
		q.fail("the newest word counts", "%s stands as of %v, and did as of %v", key, is.AsOf, was.AsOf)
	}
	if t.standings == nil {
		t.standings = map[string]standing{}
	}
	t.standings[part] = is
}

// owned holds a line's first owner against who may be one: whom the store names, or who came.
func (q *Quarter) owned(t *thing, r lineRecord) {
	named := ""
	switch {
	case t.account == "":
	case !t.foreign:
		named = q.ref(t.buyer.id)
	default: // whoever came first with anything that has it
		for _, o := range q.things {
			owner := q.holdingOf(o).owner
			if o.account != t.account || owner == "" {
				continue
			}
			if named = owner; o.giftTo != nil && q.books.same(q.ref(o.giftTo.id), owner) {
				named = q.ref(o.buyer.id) // who paid
			}
			break
		}
	}
	mine := named != "" && q.books.same(named, r.Owner)
	gift := t.giftTo != nil && q.books.same(q.ref(t.giftTo.id), r.Owner)
	if named != "" && !mine && !gift {
		q.fail("what names a customer is that customer's", "%s of %s goes to %s, and names %s", t.what(), t.store, r.Owner, named)
	}
	came := slices.ContainsFunc(t.asked, func(ref string) bool { return q.books.same(ref, r.Owner) })
	if !mine && !came {
		q.fail("no grant without a purchase", "%s of %s goes to %s, who never came for it", t.what(), t.store, r.Owner)
	}
}

// customerWritten holds one item of a customer's against its books.
func (q *Quarter) customerWritten(touched []*account, w *table.Write) []*account {
	key := w.Item.Key
	sort := key.Sort
	if w.Change == table.Remove || sort == "alias" || sort == "#profile" || sort == "#conduct" {
		return touched
	}
	ref, ok := strings.CutPrefix(key.Partition, prefix)
	if !ok {
		return touched
	}
	a := q.books.of(ref)
	switch {
	case sort == headSort:
		var r headRecord
		q.read(w.Item, &r)
		if a.heads = r.Sequence; r.Into != "" {
			q.books.join(ref, r.Into)
		}
		q.sourced(a, &r)
	case strings.HasPrefix(sort, walletSort):
		var r walletRecord
		q.read(w.Item, &r)
		q.walletWritten(a, &r)
	case strings.HasPrefix(sort, eventSort):
		var r eventRecord
		q.read(w.Item, &r)
		q.eventWritten(a, &r, w.Change)
	case strings.HasPrefix(sort, spendSort):
		q.spendWritten(a, w.Item)
	case strings.HasPrefix(sort, backSort):
		var r spendRecord
		if q.read(w.Item, &r); q.books.unspends[r.Reference] {
			q.fail("spends: exactly once per reference", "%s gives back twice", r.Reference)
		}
		q.books.unspends[r.Reference] = true
	case strings.HasPrefix(sort, creditSort):
		var r spendRecord
		q.read(w.Item, &r)
		if name := "credit_" + r.Reference; q.books.credits[name] == "" {
			q.books.one(ref).ought += r.Amount
			q.books.credits[name] = ref
		} else {
			q.fail("spends: exactly once per reference", "%s is given twice", r.Reference)
		}
	default:
		return touched
	}
	return touch(touched, q.books.one(ref))
}

func (q *Quarter) spendWritten(a *account, item table.Item) {
	var r spendRecord
	q.read(item, &r)
	one, s := q.books.one(a.ref), q.books.spends[r.Reference]
	switch {
	case s == nil:
		s = &spending{amount: r.Amount}
		q.books.spends[r.Reference] = s
		one.ought -= r.Amount
		q.Spends++
	case s.amount != r.Amount || item.Revision == 0:
		q.fail("spends: exactly once per reference", "%s spends %d, and then %d", r.Reference, s.amount, r.Amount)
	}
	if r.Refunded > r.Amount || r.Refunded < s.refunded {
		q.fail("no more is given back of a spend than was spent", "%s: %d of %d, after %d", r.Reference, r.Refunded, r.Amount, s.refunded)
	}
	one.ought += r.Refunded - s.refunded
	s.refunded = r.Refunded
}

// walletWritten takes over what a wallet holds.
func (q *Quarter) walletWritten(a *account, r *walletRecord) {
	held := -r.Debt
	for _, l := range r.Lots {
		if l.Remaining <= 0 || l.Remaining > l.Granted {
			q.fail("the balance is the sum of the lots less debt", "%s: lot %s has %d of %d", a.ref, l.Order, l.Remaining, l.Granted)
		}
		held += l.Remaining
	}
	if r.Debt < 0 {
		q.fail("the balance is the sum of the lots less debt", "%s owes %d", a.ref, r.Debt)
	}
	q.books.one(a.ref).held += held - a.wallet
	a.wallet = held
}

// sourced holds what a customer has against what its events say.
func (q *Quarter) sourced(a *account, r *headRecord) { a.want = r.Sources }

// balanced holds an account against itself once all of a commit is known.
func (q *Quarter) balanced(a *account, writes []table.Write) {
	for a.into != nil {
		a = a.into
	}
	if a.ought != a.held {
		q.fail("lots are orders less refunds, spends and ends", "%s holds %d, and should %d", a.ref, a.held, a.ought)
	}
	for i := range writes {
		key := writes[i].Item.Key
		if key.Table != table.Customers || key.Sort != headSort || writes[i].Change == table.Remove || writes[i].Change == table.Check {
			continue
		}
		one := q.books.of(strings.TrimPrefix(key.Partition, prefix))
		if one.heads != one.last {
			q.fail("events of a customer are numbered without gaps", "%s: the head says %d after event %d", one.ref, one.heads, one.last)
		}
		for _, s := range one.want {
			if !slices.ContainsFunc(one.sources, s.says) {
				q.fail("the events make the state again", "%s has %+v, and its events say %+v", one.ref, s, one.sources)
			}
		}
		if len(one.want) != len(one.sources) {
			q.fail("the events make the state again", "%s has %d sources, and its events say %d", one.ref, len(one.want), len(one.sources))
		}
		booked := -one.debt
		for _, l := range one.lots {
			booked += l.Remaining
		}
		if booked != one.wallet {
			q.fail("lots are orders less refunds, spends and ends", "%s: the wallet holds %d, and the ledger comes to %d", one.ref, one.wallet, booked)
		}
	}
}
