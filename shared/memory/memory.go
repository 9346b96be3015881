// Package memory keeps tables in memory, for tests, the simulation and benchmarks. It
// keeps the whole contract of the port table, is strictly consistent, and forgets
// everything with the process. Its one idea is that a fake should behave, and object:
// it can fail on demand, having done nothing or having done everything and lost the
// answer, and it panics at what only a bug in the caller can ask for.
package memory

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// Tables implements table.Tables. It is safe for use by many goroutines.
type Tables struct {
	// Fail, if set, is asked before each operation; set it before the first. It runs
	// without a lock, so that it may look at the tables or wait for another operation.
	//
	// A nil error lets the operation go on. Otherwise the caller gets that error, and
	// apply says whether the operation is carried out all the same: (false, err) is a
	// request that was lost, (true, err) an answer that was. It should be of kind
	// fault.Unavailable, since nothing else can truthfully be said about either.
	Fail func(op Op) (apply bool, err error)
	// Lag, if set, is told each time that an item's entry in its table's index is behind the
	// item. The entry stays as it was until show is called, which brings it up to date with
	// whatever the item is by then: an index is eventually consistent, and how late it is
	// shall be its caller's choice. It runs inside the Commit and must not use the tables.
	Lag func(key table.Key, show func())

	// Trust leaves out the check of what items contain, which costs more than all the rest:
	// for runs of millions of writes by what is tested without it.
	Trust bool
	// Changed, if set, is told what stood under a key before a write of it was made, nil if
	// nothing did. What it is told is what was stored: it may keep it, and must not change it.
	// It runs inside the Commit and must not use the tables.
	Changed func(key table.Key, was *table.Item)

	mu      sync.RWMutex
	records map[table.Key]*record
	shelves map[shelf][]place
}

var _ table.Tables = (*Tables)(nil)

// Op is an operation that is about to happen.
type Op struct {
	Method string        // the method of table.Tables: Get, Glance, GetAll, Query, Commit; or Walk
	Keys   []table.Key   // what Get, Glance and GetAll read and Commit writes, in order
	Writes []table.Write // of a Commit; not to be changed
	Query  table.Query   // of a Query; of a Walk its table, limit and cursor
}

// Touches reports whether the operation reads or writes anything in t.
func (o Op) Touches(t table.Table) bool {
	return o.Query.Table == t || slices.ContainsFunc(o.Keys, func(k table.Key) bool { return k.Table == t })
}

// record is what there is of a key. What it points to is never changed, only replaced.
type record struct {
	item  *table.Item  // nil: removed, and the index does not know it yet
	entry *table.Index // in the index, as a query of it sees it; nil: none
}

// shelf is one sorted partition: of a table with a sort key, or of a table's index.
type shelf struct {
	table     table.Table
	indexed   bool
	partition string
}

// place is where an item stands on a shelf. Items with the same sort key in an index
// stand in the order of their own keys.
type place struct {
	sort string
	key  table.Key
	of   *record
}

func (p place) compare(q place) int {
	if c := strings.Compare(p.sort, q.sort); c != 0 {
		return c
	}
	return compareKeys(p.key, q.key)
}

func compareKeys(a, b table.Key) int {
	if c := strings.Compare(a.Partition, b.Partition); c != 0 {
		return c
	}
	return strings.Compare(a.Sort, b.Sort)
}

// New makes empty tables.
func New() *Tables {
	return &Tables{records: map[table.Key]*record{}, shelves: map[shelf][]place{}}
}

// Items returns everything that is in a table, ordered by key, for tests that count.
func (t *Tables) Items(name table.Table) []table.Item {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var all []table.Item
	for k, r := range t.records {
		if k.Table == name && r.item != nil {
			all = append(all, Copy(*r.item))
		}
	}
	slices.SortFunc(all, func(a, b table.Item) int { return compareKeys(a.Key, b.Key) })
	return all
}

// Get reads one item.
func (t *Tables) Get(ctx context.Context, k table.Key) (table.Item, error) {
	return t.one(ctx, "Get", k)
}

// Glance reads one item; here nothing ever lags behind.
func (t *Tables) Glance(ctx context.Context, k table.Key) (table.Item, error) {
	return t.one(ctx, "Glance", k)
}

func (t *Tables) one(ctx context.Context, method string, k table.Key) (table.Item, error) {
	objectToKey(k)
	if _, err := t.ask(ctx, func() Op { return Op{Method: method, Keys: []table.Key{k}} }); err != nil {
		return table.Item{}, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	r := t.records[k]
	if r == nil || r.item == nil {
		return table.Item{}, fault.New(fault.NotFound, "item_not_found", "There is no such item in %s.", k.Table)
	}
	return Copy(*r.item), nil
}

// GetAll reads up to 1,000 items; a key that is given twice is answered twice.
func (t *Tables) GetAll(ctx context.Context, keys []table.Key) ([]table.Item, error) {
	if len(keys) > maxKeys {
		object("GetAll of %d keys; %d are the most", len(keys), maxKeys)
	}
	for _, k := range keys {
		objectToKey(k)
	}
	if _, err := t.ask(ctx, func() Op { return Op{Method: "GetAll", Keys: slices.Clone(keys)} }); err != nil {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	var found []table.Item
	for n, k := range keys {
		if r := t.records[k]; r != nil && r.item != nil {
			if found == nil {
				found = make([]table.Item, 0, len(keys)-n)
			}
			found = append(found, Copy(*r.item))
		}
	}
	return found, nil
}

// Commit makes the writes happen together or not at all.
func (t *Tables) Commit(ctx context.Context, writes ...table.Write) error {
	objectToWrites(writes, t.Trust)
	apply, err := t.ask(ctx, func() Op {
		op := Op{Method: "Commit", Writes: writes}
		for _, w := range writes {
			op.Keys = append(op.Keys, w.Item.Key)
		}
		return op
	})
	if err == nil {
		return t.commit(writes)
	}
	if apply {
		_ = t.commit(writes) // the caller never hears how it went
	}
	return err
}

// ask is whether an operation is carried out, and what its caller hears instead of an answer,
// if that is not nil: ctx has ended, or Fail has other plans.
func (t *Tables) ask(ctx context.Context, op func() Op) (apply bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.").Because(err)
	}
	if t.Fail == nil {
		return true, nil
	}
	return t.Fail(op())
}

func (t *Tables) commit(writes []table.Write) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.conflict(writes); c != nil {
		return c
	}
	for _, w := range writes {
		t.apply(w)
	}
	return nil
}

func (t *Tables) conflict(writes []table.Write) error {
	var found []*table.Item
	for n, w := range writes {
		// An absent item has revision 0, which is what an Insert expects.
		var is table.Item
		if r := t.records[w.Item.Key]; r != nil && r.item != nil {
			is = *r.item
		}
		if is.Revision == w.Item.Revision {
			continue
		}
		if found == nil {
			found = make([]*table.Item, len(writes))
		}
		if is.Revision != 0 {
			in := Copy(is)
			found[n] = &in
		}
	}
	if found == nil {
		return nil
	}
	return &table.Conflict{Found: found}
}

func (t *Tables) apply(w table.Write) {
	if w.Change == table.Check {
		return
	}
	k := w.Item.Key
	r := t.records[k]
	if r == nil {
		r = &record{}
		t.records[k] = r
	}
	was := r.item
	if w.Change == table.Remove {
		r.item = nil
	} else {
		i := Copy(w.Item)
		i.Revision++
		if !i.Expires.IsZero() {
			i.Expires = time.Unix(i.Expires.Unix(), 0).UTC()
		}
		r.item = &i
	}
	if t.Changed != nil {
		t.Changed(k, was)
	}
	if k.Table.Sorted() && (r.item == nil) != (was == nil) {
		t.place(shelf{k.Table, false, k.Partition}, place{k.Sort, k, r}, r.item != nil)
	}
	if r.shown() {
		t.tidy(k, r)
		return
	}
	if t.Lag == nil {
		t.show(k)
		return
	}
	t.Lag(k, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.show(k)
	})
}

// shown says whether the index has an item's entry as the item has it.
func (r *record) shown() bool {
	if r.item == nil || r.item.Index == nil {
		return r.entry == nil
	}
	return r.entry != nil && *r.entry == *r.item.Index
}

// show brings an item's entry in the index up to date with the item.
func (t *Tables) show(k table.Key) {
	r := t.records[k]
	if r == nil {
		return
	}
	if r.entry != nil {
		t.place(shelf{k.Table, true, r.entry.Partition}, place{r.entry.Sort, k, r}, false)
		r.entry = nil
	}
	if r.item != nil && r.item.Index != nil {
		r.entry = r.item.Index
		t.place(shelf{k.Table, true, r.entry.Partition}, place{r.entry.Sort, k, r}, true)
	}
	t.tidy(k, r)
}

// tidy forgets a key of which there is nothing.
func (t *Tables) tidy(k table.Key, r *record) {
	if r.item == nil && r.entry == nil {
		delete(t.records, k)
	}
}

// place puts something on a shelf, or takes it off.
func (t *Tables) place(s shelf, p place, on bool) {
	if on {
		t.shelves[s] = with(t.shelves[s], p)
		return
	}
	if t.shelves[s] = without(t.shelves[s], p); len(t.shelves[s]) == 0 {
		delete(t.shelves, s)
	}
}

func with(on []place, p place) []place {
	at, _ := slices.BinarySearchFunc(on, p, place.compare)
	return slices.Insert(on, at, p)
}

func without(on []place, p place) []place {
	at, ok := slices.BinarySearchFunc(on, p, place.compare)
	if !ok {
		return on
	}
	return slices.Delete(on, at, at+1)
}

// Copy is an item that shares nothing with the one given which either holder might change.
func Copy(i table.Item) table.Item {
	if n := len(i.Data); n > 0 && len(i.Sealed) > 0 { // both in one piece of memory
		both := append(append(make([]byte, 0, n+len(i.Sealed)), i.Data...), i.Sealed...)
		i.Data, i.Sealed = both[:n:n], both[n:]
	} else {
		i.Data, i.Sealed = slices.Clone(i.Data), slices.Clone(i.Sealed)
	}
	if i.Index != nil {
		entry := *i.Index
		i.Index = &entry
	}
	return i
}
