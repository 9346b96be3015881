package exhaust

import (
	"context"
	"errors"
	"slices"

	"grantline/shared/fault"
	"grantline/shared/simulate"
	"grantline/shared/table"
)

// Tables are those of the simulation, which tell the path what each handler read.
type Tables struct {
	*simulate.Tables
	path  *Path
	items map[table.Key]uint64 // prints of what is stored
	sum   uint64               // of those, in no order
	// due has the entries of the indexes, as they are written.
	due map[table.Key]string
}

var _ table.Tables = (*Tables)(nil)

func newTables(p *Path) *Tables {
	t := &Tables{Tables: simulate.NewTables(p.World), path: p, items: map[table.Key]uint64{}, due: map[table.Key]string{}}
	t.Watch(t.written)
	return t
}

// written keeps the prints in step.
func (t *Tables) written(writes []table.Write) {
	for _, w := range writes {
		k := w.Item.Key
		switch w.Change {
		case table.Check:
			continue
		case table.Remove:
			t.sum -= t.items[k]
			delete(t.items, k)
			delete(t.due, k)
			continue
		case table.Insert, table.Replace:
		}
		i := w.Item
		i.Revision++
		is := printOf(i)
		t.sum += is - t.items[k]
		t.items[k] = is
		if i.Index != nil {
			t.due[k] = i.Index.Sort
		} else {
			delete(t.due, k)
		}
	}
	if r := t.path.acting(); r != nil {
		r.dirty = true
	}
}

// Due is the entry of a table's index that comes first, "" if there is none, and whose it is.
// It crosses no port.
func (t *Tables) Due(of table.Table) (key table.Key, sort string) {
	for k, s := range t.due {
		if k.Table != of {
			continue
		}
		if sort == "" || s < sort || s == sort && k.Partition < key.Partition {
			key, sort = k, s
		}
	}
	return key, sort
}

// Load puts items into empty tables.
func (t *Tables) Load(items []table.Item) {
	writes := make([]table.Write, 0, len(items))
	for _, i := range items {
		writes = append(writes, table.Inserted(i))
	}
	for some := range slices.Chunk(writes, 100) {
		if err := t.Kept().Commit(context.Background(), some...); err != nil {
			panic("exhaust: bug: " + err.Error())
		}
		t.written(some)
	}
}

// All is everything that is stored.
func (t *Tables) All() []table.Item {
	var all []table.Item
	for _, name := range table.Names {
		all = append(all, t.Kept().Items(name)...)
	}
	return all
}

// Get reads one item.
func (t *Tables) Get(ctx context.Context, k table.Key) (table.Item, error) {
	i, err := t.Tables.Get(ctx, k)
	t.path.heard(err, i)
	return i, err
}

// Glance reads one item, as it is or as it was before its last change.
func (t *Tables) Glance(ctx context.Context, k table.Key) (table.Item, error) {
	i, err := t.Tables.Glance(ctx, k)
	t.path.heard(err, i)
	return i, err
}

// GetAll reads several items.
func (t *Tables) GetAll(ctx context.Context, keys []table.Key) ([]table.Item, error) {
	all, err := t.Tables.GetAll(ctx, keys)
	t.path.heard(err, all...)
	return all, err
}

// Query reads a page.
func (t *Tables) Query(ctx context.Context, q table.Query) (table.Page, error) {
	page, err := t.Tables.Query(ctx, q)
	t.path.heard(err, page.Items...)
	return page, err
}

// Commit makes the writes happen together or not at all.
func (t *Tables) Commit(ctx context.Context, writes ...table.Write) error {
	err := t.Tables.Commit(ctx, writes...)
	var overtaken *table.Conflict
	if !errors.As(err, &overtaken) {
		t.path.heard(err)
		return err
	}
	var found []table.Item
	for _, f := range overtaken.Found {
		if f == nil {
			f = &table.Item{}
		}
		found = append(found, *f)
	}
	t.path.heard(err, found...)
	return err
}

// heard adds what the handler whose turn it is was answered to its history.
func (p *Path) heard(err error, items ...table.Item) {
	r := p.acting()
	if r == nil {
		return
	}
	var h Print
	h.sum = r.history
	switch {
	case err == nil:
		h.Number(1)
	case errors.Is(err, fault.NotFound):
		h.Number(2)
	case errors.Is(err, fault.Conflict):
		h.Number(3)
	default:
		h.Number(4)
	}
	h.Number(uint64(len(items)))
	for _, i := range items {
		h.Number(printOf(i))
	}
	r.history, r.fate = h.sum, simulate.Fine
}
