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

	mu      sync.RWMutex
	items   map[table.Key]table.Item
	entries map[table.Key]table.Index // in the indexes, as a query of them sees them
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
	return &Tables{items: map[table.Key]table.Item{}, entries: map[table.Key]table.Index{}, shelves: map[shelf][]place{}}
}

// Items returns everything that is in a table, ordered by key, for tests that count.
func (t *Tables) Items(name table.Table) []table.Item {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var all []table.Item
	for k, i := range t.items {
		if k.Table == name {
			all = append(all, cloned(i))
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
	var found table.Item
	err := t.do(ctx, Op{Method: method, Keys: []table.Key{k}}, func() error {
		t.mu.RLock()
		defer t.mu.RUnlock()
		i, ok := t.items[k]
		if !ok {
			return fault.New(fault.NotFound, "item_not_found", "There is no such item in %s.", k.Table)
		}
		found = cloned(i)
		return nil
	})
	if err != nil {
		return table.Item{}, err
	}
	return found, nil
}

// GetAll reads up to 1,000 items; a key that is given twice is answered twice.
func (t *Tables) GetAll(ctx context.Context, keys []table.Key) ([]table.Item, error) {
	if len(keys) > maxKeys {
		object("GetAll of %d keys; %d are the most", len(keys), maxKeys)
	}
	for _, k := range keys {
		objectToKey(k)
	}
	var found []table.Item
	err := t.do(ctx, Op{Method: "GetAll", Keys: slices.Clone(keys)}, func() error {
		t.mu.RLock()
		defer t.mu.RUnlock()
		for _, k := range keys {
			if i, ok := t.items[k]; ok {
				found = append(found, cloned(i))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Commit makes the writes happen together or not at all.
func (t *Tables) Commit(ctx context.Context, writes ...table.Write) error {
	objectToWrites(writes, t.Trust)
	op := Op{Method: "Commit", Writes: writes}
	for _, w := range writes {
		op.Keys = append(op.Keys, w.Item.Key)
	}
	return t.do(ctx, op, func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		if c := t.conflict(writes); c != nil {
			return c
		}
		for _, w := range writes {
			t.apply(w)
		}
		return nil
	})
}

// do runs act, unless ctx has ended or Fail has other plans.
func (t *Tables) do(ctx context.Context, op Op, act func() error) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.").Because(err)
	}
	if t.Fail == nil {
		return act()
	}
	apply, err := t.Fail(op)
	if err == nil {
		return act()
	}
	if apply {
		_ = act() // the caller never hears how it went
	}
	return err
}

func (t *Tables) conflict(writes []table.Write) error {
	held := true
	found := make([]*table.Item, len(writes))
	for n, w := range writes {
		// An absent item has revision 0, which is what an Insert expects.
		is := t.items[w.Item.Key]
		if is.Revision == w.Item.Revision {
			continue
		}
		held = false
		if is.Revision != 0 {
			in := cloned(is)
			found[n] = &in
		}
	}
	if held {
		return nil
	}
	return &table.Conflict{Found: found}
}

func (t *Tables) apply(w table.Write) {
	if w.Change == table.Check {
		return
	}
	k := w.Item.Key
	_, was := t.items[k]
	if w.Change == table.Remove {
		delete(t.items, k)
	} else {
		i := cloned(w.Item)
		i.Revision++
		if !i.Expires.IsZero() {
			i.Expires = time.Unix(i.Expires.Unix(), 0).UTC()
		}
		t.items[k] = i
	}
	if _, is := t.items[k]; k.Table.Sorted() && is != was {
		t.place(shelf{k.Table, false, k.Partition}, place{k.Sort, k}, is)
	}
	if t.shown(k) {
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
func (t *Tables) shown(k table.Key) bool {
	entry, in := t.entries[k]
	is := t.items[k].Index
	return in == (is != nil) && (!in || entry == *is)
}

// show brings an item's entry in the index up to date with the item.
func (t *Tables) show(k table.Key) {
	if entry, in := t.entries[k]; in {
		t.place(shelf{k.Table, true, entry.Partition}, place{entry.Sort, k}, false)
		delete(t.entries, k)
	}
	if is := t.items[k].Index; is != nil {
		t.place(shelf{k.Table, true, is.Partition}, place{is.Sort, k}, true)
		t.entries[k] = *is
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

func cloned(i table.Item) table.Item {
	i.Data, i.Sealed = slices.Clone(i.Data), slices.Clone(i.Sealed)
	if i.Index != nil {
		entry := *i.Index
		i.Index = &entry
	}
	return i
}
